"""RTM_GETNETCONF: some settings of an interface, of all, and of new ones (ip-netconf(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENODEV, EOPNOTSUPP, TOLD
from procession.abi.netlink import ConfigurationAttribute, RouteMessageType
from procession.abi.word import pack_u8
from procession.net.internet.address import AF_INET, AF_INET6
from procession.net.netlink.attributes import Answer, Message, Request, attribute, number, signed_in
from procession.net.netlink.policy import Policy, at_least, checked_attributes
from procession.net.sysctls import FORWARDING, IGNORE_LINKDOWN, PROXY_ARP, PROXY_NDP, REVERSE_PATH

if TYPE_CHECKING:
    from procession.net.network import Network

_INDEX = int(ConfigurationAttribute.NETCONFA_IFINDEX)
_FORWARDING, _REVERSE_PATH = (
    int(ConfigurationAttribute.NETCONFA_FORWARDING),
    int(ConfigurationAttribute.NETCONFA_RP_FILTER),
)
_GROUPS, _NEIGHBOURS = (
    int(ConfigurationAttribute.NETCONFA_MC_FORWARDING),
    int(ConfigurationAttribute.NETCONFA_PROXY_NEIGH),
)
_DOWN, _BROADCASTS = (
    int(ConfigurationAttribute.NETCONFA_IGNORE_ROUTES_WITH_LINKDOWN),
    int(ConfigurationAttribute.NETCONFA_BC_FORWARDING),
)
_FORCED = int(ConfigurationAttribute.NETCONFA_FORCE_FORWARDING)
_POLICY = Policy(
    dict.fromkeys((_INDEX, _FORWARDING, _REVERSE_PATH, _NEIGHBOURS, _DOWN), at_least(4)), _FORCED
)
"""Linux: net/ipv4/devinet.c, devconf_ipv4_policy."""
_HEADER_BYTES = 4
"""A struct netconfmsg, padded."""
_ALL, _DEFAULT = -1, -2
_NEWNETCONF = int(RouteMessageType.RTM_NEWNETCONF)


def _told(network: Network, index: int, *, is_ipv6: bool) -> Message:
    """Linux: net/ipv4/devinet.c, inet_netconf_fill_devconf; net/ipv6/addrconf.c,
    inet6_netconf_fill_devconf."""

    def setting(key: bytes) -> int:
        if index == _ALL:
            return network.sysctls.of_all(key)
        if index == _DEFAULT:
            return network.sysctls.of_new[key]
        return network.interfaces[index].settings[key]

    values = [(_INDEX, index), (_FORWARDING, setting(FORWARDING[is_ipv6]))]
    if is_ipv6:
        values += [(_GROUPS, 0), (_NEIGHBOURS, setting(PROXY_NDP))]
    else:
        values += [(_REVERSE_PATH, setting(REVERSE_PATH)), (_GROUPS, 0), (_BROADCASTS, 0)]
        values += [(_NEIGHBOURS, setting(PROXY_ARP))]
    values += [(_DOWN, setting(IGNORE_LINKDOWN[is_ipv6]))]
    header = pack_u8(AF_INET6 if is_ipv6 else AF_INET).ljust(_HEADER_BYTES, b"\0")
    return _NEWNETCONF, header + b"".join(
        attribute(kind, number(value & 0xFFFFFFFF)) for kind, value in values
    )


def list_configurations(request: Request) -> Answer:
    """All of them. Raises EINVAL. Linux: net/ipv4/devinet.c, inet_netconf_dump_devconf."""
    family = request.body[0] if request.body[0] in (AF_INET, AF_INET6) else 0
    before = "ipv6: " if family == AF_INET6 else "ipv4: "
    if request.is_strict and len(request.body) != _HEADER_BYTES:
        raise EINVAL(f"{before}Invalid data after header in netconf dump request", TOLD)
    indices = (*sorted(request.network.interfaces), _ALL, _DEFAULT)
    return [
        _told(request.network, index, is_ipv6=is_ipv6)
        for protocol, is_ipv6 in ((AF_INET, False), (AF_INET6, True))
        if family in (0, protocol)
        for index in indices
        if index < 0 or request.network.interfaces[index].has_protocol(is_ipv6=is_ipv6)
    ]


def find_configuration(request: Request) -> Answer:
    """That of one interface. Raises EINVAL, ENODEV, EOPNOTSUPP. Linux: net/ipv4/devinet.c,
    inet_netconf_get_devconf, inet_netconf_valid_get_req."""
    family = request.body[0]
    if family not in (AF_INET, AF_INET6):
        raise EOPNOTSUPP("no such protocol")
    before = "ipv6: " if family == AF_INET6 else "ipv4: "
    found = checked_attributes(request, _HEADER_BYTES, _POLICY, is_strict=request.is_strict)
    if request.is_strict:
        for kind in sorted(found):
            if kind != _INDEX:
                raise EINVAL(f"{before}Unsupported attribute in netconf get request", TOLD)
    index = signed_in(found, _INDEX)
    if index is None:
        raise EINVAL("an interface is needed")
    interface = request.network.interfaces.get(index)
    is_there = interface is not None and interface.has_protocol(is_ipv6=family == AF_INET6)
    if index not in (_ALL, _DEFAULT) and not is_there:
        raise EINVAL("no such interface") if family == AF_INET6 else ENODEV("no such interface")
    return [_told(request.network, index, is_ipv6=family == AF_INET6)]
