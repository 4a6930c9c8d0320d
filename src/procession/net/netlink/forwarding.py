"""Whom bridges know behind their ports: RTM_NEWNEIGH and its kin of AF_BRIDGE (bridge(8), rtnetlink(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_CLOCK_TICK
from procession.abi.errno import EEXIST, EINVAL, ENODEV, ENOENT, EOPNOTSUPP, EPERM, ERANGE, TOLD
from procession.abi.netlink import (
    Ifinfomsg,
    LinkAttribute,
    Ndmsg,
    NeighbourAttribute,
    NeighbourFlag,
    NeighbourState,
    NetlinkFlag,
    RouteMessageType,
)
from procession.abi.socket import AddressFamily
from procession.abi.word import pack_array
from procession.net.internet.device_group import hardware_groups
from procession.net.link.bridge import (
    FORWARDING,
    LEARNING,
    FdbEntry,
    add,
    drop,
    forget_behind,
    has_expired,
    local_entries,
    look_at_ages,
    note,
)
from procession.net.link.interface import ARPHRD_ETHER
from procession.net.link.own_address import OwnAddress, ignore, is_group, listen_to
from procession.net.netlink.attributes import (
    Answer,
    Message,
    Request,
    attribute,
    number,
    number_in,
)
from procession.net.netlink.links import POLICY as LINK_POLICY
from procession.net.netlink.policy import Policy, checked_attributes

if TYPE_CHECKING:
    from procession.net.link.interface import Interface

_AF_BRIDGE = int(AddressFamily.AF_BRIDGE)
_LLADDR, _MASTER = int(NeighbourAttribute.NDA_LLADDR), int(NeighbourAttribute.NDA_MASTER)
_INDEX, _VLAN = int(NeighbourAttribute.NDA_IFINDEX), int(NeighbourAttribute.NDA_VLAN)
_MORE_FLAGS, _CACHE = int(NeighbourAttribute.NDA_FLAGS_EXT), int(NeighbourAttribute.NDA_CACHEINFO)
_NEWNEIGH, _DELNEIGH = int(RouteMessageType.RTM_NEWNEIGH), int(RouteMessageType.RTM_DELNEIGH)
_POLICY = Policy({}, max(int(kind) for kind in NeighbourAttribute))
_PERMANENT, _NOARP = int(NeighbourState.NUD_PERMANENT), int(NeighbourState.NUD_NOARP)
_REACHABLE, _STALE = int(NeighbourState.NUD_REACHABLE), int(NeighbourState.NUD_STALE)
_USE, _SELF, _TO_MASTER = (
    int(NeighbourFlag.NTF_USE),
    int(NeighbourFlag.NTF_SELF),
    int(NeighbourFlag.NTF_MASTER),
)
_LEARNED, _STICKY = int(NeighbourFlag.NTF_EXT_LEARNED), int(NeighbourFlag.NTF_STICKY)
_LOCKED = 2
"""NTF_EXT_LOCKED."""
_ADDRESS_BYTES, _LAST_VLAN = 6, 4_094
_ANYTHING = Policy({}, int(NeighbourAttribute.NDA_NDM_FLAGS_MASK))
_IFLA_MASTER = int(LinkAttribute.IFLA_MASTER)
_ByPort = dict["Interface", dict["Interface | None", list[FdbEntry]]]


def fdb_message(bridge: Interface, entry: FdbEntry | OwnAddress, *, is_there: bool = True) -> Message:
    """Linux: net/bridge/br_fdb.c, fdb_fill_info, fdb_to_nud."""
    if isinstance(entry, OwnAddress):
        return _self_message(bridge, entry, is_there=is_there)
    own, now_ns = bridge.bridge, bridge.network.host.clock.now_ns
    assert own is not None
    if entry.is_local:
        state = _PERMANENT
    elif entry.is_static:
        state = _NOARP
    else:
        state = _STALE if has_expired(own, entry, now_ns) else _REACHABLE
    flags = (_LEARNED if entry.is_from_outside else 0) | (_STICKY if entry.is_sticky else 0)
    index = bridge.index if entry.port is None else entry.port.index
    used, updated = ((now_ns - then) // NS_PER_CLOCK_TICK for then in (entry.used_ns, entry.updated_ns))
    body = Ndmsg(_AF_BRIDGE, 0, 0, index, state, flags, 0).pack()
    body += attribute(_LLADDR, entry.address) + attribute(_MASTER, number(bridge.index))
    body += attribute(_MORE_FLAGS, number(0)) + attribute(_CACHE, pack_array("I", (0, used, updated, 0)))
    return (_NEWNEIGH if is_there else _DELNEIGH), body


def _self_message(interface: Interface, own: OwnAddress, *, is_there: bool = True) -> Message:
    """An address to which an interface itself listens. Linux: net/core/rtnetlink.c,
    nlmsg_populate_fdb_fill."""
    header = Ndmsg(_AF_BRIDGE, 0, 0, interface.index, own.state, _SELF, 0)
    return (_NEWNEIGH if is_there else _DELNEIGH), header.pack() + attribute(_LLADDR, own.address)


def _all_entries(bridge: Interface) -> list[FdbEntry]:
    """The newest first."""
    own = bridge.bridge
    assert own is not None
    local = [entry for entry in local_entries(bridge) if entry.address not in own.entries]
    return [*list(own.entries.values())[::-1], *local]


def _behind(bridge: Interface, port: Interface | None, known: _ByPort) -> list[FdbEntry]:
    """Those behind `port`, or the bridge itself. `known` keeps them by port, as a bridge has many of both."""
    by_port = known.get(bridge)
    if by_port is None:
        by_port = known[bridge] = {}
        for entry in _all_entries(bridge):
            by_port.setdefault(entry.port, []).append(entry)
    return by_port.get(port, [])


def list_fdb(request: Request) -> Answer:
    """RTM_GETNEIGH of all. Raises EINVAL, ENODEV. Linux: net/core/rtnetlink.c, rtnl_fdb_dump."""
    network = request.network
    wanted_bridge, wanted_port = _wanted(request)
    chosen = network.interfaces.get(wanted_bridge)
    if wanted_bridge and chosen is None:
        raise ENODEV("no such bridge")
    answers: Answer = []
    known: _ByPort = {}
    for interface in sorted(network.interfaces.values(), key=lambda each: each.index):
        if wanted_port not in (0, interface.index):
            continue
        master = interface.master
        if chosen is not None and not (
            (interface is chosen and interface.bridge is not None)
            or (master is not None and master is chosen)
        ):
            continue
        if master is not None:
            answers += [fdb_message(master, entry) for entry in _behind(master, interface, known)]
        if interface.hardware_type == ARPHRD_ETHER:
            # All groups of the network are looked at for those of each interface.
            network.host.clock.spend_looking(len(network.groups))
            groups, own = hardware_groups(network, interface), interface.own_addresses
            listed = [each for each in own if not is_group(each)]
            listed += [*groups, *(each for each in own if is_group(each) and each not in groups)]
            answers += [_self_message(interface, OwnAddress(each, _PERMANENT)) for each in listed]
        if interface.bridge is not None:
            answers += [fdb_message(interface, entry) for entry in _behind(interface, None, known)]
    network.host.clock.spend_looking(len(answers))
    return answers


def _wanted(request: Request) -> tuple[int, int]:
    """The bridge and the port that are asked for, 0 for any. Raises EINVAL.

    Linux: net/core/rtnetlink.c, valid_fdb_dump_strict, valid_fdb_dump_legacy.
    """
    body, request.is_read_again = request.body, True
    if not request.is_strict:
        if len(body) in (Ndmsg.SIZE, Ndmsg.SIZE + 8):
            return 0, 0
        if len(body) < Ifinfomsg.SIZE:
            raise EINVAL("Invalid header length", TOLD)
        try:
            found = checked_attributes(request, Ifinfomsg.SIZE, LINK_POLICY)
        except ERANGE as error:
            raise EINVAL(*error.args) from None
        return number_in(found, _IFLA_MASTER) or 0, Ifinfomsg.unpack_from(body).ifi_index
    if len(body) < Ndmsg.SIZE:
        raise EINVAL("Invalid header for fdb dump request", TOLD)
    header = Ndmsg.unpack_from(body)
    if any(body[1:4]) or header.ndm_state or header.ndm_flags or header.ndm_type:
        raise EINVAL("Invalid values in header for fdb dump request", TOLD)
    found = checked_attributes(request, Ndmsg.SIZE, _ANYTHING, is_strict=True)
    for kind in sorted(found):
        if kind not in (_INDEX, _MASTER):
            raise EINVAL("Unsupported attribute in fdb dump request", TOLD)
        if len(found[kind]) != 4:
            name = "IFINDEX" if kind == _INDEX else "MASTER"
            raise EINVAL(f"Invalid {name} attribute in fdb dump request", TOLD)
    return number_in(found, _MASTER) or 0, number_in(found, _INDEX) or header.ndm_ifindex


def find_fdb(request: Request, policy: Policy) -> Message:
    """RTM_GETNEIGH of one. Raises EINVAL, ENODEV, ENOENT, EOPNOTSUPP. Linux: net/core/rtnetlink.c,
    rtnl_fdb_get, valid_fdb_get_strict; net/bridge/br_fdb.c, br_fdb_get."""
    body, network = request.body, request.network
    if len(body) < Ndmsg.SIZE:
        raise EINVAL("Invalid header for fdb get request", TOLD)
    header = Ndmsg.unpack_from(body)
    if any(body[1:4]) or header.ndm_state or header.ndm_type:
        raise EINVAL("Invalid values in header for fdb get request", TOLD)
    if header.ndm_flags & ~(_TO_MASTER | _SELF):
        raise EINVAL("Invalid flags in header for fdb get request", TOLD)
    found = checked_attributes(request, Ndmsg.SIZE, policy, is_strict=True)
    for kind in sorted(found):
        if kind not in (_MASTER, _LLADDR, _VLAN):
            raise EINVAL("Unsupported attribute in fdb get request", TOLD)
    address, index = found.get(_LLADDR), header.ndm_ifindex
    if address is None:
        raise EINVAL("Missing lookup address for fdb get request", TOLD)
    if len(address) != _ADDRESS_BYTES:
        raise EINVAL("Invalid address in fdb get request", TOLD)
    vlan = _vlan_in(found)
    bridge = _bridge_asked(request, header, number_in(found, _MASTER) or 0, index)
    if bridge.bridge is None:
        raise EOPNOTSUPP("Fdb get operation not supported by device", TOLD)
    entries = [] if vlan else [entry for entry in _all_entries(bridge) if entry.address == address]
    network.host.clock.spend_looking(len(bridge.bridge.entries))
    if not entries:
        raise ENOENT("Fdb entry not found", TOLD)
    return fdb_message(bridge, entries[0])


def _bridge_asked(request: Request, header: Ndmsg, master: int, index: int) -> Interface:
    network = request.network
    if index:
        interface = network.interfaces.get(index)
        if interface is None:
            raise ENODEV("Unknown device ifindex", TOLD)
        if master:
            raise EINVAL("Master and device are mutually exclusive", TOLD)
        if header.ndm_flags and not header.ndm_flags & _TO_MASTER:
            return interface
        if interface.master is None:
            raise EINVAL("Device is not a bridge port", TOLD)
        return interface.master
    if not master:
        raise ENODEV("No device specified", TOLD)
    bridge = network.interfaces.get(master)
    if bridge is None:
        raise EINVAL("Invalid master ifindex", TOLD)
    return bridge


def _vlan_in(found: dict[int, bytes]) -> int:
    """Linux: net/core/rtnetlink.c, fdb_vid_parse."""
    if _VLAN not in found:
        return 0
    if len(found[_VLAN]) != 2:
        raise EINVAL("invalid vlan attribute size", TOLD)
    vlan = int.from_bytes(found[_VLAN], "little")
    if not 0 < vlan <= _LAST_VLAN:
        raise EINVAL("invalid vlan id", TOLD)
    return vlan


def change_fdb(request: Request, *, is_new: bool) -> None:
    """RTM_NEWNEIGH and RTM_DELNEIGH. Raises EINVAL, ENODEV, ENOENT, EEXIST, EPERM, EOPNOTSUPP, ENOBUFS.

    Linux: net/core/rtnetlink.c, rtnl_fdb_add, rtnl_fdb_del.
    """
    if len(request.body) < Ndmsg.SIZE:
        raise EINVAL("Invalid header length", TOLD)
    header = Ndmsg.unpack_from(request.body)
    found = checked_attributes(request, Ndmsg.SIZE, _POLICY)
    if not header.ndm_ifindex:
        raise EINVAL("invalid ifindex", TOLD)
    interface = request.network.interfaces.get(header.ndm_ifindex)
    if interface is None:
        raise ENODEV("unknown ifindex", TOLD)
    is_flush = not is_new and request.has(NetlinkFlag.NLM_F_BULK)
    address, vlan = found.get(_LLADDR, b""), 0
    if not is_flush:
        if len(address) != _ADDRESS_BYTES:
            raise EINVAL("invalid address", TOLD)
        if not is_new:
            vlan = _vlan_in(found)
    if interface.hardware_type != ARPHRD_ETHER:
        raise EINVAL(f"FDB {'add' if is_new else 'delete'} only supported for Ethernet devices", TOLD)
    if is_new:
        vlan = _vlan_in(found)
    flags, is_done = header.ndm_flags, False
    if (not flags or flags & _TO_MASTER) and interface.master is not None:
        _change(request, header, found, interface, address, vlan, is_new=is_new, is_flush=is_flush)
        is_done = True
    if flags & _SELF:
        if interface.bridge is not None:
            _change(request, header, found, interface, address, vlan, is_new=is_new, is_flush=is_flush)
        elif is_flush:
            raise EOPNOTSUPP("there are no entries that all go")
        else:
            if is_new and (_MORE_FLAGS in found or vlan):
                raise EINVAL("no flags and no VLANs for an address of one's own")
            _change_own(request, header, interface, address, is_new=is_new)
    elif not is_done:
        raise EOPNOTSUPP("no port")


def _change_own(
    request: Request, header: Ndmsg, interface: Interface, address: bytes, *, is_new: bool
) -> None:
    """Linux: net/core/rtnetlink.c, ndo_dflt_fdb_add, ndo_dflt_fdb_del."""
    if not header.ndm_state & _PERMANENT and (header.ndm_state or not is_new):
        raise EINVAL("an address of one's own stays")
    network = interface.network
    if is_new:
        try:
            listen_to(interface, address, hardware_groups(network, interface))
        except EEXIST:
            if request.has(NetlinkFlag.NLM_F_EXCL):
                raise
    else:
        ignore(interface, address)
    network.fdb_changed(interface, OwnAddress(address, header.ndm_state), is_there=is_new)


def _change(
    request: Request,
    header: Ndmsg,
    found: dict[int, bytes],
    interface: Interface,
    address: bytes,
    vlan: int,
    *,
    is_new: bool,
    is_flush: bool,
) -> None:
    """Linux: net/bridge/br_fdb.c, br_fdb_add, br_fdb_delete, br_fdb_delete_bulk."""
    bridge, port = (interface, None) if interface.bridge is not None else (interface.master, interface)
    assert bridge is not None
    assert bridge.bridge is not None
    if is_flush:
        # Those that programs made stay only if that is said, by a state and a mask.
        if header.ndm_state or len(found) - (_INDEX in found):
            raise EOPNOTSUPP("all go at once")
        index = number_in(found, _INDEX)
        chosen = _flushed(request, bridge, index) if index else port
        forget_behind(bridge, chosen, also_static=True)
        return
    if not is_new:
        if vlan:
            raise EINVAL("there are no VLANs")
        entry = bridge.bridge.entries.get(address)
        if entry is None or entry.port is not port:
            raise ENOENT("nobody like that is known there")
        drop(bridge, entry)
        return
    if not header.ndm_state & (_PERMANENT | _NOARP | _REACHABLE) or not any(address):
        raise EINVAL("no state or address of an entry")
    if (number_in(found, _MORE_FLAGS) or 0) & _LOCKED:
        raise EINVAL('bridge: Cannot add FDB entry with "locked" flag set', TOLD)
    if vlan:
        raise EINVAL("there are no VLANs")
    if header.ndm_flags & _USE:
        if port is None:
            raise EINVAL("nobody is behind the bridge itself")
        if port.port is not None and port.port.state in (LEARNING, FORWARDING):
            note(bridge, port, address, is_learned=False)
        return
    _add(request, header, bridge, port, address)


def _flushed(request: Request, bridge: Interface, index: int) -> Interface:
    """The port whose entries are to go, or the bridge itself. Raises ENODEV, EINVAL."""
    chosen = request.network.interfaces.get(index)
    if chosen is None:
        raise ENODEV("no such interface")
    if chosen is not bridge and chosen.master is not bridge:
        raise EINVAL("neither this bridge nor a port of it")
    return chosen


def _add(request: Request, header: Ndmsg, bridge: Interface, port: Interface | None, address: bytes) -> None:
    """Linux: net/bridge/br_fdb.c, fdb_add_entry, br_fdb_external_learn_add."""
    state, now_ns = header.ndm_state, bridge.network.host.clock.now_ns
    is_from_outside = bool(header.ndm_flags & _LEARNED)
    is_sticky = bool(header.ndm_flags & _STICKY)
    if port is not None and not state & (_PERMANENT | _NOARP) and not is_from_outside:
        assert port.port is not None
        if port.port.state not in (LEARNING, FORWARDING):
            raise EPERM("the port doesn't learn")
    if port is None and not state & _PERMANENT:
        raise EINVAL("FDB entry towards bridge must be permanent")
    if is_sticky and state & _PERMANENT:
        raise EINVAL("one for the bridge itself moves anyhow")
    own = bridge.bridge
    assert own is not None
    entry = own.entries.get(address)
    is_there = entry is not None or any(each.address == address for each in local_entries(bridge))
    if not is_there and not request.has(NetlinkFlag.NLM_F_CREATE) and not is_from_outside:
        raise ENOENT("nobody like that is known")
    if is_there and request.has(NetlinkFlag.NLM_F_EXCL) and not is_from_outside:
        raise EEXIST("somebody like that is known")
    changed = FdbEntry(address, port, now_ns)
    changed.is_local = bool(state & _PERMANENT) and not is_from_outside
    changed.is_static = changed.is_local or (bool(state & _NOARP) and not is_from_outside)
    changed.is_sticky, changed.is_from_outside = is_sticky, is_from_outside
    if entry is None:
        add(bridge, changed)
        return
    own.entries[address] = changed
    own.learned_count -= entry.is_learned
    look_at_ages(bridge)
    changed.updated_ns = entry.updated_ns
    seen = [(each.port, each.is_local, each.is_static, each.is_sticky) for each in (entry, changed)]
    if seen[0] != seen[1]:
        changed.updated_ns = now_ns
        bridge.network.topology_changed()
        bridge.network.fdb_changed(bridge, changed, is_there=True)
