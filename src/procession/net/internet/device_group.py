"""Which groups a network's interfaces listen to, and the addresses that those have on wires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.word import pack_address
from procession.net.internet.address import EVERYBODY, is_link_local
from procession.net.internet.routing import masked
from procession.net.link.interface import BRIDGE, IFF_MULTICAST, IFF_NOARP, LOOPBACK

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.network import Network

_ALL_HOSTS, ALL_NODES, _OWN_NODES = EVERYBODY
_ROUTERS = (b"\xff\2" + bytes(13) + b"\2", b"\xff\1" + bytes(13) + b"\2", b"\xff\5" + bytes(13) + b"\2")
"""ff02::2, ff01::2 and ff05::2."""
_SNOOPERS = (b"\xe0\0\0\x6a", b"\xff\2" + bytes(13) + b"\x6a")
"""Who wants to know who listens to what (RFC 4286): a bridge."""
_SOLICITED = b"\xff\2" + bytes(9) + b"\1\xff"
LINK_LOCAL_SCOPE = 2
_LONGEST_NET = 127


def _solicited(address: bytes) -> bytes:
    """The group in which a neighbour with this address is asked for. Linux: include/net/addrconf.h,
    addrconf_addr_solict_mult."""
    return _SOLICITED + address[-3:]


def own_groups(network: Network, interface: Interface) -> list[bytes]:
    """What the kernel listens to at an interface, in the order in which it came to it."""
    groups = [_OWN_NODES, ALL_NODES]
    if interface.kind == BRIDGE:
        groups += _SNOOPERS
    groups.append(_ALL_HOSTS)
    if interface.kind == LOOPBACK or interface.flags & IFF_NOARP:
        return groups
    # The link's own address was there before the others.
    addresses = sorted(
        (found for found in interface.addresses if found.is_ipv6),
        key=lambda found: not is_link_local(found.address),
    )
    groups += [_solicited(found.address) for found in addresses]
    if network.sysctls.forwards_6 and interface.flags & IFF_MULTICAST:
        groups += _ROUTERS
        nets = [found for found in addresses if found.prefix_length < _LONGEST_NET]
        groups += [_solicited(masked(found.address, found.prefix_length)) for found in nets]
    return groups


def groups_at(network: Network, interface: Interface) -> dict[bytes, int]:
    """The groups that are listened to at an interface, with how often, the oldest first."""
    counts: dict[bytes, int] = {}
    for group in own_groups(network, interface):
        counts[group] = counts.get(group, 0) + 1
    for (index, group), count in network.groups.items():
        if index == interface.index:
            counts[group] = counts.get(group, 0) + count
    return counts


def _hardware_group(group: bytes) -> bytes:
    """The address on an Ethernet of a group. Linux: include/net/ip.h, ip_eth_mc_map;
    include/net/if_inet6.h, ipv6_eth_mc_map."""
    if len(group) == 16:
        return b"\x33\x33" + group[-4:]
    return b"\1\0\x5e" + pack_address(int.from_bytes(group[-3:], "big") & 0x7FFFFF, 3)


def hardware_groups(network: Network, interface: Interface) -> dict[bytes, int]:
    """The addresses of the groups on an interface's wire, with how often each is listened to, the oldest
    first; of one that is down that of all who speak IPv6 alone, unless it was left with the wire.

    Linux: net/ipv6/mcast.c, ipv6_mc_down.
    """
    if not interface.is_up:
        return {} if interface.has_left_groups else {_hardware_group(ALL_NODES): 1}
    counts: dict[bytes, int] = {}
    for group in groups_at(network, interface):
        if len(group) == 4 or group[1] & 15 >= LINK_LOCAL_SCOPE:
            address = _hardware_group(group)
            counts[address] = counts.get(address, 0) + 1
    return counts
