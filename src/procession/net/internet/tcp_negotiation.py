"""What both ends of a TCP connection agree on in their SYNs (tcp(7)): time stamps, selective acknowledgements
and scaled windows, each of which a network may do without (net.ipv4.tcp_timestamps and its kin), and that
routers may tell of congestion (net.ipv4.tcp_ecn)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.internet import TcpInfoOption
from procession.abi.word import pack_port, pack_u8

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket
    from procession.net.sysctls import NetworkSysctls

TIMESTAMPS, SELECTIVE = int(TcpInfoOption.TCPI_OPT_TIMESTAMPS), int(TcpInfoOption.TCPI_OPT_SACK)
SCALES = int(TcpInfoOption.TCPI_OPT_WSCALE)
TELLS_CONGESTION = int(TcpInfoOption.TCPI_OPT_ECN)
_WANTED, _TAKEN = 1, (1, 2)
"""tcp_ecn: who connects asks for it; who listens agrees."""
ECHO, REDUCED = 0x40, 0x80
"""Flags of segments that are about congestion: SYNs have both if they ask, and the first if they agree."""
EVERYTHING = TIMESTAMPS | SELECTIVE | SCALES
NOT_YET = -1
"""Of what both ends speak: there's no other end."""
_TIMESTAMPS_BYTES = 12
_LARGEST_SCALE = 14
_WIDEST_UNSCALED = 0xFFFF
_SEGMENT_BYTES, _SCALE = b"\2\4", b"\1\3\3"
_PADDING, _SELECTIVE = b"\1\1", b"\4\2"
_CLOCK = b"\10\12" + bytes(8)
"""How the options begin in a header, and those that are always the same."""


def offered(sysctls: NetworkSysctls) -> int:
    """The TCPI_OPT_* that a SYN of this network offers, or takes."""
    return (
        (TIMESTAMPS if sysctls.has_tcp_timestamps else 0)
        | (SELECTIVE if sysctls.has_selective_acknowledgements else 0)
        | (SCALES if sysctls.scales_windows else 0)
    )


def spoken(socket: TcpSocket) -> int:
    """The TCPI_OPT_* of a connection, or what its SYN offers."""
    return offered(socket.network.sysctls) if socket.agreed == NOT_YET else socket.agreed


def asks_for_news(socket: TcpSocket) -> bool:
    """Whether its SYN wants routers to tell of congestion. Linux: net/ipv4/tcp_output.c, tcp_ecn_send_syn."""
    return socket.network.sysctls.congestion_news == _WANTED


def takes_news(listener: TcpSocket) -> bool:
    """Whether it agrees. Linux: net/ipv4/tcp_input.c, tcp_ecn_create_request."""
    return listener.network.sysctls.congestion_news in _TAKEN


def agree(first: TcpSocket, second: TcpSocket) -> None:
    """A connection is made, by the SYN of `first`. Linux: net/ipv4/tcp_input.c, tcp_parse_options,
    tcp_rcv_synsent_state_process."""
    agreed = offered(first.network.sysctls) & offered(second.network.sysctls)
    if asks_for_news(first) and takes_news(second):
        agreed |= TELLS_CONGESTION
    for end in (first, second):
        end.agreed = agreed
        if not agreed & SCALES:
            end.window_clamp = min(end.window_clamp or _WIDEST_UNSCALED, _WIDEST_UNSCALED)


def timestamps_bytes(socket: TcpSocket) -> int:
    """What the time stamps take of each segment."""
    return _TIMESTAMPS_BYTES if spoken(socket) & TIMESTAMPS else 0


def window_scale(socket: TcpSocket) -> int:
    """Both ends' in a SYN. Linux: net/ipv4/tcp_output.c, tcp_select_initial_window."""
    if not spoken(socket) & SCALES:
        return 0
    return min(max(socket.network.sysctls.receive_rooms[2].bit_length() - 16, 0), _LARGEST_SCALE)


def segment_options(socket: TcpSocket) -> bytes:
    """What a segment's header has behind it."""
    return _PADDING + _CLOCK if spoken(socket) & TIMESTAMPS else b""


def syn_options(socket: TcpSocket, segment_bytes: int, heard: int = EVERYTHING) -> bytes:
    """What a SYN of `socket` has behind its header, or the answer to one which offered `heard`.

    Linux: net/ipv4/tcp_output.c, tcp_syn_options, tcp_synack_options, tcp_options_write.
    """
    said = spoken(socket) & heard
    options = _SEGMENT_BYTES + pack_port(segment_bytes)
    if said & TIMESTAMPS:
        options += (_SELECTIVE if said & SELECTIVE else _PADDING) + _CLOCK
    elif said & SELECTIVE:
        options += _PADDING + _SELECTIVE
    if said & SCALES:
        options += _SCALE + pack_u8(window_scale(socket))
    return options
