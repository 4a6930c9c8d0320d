"""Watches the calls of the kernel's own Python functions, without a word in the kernel about it."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Generic, Protocol, TypeVar

PACKAGE = str(Path(__file__).resolve().parent.parent) + "/"
_RETURNS = frozenset(("RETURN_VALUE", "RETURN_CONST"))
_GENERATORS = 0x2A0
"""CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR: they come and go in the midst of a call."""
FAILED = object()
"""What a call gave that ended by an exception."""

Site = TypeVar("Site")
_WatchedSite = TypeVar("_WatchedSite")
_Profile = Callable[[FrameType, str, Any], None]


class CallWatcher(Protocol[Site]):
    """Who is told of calls; it keeps the machine from nothing and changes nothing in it."""

    def site_of(self, code: CodeType) -> Site | None:
        """What is to be told with calls of `code`, None if they aren't; asked once for each function."""

    def called(self, site: Site, frame: FrameType) -> None:
        """A function is entered; `frame` has its arguments."""

    def returned(self, site: Site, result: Any) -> None:
        """It has ended with `result`, or with FAILED."""


class CallWatch(Generic[_WatchedSite]):
    """Tells a `CallWatcher` of calls while it's used as a context manager, from `start` until `stop`.

    `sys.monitoring` is used where there is one (Python 3.12): it costs nothing in functions that nobody
    wants to hear of, and to switch it costs more than to leave it on. Otherwise it's `sys.setprofile`, which
    is called at every function, C's too. Code that was compiled by mypyc makes neither speak.
    """

    def __init__(self, watcher: CallWatcher[_WatchedSite]) -> None:
        self.watcher = watcher
        # By the codes' ids, as a code's hash is that of all it consists of; they are kept alive by `codes`.
        self.sites: dict[int, _WatchedSite | None] = {}
        self.codes: list[CodeType] = []
        self.returns: dict[int, frozenset[int]] = {}
        self.is_on = False
        self.tool: int | None = None
        self.profile = self._profiler()

    def __enter__(self) -> CallWatch[_WatchedSite]:
        if sys.version_info >= (3, 12):
            self._use_monitoring()
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

    def start(self) -> None:
        """Tell of calls from now on."""
        self.is_on = True
        if self.tool is None:
            sys.setprofile(self.profile)

    def stop(self) -> None:
        """Tell of none until the next start."""
        self.is_on = False
        if self.tool is None:
            sys.setprofile(None)

    def _site(self, code: CodeType) -> _WatchedSite | None:
        try:
            return self.sites[id(code)]
        except KeyError:
            pass
        site = None
        if (
            code.co_filename.startswith(PACKAGE)
            and not code.co_flags & _GENERATORS
            and code.co_name[:1] != "<"
        ):
            site = self.watcher.site_of(code)
        self.codes.append(code)
        self.sites[id(code)] = site
        return site

    def _profiler(self) -> _Profile:
        """The function for `sys.setprofile`, which is called more often than anything else: what it needs
        is at hand."""
        sites, find = self.sites, self._site
        returns, find_returns = self.returns, self._find_returns
        called, returned = self.watcher.called, self.watcher.returned

        def profile(frame: FrameType, event: str, result: Any) -> None:
            if event == "call":
                try:
                    site = sites[id(frame.f_code)]
                except KeyError:
                    site = find(frame.f_code)
                if site is not None:
                    called(site, frame)
            elif event == "return":
                code = frame.f_code
                try:
                    site = sites[id(code)]
                except KeyError:
                    site = find(code)
                if site is not None:
                    if result is None:
                        # The profiler isn't told why a function ends: where it stands says that.
                        offsets = returns.get(id(code))
                        if offsets is None:
                            offsets = find_returns(code)
                        if frame.f_lasti not in offsets:
                            result = FAILED
                    returned(site, result)

        return profile

    def _find_returns(self, code: CodeType) -> frozenset[int]:
        """Where `code` has instructions that return: the others at which it may end raise."""
        offsets = self.returns[id(code)] = frozenset(
            each.offset for each in dis.get_instructions(code) if each.opname in _RETURNS
        )
        return offsets

    if sys.version_info >= (3, 12):

        def _use_monitoring(self) -> None:
            monitoring = sys.monitoring
            events = monitoring.events
            tool = self.tool = monitoring.PROFILER_ID
            monitoring.use_tool_id(tool, "procession")
            for event, hook in self._hooks().items():
                monitoring.register_callback(tool, event, hook)
            monitoring.set_events(tool, events.PY_START | events.PY_RETURN | events.PY_UNWIND)

        def _hooks(self) -> dict[int, Callable[..., Any]]:
            """The functions for `sys.monitoring`, by events; what they need is at hand."""
            events, disable, frame_at = sys.monitoring.events, sys.monitoring.DISABLE, sys._getframe
            sites, find = self.sites, self._site
            called, returned = self.watcher.called, self.watcher.returned

            def started(code: CodeType, _offset: int) -> Any:
                try:
                    site = sites[id(code)]
                except KeyError:
                    site = find(code)
                if site is None:
                    return disable
                if self.is_on:
                    called(site, frame_at(1))
                return None

            def ended(code: CodeType, _offset: int, result: Any) -> Any:
                try:
                    site = sites[id(code)]
                except KeyError:
                    site = find(code)
                if site is None:
                    return disable
                if self.is_on:
                    returned(site, result)
                return None

            def unwound(code: CodeType, _offset: int, _exception: BaseException) -> None:
                if self.is_on and (site := find(code)) is not None:
                    returned(site, FAILED)

            return {events.PY_START: started, events.PY_RETURN: ended, events.PY_UNWIND: unwound}
