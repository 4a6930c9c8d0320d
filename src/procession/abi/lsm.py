"""Security modules: lsm_list_modules(2), lsm_get_self_attr(2), lsm_set_self_attr(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U64, Structure


class LsmId(IntEnum):
    """The modules that there are here."""

    LSM_ID_CAPABILITY = 100
    LSM_ID_YAMA = 105
    LSM_ID_LANDLOCK = 110


class LsmAttribute(IntEnum):
    """Which attribute of a process is meant."""

    LSM_ATTR_UNDEF = 0
    LSM_ATTR_CURRENT = 100
    LSM_ATTR_EXEC = 101
    LSM_ATTR_FSCREATE = 102
    LSM_ATTR_KEYCREATE = 103
    LSM_ATTR_PREV = 104
    LSM_ATTR_SOCKCREATE = 105


class LsmFlag(IntFlag):
    """lsm_get_self_attr(2)."""

    LSM_FLAG_SINGLE = 1


class LsmCtx(Structure):
    """struct lsm_ctx, without the context that follows it."""

    id: U64 = 0
    flags: U64 = 0
    len: U64 = 0
    ctx_len: U64 = 0
