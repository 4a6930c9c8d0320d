"""setxattr(2) and its relatives."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag
from procession.abi.structure import U32, Pointer, Structure


class XattrFlag(IntFlag):
    """setxattr(2)."""

    XATTR_CREATE = 1
    XATTR_REPLACE = 2


class XattrArgs(Structure):
    """setxattrat(2)'s and getxattrat(2)'s struct xattr_args."""

    value: Pointer = 0
    size: U32 = 0
    flags: U32 = 0


# The longest name, value and list of names in bytes.
XATTR_NAME_MAX = 255
XATTR_SIZE_MAX = 65536
XATTR_LIST_MAX = 65536
