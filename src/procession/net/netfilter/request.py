"""A request to the packet filter: its family and attributes (nft(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.nftables import Nfgenmsg
from procession.net.netlink.attributes import nested_in

if TYPE_CHECKING:
    from procession.abi.netlink import NetlinkFlag
    from procession.net.netlink.attributes import Request
    from procession.net.network import Network


class FilterRequest:
    """A request as handlers read it: `operation` is the lower byte of its type, `found` its attributes."""

    __slots__ = ("family", "found", "is_dump", "network", "operation", "request", "subsystem")

    def __init__(self, request: Request) -> None:
        if len(request.body) < Nfgenmsg.SIZE:
            raise EINVAL("a struct nfgenmsg is needed")
        self.request = request
        self.network: Network = request.network
        self.subsystem = request.kind >> 8
        self.operation = request.kind & 0xFF
        self.family = request.body[0]
        self.is_dump = request.is_dump
        self.found = nested_in(request.body[Nfgenmsg.SIZE :])

    def has(self, flag: NetlinkFlag) -> bool:
        """Whether NLM_F_CREATE ... is there."""
        return self.request.has(flag)
