"""What memory asks of others: of whose a page frame is, of who can do without some, and who counts faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from procession.hardware.physical_memory import PhysicalMemory


class FrameOwner(Protocol):
    """Who has taken memory, and may take no more than so much: a control group."""

    @property
    def is_protected(self) -> bool:
        """Whether it has so little that others' pages are to be let go first."""

    def charge(self, size: int, /) -> None:
        """A frame takes `size` bytes more. Raises OutOfFrames, nothing changed."""

    def uncharge(self, size: int, /) -> None:
        """The frame that was charged wasn't to be had."""

    def note_file(self, frame: int, pages: object, /) -> None:
        """`frame`, which was charged, is one of the page cache `pages`, of a file that's kept elsewhere."""

    def note_shared_memory(self, frame: int, /) -> None:
        """`frame`, which was charged, belongs to a page cache that is all there is of it."""

    def note_lazy(self, freed: int, taken: int, /) -> None:
        """So many frames, which were charged, may be taken when memory is short, or were taken then."""

    def uncharge_frame(self, frame: int, /) -> None:
        """`frame` isn't its any more."""

    def can_charge(self, size: int, /) -> bool:
        """Whether `size` bytes could be charged."""

    def charge_kernel(self, kind: int, size: int, /) -> None:
        """The kernel's objects of `kind` take `size` bytes more. Raises OutOfFrames, nothing changed."""

    def charge_kernel_always(self, kind: int, size: int, /) -> None:
        """As `charge_kernel` for what can't fail."""

    def uncharge_kernel(self, kind: int, size: int, /) -> None:
        """The kernel's objects of `kind` take `size` bytes less."""


class Reclaimer(Protocol):
    """Who knows how to do without pages that can be had again: how many it saw, how many it took.

    Of pages that programs have freed lazily it knows how many there were, and how many were taken.
    """

    scanned_count: int
    reclaimed_count: int
    lazily_freed_count: int
    lazily_taken_count: int

    def reclaim(self, memory: PhysicalMemory, wanted: int, /) -> int:
        """Let go of about `wanted` frames of anybody's; how many there were."""


class FaultCounts(Protocol):
    """How many page faults there were on somebody's behalf."""

    minor_faults: int
    major_faults: int
