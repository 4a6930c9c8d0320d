"""fcntl, flock and ioctl: descriptors, flags, locks that wait, and signals for what becomes ready."""

from __future__ import annotations

from struct import pack, unpack

import pytest

from procession.abi.errno import (
    EAGAIN,
    EBADF,
    EINVAL,
    EMFILE,
    ENOMEM,
    ENOTTY,
    EOPNOTSUPP,
    EPERM,
    ESRCH,
    EXDEV,
)
from procession.fs.file import FASYNC, O_APPEND, O_CREAT, O_DIRECT, O_NONBLOCK, O_RDONLY, O_RDWR
from procession.fs.host_stream import HostInput, HostOutput
from procession.fs.inode import S_IFCHR
from procession.fs.wait_queue import Sleep
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.signal.info import SigInfo
from tests.syscalls.conftest import Caller, other_task

(F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_SETOWN, F_GETOWN) = range(10)
F_SETSIG, F_GETSIG, F_SETOWN_EX, F_GETOWN_EX = 10, 11, 15, 16
F_OFD_GETLK, F_OFD_SETLK = 36, 37
F_GETLEASE, F_DUPFD_QUERY, F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_GETPIPE_SZ = 1025, 1027, 1030, 1031, 1032
F_RDLCK, F_WRLCK, F_UNLCK = range(3)
FIONREAD, FIONBIO, FIOASYNC, FIOCLEX, FICLONE = 0x541B, 0x5421, 0x5452, 0x5451, 0x40049409
SIGIO, SIGRTMIN = 29, 34


def test_duplicates(call: Caller) -> None:
    fd = call("open", b"/file\0", O_RDONLY)
    assert call("fcntl", fd, F_DUPFD, 40) == 40
    assert call("fcntl", fd, F_DUPFD_CLOEXEC, 40) == 41
    assert [call("fcntl", n, F_GETFD, 0) for n in (40, 41)] == [0, 1]
    assert call("fcntl", fd, F_DUPFD_QUERY, 41) == 1
    other = call("open", b"/file\0", O_RDONLY)
    assert call("fcntl", fd, F_DUPFD_QUERY, other) == 0
    call.task.group.limits.soft[RLIMIT_NOFILE] = 42
    with pytest.raises(EMFILE):
        call("fcntl", fd, F_DUPFD, 40)
    with pytest.raises(EINVAL):
        call("fcntl", fd, F_DUPFD, 42)
    with pytest.raises(EBADF):
        call("fcntl", 50, F_DUPFD, 0)


def test_flags_that_can_be_set(call: Caller) -> None:
    fd = call("open", b"/file\0", O_RDWR | O_CREAT)
    before = call("fcntl", fd, F_GETFL, 0)
    assert call("fcntl", fd, F_SETFL, O_APPEND | O_NONBLOCK | O_DIRECT | O_CREAT | 1) == 0
    assert call("fcntl", fd, F_GETFL, 0) == before | O_APPEND | O_NONBLOCK | O_DIRECT
    event = call("eventfd", 0)
    with pytest.raises(EINVAL):
        call("fcntl", event, F_SETFL, O_DIRECT)
    assert call("fcntl", event, F_SETFL, FASYNC | O_NONBLOCK) == 0
    assert call("fcntl", event, F_GETFL, 0) == O_RDWR | O_NONBLOCK


def test_o_path_descriptors_can_do_little(call: Caller) -> None:
    fd = call("open", b"/file\0", 0o10000000)
    assert call("fcntl", fd, F_GETFL, 0) == 0o10000000
    assert call("fcntl", fd, F_SETFD, 1) == 0
    for command in (F_SETFL, F_GETOWN, F_GETLK, 999):
        with pytest.raises(EBADF):
            call("fcntl", fd, command, 0)
    for name, arguments in (("flock", (1,)), ("ioctl", (FIONREAD, 0)), ("fsync", ()), ("fchmod", (0,))):
        with pytest.raises(EBADF):
            call(name, fd, *arguments)


def test_a_pipe_s_size(call: Caller) -> None:
    reader, _ = call.pipe()
    assert call("fcntl", reader, F_GETPIPE_SZ, 0) == 65536
    assert call("fcntl", reader, F_SETPIPE_SZ, 5000) == 8192
    with pytest.raises(EBADF):
        call("fcntl", call("eventfd", 0), F_GETPIPE_SZ, 0)
    assert call("fcntl", reader, F_GETLEASE, 0) == F_UNLCK
    with pytest.raises(EINVAL):
        call("fcntl", reader, 999, 0)


def test_the_size_of_a_pipe_that_leads_outside(call: Caller) -> None:
    vfs, subject, files = call.task.kernel.vfs, call.task.credentials, call.task.files
    pipe = files.install(HostInput().open(vfs, subject), limit=99)
    assert call("fcntl", pipe, F_GETPIPE_SZ, 0) == 65536
    assert call("fcntl", pipe, F_SETPIPE_SZ, 5000) == 8192
    assert call("fcntl", pipe, F_SETPIPE_SZ, 1 << 20) == 1 << 20
    with pytest.raises(ENOMEM):
        call("fcntl", pipe, F_SETPIPE_SZ, (1 << 20) + 1)
    assert call("fcntl", pipe, F_GETPIPE_SZ, 0) == 1 << 20
    device = files.install(HostOutput().open(vfs, subject, 1, S_IFCHR | 0o600), limit=99)
    with pytest.raises(EBADF):
        call("fcntl", device, F_GETPIPE_SZ, 0)


def lock(kind: int, start: int, length: int, pid: int = 0) -> bytes:
    """A struct flock."""
    return pack("<hh4xqqi4x", kind, 0, start, length, pid)


def test_a_lock_that_waits_keeps_what_it_asked_for(call: Caller) -> None:
    fd = call("open", b"/file\0", O_RDWR)
    holder = call.task
    assert call("fcntl", fd, F_SETLK, lock(F_WRLCK, 10, 5)) == 0
    call.task = other_task(call)
    asked = call.put(lock(F_RDLCK, 12, 0))
    with pytest.raises(EAGAIN):
        call("fcntl", fd, F_SETLK, asked)
    question = call.put(lock(F_RDLCK, 0, 0))
    assert call("fcntl", fd, F_GETLK, question) == 0
    assert unpack("<hh4xqqi4x", call.read(question, 32)) == (F_WRLCK, 0, 10, 5, holder.tgid)
    with pytest.raises(Sleep):
        call("fcntl", fd, F_SETLKW, asked)
    waiter = call.task
    # What the program does to its memory meanwhile doesn't count.
    waiter.mm.write(asked, lock(7, 0, 0))
    call.task = holder
    assert call("fcntl", fd, F_SETLK, lock(F_UNLCK, 0, 0)) == 0
    call.task = waiter
    assert call.again() == 0
    call.task = holder
    assert call("fcntl", fd, F_GETLK, call.put(lock(F_WRLCK, 0, 0))) == 0
    with pytest.raises(EAGAIN):
        call("fcntl", fd, F_SETLK, lock(F_WRLCK, 100, 1))


def test_locks_of_open_files(call: Caller) -> None:
    one, two = (call("open", b"/file\0", O_RDWR) for _ in range(2))
    assert call("fcntl", one, F_OFD_SETLK, lock(F_WRLCK, 0, 0)) == 0
    with pytest.raises(EAGAIN):
        call("fcntl", two, F_OFD_SETLK, lock(F_RDLCK, 5, 1))
    with pytest.raises(EINVAL):
        call("fcntl", two, F_OFD_SETLK, lock(F_RDLCK, 5, 1, pid=1))
    question = call.put(lock(F_RDLCK, 5, 1))
    call("fcntl", two, F_OFD_GETLK, question)
    assert unpack("<hh4xqqi4x", call.read(question, 32)) == (F_WRLCK, 0, 0, 0, -1)


def test_flock(call: Caller) -> None:
    one, two = (call("open", b"/file\0", O_RDONLY) for _ in range(2))
    assert call("flock", one, 2) == 0
    with pytest.raises(EAGAIN):
        call("flock", two, 1 | 4)
    with pytest.raises(Sleep):
        call("flock", two, 1)
    assert call("flock", one, 8) == 0
    assert call.again() == 0
    for operation in (0, 3, 16):
        with pytest.raises(EINVAL):
            call("flock", one, operation)


def queued(call: Caller, number: int) -> SigInfo | None:
    """What the pending signal `number` tells."""
    for pending in (call.task.pending, call.task.group.shared_pending):
        if pending.mask >> (number - 1) & 1:
            return pending.take_next(~(1 << number - 1))
    return None


def test_sigio_tells_the_owner_that_bytes_have_come(call: Caller) -> None:
    call.handle(SIGIO)
    call.handle(SIGRTMIN)
    reader, writer = call.pipe()
    call("fcntl", reader, F_SETOWN, call.task.tgid)
    assert call("fcntl", reader, F_GETOWN, 0) == call.task.tgid
    call("write", writer, b"x", 1)
    assert queued(call, SIGIO) is None
    call("fcntl", reader, F_SETFL, FASYNC)
    call("write", writer, b"x", 1)
    assert queued(call, SIGIO) is not None
    call("fcntl", reader, F_SETSIG, SIGRTMIN)
    assert call("fcntl", reader, F_GETSIG, 0) == SIGRTMIN
    call("write", writer, b"x", 1)
    info = queued(call, SIGRTMIN)
    assert info is not None
    assert (info.code, info.band, info.fd) == (1, 0x41, reader)
    call("fcntl", reader, F_SETFL, 0)
    call("write", writer, b"x", 1)
    assert call.pending & {SIGIO, SIGRTMIN} == set()


def test_sigio_ends_with_the_file(call: Caller) -> None:
    reader, writer = call.pipe()
    call("fcntl", reader, F_SETOWN, -call.task.group.process_group.pid.own_number)
    assert call("fcntl", reader, F_GETOWN, 0) == -call.task.group.process_group.pid.own_number
    assert call("ioctl", reader, FIOASYNC, pack("<i", 1)) == 0
    queue = call.task.files.file(reader).wait_queues()[0]
    assert len(queue.waiters) == 1
    call("close", reader)
    assert queue.waiters == {}
    with pytest.raises(ENOTTY):
        call("ioctl", call("eventfd", 0), FIOASYNC, pack("<i", 1))
    call("close", writer)


def test_owners_by_kind(call: Caller) -> None:
    reader, _ = call.pipe()
    owner = call.space(8)
    for kind, number in (
        (0, call.task.tid),
        (1, call.task.tgid),
        (2, call.task.group.process_group.pid.own_number),
    ):
        call("fcntl", reader, F_SETOWN_EX, pack("<ii", kind, number))
        call("fcntl", reader, F_GETOWN_EX, owner)
        assert unpack("<ii", call.read(owner, 8)) == (kind, number)
    for kind, number, error in ((0, 9999, ESRCH), (2, 9999, ESRCH), (3, 1, EINVAL)):
        with pytest.raises(error):
            call("fcntl", reader, F_SETOWN_EX, pack("<ii", kind, number))
    call("fcntl", reader, F_SETOWN, 0)
    assert call("fcntl", reader, F_GETOWN, 0) == 0


def test_requests_that_all_files_know(call: Caller) -> None:
    reader, _ = call.pipe()
    file = call("open", b"/file\0", O_RDWR)
    answer = call.space(8)
    call("lseek", file, 120, 0)
    assert call("ioctl", file, FIONREAD, answer) == 0
    assert call.number(answer) == 5000
    call("ioctl", reader, FIONBIO, pack("<i", 1))
    assert call("fcntl", reader, F_GETFL, 0) & O_NONBLOCK
    call("ioctl", reader, FIOCLEX)
    assert call("fcntl", reader, F_GETFD, 0) == 1
    for request in (0x5401, 0x80087601):
        with pytest.raises(ENOTTY):
            call("ioctl", file, request, answer)
    device = call("open", b"/dev/null\0", O_RDWR)
    for source, error in ((file, EOPNOTSUPP), (device, EXDEV), (99, EBADF)):
        with pytest.raises(error):
            call("ioctl", file, FICLONE, source)


def test_o_noatime_is_for_owners(call: Caller) -> None:
    fd = call("open", b"/file\0", O_RDONLY)
    call.task.credentials = call.task.credentials.for_user(1234, 1234)
    with pytest.raises(EPERM):
        call("fcntl", fd, F_SETFL, 0o1000000)
