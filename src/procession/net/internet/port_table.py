"""Which ports of a protocol are taken, by whom, and who gets what is sent to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from procession.abi.errno import EADDRINUSE, EADDRNOTAVAIL
from procession.net.internet.address import ANY_4, ANY_6, is_any
from procession.net.socket import LISTENING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procession.net.sysctls import NetworkSysctls


class Holder(Protocol):
    """What holds a port: a socket, or a connection that is over."""

    family: int
    local_address: bytes
    local_port: int
    state: int

    @property
    def is_ipv6_only(self) -> bool:
        """Whether it has nothing to do with IPv4."""

    @property
    def reuses_address(self) -> bool:
        """SO_REUSEADDR."""

    @property
    def reuses_port(self) -> bool:
        """SO_REUSEPORT."""

    @property
    def owner_uid(self) -> int:
        """Whose it is."""


class PortTable:
    """The ports of one protocol. `holders` has those of each port in the order in which they came.

    `next_offset` is where the search for a free port goes on: as on Linux, connections get even ports and
    bind(2) odd ones as long as there are some. `full` says of which of the two none is left, and in which
    range; `seen_ports` how many the last search has looked at.
    """

    __slots__ = ("full", "holders", "is_stream", "next_offset", "seen_ports", "sysctls")

    def __init__(self, sysctls: NetworkSysctls, *, is_stream: bool) -> None:
        self.sysctls = sysctls
        self.is_stream = is_stream
        self.holders: dict[int, dict[Holder, None]] = {}
        self.next_offset = 0
        self.full: dict[int, tuple[int, int, bytes]] = {}
        self.seen_ports = 0

    def count_at(self, port: int) -> int:
        """How many hold `port`."""
        return len(self.holders.get(port, ()))

    def at(self, port: int) -> Iterable[Holder]:
        """Who holds `port`."""
        return self.holders.get(port, ())

    def add(self, holder: Holder) -> None:
        """`holder` has its port from now on."""
        self.holders.setdefault(holder.local_port, {})[holder] = None

    def remove(self, holder: Holder) -> None:
        """`holder` no longer has its port."""
        holders = self.holders.get(holder.local_port)
        if holders is not None:
            holders.pop(holder, None)
            if not holders:
                del self.holders[holder.local_port]
                for parity in (0, 1):
                    if parity in self.full and (holder.local_port - self.full[parity][0]) & 1 == parity:
                        del self.full[parity]

    def all_holders(self) -> list[Holder]:
        """Everybody, by port."""
        return [holder for port in sorted(self.holders) for holder in self.holders[port]]

    def check_bind(self, socket: Holder, address: bytes, port: int) -> None:
        """Raise EADDRINUSE if `socket` mustn't be bound there.

        Linux: net/ipv4/inet_connection_sock.c, inet_csk_bind_conflict; net/ipv4/udp.c, udp_lib_lport_inuse.
        """
        reuses_address, reuses_port = socket.reuses_address, socket.reuses_port
        for holder in self.at(port):
            if (
                reuses_address
                and holder.reuses_address
                and not (self.is_stream and holder.state == LISTENING)
            ):
                continue
            if holder is socket or not overlaps(socket, address, holder):
                continue
            if not (reuses_port and holder.reuses_port and socket.owner_uid == holder.owner_uid):
                raise EADDRINUSE

    def _is_reserved(self, port: int) -> bool:
        """Whether only who asks for it gets it. Linux: include/net/ip.h, inet_is_local_reserved_port."""
        reserved = self.sysctls.reserved_ports
        return bool(reserved) and bool(reserved[port >> 3] >> (port & 7) & 1)

    def free_port(self, chosen: int = 0, *, for_connection: bool) -> int:
        """A port that nobody holds. Raises EADDRINUSE for bind(2), EADDRNOTAVAIL for connect(2).

        `chosen` is IP_LOCAL_PORT_RANGE: a first port, and 65,536 times a last one, as far as they are in the
        network's range.

        Linux: net/ipv4/inet_connection_sock.c, inet_csk_find_open_port; net/ipv4/inet_hashtables.c,
        __inet_hash_connect.
        """
        first, last = self.sysctls.first_ephemeral, self.sysctls.last_ephemeral
        if chosen:
            ports = self._within(chosen)
            for step in range(len(ports)):
                port = ports[(self.next_offset + step) % len(ports)]
                if port not in self.holders and not self._is_reserved(port):
                    self.seen_ports = step
                    return port
            self.seen_ports = len(ports)
            raise EADDRNOTAVAIL if for_connection else EADDRINUSE
        half = max((last + 1 - first) // 2, 1)
        wanted = 0 if for_connection else 1
        self.seen_ports = 0
        for parity in (wanted, 1 - wanted):
            if self.full.get(parity) == (first, last, self.sysctls.reserved_ports):
                continue
            for step in range(half):
                offset = (self.next_offset + step) % half
                port = first + 2 * offset + parity
                if port not in self.holders and port <= last and not self._is_reserved(port):
                    self.next_offset = (offset + 1) % half
                    self.seen_ports += step
                    return port
            self.seen_ports += half
            self.full[parity] = first, last, self.sysctls.reserved_ports
        raise EADDRNOTAVAIL if for_connection else EADDRINUSE

    def _within(self, chosen: int) -> range:
        """The ports to choose from."""
        first, last = self.sysctls.first_ephemeral, self.sysctls.last_ephemeral
        whole = range(first, last + 1)
        if not chosen:
            return whole
        least, most = chosen & 0xFFFF, chosen >> 16
        return range(least if least in whole else first, (most if most in whole else last) + 1)

    def shared_port(self, socket: Holder, address: bytes, chosen: int) -> int:
        """A port that `socket` may have with others. Raises EADDRINUSE.

        Of streams who has SO_REUSEADDR takes one of such only if ip_autobind_reuse lets him.
        Linux: net/ipv4/inet_connection_sock.c, inet_csk_find_open_port; net/ipv4/udp.c, udp_lib_lport_inuse.
        """
        for port in self._within(chosen):
            holders = self.at(port)
            self.seen_ports += self.count_at(port)
            if not self._is_reserved(port) and not any(
                self._keeps_off(socket, address, holder) for holder in holders
            ):
                return port
        raise EADDRINUSE

    def _keeps_off(self, socket: Holder, address: bytes, holder: Holder) -> bool:
        """Whether `socket` isn't given the port of `holder` without having asked for it."""
        if not overlaps(socket, address, holder):
            return False
        is_reused = socket.reuses_address and holder.reuses_address
        if self.is_stream:
            return not (is_reused and holder.state != LISTENING and self.sysctls.reuses_chosen_ports)
        is_same_owner = socket.owner_uid == holder.owner_uid
        return not (is_reused or (socket.reuses_port and holder.reuses_port and is_same_owner))


_MET_BY_IPV6 = (ANY_4, bytes((127, 0, 0, 6)))
"""Which addresses of IPv4 a connection of IPv6 keeps off whose address wasn't chosen (LOOPBACK4_IPV6)."""


def overlaps(socket: Holder, address: bytes, holder: Holder) -> bool:
    """Whether `address`, for `socket`, and the address of `holder` have one in common.

    Linux: net/ipv4/inet_connection_sock.c, inet_rcv_saddr_equal.
    """
    other = holder.local_address
    if len(address) == len(other):
        return address == other or is_any(address) or is_any(other)
    # One is of IPv4; the other reaches it only as the wildcard of both protocols.
    if len(address) == 16:
        return address == ANY_6 and not socket.is_ipv6_only
    return not holder.is_ipv6_only and (is_any(other) or address in _MET_BY_IPV6)


def reach(holder: Holder, target: bytes) -> int:
    """How well what is sent to `target` fits the address of `holder`: 0 not at all, most exact is highest."""
    address = holder.local_address
    if address == target:
        return 3
    if len(address) == len(target):
        return 2 if is_any(address) else 0
    return 1 if address == ANY_6 and not holder.is_ipv6_only else 0
