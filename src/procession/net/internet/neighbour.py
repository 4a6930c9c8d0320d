"""Neighbours: which hardware address an Internet address has on an interface (arp(7), ip-neighbour(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.named_tuple import NamedTuple
from procession.abi.netlink import NeighbourState

if TYPE_CHECKING:
    from procession.net.internet.packet import Packet
    from procession.net.link.interface import Interface
    from procession.net.network import Network

INCOMPLETE, REACHABLE = int(NeighbourState.NUD_INCOMPLETE), int(NeighbourState.NUD_REACHABLE)
STALE, FAILED = int(NeighbourState.NUD_STALE), int(NeighbourState.NUD_FAILED)
DELAY, PROBE = int(NeighbourState.NUD_DELAY), int(NeighbourState.NUD_PROBE)
PERMANENT, NOARP = int(NeighbourState.NUD_PERMANENT), int(NeighbourState.NUD_NOARP)
REACHABLE_NS = 30 * 10**9
"""How long an entry counts as confirmed (base_reachable_time_ms)."""
PROBE_NS = 10**9
"""How long the answer to a question is waited for (retrans_time_ms)."""
PROBE_COUNT = 3
"""How often is asked (mcast_solicit, ucast_solicit)."""
DELAY_NS = 5 * 10**9
"""How long a stale entry is used before anybody asks whether it's true (delay_first_probe_time)."""
MOST_WAITING, MOST_WAITING_BYTES = 101, 212_992
"""How many packets wait for an answer, and what they may take (unres_qlen_bytes)."""
MOST_ENTRIES = 1_024
"""Of one network (gc_thresh3)."""
NEIGHBOUR_TIMER = "neighbour"


class Neighbour:
    """One entry (Linux: include/net/neighbour.h, struct neighbour).

    `flags` are NTF_*, `protocol` says who made it. `state` is a NUD_*; an entry that was REACHABLE is STALE
    once it hasn't been confirmed for a while. One that nobody but a program has told is in DELAY when it's
    used, and then in PROBE, with `timer`. `waiting` are packets that go when the question is answered,
    each with the network that it comes from."""

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

    def state_at(self, now_ns: int) -> int:
        """NUD_* as programs are told."""
        if self.state == REACHABLE and now_ns - self.confirmed_ns >= REACHABLE_NS:
            return STALE
        return self.state

    def keep(self, sender: Network, packet: Packet) -> None:
        """`packet` waits too; the oldest don't if there are too many, nor it if there is no memory."""
        while self.waiting and (
            len(self.waiting) >= MOST_WAITING or self.waiting_bytes + packet.charge > MOST_WAITING_BYTES
        ):
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


def learn(
    interface: Interface, address: bytes, hardware_address: bytes, state: int, port_id: int = 0
) -> Neighbour:
    """The entry of `address`, which has answered or asked from `hardware_address`, or of which the socket of
    this port said so."""
    network = interface.network
    now_ns = network.host.clock.now_ns
    entries = network.neighbours
    key = interface, address
    found = entries.get(key)
    if found is None:
        found = entries[key] = Neighbour(interface, address, now_ns)
        network.account_neighbour(1)
        if len(entries) > MOST_ENTRIES:
            _forget_one(network)
    elif found.state == PERMANENT:
        return found
    has_changed = found.hardware_address != hardware_address or found.state != state
    found.hardware_address = hardware_address
    if state == REACHABLE:
        found.confirmed_ns = now_ns
    if has_changed and not (state == STALE and found.state == REACHABLE):
        found.state = state
        found.updated_ns = now_ns
        network.neighbour_changed(found, is_there=True, port_id=port_id)
    return found


def doubt(entry: Neighbour) -> None:
    """A packet goes to where `entry` says, though nobody has answered to that: he's asked in a while.

    Linux: include/net/neighbour.h, neigh_event_send_probe.
    """
    if entry.state == STALE:
        host = entry.interface.network.host
        entry.state = DELAY
        entry.probe_count = 0
        entry.updated_ns = host.clock.now_ns
        # One that is told again and again has one all the same.
        stop_doubting(entry)
        entry.timer = host.timers.add(entry.updated_ns + DELAY_NS, NEIGHBOUR_TIMER, entry)


def stop_doubting(entry: Neighbour) -> None:
    """Nobody is asked any more."""
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


def forget(entry: Neighbour) -> None:
    """The entry is gone, with what waits for it."""
    network = entry.interface.network
    if network.neighbours.pop((entry.interface, entry.address), None) is not None:
        network.account_neighbour(-1)
    stop_doubting(entry)
    entry.take()


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
