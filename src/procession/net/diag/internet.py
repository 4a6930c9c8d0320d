"""What is told of Internet sockets, of whatever protocol (Linux: net/ipv4/inet_diag.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOENT
from procession.abi.internet import TcpOption
from procession.abi.sock_diag import (
    InetDiagAttribute,
    InetDiagMsg,
    InetDiagRequestAttribute,
    InetDiagReqV2,
    InetDiagSockid,
)
from procession.abi.socket import IpProtocol, SocketLevel, SocketOption, TcpState
from procession.abi.word import pack_array, pack_port, pack_u8, pack_u64
from procession.net.diag.filter import Ends, check_program, lets_through
from procession.net.internet.address import AF_INET6, any_of, mapped
from procession.net.internet.datagram import DatagramSocket
from procession.net.internet.ip_options import IP_TOS, SOL_IP
from procession.net.internet.ipv6_options import TRAFFIC_CLASS
from procession.net.internet.packet import TCP, UDP, UDP_LITE
from procession.net.internet.tcp import TcpSocket
from procession.net.internet.tcp_acknowledgement import told_state, unacknowledged_bytes
from procession.net.internet.tcp_connection import TimeWait
from procession.net.internet.tcp_options import get_tcp_option
from procession.net.netlink.attributes import attribute, attributes_in
from procession.net.socket import CLOSED, LISTENING
from procession.net.socket_options import CAP_NET_ADMIN
from procession.net.sysctls import CONGESTION_CONTROLS

if TYPE_CHECKING:
    from procession.net.netlink.attributes import Request
    from procession.net.network import Network

Told = TcpSocket | TimeWait | DatagramSocket
_BYTECODE = int(InetDiagRequestAttribute.INET_DIAG_REQ_BYTECODE)
_IPPROTO_RAW = int(IpProtocol.IPPROTO_RAW)
_TCP_INFO = int(TcpOption.TCP_INFO)
_SOL_TCP = int(SocketLevel.SOL_TCP)
_TCP_CONGESTION = int(TcpOption.TCP_CONGESTION)
_SO_MARK = int(SocketOption.SO_MARK)
_TIME_WAIT = int(TcpState.TCP_TIME_WAIT)
_BOUND_INACTIVE = 1 << 13
"""The bit of sockets that are bound, and no more, in a dump's states; no header for programs names it."""
_TIMER_OF_TIME_WAIT = 3
_ANY_COOKIE = b"\xff" * 8
_NAME_BYTES = 16


def tell_internet(request: Request) -> list[bytes]:
    """Of all sockets that are asked for, or of one. Raises EINVAL, ENOENT.

    Linux: net/ipv4/inet_diag.c, inet_diag_handler_cmd.
    """
    wanted = _wanted(request)
    if not request.asks_for_list:
        return [_message(request, wanted, asked_socket(request))]
    sockets = _sockets(request.network, wanted)
    request.network.host.clock.spend_looking(len(sockets))
    # Bound sockets that do nothing yet have a bit of their own. Linux: net/ipv4/inet_diag.c,
    # inet_diag_dump_icsk.
    states = wanted.idiag_states
    if wanted.sdiag_protocol == TCP:
        closed = 1 << CLOSED
        states = states & ~closed | (closed if states & _BOUND_INACTIVE else 0)
        sockets += _bound_inactive(request.network, wanted.sdiag_family)
    program = attributes_in(request.body, InetDiagReqV2.SIZE).get(_BYTECODE, b"")
    check_program(program)
    return [
        _message(request, wanted, socket)
        for socket in sockets
        if states >> _told_state(socket) & 1
        and _ports_match(wanted.id, socket)
        and (not program or lets_through(program, _ends(socket)))
    ]


def asked_socket(request: Request) -> Told:
    """The one socket that is asked for. Raises EINVAL, ENOENT."""
    wanted = _wanted(request)
    sockets = _sockets(request.network, wanted)
    request.network.host.clock.spend_looking(len(sockets))
    if wanted.sdiag_protocol == _IPPROTO_RAW:
        sockets = [each for each in sockets if not isinstance(each, TimeWait) and each.protocol == wanted.pad]
    return _one(wanted, sockets)


def _wanted(request: Request) -> InetDiagReqV2:
    if len(request.body) < InetDiagReqV2.SIZE:
        raise EINVAL("a struct inet_diag_req_v2 is needed")
    return InetDiagReqV2.unpack_from(request.body)


def _sockets(network: Network, wanted: InetDiagReqV2) -> list[Told]:
    """All of a family and a protocol. Raises ENOENT."""
    family, protocol = wanted.sdiag_family, wanted.sdiag_protocol
    found: list[Told] = []
    if protocol == TCP:
        network.tcp.expire()
        listeners = network.tcp.ports.all_holders()
        found += [each for each in listeners if isinstance(each, TcpSocket) and each.state == LISTENING]
        found += [each for each in network.tcp.connections.values() if each.state != CLOSED]
        found += network.tcp.waiting
    elif protocol in (UDP, UDP_LITE):
        ports = network.udp_ports if protocol == UDP else network.udp_lite_ports
        found += [each for each in ports.all_holders() if isinstance(each, DatagramSocket)]
    elif protocol == _IPPROTO_RAW:
        found += [each for each in network.raw_sockets if wanted.pad in (0, _IPPROTO_RAW, each.protocol)]
    else:
        raise ENOENT("nothing is told of this protocol")
    return [each for each in found if each.family == family]


def _bound_inactive(network: Network, family: int) -> list[Told]:
    """TCP sockets that are bound, and neither listen nor are connected."""
    return [
        holder
        for holder in network.tcp.ports.all_holders()
        if isinstance(holder, TcpSocket) and holder.state == CLOSED and holder.family == family
    ]


def _one(wanted: InetDiagReqV2, sockets: list[Told]) -> Told:
    """The socket with the addresses and ports that are asked for, or else one that nobody is at the other end
    of. Raises ENOENT.

    Linux: net/ipv4/inet_diag.c, inet_diag_find_one_icsk.
    """
    key = wanted.id
    nearest: Told | None = None
    for socket in sockets:
        identity = _identity(socket)
        if (key.idiag_sport, key.idiag_src) != (identity.idiag_sport, identity.idiag_src):
            continue
        if (key.idiag_dport, key.idiag_dst) == (identity.idiag_dport, identity.idiag_dst):
            nearest = socket
            break
        if nearest is None and identity.idiag_dport == bytes(2):
            nearest = socket
    if nearest is not None and key.idiag_cookie in (_ANY_COOKIE, _identity(nearest).idiag_cookie):
        return nearest
    raise ENOENT("no such socket")


def _ports_match(key: InetDiagSockid, socket: Told) -> bool:
    source, target = _ports(socket)
    nothing = bytes(2)
    return key.idiag_sport in (nothing, pack_port(source)) and key.idiag_dport in (nothing, pack_port(target))


def _ports(socket: Told) -> tuple[int, int]:
    if isinstance(socket, TimeWait):
        return socket.local_port, socket.key[3]
    return socket.local_port, socket.remote_port


def _addresses(socket: Told) -> tuple[bytes, bytes]:
    """Both ends, in the family's own length."""
    remote = socket.key[2] if isinstance(socket, TimeWait) else socket.remote_address
    nowhere = any_of(socket.family)
    ends = socket.local_address, remote if remote is not None else nowhere
    if socket.family == AF_INET6:
        return mapped(ends[0]), mapped(ends[1])
    return ends


def _identity(socket: Told) -> InetDiagSockid:
    source, target = _addresses(socket)
    ports = _ports(socket)
    interface = 0 if isinstance(socket, TimeWait) else socket.bound_index
    cookie = 0 if isinstance(socket, TimeWait) else socket.cookie
    return InetDiagSockid(
        *(pack_port(ports[0]), pack_port(ports[1]), source.ljust(16, b"\0"), target.ljust(16, b"\0")),
        *(interface, pack_u64(cookie)),
    )


def _ends(socket: Told) -> Ends:
    source, target = _addresses(socket)
    ports = _ports(socket)
    if isinstance(socket, TimeWait):
        return Ends(socket.family, source, ports[0], target, ports[1], 0, 0, True)
    interface, mark = socket.bound_index, socket.options.get(_SO_MARK, 0)
    return Ends(socket.family, source, ports[0], target, ports[1], interface, mark, socket.has_chosen_port)


def _told_state(socket: Told) -> int:
    return told_state(socket) if isinstance(socket, TcpSocket) else socket.state


def _message(request: Request, wanted: InetDiagReqV2, socket: Told) -> bytes:
    """Linux: net/ipv4/inet_diag.c, inet_sk_diag_fill, inet_twsk_diag_fill."""
    message = InetDiagMsg(socket.family, _told_state(socket), 0, 0, _identity(socket))
    if isinstance(socket, TimeWait):
        left_ns = socket.expiry_ns - request.network.host.clock.now_ns
        message.idiag_state = _TIME_WAIT
        message.idiag_timer = _TIMER_OF_TIME_WAIT
        message.idiag_expires = max(left_ns, 0) // 1_000_000
        return message.pack()
    reader = request.credentials.user_namespace
    message.idiag_uid = reader.from_kuid_munged(socket.owner_uid)
    message.idiag_inode = socket.inode_number
    if isinstance(socket, TcpSocket):
        if socket.state == LISTENING:
            message.idiag_rqueue, message.idiag_wqueue = len(socket.connections), socket.backlog
        else:
            message.idiag_rqueue = min(socket.arrived.length, socket.receive_room)
            message.idiag_wqueue = unacknowledged_bytes(socket)
    else:
        message.idiag_rqueue = socket.arrived_bytes
    return message.pack() + _attributes(request, wanted, socket)


def _attributes(request: Request, wanted: InetDiagReqV2, socket: TcpSocket | DatagramSocket) -> bytes:
    """Linux: net/ipv4/inet_diag.c, inet_diag_msg_attrs_fill."""
    kinds = InetDiagAttribute
    body = attribute(kinds.INET_DIAG_SHUTDOWN, pack_u8(socket.ended))

    def is_asked(kind: InetDiagAttribute) -> bool:
        return bool(wanted.idiag_ext >> kind - 1 & 1)

    if is_asked(kinds.INET_DIAG_TOS):
        body += attribute(kinds.INET_DIAG_TOS, pack_u8(socket.protocol_options.get((SOL_IP, IP_TOS), 0)))
    if socket.family == AF_INET6:
        if is_asked(kinds.INET_DIAG_TCLASS):
            body += attribute(kinds.INET_DIAG_TCLASS, pack_u8(socket.protocol_options.get(TRAFFIC_CLASS, 0)))
        if socket.state in (CLOSED, LISTENING):
            body += attribute(kinds.INET_DIAG_SKV6ONLY, pack_u8(socket.is_ipv6_only))
    if request.credentials.ns_capable(request.network.owner, CAP_NET_ADMIN):
        body += attribute(kinds.INET_DIAG_MARK, pack_array("I", (socket.options.get(_SO_MARK, 0),)))
    waiting, drops = socket.arrivals
    if is_asked(kinds.INET_DIAG_MEMINFO):
        body += attribute(kinds.INET_DIAG_MEMINFO, pack_array("I", (waiting, 0, 0, socket.used_room)))
    if is_asked(kinds.INET_DIAG_SKMEMINFO):
        numbers = (waiting, socket.receive_room, socket.used_room, socket.send_room, 0, 0, 0, 0)
        body += attribute(kinds.INET_DIAG_SKMEMINFO, pack_array("I", (*numbers, drops)))
    if isinstance(socket, TcpSocket):
        if is_asked(kinds.INET_DIAG_INFO):
            body += attribute(kinds.INET_DIAG_INFO, get_tcp_option(socket, _TCP_INFO, _NAME_BYTES))
        if is_asked(kinds.INET_DIAG_CONG):
            number = socket.protocol_options.get((_SOL_TCP, _TCP_CONGESTION), 1)
            body += attribute(kinds.INET_DIAG_CONG, CONGESTION_CONTROLS[number] + b"\0")
    return body
