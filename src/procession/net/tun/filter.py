"""What a tap gives to read: frames for certain stations, and of these what a filter lets through."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from procession.abi.bpf import SockFilter, SockFprog
from procession.abi.errno import EFAULT, EINVAL, ENOMEM
from procession.abi.named_tuple import NamedTuple
from procession.abi.tun import TUN_FLT_ALLMULTI, TunFilter
from procession.net.bpf import Program, check_length, check_program
from procession.net.socket_filter import FilteredPacket, charge_program, run_program

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.tun.device import TunDevice
    from procession.net.tun.file import TunFile

_ADDRESS_BYTES = 6
_MOST_EXACT = 8
"""So many addresses are compared, of those that follow only hashes (in Linux, FLT_EXACT_COUNT)."""
_ALL_HASHES = (1 << 64) - 1
_WORD = 0xFFFFFFFF
_LINK_HEADER_BYTES = 14
_ADDRESS_BYTES_OF = {b"\x08\x00": 4, b"\x86\xdd": 16}
"""By the protocol of a frame."""


class DestinationFilter(NamedTuple):
    """The stations whose frames are to be read (Linux: drivers/net/tun.c, struct tap_filter).

    `exact` are addresses; of groups' addresses bit N of `hashes` says whether those of hash N are wanted.
    """

    exact: tuple[bytes, ...]
    hashes: int

    def lets_through(self, destination: bytes) -> bool:
        """Linux: drivers/net/tun.c, run_filter."""
        if destination in self.exact:
            return True
        return _is_of_group(destination) and bool(self.hashes >> _hash_of(destination) & 1)


def _is_of_group(address: bytes) -> bool:
    return bool(address[0] & 1)


def _hash_of(address: bytes) -> int:
    """The first six bits of the checksum of Ethernet, as its hardware sorts groups by.

    Linux: include/linux/crc32.h, ether_crc.
    """
    checksum = ~zlib.crc32(address) & _WORD
    return int(f"{checksum & 0x3F:06b}"[::-1], 2)


def set_destinations(device: TunDevice, argument: int, memory: UserMemory) -> int:
    """TUNSETTXFILTER: how many addresses are compared as a whole; 0 where all frames are wanted.

    Raises EFAULT. Linux: drivers/net/tun.c, update_filter.
    """
    asked = TunFilter.unpack(memory.read(argument, TunFilter.SIZE))
    data = memory.read(argument + TunFilter.SIZE, asked.count * _ADDRESS_BYTES)
    device.interface.network.host.clock.spend_looking(asked.count)
    device.destinations = None
    addresses = [data[start : start + _ADDRESS_BYTES] for start in range(0, len(data), _ADDRESS_BYTES)]
    exact, others = addresses[:_MOST_EXACT], addresses[_MOST_EXACT:]
    if not exact or not all(map(_is_of_group, others)):
        # Too many stations to tell apart.
        return 0
    hashes = 0
    for address in others:
        hashes |= 1 << _hash_of(address)
    if asked.flags & TUN_FLT_ALLMULTI:
        hashes = _ALL_HASHES
    device.destinations = DestinationFilter(tuple(exact), hashes)
    return len(exact)


def attach_program(device: TunDevice, argument: int, memory: UserMemory) -> None:
    """TUNATTACHFILTER: let a program decide which frames each of the tap's queues gets, and how much of them.

    Who is attached later gets all. Raises EFAULT, EINVAL, ENOMEM: of the queues those before the one that
    couldn't have it are without a program then, and those after it keep theirs.

    Linux: drivers/net/tun.c, tun_attach_filter.
    """
    device.asked_program = memory.read(argument, SockFprog.SIZE)
    for position, file in enumerate(device.files):
        try:
            set_program(file, _read_program(device, memory))
        except (EFAULT, EINVAL, ENOMEM):
            _detach_first(device, position)
            raise


def detach_program(device: TunDevice) -> None:
    """TUNDETACHFILTER. Linux: drivers/net/tun.c, tun_detach_filter."""
    _detach_first(device, len(device.files))


def _detach_first(device: TunDevice, count: int) -> None:
    for file in device.files[:count]:
        set_program(file, None)


def set_program(file: TunFile, program: Program | None) -> None:
    """Filter what is to be read from `file`, or let all through. Raises ENOMEM."""
    charge_program(file, program, instead_of=file.filter)
    file.filter = program


def _read_program(device: TunDevice, memory: UserMemory) -> Program:
    """Linux: net/core/filter.c, __get_filter."""
    asked = SockFprog.unpack(device.asked_program)
    if not asked.filter:
        raise EINVAL("no program")
    check_length(asked.len)
    instructions = SockFilter.unpack_array(memory.read(asked.filter, asked.len * SockFilter.SIZE))
    device.interface.network.host.clock.spend_checking(len(instructions))
    check_program(instructions)
    return tuple((each.code, each.jt, each.jf, each.k) for each in instructions)


def accepted_part(device: TunDevice, file: TunFile, frame: bytes) -> bytes:
    """What of a frame is to be read, b"" for nothing. Linux: drivers/net/tun.c, tun_net_xmit."""
    destinations = device.destinations
    if destinations is not None and not destinations.lets_through(frame[:_ADDRESS_BYTES]):
        return b""
    if file.filter is None:
        return frame
    packet = FilteredPacket(
        frame,
        frame[_LINK_HEADER_BYTES:],
        _ADDRESS_BYTES_OF.get(frame[_LINK_HEADER_BYTES - 2 : _LINK_HEADER_BYTES], 0),
        device.interface.index,
    )
    return frame[: run_program(file, file.filter, packet)]
