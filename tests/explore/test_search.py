"""The search itself: its bounds, its reduction, and that it tells the truth about what it has seen."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

from procession.cli.command_line import run_command_line
from procession.explore.explorer import Explorer
from procession.explore.finding import Finding
from procession.explore.oracle import custom_oracle
from procession.explore.program import DEFAULT_KINDS
from procession.explore.search import Coverage, Reduction, Search
from procession.explore.statement import statement
from procession.explore.story import shortened, tell_story
from procession.explore.visited import Visit, Visited
from procession.explore.world import DEFAULT_STEP_LIMIT, World
from procession.machine import Machine
from procession.recording.schedule import TIMER
from procession.syscalls.permitted import FAULTS
from tests.exchange.image_builder import LayerBuilder, make_saved_archive
from tests.explore.races import PROGRAMS, classes, compiled, explored, outcomes, program
from tests.of_a_kind import first_of, heavy

COMMAND = [sys.executable, "-m", "procession"]

pytestmark = pytest.mark.usefixtures("c_compiler")


def test_one_preemption_finds_the_race_of_two_appenders() -> None:
    report = explored(compiled("appenders"))
    [finding] = report.findings
    assert (finding.oracle, finding.deviations, finding.status) == ("status", 1, 1)
    assert [coverage.bound for coverage in report.coverages if coverage.is_exhausted] == [0]
    assert not report.is_complete


def test_no_schedule_of_the_repaired_program_fails() -> None:
    report = explored(compiled("appenders"), "safe", preemptions=None)
    assert report.findings == ()
    assert report.is_complete


def test_the_reduction_leaves_out_no_outcome() -> None:
    reduced, few = outcomes(compiled("appenders"), bound=1)
    naive, many = outcomes(compiled("appenders"), bound=1, reduction=Reduction.NONE)
    assert few.is_exhausted
    assert many.is_exhausted
    assert set(reduced) == set(naive) == {("exited", 0, b"2\n"), ("exited", 1, b"1\n")}
    assert few.left < many.left


@pytest.mark.parametrize(
    "command",
    [
        heavy((("fork_buf", "1"),)),
        pytest.param(("appenders", "safe"), marks=pytest.mark.heavy),
        pytest.param(("pause_after_check",), marks=pytest.mark.heavy),
        ("shell_lab",),
        heavy((("left_children", "2"),)),
        pytest.param(("tocttou", "2"), marks=pytest.mark.heavy),
    ],
)
def test_the_reduced_search_sees_each_class_of_schedules_once(command: tuple[str, ...]) -> None:
    name, *arguments = command
    reduced, few = classes(compiled(name), *arguments)
    naive, many = classes(compiled(name), *arguments, reduction=Reduction.NONE)
    assert few.is_exhausted
    assert many.is_exhausted
    assert reduced == naive
    assert few.schedules == few.distinct
    assert many.schedules >= 10 * few.schedules


@pytest.mark.parametrize("how", first_of(3, ["view", "space", "read", "late", "file", "copy"]))
def test_the_reduction_leaves_out_no_order_of_accesses_to_memory(how: str) -> None:
    reduced, few = outcomes(compiled("memory_race"), how)
    naive, _ = outcomes(compiled("memory_race"), how, reduction=Reduction.NONE)
    assert set(reduced) == set(naive) == {("exited", 0, b""), ("exited", 1, b"")}
    assert few.schedules == few.distinct


def test_memory_counts_as_shared_after_going_back_only_if_it_was_by_then() -> None:
    # With faults the first choice is in front of all else.
    world = World(program(compiled("memory_race"), "space", kinds=(*DEFAULT_KINDS, FAULTS)))
    world.begin()
    before = world.watcher.shared
    start = world.checkpoint()
    while world.offer is not None:
        world.advance(0)
    [root] = world.watcher.shared
    world.back_to(start)
    assert (before, world.watcher.shared) == (frozenset(), frozenset())
    assert world.machine.command is not None
    assert root == world.machine.command.mm.tables.root
    world.close()


@pytest.mark.parametrize("reduction", [Reduction.STATES, Reduction.PARTIAL_ORDER])
@pytest.mark.parametrize(
    ("bound", "command"),
    [
        heavy((0, ("appenders",))),
        (1, ("appenders",)),
        heavy((2, ("appenders",))),
        heavy((1, ("lock_file",))),
        pytest.param(2, ("lock_file",), marks=pytest.mark.heavy),
        heavy((2, ("tocttou", "2"))),
        heavy((3, ("tocttou", "2"))),
        heavy((0, ("fork_buf", "2"))),
        heavy((1, ("parallel_inc", "1", "2"))),
        heavy((1, ("left_children", "2"))),
        heavy((2, ("left_children", "2"))),
        (2, ("left_children", "2", "sleeping")),
        pytest.param(2, ("pause_after_check",), marks=pytest.mark.heavy),
        pytest.param(2, ("shell_lab",), marks=pytest.mark.heavy),
    ],
)
def test_a_bounded_search_sees_each_class_within_the_bound(
    bound: int, command: tuple[str, ...], reduction: Reduction
) -> None:
    name, *arguments = command
    reduced, few = classes(compiled(name), *arguments, bound=bound, reduction=reduction)
    naive, many = classes(compiled(name), *arguments, bound=bound, reduction=Reduction.NONE)
    assert few.is_exhausted
    assert many.is_exhausted
    assert reduced == naive
    assert few.schedules <= many.schedules


def test_early_timers_are_tried_before_the_end_and_after_each_other() -> None:
    kinds = *DEFAULT_KINDS, TIMER
    command = compiled("left_children"), "1", "sleeping"
    reduced, few = classes(*command, kinds=kinds)
    naive, many = classes(*command, kinds=kinds, reduction=Reduction.NONE)
    assert reduced == naive
    assert few.schedules == few.distinct < many.schedules
    report = explored(*command, kinds=kinds, oracles=())
    assert "Timers might be early" in statement(report)


@pytest.mark.heavy
def test_a_state_is_not_searched_again_with_fewer_preemptions_to_spare() -> None:
    with_states, few = classes(compiled("lock_file"), bound=2)
    without, more = classes(compiled("lock_file"), bound=2, reduction=Reduction.PARTIAL_ORDER)
    assert with_states == without
    assert few.redundant > more.redundant == 0
    assert 2 * few.schedules < more.schedules


def test_what_is_known_of_a_state_depends_on_who_ran_and_at_what_cost() -> None:
    visited = Visited()
    visited.add(1, Visit(2, 1, ()))
    assert visited.find(1, 2, 0) is None
    assert visited.find(1, 2, 1) is not None
    # What was a preemption then may be none now.
    assert visited.find(1, 3, 1) is None
    assert visited.find(1, None, 1) is None
    assert visited.find(1, 3, 2) is not None
    assert visited.find(2, 2, 5) is None
    visited.add(1, Visit(None, 0, ()))
    assert visited.visits[1] == (Visit(None, 0, ()),)
    assert visited.find(1, 7, 0) is not None


def test_without_snapshots_the_same_is_seen() -> None:
    found: list[Coverage] = []
    for keeps_snapshots in (True, False):
        world = World(program(compiled("shell_lab")), keeps_snapshots=keeps_snapshots)
        search = Search(world, lambda _: True)
        search.run()
        world.close()
        found.append(search.coverage)
    assert found[0] == found[1]


def test_a_run_that_is_cut_off_is_no_schedule_that_was_tried() -> None:
    command = program(compiled("shell_lab"), "safe")
    for step_limit in (4, DEFAULT_STEP_LIMIT):
        # Whoever doesn't ask for endless runs is told of them too.
        explorer = Explorer(
            command, oracles=["crash"], preemptions=None, world=World(command, step_limit=step_limit)
        )
        report = explorer.run()
        explorer.world.close()
        assert report.findings == ()
        assert report.coverages[-1].is_exhausted
        is_cut_off = step_limit != DEFAULT_STEP_LIMIT
        assert report.is_complete is not is_cut_off
        assert ("cut off" in statement(report)) is is_cut_off
        assert any(coverage.cut_off for coverage in report.coverages) is is_cut_off


@pytest.mark.heavy
def test_the_command_tells_a_story_that_replay_runs_again(tmp_path: Path) -> None:
    executable = compiled("appenders")
    found = subprocess.run(
        [*COMMAND, "explore", "--", executable], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (1, "")
    assert "status: the exit status is 1, not 0" in found.stdout
    assert "goes on before" in found.stdout
    assert "on every schedule fails" in found.stdout
    assert found.stdout.splitlines()[-2].startswith("1 finding. Every schedule with at most 0 preemptions")
    told = json.loads((tmp_path / "finding.json").read_text())
    assert (told["oracle"], told["deviations"], told["recording"]) == ("status", 1, "finding.rec")
    again = subprocess.run(
        [*COMMAND, "replay", "finding.rec"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (again.returncode, again.stdout, again.stderr) == (1, "1\n", "")


@pytest.mark.heavy
def test_a_finding_in_an_image_is_recorded_too(guest_root: Path, tmp_path: Path) -> None:
    layer = LayerBuilder().add("bin/busybox", (guest_root / "usr/bin/busybox").read_bytes(), mode=0o755)
    layer.link("bin/sh", "bin/busybox")
    image = make_saved_archive(tmp_path / "saved.tar", [layer.finish()], Entrypoint=["/bin/sh", "-c"])
    found = subprocess.run(
        [
            *(*COMMAND, "explore", "--image", str(image), "--oracle", "output", "--preemptions", "1"),
            *("--memory", "64M", "--", "echo one & echo two; wait"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (1, "")
    again = subprocess.run(
        [*COMMAND, "replay", "finding.rec"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert sorted(again.stdout.split()) == ["one", "two"]
    assert (again.returncode, again.stderr) == (0, "")
    assert f"the output is {again.stdout!r}, not" in found.stdout


@pytest.mark.heavy
def test_a_recording_is_refused_whose_choices_are_others(tmp_path: Path) -> None:
    executable = compiled("appenders")
    subprocess.run([*COMMAND, "explore", "--", executable], cwd=tmp_path, capture_output=True, check=False)
    path = tmp_path / "finding.rec"
    text = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    path.write_bytes(
        zstandard.ZstdCompressor().compress(text.replace(b'["next-task", 2,', b'["next-task", 5,'))
    )
    again = subprocess.run([*COMMAND, "replay", str(path)], capture_output=True, text=True, check=False)
    assert again.returncode == 3
    assert "next-task of 2, not next-task of 5" in again.stderr


def test_a_story_names_the_line_at_which_a_task_was_interrupted(
    c_compiler: list[str], tmp_path: Path
) -> None:
    source = PROGRAMS / "appenders.c"
    executable = tmp_path / "appenders"
    subprocess.run([*c_compiler, "-g", "-O1", "-o", str(executable), str(source)], check=True)
    explorer = Explorer(program(str(executable)))
    [finding] = explorer.run().findings
    story = tell_story(explorer.world, finding)
    explorer.world.close()
    [interrupted] = [turn.preempted for turn in story.turns if turn.preempted]
    line = next(
        number for number, text in enumerate(source.read_text().splitlines(), 1) if "write(fd" in text
    )
    assert "calls write(" in interrupted
    assert interrupted.endswith(f", at appenders.c:{line} (append)")


@pytest.mark.parametrize("section", first_of(1, [".debug_abbrev", ".debug_line", ".shstrtab"]))
def test_a_program_whose_lines_make_no_sense_has_none(
    c_compiler: list[str], tmp_path: Path, section: str
) -> None:
    from elftools.elf.elffile import ELFFile

    executable = tmp_path / "appenders"
    subprocess.run([*c_compiler, "-g", "-o", str(executable), str(PROGRAMS / "appenders.c")], check=True)
    with executable.open("r+b") as file:
        found = ELFFile(file).get_section_by_name(section)
        assert found is not None
        file.seek(found["sh_offset"])
        file.write(b"\x7f" * found["sh_size"])
    explorer = Explorer(program(str(executable)))
    [finding] = explorer.run().findings
    story = tell_story(explorer.world, finding)
    explorer.world.close()
    [interrupted] = [turn.preempted for turn in story.turns if turn.preempted]
    assert interrupted.endswith(")")
    assert ", at " not in interrupted


def test_what_is_known_is_told_when_the_search_is_interrupted() -> None:
    with subprocess.Popen(
        [*COMMAND, "explore", "--preemptions", "all", "--progress", "--", compiled("dead_holder"), "safe"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as explorer:
        assert explorer.stderr is not None
        # The first sign of life; after that it has begun.
        explorer.stderr.read(1)
        explorer.send_signal(signal.SIGINT)
        stdout, _ = explorer.communicate()
    assert explorer.returncode == 130
    assert stdout.startswith("Nothing fails. ")
    assert "(interrupted)" in stdout


def test_what_is_known_of_a_finding_is_told_when_that_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: Explorer, finding: Finding) -> Finding:
        signal.raise_signal(signal.SIGINT)
        return finding

    path = tmp_path / "finding.rec"
    monkeypatch.setattr(Explorer, "minimised", interrupt)
    monkeypatch.setattr(Explorer, "moments", interrupt)
    assert run_command_line(["explore", "-o", str(path), "--", compiled("appenders")]) == 1
    told = capsys.readouterr().out
    assert told.startswith("Interrupted: this may not be the simplest schedule that fails so.\n\nstatus: ")
    assert "goes on before" in told
    assert "Interrupted: from which step on it fails wasn't worked out.\n" in told
    assert "1 finding. " in told
    assert path.exists()


@pytest.mark.parametrize(
    ("options", "script", "problem"),
    [
        (["--expect-status", "0"], "exit 3", "status: the exit status is 3, not 0\n"),
        (["--expect-output", "x"], "echo y", "output: the output is 'y\\n', not 'x'\n"),
        heavy((["--expect-output", "\udcff"], "echo y", "output: the output is 'y\\n', not '\\xff'\n")),
        heavy(([], "kill -SEGV $$", "crash: sh (2) is killed by SIGSEGV\n")),
        ([], "kill -STOP $$", "deadlock: every task sleeps"),
    ],
)
def test_a_program_in_which_there_is_nothing_to_choose_fails_too(
    tmp_path: Path, options: list[str], script: str, problem: str
) -> None:
    found = subprocess.run(
        [*COMMAND, "explore", *options, "--", "sh", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (1, "")
    assert found.stdout.startswith(problem)
    assert "Nothing was to be chosen" in found.stdout
    assert (tmp_path / "finding.rec").exists()


def test_a_first_run_that_fails_is_told_of(tmp_path: Path) -> None:
    found = subprocess.run(
        [*COMMAND, "explore", "--", "sh", "-c", "exit 3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0
    assert found.stdout.startswith("Nothing fails. The exit status is 3 in the first run. ")


def test_zombies_that_a_parent_never_waited_for_are_found_after_its_end(tmp_path: Path) -> None:
    command = [*COMMAND, "explore", "--oracle", "zombies", "--", compiled("careless_parent")]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    parent, child = "careless_parent (2)", "careless_parent (3)"
    assert found.stdout.startswith(
        f"zombies: {parent} ended without having waited for {child}, ended before\n"
    )
    # Who slept while another ran did first this and then that.
    turns = [line for line in found.stdout.splitlines() if line[1:2] == "."]
    assert turns == [f"1. {parent}", f"2. {child}", f"3. {parent}"]
    again = subprocess.run([*command, "safe"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout[:14]) == (0, "Nothing fails.")


def test_a_story_shows_what_matters_to_others() -> None:
    quiet = tuple(f"rt_sigprocmask(SIG_BLOCK, [], [], 8) = {number}" for number in range(9))
    lines = (
        'execve("/bin/true", ["true"], 0x7fff /* 1 var */) = 0',
        *quiet,
        "--- SIGCHLD {} ---",
        *quiet,
        "fork() = 3",
    )
    assert shortened(lines) == [lines[0], "... 9 more", lines[10], "... 9 more", lines[-1]]
    assert shortened(quiet[:8]) == list(quiet[:8])
    many = tuple(f"write(1, x, {number}) = 1" for number in range(20))
    assert shortened(many) == [*many[:4], "... 12 more", *many[-4:]]
    assert shortened(("<... brk resumed> = 0", *many[:8])) == ["... 1 more", *many[:8]]


def test_an_oracle_of_ones_own_is_asked_at_the_end_of_each_run() -> None:
    def too_many_processes(machine: Machine) -> str | None:
        """More than one process was made."""
        made = machine.kernel.total_forks - 1
        return f"{made} were made" if made > 1 else None

    oracle = custom_oracle(too_many_processes)
    assert (oracle.name, oracle.meaning) == ("too-many-processes", "More than one process was made.")
    for name, problems in (("one_waitpid", ["2 were made"]), ("careless_parent", [])):
        explorer = Explorer(program(compiled(name)), oracles=[oracle], preemptions=0)
        report = explorer.run()
        explorer.world.close()
        assert [finding.problem for finding in report.findings] == problems
