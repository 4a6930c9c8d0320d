"""What SIOCETHTOOL tells of an interface, of which there is no hardware behind any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EOPNOTSUPP
from procession.abi.ethtool import ETH_SS_FEATURES, ETH_SS_STATS, FEATURE_NAMES, EthtoolCommand
from procession.abi.named_tuple import NamedTuple
from procession.abi.word import Words, pack_array
from procession.net.link.interface import BRIDGE, DUMMY, LOOPBACK, TUN, VETH

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.net.link.interface import Interface

_VALUE = Words("<II")
_TIMESTAMPS = Words("<IIiI12xI12x")
"""struct ethtool_ts_info: the command, which times there are, a clock's number, what is stamped."""
_SETTINGS = Words("<IIIHBBBBBBIIHBBI8x")
"""struct ethtool_cmd."""
_SETS = Words("<IIQ")
"""struct ethtool_sset_info: the command, nothing, which sets of names; how many each has follows."""
_NAMES = Words("<III")
"""struct ethtool_gstrings: the command, which set, how many names follow."""
_DRIVER = Words("<I32s32s32s32s32x12xIIIII")
"""struct ethtool_drvinfo: the command, the driver, versions, its place, then how many of what it has."""
_CHANNELS = Words("<9I")
"""struct ethtool_channels: the command, the most of each kind, how many are used."""
_DRIVERS = {VETH: (b"veth", b"1.0", b"", b""), BRIDGE: (b"bridge", b"2.3", b"N/A", b"N/A")}
_OF_RECEIVING_QUEUE = (
    *(b"xdp_packets", b"xdp_bytes", b"drops", b"xdp_redirect", b"xdp_drops"),
    *(b"xdp_tx", b"xdp_tx_errors"),
)
_OF_SENDING_QUEUE = (b"xdp_xmit", b"xdp_xmit_errors")
_OF_SENT, _OF_RECEIVED, _SOFTWARE = 2, 8, 16
"""SOF_TIMESTAMPING_TX_SOFTWARE, RX_SOFTWARE and SOFTWARE."""
_NO_CLOCK = -1
_SPEEDS_MBIT = {VETH: 10_000, TUN: 10}
UNKNOWN_SPEED = 0xFFFF_FFFF
FULL_DUPLEX, UNKNOWN_DUPLEX = 1, 0xFF
_OTHER_PORT = 0xFF
_NAME_BYTES = 32
_WORD_BITS = 32
_WORDS = len(FEATURE_NAMES) // _WORD_BITS


class Features(NamedTuple):
    """Which features can be changed, were asked for, and are on: a bit for each name."""

    available: int
    requested: int
    active: int


_FEATURES = {
    LOOPBACK: Features(0x0A00000E_401D4800, 0x0000000E_401D4800, 0x0000052E_401D4C69),
    VETH: Features(0x0A00632E_4FDD49E9, 0x0000612E_4FDD09E9, 0x0000612E_4FDD09E9),
    BRIDGE: Features(0x0A00220F_FFFF48E9, 0x0000200F_FFFF48E9, 0x0000200F_FFFF48E9),
    TUN: Features(0x0A002202_0C1D48C9, 0x00002002_0C1548C9, 0x00002000_000048C1),
}
"""By the kind of interface, as their drivers set them; nobody changes them here."""


def _bits(*names: bytes) -> int:
    return sum(1 << FEATURE_NAMES.index(name) for name in names)


_GROUPS = {
    int(EthtoolCommand.ETHTOOL_GRXCSUM): _bits(b"rx-checksum"),
    int(EthtoolCommand.ETHTOOL_GTXCSUM): _bits(
        *(b"tx-checksum-ipv4", b"tx-checksum-ip-generic", b"tx-checksum-ipv6"),
        *(b"tx-checksum-fcoe-crc", b"tx-checksum-sctp"),
    ),
    int(EthtoolCommand.ETHTOOL_GSG): _bits(b"tx-scatter-gather", b"tx-scatter-gather-fraglist"),
    int(EthtoolCommand.ETHTOOL_GTSO): _bits(
        *(b"tx-tcp-segmentation", b"tx-tcp-ecn-segmentation"),
        *(b"tx-tcp-mangleid-segmentation", b"tx-tcp6-segmentation"),
    ),
    int(EthtoolCommand.ETHTOOL_GGSO): _bits(b"tx-generic-segmentation"),
    int(EthtoolCommand.ETHTOOL_GGRO): _bits(b"rx-gro"),
}
"""The features that one of the older questions is about: the answer is whether any is on."""
_FLAGS = (
    (_bits(b"tx-vlan-hw-insert"), 1 << 7),
    (_bits(b"rx-vlan-hw-parse"), 1 << 8),
    (_bits(b"rx-lro"), 1 << 15),
    (_bits(b"rx-ntuple-filter"), 1 << 27),
    (_bits(b"rx-hashing"), 1 << 28),
)
"""What ETHTOOL_GFLAGS tells of features (in Linux, enum ethtool_flags)."""
_NEVER_CHANGED = _bits(b"vlan-challenged")


def speed_of(interface: Interface) -> tuple[int, int]:
    """How many megabits a second an interface carries, and whether both ways at once: as drivers say, or
    UNKNOWN_SPEED and UNKNOWN_DUPLEX. Raises EOPNOTSUPP.

    Linux: drivers/net/veth.c, veth_get_link_ksettings; drivers/net/tun.c, tun_default_link_ksettings;
    net/bridge/br_device.c, br_get_link_ksettings.
    """
    if interface.kind == BRIDGE:
        running = [port for port in interface.ports if port.is_up and port.has_carrier]
        known = [_SPEEDS_MBIT[port.kind] for port in running if port.kind in _SPEEDS_MBIT]
        return max(known, default=UNKNOWN_SPEED), UNKNOWN_DUPLEX
    if interface.kind not in _SPEEDS_MBIT:
        raise EOPNOTSUPP("no such hardware")
    return _SPEEDS_MBIT[interface.kind], FULL_DUPLEX


def answer(interface: Interface, command: int, memory: UserMemory, question: int) -> bytes:
    """What goes back to where the command was read, `question`, and begins with it.

    Raises EOPNOTSUPP, EFAULT (in Linux, __dev_ethtool).
    """
    kind = interface.kind
    if command == EthtoolCommand.ETHTOOL_GLINK and kind != DUMMY:
        return _VALUE.pack(command, interface.is_up and interface.has_carrier)
    if command == EthtoolCommand.ETHTOOL_GET_TS_INFO:
        told = _OF_RECEIVED | _SOFTWARE
        if kind != BRIDGE:
            told |= _OF_SENT
        return _TIMESTAMPS.pack(command, told, _NO_CLOCK, 0, 0)
    if command == EthtoolCommand.ETHTOOL_GSET:
        speed, duplex = speed_of(interface)
        port = _OTHER_PORT if kind == BRIDGE else 0
        low, high = speed & 0xFFFF, speed >> 16
        return _SETTINGS.pack(command, 0, 0, low, duplex, port, *(0,) * 7, high, *(0,) * 3)
    if command == EthtoolCommand.ETHTOOL_GDRVINFO and kind in _DRIVERS:
        return _DRIVER.pack(command, *_DRIVERS[kind], 0, _counter_count(interface), 0, 0, 0)
    if kind == VETH and command == EthtoolCommand.ETHTOOL_GCHANNELS:
        queues = interface.queues
        used = queues.used_for_received, queues.used_for_sent, 0, 0
        return _CHANNELS.pack(command, queues.received, queues.sent, 0, 0, *used)
    if kind == VETH and command == EthtoolCommand.ETHTOOL_GSTATS:
        return _told_counters(interface, command, _VALUE.unpack(memory.read(question, _VALUE.size))[1])
    features = _FEATURES.get(kind)
    if features is None:
        raise EOPNOTSUPP("no such hardware")
    group = _GROUPS.get(command)
    if group is not None:
        return _VALUE.pack(command, features.active & group != 0)
    if command == EthtoolCommand.ETHTOOL_GFLAGS:
        return _VALUE.pack(command, sum(flag for bit, flag in _FLAGS if features.active & bit))
    if command == EthtoolCommand.ETHTOOL_GFEATURES:
        return _told_features(command, features, _VALUE.unpack(memory.read(question, _VALUE.size))[1])
    if command == EthtoolCommand.ETHTOOL_GSSET_INFO:
        asked = _SETS.unpack(memory.read(question, _SETS.size))[2]
        counts = {1 << ETH_SS_STATS: _counter_count(interface), 1 << ETH_SS_FEATURES: len(FEATURE_NAMES)}
        found = {bit: count for bit, count in counts.items() if bit & asked and count}
        return _SETS.pack(command, 0, sum(found)) + pack_array("I", list(found.values()))
    if command == EthtoolCommand.ETHTOOL_GSTRINGS:
        _, chosen, room = _NAMES.unpack(memory.read(question, _NAMES.size))
        names = _names(interface, chosen)
        if names:
            if room not in (0, len(names)):
                return _NAMES.pack(command, chosen, 0)
            text = b"".join(name.ljust(_NAME_BYTES, b"\0") for name in names)
            return _NAMES.pack(command, chosen, len(names)) + text
    raise EOPNOTSUPP("no such hardware")


def _counter_count(interface: Interface) -> int:
    """How many counters there are. Linux: drivers/net/veth.c, veth_get_sset_count."""
    if interface.kind != VETH:
        return 0
    queues = interface.queues
    of_received = queues.used_for_received * len(_OF_RECEIVING_QUEUE)
    return 1 + of_received + queues.used_for_sent * len(_OF_SENDING_QUEUE)


def _names(interface: Interface, chosen: int) -> tuple[bytes, ...]:
    """The names of a set, none if it isn't there.

    Of a veth's counters: who is at the other end, and what programs do to packets on their way. Linux:
    drivers/net/veth.c, veth_get_strings.
    """
    if chosen == ETH_SS_FEATURES:
        return FEATURE_NAMES
    if chosen != ETH_SS_STATS or interface.kind != VETH:
        return ()
    interface.network.host.clock.spend_looking(_counter_count(interface))
    return (
        b"peer_ifindex",
        *(
            b"rx_queue_%d_%s" % (queue, name)
            for queue in range(interface.queues.used_for_received)
            for name in _OF_RECEIVING_QUEUE
        ),
        *(
            b"tx_queue_%d_%s" % (queue, name)
            for queue in range(interface.queues.used_for_sent)
            for name in _OF_SENDING_QUEUE
        ),
    )


def _told_counters(interface: Interface, command: int, room: int) -> bytes:
    """All of them if that's how many are asked for: no program does anything to packets here. Linux:
    drivers/net/veth.c, veth_get_ethtool_stats."""
    count = _counter_count(interface)
    if room not in (0, count):
        return _VALUE.pack(command, 0)
    peer = interface.peer.index if interface.peer is not None else 0
    return _VALUE.pack(command, count) + pack_array("Q", [peer, *[0] * (count - 1)])


def _told_features(command: int, features: Features, room: int) -> bytes:
    """As many words of each set as there is room for (in Linux, ethtool_get_features)."""
    words = [
        mask >> _WORD_BITS * index & (1 << _WORD_BITS) - 1
        for index in range(min(room, _WORDS))
        for mask in (*features, _NEVER_CHANGED)
    ]
    return _VALUE.pack(command, _WORDS) + pack_array("I", words)
