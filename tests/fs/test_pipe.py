"""The ends of pipes and FIFOs: what blocks, what wakes whom, and what poll sees."""

from __future__ import annotations

import pytest

from procession.abi.errno import EAGAIN, EINVAL, ENOTTY, ENXIO, EPIPE
from procession.fs.file import (
    O_DIRECT,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDNORM,
    POLLWRNORM,
)
from procession.fs.inode import S_IFIFO
from procession.fs.pipe import FIONREAD, FifoOpening, PipeFile, create_pipe, pipe_file_system
from procession.fs.wait_queue import Sleep
from tests.fs.file_tree import FileTree, new_tmpfs_tree

READABLE = POLLIN | POLLRDNORM
WRITABLE = POLLOUT | POLLWRNORM


class Sleeper:
    """Somebody on a queue who counts how often they are woken."""

    def __init__(self) -> None:
        self.wakes = 0

    def wake(self) -> None:
        self.wakes += 1


class Memory:
    """User memory that keeps what is written."""

    def __init__(self) -> None:
        self.written: dict[int, bytes] = {}

    def read(self, address: int, length: int) -> bytes:
        return self.written[address][:length]

    def write(self, address: int, data: bytes) -> None:
        self.written[address] = data


@pytest.fixture
def tree() -> FileTree:
    tree = new_tmpfs_tree()
    tree.mknod("/fifo", S_IFIFO | 0o600)
    return tree


def new_ends(tree: FileTree, flags: int = 0) -> tuple[PipeFile, PipeFile]:
    reader, writer = create_pipe(tree.vfs, flags, tree.user)
    reader.acquire()
    writer.acquire()
    return reader, writer


def test_an_empty_pipe_blocks_its_reader_until_there_is_something(tree: FileTree) -> None:
    reader, writer = new_ends(tree)
    with pytest.raises(Sleep) as caught:
        reader.read(10)
    (queue,) = caught.value.queues
    sleeper = Sleeper()
    queue.add(sleeper)
    assert reader.read(0) == b""
    assert writer.write(b"word") == 4
    assert sleeper.wakes == 1
    assert reader.read(2) == b"wo"
    assert reader.read(10) == b"rd"


def test_a_full_pipe_blocks_its_writer_until_a_page_is_free(tree: FileTree) -> None:
    reader, writer = new_ends(tree)
    assert writer.write(bytes(70000)) == 65536
    with pytest.raises(Sleep) as caught:
        writer.write(b"more")
    sleeper = Sleeper()
    caught.value.queues[0].add(sleeper)
    reader.read(4095)
    assert writer.poll_mask() == 0
    reader.read(1)
    assert writer.poll_mask() == WRITABLE
    assert sleeper.wakes > 0
    assert writer.write(b"more") == 4


def test_nothing_blocks_with_o_nonblock(tree: FileTree) -> None:
    reader, writer = new_ends(tree, O_NONBLOCK)
    with pytest.raises(EAGAIN):
        reader.read(1)
    assert writer.write(bytes(1 << 20)) == 65536
    with pytest.raises(EAGAIN):
        writer.write(b"x")


def test_the_last_writer_s_close_is_the_end_of_file(tree: FileTree) -> None:
    reader, writer = new_ends(tree)
    sleeper = Sleeper()
    reader.wait_queues()[0].add(sleeper)
    writer.write(b"end")
    writer.put()
    assert sleeper.wakes == 2
    assert reader.poll_mask() == READABLE | POLLHUP
    assert reader.read(10) == b"end"
    assert reader.read(10) == b""
    assert reader.poll_mask() == POLLHUP


def test_without_a_reader_writing_fails(tree: FileTree) -> None:
    reader, writer = new_ends(tree)
    reader.put()
    assert writer.poll_mask() == WRITABLE | POLLERR
    assert writer.write(b"") == 0
    with pytest.raises(EPIPE):
        writer.write(b"x")


def test_packets_end_reads_and_lose_what_does_not_fit(tree: FileTree) -> None:
    reader, writer = new_ends(tree, O_DIRECT)
    assert writer.flags & O_DIRECT
    for packet in (b"first", b"second", bytes(5000)):
        assert writer.write(packet) == len(packet)
    assert reader.read(3) == b"fir"
    assert reader.read(100) == b"second"
    assert len(reader.read(9000)) == 4096
    assert len(reader.read(9000)) == 904


def test_the_machine_s_pages_come_back_when_both_ends_are_closed(tree: FileTree) -> None:
    accounts = pipe_file_system(tree.vfs).accounts
    reader, writer = new_ends(tree)
    assert accounts.total_pages == 16
    reader.put()
    assert accounts.total_pages == 16
    writer.put()
    assert (accounts.total_pages, accounts.pages) == (0, {})


def test_fionread_counts_bytes(tree: FileTree) -> None:
    reader, writer = new_ends(tree)
    memory = Memory()
    writer.write(b"12345")
    assert reader.ioctl(FIONREAD, 8, memory) == 0
    assert memory.written == {8: (5).to_bytes(4, "little")}
    with pytest.raises(ENOTTY):
        writer.ioctl(0x5401, 8, memory)


def open_again(tree: FileTree, opening: object) -> PipeFile:
    """What the second run of open(2) does."""
    file = tree.path("/fifo").inode.open(tree.path("/fifo"), 0, tree.user, opening)
    assert isinstance(file, PipeFile)
    return file


def test_opening_a_fifo_waits_for_the_other_side(tree: FileTree) -> None:
    with pytest.raises(Sleep) as caught:
        tree.open("/fifo", O_RDONLY)
    opening = caught.value.progress
    with pytest.raises(Sleep):
        open_again(tree, opening)
    sleeper = Sleeper()
    caught.value.queues[0].add(sleeper)
    # The waiting reader counts already: the writer needn't wait, nor get ENXIO, and can write.
    writer = tree.open("/fifo", O_WRONLY | O_NONBLOCK)
    assert sleeper.wakes == 1
    assert writer.write(b"early") == 5
    writer.put()
    reader = open_again(tree, opening)
    assert reader.read(10) == b"early"
    assert reader.read(10) == b""


def test_an_interrupted_opening_leaves_no_reader_behind(tree: FileTree) -> None:
    with pytest.raises(Sleep) as caught:
        tree.open("/fifo", O_RDONLY)
    assert isinstance(caught.value.progress, FifoOpening)
    caught.value.progress.abandon()
    with pytest.raises(ENXIO):
        tree.open("/fifo", O_WRONLY | O_NONBLOCK)
    assert tree.path("/fifo").inode.pipe is None
    assert pipe_file_system(tree.vfs).accounts.total_pages == 0


def test_fifos_that_do_not_wait(tree: FileTree) -> None:
    with pytest.raises(EINVAL):
        tree.open("/fifo", 3)
    both = tree.open("/fifo", O_RDWR)
    assert both.poll_mask() == WRITABLE
    assert both.write(b"self") == 4
    assert both.poll_mask() == READABLE | WRITABLE
    assert len(both.wait_queues()) == 2
    assert both.read(10) == b"self"
    both.put()


def test_poll_sees_no_hang_up_before_the_first_writer(tree: FileTree) -> None:
    reader = tree.open("/fifo", O_RDONLY | O_NONBLOCK)
    assert reader.poll_mask() == 0
    assert reader.read(1) == b""
    writer = tree.open("/fifo", O_WRONLY)
    assert reader.poll_mask() == 0
    writer.put()
    assert reader.poll_mask() == POLLHUP


def test_a_fifo_keeps_times_and_a_pipe_does_not(tree: FileTree) -> None:
    fifo = tree.open("/fifo", O_RDWR)
    reader, writer = new_ends(tree)
    for file in (fifo, writer):
        tree.vfs.clock.realtime_ns += 10**9  # type: ignore[misc]
        before = file.inode.mtime_ns
        file.write(b"x")
        assert (file.inode.mtime_ns > before) is (file is fifo)
    assert reader.read(1) == b"x"
    assert reader.inode.atime_ns < tree.vfs.clock.realtime_ns


def test_a_pipe_opened_by_its_name_in_proc_does_not_wait(tree: FileTree) -> None:
    reader, writer = new_ends(tree)
    again = reader.inode.open(reader.path, O_WRONLY, tree.user)
    again.acquire()
    writer.put()
    assert again.write(b"still open") == 10
    assert reader.read(20) == b"still open"
    assert reader.path.dentry.name == b"pipe:[%d]" % reader.inode.number
