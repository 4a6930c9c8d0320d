"""How files are opened, named relative to a directory, locked and controlled by fcntl(2)."""

from __future__ import annotations

from typing import Final

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I16, I32, I64, U64, Structure


class OpenFlag(IntFlag):
    """open(2). The lowest two bits aren't flags but the access mode: mask them with O_ACCMODE."""

    O_RDONLY = 0
    O_WRONLY = 1
    O_RDWR = 2
    O_CREAT = 0o100
    O_EXCL = 0o200
    O_NOCTTY = 0o400
    O_TRUNC = 0o1000
    O_APPEND = 0o2000
    O_NONBLOCK = 0o4000
    O_DSYNC = 0o10000
    FASYNC = 0o20000
    O_DIRECT = 0o40000
    O_LARGEFILE = 0o100000
    O_DIRECTORY = 0o200000
    O_NOFOLLOW = 0o400000
    O_NOATIME = 0o1000000
    O_CLOEXEC = 0o2000000
    O_SYNC = 0o4010000
    O_PATH = 0o10000000
    O_TMPFILE = 0o20200000


O_ACCMODE: Final = 3

# The directory that a relative path starts from is the working directory.
AT_FDCWD: Final = -100


class AtFlag(IntFlag):
    """The flags of the ...at() calls."""

    AT_SYMLINK_NOFOLLOW = 0x100
    AT_REMOVEDIR = 0x200
    AT_SYMLINK_FOLLOW = 0x400
    AT_NO_AUTOMOUNT = 0x800
    AT_EMPTY_PATH = 0x1000
    AT_STATX_FORCE_SYNC = 0x2000
    AT_STATX_DONT_SYNC = 0x4000
    AT_RECURSIVE = 0x8000


class ExecFlag(IntFlag):
    """execveat(2)'s flags."""

    AT_SYMLINK_NOFOLLOW = 0x100
    AT_EMPTY_PATH = 0x1000
    AT_EXECVE_CHECK = 0x10000


# The bits of statx(2)'s flags that say how fresh the answer must be.
AT_STATX_SYNC_TYPE: Final = 0x6000
AT_STATX_SYNC_AS_STAT: Final = 0


class AccessFlag(IntFlag):
    """faccessat2(2)'s flags, which give 0x200 another meaning."""

    AT_SYMLINK_NOFOLLOW = 0x100
    AT_EACCESS = 0x200
    AT_EMPTY_PATH = 0x1000


class HandleFlag(IntFlag):
    """name_to_handle_at(2)'s flags."""

    AT_HANDLE_MNT_ID_UNIQUE = 1
    AT_HANDLE_CONNECTABLE = 2
    AT_HANDLE_FID = 0x200
    AT_SYMLINK_FOLLOW = 0x400
    AT_EMPTY_PATH = 0x1000


class KernelRoot(IntEnum):
    """Taken by open_by_handle_at(2) in place of a descriptor: the roots of file systems nobody can mount."""

    FD_PIDFS_ROOT = -10002
    FD_NSFS_ROOT = -10003


class ResolveFlag(IntFlag):
    """openat2(2): what a path may not cross."""

    RESOLVE_NO_XDEV = 1
    RESOLVE_NO_MAGICLINKS = 2
    RESOLVE_NO_SYMLINKS = 4
    RESOLVE_BENEATH = 8
    RESOLVE_IN_ROOT = 0x10
    RESOLVE_CACHED = 0x20


class CloseRangeFlag(IntFlag):
    """close_range(2)."""

    CLOSE_RANGE_UNSHARE = 2
    CLOSE_RANGE_CLOEXEC = 4


class Whence(IntEnum):
    """lseek(2)."""

    SEEK_SET = 0
    SEEK_CUR = 1
    SEEK_END = 2
    SEEK_DATA = 3
    SEEK_HOLE = 4


class FcntlCommand(IntEnum):
    """fcntl(2)."""

    F_DUPFD = 0
    F_GETFD = 1
    F_SETFD = 2
    F_GETFL = 3
    F_SETFL = 4
    F_GETLK = 5
    F_SETLK = 6
    F_SETLKW = 7
    F_SETOWN = 8
    F_GETOWN = 9
    F_SETSIG = 10
    F_GETSIG = 11
    F_SETOWN_EX = 15
    F_GETOWN_EX = 16
    F_GETOWNER_UIDS = 17
    F_OFD_GETLK = 36
    F_OFD_SETLK = 37
    F_OFD_SETLKW = 38
    F_SETLEASE = 1024
    F_GETLEASE = 1025
    F_NOTIFY = 1026
    F_DUPFD_QUERY = 1027
    F_CREATED_QUERY = 1028
    F_CANCELLK = 1029
    F_DUPFD_CLOEXEC = 1030
    F_SETPIPE_SZ = 1031
    F_GETPIPE_SZ = 1032
    F_ADD_SEALS = 1033
    F_GET_SEALS = 1034
    F_GET_RW_HINT = 1035
    F_SET_RW_HINT = 1036
    F_GET_FILE_RW_HINT = 1037
    F_SET_FILE_RW_HINT = 1038


class FdFlag(IntFlag):
    """F_GETFD and F_SETFD."""

    FD_CLOEXEC = 1


class LockType(IntEnum):
    """The kind of a record lock: struct flock's l_type."""

    F_RDLCK = 0
    F_WRLCK = 1
    F_UNLCK = 2
    F_EXLCK = 4
    F_SHLCK = 8


class FlockOperation(IntFlag):
    """flock(2)."""

    LOCK_SH = 1
    LOCK_EX = 2
    LOCK_NB = 4
    LOCK_UN = 8
    LOCK_MAND = 0x20
    LOCK_READ = 0x40
    LOCK_WRITE = 0x80


class OwnerType(IntEnum):
    """Whom F_SETOWN_EX signals."""

    F_OWNER_TID = 0
    F_OWNER_PID = 1
    F_OWNER_PGRP = 2


class Seal(IntFlag):
    """F_ADD_SEALS: what a memfd refuses from now on."""

    F_SEAL_SEAL = 1
    F_SEAL_SHRINK = 2
    F_SEAL_GROW = 4
    F_SEAL_WRITE = 8
    F_SEAL_FUTURE_WRITE = 0x10
    F_SEAL_EXEC = 0x20


class DirectoryNotifyFlag(IntFlag):
    """F_NOTIFY."""

    DN_ACCESS = 1
    DN_MODIFY = 2
    DN_CREATE = 4
    DN_DELETE = 8
    DN_RENAME = 0x10
    DN_ATTRIB = 0x20
    DN_MULTISHOT = 0x80000000


class FallocateFlag(IntFlag):
    """fallocate(2)."""

    FALLOC_FL_KEEP_SIZE = 1
    FALLOC_FL_PUNCH_HOLE = 2
    FALLOC_FL_NO_HIDE_STALE = 4
    FALLOC_FL_COLLAPSE_RANGE = 8
    FALLOC_FL_ZERO_RANGE = 0x10
    FALLOC_FL_INSERT_RANGE = 0x20
    FALLOC_FL_UNSHARE_RANGE = 0x40
    FALLOC_FL_WRITE_ZEROES = 0x80


class OpenHow(Structure):
    """openat2(2)'s struct open_how."""

    flags: U64 = 0
    mode: U64 = 0
    resolve: U64 = 0


class Flock(Structure):
    """struct flock: a record lock; l_len 0 reaches to the end of the file, however far."""

    l_type: I16 = 0
    l_whence: I16 = 0
    l_start: I64 = 0
    l_len: I64 = 0
    l_pid: I32 = 0


class FOwnerEx(Structure):
    """F_SETOWN_EX's struct f_owner_ex."""

    type: I32 = 0
    pid: I32 = 0
