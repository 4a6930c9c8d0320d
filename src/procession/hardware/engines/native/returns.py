"""Returns that the host's processor couldn't make at once: where the stub goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.engines.native.window import MAPPED
from procession.hardware.registers import RCX
from procession.hardware.translation import layout
from procession.hardware.translation.layout import HIGH_VIEW

if TYPE_CHECKING:
    from procession.hardware.engines.native.engine import NativeEngine
    from procession.hardware.engines.native.space import Space

_PAGE_FAULT = 14
_TARGET, _SAVED_RCX = layout.TARGET >> 3, layout.SAVED_RCX >> 3
_FAULT_ADDRESS, _FAULT_RIP, _FAULT_VECTOR = (
    offset >> 3 for offset in (layout.FAULT_ADDRESS, layout.FAULT_RIP, layout.FAULT_VECTOR)
)


def return_without(engine: NativeEngine, space: Space) -> int:
    """It takes a write to the guest's stack, which has faulted; rsp is as it's going to be. 0: to look."""
    words = engine.words
    is_page_fault = words[_FAULT_VECTOR] == _PAGE_FAULT
    if is_page_fault and space.window.fill(words[_FAULT_ADDRESS], is_write=True) == MAPPED:
        return words[_FAULT_RIP]
    engine.general[RCX] = words[_SAVED_RCX]
    return engine.missed(space)


def return_to_nobody(engine: NativeEngine, space: Space) -> int:
    """It went to 0, as nobody has returned to its place yet: such ones look among the indirect jumps from now
    on, as this one does.
    """
    space.note_return(engine.words[_TARGET])
    return HIGH_VIEW + engine.store.cache.labels["returned"]
