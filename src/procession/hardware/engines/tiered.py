"""Two engines as one: most programs start on the cold one; large ones and what works hard run on the hot one.

The cold engine forks and executes cheaply, the hot one computes fast and makes system calls dearly. Which of
them an address space runs on follows from counts alone, of its work and of the kernel's for it, so that a run
is the same each time: not from the host's clock, nor from how many processes there are.

- One that executes a program of `LARGE_PROGRAM_BYTES` of code or more begins on the hot engine, unless that
  is static.
- Another is promoted when it has worked for `PROMOTION_UNITS`, at least as long as the kernel has for it,
  and much each time before its mappings were dropped as a whole, which fork does.
- It's demoted when they're dropped after little work each time; and has to work twice as much before it's
  promoted again.
- What needs more of a processor than the cold engine has is promoted at once, and stays.
- Init begins where the machine's command does, so that the cold engine isn't opened for it alone.
- What the hot engine can't run is the cold one's from then on: it maps addresses that are the engine's, or
  the host refuses a process.

Both engines count the same unit of work. Of a budget the cold one gets no more than what is left until a
promotion is to be thought of; the rest is the `reserve`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from procession.hardware.engine import Engine, EngineCapabilities, GeneralRegisters, TrapHandler
from procession.hardware.engines.unopened import EMULATOR, UnopenedEmulator
from procession.hardware.physical_memory import PhysicalMemory
from procession.hardware.processor_level import V2
from procession.hardware.registers import Registers

PROMOTION_UNITS = 500_000
"""What a loop does on the cold engine in 5 ms, and python3 before it has begun. From the second run on, when
the translation for the hot engine is kept, python3 starts in little more than half the time that it takes
with twenty times as many units. The first run takes twice as long, once: code that runs once is cheaper on
the cold engine.
"""
LARGE_PROGRAM_BYTES = 3 << 20
"""Interpreters, compilers proper, debuggers and servers have more: their start is much work already, and
python3's takes two thirds of the time on the hot engine, once its translation is kept. perl and git have half
as much, and shorter starts: one that follows another of the same program takes less on the cold engine, which
has its translation from the first, than the hot one takes for what each address space costs it.
"""
_DEMOTION_FLUSHES = 16
_COLD_UNITS_PER_FLUSH, _HOT_UNITS_PER_FLUSH = 120_000, 40_000
"""Fewer aren't worth that the hot engine maps all pages once more. It counts about a third for the same
code.
"""
_NEVER = 1 << 62
"""More units than anybody does."""
_SPACE_VALUES = 7
"""The root and what `SpaceWork.keep` gives."""


class ColdEngine(Engine, Protocol):
    """What the cold engine has beside the contract: its `budget` is a word in memory, which is read often."""

    budget: memoryview[int]


class HotEngine(Engine, Protocol):
    """What the hot engine has beside the contract.

    With `gives_back` its `run` returns, and `has_given_back` is set, when it can't run a program.
    """

    gives_back: bool
    has_given_back: bool

    def take_written_code(self) -> bool:
        """Whether, since the last time that this was asked, a program could write to what was ever code."""


class HotEngineUnavailable(Exception):
    """The host doesn't have what the hot engine needs."""


class SpaceWork:
    """What is known of one address space's work.

    `units` is what it has done, `kernel_ns` what the kernel has for it, and at `threshold` units a promotion
    is thought of. `flushes` counts those since `flush_units`, its units when one was thought of last.
    """

    __slots__ = ("flush_units", "flushes", "is_hot", "is_pinned", "kernel_ns", "threshold", "units")

    def __init__(self) -> None:
        self.units = 0
        self.kernel_ns = 0
        self.threshold = PROMOTION_UNITS
        self.is_hot = False
        self.is_pinned = False
        self.flushes = 0
        self.flush_units = 0

    def is_flushed_often(self) -> bool:
        """Whether it did little between the flushes."""
        least = _HOT_UNITS_PER_FLUSH if self.is_hot else _COLD_UNITS_PER_FLUSH
        return self.units - self.flush_units < self.flushes * least

    def begin_count(self) -> None:
        """Count flushes anew."""
        self.flushes, self.flush_units = 0, self.units

    def keep(self) -> tuple[int, ...]:
        """All of it."""
        flags = self.is_hot | self.is_pinned << 1
        return self.units, self.kernel_ns, self.threshold, self.flushes, self.flush_units, flags

    def put_back(self, kept: tuple[int, ...]) -> None:
        """What `keep` gave."""
        self.units, self.kernel_ns, self.threshold, self.flushes, self.flush_units, flags = kept
        self.is_hot, self.is_pinned = flags & 1 != 0, flags & 2 != 0


class TieredEngine:
    """One processor that is two. `engine` is the one that holds the live registers, `running` the one whose
    `run` is under way, if any; `spaces` has what is known of address spaces by their roots.

    Either is made when it's first needed. Until `make_cold` has been called, an `UnopenedEmulator` is `cold`.
    `make_hot` raises HotEngineUnavailable, and then `refusal` says why there's none, and all stays cold.
    """

    def __init__(
        self,
        make_cold: Callable[[], ColdEngine],
        make_hot: Callable[[PhysicalMemory, TrapHandler], HotEngine],
    ) -> None:
        self.capabilities = EngineCapabilities("auto", EMULATOR.unit_ns, V2, has_own_processes=True)
        self.make_cold = make_cold
        self.make_hot = make_hot
        self.cold: ColdEngine = UnopenedEmulator()
        self.hot: HotEngine | None = None
        self.is_open = False
        self.refusal = ""
        self.engine: Engine = self.cold
        self.running: Engine | None = None
        self.general: GeneralRegisters
        self.spaces: dict[int, SpaceWork] = {}
        self.root = 0
        self.level = EMULATOR.level
        self.work = SpaceWork()
        self.reserve = 0
        self.marked_units = 0
        self.marked_kernel_ns = 0
        self.is_stopping = False
        self.moved = Registers()

    def attach(self, memory: PhysicalMemory, traps: TrapHandler) -> None:
        """Take them for the engines that are made."""
        self.memory = memory
        self.traps = traps
        self.cold.attach(memory, traps)
        self.general = self.cold.general

    def _open(self) -> None:
        """Open the cold engine, if it isn't. What is live goes there unless the hot one has it."""
        if self.is_open:
            return
        unopened, cold = self.cold, self.make_cold()
        cold.attach(self.memory, self.traps)
        self.cold, self.is_open = cold, True
        if self.engine is unopened:
            unopened.save(self.moved)
            cold.use_address_space(self.root, self.level)
            cold.load(self.moved)
            cold.set_budget(unopened.budget_left())
            self.engine, self.general = cold, cold.general

    def tell(self, traps: TrapHandler) -> None:
        """Take other entries."""
        self.traps = traps
        self.cold.tell(traps)
        if self.hot is not None:
            self.hot.tell(traps)

    # Running

    def run(self) -> None:
        """Run on the one and the other until stopped or out of budget."""
        self.is_stopping = False
        if self.engine is self.cold:
            self._open()
        try:
            while True:
                engine = self.running = self.engine
                engine.run()
                hot = self.hot
                if hot is not None and hot.has_given_back:
                    hot.has_given_back = False
                    self._stay_cold(self.work, self.root)
                    return
                if self.is_stopping:
                    return
                if self.engine is not engine:
                    continue
                if engine.budget_left() > 0 or not self.reserve:
                    return
                self._consider()
        finally:
            self.running = None

    def _consider(self) -> None:
        """The cold engine has done its share of the budget: think of promotion, and give out the rest."""
        self._account()
        left, self.reserve = self.reserve + min(self.engine.budget_left(), 0), 0
        work = self.work
        works_hard = work.units * self.capabilities.unit_ns >= work.kernel_ns and not work.is_flushed_often()
        if works_hard and self._has_hot():
            self._promote(work)
        else:
            work.threshold = work.units + PROMOTION_UNITS
            work.begin_count()
        self._give(left)

    def _account(self) -> None:
        """What has been done since the last time was the present address space's."""
        cold = self.cold
        left = cold.budget[0] if self.engine is cold else self.engine.budget_left()
        kernel_ns = self.traps.kernel_work_ns
        work = self.work
        work.units += self.marked_units - left
        work.kernel_ns += kernel_ns - self.marked_kernel_ns
        self.marked_units, self.marked_kernel_ns = left, kernel_ns

    def _give(self, units: int) -> None:
        """Let `units` be the budget."""
        share = units
        if self.engine is self.cold and not self.refusal:
            work = self.work
            until_promotion = work.threshold - work.units
            if until_promotion < share:
                share = until_promotion if until_promotion > 1 else min(units, 1)
        self.reserve = units - share
        self.marked_units = share
        self.engine.set_budget(share)

    # Moving between the two

    def _has_hot(self) -> bool:
        if self.hot is None and not self.refusal:
            try:
                self.hot = self.make_hot(self.memory, self.traps)
            except HotEngineUnavailable as error:
                self.refusal = str(error)
        return self.hot is not None

    def _promote(self, work: SpaceWork) -> None:
        work.is_hot = True
        work.begin_count()
        if work is self.work:
            self._move()

    def _move(self) -> None:
        """Put the live registers on the engine that the present address space belongs to."""
        old, new = self.engine, self._engine_of(self.work)
        if new is old:
            return
        if new is self.cold:
            self._open()
            new = self.cold
        old.save(self.moved)
        self._forget_written_code(new)
        if new is self.hot:
            self.hot.gives_back = not self.work.is_pinned
        new.use_address_space(self.root, self.level)
        new.load(self.moved)
        self.engine = new
        self.general = new.general
        if self.running is not None:
            self.running.stop()

    def _engine_of(self, work: SpaceWork) -> Engine:
        return self.hot if work.is_hot and self.hot is not None else self.cold

    def _forget_written_code(self, new: Engine) -> None:
        """The cold engine notices its own stores into code, and not the hot one's."""
        hot = self.hot
        if new is self.cold and hot is not None and hot.take_written_code():
            new.forget_code(None)

    # What the kernel asks for

    def stop(self) -> None:
        """Make `run` return after the present trap."""
        self.is_stopping = True
        if self.running is not None:
            self.running.stop()

    def interrupt(self) -> None:
        """Make `run` return soon."""
        running = self.running
        if running is not None:
            running.interrupt()

    def save(self, registers: Registers) -> None:
        """Copy the live registers into `registers`."""
        self.engine.save(registers)

    def save_integers(self, registers: Registers) -> None:
        """Copy them but for the floating-point state."""
        self.engine.save_integers(registers)

    @property
    def has_trap_flag(self) -> bool:
        """Whether the live rflags have TF, so that each instruction ends in a debug exception."""
        return self.engine.has_trap_flag

    def load(self, registers: Registers) -> None:
        """Make `registers` the live ones."""
        self.engine.load(registers)

    def load_bases(self, registers: Registers) -> None:
        """Make the bases of fs and gs the live ones."""
        self.engine.load_bases(registers)

    def use_address_space(self, root_frame: int, level: int) -> None:
        """Switch to the page tables at `root_frame`, and to the engine that they run on."""
        self._account()
        left = self.marked_units + self.reserve
        work = self.spaces.get(root_frame)
        if work is None:
            work = self.spaces[root_frame] = SpaceWork()
        self.root, self.level, self.work = root_frame, level, work
        cold = self.cold
        if self.hot is None and level <= cold.capabilities.level and not work.is_hot:
            cold.use_address_space(root_frame, level)
            if self.reserve or work.threshold - work.units < left:
                self._give(left)
            return
        if level > self.cold.capabilities.level and not work.is_hot and self._has_hot():
            work.is_hot = work.is_pinned = True
        if self._engine_of(work) is self.engine:
            self._forget_written_code(self.engine)
            if self.hot is not None:
                self.hot.gives_back = not work.is_pinned
            self.engine.use_address_space(root_frame, level)
        else:
            self._move()
        self._give(left)

    def begin_program(self, root_frame: int, code_bytes: int) -> None:
        """Let a large program begin on the hot engine."""
        if code_bytes >= LARGE_PROGRAM_BYTES and self._has_hot():
            work = self.spaces[root_frame] = SpaceWork()
            work.is_hot = True

    def begin_beside(self, root_frame: int, other: int) -> None:
        """Let it begin on the hot engine too, if `other` has."""
        work = self.spaces.get(other)
        if work is not None and work.is_hot and root_frame not in self.spaces:
            work = self.spaces[root_frame] = SpaceWork()
            work.is_hot = True

    def offers(self, level: int) -> bool:
        """What the hot engine has, if it can be had."""
        if level <= self.cold.capabilities.level:
            return True
        return self._has_hot() and self.hot is not None and self.hot.offers(level)

    def flush_space(self, root_frame: int) -> None:
        """Both may know of it; and that it happens tells whether it's worth to be hot."""
        self.cold.flush_space(root_frame)
        if self.hot is not None:
            self.hot.flush_space(root_frame)
        work = self.spaces.get(root_frame)
        if work is None or work.is_pinned:
            return
        work.flushes += 1
        if not work.is_hot or work.flushes < _DEMOTION_FLUSHES:
            return
        if work is self.work:
            self._account()
        if work.is_flushed_often():
            self._demote(work, root_frame, work.units + max(2 * work.units, PROMOTION_UNITS))
        else:
            work.begin_count()

    def _demote(self, work: SpaceWork, root_frame: int, threshold: int) -> None:
        """Go on on the cold engine, until `threshold` units are done."""
        left = self.budget_left()
        was_hot, work.is_hot = work.is_hot, False
        work.threshold = threshold
        if was_hot and self.hot is not None:
            self.hot.end_space(root_frame)
        if work is self.work:
            self._move()
            self._give(left)

    def _stay_cold(self, work: SpaceWork, root_frame: int) -> None:
        if work is self.work:
            self._account()
        self._demote(work, root_frame, _NEVER)

    def give_way(self, root_frame: int) -> None:
        """It's the cold engine's from now on, unless it needs a processor that only the other one has."""
        work = self.spaces.get(root_frame)
        if work is None:
            work = self.spaces[root_frame] = SpaceWork()
        if not work.is_pinned:
            self._stay_cold(work, root_frame)

    def flush_pages(self, root_frame: int, addresses: list[int]) -> None:
        """Both may know of them."""
        self.cold.flush_pages(root_frame, addresses)
        if self.hot is not None:
            self.hot.flush_pages(root_frame, addresses)

    def end_space(self, root_frame: int) -> None:
        """What was known of it is gone."""
        if self.spaces.pop(root_frame, None) is self.work:
            # It may be live still, until another is.
            self.work = SpaceWork()
            self.work.is_hot = self.engine is not self.cold
        self.cold.end_space(root_frame)
        if self.hot is not None:
            self.hot.end_space(root_frame)

    def flush_all(self) -> None:
        """Both may know of anything."""
        self.cold.flush_all()
        if self.hot is not None:
            self.hot.flush_all()

    def forget_code(self, frames: Iterable[int] | None) -> None:
        """Both may have translated it."""
        self.cold.forget_code(frames)
        if self.hot is not None:
            self.hot.forget_code(frames)

    def set_budget(self, units: int) -> None:
        """Units of either engine until `run` returns."""
        self._account()
        self._give(units)

    def budget_left(self) -> int:
        """What is left of it."""
        cold = self.cold
        if self.engine is cold:
            left: int = cold.budget[0]
            return left + self.reserve
        return self.engine.budget_left() + self.reserve

    def keep(self) -> object:
        """What the cold engine keeps, and what is known of address spaces. The hot one keeps nothing."""
        self._open()
        self._account()
        return self.cold.keep(), tuple((root, *work.keep()) for root, work in self.spaces.items())

    def put_back(self, kept: object) -> None:
        """The same. Whose work was last has been put back with it."""
        assert isinstance(kept, tuple)
        self._open()
        of_cold, spaces = kept
        self.spaces.clear()
        for root, *values in spaces:
            work = self.spaces[root] = SpaceWork()
            work.put_back(tuple(values))
            if work.is_hot:
                self._has_hot()
        self.cold.put_back(of_cold)
        if self.hot is not None:
            self.hot.put_back(None)
        self.work = SpaceWork()
        self.marked_units, self.marked_kernel_ns = self.engine.budget_left(), self.traps.kernel_work_ns

    def write_kept(self, kept: object) -> object:
        """It's plain already, but for the cold engine's."""
        assert isinstance(kept, tuple)
        self._open()
        of_cold, spaces = kept
        return self.cold.write_kept(of_cold), spaces

    def read_kept(self, value: object) -> object:
        """The same again. Raises ValueError."""
        self._open()
        match value:
            case (of_cold, tuple(spaces)):
                for values in spaces:
                    if not isinstance(values, tuple) or len(values) != _SPACE_VALUES:
                        raise ValueError("an address space's work isn't readable")
                    if not all(isinstance(number, int) and 0 <= number < 1 << 63 for number in values):
                        raise ValueError("an address space's work isn't readable")
                return self.cold.read_kept(of_cold), spaces
        raise ValueError("which engine ran what isn't readable")

    def close(self) -> None:
        """Close both."""
        if self.hot is not None:
            self.hot.close()
        self.cold.close()
