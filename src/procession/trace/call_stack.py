"""The functions that a task is in, outermost last, as `strace -k` writes them."""

from __future__ import annotations

from bisect import bisect_right
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, cast

from procession.abi.elf import Elf64Ehdr, Elf64Phdr, SegmentType
from procession.abi.errno import Errno
from procession.abi.named_tuple import NamedTuple
from procession.abi.word import Words
from procession.fs.dentry import absolute_path
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, OutOfFrames
from procession.hardware.registers import NUMBERS
from procession.mm.peek import peek
from procession.trace.unwind import FRAME_ORDER, RETURN_ADDRESS, RSP, BadTable, FrameTable, caller_of
from procession.trace.values import escaped

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import VirtualMemoryArea

DEEPEST = 256
_MOST_SYMBOLS, _MOST_SYMBOLS_TOGETHER = 1 << 18, 1 << 20
_LARGEST_TABLE = 1 << 24
_MOST_SECTIONS, _MOST_LOADS = 1 << 12, 64
_MAGIC = b"\x7fELF"
_PT_LOAD, _PT_GNU_EH_FRAME = int(SegmentType.PT_LOAD), int(SegmentType.PT_GNU_EH_FRAME)
_TABLES = b".eh_frame\0"
_SECTION = Words("<IIQQQQIIQQ")
_SYMBOL = Words("<IBBHQQ")
_SHT_SYMTAB, _SHT_DYNSYM = 2, 11
_FUNCTION_TYPES = (0, 2, 10)
"""STT_NOTYPE, STT_FUNC and STT_GNU_IFUNC."""
_WORD = 8


class Symbol(NamedTuple):
    """A function's name, where it begins, and how long it is."""

    address: int
    size: int
    name: bytes


class Pages(Protocol):
    """A file's contents."""

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, which are there."""


class Module:
    """A file whose code is executed: its tables and names, by its own addresses. `length` is its size."""

    def __init__(self, pages: Pages, length: int) -> None:
        self.pages = pages
        self.length = length
        self.loads: list[Elf64Phdr] = []
        self.low = 0
        self.frames: FrameTable | None = None
        self.symbols: list[Symbol] = []
        self.addresses: list[int] = []
        # As much of it as makes sense is used.
        with suppress(BadTable, ValueError):
            self._read_headers()
        self.addresses = [symbol.address for symbol in self.symbols]

    def _read(self, offset: int, length: int) -> bytes:
        """Bytes of the file. Raises BadTable where there are none, or the host has lost them."""
        if not 0 <= offset <= self.length - length or length > _LARGEST_TABLE:
            raise BadTable
        try:
            return self.pages.read(offset, length)
        except (Errno, OutOfFrames):
            raise BadTable from None

    def read_at(self, address: int, length: int) -> bytes:
        """Bytes by the file's own addresses. Raises BadTable."""
        for load in self.loads:
            if load.p_vaddr <= address <= load.p_vaddr + load.p_filesz - length:
                return self._read(address - load.p_vaddr + load.p_offset, length)
        raise BadTable

    def _read_headers(self) -> None:
        header = Elf64Ehdr.unpack(self._read(0, Elf64Ehdr.SIZE))
        if header.e_ident[:4] != _MAGIC:
            raise BadTable
        index_address = -1
        for number in range(header.e_phnum):
            place = header.e_phoff + number * Elf64Phdr.SIZE
            segment = Elf64Phdr.unpack(self._read(place, Elf64Phdr.SIZE))
            if segment.p_type == _PT_LOAD:
                if len(self.loads) >= _MOST_LOADS:
                    raise BadTable
                self.loads.append(segment)
            elif segment.p_type == _PT_GNU_EH_FRAME:
                index_address = segment.p_vaddr
        if self.loads:
            self.low = min(load.p_vaddr for load in self.loads) & ~PAGE_MASK
        if index_address >= 0:
            self.frames = FrameTable.indexed(self.read_at, index_address)
        if header.e_shnum > _MOST_SECTIONS:
            raise BadTable
        data = self._read(header.e_shoff, header.e_shnum * _SECTION.size)
        sections = list(_SECTION.iter_unpack(data))
        self._read_symbols(sections)
        if self.frames is None and header.e_shstrndx < len(sections):
            names = self._read(*sections[header.e_shstrndx][4:6])
            for name, _, _, address, _, size, *_ in sections:
                if names[name : name + len(_TABLES)] == _TABLES:
                    self.frames = FrameTable.scanned(self.read_at, address, size)

    def _read_symbols(self, sections: list[tuple[int, ...]]) -> None:
        for wanted in (_SHT_SYMTAB, _SHT_DYNSYM):
            for _, kind, _, _, offset, size, link, *_ in sections:
                if kind == wanted and link < len(sections):
                    names = self._read(*sections[link][4:6])
                    count = min(size // _SYMBOL.size, _MOST_SYMBOLS)
                    self._add_symbols(self._read(offset, count * _SYMBOL.size), names)
                    return

    def _add_symbols(self, data: bytes, names: bytes) -> None:
        found: dict[int, Symbol] = {}
        for name, info, _, section, address, size in _SYMBOL.iter_unpack(data):
            if section and info & 0xF in _FUNCTION_TYPES:
                end = names.find(b"\0", name)
                known = found.get(address)
                if end > name and (known is None or (size and not known.size)):
                    found[address] = Symbol(address, size, names[name:end])
        self.symbols = [found[address] for address in sorted(found)]

    def address_of(self, offset: int) -> int:
        """The file's own address of what lies at `offset` in it. Raises BadTable."""
        for load in self.loads:
            if load.p_offset <= offset < load.p_offset + load.p_filesz:
                return offset - load.p_offset + load.p_vaddr
        raise BadTable

    def name_at(self, address: int) -> str:
        """`function+0x7`; "" where there's no name."""
        place = bisect_right(self.addresses, address) - 1 if self.symbols else -1
        if place < 0:
            return ""
        symbol = self.symbols[place]
        if symbol.size and address >= symbol.address + symbol.size:
            return ""
        return f"{escaped(symbol.name)}+{address - symbol.address:#x}"


class CallStacks:
    """Knows the modules that tasks have executed."""

    def __init__(self) -> None:
        self.modules: dict[tuple[int, int], Module] = {}
        self.symbol_count = 0

    def lines_of(self, task: Task) -> list[str]:
        """A line for each function that `task` is in."""
        general = task.kernel.registers_of(task).general
        registers: list[int] | None = [general[NUMBERS[name]] for name in FRAME_ORDER]
        mm = task.mm
        lines: list[str] = []
        is_exact = True
        while registers is not None and len(lines) < DEEPEST:
            address = registers[RETURN_ADDRESS]
            area = mm.find(address)
            if area is None:
                break
            try:
                module, place = self._module_at(area, address)
                lines.append(_line(module, place, _name_of(task, area)))
                if module.frames is None:
                    break
                # A call's return address may be the next function's already.
                rules = module.frames.rules_at(place if is_exact else place - 1)
                is_exact = rules.is_signal
                caller = caller_of(rules, registers, lambda at: _word(mm, at))
            except BadTable:
                break
            if caller is not None and caller[RSP] <= registers[RSP] and not is_exact:
                break
            registers = caller
        return lines

    def _module_at(self, area: VirtualMemoryArea, address: int) -> tuple[Module, int]:
        """The module whose code lies there, and the address as it has it. Raises BadTable."""
        if area.pages is None:
            raise BadTable
        file = cast("File | None", area.file)
        length = area.end - area.start if file is None else file.inode.size
        key = id(area.pages), length
        module = self.modules.get(key)
        if module is None:
            module = Module(area.pages, length)
            # Each module counts as some symbols too.
            self.symbol_count += len(module.symbols) + _MOST_SYMBOLS // 64
            if self.symbol_count > _MOST_SYMBOLS_TOGETHER:
                self.modules.clear()
                self.symbol_count = len(module.symbols)
            self.modules[key] = module
        return module, module.address_of((area.page_offset << PAGE_SHIFT) + address - area.start)


def _name_of(task: Task, area: VirtualMemoryArea) -> str:
    file = cast("File | None", area.file)
    return escaped(area.name if file is None else absolute_path(file.path, task.fs.root))


def _line(module: Module, address: int, name: str) -> str:
    return f" > {name}({module.name_at(address)}) [{address - module.low:#x}]"


def _word(mm: MemoryDescriptor, address: int) -> int:
    try:
        data = peek(mm, address, _WORD)
    except (Errno, OutOfFrames):
        raise BadTable from None
    if len(data) < _WORD:
        raise BadTable
    return int.from_bytes(data, "little")
