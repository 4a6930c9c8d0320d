"""How interfaces queue packets (tc(8)): by noqueue, which each has that was ever up. No other discipline is
built, nor are classes, filters, chains and actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENODEV, ENOENT, TOLD
from procession.abi.netlink import QueueingAttribute, QueueingStatistic, RouteMessageType, Tcmsg
from procession.abi.word import pack_u8
from procession.net.netlink.attributes import Answer, Message, Request, attribute

if TYPE_CHECKING:
    from procession.net.link.interface import Interface

_NEWQDISC, _DELQDISC = int(RouteMessageType.RTM_NEWQDISC), int(RouteMessageType.RTM_DELQDISC)
_NEWTFILTER, _GETTFILTER = int(RouteMessageType.RTM_NEWTFILTER), int(RouteMessageType.RTM_GETTFILTER)
_DELTFILTER, _GETQDISC = int(RouteMessageType.RTM_DELTFILTER), int(RouteMessageType.RTM_GETQDISC)
DISCIPLINES = (_NEWQDISC, _DELQDISC, _GETQDISC)
CLASSES = tuple(
    int(kind)
    for kind in (
        RouteMessageType.RTM_NEWTCLASS,
        RouteMessageType.RTM_DELTCLASS,
        RouteMessageType.RTM_GETTCLASS,
    )
)
FILTERS = (_NEWTFILTER, _DELTFILTER, _GETTFILTER)
_ROOT, _INGRESS = 0xFFFF_FFFF, 0xFFFF_FFF1
_HOLDERS = 2
"""tcm_info: who refers to one, as far as Linux's interfaces of one queue have it."""
_QUEUE_BYTES, _BYTES_AND_PACKETS, _ALL_BYTES = 20, 16, 40
"""The structs gnet_stats_queue, gnet_stats_basic and tc_stats, in which nothing has been counted."""


def _told(interface: Interface) -> Message:
    """What is told of noqueue (in Linux, tc_fill_qdisc)."""
    header = Tcmsg(tcm_ifindex=interface.index, tcm_parent=_ROOT, tcm_info=_HOLDERS).pack()
    counted = attribute(int(QueueingStatistic.TCA_STATS_BASIC), bytes(_BYTES_AND_PACKETS))
    counted += attribute(int(QueueingStatistic.TCA_STATS_QUEUE), bytes(_QUEUE_BYTES))
    return _NEWQDISC, b"".join(
        (
            header,
            attribute(int(QueueingAttribute.TCA_KIND), interface.queueing_discipline + b"\0"),
            attribute(int(QueueingAttribute.TCA_HW_OFFLOAD), pack_u8(0)),
            attribute(int(QueueingAttribute.TCA_STATS2), counted),
            attribute(int(QueueingAttribute.TCA_STATS), bytes(_ALL_BYTES)),
        )
    )


def answer_of_discipline(request: Request) -> Answer:
    """RTM_GETQDISC and its kin (in Linux, tc_dump_qdisc, tc_get_qdisc, tc_modify_qdisc).

    Raises EINVAL, ENODEV, ENOENT.
    """
    network = request.network
    if len(request.body) < Tcmsg.SIZE:
        raise EINVAL("Invalid header length", TOLD)
    if request.is_listing:
        return [_told(found) for found in network.interfaces.values() if found.was_up]
    header = Tcmsg.unpack_from(request.body)
    if header.tcm_ifindex not in network.interfaces:
        raise ENODEV("no such interface")
    if request.kind == _NEWQDISC:
        raise ENOENT("Specified qdisc kind is unknown", TOLD)
    if header.tcm_parent == _INGRESS:
        raise ENOENT("Cannot find specified qdisc on specified device", TOLD)
    if not header.tcm_parent:
        raise ENOENT("Failed to find qdisc with specified handle", TOLD)
    if header.tcm_parent != _ROOT:
        raise ENOENT("Failed to find qdisc with specified classid", TOLD)
    if header.tcm_handle:
        raise EINVAL("Invalid handle", TOLD)
    if request.kind == _DELQDISC:
        raise ENOENT("Cannot delete qdisc with handle of zero", TOLD)
    # Noqueue has no handle, and isn't told to who asks for one.
    return []


def answer_of_class(request: Request) -> Answer:
    """RTM_GETTCLASS and its kin (in Linux, tc_ctl_tclass). Raises EINVAL, ENODEV, ENOENT."""
    if request.is_listing:
        return []
    _interface_of(request)
    raise ENOENT("no discipline has classes")


def answer_of_filter(request: Request) -> Answer:
    """RTM_GETTFILTER and its kin (in Linux, tc_new_tfilter). Raises EINVAL, ENODEV, ENOENT."""
    if request.is_listing:
        return []
    header = _interface_of(request)
    if request.kind == _GETTFILTER and not header.tcm_info >> 16:
        raise ENOENT("Invalid filter command with priority of zero", TOLD)
    raise EINVAL("Qdisc not classful", TOLD)


def _interface_of(request: Request) -> Tcmsg:
    if len(request.body) < Tcmsg.SIZE:
        raise EINVAL("Invalid header length", TOLD)
    header = Tcmsg.unpack_from(request.body)
    if header.tcm_ifindex not in request.network.interfaces:
        raise ENODEV("no such interface")
    return header
