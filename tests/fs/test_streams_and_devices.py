"""/dev and the machine's standard streams."""

from __future__ import annotations

import pytest

from procession.abi.errno import EACCES, EAGAIN, EINVAL, ENOSPC, ENOTTY, ENXIO, EPIPE
from procession.fs.devices import Devtmpfs
from procession.fs.file import O_NONBLOCK, O_RDWR, O_WRONLY, POLLERR, POLLHUP, POLLIN, POLLOUT, File
from procession.fs.file_events import (
    IN_ACCESS,
    IN_MODIFY,
    IN_OPEN,
    FileEvents,
    note_access,
    note_modification,
)
from procession.fs.host_stream import HostInput, HostOutput
from procession.fs.inode import S_IFCHR, S_IFIFO
from procession.fs.mounts.mount import MS_NODEV
from procession.fs.wait_queue import Sleep
from tests.fs.file_tree import FileTree, User, new_tmpfs_tree


@pytest.fixture
def tree() -> FileTree:
    tree = new_tmpfs_tree()
    tree.mkdir("/dev")
    tree.namespace.mount(Devtmpfs(tree.vfs), tree.path("/dev"))
    return tree


class Memory:
    """A program's memory, of one page at 0x1000."""

    def __init__(self) -> None:
        self.bytes = bytearray(4096)

    def read(self, address: int, length: int) -> bytes:
        return bytes(self.bytes[address - 0x1000 : address - 0x1000 + length])

    def write(self, address: int, data: bytes) -> None:
        self.bytes[address - 0x1000 : address - 0x1000 + len(data)] = data


def test_null_zero_full(tree: FileTree) -> None:
    null, zero, full = (tree.open(name, O_RDWR) for name in ("/dev/null", "/dev/zero", "/dev/full"))
    assert (null.read(10), zero.read(10), full.read(10)) == (b"", bytes(10), bytes(10))
    assert (null.write(b"abc"), zero.write(b"abc")) == (3, 3)
    with pytest.raises(ENOSPC):
        full.write(b"abc")
    assert (null.seek(5, 0), zero.read_at(99, 2), zero.maps_zeros, null.maps_zeros) == (
        0,
        b"\0\0",
        True,
        False,
    )
    with pytest.raises(ENOTTY):
        null.ioctl(0x5401, 0, Memory())


def test_random_bytes_are_the_machines(tree: FileTree) -> None:
    assert tree.open("/dev/urandom").read(4) == bytes([0, 1, 2, 3])
    file = tree.open("/dev/random", O_RDWR)
    assert file.read(2) == bytes([4, 5])
    assert file.write(b"seed") == 4
    memory = Memory()
    assert file.ioctl(0x80045200, 0x1000, memory) == 0
    assert memory.bytes[:4] == (256).to_bytes(4, "little")
    assert file.ioctl(0x5204, 0, memory) == 0
    assert tree.open("/dev/urandom").read(2) == bytes([6, 7])
    with pytest.raises(EINVAL):
        file.ioctl(0x5401, 0, memory)


def test_what_is_in_dev(tree: FileTree) -> None:
    assert tree.path("/dev/null").inode.rdev == 0x103
    assert tree.path("/dev/null").inode.mode == S_IFCHR | 0o666
    assert tree.path("/dev/stdin", follow=False).inode.readlink() == b"/proc/self/fd/0"
    assert tree.path("/dev/shm").inode.mode & 0o7777 == 0o1777
    with pytest.raises(ENXIO):
        tree.open("/dev/tty")
    assert tree.path("/dev/net/tun").inode.rdev == 0xAC8
    assert tree.path("/dev").inode.link_count == 6
    tree.create("/dev/new")


def test_a_device_node_elsewhere_is_the_same_device(tree: FileTree) -> None:
    tree.mknod("/zero", S_IFCHR | 0o666, 0x105)
    assert tree.open("/zero").read(3) == bytes(3)
    tree.path("/").mount.flags |= MS_NODEV
    with pytest.raises(EACCES):
        tree.open("/zero")


def test_input(tree: FileTree) -> None:
    stream = HostInput()
    file = stream.open(tree.vfs, tree.user)
    file.acquire()
    assert file.inode.mode & 0o170000 == S_IFIFO
    with pytest.raises(Sleep) as sleep:
        file.read(10)
    assert sleep.value.queues == file.wait_queues()
    assert file.poll_mask() == 0
    stream.feed(b"line\nmore")
    memory = Memory()
    assert file.ioctl(0x541B, 0x1000, memory) == 0
    assert memory.bytes[0] == 9
    assert file.poll_mask() & POLLIN
    assert file.read(5) == b"line\n"
    assert file.read(100) == b"more"
    file.flags |= O_NONBLOCK
    with pytest.raises(EAGAIN):
        file.read(1)
    stream.end()
    assert file.poll_mask() == POLLHUP
    assert file.read(1) == b""


def test_input_wakes_who_waits(tree: FileTree) -> None:
    woken: list[str] = []

    class Sleeper:
        def wake(self) -> None:
            woken.append("now")

    stream = HostInput()
    was_wanted = stream.is_wanted
    stream.queue.add(Sleeper())
    assert (was_wanted, stream.is_wanted) == (False, True)
    stream.feed(b"")
    assert woken == []
    stream.feed(b"x")
    assert woken == ["now"]
    assert not stream.is_wanted


def test_output(tree: FileTree) -> None:
    stream = HostOutput(limit=5000)
    out, err = (stream.open(tree.vfs, tree.user, number) for number in (1, 2))
    assert out.write(b"one") == 3
    assert err.write(b"two") == 3
    assert out.write(b"three") == 5
    assert stream.take() == [(1, b"one"), (2, b"two"), (1, b"three")]
    assert stream.take() == []
    assert out.write(bytes(6000)) == 5000
    assert not err.poll_mask() & POLLOUT
    with pytest.raises(Sleep):
        err.write(b"x")
    stream.take()
    assert err.write(b"x") == 1
    stream.break_stream(1)
    assert out.poll_mask() & POLLERR
    with pytest.raises(EPIPE):
        out.write(b"x")
    assert err.write(b"y") == 1


def test_streams_can_be_opened_again_by_their_inode(tree: FileTree) -> None:
    stream = HostOutput()
    first = stream.open(tree.vfs, tree.user, 1)
    again: File = first.inode.open(first.path, O_WRONLY, User(0))
    again.write(b"again")
    assert stream.take() == [(1, b"again")]
    assert tree.full_name(first.path) == b"pipe:[%d]" % first.inode.number
    with pytest.raises(EACCES):
        first.inode.open(first.path, O_RDWR, User(0))


class Watch:
    """Keeps what it's told."""

    is_blind_to_unlinked = False

    def __init__(self) -> None:
        self.told: list[tuple[int, bytes]] = []

    def happened(self, mask: int, name: bytes = b"", cookie: int = 0) -> None:
        self.told.append((mask, name))

    def inode_is_gone(self) -> None:
        raise AssertionError("it's there")


def test_who_watches_the_directory_does_not_hear_what_passes_a_device(tree: FileTree) -> None:
    # As of Linux 6.18, in a late release: many hosts have none, so no guest program asserts it.
    events = tree.vfs.file_events = FileEvents()
    directory, device = Watch(), Watch()
    events.add_watch(tree.path("/dev").inode, directory)
    events.add_watch(tree.path("/dev/null").inode, device)
    null = tree.open("/dev/null", O_RDWR)
    null.write(b"abc")
    note_modification(null)
    note_access(null)
    assert directory.told == [(IN_OPEN, b"null")]
    assert device.told == [(IN_OPEN, b""), (IN_MODIFY, b""), (IN_ACCESS, b"")]
