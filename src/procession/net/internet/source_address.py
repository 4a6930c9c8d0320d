"""Which address packets are sent from where nobody has chosen one (RFC 6724)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.netlink import IFA_F_DEPRECATED
from procession.net.internet.address import LOOPBACK_6, is_any, is_link_local, is_multicast
from procession.net.internet.device_address import DeviceAddress, addresses_of
from procession.net.internet.routing import SCOPE_LINK, is_within
from procession.net.sysctls import ONLY_OUTGOING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procession.net.link.interface import Interface

_NO_SCOPE, _OF_LINK, _OF_SITE, _OF_ALL = -1, 2, 5, 14
"""How far an address of IPv6 is known. Linux: include/net/ipv6.h, IPV6_ADDR_SCOPE_LINKLOCAL."""
_TOO_NEAR = 128
_HASHED = (b"\x20\x01\x00\x10" + bytes(12), 28)
"""The net of identifiers that are no places (ORCHID)."""


def select_source(
    network_interfaces: list[Interface], out: Interface, target: bytes, scope: int
) -> bytes | None:
    """An address of `out` for packets to `target`, else one of any interface; None if there is none.

    Linux: net/ipv4/devinet.c, inet_select_addr.
    """
    if len(target) == 16:
        return _select_source_6(network_interfaces, out, target)
    found: bytes | None = None
    own = addresses_of(out, is_ipv6=False)
    _spend_comparing(out, len(own))
    for address in own:
        if address.is_secondary or address.scope > scope:
            continue
        if is_within(target, address.peer, address.prefix_length):
            return address.address
        if found is None:
            found = address.address
    if found is not None:
        return found
    for interface in network_interfaces:
        own = addresses_of(interface, is_ipv6=False)
        _spend_comparing(out, len(own))
        for address in own:
            if not address.is_secondary and address.scope != SCOPE_LINK and address.scope <= scope:
                return address.address
    return None


def _select_source_6(network_interfaces: list[Interface], out: Interface, target: bytes) -> bytes | None:
    """Linux: net/ipv6/addrconf.c, ipv6_dev_get_saddr."""
    wanted = _scope_of(target)
    interfaces: Iterable[Interface] = network_interfaces
    if is_multicast(target) or wanted <= _OF_LINK or out.network.setting_of(out, ONLY_OUTGOING):
        interfaces = (out,)
    label = out.network.labels.label_of(target, out.index)
    best: tuple[int, ...] | None = None
    found: bytes | None = None
    for interface in interfaces:
        addresses = addresses_of(interface, is_ipv6=True)
        _spend_comparing(out, len(addresses))
        for address in addresses:
            own = address.address
            if is_any(own) or is_multicast(own):
                continue
            rank = _rank(address, target, wanted, label, is_out=interface is out)
            if best is None or rank > best:
                best, found = rank, own
    return found


def _spend_comparing(out: Interface, address_count: int) -> None:
    """An interface's addresses are compared for a packet through `out`, whose own time has the first."""
    if address_count > 1:
        out.network.host.clock.spend_looking(address_count - 1)


def _rank(
    address: DeviceAddress, target: bytes, wanted: int, label: int | None, *, is_out: bool
) -> tuple[int, ...]:
    """How well packets to `target` are sent from an address. Linux: net/ipv6/addrconf.c,
    ipv6_get_saddr_eval."""
    own, interface = address.address, address.interface
    scope = _scope_of(own)
    difference = int.from_bytes(target, "big") ^ int.from_bytes(own, "big")
    return (
        own == target,
        -scope if scope >= wanted else scope - _TOO_NEAR,
        not address.flags & IFA_F_DEPRECATED,
        is_out,
        interface.network.labels.label_of(own, interface.index) == label,
        is_within(own, *_HASHED) == is_within(target, *_HASHED),
        min(128 - difference.bit_length(), address.prefix_length),
    )


def _scope_of(address: bytes) -> int:
    """Linux: net/ipv6/addrconf_core.c, __ipv6_addr_type."""
    if is_multicast(address):
        return address[1] & 0xF
    if is_any(address):
        return _NO_SCOPE
    if is_link_local(address) or address == LOOPBACK_6:
        return _OF_LINK
    return _OF_SITE if address[0] == 0xFE and address[1] & 0xC0 == 0xC0 else _OF_ALL
