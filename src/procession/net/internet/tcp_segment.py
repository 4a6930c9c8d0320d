"""How long the segments of a TCP connection are: of the MTU, of what either end takes, and of its window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.internet import TcpOption
from procession.abi.socket import SocketLevel, TcpState
from procession.net.internet.packet import LONGEST_PACKET
from procession.net.internet.tcp_negotiation import NOT_YET, agree, timestamps_bytes
from procession.net.internet.tcp_repair import repaired_segment_bytes
from procession.net.link.interface import LOOPBACK_MTU

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_FIN_WAIT2 = int(TcpState.TCP_FIN_WAIT2)
SEGMENT_CLAMP = (int(SocketLevel.SOL_TCP), int(TcpOption.TCP_MAXSEG))
_HEADERS_BYTES = 40
"""What a segment's headers take of an MTU: IPv4's and TCP's."""
_HEADERS_BYTES_6 = _HEADERS_BYTES + 20
_HEADER_BYTES = 20
_LEAST_PACKET_BYTES = 68
"""What each network carries in one piece (RFC 791)."""
UNCONNECTED_SEGMENT_BYTES = 536
WIDEST_WINDOW = 65_536
"""What an end offers at first, scaled, once there is a connection."""
_UNANSWERED_SEGMENT_BYTES = {4: UNCONNECTED_SEGMENT_BYTES, 16: 1_220}
"""What the other end takes as long as it hasn't said so, by the length of its address. Linux:
net/ipv6/tcp_ipv6.c, tcp_v6_connect."""


def _is_of_ipv6(socket: TcpSocket) -> bool:
    return socket.flow is not None and len(socket.flow.target) == 16


def mtu_of(socket: TcpSocket) -> int:
    """Linux: include/net/ip.h, ip_dst_mtu_maybe_forward."""
    flow = socket.flow
    mtu = min(flow.mtu, flow.out.mtu) if flow is not None else LOOPBACK_MTU
    return mtu if _is_of_ipv6(socket) else min(mtu, LONGEST_PACKET)


def longest_segment(socket: TcpSocket) -> int:
    """How much of an MTU is left behind the headers without TCP's options."""
    if not _is_of_ipv6(socket):
        return mtu_of(socket) - _HEADERS_BYTES
    return mtu_of(socket) - _HEADERS_BYTES_6 - sum(map(len, socket.extension_headers.values()))


def offered_bytes(socket: TcpSocket) -> int:
    """However short packets are, a segment has so many bytes with its options (tcp_min_snd_mss)."""
    return max(longest_segment(socket), socket.network.sysctls.least_segment_bytes)


def segment_bytes(socket: TcpSocket) -> int:
    """The longest segment of a connection. Linux: net/ipv4/tcp_output.c, tcp_mtu_to_mss."""
    stamps_bytes = timestamps_bytes(socket)
    longest = offered_bytes(socket) - stamps_bytes
    if socket.repair is not None:
        longest = max(repaired_segment_bytes(socket, longest), socket.network.sysctls.least_segment_bytes)
    chosen = socket.segment_clamp
    return min(chosen - stamps_bytes, longest) if chosen else longest


def agree_on_segments(first: TcpSocket, second: TcpSocket) -> None:
    """Both ends of a new connection do what their SYNs have said: none sends longer segments than either has
    chosen.

    Linux: net/ipv4/tcp_output.c, tcp_connect_init; net/ipv4/tcp_input.c, tcp_parse_options.
    """
    agree(first, second)
    first.offered_window, second.offered_window = second.receive_room >> 1, first.receive_room >> 1
    chosen = [end.protocol_options.get(SEGMENT_CLAMP, 0) for end in (first, second)]
    first.segment_clamp = second.segment_clamp = min(filter(None, chosen), default=0)


def told_segment_bytes(socket: TcpSocket) -> int:
    """What TCP_MAXSEG tells of a connection. Linux: net/ipv4/tcp_output.c, tcp_sync_mss."""
    return bound_to_half_window(socket, segment_bytes(socket))


def bound_to_half_window(socket: TcpSocket, length: int) -> int:
    """`length` bytes, or half of the widest window that the other end has offered: the whole of a small one,
    but no less than a packet may be, and none that is of no use bounds anything.

    Linux: include/net/tcp.h, tcp_bound_to_half_wnd.
    """
    window = widest_window_heard(socket)
    bound = window >> 1 if window > UNCONNECTED_SEGMENT_BYTES else window
    if not bound or length <= bound:
        return length
    return max(bound, _LEAST_PACKET_BYTES - _HEADER_BYTES - timestamps_bytes(socket))


def unanswered_segment_bytes(socket: TcpSocket) -> int:
    """The same of a connection whose SYN isn't answered. Linux: net/ipv4/tcp_output.c, tcp_connect_init."""
    assert socket.flow is not None
    taken = (
        socket.protocol_options.get(SEGMENT_CLAMP, 0) or _UNANSWERED_SEGMENT_BYTES[len(socket.flow.target)]
    )
    return min(taken, offered_bytes(socket)) - timestamps_bytes(socket)


def first_window(socket: TcpSocket) -> int:
    """How much a SYN or the answer to one lets the other end send: whole segments.

    Linux: net/ipv4/tcp_output.c, tcp_select_initial_window.
    """
    length = socket.protocol_options.get(SEGMENT_CLAMP, 0) or offered_bytes(socket)
    if socket.seen_as is None and socket.agreed != NOT_YET:
        # Who was called knows already what both speak.
        length -= timestamps_bytes(socket)
    space = socket.receive_room >> 1
    return space - space % length if space > length else space


def widest_window_heard(socket: TcpSocket) -> int:
    """The widest window that the other end has offered: before it has said anything, what its SYN did, which
    isn't scaled."""
    has_heard = socket.bytes_sent or socket.bytes_received or socket.has_ended or socket.state == _FIN_WAIT2
    if socket.seen_as is None:
        has_heard = True
    widest = WIDEST_WINDOW if has_heard else offered_bytes(socket) - timestamps_bytes(socket)
    return min(widest, socket.offered_window)
