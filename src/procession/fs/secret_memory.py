"""Memory that nobody reaches but by mapping it, not even the kernel on behalf of others: memfd_secret(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, ENXIO
from procession.abi.statfs import Magic
from procession.fs.file import O_LARGEFILE, O_RDWR, File
from procession.fs.inode import S_IFREG
from procession.fs.mounts.mount import KernelMount
from procession.fs.tmpfs import MemoryInode, Tmpfs, TmpfsPages
from procession.mm.vma import DONT_DUMP, LOCKED

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.handle import ExportOperations
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs
    from procession.mm.page_cache import Backing, PageCache

_MOUNT_NAME = "secretmem"


class SecretMemory(Tmpfs):
    """Where such files are. Linux: mm/secretmem.c, secretmem_fs."""

    __slots__ = ()

    forbids_execution: ClassVar[bool] = True
    has_acls: ClassVar[bool] = False
    has_xattrs: ClassVar[bool] = False
    has_uuid: ClassVar[bool] = False
    is_multigrain: ClassVar[bool] = False
    exports: ClassVar[ExportOperations | None] = None

    def __init__(self, vfs: Vfs) -> None:
        super().__init__(vfs, "secretmem", maximum_pages=vfs.memory.frame_count)
        self.is_internal = True
        self.limits = (0, 0)
        self.magic = int(Magic.SECRETMEM_MAGIC)

    def new_pages(self, backing: Backing | None = None) -> SecretPages:
        return SecretPages(self, backing)


class SecretPages(TmpfsPages):
    """Pages that are read and written by whom they're mapped for."""

    __slots__ = ()

    is_secret: ClassVar[bool] = True


class SecretInode(MemoryInode):
    """A file of secret memory, whose size is set once."""

    __slots__ = ()

    is_anonymous: ClassVar[bool] = True
    settable_flags: ClassVar[int] = 0

    @property
    def birth_ns(self) -> int | None:
        """Its file system remembers less than tmpfs. Linux: mm/secretmem.c, secretmem_iops."""
        return None

    def __init__(self, superblock: SecretMemory, subject: Subject) -> None:
        super().__init__(superblock, S_IFREG | 0o600, subject.fsuid, subject.fsgid)
        # No name leads to it: it goes with the last who has it open or mapped.
        self.link_count = 0

    @property
    def shown_link_count(self) -> int:
        """One all the same, with which the inode was made. Linux: mm/secretmem.c, secretmem_file_create."""
        return 1

    def resize(self, size: int) -> None:
        """Linux: mm/secretmem.c, secretmem_setattr."""
        if self.size:
            raise EINVAL("it has a size")
        super().resize(size)

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        """Only what memfd_secret(2) gave is open. Linux: fs/inode.c, no_open."""
        raise ENXIO


class SecretFile(File):
    """Such a file, open: it can be mapped and nothing else. Linux: mm/secretmem.c, secretmem_fops."""

    __slots__ = ()

    can_poll: ClassVar[bool] = False
    has_read: ClassVar[bool] = False
    has_write: ClassVar[bool] = False
    mapped_flags: ClassVar[int] = LOCKED | DONT_DUMP

    def truncate(self, size: int) -> None:
        self.inode.truncate(size)

    def check_mapping(self, *, is_shared: bool, is_writable: bool) -> bool:
        """Linux: mm/secretmem.c, secretmem_mmap_prepare."""
        if not is_shared:
            raise EINVAL("a private mapping would have copies")
        return super().check_mapping(is_shared=is_shared, is_writable=is_writable)

    def mappable(self) -> PageCache | None:
        return self.inode.pages


def create_secret_memory(vfs: Vfs, subject: Subject) -> SecretFile:
    """A new file of secret memory. Raises ENOSPC, ENFILE. Linux: mm/secretmem.c, secretmem_file_create."""
    mount = vfs.pseudo_mounts.get(_MOUNT_NAME)
    if mount is None:
        mount = vfs.pseudo_mounts[_MOUNT_NAME] = KernelMount(SecretMemory(vfs))
    system = mount.superblock
    assert isinstance(system, SecretMemory)
    vfs.accounts.check_files()
    system.count_inode()
    path = vfs.pseudo_path(mount, b"/secretmem (deleted)", SecretInode(system, subject))
    return SecretFile(path, O_RDWR | O_LARGEFILE, subject)
