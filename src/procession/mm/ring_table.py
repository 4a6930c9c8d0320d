"""The contexts of asynchronous input and output of an address space, by their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from procession.abi.numbers import Numbers

if TYPE_CHECKING:
    from procession.mm.vma import SharedAnonymous


class EventRing(Protocol):
    """What an address space knows of a context of asynchronous input and output (`fs.aio`)."""

    address: int

    @property
    def number(self) -> int:
        """Its number among those of the address space."""

    @property
    def pages(self) -> SharedAnonymous:
        """Its ring."""

    def release(self) -> None:
        """The address space is gone."""


class RingTable:
    """The contexts of one address space (Linux: fs/aio.c, struct kioctx_table).

    Linux looks at all numbers for the first free one: a program with ten thousand contexts would wait for
    each look here. Several may have one address: where the ring of one is mapped no more, another's may be.
    """

    __slots__ = ("numbered", "numbers")

    def __init__(self) -> None:
        self.numbered: dict[int, EventRing] = {}
        self.numbers = Numbers(0)

    def free_number(self) -> int:
        """The lowest number that no context has. Linux: fs/aio.c, ioctx_add_table."""
        return self.numbers.lowest

    def add(self, ring: EventRing) -> None:
        """Enter a context, whose number is the lowest free one."""
        number = self.numbers.take()
        assert number == ring.number
        self.numbered[ring.number] = ring

    def remove(self, ring: EventRing) -> None:
        """A context is destroyed. Linux: fs/aio.c, kill_ioctx."""
        del self.numbered[ring.number]
        self.numbers.give_back(ring.number)
