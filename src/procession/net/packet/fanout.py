"""Groups of packet sockets that share frames: each goes to one of them (PACKET_FANOUT, packet(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EALREADY, EINVAL, ENOMEM, ENOSPC
from procession.abi.packet import FanoutFlag, FanoutKind
from procession.net.bpf import check_program
from procession.net.socket_filter import FilteredPacket, charge_program, check_unlocked, run_program

if TYPE_CHECKING:
    from procession.abi.bpf import SockFilter
    from procession.net.bpf import Program
    from procession.net.packet.socket import PacketSocket

_MOST_MEMBERS, _MOST_OF_ALL = 256, 1 << 16
"""How many a group may have where nothing is said, and where it's said."""
_NUMBER_BYTES = 4
_LAST_NUMBER = 0xFFFF
_LARGE_PRIME, _SPREAD = 4_294_967_291, 2_654_435_761
_HASH, _BY_TURNS = int(FanoutKind.PACKET_FANOUT_HASH), int(FanoutKind.PACKET_FANOUT_LB)
_ROLLOVER, _RANDOM = int(FanoutKind.PACKET_FANOUT_ROLLOVER), int(FanoutKind.PACKET_FANOUT_RND)
_BY_PROGRAM, BY_EBPF = int(FanoutKind.PACKET_FANOUT_CBPF), int(FanoutKind.PACKET_FANOUT_EBPF)
_KINDS = (
    *(_HASH, _BY_TURNS, int(FanoutKind.PACKET_FANOUT_CPU), _ROLLOVER, _RANDOM),
    # A program of eBPF can't be given: then the first has all.
    *(int(FanoutKind.PACKET_FANOUT_QM), _BY_PROGRAM, BY_EBPF),
)
_ROLLS_OVER = int(FanoutFlag.PACKET_FANOUT_FLAG_ROLLOVER)
_UNIQUE = int(FanoutFlag.PACKET_FANOUT_FLAG_UNIQUEID)
_IGNORES_OUTGOING = int(FanoutFlag.PACKET_FANOUT_FLAG_IGNORE_OUTGOING)


class FanoutGroup:
    """A group of up to `most_members` (Linux: net/packet/internal.h, struct packet_fanout).

    `kind` says who gets a frame, `flags` are PACKET_FANOUT_FLAG_* shifted down, as getsockopt(2) has them;
    `turn` counts the frames, `rolled_to` is the place of who took the last one that another had no room for,
    and `program` chooses (PACKET_FANOUT_CBPF). All members hear the same protocol at the same interface.
    """

    __slots__ = ("flags", "kind", "members", "most_members", "number", "program", "rolled_to", "turn")

    def __init__(self, number: int, kind: int, flags: int, most_members: int) -> None:
        self.most_members = most_members
        self.number = number
        self.kind = kind
        self.flags = flags
        self.members: list[PacketSocket] = []
        self.turn = 0
        self.rolled_to = 0
        self.program: Program | None = None

    def choose(self, header: bytes, whole: bytes, *, is_out: bool) -> PacketSocket | None:
        """Who gets a frame. Linux: net/packet/af_packet.c, packet_rcv_fanout."""
        members = self.members
        if is_out and self.flags & _IGNORES_OUTGOING:
            return None
        self.turn += 1
        if self.kind == _BY_TURNS:
            place = self.turn
        elif self.kind == _HASH:
            place = _hash_of_flow(header, whole)
        elif self.kind == _RANDOM:
            place = members[0].network.host.random_bytes(1)[0]
        elif self.kind == _BY_PROGRAM:
            place = 0
            if self.program is not None:
                place = run_program(members[0], self.program, FilteredPacket(whole))
        else:
            # By processor and by queue it's always the first: all is sent on one of each.
            place = 0
        chosen = members[place % len(members)]
        if self.kind == _ROLLOVER or (self.rolls_over and not chosen.has_room):
            return self._roll_over(chosen)
        return chosen

    def _roll_over(self, chosen: PacketSocket) -> PacketSocket:
        """Who gets a frame in place of `chosen`: whoever did last time as long as there is room, then the
        others in turn; itself if nobody has any. Linux: net/packet/af_packet.c, fanout_demux_rollover.
        """
        members = self.members
        first = min(self.rolled_to, len(members) - 1)
        for step in range(len(members)):
            place = (first + step) % len(members)
            if members[place].has_room:
                self.rolled_to = place
                chosen.rolled_count += 1
                return members[place]
        chosen.unrolled_count += 1
        return chosen

    @property
    def rolls_over(self) -> bool:
        """Whether others get what one has no room for."""
        return self.kind == _ROLLOVER or bool(self.flags & _ROLLS_OVER)


def _hash_of_flow(header: bytes, whole: bytes) -> int:
    """The same for both ways of a flow, and well spread for flows whose ports lie close together.

    Linux: include/linux/skbuff.h, __skb_get_hash_symmetric.
    """
    source, target = whole[12:16] + whole[20:22], whole[16:20] + whole[22:24]
    low, high = min(source, target), max(source, target)
    value = int.from_bytes(low + high + header[12:13], "big")
    return value % _LARGE_PRIME * _SPREAD >> 8 & 0xFFFFFF


def join_group(socket: PacketSocket, value: bytes) -> None:
    """PACKET_FANOUT: which group of which kind, and how many it may have. Raises EINVAL, EALREADY, ENOSPC.

    Linux: net/packet/af_packet.c, fanout_add.
    """
    if len(value) not in (_NUMBER_BYTES, 2 * _NUMBER_BYTES):
        raise EINVAL("neither a number nor a struct fanout_args")
    number = int.from_bytes(value[:_NUMBER_BYTES], "little")
    most_members = int.from_bytes(value[_NUMBER_BYTES:], "little")
    identity, kind, flags = number & 0xFFFF, number >> 16 & 0xFF, number >> 16 & 0xFF00
    if kind not in _KINDS or (kind == _ROLLOVER and flags & _ROLLS_OVER):
        raise EINVAL("no such kind of group")
    if socket.fanout is not None:
        raise EALREADY("the socket is in a group")
    if not socket.protocol:
        raise EINVAL("the socket hears nothing")
    groups = {
        member.fanout.number: member.fanout
        for member in socket.network.packet_sockets
        if member.fanout is not None
    }
    if flags & _UNIQUE:
        if identity:
            raise EINVAL("a number, and one that nobody has")
        flags &= ~_UNIQUE
        while identity in groups:
            identity += 1
        if identity > _LAST_NUMBER:
            raise ENOMEM("every number is taken")
    found = groups.get(identity)
    if found is None:
        if most_members > _MOST_OF_ALL:
            raise EINVAL("no group is so large")
        found = FanoutGroup(identity, kind, flags, most_members or _MOST_MEMBERS)
    else:
        other = found.members[0]
        same = (found.kind, found.flags, other.protocol, other.interface_index)
        if same != (kind, flags, socket.protocol, socket.interface_index):
            raise EINVAL("another kind of group")
        if most_members not in (0, found.most_members):
            raise EINVAL("the group was made for another number")
    if len(found.members) >= found.most_members:
        raise ENOSPC("the group is full")
    found.members.append(socket)
    socket.fanout = found


def leave_group(socket: PacketSocket) -> None:
    """The socket is closed."""
    group, socket.fanout = socket.fanout, None
    if group is not None:
        group.members.remove(socket)
        if not group.members:
            charge_program(socket, None, instead_of=group.program)
            group.program = None


def kind_with_program(socket: PacketSocket) -> int:
    """The kind of its group, for which a program chooses. Raises EINVAL, EPERM. Linux:
    net/packet/af_packet.c, fanout_set_data."""
    group = socket.fanout
    if group is None or group.kind not in (_BY_PROGRAM, BY_EBPF):
        raise EINVAL("no group for which a program chooses")
    check_unlocked(socket)
    return group.kind


def attach_fanout_program(socket: PacketSocket, instructions: list[SockFilter]) -> None:
    """PACKET_FANOUT_DATA: the program that chooses. Raises EINVAL, ENOMEM.

    Linux: net/packet/af_packet.c, fanout_set_data_cbpf.
    """
    group = socket.fanout
    assert group is not None
    socket.network.host.clock.spend_checking(len(instructions))
    check_program(instructions)
    program = tuple((each.code, each.jt, each.jf, each.k) for each in instructions)
    charge_program(socket, program, instead_of=group.program)
    group.program = program
