"""Checks machines with thousands of processes: what each costs, that no cost grows, that bombs fizzle out."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

import pytest

from procession.abi.errno import EAGAIN
from procession.hardware.engines.scripted import Branch, Call, ScriptedEngine
from procession.kernel.namespaces.pid import PID_MAX, RESERVED_PIDS
from procession.kernel.signal.generation import send_group_signal
from procession.kernel.signal.info import SigInfo
from procession.kernel.task_state import TaskState
from procession.machine import Machine
from tests.guest.compile_c import find_compiler
from tests.kernel.conducted_machine import ROOT, ConductedMachine
from tests.kernel.process_ids import tasks_by_id

FORK, WAIT4, EXIT, PAUSE, NANOSLEEP = 57, 61, 231, 34, 35
TENTH_OF_A_SECOND = (0).to_bytes(8, "little") + (100_000_000).to_bytes(8, "little")
SLEEPERS = 10_000

MANY_SLEEPERS = r"""
#include <stdio.h>
#include <unistd.h>
int main(void)
{
	for (int made = 0; made < 10000; made++) {
		pid_t child = fork();
		if (child < 0) {
			perror("fork");
			return 1;
		}
		if (child == 0)
			for (;;)
				pause();
	}
	sleep(1);
	puts("all asleep");
	return 0;
}
"""
RUN_SLEEPERS = """
import resource, sys
from procession import Machine
machine = Machine(memory=1 << 30)
command = machine.start([sys.argv[1]])
machine.run_until(lambda machine: len(machine.kernel.tasks) >= 10_002 or command.exit_code)
tasks = machine.kernel.tasks
machine.run_until(lambda machine: all(task.state.name == "INTERRUPTIBLE" for task in tasks))
print(len(machine.kernel.tasks), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.heavy
def test_ten_thousand_sleepers_fit_into_two_gibibytes(tmp_path: Path) -> None:
    source, program = tmp_path / "sleepers.c", tmp_path / "sleepers"
    source.write_text(MANY_SLEEPERS)
    subprocess.run([*find_compiler(), "-O1", "-o", program, source], check=True)
    run = subprocess.run(
        [sys.executable, "-c", RUN_SLEEPERS, program], check=True, capture_output=True, text=True
    )
    tasks, peak_kib = map(int, run.stdout.split())
    assert tasks == SLEEPERS + 2
    assert peak_kib < 2 << 20


def fork_cost_s(sleepers: int, waited_for: int | str) -> float:
    """What a fork, an exit and a wait take beside so many sleeping processes: the median of many."""
    machine = Machine(engine="scripted", rootfs=ROOT, memory=1 << 30)
    left = [sleepers, 1500]
    times: list[float] = []

    def takes_one(which: int) -> bool:
        left[which] -= 1
        return left[which] >= 0

    def note(result: int) -> bool:
        del result
        times.append(perf_counter())
        return False

    machine.start_script(
        [
            *("spawn", Branch(lambda result: takes_one(0), "one"), Branch(lambda result: True, "measure")),
            *("one", Call(FORK), Branch(lambda pid: pid == 0, "sleep"), Branch(lambda pid: True, "spawn")),
            *("sleep", Call(PAUSE), Branch(lambda result: True, "sleep")),
            *("measure", Call(NANOSLEEP, TENTH_OF_A_SECOND, 0)),
            *("again", Branch(note, ""), Call(FORK, name="child"), Branch(lambda pid: pid == 0, "end")),
            *(Call(WAIT4, waited_for, 0, 0, 0), Branch(lambda pid: takes_one(1), "again")),
            *("end", Call(EXIT, 0)),
        ]
    )
    machine.run_until(lambda machine: len(times) > 1500)
    assert isinstance(machine.engine, ScriptedEngine)
    assert sum(each.state is TaskState.INTERRUPTIBLE for each in machine.kernel.tasks) >= sleepers
    machine.close()
    return median(after - before for before, after in pairwise(times[500:]))


@pytest.mark.heavy
@pytest.mark.parametrize("waited_for", ["child", -1])
def test_a_fork_costs_the_same_among_ten_thousand(waited_for: int | str) -> None:
    # The least of several medians: others use this host too.
    few = min(fork_cost_s(10, waited_for) for _ in range(4))
    many = min(fork_cost_s(SLEEPERS, waited_for) for _ in range(4))
    assert many < 1.2 * few


@pytest.mark.heavy
def test_every_id_taken_by_zombies() -> None:
    # Of the kernel's memory a zombie still takes 24 KiB, its stack and descriptors.
    machine = Machine(engine="scripted", rootfs=ROOT, memory=1 << 30)
    outcome: list[int] = []

    def fails(result: int) -> bool:
        if result < 0:
            outcome.append(result)
        return result < 0

    task = machine.start_script(
        [
            *("spawn", Call(FORK), Branch(lambda pid: pid == 0, "end"), Branch(fails, "full")),
            *(Branch(lambda pid: True, "spawn"), "end", Call(EXIT, 0)),
            *("full", Call(NANOSLEEP, TENTH_OF_A_SECOND, 0), Call(PAUSE)),
        ]
    )
    machine.run_until(lambda machine: task.state is TaskState.INTERRUPTIBLE and bool(outcome))
    machine.run_until(lambda machine: machine.kernel.scheduler.processors[0].count == 0)
    zombies = [each for each in machine.kernel.tasks if each.state is TaskState.ZOMBIE]
    assert outcome == [-EAGAIN.number]
    assert len(zombies) == PID_MAX - 1 - 2  # all but 0, init and the parent
    send_group_signal(machine.kernel, task.group, SigInfo(9, 0))
    machine.run_until(lambda machine: len(machine.kernel.tasks) == 1)
    child = machine.start_script([Call(EXIT, 0)])
    assert child.tid >= RESERVED_PIDS
    machine.close()


BOMB = ":(){ :|:& };:; sleep 2; echo alive"


@pytest.mark.heavy
@pytest.mark.parametrize(
    "settings", [{"pids_max": 40}, {"pids_max": 120, "memory": 24 << 20}, {"memory": 16 << 20}], ids=str
)
def test_a_fork_bomb_leaves_a_usable_machine(guest_root: Path, settings: dict[str, int]) -> None:
    machine = Machine(rootfs=guest_root, **settings)  # type: ignore[arg-type]
    result = machine.run(["/bin/bash", "-c", BOMB], time_limit_s=5)
    assert result.reason == ""
    assert b"fork" in result.stderr
    kernel = machine.kernel
    assert len(kernel.tasks) <= settings.get("pids_max", len(kernel.tasks))
    # SIGKILL to all, and again to whom they had made meanwhile.
    for _ in range(20):
        for task in list(kernel.tasks):
            if task.is_leader and task.group is not kernel.init:
                send_group_signal(kernel, task.group, SigInfo(9, 0x80))
        machine.run_until(lambda machine: not machine.kernel.scheduler.has_waiting)
    assert list(tasks_by_id(kernel)) == [1]
    assert machine.run(["/bin/echo", "usable"], time_limit_s=5).stdout == b"usable\n"
    machine.close()


def test_a_limit_on_tasks() -> None:
    with pytest.raises(ValueError, match="2 tasks"):
        Machine(engine="scripted", rootfs=ROOT, memory=1 << 24, pids_max=1)
    machine = ConductedMachine(pids_max=4)
    parent = machine.process()
    children = [machine.fork(parent) for _ in range(2)]
    assert machine.call(parent, "fork") == -EAGAIN.number
    machine.exit(children[0])
    assert machine.call(parent, "fork") == -EAGAIN.number
    machine.reap(parent)
    machine.fork(parent)
    machine.close()
