"""How rings of packet sockets are laid out in memory that the socket shares with its program (packet(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from procession.abi.errno import EBUSY, EINVAL, ENOMEM
from procession.abi.packet import (
    BlockDescription,
    PacketVersion,
    Tpacket2Hdr,
    Tpacket3Hdr,
    TpacketHdr,
    TpacketReq,
    TpacketReq3,
)
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, OutOfFrames
from procession.mm.vma import SharedAnonymous

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procession.hardware.physical_memory import PhysicalMemory
    from procession.net.packet.socket import PacketSocket

V1, V2, V3 = (int(version) for version in PacketVersion)
HEADER_BYTES = {V1: TpacketHdr.SIZE, V2: Tpacket2Hdr.SIZE, V3: Tpacket3Hdr.SIZE}
ADDRESS_BYTES = 20
"""A struct sockaddr_ll, behind each header."""
_ALIGNMENT, _BLOCK_ALIGNMENT = 16, 8
_LARGEST_BLOCK = 0x7FFFFFFF


def aligned(size: int, alignment: int = _ALIGNMENT) -> int:
    """`size`, rounded up."""
    return size + alignment - 1 & -alignment


def front_bytes(version: int, reserve: int) -> int:
    """What a frame takes at least in a ring (TPACKET_HDRLEN)."""
    return aligned(HEADER_BYTES[version]) + ADDRESS_BYTES + reserve


class Ring:
    """A ring (Linux: net/packet/internal.h, struct packet_ring_buffer).

    Its `pages`, where it begins at `start`, are mapped by programs, which write there what they like: of what
    is read from there nothing is believed. `block_bytes` and `frame_bytes` are the sizes of a block and, for
    versions 1 and 2 and for sending, of a frame; `head` is the frame or block that comes next.
    """

    __slots__ = (
        "block_bytes",
        "block_count",
        "frame_bytes",
        "frame_count",
        "head",
        "pages",
        "start",
        "version",
    )

    def __init__(self, memory: PhysicalMemory, version: int, request: TpacketReq3) -> None:
        self.version = version
        self.block_bytes, self.block_count = request.tp_block_size, request.tp_block_nr
        self.frame_bytes, self.frame_count = request.tp_frame_size, request.tp_frame_nr
        self.head = self.start = 0
        self.pages = _make_pages(memory, self.size)

    @property
    def size(self) -> int:
        """All of it, in bytes."""
        return self.block_bytes * self.block_count

    def status_at(self, place: int) -> int:
        """Whose a frame or block is."""
        return int.from_bytes(self.pages.read(place, 4), "little")

    def frame_place(self, index: int) -> int:
        """Where a frame is among the pages."""
        per_block = self.block_bytes // self.frame_bytes
        return self.start + index // per_block * self.block_bytes + index % per_block * self.frame_bytes

    def release(self) -> None:
        """The socket has it no more; who maps it still does."""
        self.pages.release_area()


_R = TypeVar("_R", bound=Ring | None)


def _make_pages(memory: PhysicalMemory, size: int) -> SharedAnonymous:
    """Pages that the socket holds. Raises ENOMEM. Linux: net/packet/af_packet.c, alloc_pg_vec."""
    count = size >> PAGE_SHIFT
    pages = SharedAnonymous(memory, count)
    pages.acquire_area()
    try:
        pages.reserve(0, count - 1)
        for _ in range(count):
            memory.note_filled()
    except OutOfFrames:
        pages.release_area()
        raise ENOMEM("no memory for the ring") from None
    return pages


def lay_out(socket: PacketSocket, new: _R, rings: Sequence[Ring]) -> _R:
    """Put `rings`, which nobody maps, one behind the other, as they are mapped; return `new`, which is one of
    them, or None. Raises ENOMEM: then `new` is released.

    Linux: net/packet/af_packet.c, packet_mmap.
    """
    if not rings or (rings[0].start == 0 and len(rings) == 1):
        return new
    size = sum(ring.size for ring in rings)
    try:
        pages = _make_pages(socket.network.system.vfs.memory, size)
    except ENOMEM:
        if new is not None:
            new.release()
        raise
    socket.network.host.clock.spend_copying(size)
    start = 0
    for ring in rings:
        for place in range(0, ring.size, ring.block_bytes):
            pages.write(start + place, ring.pages.read(ring.start + place, ring.block_bytes))
        ring.release()
        ring.pages, ring.start = pages, start
        start += ring.size
    for _ in rings[1:]:
        pages.acquire_area()
    return new


def wanted_ring(socket: PacketSocket, value: bytes, old: Ring | None) -> TpacketReq3 | None:
    """The ring that PACKET_RX_RING or PACKET_TX_RING asks for in place of `old`, None for none.

    Raises EINVAL, EBUSY, ENOMEM. Linux: net/packet/af_packet.c, packet_set_ring.
    """
    kind = TpacketReq3 if socket.version == V3 else TpacketReq
    if len(value) < kind.SIZE:
        raise EINVAL("a struct tpacket_req is needed")
    request = TpacketReq3.unpack_from(value[: kind.SIZE].ljust(TpacketReq3.SIZE, b"\0"))
    rings = socket.rings
    if rings and rings[0].pages.area_count > len(rings):
        raise EBUSY("a program maps the rings")
    if not request.tp_block_nr:
        if request.tp_frame_nr:
            raise EINVAL("frames without blocks")
        return None
    if old is not None:
        raise EBUSY("there is a ring")
    least = front_bytes(socket.version, socket.reserve)
    size, frame = request.tp_block_size, request.tp_frame_size
    if not 0 < size <= _LARGEST_BLOCK or size & PAGE_MASK:
        raise EINVAL("a block is some pages")
    private = BlockDescription.SIZE + aligned(request.tp_sizeof_priv, _BLOCK_ALIGNMENT)
    if socket.version == V3 and size < private + least:
        raise EINVAL("a block without room for a frame")
    if frame < least or frame % _ALIGNMENT or frame > size:
        raise EINVAL("no size of a frame")
    if size // frame * request.tp_block_nr != request.tp_frame_nr:
        raise EINVAL("another number of frames than fit")
    memory = socket.network.system.vfs.memory
    if size * request.tp_block_nr > memory.frame_count << PAGE_SHIFT:
        raise ENOMEM("more than there can be")
    return request
