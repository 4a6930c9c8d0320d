"""A packet as rules see it: its bytes, where it came in and where it goes out, at one hook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.nftables import ProtocolFamily
from procession.net.internet.packet import header_bytes

if TYPE_CHECKING:
    from procession.net.internet.packet import Packet
    from procession.net.link.interface import Interface
    from procession.net.netfilter.ruleset import Table
    from procession.net.netfilter.tracking import Tracked
    from procession.net.network import Network

_INVALID = 1
"""NF_CT_STATE_INVALID_BIT."""
IPV4, IPV6 = int(ProtocolFamily.NFPROTO_IPV4), int(ProtocolFamily.NFPROTO_IPV6)


class Passing:
    """One packet at one hook of `network` (Linux: include/net/netfilter/nf_tables.h, struct nft_pktinfo).

    `arrived` and `out` are the interfaces, None where there is none at this hook. `family` is NFPROTO_IPV4 or
    NFPROTO_IPV6; `table` is that whose chain is evaluated. `whole` is all of the packet from its header of IP
    on, of which `transport_offset` bytes are that header. `tracked` is what it is to its connection, None if
    it belongs to none or nobody asks. `step_count` expressions have been run.
    """

    __slots__ = (
        "arrived",
        "family",
        "hook",
        "network",
        "out",
        "packet",
        "step_count",
        "table",
        "tracked",
        "transport_offset",
        "whole",
    )

    def __init__(
        self, network: Network, packet: Packet, hook: int, arrived: Interface | None, out: Interface | None
    ) -> None:
        self.network = network
        self.packet = packet
        self.hook = hook
        self.arrived = arrived
        self.out = out
        self.table: Table | None = None
        self.tracked: Tracked | None = None
        self.step_count = 0
        is_4 = len(packet.target) == 4
        self.family = IPV4 if is_4 else IPV6
        self.whole = b""
        self.transport_offset = header_bytes(packet.target) + len(packet.options)
        self.look_again()

    def look_again(self) -> None:
        """The packet has changed."""
        packet = self.packet
        self.whole = packet.with_header() if self.family == IPV4 else packet.with_header_6()

    @property
    def connection_state(self) -> int:
        """The bit of its state, as NF_CT_STATE_BIT says."""
        return _INVALID if self.tracked is None else 2 << self.tracked.place
