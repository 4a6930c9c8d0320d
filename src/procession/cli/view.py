"""What is shown of a run beside its output: traces, trees of functions, states, files for other tools."""

from __future__ import annotations

import errno
import json
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from procession.abi.duration import NS_PER_US
from procession.abi.errno import Errno
from procession.abi.named_tuple import NamedTuple
from procession.export.json_lines import JsonLines
from procession.inspection.event import SystemCallEntered, SystemCallReturned
from procession.inspection.recorder import EventRecorder
from procession.inspection.timeline import (
    GENERATED_TO_DELIVERED,
    RUNNABLE_TO_RUNNING,
    ZOMBIE_TO_REAPED,
    Timeline,
)
from procession.trace.filter import FilteredObserver, TraceFilter, calls_named, outcomes_named

if TYPE_CHECKING:
    from procession.inspection.event import Event
    from procession.inspection.timeline import LatencySummary, Timeline
    from procession.kernel.observer import Observer
    from procession.kernel.task import Task, ThreadGroup
    from procession.machine import Machine
    from procession.trace.function_graph import GraphTree
    from procession.trace.strace import TraceStyle

STDERR = "-"
_CALL_EVENTS = (SystemCallEntered, SystemCallReturned)
_FORMS = {
    "perfetto": ("",),
    "events": (".csv", ".sqlite"),
    "states": (".mmd", ".dot"),
    "processes": (".mmd", ".dot"),
}
"""What can be exported, and by which endings of files."""


class TraceOptions(NamedTuple):
    """What `procession trace` was asked for."""

    file_name: str
    calls: tuple[str, ...]
    pids: tuple[int, ...]
    paths: tuple[str, ...]
    outcomes: tuple[str, ...]
    is_json: bool
    graph: tuple[str, ...]
    depth: int | None
    all_functions: bool
    no_host_time: bool
    shows_states: bool
    exports: tuple[str, ...]
    shows_times: bool
    shows_durations: bool
    shows_names: bool
    shows_stacks: bool
    is_summary: bool

    @property
    def is_asked_for(self) -> bool:
        """Whether anything but the defaults was asked for."""
        return any(self[1:]) or self.file_name != STDERR


def taken_options(values: dict[str, Any]) -> TraceOptions:
    """Take the options of a trace out of `values`."""
    return TraceOptions(**{name: values.pop(name) for name in TraceOptions._fields})


class View:
    """Watches a machine and writes what it sees to a file, or to stderr if that is called "-".

    `open`, `watch`, `finish` and `close` are called in this order. `failure` says why it has ended early.
    """

    def __init__(self, file_name: str) -> None:
        self.file_name = file_name
        self.output: TextIO = sys.stderr
        self.failure: OSError | None = None

    def open(self, *, is_terminal_raw: bool) -> None:
        """Open the file. Raises OSError. In a raw terminal a line doesn't begin at the left by itself."""
        if self.file_name != STDERR:
            self.output = _opened(self.file_name)
        elif is_terminal_raw and isinstance(sys.stderr, TextIOWrapper):
            sys.stderr.reconfigure(newline="\r\n")

    def watch(self, machine: Machine, ignored: ThreadGroup | None) -> None:
        """Watch `machine`, but for what the process `ignored` does."""
        raise NotImplementedError

    def finish(self) -> list[str]:
        """Write what is left when the program has ended; what couldn't be written, in words."""
        if self.failure is None:
            try:
                self.output.flush()
            except OSError as error:
                self.failure = error
        return [] if self.failure is None else [f"the trace is incomplete: {self.failure.strerror}"]

    def close(self) -> None:
        """Close the file."""
        if self.output is not sys.stderr:
            # What can't be written has been told.
            with suppress(OSError):
                self.output.close()

    def write(self, text: str) -> None:
        """Write lines, as long as that goes well."""
        if self.failure is None:
            try:
                self.output.write(text)
            except OSError as error:
                self.failure = error


class StraceView(View):
    """System calls as strace prints them."""

    def __init__(
        self, file_name: str, chosen: TraceFilter | None = None, style: TraceStyle | None = None
    ) -> None:
        super().__init__(file_name)
        self.chosen = chosen
        self.style = style

    def watch(self, machine: Machine, ignored: ThreadGroup | None) -> None:
        """See `View`."""
        from procession.trace.strace import SystemCallTrace

        self.trace = trace = SystemCallTrace(self.output, ignored, self.style)
        observer: Observer = trace
        if self.chosen is not None:
            observer = FilteredObserver(trace, self.chosen, execs_are_calls=True)
        machine.on_system_call = observer

    def finish(self) -> list[str]:
        """See `View`."""
        self.trace.close()
        self.failure = self.trace.failure
        return super().finish()


class SummaryView(View):
    """A table of all calls at the end."""

    def __init__(self, file_name: str, chosen: TraceFilter | None) -> None:
        super().__init__(file_name)
        self.chosen = chosen

    def watch(self, machine: Machine, ignored: ThreadGroup | None) -> None:
        """See `View`."""
        from procession.trace.summary import SummaryTrace

        self.trace = trace = SummaryTrace(ignored)
        machine.on_system_call = trace if self.chosen is None else FilteredObserver(trace, self.chosen)

    def finish(self) -> list[str]:
        """See `View`."""
        from procession.trace.summary import summary_lines

        self.write("".join(f"{line}\n" for line in summary_lines(self.trace.counts)))
        return super().finish()


class GraphView(View):
    """Chosen calls as trees of the kernel's functions."""

    def __init__(self, options: TraceOptions) -> None:
        super().__init__(options.file_name)
        self.options = options

    def watch(self, machine: Machine, ignored: ThreadGroup | None) -> None:
        """See `View`. Raises ValueError."""
        from procession.trace.function_graph import FunctionGraph

        self.graph = FunctionGraph(
            machine, self.options.graph, self.show, shows_all=self.options.all_functions, ignored=ignored
        )
        self.graph.__enter__()

    def show(self, tree: GraphTree) -> None:
        """Write one tree."""
        from procession.trace.graph_text import tree_lines, tree_record

        if self.options.is_json:
            self.write(json.dumps(tree_record(tree), ensure_ascii=False) + "\n")
        else:
            lines = tree_lines(tree, self.options.depth, shows_host_time=not self.options.no_host_time)
            self.write("\n".join(lines) + "\n")

    def finish(self) -> list[str]:
        """See `View`."""
        self.graph.__exit__(None, None, None)
        return super().finish()


class EventView(View):
    """Events as JSON lines, states at the end, and files for other tools."""

    def __init__(self, options: TraceOptions, chosen: TraceFilter | None) -> None:
        super().__init__(options.file_name)
        self.options = options
        self.chosen = chosen
        # Who asks for some calls means these; states and exports take all events to make sense of.
        self.is_about_calls = chosen is not None and chosen.is_about_calls
        self.exports = [_parse_export(text) for text in options.exports]
        self.events: list[Event] = []

    def watch(self, machine: Machine, ignored: ThreadGroup | None) -> None:
        """See `View`."""
        self.json_lines = JsonLines(self.output)
        observer: Observer = EventRecorder(machine.kernel, self.take)
        if self.chosen is not None:
            observer = FilteredObserver(observer, self.chosen)
        machine.observe(_Without(observer, ignored))

    def take(self, event: Event) -> None:
        """One more event."""
        if self.options.is_json and (not self.is_about_calls or isinstance(event, _CALL_EVENTS)):
            self.json_lines.take(event)
        if self.options.shows_states or self.exports:
            self.events.append(event)

    def finish(self) -> list[str]:
        """See `View`."""
        failures = []
        if self.options.shows_states or self.exports:
            timeline = Timeline().take_all(self.events)
            if self.options.shows_states:
                self.write(states_text(timeline))
            for what, path in self.exports:
                try:
                    write_export(what, path, self.events, timeline)
                except OSError as error:
                    failures.append(f"--export {what}={path}: {error.strerror}")
                except ImportError as error:
                    failures.append(f"--export {what}={path}: {error}; pip install 'procession[perfetto]'")
        self.failure = self.failure or self.json_lines.failure
        return [*super().finish(), *failures]


class _Without:
    """An observer that passes on all but what one process does."""

    __slots__ = ("ignored", "inner")

    def __init__(self, inner: Observer, ignored: ThreadGroup | None) -> None:
        self.inner = inner
        self.ignored = ignored

    def system_call_entered(self, task: Task, call: Any, arguments: tuple[Any, ...]) -> None:
        """See `Observer`."""
        if task.group is not self.ignored:
            self.inner.system_call_entered(task, call, arguments)

    def system_call_returned(
        self, task: Task, call: Any, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """See `Observer`."""
        if task.group is not self.ignored:
            self.inner.system_call_returned(task, call, arguments, outcome)

    def unknown_call(self, task: Task, number: int) -> None:
        """See `Observer`."""
        if task.group is not self.ignored:
            self.inner.unknown_call(task, number)

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """See `Observer`."""
        if task.group is not self.ignored:
            self.inner.task_event(task, kind, detail)


def make_view(options: TraceOptions) -> View:
    """The view that `options` ask for. Raises ValueError, with what is wrong in words."""
    chosen = TraceFilter(
        calls_named(options.calls),
        frozenset(options.pids),
        tuple(map(os.fsencode, options.paths)),
        outcomes_named(options.outcomes),
    )
    if options.is_summary and (options.graph or options.is_json or options.shows_states or options.exports):
        raise ValueError("--summary doesn't go together with --graph, --json, --states or --export")
    sees_events = options.is_json or options.shows_states or options.exports
    if options.graph:
        if options.shows_states or options.exports:
            raise ValueError("--graph doesn't go together with --states or --export")
        from procession.trace.function_graph import check_names

        check_names(options.graph)
        return GraphView(options)
    is_empty = chosen == TraceFilter()
    if sees_events:
        return EventView(options, None if is_empty else chosen)
    if options.is_summary:
        return SummaryView(options.file_name, None if is_empty else chosen)
    from procession.trace.strace import TraceStyle

    style = TraceStyle(
        options.shows_times, options.shows_durations, options.shows_names, options.shows_stacks
    )
    return StraceView(options.file_name, None if is_empty else chosen, style)


def _opened(name: str) -> TextIO:
    return open(name, "w", encoding="utf-8")


def _parse_export(text: str) -> tuple[str, Path]:
    what, _, name = text.partition("=")
    endings = _FORMS.get(what)
    if endings is None or not name:
        known = ", ".join(f"{form}=FILE{' or FILE'.join(ends)}" for form, ends in _FORMS.items())
        raise ValueError(f"--export {text}: write one of {known}")
    if not name.endswith(endings):
        raise ValueError(f"--export {text}: a file that ends in {' or '.join(endings)} is needed")
    return what, Path(name)


def write_export(what: str, path: Path, events: list[Event], timeline: Timeline) -> None:
    """Write `what` of a run to `path`. Raises OSError; ImportError where the format's library is missing."""
    from procession.export import diagram, table

    if what == "perfetto":
        from procession.export.perfetto import perfetto_trace

        path.write_bytes(perfetto_trace(timeline))
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as output:
            table.write_csv(events, output)
    elif path.suffix == ".sqlite":
        path.unlink(missing_ok=True)
        try:
            table.write_sqlite(events, path, timeline)
        except table.DatabaseError as error:
            raise OSError(errno.EIO, str(error)) from None
    else:
        is_mermaid = path.suffix == ".mmd"
        if what == "states":
            text = diagram.state_diagram(timeline) if is_mermaid else diagram.state_graph(timeline)
        else:
            text = diagram.process_diagram(timeline) if is_mermaid else diagram.process_graph(timeline)
        path.write_text(text, "utf-8")


def states_text(timeline: Timeline) -> str:
    """Each task's states in order, how often which transition happened, and the latencies."""
    lines = [f"{'begins':>14} {'lasts':>15}     state           why"]
    for life in timeline.lives:
        lines.append(f"{life.tid} {life.name}".rstrip())
        for span in life.spans:
            end_ns = span.end_ns if span.end_ns >= 0 else timeline.end_ns
            waker = f" (task {span.waker_tid})" if span.waker_tid else ""
            times = f"{span.start_ns / NS_PER_US:>14.1f} us {(end_ns - span.start_ns) / NS_PER_US:>12.1f} us"
            lines.append(f"{times}  {span.state.name:<15} {span.cause}{waker}".rstrip())
    lines.append("transitions")
    lines += [
        f"{edge.times:>8}  {edge.before.name} to {edge.after.name}, after "
        f"{edge.total_ns / edge.times / NS_PER_US:.1f} us on average"
        for edge in timeline.edges()
    ]
    lines.append("latencies")
    for kind in (RUNNABLE_TO_RUNNING, ZOMBIE_TO_REAPED, GENERATED_TO_DELIVERED):
        summary = timeline.summary(kind)
        if summary is not None:
            lines.append(_latency_text(kind, summary))
            own = [(life, life.summary(kind)) for life in timeline.lives]
            lines += [
                _latency_text(f"  {life.tid} {life.name}", each) for life, each in own if each is not None
            ]
    return "\n".join(lines) + "\n"


def _latency_text(what: str, summary: LatencySummary) -> str:
    least, median, most = (ns / NS_PER_US for ns in summary[1:4])
    return f"{summary.times:>8}  {what}: {least:.1f} us at least, {median:.1f} median, {most:.1f} at most"
