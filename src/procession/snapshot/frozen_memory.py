"""What a whole mapping held at one moment, kept without copying it: the host copies what is written later.

The mapping's pages are moved elsewhere (mremap(2), MREMAP_DONTUNMAP), tables and all, and stay there as they
are; where they were, the same file is mapped privately, so that the first write to a page copies it. That
costs nothing at once but two calls, and later a fault of the host's for each page that is still used.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from procession.abi.mmap_flags import MapFlag, MremapFlag, Protection
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE

if TYPE_CHECKING:
    from mmap import mmap

    from procession.hardware.physical_memory import PhysicalMemory

_NO_ACCESS = int(Protection.PROT_NONE)
_READ_WRITE = int(Protection.PROT_READ | Protection.PROT_WRITE)
_UNUSED = int(MapFlag.MAP_PRIVATE | MapFlag.MAP_ANONYMOUS | MapFlag.MAP_NORESERVE)
_IN_PLACE = int(MapFlag.MAP_PRIVATE | MapFlag.MAP_FIXED | MapFlag.MAP_NORESERVE)
_TABLES_AND_ALL = int(MremapFlag.MREMAP_MAYMOVE | MremapFlag.MREMAP_FIXED | MremapFlag.MREMAP_DONTUNMAP)
_FAILED = ctypes.c_void_p(-1).value
_TABLE_SPAN = 1 << 21
"""What one table of the host's maps: so much moves at once if the place is alike modulo that."""

# These hold Python's lock: nobody may write to the mapping meanwhile.
_HOST = ctypes.PyDLL(None)
_WORD = ctypes.c_size_t
_MMAP = ctypes.PYFUNCTYPE(_WORD, _WORD, _WORD, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)(
    ("mmap", _HOST)
)
_MREMAP = ctypes.PYFUNCTYPE(_WORD, _WORD, _WORD, _WORD, ctypes.c_int, _WORD)(("mremap", _HOST))
_MUNMAP = ctypes.PYFUNCTYPE(ctypes.c_int, _WORD, _WORD)(("munmap", _HOST))


class FrozenMemory:
    """The contents of a mapping as they were, `size` bytes at `view`."""

    __slots__ = ("address", "size", "view")

    def __init__(self, address: int, size: int) -> None:
        self.address = address
        self.size = size
        self.view = memoryview((ctypes.c_char * size).from_address(address)).cast("B")

    def page(self, frame: int) -> bytes:
        """What page `frame` held."""
        base = frame << PAGE_SHIFT
        return bytes(self.view[base : base + PAGE_SIZE])

    def __del__(self) -> None:
        self.view.release()
        _MUNMAP(self.address, self.size)


def freeze(memory: PhysicalMemory) -> FrozenMemory | None:
    """What `memory` holds now, which no other process may have mapped; None if that can't be had so.

    Its file isn't the memory any more afterwards: no process can share it.
    """
    if memory.descriptor < 0:
        return None
    place = _set_aside(memory.bytes, memory.descriptor)
    if place is None:
        return None
    memory.leave_file()
    return FrozenMemory(place, len(memory.bytes))


def _set_aside(mapping: mmap, descriptor: int) -> int | None:
    """Move the pages of a mapping away, and map their file privately there; where they are then."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    size = len(mapping)
    room = _MMAP(0, size + _TABLE_SPAN, _NO_ACCESS, _UNUSED, -1, 0)
    if room == _FAILED:
        return None
    place: int = room + (address - room) % _TABLE_SPAN
    end = room + size + _TABLE_SPAN
    moved = _MREMAP(address, size, size, _TABLES_AND_ALL, place)
    if moved == _FAILED:
        _MUNMAP(room, end - room)
        return None
    if place > room:
        _MUNMAP(room, place - room)
    _MUNMAP(place + size, end - place - size)
    if _MMAP(address, size, _READ_WRITE, _IN_PLACE, descriptor, 0) == _FAILED:
        # The file is still mapped at both places.
        _MUNMAP(place, size)
        return None
    return place
