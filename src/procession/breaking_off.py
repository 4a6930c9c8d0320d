"""Breaking off a machine in the middle of the kernel's work, for who can't wait for the end of that.

What a call takes follows from what is there, so it may take a machine of gigabytes many seconds.
"""

from __future__ import annotations

import ctypes
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

    __slots__ = ("thread_id",)

    def __init__(self) -> None:
        self.thread_id = threading.get_ident()

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
        _raise_in(self.thread_id, BrokenOff)

    def withdraw(self) -> None:
        """Don't raise it any more, if that hasn't been done."""
        _raise_in(self.thread_id, None)


def _raise_in(thread_id: int, kind: type[BaseException] | None) -> None:
    error = ctypes.py_object() if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), error)


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
