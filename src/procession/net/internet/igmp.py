"""IGMP: routers ask who listens to which groups of IPv4, and are told (RFC 1112, 2236 and 3376)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.duration import HZ, TICK_NS
from procession.abi.errno import EPERM
from procession.abi.word import pack_port, pack_u8
from procession.net.internet.listening import (
    MS_PER_TICK,
    QUERY_INTERVAL,
    ListenedGroup,
    Listening,
)
from procession.net.internet.output import send_packet
from procession.net.internet.packet import IGMP, Packet, checksum
from procession.net.link.interface import LOOPBACK
from procession.net.sysctls import FORCED_VERSION, REPORT_INTERVALS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procession.net.link.interface import Interface

QUERY, REPORT_1, REPORT_2, REPORT_3, LEAVE = 0x11, 0x12, 0x16, 0x22, 0x17
_ALL_HOSTS, _ALL_ROUTERS, _ALL_REPORTS = b"\xe0\0\0\1", b"\xe0\0\0\2", b"\xe0\0\0\x16"
_ROUTER_ALERT = b"\x94\4\0\0"
_INTERNET_CONTROL, _CONTROL_PRIORITY = 0xC0, 7
"""IPTOS_PREC_INTERNETCONTROL, and TC_PRIO_CONTROL."""
_HEADER_BYTES, _QUERY_BYTES = 8, 12
_TICKS_PER_TENTH = HZ // 10
_RESPONSE_TICKS = 10 * HZ
"""How long routers of the first version wait."""


def _exponential(code: int) -> int:
    """What a byte means: as it is, or with three bits of an exponent. Linux: include/linux/igmp.h,
    IGMPV3_EXP."""
    return code if code < 128 else (code & 15 | 16) << (code >> 4 & 7) + 3


class IgmpListening(Listening):
    """The groups of IPv4 at an interface. Routers of the first two versions count until `first_until_ns` and
    `second_until_ns`."""

    __slots__ = ("first_until_ns", "second_until_ns")

    def __init__(self, interface: Interface) -> None:
        super().__init__(interface)
        self.first_until_ns = self.second_until_ns = 0

    @property
    def version(self) -> int:
        """Which is spoken. Linux: net/ipv4/igmp.c, IGMP_V1_SEEN, IGMP_V2_SEEN."""
        interface = self.interface
        forced = (
            interface.network.sysctls.of_every[FORCED_VERSION[0]],
            interface.settings[FORCED_VERSION[0]],
        )
        now_ns = self.host.clock.now_ns
        if 1 in forced or now_ns < self.first_until_ns:
            return 1
        return 2 if 2 in forced or now_ns < self.second_until_ns else 3

    @property
    def is_old(self) -> bool:
        return self.version < 3

    @property
    def repeats(self) -> int:
        return self.robustness or self.interface.network.sysctls.igmp_robustness

    @property
    def change_delay(self) -> int:
        """Linux: net/ipv4/igmp.c, unsolicited_report_interval."""
        key = REPORT_INTERVALS[0 if self.is_old else 1]
        return max(-(-self.interface.settings[key] // MS_PER_TICK), 1)

    def is_told(self, group: bytes) -> bool:
        if group == _ALL_HOSTS:
            return False
        return group[:3] != _ALL_HOSTS[:3] or bool(self.interface.network.sysctls.tells_local_groups)

    def begin_old(self, group: ListenedGroup) -> None:
        group.unsolicited_left = self.interface.network.sysctls.igmp_robustness
        self._start(group, 1)

    def _start(self, group: ListenedGroup, most_ticks: int) -> None:
        """Linux: net/ipv4/igmp.c, igmp_start_timer."""
        group.start(self.random_below(most_ticks) + 2)

    def leave_old(self, group: ListenedGroup, *, was_reporter: bool) -> None:
        if was_reporter and self.version == 2:
            self._send(pack_u8(LEAVE) + bytes(3) + group.address, _ALL_ROUTERS)

    def answer(self, group: ListenedGroup) -> None:
        """Linux: net/ipv4/igmp.c, igmp_timer_expire, igmp_send_report."""
        if group.unsolicited_left:
            group.unsolicited_left -= 1
            if group.unsolicited_left:
                self._start(group, self.change_delay)
        group.was_reporter = True
        version = self.version
        if version == 3:
            self.tell([group])
        elif self.is_told(group.address):
            kind = REPORT_1 if version == 1 else REPORT_2
            self._send(pack_u8(kind) + bytes(3) + group.address, group.address)

    def send_records(self, records: Sequence[bytes]) -> None:
        header = pack_u8(REPORT_3) + bytes(5) + pack_port(len(records) & 0xFFFF)
        self._send(header + b"".join(records), _ALL_REPORTS)

    def _send(self, message: bytes, target: bytes) -> None:
        """Linux: net/ipv4/igmp.c, igmp_send_report, igmpv3_newpack."""
        interface = self.interface
        flow = self.flow_to(target, None)
        if flow is None:
            return
        whole = message[:2] + pack_port(checksum(message)) + message[4:]
        packet = Packet(
            *(whole, flow.source, 0, target, 0, self.host.clock.realtime_ns),
            *(_INTERNET_CONTROL, 1, IGMP),
        )
        packet.options, packet.priority = _ROUTER_ALERT, _CONTROL_PRIORITY
        is_heard = interface.kind == LOOPBACK or target in self.groups
        with suppress(EPERM):
            send_packet(interface.network, packet, flow, is_looped=is_heard)

    # What is heard.

    def receive(self, packet: Packet) -> None:
        """Linux: net/ipv4/igmp.c, igmp_rcv."""
        data = packet.data
        if len(data) < _HEADER_BYTES or checksum(data):
            return
        if data[0] == QUERY:
            self._receive_query(data)
        elif data[0] in (REPORT_1, REPORT_2) and packet.target[0] >> 4 == 14:
            group = self.groups.get(data[4:8])
            is_own = any(found.address == packet.source for found in self.interface.addresses)
            if group is not None and self.is_told(group.address) and not is_own:
                # Somebody else has told it. Linux: net/ipv4/igmp.c, igmp_heard_report.
                group.stop()
                group.was_reporter = False
                group.unsolicited_left = 0

    def _receive_query(self, data: bytes) -> None:
        """Linux: net/ipv4/igmp.c, igmp_heard_query."""
        code, asked = data[1], data[4:8]
        sources: list[bytes] = []
        version = self.version
        if len(data) == _HEADER_BYTES:
            until_ns = self.host.clock.now_ns + TICK_NS * (
                self.repeats * self.query_interval + self.response_interval
            )
            if code:
                self.second_until_ns = until_ns
                ticks = code * _TICKS_PER_TENTH
            else:
                self.first_until_ns = until_ns
                ticks, asked = _RESPONSE_TICKS, bytes(4)
            self.forget_changes()
            self.forget_all_departed()
        elif len(data) < _QUERY_BYTES:
            return
        elif version == 1:
            ticks, asked = _RESPONSE_TICKS, bytes(4)
        else:
            ticks = max(_exponential(code) * _TICKS_PER_TENTH, 1)
            count = int.from_bytes(data[10:12], "big")
            if version == 3:
                if len(data) < _QUERY_BYTES + 4 * count:
                    return
                self._learn(data)
                if not any(asked):
                    if not count:
                        self.await_all(self.random_below(ticks))
                    return
                sources = [data[at : at + 4] for at in range(_QUERY_BYTES, _QUERY_BYTES + 4 * count, 4)]
        self.host.clock.spend_looking(len(self.groups) + len(sources))
        for group in self.groups.values():
            if self.is_told(group.address) and (not any(asked) or group.address == asked):
                self._ask(group, sources, ticks)

    def _learn(self, data: bytes) -> None:
        """What a router says of itself."""
        self.robustness = data[8] & 7
        self.query_interval = _exponential(data[9]) * HZ or QUERY_INTERVAL
        if self.response_interval >= self.query_interval:
            self.response_interval = (self.query_interval // HZ - 1) * HZ

    def _ask(self, group: ListenedGroup, sources: list[bytes], ticks: int) -> None:
        """A group is to be told within so many ticks. Linux: net/ipv4/igmp.c, igmp_mod_timer."""
        has_sources = bool(sources)
        group.tells_asked = has_sources and (group.timer is None or group.tells_asked)
        if group.tells_asked and not group.asks(sources):
            return
        if group.timer is not None:
            if group.deadline_ns - self.host.clock.now_ns < ticks * TICK_NS:
                return
            group.stop()
        self._start(group, ticks)
