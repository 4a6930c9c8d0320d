"""File locks: POSIX and open-file-description locks of fcntl(2), and flock(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, EBADF, EDEADLK, EINVAL, EOVERFLOW
from procession.abi.named_tuple import NamedTuple
from procession.abi.open_flags import LockType, Whence
from procession.fs.file import MAXIMUM_SIZE, File
from procession.fs.lease import FileLeases
from procession.fs.lock_set import Entry, LockSet
from procession.fs.wait_queue import Sleep, WaitQueue

if TYPE_CHECKING:
    from procession.fs.accounts import FileAccounts
    from procession.fs.fd_table import FdTable
    from procession.fs.inode import Inode
    from procession.fs.process_id import ProcessId

F_RDLCK = int(LockType.F_RDLCK)
F_WRLCK = int(LockType.F_WRLCK)
F_UNLCK = int(LockType.F_UNLCK)
_FEW_REQUESTS = 16
_DEADLOCK_STEPS = 12
"""How many are looked at of those who wait for one another: the first and eleven more.

Linux: fs/locks.c, MAX_DEADLK_ITERATIONS.
"""


class RecordLock:
    """A lock on the bytes `start` to `end`, both included (Linux: include/linux/filelock.h, struct
    file_lock).

    `owner` is a table of descriptors, or an open file for an open-file-description lock. `kind` is F_RDLCK
    or F_WRLCK; `pid` is who took it, None for an open file; `file` is the open file by which it was taken.
    `number` says its place among all locks of the machine, 0 before it has one.
    """

    __slots__ = ("end", "file", "kind", "number", "owner", "pid", "start")

    def __init__(self, owner: FdTable | File, pid: ProcessId | None, kind: int, start: int, end: int) -> None:
        self.owner = owner
        self.pid = pid
        self.kind = kind
        self.start = start
        self.end = end
        self.file: File | None = None
        self.number = 0

    def part(self, start: int, end: int) -> RecordLock:
        """The same lock on other bytes."""
        part = RecordLock(self.owner, self.pid, self.kind, start, end)
        part.file = self.file
        part.number = self.number
        return part

    def conflicts(self, other: RecordLock) -> bool:
        """Whether both can't be held at once. Linux: fs/locks.c, posix_locks_conflict."""
        return (
            self.owner is not other.owner
            and self.start <= other.end
            and other.start <= self.end
            and F_WRLCK in (self.kind, other.kind)
        )


class LockRequest:
    """A lock that somebody waits for; it has been given up when nobody is on its queue."""

    __slots__ = ("locks", "queue", "wanted")

    def __init__(self, locks: FileLocks, wanted: RecordLock) -> None:
        self.locks = locks
        self.wanted = wanted
        self.queue = WaitQueue()


class LockRequests:
    """All requests of a machine, by who wants the lock, each owner's in the order in which they came.

    Those that were given up are forgotten once they may be the most.
    """

    __slots__ = ("by_owner", "count", "limit")

    def __init__(self) -> None:
        self.by_owner: dict[FdTable | File, list[LockRequest]] = {}
        self.count = 0
        self.limit = _FEW_REQUESTS

    def add(self, request: LockRequest) -> None:
        """One more, the last."""
        if self.count >= self.limit:
            old, self.by_owner = self.by_owner, {}
            for requests in old.values():
                live = live_requests(requests)
                if live:
                    self.by_owner[live[0].wanted.owner] = live
            self.count = sum([len(requests) for requests in self.by_owner.values()])
            self.limit = max(2 * self.count, _FEW_REQUESTS)
        self.by_owner.setdefault(request.wanted.owner, []).append(request)
        self.count += 1

    def first_of(self, owner: FdTable | File) -> LockRequest | None:
        """What `owner` waits for, None for nothing."""
        for request in self.by_owner.get(owner, ()):
            if request.queue.waiters:
                return request
        return None


def live_requests(requests: list[LockRequest]) -> list[LockRequest]:
    """Those that somebody waits for."""
    return [request for request in requests if request.queue.waiters]


class WholeLock(NamedTuple):
    """What flock(2) takes for `file`.

    `pid` is who took it, `number` its place among all locks of the machine.
    """

    number: int
    is_exclusive: bool
    pid: "ProcessId"  # noqa: UP037
    file: File


class FileLocks:
    """The locks on one inode (Linux: include/linux/filelock.h, struct file_lock_context).

    `locks` has the record locks; `whole` the flocks of open files; `leases` those of F_SETLEASE. `queue` is
    where the callers of flock(2) wait.
    """

    __slots__ = (
        "accounts",
        "inode",
        "leases",
        "locks",
        "queue",
        "requests",
        "requests_limit",
        "whole",
    )

    def __init__(self, inode: Inode) -> None:
        self.inode = inode
        self.accounts: FileAccounts = inode.superblock.vfs.accounts
        self.locks = LockSet()
        self.whole: dict[File, WholeLock] = {}
        self.leases = FileLeases(inode)
        self.requests: list[LockRequest] = []
        self.requests_limit = _FEW_REQUESTS
        self.queue = WaitQueue()

    @property
    def records(self) -> list[RecordLock]:
        """The record locks, those of an owner together."""
        return self.locks.all()

    def conflict(self, wanted: RecordLock) -> RecordLock | None:
        """The first lock that keeps `wanted` from being taken, None if none does."""
        found, looked_at = self.locks.conflict(wanted)
        if looked_at:
            self.inode.superblock.vfs.clock.spend_looking(looked_at)
        return found

    def apply(self, wanted: RecordLock) -> None:
        """Give `wanted.owner` this lock, or none for F_UNLCK, on these bytes, whatever it had on them.

        Locks of one kind that touch become one, which is the older, unless the new one has taken the place of
        one of the other kind before. Raises ENOLCK. Linux: fs/locks.c, posix_lock_inode.
        """
        locks, start, end = self.locks, wanted.start, wanted.end
        self.accounts.check_locks()
        replaced: list[Entry] = []
        parts: list[RecordLock] = []
        taken: RecordLock | None = None if wanted.kind == F_UNLCK else wanted.part(start, end)
        split: RecordLock | None = None
        is_weakened = has_place = False
        for entry in locks.touching(wanted.owner, start, end):
            held = entry[2]
            is_apart = held.end < start or end < held.start
            if taken is not None and held.kind == wanted.kind:
                older = taken if has_place else held
                taken = older.part(min(taken.start, held.start), max(taken.end, held.end))
                has_place = True
            elif is_apart:
                continue
            else:
                has_place = has_place or (start <= held.start and held.end <= end)
                if held.start < start:
                    parts.append(held.part(held.start, start - 1))
                if end < held.end:
                    # Of two parts the second is the old one.
                    split = parts[-1] if held.start < start else None
                    parts.append(held.part(end + 1, held.end))
            if not is_apart:
                is_weakened = is_weakened or wanted.kind == F_UNLCK or held.kind == F_WRLCK
            replaced.append(entry)
        if taken is not None:
            parts.append(taken)
            if not taken.number:
                taken.number = self.next_number()
        if split is not None:
            split.number = self.next_number()
        self.accounts.count_locks(len(parts) - len(replaced))
        if parts or replaced:
            locks.replace(wanted.owner, replaced, parts)
        self.note_change()
        if is_weakened:
            self.wake_requests()

    def next_number(self) -> int:
        """The number of a new lock."""
        vfs = self.inode.superblock.vfs
        vfs.lock_number += 1
        return vfs.lock_number

    def note_change(self) -> None:
        """A lock has been taken or given up: keep the list of locked files right."""
        locked = self.inode.superblock.vfs.locked_inodes
        if self.locks.count or self.whole or self.leases.leases:
            locked.setdefault(self.inode)
        else:
            locked.pop(self.inode, None)

    def wake_requests(self) -> None:
        """Let all who wait for a record lock look again, and forget who has given up."""
        requests, self.requests = self.requests, []
        for request in requests:
            request.queue.wake_all()

    def add_request(self, request: LockRequest) -> None:
        """One more waits, as the last; those that were given up are forgotten once they may be the most."""
        if len(self.requests) >= self.requests_limit:
            self.requests = live_requests(self.requests)
            self.requests_limit = max(2 * len(self.requests), _FEW_REQUESTS)
        self.requests.append(request)

    def release_posix(self, owner: FdTable) -> None:
        """`owner` closes a descriptor of this file: its POSIX locks go.

        All of them, though they were taken by another descriptor that stays open: POSIX has it so, and
        fcntl(2) names it as what open-file-description locks were made against.
        Linux: fs/locks.c, locks_remove_posix.
        """
        self._release_owner(owner)

    def release_file(self, file: File) -> None:
        """`file` is closed for good: its flock, its open-file-description locks and its lease go.

        Linux: fs/locks.c, locks_remove_file.
        """
        self._release_owner(file)
        self.leases.release(file)
        if self.whole.pop(file, None) is not None:
            self.note_change()
            self.queue.wake_all()

    def _release_owner(self, owner: FdTable | File) -> None:
        released = self.locks.remove_owner(owner)
        if released:
            self.accounts.count_locks(-released)
            self.note_change()
            self.wake_requests()


def locks_of(inode: Inode) -> FileLocks:
    """The locks on `inode`, made at first use."""
    if inode.locks is None:
        inode.locks = FileLocks(inode)
    return inode.locks


def lock_range(file: File, whence: int, start: int, length: int) -> tuple[int, int]:
    """The first and last byte that a struct flock names. Raises EINVAL, EOVERFLOW.

    Linux: fs/locks.c, flock64_to_posix_lock.
    """
    if whence == Whence.SEEK_CUR:
        start += file.position
    elif whence == Whence.SEEK_END:
        start += file.inode.size
    elif whence != Whence.SEEK_SET:
        raise EINVAL
    if start > MAXIMUM_SIZE:
        raise EOVERFLOW
    if start < 0:
        raise EINVAL
    if length > 0:
        if length - 1 > MAXIMUM_SIZE - start:
            raise EOVERFLOW
        return start, start + length - 1
    if length < 0:
        # The bytes before `start` (fcntl(2)); of 0 they are all that may ever come behind it.
        if start + length < 0:
            raise EINVAL
        return start + length, start - 1
    return start, MAXIMUM_SIZE


def check_lockable(file: File, kind: int) -> None:
    """Raise unless a lock of this kind may be taken.

    Linux: fs/locks.c, assign_type, check_fmode_for_setlk.
    """
    if kind not in (F_RDLCK, F_WRLCK, F_UNLCK):
        raise EINVAL
    if (kind == F_RDLCK and not file.is_readable) or (kind == F_WRLCK and not file.is_writable):
        raise EBADF


def set_lock(file: File, wanted: RecordLock, *, is_blocking: bool) -> None:
    """F_SETLK, F_SETLKW and their OFD kin: take, change or (F_UNLCK) give up a record lock.

    Raises EAGAIN, or with `is_blocking` Sleep and EDEADLK; EBADF when the file isn't open for that, ENOLCK.
    Linux: fs/locks.c, fcntl_setlk.
    """
    check_lockable(file, wanted.kind)
    wanted.file = file
    inode = file.inode
    if inode.locks is None and wanted.kind == F_UNLCK:
        return
    locks = locks_of(inode)
    if wanted.kind != F_UNLCK:
        held = locks.conflict(wanted)
        if held is not None:
            if not is_blocking:
                raise EAGAIN
            _wait_for(inode, locks, wanted, held)
    locks.apply(wanted)


def _wait_for(inode: Inode, locks: FileLocks, wanted: RecordLock, held: RecordLock) -> None:
    vfs = inode.superblock.vfs
    # An open file isn't one process: that one of its holders waits says nothing of the others.
    if not isinstance(wanted.owner, File) and _would_deadlock(vfs.lock_requests, wanted, held):
        raise EDEADLK
    request = LockRequest(locks, wanted)
    locks.add_request(request)
    vfs.lock_requests.add(request)
    raise Sleep(request.queue)


def _would_deadlock(requests: LockRequests, wanted: RecordLock, held: RecordLock) -> bool:
    """Whether the holder of a lock waits, by way of others, for who wants it.

    Linux: fs/locks.c, posix_locks_deadlock.
    """
    blocker: RecordLock | None = held
    for _ in range(_DEADLOCK_STEPS):
        if blocker is None:
            return False
        if blocker.owner is wanted.owner:
            return True
        request = requests.first_of(blocker.owner)
        blocker = request.locks.conflict(request.wanted) if request is not None else None
    return False


def test_lock(file: File, wanted: RecordLock) -> RecordLock | None:
    """F_GETLK: the lock that would keep `wanted` from being taken, None if it could be.

    To ask for F_UNLCK is to ask for what the file has locked itself. Linux: fs/locks.c,
    posix_test_locks_conflict.
    """
    locks = file.inode.locks
    if locks is None:
        return None
    if wanted.kind == F_UNLCK:
        own = (held for _, _, held in locks.locks.touching(wanted.owner, wanted.start, wanted.end))
        return next((held for held in own if held.start <= wanted.end and wanted.start <= held.end), None)
    return locks.conflict(wanted)


def flock(
    file: File, pid: ProcessId, *, is_exclusive: bool, is_blocking: bool, awaited: WholeLock | None = None
) -> None:
    """Lock a whole file for `file`, or change its lock, which gives up the old one first; `pid` asks for it.

    `awaited` is the lock for which the caller has slept, the progress of Sleep. While that is held nothing is
    tried again: a signal that ends the wait leaves alone what others have locked for `file` meanwhile.
    Raises EAGAIN or Sleep. Linux: fs/locks.c, flock_lock_inode, flock_lock_inode_wait.
    """
    locks = locks_of(file.inode)
    if awaited is not None and locks.whole.get(awaited.file) == awaited:
        raise Sleep(locks.queue, progress=awaited)
    had = locks.whole.get(file)
    if had is not None:
        if had.is_exclusive is is_exclusive:
            return
        # The change isn't atomic: who waits may come first, and then nothing is held any more (flock(2)).
        del locks.whole[file]
        locks.note_change()
        locks.queue.wake_all()
    # One that is exclusive is the only one.
    other = next(iter(locks.whole.values()), None)
    if other is not None and (is_exclusive or other.is_exclusive):
        if not is_blocking:
            raise EAGAIN
        raise Sleep(locks.queue, progress=other)
    locks.whole[file] = WholeLock(locks.next_number(), is_exclusive, pid, file)
    locks.note_change()


def unlock(file: File) -> None:
    """flock(LOCK_UN)."""
    locks = file.inode.locks
    if locks is not None and locks.whole.pop(file, None) is not None:
        locks.note_change()
        locks.queue.wake_all()
