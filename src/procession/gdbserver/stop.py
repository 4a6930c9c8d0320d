"""Why the machine stands still, and how the debugger is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.gdbserver.signals import to_protocol

if TYPE_CHECKING:
    from procession.gdbserver.past import Checkpoint, Place
    from procession.kernel.task import Task


class Stop(NamedTuple):
    """`task` is whose stop it is, `signal` Linux's number.

    `detail` is what else there is to say, as the protocol writes it; `siginfo` the 128 bytes of a signal that
    the task is about to take.
    """

    task: Task
    signal: int
    detail: bytes = b""
    siginfo: bytes = b""


class Reversal(NamedTuple):
    """The debugger wants to go back: by an instruction of a thread, or to where it would have stopped.

    `place` is where the machine stands. With `mark` it wants to be there, earlier or later.
    """

    is_step: bool
    process: int
    tid: int
    place: Place
    mark: Checkpoint | None = None


def process_number(task: Task) -> int:
    """The process that `task` is in, as the machine's first namespace numbers it."""
    return task.group.pid.global_number


def thread_id(task: Task) -> bytes:
    """A thread as the protocol's multiprocess extension writes it."""
    return b"p%x.%x" % (process_number(task), task.tid)


def stop_reply(stop: Stop) -> bytes:
    """The packet that tells of it."""
    return b"T%02xthread:%s;%s" % (to_protocol(stop.signal), thread_id(stop.task), stop.detail)


def end_reply(number: int, exit_code: int) -> bytes:
    """The packet that tells of the end of process `number`, by a wait status."""
    signal = exit_code & 0x7F
    if signal:
        return b"X%02x;process:%x" % (to_protocol(signal), number)
    return b"W%02x;process:%x" % (exit_code >> 8 & 0xFF, number)
