"""A network interface: its name, flags, addresses and counters (netdevice(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.interface import InterfaceFlag
from procession.abi.named_tuple import NamedTuple
from procession.abi.netlink import LinkAttribute, OperationalState
from procession.net.sysctls import IGNORE_LINKDOWN, MTU, OF_LOOPBACK, WITH_ARP, WITHOUT_ARP

if TYPE_CHECKING:
    from procession.net.internet.device_address import DeviceAddress
    from procession.net.internet.igmp import IgmpListening
    from procession.net.internet.listening import Listening
    from procession.net.link.bridge import Bridge, BridgePort
    from procession.net.network import Network
    from procession.net.sysctls import OwnSettings
    from procession.net.tun.device import TunDevice

IFF_UP = int(InterfaceFlag.IFF_UP)
IFF_BROADCAST = int(InterfaceFlag.IFF_BROADCAST)
IFF_LOOPBACK = int(InterfaceFlag.IFF_LOOPBACK)
IFF_RUNNING = int(InterfaceFlag.IFF_RUNNING)
IFF_NOARP = int(InterfaceFlag.IFF_NOARP)
IFF_MULTICAST = int(InterfaceFlag.IFF_MULTICAST)
IFF_PROMISC, IFF_ALLMULTI = int(InterfaceFlag.IFF_PROMISC), int(InterfaceFlag.IFF_ALLMULTI)
IFF_LOWER_UP = int(InterfaceFlag.IFF_LOWER_UP)
CHANGEABLE_FLAGS = int(
    InterfaceFlag.IFF_UP
    | InterfaceFlag.IFF_DEBUG
    | InterfaceFlag.IFF_NOTRAILERS
    | InterfaceFlag.IFF_NOARP
    | InterfaceFlag.IFF_PROMISC
    | InterfaceFlag.IFF_ALLMULTI
    | InterfaceFlag.IFF_MULTICAST
    | InterfaceFlag.IFF_PORTSEL
    | InterfaceFlag.IFF_AUTOMEDIA
    | InterfaceFlag.IFF_DYNAMIC
)

LOOPBACK, VETH, BRIDGE, DUMMY, TUN = b"", b"veth", b"bridge", b"dummy", b"tun"
"""The kinds, as IFLA_INFO_KIND names them; the loopback has none."""
UNNAMED, NAMED_BY_NUMBER, NAMED_BY_RULE, NAMED_BY_USER, RENAMED = range(5)
"""Where an interface's name comes from: NET_NAME_UNKNOWN, ENUM, PREDICTABLE, USER, RENAMED."""
LOOPBACK_NAME = b"lo"
LOOPBACK_INDEX = 1
LOOPBACK_MTU = 65_536
ETHERNET_MTU = 1_500
LEAST_IPV4_MTU, LEAST_IPV6_MTU = 68, 1_280
QUEUE_LENGTH = 1_000
LEGACY_CUT_BYTES = 65_536
"""How long what an interface cuts into packets may be at first (in Linux, GSO_LEGACY_MAX_SIZE)."""
_MOST_CUT_BYTES = {
    4: int(LinkAttribute.IFLA_GSO_IPV4_MAX_SIZE),
    16: int(LinkAttribute.IFLA_GSO_MAX_SIZE),
}
"""By the length of an address."""
HARDWARE_TYPES = {LOOPBACK: 772}
"""ARPHRD_*, by kind; others are Ethernet."""
ARPHRD_ETHER = 1
ARPHRD_NONE = 65_534
_NO_ADDRESS = bytes(6)
_BROADCAST_ADDRESS = b"\xff" * 6

_UNKNOWN, _DOWN = int(OperationalState.IF_OPER_UNKNOWN), int(OperationalState.IF_OPER_DOWN)
_LOWER_LAYER_DOWN, _UP = int(OperationalState.IF_OPER_LOWERLAYERDOWN), int(OperationalState.IF_OPER_UP)
_TESTING, _DORMANT = int(OperationalState.IF_OPER_TESTING), int(OperationalState.IF_OPER_DORMANT)
_STATES_OF_MODES = {1: _DORMANT, 2: _TESTING}
"""What a wire that comes makes of the state, by the modes that don't leave it (IF_LINK_MODE_*)."""


class Queues(NamedTuple):
    """How many an interface has for packets that it sends and receives, and how many of these it uses (in
    Linux, num_tx_queues and real_num_tx_queues of a struct net_device). Nothing waits in any."""

    sent: int = 1
    received: int = 1
    used_for_sent: int = 1
    used_for_received: int = 1


class Interface:
    """One interface (Linux: include/linux/netdevice.h, struct net_device).

    `other_names` are those by which it's found too; all interfaces of a network have different ones. `flags`
    are those that are stored; `shown_flags` has those too that follow from the state. `peer` is a veth's
    other end, `master` the bridge whose port this is, `ports` a bridge's ports in the order in which they
    came; a bridge that hasn't looked at them yet can't tell whether it has a wire, and has the least
    address of its ports unless one was chosen. `state_without_carrier` is the operational state without a
    wire, `state_by_choice` what somebody has said or what `link_mode` (IF_LINK_MODE_*) has made of a wire
    that came, until that changes; `has_wire` is a tun's and a dummy's. `addresses` are
    those of both protocols. `was_up` says whether it has ever been up. The four counters are of what packets'
    flows have settled (`net/internet/flow.py`); `drop_count` counts what was sent into nothing. `tun` is what
    a tun or tap has beside, `bridge` what a bridge has, and `port` what
    its ports have. `settings` are those of net.ipv4.conf and net.ipv6.conf (INTERFACE_SETTINGS); what is set
    for new ones counts for those too for which nothing was chosen and that have never had an address of IPv4
    (`had_address`). `own_addresses` are those that it listens to beside its own, of which one
    of no group means that it `hears_all` (`net/link/own_address.py`). It `has_left_groups` if it had a
    wire when it went down. What it tells routers of its groups is in `listening_4` and
    `listening_6`, which the loopback has once a program joins a group there. `name_origin` is NAMED_* or
    UNNAMED."""

    __slots__ = (
        "addresses",
        "alias",
        "bridge",
        "broadcast_hardware_address",
        "carrier_changes",
        "drop_count",
        "flags",
        "group",
        "had_address",
        "hardware_address",
        "has_chosen_address",
        "has_left_groups",
        "has_looked_at_ports",
        "has_wire",
        "hears_all",
        "index",
        "kind",
        "link_mode",
        "listening_4",
        "listening_6",
        "segment_limits",
        "master",
        "mtu",
        "name",
        "name_origin",
        "network",
        "other_names",
        "own_addresses",
        "peer",
        "port",
        "ports",
        "queue_length",
        "queues",
        "received_bytes",
        "received_packets",
        "sent_bytes",
        "sent_packets",
        "settings",
        "state_by_choice",
        "state_without_carrier",
        "tun",
        "was_up",
    )

    def __init__(
        self, network: Network, kind: bytes, name: bytes, index: int, hardware_address: bytes = _NO_ADDRESS
    ) -> None:
        self.network = network
        self.kind = kind
        self.name = name
        self.name_origin = NAMED_BY_RULE if kind == LOOPBACK else UNNAMED
        self.other_names: list[bytes] = []
        self.index = index
        self.hardware_address = hardware_address
        # Where a frame for everybody goes.
        self.broadcast_hardware_address = b""
        if hardware_address:
            self.broadcast_hardware_address = _NO_ADDRESS if kind == LOOPBACK else _BROADCAST_ADDRESS
        self.mtu = LOOPBACK_MTU if kind == LOOPBACK else ETHERNET_MTU
        if kind == LOOPBACK:
            self.flags = IFF_LOOPBACK
        elif kind == DUMMY:
            self.flags = IFF_BROADCAST | IFF_NOARP
        else:
            self.flags = IFF_BROADCAST | IFF_MULTICAST
        self.queue_length = QUEUE_LENGTH
        self.queues = Queues()
        self.group = self.link_mode = 0
        self.segment_limits: dict[int, int] = {}
        self.alias = b""
        self.peer: Interface | None = None
        self.tun: TunDevice | None = None
        self.listening_4: IgmpListening | None = None
        self.listening_6: Listening | None = None
        self.master: Interface | None = None
        self.bridge: Bridge | None = None
        self.port: BridgePort | None = None
        self.ports: dict[Interface, None] = {}
        self.addresses: list[DeviceAddress] = []
        self.was_up = False
        self.has_looked_at_ports = self.had_address = False
        self.has_chosen_address = False
        self.has_wire = True
        self.has_left_groups = False
        self.hears_all = False
        self.own_addresses: dict[bytes, None] = {}
        self.state_by_choice: int | None = None
        self.state_without_carrier = _DOWN
        self.carrier_changes = 0
        self.drop_count = 0
        self.settings = self.first_settings()
        self.received_packets = self.received_bytes = 0
        self.sent_packets = self.sent_bytes = 0

    def first_settings(self) -> OwnSettings:
        """What it begins with in its network."""
        kind = WITH_ARP
        if self.flags & (IFF_LOOPBACK | IFF_NOARP):
            kind = OF_LOOPBACK if self.kind == LOOPBACK else WITHOUT_ARP
        return self.network.sysctls.of_new.copy(kind)

    def has_protocol(self, *, is_ipv6: bool) -> bool:
        """Whether it's large enough for a protocol, which otherwise has no settings for it.

        Linux: net/ipv4/devinet.c, inetdev_event; net/ipv6/addrconf.c, addrconf_notify.
        """
        if is_ipv6:
            return self.mtu >= LEAST_IPV6_MTU or self.kind == LOOPBACK
        return self.mtu >= LEAST_IPV4_MTU

    @property
    def ipv6_mtu(self) -> int:
        """The longest packet of IPv6, no longer than what the interface takes."""
        return min(self.settings.changed.get(MTU, self.mtu), self.mtu)

    def ignores_lost_wire(self, *, is_ipv6: bool) -> bool:
        """Whether no packets go out by it, for want of a wire, where there is another way.

        Linux: include/linux/inetdevice.h, ip_ignore_linkdown; include/net/addrconf.h, ip6_ignore_linkdown.
        """
        return (
            bool(self.settings.changed and self.settings[IGNORE_LINKDOWN[is_ipv6]]) and not self.has_carrier
        )

    @property
    def hardware_type(self) -> int:
        """ARPHRD_*."""
        return HARDWARE_TYPES.get(self.kind, ARPHRD_ETHER if self.has_frames else ARPHRD_NONE)

    @property
    def has_frames(self) -> bool:
        """Whether packets have the header of a frame in front, with hardware addresses."""
        return bool(self.hardware_address)

    @property
    def is_up(self) -> bool:
        """IFF_UP."""
        return bool(self.flags & IFF_UP)

    @property
    def has_carrier(self) -> bool:
        """Whether something is at the other end of the wire (Linux: include/linux/netdevice.h,
        netif_carrier_ok).

        A veth's is there while both ends are up, a bridge's while one of its ports works, a tun's while a
        program has it.
        """
        if self.kind == VETH:
            peer = self.peer
            return peer is not None and self.is_up and peer.is_up
        if self.kind == BRIDGE and self.has_looked_at_ports:
            return any(port.is_up and port.has_carrier for port in self.ports)
        return self.has_wire

    @property
    def operational_state(self) -> int:
        """IFLA_OPERSTATE. Linux: net/core/rtnetlink.c, rtnl_fill_ifinfo."""
        return self.kept_state if self.is_up else _DOWN

    @property
    def kept_state(self) -> int:
        """That which it has while it's up. Linux: net/core/link_watch.c, default_operstate."""
        if self.state_by_choice is not None:
            return self.state_by_choice
        if self.kind == LOOPBACK or (self.kind == BRIDGE and not self.has_looked_at_ports):
            return _UNKNOWN
        if self.kind in (DUMMY, TUN) and not self.carrier_changes:
            return _UNKNOWN
        return _UP if self.has_carrier else self.state_without_carrier

    @property
    def is_running(self) -> bool:
        """Whether it's up and works, if anybody knows. Linux: include/linux/netdevice.h, netif_oper_up."""
        return self.operational_state in (_UP, _UNKNOWN)

    def choose_state(self, state: int) -> bool:
        """Somebody who knows more than the wire tells `state`, and is believed where that makes sense.

        The result says whether anything changes. Linux: net/core/rtnetlink.c, set_operstate.
        """
        kept = self.kept_state
        if state == _UP:
            is_taken = kept in (_DORMANT, _TESTING, _UNKNOWN)
        else:
            is_taken = state in (_DORMANT, _TESTING) and kept in (_UP, _UNKNOWN)
        if is_taken:
            self.state_by_choice = state
        return is_taken

    def wire_changed(self) -> None:
        """The wire has come or gone. Linux: net/core/link_watch.c, rfc2863_policy."""
        self.carrier_changes += 1
        if not self.has_carrier:
            self.carrier_lost()
        self.state_by_choice = _STATES_OF_MODES.get(self.link_mode) if self.has_carrier else None

    def carrier_lost(self) -> None:
        """The state without a wire is the lower layer's fault if that is in the same network and has none.

        It's told when the wire is lost, and stays when the interface moves. Linux: net/core/link_watch.c,
        default_operstate.
        """
        peer = self.peer
        lower = self.network.interfaces.get(peer.index) if peer is not None else None
        is_lower = lower is not None and lower is not self and not lower.has_carrier
        self.state_without_carrier = _LOWER_LAYER_DOWN if is_lower else _DOWN

    @property
    def promiscuity(self) -> int:
        """How many want the frames for others: the administrator, the bridge, and who has an address here."""
        return int(bool(self.flags & IFF_PROMISC)) + int(self.master is not None) + int(self.hears_all)

    def look_at_own_addresses(self) -> None:
        """No interface here picks frames by several addresses. Linux: net/core/dev.c, __dev_set_rx_mode."""
        if self.is_up:
            self.network.host.clock.spend_looking(len(self.own_addresses))
            self.hears_all = any(not address[0] & 1 for address in self.own_addresses)

    @property
    def all_groups_count(self) -> int:
        """How many want the frames for all groups."""
        return int(bool(self.flags & IFF_ALLMULTI)) + int(self.master is not None)

    @property
    def shown_flags(self) -> int:
        """Linux: net/core/dev.c, dev_get_flags."""
        flags = self.flags
        if self.is_up:
            if self.is_running:
                flags |= IFF_RUNNING
            if self.has_carrier:
                flags |= IFF_LOWER_UP
        return flags

    def most_cut_bytes(self, address_bytes: int) -> int:
        """Linux: include/linux/netdevice.h, netif_get_gso_max_size."""
        return self.segment_limits.get(_MOST_CUT_BYTES[address_bytes], LEGACY_CUT_BYTES)

    @property
    def queueing_discipline(self) -> bytes:
        """IFLA_QDISC: none of these queues anything, once it was up."""
        return b"noqueue" if self.was_up else b"noop"

    @property
    def link_index(self) -> int:
        """The interface beneath this one: a veth's peer, in its own network. Linux: net/core/dev.c,
        dev_get_iflink."""
        return self.peer.index if self.peer is not None else self.index

    def __repr__(self) -> str:
        return f"<{self.name.decode('latin-1')} {self.index}>"
