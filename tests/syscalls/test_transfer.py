"""sendfile, copy_file_range, splice, tee, vmsplice."""

from __future__ import annotations

from struct import pack

import pytest

from procession.abi.errno import (
    EAGAIN,
    EBADF,
    EFAULT,
    EINVAL,
    EISDIR,
    EOVERFLOW,
    EPIPE,
    ESPIPE,
    EXDEV,
)
from procession.fs.file import O_APPEND, O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY
from procession.fs.host_stream import HostInput, HostOutput
from procession.fs.inode import S_IFCHR, S_IFREG
from procession.fs.wait_queue import Sleep
from tests.syscalls.conftest import END, Caller

CONTENTS = bytes(range(256)) * 20
SIGPIPE = 13
SPLICE_F_NONBLOCK = 2


def received(call: Caller, fd: int, length: int = 20_000) -> bytes:
    """What a read from `fd` gives."""
    buffer = call.space(length)
    return call.read(buffer, call("read", fd, buffer, length))


def new_file(call: Caller, flags: int = 0) -> int:
    return call("open", b"/new\0", O_CREAT | O_RDWR | flags, 0o600)


def test_sendfile_moves_the_position_or_the_offset(call: Caller) -> None:
    source, target = call("open", b"/file\0", O_RDONLY), new_file(call)
    assert call("sendfile", target, source, 0, 100) == 100
    offset = call.put(pack("<q", 1000))
    assert call("sendfile", target, source, offset, 1 << 40) == 4120
    assert call.number(offset, 8) == 5120
    assert call("lseek", source, 0, 1) == 100
    call("lseek", target, 0, 0)
    assert received(call, target) == CONTENTS[:100] + CONTENTS[1000:]


def test_sendfile_into_a_full_pipe(call: Caller) -> None:
    source = new_file(call)
    call("ftruncate", source, 100_000)
    reader, writer = call.pipe()
    assert call("sendfile", writer, source, 0, 100_000) == 65536
    with pytest.raises(Sleep):
        call("sendfile", writer, source, 0, 100_000)
    assert call("lseek", source, 0, 1) == 65536
    received(call, reader, 65536)
    assert call.again() == 34464
    call("close", reader)
    call("lseek", source, 0, 0)
    with pytest.raises(EPIPE):
        call("sendfile", writer, source, 0, 10)
    assert SIGPIPE in call.pending
    assert call("lseek", source, 0, 1) == 0


def test_sendfile_of_a_file_to_its_own_end_returns(call: Caller) -> None:
    """There's always more to send: a call does so many pieces, and tells how far it came."""
    source, target = new_file(call), new_file(call)
    call("write", target, call.put(b"0123456789"), 10)
    moved = call("sendfile", target, source, 0, 1 << 31)
    assert 10 < moved < 1 << 24
    assert moved % 10 == 0
    assert call("lseek", source, 0, 1) == moved
    assert call("lseek", target, 0, 1) == 10 + moved


def test_what_sendfile_refuses(call: Caller) -> None:
    source, target = call("open", b"/file\0", O_RDONLY), new_file(call)
    reader, writer = call.pipe()
    directory = call("open", b"/\0", O_RDONLY)
    event = call("eventfd", 1)
    appending = new_file(call, O_APPEND)
    for output, origin, offset, error in (
        (writer, source, pack("<q", -1), EINVAL),
        (target, reader, 0, EINVAL),
        (target, reader, pack("<q", 0), ESPIPE),
        (source, source, 0, EBADF),
        (target, writer, 0, EBADF),
        (target, directory, 0, EINVAL),
        (event, source, 0, EINVAL),
        (target, event, 0, EINVAL),
        (appending, source, 0, EINVAL),
        (target, source, END, EFAULT),
        (target, call("open", b"/dev/null\0", O_RDWR), 0, EINVAL),
    ):
        with pytest.raises(error):
            call("sendfile", output, origin, offset, 10)
    with pytest.raises(EINVAL):
        call("sendfile", target, source, 0, -1)


def test_copy_file_range(call: Caller) -> None:
    source, target = call("open", b"/file\0", O_RDONLY), new_file(call)
    offset = call.put(pack("<q", 5000))
    assert call("copy_file_range", source, offset, target, 0, 1000, 0) == 120
    assert call.number(offset, 8) == 5120
    assert call("copy_file_range", source, offset, target, 0, 1000, 0) == 0
    assert call("copy_file_range", source, 0, target, 0, 30, 0) == 30
    call("lseek", target, 0, 0)
    assert received(call, target) == CONTENTS[5000:] + CONTENTS[:30]
    assert call("copy_file_range", target, pack("<q", 0), target, pack("<q", 150), 150, 0) == 150


def test_what_copy_file_range_refuses(call: Caller) -> None:
    source, target = call("open", b"/file\0", O_RDONLY), new_file(call)
    call("write", target, b"0123456789", 10)
    call("lseek", target, 7, 0)
    reader, writer = call.pipe()
    directory = call("open", b"/\0", O_RDONLY)
    device = call("open", b"/dev/shm/x\0", O_CREAT | O_RDWR, 0o600)
    for origin, offset, output, length, flags, error in (
        (99, 0, target, 10, 1, EBADF),
        (source, 0, target, 10, 1, EINVAL),
        (source, 0, writer, 10, 0, EINVAL),
        (reader, 0, target, 10, 0, EINVAL),
        (directory, 0, target, 10, 0, EISDIR),
        (source, 0, source, 10, 0, EBADF),
        (source, 0, new_file(call, O_APPEND), 10, 0, EBADF),
        (source, pack("<q", -1), target, 10, 0, EOVERFLOW),
        (source, 0, device, 10, 0, EXDEV),
        (target, pack("<q", 5), target, 10, 0, EINVAL),
    ):
        with pytest.raises(error):
            call("copy_file_range", origin, offset, output, 0, length, flags)


def test_splicing_between_files_and_pipes(call: Caller) -> None:
    source, target = call("open", b"/file\0", O_RDONLY), new_file(call)
    reader, writer = call.pipe()
    offset = call.put(pack("<q", 10))
    assert call("splice", source, offset, writer, 0, 5000, 0) == 5000
    assert call.number(offset, 8) == 5010
    assert call("splice", reader, 0, target, 0, 100, 0) == 100
    place = call.put(pack("<q", 4000))
    assert call("splice", reader, 0, target, place, 1 << 30, 0) == 4900
    assert call.number(place, 8) == 8900
    assert call("lseek", target, 0, 1) == 100
    call("lseek", target, 4000, 0)
    assert received(call, target) == CONTENTS[110:5010]


def test_splicing_blocks_as_reading_and_writing_do(call: Caller) -> None:
    reader, writer = call.pipe()
    other_reader, other_writer = call.pipe()
    target = new_file(call)
    for output in (target, other_writer):
        with pytest.raises(Sleep):
            call("splice", reader, 0, output, 0, 10, 0)
        with pytest.raises(EAGAIN):
            call("splice", reader, 0, output, 0, 10, 2)
    assert call("write", writer, call.space(65536), 65536) == 65536
    source = call("open", b"/file\0", O_RDONLY)
    with pytest.raises(Sleep):
        call("splice", source, 0, writer, 0, 10, 0)
    assert call("splice", reader, 0, other_writer, 0, 1 << 20, 0) == 65536
    with pytest.raises(Sleep):
        call("tee", other_reader, writer, 0, 0) or call("tee", reader, other_writer, 10, 0)
    call("close", writer)
    assert call("splice", reader, 0, target, 0, 10, 0) == 0


def test_what_splice_refuses(call: Caller) -> None:
    reader, writer = call.pipe()
    call("write", writer, b"word", 4)
    source, target = call("open", b"/file\0", O_RDONLY), new_file(call)
    for origin, offset, output, place, flags, error in (
        (source, 0, target, 0, 0, EINVAL),
        (reader, 0, writer, 0, 0, EINVAL),
        (reader, pack("<q", 0), target, 0, 0, ESPIPE),
        (source, 0, writer, pack("<q", 0), 0, ESPIPE),
        (reader, 0, target, 0, 16, EINVAL),
        (writer, 0, target, 0, 0, EBADF),
        (reader, 0, new_file(call, O_APPEND), 0, 0, EINVAL),
        (reader, 0, call("eventfd", 0), 0, 0, EINVAL),
        (reader, 0, target, pack("<q", -1), 0, EINVAL),
    ):
        with pytest.raises(error):
            call("splice", origin, offset, output, place, 10, flags)
    assert call("splice", 99, 0, 99, 0, 0, 0) == 0
    assert received(call, reader) == b"word"


def test_tee_leaves_the_bytes(call: Caller) -> None:
    reader, writer = call.pipe()
    other_reader, other_writer = call.pipe(O_NONBLOCK)
    call("write", writer, b"hello world", 11)
    assert call("tee", reader, other_writer, 5, 0) == 5
    assert received(call, other_reader) == b"hello"
    assert received(call, reader) == b"hello world"
    with pytest.raises(EINVAL):
        call("tee", reader, writer, 5, 0)
    with pytest.raises(EINVAL):
        call("tee", reader, new_file(call), 5, 0)


def test_tee_of_pipes_that_lead_outside(call: Caller) -> None:
    stream, output = HostInput(), HostOutput()
    vfs, subject, files = call.task.kernel.vfs, call.task.credentials, call.task.files
    source = files.install(stream.open(vfs, subject), limit=99)
    target = files.install(output.open(vfs, subject, 1), limit=99)
    reader, writer = call.pipe()
    with pytest.raises(Sleep):
        call("tee", source, writer, 100, 0)
    with pytest.raises(EAGAIN):
        call("tee", source, writer, 100, SPLICE_F_NONBLOCK)
    stream.feed(b"hello world")
    assert call("tee", source, writer, 5, 0) == 5
    assert call("tee", reader, target, 100, 0) == 5
    assert call("tee", source, target, 100, 0) == 11
    assert [data for _, data in output.take()] == [b"hello", b"hello world"]
    assert received(call, reader) == b"hello"
    assert received(call, source) == b"hello world"
    stream.end()
    assert call("tee", source, writer, 5, 0) == 0
    output.break_stream(1)
    call("write", writer, b"more", 4)
    with pytest.raises(EPIPE):
        call("tee", reader, target, 100, 0)
    assert SIGPIPE in call.pending
    # A file or a device outside is no pipe.
    for mode in (S_IFREG | 0o600, S_IFCHR | 0o600):
        other = files.install(output.open(vfs, subject, 2, mode), limit=99)
        with pytest.raises(EINVAL):
            call("tee", reader, other, 100, 0)


def test_vmsplice(call: Caller) -> None:
    reader, writer = call.pipe()
    text = call.put(b"some text")
    assert call("vmsplice", writer, pack("<QQQQ", text, 4, text + 4, 5), 2, 0) == 9
    target = call.space(16)
    assert call("vmsplice", reader, pack("<QQ", target, 6), 1, 0) == 6
    assert call.read(target, 6) == b"some t"
    with pytest.raises(EFAULT):
        call("vmsplice", reader, pack("<QQ", END, 6), 1, 0)
    assert received(call, reader) == b"ext"
    with pytest.raises(EBADF):
        call("vmsplice", call("open", b"/file\0", O_WRONLY), pack("<QQ", text, 4), 1, 0)
