"""What terminals need to know of processes and have done to them: job control, as the kernel does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.fs.terminal.tty import Tty, TtyFile


class JobControl(Protocol):
    """What terminals need to know of processes, and have done to them: the kernel's."""

    def check_change(self, tty: Tty, signo: int) -> None:
        """Stop a background process that reads (SIGTTIN), writes or sets (SIGTTOU): ERESTARTSYS, or EIO."""

    def opened(self, tty: Tty) -> None:
        """A process has opened `tty` for reading: perhaps it becomes its controlling terminal."""

    def signal_foreground(self, tty: Tty, signo: int) -> None:
        """Send every process of the foreground process group `signo`."""

    def hung_up(self, tty: Tty, *, is_session_ending: bool) -> None:
        """Nobody has `tty` as controlling terminal any more; the session's leader is told."""

    def forget(self, tty: Tty) -> None:
        """Nobody has `tty` open or as controlling terminal any more."""

    def current_terminal(self) -> Tty | None:
        """The calling process's controlling terminal."""

    def capable(self, capability: int) -> bool:
        """Whether the caller has it."""

    @property
    def has_pending_signal(self) -> bool:
        """Whether the caller's sleep would end at once."""

    @property
    def has_slept(self) -> bool:
        """Whether the caller's system call has slept, and looks again."""

    @property
    def progress(self) -> object:
        """What it said when it slept last."""

    def may_write(self, tty: Tty) -> bool:
        """Whether nobody else is in the middle of a write to `tty`."""

    def begin_writing(self, tty: Tty) -> None:
        """The caller's write has to wait in the middle: nobody else writes to `tty` until it's done."""

    @property
    def now_ns(self) -> int:
        """The monotonic clock."""

    def control(self, file: TtyFile, request: int, argument: int, memory: UserMemory) -> int | None:
        """The requests of ioctl(2) about sessions and process groups; None for any other."""
