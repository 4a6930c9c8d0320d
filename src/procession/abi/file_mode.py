"""The type and permissions of a file, and what directory entries say about it."""

from __future__ import annotations

from typing import Final

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I64, U8, U16, U64, Structure


class FileType(IntEnum):
    """The bits of st_mode under S_IFMT."""

    S_IFIFO = 0o10000
    S_IFCHR = 0o20000
    S_IFDIR = 0o40000
    S_IFBLK = 0o60000
    S_IFREG = 0o100000
    S_IFLNK = 0o120000
    S_IFSOCK = 0o140000


S_IFMT: Final = 0o170000


class Permission(IntFlag):
    """The bits of st_mode that chmod(2) sets."""

    S_IXOTH = 1
    S_IWOTH = 2
    S_IROTH = 4
    S_IRWXO = 7
    S_IXGRP = 0o10
    S_IWGRP = 0o20
    S_IRGRP = 0o40
    S_IRWXG = 0o70
    S_IXUSR = 0o100
    S_IWUSR = 0o200
    S_IRUSR = 0o400
    S_IRWXU = 0o700
    S_ISVTX = 0o1000
    S_ISGID = 0o2000
    S_ISUID = 0o4000


class AccessMode(IntFlag):
    """access(2)."""

    F_OK = 0
    X_OK = 1
    W_OK = 2
    R_OK = 4


class DirentType(IntEnum):
    """d_type of a directory entry."""

    DT_UNKNOWN = 0
    DT_FIFO = 1
    DT_CHR = 2
    DT_DIR = 4
    DT_BLK = 6
    DT_REG = 8
    DT_LNK = 10
    DT_SOCK = 12
    DT_WHT = 14


class RenameFlag(IntFlag):
    """renameat2(2)."""

    RENAME_NOREPLACE = 1
    RENAME_EXCHANGE = 2
    RENAME_WHITEOUT = 4


class LinuxDirent64(Structure, is_packed=True):
    """What precedes the name, which ends with a NUL, in an entry of getdents64(2): 19 bytes."""

    d_ino: U64 = 0
    d_off: I64 = 0
    d_reclen: U16 = 0
    d_type: U8 = 0
