"""Keeps the state of one machine, and puts it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from procession.kernel.decider import SeededDecider
from procession.snapshot.frames import FrameKeeper, KeptFrames
from procession.snapshot.shape import Contents, shape_of

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel


class Snapshot(NamedTuple):
    """A machine's state at one moment. It belongs to the `keeper` of the machine that it was taken of.

    `contents` are what its objects held, at their places in `objects`. `budget` and `engine` are the
    engine's part; `beside` is what the machine keeps of itself.
    """

    keeper: StateKeeper
    objects: list[Any]
    contents: list[Contents]
    frames: KeptFrames
    budget: int
    engine: object
    beside: Any


class StateKeeper:
    """Knows all objects of a machine's state that can change, by their `numbers` in `objects`.

    `contents` are what they held when they were looked at last.
    """

    __slots__ = ("contents", "frames", "kernel", "numbers", "objects")

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.frames = FrameKeeper(kernel.memory)
        self.objects: list[Any] = []
        self.contents: list[Contents] = []
        self.numbers: dict[int, int] = {}

    def keep(self, roots: tuple[Any, ...], beside: Any) -> Snapshot:
        """The state as it is now, between two runs of the engine; `roots` lead to it beside the kernel.

        Raises NotPlain.
        """
        kernel = self.kernel
        if kernel.live is not None:
            kernel.registers_of(kernel.live)
        self._look(roots)
        cpu = kernel.cpu
        return Snapshot(
            self,
            self.objects,
            self.contents.copy(),
            self.frames.keep(),
            cpu.budget_left(),
            cpu.keep(),
            beside,
        )

    def _look(self, roots: tuple[Any, ...]) -> None:
        """Find out what the objects hold now, and which there are."""
        waiting: list[Any] = [*roots, self.kernel]
        if isinstance(self.kernel.decider, SeededDecider):
            waiting.append(self.kernel.decider)
        seen: set[int] = set()
        numbers, objects, contents = self.numbers, self.objects, self.contents
        while waiting:
            value = waiting.pop()
            shape = shape_of(type(value))
            if shape is None:
                if isinstance(value, (tuple, frozenset)):
                    waiting += value
                continue
            key = id(value)
            if key in seen:
                continue
            seen.add(key)
            now = shape.read(value)
            number = numbers.get(key)
            if number is None:
                numbers[key] = len(objects)
                objects.append(value)
                contents.append(now)
            else:
                contents[number] = now
            waiting += now

    def check(self, kernel: Kernel) -> None:
        """Raise ValueError unless this keeps the state of `kernel`."""
        if kernel is not self.kernel:
            raise ValueError("the snapshot is another machine's")

    def put_back(self, snapshot: Snapshot) -> None:
        """Let the state be what it was."""
        for value, then in zip(snapshot.objects, snapshot.contents, strict=False):
            shape = shape_of(type(value))
            assert shape is not None
            shape.write(value, then)
        has_changed_code = self.frames.put_back(snapshot.frames)
        if has_changed_code:
            self.kernel.cpu.forget_code(None)
        load(self.kernel, snapshot)


def load(kernel: Kernel, snapshot: Snapshot) -> None:
    """Put on the processor what was there."""
    cpu = kernel.cpu
    cpu.put_back(snapshot.engine)
    if kernel.live is not None:
        cpu.load(kernel.live.registers)
    if kernel.address_space is not None:
        cpu.use_address_space(kernel.address_space.tables.root)
    cpu.flush_all()
    cpu.set_budget(snapshot.budget)
    kernel.renew_call_work()
