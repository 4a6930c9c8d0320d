"""overlay: a tree of the host's or an image's files that is only read, and all changes in memory."""

from __future__ import annotations

from operator import attrgetter
from typing import ClassVar

from procession.abi.errno import EINVAL, EIO, ENAMETOOLONG, ENOENT, ENOTDIR, ENXIO, Errno
from procession.abi.file_mode import S_IFMT
from procession.abi.named_tuple import NamedTuple
from procession.abi.statfs import Magic
from procession.fs.dentry import Path
from procession.fs.file import File
from procession.fs.host_source import HostSource
from procession.fs.host_status import HostStatus
from procession.fs.host_tree import HostTree
from procession.fs.inode import S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG, DirectoryEntry, Inode
from procession.fs.permission import Subject
from procession.fs.superblock import Superblock
from procession.fs.tmpfs import RENAME_WHITEOUT, MemoryInode, Tmpfs, TmpfsPages
from procession.fs.vfs import Vfs
from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE
from procession.mm.page_cache import Backing, PageCache

_RESERVE_SHIFT = 3
"""An eighth of the memory is never given to files, so that writing them doesn't end in an OOM kill, nor is
another eighth that holds pages of the host's files: programs run from them."""
_PAGE_WORDS_SHIFT = PAGE_SHIFT - 3
OVERLAYFS_MAGIC = int(Magic.OVERLAYFS_SUPER_MAGIC)


class Overlay(Tmpfs):
    """The host's tree below `root_directory`, and what the guest has made of it.

    Unlike Linux's overlayfs, an inode stays the same when it's first written to, and directories of the
    lower layer can be renamed: every inode remembers its own place on the host. What has been looked up
    once stays as it was then, whatever becomes of it on the host.
    """

    __slots__ = ("linked", "tree")

    notes_reading_nothing: ClassVar[bool] = False
    is_written_back: ClassVar[bool] = True
    attributes_limit: ClassVar[int] = Superblock.attributes_limit
    counts_attributes: ClassVar[bool] = False
    lists_attributes_backwards: ClassVar[bool] = False

    def __init__(
        self,
        vfs: Vfs,
        root_directory: str | bytes,
        *,
        maximum_inodes: int | None = None,
        source: HostSource | None = None,
    ) -> None:
        self.tree = HostTree(root_directory, source)
        # The files of the lower layer that have several names, by the first of these that was seen.
        self.linked: dict[bytes, OverlayInode] = {}
        frame_count = vfs.memory.frame_count
        super().__init__(vfs, "overlay", maximum_pages=frame_count, maximum_inodes=maximum_inodes)
        self.magic = OVERLAYFS_MAGIC
        status = self.tree.status(b"")
        root = self.root
        assert isinstance(root, OverlayInode)
        root.mode, root.uid, root.gid = status.mode, status.uid, status.gid
        root.become_lower(b"", status)

    @property
    def free_pages(self) -> int:
        """How many more pages the guest's files may take: the last of the memory is the programs'."""
        memory = self.memory
        reserve = memory.frame_count >> _RESERVE_SHIFT
        return memory.free_frames - reserve + max(len(memory.reclaimable) - reserve, 0)

    @property
    def has_room(self) -> bool:
        return self.free_pages > 0

    def new_inode(self, mode: int, uid: int, gid: int, rdev: int = 0) -> OverlayInode:
        self.count_inode()
        return OverlayInode(self, mode, uid, gid, rdev)

    def new_pages(self, backing: Backing | None = None) -> PageCache:
        return OverlayPages(self, backing)

    def lower_status(self, path: bytes) -> HostStatus | None:
        """What the host says of what is at `path`; None if there is nothing."""
        try:
            return self.tree.status(path)
        except (ENOENT, ENAMETOOLONG):
            return None

    def lower_inode(self, path: bytes, status: HostStatus, number: int = 0) -> OverlayInode:
        """The inode of what is at `path` on the host, of which that says `status`. Its number is a new one
        unless `number` is given.
        """
        if has_several_names(status):
            first_path = self.tree.linked_path(path, self.linked)
            if first_path is not None:
                return self.linked[first_path]
        inode = OverlayInode(self, status.mode, status.uid, status.gid, status.rdev, number)
        inode.become_lower(path, status)
        if has_several_names(status):
            self.linked[path] = inode
        return inode

    def forget(self, inode: Inode) -> None:
        assert isinstance(inode, OverlayInode)
        if not inode.is_from_host:
            super().forget(inode)


class ListedFile(NamedTuple):
    """A file of the lower layer of which a listing has told and that nobody has looked up: its inode is made
    then, with this number and as the host said.
    """

    number: int
    status: HostStatus


def has_several_names(status: HostStatus) -> bool:
    """Whether the file may be met by another name."""
    return status.link_count > 1 and status.mode & S_IFMT != S_IFDIR


class HostFile:
    """What backs the pages of a file of the lower layer: `size` bytes at `path` on the host."""

    __slots__ = ("path", "size", "tree")

    def __init__(self, tree: HostTree, path: bytes, size: int) -> None:
        self.tree = tree
        self.path = path
        self.size = size

    def read_page(self, index: int) -> bytes:
        """See `Backing`. Raises EIO when the host's file is gone."""
        return self.read_pages(index, 1)

    def read_pages(self, first: int, count: int) -> bytes:
        """See `Backing`. Raises EIO when the host's file is gone."""
        offset = first << PAGE_SHIFT
        length = min(count << PAGE_SHIFT, self.size - offset)
        return self.tree.read(self.path, offset, length) if length > 0 else b""

    def read_into(self, first: int, place: memoryview[int]) -> None:
        """Read the pages from `first` on to `place`, which is zeros. Raises EIO when the file is gone."""
        offset = first << PAGE_SHIFT
        length = min(len(place), self.size - offset)
        if length > 0:
            self.tree.read_into(self.path, offset, place[:length])

    def has_page(self, index: int) -> bool:
        """See `Backing`."""
        return index << PAGE_SHIFT < self.size

    @property
    def page_count(self) -> int:
        """See `Backing`."""
        return (self.size + PAGE_SIZE - 1) >> PAGE_SHIFT

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`; zeros where the host's file ends sooner. Raises EIO."""
        available = min(length, self.size - offset)
        data = self.tree.read(self.path, offset, available) if available > 0 else b""
        return data.ljust(length, b"\0")

    def check_openable(self) -> None:
        """Raise EACCES if the host doesn't let us read it, EIO if it's gone."""
        try:
            self.tree.check(self.path)
        except ENOENT:
            raise EIO("gone from the host") from None


class OverlayPages(TmpfsPages):
    """Pages of a file, which the host may back: then they're read as far as possible in one go."""

    __slots__ = ()

    def is_lower(self, index: int) -> bool:
        backing = self.backing
        return isinstance(backing, HostFile) and backing.has_page(index)

    def bring_in(self, near: range) -> None:
        """See `PageCache.bring_in`. Where none is there yet they're written in one go, too."""
        frames, memory, count = self.frames, self.memory, len(near)
        if (
            memory.free
            or memory.payer is not None
            or self.holes
            or memory.fresh_end - memory.next_fresh < count
            or not self.is_lower(near.stop - 1)
            or not frames.keys().isdisjoint(near)
        ):
            super().bring_in(near)
            return
        backing = self.backing
        assert isinstance(backing, HostFile)
        added = memory.allocate_several(count)
        try:
            first, past = added[0] << _PAGE_WORDS_SHIFT, added[-1] + 1 << _PAGE_WORDS_SHIFT
            backing.read_into(near.start, memory.words[first:past].cast("B"))
        except Errno:
            memory.release_all(added)
            raise
        reclaimable = memory.reclaimable
        for index, frame in zip(near, added, strict=True):
            frames[index] = frame
            reclaimable[frame] = self, index
        self.superblock.page_count += count

    def zero(self, start: int, end: int) -> None:
        backing = self.backing
        if isinstance(backing, HostFile):
            for index in range(start >> PAGE_SHIFT, (min(end, backing.size) + PAGE_SIZE - 1) >> PAGE_SHIFT):
                self.note_written(self.frame(index))
        super().zero(start, end)

    def read(self, offset: int, length: int) -> bytes:
        frames, backing = self.frames, self.backing
        if isinstance(backing, HostFile):
            first, last = offset >> PAGE_SHIFT, (offset + length - 1) >> PAGE_SHIFT
            if first == last:
                if first not in frames:
                    return backing.read(offset, length)
            elif not frames or not any(index in frames for index in range(first, last + 1)):
                return backing.read(offset, length)
        return super().read(offset, length)


class OverlayInode(MemoryInode):
    """A file of either layer.

    `lower` is its place on the host, None for what the guest has made. A directory's `entries` holds what
    has been made or looked up so far. `unseen` are the names on the host that haven't been looked up yet,
    with what was listed of them, None before that:
    it's None until the directory is first listed or one of these is removed or replaced, and until then the
    host is asked by name.
    `lower_time_ns` is what the host said when it was changed last: whatever the guest changes has another
    `ctime_ns`. `whiteouts` are the names on the host that the guest has removed, None while
    there are none; `entries` may have others of these names.
    """

    __slots__ = ("is_from_host", "lower", "lower_time_ns", "overlay", "unseen", "whiteouts")

    def __init__(
        self, superblock: Overlay, mode: int, uid: int, gid: int, rdev: int = 0, number: int = 0
    ) -> None:
        super().__init__(superblock, mode, uid, gid, rdev, number)
        self.overlay = superblock
        self.lower: bytes | None = None
        self.lower_time_ns = 0
        self.is_from_host = False
        self.unseen: dict[bytes, ListedFile | None] | None = {}
        self.whiteouts: dict[bytes, None] | None = None
        if mode & S_IFMT == S_IFDIR:
            self.size = PAGE_SIZE

    def become_lower(self, path: bytes, status: HostStatus) -> None:
        """Take over what the host says. Times and sizes that differ from host to host are made alike."""
        self.is_from_host = True
        self.born_ns = 0
        self.atime_ns = self.mtime_ns = self.ctime_ns = self.lower_time_ns = status.mtime_ns
        kind = status.mode & S_IFMT
        if kind == S_IFDIR:
            # As for overlayfs's merged directories, the number of subdirectories isn't known.
            self.link_count = 1
            if not status.is_pseudo:
                self.lower = path
                self.unseen = None
            return
        self.lower = path
        self.link_count = status.link_count
        if kind == S_IFLNK:
            self.size = status.size
        elif kind == S_IFREG:
            # What the host's kernel makes up has no contents here.
            self.size = 0 if status.is_pseudo else status.size
            assert self.pages is not None
            self.pages.backing = HostFile(self.overlay.tree, path, self.size)

    @property
    def block_count(self) -> int:
        if self.is_from_host:
            return (self.size + PAGE_SIZE - 1) // PAGE_SIZE * 8
        return super().block_count

    def entry(self, name: bytes) -> MemoryInode | None:
        inode = self.entries.get(name)
        if inode is not None:
            return inode
        unseen, listed = self.unseen, None
        if unseen is not None:
            if name not in unseen:
                return None
            listed = unseen.pop(name)
        path = self._lower_path(name)
        status = self.overlay.lower_status(path) if listed is None else listed.status
        if status is None:
            return None
        number = 0 if listed is None else listed.number
        inode = self.entries[name] = self.overlay.lower_inode(path, status, number)
        return inode

    def _lower_path(self, name: bytes) -> bytes:
        """Where `name` is on the host."""
        assert self.lower is not None
        return self.lower + b"/" + name if self.lower else name

    def count_subdirectories(self, change: int) -> None:
        if not self.is_from_host:
            super().count_subdirectories(change)

    def _list_host(self) -> dict[bytes, ListedFile | None]:
        """The names on the host that haven't been looked up yet."""
        if self.unseen is None:
            assert self.lower is not None
            entries = self.entries
            self.unseen = {name: None for name in self.overlay.tree.names(self.lower) if name not in entries}
        return self.unseen

    def set_entry(self, name: bytes, inode: MemoryInode) -> None:
        if name in self.entries:
            # What's replaced may be the host's, whom nobody must ask for it again.
            self._list_host()
        if self.unseen is not None:
            self.unseen.pop(name, None)
        self.entries[name] = inode

    def remove_entry(self, name: bytes) -> None:
        if self._hides_lower(name):
            if self.whiteouts is None:
                self.whiteouts = {}
            self.whiteouts[name] = None
            # From now on the host isn't asked by name.
            self._list_host()
        if self.unseen is not None:
            self.unseen.pop(name, None)
        del self.entries[name]

    def _hides_lower(self, name: bytes) -> bool:
        """Whether something on the host would come to light without the entry `name`. Raises EACCES, EIO."""
        inode = self.entries[name]
        if self.lower is None or not isinstance(inode, OverlayInode) or not inode.is_from_host:
            return False
        path = self._lower_path(name)
        return inode.lower == path or self.overlay.tree.exists(path)

    def all_entries(self) -> list[tuple[bytes, MemoryInode]]:
        for name in list(self._list_host()):
            self.entry(name)
        return sorted(self.entries.items(), key=_name_of)

    def list_entries(self) -> list[DirectoryEntry]:
        """Who lists a directory looks up few of its files: the inodes of others aren't made."""
        if self.mode & S_IFMT != S_IFDIR:
            raise ENOTDIR
        overlay, unseen = self.overlay, self._list_host()
        for name in [name for name, listed in unseen.items() if listed is None]:
            path = self._lower_path(name)
            status = overlay.lower_status(path)
            if status is None:
                del unseen[name]
            elif has_several_names(status):
                del unseen[name]
                self.entries[name] = overlay.lower_inode(path, status)
            else:
                unseen[name] = ListedFile(overlay.allocate_inode_number(), status)
        found = [
            DirectoryEntry(name, listed.number, listed.status.mode >> 12)
            for name, listed in unseen.items()
            if listed is not None
        ]
        found += [
            DirectoryEntry(name, inode.number, inode.mode >> 12) for name, inode in self.entries.items()
        ]
        return sorted(found, key=attrgetter("name"))

    def readlink(self) -> bytes:
        if self.lower is not None and self.mode & S_IFMT == S_IFLNK and not self.target:
            self.target = self.overlay.tree.link_target(self.lower)
        return super().readlink()

    def read_xattrs(self) -> dict[bytes, bytes]:
        if self.xattrs is None:
            xattrs: dict[bytes, bytes] = {}
            tree = self.overlay.tree
            if self.lower is not None and (self.mode & S_IFMT == S_IFREG or tree.is_image):
                xattrs.update(tree.xattrs(self.lower))
                # These are the host's, not the guest's doing: they're counted, but not refused.
                size = sum(len(name) + len(value) for name, value in xattrs.items())
                self.overlay.vfs.accounts.count_text(size)
                self.xattr_bytes = size
            self.xattrs = xattrs
        return self.xattrs

    def rename(
        self, name: bytes, new_directory: Inode, new_name: bytes, flags: int, subject: Subject
    ) -> Inode | None:
        """Linux: fs/overlayfs/dir.c, ovl_rename."""
        if flags & RENAME_WHITEOUT:
            raise EINVAL
        return super().rename(name, new_directory, new_name, flags, subject)

    def resize(self, size: int) -> None:
        super().resize(size)
        pages = self.pages
        if pages is not None and isinstance(pages.backing, HostFile):
            pages.backing.size = min(pages.backing.size, size)

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        """Refuse the host's own devices and sockets, and files that the host doesn't let us read."""
        lower = self.lower
        if lower is not None:
            kind = self.mode & S_IFMT
            if kind == S_IFREG:
                assert self.pages is not None
                backing = self.pages.backing
                if isinstance(backing, HostFile) and backing.size:
                    backing.check_openable()
            elif kind not in (S_IFDIR, S_IFIFO) and not self.overlay.tree.is_image:
                # A FIFO is only a name: what goes through it is the guest's own.
                raise ENXIO("a special file of the host")
        return super().open(path, flags, subject, progress)

    def evict(self) -> None:
        if self.is_from_host:
            # It was never counted.
            self.target = b""
        super().evict()
        self.unseen = {}


def _name_of(item: tuple[bytes, MemoryInode]) -> bytes:
    return item[0]
