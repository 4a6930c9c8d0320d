"""A userfaultfd's file: what it's told to do by ioctl(2), and what is read from it (ioctl_userfaultfd(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

from procession.abi.errno import EAGAIN, EBUSY, EINVAL, ENOMEM, EPERM, ESRCH, Errno
from procession.abi.structure import Structure
from procession.abi.userfaultfd import (
    UFFD_API,
    UFFD_MSG,
    UffdContinueMode,
    UffdCopyMode,
    UffdEvent,
    UffdFeature,
    UffdioApi,
    UffdioCopy,
    UffdIoctl,
    UffdioRange,
    UffdioRegister,
    UffdioWriteprotect,
    UffdioZeropage,
    UffdMoveMode,
    UffdPoisonMode,
    UffdRegisterMode,
    UffdWriteprotectMode,
    UffdZeropageMode,
)
from procession.abi.word import pack_u64
from procession.fs.anonymous_inode import own_anonymous_path
from procession.fs.file import O_CLOEXEC, O_NONBLOCK, O_RDONLY, POLLERR, POLLIN, File
from procession.fs.wait_queue import Sleep
from procession.hardware.page_table import USER_END
from procession.hardware.physical_memory import PAGE_MASK
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.security.capability import CAP_SYS_PTRACE
from procession.kernel.userfault.context import clear_area
from procession.kernel.userfault.fill import (
    CONTINUE,
    COPY,
    POISON,
    ZERO,
    fill,
    is_shared_memory,
    move_pages,
    write_protect,
)
from procession.mm.vma import (
    DROPPABLE,
    USER_HANDLES,
    USER_HANDLES_MINOR,
    USER_HANDLES_MISSING,
    USER_HANDLES_WRITE,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from procession.fs.file import UserMemory
    from procession.fs.permission import Subject
    from procession.fs.wait_queue import WaitQueue
    from procession.kernel.userfault.context import UserFaultContext
    from procession.mm.vma import VirtualMemoryArea

_API, _REGISTER = int(UffdIoctl.UFFDIO_API), int(UffdIoctl.UFFDIO_REGISTER)

FEATURES = int(sum(UffdFeature))
"""All of Linux 6.18's; those of huge pages are shown there too where there are none."""
_EVENT_FORK = int(UffdFeature.UFFD_FEATURE_EVENT_FORK)
_WP_ASYNC = int(UffdFeature.UFFD_FEATURE_WP_ASYNC)
_WP_UNPOPULATED = int(UffdFeature.UFFD_FEATURE_WP_UNPOPULATED)
_INITIALIZED = 1 << 31
"""What Linux keeps in the same word (UFFD_FEATURE_INITIALIZED), and shows in fdinfo."""


def _bit(request: UffdIoctl) -> int:
    return 1 << (int(request) & 0xFF)


API_IOCTLS = _bit(UffdIoctl.UFFDIO_REGISTER) | _bit(UffdIoctl.UFFDIO_UNREGISTER) | _bit(UffdIoctl.UFFDIO_API)
"""The requests that a file has, as it says itself (UFFD_API_IOCTLS)."""
RANGE_IOCTLS = (
    (_bit(UffdIoctl.UFFDIO_WAKE) | _bit(UffdIoctl.UFFDIO_COPY) | _bit(UffdIoctl.UFFDIO_ZEROPAGE))
    | (_bit(UffdIoctl.UFFDIO_MOVE) | _bit(UffdIoctl.UFFDIO_WRITEPROTECT) | _bit(UffdIoctl.UFFDIO_CONTINUE))
    | _bit(UffdIoctl.UFFDIO_POISON)
)
"""Those that a registered range can have (UFFD_API_RANGE_IOCTLS)."""
_RESULT_BYTES = 8
"""The last word of most arguments, which is written and never read."""
_DONT_WAKE = int(UffdCopyMode.UFFDIO_COPY_MODE_DONTWAKE)
"""Whoever waits for what is filled waits on: the same bit in the modes of all requests that fill."""

_MODES = {
    int(UffdRegisterMode.UFFDIO_REGISTER_MODE_MISSING): USER_HANDLES_MISSING,
    int(UffdRegisterMode.UFFDIO_REGISTER_MODE_WP): USER_HANDLES_WRITE,
    int(UffdRegisterMode.UFFDIO_REGISTER_MODE_MINOR): USER_HANDLES_MINOR,
}


_Argument = TypeVar("_Argument", bound=Structure)


class ResultWord:
    """The last word of a request's argument, of structure `kind` at `argument`: what came of it."""

    __slots__ = ("address", "memory")

    def __init__(self, kind: type[Structure], argument: int, memory: UserMemory) -> None:
        self.address = argument + kind.SIZE - _RESULT_BYTES
        self.memory = memory

    def put(self, value: int) -> None:
        """Write it, -errno for an error. Raises EFAULT."""
        self.memory.write(self.address, pack_u64(value))


def read_but_result(kind: type[_Argument], argument: int, memory: UserMemory) -> _Argument:
    """The argument of a request without its last word. Raises EFAULT."""
    return kind.unpack(memory.read(argument, kind.SIZE - _RESULT_BYTES) + bytes(_RESULT_BYTES))


class UserFaultFile(File):
    """An open userfaultfd. Linux: fs/userfaultfd.c, userfaultfd_fops."""

    __slots__ = ("context",)

    has_write: ClassVar[bool] = False

    def __init__(self, context: UserFaultContext, flags: int, subject: Subject) -> None:
        path = own_anonymous_path(context.kernel.vfs, "[userfaultfd]", subject)
        super().__init__(path, O_RDONLY | flags & O_NONBLOCK, subject)
        self.context = context

    def release(self) -> None:
        self.context.release()

    # Reading

    def read(self, length: int) -> bytes:
        """Messages, as many as there are and fit. Linux: fs/userfaultfd.c, userfaultfd_read_iter."""
        if self.context.features is None or length < UFFD_MSG.size:
            raise EINVAL("not initialized, or no room for a message")
        parts: list[bytes] = []
        while (len(parts) + 1) * UFFD_MSG.size <= length:
            try:
                message = self._next_message()
            except Errno:
                if not parts:
                    raise
                break
            if message is None:
                break
            parts.append(message)
        if parts:
            return b"".join(parts)
        if self.flags & O_NONBLOCK:
            raise EAGAIN
        raise Sleep(self.context.read_queue)

    def _next_message(self) -> bytes | None:
        """The oldest fault, or if none waits the oldest event; None for neither. Raises EMFILE.

        Linux: fs/userfaultfd.c, userfaultfd_ctx_read.
        """
        context = self.context
        for task, fault in list(context.pending.items()):
            del context.pending[task]
            if fault.queue.waiters:
                context.taken[task] = fault
                return fault.message
        for event in context.events:
            if not event.is_told:
                continue
            message = event.message if event.child is None else self._tell_of_fork(event.child)
            event.end()
            return message
        return None

    def _tell_of_fork(self, child: UserFaultContext) -> bytes:
        """The message with a descriptor for the child's faults. Raises EMFILE.

        Linux: fs/userfaultfd.c, resolve_userfault_fork.
        """
        reader = self.context.kernel.current
        assert reader is not None
        file = UserFaultFile(child, child.flags, reader.credentials)
        limit = reader.group.limits.soft[RLIMIT_NOFILE]
        fd = reader.files.install(file, close_on_exec=bool(child.flags & O_CLOEXEC), limit=limit)
        return UFFD_MSG.pack(UffdEvent.UFFD_EVENT_FORK, fd, 0, 0)

    def poll_mask(self) -> int:
        """Linux: fs/userfaultfd.c, userfaultfd_poll.

        A file that blocks can't be polled: a fault may be over before it's read of.
        """
        context = self.context
        if context.features is None or not self.flags & O_NONBLOCK:
            return POLLERR
        waits = any(fault.queue.waiters for fault in context.pending.values())
        return POLLIN if waits or any(event.is_told for event in context.events) else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.context.read_queue,)

    def seek(self, offset: int, whence: int) -> int:
        """Linux: fs/read_write.c, noop_llseek."""
        return 0

    def show_details(self) -> bytes:
        """Linux: fs/userfaultfd.c, userfaultfd_show_fdinfo."""
        features = self.context.features
        pending, total = self.context.fault_counts()
        return b"pending:\t%d\ntotal:\t%d\nAPI:\t%x:%x:%x\n" % (
            pending,
            total,
            UFFD_API,
            0 if features is None else features | _INITIALIZED,
            API_IOCTLS | RANGE_IOCTLS,
        )

    # Requests

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: fs/userfaultfd.c, userfaultfd_ioctl."""
        if request == _API:
            self._initialize(argument, memory)
            return 0
        handler = _REQUESTS.get(request)
        if self.context.features is None or handler is None:
            raise EINVAL("not initialized, or no such request")
        handler(self, argument, memory)
        return 0

    def _initialize(self, argument: int, memory: UserMemory) -> None:
        """UFFDIO_API. Linux: fs/userfaultfd.c, userfaultfd_api."""
        wanted = UffdioApi.unpack(memory.read(argument, UffdioApi.SIZE))
        task, features = self.context.kernel.current, wanted.features
        assert task is not None
        refused: Errno | None = None
        if wanted.api != UFFD_API:
            refused = EINVAL("another interface")
        elif features & _EVENT_FORK and not task.credentials.capable(CAP_SYS_PTRACE):
            refused = EPERM("files for others' faults take CAP_SYS_PTRACE")
        elif features & ~FEATURES:
            refused = EINVAL("unknown features")
        if refused is None:
            offer = UffdioApi(api=wanted.api, features=FEATURES, ioctls=API_IOCTLS)
            memory.write(argument, offer.pack())
            if self.context.features is None:
                if features & _WP_ASYNC:
                    features |= _WP_UNPOPULATED
                self.context.features = features
                return
            refused = EINVAL("it's initialized already")
        memory.write(argument, bytes(UffdioApi.SIZE))
        raise refused

    def _register(self, argument: int, memory: UserMemory) -> None:
        """UFFDIO_REGISTER. Linux: fs/userfaultfd.c, userfaultfd_register; mm/userfaultfd.c,
        userfaultfd_register_range."""
        wanted = read_but_result(UffdioRegister, argument, memory)
        if not wanted.mode or wanted.mode & ~sum(_MODES):
            raise EINVAL("no mode, or an unknown one")
        start, end = checked_range(wanted.range)
        flags = sum(flag for mode, flag in _MODES.items() if wanted.mode & mode)
        context, mm = self.context, self.context.mm
        for area in self._areas_in(start, end):
            self._check_area(area, flags)
            if not area.may_write:
                raise EPERM("the file behind it isn't open for writing")
            if area.user_faults is not None and area.user_faults is not context:
                raise EBUSY("another one handles its faults")
        for area in mm.isolate(start, end):
            if area.user_faults is not context or area.flags & flags != flags:
                area.flags = area.flags & ~USER_HANDLES | flags
                area.user_faults = context
        mm.has_fork_advice = mm.has_user_faults = True
        mm.merge_around(start, end)
        ioctls = RANGE_IOCTLS
        if not flags & USER_HANDLES_WRITE:
            ioctls &= ~_bit(UffdIoctl.UFFDIO_WRITEPROTECT)
        if not flags & USER_HANDLES_MINOR:
            ioctls &= ~_bit(UffdIoctl.UFFDIO_CONTINUE)
        ResultWord(UffdioRegister, argument, memory).put(ioctls)

    def _areas_in(self, start: int, end: int) -> list[VirtualMemoryArea]:
        """The areas whose faults are to be handled or no longer. Raises ENOMEM, EINVAL if there are none."""
        mm = self.context.mm
        if not mm.reference_count:
            raise ENOMEM("the address space is gone")
        areas = mm.areas_in(start, end)
        if not areas:
            raise EINVAL("nothing is mapped there")
        return areas

    def _check_area(self, area: VirtualMemoryArea, flags: int) -> None:
        """Raise EINVAL for an area whose faults can't be handled.

        Linux: include/linux/userfaultfd_k.h, vma_can_userfault.
        """
        is_shared_memory_area = is_shared_memory(area)
        if area.flags & DROPPABLE:
            raise EINVAL("memory that may be dropped")
        if flags & USER_HANDLES_MINOR and not is_shared_memory_area:
            raise EINVAL("only shared memory has pages that aren't mapped")
        if self.context.lets_writes_pass and flags == USER_HANDLES_WRITE:
            return
        if not area.is_anonymous and not is_shared_memory_area:
            raise EINVAL("neither anonymous nor shared memory")

    def _unregister(self, argument: int, memory: UserMemory) -> None:
        """UFFDIO_UNREGISTER. Linux: fs/userfaultfd.c, userfaultfd_unregister."""
        start, end = checked_range(UffdioRange.unpack(memory.read(argument, UffdioRange.SIZE)))
        context, mm = self.context, self.context.mm
        for area in self._areas_in(start, end):
            if area.user_faults is not None and area.user_faults is not context:
                raise EINVAL("another one handles its faults")
            self._check_area(area, area.flags & USER_HANDLES)
        for area in mm.isolate(start, end):
            if area.user_faults is not None:
                if area.flags & USER_HANDLES_MISSING:
                    context.wake(area.start, area.end)
                clear_area(mm, area)
        mm.merge_around(start, end)

    def _wake(self, argument: int, memory: UserMemory) -> None:
        """UFFDIO_WAKE. Linux: fs/userfaultfd.c, userfaultfd_wake."""
        self.context.wake(*checked_range(UffdioRange.unpack(memory.read(argument, UffdioRange.SIZE))))

    def _copy(self, argument: int, memory: UserMemory) -> None:
        """UFFDIO_COPY. Linux: fs/userfaultfd.c, userfaultfd_copy."""
        wanted, result = self._begin_filling(UffdioCopy, argument, memory)
        check_place(wanted.src, wanted.len)
        start, end = checked_range(UffdioRange(wanted.dst, wanted.len))
        check_mode(wanted.mode, int(sum(UffdCopyMode)))
        protects = bool(wanted.mode & UffdCopyMode.UFFDIO_COPY_MODE_WP)

        def copy() -> int:
            return fill(
                self.context, start, end - start, COPY, protects=protects, source=wanted.src, memory=memory
            )

        self._finish_filling(copy, start, end, wanted.mode, result)

    def _move(self, argument: int, memory: UserMemory) -> None:
        """UFFDIO_MOVE. Linux: fs/userfaultfd.c, userfaultfd_move."""
        wanted, result = self._begin_filling(UffdioCopy, argument, memory)
        if memory is not self.context.mm:
            raise EINVAL("only within the caller's own memory")
        start, end = checked_range(UffdioRange(wanted.dst, wanted.len))
        source, _ = checked_range(UffdioRange(wanted.src, wanted.len))
        check_mode(wanted.mode, int(sum(UffdMoveMode)))

        def move() -> int:
            return move_pages(self.context, start, source, end - start, wanted.mode)

        self._finish_filling(move, start, end, wanted.mode, result)

    def _zeropage(self, argument: int, memory: UserMemory) -> None:
        """UFFDIO_ZEROPAGE. Linux: fs/userfaultfd.c, userfaultfd_zeropage."""
        self._fill_range(argument, memory, ZERO, int(sum(UffdZeropageMode)))

    def _continue(self, argument: int, memory: UserMemory) -> None:
        """UFFDIO_CONTINUE. Linux: fs/userfaultfd.c, userfaultfd_continue."""
        self._fill_range(argument, memory, CONTINUE, int(sum(UffdContinueMode)))

    def _poison(self, argument: int, memory: UserMemory) -> None:
        """UFFDIO_POISON. Linux: fs/userfaultfd.c, userfaultfd_poison."""
        self._fill_range(argument, memory, POISON, int(sum(UffdPoisonMode)))

    def _fill_range(self, argument: int, memory: UserMemory, kind: int, modes: int) -> None:
        """What has no source: the modes of all are the same bits, WP among them for CONTINUE alone."""
        wanted, result = self._begin_filling(UffdioZeropage, argument, memory)
        start, end = checked_range(wanted.range)
        check_mode(wanted.mode, modes)
        protects = bool(wanted.mode & UffdContinueMode.UFFDIO_CONTINUE_MODE_WP)

        def fill_all() -> int:
            return fill(self.context, start, end - start, kind, protects=protects)

        self._finish_filling(fill_all, start, end, wanted.mode, result)

    def _begin_filling(
        self, kind: type[_Argument], argument: int, memory: UserMemory
    ) -> tuple[_Argument, ResultWord]:
        """What is asked for, and where the outcome goes. Raises EAGAIN, and writes it, while the mappings
        are changing.
        """
        result = ResultWord(kind, argument, memory)
        if self.context.events:
            result.put(-EAGAIN.number)
            raise EAGAIN("the mappings are changing")
        return read_but_result(kind, argument, memory), result

    def _finish_filling(
        self, work: Callable[[], int], start: int, end: int, mode: int, result: ResultWord
    ) -> None:
        """Do `work` from `start` to `end` and say how far it came, or the errno."""
        if not self.context.mm.reference_count:
            raise ESRCH("the address space is gone")
        try:
            done = work()
        except Errno as error:
            result.put(-error.number)
            raise
        result.put(done)
        if not mode & _DONT_WAKE:
            self.context.wake(start, start + done)
        if done < end - start:
            raise EAGAIN("a part of it")

    def _write_protect(self, argument: int, memory: UserMemory) -> None:
        """UFFDIO_WRITEPROTECT. Linux: fs/userfaultfd.c, userfaultfd_writeprotect."""
        if self.context.events:
            raise EAGAIN("the mappings are changing")
        wanted = UffdioWriteprotect.unpack(memory.read(argument, UffdioWriteprotect.SIZE))
        start, end = checked_range(wanted.range)
        check_mode(wanted.mode, int(sum(UffdWriteprotectMode)))
        protects = bool(wanted.mode & UffdWriteprotectMode.UFFDIO_WRITEPROTECT_MODE_WP)
        wakes = not wanted.mode & UffdWriteprotectMode.UFFDIO_WRITEPROTECT_MODE_DONTWAKE
        if protects and not wakes:
            raise EINVAL("nobody is woken by protection")
        if not self.context.mm.reference_count:
            raise ESRCH("the address space is gone")
        write_protect(self.context, start, end - start, protects=protects)
        if not protects and wakes:
            self.context.wake(start, end)


def check_mode(mode: int, known: int) -> None:
    """Raise EINVAL for unknown bits."""
    if mode & ~known:
        raise EINVAL("an unknown mode")


def check_place(start: int, length: int) -> None:
    """Raise EINVAL unless whole pages from `start`, wherever that is in one, can be a program's.

    Linux: fs/userfaultfd.c, validate_unaligned_range.
    """
    if length & PAGE_MASK or not length or start >= USER_END or length > USER_END - start:
        raise EINVAL("no range of pages")


def checked_range(wanted: UffdioRange) -> tuple[int, int]:
    """Start and end of a range of a program's pages. Raises EINVAL.

    Linux: fs/userfaultfd.c, validate_range.
    """
    if wanted.start & PAGE_MASK:
        raise EINVAL("not page-aligned")
    check_place(wanted.start, wanted.len)
    return wanted.start, wanted.start + wanted.len


_REQUESTS: dict[int, Callable[[UserFaultFile, int, UserMemory], None]] = {
    _REGISTER: UserFaultFile._register,
    int(UffdIoctl.UFFDIO_UNREGISTER): UserFaultFile._unregister,
    int(UffdIoctl.UFFDIO_WAKE): UserFaultFile._wake,
    int(UffdIoctl.UFFDIO_COPY): UserFaultFile._copy,
    int(UffdIoctl.UFFDIO_ZEROPAGE): UserFaultFile._zeropage,
    int(UffdIoctl.UFFDIO_MOVE): UserFaultFile._move,
    int(UffdIoctl.UFFDIO_WRITEPROTECT): UserFaultFile._write_protect,
    int(UffdIoctl.UFFDIO_CONTINUE): UserFaultFile._continue,
    int(UffdIoctl.UFFDIO_POISON): UserFaultFile._poison,
}
