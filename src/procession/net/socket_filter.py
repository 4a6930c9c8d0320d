"""Filters of packets: the programs of SO_ATTACH_FILTER, run for what arrives at a socket (socket(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from procession.abi.bpf import BpfClass, BpfMode, BpfSize, SockFilter
from procession.abi.errno import EINVAL, ENOENT, ENOMEM, EPERM
from procession.abi.internet import ETHERTYPES
from procession.abi.named_tuple import NamedTuple
from procession.abi.socket import SocketOption
from procession.abi.word import pack_port
from procession.hardware.kernel_memory import INSTRUCTION_BYTES, SOCKET
from procession.hardware.physical_memory import OutOfFrames
from procession.net.bpf import START, Program, Suspension, check_program, run

if TYPE_CHECKING:
    from procession.net.network import Network
    from procession.net.socket import Socket

_SO_LOCK_FILTER = int(SocketOption.SO_LOCK_FILTER)
_ANCILLARY, _NETWORK, _LINK = 0xFFFFF000, 0xFFF00000, 0xFFE00000
"""SKF_AD_OFF, SKF_NET_OFF, SKF_LL_OFF."""
_RANDOM, _XOR, _PROTOCOL, _INTERFACE, _HARDWARE, _PROCESSOR = 56, 40, 0, 8, 28, 36
_LINK_HEADER_BYTES = 14
_WIDTHS = {int(BpfSize.BPF_W): 4, int(BpfSize.BPF_H): 2, int(BpfSize.BPF_B): 1}
_ARPHRD_LOOPBACK = 772
_WORD = 0xFFFFFFFF
_LDX = int(BpfClass.BPF_LDX)
_ABSOLUTE, _INDIRECT, _LENGTH = int(BpfMode.BPF_ABS), int(BpfMode.BPF_IND), int(BpfMode.BPF_LEN)
_NO_WORDS: tuple[int, ...] = ()


class Filtered(Protocol):
    """What gets packets that a program has let through: a socket, or a tap's queue."""

    network: Network


class FilteredPacket(NamedTuple):
    """What a program may look at (in Linux, struct sk_buff).

    `data` is what it calls the packet, of which `network` is all from the header of IP on, b"" for what has
    none; `address_bytes` is 4 or 16 by the protocol, 0 for neither.
    """

    data: bytes
    network: bytes = b""
    address_bytes: int = 0
    interface_index: int = 0


def attach_filter(socket: Socket, instructions: list[SockFilter]) -> None:
    """Filter what arrives at `socket` from now on. Raises EPERM, EINVAL, ENOMEM.

    The program's length has been checked. Linux: net/core/filter.c, sk_attach_filter.
    """
    socket.network.host.clock.spend_checking(len(instructions))
    check_program(instructions)
    program = tuple((each.code, each.jt, each.jf, each.k) for each in instructions)
    charge_program(socket, program, instead_of=socket.filter)
    socket.filter = program


def copy_filter(socket: Socket, new: Socket) -> None:
    """A new connection has its listener's filter, if there is memory for it."""
    program = socket.filter
    if program is not None:
        size, account = len(program) * INSTRUCTION_BYTES, new.network.system.account
        if account.can_charge(size):
            account.charge(SOCKET, size)
            new.filter = program


def check_unlocked(socket: Socket) -> None:
    """Raise EPERM if the filter mustn't be changed any more."""
    if socket.options.get(_SO_LOCK_FILTER):
        raise EPERM("the filter is locked (SO_LOCK_FILTER)")


def detach_filter(socket: Socket) -> None:
    """Filter no more. Raises ENOENT, EPERM. Linux: net/core/filter.c, sk_detach_filter."""
    check_unlocked(socket)
    if socket.filter is None:
        raise ENOENT("no filter")
    drop_filter(socket)


def drop_filter(socket: Socket) -> None:
    """The filter is gone, if there was one."""
    charge_program(socket, None, instead_of=socket.filter)
    socket.filter = None


def charge_program(socket: Filtered, program: Program | None, *, instead_of: Program | None) -> None:
    """Charge `socket` for a program in place of another, which is charged no more. Raises ENOMEM, nothing
    changed.
    """
    account = socket.network.system.account
    if program is not None:
        try:
            account.charge(SOCKET, len(program) * INSTRUCTION_BYTES)
        except OutOfFrames:
            raise ENOMEM from None
    if instead_of is not None:
        account.uncharge(SOCKET, len(instead_of) * INSTRUCTION_BYTES)


def told_program(socket: Socket, room: int) -> tuple[bytes, int]:
    """SO_GET_FILTER: the program, and how many instructions it has; `room` is for so many, 0 to ask.

    Raises EINVAL. Linux: net/core/filter.c, sk_get_filter.
    """
    program = socket.filter
    if program is None:
        return b"", 0
    count = len(program)
    if not room:
        return b"", count
    if room < count:
        raise EINVAL(f"room for {room} of {count} instructions")
    socket.network.host.clock.spend_checking(count)
    return b"".join(SockFilter(*each).pack() for each in program), count


def set_reuse_program(socket: Socket, program: Program | None) -> None:
    """Let `program`, which has been checked, choose among those that share the port of `socket`, to which
    it's charged as well; None for none. Raises ENOMEM.
    """
    charge_program(socket, program, instead_of=socket.reuse_program)
    socket.reuse_program = program


def accepted_bytes(socket: Socket, packet: FilteredPacket) -> int:
    """How many bytes of a packet `socket` lets in; 0 to drop it.

    Linux: net/core/filter.c, sk_filter_trim_cap.
    """
    program = socket.filter
    assert program is not None
    return run_program(socket, program, packet)


def run_program(socket: Filtered, program: Program, packet: FilteredPacket) -> int:
    """What a program returns for a packet: 0 where it looks beyond its end."""
    state = START
    clock = socket.network.host.clock
    while True:
        answer, steps = run(program, _NO_WORDS, 0, state)
        if isinstance(answer, int):
            clock.spend_stepping(steps)
            return answer
        clock.spend_stepping(steps, 1)
        after = _load(socket, packet, program, answer)
        if after is None:
            return 0
        state = after


def _load(socket: Filtered, packet: FilteredPacket, program: Program, at: Suspension) -> Suspension | None:
    """Where the program stands after a load; None for one beyond the packet."""
    code, _, _, operand = program[at.position]
    a, x = at.a, at.x
    mode = code & 0xE0
    if mode == _LENGTH:
        value = len(packet.data)
    elif mode in (_ABSOLUTE, _INDIRECT):
        if mode == _ABSOLUTE and operand >= _ANCILLARY:
            value = _ancillary(socket, packet, operand - _ANCILLARY, at)
        else:
            found = _bytes_at(
                packet, (operand + x) & _WORD if mode == _INDIRECT else operand, _WIDTHS[code & 0x18]
            )
            if found is None:
                return None
            value = found
    else:
        found = _bytes_at(packet, operand, 1)
        if found is None:
            return None
        return Suspension(at.position + 1, a, (found & 15) << 2, at.memory)
    if code & 7 == _LDX:
        return Suspension(at.position + 1, a, value, at.memory)
    return Suspension(at.position + 1, value, x, at.memory)


def _bytes_at(packet: FilteredPacket, offset: int, width: int) -> int | None:
    """The big-endian number there, None beyond the packet.

    Linux: net/core/filter.c, bpf_skb_load_helper_convert_offset.
    """
    data = packet.data
    if offset >= _LINK:
        if not packet.network:
            return None
        data = packet.network
        if offset >= _NETWORK:
            offset -= _NETWORK
        else:
            offset -= _LINK
            data = bytes(_LINK_HEADER_BYTES - 2) + pack_port(ETHERTYPES[packet.address_bytes]) + data
    if offset + width > len(data):
        return None
    return int.from_bytes(data[offset : offset + width], "big")


def _ancillary(socket: Filtered, packet: FilteredPacket, which: int, at: Suspension) -> int:
    """What isn't in the packet (SKF_AD_*); of most there is nothing to say here."""
    if which == _RANDOM:
        return int.from_bytes(socket.network.host.random_bytes(4), "little")
    if which == _XOR:
        return at.a ^ at.x
    if which == _PROCESSOR:
        return socket.network.host.processor
    if which == _PROTOCOL:
        return ETHERTYPES.get(packet.address_bytes, 0)
    if which == _INTERFACE:
        return packet.interface_index
    if which == _HARDWARE:
        return _ARPHRD_LOOPBACK if packet.interface_index == 1 else int(packet.interface_index != 0)
    return 0
