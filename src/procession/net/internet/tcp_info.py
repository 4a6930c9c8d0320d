"""What TCP_INFO tells of a connection in each of its states (tcp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_MS
from procession.abi.internet import TcpInfo, TcpInfoOption
from procession.abi.socket import SocketOption, TcpState
from procession.net.internet.tcp_acknowledgement import heard_segment_bytes, settle, told_state, unanswered
from procession.net.internet.tcp_negotiation import (
    NOT_YET,
    TELLS_CONGESTION,
    spoken,
    window_scale,
)
from procession.net.internet.tcp_phase import CONNECTED
from procession.net.internet.tcp_room import FIRST_WINDOW_SEGMENTS
from procession.net.internet.tcp_segment import (
    UNCONNECTED_SEGMENT_BYTES,
    WIDEST_WINDOW,
    first_window,
    mtu_of,
    offered_bytes,
    segment_bytes,
    told_segment_bytes,
    widest_window_heard,
)
from procession.net.socket import CLOSED, LISTENING, SYN_SENT
from procession.net.socket_options import NO_RATE

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_ACCURATE_ECN = bytes(32)
"""What of struct tcp_info is about ECN by counts (Linux 6.18), which nobody speaks."""
_NO_THRESHOLD = 0x7FFF_FFFF
"""Linux: include/net/tcp.h, TCP_INFINITE_SSTHRESH."""
_ACKNOWLEDGED_WITHIN_US = 40_000
"""When data is acknowledged at the latest that nothing is sent back for (in Linux, TCP_ATO_MIN)."""
_FIRST_TIMEOUT_US, _TIMEOUT_US, _ROUND_TRIP_US = 1_000_000, 204_000, 16
"""How long an answer is waited for at first, and where it comes as fast as from the loopback."""
_NOT_SEEN = 0xFFFF_FFFF
_LOSS = 4
"""TCP_CA_Loss: what was sent is taken to be lost."""
_LEAST_SEGMENT_BYTES = 88
"""How long the other end's segments are taken to be before there is any (in Linux, TCP_MIN_MSS)."""
_IS_LIMITED_BY_PROGRAM = 1
"""tcpi_delivery_rate_app_limited, in its byte."""
_MAX_PACING_RATE = int(SocketOption.SO_MAX_PACING_RATE)
_FIN_WAIT2 = int(TcpState.TCP_FIN_WAIT2)


def tell_info(socket: TcpSocket) -> bytes:
    """What is known of a connection without loss or delay. Linux: net/ipv4/tcp.c, tcp_get_info."""
    settle(socket)
    owed_segments, owed_bytes = unanswered(socket)
    info = TcpInfo(tcpi_state=told_state(socket), tcpi_snd_cwnd=FIRST_WINDOW_SEGMENTS)
    info.tcpi_reordering = socket.reordering
    info.tcpi_pacing_rate, info.tcpi_max_pacing_rate = NO_RATE, socket.options.get(_MAX_PACING_RATE, NO_RATE)
    if socket.state == LISTENING:
        info.tcpi_unacked = len(socket.connections)
        info.tcpi_sacked = socket.backlog
        return info.pack() + _ACCURATE_ECN
    info.tcpi_segs_out, info.tcpi_segs_in = socket.segments_sent, socket.segments_heard
    info.tcpi_total_retrans = socket.syn_count
    if socket.syn_count > 1:
        # Linux: net/ipv4/tcp_input.c, tcp_init_transfer.
        info.tcpi_snd_cwnd = 1
    info.tcpi_data_segs_out = socket.data_segments_sent
    info.tcpi_data_segs_in = socket.data_segments_heard
    info.tcpi_rates = _IS_LIMITED_BY_PROGRAM
    info.tcpi_snd_ssthresh = _NO_THRESHOLD
    is_connected = socket.state not in (CLOSED, SYN_SENT) or (
        socket.agreed != NOT_YET and socket.phase == CONNECTED
    )
    if is_connected:
        _tell_connection(socket, info, owed_segments, owed_bytes)
    else:
        # What a socket begins with. Linux: net/ipv4/tcp.c, tcp_init_sock.
        info.tcpi_rto, info.tcpi_rttvar = _FIRST_TIMEOUT_US, _FIRST_TIMEOUT_US // 4
        info.tcpi_min_rtt = _NOT_SEEN
        info.tcpi_snd_mss = socket.tried_segment_bytes or UNCONNECTED_SEGMENT_BYTES
        if socket.tried_segment_bytes:
            _tell_attempt(socket, info)
    return info.pack() + _ACCURATE_ECN


def _tell_attempt(socket: TcpSocket, info: TcpInfo) -> None:
    """What is left of a connection that the program has given up, or was never made."""
    info.tcpi_rcv_mss = _LEAST_SEGMENT_BYTES
    info.tcpi_pmtu = mtu_of(socket)
    info.tcpi_notsent_bytes = socket.number_gaps[1]
    if socket.state == SYN_SENT:
        info.tcpi_unacked = 1
        info.tcpi_segs_out = socket.syn_count
        info.tcpi_total_retrans = info.tcpi_retransmits = max(socket.syn_count - 1, 0)
        if socket.syn_count > 1:
            # Linux: net/ipv4/tcp_input.c, tcp_enter_loss.
            info.tcpi_ca_state, info.tcpi_lost, info.tcpi_retrans = _LOSS, 1, 1
            info.tcpi_snd_cwnd = 1
    if socket.agreed == NOT_YET:
        info.tcpi_advmss = offered_bytes(socket)
        info.tcpi_rcv_ssthresh = info.tcpi_rcv_wnd = first_window(socket)
    else:
        info.tcpi_advmss = segment_bytes(socket)
        info.tcpi_rcv_ssthresh = info.tcpi_rcv_space = first_window(socket)
        info.tcpi_snd_wnd, info.tcpi_rcv_wnd = widest_window_heard(socket), WIDEST_WINDOW


def _tell_connection(socket: TcpSocket, info: TcpInfo, owed_segments: int, owed_bytes: int) -> None:
    """What there is to say of a connection. A SYN and a FIN count as a byte among those that have arrived."""
    info.tcpi_options = spoken(socket)
    if info.tcpi_options & TELLS_CONGESTION and socket.bytes_received:
        info.tcpi_options |= int(TcpInfoOption.TCPI_OPT_ECN_SEEN)
    info.tcpi_scales = 0x11 * window_scale(socket)
    repair = socket.repair
    if repair is not None and repair.options is not None:
        info.tcpi_options, info.tcpi_scales = repair.options, repair.scales
    if socket.fast_open is not None and socket.fast_open.is_accepted:
        info.tcpi_options |= int(TcpInfoOption.TCPI_OPT_SYN_DATA)
    longest = segment_bytes(socket)
    info.tcpi_rto, info.tcpi_rtt, info.tcpi_rttvar = _TIMEOUT_US, _ROUND_TRIP_US, _ROUND_TRIP_US >> 1
    info.tcpi_min_rtt = _ROUND_TRIP_US
    info.tcpi_advmss = longest
    info.tcpi_rcv_mss = heard_segment_bytes(socket)
    if socket.arrived.largest or socket.has_ended:
        info.tcpi_ato = _ACKNOWLEDGED_WITHIN_US
    info.tcpi_snd_mss = told_segment_bytes(socket)
    info.tcpi_pmtu = mtu_of(socket)
    info.tcpi_bytes_sent = socket.bytes_sent
    acknowledged = socket.bytes_sent + len(socket.held) - socket.on_the_way
    has_called = socket.seen_as is not None
    # Where both have sent a FIN there's nothing left.
    has_hung_up = socket.state == _FIN_WAIT2 or (socket.state == CLOSED and socket.has_ended)
    info.tcpi_unacked = owed_segments
    info.tcpi_bytes_acked = acknowledged + has_called + has_hung_up - owed_bytes
    info.tcpi_delivered = 1 + socket.data_segments_sent + has_hung_up - owed_segments
    info.tcpi_bytes_received = socket.bytes_received + socket.has_ended
    info.tcpi_notsent_bytes = socket.on_the_way
    window = first_window(socket)
    info.tcpi_rcv_ssthresh = window
    info.tcpi_rcv_space = socket.measured_bytes
    has_offered = has_called or socket.bytes_sent or socket.bytes_received or socket.has_ended
    info.tcpi_rcv_wnd = socket.receive_room // 2 if has_offered else window
    room = socket.peer.receive_room // 2 if socket.peer is not None else WIDEST_WINDOW
    info.tcpi_snd_wnd = min(room, widest_window_heard(socket))
    now_ns = socket.network.host.clock.now_ns
    info.tcpi_last_data_sent = (now_ns - socket.sent_at_ns) // NS_PER_MS
    info.tcpi_last_data_recv = (now_ns - socket.heard_at_ns) // NS_PER_MS
    info.tcpi_last_ack_recv = (now_ns - max(socket.sent_at_ns, socket.heard_at_ns)) // NS_PER_MS
