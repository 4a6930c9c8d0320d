"""Where translated code looks whether the processor has been stopped: between blocks alone, as a rule.

The library has it look after each access to memory too, and before each instruction that is watched, for who
stops the processor there. Each look is a call of a function: bash takes a third longer for it. Without such a
watcher the library is told to leave that out, by a mark of its own that holds for what it translates then.
"""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING

from procession.abi.word import Words

if TYPE_CHECKING:
    from ctypes import c_void_p

    from procession.hardware.engines.unicorn_library import UnicornLibrary

_TRANSLATE_CHECK = "check_exit_request_x86_64"
"""The function that puts a look into the code that is being translated, unless the mark says not to."""
_BEGINNING = re.compile(rb"\x48\x8b\xb7(.{4})\x80\xbe(.{4})\x00\x74.\xc3", re.DOTALL)
"""mov rsi, [rdi + ...], the handle's object; cmp byte [rsi + the mark's place], 0; je ...; ret"""
_LOOKED_AT_BYTES = 17
_OFFSET = Words("<i")


class StopChecks:
    """Whether code that is translated now looks after accesses and before instructions.

    It does while there are `watchers`: who becomes one has what was translated before forgotten. A library
    whose function begins otherwise always does. At `holder_offset` its object of translations tells of the
    handle's object; 0 if it isn't known where.
    """

    __slots__ = ("holder_offset", "mark", "watchers")

    def __init__(self, library: UnicornLibrary, handle: c_void_p) -> None:
        self.watchers = 0
        self.holder_offset = 0
        self.mark: ctypes.c_ubyte | None = None
        beginning = ctypes.string_at(library.address_of(_TRANSLATE_CHECK), _LOOKED_AT_BYTES)
        found = _BEGINNING.match(beginning)
        if found is not None and handle.value:
            [self.holder_offset] = _OFFSET.unpack(found[1])
            [offset] = _OFFSET.unpack(found[2])
            self.mark = ctypes.c_ubyte.from_address(handle.value + offset)
            self.mark.value = 1

    def watch(self) -> None:
        """There is one more who stops the processor at an instruction or an access."""
        self.watchers += 1
        if self.mark is not None:
            self.mark.value = 0

    def leave(self) -> None:
        """There is one less."""
        self.watchers -= 1
        if self.mark is not None and not self.watchers:
            self.mark.value = 1
