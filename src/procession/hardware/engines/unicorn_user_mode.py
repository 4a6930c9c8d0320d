"""How Unicorn's processor is brought to user mode, and what it does there shows where its fields are."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_uint32
from functools import partial
from itertools import pairwise
from struct import unpack_from
from typing import TYPE_CHECKING

from procession.hardware import page_table as pte
from procession.hardware.engines import unicorn_library as uc
from procession.hardware.engines.unicorn_library import UnicornError
from procession.hardware.engines.unicorn_machine_code import MISALIGNED
from procession.hardware.engines.unicorn_meter import CALL_PROBE
from procession.hardware.engines.unicorn_state import (
    SegmentSelectors,
    locate_exception_fields,
    locate_flags,
    locate_flush,
    locate_mark,
    locate_mode,
    locate_operand,
)
from procession.hardware.engines.unicorn_unknown import NOWHERE
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from procession.hardware.registers import RAX, RIP, USER_CS, USER_DS

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn import UnicornEngine

_EFER, _STAR = 0xC0000080, 0xC0000081
_EFER_VALUE = 1 | 1 << 8 | 1 << 10 | 1 << 11  # SCE, LME, LMA, NXE
_CR0_VALUE = 1 | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 16 | 1 << 18 | 1 << 31  # PE, MP, ET, NE, WP, AM, PG
_CR4_VALUE = 1 << 2 | 1 << 5 | 1 << 9 | 1 << 10  # TSD, PAE, OSFXSR, OSXMMEXCPT
_STAR_VALUE = (USER_CS - 16) << 48 | 0x10 << 32  # sysret then loads cs and ss as Linux's are

_TABLES = (
    (uc.REG_GDTR, 0, 0xFFFF_FFFF_FFFE_0000),
    (uc.REG_IDTR, 0, 0xFFFF_FFFF_FFFF_0000),
    (uc.REG_TR, 0x40, 0),
)
"""What Linux lets user mode read in their place (arch/x86/kernel/umip.c)."""
_ZERO_OPERANDS = 0x1FC0
"""MXCSR with everything masked, and denormal operands taken for zero (DAZ)."""
_BOOT_CODE = bytes.fromhex("480f07")  # sysretq
_PROBE_CODE = bytes.fromhex(
    "31c9"  # xor ecx, ecx
    "f7f1"  # div ecx                     #DE
    "8803"  # mov [rbx], al               #PF: write to an absent page
    "8a03"  # mov al, [rbx]               #PF: read of an absent page
    "880424"  # mov [rsp], al             #PF: write to a read-only page
    "ffe4"  # jmp rsp                     #PF: fetch from a page without execute rights
    "cd21"  # int 0x21
    "0f284301"  # movaps xmm0, [rbx + 1]  #GP: not aligned
)
# dpps of the largest number with itself, then of what came of that with 0: where the pieces begin and end,
# and their code.
_SSE_PROBE = (
    (0x2100, 0x210F, "b8ffff7f7f 660f6ec0 660f3a40c011"),
    (0x2110, 0x2119, "0f57c9 660f3a40c111"),
)
_LOAD_PROBE = (0x2130, 0x2132, "8a03")  # mov al, [rbx]
_CALL_PROBE = (0x2140, 0x2145, CALL_PROBE)
_OPERAND_PROBE = (0x2150, 0x2154, "d9eb d8c0")  # fldpi; fadd st0, st0
# 0 with 1, with itself, and 0 / 0 with itself, by fcomi
_FLAGS_PROBE = ((0x2160, 0x2166, "d9e8 d9ee dbf1"), (0x2168, 0x216A, "dbf0"), (0x2170, 0x2174, "d8f0 dbf0"))
_PI = bytes.fromhex("35c26821a2da0fc90040")
_LENT_FRAMES, _OTHER_CONTENTS = 8, b"\x5a"


@contextmanager
def lent_frames(memory: PhysicalMemory) -> Iterator[range]:
    """Frames of zeros, which get back what they held. When the processor is opened, all may be handed out."""
    first, end = PAGE_SIZE, PAGE_SIZE * (1 + _LENT_FRAMES)
    held = memory.bytes[first:end]
    memory.bytes[first:end] = bytes(end - first)
    try:
        yield range(1, 1 + _LENT_FRAMES)
    finally:
        memory.bytes[first:end] = held


def enter_user_mode(engine: UnicornEngine, frames: range) -> None:
    """Run `sysretq` from a page of its own, then provoke the faults that tell where their fields are.

    `frames` are _LENT_FRAMES that hold zeros.
    """
    library, handle, memory = engine.library, engine.handle, engine.memory
    tables, [code, stack, boot, other] = frames[:4], frames[4:]
    root, words = tables[0], memory.words
    for upper, lower in pairwise(tables):
        words[upper << 9] = lower << PAGE_SHIFT | pte.TABLE
    probes = bytearray(_PROBE_CODE.ljust(PAGE_SIZE, b"\0"))
    for start, end, text in (*_SSE_PROBE, *_FLAGS_PROBE, _OPERAND_PROBE, _LOAD_PROBE, _CALL_PROBE):
        probes[start & PAGE_MASK : end & PAGE_MASK] = bytes.fromhex(text)
    for frame, contents in ((code, probes), (boot, _BOOT_CODE), (other, _OTHER_CONTENTS)):
        start = frame << PAGE_SHIFT
        memory.bytes[start : start + len(contents)] = contents
    words[(tables[3] << 9) + 1] = boot << PAGE_SHIFT | pte.PRESENT | pte.USER | pte.ACCESSED
    words[(tables[3] << 9) + 2] = code << PAGE_SHIFT | pte.PRESENT | pte.USER | pte.ACCESSED
    words[(tables[3] << 9) + 3] = stack << PAGE_SHIFT | pte.PRESENT | pte.USER | pte.NO_EXECUTE
    library.write_msr(handle, _EFER, _EFER_VALUE)
    library.write_msr(handle, _STAR, _STAR_VALUE)
    library.write_register(handle, uc.REG_CR4, _CR4_VALUE)
    library.write_register(handle, uc.REG_CR3, root << PAGE_SHIFT)
    library.write_register(handle, uc.REG_CR0, _CR0_VALUE)
    for register, selector, address in _TABLES:
        library.check(library.register_write(handle, register, byref(uc.SystemTable(selector, address))))
    library.write_register(handle, uc.REG_RCX, 0x2000)
    library.write_register(handle, uc.REG_R8 + 3, 0x202)
    library.check(library.emulate(handle, 0x1000, 0x2000, 0, 0))
    if engine.general[RIP] != 0x2000:
        raise UnicornError(f"sysret ended at {engine.general[RIP]:#x}")
    locate_mode(engine.layout, USER_CS, USER_DS)
    engine.mode = engine.state[engine.layout.mode_start : engine.layout.mode_end]
    engine.user_mode = bytes(engine.mode)
    engine.selectors = SegmentSelectors(engine.layout, engine.state)
    engine.mode_index = engine.layout.mode_start // 4
    engine.user_mode_flags = engine.words32[engine.mode_index]
    locate_exception_fields(engine.layout, partial(_observe_exceptions, engine))
    _locate_marks(engine)
    library.check(library.emulate(handle, *_CALL_PROBE[:2], 0, 0))
    engine.priced.count(library, engine.layout)
    engine.edges.count(engine.layout)
    engine.old_exception_index = engine.layout.old_exception // 4
    engine.error_code_index = engine.layout.error_code // 4
    engine.words32[engine.old_exception_index] = 0xFFFFFFFF
    engine.words32[engine.error_code_index] = 0
    if _flushes_pages(engine, words, (tables[3] << 9) + 3, other):
        engine.flush_page = library.flush_page


def _flushes_pages(engine: UnicornEngine, words: memoryview, slot: int, other: int) -> bool:
    """Whether one page's translation can be dropped: read a page, move it to frame `other`, and read it
    again.

    The library's own function is called with its own object, which knows where its state is.
    """
    library, layout = engine.library, engine.layout
    head = ctypes.string_at(layout.holder, layout.address - layout.holder)
    words_of_head = unpack_from(f"<{len(head) // 8}Q", head)
    if library.flush_page is None or layout.address not in words_of_head:
        return False
    idle = bytes(layout.snapshot())

    def read() -> int:
        library.write_register(engine.handle, uc.REG_RBX, 0x3000)
        library.check(library.emulate(engine.handle, *_LOAD_PROBE[:2], 0, 0))
        return engine.general[RAX] & 0xFF

    first, entry = read(), words[slot]
    words[slot] = other << PAGE_SHIFT | entry & ~pte.ADDRESS_MASK
    library.flush_page(layout.holder, 0x3000)
    second = read()
    ctypes.memmove(layout.address, idle, len(idle))
    words[slot] = entry
    return (first, second) == (0, *_OTHER_CONTENTS)


def _locate_marks(engine: UnicornEngine) -> None:
    """See where the library notes exceptions of SSE, of what is left to it."""
    layout = engine.layout
    idle = layout.snapshot()
    after_x87 = layout.x87_registers + 128

    def observe(probe: tuple[tuple[int, int, str], ...]) -> list[bytes]:
        seen = [idle]
        for start, end, _ in probe:
            engine.library.check(engine.library.emulate(engine.handle, start, end, 0, 0))
            seen.append(layout.snapshot())
        ctypes.memmove(layout.address, idle, len(idle))
        return seen

    layout.sse_mark = locate_mark(observe(_SSE_PROBE), after_x87, layout.mxcsr)
    engine.library.check(engine.library.emulate(engine.handle, *_OPERAND_PROBE[:2], 0, 0))
    locate_operand(layout, _PI)
    engine.library.register_write(engine.handle, uc.REG_MXCSR, byref(c_uint32(_ZERO_OPERANDS)))
    locate_flush(layout, idle, layout.snapshot())
    locate_flags(layout, observe(_FLAGS_PROBE)[1:])
    ctypes.memmove(layout.address, idle, len(idle))


def _observe_exceptions(engine: UnicornEngine) -> list[tuple[int, int, bytes]]:
    library, handle = engine.library, engine.handle
    seen: list[tuple[int, bytes]] = []

    def interrupted(_handle: object, vector: int, _data: object) -> None:
        seen.append((vector, engine.layout.snapshot()))
        library.stop(handle)

    callback = uc.INTERRUPT_CALLBACK(interrupted)
    engine.callbacks.append(callback)
    hook = library.add_hook(handle, uc.HOOK_INTR, callback)
    idle = bytes(engine.layout.snapshot())
    observations: list[tuple[int, int, bytes]] = []
    expected = (
        (0x2002, 0, 0),
        (0x2004, 14, 6),
        (0x2006, 14, 4),
        (0x2008, 14, 7),
        (0x200B, 14, 0x15),
        (0x200D, 0x21, 0),
        (0x200F, MISALIGNED, 0),
    )
    for start, vector, error_code in expected:
        library.write_register(handle, uc.REG_RBX, 0x5000)
        library.write_register(handle, uc.REG_RCX, 0)
        library.write_register(handle, uc.REG_RSP, 0x3100)
        # What an earlier exception left would make a double fault of this one.
        ctypes.memmove(engine.layout.address, idle, len(idle))
        library.write_register(handle, uc.REG_RBX, 0x5000)
        library.write_register(handle, uc.REG_RSP, 0x3100)
        library.emulate(handle, start, NOWHERE, 0, 0)
        if not seen or seen[-1][0] != vector:
            raise UnicornError(f"the instruction at {start:#x} didn't raise exception {vector}")
        observations.append((vector, error_code, seen.pop()[1]))
    library.check(library.hook_delete(handle, hook))
    engine.callbacks.remove(callback)
    ctypes.memmove(engine.layout.address, idle, len(idle))
    # The last one only shows that alignment is demanded.
    return observations[:-1]
