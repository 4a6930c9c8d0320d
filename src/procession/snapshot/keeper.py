"""Keeps the state of one machine, and puts it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.kernel.decider import SeededDecider
from procession.snapshot.digest import StateDigest
from procession.snapshot.frames import FrameKeeper, KeptFrames
from procession.snapshot.record import Record
from procession.snapshot.shared_list import KeptList
from procession.snapshot.table import ObjectTable

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel


class Snapshot:
    """A machine's state at one moment. It belongs to the machine that it was taken of, and is never changed.

    `records` are what its objects held, by their numbers in the `keeper`'s table. `budget` and `engine` are
    the engine's part; `beside` is what the machine keeps of itself.
    """

    __slots__ = ("beside", "budget", "engine", "frames", "keeper", "records")

    def __init__(
        self,
        keeper: StateKeeper,
        records: KeptList[Record],
        frames: KeptFrames,
        budget: int,
        engine: object,
        beside: Any,
    ) -> None:
        self.keeper = keeper
        self.records = records
        self.frames = frames
        self.budget = budget
        self.engine = engine
        self.beside = beside
        keeper.count_in(records.count)

    def __del__(self) -> None:
        self.keeper.count_out(self.records.count)

    def __repr__(self) -> str:
        return f"<Snapshot of {self.records.count} objects, {self.frames.pages.count} frames>"


class StateKeeper:
    """Takes snapshots of one machine and goes back to them; the first looks at all there is, the others at
    what has changed.

    `counts` says how many objects the snapshots have that somebody still holds, and how many of these do.
    """

    __slots__ = ("counts", "digests", "frames", "kernel", "table")

    def __init__(self, kernel: Kernel, *, compares_frames: bool = False) -> None:
        self.kernel = kernel
        compares_frames |= kernel.cpu.capabilities.has_own_processes
        self.frames = FrameKeeper(kernel.memory, compares=compares_frames)
        self.table = ObjectTable()
        self.digests = StateDigest(self.table)
        self.counts: dict[int, int] = {}

    def keep(self, roots: tuple[Any, ...], beside: Any) -> Snapshot:
        """The state as it is now, between two runs of the engine; `roots` lead to it beside the kernel.

        Raises NotPlain.
        """
        kernel = self.kernel
        self._look_at_objects(roots)
        cpu = kernel.cpu
        return Snapshot(
            self, self.table.records.keep(), self.frames.keep(), cpu.budget_left(), cpu.keep(), beside
        )

    def count_in(self, count: int) -> None:
        """There is one more snapshot of `count` objects."""
        self.counts[count] = self.counts.get(count, 0) + 1

    def count_out(self, count: int) -> None:
        """There is one less."""
        left = self.counts[count] - 1
        if left:
            self.counts[count] = left
        else:
            del self.counts[count]

    def _look_at_objects(self, roots: tuple[Any, ...]) -> None:
        kernel = self.kernel
        if kernel.live is not None:
            kernel.registers_of(kernel.live)
        self.table.look((*self._state_roots(), *[root for root in roots if root is not None]))

    def _state_roots(self) -> list[Any]:
        decider = self.kernel.decider
        return [self.kernel, decider] if isinstance(decider, SeededDecider) else [self.kernel]

    def digest(self) -> bytes:
        """16 bytes that are equal for equal states: see `StateDigest`. Raises NotPlain."""
        self._look_at_objects(())
        self.frames.look()
        rest = b"%d %d" % (self.frames.digest(), self.kernel.cpu.budget_left())
        return self.digests.digest(self._state_roots(), rest)

    def in_order(self) -> list[Any]:
        """The objects of the state in an order that is the same for equal states."""
        self.digest()
        objects = self.table.objects
        order, _ = self.digests.walk(self._state_roots())
        return [objects[number] for number in order]

    def check(self, kernel: Kernel) -> None:
        """Raise ValueError unless this keeps the state of `kernel`."""
        if kernel is not self.kernel:
            raise ValueError("the snapshot is another machine's")

    def put_back(self, snapshot: Snapshot) -> None:
        """Let the state be what it was."""
        memory = self.kernel.memory
        executable = set(memory.executable)
        changed = self.frames.put_back(snapshot.frames)
        self.table.put_back(snapshot.records)
        # There may be code translated from what these frames held.
        stale = (executable - memory.executable) | (changed & memory.executable)
        if stale:
            self.kernel.cpu.forget_code(stale)
        load(self.kernel, snapshot.engine, snapshot.budget)
        # What no snapshot has is gone; the next new objects get the same numbers that the last ones had.
        self.table.truncate(max(self.counts))

    def close(self) -> None:
        """Keep no more."""
        self.frames.close()


def load(kernel: Kernel, engine: object, budget: int) -> None:
    """Put on the processor what was there."""
    cpu = kernel.cpu
    if kernel.live is not None:
        cpu.load(kernel.live.registers)
    cpu.put_back(engine)
    if kernel.address_space is not None:
        mm = kernel.address_space
        cpu.use_address_space(mm.tables.root, mm.processor_level)
    cpu.flush_all()
    cpu.set_budget(budget)
    kernel.renew_call_work()
