"""Names into inodes: the path walk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from procession.abi.errno import (
    EACCES,
    EAGAIN,
    EBADF,
    EFAULT,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    EXDEV,
    Errno,
)
from procession.abi.file_mode import S_IFMT
from procession.abi.limits import PATH_MAX
from procession.abi.named_tuple import NamedTuple
from procession.abi.open_flags import ResolveFlag
from procession.abi.word import pack_u64
from procession.fs.dentry import SMALLEST_SWEEP, Dentry, Path
from procession.fs.inode import S_IFDIR, S_IFLNK, Inode
from procession.fs.mounts.id_map import through
from procession.fs.mounts.mount import MS_NOSYMFOLLOW, Mount, top_of
from procession.fs.permission import (
    MAY_EXEC,
    Subject,
    check_following,
)

if TYPE_CHECKING:
    from procession.fs.fs_context import FsContext

MAXIMUM_LINKS: Final = 40

RESOLVE_NO_XDEV: Final = int(ResolveFlag.RESOLVE_NO_XDEV)
RESOLVE_NO_MAGICLINKS: Final = int(ResolveFlag.RESOLVE_NO_MAGICLINKS)
RESOLVE_NO_SYMLINKS: Final = int(ResolveFlag.RESOLVE_NO_SYMLINKS)
RESOLVE_BENEATH: Final = int(ResolveFlag.RESOLVE_BENEATH)
RESOLVE_IN_ROOT: Final = int(ResolveFlag.RESOLVE_IN_ROOT)
RESOLVE_CACHED: Final = int(ResolveFlag.RESOLVE_CACHED)
_RESOLVE_SCOPED: Final = RESOLVE_BENEATH | RESOLVE_IN_ROOT

_DOTS: Final = (b".", b"..")
_nothing: Any = None
NOWHERE: Final = Path(_nothing, _nothing)
"""Where a walk starts from a descriptor that isn't open: EBADF, unless it fails before."""

# The type and all three search bits: what a directory that anybody may walk through has.
_WALKABLE_MASK: Final = S_IFMT | 0o111
_WALKABLE: Final = S_IFDIR | 0o111


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
    `connected_in` is the mount below whose root it's known to be.
    """

    __slots__ = (
        "connected_in",
        "dentry",
        "ends_in_slash",
        "last",
        "links",
        "mount",
        "resolve",
        "root",
        "subject",
    )

    def __init__(self, root: Path, start: Path, subject: Subject, resolve: int = 0) -> None:
        self.mount, self.dentry = start
        self.root = root
        self.subject = subject
        self.resolve = resolve
        self.links = 0
        self.connected_in: Mount | None = None
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
            directory.check_permission(through(self.mount, self.subject), MAY_EXEC)
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
                raise self.leaving()
            mount, child = above, above.root
        inode = child.inode
        if follow and inode.mode & S_IFMT == S_IFLNK:
            check_following(inode, self.dentry.inode, through(mount, self.subject))
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
            # To read where it leads takes longer than to find a name.
            mount.superblock.vfs.clock.spend_walking(2)
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
        if resolve & RESOLVE_CACHED and inode.needs_slow_walk:
            raise EAGAIN
        if inode.is_magic_link:
            if resolve & RESOLVE_NO_MAGICLINKS:
                raise ELOOP
            path = inode.follow_magic_link()
            if path is not None:
                if resolve & _RESOLVE_SCOPED or (resolve & RESOLVE_NO_XDEV and path.mount is not self.mount):
                    raise EXDEV
                self.mount, self.dentry = path
                self.connected_in = None
                return None
        target = inode.readlink()
        if not target:
            raise ENOENT
        inode.touch_accessed(mount.flags)
        return target

    def _go_to_root(self) -> None:
        """Linux: fs/namei.c, nd_jump_root."""
        if self.resolve & RESOLVE_BENEATH:
            raise EXDEV
        root = self.root
        # The name itself may begin anywhere; that of a link may not.
        if self.links and self.resolve & RESOLVE_NO_XDEV and root.mount is not self.mount:
            raise EXDEV
        self.mount, self.dentry = root
        self.connected_in = None

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
                raise self.leaving()
            dentry = mount.mountpoint
            mount = mount.parent
        if dentry is root_dentry and mount is root_mount:
            if self.resolve & RESOLVE_BENEATH:
                raise self.leaving()
        elif dentry is not mount.root:
            dentry = dentry.parent
            if self.connected_in is not mount:
                self._check_connected(mount, dentry)
        self.mount, self.dentry = top_of(Path(mount, dentry))
        if self.mount is not mount and self.resolve & RESOLVE_NO_XDEV:
            raise self.leaving()

    def leaving(self) -> Errno:
        """What a component is answered that leads out of where the walk is to stay.

        Linux: fs/namei.c, traverse_mounts and follow_dotdot.
        """
        return EXDEV()

    def _check_connected(self, mount: Mount, dentry: Dentry) -> None:
        """Raise ENOENT if `dentry` isn't below the root of `mount`: a directory may be moved away from where
        a bind mount leads, and who is in it must not come to what that doesn't show.

        Linux: fs/namei.c, path_connected.
        """
        top = mount.root
        if top.parent is not top:
            step_count = 1
            while dentry is not top:
                if dentry.parent is dentry:
                    raise ENOENT("the directory was moved out of what is mounted")
                dentry = dentry.parent
                step_count += 1
            mount.superblock.vfs.clock.spend_walking(step_count)
        # From here on the walk stays below it, as long as it's in this mount.
        self.connected_in = mount


class CachedWalk(Walk):
    """A walk that takes no references (RESOLVE_CACHED): where it had to, it ends with EAGAIN.

    Linux: fs/namei.c, try_to_unlazy.
    """

    __slots__ = ()

    def leaving(self) -> Errno:
        """Linux: fs/namei.c, __follow_mount_rcu and follow_dotdot_rcu."""
        return EAGAIN()

    def _check_connected(self, mount: Mount, dentry: Dentry) -> None:
        try:
            super()._check_connected(mount, dentry)
        except ENOENT:
            raise EAGAIN from None

    def walk_to_parent(self, name: bytes) -> None:
        if name[0] == 0x2F:
            self._go_to_root()
        elif not self.dentry.inode.is_directory:
            raise ENOTDIR
        components = [component for component in name.split(b"/") if component]
        last = components.pop() if components else b""
        self.mount.superblock.vfs.clock.spend_walking(len(components) + 1)
        for component in components:
            self.step(component, True)
        self.last, self.ends_in_slash = last, name[-1] == 0x2F

    def step(self, component: bytes, follow: bool) -> None:
        dentry = self.dentry
        directory = dentry.inode
        try:
            if directory.mode & S_IFMT != S_IFDIR:
                raise ENOTDIR
            directory.check_permission(through(self.mount, self.subject), MAY_EXEC)
        except (EACCES, ENOTDIR):
            # Linux: fs/namei.c, may_lookup.
            raise EAGAIN from None
        if component in _DOTS:
            super().step(component, follow)
            return
        if directory.needs_reference(component):
            raise EAGAIN
        if not directory.caches_lookups and component not in (dentry.volatile_children or {}):
            # Linux: fs/namei.c, lookup_fast.
            raise EAGAIN
        child = dentry.children.get(component)
        if child is None:
            try:
                child = look_up_entry(dentry, component)
            except ENOENT:
                if not directory.superblock.is_written_back:
                    # Where all is in memory, nobody remembers what isn't there.
                    # Linux: fs/libfs.c, simple_lookup.
                    raise EAGAIN from None
                raise
        self.step_into(child, follow)


def look_up_entry(directory: Dentry, name: bytes) -> Dentry:
    """The entry `name` of `directory`, asked from its file system. Raises ENOENT, ENAMETOOLONG, EIO ...

    Linux: fs/namei.c, lookup_slow.
    """
    inode = directory.inode
    if len(name) > inode.superblock.longest_name:
        raise ENAMETOOLONG
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
    if known is not None and known.inode.revalidate():
        return known
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
            is_there = entry.inode.revalidate() or directory.inode.lookup(name) is entry.inode
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


def check_name(name: bytes) -> None:
    """Raise ENOENT for an empty name, EFAULT for an unreadable one, or ENAMETOOLONG.

    Linux: fs/namei.c, getname_flags.
    """
    if not name:
        raise ENOENT
    if not name[0]:
        raise EFAULT
    if len(name) >= PATH_MAX:
        raise ENAMETOOLONG


def begin_walk(
    context: FsContext, subject: Subject, name: bytes, start: Path | None, resolve: int = 0
) -> Walk:
    """A walk that begins at `start`, or at the current directory. Raises ENOENT, EFAULT, ENAMETOOLONG, EBADF.

    Linux: fs/namei.c, path_init.
    """
    check_name(name)
    if start is None:
        start = context.cwd
    elif start is NOWHERE:
        raise EBADF
    if not resolve:
        return Walk(context.root, start, subject)
    root = context.root
    if resolve & _RESOLVE_SCOPED:
        if not start.inode.is_directory:
            raise ENOTDIR
        root = start
    return (CachedWalk if resolve & RESOLVE_CACHED else Walk)(root, start, subject, resolve)


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
    try:
        walk.walk(name, follow)
    except Errno:
        walk.mount.is_expiring = False
        raise
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
    if walk.mount.is_expiring:
        walk.mount.is_expiring = False
    directory = walk.dentry.inode
    if directory.mode & S_IFMT != S_IFDIR:
        raise ENOTDIR
    if walk.last:
        directory.check_permission(through(walk.mount, subject), MAY_EXEC)
    return ParentLookup(Path(walk.mount, walk.dentry), walk.last, walk.ends_in_slash)
