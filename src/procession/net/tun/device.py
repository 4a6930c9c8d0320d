"""A tun or tap: an interface, and the files of the programs at its other end (Linux: drivers/net/tun.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.bpf import SockFprog
from procession.abi.errno import E2BIG, EBUSY, EINVAL
from procession.abi.interface import InterfaceFlag
from procession.abi.tun import TunFlag
from procession.net.link.interface import IFF_MULTICAST, IFF_NOARP, TUN
from procession.net.link_change import delete_interface, make_interface, set_carrier, tell_of_new
from procession.net.tun.filter import accepted_part

if TYPE_CHECKING:
    from procession.net.link.interface import Interface
    from procession.net.network import Network
    from procession.net.tun.file import TunFile
    from procession.net.tun.filter import DestinationFilter

IS_TAP = int(TunFlag.IFF_TAP)
KIND_FLAGS = int(TunFlag.IFF_TUN | TunFlag.IFF_TAP)
MULTI_QUEUE, PERSISTENT = int(TunFlag.IFF_MULTI_QUEUE), int(TunFlag.IFF_PERSIST)
NO_INFORMATION, HAS_OFFLOAD_HEADER = int(TunFlag.IFF_NO_PI), int(TunFlag.IFF_VNET_HDR)
FEATURES = int(
    TunFlag.IFF_NO_PI
    | TunFlag.IFF_ONE_QUEUE
    | TunFlag.IFF_VNET_HDR
    | TunFlag.IFF_MULTI_QUEUE
    | TunFlag.IFF_NAPI
    | TunFlag.IFF_NAPI_FRAGS
)
_TUN_FLAGS = int(InterfaceFlag.IFF_POINTOPOINT) | IFF_NOARP | IFF_MULTICAST
_TUN_QUEUE_LENGTH = 500
_MOST_QUEUES = 256
OFFLOAD_HEADER_BYTES = 10
"""A struct virtio_net_hdr."""


class TunDevice:
    """What an interface of that kind has beside others (Linux: drivers/net/tun.c, struct tun_struct).

    `flags` are IFF_TUN or IFF_TAP, the features that were asked for, and IFF_PERSIST. `owner_uid` and
    `owner_gid` are who may attach, None for anybody. `files` get its packets, `detached` are those that don't
    at the moment (TUNSETQUEUE). `offload_bytes` is how long the header of offloading is with IFF_VNET_HDR.
    `destinations` say which frames are to be read, None for all; `asked_program` is the struct sock_fprog of
    the last TUNATTACHFILTER. `is_little_endian` is kept for who asks.
    """

    __slots__ = (
        "asked_program",
        "destinations",
        "detached",
        "files",
        "flags",
        "interface",
        "is_little_endian",
        "offload_bytes",
        "owner_gid",
        "owner_uid",
        "send_room",
    )

    def __init__(self, interface: Interface, flags: int) -> None:
        self.interface = interface
        self.flags = flags
        self.owner_uid: int | None = None
        self.owner_gid: int | None = None
        self.files: list[TunFile] = []
        self.detached: list[TunFile] = []
        self.offload_bytes = OFFLOAD_HEADER_BYTES
        self.send_room = 0x7FFFFFFF
        self.destinations: DestinationFilter | None = None
        self.asked_program = bytes(SockFprog.SIZE)
        self.is_little_endian = False

    @property
    def is_tap(self) -> bool:
        """Whether it carries frames, rather than packets of IP."""
        return bool(self.flags & IS_TAP)

    # Programs come and go.

    def attach(self, file: TunFile) -> None:
        """Raises EBUSY, E2BIG. Linux: drivers/net/tun.c, tun_attach."""
        if not self.flags & MULTI_QUEUE and self.files:
            raise EBUSY("another program has it")
        if len(self.files) + len(self.detached) >= _MOST_QUEUES:
            raise E2BIG("the interface has all its queues")
        self.files.append(file)
        file.device = self

    def detach(self, file: TunFile) -> None:
        """The file is closed: with the last one, an interface that isn't to stay is gone.

        Linux: drivers/net/tun.c, __tun_detach.
        """
        for some in (self.files, self.detached):
            if file in some:
                some.remove(file)
        file.device = None
        if self.files or self.detached:
            return
        if self.flags & PERSISTENT:
            set_carrier(self.interface, has_carrier=False)
        else:
            delete_interface(self.interface)

    def set_queue(self, file: TunFile, *, is_attached: bool) -> None:
        """TUNSETQUEUE. Raises EINVAL. Linux: drivers/net/tun.c, tun_set_queue."""
        source, target = (self.detached, self.files) if is_attached else (self.files, self.detached)
        if not self.flags & MULTI_QUEUE or file not in source:
            raise EINVAL("no such queue")
        source.remove(file)
        target.append(file)
        file.forget_packets()

    def interface_gone(self) -> None:
        """Linux: drivers/net/tun.c, tun_detach_all."""
        for file in (*self.files, *self.detached):
            file.device = None
            file.forget_packets()
            file.read_queue.wake_all()
        self.files.clear()
        self.detached.clear()

    # Packets

    def take(self, header: bytes, whole: bytes) -> None:
        """A packet goes out: one of the programs may read it. Linux: drivers/net/tun.c, tun_net_xmit."""
        interface = self.interface
        files = self.files
        if not files or not interface.is_up:
            interface.drop_count += 1
            return
        file = files[_hash_of(whole) % len(files)] if len(files) > 1 else files[0]
        if self.is_tap:
            whole = accepted_part(self, file, header + whole)
        if not whole or not file.keep(whole, header[-2:], interface.queue_length):
            interface.drop_count += 1


def _hash_of(whole: bytes) -> int:
    """Which of several queues a packet goes to: always the same for the same ends.

    Linux: drivers/net/tun.c, tun_automq_select_queue.
    """
    return sum(whole[12:44])


def new_device(network: Network, flags: int, name: bytes, index: int) -> TunDevice:
    """A new interface, down. Raises EEXIST, EINVAL, EBUSY, ENFILE, ENOBUFS.

    Linux: drivers/net/tun.c, tun_set_iff, tun_net_init.
    """
    is_tap = bool(flags & IS_TAP)
    interface = make_interface(network, TUN, name or (b"tap%d" if is_tap else b"tun%d"), index)
    device = interface.tun = TunDevice(interface, flags)
    if not is_tap:
        interface.flags = _TUN_FLAGS
        interface.settings = interface.first_settings()
        interface.hardware_address = b""
        interface.queue_length = _TUN_QUEUE_LENGTH
    tell_of_new(interface)
    return device
