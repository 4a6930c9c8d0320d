"""What is known about files: stat, statx, statfs, access, readlink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.device_numbers import device_major, device_minor
from procession.abi.duration import NS_PER_S
from procession.abi.errno import EFAULT, EINVAL, ENOENT
from procession.abi.file_mode import S_IFMT, AccessMode
from procession.abi.limits import NAME_MAX
from procession.abi.mount_flags import MountFlag
from procession.abi.open_flags import (
    AT_FDCWD,
    AT_STATX_SYNC_TYPE,
    AccessFlag,
    AtFlag,
)
from procession.abi.stat import Stat, Statx, StatxAttribute, StatxMask, StatxTimestamp
from procession.abi.statfs import Statfs, StatfsFlag
from procession.abi.word import Words
from procession.fs.attributes import check_access
from procession.fs.inode import S_IFLNK
from procession.fs.mounts.context import MS_MANDLOCK, MS_SYNCHRONOUS
from procession.fs.mounts.id_map import shown_owner
from procession.fs.mounts.mount import MS_NOATIME, Mount
from procession.fs.mounts.namespace import MountNamespace
from procession.fs.namei import lookup
from procession.kernel.security.capability import SECURE_NO_SETUID_FIXUP
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Fd, Flags, Int, OptionalPath, Out, OutBuffer, Path, UInt
from procession.syscalls.paths import AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, find, find_by_flags

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procession.fs import dentry
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task

_STAT: Final = Words("<QQQIII4xQqqqqqqqqq24x")
# struct ustat, which headers no longer have; its two names have always been empty.
_USTAT: Final = Words("<i4xQ16x")

_STAT_FLAGS: Final = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | int(AtFlag.AT_NO_AUTOMOUNT) | AT_STATX_SYNC_TYPE
_AT_EACCESS: Final = int(AccessFlag.AT_EACCESS)
_ACCESS_FLAGS: Final = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | _AT_EACCESS
_RESERVED_MASK: Final = int(StatxMask.STATX__RESERVED)
_STATX_MASK: Final = int(StatxMask.STATX_BASIC_STATS | StatxMask.STATX_MNT_ID)
_CHANGE_TIMES: Final = int(StatxMask.STATX_MTIME | StatxMask.STATX_CTIME)
_STATX_BTIME: Final = int(StatxMask.STATX_BTIME)
_STATX_MNT_ID: Final = int(StatxMask.STATX_MNT_ID)
_STATX_MNT_ID_UNIQUE: Final = int(StatxMask.STATX_MNT_ID_UNIQUE)
_MOUNT_ROOT: Final = int(StatxAttribute.STATX_ATTR_MOUNT_ROOT)
_KNOWN_ATTRIBUTES: Final = _MOUNT_ROOT | int(
    StatxAttribute.STATX_ATTR_AUTOMOUNT | StatxAttribute.STATX_ATTR_DAX
)
_FLAG_ATTRIBUTES: Final = int(
    StatxAttribute.STATX_ATTR_IMMUTABLE | StatxAttribute.STATX_ATTR_APPEND | StatxAttribute.STATX_ATTR_NODUMP
)
_MOUNT_FLAGS: Final = (
    (MountFlag.MS_NOSUID, StatfsFlag.ST_NOSUID),
    (MountFlag.MS_NODEV, StatfsFlag.ST_NODEV),
    (MountFlag.MS_NOEXEC, StatfsFlag.ST_NOEXEC),
    (MountFlag.MS_NOATIME, StatfsFlag.ST_NOATIME),
    (MountFlag.MS_NODIRATIME, StatfsFlag.ST_NODIRATIME),
    (MountFlag.MS_RELATIME, StatfsFlag.ST_RELATIME),
    (MountFlag.MS_NOSYMFOLLOW, StatfsFlag.ST_NOSYMFOLLOW),
)


def pack_stat(path: dentry.Path, namespace: UserNamespace) -> bytes:
    """The 144 bytes of struct stat, for a reader in `namespace`. Linux: fs/stat.c, cp_new_stat."""
    inode = path.dentry.inode
    uid, gid = shown_owner(path.mount, inode, namespace)
    atime_ns, mtime_ns, ctime_ns = inode.atime_ns, inode.mtime_ns, inode.ctime_ns
    return _STAT.pack(
        inode.superblock.device,
        inode.number,
        inode.shown_link_count,
        inode.shown_mode,
        uid,
        gid,
        inode.rdev,
        inode.shown_size,
        inode.block_size,
        inode.block_count,
        atime_ns // NS_PER_S,
        atime_ns % NS_PER_S,
        mtime_ns // NS_PER_S,
        mtime_ns % NS_PER_S,
        ctime_ns // NS_PER_S,
        ctime_ns % NS_PER_S,
    )


@syscall(4)
def stat(task: Task, path: Path, buffer: Out[Stat]) -> int:
    """stat(2). Linux: fs/stat.c, SYSCALL_DEFINE2(newstat)."""
    place = lookup(task.fs, task.credentials, path)
    task.mm.write(buffer.address, pack_stat(place, task.credentials.user_namespace))
    return 0


@syscall(5)
def fstat(task: Task, fd: Fd, buffer: Out[Stat]) -> int:
    """fstat(2). Linux: fs/stat.c, SYSCALL_DEFINE2(newfstat)."""
    task.mm.write(buffer.address, pack_stat(task.files.file(fd).path, task.credentials.user_namespace))
    return 0


@syscall(6)
def lstat(task: Task, path: Path, buffer: Out[Stat]) -> int:
    """lstat(2). Linux: fs/stat.c, SYSCALL_DEFINE2(newlstat)."""
    place = lookup(task.fs, task.credentials, path, follow=False)
    task.mm.write(buffer.address, pack_stat(place, task.credentials.user_namespace))
    return 0


@syscall(262)
def newfstatat(task: Task, directory: Fd, path: OptionalPath, buffer: Out[Stat], flags: Flags[AtFlag]) -> int:
    """fstatat(2). Linux: fs/stat.c, vfs_fstatat."""
    if flags & ~_STAT_FLAGS:
        raise EINVAL
    place = _find(task, directory, path, flags)
    task.mm.write(buffer.address, pack_stat(place, task.credentials.user_namespace))
    return 0


def _find(task: Task, directory_fd: int, name: bytes | None, flags: int) -> dentry.Path:
    if name is None and not flags & AT_EMPTY_PATH:
        raise EFAULT
    return find_by_flags(task, directory_fd, name, flags)


@syscall(332)
def statx(
    task: Task,
    directory: Fd,
    path: OptionalPath,
    flags: Flags[AtFlag],
    mask: Flags[StatxMask],
    buffer: Out[Statx],
) -> int:
    """statx(2). Linux: fs/stat.c, do_statx, cp_statx."""
    if mask & _RESERVED_MASK or flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE or flags & ~_STAT_FLAGS:
        raise EINVAL
    place = _find(task, directory, path, flags)
    inode = place.dentry.inode
    device = inode.superblock.device
    is_root = place.dentry is place.mount.root
    is_unique = mask & _STATX_MNT_ID_UNIQUE
    uid, gid = shown_owner(place.mount, inode, task.credentials.user_namespace)
    filled = _STATX_MASK & ~_STATX_MNT_ID | _STATX_MNT_ID_UNIQUE if is_unique else _STATX_MASK
    birth_ns = inode.birth_ns if mask & _STATX_BTIME else None
    known = _FLAG_ATTRIBUTES if inode.keeps_flags else 0
    mtime_ns, ctime_ns = inode.mtime_ns, inode.ctime_ns
    if inode.has_fine_times and not mask & _CHANGE_TIMES:
        # Linux: fs/stat.c, fill_mg_cmtime.
        filled &= ~_CHANGE_TIMES
        mtime_ns = ctime_ns = 0
    # Each attribute has the number of its flag. Linux: mm/shmem.c, shmem_getattr.
    attributes = inode.flags & known | (_MOUNT_ROOT if is_root else 0)
    buffer.put(
        Statx(
            stx_mask=filled if birth_ns is None else filled | _STATX_BTIME,
            stx_btime=_timestamp(birth_ns or 0),
            stx_blksize=inode.block_size,
            stx_attributes=attributes,
            stx_attributes_mask=_KNOWN_ATTRIBUTES | known,
            stx_nlink=inode.shown_link_count,
            stx_uid=uid,
            stx_gid=gid,
            stx_mode=inode.shown_mode,
            stx_ino=inode.number,
            stx_size=inode.shown_size,
            stx_blocks=inode.block_count,
            stx_atime=_timestamp(inode.atime_ns),
            stx_mtime=_timestamp(mtime_ns),
            stx_ctime=_timestamp(ctime_ns),
            stx_rdev_major=device_major(inode.rdev),
            stx_rdev_minor=device_minor(inode.rdev),
            stx_dev_major=device_major(device),
            stx_dev_minor=device_minor(device),
            stx_mnt_id=place.mount.id if is_unique else place.mount.number,
        )
    )
    return 0


def _timestamp(time_ns: int) -> StatxTimestamp:
    return StatxTimestamp(time_ns // NS_PER_S, time_ns % NS_PER_S)


@syscall(137)
def statfs(task: Task, path: Path, buffer: Out[Statfs]) -> int:
    """statfs(2). Linux: fs/statfs.c, user_statfs."""
    buffer.put(_statistics(lookup(task.fs, task.credentials, path).mount))
    return 0


@syscall(138)
def fstatfs(task: Task, fd: Fd, buffer: Out[Statfs]) -> int:
    """fstatfs(2). Linux: fs/statfs.c, fd_statfs."""
    buffer.put(_statistics(task.files.file(fd).path.mount))
    return 0


@syscall(136)
def ustat(task: Task, device: UInt, buffer: Address) -> int:
    """ustat(2). Linux: fs/statfs.c, SYSCALL_DEFINE2(ustat)."""
    vfs = task.kernel.vfs
    for mount in (*vfs.pseudo_mounts.values(), *_seen_mounts(task)):
        if mount.superblock.device == device:
            _, _, free_blocks, _, free_inodes = mount.superblock.statistics()
            task.mm.write(buffer, _USTAT.pack(free_blocks, free_inodes))
            return 0
    raise EINVAL("no file system is on that device")


def _seen_mounts(task: Task) -> Iterator[Mount]:
    """The mounts of every mount namespace."""
    for namespace in task.kernel.vfs.namespaces.live.values():
        if isinstance(namespace, MountNamespace):
            yield from namespace.mounts.values()


def _statistics(mount: Mount) -> Statfs:
    """Linux: fs/statfs.c, vfs_statfs, calculate_f_flags."""
    superblock = mount.superblock
    magic, blocks, free_blocks, inodes, free_inodes = superblock.statistics()
    flags = int(StatfsFlag.ST_VALID)
    if mount.is_read_only:
        flags |= StatfsFlag.ST_RDONLY
    if superblock.flags & MS_SYNCHRONOUS:
        flags |= StatfsFlag.ST_SYNCHRONOUS
    if superblock.flags & MS_MANDLOCK:
        flags |= StatfsFlag.ST_MANDLOCK
    for mount_flag, statfs_flag in _MOUNT_FLAGS:
        if mount.flags & mount_flag:
            flags |= statfs_flag
    return Statfs(
        f_type=magic,
        f_bsize=4096,
        f_blocks=blocks,
        f_bfree=free_blocks,
        f_bavail=free_blocks,
        f_files=inodes,
        f_ffree=free_inodes,
        f_fsid=(superblock.device, 0),
        f_namelen=NAME_MAX,
        f_frsize=4096,
        f_flags=flags,
    )


@syscall(21)
def access(task: Task, path: Path, mode: Flags[AccessMode]) -> int:
    """access(2). Linux: fs/open.c, SYSCALL_DEFINE2(access)."""
    return _check_access(task, AT_FDCWD, path, mode, 0)


@syscall(269)
def faccessat(task: Task, directory: Fd, path: Path, mode: Flags[AccessMode]) -> int:
    """faccessat(2) without flags. Linux: fs/open.c, SYSCALL_DEFINE3(faccessat)."""
    return _check_access(task, directory, path, mode, 0)


@syscall(439)
def faccessat2(
    task: Task, directory: Fd, path: Path, mode: Flags[AccessMode], flags: Flags[AccessFlag]
) -> int:
    """faccessat(2) with flags. Linux: fs/open.c, SYSCALL_DEFINE4(faccessat2)."""
    return _check_access(task, directory, path, mode, flags)


def _check_access(task: Task, directory_fd: int, name: bytes, mode: int, flags: int) -> int:
    """Linux: fs/open.c, do_faccessat."""
    if mode & ~7 or flags & ~_ACCESS_FLAGS:
        raise EINVAL
    credentials = task.credentials
    # A set-user-id program asks what the user who called it could do: the walk too is by the real ids.
    if not flags & _AT_EACCESS:
        credentials = real_credentials(credentials)
    own = task.credentials
    task.credentials = credentials
    try:
        place = find_by_flags(task, directory_fd, name, flags)
    finally:
        task.credentials = own
    if mode:
        check_access(place, credentials, mode)
    return 0


def real_credentials(credentials: Credentials) -> Credentials:
    """Credentials by which access(2) judges: the real ids, and the capabilities that go with them.

    Linux: fs/open.c, access_override_creds.
    """
    is_root = credentials.uid == credentials.user_namespace.make_kuid(0)
    effective = credentials.cap_effective
    if not credentials.is_secure(SECURE_NO_SETUID_FIXUP):
        effective = credentials.cap_permitted if is_root else 0
    if (credentials.fsuid, credentials.fsgid, credentials.cap_effective) == (
        credentials.uid,
        credentials.gid,
        effective,
    ):
        return credentials
    return credentials.replace(fsuid=credentials.uid, fsgid=credentials.gid, cap_effective=effective)


@syscall(89)
def readlink(task: Task, path: Path, buffer: OutBuffer, size: Int) -> int:
    """readlink(2). Linux: fs/stat.c, SYSCALL_DEFINE3(readlink)."""
    return _read_link(task, AT_FDCWD, path, buffer, size)


@syscall(267)
def readlinkat(task: Task, directory: Fd, path: Path, buffer: OutBuffer, size: Int) -> int:
    """readlinkat(2). Linux: fs/stat.c, SYSCALL_DEFINE4(readlinkat)."""
    return _read_link(task, directory, path, buffer, size)


def _read_link(task: Task, directory_fd: int, name: bytes, buffer: int, size: int) -> int:
    """Linux: fs/stat.c, do_readlinkat."""
    if size <= 0:
        raise EINVAL("no room")
    mount, entry = find(task, directory_fd, name, follow=False, allow_empty=True)
    inode = entry.inode
    if inode.mode & S_IFMT != S_IFLNK:
        # An empty name stands for a link only with an O_PATH descriptor of one.
        raise EINVAL if name else ENOENT
    if not mount.flags & MS_NOATIME:
        inode.touch_accessed()
    target = inode.readlink()[:size]
    task.mm.write(buffer, target)
    return len(target)
