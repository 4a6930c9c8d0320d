"""inotify(7): instances that watch files and directories, and are read to learn what happened to them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EAGAIN, EEXIST, EINVAL, EMFILE, ENOSPC, ENOTTY
from procession.abi.inotify import InotifyEvent, InotifyMask
from procession.abi.ioctls import FileIoctl, InotifyIoctl
from procession.abi.word import pack_u32
from procession.fs.anonymous_inode import anonymous_path
from procession.fs.file import O_NONBLOCK, O_RDONLY, POLLIN, POLLRDNORM, File
from procession.fs.file_events import IN_DELETE_SELF, IN_ISDIR, IN_MOVE_SELF, IN_UNMOUNT, FileEvents
from procession.fs.handle import FILEID_INO32_GEN, HANDLE_SIZE, encode_handle
from procession.fs.user_namespace import INOTIFY_INSTANCES, INOTIFY_WATCHES
from procession.fs.wait_queue import Sleep, WaitQueue
from procession.hardware.kernel_memory import EVENT, EVENT_BYTES, WATCH, WATCH_BYTES, KernelMemory
from procession.hardware.physical_memory import OutOfFrames

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.fs.inode import Inode
    from procession.fs.permission import Subject
    from procession.fs.user_namespace import UserNamespace
    from procession.fs.vfs import Vfs

IN_ALL_EVENTS = int(InotifyMask.IN_ALL_EVENTS)
IN_Q_OVERFLOW = int(InotifyMask.IN_Q_OVERFLOW)
IN_IGNORED = int(InotifyMask.IN_IGNORED)
IN_EXCL_UNLINK = int(InotifyMask.IN_EXCL_UNLINK)
IN_MASK_CREATE = int(InotifyMask.IN_MASK_CREATE)
IN_MASK_ADD = int(InotifyMask.IN_MASK_ADD)
IN_ONESHOT = int(InotifyMask.IN_ONESHOT)
_WATCH_FLAGS = IN_EXCL_UNLINK | IN_ONESHOT
_LARGEST_DESCRIPTOR = 0x7FFFFFFF
# What a watch is taken to cost: fs.inotify.max_user_watches is what one percent of the memory has room for
# (Linux: fs/notify/inotify/inotify_user.c, INOTIFY_WATCH_COST).
_BYTES_FOR_WATCH = 1280
_INSTANCES = 128
_FEWEST_WATCHES, _MOST_WATCHES = 8192, 1 << 20
_EVENT_SIZE = InotifyEvent.SIZE


class Inotify(FileEvents):
    """The file events of a machine, and what its inotify instances may have.

    Instances and watches are counted for each user in the user namespace of who made the instance, and those
    around it: the limits of /proc/sys/fs/inotify are the machine's first namespace's.
    """

    __slots__ = ("maximum_events",)

    def __init__(self) -> None:
        super().__init__()
        self.maximum_events = 16_384


def set_first_limits(space: UserNamespace, memory_pages: int) -> None:
    """How many instances and watches each user may have in the machine's first namespace.

    Linux: fs/notify/inotify/inotify_user.c, inotify_user_setup.
    """
    space.maximum[INOTIFY_INSTANCES] = _INSTANCES
    room = (memory_pages // 100 << 12) // _BYTES_FOR_WATCH
    space.maximum[INOTIFY_WATCHES] = min(max(room, _FEWEST_WATCHES), _MOST_WATCHES)


def inotify_of(vfs: Vfs) -> Inotify:
    """The machine's, made at first use."""
    events = vfs.file_events
    if events is None:
        events = vfs.file_events = Inotify()
    assert isinstance(events, Inotify)
    return events


class InotifyWatch:
    """What one instance watches of one inode (Linux: fs/notify/inotify/inotify.h, struct inotify_inode_mark).

    `descriptor` is its number in the instance, `mask` the events that it's told of, with the flags
    IN_EXCL_UNLINK and IN_ONESHOT.
    """

    __slots__ = ("descriptor", "inode", "instance", "mask")

    def __init__(self, instance: InotifyFile, inode: Inode, descriptor: int, mask: int) -> None:
        self.instance = instance
        self.inode = inode
        self.descriptor = descriptor
        self.mask = mask

    @property
    def is_blind_to_unlinked(self) -> bool:
        return bool(self.mask & IN_EXCL_UNLINK)

    def happened(self, mask: int, name: bytes = b"", cookie: int = 0) -> None:
        """Linux: fs/notify/inotify/inotify_fsnotify.c, inotify_handle_inode_event."""
        if not mask & (self.mask & IN_ALL_EVENTS | IN_UNMOUNT):
            return
        if mask & (IN_MOVE_SELF | IN_DELETE_SELF):
            mask &= ~IN_ISDIR
        self.instance.queue_event((self.descriptor, mask, cookie, name))
        if self.mask & IN_ONESHOT:
            self.inode_is_gone()

    def inode_is_gone(self) -> None:
        """Linux: fs/notify/inotify/inotify_user.c, inotify_ignored_and_remove_idr."""
        if self.instance.forget(self):
            self.instance.queue_event((self.descriptor, IN_IGNORED, 0, b""))


class InotifyFile(File):
    """An inotify instance (Linux: include/linux/fsnotify_backend.h, struct fsnotify_group).

    `events` wait to be read: the watch's descriptor, the mask, the cookie and the name of each.
    `watches` are by descriptor, `watched` by inode. It and they count as of the user `uid` in `space`.
    """

    __slots__ = ("events", "has_overflow", "next_descriptor", "queue", "space", "uid", "watched", "watches")

    takes_read_flags: ClassVar[bool] = False
    has_write: ClassVar[bool] = False
    knows_async: ClassVar[bool] = True

    def __init__(self, vfs: Vfs, flags: int, subject: Subject) -> None:
        self.space = subject.user_namespace
        self.uid = subject.euid
        if not self.space.charge(self.uid, INOTIFY_INSTANCES):
            raise EMFILE("user.max_inotify_instances")
        try:
            super().__init__(anonymous_path(vfs, "inotify"), O_RDONLY | flags, subject)
        except BaseException:
            self.space.uncharge(self.uid, INOTIFY_INSTANCES)
            raise
        self.events: deque[tuple[int, int, int, bytes]] = deque()
        self.has_overflow = False
        self.watches: dict[int, InotifyWatch] = {}
        self.watched: dict[Inode, InotifyWatch] = {}
        self.next_descriptor = 1
        self.queue = WaitQueue(POLLIN | POLLRDNORM)

    @property
    def accounts(self) -> Inotify:
        """The machine's file events."""
        return inotify_of(self.inode.superblock.vfs)

    @property
    def memory(self) -> KernelMemory:
        """What the machine's objects are charged to."""
        return self.inode.superblock.vfs.memory.account

    def release(self) -> None:
        """Linux: fs/notify/inotify/inotify_user.c, inotify_release."""
        for event in self.events:
            self.memory.uncharge(EVENT, EVENT_BYTES + len(event[3]))
        self.events.clear()
        for watch in list(self.watches.values()):
            self.forget(watch)
        self.space.uncharge(self.uid, INOTIFY_INSTANCES)

    # Watches

    def watch(self, inode: Inode, mask: int) -> int:
        """inotify_add_watch(2): the descriptor. Raises EEXIST, ENOSPC.

        Linux: fs/notify/inotify/inotify_user.c, inotify_update_watch.
        """
        wanted = mask & (IN_ALL_EVENTS | _WATCH_FLAGS)
        known = self.watched.get(inode)
        if known is not None:
            if mask & IN_MASK_CREATE:
                raise EEXIST("it's watched already")
            known.mask = known.mask | wanted if mask & IN_MASK_ADD else wanted
            return known.descriptor
        # The number is used up even if there may be no more.
        descriptor = self._new_descriptor()
        self._charge_watch()
        watch = InotifyWatch(self, inode, descriptor, wanted)
        self.watches[descriptor] = self.watched[inode] = watch
        self.accounts.add_watch(inode, watch)
        return descriptor

    def _new_descriptor(self) -> int:
        """The next number that is free. Linux: lib/idr.c, idr_alloc_cyclic."""
        descriptor = self.next_descriptor
        while descriptor in self.watches:
            descriptor = descriptor % _LARGEST_DESCRIPTOR + 1
        self.next_descriptor = descriptor % _LARGEST_DESCRIPTOR + 1
        return descriptor

    def _charge_watch(self) -> None:
        """One watch more. Raises ENOSPC, OutOfFrames."""
        if not self.space.charge(self.uid, INOTIFY_WATCHES):
            raise ENOSPC("user.max_inotify_watches")
        try:
            self.memory.charge(WATCH, WATCH_BYTES)
        except OutOfFrames:
            self.space.uncharge(self.uid, INOTIFY_WATCHES)
            raise

    def unwatch(self, descriptor: int) -> None:
        """inotify_rm_watch(2). Raises EINVAL."""
        watch = self.watches.get(descriptor)
        if watch is None:
            raise EINVAL(f"no watch {descriptor}")
        watch.inode_is_gone()

    def forget(self, watch: InotifyWatch) -> bool:
        """Watch it no longer; whether it was watched."""
        if self.watches.get(watch.descriptor) is not watch:
            return False
        del self.watches[watch.descriptor]
        del self.watched[watch.inode]
        self.accounts.remove_watch(watch.inode, watch)
        self.memory.uncharge(WATCH, WATCH_BYTES)
        self.space.uncharge(self.uid, INOTIFY_WATCHES)
        return True

    # Events

    def queue_event(self, event: tuple[int, int, int, bytes]) -> None:
        """Queue an event, unless it's the same as the last one, or there are too many.

        Linux: fs/notify/notification.c, fsnotify_insert_event; inotify_merge.
        """
        events = self.events
        size = EVENT_BYTES + len(event[3])
        if len(events) >= self.accounts.maximum_events or not self.memory.can_charge(size):
            if self.has_overflow:
                return
            self.has_overflow = True
            event = (-1, IN_Q_OVERFLOW, 0, b"")
            size = EVENT_BYTES
        elif events:
            descriptor, mask, _, name = events[-1]
            if (descriptor, mask, name) == (event[0], event[1], event[3]) and not mask & IN_IGNORED:
                return
        self.memory.charge_always(EVENT, size)
        self.inode.superblock.vfs.clock.spend_telling()
        events.append(event)
        self.queue.wake_all()

    def read(self, length: int) -> bytes:
        """As many events as fit, one at least. Raises EINVAL, EAGAIN, Sleep.

        Linux: fs/notify/inotify/inotify_user.c, inotify_read.
        """
        events = self.events
        if not events:
            if self.flags & O_NONBLOCK:
                raise EAGAIN
            raise Sleep(self.queue)
        parts: list[bytes] = []
        while events and length >= event_size(events[0]):
            event = events.popleft()
            if event[0] == -1:
                self.has_overflow = False
            descriptor, mask, cookie, name = event
            self.memory.uncharge(EVENT, EVENT_BYTES + len(name))
            size = event_size(event)
            header = InotifyEvent.STRUCT.pack(descriptor, mask, cookie, size - _EVENT_SIZE)
            parts.append((header + name).ljust(size, b"\0"))
            length -= size
        if not parts:
            raise EINVAL("no room for an event")
        return b"".join(parts)

    def put_back(self, data: bytes) -> None:
        """The program's memory couldn't hold all of `data`: the event at which that was seen is lost.

        Linux: fs/notify/inotify/inotify_user.c, inotify_read.
        """
        first = InotifyEvent.unpack_from(data)
        at = _EVENT_SIZE + first.len
        events: list[tuple[int, int, int, bytes]] = []
        while at < len(data):
            event = InotifyEvent.unpack_from(data, at)
            at += _EVENT_SIZE
            name = data[at : at + event.len].rstrip(b"\0")
            at += event.len
            self.memory.charge_always(EVENT, EVENT_BYTES + len(name))
            events.append((event.wd, event.mask, event.cookie, name))
        self.events.extendleft(reversed(events))

    def seek(self, offset: int, whence: int) -> int:
        """Linux: fs/read_write.c, noop_llseek."""
        return self.position

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: fs/notify/inotify/inotify_user.c, inotify_ioctl."""
        if request == FileIoctl.FIONREAD:
            memory.write(argument, pack_u32(sum(map(event_size, self.events))))
            return 0
        if request == InotifyIoctl.INOTIFY_IOC_SETNEXTWD:
            if not 1 <= argument <= _LARGEST_DESCRIPTOR:
                raise EINVAL
            self.next_descriptor = argument
            return 0
        raise ENOTTY

    def poll_mask(self) -> int:
        return POLLIN | POLLRDNORM if self.events else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.queue,)

    def show_details(self) -> bytes:
        """Linux: fs/notify/fdinfo.c, inotify_fdinfo, show_mark_fhandle; the newest first."""
        return b"".join(
            b"inotify wd:%x ino:%x sdev:%x mask:%x ignored_mask:0 "
            b"fhandle-bytes:%x fhandle-type:%x f_handle:%s\n"
            % (
                *(watch.descriptor, watch.inode.number, watch.inode.superblock.device, watch.mask),
                *(HANDLE_SIZE, FILEID_INO32_GEN, encode_handle(watch.inode).hex().encode()),
            )
            for watch in reversed(self.watches.values())
        )


def event_size(event: tuple[int, int, int, bytes]) -> int:
    """How many bytes it takes: the name has a NUL at least, up to a multiple of the header's size."""
    name = event[3]
    return _EVENT_SIZE if not name else _EVENT_SIZE + (len(name) // _EVENT_SIZE + 1) * _EVENT_SIZE
