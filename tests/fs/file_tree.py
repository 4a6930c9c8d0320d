"""A tree of files for tests: file systems, a namespace and a user, without any task."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path as HostPath

from procession.abi.capability import CAP_LAST_CAP, Capability
from procession.fs import directory, namei, opening
from procession.fs.dentry import Path, absolute_path
from procession.fs.file import O_CREAT, O_RDWR, O_WRONLY, File
from procession.fs.fs_context import FsContext
from procession.fs.inode import Inode
from procession.fs.landlock import Domain
from procession.fs.mounts.namespace import first_namespace
from procession.fs.namespace import NamespaceTable
from procession.fs.overlay import Overlay
from procession.fs.superblock import Superblock
from procession.fs.tmpfs import Tmpfs
from procession.fs.user_namespace import UserNamespace
from procession.fs.vfs import Vfs
from procession.hardware.physical_memory import PhysicalMemory

SECOND_NS = 10**9


class TestClock:
    """A clock that the test sets."""

    __test__ = False

    def __init__(self) -> None:
        self.realtime_ns = 1_700_000_000 * SECOND_NS
        self.now_ns = 0
        self.walked_count = 0

    @property
    def latest_realtime_ns(self) -> int:
        """It's as late as it is."""
        return self.realtime_ns

    def spend_walking(self, component_count: int) -> None:
        """Time stands still; it's only counted."""
        self.walked_count += component_count

    def spend_showing(self, byte_count: int) -> None:
        """Here too."""

    def spend_making(self) -> None:
        """And here."""

    def spend_telling(self) -> None:
        """And here."""

    def spend_offering(self, watch_count: int) -> None:
        """And here."""

    def spend_listing(self, entry_count: int) -> None:
        """And here."""

    def spend_mounts(self, mount_count: int) -> None:
        """And here."""

    def spend_showing_mounts(self, mount_count: int) -> None:
        """And here."""

    def spend_random(self, byte_count: int) -> None:
        """And here."""

    def spend_looking(self, object_count: int) -> None:
        """And here."""

    def spend_typing(self, character_count: int) -> None:
        """And here."""


class CountingSource:
    """Random bytes that are 0, 1, 2, ..."""

    def __init__(self) -> None:
        self.count = 0

    def random_bytes(self, length: int) -> bytes:
        first = self.count
        self.count += length
        return bytes((first + offset) & 0xFF for offset in range(length))


class User:
    """Somebody with ids and capabilities."""

    def __init__(
        self, uid: int, gid: int = 0, groups: Iterable[int] = (), capabilities: Iterable[int] | None = None
    ) -> None:
        self.euid = self.fsuid = uid
        self.egid = self.fsgid = gid
        self.groups = frozenset(groups)
        if capabilities is None:
            capabilities = range(CAP_LAST_CAP + 1) if uid == 0 else ()
        self.capabilities = frozenset(capabilities)

    @property
    def landlock(self) -> Domain:
        return ()

    @property
    def id_map(self) -> None:
        return None

    @property
    def user_namespace(self) -> UserNamespace:
        return UserNamespace(NamespaceTable(), None)

    def capable(self, capability: int) -> bool:
        return capability in self.capabilities

    def has_capability(self, capability: int) -> bool:
        return capability in self.capabilities

    def cap_raised(self, capability: int) -> bool:
        return capability in self.capabilities

    def ns_capable(self, namespace: UserNamespace, capability: int) -> bool:
        return self.has_ns_capability(namespace, capability)

    def has_ns_capability(self, namespace: UserNamespace, capability: int) -> bool:
        return not namespace.level and capability in self.capabilities

    def may_checkpoint(self, namespace: UserNamespace) -> bool:
        return self.ns_capable(namespace, Capability.CAP_CHECKPOINT_RESTORE)

    def capable_wrt_inode_uidgid(self, inode: Inode, capability: int) -> bool:
        return capability in self.capabilities


class FileTree:
    """A namespace, and somebody who works in it."""

    def __init__(self, root: Superblock) -> None:
        self.vfs = root.vfs
        self.superblock = root
        self.namespace = first_namespace(root)
        self.context = FsContext(self.namespace.root_path)
        self.user = User(0)

    def path(self, name: str | bytes, *, follow: bool = True) -> Path:
        return namei.lookup(self.context, self.user, encode(name), follow=follow)

    def open(self, name: str | bytes, flags: int = 0, mode: int = 0o644) -> File:
        """Open a file that somebody holds."""
        file = opening.open(self.context, self.user, encode(name), None, flags, mode)
        file.acquire()
        return file

    def read(self, name: str | bytes) -> bytes:
        file = self.open(name)
        data = file.read(1 << 20)
        file.put()
        return data

    def write(self, name: str | bytes, data: bytes, flags: int = O_CREAT | O_WRONLY) -> None:
        file = self.open(name, flags)
        try:
            assert file.write(data) == len(data)
        finally:
            file.put()

    def create(self, name: str | bytes, mode: int = 0o644) -> None:
        self.open(name, O_CREAT | O_RDWR, mode).put()

    def mkdir(self, name: str | bytes, mode: int = 0o755) -> None:
        directory.make_directory(self.context, self.user, encode(name), None, mode)

    def mknod(self, name: str | bytes, mode: int, device: int = 0) -> None:
        directory.make_node(self.context, self.user, encode(name), None, mode, device)

    def symlink(self, target: str | bytes, name: str | bytes) -> None:
        directory.make_symlink(self.context, self.user, encode(target), encode(name))

    def link(self, existing: str | bytes, name: str | bytes) -> None:
        directory.make_link(self.context, self.user, self.path(existing, follow=False), encode(name))

    def unlink(self, name: str | bytes) -> None:
        directory.remove_file(self.context, self.user, encode(name))

    def rmdir(self, name: str | bytes) -> None:
        directory.remove_directory(self.context, self.user, encode(name))

    def rename(self, old: str | bytes, new: str | bytes, flags: int = 0) -> None:
        directory.rename(self.context, self.user, encode(old), None, encode(new), None, flags)

    def names(self, name: str | bytes) -> list[bytes]:
        """The names in a directory, without the dots."""
        file = self.open(name)
        names = [entry.name for entry in file.list_directory()]
        file.put()
        assert names[:2] == [b".", b".."]
        return names[2:]

    def full_name(self, path: Path) -> bytes:
        return absolute_path(path, self.context.root)

    def change_directory(self, name: str | bytes) -> None:
        self.context.set_cwd(self.path(name))


def encode(name: str | bytes) -> bytes:
    return name.encode() if isinstance(name, str) else name


def new_vfs(memory_bytes: int = 4 << 20) -> Vfs:
    return Vfs(PhysicalMemory(memory_bytes), TestClock(), CountingSource())


def new_tmpfs_tree(memory_bytes: int = 4 << 20) -> FileTree:
    return FileTree(Tmpfs(new_vfs(memory_bytes), mode=0o755))


def new_overlay_tree(root: HostPath, memory_bytes: int = 4 << 20) -> FileTree:
    return FileTree(Overlay(new_vfs(memory_bytes), str(root)))
