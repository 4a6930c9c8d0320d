"""Checks scheduling policies, nice values and I/O priorities: what is refused, and what children get."""

from __future__ import annotations

import pytest

from procession.abi.errno import E2BIG, EACCES, EAGAIN, EBUSY, EFAULT, EINVAL, EOPNOTSUPP, EPERM, ESRCH
from procession.abi.sched import SchedAttr
from procession.kernel.rlimit import RLIMIT_NICE, RLIMIT_RTPRIO
from procession.kernel.sched.priority import (
    SCHED_BATCH,
    SCHED_FIFO,
    SCHED_IDLE,
    SCHED_RR,
    check_fork,
    sched_fork,
)
from procession.kernel.task import NEED_RESCHED, Task
from tests.kernel.direct_calls import BAD_ADDRESS, RESULT, SCRATCH, call, put, result
from tests.kernel.signal_fakes import Machine

ALICE = 1000
RESET_ON_FORK = 0x40000000
PROCESS, GROUP, USER = 0, 1, 2


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def alice(machine: Machine) -> Task:
    return machine.process(10, credentials=machine.credentials.for_user(ALICE, ALICE))


@pytest.fixture
def root(machine: Machine) -> Task:
    return machine.process(11)


class TestNice:
    def test_it_only_goes_up_without_privilege(self, alice: Task) -> None:
        assert call(alice, "setpriority", PROCESS, 0, 5) == 0
        assert call(alice, "getpriority", PROCESS, 0) == 15
        with pytest.raises(EACCES):
            call(alice, "setpriority", PROCESS, 0, 4)
        alice.group.limits.soft[RLIMIT_NICE] = 20
        assert call(alice, "setpriority", PROCESS, 0, 0) == 0
        with pytest.raises(EACCES):
            call(alice, "setpriority", PROCESS, 0, -1)

    def test_it_is_cut_to_its_range(self, root: Task) -> None:
        call(root, "setpriority", PROCESS, 0, 1000)
        assert root.nice == 19
        call(root, "setpriority", PROCESS, 0, -1000)
        assert root.nice == -20
        assert call(root, "getpriority", PROCESS, 0) == 40

    def test_a_group_and_a_user_mean_all_their_threads(self, machine: Machine, root: Task) -> None:
        child = machine.process(12, root)
        thread = machine.thread(child, 13)
        call(root, "setpriority", GROUP, 0, 3)
        assert (root.nice, child.nice, thread.nice) == (3, 3, 3)
        call(root, "setpriority", USER, 0, 4)
        assert (machine.init.nice, thread.nice) == (4, 4)
        child.nice = -7
        assert call(root, "getpriority", GROUP, 11) == 27

    def test_nobody_and_others(self, alice: Task) -> None:
        with pytest.raises(EINVAL):
            call(alice, "setpriority", 3, 0, 0)
        for which in (PROCESS, GROUP, USER):
            with pytest.raises(ESRCH):
                call(alice, "getpriority", which, 9999)
        with pytest.raises(EPERM):
            call(alice, "setpriority", PROCESS, 1, 5)


class TestPolicy:
    def test_real_time_takes_privilege_or_a_limit(self, alice: Task) -> None:
        with pytest.raises(EPERM):
            call(alice, "sched_setscheduler", 0, SCHED_FIFO, put(alice, "i", 1))
        alice.group.limits.soft[RLIMIT_RTPRIO] = 10
        with pytest.raises(EPERM):
            call(alice, "sched_setscheduler", 0, SCHED_FIFO, put(alice, "i", 11))
        assert call(alice, "sched_setscheduler", 0, SCHED_FIFO, put(alice, "i", 10)) == 0
        call(alice, "sched_getparam", 0, RESULT)
        assert result(alice, "i") == (10,)

    @pytest.mark.parametrize(
        ("policy", "priority"), [(0, 1), (1, 0), (1, 100), (1, -1), (4, 0), (6, 0), (7, 0), (-1, 0)]
    )
    def test_policies_and_priorities_that_do_not_go_together(
        self, root: Task, policy: int, priority: int
    ) -> None:
        with pytest.raises(EINVAL):
            call(root, "sched_setscheduler", 0, policy, put(root, "i", priority))
        assert (root.policy, root.realtime_priority) == (0, 0)

    def test_the_idle_policy_is_hard_to_leave(self, alice: Task) -> None:
        call(alice, "sched_setscheduler", 0, SCHED_IDLE, put(alice, "i", 0))
        with pytest.raises(EPERM):
            call(alice, "sched_setscheduler", 0, SCHED_BATCH, put(alice, "i", 0))

    def test_children_of_a_resetting_parent_are_plain(self, machine: Machine, root: Task) -> None:
        call(root, "sched_setscheduler", 0, SCHED_RR | RESET_ON_FORK, put(root, "i", 7))
        assert call(root, "sched_getscheduler", 0) == SCHED_RR | RESET_ON_FORK
        child = machine.process(12, root)
        sched_fork(root, child)
        assert (child.policy, child.realtime_priority, child.resets_scheduling_on_fork) == (0, 0, False)
        root.resets_scheduling_on_fork = False
        sched_fork(root, child)
        assert (child.policy, child.realtime_priority) == (SCHED_RR, 7)

    def test_errors_come_in_linux_s_order(self, root: Task) -> None:
        with pytest.raises(EINVAL):
            call(root, "sched_setscheduler", -1, 0, BAD_ADDRESS)
        with pytest.raises(EFAULT):
            call(root, "sched_setscheduler", 9999, 0, BAD_ADDRESS)
        with pytest.raises(ESRCH):
            call(root, "sched_setscheduler", 9999, 0, put(root, "i", 0))
        with pytest.raises(EINVAL):
            call(root, "sched_getparam", 0, 0)

    def test_yielding_asks_for_another_task(self, machine: Machine, root: Task) -> None:
        machine.kernel.current = root
        call(root, "sched_yield")
        assert root.work & NEED_RESCHED


class TestAttributes:
    def set(self, task: Task, attr: SchedAttr) -> int:
        task.mm.write(SCRATCH, attr.pack())
        return call(task, "sched_setattr", 0, SCRATCH, 0)

    def test_they_are_set_and_told(self, root: Task) -> None:
        self.set(root, SchedAttr(size=48, sched_policy=SCHED_BATCH, sched_nice=50, sched_flags=1))
        call(root, "sched_getattr", 0, RESULT, 56, 0)
        told = SchedAttr.unpack(root.mm.read(RESULT, SchedAttr.SIZE))
        assert (told.size, told.sched_policy, told.sched_nice, told.sched_flags) == (56, SCHED_BATCH, 19, 1)

    def test_keeping(self, root: Task) -> None:
        self.set(root, SchedAttr(size=48, sched_policy=77, sched_nice=4, sched_flags=8))
        assert (root.policy, root.nice) == (0, 4)
        self.set(root, SchedAttr(size=48, sched_policy=SCHED_BATCH, sched_nice=9, sched_flags=0x10))
        assert (root.policy, root.nice) == (0, 4)

    @pytest.mark.parametrize(
        ("attr", "error"),
        [
            (SchedAttr(size=47), E2BIG),
            (SchedAttr(size=4097), E2BIG),
            (SchedAttr(size=48, sched_policy=1 << 31), EINVAL),
            (SchedAttr(size=48, sched_flags=0x1000), EINVAL),
            (SchedAttr(size=48, sched_flags=0x20), EINVAL),
            (SchedAttr(size=56, sched_flags=0x20), EOPNOTSUPP),
            (SchedAttr(size=48, sched_policy=6, sched_runtime=1), EINVAL),
            (SchedAttr(size=48, sched_policy=6, sched_runtime=5000, sched_deadline=99_999), EINVAL),
            (SchedAttr(size=48, sched_policy=6, sched_runtime=99_000, sched_deadline=100_000), EBUSY),
        ],
        ids=range(9),
    )
    def test_what_is_refused(self, root: Task, attr: SchedAttr, error: type[Exception]) -> None:
        with pytest.raises(error):
            self.set(root, attr)
        if error is E2BIG:
            assert root.mm.read(SCRATCH, 4) == (56).to_bytes(4, "little")

    def test_a_reservation_has_no_children(self, machine: Machine, root: Task) -> None:
        attr = SchedAttr(size=48, sched_policy=6, sched_runtime=50_000, sched_deadline=100_000)
        self.set(root, attr)
        with pytest.raises(EAGAIN):
            check_fork(root)
        attr.sched_flags = 1
        self.set(root, attr)
        check_fork(root)
        child = machine.process(12, root)
        sched_fork(root, child)
        assert child.policy == 0

    def test_unknown_bytes_must_be_zero(self, root: Task) -> None:
        root.mm.write(SCRATCH, SchedAttr(size=64).pack() + bytes(8))
        assert call(root, "sched_setattr", 0, SCRATCH, 0) == 0
        root.mm.write(SCRATCH + 60, b"\1")
        with pytest.raises(E2BIG):
            call(root, "sched_setattr", 0, SCRATCH, 0)


class TestProcessors:
    def test_there_is_one(self, root: Task) -> None:
        assert call(root, "sched_getaffinity", 0, 4096, RESULT) == 8
        assert result(root, "Q") == (1,)
        assert call(root, "sched_setaffinity", 0, 8, put(root, "Q", 3)) == 0
        for size, mask in ((8, 2), (0, 1)):
            with pytest.raises(EINVAL):
                call(root, "sched_setaffinity", 0, size, put(root, "Q", mask))
        with pytest.raises(EINVAL):
            call(root, "sched_getaffinity", 0, 12, RESULT)

    def test_others_are_protected(self, alice: Task) -> None:
        with pytest.raises(EPERM):
            call(alice, "sched_setaffinity", 1, 8, put(alice, "Q", 1))


class TestInputOutput:
    @pytest.mark.parametrize("priority", [4, 4 << 13, 7 << 13])
    def test_no_such_class(self, root: Task, priority: int) -> None:
        with pytest.raises(EINVAL):
            call(root, "ioprio_set", 1, 0, priority)

    def test_what_was_said_and_what_follows_from_nice(self, root: Task) -> None:
        assert call(root, "ioprio_get", 1, 0) == 0
        assert call(root, "ioprio_get", 2, 0) == 2 << 13 | 4
        call(root, "ioprio_set", 1, 0, 3 << 13)
        assert call(root, "ioprio_get", 1, 0) == call(root, "ioprio_get", 2, 0) == 3 << 13

    def test_real_time_takes_privilege(self, alice: Task) -> None:
        with pytest.raises(EPERM):
            call(alice, "ioprio_set", 1, 0, 1 << 13)
        with pytest.raises(EPERM):
            call(alice, "ioprio_set", 1, 1, 2 << 13)
        with pytest.raises(ESRCH):
            call(alice, "ioprio_get", 1, 9999)
