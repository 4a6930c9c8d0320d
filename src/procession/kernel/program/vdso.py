"""The vDSO: a small shared object that the kernel maps into every program, with functions for the time.

On Linux they read the clock without a system call. Here they make one, since time is the kernel's to tell;
but as on Linux nobody hears of it: no filter and no trace. That for random bytes makes none (vdso_random.py).
"""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING, Final

from procession.abi.elf import ElfType, Machine, SegmentFlag, SegmentType
from procession.abi.errno import EEXIST
from procession.abi.syscall_numbers import NUMBERS
from procession.hardware.physical_memory import PAGE_SIZE
from procession.hardware.registers import RDI, RIP
from procession.kernel.program.vdso_random import code_of_getrandom
from procession.mm.page_cache import PageCache
from procession.mm.unmapped_area import unmapped_area
from procession.mm.vma import DONT_EXPAND, PROT_EXEC, PROT_READ, VirtualMemoryArea

if TYPE_CHECKING:
    from procession.hardware.engine import GeneralRegisters
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor

FUNCTIONS: Final = ("clock_gettime", "gettimeofday", "time", "getcpu", "clock_getres", "getrandom")
VERSION, NAME = b"LINUX_2.6", b"linux-vdso.so.1"

_CLOCK_CALLS: Final = (NUMBERS["clock_gettime"], NUMBERS["clock_getres"])
CALLS_OF_VDSO: Final = frozenset((*_CLOCK_CALLS, NUMBERS["gettimeofday"], NUMBERS["time"], NUMBERS["getcpu"]))
"""Those that its functions make."""
_CLOCKS: Final = (0, 1, 4, 5, 6, 7, 11)
"""The clocks that the functions tell on Linux; for others they make the system call."""

_ET_DYN: Final = int(ElfType.ET_DYN)
_EM_X86_64: Final = int(Machine.EM_X86_64)
_PF_R: Final = int(SegmentFlag.PF_R)
_PF_X: Final = int(SegmentFlag.PF_X)
_PT_LOAD: Final = int(SegmentType.PT_LOAD)
_PT_DYNAMIC: Final = int(SegmentType.PT_DYNAMIC)
_PT_NOTE: Final = int(SegmentType.PT_NOTE)
_PT_GNU_EH_FRAME: Final = int(SegmentType.PT_GNU_EH_FRAME)
_EHDR_SIZE, _PHDR_SIZE, _SHDR_SIZE, _SYM_SIZE = 64, 56, 64, 24
_GLOBAL_FUNCTION, _WEAK_FUNCTION, _GLOBAL_OBJECT, _ABSOLUTE = 0x12, 0x22, 0x11, 0xFFF1
_SHT: Final = {"progbits": 1, "strtab": 3, "hash": 5, "dynamic": 6, "note": 7, "dynsym": 11}
_SHT_GNU_HASH, _SHT_VERDEF, _SHT_VERSYM = 0x6FFFFFF6, 0x6FFFFFFD, 0x6FFFFFFF
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SYMENT, _DT_SONAME = 4, 5, 6, 10, 11, 14
_DT_GNU_HASH, _DT_VERSYM, _DT_VERDEF, _DT_VERDEFNUM = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD
_ALLOCATED, _EXECUTABLE = 2, 4
_FUNCTION_SIZE: Final = 16


class Section:
    """One section of the image: `offset` is also its address."""

    __slots__ = ("alignment", "data", "entry_size", "flags", "info", "kind", "link", "name", "offset")

    def __init__(
        self,
        name: bytes,
        kind: int,
        data: bytes,
        *,
        flags: int = _ALLOCATED,
        link: int = 0,
        info: int = 0,
        alignment: int = 8,
        entry_size: int = 0,
    ) -> None:
        self.name = name
        self.kind = kind
        self.data = data
        self.flags = flags
        self.link = link
        self.info = info
        self.alignment = alignment
        self.entry_size = entry_size
        self.offset = 0


class StringTable:
    """Strings of an ELF file, each once."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = b"\0"

    def add(self, text: bytes) -> int:
        """Where `text` is in the table."""
        place = self.data.find(b"\0" + text + b"\0")
        if place < 0:
            place = len(self.data) - 1
            self.data += text + b"\0"
        return place + 1


def elf_hash(name: bytes) -> int:
    """The hash of the System V ABI."""
    value = 0
    for byte in name:
        value = (value << 4) + byte
        high = value & 0xF000_0000
        value = (value ^ high >> 24) & ~high
    return value


def gnu_hash(name: bytes) -> int:
    """The hash of DT_GNU_HASH."""
    value = 5381
    for byte in name:
        value = (value * 33 + byte) & 0xFFFF_FFFF
    return value


def _code() -> bytes:
    """mov $NUMBER, %eax; syscall; ret, for each function but the last."""
    return (
        b"".join(
            (b"\xb8" + pack("<I", NUMBERS[name]) + b"\x0f\x05\xc3").ljust(_FUNCTION_SIZE, b"\xcc")
            for name in FUNCTIONS[:-1]
        )
        + code_of_getrandom()
    )


def _hash_tables(names: list[bytes]) -> tuple[bytes, bytes]:
    """DT_HASH and DT_GNU_HASH of symbols 1 and up, each with one bucket and so one chain."""
    count = len(names) + 1
    chain = [0, *range(2, count), 0]
    classic = pack(f"<{3 + count}I", 1, count, 1, *chain)
    hashes = [gnu_hash(name) & ~1 for name in names]
    hashes[-1] |= 1
    # A Bloom filter that lets everything pass.
    modern = pack(f"<IIIIQI{len(hashes)}I", 1, 1, 1, 6, (1 << 64) - 1, 1, *hashes)
    return classic, modern


def _version_definitions(strings: StringTable) -> bytes:
    """The object's own name as base version, and LINUX_2.6."""
    definitions = b""
    for index, (name, flags, following) in enumerate(((NAME, 1, 28), (VERSION, 0, 0)), 1):
        definitions += pack("<HHHHIII", 1, flags, index, 1, elf_hash(name), 20, following)
        definitions += pack("<II", strings.add(name), 0)
    return definitions


def _unwind_tables(frame_at: int, header_at: int, text_at: int, text_size: int) -> tuple[bytes, bytes]:
    """.eh_frame and .eh_frame_hdr: functions that leave the stack as it was."""
    common = pack("<IB3sBBBBB", 0, 1, b"zR\0", 1, 0x78, 16, 1, 0x1B) + bytes((0x0C, 7, 8, 0x90, 1))
    common = common.ljust(20, b"\0")
    frame = pack("<I", len(common)) + common
    entry_at = frame_at + len(frame)
    entry = pack("<IiIB", len(frame) + 4, text_at - (entry_at + 8), text_size, 0).ljust(16, b"\0")
    frame += pack("<I", len(entry)) + entry + bytes(4)
    header = pack("<BBBB", 1, 0x1B, 0x03, 0x3B)
    header += pack("<iIii", frame_at - (header_at + 4), 1, text_at - header_at, entry_at - header_at)
    return frame, header


def vdso_image() -> bytes:
    """The whole shared object, one page. Linux: arch/x86/entry/vdso/vdso.lds.S."""
    strings = StringTable()
    code = _code()
    names = [prefix + name.encode() for name in FUNCTIONS for prefix in (b"__vdso_", b"")]
    names.append(VERSION)
    classic, modern = _hash_tables(names)
    definitions = _version_definitions(strings)
    places = {name: strings.add(name) for name in names}
    frame, header = _unwind_tables(0, 0, 0, 0)
    sections = [
        Section(b".hash", _SHT["hash"], classic, link=3, entry_size=4),
        Section(b".gnu.hash", _SHT_GNU_HASH, modern, link=3),
        Section(
            b".dynsym", _SHT["dynsym"], bytes(_SYM_SIZE * (len(names) + 1)), link=4, info=1, entry_size=24
        ),
        Section(b".dynstr", _SHT["strtab"], strings.data, alignment=1),
        Section(
            b".gnu.version",
            _SHT_VERSYM,
            pack(f"<{len(names) + 1}H", 0, *[2] * len(names)),
            link=3,
            alignment=2,
            entry_size=2,
        ),
        Section(b".gnu.version_d", _SHT_VERDEF, definitions, link=4, info=2),
        Section(b".dynamic", _SHT["dynamic"], bytes(16 * 11), link=4, entry_size=16),
        Section(b".note", _SHT["note"], pack("<III8sI", 6, 4, 0, b"Linux\0", 6 << 16), alignment=4),
        Section(b".eh_frame_hdr", _SHT["progbits"], header, alignment=4),
        Section(b".eh_frame", _SHT["progbits"], frame),
        Section(b".text", _SHT["progbits"], code, flags=_ALLOCATED | _EXECUTABLE, alignment=16),
    ]
    section_names = StringTable()
    for section in sections:
        section_names.add(section.name)
    section_names.add(b".shstrtab")
    sections.append(Section(b".shstrtab", _SHT["strtab"], section_names.data, flags=0, alignment=1))
    end = _EHDR_SIZE + 4 * _PHDR_SIZE
    for section in sections:
        section.offset = -(-end // section.alignment) * section.alignment
        end = section.offset + len(section.data)
    by_name = {section.name: section for section in sections}
    text = by_name[b".text"]
    symbols = bytes(_SYM_SIZE)
    for position, name in enumerate(names[:-1]):
        binding = _GLOBAL_FUNCTION if position % 2 == 0 else _WEAK_FUNCTION
        address = text.offset + position // 2 * _FUNCTION_SIZE
        is_last = position // 2 == len(FUNCTIONS) - 1
        size = text.offset + len(code) - address if is_last else _FUNCTION_SIZE // 2
        symbols += pack("<IBBHQQ", places[name], binding, 0, 11, address, size)
    symbols += pack("<IBBHQQ", places[VERSION], _GLOBAL_OBJECT, 0, _ABSOLUTE, 0, 0)
    by_name[b".dynsym"].data = symbols
    by_name[b".eh_frame"].data, by_name[b".eh_frame_hdr"].data = _unwind_tables(
        by_name[b".eh_frame"].offset, by_name[b".eh_frame_hdr"].offset, text.offset, len(code)
    )
    by_name[b".dynamic"].data = pack(
        "<22Q",
        *(_DT_SONAME, strings.add(NAME)),
        *(_DT_HASH, by_name[b".hash"].offset, _DT_GNU_HASH, by_name[b".gnu.hash"].offset),
        *(_DT_STRTAB, by_name[b".dynstr"].offset, _DT_SYMTAB, by_name[b".dynsym"].offset),
        *(_DT_STRSZ, len(strings.data), _DT_SYMENT, _SYM_SIZE),
        *(_DT_VERSYM, by_name[b".gnu.version"].offset, _DT_VERDEF, by_name[b".gnu.version_d"].offset),
        *(_DT_VERDEFNUM, 2, 0, 0),
    )
    return _put_together(sections, section_names, end)


def _put_together(sections: list[Section], section_names: StringTable, end: int) -> bytes:
    by_name = {section.name: section for section in sections}
    table_at = -(-end // 8) * 8
    image = pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\2\1\1",
        *(_ET_DYN, _EM_X86_64, 1, 0, _EHDR_SIZE, table_at, 0, _EHDR_SIZE, _PHDR_SIZE, 4, _SHDR_SIZE),
        *(len(sections) + 1, len(sections)),
    )
    image += pack("<IIQQQQQQ", _PT_LOAD, _PF_R | _PF_X, 0, 0, 0, end, end, PAGE_SIZE)
    for kind, name in (
        (_PT_DYNAMIC, b".dynamic"),
        (_PT_NOTE, b".note"),
        (_PT_GNU_EH_FRAME, b".eh_frame_hdr"),
    ):
        section = by_name[name]
        size = len(section.data)
        image += pack("<IIQQQQQQ", kind, _PF_R, *[section.offset] * 3, size, size, section.alignment)
    for section in sections:
        image = image.ljust(section.offset, b"\0") + section.data
    image = image.ljust(table_at, b"\0") + bytes(_SHDR_SIZE)
    for section in sections:
        image += pack(
            "<IIQQQQIIQQ",
            *(section_names.add(section.name), section.kind, section.flags),
            *(section.offset if section.flags else 0, section.offset, len(section.data)),
            *(section.link, section.info, section.alignment, section.entry_size),
        )
    return image


def is_call_of_vdso(kernel: Kernel, task: Task, number: int, live: GeneralRegisters) -> bool:
    """Whether the running task's call, one of CALLS_OF_VDSO, is one that Linux's vDSO wouldn't make, from a
    page of the vDSO.

    Whoever jumps at the page's instruction with another call in mind makes it as from anywhere. `live` are
    the registers in the processor.
    """
    if number in _CLOCK_CALLS and live[RDI] & 0xFFFF_FFFF not in _CLOCKS:
        return False
    area = task.mm.find(live[RIP])
    return area is not None and area.pages is not None and area.pages is kernel.vdso


def map_vdso_once(kernel: Kernel, mm: MemoryDescriptor, address: int) -> int:
    """Map the vDSO, about at `address`, where it isn't mapped any more: its length. Raises EEXIST, ENOMEM.

    Linux: arch/x86/entry/vdso/vma.c, map_vdso_once.
    """
    mm.note_areas(mm.areas.length)
    if any(area.pages is not None and area.pages is kernel.vdso for area in mm.areas):
        raise EEXIST("the vDSO is mapped")
    map_vdso(kernel, mm, address)
    return PAGE_SIZE


def map_vdso(kernel: Kernel, mm: MemoryDescriptor, near: int = 0) -> int:
    """Map the machine's vDSO into `mm`, if possible at `near`: its address. Raises ENOMEM, OutOfFrames.

    The one page is everybody's, until somebody writes to it: a debugger that sets a breakpoint has a copy.
    Linux: arch/x86/entry/vdso/vma.c, map_vdso.
    """
    pages = kernel.vdso
    if pages is None:
        pages = PageCache(kernel.memory)
        pages.frames[0] = kernel.memory.allocate_with(vdso_image())
        kernel.vdso = pages
    address = unmapped_area(mm, PAGE_SIZE, near)
    area = VirtualMemoryArea(address, address + PAGE_SIZE, PROT_READ | PROT_EXEC, pages=pages, name=b"[vdso]")
    area.flags = DONT_EXPAND
    mm.map(area)
    return address
