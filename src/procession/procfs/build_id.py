"""The build id of an ELF file, as far as its first page tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.elf import (
    EI_CLASS,
    ELFCLASS64,
    ELFMAG,
    Elf64Ehdr,
    Elf64Nhdr,
    Elf64Phdr,
    SegmentType,
)
from procession.hardware.physical_memory import PAGE_SIZE

if TYPE_CHECKING:
    from procession.fs.inode import Inode

BUILD_ID_BYTES = 20
"""The longest, and how long each is told to be. Linux: include/linux/buildid.h, BUILD_ID_SIZE_MAX."""
_NOTE = int(SegmentType.PT_NOTE)
_BUILD_ID = 3
"""What a linker calls it; no note of the kernel's. Linux: lib/buildid.c, BUILD_ID."""


def build_id_of(inode: Inode) -> bytes:
    """The build id of what an inode holds, 20 bytes; b"" if it isn't an ELF file of 64 bits or has none.

    Linux: lib/buildid.c, build_id_parse.
    """
    if not inode.is_regular or inode.pages is None or not inode.size:
        return b""
    page = inode.pages.read(0, min(PAGE_SIZE, inode.size))
    if len(page) < Elf64Ehdr.SIZE or page[: EI_CLASS + 1] != ELFMAG + bytes((ELFCLASS64,)):
        return b""
    header = Elf64Ehdr.unpack(page[: Elf64Ehdr.SIZE])
    for index in range(header.e_phnum):
        place = header.e_phoff + index * Elf64Phdr.SIZE
        if place + Elf64Phdr.SIZE > len(page):
            break
        segment = Elf64Phdr.unpack(page[place : place + Elf64Phdr.SIZE])
        end = segment.p_offset + segment.p_filesz
        if segment.p_type == _NOTE and end <= len(page):
            found = _build_id_in(page[segment.p_offset : end])
            if found:
                return found
    return b""


def _build_id_in(notes: bytes) -> bytes:
    """The build id among some notes. Linux: lib/buildid.c, parse_build_id."""
    place = 0
    while place + Elf64Nhdr.SIZE <= len(notes):
        note = Elf64Nhdr.unpack(notes[place : place + Elf64Nhdr.SIZE])
        name = place + Elf64Nhdr.SIZE
        data = name + (note.n_namesz + 3 & ~3)
        if note.n_type == _BUILD_ID and notes[name : name + note.n_namesz] == b"GNU\0":
            if 0 < note.n_descsz <= BUILD_ID_BYTES and data + note.n_descsz <= len(notes):
                return notes[data : data + note.n_descsz].ljust(BUILD_ID_BYTES, b"\0")
            return b""
        place = data + (note.n_descsz + 3 & ~3)
    return b""
