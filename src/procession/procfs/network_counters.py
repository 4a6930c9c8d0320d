"""/proc/net/snmp, snmp6 and netstat: what a network has counted (RFC 1213)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.net.internet.flow import settle_all

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.net.network import Network

_ESTABLISHED, _CLOSE_WAIT = 1, 8

_IP = (
    "Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards"
    " InDelivers OutRequests OutDiscards OutNoRoutes ReasmTimeout ReasmReqds ReasmOKs ReasmFails FragOKs"
    " FragFails FragCreates OutTransmits"
)
_ICMP = (
    "InMsgs InErrors InCsumErrors InDestUnreachs InTimeExcds InParmProbs InSrcQuenchs InRedirects InEchos"
    " InEchoReps InTimestamps InTimestampReps InAddrMasks InAddrMaskReps OutMsgs OutErrors OutRateLimitGlobal"
    " OutRateLimitHost OutDestUnreachs OutTimeExcds OutParmProbs OutSrcQuenchs OutRedirects OutEchos"
    " OutEchoReps OutTimestamps OutTimestampReps OutAddrMasks OutAddrMaskReps"
)
_TCP = (
    "RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs"
    " OutSegs RetransSegs InErrs OutRsts InCsumErrors"
)
_UDP = (
    "InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors IgnoredMulti MemErrors"
)
_TCP_EXTENDED = (
    "SyncookiesSent SyncookiesRecv SyncookiesFailed EmbryonicRsts PruneCalled RcvPruned OfoPruned"
    " OutOfWindowIcmps LockDroppedIcmps ArpFilter TW TWRecycled TWKilled PAWSActive PAWSEstab DelayedACKs"
    " DelayedACKLocked DelayedACKLost ListenOverflows ListenDrops TCPHPHits TCPPureAcks TCPHPAcks"
    " TCPAbortOnData TCPAbortOnClose TCPAbortOnMemory TCPAbortOnTimeout TCPAbortOnLinger TCPAbortFailed"
    " TCPDeferAcceptDrop TCPTimeWaitOverflow TCPReqQFullDrop TCPRcvCoalesce TCPFastOpenActive"
    " TCPFastOpenActiveFail TCPFastOpenPassive TCPFastOpenPassiveFail TCPFastOpenListenOverflow"
    " TCPFastOpenCookieReqd TCPFastOpenBlackhole TCPSynRetrans TCPOrigDataSent TCPFastOpenPassiveAltKey"
)
_IP_EXTENDED = (
    "InNoRoutes InTruncatedPkts InMcastPkts OutMcastPkts InBcastPkts OutBcastPkts InOctets OutOctets"
    " InMcastOctets OutMcastOctets InBcastOctets OutBcastOctets InCsumErrors InNoECTPkts InECT1Pkts "
    "InECT0Pkts InCEPkts ReasmOverlaps"
)


def _network(kernel: Kernel) -> Network:
    """The network that is shown, with its interfaces' counters up to date."""
    network = kernel.seen_namespaces.network
    settle_all(network)
    return network


def _totals(network: Network) -> dict[str, int]:
    """What has been counted, by the names of RFC 1213 and those that Linux adds, each behind its group's."""
    counters = dict(network.counters)
    interfaces = network.interfaces.values()
    received = sum(interface.received_packets for interface in interfaces)
    sent = sum(interface.sent_packets for interface in interfaces)
    ends = network.tcp.connections.values()
    others = ("UdpOutDatagrams", "Udp6OutDatagrams", "IcmpOutMsgs", "Icmp6OutMsgs")
    segments_out = sent - sum(counters.get(name, 0) for name in others)
    segments_in = received - sum(counters.get(name, 0) for name in others)
    counters.update(
        {
            "IpForwarding": 1 if network.sysctls.forwards_4 else 2,
            "IpDefaultTTL": network.sysctls.time_to_live,
            "IpInReceives": received,
            "IpInDelivers": received,
            "IpOutRequests": sent,
            "IpOutTransmits": sent,
            "TcpRtoAlgorithm": 1,
            "TcpRtoMin": 200,
            "TcpRtoMax": 120_000,
            "TcpMaxConn": -1,
            "TcpCurrEstab": sum(end.state in (_ESTABLISHED, _CLOSE_WAIT) for end in ends),
            "TcpInSegs": max(segments_in, 0),
            "TcpOutSegs": max(segments_out, 0),
            "IpExtInOctets": sum(interface.received_bytes for interface in interfaces),
            "IpExtOutOctets": sum(interface.sent_bytes for interface in interfaces),
            "IpExtInNoECTPkts": received,
        }
    )
    return counters


def _lines(totals: dict[str, int], group: str, names: str) -> str:
    values = " ".join(str(totals.get(group + name, 0)) for name in names.split())
    return f"{group}: {names}\n{group}: {values}\n"


def show_snmp(kernel: Kernel) -> bytes:
    """/proc/net/snmp. Linux: net/ipv4/proc.c, snmp_seq_show."""
    totals = _totals(_network(kernel))
    groups = (("Ip", _IP), ("Icmp", _ICMP), ("Tcp", _TCP), ("Udp", _UDP), ("UdpLite", _UDP))
    return "".join(_lines(totals, group, names) for group, names in groups).encode()


def show_netstat(kernel: Kernel) -> bytes:
    """/proc/net/netstat: of Linux's counters those that can be other than 0 here, and some that tools want.

    Linux: net/ipv4/proc.c, netstat_seq_show.
    """
    totals = _totals(_network(kernel))
    return (_lines(totals, "TcpExt", _TCP_EXTENDED) + _lines(totals, "IpExt", _IP_EXTENDED)).encode()


def show_snmp6(kernel: Kernel) -> bytes:
    """/proc/net/snmp6. Linux: net/ipv6/proc.c, snmp6_seq_show."""
    totals = _totals(_network(kernel))
    names = ["Icmp6InMsgs", "Icmp6OutMsgs", "Icmp6InDestUnreachs", "Icmp6OutDestUnreachs"]
    names += ["Icmp6InEchos", "Icmp6InEchoReplies", "Icmp6OutEchos", "Icmp6OutEchoReplies"]
    names += [f"Udp6{name}" for name in _UDP.split()]
    return "".join(f"{name:<32}\t{totals.get(name, 0)}\n" for name in names).encode()
