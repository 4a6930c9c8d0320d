"""Anycast addresses of IPv6 (RFC 4291): several machines have the same, and each takes what comes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EADDRNOTAVAIL, EINVAL, ENODEV, ENOENT, ENOMEM, EPERM
from procession.abi.netlink import RouteType
from procession.hardware.kernel_memory import SOCKET
from procession.net.internet.address import is_multicast
from procession.net.internet.option_memory import ANYCAST_BYTES, has_room
from procession.net.internet.option_rule import CAP_NET_ADMIN
from procession.net.internet.routing import LOCAL_TABLE, SCOPE_UNIVERSE, Route, is_within

if TYPE_CHECKING:
    from procession.net.internet.socket import InternetSocket
    from procession.net.link.interface import Interface
    from procession.net.network import Network

_REQUEST_BYTES, _ADDRESS_BYTES = 20, 16
"""A struct ipv6_mreq, and the address in front of its interface's index."""
_MEMBER_BYTES = 512
"""What one more that wants an address takes."""


def change_anycast(socket: InternetSocket, value: bytes, *, joins: bool) -> None:
    """IPV6_JOIN_ANYCAST and IPV6_LEAVE_ANYCAST. Raises EINVAL and others.

    Linux: net/ipv6/ipv6_sockglue.c, do_ipv6_setsockopt.
    """
    if len(value) < _REQUEST_BYTES:
        raise EINVAL("a struct ipv6_mreq is needed")
    address, index = value[:_ADDRESS_BYTES], int.from_bytes(value[_ADDRESS_BYTES:_REQUEST_BYTES], "little")
    (_join if joins else _leave)(socket, address, index)


def _join(socket: InternetSocket, address: bytes, index: int) -> None:
    """Raises EPERM, EINVAL, ENOMEM, ENODEV, EADDRNOTAVAIL. Linux: net/ipv6/anycast.c, ipv6_sock_ac_join."""
    network = socket.network
    if not socket.caller.credentials.ns_capable(network.owner, CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")
    if is_multicast(address):
        raise EINVAL("a group")
    device = network.interfaces.get(index)
    if any(address == own.address for each in network.interfaces.values() for own in each.addresses):
        raise EINVAL("an address of one's own")
    if not has_room(socket, ANYCAST_BYTES):
        raise ENOMEM("the socket wants too many addresses")
    if not index:
        device = _device_towards(network, address)
    if device is None:
        raise ENODEV("no such interface")
    if not device.has_protocol(is_ipv6=True):
        raise ENODEV("no IPv6 there") if index else EADDRNOTAVAIL("no IPv6 there")
    nets = [own for own in device.addresses if own.is_ipv6]
    is_near = any(is_within(address, own.net, own.prefix_length) for own in nets)
    if not is_near and not network.forwards(device, is_ipv6=True):
        raise EADDRNOTAVAIL("in none of the interface's nets")
    network.system.account.charge(SOCKET, _MEMBER_BYTES)
    key = (device.index, address)
    if key not in network.anycasts:
        route = Route(
            address,
            8 * _ADDRESS_BYTES,
            device,
            kind=int(RouteType.RTN_ANYCAST),
            table=LOCAL_TABLE,
            scope=SCOPE_UNIVERSE,
        )
        if network.routes.like(route) is None:
            network.add_route(route, is_last=True)
    network.anycasts[key] = network.anycasts.get(key, 0) + 1
    socket.anycasts = (key, *socket.anycasts)


def _device_towards(network: Network, address: bytes) -> Interface | None:
    """The interface by which the address would be reached; a router takes any. Raises EADDRNOTAVAIL."""
    route = network.routes.lookup(address)
    if route is not None and route.interface is not None:
        return route.interface
    if not network.sysctls.forwards_6:
        raise EADDRNOTAVAIL("no way to the address")
    others = (each for each in network.interfaces.values() if each is not network.loopback)
    return next((each for each in others if each.is_up), None)


def _leave(socket: InternetSocket, address: bytes, index: int) -> None:
    """Raises ENOENT, ENODEV. Linux: net/ipv6/anycast.c, ipv6_sock_ac_drop."""
    for key in socket.anycasts:
        if key[1] == address and index in (0, key[0]):
            _drop(socket, key)
            if key[0] not in socket.network.interfaces:
                raise ENODEV("the interface is gone")
            return
    raise ENOENT("the socket doesn't want this address")


def _drop(socket: InternetSocket, key: tuple[int, bytes]) -> None:
    """The socket wants the address no more, or once less."""
    kept = list(socket.anycasts)
    kept.remove(key)
    socket.anycasts = tuple(kept)
    _give_up(socket.network, key)


def drop_all(socket: InternetSocket) -> None:
    """The socket is closed. Linux: net/ipv6/anycast.c, ipv6_sock_ac_close."""
    wanted, socket.anycasts = socket.anycasts, ()
    for key in wanted:
        _give_up(socket.network, key)


def _give_up(network: Network, key: tuple[int, bytes]) -> None:
    """One less wants the address. Linux: net/ipv6/anycast.c, __ipv6_dev_ac_dec."""
    network.system.account.uncharge(SOCKET, _MEMBER_BYTES)
    network.anycasts[key] -= 1
    if network.anycasts[key]:
        return
    del network.anycasts[key]
    route = network.routes.lookup_in(LOCAL_TABLE, key[1])
    if route is not None and route.kind == RouteType.RTN_ANYCAST:
        network.remove_route(route)
