"""Ports of bridges: IFLA_BRPORT_*, and the messages of AF_BRIDGE about them (bridge(8), rtnetlink(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_CLOCK_TICK
from procession.abi.errno import EINVAL, ENETDOWN, ENODEV, EOPNOTSUPP, ERANGE, TOLD
from procession.abi.netlink import BridgePortAttribute, Ifinfomsg, LinkAttribute, RouteMessageType
from procession.abi.socket import AddressFamily
from procession.abi.word import pack_u8, pack_u16, pack_u64
from procession.net.link.bridge import (
    BLOCKING,
    DISABLED,
    FAST_LEAVE,
    FLOODS,
    FLOODS_ALL,
    FLOODS_GROUPS,
    FORWARDING,
    GUARD,
    HAIRPIN,
    ISOLATED,
    LEARNS,
    ROOT_BLOCK,
    TO_UNICAST,
    TUNNELS,
    forget_behind,
)
from procession.net.netlink.attributes import (
    NESTED,
    Answer,
    Request,
    attribute,
    is_marked_as_nested,
    list_in,
    nested_in,
    number,
    number_in,
)
from procession.net.netlink.bridge_options import bridge_identifier
from procession.net.netlink.policy import (
    U8,
    U16,
    U32,
    Expected,
    check_lengths,
    check_nested,
    checked_attributes,
)

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.netlink.attributes import Message
    from procession.net.netlink.policy import Policy

_AF_BRIDGE = int(AddressFamily.AF_BRIDGE)
_NEWLINK = int(RouteMessageType.RTM_NEWLINK)
_PROTOCOL_INFORMATION, _SPECIFIC = int(LinkAttribute.IFLA_PROTINFO), int(LinkAttribute.IFLA_AF_SPEC)
_EXTENSIONS = int(LinkAttribute.IFLA_EXT_MASK)
_WITH_BRIDGES = 0x2 | 0x4
"""RTEXT_FILTER_BRVLAN, RTEXT_FILTER_BRVLAN_COMPRESSED: the bridges themselves are told too."""
_FLAGS, _MODE = 0, 1
"""IFLA_BRIDGE_FLAGS, IFLA_BRIDGE_MODE."""
_VLAN_INFORMATION, _VLAN_BYTES = 2, 4
_TO_MASTER, _TO_SELF = 1, 2
_Told = BridgePortAttribute
_SWITCHES = {
    int(_Told.IFLA_BRPORT_MODE): HAIRPIN,
    int(_Told.IFLA_BRPORT_GUARD): GUARD,
    int(_Told.IFLA_BRPORT_PROTECT): ROOT_BLOCK,
    int(_Told.IFLA_BRPORT_FAST_LEAVE): FAST_LEAVE,
    int(_Told.IFLA_BRPORT_MCAST_TO_UCAST): TO_UNICAST,
    int(_Told.IFLA_BRPORT_LEARNING): LEARNS,
    int(_Told.IFLA_BRPORT_UNICAST_FLOOD): FLOODS,
    int(_Told.IFLA_BRPORT_MCAST_FLOOD): FLOODS_GROUPS,
    int(_Told.IFLA_BRPORT_BCAST_FLOOD): FLOODS_ALL,
    int(_Told.IFLA_BRPORT_VLAN_TUNNEL): TUNNELS,
    int(_Told.IFLA_BRPORT_ISOLATED): ISOLATED,
}
"""What is switched on and off. Some do nothing where there is neither a spanning tree nor are groups and
VLANs known, as in Linux then."""
_UNBUILT = (
    *(_Told.IFLA_BRPORT_PROXYARP, _Told.IFLA_BRPORT_PROXYARP_WIFI, _Told.IFLA_BRPORT_NEIGH_SUPPRESS),
    *(_Told.IFLA_BRPORT_LOCKED, _Told.IFLA_BRPORT_MAB, _Told.IFLA_BRPORT_NEIGH_VLAN_SUPPRESS),
)
_STATE, _COST = int(_Told.IFLA_BRPORT_STATE), int(_Told.IFLA_BRPORT_COST)
_PRIORITY, _FLUSH = int(_Told.IFLA_BRPORT_PRIORITY), int(_Told.IFLA_BRPORT_FLUSH)
_MASK = int(_Told.IFLA_BRPORT_GROUP_FWD_MASK)
_BACKUPS = (int(_Told.IFLA_BRPORT_BACKUP_PORT), int(_Told.IFLA_BRPORT_BACKUP_NHID))
PORT_EXPECTED: dict[int, Expected] = {
    **dict.fromkeys((*_SWITCHES, *map(int, _UNBUILT), _STATE), U8),
    **dict.fromkeys((_PRIORITY, _MASK), U16),
    **dict.fromkeys((_COST, *_BACKUPS), U32),
}
"""Linux: net/bridge/br_netlink.c, br_port_policy."""
_LARGEST_COST, _LARGEST_PRIORITY, _PAUSE_GROUP = 65_535, 63, 2


def port_data(port: Interface) -> bytes:
    """What a port is. Linux: net/bridge/br_netlink.c, br_port_fill_attrs."""
    known, bridge = port.port, port.master
    assert known is not None
    assert bridge is not None
    assert bridge.bridge is not None
    identifier, flags, nothing = bridge_identifier(bridge), known.flags, pack_u8(0)
    found: list[tuple[BridgePortAttribute, bytes]] = [
        (_Told.IFLA_BRPORT_STATE, pack_u8(known.state)),
        (_Told.IFLA_BRPORT_PRIORITY, pack_u16(known.priority)),
        (_Told.IFLA_BRPORT_COST, number(known.cost)),
        (_Told.IFLA_BRPORT_MODE, pack_u8(bool(flags & HAIRPIN))),
        (_Told.IFLA_BRPORT_GUARD, pack_u8(bool(flags & GUARD))),
        (_Told.IFLA_BRPORT_PROTECT, pack_u8(bool(flags & ROOT_BLOCK))),
        (_Told.IFLA_BRPORT_FAST_LEAVE, pack_u8(bool(flags & FAST_LEAVE))),
        (_Told.IFLA_BRPORT_MCAST_TO_UCAST, pack_u8(bool(flags & TO_UNICAST))),
        (_Told.IFLA_BRPORT_LEARNING, pack_u8(bool(flags & LEARNS))),
        (_Told.IFLA_BRPORT_UNICAST_FLOOD, pack_u8(bool(flags & FLOODS))),
        (_Told.IFLA_BRPORT_MCAST_FLOOD, pack_u8(bool(flags & FLOODS_GROUPS))),
        (_Told.IFLA_BRPORT_BCAST_FLOOD, pack_u8(bool(flags & FLOODS_ALL))),
        (_Told.IFLA_BRPORT_PROXYARP, nothing),
        (_Told.IFLA_BRPORT_PROXYARP_WIFI, nothing),
        (_Told.IFLA_BRPORT_ROOT_ID, identifier),
        (_Told.IFLA_BRPORT_BRIDGE_ID, identifier),
        (_Told.IFLA_BRPORT_DESIGNATED_PORT, pack_u16(known.identifier)),
        (_Told.IFLA_BRPORT_DESIGNATED_COST, pack_u16(0)),
        (_Told.IFLA_BRPORT_ID, pack_u16(known.identifier)),
        (_Told.IFLA_BRPORT_NO, pack_u16(known.number)),
        (_Told.IFLA_BRPORT_TOPOLOGY_CHANGE_ACK, nothing),
        (_Told.IFLA_BRPORT_CONFIG_PENDING, nothing),
        (_Told.IFLA_BRPORT_VLAN_TUNNEL, pack_u8(bool(flags & TUNNELS))),
        (_Told.IFLA_BRPORT_GROUP_FWD_MASK, pack_u16(known.group_mask)),
        (_Told.IFLA_BRPORT_NEIGH_SUPPRESS, nothing),
        (_Told.IFLA_BRPORT_MRP_RING_OPEN, nothing),
        (_Told.IFLA_BRPORT_MRP_IN_OPEN, nothing),
        (_Told.IFLA_BRPORT_ISOLATED, pack_u8(bool(flags & ISOLATED))),
        (_Told.IFLA_BRPORT_LOCKED, nothing),
        (_Told.IFLA_BRPORT_MAB, nothing),
        (_Told.IFLA_BRPORT_NEIGH_VLAN_SUPPRESS, nothing),
        (_Told.IFLA_BRPORT_MESSAGE_AGE_TIMER, pack_u64(0)),
        (_Told.IFLA_BRPORT_FORWARD_DELAY_TIMER, pack_u64(forward_delay_left(port))),
        (_Told.IFLA_BRPORT_HOLD_TIMER, pack_u64(0)),
    ]
    return b"".join(attribute(int(kind), data) for kind, data in found)


def forward_delay_left(port: Interface) -> int:
    """How long a port that is on hasn't been for as long as it'd wait if there were a spanning tree."""
    known, bridge = port.port, port.master
    assert known is not None
    assert bridge is not None
    assert bridge.bridge is not None
    if known.state == DISABLED:
        return 0
    passed = (port.network.host.clock.now_ns - known.forwarding_ns) // NS_PER_CLOCK_TICK
    return max(bridge.bridge.forward_delay - passed, 0)


def change_port(port: Interface, data: bytes) -> None:
    """Set what is said of a port. Raises EINVAL, ERANGE, EOPNOTSUPP, ENETDOWN, EBUSY.

    Linux: net/bridge/br_netlink.c, br_setport.
    """
    known, bridge, found = port.port, port.master, nested_in(data)
    assert known is not None
    assert bridge is not None
    check_lengths(found, PORT_EXPECTED)
    if any(found.get(int(kind), b"\0")[0] for kind in _UNBUILT):
        raise EOPNOTSUPP("bridges don't answer for others, and lock no ports")
    for kind, flag in _SWITCHES.items():
        if kind in found:
            known.flags = known.flags & ~flag | (flag if found[kind][0] else 0)
    cost = number_in(found, _COST)
    if cost is not None:
        if not 0 < cost <= _LARGEST_COST:
            raise ERANGE("the cost of a port")
        known.cost = cost
    if _PRIORITY in found:
        priority = int.from_bytes(found[_PRIORITY][:2], "little")
        if priority > _LARGEST_PRIORITY:
            raise ERANGE("the priority of a port")
        known.priority = priority
    if _STATE in found:
        set_port_state(port, found[_STATE][0])
    if _FLUSH in found:
        forget_behind(bridge, port)
    if _MASK in found:
        mask = int.from_bytes(found[_MASK][:2], "little")
        if mask & _PAUSE_GROUP:
            raise EINVAL("this group never leaves a link")
        known.group_mask = mask
    if any(number_in(found, kind) for kind in _BACKUPS):
        raise EOPNOTSUPP("ports have no others in reserve")
    bridge.network.topology_changed()


def set_port_state(port: Interface, state: int) -> None:
    """Raises EINVAL, ENETDOWN. Linux: net/bridge/br_netlink.c, br_set_port_state; net/bridge/br_stp.c,
    br_make_forwarding."""
    known = port.port
    assert known is not None
    if state > BLOCKING:
        raise EINVAL("no state of a port")
    if not port.is_up or (not port.has_carrier and state != DISABLED):
        raise ENETDOWN("the port is down")
    if state == BLOCKING:
        # Without a spanning tree nothing holds it up.
        state = FORWARDING
        known.forwarding_ns = port.network.host.clock.now_ns
    known.state = state
    port.network.topology_changed()


def port_message(interface: Interface) -> Message:
    """What is told of a port, or of a bridge as one of its own. Linux: net/bridge/br_netlink.c,
    br_fill_ifinfo."""
    header = Ifinfomsg(_AF_BRIDGE, interface.hardware_type, interface.index, interface.shown_flags, 0)
    bridge = interface.master or interface
    told = LinkAttribute
    found = [
        (told.IFLA_IFNAME, interface.name + b"\0"),
        (told.IFLA_MASTER, number(bridge.index)),
        (told.IFLA_MTU, number(interface.mtu)),
        (told.IFLA_OPERSTATE, pack_u8(interface.operational_state)),
        (told.IFLA_ADDRESS, interface.hardware_address),
    ]
    if interface.link_index != interface.index:
        found.append((told.IFLA_LINK, number(interface.link_index)))
    body = header.pack() + b"".join(attribute(int(kind), data) for kind, data in found)
    if interface.master is not None:
        body += attribute(_PROTOCOL_INFORMATION | NESTED, port_data(interface))
    return _NEWLINK, body


def list_ports(request: Request, policy: Policy) -> Answer:
    """RTM_GETLINK of all ports. Raises EINVAL. Linux: net/core/rtnetlink.c, rtnl_bridge_getlink,
    valid_bridge_getlink_req."""
    found: dict[int, bytes] = {}
    if len(request.body) >= Ifinfomsg.SIZE:
        if request.is_strict and any(request.body[1 : Ifinfomsg.SIZE]):
            raise EINVAL("Invalid values in header for bridge link dump request", TOLD)
        found = checked_attributes(request, Ifinfomsg.SIZE, policy, is_strict=request.is_strict)
    elif request.is_strict:
        raise EINVAL("Invalid header for bridge link dump", TOLD)
    if request.is_strict and any(kind != _EXTENSIONS for kind in found):
        raise EINVAL("Unsupported attribute in bridge link dump request", TOLD)
    has_bridges = bool((number_in(found, _EXTENSIONS) or 0) & _WITH_BRIDGES)
    return [
        port_message(interface)
        for interface in sorted(request.network.interfaces.values(), key=lambda each: each.index)
        if interface.master is not None or (interface.bridge is not None and has_bridges)
    ]


def change_link_of_bridge(request: Request, *, is_new: bool) -> None:
    """RTM_SETLINK and RTM_DELLINK of AF_BRIDGE. Raises EINVAL, ENODEV, EOPNOTSUPP ...

    Linux: net/core/rtnetlink.c, rtnl_bridge_setlink, rtnl_bridge_dellink; net/bridge/br_netlink.c,
    br_setlink.
    """
    if len(request.body) < Ifinfomsg.SIZE:
        raise EINVAL("a struct ifinfomsg is needed")
    interface = request.network.interfaces.get(Ifinfomsg.unpack_from(request.body).ifi_index)
    if interface is None:
        raise ENODEV("unknown ifindex", TOLD)
    found = nested_in(request.body[Ifinfomsg.SIZE :])
    specific = list_in(found[_SPECIFIC]) if _SPECIFIC in found else None
    flags = _flags_in(specific or [], is_new=is_new)
    is_done = False
    if not flags or flags & _TO_MASTER:
        if interface.master is None:
            raise EOPNOTSUPP("no port")
        _change_for(request, interface, found, specific, is_new=is_new)
        is_done = True
    if flags & _TO_SELF:
        if interface.bridge is None:
            raise EOPNOTSUPP("no bridge")
        _change_for(request, interface, found, specific, is_new=is_new)
    elif not is_done:
        raise EOPNOTSUPP("neither a port nor a bridge is meant")


def _flags_in(specific: list[tuple[int, bytes]], *, is_new: bool) -> int:
    flags: int | None = None
    for kind, data in specific:
        if kind in (_FLAGS, _MODE) and len(data) < 2 and (is_new or kind == _FLAGS):
            raise EINVAL("a number of 16 bits is needed")
        if kind == _FLAGS and flags is None:
            flags = int.from_bytes(data[:2], "little")
    return flags or 0


def _change_for(
    request: Request,
    interface: Interface,
    found: dict[int, bytes],
    specific: list[tuple[int, bytes]] | None,
    *,
    is_new: bool,
) -> None:
    data = found.get(_PROTOCOL_INFORMATION) if is_new else None
    if data is None and specific is None:
        return
    is_port = interface.master is not None
    if not is_port and specific is None:
        raise EINVAL("no port")
    has_changed = is_port and data is not None
    if is_port and data is not None:
        if is_marked_as_nested(request.body, Ifinfomsg.SIZE, _PROTOCOL_INFORMATION):
            check_nested(request, (_PROTOCOL_INFORMATION,), Ifinfomsg.SIZE, PORT_EXPECTED)
            change_port(interface, data)
        elif not data:
            raise EINVAL("no state of a port")
        else:
            set_port_state(interface, data[0])
    for kind, vlan in specific or []:
        # Linux: net/bridge/br_netlink.c, br_afspec.
        if kind == _VLAN_INFORMATION and len(vlan) != _VLAN_BYTES:
            raise EINVAL("a struct bridge_vlan_info is needed")
        if kind > _MODE:
            raise EOPNOTSUPP("there are no VLANs, rings and trees")
    if has_changed:
        interface.network.port_changed(interface)
