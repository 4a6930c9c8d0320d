"""What programs are told of tracked connections, and make forgotten: ctnetlink, as conntrack(8) uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.conntrack import (
    ConnectionAttribute,
    ConntrackMessage,
    ProtocolInformation,
    TcpInformation,
    TrackerCount,
    TupleAddress,
    TupleAttribute,
    TupleProtocol,
)
from procession.abi.duration import NS_PER_S
from procession.abi.errno import EINVAL, ENOENT, EOPNOTSUPP
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.nftables import Subsystem
from procession.abi.socket import AddressFamily
from procession.abi.word import pack_port, pack_u8
from procession.net.internet.packet import ICMP, ICMP6, TCP
from procession.net.netfilter.expression import be32, be32_in
from procession.net.netlink.attributes import NESTED, attribute, nested_in

if TYPE_CHECKING:
    from procession.net.netfilter.request import FilterRequest
    from procession.net.netfilter.tracking import Connection, Tracker, Tuple
    from procession.net.netlink.attributes import Answer, Message

CONNTRACK = int(Subsystem.NFNL_SUBSYS_CTNETLINK)
_NEW, _GET = int(ConntrackMessage.IPCTNL_MSG_CT_NEW), int(ConntrackMessage.IPCTNL_MSG_CT_GET)
_DELETE = int(ConntrackMessage.IPCTNL_MSG_CT_DELETE)
_STATISTICS = int(ConntrackMessage.IPCTNL_MSG_CT_GET_STATS)
_NOT_THERE = (
    int(ConntrackMessage.IPCTNL_MSG_CT_GET_DYING),
    int(ConntrackMessage.IPCTNL_MSG_CT_GET_UNCONFIRMED),
)
"""Lists of connections that are there for no time at all here."""
_ORIGINAL, _REPLY = int(ConnectionAttribute.CTA_TUPLE_ORIG), int(ConnectionAttribute.CTA_TUPLE_REPLY)
_MARK, _MASK = int(ConnectionAttribute.CTA_MARK), int(ConnectionAttribute.CTA_MARK_MASK)
_ADDRESSES, _PROTOCOL = int(TupleAttribute.CTA_TUPLE_IP), int(TupleAttribute.CTA_TUPLE_PROTO)
_NUMBER = int(TupleProtocol.CTA_PROTO_NUM)
_PORTS = (int(TupleProtocol.CTA_PROTO_SRC_PORT), int(TupleProtocol.CTA_PROTO_DST_PORT))
_OF_ICMP = {
    ICMP: (
        int(TupleProtocol.CTA_PROTO_ICMP_ID),
        int(TupleProtocol.CTA_PROTO_ICMP_TYPE),
        int(TupleProtocol.CTA_PROTO_ICMP_CODE),
    ),
    ICMP6: (
        int(TupleProtocol.CTA_PROTO_ICMPV6_ID),
        int(TupleProtocol.CTA_PROTO_ICMPV6_TYPE),
        int(TupleProtocol.CTA_PROTO_ICMPV6_CODE),
    ),
}
_IPV4, _IPV6 = int(AddressFamily.AF_INET), int(AddressFamily.AF_INET6)
_ADDRESS_KINDS = {
    _IPV4: (int(TupleAddress.CTA_IP_V4_SRC), int(TupleAddress.CTA_IP_V4_DST)),
    _IPV6: (int(TupleAddress.CTA_IP_V6_SRC), int(TupleAddress.CTA_IP_V6_DST)),
}
"""By family: the attributes of a source and a destination."""
_NO_FLAGS = bytes(2)


def _nest(kind: int, data: bytes) -> bytes:
    return attribute(kind | NESTED, data)


def _family_of(key: Tuple) -> int:
    return _IPV4 if len(key[1]) == ADDRESS_BYTES[_IPV4] else _IPV6


def _tuple_data(key: Tuple) -> bytes:
    """Linux: net/netfilter/nf_conntrack_netlink.c, ctnetlink_dump_tuples."""
    protocol, source, port, target, target_port = key
    source_kind, target_kind = _ADDRESS_KINDS[_family_of(key)]
    told = attribute(_NUMBER, pack_u8(protocol))
    kinds = _OF_ICMP.get(protocol)
    if kinds is not None:
        told += attribute(kinds[0], pack_port(port)) + attribute(kinds[1], pack_u8(target_port >> 8))
        told += attribute(kinds[2], pack_u8(target_port & 0xFF))
    else:
        told += attribute(_PORTS[0], pack_port(port)) + attribute(_PORTS[1], pack_port(target_port))
    addresses = attribute(source_kind, source) + attribute(target_kind, target)
    return _nest(_ADDRESSES, addresses) + _nest(_PROTOCOL, told)


def connection_message(
    connection: Connection, now_ns: int, kind: int = _NEW, *, is_event: bool = False
) -> Message:
    """A message about a connection, to who asks or who listens.

    Linux: net/netfilter/nf_conntrack_netlink.c, ctnetlink_fill_info.
    """
    names = ConnectionAttribute
    body = pack_u8(_family_of(connection.original)) + bytes(3)
    body += _nest(_ORIGINAL, _tuple_data(connection.original)) + _nest(_REPLY, _tuple_data(connection.answer))
    body += attribute(int(names.CTA_STATUS), be32(connection.status))
    left_s = max(connection.expiry_ns - now_ns, 0) // NS_PER_S
    body += attribute(int(names.CTA_TIMEOUT), be32(left_s))
    if connection.original[0] == TCP:
        told = attribute(int(TcpInformation.CTA_PROTOINFO_TCP_STATE), pack_u8(connection.state))
        for place in (
            TcpInformation.CTA_PROTOINFO_TCP_WSCALE_ORIGINAL,
            TcpInformation.CTA_PROTOINFO_TCP_WSCALE_REPLY,
        ):
            told += attribute(int(place), b"\7")
        told += attribute(int(TcpInformation.CTA_PROTOINFO_TCP_FLAGS_ORIGINAL), _NO_FLAGS)
        told += attribute(int(TcpInformation.CTA_PROTOINFO_TCP_FLAGS_REPLY), _NO_FLAGS)
        body += _nest(int(names.CTA_PROTOINFO), _nest(int(ProtocolInformation.CTA_PROTOINFO_TCP), told))
    body += attribute(int(names.CTA_ID), be32(connection.number))
    if not is_event:
        body += attribute(_MARK, be32(0)) + attribute(int(names.CTA_USE), be32(1))
    return CONNTRACK << 8 | kind, body


def _tuple_in(data: bytes, family: int) -> Tuple:
    """The tuple in an attribute. Raises EINVAL, EOPNOTSUPP. Linux: net/netfilter/nf_conntrack_netlink.c,
    ctnetlink_parse_tuple."""
    if family not in _ADDRESS_KINDS:
        raise EOPNOTSUPP("neither IPv4 nor IPv6")
    size = ADDRESS_BYTES[family]
    source_kind, target_kind = _ADDRESS_KINDS[family]
    found = nested_in(data)
    addresses, protocol = nested_in(found.get(_ADDRESSES, b"")), nested_in(found.get(_PROTOCOL, b""))
    source, target = addresses.get(source_kind, b""), addresses.get(target_kind, b"")
    number = protocol.get(_NUMBER, b"")
    if len(source) != size or len(target) != size or len(number) != 1:
        raise EINVAL("a part of the tuple is missing")
    kinds = _OF_ICMP.get(number[0])
    if kinds is not None:
        identifier, kind, code = (protocol.get(each, b"") for each in kinds)
        if (len(identifier), len(kind), len(code)) != (2, 1, 1):
            raise EINVAL("a part of the tuple is missing")
        return number[0], source, int.from_bytes(identifier, "big"), target, kind[0] << 8 | code[0]
    ports = [protocol.get(each, b"") for each in _PORTS]
    if any(len(port) not in (0, 2) for port in ports):
        raise EINVAL("no port")
    port, target_port = (int.from_bytes(each, "big") for each in ports)
    return number[0], source, port, target, target_port


def _find(tracker: Tracker | None, request: FilterRequest) -> Connection:
    """The connection that a request is about. Raises EINVAL, ENOENT."""
    wanted = request.found.get(_ORIGINAL) or request.found.get(_REPLY)
    if wanted is None:
        raise EINVAL("which connection?")
    key = _tuple_in(wanted, request.family)
    found = tracker.find(key) if tracker is not None else None
    if found is None:
        raise ENOENT("no such connection")
    return found


def _all_of(tracker: Tracker | None, request: FilterRequest) -> list[Connection]:
    """Those of the request's family, and with its mark: here all have none."""
    if tracker is None:
        return []
    mark = be32_in(request.found, _MARK) or 0
    mask = be32_in(request.found, _MASK)
    if mark & (0xFFFFFFFF if mask is None else mask):
        return []
    return [each for each in tracker.all() if request.family in (0, _family_of(each.original))]


def answer_about_connections(request: FilterRequest) -> Answer:
    """Raises EINVAL, ENOENT, EOPNOTSUPP. Linux: net/netfilter/nf_conntrack_netlink.c,
    ctnetlink_get_conntrack, ctnetlink_del_conntrack, ctnetlink_stat_ct."""
    tracker = request.network.tracker
    now_ns = request.network.host.clock.now_ns
    operation = request.operation
    if operation == _GET:
        if request.is_dump:
            return [connection_message(each, now_ns) for each in _all_of(tracker, request)]
        return [connection_message(_find(tracker, request), now_ns)]
    if operation == _DELETE:
        if _ORIGINAL in request.found or _REPLY in request.found:
            doomed = [_find(tracker, request)]
        else:
            doomed = _all_of(tracker, request)
        if tracker is not None:
            for connection in doomed:
                tracker.forget(connection, request.request.port_id)
        return []
    if operation == _STATISTICS:
        counts = attribute(
            int(TrackerCount.CTA_STATS_GLOBAL_ENTRIES), be32(len(tracker.all()) if tracker is not None else 0)
        )
        counts += attribute(
            int(TrackerCount.CTA_STATS_GLOBAL_MAX_ENTRIES), be32(request.network.system.most_connections)
        )
        return [(CONNTRACK << 8 | _STATISTICS, bytes(4) + counts)]
    if operation in _NOT_THERE and request.is_dump:
        return []
    if operation == _NEW:
        raise EOPNOTSUPP("connections are made by packets alone")
    raise EINVAL("no such request")
