"""Random calls on local and internet sockets: names, connections, data, control messages, options."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from tests.differential.maker import Maker
from tests.differential.process_calls import identify
from tests.differential.script import Argument, At, Naming, Operation, Result, Show, Stored, digest, number_of

CLONE_NEWNET = 0x40000000
NONBLOCK, CLOEXEC = 0o4000, 0o2000000
UNIX, INET, INET6 = socket.AF_UNIX, socket.AF_INET, socket.AF_INET6
STREAM, DGRAM, SEQPACKET = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
SIOCSIFFLAGS, FIONREAD, SIOCOUTQ, SIOCATMARK, FIONBIO, FIOSETOWN = (
    *(0x8914, 0x541B, 0x5411, 0x8905, 0x5421, 0x8901),
)
IFF_UP, IFF_RUNNING = 1, 0x40
NAME, NAME_BYTES, CONTROL, CONTROL_BYTES, TEXT, TEXT_BYTES = 96, 128, 224, 128, 352, 256
"""Where in its data an operation with a message has the parts of it, behind the header and two iovecs."""
PORTS = (7001, 7001, 7002, 7003)
FIRST_EPHEMERAL = 32768
MAPPED = bytes(10) + b"\xff\xff"
"""What an address of IPv4 in IPv6's form begins with."""
LENGTHS = (0, 1, 1, 2, 10, 10, 100, 256)
(
    MSG_OOB,
    MSG_PEEK,
    MSG_DONTROUTE,
    MSG_TRUNC,
    MSG_DONTWAIT,
    MSG_WAITALL,
    MSG_ERRQUEUE,
    MSG_NOSIGNAL,
    MSG_MORE,
) = (*(1, 2, 4, 0x20, 0x40, 0x100, 0x2000, 0x4000, 0x8000),)
SCM_RIGHTS, SCM_CREDENTIALS = 1, 2
SOL_SOCKET, SOL_IP, SOL_TCP, SOL_UDP, SOL_IPV6 = 1, 0, 6, 17, 41
TCP_NODELAY = 1
OPTIONS = (
    # SO_DEBUG is left out, and what depends on time or on the size of the host's memory.
    *((SOL_SOCKET, name) for name in (2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 15, 16, 18, 20, 28, 29, 30, 31)),
    *((SOL_SOCKET, name) for name in (17, 34, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 60, 69, 76, 77)),
    *((SOL_SOCKET, name) for name in (61, 75, 82, 83)),
    *((SOL_IP, name) for name in (1, 2, 6, 7, 8, 10, 11, 12, 13, 14, 15, 18, 19, 20, 22, 23, 24, 32, 33, 34)),
    *((SOL_IP, name) for name in (35, 49, 50, 51)),
    *((SOL_TCP, name) for name in (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 17, 18, 23, 25, 30, 33, 34, 36, 37)),
    *((SOL_UDP, name) for name in (1, 100, 101, 102, 103, 104)),
    # Not IPV6_ADDRFORM, which Linux 6.18.44 hasn't got any more.
    *((SOL_IPV6, name) for name in (8, 11, 16, 17, 18, 19, 21, 23, 24, 25, 26, 29, 33, 49, 51, 53, 55, 56)),
    *((SOL_IPV6, name) for name in (58, 60, 62, 66, 67, 70, 72, 74, 75, 76, 78)),
)
VALUES = (0, 0, 1, 1, 1, 2, 3, 5, 64, 255, 256, 4096, -1, 1 << 31, 0x7FFFFFFF)


PACKET_MESSAGES = (
    # IP_PKTINFO, IP_TTL, IP_TOS, IP_RETOPTS, IP_PROTOCOL
    (SOL_IP, 8, struct.pack("<i4s4s", 0, socket.inet_aton("127.0.0.1"), bytes(4))),
    (SOL_IP, 8, struct.pack("<i4s4s", 1, bytes(4), bytes(4))),
    (SOL_IP, 8, struct.pack("<i4s4s", 0, socket.inet_aton("127.0.0.2"), socket.inet_aton("127.0.0.3"))),
    (SOL_IP, 8, struct.pack("<i4s4s", 9, socket.inet_aton("192.0.2.1"), bytes(4))),
    *((SOL_IP, name, struct.pack("<i", 5)) for name in (1, 2, 7, 52)),
    # IPV6_PKTINFO, IPV6_HOPLIMIT, IPV6_TCLASS, IPV6_DONTFRAG, IPV6_FLOWINFO, IPV6_HOPOPTS, IPV6_DSTOPTS
    (SOL_IPV6, 50, struct.pack("<16si", socket.inet_pton(INET6, "::1"), 0)),
    (SOL_IPV6, 50, struct.pack("<16si", bytes(16), 1)),
    (SOL_IPV6, 50, struct.pack("<16si", socket.inet_pton(INET6, "2001:db8::1"), 0)),
    *((SOL_IPV6, name, struct.pack("<i", 5)) for name in (8, 11, 52, 62, 67)),
    *((SOL_IPV6, name, bytes((17, 0, 1, 4, 0, 0, 0, 0))) for name in (54, 59, 55, 57)),
    # UDP_SEGMENT, SO_TIMESTAMPING, SO_MARK, SO_PRIORITY, SCM_TS_OPT_ID, SO_TIMESTAMP, SCM_TXTIME
    (SOL_UDP, 103, struct.pack("<H", 10)),
    *((SOL_SOCKET, name, struct.pack("<I", 2)) for name in (37, 36, 12, 81, 29, 5)),
    (SOL_SOCKET, 61, struct.pack("<Q", 1)),
)


def begin(make: Maker) -> None:
    """A network of its own, with the loopback up, and some sockets."""
    make.call("unshare", CLONE_NEWNET)
    control = make.call("socket", INET, DGRAM | CLOEXEC, 0)
    request = struct.pack("<16sH22x", b"lo", IFF_UP | IFF_RUNNING)
    make.call("ioctl", Result(control), SIOCSIFFLAGS, At(0), data=request)
    make.call("close", Result(control))
    for _ in range(3):
        open_socket(make)


# Which socket it is


def origin(descriptor: Argument) -> Operation | None:
    """The call of socket or socketpair with which a descriptor began."""
    while isinstance(descriptor, (Result, Stored)):
        operation = descriptor.operation
        if operation.call in {number_of("socket"), number_of("socketpair")}:
            return operation
        descriptor = operation.arguments[0]
    return None


def kind_of(descriptor: Argument) -> tuple[int, int]:
    """The family and the type of a socket, zeros for what is none."""
    operation = origin(descriptor)
    if operation is None:
        return 0, 0
    domain, kind = operation.arguments[:2]
    return (domain, kind & 15) if isinstance(domain, int) and isinstance(kind, int) else (0, 0)


def domain_of(make: Maker, descriptor: Argument) -> int:
    """The family of a socket, or any."""
    domain = kind_of(descriptor)[0] or INET
    return domain if make.odds(97) else make.one(UNIX, INET, INET6)


# Addresses


def address(make: Maker, domain: int) -> bytes:
    """An address of a family, perhaps too short or too long."""
    if domain == UNIX:
        name = make.random.choice(
            (b"\0a", b"\0b", b"\0c", b"s\0", b"t\0", b"t", b"", b"\0", b"d/s\0", b"x" * 108)
        )
        found = struct.pack("<H", UNIX) + name
    elif domain == INET6:
        host = make.random.choice(("::1", "::1", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0", "2001:db8::1"))
        found = struct.pack("<HHI16sI", INET6, port(make), 0, socket.inet_pton(INET6, host), 0)
    else:
        host = make.random.choice(("127.0.0.1",) * 5 + ("0.0.0.0", "127.0.0.2", "192.0.2.1", "224.0.0.1"))
        found = struct.pack("<HH4s8x", INET, port(make), socket.inet_aton(host))
    if make.odds(3):
        found = b"\0\0" + found[2:]
    if make.odds(4):
        found = found[: make.one(0, 1, 2, 3, 8, 15, 24)]
    return found


def port(make: Maker) -> int:
    """A port in the order of the network, seldom that of nobody."""
    return socket.htons(make.random.choice(PORTS) if make.odds(85) else make.one(0, 1, 65535))


def show_address(data: bytes, naming: Naming) -> str:
    """An address, but for what the kernel has chosen itself."""
    if len(data) < 2:
        return data.hex()
    family = int.from_bytes(data[:2], "little")
    if family == UNIX:
        # What autobind has chosen are five digits in hexadecimal.
        return "unix any" if len(data) == 8 and data[2] == 0 else f"unix {data[2:]!r}"
    if family in {INET, INET6} and len(data) >= 4:
        chosen = int.from_bytes(data[2:4], "big")
        return f"{family} {'any' if chosen >= FIRST_EPHEMERAL else chosen} {data[4:].hex()}"
    return data.hex()


def address_at(place: int, length_at: int) -> Show:
    """Show the address that a call has left, as far as there was room, and its length."""

    def show(data: bytes, result: int, naming: Naming) -> str:
        length = struct.unpack_from("<i", data, length_at)[0]
        room = len(data) - place if place > length_at else length_at - place
        return f"{length} {show_address(data[place : place + max(0, min(length, room))], naming)}"

    return show


# Sockets


def open_socket(make: Maker) -> None:
    """socket, and socketpair, most of which don't block."""
    domain = make.one(UNIX, UNIX, INET, INET, INET6)
    kind = make.one(STREAM, STREAM, DGRAM, SEQPACKET if domain == UNIX or make.odds(5) else STREAM)
    flags = (NONBLOCK if make.odds(85) else 0) | (CLOEXEC if make.odds(20) else 0)
    protocol = 0 if make.odds(90) else make.one(1, 6, 17, 255, -1)
    if (domain == UNIX and make.odds(50)) or make.odds(3):
        pair = make.call("socketpair", domain, kind | flags, protocol, At(0), data=bytes(8), show=show_two)
        make.descriptors += [Stored(pair, 0), Stored(pair, 4)]
        return
    make.opened(opened := make.call("socket", domain, kind | flags, protocol))
    if domain != UNIX and kind == STREAM:
        # Short segments wait for no acknowledgement, which would be a matter of time.
        make.call("setsockopt", Result(opened), SOL_TCP, TCP_NODELAY, At(0), 4, data=struct.pack("<i", 1))


def show_two(data: bytes, result: int, naming: Naming) -> str:
    """Two descriptors."""
    return str(struct.unpack_from("<ii", data)) if result == 0 else ""


def name_it(make: Maker) -> None:
    """bind, and what the names are."""
    descriptor = make.descriptor()
    if make.odds(60):
        name = address(make, domain_of(make, descriptor))
        make.call("bind", descriptor, At(0), len(name), data=name)
        return
    call = make.random.choice(("getsockname", "getpeername"))
    length = struct.pack("<i", make.one(128, 128, 128, 16, 2, 0, -1))
    make.call(call, descriptor, At(8), At(0), data=length + bytes(132), show=address_at(8, 0))


def connect(make: Maker) -> None:
    """listen, connect and accept4."""
    kind, descriptor = make.random.randrange(10), make.descriptor()
    if kind < 3:
        make.call("listen", descriptor, make.one(5, 5, 5, 1, 0, -1, 4096))
    elif kind < 7:
        name = address(make, domain_of(make, descriptor))
        if kind_of(descriptor) != (INET6, STREAM) or MAPPED not in name:
            # A stream of IPv6 that was refused by way of IPv4 hears nothing of an answer by IPv6 afterwards.
            make.call("connect", descriptor, At(0), len(name), data=name)
    else:
        length = struct.pack("<i", make.one(128, 128, 16, 0, -1))
        flags = (NONBLOCK if make.odds(80) else 0) | make.bits((CLOEXEC,), (1, 0o100))
        make.opened(
            make.call(
                "accept4", descriptor, At(8), At(0), flags, data=length + bytes(132), show=address_at(8, 0)
            )
        )


def shut_down(make: Maker) -> None:
    """shutdown, close, dup."""
    kind, descriptor = make.random.randrange(5), make.descriptor()
    if kind < 3:
        # Newer kernels tell a local sender that it was shut down, older ones that nobody is there.
        how = 0 if kind_of(descriptor) == (UNIX, DGRAM) else make.one(0, 1, 1, 2, 2, 3, -1)
        make.call("shutdown", descriptor, how)
    elif kind == 3:
        make.call("close", make.descriptor())
    else:
        make.opened(make.call("dup", make.descriptor()))


# Data


def text(make: Maker) -> bytes:
    """Some bytes that tell where they came from."""
    start = make.random.randrange(200)
    return bytes((start + at) % 251 for at in range(make.random.choice(LENGTHS)))


def send_flags(make: Maker) -> int:
    """Flags of sending."""
    return make.bits(
        (MSG_NOSIGNAL,), (MSG_OOB, MSG_OOB, MSG_DONTROUTE, MSG_MORE, MSG_DONTWAIT, 0x80, 0x200, 1 << 30), 25
    )


def receive_flags(make: Maker) -> int:
    """Flags of receiving."""
    unusual = (
        MSG_PEEK,
        MSG_PEEK,
        MSG_TRUNC,
        MSG_OOB,
        MSG_WAITALL,
        MSG_ERRQUEUE,
        MSG_DONTWAIT,
        MSG_PEEK | MSG_TRUNC,
    )
    return make.bits((), unusual, 35)


def send(make: Maker) -> None:
    """sendto, write and sendmsg."""
    descriptor, content, kind = make.descriptor(), text(make), make.random.randrange(10)
    name = address(make, domain_of(make, descriptor)) if make.odds(35) else b""
    if kind < 2:
        make.call("write", descriptor, At(0), len(content), data=content)
    elif kind < 6:
        data = content.ljust(TEXT_BYTES, b"\0") + name
        where: Argument = At(TEXT_BYTES) if name else 0
        make.call("sendto", descriptor, At(0), len(content), send_flags(make), where, len(name), data=data)
    else:
        control, passed = control_message(make)
        data, fixups = message(name, control, content, make.one(len(content), len(content), 1))
        flags = send_flags(make)
        make.call("sendmsg", descriptor, At(0), flags, data=data, fixups=(*fixups, *passed), show=nothing)


def control_message(make: Maker) -> tuple[bytes, tuple[tuple[int, int, Argument], ...]]:
    """Descriptors or credentials to be passed, most often none, and what is put in there."""
    kind = make.random.randrange(12)
    if kind < 3:
        count = make.one(1, 1, 2, 3)
        length = make.one(16 + 4 * count, 16 + 4 * count, 16 + 4 * count, 16, 12, 19, 1 << 31)
        control = struct.pack("<QII", length, SOL_SOCKET, SCM_RIGHTS).ljust(16 + 4 * count, b"\0")
        places = tuple((CONTROL + 16 + 4 * at, 4, make.descriptor()) for at in range(count))
        return control.ljust(16 + (4 * count + 7 & -8), b"\0"), places
    if kind == 3:
        uid, gid = make.one(0, 0, 0, 1), make.one(0, 0, 0, 2)
        control = struct.pack("<QIIiIIxxxx", 28, SOL_SOCKET, SCM_CREDENTIALS, 0, uid, gid)
        return control, ((CONTROL + 16, 4, make.pid()),)
    if kind == 4:
        return struct.pack(
            "<QIII4x", 20, make.one(0, 1, 41), make.one(1, 2, 3, 8, 50, 67), make.one(*VALUES) & 0xFFFFFFFF
        ), ()
    if kind == 5:
        return b"".join(said_of_packet(make) for _ in range(make.one(1, 1, 2))), ()
    return b"", ()


def said_of_packet(make: Maker) -> bytes:
    """What a control message says of a packet: where from, how far, how it's marked, when it's to go."""
    level, name, content = make.random.choice(PACKET_MESSAGES)
    if make.odds(20):
        content = content[: make.one(0, 1, 2, 4, 12)] + bytes(make.one(0, 1, 4, 16))
    elif make.odds(25) and len(content) >= 4:
        content = struct.pack("<i", make.one(0, 1, 2, 255, 256, -1, 64)) + content[4:]
    length = 16 + len(content) + (make.one(1, 8, -1, -4) if make.odds(6) else 0)
    return struct.pack("<QII", length, level, name) + content + bytes(-len(content) % 8)


def message(
    name: bytes, control: bytes, content: bytes, first: int
) -> tuple[bytes, tuple[tuple[int, int, Argument], ...]]:
    """A message's header and parts: two iovecs, of which the first has so many bytes."""
    first = min(first, len(content))
    header = struct.pack("<QIIQQQQII", 0, len(name), 0, 0, 2, 0, len(control), 0, 0)
    vectors = struct.pack("<QQQQ", 0, first, 0, len(content) - first)
    data = header.ljust(64, b"\0") + vectors
    data += (
        name[:NAME_BYTES].ljust(NAME_BYTES, b"\0")
        + control[:CONTROL_BYTES].ljust(CONTROL_BYTES, b"\0")
        + content
    )
    fixups: list[tuple[int, int, Argument]] = [(16, 8, At(64)), (64, 8, At(TEXT)), (80, 8, At(TEXT + first))]
    if name:
        fixups.append((0, 8, At(NAME)))
    if control:
        fixups.append((32, 8, At(CONTROL)))
    return data, tuple(fixups)


def nothing(data: bytes, result: int, naming: Naming) -> str:
    """Show nothing of what there is."""
    return ""


def receive(make: Maker) -> None:
    """recvfrom, read and recvmsg."""
    descriptor, length, kind = make.descriptor(), make.random.choice(LENGTHS), make.random.randrange(10)
    if kind < 2:
        make.call("read", descriptor, At(0), length, data=bytes(length))
    elif kind < 6:
        room = make.one(128, 128, 16, 2, 0, -1)
        data = struct.pack("<i4x", room) + bytes(128) + bytes(length)
        flags = receive_flags(make)
        make.call(
            *("recvfrom", descriptor, At(136), length, flags, At(8), At(0)), data=data, show=show_received
        )
    else:
        name, control = bytes(make.one(0, 128, 16, 2)), bytes(make.one(0, 128, 128, 24, 16, 20, 8))
        data, fixups = message(name, control, bytes(length), make.one(length, length, 1))
        flags = receive_flags(make) | (1 << 30 if make.odds(20) else 0)
        make.call("recvmsg", descriptor, At(0), flags, data=data, fixups=fixups, show=show_message)


def show_received(data: bytes, result: int, naming: Naming) -> str:
    """The sender's address and the data."""
    if result < 0:
        return ""
    length = struct.unpack_from("<i", data)[0]
    return f"{length} {show_address(data[8 : 8 + max(0, min(length, 128))], naming)} {digest(data[136:])}"


def show_message(data: bytes, result: int, naming: Naming) -> str:
    """What is said of a message, its control messages and the data."""
    if result < 0:
        return ""
    name_bytes, control_bytes, flags = (struct.unpack_from("<I", data, at)[0] for at in (8, 40, 48))
    name = show_address(data[NAME : NAME + min(name_bytes, NAME_BYTES)], naming)
    control = " ".join(control_parts(data[CONTROL : CONTROL + control_bytes], naming))
    return f"{flags:#x} {name_bytes} {name} {control_bytes} [{control}] {digest(data[TEXT:])}"


def control_parts(control: bytes, naming: Naming) -> list[str]:
    """Each control message, its ids named."""
    parts, at = [], 0
    while at + 16 <= len(control):
        length, level, kind = struct.unpack_from("<QII", control, at)
        content = control[at + 16 : at + length]
        if (level, kind) == (SOL_SOCKET, SCM_CREDENTIALS) and len(content) >= 12:
            pid, uid, gid = struct.unpack_from("<iII", content)
            parts.append(f"credentials {naming.pid(pid)} {uid} {gid}")
        elif (level, kind) in {(SOL_SOCKET, 29), (SOL_SOCKET, 35), (SOL_SOCKET, 37)}:
            parts.append(f"time {length}")
        else:
            parts.append(f"{level}/{kind} {content.hex()}")
        if length < 16:
            break
        at += length + 7 & -8
    return parts


# What is told and set


def look(make: Maker) -> None:
    """poll, and ioctl's questions."""
    descriptor, kind = make.descriptor(), make.random.randrange(8)
    if kind < 4:
        data = struct.pack("<ihh", 0, make.one(0x7FF, 0x7FF, 1, 4, 0x2000), 0)
        make.call("poll", At(0), 1, 0, data=data, fixups=((0, 4, descriptor),), show=show_poll)
    elif kind == 4:
        make.call("ioctl", descriptor, FIONBIO, At(0), data=struct.pack("<i", make.one(0, 1, 1)))
    elif kind == 5:
        make.call("ioctl", descriptor, FIOSETOWN, At(0), data=struct.pack("<i", make.one(0, 0x3FFFFFFF)))
    else:
        # What is in the way depends on acknowledgements, which take their time.
        request = FIONREAD if make.odds(60) or kind_of(descriptor)[0] != UNIX else SIOCOUTQ
        request = SIOCATMARK if make.odds(15) else request
        make.call("ioctl", descriptor, request, At(0), data=bytes(4))


def show_poll(data: bytes, result: int, naming: Naming) -> str:
    """The events."""
    return hex(struct.unpack_from("<H", data, 6)[0])


def option(make: Maker) -> None:
    """getsockopt and setsockopt."""
    descriptor = make.descriptor()
    level, name = make.random.choice(OPTIONS)
    domain = domain_of(make, descriptor)
    if level not in {SOL_SOCKET, SOL_IPV6 if domain == INET6 else SOL_IP} and make.odds(50):
        level, name = make.random.choice(OPTIONS[:36])
    size = 4 if make.odds(80) else make.one(0, 1, 2, 3, 8, 12, 16, -1)
    if make.odds(50):
        data = struct.pack("<i", size) + b"\xaa" * 64
        make.call("getsockopt", descriptor, level, name, At(4), At(0), data=data)
    else:
        data = struct.pack("<Q", make.one(*VALUES) & (1 << 64) - 1).ljust(64, b"\0")
        make.call("setsockopt", descriptor, level, name, At(0), size, data=data)


def several(make: Maker) -> None:
    """sendmmsg, recvmmsg, accept."""
    descriptor, kind = make.descriptor(), make.random.randrange(8)
    count = make.one(1, 2, 2, 3)
    if kind == 0:
        make.opened(make.call("accept", descriptor, 0, 0, result="none" if make.odds(1) else "int"))
        return
    headers, rest, fixups = b"", b"", list[tuple[int, int, Argument]]()
    for number in range(count):
        content = text(make)[:100].ljust(104, b"\0")
        start = 64 * 4 + 128 * number
        length = make.one(0, 1, 10, 100)
        headers += struct.pack("<QIIQQQQIIII", 0, 0, 0, 0, 1, 0, 0, 0, 0, 0x77, 0)
        rest += struct.pack("<QQ", 0, length) + content + bytes(8)
        fixups += [(64 * number + 16, 8, At(start)), (start, 8, At(start + 16))]
    data = headers.ljust(256, b"\0") + rest
    said = count if make.odds(92) else make.one(0, 1025, -1)
    if kind < 4:
        flags = send_flags(make)
        make.call(
            "sendmmsg",
            descriptor,
            At(0),
            said,
            flags,
            data=data,
            fixups=tuple(fixups),
            show=show_lengths(count),
        )
    else:
        flags = receive_flags(make) | MSG_DONTWAIT | make.bits((), (0x10000,), 20)
        data += struct.pack("<qq", make.one(0, 0, 5, -1), make.one(0, 0, 1_000_000_000))
        time: Argument = At(len(data) - 16) if make.odds(30) else 0
        make.call(
            *("recvmmsg", descriptor, At(0), min(said, count) if said > 0 else said, flags, time),
            data=data, fixups=tuple(fixups), show=show_lengths(count),
        )  # fmt: skip


def show_lengths(count: int) -> Show:
    """How much each message had, with which flags."""

    def show(data: bytes, result: int, naming: Naming) -> str:
        shown = []
        for number in range(count):
            flags, length = struct.unpack_from("<II", data, 64 * number + 48)[0], 0
            length = struct.unpack_from("<I", data, 64 * number + 56)[0]
            shown.append(
                f"{flags:#x}:{length}:{digest(data[256 + 128 * number + 16 : 256 + 128 * number + 120])}"
            )
        return " ".join(shown) if result >= 0 else ""

    return show


INTERFACES = (b"lo", b"lo", b"lo", b"none", b"", b"lo:1", b"x" * 16)
# What is asked of an interface: its names and numbers, flags, address, mask, metric, MTU, queue, type.
QUESTIONS = (0x8910, 0x8913, 0x8915, 0x8917, 0x8919, 0x891B, 0x891D, 0x8921, 0x8927, 0x8933, 0x8942, 0x8970)
CHANGES = (0x8914, 0x8916, 0x891C, 0x8922, 0x8943, 0x891E, 0x8924, 0x8923)


def ask_interface(make: Maker) -> None:
    """SIOCGIFFLAGS and its kin, SIOCGIFCONF, and what changes the loopback."""
    descriptor, kind = make.descriptor(), make.random.randrange(10)
    name = make.random.choice(INTERFACES)[:16].ljust(16, b"\0")
    if kind < 6:
        data = name + struct.pack("<i", make.one(1, 0, 2, -1)) + bytes(20)
        make.call("ioctl", descriptor, make.one(*QUESTIONS), At(0), data=data)
    elif kind < 9:
        request = make.one(*CHANGES)
        value = struct.pack("<i", make.one(0x49, 0x48 | 1, 1500, 65536, 0, -1, 1000))
        if request in {0x8916, 0x891C}:
            address_of = socket.inet_aton(
                make.random.choice(("127.0.0.1", "127.0.0.1", "255.0.0.0", "255.255.0.0"))
            )
            value = struct.pack("<HH4s", INET, 0, address_of)
        elif request == 0x8914:
            # It stays up: what waits for whom else is a matter of time.
            value = struct.pack("<H", make.one(0x49, 0x49, 0x41))
        make.call("ioctl", descriptor, request, At(0), data=(name + value).ljust(40, b"\0"))
    else:
        data = struct.pack("<i4xQ", make.one(80, 40, 0, 39), 0) + bytes(80)
        fixups = ((8, 8, At(16)),) if make.odds(85) else ()
        make.call("ioctl", descriptor, 0x8912, At(0), data=data, fixups=fixups, show=show_interfaces)


def show_interfaces(data: bytes, result: int, naming: Naming) -> str:
    """How much SIOCGIFCONF told, and what."""
    length = struct.unpack_from("<i", data)[0]
    return f"{length} {data[16 : 16 + max(0, min(length, 80))].hex()}" if result == 0 else ""


def fork(make: Maker) -> None:
    """fork, but for not more than a few."""
    if len(make.actors) < 4:
        make.spawn("fork")


FAMILIES: tuple[Callable[[Maker], None], ...] = (
    *(open_socket,) * 3,
    *(name_it,) * 4,
    *(connect,) * 6,
    shut_down,
    *(send,) * 7,
    *(receive,) * 7,
    *(look,) * 3,
    *(option,) * 3,
    *(several, ask_interface) * 2,
    fork,
    identify,
)
