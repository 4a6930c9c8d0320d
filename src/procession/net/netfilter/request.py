"""A request to the packet filter: its family and attributes (nft(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ERANGE
from procession.abi.netlink import Nlmsghdr
from procession.abi.nftables import Nfgenmsg
from procession.net.netlink.attributes import ATTRIBUTE_BYTES, attribute_offset, nested_in, text_in

if TYPE_CHECKING:
    from procession.abi.netlink import NetlinkFlag
    from procession.net.netlink.attributes import Request
    from procession.net.network import Network

LONGEST_NAME = 255
"""NFT_NAME_MAXLEN without the NUL."""


class FilterRequest:
    """A request as handlers read it: `operation` is the lower byte of its type, `found` its attributes.

    `blamed` is the attribute that is looked at, about which an error is: its kind, and within a list which.
    """

    __slots__ = ("blamed", "family", "found", "is_dump", "network", "operation", "request", "subsystem")

    def __init__(self, request: Request) -> None:
        if len(request.body) < Nfgenmsg.SIZE:
            raise EINVAL("a struct nfgenmsg is needed")
        self.request = request
        self.network: Network = request.network
        self.subsystem = request.kind >> 8
        self.operation = request.kind & 0xFF
        self.family = request.body[0]
        self.is_dump = request.is_dump
        self.blamed: tuple[int, int] | None = None
        self.found = nested_in(request.body[Nfgenmsg.SIZE :])

    def name(self, kind: int) -> bytes | None:
        """The name in an attribute, which is looked at from now on; None if it isn't there. Raises ERANGE."""
        self.blame(kind)
        name = text_in(self.found, kind)
        if name is not None and len(name) > LONGEST_NAME:
            raise ERANGE("a name too long")
        return name

    def blame(self, kind: int, index: int = -1) -> None:
        """Errors from now on are about this attribute, or about one of the list in it."""
        self.blamed = kind, index

    @property
    def blamed_offset(self) -> int:
        """Where in the message the attribute is that an error is about, 0 if there is none."""
        if self.blamed is None:
            return 0
        kind, index = self.blamed
        body = self.request.body
        offset = attribute_offset(body, Nfgenmsg.SIZE, kind)
        if not offset:
            return 0
        if index >= 0:
            offset += ATTRIBUTE_BYTES
            for _ in range(index):
                offset += int.from_bytes(body[offset : offset + 2], "little") + 3 & ~3
        return Nlmsghdr.SIZE + offset

    def has(self, flag: NetlinkFlag) -> bool:
        """Whether NLM_F_CREATE ... is there."""
        return self.request.has(flag)
