"""What all file systems of one machine share: memory, clock, device numbers, drivers of special files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.inode import Inode
    from procession.fs.mount import Mount
    from procession.fs.permission import Subject
    from procession.hardware.physical_memory import PhysicalMemory


class Clock(Protocol):
    """The virtual clock."""

    @property
    def realtime_ns(self) -> int:
        """Nanoseconds since the epoch, as CLOCK_REALTIME says."""


class RandomSource(Protocol):
    """Where /dev/urandom's bytes come from: deterministic, recorded with the run."""

    def random_bytes(self, length: int) -> bytes:
        """The next `length` bytes."""


class CharacterDriver(Protocol):
    """What opens the character devices of one major number."""

    def open(self, path: Path, flags: int, subject: Subject) -> File:
        """Open the device at `path` by its `inode.rdev`. Raises ENXIO if there is no such device."""


class Vfs:
    """The virtual file system of one machine.

    `character_drivers` maps a major number to what opens such devices.
    """

    __slots__ = (
        "character_drivers",
        "clock",
        "memory",
        "next_minor",
        "next_mount_number",
        "next_peer_group",
        "pseudo_mounts",
        "random",
    )

    def __init__(self, memory: PhysicalMemory, clock: Clock, random: RandomSource) -> None:
        self.memory = memory
        self.clock = clock
        self.random = random
        self.character_drivers: dict[int, CharacterDriver] = {}
        self.next_minor = 1
        self.next_mount_number = 1
        self.next_peer_group = 1
        self.pseudo_mounts: dict[str, Mount] = {}

    def allocate_device(self) -> int:
        """The next anonymous device number, 0:N (Linux: get_anon_bdev)."""
        minor = self.next_minor
        self.next_minor = minor + 1
        return make_device(0, minor)

    def pseudo_mount(self, type_name: str, magic: int) -> Mount:
        """The mount of a file system without a tree: pipefs, sockfs, anon_inodefs; made at first use."""
        mount = self.pseudo_mounts.get(type_name)
        if mount is None:
            from procession.fs.inode import S_IFDIR, Inode, Superblock
            from procession.fs.mount import Mount

            superblock = Superblock(self, type_name, magic)
            superblock.is_internal = True
            superblock.root = Inode(superblock, S_IFDIR | 0o555)
            mount = Mount(superblock)
            self.pseudo_mounts[type_name] = mount
        return mount

    def pseudo_path(self, mount: Mount, name: bytes, inode: Inode) -> Path:
        """The path of a file on a pseudo mount: /proc/PID/fd shows `name`, as in `pipe:[7]`."""
        from procession.fs.dentry import Dentry, Path

        return Path(mount, Dentry(name, mount.root, inode))


def make_device(major: int, minor: int) -> int:
    """A device number as stat(2) shows it (Linux: new_encode_dev; glibc: makedev)."""
    return (minor & 0xFF) | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12 | (major & ~0xFFF) << 32


def device_major(device: int) -> int:
    """The major number of `device`."""
    return device >> 8 & 0xFFF | device >> 32 & ~0xFFF


def device_minor(device: int) -> int:
    """The minor number of `device`."""
    return device & 0xFF | device >> 12 & 0xFFFFFF00
