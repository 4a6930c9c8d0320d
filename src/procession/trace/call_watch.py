"""Watches the calls of the kernel's own Python functions, without a word in the kernel about it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from opcode import opmap
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Protocol

PACKAGE = str(Path(__file__).resolve().parent.parent) + "/"
_RETURNS = frozenset(opmap[name] for name in ("RETURN_VALUE", "RETURN_CONST") if name in opmap)
_GENERATORS = 0x2A0
"""CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR: they come and go in the midst of a call."""
FAILED = object()
"""What a call gave that ended by an exception."""


class CallWatcher(Protocol):
    """Who is told of calls; it keeps the machine from nothing and changes nothing in it."""

    def wants(self, code: CodeType) -> bool:
        """Whether calls of `code` are to be told; asked once for each function."""

    def called(self, code: CodeType, frame: FrameType) -> None:
        """A function is entered; `frame` has its arguments."""

    def returned(self, code: CodeType, result: Any) -> None:
        """It has ended with `result`, or with FAILED."""


class CallWatch:
    """Tells a `CallWatcher` of calls while it's used as a context manager.

    `sys.monitoring` is used where there is one (Python 3.12): it costs nothing in functions that nobody
    wants to hear of. Otherwise it's `sys.setprofile`, which is called at every function. Code that was
    compiled by mypyc makes neither speak.
    """

    def __init__(self, watcher: CallWatcher) -> None:
        self.watcher = watcher
        self.wanted: dict[CodeType, bool] = {}
        self.tool: int | None = None

    def __enter__(self) -> CallWatch:
        if sys.version_info >= (3, 12):
            self._use_monitoring()
        else:
            sys.setprofile(self._profile)
        return self

    def __exit__(self, *exception: object) -> None:
        if sys.version_info >= (3, 12) and self.tool is not None:
            monitoring = sys.monitoring
            monitoring.set_events(self.tool, 0)
            monitoring.free_tool_id(self.tool)
            monitoring.restart_events()
            self.tool = None
        else:
            sys.setprofile(None)

    def _is_wanted(self, code: CodeType) -> bool:
        wanted = self.wanted.get(code)
        if wanted is None:
            wanted = self.wanted[code] = (
                code.co_filename.startswith(PACKAGE)
                and not code.co_flags & _GENERATORS
                and code.co_name[:1] != "<"
                and self.watcher.wants(code)
            )
        return wanted

    def _profile(self, frame: FrameType, event: str, result: Any) -> None:
        code = frame.f_code
        if event == "call":
            if self._is_wanted(code):
                self.watcher.called(code, frame)
        elif event == "return" and self._is_wanted(code):
            # The profiler isn't told why a function ends: the instruction at which it stands says so.
            is_return = code.co_code[frame.f_lasti] in _RETURNS
            self.watcher.returned(code, result if is_return else FAILED)

    if sys.version_info >= (3, 12):

        def _use_monitoring(self) -> None:
            monitoring = sys.monitoring
            events = monitoring.events
            tool = self.tool = monitoring.PROFILER_ID
            monitoring.use_tool_id(tool, "procession")
            hooks: dict[int, Callable[..., Any]] = {
                events.PY_START: self._started,
                events.PY_RETURN: self._returned,
                events.PY_UNWIND: self._unwound,
            }
            for event, hook in hooks.items():
                monitoring.register_callback(tool, event, hook)
            monitoring.set_events(tool, events.PY_START | events.PY_RETURN | events.PY_UNWIND)

        def _started(self, code: CodeType, _offset: int) -> Any:
            if not self._is_wanted(code):
                return sys.monitoring.DISABLE
            self.watcher.called(code, sys._getframe(1))
            return None

        def _returned(self, code: CodeType, _offset: int, result: Any) -> Any:
            if not self._is_wanted(code):
                return sys.monitoring.DISABLE
            self.watcher.returned(code, result)
            return None

        def _unwound(self, code: CodeType, _offset: int, _exception: BaseException) -> None:
            if self._is_wanted(code):
                self.watcher.returned(code, FAILED)
