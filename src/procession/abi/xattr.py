"""setxattr(2) and its relatives."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag


class XattrFlag(IntFlag):
    """setxattr(2)."""

    XATTR_CREATE = 1
    XATTR_REPLACE = 2


# The longest name, value and list of names in bytes.
XATTR_NAME_MAX = 255
XATTR_SIZE_MAX = 65536
XATTR_LIST_MAX = 65536
