"""Random requests of rtnetlink: interfaces, addresses, routes and neighbours, made, changed, listed."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from tests.differential.maker import Maker
from tests.differential.route_messages import show_answers
from tests.differential.script import At, Naming, Result

CLONE_NEWNET, O_WRONLY = 0x40000000, 1
NETLINK, RAW = 16, 3
SOL_NETLINK, CAP_ACK, EXT_ACK, STRICT_CHK = 270, 10, 11, 12
REQUEST, ACK, REPLACE, EXCL, CREATE, APPEND = 1, 4, 0x100, 0x200, 0x400, 0x800
DUMP, MSG_DONTWAIT, NESTED = 0x300, 0x40, 0x8000
ROOM, PORT = 16384, 77
LO, VETH_1, VETH_0 = 1, 2, 3
INDICES = (LO, VETH_0, VETH_0, VETH_1, VETH_1, 0, 4, 9, -1, 0x7FFFFFFF)
NEWLINK, DELLINK, GETLINK, SETLINK, NEWADDR, DELADDR, GETADDR = 16, 17, 18, 19, 20, 21, 22
NEWROUTE, DELROUTE, GETROUTE, NEWNEIGH, DELNEIGH, GETNEIGH, GETNETCONF = 24, 25, 26, 28, 29, 30, 82
NEWRULE, DELRULE, GETRULE = 32, 33, 34
AF_BRIDGE = 7
INET, INET6, RTNL_FAMILY_IPMR = socket.AF_INET, socket.AF_INET6, 128
IFF_UP = 1

Attributes = list[tuple[int, bytes]]


def begin(make: Maker) -> None:
    """A network of its own with a pair of Ethernet interfaces, all up, and a socket that asks."""
    make.call("unshare", CLONE_NEWNET)
    for name in ("default", "all"):
        path = f"/proc/sys/net/ipv6/conf/{name}/accept_dad\0".encode()
        make.call("open", At(0), O_WRONLY, data=path)
        make.call("write", Result(make.operations[-1]), At(0), 1, data=b"0")
        make.call("close", Result(make.operations[-2]))
    asker = make.call("socket", NETLINK, RAW, 0)
    make.call("bind", Result(asker), At(0), 12, data=struct.pack("<HHII", NETLINK, 0, PORT, 0))
    make.descriptors.append(Result(asker))
    set_option(make, EXT_ACK, 1)
    peer = struct.pack("<BxHiII", 0, 0, 0, 0, 0) + attribute(3, b"v1\0") + attribute(1, hardware(2))
    information = attribute(1, b"veth\0") + attribute(2, attribute(1, peer))
    found: Attributes = [(3, b"v0\0"), (1, hardware(1)), (18, information)]
    ask(make, NEWLINK, REQUEST | ACK | CREATE | EXCL, link_header(0), found)
    for index in (LO, VETH_0, VETH_1):
        ask(make, NEWLINK, REQUEST | ACK, link_header(index, IFF_UP, IFF_UP), [])
    for _ in range(4):
        settle(make)
    # What comes of addresses that the kernel gives by itself, it does a little later.
    for _ in range(12):
        make.call("poll", 0, 0, 1)


def set_option(make: Maker, name: int, value: int) -> None:
    """How the kernel answers from now on."""
    data = struct.pack("<i", value)
    make.call("setsockopt", make.descriptors[0], SOL_NETLINK, name, At(0), 4, data=data)


def settle(make: Maker) -> None:
    """Look at both ends of the pair, whereupon the kernel looks whether they have a carrier. Whether somebody
    else has an address is found out a little later, even where nobody asks."""
    for _ in range(2):
        make.call("poll", 0, 0, 1)
    for index in (VETH_0, VETH_1):
        ask(make, GETLINK, REQUEST, link_header(index), [])


# Messages


def attribute(kind: int, data: bytes) -> bytes:
    """A struct rtattr with its data."""
    return struct.pack("<HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def hardware(last: int) -> bytes:
    """An address of Ethernet."""
    return bytes((2, 0, 0, 0, 0, last))


def link_header(index: int, flags: int = 0, change: int = 0, family: int = 0) -> bytes:
    """A struct ifinfomsg."""
    return struct.pack("<BxHiII", family, 0, index, flags, change)


def spoilt(make: Maker, attributes: Attributes) -> bytes:
    """Attributes as they are, or one of them missing, too long, too short, twice, or one that nobody
    knows."""
    attributes = list(attributes)
    kind = make.random.randrange(40)
    if kind < 5 and attributes:
        at = make.random.randrange(len(attributes))
        name, data = attributes[at]
        if kind == 0:
            del attributes[at]
        elif kind == 1:
            attributes[at] = (name, data[: max(0, len(data) - make.one(1, 1, 2, 3, 4, 16))])
        elif kind == 2:
            attributes[at] = (name, data + bytes(make.one(1, 2, 4, 4, 16)))
        elif kind == 3:
            attributes.append((name, data[::-1]))
        else:
            attributes[at] = (name | make.one(NESTED, 0x4000), data)
    elif kind < 7:
        attributes.append((make.one(0, 40, 70, 200, 0x3FFF), bytes(make.one(0, 1, 4, 8))))
    packed = b"".join(attribute(name, data) for name, data in attributes)
    if make.odds(2):
        packed += bytes(make.one(1, 2, 3, 4, 8))
    if make.odds(2):
        packed = packed[: len(packed) - make.one(1, 2, 3, 4)]
    return packed


def ask(make: Maker, kind: int, flags: int, header: bytes, attributes: Attributes) -> None:
    """Send a request, and receive what is answered."""
    body = header + b"".join(attribute(name, data) for name, data in attributes)
    send(make, kind, flags, body)


def send(make: Maker, kind: int, flags: int, body: bytes) -> None:
    """Send a message as it is, and receive what is answered: several messages if many are asked for."""
    data = struct.pack("<IHHII", 16 + len(body), kind, flags, 5, 0) + body
    descriptor = make.descriptors[0]
    make.call("sendto", descriptor, At(0), len(data), 0, 0, 0, data=data)
    for _ in range(4 if flags & DUMP and kind & 3 == 2 else 1):
        make.call(
            "recvfrom",
            descriptor,
            At(0),
            ROOM,
            MSG_DONTWAIT,
            0,
            0,
            data=bytes(ROOM),
            show=show_answers,
            result="none",
        )


def request(make: Maker, kind: int, flags: int, header: bytes, attributes: Attributes) -> None:
    """Send a request that may be odd."""
    if make.odds(2):
        header = header[: make.one(0, 1, 4, len(header) - 1)]
    elif make.odds(3):
        # Whom the host answers for without an interface, it forgets in its own time.
        at = make.random.randrange(8 if kind in {NEWNEIGH, DELNEIGH, GETNEIGH} else len(header))
        if at == 2 and kind in {NEWROUTE, DELROUTE, GETROUTE}:
            # Whether sources have routes of their own is the configuration's.
            at = 3
        value = make.one(0, 1, 2, 10, 64, 128, 255)
        if at == 0 and value == RTNL_FAMILY_IPMR:
            # Who passes on what groups are sent isn't asked.
            value = 127
        header = header[:at] + bytes((value,)) + header[at + 1 :]
    send(make, kind, flags, header + spoilt(make, attributes))


def number(value: int) -> bytes:
    """A number of 32 bits."""
    return struct.pack("<I", value & 0xFFFFFFFF)


def new_flags(make: Maker) -> int:
    """NLM_F_* of what makes or changes something."""
    return (
        REQUEST
        | ACK
        | make.one(CREATE | EXCL, CREATE | EXCL, CREATE, CREATE | REPLACE, CREATE | APPEND, 0, REPLACE, EXCL)
    )


def some(make: Maker, attributes: Attributes, percent: int) -> Attributes:
    """Some of what may be said besides."""
    return [found for found in attributes if make.odds(percent)]


# Interfaces


def link(make: Maker) -> None:
    """RTM_NEWLINK, RTM_SETLINK, RTM_DELLINK: names, sizes, groups, masters."""
    index = make.one(*INDICES)
    name = make.random.choice(
        (b"b0", b"b1", b"b0", b"c0", b"v0", b"v1", b"lo", b"", b"x" * 15, b"x" * 16, b"a/b", b"b%d")
    )
    kind = make.random.randrange(10)
    said: Attributes = [
        (4, number(make.one(1500, 1400, 1280, 68, 67, 0, 65535, 65536, -1))),
        (
            1,
            hardware(make.one(1, 2, 3))
            if make.odds(80)
            else make.random.choice((bytes(6), b"\1" * 6, b"\2")),
        ),
        (2, b"\xff" * 6),
        (13, number(make.one(0, 1, 1000, -1))),
        (27, number(make.one(0, 1, 2))),
        (20, make.random.choice((b"text\0", b"text", b"\0", b"", b"y" * 256))),
        (10, number(make.one(0, 4, 5, 9, LO))),
        (16, bytes((make.one(0, 2, 5, 6, 7),))),
        (17, bytes((make.one(0, 1, 2),))),
        (33, b"\1"),
        (51, number(make.one(0, 1))),
        (31, number(make.one(1, 0, 2, 5000))),
        (49, number(make.one(4, 0, -1))),
    ]
    attributes = some(make, said, 10)
    if kind < 4:
        data = attribute(
            1, make.random.choice((b"bridge\0", b"bridge\0", b"bridge", b"veth\0", b"nothing\0", b"tun\0"))
        )
        attributes += [(3, name + b"\0"), (18, data)]
        request(make, NEWLINK, new_flags(make), link_header(make.one(0, 0, 0, 4, 9, -1)), attributes)
    elif kind < 8:
        if make.odds(25):
            attributes.append((3, name + b"\0"))
        flags = make.one(0, 0, 0, 0x100, 0x200, 0x80, 0x1000)
        change = flags if make.odds(50) else make.one(0, 0x100, 0x1000)
        header = link_header(index, flags | make.one(0, IFF_UP), change)
        request(make, make.one(SETLINK, NEWLINK), REQUEST | ACK, header, attributes)
    else:
        attributes = [(3, name + b"\0")] if make.odds(50) else []
        request(make, DELLINK, REQUEST | ACK, link_header(make.one(0, 0, 4, 5, 9, LO)), attributes)
    settle(make)


def ask_link(make: Maker) -> None:
    """RTM_GETLINK, of one or of all."""
    is_dump = make.odds(40)
    attributes = some(
        make,
        [
            (3, make.random.choice((b"v0\0", b"lo\0", b"lo", b"none\0", b"\0"))),
            (29, number(make.one(1, 8, 0, 9))),
            (10, number(make.one(4, 0, 9))),
            (18, attribute(1, make.random.choice((b"veth\0", b"bridge\0", b"none\0")))),
            (53, b"other\0"),
            (46, number(make.one(0, 1))),
        ],
        15,
    )
    index = make.one(0, 0, *INDICES) if is_dump else make.one(*INDICES)
    header = link_header(index, make.one(0, 0, 0, 1), 0, make.one(0, 0, 0, 0, 99))
    request(make, GETLINK, REQUEST | (DUMP if is_dump else make.one(0, ACK)), header, attributes)


# Bridges


def set_bridge(make: Maker) -> None:
    """RTM_NEWLINK of a bridge, with what belongs to it, and of a port."""
    said: Attributes = [
        (1, number(make.one(0, 200, 1500, 4000))),
        (2, number(make.one(200, 99, 100, 1000, 1001))),
        (3, number(make.one(600, 599, 2000, 4001))),
        (4, number(make.one(0, 100, 30000))),
        (5, number(0)),
        (6, struct.pack("<H", make.one(0, 4096, 65535))),
        (9, struct.pack("<H", make.one(0, 8, 7, 0x4000))),
        (
            20,
            make.random.choice((b"\1\x80\xc2\0\0\5", b"\1\x80\xc2\0\0\1", hardware(1), b"\1\x80", bytes(7))),
        ),
        (21, b""),
        (49, number(make.one(0, 1, 100))),
        (48, number(1)),
        (7, b"\1"),
    ]
    data = b"".join(attribute(*found) for found in some(make, said, 20))
    kind = attribute(1, make.random.choice((b"bridge\0", b"bridge\0", b"bridge", b"veth\0")))
    information = kind + attribute(5, port_data(make)) if make.odds(35) else kind + attribute(2, data)
    attributes: Attributes = [(18, information)]
    is_new = make.odds(30)
    if is_new:
        attributes.append((3, make.random.choice((b"b0\0", b"b1\0"))))
    index = 0 if is_new else make.one(4, 4, VETH_0, VETH_1, 5, LO)
    request(make, NEWLINK, new_flags(make) if is_new else REQUEST | ACK, link_header(index), attributes)
    settle(make)


def port_data(make: Maker) -> bytes:
    """What is set of a port."""
    flags = (4, 5, 6, 7, 8, 9, 27, 28, 30, 33)
    said: Attributes = [(name, bytes((make.one(0, 1, 1, 2),))) for name in flags]
    said += [
        (1, bytes((make.one(0, 1, 2, 3, 3, 4, 5),))),
        (2, struct.pack("<H", make.one(0, 32, 63, 64))),
        (3, number(make.one(0, 1, 2, 65535, 65536))),
        (31, struct.pack("<H", make.one(0, 1, 2, 8))),
        (24, b""),
    ]
    return b"".join(attribute(*found) for found in some(make, said, 12))


def set_port(make: Maker) -> None:
    """RTM_SETLINK and RTM_DELLINK of AF_BRIDGE, and the master of an interface."""
    index = make.one(VETH_0, VETH_0, VETH_1, 4, LO, 99)
    if make.odds(30):
        request(make, SETLINK, REQUEST | ACK, link_header(index), [(10, number(make.one(4, 4, 0, 5)))])
        settle(make)
        return
    nested = make.one(NESTED, NESTED, NESTED, 0)
    attributes = some(make, [(12 | nested, port_data(make))], 85)
    attributes += some(make, [(26, attribute(0, struct.pack("<H", make.one(0, 1, 2, 3))))], 15)
    kind = SETLINK if make.odds(90) else DELLINK
    request(make, kind, REQUEST | ACK, link_header(index, family=AF_BRIDGE), attributes)
    settle(make)


def forwarding(make: Maker) -> None:
    """RTM_NEWNEIGH and its kin of AF_BRIDGE: who is behind a port."""
    index = make.one(VETH_0, VETH_0, VETH_1, 4, 4, LO, 0, 99)
    attributes: Attributes = [
        (2, make.random.choice((hardware(7), hardware(8), hardware(1), bytes(6), b"\2")))
    ]
    attributes += some(make, [(5, struct.pack("<H", make.one(0, 5, 4095)))], 5)
    state, flags = make.one(0x80, 0x40, 0x40, 0, 4), make.one(0, 4, 4, 0x44, 2)
    if index != 4:
        # Nobody here listens to more addresses than one.
        flags &= ~2
    kind = make.random.randrange(10)
    if kind < 5:
        header = struct.pack("<BxHiHBB", AF_BRIDGE, 0, index, state, flags, 0)
        request(make, NEWNEIGH, new_flags(make), header, attributes)
    elif kind < 7:
        header = struct.pack("<BxHiHBB", AF_BRIDGE, 0, index, 0, flags, 0)
        request(make, DELNEIGH, REQUEST | ACK, header, attributes)
    elif kind == 7:
        attributes += some(make, [(9, number(make.one(4, 5, LO)))], 60)
        header = struct.pack("<BxHiHBB", AF_BRIDGE, 0, make.one(0, 0, index), 0, make.one(0, 4, 2), 0)
        request(make, GETNEIGH, REQUEST, header, attributes)
    elif kind == 8:
        header = struct.pack("<BxHiHBB", AF_BRIDGE, 0, make.one(0, 0, VETH_0), 0, 0, 0)
        asked = some(make, [(9, number(make.one(4, 5))), (8, number(VETH_0))], 25)
        send(make, GETNEIGH, REQUEST | DUMP, header + b"".join(attribute(*each) for each in asked))
    else:
        send(
            make,
            GETLINK,
            REQUEST | DUMP,
            link_header(0, family=AF_BRIDGE) + attribute(29, number(make.one(0, 2))),
        )


# Addresses


def host_address(make: Maker, family: int) -> bytes:
    """An address of an interface."""
    if family == INET6:
        hosts = (
            "2001:db8::1",
            "2001:db8::2",
            "2001:db8:1::1",
            "fe80::5",
            "::1",
            "::",
            "ff02::5",
            "2001:db8::3",
        )
        return socket.inet_pton(INET6, make.random.choice(hosts))
    hosts_4 = (
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
        "10.0.1.1",
        "127.0.0.1",
        "127.0.0.9",
        "0.0.0.0",
        "224.0.0.5",
        "192.0.2.1",
    )
    return socket.inet_aton(make.random.choice(hosts_4))


def address(make: Maker) -> None:
    """RTM_NEWADDR, RTM_DELADDR."""
    family = make.one(INET, INET, INET6, INET6, 0 if make.odds(5) else INET)
    length = make.one(24, 24, 32, 8, 0, 33, 31) if family == INET else make.one(64, 64, 128, 48, 0, 129)
    one = host_address(make, family)
    attributes: Attributes = [(2, one)] if make.odds(85) else []
    attributes += some(make, [(1, one), (1, one), (1, host_address(make, family))], 30)
    seconds = make.one(-1, 1000, 2000, 0)
    attributes += some(
        make,
        [
            (4, b"\x0a\0\0\xff"),
            (3, make.random.choice((b"v0\0", b"v0:1\0", b"label\0", b"v1:x", b"z" * 16))),
            (8, number(make.one(0x80, 0x200, 0x100, 0x400, 0x10, 0x20, 2, 1, 0))),
            (9, number(make.one(0, 50, 200))),
            (11, bytes((make.one(0, 5, 3),))),
            (6, struct.pack("<IIII", make.one(-1, 1000, 0) & 0xFFFFFFFF, seconds & 0xFFFFFFFF, 0, 0)),
        ],
        15,
    )
    if family == INET6 and make.odds(70):
        attributes.append((8, number(2)))
    header = struct.pack(
        "<BBBBI",
        family,
        length,
        make.one(0, 0, 2, 0x80),
        make.one(0, 0, 253, 254, 255),
        make.one(*INDICES[:8]),
    )
    if make.odds(70):
        request(make, NEWADDR, new_flags(make), header, attributes)
    else:
        request(make, DELADDR, REQUEST | ACK, header, attributes)
    settle(make)


def ask_address(make: Maker) -> None:
    """RTM_GETADDR, of all or one."""
    family = make.one(0, INET, INET6, INET6, 99)
    attributes = some(
        make,
        [(1, host_address(make, family)), (2, host_address(make, family)), (10, number(0)), (9, number(1))],
        15,
    )
    header = struct.pack(
        "<BBBBI",
        family,
        make.one(0, 0, 0, 0, 24),
        0,
        make.one(0, 0, 0, 0, 254),
        make.one(0, 0, *INDICES) & 0xFFFFFFFF,
    )
    request(make, GETADDR, REQUEST | (DUMP if make.odds(80) else make.one(0, ACK)), header, attributes)


# Routes


def target(make: Maker, family: int) -> tuple[bytes, int]:
    """A net."""
    if family == INET6:
        host, length = make.random.choice(
            (
                ("2001:db8:7::", 48),
                ("2001:db8:7::", 64),
                ("2001:db8:8::1", 128),
                ("::", 0),
                ("2001:db8:7::1", 48),
                ("fe80::", 64),
            )
        )
        return socket.inet_pton(INET6, host), length
    host, length = make.random.choice(
        (
            ("10.7.0.0", 16),
            ("10.7.1.0", 24),
            ("10.8.0.1", 32),
            ("0.0.0.0", 0),
            ("10.7.1.0", 16),
            ("10.7.1.0", 24),
        )
    )
    return socket.inet_aton(host), length


def metrics(make: Maker) -> bytes:
    """What is known of a way: the sizes and times of RTAX_*."""
    said: Attributes = [
        (2, number(make.one(1400, 1280, 100, 70000))),
        (8, number(make.one(1000, 65535))),
        (13, number(make.one(200, 0))),
        (11, number(10)),
        (10, number(make.one(64, 255, 256, 0))),
        (1, number(make.one(1, 4))),
        (12, number(make.one(0, 1, 2, 8, 255))),
        (14, number(10)),
        (16, make.random.choice((b"reno\0", b"none\0", b"cubic"))),
        (3, number(5)),
        (17, number(make.one(0, 1))),
        (0, number(0)),
        (18, number(0)),
    ]
    return b"".join(attribute(*found) for found in some(make, said, 12))


def route(make: Maker) -> None:
    """RTM_NEWROUTE, RTM_DELROUTE."""
    family = make.one(INET, INET6)
    to, length = target(make, family)
    gateways = ("10.0.0.2", "10.0.0.9", "10.9.9.9", "0.0.0.0", "127.0.0.1")
    gateway = socket.inet_aton(make.random.choice(gateways))
    if family == INET6:
        gateway = socket.inet_pton(
            INET6, make.random.choice(("fe80::9", "2001:db8::9", "::", "::1", "2001:db8:77::1"))
        )
    attributes: Attributes = [(1, to)] if length or make.odds(30) else []
    attributes += [(4, number(make.one(*INDICES)))] if make.odds(75) else []
    attributes += some(make, [(5, gateway)], 40)
    attributes += some(
        make,
        [
            (6, number(make.one(0, 1, 5, 5, 100, 1024))),
            (7, host_address(make, family)),
            (8, metrics(make)),
            (15, number(make.one(254, 255, 253, 100, 1000, 0))),
            (11, number(make.one(0, 1, 0x10002))),
            (20, bytes((make.one(0, 1, 3, 2, 9),))),
            (23, number(100)),
            (16, number(make.one(1, 7))),
            (12, bytes(16)),
            (19, number(1)),
            (22, bytes((0, 0))),
            (25, bytes((255,))),
            (2, to),
            (26, bytes((1,))),
        ],
        8,
    )
    is_new = make.odds(65)
    header = struct.pack(
        "<BBBBBBBBI",
        family,
        length,
        0 if family == INET6 or make.odds(95) else 8,
        make.one(0, 0, 0, 0, 4, 16, 3),
        make.one(254, 254, 254, 255, 0, 100),
        make.one(3, 4, 2, 0, 186),
        make.one(0, 0, 0, 253, 254, 200, 255),
        make.one(1, 1, 1, 1, 2, 3, 5, 6, 7, 8, 9, 0, 12),
        make.one(0, 0, 0, 0, 4, 1, 0x200),
    )
    if not is_new and make.odds(50):
        header = struct.pack("<BBBBBBBBI", family, length, 0, 0, 254, 0, 255, 0, 0)
    request(
        make,
        NEWROUTE if is_new else DELROUTE,
        new_flags(make) if is_new else REQUEST | ACK,
        header,
        attributes,
    )


def ways(make: Maker, family: int) -> bytes:
    """RTA_MULTIPATH: some ways."""
    gateways = ("10.0.0.2", "10.0.0.9", "10.0.1.7", "10.9.9.9")
    if family == INET6:
        gateways = ("fe80::9", "2001:db8::9", "2001:db8::7", "2001:db8:77::1")
    packed = b""
    for _ in range(make.one(1, 2, 2, 2, 3, 3, 0)):
        said: Attributes = (
            [(5, socket.inet_pton(family, make.random.choice(gateways)))] if make.odds(85) else []
        )
        said += some(
            make,
            [
                (11, number(make.one(0, 1, 5))),
                (5, b"\1\2"),
                (18, b"\2\0\12\0\0\2"),
                (11, b"\1"),
                (21, b"\13\0"),
            ],
            3,
        )
        inner = b"".join(attribute(*found) for found in said)
        flags, count = make.one(0, 0, 0, 0, 0, 0, 4, 1, 16, 2), make.one(0, 0, 1, 2, 255)
        index = make.one(VETH_0, VETH_0, VETH_1, 0, 0, LO, 9)
        length = 8 + len(inner) + (make.one(-1, 4, -8, 100) if make.odds(2) else 0)
        packed += struct.pack("<HBBi", max(length, 0), flags, count, index) + inner
    return packed


def divided_route(make: Maker) -> None:
    """RTM_NEWROUTE and RTM_DELROUTE of routes with several ways, to nets that nobody sends to: which of the
    ways is taken, chance decides on the host."""
    family = make.one(INET, INET6)
    nets = (("10.70.0.0", 16), ("10.70.1.0", 24), ("10.71.0.1", 32))
    if family == INET6:
        nets = (("2001:db8:70::", 48), ("2001:db8:70:1::", 64), ("2001:db8:71::1", 128))
    to, length = make.random.choice(nets)
    attributes: Attributes = [(1, socket.inet_pton(family, to))]
    attributes += some(make, [(9, ways(make, family))], 85)
    attributes += some(
        make,
        [
            (4, number(make.one(*INDICES))),
            (5, socket.inet_pton(family, "10.0.0.2" if family == INET else "2001:db8::9")),
            (6, number(make.one(5, 5, 100))),
            (7, host_address(make, family)),
            (8, metrics(make)),
            (11, number(make.one(1, 5))),
            (15, number(make.one(254, 100))),
        ],
        10,
    )
    is_new = make.odds(70)
    kind, scope = make.one(1, 1, 1, 1, 1, 2, 6), make.one(0, 0, 0, 0, 253, 254)
    header = struct.pack("<BBBBBBBBI", family, length, 0, 0, 254, 3, scope, kind, make.one(0, 0, 0, 0, 4, 1))
    if not is_new:
        header = struct.pack("<BBBBBBBBI", family, length, 0, 0, 254, 0, 255, 0, 0)
    flags = new_flags(make) if is_new else REQUEST | ACK
    request(make, NEWROUTE if is_new else DELROUTE, flags, header, attributes)
    if make.odds(50):
        send(make, GETROUTE, REQUEST | DUMP, struct.pack("<BBBBBBBBI", family, 0, 0, 0, 254, 0, 0, 0, 0))


def ask_route(make: Maker) -> None:
    """RTM_GETROUTE: which way a packet goes, or all routes."""
    family = make.one(INET, INET6)
    if make.odds(50):
        header = struct.pack(
            "<BBBBBBBBI",
            make.one(family, family, family, 0, 99),
            0,
            0,
            0,
            make.one(0, 0, 254, 255),
            make.one(0, 0, 2, 4),
            0,
            make.one(0, 0, 1, 2),
            make.one(0, 0, 0, 0x200),
        )
        asked = some(
            make,
            [(15, number(make.one(254, 255, 100, 252))), (4, number(make.one(*INDICES))), (1, bytes(4))],
            20,
        )
        request(make, GETROUTE, REQUEST | DUMP, header, asked)
        return
    to = target(make, family)[0] if make.odds(50) else host_address(make, family)
    bits = 8 * len(to)
    attributes: Attributes = [(1, to)] if make.odds(90) else []
    attributes += some(
        make,
        [
            (2, host_address(make, family)),
            (4, number(make.one(*INDICES))),
            *([(3, number(make.one(*INDICES)))] if family == INET else []),
            (16, number(1)),
            (25, number(1000)),
            (27, b"\x11"),
            (28, b"\0\7"),
            (29, b"\0\x50"),
            (15, number(254)),
        ],
        8,
    )
    header = struct.pack(
        "<BBBBBBBBI",
        family,
        make.one(bits, bits, bits, 0, 8),
        make.one(0, 0, 0, bits),
        make.one(0, 0, 0, 4),
        0,
        0,
        0,
        0,
        make.one(0, 0, 0, 0, 0x1000, 0x2000, 0x200),
    )
    request(make, GETROUTE, REQUEST | make.one(0, ACK), header, attributes)


# Rules


def rule(make: Maker) -> None:
    """RTM_NEWRULE, RTM_DELRULE: what packets are for which table."""
    family = make.one(INET, INET, INET6)
    to, length = target(make, family)
    attributes = some(
        make,
        [
            (6, number(make.one(0, 5, 100, 100, 32765))),
            (15, number(make.one(254, 100, 100, 1000))),
            (10, number(make.one(1, 5))),
            (16, number(make.one(1, 7))),
            (14, number(make.one(0, 8, -1))),
            (13, number(make.one(0, 1, -1))),
            (21, bytes((make.one(0, 4, 186),))),
            (3, make.random.choice((b"v0\0", b"lo\0", b"none\0"))),
            (17, make.random.choice((b"v0\0", b"none\0", b"v1"))),
            (4, number(make.one(200, 40000))),
        ],
        12,
    )
    ports = struct.pack("<HH", make.one(1, 80, 80, 0), make.one(80, 90, 65534, 65535))
    attributes += some(
        make,
        [
            (12, bytes(7) + b"\5"),
            (20, struct.pack("<II", make.one(0, 0, 1000), make.one(0, 2000, 0xFFFFFFFF))),
            (22, bytes((make.one(17, 6, 1, 0),))),
            (23, ports),
            (24, ports),
            (25, bytes((make.one(2, 4, 36, 0, 63),))),
        ],
        10,
    )
    has_net = make.odds(25)
    attributes += [(make.one(1, 2), to)] if has_net else []
    header = struct.pack(
        "<BBBBBBBBI",
        make.one(*(family,) * 9, 0),
        length if has_net and attributes[-1][0] == 1 else 0,
        length if has_net and attributes[-1][0] == 2 else 0,
        make.one(0, 0, 0, 0, 0x10, 0x10, 8, 4, 0x90, 1),
        make.one(0, 0, 254, 100),
        *(0, 0),
        make.one(1, 1, 1, 1, 1, 2, 3, 6, 7, 8, 0, 9),
        make.one(0, 0, 0, 0, 0, 2),
    )
    is_new = make.odds(65)
    flags = new_flags(make) if is_new else REQUEST | ACK
    request(make, NEWRULE if is_new else DELRULE, flags, header, attributes)


def ask_rule(make: Maker) -> None:
    """RTM_GETRULE, of all of a protocol: who passes on what groups are sent has rules too."""
    header = struct.pack("<BBBBBBBBI", make.one(INET, INET6), 0, 0, 0, 0, 0, 0, 0, 0)
    send(make, GETRULE, REQUEST | DUMP, header)


def way(make: Maker) -> None:
    """Whether a socket with a type of service, a mark and a port gets to an address, and from which."""
    family = make.one(INET, INET, INET6)
    to = target(make, family)[0] if make.odds(60) else host_address(make, family)
    opened = Result(make.call("socket", family, 2, 0))
    level, name = (0, 1) if family == INET else (41, 67)
    service = make.one(0, 0x10, 0x10, 8, 0x90, 0x13)
    make.call("setsockopt", opened, level, name, At(0), 4, data=struct.pack("<i", service))
    if make.odds(30):
        make.call("setsockopt", opened, 1, 36, At(0), 4, data=struct.pack("<i", make.one(1, 5, 3)))
    if family == INET:
        place = struct.pack("<H", INET) + struct.pack(">H", make.one(80, 85, 9)) + to + bytes(8)
    else:
        place = struct.pack("<H", INET6) + struct.pack(">HI", make.one(80, 85, 9), 0) + to + bytes(4)
    make.call("connect", opened, At(0), len(place), data=place)
    make.call("getsockname", opened, At(0), At(28), data=bytes(28) + struct.pack("<I", 28), show=show_host)
    make.call("close", opened)


def show_host(data: bytes, result: int, naming: Naming) -> str:
    """An address without its port."""
    return (data[:2] + data[4 : 8 if data[0] == INET else 28]).hex()


# Neighbours


def neighbour(make: Maker) -> None:
    """RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH, of those that stay as they are."""
    family = make.one(INET, INET, INET6, INET6, 0 if make.odds(10) else INET)
    other = (
        make.random.choice(("10.0.0.7", "10.0.0.8"))
        if family != INET6
        else make.random.choice(("fe80::7", "fe80::8"))
    )
    to = socket.inet_pton(family or INET, other)
    attributes: Attributes = [(1, to)]
    kind = make.random.randrange(10)
    state, flags = make.one(0x80, 0x80, 0x40, 4, 0, 0x20, 1), make.one(0, 0, 0, 0, 0, 0x80, 0x10, 0x40)
    index = make.one(VETH_0, VETH_0, VETH_0, VETH_1, LO, 0, 9)
    if kind < 5:
        attributes += [(2, hardware(make.one(7, 8)))] if make.odds(85) else []
        attributes += some(
            make,
            [(12, bytes((make.one(5, 0),))), (15, number(make.one(2, 1))), (10, number(1)), (5, b"\0\1")],
            8,
        )
        header = struct.pack("<BxHiHBB", family, 0, index, state, flags, make.one(0, 0, 1))
        request(make, NEWNEIGH, new_flags(make), header, attributes)
    elif kind < 7:
        header = struct.pack("<BxHiHBB", family, 0, index, make.one(0, state), 0, 0)
        request(make, DELNEIGH, REQUEST | ACK, header, attributes)
    elif kind == 7:
        header = struct.pack("<BxHiHBB", family, 0, index, make.one(0, 0, 0, 2), make.one(0, 0, 8), 0)
        request(make, GETNEIGH, REQUEST | make.one(0, ACK), header, attributes)
    else:
        attributes = some(make, [(8, number(index)), (9, number(0)), (1, to), (12, b"\0")], 15)
        header = struct.pack(
            "<BxHiHBB", make.one(family, family, 0, 99), 0, make.one(0, 0, 0, 3), make.one(0, 0, 0, 2), 0, 0
        )
        request(make, GETNEIGH, REQUEST | DUMP, header, attributes)


# Beyond


def option(make: Maker) -> None:
    """Whether questions are looked at strictly, and how errors are told."""
    set_option(make, make.one(STRICT_CHK, STRICT_CHK, STRICT_CHK, EXT_ACK, CAP_ACK), make.one(1, 1, 1, 0))


def configuration(make: Maker) -> None:
    """RTM_GETNETCONF."""
    family = make.one(INET, INET6, 0, 99)
    attributes: Attributes = [(1, number(make.one(*INDICES, -2)))] if make.odds(80) else []
    is_dump = make.odds(50)
    if is_dump and make.odds(80):
        attributes = []
    header = struct.pack("<I", family)
    request(make, GETNETCONF, REQUEST | (DUMP if is_dump else make.one(0, ACK)), header, attributes)


def odd(make: Maker) -> None:
    """A message whose header isn't right, and of types that aren't."""
    kind = make.one(2, 3, 4, 15, 31, 99, 130, 0xFFFF, NEWLINK + 7, 82)
    send(make, kind, make.one(REQUEST, REQUEST | ACK, 0, ACK, REQUEST | DUMP), bytes(make.one(0, 1, 2, 16)))


FAMILIES: tuple[Callable[[Maker], None], ...] = (
    *(link, ask_link, address, address, address, ask_address, ask_address),
    *(
        route,
        route,
        route,
        route,
        divided_route,
        divided_route,
        ask_route,
        ask_route,
        ask_route,
        neighbour,
        neighbour,
        option,
    ),
    *(rule, rule, rule, ask_rule, way, way),
    *(set_bridge, set_port, set_port, forwarding, forwarding),
    *(configuration, odd),
)
