"""Floating-point state in the architecture's form: FXSAVE areas from Unicorn's own image and back."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from procession.hardware.engines.unicorn_library import UnicornError
from procession.hardware.extended_state import FXSAVE_BYTES, MXCSR_MASK

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_state import StateLayout

_FXSAVE = Struct("<HHBx18xII" + 8 * "10s6x" + 16 * "16s" + "96x")
_TOP_BITS = 0x3800
_ALL_EMPTY = b"\1" * 8
_X87_STRIDE = 16


class LiveState:
    """Takes FXSAVE areas from a processor's `state` as it is in memory, by strides and not by fields.

    The area is put together in `area`. Raises UnicornError if the state isn't laid out in words.
    """

    __slots__ = ("area", "pairs", "source16", "source32", "tags", "top", "words")

    def __init__(self, layout: StateLayout, state: memoryview) -> None:
        if any(place % 8 for place in (layout.xmm, layout.xmm_stride, layout.x87_registers)):
            raise UnicornError("the vector registers aren't in whole words")
        area = memoryview(bytearray(FXSAVE_BYTES))
        area64, area16 = area.cast("Q"), area.cast("H")
        state64, state16 = state.cast("Q"), state.cast("H")
        first, stride = layout.xmm // 8, layout.xmm_stride // 8
        end = first + 16 * stride
        x87 = layout.x87_registers
        self.area = area
        self.source16, self.source32 = state16, state.cast("I")
        # Lower and upper halves of vector registers; significands and exponents of the x87's.
        self.pairs = (
            (area64[20:52:2], state64[first:end:stride]),
            (area64[21:52:2], state64[first + 1 : end : stride]),
            (area64[4:20:2], state64[x87 // 8 : x87 // 8 + 16 : 2]),
            (area16[20:84:8], state16[x87 // 2 + 4 : x87 // 2 + 64 : 8]),
        )
        self.words = area16, layout.x87_control // 2, layout.x87_status // 2, layout.mxcsr // 4
        self.top = layout.x87_top // 4
        self.tags = state[layout.x87_tags : layout.x87_tags + 8]
        area.cast("I")[7] = MXCSR_MASK

    def fxsave(self) -> bytes | None:
        """The area; None if the x87's stack isn't empty, so that it must be turned."""
        if self.source32[self.top] or self.tags != _ALL_EMPTY:
            return None
        for target, source in self.pairs:
            target[:] = source
        words, control, status, mxcsr = self.words
        words[0], words[1] = self.source16[control], self.source16[status] & ~_TOP_BITS
        words[12] = self.source32[mxcsr] & MXCSR_MASK
        return bytes(self.area)


class FloatingFormat:
    """Converts between images of one layout and FXSAVE areas (Intel SDM volume 1, 10.5.1).

    An image is cut into its known fields and what lies between, so that one format takes it apart and puts
    it together.
    """

    __slots__ = ("control", "length", "mask", "mxcsr", "parts", "status", "tags", "top", "vectors", "x87")

    def __init__(self, layout: StateLayout) -> None:
        fields = {
            layout.x87_top: 4,
            layout.x87_status: 2,
            layout.x87_control: 2,
            layout.x87_tags: 8,
            layout.mxcsr: 4,
        }
        fields |= {layout.x87_registers + _X87_STRIDE * index: 10 for index in range(8)}
        fields |= {layout.xmm + layout.xmm_stride * index: 16 for index in range(16)}
        form, position, count = "<", layout.floating_start, 0
        places: dict[int, int] = {}
        for offset in sorted(fields):
            if offset > position:
                form += f"{offset - position}s"
                count += 1
            places[offset] = count
            form += f"{fields[offset]}s"
            count += 1
            position = offset + fields[offset]
        self.parts = Struct(f"{form}{layout.floating_end - position}s")
        self.length = layout.floating_end - layout.floating_start
        self.mask = _mask_of(layout)
        self.top = places[layout.x87_top]
        self.status = places[layout.x87_status]
        self.control = places[layout.x87_control]
        self.tags = places[layout.x87_tags]
        self.mxcsr = places[layout.mxcsr]
        self.x87 = [places[layout.x87_registers + _X87_STRIDE * index] for index in range(8)]
        self.vectors = [places[layout.xmm + layout.xmm_stride * index] for index in range(16)]

    def image(self, state: bytes) -> bytes:
        """The image in `state`, the processor's own bytes, without what no instruction can see.

        Where a vector register has place for more than SSE's 16 bytes, the library's functions leave
        whatever lay on their stack.
        """
        return (int.from_bytes(state, "little") & self.mask).to_bytes(self.length, "little")

    def to_fxsave(self, image: bytes) -> bytes:
        """The 512-byte FXSAVE area of an image."""
        parts = self.parts.unpack(image)
        top = parts[self.top][0] & 7
        tags = parts[self.tags]
        # The processor counts its x87 registers from the top of their stack.
        order = self.x87[top:] + self.x87[:top] if top else self.x87
        return _FXSAVE.pack(
            int.from_bytes(parts[self.control], "little"),
            int.from_bytes(parts[self.status], "little") & ~_TOP_BITS | top << 11,
            0 if tags == _ALL_EMPTY else sum(1 << index for index in range(8) if not tags[index]),
            int.from_bytes(parts[self.mxcsr], "little"),
            MXCSR_MASK,
            *[parts[place] for place in order],
            *[parts[place] for place in self.vectors],
        )

    def from_fxsave(self, image: bytes, area: bytes) -> tuple[bytes, int, int]:
        """`image` with the state in an FXSAVE area, but for control words; these: x87's, and MXCSR."""
        parts = list(self.parts.unpack(image))
        control, status, tag_bits, mxcsr, _, *values = _FXSAVE.unpack(area)
        top = status >> 11 & 7
        parts[self.top] = top.to_bytes(4, "little")
        parts[self.status] = (status & ~_TOP_BITS).to_bytes(2, "little")
        parts[self.tags] = bytes(not tag_bits >> index & 1 for index in range(8)) if tag_bits else _ALL_EMPTY
        for index in range(8):
            parts[self.x87[(top + index) & 7]] = values[index]
        for place, value in zip(self.vectors, values[8:], strict=True):
            parts[place] = value
        return self.parts.pack(*parts), control, mxcsr & MXCSR_MASK

    def control_words(self, image: bytes) -> tuple[int, int]:
        """The x87 control word and MXCSR of an image."""
        parts = self.parts.unpack(image)
        return int.from_bytes(parts[self.control], "little"), int.from_bytes(parts[self.mxcsr], "little")


def _mask_of(layout: StateLayout) -> int:
    """The bits of an image that are a task's."""
    mask = bytearray(b"\xff") * (layout.floating_end - layout.floating_start)
    for index in range(8):
        start = layout.x87_registers - layout.floating_start + _X87_STRIDE * index
        mask[start + 10 : start + _X87_STRIDE] = bytes(_X87_STRIDE - 10)
    for start in range(layout.xmm - layout.floating_start, len(mask), layout.xmm_stride):
        mask[start + 16 : start + layout.xmm_stride] = bytes(layout.xmm_stride - 16)
    return int.from_bytes(mask, "little")
