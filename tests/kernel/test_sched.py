"""Checks who runs, for how long, and what time it is meanwhile: scripts compete for virtual processors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, pairwise
from statistics import median
from struct import pack, unpack

import pytest

from procession.hardware.engines.scripted import Branch, Call, ScriptedEngine, Spin, Step, Work
from procession.kernel.sched.entity import BASE_SLICE_NS, ROUND_ROBIN_SLICE_NS
from procession.kernel.sched.priority import SchedulingChange, set_scheduling
from procession.kernel.sched.run_queue import MINIMUM_TURN_NS
from procession.kernel.task import Task
from procession.kernel.task_state import TaskState
from procession.machine import Machine
from tests.kernel.conducted_machine import ROOT
from tests.of_a_kind import heavy

MS, SECOND = 10**6, 10**9
NORMAL, FIFO, RR, BATCH, IDLE, DEADLINE = 0, 1, 2, 3, 5, 6
NANOSLEEP, YIELD, SETSCHEDULER, SETPRIORITY, SETATTR, SETAFFINITY, CLOCK = 35, 24, 144, 141, 314, 203, 228
EXIT = Call(231, 0)


class Race:
    """A machine and the scripts that compete on it."""

    def __init__(self, cpus: int = 1, seed: int = 0) -> None:
        self.machine = Machine(engine="scripted", rootfs=ROOT, memory=1 << 24, cpus=cpus, seed=seed)
        self.kernel = self.machine.kernel
        engine = self.machine.engine
        assert isinstance(engine, ScriptedEngine)
        self.engine = engine
        self.log: list[tuple[int, int]] = []

    def start(self, *steps: Step) -> Task:
        return self.machine.start_script(steps)

    def real_time(self, number: int, priority: int, *steps: Step) -> Task:
        """Start a script that has a real-time policy from its first step on."""
        task = self.start(*steps)
        set_scheduling(self.machine.init, task, SchedulingChange(number, priority, 0, resets_on_fork=False))
        return task

    def hog(self, *before: Step) -> Task:
        """A task that computes for ever, after `before`."""
        return self.start(*before, Spin())

    def run_for(self, duration_ns: int) -> None:
        until_ns = self.kernel.clock.now_ns + duration_ns
        self.machine.run_until(lambda machine: machine.kernel.clock.now_ns >= until_ns)

    def result(self, task: Task, name: str) -> int:
        return self.engine.results_of[task.tid][name]


class Note(Branch):
    """Logs (time, tid) in passing."""

    def __init__(self, race: Race) -> None:
        super().__init__(self._log, "")
        self.race = race

    def _log(self, result: int) -> bool:
        del result
        current = self.race.kernel.current
        assert current is not None
        self.race.log.append((self.race.kernel.clock.now_ns, current.tid))
        return False


def forever(*steps: Step) -> list[Step]:
    return ["again", *steps, Branch(lambda result: True, "again")]


def policy(number: int, priority: int = 0) -> Call:
    return Call(SETSCHEDULER, 0, number, pack("<i", priority))


def nice(value: int) -> Call:
    return Call(SETPRIORITY, 0, 0, value)


def reservation(runtime_ns: int, deadline_ns: int, period_ns: int) -> Call:
    attributes = pack("<IIQiIQQQ", 48, DEADLINE, 0, 0, 0, runtime_ns, deadline_ns, period_ns)
    return Call(SETATTR, 0, attributes, 0, name="reserved")


def affinity(mask: int) -> Call:
    return Call(SETAFFINITY, 0, 8, pack("<Q", mask))


def sleep(duration_ns: int) -> Call:
    return Call(NANOSLEEP, pack("<QQ", duration_ns // SECOND, duration_ns % SECOND), 0)


def ran(task: Task) -> int:
    return task.times.user_ns + task.times.system_ns


def shares(*tasks: Task) -> list[float]:
    total = sum(map(ran, tasks))
    return [ran(task) / total for task in tasks]


@pytest.fixture
def race() -> Iterator[Race]:
    race = Race()
    yield race
    race.machine.close()


@pytest.fixture
def pair() -> Iterator[Race]:
    """Two processors."""
    race = Race(cpus=2)
    yield race
    race.machine.close()


class TestFair:
    def test_alike_get_alike(self, race: Race) -> None:
        tasks = [race.hog() for _ in range(4)]
        race.run_for(SECOND)
        assert shares(*tasks) == pytest.approx([0.25] * 4, abs=0.01)

    @pytest.mark.parametrize(
        ("one", "other", "share"),
        [
            (0, 1, 0.555),
            (0, 5, 0.7535),
            (-5, 0, 0.7530),
            (0, 10, 0.9030),
            (19, 18, 0.4545),
            (-20, 19, 0.9998),
        ],
    )
    def test_nice_is_a_weight(self, race: Race, one: int, other: int, share: float) -> None:
        first, second = race.hog(nice(one)), race.hog(nice(other))
        race.run_for(2 * SECOND)
        assert shares(first, second)[0] == pytest.approx(share, abs=0.01)

    def test_the_least_gets_something(self, race: Race) -> None:
        weak, *strong = race.hog(nice(19)), race.hog(nice(-20)), race.hog(nice(-20))
        before_ns = ran(weak)
        race.run_for(SECOND)
        assert ran(weak) > before_ns
        assert shares(*strong) == pytest.approx([0.5, 0.5], abs=0.01)

    def test_idle_gets_what_is_left(self, race: Race) -> None:
        idle, normal = race.hog(policy(IDLE)), race.hog()
        race.run_for(2 * SECOND)
        assert shares(idle, normal)[0] == pytest.approx(3 / 1027, abs=0.003)

    def test_batch_gets_as_much(self, race: Race) -> None:
        batch, normal = race.hog(policy(BATCH)), race.hog()
        race.run_for(SECOND)
        assert shares(batch, normal)[0] == pytest.approx(0.5, abs=0.01)

    def test_forking_leaves_something_to_others(self, race: Race) -> None:
        # One task computes; the other's children each compute a little and end.
        single = race.hog()
        parent = race.start(
            *forever(Call(57), Branch(lambda pid: pid == 0, "child"), Call(61, -1, 0, 0, 0)),
            *("child", Work(50_000), EXIT),
        )
        race.run_for(SECOND)
        family = ran(parent) + parent.group.children_times.user_ns + parent.group.children_times.system_ns
        # Linux gives such a family up to four fifths: its children begin where their parent is.
        assert 0.4 < family / (family + ran(single)) < 0.8

    def test_who_sleeps_gains_no_credit_without_end(self, race: Race) -> None:
        hog = race.hog()
        sleeper = race.hog(sleep(SECOND))
        race.run_for(SECOND + 200 * MS)
        assert ran(sleeper) == pytest.approx(100 * MS, rel=0.1)
        assert ran(hog) == pytest.approx(1100 * MS, rel=0.02)

    def test_a_sleeper_is_soon_served(self, race: Race) -> None:
        for _ in range(3):
            race.hog()
        sleeper = race.start(*forever(sleep(10 * MS), Note(race), Work(100)))
        race.run_for(SECOND)
        times = [now_ns for now_ns, tid in race.log if tid == sleeper.tid]
        gaps = [after - before for before, after in pairwise(times)]
        assert len(times) > 80
        assert max(gaps) < 10 * MS + 4 * MS

    def test_messages_to_a_parent_switch_once_a_slice(self, race: Race) -> None:
        read, write = Call(0, 3, b"-", 1), Call(1, 4, b"x", 1)
        reader = race.start(
            *(Call(293, bytes(8), 0, name="pipe"), Call(57), Branch(lambda pid: pid == 0, "child")),
            *forever(Note(race), read, Work(25_000)),
            *("child", Note(race), write, Work(25_000), Branch(lambda result: True, "child")),
        )
        race.run_for(200 * MS)
        assert race.result(reader, "pipe") == 0
        turns = [tid for (_, previous), (_, tid) in pairwise(race.log) if tid != previous]
        assert set(turns) == {reader.tid, reader.tid + 1}
        assert len(race.log) > 1500
        assert len(turns) == pytest.approx(200 / 3, rel=0.2)

    def test_yielding_lets_the_others_run(self, race: Race) -> None:
        hog = race.hog()
        yielder = race.start(*forever(Call(YIELD), Work(250)))
        race.run_for(200 * MS)
        assert shares(hog, yielder)[1] < 0.1

    def test_slices_differ_by_seed_alone(self) -> None:
        def run(seed: int) -> tuple[list[int], str]:
            race = Race(seed=seed)
            tasks = [race.hog() for _ in range(3)]
            race.run_for(30 * MS)
            outcome = [ran(task) for task in tasks], race.machine.state_hash()
            race.machine.close()
            return outcome

        assert run(1) == run(1)
        assert run(1) != run(2)

    @pytest.mark.parametrize("slice_ns", [0, MS, 20 * MS])
    def test_takes_turns_of_the_slice_that_was_asked_for(self, race: Race, slice_ns: int) -> None:
        ask = Call(SETATTR, 0, pack("<IIQiIQQQ", 48, 0, 0, 0, 0, slice_ns, 0, 0), 0)
        for _ in range(2):
            race.start(ask, *forever(Note(race), Work(25_000)))
        race.run_for(500 * MS)
        starts = [next(notes)[0] for _, notes in groupby(race.log, key=lambda note: note[1])]
        lengths = [after - before for before, after in pairwise(starts[2:])]
        expected_ns = slice_ns or BASE_SLICE_NS
        assert len(lengths) > 20
        # One that is hardly ahead of the other may go on for another.
        assert expected_ns * 0.85 < median(lengths) <= expected_ns * 1.1


class TestRealTime:
    def test_goes_before_fair_tasks_up_to_its_part(self, race: Race) -> None:
        fifo, normal = race.hog(policy(FIFO, 1)), race.hog(nice(-20))
        race.run_for(4 * SECOND)
        assert shares(fifo, normal) == pytest.approx([0.95, 0.05], abs=0.005)

    def test_takes_all_when_nobody_else_is_there(self, race: Race) -> None:
        fifo = race.hog(policy(FIFO, 1))
        race.run_for(2 * SECOND)
        assert ran(fifo) == pytest.approx(2 * SECOND, rel=0.01)

    def test_the_higher_priority_runs_alone(self, race: Race) -> None:
        low = race.real_time(FIFO, 10, Spin())
        high = race.real_time(RR, 11, Spin())
        race.run_for(10 * MS)
        before_ns = ran(low)
        race.run_for(500 * MS)
        assert ran(low) == before_ns
        assert ran(high) > 500 * MS

    def test_fifo_runs_until_it_blocks(self, race: Race) -> None:
        first, second = (race.real_time(FIFO, 10, Spin()) for _ in range(2))
        race.run_for(500 * MS)
        assert min(ran(first), ran(second)) < MS

    def test_fifo_yields_to_its_equals(self, race: Race) -> None:
        steps = forever(Note(race), Work(25_000), Call(YIELD))
        tasks = [race.real_time(FIFO, 10, *steps) for _ in range(3)]
        race.run_for(10 * MS)
        order = [tid for _, tid in race.log]
        assert len(order) > 90
        assert order == [tasks[at % 3].tid for at in range(len(order))]

    def test_fifo_keeps_its_place_when_preempted(self, race: Race) -> None:
        # The one that the higher priority interrupts goes on afterwards, before its equal.
        first, second = (race.real_time(FIFO, 10, Spin()) for _ in range(2))
        high = race.real_time(FIFO, 20, *forever(sleep(MS), Work(25)))
        race.run_for(100 * MS)
        assert high.times.voluntary_switches > 80
        assert ran(first) > 90 * MS
        assert ran(second) == 0

    def test_round_robin_takes_turns(self, race: Race) -> None:
        tasks = [race.real_time(RR, 10, *forever(Note(race), Work(25_000))) for _ in range(2)]
        race.run_for(900 * MS)
        turns: list[tuple[int, int]] = []
        for now_ns, tid in race.log:
            if not turns or turns[-1][1] != tid:
                turns.append((now_ns, tid))
        assert {tid for _, tid in turns} == {task.tid for task in tasks}
        lengths = [after - before for (before, _), (after, _) in pairwise(turns[1:])]
        assert len(lengths) >= 6
        assert lengths == pytest.approx([ROUND_ROBIN_SLICE_NS] * len(lengths), rel=0.01)

    def test_turns_are_as_long_as_sysctl_says(self, race: Race) -> None:
        race.machine.kernel.scheduler.rules.round_robin_ns = 20 * MS
        tasks = [race.real_time(RR, 10, *forever(Note(race), Work(25_000))) for _ in range(2)]
        race.run_for(900 * MS)
        changes = sum(before[1] != after[1] for before, after in pairwise(race.log))
        assert 35 <= changes <= 48
        assert {tid for _, tid in race.log} == {task.tid for task in tasks}

    @pytest.mark.parametrize(("runtime_ms", "least", "most"), [(100, 1500, 1650), (-1, 0, 0), (500, 0, 0)])
    def test_what_is_left_for_others_is_what_sysctl_says(
        self, race: Race, runtime_ms: int, least: int, most: int
    ) -> None:
        rules = race.machine.kernel.scheduler.rules
        rules.realtime_runtime_ns, rules.realtime_period_ns = runtime_ms * MS, 500 * MS
        race.real_time(FIFO, 10, Spin())
        other = race.hog()
        race.run_for(2000 * MS)
        assert least * MS <= ran(other) <= most * MS

    @pytest.mark.parametrize("runtime_ns", [0, 1000, SECOND - 1000])
    def test_slices_are_no_shorter_than_ticks_however_little_is_had_or_left(
        self, race: Race, runtime_ns: int
    ) -> None:
        # The host would be asked a million times a second.
        race.kernel.scheduler.rules.realtime_runtime_ns = runtime_ns
        task = race.real_time(FIFO, 10, Spin())
        race.hog()
        race.run_for(200 * MS)
        assert race.kernel.scheduler.slice_ns(task, 0) >= MS

    def test_a_waking_one_preempts_at_once(self, race: Race) -> None:
        race.hog()
        race.hog()
        waker = race.start(policy(FIFO, 1), *forever(sleep(7 * MS), Note(race), Work(25)))
        race.run_for(500 * MS)
        times = [now_ns for now_ns, _ in race.log]
        gaps = [after - before for before, after in pairwise(times)]
        assert len(gaps) > 50
        assert max(gaps) < 7 * MS + 200_000
        assert waker.state is not TaskState.ZOMBIE


class TestDeadline:
    def test_gets_what_it_reserved(self, race: Race) -> None:
        task, hog = race.hog(reservation(10 * MS, 100 * MS, 100 * MS)), race.hog()
        race.run_for(2 * SECOND)
        assert race.result(task, "reserved") == 0
        assert ran(task) == pytest.approx(200 * MS, rel=0.06)
        assert ran(hog) == pytest.approx(1800 * MS, rel=0.02)

    def test_goes_before_real_time(self, race: Race) -> None:
        task = race.start(
            reservation(2 * MS, 10 * MS, 10 * MS), *forever(Note(race), Work(250_000), Call(YIELD))
        )
        race.run_for(5 * MS)
        fifo = race.real_time(FIFO, 99, Spin())
        race.run_for(500 * MS)
        times = [now_ns for now_ns, tid in race.log if tid == task.tid]
        assert max(after - before for before, after in pairwise(times)) < 11 * MS
        assert ran(fifo) == pytest.approx(450 * MS, rel=0.02)

    def test_the_earlier_deadline_goes_first(self, race: Race) -> None:
        late = race.start(
            reservation(20 * MS, 100 * MS, 100 * MS), *forever(Note(race), Work(250_000), Call(YIELD))
        )
        early = race.start(
            reservation(5 * MS, 20 * MS, 20 * MS), *forever(Note(race), Work(250_000), Call(YIELD))
        )
        race.run_for(SECOND)
        counts = [sum(1 for _, tid in race.log if tid == task.tid) for task in (late, early)]
        assert counts[0] == pytest.approx(10, abs=1)
        assert counts[1] == pytest.approx(50, abs=2)

    def test_has_no_children(self, race: Race) -> None:
        task = race.start(reservation(10 * MS, 100 * MS, 100 * MS), Call(57, name="fork"), Spin())
        race.run_for(100 * MS)
        assert race.result(task, "fork") == -11


class TestProcessors:
    def test_each_runs_its_own(self, pair: Race) -> None:
        tasks = [pair.hog() for _ in range(2)]
        pair.run_for(500 * MS)
        assert [ran(task) for task in tasks] == pytest.approx([500 * MS] * 2, rel=0.03)

    def test_four_share_two(self, pair: Race) -> None:
        tasks = [pair.hog() for _ in range(4)]
        pair.run_for(500 * MS)
        assert [ran(task) for task in tasks] == pytest.approx([250 * MS] * 4, rel=0.05)

    def test_affinity_binds(self, pair: Race) -> None:
        bound = [pair.hog(affinity(1)) for _ in range(2)]
        free = pair.hog()
        pair.run_for(500 * MS)
        assert [ran(task) for task in bound] == pytest.approx([250 * MS] * 2, rel=0.05)
        assert ran(free) == pytest.approx(500 * MS, rel=0.05)
        assert {task.entity.processor for task in bound} == {0}

    def test_one_processor_at_work_is_one_processor(self, pair: Race) -> None:
        tasks = [pair.hog(affinity(2)) for _ in range(2)]
        pair.run_for(500 * MS)
        assert sum(map(ran, tasks)) == pytest.approx(500 * MS, rel=0.02)

    def test_an_idle_one_takes_from_a_busy_one(self, pair: Race) -> None:
        # Three start; one of the two on the busier processor moves when the other ends.
        tasks = [pair.hog(), pair.hog()]
        short = [pair.start(Work(2_500_000), EXIT) for _ in range(2)]
        pair.run_for(100 * MS)
        assert all(task.state is TaskState.DEAD for task in short)
        before = [ran(task) for task in tasks]
        pair.run_for(200 * MS)
        gained = [ran(task) - start for task, start in zip(tasks, before, strict=True)]
        assert gained == pytest.approx([200 * MS] * 2, rel=0.05)

    @pytest.mark.heavy
    def test_who_goes_to_sleep_at_once_leaves_the_turn_to_the_next(self, pair: Race) -> None:
        # A stop takes no time: it mustn't be all that happens in a processor's turn.
        waiting = pair.hog(affinity(2))
        pair.run_for(10 * MS)
        stopped = pair.start(*forever(affinity(2)))
        pair.run_for(10 * MS)
        before = ran(waiting)
        stop, go_on = Call(62, stopped.tid, 19), Call(62, stopped.tid, 18)
        pair.start(affinity(1), *forever(go_on, stop, Call(YIELD)))
        pair.run_for(100 * MS)
        assert ran(waiting) - before > 10 * MS

    @pytest.mark.parametrize("has_company", [False, True])
    def test_who_is_woken_runs_beside_the_waker(self, pair: Race, has_company: bool) -> None:
        # Not a slice later: what a waker does next mustn't find the other still where it was.
        if has_company:
            pair.hog(affinity(2))
        woken = pair.start(affinity(2), *forever(Note(pair), Work(2500)))
        stop, go_on = Call(62, woken.tid, 19), Call(62, woken.tid, 18)
        waker = pair.start(affinity(1), *forever(Note(pair), go_on, Work(5), stop, sleep(20 * MS)))
        pair.run_for(2 * SECOND)
        turns = [tid for tid, _ in groupby(tid for _, tid in pair.log)]
        wake_ups = sum(tid == waker.tid for _, tid in pair.log)
        assert wake_ups > 60
        # Chance says who of the two comes first; a slice later it would be never.
        assert turns.count(woken.tid) > wake_ups // 2

    @pytest.mark.parametrize("cpus", [1, heavy(2), 3, heavy(8)])
    def test_time_never_goes_back(self, cpus: int) -> None:
        race = Race(cpus=cpus)
        scratch = 0x10_4000
        noted: list[tuple[int, ...]] = []

        def read(result: int) -> bool:
            current = race.kernel.current
            assert result == 0
            assert current is not None
            noted.append(unpack("<QQ", current.mm.read(scratch, 16)))
            return False

        look = (Call(CLOCK, 1, scratch), Branch(read, ""))
        for number in range(5):
            race.start(
                *forever(
                    *(*look, Work(37 * number + 1), Call(YIELD), *look, sleep(number * 10_000), Call(57)),
                    *(Branch(lambda pid: pid != 0, "parent"), *look, EXIT, "parent", Call(61, -1, 0, 0, 0)),
                )
            )
        race.run_for(50 * MS)
        assert len(noted) > 200
        assert noted == sorted(noted)
        race.machine.close()


class TestTimers:
    def test_sleep_takes_no_longer_than_it_says(self, race: Race) -> None:
        task = race.start(Note(race), sleep(1000 * SECOND), Note(race), EXIT)
        race.machine.run_until(lambda machine: task.state is TaskState.DEAD)
        (start_ns, _), (end_ns, _) = race.log
        assert 1000 * SECOND <= end_ns - start_ns < 1000 * SECOND + MS

    def test_sleepers_wake_in_the_order_of_their_times(self, race: Race) -> None:
        tasks = [race.start(sleep(duration * MS), Note(race), EXIT) for duration in (50, 10, 40, 20, 30)]
        race.machine.run_until(lambda machine: all(task.state is TaskState.DEAD for task in tasks))
        assert [tid for _, tid in race.log] == [tasks[at].tid for at in (1, 3, 4, 2, 0)]

    def test_a_timer_ends_a_computation_on_time(self, race: Race) -> None:
        # alarm(1) for a task that never enters the kernel.
        task = race.hog(Call(37, 1))
        race.machine.run_until(lambda machine: task.state in {TaskState.ZOMBIE, TaskState.DEAD})
        assert task.exit_code == 14
        assert race.kernel.clock.run_ns == pytest.approx(SECOND, rel=0.001)

    def test_cancelled_timers_leave_nothing(self, race: Race) -> None:
        task = race.start(*[step for _ in range(300) for step in (Call(37, 100), Call(37, 0))], EXIT)
        race.machine.run_until(lambda machine: task.state is TaskState.DEAD)
        assert race.kernel.timers.armed_count == 0
        assert len(race.kernel.timers.heap) <= 64

    def test_nothing_left_to_wait_for(self, race: Race) -> None:
        race.start(Call(34))
        assert not race.machine.run_until(lambda machine: False)
        assert all(task.state is TaskState.INTERRUPTIBLE for task in race.kernel.tasks)


def test_a_turn_is_more_than_the_switch_to_it() -> None:
    """A timer that is due at once comes after it: sleepers in step would leave others a block a turn."""
    race = Race()
    clock, scheduler, timers = race.kernel.clock, race.kernel.scheduler, race.kernel.timers
    found: list[int] = []

    def shortly_before_a_timer(result: int) -> bool:
        del result
        deadline_ns, hog = timers.next_deadline_ns(), race.kernel.current
        if deadline_ns is not None and not found:
            assert hog is not None
            clock.spend(deadline_ns - clock.now_ns - 5)
            found.append(scheduler.slice_ns(hog))
            scheduler.start_turn(hog)
            found.append(clock.slice_left_ns)
        return False

    race.start(*forever(sleep(MS)))
    race.hog(Work(2_500), Branch(shortly_before_a_timer, ""), Work(2_500), Branch(shortly_before_a_timer, ""))
    race.run_for(10 * MS)
    assert found == [5, MINIMUM_TURN_NS]
