"""Neighbours: which hardware address an Internet address has on an interface (arp(7), ip-neighbour(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.duration import NS_PER_MS, NS_PER_S
from procession.abi.named_tuple import NamedTuple
from procession.abi.netlink import NeighbourState
from procession.net.sysctls import EVICT, NEIGHBOURS_4, NEIGHBOURS_6, NeighbourKeys

if TYPE_CHECKING:
    from procession.net.internet.packet import Packet
    from procession.net.link.interface import Interface
    from procession.net.network import Network

INCOMPLETE, REACHABLE = int(NeighbourState.NUD_INCOMPLETE), int(NeighbourState.NUD_REACHABLE)
STALE, FAILED = int(NeighbourState.NUD_STALE), int(NeighbourState.NUD_FAILED)
DELAY, PROBE = int(NeighbourState.NUD_DELAY), int(NeighbourState.NUD_PROBE)
PERMANENT, NOARP = int(NeighbourState.NUD_PERMANENT), int(NeighbourState.NUD_NOARP)
_LEAST_WAIT_NS = 10**7
"""How long an answer is waited for at least (HZ/100)."""
MOST_ENTRIES = 1_024
"""Of one network (gc_thresh3)."""
NEIGHBOUR_TIMER = "neighbour"


class Neighbour:
    """One entry (Linux: include/net/neighbour.h, struct neighbour).

    `flags` are NTF_*, and above them NTF_EXT_*; `protocol` says who made it. `state` is a NUD_*; one
    that was REACHABLE is STALE once it hasn't been confirmed for a while. One that nobody but a program
    has told is in DELAY when it's used, and then in PROBE. `timer`, of which it has one at a time, ends
    these states and the wait for an answer; `probe_count` begins at ucast_solicit where nobody is known
    who could be asked alone. `waiting` are packets that go when the question is answered, each with the
    network that it comes from."""

    __slots__ = (
        "address",
        "confirmed_ns",
        "flags",
        "hardware_address",
        "interface",
        "probe_count",
        "protocol",
        "state",
        "timer",
        "updated_ns",
        "used_ns",
        "waiting",
        "waiting_bytes",
    )

    def __init__(self, interface: Interface, address: bytes, now_ns: int) -> None:
        self.interface = interface
        self.address = address
        self.hardware_address = b""
        self.state = INCOMPLETE
        self.probe_count = 0
        self.timer: Any = None
        self.flags = self.protocol = 0
        self.confirmed_ns = self.updated_ns = self.used_ns = now_ns
        self.waiting: list[tuple[Network, Packet]] = []
        self.waiting_bytes = 0

    @property
    def keys(self) -> NeighbourKeys:
        """What the settings are called that count for it."""
        return NEIGHBOURS_4 if len(self.address) == 4 else NEIGHBOURS_6

    @property
    def answer_ns(self) -> int:
        """How long the answer to a question is waited for."""
        answer_ms: int = self.interface.settings[self.keys.answer_ms]
        return max(answer_ms * NS_PER_MS, _LEAST_WAIT_NS)

    @property
    def unicast_count(self) -> int:
        """How often who was there is asked alone."""
        return self.interface.settings[self.keys.alone]

    @property
    def most_questions(self) -> int:
        """Up to where it's counted how often was asked. Linux: net/core/neighbour.c, neigh_max_probes."""
        settings, keys = self.interface.settings, self.keys
        asked = settings[keys.alone] + settings[keys.programs]
        return asked + settings[keys.known if self.state == PROBE else keys.unknown]

    def state_at(self, now_ns: int) -> int:
        """NUD_* as programs are told."""
        if (
            self.state == REACHABLE
            and now_ns - self.confirmed_ns >= self.interface.settings[self.keys.confirmed_ms] * NS_PER_MS
        ):
            return STALE
        return self.state

    def keep(self, sender: Network, packet: Packet) -> None:
        """`packet` waits too; the oldest don't if there are too many, nor it if there is no memory."""
        room = self.interface.settings[self.keys.waiting_bytes]
        while self.waiting and self.waiting_bytes + packet.charge > room:
            _, oldest = self.waiting.pop(0)
            self.waiting_bytes -= oldest.charge
            sender.system.uncharge_buffer(oldest.charge)
        if not sender.system.is_under_pressure and sender.system.charge_arrived(packet.charge):
            self.waiting.append((sender, packet))
            self.waiting_bytes += packet.charge

    def take(self) -> list[tuple[Network, Packet]]:
        """Those that wait, which don't any more."""
        waiting, self.waiting = self.waiting, []
        if waiting:
            self.interface.network.system.uncharge_buffer(self.waiting_bytes)
            self.waiting_bytes = 0
        return waiting

    @property
    def is_resolved(self) -> bool:
        """Whether it has a hardware address that counts."""
        return self.state in (REACHABLE, STALE, DELAY, PROBE, PERMANENT, NOARP)


class Proxy(NamedTuple):
    """A neighbour for whom this machine answers (Linux: include/net/neighbour.h, struct pneigh_entry)."""

    flags: int
    protocol: int


def entry_of(interface: Interface, address: bytes) -> Neighbour:
    """The entry of `address`, a new one if need be. Linux: net/core/neighbour.c, ___neigh_create."""
    network = interface.network
    entries = network.neighbours
    key = interface, address
    found = entries.get(key)
    if found is None:
        found = entries[key] = Neighbour(interface, address, network.host.clock.now_ns)
        network.account_neighbour(1)
        if len(entries) > MOST_ENTRIES:
            _forget_one(network)
    return found


def learn(interface: Interface, address: bytes, hardware_address: bytes, state: int) -> Neighbour:
    """The entry of `address`, which has answered or asked from `hardware_address`.

    Linux: net/core/neighbour.c, neigh_update.
    """
    network = interface.network
    now_ns = network.host.clock.now_ns
    found = entry_of(interface, address)
    if found.state == PERMANENT:
        return found
    has_changed = found.hardware_address != hardware_address or found.state != state
    found.hardware_address = hardware_address
    if state == REACHABLE:
        found.confirmed_ns = now_ns
    if has_changed and not (state == STALE and found.state == REACHABLE):
        if found.state != state and not found.waiting:
            stop_timer(found)
        found.state = state
        found.updated_ns = now_ns
        network.neighbour_changed(found, is_there=True)
    return found


def doubt(entry: Neighbour) -> None:
    """A packet goes to where `entry` says, though nobody has answered to that: he's asked in a while.

    Linux: include/net/neighbour.h, neigh_event_send_probe.
    """
    now_ns = entry.interface.network.host.clock.now_ns
    if entry.state_at(now_ns) == STALE:
        entry.state = DELAY
        entry.updated_ns = now_ns
        look_again(entry, max(entry.interface.settings[entry.keys.doubted_s], 0) * NS_PER_S)


def look_again(entry: Neighbour, delay_ns: int) -> None:
    """After this time, and not when it was to be before. Linux: net/core/neighbour.c, neigh_add_timer."""
    stop_timer(entry)
    host = entry.interface.network.host
    entry.timer = host.timers.add(host.clock.now_ns + delay_ns, NEIGHBOUR_TIMER, entry)


def stop_timer(entry: Neighbour) -> None:
    """Nobody is asked any more. Linux: net/core/neighbour.c, neigh_del_timer."""
    if entry.timer is not None:
        entry.interface.network.host.timers.cancel(entry.timer)
        entry.timer = None


def _forget_one(network: Network) -> None:
    """There are too many: the oldest goes that nobody made by hand. Linux: net/core/neighbour.c,
    neigh_forced_gc."""
    for looks, found in enumerate(network.neighbours.values(), 1):
        if found.state != PERMANENT and not found.waiting:
            network.host.clock.spend_looking(looks)
            forget(found)
            return
    network.host.clock.spend_looking(len(network.neighbours))
    # What waits is lost then.
    oldest = next((found for found in network.neighbours.values() if found.state != PERMANENT), None)
    if oldest is not None:
        forget(oldest)


def forget(entry: Neighbour) -> None:
    """The entry is gone, with what waits for it."""
    network = entry.interface.network
    if network.neighbours.pop((entry.interface, entry.address), None) is not None:
        network.account_neighbour(-1)
    stop_timer(entry)
    entry.take()


def lose_wire(interface: Interface) -> None:
    """Who was behind the wire isn't any more, if arp_evict_nocarrier or ndisc_evict_nocarrier say so, of the
    interface and of all. Linux: net/core/neighbour.c, neigh_carrier_down."""
    network = interface.network
    of_every = network.sysctls.of_every
    sizes = [
        size for size, key in zip((4, 16), EVICT, strict=True) if interface.settings[key] and of_every[key]
    ]
    network.host.clock.spend_looking(len(network.neighbours))
    for entry in list(network.neighbours.values()):
        if entry.interface is interface and entry.state != PERMANENT and len(entry.address) in sizes:
            forget(entry)


def forget_all_of(interface: Interface, *, also_permanent: bool) -> None:
    """The interface went down, or is gone. Linux: net/core/neighbour.c, neigh_ifdown."""
    network = interface.network
    network.host.clock.spend_looking(len(network.proxies) + len(network.neighbours))
    for key in [key for key in network.proxies if key[0] is interface]:
        del network.proxies[key]
        network.account_neighbour(-1)
    for entry in list(network.neighbours.values()):
        if entry.interface is interface and (also_permanent or entry.state != PERMANENT):
            forget(entry)
