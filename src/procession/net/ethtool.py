"""What SIOCETHTOOL tells of an interface, of which there is no hardware behind any."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EOPNOTSUPP
from procession.abi.ethtool import ETH_SS_FEATURES, FEATURE_NAMES, EthtoolCommand
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
_OF_SENT, _OF_RECEIVED, _SOFTWARE = 2, 8, 16
"""SOF_TIMESTAMPING_TX_SOFTWARE, RX_SOFTWARE and SOFTWARE."""
_NO_CLOCK = -1
_VETH_SPEED_MBIT, _FULL_DUPLEX = 10_000, 1
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
    if command == EthtoolCommand.ETHTOOL_GSET and kind == VETH:
        return _SETTINGS.pack(command, 0, 0, _VETH_SPEED_MBIT, _FULL_DUPLEX, *(0,) * 11)
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
        asked = _SETS.unpack(memory.read(question, _SETS.size))[2] & 1 << ETH_SS_FEATURES
        counts = pack_array("I", [len(FEATURE_NAMES)] if asked else [])
        return _SETS.pack(command, 0, asked) + counts
    if command == EthtoolCommand.ETHTOOL_GSTRINGS:
        chosen = _NAMES.unpack(memory.read(question, _NAMES.size))[1]
        if chosen == ETH_SS_FEATURES:
            names = b"".join(name.ljust(_NAME_BYTES, b"\0") for name in FEATURE_NAMES)
            return _NAMES.pack(command, chosen, len(FEATURE_NAMES)) + names
    raise EOPNOTSUPP("no such hardware")


def _told_features(command: int, features: Features, room: int) -> bytes:
    """As many words of each set as there is room for (in Linux, ethtool_get_features)."""
    words = [
        mask >> _WORD_BITS * index & (1 << _WORD_BITS) - 1
        for index in range(min(room, _WORDS))
        for mask in (*features, _NEVER_CHANGED)
    ]
    return _VALUE.pack(command, _WORDS) + pack_array("I", words)
