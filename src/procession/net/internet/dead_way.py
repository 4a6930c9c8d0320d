"""Ways of routes that are lost with their interface, and come back with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.net.internet.routing import SCOPE_HOST

if TYPE_CHECKING:
    from procession.net.internet.routing import Route
    from procession.net.link.interface import Interface


def lose_ways(interface: Interface, *, is_ipv6: bool, is_forced: bool = False) -> None:
    """Nothing goes by `interface` any more: routes are gone with the last of their ways, which IPv4 tells
    nobody. Its routes to this machine itself stay, unless it `is_forced`.

    Linux: net/ipv4/fib_semantics.c, fib_sync_down_dev; net/ipv6/route.c, fib6_ifdown.
    """
    routes = interface.network.routes
    gone: dict[Route, None] = {}
    for route in routes.of(interface):
        if route.is_ipv6 != is_ipv6 or route in gone:
            continue
        if not is_ipv6 and route.scope == SCOPE_HOST and not is_forced:
            continue
        if is_ipv6 and _is_passed_over(route, interface):
            continue
        ways = route.ways or tuple(routes.siblings(route))
        for way in ways:
            if way.interface is interface:
                way.is_dead = len(ways) > 1
        if len(ways) == 1 or all(way.is_dead for way in ways):
            gone.update(dict.fromkeys((route,) if route.ways else ways))
            for each in (route,) if route.ways else ways:
                interface.network.remove_route(each, is_told=is_ipv6)


def _is_passed_over(route: Route, interface: Interface) -> bool:
    """Whether a route is between siblings of which some are left: nobody looks at it then.

    Linux: net/ipv6/ip6_fib.c, fib6_clean_node.
    """
    found = interface.network.routes.same_destination(route)
    if route.has_siblings or len(found) < 3:
        return False
    siblings = [other for other in found if other.has_siblings and other.priority == route.priority]
    if len(siblings) < 2 or all(way.is_dead or way.interface is interface for way in siblings):
        return False
    return found.index(siblings[0]) < found.index(route) < found.index(siblings[-1])


def revive_ways(interface: Interface, *, is_ipv6: bool) -> None:
    """Packets may go by `interface` again. Linux: net/ipv4/fib_semantics.c, fib_sync_up; net/ipv6/route.c,
    fib6_ifup."""
    network = interface.network
    for route in network.routes.by_interface.get(interface, ()):
        if route.is_ipv6 == is_ipv6:
            for way in route.ways or (route,):
                if way.is_dead and way.interface is interface:
                    way.is_dead = False
                    network.topology_changed()
