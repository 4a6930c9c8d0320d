"""Whose faults a userfaultfd handles: the accesses that wait for it, and the events that it's told of."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.signals import BusCode, Signal
from procession.abi.userfaultfd import UFFD_MSG, UffdEvent, UffdFeature, UffdPagefaultFlag, UserfaultfdFlag
from procession.fs.wait_queue import Sleep, WaitQueue
from procession.hardware.kernel_memory import USER_FAULT, USER_FAULT_EVENT_BYTES
from procession.hardware.page_table import USER_END
from procession.hardware.physical_memory import PAGE_MASK
from procession.kernel.userfault.unfinished import EventWait, PendingWrite, finish_later
from procession.mm.user_fault import AccessViolation, unmark
from procession.mm.vma import USER_HANDLES, USER_HANDLES_MINOR, USER_HANDLES_WRITE

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor
    from procession.mm.vma import VirtualMemoryArea

SIGBUS, BUS_ADRERR = int(Signal.SIGBUS), int(BusCode.BUS_ADRERR)

_EVENT_FORK = int(UffdFeature.UFFD_FEATURE_EVENT_FORK)
_EVENT_REMAP = int(UffdFeature.UFFD_FEATURE_EVENT_REMAP)
_EVENT_REMOVE = int(UffdFeature.UFFD_FEATURE_EVENT_REMOVE)
_EVENT_UNMAP = int(UffdFeature.UFFD_FEATURE_EVENT_UNMAP)
_SIGBUS_FEATURE = int(UffdFeature.UFFD_FEATURE_SIGBUS)
_THREAD_ID = int(UffdFeature.UFFD_FEATURE_THREAD_ID)
_EXACT_ADDRESS = int(UffdFeature.UFFD_FEATURE_EXACT_ADDRESS)
_WP_ASYNC = int(UffdFeature.UFFD_FEATURE_WP_ASYNC)
_USER_MODE_ONLY = int(UserfaultfdFlag.UFFD_USER_MODE_ONLY)

_FLAG_WRITE = int(UffdPagefaultFlag.UFFD_PAGEFAULT_FLAG_WRITE)
_REASON_FLAGS = {
    USER_HANDLES_WRITE: int(UffdPagefaultFlag.UFFD_PAGEFAULT_FLAG_WP),
    USER_HANDLES_MINOR: int(UffdPagefaultFlag.UFFD_PAGEFAULT_FLAG_MINOR),
}


class FaultSleep(Sleep):
    """The running task waits for a program to handle its fault.

    In the middle of a call it's no sleep of the call's own: a handler that hasn't slept before begins anew
    then, and one that has finds what it had left. Only a fatal signal ends it there; a program's own access
    is made again after any signal (Linux: fs/userfaultfd.c, userfaultfd_get_blocking_state).
    """

    is_fault: ClassVar[bool] = True

    def __init__(self, task: Task, queue: WaitQueue, *, is_user: bool) -> None:
        frame = task.frame
        super().__init__(
            queue,
            deadline_ns=None if frame is None else frame.deadline_ns,
            progress=None if frame is None else frame.progress,
            is_interruptible=is_user,
        )


class WaitingFault:
    """An access that waits (Linux: fs/userfaultfd.c, struct userfaultfd_wait_queue).

    `address` is what the message says; nobody on `queue` means that it waits no more, as after a signal.
    """

    __slots__ = ("address", "message", "queue")

    def __init__(self, address: int, message: bytes) -> None:
        self.address = address
        self.message = message
        self.queue = WaitQueue()


class UserFaultEvent:
    """Something that the reader is to be told of, for which who did it waits.

    `child` handles the faults of a new process, of which the event tells; the reader gets a file for it. It's
    told when the task waits for it: after all that the same call did before has been heard of.
    """

    __slots__ = ("child", "context", "is_read", "is_told", "message", "queue")

    def __init__(
        self, context: UserFaultContext, message: bytes, child: UserFaultContext | None = None
    ) -> None:
        self.context = context
        self.message = message
        self.child = child
        self.is_read = self.is_told = False
        self.queue = WaitQueue()

    def tell(self) -> None:
        """It's the reader's turn."""
        if not self.is_told:
            self.is_told = True
            self.context.read_queue.wake_all()

    def end(self) -> None:
        """It was read, or nobody will: who waits goes on.

        Linux: fs/userfaultfd.c, userfaultfd_event_complete.
        """
        context = self.context
        if self in context.events:
            del context.events[self]
            context.kernel.memory.account.uncharge(USER_FAULT, USER_FAULT_EVENT_BYTES)
        self.is_read = True
        self.queue.wake_all()


class UserFaultContext:
    """What a userfaultfd is beside its file (Linux: include/linux/userfaultfd_k.h, struct userfaultfd_ctx).

    It's for the address space `mm`, made with the `flags` of userfaultfd(2), and None in `features` says that
    UFFDIO_API has yet to come. `pending` are the faults that nobody has read of, by the tasks that wait, in
    the order in which they came; `taken` those that somebody has. While there are `events` the mappings are
    changing, and nothing is filled.
    """

    __slots__ = (
        "events",
        "features",
        "flags",
        "is_released",
        "kernel",
        "mm",
        "pending",
        "read_queue",
        "taken",
    )

    def __init__(self, kernel: Kernel, mm: MemoryDescriptor, flags: int) -> None:
        self.kernel = kernel
        self.mm = mm
        self.flags = flags
        self.features: int | None = None
        self.is_released = False
        self.pending: dict[Task, WaitingFault] = {}
        self.taken: dict[Task, WaitingFault] = {}
        self.events: dict[UserFaultEvent, None] = {}
        self.read_queue = WaitQueue()

    def has(self, feature: int) -> bool:
        """Whether UFFDIO_API asked for `feature`."""
        return self.features is not None and self.features & feature != 0

    @property
    def lets_writes_pass(self) -> bool:
        """Linux: fs/userfaultfd.c, userfaultfd_wp_async."""
        return self.has(_WP_ASYNC)

    # Faults

    def wait(self, address: int, reason: int, *, is_write: bool, is_user: bool) -> None:
        """The running task's access to `address` waits. Raises FaultSleep, AccessViolation.

        Linux: fs/userfaultfd.c, handle_userfault.
        """
        task = self._waiting_task(is_user=is_user)
        if not self.has(_EXACT_ADDRESS):
            address &= ~PAGE_MASK
        flags = _REASON_FLAGS.get(reason, 0) | (_FLAG_WRITE if is_write else 0)
        thread_id = task.thread_pid.own_number if self.has(_THREAD_ID) else 0
        message = UFFD_MSG.pack(UffdEvent.UFFD_EVENT_PAGEFAULT, flags, address, thread_id)
        self._forget_ended()
        fault = self.pending[task] = WaitingFault(address, message)
        self.read_queue.wake_all()
        raise FaultSleep(task, fault.queue, is_user=is_user)

    def write_later(self, mm: MemoryDescriptor, address: int, data: bytes) -> None:
        """The running task's call is to put `data` before it returns. Raises AccessViolation, OutOfFrames."""
        finish_later(self._waiting_task(is_user=False), PendingWrite(mm, address, data))

    def _waiting_task(self, *, is_user: bool) -> Task:
        task = self.kernel.current
        if (
            task is None
            # Nobody is to wait for what the kernel writes at the end, such as a cleared thread id.
            or task.is_exiting
            or self.has(_SIGBUS_FEATURE)
            or (self.flags & _USER_MODE_ONLY and not is_user)
        ):
            raise AccessViolation(SIGBUS, BUS_ADRERR)
        return task

    def _forget_ended(self) -> None:
        """Forget the faults that wait no more."""
        for faults in (self.pending, self.taken):
            for task, fault in list(faults.items()):
                if not fault.queue.waiters:
                    del faults[task]

    def wake(self, start: int, end: int) -> None:
        """Accesses from `start` to `end` are made again. Linux: fs/userfaultfd.c, wake_userfault."""
        for faults in (self.pending, self.taken):
            for task, fault in list(faults.items()):
                if start <= fault.address < end:
                    del faults[task]
                    fault.queue.wake_all()

    def waits_for(self, task: Task) -> bool:
        """Whether `task` waits for the reader: for a fault to be handled, or an event to be read."""
        faults = (faults[task] for faults in (self.pending, self.taken) if task in faults)
        queues = (*(fault.queue for fault in faults), *(event.queue for event in self.events))
        return any(task in queue.waiters for queue in queues)

    def fault_counts(self) -> tuple[int, int]:
        """How many faults wait to be read of, and how many wait."""
        self._forget_ended()
        return len(self.pending), len(self.pending) + len(self.taken)

    # Events

    def _tell(self, kind: UffdEvent, *words: int, child: UserFaultContext | None = None) -> bool:
        """Let the reader know, for which the running task waits before its call returns; whether it does.

        Linux: fs/userfaultfd.c, userfaultfd_event_wait_completion.
        """
        task = self.kernel.current
        if task is None or task.is_exiting or self.is_released:
            return False
        first, second, third = (*words, 0, 0, 0)[:3]
        event = UserFaultEvent(self, UFFD_MSG.pack(kind, first, second, third), child)
        # The areas of an address space bound how many there are.
        self.kernel.memory.account.charge_always(USER_FAULT, USER_FAULT_EVENT_BYTES)
        self.events[event] = None
        finish_later(task, EventWait(event))
        return True

    def forked(self, child: MemoryDescriptor) -> UserFaultContext | None:
        """Linux: fs/userfaultfd.c, dup_userfaultfd."""
        if not self.has(_EVENT_FORK):
            return None
        for event in self.events:
            if event.child is not None and event.child.mm is child:
                return event.child
        context = UserFaultContext(self.kernel, child, self.flags)
        context.features = self.features
        self._tell(UffdEvent.UFFD_EVENT_FORK, child=context)
        return context

    def unmapped(self, start: int, end: int) -> None:
        """Linux: fs/userfaultfd.c, userfaultfd_unmap_prep."""
        if self.has(_EVENT_UNMAP):
            self._tell(UffdEvent.UFFD_EVENT_UNMAP, start, end)

    def removed(self, start: int, end: int) -> bool:
        """What is there from `start` to `end` will be zeros, by madvise(2), or what the file has.

        The result says whether the reader is told. Linux: fs/userfaultfd.c, userfaultfd_remove.
        """
        return self.has(_EVENT_REMOVE) and self._tell(UffdEvent.UFFD_EVENT_REMOVE, start, end)

    def moved(self, start: int, target: int, length: int) -> bool:
        """A copy of an area is where mremap(2) has moved it; whether its faults are still handled here.

        Linux: fs/userfaultfd.c, mremap_userfaultfd_prep.
        """
        if not self.has(_EVENT_REMAP):
            return False
        self._tell(UffdEvent.UFFD_EVENT_REMAP, start, target, length)
        return True

    # The end

    def release(self) -> None:
        """The file is closed: faults are the kernel's again. Linux: fs/userfaultfd.c, userfaultfd_release."""
        self.is_released = True
        mm = self.mm
        if mm.reference_count:
            mm.own_areas()
            for area in list(mm.areas):
                if area.user_faults is self:
                    clear_area(mm, area)
            mm.merge_around(0, USER_END)
        for event in list(self.events):
            event.end()
            if event.child is not None:
                event.child.release()
        self.wake(0, 1 << 64)


def clear_area(mm: MemoryDescriptor, area: VirtualMemoryArea) -> None:
    """Nobody handles the faults of `area` any more. Linux: mm/userfaultfd.c, userfaultfd_clear_vma."""
    unmark(mm, area.start, area.end)
    area.flags &= ~USER_HANDLES
    area.user_faults = None
