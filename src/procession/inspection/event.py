"""What happens in a machine, as typed records of plain values."""

from __future__ import annotations

from procession.abi.named_tuple import NamedTuple
from procession.kernel.task_state import TaskState

# The records begin alike: `time_ns` is since the first program began (`Clock.run_ns`), `tid` and `pid` say of
# which task it is. They hold ints, strings, bytes and tuples, so that they can be kept, compared, sorted and
# written out.


class SystemCallEntered(NamedTuple):
    """A task calls the kernel. Each of `arguments` is an int, bytes for a path, or None for a NULL path."""

    time_ns: int
    tid: int
    pid: int
    number: int
    name: str
    arguments: tuple[int | bytes | None, ...]


class SystemCallReturned(NamedTuple):
    """A call has ended with `result`, negative for an errno, whose name is `error` then.

    `reason` is the kernel's, in words, where it has one. ERESTARTSYS and its like are between the kernel and
    itself: the call runs again, or ends with EINTR.
    """

    time_ns: int
    tid: int
    pid: int
    number: int
    name: str
    result: int
    error: str
    reason: str


class StateChanged(NamedTuple):
    """A task went from the state `before` to `after`, in the system call `call`, "" in user mode."""

    time_ns: int
    tid: int
    pid: int
    before: TaskState
    after: TaskState
    call: str


class Switched(NamedTuple):
    """The task has the processor `processor` now, which `previous_tid` had before, 0 if nobody had."""

    time_ns: int
    tid: int
    pid: int
    previous_tid: int
    processor: int


class Woken(NamedTuple):
    """A task slept in `call`, and is runnable again.

    `cause` is "queue" when what it waits for may have come, "timer", "signal" or "continue"; `waker_tid` is
    the task that was running, whose doing it is but for timers: 0 if nobody ran.
    """

    time_ns: int
    tid: int
    pid: int
    cause: str
    waker_tid: int
    call: str


class SignalGenerated(NamedTuple):
    """A signal was sent to a task, or with `is_for_process` to its process.

    `outcome` is "queued", "ignored", "pending already" or "lost"; `code` is si_code; `sender_tid` is who ran,
    0 if nobody did.
    """

    time_ns: int
    tid: int
    pid: int
    signal: int
    code: int
    sender_tid: int
    is_for_process: bool
    outcome: str


class SignalDelivered(NamedTuple):
    """A task takes a signal: `action` is "default", "ignore" or "handler", which is at `handler`."""

    time_ns: int
    tid: int
    pid: int
    signal: int
    code: int
    action: str
    handler: int


class Cloned(NamedTuple):
    """The task has come to be, made by `maker_tid`; with `is_thread` it's one more of its maker's process."""

    time_ns: int
    tid: int
    pid: int
    maker_tid: int
    parent_pid: int
    is_thread: bool


class Executed(NamedTuple):
    """The task runs a new program: its file's path, as the guest's root would name it."""

    time_ns: int
    tid: int
    pid: int
    path: bytes
    arguments: tuple[bytes, ...]


class Exited(NamedTuple):
    """The task has ended with wait status `status`: the exit code shifted left by 8, or a signal's number."""

    time_ns: int
    tid: int
    pid: int
    status: int


class Reaped(NamedTuple):
    """The task is forgotten, and its id free."""

    time_ns: int
    tid: int
    pid: int


class Superseded(NamedTuple):
    """The task has its process's id now, as it executes a program; it was `old_tid` before."""

    time_ns: int
    tid: int
    pid: int
    old_tid: int


class Faulted(NamedTuple):
    """A page fault at `address`; `error_code` is the processor's, `outcome` "minor", "major" or "signal"."""

    time_ns: int
    tid: int
    pid: int
    address: int
    error_code: int
    outcome: str


class OutOfMemoryKilled(NamedTuple):
    """The task's process is killed to get memory."""

    time_ns: int
    tid: int
    pid: int


Event = (
    SystemCallEntered
    | SystemCallReturned
    | StateChanged
    | Switched
    | Woken
    | SignalGenerated
    | SignalDelivered
    | Cloned
    | Executed
    | Exited
    | Reaped
    | Superseded
    | Faulted
    | OutOfMemoryKilled
)
