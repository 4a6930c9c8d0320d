"""mount(2), umount2(2), and the newer calls that mount by file descriptor."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U32, U64, Structure


class MountFlag(IntFlag):
    """mount(2)."""

    MS_RDONLY = 1
    MS_NOSUID = 2
    MS_NODEV = 4
    MS_NOEXEC = 8
    MS_SYNCHRONOUS = 0x10
    MS_REMOUNT = 0x20
    MS_MANDLOCK = 0x40
    MS_DIRSYNC = 0x80
    MS_NOSYMFOLLOW = 0x100
    MS_NOATIME = 0x400
    MS_NODIRATIME = 0x800
    MS_BIND = 0x1000
    MS_MOVE = 0x2000
    MS_REC = 0x4000
    MS_SILENT = 0x8000
    MS_POSIXACL = 0x10000
    MS_UNBINDABLE = 0x20000
    MS_PRIVATE = 0x40000
    MS_SLAVE = 0x80000
    MS_SHARED = 0x100000
    MS_RELATIME = 0x200000
    MS_KERNMOUNT = 0x400000
    MS_I_VERSION = 0x800000
    MS_STRICTATIME = 0x1000000
    MS_LAZYTIME = 0x2000000


# A magic number in the upper half of the flags, which old programs send and the kernel takes away.
MS_MGC_VAL = 0xC0ED0000
MS_MGC_MSK = 0xFFFF0000


class UmountFlag(IntFlag):
    """umount2(2)."""

    MNT_FORCE = 1
    MNT_DETACH = 2
    MNT_EXPIRE = 4
    UMOUNT_NOFOLLOW = 8


class MountAttribute(IntFlag):
    """fsmount(2) and mount_setattr(2). The bits of MOUNT_ATTR__ATIME are one choice of three."""

    MOUNT_ATTR_RELATIME = 0
    MOUNT_ATTR_RDONLY = 1
    MOUNT_ATTR_NOSUID = 2
    MOUNT_ATTR_NODEV = 4
    MOUNT_ATTR_NOEXEC = 8
    MOUNT_ATTR_NOATIME = 0x10
    MOUNT_ATTR_STRICTATIME = 0x20
    MOUNT_ATTR_NODIRATIME = 0x80
    MOUNT_ATTR_IDMAP = 0x100000
    MOUNT_ATTR_NOSYMFOLLOW = 0x200000


MOUNT_ATTR__ATIME = 0x70

MOUNT_ATTR_SIZE_VER0 = 32


class MoveMountFlag(IntFlag):
    """move_mount(2)."""

    MOVE_MOUNT_F_SYMLINKS = 1
    MOVE_MOUNT_F_AUTOMOUNTS = 2
    MOVE_MOUNT_F_EMPTY_PATH = 4
    MOVE_MOUNT_T_SYMLINKS = 0x10
    MOVE_MOUNT_T_AUTOMOUNTS = 0x20
    MOVE_MOUNT_T_EMPTY_PATH = 0x40
    MOVE_MOUNT_SET_GROUP = 0x100
    MOVE_MOUNT_BENEATH = 0x200


class OpenTreeFlag(IntFlag):
    """open_tree(2), beside AT_RECURSIVE and the other AtFlags."""

    OPEN_TREE_CLONE = 1
    OPEN_TREE_CLOEXEC = 0x80000


class FsopenFlag(IntFlag):
    """fsopen(2)."""

    FSOPEN_CLOEXEC = 1


class FsmountFlag(IntFlag):
    """fsmount(2)."""

    FSMOUNT_CLOEXEC = 1


class FspickFlag(IntFlag):
    """fspick(2)."""

    FSPICK_CLOEXEC = 1
    FSPICK_SYMLINK_NOFOLLOW = 2
    FSPICK_NO_AUTOMOUNT = 4
    FSPICK_EMPTY_PATH = 8


class FsconfigCommand(IntEnum):
    """fsconfig(2)."""

    FSCONFIG_SET_FLAG = 0
    FSCONFIG_SET_STRING = 1
    FSCONFIG_SET_BINARY = 2
    FSCONFIG_SET_PATH = 3
    FSCONFIG_SET_PATH_EMPTY = 4
    FSCONFIG_SET_FD = 5
    FSCONFIG_CMD_CREATE = 6
    FSCONFIG_CMD_RECONFIGURE = 7
    FSCONFIG_CMD_CREATE_EXCL = 8


class MountAttr(Structure):
    """mount_setattr(2)'s struct mount_attr."""

    attr_set: U64 = 0
    attr_clr: U64 = 0
    propagation: U64 = 0
    userns_fd: U64 = 0


class StatmountMask(IntFlag):
    """statmount(2): what is asked for, and what was told."""

    STATMOUNT_SB_BASIC = 1
    STATMOUNT_MNT_BASIC = 2
    STATMOUNT_PROPAGATE_FROM = 4
    STATMOUNT_MNT_ROOT = 8
    STATMOUNT_MNT_POINT = 0x10
    STATMOUNT_FS_TYPE = 0x20
    STATMOUNT_MNT_NS_ID = 0x40
    STATMOUNT_MNT_OPTS = 0x80
    STATMOUNT_FS_SUBTYPE = 0x100
    STATMOUNT_SB_SOURCE = 0x200
    STATMOUNT_OPT_ARRAY = 0x400
    STATMOUNT_OPT_SEC_ARRAY = 0x800
    STATMOUNT_SUPPORTED_MASK = 0x1000
    STATMOUNT_MNT_UIDMAP = 0x2000
    STATMOUNT_MNT_GIDMAP = 0x4000


STATMOUNT_SUPPORTED = 0x7FFF


class ListmountFlag(IntFlag):
    """listmount(2)."""

    LISTMOUNT_REVERSE = 1


LSMT_ROOT = 0xFFFF_FFFF_FFFF_FFFF
"""listmount(2): below the caller's root directory."""

MNT_ID_REQ_SIZE_VER0 = 24


class MntIdReq(Structure):
    """statmount(2)'s and listmount(2)'s struct mnt_id_req."""

    size: U32 = 0
    mnt_ns_fd: U32 = 0
    mnt_id: U64 = 0
    param: U64 = 0
    mnt_ns_id: U64 = 0


class StatmountFields(Structure, size=512):
    """statmount(2)'s struct statmount, without the strings that come after it; these are told by offsets."""

    size: U32 = 0
    mnt_opts: U32 = 0
    mask: U64 = 0
    sb_dev_major: U32 = 0
    sb_dev_minor: U32 = 0
    sb_magic: U64 = 0
    sb_flags: U32 = 0
    fs_type: U32 = 0
    mnt_id: U64 = 0
    mnt_parent_id: U64 = 0
    mnt_id_old: U32 = 0
    mnt_parent_id_old: U32 = 0
    mnt_attr: U64 = 0
    mnt_propagation: U64 = 0
    mnt_peer_group: U64 = 0
    mnt_master: U64 = 0
    propagate_from: U64 = 0
    mnt_root: U32 = 0
    mnt_point: U32 = 0
    mnt_ns_id: U64 = 0
    fs_subtype: U32 = 0
    sb_source: U32 = 0
    opt_num: U32 = 0
    opt_array: U32 = 0
    opt_sec_num: U32 = 0
    opt_sec_array: U32 = 0
    supported_mask: U64 = 0
    mnt_uidmap_num: U32 = 0
    mnt_uidmap: U32 = 0
    mnt_gidmap_num: U32 = 0
    mnt_gidmap: U32 = 0
