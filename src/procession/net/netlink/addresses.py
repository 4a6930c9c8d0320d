"""RTM_NEWADDR and its kin: addresses of interfaces listed, given and taken (rtnetlink(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_CLOCK_TICK
from procession.abi.errno import (
    EACCES,
    EADDRNOTAVAIL,
    EEXIST,
    EINVAL,
    ENOBUFS,
    ENODEV,
    ENXIO,
    EOPNOTSUPP,
    TOLD,
    Errno,
)
from procession.abi.internet import ADDRESS_BYTES
from procession.abi.netlink import (
    IFA_F_HOMEADDRESS,
    IFA_F_MANAGETEMPADDR,
    IFA_F_MCAUTOJOIN,
    IFA_F_NODAD,
    IFA_F_NOPREFIXROUTE,
    AddressAttribute,
    Ifaddrmsg,
    NetlinkFlag,
    RouteMessageType,
)
from procession.abi.word import pack_u8
from procession.net.cause import NO_REQUEST
from procession.net.internet.address import AF_INET, AF_INET6, LOOPBACK_6, is_any, is_multicast
from procession.net.internet.address_lifetime import INFINITY_S, lifetimes_left, set_lifetimes, stop_waiting
from procession.net.internet.device_address import (
    DeviceAddress,
    add_address,
    add_net_routes,
    addresses_of,
    modify_address,
    remove_address,
    scope_of_6,
)
from procession.net.internet.routing import is_within
from procession.net.link.interface import IFF_LOOPBACK, LEAST_IPV6_MTU
from procession.net.netlink.attributes import (
    Answer,
    Message,
    Request,
    attribute,
    number,
    number_in,
    text_in,
)
from procession.net.netlink.policy import U8, U32, Policy, at_least, checked_attributes, signed, string
from procession.net.netlink.targets import asked_network
from procession.net.sysctls import DISABLE_IPV6

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.network import Network

_ADDRESS, _LOCAL = int(AddressAttribute.IFA_ADDRESS), int(AddressAttribute.IFA_LOCAL)
_LABEL, _BROADCAST = int(AddressAttribute.IFA_LABEL), int(AddressAttribute.IFA_BROADCAST)
_PROTOCOL, _METRIC = int(AddressAttribute.IFA_PROTO), int(AddressAttribute.IFA_RT_PRIORITY)
_FLAGS, _CACHE = int(AddressAttribute.IFA_FLAGS), int(AddressAttribute.IFA_CACHEINFO)
_TAKEN_FLAGS_4 = IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN
_TAKEN_FLAGS_6 = (
    IFA_F_NODAD | IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN
)
_TARGET_NETNSID = int(AddressAttribute.IFA_TARGET_NETNSID)
_CACHE_BYTES, _LONGEST_LABEL = 16, 15
_POLICY_4 = Policy(
    {
        **dict.fromkeys((_LOCAL, _ADDRESS, _BROADCAST, _FLAGS, _METRIC), U32),
        _LABEL: string(_LONGEST_LABEL),
        _CACHE: at_least(_CACHE_BYTES),
        _TARGET_NETNSID: signed(-(1 << 31)),
        _PROTOCOL: U8,
    },
    _PROTOCOL,
)
"""Linux: net/ipv4/devinet.c, ifa_ipv4_policy."""
_POLICY_6 = Policy(
    {
        **dict.fromkeys((_LOCAL, _ADDRESS, _CACHE), at_least(16)),
        **dict.fromkeys((_FLAGS, _METRIC), at_least(4)),
        _TARGET_NETNSID: signed(-(1 << 31)),
        _PROTOCOL: U8,
    },
    _PROTOCOL,
)
"""Linux: net/ipv6/addrconf.c, ifa_ipv6_policy."""
_NO_TEMPORARY = 'ipv6: address with "mngtmpaddr" flag must have a prefix length of 64'
_NOT_FOUND = ("ipv4: Address not found", "ipv6: address not found")
_NOT_JOINED = ("ipv4: Multicast auto join failed", "ipv6: Multicast auto join failed")
_NO_LIFETIME = ("ipv4: address lifetime invalid", "ipv6: address lifetime invalid")
_ASSIGNED = ("ipv4: Address already assigned", "ipv6: address already assigned")


def address_body(address: DeviceAddress, target: bytes | None = None) -> bytes:
    """A message about an address, with the number of the network that was asked for, its `target`.

    Linux: net/ipv4/devinet.c, inet_fill_ifaddr; net/ipv6/addrconf.c, inet6_fill_ifaddr.
    """
    flags = number(address.flags)
    preferred_s, valid_s = lifetimes_left(address)
    stamps = [moment_ns // NS_PER_CLOCK_TICK for moment_ns in (address.created_ns, address.updated_ns)]
    cache = number(preferred_s) + number(valid_s) + b"".join(number(stamp & INFINITY_S) for stamp in stamps)
    metric = [(AddressAttribute.IFA_RT_PRIORITY, number(address.metric))] if address.metric else []
    family = AF_INET6 if address.is_ipv6 else AF_INET
    header = Ifaddrmsg(
        family, address.prefix_length, address.flags & 0xFF, address.scope, address.interface.index
    )
    found: list[tuple[AddressAttribute, bytes]]
    if address.is_ipv6:
        found = [(AddressAttribute.IFA_ADDRESS, address.peer)]
        if address.has_peer:
            found.insert(0, (AddressAttribute.IFA_LOCAL, address.address))
        found += [*metric, (AddressAttribute.IFA_CACHEINFO, cache), (AddressAttribute.IFA_FLAGS, flags)]
        if address.protocol:
            found.append((AddressAttribute.IFA_PROTO, pack_u8(address.protocol)))
    else:
        found = [(AddressAttribute.IFA_ADDRESS, address.peer)] if any(address.peer) else []
        found.append((AddressAttribute.IFA_LOCAL, address.address))
        if address.broadcast is not None and any(address.broadcast):
            found.append((AddressAttribute.IFA_BROADCAST, address.broadcast))
        if address.label:
            found.append((AddressAttribute.IFA_LABEL, address.label + b"\0"))
        if address.protocol:
            found.append((AddressAttribute.IFA_PROTO, pack_u8(address.protocol)))
        found += [(AddressAttribute.IFA_FLAGS, flags), *metric, (AddressAttribute.IFA_CACHEINFO, cache)]
    if target is not None:
        found.insert(0, (AddressAttribute.IFA_TARGET_NETNSID, target))
    return header.pack() + b"".join(attribute(int(kind), data) for kind, data in found)


def address_message(address: DeviceAddress, *, is_there: bool, target: bytes | None = None) -> Message:
    """What listeners are told."""
    kind = RouteMessageType.RTM_NEWADDR if is_there else RouteMessageType.RTM_DELADDR
    return int(kind), address_body(address, target)


def list_addresses(request: Request) -> Answer:
    """RTM_GETADDR. Raises ENODEV, EINVAL. Linux: net/ipv4/devinet.c, inet_dump_ifaddr,
    inet_valid_dump_ifaddr_req; net/ipv6/addrconf.c, inet6_dump_addr."""
    family = request.body[0] if request.body[0] in (AF_INET, AF_INET6) else 0
    network, target, wanted = request.network, None, 0
    if request.is_strict:
        network, target, wanted = _wanted_addresses(request, family)
    interfaces = sorted(network.interfaces.values(), key=_index_of)
    if wanted:
        interfaces = [interface for interface in interfaces if interface.index == wanted]
        if not interfaces:
            raise ENODEV
    found: Answer = []
    for protocol, is_ipv6 in ((AF_INET, False), (AF_INET6, True)):
        if family in (0, protocol):
            found += [
                address_message(address, is_there=True, target=target)
                for interface in interfaces
                for address in addresses_of(interface, is_ipv6=is_ipv6)
            ]
    return found


def _wanted_addresses(request: Request, family: int) -> tuple[Network, bytes | None, int]:
    """The network, its number if it isn't the asker's, and the interface whose addresses are asked for, 0 for
    all. Raises EINVAL, EACCES."""
    is_ipv6 = family == AF_INET6
    before = "ipv6: " if is_ipv6 else "ipv4: "
    if len(request.body) < Ifaddrmsg.SIZE:
        raise EINVAL(f"{before}Invalid header for address dump request", TOLD)
    header = Ifaddrmsg.unpack_from(request.body)
    if header.ifa_prefixlen or header.ifa_flags or header.ifa_scope:
        raise EINVAL(f"{before}Invalid values in header for address dump request", TOLD)
    request.is_filtered = request.is_narrowed = bool(header.ifa_index)
    found = checked_attributes(request, Ifaddrmsg.SIZE, _POLICY_6 if is_ipv6 else _POLICY_4, is_strict=True)
    for kind in sorted(found):
        if kind != _TARGET_NETNSID:
            raise EINVAL(f"{before}Unsupported attribute in dump request", TOLD)
    network = asked_network(request, found, _TARGET_NETNSID, before=before)
    return network, found.get(_TARGET_NETNSID), header.ifa_index


def find_address(request: Request) -> Message:
    """RTM_GETADDR of one of IPv6. Raises EINVAL, ENODEV, EADDRNOTAVAIL. Linux: net/ipv6/addrconf.c,
    inet6_rtm_getaddr, inet6_rtm_valid_getaddr_req."""
    if len(request.body) < Ifaddrmsg.SIZE:
        raise EINVAL("ipv6: Invalid header for get address request", TOLD)
    header = Ifaddrmsg.unpack_from(request.body)
    if request.is_strict and (header.ifa_prefixlen or header.ifa_flags or header.ifa_scope):
        raise EINVAL("ipv6: Invalid values in header for get address request", TOLD)
    found = checked_attributes(request, Ifaddrmsg.SIZE, _POLICY_6, is_strict=request.is_strict)
    if request.is_strict:
        for kind in sorted(found):
            if kind not in (_TARGET_NETNSID, _ADDRESS, _LOCAL):
                raise EINVAL("ipv6: Unsupported attribute in get address request", TOLD)
    network = asked_network(request, found, _TARGET_NETNSID)
    wanted = found.get(_LOCAL, found.get(_ADDRESS))
    if wanted is None:
        raise EINVAL("an address is needed")
    interfaces = sorted(network.interfaces.values(), key=_index_of)
    chosen = [each for each in interfaces if each.index == header.ifa_index] or interfaces
    for interface in chosen:
        for address in addresses_of(interface, is_ipv6=True):
            if address.address == wanted[:16]:
                return address_message(address, is_there=True, target=found.get(_TARGET_NETNSID))
    raise EADDRNOTAVAIL("no such address")


def _index_of(interface: Interface) -> int:
    return interface.index


def change_address(request: Request, *, is_new: bool) -> None:
    """RTM_NEWADDR, RTM_DELADDR. Raises ENODEV, EINVAL, EEXIST, EADDRNOTAVAIL, EOPNOTSUPP.

    Linux: net/ipv4/devinet.c, inet_rtm_newaddr, inet_rtm_deladdr; net/ipv6/addrconf.c, inet6_rtm_newaddr.
    """
    body = request.body
    family = body[0]
    if family not in (AF_INET, AF_INET6):
        raise EOPNOTSUPP("no such protocol")
    is_ipv6 = family == AF_INET6
    if len(body) < Ifaddrmsg.SIZE:
        raise EINVAL("Invalid header length", TOLD)
    header = Ifaddrmsg.unpack_from(body)
    found = checked_attributes(request, Ifaddrmsg.SIZE, _POLICY_6 if is_ipv6 else _POLICY_4)
    size = ADDRESS_BYTES[family]
    local, peer = found.get(_LOCAL), found.get(_ADDRESS)
    local, peer = local and local[:size], peer and peer[:size]
    if is_ipv6 and local is not None and peer is not None and is_any(peer):
        peer = None
    if is_ipv6 and local is None:
        local = peer
    if is_new and not is_ipv6 and header.ifa_prefixlen > 32:
        raise EINVAL("ipv4: Invalid prefix length", TOLD)
    if local is None and (is_new or is_ipv6):
        if is_ipv6:
            raise EINVAL("an address is needed")
        raise EINVAL("ipv4: Local address is not supplied", TOLD)
    if is_ipv6 and not is_new and header.ifa_prefixlen > 128:
        raise EINVAL("ipv6: Invalid prefix length", TOLD)
    lifetimes = _wanted_lifetimes(found, is_ipv6=is_ipv6) if is_new else (INFINITY_S, INFINITY_S)
    if is_new and not is_ipv6 and local is not None and is_any(local):
        return
    interface = request.network.interfaces.get(header.ifa_index)
    if interface is None:
        raise ENODEV("ipv6: Unable to find the interface" if is_ipv6 else "ipv4: Device not found", TOLD)
    _check_protocol(interface, is_ipv6=is_ipv6, is_new=is_new)
    if is_new:
        assert local is not None
        _add(request, header, found, interface, local, local if peer is None else peer, lifetimes)
        return
    for address in addresses_of(interface, is_ipv6=is_ipv6):
        if local is not None and address.address != local:
            continue
        if is_ipv6:
            if header.ifa_prefixlen != address.prefix_length:
                continue
        else:
            label = text_in(found, _LABEL)
            if label is not None and address.label != label:
                continue
            if peer is not None and (
                address.prefix_length != header.ifa_prefixlen
                or not is_within(peer, address.net, address.prefix_length)
            ):
                continue
        remove_address(address, NO_REQUEST if is_ipv6 else request.cause)
        return
    raise EADDRNOTAVAIL(_NOT_FOUND[is_ipv6], TOLD)


def _check_protocol(interface: Interface, *, is_ipv6: bool, is_new: bool) -> None:
    if is_ipv6 and interface.mtu < LEAST_IPV6_MTU:
        if is_new:
            raise EINVAL("the interface is too small for IPv6")
        raise ENXIO("ipv6: IPv6 is disabled on this device", TOLD)
    if not interface.has_protocol(is_ipv6=is_ipv6):
        if is_new:
            raise ENOBUFS("the interface is too small for IPv4")
        raise ENODEV("ipv4: Device not found", TOLD)


def _add(
    request: Request,
    header: Ifaddrmsg,
    found: dict[int, bytes],
    interface: Interface,
    local: bytes,
    peer: bytes,
    lifetimes: tuple[int, int],
) -> None:
    is_ipv6 = len(local) == 16
    flags = _wanted_flags(header, found, is_ipv6=is_ipv6)
    metric, protocol = number_in(found, _METRIC) or 0, found.get(_PROTOCOL, b"")[:1]
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
        if is_ipv6 and flags & IFA_F_MANAGETEMPADDR and existing.prefix_length != 64:
            raise EINVAL("temporary addresses have prefixes of 64 bits")
        modify_address(existing, peer, metric, flags, int.from_bytes(protocol, "little"))
        set_lifetimes(existing, *lifetimes)
        if is_ipv6 and interface.is_up:
            # Those that are missing come back. Linux: net/ipv6/addrconf.c, inet6_addr_modify.
            add_net_routes(existing, is_new=False)
        cause = NO_REQUEST if is_ipv6 else request.cause
        request.network.address_changed(existing, is_there=True, cause=cause)
        return
    if is_ipv6:
        _check_new_6(header, interface, local, flags)
    # Linux: net/ipv4/devinet.c, ip_mc_autojoin_config: the peer's.
    if flags & IFA_F_MCAUTOJOIN and not is_multicast(local if is_ipv6 else peer):
        raise EINVAL(_NOT_JOINED[is_ipv6], TOLD)
    scope = scope_of_6(local) if is_ipv6 else header.ifa_scope
    broadcast = found.get(_BROADCAST)
    address = DeviceAddress(
        interface,
        local,
        header.ifa_prefixlen,
        peer=peer,
        broadcast=None if is_ipv6 else broadcast and broadcast[:4],
        label=text_in(found, _LABEL),
        scope=scope,
        protocol=int.from_bytes(protocol, "little"),
        metric=metric,
        flags=flags,
    )
    if is_ipv6 and _ADDRESS in found and len(found.get(_LOCAL, b"")) > len(local):
        # It isn't the same then, however it begins. Linux: net/ipv6/addrconf.c, extract_addr.
        address.has_peer = True
    set_lifetimes(address, *lifetimes)
    try:
        add_address(address, NO_REQUEST if is_ipv6 else request.cause)
    except Errno:
        stop_waiting(address)
        raise


def _check_new_6(header: Ifaddrmsg, interface: Interface, local: bytes, flags: int) -> None:
    """Raise for what can't be an address of IPv6 here. Linux: net/ipv6/addrconf.c, inet6_addr_add,
    ipv6_add_addr."""
    if header.ifa_prefixlen > 128:
        raise EINVAL("ipv6: Invalid prefix length", TOLD)
    if flags & IFA_F_MANAGETEMPADDR and header.ifa_prefixlen != 64:
        raise EINVAL(_NO_TEMPORARY, TOLD)
    if interface.settings[DISABLE_IPV6]:
        raise EACCES("ipv6: IPv6 is disabled on this device", TOLD)
    if is_multicast(local) and not flags & IFA_F_MCAUTOJOIN:
        told = 'ipv6: Cannot assign multicast address without "IFA_F_MCAUTOJOIN" flag'
        raise EADDRNOTAVAIL(told, TOLD)
    if is_any(local):
        raise EADDRNOTAVAIL("ipv6: Invalid address", TOLD)
    if local == LOOPBACK_6 and not interface.flags & IFF_LOOPBACK:
        raise EADDRNOTAVAIL("ipv6: Cannot assign loopback address on this device", TOLD)


def _wanted_lifetimes(found: dict[int, bytes], *, is_ipv6: bool) -> tuple[int, int]:
    """How many seconds an address is preferred, and valid. Raises EINVAL. Linux: net/ipv4/devinet.c,
    rtm_to_ifaddr."""
    cache = found.get(_CACHE)
    if cache is None:
        return INFINITY_S, INFINITY_S
    preferred_s, valid_s = (int.from_bytes(cache[at : at + 4], "little") for at in (0, 4))
    if not valid_s or preferred_s > valid_s:
        raise EINVAL(_NO_LIFETIME[is_ipv6], TOLD)
    return preferred_s, valid_s


def _wanted_flags(header: Ifaddrmsg, found: dict[int, bytes], *, is_ipv6: bool) -> int:
    """The flags that stay. Linux: net/ipv4/devinet.c, rtm_to_ifaddr; net/ipv6/addrconf.c,
    inet6_rtm_newaddr."""
    flags = number_in(found, _FLAGS)
    if flags is None:
        flags = header.ifa_flags
    return flags & (_TAKEN_FLAGS_6 if is_ipv6 else _TAKEN_FLAGS_4)
