"""ELF programs: reading their headers and laying them out in a new address space."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from procession.abi.elf import ElfType, Machine, SegmentFlag, SegmentType
from procession.abi.errno import EINVAL, EIO, ELIBBAD, ENOEXEC, ENOMEM, EOVERFLOW
from procession.abi.limits import PATH_MAX
from procession.abi.named_tuple import NamedTuple
from procession.abi.word import Words
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from procession.mm.unmapped_area import unmapped_area
from procession.mm.vma import PROT_EXEC, PROT_READ, PROT_WRITE, VirtualMemoryArea

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.inode import Inode
    from procession.mm.address_space import MemoryDescriptor

_EHDR: Final = Words("<16sHHIQQQIHHHHHH")
_PHDR: Final = Words("<IIQQQQQQ")
EHDR_SIZE, PHDR_SIZE = _EHDR.size, _PHDR.size
_MAGIC: Final = b"\x7fELF"
ET_EXEC: Final = int(ElfType.ET_EXEC)
ET_DYN: Final = int(ElfType.ET_DYN)
EM_X86_64: Final = int(Machine.EM_X86_64)
PT_LOAD: Final = int(SegmentType.PT_LOAD)
PT_INTERP: Final = int(SegmentType.PT_INTERP)
PT_GNU_STACK: Final = int(SegmentType.PT_GNU_STACK)
PF_X: Final = int(SegmentFlag.PF_X)
PF_W: Final = int(SegmentFlag.PF_W)
PF_R: Final = int(SegmentFlag.PF_R)

_MAXIMUM_OFFSET: Final = (1 << 63) - 1

PIE_BASE: Final = 0x5555_5555_4000
"""Where position-independent programs with an interpreter go (in Linux, ELF_ET_DYN_BASE, not randomised)."""


class Segment(NamedTuple):
    """A program header; addresses, offsets and sizes in bytes."""

    kind: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int
    alignment: int

    @property
    def protection(self) -> int:
        """The PROT_* bits of its flags."""
        flags = self.flags
        return (
            (PROT_READ if flags & PF_R else 0)
            | (PROT_WRITE if flags & PF_W else 0)
            | (PROT_EXEC if flags & PF_X else 0)
        )


class ElfProgram:
    """The headers of an ELF file, and what follows from them.

    `loads` are the PT_LOAD segments; `low`, page-aligned, and `high` the lowest and highest address that
    they take; `alignment` the largest that they ask for; `interpreter` where the name of the dynamic loader
    is, None for a static program; `code_bytes` how much of the file is code.
    """

    __slots__ = (
        "alignment",
        "code_bytes",
        "entry",
        "has_executable_stack",
        "header_offset",
        "high",
        "interpreter",
        "is_loadable",
        "kind",
        "loads",
        "low",
        "segments",
    )

    def __init__(self, kind: int, entry: int, header_offset: int, segments: tuple[Segment, ...]) -> None:
        self.kind = kind
        self.entry = entry
        self.header_offset = header_offset
        self.segments = segments
        self.loads = loads = [segment for segment in segments if segment.kind == PT_LOAD]
        self.low = loads[0].address & ~PAGE_MASK if loads else 0
        self.high = max((load.address + load.memory_size for load in loads), default=0)
        alignments = [load.alignment for load in loads if load.alignment & (load.alignment - 1) == 0]
        self.alignment = max([PAGE_SIZE, *alignments])
        self.code_bytes = sum(load.file_size for load in loads if load.flags & PF_X)
        self.interpreter = next((segment for segment in segments if segment.kind == PT_INTERP), None)
        self.is_loadable = kind in (ET_EXEC, ET_DYN)
        # Without the header x86-64 programs don't get one.
        self.has_executable_stack = any(
            segment.kind == PT_GNU_STACK and segment.flags & PF_X for segment in segments
        )


class LoadedImage(NamedTuple):
    """Where an ELF file has been put: `bias` is what was added to its addresses."""

    bias: int
    start: int
    end: int
    entry: int
    headers_address: int


def read_program(file: File, head: bytes) -> ElfProgram | None:
    """The headers of the ELF file `file`, whose first bytes are `head`; None if it isn't one for x86-64.

    Of what identifies the file Linux looks at the first four bytes alone. Raises ENOEXEC for headers that
    are cut off or make no sense. Linux: fs/binfmt_elf.c, load_elf_binary, load_elf_phdrs.
    """
    if not head.startswith(_MAGIC):
        return None
    head = head.ljust(EHDR_SIZE, b"\0")
    (_, kind, machine, _, entry, header_offset, _, _, _, entry_size, count, *_) = _EHDR.unpack_from(head)
    if machine != EM_X86_64:
        return None
    if entry_size != PHDR_SIZE or not 0 < count * PHDR_SIZE <= 65536:
        raise ENOEXEC("a program header table of an impossible size")
    table = file.read_at(header_offset, count * PHDR_SIZE) if header_offset < 1 << 62 else b""
    if len(table) < count * PHDR_SIZE:
        raise ENOEXEC("the program header table is cut off")
    segments = tuple(
        Segment(kind_, flags, offset, address, file_size, memory_size, alignment)
        for kind_, flags, offset, address, _, file_size, memory_size, alignment in _PHDR.iter_unpack(table)
    )
    return ElfProgram(kind, entry, header_offset, segments)


def interpreter_of(program: ElfProgram, file: File) -> bytes | None:
    """The path of the dynamic loader that the program asks for. Raises ENOEXEC, EINVAL, EIO."""
    segment = program.interpreter
    if segment is None:
        return None
    if not 2 <= segment.file_size <= PATH_MAX:
        raise ENOEXEC("an interpreter's name of an impossible length")
    if segment.offset > _MAXIMUM_OFFSET:
        raise EINVAL("an interpreter's name at a negative offset")
    name = file.read_at(segment.offset, segment.file_size)
    if len(name) < segment.file_size:
        raise EIO("the interpreter's name is cut off")
    if name[-1]:
        raise ENOEXEC("the interpreter's name doesn't end")
    return name[: name.index(0)]


class ProgramHeaders:
    """The headers of programs that have been run, by file, as long as the file hasn't changed.

    Linux reads them anew each time; here decoding them would cost more than mapping the program.
    """

    __slots__ = ("entries",)
    CAPACITY: ClassVar[int] = 64

    def __init__(self) -> None:
        self.entries: dict[Inode, tuple[int, int, bytes, ElfProgram]] = {}

    def read(self, file: File, head: bytes) -> ElfProgram | None:
        """As `read_program`, from memory if possible."""
        inode = file.inode
        known = self.entries.get(inode)
        if known is not None and known[:3] == (inode.ctime_ns, inode.size, head):
            return known[3]
        program = read_program(file, head)
        if program is not None:
            if len(self.entries) >= self.CAPACITY:
                del self.entries[next(iter(self.entries))]
            self.entries[inode] = (inode.ctime_ns, inode.size, head, program)
        return program


def load_image(mm: MemoryDescriptor, program: ElfProgram, file: File, *, is_interpreter: bool) -> LoadedImage:
    """Map the program's segments into `mm`.

    Raises EINVAL, ENOMEM and others for segments that can't be mapped; the caller ends the program.
    Linux: fs/binfmt_elf.c, elf_load, load_elf_interp.
    """
    if not program.is_loadable:
        raise EINVAL("an interpreter that is neither a program nor a library")
    loads = program.loads
    if not loads:
        raise ELIBBAD("nothing to load") if is_interpreter else EINVAL("nothing to load")
    low, high = program.low, program.high
    if high > pte.USER_END or high - low > pte.USER_END:
        reason = "segments past the end of user space"
        raise EINVAL(reason) if program.kind != ET_DYN and not is_interpreter else ENOMEM(reason)
    bias = 0
    if program.kind == ET_DYN:
        has_interpreter = program.interpreter is not None and not is_interpreter
        base = PIE_BASE if has_interpreter else unmapped_area(mm, (high - low + PAGE_MASK) & ~PAGE_MASK)
        bias = (base if is_interpreter else base & -program.alignment) - low
    areas: list[VirtualMemoryArea] = []
    tails: list[int] = []
    for load in loads:
        _add_segment(areas, tails, load, file, bias)
    is_mapped = mm.map_row(areas)
    for area, tail in zip(areas, tails, strict=True):
        if not is_mapped:
            mm.map(area)
        if tail:
            mm.write(tail, bytes(area.end - tail))
    # Where no segment has them Linux gives the bias, and where several have them the last one's address.
    headers_address = bias
    for load in loads:
        if load.offset <= program.header_offset < load.offset + load.file_size:
            headers_address = program.header_offset - load.offset + load.address + bias
    return LoadedImage(bias, low + bias, high + bias, program.entry + bias, headers_address)


def _add_segment(
    areas: list[VirtualMemoryArea], tails: list[int], load: Segment, file: File, bias: int
) -> None:
    """One PT_LOAD: its file pages, and anonymous pages for the rest.

    `tails` gets for each area from where on its last page is to be zeroed, or 0.
    """
    if load.file_size > load.memory_size:
        raise EINVAL("a segment that is larger in the file than in memory")
    address = load.address + bias
    if address < 0 or address + load.memory_size > pte.USER_END:
        raise ENOMEM("a segment past the end of user space")
    if load.memory_size == 0:
        return
    if (address ^ load.offset) & PAGE_MASK and load.file_size:
        raise EINVAL("a segment whose address and offset don't agree")
    start = address & ~PAGE_MASK
    file_end = address + load.file_size
    mapped_end = (file_end + PAGE_MASK) & ~PAGE_MASK if load.file_size else start
    end = (address + load.memory_size + PAGE_MASK) & ~PAGE_MASK
    protection = load.protection
    if load.file_size:
        pages = file.mappable()
        if pages is None:
            raise EINVAL("a file that can't be mapped")
        if load.offset + load.file_size > _MAXIMUM_OFFSET:
            raise EOVERFLOW("past the end of any file")
        areas.append(
            VirtualMemoryArea(
                start,
                mapped_end,
                protection,
                pages=pages,
                file=file,
                page_offset=(load.offset & ~PAGE_MASK) >> PAGE_SHIFT,
            )
        )
        has_tail = load.memory_size > load.file_size and file_end & PAGE_MASK and protection & PROT_WRITE
        tails.append(file_end if has_tail else 0)
    if end > mapped_end:
        # Like the heap's, these pages can be written to, whatever the segment's flags say.
        areas.append(VirtualMemoryArea(mapped_end, end, PROT_READ | PROT_WRITE | protection & PROT_EXEC))
        tails.append(0)


def read_interpreter(headers: ProgramHeaders, file: File, head: bytes) -> ElfProgram:
    """The headers of the program interpreter `file`, whose first bytes are `head`. Raises EIO, ELIBBAD.

    Linux: fs/binfmt_elf.c, load_elf_binary.
    """
    if len(head) < EHDR_SIZE:
        raise EIO("the interpreter's header is cut off")
    try:
        program = headers.read(file, head)
    except ENOEXEC as error:
        raise ELIBBAD(error.reason) from None
    if program is None:
        raise ELIBBAD("the interpreter isn't an ELF file for x86-64")
    return program
