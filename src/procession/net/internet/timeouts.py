"""What is done when a timer of a connection, a neighbour, an address or a route is due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from procession.abi.duration import NS_PER_S
from procession.abi.netlink import IFA_F_DEPRECATED
from procession.net.internet.address_lifetime import ADDRESS_TIMER, INFINITY_S, await_next
from procession.net.internet.device_address import DeviceAddress, remove_address
from procession.net.internet.listening import (
    ALL_GROUPS_TIMER,
    CHANGE_TIMER,
    FIRST_TIMER,
    GROUP_TIMER,
    Listening,
    group_due,
)
from procession.net.internet.neighbour import NEIGHBOUR_TIMER
from procession.net.internet.output import neighbour_timed_out
from procession.net.internet.routing import ROUTE_TIMER, Route
from procession.net.internet.tcp_connection import CONNECT_TIMER
from procession.net.internet.tcp_handshake import connection_timed_out
from procession.net.link.bridge import BRIDGE_TIMER, drop_old


def address_timed_out(address: DeviceAddress) -> None:
    """It's deprecated, or it's gone. Linux: net/ipv4/devinet.c, check_lifetime; net/ipv6/addrconf.c,
    addrconf_verify_rtnl."""
    address.timer = None
    network = address.interface.network
    age_ns = network.host.clock.now_ns - address.updated_ns
    if age_ns >= address.valid_s * NS_PER_S and address.valid_s != INFINITY_S:
        remove_address(address)
        return
    address.flags |= IFA_F_DEPRECATED
    network.topology_changed()
    network.address_changed(address, is_there=True)
    await_next(address)


def route_timed_out(route: Route) -> None:
    """A route has come to its end. Linux: net/ipv6/ip6_fib.c, fib6_age."""
    interface, next_hop = route.interface, route.next_hop
    network = next_hop.network if next_hop is not None else interface.network if interface else None
    assert network is not None
    route.timer = None
    network.remove_route(route)


ACTIONS: dict[str, Callable[[Any], None]] = {
    CONNECT_TIMER: connection_timed_out,
    NEIGHBOUR_TIMER: neighbour_timed_out,
    BRIDGE_TIMER: drop_old,
    ADDRESS_TIMER: address_timed_out,
    ROUTE_TIMER: route_timed_out,
    GROUP_TIMER: group_due,
    CHANGE_TIMER: Listening.changes_due,
    ALL_GROUPS_TIMER: Listening.all_due,
    FIRST_TIMER: Listening.first_due,
}
"""By the timer's kind; each is called with its target."""
