"""Who hears a frame: the interfaces that a veth or a bridge leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.net.link.bridge import passes_up, ports_to, takes_in
from procession.net.link.interface import BRIDGE, TUN, VETH

if TYPE_CHECKING:
    from procession.net.link.interface import Interface


class Hearer(NamedTuple):
    """An interface whose network gets a frame, with those that send and receive it on the way there."""

    interface: Interface
    senders: tuple[Interface, ...]
    receivers: tuple[Interface, ...]


class Reach(NamedTuple):
    """Who hears what an interface sends to all, nearest first: `hearers`, and programs behind `devices`."""

    hearers: list[Hearer]
    devices: list[Interface]


def reach(start: Interface, target: bytes = b"") -> Reach:
    """Everybody who hears what `start` sends to the hardware address `target`, to all by default.

    A bridge passes a frame on to its other ports, the newest first, and hears it itself. No port sends one
    twice, as if a spanning tree kept bridges from loops. Linux: drivers/net/veth.c, veth_xmit;
    net/bridge/br_input.c, br_handle_frame_finish.
    """
    found: list[Hearer] = []
    devices: list[Interface] = []
    seen: set[Interface] = set()
    waiting: list[tuple[Interface, tuple[Interface, ...], tuple[Interface, ...]]] = [(start, (), ())]
    for sender, earlier, received in waiting:
        if sender in seen or not sender.is_up:
            continue
        seen.add(sender)
        senders = (*earlier, sender)
        if sender.kind == BRIDGE:
            waiting += [(port, senders, received) for port in ports_to(sender, None, target)]
            continue
        if sender.kind == TUN:
            devices.append(sender)
            continue
        peer = sender.peer
        if sender.kind != VETH or peer is None or not peer.is_up:
            continue
        receivers = (*received, peer)
        bridge = peer.master
        if bridge is None:
            found.append(Hearer(peer, senders, receivers))
        elif bridge.is_up and takes_in(peer):
            if passes_up(bridge, target):
                found.append(Hearer(bridge, senders, (*receivers, bridge)))
            waiting += [(port, senders, receivers) for port in ports_to(bridge, peer, target)]
    return Reach(found, devices)
