"""How fast schedules are searched: `python -m bench.explore [NAME ...]`; a table of what was measured.

The programs are those of the tests (tests/explore/programs).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from procession.explore.crew import Alone, Processes
from procession.explore.explorer import Explorer
from procession.explore.oracle import Expectation
from procession.explore.program import Program
from procession.explore.search import Reduction, Search
from procession.explore.story import tell_story
from procession.explore.world import World
from tests.explore.races import compiled

MEMORY_BYTES = 1 << 26
BASH_PAIR = "(exit 1) & wait $!; echo $?"


def program(*command: str) -> Program:
    """A command on a small machine."""
    return Program(command, {"memory": MEMORY_BYTES, "cwd": "/"})


def rate(*command: str, bound: int, seconds: float) -> str:
    """How many states and schedules a second of processor time: as users search, and with nothing left out.

    A state counts when the search comes to it by a step: not those that it only passes on its way back to a
    choice, but one to which two ways lead counts twice; how many are different is said too.
    """
    parts: list[str] = []
    for kind, most, limit_s in ((Reduction.STATES, bound, seconds), (Reduction.NONE, None, seconds)):
        world = World(program(*command))
        world.warm_up()
        clock = Processor(limit_s)
        search = Search(world, lambda _: clock.has_time, bound=most, reduction=kind)  # noqa: B023
        search.run()
        taken_s = clock.taken_s
        world.close()
        different = "" if search.visited is None else f" ({len(search.visited.visits):,} different)"
        runs = search.schedules + search.redundant
        parts.append(
            f"{kind.value}: {search.steps / taken_s:,.0f} states/s, {runs / taken_s:,.0f} schedules/s; "
            f"{search.steps:,} states{different}, {search.schedules:,} schedules and "
            f"{search.redundant:,} given up in {taken_s:.2f} s"
        )
    return "; ".join(parts)


class Processor:
    """A clock of what this process has used of the processor since it was made, up to `limit_s`."""

    def __init__(self, limit_s: float) -> None:
        self.began_s = time.process_time()
        self.limit_s = limit_s

    @property
    def taken_s(self) -> float:
        """How long it has worked."""
        return time.process_time() - self.began_s

    @property
    def has_time(self) -> bool:
        """Whether there is some left."""
        return self.taken_s < self.limit_s


def two_programs() -> str:
    """Two small C processes."""
    return rate(compiled("lock_file"), bound=3, seconds=5)


def two_shells() -> str:
    """Two bash processes."""
    return rate(shutil.which("bash") or "bash", "-c", BASH_PAIR, bound=3, seconds=5)


def fork_buf() -> str:
    """Mosaic's fork-buf with N = 3, all schedules that differ in more than the order of the output."""
    began_s = time.perf_counter()
    world = World(program(compiled("fork_buf"), "3", "stay"), orders_output=False)
    search = Search(world, lambda _: True, alive=lambda _: time.perf_counter() - began_s < 60)
    search.run()
    world.close()
    done = "exhausted" if search.is_exhausted else "not exhausted"
    return f"{done}, {search.schedules:,} schedules, {time.perf_counter() - began_s:.1f} s"


def shell_lab() -> str:
    """The shell lab's race found, minimised and told."""
    began_s = time.perf_counter()
    explorer = Explorer(program(compiled("shell_lab")), expected=Expectation(status=0))
    report = explorer.run()
    finding = explorer.minimised(report.findings[0])
    tell_story(explorer.world, finding)
    explorer.world.close()
    return f"{finding.oracle}, {finding.deviations} preemption, {time.perf_counter() - began_s:.2f} s"


def reduction() -> str:
    """Schedules with and without the reduction, of the growth by one more preemption."""
    shell = (shutil.which("bash") or "bash", "-c", BASH_PAIR)
    commands: dict[str, tuple[tuple[str, ...], tuple[int | None, ...]]] = {
        # With the bounds that can be exhausted without a reduction.
        "tocttou": ((compiled("tocttou"), "2"), (0, 1, 2, 3, None)),
        "lock_file": ((compiled("lock_file"),), (0, 1, 2, 3)),
        "two bash processes": (shell, (0, 1, 2, 3)),
        "fork_buf 2": ((compiled("fork_buf"), "2"), (0, 1)),
        "parallel_inc": ((compiled("parallel_inc"), "2", "2"), (0, 1)),
    }
    kinds = Reduction.STATES, Reduction.PARTIAL_ORDER, Reduction.NONE
    lines = ["", "", "| program | preemptions | states | partial order | none | that differ |"]
    lines.append("|" + " --- |" * 6)
    for name, (command, bounds) in commands.items():
        for bound in bounds:
            searches = [_search(command, bound, kind) for kind in kinds]
            figures = " | ".join(f"{search.schedules:,}" for search in searches)
            most = "any number" if bound is None else bound
            lines.append(f"| {name} | {most} | {figures} | {len(searches[-1].signatures):,} |")
    return "\n".join(lines)


def _search(command: tuple[str, ...], bound: int | None, kind: Reduction) -> Search:
    """A search that has been made."""
    world = World(program(*command))
    search = Search(world, lambda _: True, bound=bound, reduction=kind)
    search.run()
    world.close()
    return search


def jobs() -> str:
    """Two processes beside one, on the same pieces, of a short search and of one that takes a while.

    On a machine that is busy elsewhere the time on the clock says little: so it's told too how many steps
    there were and what the worker that was busiest has used of the processor.
    """
    return "; ".join(_divided(preemptions) for preemptions in (3, 4))


def _divided(preemptions: int) -> str:
    """How much sooner two processes have searched one program with so many preemptions."""
    parts: list[str] = []
    elapsed_s: list[float] = []
    for name, crew in (("alone", Alone()), ("with two", Processes(2))):
        clock = Processor(0)
        explorer = Explorer(program(compiled("fork_with_lock"), "safe"), preemptions=preemptions)
        began_s = time.perf_counter()
        report = explorer.run_divided(crew)
        elapsed_s.append(time.perf_counter() - began_s)
        busiest_s = clock.taken_s
        if isinstance(crew, Processes):
            busiest_s = max(map(_processor_s, crew.pool._processes))
        steps = sum(coverage.steps for coverage in report.coverages)
        parts.append(f"{elapsed_s[-1]:.1f} s {name} ({busiest_s:.1f} s of the processor, {steps:,} steps)")
        crew.close()
        explorer.world.close()
    return f"{', '.join(parts)}, {elapsed_s[0] / elapsed_s[1]:.2f}x"


def _processor_s(pid: int) -> float:
    """What a process has used of the processor."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


ROWS: dict[str, Callable[[], str]] = {
    "two-programs": two_programs,
    "two-shells": two_shells,
    "fork-buf": fork_buf,
    "shell-lab": shell_lab,
    "reduction": reduction,
    "jobs": jobs,
}


def main() -> int:
    """Measure and print."""
    wanted = sys.argv[1:] or list(ROWS)
    for name in wanted:
        row = ROWS[name]
        print(f"{name}: {(row.__doc__ or '').partition('.')[0]}: {row()}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
