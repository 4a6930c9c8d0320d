"""Namespaces as files: what /proc/PID/ns leads to, nsfs where their inodes are, and ioctl_ns(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, ENOENT, ENOTTY, EPERM, ESRCH, ESTALE
from procession.abi.nsfs import MntNsInfo, NamespaceIoctl
from procession.abi.statfs import Magic
from procession.abi.word import Words, pack_u32, pack_u64
from procession.fs.dentry import Dentry, Path
from procession.fs.file import File
from procession.fs.handle import ExportOperations
from procession.fs.inode import IMMUTABLE, S_IFDIR, S_IFREG, Inode
from procession.fs.mounts.mount import KernelMount
from procession.fs.mounts.namespace import MountNamespace
from procession.fs.superblock import Superblock
from procession.fs.user_namespace import UserNamespace
from procession.kernel.namespaces.pid import PidNamespace
from procession.kernel.pid import find_task
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.security.capability import CAP_SYS_ADMIN
from procession.kernel.task_state import ENDED

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.fs.namespace import Namespace
    from procession.fs.permission import Subject
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_INFO_SIZE = MntNsInfo.SIZE
_FILEID_NSFS = 0xF1
"""The type of their handles (Linux: include/linux/exportfs.h)."""
_HANDLE = Words("<QII")
_NR_BITS = 0xC000FFFF
_FROM_NAMESPACE = (NamespaceIoctl.NS_GET_PID_FROM_PIDNS, NamespaceIoctl.NS_GET_TGID_FROM_PIDNS)
_OF_PROCESS = (NamespaceIoctl.NS_GET_TGID_FROM_PIDNS, NamespaceIoctl.NS_GET_TGID_IN_PIDNS)
_OF_PIDS = (*_FROM_NAMESPACE, NamespaceIoctl.NS_GET_PID_IN_PIDNS, NamespaceIoctl.NS_GET_TGID_IN_PIDNS)
_OF_MOUNTS = (
    NamespaceIoctl.NS_MNT_GET_INFO,
    NamespaceIoctl.NS_MNT_GET_NEXT,
    NamespaceIoctl.NS_MNT_GET_PREV,
)


class NamespaceExports(ExportOperations):
    """Handles of namespaces: id, kind and inode number of one. Linux: fs/nsfs.c, nsfs_encode_fh."""

    __slots__ = ()

    kind = _FILEID_NSFS

    def encode(self, inode: Inode) -> bytes:
        assert isinstance(inode, NamespaceInode)
        namespace = inode.namespace
        return _HANDLE.pack(namespace.id, namespace.kind, namespace.number)


class NamespaceFileSystem(Superblock):
    """Where the inodes of namespaces are (Linux: fs/nsfs.c, nsfs)."""

    __slots__ = ("kernel", "mount")

    forbids_execution: ClassVar[bool] = True
    exports: ClassVar[ExportOperations | None] = NamespaceExports()

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel.vfs, "nsfs", int(Magic.NSFS_MAGIC))
        self.kernel = kernel
        self.is_internal = True
        self.root = Inode(self, S_IFDIR | 0o555)
        self.mount = KernelMount(self)


def namespace_file_system(kernel: Kernel) -> NamespaceFileSystem:
    """The machine's nsfs, made at first use."""
    mounts = kernel.vfs.pseudo_mounts
    mount = mounts.get("nsfs")
    if mount is None:
        mount = mounts["nsfs"] = NamespaceFileSystem(kernel).mount
    system = mount.superblock
    assert isinstance(system, NamespaceFileSystem)
    return system


class NamespaceInode(Inode):
    """A namespace: open files and bind mounts of it keep it alive. It has no name, and goes with them."""

    __slots__ = ("namespace",)

    can_be_bound: ClassVar[bool] = True

    def __init__(self, system: NamespaceFileSystem, namespace: Namespace) -> None:
        super().__init__(system, S_IFREG | 0o444)
        self.number = namespace.number
        self.link_count = 0
        # Since 6.18. Linux: fs/nsfs.c, nsfs_init_inode.
        self.flags = IMMUTABLE
        self.namespace = namespace

    @property
    def shown_link_count(self) -> int:
        return 1

    @property
    def mount_namespace(self) -> MountNamespace | None:
        namespace = self.namespace
        return namespace if isinstance(namespace, MountNamespace) else None

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return NamespaceFile(path, flags, subject)

    def evict(self) -> None:
        super().evict()
        self.namespace.inode = None
        self.namespace.end_if_unused()


def namespace_path(kernel: Kernel, namespace: Namespace) -> Path:
    """Where the file of `namespace` is. Linux: fs/nsfs.c, ns_get_path."""
    system = namespace_file_system(kernel)
    inode = namespace.inode
    if inode is None:
        inode = namespace.inode = NamespaceInode(system, namespace)
    return Path(system.mount, Dentry(repr(namespace)[1:-1].encode(), system.mount.root, inode))


def find_namespace_by_handle(task: Task, kind: int, handle: bytes) -> Path:
    """Where the file of the namespace is that a handle names: one of the caller's, or one that he rules.

    Raises ESTALE. Linux: fs/nsfs.c, nsfs_fh_to_dentry.
    """
    if kind != _FILEID_NSFS or len(handle) < _HANDLE.size:
        raise ESTALE
    namespace_id, namespace_kind, number = _HANDLE.unpack(handle[: _HANDLE.size])
    kernel = task.kernel
    namespace = kernel.vfs.namespaces.live.get(number)
    if namespace is None or namespace.id != namespace_id or namespace.kind != namespace_kind:
        raise ESTALE
    if not _is_in(task, namespace):
        owner = namespace if isinstance(namespace, UserNamespace) else namespace.owner
        if not task.credentials.ns_capable(owner, CAP_SYS_ADMIN):
            raise ESTALE
    return namespace_path(kernel, namespace)


def _is_in(task: Task, namespace: Namespace) -> bool:
    """Whether it's one of the caller's."""
    proxy = task.namespaces
    own = (
        *(proxy.mounts, proxy.uts, proxy.ipc, proxy.network, proxy.cgroup, proxy.time),
        *(task.pid_namespace, task.credentials.user_namespace),
    )
    return namespace in own


def namespace_of_task(task: Task, name: bytes) -> Namespace:
    """The namespace of `task` that /proc/PID/ns/`name` leads to. Raises ENOENT if it has none any more."""
    if name == b"user":
        return task.credentials.user_namespace
    if name == b"pid":
        return task.pid_namespace
    if task.state in ENDED:
        raise ENOENT
    proxy = task.namespaces
    if name == b"pid_for_children":
        children = proxy.pid_for_children
        if children.child_reaper is None:
            # Nobody has been made there: there is nothing to enter. Linux: kernel/pid_namespace.c,
            # pidns_for_children_get.
            raise ENOENT
        return children
    found: dict[bytes, Namespace] = {
        b"net": proxy.network,
        b"uts": proxy.uts,
        b"ipc": proxy.ipc,
        b"mnt": proxy.mounts,
        b"cgroup": proxy.cgroup,
        b"time": proxy.time,
        b"time_for_children": proxy.time_for_children,
    }
    return found[name]


class NamespaceFile(File):
    """An open namespace: nothing is read of it, at no offset."""

    __slots__ = ()

    is_seekable = True
    takes_offset = True
    has_read: ClassVar[bool] = False
    has_write: ClassVar[bool] = False
    can_poll = False

    @property
    def namespace(self) -> Namespace:
        """Which one."""
        inode = self.inode
        assert isinstance(inode, NamespaceInode)
        return inode.namespace

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Linux: fs/nsfs.c, ns_ioctl."""
        system = self.inode.superblock
        assert isinstance(system, NamespaceFileSystem)
        task = system.kernel.current
        assert task is not None
        namespace = self.namespace
        if request == NamespaceIoctl.NS_GET_USERNS:
            return open_namespace(task, seen_owner(task, namespace))
        if request == NamespaceIoctl.NS_GET_PARENT:
            return open_namespace(task, _seen_parent(task, namespace))
        if request == NamespaceIoctl.NS_GET_NSTYPE:
            return namespace.kind
        if request == NamespaceIoctl.NS_GET_OWNER_UID:
            if not isinstance(namespace, UserNamespace):
                raise EINVAL("not a user namespace")
            uid = task.credentials.user_namespace.from_kuid_munged(namespace.owner_uid)
            memory.write(argument, pack_u32(uid))
            return 0
        if request in (NamespaceIoctl.NS_GET_MNTNS_ID, NamespaceIoctl.NS_GET_ID):
            if request == NamespaceIoctl.NS_GET_MNTNS_ID and not isinstance(namespace, MountNamespace):
                raise EINVAL("not a mount namespace")
            memory.write(argument, pack_u64(namespace.id))
            return 0
        if request in _OF_PIDS:
            return _translated(task, namespace, request, argument & 0xFFFFFFFF)
        if request & _NR_BITS in [each & _NR_BITS for each in _OF_MOUNTS]:
            return _about_mounts(task, namespace, request, argument, memory)
        raise ENOTTY


def open_namespace(task: Task, namespace: Namespace) -> int:
    """A new descriptor for `namespace`. Raises EMFILE, ENFILE. Linux: fs/nsfs.c, open_namespace."""
    path = namespace_path(task.kernel, namespace)
    file = NamespaceFile(path, 0, task.credentials)
    return task.files.install(file, close_on_exec=True, limit=task.group.limits.soft[RLIMIT_NOFILE])


def seen_owner(task: Task, namespace: Namespace) -> UserNamespace:
    """The user namespace that owns another, of a user namespace the one around it.

    Raises EPERM unless it's the caller's or below that. Linux: kernel/user_namespace.c, ns_get_owner.
    """
    mine = task.credentials.user_namespace
    owner = namespace.parent if isinstance(namespace, UserNamespace) else namespace.owner
    space = owner
    while space is not None and space is not mine:
        space = space.parent
    if owner is None or space is None:
        raise EPERM("the owner is outside of the caller's user namespace")
    return owner


def _seen_parent(task: Task, namespace: Namespace) -> Namespace:
    """Raises EINVAL, EPERM. Linux: kernel/pid_namespace.c, pidns_get_parent."""
    if isinstance(namespace, UserNamespace):
        return seen_owner(task, namespace)
    if not isinstance(namespace, PidNamespace):
        raise EINVAL("such namespaces aren't nested")
    parent = namespace.parent
    if parent is None or task.pid_namespace not in parent.ancestry:
        raise EPERM("the parent is outside of the caller's pid namespace")
    return parent


def _translated(task: Task, namespace: Namespace, request: int, number: int) -> int:
    """A number of the caller's in another pid namespace, or one of that in the caller's. Raises ESRCH."""
    if not isinstance(namespace, PidNamespace):
        raise EINVAL("not a pid namespace")
    source, target = task.pid_namespace, namespace
    if request in _FROM_NAMESPACE:
        source, target = target, source
    found = find_task(source, number)
    if found is None:
        raise ESRCH(f"no task {number}")
    pid = found.group.pid if request in _OF_PROCESS else found.thread_pid
    result = pid.number_in(target)
    if not result:
        raise ESRCH("the task isn't seen there")
    return result


def _about_mounts(task: Task, namespace: Namespace, request: int, argument: int, memory: UserMemory) -> int:
    """What is known of a mount namespace, or a descriptor for the one made before or after it.

    Linux: fs/nsfs.c, copy_ns_info_to_user, ns_ioctl.
    """
    size = request >> 16 & 0x3FFF
    if size < _INFO_SIZE:
        raise ENOTTY("less than the first version has")
    is_information = request & _NR_BITS == NamespaceIoctl.NS_MNT_GET_INFO & _NR_BITS
    if not is_information and not _may_see_all_namespaces(task):
        raise EPERM("others' namespaces are seen from the first ones alone")
    if not isinstance(namespace, MountNamespace):
        raise EINVAL("not a mount namespace")
    if is_information:
        if not argument:
            raise EINVAL("nowhere to put it")
        memory.write(argument, _information(namespace, size))
        return 0
    is_next = request & _NR_BITS == NamespaceIoctl.NS_MNT_GET_NEXT & _NR_BITS
    others = [
        other
        for other in task.kernel.vfs.namespaces.live.values()
        if isinstance(other, MountNamespace)
        and not other.is_anonymous
        and (other.id > namespace.id) is is_next
        and other is not namespace
        and task.credentials.ns_capable(other.owner, CAP_SYS_ADMIN)
    ]
    if not others:
        raise ENOENT("there is no other")
    found = (min if is_next else max)(others, key=_age)
    if argument:
        memory.write(argument, _information(found, size))
    return open_namespace(task, found)


def _may_see_all_namespaces(task: Task) -> bool:
    """Whether who asks may go through the namespaces of others (Linux after 6.18)."""
    first = task.kernel.init_pid_namespace
    return task.pid_namespace is first and task.credentials.ns_capable(first.owner, CAP_SYS_ADMIN)


def _age(namespace: MountNamespace) -> int:
    return namespace.id


def _information(namespace: MountNamespace, size: int) -> bytes:
    data = MntNsInfo(_INFO_SIZE, len(namespace.mounts), namespace.id).pack()
    return data.ljust(size, b"\0")


def namespace_of_file(file: File) -> Namespace | None:
    """Which namespace an open file stands for; None for another file."""
    inode = file.inode
    return inode.namespace if isinstance(inode, NamespaceInode) else None
