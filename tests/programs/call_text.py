"""System calls as text for `fuzz_calls.c`, made from their declarations: a new call is fuzzed by itself.

A line is a call's number and a word for each of its arguments: a letter for its kind, then values in
hexadecimal: a structure's are the widths of its fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, get_args

from procession.abi import internet, ioctls, netlink, socket
from procession.abi.enumeration import Enumeration
from procession.abi.structure import Structure
from procession.syscalls import load_all
from procession.syscalls.declaration import TABLE, Parameter, SystemCall
from procession.syscalls.parameters import ARRAY, IntegerLayout, StructureLayout

LEFT_OUT = {"exit", "exit_group", "rt_sigreturn", "reboot"}
"""What would end a process or the machine at once; fuzz_frames.c has frames of its own."""
PADDING, POINTER = 0x100, 0x200
"""Flags beside a width: no field, and a field that is a pointer."""
SIGNAL_SET_SIZE = 8
LETTERS = {
    "fd": "d",
    "signal": "s",
    "path": "p",
    "string_array": "S",
    "in_vector": "v",
    "out_vector": "v",
    "size": "z",
} | dict.fromkeys(
    (
        "address",
        "in_buffer",
        "out_buffer",
        "socket_address",
        "out_socket_address",
        "option_value",
        "out_option_value",
    ),
    "a",
)


def members(*kinds: type) -> list[int]:
    return sorted({int(member) for kind in kinds if isinstance(kind, Enumeration) for member in kind})


def members_of(module: Any, ending: str) -> list[int]:
    """The numbers of a module's enumerations whose names end so."""
    return members(*(kind for name, kind in vars(module).items() if name.endswith(ending)))


# What the declarations don't say: arguments whose meaning hangs on another one's.
WITHOUT_CLASS = {
    ("ioctl", "request"): members_of(ioctls, "Ioctl"),
    ("setsockopt", "name"): [
        number for module in (socket, internet, netlink) for number in members_of(module, "Option")
    ],
    ("getsockopt", "name"): [
        number for module in (socket, internet, netlink) for number in members_of(module, "Option")
    ],
}


def hexadecimal(values: Iterable[int]) -> str:
    return ",".join(f"{value & (1 << 64) - 1:x}" for value in values)


def widths_of(structure: type[Structure]) -> Iterator[int]:
    """The width in bytes of each field of a structure."""
    offset = 0
    annotations = {
        field: text
        for base in reversed(structure.__mro__)
        for field, text in vars(base).get("__annotations__", {}).items()
    }
    for field, kind in structure._layout:
        start = structure.OFFSETS[field]
        if start > offset:
            yield start - offset | PADDING
        if kind.structure is not None:
            yield from widths_of(kind.structure)
        elif kind.count:
            yield from [kind.size // kind.count] * kind.count
        elif annotations[field] == "Pointer":
            yield kind.size | POINTER
        else:
            full, rest = divmod(kind.size, 8)
            yield from [8] * full
            if rest:
                yield rest
        offset = start + kind.size
    while offset < structure.SIZE:
        padding = min(structure.SIZE - offset, 0xF8)
        yield padding | PADDING
        offset += padding


def argument_text(call: SystemCall, parameter: Parameter) -> str:
    """The word for one argument."""
    layout = parameter.layout
    if isinstance(layout, StructureLayout):
        letter = "T" if ARRAY in get_args(parameter.annotation) else "t"
        return letter + hexadecimal(widths_of(layout.structure))
    if isinstance(layout, IntegerLayout):
        return "t" + hexadecimal((layout.SIZE,))
    assert parameter.kind is not None
    name = parameter.kind.name
    values = WITHOUT_CLASS.get((call.name, parameter.name))
    if values is None:
        values = members(*(get_args(parameter.annotation) or (parameter.annotation,)))
    if name == "size":
        sizes = {other.layout.SIZE for other in call.parameters if other.layout is not None}
        return "z" + hexadecimal(sorted(sizes | {SIGNAL_SET_SIZE} if sizes else sizes))
    if values:
        return (
            "e" if name == "choice" or (call.name, parameter.name) in WITHOUT_CLASS else "m"
        ) + hexadecimal(values)
    return LETTERS.get(name, "n")


def call_text(call: SystemCall) -> str:
    """The line for a call."""
    return " ".join([str(call.number), *(argument_text(call, parameter) for parameter in call.parameters)])


def all_calls() -> list[SystemCall]:
    """Every declared call that may be made at random."""
    load_all()
    return [call for call in TABLE if call is not None and call.name not in LEFT_OUT]


def descriptions(calls: Iterable[SystemCall]) -> bytes:
    """What fuzz_calls.c reads."""
    return "".join(f"{call_text(call)}\n" for call in calls).encode()
