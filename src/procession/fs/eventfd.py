"""eventfd(2): a counter that tasks add to, wait for and take from."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EAGAIN, EINVAL
from procession.abi.word import pack_u64
from procession.fs.anonymous_inode import anonymous_inodes, anonymous_path
from procession.fs.file import O_NONBLOCK, O_RDWR, POLLERR, POLLIN, POLLOUT, File
from procession.fs.wait_queue import Sleep, WaitQueue

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs

LARGEST_COUNT = (1 << 64) - 2
OVERFLOWN = (1 << 64) - 1


class EventFile(File):
    """An eventfd.

    Linux: fs/eventfd.c, struct eventfd_ctx. `number` is its eventfd-id in /proc/PID/fdinfo.
    """

    __slots__ = ("count", "is_semaphore", "number", "read_queue", "write_queue")

    takes_write_flags: ClassVar[bool] = False

    def __init__(self, vfs: Vfs, count: int, flags: int, subject: Subject, *, is_semaphore: bool) -> None:
        super().__init__(anonymous_path(vfs, "[eventfd]"), O_RDWR | flags, subject)
        self.count = count
        self.is_semaphore = is_semaphore
        self.read_queue = WaitQueue(POLLIN)
        self.write_queue = WaitQueue(POLLOUT)
        self.number = anonymous_inodes(vfs).eventfd_numbers.take()

    def release(self) -> None:
        anonymous_inodes(self.inode.superblock.vfs).eventfd_numbers.give_back(self.number)

    def read(self, length: int) -> bytes:
        """Eight bytes: the count, which becomes 0, or 1 of a semaphore. Linux: fs/eventfd.c, eventfd_read."""
        if length < 8:
            raise EINVAL("eventfd: less than 8 bytes")
        count = self.count
        if not count:
            if self.flags & O_NONBLOCK:
                raise EAGAIN
            raise Sleep(self.read_queue)
        taken = 1 if self.is_semaphore else count
        self.count = count - taken
        self.write_queue.wake_all()
        return pack_u64(taken)

    def check_length(self, length: int) -> None:
        if length != 8:
            raise EINVAL("eventfd: not 8 bytes")

    def write(self, data: bytes) -> int:
        """Add the number in eight bytes to the count. Linux: fs/eventfd.c, eventfd_write."""
        self.check_length(len(data))
        added = int.from_bytes(data, "little")
        if added == OVERFLOWN:
            raise EINVAL
        if self.count + added > LARGEST_COUNT:
            if self.flags & O_NONBLOCK:
                raise EAGAIN
            raise Sleep(self.write_queue)
        self.count += added
        self.read_queue.wake_all()
        return 8

    def seek(self, offset: int, whence: int) -> int:
        """Linux: fs/read_write.c, noop_llseek."""
        return 0

    def poll_mask(self) -> int:
        """Linux: fs/eventfd.c, eventfd_poll."""
        mask = POLLIN if self.count else 0
        if self.count < LARGEST_COUNT:
            mask |= POLLOUT
        elif self.count == OVERFLOWN:
            mask |= POLLERR
        return mask

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.read_queue, self.write_queue)

    def show_details(self) -> bytes:
        """Linux: fs/eventfd.c, eventfd_show_fdinfo."""
        return b"eventfd-count: %16x\neventfd-id: %d\neventfd-semaphore: %d\n" % (
            self.count,
            self.number,
            self.is_semaphore,
        )
