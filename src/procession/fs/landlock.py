"""Landlock: domains that a task puts itself in, and what files they leave to it (landlock(7)).

A domain is a tuple of layers, the oldest first; a task can add one, and takes none away. Something is allowed
if each layer allows it, and a layer allows what it doesn't handle and what its rules for the file or for a
directory above it grant together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from procession.abi.errno import EACCES, EXDEV
from procession.abi.file_mode import S_IFMT, FileType
from procession.abi.landlock import LandlockAccessFs, LandlockScope

if TYPE_CHECKING:
    from procession.fs.dentry import Dentry, Path
    from procession.fs.inode import Inode
    from procession.fs.mounts.mount import Mount

EXECUTE: Final = int(LandlockAccessFs.LANDLOCK_ACCESS_FS_EXECUTE)
WRITE_FILE: Final = int(LandlockAccessFs.LANDLOCK_ACCESS_FS_WRITE_FILE)
READ_FILE: Final = int(LandlockAccessFs.LANDLOCK_ACCESS_FS_READ_FILE)
READ_DIR: Final = int(LandlockAccessFs.LANDLOCK_ACCESS_FS_READ_DIR)
REMOVE_DIR: Final = int(LandlockAccessFs.LANDLOCK_ACCESS_FS_REMOVE_DIR)
REMOVE_FILE: Final = int(LandlockAccessFs.LANDLOCK_ACCESS_FS_REMOVE_FILE)
REFER: Final = int(LandlockAccessFs.LANDLOCK_ACCESS_FS_REFER)
TRUNCATE: Final = int(LandlockAccessFs.LANDLOCK_ACCESS_FS_TRUNCATE)
IOCTL_DEV: Final = int(LandlockAccessFs.LANDLOCK_ACCESS_FS_IOCTL_DEV)
FILE_RIGHTS: Final = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
"""What makes sense for what isn't a directory. Linux: security/landlock/fs.c, ACCESS_FILE."""
SCOPE_SOCKETS: Final = int(LandlockScope.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET)
SCOPE_SIGNALS: Final = int(LandlockScope.LANDLOCK_SCOPE_SIGNAL)
EVERY_RIGHT: Final = sum(map(int, LandlockAccessFs))
MOST_LAYERS: Final = 16

_MAKING: Final = {
    int(FileType.S_IFREG): int(LandlockAccessFs.LANDLOCK_ACCESS_FS_MAKE_REG),
    int(FileType.S_IFDIR): int(LandlockAccessFs.LANDLOCK_ACCESS_FS_MAKE_DIR),
    int(FileType.S_IFLNK): int(LandlockAccessFs.LANDLOCK_ACCESS_FS_MAKE_SYM),
    int(FileType.S_IFCHR): int(LandlockAccessFs.LANDLOCK_ACCESS_FS_MAKE_CHAR),
    int(FileType.S_IFBLK): int(LandlockAccessFs.LANDLOCK_ACCESS_FS_MAKE_BLOCK),
    int(FileType.S_IFIFO): int(LandlockAccessFs.LANDLOCK_ACCESS_FS_MAKE_FIFO),
    int(FileType.S_IFSOCK): int(LandlockAccessFs.LANDLOCK_ACCESS_FS_MAKE_SOCK),
}
_S_IFDIR: Final = int(FileType.S_IFDIR)


class Layer:
    """The rules of one call of landlock_restrict_self(2).

    `files` and `ports` are the rights that it handles; `file_rules` and `port_rules` what is granted, by
    inode and by port. `scopes` are what isn't done to others than those who are in it as well.
    """

    __slots__ = ("file_rules", "files", "port_rules", "ports", "scopes")

    def __init__(
        self,
        files: int,
        ports: int,
        scopes: int,
        file_rules: dict[Inode, int],
        port_rules: dict[int, int],
    ) -> None:
        self.files = files
        self.ports = ports
        self.scopes = scopes
        self.file_rules = file_rules
        self.port_rules = port_rules

    def denied(self, mount: Mount, dentry: Dentry) -> int:
        """Which rights aren't granted at a place by this layer. Nothing is moved without being asked."""
        rules = self.file_rules
        granted = rules.get(dentry.inode, 0)
        while True:
            if dentry is mount.root:
                if mount.parent is None or mount.mountpoint is None:
                    break
                # What is covered counts for nothing, what is around it does.
                dentry, mount = mount.mountpoint, mount.parent
                continue
            # From the top of the file system, to which what was moved away from below the mount leads, it
            # goes on with the mount. Linux: security/landlock/fs.c, is_access_to_paths_allowed.
            dentry = mount.root if dentry.parent is dentry else dentry.parent
            granted |= rules.get(dentry.inode, 0)
        return (self.files | REFER) & ~granted


Domain = tuple[Layer, ...]


class Restricted(Protocol):
    """Who may be in a domain: a task's credentials."""

    @property
    def landlock(self) -> Domain:
        """The domain, () for none."""


def making(mode: int) -> int:
    """The right to make a file of that type. Linux: security/landlock/fs.c, get_mode_access."""
    return _MAKING.get(mode & S_IFMT, 0)


def allowed_at(subject: Restricted, path: Path) -> int:
    """The rights that the subject's domain leaves it at a place."""
    mount, dentry = path
    if mount.is_internal:
        return EVERY_RIGHT
    denied = 0
    for layer in subject.landlock:
        if layer.files:
            denied |= layer.denied(mount, dentry)
    return EVERY_RIGHT & ~denied


def check_right(subject: Restricted, path: Path, rights: int) -> None:
    """Raise EACCES unless the subject's domain leaves it all of `rights` at a place.

    Linux: security/landlock/fs.c, current_check_access_path.
    """
    if subject.landlock and rights & ~allowed_at(subject, path):
        raise EACCES("the Landlock domain forbids it")


def rights_to_open(inode: Inode, *, reads: bool, writes: bool, executes: bool = False) -> int:
    """What opening a file takes. Linux: security/landlock/fs.c, get_required_file_open_access."""
    rights = 0
    if reads:
        if inode.mode & S_IFMT == _S_IFDIR:
            return READ_DIR
        rights = READ_FILE
    if writes:
        rights |= WRITE_FILE
    return rights | EXECUTE if executes else rights


def check_reference(
    subject: Restricted,
    mount: Mount,
    old: Dentry,
    new_directory: Dentry,
    new: Dentry | None,
    *,
    is_removed: bool,
    is_exchange: bool = False,
) -> None:
    """Raise EACCES or EXDEV unless `old` may get a name in `new_directory`, losing its own if `is_removed`.

    It mustn't have more rights there than where it is. `new` is what has the name, if anything.
    Linux: security/landlock/fs.c, current_check_refer_path.
    """
    layers = [layer for layer in subject.landlock if layer.files]
    if not layers:
        return
    from_old = making(new.inode.mode) if is_exchange and new is not None else 0
    to_new = making(old.inode.mode)
    if is_removed:
        from_old |= _removing(old)
        to_new |= 0 if new is None else _removing(new)
    old_directory = old.parent
    if old_directory is new_directory:
        if any(layer.denied(mount, new_directory) & (from_old | to_new) for layer in layers):
            raise EACCES("the Landlock domain forbids it")
        return
    from_old |= REFER
    to_new |= REFER
    is_allowed, is_forbidden = True, False
    for layer in layers:
        here, there = layer.denied(mount, old_directory), layer.denied(mount, new_directory)
        if here & from_old or there & to_new:
            is_allowed = False
            is_forbidden = is_forbidden or bool((here & from_old | there & to_new) & ~REFER)
        if _gains(layer, old, here, there) or (
            is_exchange and new is not None and _gains(layer, new, there, here)
        ):
            is_allowed = False
    if not is_allowed:
        raise (
            EACCES("the Landlock domain forbids it")
            if is_forbidden
            else EXDEV("the Landlock domain forbids to move it there")
        )


def _removing(victim: Dentry) -> int:
    return REMOVE_DIR if victim.inode.mode & S_IFMT == _S_IFDIR else REMOVE_FILE


def _gains(layer: Layer, moved: Dentry, here: int, there: int) -> bool:
    """Whether `moved` would have rights where `there` is denied that it hasn't where `here` is.

    Linux: security/landlock/fs.c, no_more_access.
    """
    denied = here & ~layer.file_rules.get(moved.inode, 0)
    if moved.inode.mode & S_IFMT != _S_IFDIR:
        denied &= FILE_RIGHTS
    return bool(denied & ~there)


def check_port(subject: Restricted, port: int, right: int) -> None:
    """Raise EACCES unless the subject's domain leaves it `right` over a port of TCP.

    Linux: security/landlock/net.c, current_check_access_socket.
    """
    for layer in subject.landlock:
        if right & layer.ports & ~layer.port_rules.get(port, 0):
            raise EACCES("the Landlock domain forbids it")


def is_within(outer: Domain, inner: Domain) -> bool:
    """Whether who is in `inner` is in `outer` as well. Linux: security/landlock/task.c, domain_scope_le."""
    return len(outer) <= len(inner) and all(
        mine is theirs for mine, theirs in zip(outer, inner, strict=False)
    )


def is_out_of_scope(mine: Domain, theirs: Domain, scope: int) -> bool:
    """Whether who is in `mine` may not do what `scope` is about to who is in `theirs`.

    The last layer that has the scope decides: the other has to be in it. Linux: security/landlock/task.c,
    domain_is_scoped.
    """
    for number in range(len(mine) - 1, -1, -1):
        layer = mine[number]
        if layer.scopes & scope:
            return number >= len(theirs) or theirs[number] is not layer
    return False
