"""Terminals for tests, on a tree of files and without processes."""

from __future__ import annotations

from procession.abi.ioctls import TerminalIoctl
from procession.abi.termios import Termios
from procession.fs.devices import Devtmpfs
from procession.fs.file import O_NOCTTY, O_NONBLOCK, O_RDWR, UserMemory
from procession.fs.terminal.devpts import Devpts, install_terminals
from procession.fs.terminal.tty import Tty, TtyFile
from tests.fs.file_tree import FileTree, new_tmpfs_tree

_ADDRESS = 0x1000


class NoJobs:
    """A machine without processes, whose caller has every right. `signals` are those that were sent."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.progress: object = None
        self.has_slept = False
        self.has_pending_signal = False
        self.now_ns = 0

    def check_change(self, tty: Tty, signo: int) -> None:
        """Nobody is in the background."""

    def opened(self, tty: Tty) -> None:
        """Nobody wants it."""

    def signal_foreground(self, tty: Tty, signo: int) -> None:
        self.signals.append(signo)

    def hung_up(self, tty: Tty, *, is_session_ending: bool) -> None:
        """There is nobody to tell."""

    def forget(self, tty: Tty) -> None:
        """Nobody had it."""

    def current_terminal(self) -> Tty | None:
        return None

    def capable(self, capability: int) -> bool:
        return True

    def may_write(self, tty: Tty) -> bool:
        return True

    def begin_writing(self, tty: Tty) -> None:
        """Nobody else writes."""

    def control(self, file: TtyFile, request: int, argument: int, memory: UserMemory) -> int | None:
        return None


class Memory:
    """A program's memory, of one page at 0x1000."""

    def __init__(self, data: bytes = b"") -> None:
        self.bytes = bytearray(data.ljust(4096, b"\0"))

    def read(self, address: int, length: int) -> bytes:
        start = address - _ADDRESS
        return bytes(self.bytes[start : start + length])

    def write(self, address: int, data: bytes) -> None:
        start = address - _ADDRESS
        self.bytes[start : start + len(data)] = data


class TerminalPair:
    """A pseudo-terminal with both ends open, neither of which blocks."""

    def __init__(self) -> None:
        self.jobs = NoJobs()
        self.tree = new_terminal_tree(self.jobs)
        master = self.tree.open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK)
        assert isinstance(master, TtyFile)
        self.master = master
        self.control(master, TerminalIoctl.TIOCSPTLCK, bytes(4))
        slave = self.tree.open("/dev/pts/0", O_RDWR | O_NOCTTY | O_NONBLOCK)
        assert isinstance(slave, TtyFile)
        self.slave = slave

    @staticmethod
    def control(file: TtyFile, request: int, data: bytes = b"", argument: int = _ADDRESS) -> bytes:
        """An ioctl whose argument points to `data`; what is there afterwards."""
        memory = Memory(data)
        file.ioctl(request, argument, memory)
        return bytes(memory.bytes)

    @property
    def modes(self) -> Termios:
        """What TCGETS says."""
        return Termios.unpack_from(self.control(self.slave, TerminalIoctl.TCGETS))

    @modes.setter
    def modes(self, modes: Termios) -> None:
        self.control(self.slave, TerminalIoctl.TCSETS, modes.pack())

    def waiting(self, file: TtyFile) -> int:
        """What FIONREAD says."""
        return int.from_bytes(self.control(file, TerminalIoctl.TIOCINQ)[:4], "little")


def new_terminal_tree(jobs: NoJobs, memory_bytes: int = 4 << 20) -> FileTree:
    """A tree with /dev and /dev/pts."""
    tree = new_tmpfs_tree(memory_bytes=memory_bytes)
    install_terminals(tree.vfs, jobs)
    tree.mkdir("/dev")
    tree.namespace.mount(Devtmpfs(tree.vfs), tree.path("/dev"))
    tree.namespace.mount(Devpts(tree.vfs), tree.path("/dev/pts"))
    return tree
