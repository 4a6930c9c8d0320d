"""Checkpoints are as far apart as going back may take, and hold no more than there's room for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from procession.machine import Machine
from procession.snapshot.checkpoints import Checkpoint, cost_ns, insert, next_after, thin_out
from tests.guest.compile_c import Linkage, compile_program


class Frames:
    """Stands for the frames of a snapshot, each of which has so many pages that no other has."""

    def __init__(self, page_count: int) -> None:
        self.page_count = page_count

    def pages_since(self, earlier: object) -> int:
        return self.page_count


class Kept:
    def __init__(self, page_count: int) -> None:
        self.frames = Frames(page_count)


def line(count: int, page_count: int = 1, frame_count: int = 1 << 20) -> list[Checkpoint]:
    """What is left of `count` checkpoints, one each second."""
    checkpoints: list[Checkpoint] = []
    for second in range(count):
        made = Checkpoint(second * 10**9, cast("Any", Kept(page_count)))
        insert(checkpoints, len(checkpoints), made)
        thin_out(checkpoints, made.cost_ns, frame_count)
    return checkpoints


def test_few_are_all_kept() -> None:
    assert [known.cost_ns // 10**9 for known in line(256)] == list(range(256))


@pytest.mark.parametrize("count", [1000, 5000])
def test_of_many_those_are_kept_that_are_near(count: int) -> None:
    checkpoints = line(count)
    costs = [known.cost_ns // 10**9 for known in checkpoints]
    assert len(costs) == 256
    assert costs[0] == 0
    assert costs[-4:] == [count - 4, count - 3, count - 2, count - 1]
    for start, end in pairwise(costs):
        assert end - start <= max((count - start) // 8, 1)


def test_what_holds_many_pages_is_few() -> None:
    checkpoints = line(1000, page_count=100, frame_count=3000)
    assert 2 < len(checkpoints) <= 31
    assert sum(known.page_count for known in checkpoints) <= 3000
    assert (checkpoints[0].cost_ns, checkpoints[-1].cost_ns) == (0, 999 * 10**9)
    # Even if there's room for none, there's a way back.
    assert len(line(50, page_count=100, frame_count=50)) == 2


def test_one_that_has_cost_much_is_followed_later() -> None:
    first, second = line(2, page_count=0), line(2, page_count=100_000)
    assert next_after(first[1], 10**8) == 10**9 + 10**8
    assert next_after(second[1], 10**8) > 10**9 + 5 * 10**8


WORKING = """
#include <unistd.h>
int main(void) {
    for (int round = 0; round < 5; round++) {
        for (volatile int n = 0; n < 3000000; n++);
        getppid();
    }
}
"""
WRITING = """
#include <unistd.h>
static char room[20 << 20];
int main(void) {
    for (int round = 1; round < 600; round++) {
        for (int at = 0; at < (int)sizeof room; at += 4096) room[at] = round;
        getppid();
    }
}
"""


INTERVAL_NS = 10_000_000


def ended(text: str, directory: Path, memory: int) -> Machine:
    """A machine in which a program has run to its end, with its history."""
    source = directory / "program.c"
    source.write_text(text)
    machine = Machine(seed=1, memory=memory)
    machine.start([str(compile_program(source, Linkage.STATIC))])
    history = machine.keep_history()
    history.interval_ns = INTERVAL_NS
    history.run_to_end()
    return machine


def test_long_work_without_events_has_checkpoints_too(tmp_path: Path) -> None:
    machine = ended(WORKING, tmp_path, 64 << 20)
    history = machine.history
    assert history is not None
    assert history.count < 500
    costs = [known.cost_ns for known in history.checkpoints]
    end = cost_ns(history.count, machine.kernel.clock.work_ns)
    longest_ns = max(end_ns - start_ns for start_ns, end_ns in pairwise(costs))
    assert len(costs) > 5
    # They are kept at the ends of slices, which last no longer than some milliseconds.
    assert max(longest_ns, end - costs[-1]) <= 3 * INTERVAL_NS
    there = history.count, machine.state_digest()
    calls = 0
    while machine.step_back("call") is not None and calls < 3:
        calls += 1
    assert history.go_to(there[0])
    history.run_to_end()
    assert (history.count, machine.state_digest()) == there


@pytest.mark.heavy
def test_a_past_in_which_much_was_written_is_bounded(tmp_path: Path) -> None:
    machine = ended(WRITING, tmp_path, 32 << 20)
    history = machine.history
    assert history is not None
    page_count = sum(known.page_count for known in history.checkpoints)
    assert len(history.checkpoints) > 1
    assert len(history.checkpoints) == 2 or page_count <= machine.memory.frame_count
    there = history.count, machine.state_digest()
    assert machine.back_to("getppid")
    history.run_to_end()
    assert (history.count, machine.state_digest()) == there
