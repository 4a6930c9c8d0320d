"""What changes directories: making, linking, removing and renaming files by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.ebpf import BpfDeviceAccess
from procession.abi.errno import (
    EBUSY,
    EEXIST,
    EINVAL,
    EISDIR,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    EOVERFLOW,
    EPERM,
    EROFS,
    EXDEV,
)
from procession.abi.file_mode import S_IFMT
from procession.abi.limits import PATH_MAX
from procession.fs.acl import inherit, inherited
from procession.fs.attributes import check_unchanging
from procession.fs.dentry import Dentry, Path
from procession.fs.file_events import note_creation, note_deletion
from procession.fs.inode import (
    APPEND_ONLY,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFREG,
    S_IFSOCK,
    S_ISVTX,
    Inode,
)
from procession.fs.landlock import REMOVE_DIR, REMOVE_FILE, check_reference, check_right, making
from procession.fs.mounts.id_map import through
from procession.fs.mounts.unmount import detach_mounts
from procession.fs.namei import ParentLookup, look_up_entry, lookup_parent
from procession.fs.owner import sees_nobody
from procession.fs.permission import (
    CAP_MKNOD,
    MAY_EXEC,
    MAY_WRITE,
    Subject,
    check_linking,
    check_maker,
    check_sticky,
)
from procession.fs.tmpfs import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT

if TYPE_CHECKING:
    from procession.fs.fs_context import FsContext

_DEVICE_MKNOD = int(BpfDeviceAccess.BPF_DEVCG_ACC_MKNOD)
_DOTS = (b"", b".", b"..")


def _parent_for_creation(
    context: FsContext, subject: Subject, name: bytes, start: Path | None, *, is_directory: bool
) -> ParentLookup:
    """Where a file `name` is about to be made, once it's sure that it isn't there.

    Linux: fs/namei.c, filename_create.
    """
    found = lookup_parent(context, subject, name, start)
    (mount, directory), last, ends_in_slash = found
    if last in _DOTS:
        raise EEXIST
    try:
        look_up_entry(directory, last)
    except ENOENT:
        # A directory that is gone has no place for a name, whether it can be written to or not.
        if (ends_in_slash and not is_directory) or directory.is_deleted or not directory.inode.can_get_names:
            raise
    else:
        raise EEXIST
    # Only now: `mkdir -p` asks for what is there already, on file systems that can't be written to as well.
    if mount.is_read_only:
        raise EROFS
    return found


def _check_creation(directory: Dentry, subject: Subject) -> None:
    """Raise unless a name may be made in `directory`. Linux: fs/namei.c, may_create."""
    if directory.is_deleted:
        raise ENOENT
    check_maker(subject, directory.inode.superblock)
    directory.inode.check_permission(subject, MAY_WRITE | MAY_EXEC)


def make_directory(
    context: FsContext, subject: Subject, name: bytes, start: Path | None = None, mode: int = 0o777
) -> Path:
    """Make a directory; `mode` is applied before the umask. Linux: fs/namei.c, do_mkdirat."""
    (mount, directory), last, _ = _parent_for_creation(context, subject, name, start, is_directory=True)
    if subject.landlock:
        check_right(subject, Path(mount, directory), making(S_IFDIR))
    subject = through(mount, subject)
    _check_creation(directory, subject)
    parent = directory.inode
    inode = parent.mkdir(last, inherited(parent, mode & (0o777 | S_ISVTX), context.umask), subject)
    inherit(parent, inode)
    entry = directory.add(last, inode)
    note_creation(entry)
    return Path(mount, entry)


def make_node(
    context: FsContext,
    subject: Subject,
    name: bytes,
    start: Path | None = None,
    mode: int = S_IFREG | 0o666,
    device: int = 0,
) -> Path:
    """Make a regular or special file; `mode` holds its type and permission bits before the umask.

    `device` is the number of a device, as stat shows it. A socket that is bound to a name makes its file so
    too. Linux: fs/namei.c, do_mknodat.
    """
    kind = mode & S_IFMT or S_IFREG
    if kind == S_IFDIR:
        raise EPERM
    if kind not in (S_IFREG, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK):
        raise EINVAL
    (mount, directory), last, _ = _parent_for_creation(context, subject, name, start, is_directory=False)
    if subject.landlock:
        check_right(subject, Path(mount, directory), making(kind))
    subject = through(mount, subject)
    _check_creation(directory, subject)
    permissions = inherited(directory.inode, mode & 0o7777, context.umask)
    if kind == S_IFREG:
        inode = directory.inode.create(last, permissions, subject)
    else:
        is_device = kind in (S_IFCHR, S_IFBLK)
        # No driver has the number 0, 0: overlayfs marks a removed name with it, so anybody may make one.
        is_whiteout = kind == S_IFCHR and device == 0
        if is_device and not is_whiteout and not subject.capable(CAP_MKNOD):
            raise EPERM
        gate = directory.inode.superblock.vfs.device_gate
        if gate is not None and is_device and not is_whiteout:
            gate.check(kind, device, _DEVICE_MKNOD)
        inode = directory.inode.mknod(last, kind | permissions, device if is_device else 0, subject)
    inherit(directory.inode, inode)
    entry = directory.add(last, inode)
    note_creation(entry)
    return Path(mount, entry)


def make_symlink(
    context: FsContext, subject: Subject, target: bytes, name: bytes, start: Path | None = None
) -> None:
    """Make a symbolic link `name` that leads to `target`. Linux: fs/namei.c, do_symlinkat."""
    if not target:
        raise ENOENT
    if len(target) >= PATH_MAX:
        raise ENAMETOOLONG
    (mount, directory), last, _ = _parent_for_creation(context, subject, name, start, is_directory=False)
    if subject.landlock:
        check_right(subject, Path(mount, directory), making(S_IFLNK))
    subject = through(mount, subject)
    _check_creation(directory, subject)
    note_creation(directory.add(last, directory.inode.symlink(last, target, subject)))


def make_link(
    context: FsContext, subject: Subject, existing: Path, name: bytes, start: Path | None = None
) -> None:
    """Give the file at `existing` one more name. Linux: fs/namei.c, do_linkat, vfs_link."""
    (mount, directory), last, _ = _parent_for_creation(context, subject, name, start, is_directory=False)
    inode = existing.inode
    if mount is not existing.mount:
        raise EXDEV
    subject = through(mount, subject)
    check_linking(inode, subject)
    if subject.landlock:
        check_reference(subject, mount, existing.dentry, directory, None, is_removed=False)
    _check_creation(directory, subject)
    if inode.superblock is not directory.inode.superblock:
        raise EXDEV
    check_unchanging(inode)
    if inode.is_directory:
        # With two parents the tree would have loops, and no walk up would be sure to end.
        raise EPERM
    if inode.link_count == 0:
        # What has lost its last name is on its way out; what O_TMPFILE made never had one.
        if not inode.is_linkable:
            raise ENOENT
        inode.is_linkable = False
    directory.inode.link(last, inode)
    directory.add(last, inode)
    events = inode.superblock.vfs.file_events
    if events is not None:
        events.linked(directory.inode, last, inode)


def _parent_for_removal(
    context: FsContext, subject: Subject, name: bytes, start: Path | None
) -> ParentLookup:
    found = lookup_parent(context, subject, name, start)
    if found.last not in _DOTS and found.parent.mount.is_read_only:
        raise EROFS
    return found


def _check_removal(directory: Dentry, victim: Dentry, subject: Subject, *, is_directory: bool) -> None:
    """Raise unless `victim` may be taken out of `directory`. Linux: fs/namei.c, may_delete."""
    if sees_nobody(subject, victim.inode):
        raise EOVERFLOW("the file is nobody's here")
    directory.inode.check_permission(subject, MAY_WRITE | MAY_EXEC)
    if directory.inode.flags & APPEND_ONLY:
        raise EPERM("nothing is taken from a directory that is only appended to")
    check_sticky(directory.inode, victim.inode, subject)
    check_unchanging(victim.inode)
    if is_directory:
        if not victim.inode.is_directory:
            raise ENOTDIR
        if victim.parent is victim:
            raise EBUSY
    elif victim.inode.is_directory:
        raise EISDIR
    if directory.is_deleted:
        raise ENOENT


def remove_file(context: FsContext, subject: Subject, name: bytes, start: Path | None = None) -> None:
    """Remove a name that isn't a directory's. Linux: fs/namei.c, do_unlinkat, vfs_unlink."""
    (mount, directory), last, ends_in_slash = _parent_for_removal(context, subject, name, start)
    if last in _DOTS:
        raise EISDIR
    victim = look_up_entry(directory, last)
    if ends_in_slash:
        raise EISDIR if victim.inode.is_directory else ENOTDIR
    if subject.landlock:
        check_right(subject, Path(mount, directory), REMOVE_FILE)
    subject = through(mount, subject)
    _check_removal(directory, victim, subject, is_directory=False)
    _check_not_mounted(context, victim)
    with _Removal(victim.inode) as removal:
        directory.inode.unlink(last)
        removal.lost_name()
    _entry_is_gone(directory, victim)
    note_deletion(victim)


def remove_directory(context: FsContext, subject: Subject, name: bytes, start: Path | None = None) -> None:
    """Remove an empty directory. Linux: fs/namei.c, do_rmdir, vfs_rmdir."""
    (mount, directory), last, _ = _parent_for_removal(context, subject, name, start)
    if last in _DOTS:
        # POSIX wants EINVAL for "."; ".." holds the directory that one is in, and "/" is always in use.
        raise {b"": EBUSY, b".": EINVAL, b"..": ENOTEMPTY}[last]
    victim = look_up_entry(directory, last)
    if subject.landlock:
        check_right(subject, Path(mount, directory), REMOVE_DIR)
    subject = through(mount, subject)
    _check_removal(directory, victim, subject, is_directory=True)
    _check_not_mounted(context, victim)
    directory.inode.rmdir(last)
    _entry_is_gone(directory, victim)
    note_deletion(victim)


def rename(
    context: FsContext,
    subject: Subject,
    old_name: bytes,
    old_start: Path | None,
    new_name: bytes,
    new_start: Path | None = None,
    flags: int = 0,
) -> None:
    """Give a file another name, replacing what has that name or, by RENAME_EXCHANGE, swapping with it.

    Linux: fs/namei.c, do_renameat2, vfs_rename.
    """
    is_exchange = bool(flags & RENAME_EXCHANGE)
    if flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT):
        raise EINVAL
    if is_exchange and flags & (RENAME_NOREPLACE | RENAME_WHITEOUT):
        raise EINVAL
    (old_mount, old_directory), old_last, old_slash = lookup_parent(context, subject, old_name, old_start)
    (new_mount, new_directory), new_last, new_slash = lookup_parent(context, subject, new_name, new_start)
    if old_mount is not new_mount:
        raise EXDEV
    if old_last in _DOTS:
        raise EBUSY
    if new_last in _DOTS:
        raise EEXIST if flags & RENAME_NOREPLACE else EBUSY
    if old_mount.is_read_only:
        raise EROFS
    old = look_up_entry(old_directory, old_last)
    new = _look_up_target(new_directory, new_last, flags)
    is_directory = old.inode.is_directory
    if is_exchange:
        assert new is not None
        if new_slash and not new.inode.is_directory:
            raise ENOTDIR
    if not is_directory and (old_slash or (new_slash and not is_exchange)):
        raise ENOTDIR
    if new_directory.is_descendant_of(old):
        raise EINVAL
    if new is not None and old_directory.is_descendant_of(new):
        raise EINVAL if is_exchange else ENOTEMPTY
    if subject.landlock:
        check_reference(subject, old_mount, old, new_directory, new, is_removed=True, is_exchange=is_exchange)
    if new is not None and new.inode is old.inode:
        # POSIX: of two names of one file none is removed.
        return
    subject = through(old_mount, subject)
    _check_renaming(old_directory, old, new_directory, new, subject, is_exchange=is_exchange)
    _check_not_mounted(context, old)
    if new is not None:
        _check_not_mounted(context, new)
    if is_exchange:
        assert new is not None
        old_directory.inode.rename(old_last, new_directory.inode, new_last, flags, subject)
        old.exchange(new)
        _note_move(old_directory, old_last, new_directory, new_last, old.inode)
        _note_move(new_directory, new_last, old_directory, old_last, new.inode)
        return
    with _Removal(None if new is None else new.inode) as removal:
        whiteout = old_directory.inode.rename(old_last, new_directory.inode, new_last, flags, subject)
        if new is not None:
            _entry_is_gone(new_directory, new)
        old.move(new_directory, new_last)
        if whiteout is not None:
            old_directory.add(old_last, whiteout)
        _note_move(old_directory, old_last, new_directory, new_last, old.inode, removal)


class _Removal:
    """A file that loses a name stays until all has been said about it, if somebody listens."""

    __slots__ = ("events", "inode")

    def __init__(self, inode: Inode | None) -> None:
        self.inode = inode
        self.events = None if inode is None or inode.watches is None else inode.superblock.vfs.file_events

    def __enter__(self) -> _Removal:
        if self.events is not None and self.inode is not None:
            self.inode.open_count += 1
        return self

    def lost_name(self) -> None:
        """Linux: include/linux/fsnotify.h, fsnotify_link_count."""
        if self.events is not None and self.inode is not None:
            self.events.link_count_changed(self.inode)

    def __exit__(self, *failure: object) -> None:
        if self.events is not None and self.inode is not None:
            self.inode.open_count -= 1
            self.inode.evict_if_unused()


def _note_move(
    old_directory: Dentry,
    old_name: bytes,
    new_directory: Dentry,
    new_name: bytes,
    inode: Inode,
    replaced: _Removal | None = None,
) -> None:
    """Linux: include/linux/fsnotify.h, fsnotify_move."""
    events = inode.superblock.vfs.file_events
    if events is not None:
        events.moved(old_directory.inode, old_name, new_directory.inode, new_name, inode)
        if replaced is not None:
            replaced.lost_name()
        events.moved_self(inode)


def _look_up_target(directory: Dentry, name: bytes, flags: int) -> Dentry | None:
    try:
        target = look_up_entry(directory, name)
    except ENOENT:
        # Nothing can be made in a directory that is gone. Linux: fs/namei.c, lookup_one_qstr_excl.
        if flags & RENAME_EXCHANGE or directory.is_deleted or not directory.inode.can_get_names:
            raise
        return None
    if flags & RENAME_NOREPLACE:
        raise EEXIST
    return target


def _check_renaming(
    old_directory: Dentry,
    old: Dentry,
    new_directory: Dentry,
    new: Dentry | None,
    subject: Subject,
    *,
    is_exchange: bool,
) -> None:
    """The permissions that a rename takes. Linux: fs/namei.c, vfs_rename."""
    is_directory = old.inode.is_directory
    _check_removal(old_directory, old, subject, is_directory=is_directory)
    if new is None:
        _check_creation(new_directory, subject)
    else:
        new_is_directory = new.inode.is_directory if is_exchange else is_directory
        _check_removal(new_directory, new, subject, is_directory=new_is_directory)
    if new_directory is not old_directory:
        # The ".." in a directory is written when it moves.
        if is_directory:
            old.inode.check_permission(subject, MAY_WRITE)
        if is_exchange and new is not None and new.inode.is_directory:
            new.inode.check_permission(subject, MAY_WRITE)


def _check_not_mounted(context: FsContext, dentry: Dentry) -> None:
    """Raise EBUSY if something is mounted on `dentry` in the caller's namespace.

    Linux: fs/namespace.c, __is_local_mountpoint.
    """
    if dentry.mounted is not None:
        caller = dentry.inode.superblock.vfs.caller
        namespace = context.root.mount.namespace if caller is None else caller.mount_namespace
        if any(mount.namespace is namespace for mount in dentry.mounted):
            raise EBUSY


def _entry_is_gone(directory: Dentry, victim: Dentry) -> None:
    """Forget the name, and what other namespaces have mounted on it.

    Linux: fs/dcache.c, d_delete; fs/mount.h, detach_mounts.
    """
    directory.remove(victim)
    if victim.mounted is not None:
        detach_mounts(victim)
