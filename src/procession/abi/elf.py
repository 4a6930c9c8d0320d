"""ELF: the headers that an exec reads."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U16, U32, U64, Structure

# The first bytes of every file.
ELFMAG = b"\x7fELF"

# Indexes of e_ident.
EI_CLASS = 4
EI_DATA = 5
EI_VERSION = 6
EI_OSABI = 7
EI_PAD = 8
EI_NIDENT = 16

ELFCLASS32 = 1
ELFCLASS64 = 2
ELFDATA2LSB = 1
ELFDATA2MSB = 2
EV_CURRENT = 1
ELFOSABI_NONE = 0
ELFOSABI_LINUX = 3


class ElfType(IntEnum):
    """e_type."""

    ET_NONE = 0
    ET_REL = 1
    ET_EXEC = 2
    ET_DYN = 3
    ET_CORE = 4


class Machine(IntEnum):
    """e_machine."""

    EM_NONE = 0
    EM_386 = 3
    EM_ARM = 40
    EM_X86_64 = 62
    EM_AARCH64 = 183
    EM_RISCV = 243


class SegmentType(IntEnum):
    """p_type."""

    PT_NULL = 0
    PT_LOAD = 1
    PT_DYNAMIC = 2
    PT_INTERP = 3
    PT_NOTE = 4
    PT_SHLIB = 5
    PT_PHDR = 6
    PT_TLS = 7
    PT_GNU_EH_FRAME = 0x6474E550
    PT_GNU_STACK = 0x6474E551
    PT_GNU_RELRO = 0x6474E552
    PT_GNU_PROPERTY = 0x6474E553


class SegmentFlag(IntFlag):
    """p_flags."""

    PF_X = 1
    PF_W = 2
    PF_R = 4


class NoteType(IntEnum):
    """n_type of a core file's notes and of PTRACE_GETREGSET."""

    NT_PRSTATUS = 1
    NT_PRFPREG = 2
    NT_PRPSINFO = 3
    NT_AUXV = 6
    NT_SIGINFO = 0x53494749
    NT_FILE = 0x46494C45
    NT_PRXFPREG = 0x46E62B7F
    NT_386_TLS = 512
    NT_386_IOPERM = 513
    NT_X86_XSTATE = 514
    NT_X86_SHSTK = 516
    NT_X86_XSAVE_LAYOUT = 517


class Elf64Ehdr(Structure):
    """Elf64_Ehdr: the file's header."""

    e_ident: Annotated[bytes, 16] = b""
    e_type: U16 = 0
    e_machine: U16 = 0
    e_version: U32 = 0
    e_entry: U64 = 0
    e_phoff: U64 = 0
    e_shoff: U64 = 0
    e_flags: U32 = 0
    e_ehsize: U16 = 0
    e_phentsize: U16 = 0
    e_phnum: U16 = 0
    e_shentsize: U16 = 0
    e_shnum: U16 = 0
    e_shstrndx: U16 = 0


class Elf64Phdr(Structure):
    """Elf64_Phdr: a segment."""

    p_type: U32 = 0
    p_flags: U32 = 0
    p_offset: U64 = 0
    p_vaddr: U64 = 0
    p_paddr: U64 = 0
    p_filesz: U64 = 0
    p_memsz: U64 = 0
    p_align: U64 = 0


class Elf64Nhdr(Structure):
    """Elf64_Nhdr: a note; its name and its content follow, each padded to a multiple of 4 bytes."""

    n_namesz: U32 = 0
    n_descsz: U32 = 0
    n_type: U32 = 0
