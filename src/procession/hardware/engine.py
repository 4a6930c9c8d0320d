"""What the kernel asks of a processor, whichever engine stands for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from procession.hardware.physical_memory import PhysicalMemory
from procession.hardware.processor_level import V2
from procession.hardware.registers import Registers

FAULT_PROTECTION: Final = 1
FAULT_WRITE: Final = 2
FAULT_USER: Final = 4
FAULT_FETCH: Final = 16


class GeneralRegisters(Protocol):
    """Seventeen unsigned 64-bit words, indexed by `hardware.registers`' numbers."""

    def __getitem__(self, index: int, /) -> int:
        """A register's value."""

    def __setitem__(self, index: int, value: int, /) -> None:
        """Set a register."""


class EngineCapabilities:
    """What an engine says of itself, as data.

    `unit_ns` is how long, in virtual time, the unit lasts in which it counts work; `level` the processor that
    its programs find, one of `hardware.processor_level`. With `has_own_processes` it's others than this
    process that write to the frames.
    """

    __slots__ = ("has_own_processes", "level", "name", "unit_ns")

    def __init__(self, name: str, unit_ns: int, level: int = V2, *, has_own_processes: bool = False) -> None:
        self.name = name
        self.unit_ns = unit_ns
        self.level = level
        self.has_own_processes = has_own_processes


class TrapHandler(Protocol):
    """The kernel's entries. While one runs, the trapped task's registers are live in the engine.

    An entry returns with the registers that shall go on loaded: the same task's, or another's after a
    switch. If nothing shall go on, it has called `Engine.stop`.
    """

    @property
    def kernel_work_ns(self) -> int:
        """How long, in virtual time, the kernel itself has worked so far."""

    def system_call(self) -> None:
        """The processor executed `syscall`; rip is past it."""

    def page_fault(self, address: int, error_code: int) -> None:
        """An access to `address` faulted; `error_code` as the processor pushes it."""

    def processor_exception(self, vector: int, error_code: int) -> None:
        """The processor raised exception `vector` (0 divide error, 3 breakpoint, 6 invalid opcode, 13
        general protection ...)."""


class Engine(Protocol):
    """One processor. The kernel's data never holds what is inside an engine."""

    capabilities: EngineCapabilities

    @property
    def general(self) -> GeneralRegisters:
        """The live general registers in hardware order, rax first; valid inside a trap.

        Writing rax is how a system call returns its result.
        """

    def attach(self, memory: PhysicalMemory, traps: TrapHandler) -> None:
        """Take the machine's memory and the kernel's entries; called once, before all else."""

    def tell(self, traps: TrapHandler) -> None:
        """Take other entries than `attach` got, between two runs."""

    def run(self) -> None:
        """Run the loaded registers until `stop` is called in a trap or the budget is spent."""

    def stop(self) -> None:
        """Make `run` return after the present trap."""

    def interrupt(self) -> None:
        """Make `run` return soon, if it runs. Another thread may call this, and nothing else."""

    def save(self, registers: Registers) -> None:
        """Copy the live registers into `registers`."""

    def save_integers(self, registers: Registers) -> None:
        """Copy the live registers into `registers`, but for the floating-point state."""

    @property
    def has_trap_flag(self) -> bool:
        """Whether the live rflags have TF, so that each instruction ends in a debug exception."""

    def load(self, registers: Registers) -> None:
        """Make `registers` the live ones."""

    def load_bases(self, registers: Registers) -> None:
        """Make the bases of fs and gs in `registers` the live ones."""

    def use_address_space(self, root_frame: int, level: int) -> None:
        """Switch to the page tables whose root is in `root_frame` (cr3), and to a processor of `level`."""

    def offers(self, level: int) -> bool:
        """Whether programs can have a processor of `level` here."""

    def flush_space(self, root_frame: int) -> None:
        """Drop cached address translations of the address space at `root_frame`, which may not be the live
        one, after mappings lost rights or changed their frames."""

    def flush_pages(self, root_frame: int, addresses: list[int]) -> None:
        """Drop at least those of the pages at `addresses`."""

    def end_space(self, root_frame: int) -> None:
        """The address space at `root_frame` is gone; the frame may become the root of another."""

    def begin_program(self, root_frame: int, code_bytes: int) -> None:
        """The address space at `root_frame`, which isn't the live one yet, has got a program with a dynamic
        loader, whose file has `code_bytes` of code, or says so."""

    def begin_beside(self, root_frame: int, other: int) -> None:
        """The address space at `root_frame`, which has never been the live one, will do little but wait for
        that at `other`, where a program begins."""

    def give_way(self, root_frame: int) -> None:
        """The address space at `root_frame` has mapped some of `translation.layout.RESERVED`: an engine that
        has things of its own there can't run what looks at them."""

    def flush_all(self) -> None:
        """Drop cached address translations of all address spaces: memory isn't what it was."""

    def forget_code(self, frames: Iterable[int] | None) -> None:
        """Drop code translated from `frames`, or all: the kernel itself wrote to them, or uses them for
        something else."""

    def set_budget(self, units: int) -> None:
        """How many units of work `run` may do from now on before it returns."""

    def budget_left(self) -> int:
        """What is left of the budget; zero or less when it's spent."""

    def keep(self) -> object:
        """What the engine holds of the machine's state beside the registers and the budget, as a copy."""

    def put_back(self, kept: object) -> None:
        """Hold again what `keep` gave, after the registers have been loaded."""

    def write_kept(self, kept: object) -> object:
        """What `keep` gave as a value of numbers, bytes and tuples, to be written to a file."""

    def read_kept(self, value: object) -> object:
        """What `write_kept` gave, from whoever may have written it. Raises ValueError."""

    def close(self) -> None:
        """Give back what the engine holds of the host."""
