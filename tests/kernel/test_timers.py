"""Checks interval timers, POSIX timers and timerfds: when they expire, what they send, what they count."""

from __future__ import annotations

import pytest

from procession.abi.duration import TICK_NS
from procession.abi.errno import EAGAIN, ECANCELED, EFAULT, EINVAL, EOPNOTSUPP, EPERM
from procession.abi.signals import SIG_IGN
from procession.fs.file import O_NONBLOCK, POLLIN
from procession.fs.vfs import Vfs
from procession.fs.wait_queue import Sleep
from procession.hardware.kernel_memory import POSIX_TIMER_BYTES, TIMER
from procession.hardware.physical_memory import PhysicalMemory
from procession.kernel.rlimit import RLIM_INFINITY, RLIMIT_CPU, RLIMIT_SIGPENDING
from procession.kernel.signal.handlers import SignalAction
from procession.kernel.signal.info import SI_KERNEL, SI_TIMER, SigInfo
from procession.kernel.signal_delivery import take_signal
from procession.kernel.task import Task
from procession.kernel.task_state import TaskState
from procession.kernel.time.posix_clock import set_realtime
from procession.kernel.timers.descriptor import TimerFile
from procession.kernel.timers.interval import account
from tests.fs.file_tree import CountingSource
from tests.kernel.direct_calls import BAD_ADDRESS, RESULT, call, put, result
from tests.kernel.signal_fakes import Machine

HANDLER = SignalAction(0x1234, 0x04000000, 0x5678, 0)
REALTIME, MONOTONIC, PROCESS, THREAD = range(4)
SIGKILL, SIGALRM, SIGXCPU, SIGVTALRM, SIGPROF, SIGRTMIN = 9, 14, 24, 26, 27, 34
SECOND, MS, US = 10**9, 10**6, 10**3
ABSTIME, CANCEL_ON_SET = 1, 2


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.kernel.clock.jump_to(100 * SECOND)
    return machine


@pytest.fixture
def task(machine: Machine) -> Task:
    task = machine.process(10)
    for signo in (SIGALRM, SIGXCPU, SIGVTALRM, SIGPROF, SIGRTMIN):
        task.group.handlers.actions[signo] = HANDLER
    return task


def advance(machine: Machine, duration_ns: int) -> None:
    """Let time pass, every timer firing at its own."""
    clock, timers = machine.kernel.clock, machine.kernel.timers
    end_ns = clock.now_ns + duration_ns
    while (deadline_ns := timers.next_deadline_ns()) is not None and deadline_ns <= end_ns:
        clock.jump_to(deadline_ns)
        timers.run_due()
    clock.jump_to(end_ns)


def use(machine: Machine, task: Task, user_ns: int, system_ns: int = 0) -> None:
    """Let the task use processor time."""
    task.times.user_ns += user_ns
    task.times.system_ns += system_ns
    account(machine.kernel, task.group, user_ns + system_ns)


def take(machine: Machine, task: Task) -> SigInfo | None:
    """The task's next signal, as a handler or sigwaitinfo would take it."""
    return take_signal(machine.kernel, task, 0)


def pending(task: Task) -> list[int]:
    mask = task.group.shared_pending.mask | task.pending.mask
    return [signo for signo in range(1, 65) if mask >> (signo - 1) & 1]


class TestIntervalTimers:
    def set(self, task: Task, which: int, value_us: int, interval_us: int = 0) -> tuple[int, ...]:
        address = put(task, "4q", *divmod(interval_us, 10**6), *divmod(value_us, 10**6))
        call(task, "setitimer", which, address, RESULT)
        return result(task, "4q")

    def get(self, task: Task, which: int) -> tuple[int, ...]:
        call(task, "getitimer", which, RESULT)
        return result(task, "4q")

    def test_it_sends_one_signal(self, machine: Machine, task: Task) -> None:
        self.set(task, 0, 1_500_000)
        advance(machine, SECOND)
        assert self.get(task, 0) == (0, 0, 0, 500_000)
        assert pending(task) == []
        advance(machine, SECOND // 2)
        info = take(machine, task)
        assert info is not None
        assert (info.signo, info.code) == (SIGALRM, SI_KERNEL)
        advance(machine, 10 * SECOND)
        assert pending(task) == []
        assert self.get(task, 0) == (0, 0, 0, 0)

    def test_it_repeats_once_its_signal_is_taken(self, machine: Machine, task: Task) -> None:
        self.set(task, 0, 100_000, 100_000)
        advance(machine, 350 * MS)
        assert self.get(task, 0) == (0, 100_000, 0, 0)
        assert machine.kernel.timers.next_deadline_ns() is None
        assert take(machine, task) is not None
        assert self.get(task, 0) == (0, 100_000, 0, 50_000)

    def test_while_it_is_ignored_it_stands_still(self, machine: Machine, task: Task) -> None:
        task.group.handlers.actions[SIGALRM] = SignalAction(SIG_IGN)
        self.set(task, 0, 100_000, 100_000)
        advance(machine, SECOND)
        assert machine.kernel.timers.next_deadline_ns() is None

    def test_setting_tells_and_ends_the_old_one(self, machine: Machine, task: Task) -> None:
        self.set(task, 0, 2_000_000, 7)
        advance(machine, SECOND)
        assert self.set(task, 0, 0) == (0, 7, 1, 0)
        advance(machine, 10 * SECOND)
        assert pending(task) == []

    def test_alarm_rounds_so_that_zero_means_none(self, machine: Machine, task: Task) -> None:
        assert call(task, "alarm", 10) == 0
        advance(machine, 600 * MS)
        assert call(task, "alarm", 10) == 9
        advance(machine, 400 * MS)
        assert call(task, "alarm", 1) == 10
        advance(machine, 999 * MS)
        assert call(task, "alarm", 0) == 1
        assert call(task, "alarm", 0) == 0

    @pytest.mark.parametrize(("which", "signo"), [(1, SIGVTALRM), (2, SIGPROF)])
    def test_processor_time(self, machine: Machine, task: Task, which: int, signo: int) -> None:
        self.set(task, which, 10_000, 10_000)
        assert self.get(task, which) == (0, 10_000, 0, 10_000 + TICK_NS // US)
        use(machine, task, 9 * MS)
        assert pending(task) == []
        use(machine, task, 0, 5 * MS)
        assert pending(task) == ([signo] if signo == SIGPROF else [])
        use(machine, task, 5 * MS)
        assert pending(task) == [signo]
        machine.thread(task, 11)
        use(machine, task.group.threads[1], 100 * MS)
        assert self.get(task, which)[:2] == (0, 10_000)
        self.set(task, which, 0)
        assert task.group.itimers == {}

    def test_errors(self, task: Task) -> None:
        good = put(task, "4q", 0, 0, 0, 0)
        with pytest.raises(EINVAL):
            call(task, "setitimer", 3, good, 0)
        with pytest.raises(EFAULT):
            call(task, "setitimer", 3, BAD_ADDRESS, 0)
        for value in ((0, -1), (0, 10**6), (-1, 0)):
            with pytest.raises(EINVAL):
                call(task, "setitimer", 0, put(task, "4q", 0, 0, *value), 0)


class TestProcessorLimit:
    def test_warnings_each_second_and_the_end(self, machine: Machine, task: Task) -> None:
        limits = task.group.limits
        limits.soft[RLIMIT_CPU], limits.hard[RLIMIT_CPU] = 1, 3
        use(machine, task, 999 * MS)
        assert pending(task) == []
        use(machine, task, MS)
        assert pending(task) == [SIGXCPU]
        assert limits.soft[RLIMIT_CPU] == 2
        assert take(machine, task) is not None
        use(machine, task, SECOND // 2)
        assert pending(task) == []
        use(machine, task, SECOND // 2)
        assert pending(task) == [SIGXCPU]
        use(machine, task, SECOND)
        assert SIGKILL in pending(task)

    def test_a_hard_limit_alone_does_nothing(self, machine: Machine, task: Task) -> None:
        task.group.limits.soft[RLIMIT_CPU], task.group.limits.hard[RLIMIT_CPU] = RLIM_INFINITY, 1
        use(machine, task, 5 * SECOND)
        assert pending(task) == []


class TestPosixTimers:
    def create(self, task: Task, clock: int = MONOTONIC, how: int = 0, thread: int = 0) -> int:
        call(task, "timer_create", clock, put(task, "Qiii44x", 77, SIGRTMIN, how, thread), RESULT)
        return result(task, "i")[0]

    def set(
        self, task: Task, timer: int, value_ns: int, interval_ns: int = 0, flags: int = 0
    ) -> tuple[int, ...]:
        address = put(task, "4q", *divmod(interval_ns, SECOND), *divmod(value_ns, SECOND))
        call(task, "timer_settime", timer, flags, address, RESULT)
        return result(task, "4q")

    def get(self, task: Task, timer: int) -> tuple[int, ...]:
        call(task, "timer_gettime", timer, RESULT)
        return result(task, "4q")

    def test_the_signal_names_the_timer(self, machine: Machine, task: Task) -> None:
        self.create(task)
        timer = self.create(task)
        self.set(task, timer, 5 * MS)
        advance(machine, 5 * MS)
        info = take(machine, task)
        assert info is not None
        assert (info.signo, info.code, info.value) == (SIGRTMIN, SI_TIMER, 77)
        assert (info.timer_id, info.overrun) == (timer, 0)
        assert take(machine, task) is None

    def test_missed_expiries_are_counted(self, machine: Machine, task: Task) -> None:
        timer = self.create(task)
        self.set(task, timer, 10 * MS, 10 * MS)
        advance(machine, 55 * MS)
        assert call(task, "timer_getoverrun", timer) == 0
        info = take(machine, task)
        assert info is not None
        assert info.overrun == call(task, "timer_getoverrun", timer) == 4
        assert self.get(task, timer) == (0, 10 * MS, 0, 5 * MS)
        advance(machine, 5 * MS)
        again = take(machine, task)
        assert again is not None
        assert again.overrun == 0

    def test_asking_does_not_lose_expiries(self, machine: Machine, task: Task) -> None:
        timer = self.create(task)
        self.set(task, timer, 10 * MS, 10 * MS)
        advance(machine, 35 * MS)
        assert self.get(task, timer) == (0, 10 * MS, 0, 5 * MS)
        advance(machine, 20 * MS)
        info = take(machine, task)
        assert info is not None
        assert info.overrun == 4

    def test_a_count_never_overflows(self, machine: Machine, task: Task) -> None:
        timer = self.create(task)
        self.set(task, timer, 1, 1)
        advance(machine, 10 * SECOND)
        info = take(machine, task)
        assert info is not None
        assert info.overrun == call(task, "timer_getoverrun", timer) == 0x7FFFFFFF

    def test_setting_and_deleting_take_the_signal_back(self, machine: Machine, task: Task) -> None:
        timer = self.create(task)
        self.set(task, timer, MS, MS)
        advance(machine, 2 * MS)
        assert self.set(task, timer, 0)[:2] == (0, MS)
        assert pending(task) == [SIGRTMIN]
        assert take(machine, task) is None
        assert pending(task) == []
        self.set(task, timer, MS)
        advance(machine, 2 * MS)
        assert pending(task) == [SIGRTMIN]
        counted = task.credentials.count_of(RLIMIT_SIGPENDING)
        charged = machine.kernel.memory.account.kinds
        before = charged[TIMER]
        call(task, "timer_delete", timer)
        assert (task.credentials.count_of(RLIMIT_SIGPENDING), charged[TIMER]) == (counted, before)
        assert take(machine, task) is None
        assert task.credentials.count_of(RLIMIT_SIGPENDING) == counted - 1
        assert charged[TIMER] == before - POSIX_TIMER_BYTES
        assert pending(task) == []
        with pytest.raises(EINVAL):
            call(task, "timer_gettime", timer, RESULT)

    def test_a_silent_timer_is_only_asked(self, machine: Machine, task: Task) -> None:
        timer = self.create(task, how=1)
        self.set(task, timer, 10 * MS, 10 * MS)
        advance(machine, 25 * MS)
        assert self.get(task, timer) == (0, 10 * MS, 0, 5 * MS)
        self.set(task, timer, 10 * MS)
        advance(machine, 25 * MS)
        assert self.get(task, timer) == (0, 0, 0, 0)
        assert pending(task) == []

    def test_one_thread_gets_it(self, machine: Machine, task: Task) -> None:
        thread = machine.thread(task, 11)
        timer = self.create(task, how=4, thread=11)
        self.set(task, timer, MS)
        advance(machine, MS)
        assert task.group.shared_pending.mask == 0
        assert thread.pending.holds(SIGRTMIN)

    def test_what_was_ignored_comes_when_it_is_heeded(self, machine: Machine, task: Task) -> None:
        task.group.handlers.actions[SIGRTMIN] = SignalAction(SIG_IGN)
        timer = self.create(task)
        self.set(task, timer, 10 * MS, 10 * MS)
        advance(machine, 35 * MS)
        assert pending(task) == []
        call(task, "rt_sigaction", SIGRTMIN, put(task, "4Q", 0x1234, 0x04000000, 0x5678, 0), 0, 8)
        info = take(machine, task)
        assert info is not None
        assert info.overrun == 2

    def test_the_time_of_day(self, machine: Machine, task: Task) -> None:
        clock = machine.kernel.clock
        absolute, relative = self.create(task, REALTIME), self.create(task, REALTIME)
        self.set(task, absolute, clock.realtime_ns + 100 * SECOND, flags=ABSTIME)
        self.set(task, relative, 100 * SECOND)
        set_realtime(machine.kernel, clock.realtime_ns + 60 * SECOND)
        assert self.get(task, absolute) == (0, 0, 40, 0)
        assert self.get(task, relative) == (0, 0, 100, 0)
        advance(machine, 40 * SECOND)
        info = take(machine, task)
        assert info is not None
        assert info.timer_id == absolute
        advance(machine, 60 * SECOND)
        assert pending(task) == [SIGRTMIN]

    @pytest.mark.parametrize("clock", [PROCESS, THREAD])
    def test_processor_time(self, machine: Machine, task: Task, clock: int) -> None:
        timer = self.create(task, clock)
        self.set(task, timer, 10 * MS, 10 * MS)
        advance(machine, SECOND)
        use(machine, machine.thread(task, 11), 9 * MS)
        assert pending(task) == []
        assert self.get(task, timer) == (0, 10 * MS, 0, MS if clock == PROCESS else 10 * MS)
        use(machine, task, 25 * MS)
        info = take(machine, task)
        assert info is not None
        assert info.overrun == (2 if clock == PROCESS else 1)
        call(task, "timer_delete", timer)
        use(machine, task, SECOND)
        assert pending(task) == []
        assert task.group.itimers == {}

    def test_the_default_is_sigalrm_with_the_id(self, machine: Machine, task: Task) -> None:
        self.create(task)
        call(task, "timer_create", MONOTONIC, 0, RESULT)
        timer = result(task, "i")[0]
        self.set(task, timer, 1)
        advance(machine, 1)
        info = take(machine, task)
        assert info is not None
        assert (info.signo, info.value) == (SIGALRM, timer)

    def test_each_takes_a_place_among_the_pending_signals(self, task: Task) -> None:
        mine = task.credentials
        before = mine.count_of(RLIMIT_SIGPENDING)
        task.group.limits.soft[RLIMIT_SIGPENDING] = before + 2
        first = self.create(task)
        self.create(task)
        with pytest.raises(EAGAIN):
            self.create(task)
        call(task, "timer_delete", first)
        assert mine.count_of(RLIMIT_SIGPENDING) == before + 1
        assert self.create(task) not in (first, first + 1)

    @pytest.mark.parametrize(
        ("clock", "how", "signo", "error"),
        [
            (99, 0, SIGRTMIN, EINVAL),
            (4, 0, SIGRTMIN, EOPNOTSUPP),
            (-5, 0, SIGRTMIN, EOPNOTSUPP),
            (MONOTONIC, 3, SIGRTMIN, EINVAL),
            (MONOTONIC, 0, 0, EINVAL),
            (MONOTONIC, 0, 65, EINVAL),
            (MONOTONIC, 4, SIGRTMIN, EINVAL),
        ],
    )
    def test_what_is_refused(
        self, task: Task, clock: int, how: int, signo: int, error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            call(task, "timer_create", clock, put(task, "Qiii44x", 0, signo, how, 99), RESULT)
        assert task.group.posix_timers == {}

    def test_nothing_is_made_that_cannot_be_told(self, task: Task) -> None:
        before = task.credentials.count_of(RLIMIT_SIGPENDING)
        with pytest.raises(EFAULT):
            call(task, "timer_create", MONOTONIC, 0, BAD_ADDRESS)
        assert task.group.posix_timers == {}
        assert task.credentials.count_of(RLIMIT_SIGPENDING) == before

    def test_alarm_clocks_take_a_capability(self, machine: Machine) -> None:
        alice = machine.process(20, credentials=machine.credentials.for_user(1000, 1000))
        for name, *arguments in (("timer_create", 8, 0, RESULT), ("timerfd_create", 9, 0)):
            with pytest.raises(EPERM):
                call(alice, str(name), *(int(argument) for argument in arguments))


class TestTimerFiles:
    @pytest.fixture
    def file(self, machine: Machine, task: Task) -> TimerFile:
        machine.kernel.vfs = Vfs(PhysicalMemory(1 << 20), machine.kernel.clock, CountingSource())
        return TimerFile(machine.kernel, REALTIME, O_NONBLOCK, task.credentials)

    def set(self, file: TimerFile, value_ns: int, interval_ns: int = 0, flags: int = 0) -> tuple[int, int]:
        from procession.kernel.timers.posix import TimerSetting

        return tuple(file.set(TimerSetting(interval_ns, value_ns), flags))  # type: ignore[return-value]

    def count(self, file: TimerFile) -> int:
        return int.from_bytes(file.read(8), "little")

    def test_reading_gives_and_clears_the_count(self, machine: Machine, file: TimerFile) -> None:
        self.set(file, 10 * MS, 10 * MS)
        with pytest.raises(EAGAIN):
            file.read(8)
        assert file.poll_mask() == 0
        advance(machine, 35 * MS)
        assert file.poll_mask() == POLLIN
        assert self.count(file) == 3
        assert tuple(file.get()) == (10 * MS, 5 * MS)
        with pytest.raises(EAGAIN):
            file.read(8)
        with pytest.raises(EINVAL):
            file.read(7)

    def test_asking_counts_too(self, machine: Machine, file: TimerFile) -> None:
        self.set(file, 10 * MS, 10 * MS)
        advance(machine, 35 * MS)
        assert tuple(file.get()) == (10 * MS, 5 * MS)
        assert self.count(file) == 3

    def test_readers_wait_and_are_woken(self, machine: Machine, task: Task, file: TimerFile) -> None:
        file.flags &= ~O_NONBLOCK
        self.set(file, 10 * MS)
        with pytest.raises(Sleep) as caught:
            file.read(8)
        caught.value.queues[0].add(task)
        machine.sleep(task)
        task.queues = caught.value.queues
        advance(machine, 10 * MS)
        assert task.state is TaskState.RUNNABLE
        assert self.count(file) == 1
        assert tuple(file.get()) == (0, 0)

    def test_setting_tells_the_old_one_and_forgets_its_count(self, machine: Machine, file: TimerFile) -> None:
        self.set(file, 10 * MS, 20 * MS)
        advance(machine, 15 * MS)
        assert self.set(file, 0) == (20 * MS, 15 * MS)
        assert file.poll_mask() == 0
        advance(machine, SECOND)
        assert file.poll_mask() == 0

    def test_a_set_clock_cancels(self, machine: Machine, file: TimerFile) -> None:
        clock = machine.kernel.clock
        wanted_ns = clock.realtime_ns + 100 * SECOND
        self.set(file, wanted_ns, flags=ABSTIME | CANCEL_ON_SET)
        set_realtime(machine.kernel, clock.realtime_ns + SECOND)
        assert file.poll_mask() == POLLIN
        with pytest.raises(ECANCELED):
            file.read(8)
        with pytest.raises(EAGAIN):
            file.read(8)
        set_realtime(machine.kernel, clock.realtime_ns + SECOND)
        with pytest.raises(ECANCELED):
            self.set(file, wanted_ns, flags=ABSTIME | CANCEL_ON_SET)
        advance(machine, 98 * SECOND)
        assert self.count(file) == 1

    def test_a_cancellation_waits_for_who_asks_for_it(self, machine: Machine, file: TimerFile) -> None:
        clock = machine.kernel.clock
        wanted_ns = clock.realtime_ns + 100 * SECOND
        self.set(file, wanted_ns, flags=ABSTIME | CANCEL_ON_SET)
        set_realtime(machine.kernel, clock.realtime_ns + SECOND)
        self.set(file, wanted_ns, flags=ABSTIME)
        with pytest.raises(EAGAIN):
            file.read(8)
        with pytest.raises(ECANCELED):
            self.set(file, wanted_ns, flags=ABSTIME | CANCEL_ON_SET)
        self.set(file, wanted_ns, flags=ABSTIME | CANCEL_ON_SET)
        with pytest.raises(EAGAIN):
            file.read(8)

    def test_a_set_clock_moves_an_absolute_timer(self, machine: Machine, file: TimerFile) -> None:
        clock = machine.kernel.clock
        self.set(file, clock.realtime_ns + 100 * SECOND, flags=ABSTIME)
        set_realtime(machine.kernel, clock.realtime_ns + 99 * SECOND)
        advance(machine, SECOND)
        assert self.count(file) == 1

    def test_a_closed_one_is_forgotten(self, machine: Machine, file: TimerFile) -> None:
        self.set(file, machine.kernel.clock.realtime_ns + SECOND, flags=ABSTIME | CANCEL_ON_SET)
        file.release_if_unheld()
        assert machine.kernel.timers.next_deadline_ns() is None
        assert machine.kernel.clock.set_queue.waiters == {}

    def test_its_details(self, machine: Machine, file: TimerFile) -> None:
        self.set(file, 1500 * MS, 250 * MS)
        assert file.show_details().splitlines() == [
            b"clockid: 0",
            b"ticks: 0",
            b"settime flags: 00",
            b"it_value: (1, 500000000)",
            b"it_interval: (0, 250000000)",
        ]

    def test_errors(self, machine: Machine, task: Task, file: TimerFile) -> None:
        from procession.fs.fd_table import FdTable

        task.files = FdTable()
        fd = call(task, "timerfd_create", MONOTONIC, 0)
        for clock, flags in ((2, 0), (4, 0), (99, 0), (MONOTONIC, 1)):
            with pytest.raises(EINVAL):
                call(task, "timerfd_create", clock, flags)
        with pytest.raises(EFAULT):
            call(task, "timerfd_settime", 99, 4, BAD_ADDRESS, 0)
        good = put(task, "4q", 0, 0, 0, 1)
        with pytest.raises(EINVAL):
            call(task, "timerfd_settime", 99, 4, good, 0)
        assert call(task, "timerfd_settime", fd, 0, good, 0) == 0
        with pytest.raises(EFAULT):
            call(task, "timerfd_gettime", fd, BAD_ADDRESS)
