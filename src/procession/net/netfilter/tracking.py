"""Connection tracking: which packets belong to one connection, and what has been seen of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.conntrack import TrackedState
from procession.abi.duration import NS_PER_S
from procession.abi.named_tuple import NamedTuple
from procession.abi.nftables import ConnectionPlace, ConnectionStatus
from procession.abi.word import Words
from procession.hardware.kernel_memory import PACKET_FILTER
from procession.net.internet.packet import (
    ICMP,
    ICMP6,
    IPV4_HEADER_BYTES,
    IPV6_HEADER_BYTES,
    TCP,
    UDP,
    UDP_LITE,
)
from procession.net.internet.passage import ACKNOWLEDGED, FIN, RESET, SEGMENT_HEADER, SYN

if TYPE_CHECKING:
    from procession.net.internet.packet import Packet
    from procession.net.network import Network

CONNECTION_BYTES = 1_024
"""What a connection takes of the machine's memory."""
_FIRST_SWEEP, _NO_LIMIT = 1_024, 1 << 31
_ESTABLISHED = int(TrackedState.TCP_CONNTRACK_ESTABLISHED)
_TIMEOUTS = {
    int(TrackedState.TCP_CONNTRACK_SYN_SENT): b"tcp_timeout_syn_sent",
    int(TrackedState.TCP_CONNTRACK_SYN_RECV): b"tcp_timeout_syn_recv",
    _ESTABLISHED: b"tcp_timeout_established",
    int(TrackedState.TCP_CONNTRACK_FIN_WAIT): b"tcp_timeout_fin_wait",
    int(TrackedState.TCP_CONNTRACK_TIME_WAIT): b"tcp_timeout_time_wait",
    int(TrackedState.TCP_CONNTRACK_CLOSE): b"tcp_timeout_close",
}
"""By states; of those that acknowledgements alone begin, which aren't seen, there are none."""
ESTABLISHED, RELATED = int(ConnectionPlace.IP_CT_ESTABLISHED), int(ConnectionPlace.IP_CT_RELATED)
NEW = int(ConnectionPlace.IP_CT_NEW)
SEEN_REPLY, ASSURED = int(ConnectionStatus.IPS_SEEN_REPLY), int(ConnectionStatus.IPS_ASSURED)
CONFIRMED = int(ConnectionStatus.IPS_CONFIRMED)
_PORTS = Words(">HH")
_ECHO, _FLAGS_PLACE = Words(">BBHH"), 13
_ANSWERS = {ICMP: {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17}, ICMP6: {128: 129, 129: 128}}
"""The types of ICMP's questions and answers, by each other."""
_QUESTIONS = {ICMP: (8, 13, 15, 17), ICMP6: (128,)}
_ERRORS = {ICMP: (3, 4, 5, 11, 12), ICMP6: (1, 2, 3, 4)}
MESSAGE_HEADER_BYTES = 8

Tuple = tuple[int, bytes, int, bytes, int]
"""A protocol, and from which address and port to which other: of ICMP the identifier, and type and code."""


class Connection:
    """A connection (Linux: include/net/netfilter/nf_conntrack.h, struct nf_conn).

    It's known by its two tuples, that of the first packet and that of an answer, and forgotten at
    `expiry_ns`. `status` are flags of IPS_*; `is_ending` says that a FIN was seen, `state` is
    TCP_CONNTRACK_*, and `number` what programs are told as its id. Where addresses are translated, the answer
    isn't the first turned round, but goes to what the first packet was changed to.
    """

    __slots__ = ("answer", "expiry_ns", "is_ending", "number", "original", "state", "status")

    def __init__(self, original: Tuple, answer: Tuple) -> None:
        self.original = original
        self.answer = answer
        self.status = 0
        self.is_ending = False
        self.expiry_ns = 0
        self.number = 0
        self.state = 0


class Tracked(NamedTuple):
    """What a packet is to its connection: `place` is IP_CT_NEW ..., `is_answer` its direction."""

    connection: Connection
    place: int
    is_answer: bool

    def answered(self, *, is_error: bool) -> Tracked:
        """What an answer to such a packet is, or a message about it."""
        return Tracked(self.connection, RELATED if is_error else ESTABLISHED, not self.is_answer)


class Tracker:
    """The connections of a network, by both tuples. What isn't confirmed isn't there yet.

    `count` is how many there have been, `sweep_count` at how many those are forgotten that have expired,
    `sweep_at_ns` when some may have.
    """

    __slots__ = ("connections", "count", "network", "sweep_at_ns", "sweep_count")

    def __init__(self, network: Network) -> None:
        self.network = network
        self.connections: dict[Tuple, Connection] = {}
        self.sweep_count = _FIRST_SWEEP
        self.sweep_at_ns = 0
        self.count = 0

    def look_at(self, packet: Packet) -> Tracked | None:
        """The same at every hook of a network, also when the packet comes back by the loopback."""
        if packet.tracked is None or packet.tracked[0] is not self.network:
            packet.tracked = self.network, self.track(packet)
        return packet.tracked[1]

    def track(self, packet: Packet) -> Tracked | None:
        """What `packet` is; None for what belongs to nothing (invalid).

        Linux: net/netfilter/nf_conntrack_core.c, nf_conntrack_in, resolve_normal_ct.
        """
        if packet.protocol in _ERRORS and packet.data and packet.data[0] in _ERRORS[packet.protocol]:
            return self._related(packet)
        key = _tuple_of(packet)
        answer = turned(key) if key is not None else None
        if key is None or answer is None:
            return None
        found = self.find(key)
        if found is None:
            if not _may_begin(packet, is_loose=bool(self.network.sysctls.is_loose)):
                return None
            return Tracked(Connection(key, answer), NEW, is_answer=False)
        if found.original == key:
            tracked = Tracked(found, ESTABLISHED if found.status & SEEN_REPLY else NEW, is_answer=False)
        else:
            if packet.protocol in (UDP, UDP_LITE) and found.status & SEEN_REPLY:
                found.status |= ASSURED
            found.status |= SEEN_REPLY
            tracked = Tracked(found, ESTABLISHED, is_answer=True)
        self._renew(found, packet)
        return tracked

    def confirm(self, tracked: Tracked, packet: Packet) -> bool:
        """The packet has come through: its connection is there from now on, if there is room.

        Linux: net/netfilter/nf_conntrack_core.c, __nf_conntrack_confirm.
        """
        connection = tracked.connection
        if connection.status & CONFIRMED or tracked.place == RELATED:
            return True
        if self.find(connection.original) is not None or self.find(connection.answer) is not None:
            # Another packet has begun it meanwhile.
            return False
        most = self.network.system.most_connections or _NO_LIMIT
        if len(self.connections) >= 2 * min(self.sweep_count, most):
            self._sweep()
        account = self.network.system.account
        if len(self.connections) >= 2 * most or not account.can_charge(CONNECTION_BYTES):
            return False
        account.charge(PACKET_FILTER, CONNECTION_BYTES)
        connection.status |= CONFIRMED
        self._renew(connection, packet)
        self.connections[connection.original] = connection
        self.connections[connection.answer] = connection
        self.count += 1
        connection.number = self.count
        self._tell(connection, is_there=True)
        return True

    def all(self) -> list[Connection]:
        """Those that are remembered."""
        now_ns = self.network.host.clock.now_ns
        found = list(dict.fromkeys(self.connections.values()))
        return [connection for connection in found if connection.expiry_ns > now_ns]

    def _tell(self, connection: Connection, *, is_there: bool, port_id: int = 0) -> None:
        if self.network.netlink_sockets and self.network.sysctls.tells_connections:
            from procession.net.netfilter.monitor import tell_of_connection

            tell_of_connection(self.network, connection, is_there=is_there, port_id=port_id)

    def end(self) -> None:
        """Nobody asks any more."""
        for connection in list(self.connections.values()):
            self.forget(connection)

    def find(self, key: Tuple) -> Connection | None:
        found = self.connections.get(key)
        if found is not None and found.expiry_ns <= self.network.host.clock.now_ns:
            self.forget(found)
            return None
        return found

    def forget(self, connection: Connection, port_id: int = 0) -> None:
        """It's not known any more; the netlink socket with this port may have asked for that."""
        if self.connections.pop(connection.original, None) is not None:
            self.connections.pop(connection.answer, None)
            self._tell(connection, is_there=False, port_id=port_id)
            self.network.system.account.uncharge(PACKET_FILTER, CONNECTION_BYTES)

    def _sweep(self) -> None:
        """Forget all that have expired. Linux: net/netfilter/nf_conntrack_core.c, gc_worker.

        Where there are as many as there may be, each new one asks for this: it's done when it may help.
        """
        now_ns = self.network.host.clock.now_ns
        if now_ns < self.sweep_at_ns:
            return
        self.network.host.clock.spend_filtering(len(self.connections))
        for connection in list(self.connections.values()):
            if connection.expiry_ns <= now_ns:
                self.forget(connection)
        expiries = [connection.expiry_ns for connection in self.connections.values()]
        self.sweep_count = max(_FIRST_SWEEP, len(expiries))
        # Packets that come may put these off, but make none earlier but their own.
        self.sweep_at_ns = min(expiries, default=0)

    def _related(self, packet: Packet) -> Tracked | None:
        """A message about a packet of some connection. Linux: net/netfilter/nf_conntrack_proto_icmp.c,
        nf_conntrack_inet_error."""
        quoted = _quoted_tuple(packet)
        key = turned(quoted) if quoted is not None else None
        found = self.find(key) if key is not None else None
        if found is None:
            return None
        return Tracked(found, RELATED, is_answer=found.answer == key)

    def _renew(self, connection: Connection, packet: Packet) -> None:
        name = b"generic_timeout"
        if packet.protocol in _ANSWERS:
            name = b"icmp_timeout" if packet.protocol == ICMP else b"icmpv6_timeout"
        elif packet.protocol in (UDP, UDP_LITE):
            name = b"udp_timeout_stream" if connection.status & ASSURED else b"udp_timeout"
        elif packet.protocol == TCP:
            flags = packet.data[_FLAGS_PLACE]
            connection.state = _state_after(connection, flags)
            connection.is_ending |= bool(flags & FIN)
            if connection.status & SEEN_REPLY and connection.state == _ESTABLISHED:
                connection.status |= ASSURED
            is_begun = bool(connection.status & SEEN_REPLY) or connection.is_ending or flags & RESET
            name = _TIMEOUTS[connection.state] if is_begun else b"tcp_timeout_syn_sent"
        seconds = self.network.sysctls.timeout_s(name)
        connection.expiry_ns = self.network.host.clock.now_ns + seconds * NS_PER_S


def _state_after(connection: Connection, flags: int) -> int:
    """What a segment makes of a connection. Acknowledgements alone aren't seen: states that they end go on.

    Linux: net/netfilter/nf_conntrack_proto_tcp.c, tcp_conntracks.
    """
    if flags & RESET:
        return int(TrackedState.TCP_CONNTRACK_CLOSE)
    if flags & FIN:
        first, last = TrackedState.TCP_CONNTRACK_FIN_WAIT, TrackedState.TCP_CONNTRACK_TIME_WAIT
        return int(last if connection.is_ending else first)
    if flags & SYN:
        is_answer = flags & ACKNOWLEDGED
        begun = TrackedState.TCP_CONNTRACK_SYN_RECV if is_answer else TrackedState.TCP_CONNTRACK_SYN_SENT
        return int(begun)
    return connection.state if connection.is_ending else _ESTABLISHED


def _may_begin(packet: Packet, *, is_loose: bool) -> bool:
    """Linux: net/netfilter/nf_conntrack_proto_tcp.c, tcp_new; net/netfilter/nf_conntrack_proto_icmp.c,
    nf_conntrack_icmp_packet."""
    if packet.protocol in _QUESTIONS:
        return packet.data[0] in _QUESTIONS[packet.protocol]
    if packet.protocol != TCP:
        return True
    flags = packet.data[_FLAGS_PLACE]
    # A connection that is there already may be picked up in the middle, if tcp_loose says so.
    return (
        bool(flags & (SYN | (ACKNOWLEDGED if is_loose else 0)))
        and flags & (SYN | ACKNOWLEDGED) != SYN | ACKNOWLEDGED
        and not (flags & (RESET | FIN))
    )


def _tuple_of(packet: Packet) -> Tuple | None:
    protocol = packet.protocol
    if protocol in (UDP, UDP_LITE):
        return protocol, packet.source, packet.source_port, packet.target, packet.target_port
    return _tuple_in(protocol, packet.source, packet.target, packet.data, SEGMENT_HEADER.size)


def _tuple_in(protocol: int, source: bytes, target: bytes, data: bytes, least: int) -> Tuple | None:
    """The tuple of a packet whose `data` is behind the header of IP; None if that is too short."""
    if protocol in _ANSWERS:
        if len(data) < MESSAGE_HEADER_BYTES:
            return None
        kind, code, _, identifier = _ECHO.unpack_from(data)
        return protocol, source, identifier, target, kind << 8 | code
    if protocol in (TCP, UDP, UDP_LITE):
        if len(data) < least:
            return None
        port, target_port = _PORTS.unpack_from(data)
        return protocol, source, port, target, target_port
    return protocol, source, 0, target, 0


def turned(key: Tuple) -> Tuple | None:
    """The tuple of an answer, None if there is none."""
    protocol, source, port, target, target_port = key
    if protocol in _ANSWERS:
        kind = _ANSWERS[protocol].get(target_port >> 8)
        return None if kind is None else (protocol, target, port, source, kind << 8 | target_port & 0xFF)
    return protocol, target, target_port, source, port


def _quoted_tuple(packet: Packet) -> Tuple | None:
    """The tuple of the packet that a message of ICMP is about."""
    quoted = packet.data[MESSAGE_HEADER_BYTES:]
    if packet.protocol == ICMP:
        if len(quoted) < IPV4_HEADER_BYTES:
            return None
        size = (quoted[0] & 15) * 4
        protocol, source, target = quoted[9], quoted[12:16], quoted[16:20]
    else:
        if len(quoted) < IPV6_HEADER_BYTES:
            return None
        size = IPV6_HEADER_BYTES
        protocol, source, target = quoted[6], quoted[8:24], quoted[24:40]
    return _tuple_in(protocol, source, target, quoted[size:], _PORTS.size)
