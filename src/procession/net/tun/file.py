"""/dev/net/tun: reading and writing the packets of an interface (Linux: drivers/net/tun.c)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EAGAIN, EBADFD, EINVAL, EIO
from procession.abi.internet import ETHERTYPES
from procession.abi.named_tuple import NamedTuple
from procession.abi.tun import TUN_PKT_STRIP, TunPi
from procession.abi.word import pack_port
from procession.fs.file import O_NONBLOCK, POLLERR, POLLIN, POLLOUT, File
from procession.fs.wait_queue import Sleep, WaitQueue
from procession.net.buffer_charge import packet_charge
from procession.net.internet.frame import HEADER_BYTES, bring_in
from procession.net.tun.device import HAS_OFFLOAD_HEADER, NO_INFORMATION, OFFLOAD_HEADER_BYTES
from procession.net.tun.filter import set_program
from procession.net.tun.requests import handle_request

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import UserMemory
    from procession.fs.permission import Subject
    from procession.net.bpf import Program
    from procession.net.host import Identity
    from procession.net.network import Network
    from procession.net.tun.device import TunDevice

_NO_ENDS = bytes(12)
"""Packets of IP alone have no hardware addresses in front."""
_ETHERTYPES = {version: pack_port(ETHERTYPES[size]) for version, size in ((4, 4), (6, 16))}
_GSO_TYPE_PLACE = 1


class WaitingPacket(NamedTuple):
    """A packet that is to be read, of a protocol, which takes `charge` bytes of room."""

    data: bytes
    protocol: bytes
    charge: int


class TunFile(File):
    """An open /dev/net/tun (Linux: drivers/net/tun.c, struct tun_file).

    `network` is where it makes interfaces, `device` what it is attached to, `wanted_index` what the next
    one's index shall be. `packets` wait to be read; `filter` is the program that let them through, if any.
    """

    __slots__ = ("device", "filter", "network", "packets", "read_queue", "wanted_index")

    knows_async = True
    takes_offset: ClassVar[bool] = True
    has_splice_read: ClassVar[bool] = False
    has_splice_write: ClassVar[bool] = False

    def __init__(self, path: Path, flags: int, subject: Subject, network: Network) -> None:
        super().__init__(path, flags, subject)
        self.network = network
        self.device: TunDevice | None = None
        self.filter: Program | None = None
        self.wanted_index = 0
        self.packets: deque[WaitingPacket] = deque()
        self.read_queue = WaitQueue(POLLIN)

    def release(self) -> None:
        self.forget_packets()
        set_program(self, None)
        if self.device is not None:
            self.device.detach(self)

    def forget_packets(self) -> None:
        """What waits isn't read any more."""
        self.network.system.uncharge_buffer(sum(packet.charge for packet in self.packets))
        self.packets.clear()

    def keep(self, data: bytes, protocol: bytes, most: int) -> bool:
        """A packet is to be read; whether there is room for it."""
        charge = packet_charge(len(data))
        if len(self.packets) >= most or not self.network.system.charge_arrived(charge):
            return False
        self.packets.append(WaitingPacket(data, protocol, charge))
        self.read_queue.wake_all()
        return True

    def attached(self) -> TunDevice:
        """What it is attached to. Raises EBADFD."""
        if self.device is None:
            raise EBADFD("no interface")
        return self.device

    @property
    def credentials(self) -> Identity:
        """Of the running task."""
        caller = self.network.host.current
        assert caller is not None
        return caller.credentials

    def read(self, length: int) -> bytes:
        """One packet. Linux: drivers/net/tun.c, tun_do_read, tun_put_user."""
        device = self.attached()
        if not length:
            return b""
        if not self.packets:
            if self.flags & O_NONBLOCK:
                raise EAGAIN
            raise Sleep(self.read_queue)
        packet = self.packets.popleft()
        self.network.system.uncharge_buffer(packet.charge)
        room, front = length, b""
        if not device.flags & NO_INFORMATION:
            room -= TunPi.SIZE
            if room < 0:
                raise EINVAL("no room for a struct tun_pi")
        if device.flags & HAS_OFFLOAD_HEADER:
            room -= device.offload_bytes
            if room < 0:
                raise EINVAL("no room for a struct virtio_net_hdr")
            front = bytes(device.offload_bytes)
        if not device.flags & NO_INFORMATION:
            flags = TUN_PKT_STRIP if room < len(packet.data) else 0
            front = TunPi(flags, int.from_bytes(packet.protocol, "little")).pack() + front
        return (front + packet.data)[:length]

    def write(self, data: bytes) -> int:
        """One packet, which comes in by the interface. Linux: drivers/net/tun.c, tun_get_user."""
        device = self.attached()
        interface = device.interface
        start, protocol = 0, b""
        if not device.flags & NO_INFORMATION:
            if len(data) < TunPi.SIZE:
                raise EINVAL("no struct tun_pi")
            start, protocol = TunPi.SIZE, data[2:4]
        if device.flags & HAS_OFFLOAD_HEADER:
            if len(data) - start < device.offload_bytes:
                raise EINVAL("no struct virtio_net_hdr")
            if data[start + _GSO_TYPE_PLACE]:
                raise EINVAL("segments aren't cut here")
            start += max(device.offload_bytes, OFFLOAD_HEADER_BYTES)
        packet = data[start:]
        if device.is_tap:
            if len(packet) < HEADER_BYTES:
                raise EINVAL("no header of a frame")
            header, packet = packet[:HEADER_BYTES], packet[HEADER_BYTES:]
        else:
            found = _ETHERTYPES.get(packet[0] >> 4 if packet else 0)
            if device.flags & NO_INFORMATION:
                if found is None:
                    raise EINVAL("neither IPv4 nor IPv6")
                protocol = found
            header = _NO_ENDS + protocol
        if not interface.is_up:
            raise EIO("the interface is down")
        bring_in(interface, header, packet)
        return len(data)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        return handle_request(self, request, argument, memory)

    def poll_mask(self) -> int:
        """Linux: drivers/net/tun.c, tun_chr_poll."""
        device = self.device
        if device is None:
            return POLLERR
        mask = POLLIN if self.packets else 0
        return mask | POLLOUT if device.interface.is_up else mask

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.read_queue,)

    def show_details(self) -> bytes:
        """Linux: drivers/net/tun.c, tun_chr_show_fdinfo."""
        return b"iff:\t%s\n" % (self.device.interface.name if self.device is not None else b"")
