"""What is branched over beside who runs next: who is woken, early timers, and permitted failures."""

from __future__ import annotations

from pathlib import Path

import pytest

from procession.explore.crew import Alone
from procession.explore.explorer import Explorer
from procession.explore.oracle import Expectation
from procession.explore.program import DEFAULT_KINDS
from procession.explore.save import save_finding
from procession.explore.search import Reduction
from procession.explore.statement import statement
from procession.explore.story import shortened, story_text, tell_story
from procession.kernel.decider import SeededDecider
from procession.kernel.sched.explored import NEXT_TASK
from procession.recording.file import read_recording
from procession.recording.replay import ReplayedWorld, check_end, machine_of
from procession.recording.schedule import KINDS, MEMORY, TIMER, explored_machine
from procession.recording.travel import ReplayedSteps, travel
from procession.syscalls.permitted import FAULTS
from tests.explore.races import classes, compiled, explored, program
from tests.of_a_kind import first_of, heavy

pytestmark = pytest.mark.usefixtures("c_compiler")


def test_a_short_write_is_found_where_it_is_not_looked_at() -> None:
    assert explored(compiled("short_write")).findings == ()
    [finding] = explored(compiled("short_write"), kinds=(NEXT_TASK, FAULTS), status=0).findings
    assert (finding.oracle, finding.deviations, finding.status) == ("status", 1, 1)


def test_a_story_names_the_call_that_was_chosen_to_fail() -> None:
    # Among many others: it's what the reader looks for.
    explorer = Explorer(program(compiled("short_write"), kinds=(NEXT_TASK, FAULTS)), oracles=("status",))
    [finding] = explorer.run().findings
    text = story_text(tell_story(explorer.world, finding))
    explorer.world.close()
    assert " ".join(text.split()).count('write(3, "abcdefgh", 8) = 4 /* it was chosen to be short */') == 1
    error = "mmap(NULL, 8192) = -1 ENOMEM (Cannot allocate memory) /* it was chosen to fail so */"
    many = tuple(f"write(1, {number}) = 1" for number in range(20))
    assert error in shortened((*many[:10], error, *many[10:]))


def test_no_permitted_failure_breaks_the_repaired_program() -> None:
    report = explored(
        compiled("short_write"), "safe", kinds=(NEXT_TASK, FAULTS), preemptions=2, oracles=("crash",)
    )
    assert report.findings == ()
    assert report.schedules > 5


@pytest.mark.heavy
def test_a_timer_may_be_early_if_that_is_branched_over() -> None:
    script = "(sleep 1; echo late) & sleep 5; echo end"
    assert explored("/bin/sh", "-c", script, preemptions=1, oracles=("output",)).findings == ()
    report = explored("/bin/sh", "-c", script, preemptions=1, oracles=("output",), kinds=(NEXT_TASK, TIMER))
    assert report.schedules > 1


@pytest.mark.parametrize(
    ("how", "shared"),
    [("plain", "threads"), ("flag", "processes"), heavy(("plain", "processes")), heavy(("flag", "threads"))],
)
def test_an_update_is_lost_between_two_instructions(shared: str, how: str) -> None:
    """Only who asks after accesses to memory finds it, and needs no more than one preemption."""
    command = compiled("lost_update"), shared, how
    report = explored(*command, status=0, preemptions=None)
    assert report.is_complete
    assert "between two calls wasn't tried in every order" in statement(report)
    [finding] = explored(*command, status=0, kinds=(NEXT_TASK, MEMORY)).findings
    assert (finding.oracle, finding.deviations, finding.status) == ("status", 1, 1)


@pytest.mark.parametrize("kinds", [DEFAULT_KINDS, (NEXT_TASK, MEMORY)])
@pytest.mark.parametrize("command", [("lost_update", "threads", "atomic"), ("lock_file",), ("spliced_page",)])
def test_that_memory_is_shared_is_told_where_it_isnt_branched_over(
    command: tuple[str, ...], kinds: tuple[str, ...]
) -> None:
    name, *arguments = command
    explorer = Explorer(program(compiled(name), *arguments, kinds=kinds), preemptions=0)
    crew = Alone()
    report = explorer.run_divided(crew)
    crew.close()
    explorer.world.close()
    if name == "spliced_page":
        # Which words of pipes' pages are accessed isn't watched.
        assert report.has_unwatched_memory
    else:
        assert report.has_unwatched_memory is (name == "lost_update" and MEMORY not in kinds)


@pytest.mark.parametrize("shared", first_of(1, ["processes", "threads"]))
def test_no_update_is_lost_that_is_one_instruction(shared: str) -> None:
    report = explored(
        compiled("lost_update"), shared, "atomic", status=0, preemptions=None, kinds=(NEXT_TASK, MEMORY)
    )
    assert report.findings == ()
    assert report.is_complete
    assert report.schedules > 5


@pytest.mark.parametrize("how", first_of(1, ["atomic", "plain", "flag"]))
def test_the_reduction_leaves_out_no_order_of_accesses(how: str) -> None:
    kinds = NEXT_TASK, MEMORY
    command = "processes", how
    reduced, few = classes(compiled("lost_update"), *command, kinds=kinds)
    naive, many = classes(compiled("lost_update"), *command, kinds=kinds, reduction=Reduction.NONE)
    assert few.is_exhausted
    assert many.is_exhausted
    assert reduced == naive
    assert few.schedules == few.distinct


@pytest.mark.heavy
def test_a_schedule_with_turns_between_instructions_is_recorded(tmp_path: Path) -> None:
    explorer = Explorer(program(compiled("lost_update"), "threads", kinds=(NEXT_TASK, MEMORY)))
    [finding] = explorer.run().findings
    story = tell_story(explorer.world, finding)
    assert any("goes on in user mode" in turn.preempted for turn in story.turns)
    path = tmp_path / "run"
    assert save_finding(explorer, finding, story, explorer.moments(finding), path)
    explorer.world.close()
    recording = read_recording(path)
    machine = machine_of(recording)
    world = ReplayedWorld(machine, recording, shows_output=False)
    check_end(recording, machine, machine.run_again(world, recording.command, pid1=False))
    machine.close()


def test_an_instruction_that_faults_after_an_access_is_one_still(tmp_path: Path) -> None:
    """Wherever one stops in it, when it's looked at later: the choices are the same ones."""
    explorer = Explorer(
        program(compiled("copied_string"), kinds=(NEXT_TASK, MEMORY)),
        expected=Expectation(status=0),
        finds_all=True,
        preemptions=None,
    )
    report = explorer.run()
    assert report.is_complete
    [finding] = [each for each in report.findings if each.oracle == "status"]
    assert finding.status == 1
    path = tmp_path / "run"
    assert save_finding(explorer, finding, tell_story(explorer.world, finding), [], path)
    explorer.world.close()
    recording = read_recording(path)
    history = travel(recording, interval=5)
    while history.step() is not None:
        pass
    driver = history.driver
    assert isinstance(driver, ReplayedSteps)
    assert driver.machine.state_hash() == recording.end["state"]
    driver.machine.close()


def test_another_processor_says_that_it_cant_tell_of_accesses() -> None:
    settings = {"memory": 1 << 26, "engine": "scripted"}
    with pytest.raises(ValueError, match="--engine unicorn"):
        explored_machine(settings, (NEXT_TASK, MEMORY), SeededDecider(0))


def test_all_kinds_have_a_meaning() -> None:
    assert set(KINDS) == {"next-task", "signal", "wake-order", "memory", "timer", "faults"}
    assert all(KINDS.values())
