"""RTM_NEWADDRLABEL and its kin: labels of nets of IPv6 (ip-addrlabel(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EEXIST, EINVAL, EOPNOTSUPP, ESRCH, TOLD
from procession.abi.netlink import AddressLabelAttribute, Ifaddrlblmsg, NetlinkFlag, RouteMessageType
from procession.net.internet.address import AF_INET6
from procession.net.internet.address_label import Label
from procession.net.internet.routing import masked
from procession.net.netlink.attributes import Answer, Message, Request, attribute, number, number_in
from procession.net.netlink.policy import Policy, at_least, checked_attributes

if TYPE_CHECKING:
    from procession.net.network import Network

_NEW, _DEL = int(RouteMessageType.RTM_NEWADDRLABEL), int(RouteMessageType.RTM_DELADDRLABEL)
GETADDRLABEL = int(RouteMessageType.RTM_GETADDRLABEL)
ADDRESS_LABELS = (_NEW, _DEL, GETADDRLABEL)
_ADDRESS, _LABEL = int(AddressLabelAttribute.IFAL_ADDRESS), int(AddressLabelAttribute.IFAL_LABEL)
_POLICY = Policy({_ADDRESS: at_least(16), _LABEL: at_least(4)}, _LABEL)
_BITS, _NO_LABEL = 128, 0xFFFFFFFF


def _told(network: Network, label: Label) -> Message:
    """Linux: net/ipv6/addrlabel.c, ip6addrlbl_fill."""
    header = Ifaddrlblmsg(
        *(AF_INET6, 0, label.prefix_length, 0, label.interface_index, network.labels.change_count)
    )
    told = attribute(_ADDRESS, label.net) + attribute(_LABEL, number(label.label))
    return _NEW, header.pack() + told


def answer_of_label(request: Request) -> Answer:
    """Raises EINVAL, EOPNOTSUPP, EEXIST, ESRCH, ENOBUFS. Linux: net/ipv6/addrlabel.c, ip6addrlbl_dump,
    ip6addrlbl_get, ip6addrlbl_newdel."""
    network = request.network
    if request.body[0] != AF_INET6:
        request.is_listing = False
        raise EOPNOTSUPP("only IPv6 has labels")
    if request.is_listing:
        _check_list(request)
        return [_told(network, label) for label in network.labels.labels]
    if len(request.body) < Ifaddrlblmsg.SIZE:
        raise EINVAL("no header")
    header = Ifaddrlblmsg.unpack_from(request.body)
    found = checked_attributes(request, Ifaddrlblmsg.SIZE, _POLICY)
    is_question = request.kind == GETADDRLABEL
    length = header.ifal_prefixlen
    if header.ifal_family != AF_INET6 or length > _BITS or (is_question and length != _BITS):
        raise EINVAL("no net of IPv6")
    index = header.ifal_index
    if index and request.kind != _DEL and index not in network.interfaces:
        raise EINVAL("no such interface")
    if _ADDRESS not in found:
        raise EINVAL("an address is needed")
    address = found[_ADDRESS][:16]
    if is_question:
        called = network.labels.find(address, index)
        if called is None:
            raise ESRCH("nobody has called it anything")
        return [_told(network, called)]
    label = number_in(found, _LABEL)
    if label is None or label == _NO_LABEL:
        raise EINVAL("a label is needed")
    _change(request, Label(masked(address, length), length, label, index))
    return []


def _check_list(request: Request) -> None:
    if not request.is_strict:
        return
    if len(request.body) < Ifaddrlblmsg.SIZE:
        raise EINVAL("IPv6: Invalid header for address label dump request", TOLD)
    if any(request.body[1 : Ifaddrlblmsg.SIZE]):
        raise EINVAL("IPv6: Invalid values in header for address label dump request", TOLD)
    if len(request.body) > Ifaddrlblmsg.SIZE:
        raise EINVAL("IPv6: Invalid data after header for address label dump request", TOLD)


def _change(request: Request, label: Label) -> None:
    network = request.network
    labels = network.labels
    network.host.clock.spend_looking(len(labels.labels))
    place = labels.place_of(label)
    if request.kind == _DEL:
        if place is None:
            raise ESRCH("no such label")
        labels.remove(place)
        network.account_address(-1)
    elif place is None:
        network.account_address(1)
        labels.add(label)
    elif request.has(NetlinkFlag.NLM_F_REPLACE):
        labels.labels[place] = label
        labels.change_count += 1
    else:
        raise EEXIST("there is one")
    network.topology_changed()
