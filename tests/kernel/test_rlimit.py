"""Checks resource limits, resource use and the errnos of the calls about them."""

from __future__ import annotations

import pytest

from procession.abi.errno import EFAULT, EINVAL, EPERM, ESRCH
from procession.abi.resource import RLIM_NLIMITS, Rusage
from procession.abi.time import Timeval, Tms
from procession.kernel.rlimit import RLIM_INFINITY, RLIMIT_CPU, RLIMIT_NOFILE, Limits
from procession.kernel.task import Task
from tests.kernel.direct_calls import BAD_ADDRESS, RESULT, call, put, result
from tests.kernel.signal_fakes import Machine

ALICE = 1000
MS = 1_000_000


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def alice(machine: Machine) -> Task:
    return machine.process(10, credentials=machine.credentials.for_user(ALICE, ALICE))


@pytest.fixture
def root(machine: Machine) -> Task:
    return machine.process(11)


def test_a_login_has_debian_s_limits() -> None:
    limits = Limits()
    names = ["CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS"]
    names += ["SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"]
    shown = dict(zip(names, zip(limits.soft, limits.hard, strict=True), strict=True))
    assert shown["STACK"] == (8 << 20, RLIM_INFINITY)
    assert shown["CORE"] == (0, RLIM_INFINITY)
    assert shown["NOFILE"] == (1024, 1 << 20)
    assert shown["NPROC"] == shown["SIGPENDING"]
    assert shown["NICE"] == shown["RTPRIO"] == (0, 0)
    assert len(limits.soft) == len(limits.hard) == RLIM_NLIMITS


def test_a_copy_is_its_own() -> None:
    limits = Limits()
    limits.copy().soft[RLIMIT_NOFILE] = 5
    assert limits.soft[RLIMIT_NOFILE] == 1024


def test_a_limit_is_set_and_told(alice: Task) -> None:
    assert call(alice, "setrlimit", RLIMIT_NOFILE, put(alice, "2Q", 100, 200)) == 0
    assert call(alice, "getrlimit", RLIMIT_NOFILE, RESULT) == 0
    assert result(alice, "2Q") == (100, 200)
    assert call(alice, "prlimit64", 0, RLIMIT_NOFILE, put(alice, "2Q", 50, 50), RESULT) == 0
    assert result(alice, "2Q") == (100, 200)
    assert alice.group.limits.hard[RLIMIT_NOFILE] == 50


def test_only_the_superuser_raises_a_hard_limit(alice: Task, root: Task) -> None:
    for task in (alice, root):
        call(task, "setrlimit", RLIMIT_NOFILE, put(task, "2Q", 10, 10))
    with pytest.raises(EPERM):
        call(alice, "setrlimit", RLIMIT_NOFILE, put(alice, "2Q", 10, 11))
    assert call(root, "setrlimit", RLIMIT_NOFILE, put(root, "2Q", 10, 11)) == 0
    with pytest.raises(EPERM):
        call(root, "setrlimit", RLIMIT_NOFILE, put(root, "2Q", 10, (1 << 20) + 1))


def test_errors_come_in_linux_s_order(alice: Task, root: Task) -> None:
    backwards = put(alice, "2Q", 2, 1)
    with pytest.raises(EINVAL):
        call(alice, "setrlimit", RLIMIT_CPU, backwards)
    with pytest.raises(EFAULT):
        call(alice, "prlimit64", 99, 99, BAD_ADDRESS, 0)
    with pytest.raises(ESRCH):
        call(alice, "prlimit64", 99, 99, 0, 0)
    with pytest.raises(EPERM):
        call(alice, "prlimit64", 11, 99, 0, 0)
    with pytest.raises(EINVAL):
        call(alice, "prlimit64", 0, RLIM_NLIMITS, 0, BAD_ADDRESS)
    with pytest.raises(EINVAL):
        call(root, "prlimit64", 10, -1, 0, 0)
    with pytest.raises(EINVAL):
        call(alice, "getrlimit", RLIM_NLIMITS, BAD_ADDRESS)


def test_the_superuser_changes_another_s_limits(alice: Task, root: Task) -> None:
    assert call(root, "prlimit64", 10, RLIMIT_NOFILE, put(root, "2Q", 7, 8), 0) == 0
    assert alice.group.limits.soft[RLIMIT_NOFILE] == 7


def test_use_is_told_by_thread_process_and_children(machine: Machine, root: Task) -> None:
    root.mm.peak_resident_pages = 25
    thread = machine.thread(root, 20)
    thread.mm = root.mm
    root.times.user_ns = 1_500 * MS
    thread.times.system_ns = 250 * MS
    root.group.times.minor_faults = 3
    thread.times.minor_faults = 4
    root.group.children_times.user_ns = 9_000 * MS
    told = {}
    for who in (0, 1, -1):
        call(thread, "getrusage", who, RESULT)
        told[who] = Rusage.unpack(thread.mm.read(RESULT, Rusage.SIZE))
    assert told[0].ru_utime == Timeval(1, 500_000)
    assert told[0].ru_stime == Timeval(0, 250_000)
    assert (told[0].ru_maxrss, told[-1].ru_maxrss) == (100, 0)
    assert (told[0].ru_minflt, told[1].ru_minflt, told[-1].ru_minflt) == (7, 4, 0)
    assert told[-1].ru_utime.tv_sec == 9
    with pytest.raises(EINVAL):
        call(thread, "getrusage", 2, RESULT)
    call(root, "times", RESULT)
    assert Tms.unpack(root.mm.read(RESULT, Tms.SIZE)) == Tms(150, 25, 900, 0)
    before = call(root, "times", 0)
    machine.kernel.clock.jump_to(machine.kernel.clock.now_ns + 70 * MS)
    assert call(root, "times", 0) == before + 7
