"""Routes that ioctl(2) adds and removes: SIOCADDRT and SIOCDELRT, as route(8) has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EAFNOSUPPORT, EINVAL, ENODEV, EPERM
from procession.abi.ioctls import SocketIoctl
from procession.abi.netlink import RTAX_MTU, RTM_F_CLONED, NetlinkFlag, RouteAttribute, RouteType, Rtmsg
from procession.abi.route_entry import RouteFlag
from procession.abi.word import Words, pack_u32
from procession.net.cause import NO_REQUEST
from procession.net.internet.address import AF_INET, AF_INET6, is_any, is_multicast
from procession.net.internet.device_address import addresses_of
from procession.net.internet.routing import (
    MAIN_TABLE,
    SCOPE_HOST,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
    masked,
)
from procession.net.netlink.route_change import add_route, remove_route
from procession.net.netlink.wanted_route import check_6, wanted_route

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.network import Network
    from procession.net.socket import Socket

ROUTE_REQUESTS = (int(SocketIoctl.SIOCADDRT), int(SocketIoctl.SIOCDELRT))
_CAP_NET_ADMIN = int(Capability.CAP_NET_ADMIN)
_RTENTRY = Words("<8x16s16s16sHxxxxxxxxxxxxxxxxxxxxxxHxxxxxxQQQHxxxxxx")
"""Of a struct rtentry the destination, the gateway, the mask, the flags, the metric, where the interface's
name is, the MTU, the window and the round trip."""
_IN6_RTMSG = Words("<16s16s16sIHHI4xQIi")
_NAME_BYTES = 16
_NOWHERE = 255
"""RT_SCOPE_NOWHERE: of a route to remove, any scope."""
_BOOT = 3
"""RTPROT_BOOT."""
_HEADERS_BYTES = 40
_UNICAST, _UNREACHABLE = int(RouteType.RTN_UNICAST), int(RouteType.RTN_UNREACHABLE)
_OIF, _GATEWAY = int(RouteAttribute.RTA_OIF), int(RouteAttribute.RTA_GATEWAY)
_PRIORITY, _PREFSRC = int(RouteAttribute.RTA_PRIORITY), int(RouteAttribute.RTA_PREFSRC)
_METRICS = int(RouteAttribute.RTA_METRICS)
_METRIC = Words("<HHI")


def change_by_ioctl(socket: Socket, request: int, argument: int, memory: UserMemory) -> None:
    """SIOCADDRT or SIOCDELRT. Raises EFAULT, EPERM, EAFNOSUPPORT, EINVAL, ENODEV, ENETUNREACH, EEXIST, ESRCH.

    Linux: net/ipv4/fib_frontend.c, ip_rt_ioctl; net/ipv6/route.c, ipv6_route_ioctl.
    """
    is_6 = socket.family == AF_INET6
    data = memory.read(argument, (_IN6_RTMSG if is_6 else _RTENTRY).size)
    network = socket.network
    if not socket.caller.credentials.ns_capable(network.owner, _CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN is needed")
    is_new = request == ROUTE_REQUESTS[0]
    header, found, destination = (
        _described_6(data, is_new=is_new) if is_6 else _described(network, data, memory, is_new=is_new)
    )
    if is_new:
        flags = int(NetlinkFlag.NLM_F_CREATE)
        if is_6:
            check_6(header)
        route = wanted_route(network, header, found, destination, MAIN_TABLE)
        add_route(network, route, flags, NO_REQUEST)
    else:
        remove_route(network, header, found, destination, MAIN_TABLE, NO_REQUEST)


def _described(
    network: Network, data: bytes, memory: UserMemory, *, is_new: bool
) -> tuple[Rtmsg, dict[int, bytes], bytes]:
    """What a struct rtentry says, as netlink would. Linux: net/ipv4/fib_frontend.c, rtentry_to_fib_config."""
    target, gateway, mask, flags, metric, name_at, mtu, _, _ = _RTENTRY.unpack(data)
    if _family(target) != AF_INET:
        raise EAFNOSUPPORT("no destination of IPv4")
    destination, length = target[4:8], 32
    if not flags & RouteFlag.RTF_HOST:
        length = _length_of(mask, destination)
    header = Rtmsg(
        rtm_family=AF_INET, rtm_dst_len=length, rtm_protocol=_BOOT if is_new else 0, rtm_type=_UNICAST
    )
    found: dict[int, bytes] = {}
    if metric:
        found[_PRIORITY] = pack_u32(metric - 1)
    if flags & RouteFlag.RTF_REJECT:
        header.rtm_type, header.rtm_scope = _UNREACHABLE, SCOPE_HOST
        return header, found, destination
    if name_at:
        _choose_interface(network, _read_name(memory, name_at), found)
    header.rtm_scope = _NOWHERE
    if _family(gateway) == AF_INET and any(gateway[4:8]):
        found[_GATEWAY] = gateway[4:8]
        if flags & RouteFlag.RTF_GATEWAY and _is_of_one(network, gateway[4:8]):
            header.rtm_scope = SCOPE_UNIVERSE
    if is_new:
        if flags & RouteFlag.RTF_GATEWAY and _GATEWAY not in found:
            raise EINVAL("no gateway")
        if header.rtm_scope == _NOWHERE:
            header.rtm_scope = SCOPE_LINK
        if flags & RouteFlag.RTF_MTU:
            found[_METRICS] = _METRIC.pack(8, RTAX_MTU, (mtu - _HEADERS_BYTES) & 0xFFFFFFFF)
    return header, found, destination


def _family(address: bytes) -> int:
    return int.from_bytes(address[:2], "little")


def _is_of_one(network: Network, address: bytes) -> bool:
    """Whether an address is another machine's. Linux: net/ipv4/fib_frontend.c, inet_addr_type_table."""
    routes = network.routes
    return not (routes.is_local(address) or routes.is_broadcast(address) or is_multicast(address))


def _length_of(mask: bytes, destination: bytes) -> int:
    """The length of the prefix that a mask is. Raises EAFNOSUPPORT, EINVAL."""
    family, number = _family(mask), int.from_bytes(mask[4:8], "big")
    if family != AF_INET and (number or family):
        raise EAFNOSUPPORT("no mask of IPv4")
    inverse = number ^ 0xFFFFFFFF
    if int.from_bytes(destination, "big") & inverse or inverse & inverse + 1:
        raise EINVAL("no mask, or a destination beyond it")
    return number.bit_count()


def _read_name(memory: UserMemory, address: int) -> bytes:
    """Raises EFAULT unless as much can be read as a name may have."""
    return memory.read(address, _NAME_BYTES - 1).split(b"\0", 1)[0]


def _choose_interface(network: Network, name: bytes, found: dict[int, bytes]) -> None:
    """By its name, or by the label of an address that packets shall be from. Raises ENODEV."""
    interface = network.interface_named(name.split(b":", 1)[0])
    if interface is None:
        raise ENODEV
    found[_OIF] = pack_u32(interface.index)
    if b":" in name:
        labelled = [each for each in addresses_of(interface, is_ipv6=False) if each.label == name]
        if not labelled:
            raise ENODEV("no address of that label")
        found[_PREFSRC] = labelled[0].address


def _described_6(data: bytes, *, is_new: bool) -> tuple[Rtmsg, dict[int, bytes], bytes]:
    """What a struct in6_rtmsg says. Linux: net/ipv6/route.c, rtmsg_to_fib6_config."""
    destination, _, gateway, _, length, _, metric, _, flags, index = _IN6_RTMSG.unpack(data)
    if is_new and length > 128:
        raise EINVAL("a prefix of more bits than an address has")
    header = Rtmsg(
        rtm_family=AF_INET6, rtm_dst_len=length, rtm_protocol=_BOOT if is_new else 0, rtm_scope=_NOWHERE
    )
    found: dict[int, bytes] = {}
    if metric:
        found[_PRIORITY] = pack_u32(metric)
    if index:
        found[_OIF] = pack_u32(index)
    if flags & RouteFlag.RTF_GATEWAY and not is_any(gateway):
        found[_GATEWAY] = gateway
    if flags & RouteFlag.RTF_REJECT and is_new:
        header.rtm_type = _UNREACHABLE
    if flags & RouteFlag.RTF_CACHE:
        header.rtm_flags = RTM_F_CLONED
    return header, found, masked(destination, min(length, 128))
