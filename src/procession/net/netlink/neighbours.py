"""RTM_NEWNEIGH and its kin: neighbours listed, made and forgotten (rtnetlink(7), arp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_CLOCK_TICK
from procession.abi.errno import EAFNOSUPPORT, EEXIST, EINVAL, ENODEV, ENOENT, ERANGE, TOLD
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.netlink import (
    Ndmsg,
    NeighbourAttribute,
    NeighbourFlag,
    NeighbourState,
    NetlinkFlag,
    RouteMessageType,
    RouteType,
)
from procession.abi.socket import AddressFamily
from procession.abi.word import pack_array, pack_u8
from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.internet.device_address import has_arp
from procession.net.internet.neighbour import FAILED, Proxy, entry_of, forget, look_again, stop_timer
from procession.net.internet.output import give_up, send_waiting, use
from procession.net.link.interface import LOOPBACK
from procession.net.netlink.attributes import (
    Answer,
    Message,
    Request,
    attribute,
    nested_in,
    number,
    number_in,
)
from procession.net.netlink.forwarding import change_fdb, find_fdb, list_fdb
from procession.net.netlink.policy import (
    NESTED_LIST,
    U8,
    U16,
    U32,
    Policy,
    at_least,
    at_most,
    bits,
    checked_attributes,
)

if TYPE_CHECKING:
    from procession.net.internet.neighbour import Neighbour
    from procession.net.link.interface import Interface
    from procession.net.network import Network

_DST, _LLADDR = int(NeighbourAttribute.NDA_DST), int(NeighbourAttribute.NDA_LLADDR)
_INDEX, _MASTER = int(NeighbourAttribute.NDA_IFINDEX), int(NeighbourAttribute.NDA_MASTER)
_PROTOCOL, _NEXT_HOP = int(NeighbourAttribute.NDA_PROTOCOL), int(NeighbourAttribute.NDA_NH_ID)
_MORE_FLAGS = int(NeighbourAttribute.NDA_FLAGS_EXT)
_PERMANENT = int(NeighbourState.NUD_PERMANENT)
_LONGEST_ADDRESS = 32
_KNOWN_FLAGS, _MANAGED = 5, 1
"""NTF_EXT_MANAGED, NTF_EXT_EXT_VALIDATED."""
_OLD_FLAGS, _MORE_SHIFT = 0xFF, 8
"""Which flags of an entry are in the header, and where the others begin (in Linux, NTF_OLD_MASK,
NTF_EXT_SHIFT)."""
_IS_MANAGED = _MANAGED << _MORE_SHIFT
_POLICY = Policy(
    {
        _DST: at_most(_LONGEST_ADDRESS),
        _LLADDR: at_most(_LONGEST_ADDRESS),
        int(NeighbourAttribute.NDA_CACHEINFO): at_least(16),
        int(NeighbourAttribute.NDA_PROBES): U32,
        int(NeighbourAttribute.NDA_VLAN): U16,
        int(NeighbourAttribute.NDA_PORT): U16,
        int(NeighbourAttribute.NDA_VNI): U32,
        _INDEX: U32,
        _MASTER: U32,
        _PROTOCOL: U8,
        _NEXT_HOP: U32,
        int(NeighbourAttribute.NDA_FDB_EXT_ATTRS): NESTED_LIST,
        _MORE_FLAGS: bits(_KNOWN_FLAGS),
    },
    int(NeighbourAttribute.NDA_NDM_FLAGS_MASK),
    _NEXT_HOP,
)
"""Linux: net/core/neighbour.c, nda_policy."""
_NEWNEIGH = int(RouteMessageType.RTM_NEWNEIGH)
_PROXY, _USE = int(NeighbourFlag.NTF_PROXY), int(NeighbourFlag.NTF_USE)
_LEARNED = int(NeighbourFlag.NTF_EXT_LEARNED)
_ROUTER = int(NeighbourFlag.NTF_ROUTER)
VALID = int(
    NeighbourState.NUD_PERMANENT
    | NeighbourState.NUD_NOARP
    | NeighbourState.NUD_REACHABLE
    | NeighbourState.NUD_PROBE
    | NeighbourState.NUD_STALE
    | NeighbourState.NUD_DELAY
)
"""The states in which the hardware address is known."""
_ASKED = int(NeighbourState.NUD_DELAY | NeighbourState.NUD_PROBE)
_CONNECTED = int(NeighbourState.NUD_PERMANENT | NeighbourState.NUD_NOARP | NeighbourState.NUD_REACHABLE)
_ASKING = int(NeighbourState.NUD_INCOMPLETE | NeighbourState.NUD_PROBE)
_UNICAST, _LOCAL, _BROADCAST = (
    int(RouteType.RTN_UNICAST),
    int(RouteType.RTN_LOCAL),
    int(RouteType.RTN_BROADCAST),
)
_AF_BRIDGE = int(AddressFamily.AF_BRIDGE)


def neighbour_body(entry: Neighbour) -> bytes:
    """A message about a neighbour. Linux: net/core/neighbour.c, neigh_fill_info."""
    now_ns = entry.interface.network.host.clock.now_ns
    state = entry.state_at(now_ns)
    family = AF_INET if len(entry.address) == 4 else AF_INET6
    flags, more = entry.flags & _OLD_FLAGS, entry.flags >> _MORE_SHIFT
    header = Ndmsg(family, 0, 0, entry.interface.index, state, flags, _type_of(entry))
    body = header.pack() + attribute(_DST, entry.address)
    if state & VALID:
        body += attribute(_LLADDR, entry.hardware_address)
    ages = [
        max(now_ns - then, 0) // NS_PER_CLOCK_TICK
        for then in (entry.confirmed_ns, entry.used_ns, entry.updated_ns)
    ]
    body += attribute(int(NeighbourAttribute.NDA_PROBES), number(entry.probe_count))
    body += attribute(int(NeighbourAttribute.NDA_CACHEINFO), pack_array("I", (*ages, 0)))
    body += attribute(_PROTOCOL, pack_u8(entry.protocol)) if entry.protocol else b""
    return body + attribute(_MORE_FLAGS, number(more)) if more else body


def _type_of(entry: Neighbour) -> int:
    """What kind of address a neighbour has. Linux: net/ipv4/arp.c, arp_constructor; net/ipv6/ndisc.c,
    ndisc_constructor."""
    routes = entry.interface.network.routes
    if len(entry.address) == 16:
        return _LOCAL if entry.interface.kind == LOOPBACK else _UNICAST
    if not any(entry.address) or routes.is_broadcast(entry.address):
        return _BROADCAST
    return _LOCAL if routes.is_local(entry.address) else _UNICAST


def proxy_body(interface: Interface | None, address: bytes, proxy: Proxy) -> bytes:
    """A message about a neighbour for whom this machine answers. Linux: net/core/neighbour.c,
    pneigh_fill_info."""
    family = AF_INET if len(address) == 4 else AF_INET6
    index = 0 if interface is None else interface.index
    body = Ndmsg(family, 0, 0, index, 0, proxy.flags | _PROXY, _UNICAST).pack() + attribute(_DST, address)
    return body + attribute(_PROTOCOL, pack_u8(proxy.protocol)) if proxy.protocol else body


def neighbour_message(entry: Neighbour, *, is_there: bool) -> Message:
    """What listeners are told."""
    kind = RouteMessageType.RTM_NEWNEIGH if is_there else RouteMessageType.RTM_DELNEIGH
    return int(kind), neighbour_body(entry)


def list_neighbours(request: Request) -> Answer:
    """RTM_GETNEIGH of all. Raises EINVAL. Linux: net/core/neighbour.c, neigh_dump_info,
    neigh_valid_dump_req."""
    family = request.body[0]
    if family == _AF_BRIDGE:
        return list_fdb(request)
    wanted = _wanted_neighbours(request)
    if any(wanted):
        request.is_filtered = True
    index, master = wanted
    network = request.network
    network.host.clock.spend_looking(len(network.neighbours) + len(network.proxies))
    if len(request.body) >= Ndmsg.SIZE and Ndmsg.unpack_from(request.body).ndm_flags == _PROXY:
        return [
            (_NEWNEIGH, proxy_body(interface, address, proxy))
            for (interface, address), proxy in network.proxies.items()
            if family in (0, AF_INET if len(address) == 4 else AF_INET6)
            and (not index or (interface is not None and interface.index == index))
        ]
    return [
        neighbour_message(entry, is_there=True)
        for entry in network.neighbours.values()
        if family in (0, AF_INET if len(entry.address) == 4 else AF_INET6)
        and index in (0, entry.interface.index)
        and (not master or (entry.interface.master is not None and entry.interface.master.index == master))
    ]


def _wanted_neighbours(request: Request) -> tuple[int, int]:
    """The interface, and the master of interfaces, whose neighbours are asked for, 0 for any."""
    if len(request.body) >= Ndmsg.SIZE:
        header = Ndmsg.unpack_from(request.body)
        if request.is_strict:
            if any(request.body[1:4]) or header.ndm_ifindex or header.ndm_state or header.ndm_type:
                raise EINVAL("Invalid values in header for neighbor dump request", TOLD)
            if header.ndm_flags & ~_PROXY:
                raise EINVAL("Invalid flags in header for neighbor dump request", TOLD)
    elif request.is_strict:
        raise EINVAL("Invalid header for neighbor dump request", TOLD)
    else:
        request.note = "Invalid header length"
        return 0, 0
    try:
        found = checked_attributes(request, Ndmsg.SIZE, _POLICY, is_strict=request.is_strict)
    except (EINVAL, ERANGE) as error:
        if request.is_strict:
            raise
        request.blamed, request.note = 0, error.reason
        return 0, 0
    if request.is_strict:
        for kind in sorted(found):
            if kind not in (_INDEX, _MASTER):
                raise EINVAL("Unsupported attribute in neighbor dump request", TOLD)
    return number_in(found, _INDEX) or 0, number_in(found, _MASTER) or 0


def one_neighbour(request: Request) -> Answer:
    """RTM_GETNEIGH of one. Raises EINVAL, ENOENT, ENODEV, EAFNOSUPPORT. Linux: net/core/neighbour.c,
    neigh_get, neigh_valid_get_req."""
    if request.body[0] == _AF_BRIDGE:
        return [find_fdb(request, _POLICY)]
    if len(request.body) < Ndmsg.SIZE:
        raise EINVAL("Invalid header for neighbor get request", TOLD)
    header = Ndmsg.unpack_from(request.body)
    if any(request.body[1:4]) or header.ndm_state or header.ndm_type:
        raise EINVAL("Invalid values in header for neighbor get request", TOLD)
    if header.ndm_flags & ~_PROXY:
        raise EINVAL("Invalid flags in header for neighbor get request", TOLD)
    if not header.ndm_flags & _PROXY and not header.ndm_ifindex:
        raise EINVAL("No device specified", TOLD)
    found = checked_attributes(request, Ndmsg.SIZE, _POLICY, is_strict=True)
    size = ADDRESS_BYTES.get(header.ndm_family)
    if size is None:
        raise EAFNOSUPPORT("Unsupported family in header for neighbor get request", TOLD)
    for kind in sorted(found):
        if kind != _DST:
            raise EINVAL("Unsupported attribute in neighbor get request", TOLD)
        if len(found[kind]) != size:
            raise EINVAL("Invalid network address in neighbor get request", TOLD)
    if _DST not in found:
        request.missing = _DST
        raise EINVAL("an address is needed")
    interface = request.network.interfaces.get(header.ndm_ifindex)
    if interface is None and header.ndm_ifindex:
        raise ENODEV("Unknown device ifindex", TOLD)
    if header.ndm_flags & _PROXY or interface is None:
        proxies = request.network.proxies
        for key in ((interface, found[_DST]), (None, found[_DST])):
            if key in proxies:
                return [(_NEWNEIGH, proxy_body(*key, proxies[key]))]
        raise ENOENT("Proxy neighbour entry not found", TOLD)
    entry = request.network.neighbours.get((interface, found[_DST]))
    if entry is None:
        raise ENOENT("Neighbour entry not found", TOLD)
    return [neighbour_message(entry, is_there=True)]


def change_neighbour(request: Request, *, is_new: bool) -> None:
    """RTM_NEWNEIGH, RTM_DELNEIGH. Raises EINVAL, ENODEV, EEXIST, ENOENT, EAFNOSUPPORT.

    Linux: net/core/neighbour.c, neigh_add, neigh_delete.
    """
    network = request.network
    if request.body[0] == _AF_BRIDGE:
        change_fdb(request, is_new=is_new)
        return
    if len(request.body) < Ndmsg.SIZE:
        if is_new:
            raise EINVAL("Invalid header length", TOLD)
        raise EINVAL("a struct ndmsg is needed")
    header = Ndmsg.unpack_from(request.body)
    found = (
        checked_attributes(request, Ndmsg.SIZE, _POLICY) if is_new else nested_in(request.body[Ndmsg.SIZE :])
    )
    address = found.get(_DST)
    if address is None:
        raise EINVAL("Network address not specified", TOLD)
    interface: Interface | None = None
    hardware_address = found.get(_LLADDR) if is_new else None
    if header.ndm_ifindex:
        interface = network.interfaces.get(header.ndm_ifindex)
        if interface is None:
            raise ENODEV
        if hardware_address is not None and len(hardware_address) < _address_bytes(interface):
            raise EINVAL("Invalid link address", TOLD)
    size = ADDRESS_BYTES.get(header.ndm_family)
    if size is None:
        raise EAFNOSUPPORT("no such protocol")
    if len(address) < size:
        raise EINVAL("Invalid network address", TOLD)
    address = address[:size]
    if header.ndm_flags & _PROXY:
        protocol = found[_PROTOCOL][0] if is_new and _PROTOCOL in found else None
        set_proxy(network, interface, address, header.ndm_flags, protocol, is_new=is_new)
        return
    if interface is None:
        if is_new:
            raise EINVAL("Device not specified", TOLD)
        raise EINVAL("no interface")
    entry = network.neighbours.get((interface, address))
    if is_new:
        _add(request, header, found, interface, address, entry)
        return
    if entry is None:
        raise ENOENT
    remove_neighbour(entry, request.port_id)


def set_proxy(
    network: Network,
    interface: Interface | None,
    address: bytes,
    flags: int = 0,
    protocol: int | None = None,
    *,
    is_new: bool,
) -> None:
    """This machine answers for a neighbour from now on, or doesn't any more. Raises ENOENT, ENOBUFS.

    Linux: net/core/neighbour.c, pneigh_create, pneigh_delete.
    """
    key = interface, address
    if is_new:
        before = network.proxies.get(key)
        if before is None:
            network.account_address(1)
            before = Proxy(0, 0)
        network.proxies[key] = Proxy(flags & ~_PROXY, before.protocol if protocol is None else protocol)
    elif network.proxies.pop(key, None) is None:
        raise ENOENT("nobody is spoken for")
    else:
        network.account_address(-1)
    network.topology_changed()


def _address_bytes(interface: Interface) -> int:
    return 6 if interface.has_frames else 0


def _add(
    request: Request,
    header: Ndmsg,
    found: dict[int, bytes],
    interface: Interface,
    address: bytes,
    entry: Neighbour | None,
) -> None:
    is_managed = bool((number_in(found, _MORE_FLAGS) or 0) & _MANAGED)
    if entry is None:
        if not request.has(NetlinkFlag.NLM_F_CREATE):
            raise ENOENT
        if is_managed and header.ndm_state & _PERMANENT:
            raise EINVAL("Invalid NTF_* flag for permanent entry", TOLD)
    elif request.has(NetlinkFlag.NLM_F_EXCL):
        raise EEXIST
    overrides = entry is None or request.has(NetlinkFlag.NLM_F_REPLACE)
    if interface.kind == LOOPBACK and len(address) == 4:
        # All are one there. Linux: net/ipv4/arp.c, arp_constructor.
        address = bytes(4)
        entry = interface.network.neighbours.get((interface, address))
    state, hardware_address = header.ndm_state, found.get(_LLADDR)
    had_address = entry is not None and bool(entry.state & VALID)
    known = entry.hardware_address if had_address and entry is not None else b""
    if entry is None and not has_arp(interface):
        # Nobody needs to ask there. Linux: net/ipv4/arp.c, arp_constructor.
        had_address, known = True, interface.hardware_address
    if header.ndm_flags & _USE or is_managed:
        entry = entry or new_neighbour(interface, address)
        before = entry.flags
        _describe(entry, header, found, overrides=False)
        if entry.state == _PERMANENT:
            entry.state = 0
        use(entry)
        if entry.flags != before:
            interface.network.neighbour_changed(entry, is_there=True, port_id=request.port_id)
        return
    if hardware_address is not None:
        hardware_address = hardware_address[:6]
    if state & VALID and interface.has_frames:
        if hardware_address is None:
            if not had_address:
                # Linux has made the entry by then.
                if entry is None:
                    set_neighbour(interface, address, b"", 0, request.port_id)
                raise EINVAL("No link layer address given", TOLD)
            hardware_address = known
        if entry is not None and had_address and hardware_address != known and not overrides:
            _describe(entry, header, found, overrides=False)
            return
    set_neighbour(interface, address, hardware_address or b"", state, request.port_id)
    entry = interface.network.neighbours.get((interface, address))
    if entry is not None:
        _describe(entry, header, found, overrides=overrides)


def _describe(entry: Neighbour, header: Ndmsg, found: dict[int, bytes], *, overrides: bool) -> None:
    """What else is said of it: whether it's a router only with an address, where that replaces another.

    Linux: net/core/neighbour.c, neigh_update_flags, __neigh_update.
    """
    is_managed = (number_in(found, _MORE_FLAGS) or 0) & _MANAGED
    kept = _LEARNED | _IS_MANAGED | (_ROUTER if overrides and header.ndm_state & VALID else 0)
    entry.flags = entry.flags & ~kept | (header.ndm_flags | is_managed << _MORE_SHIFT) & kept
    if _PROTOCOL in found:
        entry.protocol = found[_PROTOCOL][0]


def new_neighbour(interface: Interface, address: bytes) -> Neighbour:
    """The entry of an address, if there's room for it. Raises ENOBUFS."""
    network = interface.network
    if (interface, address) not in network.neighbours:
        network.account_address(1)
        network.account_address(-1)
    return entry_of(interface, address)


def set_neighbour(
    interface: Interface, address: bytes, hardware_address: bytes, state: int, port_id: int = 0
) -> None:
    """Somebody says who has an address. Raises ENOBUFS. Linux: net/core/neighbour.c, __neigh_update."""
    network = interface.network
    entry = new_neighbour(interface, address)
    before, known = entry.state, entry.hardware_address
    now_ns = network.host.clock.now_ns
    entry.state = state
    if state & VALID:
        entry.hardware_address = hardware_address
    if state & _CONNECTED:
        entry.confirmed_ns = now_ns
    network.topology_changed()
    is_new = state != before or entry.hardware_address != known
    if is_new:
        entry.updated_ns = now_ns
    if state != before:
        stop_timer(entry)
        if state & _ASKED:
            entry.probe_count = 0
            look_again(entry, 0)
        elif state & VALID:
            send_waiting(entry)
    if state == FAILED and before & _ASKING:
        give_up(entry, entry.take(), port_id)
    elif is_new if state & VALID else before & VALID:
        network.neighbour_changed(entry, is_there=True, port_id=port_id)


def remove_neighbour(entry: Neighbour, port_id: int = 0) -> None:
    """Somebody says that it isn't to be believed. Linux: net/core/neighbour.c, neigh_delete,
    neigh_remove_one."""
    network = entry.interface.network
    before = entry.state
    entry.state = FAILED
    if before & _ASKING:
        give_up(entry, entry.take(), port_id)
    elif before & VALID:
        network.neighbour_changed(entry, is_there=True, port_id=port_id)
    network.neighbour_changed(entry, is_there=False)
    forget(entry)
    network.topology_changed()
