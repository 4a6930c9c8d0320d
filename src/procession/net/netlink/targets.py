"""Other networks that a request is about: by a process, a descriptor, or what its own network calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EINVAL, EPERM, TOLD
from procession.abi.netlink import LinkAttribute
from procession.net.netlink.attributes import number_in, signed_in
from procession.net.socket_options import CAP_NET_ADMIN

if TYPE_CHECKING:
    from procession.net.netlink.attributes import Request
    from procession.net.network import Network

_NET_NS_PID, _NET_NS_FD = int(LinkAttribute.IFLA_NET_NS_PID), int(LinkAttribute.IFLA_NET_NS_FD)
_TARGET_NETNSID = int(LinkAttribute.IFLA_TARGET_NETNSID)


def target_network(request: Request, found: dict[int, bytes]) -> Network | None:
    """The other network that a request names. Raises EBADF, EINVAL, ESRCH, EPERM.

    Linux: net/core/rtnetlink.c, rtnl_link_get_net_capable.
    """
    host = request.network.host
    descriptor, process = signed_in(found, _NET_NS_FD), number_in(found, _NET_NS_PID)
    identifier = signed_in(found, _TARGET_NETNSID)
    target: Network
    if process is not None:
        target = host.network_of_process(process)
    elif descriptor is not None:
        target = host.network_of_descriptor(descriptor)
    elif identifier is not None:
        named = request.network.called(identifier)
        if named is None:
            raise EINVAL("no network has this number")
        target = named
    else:
        return None
    if not request.credentials.ns_capable(target.owner, CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN over the other network is needed")
    return target


def asked_network(request: Request, found: dict[int, bytes], kind: int, *, before: str = "") -> Network:
    """The network that a question is about, the asker's own unless the attribute `kind` names one.

    Raises EINVAL, with the words of lists, after `before`; EACCES.
    Linux: net/core/rtnetlink.c, rtnl_get_net_ns_capable.
    """
    identifier = signed_in(found, kind)
    if identifier is None:
        return request.network
    target = request.network.called(identifier)
    if target is not None and request.credentials.ns_capable(target.owner, CAP_NET_ADMIN):
        return target
    error = EINVAL if target is None else EACCES
    if request.is_listing:
        raise error(f"{before}Invalid target network namespace id", TOLD)
    raise error("no network of this number for the asker")
