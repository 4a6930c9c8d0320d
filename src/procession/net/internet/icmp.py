"""ICMP and ICMPv6: echoes and times, for which the kernel is asked, and messages about packets (icmp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM, Errno
from procession.abi.word import pack_address, pack_port, pack_u8
from procession.net.internet.flow import find_flow
from procession.net.internet.header_options import answered, recorded
from procession.net.internet.icmp_error import ICMP_ERRORS
from procession.net.internet.icmp_limit import lets_message
from procession.net.internet.output import send_packet
from procession.net.internet.packet import (
    ICMP,
    ICMP6,
    IPV4_HEADER_BYTES,
    IPV6_HEADER_BYTES,
    UDP,
    UDP_HEADER_BYTES,
    UDP_LITE,
    Packet,
    checksum,
)
from procession.net.internet.routing_rule import ANY_TRAFFIC, Traffic
from procession.net.marks import reflected_mark

if TYPE_CHECKING:
    from procession.net.internet.flow import Flow
    from procession.net.internet.icmp_error import IcmpError
    from procession.net.link.interface import Interface
    from procession.net.network import Network

PING_PROTOCOLS = (ICMP, ICMP6)
ECHO, ECHO_REPLY = 8, 0
ECHO_6, ECHO_REPLY_6 = 128, 129
_TIMESTAMP, _TIMESTAMP_REPLY = 13, 14
HEADER_BYTES = 8
_ERRORS_4 = (3, 4, 5, 11, 12)
_LEAST_INFORMATION_6 = 128
_QUOTED_BYTES = 548
"""How much of a packet is sent back with what became of it."""
_UNUSED = bytes(4)
_NO_PLACE = bytes(4)
"""IPv4's identification and fragment of a packet that may be cut."""
_TOS_BITS, _NETWORK_CONTROL = 0x1E, 0xC0
"""What errors keep of a packet's type of service, and what they have instead of the rest."""
_DAY_MS = 86_400_000


def _pseudo_header(message: bytes, source: bytes, target: bytes, protocol: int) -> bytes:
    """What the checksum covers beside `message`."""
    if len(target) == 4:
        return b""
    return source + target + pack_address(len(message), 4) + pack_address(protocol, 4)


def with_checksum(
    message: bytes, source: bytes, target: bytes, protocol: int = ICMP6, place: int = 2
) -> bytes:
    """A message with its checksum at `place`, which of IPv6's protocols covers the addresses too."""
    pseudo = _pseudo_header(message, source, target, protocol)
    blank = message[:place] + b"\0\0" + message[place + 2 :]
    return message[:place] + pack_port(checksum(pseudo + blank)) + message[place + 2 :]


def count_message(network: Network, address: bytes, what: str, direction: str) -> None:
    """A message of ICMP comes "In" or goes "Out": `what` is its counter's name, behind the direction."""
    group = "Icmp" if len(address) == 4 else "Icmp6"
    network.count(f"{group}{direction}Msgs")
    network.count(f"{group}{direction}{what}")


def is_error_message(packet: Packet) -> bool:
    """Whether it's a message of ICMP about another packet: of those none is told."""
    if packet.protocol == ICMP:
        return packet.data[:1] != b"" and packet.data[0] in _ERRORS_4
    return packet.protocol == ICMP6 and packet.data[:1] != b"" and packet.data[0] < _LEAST_INFORMATION_6


def is_sound(packet: Packet) -> bool:
    """Whether the checksum of a message is right. Linux: net/ipv4/icmp.c, icmp_rcv; net/ipv6/icmp.c,
    icmpv6_rcv."""
    message = packet.payload
    return not checksum(_pseudo_header(message, packet.source, packet.target, packet.protocol) + message)


def _stamped(data: bytes, time_ns: int) -> bytes:
    """What answers a question for the time of day: when that was asked and answered, in milliseconds.

    Linux: net/ipv4/icmp.c, icmp_timestamp; net/ipv4/af_inet.c, inet_current_timestamp.
    """
    now = pack_address(time_ns // 1_000_000 % _DAY_MS, 4)
    return pack_u8(_TIMESTAMP_REPLY) + b"\0" + data[2:12] + now + now


def receive_message(network: Network, packet: Packet, interface: Interface, *, is_for_all: bool) -> None:
    """Linux: net/ipv4/icmp.c, icmp_rcv, icmp_echo; net/ipv6/icmp.c, icmpv6_rcv, icmpv6_echo_reply."""
    data = packet.data
    if len(data) < HEADER_BYTES:
        return
    is_6 = packet.protocol == ICMP6
    kind = data[0]
    replies = "EchoReplies" if is_6 else "EchoReps"
    if kind in (ECHO_6, ECHO_REPLY_6) if is_6 else kind in (ECHO, ECHO_REPLY):
        count_message(network, packet.target, "Echos" if kind in (ECHO, ECHO_6) else replies, "In")
    if kind == (ECHO_6 if is_6 else ECHO):
        sysctls = network.sysctls
        if sysctls.ignores_echo_6 if is_6 else sysctls.ignores_echo:
            return
        if is_for_all and (sysctls.ignores_echo_to_groups_6 if is_6 else sysctls.ignores_echo_to_all):
            return
        if is_6 and sysctls.ignores_echo_to_anycast and _is_anycast(network, packet):
            return
        _answer(network, packet, interface, pack_u8(ECHO_REPLY_6 if is_6 else ECHO_REPLY) + data[1:], replies)
    elif kind == _TIMESTAMP and not is_6:
        count_message(network, packet.target, "Timestamps", "In")
        is_ignored = is_for_all and network.sysctls.ignores_echo_to_all
        if len(data) >= HEADER_BYTES + 4 and not is_ignored:
            now_ns = network.host.clock.realtime_ns
            _answer(network, packet, interface, _stamped(data, now_ns), "TimestampReps")
    elif kind == (ECHO_REPLY_6 if is_6 else ECHO_REPLY):
        for socket in network.ping_sockets:
            if (
                socket.protocol == packet.protocol
                and socket.local_port == int.from_bytes(data[4:6], "big")
                and socket.may_hear(packet, interface)
            ):
                socket.arrive(packet)


def _is_anycast(network: Network, packet: Packet) -> bool:
    """Whether it's for an address of IPv6 that others may have too. Linux: include/net/ip6_route.h,
    ipv6_anycast_destination."""
    return bool(network.anycasts) and network.routes.is_anycast(packet.target)


def _answer(network: Network, packet: Packet, interface: Interface, reply: bytes, counter: str) -> None:
    """Send `reply` to who has sent `packet`. Linux: net/ipv4/icmp.c, icmp_reply."""
    device = interface if len(packet.source) == 16 and packet.source[0] == 0xFE else None
    # Who was asked as one of many, answers from an address of its own.
    is_own = network.routes.is_local(packet.target)
    if not is_own and network.sysctls.answers_from_anycast:
        is_own = _is_anycast(network, packet)
    own = packet.target if is_own else None
    mark = reflected_mark(network, packet)
    traffic = Traffic(mark=mark, tos=packet.tos, uid=network.owner.make_kuid(0), protocol=packet.protocol)
    try:
        flow = find_flow(network, packet.source, own, device, traffic)
    except Errno:
        return
    if not lets_message(network, flow, reply[0], reply[1]):
        return
    answer = Packet(
        with_checksum(reply, flow.source, flow.target),
        *(flow.source, 0, flow.target, 0),
        *(packet.time_ns, packet.tos, flow.default_ttl, packet.protocol),
    )
    answer.mark = mark
    if packet.protocol == ICMP:
        answer.place = _NO_PLACE
    if packet.options:
        options, is_local = answered(packet.options), network.routes.is_local
        try:
            answer.options = recorded(options, answer.source, answer.time_ns, is_local, is_sender=True)
        except EINVAL:
            return
    count_message(network, answer.target, counter, "Out")
    try:
        send_packet(network, answer, flow)
    except EPERM:
        # The packet filter drops it: there is nobody to tell.
        return


def quoted_packet(message: Packet) -> Packet:
    """The packet that a message is about, as far as that quotes it."""
    quoted = message.data[HEADER_BYTES:]
    if message.protocol == ICMP:
        size, protocol, ttl, tos = (quoted[0] & 15) * 4, quoted[9], quoted[8], quoted[1]
        source, target = quoted[12:16], quoted[16:20]
    else:
        size, protocol, ttl, tos = IPV6_HEADER_BYTES, quoted[6], quoted[7], 0
        source, target = quoted[8:24], quoted[24:40]
    data, port, target_port = quoted[size:], 0, 0
    if protocol in (UDP, UDP_LITE):
        port, target_port = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        data = data[UDP_HEADER_BYTES:]
    return Packet(data, source, port, target, target_port, message.time_ns, tos, ttl, protocol)


def error_told(message: Packet) -> tuple[Packet, IcmpError] | None:
    """What a message that has come from outside says of which packet; None if it's none of ours.

    Linux: net/ipv4/icmp.c, icmp_unreach; net/ipv6/icmp.c, icmpv6_notify.
    """
    data = message.data
    is_6 = message.protocol == ICMP6
    if not is_error_message(message) or len(data) < HEADER_BYTES + 1:
        return None
    header = IPV6_HEADER_BYTES if is_6 else (data[HEADER_BYTES] & 15) * 4
    if data[HEADER_BYTES] >> 4 != (6 if is_6 else 4) or header < IPV4_HEADER_BYTES:
        return None
    if len(data) < HEADER_BYTES + header + UDP_HEADER_BYTES:
        return None
    found = (data[0], data[1])
    for error in ICMP_ERRORS:
        if found == ((error.kind_6, error.code_6) if is_6 else (error.kind, error.code)):
            return quoted_packet(message), error
    return None


def lets_error(router: Network, flow: Flow, error: IcmpError) -> bool:
    """Whether `router` still tells of an error."""
    if len(flow.target) == 16:
        return lets_message(router, flow, error.kind_6, error.code_6)
    return lets_message(router, flow, error.kind, error.code)


def _service_of_error(packet: Packet) -> int:
    return packet.tos & _TOS_BITS | _NETWORK_CONTROL


def traffic_of_error(network: Network, packet: Packet) -> Traffic:
    """What rules may look at of a message about `packet`. Linux: net/ipv4/icmp.c, icmp_route_lookup;
    net/ipv6/icmp.c, icmp6_send."""
    if not network.system.aspects:
        return ANY_TRAFFIC
    is_6 = len(packet.target) == 16
    tos, protocol = (0, ICMP6) if is_6 else (_service_of_error(packet), ICMP)
    mark = reflected_mark(network, packet)
    return Traffic(mark=mark, tos=tos, uid=network.owner.make_kuid(0), protocol=protocol)


def message_about(packet: Packet, error: IcmpError, offender: bytes) -> Packet:
    """What `offender` sends back to the sender of `packet`."""
    is_6 = len(packet.target) == 16
    if is_6:
        quoted = bytes((0x60, 0, 0, 0)) + packet.with_header_6()[4:]
        kind, code = error.kind_6, error.code_6
    else:
        quoted = packet.with_header()
        kind, code = error.kind, error.code
    message = pack_u8(kind) + pack_u8(code) + bytes(2) + _UNUSED + quoted[:_QUOTED_BYTES]
    protocol = ICMP6 if is_6 else ICMP
    message = with_checksum(message, offender, packet.source)
    tos = 0 if is_6 else _service_of_error(packet)
    told = Packet(message, offender, 0, packet.source, 0, packet.time_ns, tos, 64, protocol)
    if not is_6:
        told.place = _NO_PLACE
    return told
