"""Leases of flow labels: what IPV6_FLOWLABEL_MGR is told."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U8, U16, U32, Structure


class FlowLabelAction(IntEnum):
    """flr_action."""

    IPV6_FL_A_GET = 0
    IPV6_FL_A_PUT = 1
    IPV6_FL_A_RENEW = 2


class FlowLabelFlag(IntFlag):
    """flr_flags."""

    IPV6_FL_F_CREATE = 1
    IPV6_FL_F_EXCL = 2
    IPV6_FL_F_REFLECT = 4
    IPV6_FL_F_REMOTE = 8


class FlowLabelShare(IntEnum):
    """flr_share."""

    IPV6_FL_S_NONE = 0
    IPV6_FL_S_EXCL = 1
    IPV6_FL_S_PROCESS = 2
    IPV6_FL_S_USER = 3
    IPV6_FL_S_ANY = 255


class In6FlowlabelReq(Structure):
    """struct in6_flowlabel_req; the label is in the network's order of bytes."""

    flr_dst: Annotated[bytes, 16] = b""
    flr_label: Annotated[bytes, 4] = b""
    flr_action: U8 = 0
    flr_share: U8 = 0
    flr_flags: U16 = 0
    flr_expires: U16 = 0
    flr_linger: U16 = 0
    flr_pad: U32 = 0
