"""Limits: the expression `limit`, which lets so many packets or bytes pass in a time (nft(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.errno import EINVAL, EOPNOTSUPP, EOVERFLOW
from procession.abi.nftables import LimitAttribute, LimitType
from procession.net.netfilter.expression import Expression, be32, be32_in, be64, be64_in
from procession.net.netfilter.verdict import NO_MATCH
from procession.net.netlink.attributes import attribute

if TYPE_CHECKING:
    from procession.net.netfilter.expression import Reading
    from procession.net.netfilter.passing import Passing
    from procession.net.netfilter.verdict import Verdict

_RATE, _UNIT = int(LimitAttribute.NFTA_LIMIT_RATE), int(LimitAttribute.NFTA_LIMIT_UNIT)
_BURST, _TYPE = int(LimitAttribute.NFTA_LIMIT_BURST), int(LimitAttribute.NFTA_LIMIT_TYPE)
_FLAGS, _INVERTED = int(LimitAttribute.NFTA_LIMIT_FLAGS), 1
_PACKETS, _BYTES = int(LimitType.NFT_LIMIT_PKTS), int(LimitType.NFT_LIMIT_PKT_BYTES)
_USUAL_BURST = 5
_LARGEST = (1 << 64) - 1


class Bucket:
    """A bucket of tokens, which are nanoseconds: it's full at `most`, and filled by time alone."""

    __slots__ = ("filled_ns", "most", "tokens")

    def __init__(self, most: int, now_ns: int) -> None:
        self.most = self.tokens = most
        self.filled_ns = now_ns

    def take(self, cost: int, now_ns: int) -> bool:
        """Whether there were so many tokens. Linux: net/netfilter/nft_limit.c, nft_limit_eval."""
        self.tokens = min(self.tokens + now_ns - self.filled_ns, self.most)
        self.filled_ns = now_ns
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True


class Limit(Expression):
    """Linux: net/netfilter/nft_limit.c, nft_limit_init, nft_limit_pkts_eval, nft_limit_bytes_eval."""

    __slots__ = ("bucket", "burst", "is_inverted", "kind", "period_ns", "rate")

    name = b"limit"

    def __init__(self, reading: Reading, found: dict[int, bytes]) -> None:
        rate, unit_s = be64_in(found, _RATE), be64_in(found, _UNIT)
        self.kind = be32_in(found, _TYPE) or _PACKETS
        if self.kind not in (_PACKETS, _BYTES):
            raise EOPNOTSUPP("packets or bytes")
        if rate is None or unit_s is None:
            raise EINVAL("an attribute is missing")
        if not rate:
            raise EINVAL("nothing at all")
        self.rate = rate
        self.period_ns = unit_s * NS_PER_S
        self.burst = be32_in(found, _BURST) or (_USUAL_BURST if self.kind == _PACKETS else 0)
        if self.kind == _PACKETS:
            most = self.period_ns // rate * self.burst
        else:
            most = self.period_ns * (rate + self.burst) // rate
        if self.period_ns > _LARGEST or most > _LARGEST or rate + self.burst > _LARGEST:
            raise EOVERFLOW("more than can be counted")
        flags = be32_in(found, _FLAGS) or 0
        if flags & ~_INVERTED:
            raise EOPNOTSUPP("no such flag")
        self.is_inverted = bool(flags)
        self.bucket = Bucket(most, reading.draft.network.host.clock.now_ns)

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        cost = self.period_ns // self.rate
        if self.kind == _BYTES:
            cost = self.period_ns * len(passing.whole) // self.rate
        is_within = self.bucket.take(cost, passing.network.host.clock.now_ns)
        return None if is_within != self.is_inverted else NO_MATCH

    def attributes(self) -> bytes:
        return b"".join(
            (
                attribute(_RATE, be64(self.rate)),
                attribute(_UNIT, be64(self.period_ns // NS_PER_S)),
                attribute(_BURST, be32(self.burst)),
                attribute(_TYPE, be32(self.kind)),
                attribute(_FLAGS, be32(int(self.is_inverted))),
            )
        )
