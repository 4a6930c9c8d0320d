"""Groups of packet sockets that share frames: each goes to one of them (PACKET_FANOUT, packet(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EALREADY, EINVAL, ENOSPC
from procession.abi.packet import FanoutFlag, FanoutKind

if TYPE_CHECKING:
    from procession.net.packet.socket import PacketSocket

_MOST_MEMBERS = 256
_HASH, _BY_TURNS = int(FanoutKind.PACKET_FANOUT_HASH), int(FanoutKind.PACKET_FANOUT_LB)
_ROLLOVER, _RANDOM = int(FanoutKind.PACKET_FANOUT_ROLLOVER), int(FanoutKind.PACKET_FANOUT_RND)
_KINDS = (
    *(_HASH, _BY_TURNS, int(FanoutKind.PACKET_FANOUT_CPU), _ROLLOVER, _RANDOM),
    int(FanoutKind.PACKET_FANOUT_QM),
)
_ROLLS_OVER = int(FanoutFlag.PACKET_FANOUT_FLAG_ROLLOVER)
_IGNORES_OUTGOING = int(FanoutFlag.PACKET_FANOUT_FLAG_IGNORE_OUTGOING)


class FanoutGroup:
    """A group (Linux: net/packet/internal.h, struct packet_fanout).

    `kind` says who gets a frame, `flags` are PACKET_FANOUT_FLAG_* shifted down, as getsockopt(2) has them;
    `turn` counts the frames. All members hear the same protocol at the same interface.
    """

    __slots__ = ("flags", "kind", "members", "number", "turn")

    def __init__(self, number: int, kind: int, flags: int) -> None:
        self.number = number
        self.kind = kind
        self.flags = flags
        self.members: list[PacketSocket] = []
        self.turn = 0

    def choose(self, header: bytes, whole: bytes, *, is_out: bool) -> PacketSocket | None:
        """Who gets a frame. Linux: net/packet/af_packet.c, packet_rcv_fanout."""
        members = self.members
        if is_out and self.flags & _IGNORES_OUTGOING:
            return None
        self.turn += 1
        if self.kind == _BY_TURNS:
            place = self.turn
        elif self.kind == _HASH:
            # The same for both ways.
            place = sum(header[:12]) + sum(whole[12:24])
        elif self.kind == _RANDOM:
            place = members[0].network.host.random_bytes(1)[0]
        else:
            # By processor and by queue it's always the first: all is sent on one of each.
            place = 0
        chosen = members[place % len(members)]
        if self.kind == _ROLLOVER or self.flags & _ROLLS_OVER:
            chosen = next((member for member in (chosen, *members) if member.has_room), chosen)
        return chosen


def join_group(socket: PacketSocket, number: int) -> None:
    """PACKET_FANOUT. Raises EINVAL, EALREADY, ENOSPC. Linux: net/packet/af_packet.c, fanout_add."""
    identity, kind, flags = number & 0xFFFF, number >> 16 & 0xFF, number >> 16 & 0xFF00
    if kind not in _KINDS or (kind == _ROLLOVER and flags & _ROLLS_OVER):
        raise EINVAL("no such kind of group")
    if socket.fanout is not None:
        raise EALREADY("the socket is in a group")
    if not socket.protocol:
        raise EINVAL("the socket hears nothing")
    groups = (member.fanout for member in socket.network.packet_sockets)
    found = next((group for group in groups if group is not None and group.number == identity), None)
    if found is None:
        found = FanoutGroup(identity, kind, flags)
    else:
        other = found.members[0]
        same = (found.kind, found.flags, other.protocol, other.interface_index)
        if same != (kind, flags, socket.protocol, socket.interface_index):
            raise EINVAL("another kind of group")
    if len(found.members) >= _MOST_MEMBERS:
        raise ENOSPC("the group is full")
    found.members.append(socket)
    socket.fanout = found


def leave_group(socket: PacketSocket) -> None:
    """The socket is closed."""
    group, socket.fanout = socket.fanout, None
    if group is not None:
        group.members.remove(socket)
