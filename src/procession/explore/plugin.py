"""The pytest plugin: machines as fixtures, tests of every schedule, assertions about container entrypoints.

It is found by its entry point. Nothing of Procession is imported before a test asks for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from procession.abi.duration import NS_PER_S

if TYPE_CHECKING:
    from types import ModuleType

    from procession.command_run import Result
    from procession.explore.explorer import Report
    from procession.explore.oracle import Oracle
    from procession.kernel.task import Task
    from procession.machine import Machine

_MARK = "explore"
_SETTLING_S = 0.2
_ORPHANING = ("sh", "-c", "(sleep 0.2 &) ; sleep 1")
"""What leaves an orphan that ends while its foster parent lives."""
_DEFAULT_WITHIN_S = 10.0


class AsWritten(MetaPathFinder):
    """Finds this package's modules before pytest's own finder does, which would rewrite their assertions.

    Whatever is in a plugin's distribution counts as a part of the plugin. That is 500 modules here: a
    compilation of two seconds before the first machine, and a kernel that runs slower.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Where a module of this package is; `None` for all others."""
        if path is None or not fullname.startswith("procession."):
            return None
        return PathFinder.find_spec(fullname, path, target)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Have the modules found before the configuration of a directory that was named imports any."""
    _find_as_written(early_config)


def _find_as_written(config: pytest.Config) -> None:
    if not any(isinstance(finder, AsWritten) for finder in sys.meta_path):
        finder = AsWritten()
        sys.meta_path.insert(0, finder)
        config.add_cleanup(lambda: sys.meta_path.remove(finder))


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known, and the modules found, also for who names this plugin in a configuration."""
    _find_as_written(config)
    config.addinivalue_line(
        "markers",
        f"{_MARK}(preemptions=2, oracles=None, schedules=None, seconds=None): how `guest` searches schedules",
    )


@pytest.fixture
def machines() -> Iterator[Callable[..., Machine]]:
    """Give a function that makes machines, with `Machine`'s arguments; they are closed after the test."""
    made: list[Machine] = []

    def make(**settings: Any) -> Machine:
        from procession.machine import Machine

        machine = Machine(**settings)
        made.append(machine)
        return machine

    yield make
    for machine in made:
        machine.close()


@pytest.fixture
def guest(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Guest]:
    """Give a function that makes a `Guest` of a command, and of `Machine`'s arguments such as `image`."""
    mark = request.node.get_closest_marker(_MARK)
    options = {} if mark is None else dict(mark.kwargs)

    def make(command: Sequence[str] = (), **settings: Any) -> Guest:
        return Guest(tuple(command), settings, options, tmp_path)

    return make


class Guest:
    """A program under test, on a tree of files or a container image.

    With `is_pid1`, as with an image, it's the machine's first process, as a container's entrypoint is;
    `stdin` is all that it reads. The assertions fail with what was to be seen: a story, or a table of
    processes.
    """

    def __init__(
        self, command: tuple[str, ...], settings: dict[str, Any], options: dict[str, Any], directory: Path
    ) -> None:
        self.command = command
        self.is_pid1 = bool(settings.pop("is_pid1", "image" in settings))
        self.stdin = bytes(settings.pop("stdin", b""))
        self.settings = settings
        self.options = options
        self.directory = directory

    def _machine(self) -> Machine:
        from procession.machine import Machine

        return Machine(**self.settings)

    def run(self, *arguments: str, time_limit_s: float | None = None) -> Result:
        """Run it once, with `arguments` after its own, by the schedule that its seed gives."""
        command = (*self.command, *arguments)
        with _start_failures_told(command):
            machine = self._machine()
            try:
                return machine.run(command, stdin=self.stdin, pid1=self.is_pid1, time_limit_s=time_limit_s)
            finally:
                machine.close()

    # Every schedule

    def explore(self, *arguments: str, oracles: Sequence[Oracle | str] | None = None) -> Report:
        """Search its schedules as the test's mark says. Fails with the story of the first that fails."""
        from procession.explore.explorer import DEFAULT_PREEMPTIONS, Explorer, Limits
        from procession.explore.oracle import DEFAULT_ORACLES
        from procession.explore.program import Program
        from procession.explore.save import save_finding
        from procession.explore.statement import statement
        from procession.explore.story import moments_text, story_text, tell_story

        options = self.options
        wanted = oracles or options.get("oracles") or DEFAULT_ORACLES
        command = (*self.command, *arguments)
        program = Program(command, self.settings, self.stdin, self.is_pid1)
        explorer = Explorer(
            program,
            oracles=wanted,
            preemptions=options.get("preemptions", DEFAULT_PREEMPTIONS),
            limits=Limits(options.get("schedules"), options.get("seconds")),
        )
        try:
            with _start_failures_told(command):
                report = explorer.run()
            if not report.findings:
                return report
            finding = explorer.minimised(report.findings[0])
            story = tell_story(explorer.world, finding)
            moments = explorer.moments(finding)
            text = f"{story_text(story)}\n{moments_text(moments, story)}\n{statement(report)}"
            path = self.directory / "finding.rec"
            save_finding(explorer, finding, story, moments, path)
            text += f"\n`procession replay {path}` runs it again"
        finally:
            explorer.world.close()
        pytest.fail(text, pytrace=False)

    def assert_no_schedule_fails(self, *arguments: str) -> Report:
        """No schedule within the bound fails, by the oracles of the test's mark."""
        __tracebackhide__ = True
        return self.explore(*arguments)

    def assert_same_output_on_every_schedule(self, *arguments: str) -> Report:
        """What it writes to standard output, and its exit status, depend on no schedule within the bound."""
        __tracebackhide__ = True
        return self.explore(*arguments, oracles=("status", "output", "deadlock", "endless"))

    # Container entrypoints

    def assert_ends_on(self, signal: int | str, *arguments: str, within: float = _DEFAULT_WITHIN_S) -> int:
        """Sent `signal` when it has settled, it ends within so many seconds of its clock; its exit status."""
        __tracebackhide__ = True
        with _Running(self, arguments) as running:
            running.send(signal)
            running.pass_time(within)
            if not running.has_ended:
                running.fail(
                    f"it hasn't ended {within:g} s after {_name_of(signal)}{running.deafness(signal)}"
                )
            return running.status

    def assert_forwards(self, signal: int | str, *arguments: str, within: float = _DEFAULT_WITHIN_S) -> None:
        """Sent `signal`, it sends it on to a child of its own within so many seconds of its clock."""
        __tracebackhide__ = True
        from procession.inspection.event import SignalGenerated

        with _Running(self, arguments) as running:
            number = _number_of(signal)
            before = len(running.events)
            running.send(signal)
            running.pass_time(within)
            forwarded = any(
                isinstance(event, SignalGenerated)
                and event.signal == number
                and event.pid != running.command.tgid
                for event in running.events[before:]
            )
            if not forwarded:
                running.fail(f"no child of it got {_name_of(signal)}{running.deafness(signal)}")

    def assert_reaps_orphans(self, *orphaning: str, within: float = _DEFAULT_WITHIN_S) -> None:
        """Given `orphaning` as arguments, a command that leaves orphans, it leaves none of them a zombie."""
        __tracebackhide__ = True
        from procession.kernel.task_state import TaskState

        with _Running(self, orphaning or _ORPHANING) as running:
            for _ in range(int(within / _SETTLING_S)):
                if running.has_ended:
                    break
                running.pass_time(_SETTLING_S)
                zombies = [task for task in running.command.children if task.state is TaskState.ZOMBIE]
                if zombies and not running.has_ended:
                    running.pass_time(_SETTLING_S)
                    left = [task for task in zombies if task.state is TaskState.ZOMBIE]
                    if left and not running.has_ended:
                        running.fail(f"it hasn't reaped {', '.join(str(task.tid) for task in left)}")
            if not running.has_adopted:
                running.fail(
                    "nobody was orphaned: give a command that leaves orphans, which the entrypoint runs"
                )

    def assert_exit_status_is_its_childs(self, *arguments: str, status: int = 42) -> None:
        """Given arguments that end with `status`, or `sh -c "exit 42"`, it ends with that too."""
        __tracebackhide__ = True
        result = self.run(*(arguments or ("sh", "-c", f"exit {status}")), time_limit_s=60)
        if result.status != status:
            pytest.fail(f"its exit status is {result.status}, its child's {status}", pytrace=False)


class _Running:
    """A guest that runs on a machine, step by step, seen by its events."""

    def __init__(self, subject: Guest, arguments: Sequence[str]) -> None:
        self.subject = subject
        self.machine = subject._machine()
        self.arguments = tuple(arguments)
        self.events: list[object] = []
        self.has_adopted = False
        self.command: Task

    def __enter__(self) -> _Running:
        from procession.inspection.event import Cloned, SignalGenerated
        from procession.inspection.recorder import EventRecorder

        machine = self.machine
        kinds = frozenset((Cloned, SignalGenerated))
        machine.observe(EventRecorder(machine.kernel, self.events.append, kinds))
        command = (*self.subject.command, *self.arguments)
        with _start_failures_told(command):
            self.command = machine.start(command, pid1=self.subject.is_pid1)
        if self.subject.stdin:
            machine.feed_input(self.subject.stdin)
        machine.inlet.end_input()
        self.pass_time(_SETTLING_S)
        if self.has_ended:
            self.fail(f"it has ended by itself, with status {self.status}")
        return self

    def __exit__(self, *_: object) -> None:
        self.machine.close()

    @property
    def has_ended(self) -> bool:
        """Whether the command has."""
        from procession.inspection.steering import has_ended

        return has_ended(self.command.group)

    def _has_foster_children(self) -> bool:
        """Whether the command has children that another process has made."""
        from procession.inspection.event import Cloned

        made = {
            event.tid
            for event in self.events
            if isinstance(event, Cloned) and event.parent_pid != self.command.tgid
        }
        return any(task.tid in made for task in self.command.children)

    @property
    def status(self) -> int:
        """The exit status, as a shell shows it."""
        from procession.explore.world import status_of_exit

        return status_of_exit(self.command.group.exit_code)

    def send(self, signal: int | str) -> None:
        """Send the command, and nobody else, a signal from outside, as a container's runtime does."""
        from procession.kernel.signal.generation import send_group_signal
        from procession.kernel.signal.info import SigInfo

        send_group_signal(self.machine.kernel, self.command.group, SigInfo(_number_of(signal), 0))

    def deafness(self, signal: int | str) -> str:
        """Why nothing came of `signal`, if the kernel dropped it: a half sentence, else empty."""
        from procession.inspection.event import SignalGenerated

        number, pid = _number_of(signal), self.command.tgid
        for event in self.events:
            if isinstance(event, SignalGenerated) and (event.pid, event.signal, event.outcome) == (
                pid,
                number,
                "ignored",
            ):
                if self.subject.is_pid1:
                    return ": it has no handler for it, and for process 1 the kernel drops such signals"
                return ": it ignores it"
        return ""

    def pass_time(self, seconds: float) -> None:
        """Let so much of the machine's time pass, or the command end."""
        machine = self.machine
        clock, timers = machine.kernel.clock, machine.kernel.timers
        end_ns = clock.now_ns + int(seconds * NS_PER_S)
        while not self.has_ended and clock.now_ns < end_ns:
            machine.take_output()
            went_on = machine.run_slice()
            self.has_adopted = self.has_adopted or self._has_foster_children()
            if went_on:
                continue
            deadline_ns = timers.next_deadline_ns()
            if deadline_ns is None or deadline_ns > end_ns:
                clock.jump_to(end_ns)
                return
            timers.jump_to_next()

    def fail(self, what: str) -> None:
        """Fail with a table of processes."""
        output = self.machine.take_output()
        shown = f"\n{output.stderr.decode(errors='replace')}" if output.stderr else ""
        pytest.fail(f"{what}\n{self.machine.process_table()}{shown}", pytrace=False)


@contextmanager
def _start_failures_told(command: tuple[str, ...]) -> Iterator[None]:
    """A command that can't be started fails the test with a line, and not with the kernel's insides."""
    from procession.abi.errno import Errno
    from procession.launch import StartFailure

    try:
        yield
    except (Errno, StartFailure) as error:
        pytest.fail(f"{' '.join(command)}: {error}", pytrace=False)


def _number_of(signal: int | str) -> int:
    from procession.abi.signals import Signal

    return int(Signal[signal]) if isinstance(signal, str) else int(signal)


def _name_of(signal: int | str) -> str:
    from procession.abi.signals import Signal

    return signal if isinstance(signal, str) else Signal(int(signal)).name
