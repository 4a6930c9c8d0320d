"""RTM_NEWNEIGH and its kin: neighbours listed, made and forgotten (rtnetlink(7), arp(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EEXIST, EINVAL, ENODEV, ENOENT, EOPNOTSUPP
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.netlink import Ndmsg, NeighbourAttribute, NetlinkFlag, RouteMessageType, RouteType
from procession.abi.socket import AddressFamily
from procession.abi.word import pack_array
from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.internet.neighbour import FAILED, INCOMPLETE, PERMANENT, REACHABLE, STALE, forget, learn
from procession.net.netlink.attributes import Answer, Message, Request, attribute, attributes_in, number

if TYPE_CHECKING:
    from procession.net.internet.neighbour import Neighbour
    from procession.net.link.interface import Interface

_DST, _LLADDR = int(NeighbourAttribute.NDA_DST), int(NeighbourAttribute.NDA_LLADDR)
_UNICAST = int(RouteType.RTN_UNICAST)
_AF_BRIDGE = int(AddressFamily.AF_BRIDGE)
_NS_PER_TICK = 10_000_000
_WITHOUT_ADDRESS = (INCOMPLETE, FAILED)


def neighbour_body(entry: Neighbour) -> bytes:
    """A message about a neighbour. Linux: net/core/neighbour.c, neigh_fill_info."""
    now_ns = entry.interface.network.host.clock.now_ns
    state = entry.state_at(now_ns)
    family = AF_INET if len(entry.address) == 4 else AF_INET6
    header = Ndmsg(family, 0, 0, entry.interface.index, state, 0, _UNICAST)
    body = header.pack() + attribute(_DST, entry.address)
    if state not in _WITHOUT_ADDRESS:
        body += attribute(_LLADDR, entry.hardware_address)
    ages = [
        max(now_ns - then, 0) // _NS_PER_TICK
        for then in (entry.confirmed_ns, entry.used_ns, entry.updated_ns)
    ]
    body += attribute(int(NeighbourAttribute.NDA_PROBES), number(entry.probe_count))
    return body + attribute(int(NeighbourAttribute.NDA_CACHEINFO), pack_array("I", (*ages, 0)))


def neighbour_message(entry: Neighbour, *, is_there: bool) -> Message:
    """What listeners are told."""
    kind = RouteMessageType.RTM_NEWNEIGH if is_there else RouteMessageType.RTM_DELNEIGH
    return int(kind), neighbour_body(entry)


def list_neighbours(request: Request) -> Answer:
    """RTM_GETNEIGH. Linux: net/core/neighbour.c, neigh_dump_info."""
    family = request.body[0] if request.body else 0
    if family == _AF_BRIDGE:
        return []
    return [
        neighbour_message(entry, is_there=True)
        for entry in request.network.neighbours.values()
        if family in (0, AF_INET if len(entry.address) == 4 else AF_INET6)
    ]


def change_neighbour(request: Request, *, is_new: bool) -> None:
    """RTM_NEWNEIGH, RTM_DELNEIGH. Raises EINVAL, ENODEV, EEXIST, ENOENT.

    Linux: net/core/neighbour.c, neigh_add, neigh_delete.
    """
    network = request.network
    if len(request.body) < Ndmsg.SIZE:
        raise EINVAL("a struct ndmsg is needed")
    header = Ndmsg.unpack_from(request.body)
    found = attributes_in(request.body, Ndmsg.SIZE)
    address = found.get(_DST)
    if address is None:
        raise EINVAL("network address not specified")
    if header.ndm_family not in (AF_INET, AF_INET6):
        raise EOPNOTSUPP("no such protocol")
    interface = network.interfaces.get(header.ndm_ifindex)
    if interface is None:
        raise ENODEV
    if len(address) != ADDRESS_BYTES[header.ndm_family]:
        raise EINVAL("invalid network address")
    entry = network.neighbours.get((interface, address))
    if not is_new:
        if entry is None:
            raise ENOENT
        remove_neighbour(entry)
        return
    hardware_address = found.get(_LLADDR)
    if hardware_address is not None and len(hardware_address) < len(interface.hardware_address):
        raise EINVAL("invalid link address")
    if entry is None:
        if not request.has(NetlinkFlag.NLM_F_CREATE):
            raise ENOENT
    elif request.has(NetlinkFlag.NLM_F_EXCL):
        raise EEXIST
    state = header.ndm_state or PERMANENT
    if hardware_address is None:
        if state in (PERMANENT, REACHABLE, STALE):
            raise EINVAL("link address not specified")
        return
    set_neighbour(interface, address, hardware_address[:6], state)


def set_neighbour(interface: Interface, address: bytes, hardware_address: bytes, state: int) -> None:
    """Somebody says who has an address. Raises OutOfFrames. Linux: net/core/neighbour.c, __neigh_update."""
    network = interface.network
    entry = network.neighbours.get((interface, address))
    if entry is not None:
        entry.state = STALE
    else:
        network.account_address(1)
        network.account_address(-1)
    learn(interface, address, hardware_address, state)
    network.topology_changed()


def remove_neighbour(entry: Neighbour) -> None:
    """Somebody says that it isn't to be believed. Linux: net/core/neighbour.c, neigh_remove_one."""
    network = entry.interface.network
    entry.state = FAILED
    network.neighbour_changed(entry, is_there=False)
    forget(entry)
    network.topology_changed()
