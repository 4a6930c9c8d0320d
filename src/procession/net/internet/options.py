"""The options of IP, IPv6, TCP and UDP: ip(7), ipv6(7), tcp(7), udp(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from procession.abi.capability import Capability
from procession.abi.errno import (
    EADDRNOTAVAIL,
    EINVAL,
    ENODEV,
    ENOENT,
    ENOPROTOOPT,
    ENOTCONN,
    EOPNOTSUPP,
    EPERM,
)
from procession.abi.internet import IpOption, Ipv6Option, TcpInfo, TcpInfoOption, TcpOption, UdpOption
from procession.abi.socket import IpProtocol, SocketLevel
from procession.abi.word import pack_u8
from procession.net.internet.address import AF_INET6
from procession.net.link.interface import LOOPBACK_MTU
from procession.net.socket import CLOSED, LISTENING
from procession.net.socket_options import pack_int, read_int

if TYPE_CHECKING:
    from procession.net.internet.socket import InternetSocket
    from procession.net.internet.tcp import TcpSocket

SOL_IP = int(SocketLevel.SOL_IP)
SOL_TCP = int(SocketLevel.SOL_TCP)
SOL_UDP = int(SocketLevel.SOL_UDP)
SOL_UDPLITE = int(IpProtocol.IPPROTO_UDPLITE)
SOL_IPV6 = int(SocketLevel.SOL_IPV6)
CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
CAP_NET_RAW = int(Capability.CAP_NET_RAW)

_IP_FREEBIND = int(IpOption.IP_FREEBIND)
_IP_MTU = int(IpOption.IP_MTU)
_IP_OPTIONS = int(IpOption.IP_OPTIONS)
_IP_PROTOCOL = int(IpOption.IP_PROTOCOL)
_IP_TRANSPARENT = int(IpOption.IP_TRANSPARENT)
_IPV6_FREEBIND = int(Ipv6Option.IPV6_FREEBIND)
_IPV6_MTU = int(Ipv6Option.IPV6_MTU)
_IPV6_TRANSPARENT = int(Ipv6Option.IPV6_TRANSPARENT)
_IPV6_V6ONLY = int(Ipv6Option.IPV6_V6ONLY)
_TCP_CONGESTION = int(TcpOption.TCP_CONGESTION)
_TCP_INFO = int(TcpOption.TCP_INFO)
_TCP_MAXSEG = int(TcpOption.TCP_MAXSEG)
_TCP_FASTOPEN_CONNECT = int(TcpOption.TCP_FASTOPEN_CONNECT)
_TCP_ULP = int(TcpOption.TCP_ULP)
_SEND_COVERAGE, _RECEIVE_COVERAGE = 10, 11
"""UDPLITE_SEND_CSCOV and UDPLITE_RECV_CSCOV, which no header names."""
NO_PORT_YET = (SOL_IP, int(IpOption.IP_BIND_ADDRESS_NO_PORT))
FREE_BIND = ((SOL_IP, _IP_FREEBIND), (SOL_IPV6, _IPV6_FREEBIND), (SOL_IP, _IP_TRANSPARENT))

_IP_JOINING = (
    int(IpOption.IP_ADD_MEMBERSHIP),
    int(IpOption.IP_DROP_MEMBERSHIP),
    int(IpOption.IP_ADD_SOURCE_MEMBERSHIP),
    int(IpOption.IP_DROP_SOURCE_MEMBERSHIP),
)
_IPV6_JOINING = int(Ipv6Option.IPV6_ADD_MEMBERSHIP)
_IPV6_LEAVING = int(Ipv6Option.IPV6_DROP_MEMBERSHIP)
_SHORTEST_MEMBERSHIP, _SHORTEST_MEMBERSHIP_6 = 8, 20

_HEADERS_BYTES, _LONGEST_PACKET = 52, 65_535
"""What a segment's headers take of an MTU: IPv4's, TCP's, and the timestamps."""
UNCONNECTED_SEGMENT_BYTES = 536
CONGESTION_CONTROLS = (b"reno", b"cubic")
"""What tcp_available_congestion_control lists, by the number that is stored; at first cubic."""
_CUBIC = 1
_NAME_BYTES = 16
_LARGEST_INT = 0x7FFFFFFF


class Rule(NamedTuple):
    """An option that is an int: its value at first, and what it may be set to."""

    default: int
    least: int = -_LARGEST_INT - 1
    most: int = _LARGEST_INT
    is_switch: bool = False
    may_be_byte: bool = False


_SWITCH = Rule(0, is_switch=True)
_BYTE_SWITCH = Rule(0, is_switch=True, may_be_byte=True)

_RULES: dict[tuple[int, int], Rule] = {
    **{
        (SOL_IP, int(option)): rule
        for option, rule in (
            (IpOption.IP_TOS, Rule(0, may_be_byte=True)),
            (IpOption.IP_TTL, Rule(64, -1, 255, may_be_byte=True)),
            (IpOption.IP_RECVOPTS, _BYTE_SWITCH),
            (IpOption.IP_RETOPTS, _BYTE_SWITCH),
            (IpOption.IP_PKTINFO, _BYTE_SWITCH),
            (IpOption.IP_MTU_DISCOVER, Rule(1, 0, 5, may_be_byte=True)),
            (IpOption.IP_RECVERR, _BYTE_SWITCH),
            (IpOption.IP_RECVTTL, _BYTE_SWITCH),
            (IpOption.IP_RECVTOS, _BYTE_SWITCH),
            (IpOption.IP_FREEBIND, _BYTE_SWITCH),
            (IpOption.IP_PASSSEC, _BYTE_SWITCH),
            (IpOption.IP_TRANSPARENT, _BYTE_SWITCH),
            (IpOption.IP_ORIGDSTADDR, _BYTE_SWITCH),
            (IpOption.IP_MINTTL, Rule(0, 0, 255, may_be_byte=True)),
            (IpOption.IP_BIND_ADDRESS_NO_PORT, _BYTE_SWITCH),
            (IpOption.IP_RECVERR_RFC4884, Rule(0, 0, 1, may_be_byte=True)),
            (IpOption.IP_MULTICAST_TTL, Rule(1, -1, 255, may_be_byte=True)),
            (IpOption.IP_MULTICAST_LOOP, Rule(1, is_switch=True, may_be_byte=True)),
            (IpOption.IP_MULTICAST_ALL, Rule(1, 0, 1, may_be_byte=True)),
        )
    },
    **{
        (SOL_IPV6, int(option)): rule
        for option, rule in (
            (Ipv6Option.IPV6_V6ONLY, _SWITCH),
            (Ipv6Option.IPV6_UNICAST_HOPS, Rule(64, -1, 255)),
            (Ipv6Option.IPV6_MULTICAST_HOPS, Rule(1, -1, 255)),
            (Ipv6Option.IPV6_MULTICAST_LOOP, Rule(1, 0, 1)),
            (Ipv6Option.IPV6_MULTICAST_ALL, Rule(1, is_switch=True)),
            (Ipv6Option.IPV6_MTU_DISCOVER, Rule(1, 0, 5)),
            (Ipv6Option.IPV6_RECVERR, _SWITCH),
            (Ipv6Option.IPV6_RECVERR_RFC4884, Rule(0, 0, 1)),
            (Ipv6Option.IPV6_RECVPKTINFO, _SWITCH),
            (Ipv6Option.IPV6_RECVHOPLIMIT, _SWITCH),
            (Ipv6Option.IPV6_RECVHOPOPTS, _SWITCH),
            (Ipv6Option.IPV6_RECVRTHDR, _SWITCH),
            (Ipv6Option.IPV6_RECVDSTOPTS, _SWITCH),
            (Ipv6Option.IPV6_RECVPATHMTU, _SWITCH),
            (Ipv6Option.IPV6_RECVTCLASS, _SWITCH),
            (Ipv6Option.IPV6_TCLASS, Rule(0, -1, 255)),
            (Ipv6Option.IPV6_DONTFRAG, _SWITCH),
            (Ipv6Option.IPV6_AUTOFLOWLABEL, Rule(1, is_switch=True)),
            (Ipv6Option.IPV6_FREEBIND, _SWITCH),
            (Ipv6Option.IPV6_TRANSPARENT, _SWITCH),
            (Ipv6Option.IPV6_MINHOPCOUNT, Rule(0, 0, 255)),
            (Ipv6Option.IPV6_ADDR_PREFERENCES, Rule(2)),
            (Ipv6Option.IPV6_FLOWINFO_SEND, _SWITCH),
        )
    },
    **{
        (SOL_TCP, int(option)): rule
        for option, rule in (
            (TcpOption.TCP_NODELAY, _SWITCH),
            (TcpOption.TCP_CORK, _SWITCH),
            (TcpOption.TCP_KEEPIDLE, Rule(7200, 1, 32_767)),
            (TcpOption.TCP_KEEPINTVL, Rule(75, 1, 32_767)),
            (TcpOption.TCP_KEEPCNT, Rule(9, 1, 127)),
            (TcpOption.TCP_SYNCNT, Rule(6, 1, 127)),
            (TcpOption.TCP_LINGER2, Rule(60)),
            (TcpOption.TCP_DEFER_ACCEPT, Rule(0)),
            (TcpOption.TCP_WINDOW_CLAMP, Rule(0)),
            (TcpOption.TCP_QUICKACK, Rule(1, is_switch=True)),
            (TcpOption.TCP_THIN_LINEAR_TIMEOUTS, Rule(0, 0, 1)),
            (TcpOption.TCP_THIN_DUPACK, Rule(0, 0, 1)),
            (TcpOption.TCP_USER_TIMEOUT, Rule(0, 0)),
            (TcpOption.TCP_FASTOPEN, Rule(0, 0)),
            (TcpOption.TCP_FASTOPEN_NO_COOKIE, Rule(0, 0, 1)),
            (TcpOption.TCP_TIMESTAMP, Rule(0)),
            (TcpOption.TCP_NOTSENT_LOWAT, Rule(-1)),
            (TcpOption.TCP_SAVE_SYN, Rule(0, 0, 2)),
            (TcpOption.TCP_INQ, Rule(0, 0, 1)),
            (TcpOption.TCP_TX_DELAY, Rule(0)),
        )
    },
    (SOL_UDPLITE, _SEND_COVERAGE): Rule(0, 0, 65_535),
    (SOL_UDPLITE, _RECEIVE_COVERAGE): Rule(0, 0, 65_535),
    **{
        (SOL_UDP, int(option)): rule
        for option, rule in (
            (UdpOption.UDP_CORK, _SWITCH),
            (UdpOption.UDP_NO_CHECK6_TX, _SWITCH),
            (UdpOption.UDP_NO_CHECK6_RX, _SWITCH),
        )
    },
}
_PRIVILEGED = {(SOL_IP, _IP_TRANSPARENT), (SOL_IPV6, _IPV6_TRANSPARENT)}


def _check_level(socket: InternetSocket, level: int) -> None:
    """Raise ENOPROTOOPT unless a socket of its kind has options at `level`."""
    if level == SOL_IP or (level == SOL_IPV6 and socket.family == AF_INET6) or level == socket.protocol:
        return
    raise ENOPROTOOPT(f"no options of level {level} here")


def set_internet_option(socket: InternetSocket, level: int, name: int, value: bytes) -> None:
    """setsockopt(2) beyond SOL_SOCKET. Raises ENOPROTOOPT, EINVAL, EPERM, ENODEV ..."""
    _check_level(socket, level)
    key = level, name
    rule = _RULES.get(key)
    if rule is None:
        _set_special(socket, level, name, value)
        return
    number = value[0] if rule.may_be_byte and 0 < len(value) < 4 else read_int(value)
    if rule.is_switch:
        number = int(number != 0)
    elif not rule.least <= number <= rule.most:
        raise EINVAL(f"not within {rule.least} and {rule.most}")
    if key in _PRIVILEGED and number:
        credentials = socket.caller.credentials
        owner = socket.network.owner
        if not (credentials.ns_capable(owner, CAP_NET_ADMIN) or credentials.ns_capable(owner, CAP_NET_RAW)):
            raise EPERM("CAP_NET_ADMIN is needed")
    if key == (SOL_IPV6, _IPV6_V6ONLY):
        if socket.has_port:
            raise EINVAL("the socket has an address")
        socket.is_ipv6_only = bool(number)
    if number == -1 and rule.least == -1:
        socket.protocol_options.pop(key, None)
    else:
        socket.protocol_options[key] = number


def _set_special(socket: InternetSocket, level: int, name: int, value: bytes) -> None:
    """Options that aren't a number, or can't be kept."""
    if level == SOL_TCP:
        if name == _TCP_CONGESTION:
            wanted = value[: _NAME_BYTES - 1].split(b"\0", 1)[0]
            if not wanted:
                raise EINVAL
            if wanted not in CONGESTION_CONTROLS:
                raise ENOENT("no such congestion control")
            socket.protocol_options[level, name] = CONGESTION_CONTROLS.index(wanted)
            return
        if name == _TCP_ULP:
            raise ENOENT("no such protocol")
        if name == _TCP_FASTOPEN_CONNECT:
            raise EOPNOTSUPP("net.ipv4.tcp_fastopen is 0")
        if name == _TCP_MAXSEG:
            number = read_int(value)
            if number and not 88 <= number <= 32_767:
                raise EINVAL
            socket.protocol_options[level, name] = number
            return
    elif level == SOL_IP:
        if name in _IP_JOINING:
            if len(value) < _SHORTEST_MEMBERSHIP:
                raise EINVAL
            raise ENODEV("no interface has groups")
        if name == _IP_OPTIONS and not value:
            return
    elif level == SOL_IPV6 and name in (_IPV6_JOINING, _IPV6_LEAVING):
        if len(value) < _SHORTEST_MEMBERSHIP_6:
            raise EINVAL
        if name == _IPV6_JOINING:
            raise ENODEV("no interface has groups")
        raise EADDRNOTAVAIL
    raise ENOPROTOOPT(f"no option {name} at level {level}")


def get_internet_option(socket: InternetSocket, level: int, name: int, length: int) -> bytes:
    """getsockopt(2) beyond SOL_SOCKET. Raises ENOPROTOOPT, ENOTCONN."""
    _check_level(socket, level)
    rule = _RULES.get((level, name))
    if rule is not None:
        number = socket.protocol_options.get((level, name), rule.default)
        if level == SOL_IP and 0 < length < 4 and 0 <= number <= 255:
            return pack_u8(number)
        return pack_int(number)
    if level == SOL_TCP:
        from procession.net.internet.tcp import TcpSocket

        assert isinstance(socket, TcpSocket)
        if name == _TCP_INFO:
            return _tcp_info(socket)
        if name == _TCP_CONGESTION:
            number = socket.protocol_options.get((level, name), _CUBIC)
            return CONGESTION_CONTROLS[number].ljust(_NAME_BYTES, b"\0")
        if name == _TCP_MAXSEG:
            is_idle = socket.state in (CLOSED, LISTENING)
            chosen = socket.protocol_options.get((level, name), 0)
            return pack_int(chosen or (UNCONNECTED_SEGMENT_BYTES if is_idle else _segment_bytes(socket)))
        if name == _TCP_ULP:
            return b""
    elif (level, name) in ((SOL_IP, _IP_MTU), (SOL_IPV6, _IPV6_MTU)):
        if socket.remote_address is None:
            raise ENOTCONN
        return pack_int(socket.flow_to(socket.remote_address, None, socket.remote_scope).mtu)
    elif (level, name) == (SOL_IP, _IP_OPTIONS):
        return b""
    elif (level, name) == (SOL_IP, _IP_PROTOCOL):
        return pack_int(socket.protocol)
    raise ENOPROTOOPT(f"no option {name} at level {level}")


def _mtu(socket: TcpSocket) -> int:
    return socket.flow.mtu if socket.flow is not None else LOOPBACK_MTU


def _segment_bytes(socket: TcpSocket) -> int:
    """The longest segment of a connection."""
    return min(_mtu(socket), _LONGEST_PACKET) - _HEADERS_BYTES


def _tcp_info(socket: TcpSocket) -> bytes:
    """What is known of a connection without loss or delay. Linux: net/ipv4/tcp.c, tcp_get_info."""
    info = TcpInfo(tcpi_state=socket.state)
    if socket.state == LISTENING:
        info.tcpi_unacked = len(socket.connections)
        info.tcpi_sacked = socket.backlog
        return info.pack()
    if socket.state != CLOSED or socket.bytes_sent or socket.bytes_received:
        options = TcpInfoOption.TCPI_OPT_TIMESTAMPS | TcpInfoOption.TCPI_OPT_SACK
        info.tcpi_options = int(options | TcpInfoOption.TCPI_OPT_WSCALE)
        info.tcpi_rto = 200_000
        info.tcpi_snd_mss = info.tcpi_rcv_mss = info.tcpi_advmss = _segment_bytes(socket)
        info.tcpi_pmtu = _mtu(socket)
        info.tcpi_snd_cwnd = 10
        info.tcpi_reordering = 3
        info.tcpi_bytes_sent = socket.bytes_sent
        info.tcpi_bytes_acked = socket.bytes_sent - socket.on_the_way
        info.tcpi_bytes_received = socket.bytes_received
        info.tcpi_notsent_bytes = socket.on_the_way
        info.tcpi_rcv_space = socket.receive_room // 2
    return info.pack()
