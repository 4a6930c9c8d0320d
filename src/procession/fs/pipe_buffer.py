"""The bytes inside a pipe, as Linux's ring of pages counts them, and the limits of all pipes together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from procession.abi.errno import EBUSY, EFAULT, EINVAL, ENFILE, ENOMEM, EPERM
from procession.fs.file import POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM
from procession.fs.permission import CAP_SYS_ADMIN, CAP_SYS_RESOURCE
from procession.fs.wait_queue import WaitQueue
from procession.hardware.kernel_memory import PIPE, PIPE_BYTES
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, ZERO_FRAME

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.hardware.physical_memory import PhysicalMemory

DEFAULT_SLOTS = 16
MINIMUM_SLOTS = 2
LARGEST_SIZE = 1 << 31
READ_EVENTS = POLLIN | POLLRDNORM | POLLHUP
WRITE_EVENTS = POLLOUT | POLLWRNORM | POLLERR


class PipeAccounts:
    """How many pages the pipes of each user may hold, and those of the whole machine.

    `pages` counts slots by user id. The limits are those of proc(5): `maximum_size` in bytes
    (fs.pipe-max-size), `soft_pages` and `hard_pages` for an unprivileged user (fs.pipe-user-pages-soft and
    -hard; 0: none). `machine_pages` bounds all pipes together, since a guest's root isn't trusted either;
    what is in them is charged to `memory`. `frames` has the pages that others let pipes see.
    """

    __slots__ = (
        "frames",
        "hard_pages",
        "machine_pages",
        "maximum_size",
        "memory",
        "pages",
        "soft_pages",
        "total_pages",
    )

    def __init__(self, machine_pages: int, frames: PhysicalMemory) -> None:
        self.frames = frames
        self.memory = frames.account
        self.machine_pages = machine_pages
        self.total_pages = 0
        self.pages: dict[int, int] = {}
        self.maximum_size = 1 << 20
        self.soft_pages = 16384
        self.hard_pages = 0

    def charge(self, user_id: int, change: int) -> None:
        """Add `change` slots, negative too, to what `user_id` has."""
        self.total_pages += change
        pages = self.pages.get(user_id, 0) + change
        if pages:
            self.pages[user_id] = pages
        else:
            self.pages.pop(user_id, None)

    def exceeds_soft(self, user_id: int, change: int) -> bool:
        """Whether `change` more slots would be over the soft limit of `user_id`."""
        return self.soft_pages != 0 and self.pages.get(user_id, 0) + change > self.soft_pages

    def exceeds_hard(self, user_id: int, change: int) -> bool:
        """Whether `change` more slots would be over the hard limit of `user_id`."""
        return self.hard_pages != 0 and self.pages.get(user_id, 0) + change > self.hard_pages

    def exceeds_machine(self, change: int) -> bool:
        """Whether `change` more slots would be over what the machine has for pipes."""
        return self.total_pages + change > self.machine_pages


class Pipe:
    """The bytes on their way through one pipe or FIFO, and its ends (Linux: include/linux/pipe_fs_i.h,
    struct pipe_inode_info).

    Linux's ring has `slot_count` slots of one page. A write fills up the last page if its odd bytes fit
    there whole, and starts a new page otherwise, so a pipe can be full with few bytes in it. Here the bytes
    lie in `chunks` of any size, each with the position where it starts in an endless row of pages; the
    slots in use are the pages from the first unread byte's to the last byte's. Positions start again from
    0 when the pipe has been empty.
    """

    __slots__ = (
        "accounts",
        "borrowed",
        "charged_slots",
        "chunks",
        "consumed",
        "end",
        "length",
        "read_queue",
        "reader_count",
        "reader_openings",
        "slot_count",
        "user_id",
        "write_queue",
        "writer_count",
        "writer_openings",
    )

    def __init__(self, accounts: PipeAccounts, user_id: int, slot_count: int) -> None:
        self.accounts = accounts
        self.user_id = user_id
        self.slot_count = slot_count
        self.charged_slots = 1
        """For how many pages the machine's memory has been charged."""
        self.chunks: deque[tuple[bytes, int, bool]] = deque()
        """(bytes, position of the first of them, whether it's a packet); the bytes are never empty."""
        self.borrowed: dict[int, int] = {}
        """The frames of pages that are a program's or a file's too, by their number in the row of pages: what
        is written there before it's read from the pipe is what is read."""
        self.consumed = 0
        """How many bytes of the first chunk have been read."""
        self.end = 0
        """The position after the last byte."""
        self.length = 0
        """How many bytes wait to be read (FIONREAD)."""
        self.reader_count = 0
        self.writer_count = 0
        self.reader_openings = 0
        """How often it has been opened for reading: what the opener of a FIFO waits for."""
        self.writer_openings = 0
        self.read_queue = WaitQueue(READ_EVENTS)
        self.write_queue = WaitQueue(WRITE_EVENTS)

    @property
    def capacity(self) -> int:
        """The size in bytes (F_GETPIPE_SZ)."""
        return self.slot_count << PAGE_SHIFT

    @property
    def used_slots(self) -> int:
        """How many pages of the ring hold unread bytes."""
        chunks = self.chunks
        if not chunks:
            return 0
        return ((self.end + PAGE_MASK) >> PAGE_SHIFT) - ((chunks[0][1] + self.consumed) >> PAGE_SHIFT)

    @property
    def is_full(self) -> bool:
        """Whether no new page can be started; a small write may still fit into the last one."""
        return self.used_slots >= self.slot_count

    def take(self, length: int, *, has_packets: bool = True) -> bytes:
        """Remove up to `length` bytes; a packet ends the read, and what it holds beyond `length` is lost. Who
        splices takes packets for bytes like others, so that a packet's rest stays one (not `has_packets`).

        Wakes the writers if the pipe was full. Linux: fs/pipe.c, anon_pipe_read; fs/splice.c,
        splice_from_pipe_feed.
        """
        chunks = self.chunks
        if not chunks or not length:
            return b""
        if self.borrowed:
            self._see_borrowed(length)
        was_full = bool(self.write_queue.waiters) and self.used_slots >= self.slot_count
        data, _, is_packet = chunks[0]
        is_packet = is_packet and has_packets
        consumed = self.consumed
        available = len(data) - consumed
        if length < available and not is_packet:
            result = data[consumed : consumed + length]
            self.consumed = consumed + length
            self.length -= length
        elif is_packet or length == available or len(chunks) == 1:
            chunks.popleft()
            result = data[consumed:] if consumed else data
            self.consumed = 0
            self.length -= available
            if length < available:
                result = result[:length]
        else:
            result = self._gather(length, has_packets=has_packets)
        if not chunks:
            self.end = 0
            if self.charged_slots > 1:
                self._uncharge()
        elif self.consumed > PAGE_SIZE:
            self._trim()
        if self.borrowed:
            self._give_back()
        if was_full:
            self.write_queue.wake_all()
        elif self.write_queue.waiters:
            self.write_queue.wake_signals()
        return result

    def _trim(self) -> None:
        """Let go of what has been read of the first chunk, once that is a good part of it."""
        data, start, is_packet = self.chunks[0]
        if self.consumed << 2 > len(data):
            self.chunks[0] = (data[self.consumed :], start + self.consumed, is_packet)
            self.consumed = 0

    # Pages of others

    def _see_borrowed(self, length: int) -> None:
        """Have in the chunks of the next `length` bytes what is in the pages that they are of now."""
        contents = self.accounts.frames.bytes
        length += self.consumed
        for at, (data, start, is_packet) in enumerate(self.chunks):
            frame = self.borrowed.get(start >> PAGE_SHIFT)
            # A chunk of several pages has been put back: those who took it have seen it as it was.
            if frame is not None and (start & PAGE_MASK) + len(data) <= PAGE_SIZE:
                base = (frame << PAGE_SHIFT) + (start & PAGE_MASK)
                self.chunks[at] = (contents[base : base + len(data)], start, is_packet)
            length -= len(data)
            if length <= 0:
                break

    def _borrow(self, number: int, frame: int) -> None:
        """Page `number` of the row is `frame`. Linux: fs/pipe.c, generic_pipe_buf_get."""
        if frame != ZERO_FRAME and number not in self.borrowed:
            self.accounts.frames.acquire(frame)
            self.borrowed[number] = frame

    def _give_back(self) -> None:
        """Let go of the pages that have been read. Linux: fs/pipe.c, generic_pipe_buf_release."""
        chunks, borrowed = self.chunks, self.borrowed
        unread = (chunks[0][1] + self.consumed) >> PAGE_SHIFT if chunks else None
        for number in [number for number in borrowed if unread is None or number < unread]:
            self.accounts.frames.release(borrowed.pop(number))

    # What the pages take of the machine's memory. The first is there as long as the pipe is, so that small
    # messages cost nothing (Linux's tmp_page).

    def _charge(self, slots: int) -> None:
        """The pipe is to hold up to `slots` pages. Raises OutOfFrames. Linux: fs/pipe.c, pipe_write."""
        if slots > self.charged_slots:
            self.accounts.memory.charge(PIPE, (slots - self.charged_slots) << PAGE_SHIFT)
            self.charged_slots = slots

    def _uncharge(self) -> None:
        """The pipe is empty."""
        self.accounts.memory.uncharge(PIPE, (self.charged_slots - 1) << PAGE_SHIFT)
        self.charged_slots = 1

    def _gather(self, length: int, *, has_packets: bool) -> bytes:
        """Remove up to `length` bytes that lie in several chunks."""
        chunks = self.chunks
        parts: list[bytes] = []
        left, consumed = length, self.consumed
        while chunks and left:
            data, _, is_packet = chunks[0]
            is_packet = is_packet and has_packets
            available = len(data) - consumed
            if left < available and not is_packet:
                parts.append(data[consumed : consumed + left])
                self.length -= left
                consumed += left
                break
            parts.append(data[consumed : consumed + min(left, available)])
            self.length -= available
            left -= min(left, available)
            consumed = 0
            chunks.popleft()
            if is_packet:
                break
        self.consumed = consumed
        return b"".join(parts)

    def peek(self, length: int, *, has_packets: bool = True) -> bytes:
        """What `take` would give; it stays."""
        if self.borrowed:
            self._see_borrowed(length)
        parts: list[bytes] = []
        consumed = self.consumed
        for data, _, is_packet in self.chunks:
            part = data[consumed : consumed + length]
            consumed = 0
            parts.append(part)
            length -= len(part)
            if (is_packet and has_packets) or not length:
                break
        return b"".join(parts)

    def whole_length(self, length: int, room: int) -> int:
        """How many of the next `length` bytes to take so that no page's are taken in part for want of `room`.

        Raises EFAULT if those of the first page don't fit. Linux: fs/pipe.c, anon_pipe_read.
        """
        whole = 0
        for data, start, _, consumed in self._pages():
            piece = min(PAGE_SIZE - (start + consumed & PAGE_MASK), len(data) - consumed, length - whole)
            if whole + piece > room:
                break
            whole += piece
        if not whole:
            raise EFAULT
        return whole

    def merged_length(self, total: int) -> int:
        """How many of the first bytes of a write of `total` go into the last page that is there: those that
        no page would be filled with. Linux: fs/pipe.c, anon_pipe_write.
        """
        odd = total & PAGE_MASK
        if odd and self.chunks and odd <= -self.end & PAGE_MASK and not self.chunks[-1][2]:
            return odd
        return 0

    def whole_write(self, length: int, total: int) -> int:
        """How many of `length` bytes of a write of `total` fill pages as far as they would be filled."""
        merged = self.merged_length(total)
        if length < merged:
            return 0
        return merged + ((length - merged) & ~PAGE_MASK)

    def put_back(self, data: bytes) -> None:
        """Undo the end of a `take`: its last bytes couldn't be handed on."""
        chunks = self.chunks
        if chunks:
            rest, start, is_packet = chunks[0]
            start += self.consumed
            chunks[0] = (rest[self.consumed :], start, is_packet)
            chunks.appendleft((data, start - len(data), False))
        else:
            chunks.append((data, 0, False))
            self.end = len(data)
        self.consumed = 0
        self.length += len(data)

    def room(self, length: int) -> int:
        """How many bytes of a write of `length` bytes the pipe can take now."""
        room = (self.slot_count - self.used_slots) << PAGE_SHIFT
        odd = length & PAGE_MASK
        chunks = self.chunks
        if odd and chunks and odd <= -self.end & PAGE_MASK and not chunks[-1][2]:
            room += odd
        return min(length, room)

    def put(self, data: bytes, is_packet: bool) -> int:
        """Append what fits of `data`, which isn't empty, and wake the readers; the number of bytes taken.

        At most PIPE_BUF bytes are taken whole or not at all. With `is_packet` every page of them becomes
        a packet of its own. Linux: fs/pipe.c, pipe_write.
        """
        chunks = self.chunks
        total = len(data)
        taken = 0
        if chunks or total > PAGE_SIZE:
            self._charge(min(self.used_slots + ((total + PAGE_MASK) >> PAGE_SHIFT), self.slot_count))
        if chunks:
            end = self.end
            odd = total & PAGE_MASK
            if odd and odd <= -end & PAGE_MASK and not chunks[-1][2]:
                taken = odd
                last, start, _ = chunks[-1]
                if len(last) < PAGE_SIZE:
                    # Few bytes are copied again, so that many small writes don't become many chunks.
                    chunks[-1] = (last + (data if total == odd else data[:odd]), start, False)
                else:
                    chunks.append((data if total == odd else data[:odd], end, False))
                self.end = end = end + odd
            if taken < total:
                start = (end + PAGE_MASK) & ~PAGE_MASK
                free_slots = self.slot_count - (
                    (start >> PAGE_SHIFT) - ((chunks[0][1] + self.consumed) >> PAGE_SHIFT)
                )
                taken += self._append(data, taken, start, free_slots, is_packet)
        else:
            taken = self._append(data, 0, 0, self.slot_count, is_packet)
        self.length += taken
        if taken and self.read_queue.waiters:
            self.read_queue.wake_all()
        return taken

    def _append(self, data: bytes, offset: int, start: int, free_slots: int, is_packet: bool) -> int:
        """Put what fits of `data` from `offset` into new pages from position `start`; the number of bytes."""
        count = min(len(data) - offset, free_slots << PAGE_SHIFT)
        if count <= 0:
            return 0
        if is_packet:
            for position in range(0, count, PAGE_SIZE):
                packet = data[offset + position : offset + min(position + PAGE_SIZE, count)]
                self.chunks.append((packet, start + position, True))
        else:
            self.chunks.append((data if count == len(data) else data[offset : offset + count], start, False))
        self.end = start + count
        return count

    def add_pages(self, data: bytes, offset: int = 0, frames: Sequence[int] = ()) -> int:
        """Append what fits of `data` in pages of its own, from `offset` in the first on; the number of bytes.
        `frames` are the pages, where they're somebody else's too.

        Nothing is ever written into their ends, since they may be somebody else's too. Wakes the readers.
        Linux: include/linux/pipe_fs_i.h, PIPE_BUF_FLAG_CAN_MERGE.
        """
        start = ((self.end + PAGE_MASK) & ~PAGE_MASK) + offset
        free_slots = self.slot_count - self.used_slots
        count = min(len(data), (free_slots << PAGE_SHIFT) - offset)
        if count <= 0:
            return 0
        self._charge(self.used_slots + ((offset + count + PAGE_MASK) >> PAGE_SHIFT))
        if frames:
            first, done = start >> PAGE_SHIFT, 0
            while done < count:
                position = start + done
                length = min(PAGE_SIZE - (position & PAGE_MASK), count - done)
                self.chunks.append((data[done : done + length], position, False))
                self._borrow(position >> PAGE_SHIFT, frames[(position >> PAGE_SHIFT) - first])
                done += length
        else:
            self.chunks.append((data[:count], start, False))
        self.end = (start + count + PAGE_MASK) & ~PAGE_MASK
        self.length += count
        self.read_queue.wake_all()
        return count

    def copy_pages(self, target: Pipe, length: int) -> int:
        """Append up to `length` unread bytes to `target`, each page as a page of its own; how many.

        Wakes the target's readers. Linux: fs/splice.c, link_pipe, splice_pipe_to_pipe.
        """
        end = target.end
        left_slots = target.slot_count - target.used_slots
        target._charge(target.used_slots + min(left_slots, self.used_slots))
        if self.borrowed:
            self._see_borrowed(length)
        last_page, done = -1, 0
        for data, start, is_packet, consumed in self._pages():
            position = start + consumed
            if position >> PAGE_SHIFT != last_page:
                last_page = position >> PAGE_SHIFT
                if not left_slots or done == length:
                    break
                left_slots -= 1
                end = ((end + PAGE_MASK) & ~PAGE_MASK) + (position & PAGE_MASK)
            piece = data[consumed : consumed + min(PAGE_SIZE - (position & PAGE_MASK), length - done)]
            if not piece:
                break
            target.chunks.append((piece, end, is_packet))
            if self.borrowed:
                target._borrow(end >> PAGE_SHIFT, self.borrowed.get(last_page, ZERO_FRAME))
            end += len(piece)
            done += len(piece)
        target.end = (end + PAGE_MASK) & ~PAGE_MASK
        target.length += done
        target.read_queue.wake_all()
        return done

    def _pages(self) -> Iterator[tuple[bytes, int, bool, int]]:
        """The unread chunks, once for each page that they touch: with how much of them lies before it."""
        consumed = self.consumed
        for data, start, is_packet in self.chunks:
            while consumed < len(data):
                yield data, start, is_packet, consumed
                consumed += PAGE_SIZE - (start + consumed & PAGE_MASK)
            consumed = 0

    def drop(self, length: int) -> None:
        """Remove `length` bytes, which have gone elsewhere; what is left of a packet stays. Wakes writers."""
        chunks = self.chunks
        self.length -= length
        length += self.consumed
        while chunks and length >= len(chunks[0][0]):
            length -= len(chunks.popleft()[0])
        self.consumed = length
        if not chunks:
            self.end = 0
            if self.charged_slots > 1:
                self._uncharge()
        if self.borrowed:
            self._give_back()
        self.write_queue.wake_all()

    def resize(self, size: int, subject: Subject) -> int:
        """Make the pipe hold `size` bytes, rounded up to a power of two of pages; the new capacity.

        Raises EINVAL, EPERM over a limit of `subject`, EBUSY when the bytes inside don't fit, ENOMEM when the
        machine has no more.
        Linux: fs/pipe.c, pipe_set_size.
        """
        slots = slots_for(size)
        accounts, change = self.accounts, slots - self.slot_count
        if change > 0:
            if slots << PAGE_SHIFT > accounts.maximum_size and not subject.capable(CAP_SYS_RESOURCE):
                raise EPERM("over /proc/sys/fs/pipe-max-size")
            if (
                accounts.exceeds_soft(self.user_id, change) or accounts.exceeds_hard(self.user_id, change)
            ) and _is_unprivileged_user(subject):
                raise EPERM("over the user's limit of pages in pipes")
            if accounts.exceeds_machine(change):
                raise ENOMEM("over the machine's limit of pages in pipes")
        elif slots < self.used_slots:
            raise EBUSY
        accounts.charge(self.user_id, change)
        self.slot_count = slots
        self.write_queue.wake_all()
        return slots << PAGE_SHIFT

    def discard(self) -> None:
        """Give up the buffer: the last end is closed."""
        self.accounts.charge(self.user_id, -self.slot_count)
        self.accounts.memory.uncharge(PIPE, PIPE_BYTES + (self.charged_slots << PAGE_SHIFT))
        self.charged_slots = 0
        self.slot_count = 0
        self.chunks.clear()
        self._give_back()
        self.length = self.consumed = self.end = 0


def slots_for(size: int) -> int:
    """How many pages a pipe has that shall hold `size` bytes. Raises EINVAL. Linux: fs/pipe.c,
    round_pipe_size.
    """
    if size > LARGEST_SIZE:
        raise EINVAL
    return max(1, 1 << max(0, (size - 1) >> PAGE_SHIFT).bit_length())


def _is_unprivileged_user(subject: Subject) -> bool:
    """Whether the limits of pages in pipes hold for `subject`.

    Linux: fs/pipe.c, pipe_is_unprivileged_user.
    """
    return not subject.capable(CAP_SYS_RESOURCE) and not subject.capable(CAP_SYS_ADMIN)


def new_pipe(accounts: PipeAccounts, subject: Subject) -> Pipe:
    """A pipe without ends, of 64 KiB, or of less when its user has many.

    Raises ENFILE over the hard limit, or when the machine has no more pages for pipes; OutOfFrames.
    Linux: fs/pipe.c, alloc_pipe_info.
    """
    slots, user_id = DEFAULT_SLOTS, subject.fsuid
    if slots << PAGE_SHIFT > accounts.maximum_size and not subject.capable(CAP_SYS_RESOURCE):
        slots = accounts.maximum_size >> PAGE_SHIFT
    if accounts.exceeds_soft(user_id, slots) and _is_unprivileged_user(subject):
        slots = MINIMUM_SLOTS
    if accounts.exceeds_hard(user_id, slots) and _is_unprivileged_user(subject):
        raise ENFILE("over the user's limit of pages in pipes")
    if accounts.exceeds_machine(slots):
        raise ENFILE("over the machine's limit of pages in pipes")
    accounts.memory.charge(PIPE, PIPE_BYTES + PAGE_SIZE)
    accounts.charge(user_id, slots)
    return Pipe(accounts, user_id, slots)
