"""Labels of nets of IPv6 by which an address to send from is chosen (RFC 6724; ip-addrlabel(8))."""

from __future__ import annotations

from procession.abi.named_tuple import NamedTuple
from procession.net.internet.address import LOOPBACK_6
from procession.net.internet.routing import masked

_MAPPED = bytes(10) + b"\xff\xff" + bytes(4)
_FIRST = (
    (LOOPBACK_6, 128, 0),
    (bytes(16), 96, 3),
    (_MAPPED, 96, 4),
    (b"\x20\x01" + bytes(14), 32, 6),
    (b"\x20\x01\x00\x10" + bytes(12), 28, 7),
    (b"\x3f\xfe" + bytes(14), 16, 12),
    (b"\x20\x02" + bytes(14), 16, 2),
    (b"\xfe\xc0" + bytes(14), 10, 11),
    (b"\xfc" + bytes(15), 7, 5),
    (bytes(16), 0, 1),
)
"""Linux: net/ipv6/addrlabel.c, ip6addrlbl_init_table."""


class Label(NamedTuple):
    """What the net is called whose addresses have these first bits, at one interface or (0) at all."""

    net: bytes
    prefix_length: int
    label: int
    interface_index: int = 0

    def has_place_of(self, other: Label) -> bool:
        """Whether both say it of the same net."""
        return (self.net, self.prefix_length, self.interface_index) == (
            *(other.net, other.prefix_length, other.interface_index),
        )


class Labels:
    """Those of a network, the longest prefixes first; `change_count` counts how often they have changed.

    `by_net` and `lengths` find them, as they were after `indexed_count` changes.
    """

    __slots__ = ("by_net", "change_count", "indexed_count", "labels", "lengths")

    def __init__(self) -> None:
        self.labels = [Label(*each) for each in _FIRST]
        self.change_count = len(_FIRST)
        self._index()

    def find(self, address: bytes, interface_index: int) -> Label | None:
        """What `address` is called at an interface. Linux: net/ipv6/addrlabel.c, __ipv6_addr_label."""
        if self.indexed_count != self.change_count:
            self._index()
        for length in self.lengths:
            net = masked(address, length)
            found = self.by_net.get((net, length, interface_index)) or self.by_net.get((net, length, 0))
            if found is not None:
                return found
        return None

    def _index(self) -> None:
        """Find them by their nets from now on: there may be thousands, but few lengths."""
        self.by_net = {(each.net, each.prefix_length, each.interface_index): each for each in self.labels}
        self.lengths = sorted({each.prefix_length for each in self.labels}, reverse=True)
        self.indexed_count = self.change_count

    def label_of(self, address: bytes, interface_index: int) -> int | None:
        """Its label, None if it has none."""
        found = self.find(address, interface_index)
        return None if found is None else found.label

    def place_of(self, label: Label) -> int | None:
        """Where the one of the same net is, None if there is none."""
        return next((at for at, other in enumerate(self.labels) if other.has_place_of(label)), None)

    def add(self, new: Label) -> None:
        """`new` is in its place from now on. Linux: net/ipv6/addrlabel.c, __ip6addrlbl_add."""
        place = next(
            (
                at
                for at, other in enumerate(self.labels)
                if other.prefix_length < new.prefix_length
                or (other.prefix_length == new.prefix_length and not other.interface_index)
            ),
            len(self.labels),
        )
        self.labels.insert(place, new)
        self.change_count += 1

    def remove(self, place: int) -> None:
        """The one there is gone; as in Linux that isn't counted as a change."""
        del self.labels[place]
        self._index()
