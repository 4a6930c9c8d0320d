"""Connections that are taken apart and made anew elsewhere: what TCP_REPAIR changes and tells (tcp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EFBIG, EINVAL, EPERM
from procession.abi.internet import (
    TcpHeaderOption,
    TcpInfoOption,
    TcpOption,
    TcpRepairMode,
    TcpRepairOpt,
    TcpRepairQueue,
    TcpRepairWindow,
)
from procession.abi.socket import SocketOption
from procession.net.internet.socket import FORCED_REUSE
from procession.net.socket import CLOSED, ESTABLISHED, LISTENING
from procession.net.socket_options import pack_int, read_int

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket

_REPAIR, _QUEUE = int(TcpOption.TCP_REPAIR), int(TcpOption.TCP_REPAIR_QUEUE)
_NUMBER, _OPTIONS = int(TcpOption.TCP_QUEUE_SEQ), int(TcpOption.TCP_REPAIR_OPTIONS)
_WINDOW, _TIMESTAMP = int(TcpOption.TCP_REPAIR_WINDOW), int(TcpOption.TCP_TIMESTAMP)
REPAIR_OPTIONS = (_REPAIR, _QUEUE, _NUMBER, _OPTIONS, _WINDOW, _TIMESTAMP)
"""The options of which this file knows."""

_ON, _OFF = int(TcpRepairMode.TCP_REPAIR_ON), int(TcpRepairMode.TCP_REPAIR_OFF)
_OFF_WITHOUT_PROBE = int(TcpRepairMode.TCP_REPAIR_OFF_NO_WP)
NO_QUEUE, RECEIVE_QUEUE = int(TcpRepairQueue.TCP_NO_QUEUE), int(TcpRepairQueue.TCP_RECV_QUEUE)
SEND_QUEUE = int(TcpRepairQueue.TCP_SEND_QUEUE)
_MAXIMUM_SEGMENT, _SCALES = int(TcpHeaderOption.TCPOPT_MAXSEG), int(TcpHeaderOption.TCPOPT_WINDOW)
_SELECTIVE, _CLOCK = int(TcpHeaderOption.TCPOPT_SACK_PERMITTED), int(TcpHeaderOption.TCPOPT_TIMESTAMP)
_HAS_SCALES, _HAS_SELECTIVE = int(TcpInfoOption.TCPI_OPT_WSCALE), int(TcpInfoOption.TCPI_OPT_SACK)
_HAS_CLOCK = int(TcpInfoOption.TCPI_OPT_TIMESTAMPS)
_CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
_SO_REUSEADDR = int(SocketOption.SO_REUSEADDR)
_WORD, _HALF = 0xFFFFFFFF, 0x80000000
_LARGEST_SCALE = 14
FIRST_SEGMENT_BYTES = 536
"""How long segments are before TCPOPT_MAXSEG has said it."""


class Repair:
    """What is, or was, repaired of a connection (Linux: include/linux/tcp.h, struct tcp_sock).

    `is_on` says that it is being repaired, `queue` which one is meant. The streams' bytes are numbered from
    `first_sent` and `first_received` on. Of a connection that nobody has shaken hands for, `options` are the
    TCPI_OPT_* that it has, `scales` those of its windows and `segment_bytes` its longest segment; None for
    others. `window` is what was set and isn't known better. `clock_offset` is added to the clock of
    TCP_TIMESTAMP, which goes in microseconds if `is_fine`.
    """

    __slots__ = (
        "clock_offset",
        "first_received",
        "first_sent",
        "is_fine",
        "is_on",
        "options",
        "queue",
        "scales",
        "segment_bytes",
        "window",
    )

    def __init__(self) -> None:
        self.is_on = False
        self.queue = NO_QUEUE
        self.first_sent = self.first_received = 0
        self.options: int | None = None
        self.scales = 0
        self.segment_bytes = 0
        self.window: TcpRepairWindow | None = None
        self.clock_offset = 0
        self.is_fine = False

    def shake_no_hands(self) -> None:
        """connect(2) takes the other end to be there. Linux: net/ipv4/tcp_output.c, tcp_connect."""
        self.options, self.scales, self.segment_bytes = 0, 0, FIRST_SEGMENT_BYTES

    def start_anew(self) -> None:
        """Another connection has numbers and options of its own."""
        self.first_sent = self.first_received = 0
        self.options, self.window = None, None


def is_under_repair(socket: TcpSocket) -> bool:
    """Whether TCP_REPAIR is on."""
    repair = socket.repair
    return repair is not None and repair.is_on


def sent_number(socket: TcpSocket) -> int:
    """The number of the next byte that goes to the other end; what is held back begins with it."""
    repair = socket.repair
    return socket.bytes_sent + (repair.first_sent if repair is not None else 0) & _WORD


def received_number(socket: TcpSocket) -> int:
    """The number of the next byte that is to arrive."""
    repair = socket.repair
    return socket.bytes_received + (repair.first_received if repair is not None else 0) & _WORD


def is_after(number: int, other: int) -> bool:
    """Whether `number` comes behind `other` (Linux: include/net/tcp.h, after)."""
    return other - number & _WORD >= _HALF


def repaired_segment_bytes(socket: TcpSocket, longest: int) -> int:
    """How long segments are, that else are `longest`."""
    repair = socket.repair
    if repair is None or repair.options is None or not repair.segment_bytes:
        return longest
    return min(repair.segment_bytes, longest)


# Setting


def set_repair_option(socket: TcpSocket, name: int, value: bytes) -> None:
    """One of REPAIR_OPTIONS. Raises EPERM, EINVAL, EFBIG. Linux: net/ipv4/tcp.c, do_tcp_setsockopt."""
    number = read_int(value)
    repair = socket.repair
    if name == _REPAIR:
        _switch(socket, number)
    elif name == _NUMBER:
        _set_number(socket, number)
    elif name == _OPTIONS:
        if repair is None or not repair.is_on:
            raise EINVAL("not under repair")
        if socket.state != ESTABLISHED or socket.bytes_sent:
            raise EPERM("no connection, or one that has sent something")
        _set_header_options(repair, value)
    elif repair is None or not repair.is_on:
        raise EPERM("not under repair")
    elif name == _QUEUE:
        if not NO_QUEUE <= number <= SEND_QUEUE:
            raise EINVAL("no such queue")
        repair.queue = number
    elif name == _WINDOW:
        _set_window(socket, repair, value)
    else:
        repair.is_fine = bool(number & 1)
        repair.clock_offset = number - _clock(socket, repair)


def _switch(socket: TcpSocket, number: int) -> None:
    """TCP_REPAIR. Linux: net/ipv4/tcp.c, tcp_can_repair_sock."""
    may_repair = socket.caller.credentials.ns_capable(socket.network.owner, _CAP_NET_ADMIN)
    if not may_repair or socket.state == LISTENING:
        raise EPERM("CAP_NET_ADMIN is needed, and a socket that doesn't listen")
    if number == _ON:
        if socket.repair is None:
            socket.repair = Repair()
        socket.repair.is_on, socket.repair.queue = True, NO_QUEUE
        socket.options[_SO_REUSEADDR] = FORCED_REUSE
    elif number in (_OFF, _OFF_WITHOUT_PROBE):
        was_on = is_under_repair(socket)
        if socket.repair is not None:
            socket.repair.is_on = False
        socket.options.pop(_SO_REUSEADDR, None)
        if was_on:
            socket.be_repaired(is_probed=number == _OFF)
    else:
        raise EINVAL("neither on nor off")


def _set_number(socket: TcpSocket, number: int) -> None:
    """TCP_QUEUE_SEQ."""
    if socket.state != CLOSED:
        raise EPERM("the socket has a connection")
    repair = socket.repair
    if repair is None or repair.queue == NO_QUEUE:
        raise EINVAL("no queue was chosen")
    if repair.queue == SEND_QUEUE:
        repair.first_sent = number - socket.bytes_sent & _WORD
    elif socket.arrived.length:
        raise EPERM("there are bytes in the queue")
    else:
        repair.first_received = number - socket.bytes_received & _WORD


def _set_header_options(repair: Repair, value: bytes) -> None:
    """TCP_REPAIR_OPTIONS: those before a bad one are set. Linux: net/ipv4/tcp.c, tcp_repair_options_est."""
    for offset in range(0, len(value) - TcpRepairOpt.SIZE + 1, TcpRepairOpt.SIZE):
        wanted = TcpRepairOpt.unpack_from(value, offset)
        code, number = wanted.opt_code, wanted.opt_val
        options = repair.options or 0
        if code == _MAXIMUM_SEGMENT:
            repair.segment_bytes = number & 0xFFFF
        elif code == _SCALES:
            sent, received = number & 0xFFFF, number >> 16
            if sent > _LARGEST_SCALE or received > _LARGEST_SCALE:
                raise EFBIG("a window's scale is at most 14")
            repair.scales = sent | received << 4
            options |= _HAS_SCALES
        elif code in (_SELECTIVE, _CLOCK):
            if number:
                raise EINVAL("an option without a value")
            options |= _HAS_SELECTIVE if code == _SELECTIVE else _HAS_CLOCK
        repair.options = options


def _set_window(socket: TcpSocket, repair: Repair, value: bytes) -> None:
    """TCP_REPAIR_WINDOW. Linux: net/ipv4/tcp.c, tcp_repair_set_window."""
    if len(value) != TcpRepairWindow.SIZE:
        raise EINVAL("a struct tcp_repair_window is needed")
    window = TcpRepairWindow.unpack_from(value)
    expected = received_number(socket)
    if (
        window.max_window < window.snd_wnd
        or is_after(window.snd_wl1, expected + window.rcv_wnd & _WORD)
        or is_after(window.rcv_wup, expected)
    ):
        raise EINVAL("a window that can't be")
    repair.window = window


# Asking


def get_repair_option(socket: TcpSocket, name: int, length: int) -> bytes:
    """One of REPAIR_OPTIONS. Raises EPERM, EINVAL. Linux: net/ipv4/tcp.c, do_tcp_getsockopt."""
    repair = socket.repair
    is_on = repair is not None and repair.is_on
    if name == _REPAIR:
        return pack_int(int(is_on))
    if name == _TIMESTAMP:
        now = _clock(socket, repair) + (repair.clock_offset if repair is not None else 0)
        is_fine = repair is not None and repair.is_fine
        return pack_int(now | 1 if is_fine else now & ~1)
    if name == _WINDOW:
        if length != TcpRepairWindow.SIZE:
            raise EINVAL("a struct tcp_repair_window is needed")
        if repair is None or not repair.is_on:
            raise EPERM("not under repair")
        return _window(socket, repair).pack()
    if repair is None or (name == _QUEUE and not is_on):
        raise EINVAL("not under repair")
    if name == _QUEUE:
        return pack_int(repair.queue)
    if repair.queue == NO_QUEUE:
        raise EINVAL("no queue was chosen")
    if repair.queue == SEND_QUEUE:
        return pack_int(sent_number(socket) + len(socket.held))
    return pack_int(received_number(socket))


def _window(socket: TcpSocket, repair: Repair) -> TcpRepairWindow:
    """What both ends may send. Nothing is on its way, so that the last segment told of both windows."""
    peer = socket.peer
    if peer is None:
        return repair.window or TcpRepairWindow()
    expected = received_number(socket)
    return TcpRepairWindow(
        *(expected, max(peer.receive_room - peer.arrived.length, 0), peer.receive_room),
        *(max(socket.receive_room - socket.arrived.length, 0), expected),
    )


def _clock(socket: TcpSocket, repair: Repair | None) -> int:
    is_fine = repair is not None and repair.is_fine
    return socket.network.host.clock.now_ns // (1_000 if is_fine else 1_000_000)
