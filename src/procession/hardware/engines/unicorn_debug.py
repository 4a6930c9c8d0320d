"""Stops in front of instructions, for who debugs a machine from outside: nothing of the guest changes.

The library calls a hook in front of each instruction that is watched. Where it shall stop, the processor
stops there, with the registers as the instruction finds them. The rest of the block is a block of its own
when it goes on; so that the meter counts as if it had never stopped, `settle` gives back what that one costs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from ctypes import byref, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from typing import TYPE_CHECKING, Protocol

from procession.hardware.engines.unicorn_library import (
    HOOK_CODE,
    HOOK_MEMORY_READ,
    HOOK_MEMORY_WRITE,
    MEMORY_WRITE,
)
from procession.hardware.engines.unicorn_machine_code import block_price
from procession.hardware.registers import RIP

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn import UnicornEngine

_CODE_CALLBACK = ctypes.CFUNCTYPE(None, c_void_p, c_uint64, c_uint32, c_void_p)
_EVERYWHERE = (1, 0)
_ACCESS_CALLBACK = ctypes.CFUNCTYPE(None, c_void_p, c_int, c_uint64, c_int, c_int64, c_void_p)


class InstructionWatch:
    """Watches the instructions at some addresses, or all. `shall_stop` is asked in front of each."""

    def __init__(self, engine: UnicornEngine, shall_stop: Callable[[int], bool]) -> None:
        self.engine = engine
        self.shall_stop = shall_stop
        self.callback = _CODE_CALLBACK(self._on_instruction)
        self.hooks: dict[tuple[int, int], c_size_t] = {}
        self.is_stopped = False
        self.budget = 0

    def settle(self) -> None:
        """The processor has been stopped, at the `budget` that there was: it's to be so when it goes on."""
        engine = self.engine
        self.is_stopped = False
        size = engine.library.block_size(engine.handle, engine.general[RIP])
        engine.budget[0] = self.budget + block_price(size)

    def watch(self, addresses: Iterable[int], *, is_everywhere: bool) -> None:
        """Watch `addresses` from now on, or with `is_everywhere` every instruction; between two runs."""
        ranges = {_EVERYWHERE} if is_everywhere else {(address, address) for address in addresses}
        added, gone = ranges - self.hooks.keys(), self.hooks.keys() - ranges
        if not added and not gone:
            return
        library, handle = self.engine.library, self.engine.handle
        for which in gone:
            library.check(library.hook_delete(handle, self.hooks.pop(which)))
            self.engine.stops.leave()
        for which in added:
            hook = c_size_t()
            start, end = which
            library.check(
                library.hook_add(
                    *(handle, byref(hook), c_int(HOOK_CODE), self.callback, c_void_p(0)),
                    *(c_uint64(start), c_uint64(end)),
                )
            )
            self.hooks[which] = hook
            self.engine.stops.watch()
        # What was translated before has no hooks in it, or the old ones.
        self.engine.forget_code(None)

    def _on_instruction(self, _handle: object, address: int, _size: int, _data: object) -> None:
        if self.is_stopped or not self.shall_stop(address):
            return
        self.is_stopped = True
        self.budget = self.engine.budget[0]
        self.engine.stop()


class Accessed(Protocol):
    """Who hears of accesses."""

    def __call__(self, physical: int, size: int, *, is_write: bool) -> None:
        """An instruction accesses `size` bytes at an address of the machine's memory."""


class AccessWatch:
    """Tells of what instructions read and write, by addresses of the machine's memory.

    What the kernel reads and writes for a program isn't told.
    """

    def __init__(self, engine: UnicornEngine, accessed: Accessed) -> None:
        self.engine = engine
        self.accessed = accessed
        self.callback = _ACCESS_CALLBACK(self._on_access)
        self.hooks: dict[int, c_size_t] = {}

    def watch(self, *, reads: bool, writes: bool) -> None:
        """Tell of these from now on; between two runs."""
        wanted = {
            kind for kind, is_wanted in ((HOOK_MEMORY_READ, reads), (HOOK_MEMORY_WRITE, writes)) if is_wanted
        }
        added, gone = wanted - self.hooks.keys(), self.hooks.keys() - wanted
        if not added and not gone:
            return
        library, handle = self.engine.library, self.engine.handle
        for kind in gone:
            library.check(library.hook_delete(handle, self.hooks.pop(kind)))
            self.engine.stops.leave()
        for kind in sorted(added):
            self.hooks[kind] = library.add_hook(handle, kind, self.callback)
            self.engine.stops.watch()
        # The code that was translated before accesses memory without telling.
        self.engine.forget_code(None)

    def _on_access(
        self, _handle: object, kind: int, address: int, size: int, _value: int, _data: object
    ) -> None:
        self.accessed(address, size, is_write=kind == MEMORY_WRITE)
