"""How much room a message takes in a socket's buffer: what Linux allocates for it (skb->truesize)."""

from __future__ import annotations

_HEADER = 256
"""struct sk_buff."""
_SHARED_INFO = 320
"""struct skb_shared_info, which lies behind the data."""
_LARGEST_HEAD = 3776
"""What of a stream's message lies beside its header; the rest is in pages."""
_STREAM_PAGES = 32_768
STREAM_PIECE = _LARGEST_HEAD + _STREAM_PAGES
"""The longest message of a stream: more is split."""
_LARGEST_ALLOCATION = 16_064
_MAXIMUM_FRAGMENTS = 17 << 12
_SMALL_PACKET, SMALL_PACKET_CHARGE = 256, 832
"""Up to what length a packet of the Internet protocols fits into the smallest buffer, and what that takes."""
PACKET_ROOMS = {4: 20 + 31, 16: 40 + 24}
"""What is allocated beside what a packet of IP carries, by the length of an address: for its header, that of
a frame, and some to align it."""
_USUAL_ROOM = 56
_CACHE_LINE = 64


def _page_align(length: int) -> int:
    return length + 4095 & ~4095


def _allocation(length: int) -> int:
    """The power of two that is allocated for a message's head."""
    return 1 << (length + _SHARED_INFO - 1).bit_length()


def stream_charge(length: int) -> int:
    """What `length` bytes, written at once to a local stream, take.

    Linux: net/unix/af_unix.c, unix_stream_sendmsg; net/core/skbuff.c, alloc_skb_with_frags.
    """
    if length <= _LARGEST_HEAD:
        return _HEADER + (1 << (length + _SHARED_INFO - 1).bit_length())
    charge = 0
    while True:
        piece = min(length, STREAM_PIECE)
        pages = _page_align(max(piece - _LARGEST_HEAD, 0))
        charge += _HEADER + _allocation(piece - min(piece, pages)) + pages
        length -= piece
        if not length:
            return charge


def datagram_charge(length: int) -> int:
    """What a local datagram of `length` bytes takes. Linux: net/unix/af_unix.c, unix_dgram_sendmsg."""
    pages = 0
    if length > _LARGEST_ALLOCATION:
        pages = _page_align(min(length - _LARGEST_ALLOCATION, _MAXIMUM_FRAGMENTS))
    return _HEADER + _allocation(max(length - pages, 0)) + pages


def packet_charge(length: int, room: int = _USUAL_ROOM) -> int:
    """What a packet of `length` bytes with `room` for headers takes. Linux: net/ipv4/ip_output.c,
    __ip_append_data."""
    head = length + room
    if head <= _SMALL_PACKET:
        return SMALL_PACKET_CHARGE
    if head >= _LARGEST_ALLOCATION:
        # The headers alone lie in the buffer, and the rest is in pages.
        return SMALL_PACKET_CHARGE + length
    return _HEADER + _allocation(head + _CACHE_LINE - 1 & -_CACHE_LINE)
