"""landlock(7): the rights that rules are about, and the structures of its calls."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I32, U64, Structure

LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_CREATE_RULESET_ERRATA = 2


class LandlockRestrictSelfFlag(IntFlag):
    """landlock_restrict_self(2): what is written to the audit log of what is refused."""

    LANDLOCK_RESTRICT_SELF_LOG_SAME_EXEC_OFF = 1
    LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON = 2
    LANDLOCK_RESTRICT_SELF_LOG_SUBDOMAINS_OFF = 4


class LandlockRuleType(IntEnum):
    """landlock_add_rule(2)."""

    LANDLOCK_RULE_PATH_BENEATH = 1
    LANDLOCK_RULE_NET_PORT = 2


class LandlockAccessFs(IntFlag):
    """Rights over files and directories."""

    LANDLOCK_ACCESS_FS_EXECUTE = 1
    LANDLOCK_ACCESS_FS_WRITE_FILE = 2
    LANDLOCK_ACCESS_FS_READ_FILE = 4
    LANDLOCK_ACCESS_FS_READ_DIR = 8
    LANDLOCK_ACCESS_FS_REMOVE_DIR = 0x10
    LANDLOCK_ACCESS_FS_REMOVE_FILE = 0x20
    LANDLOCK_ACCESS_FS_MAKE_CHAR = 0x40
    LANDLOCK_ACCESS_FS_MAKE_DIR = 0x80
    LANDLOCK_ACCESS_FS_MAKE_REG = 0x100
    LANDLOCK_ACCESS_FS_MAKE_SOCK = 0x200
    LANDLOCK_ACCESS_FS_MAKE_FIFO = 0x400
    LANDLOCK_ACCESS_FS_MAKE_BLOCK = 0x800
    LANDLOCK_ACCESS_FS_MAKE_SYM = 0x1000
    LANDLOCK_ACCESS_FS_REFER = 0x2000
    LANDLOCK_ACCESS_FS_TRUNCATE = 0x4000
    LANDLOCK_ACCESS_FS_IOCTL_DEV = 0x8000


class LandlockAccessNet(IntFlag):
    """Rights over ports of TCP."""

    LANDLOCK_ACCESS_NET_BIND_TCP = 1
    LANDLOCK_ACCESS_NET_CONNECT_TCP = 2


class LandlockScope(IntFlag):
    """What isn't done to who is outside of a domain."""

    LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET = 1
    LANDLOCK_SCOPE_SIGNAL = 2


class LandlockRulesetAttr(Structure):
    """struct landlock_ruleset_attr."""

    handled_access_fs: U64 = 0
    handled_access_net: U64 = 0
    scoped: U64 = 0


class LandlockPathBeneathAttr(Structure, is_packed=True):
    """struct landlock_path_beneath_attr."""

    allowed_access: U64 = 0
    parent_fd: I32 = 0


class LandlockNetPortAttr(Structure):
    """struct landlock_net_port_attr."""

    allowed_access: U64 = 0
    port: U64 = 0
