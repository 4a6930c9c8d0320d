"""Tests of driving a machine in steps: events, stops, processes, and that none of it changes a run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from procession import Machine
from procession.abi.errno import EISDIR, ENOENT
from procession.abi.wait_options import CORE_DUMPED
from procession.inspection.event import (
    Cloned,
    Event,
    Executed,
    Exited,
    Faulted,
    Reaped,
    SignalDelivered,
    SignalGenerated,
    StateChanged,
    Switched,
    SystemCallEntered,
    SystemCallReturned,
    Woken,
)
from procession.inspection.stop import EVENTS
from procession.kernel.task_state import TaskState
from tests.of_a_kind import first_of

SCRIPT = (
    "trap 'echo got' USR1; (exit 3) & wait $!; echo $?; kill -USR1 $$; sleep 1 | cat; ls /nosuch; echo end"
)
COMMAND = ["bash", "-c", SCRIPT]
OUTPUT = b"3\ngot\nend\n"


def make_started(root: Path, command: list[str] | None = None, *, cpus: int = 1) -> Machine:
    """A machine whose program hasn't run yet."""
    machine = Machine(seed=3, rootfs=root, memory=64 << 20, cpus=cpus)
    machine.start(command or COMMAND)
    machine.feed_input(b"", is_last=True)
    return machine


def settled_hash(machine: Machine) -> str:
    """The state when nothing can happen any more, and all that was written is taken.

    Runs end at different places after their command.
    """
    while machine.step():
        continue
    assert machine.take_output().stdout == OUTPUT
    return machine.state_hash()


@pytest.mark.parametrize("cpus", first_of(1, [3, 1]))
def test_watching_and_stopping_change_nothing(guest_root: Path, cpus: int) -> None:
    plain = make_started(guest_root, cpus=cpus)
    expected = settled_hash(plain)
    kinds: list[tuple[type[Event], ...]] = [(), (SystemCallReturned, Faulted), (Switched,), (Woken,)]
    for kind in kinds:
        watched = make_started(guest_root, cpus=cpus)
        assert sum(1 for _ in watched.events(*kind)) >= 4
        assert settled_hash(watched) == expected, kind


def test_the_events_of_a_run_are_whole(guest_root: Path) -> None:
    machine = make_started(guest_root)
    events = list(machine.events())
    times = [event.time_ns for event in events]
    assert times == sorted(times)
    counts = Counter(type(event) for event in events)
    # The command itself was there before.
    assert counts[Cloned] == counts[Exited] - 1 == 4
    assert {type(event) for event in events} >= {Executed, Reaped, SignalDelivered, SignalGenerated}
    entered = [event for event in events if isinstance(event, SystemCallEntered)]
    returned = [event for event in events if isinstance(event, SystemCallReturned)]
    # exit_group never returns.
    assert len(entered) >= len(returned) > 200
    failed = [event for event in returned if event.error == "ENOENT" and event.name == "statx"]
    assert [event.result for event in failed] == [-2] * len(failed)
    delivered = [e for e in events if isinstance(e, SignalDelivered) and e.signal == signal.SIGUSR1]
    assert [(event.pid, event.action) for event in delivered] == [(2, "handler")]
    sent = [e for e in events if isinstance(e, SignalGenerated) and e.signal == signal.SIGUSR1]
    assert [(event.sender_tid, event.outcome, event.is_for_process) for event in sent] == [
        (2, "queued", True)
    ]
    statuses = {event.tid: event.status for event in events if isinstance(event, Exited)}
    assert statuses[3] == 3 << 8
    assert all(not status & (0x7F | CORE_DUMPED) for status in statuses.values())


def test_states_follow_each_other(guest_root: Path) -> None:
    states: dict[int, TaskState] = {}
    for event in make_started(guest_root).events(StateChanged):
        assert isinstance(event, StateChanged)
        assert states.get(event.tid, event.before) is event.before
        states[event.tid] = event.after
    assert {states[tid] for tid in (2, 3, 4, 5, 6)} == {TaskState.DEAD}


def test_who_woke_whom_and_why(guest_root: Path) -> None:
    machine = make_started(guest_root, ["bash", "-c", "sleep 1 & sleep 0.5; kill $!; wait"])
    woken = [event for event in machine.events(Woken) if isinstance(event, Woken)]
    assert {event.cause for event in woken} == {"queue", "signal", "timer"}
    by_signal = [event for event in woken if event.cause == "signal"]
    assert [(event.waker_tid, event.call) for event in by_signal] == [(2, "clock_nanosleep")]
    machine = make_started(guest_root, ["sleep", "1"])
    slept = [event for event in machine.events(Woken) if isinstance(event, Woken) and event.tid == 2]
    assert [(event.cause, event.waker_tid) for event in slept] == [("timer", 0)]


def test_stops_by_name(guest_root: Path) -> None:
    machine = make_started(guest_root)
    fork = machine.stop_at("fork")
    event = machine.run_to_stop()
    assert isinstance(event, Cloned)
    assert (event.tid, event.maker_tid, event.is_thread) == (3, 2, False)
    assert repr(fork) == "<Breakpoint at fork, 1 hits>"
    # The machine stands still there.
    assert [process.pid for process in machine.processes()] == [1, 2, 3]
    machine.remove_stop(fork)
    machine.stop_at("SIGUSR1")
    machine.stop_at("ENOENT", tid=2)
    machine.stop_at(lambda event: isinstance(event, Exited) and event.status == 3 << 8)
    stops = []
    while (event := machine.run_to_stop()) is not None:
        stops.append(type(event))
    assert stops[:2] == [Exited, SignalDelivered]
    assert machine.take_output().stdout == OUTPUT


def test_what_is_no_stop_is_told(guest_root: Path) -> None:
    machine = make_started(guest_root)
    with pytest.raises(ValueError, match=r"'frok' is no event.*did you mean 'fork'"):
        machine.stop_at("frok")
    with pytest.raises(TypeError, match="a class of events"):
        machine.stop_at(str)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not at 7"):
        machine.stop_at(7)  # type: ignore[arg-type]
    assert machine.breakpoints == []
    for name in (*EVENTS, "openat", "SIGCHLD", "EINTR", "thread"):
        machine.stop_at(name)


def test_steps_by_call_by_switch_and_by_event(guest_root: Path) -> None:
    machine = make_started(guest_root)
    first = machine.step_event()
    assert first is not None
    call = machine.step_system_call()
    assert call is not None
    assert call.tid in (1, 2)
    own = machine.step_system_call(2)
    assert own is not None
    assert own.tid == 2
    switch = machine.step_switch()
    assert switch is not None
    running = machine.kernel.current
    assert running is not None
    assert running.tid == switch.tid != switch.previous_tid
    while machine.step_switch() is not None:
        continue
    assert machine.step_event() is None
    assert machine.take_output().stdout == OUTPUT


def test_output_is_taken_while_the_program_runs(guest_root: Path) -> None:
    machine = make_started(
        guest_root, ["sh", "-c", "echo a; sleep 9; echo b >&2; sleep 9; seq 500000 | tail -1"]
    )
    machine.run_until(lambda machine: bool(machine.output.chunks))
    assert machine.take_output() == (b"a\n", b"")
    machine.stop_at("exit", tid=2)
    machine.run_to_stop()
    assert machine.take_output() == (b"500000\n", b"b\n")
    assert machine.take_output() == (b"", b"")


def test_processes_and_their_tree(guest_root: Path) -> None:
    machine = make_started(guest_root, ["bash", "-c", "sleep 5 & (exit 7) & exec sleep 6"])
    machine.stop_at("exit", tid=4)
    assert machine.run_to_stop() is not None
    machine.run_until(
        lambda machine: all(p.name != "bash" or p.exit_status is not None for p in machine.processes())
    )
    init, command, sleeper, zombie = machine.processes()
    assert (init.pid, command.parent_pid, sleeper.parent_pid, zombie.parent_pid) == (1, 1, 2, 2)
    assert (command.name, command.arguments, command.tids) == ("sleep", ("sleep", "6"), (2,))
    assert sleeper.waits_for.startswith("clock_nanosleep: ")
    assert (zombie.state, zombie.exit_status, zombie.arguments) == (TaskState.ZOMBIE, 7 << 8, ())
    assert command.resident_bytes > 4096
    lines = str(machine.tree()).splitlines()
    assert lines[0].startswith("1 init")
    assert lines[1].startswith("`- 2 sleep")
    assert lines[2].startswith("   |- 3 sleep")
    assert lines[3] == "   `- 4 bash (ZOMBIE)"
    assert machine.tree(2).children[1].process == zombie
    table = machine.process_table().splitlines()
    assert len(table) == 5
    assert table[4].endswith("bash  waits for process 2 to reap it")
    with pytest.raises(KeyError):
        machine.tree(99)


def test_a_file_is_written_before_the_program_reads_it(guest_root: Path) -> None:
    machine = Machine(rootfs=guest_root, memory=64 << 20)
    data = os.urandom(100_000)
    machine.write_file("/tmp/in", data)
    machine.write_file("/etc/hostname", b"written\n")
    machine.write_file("/tmp/script", b"#!/bin/sh\ncp /tmp/in /tmp/out; cat /etc/hostname", mode=0o755)
    assert machine.run(["/tmp/script"]).stdout == b"written\n"
    assert machine.read_file("/tmp/out") == data
    with pytest.raises(ENOENT):
        machine.write_file("/no/such", b"")
    with pytest.raises(EISDIR):
        machine.write_file("/tmp", b"")


def test_a_command_that_is_a_string_is_told(guest_root: Path) -> None:
    machine = Machine(rootfs=guest_root, memory=64 << 20)
    with pytest.raises(
        TypeError, match=r"a list of strings, such as \['echo', 'hi there'\], not 'echo \"hi there\"'"
    ):
        machine.run('echo "hi there"')
    assert machine.run(["echo", "hi"]).stdout == b"hi\n"


def test_a_time_limit_that_is_no_time_is_told(guest_root: Path) -> None:
    for limit in (float("nan"), float("inf"), -1.0):
        machine = Machine(rootfs=guest_root, memory=64 << 20)
        with pytest.raises(ValueError, match="a time limit is a number of seconds"):
            machine.run(["true"], time_limit_s=limit)


def test_a_sleeper_names_its_timer(guest_root: Path) -> None:
    script = "sleep 1.5 & exec timeout 7 sleep 100"
    machine = make_started(guest_root, ["bash", "-c", script])
    machine.stop_at(
        lambda event: (
            isinstance(event, StateChanged)
            and (event.after, event.call) == (TaskState.INTERRUPTIBLE, "clock_nanosleep")
        )
    )
    for _ in range(2):
        assert machine.run_to_stop() is not None
    waits = {wait.tid: wait.what for wait in machine.ipc_graph().waits}
    assert re.fullmatch(r"a timer, due in 1\.[0-9]+ s", waits[3])
    assert re.fullmatch(r"a timer, due in (99|100)(\.[0-9]+)? s", waits[4])


def test_what_is_printed_can_be_read(guest_root: Path) -> None:
    machine = make_started(guest_root, ["bash", "-c", "(exit 3) & sleep 1; kill -9 $$"])
    assert re.fullmatch(r"<Machine, seed 3, 2 tasks, at [0-9.e-]+ s>", repr(machine))
    machine.stop_at("exit", tid=3)
    assert machine.run_to_stop() is not None
    tasks = machine.kernel.tasks
    child = next(task for task in tasks if task.tid == 3)
    assert repr(child) == "<Task 3 bash ZOMBIE, exited with 3>"
    assert repr(child.group) == f"<ThreadGroup 3, 1 thread, leader {child!r}>"
    machine.stop_at(lambda event: isinstance(event, StateChanged) and event.call == "clock_nanosleep")
    assert machine.run_to_stop() is not None
    sleeper = next(task for task in tasks if task.command_name == b"sleep")
    assert repr(sleeper) == "<Task 4 sleep INTERRUPTIBLE in clock_nanosleep>"
    assert repr(sleeper.frame) == "<CallFrame of clock_nanosleep>"
    assert re.fullmatch(r"<Timer 'wake' due at [0-9]+ ns>", repr(sleeper.sleep_timer))
    assert re.match(r"<Registers rax=0x[0-9a-f]+ .*rip=0x[0-9a-f]+ rflags=0x", repr(sleeper.registers))
    assert re.fullmatch(r"<MemoryDescriptor, [0-9]+ areas, [0-9]+ pages resident>", repr(sleeper.mm))
    areas = [repr(area) for area in sleeper.mm.areas]
    assert re.fullmatch(r"<area 0x[0-9a-f]+-0x[0-9a-f]+ r--p of a file>", areas[0])
    assert any(area.endswith(" rw-p [stack]>") for area in areas)
    assert repr(sleeper.files.file(1)) == "<OutputFile pipe:[3], flags 0o1>"
    command = machine.command
    assert command is not None
    while machine.run_to_stop() is not None:
        continue
    assert re.fullmatch(r"<Task 2 bash (ZOMBIE|DEAD), killed by signal 9>", repr(command))


def test_a_closed_machine_says_so_and_can_be_looked_at(guest_root: Path) -> None:
    machine = make_started(guest_root)
    machine.step()
    before = machine.state_hash()
    machine.close()
    machine.close()
    assert machine.state_hash() == before
    assert machine.processes()
    for use in (machine.step, machine.step_event, machine.step_system_call, lambda: machine.run(["true"])):
        with pytest.raises(ValueError, match="this machine is closed"):
            use()


INTERRUPTED = """
import os, signal, sys, threading, time
from procession import Machine
machine = Machine(rootfs=sys.argv[1], memory=64 << 20)
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    machine.run(["sh", "-c", sys.argv[2]])
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
else:
    print("not interrupted")
print(machine.step(), machine.run(["echo", "goes on"]).stdout)
"""


@pytest.mark.heavy
@pytest.mark.parametrize(
    "loop", first_of(1, ["while read line; do kill -0 $$; done </dev/zero & wait", "while :; do : ; done"])
)
def test_an_interrupt_ends_a_run_in_a_library(guest_root: Path, loop: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(guest_root), loop],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stderr == ""
    assert result.stdout == "interrupted True\nTrue b'goes on\\n'\n"


def test_a_machine_runs_in_another_thread(guest_root: Path) -> None:
    results = []
    thread = threading.Thread(
        target=lambda: results.append(Machine(rootfs=guest_root, memory=64 << 20).run(["echo", "hi"]))
    )
    thread.start()
    thread.join()
    assert results[0].stdout == b"hi\n"
