"""IFLA_LINKINFO: what kind of interface one is, and what belongs to the kind (ip-link(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.netlink import LinkInformation
from procession.abi.tun import TunAttribute, TunFlag
from procession.abi.word import pack_u8
from procession.net.netlink.attributes import attribute, number
from procession.net.netlink.bridge_options import bridge_data
from procession.net.netlink.bridge_ports import port_data

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.network import Network
    from procession.net.tun.device import TunDevice

_KIND, _DATA = int(LinkInformation.IFLA_INFO_KIND), int(LinkInformation.IFLA_INFO_DATA)
_SLAVE_KIND = int(LinkInformation.IFLA_INFO_SLAVE_KIND)
_SLAVE_DATA = int(LinkInformation.IFLA_INFO_SLAVE_DATA)
_TUN_KINDS = int(TunFlag.IFF_TUN | TunFlag.IFF_TAP)


def link_information(interface: Interface, asker: Network) -> bytes:
    """What a network that asks is told of an interface. Linux: net/core/rtnetlink.c, rtnl_link_fill."""
    information = attribute(_KIND, interface.kind + b"\0")
    if interface.tun is not None:
        information += attribute(_DATA, _tun_data(interface.tun, asker))
    if interface.bridge is not None:
        information += attribute(_DATA, bridge_data(interface))
    if interface.master is not None:
        information += attribute(_SLAVE_KIND, interface.master.kind + b"\0")
        information += attribute(_SLAVE_DATA, port_data(interface))
    return information


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
