"""Restartable sequences: what a thread shares with the kernel, kept true when it's interrupted (rseq(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBUSY, EFAULT, EINVAL, EPERM
from procession.abi.rseq import RSEQ_CPU_ID_UNINITIALIZED, RseqCs, RseqFlag
from procession.abi.signals import Signal
from procession.abi.word import pack_u32, pack_u64
from procession.hardware.page_table import USER_END
from procession.hardware.physical_memory import OutOfFrames
from procession.hardware.registers import RIP, set_register
from procession.kernel.signal.generation import force_signal
from procession.kernel.signal.info import SI_KERNEL, SigInfo
from procession.kernel.task import RSEQ_EVENT

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_ALIGNMENT = 32
_ORIGINAL_SIZE = 32
_UNREGISTER = int(RseqFlag.RSEQ_FLAG_UNREGISTER)
_SIGSEGV = int(Signal.SIGSEGV)
_UNINITIALIZED = RSEQ_CPU_ID_UNINITIALIZED & 0xFFFF_FFFF
_SECTION_OFFSET, _NODE_OFFSET = 8, 20
_NO_PROCESSOR = -1


class RseqArea:
    """A thread's registration (Linux: include/linux/sched.h, struct task_struct, rseq and its kin).

    `address` and `length` are of its struct rseq; `signature` stands before every abort handler.
    `processor` and `concurrency_id` are what was written there last.
    """

    __slots__ = ("address", "concurrency_id", "length", "processor", "signature")

    def __init__(self, address: int, length: int, signature: int) -> None:
        self.address = address
        self.length = length
        self.signature = signature
        self.processor = _NO_PROCESSOR
        self.concurrency_id = 0

    def copy(self) -> RseqArea:
        """The same one, for the child of a fork."""
        twin = RseqArea(self.address, self.length, self.signature)
        twin.processor, twin.concurrency_id = self.processor, self.concurrency_id
        return twin


def register(task: Task, address: int, length: int, flags: int, signature: int) -> None:
    """rseq(2). Raises EINVAL, EPERM, EBUSY, EFAULT. Linux: kernel/rseq.c, SYSCALL_DEFINE4(rseq)."""
    area = task.rseq
    if flags & _UNREGISTER:
        if flags & ~_UNREGISTER:
            raise EINVAL("unknown flags")
        if area is None or area.address != address or area.length != length:
            raise EINVAL("not what is registered")
        if area.signature != signature:
            raise EPERM("another signature")
        _write_ids(task, address, 0, _UNINITIALIZED, 0)
        task.rseq = None
        return
    if flags:
        raise EINVAL("unknown flags")
    if area is not None:
        if area.address != address or area.length != length:
            raise EINVAL("another one is registered")
        if area.signature != signature:
            raise EPERM("another signature")
        raise EBUSY("registered already")
    if length < _ORIGINAL_SIZE or address % _ALIGNMENT:
        raise EINVAL("too short, or not aligned")
    if address + length > USER_END:
        raise EFAULT("not in user space")
    task.rseq = RseqArea(address, length, signature)
    task.work |= RSEQ_EVENT


def _write_ids(task: Task, address: int, start: int, processor: int, concurrency_id: int) -> None:
    """Linux: kernel/rseq.c, rseq_update_cpu_node_id."""
    task.mm.write(address, pack_u32(start) + pack_u32(processor))
    task.mm.write(address + _NODE_OFFSET, pack_u32(0) + pack_u32(concurrency_id))


def handle_event(kernel: Kernel, task: Task) -> None:
    """The running task was preempted, moved or is about to enter a handler: before user mode, leave the
    sequence that it was in, and tell it where it is.

    Raises OutOfFrames: then it's still to be done, but for the sequence that may have been left.
    Linux: kernel/rseq.c, __rseq_handle_notify_resume.
    """
    task.work &= ~RSEQ_EVENT
    area = task.rseq
    if area is None:
        return
    try:
        _leave_section(kernel, task, area)
        processor = task.entity.processor
        if area.processor != processor:
            concurrency_id = _concurrency_id(kernel, task)
            _write_ids(task, area.address, processor, processor, concurrency_id)
            area.processor, area.concurrency_id = processor, concurrency_id
    except (EFAULT, EINVAL):
        force_signal(kernel, task, SigInfo(_SIGSEGV, SI_KERNEL))
    except OutOfFrames:
        task.work |= RSEQ_EVENT
        raise


def _leave_section(kernel: Kernel, task: Task, area: RseqArea) -> None:
    """Go to the abort handler if the task is in a critical section, and forget the section in any case.

    Raises EFAULT, EINVAL. Linux: kernel/rseq.c, rseq_ip_fixup.
    """
    pointer_at = area.address + _SECTION_OFFSET
    address = task.mm.read_word(pointer_at)
    if not address:
        return
    if address + RseqCs.SIZE > USER_END:
        raise EINVAL("the section isn't in user space")
    section = RseqCs.unpack(task.mm.read(address, RseqCs.SIZE))
    start, length, handler = section.start_ip, section.post_commit_offset, section.abort_ip
    if section.version or section.flags or max(start, start + length, handler) >= USER_END:
        raise EINVAL("no such section")
    if 0 <= handler - start < length:
        raise EINVAL("the abort handler is in the section itself")
    if int.from_bytes(task.mm.read(handler - 4, 4), "little") != area.signature:
        raise EINVAL("the abort handler hasn't got the signature")
    registers = kernel.registers_of(task)
    is_inside = 0 <= registers.general[RIP] - start < length
    task.mm.write(pointer_at, pack_u64(0))
    if is_inside:
        set_register(registers.general, RIP, handler)
        kernel.registers_changed(task)


def _concurrency_id(kernel: Kernel, task: Task) -> int:
    """The lowest number that no thread of the address space has which runs on another processor.

    Linux: kernel/sched/sched.h, mm_cid_get.
    """
    taken = {
        other.rseq.concurrency_id
        for queue in kernel.scheduler.processors
        for other in (queue.last,)
        if other is not None and other is not task and other.mm is task.mm and other.rseq is not None
    }
    return next(number for number in range(len(taken) + 1) if number not in taken)
