"""Checks that fork, clone and exec give an errno and leave nothing behind, whichever allocation fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from struct import pack

import pytest

from procession.abi.errno import EAGAIN, ENFILE, ENOMEM
from procession.hardware.engines.scripted import SCRATCH_ADDRESS
from procession.hardware.fault_injection import FaultInjector
from procession.hardware.kernel_memory import KIND_NAMES
from procession.kernel.rlimit import RLIMIT_NPROC
from procession.kernel.task import Task
from procession.kernel.task_state import TaskState
from procession.mm.page_cache import PageCache
from tests.kernel.conducted_machine import ENDED, SLEEPS, STACK_TOP, ConductedMachine, Outcome
from tests.kernel.process_ids import groups_by_id, sessions_by_id, tasks_by_id
from tests.kernel.tiny_program import tiny_program
from tests.properties.page_walk import census

SIGSEGV, SIGKILL, SIGCHLD = 11, 9, 17
CLONE_THREAD_FLAGS = 0x100 | 0x200 | 0x400 | 0x800 | 0x10000
AT_EMPTY_PATH = 0x1000
CLONE_VM, CLONE_VFORK, CLONE_PIDFD, CLONE_CLEAR_SIGHAND = 0x100, 0x4000, 0x1000, 0x1_0000_0000
WORD = SCRATCH_ADDRESS + 0x2000
ERRORS = {"frame": ENOMEM, "object": ENOMEM, "pid": EAGAIN, "file": ENFILE}
MOST_ALLOCATIONS = 60
ALL_NAMESPACES = 0x6E02_0000
"""Each CLONE_NEW* but of user and time namespaces."""

Attempt = Callable[[ConductedMachine, Task], Outcome]


class Holdings:
    """What a machine holds: whatever a failed call may not change."""

    def __init__(self, machine: ConductedMachine) -> None:
        kernel = machine.kernel
        tasks = [task for task in kernel.tasks if task.state is not TaskState.ZOMBIE]
        files = {id(file): file for task in tasks for _, file in task.files}
        self.caches: dict[PageCache, None] = {}
        for space in kernel.memory.address_spaces:
            self.caches.update((area.pages, None) for area in space.areas if area.pages)  # type: ignore[attr-defined]
        self.tasks = {tid: (task.state, task.group.pid) for tid, task in tasks_by_id(kernel).items()}
        self.children = {task.tid: [child.tid for child in task.children] for task in tasks}
        self.groups = {number: len(group.members) for number, group in groups_by_id(kernel).items()}
        self.sessions = list(sessions_by_id(kernel))
        self.spaces = len(kernel.memory.address_spaces)
        self.files = kernel.vfs.accounts.file_count
        self.references = [file.reference_count for file in files.values()]
        self.descriptors = {task.tid: task.files.descriptors() for task in tasks}
        self.tables = {task.tid: (task.files.reference_count, task.fs.reference_count) for task in tasks}
        self.handlers = {task.tid: task.group.handlers.reference_count for task in tasks}
        self.memory_users = {task.tid: task.mm.reference_count for task in tasks}
        self.areas = {
            task.tid: [(area.start, area.end, area.protection) for area in task.mm.areas] for task in tasks
        }
        mounts = {id(task.fs.root.mount): task.fs.root.mount for task in tasks}
        self.mount_users = [mount.user_count for mount in mounts.values()]
        self.processes = machine.init.credentials.count_of(RLIMIT_NPROC)
        self.timers = kernel.timers.armed_count
        self.namespaces = {
            number: namespace.reference_count for number, namespace in kernel.vfs.namespaces.live.items()
        }
        self.ids = list(kernel.init_pid_namespace.by_number)
        for kind, size in zip(KIND_NAMES, kernel.memory.account.kinds, strict=True):
            setattr(self, f"{kind} bytes", size)
        self.runnable = kernel.scheduler.processors[0].count
        self.next_id = kernel.init_pid_namespace.last

    def differences(self, other: Holdings) -> dict[str, tuple[object, object]]:
        """What has changed, but for page caches."""
        return {
            name: (value, getattr(other, name))
            for name, value in vars(self).items()
            if name != "caches" and value != getattr(other, name)
        }


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[ConductedMachine]:
    (tmp_path / "program").write_bytes(tiny_program(memory_size=0x3000))
    (tmp_path / "linked").write_bytes(tiny_program(interpreter=b"/program"))
    (tmp_path / "script").write_bytes(b"#!/program argument\n")
    for file in tmp_path.iterdir():
        file.chmod(0o755)
    machine = ConductedMachine(rootfs=tmp_path, fault_injector=FaultInjector())
    yield machine
    machine.close()


@pytest.fixture
def parent(machine: ConductedMachine) -> Task:
    """A process with memory in several tables, open files, and an area that a child doesn't get."""
    task = machine.process()
    for address in (0x1000_0000, 0x5_0000_0000, 0x7F00_0000_0000):
        machine.expect(task, "mmap", address, 0x4000, 3, 0x32, -1, 0)
        task.mm.write(address, b"there")
    machine.expect(task, "madvise", 0x1000_1000, 0x1000, 10)
    # The mount that all pidfds belong to is made with the first of them, and stays.
    pidfd = machine.call(task, "pidfd_open", task.tid, 0)
    assert isinstance(pidfd, int)
    machine.expect(task, "close", pidfd)
    machine.expect(task, "openat", -100, b"/program\0", 0)
    return task


def injector(machine: ConductedMachine) -> FaultInjector:
    found = machine.machine.fault_injector
    assert found is not None
    return found


def execute(path: bytes) -> Attempt:
    """execve(2) with two arguments."""

    def attempt(machine: ConductedMachine, task: Task) -> Outcome:
        task.mm.write(WORD, path + b"\0")
        task.mm.write(WORD + 64, pack("<3Q", WORD, WORD, 0))
        return machine.call(task, "execve", WORD, WORD + 64, 0)

    return attempt


def execute_descriptor(machine: ConductedMachine, task: Task) -> Outcome:
    """execveat(2) of an open file, without a path."""
    task.mm.write(WORD, b"argument\0")
    task.mm.write(WORD + 64, pack("<3Q", WORD, WORD, 0))
    fd = max(task.files.descriptors())
    return machine.call(task, "execveat", fd, WORD + 8, WORD + 64, 0, AT_EMPTY_PATH)


EXECS: dict[str, Attempt] = {
    "program": execute(b"/program"),
    "linked": execute(b"/linked"),
    "script": execute(b"/script"),
    "descriptor": execute_descriptor,
}


def with_pidfd(machine: ConductedMachine, task: Task) -> Outcome:
    return machine.call(task, "clone", CLONE_PIDFD | SIGCHLD, 0, WORD)


def new_thread(machine: ConductedMachine, task: Task) -> Outcome:
    return machine.call(task, "clone", CLONE_THREAD_FLAGS, STACK_TOP)


def clone3(flags: int, *, set_tid: int = 0) -> Attempt:
    """clone3(2) with a pidfd, and the child's id chosen if `set_tid` is one."""

    def attempt(machine: ConductedMachine, task: Task) -> Outcome:
        task.mm.write(WORD, pack("<Q", set_tid))
        chosen = (WORD, 1) if set_tid else (0, 0)
        arguments = pack("<11Q", flags, WORD + 8, 0, 0, SIGCHLD, 0, 0, 0, *chosen, 0)
        task.mm.write(WORD + 64, arguments)
        return machine.call(task, "clone3", WORD + 64, len(arguments))

    return attempt


FORKS: dict[str, Attempt] = {
    "clone3": clone3(CLONE_PIDFD),
    "clone3 with a chosen id": clone3(CLONE_PIDFD, set_tid=5000),
    "posix_spawn": clone3(CLONE_VM | CLONE_VFORK | CLONE_CLEAR_SIGHAND | CLONE_PIDFD),
    "fork": lambda machine, task: machine.call(task, "fork"),
    "vfork": lambda machine, task: machine.call(task, "vfork"),
    "thread": new_thread,
    "pidfd": with_pidfd,
    "namespaces": lambda machine, task: machine.call(task, "clone", ALL_NAMESPACES | SIGCHLD),
    "ids": lambda machine, task: machine.call(task, "clone", 0x1100000 | SIGCHLD, 0, WORD, WORD),
}


SHARES_MEMORY = {"thread", "vfork", "posix_spawn"}
TAKES_PIDFD = {"pidfd", "clone3", "clone3 with a chosen id", "posix_spawn"}
STORES_IDS = {"ids", *TAKES_PIDFD} - SHARES_MEMORY


@pytest.mark.parametrize("way", FORKS)
def test_forks_fail_without_trace(machine: ConductedMachine, parent: Task, way: str) -> None:
    faults = injector(machine)
    assert machine.kernel.memory.used_frames > 0
    parent.mm.write(WORD, bytes(8))
    failures: list[str] = []
    for number in range(1, MOST_ALLOCATIONS):
        before = Holdings(machine)
        frames = machine.kernel.memory.used_frames
        faults.arm(number)
        outcome = FORKS[way](machine, parent)
        failed = faults.failed
        faults.arm(0)
        if not failed:
            break
        if isinstance(outcome, int) and outcome > 0:
            # Storing the ids may fail: the child is there all the same, as after a bad address.
            assert way in STORES_IDS
            machine.exit(machine.task(outcome))
            machine.reap(parent, outcome)
            for fd in set(parent.files.descriptors()) - set(before.descriptors[parent.tid]):
                machine.expect(parent, "close", fd)
            continue
        failures.append(failed)
        assert outcome == -ERRORS[failed].number
        assert before.differences(Holdings(machine)) == {}
        # A table that is the parent's own by now.
        assert machine.kernel.memory.used_frames <= frames + 2
        assert census(machine.kernel.memory, before.caches) == []
        assert parent.mm.read(0x5_0000_0000, 5) == b"there"
    else:
        pytest.fail("it never came to pass")
    assert ("pid" in failures) == (way != "clone3 with a chosen id")
    assert ("frame" in failures) == (way not in SHARES_MEMORY)
    assert ("file" in failures) == (way in TAKES_PIDFD)
    assert "object" in failures
    assert outcome == SLEEPS or (isinstance(outcome, int) and outcome > 0)


@pytest.mark.parametrize("way", EXECS)
@pytest.mark.parametrize("has_threads", [False, True])
def test_execs_fail_cleanly(machine: ConductedMachine, parent: Task, way: str, has_threads: bool) -> None:
    faults = injector(machine)
    errors: list[int] = []
    deaths = 0
    program = machine.fork(parent)
    assert EXECS[way](machine, program) == 0  # the file's pages are in memory from now on
    machine.expect(parent, "kill", program.tid, SIGKILL)
    machine.reap(parent)
    for number in range(1, MOST_ALLOCATIONS):
        before = Holdings(machine)
        frames = machine.kernel.memory.used_frames
        child = machine.fork(parent)
        threads = [machine.thread(child) for _ in range(2)] if has_threads else []
        child.mm.write(WORD, bytes(128))
        forked = Holdings(machine)
        faults.arm(number)
        outcome = EXECS[way](machine, child)
        failed = faults.failed
        faults.arm(0)
        if outcome == ENDED:
            deaths += 1
            assert failed in {"frame", "object"}
        elif failed:
            assert isinstance(outcome, int)
            assert outcome == -ERRORS[failed].number
            errors.append(outcome)
            assert forked.differences(Holdings(machine)) == {}
            assert all(thread.state is TaskState.RUNNABLE for thread in threads)
        if outcome != ENDED:
            machine.expect(parent, "kill", child.tid, SIGKILL)
        status = machine.reap(parent)[1]
        assert status == (SIGSEGV if outcome == ENDED else SIGKILL)
        after = before.differences(Holdings(machine))
        after.pop("next_id", None)
        assert after == {}
        assert machine.kernel.memory.used_frames <= frames + 2
        if not failed:
            break
    else:
        pytest.fail("it never came to pass")
    assert -ENFILE.number in errors
    assert -ENOMEM.number in errors
    assert deaths > 0


@pytest.mark.parametrize("way", EXECS)
def test_spawning_fails_cleanly(machine: ConductedMachine, parent: Task, way: str) -> None:
    """A child that borrows its parent's memory for exec gives it back as it was, whatever fails."""
    faults = injector(machine)
    parent.mm.write(WORD, bytes(128))
    program = machine.fork(parent)
    assert EXECS[way](machine, program) == 0
    machine.expect(parent, "kill", program.tid, SIGKILL)
    machine.reap(parent)
    outcomes: list[Outcome] = []
    for number in range(1, MOST_ALLOCATIONS):
        before = Holdings(machine)
        frames = machine.kernel.memory.used_frames
        assert machine.call(parent, "vfork") == SLEEPS
        (child,) = parent.children
        faults.arm(number)
        outcome = EXECS[way](machine, child)
        failed = faults.failed
        faults.arm(0)
        outcomes.append(outcome)
        if isinstance(outcome, int) and outcome < 0:
            assert child.mm is parent.mm
            assert machine.outcome(parent) == SLEEPS
            assert machine.call(child, "exit_group", 127) == ENDED
        elif outcome != ENDED:
            assert child.mm is not parent.mm
        assert machine.outcome(parent) == child.tid
        if outcome == 0:
            machine.expect(parent, "kill", child.tid, SIGKILL)
        assert machine.reap(parent)[0] == child.tid
        after = before.differences(Holdings(machine))
        after.pop("next_id", None)
        assert after == {}
        assert parent.mm.read(0x5_0000_0000, 5) == b"there"
        assert machine.kernel.memory.used_frames <= frames + 2
        if not failed:
            break
    else:
        pytest.fail("it never came to pass")
    assert -ENOMEM.number in outcomes
    assert ENDED in outcomes
    assert outcomes[-1] == 0
