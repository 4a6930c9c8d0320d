"""Measures what it costs to see a run: recordings, traces, graphs, replays: `python -m bench.seeing`.

What is compared runs by turns, each time on a new machine, and the least processor time of each counts: what
else the host does meanwhile adds to it, and takes nothing away.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

BENCH = Path(__file__).resolve().parent
# For `python bench/seeing.py`, which doesn't look for packages in the project's directory.
sys.path.insert(0, str(BENCH.parent))

from procession.machine import Machine  # noqa: E402
from procession.recording.file import read_recording, write_recording  # noqa: E402
from procession.recording.host_files import RecordingSource  # noqa: E402
from procession.recording.recorder import Recorder  # noqa: E402
from procession.recording.replay import ReplayedWorld, check_end, machine_of  # noqa: E402
from procession.trace.function_graph import FunctionGraph, GraphTree  # noqa: E402
from procession.trace.graph_text import tree_lines  # noqa: E402
from procession.trace.strace import SystemCallTrace  # noqa: E402
from tests.guest.compile_c import Linkage, compile_program  # noqa: E402

FORKS = ["bash", "-c", "for ((i = 0; i < 150; i++)); do /bin/true; (exit 3) | cat; done"]
FEW, MANY = 100, 20_000
GRAPHED = (
    ("fork_exit.c", "fork, exit and wait", ("fork", "exit", "wait"), 20, 420),
    ("kill_self.c", "a signal to oneself", ("kill", "rt_sigreturn", "signal"), 100, 3100),
)
"""What else is seen as graphs: the program, what it does, what is chosen, how often it does that."""
REPETITIONS = 5


class Figure(NamedTuple):
    """What was measured, in a unit, and what it should be at the most."""

    title: str
    value: float
    limit: float
    unit: str

    def __str__(self) -> str:
        verdict = "ok" if self.value <= self.limit else "over"
        return f"{self.title:<56} {self.value:8.3f} {self.unit:<12} at most {self.limit:6.2f}  {verdict}"


def plain(command: list[str]) -> float:
    """How long a run takes of which nobody sees anything, in seconds of processor time."""
    machine = Machine(seed=1)
    return run_of(machine, command)


def run_of(machine: Machine, command: list[str]) -> float:
    """The same on a machine that is made; it's closed then."""
    start = time.process_time()
    machine.run(command)
    spent = time.process_time() - start
    machine.close()
    return spent


def recorded(command: list[str], path: Path) -> float:
    """The same, recorded: the file is written too."""
    source = RecordingSource(b"/")
    machine = Machine(seed=1, source=source)
    recorder = Recorder(machine, source)
    start = time.process_time()
    result = machine.run(command)
    write_recording(recorder.finish(result), path)
    spent = time.process_time() - start
    machine.close()
    return spent


def replayed(path: Path) -> float:
    """A recorded run again, with all its checks."""
    recording = read_recording(path)
    machine = machine_of(recording)
    world = ReplayedWorld(machine, recording, shows_output=False)
    start = time.process_time()
    result = machine.run_again(world, recording.command, pid1=recording.is_pid1)
    check_end(recording, machine, result)
    spent = time.process_time() - start
    machine.close()
    return spent


def traced(command: list[str]) -> float:
    """The run with strace's lines of all calls."""
    machine = Machine(seed=1)
    machine.on_system_call = trace = SystemCallTrace(io.StringIO(), ignored=machine.init.group)
    spent = run_of(machine, command)
    trace.close()
    return spent


def graphed(command: list[str], chosen: tuple[str, ...] = ("getpid",)) -> float:
    """The run with the graph of each of the calls and moments in `chosen`, written as text."""
    machine = Machine(seed=1)
    output = io.StringIO()

    def show(tree: GraphTree) -> None:
        output.write("\n".join(tree_lines(tree)) + "\n")

    with FunctionGraph(machine, chosen, show):
        start = time.process_time()
        machine.run(command)
        spent = time.process_time() - start
    assert output.getvalue().count(" us host)") >= int(command[1])
    machine.close()
    return spent


def least(repetitions: int, *ways: Callable[[], float]) -> list[float]:
    """The least time of each of `ways`, which are tried by turns."""
    times = [[way() for way in ways] for _ in range(repetitions)]
    return [min(each) for each in zip(*times, strict=True)]


def recordings(repetitions: int) -> list[Figure]:
    """What a recording adds, and how long a replay takes."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "run"
        recorded(FORKS, path)
        alone, kept, again = least(
            repetitions, lambda: plain(FORKS), lambda: recorded(FORKS, path), lambda: replayed(path)
        )
    return [
        Figure("--record, of the run's time", kept / alone, 1.05, "times"),
        Figure("replay, of the run's time", again / alone, 1.05, "times"),
    ]


def calls(repetitions: int) -> list[Figure]:
    """What a trace and a graph add to a call."""
    program = str(compile_program(BENCH / "getpid.c", Linkage.STATIC))
    few, many = [program, str(FEW)], [program, str(MANY)]
    ways: list[Callable[[], float]] = []
    for way in (plain, traced, graphed):
        ways += [partial(way, few), partial(way, many)]
    times = least(repetitions, *ways)
    alone, trace, graph = (
        (times[place + 1] - times[place]) / (MANY - FEW) for place in range(0, len(times), 2)
    )
    print(f"a call alone: {alone * 1e6:.2f} us")
    return [
        Figure("--trace, beyond the call itself", (trace - alone) * 1e6, 3.0, "us a call"),
        Figure("--graph, of the traced call's time", graph / alone, 15.0, "times"),
    ]


def graphs(repetitions: int) -> list[Figure]:
    """What graphs of calls cost that do more."""
    figures = []
    for source, title, chosen, few, many in GRAPHED:
        program = str(compile_program(BENCH / source, Linkage.STATIC))
        short, long = [program, str(few)], [program, str(many)]
        alone_few, alone, graph_few, graph = least(
            repetitions,
            partial(plain, short),
            partial(plain, long),
            partial(graphed, short, chosen),
            partial(graphed, long, chosen),
        )
        ratio = (graph - graph_few) / (alone - alone_few)
        figures.append(Figure(f"--graph, of the time of {title}", ratio, 15.0, "times"))
    return figures


def main() -> int:
    """Print the table; 1 if anything is over its limit."""
    parser = argparse.ArgumentParser(prog="python -m bench.seeing", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, metavar="N")
    options = parser.parse_args()
    figures: list[Figure] = []
    for measure in (calls, graphs, recordings):
        for figure in measure(options.repetitions):
            figures.append(figure)
            print(figure, flush=True)
    return int(any(figure.value > figure.limit for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
