"""Groups: who listens to what is sent to a multicast address, at which interface, and from whom (ip(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EADDRINUSE, EADDRNOTAVAIL, EINVAL, ENOBUFS, ENODEV, ENOMEM, Errno
from procession.abi.internet import IpOption, Ipv6Option
from procession.abi.socket import SocketLevel
from procession.hardware.kernel_memory import SOCKET
from procession.hardware.physical_memory import OutOfFrames
from procession.net.internet.address import ANY_4, EVERYBODY, is_any, is_multicast
from procession.net.internet.anycast import drop_all
from procession.net.internet.flow import find_flow
from procession.net.internet.group_record import EXCLUDE, INCLUDE
from procession.net.internet.igmp import IgmpListening
from procession.net.internet.mld import MldListening
from procession.net.internet.option_memory import GROUP_BYTES, LIST_BYTES, SOURCE_BYTES, has_room
from procession.net.internet.routing import LOCAL, LOCAL_TABLE

if TYPE_CHECKING:
    from procession.net.internet.listening import Listening
    from procession.net.internet.socket import InternetSocket
    from procession.net.link.interface import Interface
    from procession.net.network import Network

_SOURCES_AT_A_TIME = 10
"""IP_SFBLOCK: for so many sources more there is room when one has none."""
_GROUP_BYTES, _SOURCE_BYTES = 384, 96
_ALL_4 = (int(SocketLevel.SOL_IP), int(IpOption.IP_MULTICAST_ALL))
_ALL_6 = (int(SocketLevel.SOL_IPV6), int(Ipv6Option.IPV6_MULTICAST_ALL))


class Membership:
    """One socket in one group at one interface (Linux: include/linux/igmp.h, struct ip_mc_socklist).

    `address` is how IPv4's program named the interface. `sources` are who may not be heard, or with
    `is_inclusive` who alone may be; None until a source was named. There is `room` for so many.
    """

    __slots__ = ("address", "group", "index", "is_inclusive", "room", "sources")

    def __init__(self, group: bytes, index: int, address: bytes, *, is_inclusive: bool) -> None:
        self.group = group
        self.index = index
        self.address = address
        self.is_inclusive = is_inclusive
        self.sources: list[bytes] | None = None
        self.room = 0

    @property
    def mode(self) -> int:
        """MCAST_EXCLUDE or MCAST_INCLUDE."""
        return INCLUDE if self.is_inclusive else EXCLUDE

    def lets_in(self, source: bytes) -> bool:
        """Whether what `source` sends is heard. Linux: net/ipv4/igmp.c, ip_mc_sf_allow."""
        return (self.sources is not None and source in self.sources) == self.is_inclusive


def begin_listening(interface: Interface) -> None:
    """Routers are told from now on to which groups `interface` listens. Linux: net/ipv4/igmp.c,
    ip_mc_init_dev; net/ipv6/mcast.c, ipv6_mc_init_dev."""
    interface.listening_4, interface.listening_6 = IgmpListening(interface), MldListening(interface)


def _listening(socket: InternetSocket, group: bytes, index: int) -> Listening | None:
    """What tells routers of `group` at the interface with this index, if that is still there."""
    interface = socket.network.interfaces.get(index)
    if interface is None:
        return None
    if interface.listening_4 is None:
        begin_listening(interface)
    return interface.listening_4 if len(group) == 4 else interface.listening_6


def interface_for(network: Network, group: bytes, index: int, address: bytes) -> Interface | None:
    """The interface that is named by its index or an address of its, or the one that leads to `group`.

    Linux: net/ipv4/igmp.c, ip_mc_find_dev.
    """
    if index:
        return network.interfaces.get(index)
    if not is_any(address):
        for interface in network.interfaces.values():
            if any(found.address == address for found in interface.addresses):
                return interface
        route = network.routes.lookup_in(LOCAL_TABLE, address)
        return None if route is None or route.kind != LOCAL else route.interface
    try:
        return find_flow(network, group, None, None).out
    except Errno:
        return None


def join(socket: InternetSocket, group: bytes, index: int, address: bytes, *, is_inclusive: bool) -> None:
    """Listen to `group`. Raises EINVAL, ENODEV, EADDRINUSE, ENOBUFS; ENOMEM of IPv6.

    Linux: net/ipv4/igmp.c, __ip_mc_join_group; net/ipv6/mcast.c, __ipv6_sock_mc_join.
    """
    if not is_multicast(group):
        raise EINVAL("no group")
    is_6 = len(group) == 16
    if is_6 and any(
        found.group == group and (not index or found.index == index) for found in socket.memberships
    ):
        raise EADDRINUSE("the socket is in this group")
    interface = interface_for(socket.network, group, index, address)
    if interface is None or not interface.has_protocol(is_ipv6=is_6):
        raise ENODEV("no such interface")
    index = interface.index
    mine = [found for found in socket.memberships if len(found.group) == len(group)]
    if not is_6 and any(found.group == group and found.index == index for found in mine):
        raise EADDRINUSE("the socket is in this group")
    if not is_6 and len(mine) >= socket.network.sysctls.most_groups:
        raise ENOBUFS("the socket is in too many groups")
    if is_6 and not has_room(socket, GROUP_BYTES):
        raise ENOMEM("the socket is in too many groups")
    try:
        socket.network.system.account.charge(SOCKET, _GROUP_BYTES)
    except OutOfFrames:
        raise (ENOMEM if is_6 else ENOBUFS)("no memory") from None
    socket.memberships = (*socket.memberships, Membership(group, index, address, is_inclusive=is_inclusive))
    socket.network.join_group(index, group)
    listening = _listening(socket, group, index)
    if listening is not None:
        listening.enter(group, INCLUDE if is_inclusive else EXCLUDE)


def _make_room(socket: InternetSocket, membership: Membership, room: int) -> None:
    """Let a membership have room for so many sources. Raises ENOBUFS.

    Linux allocates the new list before it frees the old one.
    """
    is_6 = len(membership.group) == 16
    if is_6 and not has_room(socket, LIST_BYTES + SOURCE_BYTES * room):
        raise ENOBUFS("the socket has too many sources")
    account = socket.network.system.account
    try:
        account.charge(SOCKET, room * _SOURCE_BYTES)
    except OutOfFrames:
        raise ENOBUFS("no memory") from None
    account.uncharge(SOCKET, membership.room * _SOURCE_BYTES)
    membership.room = room


def set_sources(
    socket: InternetSocket, membership: Membership, sources: list[bytes], *, is_inclusive: bool
) -> None:
    """All sources at once. Raises ENOBUFS. Linux: net/ipv4/igmp.c, ip_mc_msfilter."""
    _make_room(socket, membership, len(sources))
    mode, before = membership.mode, membership.sources or ()
    membership.sources = sources or None
    membership.is_inclusive = is_inclusive
    listening = _listening(socket, membership.group, membership.index)
    if listening is not None:
        listening.add_sources(membership.group, membership.mode, sources)
        listening.remove_sources(membership.group, mode, before)


def leave(socket: InternetSocket, group: bytes, index: int, address: bytes) -> None:
    """Listen to `group` no more. Raises ENODEV, EADDRNOTAVAIL, EINVAL.

    Linux: net/ipv4/igmp.c, ip_mc_leave_group; net/ipv6/mcast.c, __ipv6_sock_mc_drop.
    """
    if len(group) == 16:
        if not is_multicast(group):
            raise EINVAL("no group")
    elif not index and is_any(address) and not is_any(group) and _way_to(socket, group) is None:
        raise ENODEV("no way to this group")
    for found in socket.memberships:
        if found.group != group:
            continue
        if found.index == index if index else is_any(address) or found.address == address:
            _remove(socket, found)
            return
    raise EADDRNOTAVAIL("the socket isn't in this group")


def _way_to(socket: InternetSocket, group: bytes) -> Interface | None:
    return interface_for(socket.network, group, 0, ANY_4)


def _remove(socket: InternetSocket, membership: Membership) -> None:
    socket.memberships = tuple(found for found in socket.memberships if found is not membership)
    listening = _listening(socket, membership.group, membership.index)
    if listening is not None:
        # Linux: net/ipv4/igmp.c, ip_mc_leave_src.
        listening.remove_sources(membership.group, membership.mode, membership.sources or ())
        listening.leave(membership.group)
    socket.network.system.account.uncharge(SOCKET, _GROUP_BYTES + membership.room * _SOURCE_BYTES)
    socket.network.leave_group(membership.index, membership.group)


def leave_all(socket: InternetSocket) -> None:
    """The socket is closed. Linux: net/ipv4/igmp.c, ip_mc_drop_socket."""
    for membership in socket.memberships:
        _remove(socket, membership)
    drop_all(socket)


def membership_at(socket: InternetSocket, group: bytes, interface: Interface) -> Membership | None:
    """The socket's membership of a group at an interface."""
    for found in socket.memberships:
        if found.group == group and found.index == interface.index:
            return found
    return None


def change_source(
    socket: InternetSocket,
    group: bytes,
    source: bytes,
    where: tuple[int, bytes],
    *,
    is_inclusive: bool,
    is_added: bool,
) -> None:
    """Hear, or don't hear, one source more. Raises EINVAL, ENODEV, EADDRNOTAVAIL, ENOBUFS.

    Linux: net/ipv4/igmp.c, ip_mc_source; net/ipv6/mcast.c, ip6_mc_source.
    """
    if not is_multicast(group):
        raise EINVAL("no group")
    interface = interface_for(socket.network, group, *where)
    if interface is None:
        raise ENODEV("no such interface")
    membership = membership_at(socket, group, interface)
    if membership is None:
        raise EINVAL("the socket isn't in this group")
    listening = _listening(socket, group, interface.index)
    assert listening is not None
    if membership.is_inclusive != is_inclusive:
        if membership.sources is not None:
            raise EINVAL("the socket says who else to hear")
        before = membership.mode
        membership.is_inclusive = is_inclusive
        listening.add_sources(group, membership.mode, ())
        listening.remove_sources(group, before, ())
    sources = membership.sources
    if not is_added:
        if sources is None or source not in sources:
            raise EADDRNOTAVAIL("no such source")
        if is_inclusive and len(sources) == 1:
            # Nobody is heard: that is to be in the group no more.
            _remove(socket, membership)
        else:
            sources.remove(source)
            listening.remove_sources(group, membership.mode, (source,), is_more=True)
        return
    count = 0 if sources is None else len(sources)
    if count >= most_sources(socket, group):
        raise ENOBUFS("too many sources")
    if count == membership.room:
        _make_room(socket, membership, count + _SOURCES_AT_A_TIME)
    if sources is None:
        membership.sources = [source]
    elif source in sources:
        raise EADDRNOTAVAIL("the source is known")
    else:
        sources.append(source)
    listening.add_sources(group, membership.mode, (source,), is_more=True)


def most_sources(socket: InternetSocket, group: bytes) -> int:
    """How many a socket may name of `group`: net.ipv4.igmp_max_msf and net.ipv6.mld_max_msf."""
    network = socket.network
    return network.sysctls.most_sources if len(group) == 4 else network.system.most_sources_6


def is_joined(network: Network, interface: Interface, group: bytes) -> bool:
    """Whether anything in `network` listens to `group` at `interface`: what nobody does isn't received.

    Linux: net/ipv4/igmp.c, ip_check_mc_rcu; net/ipv6/mcast.c, ipv6_chk_mcast_addr.
    """
    return group in EVERYBODY or (interface.index, group) in network.groups


def hears_group(socket: InternetSocket, group: bytes, source: bytes, interface: Interface) -> bool:
    """Whether what `source` sent to `group` is for `socket`. Linux: net/ipv4/igmp.c, ip_mc_sf_allow."""
    membership = membership_at(socket, group, interface)
    if membership is None:
        return bool(socket.protocol_options.get(_ALL_4 if len(group) == 4 else _ALL_6, 1))
    return membership.lets_in(source)
