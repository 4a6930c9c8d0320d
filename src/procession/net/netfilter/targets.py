"""iptables' targets, which are expressions of its rules (iptables-extensions(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, ENOENT, EPROTONOSUPPORT
from procession.abi.nftables import TargetAttribute
from procession.abi.word import Words
from procession.net.internet.packet import TCP
from procession.net.netfilter.actions import REJECT_HOOKS
from procession.net.netfilter.extension import Extension, extension_in
from procession.net.netfilter.matches import MATCHES
from procession.net.netfilter.nat import MASQUERADE_HOOKS, TARGET_HOOKS, masquerade, redirect
from procession.net.netfilter.passing import IPV4, IPV6
from procession.net.netfilter.refusal import REASONS_4, REASONS_6, refuse_with_error, refuse_with_reset
from procession.net.netfilter.translation import SOURCE_HOOKS, Span, settle
from procession.net.netfilter.verdict import ACCEPTED, DROPPED

if TYPE_CHECKING:
    from procession.net.netfilter.expression import Reading
    from procession.net.netfilter.passing import Passing
    from procession.net.netfilter.verdict import Verdict


class Target(Extension):
    """A target (Linux: net/netfilter/nft_compat.c, nft_target_eval_xt).

    `table` is the only one whose rules may have it, b"" for all.
    """

    __slots__ = ()

    name = b"target"
    kinds = (
        int(TargetAttribute.NFTA_TARGET_NAME),
        int(TargetAttribute.NFTA_TARGET_REV),
        int(TargetAttribute.NFTA_TARGET_INFO),
    )
    misplaced = EINVAL
    table: ClassVar[bytes] = b""

    def __init__(self, reading: Reading, info: bytes) -> None:
        super().__init__(reading, info)
        if self.table and reading.table.name != self.table:
            raise EINVAL("another table than the target's")
        if reading.chain.is_base and not self.hooks >> reading.chain.hook & 1:
            raise EINVAL("not at this hook")
        self.check(reading)

    def check(self, reading: Reading) -> None:
        """Raise EINVAL for what it can't do."""


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

TRANSLATIONS: dict[tuple[bytes, int, int], tuple[int, int]] = {
    (b"SNAT", 0, IPV4): (_FORM_OF_4, SOURCE_HOOKS),
    (b"SNAT", 1, IPV4): (_FORM, SOURCE_HOOKS),
    (b"SNAT", 1, IPV6): (_FORM, SOURCE_HOOKS),
    (b"DNAT", 0, IPV4): (_FORM_OF_4, TARGET_HOOKS),
    (b"DNAT", 1, IPV4): (_FORM, TARGET_HOOKS),
    (b"DNAT", 1, IPV6): (_FORM, TARGET_HOOKS),
    (b"DNAT", 2, IPV4): (_FORM_WITH_BASE, TARGET_HOOKS),
    (b"DNAT", 2, IPV6): (_FORM_WITH_BASE, TARGET_HOOKS),
    (b"MASQUERADE", 0, IPV4): (_FORM_OF_4, MASQUERADE_HOOKS),
    (b"MASQUERADE", 0, IPV6): (_FORM, MASQUERADE_HOOKS),
    (b"REDIRECT", 0, IPV4): (_FORM_OF_4, TARGET_HOOKS),
    (b"REDIRECT", 0, IPV6): (_FORM, TARGET_HOOKS),
}
"""The targets of the table nat by their names, revisions and families: how long their range is, and the hooks
where they may stand."""


class TranslatingTarget(Target):
    """A target of TRANSLATIONS: what `info` has are flags, and the first and last of addresses and ports.

    Linux: include/uapi/linux/netfilter/nf_nat.h, struct nf_nat_ipv4_multi_range_compat, struct nf_nat_range,
    struct nf_nat_range2.
    """

    __slots__ = ("hooks", "key", "range_bytes")

    table = b"nat"
    is_tracking = True
    is_translating = True
    layout_4: ClassVar[Words] = Words("<II4s4s2s2s")
    layout: ClassVar[Words] = Words("<I16s16s2s2s2s")

    def __init__(self, reading: Reading, title: bytes, revision: int, info: bytes) -> None:
        self.key = (title, revision)
        self.range_bytes, self.hooks = TRANSLATIONS[title, revision, reading.table.family]
        super().__init__(reading, info)

    @property
    def form(self) -> tuple[bytes, int, int]:
        title, revision = self.key
        return title, revision, self.range_bytes

    def check(self, reading: Reading) -> None:
        if self.range_bytes == _FORM_OF_4 and self.layout_4.unpack_from(self.info)[0] != 1:
            raise EINVAL("one range at a time")

    def span(self, passing: Passing) -> Span:
        """What to change to."""
        if self.range_bytes == _FORM_OF_4:
            _, flags, first, last, *ports = self.layout_4.unpack_from(self.info)
            base = b""
        else:
            flags, first, last, *ports, base = self.layout.unpack_from(self.info)
            if self.range_bytes == _FORM:
                base = b""
        size = len(passing.packet.target)
        first_port, last_port = (int.from_bytes(port, "big") for port in ports)
        return Span(flags, first[:size], last[:size], first_port, last_port, int.from_bytes(base, "big"))

    def evaluate(self, registers: bytearray, passing: Passing) -> Verdict | None:
        """Linux: net/netfilter/xt_nat.c, xt_snat_target_v1, xt_dnat_target_v1; net/netfilter/xt_MASQUERADE.c,
        masquerade_tg; net/netfilter/xt_REDIRECT.c, redirect_tg4."""
        span = self.span(passing)
        title, _ = self.key
        if title == b"MASQUERADE":
            return masquerade(passing, span.flags, (span.first_port, span.last_port))
        if title == b"REDIRECT":
            return redirect(passing, span.flags, (span.first_port, span.last_port))
        tracked = passing.tracked
        if tracked is not None:
            settle(passing, tracked, span)
        return ACCEPTED


TARGETS: dict[tuple[bytes, int, int], type[Target]] = {
    (each.title, each.revision, family): each
    for each in (RejectTarget, MarkTarget)
    for family in each.families
}
"""The others, by the same."""


def read_target(reading: Reading, found: dict[int, bytes]) -> Target:
    """Linux: net/netfilter/nft_compat.c, nft_target_select_ops."""
    name, revision, info = extension_in(found, Target.kinds)
    key = (name, revision, reading.table.family)
    if key in TRANSLATIONS:
        return TranslatingTarget(reading, name, revision, info)
    made = TARGETS.get(key)
    if made is None:
        raise ENOENT("no such target")
    return made(reading, info)


def check_revision(family: int, name: bytes, revision: int, *, is_target: bool) -> None:
    """Whether there is such a match or target. Raises ENOENT, EPROTONOSUPPORT.

    Linux: net/netfilter/x_tables.c, xt_find_revision.
    """
    if is_target:
        revisions = {
            number
            for title, number, of_family in (*TARGETS, *TRANSLATIONS)
            if (title, of_family) == (name, family)
        }
    else:
        made = MATCHES.get(name)
        revisions = {made.revision} if made is not None and family in made.families else set()
    if not revisions:
        raise ENOENT("no such match or target")
    if revision not in revisions:
        raise EPROTONOSUPPORT("another revision")
