"""What counts as wrong at the end of a run: each oracle has a name, and says in words what it has found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.abi.signals import Signal
from procession.explore.data_race import first_race
from procession.explore.finding import Finding
from procession.kernel.signal.wake import has_fatal_signal
from procession.kernel.task_state import ENDED, TaskState

if TYPE_CHECKING:
    from procession.explore.data_race import Happening
    from procession.explore.facts import Fact
    from procession.explore.world import World
    from procession.kernel.task import Task
    from procession.machine import Machine

EXITED, DEADLOCK, ENDLESS, STOPPED = "exited", "deadlock", "endless", "stopped"
"""How a run ends: its command did; nobody can ever run again; it took all the steps or the time that it may;
the guest has turned the machine off."""
_CRASHES = {
    int(Signal[name]) for name in ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT", "SIGSYS", "SIGTRAP")
}
_SIGCHLD_BIT = 1 << (Signal.SIGCHLD - 1)


class Run(NamedTuple):
    """A run that has ended, as oracles see it: the `machine` as it is now, and what happened on the way."""

    machine: Machine
    ending: str
    status: int
    stdout: bytes
    stderr: bytes
    facts: list[Fact]
    happenings: Sequence[Happening] = ()


class Expectation(NamedTuple):
    """What every run is to give, None for what the first one gives; the last two say which of it that is."""

    status: int | None = None
    stdout: bytes | None = None
    is_status_first: bool = False
    is_stdout_first: bool = False


class Oracle(NamedTuple):
    """A kind of failure: what it is, and a function that says what is wrong with a run, "" if nothing is."""

    name: str
    meaning: str
    check: Callable[[Run, Expectation], str]


def _status(run: Run, expected: Expectation) -> str:
    if run.ending == EXITED and expected.status is not None and run.status != expected.status:
        return f"the exit status is {run.status}, not {expected.status}{_whose(expected.is_status_first)}"
    return ""


def _output(run: Run, expected: Expectation) -> str:
    if run.ending == EXITED and expected.stdout is not None and run.stdout != expected.stdout:
        first = _whose(expected.is_stdout_first)
        return f"the output is {_shown(run.stdout)}, not {_shown(expected.stdout)}{first}"
    return ""


def _whose(is_first: bool) -> str:
    return " as in the first run" if is_first else ""


def _deadlock(run: Run, _expected: Expectation) -> str:
    if run.ending != DEADLOCK:
        return ""
    lines = run.machine.ipc_graph().explain() or "nobody can ever run again"
    return f"every task sleeps, and nothing can wake any of them:\n{lines}"


def _endless(run: Run, _expected: Expectation) -> str:
    return "it doesn't end within the limit of steps and time" if run.ending == ENDLESS else ""


def _crash(run: Run, _expected: Expectation) -> str:
    for fact in run.facts:
        if fact.name == "exit" and fact.detail[0] & 0x7F in _CRASHES:
            return f"{fact.command} ({fact.pid}) is killed by {Signal(fact.detail[0] & 0x7F).name}"
    return ""


def _survivors(run: Run, _expected: Expectation) -> str:
    if run.ending != EXITED:
        return ""
    # Who was sent SIGKILL hasn't been missed.
    alive = [
        task
        for task in _others(run)
        if task.is_leader and task.state not in ENDED and not has_fatal_signal(task)
    ]
    return f"the command has ended, and {_named(alive)} still live" if alive else ""


def _zombies(run: Run, _expected: Expectation) -> str:
    found = []
    for task in _others(run):
        parent = task.parent
        if (
            task.state is TaskState.ZOMBIE
            and parent is not None
            and parent.group is not run.machine.kernel.init
            and parent.state not in ENDED
        ):
            found.append(task)
    if found:
        return f"{_named(found)} have ended, and their parents live and don't wait for them"
    # Who has ended since has left its zombies to init, which reaped them.
    unreaped: dict[int, Fact] = {}
    for fact in run.facts:
        if fact.name == "reap":
            unreaped.pop(fact.tid, None)
        elif fact.name == "exit" and fact.tid == fact.pid:
            left = [child for child in unreaped.values() if child.detail[1] == fact.pid]
            if left:
                names = ", ".join(f"{child.command} ({child.pid})" for child in left)
                return f"{fact.command} ({fact.pid}) ended without having waited for {names}, ended before"
            unreaped[fact.tid] = fact
    return ""


def _orphans(run: Run, _expected: Expectation) -> str:
    init = run.machine.kernel.init
    assert init is not None
    # Of the machine's first process nobody is the maker.
    makers = {
        fact.tid: fact.detail[0] or init.leader.tid
        for fact in run.facts
        if fact.name == "clone" and not fact.detail[1]
    }
    adopted = [
        f"{fact.command} ({fact.tid})"
        for fact in run.facts
        if fact.name == "exit" and fact.detail[1] == init.leader.tid != makers.get(fact.tid, init.leader.tid)
    ]
    adopted += [
        f"{task.command_name.decode(errors='replace')} ({task.tid})"
        for task in init.leader.children
        if task.state not in ENDED and makers.get(task.tid, init.leader.tid) != init.leader.tid
    ]
    return f"init had to adopt {', '.join(adopted)}" if adopted else ""


def _lost_child_signal(run: Run, _expected: Expectation) -> str:
    """Children that nobody has reaped, no SIGCHLD pending any more, and their parent asleep for ever."""
    if run.ending not in (DEADLOCK, ENDLESS):
        return ""
    for task in run.machine.kernel.tasks:
        group = task.group
        if group is run.machine.kernel.init or not task.zombies or task.state in ENDED:
            continue
        pending = (task.pending.mask | group.shared_pending.mask) & _SIGCHLD_BIT
        if task.state is TaskState.INTERRUPTIBLE and not pending:
            return f"{_named([task])} sleeps, and has not reaped {_named(list(task.zombies))}"
    return ""


def _stale_pid(run: Run, _expected: Expectation) -> str:
    return _first(
        run,
        "stale-pid",
        "{who} names process {0} in {1}, which was reaped before: by then the id may be another's",
    )


def _leak(run: Run, _expected: Expectation) -> str:
    return _first(
        run,
        "leak",
        "{who} executes a program with descriptor {0}, which thread {1} of its maker had opened",
    )


def _data_race(run: Run, _expected: Expectation) -> str:
    found = first_race(run.happenings)
    if found is None:
        return ""
    first, second = (f"{_named_in(run, each.tid)} {each.verb} (at {each.instruction:#x})" for each in found)
    return f"{first} and {second} one byte of memory, with no order between them"


def _stale_descriptor(run: Run, _expected: Expectation) -> str:
    """A descriptor is used that stood for something else when the thread used it last, by another's doing."""
    opened: dict[tuple[int, int], tuple[int, int]] = {}
    seen: dict[tuple[int, int], int] = {}
    for number, fact in enumerate(run.facts):
        if fact.name not in ("open", "use"):
            continue
        place = fact.pid, fact.detail[0]
        mine = fact.tid, fact.detail[0]
        if fact.name == "open":
            opened[place], seen[mine] = (number, fact.tid), number
        else:
            now, opener = opened.get(place, (-1, fact.tid))
            if seen.get(mine, now) != now and opener != fact.tid:
                return (
                    f"{fact.command} ({fact.tid}) uses descriptor {place[1]} in {fact.detail[1]}, which "
                    f"thread {opener} has opened anew since it used it last"
                )
            seen[mine] = now
            if fact.detail[1] == "close":
                del seen[mine]
    return ""


def _named_in(run: Run, tid: int) -> str:
    """A task by its name and id, whether it has ended or not."""
    name = next((fact.command for fact in run.facts if fact.tid == tid), "")
    return f"{name} ({tid})" if name else f"task {tid}"


def _unsafe_handler(run: Run, _expected: Expectation) -> str:
    return _first(
        run,
        "unsafe-handler",
        "a handler of signal {0} has interrupted {who} in {1}, and calls {2}: neither is safe for that",
    )


def _first(run: Run, name: str, text: str) -> str:
    """What the first fact called `name` says, its details put into `text`; "" if there is none."""
    for fact in run.facts:
        if fact.name == name:
            return text.format(*fact.detail, who=f"{fact.command} ({fact.pid})")
    return ""


ORACLES = {
    oracle.name: oracle
    for oracle in (
        Oracle("status", "the exit status isn't the first run's, or the one given", _status),
        Oracle("output", "what is written to stdout isn't the first run's, or what is given", _output),
        Oracle("deadlock", "nobody can ever run again", _deadlock),
        Oracle("endless", "the run doesn't end", _endless),
        Oracle("crash", "a process is killed by SIGSEGV or its like", _crash),
        Oracle("lost-sigchld", "a parent sleeps for ever and hasn't reaped its children", _lost_child_signal),
        Oracle("survivors", "the command ends while descendants of it live", _survivors),
        Oracle("zombies", "processes have ended whose parents don't wait for them", _zombies),
        Oracle("orphans", "init had to adopt processes", _orphans),
        Oracle("leak", "a program is executed with a descriptor that another thread had opened", _leak),
        Oracle(
            "stale-descriptor",
            "a descriptor is used that another thread has closed and opened anew",
            _stale_descriptor,
        ),
        Oracle(
            "unsafe-handler",
            "a signal handler interrupts a function that isn't safe and calls one",
            _unsafe_handler,
        ),
        Oracle(
            "data-race", "two tasks access a byte with no order between them (--branch memory)", _data_race
        ),
        Oracle("stale-pid", "a call names a process that was reaped before", _stale_pid),
    )
}
LOOK_AT_STACKS = frozenset(("unsafe-handler",))
"""The oracles for which it's looked at the stacks of tasks."""
_LOOK_AT_DESCRIPTORS = frozenset(("leak", "stale-descriptor"))
DEFAULT_ORACLES = ("status", "output", "deadlock", "endless", "crash", "lost-sigchld")


def problems(oracles: Iterable[Oracle], world: World, expected: Expectation) -> Finding | None:
    """What is wrong with the run that `world` has ended: one finding, of the first oracle that says so."""
    run = world.run
    found = [(oracle.name, problem) for oracle in oracles if (problem := oracle.check(run, expected))]
    if not found:
        return None
    # One schedule is one finding, whatever else is wrong with it.
    text = "; ".join(problem for _, problem in found)
    return Finding(
        found[0][0], text, tuple(world.steps), world.deviations, run.status, run.stdout, run.stderr
    )


def looks_at_descriptors(oracles: Iterable[Oracle]) -> bool:
    """Whether it's to be noted which descriptors threads open and use; a user's own oracle may ask for it."""
    return any(
        oracle.name in _LOOK_AT_DESCRIPTORS or ORACLES.get(oracle.name) is not oracle for oracle in oracles
    )


def custom_oracle(function: Callable[[Machine], str | None]) -> Oracle:
    """An oracle of a user's own: a function of the machine; it says what is wrong, "" or None for nothing."""
    name = getattr(function, "__name__", "oracle").replace("_", "-")
    return Oracle(name, (function.__doc__ or name).strip(), lambda run, _: function(run.machine) or "")


def _others(run: Run) -> list[Task]:
    """All tasks but the command's and the machine's own init."""
    machine = run.machine
    command = machine.command
    assert command is not None
    return [
        task
        for task in machine.kernel.tasks
        if task.group is not command.group and (task.group is not machine.kernel.init or machine.is_pid1)
    ]


def _named(tasks: list[Task]) -> str:
    return ", ".join(f"{task.command_name.decode(errors='replace')} ({task.tid})" for task in tasks)


def _shown(data: bytes) -> str:
    text = repr(data)[1:]
    return text if len(text) <= 200 else f"{text[:200]}... ({len(data)} bytes)"
