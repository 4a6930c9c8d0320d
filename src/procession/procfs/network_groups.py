"""/proc/net/igmp, igmp6 and dev_mcast: to which groups a network's interfaces listen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.word import pack_address
from procession.net.internet.address import is_link_local
from procession.net.internet.group import EVERYBODY
from procession.net.internet.routing import masked
from procession.net.link.interface import BRIDGE, IFF_MULTICAST, IFF_NOARP, LOOPBACK

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.net.link.interface import Interface
    from procession.net.network import Network

_ALL_HOSTS, _ALL_NODES, _OWN_NODES = EVERYBODY
_ROUTERS = (b"\xff\2" + bytes(13) + b"\2", b"\xff\1" + bytes(13) + b"\2", b"\xff\5" + bytes(13) + b"\2")
"""ff02::2, ff01::2 and ff05::2."""
_SNOOPERS = (b"\xe0\0\0\x6a", b"\xff\2" + bytes(13) + b"\x6a")
"""Who wants to know who listens to what (RFC 4286): a bridge."""
_SOLICITED = b"\xff\2" + bytes(9) + b"\1\xff"
_LOADED, _NEVER_REPORTED = 4, 8
"""MAF_LOADED and MAF_NOREPORT."""
_LINK_LOCAL_SCOPE = 2
_LONGEST_NET = 127


def _solicited(address: bytes) -> bytes:
    """The group in which a neighbour with this address is asked for. Linux: include/net/addrconf.h,
    addrconf_addr_solict_mult."""
    return _SOLICITED + address[-3:]


def _own_groups(network: Network, interface: Interface) -> list[bytes]:
    """What the kernel listens to at an interface, in the order in which it came to it."""
    groups = [_OWN_NODES, _ALL_NODES]
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


def _groups_at(network: Network, interface: Interface) -> dict[bytes, int]:
    """The groups that are listened to at an interface, with how often, the oldest first."""
    counts: dict[bytes, int] = {}
    for group in _own_groups(network, interface):
        counts[group] = counts.get(group, 0) + 1
    for (index, group), count in network.groups.items():
        if index == interface.index:
            counts[group] = counts.get(group, 0) + count
    return counts


def _newest(network: Network, interface: Interface, size: int) -> list[tuple[bytes, int]]:
    """Those of addresses of so many bytes, the newest first."""
    return [entry for entry in _groups_at(network, interface).items() if len(entry[0]) == size][::-1]


def _shown_interfaces(network: Network) -> list[Interface]:
    return [
        network.interfaces[index] for index in sorted(network.interfaces) if network.interfaces[index].is_up
    ]


def show_igmp(kernel: Kernel) -> bytes:
    """/proc/net/igmp. Linux: net/ipv4/igmp.c, igmp_mc_seq_show."""
    network = kernel.seen_namespaces.network
    lines = [b"Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"]
    for interface in _shown_interfaces(network):
        groups = _newest(network, interface, 4)
        lines.append(b"%d\t%-10s: %5d      V3\n" % (interface.index, interface.name, len(groups)))
        lines += [
            b"\t\t\t\t%08X %5d 0:00000000\t\t0\n" % (int.from_bytes(group, "little"), count)
            for group, count in groups
        ]
    return b"".join(lines)


def show_igmp6(kernel: Kernel) -> bytes:
    """/proc/net/igmp6. Linux: net/ipv6/mcast.c, igmp6_mc_seq_show."""
    network = kernel.seen_namespaces.network
    lines: list[bytes] = []
    for interface in _shown_interfaces(network):
        for group, count in _newest(network, interface, 16):
            is_near = group[1] & 15 < _LINK_LOCAL_SCOPE
            flags = 0 if is_near else _LOADED
            if is_near or group == _ALL_NODES:
                flags |= _NEVER_REPORTED
            lines.append(
                b"%-4d %-15s %s %5d %08X 0\n"
                % (interface.index, interface.name, group.hex().encode(), count, flags)
            )
    return b"".join(lines)


def _hardware_group(group: bytes) -> bytes:
    """The address on an Ethernet of a group. Linux: include/net/ip.h, ip_eth_mc_map;
    include/net/if_inet6.h, ipv6_eth_mc_map."""
    if len(group) == 16:
        return b"\x33\x33" + group[-4:]
    return b"\1\0\x5e" + pack_address(int.from_bytes(group[-3:], "big") & 0x7FFFFF, 3)


def show_device_groups(kernel: Kernel) -> bytes:
    """/proc/net/dev_mcast: the addresses of groups on the wires.

    Linux: net/core/net-procfs.c, dev_mc_seq_show.
    """
    network = kernel.seen_namespaces.network
    lines: list[bytes] = []
    for interface in _shown_interfaces(network):
        if interface.kind == LOOPBACK:
            continue
        counts: dict[bytes, int] = {}
        for group in _groups_at(network, interface):
            if len(group) == 4 or group[1] & 15 >= _LINK_LOCAL_SCOPE:
                address = _hardware_group(group)
                counts[address] = counts.get(address, 0) + 1
        lines += [
            b"%-4d %-15s %-5d %-5d %s\n" % (interface.index, interface.name, count, 0, address.hex().encode())
            for address, count in counts.items()
        ]
    return b"".join(lines)
