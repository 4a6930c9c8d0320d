"""What an interface has to tell routers of the groups to which it listens (RFC 3376 and RFC 3810)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.duration import HZ, NS_PER_MS, TICK_NS
from procession.abi.errno import Errno
from procession.hardware.kernel_memory import INTERFACE
from procession.hardware.physical_memory import OutOfFrames
from procession.net.internet.flow import find_flow
from procession.net.internet.group_record import EXCLUDE, INCLUDE, tell_changes, tell_first, tell_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procession.net.internet.flow import Flow
    from procession.net.internet.packet import Packet
    from procession.net.link.interface import Interface

GROUP_TIMER, CHANGE_TIMER, ALL_GROUPS_TIMER, FIRST_TIMER = (
    "group",
    "group_change",
    "all_groups",
    "first_groups",
)
"""For what is told of one group, of changes, of all, and of all that there were as an address came."""
MS_PER_TICK = TICK_NS // NS_PER_MS
QUERY_INTERVAL, RESPONSE_INTERVAL = 125 * HZ, 10 * HZ
"""How often routers ask unless they say it, and how long they wait, in ticks (RFC 3376, section 8)."""
_LAG = 2
"""So many ticks more are waited by timers of an interface."""
_GROUP_BYTES, _SOURCE_BYTES = 256, 96
"""What it takes to remember what is still to be told."""


class ListenedSource:
    """A source that somebody names of a group (Linux: include/linux/igmp.h, struct ip_sf_list).

    `counts` are how many exclude and include it. That it isn't heard any more, or is again, is told
    `reports_left` times; `was_heard` says whether it was before a change. `is_asked_for` by a router.
    """

    __slots__ = ("counts", "is_asked_for", "reports_left", "was_heard")

    def __init__(self) -> None:
        self.counts = [0, 0]
        self.reports_left = 0
        self.was_heard = self.is_asked_for = False

    def is_heard(self, group: ListenedGroup) -> bool:
        """Whether what it sends is for anybody here. Linux: net/ipv4/igmp.c, sf_setstate."""
        if group.counts[EXCLUDE]:
            return group.counts[EXCLUDE] == self.counts[EXCLUDE] and not self.counts[INCLUDE]
        return bool(self.counts[INCLUDE])


class ListenedGroup:
    """A group that an interface listens to (Linux: include/linux/igmp.h, struct ip_mc_list).

    So many are in it (`user_count`), of whom `counts` exclude and include sources; `mode` is what follows for
    the interface. `gone_sources` are those that aren't heard any more and of which that is still to be told,
    and the mode is told `reports_left` times more. It's told at `deadline_ns`, while there is a `timer`, what
    a router has asked for: of some sources if it `tells_asked`. In the older versions it's told
    `unsolicited_left` times unasked, and `was_reporter` says that nobody else has since.
    """

    __slots__ = (
        "address",
        "charge",
        "counts",
        "deadline_ns",
        "gone_sources",
        "listening",
        "mode",
        "reports_left",
        "sources",
        "tells_asked",
        "timer",
        "unsolicited_left",
        "user_count",
        "was_reporter",
    )

    def __init__(self, listening: Listening, address: bytes, mode: int) -> None:
        self.listening = listening
        self.address = address
        self.mode = mode
        self.user_count = 1
        self.counts = [0, 0]
        self.counts[mode] = 1
        self.sources: dict[bytes, ListenedSource] = {}
        self.gone_sources: dict[bytes, ListenedSource] = {}
        self.reports_left = self.unsolicited_left = self.charge = 0
        self.timer: Any = None
        self.deadline_ns = 0
        self.was_reporter = self.tells_asked = False

    def mark_sources(self) -> None:
        """Which are heard before a change. Linux: net/ipv4/igmp.c, sf_markstate."""
        for source in self.sources.values():
            source.was_heard = source.is_heard(self)

    def start(self, ticks: int) -> None:
        """It's told after so many ticks."""
        host = self.listening.host
        self.deadline_ns = host.clock.now_ns + ticks * TICK_NS
        self.timer = host.timers.add(self.deadline_ns, GROUP_TIMER, self)

    def stop(self) -> None:
        """It isn't told."""
        if self.timer is not None:
            self.listening.host.timers.cancel(self.timer)
            self.timer = None

    def asks(self, sources: Sequence[bytes]) -> bool:
        """A router asks for `sources`; whether any of them concerns the group.

        Linux: net/ipv4/igmp.c, igmp_marksources, igmp_xmarksources.
        """
        found = [self.sources[each] for each in dict.fromkeys(sources) if each in self.sources]
        if self.mode == EXCLUDE:
            left_out = [
                each
                for each in found
                if not each.counts[INCLUDE] and each.counts[EXCLUDE] == self.counts[EXCLUDE]
            ]
            self.tells_asked = False
            return len(left_out) < len(sources)
        for source in found:
            source.is_asked_for = True
        self.tells_asked = bool(found)
        return bool(found)


class Listening:
    """All groups of one protocol at an interface, and what is to be told of them.

    Linux: include/linux/inetdevice.h, struct in_device; include/net/if_inet6.h, struct inet6_dev.

    `departed` are groups that nobody is in any more, of which that is still to be told. Routers have said how
    often all is told (`robustness`, 0 if none has), how often they ask and how long they wait for answers, in
    ticks. What has changed is told `changes_left` times. `own` are the kernel's groups, with how often.
    """

    __slots__ = (
        "all_deadline_ns",
        "all_timer",
        "change_timer",
        "changes_left",
        "departed",
        "first_left",
        "first_timer",
        "groups",
        "interface",
        "own",
        "query_interval",
        "response_interval",
        "robustness",
    )

    def __init__(self, interface: Interface) -> None:
        self.interface = interface
        self.groups: dict[bytes, ListenedGroup] = {}
        self.departed: dict[bytes, ListenedGroup] = {}
        self.own: dict[bytes, int] = {}
        self.robustness = 0
        self.query_interval, self.response_interval = QUERY_INTERVAL, RESPONSE_INTERVAL
        self.changes_left = self.first_left = 0
        self.change_timer: Any = None
        self.all_timer: Any = None
        self.first_timer: Any = None
        self.all_deadline_ns = 0

    def flow_to(self, target: bytes, source: bytes | None) -> Flow | None:
        """The way that a message to `target` takes, None if none can go out."""
        interface = self.interface
        if not interface.is_up or not interface.has_carrier:
            return None
        try:
            return find_flow(interface.network, target, source, interface)
        except Errno:
            return None

    # What the protocols differ in.

    @property
    def is_old(self) -> bool:
        """Whether an older version is spoken, which has no records."""
        raise NotImplementedError

    @property
    def repeats(self) -> int:
        """How often a change is told."""
        raise NotImplementedError

    @property
    def change_delay(self) -> int:
        """Within how many ticks a change is told again."""
        raise NotImplementedError

    def look_at_own(self) -> None:
        """The kernel itself may listen to other groups than before."""

    def is_told(self, group: bytes) -> bool:
        """Whether routers are told of `group`."""
        raise NotImplementedError

    def begin_old(self, group: ListenedGroup) -> None:
        """There is a group, in the older versions."""
        raise NotImplementedError

    def leave_old(self, group: ListenedGroup, *, was_reporter: bool) -> None:
        """Nobody is in a group any more, in the older versions."""
        raise NotImplementedError

    def receive(self, packet: Packet) -> None:
        """A router asks, or another host tells."""
        raise NotImplementedError

    def answer(self, group: ListenedGroup) -> None:
        """A group is told of as its timer says."""
        raise NotImplementedError

    def send_records(self, records: Sequence[bytes]) -> None:
        """Records of groups go out."""
        raise NotImplementedError

    # Time and memory.

    @property
    def host(self) -> Any:
        """The kernel."""
        return self.interface.network.host

    def random_below(self, count: int) -> int:
        """Any number of ticks below `count`."""
        return int.from_bytes(self.host.random_bytes(8), "little") % count if count > 1 else 0

    def _add_timer(self, kind: str, ticks: int) -> Any:
        return self.host.timers.add(self.host.clock.now_ns + ticks * TICK_NS, kind, self)

    def _charge(self, size: int) -> bool:
        """Whether there is room for what is still to be told: the machine's, as timers give it back as well,
        when anybody runs. Linux allocates it without __GFP_ACCOUNT.
        """
        try:
            self.interface.network.system.account.charge_for(None, INTERFACE, size)
        except OutOfFrames:
            return False
        return True

    def _uncharge(self, size: int) -> None:
        self.interface.network.system.account.uncharge_for(None, INTERFACE, size)

    # Groups come and go.

    def enter(self, address: bytes, mode: int) -> None:
        """One more is in a group. Linux: net/ipv4/igmp.c, ____ip_mc_inc_group; net/ipv6/mcast.c,
        __ipv6_dev_mc_inc."""
        found = self.groups.get(address)
        if found is not None:
            found.user_count += 1
            self.add_sources(address, mode, ())
            return
        group = self.groups[address] = ListenedGroup(self, address, mode)
        self._remember(group)
        self._begin(group)

    def leave(self, address: bytes) -> None:
        """One is in a group no more. Linux: net/ipv4/igmp.c, __ip_mc_dec_group."""
        group = self.groups.get(address)
        if group is None:
            return
        group.user_count -= 1
        if not group.user_count:
            self._end(group)
            self._clear_sources(group)
            del self.groups[address]

    def _begin(self, group: ListenedGroup) -> None:
        """Linux: net/ipv4/igmp.c, igmp_group_added; net/ipv6/mcast.c, igmp6_group_added."""
        if not self.is_told(group.address) or not self.interface.is_up:
            return
        if self.is_old:
            self.begin_old(group)
            return
        if group.mode == EXCLUDE:
            group.reports_left = self.repeats
        self.change()

    def _end(self, group: ListenedGroup) -> None:
        """Linux: net/ipv4/igmp.c, __igmp_group_dropped; net/ipv6/mcast.c, igmp6_group_dropped."""
        was_reporter = group.was_reporter
        group.stop()
        group.was_reporter = False
        group.unsolicited_left = 0
        if not self.is_told(group.address):
            return
        if self.is_old:
            self.leave_old(group, was_reporter=was_reporter)
            return
        self._depart(group)
        self.change()

    def _depart(self, group: ListenedGroup) -> None:
        """That a group is left is still to be told. Linux: net/ipv4/igmp.c, igmpv3_add_delrec."""
        size = _GROUP_BYTES + len(group.sources) * _SOURCE_BYTES
        if not self._charge(size):
            return
        self.forget_departed(group.address)
        gone = ListenedGroup(self, group.address, group.mode)
        gone.charge = size
        gone.reports_left = self.repeats
        if group.mode == INCLUDE:
            gone.sources, gone.gone_sources = group.sources, group.gone_sources
            group.sources, group.gone_sources = {}, {}
            for source in gone.sources.values():
                source.reports_left = gone.reports_left
        self.departed[group.address] = gone

    def _remember(self, group: ListenedGroup) -> None:
        """A group that was left is listened to again. Linux: net/ipv4/igmp.c, igmpv3_del_delrec."""
        gone = self.departed.pop(group.address, None)
        if gone is None:
            return
        self._uncharge(gone.charge)
        if group.mode == INCLUDE:
            self._clear_sources(group)
            group.sources, group.gone_sources = gone.sources, gone.gone_sources
            for source in group.sources.values():
                source.reports_left = self.repeats
        else:
            self._clear_sources(gone)
            group.reports_left = self.repeats

    def _clear_sources(self, group: ListenedGroup) -> None:
        self._uncharge(len(group.gone_sources) * _SOURCE_BYTES)
        group.gone_sources.clear()

    def forget_departed(self, address: bytes) -> None:
        """That a group was left isn't told any more."""
        gone = self.departed.pop(address, None)
        if gone is not None:
            self._clear_sources(gone)
            self._uncharge(gone.charge)

    def forget_all_departed(self) -> None:
        """Linux: net/ipv4/igmp.c, igmpv3_clear_delrec."""
        for address in list(self.departed):
            self.forget_departed(address)
        for group in self.groups.values():
            self._clear_sources(group)

    def follow(self, wanted: dict[bytes, int]) -> None:
        """The kernel's own groups are `wanted` from now on, with how often each is."""
        before, self.own = self.own, wanted
        for address, count in wanted.items():
            for _ in range(count - before.get(address, 0)):
                self.enter(address, EXCLUDE)
        for address, count in before.items():
            for _ in range(count - wanted.get(address, 0)):
                self.leave(address)

    # The sources of a group.

    def add_sources(
        self, address: bytes, mode: int, sources: Sequence[bytes], *, is_more: bool = False
    ) -> None:
        """Somebody excludes or includes `sources`, beside others that he has already if `is_more`.

        Linux: net/ipv4/igmp.c, ip_mc_add_src; net/ipv6/mcast.c, ip6_mc_add_src.
        """
        group = self.groups.get(address)
        if group is None:
            return
        self.host.clock.spend_looking(len(sources) + len(group.sources))
        group.mark_sources()
        had_excluding = group.mode == EXCLUDE
        if not is_more:
            group.counts[mode] += 1
        for each in sources:
            group.sources.setdefault(each, ListenedSource()).counts[mode] += 1
        excludes = bool(group.counts[EXCLUDE])
        if had_excluding != excludes:
            if excludes or group.counts[INCLUDE]:
                group.mode = EXCLUDE if excludes else INCLUDE
            self._mode_changed(group)
        elif self._have_changed(group):
            self.change()

    def remove_sources(
        self, address: bytes, mode: int, sources: Sequence[bytes], *, is_more: bool = False
    ) -> None:
        """Somebody doesn't exclude or include `sources` any more; does he still have others, if `is_more`.

        Linux: net/ipv4/igmp.c, ip_mc_del_src; net/ipv6/mcast.c, ip6_mc_del_src.
        """
        group = self.groups.get(address)
        if group is None:
            return
        self.host.clock.spend_looking(len(sources) + len(group.sources))
        group.mark_sources()
        if not is_more:
            if not group.counts[mode]:
                return
            group.counts[mode] -= 1
        has_changed = False
        for each in sources:
            has_changed |= self._remove_source(group, each, mode)
        if group.mode == EXCLUDE and not group.counts[EXCLUDE] and group.counts[INCLUDE]:
            group.mode = INCLUDE
            self._mode_changed(group)
        elif self._have_changed(group) or has_changed:
            self.change()

    def _remove_source(self, group: ListenedGroup, address: bytes, mode: int) -> bool:
        """Whether that is to be told. Linux: net/ipv4/igmp.c, ip_mc_del1_src."""
        source = group.sources.get(address)
        if source is None or not source.counts[mode]:
            return False
        source.counts[mode] -= 1
        if any(source.counts):
            return False
        del group.sources[address]
        if not source.was_heard or self.is_old or not self._charge(_SOURCE_BYTES):
            return False
        source.reports_left = self.repeats
        self.forget_gone(group, address)
        group.gone_sources[address] = source
        return True

    def forget_gone(self, group: ListenedGroup, address: bytes) -> None:
        """Of a source that isn't heard any more nothing is told any more."""
        if group.gone_sources.pop(address, None) is not None:
            self._uncharge(_SOURCE_BYTES)

    def _mode_changed(self, group: ListenedGroup) -> None:
        group.reports_left = self.repeats
        for source in group.sources.values():
            source.reports_left = 0
        self.change()

    def _have_changed(self, group: ListenedGroup) -> bool:
        """Whether others are heard of a group than before. Linux: net/ipv4/igmp.c, sf_setstate."""
        found = False
        for address, source in group.sources.items():
            if source.is_heard(group):
                if not source.was_heard:
                    self.forget_gone(group, address)
                    source.reports_left = self.repeats
                    found = True
            elif source.was_heard:
                source.reports_left = 0
                gone = group.gone_sources.get(address)
                if gone is None:
                    if not self._charge(_SOURCE_BYTES):
                        continue
                    gone = group.gone_sources[address] = ListenedSource()
                    gone.counts = source.counts.copy()
                gone.reports_left = self.repeats
                found = True
        return found

    # What is told, and when.

    def change(self) -> None:
        """Something has changed that routers are told. Linux: net/ipv4/igmp.c, igmp_ifc_event;
        net/ipv6/mcast.c, mld_ifc_event."""
        if not self.is_old and self.interface.is_up:
            self.changes_left = self.repeats
            self._await_change(0)

    def _await_change(self, ticks: int) -> None:
        self._cancel(self.change_timer)
        self.change_timer = self._add_timer(CHANGE_TIMER, ticks + _LAG)

    def changes_due(self) -> None:
        """Linux: net/ipv4/igmp.c, igmp_ifc_timer_expire; net/ipv6/mcast.c, mld_ifc_work."""
        self.change_timer = None
        tell_changes(self)
        if self.changes_left:
            self.changes_left -= 1
            if self.changes_left:
                self._await_change(self.random_below(self.change_delay))

    def await_all(self, ticks: int) -> None:
        """All groups are told after so many ticks, unless that was to be sooner."""
        deadline_ns = self.host.clock.now_ns + (ticks + _LAG) * TICK_NS
        if self.all_timer is not None:
            if self.all_deadline_ns <= deadline_ns:
                return
            self._cancel(self.all_timer)
        self.all_deadline_ns = deadline_ns
        self.all_timer = self._add_timer(ALL_GROUPS_TIMER, ticks + _LAG)

    def settle(self) -> None:
        """The interface has got its address: all groups are told at once, and again. Linux: net/ipv6/mcast.c,
        ipv6_mc_dad_complete."""
        self.first_left = self.repeats
        self._cancel(self.first_timer)
        self.first_due()

    def first_due(self) -> None:
        """Linux: net/ipv6/mcast.c, mld_dad_work."""
        self.first_timer = None
        if not self.is_old:
            tell_first(self)
        self.first_left -= 1
        if self.first_left > 0:
            self.first_timer = self._add_timer(FIRST_TIMER, self.random_below(self.change_delay) + _LAG)

    def _cancel(self, timer: Any) -> None:
        if timer is not None:
            self.host.timers.cancel(timer)

    def forget_changes(self) -> None:
        """What has changed isn't told any more."""
        self.changes_left = 0
        self._cancel(self.change_timer)
        self.change_timer = None

    def forget_all(self) -> None:
        """Not all groups are told any more."""
        self._cancel(self.all_timer)
        self.all_timer = None

    def tell(self, groups: list[ListenedGroup]) -> None:
        """Answer which of `groups` somebody listens to."""
        tell_groups(self, groups)

    def all_due(self) -> None:
        """Linux: net/ipv4/igmp.c, igmp_gq_timer_expire; net/ipv6/mcast.c, mld_gq_work."""
        self.all_timer = None
        self.tell(list(self.groups.values())[::-1])

    # The interface.

    def came_up(self) -> None:
        """Linux: net/ipv4/igmp.c, ip_mc_up."""
        self.reset()
        for group in self.groups.values():
            self._remember(group)
            self._begin(group)

    def reset(self) -> None:
        """What routers have said doesn't count any more. Linux: net/ipv4/igmp.c, ip_mc_reset;
        net/ipv6/mcast.c, ipv6_mc_reset."""
        self.robustness = 0
        self.query_interval, self.response_interval = QUERY_INTERVAL, RESPONSE_INTERVAL

    def went_down(self) -> None:
        """Linux: net/ipv4/igmp.c, ip_mc_down; net/ipv6/mcast.c, ipv6_mc_down."""
        for group in self.groups.values():
            self._end(group)
        self.stop()

    def stop(self) -> None:
        """Nothing is told any more."""
        self.forget_changes()
        self.forget_all()
        self.first_left = 0
        self._cancel(self.first_timer)
        self.first_timer = None

    def end(self) -> None:
        """The interface is gone. Linux: net/ipv4/igmp.c, ip_mc_destroy_dev."""
        self.stop()
        for group in self.groups.values():
            group.stop()
        self.forget_all_departed()
        self.groups.clear()
        self.own = {}


def group_due(group: ListenedGroup) -> None:
    """What a router has asked for, or what it's told unasked."""
    group.timer = None
    group.listening.answer(group)
