"""Searches in pieces: by several processes, on a cluster, and going on from a file."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from procession.explore.crew import Alone, Crew, DaskCluster, Processes
from procession.explore.division import Piece, Result, Task, Worker
from procession.explore.explorer import Explorer, Limits, Report
from procession.explore.ledger import OtherSearch
from procession.explore.oracle import Expectation
from procession.explore.program import Program
from procession.explore.search import Reduction, Search
from procession.explore.shared_visits import SharedVisits
from procession.explore.statement import statement
from procession.explore.visited import PastRace, Visit
from procession.explore.world import World
from tests.explore.races import compiled, program

pytestmark = pytest.mark.usefixtures("c_compiler")


def divided(
    crew: Crew,
    name: str,
    *arguments: str,
    state_file: str = ":memory:",
    limits: Limits | None = None,
    preemptions: int | None = None,
    piece_s: float = 0.0,
    finds_all: bool = False,
) -> Report:
    """What a divided exploration of a program of the tests reports."""
    explorer = Explorer(
        program(compiled(name), *arguments), preemptions=preemptions, limits=limits, finds_all=finds_all
    )
    try:
        return explorer.run_divided(crew, state_file, piece_s)
    finally:
        crew.close()
        explorer.world.close()


def whole(name: str, *arguments: str, preemptions: int | None = None, finds_all: bool = False) -> Report:
    """The same in one piece."""
    explorer = Explorer(program(compiled(name), *arguments), preemptions=preemptions, finds_all=finds_all)
    try:
        return explorer.run()
    finally:
        explorer.world.close()


def seen(report: Report) -> list[tuple[int | None, int, bool]]:
    """Of each bound how many schedules differ, and whether those are all."""
    return [(each.bound, each.distinct, each.is_exhausted) for each in report.coverages]


def sees_all(report: Report, expected: Report) -> bool:
    """Whether both are complete, and have seen as much with each bound that both have tried.

    A search in pieces may go on to a larger bound: what one of them leaves out may be what another has seen
    with fewer preemptions.
    """
    common = min(len(report.coverages), len(expected.coverages))
    return (
        report.is_complete
        and expected.is_complete
        and seen(report)[:common] == seen(expected)[:common]
        and seen(report)[-1][1:] == seen(expected)[-1][1:]
    )


def test_pieces_see_what_the_whole_sees() -> None:
    report = divided(Alone(), "pause_after_check", "safe")
    assert sees_all(report, whole("pause_after_check", "safe"))


class AnyOrder(Alone):
    """Does the pieces in an order that follows a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = random.Random(seed)

    @property
    def room(self) -> int:
        return 8 - len(self.given)

    def collect(self) -> list[tuple[Piece, Result | None]]:
        self.random.shuffle(self.given)
        task, pieces = self.given.pop()
        return list(zip(pieces, self.keeper.do_pieces(task, pieces), strict=True))


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "preemptions"), [("tocttou", 3), ("lock_file", 2)])
def test_pieces_in_any_order_see_what_is_seen_with_nothing_left_out(name: str, preemptions: int) -> None:
    # A piece goes on from what its worker's run has in common with it, whichever was the one before.
    arguments = {"tocttou": ("2",)}.get(name, ())
    world = World(program(compiled(name), *arguments))
    naive = Search(world, lambda _: True, bound=preemptions, reduction=Reduction.NONE)
    naive.run()
    world.close()
    for seed in range(2):
        report = divided(AnyOrder(seed), name, *arguments, preemptions=preemptions, finds_all=True)
        assert seen(report)[-1] == (preemptions, len(naive.signatures), True)


def test_a_crew_does_one_search_after_the_other() -> None:
    # What was seen in the first is in its own report alone.
    crew = Alone()
    reports: list[Report] = []
    for status in (0, 7, 7):
        expected = Expectation(status=status)
        explorer = Explorer(
            program(compiled("lock_file"), "safe"), expected=expected, preemptions=0, finds_all=True
        )
        reports.append(explorer.run_divided(crew))
        explorer.world.close()
    crew.close()
    assert [bool(report.findings) for report in reports] == [False, True, True]
    assert [seen(report) for report in reports] == [[(0, 4, True)]] * 3


@pytest.mark.heavy
def test_a_program_without_a_guarded_main_part_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "search.py"
    script.write_text(
        "from procession.explore.crew import Processes\n"
        "from procession.explore.explorer import Explorer\n"
        "from procession.explore.program import Program\n"
        f"explorer = Explorer(Program(({compiled('lock_file')!r},), {{'cwd': '/'}}), preemptions=0)\n"
        "explorer.run_divided(Processes(2))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.splitlines()[-1].endswith('has to be under `if __name__ == "__main__":`')


def test_what_the_first_step_of_a_piece_races_with_is_wished_above() -> None:
    # The search that gave the piece hasn't taken that step.
    world = World(program(compiled("lock_file")))
    offers: list[int] = []
    world.begin()
    while world.offer is not None:
        offers.append(len(world.offer.tids))
        world.advance(0)
    whole_run = list(world.steps)
    wished: list[int] = []
    for length, count in enumerate(offers):
        prefix = [*whole_run[:length], (count - 1, ())]
        search = Search(world, lambda _: True, bound=2, prefix=prefix, alive=lambda _: False)
        search.run()
        assert len(search.nodes) == search.root_count == len(prefix)
        wished += [index for index, _, _ in search.wishes]
    world.close()
    assert wished
    assert max(wished) < len(offers)


@pytest.mark.heavy
def test_pieces_of_one_run_each_see_what_the_whole_sees() -> None:
    report = divided(Alone(), "lock_file", preemptions=3, finds_all=True)
    assert seen(report) == seen(whole("lock_file", preemptions=3, finds_all=True))
    assert seen(report)[-1] == (3, 113, True)


@pytest.mark.heavy
def test_a_worker_does_not_search_what_another_has_told_of(tmp_path: Path) -> None:
    command, expected = program(compiled("lock_file")), Expectation()
    task = Task(
        command, ("crash",), expected, 2, Reduction.STATES, True, True, piece_s=60, directory=str(tmp_path)
    )
    first, second = Worker(task), Worker(task)
    [done], [again] = first.do_all(task, [Piece()]), second.do_all(task, [Piece()])
    first.close()
    second.close()
    assert done is not None
    assert again is not None
    # It comes to the first choice, and knows all that there is to see.
    assert (len(done.signatures), again.schedules, again.redundant) == (81, 0, 1)
    assert (again.open_nodes, again.wishes) == ((), ())


def test_what_is_half_told_is_known_later(tmp_path: Path) -> None:
    teller, learner = SharedVisits(str(tmp_path), 1), SharedVisits(str(tmp_path), 1)
    elsewhere = SharedVisits(str(tmp_path), 2)
    for each in (teller, learner, elsewhere):
        each.look_for_others()
    visit = Visit(3, 1, (PastRace(2, 7, 3, True),))
    teller.tell(1 << 63, visit)
    assert list(learner.exchange()) == []
    assert list(teller.exchange()) == []
    assert list(learner.exchange()) == [(1 << 63, visit)]
    os.write(teller.own, b"[5, null, ")
    assert list(learner.exchange()) == []
    os.write(teller.own, b"0, []]\n")
    assert list(learner.exchange()) == [(5, Visit(None, 0, ()))]
    assert list(elsewhere.exchange()) == []
    for each in (teller, learner, elsewhere):
        each.close()


@pytest.mark.heavy
def test_nothing_is_left_of_what_workers_tell_each_other() -> None:
    crew = Processes(2)
    directory = Path(crew.directory.name)
    report = divided(crew, "lock_file", preemptions=2, finds_all=True)
    assert seen(report)[-1] == (2, 81, True)
    assert not directory.exists()


@pytest.mark.heavy
def test_two_processes_see_what_one_sees() -> None:
    report = divided(Processes(2), "pause_after_check", "safe")
    assert sees_all(report, whole("pause_after_check", "safe"))


def test_two_processes_find_a_race() -> None:
    report = divided(Processes(2), "shell_lab", preemptions=1)
    assert [(finding.oracle, finding.deviations) for finding in report.findings] == [("status", 1)]


@pytest.mark.heavy
def test_a_worker_that_is_killed_loses_nothing() -> None:
    crew = Processes(2)

    killed: set[int] = set()
    has_ended = threading.Event()

    def kill_some() -> None:
        while len(killed) < 2 and not has_ended.wait(0.3):
            for pid in list(crew.pool._processes or ())[:1]:
                # Those of a pool that is broken have died, and are replaced when there's work for them.
                if pid not in killed:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                        killed.add(pid)

    killer = threading.Thread(target=kill_some)
    killer.start()
    report = divided(crew, "shell_lab", "safe")
    has_ended.set()
    killer.join()
    assert killed
    assert sees_all(report, whole("shell_lab", "safe"))


@pytest.mark.heavy
def test_an_interrupted_search_goes_on_from_its_file(tmp_path: Path) -> None:
    state = str(tmp_path / "state.sqlite")
    first = divided(Alone(), "shell_lab", "safe", state_file=state, limits=Limits(schedules=10))
    assert first.reason_to_end == "the limit of 10 schedules"
    assert not first.is_complete
    second = divided(Alone(), "shell_lab", "safe", state_file=state)
    assert sees_all(second, whole("shell_lab", "safe"))
    third = divided(Alone(), "shell_lab", "safe", state_file=state)
    assert third.is_complete
    assert third.schedules == second.schedules


class Interrupted(Alone):
    """Does so many handfuls, and is interrupted then."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    def collect(self) -> list[tuple[Piece, Result | None]]:
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        return super().collect()


def test_an_interrupted_division_reports_what_it_has_seen() -> None:
    report = divided(Interrupted(3), "shell_lab", "safe")
    assert report.reason_to_end == "interrupted"
    [coverage] = [each for each in report.coverages if not each.is_exhausted]
    assert coverage is report.coverages[-1]
    assert coverage.schedules > 0
    assert report.schedules == sum(each.schedules for each in report.coverages)
    assert "wasn't finished (interrupted)" in statement(report)


class SentInterrupt(Alone):
    """Sends this process SIGINT where nothing may be broken off: when it hands out a piece."""

    def hand_out(self, task: Task, pieces: list[Piece]) -> None:
        signal.raise_signal(signal.SIGINT)
        super().hand_out(task, pieces)


def test_an_interrupt_waits_until_the_book_is_in_order() -> None:
    before = signal.getsignal(signal.SIGINT)
    report = divided(SentInterrupt(), "shell_lab", "safe")
    assert report.reason_to_end == "interrupted"
    assert [coverage.is_exhausted for coverage in report.coverages] == [False]
    assert report.schedules > 0
    assert signal.getsignal(signal.SIGINT) is before


def test_processes_leave_an_interrupt_to_who_searches() -> None:
    command = [
        sys.executable,
        "-m",
        "procession",
        "explore",
        "--preemptions",
        "all",
        "--jobs",
        "2",
        "--progress",
    ]
    with subprocess.Popen(
        [*command, "--", compiled("dead_holder"), "safe"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as explorer:
        assert explorer.stderr is not None
        explorer.stderr.read(1)
        os.killpg(explorer.pid, signal.SIGINT)
        stdout, stderr = explorer.communicate()
    assert explorer.returncode == 130
    assert "(interrupted)" in stdout
    assert "Traceback" not in stderr


def test_machines_that_are_kept_are_their_crews_own() -> None:
    first, second = Alone(), Alone()
    for crew in (first, second):
        crew.hand_out(task_of("shell_lab"), [Piece()])
        crew.collect()
    workers = [crew.keeper.worker for crew in (first, second)]
    first.close()
    assert [worker is not None and worker.world.is_open for worker in workers] == [False, True]
    second.close()


def task_of(name: str) -> Task:
    """The search of a program of the tests without a bound, in small pieces."""
    return Task(
        program(compiled(name)), ("status",), Expectation(), None, Reduction.STATES, False, False, 0.0
    )


def test_a_file_of_another_search_is_refused(tmp_path: Path) -> None:
    state = str(tmp_path / "state.sqlite")
    divided(Alone(), "shell_lab", "safe", state_file=state, preemptions=0)
    with pytest.raises(OtherSearch, match="another program"):
        divided(Alone(), "pause_after_check", "safe", state_file=state, preemptions=0)
    (tmp_path / "other").write_bytes(b"no database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        divided(Alone(), "shell_lab", "safe", state_file=str(tmp_path / "other"), preemptions=0)


def test_a_search_of_what_has_changed_since_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = tmp_path / "program"
    shutil.copy(compiled("shell_lab"), executable)

    def search(expected: Expectation | None = None) -> None:
        explored = Program((str(executable), "safe"), {"memory": 1 << 26, "cwd": "/"})
        explorer = Explorer(explored, preemptions=0, expected=expected)
        try:
            explorer.run_divided(Alone(), str(tmp_path / "state.sqlite"))
        finally:
            explorer.world.close()

    search()
    search()
    with pytest.raises(OtherSearch):
        search(Expectation(status=3))
    with monkeypatch.context() as changed:
        changed.setattr("procession.explore.ledger.version", lambda _: "0")
        with pytest.raises(OtherSearch):
            search()
    search()
    with executable.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(OtherSearch):
        search()


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_a_cluster_sees_what_one_process_sees() -> None:
    import distributed

    library: Any = distributed
    with library.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as cluster:
        report = divided(DaskCluster(cluster.scheduler_address), "shell_lab", "safe")
    assert sees_all(report, whole("shell_lab", "safe"))
