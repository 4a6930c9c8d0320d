"""The auxiliary vector: what the kernel tells a new program about itself and the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.auxv import AuxvType
from procession.abi.word import pack_array

if TYPE_CHECKING:
    from procession.hardware.processor_level import ProcessorLevel
    from procession.kernel.security.credentials import Credentials

PAGE_SIZE, CLOCK_TICKS, PROGRAM_HEADER_SIZE = 4096, 100, 56
RSEQ_FEATURE_SIZE, RSEQ_ALIGNMENT = 28, 32


def auxiliary_vector(
    *,
    headers: int,
    header_count: int,
    base: int,
    vdso: int,
    entry: int,
    credentials: Credentials,
    is_secure: bool,
    random: int,
    name: int,
    platform: int,
    level: ProcessorLevel,
    flags: int = 0,
    program_fd: int | None = None,
) -> bytes:
    """The vector as bytes, AT_NULL last; getauxval(3) explains the entries.

    `headers`, `base`, `vdso`, `entry`, `random`, `name` and `platform` are addresses; `flags` is AT_FLAGS,
    `level` the processor, `program_fd` the descriptor of a program that an interpreter of binfmt_misc runs,
    if it is to have one.
    Linux: fs/binfmt_elf.c, create_elf_tables.
    """
    namespace = credentials.user_namespace
    uid, gid = namespace.from_kuid_munged, namespace.from_kgid_munged
    entries = (
        *(AuxvType.AT_SYSINFO_EHDR, vdso),
        *(AuxvType.AT_MINSIGSTKSZ, level.minimum_signal_stack, AuxvType.AT_HWCAP, level.capabilities),
        *(AuxvType.AT_PAGESZ, PAGE_SIZE, AuxvType.AT_CLKTCK, CLOCK_TICKS, AuxvType.AT_PHDR, headers),
        *(AuxvType.AT_PHENT, PROGRAM_HEADER_SIZE, AuxvType.AT_PHNUM, header_count, AuxvType.AT_BASE, base),
        *(AuxvType.AT_FLAGS, flags, AuxvType.AT_ENTRY, entry, AuxvType.AT_UID, uid(credentials.uid)),
        *(AuxvType.AT_EUID, uid(credentials.euid), AuxvType.AT_GID, gid(credentials.gid)),
        *(
            AuxvType.AT_EGID,
            gid(credentials.egid),
            AuxvType.AT_SECURE,
            int(is_secure),
            AuxvType.AT_RANDOM,
            random,
        ),
        *(AuxvType.AT_HWCAP2, 0, AuxvType.AT_EXECFN, name),
        *(AuxvType.AT_PLATFORM, platform),
        *(() if program_fd is None else (AuxvType.AT_EXECFD, program_fd)),
        *(AuxvType.AT_RSEQ_FEATURE_SIZE, RSEQ_FEATURE_SIZE, AuxvType.AT_RSEQ_ALIGN, RSEQ_ALIGNMENT),
        *(AuxvType.AT_NULL, 0),
    )
    return pack_array("Q", entries)
