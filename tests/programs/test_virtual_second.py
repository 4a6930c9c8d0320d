"""A second of the machine's clock costs its caller at most three, whatever calls a program makes in it.

What instructions cost it depends on them, but they stay near that too.
"""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from procession import Machine
from procession.hardware.engines.native.availability import why_unavailable
from tests.guest.compile_c import Linkage, compile_program
from tests.of_a_kind import first_of

BENCH = Path(__file__).parents[2] / "bench"
LOOPS = (BENCH / "loops.c", BENCH / "rare_loops.c")
LARGE = tuple(BENCH / f"large_{subject}.c" for subject in ("files", "memory", "messages", "tasks"))
LARGE_MS = 100
QUICK_MS = 20
QUICK = (
    ("files", "tee"),
    *(("memory", kind) for kind in ("advise-areas", "fault-file-segment", "read-parts")),
    *(("messages", kind) for kind in ("send-parts", "queue")),
    *(("tasks", kind) for kind in ("wait-vector", "fire-timers")),
    *(("files", kind) for kind in ("unshare-mounts", "submit", "close-range")),
    *(("memory", kind) for kind in ("truncate-among-areas", "fault-protect", "read-status")),
    *(("messages", kind) for kind in ("seccomp-deciding", "semaphores")),
    *(("tasks", kind) for kind in ("requeue", "control-cgroups")),
)
"""Some of which a second cost a minute and more where no time was taken for what they do."""
MOST_SECONDS = 3.0
ATTEMPTS = 4
SHORT_MS, LONG_MS = 1, 61
INSTRUCTIONS = BENCH / "instructions.c"
MOST_SECONDS_OF_INSTRUCTIONS = {"unicorn": 12.0, "native": 20.0}
LONG_US = {"unicorn": 3000, "native": 20_000}
SHORT_US = 1
UNSEEN_BY_NATIVE = {*("load_edge", "load_edge_32"), *("store_edge", "store_edge_16", "store_edge_sse")}
"""Whether an access reaches into a second page is nothing that translated code looks at."""
MOST_SECONDS_UNSEEN = 60.0


def processor_time_s() -> float:
    """What this process has used, and its children, which run translated code."""
    spent_s = time.process_time() + sum(os.times()[2:4])
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(status.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                spent_s += int(status.with_name("schedstat").read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError):
            # It has just ended.
            continue
    return spent_s


def run_loop(program: Path, kind: str, duration: int, engine: str = "auto") -> tuple[int, float]:
    """How long the loop ran by the machine's clock, in nanoseconds, and in seconds of processor time here.

    With a duration of 0 it's only prepared.
    """
    machine = Machine(seed=1, engine=engine)
    start_s = processor_time_s()
    result = machine.run([str(program), kind, str(duration)], time_limit_s=30)
    spent_s = processor_time_s() - start_s
    machine.close()
    assert result.status == 0, (kind, result)
    if not duration:
        return 0, spent_s
    count, virtual_ns = map(int, result.stdout.split())
    assert count > 0
    return virtual_ns, spent_s


def cost_of_a_second(
    program: Path, kind: str, durations: tuple[int, int] = (SHORT_MS, LONG_MS), engine: str = "auto"
) -> float:
    """Seconds of processor time for a second of the machine's clock, starting and ending left out."""
    short_ns, short_s = run_loop(program, kind, durations[0], engine)
    long_ns, long_s = run_loop(program, kind, durations[1], engine)
    if long_ns < 2 * short_ns:
        # The loop's body alone takes longer than that, and starting is little beside it.
        return long_s / (long_ns / 1e9)
    return (long_s - short_s) / ((long_ns - short_ns) / 1e9)


def dear_kinds(
    program: Path, most_seconds: float, durations: tuple[int, int], engine: str
) -> dict[str, float]:
    """The loops of which a second costs more than `most_seconds`, and what."""
    kinds = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    assert len(kinds) > 40
    dear: dict[str, float] = {}
    for kind in kinds:
        costs: list[float] = []
        # A loaded host makes everything dearer, and never cheaper: the least is the truest.
        while len(costs) < ATTEMPTS and (not costs or min(costs) > most_seconds):
            costs.append(cost_of_a_second(program, kind, durations, engine))
        if min(costs) > most_seconds:
            dear[kind] = min(costs)
    return dear


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("loops", LOOPS, ids=lambda loops: loops.stem)
def test_a_virtual_second_of_calls_costs_three_at_most(c_compiler: None, loops: Path) -> None:
    program = compile_program(loops, Linkage.STATIC)
    assert not dear_kinds(program, MOST_SECONDS, (SHORT_MS, LONG_MS), "auto")


@pytest.mark.heavy
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("loops", LARGE, ids=lambda loops: loops.stem)
def test_a_virtual_second_of_large_calls_costs_three_at_most(c_compiler: None, loops: Path) -> None:
    program = compile_program(loops, Linkage.STATIC)
    assert not dear_kinds(program, MOST_SECONDS, (0, LARGE_MS), "auto")


@pytest.mark.parametrize(("subject", "kind"), first_of(4, QUICK))
def test_some_large_calls_take_time(c_compiler: None, subject: str, kind: str) -> None:
    program = compile_program(BENCH / f"large_{subject}.c", Linkage.STATIC)
    # Others may load the host here, and what is looked for is ten times as dear.
    assert any(cost_of_a_second(program, kind, (0, QUICK_MS)) < 3 * MOST_SECONDS for _ in range(ATTEMPTS))


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", MOST_SECONDS_OF_INSTRUCTIONS)
def test_a_virtual_second_of_instructions_costs_a_few(c_compiler: None, engine: str) -> None:
    if engine == "native" and why_unavailable():
        pytest.skip(f"no native engine: {why_unavailable()}")
    program = compile_program(INSTRUCTIONS, Linkage.STATIC)
    dear = dear_kinds(program, MOST_SECONDS_OF_INSTRUCTIONS[engine], (SHORT_US, LONG_US[engine]), engine)
    if engine == "native":
        unseen = {kind: dear.pop(kind) for kind in UNSEEN_BY_NATIVE & dear.keys()}
        assert all(cost < MOST_SECONDS_UNSEEN for cost in unseen.values()), unseen
    assert not dear
