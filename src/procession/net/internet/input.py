"""Packets that arrive: to which sockets they go, and what the kernel itself answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.net.internet.error_queue import report_undelivered
from procession.net.internet.icmp import PING_PROTOCOLS, count_message, error_told, is_sound, receive_message
from procession.net.internet.icmp_error import PORT_UNREACHABLE, PROTOCOL_UNREACHABLE, IcmpError
from procession.net.internet.mld import MLD_MESSAGES
from procession.net.internet.output import record_arrival, send_error
from procession.net.internet.packet import ICMP6, IGMP, SOUND, TCP, UDP, UDP_LITE, WRONG_CHECKSUM, Packet
from procession.net.internet.passage import SEGMENT_HEADER
from procession.net.internet.raw import deliver_raw, tell_ping, tell_raw
from procession.net.internet.tcp_outside import answer_segment
from procession.net.internet.udp import UdpSocket, find_receivers
from procession.net.socket import SYN_SENT

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.network import Network


def receive_packet(
    network: Network, packet: Packet, interface: Interface, *, is_for_all: bool = False
) -> None:
    """`packet` is at its end. Linux: net/ipv4/ip_input.c, ip_rcv_options, ip_local_deliver_finish."""
    packet.interface_index = interface.index
    if packet.is_piece:
        # It waits for the others, which never come together here.
        return
    if packet.options and not record_arrival(packet, network):
        return
    has_raw = network.raw_sockets and deliver_raw(network, packet, interface)
    protocol = packet.protocol
    if protocol in (UDP, UDP_LITE):
        if packet.flaw != SOUND:
            _count_flaw(network, packet)
            return
        receivers = find_receivers(network, packet, interface, is_for_all=is_for_all)
        if not receivers and not is_for_all:
            network.count("UdpNoPorts" if len(packet.target) == 4 else "Udp6NoPorts")
            send_error(network, packet, PORT_UNREACHABLE)
        for receiver in receivers:
            receiver.arrive(packet)
    elif protocol == TCP:
        if not is_for_all:
            answer_segment(network, packet)
    elif protocol in PING_PROTOCOLS:
        if not is_sound(packet):
            group = "Icmp" if len(packet.target) == 4 else "Icmp6"
            network.count(group + "InMsgs")
            network.count(group + "InErrors")
            network.count(group + "InCsumErrors")
            return
        told = error_told(packet)
        if told is not None:
            receive_error(network, *told, packet.source)
            return
        listening = interface.listening_6
        if packet.protocol == ICMP6 and packet.data and packet.data[0] in MLD_MESSAGES:
            if listening is not None:
                listening.receive(packet)
            return
        receive_message(network, packet, interface, is_for_all=is_for_all)
    elif protocol == IGMP:
        if interface.listening_4 is not None and len(packet.target) == 4:
            interface.listening_4.receive(packet)
    elif not has_raw and not is_for_all:
        send_error(network, packet, PROTOCOL_UNREACHABLE)


def _count_flaw(network: Network, packet: Packet) -> None:
    """A datagram that nobody gets. Linux: net/ipv4/udp.c, __udp4_lib_rcv."""
    group = "UdpLite" if packet.protocol == UDP_LITE else "Udp"
    if len(packet.target) == 16:
        group += "6"
    network.count(group + "InErrors")
    if packet.flaw == WRONG_CHECKSUM:
        network.count(group + "InCsumErrors")


def receive_error(network: Network, packet: Packet, error: IcmpError, offender: bytes) -> None:
    """`offender` says what became of `packet`, which came from `network`.

    Linux: net/ipv4/udp.c, __udp4_lib_err; net/ipv4/ping.c, ping_err; net/ipv4/raw.c, raw_icmp_error.
    """
    protocol = packet.protocol
    count_message(network, packet.target, error.counter, "In")
    if protocol in (UDP, UDP_LITE):
        ports = network.udp_ports if protocol == UDP else network.udp_lite_ports
        for holder in ports.at(packet.source_port):
            if isinstance(holder, UdpSocket) and report_undelivered(holder, packet, error, offender):
                break
    elif protocol == TCP:
        _tell_connection(network, packet, error)
    elif protocol in PING_PROTOCOLS and network.ping_sockets:
        tell_ping(network, packet, error, offender)
    if network.raw_sockets:
        tell_raw(network, packet, error, offender)


def _tell_connection(network: Network, packet: Packet, error: IcmpError) -> None:
    """Who waits for an answer to its SYN gives up; a connection sends again what got lost.

    Linux: net/ipv4/tcp_ipv4.c, tcp_v4_err; net/ipv6/tcp_ipv6.c, tcp_v6_err.
    """
    if len(packet.data) < SEGMENT_HEADER.size:
        return
    port, target_port = SEGMENT_HEADER.unpack_from(packet.data)[:2]
    sender = network.tcp.connections.get((packet.source, port, packet.target, target_port))
    if sender is not None and sender.state == SYN_SENT:
        sender.end(error.error if len(packet.target) == 4 else error.error_6)
