"""System calls on pidfds."""

from __future__ import annotations

from procession.abi.errno import EBADF, EINVAL, EPERM, ESRCH
from procession.abi.pidfd import PidfdFlag, PidfdSignalFlag
from procession.abi.siginfo import SiginfoRaw
from procession.kernel.pidfd import (
    PIDFD_SELF_THREAD,
    PIDFD_THREAD,
    PidFile,
    open_pidfd,
    pid_file_of,
    signalled_by,
    task_for_pidfd,
)
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.security.ptrace_access import may_access
from procession.kernel.signal.info import SI_TKILL, SI_USER
from procession.kernel.signal.kill import sender_info, signal_group_members, signal_process, signal_thread
from procession.kernel.task import Task, ThreadGroup
from procession.kernel.task_state import TaskState
from procession.syscalls.declaration import syscall
from procession.syscalls.kill import check_honesty, read_info
from procession.syscalls.parameters import Fd, Flags, In, Int, SignalNumber

_PIDFD_NONBLOCK = int(PidfdFlag.PIDFD_NONBLOCK)
_THREAD, _THREAD_GROUP, _PROCESS_GROUP = 1, 2, 4


@syscall(434)
def pidfd_open(task: Task, pid: Int, flags: Flags[PidfdFlag]) -> int:
    """pidfd_open(2)."""
    if flags & ~(_PIDFD_NONBLOCK | PIDFD_THREAD):
        raise EINVAL("unknown flags")
    is_thread = flags & PIDFD_THREAD != 0
    target = task_for_pidfd(task, pid, is_thread=is_thread)
    file = open_pidfd(target, flags, task.credentials)
    return task.files.install(file, close_on_exec=True, limit=task.group.limits.soft[RLIMIT_NOFILE])


@syscall(424)
def pidfd_send_signal(
    task: Task, fd: Fd, signal: SignalNumber, info: In[SiginfoRaw], flags: Flags[PidfdSignalFlag]
) -> int:
    """pidfd_send_signal(2). Linux: kernel/signal.c, SYSCALL_DEFINE4(pidfd_send_signal)."""
    if flags & ~(_THREAD | _THREAD_GROUP | _PROCESS_GROUP) or flags.bit_count() > 1:
        raise EINVAL("unknown flags, or several")
    group, file = signalled_by(task, fd)
    if not group.pid.number_in(task.pid_namespace):
        raise EINVAL("the process isn't seen in the caller's pid namespace")
    is_own_thread = fd == PIDFD_SELF_THREAD
    is_thread = flags & _THREAD or (not flags and (is_own_thread or (file is not None and file.is_thread)))
    if info:
        queued = read_info(task, signal, info.address)
        if int.from_bytes(task.mm.read(info.address, 4), "little", signed=True) != signal:
            raise EINVAL("the siginfo speaks of another signal")
        check_honesty(queued, is_own=_is_own(task, fd, group, file) and not flags & _PROCESS_GROUP)
    else:
        # Linux: kernel/signal.c, prepare_kill_siginfo.
        queued = sender_info(task, signal, SI_TKILL if is_thread else SI_USER)
    target = file.target if file is not None else task if is_own_thread else group.leader
    if target is None or target.state is TaskState.DEAD:
        raise ESRCH("the process or thread is gone")
    if flags & _PROCESS_GROUP:
        led = target.thread_pid.process_group
        if led is None:
            raise ESRCH("the process leads no process group")
        signal_group_members(task, led, queued)
    elif is_thread:
        signal_thread(task, target, queued)
    else:
        signal_process(task, group.leader, queued)
    return 0


def _is_own(task: Task, fd: int, group: ThreadGroup, file: PidFile | None) -> bool:
    """Whether what is signalled has the caller's id, whoever else of the process is signalled by it."""
    pid = task.thread_pid if fd == PIDFD_SELF_THREAD else group.pid if file is None else file.pid
    return pid is task.thread_pid


@syscall(438)
def pidfd_getfd(task: Task, fd: Fd, target_fd: Fd, flags: Int) -> int:
    """pidfd_getfd(2): a descriptor of another process, duplicated. Linux: kernel/pid.c."""
    if flags:
        raise EINVAL("unknown flags")
    target = pid_file_of(task, fd).target
    if target is None:
        raise ESRCH("the process or thread has ended")
    if not may_access(task, target, by_fs_ids=False, attaches=True):
        raise EPERM("the process may not be traced by this one")
    if target.state is TaskState.ZOMBIE:
        raise ESRCH("the process or thread has ended, and waits to be reaped")
    file = target.files.files.get(target_fd)
    if file is None:
        raise EBADF(f"the process has no descriptor {target_fd}")
    return task.files.install(file, close_on_exec=True, limit=task.group.limits.soft[RLIMIT_NOFILE])
