"""What NETLINK_ROUTE tells of the loopback: its link, its addresses, and the routes to it (rtnetlink(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENETUNREACH, ENODEV, EOPNOTSUPP, EPERM
from procession.abi.interface import InterfaceFlag
from procession.abi.netlink import (
    IFA_F_PERMANENT,
    IFAPROT_KERNEL_LO,
    RTM_F_CLONED,
    RTPROT_KERNEL,
    AddressAttribute,
    Ifaddrmsg,
    Ifinfomsg,
    LinkAttribute,
    RouteAttribute,
    RouteMessageType,
    RouteScope,
    RouteTable,
    RouteType,
    Rtmsg,
)
from procession.abi.word import Words, pack_array, pack_u32
from procession.net.internet.address import (
    AF_INET,
    AF_INET6,
    LOOPBACK_4,
    LOOPBACK_6,
    LOOPBACK_BROADCAST_4,
    is_local,
)
from procession.net.internet.interface import (
    CAP_NET_ADMIN,
    FLAGS,
    HARDWARE_TYPE,
    INDEX,
    MTU,
    NAME,
    QUEUE_LENGTH,
)

if TYPE_CHECKING:
    from procession.net.host import Identity
    from procession.net.network import Network

_ATTRIBUTE = Words("<HH")
_TYPE_MASK = 0x3FFF
_UP = int(InterfaceFlag.IFF_UP)
_LINK_FLAGS = FLAGS | int(InterfaceFlag.IFF_LOWER_UP)
_FOREVER = b"\xff\xff\xff\xff"
_IS_LOCAL = 0x80000000
"""RTCF_LOCAL among a route's flags."""
_HARDWARE_ADDRESS = bytes(6)
_GET = 2
"""Of the four numbers for an object, the one that asks for it."""

Answer = list[tuple[int, bytes]]
"""Messages as (type, body)."""


def attribute(kind: int, data: bytes) -> bytes:
    """A struct rtattr with its data, padded."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(data), kind) + data + bytes(-len(data) % 4)


def attributes_in(body: bytes, offset: int) -> dict[int, bytes]:
    """The attributes after a message's header. Raises EINVAL."""
    found: dict[int, bytes] = {}
    while len(body) - offset >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        if not _ATTRIBUTE.size <= length <= len(body) - offset:
            raise EINVAL("the length of an attribute")
        found[kind & _TYPE_MASK] = body[offset + _ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3
    return found


def _number(value: int) -> bytes:
    return pack_u32(value)


def answer(network: Network, credentials: Identity, kind: int, body: bytes, *, is_dump: bool) -> Answer:
    """What the kernel answers to a request of type `kind`.

    Raises EPERM, ENODEV, EINVAL, EOPNOTSUPP, ENETUNREACH. Linux: net/core/rtnetlink.c, rtnetlink_rcv_msg.
    """
    if kind & 3 != _GET and not credentials.ns_capable(network.owner, CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")
    if kind == RouteMessageType.RTM_GETLINK:
        return _links(network, body, is_dump)
    if kind == RouteMessageType.RTM_GETADDR and is_dump:
        return _addresses(body)
    if kind == RouteMessageType.RTM_GETROUTE:
        return _routes(body) if is_dump else _route_to(body, credentials.uid)
    if kind in (RouteMessageType.RTM_GETNEIGH, RouteMessageType.RTM_GETRULE) and is_dump:
        return []
    if kind in (RouteMessageType.RTM_NEWLINK, RouteMessageType.RTM_SETLINK):
        return _change_link(body)
    raise EOPNOTSUPP(f"no message {kind}")


def _check_link(body: bytes) -> None:
    """Raise ENODEV unless a request is about the loopback."""
    header = Ifinfomsg.unpack_from(body)
    name = attributes_in(body, Ifinfomsg.SIZE).get(LinkAttribute.IFLA_IFNAME)
    if header.ifi_index > 0:
        if header.ifi_index != INDEX:
            raise ENODEV
    elif name is None:
        raise EINVAL("which link?")
    elif name.rstrip(b"\0") != NAME:
        raise ENODEV


def _links(network: Network, body: bytes, is_dump: bool) -> Answer:
    """Linux: net/core/rtnetlink.c, rtnl_fill_ifinfo."""
    if len(body) < Ifinfomsg.SIZE:
        if not is_dump:
            raise EINVAL
    elif not is_dump:
        _check_link(body)
    packets, size = network.packet_count, network.byte_count
    counters = (packets, packets, size, size)
    header = Ifinfomsg(0, HARDWARE_TYPE, INDEX, _LINK_FLAGS, 0)
    return [
        (
            int(RouteMessageType.RTM_NEWLINK),
            header.pack()
            + b"".join(
                attribute(int(kind), data)
                for kind, data in (
                    (LinkAttribute.IFLA_IFNAME, NAME + b"\0"),
                    (LinkAttribute.IFLA_TXQLEN, _number(QUEUE_LENGTH)),
                    (LinkAttribute.IFLA_OPERSTATE, b"\0"),
                    (LinkAttribute.IFLA_LINKMODE, b"\0"),
                    (LinkAttribute.IFLA_MTU, _number(MTU)),
                    (LinkAttribute.IFLA_GROUP, _number(0)),
                    (LinkAttribute.IFLA_PROMISCUITY, _number(0)),
                    (LinkAttribute.IFLA_NUM_TX_QUEUES, _number(1)),
                    (LinkAttribute.IFLA_NUM_RX_QUEUES, _number(1)),
                    (LinkAttribute.IFLA_CARRIER, b"\1"),
                    (LinkAttribute.IFLA_ADDRESS, _HARDWARE_ADDRESS),
                    (LinkAttribute.IFLA_BROADCAST, _HARDWARE_ADDRESS),
                    (
                        LinkAttribute.IFLA_STATS64,
                        pack_array("Q", counters).ljust(200, b"\0"),
                    ),
                    (
                        LinkAttribute.IFLA_STATS,
                        b"".join(_number(number & 0xFFFFFFFF) for number in counters).ljust(96, b"\0"),
                    ),
                    (LinkAttribute.IFLA_QDISC, b"noqueue\0"),
                )
            ),
        )
    ]


def _change_link(body: bytes) -> Answer:
    """The loopback is up already, and nothing else about it can be changed."""
    if len(body) < Ifinfomsg.SIZE:
        raise EINVAL
    _check_link(body)
    header = Ifinfomsg.unpack_from(body)
    others = attributes_in(body, Ifinfomsg.SIZE).keys() - {int(LinkAttribute.IFLA_IFNAME)}
    if header.ifi_change & ~_UP or not header.ifi_flags & _UP or others:
        raise EOPNOTSUPP("the loopback stays as it is")
    return []


def _addresses(body: bytes) -> Answer:
    """Linux: net/ipv4/devinet.c, inet_fill_ifaddr; net/ipv6/addrconf.c, inet6_fill_ifaddr."""
    family = body[0] if body else 0
    flags = _number(IFA_F_PERMANENT)
    cache = _FOREVER * 2 + bytes(8)
    found: Answer = []
    host = int(RouteScope.RT_SCOPE_HOST)
    if family in (0, AF_INET):
        attributes = (
            (AddressAttribute.IFA_ADDRESS, LOOPBACK_4),
            (AddressAttribute.IFA_LOCAL, LOOPBACK_4),
            (AddressAttribute.IFA_LABEL, NAME + b"\0"),
            (AddressAttribute.IFA_FLAGS, flags),
            (AddressAttribute.IFA_CACHEINFO, cache),
        )
        header = Ifaddrmsg(AF_INET, 8, IFA_F_PERMANENT, host, INDEX)
        found.append(_address(header, attributes))
    if family in (0, AF_INET6):
        attributes_6 = (
            (AddressAttribute.IFA_ADDRESS, LOOPBACK_6),
            (AddressAttribute.IFA_CACHEINFO, cache),
            (AddressAttribute.IFA_FLAGS, flags),
            (AddressAttribute.IFA_PROTO, bytes((IFAPROT_KERNEL_LO,))),
        )
        header = Ifaddrmsg(AF_INET6, 128, IFA_F_PERMANENT, host, INDEX)
        found.append(_address(header, attributes_6))
    return found


def _address(header: Ifaddrmsg, attributes: tuple[tuple[AddressAttribute, bytes], ...]) -> tuple[int, bytes]:
    body = header.pack() + b"".join(attribute(int(kind), data) for kind, data in attributes)
    return int(RouteMessageType.RTM_NEWADDR), body


def _route(
    target: bytes, prefix_length: int, kind: RouteType, scope: RouteScope, priority: int | None = None
) -> tuple[int, bytes]:
    """One route of the table `local`. Linux: net/ipv4/fib_semantics.c, fib_dump_info."""
    family = AF_INET if len(target) == 4 else AF_INET6
    table = int(RouteTable.RT_TABLE_LOCAL)
    header = Rtmsg(family, prefix_length, 0, 0, table, RTPROT_KERNEL, int(scope), int(kind), 0)
    attributes = [(RouteAttribute.RTA_TABLE, _number(table)), (RouteAttribute.RTA_DST, target)]
    if priority is not None:
        attributes.append((RouteAttribute.RTA_PRIORITY, _number(priority)))
    if family == AF_INET:
        attributes.append((RouteAttribute.RTA_PREFSRC, LOOPBACK_4))
    attributes.append((RouteAttribute.RTA_OIF, _number(INDEX)))
    if family == AF_INET6:
        attributes += [(RouteAttribute.RTA_CACHEINFO, bytes(32)), (RouteAttribute.RTA_PREF, b"\0")]
    body = header.pack() + b"".join(attribute(int(name), data) for name, data in attributes)
    return int(RouteMessageType.RTM_NEWROUTE), body


def _routes(body: bytes) -> Answer:
    """All routes."""
    family = body[0] if body else 0
    found: Answer = []
    if family in (0, AF_INET):
        found += [
            _route(bytes((127, 0, 0, 0)), 8, RouteType.RTN_LOCAL, RouteScope.RT_SCOPE_HOST),
            _route(LOOPBACK_4, 32, RouteType.RTN_LOCAL, RouteScope.RT_SCOPE_HOST),
            _route(LOOPBACK_BROADCAST_4, 32, RouteType.RTN_BROADCAST, RouteScope.RT_SCOPE_LINK),
        ]
    if family in (0, AF_INET6):
        found.append(_route(LOOPBACK_6, 128, RouteType.RTN_LOCAL, RouteScope.RT_SCOPE_UNIVERSE, 0))
    return found


def _route_to(body: bytes, uid: int) -> Answer:
    """The route that a packet of user `uid` would take. Raises ENETUNREACH.

    Linux: net/ipv4/route.c, rt_fill_info.
    """
    if len(body) < Rtmsg.SIZE:
        raise EINVAL
    family = body[0]
    target = attributes_in(body, Rtmsg.SIZE).get(int(RouteAttribute.RTA_DST), b"")
    if family not in (AF_INET, AF_INET6) or len(target) != (4 if family == AF_INET else 16):
        raise EINVAL
    if not is_local(target):
        raise ENETUNREACH
    table = int(RouteTable.RT_TABLE_MAIN)
    kind, scope = int(RouteType.RTN_LOCAL), int(RouteScope.RT_SCOPE_UNIVERSE)
    header = Rtmsg(family, 8 * len(target), 0, 0, table, 0, scope, kind, RTM_F_CLONED | _IS_LOCAL)
    attributes = (
        (RouteAttribute.RTA_TABLE, _number(table)),
        (RouteAttribute.RTA_DST, target),
        (RouteAttribute.RTA_OIF, _number(INDEX)),
        (RouteAttribute.RTA_PREFSRC, LOOPBACK_4 if family == AF_INET else LOOPBACK_6),
        (RouteAttribute.RTA_UID, _number(uid)),
        (RouteAttribute.RTA_CACHEINFO, bytes(32)),
    )
    packed = b"".join(attribute(int(name), data) for name, data in attributes)
    return [(int(RouteMessageType.RTM_NEWROUTE), header.pack() + packed)]
