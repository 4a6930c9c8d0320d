"""The processes of a machine at one moment: records, their tree, and the table that a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.named_tuple import NamedTuple
from procession.kernel.task_state import LETTERS, TaskState
from procession.kernel.waits.channels import ChannelMap
from procession.kernel.waits.reasons import describe_wait
from procession.mm.peek import peek

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task, ThreadGroup

_LARGEST_COMMAND_LINE = 4096


class Process(NamedTuple):
    """A process: `state` is its leader's, `tids` its threads, `arguments` its argv, () for a zombie.

    `user_ns` and `system_ns` are the processor time of all its threads; `resident_bytes` its memory;
    `exit_status` is its wait status once it has ended, else None. `waits_for` says what its leader waits for,
    "" if it doesn't sleep.
    """

    pid: int
    parent_pid: int
    process_group: int
    session: int
    name: str
    arguments: tuple[str, ...]
    state: TaskState
    tids: tuple[int, ...]
    uid: int
    user_ns: int
    system_ns: int
    resident_bytes: int
    exit_status: int | None
    waits_for: str

    def __str__(self) -> str:
        return f"{self.pid} {self.name} ({self.state.name})"


class ProcessTree(NamedTuple):
    """A process and those of its children; its text is the whole tree, as pstree(1) draws it."""

    process: Process
    children: tuple[ProcessTree, ...]

    def __str__(self) -> str:
        lines: list[str] = []
        waiting: list[tuple[ProcessTree, str, str]] = [(self, "", "")]
        while waiting:
            tree, branch, indent = waiting.pop()
            lines.append(f"{branch}{tree.process}")
            last = len(tree.children) - 1
            below: list[tuple[ProcessTree, str, str]] = []
            for number, child in enumerate(tree.children):
                line, under = ("`- ", "   ") if number == last else ("|- ", "|  ")
                below.append((child, indent + line, indent + under))
            waiting += reversed(below)
        return "\n".join(lines)


def processes_of(kernel: Kernel) -> list[Process]:
    """All processes, zombies too, in the order of their ids."""
    channels = ChannelMap(kernel)
    groups = {task.group: None for task in kernel.tasks}
    return sorted((_process(channels, group) for group in groups), key=_pid_of)


def _id_of(task: Task) -> int:
    return task.tid


def _pid_of(process: Process) -> int:
    return process.pid


def _process(channels: ChannelMap, group: ThreadGroup) -> Process:
    leader = group.leader
    living = next((thread for thread in group.threads if thread.state < TaskState.ZOMBIE), None)
    arguments: tuple[str, ...] = ()
    resident_bytes = 0
    if living is not None:
        mm = living.mm
        length = min(max(mm.arguments_end - mm.arguments_start, 0), _LARGEST_COMMAND_LINE)
        strings = peek(mm, mm.arguments_start, length).split(b"\0")[:-1]
        arguments = tuple(string.decode(errors="replace") for string in strings)
        resident_bytes = mm.resident_pages * 4096
    waits_for = ""
    if TaskState.INTERRUPTIBLE <= leader.state <= TaskState.TRACED:
        wait = describe_wait(channels, leader)
        waits_for = f"{wait.call}: {wait.what}"
    has_ended = living is None
    return Process(
        leader.tgid,
        0 if leader.parent is None else leader.parent.tgid,
        group.process_group.pid.global_number,
        group.process_group.session.pid.global_number,
        leader.command_name.decode(errors="replace"),
        arguments,
        leader.state,
        tuple(sorted(thread.tid for thread in group.threads)),
        leader.credentials.uid,
        group.times.user_ns + sum(thread.times.user_ns for thread in group.threads),
        group.times.system_ns + sum(thread.times.system_ns for thread in group.threads),
        resident_bytes,
        group.exit_code if has_ended else None,
        waits_for,
    )


def tree_of(processes: list[Process], pid: int) -> ProcessTree:
    """The tree below the process `pid`. Raises KeyError if there is none."""
    children: dict[int, list[Process]] = {}
    for process in processes:
        children.setdefault(process.parent_pid, []).append(process)
    by_pid = {process.pid: process for process in processes}
    trees: dict[int, ProcessTree] = {}
    # Who is deep is made first: a chain of processes may be longer than Python's stack.
    order = [by_pid[pid]]
    for process in order:
        order += children.get(process.pid, ())
    for process in reversed(order):
        below = tuple(trees.pop(child.pid) for child in children.get(process.pid, ()))
        trees[process.pid] = ProcessTree(process, below)
    return trees[pid]


def process_table(kernel: Kernel) -> str:
    """A line for each task: ids, state, processor time, name, and what it waits for."""
    channels = ChannelMap(kernel)
    lines = [f"{'PID':>5} {'TID':>5} {'PPID':>5} S {'TIME':>8} COMMAND"]
    for task in sorted(kernel.tasks, key=_id_of):
        lines.append(_task_line(channels, task))
    return "\n".join(lines)


def _task_line(channels: ChannelMap, task: Task) -> str:
    parent_pid = 0 if task.parent is None else task.parent.tgid
    seconds = (task.times.user_ns + task.times.system_ns) / NS_PER_S
    line = f"{task.tgid:>5} {task.tid:>5} {parent_pid:>5} {LETTERS[task.state]} {seconds:8.3f} "
    line += task.command_name.decode(errors="backslashreplace")
    if TaskState.INTERRUPTIBLE <= task.state <= TaskState.TRACED:
        wait = describe_wait(channels, task)
        line += f"  {wait.call}: waits for {wait.what}"
    elif task.state is TaskState.ZOMBIE and task.parent is not None:
        line += f"  waits for process {task.parent.tgid} to reap it"
    return "".join(character if character.isprintable() else "?" for character in line)
