"""sysfs, what tools ask of it: which processors there are."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EIO, ENOENT
from procession.fs.file_system_type import FileSystemType
from procession.fs.inode import S_IFDIR, S_IFREG, DirectoryEntry, Inode, Superblock
from procession.procfs.inode import GeneratedFile

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.mounts.context import MountContext
    from procession.fs.permission import Subject
    from procession.kernel.kernel import Kernel
    from procession.net.network import Network

SYSFS_MAGIC = 0x62656572
ATTRIBUTE_SIZE = 4096
"""What stat(2) gives as the size of any attribute."""

Tree = Mapping[bytes, "bytes | Tree"]


@cache
def tree_for(processor_count: int) -> Tree:
    """What is in the sysfs of a machine: attributes with their contents, and directories."""
    every = b"0\n" if processor_count == 1 else b"0-%d\n" % (processor_count - 1)
    processors: dict[bytes, bytes | Tree] = {
        b"cpu%d" % number: {
            b"topology": {b"core_id": b"%d\n" % number, b"physical_package_id": b"0\n"},
        }
        for number in range(processor_count)
    }
    return {
        b"block": {},
        b"bus": {},
        b"class": {},
        b"dev": {b"block": {}, b"char": {}},
        b"devices": {
            b"system": {
                b"cpu": {
                    **processors,
                    b"isolated": b"\n",
                    b"kernel_max": b"%d\n" % (processor_count - 1),
                    b"offline": b"\n",
                    b"online": every,
                    b"possible": every,
                    b"present": every,
                },
                b"node": {b"online": b"0\n", b"possible": b"0\n"},
            },
        },
        b"firmware": {},
        b"fs": {b"cgroup": {}},
        b"kernel": {b"mm": {b"transparent_hugepage": {b"enabled": b"always madvise [never]\n"}}},
        b"module": {},
        b"power": {},
    }


class SysFileSystem(Superblock):
    """sysfs (sysfs(5))."""

    __slots__ = ("kernel", "network")

    def __init__(self, kernel: Kernel, network: Network) -> None:
        super().__init__(kernel.vfs, "sysfs", SYSFS_MAGIC)
        self.kernel = kernel
        self.network = network
        self.root = SysDirectory(self, ())

    def shut_down(self) -> None:
        self.network.sysfs = None


def sysfs_of(kernel: Kernel, network: Network) -> SysFileSystem:
    """The sysfs that tasks in `network` mount, made at first use."""
    system = network.sysfs
    if system is None:
        system = network.sysfs = SysFileSystem(kernel, network)
    assert isinstance(system, SysFileSystem)
    return system


class SysfsType(FileSystemType):
    """The same file system for all of a network namespace. Linux: fs/sysfs/mount.c, sysfs_fs_type."""

    __slots__ = ()

    name: ClassVar[bytes] = b"sysfs"
    is_always_visible: ClassVar[bool] = False

    def begin(self, context: MountContext) -> None:
        """Linux: fs/sysfs/mount.c, sysfs_init_fs_context."""
        context.show_namespace(context.task.namespaces.network)

    def get_tree(self, context: MountContext) -> SysFileSystem:
        """Linux: fs/sysfs/mount.c, sysfs_get_tree."""
        return sysfs_of(context.kernel, context.namespace)


class SysDirectory(Inode):
    """A directory of sysfs; `path` is its place in the tree. Nothing can be made or removed in it."""

    __slots__ = ("path", "sysfs")

    def __init__(self, superblock: SysFileSystem, path: tuple[bytes, ...]) -> None:
        super().__init__(superblock, S_IFDIR | 0o755)
        self.sysfs = superblock
        self.path = path

    @property
    def tree(self) -> Tree:
        """What is in it."""
        tree = tree_for(len(self.sysfs.kernel.scheduler.processors))
        for name in self.path:
            below = tree[name]
            assert isinstance(below, Mapping)
            tree = below
        return tree

    def lookup(self, name: bytes) -> Inode:
        found = self.tree.get(name)
        if found is None:
            raise ENOENT
        superblock = self.sysfs
        if isinstance(found, bytes):
            return SysAttribute(superblock, found)
        return SysDirectory(superblock, (*self.path, name))

    def list_entries(self) -> list[DirectoryEntry]:
        # Numbers are given when a name is looked up; a listing needs any that isn't 0.
        return [
            DirectoryEntry(name, position + 1, (S_IFREG if isinstance(found, bytes) else S_IFDIR) >> 12)
            for position, (name, found) in enumerate(self.tree.items())
        ]


class SysAttribute(Inode):
    """A file of sysfs with fixed contents."""

    __slots__ = ("contents",)

    def __init__(self, superblock: SysFileSystem, contents: bytes) -> None:
        super().__init__(superblock, S_IFREG | 0o444)
        self.contents = contents
        self.size = ATTRIBUTE_SIZE

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return GeneratedFile(path, flags, subject, self)

    def show(self, subject: Subject) -> bytes:
        """The contents."""
        return self.contents

    def store(self, data: bytes, subject: Subject) -> None:
        """No attribute can be changed."""
        raise EIO
