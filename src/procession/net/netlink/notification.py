"""What listeners of NETLINK_ROUTE are told of changes, as `ip monitor` shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.netlink import NetlinkProtocol, RouteGroup, RouteMessageType
from procession.abi.word import Words
from procession.net.cause import NO_REQUEST, Cause
from procession.net.netlink.addresses import address_message
from procession.net.netlink.bridge_ports import port_message
from procession.net.netlink.forwarding import fdb_message
from procession.net.netlink.links import link_message
from procession.net.netlink.neighbours import neighbour_message
from procession.net.netlink.next_hop_message import next_hop_message
from procession.net.netlink.routes import route_message

if TYPE_CHECKING:
    from procession.net.internet.device_address import DeviceAddress
    from procession.net.internet.neighbour import Neighbour
    from procession.net.internet.next_hop import NextHop
    from procession.net.internet.routing import Route
    from procession.net.link.bridge import FdbEntry
    from procession.net.link.interface import Interface
    from procession.net.link.own_address import OwnAddress
    from procession.net.netlink.attributes import Message
    from procession.net.netlink.socket import NetlinkSocket
    from procession.net.network import Network

_ROUTE = int(NetlinkProtocol.NETLINK_ROUTE)
_GETNEIGH = int(RouteMessageType.RTM_GETNEIGH)
_HEADER = Words("<IHHII")
_LINK, _NEIGHBOUR = int(RouteGroup.RTNLGRP_LINK), int(RouteGroup.RTNLGRP_NEIGH)
_ADDRESS_4, _ADDRESS_6 = int(RouteGroup.RTNLGRP_IPV4_IFADDR), int(RouteGroup.RTNLGRP_IPV6_IFADDR)
_RULE_4, _RULE_6 = int(RouteGroup.RTNLGRP_IPV4_RULE), int(RouteGroup.RTNLGRP_IPV6_RULE)
_NEXT_HOP = int(RouteGroup.RTNLGRP_NEXTHOP)
_ROUTE_4, _ROUTE_6 = int(RouteGroup.RTNLGRP_IPV4_ROUTE), int(RouteGroup.RTNLGRP_IPV6_ROUTE)


def _has_listeners(network: Network, group: int, cause: Cause) -> bool:
    return (
        cause.is_echoed
        or any(_listens(socket, group) for socket in network.netlink_sockets.values())
        or any(_listens(socket, group) for socket in network.system.listeners_everywhere)
    )


def _listens(socket: NetlinkSocket, group: int) -> bool:
    return socket.protocol == _ROUTE and bool(socket.groups >> group - 1 & 1)


def _tell(network: Network, group: int, message: Message, cause: Cause, flags: int = 0) -> None:
    """Linux: net/netlink/af_netlink.c, nlmsg_notify, netlink_broadcast_filtered."""
    kind, body = message
    packed = _HEADER.pack(_HEADER.size + len(body), kind, flags, cause.sequence, cause.port_id) + body
    echoed = _ROUTE, cause.port_id
    for key, socket in list(network.netlink_sockets.items()):
        if _listens(socket, group) and not (cause.is_echoed and key == echoed):
            socket.tell(packed, group)
    for socket in list(network.system.listeners_everywhere):
        if socket.network is not network and _listens(socket, group) and socket.may_hear_of(network):
            socket.tell(packed, group, socket.network.numbers[network])
    if cause.is_echoed:
        asker = network.netlink_sockets.get(echoed)
        if asker is not None:
            asker.tell(packed, group)


def tell_of_link(
    network: Network, interface: Interface, *, is_there: bool, change: int, cause: Cause
) -> None:
    """An interface was made, changed or deleted. Linux: net/core/rtnetlink.c, rtmsg_ifinfo_event."""
    if _has_listeners(network, _LINK, cause):
        message = link_message(interface, network, is_there=is_there, change=change)
        _tell(network, _LINK, message, cause)


def tell_of_address(network: Network, address: DeviceAddress, *, is_there: bool, cause: Cause) -> None:
    """An address was given or taken. Linux: net/ipv4/devinet.c, rtmsg_ifa."""
    group = _ADDRESS_6 if address.is_ipv6 else _ADDRESS_4
    if _has_listeners(network, group, cause):
        _tell(network, group, address_message(address, is_there=is_there), cause)


def tell_of_route(network: Network, route: Route, *, is_there: bool, flags: int, cause: Cause) -> None:
    """A route was added, as the NLM_F_* of `flags` say, or removed. Linux: net/ipv4/fib_semantics.c,
    rtmsg_fib; net/ipv6/route.c, inet6_rt_notify."""
    group = _ROUTE_6 if route.is_ipv6 else _ROUTE_4
    if _has_listeners(network, group, cause):
        _tell(network, group, route_message(route, is_there=is_there), cause, flags)


def tell_of_next_hop(network: Network, next_hop: NextHop, cause: Cause, *, is_there: bool) -> None:
    """A next hop was added or changed, or removed. Linux: net/ipv4/nexthop.c, nexthop_notify."""
    if _has_listeners(network, _NEXT_HOP, cause):
        _tell(network, _NEXT_HOP, next_hop_message(next_hop, is_there=is_there), cause, cause.flags)


def tell_of_rule(network: Network, message: Message, cause: Cause, *, is_ipv6: bool) -> None:
    """A rule of routing was added or removed. Linux: net/core/fib_rules.c, notify_rule_change."""
    _tell(network, _RULE_6 if is_ipv6 else _RULE_4, message, cause)


def tell_of_fdb(network: Network, bridge: Interface, entry: FdbEntry | OwnAddress, *, is_there: bool) -> None:
    """A bridge has learned who is behind a port, or forgotten it; or a program lets an interface listen to an
    address, or not. Linux: net/bridge/br_fdb.c, fdb_notify; net/core/rtnetlink.c, rtnl_fdb_notify."""
    if _has_listeners(network, _NEIGHBOUR, NO_REQUEST):
        _tell(network, _NEIGHBOUR, fdb_message(bridge, entry, is_there=is_there), NO_REQUEST)


def tell_of_port(network: Network, port: Interface) -> None:
    """A port of a bridge is another one than before. Linux: net/bridge/br_netlink.c, br_ifinfo_notify."""
    if _has_listeners(network, _LINK, NO_REQUEST):
        _tell(network, _LINK, port_message(port), NO_REQUEST)


def ask_for_neighbour(network: Network, entry: Neighbour) -> None:
    """Programs are asked who has the address. Linux: net/core/neighbour.c, neigh_app_ns."""
    if _has_listeners(network, _NEIGHBOUR, NO_REQUEST):
        _, body = neighbour_message(entry, is_there=True)
        _tell(network, _NEIGHBOUR, (_GETNEIGH, body), NO_REQUEST)


def tell_of_neighbour(network: Network, entry: Neighbour, *, is_there: bool, port_id: int) -> None:
    """A neighbour has answered, or hasn't, or the socket of a port has said so. Linux: net/core/neighbour.c,
    __neigh_notify."""
    cause = Cause(port_id)
    if _has_listeners(network, _NEIGHBOUR, cause):
        _tell(network, _NEIGHBOUR, neighbour_message(entry, is_there=is_there), cause)
