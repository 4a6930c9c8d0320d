"""Leases on files: who has one is told before another opens or truncates the file, and may make it wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from procession.abi.duration import NS_PER_S
from procession.abi.errno import EACCES, EAGAIN, EINVAL
from procession.abi.open_flags import LockType, OpenFlag
from procession.fs.permission import CAP_LEASE
from procession.fs.wait_queue import Sleep, WaitQueue

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.inode import Inode
    from procession.fs.permission import Subject
    from procession.fs.process_id import ProcessId

F_RDLCK = int(LockType.F_RDLCK)
F_WRLCK = int(LockType.F_WRLCK)
F_UNLCK = int(LockType.F_UNLCK)
_FASYNC = int(OpenFlag.FASYNC)
_NEVER = 1 << 63


class LeaseHolder(Protocol):
    """Who is told."""

    def lease_breaks(self) -> None:
        """Somebody wants the file."""

    def lease_ends(self) -> None:
        """There will be nothing more to tell."""


class Lease:
    """A lease of one open file (Linux: include/linux/filelock.h, struct file_lease).

    `kind` is F_RDLCK or F_WRLCK, `number` its place among all locks of the machine. While it's being broken,
    `unlock_at_ns` says when it ends by itself, or `downgrade_at_ns` when it becomes a read lease, both on the
    monotonic clock; None while nobody wants that.
    """

    __slots__ = ("downgrade_at_ns", "file", "holder", "kind", "number", "pid", "unlock_at_ns")

    def __init__(self, number: int, file: File, kind: int, pid: ProcessId, holder: LeaseHolder) -> None:
        self.number = number
        self.file = file
        self.kind = kind
        self.pid = pid
        self.holder = holder
        self.unlock_at_ns: int | None = None
        self.downgrade_at_ns: int | None = None

    @property
    def is_breaking(self) -> bool:
        """Linux: fs/locks.c, lease_breaking."""
        return self.unlock_at_ns is not None or self.downgrade_at_ns is not None

    @property
    def ends_at_ns(self) -> int:
        """When it ends or changes by itself."""
        return min(at for at in (self.unlock_at_ns, self.downgrade_at_ns, _NEVER) if at is not None)

    @property
    def target_kind(self) -> int:
        """What it is to become, which is what F_GETLEASE tells. Linux: fs/locks.c, target_leasetype."""
        if self.unlock_at_ns is not None:
            return F_UNLCK
        return self.kind if self.downgrade_at_ns is None else F_RDLCK


class FileLeases:
    """The leases on one inode. `queue` is where those wait who want the file."""

    __slots__ = ("inode", "leases", "queue")

    def __init__(self, inode: Inode) -> None:
        self.inode = inode
        self.leases: list[Lease] = []
        self.queue = WaitQueue()

    def of(self, file: File) -> Lease | None:
        """The lease that is `file`'s."""
        return next((lease for lease in self.leases if lease.file is file), None)

    def kind_for(self, file: File) -> int:
        """F_GETLEASE. Linux: fs/locks.c, fcntl_getlease."""
        self._end_those_due()
        lease = self.of(file)
        return F_UNLCK if lease is None else lease.target_kind

    def set(self, file: File, kind: int, subject: Subject, pid: ProcessId, holder: LeaseHolder) -> None:
        """F_SETLEASE. Raises EINVAL, EACCES, EAGAIN, OutOfFrames.

        Linux: fs/locks.c, generic_setlease, generic_add_lease.
        """
        if kind not in (F_RDLCK, F_WRLCK, F_UNLCK):
            raise EINVAL("no such lease")
        inode = self.inode
        if inode.uid != subject.fsuid and not subject.capable(CAP_LEASE):
            raise EACCES("another's file")
        if not inode.is_regular:
            raise EINVAL("leases are for regular files")
        if not inode.superblock.vfs.has_leases:
            raise EINVAL("fs.leases-enable is 0")
        self._end_those_due()
        mine = self.of(file)
        if kind == F_UNLCK:
            if mine is None:
                raise EAGAIN("no lease to give up")
            self._change(mine, kind)
            return
        self._check_openers(file, kind)
        if mine is not None and self.queue.waiters and (kind == F_WRLCK or mine.unlock_at_ns is not None):
            raise EAGAIN("somebody waits to open it")
        for other in self.leases:
            if other is not mine and (kind == F_WRLCK or other.unlock_at_ns is not None):
                raise EAGAIN("another's lease")
        if mine is not None:
            self._change(mine, kind)
            return
        inode.superblock.vfs.accounts.add_lease()
        assert inode.locks is not None
        self.leases.append(Lease(inode.locks.next_number(), file, kind, pid, holder))
        # The holder is told as of readiness, and F_GETFL says so. Linux: fs/fcntl.c, fasync_insert_entry.
        file.flags |= _FASYNC
        self._note_change()

    def _check_openers(self, file: File, kind: int) -> None:
        """Raise EAGAIN if others have the file open in a way that the lease excludes.

        Linux: fs/locks.c, check_conflicting_open.
        """
        inode = self.inode
        if kind == F_RDLCK:
            if inode.writer_count > 0:
                raise EAGAIN("open for writing")
            return
        own_reads = int(file.is_readable and not file.is_writable)
        if inode.writer_count != int(file.is_writable) or inode.reader_count != own_reads:
            raise EAGAIN("open elsewhere")

    def _change(self, lease: Lease, kind: int) -> None:
        """The lease becomes another, or with F_UNLCK none. Linux: fs/locks.c, lease_modify."""
        lease.kind = kind
        if kind != F_WRLCK:
            lease.downgrade_at_ns = None
        if kind == F_UNLCK:
            lease.unlock_at_ns = None
            lease.file.flags &= ~_FASYNC
            lease.holder.lease_ends()
            self.leases.remove(lease)
            self.inode.superblock.vfs.accounts.remove_lease()
            self._note_change()
        self.queue.wake_all()

    def _note_change(self) -> None:
        locks = self.inode.locks
        assert locks is not None
        locks.note_change()

    def release(self, file: File) -> None:
        """`file` is closed for good. Linux: fs/locks.c, locks_remove_lease."""
        lease = self.of(file)
        if lease is not None:
            self._change(lease, F_UNLCK)

    def _end_those_due(self) -> None:
        """Who hasn't given up a lease in time loses it. Linux: fs/locks.c, time_out_leases."""
        now_ns = self.inode.superblock.vfs.clock.now_ns
        for lease in list(self.leases):
            if lease.downgrade_at_ns is not None and lease.downgrade_at_ns <= now_ns:
                self._change(lease, F_RDLCK)
            if lease.unlock_at_ns is not None and lease.unlock_at_ns <= now_ns:
                self._change(lease, F_UNLCK)

    def break_for(self, *, is_write: bool, is_blocking: bool) -> None:
        """Somebody opens the file, or with `is_write` changes it: tell who has leases, and wait for them.

        Raises EAGAIN instead unless `is_blocking`, and Sleep. Linux: fs/locks.c, __break_lease.
        """
        self._end_those_due()
        conflicting = [lease for lease in self.leases if is_write or lease.kind == F_WRLCK]
        if not conflicting:
            return
        vfs = self.inode.superblock.vfs
        # With a time of 0 they are waited for as long as it takes.
        at_ns = vfs.clock.now_ns + vfs.lease_break_time_s * NS_PER_S if vfs.lease_break_time_s else _NEVER
        for lease in conflicting:
            if lease.unlock_at_ns is not None or (not is_write and lease.is_breaking):
                continue
            if is_write:
                lease.unlock_at_ns = at_ns
            else:
                lease.downgrade_at_ns = at_ns
            lease.holder.lease_breaks()
        if not is_blocking:
            raise EAGAIN("a lease is being broken")
        first_ns = min(lease.ends_at_ns for lease in conflicting)
        raise Sleep(self.queue, deadline_ns=None if first_ns == _NEVER else first_ns)
