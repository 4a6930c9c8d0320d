"""iptables' matches, which are expressions of its rules (iptables-extensions(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, ENOENT, EOPNOTSUPP, ERANGE
from procession.abi.nftables import MatchAttribute
from procession.abi.word import Words
from procession.net.internet.packet import ICMP, ICMP6, TCP, UDP, UDP_LITE
from procession.net.netfilter.extension import Extension, extension_in
from procession.net.netfilter.fib import address_type
from procession.net.netfilter.limit import Bucket
from procession.net.netfilter.passing import IPV4, IPV6
from procession.net.netfilter.verdict import NO_MATCH

if TYPE_CHECKING:
    from procession.net.netfilter.expression import Reading
    from procession.net.netfilter.passing import Passing
    from procession.net.netfilter.verdict import Verdict

_WITH_PORTS = (TCP, UDP, UDP_LITE)
_PORTS = Words(">HH")
_SCALE, _CREDITS = 10_000, 32_000
"""XT_LIMIT_SCALE, in whose parts of a second iptables counts, and in whose the kernel does."""
_SCALE_NS = 10**9 // _SCALE
_WORD = 0xFFFFFFFF


class Match(Extension):
    """A match (Linux: net/netfilter/nft_compat.c, nft_match_eval).

    `protocol` is the only one whose packets it's for, 0 for all.
    """

    __slots__ = ()

    name = b"match"
    kinds = (
        int(MatchAttribute.NFTA_MATCH_NAME),
        int(MatchAttribute.NFTA_MATCH_REV),
        int(MatchAttribute.NFTA_MATCH_INFO),
    )
    protocol: ClassVar[int] = 0

    def __init__(self, reading: Reading, info: bytes) -> None:
        super().__init__(reading, info)
        if self.protocol and reading.protocol != self.protocol:
            raise EINVAL("a match of another protocol")
        self.check()

    def check(self) -> None:
        """Raise EINVAL, EOPNOTSUPP for what it can't match."""

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        return None if self.matches(passing) else NO_MATCH

    def matches(self, passing: Passing) -> bool:
        """Whether it matches a packet."""
        raise NotImplementedError


def _ports_of(passing: Passing) -> tuple[int, int] | None:
    whole, at = passing.whole, passing.transport_offset
    if passing.packet.protocol not in _WITH_PORTS or len(whole) < at + _PORTS.size:
        return None
    source, target = _PORTS.unpack_from(whole, at)
    return source, target


class CommentMatch(Match):
    """Linux: net/netfilter/xt_comment.c, comment_mt."""

    __slots__ = ()

    title = b"comment"
    info_bytes = 256

    def matches(self, passing: Passing) -> bool:
        return True


class TcpMatch(Match):
    """Linux: net/netfilter/xt_tcpudp.c, tcp_mt; include/uapi/linux/netfilter/xt_tcpudp.h, struct xt_tcp."""

    __slots__ = ()

    title = b"tcp"
    info_bytes = 16
    protocol = TCP
    layout: ClassVar[Words] = Words("<HHHHBBBB")
    _not_source: ClassVar[int] = 1
    _not_target: ClassVar[int] = 2
    _not_flags: ClassVar[int] = 4
    _not_option: ClassVar[int] = 8

    def check(self) -> None:
        option, inverted = self.info[8], self.info[11]
        if inverted & ~0xF:
            raise EINVAL("no such inversion")
        if option:
            raise EOPNOTSUPP("segments have no options to look for")

    def matches(self, passing: Passing) -> bool:
        first, last, target_first, target_last, _, mask, flags, inverted = self.layout.unpack_from(self.info)
        ports = _ports_of(passing)
        whole, at = passing.whole, passing.transport_offset
        if ports is None or passing.packet.protocol != TCP or len(whole) < at + 20:
            return False
        has_source = (first <= ports[0] <= last) != bool(inverted & self._not_source)
        has_target = (target_first <= ports[1] <= target_last) != bool(inverted & self._not_target)
        has_flags = (whole[at + 13] & mask == flags) != bool(inverted & self._not_flags)
        return bool(has_source and has_target and has_flags)


class UdpMatch(Match):
    """Linux: net/netfilter/xt_tcpudp.c, udp_mt; include/uapi/linux/netfilter/xt_tcpudp.h, struct xt_udp."""

    __slots__ = ()

    title = b"udp"
    info_bytes = 16
    protocol = UDP
    layout: ClassVar[Words] = Words("<HHHHB")

    def check(self) -> None:
        if self.info[8] & ~3:
            raise EINVAL("no such inversion")

    def matches(self, passing: Passing) -> bool:
        first, last, target_first, target_last, inverted = self.layout.unpack_from(self.info)
        ports = _ports_of(passing)
        return (
            ports is not None
            and passing.packet.protocol == UDP
            and (first <= ports[0] <= last) != bool(inverted & 1)
            and (target_first <= ports[1] <= target_last) != bool(inverted & 2)
        )


class IcmpMatch(Match):
    """Linux: net/netfilter/xt_tcpudp.c, icmp_match; include/uapi/linux/netfilter_ipv4/ip_tables.h,
    struct ipt_icmp."""

    __slots__ = ()

    title = b"icmp"
    info_bytes = 8
    families = (IPV4,)
    protocol = ICMP
    _any = 0xFF

    def check(self) -> None:
        if self.info[3] & ~1:
            raise EINVAL("no such inversion")

    def matches(self, passing: Passing) -> bool:
        kind, first, last, inverted = self.info[:4]
        data = passing.whole[passing.transport_offset :]
        if passing.packet.protocol != self.protocol or len(data) < 4:
            return False
        is_so = kind == self._any or (data[0] == kind and first <= data[1] <= last)
        return is_so != bool(inverted)


class Icmp6Match(IcmpMatch):
    """Linux: net/netfilter/xt_tcpudp.c, icmp6_match."""

    __slots__ = ()

    title = b"icmp6"
    families = (IPV6,)
    protocol = ICMP6
    _any = -1


class MultiportMatch(Match):
    """Linux: net/netfilter/xt_multiport.c, multiport_mt, ports_match_v1; include/uapi/linux/netfilter/
    xt_multiport.h, struct xt_multiport_v1."""

    __slots__ = ()

    title = b"multiport"
    revision = 1
    info_bytes = 48
    _source: ClassVar[int] = 0
    _target: ClassVar[int] = 1
    _either: ClassVar[int] = 2
    _most: ClassVar[int] = 15
    layout: ClassVar[Words] = Words("<BB15H15BB")

    def check(self) -> None:
        which, count = self.info[:2]
        if which > self._either or count > self._most:
            raise EINVAL("too many ports")

    def matches(self, passing: Passing) -> bool:
        ports = _ports_of(passing)
        if ports is None:
            return False
        which, count, *rest = self.layout.unpack_from(self.info)
        numbers, begins, inverted = rest[:15], rest[15:30], rest[30]
        chosen = ports[:1] if which == self._source else ports[1:] if which == self._target else ports
        found, at = False, 0
        while at < count:
            first = last = numbers[at]
            if begins[at] and at + 1 < count:
                at += 1
                last = numbers[at]
            found = found or any(first <= port <= last for port in chosen)
            at += 1
        return found != bool(inverted)


class ConntrackMatch(Match):
    """Linux: net/netfilter/xt_conntrack.c, conntrack_mt; include/uapi/linux/netfilter/xt_conntrack.h, struct
    xt_conntrack_mtinfo3."""

    __slots__ = ()

    title = b"conntrack"
    revision = 3
    info_bytes = 168
    is_tracking = True
    layout: ClassVar[Words] = Words("<HHHH")
    _place = 146
    """Where what is asked for begins, behind addresses and ports."""
    _state: ClassVar[int] = 1
    _alias: ClassVar[int] = 1 << 13

    def check(self) -> None:
        flags, _, _, _ = self.layout.unpack_from(self.info, self._place)
        if flags & ~(self._state | self._alias):
            raise EOPNOTSUPP("only the state of a connection")

    def matches(self, passing: Passing) -> bool:
        flags, inverted, states, _ = self.layout.unpack_from(self.info, self._place)
        if not flags & self._state:
            return True
        return bool(states & passing.connection_state) != bool(inverted & self._state)


def _credits(period: int) -> int:
    """Linux: net/netfilter/xt_limit.c, user2credits."""
    if period > _WORD // _CREDITS:
        return period // _SCALE * _CREDITS & _WORD
    return period * _CREDITS // _SCALE


class LimitMatch(Match):
    """Linux: net/netfilter/xt_limit.c, limit_mt, limit_mt_check; include/uapi/linux/netfilter/xt_limit.h,
    struct xt_rateinfo."""

    __slots__ = ("bucket", "cost")

    title = b"limit"
    info_bytes = 40
    layout: ClassVar[Words] = Words("<II")

    def __init__(self, reading: Reading, info: bytes) -> None:
        super().__init__(reading, info)
        period, burst = self.layout.unpack_from(info)
        if not burst or _credits(period * burst & _WORD) < _credits(period):
            raise ERANGE("no burst, or too long a time")
        self.cost = period * _SCALE_NS
        self.bucket = Bucket(self.cost * burst, reading.draft.network.host.clock.now_ns)

    def matches(self, passing: Passing) -> bool:
        return self.bucket.take(self.cost, passing.network.host.clock.now_ns)


class MarkMatch(Match):
    """Linux: net/netfilter/xt_mark.c, mark_mt; include/uapi/linux/netfilter/xt_mark.h, struct
    xt_mark_mtinfo1."""

    __slots__ = ()

    title = b"mark"
    revision = 1
    info_bytes = 16
    layout: ClassVar[Words] = Words("<IIB")

    def matches(self, passing: Passing) -> bool:
        mark, mask, inverted = self.layout.unpack_from(self.info)
        return bool((passing.packet.mark & mask == mark) != bool(inverted))


class AddressTypeMatch(Match):
    """Linux: net/netfilter/xt_addrtype.c, addrtype_mt_v1; include/uapi/linux/netfilter/xt_addrtype.h, struct
    xt_addrtype_info_v1."""

    __slots__ = ()

    title = b"addrtype"
    revision = 1
    info_bytes = 8
    families = (IPV4,)
    layout: ClassVar[Words] = Words("<HHI")
    _not_source: ClassVar[int] = 1
    _not_target: ClassVar[int] = 2
    _arrived: ClassVar[int] = 4
    _out: ClassVar[int] = 8

    def check(self) -> None:
        flags = self.layout.unpack_from(self.info)[2]
        if flags & self._arrived and flags & self._out:
            raise EINVAL("the interface of one way")

    def matches(self, passing: Passing) -> bool:
        sources, targets, flags = self.layout.unpack_from(self.info)
        device = passing.arrived if flags & self._arrived else passing.out if flags & self._out else None
        packet = passing.packet
        for address, wanted, inversion in (
            (packet.source, sources, self._not_source),
            (packet.target, targets, self._not_target),
        ):
            kind = 1 << address_type(passing.network, address, device)
            if wanted and bool(kind & wanted) == bool(flags & inversion):
                return False
        return True


MATCHES: dict[bytes, type[Match]] = {
    each.title: each
    for each in (
        *(CommentMatch, TcpMatch, UdpMatch, IcmpMatch, Icmp6Match),
        *(MultiportMatch, ConntrackMatch, LimitMatch, MarkMatch, AddressTypeMatch),
    )
}
"""By their names: there is one revision of each."""


def read_match(reading: Reading, found: dict[int, bytes]) -> Match:
    """Linux: net/netfilter/nft_compat.c, nft_match_select_ops."""
    name, revision, info = extension_in(found, Match.kinds)
    made = MATCHES.get(name)
    if made is None or made.revision != revision or reading.table.family not in made.families:
        raise ENOENT("no such match")
    return made(reading, info)
