"""Address translation: what a connection's packets are changed to, there and back (nft(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.abi.nftables import ConnectionStatus, Hook, NatFlag
from procession.abi.word import Words, pack_address, pack_port
from procession.net.internet.icmp import with_checksum
from procession.net.internet.packet import (
    ICMP,
    ICMP6,
    IPV4_HEADER_BYTES,
    IPV6_HEADER_BYTES,
    TCP,
    UDP,
    UDP_LITE,
    checksum,
)
from procession.net.netfilter.tracking import MESSAGE_HEADER_BYTES, turned

if TYPE_CHECKING:
    from procession.net.internet.packet import Packet
    from procession.net.netfilter.passing import Passing
    from procession.net.netfilter.tracking import Connection, Tracked, Tracker, Tuple

SOURCE_HOOKS = 1 << int(Hook.NF_INET_POST_ROUTING) | 1 << int(Hook.NF_INET_LOCAL_IN)
"""A bit for each hook where sources are changed, and targets of answers; at the others it's the other way
round."""
_SOURCE, _TARGET = int(ConnectionStatus.IPS_SRC_NAT), int(ConnectionStatus.IPS_DST_NAT)
_BOTH = _SOURCE | _TARGET
_SOURCE_DONE, _TARGET_DONE = int(ConnectionStatus.IPS_SRC_NAT_DONE), int(ConnectionStatus.IPS_DST_NAT_DONE)
ADDRESSES, PORTS = int(NatFlag.NF_NAT_RANGE_MAP_IPS), int(NatFlag.NF_NAT_RANGE_PROTO_SPECIFIED)
_RANDOM = int(NatFlag.NF_NAT_RANGE_PROTO_RANDOM | NatFlag.NF_NAT_RANGE_PROTO_RANDOM_FULLY)
_PERSISTENT, _OFFSET = int(NatFlag.NF_NAT_RANGE_PERSISTENT), int(NatFlag.NF_NAT_RANGE_PROTO_OFFSET)
_WITH_PORTS = (TCP, UDP, UDP_LITE)
_MOST_ATTEMPTS, _LEAST_ATTEMPTS = 128, 16
_WORD = 0xFFFFFFFF
_WORDS = Words("<IIII")
_CHECKSUM_PLACES = {TCP: 16, UDP: 6, UDP_LITE: 6, ICMP: 2, ICMP6: 2}
_IDENTIFIER_PLACE = 4
_IDENTIFIED = {ICMP: (0, 8, 13, 14, 15, 16, 17, 18), ICMP6: (128, 129)}
"""The types of messages that have an identifier."""


class Span(NamedTuple):
    """What addresses and ports may be changed to (Linux: include/uapi/linux/netfilter/nf_nat.h, struct
    nf_nat_range2). `flags` are those of NF_NAT_RANGE_*."""

    flags: int
    first: bytes = b""
    last: bytes = b""
    first_port: int = 0
    last_port: int = 0
    base_port: int = 0


def changes_source(passing: Passing) -> bool:
    """Whether it's sources that are changed at this hook. Linux: include/net/netfilter/nf_nat.h,
    HOOK2MANIP."""
    return bool(SOURCE_HOOKS >> passing.hook & 1)


def is_translated(passing: Passing, tracked: Tracked) -> bool:
    """Whether it's settled what the connection's packets are changed to at this hook.

    Linux: include/net/netfilter/nf_nat.h, nf_nat_initialized.
    """
    return bool(tracked.connection.status & (_SOURCE_DONE if changes_source(passing) else _TARGET_DONE))


def translate_to_itself(passing: Passing, tracked: Tracked) -> None:
    """No rule says anything: only what is taken already is changed.

    Linux: net/netfilter/nf_nat_core.c, nf_nat_alloc_null_binding.
    """
    answer = tracked.connection.answer
    same = answer[3] if changes_source(passing) else answer[1]
    settle(passing, tracked, Span(ADDRESSES, same, same))


def settle(passing: Passing, tracked: Tracked, span: Span) -> None:
    """The connection's packets are changed to what is in `span` from now on.

    Linux: net/netfilter/nf_nat_core.c, nf_nat_setup_info.
    """
    connection = tracked.connection
    tracker = passing.network.tracker
    current = turned(connection.answer)
    assert tracker is not None
    assert current is not None
    is_source = changes_source(passing)
    new = _choose(tracker, connection, current, span, is_source=is_source)
    if new != current:
        answer = turned(new)
        assert answer is not None
        connection.answer = answer
        connection.status |= _SOURCE if is_source else _TARGET
    connection.status |= _SOURCE_DONE if is_source else _TARGET_DONE


# Choosing


def _is_taken(tracker: Tracker, connection: Connection, key: Tuple) -> bool:
    """Whether answers to it would be another connection's.

    Linux: net/netfilter/nf_nat_core.c, nf_nat_used_tuple.
    """
    answer = turned(key)
    found = tracker.find(answer) if answer is not None else None
    return found is not None and found is not connection


def _is_within(key: Tuple, span: Span, *, is_source: bool) -> bool:
    """Linux: net/netfilter/nf_nat_core.c, nf_in_range."""
    if span.flags & ADDRESSES and not span.first <= key[1] <= span.last:
        return False
    return not span.flags & PORTS or _has_port_within(key, span, is_source=is_source)


def _has_port_within(key: Tuple, span: Span, *, is_source: bool) -> bool:
    """Linux: net/netfilter/nf_nat_core.c, l4proto_in_range."""
    if key[0] in _IDENTIFIED:
        return span.first_port <= key[2] <= span.last_port
    if key[0] not in _WITH_PORTS:
        return True
    return span.first_port <= (key[2] if is_source else key[4]) <= span.last_port


def _choose(tracker: Tracker, connection: Connection, key: Tuple, span: Span, *, is_source: bool) -> Tuple:
    """What a connection's first packet, `key` so far, becomes.

    Linux: net/netfilter/nf_nat_core.c, get_unique_tuple.
    """
    is_random = span.flags & _RANDOM
    is_good = is_source and not is_random and _is_within(key, span, is_source=True)
    if is_good and not _is_taken(tracker, connection, key):
        return key
    key = _with_address(key, span, is_source=is_source)
    if not is_random:
        if not span.flags & PORTS:
            if not _is_taken(tracker, connection, key):
                return key
        elif (
            not span.flags & _OFFSET
            and _has_port_within(key, span, is_source=is_source)
            and (span.first_port == span.last_port or not _is_taken(tracker, connection, key))
        ):
            return key
    return _with_port(tracker, connection, key, span, is_source=is_source)


def _with_address(key: Tuple, span: Span, *, is_source: bool) -> Tuple:
    """Linux: net/netfilter/nf_nat_core.c, find_best_ips_proto."""
    protocol, source, port, target, target_port = key
    if not span.flags & ADDRESSES:
        return key
    own = span.first if span.first == span.last else _spread(source, target, span)
    return (
        (protocol, own, port, target, target_port)
        if is_source
        else (protocol, source, port, own, target_port)
    )


def _spread(source: bytes, target: bytes, span: Span) -> bytes:
    """Which address of several: the same for the same ends."""
    targets = _WORDS.unpack(target.ljust(16, b"\0"))
    is_persistent = bool(span.flags & _PERSISTENT)
    last_word = len(target) // 4 - 1
    number = _hash(_WORDS.unpack(source.ljust(16, b"\0")), 0 if is_persistent else targets[last_word])
    found, is_below = b"", False
    for at in range(0, len(target), 4):
        first, last = (int.from_bytes(bound[at : at + 4], "big") for bound in (span.first, span.last))
        if is_below:
            word = number * _WORD >> 32
        else:
            word = first + (number * (last - first + 1 & _WORD) >> 32) & _WORD
        found += pack_address(word, 4)
        is_below = is_below or word != last
        if not is_persistent:
            number ^= targets[at // 4]
    return found


def _hash(words: tuple[int, ...], start: int) -> int:
    """Bob Jenkins' hash of words. Linux: include/linux/jhash.h, jhash2."""
    a = b = c = 0xDEADBEEF + (len(words) << 2) + start & _WORD
    rest = list(words)
    while len(rest) > 3:
        a, b, c = a + rest[0] & _WORD, b + rest[1] & _WORD, c + rest[2] & _WORD
        for turn in (4, 6, 8, 16, 19, 4):
            a = (a - c ^ _turn_left(c, turn)) & _WORD
            c = c + b & _WORD
            a, b, c = b, c, a
        del rest[:3]
    rest += [0] * (3 - len(rest))
    a, b, c = a + rest[0] & _WORD, b + rest[1] & _WORD, c + rest[2] & _WORD
    for turn in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _turn_left(b, turn) & _WORD
        a, b, c = b, c, a
    return b


def _turn_left(word: int, count: int) -> int:
    return (word << count | word >> 32 - count) & _WORD


def _with_port(tracker: Tracker, connection: Connection, key: Tuple, span: Span, *, is_source: bool) -> Tuple:
    """The first port that is free, of a few that are tried, or the last of these.

    Linux: net/netfilter/nf_nat_core.c, nf_nat_l4proto_unique_tuple.
    """
    has_identifier = key[0] in _IDENTIFIED
    if not has_identifier and key[0] not in _WITH_PORTS:
        return key
    place = 2 if has_identifier or is_source else 4
    own = key[2] if place == 2 else key[4]
    if span.flags & PORTS:
        least, most = sorted((span.first_port, span.last_port))
    elif has_identifier:
        least, most = 0, 0xFFFF
    elif not is_source:
        return key
    elif own < 512:
        least, most = 1, 511
    elif own < 1_024:
        least, most = 600, 1_023
    else:
        least, most = 1_024, 0xFFFF
    count = most - least + 1
    host = tracker.network.host
    if span.flags & _OFFSET:
        offset = own - span.base_port & 0xFFFF
    elif span.flags & _RANDOM or is_source:
        offset = int.from_bytes(host.random_bytes(2), "little")
    else:
        offset = 0
    attempts = min(count, _MOST_ATTEMPTS)
    while True:
        for _ in range(attempts):
            port = least + offset % count
            key = (*key[:2], port, *key[3:]) if place == 2 else (*key[:4], port)
            if not _is_taken(tracker, connection, key):
                return key
            offset += 1
        if attempts >= count or attempts < _LEAST_ATTEMPTS:
            return key
        attempts //= 2
        offset = int.from_bytes(host.random_bytes(2), "little")


# Changing


def translate(passing: Passing, tracked: Tracked) -> None:
    """Give a packet the addresses that its connection has at this hook.

    Linux: net/netfilter/nf_nat_core.c, nf_nat_packet; net/netfilter/nf_nat_proto.c, nf_nat_manip_pkt.
    """
    is_source = changes_source(passing)
    if not tracked.connection.status & _bit_of(tracked, is_source=is_source):
        return
    wanted = turned(_other_tuple(tracked))
    assert wanted is not None
    packet = passing.packet
    address, port = (wanted[1], wanted[2]) if is_source else (wanted[3], wanted[4])
    if packet.protocol in _IDENTIFIED:
        port = wanted[2]
    old = packet.source if is_source else packet.target
    if packet.protocol in (UDP, UDP_LITE):
        if packet.written is not None:
            packet.written = _changed(
                packet.written, packet.protocol, old, address, port, is_source=is_source
            )
        if is_source:
            packet.source_port = port
        else:
            packet.target_port = port
    else:
        packet.data = _changed(packet.data, packet.protocol, old, address, port, is_source=is_source)
    _set_address(packet, address, is_source=is_source)
    passing.look_again()


def _bit_of(tracked: Tracked, *, is_source: bool) -> int:
    bit = _SOURCE if is_source else _TARGET
    return bit ^ _BOTH if tracked.is_answer else bit


def _other_tuple(tracked: Tracked) -> Tuple:
    connection = tracked.connection
    return connection.original if tracked.is_answer else connection.answer


def _set_address(packet: Packet, address: bytes, *, is_source: bool) -> None:
    if is_source:
        packet.source = address
    else:
        packet.target = address


def _changed(data: bytes, protocol: int, old: bytes, address: bytes, port: int, *, is_source: bool) -> bytes:
    """What is behind a header of IP, with another port or identifier, and the checksum that follows.

    Of IPv6's and of TCP the checksum is of the addresses too. Linux: net/netfilter/nf_nat_proto.c,
    l4proto_manip_pkt.
    """
    place = _CHECKSUM_PLACES.get(protocol)
    if place is None or len(data) < 8:
        return data
    at = 0 if is_source else 2
    if protocol in _IDENTIFIED:
        if data[0] not in _IDENTIFIED[protocol]:
            return data
        at = _IDENTIFIER_PLACE
    before, after = data[at : at + 2], pack_port(port)
    if protocol != ICMP:
        before, after = before + old, after + address
    data = data[:at] + pack_port(port) + data[at + 2 :]
    found = data[place : place + 2]
    if len(found) < 2 or (found == b"\0\0" and protocol in _WITH_PORTS):
        # It was never made, or is cut off.
        return data
    return data[:place] + adjusted_checksum(found, before, after) + data[place + 2 :]


def adjusted_checksum(found: bytes, before: bytes, after: bytes) -> bytes:
    """A checksum of data of which a part was `before` and is `after` now (RFC 1624)."""
    inverted = (~int.from_bytes(found, "big") & 0xFFFF, checksum(before), ~checksum(after) & 0xFFFF)
    return pack_port(checksum(b"".join(map(pack_port, inverted))))


def translate_message(passing: Passing, tracked: Tracked) -> None:
    """A message of ICMP about a packet of the connection: the packet that it quotes becomes what its sender
    knows. Linux: net/netfilter/nf_nat_proto.c, nf_nat_icmp_reply_translation,
    nf_nat_icmpv6_reply_translation.
    """
    is_source = changes_source(passing)
    if not tracked.connection.status & _bit_of(tracked, is_source=is_source):
        return
    packet = passing.packet
    wanted = _other_tuple(tracked)
    outer = turned(wanted)
    assert outer is not None
    quoted = _changed_quotation(packet.data[MESSAGE_HEADER_BYTES:], wanted, is_source=not is_source)
    _set_address(packet, outer[1] if is_source else outer[3], is_source=is_source)
    message = packet.data[:MESSAGE_HEADER_BYTES] + quoted
    packet.data = with_checksum(message, packet.source, packet.target)
    packet.is_quoting_anew = True
    passing.look_again()


def _changed_quotation(quoted: bytes, wanted: Tuple, *, is_source: bool) -> bytes:
    """The header of IP and what is behind it; that it's long enough was seen when it was tracked."""
    if len(wanted[1]) == 4:
        size, start, length = (quoted[0] & 15) * 4, 12, 4
        protocol = quoted[9]
        assert len(quoted) >= IPV4_HEADER_BYTES
    else:
        size, start, length = IPV6_HEADER_BYTES, 8, 16
        protocol = quoted[6]
    address, port = (wanted[1], wanted[2]) if is_source else (wanted[3], wanted[4])
    if protocol in _IDENTIFIED:
        port = wanted[2]
    at = start if is_source else start + length
    header, old = quoted[:size], quoted[at : at + length]
    header = header[:at] + address + header[at + length :]
    if length == 4:
        header = header[:10] + adjusted_checksum(header[10:12], old, address) + header[12:]
    return header + _changed(quoted[size:], protocol, old, address, port, is_source=is_source)
