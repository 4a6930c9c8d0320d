"""One processor of any engine, with address spaces that a test fills, and a record of its traps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from procession.hardware import page_table as pte
from procession.hardware.engine import Engine
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from procession.hardware.registers import RAX, RIP, RSP, Registers
from procession.mm.page_tables import PageTables

CODE, DATA, STACK, ABSENT = 0x40_0000, 0x50_0000, 0x60_0000, 0x70_0000
READ, WRITE, EXECUTE = 1, 2, 4
CALL = "0f05"
"""The instruction syscall."""
MEMORY_BYTES = 4 << 20
SOME_UNITS = 100_000

Trap = tuple[str, int, int]
"""What trapped: ("call", number, 0), ("fault", address, error code) or ("exception", vector, error code)."""


class Space:
    """One address space. Its pages are there until they're taken away."""

    def __init__(self, memory: PhysicalMemory) -> None:
        self.memory = memory
        self.tables = PageTables(memory)
        self.root = self.tables.root

    def map(self, address: int, rights: int, data: bytes = b"") -> int:
        """Map a new frame with `data` in it at `address`; its number."""
        frame = self.memory.allocate_with(data)
        self.point(address, rights, frame)
        return frame

    def point(self, address: int, rights: int, frame: int) -> None:
        """Let `address` lead to `frame`, in place of what there was."""
        bits = pte.PRESENT | pte.USER
        if rights & WRITE:
            bits |= pte.WRITABLE
        if rights & EXECUTE:
            self.memory.executable.add(frame)
        else:
            bits |= pte.NO_EXECUTE
        leaf = self.tables.own_leaf(address >> 21)
        self.memory.words[(leaf << 9) + (address >> 12 & 511)] = frame << PAGE_SHIFT | bits

    def frame(self, address: int) -> int:
        """The frame that is mapped at `address`."""
        return (self.tables.entry(address >> PAGE_SHIFT) & pte.ADDRESS_MASK) >> PAGE_SHIFT

    def read(self, address: int, length: int) -> bytes:
        """Bytes of one page."""
        start = (self.frame(address) << PAGE_SHIFT) + address % PAGE_SIZE
        return self.memory.bytes[start : start + length]

    def write(self, address: int, data: bytes) -> None:
        """Put bytes into one page, as the kernel does: the engine must be told if it was code."""
        start = (self.frame(address) << PAGE_SHIFT) + address % PAGE_SIZE
        self.memory.bytes[start : start + len(data)] = data


class Bench:
    """An engine with one space that has a page of code, one of data and a stack.

    What traps is noted in `traps`, and then `on_trap` asked; if it doesn't say True the processor stops.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.memory = PhysicalMemory(MEMORY_BYTES)
        self.traps: list[Trap] = []
        self.on_trap: Callable[[Trap], bool] = lambda trap: False
        engine.attach(self.memory, self)
        self.space = self.new_space()
        self.use(self.space)

    def new_space(self) -> Space:
        """An address space with the pages that every test has."""
        space = Space(self.memory)
        space.map(CODE, READ | EXECUTE)
        space.map(DATA, READ | WRITE)
        space.map(STACK, READ | WRITE)
        return space

    def use(self, space: Space) -> None:
        """Let the processor run in `space`."""
        self.engine.use_address_space(space.root, self.engine.capabilities.level)

    # The kernel's entries

    kernel_work_ns = 0

    def system_call(self) -> None:
        self._note(("call", self.engine.general[RAX], 0))

    def page_fault(self, address: int, error_code: int) -> None:
        self._note(("fault", address, error_code))

    def processor_exception(self, vector: int, error_code: int) -> None:
        self._note(("exception", vector, error_code))

    def _note(self, trap: Trap) -> None:
        self.traps.append(trap)
        if not self.on_trap(trap):
            self.engine.stop()

    # Running

    def load(self, code: bytes, values: dict[int, int] | None = None, rflags: int = 0x202) -> Registers:
        """Put code into the page of code, and registers into the processor that lead there."""
        self.space.write(CODE, code.ljust(PAGE_SIZE, b"\xcc"))
        self.engine.forget_code([self.space.frame(CODE)])
        registers = Registers()
        registers.general[RIP] = CODE
        registers.general[RSP] = STACK + PAGE_SIZE // 2
        for register, value in (values or {}).items():
            registers.general[register] = value
        registers.rflags = rflags
        self.engine.load(registers)
        return registers

    def run(self, units: int = SOME_UNITS) -> Registers:
        """Run for `units` or until stopped; the registers then."""
        self.engine.set_budget(units)
        self.engine.run()
        registers = Registers()
        self.engine.save(registers)
        return registers

    def run_code(
        self, text: str, values: dict[int, int] | None = None, rflags: int = 0x202
    ) -> tuple[Trap, Registers]:
        """Run code, given in hexadecimal, up to its first trap."""
        self.traps.clear()
        self.load(bytes.fromhex(text), values, rflags)
        registers = self.run()
        [trap] = self.traps
        return trap, registers


@contextmanager
def processor_bench(make_engine: Callable[[], Engine]) -> Iterator[Bench]:
    """A bench, taken down at the end."""
    engine = make_engine()
    bench = None
    try:
        bench = Bench(engine)
        yield bench
    finally:
        engine.close()
        if bench is not None:
            bench.memory.close()
