"""Programs with races and without, and what their exploration gives."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from procession.explore.explorer import Explorer, Report
from procession.explore.oracle import DEFAULT_ORACLES, Expectation
from procession.explore.program import DEFAULT_KINDS, Program
from procession.explore.search import Coverage, Reduction, Search
from procession.explore.world import World
from tests.guest.compile_c import Linkage, compile_program

PROGRAMS = Path(__file__).parent / "programs"
MEMORY_BYTES = 1 << 26


def compiled(name: str) -> str:
    """The executable of a program beside this file."""
    return str(compile_program(PROGRAMS / f"{name}.c", Linkage.STATIC))


def program(*command: str, kinds: tuple[str, ...] = DEFAULT_KINDS) -> Program:
    """A command to explore, on a small machine."""
    return Program(command, {"memory": MEMORY_BYTES, "cwd": "/"}, kinds=kinds)


def explored(
    *command: str,
    preemptions: int | None = 2,
    oracles: tuple[str, ...] = DEFAULT_ORACLES,
    kinds: tuple[str, ...] = DEFAULT_KINDS,
    status: int | None = None,
) -> Report:
    """What an exploration of the command reports, ended by the first finding."""
    explorer = Explorer(
        program(*command, kinds=kinds),
        preemptions=preemptions,
        oracles=oracles,
        expected=Expectation(status=status),
    )
    try:
        return explorer.run()
    finally:
        explorer.world.close()


def outcomes(
    *command: str, bound: int | None = None, reduction: Reduction = Reduction.STATES
) -> tuple[Counter[tuple[str, int, bytes]], Coverage]:
    """How often each ending, status and output occurs in all schedules within the bound."""
    world = World(program(*command))
    found: Counter[tuple[str, int, bytes]] = Counter()

    def visit(ended: World) -> bool:
        found[ended.run.ending, ended.run.status, ended.run.stdout] += 1
        return True

    search = Search(world, visit, bound=bound, reduction=reduction)
    try:
        search.run()
    finally:
        world.close()
    return found, search.coverage


def classes(
    *command: str,
    bound: int | None = None,
    reduction: Reduction = Reduction.STATES,
    kinds: tuple[str, ...] = DEFAULT_KINDS,
) -> tuple[set[int], Coverage]:
    """The signatures of all schedules within the bound: those that differ in more than independent steps."""
    world = World(program(*command, kinds=kinds))
    search = Search(world, lambda _: True, bound=bound, reduction=reduction)
    try:
        search.run()
    finally:
        world.close()
    return search.signatures, search.coverage
