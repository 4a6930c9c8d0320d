"""capabilities(7), and the structures of capget(2) and of the security.capability attribute."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I32, U32, Structure


class Capability(IntEnum):
    """The number of each capability's bit."""

    CAP_CHOWN = 0
    CAP_DAC_OVERRIDE = 1
    CAP_DAC_READ_SEARCH = 2
    CAP_FOWNER = 3
    CAP_FSETID = 4
    CAP_KILL = 5
    CAP_SETGID = 6
    CAP_SETUID = 7
    CAP_SETPCAP = 8
    CAP_LINUX_IMMUTABLE = 9
    CAP_NET_BIND_SERVICE = 10
    CAP_NET_BROADCAST = 11
    CAP_NET_ADMIN = 12
    CAP_NET_RAW = 13
    CAP_IPC_LOCK = 14
    CAP_IPC_OWNER = 15
    CAP_SYS_MODULE = 16
    CAP_SYS_RAWIO = 17
    CAP_SYS_CHROOT = 18
    CAP_SYS_PTRACE = 19
    CAP_SYS_PACCT = 20
    CAP_SYS_ADMIN = 21
    CAP_SYS_BOOT = 22
    CAP_SYS_NICE = 23
    CAP_SYS_RESOURCE = 24
    CAP_SYS_TIME = 25
    CAP_SYS_TTY_CONFIG = 26
    CAP_MKNOD = 27
    CAP_LEASE = 28
    CAP_AUDIT_WRITE = 29
    CAP_AUDIT_CONTROL = 30
    CAP_SETFCAP = 31
    CAP_MAC_OVERRIDE = 32
    CAP_MAC_ADMIN = 33
    CAP_SYSLOG = 34
    CAP_WAKE_ALARM = 35
    CAP_BLOCK_SUSPEND = 36
    CAP_AUDIT_READ = 37
    CAP_PERFMON = 38
    CAP_BPF = 39
    CAP_CHECKPOINT_RESTORE = 40


CAP_LAST_CAP = 40


class SecureBit(IntFlag):
    """PR_SET_SECUREBITS."""

    SECBIT_NOROOT = 1
    SECBIT_NOROOT_LOCKED = 2
    SECBIT_NO_SETUID_FIXUP = 4
    SECBIT_NO_SETUID_FIXUP_LOCKED = 8
    SECBIT_KEEP_CAPS = 0x10
    SECBIT_KEEP_CAPS_LOCKED = 0x20
    SECBIT_NO_CAP_AMBIENT_RAISE = 0x40
    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED = 0x80


# capget(2)'s versions; 1 has one struct of data, the others two.
_LINUX_CAPABILITY_VERSION_1 = 0x19980330
_LINUX_CAPABILITY_VERSION_2 = 0x20071026
_LINUX_CAPABILITY_VERSION_3 = 0x20080522

# The security.capability attribute.
VFS_CAP_REVISION_MASK = 0xFF000000
VFS_CAP_REVISION_1 = 0x1000000
VFS_CAP_REVISION_2 = 0x2000000
VFS_CAP_REVISION_3 = 0x3000000
VFS_CAP_FLAGS_EFFECTIVE = 1


class CapUserHeader(Structure):
    """struct __user_cap_header_struct."""

    version: U32 = 0
    pid: I32 = 0


class CapUserData(Structure):
    """struct __user_cap_data_struct: 32 capabilities; version 3 has two of them."""

    effective: U32 = 0
    permitted: U32 = 0
    inheritable: U32 = 0


class VfsNsCapData(Structure):
    """struct vfs_ns_cap_data: a file's capabilities; revision 2 (struct vfs_cap_data) ends before rootid."""

    magic_etc: U32 = 0
    permitted_low: U32 = 0
    inheritable_low: U32 = 0
    permitted_high: U32 = 0
    inheritable_high: U32 = 0
    rootid: U32 = 0
