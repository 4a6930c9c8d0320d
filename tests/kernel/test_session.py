"""Checks sessions and process groups: who may join what, which jobs are orphaned, what becomes of ids."""

from __future__ import annotations

import pytest

from procession.abi.errno import EACCES, EINVAL, EPERM, ESRCH
from procession.kernel.session import (
    ProcessGroup,
    is_orphaned_process_group,
    kill_orphaned_process_group,
    leave_process_group,
    set_process_group,
    start_session,
)
from procession.kernel.signal.handlers import SignalAction
from procession.kernel.task import SIGNAL_STOP_STOPPED, Task
from procession.kernel.task_state import TaskState, set_state
from tests.kernel.direct_calls import call
from tests.kernel.process_ids import groups_by_id, sessions_by_id
from tests.kernel.signal_fakes import Machine

SIGHUP, SIGCONT = 1, 18


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def shell(machine: Machine) -> Task:
    shell = machine.process(5)
    shell.parent = machine.init
    return shell


@pytest.fixture
def job(machine: Machine, shell: Task) -> Task:
    """A child of the shell in a process group of its own."""
    job = machine.process(10, shell)
    set_process_group(shell, 10, 10)
    return job


def group_of(task: Task) -> ProcessGroup:
    return task.group.process_group


def test_a_shell_makes_jobs(machine: Machine, shell: Task, job: Task) -> None:
    second = machine.process(11, shell)
    set_process_group(second, 0, 10)
    assert [member.pid.own_number for member in group_of(job).members] == [10, 11]
    assert group_of(job).session is group_of(shell).session
    assert [group.pid.own_number for group in group_of(job).session.groups] == [5, 10]
    assert [call(shell, "getpgid", 11), call(shell, "getsid", 11)] == [10, 5]


def test_groups_and_sessions_go_with_their_last_member(machine: Machine, shell: Task, job: Task) -> None:
    set_process_group(shell, 10, 5)
    assert 10 not in groups_by_id(machine.kernel)
    set_process_group(shell, 10, 10)
    leave_process_group(job.group)
    assert 10 not in groups_by_id(machine.kernel)
    assert 5 in sessions_by_id(machine.kernel)
    leave_process_group(shell.group)
    assert 5 not in sessions_by_id(machine.kernel)


def test_a_group_outlives_the_process_that_it_is_named_for(machine: Machine, shell: Task, job: Task) -> None:
    machine.process(11, job)
    leave_process_group(job.group)
    assert [member.pid.own_number for member in groups_by_id(machine.kernel)[10].members] == [11]


@pytest.mark.parametrize(
    ("pid", "pgid", "error"),
    [
        (10, -1, EINVAL),
        (99, 0, ESRCH),
        (12, 12, EINVAL),
        (1, 1, ESRCH),
        (10, 99, EPERM),
        (10, 1, EPERM),
        (5, 5, EPERM),
    ],
)
def test_setpgid_refuses(
    machine: Machine, shell: Task, job: Task, pid: int, pgid: int, error: type[Exception]
) -> None:
    machine.thread(job, 12)
    with pytest.raises(error):
        set_process_group(shell, pid, pgid)


def test_setpgid_refuses_children_that_went_on(machine: Machine, shell: Task, job: Task) -> None:
    job.has_executed = True
    with pytest.raises(EACCES):
        set_process_group(shell, 10, 5)
    set_process_group(job, 0, 5)
    grandchild = machine.process(11, job)
    with pytest.raises(ESRCH):
        set_process_group(shell, 11, 5)
    start_session(grandchild)
    with pytest.raises(EPERM):
        set_process_group(job, 11, 5)


def test_setsid_makes_a_session_and_a_group(machine: Machine, shell: Task) -> None:
    child = machine.process(10, shell)
    assert start_session(child) == 10
    session = group_of(child).session
    assert (session.pid.own_number, session.leader, group_of(child).pid.own_number) == (10, child.group, 10)
    assert child.group.terminal is None
    with pytest.raises(EPERM):
        start_session(child)


def test_setsid_refuses_while_a_group_has_the_id(machine: Machine, shell: Task, job: Task) -> None:
    machine.process(11, job)
    set_process_group(job, 0, 5)
    with pytest.raises(EPERM):
        start_session(job)
    assert group_of(job).pid.own_number == 5


def test_a_job_is_orphaned_without_its_shell(machine: Machine, shell: Task, job: Task) -> None:
    assert not is_orphaned_process_group(group_of(job))
    assert is_orphaned_process_group(group_of(shell))
    assert is_orphaned_process_group(group_of(job), leaving=job.group)
    machine.process(11, job)
    job.parent = machine.init
    assert is_orphaned_process_group(group_of(job))


def test_zombies_do_not_connect_a_job(machine: Machine, shell: Task, job: Task) -> None:
    set_state(job, TaskState.ZOMBIE)
    assert is_orphaned_process_group(group_of(job))


def test_a_parent_in_another_session_does_not_connect_a_job(machine: Machine, shell: Task, job: Task) -> None:
    child = machine.process(11, job)
    set_process_group(child, 0, 0)
    assert not is_orphaned_process_group(group_of(child))
    stranger = machine.process(12, job)
    start_session(stranger)
    job.parent = stranger
    assert is_orphaned_process_group(group_of(job))


@pytest.mark.parametrize("is_stopped", [True, False])
def test_stopped_jobs_are_hung_up_when_they_are_orphaned(
    machine: Machine, shell: Task, job: Task, is_stopped: bool
) -> None:
    for signo in (SIGHUP, SIGCONT):
        job.group.handlers.actions[signo] = SignalAction(0x1234, 0x04000000, 0x5678, 0)
    if is_stopped:
        job.group.flags |= SIGNAL_STOP_STOPPED
    job.parent = machine.init
    kill_orphaned_process_group(machine.kernel, job, shell)
    expected = 1 << (SIGHUP - 1) | 1 << (SIGCONT - 1) if is_stopped else 0
    assert job.group.shared_pending.mask == expected
