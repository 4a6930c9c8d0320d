"""/proc/net/igmp, igmp6, anycast6 and dev_mcast: to which groups a network's interfaces listen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_CLOCK_TICK
from procession.net.internet.device_group import ALL_NODES, LINK_LOCAL_SCOPE, groups_at, hardware_groups
from procession.net.internet.group_record import EXCLUDE, INCLUDE
from procession.net.link.interface import LOOPBACK
from procession.net.link.own_address import is_group

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.net.internet.listening import ListenedGroup
    from procession.net.link.interface import Interface
    from procession.net.network import Network

_AWAITED, _REPORTED, _LOADED, _NEVER_REPORTED = 1, 2, 4, 8
"""MAF_TIMER_RUNNING, MAF_LAST_REPORTER, MAF_LOADED and MAF_NOREPORT."""
_SHORT_NAME = 6


def _newest(network: Network, interface: Interface, size: int) -> list[tuple[bytes, int]]:
    """Those of addresses of so many bytes, the newest first."""
    return [entry for entry in groups_at(network, interface).items() if len(entry[0]) == size][::-1]


def _shown_interfaces(network: Network) -> list[Interface]:
    return [
        network.interfaces[index] for index in sorted(network.interfaces) if network.interfaces[index].is_up
    ]


def _told(interface: Interface, group: bytes) -> ListenedGroup | None:
    """What is told of a group to routers."""
    listening = interface.listening_4 if len(group) == 4 else interface.listening_6
    return listening.groups.get(group) if listening is not None else None


def _awaited(network: Network, told: ListenedGroup | None) -> int:
    """In how many hundredths of a second a group is told."""
    if told is None or told.timer is None:
        return 0
    return max(told.deadline_ns - network.host.clock.now_ns, 0) // NS_PER_CLOCK_TICK


def show_igmp(kernel: Kernel) -> bytes:
    """/proc/net/igmp. Linux: net/ipv4/igmp.c, igmp_mc_seq_show."""
    network = kernel.seen_namespaces.network
    lines = [b"Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n"]
    for interface in _shown_interfaces(network):
        groups = _newest(network, interface, 4)
        listening = interface.listening_4
        version = listening.version if listening is not None else 3
        told = (interface.index, interface.name, len(groups), version)
        lines.append(b"%d\t%-10s: %5d      V%d\n" % told)
        for group, count in groups:
            found = _told(interface, group)
            awaited = (found is not None and found.timer is not None, _awaited(network, found))
            is_reporter = found is not None and found.was_reporter
            address = int.from_bytes(group, "little")
            lines.append(b"\t\t\t\t%08X %5d %d:%08X\t\t%d\n" % (address, count, *awaited, is_reporter))
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
            found = _told(interface, group)
            if found is not None:
                flags |= _AWAITED * (found.timer is not None) | _REPORTED * found.was_reporter
            told = (interface.index, interface.name, group.hex().encode(), count, flags)
            lines.append(b"%-4d %-15s %s %5d %08X %d\n" % (*told, _awaited(network, found)))
    return b"".join(lines)


def _filters(kernel: Kernel, prefix: bytes, *, is_ipv6: bool) -> list[bytes]:
    """A line for each source that somebody names of a group, with `prefix` before addresses: the newest
    groups first.
    """
    network = kernel.seen_namespaces.network
    return [
        b"%3d %6s %s%s %s%s %6d %6d\n"
        % (
            *(interface.index, interface.name[:_SHORT_NAME]),
            *(prefix, address.hex().encode(), prefix, source.hex().encode()),
            *(found.counts[INCLUDE], found.counts[EXCLUDE]),
        )
        for interface in _shown_interfaces(network)
        for listening in (interface.listening_6 if is_ipv6 else interface.listening_4,)
        if listening is not None
        for address, group in reversed(listening.groups.items())
        for source, found in group.sources.items()
    ]


def show_filters(kernel: Kernel) -> bytes:
    """/proc/net/mcfilter. Linux: net/ipv4/igmp.c, igmp_mcf_seq_show."""
    title = b"Idx Device        MCA        SRC    INC    EXC\n"
    return b"".join([title, *_filters(kernel, b"0x", is_ipv6=False)])


def show_filters_6(kernel: Kernel) -> bytes:
    """/proc/net/mcfilter6. Linux: net/ipv6/mcast.c, igmp6_mcf_seq_show."""
    title = b"Idx Device                Multicast Address                   Source Address    INC    EXC\n"
    return b"".join([title, *_filters(kernel, b"", is_ipv6=True)])


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
