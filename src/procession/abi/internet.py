"""The Internet protocols: the options of TCP, UDP, IP and IPv6, and their structures."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.socket import AddressFamily
from procession.abi.structure import I32, U8, U16, U32, U64, Structure

ADDRESS_BYTES = {int(AddressFamily.AF_INET): 4, int(AddressFamily.AF_INET6): 16}
"""How long an address of a family is. The netfilter's NFPROTO_IPV4 and NFPROTO_IPV6 are the same numbers."""
ETHERTYPES = {4: 0x0800, 16: 0x86DD}
"""ETH_P_IP and ETH_P_IPV6, by how long their addresses are."""
ADDRESS_BYTES_OF_ETHERTYPE = {ethertype: size for size, ethertype in ETHERTYPES.items()}


class TcpOption(IntEnum):
    """The options of SOL_TCP."""

    TCP_NODELAY = 1
    TCP_MAXSEG = 2
    TCP_CORK = 3
    TCP_KEEPIDLE = 4
    TCP_KEEPINTVL = 5
    TCP_KEEPCNT = 6
    TCP_SYNCNT = 7
    TCP_LINGER2 = 8
    TCP_DEFER_ACCEPT = 9
    TCP_WINDOW_CLAMP = 10
    TCP_INFO = 11
    TCP_QUICKACK = 12
    TCP_CONGESTION = 13
    TCP_MD5SIG = 14
    TCP_COOKIE_TRANSACTIONS = 15
    TCP_THIN_LINEAR_TIMEOUTS = 16
    TCP_THIN_DUPACK = 17
    TCP_USER_TIMEOUT = 18
    TCP_REPAIR = 19
    TCP_REPAIR_QUEUE = 20
    TCP_QUEUE_SEQ = 21
    TCP_REPAIR_OPTIONS = 22
    TCP_FASTOPEN = 23
    TCP_TIMESTAMP = 24
    TCP_NOTSENT_LOWAT = 25
    TCP_CC_INFO = 26
    TCP_SAVE_SYN = 27
    TCP_SAVED_SYN = 28
    TCP_REPAIR_WINDOW = 29
    TCP_FASTOPEN_CONNECT = 30
    TCP_ULP = 31
    TCP_MD5SIG_EXT = 32
    TCP_FASTOPEN_KEY = 33
    TCP_FASTOPEN_NO_COOKIE = 34
    TCP_ZEROCOPY_RECEIVE = 35
    TCP_INQ = 36
    TCP_TX_DELAY = 37
    TCP_RTO_MAX_MS = 44
    TCP_RTO_MIN_US = 45
    TCP_DELACK_MAX_US = 46
    TCP_IS_MPTCP = 43


class UdpOption(IntEnum):
    """The options of SOL_UDP."""

    UDP_CORK = 1
    UDP_ENCAP = 100
    UDP_NO_CHECK6_TX = 101
    UDP_NO_CHECK6_RX = 102
    UDP_SEGMENT = 103
    UDP_GRO = 104


class IpOption(IntEnum):
    """The options of SOL_IP."""

    IP_TOS = 1
    IP_TTL = 2
    IP_HDRINCL = 3
    IP_OPTIONS = 4
    IP_ROUTER_ALERT = 5
    IP_RECVOPTS = 6
    IP_RETOPTS = 7
    IP_PKTINFO = 8
    IP_PKTOPTIONS = 9
    IP_MTU_DISCOVER = 10
    IP_RECVERR = 11
    IP_RECVTTL = 12
    IP_RECVTOS = 13
    IP_MTU = 14
    IP_FREEBIND = 15
    IP_IPSEC_POLICY = 16
    IP_XFRM_POLICY = 17
    IP_PASSSEC = 18
    IP_TRANSPARENT = 19
    IP_ORIGDSTADDR = 20
    IP_MINTTL = 21
    IP_NODEFRAG = 22
    IP_CHECKSUM = 23
    IP_BIND_ADDRESS_NO_PORT = 24
    IP_RECVFRAGSIZE = 25
    IP_RECVERR_RFC4884 = 26
    IP_MULTICAST_IF = 32
    IP_MULTICAST_TTL = 33
    IP_MULTICAST_LOOP = 34
    IP_ADD_MEMBERSHIP = 35
    IP_DROP_MEMBERSHIP = 36
    IP_UNBLOCK_SOURCE = 37
    IP_BLOCK_SOURCE = 38
    IP_ADD_SOURCE_MEMBERSHIP = 39
    IP_DROP_SOURCE_MEMBERSHIP = 40
    IP_MSFILTER = 41
    MCAST_JOIN_GROUP = 42
    MCAST_BLOCK_SOURCE = 43
    MCAST_UNBLOCK_SOURCE = 44
    MCAST_LEAVE_GROUP = 45
    MCAST_JOIN_SOURCE_GROUP = 46
    MCAST_LEAVE_SOURCE_GROUP = 47
    MCAST_MSFILTER = 48
    IP_MULTICAST_ALL = 49
    IP_UNICAST_IF = 50
    IP_LOCAL_PORT_RANGE = 51
    IP_PROTOCOL = 52


class Ipv6Option(IntEnum):
    """The options of SOL_IPV6."""

    IPV6_ADDRFORM = 1
    IPV6_2292PKTINFO = 2
    IPV6_2292HOPOPTS = 3
    IPV6_2292DSTOPTS = 4
    IPV6_2292RTHDR = 5
    IPV6_2292PKTOPTIONS = 6
    IPV6_CHECKSUM = 7
    IPV6_2292HOPLIMIT = 8
    IPV6_NEXTHOP = 9
    IPV6_AUTHHDR = 10
    IPV6_FLOWINFO = 11
    IPV6_UNICAST_HOPS = 16
    IPV6_MULTICAST_IF = 17
    IPV6_MULTICAST_HOPS = 18
    IPV6_MULTICAST_LOOP = 19
    IPV6_ADD_MEMBERSHIP = 20
    IPV6_DROP_MEMBERSHIP = 21
    IPV6_ROUTER_ALERT = 22
    IPV6_MTU_DISCOVER = 23
    IPV6_MTU = 24
    IPV6_RECVERR = 25
    IPV6_V6ONLY = 26
    IPV6_JOIN_ANYCAST = 27
    IPV6_LEAVE_ANYCAST = 28
    IPV6_MULTICAST_ALL = 29
    IPV6_ROUTER_ALERT_ISOLATE = 30
    IPV6_RECVERR_RFC4884 = 31
    IPV6_FLOWLABEL_MGR = 32
    IPV6_FLOWINFO_SEND = 33
    IPV6_IPSEC_POLICY = 34
    IPV6_XFRM_POLICY = 35
    IPV6_HDRINCL = 36
    MCAST_JOIN_GROUP = 42
    MCAST_BLOCK_SOURCE = 43
    MCAST_UNBLOCK_SOURCE = 44
    MCAST_LEAVE_GROUP = 45
    MCAST_JOIN_SOURCE_GROUP = 46
    MCAST_LEAVE_SOURCE_GROUP = 47
    MCAST_MSFILTER = 48
    IPV6_RECVPKTINFO = 49
    IPV6_PKTINFO = 50
    IPV6_RECVHOPLIMIT = 51
    IPV6_HOPLIMIT = 52
    IPV6_RECVHOPOPTS = 53
    IPV6_HOPOPTS = 54
    IPV6_RTHDRDSTOPTS = 55
    IPV6_RECVRTHDR = 56
    IPV6_RTHDR = 57
    IPV6_RECVDSTOPTS = 58
    IPV6_DSTOPTS = 59
    IPV6_RECVPATHMTU = 60
    IPV6_PATHMTU = 61
    IPV6_DONTFRAG = 62
    IPV6_RECVTCLASS = 66
    IPV6_TCLASS = 67
    IPV6_AUTOFLOWLABEL = 70
    IPV6_ADDR_PREFERENCES = 72
    IPV6_MINHOPCOUNT = 73
    IPV6_ORIGDSTADDR = 74
    IPV6_TRANSPARENT = 75
    IPV6_UNICAST_IF = 76
    IPV6_RECVFRAGSIZE = 77
    IPV6_FREEBIND = 78


class TcpRepairMode(IntEnum):
    """What TCP_REPAIR is set to; the last sends no probe of the other end's window."""

    TCP_REPAIR_OFF = 0
    TCP_REPAIR_ON = 1
    TCP_REPAIR_OFF_NO_WP = -1


class TcpRepairQueue(IntEnum):
    """What TCP_REPAIR_QUEUE chooses."""

    TCP_NO_QUEUE = 0
    TCP_RECV_QUEUE = 1
    TCP_SEND_QUEUE = 2


class TcpHeaderOption(IntEnum):
    """Options in the headers of segments, as far as TCP_REPAIR_OPTIONS knows them."""

    TCPOPT_MAXSEG = 2
    TCPOPT_WINDOW = 3
    TCPOPT_SACK_PERMITTED = 4
    TCPOPT_TIMESTAMP = 8


class TcpRepairOpt(Structure):
    """struct tcp_repair_opt, of TCP_REPAIR_OPTIONS."""

    opt_code: U32 = 0
    opt_val: U32 = 0


class TcpRepairWindow(Structure):
    """struct tcp_repair_window, of TCP_REPAIR_WINDOW."""

    snd_wl1: U32 = 0
    snd_wnd: U32 = 0
    max_window: U32 = 0
    rcv_wnd: U32 = 0
    rcv_wup: U32 = 0


class TcpInfoOption(IntFlag):
    """What tcpi_options says."""

    TCPI_OPT_TIMESTAMPS = 1
    TCPI_OPT_SACK = 2
    TCPI_OPT_WSCALE = 4
    TCPI_OPT_ECN = 8
    TCPI_OPT_ECN_SEEN = 16
    TCPI_OPT_SYN_DATA = 32


class TcpInfo(Structure):
    """struct tcp_info; of its two bytes of bit fields, the first are the windows' scales: 4 bits of what is
    sent, and then of what is received. The second says whether the program was what limited the rate."""

    tcpi_state: U8 = 0
    tcpi_ca_state: U8 = 0
    tcpi_retransmits: U8 = 0
    tcpi_probes: U8 = 0
    tcpi_backoff: U8 = 0
    tcpi_options: U8 = 0
    tcpi_scales: U8 = 0
    tcpi_rates: U8 = 0
    tcpi_rto: U32 = 0
    tcpi_ato: U32 = 0
    tcpi_snd_mss: U32 = 0
    tcpi_rcv_mss: U32 = 0
    tcpi_unacked: U32 = 0
    tcpi_sacked: U32 = 0
    tcpi_lost: U32 = 0
    tcpi_retrans: U32 = 0
    tcpi_fackets: U32 = 0
    tcpi_last_data_sent: U32 = 0
    tcpi_last_ack_sent: U32 = 0
    tcpi_last_data_recv: U32 = 0
    tcpi_last_ack_recv: U32 = 0
    tcpi_pmtu: U32 = 0
    tcpi_rcv_ssthresh: U32 = 0
    tcpi_rtt: U32 = 0
    tcpi_rttvar: U32 = 0
    tcpi_snd_ssthresh: U32 = 0
    tcpi_snd_cwnd: U32 = 0
    tcpi_advmss: U32 = 0
    tcpi_reordering: U32 = 0
    tcpi_rcv_rtt: U32 = 0
    tcpi_rcv_space: U32 = 0
    tcpi_total_retrans: U32 = 0
    tcpi_pacing_rate: U64 = 0
    tcpi_max_pacing_rate: U64 = 0
    tcpi_bytes_acked: U64 = 0
    tcpi_bytes_received: U64 = 0
    tcpi_segs_out: U32 = 0
    tcpi_segs_in: U32 = 0
    tcpi_notsent_bytes: U32 = 0
    tcpi_min_rtt: U32 = 0
    tcpi_data_segs_in: U32 = 0
    tcpi_data_segs_out: U32 = 0
    tcpi_delivery_rate: U64 = 0
    tcpi_busy_time: U64 = 0
    tcpi_rwnd_limited: U64 = 0
    tcpi_sndbuf_limited: U64 = 0
    tcpi_delivered: U32 = 0
    tcpi_delivered_ce: U32 = 0
    tcpi_bytes_sent: U64 = 0
    tcpi_bytes_retrans: U64 = 0
    tcpi_dsack_dups: U32 = 0
    tcpi_reord_seen: U32 = 0
    tcpi_rcv_ooopack: U32 = 0
    tcpi_snd_wnd: U32 = 0
    tcpi_rcv_wnd: U32 = 0
    tcpi_rehash: U32 = 0
    tcpi_total_rto: U16 = 0
    tcpi_total_rto_recoveries: U16 = 0
    tcpi_total_rto_time: U32 = 0


class InPktinfo(Structure):
    """struct in_pktinfo, of IP_PKTINFO; addresses are big-endian."""

    ipi_ifindex: I32 = 0
    ipi_spec_dst: Annotated[bytes, 4] = b""
    ipi_addr: Annotated[bytes, 4] = b""


class Ip6Mtuinfo(Structure):
    """struct ip6_mtuinfo, of IPV6_PATHMTU; the address is a struct sockaddr_in6."""

    ip6m_addr: Annotated[bytes, 28] = b""
    ip6m_mtu: U32 = 0


class In6Pktinfo(Structure):
    """struct in6_pktinfo, of IPV6_PKTINFO."""

    ipi6_addr: Annotated[bytes, 16] = b""
    ipi6_ifindex: U32 = 0
