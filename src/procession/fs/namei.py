"""Names into inodes: the path walk, and open(2) on top of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from procession.abi.errno import (
    EACCES,
    EBADF,
    EEXIST,
    EFAULT,
    EINVAL,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    EPERM,
    EROFS,
    ETXTBSY,
    EXDEV,
)
from procession.abi.file_mode import S_IFMT
from procession.abi.limits import NAME_MAX, PATH_MAX
from procession.abi.open_flags import O_ACCMODE, ResolveFlag
from procession.abi.word import pack_u64
from procession.fs.acl import inherit, inherited
from procession.fs.attributes import truncate_inode
from procession.fs.dentry import SMALLEST_SWEEP, Dentry, Path
from procession.fs.file import (
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
from procession.fs.file_events import IN_MODIFY, note_change, note_creation
from procession.fs.inode import S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, Inode
from procession.fs.landlock import (
    EVERY_RIGHT,
    TRUNCATE,
    allowed_at,
    check_right,
    making,
    rights_to_open,
)
from procession.fs.mounts.mount import MS_NODEV, MS_NOSYMFOLLOW, Mount, top_of
from procession.fs.permission import (
    MAY_EXEC,
    MAY_READ,
    MAY_WRITE,
    Subject,
    check_following,
    check_opening_by_creation,
    owns_or_has_capability,
)

if TYPE_CHECKING:
    from procession.fs.fs_context import FsContext

MAXIMUM_LINKS = 40

RESOLVE_NO_XDEV = int(ResolveFlag.RESOLVE_NO_XDEV)
RESOLVE_NO_MAGICLINKS = int(ResolveFlag.RESOLVE_NO_MAGICLINKS)
RESOLVE_NO_SYMLINKS = int(ResolveFlag.RESOLVE_NO_SYMLINKS)
RESOLVE_BENEATH = int(ResolveFlag.RESOLVE_BENEATH)
RESOLVE_IN_ROOT = int(ResolveFlag.RESOLVE_IN_ROOT)
RESOLVE_CACHED = int(ResolveFlag.RESOLVE_CACHED)
_RESOLVE_SCOPED = RESOLVE_BENEATH | RESOLVE_IN_ROOT

_nothing: Any = None
NOWHERE = Path(_nothing, _nothing)
"""Where a walk starts from a descriptor that isn't open: EBADF, unless it fails before."""

# The type and all three search bits: what a directory that anybody may walk through has.
_WALKABLE_MASK = S_IFMT | 0o111
_WALKABLE = S_IFDIR | 0o111


class ParentLookup(NamedTuple):
    """Where a name would be: its directory, and the last component.

    `last` is b"." or b".." when the name ends so, and b"" for a name that is only slashes.
    """

    parent: Path
    last: bytes
    ends_in_slash: bool


class Walk:
    """A walk along a name (Linux: fs/namei.c, struct nameidata).

    `mount` and `dentry` are where it is. `links` counts the symbolic links followed so far. After
    `walk_to_parent`, `last` is the component still to go; with `ends_in_slash` it must be a directory.
    """

    __slots__ = ("dentry", "ends_in_slash", "last", "links", "mount", "resolve", "root", "subject")

    def __init__(self, root: Path, start: Path, subject: Subject, resolve: int = 0) -> None:
        self.mount, self.dentry = start
        self.root = root
        self.subject = subject
        self.resolve = resolve
        self.links = 0
        self.last = b""
        self.ends_in_slash = False

    def walk_to_parent(self, name: bytes) -> None:
        """Follow all components of `name`, which isn't empty, but the last.

        Linux: fs/namei.c, link_path_walk.
        """
        if name[0] == 0x2F:
            self._go_to_root()
        components = name.split(b"/")
        last = components.pop()
        ends_in_slash = not last
        while not last and components:
            last = components.pop()
        mount, dentry = self.mount, self.dentry
        mount.superblock.vfs.clock.spend_walking(len(components) + 1)
        for component in components:
            if dentry.inode.mode & _WALKABLE_MASK == _WALKABLE and dentry.inode.acl is None:
                child = dentry.children.get(component)
                if child is not None and child.is_plain:
                    dentry = child
                    continue
            if component:
                self.mount, self.dentry = mount, dentry
                self.step(component, True)
                mount, dentry = self.mount, self.dentry
        self.mount, self.dentry = mount, dentry
        # Only now: links on the way have been walked by the same object.
        self.last, self.ends_in_slash = last, ends_in_slash

    def walk(self, name: bytes, follow: bool) -> None:
        """Follow all of `name`; whether a symbolic link at its end is followed is up to `follow`."""
        self.walk_to_parent(name)
        last = self.last
        if not last:
            return
        ends_in_slash = self.ends_in_slash
        self.step(last, follow or ends_in_slash)
        if ends_in_slash and self.dentry.inode.mode & S_IFMT != S_IFDIR:
            raise ENOTDIR

    def step(self, component: bytes, follow: bool) -> None:
        """Go on to `component` of the directory where the walk is. Linux: fs/namei.c, walk_component."""
        dentry = self.dentry
        directory = dentry.inode
        if directory.mode & _WALKABLE_MASK != _WALKABLE or directory.acl is not None:
            if directory.mode & S_IFMT != S_IFDIR:
                raise ENOTDIR
            directory.check_permission(self.subject, MAY_EXEC)
        child = dentry.children.get(component)
        if child is not None:
            self.step_into(child, follow)
        elif component == b"..":
            self._step_up()
        elif component != b".":
            self.step_into(look_up_entry(dentry, component), follow)

    def step_into(self, child: Dentry, follow: bool) -> None:
        """Go to `child` of the directory where the walk is, over mounts and links.

        Linux: fs/namei.c, step_into.
        """
        if child.is_plain:
            self.dentry = child
            return
        mount = self.mount
        while child.mounted:
            above = mount.children.get(child)
            if above is None:
                break
            if self.resolve & RESOLVE_NO_XDEV:
                raise EXDEV
            mount, child = above, above.root
        inode = child.inode
        if follow and inode.mode & S_IFMT == S_IFLNK:
            check_following(inode, self.dentry.inode, self.subject)
            self._follow_link(mount, inode)
        else:
            self.mount, self.dentry = mount, child

    def _follow_link(self, mount: Mount, inode: Inode) -> None:
        """In Linux, pick_link, and the walk along the target."""
        target = self.link_target(mount, inode)
        if target is not None:
            events = mount.superblock.vfs.file_events
            if events is not None:
                events.followed(target)
            self.walk(target, True)

    def link_target(self, mount: Mount, inode: Inode) -> bytes | None:
        """Where a symbolic link leads; None when it was a magic one, and the walk is there now.

        Linux: fs/namei.c, pick_link.
        """
        self.links += 1
        if self.links > MAXIMUM_LINKS:
            raise ELOOP
        resolve = self.resolve
        if resolve & RESOLVE_NO_SYMLINKS or mount.flags & MS_NOSYMFOLLOW:
            raise ELOOP
        if inode.is_magic_link:
            if resolve & RESOLVE_NO_MAGICLINKS:
                raise ELOOP
            path = inode.follow_magic_link()
            if path is not None:
                if resolve & _RESOLVE_SCOPED or (resolve & RESOLVE_NO_XDEV and path.mount is not self.mount):
                    raise EXDEV
                self.mount, self.dentry = path
                return None
        target = inode.readlink()
        if not target:
            raise ENOENT
        inode.touch_accessed(mount.flags)
        return target

    def _go_to_root(self) -> None:
        if self.resolve & RESOLVE_BENEATH:
            raise EXDEV
        root = self.root
        if self.resolve & RESOLVE_NO_XDEV and root.mount is not self.mount:
            raise EXDEV
        self.mount, self.dentry = root

    def _step_up(self) -> None:
        """Linux: fs/namei.c, handle_dots."""
        mount, dentry = self.mount, self.dentry
        root_mount, root_dentry = self.root
        while dentry is mount.root:
            if dentry is root_dentry and mount is root_mount:
                break
            if mount.parent is None or mount.mountpoint is None:
                break
            if self.resolve & RESOLVE_NO_XDEV:
                raise EXDEV
            dentry = mount.mountpoint
            mount = mount.parent
        if dentry is root_dentry and mount is root_mount:
            if self.resolve & RESOLVE_BENEATH:
                raise EXDEV
            self.mount, self.dentry = top_of(Path(mount, dentry))
            return
        if dentry is not mount.root:
            dentry = dentry.parent
        self.mount, self.dentry = top_of(Path(mount, dentry))


def look_up_entry(directory: Dentry, name: bytes) -> Dentry:
    """The entry `name` of `directory`, asked from its file system. Raises ENOENT, ENAMETOOLONG, EIO ...

    Linux: fs/namei.c, lookup_slow.
    """
    if len(name) > NAME_MAX:
        raise ENAMETOOLONG
    inode = directory.inode
    if not inode.caches_lookups:
        return _look_up_volatile(directory, name)
    known = directory.children.get(name)
    if known is not None:
        return known
    if directory.is_deleted or name in directory.children:
        raise ENOENT
    try:
        found = inode.lookup(name)
    except ENOENT:
        directory.add_absent(name)
        raise
    return directory.add(name, found)


def _look_up_volatile(directory: Dentry, name: bytes) -> Dentry:
    """Look up a name that comes and goes by itself; the same inode keeps its entry."""
    entries = directory.volatile_children
    if entries is None:
        entries = directory.volatile_children = {}
    known = entries.get(name)
    try:
        found = directory.inode.lookup(name)
    except ENOENT:
        if known is not None:
            del entries[name]
            known.is_deleted = True
        raise
    if known is not None and known.inode is found:
        return known
    if known is not None:
        known.is_deleted = True
    if len(entries) >= directory.sweep_size:
        _sweep(directory, entries)
    entry = entries[name] = Dentry(name, directory, found)
    return entry


def _sweep(directory: Dentry, entries: dict[bytes, Dentry]) -> None:
    """Drop the entries whose files have gone: nothing else tells, and they aren't charged to anybody."""
    for name, entry in list(entries.items()):
        try:
            is_there = directory.inode.lookup(name) is entry.inode
        except ENOENT:
            is_there = False
        if not is_there:
            del entries[name]
            entry.is_deleted = True
    directory.sweep_size = max(2 * len(entries), SMALLEST_SWEEP)


def unreadable_name(address: int) -> bytes:
    """What stands for a name that a program's memory doesn't hold: no name has a NUL."""
    return b"\0" + pack_u64(address)


def address_of_unreadable(name: bytes) -> int | None:
    """Where a program said that `name` was, None if it could be read."""
    return int.from_bytes(name[1:], "little") if name[:1] == b"\0" else None


def begin_walk(
    context: FsContext, subject: Subject, name: bytes, start: Path | None, resolve: int = 0
) -> Walk:
    """A walk that begins at `start`, or at the current directory. Raises ENOENT, EFAULT, ENAMETOOLONG, EBADF.

    Linux: fs/namei.c, path_init.
    """
    if not name:
        raise ENOENT
    if not name[0]:
        raise EFAULT
    if len(name) >= PATH_MAX:
        raise ENAMETOOLONG
    if start is None:
        start = context.cwd
    elif start is NOWHERE:
        raise EBADF
    if resolve & _RESOLVE_SCOPED:
        if not start.inode.is_directory:
            raise ENOTDIR
        return Walk(start, start, subject, resolve)
    return Walk(context.root, start, subject, resolve)


def lookup(
    context: FsContext,
    subject: Subject,
    name: bytes,
    start: Path | None = None,
    *,
    follow: bool = True,
    allow_empty: bool = False,
    must_be_directory: bool = False,
    resolve: int = 0,
) -> Path:
    """The place called `name`, relative to `start` (None: the current directory).

    With `allow_empty`, an empty name is `start` itself (AT_EMPTY_PATH). `resolve` holds RESOLVE_* of
    openat2(2). Raises ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG, EXDEV, EIO.
    Linux: fs/namei.c, path_lookupat.
    """
    if not name and allow_empty:
        if start is NOWHERE:
            raise EBADF
        return context.cwd if start is None else start
    walk = begin_walk(context, subject, name, start, resolve)
    walk.walk(name, follow)
    if must_be_directory and walk.dentry.inode.mode & S_IFMT != S_IFDIR:
        raise ENOTDIR
    mount = walk.mount
    if mount.is_expiring:
        # Somebody uses it.
        mount.is_expiring = False
    return Path(mount, walk.dentry)


def lookup_mount_point(context: FsContext, subject: Subject, name: bytes, *, follow: bool) -> Path:
    """The root of the topmost mount at the place called `name`, without using it.

    Raises what `lookup` raises. Linux: fs/namei.c, handle_lookup_down.
    """
    walk = begin_walk(context, subject, name, None)
    walk.walk(name, follow)
    return top_of(Path(walk.mount, walk.dentry))


def lookup_parent(
    context: FsContext, subject: Subject, name: bytes, start: Path | None = None, *, resolve: int = 0
) -> ParentLookup:
    """The directory in which `name` is or would be, and its last component, which isn't looked up.

    The directory may be searched by `subject`. Raises what `lookup` raises. Linux: fs/namei.c, path_parentat.
    """
    walk = begin_walk(context, subject, name, start, resolve)
    walk.walk_to_parent(name)
    directory = walk.dentry.inode
    if directory.mode & S_IFMT != S_IFDIR:
        raise ENOTDIR
    if walk.last:
        directory.check_permission(subject, MAY_EXEC)
    return ParentLookup(Path(walk.mount, walk.dentry), walk.last, walk.ends_in_slash)


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
    if flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY:
        raise EINVAL
    if flags & O_TMPFILE & ~O_DIRECTORY:
        if flags & O_TMPFILE != O_TMPFILE or not flags & O_ACCMODE:
            raise EINVAL
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
        directory.inode.check_permission(subject, MAY_EXEC)
        if walk.ends_in_slash:
            raise EISDIR
        try:
            child = look_up_entry(directory, last)
        except ENOENT:
            path = _create(context, walk, directory, last, mode)
            return _open_created(path, subject, flags)
        walk.step_into(child, False)
        inode = walk.dentry.inode
        if inode.mode & S_IFMT != S_IFLNK or flags & (O_EXCL | O_NOFOLLOW):
            break
        mount, walk.mount, walk.dentry = walk.mount, walk.mount, directory
        check_following(inode, directory.inode, subject)
        target = walk.link_target(mount, inode)
        if target is None:
            break
        name = target
    if flags & O_EXCL:
        raise EEXIST
    inode = walk.dentry.inode
    if inode.mode & S_IFMT == S_IFDIR:
        raise EISDIR
    check_opening_by_creation(inode, walk.dentry.parent.inode, subject)
    return open_path(Path(walk.mount, walk.dentry), subject, flags, progress)


def _create(context: FsContext, walk: Walk, directory: Dentry, name: bytes, mode: int) -> Path:
    if walk.mount.is_read_only:
        raise EROFS
    if directory.is_deleted:
        raise ENOENT
    inode = directory.inode
    if walk.subject.landlock:
        check_right(walk.subject, Path(walk.mount, directory), making(S_IFREG))
    inode.check_permission(walk.subject, MAY_WRITE | MAY_EXEC)
    inode.superblock.vfs.accounts.check_files()
    created = inode.create(name, inherited(inode, mode & 0o7777, context.umask), walk.subject)
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
    if directory.mount.is_read_only:
        raise EROFS
    directory.inode.check_permission(subject, MAY_WRITE | MAY_EXEC)
    directory.inode.superblock.vfs.accounts.check_files()
    inode = directory.inode.create_unnamed(inherited(directory.inode, mode & 0o7777, context.umask), subject)
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
    inode.check_permission(subject, mask)
    if flags & O_NOATIME and not owns_or_has_capability(subject, inode):
        raise EPERM
    if mask & MAY_WRITE and kind == S_IFREG:
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
        inode.locks.leases.break_for(is_write=bool(mask & MAY_WRITE), is_blocking=not flags & O_NONBLOCK)
    file = _opened(inode.open(path, flags, subject, progress))
    file.landlock_rights = rights
    if flags & O_TRUNC and kind == S_IFREG:
        truncate_inode(inode, subject, 0)
        note_change(path.dentry, IN_MODIFY)
    return file
