"""Stops in front of instructions, for who debugs a machine from outside: nothing of the guest changes.

The library calls a hook in front of each instruction that is watched. Where it shall stop, the processor
stops there, with the registers as the instruction finds them. The rest of the block is a block of its own
when it goes on; so that the meter counts as if it had never stopped, that one is paid for here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from ctypes import byref, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from typing import TYPE_CHECKING

from procession.hardware.engines.unicorn_library import HOOK_CODE

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn import UnicornEngine

_CODE_CALLBACK = ctypes.CFUNCTYPE(None, c_void_p, c_uint64, c_uint32, c_void_p)
_EVERYWHERE = (1, 0)


class InstructionWatch:
    """Watches the instructions at some addresses, or all. `shall_stop` is asked in front of each."""

    def __init__(self, engine: UnicornEngine, shall_stop: Callable[[int], bool]) -> None:
        self.engine = engine
        self.shall_stop = shall_stop
        self.callback = _CODE_CALLBACK(self._on_instruction)
        self.hooks: dict[tuple[int, int], c_size_t] = {}
        self.is_stopped = False

    def watch(self, addresses: Iterable[int], *, is_everywhere: bool) -> None:
        """Watch `addresses` from now on, or with `is_everywhere` every instruction; between two runs."""
        ranges = {_EVERYWHERE} if is_everywhere else {(address, address) for address in addresses}
        added, gone = ranges - self.hooks.keys(), self.hooks.keys() - ranges
        if not added and not gone:
            return
        library, handle = self.engine.library, self.engine.handle
        for which in gone:
            library.check(library.hook_delete(handle, self.hooks.pop(which)))
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
        # What was translated before has no hooks in it, or the old ones.
        self.engine.forget_code(None)

    def _on_instruction(self, _handle: object, address: int, _size: int, _data: object) -> None:
        if self.is_stopped or not self.shall_stop(address):
            return
        self.is_stopped = True
        self.engine.budget[0] += 1
        self.engine.stop()
