"""Where Unicorn keeps the processor's state in memory, found by experiment at start.

The library's calls for reading and writing registers cost more than a whole system call should. The state
that they copy from is one C structure whose layout the library doesn't publish, so it is measured, never
assumed: recognisable values are written through the public calls and searched for, and what must be
unique and isn't raises UnicornError.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable
from ctypes import c_void_p

from procession.hardware.engines.unicorn_library import (
    GENERAL_REGISTERS,
    REG_CR2,
    REG_CR3,
    REG_FPCW,
    REG_FPSW,
    REG_FPTAG,
    REG_FS_BASE,
    REG_GS_BASE,
    REG_MXCSR,
    REG_ST0,
    REG_XMM0,
    UnicornError,
    UnicornLibrary,
)
from procession.hardware.engines.unicorn_machine_code import Assembly, d32, q
from procession.hardware.registers import (
    CODE_OR_WRITABLE,
    DATA_SEGMENTS,
    SEGMENT_NUMBERS,
    USER_DESCRIPTORS,
    WRITABLE_DATA,
    loaded_selectors,
)

_CONTEXT_HEADER_BYTES = 64
"""At most so much of a saved context isn't a copy of the state."""
_OTHER_FLAGS = 0x890
"""Overflow, sign and the carry of halves, which the library's comparisons leave as they were."""
_HANDLE_BYTES = 8192
"""How far into the handle's object words may point at the object with the state."""
_OBJECT_BYTES = (1 << 16, 1 << 18)
"""How far into an object the state is looked for: where it lies today, then far enough for any layout."""
_places: dict[int, int] = {}
"""Where it was found in this process: its offset in an object, by that of the word which points at that."""


class StateLayout:
    """Offsets in bytes from the state's `address`.

    `general`, 16 quadwords with rip after them, is at offset 0. `floating_start` to `floating_end` encloses
    all of x87, MMX and SSE state; in the byte `sse_mark` the library notes floating-point exceptions of
    SSE, in that at `sse_flush` that tiny results become zero; in the quadword at `flags_source` are the
    flags after fcomi. `size` bytes of the state are a task's: what the library copies when it saves a
    context. The state lies in the library's object of the processor, at `holder`. From `mode_start` to
    `mode_end` are the flags of its mode, with the privilege level, and the segments; `selectors` has the
    offsets of DATA_SEGMENTS' own. The handle's object has `holder` at `holder_offset`.

    Behind what is a task's are the meter's `budget`; `watching`, whether instructions are watched; `memory`,
    where the machine's memory is; and what is noted while a block is translated: the address of its first
    page of `code_page`, where that page and the next are in the host's memory, `code` and `next_code`,
    whether the next access has to be `aligned`, and the library's function that can `translate` an
    instruction; and the address of the last `block` that was begun.
    """

    __slots__ = (
        "address",
        "aligned",
        "block",
        "budget",
        "code",
        "code_page",
        "cr2",
        "cr3",
        "error_code",
        "flags_source",
        "floating_end",
        "floating_start",
        "fs_base",
        "gs_base",
        "holder",
        "holder_offset",
        "memory",
        "mode_end",
        "mode_start",
        "mxcsr",
        "next_code",
        "old_exception",
        "selectors",
        "size",
        "sse_flush",
        "sse_mark",
        "translate",
        "watching",
        "x87_control",
        "x87_operand",
        "x87_registers",
        "x87_status",
        "x87_tags",
        "x87_top",
        "xmm",
        "xmm_stride",
    )

    def __init__(self, address: int, size: int, holder: int) -> None:
        self.address = address
        self.holder = holder
        self.holder_offset = 0
        self.size = size
        self.budget = 0
        self.memory = 0
        self.code_page = 0
        self.code = 0
        self.next_code = 0
        self.aligned = 0
        self.translate = 0
        self.block = 0
        self.fs_base = 0
        self.gs_base = 0
        self.mode_start = 0
        self.mode_end = 0
        self.cr2 = 0
        self.cr3 = 0
        self.x87_top = 0
        self.x87_status = 0
        self.x87_control = 0
        self.x87_tags = 0
        self.x87_registers = 0
        self.mxcsr = 0
        self.sse_flush = 0
        self.sse_mark = 0
        self.watching = 0
        self.x87_operand = 0
        self.xmm = 0
        self.xmm_stride = 0
        self.floating_start = 0
        self.floating_end = 0
        self.error_code = 0
        self.flags_source = 0
        self.old_exception = 0
        self.selectors: list[int] = []

    def snapshot(self) -> bytes:
        """The state's bytes now."""
        return ctypes.string_at(self.address, self.size)


def locate_state(library: UnicornLibrary, handle: c_void_p) -> StateLayout:
    """Find the state of the processor `handle` and the offsets that need no running code.

    Raises UnicornError when the search doesn't end in exactly one place.
    """
    found: dict[int, int] | None = None
    for seed in (0x5A17_C0DE_0000_1100, 0x3B2A_FACE_0000_2200, 0x1D3C_BEAD_0000_3300):
        values = [seed + 0x1357 * index for index in range(16)]
        for register, value in zip(GENERAL_REGISTERS, values, strict=True):
            library.write_register(handle, register, value)
        pattern = struct.pack("<16Q", *values)
        if found is None:
            found = _find_again(handle, pattern) or _find_pattern(handle, pattern)
        else:
            # The first search also finds copies that the host's program made of the pattern itself.
            with OwnMemory() as memory:
                found = {
                    address: holder
                    for address, holder in found.items()
                    if memory.read(address, len(pattern)) == pattern
                }
    if not found or len(found) != 1:
        raise UnicornError(f"the processor's state was found in {len(found or ())} places, not one")
    size = (library.context_size(handle) - _CONTEXT_HEADER_BYTES) & ~7
    address, holder = found.popitem()
    layout = StateLayout(address, size, holder)
    layout.holder_offset = _keep_place(handle, address, holder)

    def offset_of(register: int, probes: tuple[int, ...], width: int) -> int:
        return _find_offset(library, handle, layout, register, probes, width)

    layout.fs_base = offset_of(REG_FS_BASE, (0x7AB1_2345_6000, 0x1133_5577_9000), 8)
    layout.gs_base = offset_of(REG_GS_BASE, (0x6AB1_2345_7000, 0x2133_5577_8000), 8)
    layout.cr2 = offset_of(REG_CR2, (0x3AB1_2345_6008, 0x4133_5577_9010), 8)
    layout.cr3 = offset_of(REG_CR3, (0x12345000, 0x0FEDC000), 8)
    library.write_register(handle, REG_CR3, 0)
    layout.x87_control = offset_of(REG_FPCW, (0x027F, 0x037F, 0x0F7F), 2)
    library.write_register(handle, REG_FPCW, 0x037F)
    layout.mxcsr = offset_of(REG_MXCSR, (0x9F80, 0x3F80, 0x1F80), 4)
    layout.xmm = _find_wide(library, handle, layout, REG_XMM0, 16)
    layout.xmm_stride = _find_wide(library, handle, layout, REG_XMM0 + 1, 16) - layout.xmm
    _locate_x87(library, handle, layout)
    layout.floating_start = min(layout.x87_top, layout.x87_status, layout.x87_control)
    layout.floating_end = layout.xmm + 16 * layout.xmm_stride
    if not layout.floating_start < layout.x87_registers < layout.mxcsr < layout.floating_end < layout.size:
        raise UnicornError("the floating-point state isn't where one block of the processor's state holds it")
    return layout


def _find_again(handle: c_void_p, pattern: bytes) -> dict[int, int]:
    """As `_find_pattern`, where the state of another processor was: to look everywhere takes milliseconds."""
    base = handle.value or 0
    with OwnMemory() as memory:
        for offset, position in _places.items():
            holder = int.from_bytes(memory.read(base + offset, 8), "little")
            if memory.read(holder + position, len(pattern)) == pattern:
                return {holder + position: holder}
    return {}


def _keep_place(handle: c_void_p, address: int, holder: int) -> int:
    """Note for `_find_again` by which word of the handle's object the state was found: its offset there.

    Raises UnicornError if it has no such word.
    """
    base = handle.value or 0
    with OwnMemory() as memory:
        offset = memory.read(base, _HANDLE_BYTES).find(holder.to_bytes(8, "little"))
    if offset < 0:
        raise UnicornError("the handle's object doesn't tell where the processor's is")
    _places[offset] = address - holder
    return offset


def _find_pattern(handle: c_void_p, pattern: bytes) -> dict[int, int]:
    """Where `pattern` lies in the objects to which the words of the handle's own object point, and these.

    Of several objects that a place lies within, it's the one that begins last.
    """
    for object_bytes in _OBJECT_BYTES:
        found = _find_within(handle, pattern, object_bytes)
        if found:
            return found
    return {}


def _find_within(handle: c_void_p, pattern: bytes, object_bytes: int) -> dict[int, int]:
    """As `_find_pattern`, in the first `object_bytes` of each object."""
    regions = _writable_regions()
    base = handle.value or 0
    start, end = next((region for region in regions if region[0] <= base < region[1]), (0, 0))
    if not start:
        raise UnicornError("the processor's object isn't in the host's list of mappings")
    with OwnMemory() as memory:
        own = memory.read(base, min(_HANDLE_BYTES, end - base)).ljust(_HANDLE_BYTES, b"\0")
        words = struct.unpack(f"<{_HANDLE_BYTES // 8}Q", own)
        found: dict[int, int] = {}
        for word in dict.fromkeys(words):
            for start, end in regions:
                if start <= word < end:
                    data = memory.read(word, min(end - word, object_bytes))
                    position = data.find(pattern)
                    while position >= 0:
                        found[word + position] = max(word, found.get(word + position, 0))
                        position = data.find(pattern, position + 1)
    return found


class OwnMemory:
    """Reads this process's memory at addresses that may be nobody's any more.

    What lies behind the processor's object is whatever the host's allocators left there, among it addresses
    of memory that has been given back since, be it by what the list of mappings was read with. To follow one
    would end the process; the host's own file of the memory answers with an error.
    """

    __slots__ = ("descriptor",)

    def __init__(self) -> None:
        try:
            self.descriptor = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise UnicornError(f"this host doesn't let a process read its memory: {error}") from error

    def read(self, address: int, length: int) -> bytes:
        """Up to `length` bytes, as far as there is memory."""
        try:
            return os.pread(self.descriptor, length, address)
        except (OSError, OverflowError):
            return b""

    def __enter__(self) -> OwnMemory:
        return self

    def __exit__(self, *_error: object) -> None:
        os.close(self.descriptor)


def _writable_regions() -> list[tuple[int, int]]:
    try:
        with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
            lines = maps.readlines()
    except OSError as error:
        raise UnicornError(f"this host doesn't list a process's mappings: {error}") from error
    regions: list[tuple[int, int]] = []
    for line in lines:
        span, rights, *_ = line.split()
        if rights.startswith("rw-p"):
            first, _, past = span.partition("-")
            start, end = int(first, 16), int(past, 16)
            if regions and regions[-1][1] == start:
                # A child's heap is two mappings, what it inherited and by what it has grown, and an object
                # may lie across.
                start = regions.pop()[0]
            regions.append((start, end))
    return regions


def _offsets_holding(data: bytes, value: int, width: int) -> set[int]:
    needle = value.to_bytes(width, "little")
    offsets: set[int] = set()
    position = data.find(needle)
    while position >= 0:
        offsets.add(position)
        position = data.find(needle, position + 1)
    return offsets


def _find_offset(
    library: UnicornLibrary,
    handle: c_void_p,
    layout: StateLayout,
    register: int,
    probes: tuple[int, ...],
    width: int,
) -> int:
    candidates: set[int] | None = None
    for probe in probes:
        library.write_register(handle, register, probe)
        holding = _offsets_holding(layout.snapshot(), probe, width)
        candidates = holding if candidates is None else candidates & holding
    if not candidates or len(candidates) != 1:
        raise UnicornError(f"register {register} was found at {len(candidates or ())} offsets, not one")
    return candidates.pop()


def _find_wide(
    library: UnicornLibrary, handle: c_void_p, layout: StateLayout, register: int, width: int
) -> int:
    """The offset of a register wider than 64 bits; it is left zeroed."""
    probe = bytes(range(0x31, 0x31 + width))
    library.check(library.register_write(handle, register, ctypes.create_string_buffer(probe, width)))
    offset = layout.snapshot().find(probe)
    library.check(library.register_write(handle, register, ctypes.create_string_buffer(width)))
    if offset < 0:
        raise UnicornError(f"register {register} isn't in the processor's state")
    return offset


def _locate_x87(library: UnicornLibrary, handle: c_void_p, layout: StateLayout) -> None:
    """The x87 stack's top, status, tags and registers: the top is the status word's bits 11 to 13."""
    tops, statuses = None, None
    for top, flags in ((5, 0x4101), (3, 0x0144), (6, 0x4305)):
        library.write_register(handle, REG_FPSW, top << 11 | flags)
        data = layout.snapshot()
        window = range(max(0, layout.x87_control - 8), layout.x87_control)
        now_tops = {offset for offset in window if data[offset : offset + 4] == top.to_bytes(4, "little")}
        now_statuses = {
            offset for offset in window if data[offset : offset + 2] == flags.to_bytes(2, "little")
        }
        tops = now_tops if tops is None else tops & now_tops
        statuses = now_statuses if statuses is None else statuses & now_statuses
    library.write_register(handle, REG_FPSW, 0)
    library.write_register(handle, REG_FPTAG, 0x0000)
    before = layout.snapshot()
    library.write_register(handle, REG_FPTAG, 0xFFFF)
    after = layout.snapshot()
    difference = int.from_bytes(before, "little") ^ int.from_bytes(after, "little")
    bits = difference.to_bytes(layout.size, "little")
    changed = bits.strip(b"\0")
    if not tops or not statuses or len(tops) != 1 or len(statuses) != 1:
        raise UnicornError("the x87 status isn't where it can be told apart")
    if len(changed) != 8 or 0 in changed:
        raise UnicornError("the x87 tags aren't eight bytes in a row")
    layout.x87_top, layout.x87_status, layout.x87_tags = tops.pop(), statuses.pop(), bits.find(changed)
    layout.x87_registers = _find_wide(library, handle, layout, REG_ST0, 10)


DESCRIPTIONS = ("lar", "lsl", "verr", "verw")
"""What tells of descriptors: the library would read a table that no program's memory has."""
_ZERO_FLAG, _LOCAL, _DESCRIPTORS = 0x40, 4, 16


def describing_code(name: str, function: int, layout: StateLayout) -> bytes:
    """Code to call instead of the library's function for one of DESCRIPTIONS: (state, selector).

    Of no selector the function at `function` says that there's none, and works the flags out, of which only
    ZF changes.
    """
    told = [0] * _DESCRIPTORS
    for selector, (rights, limit) in USER_DESCRIPTORS.items():
        is_writable = rights & CODE_OR_WRITABLE == WRITABLE_DATA
        told[selector >> 3] = {"lar": rights + 1, "lsl": limit + 1, "verr": 1, "verw": int(is_writable)}[name]
    code = Assembly()
    code.add("57 56 4883ec08 31f6")  # push rdi; push rsi; sub rsp, 8; xor esi, esi
    code.add("48b8", q(function), b"\xff\xd0\x48\x83\xc4\x08\x5e\x5f")  # mov rax, ...; call; add; pop; pop
    code.add("0fb7f6 f7c6", d32(_LOCAL))  # movzx esi, si; test esi, _LOCAL
    code.jump("85", "none")  # jnz none
    code.add("c1ee03 81fe", d32(_DESCRIPTORS))  # shr esi, 3; cmp esi, ...
    code.jump("83", "none")  # jae none
    code.point("488d05", "told")  # lea rax, [rip + ...]
    code.add("488b04f0 4883e801")  # mov rax, [rax + rsi * 8]; sub rax, 1
    code.jump("82", "none")  # jb none
    code.add("48818f", d32(layout.flags_source), d32(_ZERO_FLAG), b"\xc3")  # or qword [rdi + ...], ...; ret
    code.label("none")
    code.add("31c0 c3")  # xor eax, eax; ret
    code.label("told")
    code.add("", *map(q, told))
    return code.finish()


class SegmentSelectors:
    """Those of es, ds, fs and gs in a processor whose `state` is laid out as `layout` says."""

    __slots__ = ("places", "words")

    def __init__(self, layout: StateLayout, state: memoryview) -> None:
        self.words = state.cast("I")
        first, second, third, fourth = [offset // 4 for offset in layout.selectors]
        self.places = first, second, third, fourth

    def read(self) -> int:
        """All of them, as `Registers.selectors` has them."""
        words, (first, second, third, fourth) = self.words, self.places
        if words[first] or words[second] or words[third] or words[fourth]:
            return sum([(words[at] & 0xFFFF) << 16 * place for place, at in enumerate(self.places)])
        return 0

    def write(self, selectors: int) -> None:
        """Load them, without the bases that come with segments."""
        words, loaded = self.words, loaded_selectors(selectors) if selectors else 0
        for place in self.places:
            words[place] = loaded & 0xFFFF
            loaded >>= 16


def locate_operand(layout: StateLayout, operand: bytes) -> None:
    """Find where the x87's operand beside st0 is, after an addition of `operand` to itself.

    Raises UnicornError.
    """
    data = layout.snapshot()
    found = data.find(operand)
    if found < 0 or data.find(operand, found + 1) >= 0:
        raise UnicornError("the x87's operand isn't where it can be told")
    layout.x87_operand = found


def locate_flags(layout: StateLayout, seen: list[bytes]) -> None:
    """Find where the library keeps flags, by the states after fcomi of a smaller, an equal and no number.

    Raises UnicornError.
    """
    found = [
        offset
        for offset in range(0, layout.floating_start, 8)
        if [int.from_bytes(data[offset : offset + 8], "little") & ~_OTHER_FLAGS for data in seen]
        == [0x01, 0x40, 0x45]
    ]
    if len(found) != 1:
        raise UnicornError(f"the flags after a comparison were found at {len(found)} offsets, not one")
    layout.flags_source = found[0]


def locate_mode(layout: StateLayout, code_selector: int, stack_selector: int) -> None:
    """Find what makes up user mode, while the processor is in it with these selectors. Raises UnicornError.

    The segments are ES, CS, SS, DS, FS and GS, each with its selector 8 bytes before its base; before them
    are the flags, with the privilege level in the lowest two bits.
    """
    stride = layout.gs_base - layout.fs_base
    first = layout.fs_base - 8 - 4 * stride
    data = layout.snapshot()
    selectors = [int.from_bytes(data[first + n * stride :][:4], "little") for n in range(6)]
    if selectors != [0, code_selector, stack_selector, 0, 0, 0] or data[first - 8] & 3 != 3:
        raise UnicornError(f"the segments aren't where they should be: {selectors}")
    layout.selectors = [first + SEGMENT_NUMBERS[name] * stride for name in DATA_SEGMENTS]
    layout.mode_start, layout.mode_end = first - 8, first + 6 * stride


def locate_mark(data: list[bytes], start: int, end: int) -> int:
    """The offset, from `start` up to `end`, of the byte in which exceptions of one kind are noted.

    `data` is the state's bytes with no exception noted, after an overflow, which is inexact, and after an
    invalid operation too. Raises UnicornError.
    """
    before, overflowed, invalid = data
    found = [
        offset
        for offset in range(start, end)
        if (before[offset], overflowed[offset], invalid[offset]) == (0, 0x28, 0x29)
    ]
    if len(found) != 1:
        raise UnicornError(
            f"where floating-point exceptions are noted was found at {len(found)} offsets, not one"
        )
    return found[0]


def locate_flush(layout: StateLayout, before: bytes, after: bytes) -> None:
    """Find where the library notes that SSE's tiny results become zero, which it never does by itself.

    The note that operands do stands behind it: `before` is the state without DAZ, `after` with it in MXCSR.
    Raises UnicornError.
    """
    changed = [
        offset
        for offset in range(layout.x87_registers + 128, layout.mxcsr)
        if (before[offset], after[offset]) == (0, 1)
    ]
    if len(changed) != 1:
        raise UnicornError(f"what DAZ changes was found at {len(changed)} offsets, not one")
    layout.sse_flush = changed[0] - 1


def locate_exception_fields(layout: StateLayout, observe: Callable[[], list[tuple[int, int, bytes]]]) -> None:
    """Find the fields that describe an exception.

    `observe` provokes exceptions and gives for each its vector, the error code that the processor must
    have pushed, and the state's bytes as they were in the hook. The last one is an `int` instruction, which
    the word after the error code tells from a fault. Raises UnicornError.
    """
    observations = observe()
    # The last fault's numbers are rare: few words have these.
    *faults, (vector, error_code, data) = observations[:-1]
    words = memoryview(data).cast("I").tolist()
    codes = [index for index, word in enumerate(words) if word == error_code]
    previous = [index for index, word in enumerate(words) if word == vector]
    for vector, error_code, data in faults:
        view = memoryview(data).cast("I")
        codes = [index for index in codes if view[index] == error_code]
        previous = [index for index in previous if view[index] == vector]
    if len(codes) != 1 or len(previous) != 1:
        raise UnicornError(
            f"an exception's error code and vector were found at {len(codes)} and {len(previous)} offsets, "
            "not one each"
        )
    layout.error_code, layout.old_exception = 4 * codes[0], 4 * previous[0]
    software = layout.error_code // 4 + 1
    told = [memoryview(data).cast("I")[software] for _, _, data in observations]
    if told != [0] * (len(told) - 1) + [1]:
        raise UnicornError("what tells an interrupt from a fault isn't where it should be")
