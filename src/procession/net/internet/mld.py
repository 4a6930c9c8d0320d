"""MLD: routers ask who listens to which groups of IPv6, and are told (RFC 2710 and 3810)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.duration import HZ, TICK_NS
from procession.abi.errno import EPERM
from procession.abi.internet import Ipv6Option
from procession.abi.word import pack_port, pack_u8
from procession.net.internet.address import EVERYBODY, is_any, is_link_local, is_multicast
from procession.net.internet.device_group import own_groups
from procession.net.internet.extension_headers import is_for_listeners, put_headers
from procession.net.internet.icmp import count_message, with_checksum
from procession.net.internet.listening import MS_PER_TICK, ListenedGroup, Listening
from procession.net.internet.output import send_packet
from procession.net.internet.packet import ICMP6, Packet
from procession.net.sysctls import FORCED_VERSION, REPORT_INTERVALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procession.net.link.interface import Interface

QUERY, REPORT_1, DONE, REPORT_2 = 130, 131, 132, 143
MLD_MESSAGES = (QUERY, REPORT_1, DONE, REPORT_2)
_COUNTERS = {REPORT_1: "GroupMembResponses", DONE: "GroupMembReductions", REPORT_2: "MLDv2Reports"}
_ALL_ROUTERS, _ALL_REPORTS = b"\xff\2" + bytes(13) + b"\2", b"\xff\2" + bytes(13) + b"\x16"
_HOP_OPTIONS = int(Ipv6Option.IPV6_HOPOPTS)
_ROUTER_ALERT = bytes((58, 0, 5, 2, 0, 0, 1, 0))
"""The header for every hop: an alert that it's about listeners, and no padding in two bytes."""
_FIRST_BYTES, _SECOND_BYTES = 24, 28
_LONGEST_CODE_MS = 0x7FFF
"""What an old router can mean (MLDV1_MRD_MAX_COMPAT)."""
_NEAREST_SCOPE = LEAST_ROBUSTNESS = 2


def _exponential(code: int, bits: int) -> int:
    """A number as it is, or with three bits of an exponent above `bits`. Linux: include/net/mld.h,
    MLDV2_QQIC_EXP, MLDV2_MRC_EXP."""
    if code < 1 << bits + 3:
        return code
    return (code & (1 << bits) - 1 | 1 << bits) << (code >> bits & 7) + 3


class MldListening(Listening):
    """The groups of IPv6 at an interface. A router of the first version counts until `old_until_ns`; changes
    are told again within so many ticks (`longest_delay`)."""

    __slots__ = ("longest_delay", "old_until_ns")

    def __init__(self, interface: Interface) -> None:
        super().__init__(interface)
        self.old_until_ns = 0
        self.longest_delay = self._unasked_delay
        self.robustness = interface.network.system.mld_robustness

    def look_at_own(self) -> None:
        wanted: dict[bytes, int] = {}
        for group in own_groups(self.interface.network, self.interface):
            if len(group) == 16:
                wanted[group] = wanted.get(group, 0) + 1
        self.follow(wanted)

    @property
    def forced_version(self) -> int:
        """Linux: net/ipv6/mcast.c, mld_force_mld_version."""
        every = self.interface.network.sysctls.of_every[FORCED_VERSION[1]]
        return every or self.interface.settings[FORCED_VERSION[1]]

    @property
    def is_old(self) -> bool:
        """Linux: net/ipv6/mcast.c, mld_in_v1_mode."""
        forced = self.forced_version
        return forced == 1 or (forced != 2 and self.host.clock.now_ns < self.old_until_ns)

    @property
    def repeats(self) -> int:
        return self.robustness

    @property
    def _unasked_delay(self) -> int:
        """Linux: net/ipv6/mcast.c, unsolicited_report_interval."""
        key = REPORT_INTERVALS[2 if self.is_old else 3]
        return max(self.interface.settings[key] // MS_PER_TICK, 1)

    @property
    def change_delay(self) -> int:
        return self.longest_delay

    def reset(self) -> None:
        super().reset()
        self.old_until_ns = 0
        self.robustness = self.interface.network.system.mld_robustness
        self.longest_delay = self._unasked_delay

    def is_told(self, group: bytes) -> bool:
        return group[1] & 15 >= _NEAREST_SCOPE and group != EVERYBODY[1]

    def begin_old(self, group: ListenedGroup) -> None:
        """Linux: net/ipv6/mcast.c, igmp6_join_group."""
        self._send(REPORT_1, bytes(4) + group.address, group.address)
        group.stop()
        group.start(self.random_below(self._unasked_delay))
        group.was_reporter = True

    def leave_old(self, group: ListenedGroup, *, was_reporter: bool) -> None:
        if was_reporter:
            self._send(DONE, bytes(4) + group.address, _ALL_ROUTERS)

    def answer(self, group: ListenedGroup) -> None:
        """Linux: net/ipv6/mcast.c, mld_mca_work."""
        if self.is_old:
            self._send(REPORT_1, bytes(4) + group.address, group.address)
        else:
            self.tell([group])
        group.was_reporter = True

    def send_records(self, records: Sequence[bytes]) -> None:
        self._send(REPORT_2, bytes(2) + pack_port(len(records) & 0xFFFF) + b"".join(records), _ALL_REPORTS)

    def _send(self, kind: int, body: bytes, target: bytes) -> None:
        """Linux: net/ipv6/mcast.c, igmp6_send, mld_newpack, mld_sendpack."""
        interface = self.interface
        own = next((each.address for each in interface.addresses if is_link_local(each.address)), bytes(16))
        flow = self.flow_to(target, own)
        if flow is None:
            return
        message = with_checksum(pack_u8(kind) + bytes(3) + body, own, target)
        packet = Packet(message, own, 0, target, 0, self.host.clock.realtime_ns, 0, 1, ICMP6)
        put_headers(packet, {_HOP_OPTIONS: _ROUTER_ALERT})
        network = interface.network
        count_message(network, target, _COUNTERS[kind], "Out")
        with suppress(EPERM):
            send_packet(network, packet, flow, is_looped=target in self.groups)

    # What is heard.

    def receive(self, packet: Packet) -> None:
        """Linux: net/ipv6/mcast.c, __mld_query_work, __mld_report_work."""
        data = packet.data
        if len(data) < _FIRST_BYTES:
            return
        if data[0] == QUERY:
            if is_link_local(packet.source) and packet.ttl == 1 and is_for_listeners(packet):
                self._receive_query(data)
        elif data[0] == REPORT_1 and is_multicast(packet.target):
            is_own = any(found.address == packet.source for found in self.interface.addresses)
            group = self.groups.get(data[8:24])
            is_near = is_any(packet.source) or is_link_local(packet.source)
            if group is not None and is_near and not is_own:
                group.stop()
                group.was_reporter = False

    def _receive_query(self, data: bytes) -> None:
        asked = data[8:24]
        if not is_any(asked) and not is_multicast(asked):
            return
        is_old_query = len(data) == _FIRST_BYTES
        code = int.from_bytes(data[4:6], "big")
        sources: list[bytes] = []
        if is_old_query or self.is_old:
            if self.forced_version == 2:
                return
            delay_ms = code if is_old_query else min(code, _LONGEST_CODE_MS)
            ticks = max(-(-delay_ms // MS_PER_TICK), 1)
            if is_old_query:
                until = self.robustness * self.query_interval + self.response_interval
                self.old_until_ns = self.host.clock.now_ns + TICK_NS * until
            self.forget_all()
            self.forget_changes()
            self.forget_all_departed()
        elif len(data) < _SECOND_BYTES:
            return
        else:
            ticks = max(-(-_exponential(code, 12) // MS_PER_TICK), 1)
            self._learn(data, ticks)
            count = int.from_bytes(data[26:28], "big")
            if is_any(asked):
                if not count:
                    self.forget_all()
                    self.await_all(self.random_below(self.longest_delay))
                return
            if len(data) < _SECOND_BYTES + 16 * count:
                return
            sources = [data[at : at + 16] for at in range(_SECOND_BYTES, _SECOND_BYTES + 16 * count, 16)]
        self.host.clock.spend_looking(len(self.groups) + len(sources))
        if is_any(asked):
            for group in self.groups.values():
                self._ask(group, ticks)
            return
        found = self.groups.get(asked)
        if found is not None:
            found.tells_asked = bool(sources) and (found.timer is None or found.tells_asked)
            if not found.tells_asked or found.asks(sources):
                self._ask(found, ticks)

    def _learn(self, data: bytes, ticks: int) -> None:
        """What a router says of itself. Linux: net/ipv6/mcast.c, mld_process_v2, mld_update_qrv."""
        least = min(LEAST_ROBUSTNESS, self.interface.network.system.mld_robustness)
        self.robustness = max(data[24] & 7, least)
        self.query_interval = _exponential(data[25], 4) * HZ
        self.response_interval = self.longest_delay = ticks

    def _ask(self, group: ListenedGroup, ticks: int) -> None:
        """A group is to be told within so many ticks. Linux: net/ipv6/mcast.c, igmp6_group_queried."""
        if not self.is_told(group.address):
            return
        if group.timer is not None:
            if group.deadline_ns - self.host.clock.now_ns < ticks * TICK_NS:
                return
            group.stop()
        group.start(self.random_below(ticks))
