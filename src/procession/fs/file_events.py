"""What happens to files, told to whoever watches them: the hooks that inotify(7) hangs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from procession.abi.file_mode import S_IFMT
from procession.abi.inotify import InotifyMask
from procession.fs.inode import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFSOCK

if TYPE_CHECKING:
    from procession.fs.dentry import Dentry
    from procession.fs.fd_table import FdTable
    from procession.fs.file import File
    from procession.fs.inode import Inode
    from procession.fs.superblock import Superblock

IN_ACCESS = int(InotifyMask.IN_ACCESS)
IN_MODIFY = int(InotifyMask.IN_MODIFY)
IN_ATTRIB = int(InotifyMask.IN_ATTRIB)
IN_CLOSE_WRITE = int(InotifyMask.IN_CLOSE_WRITE)
IN_CLOSE_NOWRITE = int(InotifyMask.IN_CLOSE_NOWRITE)
IN_OPEN = int(InotifyMask.IN_OPEN)
IN_MOVED_FROM = int(InotifyMask.IN_MOVED_FROM)
IN_MOVED_TO = int(InotifyMask.IN_MOVED_TO)
IN_CREATE = int(InotifyMask.IN_CREATE)
IN_DELETE = int(InotifyMask.IN_DELETE)
IN_DELETE_SELF = int(InotifyMask.IN_DELETE_SELF)
IN_MOVE_SELF = int(InotifyMask.IN_MOVE_SELF)
IN_UNMOUNT = int(InotifyMask.IN_UNMOUNT)
IN_ISDIR = int(InotifyMask.IN_ISDIR)
FS_RENAME = 0x10000000
"""Both ends of a move at once, which inotify isn't told of. Linux: include/linux/fsnotify_backend.h."""
_SPECIAL = (S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK)


class Watcher(Protocol):
    """What must know that a file is closed."""

    def descriptor_closed(self, table: FdTable) -> None:
        """A descriptor of the file in `table` is no more."""

    def file_closed(self) -> None:
        """The file is about to be released."""


class FileWatch(Protocol):
    """What watches one inode (Linux: include/linux/fsnotify_backend.h, struct fsnotify_mark)."""

    @property
    def is_blind_to_unlinked(self) -> bool:
        """Whether it doesn't hear what happens by a name that is no more (IN_EXCL_UNLINK)."""

    def happened(self, mask: int, name: bytes = b"", cookie: int = 0) -> None:
        """`mask` has happened to the inode or to the file `name` in it; `cookie` joins the ends of a move."""

    def inode_is_gone(self) -> None:
        """The inode is no more."""


class FileEvents:
    """The file events of one machine, from the first watch on (Linux: fs/notify/fsnotify.c).

    `watched` are the inodes with watches, in the order in which they came. An inode's `watches` are None
    when there are none.
    """

    __slots__ = ("next_cookie", "watched")

    def __init__(self) -> None:
        self.watched: dict[Inode, None] = {}
        self.next_cookie = 1

    def add_watch(self, inode: Inode, watch: FileWatch) -> None:
        """`watch` hears of `inode` from now on."""
        if inode.watches is None:
            inode.watches = []
            self.watched[inode] = None
        inode.watches.append(watch)

    def remove_watch(self, inode: Inode, watch: FileWatch) -> None:
        """`watch` doesn't hear of `inode` any more."""
        watches = inode.watches
        if watches is not None and watch in watches:
            watches.remove(watch)
            if not watches:
                inode.watches = None
                del self.watched[inode]
                if not inode.superblock.tells_removal:
                    inode.evict_if_unused()

    # What happens to a file by an open file or by its name

    def opened(self, file: File) -> None:
        """Linux: include/linux/fsnotify.h, fsnotify_open."""
        if not file.is_silent:
            self._entry_event(file.path.dentry, IN_OPEN, by_path=True)

    def accessed(self, file: File) -> None:
        """It was read, or a directory listed. Linux: include/linux/fsnotify.h, fsnotify_access."""
        self._moved_bytes(file, IN_ACCESS)

    def modified(self, file: File) -> None:
        """It was written to. Linux: include/linux/fsnotify.h, fsnotify_modify."""
        self._moved_bytes(file, IN_MODIFY)

    def _moved_bytes(self, file: File, mask: int) -> None:
        """Bytes went in or out. Of pipes and devices only who watches the very file hears.

        Who may look into a directory, such as /dev, isn't to learn from it when others type.
        """
        entry = file.path.dentry
        inode = entry.inode
        if inode.mode & S_IFMT not in _SPECIAL:
            self._entry_event(entry, mask, by_path=True)
        elif inode.watches is not None and not file.is_silent:
            self._tell(inode, mask, is_nameless=entry.is_deleted)

    def closed(self, file: File) -> None:
        """Linux: include/linux/fsnotify.h, fsnotify_close."""
        mask = IN_CLOSE_WRITE if file.is_writable else IN_CLOSE_NOWRITE
        if not file.is_silent:
            self._entry_event(file.path.dentry, mask, by_path=True)

    def followed(self, target: bytes) -> None:
        """A symbolic link leads a walk to `target`: nothing that a guest could watch."""

    def changed(self, entry: Dentry, mask: int) -> None:
        """The file at `entry` has other attributes (IN_ATTRIB), times or size.

        Linux: include/linux/fsnotify.h, fsnotify_change.
        """
        self._entry_event(entry, mask, by_path=False)

    def _entry_event(self, entry: Dentry, mask: int, *, by_path: bool) -> None:
        """Tell who watches the directory, with the file's name, and then who watches the file itself.

        Linux: fs/notify/fsnotify.c, __fsnotify_parent.
        """
        inode = entry.inode
        if inode.mode & S_IFMT == S_IFDIR:
            mask |= IN_ISDIR
        parent, is_nameless = entry.parent, by_path and entry.is_deleted
        if parent is not entry and parent.inode.watches is not None:
            self._tell(parent.inode, mask, entry.name, is_nameless=is_nameless)
        if inode.watches is not None:
            self._tell(inode, mask, is_nameless=is_nameless)

    def _inode_event(self, inode: Inode, mask: int) -> None:
        self._tell(inode, mask)

    @staticmethod
    def _tell(
        inode: Inode, mask: int, name: bytes = b"", cookie: int = 0, *, is_nameless: bool = False
    ) -> None:
        """Tell all who watch `inode`, but for those who don't hear of what `is_nameless`."""
        watches = list(inode.watches or ())
        inode.superblock.vfs.clock.spend_offering(len(watches))
        for watch in watches:
            if not (is_nameless and watch.is_blind_to_unlinked):
                watch.happened(mask, name, cookie)

    # What happens to names

    def created(self, directory: Inode, name: bytes, inode: Inode) -> None:
        """Linux: include/linux/fsnotify.h, fsnotify_create, fsnotify_mkdir."""
        self._name_event(directory, name, inode, IN_CREATE)

    def linked(self, directory: Inode, name: bytes, inode: Inode) -> None:
        """It has one more name. Linux: include/linux/fsnotify.h, fsnotify_link."""
        self._inode_event(inode, IN_ATTRIB)
        self._name_event(directory, name, inode, IN_CREATE)

    def deleted(self, directory: Inode, name: bytes, inode: Inode) -> None:
        """Linux: include/linux/fsnotify.h, fsnotify_delete."""
        self._name_event(directory, name, inode, IN_DELETE)

    def link_count_changed(self, inode: Inode) -> None:
        """It has lost a name. Linux: include/linux/fsnotify.h, fsnotify_link_count."""
        self._inode_event(inode, IN_ATTRIB)

    def moved(
        self, old_directory: Inode, old_name: bytes, new_directory: Inode, new_name: bytes, inode: Inode
    ) -> None:
        """The two ends of a rename, joined by a number. In Linux, fsnotify_move, without the replaced
        file.
        """
        cookie = self.next_cookie
        self.next_cookie = (cookie + 1) & 0xFFFFFFFF
        if old_directory is new_directory:
            # To who has only F_NOTIFY, another directory's name says nothing.
            self._name_event(old_directory, old_name, inode, FS_RENAME)
        self._name_event(old_directory, old_name, inode, IN_MOVED_FROM, cookie)
        self._name_event(new_directory, new_name, inode, IN_MOVED_TO, cookie)

    def moved_self(self, inode: Inode) -> None:
        """In Linux, fsnotify_move, its end."""
        self._inode_event(inode, IN_MOVE_SELF)

    def _name_event(self, directory: Inode, name: bytes, inode: Inode, mask: int, cookie: int = 0) -> None:
        if directory.watches is not None:
            if inode.mode & S_IFMT == S_IFDIR:
                mask |= IN_ISDIR
            self._tell(directory, mask, name, cookie)

    # The end of inodes

    def removed(self, inode: Inode) -> None:
        """It has neither a name nor an opener any more.

        Linux: include/linux/fsnotify.h, fsnotify_inoderemove.
        """
        self._end(inode, IN_DELETE_SELF)

    def unmounted(self, superblock: Superblock) -> None:
        """Nothing of this file system can be reached any more.

        Linux: fs/notify/fsnotify.c, fsnotify_sb_delete.
        """
        for inode in [inode for inode in self.watched if inode.superblock is superblock]:
            self._end(inode, IN_UNMOUNT | (IN_ISDIR if inode.is_directory else 0))

    def _end(self, inode: Inode, mask: int) -> None:
        for watch in list(inode.watches or ()):
            watch.happened(mask)
            watch.inode_is_gone()


def note_access(file: File) -> None:
    """Somebody has read from `file`."""
    events = file.inode.superblock.vfs.file_events
    if events is not None:
        events.accessed(file)


def note_modification(file: File) -> None:
    """Somebody has written to `file`."""
    events = file.inode.superblock.vfs.file_events
    if events is not None:
        events.modified(file)


def note_change(entry: Dentry, mask: int) -> None:
    """The file at `entry` has been changed in the way that `mask` says."""
    events = entry.inode.superblock.vfs.file_events
    if events is not None:
        events.changed(entry, mask)


def note_creation(entry: Dentry) -> None:
    """There is a new file at `entry`."""
    events = entry.inode.superblock.vfs.file_events
    if events is not None:
        events.created(entry.parent.inode, entry.name, entry.inode)


def note_deletion(entry: Dentry) -> None:
    """What was at `entry` has lost that name."""
    events = entry.inode.superblock.vfs.file_events
    if events is not None:
        events.deleted(entry.parent.inode, entry.name, entry.inode)
