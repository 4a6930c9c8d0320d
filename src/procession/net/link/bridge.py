"""Bridges: what is known of who is behind which port, and what ports pass on (bridge(8))."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from procession.abi.duration import NS_PER_CLOCK_TICK
from procession.abi.errno import ENOBUFS
from procession.net.link.interface import IFF_PROMISC

if TYPE_CHECKING:
    from procession.net.link.interface import Interface

DISABLED, LISTENING, LEARNING, FORWARDING, BLOCKING = range(5)
"""BR_STATE_*."""
HAIRPIN, GUARD, ROOT_BLOCK, FAST_LEAVE, LEARNS, FLOODS = 1, 2, 4, 8, 16, 32
FLOODS_GROUPS, TO_UNICAST, TUNNELS, FLOODS_ALL, ISOLATED = 64, 128, 256, 512, 1024
"""What a port does (in Linux, BR_HAIRPIN_MODE ...)."""
FIRST_PORT_FLAGS = LEARNS | FLOODS | FLOODS_GROUPS | FLOODS_ALL
FIRST_PRIORITY, FIRST_PORT_PRIORITY = 0x8000, 32
BRIDGE_TIMER = "bridge"
_GROUP_ADDRESS = b"\1\x80\xc2\0\0\0"
_RESERVED_COUNT, _PAUSE = 16, 1
_PORT_COSTS = {b"veth": 2}
_FIRST_COST = 100


class FdbEntry:
    """Who is behind a port, or the bridge itself where `port` is None (Linux: net/bridge/br_private.h, struct
    net_bridge_fdb_entry). `is_local` are those whose frames end here, `is_static` those that don't age,
    `is_learned` those of which no program has said anything, which are counted; a sticky one moves to no
    other port."""

    __slots__ = (
        "address",
        "is_from_outside",
        "is_learned",
        "is_local",
        "is_static",
        "is_sticky",
        "port",
        "updated_ns",
        "used_ns",
    )

    def __init__(self, address: bytes, port: Interface | None, now_ns: int) -> None:
        self.address = address
        self.port = port
        self.is_local = self.is_static = self.is_sticky = self.is_learned = self.is_from_outside = False
        self.updated_ns = self.used_ns = now_ns


class BridgePort:
    """What a bridge knows of one of its ports (Linux: net/bridge/br_private.h, struct net_bridge_port).

    `number` is what it's called, `flags` what it does, `state` what it has come to (BR_STATE_*) since
    `forwarding_ns` if it's up."""

    __slots__ = ("cost", "flags", "forwarding_ns", "group_mask", "number", "priority", "state")

    def __init__(self, number: int, kind: bytes) -> None:
        self.number = number
        self.cost = _PORT_COSTS.get(kind, _FIRST_COST)
        self.priority = FIRST_PORT_PRIORITY
        self.flags = FIRST_PORT_FLAGS
        self.group_mask = 0
        self.state = DISABLED
        self.forwarding_ns = 0

    @property
    def identifier(self) -> int:
        """Linux: net/bridge/br_stp_if.c, br_make_port_id."""
        return self.priority << 10 | self.number


class Bridge:
    """What an interface is that joins others (Linux: net/bridge/br_private.h, struct net_bridge).

    `entries` say who is behind which port; of those `learned_count` were learned, at most `most_learned`, or
    any number if that is 0. Those that age are dropped by `timer`, of which there is one at a time. Times are
    in hundredths of a second. There is no spanning tree: its priority and times are told alone."""

    __slots__ = (
        "ageing_time",
        "entries",
        "forward_delay",
        "group_address",
        "group_mask",
        "hello_time",
        "learned_count",
        "learns_nothing_of_link",
        "maximum_age",
        "most_learned",
        "priority",
        "timer",
    )

    def __init__(self) -> None:
        self.entries: dict[bytes, FdbEntry] = {}
        self.learned_count = self.most_learned = 0
        self.ageing_time, self.forward_delay, self.hello_time, self.maximum_age = 30_000, 1_500, 200, 2_000
        self.priority = FIRST_PRIORITY
        self.group_mask = 0
        self.group_address = _GROUP_ADDRESS
        self.learns_nothing_of_link = False
        self.timer: Any = None

    @property
    def ageing_ns(self) -> int:
        return self.ageing_time * NS_PER_CLOCK_TICK


def is_of_link(address: bytes) -> bool:
    """Whether frames to this address stay on their link. Linux: include/linux/etherdevice.h,
    is_link_local_ether_addr."""
    return address[:5] == _GROUP_ADDRESS[:5] and address[5] < _RESERVED_COUNT


def local_entries(bridge: Interface) -> list[FdbEntry]:
    """Those of the bridge's own address and its ports', the newest first, without any twice."""
    found: dict[bytes, FdbEntry] = {}
    owners: list[Interface | None] = [*bridge.ports, None]
    for owner in owners:
        address = bridge.hardware_address if owner is None else owner.hardware_address
        if any(address):
            entry = found.setdefault(address, FdbEntry(address, owner, bridge.network.host.clock.now_ns))
            entry.is_local = entry.is_static = True
    return list(found.values())[::-1]


def is_own(bridge: Interface, address: bytes) -> bool:
    """Whether frames to `address` are for the bridge itself."""
    if address == bridge.hardware_address or any(port.hardware_address == address for port in bridge.ports):
        return True
    assert bridge.bridge is not None
    entry = bridge.bridge.entries.get(address)
    return entry is not None and entry.is_local


def has_expired(bridge: Bridge, entry: FdbEntry, now_ns: int) -> bool:
    """Linux: net/bridge/br_fdb.c, has_expired."""
    return not (entry.is_static or entry.is_from_outside) and now_ns - entry.updated_ns >= bridge.ageing_ns


def update_port(port: Interface) -> None:
    """What has become of a port whose wire, or whose bridge, went up or down; who was behind one that went
    down is forgotten.

    Linux: net/bridge/br_stp_if.c, br_stp_enable_port, br_stp_disable_port.
    """
    bridge, known = port.master, port.port
    if bridge is None or known is None:
        return
    is_on = bridge.is_up and port.is_up and port.has_carrier
    if is_on and known.state == DISABLED:
        known.state = FORWARDING
        known.forwarding_ns = port.network.host.clock.now_ns
    elif not is_on and known.state != DISABLED:
        known.state = DISABLED
        forget_behind(bridge, port)


def learn_behind(port: Interface, address: bytes, target: bytes = b"") -> None:
    """A frame from `address` to `target` has come in by `port`. Linux: net/bridge/br_fdb.c, br_fdb_update."""
    bridge, known = port.master, port.port
    if bridge is None or known is None or known.state not in (LEARNING, FORWARDING):
        return
    own = bridge.bridge
    assert own is not None
    if own.learns_nothing_of_link and target and is_of_link(target):
        return
    if known.flags & LEARNS and own.ageing_time and not address[0] & 1 and any(address):
        note(bridge, port, address)


def note(bridge: Interface, port: Interface, address: bytes, *, is_learned: bool = True) -> None:
    """`address` is behind `port`, as a frame has shown or a program says."""
    own, now_ns = bridge.bridge, bridge.network.host.clock.now_ns
    assert own is not None
    entry = own.entries.get(address)
    if entry is None or has_expired(own, entry, now_ns):
        if is_own(bridge, address):
            return
        if entry is not None:
            drop(bridge, entry)
        if is_learned and 0 < own.most_learned <= own.learned_count:
            return
        entry = FdbEntry(address, port, now_ns)
        entry.is_learned = is_learned
        with suppress(ENOBUFS):
            add(bridge, entry)
        return
    if entry.is_local:
        return
    entry.updated_ns = now_ns
    if not is_learned and entry.is_learned:
        entry.is_learned = False
        own.learned_count -= 1
    if entry.port is not port and not entry.is_sticky:
        entry.port = port
        entry.is_from_outside = False
        bridge.network.topology_changed()
        bridge.network.fdb_changed(bridge, entry, is_there=True)


def add(bridge: Interface, entry: FdbEntry) -> None:
    """There is one more. Raises ENOBUFS."""
    own = bridge.bridge
    assert own is not None
    bridge.network.account_address(1)
    own.entries[entry.address] = entry
    own.learned_count += entry.is_learned
    look_at_ages(bridge)
    bridge.network.topology_changed()
    bridge.network.fdb_changed(bridge, entry, is_there=True)


def drop(bridge: Interface, entry: FdbEntry) -> None:
    """There is one less. Linux: net/bridge/br_fdb.c, fdb_delete."""
    own = bridge.bridge
    assert own is not None
    del own.entries[entry.address]
    own.learned_count -= entry.is_learned
    bridge.network.account_address(-1)
    bridge.network.topology_changed()
    bridge.network.fdb_changed(bridge, entry, is_there=False)


def forget_behind(bridge: Interface, port: Interface | None = None, *, also_static: bool = False) -> None:
    """Who is behind `port`, the bridge itself, or any, isn't known any more. Linux: net/bridge/br_fdb.c,
    br_fdb_delete_by_port, br_fdb_flush."""
    own = bridge.bridge
    assert own is not None
    bridge.network.host.clock.spend_looking(len(own.entries))
    place = None if port is bridge else port
    for entry in list(own.entries.values()):
        if (port is None or entry.port is place) and (also_static or not entry.is_static):
            drop(bridge, entry)


def look_at_ages(bridge: Interface) -> None:
    """From now on, when the first entry may be too old. Linux: net/bridge/br_fdb.c, br_fdb_cleanup."""
    own, host = bridge.bridge, bridge.network.host
    assert own is not None
    if own.timer is None and own.entries:
        own.timer = host.timers.add(
            host.clock.now_ns + max(own.ageing_ns, NS_PER_CLOCK_TICK), BRIDGE_TIMER, bridge
        )


def stop_ageing(bridge: Interface) -> None:
    """Nothing ages any more."""
    own = bridge.bridge
    if own is not None and own.timer is not None:
        bridge.network.host.timers.cancel(own.timer)
        own.timer = None


def drop_old(bridge: Interface) -> None:
    """Those are dropped that are too old; when the next is, it's looked again."""
    own, host = bridge.bridge, bridge.network.host
    assert own is not None
    own.timer = None
    now_ns = host.clock.now_ns
    host.clock.spend_looking(len(own.entries))
    next_ns = 0
    for entry in list(own.entries.values()):
        if has_expired(own, entry, now_ns):
            drop(bridge, entry)
        elif not (entry.is_static or entry.is_from_outside):
            end_ns = entry.updated_ns + own.ageing_ns
            next_ns = min(next_ns, end_ns) if next_ns else end_ns
    if next_ns:
        own.timer = host.timers.add(next_ns, BRIDGE_TIMER, bridge)


def takes_in(port: Interface, *, is_learning_enough: bool = False) -> bool:
    """Whether a port takes frames in. Linux: net/bridge/br_input.c, br_handle_frame."""
    known = port.port
    assert known is not None
    return known.state == FORWARDING or (is_learning_enough and known.state == LEARNING)


def passes_up(bridge: Interface, target: bytes) -> bool:
    """Whether the bridge itself hears a frame to `target`, b"" for any. Linux: net/bridge/br_input.c,
    br_handle_frame_finish."""
    is_for_many = not target or bool(target[0] & 1)
    return is_for_many or bool(bridge.flags & IFF_PROMISC) or is_own(bridge, target)


def _leaves_link(own: Bridge, arrived: Interface, last: int) -> bool:
    """Whether frames to 01:80:c2:00:00:`last` are passed on: what is for spanning trees is, as there are
    none. Linux: net/bridge/br_input.c, br_handle_frame."""
    assert arrived.port is not None
    return last != _PAUSE and (last == 0 or bool((own.group_mask | arrived.port.group_mask) >> last & 1))


def ports_to(bridge: Interface, arrived: Interface | None, target: bytes) -> list[Interface]:
    """The ports by which a frame to `target` leaves that has come by the port `arrived`, or from the bridge
    itself, the newest first.

    Linux: net/bridge/br_forward.c, br_forward, br_flood, should_deliver.
    """
    own = bridge.bridge
    assert own is not None
    ports: list[Interface] = list(reversed(bridge.ports))
    if arrived is not None and target and is_of_link(target) and not _leaves_link(own, arrived, target[5]):
        return []
    if target and not target[0] & 1:
        if arrived is not None and is_own(bridge, target):
            return []
        entry = own.entries.get(target)
        if entry is not None and not has_expired(own, entry, bridge.network.host.clock.now_ns):
            entry.used_ns = bridge.network.host.clock.now_ns
            ports, wanted = ([] if entry.port is None else [entry.port]), 0
        else:
            wanted = FLOODS
    else:
        wanted = FLOODS_ALL if not target or target == b"\xff" * 6 else FLOODS_GROUPS
    from_isolated = arrived is not None and arrived.port is not None and bool(arrived.port.flags & ISOLATED)
    found = []
    for port in ports:
        known = port.port
        assert known is not None
        if (
            known.state == FORWARDING
            and (port is not arrived or known.flags & HAIRPIN)
            # What the machine sends itself goes to groups by all ports.
            and (known.flags & wanted == wanted or (arrived is None and wanted != FLOODS))
            and not (from_isolated and known.flags & ISOLATED)
        ):
            found.append(port)
    return found
