"""RTM_NEWNSID and its kin: what one network calls another (ip-netns(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EEXIST, EINVAL, ENOENT, TOLD, Errno
from procession.abi.netlink import NamespaceIdAttribute, Nlmsghdr, RouteMessageType
from procession.abi.word import pack_u32
from procession.net.netlink.attributes import (
    Answer,
    Message,
    Request,
    attribute,
    attribute_offset,
    number_in,
    signed_in,
)
from procession.net.netlink.policy import U32, Policy, checked_attributes, signed
from procession.net.socket_options import CAP_NET_ADMIN

if TYPE_CHECKING:
    from procession.net.network import Network

_NSID, _PID = int(NamespaceIdAttribute.NETNSA_NSID), int(NamespaceIdAttribute.NETNSA_PID)
_FD, _TARGET = int(NamespaceIdAttribute.NETNSA_FD), int(NamespaceIdAttribute.NETNSA_TARGET_NSID)
_CURRENT = int(NamespaceIdAttribute.NETNSA_CURRENT_NSID)
_POLICY = Policy(
    {**dict.fromkeys((_NSID, _TARGET), signed(-(1 << 31))), **dict.fromkeys((_PID, _FD), U32)}, _CURRENT
)
"""Linux: net/core/net_namespace.c, rtnl_net_policy."""
_ASKED = (_NSID, _PID, _FD, _TARGET)
_NEWNSID = int(RouteMessageType.RTM_NEWNSID)
_NO_NUMBER = 0xFFFF_FFFF
_HEADER_BYTES = 4
"""A struct rtgenmsg, padded."""


def _message(number: int, current: int | None = None) -> Message:
    """What a network is called, and what the asking one calls it, where that isn't the same."""
    told = attribute(_NSID, pack_u32(number & _NO_NUMBER))
    if current is not None:
        told += attribute(_CURRENT, pack_u32(current & _NO_NUMBER))
    return _NEWNSID, bytes(_HEADER_BYTES) + told


def _number_of(item: tuple[Network, int]) -> int:
    return item[1]


def _blame(request: Request, kind: int) -> None:
    request.blamed = Nlmsghdr.SIZE + attribute_offset(request.body, _HEADER_BYTES, kind)


def _named(request: Request, found: dict[int, bytes], *, knows_numbers: bool) -> tuple[int, Network]:
    """The attribute that names the network that a request is about, and the network.

    Raises EINVAL, EBADF, ESRCH, ENOENT.
    """
    host = request.network.host
    process, descriptor, number = number_in(found, _PID), signed_in(found, _FD), signed_in(found, _NSID)
    named: Network | None
    try:
        if process is not None:
            kind = _PID
            named = host.network_of_process(process)
        elif descriptor is not None:
            kind = _FD
            named = host.network_of_descriptor(descriptor)
        elif number is not None and knows_numbers:
            kind = _NSID
            named = request.network.called(number)
        else:
            kind, named = 0, None
    except Errno as error:
        _blame(request, kind)
        raise type(error)("Peer netns reference is invalid", TOLD) from None
    if not kind:
        raise EINVAL("Peer netns reference is missing", TOLD)
    if named is None:
        _blame(request, kind)
        raise ENOENT("Peer netns reference is invalid", TOLD)
    return kind, named


def _target(request: Request, number: int, refusal: str) -> Network:
    """The network whose numbers are asked for. Raises EINVAL, EACCES. Linux: net/core/rtnetlink.c,
    rtnl_get_net_ns_capable."""
    target = request.network.called(number)
    if target is None or not request.credentials.ns_capable(target.owner, CAP_NET_ADMIN):
        _blame(request, _TARGET)
        raise (EINVAL if target is None else EACCES)(refusal, TOLD)
    return target


def _list(request: Request) -> Answer:
    """All numbers of a network, by default of the asking one; only strictly another is listened to.

    Linux: net/core/net_namespace.c, rtnl_net_dumpid, rtnl_valid_dump_net_req.
    """
    network = request.network
    number = None
    if request.is_strict:
        found = checked_attributes(request, 1, _POLICY, is_strict=True)
        for kind in sorted(found):
            if kind != _TARGET:
                _blame(request, kind)
                raise EINVAL("Unsupported attribute in dump request", TOLD)
        number = signed_in(found, _TARGET)
    if number is None:
        return [_message(value) for value in sorted(network.numbers.values())]
    target = _target(request, number, "Invalid target network namespace id")
    called = sorted(target.numbers.items(), key=_number_of)
    return [_message(value, network.numbers.get(other, -1)) for other, value in called]


def number_of_network(request: Request) -> Answer:
    """RTM_GETNSID: the number of one, -1 if it has none, or all. Raises EINVAL, EBADF, ESRCH, ENOENT, EACCES.

    Linux: net/core/net_namespace.c, rtnl_net_getid, rtnl_net_valid_getid_req.
    """
    network = request.network
    if request.asks_for_list:
        return _list(request)
    found = checked_attributes(request, 1, _POLICY, is_strict=request.is_strict)
    if request.is_strict and not found.keys() <= set(_ASKED):
        raise EINVAL("Unsupported attribute in peer netns getid request", TOLD)
    _, other = _named(request, found, knows_numbers=True)
    number = signed_in(found, _TARGET)
    if number is None:
        return [_message(network.numbers.get(other, -1))]
    target = _target(request, number, "Target netns reference is invalid")
    return [_message(target.numbers.get(other, -1), network.numbers.get(other, -1))]


def set_number(request: Request) -> None:
    """RTM_NEWNSID. Raises EINVAL, EEXIST, EBADF, ESRCH. Linux: net/core/net_namespace.c, rtnl_net_newid."""
    network = request.network
    found = checked_attributes(request, 1, _POLICY)
    wanted = signed_in(found, _NSID)
    if wanted is None:
        raise EINVAL("nsid is missing", TOLD)
    kind, other = _named(request, found, knows_numbers=False)
    if other in network.numbers:
        _blame(request, kind)
        raise EEXIST("Peer netns already has a nsid assigned", TOLD)
    if wanted < 0:
        network.number_of(other)
        return
    if network.called(wanted) is not None:
        _blame(request, _NSID)
        raise EEXIST("The specified nsid is already used", TOLD)
    network.numbers[other] = wanted
