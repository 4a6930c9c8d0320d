"""Controlling terminals: which session has which, who is in the foreground, who is told of a hang-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EIO, ENOTTY, EPERM, ERESTARTSYS, ESRCH
from procession.abi.ioctls import TerminalIoctl
from procession.abi.signals import SIG_IGN, Signal
from procession.abi.word import pack_u32
from procession.fs.permission import CAP_SYS_ADMIN
from procession.fs.terminal.tty import SIGTTIN, SIGTTOU, Tty, TtyFile
from procession.kernel.pid import find_pid, number_of
from procession.kernel.session import (
    Session,
    is_orphaned_process_group,
    is_session_leader,
    signal_process_group,
)
from procession.kernel.signal.generation import send_signal
from procession.kernel.signal.info import SI_KERNEL, SI_USER, SigInfo
from procession.kernel.task import SIGNAL_PENDING, Task, ThreadGroup

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.kernel.kernel import Kernel
    from procession.kernel.pid import Pid
    from procession.kernel.session import ProcessGroup

_SIGHUP, _SIGCONT = int(Signal.SIGHUP), int(Signal.SIGCONT)
_WRITING = frozenset({1, 20, 40, 328})
"""write, writev, sendfile and pwritev2: the calls whose first argument is the descriptor written to."""
_FORCED = 1
"""The argument of TIOCSCTTY that takes a terminal away from another session."""


class TerminalJobs:
    """Job control of one machine's terminals (Linux: drivers/tty/tty_jobctrl.c)."""

    __slots__ = ("kernel",)

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    @property
    def _caller(self) -> Task:
        task = self.kernel.current
        assert task is not None
        return task

    def capable(self, capability: int) -> bool:
        """Whether the calling task has it."""
        return self._caller.credentials.capable(capability)

    @property
    def has_pending_signal(self) -> bool:
        """Whether a signal ends what the calling task waits for."""
        return self._caller.has_pending_signal

    @property
    def has_slept(self) -> bool:
        """Whether the calling task's system call has slept."""
        return self._caller.frame is not None

    @property
    def progress(self) -> object:
        """What it said when it slept last."""
        frame = self._caller.frame
        return frame.progress if frame is not None else None

    def may_write(self, tty: Tty) -> bool:
        """Whether nobody but perhaps the calling task waits in the middle of a write to `tty`.

        Linux: drivers/tty/tty_io.c, tty_write_lock.
        """
        writer: Task | None = tty.writer
        return writer is None or writer is self.kernel.current or not _is_writing(writer, tty)

    def begin_writing(self, tty: Tty) -> None:
        """The calling task will wait in the middle of a write, unless another does."""
        if self.may_write(tty):
            if tty.writer is not self._caller:
                tty.writer_era = tty.era
            tty.writer = self._caller

    @property
    def now_ns(self) -> int:
        """The monotonic clock."""
        return self.kernel.clock.now_ns

    def current_terminal(self) -> Tty | None:
        """The calling process's controlling terminal. Linux: drivers/tty/tty_jobctrl.c, get_current_tty."""
        return self._caller.group.terminal

    def foreground_group(self, tty: Tty) -> ProcessGroup | None:
        """The processes in the foreground; None if there are none, or none any more."""
        return foreground_of(tty)

    def check_change(self, tty: Tty, signo: int) -> None:
        """Stop the caller's process group with `signo` if it's in the background of `tty`.

        Raises ERESTARTSYS having sent the signal, EIO if that is pointless: its group is orphaned, or it
        blocks or ignores SIGTTIN. Who blocks or ignores SIGTTOU may go on. Linux: drivers/tty/tty_jobctrl.c,
        __tty_check_change.
        """
        task = self._caller
        group = task.group
        if group.terminal is not tty:
            return
        process_group = group.process_group
        if tty.foreground is None or process_group.pid is tty.foreground:
            return
        if task.blocked >> (signo - 1) & 1 or group.handlers.actions[signo].handler == SIG_IGN:
            if signo == SIGTTIN:
                raise EIO("it reads in the background, and SIGTTIN is blocked or ignored")
            return
        if is_orphaned_process_group(process_group):
            raise EIO("its process group is orphaned and in the background")
        signal_process_group(self.kernel, process_group, signo)
        task.work |= SIGNAL_PENDING
        raise ERESTARTSYS("in the background of its terminal")

    def signal_foreground(self, tty: Tty, signo: int) -> None:
        """Send every process in the foreground `signo`."""
        group = self.foreground_group(tty)
        if group is not None:
            signal_process_group(self.kernel, group, signo)

    # Getting and losing one

    def opened(self, tty: Tty) -> None:
        """Linux: drivers/tty/tty_jobctrl.c, tty_open_proc_set_tty."""
        group = self._caller.group
        if is_session_leader(group) and group.terminal is None and tty.session is None:
            set_controlling_terminal(group, tty)

    def _take(self, file: TtyFile, argument: int) -> int:
        """TIOCSCTTY. Raises EPERM. Linux: drivers/tty/tty_jobctrl.c, tiocsctty."""
        tty = file.tty.pair
        group = self._caller.group
        is_leader = is_session_leader(group)
        if is_leader and group.process_group.session is tty.session:
            return 0
        if not is_leader or group.terminal is not None:
            raise EPERM("it doesn't lead a session, or has a controlling terminal")
        if tty.session is not None:
            if argument != _FORCED or not self.capable(CAP_SYS_ADMIN):
                raise EPERM("another session has it")
            clear_session(tty.session)
        if not file.is_readable and not self.capable(CAP_SYS_ADMIN):
            raise EPERM("it isn't open for reading")
        set_controlling_terminal(group, tty)
        return 0

    def hung_up(self, tty: Tty, *, is_session_ending: bool) -> None:
        """Tell the session's leader, and take the terminal away from all of the session.

        The foreground group is told when the leader ends, or at once with `is_session_ending`.
        Linux: drivers/tty/tty_jobctrl.c, tty_signal_session_leader.
        """
        session = tty.session
        if session is None:
            return
        foreground = self.foreground_group(tty)
        for member in members_of(session):
            if member.terminal is tty:
                member.terminal = None
            if is_session_leader(member):
                send_signal(self.kernel, member, SigInfo(_SIGHUP, SI_KERNEL))
                send_signal(self.kernel, member, SigInfo(_SIGCONT, SI_KERNEL))
                if foreground is not None:
                    session.lost_foreground = foreground
        if foreground is not None and is_session_ending:
            signal_process_group(self.kernel, foreground, _SIGHUP)

    def forget(self, tty: Tty) -> None:
        """Nobody has it open: nobody may have it as controlling terminal.

        Linux: drivers/tty/tty_io.c, tty_release.
        """
        if tty.session is not None:
            clear_session(tty.session)

    # ioctl(2)

    def control(self, file: TtyFile, request: int, argument: int, memory: UserMemory) -> int | None:
        """Linux: drivers/tty/tty_jobctrl.c, tty_jobctrl_ioctl."""
        if request == TerminalIoctl.TIOCGPGRP:
            return self._get_foreground(file, argument, memory)
        if request == TerminalIoctl.TIOCSPGRP:
            return self._set_foreground(file, argument, memory)
        if request == TerminalIoctl.TIOCGSID:
            return self._get_session(file, argument, memory)
        if request == TerminalIoctl.TIOCSCTTY:
            return self._take(file, argument)
        if request == TerminalIoctl.TIOCNOTTY:
            if self._caller.group.terminal is not file.tty:
                raise ENOTTY
            give_up_terminal(self.kernel, self._caller.group)
            return 0
        return None

    def _check_own(self, file: TtyFile) -> Tty:
        """Who asks about a terminal must have it as controlling terminal, but who has its master may too."""
        tty = file.tty.pair
        if file.tty is tty and self._caller.group.terminal is not tty:
            raise ENOTTY("it isn't the controlling terminal")
        return tty

    def _get_foreground(self, file: TtyFile, argument: int, memory: UserMemory) -> int:
        tty = self._check_own(file)
        memory.write(argument, pack_u32(number_of(tty.foreground, self._caller.pid_namespace)))
        return 0

    def _get_session(self, file: TtyFile, argument: int, memory: UserMemory) -> int:
        tty = self._check_own(file)
        session: Session | None = tty.session
        if session is None:
            raise ENOTTY("no session has it")
        memory.write(argument, pack_u32(session.pid.number_in(self._caller.pid_namespace)))
        return 0

    def _set_foreground(self, file: TtyFile, argument: int, memory: UserMemory) -> int:
        """TIOCSPGRP. Linux: drivers/tty/tty_jobctrl.c, tiocspgrp."""
        tty = file.tty.pair
        try:
            self.check_change(tty, SIGTTOU)
        except EIO:
            raise ENOTTY from None
        number = int.from_bytes(memory.read(argument, 4), "little", signed=True)
        if number < 0:
            raise EINVAL("a negative process group")
        group = self._caller.group
        session = group.process_group.session
        if group.terminal is not tty or tty.session is not session:
            raise ENOTTY("it isn't the controlling terminal")
        pid = find_pid(self._caller.pid_namespace, number)
        if pid is None:
            raise ESRCH(f"no process group {number}")
        process_group = pid.process_group
        if process_group is None:
            # A process that will be its own group's leader may be put in the foreground before it is.
            if pid.task is None:
                raise ESRCH(f"no process group {number}")
            process_group = pid.task.group.process_group
        if process_group.session is not session:
            raise EPERM(f"process group {number} is in another session")
        tty.foreground = pid
        return 0


def _is_writing(task: Task, tty: Tty) -> bool:
    """Whether a task's system call is a write to `tty` that has slept; a signal may have ended it since."""
    frame = task.frame
    if frame is None or frame.number not in _WRITING:
        return False
    file = task.file_of_call(frame.arguments[0])
    return isinstance(file, TtyFile) and file.tty is tty


def set_controlling_terminal(group: ThreadGroup, tty: Tty) -> None:
    """Let a session's leader have `tty`, with its own process group in the foreground.

    Linux: drivers/tty/tty_jobctrl.c, __proc_set_tty.
    """
    process_group = group.process_group
    tty.foreground = process_group.pid
    tty.session = process_group.session
    tty.session.lost_foreground = None
    group.terminal = tty


def foreground_of(tty: Tty) -> ProcessGroup | None:
    """The process group in the foreground of `tty`; None if there is none, or none any more.

    It may be another session's: a child's that was put there before it called setsid(2).
    """
    pid: Pid | None = tty.foreground
    return None if pid is None else pid.process_group


def members_of(session: Session) -> list[ThreadGroup]:
    """The processes of a session, zombies included."""
    return [member for group in session.groups for member in group.members]


def clear_session(session: Session) -> None:
    """No process of the session has a controlling terminal any more.

    Linux: drivers/tty/tty_jobctrl.c, session_clear_tty.
    """
    for member in members_of(session):
        member.terminal = None


def give_up_terminal(kernel: Kernel, group: ThreadGroup) -> None:
    """A process doesn't want its controlling terminal any more (TIOCNOTTY).

    If it leads the session, the whole session loses it. Linux: drivers/tty/tty_jobctrl.c, no_tty.
    """
    tty = group.terminal
    if tty is not None and is_session_leader(group):
        info = SigInfo(_SIGHUP, SI_USER, sender=group.pid, uid=group.leader.credentials.uid)
        _signal_foreground_as(kernel, tty, info)
        info = SigInfo(_SIGCONT, SI_USER, sender=group.pid, uid=group.leader.credentials.uid)
        _signal_foreground_as(kernel, tty, info)
        _dissolve(tty, group.process_group.session)
    group.terminal = None


def _signal_foreground_as(kernel: Kernel, tty: Tty, info: SigInfo) -> None:
    group = foreground_of(tty)
    if group is not None:
        for member in group.newest_first():
            send_signal(kernel, member, SigInfo(info.signo, info.code, sender=info.sender, uid=info.uid))


def session_leader_ended(kernel: Kernel, group: ThreadGroup) -> None:
    """The leader of a session exits: who was in the foreground of its terminal is hung up.

    Linux: drivers/tty/tty_jobctrl.c, disassociate_ctty.
    """
    tty = group.terminal
    session = group.process_group.session
    if tty is not None:
        foreground = foreground_of(tty)
        if foreground is not None:
            signal_process_group(kernel, foreground, _SIGHUP)
        _dissolve(tty, session)
        return
    lost, session.lost_foreground = session.lost_foreground, None
    if lost is not None:
        signal_process_group(kernel, lost, _SIGHUP)
        signal_process_group(kernel, lost, _SIGCONT)


def _dissolve(tty: Tty, session: Session) -> None:
    tty.session = None
    tty.foreground = None
    clear_session(session)


def hang_up_own_terminal(task: Task) -> None:
    """vhangup(2), for whoever may. Linux: drivers/tty/tty_io.c, tty_vhangup_self."""
    tty = task.group.terminal
    if tty is not None:
        tty.hang_up()
