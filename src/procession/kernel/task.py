"""A task, the thread group that it belongs to, and the system call that it is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from procession.abi.syscall_numbers import name_of
from procession.fs.wait_queue import WaitQueue
from procession.kernel.io_accounting import IoCounts
from procession.kernel.sched.entity import SchedulingEntity
from procession.kernel.security.login import NOBODY_LOGGED_IN
from procession.kernel.task_state import NEW, ZOMBIE

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterable

    from procession.abi.errno import Errno
    from procession.fs.fd_table import FdTable
    from procession.fs.file import File
    from procession.fs.fs_context import FsContext
    from procession.fs.terminal.tty import Tty
    from procession.hardware.registers import Registers
    from procession.kernel.dump.core import CoreDump
    from procession.kernel.ipc.sem_undo import UndoList
    from procession.kernel.kernel import Kernel
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.namespaces.proxy import NsProxy
    from procession.kernel.pid import Pid
    from procession.kernel.program.de_thread import GroupExec
    from procession.kernel.ptrace.debug_registers import DebugRegisters
    from procession.kernel.ptrace.tracing import TraceStop, Tracing
    from procession.kernel.rlimit import Limits
    from procession.kernel.rseq import RseqArea
    from procession.kernel.sched.autogroup import Autogroup
    from procession.kernel.sched.priority import IoContext
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.security.process_keys import TaskKeys
    from procession.kernel.security.seccomp import SeccompFilter
    from procession.kernel.session import ProcessGroup
    from procession.kernel.signal.handlers import SignalHandlers
    from procession.kernel.signal.pending import PendingSignals
    from procession.kernel.user_dispatch import UserDispatch
    from procession.mm.address_space import MemoryDescriptor

# Why a task may not simply go on in user mode (in Linux, thread_info flags).
NEED_RESCHED: Final = 1
SIGNAL_PENDING: Final = 2
RESTORE_MASK: Final = 4
MEMORY_HIGH: Final = 64
"""The task's control group is over memory.high: it has to wait."""
RSEQ_EVENT: Final = 128
"""What it shares with the kernel by rseq(2) is to be brought up to date."""
EXIT_WAITS: Final = 8
"""It waits in the middle of its end."""
TRACE_STOPPED: Final = 16
"""It has stopped for its tracer, and goes on where `trace_stop` says."""
CALL_EXIT_WORK: Final = 32
"""It is in a system call of whose end its tracer may want to know."""
UNFINISHED: Final = 256
"""Its call has been made, and something is to be done before it returns."""
OTHER_SEGMENTS: Final = 512
"""It has been told to go on with other segments, which may not be there."""
UNUSUAL_WORK: Final = EXIT_WAITS | TRACE_STOPPED | UNFINISHED
"""What comes before all else."""

# What is done for each of a task's system calls beside the call itself (Linux: include/linux/thread_info.h,
# enum syscall_work_bit).
CALL_OBSERVED: Final = 1
CALL_SECCOMP: Final = 2
CALL_TRACED: Final = 4
CALL_EXPLORED: Final = 8
"""Somebody searches the machine's schedules: who makes its call next is chosen in front of each."""
CALL_DISPATCHED: Final = 16
"""The process makes some of its calls itself."""

NOT_ENTERED: Final = -1
"""The number of a `CallFrame` whose call hasn't begun: a supervisor looks at it first, or a program handles a
fault in its arguments."""

SIGNAL_GROUP_EXIT: Final = 1
"""The group is ending with one exit code (in Linux, SIGNAL_GROUP_EXIT in include/linux/sched/signal.h)."""
SIGNAL_STOP_STOPPED: Final = 2
SIGNAL_STOP_CONTINUED: Final = 4
SIGNAL_UNKILLABLE: Final = 8


class CallFrame:
    """A system call that has blocked: what its handler finds when it runs again.

    `arguments` are the decoded arguments; `deadline_ns` and `progress` are what the handler said when it
    slept; `interrupted` is what the call ends with when a signal comes first. `files` are the open files
    behind descriptors among its arguments when it slept first, which are held until the call ends: another
    thread may close a descriptor meanwhile (Linux: include/linux/file.h, struct fd).
    """

    __slots__ = ("arguments", "deadline_ns", "files", "interrupted", "number", "progress")

    def __init__(self, number: int, arguments: tuple[Any, ...]) -> None:
        self.number = number
        self.arguments = arguments
        self.deadline_ns: int | None = None
        self.progress: Any = None
        self.interrupted: type[Errno] | int = 0
        self.files: dict[int, File] = {}

    def __repr__(self) -> str:
        return f"<CallFrame of {name_of(self.number)}>"

    def hold(self, table: FdTable, fds: Iterable[int]) -> None:
        """Hold the open files behind `fds` of `table`, those that it doesn't hold yet."""
        for fd in fds:
            file = table.files.get(fd)
            if file is not None and fd not in self.files:
                self.files[fd] = file
                file.acquire()

    def release(self) -> None:
        """The call has ended: give back what it holds. Linux: fs/file_table.c, fput."""
        files = self.files
        if files:
            self.files = {}
            for file in files.values():
                file.put()


class Unfinished:
    """What a call leaves to be done before it returns, or another task asks for: see `Task.unfinished`.

    `size` is for how many bytes it was charged, in the account's kind USER_FAULT.
    """

    __slots__ = ("size",)

    size: int

    def finish(self) -> None:
        """Do it now. Raises Sleep if it can't be done yet, and what the call answers then."""
        raise NotImplementedError

    def end(self) -> None:
        """It's done, or won't be."""


class FaultedEntry:
    """The progress of a call in front of whose beginning a program handles a fault: the call is made then.

    `number` is the call's; `is_shown` says that who watches has been told of it.
    """

    __slots__ = ("is_shown", "number")

    def __init__(self, number: int, *, is_shown: bool) -> None:
        self.number = number
        self.is_shown = is_shown


class RestartBlock:
    """What restart_syscall goes on with after ERESTART_RESTARTBLOCK.

    Linux: include/linux/restart_block.h, struct restart_block.
    """

    __slots__ = ("arguments", "deadline_ns", "number")

    def __init__(self, number: int, arguments: tuple[Any, ...], deadline_ns: int) -> None:
        self.number = number
        self.arguments = arguments
        self.deadline_ns = deadline_ns


class CpuTimes:
    """Processor time, faults and switches of a task, or the sum of those of the dead (getrusage(2))."""

    __slots__ = (
        "involuntary_switches",
        "major_faults",
        "max_resident_pages",
        "minor_faults",
        "system_ns",
        "user_ns",
        "voluntary_switches",
    )

    def __init__(self) -> None:
        self.user_ns = 0
        self.system_ns = 0
        self.minor_faults = 0
        self.major_faults = 0
        self.voluntary_switches = 0
        self.involuntary_switches = 0
        self.max_resident_pages = 0

    def add(self, other: CpuTimes) -> None:
        """Add another's figures to these; the resident size is a maximum."""
        self.user_ns += other.user_ns
        self.system_ns += other.system_ns
        self.minor_faults += other.minor_faults
        self.major_faults += other.major_faults
        self.voluntary_switches += other.voluntary_switches
        self.involuntary_switches += other.involuntary_switches
        self.max_resident_pages = max(self.max_resident_pages, other.max_resident_pages)


class TaskView(Protocol):
    """What shows a task, and would keep it for ever if it weren't told that the task is gone."""

    def task_released(self) -> None:
        """The task has been reaped: its id is free."""


class Task:
    """One thread of execution (Linux: include/linux/sched.h, struct task_struct).

    A task is built whole by `copy_process` and published as its last step. What threads of a group share
    is in `group`; what CLONE_VM, CLONE_FILES, CLONE_FS and CLONE_SIGHAND share are the objects `mm`,
    `files`, `fs` and `group.handlers`, each with a count of its users.

    `children` are those whose parent it is, the eldest first, `zombies` those among them that wait to be
    reaped, in any order. `sibling_number` grows from the elder to the younger.

    `work` says why the task may not simply go on in user mode: a signal is pending, another task shall
    run. `frame` is the system call in which it sleeps, `unfinished` what the call that it has made leaves
    to be done before it returns, in order. `parent` is the real parent and
    `exit_signal` what it gets (0: none, -1: the task isn't a group's leader). `job_control` holds the
    thread's part of a group stop (kernel/signal/stop.py); `last_trap` is the vector, the error code and the
    cr2 of the last exception that became a signal, for signal frames. `nice`, `policy`, `realtime_priority`
    and `io_context` are what sched(7) and ioprio_set(2) say, `memory_policy` what set_mempolicy(2) does, as
    mm/policy.py writes it; `login` is who logged in, and `flags` are those of kernel/process_flags.py.
    `call_work` says what every system call of it must go through first: CALL_SECCOMP, when `seccomp_mode`
    isn't 0, CALL_TRACED, and CALL_DISPATCHED with `user_dispatch`.
    `ptrace` says who traces it, None for nobody; `trace_stop` is set while it's stopped for its tracer, and
    `tracees` are those that it traces, in the order in which it came to. `debug_registers` are None until
    a tracer sets one.
    `self_exec_id` counts the programs that it has executed; `parent_exec_id` is what its parent's was at
    the clone. `cgroup` is its control group, a zombie's too. `views` are the directories of proc about it
    that somebody has looked up (in Linux, pid->inodes).
    """

    __slots__ = (
        "alternate_stack",
        "blocked",
        "call_number",
        "call_work",
        "cgroup",
        "children",
        "clear_child_tid",
        "command_name",
        "credentials",
        "debug_registers",
        "default_timer_slack_ns",
        "entity",
        "exit_code",
        "exit_signal",
        "files",
        "flags",
        "frame",
        "fs",
        "group",
        "has_executed",
        "has_yielded",
        "io",
        "io_context",
        "keys",
        "is_exiting",
        "job_control",
        "kernel",
        "last_trap",
        "login",
        "memory_policy",
        "mm",
        "namespaces",
        "nice",
        "parent",
        "parent_death_signal",
        "parent_exec_id",
        "pending",
        "personality",
        "policy",
        "ptrace",
        "queues",
        "realtime_priority",
        "registers",
        "resets_scheduling_on_fork",
        "restart_block",
        "robust_list",
        "rseq",
        "saved_mask",
        "seccomp_filter",
        "seccomp_mode",
        "self_exec_id",
        "semaphore_undo",
        "sibling_number",
        "sleep_timer",
        "start_time_ns",
        "state",
        "thread_pid",
        "timer_slack_ns",
        "times",
        "trace_stop",
        "tracees",
        "unfinished",
        "user_dispatch",
        "vfork_queue",
        "views",
        "work",
        "zombies",
    )

    def __init__(self, kernel: Kernel, pid: Pid, registers: Registers) -> None:
        # Grouped as in Linux: include/linux/sched.h, struct task_struct.
        self.kernel = kernel
        self.registers = registers
        self.state = NEW
        self.work = 0
        self.flags = 0
        self.personality = 0
        self.start_time_ns = 0
        self.command_name = b""

        # Which process it belongs to, and its family
        self.thread_pid = pid
        self.group: ThreadGroup
        self.namespaces: NsProxy
        self.parent: Task | None = None
        self.children: dict[Task, None] = {}
        self.zombies: dict[Task, None] = {}
        self.sibling_number = 0
        self.views: dict[TaskView, None] | None = None

        # What it shares with others or has copied
        self.mm: MemoryDescriptor
        self.files: FdTable
        self.fs: FsContext
        self.credentials: Credentials
        self.cgroup = kernel.cgroups.root
        # What semop(2) with SEM_UNDO is to take back at the end, shared by CLONE_SYSVSEM.
        self.semaphore_undo: UndoList | None = None

        # The system call that it makes
        self.call_work = 0
        self.call_number = -1
        self.frame: CallFrame | None = None
        self.restart_block: RestartBlock | None = None
        self.unfinished: deque[Unfinished] | None = None
        self.queues: tuple[WaitQueue, ...] = ()
        self.sleep_timer: Timer | None = None

        # Scheduling
        self.entity = SchedulingEntity()
        self.policy = 0
        self.nice = 0
        self.realtime_priority = 0
        self.resets_scheduling_on_fork = False
        self.has_yielded = False
        self.keys: TaskKeys | None = None
        self.io_context: IoContext | None = None
        self.timer_slack_ns = self.default_timer_slack_ns = 50_000
        self.memory_policy = 0
        self.login = NOBODY_LOGGED_IN
        self.rseq: RseqArea | None = None

        # Signals
        self.pending: PendingSignals
        self.blocked = 0
        self.saved_mask: int | None = None
        self.alternate_stack: tuple[int, int, int] = (0, 0, 2)  # address, size, flags (SS_DISABLE)
        self.job_control = 0
        self.last_trap: tuple[int, int, int] = (0, 0, 0)

        # Exec and the end
        self.has_executed = False
        self.self_exec_id = 0
        self.parent_exec_id = 0
        self.is_exiting = False
        self.exit_code = 0
        self.exit_signal = 0
        self.parent_death_signal = 0
        self.vfork_queue: WaitQueue | None = None
        self.clear_child_tid = 0
        self.robust_list: tuple[int, int] = (0, 0)  # head, length

        # Accounting
        self.times = CpuTimes()
        self.io = IoCounts()

        # Who filters its calls or traces it, and whom it traces
        self.seccomp_mode = 0
        self.user_dispatch: UserDispatch | None = None
        self.seccomp_filter: SeccompFilter | None = None
        self.ptrace: Tracing | None = None
        self.debug_registers: DebugRegisters | None = None
        self.trace_stop: TraceStop | None = None
        self.tracees: dict[Task, None] | None = None

    def leave_views(self) -> None:
        """The task is gone, or gets another id: who shows it forgets it.

        Linux: fs/proc/base.c, proc_flush_pid.
        """
        views, self.views = self.views, None
        for view in views or ():
            view.task_released()

    def adopt(self, child: Task) -> None:
        """Make `child` the youngest of the children."""
        kernel = self.kernel
        kernel.adoption_count += 1
        child.sibling_number = kernel.adoption_count
        self.children[child] = None
        if child.has_ended_wholly and (child.ptrace is None or not child.ptrace.is_reparented(child)):
            self.zombies[child] = None

    @property
    def has_ended_wholly(self) -> bool:
        """Whether this leader is a zombie without other threads, for its parent to reap."""
        return self.state is ZOMBIE and len(self.group.threads) == 1

    @property
    def pid_namespace(self) -> PidNamespace:
        """Where it looks up and is told process ids (Linux: kernel/pid.c, task_active_pid_ns)."""
        return self.thread_pid.namespace

    @property
    def tid(self) -> int:
        """Its id in the machine's first pid namespace, for who watches the machine from outside."""
        return self.thread_pid.numbers[0]

    @property
    def tgid(self) -> int:
        """The id of its process, as `tid`."""
        return self.group.pid.numbers[0]

    @property
    def is_leader(self) -> bool:
        """Whether this is its thread group's leader."""
        return self.group.leader is self

    @property
    def has_pending_signal(self) -> bool:
        """Whether a signal waits that interrupts a sleep.

        Linux: include/linux/sched/signal.h, signal_pending.
        """
        return bool(self.work & SIGNAL_PENDING)

    @property
    def call_in_progress(self) -> int:
        """The number of the system call in which it sleeps, or which a signal has interrupted; else -1."""
        frame = self.frame
        if frame is None:
            return self.call_number
        return frame.number if frame.number != NOT_ENTERED else int(frame.progress.number)

    def file_of_call(self, fd: int) -> File | None:
        """The open file behind the argument `fd` of its system call, None if there is none.

        A call that has slept goes on with the file that it had. Linux: fs/file.c, fdget.
        """
        if self.frame is not None:
            held = self.frame.files.get(fd)
            if held is not None:
                return held
        return self.files.files.get(fd)

    @property
    def call_name(self) -> str:
        """The system call that the task is in, for messages: `wait4` or `user mode`."""
        number = self.call_in_progress
        return name_of(number) if number >= 0 else "user mode"

    def wake(self) -> None:
        """Leave the queues and become runnable; the handler will look again.

        Linux: kernel/sched/core.c, try_to_wake_up.
        """
        self.kernel.scheduler.wake(self)

    def __repr__(self) -> str:
        text = f"<Task {self.tid} {self.command_name.decode(errors='replace')} {self.state.name}"
        if self.state >= ZOMBIE:
            return f"{text}, {ending_text(self.exit_code)}>"
        return f"{text} in {self.call_name}>" if self.call_in_progress >= 0 else f"{text}>"


def ending_text(status: int) -> str:
    """How a task ended, by its wait status: `exited with 3`, `killed by signal 9`."""
    signal = status & 0x7F
    return f"killed by signal {signal}" if signal else f"exited with {status >> 8 & 0xFF}"


class ThreadGroup:
    """What the threads of one process share (in Linux, struct signal_struct and the tgid).

    `times` sums the threads that have ended; `children_times` the reaped children and theirs. `wait_queue` is
    where the group's threads wait for their children, `exit_queue` where others wait for its end (pidfd);
    `stop_code` the signal that stopped it, until a parent has been told; `core_dump` is set while its core is
    being written; `io` sums what threads that have ended and reaped children read and wrote.
    `exec` is set while a thread that executes a program waits for the others to be gone.
    `permitted_tracer` is the id of whom Yama lets trace it (kernel/security/yama.py).
    `has_met_avx` is set once an instruction was refused that no engine knows, for who wonders at the SIGILL.
    `autogroup` is with whom it shares the processors, where sessions do that.
    """

    __slots__ = (
        "autogroup",
        "children_times",
        "core_dump",
        "exec",
        "exit_code",
        "exit_queue",
        "flags",
        "handlers",
        "has_met_avx",
        "io",
        "is_child_subreaper",
        "itimers",
        "leader",
        "limits",
        "chooses_timer_ids",
        "next_posix_timer_id",
        "oom_score_adj",
        "oom_score_adj_min",
        "permitted_tracer",
        "pid",
        "posix_timers",
        "process_group",
        "shared_pending",
        "start_time_ns",
        "stop_code",
        "stop_count",
        "terminal",
        "threads",
        "times",
        "wait_queue",
    )

    def __init__(self, pid: Pid) -> None:
        self.pid = pid
        self.leader: Task
        self.threads: list[Task] = []
        self.process_group: ProcessGroup
        self.handlers: SignalHandlers
        self.shared_pending: PendingSignals
        self.limits: Limits
        self.flags = 0
        self.autogroup: Autogroup | None = None
        self.core_dump: CoreDump | None = None
        self.exec: GroupExec | None = None
        self.exit_code = 0
        self.exit_queue = WaitQueue()
        self.stop_code = 0
        self.stop_count = 0
        self.is_child_subreaper = False
        self.has_met_avx = False
        self.wait_queue = WaitQueue()
        self.times = CpuTimes()
        self.children_times = CpuTimes()
        self.io = IoCounts()
        self.itimers: dict[int, Any] = {}
        self.posix_timers: dict[int, Any] = {}
        self.next_posix_timer_id = 0
        self.chooses_timer_ids = False
        self.start_time_ns = 0
        self.oom_score_adj = self.oom_score_adj_min = 0
        self.permitted_tracer: Pid | None = None
        self.terminal: Tty | None = None

    def __repr__(self) -> str:
        count = "1 thread" if len(self.threads) == 1 else f"{len(self.threads)} threads"
        return f"<ThreadGroup {self.pid.global_number}, {count}, leader {self.leader!r}>"

    @property
    def is_exiting(self) -> bool:
        """Whether the whole group is ending."""
        return bool(self.flags & SIGNAL_GROUP_EXIT)


class Timer:
    """Something due at `deadline_ns` of the virtual monotonic clock.

    `kind` names what the kernel does then (`"wake"`: wake `target`, a task; other kinds are registered by
    their owners in kernel/time/queue.py). `is_armed` is false once it has fired or was cancelled.
    """

    __slots__ = ("deadline_ns", "is_armed", "kind", "target")

    def __init__(self, deadline_ns: int, kind: str, target: Any) -> None:
        self.deadline_ns = deadline_ns
        self.kind = kind
        self.target = target
        self.is_armed = True

    def __repr__(self) -> str:
        return (
            f"<Timer {self.kind!r} {'due' if self.is_armed else 'unarmed, was due'} at {self.deadline_ns} ns>"
        )
