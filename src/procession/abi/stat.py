"""stat(2), statx(2): what the kernel tells about a file."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag
from procession.abi.structure import I64, U16, U32, U64, Structure


class StatxMask(IntFlag):
    """Which fields of struct statx are asked for, or filled."""

    STATX_TYPE = 1
    STATX_MODE = 2
    STATX_NLINK = 4
    STATX_UID = 8
    STATX_GID = 0x10
    STATX_ATIME = 0x20
    STATX_MTIME = 0x40
    STATX_CTIME = 0x80
    STATX_INO = 0x100
    STATX_SIZE = 0x200
    STATX_BLOCKS = 0x400
    STATX_BASIC_STATS = 0x7FF
    STATX_BTIME = 0x800
    STATX_ALL = 0xFFF
    STATX_MNT_ID = 0x1000
    STATX_DIOALIGN = 0x2000
    STATX_MNT_ID_UNIQUE = 0x4000
    STATX_SUBVOL = 0x8000
    STATX_WRITE_ATOMIC = 0x10000
    STATX__RESERVED = 0x80000000


class StatxAttribute(IntFlag):
    """stx_attributes."""

    STATX_ATTR_COMPRESSED = 4
    STATX_ATTR_IMMUTABLE = 0x10
    STATX_ATTR_APPEND = 0x20
    STATX_ATTR_NODUMP = 0x40
    STATX_ATTR_ENCRYPTED = 0x800
    STATX_ATTR_AUTOMOUNT = 0x1000
    STATX_ATTR_MOUNT_ROOT = 0x2000
    STATX_ATTR_VERITY = 0x100000
    STATX_ATTR_DAX = 0x200000
    STATX_ATTR_WRITE_ATOMIC = 0x400000


class Stat(Structure, size=144):
    """struct stat; st_blocks counts 512 bytes each."""

    st_dev: U64 = 0
    st_ino: U64 = 0
    st_nlink: U64 = 0
    st_mode: U32 = 0
    st_uid: U32 = 0
    st_gid: U32 = 0
    st_rdev: U64 = 0
    st_size: I64 = 0
    st_blksize: I64 = 0
    st_blocks: I64 = 0
    st_atime: U64 = 0
    st_atime_nsec: U64 = 0
    st_mtime: U64 = 0
    st_mtime_nsec: U64 = 0
    st_ctime: U64 = 0
    st_ctime_nsec: U64 = 0


class StatxTimestamp(Structure, size=16):
    """struct statx_timestamp."""

    tv_sec: I64 = 0
    tv_nsec: U32 = 0


class Statx(Structure, size=256):
    """struct statx."""

    stx_mask: U32 = 0
    stx_blksize: U32 = 0
    stx_attributes: U64 = 0
    stx_nlink: U32 = 0
    stx_uid: U32 = 0
    stx_gid: U32 = 0
    stx_mode: U16 = 0
    stx_ino: U64 = 0
    stx_size: U64 = 0
    stx_blocks: U64 = 0
    stx_attributes_mask: U64 = 0
    stx_atime: StatxTimestamp = StatxTimestamp()
    stx_btime: StatxTimestamp = StatxTimestamp()
    stx_ctime: StatxTimestamp = StatxTimestamp()
    stx_mtime: StatxTimestamp = StatxTimestamp()
    stx_rdev_major: U32 = 0
    stx_rdev_minor: U32 = 0
    stx_dev_major: U32 = 0
    stx_dev_minor: U32 = 0
    stx_mnt_id: U64 = 0
    stx_dio_mem_align: U32 = 0
    stx_dio_offset_align: U32 = 0
    stx_subvol: U64 = 0
    stx_atomic_write_unit_min: U32 = 0
    stx_atomic_write_unit_max: U32 = 0
    stx_atomic_write_segments_max: U32 = 0
