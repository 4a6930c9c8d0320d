"""Everything about one task, grouped as Linux groups it: what `procession inspect` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.duration import NS_PER_S
from procession.abi.named_tuple import NamedTuple
from procession.abi.ptrace import PtraceOption
from procession.abi.signals import SIG_DFL, SIG_IGN, Signal
from procession.fs.dentry import absolute_path
from procession.fs.file import File
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.kernel.pid import Pid
from procession.kernel.ptrace.tracing import (
    AT_CALL_ENTRY,
    AT_CALL_EXIT,
    AT_EXIT,
    AT_HANDLER,
    AT_SECCOMP,
    AT_SIGNAL,
    AT_TRAP,
    IN_CALL,
)
from procession.kernel.task_state import TaskState
from procession.kernel.time.clock import BOOT_NS
from procession.kernel.waits.channels import ChannelMap
from procession.kernel.waits.reasons import describe_wait

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import VirtualMemoryArea

_POLICIES = {
    0: "SCHED_OTHER",
    1: "SCHED_FIFO",
    2: "SCHED_RR",
    3: "SCHED_BATCH",
    5: "SCHED_IDLE",
    6: "SCHED_DEADLINE",
}
_MOST_SHARERS = 8
_ALL_SIGNALS = (1 << 64) - 1


class Field(NamedTuple):
    """One line of a report: its section, name and value in words."""

    section: str
    name: str
    value: str


def task_report(kernel: Kernel, task: Task) -> list[Field]:
    """All about `task`, without changing anything. Sections come in the order of `struct task_struct`."""
    fields: list[Field] = []
    for section, describe in _SECTIONS.items():
        fields += [Field(section, name, value) for name, value in describe(kernel, task)]
    return fields


def report_text(fields: list[Field]) -> str:
    """A report for a reader."""
    lines: list[str] = []
    section = ""
    for field in fields:
        if field.section != section:
            section = field.section
            lines.append(section)
        lines.append(f"    {field.name:<24} {field.value}".rstrip())
    return "\n".join(lines) + "\n"


def report_difference(before: list[Field], after: list[Field]) -> str:
    """What changed between two reports: a line for each field that differs, came or went."""
    old = {(field.section, field.name): field.value for field in before}
    new = {(field.section, field.name): field.value for field in after}
    lines: list[str] = []
    for key in dict.fromkeys((*old, *new)):
        first, second = old.get(key), new.get(key)
        if first == second:
            continue
        place = f"{key[0]}: {key[1]}"
        if first is None:
            lines.append(f"+ {place:<36} {second}")
        elif second is None:
            lines.append(f"- {place:<36} {first}")
        else:
            lines.append(f"~ {place:<36} {first} -> {second}")
    return "".join(line.rstrip() + "\n" for line in lines)


Lines = list[tuple[str, str]]


def _identity(_kernel: Kernel, task: Task) -> Lines:
    group = task.group
    process_group = group.process_group
    parent = task.parent
    return [
        ("comm", task.command_name.decode(errors="backslashreplace")),
        ("pid", _numbers(task.thread_pid)),
        ("tgid", _numbers(group.pid)),
        ("threads", _tasks(group.threads)),
        ("parent", "none" if parent is None else f"{parent.tid} {_name(parent)}"),
        ("children", _tasks(task.children) or "none"),
        ("process group", _numbers(process_group.pid)),
        ("session", _numbers(process_group.session.pid)),
        ("exit_signal", _signal(task.exit_signal) if task.exit_signal > 0 else str(task.exit_signal)),
        ("start_time", _seconds(task.start_time_ns - BOOT_NS)),
    ]


def _state(kernel: Kernel, task: Task) -> Lines:
    lines = [("state", task.state.name), ("call", task.call_name)]
    if TaskState.INTERRUPTIBLE <= task.state <= TaskState.TRACED:
        wait = describe_wait(ChannelMap(kernel), task)
        lines.append(("waits for", wait.what))
        if wait.wakers:
            lines.append(("can be woken by", ", ".join(map(str, wait.wakers))))
    if task.state >= TaskState.ZOMBIE:
        lines.append(("exit_code", f"{task.exit_code:#x}"))
    lines.append(("flags", f"{task.flags:#x}"))
    return lines


def _scheduling(_kernel: Kernel, task: Task) -> Lines:
    entity, times = task.entity, task.times
    return [
        ("policy", _POLICIES.get(task.policy, str(task.policy))),
        ("nice", str(task.nice)),
        ("rt_priority", str(task.realtime_priority)),
        ("on_cpu", str(entity.processor)),
        ("vruntime", f"{entity.virtual_runtime_ns} ns"),
        ("utime", _seconds(times.user_ns)),
        ("stime", _seconds(times.system_ns)),
        ("nvcsw", str(times.voluntary_switches)),
        ("nivcsw", str(times.involuntary_switches)),
    ]


class FrameOwners:
    """Which address spaces map each frame, by the id of the first task that runs in them."""

    def __init__(self, kernel: Kernel) -> None:
        self.first_tids: dict[MemoryDescriptor, int] = {}
        self.tids: dict[int, dict[int, None]] = {}
        for task in _living(kernel):
            self.first_tids.setdefault(task.mm, task.tid)
        for mm, tid in self.first_tids.items():
            for page in _present_pages(mm, 0, pte.USER_END):
                self.tids.setdefault(_frame(mm, page), {})[tid] = None

    def others(self, mm: MemoryDescriptor, frame: int) -> list[int]:
        """Who maps `frame` besides `mm`."""
        mine = self.first_tids.get(mm)
        return [tid for tid in self.tids.get(frame, ()) if tid != mine]


def _present_pages(mm: MemoryDescriptor, start: int, end: int) -> Iterator[int]:
    """The numbers of the pages from `start` to `end` that have a frame."""
    first, last = start >> PAGE_SHIFT, end >> PAGE_SHIFT
    for index in sorted(mm.leaves):
        for page in range(max(first, index << 9), min(last, (index + 1) << 9)):
            if mm.tables.entry(page) & pte.PRESENT:
                yield page


def _frame(mm: MemoryDescriptor, page: int) -> int:
    return (mm.tables.entry(page) & pte.ADDRESS_MASK) >> PAGE_SHIFT


def _memory(kernel: Kernel, task: Task) -> Lines:
    if task.state >= TaskState.ZOMBIE:
        return [("mm", "none, for it has ended")]
    mm = task.mm
    owners = FrameOwners(kernel)
    lines = [
        ("users", _tasks(other for other in _living(kernel) if other.mm is mm)),
        ("total_vm", f"{mm.total_pages} pages"),
        ("rss", f"{mm.resident_pages} pages"),
        ("hiwater_rss", f"{mm.peak_resident_pages} pages"),
        ("page tables", f"{len(mm.leaves)} leaf tables"),
        ("brk", f"{mm.heap_start:#x}-{mm.brk:#x}"),
    ]
    lines += [(f"{area.start:x}-{area.end:x}", _area(area, task, owners)) for area in mm.areas]
    return lines


def _area(area: VirtualMemoryArea, task: Task, owners: FrameOwners) -> str:
    """Rights and name of an area, and whose its frames are: its own, shared, or shared until written."""
    mm = task.mm
    rights = "".join(
        letter if area.protection & bit else "-" for bit, letter in ((1, "r"), (2, "w"), (4, "x"))
    )
    rights += "s" if area.is_shared else "p"
    name = absolute_path(area.file.path, task.fs.root) if isinstance(area.file, File) else area.name
    counts: dict[str, int] = {}
    sharers: dict[int, None] = {}
    for page in _present_pages(mm, area.start, area.end):
        frame = _frame(mm, page)
        others = owners.others(mm, frame) if frame else []
        sharers.update(dict.fromkeys(others))
        if area.is_shared:
            kind = "shared"
        elif mm.tables.entry(page) & pte.CACHED:
            kind = "of the file" if frame else "of zeros"
        else:
            kind = "copy-on-write" if others else "private"
        counts[kind] = counts.get(kind, 0) + 1
    parts = [f"{count} {kind}" for kind, count in counts.items()]
    if sharers:
        named = ", ".join(map(str, sorted(sharers)[:_MOST_SHARERS]))
        parts.append(f"with {named}{' ...' if len(sharers) > _MOST_SHARERS else ''}")
    return f"{rights} {name.decode(errors='backslashreplace')} [{', '.join(parts) or 'no frames'}]"


def _files(kernel: Kernel, task: Task) -> Lines:
    if task.state >= TaskState.ZOMBIE:
        return [("files", "none, for it has ended")]
    lines = [
        ("table users", _tasks(other for other in _living(kernel) if other.files is task.files)),
        ("cwd", absolute_path(task.fs.cwd, task.fs.root).decode(errors="backslashreplace")),
        (
            "root",
            absolute_path(task.fs.root, task.namespaces.mounts.root_path).decode(errors="backslashreplace"),
        ),
        ("umask", f"{task.fs.umask:04o}"),
    ]
    for fd, file in sorted(task.files.files.items()):
        name = absolute_path(file.path, task.fs.root).decode(errors="backslashreplace")
        notes = [f"offset {file.position}"] if file.is_seekable else []
        if fd in task.files.close_on_exec:
            notes.append("close-on-exec")
        others = _other_descriptors(kernel, task, file)
        if others:
            notes.append(f"shared with {', '.join(others)}")
        lines.append((f"fd {fd}", f"{name} [{type(file).__name__}{''.join(f', {note}' for note in notes)}]"))
    return lines


def _other_descriptors(kernel: Kernel, task: Task, file: File) -> list[str]:
    """Which descriptors of other tables lead to the same open file description."""
    tables = {other.files: other for other in _living(kernel) if other.files is not task.files}
    return [
        f"{other.tid} fd {fd}"
        for table, other in tables.items()
        for fd, found in table.files.items()
        if found is file
    ][:_MOST_SHARERS]


def _signals(_kernel: Kernel, task: Task) -> Lines:
    group = task.group
    actions = group.handlers.actions
    handled = [
        number for number in range(1, len(actions)) if actions[number].handler not in (SIG_DFL, SIG_IGN)
    ]
    ignored = [number for number in range(1, len(actions)) if actions[number].handler == SIG_IGN]
    return [
        ("pending", _signals_of(task.pending.mask)),
        ("shared pending", _signals_of(group.shared_pending.mask)),
        ("blocked", _signals_of(task.blocked)),
        (
            "handled",
            ", ".join(f"{_signal(number)} at {actions[number].handler:#x}" for number in handled) or "none",
        ),
        ("ignored", ", ".join(map(_signal, ignored)) or "none"),
        ("pdeath_signal", _signal(task.parent_death_signal) if task.parent_death_signal else "none"),
    ]


def _credentials(_kernel: Kernel, task: Task) -> Lines:
    own = task.credentials
    return [
        ("uid", f"real {own.uid}, effective {own.euid}, saved {own.suid}, fs {own.fsuid}"),
        ("gid", f"real {own.gid}, effective {own.egid}, saved {own.sgid}, fs {own.fsgid}"),
        ("groups", ", ".join(map(str, own.groups)) or "none"),
        ("cap_effective", _capabilities(own.cap_effective)),
        ("cap_permitted", _capabilities(own.cap_permitted)),
        ("cap_inheritable", _capabilities(own.cap_inheritable)),
        ("cap_bounding", _capabilities(own.cap_bounding)),
        ("cap_ambient", _capabilities(own.cap_ambient)),
        ("securebits", f"{own.securebits:#x}"),
        ("no_new_privs", str(int(own.no_new_privs))),
        ("seccomp", {0: "disabled", 1: "strict", 2: "filter"}.get(task.seccomp_mode, str(task.seccomp_mode))),
    ]


def _namespaces(_kernel: Kernel, task: Task) -> Lines:
    proxy = task.namespaces
    found = {
        "cgroup": proxy.cgroup,
        "ipc": proxy.ipc,
        "mnt": proxy.mounts,
        "net": proxy.network,
        "pid": task.pid_namespace,
        "pid_for_children": proxy.pid_for_children,
        "time": proxy.time,
        "time_for_children": proxy.time_for_children,
        "user": task.credentials.user_namespace,
        "uts": proxy.uts,
    }
    return [(name, f"{name.partition('_')[0]}:[{namespace.number}]") for name, namespace in found.items()]


def _ptrace(_kernel: Kernel, task: Task) -> Lines:
    tracing, stop, permitted = task.ptrace, task.trace_stop, task.group.permitted_tracer
    lines = [("tracer", "none")]
    if tracing is not None:
        how = "seized" if tracing.is_seized else "attached"
        options = [option.name for option in PtraceOption if tracing.options & option]
        lines = [
            ("tracer", f"{tracing.tracer.tid} {_name(tracing.tracer)}, {how}"),
            ("options", ", ".join(map(str, options)) or "none"),
        ]
    if stop is not None:
        signal = f" {_signal(stop.info.signo)}" if stop.stage == AT_SIGNAL and stop.info is not None else ""
        # Elsewhere it's a number of ptrace's own.
        message = f", message {stop.message}" if stop.stage in (AT_SECCOMP, IN_CALL, AT_EXIT) else ""
        lines.append(("stopped", _STOPS[stop.stage] + signal + message))
    lines.append(("tracees", ", ".join(f"{each.tid} {_name(each)}" for each in task.tracees or ()) or "none"))
    if permitted is not None:
        lines.append(("permitted tracer", _numbers(permitted)))
    return lines


_STOPS = {
    AT_SIGNAL: "before it takes",
    AT_TRAP: "at a trap",
    AT_CALL_ENTRY: "entering a call",
    AT_SECCOMP: "where a filter tells of a call",
    AT_CALL_EXIT: "leaving a call",
    IN_CALL: "at an event in a call",
    AT_EXIT: "before its end",
    AT_HANDLER: "entering a handler",
}


def _accounting(_kernel: Kernel, task: Task) -> Lines:
    io, times = task.io, task.times
    return [
        ("min_flt", str(times.minor_faults)),
        ("maj_flt", str(times.major_faults)),
        ("rchar, wchar", f"{io.bytes_read}, {io.bytes_written}"),
        ("syscr, syscw", f"{io.read_calls}, {io.write_calls}"),
        ("self_exec_id", str(task.self_exec_id)),
        ("oom_score_adj", str(task.group.oom_score_adj)),
    ]


_SECTIONS: dict[str, Callable[[Kernel, Task], Lines]] = {
    "identity": _identity,
    "state": _state,
    "scheduling": _scheduling,
    "memory": _memory,
    "files": _files,
    "signals": _signals,
    "credentials": _credentials,
    "namespaces": _namespaces,
    "ptrace": _ptrace,
    "accounting": _accounting,
}


def _living(kernel: Kernel) -> list[Task]:
    return [task for task in kernel.tasks if task.state < TaskState.ZOMBIE]


def _numbers(pid: Pid) -> str:
    """A pid in each of its namespaces, the machine's first: `7, 1 in the namespace below`."""
    return " / ".join(map(str, pid.numbers))


def _name(task: Task) -> str:
    return task.command_name.decode(errors="backslashreplace")


def _tasks(tasks: Iterable[Task]) -> str:
    return ", ".join(f"{task.tid} {_name(task)}" for task in tasks)


def _seconds(nanoseconds: int) -> str:
    return f"{nanoseconds / NS_PER_S:.9f} s"


def _signal(number: int) -> str:
    try:
        return Signal(number).name
    except ValueError:
        return f"SIGRT{number - 34:+d}" if number >= 34 else str(number)


def _signals_of(mask: int) -> str:
    if mask.bit_count() > _ALL_SIGNALS.bit_count() // 2:
        others = _ALL_SIGNALS & ~mask
        return f"all but {_signals_of(others)}" if others else "all"
    return ", ".join(_signal(number) for number in range(1, 65) if mask >> number - 1 & 1) or "none"


def _capabilities(mask: int) -> str:
    everything = (1 << len(Capability.__members__)) - 1
    if mask & everything == everything:
        return "all"
    names = [member.name for member in Capability if mask >> int(member) & 1]
    return ", ".join(names) or "none"
