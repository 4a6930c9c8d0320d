"""Pseudo-terminals without processes: timeouts, hang-ups, queues, devpts, the host's, any request."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procession.abi.errno import (
    EACCES,
    EAGAIN,
    EIO,
    ENODEV,
    ENOENT,
    ENOSPC,
    ENOTTY,
    ENXIO,
    EPERM,
    Errno,
)
from procession.abi.ioctls import TerminalIoctl
from procession.abi.termios import Termios
from procession.fs.devices import Devtmpfs
from procession.fs.file import O_NOCTTY, O_NONBLOCK, O_RDWR, POLLERR, POLLHUP, POLLIN, POLLOUT, File
from procession.fs.inode import S_IFCHR
from procession.fs.terminal.devpts import Devpts, DevptsOptions, open_peer
from procession.fs.terminal.host import HostTerminal
from procession.fs.terminal.modes import cooked_modes
from procession.fs.terminal.output_processing import to_lower, to_upper
from procession.fs.terminal.pty import PtySlave
from procession.fs.terminal.tty import NS_PER_TENTH, TtyFile
from procession.fs.wait_queue import Sleep
from tests.fs.file_tree import User, new_tmpfs_tree
from tests.fs.growth import CONSTANT, growth
from tests.fs.terminal_tree import Memory, NoJobs, TerminalPair, new_terminal_tree
from tests.of_a_kind import examples

VMIN, VTIME = 6, 5


class Reader:
    """A read that sleeps and is run again, as a system call is."""

    def __init__(self, pair: TerminalPair, minimum: int, tenths: int) -> None:
        self.pair = pair
        modes = pair.modes
        characters = bytearray(modes.c_cc)
        characters[VMIN], characters[VTIME] = minimum, tenths
        pair.modes = Termios(0, 0, modes.c_cflag, 0, 0, bytes(characters))
        pair.slave.flags &= ~O_NONBLOCK

    def read(self, length: int = 100) -> bytes | int | None:
        """What a read gives: bytes, or when it sleeps its deadline in tenths, None for no deadline."""
        jobs = self.pair.jobs
        try:
            data = self.pair.slave.read(length)
        except Sleep as sleep:
            jobs.progress, jobs.has_slept = sleep.progress, True
            return None if sleep.deadline_ns is None else sleep.deadline_ns // NS_PER_TENTH
        jobs.progress, jobs.has_slept = None, False
        return data

    def at(self, tenths: int) -> None:
        """Set the clock."""
        self.pair.jobs.now_ns = tenths * NS_PER_TENTH


def test_a_time_with_a_minimum_runs_between_two_bytes() -> None:
    pair = TerminalPair()
    reader = Reader(pair, 5, 3)
    assert reader.read() is None
    reader.at(100)
    assert reader.read() is None
    pair.master.write(b"a")
    assert reader.read() == 103
    reader.at(102)
    assert reader.read() == 103
    pair.master.write(b"b")
    assert reader.read() == 105
    reader.at(105)
    assert reader.read() == b"ab"
    pair.master.write(b"abcdefg")
    assert reader.read() == b"abcdefg"
    pair.master.write(b"abc")
    assert reader.read(3) == b"abc"


def test_a_time_without_a_minimum_runs_from_the_beginning() -> None:
    pair = TerminalPair()
    reader = Reader(pair, 0, 3)
    assert reader.read() == 3
    reader.at(2)
    assert reader.read() == 3
    reader.at(3)
    assert reader.read() == b""
    assert reader.read() == 6
    pair.master.write(b"x")
    assert reader.read() == b"x"


def test_a_signal_ends_a_read_with_what_there_is() -> None:
    pair = TerminalPair()
    reader = Reader(pair, 5, 0)
    pair.master.write(b"ab")
    assert reader.read() is None
    pair.jobs.has_pending_signal = True
    assert reader.read() == b"ab"


def test_a_reader_that_sleeps_is_told_of_the_end() -> None:
    pair = TerminalPair()
    reader = Reader(pair, 1, 0)
    assert reader.read() is None
    pair.master.put()
    with pytest.raises(EIO):
        reader.read()
    pair.jobs.progress = None
    assert reader.read() == b""


def test_a_writer_is_woken_when_little_is_left_to_read() -> None:
    pair = TerminalPair()
    woken: list[int] = []

    class Writer:
        """Somebody who waits for room."""

        def wake(self) -> None:
            woken.append(1)

    pair.modes = Termios(0, 0, pair.modes.c_cflag, 0, 0, pair.modes.c_cc)
    while True:
        try:
            pair.slave.write(bytes(1000))
        except EAGAIN:
            break
    pair.slave.tty.write_queue.add(Writer())
    assert not pair.slave.poll_mask() & POLLOUT
    assert len(pair.master.read(1000)) == 1000
    assert woken == []
    while not woken:
        assert pair.waiting(pair.master) > 128
        pair.master.read(1000)
    assert pair.waiting(pair.master) <= 128
    assert pair.slave.poll_mask() & POLLOUT


def test_hanging_up_takes_everything_away() -> None:
    pair = TerminalPair()
    pair.slave.write(b"unseen")
    pair.master.write(b"unread\n")
    pair.master.put()
    assert pair.slave.poll_mask() == 0x15D
    assert pair.slave.poll_mask() & (POLLIN | POLLOUT | POLLERR | POLLHUP)
    assert pair.slave.read(10) == b""
    with pytest.raises(EIO):
        pair.slave.write(b"x")
    with pytest.raises(EIO):
        pair.control(pair.slave, TerminalIoctl.TCGETS)
    with pytest.raises(ENOTTY):
        pair.control(pair.slave, TerminalIoctl.TIOCSPGRP)
    with pytest.raises(ENOENT):
        pair.tree.open("/dev/pts/0", O_RDWR | O_NOCTTY)
    assert pair.tree.names("/dev/pts") == [b"ptmx"]
    assert pair.tree.full_name(pair.slave.path) == b"/dev/pts/0 (deleted)"
    pair.slave.put()


def test_terminals_are_named_by_the_lowest_free_number() -> None:
    tree = new_terminal_tree(NoJobs())
    masters = [tree.open("/dev/ptmx", O_RDWR) for _ in range(3)]
    assert tree.names("/dev/pts") == [b"2", b"1", b"0", b"ptmx"]
    masters[1].put()
    assert tree.names("/dev/pts") == [b"2", b"0", b"ptmx"]
    again = tree.open("/dev/ptmx", O_RDWR)
    assert isinstance(again, TtyFile)
    assert int.from_bytes(TerminalPair.control(again, TerminalIoctl.TIOCGPTN)[:4], "little") == 1
    for name in ("/dev/pts/01", "/dev/pts/7", "/dev/pts/x"):
        with pytest.raises(ENOENT):
            tree.path(name)


def test_the_last_of_many_terminals_costs_what_the_first_did() -> None:
    tree = new_terminal_tree(NoJobs(), memory_bytes=256 << 20)
    masters: list[File] = []
    assert growth(lambda number: masters.append(tree.open("/dev/ptmx", O_RDWR | O_NOCTTY)), 4_000) < CONSTANT
    assert tree.names("/dev/pts")[0] == b"3999"


def test_devpts_has_options() -> None:
    assert DevptsOptions().show() == b"mode=600,ptmxmode=000"
    options = DevptsOptions(gid=5, mode=0o620, ptmx_mode=0o666)
    options.uid, options.maximum = 3, 9
    assert options.show() == b"uid=3,gid=5,mode=620,ptmxmode=666,max=9"


def test_instances_of_devpts_are_apart() -> None:
    tree = new_terminal_tree(NoJobs())
    tree.mkdir("/pts")
    options = DevptsOptions(gid=5, mode=0o620, ptmx_mode=0o666)
    options.maximum = 1
    tree.namespace.mount(Devpts(tree.vfs, options), tree.path("/pts"))
    first = tree.open("/pts/ptmx", O_RDWR)
    inode = tree.path("/pts/0").inode
    assert (inode.mode & 0o7777, inode.uid, inode.gid) == (0o620, 0, 5)
    assert tree.names("/dev/pts") == [b"ptmx"]
    with pytest.raises(ENOSPC):
        tree.open("/pts/ptmx", O_RDWR)
    tree.mknod("/ptmx", S_IFCHR | 0o666, 5 << 8 | 2)
    first.put()
    second = tree.open("/ptmx", O_RDWR)
    assert tree.names("/pts") == [b"0", b"ptmx"]
    assert isinstance(second, TtyFile)
    TerminalPair.control(second, TerminalIoctl.TIOCSPTLCK, bytes(4))
    peer = open_peer(second, O_RDWR | O_NOCTTY, tree.user)
    assert tree.full_name(peer.path) == b"/pts/0"
    with pytest.raises(EPERM):
        tree.unlink("/pts/0")
    with pytest.raises(EACCES):
        tree.create("/pts/new")


def test_nodes_without_a_terminal() -> None:
    tree = new_terminal_tree(NoJobs())
    with pytest.raises(ENXIO):
        tree.open("/dev/tty", O_RDWR)
    with pytest.raises(ENODEV):
        tree.open("/dev/console", O_RDWR)
    bare = new_tmpfs_tree()
    bare.mkdir("/dev")
    bare.namespace.mount(Devtmpfs(bare.vfs), bare.path("/dev"))
    with pytest.raises(ENXIO):
        bare.open("/dev/ptmx", O_RDWR)


def test_the_hosts_terminal_is_a_master() -> None:
    jobs = NoJobs()
    tree = new_terminal_tree(jobs)
    terminal = HostTerminal(tree.path("/dev/pts"), User(7, 8))
    slave = terminal.open_slave(O_RDWR | O_NOCTTY, tree.user)
    slave.acquire()
    assert tree.full_name(slave.path) == b"/dev/pts/0"
    assert (slave.inode.uid, slave.inode.gid) == (7, 8)
    terminal.resize(30, 90)
    assert slave.ioctl(TerminalIoctl.TIOCGWINSZ, 0x1000, memory := Memory()) == 0
    assert bytes(memory.bytes[:4]) == b"\x1e\0\x5a\0"
    assert terminal.feed(b"typed\r\x03") == 7
    assert jobs.signals == [28, 2]
    terminal.feed(b"again\r")
    assert slave.read(100) == b"again\n"
    slave.write(b"shown\n")
    assert terminal.has_output
    assert terminal.take() == b"^Cagain\r\nshown\r\n"
    assert terminal.take() == b""
    terminal.hang_up()
    terminal.hang_up()
    terminal.resize(1, 1)
    assert (terminal.feed(b"x"), terminal.has_room, terminal.take()) == (0, False, b"")
    assert slave.read(100) == b""
    slave.put()
    assert tree.names("/dev/pts") == [b"ptmx"]


def test_nothing_is_lost_between_a_fast_writer_and_the_host() -> None:
    tree = new_terminal_tree(NoJobs())
    terminal = HostTerminal(tree.path("/dev/pts"), tree.user)
    slave = terminal.open_slave(O_RDWR | O_NOCTTY | O_NONBLOCK, tree.user)
    slave.acquire()
    text = b"".join(b"line %d\n" % number for number in range(5000))
    shown = b""
    written = 0
    while written < len(text):
        try:
            written += slave.write(text[written : written + 3000])
        except EAGAIN:
            shown += terminal.take()
    shown += terminal.take()
    assert shown == text.replace(b"\n", b"\r\n")


def test_modes_are_laid_out_three_ways() -> None:
    modes = cooked_modes()
    assert modes.unpack(modes.pack()).pack_with_speeds() == modes.pack_with_speeds()
    assert modes.unpack_with_speeds(modes.pack_with_speeds()).pack() == modes.pack()
    assert modes.unpack_old(modes.pack_old()).pack_with_speeds() == modes.pack_with_speeds()
    assert (len(modes.pack()), len(modes.pack_with_speeds()), len(modes.pack_old())) == (36, 44, 18)


def test_letters_are_latin_1() -> None:
    lower = bytes(to_lower(character) for character in range(256))
    assert bytes(to_upper(character) for character in lower[0x41:0x5B]) == bytes(range(0x41, 0x5B))
    for character in range(256):
        text = bytes((character,)).decode("latin-1")
        if text.isupper():
            assert to_lower(character) == ord(text.lower())
        elif not text.islower():
            assert to_lower(character) == to_upper(character) == character


every_request = st.one_of(
    st.sampled_from([int(request) for request in TerminalIoctl]), st.integers(0, 0x54FF)
)


@settings(max_examples=examples(200))
@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.one_of(every_request, st.binary(max_size=20), st.integers(0, 100)),
            st.binary(max_size=60),
        ),
        max_size=20,
    )
)
def test_any_bytes_give_an_errno_at_worst(
    todo: list[tuple[bool, int | bytes, bytes]],
) -> None:
    """Requests with any argument, writes and reads, in any order, on both ends."""
    pair = TerminalPair()
    for is_master, what, data in todo:
        file = pair.master if is_master else pair.slave
        try:
            if isinstance(what, bytes):
                file.write(what)
            elif what < 100:
                file.read(what)
            else:
                file.ioctl(what, 0x1000, Memory(data))
        except (Errno, Sleep):
            continue
        slave = pair.slave.tty
        assert isinstance(slave, PtySlave)
        assert len(slave.discipline.buffer) <= 4096 + 2
        assert len(slave.pending) <= slave.limit
        assert slave.discipline.output.column >= 0
