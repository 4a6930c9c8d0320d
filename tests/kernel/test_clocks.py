"""Checks what the clocks say, who may set them, and sleeping on each of them."""

from __future__ import annotations

import pytest

from procession.abi.duration import TICK_NS
from procession.abi.errno import (
    EFAULT,
    EINVAL,
    EOPNOTSUPP,
    EPERM,
    ERESTART_RESTARTBLOCK,
    ERESTARTNOHAND,
)
from procession.abi.time import Timex
from procession.fs.wait_queue import Sleep
from procession.kernel.task import SIGNAL_PENDING, CallFrame, Task
from procession.kernel.task_state import TaskState
from procession.kernel.timers.interval import account
from tests.kernel.direct_calls import BAD_ADDRESS, RESULT, call, put, result
from tests.kernel.signal_fakes import Machine

REALTIME, MONOTONIC, PROCESS, THREAD, RAW, REALTIME_COARSE, MONOTONIC_COARSE, BOOTTIME = range(8)
REALTIME_ALARM, BOOTTIME_ALARM, TAI = 8, 9, 11
ABSTIME = 1
SECOND, MS = 10**9, 10**6


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.kernel.clock.jump_to(9 * SECOND + 1_234_567)
    return machine


@pytest.fixture
def task(machine: Machine) -> Task:
    return machine.process(10)


def cpu_clock(pid: int, kind: int = 2, *, thread: bool = False) -> int:
    return (~pid << 3) | (4 if thread else 0) | kind


def read(task: Task, clock: int) -> int:
    call(task, "clock_gettime", clock, RESULT)
    seconds, nanoseconds = result(task, "2q")
    return seconds * SECOND + nanoseconds


def resolution(task: Task, clock: int) -> int:
    call(task, "clock_getres", clock, RESULT)
    return result(task, "2q")[1]


def test_clocks_of_the_machine(machine: Machine, task: Task) -> None:
    now_ns, epoch_ns = 9 * SECOND + 1_234_567, machine.kernel.clock.realtime_offset_ns
    for clock in (MONOTONIC, RAW, BOOTTIME, BOOTTIME_ALARM):
        assert read(task, clock) == now_ns
    for clock in (REALTIME, REALTIME_ALARM, TAI):
        assert read(task, clock) == now_ns + epoch_ns
    assert read(task, MONOTONIC_COARSE) == 9 * SECOND
    assert read(task, REALTIME_COARSE) == 9 * SECOND + epoch_ns
    call(task, "gettimeofday", RESULT, 0)
    assert result(task, "2q") == ((9 * SECOND + epoch_ns) // SECOND, 1234)
    assert call(task, "time", 0) == (9 * SECOND + epoch_ns) // SECOND


def test_clocks_of_processor_time(machine: Machine, task: Task) -> None:
    thread = machine.thread(task, 11)
    task.times.user_ns, task.times.system_ns = 3 * MS, 2 * MS
    thread.times.user_ns, task.group.times.system_ns = 10 * MS, 100 * MS
    assert read(task, PROCESS) == read(task, cpu_clock(0)) == read(task, cpu_clock(10)) == 115 * MS
    assert read(task, THREAD) == read(task, cpu_clock(0, thread=True)) == 5 * MS
    assert read(task, cpu_clock(11, thread=True)) == 10 * MS
    assert read(task, cpu_clock(10, kind=1)) == 13 * MS
    assert read(machine.init, cpu_clock(10, kind=0)) == 115 * MS


@pytest.mark.parametrize("clock", [10, 12, 99, -1, cpu_clock(0, 3), cpu_clock(99), cpu_clock(1, thread=True)])
def test_there_is_no_such_clock(machine: Machine, task: Task, clock: int) -> None:
    for name in ("clock_gettime", "clock_getres"):
        with pytest.raises(EINVAL):
            call(task, name, clock, BAD_ADDRESS)


def test_a_thread_s_id_is_no_process_but_to_itself(machine: Machine, task: Task) -> None:
    thread = machine.thread(task, 11)
    assert read(thread, cpu_clock(11)) == 0
    with pytest.raises(EINVAL):
        read(task, cpu_clock(11))
    with pytest.raises(EINVAL):
        resolution(thread, cpu_clock(11))


def test_resolutions(task: Task) -> None:
    fine = (REALTIME, MONOTONIC, PROCESS, THREAD, RAW, BOOTTIME, TAI, cpu_clock(10))
    assert {resolution(task, clock) for clock in fine} == {1}
    ticking = (REALTIME_COARSE, MONOTONIC_COARSE, cpu_clock(10, 0), cpu_clock(10, 1))
    assert {resolution(task, clock) for clock in ticking} == {TICK_NS}
    assert call(task, "clock_getres", REALTIME, 0) == 0


class TestSetting:
    def test_the_superuser_sets_the_time_of_day_alone(self, machine: Machine, task: Task) -> None:
        call(task, "clock_settime", REALTIME, put(task, "2q", 2_000_000_000, 7))
        assert read(task, REALTIME) == 2_000_000_000 * SECOND + 7
        assert read(task, MONOTONIC) == 9 * SECOND + 1_234_567
        call(task, "settimeofday", put(task, "2q", 1_900_000_000, 5), 0)
        assert read(task, REALTIME) == 1_900_000_000 * SECOND + 5000

    @pytest.mark.parametrize(
        ("clock", "seconds", "nanoseconds", "error"),
        [
            (MONOTONIC, 9, 0, EINVAL),
            (PROCESS, 9, 0, EINVAL),
            (cpu_clock(10), 9, 0, EPERM),
            (cpu_clock(99), 9, 0, EINVAL),
            (REALTIME, -1, 0, EINVAL),
            (REALTIME, 9, SECOND, EINVAL),
            (REALTIME, 1, 0, EINVAL),
            (REALTIME, 1 << 40, 0, EINVAL),
        ],
    )
    def test_what_is_refused(
        self, task: Task, clock: int, seconds: int, nanoseconds: int, error: type[Exception]
    ) -> None:
        before = read(task, REALTIME)
        with pytest.raises(error):
            call(task, "clock_settime", clock, put(task, "2q", seconds, nanoseconds))
        assert read(task, REALTIME) == before

    def test_others_may_not(self, machine: Machine) -> None:
        alice = machine.process(20, credentials=machine.credentials.for_user(1000, 1000))
        address = put(alice, "2q", 2_000_000_000, 0)
        for name, arguments in (("clock_settime", (REALTIME, address)), ("settimeofday", (address, 0))):
            with pytest.raises(EPERM):
                call(alice, name, *arguments)

    def test_a_time_zone_is_kept(self, task: Task) -> None:
        call(task, "settimeofday", 0, put(task, "2i", -120, 1))
        call(task, "gettimeofday", 0, RESULT)
        assert result(task, "2i") == (-120, 1)
        with pytest.raises(EINVAL):
            call(task, "settimeofday", 0, put(task, "2i", 901, 0))
        # A time that nobody may set is refused first, one that this machine can't have had behind the zone.
        for seconds, zone in ((1 << 62, (-120, 1)), (0, (60, 0))):
            times = put(task, "2q2i", seconds, 0, 60, 0)
            with pytest.raises(EINVAL):
                call(task, "settimeofday", times, times + 16)
            call(task, "gettimeofday", 0, RESULT)
            assert result(task, "2i") == zone

    def test_the_clock_is_steered(self, machine: Machine, task: Task) -> None:
        def adjust(**fields: int) -> Timex:
            asked = Timex()
            for name, value in fields.items():
                setattr(asked, name, value)
            task.mm.write(RESULT, asked.pack())
            state = call(task, "adjtimex", RESULT)
            told = Timex.unpack(task.mm.read(RESULT, Timex.SIZE))
            assert state == (5 if told.status & 0x40 else 0)
            return told

        def gained_ns(seconds: int) -> int:
            clock = machine.kernel.clock
            before_ns = clock.realtime_ns - clock.now_ns
            clock.jump_to(clock.now_ns + seconds * SECOND)
            clock.start_slice(MS)
            return round(clock.realtime_ns - clock.now_ns - before_ns, -5)

        assert adjust().tick == 10_000
        assert gained_ns(10) == 0
        # A hundred millionths faster by its frequency, then ten thousand by its tick.
        assert adjust(modes=2, freq=100 << 16).freq == 100 << 16
        assert gained_ns(100) == 10_000_000
        assert adjust(modes=0x4002, tick=10_100).freq == 0
        assert gained_ns(100) == 1_000_000_000
        adjust(modes=0x4000, tick=10_000)
        # adjtime(3) takes five hundred millionths for it, and no more than it was told.
        assert adjust(modes=0x8001, offset=-1_000_000).offset == 0
        assert gained_ns(1000) == -500_000_000
        assert adjust(modes=0xA001).offset == -500_000
        assert gained_ns(2000) == -500_000_000
        # A loop takes a sixteenth each second of what is left.
        assert adjust(modes=0x10, status=1).status == 1
        adjust(modes=1, offset=1600)
        assert gained_ns(1) == 100_000
        task.mm.write(RESULT, bytes(208))
        with pytest.raises(EOPNOTSUPP):
            call(task, "clock_adjtime", MONOTONIC, RESULT)


class TestSleeping:
    def sleep(self, task: Task, name: str, *arguments: int) -> Sleep:
        with pytest.raises(Sleep) as caught:
            call(task, name, *arguments)
        return caught.value

    def resume(self, task: Task, sleep: Sleep) -> None:
        """Let the task find what the kernel would leave for its next look."""
        task.frame = CallFrame(0, ())
        task.frame.deadline_ns = sleep.deadline_ns
        task.frame.progress = sleep.progress

    def test_until_it_is_over(self, machine: Machine, task: Task) -> None:
        request = put(task, "2q", 1, 500)
        sleep = self.sleep(task, "nanosleep", request, 0)
        assert sleep.deadline_ns == machine.kernel.clock.now_ns + SECOND + 500
        self.resume(task, sleep)
        machine.kernel.clock.jump_to(machine.kernel.clock.now_ns + SECOND)
        assert self.sleep(task, "nanosleep", request, 0).deadline_ns == sleep.deadline_ns
        machine.kernel.clock.jump_to(sleep.deadline_ns or 0)
        assert call(task, "nanosleep", request, 0) == 0

    @pytest.mark.parametrize("name", ["nanosleep", "clock_nanosleep"])
    def test_a_signal_leaves_the_rest_and_a_way_to_go_on(
        self, machine: Machine, task: Task, name: str
    ) -> None:
        request = put(task, "2q", 2, 0)
        arguments = (request, RESULT) if name == "nanosleep" else (REALTIME, 0, request, RESULT)
        sleep = self.sleep(task, name, *arguments)
        self.resume(task, sleep)
        machine.kernel.clock.jump_to(machine.kernel.clock.now_ns + SECOND // 2)
        task.work |= SIGNAL_PENDING
        with pytest.raises(ERESTART_RESTARTBLOCK):
            call(task, name, *arguments)
        assert result(task, "2q") == (1, SECOND // 2)
        task.work &= ~SIGNAL_PENDING
        assert self.sleep(task, "restart_syscall").deadline_ns == sleep.deadline_ns
        task.work |= SIGNAL_PENDING
        with pytest.raises(EFAULT):
            call(task, name, *arguments[:-1], BAD_ADDRESS)

    def test_a_time_that_is_over_does_not_sleep(self, task: Task) -> None:
        task.work |= SIGNAL_PENDING
        for clock in (REALTIME, MONOTONIC, BOOTTIME, TAI, REALTIME_ALARM, BOOTTIME_ALARM):
            assert call(task, "clock_nanosleep", clock, ABSTIME, put(task, "2q", 5, 0), 0) == 0
        assert call(task, "nanosleep", put(task, "2q", 0, 0), 0) == 0

    def test_a_time_of_day_comes_nearer_when_the_clock_is_set(self, machine: Machine, task: Task) -> None:
        clock = machine.kernel.clock
        wanted_s = clock.realtime_ns // SECOND + 1000
        arguments = (REALTIME, ABSTIME, put(task, "2q", wanted_s, 0), 0)
        sleep = self.sleep(task, "clock_nanosleep", *arguments)
        assert sleep.queues == (clock.set_queue,)
        assert sleep.interrupted is ERESTARTNOHAND
        clock.realtime_offset_ns += 999 * SECOND
        nearer = self.sleep(task, "clock_nanosleep", *arguments)
        assert (sleep.deadline_ns or 0) - (nearer.deadline_ns or 0) == 999 * SECOND
        clock.realtime_offset_ns += SECOND
        assert call(task, "clock_nanosleep", *arguments) == 0

    def test_for_ever(self, task: Task) -> None:
        sleep = self.sleep(task, "nanosleep", put(task, "2q", (1 << 63) - 1, SECOND - 1), 0)
        assert sleep.deadline_ns == (1 << 63) - 1

    @pytest.mark.parametrize(("seconds", "nanoseconds"), [(-1, 0), (0, -1), (0, SECOND)])
    def test_no_such_time(self, task: Task, seconds: int, nanoseconds: int) -> None:
        request = put(task, "2q", seconds, nanoseconds)
        with pytest.raises(EINVAL):
            call(task, "nanosleep", request, 0)
        with pytest.raises(EINVAL):
            call(task, "clock_nanosleep", MONOTONIC, ABSTIME, request, 0)

    @pytest.mark.parametrize(
        ("clock", "error"),
        [
            (RAW, EOPNOTSUPP),
            (REALTIME_COARSE, EOPNOTSUPP),
            (THREAD, EOPNOTSUPP),
            (10, EINVAL),
            (99, EINVAL),
            (cpu_clock(99), EFAULT),
        ],
    )
    def test_not_on_every_clock(self, task: Task, clock: int, error: type[Exception]) -> None:
        with pytest.raises(error):
            call(task, "clock_nanosleep", clock, 0, BAD_ADDRESS, 0)

    def test_on_one_s_own_thread_s_time(self, task: Task) -> None:
        for clock in (cpu_clock(0, thread=True), cpu_clock(10, thread=True)):
            with pytest.raises(EINVAL):
                call(task, "clock_nanosleep", clock, 0, put(task, "2q", 1, 0), 0)

    def test_on_the_processor_time_of_another(self, machine: Machine, task: Task) -> None:
        other = machine.process(20)
        other.times.user_ns = 5 * MS
        arguments = (cpu_clock(20), 0, put(task, "2q", 0, 10 * MS), RESULT)
        sleep = self.sleep(task, "clock_nanosleep", *arguments)
        assert (sleep.deadline_ns, sleep.progress) == (None, 15 * MS)
        sleep.queues[0].add(task)
        machine.sleep(task)
        task.queues = sleep.queues
        other.times.user_ns = 12 * MS
        account(machine.kernel, other.group, 7 * MS)
        assert task.state is TaskState.RUNNABLE
        self.resume(task, sleep)
        task.work |= SIGNAL_PENDING
        with pytest.raises(ERESTART_RESTARTBLOCK):
            call(task, "clock_nanosleep", *arguments)
        assert result(task, "2q") == (0, 3 * MS)
        other.times.user_ns = 15 * MS
        # That the time is over is for the tick to see.
        with pytest.raises(ERESTART_RESTARTBLOCK):
            call(task, "clock_nanosleep", *arguments)
        assert result(task, "2q") == (0, 1)
        task.work &= ~SIGNAL_PENDING
        assert call(task, "clock_nanosleep", *arguments) == 0
