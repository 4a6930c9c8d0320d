"""epoll(7): an instance that watches open files and remembers which of them have something to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EEXIST, EINVAL, ELOOP, ENOENT, ENOSPC, EPERM
from procession.abi.ioctls import EpollIoctl
from procession.abi.poll import EpollEvents
from procession.abi.word import Words
from procession.fs.anonymous_inode import anonymous_inodes, anonymous_path
from procession.fs.file import O_RDWR, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, File
from procession.fs.permission import CAP_NET_ADMIN
from procession.fs.wait_queue import WaitQueue
from procession.hardware.kernel_memory import WATCH, WATCH_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procession.fs.fd_table import FdTable
    from procession.fs.file import UserMemory
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs

EPOLLEXCLUSIVE = int(EpollEvents.EPOLLEXCLUSIVE)
EPOLLWAKEUP = int(EpollEvents.EPOLLWAKEUP)
EPOLLONESHOT = int(EpollEvents.EPOLLONESHOT)
EPOLLET = int(EpollEvents.EPOLLET)
_PRIVATE_BITS = EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE
_ALLOWED_WITH_EXCLUSIVE = POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE

MAXIMUM_NESTING = 4
# How many instances may hear of one file through how many others (Linux: fs/eventpoll.c, path_limits).
_PATH_LIMITS = (1000, 500, 100, 50, 10)
_POLLING = Words("<IHBB")
"""How long to poll a network device busily, in microseconds, for how many packets, and whether rather than be
interrupted (Linux: include/uapi/linux/eventpoll.h, struct epoll_params)."""
_LONGEST_POLLING_US = (1 << 31) - 1
_USUAL_PACKETS = 64


class EpollItem:
    """One watched descriptor (Linux: fs/eventpoll.c, struct epitem).

    `events` is the caller's mask with POLLERR and POLLHUP; EPOLLONESHOT leaves only its private bits.
    `data` is the 64-bit number that events are reported with.
    """

    __slots__ = ("data", "events", "fd", "file", "instance", "queues")

    def __init__(self, instance: EpollFile, file: File, fd: int, events: int, data: int) -> None:
        self.instance = instance
        self.file = file
        self.fd = fd
        self.events = events
        self.data = data
        self.queues: tuple[WaitQueue, ...] = ()

    def wake(self) -> None:
        """The file may be ready now. Linux: fs/eventpoll.c, ep_poll_callback."""
        if self.events & ~_PRIVATE_BITS:
            instance = self.instance
            instance.ready[self] = None
            instance.queue.wake_all()

    def descriptor_closed(self, table: FdTable) -> None:
        """It's the open file that is watched, until nobody holds it."""

    def file_closed(self) -> None:
        """Linux: fs/eventpoll.c, eventpoll_release_file."""
        self.instance.remove(self)

    def current_events(self) -> int:
        """Which of the wanted events there are now. Linux: fs/eventpoll.c, ep_item_poll."""
        return self.file.poll_mask() & self.events

    def listen(self) -> None:
        """Wait on the file's queues, those that are woken for what is wanted."""
        self.queues = tuple(
            queue for queue in self.file.wait_queues() if not queue.events or queue.events & self.events
        )
        for queue in self.queues:
            if self.events & EPOLLEXCLUSIVE:
                exclusive_waiters(queue).items[self] = None
            else:
                queue.add(self)

    def stop_listening(self) -> None:
        """Leave the queues."""
        for queue in self.queues:
            if self.events & EPOLLEXCLUSIVE:
                waiters = exclusive_waiters(queue)
                waiters.items.pop(self, None)
                if not waiters.items:
                    queue.remove(waiters)
            else:
                queue.remove(self)
        self.queues = ()


class ExclusiveWaiters:
    """The items on one queue with EPOLLEXCLUSIVE: of the instances that are waited for only one is woken."""

    __slots__ = ("items",)

    def __init__(self) -> None:
        self.items: dict[EpollItem, None] = {}

    def wake(self) -> None:
        """In Linux, __wake_up_common's count of exclusive waiters, with ep_poll_callback's answer."""
        for item in list(self.items):
            is_waited_for = bool(item.instance.queue.waiters)
            item.wake()
            if is_waited_for:
                break


def exclusive_waiters(queue: WaitQueue) -> ExclusiveWaiters:
    """The one waiter that stands for the exclusive ones of `queue`."""
    for waiter in queue.waiters:
        if isinstance(waiter, ExclusiveWaiters):
            return waiter
    waiters = ExclusiveWaiters()
    queue.add(waiters)
    return waiters


class EpollFile(File):
    """An epoll instance (Linux: fs/eventpoll.c, struct eventpoll).

    `ready` holds the items that may have events, in the order in which they came; `items` all of them.
    `polling` is what EPIOCSPARAMS has said of busy polling, which no interface here has anything of.
    """

    __slots__ = ("items", "polling", "queue", "ready")

    has_read: ClassVar[bool] = False
    has_write: ClassVar[bool] = False

    def __init__(self, vfs: Vfs, subject: Subject) -> None:
        super().__init__(anonymous_path(vfs, "[eventpoll]"), O_RDWR, subject)
        # Reading and writing are EINVAL, as for a file without these operations.
        self.items: dict[tuple[File, int], EpollItem] = {}
        self.ready: dict[EpollItem, None] = {}
        self.queue = WaitQueue(POLLIN | POLLRDNORM)
        self.polling = (0, 0, 0)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: fs/eventpoll.c, ep_eventpoll_bp_ioctl."""
        if request == EpollIoctl.EPIOCGPARAMS:
            memory.write(argument, _POLLING.pack(*self.polling, 0))
            return 0
        if request != EpollIoctl.EPIOCSPARAMS:
            raise EINVAL
        microseconds, packets, is_preferred, padding = _POLLING.unpack(memory.read(argument, _POLLING.size))
        if padding or microseconds > _LONGEST_POLLING_US or is_preferred > 1:
            raise EINVAL("no such way to poll")
        acting = self.inode.superblock.vfs.acting_subject(self.subject)
        if packets > _USUAL_PACKETS and not acting.capable(CAP_NET_ADMIN):
            raise EPERM("takes CAP_NET_ADMIN")
        self.polling = (microseconds, packets, is_preferred)
        return 0

    def release(self) -> None:
        """Linux: fs/eventpoll.c, ep_eventpoll_release."""
        for item in list(self.items.values()):
            self.remove(item)

    def add(self, file: File, fd: int, events: int, data: int) -> None:
        """EPOLL_CTL_ADD. Raises EEXIST, EINVAL, ELOOP, ENOSPC. Linux: fs/eventpoll.c, ep_insert."""
        if events & EPOLLEXCLUSIVE and (
            isinstance(file, EpollFile) or events & ~_ALLOWED_WITH_EXCLUSIVE & 0xFFFFFFFF
        ):
            raise EINVAL("this can't be exclusive")
        if isinstance(file, EpollFile):
            self._check_nesting(file)
        if (file, fd) in self.items:
            raise EEXIST
        self._count_watch(1)
        item = EpollItem(self, file, fd, events | POLLERR | POLLHUP, data)
        if file.watchers is None:
            file.watchers = {}
        file.watchers[item] = None
        self.items[file, fd] = item
        if (self.watchers or isinstance(file, EpollFile)) and has_too_many_paths(files_below(file)):
            self.remove(item)
            raise EINVAL("too many ways for an event to go")
        item.listen()
        self._note_if_ready(item)

    def modify(self, file: File, fd: int, events: int, data: int) -> None:
        """EPOLL_CTL_MOD. Raises ENOENT, EINVAL. Linux: fs/eventpoll.c, ep_modify."""
        if events & EPOLLEXCLUSIVE:
            raise EINVAL("what is exclusive can't be modified")
        item = self.find(file, fd)
        if item.events & EPOLLEXCLUSIVE:
            raise EINVAL("what is exclusive can't be modified")
        item.stop_listening()
        item.events = events | POLLERR | POLLHUP
        item.data = data
        item.listen()
        self._note_if_ready(item)

    def find(self, file: File, fd: int) -> EpollItem:
        """What watches `file` under `fd`. Raises ENOENT."""
        item = self.items.get((file, fd))
        if item is None:
            raise ENOENT("not watched")
        return item

    def remove(self, item: EpollItem) -> None:
        """Watch it no longer. Linux: fs/eventpoll.c, __ep_remove."""
        item.stop_listening()
        del self.items[item.file, item.fd]
        self.ready.pop(item, None)
        watchers = item.file.watchers
        if watchers is not None:
            watchers.pop(item, None)
        self._count_watch(-1)

    def _note_if_ready(self, item: EpollItem) -> None:
        if item.current_events():
            self.ready[item] = None
            self.queue.wake_all()

    def _count_watch(self, change: int) -> None:
        """In Linux, fs.epoll.max_user_watches."""
        system = anonymous_inodes(self.inode.superblock.vfs)
        user_id = self.subject.fsuid
        count = system.epoll_watches.get(user_id, 0) + change
        if change > 0 and count > system.maximum_epoll_watches:
            raise ENOSPC("over /proc/sys/fs/epoll/max_user_watches")
        if change > 0:
            system.memory.account.charge(WATCH, WATCH_BYTES)
        else:
            system.memory.account.uncharge(WATCH, WATCH_BYTES)
        if count:
            system.epoll_watches[user_id] = count
        else:
            system.epoll_watches.pop(user_id, None)

    def ready_events(self, maximum: int) -> list[tuple[EpollItem, int]]:
        """At most `maximum` items that have events now, with their events; others leave `ready`.

        `reported` must follow for those that have been handed to the program.
        Linux: fs/eventpoll.c, ep_send_events.
        """
        found: list[tuple[EpollItem, int]] = []
        spent: list[EpollItem] = []
        for item in self.ready:
            events = item.file.poll_mask() & item.events
            if events:
                found.append((item, events))
                if len(found) == maximum:
                    break
            else:
                spent.append(item)
        for item in spent:
            del self.ready[item]
        return found

    def reported(self, items: list[tuple[EpollItem, int]]) -> None:
        """These have been handed out: forget them, but look at level-triggered ones again next time."""
        ready = self.ready
        for item, _ in items:
            del ready[item]
            if item.events & EPOLLONESHOT:
                item.events &= _PRIVATE_BITS
            elif not item.events & EPOLLET:
                ready[item] = None

    def seek(self, offset: int, whence: int) -> int:
        """Linux: fs/read_write.c, noop_llseek."""
        return 0

    def poll_mask(self) -> int:
        """An instance is readable when it has events. Linux: fs/eventpoll.c, __ep_eventpoll_poll."""
        return POLLIN | POLLRDNORM if self.ready and self.ready_events(1) else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.queue,)

    def show_details(self) -> bytes:
        """Linux: fs/eventpoll.c, ep_show_fdinfo."""
        return b"".join(
            b"tfd: %8d events: %8x data: %16x  pos:%d ino:%x sdev:%x\n"
            % (
                item.fd,
                item.events,
                item.data,
                item.file.position,
                item.file.inode.number,
                item.file.inode.superblock.device,
            )
            for item in self.items.values()
        )

    def _check_nesting(self, file: EpollFile) -> None:
        """Raise ELOOP if watching `file` would make a circle or too long a chain.

        Linux: fs/eventpoll.c, ep_loop_check.
        """
        below = self._depth_below(file, {})
        if below > MAXIMUM_NESTING or below + 1 + self._depth_above({}) > MAXIMUM_NESTING:
            raise ELOOP

    def _depth_below(self, file: EpollFile, known: dict[EpollFile, int], depth: int = 0) -> int:
        """How many instances watch each other in a row below `file`.

        Linux: fs/eventpoll.c, ep_loop_check_proc.
        """
        if file in known:
            return known[file]
        known[file] = result = 0
        for item in file.items.values():
            inner = item.file
            if isinstance(inner, EpollFile):
                if inner is self or depth > MAXIMUM_NESTING:
                    result = MAXIMUM_NESTING + 1
                else:
                    result = max(result, self._depth_below(inner, known, depth + 1) + 1)
                if result > MAXIMUM_NESTING:
                    break
        known[file] = result
        return result

    def _depth_above(self, known: dict[EpollFile, int]) -> int:
        """How many instances watch each other in a row above this one.

        Linux: fs/eventpoll.c, ep_get_upwards_depth_proc.
        """
        if self in known:
            return known[self]
        result = 0
        for instance in instances_watching(self):
            result = max(result, instance._depth_above(known) + 1)
        known[self] = result
        return result


def instances_watching(file: File) -> list[EpollFile]:
    """The instances that watch `file`, once for each descriptor."""
    return [watcher.instance for watcher in file.watchers or () if isinstance(watcher, EpollItem)]


def files_below(file: File) -> Sequence[File]:
    """The files that `file`, if it's an instance, watches directly or through others; else itself."""
    found: dict[File, None] = {}
    waiting = [file]
    seen = {id(file)}
    while waiting:
        current = waiting.pop()
        if not isinstance(current, EpollFile):
            found[current] = None
            continue
        for item in current.items.values():
            if id(item.file) not in seen:
                seen.add(id(item.file))
                waiting.append(item.file)
    return list(found)


def has_too_many_paths(files: Sequence[File]) -> bool:
    """Whether an event of one of these files would go too many ways.

    Linux: fs/eventpoll.c, reverse_path_check.
    """
    return any(_exceeds_paths(file, 0, [0] * len(_PATH_LIMITS)) for file in files)


def _exceeds_paths(file: File, depth: int, counts: list[int]) -> bool:
    if depth > MAXIMUM_NESTING:
        return True
    for instance in instances_watching(file):
        if instance.watchers:
            if _exceeds_paths(instance, depth + 1, counts):
                return True
        elif depth:
            counts[depth] += 1
            if counts[depth] > _PATH_LIMITS[depth]:
                return True
    return False
