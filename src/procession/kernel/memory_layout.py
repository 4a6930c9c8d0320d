"""Where a program's parts are and what its memory is called, as it says itself: PR_SET_MM and PR_SET_VMA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EBADF, EBUSY, EFAULT, EINVAL, ENOMEM, EPERM
from procession.abi.file_mode import S_IFMT
from procession.abi.prctl import PrctlMmMap, SetMmField
from procession.abi.word import pack_u32
from procession.fs.file import PathFile
from procession.fs.inode import S_IFREG
from procession.fs.mounts.id_map import through
from procession.fs.permission import MAY_EXEC
from procession.hardware.page_table import USER_END
from procession.hardware.physical_memory import PAGE_MASK
from procession.kernel.program.exec import Program
from procession.kernel.rlimit import RLIM_INFINITY, RLIMIT_DATA
from procession.kernel.security.capability import CAP_SYS_RESOURCE

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor

AUXV_BYTES = 448
"""sizeof(mm->saved_auxv) on x86-64."""
_LEAST_ADDRESS = 65536
_NO_FILE = 0xFFFFFFFF
_NAME_BYTES = 80
_CHANGES_FOR_NAME = 8
"""Naming an area takes as long as changing so many entries of page tables."""
_NOT_IN_NAMES = b"\\`$[]"

_FIELDS = {
    int(field): (attribute, member)
    for field, attribute, member in (
        (SetMmField.PR_SET_MM_START_CODE, "code_start", "start_code"),
        (SetMmField.PR_SET_MM_END_CODE, "code_end", "end_code"),
        (SetMmField.PR_SET_MM_START_DATA, "data_start", "start_data"),
        (SetMmField.PR_SET_MM_END_DATA, "data_end", "end_data"),
        (SetMmField.PR_SET_MM_START_STACK, "stack_start", "start_stack"),
        (SetMmField.PR_SET_MM_START_BRK, "heap_start", "start_brk"),
        (SetMmField.PR_SET_MM_BRK, "brk", "brk"),
        (SetMmField.PR_SET_MM_ARG_START, "arguments_start", "arg_start"),
        (SetMmField.PR_SET_MM_ARG_END, "arguments_end", "arg_end"),
        (SetMmField.PR_SET_MM_ENV_START, "environment_start", "env_start"),
        (SetMmField.PR_SET_MM_ENV_END, "environment_end", "env_end"),
    )
}
"""Field -> what it's called here, and in struct prctl_mm_map."""
_IN_AREAS = ("stack_start", "arguments_start", "arguments_end", "environment_start", "environment_end")
_TAKING_A_LENGTH = (SetMmField.PR_SET_MM_AUXV, SetMmField.PR_SET_MM_MAP, SetMmField.PR_SET_MM_MAP_SIZE)


def set_memory_layout(task: Task, field: int, address: int, length: int, fifth: int) -> int:
    """PR_SET_MM. Raises EINVAL, EPERM, EFAULT, EBADF, EACCES, EBUSY. Linux: kernel/sys.c, prctl_set_mm."""
    if fifth or (length and field not in _TAKING_A_LENGTH):
        raise EINVAL("an unused argument isn't 0")
    if field == SetMmField.PR_SET_MM_MAP_SIZE:
        task.mm.write(address, pack_u32(PrctlMmMap.SIZE))
        return 0
    if field == SetMmField.PR_SET_MM_MAP:
        _set_all(task, address, length)
        return 0
    if not task.credentials.capable(CAP_SYS_RESOURCE):
        raise EPERM("it takes CAP_SYS_RESOURCE")
    mm = task.mm
    if field == SetMmField.PR_SET_MM_EXE_FILE:
        _set_executable(task, address & 0xFFFFFFFF)
        return 0
    if field == SetMmField.PR_SET_MM_AUXV:
        mm.auxiliary_vector = _read_vector(task, address, length)
        return 0
    if not _LEAST_ADDRESS <= address < USER_END or field not in _FIELDS:
        raise EINVAL("no field, or no address of a program")
    attribute, _ = _FIELDS[field]
    wanted = {each: getattr(mm, each) for each, _ in _FIELDS.values()}
    wanted[attribute] = address
    _check_layout(task, wanted)
    if attribute in _IN_AREAS and (not len(mm.areas) or mm.areas[-1].end <= address):
        raise EFAULT("nothing is mapped there or above")
    setattr(mm, attribute, address)
    return 0


def _set_all(task: Task, address: int, length: int) -> None:
    """Linux: kernel/sys.c, prctl_set_mm_map."""
    if length != PrctlMmMap.SIZE:
        raise EINVAL("not the size of struct prctl_mm_map")
    given = PrctlMmMap.unpack(task.mm.read(address, length))
    wanted = {attribute: getattr(given, member) for attribute, member in _FIELDS.values()}
    _check_layout(task, wanted)
    vector: bytes | None = None
    if given.auxv_size:
        if not given.auxv or given.auxv_size > AUXV_BYTES:
            raise EINVAL("no auxiliary vector of that size")
        vector = _read_vector(task, given.auxv, given.auxv_size)
    if given.exe_fd != _NO_FILE:
        if not task.credentials.may_checkpoint(task.credentials.user_namespace):
            raise EPERM("another program takes CAP_CHECKPOINT_RESTORE")
        _set_executable(task, given.exe_fd)
    for attribute, value in wanted.items():
        setattr(task.mm, attribute, value)
    if vector is not None:
        task.mm.auxiliary_vector = vector


def _check_layout(task: Task, wanted: dict[str, int]) -> None:
    """Raise EINVAL for what can't be a program's layout. Linux: kernel/sys.c, validate_prctl_map_addr."""
    if not all(_LEAST_ADDRESS <= value < USER_END for value in wanted.values()):
        raise EINVAL("no address of a program")
    if (
        wanted["code_start"] >= wanted["code_end"]
        or wanted["data_start"] > wanted["data_end"]
        or wanted["heap_start"] > wanted["brk"]
        or wanted["arguments_start"] > wanted["arguments_end"]
        or wanted["environment_start"] > wanted["environment_end"]
    ):
        raise EINVAL("an end before its start")
    limit = task.group.limits.soft[RLIMIT_DATA]
    data = wanted["brk"] - wanted["heap_start"] + wanted["data_end"] - wanted["data_start"]
    if limit != RLIM_INFINITY and data > limit:
        raise EINVAL("over RLIMIT_DATA")


def _read_vector(task: Task, address: int, length: int) -> bytes:
    """An auxiliary vector, whose last entry is AT_NULL. Linux: kernel/sys.c, prctl_set_auxv."""
    if length > AUXV_BYTES:
        raise EINVAL("longer than an auxiliary vector")
    return task.mm.read(address, length).ljust(AUXV_BYTES, b"\0")[: AUXV_BYTES - 16] + bytes(16)


def _set_executable(task: Task, fd: int) -> None:
    """Say that another file is what the program runs. Linux: kernel/sys.c, prctl_set_mm_exe_file."""
    file = task.files.file(fd)
    if isinstance(file, PathFile):
        raise EBADF("opened with O_PATH")
    inode = file.inode
    if inode.mode & S_IFMT != S_IFREG or file.path.mount.is_noexec:
        raise EACCES("no program")
    inode.check_permission(through(file.path.mount, task.credentials), MAY_EXEC)
    mm = task.mm
    old = mm.executable
    if isinstance(old, Program) and _is_mapped(mm, old):
        raise EBUSY("the old program is still mapped")
    program = Program(file)
    program.acquire()
    mm.executable = program
    if isinstance(old, Program):
        old.put()


def _is_mapped(mm: MemoryDescriptor, program: Program) -> bool:
    inode = program.file.inode
    return any(area.file is not None and area.file.inode is inode for area in mm.areas)


def name_memory(task: Task, start: int, length: int, address: int) -> int:
    """PR_SET_VMA_ANON_NAME: give anonymous memory the name at `address`, or with 0 none.

    Raises EINVAL, EFAULT, EBADF, ENOMEM. Linux: kernel/sys.c, prctl_set_vma.
    """
    mm = task.mm
    name = b""
    if address:
        text = mm.read_cstring(address, _NAME_BYTES)
        if text is None or len(text) >= _NAME_BYTES:
            raise EINVAL("a name too long")
        if any(not 0x20 <= byte <= 0x7E or byte in _NOT_IN_NAMES for byte in text):
            raise EINVAL("a character that names can't have")
        name = text
    end = start + ((length + PAGE_MASK) & ~PAGE_MASK)
    if start & PAGE_MASK or (length and end <= start) or end > USER_END:
        raise EINVAL("no range of pages")
    if start == end:
        return 0
    areas = mm.areas_in(start, end)
    mm.memory.note_changed(_CHANGES_FOR_NAME)
    mm.note_areas(2 * len(areas) - 1)
    if any(area.file is not None for area in areas):
        raise EBADF("memory of a file")
    for area in areas:
        for part in mm.isolate(max(start, area.start), min(end, area.end)):
            if part.name and not part.name.startswith(b"[anon"):
                # The heap and the stack are shown as such.
                continue
            kind = b"anon_shmem" if part.is_shared else b"anon"
            part.name = b"[%s:%s]" % (kind, name) if name else b""
    mm.merge_around(start, end)
    if not mm.is_mapped(start, end):
        raise ENOMEM("part of the range isn't mapped")
    return 0
