"""A socket's queue of errors: what became of packets, and when they went (MSG_ERRQUEUE; ip(7))."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, ENOMSG
from procession.abi.internet import ETHERTYPES, IpOption, Ipv6Option
from procession.abi.named_tuple import NamedTuple
from procession.abi.socket import SocketLevel, SocketOption
from procession.abi.word import Words, pack_port
from procession.net.buffer_charge import packet_charge
from procession.net.internet.address import AF_INET, AF_INET6, format_sockaddr, is_any
from procession.net.internet.flow import UNRESOLVED
from procession.net.link.interface import LOOPBACK
from procession.net.message import Received
from procession.net.socket import MSG_ERRQUEUE, MSG_TRUNC
from procession.net.socket_options import CAP_NET_RAW
from procession.net.timestamp import (
    NUMBERED,
    TIME_ONLY,
    TOLD_OFFENDER,
    is_told_time,
    sending_items,
    stamped_stages,
    timestamping_flags,
    wants_time,
)

if TYPE_CHECKING:
    from procession.net.internet.control import PacketChoice
    from procession.net.internet.datagram import DatagramSocket
    from procession.net.internet.flow import Flow
    from procession.net.internet.icmp_error import IcmpError
    from procession.net.internet.packet import Packet
    from procession.net.internet.socket import InternetSocket
    from procession.net.socket import Socket

_SOL_IP = int(SocketLevel.SOL_IP)
_SOL_IPV6 = int(SocketLevel.SOL_IPV6)
_SO_ZEROCOPY = int(SocketOption.SO_ZEROCOPY)
_IP_RECVERR = int(IpOption.IP_RECVERR)
_IPV6_RECVERR = int(Ipv6Option.IPV6_RECVERR)
_EXTENDED_ERROR = Words("<IBBBBII")
"""struct sock_extended_err."""
_ORIGIN_ICMP, _ORIGIN_ICMP6 = 2, 3
"""SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6."""
_ORIGIN_TIMESTAMPING = 4
"""SO_EE_ORIGIN_TIMESTAMPING."""
_ORIGIN_ZERO_COPY, _WAS_COPIED = 5, 1
"""SO_EE_ORIGIN_ZEROCOPY and SO_EE_CODE_ZEROCOPY_COPIED."""
_NO_OFFENDER = {AF_INET: bytes(16), AF_INET6: bytes(28)}
_WORD = 0xFFFFFFFF


class Undelivered(NamedTuple):
    """A packet that didn't arrive, where it was sent, and who says why not, at `time_ns`."""

    data: bytes
    target: bytes
    port: int
    error: "IcmpError"  # noqa: UP037
    offender: bytes
    time_ns: int

    @property
    def error_number(self) -> int:
        """The errno."""
        return self.error.error if len(self.target) == 4 else self.error.error_6

    @property
    def charge(self) -> int:
        """What room it takes."""
        return packet_charge(len(self.data))


class SentStamp(NamedTuple):
    """A packet that went at `time_ns`: all of it with its headers, b"" if that isn't wanted, from where, what
    it passed then (SCM_TSTAMP_*), and its number among those of its socket. With `has_statistics` the frame
    is figures of the connection instead. `source` is b"" where that isn't known.
    """

    frame: bytes
    source: bytes
    time_ns: int
    stage: int
    number: int
    has_statistics: bool = False

    @property
    def error_number(self) -> int:
        """It's no error."""
        return 0

    @property
    def charge(self) -> int:
        """What room it takes."""
        return packet_charge(len(self.frame))


class CopiedNotice(NamedTuple):
    """The calls with MSG_ZEROCOPY of these numbers are done with their memory, which was copied."""

    first: int
    last: int

    @property
    def error_number(self) -> int:
        """It's no error."""
        return 0

    @property
    def charge(self) -> int:
        """It's part of what the call took."""
        return 0


Queued = Undelivered | SentStamp | CopiedNotice


def wants_errors(socket: DatagramSocket, target: bytes) -> bool:
    """Whether errors of datagrams to `target` are queued (IP_RECVERR, IPV6_RECVERR)."""
    options = socket.protocol_options
    option = (_SOL_IP, _IP_RECVERR) if len(target) == 4 else (_SOL_IPV6, _IPV6_RECVERR)
    return bool(options.get(option))


def report_undelivered(
    socket: DatagramSocket, packet: Packet, error: IcmpError, offender: bytes, data: bytes | None = None
) -> bool:
    """A connected socket hears of an error that is final, and one that wants to be told of any.

    `data` is what a raw socket is told, which has no ports; others are told of their datagram. The result
    says whether it was for this socket. Linux: net/ipv4/udp.c, __udp4_lib_err; net/ipv4/raw.c, raw_err;
    net/ipv4/ip_sockglue.c, ip_icmp_error.
    """
    target, port = packet.target, packet.target_port
    if socket.remote_address is not None and (
        socket.remote_address != target or (socket.remote_port and socket.remote_port != port)
    ):
        return False
    if not is_any(socket.local_address) and socket.local_address != packet.source:
        # Who is bound to a group sends from an address of the machine, and is not found by that.
        return False
    time_ns = socket.network.host.clock.realtime_ns
    if data is None:
        entry = Undelivered(packet.data, target, port, error, offender, time_ns)
    else:
        entry = Undelivered(data, target, 0, error, offender, time_ns)
    if wants_errors(socket, target):
        queue_entry(socket, entry)
    elif socket.remote_address is None or not error.is_fatal:
        return True
    socket.error = entry.error_number
    socket.state_changed()
    return True


def queue_entry(socket: InternetSocket, entry: Queued) -> None:
    """Let `entry` wait, if there is room for it. Linux: net/core/skbuff.c, sock_queue_err_skb."""
    charge = entry.charge
    if socket.waiting_bytes + charge >= socket.receive_room:
        return
    if socket.network.system.charge_arrived(charge):
        socket.arrived_bytes += charge
        if socket.error_queue is None:
            socket.error_queue = deque()
        socket.error_queue.append(entry)


def queue_copied(socket: InternetSocket) -> None:
    """Tell who wants it that one more call with MSG_ZEROCOPY is done. What it sent was copied, like all that
    comes to a socket of the same Linux, and that is told.

    Linux: net/core/skbuff.c, msg_zerocopy_realloc, __msg_zerocopy_callback.
    """
    if not socket.options.get(_SO_ZEROCOPY):
        return
    number, socket.zero_copy_count = socket.zero_copy_count, socket.zero_copy_count + 1 & _WORD
    if socket.error_queue is None:
        socket.error_queue = deque()
    before = socket.error_queue[-1] if socket.error_queue else None
    if isinstance(before, CopiedNotice) and before.last < number:
        socket.error_queue[-1] = before._replace(last=number)
    else:
        socket.error_queue.append(CopiedNotice(number, number))
    socket.state_changed()


def may_tell_data(socket: Socket) -> bool:
    """Whether a stamp may hold what was sent: who doesn't see all packets gets the time alone where
    net.core.tstamp_allow_data is 0. Linux: net/core/skbuff.c, skb_may_tx_timestamp.
    """
    if socket.network.sysctls.tells_data:
        return True
    return socket.file is not None and socket.file.subject.has_capability(CAP_NET_RAW)


def report_sent(socket: DatagramSocket, packet: Packet, flow: Flow, choice: PacketChoice) -> None:
    """Tell when `packet` has gone, as SO_TIMESTAMPING wants it, or its control message.

    Linux: net/core/skbuff.c, __skb_tstamp_tx.
    """
    stages = stamped_stages(socket.options, choice.stamping)
    if not stages or (flow.outcome == UNRESOLVED and not flow.routers):
        return
    flags, number = timestamping_flags(socket.options), 0
    if flags & NUMBERED:
        number, socket.sent_number = socket.sent_number, socket.sent_number + 1 & _WORD
    if not flags & TIME_ONLY and not may_tell_data(socket):
        return
    frame = b"" if flags & TIME_ONLY else whole_frame(packet, flow)
    time_ns = socket.network.host.clock.realtime_ns
    for stage in stages:
        queue_entry(socket, SentStamp(frame, packet.source if frame else b"", time_ns, stage, number))
    socket.state_changed()


def whole_frame(packet: Packet, flow: Flow) -> bytes:
    """A packet as it is on the wire, behind the addresses of the interfaces there; the loopback has none."""
    size = len(packet.target)
    whole = packet.with_header() if size == 4 else packet.with_header_6()
    ends = bytes(6), bytes(6)
    if flow.out.kind != LOOPBACK:
        ends = flow.neighbours[0].hardware_address if flow.neighbours else b"", flow.out.hardware_address
    return ends[0].ljust(6, b"\0") + ends[1].ljust(6, b"\0") + pack_port(ETHERTYPES[size]) + whole


def receive_error(socket: InternetSocket, length: int) -> Received:
    """recv(2) with MSG_ERRQUEUE. Raises EAGAIN. Linux: net/ipv4/ip_sockglue.c, ip_recv_error."""
    if not socket.error_queue:
        raise EAGAIN("no queued errors")
    entry = socket.error_queue.popleft()
    socket.arrived_bytes -= entry.charge
    socket.network.system.uncharge_buffer(entry.charge)
    following = socket.error_queue[0].error_number if socket.error_queue else 0
    if following or entry.error_number:
        socket.error = following
    options = socket.options
    # A socket of IPv6 is told as IPv6's, whatever its packets were.
    option = (_SOL_IP, _IP_RECVERR) if socket.family == AF_INET else (_SOL_IPV6, _IPV6_RECVERR)
    if isinstance(entry, CopiedNotice):
        received = Received(b"", 0, MSG_ERRQUEUE)
        extended = _EXTENDED_ERROR.pack(0, _ORIGIN_ZERO_COPY, 0, _WAS_COPIED, 0, entry.first, entry.last)
        # Nobody stamped the notice: where that is asked for, its time is when it's received.
        time_ns = socket.network.host.clock.realtime_ns if is_told_time(options) else 0
        received.items = [*_times(options, time_ns), (*option, extended + _NO_OFFENDER[socket.family])]
        return received
    if isinstance(entry, SentStamp):
        return _told_stamp(socket, entry, length, option)
    data, target = entry.data, entry.target
    received = Received(data[:length], len(data), MSG_ERRQUEUE)
    if len(data) > length:
        received.flags |= MSG_TRUNC
    received.address = format_sockaddr(target, entry.port, socket.family)
    answer = entry.error
    if len(target) == 4:
        numbers = (_ORIGIN_ICMP, answer.kind, answer.code)
    else:
        numbers = (_ORIGIN_ICMP6, answer.kind_6, answer.code_6)
    extended = _EXTENDED_ERROR.pack(entry.error_number, *numbers, 0, 0, 0)
    offender = format_sockaddr(entry.offender, 0, socket.family)
    time_ns = entry.time_ns if wants_time(options) else 0
    received.items = [*_times(options, time_ns), (*option, extended + offender)]
    return received


def _times(options: dict[int, int], time_ns: int) -> list[tuple[int, int, bytes]]:
    """When an entry came, 0 if nobody has asked for that."""
    return sending_items(options, time_ns, b"") if time_ns else []


def _told_stamp(socket: InternetSocket, entry: SentStamp, length: int, option: tuple[int, int]) -> Received:
    """Linux: net/ipv4/ip_sockglue.c, ipv4_datagram_support_cmsg; net/ipv6/datagram.c,
    ip6_datagram_support_cmsg."""
    frame, options = entry.frame, socket.options
    received = Received(frame[:length], len(frame), MSG_ERRQUEUE)
    if len(frame) > length:
        received.flags |= MSG_TRUNC
    extended = _EXTENDED_ERROR.pack(
        *(ENOMSG.number, _ORIGIN_TIMESTAMPING, 0, 0, 0, entry.stage, entry.number)
    )
    offender = _NO_OFFENDER[socket.family]
    if entry.source and (socket.family == AF_INET6 or timestamping_flags(options) & TOLD_OFFENDER):
        offender = format_sockaddr(entry.source, 0, socket.family)
    received.items = [
        *sending_items(options, entry.time_ns, frame if entry.has_statistics else b""),
        (*option, extended + offender),
    ]
    return received
