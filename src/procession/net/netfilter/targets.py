"""iptables' targets, which are expressions of its rules (iptables-extensions(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, ENOENT, EPROTONOSUPPORT
from procession.abi.nftables import TargetAttribute
from procession.abi.word import Words
from procession.net.internet.packet import TCP
from procession.net.netfilter.actions import REJECT_HOOKS
from procession.net.netfilter.expression import Expression, be32, needed
from procession.net.netfilter.matches import MATCHES, MOST_REVISION
from procession.net.netfilter.nat import (
    MASQUERADE_HOOKS,
    SOURCE_HOOKS,
    TARGET_HOOKS,
    masquerade,
    redirect,
)
from procession.net.netfilter.passing import IPV4, IPV6
from procession.net.netfilter.refusal import REASONS_4, REASONS_6, refuse_with_error, refuse_with_reset
from procession.net.netfilter.translation import Span, settle
from procession.net.netfilter.verdict import ACCEPTED, DROPPED
from procession.net.netlink.attributes import attribute, text_in

if TYPE_CHECKING:
    from procession.net.netfilter.expression import Reading
    from procession.net.netfilter.passing import Passing
    from procession.net.netfilter.verdict import Verdict

_NAME, _REVISION = int(TargetAttribute.NFTA_TARGET_NAME), int(TargetAttribute.NFTA_TARGET_REV)
_INFO = int(TargetAttribute.NFTA_TARGET_INFO)


class Target(Expression):
    """A target (Linux: net/netfilter/nft_compat.c, nft_target_eval_xt).

    `info` is what iptables keeps in it, of `info_bytes`; `table` is the only one whose rules may have it, b""
    for all.
    """

    __slots__ = ("info",)

    name = b"target"
    size = 256
    misplaced = EINVAL
    title: ClassVar[bytes]
    revision: ClassVar[int] = 0
    info_bytes: ClassVar[int]
    families: ClassVar[tuple[int, ...]] = (IPV4, IPV6)
    table: ClassVar[bytes] = b""

    def __init__(self, reading: Reading, info: bytes) -> None:
        if len(info) != self.info_bytes or (self.table and reading.table.name != self.table):
            raise EINVAL("another size, or another table than the target's")
        if reading.chain.is_base and not self.hooks >> reading.chain.hook & 1:
            raise EINVAL("not at this hook")
        self.info = info
        self.check(reading)

    def check(self, reading: Reading) -> None:
        """Raise EINVAL for what it can't do."""

    def attributes(self) -> bytes:
        told = attribute(_NAME, self.title + b"\0") + attribute(_REVISION, be32(self.revision))
        return told + attribute(_INFO, self.info)


class RejectTarget(Target):
    """REJECT (Linux: net/ipv4/netfilter/ipt_REJECT.c, reject_tg; net/ipv6/netfilter/ip6t_REJECT.c)."""

    __slots__ = ()

    title = b"REJECT"
    info_bytes = 8
    table = b"filter"
    hooks = REJECT_HOOKS & ~1
    _codes_4: ClassVar = {0: 0, 1: 1, 2: 2, 3: 3, 5: 9, 6: 10, 8: 13}
    """enum ipt_reject_with, and the codes of ICMP."""
    _codes_6: ClassVar = {0: 0, 1: 1, 3: 3, 4: 4, 7: 5, 8: 6}
    _reset_4: ClassVar[int] = 7
    _reset_6: ClassVar[int] = 6

    def check(self, reading: Reading) -> None:
        how = self._how
        is_4 = reading.table.family == IPV4
        if how == (self._reset_4 if is_4 else self._reset_6):
            if reading.protocol != TCP:
                raise EINVAL("only TCP is reset")
        elif how not in (self._codes_4 if is_4 else self._codes_6):
            raise EINVAL("no such answer")

    @property
    def _how(self) -> int:
        return int.from_bytes(self.info[:4], "little")

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        how = self._how
        is_4 = passing.family == IPV4
        if how == (self._reset_4 if is_4 else self._reset_6):
            refuse_with_reset(passing)
        else:
            code = (self._codes_4 if is_4 else self._codes_6)[how]
            refuse_with_error(passing, (REASONS_4 if is_4 else REASONS_6)[code])
        return DROPPED


class MarkTarget(Target):
    """Linux: net/netfilter/xt_mark.c, mark_tg; include/uapi/linux/netfilter/xt_mark.h, struct
    xt_mark_tginfo2."""

    __slots__ = ()

    title = b"MARK"
    revision = 2
    info_bytes = 8
    layout: ClassVar[Words] = Words("<II")

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        mark, mask = self.layout.unpack_from(self.info)
        passing.packet.mark = passing.packet.mark & ~mask ^ mark
        return None


_FORM_OF_4, _FORM, _FORM_WITH_BASE = 24, 40, 48
"""How long a range is in the form that knows IPv4 alone, in the newer one, and with a port to count from."""


class _TranslatingTarget(Target):
    """Targets of the table nat: flags, and the first and last of addresses and ports.

    Linux: include/uapi/linux/netfilter/nf_nat.h, struct nf_nat_ipv4_multi_range_compat, struct nf_nat_range,
    struct nf_nat_range2.
    """

    __slots__ = ()

    table = b"nat"
    is_tracking = True
    is_translating = True
    layout_4: ClassVar[Words] = Words("<II4s4s2s2s")
    layout: ClassVar[Words] = Words("<I16s16s2s2s2s")

    def check(self, reading: Reading) -> None:
        if self.info_bytes == _FORM_OF_4 and self.layout_4.unpack_from(self.info)[0] != 1:
            raise EINVAL("one range at a time")

    def span(self, passing: Passing) -> Span:
        """What to change to."""
        if self.info_bytes == _FORM_OF_4:
            _, flags, first, last, *ports = self.layout_4.unpack_from(self.info)
            base = b""
        else:
            flags, first, last, *ports, base = self.layout.unpack_from(self.info)
            if self.info_bytes == _FORM:
                base = b""
        size = len(passing.packet.target)
        first_port, last_port = (int.from_bytes(port, "big") for port in ports)
        return Span(flags, first[:size], last[:size], first_port, last_port, int.from_bytes(base, "big"))

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        """Linux: net/netfilter/xt_nat.c, xt_snat_target_v1, xt_dnat_target_v1."""
        tracked = passing.tracked
        if tracked is not None:
            settle(passing, tracked, self.span(passing))
        return ACCEPTED


class SourceTarget(_TranslatingTarget):
    """SNAT."""

    __slots__ = ()

    title = b"SNAT"
    revision = 1
    info_bytes = _FORM
    hooks = SOURCE_HOOKS


class SourceTarget4(SourceTarget):
    """SNAT for IPv4 alone."""

    __slots__ = ()

    revision = 0
    info_bytes = _FORM_OF_4
    families = (IPV4,)


class TargetTarget(_TranslatingTarget):
    """DNAT."""

    __slots__ = ()

    title = b"DNAT"
    revision = 1
    info_bytes = _FORM
    hooks = TARGET_HOOKS


class TargetTargetWithBase(TargetTarget):
    """DNAT with a port to count from."""

    __slots__ = ()

    revision = 2
    info_bytes = _FORM_WITH_BASE


class TargetTarget4(TargetTarget):
    """DNAT for IPv4 alone."""

    __slots__ = ()

    revision = 0
    info_bytes = _FORM_OF_4
    families = (IPV4,)


class MasqueradeTarget(_TranslatingTarget):
    """MASQUERADE (Linux: net/netfilter/xt_MASQUERADE.c, masquerade_tg, masquerade_tg6)."""

    __slots__ = ()

    title = b"MASQUERADE"
    info_bytes = _FORM
    families = (IPV6,)
    hooks = MASQUERADE_HOOKS

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        span = self.span(passing)
        return masquerade(passing, span.flags, (span.first_port, span.last_port))


class MasqueradeTarget4(MasqueradeTarget):
    """MASQUERADE for IPv4."""

    __slots__ = ()

    info_bytes = _FORM_OF_4
    families = (IPV4,)


class RedirectTarget(_TranslatingTarget):
    """REDIRECT (Linux: net/netfilter/xt_REDIRECT.c, redirect_tg4, redirect_tg6)."""

    __slots__ = ()

    title = b"REDIRECT"
    info_bytes = _FORM
    families = (IPV6,)
    hooks = TARGET_HOOKS

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        span = self.span(passing)
        return redirect(passing, span.flags, (span.first_port, span.last_port))


class RedirectTarget4(RedirectTarget):
    """REDIRECT for IPv4."""

    __slots__ = ()

    info_bytes = _FORM_OF_4
    families = (IPV4,)


TARGETS: dict[tuple[bytes, int, int], type[Target]] = {
    (each.title, each.revision, family): each
    for each in (
        *(RejectTarget, MarkTarget, SourceTarget, SourceTarget4),
        *(TargetTarget, TargetTargetWithBase, TargetTarget4),
        *(MasqueradeTarget, MasqueradeTarget4, RedirectTarget, RedirectTarget4),
    )
    for family in each.families
}
"""By their names, revisions and families."""


def read_target(reading: Reading, found: dict[int, bytes]) -> Target:
    """Linux: net/netfilter/nft_compat.c, nft_target_select_ops."""
    name, revision = text_in(found, _NAME), needed(found, _REVISION)
    info = found.get(_INFO)
    if name is None or info is None or revision > MOST_REVISION:
        raise EINVAL("a name, a revision and what it does are needed")
    made = TARGETS.get((name, revision, reading.table.family))
    if made is None:
        raise ENOENT("no such target")
    return made(reading, info)


def check_revision(family: int, name: bytes, revision: int, *, is_target: bool) -> None:
    """Whether there is such a match or target. Raises ENOENT, EPROTONOSUPPORT.

    Linux: net/netfilter/x_tables.c, xt_find_revision.
    """
    if is_target:
        revisions = {number for title, number, known in TARGETS if (title, known) == (name, family)}
    else:
        made = MATCHES.get(name)
        revisions = {made.revision} if made is not None and family in made.families else set()
    if not revisions:
        raise ENOENT("no such match or target")
    if revision not in revisions:
        raise EPROTONOSUPPORT("another revision")
