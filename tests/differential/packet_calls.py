"""Random calls on packet sockets: frames sent, heard and counted, memberships, options (packet(7))."""

from __future__ import annotations

import struct

from procession.abi.packet import PacketOption
from tests.differential.maker import Maker
from tests.differential.script import At, Naming, Result, Show, digest

CLONE_NEWNET = 0x40000000
NONBLOCK, CLOEXEC = 0o4000, 0o2000000
PACKET, INET = 17, 2
STREAM, DGRAM, RAW, SEQPACKET, OLD = 1, 2, 3, 5, 10
SIOCSIFFLAGS, FIONREAD, SIOCOUTQ, SIOCGIFNAME = 0x8914, 0x541B, 0x5411, 0x8910
IFF_UP, IFF_RUNNING = 1, 0x40
SOL_SOCKET, SOL_PACKET = 1, 263
SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_LOCK_FILTER = 26, 27, 44
MSG_PEEK, MSG_TRUNC, MSG_DONTWAIT, MSG_ERRQUEUE = 2, 0x20, 0x40, 0x2000
PROTOCOLS = (0x88B5, 0x88B5, 0x88B5, 0x88B6, 3, 0, 4, 0x0800, 0x60, 1)
LO, NAME_AT, NAME_BYTES, FRAME_AT = 1, 8, 24, 32
LENGTHS = (0, 1, 13, 14, 15, 20, 60, 100, 100, 300)
OPTIONS = tuple(
    int(option)
    for option in PacketOption
    # Rings are memory, which scripts don't look at.
    if option not in {PacketOption.PACKET_RX_RING, PacketOption.PACKET_TX_RING}
)
VALUES = (0, 0, 1, 1, 1, 2, 3, 7, 10, 12, 20, 255, 4096, -1, 1 << 31)


def begin_network(make: Maker) -> None:
    """A network of its own, with the loopback up."""
    make.call("unshare", CLONE_NEWNET)
    control = make.call("socket", INET, DGRAM | CLOEXEC, 0)
    request = struct.pack("<16sH22x", b"lo", IFF_UP | IFF_RUNNING)
    make.call("ioctl", Result(control), SIOCSIFFLAGS, At(0), data=request)
    make.call("close", Result(control))


def begin(make: Maker) -> None:
    """A network, and some sockets."""
    begin_network(make)
    for kind in (RAW, DGRAM):
        make.opened(make.call("socket", PACKET, kind | NONBLOCK, swapped(0x88B5)))


def swapped(protocol: int) -> int:
    """A number in the network's order."""
    return (protocol & 0xFF) << 8 | protocol >> 8


def address(make: Maker) -> bytes:
    """A struct sockaddr_ll, more or less whole."""
    protocol = make.random.choice(PROTOCOLS)
    index = make.one(LO, LO, LO, LO, 0, 9, -1)
    name = struct.pack(
        "<HHiHBB8s",
        PACKET if make.odds(95) else make.one(0, INET, 99),
        swapped(protocol),
        index,
        make.one(0, 0, 772, 1),
        make.one(0, 0, 4),
        make.one(6, 6, 6, 0, 4, 8, 255),
        bytes(make.one(0, 0, 1, 2) for _ in range(8)),
    )
    return name if make.odds(90) else name[: make.one(0, 2, 12, 16, 19)]


def open_socket(make: Maker) -> None:
    """socket, close."""
    if make.odds(25):
        make.call("close", make.descriptor())
        return
    kind = make.one(RAW, RAW, RAW, DGRAM, DGRAM, STREAM, SEQPACKET, OLD)
    protocol = make.random.choice(PROTOCOLS)
    # One of the old kind hears all, of which the kernel's log tells.
    kind = RAW if kind == OLD and protocol == 0 else kind
    make.opened(make.call("socket", PACKET, kind | NONBLOCK, swapped(protocol)))


def bind(make: Maker) -> None:
    """bind, getsockname, getpeername, connect, listen, shutdown."""
    kind = make.random.randrange(8)
    if kind < 4:
        name = address(make)
        make.call("bind", make.descriptor(), At(0), len(name), data=name)
    elif kind < 6:
        data = struct.pack("<i4x", make.one(20, 20, 18, 4, 0, -1)) + bytes(NAME_BYTES)
        call = make.random.choice(("getsockname", "getsockname", "getpeername"))
        make.call(call, make.descriptor(), At(8), At(0), data=data)
    elif kind == 6:
        name = address(make)
        make.call("connect", make.descriptor(), At(0), len(name), data=name)
    else:
        make.call(make.random.choice(("listen", "shutdown")), make.descriptor(), make.one(0, 1, 2))


def frame(make: Maker) -> bytes:
    """A frame with or without the header of Ethernet, of a protocol that means nothing to others."""
    length = make.random.choice(LENGTHS)
    protocol = make.random.choice((0x88B5, 0x88B5, 0x88B6, 0x60, 5))
    header = bytes(make.one(0, 0, 255, 1) for _ in range(6)) + bytes(6) + struct.pack(">H", protocol)
    return (header + bytes(range(256)) * 2)[:length]


def send(make: Maker) -> None:
    """sendto, write, sendmsg's simpler kin."""
    content = frame(make)
    if make.odds(25):
        make.call("write", make.descriptor(), At(0), len(content), data=content)
    else:
        name = address(make) if make.odds(90) else b""
        data = name.ljust(FRAME_AT, b"\0") + content
        flags = make.one(0, 0, 0, MSG_DONTWAIT, 1, 0x40000000)
        where = At(0) if name else 0
        length = len(name) if make.odds(94) else make.one(0, 0, -1, 8, 128, 129)
        make.call("sendto", make.descriptor(), At(FRAME_AT), len(content), flags, where, length, data=data)
    make.operations[-1].is_slow = True


def show_received(data: bytes, result: int, naming: Naming) -> str:
    """Who has sent, and what."""
    if result < 0:
        return ""
    length = struct.unpack_from("<i", data)[0]
    name = data[NAME_AT : NAME_AT + max(0, min(length, NAME_BYTES))]
    return f"{length} {name.hex()} {digest(data[FRAME_AT:])}"


def receive(make: Maker) -> None:
    """recvfrom, read, poll, FIONREAD."""
    kind = make.random.randrange(10)
    if kind < 6:
        data = struct.pack("<i4x", make.one(24, 20, 20, 12, 0, -1)) + bytes(NAME_BYTES + 512)
        flags = make.one(0, 0, 0, MSG_PEEK, MSG_TRUNC, MSG_PEEK | MSG_TRUNC, MSG_ERRQUEUE, 4)
        count = make.one(512, 512, 512, 20, 14, 0)
        make.call(
            *("recvfrom", make.descriptor(), At(FRAME_AT), count, flags, At(NAME_AT), At(0)),
            data=data,
            show=show_received,
        )
    elif kind == 6:
        make.call("read", make.descriptor(), At(0), make.one(512, 20, 0), data=bytes(512))
    elif kind == 7:
        request = make.one(FIONREAD, SIOCOUTQ, 0x8906, 0x1234)
        make.call("ioctl", make.descriptor(), request, At(0), data=bytes(16), show=show_number(request))
    else:
        data = struct.pack("<ihh", 0, 0x3FF, 0)
        make.call("poll", At(0), 1, 0, data=data, fixups=((0, 4, make.descriptor()),), show=show_poll)


def show_number(request: int) -> Show:
    """A number, but for when something came."""

    def show(data: bytes, result: int, naming: Naming) -> str:
        return str(int.from_bytes(data[:4], "little")) if result == 0 and request != 0x8906 else ""

    return show


def show_poll(data: bytes, result: int, naming: Naming) -> str:
    """The events."""
    return hex(struct.unpack_from("<H", data, 6)[0])


def option(make: Maker) -> None:
    """getsockopt and setsockopt."""
    name = make.random.choice(OPTIONS)
    if make.odds(60):
        size = 4
        value = struct.pack("<I", make.random.choice(VALUES) & 0xFFFFFFFF)
        if name in {PacketOption.PACKET_ADD_MEMBERSHIP, PacketOption.PACKET_DROP_MEMBERSHIP}:
            value = struct.pack(
                "<iHH8s",
                make.one(LO, LO, LO, 0, 9),
                make.one(0, 1, 1, 2, 2, 3, 4),
                make.one(6, 6, 0, 4, 8, 9),
                b"\1\2\3\4\5\6\0\0",
            )
            size = 16
        elif name == PacketOption.PACKET_FANOUT:
            value = struct.pack("<HH", make.one(1, 2), make.one(0, 1, 2, 3, 4, 5, 6, 7, 8, 0x1000, 0x8000))
            size = make.one(4, 8)
        data = value.ljust(32, b"\0")
        length = size if make.odds(85) else make.one(0, 1, 3, 5, 8, 16, 32, -1)
        make.call("setsockopt", make.descriptor(), SOL_PACKET, name, At(0), length, data=data)
        return
    data = struct.pack("<i4x", make.one(4, 4, 4, 8, 12, 16, 0, 1, -1)) + bytes(make.one(0, 1, 28)) + bytes(32)
    make.call("getsockopt", make.descriptor(), SOL_PACKET, name, At(8), At(0), data=data)


def attach(make: Maker) -> None:
    """SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_LOCK_FILTER: what is heard, and how much of it."""
    kind = make.random.randrange(8)
    if kind < 5:
        # How much the only instruction takes; or one that reads from behind a frame's end.
        program = struct.pack("<HBBI", 6, 0, 0, make.one(0, 14, 30, 200, 1 << 31))
        if make.odds(25):
            program = struct.pack("<HBBI", make.one(0x28, 0x30, 0x20), 0, 0, make.one(12, 90, 400)) + program
        count = len(program) // 8 if make.odds(90) else make.one(0, 4097)
        data = struct.pack("<H6xQ", count, 0) + program
        size = 16 if make.odds(93) else make.one(0, 4, 8, 17)
        fixups = ((8, 8, At(16)),) if make.odds(95) else ()
        make.call(
            *("setsockopt", make.descriptor(), SOL_SOCKET, SO_ATTACH_FILTER, At(0), size),
            data=data,
            fixups=fixups,
        )
    elif kind < 7:
        make.call("setsockopt", make.descriptor(), SOL_SOCKET, SO_DETACH_FILTER, At(0), 4, data=bytes(4))
    else:
        locks = struct.pack("<i", make.one(0, 0, 0, 1, -1))
        make.call("setsockopt", make.descriptor(), SOL_SOCKET, SO_LOCK_FILTER, At(0), 4, data=locks)


def general_option(make: Maker) -> None:
    """getsockopt and setsockopt of what all sockets have."""
    name = make.one(3, 4, 5, 6, 9, 11, 12, 16, 18, 30, 36, 38, 39, 40, 42, 43, SO_LOCK_FILTER, 45)
    if make.odds(55):
        data = struct.pack("<i", make.one(0, 0, 1, 1, 7, -1)) + bytes(4)
        make.call(
            "setsockopt", make.descriptor(), SOL_SOCKET, name, At(0), make.one(4, 4, 4, 3, 8, 0), data=data
        )
        return
    data = struct.pack("<i4x", make.one(4, 4, 8, 1, 0, -1)) + bytes(16)
    make.call("getsockopt", make.descriptor(), SOL_SOCKET, name, At(8), At(0), data=data)


def send_header(make: Maker) -> None:
    """sendmsg: of several parts, with a name or without."""
    content, name = frame(make), address(make) if make.odds(85) else b""
    cut = min(len(content), make.one(0, 1, 14, 20))
    length = len(name) if make.odds(93) else make.one(0, -1, 129, 200)
    data = struct.pack("<Qi4xQQQQI4x", 0, length, 0, make.one(2, 2, 2, 0, 1), 0, 0, 0).ljust(64, b"\0")
    data += struct.pack("<QQQQ", 0, cut, 0, len(content) - cut) + name.ljust(32, b"\0") + content
    fixups = [(16, 8, At(64)), (64, 8, At(128)), (80, 8, At(128 + cut))]
    if name:
        fixups.append((0, 8, At(96)))
    flags = make.one(0, 0, 0, MSG_DONTWAIT, 1)
    make.call("sendmsg", make.descriptor(), At(0), flags, data=data, fixups=tuple(fixups))
    make.operations[-1].is_slow = True


def receive_header(make: Maker) -> None:
    """recvmsg: who sent it, what came with it, and the flags."""
    room, control = make.one(32, 32, 20, 0), make.one(64, 64, 36, 16, 0)
    data = struct.pack("<QI4xQQQQI4x", 0, room, 0, 1, 0, control, 0).ljust(64, b"\0")
    data += struct.pack("<QQ", 0, make.one(512, 512, 30, 0)).ljust(32, b"\0") + bytes(32 + 64 + 512)
    fixups = ((16, 8, At(64)), (64, 8, At(192)), (0, 8, At(96)), (32, 8, At(128)))
    flags = make.one(0, 0, 0, MSG_PEEK, MSG_TRUNC, MSG_ERRQUEUE, 1)
    make.call("recvmsg", make.descriptor(), At(0), flags, data=data, fixups=fixups, show=show_header)


def show_header(data: bytes, result: int, naming: Naming) -> str:
    """What recvmsg(2) left in its header, name and control messages."""
    if result < 0:
        return ""
    named = struct.unpack_from("<I", data, 8)[0]
    controlled, flags = struct.unpack_from("<QI", data, 40)
    control = data[128 : 128 + min(controlled, 64)]
    return f"{named} {data[96:128].hex()} {controlled} {control.hex()} {flags:x} {digest(data[192:])}"


FAMILIES = (
    *(attach,) * 2,
    general_option,
    *(send_header,) * 2,
    *(receive_header,) * 3,
    open_socket,
    *(bind,) * 3,
    *(send,) * 5,
    *(receive,) * 6,
    *(option,) * 5,
)
