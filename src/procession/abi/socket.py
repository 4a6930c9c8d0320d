"""Sockets: families, types, options, and the structures of addresses and messages."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import I32, U16, U32, U64, Pointer, Structure


class AddressFamily(IntEnum):
    """socket(2)'s domain."""

    AF_UNSPEC = 0
    AF_UNIX = 1
    AF_INET = 2
    AF_AX25 = 3
    AF_IPX = 4
    AF_APPLETALK = 5
    AF_NETROM = 6
    AF_BRIDGE = 7
    AF_ATMPVC = 8
    AF_X25 = 9
    AF_INET6 = 10
    AF_ROSE = 11
    AF_DECnet = 12
    AF_NETBEUI = 13
    AF_SECURITY = 14
    AF_KEY = 15
    AF_NETLINK = 16
    AF_PACKET = 17
    AF_ASH = 18
    AF_ECONET = 19
    AF_ATMSVC = 20
    AF_RDS = 21
    AF_SNA = 22
    AF_IRDA = 23
    AF_PPPOX = 24
    AF_WANPIPE = 25
    AF_LLC = 26
    AF_IB = 27
    AF_MPLS = 28
    AF_CAN = 29
    AF_TIPC = 30
    AF_BLUETOOTH = 31
    AF_IUCV = 32
    AF_RXRPC = 33
    AF_ISDN = 34
    AF_PHONET = 35
    AF_IEEE802154 = 36
    AF_CAIF = 37
    AF_ALG = 38
    AF_NFC = 39
    AF_VSOCK = 40
    AF_KCM = 41
    AF_QIPCRTR = 42
    AF_SMC = 43
    AF_XDP = 44
    AF_MCTP = 45


class SocketType(IntEnum):
    """socket(2)'s type."""

    SOCK_STREAM = 1
    SOCK_DGRAM = 2
    SOCK_RAW = 3
    SOCK_RDM = 4
    SOCK_SEQPACKET = 5
    SOCK_DCCP = 6
    SOCK_PACKET = 10


class SocketFlag(IntFlag):
    """What may be or-ed to the type."""

    SOCK_NONBLOCK = 0o4000
    SOCK_CLOEXEC = 0o2000000


class MessageFlag(IntFlag):
    """send(2), recv(2) and their relatives."""

    MSG_OOB = 1
    MSG_PEEK = 2
    MSG_DONTROUTE = 4
    MSG_CTRUNC = 8
    MSG_PROXY = 0x10
    MSG_TRUNC = 0x20
    MSG_DONTWAIT = 0x40
    MSG_EOR = 0x80
    MSG_WAITALL = 0x100
    MSG_FIN = 0x200
    MSG_SYN = 0x400
    MSG_CONFIRM = 0x800
    MSG_RST = 0x1000
    MSG_ERRQUEUE = 0x2000
    MSG_NOSIGNAL = 0x4000
    MSG_MORE = 0x8000
    MSG_WAITFORONE = 0x10000
    MSG_BATCH = 0x40000
    MSG_ZEROCOPY = 0x4000000
    MSG_FASTOPEN = 0x20000000
    MSG_CMSG_CLOEXEC = 0x40000000


class ShutdownHow(IntEnum):
    """shutdown(2)."""

    SHUT_RD = 0
    SHUT_WR = 1
    SHUT_RDWR = 2


class SocketLevel(IntEnum):
    """setsockopt(2)'s level."""

    SOL_IP = 0
    SOL_SOCKET = 1
    SOL_TCP = 6
    SOL_UDP = 17
    SOL_IPV6 = 41
    SOL_RAW = 255
    SOL_PACKET = 263
    SOL_NETLINK = 270
    SOL_VSOCK = 287


class SocketOption(IntEnum):
    """The options of SOL_SOCKET."""

    SO_DEBUG = 1
    SO_REUSEADDR = 2
    SO_TYPE = 3
    SO_ERROR = 4
    SO_DONTROUTE = 5
    SO_BROADCAST = 6
    SO_SNDBUF = 7
    SO_RCVBUF = 8
    SO_KEEPALIVE = 9
    SO_OOBINLINE = 10
    SO_NO_CHECK = 11
    SO_PRIORITY = 12
    SO_LINGER = 13
    SO_BSDCOMPAT = 14
    SO_REUSEPORT = 15
    SO_PASSCRED = 16
    SO_PEERCRED = 17
    SO_RCVLOWAT = 18
    SO_SNDLOWAT = 19
    SO_RCVTIMEO_OLD = 20
    SO_SNDTIMEO_OLD = 21
    SO_SECURITY_AUTHENTICATION = 22
    SO_SECURITY_ENCRYPTION_TRANSPORT = 23
    SO_SECURITY_ENCRYPTION_NETWORK = 24
    SO_BINDTODEVICE = 25
    SO_ATTACH_FILTER = 26
    SO_DETACH_FILTER = 27
    SO_PEERNAME = 28
    SO_TIMESTAMP_OLD = 29
    SO_ACCEPTCONN = 30
    SO_PEERSEC = 31
    SO_SNDBUFFORCE = 32
    SO_RCVBUFFORCE = 33
    SO_PASSSEC = 34
    SO_TIMESTAMPNS_OLD = 35
    SO_MARK = 36
    SO_TIMESTAMPING_OLD = 37
    SO_PROTOCOL = 38
    SO_DOMAIN = 39
    SO_RXQ_OVFL = 40
    SO_WIFI_STATUS = 41
    SO_PEEK_OFF = 42
    SO_NOFCS = 43
    SO_LOCK_FILTER = 44
    SO_SELECT_ERR_QUEUE = 45
    SO_BUSY_POLL = 46
    SO_MAX_PACING_RATE = 47
    SO_BPF_EXTENSIONS = 48
    SO_INCOMING_CPU = 49
    SO_ATTACH_BPF = 50
    SO_ATTACH_REUSEPORT_CBPF = 51
    SO_ATTACH_REUSEPORT_EBPF = 52
    SO_CNX_ADVICE = 53
    SO_MEMINFO = 55
    SO_INCOMING_NAPI_ID = 56
    SO_COOKIE = 57
    SO_PEERGROUPS = 59
    SO_ZEROCOPY = 60
    SO_TXTIME = 61
    SO_BINDTOIFINDEX = 62
    SO_TIMESTAMP_NEW = 63
    SO_TIMESTAMPNS_NEW = 64
    SO_TIMESTAMPING_NEW = 65
    SO_RCVTIMEO_NEW = 66
    SO_SNDTIMEO_NEW = 67
    SO_DETACH_REUSEPORT_BPF = 68
    SO_PREFER_BUSY_POLL = 69
    SO_BUSY_POLL_BUDGET = 70
    SO_NETNS_COOKIE = 71
    SO_BUF_LOCK = 72
    SO_RESERVE_MEM = 73
    SO_TXREHASH = 74
    SO_RCVMARK = 75
    SO_PASSPIDFD = 76
    SO_PEERPIDFD = 77
    SO_RCVPRIORITY = 82
    SO_PASSRIGHTS = 83
    SO_INQ = 84


class Timestamping(IntFlag):
    """SO_TIMESTAMPING."""

    SOF_TIMESTAMPING_TX_HARDWARE = 1 << 0
    SOF_TIMESTAMPING_TX_SOFTWARE = 1 << 1
    SOF_TIMESTAMPING_RX_HARDWARE = 1 << 2
    SOF_TIMESTAMPING_RX_SOFTWARE = 1 << 3
    SOF_TIMESTAMPING_SOFTWARE = 1 << 4
    SOF_TIMESTAMPING_SYS_HARDWARE = 1 << 5
    SOF_TIMESTAMPING_RAW_HARDWARE = 1 << 6
    SOF_TIMESTAMPING_OPT_ID = 1 << 7
    SOF_TIMESTAMPING_TX_SCHED = 1 << 8
    SOF_TIMESTAMPING_TX_ACK = 1 << 9
    SOF_TIMESTAMPING_OPT_CMSG = 1 << 10
    SOF_TIMESTAMPING_OPT_TSONLY = 1 << 11
    SOF_TIMESTAMPING_OPT_STATS = 1 << 12
    SOF_TIMESTAMPING_OPT_PKTINFO = 1 << 13
    SOF_TIMESTAMPING_OPT_TX_SWHW = 1 << 14
    SOF_TIMESTAMPING_BIND_PHC = 1 << 15
    SOF_TIMESTAMPING_OPT_ID_TCP = 1 << 16
    SOF_TIMESTAMPING_OPT_RX_FILTER = 1 << 17
    SOF_TIMESTAMPING_TX_COMPLETION = 1 << 18


class ControlMessageType(IntEnum):
    """cmsg_type under SOL_SOCKET."""

    SCM_RIGHTS = 1
    SCM_CREDENTIALS = 2
    SCM_SECURITY = 3
    SCM_PIDFD = 4
    SCM_TIMESTAMPING_OPT_STATS = 54


class IpProtocol(IntEnum):
    """socket(2)'s protocol in AF_INET and AF_INET6."""

    IPPROTO_IP = 0
    IPPROTO_HOPOPTS = 0
    IPPROTO_ICMP = 1
    IPPROTO_IGMP = 2
    IPPROTO_TCP = 6
    IPPROTO_UDP = 17
    IPPROTO_IPV6 = 41
    IPPROTO_ICMPV6 = 58
    IPPROTO_DSTOPTS = 60
    IPPROTO_UDPLITE = 136
    IPPROTO_RAW = 255


class TcpState(IntEnum):
    """The state of a connection, as TCP_INFO and /proc/net/tcp have it."""

    TCP_ESTABLISHED = 1
    TCP_SYN_SENT = 2
    TCP_SYN_RECV = 3
    TCP_FIN_WAIT1 = 4
    TCP_FIN_WAIT2 = 5
    TCP_TIME_WAIT = 6
    TCP_CLOSE = 7
    TCP_CLOSE_WAIT = 8
    TCP_LAST_ACK = 9
    TCP_LISTEN = 10
    TCP_CLOSING = 11


UNIX_PATH_MAX = 108


class Msghdr(Structure):
    """struct msghdr, as the kernel reads it (struct user_msghdr)."""

    msg_name: Pointer = 0
    msg_namelen: I32 = 0
    msg_iov: Pointer = 0
    msg_iovlen: U64 = 0
    msg_control: Pointer = 0
    msg_controllen: U64 = 0
    msg_flags: U32 = 0


class Mmsghdr(Structure):
    """struct mmsghdr, of recvmmsg(2) and sendmmsg(2)."""

    msg_hdr: Msghdr = Msghdr()
    msg_len: U32 = 0


class Cmsghdr(Structure):
    """struct cmsghdr; its data follows, and the next one at the next multiple of 8."""

    cmsg_len: U64 = 0
    cmsg_level: I32 = 0
    cmsg_type: I32 = 0


class SockaddrUn(Structure):
    """struct sockaddr_un; a path needs no NUL, and one that starts with a NUL is abstract."""

    sun_family: U16 = 0
    sun_path: Annotated[bytes, 108] = b""


class SockaddrIn(Structure, size=16, alignment=4):
    """struct sockaddr_in; port and address are big-endian."""

    sin_family: U16 = 0
    sin_port: Annotated[bytes, 2] = b""
    sin_addr: Annotated[bytes, 4] = b""


class SockaddrIn6(Structure):
    """struct sockaddr_in6; port, flow and address are big-endian."""

    sin6_family: U16 = 0
    sin6_port: Annotated[bytes, 2] = b""
    sin6_flowinfo: U32 = 0
    sin6_addr: Annotated[bytes, 16] = b""
    sin6_scope_id: U32 = 0


class SockaddrNl(Structure):
    """struct sockaddr_nl."""

    nl_family: U16 = 0
    nl_pad: U16 = 0
    nl_pid: U32 = 0
    nl_groups: U32 = 0


class Ucred(Structure):
    """struct ucred, of SO_PEERCRED and SCM_CREDENTIALS."""

    pid: I32 = 0
    uid: U32 = 0
    gid: U32 = 0


class Linger(Structure):
    """struct linger; l_linger is in seconds."""

    l_onoff: I32 = 0
    l_linger: I32 = 0
