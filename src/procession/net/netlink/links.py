"""RTM_NEWLINK and its kin: interfaces listed, made, changed and deleted (rtnetlink(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EADDRNOTAVAIL, EEXIST, EINVAL, ENODEV, EOPNOTSUPP, ERANGE, TOLD
from procession.abi.netlink import (
    VETH_INFO_PEER,
    Ifinfomsg,
    LinkAttribute,
    LinkInformation,
    NetlinkFlag,
    RouteMessageType,
)
from procession.abi.socket import AddressFamily
from procession.abi.word import pack_array, pack_u8
from procession.net.cause import NO_REQUEST, Cause
from procession.net.internet.flow import settle_all
from procession.net.link.interface import BRIDGE, LOOPBACK, NAMED_BY_NUMBER, NAMED_BY_USER, TUN, VETH
from procession.net.link_change import (
    ALL_FLAGS,
    KINDS,
    LARGEST_MTU,
    LEAST_MTU,
    LONGEST_ALIAS,
    change_carrier,
    check_mtu,
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
    set_operational_state,
    set_queue_length,
    tell_of_new,
)
from procession.net.netlink.attributes import (
    NESTED,
    Answer,
    Message,
    Request,
    attribute,
    nested_in,
    number,
    number_in,
    signed_in,
    text_in,
)
from procession.net.netlink.bridge_options import change_bridge
from procession.net.netlink.bridge_ports import list_ports
from procession.net.netlink.link_information import link_information
from procession.net.netlink.link_kind import change_kind, check_kind
from procession.net.netlink.link_queues import said_queues, veth_queues
from procession.net.netlink.link_segments import LEAST_BYTES, check_segments, set_segments, told_segments
from procession.net.netlink.policy import (
    NESTED_LIST,
    REFUSED,
    U8,
    U32,
    Policy,
    at_most,
    checked_attributes,
    not_less,
    signed,
    string,
)
from procession.net.netlink.targets import asked_network, target_network

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.network import Network

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
_OPERATIONAL_STATE = int(LinkAttribute.IFLA_OPERSTATE)
_CARRIER, _LINK_MODE = int(LinkAttribute.IFLA_CARRIER), int(LinkAttribute.IFLA_LINKMODE)
_EXTENSIONS = int(LinkAttribute.IFLA_EXT_MASK)
_FIRST_STRICT, _LARGEST_ATTRIBUTE = 65, int(LinkAttribute.IFLA_TAILROOM)
_NEWLINK = int(RouteMessageType.RTM_NEWLINK)
_STATISTICS_64_BYTES, _STATISTICS_BYTES = 200, 96
_LONGEST_ADDRESS, _LONGEST_NAME, _LONGEST_OTHER_NAME = 32, 15, 127
_U8S = (
    LinkAttribute.IFLA_CARRIER,
    LinkAttribute.IFLA_OPERSTATE,
    LinkAttribute.IFLA_LINKMODE,
    LinkAttribute.IFLA_PROTO_DOWN,
)
_U32S = (
    *(LinkAttribute.IFLA_MTU, LinkAttribute.IFLA_LINK, LinkAttribute.IFLA_MASTER, LinkAttribute.IFLA_TXQLEN),
    *(LinkAttribute.IFLA_NET_NS_PID, LinkAttribute.IFLA_NET_NS_FD, LinkAttribute.IFLA_EXT_MASK),
    *(LinkAttribute.IFLA_PROMISCUITY, LinkAttribute.IFLA_NUM_TX_QUEUES, LinkAttribute.IFLA_NUM_RX_QUEUES),
    *(LinkAttribute.IFLA_GSO_MAX_SEGS, LinkAttribute.IFLA_CARRIER_CHANGES),
    *(LinkAttribute.IFLA_GROUP, LinkAttribute.IFLA_CARRIER_UP_COUNT, LinkAttribute.IFLA_CARRIER_DOWN_COUNT),
    *(LinkAttribute.IFLA_MIN_MTU, LinkAttribute.IFLA_MAX_MTU, LinkAttribute.IFLA_GRO_MAX_SIZE),
    LinkAttribute.IFLA_GRO_IPV4_MAX_SIZE,
)
_LEAST_U32S = (LinkAttribute.IFLA_GSO_MAX_SIZE, LinkAttribute.IFLA_GSO_IPV4_MAX_SIZE)
_REFUSED_ONES = (
    LinkAttribute.IFLA_TSO_MAX_SIZE,
    LinkAttribute.IFLA_TSO_MAX_SEGS,
    LinkAttribute.IFLA_ALLMULTI,
)
_LISTS = (LinkAttribute.IFLA_LINKINFO, LinkAttribute.IFLA_AF_SPEC, LinkAttribute.IFLA_PROP_LIST)
POLICY = Policy(
    {
        **{int(kind): U8 for kind in _U8S},
        **{int(kind): U32 for kind in _U32S},
        **{int(kind): not_less(LEAST_BYTES) for kind in _LEAST_U32S},
        **{int(kind): REFUSED for kind in _REFUSED_ONES},
        **{int(kind): NESTED_LIST for kind in _LISTS},
        _ADDRESS: at_most(_LONGEST_ADDRESS),
        _BROADCAST: at_most(_LONGEST_ADDRESS),
        _NAME: string(_LONGEST_NAME),
        _ALT_NAME: string(_LONGEST_OTHER_NAME),
        _ALIAS: at_most(255),
        _LINK_NETNSID: signed(-(1 << 31)),
        _TARGET_NETNSID: signed(-(1 << 31)),
        _NEW_INDEX: signed(1),
    },
    _LARGEST_ATTRIBUTE,
    _FIRST_STRICT,
)
"""Linux: net/core/rtnetlink.c, ifla_policy."""


def link_body(interface: Interface, asker: Network, *, change: int = 0, target: bytes | None = None) -> bytes:
    """A message about `interface`, with the number of the network that was asked for, its `target`.

    Linux: net/core/rtnetlink.c, rtnl_fill_ifinfo.
    """
    header = Ifinfomsg(0, interface.hardware_type, interface.index, interface.shown_flags, change)
    counters = (
        *(interface.received_packets, interface.sent_packets),
        *(interface.received_bytes, interface.sent_bytes, 0, 0, 0, interface.drop_count),
    )
    peer, master = interface.peer, interface.master
    found = [] if target is None else [(LinkAttribute.IFLA_TARGET_NETNSID, target)]
    found += _sizes(interface)
    if master is not None:
        found.append((LinkAttribute.IFLA_MASTER, number(master.index)))
    found.append((LinkAttribute.IFLA_CARRIER, pack_u8(interface.has_carrier)))
    if interface.alias:
        found.append((LinkAttribute.IFLA_IFALIAS, interface.alias + b"\0"))
    changes = interface.carrier_changes
    found += [
        (LinkAttribute.IFLA_CARRIER_CHANGES, number(changes)),
        (LinkAttribute.IFLA_CARRIER_UP_COUNT, number(changes // 2)),
        (LinkAttribute.IFLA_CARRIER_DOWN_COUNT, number(changes - changes // 2)),
        (LinkAttribute.IFLA_HEADROOM, bytes(2)),
        (LinkAttribute.IFLA_TAILROOM, bytes(2)),
        (LinkAttribute.IFLA_PROTO_DOWN, b"\0"),
    ]
    if interface.has_frames:
        found.append((LinkAttribute.IFLA_ADDRESS, interface.hardware_address))
        found.append((LinkAttribute.IFLA_BROADCAST, interface.broadcast_hardware_address))
    found += [
        (LinkAttribute.IFLA_STATS64, pack_array("Q", counters).ljust(_STATISTICS_64_BYTES, b"\0")),
        (
            LinkAttribute.IFLA_STATS,
            b"".join(number(count & 0xFFFFFFFF) for count in counters).ljust(_STATISTICS_BYTES, b"\0"),
        ),
    ]
    if interface.kind != LOOPBACK:
        found.append((LinkAttribute.IFLA_LINKINFO, link_information(interface, asker)))
    if peer is not None:
        if peer.network is not asker:
            found.append((LinkAttribute.IFLA_LINK_NETNSID, number(asker.number_of(peer.network))))
        found.append((LinkAttribute.IFLA_LINK, number(peer.index)))
    found.append((LinkAttribute.IFLA_QDISC, interface.queueing_discipline + b"\0"))
    properties = b""
    if interface.other_names:
        names = b"".join(attribute(_ALT_NAME, name + b"\0") for name in interface.other_names)
        properties = attribute(int(LinkAttribute.IFLA_PROP_LIST) | NESTED, names)
    return header.pack() + b"".join(attribute(int(kind), data) for kind, data in found) + properties


def _sizes(interface: Interface) -> list[tuple[LinkAttribute, bytes]]:
    """What an interface is called, and how much it takes at once."""
    is_loopback = interface.kind == LOOPBACK
    return [
        (LinkAttribute.IFLA_IFNAME, interface.name + b"\0"),
        (LinkAttribute.IFLA_TXQLEN, number(interface.queue_length)),
        (LinkAttribute.IFLA_OPERSTATE, pack_u8(interface.operational_state)),
        (LinkAttribute.IFLA_LINKMODE, pack_u8(interface.link_mode)),
        (LinkAttribute.IFLA_NETNS_IMMUTABLE, pack_u8(interface.kind in (LOOPBACK, BRIDGE))),
        (LinkAttribute.IFLA_MTU, number(interface.mtu)),
        (LinkAttribute.IFLA_MIN_MTU, number(0 if is_loopback else 68)),
        (LinkAttribute.IFLA_MAX_MTU, number(0 if is_loopback else largest_mtu(interface))),
        (LinkAttribute.IFLA_GROUP, number(interface.group)),
        (LinkAttribute.IFLA_PROMISCUITY, number(interface.promiscuity)),
        (LinkAttribute.IFLA_ALLMULTI, number(interface.all_groups_count)),
        (LinkAttribute.IFLA_NUM_TX_QUEUES, number(interface.queues.sent)),
        *told_segments(interface),
        (LinkAttribute.IFLA_MAX_PACING_OFFLOAD_HORIZON, number(0)),
        (LinkAttribute.IFLA_NUM_RX_QUEUES, number(interface.queues.received)),
    ]


def link_header(request: Request) -> tuple[Ifinfomsg, dict[int, bytes]]:
    """The header of a request, and the attributes behind it. Raises EINVAL, ERANGE."""
    return _header(request), _link_attributes(request)


def _header(request: Request) -> Ifinfomsg:
    if len(request.body) < Ifinfomsg.SIZE:
        raise EINVAL("Invalid header length", TOLD)
    return Ifinfomsg.unpack_from(request.body)


def _link_attributes(request: Request) -> dict[int, bytes]:
    """What follows the header. Raises ERANGE, EINVAL."""
    return checked_attributes(request, Ifinfomsg.SIZE, POLICY)


def find_link(network: Network, header: Ifinfomsg, found: dict[int, bytes]) -> Interface | None:
    """The interface that a request is about. Raises EINVAL if it doesn't say which."""
    if header.ifi_index > 0:
        return network.interfaces.get(header.ifi_index)
    name = text_in(found, _NAME)
    if name is None:
        name = text_in(found, _ALT_NAME)
    if name is None:
        raise EINVAL("which link?")
    return network.interface_named(name)


def list_links(request: Request) -> Answer:
    """RTM_GETLINK. Raises ENODEV, EINVAL. Linux: net/core/rtnetlink.c, rtnl_dump_ifinfo, rtnl_getlink."""
    asker = request.network
    if not request.asks_for_list:
        interface, target = _asked_link(request)
        settle_all(interface.network)
        return [(_NEWLINK, link_body(interface, asker, target=target))]
    if request.body[0] == _AF_BRIDGE:
        settle_all(asker)
        return list_ports(request, POLICY)
    network, target, master, kind = _wanted_links(request)
    settle_all(network)
    links = sorted(network.interfaces.values(), key=_index_of)
    return [
        (_NEWLINK, link_body(interface, asker, target=target))
        for interface in links
        if (not master or (interface.master is not None and interface.master.index == master))
        and (kind is None or interface.kind == kind)
    ]


def _asked_link(request: Request) -> tuple[Interface, bytes | None]:
    """The link, and the number of another network where it is. Raises EINVAL, EACCES, ENODEV.

    Linux: net/core/rtnetlink.c, rtnl_valid_getlink_req.
    """
    if len(request.body) < Ifinfomsg.SIZE:
        raise EINVAL("Invalid header for get link", TOLD)
    header = _header(request)
    if not request.is_strict:
        found = _link_attributes(request)
    else:
        if request.body[1] or header.ifi_type or header.ifi_flags or header.ifi_change:
            raise EINVAL("Invalid values in header for get link request", TOLD)
        found = checked_attributes(request, Ifinfomsg.SIZE, POLICY, is_strict=True)
        for kind in sorted(found):
            if kind not in (_NAME, _ALT_NAME, _EXTENSIONS, _TARGET_NETNSID):
                raise EINVAL("Unsupported attribute in get link request", TOLD)
    interface = find_link(asked_network(request, found, _TARGET_NETNSID), header, found)
    if interface is None:
        raise ENODEV
    return interface, found.get(_TARGET_NETNSID)


def _wanted_links(request: Request) -> tuple[Network, bytes | None, int, bytes | None]:
    """Which links are asked for: by their network, and its number if it isn't the asker's; by their master,
    and by their kind. Raises EINVAL, EACCES. Linux: net/core/rtnetlink.c, rtnl_valid_dump_ifinfo_req."""
    if request.is_strict:
        if len(request.body) < Ifinfomsg.SIZE:
            raise EINVAL("Invalid header for link dump", TOLD)
        header = _header(request)
        if request.body[1] or header.ifi_type or header.ifi_flags or header.ifi_change:
            raise EINVAL("Invalid values in header for link dump request", TOLD)
        if header.ifi_index:
            raise EINVAL("Filter by device index not supported for link dumps", TOLD)
        found = checked_attributes(request, Ifinfomsg.SIZE, POLICY, is_strict=True)
    else:
        # Older programs sent a struct rtgenmsg alone.
        size = Ifinfomsg.SIZE if len(request.body) >= Ifinfomsg.SIZE else 1
        try:
            found = checked_attributes(request, size, POLICY)
        except (EINVAL, ERANGE) as error:
            request.blamed, request.note = 0, error.reason
            return request.network, None, 0, None
    network = asked_network(request, found, _TARGET_NETNSID)
    if request.is_strict:
        for name in sorted(found):
            if name not in (_TARGET_NETNSID, _EXTENSIONS, _MASTER, _LINK_INFORMATION):
                raise EINVAL("Unsupported attribute in link dump request", TOLD)
    master = number_in(found, _MASTER) or 0
    kind = text_in(nested_in(found.get(_LINK_INFORMATION, b"")), _INFO_KIND)
    if kind is not None and kind != TUN and kind not in KINDS:
        kind = None
    request.is_filtered = bool(master) or kind is not None
    return network, found.get(_TARGET_NETNSID), master, kind


def _index_of(interface: Interface) -> int:
    return interface.index


def new_link(request: Request) -> None:
    """RTM_NEWLINK. Raises EEXIST, ENODEV, EOPNOTSUPP, EINVAL ...

    Linux: net/core/rtnetlink.c, __rtnl_newlink.
    """
    network = request.network
    header = _header(request)
    found = _link_attributes(request)
    information = nested_in(found.get(_LINK_INFORMATION, b""))
    kind = text_in(information, _INFO_KIND)
    name = text_in(found, _NAME)
    if kind == TUN:
        raise EOPNOTSUPP("tun/tap creation via rtnetlink is not supported.", TOLD)
    check_kind(request, kind)
    if kind in KINDS:
        check_hardware_address(found)
    mtu = number_in(found, _MTU)
    if kind == VETH and mtu is not None and not LEAST_MTU <= mtu <= LARGEST_MTU:
        raise EINVAL("the size of a packet")
    interface: Interface | None = None
    if header.ifi_index < 0:
        raise EINVAL("ifindex can't be negative", TOLD)
    if header.ifi_index > 0 or name is not None or _ALT_NAME in found:
        interface = find_link(network, header, found)
    if interface is not None:
        if request.has(NetlinkFlag.NLM_F_EXCL):
            raise EEXIST("there is such an interface")
        if request.has(NetlinkFlag.NLM_F_REPLACE):
            raise EOPNOTSUPP("interfaces aren't replaced")
        change_kind(request, interface, kind, information)
        _change(request, header, found, interface)
        return
    if not request.has(NetlinkFlag.NLM_F_CREATE):
        if header.ifi_index or name is not None or _ALT_NAME in found or _GROUP not in found:
            raise ENODEV
        # All of a group are meant. Linux: net/core/rtnetlink.c, rtnl_group_changelink.
        group = number_in(found, _GROUP)
        for each in [each for each in network.interfaces.values() if each.group == group]:
            _change(request, header, found, each)
        return
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
            data = nested_in(information.get(_INFO_DATA, b"")).get(VETH_INFO_PEER)
            peer_header, peer_found = Ifinfomsg(), dict[int, bytes]()
            if data is not None:
                peer_header = Ifinfomsg.unpack_from(data)
                peer_found = nested_in(data[Ifinfomsg.SIZE :])
            peer_home = target_network(request, peer_found) or home
            # The peer comes first.
            peer = _make(peer_home, kind, peer_header, peer_found)
            peer.queues = veth_queues(peer_found, found, home.host.processor_count)
            made.append(peer)
            interface = _make(home, kind, header, found)
            made.append(interface)
            interface.queues = veth_queues(found, found, home.host.processor_count)
            join(interface, peer)
            peer.network.device_event(peer, b"add")
            peer.network.link_changed(peer, change=ALL_FLAGS)
            _finish(peer_header, peer_found, peer)
        else:
            interface = _make(home, kind, header, found)
            made.append(interface)
            if kind == BRIDGE and _INFO_DATA in information:
                change_bridge(interface, information[_INFO_DATA])
        tell_of_new(interface, _told_cause(request))
        _finish(header, found, interface)
    except Exception:
        for interface in made:
            if interface.network.interfaces.get(interface.index) is interface:
                delete_interface(interface)
        raise


def check_hardware_address(found: dict[int, bytes]) -> None:
    """Raise EINVAL or EADDRNOTAVAIL for what no Ethernet interface has. Linux: drivers/net/veth.c,
    veth_validate; net/bridge/br_netlink.c, br_validate."""
    address = found.get(_ADDRESS)
    if address is None:
        return
    if len(address) != 6:
        raise EINVAL("no hardware address")
    if address[0] & 1 or not any(address):
        raise EADDRNOTAVAIL("the hardware address of nobody alone")


def _make(network: Network, kind: bytes, header: Ifinfomsg, found: dict[int, bytes]) -> Interface:
    check_hardware_address(found)
    queues = said_queues(found)
    mtu = signed_in(found, _MTU)
    if mtu is not None:
        check_mtu(kind, mtu)
    address = found.get(_ADDRESS, b"")
    name = text_in(found, _NAME)
    if name == b"":
        raise EINVAL("an empty name")
    index = header.ifi_index
    if index < 0:
        raise EINVAL("a negative index")
    interface = make_interface(network, kind, name or kind + b"%d", index, address)
    interface.name_origin = NAMED_BY_NUMBER if name is None else NAMED_BY_USER
    interface.queues = queues
    if _OPERATIONAL_STATE in found:
        interface.choose_state(found[_OPERATIONAL_STATE][0])
    return interface


def _finish(header: Ifinfomsg, found: dict[int, bytes], interface: Interface) -> None:
    mtu = signed_in(found, _MTU)
    if mtu is not None:
        set_mtu(interface, mtu)
    length = number_in(found, _QUEUE_LENGTH)
    if length is not None:
        interface.queue_length = length
    group = number_in(found, _GROUP)
    if group is not None:
        interface.group = group
    set_segments(interface, found)
    if _LINK_MODE in found:
        interface.link_mode = found[_LINK_MODE][0]
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
    check_segments(interface, found)
    for kind in (_ADDRESS, _BROADCAST):
        # Linux: net/core/rtnetlink.c, validate_linkmsg.
        if kind in found and len(found[kind]) < len(interface.hardware_address):
            raise EINVAL("too few bytes for a hardware address")
    name = text_in(found, _NAME) if header.ifi_index > 0 else None
    if home is not None:
        move(interface, home, name or b"", signed_in(found, _NEW_INDEX) or 0)
        name = None
    address = found.get(_ADDRESS)
    if address is not None:
        set_hardware_address(interface, address)
    mtu = signed_in(found, _MTU)
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
        interface.alias = alias.split(b"\0", 1)[0][:LONGEST_ALIAS]
        interface.network.link_changed(interface)
    broadcast = found.get(_BROADCAST)
    if broadcast is not None:
        set_broadcast_hardware_address(interface, broadcast)
    if header.ifi_flags or header.ifi_change:
        set_flags(interface, header.ifi_flags, header.ifi_change)
    master = number_in(found, _MASTER)
    if master is not None:
        _set_master(interface, master)
    if _CARRIER in found:
        change_carrier(interface, has_carrier=bool(found[_CARRIER][0]))
    length = number_in(found, _QUEUE_LENGTH)
    if length is not None:
        set_queue_length(interface, length)
    set_segments(interface, found)
    if _OPERATIONAL_STATE in found:
        set_operational_state(interface, found[_OPERATIONAL_STATE][0])
    mode = found.get(_LINK_MODE)
    if mode is not None:
        is_other, interface.link_mode = interface.link_mode != mode[0], mode[0]
        if is_other:
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
    found = _link_attributes(request)
    interface = find_link(asked_network(request, found, _TARGET_NETNSID), header, found)
    if interface is None:
        raise ENODEV
    if interface.kind == LOOPBACK:
        raise EOPNOTSUPP("the loopback stays")
    delete_interface(interface, _told_cause(request))


def _told_cause(request: Request) -> Cause:
    """By what an interface was made or deleted, as it's told only where the asker hears it too."""
    return request.cause if request.has(NetlinkFlag.NLM_F_ECHO) else NO_REQUEST


def link_message(interface: Interface, asker: Network, *, is_there: bool, change: int) -> Message:
    """What listeners are told."""
    kind = RouteMessageType.RTM_NEWLINK if is_there else RouteMessageType.RTM_DELLINK
    return int(kind), link_body(interface, asker, change=change)
