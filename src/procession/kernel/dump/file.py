"""The contents of a core file: ELF headers, notes about the process and its threads, and its memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from procession.abi.core_file import ElfPrpsinfo, ElfPrstatus, ElfSiginfo
from procession.abi.duration import NS_PER_US, US_PER_S
from procession.abi.elf import (
    ELFCLASS64,
    ELFDATA2LSB,
    ELFMAG,
    EV_CURRENT,
    Elf64Ehdr,
    Elf64Nhdr,
    Elf64Phdr,
    ElfType,
    Machine,
    NoteType,
    SegmentFlag,
    SegmentType,
)
from procession.abi.named_tuple import NamedTuple
from procession.abi.time import Timeval
from procession.abi.word import Words, pack_array
from procession.fs.dentry import absolute_path
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from procession.hardware.processor_level import LEVELS
from procession.kernel.process_flags import PF_POSTCOREDUMP, PF_SIGNALED, shown_flags
from procession.kernel.task import CpuTimes
from procession.kernel.task_state import ENDED, TaskState
from procession.kernel.user_registers import extended_registers, floating_registers, user_registers
from procession.mm.dump import dump_page, dump_size, pages_to_dump
from procession.mm.peek import peek
from procession.mm.vma import PROT_EXEC, PROT_READ, PROT_WRITE, SharedAnonymous, VirtualMemoryArea
from procession.mm.vsyscall import GATE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.signal.info import SigInfo
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor

SECTION_COUNT_ELSEWHERE = 0xFFFF
"""e_phnum when there are more segments than it can hold: then the first section header says how many."""
_SECTION_HEADER = Words("<IIQQQQIIQQ")
_ARGUMENTS_SIZE = 80
_STATES = {TaskState.RUNNING: (0, b"R"), TaskState.RUNNABLE: (0, b"R"), TaskState.INTERRUPTIBLE: (1, b"S")}
_OTHER_STATE = (2, b"D")
_ZOMBIE_STATE = (5, b"Z")


class MemoryRange(NamedTuple):
    """So many bytes of `area`, from its start, are in the core."""

    area: VirtualMemoryArea
    length: int


class Core:
    """A core, piece by piece (Linux: fs/binfmt_elf.c, elf_core_dump).

    `head` is what comes before the memory: bytes, and ints for gaps of so many zero bytes. `ranges` is the
    memory, `tail` what comes after it. `next_piece` goes through all. Of the range that it's in, `pages` are
    the numbers of the pages that are in memory, in order, and `page_index` is where among them it is; all
    pages below number `backed_end` can be read from elsewhere.
    """

    __slots__ = (
        "backed_end",
        "head",
        "head_index",
        "mm",
        "offset",
        "page_index",
        "pages",
        "range_index",
        "ranges",
        "tail",
    )

    def __init__(self, threads: Sequence[Task], info: SigInfo) -> None:
        """`threads` begins with the one that got the signal of `info`; the others' registers are saved."""
        self.mm = mm = threads[0].mm
        self.ranges = [MemoryRange(area, dump_size(mm, area)) for area in mm.areas]
        # Always whole, though nothing can be read of it. Linux: fs/coredump.c, always_dump_vma.
        self.ranges.append(MemoryRange(GATE, GATE.size))
        self.head = _core_head(threads, info, self.ranges)
        self.tail = _section_header(len(self.ranges) + 1)
        self.head_index = 0
        self.range_index = 0
        self.offset = 0
        self.pages: list[int] = []
        self.page_index = 0
        self.backed_end = 0

    def next_piece(self, most_zeros: int) -> bytes | int | None:
        """The next bytes, or how many zeros are next, `most_zeros` at a time, or None at the end.

        Areas are large with little in them: what is there is gone through, not each page.
        """
        if self.head_index < len(self.head):
            self.head_index += 1
            return self.head[self.head_index - 1]
        while self.range_index < len(self.ranges):
            area, length = self.ranges[self.range_index]
            if not self.offset:
                self.pages, self.backed_end = pages_to_dump(self.mm, area, length)
                self.page_index = 0
            if self.offset < length:
                address = area.start + self.offset
                if address >> PAGE_SHIFT >= self.backed_end:
                    is_last = self.page_index == len(self.pages)
                    following = area.start + length if is_last else self.pages[self.page_index] << PAGE_SHIFT
                    if following > address:
                        gap = min(following - address, most_zeros)
                        self.offset += gap
                        return gap
                    self.page_index += 1
                self.offset += PAGE_SIZE
                page = dump_page(self.mm, area, address)
                return PAGE_SIZE if page is None else page
            self.range_index += 1
            self.offset = 0
        tail, self.tail = self.tail, b""
        return tail or None


def _core_head(threads: Sequence[Task], info: SigInfo, ranges: list[MemoryRange]) -> list[bytes | int]:
    segment_count = len(ranges) + 1
    headers_end = Elf64Ehdr.SIZE + segment_count * Elf64Phdr.SIZE
    notes, notes_size = _notes(threads, info)
    data_offset = (headers_end + notes_size + PAGE_MASK) & ~PAGE_MASK
    sections_offset = 0
    if segment_count >= SECTION_COUNT_ELSEWHERE:
        sections_offset = data_offset + sum(length for _, length in ranges)
    head: list[bytes | int] = [
        _file_header(segment_count, sections_offset),
        Elf64Phdr(p_type=SegmentType.PT_NOTE, p_offset=headers_end, p_filesz=notes_size, p_align=4).pack(),
    ]
    offset = data_offset
    for area, length in ranges:
        head.append(
            Elf64Phdr(
                p_type=SegmentType.PT_LOAD,
                p_flags=_segment_flags(area.protection),
                p_offset=offset,
                p_vaddr=area.start,
                p_filesz=length,
                p_memsz=area.size,
                p_align=PAGE_SIZE,
            ).pack()
        )
        offset += length
    head += notes
    head.append(data_offset - headers_end - notes_size)
    return head


def _file_header(segment_count: int, sections_offset: int) -> bytes:
    return Elf64Ehdr(
        e_ident=ELFMAG + bytes((ELFCLASS64, ELFDATA2LSB, EV_CURRENT)),
        e_type=ElfType.ET_CORE,
        e_machine=Machine.EM_X86_64,
        e_version=EV_CURRENT,
        e_phoff=Elf64Ehdr.SIZE,
        e_shoff=sections_offset,
        e_ehsize=Elf64Ehdr.SIZE,
        e_phentsize=Elf64Phdr.SIZE,
        e_phnum=min(segment_count, SECTION_COUNT_ELSEWHERE),
        e_shentsize=_SECTION_HEADER.size if sections_offset else 0,
        e_shnum=1 if sections_offset else 0,
    ).pack()


def _section_header(segment_count: int) -> bytes:
    """The only section header, if there are too many segments. Linux: fs/binfmt_elf.c, fill_extnum_info."""
    if segment_count < SECTION_COUNT_ELSEWHERE:
        return b""
    return _SECTION_HEADER.pack(0, 0, 0, 0, 0, 1, 0, segment_count, 0, 0)


def _segment_flags(protection: int) -> int:
    return int(
        (SegmentFlag.PF_R if protection & PROT_READ else 0)
        | (SegmentFlag.PF_W if protection & PROT_WRITE else 0)
        | (SegmentFlag.PF_X if protection & PROT_EXEC else 0)
    )


def _notes(threads: Sequence[Task], info: SigInfo) -> tuple[list[bytes | int], int]:
    """The notes, padded, and their size. Linux: fs/binfmt_elf.c, fill_note_info, write_note_info."""
    dumper = threads[0]
    mm = dumper.mm
    contents: list[tuple[int, bytes]] = []
    for thread in threads:
        contents.append((NoteType.NT_PRSTATUS, _thread_status(thread, info.signo)))
        if thread is dumper:
            contents += (
                (NoteType.NT_PRPSINFO, _process_description(dumper)),
                (NoteType.NT_SIGINFO, info.pack(thread.pid_namespace)),
                (NoteType.NT_AUXV, mm.auxiliary_vector),
            )
            files = _mapped_files(mm, dumper.fs.root)
            if files:
                contents.append((NoteType.NT_FILE, files))
        kernel = thread.kernel
        contents.append((NoteType.NT_PRFPREG, floating_registers(kernel, thread)))
        if LEVELS[mm.processor_level].components:
            contents.append((NoteType.NT_X86_XSTATE, extended_registers(kernel, thread)))
    pieces: list[bytes | int] = []
    size = 0
    for kind, content in contents:
        name = b"LINUX\0" if kind == NoteType.NT_X86_XSTATE else b"CORE\0"
        pieces += (Elf64Nhdr(len(name), len(content), kind).pack(), name, -len(name) & 3, content)
        padding = -len(content) & 3
        if padding:
            pieces.append(padding)
        size += Elf64Nhdr.SIZE + ((len(name) + 3) & ~3) + len(content) + padding
    return pieces, size


def _thread_status(thread: Task, signo: int) -> bytes:
    """NT_PRSTATUS. Linux: fs/binfmt_elf.c, fill_prstatus."""
    namespace = thread.pid_namespace
    group = thread.group
    times = thread.times
    if thread.is_leader:
        # The record of the leader shows what the whole process used.
        times = CpuTimes()
        times.add(group.times)
        for other in group.threads:
            times.add(other.times)
    return ElfPrstatus(
        pr_info=ElfSiginfo(si_signo=signo),
        pr_cursig=signo,
        pr_sigpend=thread.pending.mask,
        pr_sighold=thread.blocked,
        pr_pid=thread.thread_pid.number_in(namespace),
        pr_ppid=_parent_number(thread, namespace),
        pr_pgrp=group.process_group.pid.number_in(namespace),
        pr_sid=group.process_group.session.pid.number_in(namespace),
        pr_utime=_timeval(times.user_ns),
        pr_stime=_timeval(times.system_ns),
        pr_cutime=_timeval(group.children_times.user_ns),
        pr_cstime=_timeval(group.children_times.system_ns),
        pr_reg=user_registers(thread),
        pr_fpvalid=1,
    ).pack()


def _process_description(dumper: Task) -> bytes:
    """NT_PRPSINFO, which is about the leader. Linux: fs/binfmt_elf.c, fill_psinfo."""
    leader, mm, namespace = dumper.group.leader, dumper.mm, dumper.pid_namespace
    length = min(mm.arguments_end - mm.arguments_start, _ARGUMENTS_SIZE - 1)
    arguments = peek(mm, mm.arguments_start, length).replace(b"\0", b" ")
    ended = leader.state in ENDED
    state, letter = _ZOMBIE_STATE if ended else _STATES.get(leader.state, _OTHER_STATE)
    flags = shown_flags(leader) | PF_SIGNALED
    return ElfPrpsinfo(
        pr_state=state,
        pr_sname=letter[0],
        pr_zomb=int(ended),
        pr_nice=leader.nice,
        pr_flag=flags if leader is dumper else flags | PF_POSTCOREDUMP,
        pr_uid=leader.credentials.uid,
        pr_gid=leader.credentials.gid,
        pr_pid=leader.thread_pid.number_in(namespace),
        pr_ppid=_parent_number(leader, namespace),
        pr_pgrp=leader.group.process_group.pid.number_in(namespace),
        pr_sid=leader.group.process_group.session.pid.number_in(namespace),
        pr_fname=leader.command_name,
        pr_psargs=arguments,
    ).pack()


def _parent_number(task: Task, namespace: PidNamespace) -> int:
    return task.parent.group.pid.number_in(namespace) if task.parent is not None else 0


def _timeval(time_ns: int) -> Timeval:
    seconds, microseconds = divmod(time_ns // NS_PER_US, US_PER_S)
    return Timeval(seconds, microseconds)


def _mapped_files(mm: MemoryDescriptor, root: Path) -> bytes:
    """NT_FILE: how many mappings of files there are, the unit of offsets, three words for each, their names.

    Linux: fs/binfmt_elf.c, fill_files_note.
    """
    words: list[int] = []
    names: list[bytes] = []
    for area in mm.areas:
        if area.file is not None:
            # What mm knows of an open file is less than what it is.
            names.append(absolute_path(cast("File", area.file).path, root))
        elif type(area.pages) is SharedAnonymous:
            names.append(b"/dev/zero (deleted)")
        else:
            continue
        words += (area.start, area.end, area.page_offset)
    table = pack_array("Q", (len(names), PAGE_SIZE, *words))
    return table + b"".join(name + b"\0" for name in names) if names else b""
