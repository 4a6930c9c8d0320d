"""What the oracles say of runs: that there is a race where nothing puts an order, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from procession.explore.data_race import Access, Happening, first_race
from procession.explore.explorer import Explorer
from procession.explore.save import save_finding
from procession.explore.story import tell_story
from procession.kernel.sched.explored import NEXT_TASK
from procession.recording.schedule import MEMORY
from tests.explore.races import PROGRAMS, compiled, explored, program
from tests.guest.compile_c import Linkage, compile_program
from tests.of_a_kind import first_of, heavy

Place = tuple[int, int]
"""An address and a number of bytes."""
ONE, TWO, LOCK = (8, 8), (16, 8), (64, 4)
BOTH, HALF, OTHER_HALF = (8, 16), (8, 4), (12, 4)


def read(tid: int, place: Place) -> Access:
    return Access(tid, ("memory",), *place, is_write=False, is_locked=False, instruction=tid)


def write(tid: int, place: Place) -> Access:
    return Access(tid, ("memory",), *place, is_write=True, is_locked=False, instruction=tid)


def lock(tid: int, place: Place) -> Access:
    return Access(tid, ("memory",), *place, is_write=True, is_locked=True, instruction=tid)


@pytest.mark.parametrize(
    "happenings",
    [
        (write(1, ONE), read(2, ONE)),
        (read(1, ONE), write(2, ONE)),
        (write(1, ONE), write(2, ONE)),
        (write(1, BOTH), write(2, TWO)),
        (write(1, ONE), read(2, OTHER_HALF)),
        (write(1, ONE)._replace(library=5), read(2, ONE)),
        # Somebody else's way through the kernel puts no order between the two.
        (write(1, ONE), 3, 2, read(2, ONE)),
        # Nor does one in front of the first.
        (1, 2, write(1, ONE), 2, read(2, ONE)),
        (write(1, ONE), lock(1, LOCK), read(2, ONE), lock(2, LOCK)),
        (read(1, ONE), read(3, ONE), 3, 2, write(2, ONE)),
    ],
)
def test_nothing_puts_an_order_between(happenings: tuple[Happening, ...]) -> None:
    found = first_race(happenings)
    assert found is not None
    first, second = found
    assert first.tid == 1
    assert second.tid == 2


@pytest.mark.parametrize(
    "happenings",
    [
        (),
        (read(1, ONE), read(2, ONE)),
        (write(1, ONE), write(1, ONE)),
        (write(1, ONE), write(2, TWO)),
        (write(1, HALF), write(2, OTHER_HALF)),
        (write(1, ONE)._replace(library=5), read(2, ONE)._replace(library=5)),
        (write(1, ONE), 1, 2, write(2, ONE)),
        (write(1, ONE), 1, 3, lock(3, LOCK), lock(2, LOCK), read(2, ONE)),
        (write(1, ONE), lock(1, LOCK), lock(2, LOCK), write(2, ONE)),
        # It's there to make an order, also where it's read by an ordinary instruction.
        (write(1, ONE), write(1, LOCK), read(2, LOCK), read(2, ONE), lock(3, LOCK)),
    ],
)
def test_something_puts_an_order_between(happenings: tuple[Happening, ...]) -> None:
    assert first_race(happenings) is None


@pytest.mark.parametrize("shared", first_of(1, ["processes", "threads"]))
def test_two_tasks_access_a_word_with_no_order(shared: str, tmp_path: Path) -> None:
    kinds = NEXT_TASK, MEMORY
    explorer = Explorer(program(compiled("lost_update"), shared, kinds=kinds), oracles=["data-race"])
    [finding] = explorer.run().findings
    # Whether an update is lost or not.
    assert finding.deviations == 0
    assert "with no order between them" in finding.problem
    story = tell_story(explorer.world, finding)
    assert save_finding(explorer, finding, story, [], tmp_path / "run")
    explorer.world.close()
    report = explored(
        compiled("lost_update"), shared, "atomic", kinds=kinds, oracles=("data-race",), preemptions=None
    )
    assert report.findings == ()
    assert report.is_complete


@pytest.mark.parametrize("linkage", first_of(1, [Linkage.DYNAMIC, Linkage.STATIC]))
def test_a_handler_interrupts_a_function_that_it_calls(linkage: Linkage, tmp_path: Path) -> None:
    executable = str(compile_program(PROGRAMS / "unsafe_handler.c", linkage))
    explorer = Explorer(program(executable), oracles=["unsafe-handler"])
    [finding] = explorer.run().findings
    assert "a handler of signal 17 has interrupted" in finding.problem
    assert " in puts, and calls puts" in finding.problem
    story = tell_story(explorer.world, finding)
    assert save_finding(explorer, finding, story, [], tmp_path / "run")
    explorer.world.close()
    report = explored(executable, "safe", oracles=("unsafe-handler",), preemptions=1)
    assert report.findings == ()
    assert report.coverages[-1].is_exhausted


@pytest.mark.parametrize("arguments", [(), heavy((("dup2",),))])
def test_a_descriptor_is_another_files_by_now(arguments: tuple[str, ...]) -> None:
    [finding] = explored(compiled("reused_descriptor"), *arguments, oracles=("stale-descriptor",)).findings
    assert "has opened anew since it used it last" in finding.problem
    assert finding.status == 1
    report = explored(compiled("reused_descriptor"), "safe", oracles=("stale-descriptor",), preemptions=1)
    assert report.findings == ()
    assert report.coverages[-1].is_exhausted


def test_a_process_that_is_killed_by_its_own_mistake() -> None:
    [finding] = explored(compiled("empty_file"), oracles=("crash",)).findings
    assert "(2) is killed by SIGBUS" in finding.problem
    report = explored(compiled("empty_file"), "safe", oracles=("crash",), preemptions=None)
    assert report.findings == ()
    assert report.is_complete
