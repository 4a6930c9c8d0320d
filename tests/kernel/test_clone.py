"""Checks fork, vfork, clone and clone3: what a child gets, what is shared, and what is refused."""

from __future__ import annotations

from struct import pack

import pytest

from procession.abi.errno import EAGAIN, EEXIST, EFAULT, EINVAL, ENOMEM
from procession.hardware.engines.scripted import SCRATCH_ADDRESS
from procession.hardware.registers import RAX, RSP
from procession.kernel.clone import (
    CLONE_CHILD_CLEARTID,
    CLONE_CHILD_SETTID,
    CLONE_CLEAR_SIGHAND,
    CLONE_FILES,
    CLONE_FS,
    CLONE_PARENT,
    CLONE_PARENT_SETTID,
    CLONE_PIDFD,
    CLONE_SETTLS,
    CLONE_SIGHAND,
    CLONE_THREAD,
    CLONE_VFORK,
    CLONE_VM,
)
from procession.kernel.rlimit import RLIMIT_NOFILE, RLIMIT_NPROC
from procession.kernel.task import Task
from procession.kernel.task_state import TaskState
from tests.kernel.conducted_machine import (
    ENDED,
    HANDLES,
    RESULTS,
    SLEEPS,
    STACK_TOP,
    STOPPED,
    ConductedMachine,
)
from tests.kernel.process_ids import tasks_by_id

SIGKILL, SIGUSR1, SIGTERM, SIGCHLD, SIGCONT, SIGSTOP = 9, 10, 15, 17, 18, 19
WALL = 0x40000000
WORD = SCRATCH_ADDRESS + 0x2000


@pytest.fixture
def parent(machine: ConductedMachine) -> Task:
    return machine.process()


def clone3(machine: ConductedMachine, task: Task, **fields: int) -> int | str:
    """clone3(2) with a struct clone_args of 88 bytes."""
    names = "flags pidfd child_tid parent_tid exit_signal stack stack_size tls set_tid set_tid_size cgroup"
    arguments = pack("<11Q", *(fields.get(name, 0) for name in names.split()))
    return machine.call(task, "clone3", arguments, len(arguments))


class TestFork:
    def test_parent_gets_the_id_and_child_zero(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.fork(parent)
        assert child.tid == child.tgid == parent.tid + 1
        assert child.registers.general[RAX] == 0
        assert child.parent is parent
        assert child.is_leader
        assert machine.call(child, "getpid") == child.tid
        assert machine.call(child, "getppid") == parent.tid

    def test_memory_is_copied(self, machine: ConductedMachine, parent: Task) -> None:
        parent.mm.write(WORD, b"before")
        child = machine.fork(parent)
        parent.mm.write(WORD, b"parent")
        assert child.mm.read(WORD, 6) == b"before"
        child.mm.write(WORD, b"child!")
        assert parent.mm.read(WORD, 6) == b"parent"

    def test_child_is_in_its_parents_group_and_session(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.fork(parent)
        assert child.group.process_group is parent.group.process_group
        assert list(child.group.process_group.members) == [parent.group, child.group]
        assert machine.call(child, "getsid", 0) == parent.tid

    def test_open_files_are_shared_and_descriptors_are_not(
        self, machine: ConductedMachine, parent: Task
    ) -> None:
        child = machine.fork(parent)
        assert child.files is not parent.files
        assert child.files.file(0) is parent.files.file(0)
        machine.expect(child, "close", 0)
        assert machine.call(parent, "fcntl", 0, 1) == 0

    def test_what_is_not_inherited(self, machine: ConductedMachine, parent: Task) -> None:
        machine.expect(parent, "rt_sigprocmask", 0, pack("<Q", 1 << (SIGUSR1 - 1)), 0, 8)
        machine.expect(parent, "kill", parent.tid, SIGUSR1)
        machine.expect(parent, "alarm", 100)
        machine.expect(parent, "prctl", 36, 1)  # PR_SET_CHILD_SUBREAPER
        machine.expect(parent, "prctl", 1, SIGTERM)  # PR_SET_PDEATHSIG
        machine.expect(parent, "timer_create", 1, 0, RESULTS)
        child = machine.fork(parent)
        assert parent.group.shared_pending.holds(SIGUSR1)
        assert not child.group.shared_pending.mask
        assert not child.pending.mask
        assert child.blocked == 1 << (SIGUSR1 - 1)
        assert machine.call(child, "alarm", 0) == 0
        assert not child.group.is_child_subreaper
        assert child.parent_death_signal == 0
        assert not child.group.posix_timers
        assert machine.call(parent, "alarm", 0) == 100

    def test_inherited_settings(self, machine: ConductedMachine, parent: Task) -> None:
        machine.ignore(parent, SIGUSR1)
        machine.handle(parent, SIGTERM)
        machine.expect(parent, "umask", 0o077)
        machine.expect(parent, "setpriority", 0, 0, 7)
        machine.expect(parent, "setrlimit", RLIMIT_NOFILE, pack("<QQ", 20, 30))
        child = machine.fork(parent)
        actions = child.group.handlers.actions
        assert actions is not parent.group.handlers.actions
        assert actions == parent.group.handlers.actions
        assert machine.call(child, "umask", 0) == 0o077
        assert child.nice == 7
        assert child.group.limits.soft[RLIMIT_NOFILE] == 20
        machine.expect(parent, "setrlimit", RLIMIT_NOFILE, pack("<QQ", 10, 30))
        assert child.group.limits.soft[RLIMIT_NOFILE] == 20


class TestClone:
    @pytest.mark.parametrize(
        "flags",
        [
            CLONE_THREAD,
            CLONE_THREAD | CLONE_VM,
            CLONE_THREAD | CLONE_SIGHAND,
            CLONE_SIGHAND,
            0x20200,  # CLONE_NEWNS | CLONE_FS
            0x400000 | CLONE_PIDFD,  # CLONE_DETACHED with a pidfd
            CLONE_PIDFD | CLONE_PARENT_SETTID,
        ],
        ids=hex,
    )
    def test_flags_that_contradict(self, machine: ConductedMachine, parent: Task, flags: int) -> None:
        assert machine.call(parent, "clone", flags, 0, RESULTS) == -EINVAL.number
        assert len(machine.kernel.tasks) == 2

    def test_init_has_no_siblings(self, machine: ConductedMachine) -> None:
        assert machine.call(machine.init, "clone", CLONE_PARENT | SIGCHLD) == -EINVAL.number

    def test_a_sibling(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.task(machine.expect(parent, "clone", SIGUSR1))
        sibling = machine.task(machine.expect(child, "clone", CLONE_PARENT | SIGTERM))
        assert sibling.parent is parent
        # Its exit signal is its elder sibling's.
        assert sibling.exit_signal == SIGUSR1
        assert list(parent.children) == [child, sibling]

    def test_a_thread(self, machine: ConductedMachine, parent: Task) -> None:
        thread = machine.thread(parent)
        assert thread.tid != parent.tid
        assert machine.call(thread, "getpid") == parent.tid
        assert machine.call(thread, "gettid") == thread.tid
        assert machine.call(thread, "getppid") == machine.init.tid
        assert thread.registers.general[RSP] == STACK_TOP - 0x4000
        assert parent.group.threads == [parent, thread]
        thread.mm.write(WORD, b"one memory")
        assert parent.mm.read(WORD, 10) == b"one memory"
        assert machine.wait(parent) == -10

    def test_processes_that_share(self, machine: ConductedMachine, parent: Task) -> None:
        child = machine.task(
            machine.expect(parent, "clone", CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD)
        )
        assert child.tgid != parent.tgid
        child.mm.write(WORD, b"one memory")
        assert parent.mm.read(WORD, 10) == b"one memory"
        machine.expect(child, "close", 0)
        assert machine.call(parent, "fcntl", 0, 1) == -9
        machine.expect(child, "umask", 0o070)
        assert machine.call(parent, "umask", 0) == 0o070
        machine.ignore(child, SIGUSR1)
        assert parent.group.handlers.actions[SIGUSR1].handler == 1
        machine.exit(child)
        # What is shared outlives either.
        assert parent.mm.read(WORD, 10) == b"one memory"
        assert parent.files.reference_count == parent.fs.reference_count == 1

    def test_clear_sighand(self, machine: ConductedMachine, parent: Task) -> None:
        machine.ignore(parent, SIGUSR1)
        machine.handle(parent, SIGTERM)
        outcome = clone3(machine, parent, flags=CLONE_CLEAR_SIGHAND, exit_signal=SIGCHLD)
        assert isinstance(outcome, int)
        actions = machine.task(outcome).group.handlers.actions
        assert actions[SIGUSR1].handler == 1
        assert actions[SIGTERM].handler == 0

    def test_ids_are_stored(self, machine: ConductedMachine, parent: Task) -> None:
        flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD
        tid = machine.expect(parent, "clone", flags, 0, WORD, WORD + 4)
        assert machine.numbers(parent, "ii", WORD) == (tid, 0)
        # The parent's word was stored when the child had its own memory.
        assert machine.numbers(machine.task(tid), "ii", WORD) == (0, tid)

    def test_bad_addresses_for_ids_are_ignored(self, machine: ConductedMachine, parent: Task) -> None:
        flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD
        assert machine.expect(parent, "clone", flags, 0, 8, 8) > 0

    def test_a_threads_end_wakes_its_futex(self, machine: ConductedMachine, parent: Task) -> None:
        flags = CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD
        flags |= CLONE_SETTLS | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID
        tid = machine.expect(parent, "clone", flags, STACK_TOP - 0x4000, WORD, WORD, 0x7777000)
        thread = machine.task(tid)
        assert thread.registers.fs_base == 0x7777000
        assert parent.registers.fs_base == 0
        # pthread_join's wait
        assert machine.call(parent, "futex", WORD, 0, tid, 0) == SLEEPS
        assert machine.call(thread, "exit", 0) == ENDED
        assert machine.outcome(parent) == 0
        assert machine.numbers(parent, "i", WORD) == (0,)
        assert tid not in tasks_by_id(machine.kernel)

    def test_a_process_alone_does_not_clear_its_id(self, machine: ConductedMachine, parent: Task) -> None:
        parent.mm.write(WORD, pack("<i", 77))
        child = machine.task(machine.expect(parent, "clone", CLONE_CHILD_CLEARTID | SIGCHLD, 0, 0, WORD))
        machine.exit(child)
        assert machine.numbers(parent, "i", WORD) == (77,)

    def test_a_pidfd(self, machine: ConductedMachine, parent: Task) -> None:
        tid = machine.expect(parent, "clone", CLONE_PIDFD | SIGCHLD, 0, WORD)
        (fd,) = machine.numbers(parent, "i", WORD)
        assert fd == 3
        assert parent.files.is_close_on_exec(fd)
        assert machine.call(parent, "pidfd_send_signal", fd, SIGKILL, 0, 0) == 0
        assert machine.call(parent, "waitid", 3, fd, RESULTS, 4, 0) == 0
        assert tid not in tasks_by_id(machine.kernel)

    def test_a_pidfd_that_cannot_be_made(self, machine: ConductedMachine, parent: Task) -> None:
        assert machine.call(parent, "clone", CLONE_PIDFD | SIGCHLD, 0, 8) == -EFAULT.number
        machine.expect(parent, "setrlimit", RLIMIT_NOFILE, pack("<QQ", 3, 3))
        assert machine.call(parent, "clone", CLONE_PIDFD | SIGCHLD, 0, WORD) == -24
        assert list(parent.children) == []
        assert parent.files.descriptors() == [0, 1, 2]


class TestClone3:
    def test_wanted_id(self, machine: ConductedMachine, parent: Task) -> None:
        parent.mm.write(WORD, pack("<i", 300))
        wanted = {"exit_signal": SIGCHLD, "set_tid": WORD, "set_tid_size": 1}
        assert clone3(machine, parent, **wanted) == 300
        assert clone3(machine, parent, **wanted) == -EEXIST.number
        machine.exit(machine.task(300))
        assert clone3(machine, parent, **wanted) == -EEXIST.number
        machine.reap(parent)
        assert clone3(machine, parent, **wanted) == 300
        # The cycle of ids goes on where it was.
        assert machine.fork(parent).tid == parent.tid + 1

    @pytest.mark.parametrize("number", [0, -1, 32768])
    def test_impossible_ids(self, machine: ConductedMachine, parent: Task, number: int) -> None:
        parent.mm.write(WORD, pack("<i", number))
        outcome = clone3(machine, parent, exit_signal=SIGCHLD, set_tid=WORD, set_tid_size=1)
        assert outcome == -EINVAL.number

    @pytest.mark.parametrize(
        "fields",
        [
            {"exit_signal": 65},
            {"flags": 0x400000},
            {"flags": SIGCHLD},
            {"stack": 0x1000},
            {"stack_size": 0x1000},
            {"set_tid": 0x1000},
            {"flags": CLONE_PARENT, "exit_signal": SIGCHLD},
            {"flags": 1 << 34},
            {"flags": CLONE_CLEAR_SIGHAND | CLONE_SIGHAND | CLONE_VM},
        ],
    )
    def test_impossible_arguments(
        self, machine: ConductedMachine, parent: Task, fields: dict[str, int]
    ) -> None:
        assert clone3(machine, parent, **fields) == -EINVAL.number

    def test_stack_is_where_the_region_ends(self, machine: ConductedMachine, parent: Task) -> None:
        outcome = clone3(machine, parent, exit_signal=SIGCHLD, stack=SCRATCH_ADDRESS, stack_size=0x8000)
        assert isinstance(outcome, int)
        assert machine.task(outcome).registers.general[RSP] == SCRATCH_ADDRESS + 0x8000


class TestVfork:
    def test_parent_sleeps_until_the_child_ends(self, machine: ConductedMachine, parent: Task) -> None:
        assert machine.call(parent, "vfork") == SLEEPS
        assert parent.state is TaskState.KILLABLE
        (child,) = parent.children
        child.mm.write(WORD, b"one memory")
        machine.exit(child, 1)
        assert machine.outcome(parent) == child.tid
        assert parent.mm.read(WORD, 10) == b"one memory"
        assert machine.reap(parent) == (child.tid, 1 << 8)

    def test_a_handler_waits(self, machine: ConductedMachine, parent: Task) -> None:
        sender = machine.process()
        machine.handle(parent, SIGTERM)
        assert machine.call(parent, "vfork") == SLEEPS
        (child,) = parent.children
        machine.expect(sender, "kill", parent.tid, SIGTERM)
        machine.expect(sender, "kill", parent.tid, SIGSTOP)
        assert parent.state is TaskState.KILLABLE
        machine.exit(child)
        assert machine.outcome(parent) == STOPPED
        machine.expect(sender, "kill", parent.tid, SIGCONT)
        assert machine.outcome(parent) == HANDLES
        assert machine.return_from_handler(parent) == child.tid

    @pytest.mark.parametrize("signal", [SIGTERM, SIGKILL])
    def test_a_fatal_signal_ends_the_parent_and_not_the_child(
        self, machine: ConductedMachine, parent: Task, signal: int
    ) -> None:
        sender = machine.process()
        assert machine.call(parent, "vfork") == SLEEPS
        (child,) = parent.children
        machine.expect(sender, "kill", parent.tid, signal)
        assert machine.outcome(parent) == ENDED
        assert parent.exit_code == signal
        assert child.parent is machine.init
        assert machine.call(child, "getppid") == 1
        child.mm.write(WORD, b"alive")
        machine.exit(child)

    def test_with_a_memory_of_its_own(self, machine: ConductedMachine, parent: Task) -> None:
        parent.mm.write(WORD, b"parent")
        assert machine.call(parent, "clone", CLONE_VFORK | SIGCHLD) == SLEEPS
        (child,) = parent.children
        child.mm.write(WORD, b"child!")
        machine.exit(child)
        assert machine.outcome(parent) == child.tid
        assert parent.mm.read(WORD, 6) == b"parent"

    def test_only_the_calling_thread_sleeps(self, machine: ConductedMachine, parent: Task) -> None:
        thread = machine.thread(parent)
        assert machine.call(parent, "vfork") == SLEEPS
        assert machine.call(thread, "gettid") == thread.tid
        # Any thread may reap the child: the sleeper goes on all the same.
        (child,) = parent.children
        assert machine.wait(thread) == SLEEPS
        machine.exit(child)
        assert machine.outcome(thread) == child.tid
        assert machine.outcome(parent) == child.tid

    def test_a_child_that_forks(self, machine: ConductedMachine, parent: Task) -> None:
        assert machine.call(parent, "vfork") == SLEEPS
        (child,) = parent.children
        grandchild = machine.fork(child)
        machine.exit(grandchild)
        assert machine.outcome(parent) == SLEEPS
        machine.exit(child)
        assert machine.outcome(parent) == child.tid


class TestLimits:
    def test_processes_of_a_user(self, machine: ConductedMachine, parent: Task) -> None:
        machine.expect(parent, "setrlimit", RLIMIT_NPROC, pack("<QQ", 3, 3))
        # Root, with its capabilities, isn't bound.
        machine.exit(machine.fork(parent))
        machine.exit(machine.fork(parent))
        machine.reap(parent)
        machine.reap(parent)
        machine.expect(parent, "setresuid", 1000, 1000, 1000)
        children = [machine.fork(parent), machine.fork(parent)]
        assert parent.credentials.count_of(RLIMIT_NPROC) == 3
        assert machine.call(parent, "fork") == -EAGAIN.number
        assert machine.call(parent, "vfork") == -EAGAIN.number
        flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD
        assert machine.call(parent, "clone", flags, STACK_TOP) == -EAGAIN.number
        # A zombie counts until it's reaped.
        machine.exit(children[0])
        assert machine.call(parent, "fork") == -EAGAIN.number
        machine.reap(parent)
        assert machine.expect(parent, "fork") > 0

    def test_tasks_of_the_machine(self, machine: ConductedMachine, parent: Task) -> None:
        machine.kernel.limit_tasks(threads_max=3)
        child = machine.fork(parent)
        assert machine.call(parent, "fork") == -EAGAIN.number
        machine.exit(child)
        machine.reap(parent)
        assert machine.expect(parent, "fork") > 0

    def test_what_contains_the_machine_bounds_its_tasks(
        self, machine: ConductedMachine, parent: Task
    ) -> None:
        machine.kernel.limit_tasks(bound=3)
        machine.kernel.limit_tasks(threads_max=1000)
        machine.fork(parent)
        assert machine.call(parent, "fork") == -EAGAIN.number

    def test_memory(self, machine: ConductedMachine, parent: Task) -> None:
        memory = machine.kernel.memory
        taken = [memory.allocate() for _ in range(memory.free_frames)]
        assert machine.call(parent, "fork") == -ENOMEM.number
        for frame in taken:
            memory.release(frame)
        assert machine.expect(parent, "fork") > 0
