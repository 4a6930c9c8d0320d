"""Figures of a TCP connection that are told with stamps (linux/tcp.h)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum


class TcpStatistic(IntEnum):
    """Attributes of SCM_TIMESTAMPING_OPT_STATS (linux/tcp.h)."""

    TCP_NLA_BUSY = 1
    TCP_NLA_RWND_LIMITED = 2
    TCP_NLA_SNDBUF_LIMITED = 3
    TCP_NLA_DATA_SEGS_OUT = 4
    TCP_NLA_TOTAL_RETRANS = 5
    TCP_NLA_PACING_RATE = 6
    TCP_NLA_DELIVERY_RATE = 7
    TCP_NLA_SND_CWND = 8
    TCP_NLA_REORDERING = 9
    TCP_NLA_MIN_RTT = 10
    TCP_NLA_RECUR_RETRANS = 11
    TCP_NLA_DELIVERY_RATE_APP_LMT = 12
    TCP_NLA_SNDQ_SIZE = 13
    TCP_NLA_CA_STATE = 14
    TCP_NLA_SND_SSTHRESH = 15
    TCP_NLA_DELIVERED = 16
    TCP_NLA_DELIVERED_CE = 17
    TCP_NLA_BYTES_SENT = 18
    TCP_NLA_BYTES_RETRANS = 19
    TCP_NLA_DSACK_DUPS = 20
    TCP_NLA_REORD_SEEN = 21
    TCP_NLA_SRTT = 22
    TCP_NLA_TIMEOUT_REHASH = 23
    TCP_NLA_BYTES_NOTSENT = 24
    TCP_NLA_EDT = 25
    TCP_NLA_TTL = 26
    TCP_NLA_REHASH = 27
