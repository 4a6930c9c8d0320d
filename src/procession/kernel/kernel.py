"""The kernel object: it holds all state of a machine and wires the parts together."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, ESRCH
from procession.abi.reboot import RebootCommand
from procession.fs.kernel_log import KERN_EMERG
from procession.hardware.registers import Registers
from procession.kernel.bpf.program import ProgramTable
from procession.kernel.cgroup.hierarchy import Hierarchy
from procession.kernel.dump.pattern import CoreSettings
from procession.kernel.futex.queue import FutexTable
from procession.kernel.namespaces.nsfs import namespace_of_file, open_namespace
from procession.kernel.namespaces.uts import NameChanges
from procession.kernel.pid import find_task
from procession.kernel.process_flags import PF_SUPERPRIV
from procession.kernel.program.elf import ProgramHeaders
from procession.kernel.rlimit import LARGEST_NOFILE, RLIM_INFINITY, RLIMIT_CPU, RLIMIT_RTTIME
from procession.kernel.sched.core import Scheduler
from procession.kernel.sched.loadavg import LoadAverages
from procession.kernel.security.group_lists import GroupLists
from procession.kernel.security.key import KeyRegistry
from procession.kernel.security.seccomp import ALL_LOGGED
from procession.kernel.task import CALL_OBSERVED
from procession.kernel.time.clock import DEFAULT_EPOCH_NS, Clock
from procession.kernel.time.queue import TimerQueue
from procession.kernel.timers.interval import account, check_overrun, check_realtime_limit
from procession.net.network import Network

if TYPE_CHECKING:
    from procession.fs.mounts.namespace import MountNamespace
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs
    from procession.hardware.engine import Engine
    from procession.hardware.physical_memory import PhysicalMemory
    from procession.kernel.decider import Decider
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.namespaces.proxy import NsProxy
    from procession.kernel.observer import Observer, SignalGate
    from procession.kernel.process_events import ProcessEvents
    from procession.kernel.sched.pressure import PressureTracker
    from procession.kernel.task import Task, ThreadGroup
    from procession.kernel.taskstats import TaskstatsFamily
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.page_cache import PageCache
    from procession.net.netlink.generic import GenericFamily


MAXIMUM_TASKS = 63_000
"""kernel.threads-max at first."""


class Kernel:
    """All state of a machine.

    `current` is the running task and `live` the task whose registers are in the processor: they differ
    only while the kernel is switching. `is_saved` says that the live registers are in `live.registers` too,
    since the last trap. `tasks` are all that there are, zombies included, in the order of their making;
    `task_limit` is how many there may be at once: `threads_max`, or `task_bound` where something contains the
    machine. `init_namespaces` are those that the machine starts with (Linux: kernel/nsproxy.c,
    init_nsproxy). `call_work` says what is done for each system call of the live task beside the call
    itself, 0 for nothing: it's observed, or filtered. It, `cpu` and `observer` are outside the machine's
    state: the engine, and whoever watches.
    """

    __slots__ = (
        "accounting_count",
        "accounting_parameters",
        "adoption_count",
        "allows_unprivileged_user_namespaces",
        "allows_unprivileged_userfaultfd",
        "charged_kernel_work_ns",
        "charged_work_ns",
        "address_space",
        "boot_id",
        "bpf_programs",
        "call_work",
        "cgroups",
        "clock",
        "core",
        "cpu",
        "current",
        "decider",
        "futexes",
        "group_lists",
        "has_warned_of_writes",
        "init",
        "init_namespaces",
        "init_pid_namespace",
        "is_saved",
        "keys",
        "live",
        "load",
        "login_count",
        "memory",
        "name_changes",
        "nr_open",
        "observer",
        "oom_kill_count",
        "oom_kill_allocating_task",
        "oom_victim",
        "pages_over_high",
        "panic_on_oom",
        "panic_reason",
        "panic_timeout_s",
        "reboot_command",
        "pressure",
        "program_headers",
        "ptrace_scope",
        "scheduler",
        "seccomp_logged",
        "signal_gate",
        "swappiness",
        "sysctl_writes_strict",
        "taints",
        "task_bound",
        "task_limit",
        "tasks",
        "threads_max",
        "process_connector",
        "taskstats",
        "timers",
        "total_forks",
        "unknown_calls",
        "uses_legacy_layout",
        "vdso",
        "vfs",
    )

    # What the running task's calls need besides is said by that task; the decider is hashed by itself.
    OUTSIDE_STATE: ClassVar = ("call_work", "cpu", "decider", "observer", "signal_gate")

    def __init__(
        self,
        memory: PhysicalMemory,
        cpu: Engine,
        decider: Decider,
        epoch_ns: int = DEFAULT_EPOCH_NS,
        processor_count: int = 1,
    ) -> None:
        self.memory = memory
        self.cpu = cpu
        self.decider = decider
        self.group_lists = GroupLists()
        self.nr_open = LARGEST_NOFILE
        self.keys = KeyRegistry(self.memory.account)
        # kernel.random.boot_id, made when it's first asked for.
        self.boot_id = b""
        self.bpf_programs = ProgramTable()
        self.observer: Observer | None = None
        self.signal_gate: SignalGate | None = None
        self.call_work = 0
        self.cgroups = Hierarchy()
        self.clock = Clock(cpu, epoch_ns)
        self.scheduler = Scheduler(self, processor_count)
        self.timers = TimerQueue(self)
        self.futexes = FutexTable()
        self.tasks: dict[Task, None] = {}
        self.task_limit = self.task_bound = self.threads_max = MAXIMUM_TASKS
        self.vfs: Vfs
        self.init_namespaces: NsProxy
        self.init_pid_namespace: PidNamespace
        self.core = CoreSettings()
        self.load = LoadAverages()
        self.login_count = 0
        self.init: ThreadGroup | None = None
        self.current: Task | None = None
        self.live: Task | None = None
        self.is_saved = False
        # What reboot(2) made of the machine, one of RebootCommand: no code runs after that.
        self.reboot_command: int | None = None
        self.address_space: MemoryDescriptor | None = None
        self.charged_work_ns = 0
        self.charged_kernel_work_ns = 0
        self.program_headers = ProgramHeaders()
        # Whose pressure is counted; None until somebody asks.
        self.pressure: PressureTracker | None = None
        # kernel.seccomp.actions_logged.
        self.seccomp_logged = ALL_LOGGED
        # How many pid namespaces record who ends; kernel.acct.
        self.accounting_count = 0
        self.accounting_parameters: tuple[int, int, int] = (4, 2, 30)
        # Who is told what becomes of processes, and what ended tasks used; None until somebody has asked.
        self.process_connector: ProcessEvents | None = None
        self.taskstats: TaskstatsFamily | None = None
        # kernel.panic, vm.panic_on_oom, and why it came to that; vm.swappiness.
        self.panic_timeout_s = self.panic_on_oom = 0
        self.panic_reason = b""
        self.swappiness = 60
        # kernel.yama.ptrace_scope, as Debian has it.
        self.ptrace_scope = 0
        # kernel.unprivileged_userns_clone.
        self.allows_unprivileged_user_namespaces = True
        # Who lacks CAP_SYS_PTRACE isn't to hold up the kernel (Linux: fs/userfaultfd.c).
        self.allows_unprivileged_userfaultfd = False
        self.uses_legacy_layout = 0
        # kernel.sysctl_writes_strict, and whether somebody was told that he writes behind a beginning.
        self.sysctl_writes_strict, self.has_warned_of_writes = 1, False
        # kernel.tainted, see `taint`.
        self.taints = 0
        memory.commit_rule.asker = self
        # Of the host name and the domain name, for who polls them in /proc/sys.
        self.name_changes = (NameChanges(), NameChanges())
        self.total_forks = 0
        self.adoption_count = 0
        self.oom_kill_count = 0
        # What the running task has taken since it last waited for being over memory.high.
        self.pages_over_high = 0
        # Whom the OOM killer killed last: until that one has ended it kills nobody else.
        self.oom_victim: ThreadGroup | None = None
        self.oom_kill_allocating_task = 0
        # How often each was called; all numbers from the end of the table on count as one.
        self.unknown_calls: dict[int, int] = {}
        # The page of the vDSO, made for the first program.
        self.vdso: PageCache | None = None

    def choose(self, kind: str, count: int) -> int:
        """Decide what Linux leaves open: an index below `count`."""
        return self.decider.choose(kind, count)

    @property
    def processor(self) -> int:
        """The number of the processor that runs the running task; 0 where none runs."""
        return 0 if self.current is None else self.current.entity.processor

    @property
    def processor_count(self) -> int:
        """How many processors there are."""
        return len(self.scheduler.processors)

    def limit_tasks(self, *, threads_max: int | None = None, bound: int | None = None) -> None:
        """Set kernel.threads-max, or how many tasks there may be whatever that says."""
        if threads_max is not None:
            self.threads_max = threads_max
        if bound is not None:
            self.task_bound = bound
        self.task_limit = min(self.threads_max, self.task_bound)

    def panic(self, reason: bytes) -> None:
        """The kernel can't go on, or was told not to: say why, and stop the machine. It starts anew if
        kernel.panic isn't 0, and stands still else; nobody waits for the seconds that it says.

        Linux: kernel/panic.c, vpanic.
        """
        self.vfs.log.append(KERN_EMERG, b"Kernel panic - not syncing: " + reason)
        self.panic_reason = reason
        commands = RebootCommand.LINUX_REBOOT_CMD_HALT, RebootCommand.LINUX_REBOOT_CMD_RESTART
        self.reboot_command = int(commands[self.panic_timeout_s != 0])
        self.cpu.stop()

    def random_bytes(self, length: int) -> bytes:
        """The next bytes of the machine's random source."""
        return self.decider.random_bytes(length)

    def network_of_descriptor(self, fd: int) -> Network:
        """The network that a descriptor of the running task stands for. Raises EBADF, EINVAL.

        Linux: net/core/net_namespace.c, get_net_ns_by_fd.
        """
        task = self.current
        assert task is not None
        namespace = namespace_of_file(task.files.file(fd))
        if not isinstance(namespace, Network):
            raise EINVAL("no network namespace")
        return namespace

    def generic_families(self, network: Network) -> dict[int, GenericFamily]:
        """The families of NETLINK_GENERIC that `network` has, by their ids."""
        from procession.kernel.taskstats import FAMILY_ID, TaskstatsFamily
        from procession.net.netlink.generic import CONTROL_ID, ControlFamily

        families: dict[int, GenericFamily] = {}
        families[CONTROL_ID] = ControlFamily(families)
        if network is self.init_namespaces.network:
            if self.taskstats is None:
                self.taskstats = TaskstatsFamily(self)
            families[FAMILY_ID] = self.taskstats
        return families

    def process_connector_of(self, network: Network) -> ProcessEvents | None:
        """The process connector, None in other networks than the machine's first."""
        if network is not self.init_namespaces.network:
            return None
        if self.process_connector is None:
            from procession.kernel.process_events import ProcessEvents

            self.process_connector = ProcessEvents(self)
        return self.process_connector

    def open_network(self, network: Network) -> int:
        """A descriptor of the running task for a network. Raises EMFILE, ENFILE."""
        task = self.current
        assert task is not None
        return open_namespace(task, network)

    def network_of_caller(self) -> Network:
        """The network of the running task."""
        return self.seen_namespaces.network

    def network_of_process(self, number: int) -> Network:
        """The network of a process of the running task's pid namespace. Raises ESRCH.

        Linux: net/core/net_namespace.c, get_net_ns_by_pid.
        """
        task = find_task(self.seen_pid_namespace, number)
        if task is None or task.is_exiting:
            raise ESRCH("no such process")
        return task.namespaces.network

    @property
    def mount_namespace(self) -> MountNamespace:
        """The running task's, or the machine's."""
        return self.seen_namespaces.mounts

    @property
    def acting_subject(self) -> Subject | None:
        """The running task's credentials."""
        current = self.current
        return None if current is None else current.credentials

    @property
    def acting_name(self) -> bytes:
        """The running task's name."""
        current = self.current
        return b"" if current is None else current.command_name

    def note_privilege(self) -> None:
        """The running task has something done that takes a capability (PF_SUPERPRIV)."""
        current = self.current
        if current is not None:
            current.flags |= PF_SUPERPRIV

    @property
    def seen_namespaces(self) -> NsProxy:
        """Those of the running task; the machine's first while none runs, as when somebody looks at it."""
        current = self.current
        return self.init_namespaces if current is None else current.namespaces

    @property
    def seen_pid_namespace(self) -> PidNamespace:
        """That of the running task; the machine's first while none runs."""
        current = self.current
        return self.init_pid_namespace if current is None else current.pid_namespace

    # The processor

    def registers_of(self, task: Task) -> Registers:
        """The registers of `task` as they are now."""
        if task is self.live and not self.is_saved:
            self.cpu.save(task.registers)
            self.is_saved = True
        return task.registers

    def integers_of(self, task: Task) -> Registers:
        """The registers of `task` as they are now, but for the floating-point state, which may be old."""
        if task is self.live and not self.is_saved:
            self.cpu.save_integers(task.registers)
        return task.registers

    def bases_changed(self, task: Task) -> None:
        """The caller has changed the bases of fs and gs in what `integers_of` gave it."""
        if task is self.live:
            self.cpu.load_bases(task.registers)

    def registers_changed(self, task: Task) -> None:
        """The caller has changed what `registers_of` gave it."""
        if task is self.live:
            self.cpu.load(task.registers)

    def switch_to(self, task: Task) -> None:
        """Put the registers and address space of `task` on the processor.

        Linux: kernel/sched/core.c, context_switch.
        """
        live = self.live
        if live is not task:
            cpu = self.cpu
            if live is not None and not self.is_saved:
                cpu.save(live.registers)
            cpu.load(task.registers)
            self.live = task
            self.is_saved = True
            self.call_work = task.call_work if self.observer is None else task.call_work | CALL_OBSERVED
        mm = task.mm
        if self.address_space is not mm:
            self.address_space = mm
            self.cpu.use_address_space(mm.tables.root, mm.processor_level)

    def observe(self, observer: Observer | None) -> None:
        """Tell `observer` of system calls and of what becomes of tasks from now on; None: nobody."""
        self.observer = observer
        if observer is not None:
            self.call_work |= CALL_OBSERVED
        else:
            self.call_work &= ~CALL_OBSERVED

    def renew_call_work(self) -> None:
        """Ask the live task, and whether anybody watches, what its calls need."""
        work = 0 if self.live is None else self.live.call_work
        self.call_work = work if self.observer is None else work | CALL_OBSERVED

    def add_call_work(self, task: Task, work: int) -> None:
        """Every system call of `task` shall go through `work` first.

        Linux: include/linux/thread_info.h, set_task_syscall_work.
        """
        task.call_work |= work
        if task is self.live:
            self.call_work |= work

    def remove_call_work(self, task: Task, work: int) -> None:
        """Calls of `task` need `work` no longer.

        Linux: include/linux/thread_info.h, clear_task_syscall_work.
        """
        task.call_work &= ~work
        if task is self.live:
            self.call_work &= ~work

    def discard_live(self, task: Task) -> None:
        """The registers of `task` won't be needed: it has ended.

        What was saved of them last depends on who looked at it, and is forgotten.
        """
        if self.live is task:
            self.live = None
            task.registers = Registers()

    def charge(self, task: Task) -> None:
        """Charge the time since the last charge to the running `task`: the kernel's work as system time."""
        clock = self.clock
        work_ns, kernel_work_ns = clock.work_ns, clock.kernel_work_ns
        elapsed_ns = work_ns - self.charged_work_ns
        system_ns = kernel_work_ns - self.charged_kernel_work_ns
        if system_ns > elapsed_ns:
            system_ns = elapsed_ns
        self.charged_kernel_work_ns = kernel_work_ns
        self.charged_work_ns = work_ns
        run_queue = self.scheduler.processors[task.entity.processor]
        run_queue.work_ns += elapsed_ns
        run_queue.account(task, elapsed_ns, clock)
        if self.pressure is not None:
            self.pressure.has_run(self, task, elapsed_ns)
        user_ns = elapsed_ns - system_ns
        run_queue.system_ns += system_ns
        run_queue.user_ns += user_ns
        times = task.times
        times.system_ns += system_ns
        times.user_ns += user_ns
        cgroup = task.cgroup
        if cgroup.parent is not None:
            cgroup.account(task, user_ns, system_ns)
        group = task.group
        soft = group.limits.soft
        if group.itimers or soft[RLIMIT_CPU] != RLIM_INFINITY:
            # Beside other processors time goes on by less than what is worked.
            account(self, group, elapsed_ns // clock.busy_count)
        if soft[RLIMIT_RTTIME] != RLIM_INFINITY:
            check_realtime_limit(self, task)
        if task.entity.deadline_flags:
            check_overrun(self, task)

    @property
    def uncharged_ns(self) -> int:
        """How long the running task has run since it was last charged."""
        return self.clock.work_ns - self.charged_work_ns
