"""What the filter of a TCP socket doesn't let in (SO_ATTACH_FILTER): it's as if lost, and sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ETIMEDOUT
from procession.abi.socket import TcpState
from procession.abi.word import Words
from procession.net.internet.packet import TCP, Packet
from procession.net.internet.tcp_options import segment_bytes
from procession.net.socket import ESTABLISHED
from procession.net.socket_filter import FilteredPacket, accepted_bytes

if TYPE_CHECKING:
    from procession.net.internet.flow import Flow
    from procession.net.internet.tcp import TcpSocket

FIN_WAIT1, LAST_ACK = int(TcpState.TCP_FIN_WAIT1), int(TcpState.TCP_LAST_ACK)
FIN, SYN, PUSH, ACKNOWLEDGED = 1, 2, 8, 16
"""The flags of a segment."""
_HEADER = Words(">HHIIBBHHH")
_OPTION_BYTES, _SYN_OPTION_BYTES = 12, 20
_WINDOW = 512
_WORD = 0xFFFFFFFF
_FIRST_TIMEOUT_NS, _LONGEST_TIMEOUT_NS = 200_000_000, 120_000_000_000
_MOST_TIMES = 15
"""net.ipv4.tcp_retries2: so often a segment is sent again."""
_TIME_TO_LIVE = 64


def kept_bytes(receiver: TcpSocket, sender: TcpSocket, flow: Flow, flags: int, data: bytes = b"") -> int:
    """How many bytes of a segment's data the filter of `receiver` keeps, -1 if it drops the segment.

    Segments aren't made: the program sees a header with the ports, the flags, and how far the stream is.
    Linux: net/ipv4/tcp_ipv4.c, tcp_filter.
    """
    target, port = sender.remote_address, sender.remote_port
    if target is None:
        # A listening socket answers: `receiver` has the addresses.
        assert receiver.remote_address is not None
        source, target, port = receiver.remote_address, receiver.local_address, receiver.local_port
    else:
        source = sender.local_address
    options = _SYN_OPTION_BYTES if flags & SYN else _OPTION_BYTES
    size = _HEADER.size + options
    header = _HEADER.pack(
        *(sender.local_port, port, sender.bytes_sent & _WORD, sender.bytes_received & _WORD),
        *(size << 2, flags, _WINDOW, 0, 0),
    )
    segment = header + bytes(options) + data
    packet = Packet(segment, source, 0, target, 0, 0, 0, _TIME_TO_LIVE, TCP)
    whole = packet.with_header() if len(target) == 4 else packet.with_header_6()
    seen = FilteredPacket(segment, whole, len(target), flow.interface.index)
    accepted = accepted_bytes(receiver, seen)
    return min(max(accepted - size, 0), len(data)) if accepted else -1


def lets_connect(listener: TcpSocket, socket: TcpSocket, flow: Flow) -> bool:
    """Whether the SYN of `socket` and what answers it get through."""
    if listener.filter is not None and kept_bytes(listener, socket, flow, SYN) < 0:
        return False
    return socket.filter is None or kept_bytes(socket, listener, flow, SYN | ACKNOWLEDGED) >= 0


def split(sender: TcpSocket, receiver: TcpSocket, flow: Flow, data: bytes) -> tuple[bytes, bytes]:
    """What of `data` gets through the filter of `receiver`, and what has to be sent again."""
    size = segment_bytes(sender)
    done = 0
    while done < len(data):
        segment = data[done : done + size]
        kept = kept_bytes(receiver, sender, flow, PUSH | ACKNOWLEDGED, segment)
        done += max(kept, 0)
        if kept < len(segment):
            return data[:done], data[done:]
    sender.lost_count = 0
    return data, b""


def lose(sender: TcpSocket, data: bytes = b"") -> None:
    """A FIN or `data` didn't get through: it's sent again after a while, or given up.

    Linux: net/ipv4/tcp_timer.c, tcp_retransmit_timer, tcp_write_timeout.
    """
    sender.held = data + sender.held
    if sender.timer is not None:
        return
    if sender.lost_count >= _MOST_TIMES:
        peer = sender.peer
        sender.end(ETIMEDOUT.number)
        if sender.is_orphan:
            sender.let_go()
        if peer is not None and peer is not sender:
            # In Linux it hears of it only when it sends something.
            peer.reset()
        return
    delay_ns = min(_FIRST_TIMEOUT_NS << sender.lost_count, _LONGEST_TIMEOUT_NS)
    sender.lost_count += 1
    sender.network.tcp.start_timer(sender, delay_ns)


def loses_end(sender: TcpSocket, receiver: TcpSocket | None, *, was_closing: bool) -> bool:
    """Whether the FIN of `sender` can't arrive yet: what goes before it didn't, or it's dropped itself."""
    flow = sender.flow
    if receiver is None or receiver.filter is None or flow is None:
        return False
    if not sender.held and kept_bytes(receiver, sender, flow, FIN | ACKNOWLEDGED) >= 0:
        sender.lost_count = 0
        return False
    sender.state = LAST_ACK if was_closing else FIN_WAIT1
    lose(sender)
    return True


def send_again(sender: TcpSocket) -> None:
    """It's time to send again what didn't get through."""
    sender.push_held()
    if sender.state in (FIN_WAIT1, LAST_ACK) and not sender.held:
        sender.state = ESTABLISHED if sender.state == FIN_WAIT1 else int(TcpState.TCP_CLOSE_WAIT)
        sender.send_end()
        if sender.is_orphan:
            sender.wait_for_end()
