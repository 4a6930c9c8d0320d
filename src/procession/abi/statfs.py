"""statfs(2): what the kernel tells about a mounted file system."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I32, I64, Structure


class Magic(IntEnum):
    """f_type: which file system it is."""

    PROC_SUPER_MAGIC = 0x9FA0
    TMPFS_MAGIC = 0x1021994
    SECRETMEM_MAGIC = 0x5345434D
    SYSFS_MAGIC = 0x62656572
    DEVPTS_SUPER_MAGIC = 0x1CD1
    PIPEFS_MAGIC = 0x50495045
    SOCKFS_MAGIC = 0x534F434B
    NSFS_MAGIC = 0x6E736673
    CGROUP_SUPER_MAGIC = 0x27E0EB
    CGROUP2_SUPER_MAGIC = 0x63677270
    OVERLAYFS_SUPER_MAGIC = 0x794C7630
    RAMFS_MAGIC = 0x858458F6
    EXT4_SUPER_MAGIC = 0xEF53
    ANON_INODE_FS_MAGIC = 0x9041934
    PID_FS_MAGIC = 0x50494446
    DEBUGFS_MAGIC = 0x64626720
    TRACEFS_MAGIC = 0x74726163
    SECURITYFS_MAGIC = 0x73636673
    BPF_FS_MAGIC = 0xCAFE4A11
    HUGETLBFS_MAGIC = 0x958458F6
    BINFMTFS_MAGIC = 0x42494E4D


class StatfsFlag(IntFlag):
    """f_flags: how it is mounted, and ST_VALID in every answer. Linux: include/linux/statfs.h."""

    ST_RDONLY = 1
    ST_NOSUID = 2
    ST_NODEV = 4
    ST_NOEXEC = 8
    ST_SYNCHRONOUS = 0x10
    ST_VALID = 0x20
    ST_MANDLOCK = 0x40
    ST_NOATIME = 0x400
    ST_NODIRATIME = 0x800
    ST_RELATIME = 0x1000
    ST_NOSYMFOLLOW = 0x2000


class Statfs(Structure):
    """struct statfs; sizes count blocks of f_frsize bytes."""

    f_type: I64 = 0
    f_bsize: I64 = 0
    f_blocks: I64 = 0
    f_bfree: I64 = 0
    f_bavail: I64 = 0
    f_files: I64 = 0
    f_ffree: I64 = 0
    f_fsid: Annotated[tuple[int, ...], I32, 2] = (0, 0)
    f_namelen: I64 = 0
    f_frsize: I64 = 0
    f_flags: I64 = 0
    f_spare: Annotated[tuple[int, ...], I64, 4] = (0, 0, 0, 0)
