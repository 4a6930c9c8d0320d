"""The file system cgroup2: directories, files, and how they are opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import E2BIG, EINVAL, ENODEV, ENOENT, EPERM, ESTALE
from procession.abi.limits import PATH_MAX
from procession.abi.open_flags import O_ACCMODE
from procession.abi.statfs import Magic
from procession.abi.word import pack_u64
from procession.fs.file import ALWAYS_READY, O_RDONLY, POLLERR, POLLPRI, File
from procession.fs.handle import FILEID_INO32_GEN, FILEID_INO32_GEN_PARENT, ExportOperations
from procession.fs.inode import S_IFDIR, S_IFREG, DirectoryEntry, Inode
from procession.fs.mounts.mount import root_dentry
from procession.fs.namei import look_up_entry
from procession.fs.permission import MAY_WRITE
from procession.fs.superblock import LARGEST_OF_OLD, Superblock
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.cgroup.directory import GroupDirectory
from procession.procfs.cgroup.control_file import ControlFile, Opener
from procession.procfs.inode import AttributeFile, open_kernfs_directory, refuse_renaming
from procession.procfs.pressure import TriggerSlot, pressure_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from procession.fs.dentry import Dentry, Path
    from procession.fs.permission import Subject
    from procession.fs.wait_queue import WaitQueue
    from procession.kernel.cgroup.attach import Mover
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel

_MAXIMUM_WRITE = 4096
_FILEID_KERNFS = 0xFE
"""The type of the handles of control groups (Linux: include/linux/exportfs.h, enum fid_type)."""
_KNOWN_TYPES = (_FILEID_KERNFS, FILEID_INO32_GEN, FILEID_INO32_GEN_PARENT)
_ID_SIZE = 8


def control_files() -> dict[bytes, ControlFile]:
    """All files that there are. Most programs look at none of them."""
    from procession.procfs.cgroup.files import CONTROL_FILES

    return CONTROL_FILES


class CgroupExports(ExportOperations):
    """A handle is the group's number, as programs ask for it. In Linux, kernfs_export_ops."""

    __slots__ = ()

    kind = _FILEID_KERNFS
    can_connect: ClassVar[bool] = True

    def encode(self, inode: Inode) -> bytes:
        """In Linux, kernfs_encode_fh."""
        return pack_u64(inode.number)

    def number_of(self, kind: int, handle: bytes) -> int:
        """The usual types are taken too (in Linux, __kernfs_fh_to_dentry)."""
        if kind not in _KNOWN_TYPES or len(handle) < _ID_SIZE:
            raise ESTALE
        return int.from_bytes(handle[:_ID_SIZE], "little")

    def children(self, directory: Inode) -> Iterable[tuple[bytes, Inode]]:
        assert isinstance(directory, CgroupDirectory)
        directories = directory.cgroupfs.directories
        yield from directory.files.items()
        for name, child in directory.group.children.items():
            yield name, directories[child]


class CgroupFileSystem(Superblock):
    """The one file system of a machine's control groups (Linux: kernel/cgroup/cgroup.c, cgroup2_fs_type).

    `directories` has the directory of each group.
    """

    __slots__ = ("directories", "kernel")

    forbids_execution: ClassVar[bool] = True

    has_xattrs: ClassVar[bool] = True
    tells_removal: ClassVar[bool] = False
    exports: ClassVar[ExportOperations | None] = CgroupExports()

    has_uuid: ClassVar[bool] = True
    largest_file: ClassVar[int] = LARGEST_OF_OLD
    longest_name: ClassVar[int] = PATH_MAX

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel.vfs, "cgroup2", int(Magic.CGROUP2_SUPER_MAGIC))
        self.kernel = kernel
        self.directories: dict[Cgroup, CgroupDirectory] = {}
        self.source = b"cgroup2"
        self.root = CgroupDirectory(self, kernel.cgroups.root, 0o755)

    def show_options(self) -> bytes:
        """Linux: kernel/cgroup/cgroup.c, cgroup_show_options."""
        groups = self.kernel.cgroups
        options = (
            (b"nsdelegate", groups.is_namespace_delegated),
            (b"favordynmods", b"favordynmods" in groups.shown_options),
            (b"memory_localevents", groups.has_local_memory_events),
            (b"memory_recursiveprot", groups.protects_recursively),
            (b"memory_hugetlb_accounting", b"memory_hugetlb_accounting" in groups.shown_options),
            (b"pids_localevents", groups.has_local_pids_events),
        )
        return b",".join(name for name, is_set in options if is_set)

    def show_path(self, entry: Dentry) -> bytes:
        """Linux: kernel/cgroup/cgroup.c, cgroup_show_path."""
        directory = entry.inode
        assert isinstance(directory, CgroupDirectory | CgroupFile)
        path = directory.group.path_from(self.kernel.seen_namespaces.cgroup.root)
        if isinstance(directory, CgroupFile):
            path = path.rstrip(b"/") + b"/" + entry.name
        return path

    def entry_of(self, group: Cgroup) -> Dentry:
        """The entry of the directory of `group`."""
        entry = root_dentry(self)
        for each in reversed(list(group.ancestors())):
            if each.parent is not None:
                entry = look_up_entry(entry, each.name)
        return entry

    def check_write(self, group: Cgroup, subject: Subject) -> None:
        """Raise EACCES unless `subject` may write to the cgroup.procs of `group`."""
        self.directories[group].lookup(b"cgroup.procs").check_permission(subject, MAY_WRITE)

    def opener(self, subject: Subject) -> Opener:
        """The running task as one who opens a file with the rights of `subject`."""
        return Opener(self, subject, self.kernel.seen_namespaces.cgroup.root)


class CgroupDirectory(GroupDirectory):
    """A control group.

    `files` are the inodes of its control files that have been looked up, whose owners and modes stay. They
    are `maker`'s at first, a user and a group.
    """

    __slots__ = ("cgroupfs", "files", "maker")

    caches_lookups = False
    seeks_from_end: ClassVar[bool] = True

    def __init__(self, superblock: CgroupFileSystem, group: Cgroup, permissions: int) -> None:
        super().__init__(superblock, group, S_IFDIR | permissions)
        self.cgroupfs = superblock
        self.maker = (0, 0)
        self.files: dict[bytes, CgroupFile] = {}
        superblock.directories[group] = self

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return open_kernfs_directory(path, flags, subject)

    def rename(
        self, name: bytes, new_directory: Inode, new_name: bytes, flags: int, subject: Subject
    ) -> Inode | None:
        return refuse_renaming(flags)

    def mover(self, subject: Subject) -> Mover:
        return self.cgroupfs.opener(subject)

    def has(self, control: ControlFile) -> bool:
        """Whether the group has this file now."""
        if self.group.is_dead:
            return False
        if control.controller & ~self.group.available_controllers:
            return False
        return control.is_on_root if self.group.parent is None else control.is_below_root

    def needs_reference(self, name: bytes) -> bool:
        """In Linux, kernfs_dop_revalidate."""
        return True

    def lookup(self, name: bytes) -> Inode:
        child = self.group.children.get(name)
        if child is not None:
            return self.cgroupfs.directories[child]
        control = control_files().get(name)
        if control is None or not self.has(control):
            raise ENOENT
        file = self.files.get(name)
        if file is None:
            self.superblock.vfs.accounts.add_inode()
            file = self.files[name] = CgroupFile(self, name, control)
        if control.event is not None:
            event = control.event(self.group)
            event.inode, event.directory, event.name = file, self, name
        return file

    def list_entries(self) -> list[DirectoryEntry]:
        # Numbers are given when a name is looked up; a listing needs any that isn't 0.
        entries: list[DirectoryEntry] = []
        for position, (name, control) in enumerate(control_files().items()):
            if self.has(control):
                file = self.files.get(name)
                number = position + 1 if file is None else file.number
                entries.append(DirectoryEntry(name, number, S_IFREG >> 12))
        entries += (
            DirectoryEntry(name, child.number, S_IFDIR >> 12) for name, child in self.group.children.items()
        )
        return entries

    def mkdir(self, name: bytes, mode: int, subject: Subject) -> Inode:
        """Linux: kernel/cgroup/cgroup.c, cgroup_mkdir."""
        if b"\n" in name:
            raise EINVAL("a name with a line's end would spoil /proc/PID/cgroup")
        superblock, group = self.cgroupfs, self.group
        if group.is_dead:
            raise ENODEV
        group.check_limits()
        superblock.vfs.accounts.add_inode()
        kernel = superblock.kernel
        try:
            child = kernel.cgroups.make(kernel, group, name, superblock.next_inode_number)
        except OutOfFrames:
            superblock.vfs.accounts.remove_inodes()
            raise
        directory = CgroupDirectory(superblock, child, mode)
        directory.uid, directory.gid = directory.maker = subject.fsuid, subject.fsgid
        self.link_count += 1
        self.touch_modified()
        return directory

    def rmdir(self, name: bytes) -> None:
        """Linux: kernel/cgroup/cgroup.c, cgroup_rmdir."""
        child = self.group.children.get(name)
        if child is None:
            raise EPERM("no group")
        child.check_removal()
        superblock = self.cgroupfs
        superblock.kernel.cgroups.remove(superblock.kernel, child)
        directory = superblock.directories.pop(child)
        self.link_count -= 1
        self.touch_modified()
        for file in directory.files.values():
            file.link_count = 0
            file.evict_if_unused()
        directory.link_count = 0
        directory.evict_if_unused()

    def evict(self) -> None:
        super().evict()
        self.superblock.vfs.accounts.remove_inodes()


class CgroupFile(Inode):
    """A control file of a group."""

    __slots__ = ("group", "name", "cgroupfs")

    def __init__(self, directory: CgroupDirectory, name: bytes, control: ControlFile) -> None:
        uid, gid = directory.maker
        super().__init__(directory.superblock, S_IFREG | control.permissions, uid, gid)
        self.cgroupfs = directory.cgroupfs
        self.group = directory.group
        self.name = name

    @property
    def control(self) -> ControlFile:
        """What it shows and does: functions aren't of the machine's state."""
        return control_files()[self.name]

    def truncate(self, size: int) -> None:
        """Allowed and without effect: `echo 1 > FILE` opens with O_TRUNC."""

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        kind = CgroupReadOnlyFile if flags & O_ACCMODE == O_RDONLY else CgroupOpenFile
        file = kind(path, flags, subject, self)
        if self.group.is_dead:
            file.release_if_unheld()
            raise ENODEV("the group has been removed")
        return file

    def evict(self) -> None:
        super().evict()
        self.superblock.vfs.accounts.remove_inodes()

    def is_gone(self) -> bool:
        """Whether the group has been removed, or doesn't have this file any more."""
        group = self.group
        return group.is_dead or bool(self.control.controller & ~group.available_controllers)


class CgroupOpenFile(AttributeFile):
    """An open control file; `opener` is whose rights count, `seen_count` when it was read last."""

    __slots__ = ("control_inode", "opener", "seen_count")

    def __init__(self, path: Path, flags: int, subject: Subject, inode: CgroupFile) -> None:
        self.opener = inode.cgroupfs.opener(subject)
        self.control_inode = inode
        event = inode.control.event
        if inode.control.has_trigger and not inode.is_gone():
            pressure_of(self.opener.kernel, inode.group)
            self.opener.slot = TriggerSlot()
        self.seen_count = event(inode.group).count if event is not None and not inode.is_gone() else 0
        super().__init__(path, flags, subject, self)

    def show(self, subject: Subject) -> bytes:
        """The contents now. Raises ENODEV when the group is gone."""
        inode = self.control_inode
        control, group = inode.control, inode.group
        if inode.is_gone():
            raise ENODEV("the group has been removed")
        if control.event is not None:
            self.seen_count = control.event(group).count
        if control.show is None:
            raise EINVAL("there is nothing to read")
        return control.show(group, self.opener)

    def seek(self, offset: int, whence: int) -> int:
        """In Linux, kernfs_fop_llseek."""
        if self.control_inode.is_gone():
            raise ENODEV("the group has been removed")
        return super().seek(offset, whence)

    def store(self, data: bytes, subject: Subject) -> None:
        """Take what is written at once. Linux: kernel/cgroup/cgroup.c, cgroup_file_write."""
        inode, opener = self.control_inode, self.opener
        control, group = inode.control, inode.group
        if len(data) > _MAXIMUM_WRITE:
            raise E2BIG("more than a page")
        if inode.is_gone():
            raise ENODEV("the group has been removed")
        if not data:
            return
        kernel = opener.kernel
        if (
            kernel.cgroups.is_namespace_delegated
            and not control.is_delegatable
            and group is opener.seen_root
            and opener.seen_root is not kernel.init_namespaces.cgroup.root
        ):
            raise EPERM("the limits of a namespace's root aren't its own to set")
        if control.store is None:
            raise EINVAL("nothing can be written")
        # As far as Linux looks at it, which takes it for a string.
        control.store(group, data.partition(b"\0")[0], opener)

    def release(self) -> None:
        super().release()
        if self.opener.slot is not None:
            self.opener.slot.release()
        counter = self.control_inode.group.memory
        if counter is not None:
            counter.peak_watches.pop(self.opener.peak, None)

    def poll_mask(self) -> int:
        slot = self.opener.slot
        if slot is not None and not self.control_inode.is_gone():
            return slot.poll_mask()
        inode = self.control_inode
        event = inode.control.event
        if event is not None and (inode.is_gone() or event(inode.group).count != self.seen_count):
            return ALWAYS_READY | POLLERR | POLLPRI
        return super().poll_mask()

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        event = self.control_inode.control.event
        if self.opener.slot is not None:
            return self.opener.slot.wait_queues()
        if event is None or self.control_inode.is_gone():
            return ()
        return (event(self.control_inode.group).queue,)


class CgroupReadOnlyFile(CgroupOpenFile):
    """One opened for reading: offsets to write at are refused (in Linux, kernfs_fop_open)."""

    __slots__ = ()

    takes_write_offset: ClassVar[bool] = False
