"""What a system call leaves to be done before it returns, which may take a program that handles faults."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from procession.abi.errno import EFAULT, Errno
from procession.fs.wait_queue import Sleep
from procession.hardware.engine import FAULT_WRITE
from procession.hardware.kernel_memory import USER_FAULT, USER_FAULT_EVENT_BYTES
from procession.hardware.physical_memory import OutOfFrames
from procession.hardware.registers import RAX, set_register
from procession.kernel.signal.wake import has_fatal_signal
from procession.kernel.task import UNFINISHED, Unfinished
from procession.mm.fault import handle_fault
from procession.mm.user_fault import AccessViolation

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task
    from procession.kernel.userfault.context import UserFaultEvent
    from procession.mm.address_space import MemoryDescriptor


class PendingWrite(Unfinished):
    """Bytes of a call's result for a page whose fault is a program's to handle.

    Linux sleeps in the middle of the call, in copy_to_user; here the call has been made by then, and can't be
    made again: a pipe has given its bytes away.
    """

    __slots__ = ("address", "data", "mm")

    def __init__(self, mm: MemoryDescriptor, address: int, data: bytes) -> None:
        self.size = USER_FAULT_EVENT_BYTES + len(data)
        mm.memory.account.charge(USER_FAULT, self.size)
        self.mm = mm
        self.address = address
        self.data = data

    def finish(self) -> None:
        """Put the bytes. Raises Sleep, EFAULT, OutOfFrames."""
        if not self.mm.reference_count:
            return
        try:
            handle_fault(self.mm, self.address, FAULT_WRITE)
        except AccessViolation:
            raise EFAULT("not mapped any more") from None
        self.mm.write(self.address, self.data)

    def end(self) -> None:
        self.mm.memory.account.uncharge(USER_FAULT, self.size)


class EventWait(Unfinished):
    """Until the reader of a userfaultfd has heard of what the call did."""

    __slots__ = ("event",)

    def __init__(self, event: UserFaultEvent) -> None:
        self.size = 0
        self.event = event

    def finish(self) -> None:
        """Raises Sleep. Linux: fs/userfaultfd.c, userfaultfd_event_wait_completion."""
        if not self.event.is_read:
            self.event.tell()
            raise Sleep(self.event.queue, is_interruptible=False)

    def end(self) -> None:
        """A fatal signal ends the wait too; then nobody gets a file for the child's faults."""
        if not self.event.is_read:
            self.event.end()
            if self.event.child is not None:
                self.event.child.release()


class Beginning(Unfinished):
    """Until what came before it is done, a child doesn't run. Linux: kernel/fork.c, kernel_clone."""

    __slots__ = ("child", "kernel")

    def __init__(self, kernel: Kernel, child: Task) -> None:
        self.size = 0
        self.kernel = kernel
        self.child = child

    def finish(self) -> None:
        """There is nothing more to wait for."""

    def end(self) -> None:
        """A fatal signal of the parent's lets it run too."""
        self.kernel.scheduler.start(self.child)


def finish_later(task: Task, work: Unfinished) -> None:
    """Let the running `task` do this before its call returns."""
    if task.unfinished is None:
        task.unfinished = deque()
    task.unfinished.append(work)
    task.work |= UNFINISHED


def _return_error(kernel: Kernel, task: Task, number: int) -> None:
    set_register(kernel.registers_of(task).general, RAX, -number)
    kernel.registers_changed(task)


def finish_call(kernel: Kernel, task: Task) -> None:
    """The call of the running `task` returns once all is done that it has left, or sleeps until it can be."""
    works = task.unfinished or deque()
    while works:
        work = works[0]
        if not has_fatal_signal(task):
            try:
                work.finish()
            except Sleep as sleep:
                kernel.scheduler.sleep(task, sleep, None)
                return
            except OutOfFrames:
                _return_error(kernel, task, EFAULT.number)
            except Errno as error:
                _return_error(kernel, task, error.number)
        works.popleft().end()
    task.unfinished = None
    task.work &= ~UNFINISHED
