"""Pseudo-terminals: a master and a slave, each the far end of the other (pty(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.device_numbers import Major
from procession.abi.errno import EIO
from procession.abi.termios import PacketFlag
from procession.fs.terminal.modes import (
    CREAD,
    CS8,
    CSIZE,
    EXTPROC,
    IXON,
    PARENB,
    VSTART,
    VSTOP,
    TerminalModes,
    cooked_modes,
    raw_modes,
)
from procession.fs.terminal.tty import SIGWINCH, Tty, TtyFile

if TYPE_CHECKING:
    from procession.fs.terminal.devpts import SlaveInode
    from procession.fs.terminal.job_control import JobControl

_FLUSHREAD = int(PacketFlag.TIOCPKT_FLUSHREAD)
_FLUSHWRITE = int(PacketFlag.TIOCPKT_FLUSHWRITE)
_STOP = int(PacketFlag.TIOCPKT_STOP)
_START = int(PacketFlag.TIOCPKT_START)
_NOSTOP = int(PacketFlag.TIOCPKT_NOSTOP)
_DOSTOP = int(PacketFlag.TIOCPKT_DOSTOP)
_IOCTL = int(PacketFlag.TIOCPKT_IOCTL)
_CTRL_S, _CTRL_Q = 0x13, 0x11


class PtyEnd(Tty):
    """Either end (Linux: drivers/tty/pty.c). What one is sent as output the other gets as input.

    `packet_status` tells what has happened at this end until the other, in packet mode, has read it.
    """

    __slots__ = ("link",)
    link: PtyEnd

    def take_looked_count(self) -> int:
        far = self.link.discipline
        count, far.looked_count = far.looked_count, 0
        return count + super().take_looked_count()

    def output_room(self) -> int:
        return 0 if self.is_stopped else self.link.arrival_room

    def put_output(self, data: bytes) -> int:
        """Linux: drivers/tty/pty.c, pty_write."""
        return 0 if self.is_stopped else self.link.arrive(data)

    @property
    def is_held_up(self) -> bool:
        """What the other end sends while it looks at its input follows when it has seen all of that.

        In between, an interrupt character may drop it. On Linux a worker does the one after the other.
        """
        return self.link.is_receiving

    def pull(self) -> None:
        before = len(self.link.pending)
        super().pull()
        # What was there before waits for something else to arrive: nobody heard it, as the end is hung up.
        if len(self.link.pending) > before and not self.link.discipline.lacks_room:
            self.link.pull()

    def flush_output(self) -> None:
        """Linux: drivers/tty/pty.c, pty_flush_buffer."""
        self.link.pending.clear()
        if self.link.is_packet_mode:
            self.packet_status |= _FLUSHWRITE
            self.link.read_queue.wake_all()

    def readers_are_done(self) -> None:
        self.link.wake_writers()

    def take_status(self) -> int:
        status = self.link.packet_status
        self.link.packet_status = 0
        return status

    def has_status(self) -> bool:
        return bool(self.link.packet_status)

    def note_status(self, cleared: int, added: int) -> None:
        """Change what a far end in packet mode will read."""
        if self.link.is_packet_mode:
            self.packet_status = self.packet_status & ~cleared | added
            self.link.read_queue.wake_all()

    def input_flushed(self) -> None:
        """Linux: drivers/tty/n_tty.c, n_tty_packet_mode_flush."""
        self.note_status(0, _FLUSHREAD)

    def output_started(self) -> None:
        self.note_status(_STOP, _START)

    def output_stopped(self) -> None:
        self.note_status(_START, _STOP)

    def resize(self, size: tuple[int, int, int, int]) -> None:
        if size != self.size:
            self.jobs.signal_foreground(self, SIGWINCH)
            if self.link.foreground != self.foreground:
                self.jobs.signal_foreground(self.link, SIGWINCH)
            self.size = self.link.size = size

    def leave_far_end(self) -> None:
        """Nobody is here any more: the other end hears of it. Linux: drivers/tty/pty.c, pty_close."""
        self.has_io_error = True
        self.wake_all()
        self.link.is_other_closed = True
        self.link.wake_all()


class MasterFile(TtyFile):
    """An open master. It comes of a file that all share, so nobody is told of it.

    Linux: drivers/tty/pty.c, ptmx_open.
    """

    __slots__ = ()

    is_silent: ClassVar[bool] = True


class PtyMaster(PtyEnd):
    """The end of a terminal emulator, or of whoever else plays the human.

    `is_locked` keeps the slave from being opened (TIOCSPTLCK).
    """

    __slots__ = ("is_locked", "is_packet", "number", "slave", "slave_inode")

    def __init__(self, jobs: JobControl, number: int, slave_inode: SlaveInode) -> None:
        super().__init__(jobs, raw_modes(), Major.UNIX98_PTY_MASTER_MAJOR, number)
        self.number = number
        self.is_locked = True
        self.is_packet = False
        self.slave_inode = slave_inode
        self.link = self.slave = PtySlave(jobs, number, self)

    @property
    def pair(self) -> Tty:
        return self.slave

    def show_details(self) -> bytes:
        """Linux: drivers/tty/pty.c, pty_show_fdinfo."""
        return b"tty-index:\t%d\n" % self.number

    @property
    def is_packet_mode(self) -> bool:
        return self.is_packet

    def set_packet_mode(self, is_on: bool) -> None:
        """TIOCPKT. Linux: drivers/tty/pty.c, pty_set_pktmode."""
        if is_on and not self.is_packet:
            self.slave.packet_status = 0
        self.is_packet = is_on

    def check_open(self) -> None:
        """A master is opened once, when it's made."""
        raise EIO

    def release(self, file: TtyFile) -> None:
        self.close()
        super().release(file)
        self.jobs.forget(self)

    def close(self) -> None:
        """The slave is hung up, and its name is gone."""
        self.is_packet = False
        self.leave_far_end()
        self.is_other_closed = True
        self.slave_inode.remove()
        self.slave.hang_up()
        self.slave.count -= 1
        self.slave.forget_if_closed()


class PtySlave(PtyEnd):
    """The end of the programs that run in the terminal. Its master counts among who holds it."""

    __slots__ = ("master",)

    def __init__(self, jobs: JobControl, number: int, master: PtyMaster) -> None:
        super().__init__(jobs, cooked_modes(), Major.UNIX98_PTY_SLAVE_MAJOR, number)
        self.link = self.master = master
        self.count = 1

    def modes_chosen(self, modes: TerminalModes) -> TerminalModes:
        """Characters have 8 bits and no parity. Linux: drivers/tty/pty.c, pty_set_termios."""
        if self.master.is_packet_mode:
            before, after = _has_usual_flow_control(self.modes), _has_usual_flow_control(modes)
            cleared = added = 0
            if before != after:
                cleared = _DOSTOP | _NOSTOP
                added = _DOSTOP if after else _NOSTOP
            if (self.modes.local | modes.local) & EXTPROC:
                added |= _IOCTL
            if added:
                self.note_status(cleared, added)
        return modes.with_control(modes.control & ~(CSIZE | PARENB) | CS8 | CREAD)

    def check_open(self) -> None:
        """A failure is felt by the files that are open already, until one can be opened.

        Linux: drivers/tty/pty.c, pty_open.
        """
        if self.is_other_closed or self.master.is_locked:
            self.has_io_error = True
            raise EIO

    def opened(self) -> None:
        self.has_io_error = False
        self.master.is_other_closed = False

    def closing(self) -> None:
        if not self.has_io_error and self.count <= 2:
            self.leave_far_end()

    def release(self, file: TtyFile) -> None:
        super().release(file)
        self.forget_if_closed()

    def forget_if_closed(self) -> None:
        """With both ends closed the terminal is no more."""
        if not self.count:
            self.jobs.forget(self)
            self.master.slave_inode.give_number_back()


def _has_usual_flow_control(modes: TerminalModes) -> bool:
    return bool(
        modes.input & IXON and modes.characters[VSTOP] == _CTRL_S and modes.characters[VSTART] == _CTRL_Q
    )
