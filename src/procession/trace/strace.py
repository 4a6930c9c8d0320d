"""System calls as strace prints them, made from their declarations alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO, get_args

from procession.abi.errno import BY_NUMBER, ENOSYS, Errno
from procession.abi.limits import PATH_MAX
from procession.abi.named_tuple import NamedTuple
from procession.abi.signal_frame import Ucontext
from procession.abi.signals import Signal, SignalCode
from procession.abi.syscall_numbers import name_of
from procession.abi.wait_options import CORE_DUMPED, ChildCode
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
from procession.syscalls.parameters import Kind
from procession.trace.argument import texts_at_end, texts_at_entry, ways_at_entry
from procession.trace.call_stack import CallStacks
from procession.trace.descriptors import name_of_result, with_names
from procession.trace.spelling import (
    EXPLAINED_RESULTS,
    mask_text,
    result_text,
    variables_text,
)
from procession.trace.values import (
    address_text,
    list_text,
    quoted,
    seconds_text,
    signal_code_text,
    signal_name,
    time_of_day_text,
)

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.signal.info import SigInfo
    from procession.kernel.task import Task, ThreadGroup
    from procession.mm.address_space import MemoryDescriptor
    from procession.syscalls.declaration import SystemCall

RESULT_COLUMN = 40
_CALL_WIDTH = RESULT_COLUMN - 1
FIRST_RESTART = 512
"""Errors from here on are between the kernel and itself: the call will be restarted, or end with EINTR."""
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
        self.stack: Sequence[str] = ()
        self.late: Sequence[str] = ()
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
        "is_plain",
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
        self.is_plain = not any(self.style)
        """Whether its lines hold nothing beside the calls."""
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
        tid = task.tid
        self.live[tid] = None
        if self.pending_tid is not None:
            self.write_unfinished()
        self.kernel = task.kernel
        forms, spell = ways_at_entry(call)
        texts = texts_at_entry(forms, task, arguments) if forms else []
        if spell is not None:
            texts = spell(task, texts, arguments)
        elif call.name == "rt_sigreturn":
            texts = [mask_text(mask_in_frame(task))]
        if self.is_plain:
            self.open_calls[tid] = OpenCall(call, arguments, texts)
            self.pending_tid = tid
            return
        if self.style.shows_names:
            texts = with_names(task, call, texts, arguments)
        self.open_calls[tid] = opened = OpenCall(call, arguments, texts)
        if self.style.shows_durations:
            opened.since_ns = task.kernel.clock.now_ns
        if self.stacks is not None:
            opened.stack = self.stacks.lines_of(task)
        self.pending_tid = tid

    def system_call_returned(
        self, task: Task, call: SystemCall, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """`task` comes back from `call` with `outcome`; None counts as 0."""
        if task.group is self.ignored or task.is_exiting or (task.work and has_fatal_signal(task)):
            # strace(1) hears of no return where there's none.
            return
        tid = task.tid
        opened = self.open_calls.pop(tid, None)
        if opened is None:
            # The arguments couldn't be decoded: a path at an address where there is none.
            self.write_result(tid, f"{call.name}(...)", outcome_text(call, outcome or 0))
            return
        result = -1 if isinstance(outcome, Errno) else outcome or 0
        arguments = opened.arguments
        shown = texts_at_end(call, task, arguments, opened.texts, result) if opened.texts else ()
        ending = None
        if result >= 0 and call.name in EXPLAINED_RESULTS:
            ending = result_text(call.name, task, arguments, result)
        elif result >= 0 and call.name == "rt_sigreturn":
            ending = restored_result_text(task)
        ending = ending or outcome_text(call, outcome or 0)
        if self.is_plain and not opened.late:
            self.write_call(tid, opened, shown, ending)
            return
        if self.style.shows_names and result >= 0:
            ending += name_of_result(task, call, arguments, result)
        if self.style.shows_durations:
            ending += f" <{seconds_text(task.kernel.clock.now_ns - opened.since_ns)}>"
        self.write_call(tid, opened, shown, ending)
        stack = opened.stack
        if self.stacks is not None and call.name == "rt_sigreturn":
            stack = self.stacks.lines_of(task)
        self.write_stack(stack)
        for line in opened.late:
            self.write_line(tid, line)
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
                opened.late = (*opened.late, line)
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

    def write_call(self, tid: int, opened: OpenCall, shown: Sequence[str], result: str) -> None:
        """The line of a call that has ended, or the second half of it."""
        name = opened.call.name
        if opened.shown_count < 0:
            start = f"{name}({joined(shown)})" if shown else f"{name}()"
            self.pending_tid = None
            self.put(tid, f"{start.ljust(_CALL_WIDTH)} = {result}")
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
        self.write_line(tid, f"{start.ljust(_CALL_WIDTH)} = {result}")

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

    def write_stack(self, lines: Sequence[str]) -> None:
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
        if not self.is_plain and self.style.shows_times and self.kernel is not None:
            text = f"{time_of_day_text(self.kernel.clock.realtime_ns)} {text}"
        try:
            self.output.write(f"[pid {tid:5}] {text}\n" if len(self.live) > 1 else f"{text}\n")
        except OSError as error:
            self.failure = error


def joined(texts: Sequence[str]) -> str:
    """The arguments that are shown, separated by commas."""
    return ", ".join(filter(None, texts))


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
    return f"{start.ljust(_CALL_WIDTH)} = 0"


def exit_text(status: int) -> str:
    """How a task ended, from its wait status."""
    signal = status & 0x7F
    if not signal:
        return f"exited with {status >> 8 & 0xFF}"
    return f"killed by {signal_name(signal)}{' (core dumped)' if status & CORE_DUMPED else ''}"
