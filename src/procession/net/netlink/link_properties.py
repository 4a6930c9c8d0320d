"""RTM_NEWLINKPROP and RTM_DELLINKPROP: the other names of an interface, by which it's found too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EEXIST, EINVAL, ENODEV, ENOENT, ERANGE, TOLD
from procession.abi.netlink import Ifinfomsg, LinkAttribute
from procession.net.netlink.attributes import ATTRIBUTE_BYTES, is_marked_as_nested, list_in
from procession.net.netlink.links import find_link, link_header

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.netlink.attributes import Request

_ALT_NAME, _PROPERTIES = int(LinkAttribute.IFLA_ALT_IFNAME), int(LinkAttribute.IFLA_PROP_LIST)
_NAME_BYTES = 128
"""The longest name with its NUL, for which room is counted (ALTIFNAMSIZ)."""
_LONGEST_LIST = 65_535


def change_properties(request: Request, *, is_new: bool) -> None:
    """Add the names of a list, or take them away, up to the first that can't be.

    Raises EINVAL, ENODEV, EEXIST, ENOENT, ERANGE, ENOBUFS. Linux: net/core/rtnetlink.c, rtnl_linkprop.
    """
    header, found = link_header(request)
    interface = find_link(request.network, header, found)
    if interface is None:
        raise ENODEV
    if _PROPERTIES in found and not is_marked_as_nested(request.body, Ifinfomsg.SIZE, _PROPERTIES):
        raise EINVAL("NLA_F_NESTED is missing", TOLD)
    properties = [data for kind, data in list_in(found.get(_PROPERTIES, b"")) if kind == _ALT_NAME]
    for data in properties:
        if is_new:
            _add_name(interface, _name_in(data))
        else:
            _remove_name(interface, _name_in(data))
    # Who listens isn't told of the names before one that can't be.
    if properties:
        interface.network.link_changed(interface)


def _name_in(data: bytes) -> bytes:
    """Linux: lib/nlattr.c, validate_nla, nla_strdup."""
    if not data or len(data.removesuffix(b"\0")) >= _NAME_BYTES:
        raise ERANGE("a name that is too long, or none")
    return data.split(b"\0", 1)[0]


def _add_name(interface: Interface, name: bytes) -> None:
    """Linux: net/core/rtnetlink.c, rtnl_alt_ifname; net/core/dev.c, netdev_name_node_alt_create."""
    count = len(interface.other_names)
    size_before = ATTRIBUTE_BYTES + count * (ATTRIBUTE_BYTES + _NAME_BYTES) if count else 0
    if size_before + ATTRIBUTE_BYTES + _NAME_BYTES >= _LONGEST_LIST:
        raise EINVAL("effective property list too long", TOLD)
    if interface.network.interface_named(name) is not None:
        raise EEXIST("another interface has this name, or this one")
    interface.network.account_names(1)
    interface.network.add_other_name(interface, name)


def _remove_name(interface: Interface, name: bytes) -> None:
    """Linux: net/core/dev.c, netdev_name_node_alt_destroy."""
    named = interface.network.interface_named(name)
    if named is None:
        raise ENOENT("no interface has this name")
    if named is not interface or name not in interface.other_names:
        raise EINVAL("the name is another's, or the first one")
    interface.network.forget_other_name(interface, name)
    interface.network.account_names(-1)
