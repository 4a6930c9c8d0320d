"""System calls that are made step by step: watched, shown to tracers, asked of filters and supervisors."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

from procession.abi.errno import (
    BY_NUMBER,
    EFAULT,
    ENOSYS,
    ERESTART_RESTARTBLOCK,
    ERESTARTNOHAND,
    ERESTARTNOINTR,
    ERESTARTSYS,
    Errno,
)
from procession.fs.wait_queue import Sleep
from procession.hardware.physical_memory import OutOfFrames
from procession.hardware.registers import RAX, WORD_MASK, set_register
from procession.kernel.oom import out_of_memory
from procession.kernel.ptrace.stop import ptrace_event, stop_at_call_entry, take_call_stop
from procession.kernel.ptrace.tracing import AT_CALL_ENTRY, IN_CALL, EventStop, TraceStop
from procession.kernel.seccomp_entry import enter_call
from procession.kernel.security.seccomp_listener import Notification, reply_to
from procession.kernel.signal.wake import has_fatal_signal
from procession.kernel.task import (
    CALL_EXIT_WORK,
    CALL_EXPLORED,
    CALL_SECCOMP,
    CALL_TRACED,
    NOT_ENTERED,
    CallFrame,
    FaultedEntry,
    Task,
)
from procession.mm.peek import PeekedMemory
from procession.syscalls.declaration import TABLE, TABLE_SIZE
from procession.syscalls.permitted import with_permitted_outcome

if TYPE_CHECKING:
    from procession.syscalls.dispatch import Traps

RESTARTS: Final = (ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK)
RT_SIGRETURN: Final = 15
"""What it leaves in the registers isn't its result: it's no call that a signal could interrupt."""
_NO_CALL: Final = 0xFFFF_FFFF
"""The number of a call that its tracer doesn't want made."""
# How far a call has come that is made step by step: its tracer has seen it, the filters have been asked and
# its tracer told, or they have let it pass.
_SEEN_BY_TRACER, _TOLD_BY_FILTER, _ENTERED = 1, 2, 3


class Onlooker:
    """What a decoder needs of a task, for who reads its memory from outside."""

    __slots__ = ("mm",)

    def __init__(self, mm: PeekedMemory) -> None:
        self.mm = mm


def make_call(traps: Traps, task: Task, number: int, progress: int = 0, *, is_shown: bool = False) -> None:
    """Make a system call of the live task, step by step: somebody watches, or a supervisor let it go on.

    `progress` says how far it has come already: _SEEN_BY_TRACER, _TOLD_BY_FILTER or _ENTERED; `is_shown`
    that who watches has been told of it.
    """
    kernel, registers = traps.kernel, traps.cpu.general
    observer = kernel.observer
    # Most calls are among those that are imported.
    call = TABLE.calls[number] or TABLE[number] if number < TABLE_SIZE else None
    arguments: tuple[Any, ...] = ()
    outcome: int | Errno | None
    if task.call_work:
        if not progress and task.call_work & CALL_TRACED and _begin_traced_call(traps, task):
            return
        if (
            progress != _ENTERED
            and task.call_work & CALL_SECCOMP
            and not passes_filters(traps, task, number, is_told=progress == _TOLD_BY_FILTER)
        ):
            if task.frame is None and task.trace_stop is None:
                _show_refusal(traps, task, number)
            return
        if number == _NO_CALL and progress == _SEEN_BY_TRACER:
            # Filters have been asked; the result is what the tracer has put into rax.
            return
    try:
        if call is None:
            outcome = traps.unknown(number)
            if observer is not None:
                observer.unknown_call(task, number)
        else:
            arguments = call.decode(task, registers)
            if observer is not None and not is_shown:
                observer.system_call_entered(task, call, arguments)
                is_shown = True
            if task.call_work & CALL_EXPLORED and kernel.scheduler.offers_faults:
                arguments = with_permitted_outcome(kernel, task, call, arguments)
            outcome = call.handler(task, *arguments)
    except Errno as error:
        outcome = error
        if isinstance(error, RESTARTS):
            task.call_number = number
    except Sleep as sleep:
        if sleep.is_fault and sleep.progress is None:
            traps.block_in_fault(task, sleep, number, is_shown=is_shown)
        else:
            traps.block(task, number, sleep, arguments)
        return
    except EventStop as event:
        stop_in_call(traps, task, CallFrame(number, arguments), event)
        return
    except OutOfFrames as failure:
        out_of_memory(kernel)
        outcome = BY_NUMBER[failure.errno_number]()
    if call is not None and observer is not None:
        observer.system_call_returned(task, call, arguments, outcome)
    if task.trace_stop is None:
        # At the stop before its end it hasn't returned.
        result = -outcome.number if isinstance(outcome, Errno) else outcome or 0
        registers[RAX] = result & WORD_MASK
        if number < TABLE_SIZE and number != RT_SIGRETURN:
            task.call_number = number


def _begin_traced_call(traps: Traps, task: Task) -> bool:
    """A traced task makes a call: whether it has stopped to show it. Linux: kernel/entry/common.c,
    syscall_trace_enter."""
    kernel = traps.kernel
    registers = traps.cpu.general
    # All of rax is shown, though only its lower half is the number.
    task.call_number = (registers[RAX] ^ 1 << 63) - (1 << 63)
    set_register(registers, RAX, -ENOSYS.number)
    task.work |= CALL_EXIT_WORK
    kernel.is_saved = False
    return stop_at_call_entry(kernel, task)


def stop_in_call(traps: Traps, task: Task, frame: CallFrame, event: EventStop) -> None:
    """The task stops in the middle of a call, whose handler runs again when it goes on."""
    frame.progress = event.progress
    task.frame = frame
    # It hasn't returned yet, though an execve has made all other registers anew.
    registers = traps.cpu.general if task is traps.kernel.live else task.registers.general
    set_register(registers, RAX, -ENOSYS.number)
    ptrace_event(traps.kernel, task, event.event, event.message, IN_CALL)


def go_on_with_call(traps: Traps, task: Task, stop: TraceStop) -> None:
    """Its tracer has seen the call: it's made with the number and arguments it has now, or not at all."""
    kernel = traps.kernel
    number = (task.call_number & 0xFFFF_FFFF ^ 0x8000_0000) - 0x8000_0000
    is_entry = stop.stage == AT_CALL_ENTRY
    if is_entry:
        take_call_stop(kernel, task, stop)
    if (
        has_fatal_signal(task)
        or (number == -1 and not task.call_work & CALL_SECCOMP)
        or (is_entry and stop.argument)
        or (number < 0 and not is_entry)
    ):
        return
    make_call(traps, task, number & 0xFFFF_FFFF, _SEEN_BY_TRACER if is_entry else _TOLD_BY_FILTER)
    kernel.is_saved = False


def passes_filters(traps: Traps, task: Task, number: int, *, is_told: bool = False) -> bool:
    """Whether seccomp lets the live task's call be made now; if not, its result is set, or it sleeps or
    has stopped. With `is_told` the tracer has seen what a filter wanted it to.
    """
    registers = traps.cpu.general
    try:
        result = enter_call(traps.kernel, task, number, registers, is_told=is_told)
    except Sleep as sleep:
        _block_entering(traps, task, sleep)
        return False
    if result is None:
        return True
    if task.trace_stop is None:
        registers[RAX] = result & WORD_MASK
    return False


def _block_entering(traps: Traps, task: Task, sleep: Sleep) -> None:
    """The call waits for a supervisor before it is made, unless a signal ends it at once."""
    if traps.is_interrupted(task, sleep):
        assert isinstance(sleep.progress, Notification)
        traps.cpu.general[RAX] = _leave_entry(task, sleep.progress) & WORD_MASK
    else:
        traps.kernel.scheduler.sleep(task, sleep, CallFrame(NOT_ENTERED, ()))


def _leave_entry(task: Task, notification: Notification) -> int:
    """A signal ends the wait for a supervisor: the call is made anew after it, and filtered anew."""
    notification.abandon()
    task.call_number = notification.number
    return -ERESTARTSYS.number


def go_on_entering(traps: Traps, task: Task, frame: CallFrame) -> None:
    """A supervisor may have answered: the call is made, or has returned, or waits on.

    Its arguments are decoded now only, from what the task's memory holds by now.
    """
    kernel = traps.kernel
    kernel.switch_to(task)
    if isinstance(frame.progress, FaultedEntry):
        task.frame = None
        entry = frame.progress
        make_call(traps, task, entry.number, _ENTERED, is_shown=entry.is_shown)
        kernel.is_saved = False
        return
    notification: Notification = frame.progress
    number = notification.number
    try:
        result = reply_to(notification)
    except Sleep as sleep:
        if not traps.is_interrupted(task, sleep):
            kernel.scheduler.sleep(task, sleep, frame)
            return
        result = _leave_entry(task, notification)
    task.frame = None
    if result is None:
        make_call(traps, task, number, _ENTERED)
    else:
        traps.cpu.general[RAX] = result & WORD_MASK
        _show_refusal(traps, task, number)
    kernel.is_saved = False


def _show_refusal(traps: Traps, task: Task, number: int) -> None:
    """Tell who watches of a call that wasn't made, with its result in rax; nothing of its memory is read
    but by looking, as the call itself read nothing."""
    call = TABLE[number] if number < TABLE_SIZE else None
    observer = traps.kernel.observer
    if observer is None or call is None or task.is_exiting:
        return
    registers = traps.cpu.general
    with suppress(EFAULT):
        arguments = call.decode(cast("Task", Onlooker(PeekedMemory(task.mm))), registers)
        observer.system_call_entered(task, call, arguments)
        result = (registers[RAX] ^ 1 << 63) - (1 << 63)
        refused = next((kind for kind in Errno.__subclasses__() if kind.number == -result), None)
        observer.system_call_returned(task, call, arguments, refused("seccomp") if refused else result)
