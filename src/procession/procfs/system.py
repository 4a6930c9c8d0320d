"""The files of proc that are about the whole machine: stat, uptime, meminfo, version and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_CLOCK_TICK, NS_PER_S
from procession.fs.devices import TUN_MINOR, USERFAULT_MINOR
from procession.fs.file_system_type import FILE_SYSTEM_TYPES
from procession.fs.kernel_log import LogLinesFile
from procession.hardware import page_table as pte
from procession.hardware.kernel_memory import STACK_BYTES
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.hardware.processor_level import LEVELS, ProcessorLevel
from procession.kernel.cgroup.group import CONTROLLER_NAMES
from procession.kernel.memory_lock import locked_bytes
from procession.kernel.sched.loadavg import LOAD_SHIFT, ONE
from procession.kernel.sched.pressure import RESOURCE_NAMES
from procession.kernel.task_state import TaskState
from procession.kernel.time.costs import SEEN_FRAME_NS, SEEN_THREAD_NS
from procession.mm.overcommit import commit_limit, committed_pages
from procession.procfs.kernel_config import show_config
from procession.procfs.keys import show_key_users, show_keys
from procession.procfs.locks import show_locks
from procession.procfs.physical_pages import open_page_counts, open_page_flags, open_page_groups
from procession.procfs.process_memory import resident_entries
from procession.procfs.slab_info import show_slabs
from procession.procfs.system_directory import PressureKind, SystemFile, open_swaps
from procession.procfs.sysvipc import show_queues, show_segments, show_semaphores
from procession.procfs.terminal import show_disciplines, show_drivers
from procession.procfs.zones import show_free_blocks, show_zones

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.permission import Subject
    from procession.kernel.kernel import Kernel
    from procession.kernel.sched.run_queue import RunQueue
    from procession.procfs.system_directory import SystemTree

PAGE_KB = 4


def count_states(kernel: Kernel) -> tuple[int, int, int]:
    """How many tasks there are, how many can run, and how many sleep without being interruptible."""
    running = blocked = 0
    kernel.clock.spend(len(kernel.tasks) * SEEN_THREAD_NS)
    for task in kernel.tasks:
        if task.state in (TaskState.RUNNING, TaskState.RUNNABLE):
            running += 1
        elif task.state in (TaskState.UNINTERRUPTIBLE, TaskState.KILLABLE):
            blocked += 1
    return len(kernel.tasks), running, blocked


def show_stat(kernel: Kernel) -> bytes:
    """/proc/stat. Linux: fs/proc/stat.c, show_stat."""
    processors = kernel.scheduler.processors
    times = [(each.user_ns, each.system_ns, idle_ns(kernel, each)) for each in processors]
    _, running, blocked = count_states(kernel)
    boot_time_ns = kernel.clock.realtime_offset_ns - kernel.seen_namespaces.time.boottime_offset_ns
    return b"".join(
        (
            b"cpu  %s\n" % cpu_ticks(*map(sum, zip(*times, strict=True))),
            *(b"cpu%d %s\n" % (number, cpu_ticks(*each)) for number, each in enumerate(times)),
            b"intr %d\n" % sum(each.interrupt_count for each in processors),
            b"ctxt %d\n" % kernel.scheduler.switch_count,
            b"btime %d\n" % (boot_time_ns // NS_PER_S & (1 << 64) - 1),
            b"processes %d\n" % kernel.total_forks,
            b"procs_running %d\n" % running,
            b"procs_blocked %d\n" % blocked,
            b"softirq 0 0 0 0 0 0 0 0 0 0 0\n",
        )
    )


def processor_count(kernel: Kernel) -> int:
    """How many virtual processors the machine has."""
    return len(kernel.scheduler.processors)


def idle_ns(kernel: Kernel, processor: RunQueue) -> int:
    """How long a processor has done nothing. Of several, that's also while it was another's turn."""
    return max(kernel.clock.now_ns - processor.user_ns - processor.system_ns, 0)


def cpu_ticks(user_ns: int, system_ns: int, idle_ns: int) -> bytes:
    """The figures of a cpu line of stat, in clock ticks."""
    return b"%d 0 %d %d 0 0 0 0 0 0" % (
        user_ns // NS_PER_CLOCK_TICK,
        system_ns // NS_PER_CLOCK_TICK,
        idle_ns // NS_PER_CLOCK_TICK,
    )


def show_uptime(kernel: Kernel) -> bytes:
    """/proc/uptime. Linux: fs/proc/uptime.c, uptime_proc_show."""
    seen = kernel.clock.now_ns + kernel.seen_namespaces.time.boottime_offset_ns
    idle = sum(idle_ns(kernel, each) for each in kernel.scheduler.processors)
    return b"%d.%02d %d.%02d\n" % (*hundredths(seen), *hundredths(idle))


def hundredths(time_ns: int) -> tuple[int, int]:
    """Whole seconds, and hundredths of one."""
    return divmod(time_ns // NS_PER_CLOCK_TICK, 100)


def show_loadavg(kernel: Kernel) -> bytes:
    """/proc/loadavg. Linux: fs/proc/loadavg.c, loadavg_proc_show."""
    total, running, _ = count_states(kernel)
    rounded = [average + ONE // 200 for average in kernel.load.averages]
    averages = b" ".join(b"%d.%02d" % (load >> LOAD_SHIFT, (load & ONE - 1) * 100 // ONE) for load in rounded)
    return b"%s %d/%d %d\n" % (averages, running, total, kernel.seen_pid_namespace.last)


def show_meminfo(kernel: Kernel) -> bytes:
    """/proc/meminfo. Linux: fs/proc/meminfo.c, meminfo_proc_show."""
    memory = kernel.memory
    # A page, or a table, that several processes map is one, and threads share one address space.
    frames: tuple[set[int], set[int], set[int]] = (set(), set(), set())
    table_frames: set[int] = set()
    locked = seen_count = 0
    for mm in dict.fromkeys(task.mm for task in kernel.tasks if task.mm.reference_count > 0):
        for kind, entries in resident_entries(mm):
            frames[kind].update(entry & pte.ADDRESS_MASK for entry in entries)
            seen_count += len(entries)
        kernel.clock.spend_looking(len(mm.areas))
        locked += locked_bytes(mm) >> PAGE_SHIFT
        tables = mm.tables
        table_frames.update(
            (tables.root,), tables.upper.values(), tables.middle.values(), tables.leaves.values()
        )
    kernel.clock.spend(seen_count * SEEN_FRAME_NS)
    anonymous, file, shared = map(len, frames)
    total, free = memory.frame_count, memory.free_frames
    account = memory.account
    stack_count = sum(task.state is not TaskState.ZOMBIE for task in kernel.tasks)
    stacks = stack_count * STACK_BYTES >> PAGE_SHIFT
    slab = max((account.used_bytes >> PAGE_SHIFT) - stacks, 0)
    table_count = len(table_frames)
    cached = max(total - free - anonymous - table_count - slab - stacks, 0)
    rows = (
        (b"MemTotal", total),
        (b"MemFree", free),
        (b"MemAvailable", memory.available_frames),
        (b"Buffers", 0),
        (b"Cached", cached),
        (b"SwapCached", 0),
        (b"Active", anonymous),
        (b"Inactive", cached),
        (b"Active(anon)", anonymous),
        (b"Inactive(anon)", 0),
        (b"Active(file)", 0),
        (b"Inactive(file)", cached),
        (b"Unevictable", locked),
        (b"Mlocked", locked),
        (b"SwapTotal", 0),
        (b"SwapFree", 0),
        (b"Dirty", 0),
        (b"Writeback", 0),
        (b"AnonPages", anonymous),
        (b"Mapped", file),
        (b"Shmem", shared),
        (b"KReclaimable", 0),
        (b"Slab", slab),
        (b"SReclaimable", 0),
        (b"SUnreclaim", slab),
        (b"KernelStack", stacks),
        (b"PageTables", table_count),
        (b"SecPageTables", 0),
        (b"NFS_Unstable", 0),
        (b"Bounce", 0),
        (b"WritebackTmp", 0),
        (b"CommitLimit", commit_limit(memory)),
        (b"Committed_AS", committed_pages(memory)),
        (b"VmallocTotal", 34359738367 // PAGE_KB),
        (b"VmallocUsed", 0),
        (b"VmallocChunk", 0),
        (b"Percpu", 0),
    )
    return b"".join(b"%-16s%8d kB\n" % (name + b":", pages * PAGE_KB) for name, pages in rows)


def show_version(kernel: Kernel) -> bytes:
    """/proc/version. Linux: fs/proc/version.c, version_proc_show."""
    identity = kernel.seen_namespaces.uts
    return b"%s version %s (procession) %s\n" % (identity.system_name, identity.release, identity.version)


def show_cpuinfo(kernel: Kernel) -> bytes:
    """/proc/cpuinfo: the processor that the reader has found. Linux: arch/x86/kernel/cpu/proc.c."""
    count = processor_count(kernel)
    reader = kernel.current
    level = LEVELS[kernel.cpu.capabilities.level if reader is None else reader.mm.processor_level]
    return b"".join(processor_lines(number, count, level) for number in range(count))


def processor_lines(number: int, count: int, level: ProcessorLevel) -> bytes:
    """The lines about processor `number` of `count`."""
    rows = (
        (b"processor\t", b"%d" % number),
        (b"vendor_id\t", b"GenuineIntel"),
        (b"cpu family\t", b"6"),
        (b"model\t\t", b"%d" % level.model),
        (b"model name\t", level.model_name),
        (b"stepping\t", b"3"),
        (b"cpu MHz\t\t", b"1000.000"),
        (b"cache size\t", b"4096 KB"),
        (b"physical id\t", b"0"),
        (b"siblings\t", b"%d" % count),
        (b"core id\t\t", b"%d" % number),
        (b"cpu cores\t", b"%d" % count),
        (b"apicid\t\t", b"%d" % number),
        (b"initial apicid\t", b"%d" % number),
        (b"fpu\t\t", b"yes"),
        (b"fpu_exception\t", b"yes"),
        (b"cpuid level\t", b"%d" % level.maximum_leaf),
        (b"wp\t\t", b"yes"),
        (b"flags\t\t", level.flags),
        (b"bugs\t\t", b""),
        (b"bogomips\t", b"2000.00"),
        (b"clflush size\t", b"64"),
        (b"cache_alignment\t", b"64"),
        (b"address sizes\t", b"40 bits physical, 48 bits virtual"),
        (b"power management", b""),
    )
    return (
        b"".join(
            b"%s:\n" % name if name == b"power management" else b"%s: %s\n" % (name, value)
            for name, value in rows
        )
        + b"\n"
    )


def show_filesystems(kernel: Kernel) -> bytes:
    """/proc/filesystems. Linux: fs/filesystems.c, filesystems_proc_show."""
    return b"".join(b"nodev\t%s\n" % name for name in FILE_SYSTEM_TYPES)


def show_nothing(kernel: Kernel) -> bytes:
    """A file with nothing in it."""
    return b""


def open_log(kernel: Kernel, path: Path, flags: int, subject: Subject) -> File:
    """Open /proc/kmsg. Raises EPERM. Linux: fs/proc/kmsg.c, kmsg_open."""
    kernel.vfs.log.check_access(subject, is_looking=False)
    return LogLinesFile(path, flags, subject, kernel.vfs.log)


def show_execution_domains(kernel: Kernel) -> bytes:
    """/proc/execdomains. Linux: kernel/exec_domain.c, execdomains_proc_show."""
    return b"0-0\tLinux           \t[kernel]\n"


def show_soft_interrupts(kernel: Kernel) -> bytes:
    """/proc/softirqs: there are none, as no device interrupts. Linux: fs/proc/softirqs.c."""
    count = processor_count(kernel)
    heading = b"                    " + b"".join(b"CPU%-8d" % number for number in range(count))
    rows = (b"%12s:" % name + b"          0" * count for name in _SOFT_INTERRUPTS)
    return heading + b"\n" + b"".join(row + b"\n" for row in rows)


_SOFT_INTERRUPTS = (
    *(b"HI", b"TIMER", b"NET_TX", b"NET_RX", b"BLOCK", b"IRQ_POLL", b"TASKLET", b"SCHED", b"HRTIMER", b"RCU"),
)


def show_command_line(kernel: Kernel) -> bytes:
    """/proc/cmdline: nothing has started this kernel with a command line."""
    return b"\n"


def show_devices(kernel: Kernel) -> bytes:
    """/proc/devices. Linux: block/genhd.c, fs/char_dev.c."""
    rows = (
        *((1, b"mem"), (4, b"tty"), (5, b"/dev/tty"), (5, b"/dev/console"), (5, b"/dev/ptmx")),
        *((10, b"misc"), (128, b"ptm"), (136, b"pts")),
    )
    return b"Character devices:\n" + b"".join(b"%3d %s\n" % row for row in rows) + b"\nBlock devices:\n"


def show_misc(kernel: Kernel) -> bytes:
    """/proc/misc: the devices that share one number. Linux: drivers/char/misc.c, misc_seq_show."""
    return b"".join(b"%3d %s\n" % row for row in ((TUN_MINOR, b"tun"), (USERFAULT_MINOR, b"userfaultfd")))


def show_partitions(kernel: Kernel) -> bytes:
    """/proc/partitions: there are no disks, and then not even the heading."""
    return b""


def show_swaps(kernel: Kernel) -> bytes:
    """/proc/swaps. Linux: mm/swapfile.c, swap_show."""
    return b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def show_interrupts(kernel: Kernel) -> bytes:
    """/proc/interrupts: those of each processor's timer, as no device interrupts.

    Linux: kernel/irq/proc.c, show_interrupts; arch/x86/kernel/irq.c, arch_show_interrupts.
    """
    queues = kernel.scheduler.processors
    heading = b"           " + b"".join(b"CPU%-8d" % queue.number for queue in queues) + b"\n"
    counts = b"".join(b"%10d " % queue.interrupt_count for queue in queues)
    return heading + b"LOC: " + counts + b"  Local timer interrupts\n"


def show_vmstat(kernel: Kernel) -> bytes:
    """/proc/vmstat, what of it is counted."""
    tasks = kernel.tasks
    minor = sum(task.times.minor_faults + task.group.children_times.minor_faults for task in tasks)
    major = sum(task.times.major_faults + task.group.children_times.major_faults for task in tasks)
    reclaimer = kernel.memory.reclaimer
    rows = (
        (b"nr_free_pages", kernel.memory.free_frames),
        (b"pgpgin", 0),
        (b"pgpgout", 0),
        (b"pswpin", 0),
        (b"pswpout", 0),
        (b"pgfault", minor + major),
        (b"pgmajfault", major),
        (b"pglazyfree", reclaimer.lazily_freed_count if reclaimer is not None else 0),
        (b"pglazyfreed", reclaimer.lazily_taken_count if reclaimer is not None else 0),
        (b"pgscan_direct", reclaimer.scanned_count if reclaimer is not None else 0),
        (b"pgsteal_direct", reclaimer.reclaimed_count if reclaimer is not None else 0),
        (b"oom_kill", kernel.oom_kill_count),
    )
    return b"".join(b"%s %d\n" % row for row in rows)


def show_cgroups(kernel: Kernel) -> bytes:
    """/proc/cgroups. Linux: kernel/cgroup/cgroup-v1.c, proc_cgroupstats_show."""
    count = kernel.cgroups.count
    return b"#subsys_name\thierarchy\tnum_cgroups\tenabled\n" + b"".join(
        b"%s\t0\t%d\t1\n" % (b"blkio" if name == b"io" else name, count) for name in CONTROLLER_NAMES
    )


TREE: SystemTree = {
    b"buddyinfo": SystemFile(0o444, show_free_blocks),
    # Drivers and file systems of disks would have more in these three. Linux: fs/proc/root.c, proc_root_init.
    b"bus": {},
    b"cgroups": SystemFile(0o444, show_cgroups),
    b"cmdline": SystemFile(0o444, show_command_line, has_size=True),
    b"config.gz": SystemFile(0o444, show_config, has_size=True, has_records=False),
    b"consoles": SystemFile(0o444, show_nothing),
    b"cpuinfo": SystemFile(0o444, show_cpuinfo),
    b"devices": SystemFile(0o444, show_devices),
    b"diskstats": SystemFile(0o444, show_nothing),
    b"driver": {},
    b"execdomains": SystemFile(0o444, show_execution_domains),
    b"filesystems": SystemFile(0o444, show_filesystems),
    b"fs": {},
    b"interrupts": SystemFile(0o444, show_interrupts),
    b"kmsg": SystemFile(0o400, show_nothing, None, open_log),
    b"kpagecgroup": SystemFile(0o400, show_nothing, None, open_page_groups),
    b"kpagecount": SystemFile(0o400, show_nothing, None, open_page_counts),
    b"key-users": SystemFile(0o444, show_key_users),
    b"keys": SystemFile(0o444, show_keys),
    b"kpageflags": SystemFile(0o400, show_nothing, None, open_page_flags),
    b"loadavg": SystemFile(0o444, show_loadavg),
    b"locks": SystemFile(0o444, show_locks),
    b"meminfo": SystemFile(0o444, show_meminfo),
    b"misc": SystemFile(0o444, show_misc),
    b"modules": SystemFile(0o444, show_nothing),
    b"mounts": b"self/mounts",
    b"net": b"self/net",
    b"partitions": SystemFile(0o444, show_partitions),
    b"pressure": {name: PressureKind(resource) for resource, name in enumerate(RESOURCE_NAMES)},
    b"slabinfo": SystemFile(0o400, show_slabs),
    b"softirqs": SystemFile(0o444, show_soft_interrupts),
    b"stat": SystemFile(0o444, show_stat),
    b"swaps": SystemFile(0o444, show_swaps, None, open_swaps),
    b"sys": {},
    b"sysvipc": {
        b"msg": SystemFile(0o444, show_queues),
        b"sem": SystemFile(0o444, show_semaphores),
        b"shm": SystemFile(0o444, show_segments),
    },
    b"tty": {
        b"drivers": SystemFile(0o444, show_drivers),
        b"ldiscs": SystemFile(0o444, show_disciplines),
    },
    b"uptime": SystemFile(0o444, show_uptime),
    b"version": SystemFile(0o444, show_version),
    b"vmstat": SystemFile(0o444, show_vmstat),
    b"zoneinfo": SystemFile(0o444, show_zones),
}
