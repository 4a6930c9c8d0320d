"""The arguments of a system call as strace writes them: when it's entered, and when it has returned."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, cast, get_args

from procession.abi.clone_flags import CSIGNAL
from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.limits import PATH_MAX
from procession.abi.socket import Msghdr
from procession.abi.structure import Structure
from procession.fs.namei import address_of_unreadable
from procession.mm.peek import peek
from procession.syscalls.parameters import ARRAY, InOut, Out, Pointer, SizedIn
from procession.trace.memory import buffer_text, int_at, sized_structure_text, string_array_text, vector_text
from procession.trace.socket import (
    message_length_text,
    message_text,
    option_text,
    option_value_text,
    socket_address_text,
)
from procession.trace.spelling import (
    SPELT_AT_ENTRY,
    Spelling,
    changed_text,
    text_at_return,
)
from procession.trace.values import (
    LIST_LIMIT,
    address_text,
    choice_text,
    descriptor_text,
    flags_text,
    list_text,
    mode_text,
    names_of,
    quoted,
    signal_name,
    signal_set_text,
    structure_text,
    wait_status_text,
)

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor
    from procession.syscalls.declaration import Parameter, SystemCall


_Form = Callable[["Task", tuple[Any, ...]], "str | None"]
"""Gives the text of one argument when the call starts, from all of them; None when it holds nothing yet."""


def arguments_at_entry(task: Task, call: SystemCall, arguments: tuple[Any, ...]) -> list[str | None]:
    """The arguments as they are when the call starts; None for what holds nothing yet."""
    return texts_at_entry(_forms(call), task, arguments)


def texts_at_entry(forms: tuple[_Form, ...], task: Task, arguments: tuple[Any, ...]) -> list[str | None]:
    """What each of `forms` makes of the arguments."""
    texts = []
    # This is done for each traced call: a loop is less than a comprehension's function.
    for form in forms:
        texts.append(form(task, arguments))
    return texts


@cache
def ways_at_entry(call: SystemCall) -> tuple[tuple[_Form, ...], Spelling | None]:
    """What `texts_at_entry` takes for a call, and who makes strace's of its texts, if they aren't those."""
    return _forms(call), SPELT_AT_ENTRY.get(call.name)


@cache
def _changes_arguments(call: SystemCall) -> bool:
    """Whether a call may write where arguments point that are shown at its entry already."""
    return call.name == "clone3" or any(each.pointer in (InOut, Out) for each in call.parameters)


@cache
def _forms(call: SystemCall) -> tuple[_Form, ...]:
    """How each argument of `call` is written at its entry, made out of the declaration."""
    return tuple(
        _pointer_form(parameter, position)
        if parameter.kind is None
        else _kind_form(parameter.kind.name, parameter.annotation, position)
        for position, parameter in enumerate(call.parameters)
    )


def _kind_form(kind: str, annotation: Any, position: int) -> _Form:
    sized = _SIZED_KINDS.get(kind)
    if kind in OUTPUT_KINDS:
        return lambda task, arguments: None
    if sized is not None:
        return lambda task, arguments: sized(task.mm, arguments[position], arguments[position + 1])
    if kind == "option_name":
        return lambda task, arguments: option_text(arguments[position - 1], arguments[position])
    if kind in ("path", "string_array", *_NAMED_KINDS):
        return lambda task, arguments: scalar_text(task.mm, kind, annotation, arguments[position])
    plain = PLAIN_KINDS.get(kind, str)
    return lambda task, arguments: plain(arguments[position])


def _pointer_form(parameter: Parameter, position: int) -> _Form:
    if parameter.pointer is Out:
        return lambda task, arguments: None
    if parameter.pointer is SizedIn:
        return lambda task, arguments: sized_structure_text(
            task.mm, parameter.annotation, arguments[position].address, arguments[position + 1]
        )
    return lambda task, arguments: pointer_text(parameter, arguments[position], arguments[position + 1 :])


def texts_at_end(
    call: SystemCall, task: Task, arguments: tuple[Any, ...], texts: list[str | None], result: int
) -> list[str]:
    """The arguments as they are when the call has ended; `texts` is what was to be seen at entry.

    `result` is what the call returned, negative when it failed.
    """
    if not texts:
        return []
    if not _changes_arguments(call):
        known = [text for text in texts if text is not None]
        if len(known) == len(texts):
            return known
    return [
        _argument_at_return(call, task, arguments, position, text, result)
        for position, text in enumerate(texts)
    ]


def _argument_at_return(
    call: SystemCall,
    task: Task,
    arguments: tuple[Any, ...],
    position: int,
    text: str | None,
    result: int,
) -> str:
    """One argument of `texts_at_end`."""
    parameters, mm = call.parameters, task.mm
    if text is None:
        own = text_at_return(call.name, task, arguments, position, result)
        if own is not None:
            return own
    elif (changed := changed_text(call.name, task, arguments, position, result)) is not None:
        return text[:-1] + changed
    elif position >= len(parameters) or call.name in ("clone", "poll", "ppoll", "select", "pselect6"):
        return text
    parameter, argument = parameters[position], arguments[position]
    if parameter.kind is not None:
        if text is not None:
            return text
        if result < 0:
            return address_text(argument)
        kind = parameter.kind.name
        if kind == "out_buffer":
            return buffer_text(mm, argument, result)
        if kind == "out_socket_address":
            return socket_address_text(mm, argument, int_at(mm, arguments[position + 1].address))
        if kind == "out_option_value":
            return option_value_text(mm, argument, int_at(mm, arguments[position + 1].address))
        return vector_text(mm, argument, arguments[position + 1], result)
    if isinstance(argument, Out):
        if result < 0:
            if parameter.annotation is Msghdr:
                return message_length_text(mm, argument.address)
            return address_text(argument.address)
        # As many as the call returned.
        return pointer_text(parameter, argument, (result,))
    assert text is not None
    if isinstance(argument, InOut) and result >= 0:
        after = pointer_text(parameter, argument, arguments[position + 1 :])
        if after == text:
            return text
        if text.startswith("[") and after.startswith("["):
            return f"{text[:-1]} => {after[1:]}"
        return f"{text} => {after}"
    return text


def scalar_text(mm: MemoryDescriptor, kind: str, annotation: Any, value: Any) -> str:
    """A path, a list of strings, or a number that the declaration has names for."""
    if kind == "path":
        if value is None:
            return "NULL"
        address = address_of_unreadable(value)
        return quoted(value, PATH_MAX) if address is None else hex(address)
    if kind == "string_array":
        return string_array_text(mm, value)
    return named_numbers_text(kind, annotation, value)


_NAMED_KINDS = ("flags", "choice", "choice_and_flags", "flags_and_signal")
_SIZED_KINDS: dict[str, Callable[[MemoryDescriptor, int, int], str]] = {
    "in_buffer": buffer_text,
    "in_vector": vector_text,
    "socket_address": socket_address_text,
    "option_value": option_value_text,
}
"""What lies in memory and whose length the next argument tells."""
OUTPUT_KINDS = ("out_buffer", "out_option_value", "out_socket_address", "out_vector")
"""What holds something only when the call has ended."""
PLAIN_KINDS: dict[str, Callable[[int], str]] = {
    "address": address_text,
    "fd": descriptor_text,
    "mode": mode_text,
    "creation_mode": lambda mode: mode_text(mode) if mode else "",
    "signal": signal_name,
}


@lru_cache(4096)
def named_numbers_text(kind: str, names: Any, value: int) -> str:
    """Flags or a choice by the names of the enumeration that the declaration gives."""
    if kind == "choice_and_flags":
        choices, flags = get_args(names)
        bits = sum(names_of(flags)) & value
        return "|".join((choice_text(choices, value & ~bits), *([flags_text(flags, bits)] if bits else [])))
    if not (isinstance(names, type) and issubclass(names, IntEnum | IntFlag)):
        return f"{value:#x}"
    if not issubclass(names, IntFlag):
        return choice_text(names, value)
    if kind != "flags_and_signal":
        return flags_text(names, value)
    signal = value & CSIGNAL
    parts = [flags_text(names, value & ~CSIGNAL)] if value & ~CSIGNAL or not signal else []
    if signal:
        parts.append(signal_name(signal))
    return "|".join(parts)


def pointer_text(parameter: Parameter, pointer: Pointer[Any], following: tuple[Any, ...]) -> str:
    """What a pointer points at, or the address if that can't be read; `following` are the next arguments."""
    if not pointer:
        return "NULL"
    layout = pointer.layout
    if parameter.annotation is Msghdr:
        received = following[0] if isinstance(pointer, Out) else None
        return message_text(cast("MemoryDescriptor", pointer.memory), pointer.address, received)
    meaning = get_args(parameter.annotation)[1:]
    is_array = ARRAY in meaning
    count = min(max(following[0], 0), LIST_LIMIT + 1) if is_array else 1
    # A declared pointer's memory is the calling task's.
    data = peek(cast("MemoryDescriptor", pointer.memory), pointer.address, layout.SIZE * count)
    if len(data) < layout.SIZE * count:
        return address_text(pointer.address)
    if is_array:
        starts = range(0, len(data), layout.SIZE)
        return list_text(structure_text(layout.unpack(data[start : start + layout.SIZE])) for start in starts)
    value = layout.unpack(data)
    if isinstance(value, Structure):
        return structure_text(value)
    if "wait_status" in meaning:
        return f"[{wait_status_text(value)}]"
    if "signal_set" in meaning:
        return signal_set_text(value)
    return f"[{value}]"
