"""The files and directories of an overlay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EEXIST, EIO, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, Errno
from procession.abi.file_mode import S_IFMT
from procession.abi.open_flags import O_ACCMODE
from procession.fs.dentry import Dentry, Path
from procession.fs.file import O_RDWR, O_TRUNC, O_WRONLY, File
from procession.fs.inode import S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, DirectoryEntry, Inode
from procession.fs.overlayfs.copy_up import copy_contents, copy_flags, copy_lists, copy_xattrs
from procession.fs.overlayfs.layer import (
    add_whiteout,
    clear_whiteouts,
    find_in_layer,
    is_whiteout,
    remove_entry,
)
from procession.fs.overlayfs.lookup import look_up_in_layers
from procession.fs.overlayfs.notes import PROTECTING
from procession.fs.overlayfs.rename import rename
from procession.fs.regular_file import RegularFile
from procession.hardware.physical_memory import OutOfFrames

if TYPE_CHECKING:
    from procession.fs.acl import AccessLists
    from procession.fs.overlayfs.superblock import OverlayFileSystem
    from procession.fs.permission import Subject
    from procession.mm.page_cache import PageCache


class OverlayFile(RegularFile):
    """An open regular file of an overlay; what is written goes to the file of the upper layer."""

    __slots__ = ("layered",)

    def __init__(self, path: Path, flags: int, subject: Subject, inode: LayeredInode) -> None:
        self.layered = inode
        super().__init__(path, flags, subject)

    def _write(self, offset: int, data: bytes) -> int:
        try:
            return super()._write(offset, data)
        finally:
            self.layered.push_attributes()

    @property
    def cache(self) -> PageCache | None:
        """What is cached is the layer's file."""
        return None

    def allocate(self, mode: int, offset: int, length: int) -> None:
        try:
            super().allocate(mode, offset, length)
        finally:
            self.layered.push_attributes()


class LayeredInode(Inode):
    """A file of an overlay (Linux: fs/overlayfs/ovl_entry.h, struct ovl_inode).

    `upper` is its entry in the upper layer, None until there is one; `lowers` are those below that are seen:
    of a directory all that are merged, of other files one at most. Its attributes are copies of those of the
    topmost. `place` is the directory of the overlay that it's in, and `name` what it's called there. A
    directory's `below` are those in it that aren't in the upper layer, by name; its `redirect` is where the
    layers below have what is in the upper one, if elsewhere.
    """

    __slots__ = ("below", "lowers", "name", "overlay", "place", "redirect", "upper")

    def __init__(
        self,
        superblock: OverlayFileSystem,
        name: bytes,
        place: LayeredInode | None,
        upper: Dentry | None,
        lowers: list[Dentry],
    ) -> None:
        real = (lowers[0] if upper is None else upper).inode
        super().__init__(superblock, real.mode, real.uid, real.gid, real.rdev)
        self.overlay = superblock
        self.name = name
        self.place = place
        self.upper = upper
        self.lowers = lowers
        self.redirect: bytes | None = None
        self.below: dict[bytes, LayeredInode] = {}
        self.number = real.number
        self.flags = real.flags
        protection = None if upper is None else superblock.notes.protection_of(real)
        if protection is not None:
            self.flags = real.flags & ~PROTECTING | protection
        for layer in ([] if upper is None else [upper], lowers):
            for entry in layer:
                entry.inode.open_count += 1
        self.pull_attributes()

    @property
    def real(self) -> Inode:
        """The file of the topmost layer that has it."""
        return (self.lowers[0] if self.upper is None else self.upper).inode

    @property
    def is_merged(self) -> bool:
        """Whether it's a directory of several layers, whose subdirectories nobody counts.

        Linux: fs/overlayfs/util.c, ovl_path_type.
        """
        return self.is_directory and len(self.lowers) + (self.upper is not None) > 1

    def pull_attributes(self) -> None:
        """Take over what the layer says. Linux: fs/overlayfs/util.c, ovl_copyattr."""
        real = self.real
        self.mode, self.uid, self.gid, self.size = real.mode, real.uid, real.gid, real.size
        self.atime_ns, self.mtime_ns, self.ctime_ns = real.atime_ns, real.mtime_ns, real.ctime_ns
        self.acl = real.acl
        self.link_count = 1 if self.is_merged else real.link_count
        self.pages = real.pages

    def push_attributes(self) -> None:
        """Tell the upper layer's file what writing has changed."""
        if self.upper is not None:
            real = self.upper.inode
            real.size, real.mode = self.size, self.mode
            real.mtime_ns, real.ctime_ns = self.mtime_ns, self.ctime_ns

    @property
    def block_count(self) -> int:
        return self.real.block_count

    # Copying up

    def upper_entry(self) -> Dentry:
        """Its entry in the upper layer, made if need be. Raises ENOSPC, EROFS."""
        self.copy_up()
        assert self.upper is not None
        return self.upper

    def copy_up(self) -> None:
        """See that it's in the upper layer, with all above it. Raises ENOSPC.

        Linux: fs/overlayfs/copy_up.c, ovl_copy_up_flags.
        """
        missing: list[LayeredInode] = []
        inode: LayeredInode | None = self
        while inode is not None and inode.upper is None:
            missing.append(inode)
            inode = inode.place
        for each in reversed(missing):
            each._copy_up_one()

    def _copy_up_one(self) -> None:
        """Linux: fs/overlayfs/copy_up.c, ovl_copy_up_one."""
        place = self.place
        if place is None or place.upper is None:
            raise ENOENT("it has been removed")
        directory, subject = place.upper, self.overlay.subject
        real = self.lowers[0].inode
        kind = self.mode & S_IFMT
        directory.children.pop(self.name, None)
        self.overlay.notes.set_impure(directory.inode)
        if kind == S_IFDIR:
            made = directory.inode.mkdir(self.name, self.mode & 0o7777, subject)
        elif kind == S_IFLNK:
            made = directory.inode.symlink(self.name, real.readlink(), subject)
        elif kind == S_IFREG:
            made = directory.inode.create(self.name, self.mode & 0o7777, subject)
        else:
            made = directory.inode.mknod(self.name, self.mode, self.rdev, subject)
        entry = directory.add(self.name, made)
        try:
            if kind == S_IFREG:
                copy_contents(real, made)
            copy_xattrs(real, made, self.overlay.notes)
            copy_flags(real, made, self.overlay.notes)
            copy_lists(real, made)
            if kind == S_IFDIR or real.link_count == 1:
                self.overlay.notes.set_origin(made, real)
        except (Errno, OutOfFrames):
            remove_entry(directory, entry)
            raise
        made.mode, made.uid, made.gid = self.mode, self.uid, self.gid
        made.atime_ns, made.mtime_ns, made.ctime_ns = self.atime_ns, self.mtime_ns, made.now_ns()
        made.open_count += 1
        self.upper = entry
        self.flags = made.flags | real.flags & PROTECTING
        if kind != S_IFDIR:
            self._release(self.lowers.pop())
        self.overlay.uppers[made] = self
        self._leave_below()
        self.pull_attributes()
        place.pull_attributes()

    def _leave_below(self) -> None:
        """It's in the upper layer, or nowhere any more."""
        if self.place is not None and self.place.below.get(self.name) is self:
            del self.place.below[self.name]

    def _release(self, entry: Dentry) -> None:
        entry.inode.open_count -= 1
        entry.inode.evict_if_unused()

    # Looking up

    def lookup(self, name: bytes) -> Inode:
        """Linux: fs/overlayfs/namei.c, ovl_lookup."""
        if not self.is_directory:
            raise ENOTDIR
        overlay = self.overlay
        notes = overlay.notes
        found = look_up_in_layers(
            name,
            self.upper,
            self.lowers,
            overlay.lower_roots,
            notes,
            follows=overlay.config.follows_redirects,
        )
        upper, lowers = found.upper, found.lowers
        if upper is None and not lowers:
            raise ENOENT
        if upper is not None:
            if lowers and not notes.has_origin(upper.inode):
                # Linux: fs/overlayfs/namei.c, ovl_fix_origin.
                notes.set_origin(upper.inode, lowers[0].inode)
                notes.set_impure(self.upper_entry().inode)
            inode = overlay.inode_for(name, self, upper, lowers)
            inode.redirect = found.redirect
            return inode
        known = self.below.get(name)
        if known is None:
            known = self.below[name] = self.overlay.inode_for(name, self, None, lowers)
        return known

    def is_in_lower(self, name: bytes) -> bool:
        """Whether a layer below shows `name`, which the upper layer must hide once it's gone."""
        for directory in self.lowers:
            found = find_in_layer(directory, name)
            if found is not None:
                return not is_whiteout(found.inode)
        return False

    def list_entries(self) -> list[DirectoryEntry]:
        """Linux: fs/overlayfs/readdir.c, ovl_dir_read_merged."""
        if not self.is_directory:
            raise ENOTDIR
        layers = [*self.lowers] if self.upper is None else [self.upper, *self.lowers]
        seen: set[bytes] = set()
        entries: list[DirectoryEntry] = []
        for directory in layers:
            for entry in directory.inode.list_entries():
                if entry.name in seen:
                    continue
                seen.add(entry.name)
                if entry.type == S_IFCHR >> 12:
                    found = find_in_layer(directory, entry.name)
                    if found is not None and is_whiteout(found.inode):
                        continue
                entries.append(entry)
        return entries

    # Making

    def _make_room(self, name: bytes) -> tuple[Dentry, bool]:
        """The upper directory without a whiteout of `name`, and whether there was one. Raises EEXIST."""
        directory = self.upper_entry()
        found = find_in_layer(directory, name)
        directory.children.pop(name, None) if found is None else None
        if found is None:
            return directory, False
        if not is_whiteout(found.inode):
            raise EEXIST
        remove_entry(directory, found)
        return directory, True

    def _made(self, name: bytes, directory: Dentry, inode: Inode) -> LayeredInode:
        entry = directory.add(name, inode)
        self.pull_attributes()
        return self.overlay.inode_for(name, self, entry, [])

    def note_copy(self, real: Inode) -> None:
        """A file of the upper layer came into this directory: note it if it's a copy of one below."""
        if self.overlay.notes.has_origin(real):
            self.overlay.notes.set_impure(self.upper_entry().inode)

    def _restore(self, directory: Dentry, name: bytes, was_hidden: bool) -> None:
        if was_hidden:
            add_whiteout(directory, name, self.overlay.subject)

    def create(self, name: bytes, mode: int, subject: Subject) -> Inode:
        directory, was_hidden = self._make_room(name)
        try:
            return self._made(name, directory, directory.inode.create(name, mode, subject))
        except (Errno, OutOfFrames):
            self._restore(directory, name, was_hidden)
            raise

    def create_unnamed(self, mode: int, subject: Subject) -> Inode:
        """Linux: fs/overlayfs/dir.c, ovl_tmpfile."""
        directory = self.upper_entry()
        made = directory.inode.create_unnamed(mode, subject)
        entry = Dentry(b"#%d" % made.number, directory, made)
        entry.is_deleted = True
        try:
            return self.overlay.inode_for(entry.name, self, entry, [])
        except Errno:
            made.evict_if_unused()
            raise

    def mkdir(self, name: bytes, mode: int, subject: Subject) -> Inode:
        """A directory where one has been before hides that.

        Linux: fs/overlayfs/dir.c, ovl_create_over_whiteout.
        """
        directory, was_hidden = self._make_room(name)
        try:
            made = directory.inode.mkdir(name, mode, subject)
        except (Errno, OutOfFrames):
            self._restore(directory, name, was_hidden)
            raise
        notes = self.overlay.notes
        if was_hidden and not notes.can_be_made:
            directory.inode.rmdir(name)
            self._restore(directory, name, was_hidden)
            raise EIO("nothing can be noted with the directory")
        if was_hidden or (
            self.lowers and notes.can_be_made and not self.overlay.config.allows_offline_changes
        ):
            notes.set_opaque(made)
        return self._made(name, directory, made)

    def mknod(self, name: bytes, mode: int, rdev: int, subject: Subject) -> Inode:
        if mode & S_IFMT == S_IFCHR and not rdev:
            raise EPERM("it would be a whiteout")
        directory, was_hidden = self._make_room(name)
        try:
            return self._made(name, directory, directory.inode.mknod(name, mode, rdev, subject))
        except (Errno, OutOfFrames):
            self._restore(directory, name, was_hidden)
            raise

    def symlink(self, name: bytes, target: bytes, subject: Subject) -> Inode:
        directory, was_hidden = self._make_room(name)
        try:
            return self._made(name, directory, directory.inode.symlink(name, target, subject))
        except (Errno, OutOfFrames):
            self._restore(directory, name, was_hidden)
            raise

    def link(self, name: bytes, inode: Inode) -> None:
        assert isinstance(inode, LayeredInode)
        inode.copy_up()
        assert inode.upper is not None
        directory, was_hidden = self._make_room(name)
        try:
            directory.inode.link(name, inode.upper.inode)
        except (Errno, OutOfFrames):
            self._restore(directory, name, was_hidden)
            raise
        directory.add(name, inode.upper.inode)
        self.note_copy(inode.upper.inode)
        inode.pull_attributes()
        self.pull_attributes()

    # Removing

    def child_named(self, name: bytes) -> LayeredInode:
        child = self.lookup(name)
        assert isinstance(child, LayeredInode)
        return child

    def _hide(self, name: bytes, child: LayeredInode) -> None:
        """Take `name` out of the upper layer, and hide it where a layer below has it."""
        directory = self.upper_entry()
        found = find_in_layer(directory, name)
        if found is not None:
            remove_entry(directory, found)
        if self.is_in_lower(name):
            add_whiteout(directory, name, self.overlay.subject)
        child.upper_is_gone(name)
        self.pull_attributes()

    def upper_is_gone(self, name: bytes) -> None:
        """One name of it is gone; without any it's evicted once nobody has it open."""
        if self.upper is not None:
            self.link_count = self.upper.inode.link_count
        else:
            self.link_count -= 1
        if self.is_directory:
            self.link_count = 0
        self.ctime_ns = self.now_ns()
        self.evict_if_unused()

    def unlink(self, name: bytes) -> None:
        """Linux: fs/overlayfs/dir.c, ovl_do_remove."""
        self._hide(name, self.child_named(name))

    def rmdir(self, name: bytes) -> None:
        child = self.child_named(name)
        if child.list_entries():
            raise ENOTEMPTY
        child.clear_whiteouts()
        self._hide(name, child)

    def clear_whiteouts(self) -> None:
        """There is nothing in the directory but whiteouts of the upper layer, which go. Raises EIO if nothing
        else could say what they do. Linux: fs/overlayfs/dir.c, ovl_clear_empty.
        """
        if self.upper is None:
            return
        if self.lowers and not self.overlay.notes.can_be_made and self.upper.inode.list_entries():
            raise EIO("nothing can be noted with the directory")
        clear_whiteouts(self.upper)

    def rename(
        self, name: bytes, new_directory: Inode, new_name: bytes, flags: int, subject: Subject
    ) -> Inode | None:
        assert isinstance(new_directory, LayeredInode)
        rename(self, name, new_directory, new_name, flags, subject)
        return None

    # Other files

    def readlink(self) -> bytes:
        return self.real.readlink()

    def truncate(self, size: int) -> None:
        self.copy_up()
        self.real.truncate(size)
        self.pull_attributes()

    def truncate_by_name(self, size: int) -> None:
        self.copy_up()
        self.real.truncate_by_name(size)
        self.pull_attributes()

    def set_attributes(
        self,
        *,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
        atime_ns: int | None = None,
        mtime_ns: int | None = None,
    ) -> None:
        self.copy_up()
        self.real.set_attributes(mode=mode, uid=uid, gid=gid, atime_ns=atime_ns, mtime_ns=mtime_ns)
        self.pull_attributes()

    @property
    def keeps_flags(self) -> bool:
        return self.real.keeps_flags

    def set_flags(self, flags: int) -> None:
        """Linux: fs/overlayfs/inode.c, ovl_fileattr_set."""
        real = self.upper_entry().inode
        self.overlay.notes.set_protection(real, flags)
        try:
            real.set_flags(flags & ~PROTECTING)
        finally:
            self.flags = real.flags & ~PROTECTING | flags & PROTECTING
            self.pull_attributes()

    @property
    def has_acls(self) -> bool:
        return self.real.has_acls

    @property
    def is_below(self) -> bool:
        return self.upper is None

    @property
    def has_fine_times(self) -> bool:
        return self.real.has_fine_times

    def set_lists(self, lists: AccessLists | None) -> None:
        """The same are those of the upper layer's file, and charged once.

        Linux: fs/overlayfs/inode.c, ovl_set_acl.
        """
        self.acl = self.upper_entry().inode.acl = lists

    def read_xattrs(self) -> dict[bytes, bytes]:
        prefix = self.overlay.notes.prefix
        real = self.real
        if not real.superblock.has_xattrs:
            return {}
        return {name: value for name, value in real.read_xattrs().items() if not name.startswith(prefix)}

    @property
    def unlisted_bytes(self) -> int:
        prefix, real = self.overlay.notes.prefix, self.real
        if not real.superblock.has_xattrs:
            return 0
        return sum(len(name) + 1 for name in real.read_xattrs() if name.startswith(prefix))

    def writable_xattrs(self) -> dict[bytes, bytes]:
        self.copy_up()
        return self.real.read_xattrs()

    def size_of_xattrs(self) -> int:
        return self.real.size_of_xattrs()

    def change_xattr(self, name: bytes, value: bytes | None) -> None:
        self.copy_up()
        self.real.change_xattr(name, value)

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        if self.mode & S_IFMT != S_IFREG:
            return super().open(path, flags, subject, progress)
        # Linux: fs/overlayfs/copy_up.c, ovl_maybe_copy_up.
        if flags & O_ACCMODE in (O_WRONLY, O_RDWR) or flags & O_TRUNC:
            self.copy_up()
        return OverlayFile(path, flags, subject, self)

    def evict(self) -> None:
        """Let go of the layers' files; their pages are theirs."""
        self.pages = None
        self.xattrs = None
        self.overlay.forget_inode(self)
        self._leave_below()
        for entry in [*self.lowers] if self.upper is None else [self.upper, *self.lowers]:
            self._release(entry)
