"""Generic netlink: families of requests, and nlctrl, which finds them."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U8, U16, Structure


class Genlmsghdr(Structure):
    """struct genlmsghdr."""

    cmd: U8 = 0
    version: U8 = 0
    reserved: U16 = 0


class ControlCommand(IntEnum):
    """Commands of the family nlctrl."""

    CTRL_CMD_NEWFAMILY = 1
    CTRL_CMD_GETFAMILY = 3


class ControlAttribute(IntEnum):
    """Attributes of the family nlctrl."""

    CTRL_ATTR_FAMILY_ID = 1
    CTRL_ATTR_FAMILY_NAME = 2
    CTRL_ATTR_VERSION = 3
    CTRL_ATTR_HDRSIZE = 4
    CTRL_ATTR_MAXATTR = 5
    CTRL_ATTR_OPS = 6
    CTRL_ATTR_MCAST_GROUPS = 7


class GroupAttribute(IntEnum):
    """Attributes of a group of listeners in CTRL_ATTR_MCAST_GROUPS."""

    CTRL_ATTR_MCAST_GRP_NAME = 1
    CTRL_ATTR_MCAST_GRP_ID = 2


class OperationAttribute(IntEnum):
    """Attributes of an operation in CTRL_ATTR_OPS."""

    CTRL_ATTR_OP_ID = 1
    CTRL_ATTR_OP_FLAGS = 2


class OperationFlag(IntFlag):
    """What an operation takes and can do."""

    GENL_ADMIN_PERM = 0x01
    GENL_CMD_CAP_DO = 0x02
    GENL_CMD_CAP_DUMP = 0x04
    GENL_CMD_CAP_HASPOL = 0x08
