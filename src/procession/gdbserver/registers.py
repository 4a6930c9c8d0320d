"""A task's registers as the target description lists them, and that description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.word import pack_u32, pack_u64, wrap_signed
from procession.hardware.extended_state import UnloadableState, canonical, with_fxsave_area
from procession.hardware.page_table import USER_END
from procession.hardware.registers import NUMBERS, set_register
from procession.kernel.user_registers import SETTABLE_FLAGS

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_GENERAL = (
    *("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip"),
)
"""In the order of gdb's own description."""
_SEGMENTS = ("cs", "ss", "ds", "es", "fs", "gs")
_POINTERS = {"rbp": "data_ptr", "rsp": "data_ptr", "rip": "code_ptr"}
_CONTROL = ("fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop")
_X87, _SSE, _MXCSR = 32, 160, 24
"""Where in an FXSAVE image they are."""

_CORE = "".join(
    f'<reg name="{name}" bitsize="64" type="{_POINTERS.get(name, "int64")}"/>' for name in _GENERAL
)
_FLAGS = (
    '<flags id="i386_eflags" size="4">'
    '<field name="CF" start="0" end="0"/><field name="" start="1" end="1"/>'
    '<field name="PF" start="2" end="2"/><field name="AF" start="4" end="4"/>'
    '<field name="ZF" start="6" end="6"/><field name="SF" start="7" end="7"/>'
    '<field name="TF" start="8" end="8"/><field name="IF" start="9" end="9"/>'
    '<field name="DF" start="10" end="10"/><field name="OF" start="11" end="11"/></flags>'
)
TARGET_DESCRIPTION = (
    '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>'
    "<architecture>i386:x86-64</architecture><osabi>GNU/Linux</osabi>"
    f'<feature name="org.gnu.gdb.i386.core">{_FLAGS}{_CORE}'
    '<reg name="eflags" bitsize="32" type="i386_eflags"/>'
    + "".join(f'<reg name="{name}" bitsize="32" type="int32"/>' for name in _SEGMENTS)
    + "".join(f'<reg name="st{number}" bitsize="80" type="i387_ext"/>' for number in range(8))
    + "".join(f'<reg name="{name}" bitsize="32" type="int" group="float"/>' for name in _CONTROL)
    + '</feature><feature name="org.gnu.gdb.i386.sse">'
    '<vector id="v4f" type="ieee_single" count="4"/><vector id="v2d" type="ieee_double" count="2"/>'
    '<vector id="v16i8" type="int8" count="16"/><vector id="v8i16" type="int16" count="8"/>'
    '<vector id="v4i32" type="int32" count="4"/><vector id="v2i64" type="int64" count="2"/>'
    '<union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/>'
    '<field name="v16_int8" type="v16i8"/><field name="v8_int16" type="v8i16"/>'
    '<field name="v4_int32" type="v4i32"/><field name="v2_int64" type="v2i64"/>'
    '<field name="uint128" type="uint128"/></union>'
    + "".join(f'<reg name="xmm{number}" bitsize="128" type="vec128"/>' for number in range(16))
    + '<reg name="mxcsr" bitsize="32" type="int" group="vector"/></feature>'
    '<feature name="org.gnu.gdb.i386.linux"><reg name="orig_rax" bitsize="64" type="int"/></feature>'
    '<feature name="org.gnu.gdb.i386.segments"><reg name="fs_base" bitsize="64" type="int"/>'
    '<reg name="gs_base" bitsize="64" type="int"/></feature></target>'
)


def _layout() -> list[tuple[str, int]]:
    """Each register's name and size in bytes, in the order of the description."""
    names = [(name, 8) for name in _GENERAL] + [("eflags", 4)]
    names += [(name, 4) for name in _SEGMENTS]
    names += [(f"st{number}", 10) for number in range(8)] + [(name, 4) for name in _CONTROL]
    names += [(f"xmm{number}", 16) for number in range(16)]
    return [*names, ("mxcsr", 4), ("orig_rax", 8), ("fs_base", 8), ("gs_base", 8)]


LAYOUT = _layout()


def all_registers(kernel: Kernel, task: Task) -> bytes:
    """All of them in the order of the description."""
    return b"".join(register_value(kernel, task, number) for number in range(len(LAYOUT)))


def register_value(kernel: Kernel, task: Task, number: int) -> bytes:
    """One register's bytes, b"" for a number that none has."""
    if not 0 <= number < len(LAYOUT):
        return b""
    name, _ = LAYOUT[number]
    registers = kernel.registers_of(task)
    general = NUMBERS.get(name)
    if general is not None:
        return pack_u64(registers.general[general])
    if name == "eflags":
        return pack_u32(registers.rflags)
    if name in _SEGMENTS:
        return pack_u32(registers.selector(name))
    if name == "orig_rax":
        return pack_u64(task.call_in_progress)
    if name == "fs_base":
        return pack_u64(registers.fs_base)
    if name == "gs_base":
        return pack_u64(registers.gs_base)
    return _floating_value(registers.extended_state, name)


def _floating_value(image: bytes, name: str) -> bytes:
    if name.startswith("st"):
        start = _X87 + 16 * int(name[2:])
        return image[start : start + 10]
    if name.startswith("xmm"):
        start = _SSE + 16 * int(name[3:])
        return image[start : start + 16]
    if name == "mxcsr":
        return image[_MXCSR : _MXCSR + 4]
    words = {"fctrl": (0, 2), "fstat": (2, 2), "fop": (6, 2), "fioff": (8, 4), "fooff": (16, 4)}
    if name == "ftag":
        return pack_u32(_full_tag(image[4]))
    start, size = words.get(name, (0, 0))
    return image[start : start + size].ljust(4, b"\0")


def _full_tag(short: int) -> int:
    """The tag word of FSAVE from FXSAVE's: 3 for an empty register, 0 for others."""
    return sum(0 if short >> number & 1 else 3 << 2 * number for number in range(8))


def set_register_value(kernel: Kernel, task: Task, number: int, value: bytes) -> bool:
    """Set one register; whether that can be."""
    if not 0 <= number < len(LAYOUT):
        return False
    name, size = LAYOUT[number]
    if len(value) != size:
        return False
    registers = kernel.registers_of(task)
    as_number = int.from_bytes(value, "little")
    general = NUMBERS.get(name)
    if general is not None:
        set_register(registers.general, general, as_number)
        if name == "rip":
            # A call that was interrupted isn't made again somewhere else.
            task.call_number = -1
    elif name == "eflags":
        registers.rflags = registers.rflags & ~SETTABLE_FLAGS | as_number & SETTABLE_FLAGS
    elif name in _SEGMENTS:
        return as_number == registers.selector(name)
    elif name == "orig_rax":
        task.call_number = wrap_signed(as_number, 64)
    elif name in ("fs_base", "gs_base"):
        if as_number >= USER_END:
            return False
        setattr(registers, name, as_number)
    elif not _set_floating(kernel, task, name, value):
        return False
    kernel.registers_changed(task)
    return True


def _set_floating(kernel: Kernel, task: Task, name: str, value: bytes) -> bool:
    registers = kernel.registers_of(task)
    image = bytearray(registers.extended_state)
    places = {
        **{f"st{number}": (_X87 + 16 * number, 10) for number in range(8)},
        **{f"xmm{number}": (_SSE + 16 * number, 16) for number in range(16)},
        **{"mxcsr": (_MXCSR, 4), "fctrl": (0, 2), "fstat": (2, 2), "fop": (6, 2)},
    }
    place = places.get(name)
    if place is None:
        # What nothing here keeps is as it was.
        return True
    start, size = place
    image[start : start + size] = value[:size]
    try:
        registers.floating = canonical(with_fxsave_area(registers.extended_state, bytes(image)))
    except UnloadableState:
        return False
    return True
