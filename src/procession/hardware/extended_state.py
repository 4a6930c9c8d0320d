"""Floating-point and vector state as XSAVE lays it out in memory (Intel SDM volume 1, 13.4).

What a task has of it is such an area in the standard format, so that it goes from one engine to another,
into signal frames and to tracers as it is. All of it is always there: a component that is as it began has
zeros, and its bit in the header only says so. Where the x87's last instruction was isn't told, but to a
tracer that has just set it: code that was translated was elsewhere.
"""

from __future__ import annotations

from typing import Final

from procession.abi.named_tuple import NamedTuple
from procession.abi.word import Words, pack_u16, pack_u64

X87, SSE, AVX = 1, 2, 4
FXSAVE_BYTES, HEADER_BYTES, AVX_OFFSET, XSAVE_BYTES = 512, 64, 576, 832
FXSAVE_STATE_BYTES = 416
"""What of an FXSAVE area is state; the rest is the software's."""
MXCSR_OFFSET, MXCSR_MASK = 24, 0xFFFF
_CONTROL, _MXCSR, _HEADER = Words("<H"), Words("<II"), Words("<QQ48x")
_INITIAL_CONTROL, _INITIAL_MXCSR = 0x37F, 0x1F80
_X87_OFFSET, _XMM_OFFSET = 32, 160
_NO_AVX = bytes(XSAVE_BYTES - AVX_OFFSET)
_RESERVED_BYTES = 48
BIAS, TOP_EXPONENT = 16383, 0x7FFF
INTEGER_BIT = 1 << 63
QUIET_BIT = 1 << 62
_WITHOUT_AVX, _WITH_AVX = _HEADER.pack(X87 | SSE, 0), _HEADER.pack(X87 | SSE | AVX, 0)


def _state_bits() -> int:
    """What of an FXSAVE area is a task's: not the x87's last instruction, nor what is reserved."""
    area = bytearray(b"\xff" * FXSAVE_STATE_BYTES)
    area[5:MXCSR_OFFSET] = bytes(MXCSR_OFFSET - 5)
    area[MXCSR_OFFSET + 2 : MXCSR_OFFSET + 8] = bytes(6)
    for start in range(_X87_OFFSET, _XMM_OFFSET, 16):
        area[start + 10 : start + 16] = bytes(6)
    return int.from_bytes(area, "little")


_STATE_BITS: Final = _state_bits()
_MASK_FIELD: Final = MXCSR_MASK << 8 * (MXCSR_OFFSET + 4)


def _initial_state() -> bytes:
    image = bytearray(XSAVE_BYTES)
    _CONTROL.pack_into(image, 0, _INITIAL_CONTROL)
    _MXCSR.pack_into(image, MXCSR_OFFSET, _INITIAL_MXCSR, MXCSR_MASK)
    image[FXSAVE_BYTES:AVX_OFFSET] = _WITHOUT_AVX
    return bytes(image)


INITIAL_STATE: Final = _initial_state()
"""What a program begins with."""


class UnloadableState(ValueError):
    """No processor would load this area."""


def mxcsr_of(area: bytes) -> int:
    """MXCSR of an FXSAVE or XSAVE area."""
    return int.from_bytes(area[MXCSR_OFFSET : MXCSR_OFFSET + 4], "little")


def has_avx(image: bytes) -> bool:
    """Whether the upper halves of vector registers hold anything."""
    return image[AVX_OFFSET:] != _NO_AVX


def canonical(image: bytes) -> bytes:
    """An area that a processor has saved, with nothing in it that depends on which one that was."""
    state = int.from_bytes(image[:FXSAVE_BYTES], "little") & _STATE_BITS | _MASK_FIELD
    upper = image[AVX_OFFSET:XSAVE_BYTES]
    header = _WITHOUT_AVX if upper == _NO_AVX else _WITH_AVX
    return state.to_bytes(FXSAVE_BYTES, "little") + header + upper


def with_fxsave_area(image: bytes, area: bytes) -> bytes:
    """`image` with all of an FXSAVE area in it, of which no task keeps some (`canonical`).

    Raises UnloadableState for reserved bits in MXCSR.
    """
    mxcsr = mxcsr_of(area)
    if mxcsr & ~MXCSR_MASK:
        raise UnloadableState("MXCSR has reserved bits set")
    return area[:FXSAVE_STATE_BYTES].ljust(FXSAVE_BYTES, b"\0") + image[FXSAVE_BYTES:]


def has_reserved_bytes(area: bytes) -> bool:
    """Whether there is anything in the part of the header that no processor looks at yet."""
    return any(area[AVX_OFFSET - _RESERVED_BYTES : AVX_OFFSET])


def restored(area: bytes, components: int) -> bytes:
    """The state after XRSTOR of `components` from `area`, and of initial values for all others: with all that
    the area has of them, of which no task keeps some (`canonical`).

    Raises UnloadableState where the processor raises a general protection fault.
    """
    present, compaction = _HEADER.unpack_from(area, FXSAVE_BYTES)
    if present & ~(X87 | SSE | AVX) or compaction or any(area[FXSAVE_BYTES + 16 : FXSAVE_BYTES + 24]):
        raise UnloadableState("the header has reserved bits set")
    image = bytearray(INITIAL_STATE)
    if components & (SSE | AVX):
        # Whether SSE is in the area or not.
        mxcsr = mxcsr_of(area)
        if mxcsr & ~MXCSR_MASK:
            raise UnloadableState("MXCSR has reserved bits set")
        _MXCSR.pack_into(image, MXCSR_OFFSET, mxcsr, MXCSR_MASK)
    components &= present
    if components & X87:
        image[:MXCSR_OFFSET] = area[:MXCSR_OFFSET]
        image[_X87_OFFSET:_XMM_OFFSET] = area[_X87_OFFSET:_XMM_OFFSET]
    if components & SSE:
        image[_XMM_OFFSET:FXSAVE_STATE_BYTES] = area[_XMM_OFFSET:FXSAVE_STATE_BYTES]
    if components & AVX:
        image[AVX_OFFSET:] = area[AVX_OFFSET:XSAVE_BYTES]
    return bytes(image)


def readable_state(value: object) -> bytes:
    """The state that `value`, from whoever may have written it, is. Raises ValueError if it's none."""
    if not isinstance(value, bytes) or len(value) != XSAVE_BYTES:
        raise ValueError("no XSAVE area")
    return canonical(restored(value, X87 | SSE | AVX))


# The x87's numbers: a sign, an exponent and 64 bits.


class Extended(NamedTuple):
    """A number of 80 bits: `exponent` as it is stored, `significand` with its integer bit."""

    is_negative: bool
    exponent: int
    significand: int

    @property
    def is_zero(self) -> bool:
        """Whether it's 0 or -0."""
        return not self.exponent and not self.significand

    @property
    def is_unsupported(self) -> bool:
        """Whether it's none of the numbers that the processor has known since the 387."""
        return self.exponent != 0 and not self.significand & INTEGER_BIT

    @property
    def is_infinite(self) -> bool:
        """Whether it's an infinity."""
        return self.exponent == TOP_EXPONENT and self.significand == INTEGER_BIT

    @property
    def is_nan(self) -> bool:
        """Whether it's no number."""
        return self.exponent == TOP_EXPONENT and self.significand > INTEGER_BIT

    @property
    def is_signalling(self) -> bool:
        """Whether it's no number, and using it is an invalid operation."""
        return self.is_nan and not self.significand & QUIET_BIT

    @property
    def is_denormal(self) -> bool:
        """Whether it has fewer than 64 bits."""
        return not self.exponent and self.significand != 0

    @property
    def scale(self) -> int:
        """The number is its significand times 2 to the power of this."""
        return max(self.exponent, 1) - BIAS - 63

    def negated(self) -> Extended:
        """The number with the other sign."""
        return Extended(not self.is_negative, self.exponent, self.significand)


def unpack_extended(data: bytes) -> Extended:
    """The number in 10 bytes of memory."""
    head = int.from_bytes(data[8:10], "little")
    return Extended(head >> 15 != 0, head & TOP_EXPONENT, int.from_bytes(data[:8], "little"))


def pack_extended(number: Extended) -> bytes:
    """The 10 bytes of a number in memory."""
    head = number.exponent | (0x8000 if number.is_negative else 0)
    return pack_u64(number.significand) + pack_u16(head)
