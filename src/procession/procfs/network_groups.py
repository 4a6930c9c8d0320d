"""/proc/net/igmp, igmp6, anycast6 and dev_mcast: to which groups a network's interfaces listen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.net.internet.device_group import ALL_NODES, LINK_LOCAL_SCOPE, groups_at, hardware_groups
from procession.net.link.interface import LOOPBACK
from procession.net.link.own_address import is_group

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.net.link.interface import Interface
    from procession.net.network import Network

_LOADED, _NEVER_REPORTED = 4, 8
"""MAF_LOADED and MAF_NOREPORT."""


def _newest(network: Network, interface: Interface, size: int) -> list[tuple[bytes, int]]:
    """Those of addresses of so many bytes, the newest first."""
    return [entry for entry in groups_at(network, interface).items() if len(entry[0]) == size][::-1]


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
            is_near = group[1] & 15 < LINK_LOCAL_SCOPE
            flags = 0 if is_near else _LOADED
            if is_near or group == ALL_NODES:
                flags |= _NEVER_REPORTED
            lines.append(
                b"%-4d %-15s %s %5d %08X 0\n"
                % (interface.index, interface.name, group.hex().encode(), count, flags)
            )
    return b"".join(lines)


def show_anycast(kernel: Kernel) -> bytes:
    """/proc/net/anycast6: the addresses of interfaces that others have too.

    Linux: net/ipv6/anycast.c, ac6_seq_show.
    """
    network = kernel.seen_namespaces.network
    return b"".join(
        b"%-4d %-15s %s %5d\n"
        % (interface.index, interface.name, address.hex().encode(), network.anycasts[index, address])
        for interface in (network.interfaces[index] for index in sorted(network.interfaces))
        for index, address in reversed(network.anycasts)
        if index == interface.index
    )


def show_device_groups(kernel: Kernel) -> bytes:
    """/proc/net/dev_mcast: the addresses of groups on the wires.

    Linux: net/core/net-procfs.c, dev_mc_seq_show.
    """
    network = kernel.seen_namespaces.network
    lines: list[bytes] = []
    for index in sorted(network.interfaces):
        interface = network.interfaces[index]
        if interface.kind == LOOPBACK:
            continue
        counts, own = hardware_groups(network, interface), interface.own_addresses
        for address in (*counts, *(each for each in own if is_group(each) and each not in counts)):
            told = (counts.get(address, 0) + (address in own), address in own, address.hex().encode())
            lines.append(b"%-4d %-15s %-5d %-5d %s\n" % (interface.index, interface.name, *told))
    return b"".join(lines)
