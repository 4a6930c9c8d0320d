"""Inodes of proc: directories that nobody can change, and files that are made when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, NoReturn, Protocol

from procession.abi.errno import EACCES, EINVAL, EIO, EPERM
from procession.abi.open_flags import O_ACCMODE
from procession.fs.file import (
    ALWAYS_READY,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    POLLERR,
    POLLPRI,
    File,
    PositionedFile,
    seek_by_default,
    seek_sized,
    set_position,
)
from procession.fs.inode import S_IFDIR, S_IFLNK, S_IFREG, Inode
from procession.hardware.kernel_memory import TEXT
from procession.hardware.physical_memory import PAGE_SIZE

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.fs.superblock import Superblock
    from procession.mm.page_cache import PageCache
    from procession.procfs.file_system import ProcFileSystem

ATTRIBUTE_SIZE = 4096
"""What stat(2) gives as the size of any attribute of sysfs."""


class Source(Protocol):
    """What makes the contents of a GeneratedFile."""

    def show(self, subject: Subject) -> bytes:
        """The contents now, for the one who opened the file."""

    def store(self, data: bytes, subject: Subject) -> None:
        """Take what is written at once. Raises EIO if nothing can be written."""


class ProcInode(Inode):
    """What the inodes of proc have in common: nothing is created or removed, and modes stay, as a rule."""

    __slots__ = ("proc",)

    def __init__(self, superblock: ProcFileSystem, mode: int, number: int) -> None:
        super().__init__(superblock, mode)
        self.proc = superblock
        self.number = number

    def set_attributes(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        self.check_change(changes_mode=mode is not None, changes_owner=uid is not None or gid is not None)
        super().set_attributes(mode=mode, uid=uid, gid=gid, atime_ns=atime_ns, mtime_ns=mtime_ns)

    def check_change(self, *, changes_mode: bool, changes_owner: bool) -> None:
        """Raise EPERM for what isn't to be changed. Linux: fs/proc/base.c, proc_nochmod_setattr."""
        if changes_mode:
            raise EPERM


class ProcDirectory(ProcInode):
    """A directory of proc. Linux fails to look up a name before it could refuse to create it: ENOENT."""

    __slots__ = ()

    seeks_from_end: ClassVar[bool] = True
    can_be_synced: ClassVar[bool] = False
    can_get_names: ClassVar[bool] = False

    def __init__(self, superblock: ProcFileSystem, number: int, permissions: int = 0o555) -> None:
        super().__init__(superblock, S_IFDIR | permissions, number)


def refuse_renaming(flags: int) -> NoReturn:
    """Nothing of kernfs is given another name (in Linux, kernfs_iop_rename)."""
    raise EINVAL("kernfs knows no flags") if flags else EPERM


def open_kernfs_directory(path: Path, flags: int, subject: Subject) -> File:
    """Open a directory of sysfs or cgroup2. Most programs open none."""
    from procession.procfs.kernfs_directory import KernfsDirectoryFile

    return KernfsDirectoryFile(path, flags, subject)


class KernfsDirectory(Inode):
    """A directory of sysfs. It seeks as any file does: in Linux, kernfs_dir_fops has generic_file_llseek."""

    __slots__ = ()

    seeks_from_end: ClassVar[bool] = True
    can_be_synced: ClassVar[bool] = False

    def __init__(self, superblock: Superblock) -> None:
        super().__init__(superblock, S_IFDIR | 0o755)

    def needs_reference(self, name: bytes) -> bool:
        """In Linux, kernfs_dop_revalidate."""
        return True

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return open_kernfs_directory(path, flags, subject)

    def rename(
        self, name: bytes, new_directory: Inode, new_name: bytes, flags: int, subject: Subject
    ) -> Inode | None:
        return refuse_renaming(flags)

    @property
    def shown_link_count(self) -> int:
        """Its directories count (in Linux, kernfs_refresh_inode)."""
        return self.link_count + sum(entry.type == S_IFDIR >> 12 for entry in self.list_entries())


class ProcLink(ProcInode):
    """A symbolic link of proc; subclasses say where it leads."""

    __slots__ = ()

    def __init__(self, superblock: ProcFileSystem, number: int, permissions: int = 0o777) -> None:
        super().__init__(superblock, S_IFLNK | permissions, number)


class ProcFile(ProcInode):
    """A file of proc: `show` makes its contents, `store` takes what is written."""

    __slots__ = ()

    def __init__(self, superblock: ProcFileSystem, number: int, permissions: int) -> None:
        super().__init__(superblock, S_IFREG | permissions, number)

    def truncate(self, size: int) -> None:
        """Allowed and without effect: `echo 1 > FILE` opens with O_TRUNC (in Linux, proc_setattr)."""

    @property
    def longest_text(self) -> int | None:
        """How much is looked at of what is written at once; None for all."""
        return None

    @property
    def is_cut(self) -> bool:
        """Whether only what is looked at counts as written; else all does."""
        return False

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        self.check_open(subject)
        return GeneratedFile(path, flags, subject, self)

    def check_can_write(self) -> None:
        """Raise EINVAL if there is no way to write it, which comes before all else."""

    def check_write(self, length: int) -> None:
        """Raise what doesn't depend on what is written, but its length: asked when it can't be read."""

    def check_open(self, subject: Subject) -> None:
        """Refuse to be opened, beyond what the mode says."""

    def show(self, subject: Subject) -> bytes:
        """The contents now. Raises ESRCH when the task is gone, EIO when it can't be read at all."""
        raise EIO

    def store(self, data: bytes, subject: Subject) -> None:
        """Take `data`, written at once. Raises EIO if nothing can be written, EINVAL and others."""
        raise EIO


class GeneratedFile(PositionedFile):
    """An open file whose contents are made when it's read from the beginning (Linux: fs/seq_file.c)."""

    __slots__ = ("contents", "source")

    knows_nowait: ClassVar[bool] = False
    can_poll = False

    def __init__(self, path: Path, flags: int, subject: Subject, source: Source) -> None:
        super().__init__(path, flags, subject)
        self.source = source
        self.contents: bytes | None = None

    def release(self) -> None:
        if self.contents is not None:
            self.inode.superblock.vfs.memory.account.uncharge(TEXT, len(self.contents))
            self.contents = None

    def read_at(self, offset: int, length: int) -> bytes:
        if not length and self.takes_read_flags:
            # Nothing is asked of what it tells of. Linux: fs/seq_file.c, seq_read_iter.
            return b""
        contents = self.contents
        if contents is None or offset == 0:
            account = self.inode.superblock.vfs.memory.account
            old_size = len(contents) if contents is not None else 0
            contents = self.source.show(self.subject)
            self.inode.superblock.vfs.clock.spend_showing(len(contents))
            account.charge(TEXT, len(contents))
            account.uncharge(TEXT, old_size)
            self.contents = contents
        return contents[offset : offset + length]

    def write(self, data: bytes) -> int:
        count = self.write_at(self.position, data)
        self.position += count
        return count

    def write_at(self, offset: int, data: bytes) -> int:
        self.source.store(data, self.subject)
        return self.counted_at_once(len(data))

    def check_can_write(self) -> None:
        super().check_can_write()
        if isinstance(self.inode, ProcFile):
            self.inode.check_can_write()

    def check_message(self, length: int) -> None:
        if isinstance(self.inode, ProcFile):
            self.inode.check_write(length)

    def fetched_at_once(self, length: int) -> int | None:
        longest = self.inode.longest_text if isinstance(self.inode, ProcFile) else None
        return length if longest is None else min(length, longest)

    def counted_at_once(self, length: int) -> int:
        inode = self.inode
        fetched = self.fetched_at_once(length) if isinstance(inode, ProcFile) and inode.is_cut else None
        return length if fetched is None else fetched

    def seek(self, offset: int, whence: int) -> int:
        """Linux: fs/seq_file.c, seq_lseek."""
        return set_position(self, offset, whence, None)


def refuse_mapping() -> NoReturn:
    """What tells of the machine looks as if it could be mapped. Linux: fs/proc/inode.c, proc_reg_mmap."""
    raise EIO("nothing of it can be mapped")


class SizedFile(GeneratedFile):
    """One whose inode has a size, be it 0, from which offsets can be counted. Those of proc are read and
    written a buffer at a time."""

    __slots__ = ()

    takes_read_flags: ClassVar[bool] = False
    takes_write_flags: ClassVar[bool] = False

    def seek(self, offset: int, whence: int) -> int:
        """Linux: fs/read_write.c, generic_file_llseek."""
        return seek_sized(self, offset, whence, self.inode.size)


class EnvironmentFile(SizedFile):
    """An open /proc/PID/environ. Linux: fs/proc/base.c, environ_read."""

    __slots__ = ()

    is_copied_whole: ClassVar[bool] = True


def open_attribute(path: Path, flags: int, subject: Subject, source: Source) -> File:
    """Open a file of sysfs, which even root writes to only where somebody may (in Linux, kernfs_fop_open).

    Raises EACCES.
    """
    # One for neither reading nor writing, which takes both rights, is asked for nothing more.
    access = flags & O_ACCMODE
    if access in (O_WRONLY, O_RDWR) and not path.inode.mode & 0o222:
        raise EACCES("the attribute is read-only")
    if access in (O_RDONLY, O_RDWR) and not path.inode.mode & 0o444:
        raise EACCES("the attribute is only written to")
    kind = AttributeFile if access in (O_WRONLY, O_RDWR) else ReadOnlyAttributeFile
    return kind(path, flags, subject, source)


class AttributeFile(SizedFile):
    """An open file of sysfs: until it's read, it's as if it had changed, as in kernfs."""

    __slots__ = ("was_shown",)

    can_poll: ClassVar[bool] = True
    takes_read_flags: ClassVar[bool] = True
    takes_write_flags: ClassVar[bool] = True

    def __init__(self, path: Path, flags: int, subject: Subject, source: Source) -> None:
        super().__init__(path, flags, subject, source)
        self.was_shown = False

    def pages_to_sync(self) -> PageCache | None:
        """Nothing to do. Linux: fs/libfs.c, noop_fsync."""
        return None

    def fetched_at_once(self, length: int) -> int | None:
        """In Linux, kernfs_fop_write_iter."""
        return min(length, PAGE_SIZE)

    def counted_at_once(self, length: int) -> int:
        return min(length, PAGE_SIZE)

    def read_at(self, offset: int, length: int) -> bytes:
        data = super().read_at(offset, length)
        self.was_shown = self.was_shown or bool(self.contents)
        return data

    def poll_mask(self) -> int:
        return ALWAYS_READY if self.was_shown else ALWAYS_READY | POLLERR | POLLPRI


class ReadOnlyAttributeFile(AttributeFile):
    """One that was opened for reading, of which offsets to write at are no matter, as of records."""

    __slots__ = ()

    takes_write_offset: ClassVar[bool] = False


class RecordsFile(GeneratedFile):
    """One that has no offsets to write at, as Linux makes it of records (fs/seq_file.c, seq_open)."""

    __slots__ = ()

    takes_write_offset: ClassVar[bool] = False


class SingleBufferFile(GeneratedFile):
    """One that is read and written a buffer at a time, which doesn't move its position (in Linux, it has
    neither read_iter nor write_iter)."""

    __slots__ = ()

    takes_read_flags: ClassVar[bool] = False
    takes_write_flags: ClassVar[bool] = False

    def write(self, data: bytes) -> int:
        return self.write_at(self.position, data)

    def seek(self, offset: int, whence: int) -> int:
        return seek_sized(self, offset, whence, 0)


class FreePositionFile(SingleBufferFile):
    """One that takes any position."""

    __slots__ = ()

    def seek(self, offset: int, whence: int) -> int:
        return seek_by_default(self, offset, whence, 0)


class FixedPositionFile(SingleBufferFile):
    """One whose position can't be set."""

    __slots__ = ()

    def seek(self, offset: int, whence: int) -> int:
        """Linux: fs/read_write.c, noop_llseek."""
        return self.position


class SequenceFile(SingleBufferFile):
    """One that has no offsets to write at, either. Linux: fs/seq_file.c, seq_open."""

    __slots__ = ()

    takes_write_offset: ClassVar[bool] = False

    def seek(self, offset: int, whence: int) -> int:
        return set_position(self, offset, whence, None)
