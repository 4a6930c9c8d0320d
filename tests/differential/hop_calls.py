"""Random requests of rtnetlink for next hops as objects, groups of them, and the routes that lead there."""

from __future__ import annotations

import socket
import struct

from tests.differential.maker import Maker
from tests.differential.route_calls import (
    ACK,
    DUMP,
    INDICES,
    INET,
    INET6,
    LO,
    REQUEST,
    ROOM,
    VETH_0,
    VETH_1,
    Attributes,
    attribute,
    host_address,
    metrics,
    new_flags,
    number,
    request,
    send,
    settle,
    some,
    ways,
)
from tests.differential.route_messages import show_answers
from tests.differential.script import At, Result

NETLINK, RAW, SOL_NETLINK, ADD_MEMBERSHIP, MSG_DONTWAIT, O_NONBLOCK = 16, 3, 270, 1, 0x40, 0o4000
NEWNEXTHOP, DELNEXTHOP, GETNEXTHOP = 104, 105, 106
NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
(ID, GROUP, GROUP_TYPE, BLACKHOLE, OIF, GATEWAY, ENCAP_TYPE, ENCAP, GROUPS, MASTER, FDB) = range(1, 12)
OP_FLAGS = 14
NH_ID, VIA, MULTIPATH = 30, 18, 9
IDS, GROUP_IDS = (1, 1, 2, 2, 3, 4, 5), (10, 10, 11)
HOPS_GROUP, ROUTES_GROUP = 32, 7
NETS_4 = (("10.70.0.0", 16), ("10.70.1.0", 24), ("10.71.0.1", 32), ("10.72.0.0", 16))
NETS_6 = (("2001:db8:70::", 48), ("2001:db8:70:1::", 64), ("2001:db8:71::1", 128))
GATEWAYS_4 = ("10.0.0.2", "10.0.0.9", "10.0.1.7", "10.9.9.9", "0.0.0.0", "127.0.0.1")
GATEWAYS_6 = ("fe80::9", "fe80::8", "2001:db8::9", "2001:db8:77::1", "::", "::1")
MATCH_ALONE = 0x2000
"""RTM_F_FIB_MATCH: which route it is, and not which of its ways."""


def identifier(make: Maker) -> int:
    """The number of a next hop or group, seldom of none."""
    return make.one(*IDS, *GROUP_IDS) if make.odds(92) else make.one(0, 9, 99, -1)


def gateway(make: Maker, family: int) -> bytes:
    """Where a next hop sends to."""
    if family == INET6:
        return socket.inet_pton(INET6, make.random.choice(GATEWAYS_6))
    return socket.inet_aton(make.random.choice(GATEWAYS_4))


def members(make: Maker) -> bytes:
    """NHA_GROUP: who is in a group, and how often taken."""
    count = make.one(1, 2, 2, 2, 3, 0)
    packed = b""
    for _ in range(count):
        which = make.one(*IDS) if make.odds(94) else identifier(make)
        high, reserved = make.one(*(0,) * 8, 1, 255), make.one(*(0,) * 30, 1)
        packed += struct.pack("<IBBH", which & 0xFFFFFFFF, make.one(0, 0, 0, 1, 4, 254, 255), high, reserved)
    return packed if make.odds(97) else packed[:-1]


def make_hop(make: Maker) -> None:
    """RTM_NEWNEXTHOP of one by IPv4 or IPv6, or one that leads nowhere."""
    family = make.one(INET, INET, INET6, INET6, 0 if make.odds(10) else INET)
    kind = make.random.randrange(20)
    attributes: Attributes = [(ID, number(make.one(*IDS)))] if make.odds(90) else []
    if kind < 2:
        attributes.append((BLACKHOLE, b""))
    elif kind == 2:
        attributes += [(FDB, b""), (GATEWAY, gateway(make, family))]
    else:
        attributes += [(OIF, number(make.one(VETH_0, VETH_0, VETH_0, VETH_1, VETH_1, *INDICES)))]
        attributes += some(make, [(GATEWAY, gateway(make, family))], 75)
    attributes += some(
        make,
        [
            (BLACKHOLE, b""),
            (FDB, b""),
            (OIF, number(make.one(*INDICES))),
            (GATEWAY, gateway(make, make.one(INET, INET6))),
            (ENCAP_TYPE, struct.pack("<H", make.one(0, 99))),
            (ENCAP, b""),
            (GROUP_TYPE, b"\0\0"),
            (GROUPS, b""),
            (MASTER, number(4)),
            (OP_FLAGS, number(0)),
        ],
        2,
    )
    flags = make.one(*(0,) * 12, 4, 4, 1, 16, 8)
    protocol = make.one(0, 0, 3, 4, 255)
    header = struct.pack(
        "<BBBBI", family, make.one(*(0,) * 30, 253), protocol, make.one(*(0,) * 40, 1), flags
    )
    request(make, NEWNEXTHOP, new_flags(make), header, attributes)
    hear(make)


def make_group(make: Maker) -> None:
    """RTM_NEWNEXTHOP of a group."""
    attributes: Attributes = [(ID, number(make.one(*GROUP_IDS) if make.odds(90) else identifier(make)))]
    attributes.append((GROUP, members(make)))
    attributes += some(
        make,
        [
            (GROUP_TYPE, struct.pack("<H", make.one(0, 0, 2, 9))),
            (FDB, b""),
            (OIF, number(VETH_0)),
            (GATEWAY, gateway(make, INET)),
            (BLACKHOLE, b""),
        ],
        4,
    )
    family = make.one(*(0,) * 20, INET, INET6, 99)
    header = struct.pack("<BBBBI", family, 0, make.one(0, 3), 0, make.one(*(0,) * 20, 4, 1))
    request(make, NEWNEXTHOP, new_flags(make), header, attributes)
    hear(make)


def remove_hop(make: Maker) -> None:
    """RTM_DELNEXTHOP."""
    attributes: Attributes = [(ID, number(identifier(make)))] if make.odds(95) else []
    attributes += some(make, [(OIF, number(VETH_0)), (OP_FLAGS, number(0))], 2)
    header = struct.pack("<BBBBI", make.one(*(0,) * 8, INET), *(make.one(*(0,) * 30, 1) for _ in range(4)))
    request(make, DELNEXTHOP, REQUEST | ACK, header, attributes)
    hear(make)
    if make.odds(40):
        list_routes(make, make.one(INET, INET6))


def ask_hop(make: Maker) -> None:
    """RTM_GETNEXTHOP, of one or of all."""
    if make.odds(40):
        attributes: Attributes = [(ID, number(identifier(make)))] if make.odds(95) else []
        attributes += some(make, [(GROUPS, b""), (MASTER, number(4))], 3)
        header = struct.pack("<BBBBI", *(make.one(*(0,) * 30, 2) for _ in range(5)))
        request(make, GETNEXTHOP, REQUEST | make.one(0, ACK), header, attributes)
        return
    asked = some(
        make,
        [
            (OIF, number(make.one(*INDICES))),
            (GROUPS, b""),
            (MASTER, number(make.one(4, 0, 9, -1))),
            (FDB, b""),
            (ID, number(identifier(make))),
        ],
        8,
    )
    header = struct.pack("<BBBBI", make.one(0, 0, 0, INET, INET6, 99), 0, make.one(*(0,) * 20, 3), 0, 0)
    request(make, GETNEXTHOP, REQUEST | DUMP, header, asked)


def lead_route(make: Maker) -> None:
    """RTM_NEWROUTE and RTM_DELROUTE of routes that lead to a next hop, or to a gateway of IPv6."""
    family = make.one(INET, INET, INET6)
    to, length = make.random.choice(NETS_4 if family == INET else NETS_6)
    attributes: Attributes = [(1, socket.inet_pton(family, to))]
    kind = make.random.randrange(10)
    if kind < 8:
        attributes.append((NH_ID, number(identifier(make))))
    else:
        via = make.one(INET, INET6, INET6)
        attributes.append((VIA, struct.pack("<H", via) + gateway(make, via)))
        attributes += some(make, [(4, number(make.one(VETH_0, VETH_1, LO)))], 85)
    attributes += some(
        make,
        [
            (4, number(make.one(*INDICES))),
            (5, gateway(make, family)),
            (6, number(make.one(5, 5, 100))),
            (7, host_address(make, family)),
            (8, metrics(make)),
            (MULTIPATH, ways(make, family)),
            (11, number(5)),
            (15, number(make.one(254, 100))),
            (20, bytes((make.one(0, 1, 3),))),
            (21, struct.pack("<H", 99)),
        ],
        4,
    )
    is_new = make.odds(75)
    scope, flags = make.one(0, 0, 0, 0, 0, 253, 254), make.one(*(0,) * 12, 4, 1)
    header = struct.pack(
        *("<BBBBBBBBI", family, length, 0, make.one(*(0,) * 20, 8), 254, 3, scope),
        *(make.one(*(1,) * 12, 2, 6, 7), flags),
    )
    if not is_new:
        header = struct.pack("<BBBBBBBBI", family, length, 0, 0, 254, 0, 255, 0, 0)
    how = new_flags(make) if is_new else REQUEST | ACK
    request(make, NEWROUTE if is_new else DELROUTE, how, header, attributes)
    hear(make)
    if make.odds(40):
        list_routes(make, family)
    elif family == INET and make.odds(40):
        header = struct.pack("<BBBBBBBBI", INET, 32, 0, 0, 0, 0, 0, 0, MATCH_ALONE)
        send(make, GETROUTE, REQUEST, header + attribute(1, socket.inet_aton(to)))


def list_routes(make: Maker, family: int) -> None:
    """RTM_GETROUTE of all in the main table."""
    send(make, GETROUTE, REQUEST | DUMP, struct.pack("<BBBBBBBBI", family, 0, 0, 0, 254, 0, 0, 0, 0))


def listen(make: Maker) -> None:
    """Be told from now on of next hops, and of routes of IPv4."""
    if len(make.descriptors) > 1:
        hear(make)
        return
    heard = Result(make.call("socket", NETLINK, RAW | O_NONBLOCK, 0))
    make.call("bind", heard, At(0), 12, data=struct.pack("<HHII", NETLINK, 0, 78, 0))
    for group in (HOPS_GROUP, ROUTES_GROUP):
        make.call(
            *("setsockopt", heard, SOL_NETLINK, ADD_MEMBERSHIP, At(0), 4), data=struct.pack("<i", group)
        )
    make.descriptors.append(heard)


def hear(make: Maker) -> None:
    """What was told, if somebody listens."""
    for _ in range(2 if len(make.descriptors) > 1 else 0):
        make.call(
            *("recvfrom", make.descriptors[1], At(0), ROOM, MSG_DONTWAIT, 0, 0),
            data=bytes(ROOM),
            show=show_answers,
            result="none",
        )


def lose(make: Maker) -> None:
    """An interface that isn't up any more, and is again."""
    index = make.one(VETH_0, VETH_1)
    for up in (0, 1) if make.odds(60) else (make.one(0, 1),):
        send(make, 16, REQUEST | ACK, struct.pack("<BxHiII", 0, 0, index, up, 1))
        settle(make)
        hear(make)


FAMILIES = (
    *(make_hop,) * 4,
    *(make_group,) * 2,
    *(lead_route,) * 4,
    ask_hop,
    ask_hop,
    remove_hop,
    listen,
    lose,
)
