"""Checks execve among threads, forks and signals: who goes on, under which id, and what is left of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import pack

import pytest

from procession.abi.errno import ENOENT, ENOEXEC, ENOMEM
from procession.hardware.engines.scripted import SCRATCH_ADDRESS, SCRATCH_BYTES
from procession.hardware.registers import RIP, RSP
from procession.kernel.rlimit import RLIMIT_NPROC, RLIMIT_SIGPENDING
from procession.kernel.task import Task
from procession.mm.vma import PROT_READ, PROT_WRITE, VirtualMemoryArea
from tests.kernel.conducted_machine import (
    ENDED,
    HANDLES,
    RESULTS,
    SLEEPS,
    STOPPED,
    ConductedMachine,
    Outcome,
    conducted_machines,
)
from tests.kernel.process_ids import tasks_by_id
from tests.kernel.tiny_program import ENTRY, tiny_program

SIGKILL, SIGUSR1, SIGSEGV, SIGTERM, SIGCHLD, SIGCONT, SIGSTOP = 9, 10, 11, 15, 17, 18, 19
SIGRT = 40
WALL = 0x40000000
CLONE_VM_THREAD = 0x10000 | 0x800 | 0x400 | 0x200 | 0x100


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[ConductedMachine]:
    program = tmp_path / "program"
    program.write_bytes(tiny_program())
    (tmp_path / "large").write_bytes(tiny_program(memory_size=1 << 40))
    (tmp_path / "text").write_bytes(b"no program\n")
    (tmp_path / "lost").write_bytes(tiny_program(interpreter=b"/nowhere"))
    for file in tmp_path.iterdir():
        file.chmod(0o755)
    yield from conducted_machines(rootfs=tmp_path)


@pytest.fixture
def parent(machine: ConductedMachine) -> Task:
    return machine.process()


@pytest.fixture
def child(machine: ConductedMachine, parent: Task) -> Task:
    return machine.fork(parent)


def execute(machine: ConductedMachine, task: Task, path: bytes = b"/program", count: int = 1) -> Outcome:
    """execve(2) with `count` arguments."""
    argument = SCRATCH_ADDRESS + 0x3000
    task.mm.write(argument, b"program\0")
    vector = argument + 16
    task.mm.write(vector, pack(f"<{count + 1}Q", *[argument] * count, 0))
    return machine.call(task, "execve", path + b"\0", vector, 0)


def has_begun(machine: ConductedMachine, task: Task) -> bool:
    """Whether it is at the new program's first instruction."""
    return machine.register(task, RIP) == ENTRY and task.command_name == b"program"


def map_scratch(task: Task) -> None:
    """Give a new program memory for the arguments of its calls."""
    task.mm.map(VirtualMemoryArea(SCRATCH_ADDRESS, SCRATCH_ADDRESS + SCRATCH_BYTES, PROT_READ | PROT_WRITE))


class TestProgram:
    def test_begins(self, machine: ConductedMachine, parent: Task) -> None:
        tid = parent.tid
        assert execute(machine, parent) == 0
        assert has_begun(machine, parent)
        stack = machine.register(parent, RSP)
        assert stack % 16 == 0
        count, argument, end, no_environment = machine.numbers(parent, "QQQQ", stack)
        assert (count, end, no_environment) == (1, 0, 0)
        assert parent.mm.read(argument, 8) == b"program\0"
        assert parent.mm.read(ENTRY, 2) == b"\x0f\x05"
        machine.kernel.registers_of(parent).general[RIP] = 0x40_0002
        machine.kernel.registers_changed(parent)
        assert machine.call(parent, "getpid") == tid

    @pytest.mark.parametrize(
        ("path", "error"), [(b"/nothing", ENOENT), (b"/text", ENOEXEC), (b"/lost", ENOENT)]
    )
    def test_fails_without_trace(
        self, machine: ConductedMachine, parent: Task, path: bytes, error: type[ENOENT]
    ) -> None:
        thread = machine.thread(parent)
        machine.handle(parent, SIGUSR1)
        machine.expect(parent, "fcntl", 0, 2, 1)
        files = machine.kernel.vfs.accounts.file_count
        frames = machine.kernel.memory.used_frames
        assert execute(machine, parent, path) == -error.number
        assert machine.kernel.vfs.accounts.file_count == files
        assert machine.kernel.memory.used_frames <= frames + 2
        assert parent.group.threads == [parent, thread]
        assert parent.group.handlers.actions[SIGUSR1].handler
        assert parent.files.descriptors() == [0, 1, 2]
        assert machine.call(thread, "gettid") == thread.tid

    def test_past_the_point_of_no_return_is_fatal(
        self, machine: ConductedMachine, parent: Task, child: Task
    ) -> None:
        machine.expect(child, "setrlimit", 9, pack("<QQ", 1 << 30, 1 << 30))
        assert execute(machine, child, b"/large") == ENDED
        assert machine.reap(parent) == (child.tid, SIGSEGV)

    def test_no_memory_for_the_strings_is_an_errno(self, machine: ConductedMachine, parent: Task) -> None:
        argument = SCRATCH_ADDRESS + 0x3000
        parent.mm.write(argument, b"program\0".rjust(4000, b"."))
        parent.mm.write(argument + 4000, pack("<9Q", *[argument] * 8, 0))
        largest = machine.process()
        for address in range(SCRATCH_ADDRESS, SCRATCH_ADDRESS + SCRATCH_BYTES, 4096):
            largest.mm.write(address, b"x")
        memory = machine.kernel.memory
        taken = [memory.allocate() for _ in range(memory.free_frames - 4)]
        assert machine.call(parent, "execve", b"/program\0", argument + 4000, 0) == -ENOMEM.number
        assert machine.outcome(largest) == ENDED
        for frame in taken:
            memory.release(frame)
        assert execute(machine, parent) == 0


class TestThreads:
    def test_the_others_end(self, machine: ConductedMachine, parent: Task) -> None:
        threads = [machine.thread(parent) for _ in range(3)]
        assert machine.call(threads[0], "pause") == SLEEPS
        assert execute(machine, parent) == 0
        assert has_begun(machine, parent)
        assert [thread.state.name for thread in threads] == ["DEAD"] * 3
        assert parent.group.threads == [parent]
        assert parent.mm.reference_count == 1

    def test_a_thread_takes_its_leaders_place(
        self, machine: ConductedMachine, parent: Task, child: Task
    ) -> None:
        thread, other = machine.thread(child), machine.thread(child)
        tid = thread.tid
        sibling = machine.fork(parent)
        assert execute(machine, thread) == 0
        assert has_begun(machine, thread)
        assert (thread.tid, thread.tgid) == (child.tgid, child.tgid)
        assert thread.is_leader
        assert child.state.name == other.state.name == "DEAD"
        assert tasks_by_id(machine.kernel).keys() == {1, parent.tid, thread.tid, sibling.tid}
        assert tid not in tasks_by_id(machine.kernel)
        assert list(parent.children) == [thread, sibling]
        assert parent.credentials.count_of(RLIMIT_NPROC) == 4
        map_scratch(thread)
        machine.kernel.registers_of(thread).general[RIP] = 0x40_0002
        machine.kernel.registers_changed(thread)
        machine.exit(thread, 6)
        assert machine.reap(parent) == (thread.tid, 6 << 8)

    def test_a_leader_that_has_ended_is_replaced_too(
        self, machine: ConductedMachine, parent: Task, child: Task
    ) -> None:
        thread = machine.thread(child)
        machine.call(child, "exit", 0)
        assert machine.zombies == [child.tid]
        assert execute(machine, thread) == 0
        assert thread.tid == child.tid
        assert machine.zombies == []
        assert machine.wait(parent, -1, 1) == 0

    def test_children_stay_children(self, machine: ConductedMachine, parent: Task) -> None:
        thread = machine.thread(parent)
        one, two = machine.fork(parent), machine.fork(thread)
        assert execute(machine, thread) == 0
        assert set(thread.children) == {one, two}
        assert one.parent is two.parent is thread
        assert machine.call(one, "getppid") == thread.tid == parent.tid

    def test_queued_signals_of_the_old_leader_are_uncounted(
        self, machine: ConductedMachine, parent: Task
    ) -> None:
        thread = machine.thread(parent)
        machine.expect(parent, "rt_sigprocmask", 0, pack("<Q", 1 << (SIGRT - 1)), 0, 8)
        machine.expect(
            parent, "rt_tgsigqueueinfo", parent.tgid, parent.tid, SIGRT, pack("<3i116x", SIGRT, 0, -1)
        )
        machine.expect(parent, "tgkill", parent.tgid, parent.tid, SIGRT)
        assert parent.credentials.count_of(RLIMIT_SIGPENDING) == 2
        assert execute(machine, thread) == 0
        assert parent.credentials.count_of(RLIMIT_SIGPENDING) == 0

    def test_two_at_once(self, machine: ConductedMachine, parent: Task) -> None:
        thread = machine.thread(parent)
        # A thread that sleeps in vfork ends only when it's killed there.
        assert machine.call(thread, "vfork") == SLEEPS
        (child,) = thread.children
        assert execute(machine, parent) == 0
        assert thread.state.name == "DEAD"
        assert child.parent is parent
        machine.exit(child)
        assert child.state.name == "ZOMBIE"

    def test_killed_while_it_waits_for_them(self, machine: ConductedMachine, parent: Task) -> None:
        frames = machine.kernel.memory.used_frames
        files = machine.kernel.vfs.accounts.file_count
        child = machine.fork(parent)
        thread = machine.thread(child)
        # A thread that can't end for now: nothing here keeps one from it, so it's held back.
        kernel = machine.kernel
        kernel.scheduler.processors[0].remove(thread)
        settle = machine._has_to_go_on
        machine._has_to_go_on = lambda task: task is not thread and settle(task)  # type: ignore[method-assign]
        assert execute(machine, child) == SLEEPS
        machine.expect(parent, "kill", child.tgid, SIGKILL)
        assert machine.outcome(child) == ENDED
        machine._has_to_go_on = settle  # type: ignore[method-assign]
        kernel.scheduler.processors[0].add(thread)
        machine.settle()
        assert machine.reap(parent) == (child.tid, SIGKILL)
        assert kernel.vfs.accounts.file_count == files
        # The file's page and the parent's stack, which isn't shared any more.
        assert kernel.memory.used_frames <= frames + 3


class TestState:
    def test_vfork_ends(self, machine: ConductedMachine, parent: Task) -> None:
        parent.mm.write(RESULTS, b"mine")
        assert machine.call(parent, "vfork") == SLEEPS
        (child,) = parent.children
        assert execute(machine, child) == 0
        assert machine.outcome(parent) == child.tid
        assert child.mm is not parent.mm
        assert parent.mm.reference_count == 1
        assert parent.mm.read(RESULTS, 4) == b"mine"

    def test_a_failed_exec_keeps_the_parent_waiting(self, machine: ConductedMachine, parent: Task) -> None:
        assert machine.call(parent, "vfork") == SLEEPS
        (child,) = parent.children
        assert execute(machine, child, b"/nothing") == -ENOENT.number
        assert machine.outcome(parent) == SLEEPS
        machine.exit(child, 127)
        assert machine.outcome(parent) == child.tid

    def test_signals(self, machine: ConductedMachine, parent: Task) -> None:
        machine.handle(parent, SIGUSR1)
        machine.ignore(parent, SIGTERM)
        machine.expect(parent, "rt_sigprocmask", 0, pack("<Q", 1 << (SIGRT - 1)), 0, 8)
        machine.expect(parent, "kill", parent.tid, SIGRT)
        machine.expect(parent, "alarm", 1)
        assert execute(machine, parent) == 0
        actions = parent.group.handlers.actions
        assert (actions[SIGUSR1].handler, actions[SIGTERM].handler) == (0, 1)
        assert parent.blocked == 1 << (SIGRT - 1)
        assert parent.group.shared_pending.holds(SIGRT)
        machine.advance(2_000_000_000)
        assert machine.outcome(parent) == ENDED

    def test_handlers_shared_with_another_process_stay_there(
        self, machine: ConductedMachine, parent: Task
    ) -> None:
        machine.handle(parent, SIGUSR1)
        child = machine.task(machine.expect(parent, "clone", 0x100 | 0x800 | 0x400 | SIGCHLD))
        assert execute(machine, child) == 0
        assert child.group.handlers.actions[SIGUSR1].handler == 0
        assert child.files is not parent.files
        machine.expect(machine.process(), "kill", parent.tid, SIGUSR1)
        assert machine.outcome(parent) == HANDLES

    def test_the_exit_signal_becomes_sigchld(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.task(machine.expect(parent, "clone", SIGUSR1))
        assert machine.wait(parent) == -10
        assert execute(machine, child) == 0
        assert machine.wait(parent, -1, 1) == 0

    def test_stopped_and_continued_on_the_way(self, machine: ConductedMachine, parent: Task) -> None:
        other = machine.process()
        machine.expect(other, "kill", parent.tid, SIGSTOP)
        assert machine.outcome(parent) == STOPPED
        machine.expect(other, "kill", parent.tid, SIGCONT)
        assert execute(machine, parent) == 0

    def test_old_memory_is_given_back(self, machine: ConductedMachine, parent: Task, child: Task) -> None:
        frames = machine.kernel.memory.used_frames
        for address in range(SCRATCH_ADDRESS, SCRATCH_ADDRESS + SCRATCH_BYTES, 4096):
            child.mm.write(address, b"x")
        assert machine.kernel.memory.used_frames > frames + 10
        old = child.mm
        assert execute(machine, child) == 0
        assert old.reference_count == 0
        assert old not in machine.kernel.memory.address_spaces
        # Root, two tables above two leaves, a page of stack and one of the file.
        assert machine.kernel.memory.used_frames <= frames + 8
