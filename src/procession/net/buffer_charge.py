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
_SMALL_PACKET, SMALL_PACKET_CHARGE = 200, 832
"""Up to what length a packet of the Internet protocols fits into the smallest buffer, and what that takes."""
_PACKET_HEADERS = 128


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


def packet_charge(length: int) -> int:
    """What a UDP packet of `length` bytes takes where it is received."""
    if length > _LARGEST_ALLOCATION:
        return _HEADER + _allocation(0) + _page_align(length)
    if length <= _SMALL_PACKET:
        return SMALL_PACKET_CHARGE
    return _HEADER + _allocation(length + _PACKET_HEADERS)
