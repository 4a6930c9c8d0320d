"""What stands for the emulator as long as nothing runs on it: to open it takes longer than many a program."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from procession.hardware.engine import EngineCapabilities, GeneralRegisters, TrapHandler
from procession.hardware.physical_memory import PhysicalMemory
from procession.hardware.processor_level import V2
from procession.hardware.registers import TRAP_FLAG, Registers

EMULATOR = EngineCapabilities("unicorn", unit_ns=4, level=V2)
"""What the emulator says of itself, open or not. A unit is a block of code: some four instructions and a
branch.
"""


class UnopenedEmulator:
    """Holds the live registers and the budget, which is all that there is until something runs.

    There's nothing to flush or to forget either, and the address space that is live is known to whoever has
    this: `TieredEngine`, which opens the emulator instead of running it.
    """

    capabilities = EMULATOR

    def __init__(self) -> None:
        self.live = Registers()
        self.budget = memoryview(bytearray(8)).cast("q")

    @property
    def general(self) -> GeneralRegisters:
        """The live general registers."""
        return self.live.general

    def attach(self, memory: PhysicalMemory, traps: TrapHandler) -> None:
        """Nothing is read yet."""

    def tell(self, traps: TrapHandler) -> None:
        """Nothing traps yet."""

    def run(self) -> NoReturn:
        """It's never asked to."""
        raise AssertionError("the emulator isn't open")

    def stop(self) -> None:
        """Nothing runs."""

    def interrupt(self) -> None:
        """Nothing runs."""

    def save(self, registers: Registers) -> None:
        """Copy the live registers into `registers`."""
        self.save_integers(registers)
        registers.floating = self.live.extended_state

    def save_integers(self, registers: Registers) -> None:
        """Copy them but for the floating-point state."""
        live = self.live
        registers.general = live.general[:]
        registers.rflags = live.rflags
        registers.fs_base, registers.gs_base = live.fs_base, live.gs_base
        registers.selectors = live.selectors

    @property
    def has_trap_flag(self) -> bool:
        """Whether the live rflags have TF, so that each instruction ends in a debug exception."""
        return self.live.rflags & TRAP_FLAG != 0

    def load(self, registers: Registers) -> None:
        """Make `registers` the live ones."""
        self.live = registers.copy()

    def load_bases(self, registers: Registers) -> None:
        """Make the bases of fs and gs the live ones."""
        self.live.fs_base, self.live.gs_base = registers.fs_base, registers.gs_base
        self.live.selectors = registers.selectors

    def use_address_space(self, root_frame: int, level: int) -> None:
        """It's looked at when the emulator is opened."""

    def offers(self, level: int) -> bool:
        """As much as the emulator."""
        return level <= self.capabilities.level

    def flush_space(self, root_frame: int) -> None:
        """Nothing is cached."""

    def flush_pages(self, root_frame: int, addresses: list[int]) -> None:
        """Nothing is cached."""

    def end_space(self, root_frame: int) -> None:
        """Nothing is kept."""

    def begin_program(self, root_frame: int, code_bytes: int) -> None:
        """Every program could run on the emulator."""

    def begin_beside(self, root_frame: int, other: int) -> None:
        """Every program could run on the emulator."""

    def give_way(self, root_frame: int) -> None:
        """Nothing is reserved."""

    def flush_all(self) -> None:
        """Nothing is cached."""

    def forget_code(self, frames: Iterable[int] | None) -> None:
        """Nothing is translated."""

    def set_budget(self, units: int) -> None:
        """So many units until `run` returns, once the emulator is open."""
        self.budget[0] = units

    def budget_left(self) -> int:
        """All of it."""
        return self.budget[0]

    def keep(self) -> NoReturn:
        """It's never asked to: what a fresh emulator keeps, only the emulator can say."""
        raise AssertionError("the emulator isn't open")

    def put_back(self, kept: object) -> NoReturn:
        """Nor is it to this, or to the two that follow."""
        raise AssertionError("the emulator isn't open")

    def write_kept(self, kept: object) -> NoReturn:
        """See `put_back`."""
        raise AssertionError("the emulator isn't open")

    def read_kept(self, value: object) -> NoReturn:
        """See `put_back`."""
        raise AssertionError("the emulator isn't open")

    def close(self) -> None:
        """Nothing is open."""
