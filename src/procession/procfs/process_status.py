"""What a process is and does, in proc: stat, status, statm, limits, sched, wchan and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from procession.abi.duration import NS_PER_CLOCK_TICK
from procession.abi.signals import SIG_DFL, SIG_IGN
from procession.fs.bit_list import list_of_bits
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT
from procession.hardware.registers import RAX, RIP, RSP
from procession.kernel.memory_lock import locked_bytes
from procession.kernel.pid import number_of
from procession.kernel.process_flags import shown_flags
from procession.kernel.rlimit import RLIM_INFINITY, RLIMIT_RSS, RLIMIT_SIGPENDING
from procession.kernel.sched.run_queue import priority_of
from procession.kernel.security.ptrace_access import has_memory
from procession.kernel.task import SIGNAL_GROUP_EXIT, SIGNAL_STOP_STOPPED, CpuTimes
from procession.kernel.task_state import ENDED, LETTERS, TaskState
from procession.kernel.time.costs import SEEN_THREAD_NS
from procession.mm.address_space import HUGE_PAGES_DISABLED
from procession.mm.vma import GROWS_DOWN, PROT_EXEC, PROT_WRITE
from procession.procfs.access import may_inspect, require_attachment
from procession.procfs.process_memory import resident_pages

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.pid import Pid
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task
    from procession.kernel.time.clock import Clock
    from procession.mm.address_space import MemoryDescriptor
    from procession.procfs.file_system import ProcFileSystem

"""A clock tick as programs see it: 100 in a second (sysconf(_SC_CLK_TCK))."""
PAGE_KB = 4
WORD_MASK = 0x7FFFFFFF

STATE_NAMES = {
    "R": b"R (running)",
    "S": b"S (sleeping)",
    "D": b"D (disk sleep)",
    "T": b"T (stopped)",
    "t": b"t (tracing stop)",
    "Z": b"Z (zombie)",
    "X": b"X (dead)",
}
SLEEPING = (
    TaskState.INTERRUPTIBLE,
    TaskState.UNINTERRUPTIBLE,
    TaskState.KILLABLE,
    TaskState.STOPPED,
    TaskState.TRACED,
)
RUNNING = (TaskState.NEW, TaskState.RUNNABLE, TaskState.RUNNING)


def escaped_name(task: Task) -> bytes:
    """The command name with what would break a line escaped (Linux: fs/proc/array.c, proc_task_name)."""
    return task.command_name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")


def parent_number(system: ProcFileSystem, task: Task) -> int:
    """The process id of the parent, 0 for none."""
    return system.number_of(task.parent.group.leader) if task.parent is not None else 0


def process_times(task: Task) -> CpuTimes:
    """What all threads of the process used, the ended ones too.

    Linux: kernel/sched/cputime.c, thread_group_cputime.
    """
    total = CpuTimes()
    total.add(task.group.times)
    threads = task.group.threads
    task.kernel.clock.spend((len(threads) - 1) * SEEN_THREAD_NS)
    for thread in threads:
        total.add(thread.times)
    return total


def handled_signals(task: Task) -> tuple[int, int]:
    """The masks of ignored and of caught signals. Linux: fs/proc/array.c, collect_sigign_sigcatch."""
    ignored = caught = 0
    for signal, action in enumerate(task.group.handlers.actions):
        if action.handler == SIG_IGN:
            ignored |= 1 << (signal - 1)
        elif action.handler != SIG_DFL:
            caught |= 1 << (signal - 1)
    return ignored, caught


def terminal_numbers(system: ProcFileSystem, task: Task) -> tuple[int, int]:
    """The controlling terminal's device number and its foreground process group: 0 and -1 for none."""
    terminal = task.group.terminal
    if terminal is None:
        return 0, -1
    return terminal.device, number_of(terminal.foreground, system.pid_namespace)


def priority(task: Task) -> int:
    """The priority as the scheduler has it, from 0; negative for real-time policies.

    Linux: kernel/sched/syscalls.c, task_prio.
    """
    real_time_priority = priority_of(task)
    if real_time_priority:
        return -1 - real_time_priority
    told_nice = task.entity.told_nice
    return 20 + (task.nice if told_nice is None else told_nice)


def show_process_stat(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/stat: about the whole process."""
    return stat_line(system, task, subject, is_whole=True)


def show_thread_stat(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/task/TID/stat: about one thread."""
    return stat_line(system, task, subject, is_whole=False)


def nested_numbers(pid: Pid, task: Task, namespace: PidNamespace) -> bytes:
    """The numbers of `pid` from the reader's pid namespace down to that of `task`, each after a tab."""
    levels = task.pid_namespace.ancestry[namespace.level :]
    return b"".join(b"\t%d" % pid.number_in(level) for level in levels)


def stat_line(system: ProcFileSystem, task: Task, subject: Subject, *, is_whole: bool) -> bytes:
    """The 52 fields of proc_pid_stat(5). Linux: fs/proc/array.c, do_task_stat."""
    group = task.group
    is_permitted = may_inspect(subject, task)
    times = process_times(task) if is_whole else task.times
    children = group.children_times
    mm = task.mm if has_memory(task) else None
    ignored, caught = handled_signals(task)
    terminal, foreground = terminal_numbers(system, task)
    fields = [
        parent_number(system, task),
        group.process_group.pid.number_in(system.pid_namespace),
        group.process_group.session.pid.number_in(system.pid_namespace),
        terminal,
        foreground,
        shown_flags(task),
        times.minor_faults,
        children.minor_faults if is_whole else 0,
        times.major_faults,
        children.major_faults if is_whole else 0,
        times.user_ns // NS_PER_CLOCK_TICK,
        times.system_ns // NS_PER_CLOCK_TICK,
        children.user_ns // NS_PER_CLOCK_TICK if is_whole else 0,
        children.system_ns // NS_PER_CLOCK_TICK if is_whole else 0,
        priority(task),
        task.nice,
        len(group.threads),
        0,
        (task.start_time_ns + system.kernel.seen_namespaces.time.boottime_offset_ns) // NS_PER_CLOCK_TICK,
        mm.total_pages << PAGE_SHIFT if mm is not None else 0,
        mm.resident_pages if mm is not None else 0,
        group.limits.soft[RLIMIT_RSS],
        *text_fields(mm, is_permitted),
        *last_pointers(system, task, is_permitted=is_permitted),
        task.pending.mask & WORD_MASK,
        task.blocked & WORD_MASK,
        ignored & WORD_MASK,
        caught & WORD_MASK,
        int(is_permitted and task.state not in RUNNING and not (is_whole and len(group.threads) > 1)),
        0,
        0,
        task.exit_signal if task.is_leader else -1,
        task.entity.processor,
        task.realtime_priority,
        task.policy,
        0,
        0,
        0,
        *layout_fields(mm, is_permitted),
        exit_code(task) if is_permitted else 0,
    ]
    numbers = " ".join(map(str, fields)).encode()
    return b"%d (%s) %s %s\n" % (
        system.number_of(task),
        task.command_name,
        LETTERS[task.state].encode(),
        numbers,
    )


def exit_code(task: Task) -> int:
    """What the task's parent, or its tracer, is told of it by wait(2), until it has been."""
    group = task.group
    if group.flags & (SIGNAL_GROUP_EXIT | SIGNAL_STOP_STOPPED):
        return group.exit_code if group.is_exiting else group.stop_code
    return task.exit_code if task.trace_stop is None else task.trace_stop.code


def last_pointers(system: ProcFileSystem, task: Task, *, is_permitted: bool) -> tuple[int, int]:
    """The stack and the instruction pointer of who dumps its core; nobody else's are shown."""
    if not is_permitted or task.group.core_dump is None or task.state in ENDED:
        return 0, 0
    general = system.kernel.registers_of(task).general
    return general[RSP], general[RIP]


def text_fields(mm: MemoryDescriptor | None, is_permitted: bool) -> tuple[int, int, int]:
    """Where the code starts and ends, and the stack starts; 1, 1, 0 for those who may not know."""
    if mm is None:
        return 0, 0, 0
    return (mm.code_start, mm.code_end, mm.stack_start) if is_permitted else (1, 1, 0)


def layout_fields(mm: MemoryDescriptor | None, is_permitted: bool) -> tuple[int, ...]:
    """Where data, heap, arguments and environment are."""
    if mm is None or not is_permitted:
        return (0,) * 7
    return (
        mm.data_start,
        mm.data_end,
        mm.heap_start,
        mm.arguments_start,
        mm.arguments_end,
        mm.environment_start,
        mm.environment_end,
    )


def show_statm(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/statm, in pages. Linux: fs/proc/array.c, proc_pid_statm."""
    if not has_memory(task):
        return b"0 0 0 0 0 0 0\n"
    mm = task.mm
    resident = resident_pages(system.kernel.clock, mm)
    shared = resident.file + resident.shared_memory
    data = sum(area.size for area in mm.areas if area.is_data) >> PAGE_SHIFT
    return b"%d %d %d %d 0 %d 0\n" % (
        mm.total_pages,
        shared + resident.anonymous,
        shared,
        text_bytes(mm) >> PAGE_SHIFT,
        data + stack_bytes(mm) // (1 << PAGE_SHIFT),
    )


def text_bytes(mm: MemoryDescriptor) -> int:
    """The pages that hold the program's code, in bytes."""
    return ((mm.code_end + PAGE_MASK) & ~PAGE_MASK) - (mm.code_start & ~PAGE_MASK)


def stack_bytes(mm: MemoryDescriptor) -> int:
    """The size of the areas that grow down (in Linux, mm_struct.stack_vm)."""
    return sum(area.size for area in mm.areas if area.flags & GROWS_DOWN)


def memory_lines(clock: Clock, mm: MemoryDescriptor, *, is_dumping: bool) -> list[bytes]:
    """The Vm* and Rss* lines of status. Linux: fs/proc/task_mmu.c, task_mem."""
    total_kb = mm.total_pages * PAGE_KB
    resident = resident_pages(clock, mm)
    resident_kb = sum(resident) * PAGE_KB
    executable = sum(
        area.size
        for area in mm.areas
        if area.protection & PROT_EXEC and not area.protection & PROT_WRITE and not area.flags & GROWS_DOWN
    )
    text = min(text_bytes(mm), executable)
    tables = mm.tables
    rows = (
        (b"VmPeak", max(mm.peak_total_pages * PAGE_KB, total_kb)),
        (b"VmSize", total_kb),
        (b"VmLck", locked_bytes(mm) >> 10),
        (b"VmPin", 0),
        (b"VmHWM", max(mm.peak_resident_pages * PAGE_KB, resident_kb)),
        (b"VmRSS", resident_kb),
        (b"RssAnon", resident.anonymous * PAGE_KB),
        (b"RssFile", resident.file * PAGE_KB),
        (b"RssShmem", resident.shared_memory * PAGE_KB),
        (b"VmData", sum(area.size for area in mm.areas if area.is_data) >> 10),
        (b"VmStk", stack_bytes(mm) >> 10),
        (b"VmExe", text >> 10),
        (b"VmLib", (executable - text) >> 10),
        (b"VmPTE", (len(tables.leaves) + len(tables.middle) + len(tables.upper)) * PAGE_KB),
        (b"VmSwap", 0),
        (b"HugetlbPages", 0),
    )
    return [
        *(b"%s:\t%8d kB" % row for row in rows),
        b"CoreDumping:\t%d" % is_dumping,
        b"THP_enabled:\t%d" % (not mm.inherited_flags & HUGE_PAGES_DISABLED),
        b"untag_mask:\t0xffffffffffffffff",
    ]


def queued_signal_count(task: Task) -> int:
    """How many signals are queued for the task's user (SigQ)."""
    return task.credentials.count_of(RLIMIT_SIGPENDING)


def show_status(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/status. Linux: fs/proc/array.c, proc_pid_status."""
    group, credentials = task.group, task.credentials
    # Who opens files has a task's credentials.
    reader = cast("Credentials", subject).user_namespace
    uid, gid = reader.from_kuid_munged, reader.from_kgid_munged
    process_group = group.process_group
    ignored, caught = handled_signals(task)
    number, leader_number = system.number_of(task), system.number_of(group.leader)
    allowed = task.entity.allowed & ((1 << len(system.kernel.scheduler.processors)) - 1)
    has_ended = task.state in ENDED
    lines = [
        b"Name:\t" + escaped_name(task),
        *([] if has_ended else [b"Umask:\t%04o" % task.fs.umask]),
        b"State:\t" + STATE_NAMES[LETTERS[task.state]],
        b"Tgid:\t%d" % leader_number,
        b"Ngid:\t0",
        b"Pid:\t%d" % number,
        b"PPid:\t%d" % parent_number(system, task),
        b"TracerPid:\t%d" % tracer_number(system, task),
        b"Uid:\t%d\t%d\t%d\t%d" % tuple(map(uid, credentials.uids)),
        b"Gid:\t%d\t%d\t%d\t%d" % tuple(map(gid, credentials.gids)),
        b"FDSize:\t%d" % (0 if has_ended else descriptor_table_size(task)),
        b"Groups:\t"
        + b"".join(b"%d " % gid(group_id) for group_id in credentials.groups)
        # A line without groups ends in a space too.
        + (b"" if credentials.groups else b" "),
        b"NStgid:" + nested_numbers(group.pid, task, system.pid_namespace),
        b"NSpid:" + nested_numbers(task.thread_pid, task, system.pid_namespace),
        b"NSpgid:" + nested_numbers(process_group.pid, task, system.pid_namespace),
        b"NSsid:" + nested_numbers(process_group.session.pid, task, system.pid_namespace),
        b"Kthread:\t0",
        *(
            memory_lines(system.kernel.clock, task.mm, is_dumping=group.core_dump is not None)
            if has_memory(task)
            else []
        ),
        b"Threads:\t%d" % len(group.threads),
        b"SigQ:\t%d/%d" % (queued_signal_count(task), group.limits.soft[11]),
        b"SigPnd:\t%016x" % task.pending.mask,
        b"ShdPnd:\t%016x" % group.shared_pending.mask,
        b"SigBlk:\t%016x" % task.blocked,
        b"SigIgn:\t%016x" % ignored,
        b"SigCgt:\t%016x" % caught,
        b"CapInh:\t%016x" % credentials.cap_inheritable,
        b"CapPrm:\t%016x" % credentials.cap_permitted,
        b"CapEff:\t%016x" % credentials.cap_effective,
        b"CapBnd:\t%016x" % credentials.cap_bounding,
        b"CapAmb:\t%016x" % credentials.cap_ambient,
        b"NoNewPrivs:\t%d" % credentials.no_new_privs,
        *seccomp_lines(task),
        b"Speculation_Store_Bypass:\tnot vulnerable",
        b"SpeculationIndirectBranch:\tnot affected",
        b"Cpus_allowed:\t%x" % allowed,
        b"Cpus_allowed_list:\t" + list_of_bits(allowed),
        b"Mems_allowed:\t1",
        b"Mems_allowed_list:\t0",
        b"voluntary_ctxt_switches:\t%d" % task.times.voluntary_switches,
        b"nonvoluntary_ctxt_switches:\t%d" % task.times.involuntary_switches,
    ]
    return b"\n".join(lines) + b"\n"


def descriptor_table_size(task: Task) -> int:
    """How many descriptors the table has room for: a power of two, 64 at least.

    Linux: fs/file.c, alloc_fdtable.
    """
    highest = max(task.files.files, default=0)
    size = 64
    while size <= highest:
        size *= 2
    return size


def tracer_number(system: ProcFileSystem, task: Task) -> int:
    """The process id of the tracer, 0 for none. Linux: include/linux/ptrace.h, ptrace_parent."""
    tracing = task.ptrace
    return 0 if tracing is None else number_of(tracing.tracer.group.pid, system.pid_namespace)


def seccomp_lines(task: Task) -> list[bytes]:
    """The mode and the number of filters of seccomp(2)."""
    newest = task.seccomp_filter
    return [b"Seccomp:\t%d" % task.seccomp_mode, b"Seccomp_filters:\t%d" % (newest.depth if newest else 0)]


LIMITS = (
    (b"Max cpu time", 0, b"seconds"),
    (b"Max file size", 1, b"bytes"),
    (b"Max data size", 2, b"bytes"),
    (b"Max stack size", 3, b"bytes"),
    (b"Max core file size", 4, b"bytes"),
    (b"Max resident set", 5, b"bytes"),
    (b"Max processes", 6, b"processes"),
    (b"Max open files", 7, b"files"),
    (b"Max locked memory", 8, b"bytes"),
    (b"Max address space", 9, b"bytes"),
    (b"Max file locks", 10, b"locks"),
    (b"Max pending signals", 11, b"signals"),
    (b"Max msgqueue size", 12, b"bytes"),
    (b"Max nice priority", 13, b""),
    (b"Max realtime priority", 14, b""),
    (b"Max realtime timeout", 15, b"us"),
)


def show_limits(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/limits. Linux: fs/proc/base.c, proc_pid_limits."""
    limits = task.group.limits

    def text(value: int) -> bytes:
        return b"unlimited" if value == RLIM_INFINITY else b"%d" % value

    rows = [b"%-25s %-20s %-20s %-10s\n" % (b"Limit", b"Soft Limit", b"Hard Limit", b"Units")]
    rows += [
        b"%-25s %-20s %-20s %-10s\n" % (name, text(limits.soft[index]), text(limits.hard[index]), unit)
        for name, index, unit in LIMITS
    ]
    return b"".join(rows)


def show_system_call(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/syscall: the call's number, six argument registers, stack and instruction pointers.

    Linux: fs/proc/base.c, proc_pid_syscall.
    """
    require_attachment(subject, task)
    if task.state in ENDED:
        # It has no kernel stack any more.
        return b"-1 0x0 0x0\n"
    is_reader = task is system.kernel.current
    if task.state not in SLEEPING and not is_reader:
        return b"running\n"
    general = system.kernel.registers_of(task).general
    number = task.call_in_progress
    if number < 0 and is_reader:
        # In the middle of a call nothing has been noted of it, and rax hasn't its result yet.
        number = general[RAX] & 0xFFFF_FFFF
    if number < 0:
        return b"-1 0x%x 0x%x\n" % (general[RSP], general[RIP])
    arguments = b" ".join(b"0x%x" % general[register] for register in (7, 6, 2, 10, 8, 9))
    return b"%d %s 0x%x 0x%x\n" % (number, arguments, general[RSP], general[RIP])


def show_cgroup(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/cgroup. Linux: kernel/cgroup/cgroup.c, proc_cgroup_show."""
    group = task.cgroup
    path = group.path_from(system.kernel.seen_namespaces.cgroup.root)
    return b"0::%s%s\n" % (path, b" (deleted)" if group.is_dead else b"")


def show_cpuset(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/cpuset: the control group, its own or the next above, that has the controller.

    Linux: kernel/cgroup/cpuset.c, proc_cpuset_show.
    """
    cpuset = task.cgroup.cpuset
    group = system.kernel.cgroups.root if cpuset is None else cpuset.group
    return group.path_from(system.kernel.seen_namespaces.cgroup.root) + b"\n"


def show_processor_status(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/arch_status: a processor without AVX-512 has nothing to tell.

    Linux: arch/x86/kernel/fpu/xstate.c, proc_pid_arch_status.
    """
    return b""


def show_children(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/task/TID/children: the processes that this thread has made."""
    return b"".join(b"%d " % system.number_of(child) for child in task.children)
