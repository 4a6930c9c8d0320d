"""How much of an option's value setsockopt(2) reads: Linux looks at the length first, and reads no more of a
longer value than it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.internet import IpOption, Ipv6Option, TcpOption
from procession.abi.packet import PacketOption
from procession.abi.socket import AddressFamily, IpProtocol, SocketLevel, SocketOption, SocketType

if TYPE_CHECKING:
    from procession.net.socket import Socket

_SOL_SOCKET, _SOL_IP, _SOL_TCP = (
    int(SocketLevel.SOL_SOCKET),
    int(SocketLevel.SOL_IP),
    int(SocketLevel.SOL_TCP),
)
_SOL_IPV6 = int(SocketLevel.SOL_IPV6)
_OF_INTS = (int(SocketLevel.SOL_UDP), int(IpProtocol.IPPROTO_UDPLITE), int(SocketLevel.SOL_NETLINK))
_TCP, _RAW = int(IpProtocol.IPPROTO_TCP), int(SocketType.SOCK_RAW)
_SOL_RAW, _AF_INET6 = int(SocketLevel.SOL_RAW), int(AddressFamily.AF_INET6)
_INT = 4
_SOL_PACKET = int(SocketLevel.SOL_PACKET)
_FANOUT, _FANOUT_BYTES = int(PacketOption.PACKET_FANOUT), (4, 8)
_LONGEST_NAME = 15
LONGEST_VALUE = 1 << 16
"""More of a value than any option looks at."""

_PACKET_MEMBERSHIPS = (int(PacketOption.PACKET_ADD_MEMBERSHIP), int(PacketOption.PACKET_DROP_MEMBERSHIP))
_LONGEST_MEMBERSHIP = 40
_VIRTUAL_HEADERS = (int(PacketOption.PACKET_VNET_HDR), int(PacketOption.PACKET_VNET_HDR_SZ))
"""What a socket without frames refuses before it looks at a value."""
PACKET_RINGS = (int(PacketOption.PACKET_RX_RING), int(PacketOption.PACKET_TX_RING))
_MEMBERSHIPS = (IpOption.IP_ADD_MEMBERSHIP, IpOption.IP_DROP_MEMBERSHIP)
_MEMBERSHIPS_6 = (Ipv6Option.IPV6_ADD_MEMBERSHIP, Ipv6Option.IPV6_DROP_MEMBERSHIP)
_NAMES = (
    (_SOL_SOCKET, int(SocketOption.SO_BINDTODEVICE)),
    (_SOL_TCP, int(TcpOption.TCP_CONGESTION)),
    (_SOL_TCP, int(TcpOption.TCP_ULP)),
)
_FAST_OPEN_KEY = (_SOL_TCP, int(TcpOption.TCP_FASTOPEN_KEY))
_FAST_OPEN_KEY_BYTES = (16, 32)
_OF_JUST = {
    **{
        (_SOL_SOCKET, int(option)): size
        for option, size in (
            (SocketOption.SO_ATTACH_FILTER, 16),
            (SocketOption.SO_ATTACH_REUSEPORT_CBPF, 16),
            (SocketOption.SO_TIMESTAMPING_OLD, 8),
            (SocketOption.SO_TIMESTAMPING_NEW, 8),
            (SocketOption.SO_TXTIME, 8),
        )
    },
    **{
        (_SOL_PACKET, int(option)): _INT
        for option in (
            *(PacketOption.PACKET_VERSION, PacketOption.PACKET_RESERVE, PacketOption.PACKET_LOSS),
            *(PacketOption.PACKET_TIMESTAMP, PacketOption.PACKET_COPY_THRESH),
            *(PacketOption.PACKET_TX_HAS_OFF, PacketOption.PACKET_QDISC_BYPASS),
            PacketOption.PACKET_IGNORE_OUTGOING,
        )
    },
    **{
        (_SOL_IP, int(option)): size
        for option, size in (
            (IpOption.IP_BLOCK_SOURCE, 12),
            (IpOption.IP_UNBLOCK_SOURCE, 12),
            (IpOption.IP_ADD_SOURCE_MEMBERSHIP, 12),
            (IpOption.IP_DROP_SOURCE_MEMBERSHIP, 12),
            (IpOption.MCAST_BLOCK_SOURCE, 264),
            (IpOption.MCAST_UNBLOCK_SOURCE, 264),
            (IpOption.MCAST_JOIN_SOURCE_GROUP, 264),
            (IpOption.MCAST_LEAVE_SOURCE_GROUP, 264),
        )
    },
}
"""Structures that are read if the value has just their size."""
_AT_LEAST = {
    **{
        (_SOL_SOCKET, int(option)): (size,)
        for option, size in (
            (SocketOption.SO_LINGER, 8),
            (SocketOption.SO_MAX_PACING_RATE, 8),
            (SocketOption.SO_RCVTIMEO_OLD, 16),
            (SocketOption.SO_SNDTIMEO_OLD, 16),
            (SocketOption.SO_RCVTIMEO_NEW, 16),
            (SocketOption.SO_SNDTIMEO_NEW, 16),
        )
    },
    (_SOL_IP, int(IpOption.IP_MULTICAST_IF)): (12, 8, 4),
    (_SOL_IP, int(IpOption.IP_ADD_MEMBERSHIP)): (12, 8),
    (_SOL_IP, int(IpOption.IP_DROP_MEMBERSHIP)): (12, 8),
    (_SOL_IP, int(IpOption.MCAST_JOIN_GROUP)): (136,),
    (_SOL_IP, int(IpOption.MCAST_LEAVE_GROUP)): (136,),
    **{
        (_SOL_IPV6, int(option)): (size,)
        for option, size in (
            (Ipv6Option.IPV6_ADD_MEMBERSHIP, 20),
            (Ipv6Option.IPV6_DROP_MEMBERSHIP, 20),
            (Ipv6Option.IPV6_JOIN_ANYCAST, 20),
            (Ipv6Option.IPV6_LEAVE_ANYCAST, 20),
            (Ipv6Option.IPV6_PKTINFO, 20),
            (Ipv6Option.IPV6_FLOWLABEL_MGR, 32),
            (Ipv6Option.MCAST_JOIN_GROUP, 136),
            (Ipv6Option.MCAST_LEAVE_GROUP, 136),
            (Ipv6Option.MCAST_BLOCK_SOURCE, 264),
            (Ipv6Option.MCAST_UNBLOCK_SOURCE, 264),
            (Ipv6Option.MCAST_JOIN_SOURCE_GROUP, 264),
            (Ipv6Option.MCAST_LEAVE_SOURCE_GROUP, 264),
        )
    },
}
"""Structures that are read if the value is as long, the longest that fits."""
_WHOLE = {
    (_SOL_IP, int(IpOption.IP_OPTIONS)): (0, 40, 1),
    (_SOL_IP, int(IpOption.IP_MSFILTER)): (16, LONGEST_VALUE, 1),
    (_SOL_IP, int(IpOption.MCAST_MSFILTER)): (144, LONGEST_VALUE, 1),
    (_SOL_IPV6, int(Ipv6Option.MCAST_MSFILTER)): (144, LONGEST_VALUE, 1),
    (_SOL_IPV6, int(Ipv6Option.IPV6_2292PKTOPTIONS)): (0, LONGEST_VALUE, 1),
    (_SOL_TCP, int(TcpOption.TCP_REPAIR_OPTIONS)): (0, LONGEST_VALUE, 8),
    (_SOL_TCP, int(TcpOption.TCP_REPAIR_WINDOW)): (20, 20, 1),
    **{(_SOL_PACKET, option): (16, LONGEST_VALUE, 1) for option in (*_PACKET_MEMBERSHIPS, *PACKET_RINGS)},
    **{
        (_SOL_IPV6, int(option)): (8, LONGEST_VALUE, 8)
        for option in (
            *(Ipv6Option.IPV6_HOPOPTS, Ipv6Option.IPV6_DSTOPTS),
            *(Ipv6Option.IPV6_RTHDR, Ipv6Option.IPV6_RTHDRDSTOPTS),
        )
    },
}
"""Values that are read as they are: how long at least and at most, and of which they are a multiple."""
_OF_GROUPS = frozenset(
    (
        *((_SOL_IP, int(option)) for option in (IpOption.IP_MULTICAST_IF, *_MEMBERSHIPS)),
        *((_SOL_IPV6, int(option)) for option in _MEMBERSHIPS_6),
    )
)
"""What a stream refuses before it looks at a structure."""


def _structure_bytes(level: int, name: int, length: int) -> int:
    """How much of a value of this length is read as a structure, a name or a list."""
    key = level, name
    if key in _NAMES:
        return min(length, _LONGEST_NAME)
    if key == _FAST_OPEN_KEY:
        return length if length in _FAST_OPEN_KEY_BYTES else 0
    if key in _OF_JUST:
        return length if length == _OF_JUST[key] else 0
    if key in _AT_LEAST:
        return next((size for size in _AT_LEAST[key] if length >= size), 0)
    if key in _WHOLE:
        least, most, unit = _WHOLE[key]
        return length if least <= length <= most and not length % unit else 0
    return 0


def read_bytes(socket: Socket, level: int, name: int, length: int) -> int:
    """How much is read of a value of this length.

    Linux: net/core/sock.c, sk_setsockopt; net/ipv4/ip_sockglue.c, do_ip_setsockopt; net/ipv6/ipv6_sockglue.c,
    do_ipv6_setsockopt; net/ipv4/tcp.c, do_tcp_setsockopt; net/packet/af_packet.c, packet_setsockopt.
    """
    key = level, name
    found = _structure_bytes(level, name, length)
    if key in _OF_GROUPS and socket.protocol == _TCP and socket.kind != _RAW:
        found = 0
    if key in _NAMES or key == _FAST_OPEN_KEY:
        return found
    number_bytes = _INT if length >= _INT else 0
    if level in (_SOL_SOCKET, _SOL_TCP, _SOL_IPV6) or (level == _SOL_RAW and socket.family == _AF_INET6):
        return max(found, number_bytes)
    if level == _SOL_IP:
        if key in _OF_JUST or key in _AT_LEAST or key in _WHOLE:
            return found
        return number_bytes or min(length, 1)
    if level == _SOL_PACKET and name in _VIRTUAL_HEADERS and socket.kind != _RAW:
        return 0
    if level in _OF_INTS:
        return number_bytes
    if level == _SOL_PACKET and name in _PACKET_MEMBERSHIPS:
        return min(found, _LONGEST_MEMBERSHIP)
    if key in _WHOLE or (level == _SOL_PACKET and key in _OF_JUST):
        return found
    if level == _SOL_PACKET and name == _FANOUT:
        return length if length in _FANOUT_BYTES else 0
    if level == _SOL_RAW:
        return min(length, _INT)
    return min(length, LONGEST_VALUE)
