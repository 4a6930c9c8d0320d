"""Races of real programs are found without being told where, and none is found where they are repaired."""

from __future__ import annotations

import shutil

import pytest

from procession.explore.oracle import DEFAULT_ORACLES
from procession.explore.program import DEFAULT_KINDS
from procession.kernel.sched.explored import NEXT_TASK
from procession.recording.schedule import MEMORY
from tests.explore.races import compiled, explored, outcomes
from tests.of_a_kind import first_of, heavy

pytestmark = pytest.mark.usefixtures("c_compiler")

RACES = {
    # The program, the oracle that finds it, and how many preemptions it takes.
    "shell_lab": ("status", 1),
    "one_waitpid": ("deadlock", 0),
    "pause_after_check": ("deadlock", 1),
    "lock_file": ("status", 1),
    "make_directory": ("status", 1),
    "double_fork": ("status", 0),
    "dead_holder": ("deadlock", 2),
    "fork_in_malloc": ("deadlock", 2),
}


@pytest.mark.parametrize("name", first_of(4, RACES))
def test_a_race_is_found_with_the_fewest_preemptions(name: str) -> None:
    oracle, preemptions = RACES[name]
    [finding] = explored(compiled(name), status=0).findings
    assert (finding.oracle, finding.deviations) == (oracle, preemptions)


@pytest.mark.parametrize("name", first_of(2, ["shell_lab", "pause_after_check", "double_fork"]))
def test_no_schedule_of_a_repaired_program_fails(name: str) -> None:
    report = explored(compiled(name), "safe", preemptions=None, status=0)
    assert report.findings == ()
    assert report.is_complete
    assert report.schedules > 1


@pytest.mark.heavy
@pytest.mark.parametrize(
    "name",
    first_of(
        3, ["one_waitpid", "lock_file", "fork_with_lock", "make_directory", "dead_holder", "fork_in_malloc"]
    ),
)
def test_no_schedule_with_two_preemptions_of_a_repaired_program_fails(name: str) -> None:
    report = explored(compiled(name), "safe", preemptions=2, status=0)
    assert report.findings == ()
    assert report.coverages[-1].is_exhausted


@pytest.mark.heavy
def test_a_child_finds_the_lock_taken_that_a_thread_of_its_parent_held() -> None:
    [finding] = explored(compiled("fork_with_lock")).findings
    assert (finding.oracle, finding.deviations) == ("deadlock", 2)


def test_a_pid_file_names_who_has_ended_and_been_reaped() -> None:
    [finding] = explored(compiled("pid_file"), oracles=("stale-pid",)).findings
    assert "names process" in finding.problem
    report = explored(compiled("pid_file"), "safe", oracles=("stale-pid",), preemptions=None)
    assert report.findings == ()
    assert report.is_complete


LATE_TRAP = '(kill -TERM $$) & trap "exit 0" TERM; wait; exit 0'
EARLY_TRAP = 'trap "exit 0" TERM; (kill -TERM $$) & wait; exit 0'


@pytest.mark.parametrize("shell", first_of(1, ["dash", "bash"]))
def test_a_trap_that_is_set_too_late(shell: str) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell} here")
    [finding] = explored(path, "-c", LATE_TRAP, status=0).findings
    assert (finding.oracle, finding.status) == ("status", 143)
    report = explored(path, "-c", EARLY_TRAP, status=0, preemptions=1)
    assert report.findings == ()
    assert report.coverages[-1].is_exhausted


RACING_JOB = {
    "bash": "set -m; (exit 3) & jobs -r; wait %1; echo $?",
    "dash": "(exit 3) & jobs; wait %1; echo $?",
}
JOB = {
    "bash": "set -m; (exit 3) & wait %1; echo $?",
    "dash": "(exit 3) & wait %1; echo $?",
}


@pytest.mark.heavy
@pytest.mark.parametrize("shell", first_of(1, ["dash", "bash"]))
def test_a_list_of_jobs_that_may_have_ended(shell: str) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell} here")
    [finding] = explored(path, "-c", RACING_JOB[shell]).findings
    assert (finding.oracle, finding.deviations) == ("output", 1)
    assert b"Running" not in finding.stdout
    report = explored(path, "-c", JOB[shell], preemptions=None)
    assert (report.findings, report.first_stdout) == ((), b"3\n")
    assert report.is_complete


# Three races that rr's issue tracker tells of, which its chaos mode doesn't come to, or once in thousands of
# runs: 3087 (a number that another process sees), 2362 (a task is done before its result is there), 2189 (a
# condition variable that nobody notifies). The programs are rebuilt from the descriptions.

RR_RACES = {
    # The program, what is branched over, the oracle that finds it, and how many preemptions it takes.
    "seen_number": (DEFAULT_KINDS, "status", 1),
    "result_after_state": ((NEXT_TASK, MEMORY), "status", 2),
    "lost_notification": (DEFAULT_KINDS, "deadlock", 1),
}


@pytest.mark.parametrize("name", first_of(1, RR_RACES))
def test_a_race_that_takes_thousands_of_runs_by_chance(name: str) -> None:
    kinds, oracle, preemptions = RR_RACES[name]
    report = explored(compiled(name), status=0, oracles=("status", "deadlock", "crash"), kinds=kinds)
    [finding] = report.findings
    assert (finding.oracle, finding.deviations) == (oracle, preemptions)
    assert report.schedules < 300


@pytest.mark.parametrize(
    ("name", "preemptions"),
    [
        heavy(("seen_number", 2)),
        heavy(("result_after_state", 2)),
        ("lost_notification", 1),
        pytest.param("lost_notification", 2, marks=pytest.mark.heavy),
    ],
)
def test_the_repaired_program_of_such_a_race_never_fails(name: str, preemptions: int) -> None:
    report = explored(
        compiled(name),
        "safe",
        status=0,
        preemptions=preemptions,
        oracles=("status", "deadlock", "crash"),
        kinds=RR_RACES[name][0],
    )
    assert report.findings == ()
    assert report.coverages[-1].bound == preemptions
    assert report.coverages[-1].is_exhausted
    assert report.schedules > 50


# Mosaic's models as C programs, and what each can give (Jiang 2023, The Hitchhiker's Guide to Operating
# Systems).


def test_what_a_mailer_may_write_to_while_a_link_is_made() -> None:
    found, coverage = outcomes(compiled("tocttou"), "2")
    assert coverage.is_exhausted
    assert {stdout for _, _, stdout in found} == {
        b"file written\n",
        b"/etc/passwd written\n",
        b"rejected\n",
    }


def test_in_which_orders_two_processes_write_their_buffers() -> None:
    found, coverage = outcomes(compiled("fork_buf"), "1")
    assert coverage.is_exhausted
    assert {stdout for _, _, stdout in found} == {b"3\n0\n", b"0\n3\n"}


@pytest.mark.parametrize(
    ("times", "threads"), [(1, 2), heavy((2, 2)), pytest.param(2, 3, marks=pytest.mark.heavy)]
)
def test_what_threads_that_give_way_while_they_add_may_come_to(times: int, threads: int) -> None:
    # The model switches where a thread gives way, and nowhere else: that is no preemption.
    found, coverage = outcomes(compiled("parallel_inc"), str(times), str(threads), bound=0)
    assert coverage.is_exhausted
    least = 1 if times == 1 else 2
    assert {int(stdout) for _, _, stdout in found} == set(range(least, times * threads + 1))


@pytest.mark.heavy
def test_in_which_orders_four_processes_write_their_buffers() -> None:
    found, coverage = outcomes(compiled("fork_buf"), "2")
    assert coverage.is_exhausted
    # Four writes in any order, for each of the two orders in which the second forks give ids.
    assert len(found) == 4 * 3 * 2 * 2


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("arguments", "endings"),
    [(("2",), {("deadlock", -1), ("exited", 0)}), heavy((("2", "all"), {("exited", 0)}))],
)
def test_what_becomes_of_producers_and_consumers_that_wake_one(
    arguments: tuple[str, ...], endings: set[tuple[str, int]]
) -> None:
    found, coverage = outcomes(compiled("cond_var"), *arguments, bound=0)
    assert coverage.is_exhausted
    assert {(ending, status) for ending, status, _ in found} == endings


@pytest.mark.heavy
def test_what_a_crash_leaves_of_a_file_that_was_appended_to() -> None:
    # Any of the four writes may have reached the disk; the second block is only read if the inode names it.
    found, coverage = outcomes(compiled("disk_crash"), "append", bound=0)
    assert coverage.is_exhausted
    assert {stdout.decode() for _, _, stdout in found} == {
        f"{inode};{used}|{first}{second}\n"
        for inode, seconds in (("#1", ("",)), ("#1 #2", (" old", " new")))
        for used in ("#1", "#1 #2")
        for first in ("old", "new")
        for second in seconds
    }


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("how", "preemptions", "homes"),
    [
        ("log", 0, {"old old", "new new"}),
        pytest.param("log", 1, {"old old", "new new"}, marks=pytest.mark.heavy),
        heavy(("hasty", 0, {"old old", "new new", "new none", "none new", "none none"})),
    ],
)
def test_what_a_crash_leaves_of_two_blocks_that_go_through_a_log(
    how: str, preemptions: int, homes: set[str]
) -> None:
    found, coverage = outcomes(compiled("disk_crash"), how, bound=preemptions)
    assert coverage.is_exhausted
    assert {stdout.decode() for _, _, stdout in found} == {f"{home}\n" for home in homes}


@pytest.mark.heavy
def test_orphans_are_told_of_only_where_there_are_some() -> None:
    sh = shutil.which("sh") or "/bin/sh"
    [finding] = explored(sh, "-c", "(sleep 1 &)", oracles=("orphans",), preemptions=0).findings
    assert "init had to adopt sleep" in finding.problem or "init had to adopt sh" in finding.problem
    assert explored(sh, "-c", "sleep 1 & wait", oracles=("orphans",), preemptions=0).findings == ()


@pytest.mark.heavy
def test_a_descriptor_leaks_into_what_another_thread_spawns() -> None:
    [finding] = explored(compiled("spawn_leak"), oracles=("leak",)).findings
    assert "executes a program with descriptor 3" in finding.problem


@pytest.mark.heavy
def test_no_descriptor_leaks_that_is_opened_with_close_on_exec() -> None:
    report = explored(compiled("spawn_leak"), "safe", oracles=("leak",), preemptions=1)
    assert report.findings == ()
    assert report.coverages[-1].is_exhausted


@pytest.mark.parametrize("children", ["1", "2"])
def test_a_run_is_over_when_its_command_has_ended(children: str) -> None:
    """Children that could go on don't, and those schedules are tried in which they did before."""
    command = compiled("left_children"), children
    [finding] = explored(*command, oracles=("survivors",), preemptions=0).findings
    assert (finding.stdout, finding.deviations) == (b"", 0)
    found, coverage = outcomes(*command)
    assert coverage.is_exhausted
    assert {output for _, _, output in found} == {b"x" * count for count in range(int(children) + 1)}


def test_survivors_are_told_of() -> None:
    sh = shutil.which("sh") or "/bin/sh"
    [finding] = explored(sh, "-c", "sleep 5 & exit 0", oracles=("survivors",), preemptions=0).findings
    assert "the command has ended, and s" in finding.problem


def test_a_lost_child_signal_is_told_of() -> None:
    command = compiled("one_waitpid")
    [finding] = explored(command, oracles=("lost-sigchld",), preemptions=0).findings
    assert "sleeps, and has not reaped one_waitpid" in finding.problem
    report = explored(command, "safe", oracles=("lost-sigchld",), preemptions=1)
    assert report.findings == ()
    assert report.coverages[-1].is_exhausted


@pytest.mark.parametrize(("seconds", "ends"), [heavy((59, True)), (61, False)])
def test_a_run_that_takes_more_than_a_minute_is_told_of(seconds: int, ends: bool) -> None:
    sh = shutil.which("sh") or "/bin/sh"
    report = explored(sh, "-c", f"sleep {seconds}", oracles=("endless",), preemptions=0)
    assert [finding.oracle for finding in report.findings] == ([] if ends else ["endless"])
    assert report.is_complete is ends


def test_oracles_are_on_by_name() -> None:
    command = compiled("pause_after_check")
    assert explored(command, oracles=("status", "output")).findings == ()
    assert set(DEFAULT_ORACLES) >= {"deadlock"}
