"""Signals that tell of files rather than of readiness: a lease that is broken, a directory that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.inotify import InotifyMask
from procession.abi.open_flags import DirectoryNotifyFlag, OwnerType
from procession.abi.signals import PollCode
from procession.fs.file_events import FS_RENAME
from procession.hardware.kernel_memory import WATCH, WATCH_BYTES
from procession.kernel.signal.io import FileOwner, owner_of, send_readiness
from procession.kernel.time.costs import SEEN_TASK_NS

if TYPE_CHECKING:
    from procession.fs.fd_table import FdTable
    from procession.fs.file import File
    from procession.fs.file_events import FileEvents
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_POLL_MSG = int(PollCode.POLL_MSG)
_MULTISHOT = int(DirectoryNotifyFlag.DN_MULTISHOT)
_EVENTS = {
    int(flag): int(events)
    for flag, events in (
        (DirectoryNotifyFlag.DN_ACCESS, InotifyMask.IN_ACCESS),
        (DirectoryNotifyFlag.DN_MODIFY, InotifyMask.IN_MODIFY),
        (DirectoryNotifyFlag.DN_CREATE, InotifyMask.IN_CREATE | InotifyMask.IN_MOVED_TO),
        (DirectoryNotifyFlag.DN_DELETE, InotifyMask.IN_DELETE | InotifyMask.IN_MOVED_FROM),
        (DirectoryNotifyFlag.DN_RENAME, FS_RENAME),
        (DirectoryNotifyFlag.DN_ATTRIB, InotifyMask.IN_ATTRIB),
    )
}
"""What each DN_* hears of. Linux: fs/notify/dnotify/dnotify.c, convert_arg."""


def become_owner(task: Task, file: File) -> None:
    """The caller's process gets the file's signals unless somebody has been chosen.

    Linux: fs/fcntl.c, __f_setown.
    """
    owner = owner_of(file)
    if owner.pid is None:
        owner.set(int(OwnerType.F_OWNER_PID), task.group.pid, task)


class LeaseSignal:
    """Tells a lease's holder that somebody wants the file. Linux: fs/locks.c, lease_break_callback."""

    __slots__ = ("fd", "file", "kernel")

    def __init__(self, kernel: Kernel, file: File, fd: int) -> None:
        self.kernel = kernel
        self.file = file
        self.fd = fd

    def lease_breaks(self) -> None:
        """Linux: fs/fcntl.c, kill_fasync."""
        send_readiness(self.kernel, self.file, self.fd, _POLL_MSG)

    def lease_ends(self) -> None:
        """Nobody is told any more, by no signal. Linux: fs/locks.c, lease_modify."""
        owner = self.file.owner
        if isinstance(owner, FileOwner):
            owner.kind, owner.pid, owner.signo = int(OwnerType.F_OWNER_PID), None, 0


class DirectoryNotification:
    """What F_NOTIFY asked for of an open directory (Linux: include/linux/dnotify.h, struct dnotify_struct).

    `mask` is of DN_*; `owner` is the table of descriptors through which it was asked for. Raises OutOfFrames.
    """

    __slots__ = ("events", "fd", "file", "kernel", "mask", "owner")

    def __init__(self, kernel: Kernel, events: FileEvents, file: File, fd: int, owner: FdTable) -> None:
        kernel.memory.account.charge(WATCH, WATCH_BYTES)
        self.kernel = kernel
        self.events = events
        self.file = file
        self.fd = fd
        self.owner = owner
        self.mask = 0

    @property
    def is_blind_to_unlinked(self) -> bool:
        """It hears of them too."""
        return False

    def happened(self, mask: int, name: bytes = b"", cookie: int = 0) -> None:
        """Linux: fs/notify/dnotify/dnotify.c, dnotify_handle_event."""
        if not any(self.mask & flag and mask & events for flag, events in _EVENTS.items()):
            return
        self.kernel.clock.spend(SEEN_TASK_NS)
        if not self.mask & _MULTISHOT:
            self.end()
        send_readiness(self.kernel, self.file, self.fd, _POLL_MSG)

    def inode_is_gone(self) -> None:
        """Nothing happens there any more."""
        self.end()

    def descriptor_closed(self, table: FdTable) -> None:
        """Who closes any descriptor of the directory isn't told any more, as with locks.

        Linux: fs/notify/dnotify/dnotify.c, dnotify_flush.
        """
        if table is self.owner:
            self.end()

    def file_closed(self) -> None:
        """Nobody is to be told any more."""
        self.end()

    def end(self) -> None:
        """It hears of nothing from now on."""
        watchers = self.file.watchers
        if watchers is not None and self in watchers:
            del watchers[self]
            self.events.remove_watch(self.file.inode, self)
            self.kernel.memory.account.uncharge(WATCH, WATCH_BYTES)


def notify_of_directory(task: Task, events: FileEvents, file: File, fd: int, mask: int) -> None:
    """F_NOTIFY on an open directory; without events it ends what was asked for before.

    Linux: fs/notify/dnotify/dnotify.c, fcntl_dirnotify.
    """
    present = next(
        (
            watcher
            for watcher in file.watchers or ()
            if isinstance(watcher, DirectoryNotification) and watcher.owner is task.files
        ),
        None,
    )
    if not mask & ~_MULTISHOT:
        if present is not None:
            present.end()
        return
    if present is None:
        present = DirectoryNotification(task.kernel, events, file, fd, task.files)
        if file.watchers is None:
            file.watchers = {}
        file.watchers[present] = None
        events.add_watch(file.inode, present)
        become_owner(task, file)
    present.fd = fd
    present.mask |= mask
