"""RTM_NEWADDR and its kin: addresses of interfaces listed, given and taken (rtnetlink(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EADDRNOTAVAIL, EEXIST, EINVAL, ENODEV, EOPNOTSUPP, ERANGE, TOLD
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.netlink import (
    IFA_F_DEPRECATED,
    IFA_F_HOMEADDRESS,
    IFA_F_MANAGETEMPADDR,
    IFA_F_MCAUTOJOIN,
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    IFA_F_SECONDARY,
    AddressAttribute,
    Ifaddrmsg,
    NetlinkFlag,
    RouteMessageType,
)
from procession.abi.word import pack_u8
from procession.net.internet.address import AF_INET, AF_INET6, is_any, is_multicast
from procession.net.internet.device_address import (
    DeviceAddress,
    add_address,
    addresses_of,
    modify_address,
    remove_address,
    scope_of_6,
)
from procession.net.link.interface import IFF_LOOPBACK
from procession.net.netlink.attributes import (
    Answer,
    Message,
    Request,
    attribute,
    attributes_in,
    number,
    number_in,
    text_in,
)

if TYPE_CHECKING:
    from procession.net.link.interface import Interface

_ADDRESS, _LOCAL = int(AddressAttribute.IFA_ADDRESS), int(AddressAttribute.IFA_LOCAL)
_LABEL, _BROADCAST = int(AddressAttribute.IFA_LABEL), int(AddressAttribute.IFA_BROADCAST)
_PROTOCOL, _METRIC = int(AddressAttribute.IFA_PROTO), int(AddressAttribute.IFA_RT_PRIORITY)
_FLAGS, _CACHE = int(AddressAttribute.IFA_FLAGS), int(AddressAttribute.IFA_CACHEINFO)
_TAKEN_FLAGS_6 = (
    IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN
)
_CACHE_BYTES = 16
_FOREVER = b"\xff\xff\xff\xff"
_NAME_BYTES = 16
_NOT_FOUND = ("ipv4: Address not found", "ipv6: address not found")
_NOT_JOINED = ("ipv4: Multicast auto join failed", "ipv6: Multicast auto join failed")
_NO_LIFETIME = ("ipv4: address lifetime invalid", "ipv6: address lifetime invalid")
_ASSIGNED = ("ipv4: Address already assigned", "ipv6: address already assigned")


def address_body(address: DeviceAddress) -> bytes:
    """A message about an address. Linux: net/ipv4/devinet.c, inet_fill_ifaddr; net/ipv6/addrconf.c,
    inet6_fill_ifaddr."""
    flags = number(address.flags)
    cache = _FOREVER * 2 + bytes(8)
    metric = [(AddressAttribute.IFA_RT_PRIORITY, number(address.metric))] if address.metric else []
    family = AF_INET6 if address.is_ipv6 else AF_INET
    header = Ifaddrmsg(
        family, address.prefix_length, address.flags & 0xFF, address.scope, address.interface.index
    )
    found: list[tuple[AddressAttribute, bytes]]
    if address.is_ipv6:
        found = [(AddressAttribute.IFA_ADDRESS, address.peer)]
        if address.peer != address.address:
            found.insert(0, (AddressAttribute.IFA_LOCAL, address.address))
        found += [*metric, (AddressAttribute.IFA_CACHEINFO, cache), (AddressAttribute.IFA_FLAGS, flags)]
        if address.protocol:
            found.append((AddressAttribute.IFA_PROTO, pack_u8(address.protocol)))
    else:
        found = [(AddressAttribute.IFA_ADDRESS, address.peer), (AddressAttribute.IFA_LOCAL, address.address)]
        if address.broadcast is not None:
            found.append((AddressAttribute.IFA_BROADCAST, address.broadcast))
        found.append((AddressAttribute.IFA_LABEL, address.label + b"\0"))
        if address.protocol:
            found.append((AddressAttribute.IFA_PROTO, pack_u8(address.protocol)))
        found += [(AddressAttribute.IFA_FLAGS, flags), *metric, (AddressAttribute.IFA_CACHEINFO, cache)]
    return header.pack() + b"".join(attribute(int(kind), data) for kind, data in found)


def address_message(address: DeviceAddress, *, is_there: bool) -> Message:
    """What listeners are told."""
    kind = RouteMessageType.RTM_NEWADDR if is_there else RouteMessageType.RTM_DELADDR
    return int(kind), address_body(address)


def list_addresses(request: Request) -> Answer:
    """RTM_GETADDR. Linux: net/ipv4/devinet.c, inet_dump_ifaddr."""
    body = request.body
    family = body[0] if body else 0
    wanted = int.from_bytes(body[4:8], "little") if len(body) >= Ifaddrmsg.SIZE else 0
    interfaces = sorted(request.network.interfaces.values(), key=_index_of)
    if wanted:
        interfaces = [interface for interface in interfaces if interface.index == wanted]
        if not interfaces:
            raise ENODEV
    found: Answer = []
    for protocol, is_ipv6 in ((AF_INET, False), (AF_INET6, True)):
        if family in (0, protocol):
            found += [
                address_message(address, is_there=True)
                for interface in interfaces
                for address in addresses_of(interface, is_ipv6=is_ipv6)
            ]
    return found


def _index_of(interface: Interface) -> int:
    return interface.index


def change_address(request: Request, *, is_new: bool) -> None:
    """RTM_NEWADDR, RTM_DELADDR. Raises ENODEV, EINVAL, EEXIST, EADDRNOTAVAIL, EOPNOTSUPP.

    Linux: net/ipv4/devinet.c, inet_rtm_newaddr, inet_rtm_deladdr; net/ipv6/addrconf.c, inet6_rtm_newaddr.
    """
    body = request.body
    if len(body) < Ifaddrmsg.SIZE:
        raise EINVAL("a struct ifaddrmsg is needed")
    header = Ifaddrmsg.unpack_from(body)
    if header.ifa_family not in (AF_INET, AF_INET6):
        raise EOPNOTSUPP("no such protocol")
    size = ADDRESS_BYTES[header.ifa_family]
    found = attributes_in(body, Ifaddrmsg.SIZE)
    interface = request.network.interfaces.get(header.ifa_index)
    local, peer = found.get(_LOCAL), found.get(_ADDRESS)
    if is_new and header.ifa_prefixlen > 8 * size:
        raise EINVAL("the length of the prefix")
    if local is None and (size == 16 or not is_new):
        local = peer
    if is_new and local is None:
        raise EINVAL("an address is needed")
    if interface is None:
        raise ENODEV
    if (local is not None and len(local) != size) or (peer is not None and len(peer) != size):
        raise EINVAL("the length of an address")
    if is_new:
        assert local is not None
        _add(request, header, found, interface, local, local if peer is None else peer)
        return
    for address in addresses_of(interface, is_ipv6=size == 16):
        if local is not None and address.address != local:
            continue
        label = text_in(found, _LABEL)
        if label is not None and address.label != label:
            continue
        if peer is not None and (address.prefix_length != header.ifa_prefixlen or address.peer != peer):
            continue
        remove_address(address)
        return
    raise EADDRNOTAVAIL(_NOT_FOUND[size == 16], TOLD)


def _add(
    request: Request,
    header: Ifaddrmsg,
    found: dict[int, bytes],
    interface: Interface,
    local: bytes,
    peer: bytes,
) -> None:
    is_ipv6 = len(local) == 16
    flags = _wanted_flags(header, found, is_ipv6=is_ipv6)
    metric, protocol = number_in(found, _METRIC) or 0, found.get(_PROTOCOL, b"")[:1]
    if is_ipv6 and (is_any(local) or is_multicast(local)):
        raise EADDRNOTAVAIL("no address of one interface")
    existing = next(
        (
            other
            for other in addresses_of(interface, is_ipv6=is_ipv6)
            if other.address == local
            and (is_ipv6 or (other.prefix_length == header.ifa_prefixlen and other.peer == peer))
        ),
        None,
    )
    if existing is not None:
        if request.has(NetlinkFlag.NLM_F_EXCL) or not request.has(NetlinkFlag.NLM_F_REPLACE):
            raise EEXIST(_ASSIGNED[is_ipv6], TOLD)
        modify_address(existing, metric, flags, int.from_bytes(protocol, "little"))
        return
    if flags & IFA_F_MCAUTOJOIN:
        raise EINVAL(_NOT_JOINED[is_ipv6], TOLD)
    scope = scope_of_6(local) if is_ipv6 else header.ifa_scope
    broadcast = found.get(_BROADCAST)
    if broadcast is not None and len(broadcast) != 4:
        raise EINVAL("the length of an address")
    label = text_in(found, _LABEL) or b""
    if len(label) >= _NAME_BYTES:
        raise EINVAL("the length of the label")
    address = DeviceAddress(
        interface,
        local,
        header.ifa_prefixlen,
        peer=peer,
        broadcast=None if is_ipv6 or interface.flags & IFF_LOOPBACK else broadcast,
        label=label,
        scope=scope,
        protocol=int.from_bytes(protocol, "little"),
        metric=metric,
        flags=flags,
    )
    add_address(address)


def _wanted_flags(header: Ifaddrmsg, found: dict[int, bytes], *, is_ipv6: bool) -> int:
    """Raises EINVAL for what can't be together, and for lifetimes that are none.

    Linux: net/ipv4/devinet.c, rtm_to_ifaddr; net/ipv6/addrconf.c, inet6_rtm_newaddr.
    """
    flags = number_in(found, _FLAGS)
    if flags is None:
        flags = header.ifa_flags
    flags &= _TAKEN_FLAGS_6 if is_ipv6 else ~(IFA_F_SECONDARY | IFA_F_DEPRECATED)
    cache = found.get(_CACHE)
    if cache is not None:
        if len(cache) < _CACHE_BYTES:
            raise ERANGE("a struct ifa_cacheinfo is needed")
        preferred_s, valid_s = (int.from_bytes(cache[at : at + 4], "little") for at in (0, 4))
        if not valid_s or preferred_s > valid_s:
            raise EINVAL(_NO_LIFETIME[is_ipv6], TOLD)
    if flags & IFA_F_MANAGETEMPADDR and is_ipv6 and header.ifa_prefixlen != 64:
        raise EINVAL('ipv6: address with "mngtmpaddr" flag must have a prefix length of 64', TOLD)
    return flags
