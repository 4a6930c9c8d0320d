"""Directories of proc that are a fixed tree, and the files and links in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from procession.abi.errno import EACCES, EIO, ENOENT, EPERM
from procession.abi.file_mode import S_IFMT
from procession.abi.named_tuple import NamedTuple
from procession.abi.open_flags import O_ACCMODE
from procession.fs.file import O_RDWR, O_WRONLY, POLLIN, POLLRDNORM
from procession.fs.inode import DirectoryEntry, Inode
from procession.procfs.inode import (
    ProcDirectory,
    ProcFile,
    ProcLink,
    RecordsFile,
    SequenceFile,
    SizedFile,
    refuse_mapping,
)
from procession.procfs.parameter_kind import INTEGER, ParameterKind
from procession.procfs.pressure import PressureInode

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.permission import Subject
    from procession.kernel.kernel import Kernel
    from procession.kernel.namespaces.uts import NameChanges
    from procession.mm.page_cache import PageCache
    from procession.procfs.file_system import ProcFileSystem

    Show = Callable[[Kernel], bytes]
    Store = Callable[[Kernel, bytes], None]
    Open = Callable[[Kernel, Path, int, Subject], File]


class SystemFile(NamedTuple):
    """A file about the machine; `open_` is for one that isn't made anew at each reading.

    `kind` is a parameter's. One that `has_size` is always as long as it is at first; one without records is
    read from any place.
    """

    permissions: int
    show: Show
    store: Store | None = None
    open_: Open | None = None
    kind: ParameterKind = INTEGER
    has_size: bool = False
    has_records: bool = True


class PressureKind(NamedTuple):
    """A file of pressure."""

    resource: int


class InterfaceSettings(NamedTuple):
    """The directory of the settings of a protocol at each interface."""

    protocol: bytes


SystemEntry: TypeAlias = "SystemFile | SystemTree | PressureKind | InterfaceSettings | bytes"
"""What has a name: a file, a directory's own tree, or where a symbolic link leads."""
SystemTree = Mapping[bytes, SystemEntry]
"""Names and what is there."""


class SystemDirectory(ProcDirectory):
    """A directory of a fixed tree. `path` says which: the names from the root of the tree down.

    `entries` are the inodes that have been looked up.
    """

    __slots__ = ("entries", "path")

    def __init__(self, superblock: ProcFileSystem, number: int, path: tuple[bytes, ...] = ()) -> None:
        super().__init__(superblock, number)
        self.path = path
        self.entries: dict[bytes, Inode] = {}

    def needs_reference(self, name: bytes) -> bool:
        """Linux: fs/proc/generic.c, proc_misc_dentry_ops; fs/proc/proc_sysctl.c, proc_sys_revalidate."""
        return True

    def check_permission(self, subject: Subject, mask: int) -> None:
        if not _check_sysctl(self, self.path, subject, mask):
            super().check_permission(subject, mask)

    def check_change(self, *, changes_mode: bool, changes_owner: bool) -> None:
        if self.path == (b"net",):
            # It's a process's own.
            super().check_change(changes_mode=changes_mode, changes_owner=changes_owner)
        else:
            _check_change(self.path, is_wanted=changes_mode or changes_owner)

    @property
    def shown_link_count(self) -> int:
        """Its directories count, but among parameters. Linux: fs/proc/proc_sysctl.c, proc_sys_make_inode."""
        if self.path[:1] == (b"sys",):
            return 1
        return self.link_count + sum(isinstance(found, Mapping) for found in self.tree.values())

    @property
    def tree(self) -> SystemTree:
        """What is in this directory."""
        return subtree(self.path)

    def find(self, name: bytes) -> SystemEntry | None:
        """What is called `name`, found without importing this tree if it's one of its own."""
        path = (*self.path, name)
        # But /proc/net is a link.
        return {} if path[0] == b"sys" and path in _TREES else self.tree.get(name)

    def lookup(self, name: bytes) -> Inode:
        inode = self.entries.get(name)
        if inode is None:
            found = self.find(name)
            if found is None:
                raise ENOENT
            inode = self.entries[name] = self.make(name, found)
        return inode

    def make(self, name: bytes, found: SystemEntry) -> Inode:
        """The inode for an entry of the tree."""
        superblock = self.proc
        number = superblock.allocate_static_number()
        if isinstance(found, PressureKind):
            return PressureInode(superblock, found.resource)
        if isinstance(found, InterfaceSettings):
            from procession.procfs.interface_sysctl import SettingsDirectory

            return SettingsDirectory(superblock, number, found.protocol)
        if isinstance(found, SystemFile):
            return SystemInode(superblock, number, (*self.path, name))
        if isinstance(found, bytes):
            return SystemLink(superblock, number, (*self.path, name))
        path = (*self.path, name)
        kind = SharedSettingsDirectory if path in _WITH_SHARED else SystemDirectory
        return kind(superblock, number, path)

    def list_entries(self) -> list[DirectoryEntry]:
        return [
            DirectoryEntry(name, inode.number, (inode.mode & S_IFMT) >> 12)
            for name in self.tree
            for inode in (self.lookup(name),)
        ]


class SharedSettingsDirectory(SystemDirectory):
    """One of /proc/sys/net in which the machine's first network has more than others.

    Linux: net/sysctl_net.c, net_ctl_header_lookup.
    """

    __slots__ = ()

    caches_lookups: ClassVar[bool] = False

    @property
    def tree(self) -> SystemTree:
        tree = super().tree
        if is_of_first_network(self.proc.kernel):
            return tree
        return {name: found for name, found in tree.items() if (*self.path, name) not in _SHARED}

    def lookup(self, name: bytes) -> Inode:
        if (*self.path, name) in _SHARED and not is_of_first_network(self.proc.kernel):
            raise ENOENT("only the machine's first network has it")
        return super().lookup(name)


class SystemLink(ProcLink):
    """A symbolic link of the fixed tree."""

    __slots__ = ("path",)

    def __init__(self, superblock: ProcFileSystem, number: int, path: tuple[bytes, ...]) -> None:
        super().__init__(superblock, number)
        self.path = path
        self.size = len(self.readlink())

    def readlink(self) -> bytes:
        target = subtree(self.path[:-1])[self.path[-1]]
        assert isinstance(target, bytes)
        return target


class SystemInode(ProcFile):
    """A file of the fixed tree."""

    __slots__ = ("path",)

    def __init__(self, superblock: ProcFileSystem, number: int, path: tuple[bytes, ...]) -> None:
        self.path = path
        super().__init__(superblock, number, self.file.permissions)
        if self.file.has_size:
            self.size = len(self.file.show(superblock.kernel))

    @property
    def shown_mode(self) -> int:
        return mode_here(self.proc.kernel, self.path[1:], self.mode)

    @property
    def file(self) -> SystemFile:
        """How this file is made."""
        file = subtree(self.path[:-1])[self.path[-1]]
        assert isinstance(file, SystemFile)
        return file

    def check_permission(self, subject: Subject, mask: int) -> None:
        if not _check_sysctl(self, self.path, subject, mask):
            super().check_permission(subject, mask)

    def check_change(self, *, changes_mode: bool, changes_owner: bool) -> None:
        _check_change(self.path, is_wanted=changes_mode or changes_owner)

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        open_ = self.file.open_
        if open_ is not None:
            return open_(self.proc.kernel, path, flags, subject)
        if not self.file.has_records:
            return SizedFile(path, flags, subject, self)
        if self.path[0] == b"sys":
            from procession.procfs.sysctl_poll import ParameterFile

            return ParameterFile(path, flags, subject, self, self.changes(), self.file.kind)
        is_of_network = self.path[0] == b"net" and self.path[1] not in _WITHOUT_RECORDS
        if is_of_network and flags & O_ACCMODE in (O_WRONLY, O_RDWR):
            # Linux: fs/proc/proc_net.c, seq_open_net.
            raise EACCES("a list of sockets is only read")
        if self.path[0] in _READ_BY_BUFFERS and self.path[-1] != b"softnet_stat":
            return SystemSequenceFile(path, flags, subject, self)
        return SystemRecordsFile(path, flags, subject, self)

    def check_write(self, length: int) -> None:
        """Linux: fs/proc/inode.c, proc_reg_write."""
        if self.file.store is None and self.path[0] != b"sys":
            raise EIO("can't be written")

    def changes(self) -> NameChanges | None:
        """What counts how often the parameter has changed; None if nothing does."""
        if self.path[1:] in _COUNTED_NAMES:
            return self.proc.kernel.name_changes[_COUNTED_NAMES.index(self.path[1:])]
        return None

    def show(self, subject: Subject) -> bytes:
        return self.file.show(self.proc.kernel)

    def store(self, data: bytes, subject: Subject) -> None:
        store = self.file.store
        if store is None:
            raise EIO("can't be written")
        store(self.proc.kernel, data)


class SystemRecordsFile(RecordsFile):
    """An open file of the fixed tree, which can be watched though it tells of nothing, unlike a process's.

    Linux: fs/proc/inode.c, proc_reg_poll.
    """

    __slots__ = ()

    can_poll: ClassVar[bool] = True

    def mappable(self) -> PageCache | None:
        return refuse_mapping()


class SystemSequenceFile(SequenceFile):
    """One that is read a buffer at a time."""

    __slots__ = ()

    can_poll: ClassVar[bool] = True

    def mappable(self) -> PageCache | None:
        return refuse_mapping()


class SwapsFile(SystemSequenceFile):
    """An open /proc/swaps, which tells of swap space that comes and goes: of none.

    Linux: mm/swapfile.c, swaps_poll.
    """

    __slots__ = ()

    def poll_mask(self) -> int:
        return POLLIN | POLLRDNORM


def open_swaps(kernel: Kernel, path: Path, flags: int, subject: Subject) -> File:
    """Open /proc/swaps."""
    inode = path.inode
    assert isinstance(inode, SystemInode)
    return SwapsFile(path, flags, subject, inode)


def _check_change(path: tuple[bytes, ...], *, is_wanted: bool) -> None:
    """Raise EPERM for a parameter's mode and owner. Others of the tree get what is wanted.

    Linux: fs/proc/proc_sysctl.c, proc_sys_setattr; fs/proc/generic.c, proc_notify_change.
    """
    if is_wanted and path and path[0] == b"sys":
        raise EPERM


def mode_here(kernel: Kernel, path: tuple[bytes, ...], mode: int) -> int:
    """What of `mode` the file at `path` has in the network that the reader sees."""
    is_shared = path in _OF_FIRST_NETWORK and not is_of_first_network(kernel)
    return mode & ~_WRITABLE if is_shared else mode


def is_of_first_network(kernel: Kernel) -> bool:
    """Whether who reads sees the machine's first network."""
    return kernel.seen_namespaces.network is kernel.init_namespaces.network


def _check_sysctl(
    inode: SystemDirectory | SystemInode, path: tuple[bytes, ...], subject: Subject, mask: int
) -> bool:
    """Whether it's one of /proc/sys. Raises EACCES if it is and doesn't grant `mask`."""
    if not path or path[0] != b"sys":
        return False
    from procession.procfs.sysctl_permission import check_sysctl_permission

    check_sysctl_permission(inode.proc.kernel, path[1:], inode.mode, subject, mask)
    return True


_WRITABLE = 0o222
_OF_FIRST_NETWORK = (
    *((b"net", b"core", name) for name in (b"rmem_default", b"rmem_max", b"wmem_default", b"wmem_max")),
    (b"net", b"ipv4", b"tcp_allowed_congestion_control"),
    (b"net", b"netfilter", b"nf_conntrack_max"),
)
"""What is the machine's, and read-only in other networks than its first. Linux: net/ipv4/sysctl_net_ipv4.c,
ipv4_sysctl_init_net; net/core/sysctl_net_core.c, sysctl_core_net_init;
net/netfilter/nf_conntrack_standalone.c, nf_conntrack_standalone_init_sysctl."""
_WITH_SHARED = ((b"sys", b"net", b"ipv6"),)
_SHARED = tuple((b"sys", b"net", b"ipv6", name) for name in (b"mld_max_msf", b"mld_qrv"))
"""What other networks don't have at all. Linux: net/ipv6/sysctl_net_ipv6.c, ipv6_rotable."""
_READ_BY_BUFFERS = (b"modules", b"net", b"slabinfo", b"swaps", b"sysvipc")
"""Below these Linux has no read_iter, but for softnet_stat."""
_WITHOUT_RECORDS = (b"netstat", b"snmp", b"snmp6", b"sockstat", b"sockstat6", b"softnet_stat")
"""Those of /proc/net that Linux opens as one text (fs/proc/proc_net.c, single_open_net)."""
_COUNTED_NAMES = ((b"kernel", b"hostname"), (b"kernel", b"domainname"))
"""The parameters that tell by poll(2) when they change. Linux: kernel/utsname_sysctl.c, uts_kern_table."""


_TREES: dict[tuple[bytes, ...], tuple[str, str]] = {
    (): ("system", "TREE"),
    (b"net",): ("network", "NETWORK_TREE"),
    (b"sys",): ("sysctl", "SYSCTL_TREE"),
    (b"sys", b"net"): ("network_sysctl", "NETWORK_SYSCTLS"),
    (b"sys", b"vm"): ("sysctl_vm", "VM_SYSCTLS"),
}
"""Which module of this package has the tree of which directory, by what name. It's imported for those who
look at it: most programs look at none of them, many at a parameter of memory alone.
"""
_DEEPEST_TREE = 2


def subtree(path: tuple[bytes, ...]) -> SystemTree:
    """The tree of the directory at `path`."""
    depth = min(len(path), _DEEPEST_TREE)
    while path[:depth] not in _TREES:
        depth -= 1
    tree = _tree_of(*_TREES[path[:depth]])
    for name in path[depth:]:
        below = tree[name]
        assert isinstance(below, Mapping)
        tree = below
    return tree


@cache
def _tree_of(module: str, name: str) -> SystemTree:
    tree: SystemTree = getattr(import_module(f"procession.procfs.{module}"), name)
    return tree
