"""When bytes of a TCP connection were sent and acknowledged: SO_TIMESTAMPING of a stream (socket(7))."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.abi.socket import SocketLevel
from procession.abi.tcp_statistic import TcpStatistic
from procession.abi.word import Words
from procession.net.internet.control import DEVICE_MEMORY, MARKS, chosen_mark
from procession.net.internet.error_queue import SentStamp, may_tell_data, queue_entry, whole_frame
from procession.net.internet.passage import ACKNOWLEDGED, PUSH, segment
from procession.net.internet.tcp_negotiation import segment_options
from procession.net.internet.tcp_repair import received_number, sent_number
from procession.net.internet.tcp_segment import segment_bytes
from procession.net.timestamp import (
    ACKNOWLEDGED_STAGE,
    NUMBERED,
    NUMBERED_FROM_LAST,
    STATISTICS,
    TIME_ONLY,
    TIMESTAMPING,
    check_socket_item,
    checked_stamping,
    stream_stages,
    timestamping_flags,
)

if TYPE_CHECKING:
    from procession.net.internet.tcp import TcpSocket
    from procession.net.message import Control

_SOL_SOCKET = int(SocketLevel.SOL_SOCKET)
_WORD = 0xFFFFFFFF
_TIME_TO_LIVE = 64
_WINDOW_SEGMENTS = 10
_STAMP_BYTES = 320
"""What a pending stamp takes, beside its data."""
_ATTRIBUTES = {8: Words("<HHQ"), 4: Words("<HHI"), 2: Words("<HHH2x"), 1: Words("<HHB3x")}
"""A struct nlattr with a number of so many bytes, padded."""
_ATTRIBUTE_HEADER_BYTES = 4


def chosen_stamping(socket: TcpSocket, control: Control) -> int | None:
    """Of what the control messages of bytes of a stream want to be told, None if they don't say it. Raises
    EINVAL, EPERM; marks and priorities are the connection's.

    Linux: net/core/sock.c, sock_cmsg_send.
    """
    chosen: int | None = None
    for level, kind, body in control.checked_items():
        if level != _SOL_SOCKET:
            continue
        if kind in TIMESTAMPING:
            chosen = checked_stamping(body)
        elif kind in MARKS:
            chosen_mark(socket, kind, body)
        elif kind != DEVICE_MEMORY or len(body) != 4:
            check_socket_item(kind)
    return chosen


class PendingStamp(NamedTuple):
    """What is told when the bytes of a segment have gone that lie from `start` to `end` in the stream.

    `data` are those bytes, b"" if only the time is told; `number` is the last one's.
    """

    start: int
    end: int
    stages: tuple[int, ...]
    data: bytes
    number: int

    @property
    def charge(self) -> int:
        """What room it takes."""
        return _STAMP_BYTES + len(self.data)


class Stamps:
    """What a connection has to tell of bytes that it has sent. They are numbered from `first` on."""

    __slots__ = ("first", "pending")

    def __init__(self) -> None:
        self.pending: deque[PendingStamp] = deque()
        self.first = 0


def _gone_bytes(socket: TcpSocket) -> int:
    """How many bytes of the stream the other end has had room for."""
    return socket.bytes_sent + len(socket.held) - socket.on_the_way


def start_numbering(socket: TcpSocket, flags: int) -> None:
    """Number from the next byte that is sent, or from the first that isn't acknowledged.

    Linux: net/core/sock.c, sock_set_timestamping.
    """
    if socket.stamps is None:
        socket.stamps = Stamps()
    is_next = flags & NUMBERED_FROM_LAST
    socket.stamps.first = socket.bytes_sent + len(socket.held) if is_next else _gone_bytes(socket)


def note_stamp(socket: TcpSocket, data: bytes, chosen: int | None) -> None:
    """`data`, which is about to be sent, is to be told of; its control message has `chosen` of what.

    Linux: net/ipv4/tcp.c, tcp_tx_timestamp.
    """
    stamps = socket.stamps
    if stamps is None:
        stamps = socket.stamps = Stamps()
    pending = stamps.pending
    longest = segment_bytes(socket)
    end = socket.bytes_sent + len(socket.held) + len(data)
    whole = socket.held + data
    start = end - ((len(whole) - 1) % longest + 1)
    if pending and pending[-1].end > _gone_bytes(socket) and end - pending[-1].start <= longest:
        # One segment has one stamp: what still waits goes with the bytes that follow.
        before = pending.pop()
        socket.network.system.uncharge_buffer(before.charge)
        start, whole = before.start, before.data + data
    flags = timestamping_flags(socket.options)
    number = end - 1 - stamps.first & _WORD if flags & NUMBERED else 0
    shown = b"" if flags & TIME_ONLY else whole[start - end :]
    stamp = PendingStamp(start, end, stream_stages(socket.options, chosen), shown, number)
    if socket.network.system.charge_arrived(stamp.charge):
        pending.append(stamp)


def tell_gone(socket: TcpSocket, stamps: Stamps) -> None:
    """Tell of bytes that have gone meanwhile; what has arrived is acknowledged at once.

    Linux: net/core/skbuff.c, __skb_tstamp_tx; net/ipv4/tcp_input.c, tcp_ack_tstamp.
    """
    pending = stamps.pending
    if not pending:
        return
    gone = _gone_bytes(socket)
    is_told = False
    while pending and pending[0].end <= gone:
        stamp = pending.popleft()
        socket.network.system.uncharge_buffer(stamp.charge)
        flags = timestamping_flags(socket.options)
        if flags & TIME_ONLY or may_tell_data(socket):
            for stage in stamp.stages:
                queue_entry(socket, _entry(socket, stamp, stage, flags))
            is_told = True
    if is_told:
        socket.state_changed()


def forget_stamps(socket: TcpSocket) -> None:
    """Nobody will be told any more."""
    pending = socket.stamps.pending if socket.stamps is not None else ()
    charge = socket.arrived_bytes + sum(stamp.charge for stamp in pending)
    socket.network.system.uncharge_buffer(charge)
    socket.arrived_bytes, socket.error_queue, socket.stamps = 0, None, None


def _entry(socket: TcpSocket, stamp: PendingStamp, stage: int, flags: int) -> SentStamp:
    time_ns = socket.network.host.clock.realtime_ns
    flow = socket.flow
    assert flow is not None
    assert socket.remote_address is not None
    if flags & TIME_ONLY:
        has_statistics = bool(flags & STATISTICS)
        frame = _statistics(socket, is_acknowledged=stage == ACKNOWLEDGED_STAGE) if has_statistics else b""
        return SentStamp(frame, b"", time_ns, stage, stamp.number, has_statistics)
    if stage == ACKNOWLEDGED_STAGE:
        # The segment is kept for being sent again, without its headers.
        return SentStamp(stamp.data, b"", time_ns, stage, stamp.number)
    packet = segment(
        (socket.local_address, socket.local_port),
        (socket.remote_address, socket.remote_port),
        sent_number(socket) + stamp.end - len(stamp.data) - socket.bytes_sent,
        received_number(socket),
        PUSH | ACKNOWLEDGED,
        segment_options(socket),
        stamp.data,
    )
    return SentStamp(whole_frame(packet, flow), socket.local_address, time_ns, stage, stamp.number)


def _statistics(socket: TcpSocket, *, is_acknowledged: bool) -> bytes:
    """Figures of a connection that neither loses nor delays anything (SCM_TIMESTAMPING_OPT_STATS).

    Linux: net/ipv4/tcp.c, tcp_get_timestamping_opt_stats.
    """
    sent = socket.bytes_sent
    segments = -(-sent // segment_bytes(socket))
    values: list[tuple[TcpStatistic, int, int]] = [
        (TcpStatistic.TCP_NLA_BUSY, 8, 0),
        (TcpStatistic.TCP_NLA_RWND_LIMITED, 8, 0),
        (TcpStatistic.TCP_NLA_SNDBUF_LIMITED, 8, 0),
        (TcpStatistic.TCP_NLA_DATA_SEGS_OUT, 8, segments),
        (TcpStatistic.TCP_NLA_TOTAL_RETRANS, 8, 0),
        (TcpStatistic.TCP_NLA_PACING_RATE, 8, (1 << 64) - 1),
        (TcpStatistic.TCP_NLA_DELIVERY_RATE, 8, 0),
        (TcpStatistic.TCP_NLA_SND_CWND, 4, _WINDOW_SEGMENTS),
        (TcpStatistic.TCP_NLA_REORDERING, 4, 3),
        (TcpStatistic.TCP_NLA_MIN_RTT, 4, 0),
        (TcpStatistic.TCP_NLA_RECUR_RETRANS, 1, 0),
        (TcpStatistic.TCP_NLA_DELIVERY_RATE_APP_LMT, 1, 0),
        (TcpStatistic.TCP_NLA_SND_SSTHRESH, 4, 0x7FFFFFFF),
        (TcpStatistic.TCP_NLA_DELIVERED, 4, segments),
        (TcpStatistic.TCP_NLA_DELIVERED_CE, 4, 0),
        (TcpStatistic.TCP_NLA_SNDQ_SIZE, 4, socket.on_the_way),
        (TcpStatistic.TCP_NLA_CA_STATE, 1, 0),
        (TcpStatistic.TCP_NLA_BYTES_SENT, 8, sent),
        (TcpStatistic.TCP_NLA_BYTES_RETRANS, 8, 0),
        (TcpStatistic.TCP_NLA_DSACK_DUPS, 4, 0),
        (TcpStatistic.TCP_NLA_REORD_SEEN, 4, 0),
        (TcpStatistic.TCP_NLA_SRTT, 4, 0),
        (TcpStatistic.TCP_NLA_TIMEOUT_REHASH, 2, 0),
        (TcpStatistic.TCP_NLA_BYTES_NOTSENT, 4, socket.on_the_way),
        (TcpStatistic.TCP_NLA_EDT, 8, 0),
        (TcpStatistic.TCP_NLA_REHASH, 4, 0),
    ]
    if is_acknowledged:
        values.append((TcpStatistic.TCP_NLA_TTL, 1, _TIME_TO_LIVE))
    return b"".join(
        _ATTRIBUTES[size].pack(_ATTRIBUTE_HEADER_BYTES + size, kind, value) for kind, size, value in values
    )
