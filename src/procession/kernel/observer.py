"""What the kernel tells whoever watches a machine, and when: the choke points of its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from procession.abi.errno import Errno
    from procession.kernel.signal.info import SigInfo
    from procession.kernel.task import Task

# The kinds of `task_event`, and what `detail` is for each.
CLONE: Final = "clone"
"""`task` has come to be; nothing. Its maker is the running task."""
EXEC: Final = "exec"
"""`task` runs a new program; nothing."""
EXIT: Final = "exit"
"""`task` has ended, and is a zombie; nothing."""
REAP: Final = "reap"
"""`task` is forgotten, and its id free; nothing."""
SUPERSEDE: Final = "supersede"
"""`task`, which executes a program, has the id of its group's leader now; the id that it had."""
OOM_KILL: Final = "oom-kill"
"""`task` is killed to get memory; nothing."""
STATE: Final = "state"
"""`task` has come to another state; the one that it had."""
SWITCH: Final = "switch"
"""`task` has the processor now; nothing."""
WAKE: Final = "wake"
"""`task` slept, and is about to be runnable; the cause, one of the CAUSE_ constants."""
SIGNAL_SENT: Final = "signal-sent"
"""A signal was generated for `task`: its SigInfo, whether it's for the whole process, and what became of it,
one of the SENT_ constants."""
SIGNAL: Final = "signal"
"""`task` is about to take a signal: its SigInfo."""
FAULT: Final = "fault"
"""`task` has made a page fault: the address, the processor's error code, and the outcome, of FAULT_."""
ACCESS: Final = "access"
"""`task` accesses memory that others share, which is told where a schedule is chosen by that: a name of the
region, the address in it, how many bytes, whether it writes, whether nothing comes between its reading and
writing, the address of the instruction, and the number of the library's file that it's in, or 0."""
LINKER: Final = -1
"""The library that is the dynamic linker: what it writes, any other may read by its leave alone."""
LOOK_FOR_CHILDREN, LOOK_FOR_PARENT = "look-for-children", "look-for-parent"
"""`task` asks what has become of its children, or who its parent is; nothing."""

CAUSE_QUEUE, CAUSE_TIMER, CAUSE_SIGNAL, CAUSE_CONTINUE = "queue", "timer", "signal", "continue"
"""Why a task wakes: what it waits for may have come, its time is over, a signal is pending, or SIGCONT."""
SENT_QUEUED, SENT_IGNORED, SENT_PENDING, SENT_LOST = "queued", "ignored", "pending already", "lost"
"""What became of a signal (Linux: include/trace/events/signal.h, TRACE_SIGNAL_DELIVERED and its like)."""
FAULT_MINOR: Final = "minor"
FAULT_MAJOR: Final = "major"
FAULT_SIGNAL: Final = "signal"


class Observer(Protocol):
    """Who watches. It's told while things happen, and changes nothing: a run is the same without it.

    The kernel asks `kernel.observer is not None` before it tells anything, so that nobody pays for what
    nobody hears. Other kinds of `task_event` may come to be.
    """

    def system_call_entered(self, task: Task, call: Any, arguments: tuple[Any, ...]) -> None:
        """`task` calls `call`, as it is declared; `arguments` are decoded."""

    def system_call_returned(
        self, task: Task, call: Any, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """`task` comes back from `call` with `outcome`; None counts as 0.

        Where the arguments couldn't be decoded they are (), and the call wasn't entered.
        """

    def unknown_call(self, task: Task, number: int) -> None:
        """`task` made a call that isn't built; it was answered ENOSYS."""

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """Something else has happened to `task`."""


class SignalGate(Protocol):
    """Who is asked before a task takes a signal, as a debugger outside the machine is."""

    def holds(self, task: Task) -> bool:
        """Whether it's asked about the signals of `task`: none of them ends it before."""

    def signal_for(self, task: Task, info: SigInfo) -> int:
        """The signal that `task` takes instead: that of `info`, another, or 0 for none."""
