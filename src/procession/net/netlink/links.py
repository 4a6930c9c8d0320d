"""RTM_NEWLINK and its kin: interfaces listed, made, changed and deleted (rtnetlink(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EEXIST, EINVAL, ENODEV, EOPNOTSUPP, EPERM, ERANGE, TOLD
from procession.abi.netlink import (
    VETH_INFO_PEER,
    Ifinfomsg,
    LinkAttribute,
    LinkInformation,
    NetlinkFlag,
    RouteMessageType,
)
from procession.abi.socket import AddressFamily
from procession.abi.tun import TunAttribute, TunFlag
from procession.abi.word import pack_array, pack_u8
from procession.net.internet.flow import settle_all
from procession.net.link.interface import BRIDGE, LOOPBACK, TUN, VETH
from procession.net.link_change import (
    KINDS,
    delete_interface,
    join,
    join_bridge,
    largest_mtu,
    leave_bridge,
    make_interface,
    move,
    rename,
    set_broadcast_hardware_address,
    set_flags,
    set_hardware_address,
    set_mtu,
)
from procession.net.netlink.attributes import (
    NESTED,
    Answer,
    Message,
    Request,
    attribute,
    attributes_in,
    number,
    number_in,
    signed_in,
    text_in,
)
from procession.net.socket_options import CAP_NET_ADMIN

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.network import Network
    from procession.net.tun.device import TunDevice

_AF_BRIDGE = int(AddressFamily.AF_BRIDGE)
_BROADCAST = int(LinkAttribute.IFLA_BROADCAST)
_ADDRESS, _NAME = int(LinkAttribute.IFLA_ADDRESS), int(LinkAttribute.IFLA_IFNAME)
_MTU, _MASTER = int(LinkAttribute.IFLA_MTU), int(LinkAttribute.IFLA_MASTER)
_QUEUE_LENGTH, _GROUP = int(LinkAttribute.IFLA_TXQLEN), int(LinkAttribute.IFLA_GROUP)
_ALIAS, _LINK_INFORMATION = int(LinkAttribute.IFLA_IFALIAS), int(LinkAttribute.IFLA_LINKINFO)
_NET_NS_PID, _NET_NS_FD = int(LinkAttribute.IFLA_NET_NS_PID), int(LinkAttribute.IFLA_NET_NS_FD)
_TARGET_NETNSID = int(LinkAttribute.IFLA_TARGET_NETNSID)
_NEW_INDEX = int(LinkAttribute.IFLA_NEW_IFINDEX)
_LINK_NETNSID = int(LinkAttribute.IFLA_LINK_NETNSID)
_ALT_NAME = int(LinkAttribute.IFLA_ALT_IFNAME)
_INFO_KIND, _INFO_DATA = int(LinkInformation.IFLA_INFO_KIND), int(LinkInformation.IFLA_INFO_DATA)
_INFO_SLAVE_KIND = int(LinkInformation.IFLA_INFO_SLAVE_KIND)
_NEWLINK = int(RouteMessageType.RTM_NEWLINK)
_STATISTICS_64_BYTES, _STATISTICS_BYTES = 200, 96
_LONGEST_ALIAS = 255
_TUN_KINDS = int(TunFlag.IFF_TUN | TunFlag.IFF_TAP)
_LARGEST_INDEX = 0x7FFF_FFFF


def link_body(interface: Interface, asker: Network, *, change: int = 0) -> bytes:
    """A message about `interface`. Linux: net/core/rtnetlink.c, rtnl_fill_ifinfo."""
    header = Ifinfomsg(0, interface.hardware_type, interface.index, interface.shown_flags, change)
    counters = (
        *(interface.received_packets, interface.sent_packets),
        *(interface.received_bytes, interface.sent_bytes, 0, 0, 0, interface.drop_count),
    )
    is_loopback = interface.kind == LOOPBACK
    found: list[tuple[LinkAttribute, bytes]] = [
        (LinkAttribute.IFLA_IFNAME, interface.name + b"\0"),
        (LinkAttribute.IFLA_TXQLEN, number(interface.queue_length)),
        (LinkAttribute.IFLA_OPERSTATE, pack_u8(interface.operational_state)),
        (LinkAttribute.IFLA_LINKMODE, b"\0"),
        (LinkAttribute.IFLA_MTU, number(interface.mtu)),
        (LinkAttribute.IFLA_MIN_MTU, number(0 if is_loopback else 68)),
        (LinkAttribute.IFLA_MAX_MTU, number(0 if is_loopback else largest_mtu(interface))),
        (LinkAttribute.IFLA_GROUP, number(interface.group)),
        (LinkAttribute.IFLA_PROMISCUITY, number(int(interface.master is not None))),
        (LinkAttribute.IFLA_NUM_TX_QUEUES, number(1)),
        (LinkAttribute.IFLA_NUM_RX_QUEUES, number(1)),
    ]
    peer = interface.peer
    if peer is not None:
        found.append((LinkAttribute.IFLA_LINK, number(peer.index)))
    if interface.master is not None:
        found.append((LinkAttribute.IFLA_MASTER, number(interface.master.index)))
    if interface.alias:
        found.append((LinkAttribute.IFLA_IFALIAS, interface.alias + b"\0"))
    found += [
        (LinkAttribute.IFLA_CARRIER, pack_u8(interface.has_carrier)),
        (LinkAttribute.IFLA_QDISC, interface.queueing_discipline + b"\0"),
        (LinkAttribute.IFLA_CARRIER_CHANGES, number(interface.carrier_changes)),
        (LinkAttribute.IFLA_STATS64, pack_array("Q", counters).ljust(_STATISTICS_64_BYTES, b"\0")),
        (
            LinkAttribute.IFLA_STATS,
            b"".join(number(count & 0xFFFFFFFF) for count in counters).ljust(_STATISTICS_BYTES, b"\0"),
        ),
    ]
    if interface.has_frames:
        found.append((LinkAttribute.IFLA_ADDRESS, interface.hardware_address))
        found.append((LinkAttribute.IFLA_BROADCAST, interface.broadcast_hardware_address))
    if not is_loopback:
        information = attribute(_INFO_KIND, interface.kind + b"\0")
        if interface.tun is not None:
            information += attribute(_INFO_DATA, _tun_data(interface.tun, asker))
        if interface.master is not None:
            information += attribute(_INFO_SLAVE_KIND, interface.master.kind + b"\0")
        found.append((LinkAttribute.IFLA_LINKINFO, information))
    properties = b""
    if interface.other_names:
        names = b"".join(attribute(_ALT_NAME, name + b"\0") for name in interface.other_names)
        properties = attribute(int(LinkAttribute.IFLA_PROP_LIST) | NESTED, names)
    if peer is not None and peer.network is not asker:
        found.append((LinkAttribute.IFLA_LINK_NETNSID, number(asker.number_of(peer.network))))
    return header.pack() + b"".join(attribute(int(kind), data) for kind, data in found) + properties


def _tun_data(tun: TunDevice, asker: Network) -> bytes:
    """What a tun is. Linux: drivers/net/tun.c, tun_fill_info."""
    flags, told = tun.flags, TunAttribute
    found: list[tuple[TunAttribute, bytes]] = [(told.IFLA_TUN_TYPE, pack_u8(flags & _TUN_KINDS))]
    if tun.owner_uid is not None:
        found.append((told.IFLA_TUN_OWNER, number(asker.owner.from_kuid_munged(tun.owner_uid))))
    if tun.owner_gid is not None:
        found.append((told.IFLA_TUN_GROUP, number(asker.owner.from_kgid_munged(tun.owner_gid))))
    is_multiple = bool(flags & TunFlag.IFF_MULTI_QUEUE)
    found += [
        (told.IFLA_TUN_PI, pack_u8(not flags & TunFlag.IFF_NO_PI)),
        (told.IFLA_TUN_VNET_HDR, pack_u8(bool(flags & TunFlag.IFF_VNET_HDR))),
        (told.IFLA_TUN_PERSIST, pack_u8(bool(flags & TunFlag.IFF_PERSIST))),
        (told.IFLA_TUN_MULTI_QUEUE, pack_u8(is_multiple)),
    ]
    if is_multiple:
        found.append((told.IFLA_TUN_NUM_QUEUES, number(len(tun.files))))
        found.append((told.IFLA_TUN_NUM_DISABLED_QUEUES, number(len(tun.detached))))
    return b"".join(attribute(int(kind), data) for kind, data in found)


def link_header(request: Request) -> tuple[Ifinfomsg, dict[int, bytes]]:
    """The header of a request, and the attributes behind it. Raises EINVAL, ERANGE."""
    return _header(request), _link_attributes(request)


def _header(request: Request) -> Ifinfomsg:
    if len(request.body) < Ifinfomsg.SIZE:
        raise EINVAL("a struct ifinfomsg is needed")
    return Ifinfomsg.unpack_from(request.body)


def _link_attributes(request: Request) -> dict[int, bytes]:
    """What follows the header. Raises ERANGE. Linux: net/core/rtnetlink.c, ifla_policy."""
    found = attributes_in(request.body, Ifinfomsg.SIZE)
    new_index = signed_in(found, _NEW_INDEX)
    if new_index is not None and new_index < 1:
        raise ERANGE("integer out of range", TOLD)
    return found


def find_link(network: Network, header: Ifinfomsg, found: dict[int, bytes]) -> Interface | None:
    """The interface that a request is about. Raises EINVAL if it doesn't say which."""
    if header.ifi_index > 0:
        return network.interfaces.get(header.ifi_index)
    name = text_in(found, _NAME) or text_in(found, _ALT_NAME)
    if name is None:
        raise EINVAL("which link?")
    return network.interface_named(name)


def list_links(request: Request) -> Answer:
    """RTM_GETLINK. Raises ENODEV, EINVAL. Linux: net/core/rtnetlink.c, rtnl_dump_ifinfo, rtnl_getlink."""
    network = request.network
    settle_all(network)
    if not request.is_dump:
        header = _header(request)
        found = attributes_in(request.body, Ifinfomsg.SIZE)
        interface = find_link(network, header, found)
        if interface is None:
            raise ENODEV
        return [(_NEWLINK, link_body(interface, network))]
    master: int | None = None
    kind: bytes | None = None
    if len(request.body) >= Ifinfomsg.SIZE:
        if request.body[0] == _AF_BRIDGE:
            return []
        found = attributes_in(request.body, Ifinfomsg.SIZE)
        master = number_in(found, _MASTER)
        kind = text_in(attributes_in(found.get(_LINK_INFORMATION, b""), 0), _INFO_KIND)
    links = sorted(network.interfaces.values(), key=_index_of)
    return [
        (_NEWLINK, link_body(interface, network))
        for interface in links
        if (master is None or (interface.master is not None and interface.master.index == master))
        and (kind is None or interface.kind == kind)
    ]


def _index_of(interface: Interface) -> int:
    return interface.index


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
        named = next((other for other, value in request.network.numbers.items() if value == identifier), None)
        if named is None:
            raise EINVAL("no network has this number")
        target = named
    else:
        return None
    if not request.credentials.ns_capable(target.owner, CAP_NET_ADMIN):
        raise EPERM("CAP_NET_ADMIN over the other network is needed")
    return target


def new_link(request: Request) -> None:
    """RTM_NEWLINK. Raises EEXIST, ENODEV, EOPNOTSUPP, EINVAL ...

    Linux: net/core/rtnetlink.c, __rtnl_newlink.
    """
    network = request.network
    header = _header(request)
    found = _link_attributes(request)
    information = attributes_in(found.get(_LINK_INFORMATION, b""), 0)
    kind = text_in(information, _INFO_KIND)
    name = text_in(found, _NAME)
    interface: Interface | None = None
    if header.ifi_index > 0 or name is not None or _ALT_NAME in found:
        interface = find_link(network, header, found)
    elif header.ifi_index < 0:
        raise EINVAL("a negative index")
    if interface is not None:
        if request.has(NetlinkFlag.NLM_F_EXCL):
            raise EEXIST("there is such an interface")
        if request.has(NetlinkFlag.NLM_F_REPLACE):
            raise EOPNOTSUPP("interfaces aren't replaced")
        if kind is not None and (kind != interface.kind or information.get(_INFO_DATA)):
            raise EOPNOTSUPP("the kind of an interface stays")
        _change(request, header, found, interface)
        return
    if not request.has(NetlinkFlag.NLM_F_CREATE):
        if header.ifi_index == 0 and name is None and _GROUP in found:
            raise EOPNOTSUPP("groups aren't changed as one")
        raise ENODEV
    if kind == TUN:
        raise EOPNOTSUPP("tun/tap creation via rtnetlink is not supported.", TOLD)
    if kind is None or kind not in KINDS:
        raise EOPNOTSUPP("Unknown device type", TOLD)
    home = target_network(request, found) or network
    _create(request, header, found, information, kind, home)


def _create(
    request: Request,
    header: Ifinfomsg,
    found: dict[int, bytes],
    information: dict[int, bytes],
    kind: bytes,
    home: Network,
) -> None:
    """Linux: net/core/rtnetlink.c, rtnl_newlink_create; drivers/net/veth.c, veth_newlink."""
    made: list[Interface] = []
    try:
        if kind == VETH:
            data = attributes_in(information.get(_INFO_DATA, b""), 0).get(VETH_INFO_PEER)
            peer_header, peer_found = Ifinfomsg(), dict[int, bytes]()
            if data is not None:
                if len(data) < Ifinfomsg.SIZE:
                    raise EINVAL("a struct ifinfomsg is needed")
                peer_header = Ifinfomsg.unpack_from(data)
                peer_found = attributes_in(data, Ifinfomsg.SIZE)
            peer_home = target_network(request, peer_found) or home
            # The peer comes first.
            peer = _make(peer_home, kind, peer_header, peer_found)
            made.append(peer)
            interface = _make(home, kind, header, found)
            made.append(interface)
            join(interface, peer)
            peer.network.device_event(peer, b"add")
            peer.network.link_changed(peer)
            _finish(peer_header, peer_found, peer)
        else:
            interface = _make(home, kind, header, found)
            made.append(interface)
        interface.network.topology_changed()
        interface.network.device_event(interface, b"add")
        interface.network.link_changed(interface)
        _finish(header, found, interface)
    except Exception:
        for interface in made:
            if interface.network.interfaces.get(interface.index) is interface:
                delete_interface(interface)
        raise


def _make(network: Network, kind: bytes, header: Ifinfomsg, found: dict[int, bytes]) -> Interface:
    address = found.get(_ADDRESS, b"")
    if address and (len(address) != 6 or address[0] & 1 or not any(address)):
        raise EINVAL("no hardware address")
    name = text_in(found, _NAME) or b""
    index = header.ifi_index
    if index < 0:
        raise EINVAL("a negative index")
    return make_interface(network, kind, name, index, address)


def _finish(header: Ifinfomsg, found: dict[int, bytes], interface: Interface) -> None:
    mtu = number_in(found, _MTU)
    if mtu is not None:
        set_mtu(interface, mtu)
    length = number_in(found, _QUEUE_LENGTH)
    if length is not None:
        interface.queue_length = length
    group = number_in(found, _GROUP)
    if group is not None:
        interface.group = group
    master = number_in(found, _MASTER)
    if master:
        _set_master(interface, master)
    if header.ifi_flags or header.ifi_change:
        set_flags(interface, header.ifi_flags, header.ifi_change)


def change_link(request: Request) -> None:
    """RTM_SETLINK. Raises ENODEV ... Linux: net/core/rtnetlink.c, rtnl_setlink."""
    header = _header(request)
    found = _link_attributes(request)
    interface = find_link(request.network, header, found)
    if interface is None:
        raise ENODEV
    _change(request, header, found, interface)


def _change(request: Request, header: Ifinfomsg, found: dict[int, bytes], interface: Interface) -> None:
    """Linux: net/core/rtnetlink.c, do_setlink."""
    home = target_network(request, found)
    name = text_in(found, _NAME) if header.ifi_index > 0 else None
    if home is not None:
        move(interface, home, name or b"", signed_in(found, _NEW_INDEX) or 0)
        name = None
    address = found.get(_ADDRESS)
    if address is not None:
        set_hardware_address(interface, address)
    mtu = number_in(found, _MTU)
    if mtu is not None:
        set_mtu(interface, mtu)
    group = number_in(found, _GROUP)
    if group is not None:
        interface.group = group
        interface.network.link_changed(interface)
    if name:
        rename(interface, name)
    alias = found.get(_ALIAS)
    if alias is not None:
        interface.alias = alias.split(b"\0", 1)[0][:_LONGEST_ALIAS]
        interface.network.link_changed(interface)
    broadcast = found.get(_BROADCAST)
    if broadcast is not None:
        set_broadcast_hardware_address(interface, broadcast)
    master = number_in(found, _MASTER)
    if master is not None:
        _set_master(interface, master)
    if header.ifi_flags or header.ifi_change:
        set_flags(interface, header.ifi_flags, header.ifi_change)
    length = number_in(found, _QUEUE_LENGTH)
    if length is not None:
        if length > _LARGEST_INDEX:
            raise EINVAL("the length of the queue")
        interface.queue_length = length
        interface.network.link_changed(interface)


def _set_master(interface: Interface, index: int) -> None:
    """Linux: net/core/rtnetlink.c, do_set_master."""
    if interface.master is not None:
        if interface.master.index == index:
            return
        # It has left the old one even if it can't join the new one.
        leave_bridge(interface)
    if not index:
        return
    master = interface.network.interfaces.get(index)
    if master is None:
        raise EINVAL("no such interface")
    if master.kind != BRIDGE:
        raise EOPNOTSUPP("no bridge")
    join_bridge(interface, master)


def delete_link(request: Request) -> None:
    """RTM_DELLINK. Raises ENODEV, EOPNOTSUPP. Linux: net/core/rtnetlink.c, rtnl_dellink."""
    header = _header(request)
    found = attributes_in(request.body, Ifinfomsg.SIZE)
    interface = find_link(request.network, header, found)
    if interface is None:
        raise ENODEV
    if interface.kind == LOOPBACK:
        raise EOPNOTSUPP("the loopback stays")
    delete_interface(interface)


def link_message(interface: Interface, asker: Network, *, is_there: bool) -> Message:
    """What listeners are told."""
    kind = RouteMessageType.RTM_NEWLINK if is_there else RouteMessageType.RTM_DELLINK
    return int(kind), link_body(interface, asker, change=0xFFFFFFFF if not is_there else 0)
