"""IFLA_BR_*: what is told and set of a bridge (ip-link(8), bridge(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_CLOCK_TICK
from procession.abi.errno import EINVAL, EOPNOTSUPP, ERANGE, TOLD
from procession.abi.netlink import BridgeAttribute
from procession.abi.word import Words, pack_port, pack_u8, pack_u16, pack_u64
from procession.net.link.bridge import forget_behind, is_of_link, look_at_ages, stop_ageing
from procession.net.link_change import look_at_ports
from procession.net.netlink.attributes import attribute, nested_in, number, number_in
from procession.net.netlink.policy import REFUSED, U8, U16, U32, Expected, at_least, at_most, check_lengths

if TYPE_CHECKING:
    from procession.net.link.interface import Interface

_DELAY, _HELLO = int(BridgeAttribute.IFLA_BR_FORWARD_DELAY), int(BridgeAttribute.IFLA_BR_HELLO_TIME)
_MAX_AGE, _AGEING = int(BridgeAttribute.IFLA_BR_MAX_AGE), int(BridgeAttribute.IFLA_BR_AGEING_TIME)
_STP, _PRIORITY = int(BridgeAttribute.IFLA_BR_STP_STATE), int(BridgeAttribute.IFLA_BR_PRIORITY)
_VLANS, _MASK = int(BridgeAttribute.IFLA_BR_VLAN_FILTERING), int(BridgeAttribute.IFLA_BR_GROUP_FWD_MASK)
_GROUP, _FLUSH = int(BridgeAttribute.IFLA_BR_GROUP_ADDR), int(BridgeAttribute.IFLA_BR_FDB_FLUSH)
_SWITCHES, _MOST = int(BridgeAttribute.IFLA_BR_MULTI_BOOLOPT), int(BridgeAttribute.IFLA_BR_FDB_MAX_LEARNED)
_LEARNED = int(BridgeAttribute.IFLA_BR_FDB_N_LEARNED)
_SWITCH_BYTES = Words("<II")
_HARDWARE_BYTES = 6
BRIDGE_EXPECTED: dict[int, Expected] = {
    **dict.fromkeys((_DELAY, _HELLO, _MAX_AGE, _AGEING, _STP, _MOST), U32),
    **dict.fromkeys((_PRIORITY, _MASK), U16),
    _VLANS: U8,
    _GROUP: at_most(_HARDWARE_BYTES),
    _SWITCHES: at_least(_SWITCH_BYTES.size),
    _LEARNED: REFUSED,
}
"""Linux: net/bridge/br_netlink.c, br_policy. What is configured out is as if it weren't said."""
_NO_LINK_LEARNING, _VLAN_SNOOPING, _SPANNING_TREES = 1, 2, 4
"""BR_BOOLOPT_*, as bits."""
_HELLO_TIMES, _AGES = (100, 1_000), (600, 4_000)
"""Between what they are, in hundredths of a second (BR_MIN_HELLO_TIME ...)."""
_RESTRICTED_GROUPS, _RESERVED_LAST = 7, (1, 2, 3)


def bridge_identifier(bridge: Interface) -> bytes:
    """What other bridges would know it by. Linux: net/bridge/br_private.h, struct bridge_id."""
    assert bridge.bridge is not None
    return pack_port(bridge.bridge.priority) + bridge.hardware_address


def gc_ticks(bridge: Interface) -> int:
    """In which time it's looked for entries that are too old, 0 if never."""
    own, host = bridge.bridge, bridge.network.host
    if own is None or own.timer is None:
        return 0
    return max(int(own.timer.deadline_ns) - host.clock.now_ns, 0) // NS_PER_CLOCK_TICK


def bridge_data(bridge: Interface) -> bytes:
    """What a bridge is. Linux: net/bridge/br_netlink.c, br_fill_info."""
    own, told = bridge.bridge, BridgeAttribute
    assert own is not None
    identifier, switches = bridge_identifier(bridge), _NO_LINK_LEARNING * own.learns_nothing_of_link
    known = _NO_LINK_LEARNING | _VLAN_SNOOPING | _SPANNING_TREES
    found = [
        (told.IFLA_BR_HELLO_TIMER, pack_u64(0)),
        (told.IFLA_BR_TCN_TIMER, pack_u64(0)),
        (told.IFLA_BR_TOPOLOGY_CHANGE_TIMER, pack_u64(0)),
        (told.IFLA_BR_GC_TIMER, pack_u64(gc_ticks(bridge))),
        (told.IFLA_BR_FORWARD_DELAY, number(own.forward_delay)),
        (told.IFLA_BR_HELLO_TIME, number(own.hello_time)),
        (told.IFLA_BR_MAX_AGE, number(own.maximum_age)),
        (told.IFLA_BR_AGEING_TIME, number(own.ageing_time)),
        (told.IFLA_BR_STP_STATE, number(0)),
        (told.IFLA_BR_PRIORITY, pack_u16(own.priority)),
        (told.IFLA_BR_VLAN_FILTERING, pack_u8(0)),
        (told.IFLA_BR_GROUP_FWD_MASK, pack_u16(own.group_mask)),
        (told.IFLA_BR_BRIDGE_ID, identifier),
        (told.IFLA_BR_ROOT_ID, identifier),
        (told.IFLA_BR_ROOT_PORT, pack_u16(0)),
        (told.IFLA_BR_ROOT_PATH_COST, number(0)),
        (told.IFLA_BR_TOPOLOGY_CHANGE, pack_u8(0)),
        (told.IFLA_BR_TOPOLOGY_CHANGE_DETECTED, pack_u8(0)),
        (told.IFLA_BR_GROUP_ADDR, own.group_address),
        (told.IFLA_BR_MULTI_BOOLOPT, _SWITCH_BYTES.pack(switches, known)),
        (told.IFLA_BR_FDB_N_LEARNED, number(own.learned_count)),
        (told.IFLA_BR_FDB_MAX_LEARNED, number(own.most_learned)),
    ]
    return b"".join(attribute(int(kind), data) for kind, data in found)


def change_bridge(bridge: Interface, data: bytes) -> None:
    """Set what is said, up to the first that can't be. Raises EINVAL, ERANGE, EOPNOTSUPP.

    Linux: net/bridge/br_netlink.c, br_validate, br_changelink.
    """
    own, found = bridge.bridge, nested_in(data)
    assert own is not None
    check_lengths(found, BRIDGE_EXPECTED)
    if _SWITCHES in found and len(found[_SWITCHES]) != _SWITCH_BYTES.size:
        raise EINVAL("a struct br_boolopt_multi is needed")
    delay, hello = number_in(found, _DELAY), number_in(found, _HELLO)
    if delay is not None:
        own.forward_delay = delay
    if hello is not None:
        own.hello_time = _between(hello, *_HELLO_TIMES)
    age = number_in(found, _MAX_AGE)
    if age is not None:
        own.maximum_age = _between(age, *_AGES)
    ageing = number_in(found, _AGEING)
    if ageing is not None:
        set_ageing_time(bridge, ageing)
    if number_in(found, _STP):
        raise EOPNOTSUPP("there is no spanning tree")
    if _PRIORITY in found:
        own.priority = int.from_bytes(found[_PRIORITY][:2], "little")
        look_at_ports(bridge)
    if _VLANS in found:
        raise EOPNOTSUPP("there are no VLANs")
    if _MASK in found:
        mask = int.from_bytes(found[_MASK][:2], "little")
        if mask & _RESTRICTED_GROUPS:
            raise EINVAL("these groups never leave a link")
        own.group_mask = mask
    if _GROUP in found:
        _set_group(bridge, found[_GROUP])
    if _FLUSH in found:
        forget_behind(bridge)
    if _SWITCHES in found:
        _switch(bridge, *_SWITCH_BYTES.unpack(found[_SWITCHES]))
    most = number_in(found, _MOST)
    if most is not None:
        own.most_learned = most


def _between(value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise ERANGE("out of range")
    return value


def set_ageing_time(bridge: Interface, ageing_time: int) -> None:
    """How long is believed who is behind a port. Linux: net/bridge/br_stp.c, br_set_ageing_time."""
    own = bridge.bridge
    assert own is not None
    own.ageing_time = ageing_time
    stop_ageing(bridge)
    look_at_ages(bridge)
    bridge.network.topology_changed()


def _set_group(bridge: Interface, address: bytes) -> None:
    if len(address) != _HARDWARE_BYTES or not is_of_link(address) or address[5] in _RESERVED_LAST:
        raise EINVAL("no group of bridges")
    assert bridge.bridge is not None
    bridge.bridge.group_address = address


def _switch(bridge: Interface, values: int, mask: int) -> None:
    """Linux: net/bridge/br.c, br_boolopt_multi_toggle."""
    unknown = mask & ~(_NO_LINK_LEARNING | _VLAN_SNOOPING | _SPANNING_TREES)
    if unknown:
        place = (unknown & -unknown).bit_length() - 1
        raise EINVAL(f"bridge: Unknown boolean option {place}", TOLD)
    assert bridge.bridge is not None
    if mask & _NO_LINK_LEARNING:
        bridge.bridge.learns_nothing_of_link = bool(values & _NO_LINK_LEARNING)
    if mask & (_VLAN_SNOOPING | _SPANNING_TREES):
        raise EOPNOTSUPP("there are no VLANs")
