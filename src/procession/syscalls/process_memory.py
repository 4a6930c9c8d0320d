"""The memory of another process: process_vm_readv, process_vm_writev, process_madvise."""

from __future__ import annotations

from struct import iter_unpack
from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EFAULT, EINVAL, ENOMEM, EPERM, ESRCH, Errno
from procession.abi.mmap_flags import Advice
from procession.abi.uio import UIO_MAXIOV
from procession.fs.giving_way import give_way
from procession.hardware.page_table import USER_END
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, OutOfFrames
from procession.kernel.pid import find_task
from procession.kernel.pidfd import process_behind
from procession.kernel.security.capability import CAP_SYS_NICE
from procession.kernel.security.ptrace_access import memory_of
from procession.kernel.task_state import ENDED
from procession.kernel.time.costs import SEEN_PAGE_NS
from procession.mm.remote_access import is_secret
from procession.mm.vma import LOCKED, PROT_READ, PROT_WRITE
from procession.syscalls.declaration import syscall
from procession.syscalls.memory import populate
from procession.syscalls.memory_advice import advise
from procession.syscalls.parameters import U64, Choice, Fd, Int, InVector, OutVector, Size, UInt
from procession.syscalls.user_vector import CHANGES_OF_PART, UserVector, import_vector

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.kernel.time.clock import Clock
    from procession.mm.address_space import MemoryDescriptor

_HINTS = frozenset(
    int(advice)
    for advice in (Advice.MADV_COLD, Advice.MADV_PAGEOUT, Advice.MADV_WILLNEED, Advice.MADV_COLLAPSE)
)
"""What may be advised for others."""
_COPIED_AT_ONCE = 1 << 20
_PAGES_AT_ONCE = 1024
"""As many as two pages have room for the addresses of (Linux: mm/process_vm_access.c, PVM_MAX_USER_PAGES)."""


@syscall(310)
def process_vm_readv(
    task: Task, pid: Int, local: OutVector, local_count: Size, remote: U64, remote_count: Size, flags: Size
) -> int:
    """process_vm_readv(2). Linux: mm/process_vm_access.c, process_vm_rw."""
    mine, theirs = _find_buffers(task, pid, (local, local_count), (remote, remote_count), flags)
    _cut_to_reachable(theirs, mine.total, PROT_READ)
    if theirs.mm.has_user_faults:
        _have_pages(theirs, mine.total, PROT_READ)
    done = _copy(task.kernel.clock, theirs, mine)
    _have_pages_behind(theirs, done, PROT_READ)
    return done


@syscall(311)
def process_vm_writev(
    task: Task, pid: Int, local: InVector, local_count: Size, remote: U64, remote_count: Size, flags: Size
) -> int:
    """process_vm_writev(2). Linux: mm/process_vm_access.c, process_vm_rw."""
    mine, theirs = _find_buffers(task, pid, (local, local_count), (remote, remote_count), flags)
    _cut_to_reachable(theirs, mine.total, PROT_WRITE)
    if theirs.mm.has_user_faults:
        _have_pages(theirs, mine.total, PROT_WRITE)
    done = _copy(task.kernel.clock, mine, theirs)
    _have_pages_behind(theirs, done, PROT_WRITE)
    return done


def _find_buffers(
    task: Task, pid: int, local: tuple[int, int], remote: tuple[int, int], flags: int
) -> tuple[UserVector, UserVector]:
    """The caller's buffers and the other's, from the addresses and lengths of the two vectors.

    Raises EINVAL, EFAULT, ESRCH, EPERM. Nothing is asked of a process of which no byte is wanted.
    """
    if flags:
        raise EINVAL("there are no flags")
    mine = import_vector(task.mm, *local)
    nothing = UserVector(task.mm, [], 0)
    if not mine.total:
        return mine, nothing
    address, count = remote
    if count > UIO_MAXIOV:
        raise EINVAL(f"more than {UIO_MAXIOV} buffers")
    pieces = list(iter_unpack("<QQ", task.mm.read(address, 16 * count))) if count else []
    task.mm.memory.note_changed(count * CHANGES_OF_PART)
    if any(length >> 63 for _, length in pieces):
        raise EINVAL("a negative length")
    total = sum(length for _, length in pieces)
    if not total:
        return mine, nothing
    target = find_task(task.pid_namespace, pid)
    if target is None:
        raise ESRCH(f"no task {pid}")
    try:
        return mine, UserVector(memory_of(task, target, by_fs_ids=False, attaches=True), pieces, total)
    except EACCES:
        # Linux: mm/process_vm_access.c, process_vm_rw_core.
        raise EPERM(f"task {pid} isn't the caller's to access") from None


def _cut_to_reachable(buffers: UserVector, limit: int, right: int) -> None:
    """End the first `limit` bytes of buffers where memory begins that is secret, or lacks `right`: the
    processor would read what may be written only.

    Raises EFAULT if nothing is left. Linux: mm/gup.c, check_vma_flags.
    """
    total = 0
    for start, length in buffers.segments:
        wanted = min(length, limit - total)
        areas = buffers.mm.areas_in(start & ~PAGE_MASK, start + wanted) if wanted else []
        buffers.mm.note_areas(len(areas))
        for area in areas:
            if not area.protection & right or is_secret(area):
                buffers.total = total + max(area.start - start, 0)
                if not buffers.total:
                    raise EFAULT
                return
        total += length


def _copy(clock: Clock, source: UserVector, target: UserVector) -> int:
    """Copy as far as both go; how many bytes. Raises EFAULT if it's none, for memory that isn't there."""
    total = min(source.total, target.total)
    done = 0
    while done < total:
        wanted = min(total - done, _COPIED_AT_ONCE)
        try:
            data = source.read(done, wanted)
        except EFAULT:
            data = b""
        count = target.write(done, data)
        done += count
        clock.spend_copying(count)
        # The other's pages are looked up one by one.
        clock.spend((count >> PAGE_SHIFT) * SEEN_PAGE_NS)
        if count < wanted:
            break
    if total and not done:
        raise EFAULT
    return done


def _have_pages(theirs: UserVector, wanted: int, right: int) -> None:
    """Have the pages of `wanted` bytes before any is copied: one of them may be waited for."""
    for start, length in theirs.parts(0, min(wanted, theirs.total)):
        if not populate(theirs.mm, start & ~PAGE_MASK, start + length, is_write=right == PROT_WRITE):
            return


def _have_pages_behind(theirs: UserVector, done: int, right: int) -> None:
    """Have the pages behind the last of `done` bytes, too, as far as its piece goes: before any byte is
    copied, the pages of a piece are had, many at once.

    Linux: mm/process_vm_access.c, process_vm_rw_single_vec.
    """
    mm, rest = theirs.mm, done
    if done == theirs.total:
        return
    for start, length in theirs.segments:
        if rest >= length:
            rest -= length
            continue
        if rest:
            first, last = start >> PAGE_SHIFT, start + rest - 1 >> PAGE_SHIFT
            past = first + ((last - first) // _PAGES_AT_ONCE + 1) * _PAGES_AT_ONCE
            begin, end = last + 1 << PAGE_SHIFT, min(past << PAGE_SHIFT, start + length)
            for area in mm.areas_in(begin, end) if begin < end else ():
                if not area.protection & right or is_secret(area):
                    end = area.start
                    break
            populate(mm, begin, end, is_write=right == PROT_WRITE)
        return


@syscall(440)
def process_madvise(
    task: Task, pidfd: Fd, vector: InVector, count: Size, advice: Choice[Advice], flags: UInt
) -> int:
    """process_madvise(2): for others hints, without effect where nothing is swapped; the errors are Linux's.

    Linux: mm/madvise.c, SYSCALL_DEFINE5(process_madvise).
    """
    if flags:
        raise EINVAL("there are no flags")
    ranges = import_vector(task.mm, vector, count)
    group = process_behind(task, pidfd)
    mm = memory_of(task, group.leader, by_fs_ids=True)
    if mm is not task.mm and advice not in _HINTS:
        raise EINVAL(f"advice {advice} isn't for others")
    if mm is not task.mm and not task.credentials.capable(CAP_SYS_NICE):
        raise EPERM("it takes CAP_SYS_NICE")
    if not ranges.total:
        # Linux: mm/madvise.c, vector_madvise. The advice isn't looked at.
        return 0
    frame, began_ns = task.frame, task.kernel.clock.kernel_work_ns
    done = taken = 0
    if frame is not None and frame.progress is not None:
        done, taken = frame.progress
    before = taken
    while taken < len(ranges.segments):
        if taken > before:
            give_way(task.kernel.clock, began_ns, (done, taken))
            # Another range is as much as another area.
            mm.note_areas(2)
        address, length = ranges.segments[taken]
        taken += 1
        try:
            if mm is task.mm:
                advise(task, address, length, advice)
            else:
                _advise_other(mm, address, length, advice)
        except (Errno, OutOfFrames):
            if not done:
                raise
            break
        done += length
    return done


def _advise_other(mm: MemoryDescriptor, address: int, length: int, advice: int) -> None:
    """Raise EINVAL or ENOMEM as madvise(2) does."""
    end = address + (length + PAGE_MASK & ~PAGE_MASK)
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    areas = mm.areas_in(address, end)
    mm.note_areas(len(areas))
    if advice != Advice.MADV_WILLNEED and any(area.flags & LOCKED for area in areas):
        raise EINVAL("locked pages")
    if advice == Advice.MADV_COLLAPSE and areas:
        raise EINVAL("there are no pages of 2 MiB")
    if end > address and not mm.is_mapped(address, end):
        raise ENOMEM("part of the range isn't mapped")


@syscall(448)
def process_mrelease(task: Task, pidfd: Fd, flags: UInt) -> int:
    """process_mrelease(2): a process that is dying gives back its own memory at once.

    Linux: mm/oom_kill.c, SYSCALL_DEFINE2(process_mrelease), task_will_free_mem, __oom_reap_task_mm.
    """
    if flags:
        raise EINVAL("there are no flags")
    group = process_behind(task, pidfd)
    dying = next((thread for thread in group.threads if thread.state not in ENDED), None)
    if dying is None:
        raise ESRCH("the process has no memory any more")
    mm = dying.mm
    sharers = {
        other.group: None for other in task.kernel.tasks if other.mm is mm and other.state not in ENDED
    }
    if not all(sharer.is_exiting and sharer.core_dump is None for sharer in sharers):
        raise EINVAL("the process isn't dying, or others that aren't share its memory")
    for area in mm.areas_in(0, USER_END):
        if area.pages is None or not area.is_shared:
            mm.zap(area.start, area.end)
    return 0
