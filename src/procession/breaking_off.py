"""Breaking off a machine in the middle of the kernel's work, for who can't wait for the end of that.

What a call takes follows from what is there, so it may take a machine of gigabytes many seconds.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from types import FrameType

from procession.abi.syscall_numbers import name_of

GRACE_S = 1.0
"""How long the kernel may go on with what it's doing, once the machine shall end."""
DECODERS = "<decoder of "
"""How the names of files begin from which the decoders of system calls come, which bear the calls' names."""
_LAYERS = ("syscalls", "kernel", "procfs", "net", "fs", "mm")
_KERNEL = tuple(f"procession.{layer}." for layer in _LAYERS)


class BrokenOff(BaseException):
    """Raised in the middle of the kernel's work: the machine is of no use any more."""


class Breaker:
    """Sees from other threads what the one that has made this is doing, and breaks it off."""

    __slots__ = ("is_sent", "thread_id")

    def __init__(self) -> None:
        self.thread_id = threading.get_ident()
        self.is_sent = False

    def kernel_work(self) -> FrameType | None:
        """The entry of the kernel that the thread is in, another object for each; None outside.

        Where the kernel is compiled only system calls can be seen, by their decoders.
        """
        found = None
        frame = sys._current_frames().get(self.thread_id)
        while frame is not None:
            is_decoder = frame.f_code.co_filename.startswith(DECODERS)
            if is_decoder or frame.f_globals.get("__name__", "").startswith(_KERNEL):
                found = frame
            frame = frame.f_back
        return found

    def break_off(self) -> None:
        """Have BrokenOff raised in the thread, as soon as it runs Python's code."""
        self.is_sent = True
        _raise(self.thread_id)

    def withdraw(self) -> None:
        """Called by the thread itself: nobody sends it any more, and it isn't raised later.

        It can't be taken back: Python would go on to look for it at each step, and never end under a tracer.
        So it's sent once more, in the place of what may be on its way, and caught.
        """
        if not self.is_sent:
            return
        self.is_sent = False
        try:
            _raise(self.thread_id)
            while True:
                pass
        except BrokenOff:
            return


def _raise(thread_id: int) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), ctypes.py_object(BrokenOff))


def call_in_traceback(error: BaseException) -> str:
    """The system call in whose handler `error` was raised, "" if in none."""
    from traceback import walk_tb

    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(DECODERS):
            return frame.f_code.co_name
        slept = frame.f_locals.get("frame")
        if frame.f_code.co_name == "_continue_call" and slept is not None:
            return name_of(slept.number)
    return ""


def start_without_signals(thread: threading.Thread) -> None:
    """Start a thread that takes none of the host's signals.

    Python runs their handlers in the main thread. If another took one, the main thread would sleep on in its
    system call and not hear of it before that ends.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
