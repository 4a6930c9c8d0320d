"""The records in which routers are told who listens to what: their kinds, and what goes into one message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.word import pack_port, pack_u8

if TYPE_CHECKING:
    from procession.net.internet.listening import ListenedGroup, ListenedSource, Listening

EXCLUDE, INCLUDE = 0, 1
"""MCAST_EXCLUDE and MCAST_INCLUDE: how a group's sources are meant."""
_IS_INCLUDE, _IS_EXCLUDE, _TO_INCLUDE, _TO_EXCLUDE, _ALLOW, _BLOCK = range(1, 7)
"""IGMPV3_MODE_IS_INCLUDE and so on, which are MLD's too (RFC 3376, 4.2.12)."""
_HEADER_BYTES = {4: 32, 16: 56}
"""In front of a message's records: the header of IP with the routers' alert, and the message's own."""


class _Draft:
    """Messages in the making. `records` fit into the next, in which that much is `left` of all its `room`."""

    __slots__ = ("left", "listening", "records", "room", "size")

    def __init__(self, listening: Listening, size: int) -> None:
        self.listening = listening
        self.size = size
        self.room = listening.interface.mtu - _HEADER_BYTES[size]
        self.left = self.room
        self.records: list[bytes] = []

    def send(self) -> None:
        """Send what there is. Linux: net/ipv4/igmp.c, igmpv3_sendpack; net/ipv6/mcast.c, mld_sendpack."""
        if self.records:
            self.listening.send_records(self.records)
            self.records = []
        self.left = self.room

    def add(self, group: ListenedGroup, kind: int, sources: list[bytes], *, is_cut: bool) -> None:
        """A record, in as many messages as it takes; one that `is_cut` has as many sources as fit.

        Linux: net/ipv4/igmp.c, add_grec; net/ipv6/mcast.c, add_grec.
        """
        head = 4 + self.size
        wanted = head + self.size * len(sources)
        if self.records and self.left < (wanted if is_cut else head + self.size * bool(sources)):
            self.send()
        while True:
            count = max((self.left - head) // self.size, 1) if sources else 0
            now, sources = sources[:count], sources[count:]
            header = pack_u8(kind) + b"\0" + pack_port(len(now) & 0xFFFF)
            self.records.append(header + group.address + b"".join(now))
            self.left -= head + self.size * len(now)
            if is_cut or not sources:
                return
            self.send()


def _is_in(
    group: ListenedGroup, source: ListenedSource, kind: int, *, is_departed: bool, are_gone: bool
) -> bool:
    """Whether a source belongs in a record. Linux: net/ipv4/igmp.c, is_in; net/ipv6/mcast.c, is_in."""
    excluded_by_all = group.counts[EXCLUDE] == source.counts[EXCLUDE]
    if kind in (_IS_INCLUDE, _IS_EXCLUDE):
        if is_departed or are_gone or (group.tells_asked and not source.is_asked_for):
            return False
        if group.mode == INCLUDE:
            return True
        return kind == _IS_INCLUDE if source.counts[INCLUDE] else excluded_by_all
    if kind == _TO_INCLUDE:
        return not (is_departed or are_gone) and bool(source.counts[INCLUDE])
    if kind == _TO_EXCLUDE:
        if is_departed or are_gone or not group.counts[EXCLUDE] or source.counts[INCLUDE]:
            return False
        return excluded_by_all
    left = bool(source.reports_left)
    if kind == _ALLOW:
        return not is_departed and left and (group.mode == INCLUDE) != are_gone
    if group.mode == INCLUDE:
        return is_departed or (left and are_gone)
    return left and not is_departed and not are_gone


def _add(
    draft: _Draft,
    group: ListenedGroup,
    kind: int,
    *,
    is_departed: bool = False,
    are_gone: bool = False,
    is_first: bool = False,
) -> None:
    """The record of `kind` of a group, if it's to be told; of `is_departed` nobody is in it any more.

    Linux: net/ipv4/igmp.c, add_grec; net/ipv6/mcast.c, add_grec.
    """
    listening = draft.listening
    if not listening.is_told(group.address):
        return
    is_change = kind in (_ALLOW, _BLOCK)
    is_answer = kind in (_IS_INCLUDE, _IS_EXCLUDE)
    told: list[bytes] = []
    sources = group.gone_sources if are_gone else group.sources
    listening.host.clock.spend_looking(len(sources))
    # What is heard of a group follows from its mode, while that is told (RFC 3376, section 5.1).
    is_implied = is_change and (group.mode == EXCLUDE if is_departed else bool(group.reports_left))
    # What isn't heard any more is told the other way round, the newest first.
    for address, source in list(reversed(sources.items()) if are_gone else sources.items()):
        if not _is_in(group, source, kind, is_departed=is_departed, are_gone=are_gone):
            continue
        if is_answer:
            source.is_asked_for = False
        if not (is_implied and source.reports_left):
            told.append(address)
        if is_change and source.reports_left:
            source.reports_left -= 1
            if not source.reports_left and are_gone:
                listening.forget_gone(group, address)
            elif not source.reports_left and is_departed:
                del group.sources[address]
    if told or (not is_change and (group.reports_left or is_answer or is_first)):
        draft.add(group, kind, told, is_cut=kind in (_IS_EXCLUDE, _TO_EXCLUDE))
    if is_answer:
        group.tells_asked = False


def _draft(listening: Listening, groups: list[ListenedGroup]) -> _Draft | None:
    """For records of `groups`, the newest first as Linux has them; None if no record fits."""
    listening.host.clock.spend_looking(len(groups))
    if not groups:
        return None
    draft = _Draft(listening, len(groups[0].address))
    return draft if draft.room >= 4 + 2 * draft.size else None


def tell_groups(listening: Listening, groups: list[ListenedGroup]) -> None:
    """Answer which of `groups` somebody listens to. Linux: net/ipv4/igmp.c, igmpv3_send_report;
    net/ipv6/mcast.c, mld_send_report."""
    draft = _draft(listening, groups)
    if draft is not None:
        for group in groups:
            _add(draft, group, _IS_EXCLUDE if group.counts[EXCLUDE] else _IS_INCLUDE)
        draft.send()


def tell_first(listening: Listening) -> None:
    """What is listened to as the interface has got its address. Linux: net/ipv6/mcast.c,
    mld_send_initial_cr."""
    groups = list(listening.groups.values())[::-1]
    draft = _draft(listening, groups)
    if draft is not None:
        for group in groups:
            _add(draft, group, _TO_EXCLUDE if group.counts[EXCLUDE] else _ALLOW, is_first=True)
        draft.send()


def tell_changes(listening: Listening) -> None:
    """What is listened to from now on, and what isn't any more. Linux: net/ipv4/igmp.c, igmpv3_send_cr;
    net/ipv6/mcast.c, mld_send_cr."""
    departed, groups = list(listening.departed.values())[::-1], list(listening.groups.values())[::-1]
    draft = _draft(listening, departed + groups)
    if draft is None:
        return
    for group in departed:
        if group.mode == INCLUDE:
            _add(draft, group, _BLOCK, is_departed=True)
            _add(draft, group, _BLOCK, is_departed=True, are_gone=True)
        if group.reports_left:
            if group.mode == EXCLUDE:
                _add(draft, group, _TO_INCLUDE, is_departed=True)
            group.reports_left -= 1
        if not group.reports_left:
            listening.forget_departed(group.address)
    for group in groups:
        kinds = (_BLOCK, _ALLOW) if group.counts[EXCLUDE] else (_ALLOW, _BLOCK)
        _add(draft, group, kinds[0])
        _add(draft, group, kinds[1], are_gone=True)
        if group.reports_left:
            _add(draft, group, _TO_EXCLUDE if group.mode == EXCLUDE else _TO_INCLUDE)
            group.reports_left -= 1
    draft.send()
