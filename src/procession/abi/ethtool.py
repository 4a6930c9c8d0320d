"""Commands of SIOCETHTOOL, as ethtool(8) uses them, and the names of an interface's features."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum


class EthtoolCommand(IntEnum):
    """The first number in the structure that the request points to: those that ask, as anybody may."""

    ETHTOOL_GSET = 0x1
    ETHTOOL_GDRVINFO = 0x3
    ETHTOOL_GMSGLVL = 0x7
    ETHTOOL_GLINK = 0xA
    ETHTOOL_GCOALESCE = 0xE
    ETHTOOL_GRINGPARAM = 0x10
    ETHTOOL_GPAUSEPARAM = 0x12
    ETHTOOL_GRXCSUM = 0x14
    ETHTOOL_GTXCSUM = 0x16
    ETHTOOL_GSG = 0x18
    ETHTOOL_GSTRINGS = 0x1B
    ETHTOOL_GSTATS = 0x1D
    ETHTOOL_GTSO = 0x1E
    ETHTOOL_GPERMADDR = 0x20
    ETHTOOL_GUFO = 0x21
    ETHTOOL_GGSO = 0x23
    ETHTOOL_GFLAGS = 0x25
    ETHTOOL_GPFLAGS = 0x27
    ETHTOOL_GRXFH = 0x29
    ETHTOOL_GGRO = 0x2B
    ETHTOOL_GRXRINGS = 0x2D
    ETHTOOL_GRXCLSRLCNT = 0x2E
    ETHTOOL_GRXCLSRULE = 0x2F
    ETHTOOL_GRXCLSRLALL = 0x30
    ETHTOOL_GSSET_INFO = 0x37
    ETHTOOL_GRXFHINDIR = 0x38
    ETHTOOL_GFEATURES = 0x3A
    ETHTOOL_GCHANNELS = 0x3C
    ETHTOOL_GET_TS_INFO = 0x41
    ETHTOOL_GEEE = 0x44
    ETHTOOL_GRSSH = 0x46
    ETHTOOL_GTUNABLE = 0x48
    ETHTOOL_GPHYSTATS = 0x4A
    ETHTOOL_GLINKSETTINGS = 0x4C
    ETHTOOL_PHY_GTUNABLE = 0x4E
    ETHTOOL_GFECPARAM = 0x50


ETH_SS_STATS, ETH_SS_FEATURES = 1, 4
"""The sets of names that are those of counters, and of features."""
FEATURE_NAMES = (
    b"tx-scatter-gather",
    b"tx-checksum-ipv4",
    b"",
    b"tx-checksum-ip-generic",
    b"tx-checksum-ipv6",
    b"highdma",
    b"tx-scatter-gather-fraglist",
    b"tx-vlan-hw-insert",
    b"rx-vlan-hw-parse",
    b"rx-vlan-filter",
    b"vlan-challenged",
    b"tx-generic-segmentation",
    b"",
    b"",
    b"rx-gro",
    b"rx-lro",
    b"tx-tcp-segmentation",
    b"tx-gso-robust",
    b"tx-tcp-ecn-segmentation",
    b"tx-tcp-mangleid-segmentation",
    b"tx-tcp6-segmentation",
    b"tx-fcoe-segmentation",
    b"tx-gre-segmentation",
    b"tx-gre-csum-segmentation",
    b"tx-ipxip4-segmentation",
    b"tx-ipxip6-segmentation",
    b"tx-udp_tnl-segmentation",
    b"tx-udp_tnl-csum-segmentation",
    b"tx-gso-partial",
    b"tx-tunnel-remcsum-segmentation",
    b"tx-sctp-segmentation",
    b"tx-esp-segmentation",
    b"",
    b"tx-udp-segmentation",
    b"tx-gso-list",
    b"tx-tcp-accecn-segmentation",
    b"tx-checksum-fcoe-crc",
    b"tx-checksum-sctp",
    b"rx-ntuple-filter",
    b"rx-hashing",
    b"rx-checksum",
    b"tx-nocache-copy",
    b"loopback",
    b"rx-fcs",
    b"rx-all",
    b"tx-vlan-stag-hw-insert",
    b"rx-vlan-stag-hw-parse",
    b"rx-vlan-stag-filter",
    b"l2-fwd-offload",
    b"hw-tc-offload",
    b"esp-hw-offload",
    b"esp-tx-csum-hw-offload",
    b"rx-udp_tunnel-port-offload",
    b"tls-hw-tx-offload",
    b"tls-hw-rx-offload",
    b"rx-gro-hw",
    b"tls-hw-record",
    b"rx-gro-list",
    b"macsec-hw-offload",
    b"rx-udp-gro-forwarding",
    b"hsr-tag-ins-offload",
    b"hsr-tag-rm-offload",
    b"hsr-fwd-offload",
    b"hsr-dup-offload",
)
"""By the numbers of their bits; those without a name are of kinds of packets that are no more."""
