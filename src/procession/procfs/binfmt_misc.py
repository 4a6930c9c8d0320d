"""binfmt_misc: the file system in which interpreters for kinds of programs are registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EEXIST, EINVAL, EIO, ENOENT
from procession.abi.statfs import Magic
from procession.fs.binary_format import BinaryFormats, parse_registration
from procession.fs.file_system_type import FileSystemType
from procession.fs.inode import S_IFDIR, S_IFREG, DirectoryEntry, Inode
from procession.fs.superblock import LARGEST_OF_OLD, Superblock
from procession.hardware.kernel_memory import BINARY_FORMAT_BYTES
from procession.kernel.program.exec import open_interpreter
from procession.procfs.inode import SingleBufferFile

if TYPE_CHECKING:
    from procession.fs.binary_format import BinaryFormat
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.mounts.context import MountContext
    from procession.fs.permission import Subject
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.kernel import Kernel

BINFMTFS_MAGIC = int(Magic.BINFMTFS_MAGIC)
_LONGEST_COMMAND = 3


class BinaryFormatFileSystem(Superblock):
    """The one instance of a user namespace. The formats are gone with its last mount.

    Linux: fs/binfmt_misc.c, bm_fill_super.
    """

    __slots__ = ("formats", "kernel", "root_ids", "user_namespace")

    forbids_execution: ClassVar[bool] = True

    largest_file: ClassVar[int] = LARGEST_OF_OLD

    def __init__(self, kernel: Kernel, space: UserNamespace, formats: BinaryFormats) -> None:
        super().__init__(kernel.vfs, "binfmt_misc", BINFMTFS_MAGIC)
        self.kernel = kernel
        self.user_namespace = space
        space.acquire()
        self.formats = formats
        # All of it belongs to the namespace's root.
        self.root_ids: tuple[int, int] = (space.make_kuid(0), space.make_kgid(0))
        self.root = FormatDirectory(self)

    def shut_down(self) -> None:
        self.formats.clear()
        self.formats.superblock = None
        self.user_namespace.put()


class BinaryFormatType(FileSystemType):
    """The same file system each time in a user namespace. Linux: fs/binfmt_misc.c, bm_fs_type."""

    __slots__ = ()

    name: ClassVar[bytes] = b"binfmt_misc"

    def get_tree(self, context: MountContext) -> Superblock:
        """Raises OutOfFrames. Linux: fs/binfmt_misc.c, bm_get_tree."""
        space = context.owner
        formats = space.binary_formats
        if formats is None:
            account = context.kernel.memory.account
            if space.level:
                space.charge_memory(account, BINARY_FORMAT_BYTES)
            formats = space.binary_formats = BinaryFormats(account)
        if formats.superblock is None:
            formats.is_enabled = True
            formats.superblock = BinaryFormatFileSystem(context.kernel, space, formats)
        found: Superblock = formats.superblock
        return found


class FormatDirectory(Inode):
    """The root: `register`, `status`, and a file for each format."""

    __slots__ = ("file_system", "register", "shown", "status")

    caches_lookups = False

    def __init__(self, superblock: BinaryFormatFileSystem) -> None:
        super().__init__(superblock, S_IFDIR | 0o755, *superblock.root_ids)
        self.file_system = superblock
        self.register = RegisterFile(superblock, 0o200)
        self.status = StatusFile(superblock, 0o644)
        self.shown: dict[bytes, FormatFile] = {}

    def lookup(self, name: bytes) -> Inode:
        if name == b"register":
            return self.register
        if name == b"status":
            return self.status
        formats = self.file_system.formats.formats
        found = formats.get(name)
        if found is None:
            raise ENOENT
        if len(self.shown) > len(formats):
            self.shown = {each: inode for each, inode in self.shown.items() if each in formats}
        inode = self.shown.get(name)
        if inode is None or inode.format is not found:
            inode = self.shown[name] = FormatFile(self.file_system, found)
        return inode

    def list_entries(self) -> list[DirectoryEntry]:
        names = [b"register", b"status", *self.file_system.formats.formats]
        return [DirectoryEntry(name, self.lookup(name).number, S_IFREG >> 12) for name in names]


class ControlFile(Inode):
    """A file whose contents are made when it's read, and what is written is a command."""

    __slots__ = ("file_system",)

    def __init__(self, superblock: BinaryFormatFileSystem, permissions: int) -> None:
        super().__init__(superblock, S_IFREG | permissions, *superblock.root_ids)
        self.file_system = superblock

    @property
    def formats(self) -> BinaryFormats:
        """What it's about."""
        return self.file_system.formats

    def truncate(self, size: int) -> None:
        """Without effect: `echo 1 > FILE` opens with O_TRUNC."""

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        return SingleBufferFile(path, flags, subject, self)

    def show(self, subject: Subject) -> bytes:
        """The contents now. Raises EIO when there are none."""
        raise EIO

    def store(self, data: bytes, subject: Subject) -> None:
        """Do what `data` says. Raises EINVAL, EEXIST."""
        raise NotImplementedError


class RegisterFile(ControlFile):
    """Takes new formats. Linux: fs/binfmt_misc.c, bm_register_write."""

    __slots__ = ()

    def store(self, data: bytes, subject: Subject) -> None:
        new = parse_registration(data)
        if new.name in self.formats.formats or new.name in {b"register", b"status"}:
            raise EEXIST
        task = self.file_system.kernel.current
        if b"F" in new.flags and task is not None:
            new.interpreter_file = open_interpreter(task, new.interpreter)
        self.formats.add(new)


class StatusFile(ControlFile):
    """Whether formats are looked for at all. Linux: fs/binfmt_misc.c, bm_status_read, bm_status_write."""

    __slots__ = ()

    def show(self, subject: Subject) -> bytes:
        return b"enabled\n" if self.formats.is_enabled else b"disabled\n"

    def store(self, data: bytes, subject: Subject) -> None:
        command = _parse_command(data)
        if command < 0:
            self.formats.clear()
        else:
            self.formats.is_enabled = bool(command)


class FormatFile(ControlFile):
    """One format. Linux: fs/binfmt_misc.c, bm_entry_read, bm_entry_write."""

    __slots__ = ("format",)

    def __init__(self, superblock: BinaryFormatFileSystem, shown: BinaryFormat) -> None:
        super().__init__(superblock, 0o644)
        self.format = shown

    def show(self, subject: Subject) -> bytes:
        return self.format.describe()

    def store(self, data: bytes, subject: Subject) -> None:
        command = _parse_command(data)
        if command >= 0:
            self.format.is_enabled = bool(command)
        elif self.formats.formats.get(self.format.name) is self.format:
            self.formats.remove(self.format.name)


def _parse_command(data: bytes) -> int:
    """1 to enable, 0 to disable, -1 to remove. Raises EINVAL. Linux: fs/binfmt_misc.c, parse_command."""
    commands = {b"0": 0, b"1": 1, b"-1": -1}
    command = commands.get(data.removesuffix(b"\n"))
    if command is None or len(data) > _LONGEST_COMMAND:
        raise EINVAL("neither 0, 1 nor -1")
    return command
