"""A machine's past, for a debugger that goes back in it: checkpoints, and the search for where to stop.

To go back is to restore a checkpoint and to run again from there, up to where the machine stood: once to find
the last place at which it shall stop, and once to go there. A run is the same each time as far as what comes
from outside is: that is done again after the same slices, and what was written outside isn't written again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.hardware.registers import RIP

if TYPE_CHECKING:
    from procession.attachment import Attachment
    from procession.hardware.engines.unicorn import UnicornEngine
    from procession.hardware.engines.unicorn_debug import InstructionWatch
    from procession.inlet import InletAction
    from procession.kernel.task import Task
    from procession.machine import Machine
    from procession.snapshot.keeper import Snapshot

_FIRST_INTERVAL_NS = 4_000_000
"""How much work of the processor lies between two checkpoints, until there are too many."""
_MOST_CHECKPOINTS, _LATE_ONES, _FEWEST_CHECKPOINTS = 128, 32, 2
_INSTRUCTIONS_PER_CLOSE_CHECKPOINT = 1 << 15
"""Where somebody has gone back, checkpoints are this close: the next step back is near."""
_MOST_CLOSE_CHECKPOINTS = 32
_MOST_MARKS = 16
_GENERAL_BYTES = 128
_BETWEEN_SLICES, _IN_KERNEL = -1, -2
_PASSING_OF_TIME = ("jump_to_next", "pass_to")


class Place(NamedTuple):
    """Where a machine stands: in front of the instruction at `address`, or if that is -1 between slices.

    With -2 it's in the middle of what the kernel does, and `registers` is what the debugger is told of there.
    """

    slice_count: int
    work_ns: int
    address: int
    budget: int
    registers: bytes


class Checkpoint(NamedTuple):
    """A place to which one can go back. `page_count` is how many pages it has that the one before hasn't."""

    place: Place
    snapshot: Snapshot
    page_count: int


class Found(NamedTuple):
    """A place to stop at: in front of the watched instruction that is the `distance`th after a checkpoint.

    `detail` is what a stop's reply says of it.
    """

    checkpoint: Checkpoint
    distance: int
    detail: bytes


class LostPlace(Exception):
    """The run isn't the same again."""


Wanted = Callable[["Task", int], bytes | None]
"""Whether to stop in front of the instruction at an address: what a reply says of it, or None."""
Met = Callable[["Task"], bytes | None]
"""The same for what the last instruction of a task has done."""


class Search:
    """Looks at watched instructions, of which `last` is the last place that was wanted before the end."""

    def __init__(self, past: Past, end: Place, wanted: Wanted, met: Met) -> None:
        self.past = past
        self.end = end
        self.wanted = wanted
        self.met = met
        self.checkpoint = past.checkpoints[0]
        self.count = 0
        self.goal = 0
        self.limit = _INSTRUCTIONS_PER_CLOSE_CHECKPOINT
        self.last: Found | None = None
        self.last_but_one: Found | None = None
        self.is_over = False
        self.addresses: dict[Task, int] = {}
        self.faulted: dict[Task, int] = {}
        self.previous: dict[Task, tuple[Checkpoint, int]] = {}

    def begin(self, checkpoint: Checkpoint, goal: int = 0) -> None:
        """The machine stands at `checkpoint`; with `goal` it shall stop at the instruction of that number."""
        self.checkpoint = checkpoint
        self.count = 0
        self.limit = _INSTRUCTIONS_PER_CLOSE_CHECKPOINT
        self.goal = goal
        self.is_over = False
        if goal or checkpoint.place.address < 0:
            self.addresses.clear()
            self.faulted.clear()
            self.previous.clear()

    def shall_stop(self, task: Task, address: int) -> bool:
        """The live task is about to execute the instruction at `address`; whether to stop in front of it."""
        self.count += 1
        if self.goal:
            self.is_over = self.count == self.goal
            return self.is_over
        self.addresses[task] = address
        is_again = self.faulted.pop(task, None) == address
        if not is_again:
            self.look_at_last(task)
        end = self.end
        if address == end.address and self.past.is_at(end):
            self.is_over = True
            return True
        if not is_again:
            self.previous[task] = self.checkpoint, self.count
            detail = self.wanted(task, address)
            self.last_but_one = self.last
            if detail is not None:
                self.last = Found(self.checkpoint, self.count, detail)
        return self.count >= self.limit

    def go_on(self) -> None:
        """No checkpoint is kept where it has stopped: the instruction there will be met once more."""
        self.count -= 1
        self.limit += _INSTRUCTIONS_PER_CLOSE_CHECKPOINT

    def has_faulted(self, task: Task, address: int) -> None:
        """The task's instruction at `address` couldn't be executed: it will be tried again."""
        if self.addresses.get(task) == address:
            self.faulted[task] = address

    def is_end_in_kernel(self, task: Task, told: bytes) -> bool:
        """Whether this is the end, where the debugger was told that."""
        end, past = self.end, self.past
        if self.goal or end.address != _IN_KERNEL or past.in_kernel(told) != end:
            return False
        self.is_over = True
        if task in self.faulted:
            # It stands in front of the instruction that couldn't be executed, not behind it.
            self.last = self.last_but_one
        return True

    def look_at_last(self, task: Task | None) -> None:
        """Look at what the last instruction of a task has done."""
        if task is not None and task in self.previous:
            detail = self.met(task)
            if detail is not None:
                self.last = Found(*self.previous[task], detail)


class Past:
    """The checkpoints of a machine that a debugger holds, in their order, and what has come from outside.

    `pending` is what is still to come, as it came before. Of the first `shown_count` slices the output has
    been passed on. `search` is there while the machine runs again, which nobody else is told of.
    """

    def __init__(self, machine: Machine, engine: UnicornEngine, watch: InstructionWatch) -> None:
        self.machine = machine
        self.engine = engine
        self.watch = watch
        self.world: RepeatedWorld | None = None
        self.checkpoints: list[Checkpoint] = []
        self.interval_ns = _FIRST_INTERVAL_NS
        self.pending: deque[InletAction] = deque()
        self.shown_count = 0
        self.search: Search | None = None
        # Those that the debugger has asked for, by their numbers.
        self.marks: dict[int, Checkpoint] = {}
        self.next_mark = 1

    def join(self, attachment: Attachment) -> Attachment:
        """What the machine is to exchange bytes with instead."""
        self.world = RepeatedWorld(attachment, self)
        return self.world

    # Checkpoints

    def here(self) -> Place:
        """Where the machine stands, between two runs of the processor."""
        machine, engine = self.machine, self.engine
        address = engine.general[RIP] if machine.is_in_slice else _BETWEEN_SLICES
        return Place(
            machine.inlet.slice_count,
            machine.kernel.clock.work_ns,
            address,
            self.watch.budget if machine.is_in_slice else 0,
            bytes(engine.state[:_GENERAL_BYTES]),
        )

    def in_kernel(self, told: bytes) -> Place:
        """Where the machine stands in the middle of what the kernel does."""
        machine = self.machine
        return Place(machine.inlet.slice_count, machine.kernel.clock.work_ns, _IN_KERNEL, 0, told)

    def is_at(self, place: Place) -> bool:
        """Whether the instruction that is about to be executed, at that place's address, is the one there."""
        engine = self.engine
        return (
            self.machine.inlet.slice_count == place.slice_count
            and engine.budget[0] == place.budget
            and engine.state[:_GENERAL_BYTES] == place.registers
        )

    def note(self) -> None:
        """The machine stands still: keep a checkpoint if the last one is far enough."""
        checkpoints = self.checkpoints
        work_ns = self.machine.kernel.clock.work_ns
        if checkpoints and work_ns - checkpoints[-1].place.work_ns < self.interval_ns:
            return
        checkpoints.append(self._checkpoint(checkpoints))
        if len(checkpoints) > _MOST_CHECKPOINTS:
            # The first is the beginning.
            del checkpoints[1:-_LATE_ONES:2]
            self._count_again()
            self.interval_ns *= 2
        while len(checkpoints) > _FEWEST_CHECKPOINTS and not self._has_room(checkpoints):
            # A program that changes much of its memory all the time has few.
            del checkpoints[1:-1:2]
            self._count_again()
            self.interval_ns *= 2

    def _checkpoint(self, earlier: list[Checkpoint]) -> Checkpoint:
        return self._counted(self.here(), self.machine.snapshot(), earlier[-1] if earlier else None)

    @staticmethod
    def _counted(place: Place, snapshot: Snapshot, before: Checkpoint | None) -> Checkpoint:
        count = 0 if before is None else snapshot.frames.pages_since(before.snapshot.frames)
        return Checkpoint(place, snapshot, count)

    def _has_room(self, checkpoints: list[Checkpoint]) -> bool:
        """Whether all of them together hold no more than the machine's memory twice."""
        return sum(known.page_count for known in checkpoints) <= self.machine.memory.frame_count

    def _count_again(self) -> None:
        checkpoints = self.checkpoints
        for number in range(1, len(checkpoints)):
            place, snapshot, _ = checkpoints[number]
            checkpoints[number] = self._counted(place, snapshot, checkpoints[number - 1])

    def forget(self) -> None:
        """The debugger has changed something, which wouldn't be done again: the past begins here.

        What was typed after this place, if the machine has gone back, it will be told at the same time still.
        """
        self.checkpoints.clear()
        self.marks.clear()
        self.shown_count = 0
        self.pending = deque(action for action in self.pending if action.name not in _PASSING_OF_TIME)

    def _restore(self, checkpoint: Checkpoint) -> None:
        machine = self.machine
        known = [*machine.inlet.actions, *self.pending]
        machine.restore(checkpoint.snapshot)
        # Where it stands is told by this, until the processor has run again.
        self.watch.budget = checkpoint.place.budget
        self.pending = deque(known[len(machine.inlet.actions) :])

    def mark(self) -> int:
        """Keep this place, between two runs of the processor, for `return_to`; its number.

        Raises ValueError if there are too many.
        """
        if len(self.marks) >= _MOST_MARKS:
            raise ValueError(f"there are {_MOST_MARKS} already")
        number, self.next_mark = self.next_mark, self.next_mark + 1
        self.marks[number] = self._checkpoint([])
        return number

    def return_to(self, mark: Checkpoint, begin: Callable[[], None]) -> None:
        """Be where `mark` was kept, earlier or later; `begin` is called there."""
        self.shown_count = max(self.shown_count, self.machine.inlet.slice_count)
        work_ns = mark.place.work_ns
        self.checkpoints = [known for known in self.checkpoints if known.place.work_ns < work_ns]
        self.checkpoints.append(mark)
        self._count_again()
        self._restore(mark)
        begin()

    # Going back

    @property
    def can_go_back(self) -> bool:
        """Whether all that came from outside is known still."""
        return self.world is not None and self.machine.inlet.is_complete

    def go_back(self, end: Place, wanted: Wanted, met: Met, begin: Callable[[], None]) -> bytes | None:
        """Go to the last place before `end` that is wanted; what a stop's reply says of it.

        None if there is none, or if the run isn't the same: then the machine stands at the beginning. `begin`
        is called where it has been put back.
        """
        if not self.checkpoints:
            self.note()
        self.shown_count = max(self.shown_count, end.slice_count)
        self.search = search = Search(self, end, wanted, met)
        earlier = [known for known in self.checkpoints if known.place != end]
        self.checkpoints = earlier or self.checkpoints[:1]
        try:
            for number in range(len(earlier) - 1, -1, -1):
                search.end = end
                close = self._run_again(earlier[number], begin)
                found = search.last
                if found is not None:
                    kept = close[: close.index(found.checkpoint) + 1] if found.checkpoint in close else []
                    self.checkpoints = [*earlier[: number + 1], *kept]
                    self._count_again()
                    self._restore(found.checkpoint)
                    begin()
                    search.begin(found.checkpoint, found.distance)
                    self._run()
                    return found.detail
                end = earlier[number].place
            self.checkpoints = self.checkpoints[:1]
            self._restore(self.checkpoints[0])
            return None
        except LostPlace:
            # The others lie ahead of where it stands now.
            self.checkpoints = self.checkpoints[:1]
            self._restore(self.checkpoints[0])
            return None
        finally:
            self.search = None

    def _run_again(self, start: Checkpoint, begin: Callable[[], None]) -> list[Checkpoint]:
        """Run from `start` to the end of the search, and keep checkpoints on the way; these."""
        search = self.search
        assert search is not None
        self._restore(start)
        begin()
        search.begin(start)
        close: list[Checkpoint] = []
        while not self._run():
            made = self._checkpoint(close or [start])
            if not self._has_room([*close, made]):
                search.go_on()
                continue
            close.append(made)
            search.begin(made)
            del close[:-_MOST_CLOSE_CHECKPOINTS]
        return close

    def _run(self) -> bool:
        """Run to the end of the search, or until it wants a checkpoint: then False. Raises LostPlace."""
        machine, search = self.machine, self.search
        assert search is not None
        end = search.end
        while True:
            count = machine.inlet.slice_count
            is_over = end.address == _BETWEEN_SLICES and count == end.slice_count and not machine.is_in_slice
            if count > end.slice_count or (is_over and search.goal):
                raise LostPlace
            if is_over:
                search.look_at_last(machine.kernel.live)
                return True
            if self._run_on() or search.is_over:
                return search.is_over

    def _run_on(self) -> bool:
        """Run on in the present slice, or in the next one; whether the search has stopped it."""
        machine = self.machine
        machine.shall_stop = False
        machine.run_on()
        if self.watch.is_stopped:
            self.watch.settle()
            machine.kernel.is_saved = False
            return True
        if not machine.is_in_slice:
            machine.inlet.slice_count += 1
            assert self.world is not None
            self.world.repeat()
        return False


class RepeatedWorld:
    """What is outside of a machine that may go back: what came is done again, what went isn't shown again."""

    def __init__(self, attachment: Attachment, past: Past) -> None:
        self.attachment = attachment
        self.past = past

    def exchange(self) -> None:
        """See `Attachment`."""
        if self._is_behind:
            self.repeat()
        else:
            self._do_what_is_due()
            self.attachment.exchange()

    def repeat(self) -> None:
        """Do what was done after this slice, and forget what was written: it has been passed on."""
        self._do_what_is_due()
        machine = self.past.machine
        if machine.terminal is not None:
            machine.terminal.take()
        else:
            machine.output.take()

    def _do_what_is_due(self) -> None:
        inlet, pending = self.past.machine.inlet, self.past.pending
        while pending and pending[0].slice_count <= inlet.slice_count:
            action = pending.popleft()
            inlet.perform(action.name, action.argument)

    @property
    def _is_behind(self) -> bool:
        return self.past.machine.inlet.slice_count <= self.past.shown_count

    def pass_time(self) -> bool:
        """See `Attachment`: where it has passed before it was done again already."""
        return self._is_behind or self.attachment.pass_time()

    def take_signal(self, name: str) -> bool:
        """See `Attachment`: what was sent when the machine had gone back, nobody gets."""
        return self._is_behind or self.attachment.take_signal(name)

    @property
    def reason_to_end(self) -> str:
        """See `Attachment`."""
        return self.attachment.reason_to_end
