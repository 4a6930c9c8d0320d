"""Files in memory without a name, which can be sealed: memfd_create(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBUSY, EINVAL, EOPNOTSUPP, EPERM
from procession.abi.mmap_flags import MemfdFlag
from procession.abi.open_flags import FallocateFlag, Seal
from procession.fs.file import O_LARGEFILE, O_RDWR, File
from procession.fs.inode import S_IFREG
from procession.fs.mounts.mount import KernelMount, Mount
from procession.fs.regular_file import RegularFile
from procession.fs.tmpfs import TMPFS_MAGIC, MemoryInode, Tmpfs
from procession.hardware.physical_memory import PAGE_MASK
from procession.mm.address_space import MemoryDescriptor

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs

_KEEP_SIZE = int(FallocateFlag.FALLOC_FL_KEEP_SIZE)
_PUNCH_HOLE = int(FallocateFlag.FALLOC_FL_PUNCH_HOLE)
_MFD_ALLOW_SEALING = int(MemfdFlag.MFD_ALLOW_SEALING)
_MFD_NOEXEC_SEAL = int(MemfdFlag.MFD_NOEXEC_SEAL)
F_SEAL_SEAL = int(Seal.F_SEAL_SEAL)
F_SEAL_SHRINK = int(Seal.F_SEAL_SHRINK)
F_SEAL_GROW = int(Seal.F_SEAL_GROW)
F_SEAL_WRITE = int(Seal.F_SEAL_WRITE)
F_SEAL_FUTURE_WRITE = int(Seal.F_SEAL_FUTURE_WRITE)
F_SEAL_EXEC = int(Seal.F_SEAL_EXEC)
_ALL_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | F_SEAL_EXEC
_NO_WRITING = F_SEAL_WRITE | F_SEAL_FUTURE_WRITE
_MOUNT_NAME = "shared memory"


class MemfdInode(MemoryInode):
    """Such a file; `seals` are what is forbidden, as F_SEAL_*."""

    __slots__ = ("seals",)

    def __init__(self, superblock: Tmpfs, mode: int, uid: int, gid: int, seals: int) -> None:
        super().__init__(superblock, mode, uid, gid)
        self.link_count = 0
        self.seals = seals

    @property
    def may_be_written_by_mapping(self) -> bool:
        """Whether there is a shared mapping that is writable or can become so.

        Linux: include/linux/fs.h, i_mmap_writable.
        """
        return any(
            area.pages is self.pages and area.is_shared and area.may_write
            for space in self.superblock.memory.address_spaces
            if isinstance(space, MemoryDescriptor)
            for area in space.areas
        )

    def resize(self, size: int) -> None:
        """Linux: mm/shmem.c, shmem_setattr."""
        if (size < self.size and self.seals & F_SEAL_SHRINK) or (
            size > self.size and self.seals & F_SEAL_GROW
        ):
            raise EPERM
        super().resize(size)

    def set_attributes(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        if mode is not None and self.seals & F_SEAL_EXEC and (mode ^ self.mode) & 0o111:
            raise EPERM
        super().set_attributes(mode=mode, uid=uid, gid=gid, atime_ns=atime_ns, mtime_ns=mtime_ns)

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return MemfdFile(path, flags, subject)


class MemfdFile(RegularFile):
    """An open file that may be sealed.

    One that was made with the file, and not opened, doesn't keep it from being executed, though it can be
    written to (Linux: fs/file_table.c, alloc_file_pseudo).
    """

    __slots__ = ("is_counted",)

    def __init__(self, path: Path, flags: int, subject: Subject, *, is_counted: bool = True) -> None:
        super().__init__(path, flags, subject)
        self.is_counted = is_counted
        if not is_counted:
            self.inode.writer_count -= 1

    def release(self) -> None:
        if not self.is_counted:
            self.inode.writer_count += 1
        super().release()

    @property
    def memfd(self) -> MemfdInode:
        """The file of memory."""
        inode = self.inode
        assert isinstance(inode, MemfdInode)
        return inode

    def _write(self, offset: int, data: bytes) -> int:
        """Linux: mm/shmem.c, shmem_write_begin."""
        seals = self.memfd.seals
        if not data:
            return 0
        if seals & _NO_WRITING:
            raise EPERM
        if seals & F_SEAL_GROW and offset + len(data) > self.memfd.size:
            # Written page by page: those within the size are, the one that isn't ends it.
            data = data[: max((self.memfd.size & ~PAGE_MASK) - offset, 0)]
            if not data:
                raise EPERM
        return super()._write(offset, data)

    def allocate(self, mode: int, offset: int, length: int) -> None:
        if mode not in (0, _KEEP_SIZE, _KEEP_SIZE | _PUNCH_HOLE):
            raise EOPNOTSUPP
        seals = self.memfd.seals
        punches = mode & _PUNCH_HOLE
        if (punches and seals & _NO_WRITING) or (
            not punches and seals & F_SEAL_GROW and offset + length > self.memfd.size
        ):
            raise EPERM
        super().allocate(mode, offset, length)

    def check_mapping(self, *, is_shared: bool, is_writable: bool) -> bool:
        is_sealed = is_shared and self.memfd.seals & _NO_WRITING
        if is_sealed and is_writable:
            raise EPERM
        return not is_sealed and super().check_mapping(is_shared=is_shared, is_writable=is_writable)

    def add_seals(self, seals: int) -> None:
        """F_ADD_SEALS. Raises EPERM, EINVAL, EBUSY (it's mapped, and may be written to that way).

        Linux: mm/memfd.c, memfd_add_seals; it looks for writable shared mappings alone.
        """
        inode = self.memfd
        if not self.is_writable:
            raise EPERM
        if seals & ~_ALL_SEALS:
            raise EINVAL
        if inode.seals & F_SEAL_SEAL:
            raise EPERM
        if seals & F_SEAL_EXEC and inode.mode & 0o111:
            seals |= F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE
        if seals & F_SEAL_WRITE and not inode.seals & F_SEAL_WRITE and inode.may_be_written_by_mapping:
            raise EBUSY
        inode.seals |= seals


def seals_of(file: File) -> int:
    """F_GET_SEALS. Raises EINVAL for a file that has none. Linux: mm/memfd.c, memfd_get_seals."""
    inode = file.inode
    if isinstance(inode, MemfdInode):
        return inode.seals
    if inode.is_regular and inode.superblock.magic == TMPFS_MAGIC:
        return F_SEAL_SEAL
    raise EINVAL("not a file of shared memory")


def add_seals(file: File, seals: int) -> None:
    """F_ADD_SEALS, as of `MemfdFile.add_seals`; EINVAL for a file that has none."""
    if isinstance(file, MemfdFile):
        file.add_seals(seals)
        return
    if not file.is_writable:
        raise EPERM
    if seals & ~_ALL_SEALS:
        raise EINVAL
    seals_of(file)
    raise EPERM("it can't be sealed")


def shared_memory_mount(vfs: Vfs) -> Mount:
    """Where files of shared memory that have no name are, made at first use (in Linux, shm_mnt)."""
    mount = vfs.pseudo_mounts.get(_MOUNT_NAME)
    if mount is None:
        superblock = Tmpfs(vfs, maximum_pages=vfs.memory.frame_count)
        superblock.is_internal = True
        superblock.limits = (0, 0)
        mount = vfs.pseudo_mounts[_MOUNT_NAME] = KernelMount(superblock)
    return mount


def create_memfd(vfs: Vfs, name: bytes, flags: int, subject: Subject) -> File:
    """A new file of that name for /proc/PID/maps; `flags` are MFD_*. Raises ENOSPC, ENFILE.

    Linux: mm/memfd.c, SYSCALL_DEFINE2(memfd_create).
    """
    mount = shared_memory_mount(vfs)
    system = mount.superblock
    assert isinstance(system, Tmpfs)
    seals = F_SEAL_SEAL
    permissions = 0o777
    if flags & _MFD_NOEXEC_SEAL:
        seals, permissions = F_SEAL_EXEC, 0o666
    elif flags & _MFD_ALLOW_SEALING:
        seals = 0
    vfs.accounts.check_files()
    system.count_inode()
    inode = MemfdInode(system, S_IFREG | permissions, subject.fsuid, subject.fsgid, seals)
    path = vfs.pseudo_path(mount, b"/memfd:" + name + b" (deleted)", inode)
    return MemfdFile(path, O_RDWR | O_LARGEFILE, subject, is_counted=False)
