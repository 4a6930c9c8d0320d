"""A machine under a searcher's hand: it goes on from one choice to the next, and back to one before."""

from __future__ import annotations

import time
from math import sqrt
from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.errno import EFAULT
from procession.abi.named_tuple import NamedTuple
from procession.abi.syscall_numbers import name_of
from procession.ending import reason_of_guest
from procession.explore.facts import FactWatcher
from procession.explore.footprint import CLOCK_TID, FootprintEvents, FootprintWatcher, Segment
from procession.explore.oracle import DEADLOCK, ENDLESS, EXITED, STOPPED, Run
from procession.explore.program import Program, Schedule
from procession.hardware.registers import RAX
from procession.inspection.steering import has_ended
from procession.kernel.decider import NamedChoice, ScheduleLeft, SeededDecider
from procession.kernel.sched.explored import NEXT_TASK, PAUSE, ExploredScheduler
from procession.kernel.task_state import ENDED
from procession.recording.schedule import MEMORY
from procession.syscalls.declaration import TABLE, TABLE_SIZE
from procession.syscalls.permitted import FAULTS
from procession.trace.argument import arguments_at_entry
from procession.trace.call_stack import CallStacks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from procession.kernel.task import Task
    from procession.machine import Machine
    from procession.snapshot.keeper import Snapshot

DEFAULT_STEP_LIMIT = 20_000
DEFAULT_TIME_LIMIT_S = 60.0
_FIRST_INTERVAL, _LARGEST_INTERVAL = 4, 64
_FEW = 4
"""So few snapshots and ways back say nothing of what one costs and how often one is needed."""
_LARGEST_OUTPUT = 16 << 20


class Offer(NamedTuple):
    """A moment at which it's open who goes on: `tids`, the default first, 0 standing for the next timer.

    With `goes_on` the first is the task that ran until now, so that any other is a preemption.
    """

    tids: tuple[int, ...]
    goes_on: bool


def deviations_of(offer: Offer, option: int) -> int:
    """1 if that option of `offer` preempts who runs, or lets a timer be early; else 0."""
    if offer.tids[option] == CLOCK_TID:
        return 1
    return int(offer.goes_on and option != 0)


class Step(NamedTuple):
    """What happened between two offers: what was chosen but for who goes on, and what tasks did then.

    There is more than one segment where one task slept and only one other could go on.
    """

    inner: tuple[NamedChoice, ...]
    segments: list[Segment]


class SearchDecider(SeededDecider):
    """Answers what it's told for the next step, pauses the machine where it's not told who runs next.

    `inner` are the options of the other choices in that step, the default once there are no more. `asked` is
    all that was chosen since the machine started.
    """

    __slots__ = ("asked", "inner", "is_paused", "kinds", "next_option")

    def __init__(self, seed: int, kinds: Iterable[str]) -> None:
        super().__init__(seed)
        self.kinds = frozenset(kinds)
        self.asked: list[NamedChoice] = []
        self.next_option = PAUSE
        self.inner: tuple[int, ...] = ()
        self.is_paused = False

    def choose(self, kind: str, count: int) -> int:
        """See `Decider`; PAUSE for who runs next where that isn't known yet. Raises ScheduleLeft."""
        if count < 2 or kind not in self.kinds:
            return 0
        if kind == NEXT_TASK:
            option, self.next_option = self.next_option, PAUSE
            if option == PAUSE:
                self.is_paused = True
                return PAUSE
        elif self.inner:
            option, self.inner = self.inner[0], self.inner[1:]
        else:
            option = 0
        if option >= count:
            raise ScheduleLeft(f"option {option} of {count} for {kind}")
        self.asked.append(NamedChoice(kind, count, option))
        return option


class Checkpoint(NamedTuple):
    """A choice on the way to where a world is now: after how many steps, and what was open then."""

    length: int
    offer: Offer | None


class _Kept(NamedTuple):
    """A snapshot on the way: the machine's, and how much there was by then of what lies beside it."""

    length: int
    snapshot: Snapshot
    offer: Offer | None
    ending: str
    output_count: int
    fact_count: int
    happening_count: int
    shared_memory: frozenset[int]
    deviations: int


class World:
    """A run of `program` that waits at each choice of who goes on.

    After `begin`, `first_segments` are what happened before the first choice, `offer` is what is open now,
    None once the run has ended; then `ending` says how, and `unfinished` who could have gone on when the
    command had ended, CLOCK_TID standing for a timer. `advance` takes a step, all of which are in `steps`,
    and in `path` what was open before each and what happened in it. `new_count` says how many there were,
    without those that were taken again after going back.
    `checkpoint` and `back_to` are how a searcher comes to the other options of a choice on the way: to the
    last snapshot before it, and from there by the same steps. Snapshots are taken so far apart that they and
    the steps that are taken again cost the least; with `keeps_snapshots` unset there are none, and the run
    begins anew.
    """

    def __init__(
        self,
        program: Program,
        *,
        step_limit: int = DEFAULT_STEP_LIMIT,
        time_limit_s: float = DEFAULT_TIME_LIMIT_S,
        keeps_snapshots: bool = True,
        orders_output: bool = True,
        looks_at_stacks: bool = False,
        looks_at_descriptors: bool = True,
    ) -> None:
        self.program = program
        self.stacks = CallStacks() if looks_at_stacks else None
        self.looks_at_descriptors = looks_at_descriptors
        self.step_limit = step_limit
        self.time_limit_ns = int(time_limit_s * NS_PER_S)
        self.machine: Machine
        self.decider: SearchDecider
        self.watcher: FootprintWatcher
        self.facts: FactWatcher
        self.first_segments: list[Segment] = []
        self.offer: Offer | None = None
        self.ending = ""
        self.unfinished: tuple[int, ...] = ()
        self.output: list[tuple[int, bytes]] = []
        self.steps: list[tuple[int, tuple[int, ...]]] = []
        self.path: list[tuple[Offer, Step]] = []
        self.step_count = 0
        self.deviations = 0
        self.keeps_snapshots = keeps_snapshots
        self.orders_output = orders_output
        self.kept: list[_Kept] = []
        self.interval = _FIRST_INTERVAL
        self.stepping_s = self.keeping_s = 0.0
        self.keep_count = self.return_count = self.new_count = 0
        self.is_open = self.is_begun = False

    def warm_up(self) -> None:
        """Run once by default, then begin anew with the pages of files in memory that were read on the way.

        Otherwise each run would read them again after going back, and the engine translate their code again.
        """
        self.begin()
        machine = self.machine
        if not self.kept:
            return
        memory = machine.kernel.memory
        caches = {
            id(area.pages): area.pages
            for task in machine.kernel.tasks
            if task.state not in ENDED
            for area in task.mm.areas
            if area.pages is not None and area.pages.backing is not None
        }
        while self.offer is not None:
            self.advance(0)
        read = [
            (pages, index, frame in memory.executable)
            for pages in caches.values()
            for index, frame in pages.frames.items()
        ]
        self._restore(0)
        for pages, index, is_executed in read:
            frame = pages.frame(index)
            if is_executed:
                memory.executable.add(frame)
        self.kept.clear()
        self._keep()

    # From choice to choice

    def begin(self, prefix: Sequence[tuple[int, tuple[int, ...]]] = ()) -> None:
        """Run from the beginning to the first choice. Raises what `Machine` and its `start` do.

        If the present run has begun as `prefix` does, be where the last snapshot was taken of what they have
        in common: there may be `steps` by then.
        """
        if self.kept:
            self._restore(self._common_length(prefix))
            return
        self.close()
        program = self.program
        self.decider = SearchDecider(int(program.settings.get("seed", 0)), program.kinds)
        self.machine = machine = program.machine(self.decider)
        self.is_open = True
        kernel = machine.kernel
        has_shared_memory = self.is_begun and self.watcher.has_shared_memory
        has_lent_memory = self.is_begun and self.watcher.has_lent_memory
        self.watcher = watcher = FootprintWatcher(
            kernel, orders_output=self.orders_output, knows_accesses=MEMORY in program.kinds
        )
        watcher.has_shared_memory = has_shared_memory
        watcher.has_lent_memory = has_lent_memory
        self.is_begun = True
        kernel.vfs.file_events = FootprintEvents(watcher)
        self.facts = facts = FactWatcher(kernel, self.stacks, looks_at_descriptors=self.looks_at_descriptors)
        machine.observe(watcher)
        machine.observe(facts)
        command = machine.start(program.command, pid1=program.is_pid1)
        watcher.command = command.group
        if program.stdin:
            machine.inlet.feed(program.stdin)
        machine.inlet.end_input()
        self.offer, self.ending = None, ""
        self.output, self.steps, self.path = [], [], []
        self.deviations = 0
        watcher.begin()
        if FAULTS in program.kinds:
            # A task alone has choices too: its whole way to the first that there is with others is a step.
            self.offer = Offer((command.tid,), False)
            self.first_segments = []
        else:
            self._go_on()
            self.first_segments = watcher.take()
        if self.keeps_snapshots:
            self._keep()

    def _common_length(self, prefix: Sequence[tuple[int, tuple[int, ...]]]) -> int:
        """How many steps of the present run are the first ones of `prefix`."""
        length = 0
        for step, _ in zip(self.steps, self.path, strict=False):
            if length == len(prefix) or step != prefix[length]:
                break
            length += 1
        return length

    def advance(self, option: int, inner: tuple[int, ...] = ()) -> Step:
        """Let `option` of the offer go on, up to the next choice."""
        offer = self.offer
        assert offer is not None
        decider = self.decider
        self.watcher.begin()
        self.deviations += deviations_of(offer, option) + sum(1 for other in inner if other)
        position = len(decider.asked)
        decider.next_option, decider.inner = option if len(offer.tids) > 1 else PAUSE, inner
        self.steps.append((option, inner))
        self.step_count += 1
        self.new_count += 1
        self._go_on()
        if self.kept and self.offer is not None and len(self.steps) - self.kept[-1].length >= self.interval:
            self._keep()
        step = Step(tuple(decider.asked[position + (len(offer.tids) > 1) :]), self.watcher.take())
        self.path.append((offer, step))
        return step

    def _go_on(self) -> None:
        before_s = time.process_time()
        self._run_to_offer()
        self.stepping_s += time.process_time() - before_s

    def _run_to_offer(self) -> None:
        machine, decider = self.machine, self.decider
        kernel, command = machine.kernel, machine.command
        assert command is not None
        self.offer, self.unfinished = None, ()
        decider.is_paused = False
        while True:
            can_go_on = machine.run_slice()
            if machine.output.chunks:
                self.output += machine.output.take()
            if has_ended(command.group):
                self.ending = EXITED
                self.unfinished = _tids(self._scheduler.offered)
                return
            if decider.is_paused:
                scheduler = self._scheduler
                offered = scheduler.offered
                self.offer = Offer(
                    _tids(offered), scheduler.preferred is not None and offered[0] is scheduler.preferred
                )
                if len(self.steps) >= self.step_limit or kernel.clock.run_ns > self.time_limit_ns:
                    self.ending, self.offer = ENDLESS, None
                return
            if reason_of_guest(kernel):
                self.ending = STOPPED
                return
            if not can_go_on and not kernel.scheduler.has_waiting and not self.watcher.jump_to_next_timer():
                self.ending = DEADLOCK
                return
            if kernel.clock.run_ns > self.time_limit_ns or self._output_bytes() > _LARGEST_OUTPUT:
                self.ending = ENDLESS
                return

    def _output_bytes(self) -> int:
        return sum(len(data) for _, data in self.output)

    @property
    def _scheduler(self) -> ExploredScheduler:
        scheduler = self.machine.kernel.scheduler
        assert isinstance(scheduler, ExploredScheduler)
        return scheduler

    @property
    def has_unwatched_memory(self) -> bool:
        """Whether tasks have shared memory in some run, and where they access it wasn't branched over."""
        watcher = self.watcher
        return watcher.has_lent_memory or (watcher.has_shared_memory and MEMORY not in self.program.kinds)

    @property
    def preferred(self) -> Task:
        """The task that goes on unless another is chosen, where there's one."""
        task = self._scheduler.preferred
        assert task is not None
        return task

    @property
    def pending_call(self) -> str:
        """Where the task that would go on by default is, in words: in front of which system call."""
        task = self.preferred
        registers = self.machine.kernel.registers_of(task).general
        name = task.command_name.decode(errors="replace")
        if task not in self._scheduler.at_call:
            # It has just been let go by a call that woke somebody, or has accessed memory that others share.
            return f"{name} ({task.tid}) goes on in user mode"
        number = registers[RAX]
        call = TABLE[number] if number < TABLE_SIZE else None
        if call is None:
            return f"{name} ({task.tid}) calls {name_of(number)}"
        try:
            arguments = call.decode(task, registers)
        except EFAULT:
            return f"{name} ({task.tid}) calls {call.name}"
        texts = arguments_at_entry(task, call, arguments)
        shown = ", ".join("..." if text is None else text for text in texts if text != "")
        return f"{name} ({task.tid}) calls {call.name}({shown})"

    @property
    def schedule(self) -> Schedule:
        """All that was chosen so far."""
        return Schedule(tuple(self.decider.asked))

    def stream(self, number: int) -> bytes:
        """What was written to output stream `number` so far."""
        return b"".join(data for stream, data in self.output if stream == number)

    @property
    def run(self) -> Run:
        """The run, which has ended, for oracles."""
        command = self.machine.command
        assert command is not None
        status = status_of_exit(command.group.exit_code) if self.ending == EXITED else -1
        return Run(
            self.machine,
            self.ending,
            status,
            self.stream(1),
            self.stream(2),
            self.facts.facts,
            self.facts.happenings,
        )

    # Back

    def checkpoint(self) -> Checkpoint:
        """The present choice, to come back to."""
        return Checkpoint(len(self.steps), self.offer)

    def back_to(self, checkpoint: Checkpoint) -> None:
        """Be at that choice again, by which the present run has come.

        Raises ScheduleLeft if the run isn't the same, which is a bug.
        """
        steps = self.steps[: checkpoint.length]
        self.return_count += 1
        if self.kept:
            self._restore(checkpoint.length)
        else:
            self.begin()
        self.new_count -= len(steps) - len(self.steps)
        for option, inner in steps[len(self.steps) :]:
            if self.offer is None:
                raise ScheduleLeft("the run ended before the choice")
            self.advance(option, inner)
        if self.offer != checkpoint.offer:
            raise ScheduleLeft(f"{self.offer} is open, not {checkpoint.offer}")

    def _keep(self) -> None:
        """Take a snapshot here."""
        before_s = time.process_time()
        snapshot = self.machine.snapshot()
        self.keeping_s += time.process_time() - before_s
        self.keep_count += 1
        self.kept.append(
            _Kept(
                len(self.steps),
                snapshot,
                self.offer,
                self.ending,
                len(self.output),
                len(self.facts.facts),
                len(self.facts.happenings),
                self.watcher.shared,
                self.deviations,
            )
        )
        if self.return_count > _FEW and self.keep_count > _FEW:
            self.interval = self._best_interval()

    def _best_interval(self) -> int:
        """How many steps apart snapshots cost the least, together with the steps that are taken again.

        With n steps between two, each new step costs a snapshot's n-th part, and each way back half of n
        steps on average; there are so many ways back for each new step.
        """
        step_s = self.stepping_s / self.step_count
        returns = self.return_count / max(self.new_count, 1)
        best = sqrt(2 * self.keeping_s / self.keep_count / max(returns * step_s, 1e-9))
        return min(max(round(best), 1), _LARGEST_INTERVAL)

    def _restore(self, length: int) -> None:
        """Be where the last snapshot was taken at or before `length` steps; later ones are forgotten."""
        kept = self.kept
        while kept[-1].length > length:
            kept.pop()
        last = kept[-1]
        self.machine.restore(last.snapshot)
        del self.steps[last.length :], self.path[last.length :]
        del self.output[last.output_count :]
        self.facts.cut(last.fact_count, last.happening_count)
        self.watcher.shared = last.shared_memory
        self.deviations = last.deviations
        self.offer, self.ending = last.offer, last.ending

    def close(self) -> None:
        """Give back what the machine holds of the host."""
        self.kept = []
        if self.is_open:
            self.machine.close()
            self.is_open = False


def _tids(offered: Sequence[Task | None]) -> tuple[int, ...]:
    return tuple([CLOCK_TID if task is None else task.tid for task in offered])


def status_of_exit(code: int) -> int:
    """The exit status that a shell shows for a wait status."""
    signal = code & 0x7F
    return 128 + signal if signal else code >> 8
