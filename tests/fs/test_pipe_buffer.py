"""The bytes inside a pipe, against a model that has Linux's ring of pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession.abi.errno import EBUSY, EINVAL, ENFILE, ENOMEM, EPERM
from procession.fs.pipe_buffer import Pipe, PipeAccounts, new_pipe
from procession.hardware.physical_memory import PhysicalMemory
from tests.fs.file_tree import User

PAGE = 4096
ADMINISTRATOR, SOMEBODY = User(0), User(7)


class Ring:
    """The ring as pipe_read and pipe_write of fs/pipe.c treat it: pages with offset and length."""

    def __init__(self, slot_count: int) -> None:
        self.slot_count = slot_count
        self.pages: list[tuple[int, bytes, bool]] = []

    def write(self, data: bytes, is_packet: bool) -> int:
        """Write what fits."""
        odd, done = len(data) % PAGE, 0
        if odd and self.pages:
            offset, page, packet = self.pages[-1]
            if not packet and offset + len(page) + odd <= PAGE:
                self.pages[-1] = (offset, page + data[:odd], packet)
                done = odd
        while done < len(data) and len(self.pages) < self.slot_count:
            self.pages.append((0, data[done : done + PAGE], is_packet))
            done += len(self.pages[-1][1])
        return done

    def read(self, length: int) -> bytes:
        """Read up to `length` bytes, or to the end of a packet."""
        result = b""
        while self.pages and length:
            offset, page, packet = self.pages.pop(0)
            result += page[:length]
            if packet:
                break
            if len(page) > length:
                self.pages.insert(0, (offset + length, page[length:], packet))
            length -= min(length, len(page))
        return result


sizes = st.one_of(
    st.integers(1, 300), st.sampled_from([PAGE - 1, PAGE, PAGE + 1, 65536, 65535]), st.integers(1, 70000)
)
steps = st.lists(st.tuples(st.sampled_from(["write", "packet", "read"]), sizes), max_size=60)


def small_pipe(slots: int = 16) -> Pipe:
    """A pipe of `slots` pages with accounts of its own."""
    accounts = PipeAccounts(1 << 20, PhysicalMemory(16 << 20))
    pipe = new_pipe(accounts, ADMINISTRATOR)
    pipe.resize(slots * PAGE, ADMINISTRATOR)
    return pipe


@given(steps, st.sampled_from([1, 2, 4, 16]))
def test_pipe_agrees_with_a_ring_of_pages(actions: list[tuple[str, int]], slots: int) -> None:
    """Every read, write, count of bytes and count of pages is the ring's."""
    pipe, ring, written = small_pipe(slots), Ring(slots), 0
    for action, size in actions:
        if action == "read":
            ahead = pipe.peek(size)
            data = pipe.take(size)
            assert data == ahead == ring.read(size)
        else:
            data = bytes((written + i) % 251 for i in range(size))
            written += size
            room = pipe.room(size)
            assert pipe.put(data, action == "packet") == ring.write(data, action == "packet") == room
        assert pipe.used_slots == len(ring.pages)
        assert pipe.length == sum(len(page) for _, page, _ in ring.pages)
        assert pipe.is_full == (len(ring.pages) == slots)


def test_small_writes_fill_the_pipe_to_its_last_byte_in_few_chunks() -> None:
    """65,536 writes of one byte fit, and don't become as many objects."""
    pipe = small_pipe()
    for _ in range(65536):
        assert pipe.put(b"x", is_packet=False) == 1
    assert pipe.put(b"x", is_packet=False) == 0
    assert len(pipe.chunks) == 16
    assert pipe.length == 65536


def test_writes_that_leave_gaps_fill_the_pipe_early() -> None:
    """A write that doesn't fit into the last page starts a new one."""
    pipe = small_pipe()
    for _ in range(16):
        assert pipe.put(bytes(3000), is_packet=False) == 3000
    assert pipe.put(bytes(3000), is_packet=False) == 0
    assert pipe.put(bytes(1096), is_packet=False) == 1096


def test_large_write_is_stored_without_a_copy() -> None:
    """Throughput: 64 KiB go in and come out as the same object."""
    pipe, data = small_pipe(), bytes(65536)
    pipe.put(data, is_packet=False)
    assert pipe.take(65536) is data


def test_resize_follows_the_limits_of_fcntl() -> None:
    """F_SETPIPE_SZ rounds up to powers of two, and refuses what doesn't fit."""
    pipe = small_pipe()
    assert pipe.resize(0, SOMEBODY) == PAGE
    assert pipe.resize(PAGE + 1, SOMEBODY) == 2 * PAGE
    assert pipe.resize(1 << 20, SOMEBODY) == 1 << 20
    with pytest.raises(EPERM):
        pipe.resize((1 << 20) + 1, SOMEBODY)
    assert pipe.resize((1 << 20) + 1, ADMINISTRATOR) == 1 << 21
    with pytest.raises(EINVAL):
        pipe.resize((1 << 31) + 1, ADMINISTRATOR)
    pipe.put(bytes(3 * PAGE), is_packet=False)
    with pytest.raises(EBUSY):
        pipe.resize(2 * PAGE, ADMINISTRATOR)
    assert pipe.resize(3 * PAGE, ADMINISTRATOR) == 4 * PAGE


def test_pages_are_counted_by_user_and_for_the_machine() -> None:
    """Past the soft limit pipes have two pages, past the hard one and the machine's there are none."""
    accounts = PipeAccounts(100, PhysicalMemory(16 << 20))
    accounts.soft_pages = 40
    accounts.hard_pages = 36
    pipes = [new_pipe(accounts, SOMEBODY) for _ in range(2)]
    assert [pipe.slot_count for pipe in pipes] == [16, 16]
    assert new_pipe(accounts, SOMEBODY).slot_count == 2
    new_pipe(accounts, SOMEBODY)
    with pytest.raises(ENFILE):
        new_pipe(accounts, SOMEBODY)
    other = new_pipe(accounts, ADMINISTRATOR)
    with pytest.raises(ENOMEM):
        other.resize(1 << 20, ADMINISTRATOR)
    with pytest.raises(EPERM):
        pipes[0].resize(1 << 17, SOMEBODY)
    for pipe in pipes:
        pipe.discard()
    assert accounts.pages == {7: 4, 0: 16}
    assert accounts.total_pages == 20


@given(steps, st.integers(1, 70000), st.integers(0, 70000))
def test_bytes_that_were_put_back_come_again(actions: list[tuple[str, int]], length: int, kept: int) -> None:
    """A read whose destination was bad in the middle loses nothing."""
    pipe = small_pipe()
    for action, size in actions:
        if action == "write":
            pipe.put(bytes(i % 251 for i in range(size)), is_packet=False)
        elif action == "read":
            pipe.take(size)
    everything = pipe.peek(1 << 20)
    data = pipe.take(length)
    if data[kept:]:
        pipe.put_back(data[kept:])
    assert data[:kept] + pipe.take(1 << 20) == everything
    assert (pipe.length, pipe.used_slots) == (0, 0)


def test_pages_of_others_are_given_back_once_read() -> None:
    """A pipe holds a page while bytes of it wait, as does each that has it, and shows what is there then."""
    pipe, other = small_pipe(), small_pipe()
    memory = other.accounts.frames = pipe.accounts.frames
    frames = [memory.allocate_with(letter * PAGE) for letter in (b"a", b"b")]
    references = memory.references
    assert pipe.add_pages(b"a" * 10 + b"b" * 10, PAGE - 10, frames) == 20
    assert [references[frame] for frame in frames] == [2, 2]
    memory.bytes[(frames[0] << 12) + PAGE - 1] = ord("c")
    assert pipe.take(9) == b"a" * 9
    assert pipe.copy_pages(other, 3) == 3
    assert [references[frame] for frame in frames] == [3, 3]
    assert pipe.take(2) == b"cb"
    assert [references[frame] for frame in frames] == [2, 3]
    pipe.put_back(b"cb")
    assert pipe.peek(20) == b"c" + b"b" * 10
    memory.bytes[frames[1] << 12] = ord("d")
    assert other.take(3) == b"cdb"
    pipe.drop(11)
    assert [references[frame] for frame in frames] == [1, 1]
    pipe.add_pages(b"b", 0, frames[1:])
    pipe.discard()
    assert references[frames[1]] == 1
