"""Where in the kernel a task sleeps, by the names of Linux's functions: wchan and stack of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES
from procession.abi.syscall_numbers import name_of
from procession.fs.eventfd import EventFile
from procession.fs.inotify import InotifyFile
from procession.fs.pipe import FifoFile, PipeFile
from procession.fs.terminal.tty import TtyFile
from procession.kernel.ptrace.tracing import AT_CALL_ENTRY, AT_CALL_EXIT, AT_EXIT, AT_SIGNAL, IN_CALL
from procession.kernel.security.capability import CAP_SYS_ADMIN
from procession.kernel.signal.fd import SignalFile
from procession.kernel.signal.stop import FROZEN
from procession.kernel.task import EXIT_WAITS, NOT_ENTERED, FaultedEntry
from procession.kernel.task_state import TaskState
from procession.kernel.timers.descriptor import TimerFile
from procession.net.socket_file import SocketFile
from procession.procfs.access import may_inspect, require_attachment

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.permission import Subject
    from procession.kernel.task import CallFrame, Task
    from procession.procfs.file_system import ProcFileSystem

    Functions = tuple[str, ...]

CALLS: dict[str, Functions] = {
    "accept": ("do_accept", "__sys_accept4", "__x64_sys_accept"),
    "accept4": ("do_accept", "__sys_accept4", "__x64_sys_accept4"),
    "clock_nanosleep": ("hrtimer_nanosleep", "common_nsleep", "__x64_sys_clock_nanosleep"),
    "clone": ("kernel_clone", "__do_sys_clone"),
    "clone3": ("kernel_clone", "__do_sys_clone3"),
    "connect": ("__sys_connect", "__x64_sys_connect"),
    "epoll_pwait": ("do_epoll_wait", "do_compat_epoll_pwait", "__x64_sys_epoll_pwait"),
    "epoll_pwait2": ("do_epoll_wait", "do_epoll_pwait", "__x64_sys_epoll_pwait2"),
    "epoll_wait": ("do_epoll_wait", "__x64_sys_epoll_wait"),
    "execve": ("do_execveat_common", "__x64_sys_execve"),
    "execveat": ("do_execveat_common", "__x64_sys_execveat"),
    "fcntl": ("fcntl_setlk", "do_fcntl", "__x64_sys_fcntl"),
    "flock": ("locks_lock_inode_wait", "__do_sys_flock"),
    "futex": ("futex_do_wait", "__futex_wait", "futex_wait", "do_futex", "__x64_sys_futex"),
    "futex_waitv": ("futex_wait_multiple", "__do_sys_futex_waitv"),
    "mq_timedreceive": ("wq_sleep", "do_mq_timedreceive", "__x64_sys_mq_timedreceive"),
    "mq_timedsend": ("wq_sleep", "do_mq_timedsend", "__x64_sys_mq_timedsend"),
    "msgrcv": ("do_msgrcv",),
    "msgsnd": ("do_msgsnd",),
    "nanosleep": ("hrtimer_nanosleep", "__x64_sys_nanosleep"),
    "open": ("path_openat", "do_filp_open", "do_sys_openat2", "__x64_sys_open"),
    "openat": ("path_openat", "do_filp_open", "do_sys_openat2", "__x64_sys_openat"),
    "openat2": ("path_openat", "do_filp_open", "do_sys_openat2", "__x64_sys_openat2"),
    "pause": ("__do_sys_pause",),
    "poll": ("poll_schedule_timeout", "do_sys_poll", "__x64_sys_poll"),
    "ppoll": ("poll_schedule_timeout", "do_sys_poll", "__x64_sys_ppoll"),
    "pselect6": ("poll_schedule_timeout", "do_select", "core_sys_select", "do_pselect", "__x64_sys_pselect6"),
    "ptrace": ("ptrace_attach", "__x64_sys_ptrace"),
    "read": ("vfs_read", "ksys_read"),
    "readv": ("vfs_readv", "do_readv"),
    "recvfrom": ("sock_recvmsg", "__sys_recvfrom", "__x64_sys_recvfrom"),
    "recvmsg": ("sock_recvmsg", "____sys_recvmsg", "___sys_recvmsg", "__sys_recvmsg"),
    "recvmmsg": ("sock_recvmsg", "____sys_recvmsg", "do_recvmmsg", "__x64_sys_recvmmsg"),
    "rt_sigsuspend": ("sigsuspend", "__x64_sys_rt_sigsuspend"),
    "rt_sigtimedwait": ("do_sigtimedwait", "__x64_sys_rt_sigtimedwait"),
    "select": ("poll_schedule_timeout", "do_select", "core_sys_select", "kern_select", "__x64_sys_select"),
    "semop": ("__do_semtimedop", "do_semtimedop"),
    "semtimedop": ("__do_semtimedop", "do_semtimedop", "__x64_sys_semtimedop"),
    "sendmsg": ("____sys_sendmsg", "___sys_sendmsg", "__sys_sendmsg"),
    "sendto": ("__sys_sendto", "__x64_sys_sendto"),
    "splice": ("pipe_wait_readable", "do_splice", "__do_splice", "__x64_sys_splice"),
    "tee": ("pipe_wait_readable", "do_tee", "__x64_sys_tee"),
    "vfork": ("kernel_clone", "__do_sys_vfork"),
    "wait4": ("do_wait", "kernel_wait4"),
    "waitid": ("do_wait", "kernel_waitid", "__do_sys_waitid"),
    "write": ("vfs_write", "ksys_write"),
    "writev": ("vfs_writev", "do_writev"),
}
"""Where each call sleeps, the innermost first."""

READING = ("read", "readv", "recvfrom", "recvmsg", "recvmmsg", "pread64", "preadv", "preadv2")
_WRITING = ("write", "writev", "pwrite64", "pwritev", "pwritev2")
RECEIVING = ("recvfrom", "recvmsg", "recvmmsg")
SENDING = ("sendto", "sendmsg", "sendmmsg")
_ON_FILES = (*READING, *_WRITING, *SENDING, "accept", "accept4", "connect")
"""Calls that sleep in what their first argument, a descriptor, leads to."""
_OPENING = ("open", "openat", "openat2")
_ENTRY = ("do_syscall_64", "entry_SYSCALL_64_after_hwframe")
_PAGE_FAULT = ("do_user_addr_fault", "exc_page_fault", "asm_exc_page_fault")
_USER_FAULT = ("handle_userfault", "do_anonymous_page", "handle_mm_fault", *_PAGE_FAULT)
_UNFINISHED = ("userfaultfd_event_wait_completion", *_ENTRY)
_TO_USER_MODE = ("arch_do_signal_or_restart", "exit_to_user_mode_loop", *_ENTRY)
_LOCK_OPERATIONS = {6: "futex_lock_pi", 13: "futex_lock_pi", 11: "futex_wait_requeue_pi"}
_SLEEPING = (
    TaskState.INTERRUPTIBLE,
    TaskState.UNINTERRUPTIBLE,
    TaskState.KILLABLE,
    TaskState.STOPPED,
    TaskState.TRACED,
)

FILES: tuple[tuple[type[File], Functions, Functions], ...] = (
    (PipeFile, ("anon_pipe_read",), ("anon_pipe_write",)),
    (TtyFile, ("wait_woken", "n_tty_read", "tty_read"), ("wait_woken", "n_tty_write", "file_tty_write")),
    (EventFile, ("do_wait_intr_irq", "eventfd_read"), ("do_wait_intr_irq", "eventfd_write")),
    (TimerFile, ("do_wait_intr_irq", "timerfd_read_iter"), ()),
    (SignalFile, ("signalfd_read_iter",), ()),
    (InotifyFile, ("wait_woken", "inotify_read"), ()),
)
"""Kind of file -> where who reads it sleeps, and who writes to it."""


def sleeping_functions(task: Task) -> Functions:
    """The functions of Linux in which the sleeping or stopped `task` is, the innermost first."""
    state = task.state
    if state is TaskState.STOPPED:
        return ("do_signal_stop", "get_signal", *_TO_USER_MODE)
    if state is TaskState.TRACED:
        return _traced_functions(task)
    if task.work & EXIT_WAITS:
        return ("zap_pid_ns_processes", "do_exit", "do_group_exit", "__x64_sys_exit_group", *_ENTRY)
    if task.job_control & FROZEN:
        return ("do_freezer_trap", "get_signal", *_TO_USER_MODE)
    frame = task.frame
    if frame is None:
        if task.group.core_dump is not None:
            return ("vfs_coredump", "get_signal", *_TO_USER_MODE)
        if task.queues:
            return _USER_FAULT if task.unfinished is None else _UNFINISHED
        # It waits for memory.
        return ("__alloc_pages_slowpath", "exc_page_fault", "asm_exc_page_fault")
    if isinstance(frame.progress, FaultedEntry):
        return _USER_FAULT
    if frame.number == NOT_ENTERED:
        return ("seccomp_do_user_notification", "__seccomp_filter", "syscall_trace_enter", *_ENTRY)
    name = name_of(frame.number)
    return (*_call_functions(task, frame, name), *_ENTRY)


def _traced_functions(task: Task) -> Functions:
    """Linux: kernel/signal.c, ptrace_stop."""
    stop = task.trace_stop
    stage = AT_SIGNAL if stop is None else stop.stage
    if stage == AT_CALL_ENTRY:
        return ("ptrace_stop", "ptrace_do_notify", "ptrace_notify", "syscall_trace_enter", *_ENTRY)
    if stage == AT_CALL_EXIT:
        return ("ptrace_stop", "ptrace_do_notify", "ptrace_notify", "syscall_exit_work", *_ENTRY)
    if stage == AT_EXIT:
        return ("ptrace_stop", "ptrace_do_notify", "ptrace_notify", "do_exit", *_ENTRY)
    if stage == IN_CALL and task.frame is not None:
        call = CALLS.get(name_of(task.frame.number), ())
        return ("ptrace_stop", "ptrace_do_notify", "ptrace_notify", *call, *_ENTRY)
    return ("ptrace_stop", "get_signal", *_TO_USER_MODE)


def _call_functions(task: Task, frame: CallFrame, name: str) -> Functions:
    """Where in the system call `name` the task sleeps."""
    outer = CALLS.get(name, (f"__x64_sys_{name}",))
    arguments = frame.arguments
    if name == "futex":
        lock = _LOCK_OPERATIONS.get(arguments[1] & 0x7F)
        return outer if lock is None else ("rt_mutex_schedule", lock, *outer[-2:])
    if name in _OPENING:
        return ("wait_for_partner", "fifo_open", "do_dentry_open", "vfs_open", *outer)
    first = arguments[0] if name in _ON_FILES else None
    file = task.file_of_call(first) if isinstance(first, int) else None
    if file is None:
        return outer
    if isinstance(file, SocketFile):
        # Few processes that are looked at wait for sockets, and all kinds of them are needed to tell.
        from procession.procfs.socket_wait_channel import socket_functions

        return socket_functions(file.socket, name, outer)
    is_reading = name in READING
    if is_reading or name in _WRITING:
        if isinstance(file, FifoFile):
            return ("fifo_pipe_read" if is_reading else "fifo_pipe_write", *outer)
        for kind, reading, writing in FILES:
            if isinstance(file, kind):
                return (*(reading if is_reading else writing), *outer)
    return outer


def show_wait_channel(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/wchan: where it sleeps, "0" if it doesn't. Linux: fs/proc/base.c, proc_pid_wchan."""
    if not may_inspect(subject, task) or task.state not in _SLEEPING:
        return b"0"
    return sleeping_functions(task)[0].encode()


def show_stack(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/stack, for who has CAP_SYS_ADMIN: the functions of Linux in which the task is.

    Code here has no addresses, and so no offsets into functions. Linux: fs/proc/base.c, proc_pid_stack.
    """
    if not subject.has_capability(CAP_SYS_ADMIN):
        raise EACCES("the kernel's stacks are for CAP_SYS_ADMIN")
    require_attachment(subject, task)
    if task.state in _SLEEPING:
        functions = sleeping_functions(task)
    elif task is system.kernel.current and task.state is TaskState.RUNNING:
        functions = ("proc_pid_stack", "proc_single_show", "seq_read_iter", "seq_read", "vfs_read")
        functions = (*functions, "ksys_read", *_ENTRY)
    else:
        return b""
    return b"".join(b"[<0>] %s+0x0/0x0\n" % name.encode() for name in functions)
