"""Contexts of asynchronous input and output: a ring of events in a program's memory, and what is awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.aio import IoEvent
from procession.abi.errno import ENXIO
from procession.abi.word import Words, pack_u32
from procession.fs.anonymous_inode import anonymous_inodes
from procession.fs.eventfd import LARGEST_COUNT
from procession.fs.file import O_RDWR, POLLERR, POLLHUP, File
from procession.fs.inode import Inode
from procession.fs.wait_queue import WaitQueue
from procession.hardware.kernel_memory import WATCH, WATCH_BYTES
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, OutOfFrames, PhysicalMemory
from procession.mm.vma import SharedAnonymous

if TYPE_CHECKING:
    from procession.fs.accounts import FileAccounts
    from procession.fs.dentry import Path
    from procession.fs.eventfd import EventFile
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs

HEADER_SIZE = 32
EVENT_SIZE = IoEvent.SIZE
_MAGIC = 0xA10A10A1
_COMPATIBLE_FEATURES = 1
_HEADER = Words("<8I")
NUMBER_BYTES = 4
"""At the ring's beginning is its context's number among those of the address space."""
_HEAD, _TAIL = 8, 12
"""Where in the ring's header its head and its tail are."""
_FEWEST_FOR_PROCESSOR = 4


class RingInode(Inode):
    """The file of a ring: it has no type and no name, and can't be opened.

    Linux: fs/aio.c, aio_private_file.
    """

    __slots__ = ()

    def __init__(self, vfs: Vfs, pages: RingPages) -> None:
        super().__init__(anonymous_inodes(vfs), 0o600)
        self.pages = pages
        self.size = pages.page_count << PAGE_SHIFT

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        raise ENXIO("a ring isn't opened")

    def evict(self) -> None:
        """The pages end with the last that holds them."""


def ring_file(vfs: Vfs, pages: RingPages, subject: Subject) -> File:
    """The open file that maps a ring, held by nobody yet. Raises ENFILE, OutOfFrames."""
    mount = anonymous_inodes(vfs).mount
    return File(vfs.pseudo_path(mount, b"/[aio] (deleted)", RingInode(vfs, pages)), O_RDWR, subject)


class RingPages(SharedAnonymous):
    """The pages of a ring, which programs map (in Linux, the pages of kioctx.aio_ring_file).

    `number` is that of the ring's context.
    """

    __slots__ = ("number",)

    def __init__(self, memory: PhysicalMemory, page_count: int, number: int) -> None:
        super().__init__(memory, page_count)
        self.number = number


def ring_size(event_count: int, processor_count: int) -> int:
    """How many bytes of whole pages a ring for so many requests takes. Linux: fs/aio.c, aio_setup_ring."""
    count = 2 * max(event_count, _FEWEST_FOR_PROCESSOR * processor_count) + 2
    return (HEADER_SIZE + count * EVENT_SIZE + PAGE_MASK) & ~PAGE_MASK


class AioContext:
    """One context (Linux: fs/aio.c, struct kioctx). `address` is its ring's and its id, `size` the ring's.

    The ring is the program's to read, and to take events from by moving its head; so is what is in it. It
    has `number` at its beginning, by which the context is looked up, and lies in `pages`, wherever these are
    mapped.
    `capacity` is how many events it has places for, `used` how many requests are on their way or have events
    there; `asked_count` is how many requests were asked for. `polls` are those that wait for a file, by their
    numbers, which `poll_count` gives.
    """

    __slots__ = (
        "accounts",
        "address",
        "asked_count",
        "capacity",
        "number",
        "pages",
        "poll_count",
        "polls",
        "queue",
        "seen_head",
        "size",
        "tail",
        "used",
    )

    def __init__(
        self, memory: PhysicalMemory, accounts: FileAccounts, number: int, size: int, asked_count: int
    ) -> None:
        accounts.account.charge(WATCH, WATCH_BYTES)
        self.accounts = accounts
        self.number = number
        self.address = 0
        self.size = size
        self.capacity = (size - HEADER_SIZE) // EVENT_SIZE
        self.asked_count = asked_count
        self.tail = self.seen_head = 0
        self.used = 0
        self.polls: dict[int, PollRequest] = {}
        self.poll_count = 0
        self.queue = WaitQueue()
        self.pages = RingPages(memory, size >> PAGE_SHIFT, number)
        self.pages.acquire_area()
        header = _HEADER.pack(number, self.capacity, 0, 0, _MAGIC, _COMPATIBLE_FEATURES, 0, HEADER_SIZE)
        try:
            self.pages.write(0, header)
        except OutOfFrames:
            self.pages.release_area()
            accounts.account.uncharge(WATCH, WATCH_BYTES)
            raise
        accounts.aio_requests += asked_count

    def has_room(self) -> bool:
        """Whether one more request may be made. Linux: fs/aio.c, get_reqs_available."""
        self._note_taken()
        return self.used < self.capacity - 1

    def _note_taken(self) -> None:
        """Events that the program has taken from the ring itself leave room. Linux: fs/aio.c,
        refill_reqs_available.
        """
        head = self._head()
        self.used -= (head - self.seen_head) % self.capacity
        self.used = max(self.used, len(self.polls))
        self.seen_head = head

    def _head(self) -> int:
        """Where the next event to take is, as far as the program has left that right."""
        return int.from_bytes(self.pages.read(_HEAD, 4), "little") % self.capacity

    def complete(self, iocb: int, data: int, result: int, event_file: EventFile | None) -> None:
        """A request has come to its end: put its event into the ring. Linux: fs/aio.c, aio_complete."""
        event = IoEvent(data, iocb, result, 0).pack()
        place = self.tail
        self.tail = (place + 1) % self.capacity
        try:
            self.pages.write(HEADER_SIZE + place * EVENT_SIZE, event)
            self.pages.write(_TAIL, pack_u32(self.tail))
        except OutOfFrames:
            # There's no page for it: nobody will hear of it.
            self.tail = place
            self.used -= 1
        if event_file is not None:
            self._signal(event_file)
        self.queue.wake_all()

    def _signal(self, event_file: EventFile) -> None:
        """Signal an eventfd, whose own waiters may be requests that signal others, or this one: one after the
        other, as Linux leaves what would signal while it signals to a worker.
        """
        waiting = self.accounts.aio_signals
        event_file.acquire()
        waiting.append(event_file)
        if len(waiting) > 1:
            return
        while waiting:
            signal(waiting[0])
            waiting.popleft().put()

    def take(self, count: int) -> bytes:
        """Up to `count` events from the head on, which stay until `drop` is told.

        Linux: fs/aio.c, aio_read_events_ring.
        """
        head = self._head()
        there = (self.tail - head) % self.capacity
        parts = [
            self.pages.read(HEADER_SIZE + (head + place) % self.capacity * EVENT_SIZE, EVENT_SIZE)
            for place in range(min(count, there))
        ]
        return b"".join(parts)

    def drop(self, count: int) -> None:
        """So many events have been handed over."""
        head = (self._head() + count) % self.capacity
        self.pages.write(_HEAD, pack_u32(head))
        self._note_taken()

    def release(self) -> None:
        """Nothing is awaited any more. Linux: fs/aio.c, free_ioctx_users."""
        for request in list(self.polls.values()):
            request.end()
        self.accounts.aio_requests -= self.asked_count
        self.accounts.account.uncharge(WATCH, WATCH_BYTES)
        self.pages.release_area()
        self.queue.wake_all()


class PollRequest:
    """A request that waits until a file is ready (Linux: fs/aio.c, struct poll_iocb).

    `number` is its own among those of its context: the same structure may be submitted again meanwhile.
    """

    __slots__ = ("context", "data", "event_file", "events", "file", "iocb", "number")

    def __init__(
        self, context: AioContext, file: File, events: int, iocb: int, data: int, event_file: EventFile | None
    ) -> None:
        context.accounts.account.charge(WATCH, WATCH_BYTES)
        self.context = context
        self.file = file
        self.events = events | POLLERR | POLLHUP
        self.iocb = iocb
        self.data = data
        self.event_file = event_file
        self.number = context.poll_count
        context.poll_count += 1
        file.acquire()
        if event_file is not None:
            event_file.acquire()

    def begin(self) -> None:
        """Wait, or complete at once. Linux: fs/aio.c, aio_poll."""
        self.context.polls[self.number] = self
        for queue in self.file.wait_queues():
            queue.add(self)
        self.wake()

    def wake(self) -> None:
        """The file may be ready. Linux: fs/aio.c, aio_poll_wake."""
        if self.number not in self.context.polls:
            # It has come to its end while those that waited before it were woken.
            return
        ready = self.file.poll_mask() & self.events
        if ready:
            self.finish(ready)

    def finish(self, result: int) -> None:
        """It waits no longer: tell what came of it."""
        self._leave()
        self.context.complete(self.iocb, self.data, result, self.event_file)
        self._put()

    def end(self) -> None:
        """It waits no longer, and nobody is told."""
        self._leave()
        self._put()

    def _leave(self) -> None:
        del self.context.polls[self.number]
        for queue in self.file.wait_queues():
            queue.remove(self)

    def _put(self) -> None:
        self.context.accounts.account.uncharge(WATCH, WATCH_BYTES)
        self.file.put()
        if self.event_file is not None:
            self.event_file.put()


def signal(event_file: EventFile) -> None:
    """Add 1 to an eventfd's count, as far as that goes. Linux: fs/eventfd.c, eventfd_signal_mask."""
    event_file.count = min(event_file.count + 1, LARGEST_COUNT + 1)
    event_file.read_queue.wake_all()
