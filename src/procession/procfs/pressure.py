"""Files of pressure: /proc/pressure, and what those of control groups have in common with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.duration import NS_PER_US
from procession.abi.errno import EBUSY, EINVAL
from procession.fs.file import ALWAYS_READY, POLLERR, POLLPRI, File
from procession.fs.inode import S_IFREG
from procession.fs.mounts.context import parse_number
from procession.kernel.sched.pressure import FULL, SOME, PressureGroup, PressureTracker, PressureTrigger
from procession.kernel.security.capability import CAP_SYS_RESOURCE
from procession.procfs.inode import GeneratedFile, ProcInode, refuse_mapping

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.fs.wait_queue import WaitQueue
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel
    from procession.mm.page_cache import PageCache
    from procession.procfs.file_system import ProcFileSystem

_LINES = {b"some": SOME, b"full": FULL}
_SHORTEST_WINDOW_US, _LONGEST_WINDOW_US = 500_000, 10_000_000
_COMMON_WINDOW_US = 2_000_000
"""The windows of who has no privilege are multiples of this, when averages are taken anyway."""


def pressure_of(kernel: Kernel, group: Cgroup) -> PressureGroup:
    """The pressure on a group, counted from now on if it wasn't before."""
    if kernel.pressure is None:
        kernel.pressure = PressureTracker()
    return kernel.pressure.of(kernel, group)


class TriggerSlot:
    """Where an open file of pressure keeps the trigger that was written to it: one, until it's closed."""

    __slots__ = ("trigger",)

    def __init__(self) -> None:
        self.trigger: PressureTrigger | None = None

    def store(self, pressure: PressureGroup, resource: int, data: bytes, subject: Subject) -> None:
        """What was written: `some` or `full`, a threshold and a window in microseconds.

        Raises EBUSY, EINVAL, OutOfFrames. Linux: kernel/sched/psi.c, psi_write, psi_trigger_create.
        """
        if self.trigger is not None:
            raise EBUSY("the file has a trigger")
        words = data.rstrip(b"\0\n").split()
        numbers = [parse_number(word, 10) for word in words[1:3]]
        if len(numbers) < 2 or words[0] not in _LINES:
            raise EINVAL("no trigger")
        threshold_us, window_us = numbers
        if threshold_us is None or window_us is None:
            raise EINVAL("no numbers")
        if not _SHORTEST_WINDOW_US <= window_us <= _LONGEST_WINDOW_US or not 0 < threshold_us <= window_us:
            raise EINVAL("no such window")
        if window_us % _COMMON_WINDOW_US and not subject.cap_raised(CAP_SYS_RESOURCE):
            raise EINVAL("a window of others than CAP_SYS_RESOURCE is a multiple of two seconds")
        self.trigger = pressure.add_trigger(
            resource, _LINES[words[0]], threshold_us * NS_PER_US, window_us * NS_PER_US
        )

    def release(self) -> None:
        """The file is closed."""
        if self.trigger is not None:
            self.trigger.remove()
            self.trigger = None

    def poll_mask(self) -> int:
        """What poll(2) says of the file. Linux: kernel/sched/psi.c, psi_trigger_poll."""
        if self.trigger is None:
            return ALWAYS_READY | POLLERR | POLLPRI
        return ALWAYS_READY | (POLLPRI if self.trigger.take() else 0)

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        """What wakes who polls."""
        return () if self.trigger is None else (self.trigger.queue,)


class PressureInode(ProcInode):
    """A file of /proc/pressure, about the whole machine."""

    __slots__ = ("resource",)

    def __init__(self, superblock: ProcFileSystem, resource: int) -> None:
        super().__init__(superblock, S_IFREG | 0o666, superblock.allocate_static_number())
        self.resource = resource

    def check_change(self, *, changes_mode: bool, changes_owner: bool) -> None:
        """Linux: fs/proc/generic.c, proc_notify_change."""

    def truncate(self, size: int) -> None:
        """Allowed and without effect, as in all of proc."""

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return PressureFile(path, flags, subject, self)


class PressureFile(GeneratedFile):
    """An open file of /proc/pressure."""

    __slots__ = ("pressure", "resource", "slot")

    can_poll = True
    takes_read_flags: ClassVar[bool] = False
    takes_write_flags: ClassVar[bool] = False
    takes_write_offset: ClassVar[bool] = False

    def __init__(self, path: Path, flags: int, subject: Subject, inode: PressureInode) -> None:
        kernel = inode.proc.kernel
        self.pressure = pressure_of(kernel, kernel.cgroups.root)
        self.resource = inode.resource
        self.slot = TriggerSlot()
        super().__init__(path, flags, subject, self)

    def mappable(self) -> PageCache | None:
        return refuse_mapping()

    def show(self, subject: Subject) -> bytes:
        """Linux: kernel/sched/psi.c, psi_show."""
        return self.pressure.show(self.resource)

    def store(self, data: bytes, subject: Subject) -> None:
        self.slot.store(self.pressure, self.resource, data, self.subject)

    def release(self) -> None:
        super().release()
        self.slot.release()

    def poll_mask(self) -> int:
        return self.slot.poll_mask()

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return self.slot.wait_queues()
