"""What becomes of an interface's addresses and routes as it comes up, changes and goes down."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from procession.abi.errno import EEXIST, EINVAL
from procession.abi.netlink import IFAPROT_KERNEL_LL, IFAPROT_KERNEL_LO, RouteType
from procession.abi.word import pack_u8
from procession.net.cause import NO_REQUEST
from procession.net.internet.address import LOOPBACK_4, LOOPBACK_6, is_link_local
from procession.net.internet.address_lifetime import INFINITY_S
from procession.net.internet.device_address import (
    IPV6_METRIC,
    LINK_LOCAL_PREFIX,
    LOOKS_PER_ADDRESS,
    DeviceAddress,
    add_address,
    add_net_routes,
    add_own_route,
    addresses_of,
    forget_addresses,
)
from procession.net.internet.neighbour import lose_wire
from procession.net.internet.routing import LOCAL_TABLE, SCOPE_HOST, SCOPE_LINK, SCOPE_UNIVERSE, Route
from procession.net.link.interface import LEAST_IPV4_MTU, LEAST_IPV6_MTU, LOOPBACK
from procession.net.sysctls import (
    ADDRESS_MODE,
    DISABLE_IPV6,
    KEEP_ADDRESSES,
    MTU,
    NO_ADDRESS,
    RANDOM,
    STABLE_PRIVACY,
)

if TYPE_CHECKING:
    from procession.net.link.interface import Interface

ALL_GROUPS_6 = b"\xff" + bytes(15)


def interface_came_up(interface: Interface) -> None:
    """Linux: net/ipv4/devinet.c, inetdev_event; net/ipv6/addrconf.c, addrconf_notify."""
    if interface.kind == LOOPBACK:
        if interface.mtu >= LEAST_IPV4_MTU:
            # Whatever others there are, unless it's there or another has its net.
            with suppress(EEXIST, EINVAL):
                add_address(DeviceAddress(interface, LOOPBACK_4, 8, scope=SCOPE_HOST))
        _add_own_of_loopback(interface)
    for listening in (interface.listening_4, interface.listening_6):
        if listening is not None:
            listening.came_up()
    for address in interface.addresses:
        add_own_route(address)
        # Linux: net/ipv6/addrconf.c, fixup_permanent_addr.
        if not address.is_ipv6 or address.valid_s == INFINITY_S:
            add_net_routes(address)
    interface.network.revive_ways(interface, is_ipv6=False)
    carrier_changed(interface)


def _add_own_of_loopback(interface: Interface) -> None:
    if interface.mtu < LEAST_IPV6_MTU or interface.settings[DISABLE_IPV6]:
        return
    if not addresses_of(interface, is_ipv6=True):
        add_address(DeviceAddress(interface, LOOPBACK_6, 128, scope=SCOPE_HOST, protocol=IFAPROT_KERNEL_LO))


def switch_ipv6(interface: Interface) -> None:
    """disable_ipv6 has changed: all addresses and routes of IPv6 go, or those that the kernel gives come.

    Linux: net/ipv6/addrconf.c, dev_disable_change.
    """
    if interface.settings[DISABLE_IPV6]:
        leave_protocol(interface, is_ipv6=True)
    elif interface.is_up:
        if interface.kind == LOOPBACK:
            _add_own_of_loopback(interface)
        carrier_changed(interface)
    interface.network.topology_changed()


def mtu_changed(interface: Interface, old_mtu: int) -> None:
    """What's too small for a protocol leaves it. Linux: net/ipv4/devinet.c, inetdev_event;
    net/ipv6/addrconf.c, addrconf_notify."""
    for is_ipv6, least in ((False, LEAST_IPV4_MTU), (True, LEAST_IPV6_MTU)):
        if interface.mtu < least:
            leave_protocol(interface, is_ipv6=is_ipv6)
    if interface.settings.changed.pop(MTU, None) is not None:
        interface.network.account_settings(-1)
    if old_mtu < LEAST_IPV6_MTU <= interface.mtu:
        carrier_changed(interface)


def _is_kept(address: DeviceAddress) -> bool:
    """Whether it outlives its interface's being down. Linux: net/ipv6/addrconf.c, addrconf_ifdown,
    addr_is_local."""
    is_permanent = address.valid_s == INFINITY_S and address.protocol != IFAPROT_KERNEL_LL
    return is_permanent and not is_link_local(address.address) and address.address != LOOPBACK_6


def leave_protocol(interface: Interface, *, is_ipv6: bool, keeps_some: bool = False) -> None:
    """All addresses and routes of one protocol go, as its packets aren't for this interface any more; or it
    `keeps_some`, for when it comes up again.

    Linux: net/ipv4/devinet.c, inetdev_destroy; net/ipv6/addrconf.c, addrconf_ifdown.
    """
    network = interface.network
    gone = addresses_of(interface, is_ipv6=is_ipv6)
    if keeps_some:
        gone = [address for address in gone if not _is_kept(address)]
    network.host.clock.spend_looking(LOOKS_PER_ADDRESS * len(gone))
    if is_ipv6:
        # Its routes go before its addresses.
        interface.network.lose_ways(interface, is_ipv6=True)
    forget_addresses(interface, gone, NO_REQUEST)
    if not is_ipv6:
        interface.network.lose_ways(interface, is_ipv6=False, is_forced=True)


def carrier_changed(interface: Interface) -> None:
    """With a wire, an Ethernet interface gets its link-local address, at once: nobody else has it.

    Linux: net/ipv6/addrconf.c, addrconf_dev_config.
    """
    if interface.is_up and not interface.has_carrier:
        interface.network.lose_next_hops(interface)
        lose_wire(interface)
    if interface.kind == LOOPBACK or not interface.is_running or not interface.has_carrier:
        return
    if interface.settings[DISABLE_IPV6]:
        return
    if interface.mtu < LEAST_IPV6_MTU or (interface.master is not None):
        return
    interface.network.revive_ways(interface, is_ipv6=True)
    _add_group_route(interface)
    hardware = interface.hardware_address
    mode = interface.settings[ADDRESS_MODE]
    if mode in (NO_ADDRESS, STABLE_PRIVACY):
        return
    if not hardware or mode == RANDOM:
        # Linux: net/ipv6/addrconf.c, addrconf_dev_config: IN6_ADDR_GEN_MODE_RANDOM.
        if not any(is_link_local(found.address) for found in interface.addresses):
            chosen = LINK_LOCAL_PREFIX + interface.network.host.random_bytes(8)
            add_address(DeviceAddress(interface, chosen, 64, scope=SCOPE_LINK, protocol=IFAPROT_KERNEL_LL))
        return
    address = LINK_LOCAL_PREFIX + pack_u8(hardware[0] ^ 2) + hardware[1:3] + b"\xff\xfe" + hardware[3:]
    if not any(found.address == address for found in interface.addresses):
        add_address(DeviceAddress(interface, address, 64, scope=SCOPE_LINK, protocol=IFAPROT_KERNEL_LL))


def _add_group_route(interface: Interface) -> None:
    """Groups are behind every interface. Linux: net/ipv6/addrconf.c, addrconf_add_mroute."""
    kind = int(RouteType.RTN_MULTICAST)
    route = Route(
        ALL_GROUPS_6, 8, interface, kind=kind, table=LOCAL_TABLE, scope=SCOPE_UNIVERSE, priority=IPV6_METRIC
    )
    if interface.network.routes.like(route) is None:
        interface.network.add_route(route)


def interface_went_down(interface: Interface) -> None:
    """IPv4's addresses stay, with the routes to themselves; IPv6's go, but for the loopback's own.

    Linux: net/ipv4/fib_frontend.c, fib_disable_ip; net/ipv6/addrconf.c, addrconf_ifdown.
    """
    network = interface.network
    interface.network.lose_next_hops(interface)
    kept = network.sysctls.of_every[KEEP_ADDRESSES] or interface.settings[KEEP_ADDRESSES]
    leave_protocol(interface, is_ipv6=True, keeps_some=kept > 0)
    for listening in (interface.listening_4, interface.listening_6):
        if listening is not None:
            listening.went_down()
    interface.network.lose_ways(interface, is_ipv6=False)
    network.topology_changed()
