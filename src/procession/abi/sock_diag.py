"""sock_diag(7): the messages by which ss(8) asks for sockets."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U8, U16, U32, Structure


class SockDiagMessageType(IntEnum):
    """nlmsg_type of NETLINK_SOCK_DIAG."""

    SOCK_DIAG_BY_FAMILY = 20
    SOCK_DESTROY = 21


class InetDiagRequestAttribute(IntEnum):
    """rta_type in a request."""

    INET_DIAG_REQ_BYTECODE = 1


class InetDiagAttribute(IntEnum):
    """rta_type in an answer about an Internet socket; idiag_ext has a bit for each, the first for 1."""

    INET_DIAG_MEMINFO = 1
    INET_DIAG_INFO = 2
    INET_DIAG_CONG = 4
    INET_DIAG_TOS = 5
    INET_DIAG_TCLASS = 6
    INET_DIAG_SKMEMINFO = 7
    INET_DIAG_SHUTDOWN = 8
    INET_DIAG_PROTOCOL = 10
    INET_DIAG_SKV6ONLY = 11
    INET_DIAG_MARK = 15


class InetDiagOperation(IntEnum):
    """The instructions of INET_DIAG_REQ_BYTECODE."""

    INET_DIAG_BC_NOP = 0
    INET_DIAG_BC_JMP = 1
    INET_DIAG_BC_S_GE = 2
    INET_DIAG_BC_S_LE = 3
    INET_DIAG_BC_D_GE = 4
    INET_DIAG_BC_D_LE = 5
    INET_DIAG_BC_AUTO = 6
    INET_DIAG_BC_S_COND = 7
    INET_DIAG_BC_D_COND = 8
    INET_DIAG_BC_DEV_COND = 9
    INET_DIAG_BC_MARK_COND = 10
    INET_DIAG_BC_S_EQ = 11
    INET_DIAG_BC_D_EQ = 12


class UnixDiagShow(IntFlag):
    """udiag_show: which attributes the answer has."""

    UDIAG_SHOW_NAME = 1
    UDIAG_SHOW_VFS = 2
    UDIAG_SHOW_PEER = 4
    UDIAG_SHOW_ICONS = 8
    UDIAG_SHOW_RQLEN = 0x10
    UDIAG_SHOW_MEMINFO = 0x20
    UDIAG_SHOW_UID = 0x40


class UnixDiagAttribute(IntEnum):
    """rta_type in an answer about a local socket."""

    UNIX_DIAG_NAME = 0
    UNIX_DIAG_VFS = 1
    UNIX_DIAG_PEER = 2
    UNIX_DIAG_ICONS = 3
    UNIX_DIAG_RQLEN = 4
    UNIX_DIAG_MEMINFO = 5
    UNIX_DIAG_SHUTDOWN = 6
    UNIX_DIAG_UID = 7


class InetDiagSockid(Structure):
    """struct inet_diag_sockid; ports and addresses are big-endian."""

    idiag_sport: Annotated[bytes, 2] = b""
    idiag_dport: Annotated[bytes, 2] = b""
    idiag_src: Annotated[bytes, 16] = b""
    idiag_dst: Annotated[bytes, 16] = b""
    idiag_if: U32 = 0
    idiag_cookie: Annotated[bytes, 8] = b""


class InetDiagReqV2(Structure):
    """struct inet_diag_req_v2."""

    sdiag_family: U8 = 0
    sdiag_protocol: U8 = 0
    idiag_ext: U8 = 0
    pad: U8 = 0
    idiag_states: U32 = 0
    id: InetDiagSockid = InetDiagSockid()


class InetDiagMsg(Structure):
    """struct inet_diag_msg."""

    idiag_family: U8 = 0
    idiag_state: U8 = 0
    idiag_timer: U8 = 0
    idiag_retrans: U8 = 0
    id: InetDiagSockid = InetDiagSockid()
    idiag_expires: U32 = 0
    idiag_rqueue: U32 = 0
    idiag_wqueue: U32 = 0
    idiag_uid: U32 = 0
    idiag_inode: U32 = 0


class UnixDiagReq(Structure):
    """struct unix_diag_req."""

    sdiag_family: U8 = 0
    sdiag_protocol: U8 = 0
    pad: U16 = 0
    udiag_states: U32 = 0
    udiag_ino: U32 = 0
    udiag_show: U32 = 0
    udiag_cookie: Annotated[bytes, 8] = b""


class UnixDiagMsg(Structure):
    """struct unix_diag_msg."""

    udiag_family: U8 = 0
    udiag_type: U8 = 0
    udiag_state: U8 = 0
    pad: U8 = 0
    udiag_ino: U32 = 0
    udiag_cookie: Annotated[bytes, 8] = b""


class NetlinkDiagReq(Structure):
    """struct netlink_diag_req."""

    sdiag_family: U8 = 0
    sdiag_protocol: U8 = 0
    pad: U16 = 0
    ndiag_ino: U32 = 0
    ndiag_show: U32 = 0
    ndiag_cookie: Annotated[bytes, 8] = b""


class NetlinkDiagMsg(Structure):
    """struct netlink_diag_msg."""

    ndiag_family: U8 = 0
    ndiag_type: U8 = 0
    ndiag_protocol: U8 = 0
    ndiag_state: U8 = 0
    ndiag_portid: U32 = 0
    ndiag_dst_portid: U32 = 0
    ndiag_dst_group: U32 = 0
    ndiag_ino: U32 = 0
    ndiag_cookie: Annotated[bytes, 8] = b""


class PacketDiagShow(IntFlag):
    """pdiag_show: which attributes the answer has."""

    PACKET_SHOW_INFO = 1
    PACKET_SHOW_MCLIST = 2
    PACKET_SHOW_MEMINFO = 0x10


class PacketDiagAttribute(IntEnum):
    """rta_type in an answer about a packet socket."""

    PACKET_DIAG_INFO = 0
    PACKET_DIAG_MCLIST = 1
    PACKET_DIAG_UID = 5
    PACKET_DIAG_MEMINFO = 6


class PacketDiagReq(Structure):
    """struct packet_diag_req."""

    sdiag_family: U8 = 0
    sdiag_protocol: U8 = 0
    pad: U16 = 0
    pdiag_ino: U32 = 0
    pdiag_show: U32 = 0
    pdiag_cookie: Annotated[bytes, 8] = b""


class PacketDiagMsg(Structure):
    """struct packet_diag_msg."""

    pdiag_family: U8 = 0
    pdiag_type: U8 = 0
    pdiag_num: U16 = 0
    pdiag_ino: U32 = 0
    pdiag_cookie: Annotated[bytes, 8] = b""
