"""The TCP connections of a network: who listens, which ends there are, and ports kept for a while."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_MS
from procession.abi.errno import EADDRNOTAVAIL
from procession.abi.internet import TcpInfoOption
from procession.abi.socket import TcpState
from procession.net.internet.address import is_loopback
from procession.net.internet.port_table import PortTable, reach
from procession.net.internet.reuseport import choose_place, newest_place
from procession.net.socket import LISTENING
from procession.net.socket_filter import FilteredPacket

if TYPE_CHECKING:
    from procession.net.host import Host
    from procession.net.internet.tcp import TcpSocket
    from procession.net.link.interface import Interface
    from procession.net.sysctls import NetworkSysctls

TIME_WAIT = int(TcpState.TCP_TIME_WAIT)
TIME_WAIT_NS = 60 * 10**9
_TIMESTAMPS = int(TcpInfoOption.TCPI_OPT_TIMESTAMPS)
_ON_LOOPBACK = 2
"""What tcp_tw_reuse says if ports are to be used again there alone."""
CONNECT_TIMER = "tcp-connect"

Key = tuple[bytes, int, bytes, int]


class TimeWait:
    """A connection that is over, whose end that closed first keeps its port.

    Linux: include/net/inet_timewait_sock.h, inet_timewait_sock.
    """

    __slots__ = (
        "expiry_ns",
        "family",
        "has_stamps",
        "is_ipv6_only",
        "key",
        "local_address",
        "local_port",
        "owner_uid",
        "reuses_address",
        "reuses_port",
        "state",
    )

    def __init__(self, socket: TcpSocket, expiry_ns: int) -> None:
        self.key = socket.key
        self.local_address, self.local_port = socket.local_address, socket.local_port
        self.family = socket.family
        self.is_ipv6_only = socket.is_ipv6_only
        self.has_stamps = bool(socket.agreed & _TIMESTAMPS)
        self.owner_uid = socket.owner_uid
        self.reuses_address = socket.reuses_address
        self.reuses_port = socket.reuses_port
        self.state = TIME_WAIT
        self.expiry_ns = expiry_ns


class TcpConnections:
    """All of them.

    `connections` maps each end's addresses and ports to it; `waiting` are those that are over, in the order
    in which they expire, and `over` the same by addresses and ports. `cookies` are those of Fast Open that
    other ends have given, by both addresses.
    """

    __slots__ = ("connections", "cookies", "host", "over", "ports", "waiting")

    def __init__(self, host: Host, sysctls: NetworkSysctls) -> None:
        self.host = host
        self.ports = PortTable(sysctls, is_stream=True)
        self.connections: dict[Key, TcpSocket] = {}
        self.waiting: deque[TimeWait] = deque()
        self.over: dict[Key, TimeWait] = {}
        self.cookies: dict[tuple[bytes, bytes], bytes] = {}

    def expire(self) -> None:
        """Free the ports of connections that have been over for a minute."""
        waiting = self.waiting
        now_ns = self.host.clock.now_ns
        while waiting and (waiting[0].expiry_ns <= now_ns or len(waiting) > self.ports.sysctls.most_waiting):
            self._forget(waiting.popleft())

    def end_wait(self, wait: TimeWait) -> None:
        """The port of a connection that is over is free before its time. Linux:
        net/ipv4/inet_timewait_sock.c, inet_twsk_deschedule_put."""
        self.waiting.remove(wait)
        self._forget(wait)

    def _forget(self, wait: TimeWait) -> None:
        if self.over.get(wait.key) is wait:
            del self.over[wait.key]
            self.ports.remove(wait)

    def start_timer(self, socket: TcpSocket, delay_ns: int) -> None:
        """`socket` tries to connect; not for ever."""
        deadline_ns = self.host.clock.now_ns + delay_ns
        socket.timer = self.host.timers.add(deadline_ns, CONNECT_TIMER, socket)

    def stop_timer(self, socket: TcpSocket) -> None:
        """It doesn't any more."""
        timer, socket.timer = socket.timer, None
        if timer is not None:
            self.host.timers.cancel(timer)


def connection_is_over(socket: TcpSocket) -> None:
    """Both ends have sent a FIN, `socket` first: its port is kept.

    Linux: net/ipv4/tcp_minisocks.c, tcp_time_wait.
    """
    connections = socket.network.tcp
    wait = TimeWait(socket, connections.host.clock.now_ns + TIME_WAIT_NS)
    socket.network.count("TcpExtTW")
    connections.waiting.append(wait)
    connections.over[wait.key] = wait
    connections.ports.add(wait)
    connections.expire()


def take_place(socket: TcpSocket, source: bytes, target: bytes, port: int) -> None:
    """Give a connection from `source` to `target` a port, unless it has one. Raises EADDRNOTAVAIL.

    Linux: net/ipv4/inet_hashtables.c, __inet_hash_connect.
    """
    connections = socket.network.tcp
    connections.expire()
    if socket.has_port:
        key = (source, socket.local_port, target, port)
        if key in connections.connections:
            raise EADDRNOTAVAIL("there is such a connection")
        over = connections.over.get(key)
        if over is not None:
            # A new connection may take the place of one that is over.
            connections._forget(over)
    else:
        try:
            socket.bind_automatically(for_connection=True)
        except EADDRNOTAVAIL:
            if not _free_reusable(connections, source, target, port):
                raise
            socket.bind_automatically(for_connection=True)
    socket.local_address = source
    socket.remote_address, socket.remote_port = target, port
    connections.connections[socket.key] = socket


def _free_reusable(connections: TcpConnections, source: bytes, target: bytes, port: int) -> bool:
    """Whether one that is over and has waited for long enough gives way to a new one between the same.

    Linux: net/ipv4/tcp_ipv4.c, tcp_twsk_unique.
    """
    sysctls = connections.ports.sysctls
    if sysctls.port_reuse == _ON_LOOPBACK and not (is_loopback(source) or is_loopback(target)):
        return False
    end_ns = connections.host.clock.now_ns - sysctls.port_reuse_ms * NS_PER_MS + TIME_WAIT_NS
    connections.host.clock.spend_looking(len(connections.waiting))
    for wait in connections.waiting if sysctls.port_reuse else ():
        is_between = wait.key == (source, wait.local_port, target, port)
        if is_between and wait.has_stamps and wait.expiry_ns <= end_ns:
            connections.end_wait(wait)
            return True
    return False


def find_listener(
    connections: TcpConnections, key: Key, interface: Interface, data: bytes
) -> TcpSocket | None:
    """Who listens where a connection with this key would be, whose SYN brings `data`; of several with
    SO_REUSEPORT one that a program or the source's port chooses.

    Linux: net/ipv4/inet_hashtables.c, __inet_lookup_listener.
    """
    from procession.net.internet.tcp import TcpSocket

    target, port, source, source_port = key
    found: list[TcpSocket] = []
    best = 0
    for holder in connections.ports.at(port):
        if holder.state != LISTENING or not isinstance(holder, TcpSocket):
            continue
        fit = reach(holder, target) if holder.hears(interface) else 0
        if fit > best:
            found, best = [holder], fit
        elif fit and fit == best:
            found.append(holder)
    if not found:
        return None
    if len(found) == 1:
        return found[0]
    if not found[-1].reuses_port:
        return found[newest_place(found)]
    seen = FilteredPacket(data, b"", len(target), interface.index)
    return found[choose_place(found, hash_of(source, source_port), seen)]


def hash_of(address: bytes, port: int) -> int:
    """Which of several sockets with SO_REUSEPORT a packet goes to."""
    return (int.from_bytes(address, "big") * 31 + (port >> 1)) & 0x7FFFFFFF
