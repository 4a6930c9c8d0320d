"""open(2): a file by its name, which is made if need be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import (
    EACCES,
    EEXIST,
    EINVAL,
    EISDIR,
    ELOOP,
    ENOENT,
    ENOTDIR,
    EPERM,
    EROFS,
    ETXTBSY,
)
from procession.abi.file_mode import S_IFMT
from procession.abi.open_flags import O_ACCMODE
from procession.fs.acl import inherit, inherited
from procession.fs.attributes import truncate_opened
from procession.fs.dentry import Dentry, Path
from procession.fs.file import (
    O_APPEND,
    O_CREAT,
    O_DIRECT,
    O_DIRECTORY,
    O_EXCL,
    O_NOATIME,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_TMPFILE,
    O_TRUNC,
    O_WRONLY,
    File,
    PathFile,
)
from procession.fs.file_events import note_creation
from procession.fs.inode import APPEND_ONLY, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG
from procession.fs.landlock import (
    EVERY_RIGHT,
    TRUNCATE,
    allowed_at,
    check_right,
    making,
    rights_to_open,
)
from procession.fs.mounts.id_map import through
from procession.fs.mounts.mount import MS_NODEV
from procession.fs.namei import Walk, begin_walk, look_up_entry, lookup
from procession.fs.permission import (
    MAY_EXEC,
    MAY_READ,
    MAY_WRITE,
    Subject,
    check_following,
    check_maker,
    check_opening_by_creation,
    inode_owner_or_capable,
)

if TYPE_CHECKING:
    from procession.fs.fs_context import FsContext
    from procession.fs.pipe import FifoOpening

UNNAMED = O_TMPFILE & ~O_DIRECTORY
"""The flag of a file without a name (in Linux, __O_TMPFILE)."""


def check_directory_flags(flags: int) -> None:
    """Raise EINVAL for a directory to be created, and for a file without a name that is only read.

    Linux: fs/open.c, build_open_flags.
    """
    if flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY:
        raise EINVAL("a directory isn't created")
    if flags & UNNAMED and (flags & O_TMPFILE != O_TMPFILE or not flags & O_ACCMODE):
        raise EINVAL("no directory's file to write to")


def open(
    context: FsContext,
    subject: Subject,
    name: bytes,
    start: Path | None = None,
    flags: int = 0,
    mode: int = 0,
    *,
    resolve: int = 0,
    allow_empty: bool = False,
    progress: object = None,
) -> File:
    """Open the file called `name`, relative to `start` (None: the current directory).

    `flags` are O_*, `mode` the permission bits of a file that is created, before the umask. A FIFO's open
    may raise Sleep; when the call runs again it passes its frame's `progress`. The file isn't held by
    anybody yet: install it, acquire it or release it. Linux: fs/namei.c, path_openat; open(2), openat2(2).
    """
    if flags & O_PATH:
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW
    if flags & O_TMPFILE:
        check_directory_flags(flags)
        if flags & UNNAMED:
            return _open_unnamed(context, subject, name, start, flags, mode, resolve)
    if not name and allow_empty and not flags & O_CREAT:
        return open_path(context.cwd if start is None else start, subject, flags, progress)
    walk = begin_walk(context, subject, name, start, resolve)
    if not flags & O_CREAT:
        walk.walk(name, not flags & O_NOFOLLOW)
        return open_path(Path(walk.mount, walk.dentry), subject, flags, progress)
    return _open_or_create(context, walk, name, flags, mode, progress)


def _open_or_create(
    context: FsContext, walk: Walk, name: bytes, flags: int, mode: int, progress: object
) -> File:
    """Linux: fs/namei.c, open_last_lookups with O_CREAT."""
    subject = walk.subject
    while True:
        walk.walk_to_parent(name)
        last = walk.last
        if last in (b"", b".", b".."):
            if last:
                walk.step(last, True)
            elif walk.dentry.inode.mode & S_IFMT != S_IFDIR:
                raise ENOTDIR
            break
        directory = walk.dentry
        if directory.inode.mode & S_IFMT != S_IFDIR:
            raise ENOTDIR
        directory.inode.check_permission(through(walk.mount, subject), MAY_EXEC)
        if walk.ends_in_slash:
            raise EISDIR
        try:
            child = look_up_entry(directory, last)
        except ENOENT:
            if not directory.inode.can_get_names:
                raise
            path = _create(context, walk, directory, last, mode)
            return _open_created(path, subject, flags)
        walk.step_into(child, False)
        inode = walk.dentry.inode
        if inode.mode & S_IFMT != S_IFLNK or flags & (O_EXCL | O_NOFOLLOW):
            break
        mount, walk.mount, walk.dentry = walk.mount, walk.mount, directory
        check_following(inode, directory.inode, through(mount, subject))
        target = walk.link_target(mount, inode)
        if target is None:
            break
        name = target
    if flags & O_EXCL:
        raise EEXIST
    inode = walk.dentry.inode
    if inode.mode & S_IFMT == S_IFDIR:
        raise EISDIR
    check_opening_by_creation(inode, walk.dentry.parent.inode, through(walk.mount, subject))
    return open_path(Path(walk.mount, walk.dentry), subject, flags, progress)


def _create(context: FsContext, walk: Walk, directory: Dentry, name: bytes, mode: int) -> Path:
    # Linux: fs/namei.c, lookup_open.
    if directory.is_deleted:
        raise ENOENT
    if walk.mount.is_read_only:
        raise EROFS
    inode = directory.inode
    if walk.subject.landlock:
        check_right(walk.subject, Path(walk.mount, directory), making(S_IFREG))
    maker = through(walk.mount, walk.subject)
    check_maker(maker, inode.superblock)
    inode.check_permission(maker, MAY_WRITE | MAY_EXEC)
    inode.superblock.vfs.accounts.check_files()
    created = inode.create(name, inherited(inode, mode & 0o7777, context.umask), maker)
    inode.superblock.vfs.clock.spend_making()
    inherit(inode, created)
    entry = directory.add(name, created)
    note_creation(entry)
    return Path(walk.mount, entry)


def _open_created(path: Path, subject: Subject, flags: int) -> File:
    """A file that has just been made opens whatever its mode says."""
    rights = _rights_to_open(path, subject, flags) if subject.landlock else EVERY_RIGHT
    file = _opened(path.dentry.inode.open(path, flags & ~O_TRUNC, subject))
    file.is_created = True
    file.landlock_rights = rights
    return file


def _rights_to_open(path: Path, subject: Subject, flags: int) -> int:
    """The rights that the subject's domain leaves it over the file. Raises EACCES unless it may open it.

    Linux: security/landlock/fs.c, hook_file_open.
    """
    access = flags & O_ACCMODE
    rights = allowed_at(subject, path)
    needed = rights_to_open(
        path.inode, reads=access in (O_RDONLY, O_RDWR), writes=access in (O_WRONLY, O_RDWR)
    )
    if needed & ~rights:
        raise EACCES("the Landlock domain forbids it")
    return rights


def _opened(file: File) -> File:
    """Tell who watches. Linux: fs/open.c, vfs_open."""
    events = file.inode.superblock.vfs.file_events
    if events is not None:
        events.opened(file)
    return file


def finish_opening(waiting: FifoOpening) -> File:
    """The open file of what waited for a FIFO's other side. Raises Sleep if it still has to."""
    return _opened(waiting.go_on())


def _open_unnamed(
    context: FsContext, subject: Subject, name: bytes, start: Path | None, flags: int, mode: int, resolve: int
) -> File:
    """Linux: fs/namei.c, do_tmpfile."""
    directory = lookup(
        context,
        subject,
        name,
        start,
        follow=not flags & O_NOFOLLOW,
        must_be_directory=True,
        resolve=resolve,
    )
    return _make_unnamed(context, subject, directory, flags, mode)


def _make_unnamed(context: FsContext, subject: Subject, directory: Path, flags: int, mode: int) -> File:
    """Linux: fs/namei.c, vfs_tmpfile."""
    if directory.mount.is_read_only:
        raise EROFS
    maker = through(directory.mount, subject)
    directory.inode.check_permission(maker, MAY_WRITE | MAY_EXEC)
    check_maker(maker, directory.inode.superblock)
    directory.inode.superblock.vfs.accounts.check_files()
    inode = directory.inode.create_unnamed(inherited(directory.inode, mode & 0o7777, context.umask), maker)
    inode.superblock.vfs.clock.spend_making()
    inherit(directory.inode, inode)
    inode.is_linkable = not flags & O_EXCL
    dentry = Dentry(b"#%d" % inode.number, directory.dentry, inode)
    dentry.is_deleted = True
    path = Path(directory.mount, dentry)
    rights = _rights_to_open(path, subject, flags) if subject.landlock else EVERY_RIGHT
    file = _opened(inode.open(path, flags & ~O_TMPFILE, subject))
    # F_GETFL tells it, though it acted at the open alone.
    file.flags |= O_TMPFILE
    file.landlock_rights = rights
    return file


def open_place(context: FsContext, subject: Subject, place: Path, flags: int) -> File:
    """Open what was found without a name, with all that `flags` say: there is nothing that could be created.

    Linux: fs/namei.c, do_file_open_root.
    """
    if flags & O_PATH:
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW
    check_directory_flags(flags)
    kind = place.inode.mode & S_IFMT
    if kind == S_IFLNK and not flags & O_PATH:
        raise ELOOP
    if flags & UNNAMED:
        if kind != S_IFDIR:
            raise ENOTDIR
        return _make_unnamed(context, subject, place, flags, 0)
    if flags & O_CREAT:
        if flags & O_EXCL:
            raise EEXIST
        if kind == S_IFDIR:
            raise EISDIR
    return open_path(place, subject, flags)


def open_path(path: Path, subject: Subject, flags: int, progress: object = None) -> File:
    """Open what is at `path`, checking what open(2) checks. Linux: fs/namei.c, do_open, may_open."""
    mount = path.mount
    inode = path.dentry.inode
    kind = inode.mode & S_IFMT
    if flags & O_DIRECTORY and kind != S_IFDIR:
        raise ENOTDIR
    if flags & O_PATH:
        return PathFile(path, flags, subject)
    access = flags & O_ACCMODE
    mask = (MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE, MAY_READ | MAY_WRITE)[access]
    if flags & O_TRUNC:
        mask |= MAY_WRITE
        if kind == S_IFREG and mount.is_read_only:
            raise EROFS
    if kind == S_IFLNK:
        raise ELOOP
    if kind == S_IFDIR:
        if mask & MAY_WRITE:
            raise EISDIR
        if flags & O_DIRECT:
            raise EINVAL("no direct access to a directory")
    elif kind in (S_IFCHR, S_IFBLK) and mount.flags & MS_NODEV:
        raise EACCES
    seen = through(mount, subject)
    inode.check_permission(seen, mask)
    if inode.flags & APPEND_ONLY and (
        (mask & MAY_WRITE and access != O_RDONLY and not flags & O_APPEND) or flags & O_TRUNC
    ):
        raise EPERM("the file is only appended to")
    if flags & O_NOATIME and not inode_owner_or_capable(seen, inode):
        raise EPERM
    if mask & MAY_WRITE and kind == S_IFREG and (access != O_ACCMODE or flags & O_TRUNC):
        # An access of 3 needs both rights and gives none. Linux: include/linux/fs.h, OPEN_FMODE.
        if inode.writer_count < 0:
            raise ETXTBSY
        if mount.is_read_only:
            raise EROFS
    rights = EVERY_RIGHT
    if subject.landlock:
        rights = _rights_to_open(path, subject, flags)
        if flags & O_TRUNC and kind == S_IFREG:
            check_right(subject, path, TRUNCATE)
    if inode.locks is not None:
        # O_TRUNC alone doesn't count as writing. Linux: fs/open.c, do_dentry_open.
        inode.locks.leases.break_for(is_write=access != O_RDONLY, is_blocking=not flags & O_NONBLOCK)
    file = inode.open(path, flags, subject, progress)
    if flags & O_DIRECT and not file.can_be_direct:
        # Linux finds that out when the file has been opened, too: fs/open.c, do_dentry_open.
        file.release_if_unheld()
        raise EINVAL("there is no direct access to a file that is made up")
    _opened(file)
    file.landlock_rights = rights
    if flags & O_TRUNC and kind == S_IFREG:
        truncate_opened(path, subject, 0)
    return file
