"""Buffers of a program that a system call reads from or writes to: one, or a vector of them (readv(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.errno import EFAULT, EINVAL, ENOMEM
from procession.abi.uio import UIO_MAXIOV
from procession.abi.word import Words
from procession.hardware.page_table import USER_END
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SIZE
from procession.mm.vma import GROWS_DOWN, PROT_WRITE

if TYPE_CHECKING:
    from procession.mm.address_space import MemoryDescriptor

MAX_RW_COUNT: Final = 0x7FFF_F000
"""The most bytes that one call moves (Linux: include/linux/fs.h)."""
_LARGE: Final = 1 << 20
"""From what length on the bytes that are gathered must have room in the machine's memory, twice."""
_IOVEC: Final = Words("<QQ")
CHANGES_OF_PART: Final = 3
"""Gathering a part of a vector takes as long as changing so many entries of page tables."""


def is_user_range(address: int, length: int) -> bool:
    """Whether the range can be a program's, mapped or not.

    Linux: include/asm-generic/access_ok.h, access_ok.
    """
    return address + length <= USER_END


def check_user_range(address: int, length: int) -> None:
    """Raise EFAULT unless the range can be a program's, mapped or not.

    Linux: include/asm-generic/access_ok.h, access_ok.
    """
    if not is_user_range(address, length):
        raise EFAULT(f"{address:#x} isn't in user space")


class UserVector:
    """Buffers that are taken as one: `segments` are (address, length in bytes), `total` their length."""

    __slots__ = ("mm", "segments", "total")

    def __init__(self, mm: MemoryDescriptor, segments: list[tuple[int, int]], total: int) -> None:
        self.mm = mm
        self.segments = segments
        self.total = total

    @property
    def is_within_page(self) -> bool:
        """Whether all of it is in one page, so that all of it can be written to, or nothing."""
        if len(self.segments) != 1:
            return False
        address, length = self.segments[0]
        return (address ^ address + length - 1) <= PAGE_MASK

    def parts(self, offset: int, length: int) -> list[tuple[int, int]]:
        """The (address, length) pieces of `length` bytes from `offset`."""
        pieces: list[tuple[int, int]] = []
        for address, size in self.segments:
            if offset >= size:
                offset -= size
                continue
            count = min(size - offset, length)
            if count <= 0:
                break
            pieces.append((address + offset, count))
            length -= count
            offset = 0
        return pieces

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer where the program's memory ends. Raises EFAULT at the first.

        Raises ENOMEM where so much at once isn't to be had beside the machine's memory.
        """
        if length > _LARGE and not self.mm.memory.account.can_charge(2 * length):
            raise ENOMEM("no memory to gather so much at once")
        if length > _LARGE:
            # Not in thousands of pieces, which would be left behind in the host's heap.
            gathered = bytearray()
            while len(gathered) < length:
                wanted = min(length - len(gathered), _LARGE)
                try:
                    piece = self.read(offset + len(gathered), wanted)
                except EFAULT:
                    if not gathered:
                        raise
                    break
                gathered += piece
                if len(piece) < wanted:
                    break
            return bytes(gathered)
        parts: list[bytes] = []
        for address, count in self.parts(offset, length):
            try:
                parts.append(self.mm.read(address, count))
            except EFAULT:
                prefix = readable_prefix(self.mm, address, count)
                if not prefix and not parts:
                    raise
                parts.append(prefix)
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def writable_length(self) -> int:
        """How many bytes from the first on could be put, before memory ends or isn't writable."""
        length = 0
        for address, count in self.segments:
            reached = writable_length(self.mm, address, count)
            length += reached
            if reached < count:
                break
        return length

    def write(self, offset: int, data: bytes) -> int:
        """Put `data` at `offset`; how many bytes could be put before memory ended."""
        done = 0
        for address, count in self.parts(offset, len(data)):
            piece = data[done : done + count]
            try:
                self.mm.write(address, piece)
            except EFAULT:
                return done + write_prefix(self.mm, address, piece)
            done += count
        return done


def readable_prefix(mm: MemoryDescriptor, address: int, length: int) -> bytes:
    """What can be read of `length` bytes at `address`, up to the first page that can't."""
    parts: list[bytes] = []
    while length > 0:
        count = min(length, PAGE_SIZE - (address & PAGE_MASK))
        try:
            parts.append(mm.read(address, count))
        except EFAULT:
            break
        address += count
        length -= count
    return b"".join(parts)


def write_prefix(mm: MemoryDescriptor, address: int, data: bytes) -> int:
    """Put what can be put of `data` at `address`, up to the first page that can't be written; its length."""
    done = 0
    while done < len(data):
        count = min(len(data) - done, PAGE_SIZE - (address + done & PAGE_MASK))
        try:
            mm.write(address + done, data[done : done + count])
        except EFAULT:
            break
        done += count
    return done


def writable_length(mm: MemoryDescriptor, address: int, length: int) -> int:
    """How many of `length` bytes at `address` lie in areas that may be written to, or would grow there."""
    area = mm.find(address)
    end = address + length
    reached = address
    while area is not None and area.protection & PROT_WRITE:
        reached = area.end
        if reached >= end:
            return length
        area = mm.find(reached)
    if area is None:
        following = next(iter(mm.areas_in(reached, end)), None)
        if following is not None and following.flags & GROWS_DOWN:
            return length
    return reached - address


def single_buffer(mm: MemoryDescriptor, address: int, length: int) -> UserVector:
    """One buffer as a vector, cut to MAX_RW_COUNT. Raises EFAULT if what is left isn't in user space.

    Linux: lib/iov_iter.c, import_ubuf.
    """
    length = min(length, MAX_RW_COUNT)
    check_user_range(address, length)
    return UserVector(mm, [(address, length)], length)


def import_vector(mm: MemoryDescriptor, address: int, count: int) -> UserVector:
    """The `count` iovecs at `address`, all together cut to MAX_RW_COUNT.

    Raises EINVAL for too many or a negative length, EFAULT. The count is an unsigned int there.
    Linux: lib/iov_iter.c, import_iovec.
    """
    count &= 0xFFFF_FFFF
    if count > UIO_MAXIOV:
        raise EINVAL(f"more than {UIO_MAXIOV} buffers")
    vectors = list(_IOVEC.iter_unpack(mm.read(address, 16 * count))) if count else []
    if count > 1:
        # The first is the call's own.
        mm.memory.note_changed((count - 1) * CHANGES_OF_PART)
    for _, length in vectors:
        if length >> 63:
            raise EINVAL("a negative length")
    if count == 1:
        return single_buffer(mm, *vectors[0])
    segments: list[tuple[int, int]] = []
    total = 0
    for base, length in vectors:
        check_user_range(base, length)
        kept = min(length, MAX_RW_COUNT - total)
        segments.append((base, kept))
        total += kept
    return UserVector(mm, segments, total)
