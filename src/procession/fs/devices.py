"""devtmpfs, and the devices of memory in it: null, zero, full, random, urandom; and userfaultfd."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.device_numbers import Major, device_minor, encode_device
from procession.abi.errno import EINVAL, ENODEV, ENOSPC, ENXIO, EPERM
from procession.abi.ioctls import RandomIoctl
from procession.abi.word import pack_u32
from procession.fs.file import ALWAYS_READY, POLLIN, POLLRDNORM, File
from procession.fs.file_system_type import FileSystemType
from procession.fs.inode import S_IFCHR, S_IFDIR, S_IFLNK
from procession.fs.kernel_log import open_log_file
from procession.fs.mounts.context import MountContext, Parameter
from procession.fs.mounts.mount import KernelMount, Mount
from procession.fs.permission import CAP_SYS_ADMIN
from procession.fs.superblock import Superblock
from procession.fs.tmpfs import MemoryInode, Tmpfs
from procession.fs.tmpfs_type import TmpfsType

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import UserMemory
    from procession.fs.permission import Subject
    from procession.fs.vfs import CharacterDriver, Vfs

_ENTROPY_BITS = 256
_READ_BYTES = 1 << 16


class DeviceFile(File):
    """A device without a position: reads and writes at any offset are the same."""

    __slots__ = ()

    is_seekable = True
    takes_offset = True

    def read_at(self, offset: int, length: int) -> bytes:
        return self.read(length)

    def write_at(self, offset: int, data: bytes) -> int:
        return self.write(data)

    def put_back(self, data: bytes) -> None:
        """Nothing to do: there is no position, and what comes next is no different."""

    def seek(self, offset: int, whence: int) -> int:
        """Linux: drivers/char/mem.c, null_lseek."""
        self.position = 0
        return 0


class NullFile(DeviceFile):
    """/dev/null."""

    __slots__ = ()

    can_poll = False
    has_splice_read: ClassVar[bool] = False
    discards_writes = True

    def read(self, length: int) -> bytes:
        return b""

    def write(self, data: bytes) -> int:
        return len(data)


class ZeroFile(DeviceFile):
    """/dev/zero."""

    __slots__ = ()

    can_poll = False
    maps_zeros = True
    discards_writes = True

    def read(self, length: int) -> bytes:
        return bytes(length)

    def write(self, data: bytes) -> int:
        return len(data)


class FullFile(DeviceFile):
    """/dev/full."""

    __slots__ = ()

    can_poll = False
    takes_write_flags: ClassVar[bool] = False
    knows_nowait: ClassVar[bool] = False

    def read(self, length: int) -> bytes:
        return bytes(length)

    def write(self, data: bytes) -> int:
        raise ENOSPC

    def check_message(self, length: int) -> None:
        # Nothing is looked at. Linux: drivers/char/mem.c, write_full.
        raise ENOSPC


class RandomFile(DeviceFile):
    """/dev/random and /dev/urandom: the machine's own source, which never runs dry."""

    __slots__ = ()

    knows_async: ClassVar[bool] = True

    def poll_mask(self) -> int:
        """Linux: drivers/char/random.c, random_poll."""
        return POLLIN | POLLRDNORM

    def read(self, length: int) -> bytes:
        vfs = self.inode.superblock.vfs
        vfs.clock.spend_random(length)
        return vfs.random.random_bytes(length)

    def write(self, data: bytes) -> int:
        """What is written would be mixed in; the source is the machine's seed, and stays that."""
        return len(data)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """random(4). What is added to the pool is as what is written.

        Linux: drivers/char/random.c, random_ioctl.
        """
        if request == RandomIoctl.RNDGETENTCNT:
            memory.write(argument, pack_u32(_ENTROPY_BITS))
            return 0
        if request == RandomIoctl.RNDGETPOOL or request not in set(RandomIoctl):
            raise EINVAL
        vfs = self.inode.superblock.vfs
        if not vfs.acting_subject(self.subject).capable(CAP_SYS_ADMIN):
            raise EPERM("CAP_SYS_ADMIN is needed")
        if request == RandomIoctl.RNDADDTOENTCNT:
            _read_count(memory, argument)
        elif request == RandomIoctl.RNDADDENTROPY:
            _read_count(memory, argument)
            size = int.from_bytes(memory.read(argument + 4, 4), "little")
            for position in range(0, size, _READ_BYTES):
                length = min(size - position, _READ_BYTES)
                memory.read(argument + 8 + position, length)
                vfs.clock.spend_random(length)
        return 0


def _read_count(memory: UserMemory, address: int) -> None:
    """How many bits of entropy are said to come. Raises EFAULT, EINVAL."""
    if int.from_bytes(memory.read(address, 4), "little", signed=True) < 0:
        raise EINVAL("a negative count")


class UnlimitedRandomFile(RandomFile):
    """/dev/urandom, which was never waited for."""

    __slots__ = ()

    can_poll = False

    def poll_mask(self) -> int:
        return ALWAYS_READY


class MemoryDriver:
    """The devices of major number 1 (Linux: drivers/char/mem.c).

    Physical memory and ports (mem, port) aren't configured.
    """

    __slots__ = ()

    def open(self, path: Path, flags: int, subject: Subject) -> File:
        minor = device_minor(path.inode.rdev)
        if minor == _LOG_MINOR:
            return open_log_file(path, flags, subject)
        file_class = _FILES_OF_MINORS.get(minor)
        if file_class is None:
            raise ENXIO
        return file_class(path, flags, subject)


class UserFaultDevice(DeviceFile):
    """/dev/userfaultfd: who may open it may have userfaultfds.

    Linux: fs/userfaultfd.c, userfaultfd_dev_fops.
    """

    __slots__ = ()

    can_poll = False


class MiscellaneousDriver:
    """The devices of major number 10 (Linux: drivers/char/misc.c).

    `drivers` are those by minor number that layers above have.
    """

    __slots__ = ("drivers",)

    def __init__(self) -> None:
        self.drivers: dict[int, CharacterDriver] = {}

    def open(self, path: Path, flags: int, subject: Subject) -> File:
        minor = device_minor(path.inode.rdev)
        if minor == USERFAULT_MINOR:
            return UserFaultDevice(path, flags, subject)
        driver = self.drivers.get(minor)
        if driver is None:
            raise ENODEV
        return driver.open(path, flags, subject)


_FILES_OF_MINORS: dict[int, type[DeviceFile]] = {
    3: NullFile,
    5: ZeroFile,
    7: FullFile,
    8: RandomFile,
    9: UnlimitedRandomFile,
}

_LOG_MINOR = 11
USERFAULT_MINOR = 256
"""The first of those that Linux gives out as they are asked for."""

NODES = (
    (b"null", Major.MEM_MAJOR, 3, 0o666),
    (b"zero", Major.MEM_MAJOR, 5, 0o666),
    (b"full", Major.MEM_MAJOR, 7, 0o666),
    (b"random", Major.MEM_MAJOR, 8, 0o666),
    (b"urandom", Major.MEM_MAJOR, 9, 0o666),
    (b"kmsg", Major.MEM_MAJOR, _LOG_MINOR, 0o644),
    (b"tty", Major.TTYAUX_MAJOR, 0, 0o666),
    (b"console", Major.TTYAUX_MAJOR, 1, 0o600),
    (b"ptmx", Major.TTYAUX_MAJOR, 2, 0o666),
    (b"userfaultfd", Major.MISC_MAJOR, USERFAULT_MINOR, 0o600),
)
_LINKS = (
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
)
TUN_MINOR = 200
_DIRECTORIES = ((b"pts", 0o755), (b"shm", 0o1777), (b"mqueue", 0o1777))


class DevtmpfsType(FileSystemType):
    """The same file system at each place. Linux: drivers/base/devtmpfs.c, dev_fs_type."""

    __slots__ = ()

    name: ClassVar[bytes] = b"devtmpfs"
    is_for_users: ClassVar[bool] = False

    def parse(self, context: MountContext, parameter: Parameter) -> bool:
        """It takes the options of tmpfs, and does nothing with them."""
        return TmpfsType().parse(context, parameter)

    def get_tree(self, context: MountContext) -> Superblock:
        """Linux: drivers/base/devtmpfs.c, public_dev_mount."""
        mounted: Mount = context.kernel.vfs.pseudo_mounts["devtmpfs"]
        return mounted.superblock


class Devtmpfs(Tmpfs):
    """The file system of /dev (Linux: drivers/base/devtmpfs.c), with what udev or a container adds to it.

    `pts`, `shm` and `mqueue` are empty directories to mount on. The terminals' nodes are there; opening one
    raises ENXIO unless `vfs.character_drivers` has a driver for terminals (fs/terminal/devpts.py).
    """

    __slots__ = ()

    allows_id_maps: ClassVar[bool] = False
    is_multigrain: ClassVar[bool] = False

    def __init__(self, vfs: Vfs) -> None:
        super().__init__(vfs, "devtmpfs", mode=0o755)
        # The kernel's own mount keeps it.
        vfs.pseudo_mounts["devtmpfs"] = KernelMount(self)
        vfs.character_drivers.setdefault(Major.MEM_MAJOR, MemoryDriver())
        vfs.character_drivers.setdefault(Major.MISC_MAJOR, MiscellaneousDriver())
        for name, major, minor, mode in NODES:
            self.add_device(name, S_IFCHR | mode, encode_device(major, minor))
        for name, target in _LINKS:
            self._add(name, S_IFLNK | 0o777).set_target(target)
        net = self._add(b"net", S_IFDIR | 0o755)
        tun = encode_device(Major.MISC_MAJOR, TUN_MINOR)
        net.set_entry(b"tun", self.new_inode(S_IFCHR | 0o666, 0, 0, tun))
        self.root.link_count += 1
        for name, mode in _DIRECTORIES:
            self._add(name, S_IFDIR | mode)
            self.root.link_count += 1

    def add_device(self, name: bytes, mode: int, device: int) -> MemoryInode:
        """A device node `name` in the root directory; `mode` holds type and permission bits."""
        return self._add(name, mode, device)

    def _add(self, name: bytes, mode: int, device: int = 0) -> MemoryInode:
        assert isinstance(self.root, MemoryInode)
        inode = self.new_inode(mode, 0, 0, device)
        self.root.set_entry(name, inode)
        return inode
