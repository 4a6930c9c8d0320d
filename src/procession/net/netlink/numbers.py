"""RTM_NEWNSID and its kin: what one network calls another (ip-netns(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EEXIST, EINVAL, ENOENT
from procession.abi.netlink import NamespaceIdAttribute, RouteMessageType
from procession.abi.word import pack_u32
from procession.net.netlink.attributes import (
    Answer,
    Message,
    Request,
    attribute,
    attributes_in,
    number_in,
    signed_in,
)

if TYPE_CHECKING:
    from procession.net.network import Network

_NSID, _PID = int(NamespaceIdAttribute.NETNSA_NSID), int(NamespaceIdAttribute.NETNSA_PID)
_FD, _TARGET = int(NamespaceIdAttribute.NETNSA_FD), int(NamespaceIdAttribute.NETNSA_TARGET_NSID)
_NEWNSID = int(RouteMessageType.RTM_NEWNSID)
_NO_NUMBER = 0xFFFF_FFFF
_HEADER_BYTES = 4
"""A struct rtgenmsg, padded."""


def _message(number: int) -> Message:
    return _NEWNSID, bytes(_HEADER_BYTES) + attribute(_NSID, pack_u32(number & _NO_NUMBER))


def _named(request: Request, found: dict[int, bytes]) -> Network:
    host = request.network.host
    process, descriptor = number_in(found, _PID), signed_in(found, _FD)
    named: Network
    if process is not None:
        named = host.network_of_process(process)
    elif descriptor is not None:
        named = host.network_of_descriptor(descriptor)
    else:
        raise EINVAL("which network?")
    return named


def number_of_network(request: Request) -> Answer:
    """RTM_GETNSID: the number of one, -1 if it has none, or all. Raises EINVAL, ENOENT.

    Linux: net/core/net_namespace.c, rtnl_net_getid, rtnl_net_dumpid.
    """
    network = request.network
    if request.is_dump:
        return [_message(value) for value in sorted(network.numbers.values())]
    found = attributes_in(request.body, _HEADER_BYTES)
    wanted = signed_in(found, _NSID)
    if wanted is not None:
        if wanted not in network.numbers.values():
            raise ENOENT
        return [_message(wanted)]
    return [_message(network.numbers.get(_named(request, found), -1))]


def set_number(request: Request) -> None:
    """RTM_NEWNSID. Raises EINVAL, EEXIST. Linux: net/core/net_namespace.c, rtnl_net_newid."""
    network = request.network
    found = attributes_in(request.body, _HEADER_BYTES)
    wanted = signed_in(found, _NSID)
    if wanted is None:
        raise EINVAL("a number is needed")
    other = _named(request, found)
    if other in network.numbers:
        raise EEXIST("the network has a number")
    if wanted < 0:
        network.number_of(other)
        return
    if wanted in network.numbers.values():
        raise EEXIST("another network has this number")
    network.numbers[other] = wanted
