"""/proc/locks: who has locked which files, and who waits for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.device_numbers import device_major, device_minor
from procession.abi.open_flags import FlockOperation
from procession.fs.file import MAXIMUM_SIZE, File
from procession.fs.lock import F_RDLCK, F_UNLCK, F_WRLCK, live_requests
from procession.kernel.task import Task

if TYPE_CHECKING:
    from procession.fs.fd_table import FdTable
    from procession.fs.inode import Inode
    from procession.fs.lease import Lease
    from procession.fs.lock import FileLocks, RecordLock
    from procession.fs.process_id import ProcessId
    from procession.kernel.kernel import Kernel
    from procession.kernel.namespaces.pid import PidNamespace

LOCK_EX = int(FlockOperation.LOCK_EX)


def show_locks(kernel: Kernel) -> bytes:
    """/proc/locks, the newest first: a number for each lock, which those have too that wait for it.

    Locks of processes that the reader doesn't see aren't shown. Linux: fs/locks.c, locks_show,
    lock_get_status.
    """
    reader = kernel.seen_pid_namespace
    shown: list[tuple[int, list[bytes]]] = []
    for inode in kernel.vfs.locked_inodes:
        locks = inode.locks
        assert locks is not None
        # Whoever waits for a whole file waits for all that have it.
        waiting = waiting_for_whole(inode, locks, reader)
        for lock in locks.whole.values():
            lines = [b"-> " + line for line in waiting]
            waiting = []
            if lock.pid.number_in(reader):
                lines.insert(0, whole_line(inode, lock.pid, reader, is_exclusive=lock.is_exclusive))
            shown.append((lock.number, lines))
        for lease in locks.leases.leases:
            is_seen = lease.pid.number_in(reader)
            shown.append((lease.number, [lease_line(inode, lease, reader)] if is_seen else []))
        wanted: dict[RecordLock, list[RecordLock]] = {}
        for request in live_requests(locks.requests):
            blocker = locks.conflict(request.wanted)
            if blocker is not None:
                wanted.setdefault(blocker, []).append(request.wanted)
        for held in locks.records:
            parties = ((b"", held), *((b"-> ", each) for each in wanted.get(held, ())))
            lines = [
                arrow + record_line(inode, record, reader)
                for arrow, record in parties
                if holder_number(record, reader)
            ]
            shown.append((held.number, lines))
    shown.sort(reverse=True)
    return b"".join(
        b"%d: %s\n" % (place, line) for place, (_, lines) in enumerate(shown, 1) for line in lines
    )


def show_locks_of_file(file: File, table: FdTable, reader: PidNamespace) -> bytes:
    """What /proc/PID/fdinfo says of the locks taken by an open file, and for this table if by fcntl(2).

    Linux: fs/locks.c, show_fd_locks.
    """
    inode, locks = file.inode, file.inode.locks
    if locks is None:
        return b""
    whole = locks.whole.get(file)
    lines = [] if whole is None else [whole_line(inode, whole.pid, reader, is_exclusive=whole.is_exclusive)]
    lines += [
        record_line(inode, held, reader)
        for held in locks.records
        if held.file is file and (held.owner is table or held.owner is file)
    ]
    lease = locks.leases.of(file)
    if lease is not None:
        lines.append(lease_line(inode, lease, reader))
    return b"".join(b"lock:\t%d: %s\n" % (number, line) for number, line in enumerate(lines, 1))


def waiting_for_whole(inode: Inode, locks: FileLocks, reader: PidNamespace) -> list[bytes]:
    """The callers of flock(2) that sleep."""
    lines: list[bytes] = []
    for waiter in locks.queue.waiters:
        if isinstance(waiter, Task) and waiter.frame is not None and waiter.group.pid.number_in(reader):
            _, operation = waiter.frame.arguments
            is_exclusive = bool(operation & LOCK_EX)
            lines.append(whole_line(inode, waiter.group.pid, reader, is_exclusive=is_exclusive))
    return lines


def whole_line(inode: Inode, pid: ProcessId, reader: PidNamespace, *, is_exclusive: bool) -> bytes:
    """A lock of flock(2)."""
    kind = b"WRITE" if is_exclusive else b"READ"
    return b"FLOCK  ADVISORY  %s %d %s 0 EOF" % (kind, pid.number_in(reader), file_number(inode))


def lease_line(inode: Inode, lease: Lease, reader: PidNamespace) -> bytes:
    """A lease of fcntl(2)."""
    return b"LEASE  %s  %s %d %s 0 EOF" % (
        b"BREAKING" if lease.is_breaking else b"ACTIVE  ",
        _LEASE_KINDS[lease.target_kind],
        lease.pid.number_in(reader),
        file_number(inode),
    )


_LEASE_KINDS = {F_RDLCK: b"READ", F_WRLCK: b"WRITE", F_UNLCK: b"UNLCK"}


def holder_number(lock: RecordLock, reader: PidNamespace) -> int:
    """Who holds it: -1 for an open file, 0 for who isn't seen. Linux: fs/locks.c, locks_translate_pid."""
    return -1 if lock.pid is None else lock.pid.number_in(reader)


def record_line(inode: Inode, lock: RecordLock, reader: PidNamespace) -> bytes:
    """A lock of fcntl(2)."""
    return b"%s ADVISORY  %s %d %s %d %s" % (
        b"OFDLCK" if isinstance(lock.owner, File) else b"POSIX ",
        b"WRITE" if lock.kind == F_WRLCK else b"READ",
        holder_number(lock, reader),
        file_number(inode),
        lock.start,
        b"EOF" if lock.end == MAXIMUM_SIZE else b"%d" % lock.end,
    )


def file_number(inode: Inode) -> bytes:
    """The device, in hexadecimal, and the inode."""
    device = inode.superblock.device
    return b"%02x:%02x:%d" % (device_major(device), device_minor(device), inode.number)
