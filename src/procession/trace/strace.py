"""System calls as strace prints them, made from their declarations alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO, cast, get_args

from procession.abi.clone_flags import CSIGNAL
from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.errno import BY_NUMBER, ENOSYS, Errno
from procession.abi.limits import PATH_MAX
from procession.abi.signal_frame import Ucontext
from procession.abi.signals import Signal, SignalCode
from procession.abi.socket import Msghdr
from procession.abi.structure import Structure
from procession.abi.syscall_numbers import name_of
from procession.abi.wait_options import CORE_DUMPED, ChildCode
from procession.fs.namei import address_of_unreadable
from procession.hardware.instruction import AVX_ISNT_EMULATED, LONGEST_INSTRUCTION, is_vector_extension
from procession.hardware.registers import RAX, RSP
from procession.kernel.observer import SENT_IGNORED, SIGNAL_SENT
from procession.kernel.signal.info import (
    LAYOUT_CHILD,
    LAYOUT_FAULT,
    LAYOUT_KILL,
    LAYOUT_POLL,
    LAYOUT_REAL_TIME,
    LAYOUT_SYSTEM_CALL,
    LAYOUT_TIMER,
)
from procession.kernel.signal.wake import has_fatal_signal
from procession.mm.peek import peek, peek_cstring
from procession.syscalls.parameters import ARRAY, InOut, Kind, Out, Pointer, SizedIn
from procession.trace.call_stack import CallStacks
from procession.trace.descriptors import name_of_result, with_names
from procession.trace.socket import (
    message_length_text,
    message_text,
    option_text,
    option_value_text,
    socket_address_text,
)
from procession.trace.spelling import (
    changed_text,
    mask_text,
    result_text,
    text_at_return,
    texts_at_entry,
    variables_text,
)
from procession.trace.values import (
    LIST_LIMIT,
    STRING_LIMIT,
    address_text,
    choice_text,
    descriptor_text,
    flags_text,
    list_text,
    mode_text,
    names_of,
    quoted,
    seconds_text,
    signal_code_text,
    signal_name,
    signal_set_text,
    structure_text,
    time_of_day_text,
    wait_status_text,
)

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.signal.info import SigInfo
    from procession.kernel.task import Task, ThreadGroup
    from procession.mm.address_space import MemoryDescriptor
    from procession.syscalls.declaration import Parameter, SystemCall

RESULT_COLUMN = 40
FIRST_RESTART = 512
"""Errors from here on are between the kernel and itself: the call will be restarted, or end with EINTR."""
IOVEC_SIZE = 16
_MASK_IN_FRAME = Ucontext.OFFSETS["uc_sigmask"]


class OpenCall:
    """A call that has been entered and hasn't returned.

    `texts` are its arguments as shown at entry, None for what only the return will show; `shown_count` is
    how many of them have been written out, -1 when nothing has been.
    """

    __slots__ = ("arguments", "call", "late", "shown_count", "since_ns", "stack", "texts")

    def __init__(self, call: SystemCall, arguments: tuple[Any, ...], texts: list[str | None]) -> None:
        self.call = call
        self.arguments = arguments
        self.texts = texts
        self.shown_count = -1
        self.since_ns = 0
        self.stack: list[str] = []
        self.late: list[str] = []
        """What has happened to the caller since, and is told when the call has returned."""


class TraceStyle(NamedTuple):
    """What the lines of a trace hold beside the calls: the options of strace(1) that ask for it."""

    shows_times: bool = False
    """Begin lines with the time of day (-tt)."""
    shows_durations: bool = False
    """End them with how long the call took (-T)."""
    shows_names: bool = False
    """Say what descriptors have open (-y)."""
    shows_stacks: bool = False
    """Say after each call and signal in which functions it was (-k)."""


class SystemCallTrace:
    """Writes one line for each system call, signal and exit to `output`.

    It is the observer of a machine. A call that others overtake is written in two halves. What the process
    `ignored` does isn't written. `failure` says why nothing more is written, None while all is well.
    """

    __slots__ = (
        "failure",
        "ignored",
        "kernel",
        "live",
        "open_calls",
        "output",
        "pending_tid",
        "stacks",
        "style",
    )

    def __init__(
        self, output: TextIO, ignored: ThreadGroup | None = None, style: TraceStyle | None = None
    ) -> None:
        self.output = output
        self.ignored = ignored
        self.style = style or TraceStyle()
        self.stacks = CallStacks() if self.style.shows_stacks else None
        self.kernel: Kernel | None = None
        """That of the last task heard of, as the time is its clock's."""
        self.failure: OSError | None = None
        self.open_calls: dict[int, OpenCall] = {}
        self.live: dict[int, None] = {}
        self.pending_tid: int | None = None
        """The task whose call has been entered last, and isn't written yet."""

    def system_call_entered(self, task: Task, call: SystemCall, arguments: tuple[Any, ...]) -> None:
        """`task` calls `call`; `arguments` are decoded."""
        if task.group is self.ignored:
            return
        self.live[task.tid] = None
        self.write_unfinished()
        self.kernel = task.kernel
        texts = [
            argument_at_entry(task, call.parameters, arguments, position)
            for position in range(len(arguments))
        ]
        texts = texts_at_entry(call.name, task, texts, arguments)
        if call.name == "rt_sigreturn":
            texts = [mask_text(mask_in_frame(task))]
        if self.style.shows_names:
            texts = with_names(task, call, texts, arguments)
        self.open_calls[task.tid] = opened = OpenCall(call, arguments, texts)
        if self.style.shows_durations:
            opened.since_ns = task.kernel.clock.now_ns
        if self.stacks is not None:
            opened.stack = self.stacks.lines_of(task)
        self.pending_tid = task.tid

    def system_call_returned(
        self, task: Task, call: SystemCall, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """`task` comes back from `call` with `outcome`; None counts as 0."""
        if task.group is self.ignored or task.is_exiting or has_fatal_signal(task):
            # strace(1) hears of no return where there's none.
            return
        opened = self.open_calls.pop(task.tid, None)
        if opened is None:
            # The arguments couldn't be decoded: a path at an address where there is none.
            self.write_result(task.tid, f"{call.name}(...)", outcome_text(call, outcome or 0))
            return
        result = -1 if isinstance(outcome, Errno) else outcome or 0
        arguments = opened.arguments
        shown = [
            argument_at_return(call, task, arguments, position, text, result)
            for position, text in enumerate(opened.texts)
        ]
        ending = result_text(call.name, task, arguments, result) if result >= 0 else None
        if call.name == "rt_sigreturn" and result >= 0:
            ending = restored_result_text(task)
        ending = ending or outcome_text(call, outcome or 0)
        if self.style.shows_names and result >= 0:
            ending += name_of_result(task, call, arguments, result)
        if self.style.shows_durations:
            ending += f" <{seconds_text(task.kernel.clock.now_ns - opened.since_ns)}>"
        self.write_call(task.tid, opened, shown, ending)
        stack = opened.stack
        if self.stacks is not None and call.name == "rt_sigreturn":
            stack = self.stacks.lines_of(task)
        self.write_stack(stack)
        for line in opened.late:
            self.write_line(task.tid, line)
            self.write_stack(stack)

    def unknown_call(self, task: Task, number: int) -> None:
        """`task` made a call that isn't built; it was answered ENOSYS."""
        if task.group is not self.ignored:
            self.write_result(task.tid, f"{name_of(number)}(...)", f"-1 ENOSYS ({ENOSYS.text})")

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """Something else has happened to `task`: it came to be ("clone"), runs a new program ("exec"), is
        about to take a signal ("signal", with its SigInfo), has the id of its group's leader now, which
        executed no program ("supersede", with the id that it had), or has ended ("exit")."""
        if task.group is self.ignored:
            return
        if kind == "clone":
            self.live[task.tid] = None
        elif kind == "exec" and task.tid not in self.open_calls:
            self.kernel = task.kernel
            self.write_line(task.tid, started_text(task.mm))
            if self.stacks is not None:
                self.write_stack(self.stacks.lines_of(task))
        elif kind == "signal":
            note = f" ({AVX_ISNT_EMULATED})" if is_for_avx(task, detail) else ""
            self.write_line(task.tid, f"--- {signal_text(detail)} ---{note}")
            if self.stacks is not None:
                self.write_stack(self.stacks.lines_of(task))
        elif kind == SIGNAL_SENT and detail[2] == SENT_IGNORED and not task.is_exiting:
            # A tracer is told of those too.
            line = f"--- {signal_text(detail[0])} ---"
            opened = self.open_calls.get(task.tid)
            if opened is None:
                self.write_line(task.tid, line)
            else:
                opened.late.append(line)
        elif kind == "supersede":
            self.write_line(task.tid, f"+++ superseded by execve in pid {detail} +++")
            self.live.pop(detail, None)
            self.live[task.tid] = None
            if detail in self.open_calls:
                self.open_calls[task.tid] = self.open_calls.pop(detail)
        elif kind == "exit":
            opened = self.open_calls.pop(task.tid, None)
            if opened is not None:
                shown = [text if text is not None else "..." for text in opened.texts]
                self.write_call(task.tid, opened, shown, "?")
                self.write_stack(opened.stack)
            self.write_line(task.tid, f"+++ {exit_text(task.exit_code)} +++")
            self.live.pop(task.tid, None)

    def close(self) -> None:
        """Write what is left when the machine stops: calls that will never return."""
        self.write_unfinished()
        if self.failure is None:
            try:
                self.output.flush()
            except OSError as error:
                self.failure = error

    def write_call(self, tid: int, opened: OpenCall, shown: list[str], result: str) -> None:
        """The line of a call that has ended, or the second half of it."""
        name = opened.call.name
        if opened.shown_count < 0:
            start = f"{name}({joined(shown)})"
            self.pending_tid = None
        else:
            changed = [
                # What a value has become that was written out already.
                after[len(before) :]
                for before, after in zip(opened.texts[: opened.shown_count], shown, strict=False)
                if before is not None and after != before
            ]
            start = f"<... {name} resumed>{''.join(changed)}{joined(shown[opened.shown_count :])})"
        self.write_result(tid, start, result)

    def write_result(self, tid: int, start: str, result: str) -> None:
        """A whole line that ends in a result."""
        self.write_line(tid, f"{start:<{RESULT_COLUMN - 1}} = {result}")

    def write_unfinished(self) -> None:
        """Write the first half of the call that was entered last and hasn't returned."""
        tid = self.pending_tid
        if tid is None:
            return
        self.pending_tid = None
        opened = self.open_calls[tid]
        known: list[str] = []
        for text in opened.texts:
            if text is None:
                break
            known.append(text)
        opened.shown_count = len(known)
        start = joined(known)
        if known and len(known) < len(opened.texts):
            start += ", "
        self.put(tid, f"{opened.call.name}({start} <unfinished ...>")

    def write_stack(self, lines: list[str]) -> None:
        """The functions in which the call or signal was that has just been written."""
        if not lines or self.failure is not None:
            return
        try:
            self.output.writelines(f"{line}\n" for line in lines)
        except OSError as error:
            self.failure = error

    def write_line(self, tid: int, text: str) -> None:
        """Write a line of task `tid`, after the half line of another one."""
        self.write_unfinished()
        self.put(tid, text)

    def put(self, tid: int, text: str) -> None:
        """Write one line, saying whose it is if there are several tasks."""
        if self.failure is not None:
            return
        prefix = f"[pid {tid:5}] " if len(self.live) > 1 else ""
        if self.style.shows_times and self.kernel is not None:
            prefix += time_of_day_text(self.kernel.clock.realtime_ns) + " "
        try:
            self.output.write(f"{prefix}{text}\n")
        except OSError as error:
            self.failure = error


def joined(texts: list[str]) -> str:
    """The arguments that are shown, separated by commas."""
    return ", ".join(filter(None, texts))


def argument_at_entry(
    task: Task, parameters: tuple[Parameter, ...], arguments: tuple[Any, ...], position: int
) -> str | None:
    """An argument as it is when the call starts; None when it holds nothing yet."""
    parameter, argument = parameters[position], arguments[position]
    if parameter.kind is not None:
        kind = parameter.kind.name
        if kind in OUTPUT_KINDS:
            return None
        if kind == "in_buffer":
            return buffer_text(task.mm, argument, arguments[position + 1])
        if kind == "in_vector":
            return vector_text(task.mm, argument, arguments[position + 1])
        if kind == "socket_address":
            return socket_address_text(task.mm, argument, arguments[position + 1])
        if kind == "option_name":
            return option_text(arguments[position - 1], argument)
        if kind == "option_value":
            return option_value_text(task.mm, argument, arguments[position + 1])
        return scalar_text(task.mm, kind, parameter.annotation, argument)
    if isinstance(argument, Out):
        return None
    if isinstance(argument, SizedIn):
        return sized_structure_text(task.mm, parameter.annotation, argument.address, arguments[position + 1])
    return pointer_text(parameter, argument, arguments[position + 1 :])


def argument_at_return(
    call: SystemCall,
    task: Task,
    arguments: tuple[Any, ...],
    position: int,
    text: str | None,
    result: int,
) -> str:
    """An argument as it is when the call has ended; `text` is what was to be seen at entry.

    `result` is what the call returned, negative when it failed.
    """
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
    """A value of one of the kinds of `syscalls.parameters`; "" for one that isn't shown."""
    if kind == "path":
        if value is None:
            return "NULL"
        address = address_of_unreadable(value)
        return quoted(value, PATH_MAX) if address is None else hex(address)
    if kind in ("flags", "choice", "choice_and_flags", "flags_and_signal"):
        return named_numbers_text(kind, annotation, value)
    if kind == "string_array":
        return string_array_text(mm, value)
    if kind in ("address", "buffer"):
        return address_text(value)
    return PLAIN_KINDS.get(kind, str)(value)


OUTPUT_KINDS = ("out_buffer", "out_option_value", "out_socket_address", "out_vector")
"""What holds something only when the call has ended."""
PLAIN_KINDS: dict[str, Callable[[int], str]] = {
    "fd": descriptor_text,
    "mode": mode_text,
    "creation_mode": lambda mode: mode_text(mode) if mode else "",
    "signal": signal_name,
}


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


def int_at(mm: MemoryDescriptor, address: int) -> int:
    """The int in memory, 0 if it can't be read."""
    return int.from_bytes(peek(mm, address, 4), "little", signed=True)


def sized_structure_text(mm: MemoryDescriptor, structure: type[Structure], address: int, size: int) -> str:
    """A structure of which a program gives `size` bytes: what is missing is zero."""
    if not address:
        return "NULL"
    wanted = min(max(size, 0), structure.SIZE)
    data = peek(mm, address, wanted)
    if len(data) < wanted:
        return address_text(address)
    return structure_text(structure.unpack(data.ljust(structure.SIZE, b"\0")))


def buffer_text(mm: MemoryDescriptor, address: int, length: int) -> str:
    """The first bytes of a buffer that holds `length`."""
    if not address:
        return "NULL"
    wanted = min(max(length, 0), STRING_LIMIT + 1)
    data = peek(mm, address, wanted)
    return quoted(data) if len(data) == wanted else address_text(address)


def vector_text(mm: MemoryDescriptor, address: int, count: int, filled: int | None = None) -> str:
    """An array of `count` iovecs; `filled` is how many bytes they hold together, None if they are full."""
    if not address:
        return "NULL"
    data = peek(mm, address, IOVEC_SIZE * min(max(count, 0), LIST_LIMIT + 1))
    items: list[str] = []
    for position in range(0, len(data) - IOVEC_SIZE + 1, IOVEC_SIZE):
        base = int.from_bytes(data[position : position + 8], "little")
        length = int.from_bytes(data[position + 8 : position + 16], "little")
        held = length if filled is None else min(length, filled)
        if filled is not None:
            filled -= held
        items.append(f"{{iov_base={buffer_text(mm, base, held)}, iov_len={length}}}")
    return list_text(items)


def string_array_text(mm: MemoryDescriptor, address: int) -> str:
    """A list of strings that ends with NULL."""
    if not address:
        return "NULL"
    items: list[str] = []
    while len(items) <= LIST_LIMIT:
        word = peek(mm, address, 8)
        if len(word) < 8:
            return address_text(address) if not items else list_text([*items, "???"])
        if not any(word):
            break
        text = peek_cstring(mm, int.from_bytes(word, "little"), STRING_LIMIT + 1)
        items.append(quoted(text) if text is not None else address_text(int.from_bytes(word, "little")))
        address += 8
    return list_text(items)


def outcome_text(call: SystemCall, outcome: int | Errno) -> str:
    """What follows the equals sign."""
    if isinstance(outcome, Errno):
        if outcome.number >= FIRST_RESTART:
            return f"? {outcome.name} ({outcome.text})"
        reason = f" /* {outcome.reason} */" if outcome.reason else ""
        return f"-1 {outcome.name} ({outcome.text}){reason}"
    return address_text_of_result(outcome) if returns_address(call) else str(outcome)


def address_text_of_result(address: int) -> str:
    """A returned address: strace writes NULL for an argument only."""
    return f"{address:#x}"


@cache
def returns_address(call: SystemCall) -> bool:
    """Whether the declaration says that the result is an address."""
    hint = call.hint("return")
    return any(isinstance(part, Kind) and part.name == "address" for part in get_args(hint))


def signal_text(info: SigInfo) -> str:
    """A delivered signal and what is known about it."""
    name = signal_name(info.signo)
    fields = [f"si_signo={name}", f"si_code={signal_code_text(info.signo, info.code)}"]
    if info.errno:
        fields.append(f"si_errno={info.errno}")
    layout = info.layout
    pid = info.pid if info.sender is None else info.sender.global_number
    if layout in (LAYOUT_KILL, LAYOUT_CHILD, LAYOUT_REAL_TIME) and (pid or info.uid or info.code <= 0):
        fields += [f"si_pid={pid}", f"si_uid={info.uid}"]
    if layout == LAYOUT_CHILD:
        # A child that exited has a code, one that was killed or stopped the signal's number.
        status = str(info.status) if info.code == ChildCode.CLD_EXITED else signal_name(info.status)
        fields += [f"si_status={status}", f"si_utime={info.utime}", f"si_stime={info.stime}"]
    elif layout == LAYOUT_REAL_TIME:
        if info.code != SignalCode.SI_TKILL:
            fields.append(f"si_value={info.value:#x}")
    elif layout == LAYOUT_TIMER:
        fields += [
            f"si_timerid={info.timer_id:#x}",
            f"si_overrun={info.overrun}",
            f"si_value={info.value:#x}",
        ]
    elif layout == LAYOUT_POLL:
        fields += [f"si_band={info.band}", f"si_fd={info.fd}"]
    elif layout == LAYOUT_SYSTEM_CALL:
        fields += [f"si_call_addr={address_text(info.address)}", f"si_syscall={info.value}"]
    elif layout not in (LAYOUT_KILL, LAYOUT_CHILD):
        fields.append(f"si_addr={address_text(info.address)}")
    return f"{name} {{{', '.join(fields)}}}"


def mask_in_frame(task: Task) -> int:
    """The mask that rt_sigreturn(2) is about to put back: the frame is where the stack ends."""
    frame = task.kernel.registers_of(task).general[RSP]
    return int.from_bytes(peek(task.mm, frame + _MASK_IN_FRAME, 8), "little")


def restored_result_text(task: Task) -> str:
    """What rt_sigreturn(2) seems to return: the register that was interrupted."""
    value = task.kernel.registers_of(task).general[RAX]
    kind = BY_NUMBER.get((1 << 64) - value)
    return f"-1 {kind.__name__} ({kind.text})" if kind is not None else str(value)


def is_for_avx(task: Task, info: SigInfo) -> bool:
    """Whether a signal tells of an instruction that no engine knows, which a processor may well do."""
    return (
        info.signo == Signal.SIGILL
        and info.layout == LAYOUT_FAULT
        and is_vector_extension(peek(task.mm, info.address, LONGEST_INSTRUCTION))
    )


def started_text(mm: MemoryDescriptor) -> str:
    """The execve that the machine itself did to start its command."""
    strings = peek(mm, mm.arguments_start, mm.arguments_end - mm.arguments_start).split(b"\0")[:-1]
    variables = peek(mm, mm.environment_start, mm.environment_end - mm.environment_start).count(b"\0")
    name = peek_cstring(mm, mm.environment_end, PATH_MAX) or b""
    argv = list_text(quoted(string) for string in strings)
    count = variables_text(variables)
    start = f"execve({quoted(name, PATH_MAX)}, {argv}, {mm.environment_start:#x} {count})"
    return f"{start:<{RESULT_COLUMN - 1}} = 0"


def exit_text(status: int) -> str:
    """How a task ended, from its wait status."""
    signal = status & 0x7F
    if not signal:
        return f"exited with {status >> 8 & 0xFF}"
    return f"killed by {signal_name(signal)}{' (core dumped)' if status & CORE_DUMPED else ''}"
