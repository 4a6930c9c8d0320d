"""read, write and their relatives: bad addresses, limits, broken pipes, how a blocked write goes on."""

from __future__ import annotations

from struct import pack

import pytest

from procession.abi.errno import (
    EAGAIN,
    EBADF,
    EFAULT,
    EFBIG,
    EINVAL,
    EISDIR,
    EOPNOTSUPP,
    EPIPE,
    ERESTARTSYS,
    ESPIPE,
)
from procession.fs.file import O_APPEND, O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY
from procession.fs.wait_queue import Sleep
from procession.kernel.rlimit import RLIMIT_FSIZE
from tests.syscalls.conftest import END, Caller

SIGPIPE, SIGXFSZ = 13, 25


def vector(*buffers: tuple[int, int]) -> bytes:
    """An array of struct iovec."""
    return b"".join(pack("<QQ", address, length % (1 << 64)) for address, length in buffers)


def test_a_read_that_the_memory_cannot_hold_gives_what_it_can(call: Caller) -> None:
    fd = call("open", b"/file\0", O_RDONLY)
    assert call("read", fd, END - 10, 100) == 10
    assert call.read(END - 10, 10) == bytes(range(10))
    assert call("lseek", fd, 0, 1) == 10
    with pytest.raises(EFAULT):
        call("read", fd, END, 100)
    assert call("lseek", fd, 0, 1) == 10
    assert call("pread64", fd, END - 4, 5000, 0) == 4


def test_a_pipe_loses_nothing_to_a_bad_address(call: Caller) -> None:
    reader, writer = call.pipe()
    assert call("write", writer, b"precious", 8) == 8
    for address in (END, END - 3):
        with pytest.raises(EFAULT):
            call("read", reader, address, 8)
    with pytest.raises(EFAULT):
        call("readv", reader, vector((call.space(2), 2), (8, 6)), 2)
    buffer = call.space(8)
    assert call("read", reader, buffer, 100) == 8
    assert call.read(buffer, 8) == b"precious"


def test_writing_from_bad_addresses(call: Caller) -> None:
    fd = call("open", b"/new\0", O_CREAT | O_RDWR, 0o600)
    assert call("write", fd, END - 10, 20) == 10
    assert call("pwrite64", fd, END - 10, 20, 100) == 10
    with pytest.raises(EFAULT):
        call("write", fd, END, 20)
    reader, writer = call.pipe(O_NONBLOCK)
    with pytest.raises(EFAULT):
        call("write", writer, END - 10, 20)
    with pytest.raises(EAGAIN):
        call("read", reader, call.space(8), 8)


def test_addresses_outside_of_user_space_are_refused_first(call: Caller) -> None:
    reader, _ = call.pipe()
    for address, count in ((1 << 63, 1), (END - 10, -1), (0x7FFF_FFFF_F000, 1)):
        with pytest.raises(EFAULT):
            call("read", reader, address, count)


def test_devices_swallow_what_is_not_even_read(call: Caller) -> None:
    fd = call("open", b"/dev/null\0", O_WRONLY)
    assert call("write", fd, 8, 1 << 32) == 0x7FFFF000
    assert call("writev", fd, vector((8, 3), (16, 4)), 2) == 7


def test_descriptors_that_do_not_fit(call: Caller) -> None:
    reader, writer = call.pipe()
    directory = call("open", b"/\0", O_RDONLY)
    buffer = call.space(8)
    for name, fd in (("read", writer), ("write", reader), ("read", 99), ("write", directory)):
        with pytest.raises(EBADF):
            call(name, fd, buffer, 8)
    with pytest.raises(EISDIR):
        call("read", directory, buffer, 8)
    with pytest.raises(ESPIPE):
        call("pread64", reader, buffer, 8, 0)
    with pytest.raises(EINVAL):
        call("pread64", 99, buffer, 8, -1)
    with pytest.raises(ESPIPE):
        call("lseek", reader, 0, 0)
    with pytest.raises(EINVAL):
        call("lseek", directory, 0, 9)


def test_vectors(call: Caller) -> None:
    fd = call("open", b"/new\0", O_CREAT | O_RDWR, 0o600)
    one, two, three = call.put(b"one"), call.put(b"two"), call.put(b"three")
    assert call("writev", fd, vector((one, 3), (0, 0), (two, 3), (three, 5)), 4) == 11
    target = call.space(16)
    assert call("preadv", fd, vector((target, 2), (target + 8, 4)), 2, 1) == 6
    assert call.read(target, 12) == b"ne\0\0\0\0\0\0twot"
    assert call("pwritev", fd, vector((two, 3)), 1, 0) == 3
    assert call("preadv2", fd, vector((target, 5)), 1, -1, 0, 0) == 0
    assert call("lseek", fd, 0, 0) == 0
    assert call("preadv2", fd, vector((target, 5)), 1, -1, 0, 0) == 5
    assert call.read(target, 5) == b"twotw"


@pytest.mark.parametrize("count", [1025, -1])
def test_vectors_that_are_too_long(call: Caller, count: int) -> None:
    fd = call("open", b"/file\0", O_RDONLY)
    with pytest.raises(EINVAL):
        call("readv", fd, vector((8, 1)), count)


def test_vectors_with_bad_entries(call: Caller) -> None:
    fd = call("open", b"/file\0", O_RDONLY)
    buffer = call.space(8)
    with pytest.raises(EINVAL):
        call("readv", fd, vector((8, 1), (buffer, -1)), 2)
    with pytest.raises(EFAULT):
        call("readv", fd, vector((buffer, 1), (1 << 63, 1)), 2)
    with pytest.raises(EFAULT):
        call("readv", fd, END, 1)
    assert call("readv", fd, vector((buffer, 2), (8, 5)), 2) == 2
    assert call("readv", fd, 0, 0) == 0


def test_flags_of_one_call(call: Caller) -> None:
    fd = call("open", b"/new\0", O_CREAT | O_RDWR, 0o600)
    data = vector((call.put(b"abc"), 3))
    assert call("write", fd, b"12345", 5) == 5
    assert call("pwritev2", fd, data, 1, 0, 0, 0x10) == 3
    assert call("pwritev2", fd, data, 1, -1, 0, 0x10) == 3
    assert call("lseek", fd, 0, 1) == 11
    buffer = call.space(16)
    assert call("pread64", fd, buffer, 16, 0) == 11
    assert call.read(buffer, 11) == b"12345abcabc"
    call("fcntl", fd, 4, O_APPEND)
    assert call("pwritev2", fd, data, 1, 0, 0, 0x20) == 3
    assert call("pread64", fd, buffer, 16, 0) == 11
    assert call.read(buffer, 5) == b"abc45"
    for flags, error in ((0x30, EINVAL), (0x40, EOPNOTSUPP), (0x1000, EOPNOTSUPP)):
        with pytest.raises(error):
            call("pwritev2", fd, data, 1, 0, 0, flags)
    reader, writer = call.pipe()
    with pytest.raises(EAGAIN):
        call("preadv2", reader, data, 1, -1, 0, 8)
    assert call("pwritev2", writer, data, 1, -1, 0, 8) == 3


def test_a_blocked_write_goes_on_where_it_stopped(call: Caller) -> None:
    reader, writer = call.pipe()
    data = bytes(n % 251 for n in range(150_000))
    source = call.put(data)
    target = call.space(65536)
    with pytest.raises(Sleep):
        call("write", writer, source, len(data))
    assert (call.slept.progress, call.slept.interrupted) == (65536, 65536)
    received = b""
    while True:
        count = call("read", reader, target, 65536)
        received += call.read(target, count)
        try:
            assert call.again() == len(data)
            break
        except Sleep:
            continue
    assert call("read", reader, target, 65536) == len(data) - len(received)
    assert received + call.read(target, len(data) - len(received)) == data


def test_a_write_that_has_done_nothing_is_restarted(call: Caller) -> None:
    _, writer = call.pipe()
    source = call.space(65536)
    assert call("write", writer, source, 65536) == 65536
    with pytest.raises(Sleep):
        call("write", writer, source, 4096)
    assert (call.slept.progress, call.slept.interrupted) == (None, ERESTARTSYS)


def test_a_reader_that_leaves_ends_a_blocked_write(call: Caller) -> None:
    call.handle(SIGPIPE)
    reader, writer = call.pipe()
    source = call.space(100_000)
    with pytest.raises(Sleep):
        call("write", writer, source, 100_000)
    call("close", reader)
    assert call.again() == 65536
    assert call.pending == {SIGPIPE}


def test_a_broken_pipe_signals_its_writer(call: Caller) -> None:
    call.handle(SIGPIPE)
    reader, writer = call.pipe()
    call("close", reader)
    for name, arguments in (("write", (b"x", 1)), ("writev", (vector((call.put(b"x"), 1)), 1))):
        call.task.pending.take_next(0)
        with pytest.raises(EPIPE):
            call(name, writer, *arguments)
        assert call.pending == {SIGPIPE}


def test_the_limit_of_a_file_s_size(call: Caller) -> None:
    fd = call("open", b"/new\0", O_CREAT | O_RDWR, 0o600)
    call.task.group.limits.soft[RLIMIT_FSIZE] = 10
    assert call("write", fd, b"0123456", 7) == 7
    assert call("write", fd, b"789abcd", 7) == 3
    assert call.pending == set()
    with pytest.raises(EFBIG):
        call("write", fd, b"x", 1)
    assert call.pending == {SIGXFSZ}
    assert call("write", fd, b"", 0) == 0
    with pytest.raises(EFBIG):
        call("ftruncate", fd, 11)
    assert call("ftruncate", fd, 5) == 0
    assert call("pwrite64", fd, b"xyz", 3, 8) == 2
    _, writer = call.pipe()
    assert call("write", writer, b"pipes have no size", 18) == 18
