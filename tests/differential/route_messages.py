"""Shows what rtnetlink has answered, but for what depends on time and on the host."""

from __future__ import annotations

import struct

from tests.differential.script import Naming

_ERROR, _DONE = 2, 3
_LINKS, _ADDRESSES, _ROUTES, _NEIGHBOURS = (16, 17, 18, 19), (20, 21, 22), (24, 25, 26), (28, 29, 30)
_CONFIGURATIONS, _RULES, _HOPS = (80, 82), (32, 33, 34), (104, 105, 106)
_HEADERS = {_HOPS: 8, _CONFIGURATIONS: 4, _RULES: 12, _LINKS: 16, _ADDRESSES: 8, _ROUTES: 12, _NEIGHBOURS: 12}
_TYPE, _MULTI = 0x3FFF, 2
_OF_SEVERAL, _OF_WAY = frozenset((5, 9)), frozenset((4, 5, 7, 9))
# How many have been sent, at which moment the carrier came, how many queues each processor makes, which of
# XDP's programs there are, what each protocol adds.
_UNTOLD_OF_LINKS = frozenset((16, 35, 47, 48, 23, 7, 43, 26, 14, 31, 32, 62, 65, 62, 6))
_INET6, _BRIDGED, _MULTICAST, _SOURCE = 10, 7, 5, 2
_RUNNING = 0x40 | 0x10000
_GIVEN = (bytes(5), b"\2" + bytes(4), b"\1" * 5)
_SELF, _LASTING = 2, 0xC0
_SET_OF_BRIDGES = frozenset((1, 2, 3, 4, 5, 6, 9, 20, 49))
_SET_OF_PORTS = frozenset((2, 3, 4, 5, 6, 7, 8, 9, 17, 18, 27, 28, 30, 31, 33))
_TENTATIVE = 0x40
# The masks of what rules look at, which are newer than Linux 6.13: FRA_FLOWLABEL and those behind it.
_UNTOLD_OF_RULES = frozenset(range(26, 31))
_CACHE_OF_ADDRESS, _FLAGS_OF_ADDRESS, _CACHE_OF_ROUTE, _CACHE_OF_NEIGHBOUR = 6, 8, 12, 3


def show_answers(data: bytes, result: int, naming: Naming) -> str:
    """Each message that was received at once."""
    shown: list[str] = []
    hashed: list[str] = []
    at = 0
    while result - at >= 16:
        length, kind, flags, sequence, port = struct.unpack_from("<IHHII", data, at)
        body = data[at + 16 : at + length]
        told = _show_body(kind, flags, body)
        if told and flags & _MULTI and kind in _NEIGHBOURS:
            # In the order of a hash that differs from boot to boot.
            hashed.append(f"{kind} {flags:#x} {sequence} {port} {told}")
        elif told:
            shown += sorted(hashed)
            hashed.clear()
            shown.append(f"{kind} {flags:#x} {sequence} {port} {told}")
        if length < 16:
            break
        at += length + 3 & ~3
    return "; ".join(shown + sorted(hashed))


def _show_body(kind: int, flags: int, body: bytes) -> str:
    if kind == _ERROR:
        code = struct.unpack_from("<i", body)[0]
        copied = 20 if flags & 0x100 else 4 + struct.unpack_from("<I", body, 4)[0]
        told = _attributes(body[copied + 3 & ~3 :]) if flags & 0x200 else []
        return f"error {code} {len(body[4:copied])} " + " ".join(
            data.partition(b"\0")[0].decode() if name == 1 else f"{name}={data.hex()}" for name, data in told
        )
    if kind == _DONE:
        return f"done {body.hex()}"
    for kinds, size in _HEADERS.items():
        if kind in kinds:
            return _show_object(kinds, flags, body[:size], _attributes(body[size:]))
    return body.hex()


def _attributes(body: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while len(body) - at >= 4:
        length, name = struct.unpack_from("<HH", body, at)
        found.append((name & _TYPE, body[at + 4 : at + length]))
        if length < 4:
            break
        at += length + 3 & ~3
    return found


def _show_object(
    kinds: tuple[int, ...], flags: int, header: bytes, attributes: list[tuple[int, bytes]]
) -> str:
    if kinds == _LINKS and len(header) == 16:
        status = struct.unpack_from("<I", header, 8)[0] & ~_RUNNING
        header = header[:8] + struct.pack("<I", status) + header[12:]
        attributes = [(name, data) for name, data in attributes if name not in _UNTOLD_OF_LINKS]
        # What isn't given is chosen at random.
        attributes = [each for each in attributes if each[0] != 1 or each[1][:5] in _GIVEN]
        attributes = [(name, _information(data) if name == 18 else data) for name, data in attributes]
        if header[0] == _BRIDGED:
            attributes = [
                (name, _chosen(data, _SET_OF_PORTS) if name == 12 else data) for name, data in attributes
            ]
    elif kinds == _RULES:
        attributes = [(name, data) for name, data in attributes if name not in _UNTOLD_OF_RULES]
    elif kinds == _ADDRESSES:
        header = header[:2] + bytes((header[2] & ~_TENTATIVE,)) + header[3:]
        attributes = [(name, _of_address(name, data)) for name, data in attributes]
    elif kinds == _ROUTES:
        if header[0] == _INET6:
            # Whether sources have routes of their own is the configuration's.
            header = header[:2] + b"\0" + header[3:]
            attributes = [(name, data) for name, data in attributes if name != _SOURCE]
            if not flags & _MULTI and any(name in _OF_SEVERAL for name, _ in attributes):
                # Which of several ways is taken, chance decides.
                attributes = [(name, data) for name, data in attributes if name not in _OF_WAY]
        attributes = [(name, _expiry(data) if name == _CACHE_OF_ROUTE else data) for name, data in attributes]
    elif kinds == _NEIGHBOURS:
        if header[-1] == _MULTICAST:
            # Of groups, that the host joins in its own time.
            return ""
        if header[0] == _BRIDGED:
            # The host joins groups and sends something in its own time.
            address = next((data for name, data in attributes if name == 2), b"")
            is_told = not header[10] & _SELF and header[8] & _LASTING and address[:5] in _GIVEN
            if not is_told:
                return ""
        attributes = [(name, b"" if name == _CACHE_OF_NEIGHBOUR else data) for name, data in attributes]
    return f"{header.hex()} " + " ".join(f"{name}={data.hex()}" for name, data in attributes)


def _information(data: bytes) -> bytes:
    """The kinds of an interface and of its master, and what was set of a bridge and of a port."""
    kinds = b" ".join(told for name, told in _attributes(data) if name in {1, 4})
    for name, told in _attributes(data):
        if name in {2, 5}:
            kinds += _chosen(told, _SET_OF_BRIDGES if name == 2 else _SET_OF_PORTS)
    return kinds


def _chosen(data: bytes, names: frozenset[int]) -> bytes:
    return b"".join(
        b" %d=%s" % (name, told.hex().encode()) for name, told in _attributes(data) if name in names
    )


def _of_address(name: int, data: bytes) -> bytes:
    if name == _CACHE_OF_ADDRESS:
        return b"".join(_span(data[at : at + 4]) for at in (0, 4))
    if name == _FLAGS_OF_ADDRESS and len(data) == 4:
        return struct.pack("<I", struct.unpack("<I", data)[0] & ~_TENTATIVE)
    return data


def _expiry(data: bytes) -> bytes:
    """When a route of IPv6 ends, and the error that it leads to."""
    return data[8:9] + data[12:16] if len(data) == 32 and not any(data[8:12]) else b"some" + data[12:16]


def _span(data: bytes) -> bytes:
    """Some seconds, not to the second."""
    return (
        data
        if data in {b"\xff" * 4, bytes(4)}
        else struct.pack("<I", (struct.unpack("<I", data)[0] + 9) // 10)
    )
