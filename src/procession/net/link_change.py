"""Making, changing and deleting interfaces (ip-link(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EADDRNOTAVAIL, EBUSY, EEXIST, EINVAL, ELOOP, ENFILE, EOPNOTSUPP, EPERM, TOLD
from procession.abi.word import pack_u8
from procession.net.cause import NO_REQUEST, Cause
from procession.net.internet.device_address import remove_all_addresses
from procession.net.internet.interface_event import (
    carrier_changed,
    interface_came_up,
    interface_went_down,
    mtu_changed,
)
from procession.net.internet.neighbour import forget_all_of
from procession.net.link.bridge import Bridge, BridgePort, forget_behind, stop_ageing, update_port
from procession.net.link.interface import (
    BRIDGE,
    CHANGEABLE_FLAGS,
    DUMMY,
    ETHERNET_MTU,
    IFF_RUNNING,
    IFF_UP,
    LOOPBACK,
    RENAMED,
    TUN,
    VETH,
    Interface,
)
from procession.net.link.own_address import ignore_all

if TYPE_CHECKING:
    from procession.net.network import Network

NAME_BYTES = 16
ALL_FLAGS = 0xFFFF_FFFF
"""What has changed of an interface that is new, or gone."""
KINDS = (VETH, BRIDGE, DUMMY)
LEAST_MTU, LARGEST_MTU, LARGEST_TAP_MTU = 68, 65_535, 65_521
_MOST_NAMES = 32_768
MOST_PORTS = 1_024
_SPACE = b" \t\n\v\f\r\xa0"


LONGEST_ALIAS = 255
"""Linux: include/uapi/linux/if.h, IFALIASZ."""


def check_name(name: bytes) -> None:
    """Raise EINVAL for what no interface can be called. Linux: net/core/dev.c, dev_valid_name."""
    if not 0 < len(name) < NAME_BYTES or name in (b".", b".."):
        raise EINVAL("no name of an interface")
    if any(byte in b"/:" or byte in _SPACE for byte in name):
        raise EINVAL("a name of an interface has neither a slash, a colon nor a space")


def free_name(network: Network, pattern: bytes) -> bytes:
    """A name that nobody has: `pattern` with its %d as the least number. Raises ENFILE, EINVAL, EEXIST.

    Linux: net/core/dev.c, dev_prep_valid_name.
    """
    before, mark, after = pattern.partition(b"%")
    if not mark:
        check_name(pattern)
        if network.interface_named(pattern) is not None:
            raise EEXIST("another interface has this name")
        return pattern
    if not after.startswith(b"d") or b"%" in after:
        raise EINVAL("no pattern of a name")
    for number in range(_MOST_NAMES):
        name = before + b"%d" % number + after[1:]
        if network.interface_named(name) is None:
            network.host.clock.spend_looking(number)
            check_name(name)
            return name
    raise ENFILE("every name is taken")


def free_index(network: Network, wanted: int = 0) -> int:
    """An index that no interface of the network has. Raises EBUSY if the one that is `wanted` is taken."""
    if wanted:
        if wanted in network.interfaces:
            raise EBUSY("another interface has this index")
        return wanted
    index = network.last_index + 1
    while index in network.interfaces:
        index += 1
    network.last_index = index
    return index


def random_hardware_address(network: Network) -> bytes:
    """Of a locally administered interface. Linux: include/linux/etherdevice.h, eth_random_addr."""
    chosen = network.host.random_bytes(6)
    return pack_u8(chosen[0] & 0xFE | 2) + chosen[1:]


def make_interface(
    network: Network, kind: bytes, name: bytes, index: int = 0, hardware_address: bytes = b""
) -> Interface:
    """A new interface, down, that nobody has been told of. `name` may have a %d.

    Raises EEXIST, EINVAL, EBUSY, ENFILE, ENOBUFS. Linux: net/core/rtnetlink.c, rtnl_create_link;
    net/core/dev.c, register_netdevice.
    """
    chosen = free_name(network, name or kind + b"%d")
    number = free_index(network, index)
    network.account_interface(1, network.sysctls.of_new.inherited_count)
    network.host.clock.spend_linking()
    address = hardware_address or random_hardware_address(network)
    interface = Interface(network, kind, chosen, number, address)
    interface.has_chosen_address = bool(hardware_address)
    if kind == BRIDGE:
        interface.bridge = Bridge()
        # Linux: net/bridge/br_netlink.c, br_dev_newlink.
        interface.has_looked_at_ports = bool(hardware_address)
    # Who makes no interfaces needs nothing of the internet's groups.
    from procession.net.internet.group import begin_listening

    begin_listening(interface)
    network.add_interface(interface)
    return interface


def tell_of_new(interface: Interface, cause: Cause = NO_REQUEST) -> None:
    """All who listen are told of an interface that was made."""
    network = interface.network
    network.topology_changed()
    network.device_event(interface, b"add")
    network.link_changed(interface, change=ALL_FLAGS, cause=cause)


def join(one: Interface, other: Interface) -> None:
    """Both are the ends of a veth. Linux: drivers/net/veth.c, veth_newlink."""
    one.peer, other.peer = other, one
    one.wire_changed()
    other.wire_changed()
    one.network.topology_changed()


def delete_interface(interface: Interface, cause: Cause = NO_REQUEST) -> None:
    """Take an interface away, and a veth's other end with it. Linux: net/core/dev.c,
    unregister_netdevice_many_notify; drivers/net/veth.c, veth_dellink."""
    peer = interface.peer
    ends = [interface] if peer is None else [interface, peer]
    for end in ends:
        set_up(end, is_up=False)
    for end in ends:
        end.peer = None
        _forget(end, cause)


def _forget(interface: Interface, cause: Cause) -> None:
    network = interface.network
    network.host.clock.spend_linking()
    if interface.tun is not None:
        interface.tun.interface_gone()
    if interface.master is not None:
        leave_bridge(interface)
    for port in list(interface.ports):
        leave_bridge(port)
    if interface.bridge is not None:
        forget_behind(interface, also_static=True)
        stop_ageing(interface)
    _clear(interface)
    ignore_all(interface)
    for socket in network.packet_sockets:
        socket.lose(interface, is_gone=True)
    network.forget_interface(interface)
    network.account_interface(-1, -len(interface.settings.changed))
    network.account_names(-len(interface.other_names))
    network.topology_changed()
    network.link_changed(interface, is_there=False, change=ALL_FLAGS, cause=cause)
    network.device_event(interface, b"remove")


def _clear(interface: Interface) -> None:
    """It has no addresses, routes and neighbours any more."""
    network = interface.network
    interface.network.lose_next_hops(interface, is_gone=True)
    remove_all_addresses(interface)
    for route in network.routes.of(interface):
        network.remove_route(route, is_told=route.is_ipv6)
    forget_all_of(interface, also_permanent=True)
    for listening in (interface.listening_4, interface.listening_6):
        if listening is not None:
            listening.end()


def set_flags(interface: Interface, flags: int, change: int) -> None:
    """Set those of the flags that are in `change`, all if that is 0. Linux: net/core/dev.c,
    __dev_change_flags."""
    mask = (change or 0xFFFF_FFFF) & CHANGEABLE_FLAGS
    before = interface.flags
    interface.flags = before & ~(mask & ~IFF_UP) | flags & mask & ~IFF_UP
    changed = interface.flags ^ before
    if mask & IFF_UP and (flags ^ before) & IFF_UP:
        set_up(interface, is_up=bool(flags & IFF_UP), change=changed | IFF_UP)
    elif changed:
        interface.network.topology_changed()
        interface.network.link_changed(interface, change=changed)


def set_up(interface: Interface, *, is_up: bool, change: int = IFF_UP | IFF_RUNNING) -> None:
    """ifup and ifdown. Those who listen hear of it, with the flags that `change`, before what follows of it
    for addresses and routes. Linux: net/core/dev.c, dev_open, dev_close_many, __dev_notify_flags."""
    if interface.is_up == is_up:
        return
    joined = _joined(interface)
    before = [other.has_carrier for other in joined]
    had_carrier = interface.has_carrier
    if is_up:
        interface.flags |= IFF_UP
        interface.was_up = True
        interface.look_at_own_addresses()
    else:
        interface.flags &= ~IFF_UP
    # Linux: net/ipv6/addrconf.c, addrconf_ifdown.
    interface.has_left_groups = not is_up and had_carrier
    if interface.kind != LOOPBACK and interface.has_carrier != had_carrier:
        interface.wire_changed()
    interface.network.topology_changed()
    _update_ports(interface)
    interface.network.link_changed(interface, change=change)
    if is_up:
        interface_came_up(interface)
    else:
        for socket in interface.network.packet_sockets:
            socket.lose(interface, is_gone=False)
        interface_went_down(interface)
        forget_all_of(interface, also_permanent=False)
    interface.network.topology_changed()
    _tell_joined(joined, before)


def set_carrier(interface: Interface, *, has_carrier: bool) -> None:
    """Somebody is at the other end of a tun or a dummy, or nobody any more. Linux: drivers/net/tun.c,
    tun_net_change_carrier."""
    if interface.has_wire == has_carrier:
        return
    joined = _joined(interface)
    before = [other.has_carrier for other in joined]
    interface.has_wire = has_carrier
    interface.wire_changed()
    interface.network.topology_changed()
    update_port(interface)
    if interface.is_up:
        carrier_changed(interface)
        interface.network.link_changed(interface)
    _tell_joined(joined, before)


def change_carrier(interface: Interface, *, has_carrier: bool) -> None:
    """The administrator takes the wire away or gives it back. Raises EOPNOTSUPP, EPERM.

    Linux: net/core/dev.c, dev_change_carrier.
    """
    if interface.kind not in (DUMMY, TUN):
        raise EOPNOTSUPP("the other end decides")
    if has_carrier and interface.tun is not None and not interface.tun.files:
        raise EPERM("nobody is at the other end")
    set_carrier(interface, has_carrier=has_carrier)


def set_operational_state(interface: Interface, state: int) -> None:
    """What somebody says of it, as who asks for leave to use a port. Linux: net/core/rtnetlink.c,
    set_operstate."""
    if interface.choose_state(state) and interface.is_up:
        carrier_changed(interface)
        interface.network.link_changed(interface)


def _joined(interface: Interface) -> list[Interface]:
    """Those whose wires may lead to `interface`: a veth's other end, and the bridges of both."""
    found = [interface.peer] if interface.peer is not None else []
    if interface.master is not None:
        found.append(interface.master)
    if interface.peer is not None and interface.peer.master is not None:
        found.append(interface.peer.master)
    return found


def _tell_joined(joined: list[Interface], before: list[bool]) -> None:
    for other, had_carrier in zip(joined, before, strict=True):
        if other.has_carrier != had_carrier:
            other.wire_changed()
            _update_ports(other)
            carrier_changed(other)
            other.network.topology_changed()
            if other.is_up:
                other.network.link_changed(other)


def _update_ports(interface: Interface) -> None:
    """Those change that `interface` has, or is."""
    update_port(interface)
    for port in interface.ports:
        update_port(port)


def join_bridge(interface: Interface, bridge: Interface) -> None:
    """Make `interface` a port of `bridge`. Raises EINVAL, ELOOP, EOPNOTSUPP, EBUSY.

    Linux: net/bridge/br_if.c, br_add_if.
    """
    if bridge.kind != BRIDGE:
        raise EOPNOTSUPP("no bridge")
    if interface.master is bridge:
        return
    if interface.kind == LOOPBACK or not interface.has_frames:
        raise EINVAL("an interface without frames is no port")
    if interface.kind == BRIDGE:
        raise ELOOP("Can not enslave a bridge to a bridge", TOLD)
    if len(bridge.ports) >= MOST_PORTS - 1:
        raise EBUSY("the bridge has all its ports")
    if interface.master is not None:
        leave_bridge(interface)
    before = bridge.has_carrier
    is_first = not bridge.ports
    numbers = {port.port.number for port in bridge.ports if port.port is not None}
    number = next(number for number in range(1, MOST_PORTS) if number not in numbers)
    interface.master, interface.port = bridge, BridgePort(number, interface.kind)
    bridge.ports[interface] = None
    update_port(interface)
    bridge.has_looked_at_ports = True
    _take_least_address(bridge)
    if is_first or bridge.mtu != ETHERNET_MTU:
        bridge.mtu = min(port.mtu for port in bridge.ports)
    bridge.network.topology_changed()
    interface.network.link_changed(interface)
    _tell_joined([bridge], [before])


def leave_bridge(interface: Interface) -> None:
    """It's a port no more. Linux: net/bridge/br_if.c, br_del_if."""
    bridge = interface.master
    if bridge is None:
        return
    before = bridge.has_carrier
    forget_behind(bridge, interface, also_static=True)
    interface.master = interface.port = None
    bridge.ports.pop(interface, None)
    _take_least_address(bridge)
    bridge.network.topology_changed()
    interface.network.link_changed(interface)
    carrier_changed(interface)
    _tell_joined([bridge], [before])


def look_at_ports(bridge: Interface) -> None:
    """From now on a bridge has a wire while one of its ports has.

    Linux: net/bridge/br_stp.c, br_port_state_selection; net/bridge/br_stp_if.c, br_stp_change_bridge_id.
    """
    before = bridge.has_carrier
    bridge.has_looked_at_ports = True
    _tell_joined([bridge], [before])


def _take_least_address(bridge: Interface) -> None:
    """Linux: net/bridge/br_stp_if.c, br_stp_recalculate_bridge_id."""
    if not bridge.has_chosen_address:
        bridge.hardware_address = min((port.hardware_address for port in bridge.ports), default=bytes(6))


def largest_mtu(interface: Interface) -> int:
    """How much an interface may carry: a tap's header counts.

    Linux: drivers/net/tun.c, tun_net_initialize.
    """
    return LARGEST_TAP_MTU if interface.kind == TUN and interface.has_frames else LARGEST_MTU


def check_mtu(kind: bytes, mtu: int, most: int = LARGEST_MTU) -> None:
    """Raise EINVAL for what interfaces of a kind can't carry. Linux: net/core/dev.c, dev_validate_mtu."""
    has_limits = kind not in (LOOPBACK, DUMMY)
    if mtu < (LEAST_MTU if has_limits else 0):
        raise EINVAL("mtu less than device minimum", TOLD)
    if has_limits and mtu > most:
        raise EINVAL("mtu greater than device maximum", TOLD)


def set_mtu(interface: Interface, mtu: int) -> None:
    """Raises EINVAL."""
    if mtu == interface.mtu:
        return
    check_mtu(interface.kind, mtu, largest_mtu(interface))
    old_mtu, interface.mtu = interface.mtu, mtu
    mtu_changed(interface, old_mtu)
    interface.network.topology_changed()
    interface.network.link_changed(interface)


def set_queue_length(interface: Interface, length: int) -> None:
    """Linux: net/core/dev.c, dev_change_tx_queue_len."""
    if length != interface.queue_length:
        interface.queue_length = length
        interface.network.link_changed(interface)


def set_alias(interface: Interface, alias: bytes) -> None:
    """Raises EINVAL. Linux: net/core/dev.c, dev_set_alias; net/core/net-sysfs.c, ifalias_store."""
    if len(alias) > LONGEST_ALIAS:
        raise EINVAL("too long an alias")
    interface.alias = alias
    if interface.is_up:
        interface.network.link_changed(interface)


def set_hardware_address(interface: Interface, address: bytes) -> None:
    """Raises EINVAL, EADDRNOTAVAIL. Linux: net/core/dev.c, dev_set_mac_address."""
    if len(address) < 6:
        raise EINVAL("no hardware address")
    address = address[:6]
    if not interface.has_frames:
        raise EOPNOTSUPP("the interface has none")
    if address == interface.hardware_address:
        return
    if address[0] & 1 or not any(address):
        raise EADDRNOTAVAIL("no address of one interface")
    interface.hardware_address = address
    interface.has_chosen_address = True
    if interface.master is not None:
        _take_least_address(interface.master)
    if interface.kind == BRIDGE:
        look_at_ports(interface)
    interface.network.topology_changed()
    interface.network.link_changed(interface)


def set_broadcast_hardware_address(interface: Interface, address: bytes) -> None:
    """Frames for everybody go to `address` from now on. Raises EINVAL for one that's too short."""
    if len(address) < len(interface.hardware_address):
        raise EINVAL("no hardware address")
    interface.broadcast_hardware_address = address[: len(interface.hardware_address)]
    interface.network.link_changed(interface)


def rename(interface: Interface, name: bytes) -> None:
    """Raises EEXIST, EINVAL. Linux: net/core/dev.c, dev_change_name."""
    if name == interface.name:
        return
    network, old = interface.network, interface.name
    network.rename_interface(interface, free_name(network, name))
    interface.name_origin = RENAMED
    for address in interface.addresses:
        if address.label.split(b":", 1)[0] == old:
            address.label = (interface.name + address.label[len(old) :])[: NAME_BYTES - 1]
    interface.network.link_changed(interface)


def move(interface: Interface, network: Network, name: bytes = b"", index: int = 0) -> None:
    """Take `interface` to another network, where it's down and has no addresses, under an `index` or 0 for
    any. Raises EINVAL, EEXIST, EBUSY, ENOBUFS.

    Linux: net/core/dev.c, __dev_change_net_namespace.
    """
    if interface.kind in (LOOPBACK, BRIDGE):
        raise EINVAL("the interface stays in its network")
    old = interface.network
    if network is old:
        return
    wanted = name or interface.name
    chosen = free_name(network, wanted)
    if any(network.interface_named(other) is not None for other in interface.other_names):
        raise EEXIST("another interface has one of its names")
    if not index:
        index = 0 if interface.index in network.interfaces else interface.index
    number = free_index(network, index)
    network.account_settings(network.sysctls.of_new.inherited_count)
    set_up(interface, is_up=False)
    if interface.master is not None:
        leave_bridge(interface)
    _clear(interface)
    ignore_all(interface)
    for socket in old.packet_sockets:
        socket.lose(interface, is_gone=True)
    old.forget_interface(interface)
    old.number_of(network)
    old.link_changed(interface, is_there=False, change=ALL_FLAGS)
    old.device_event(interface, b"remove")
    old.account_settings(-len(interface.settings.changed))
    # Linux: net/ipv4/devinet.c, inetdev_init; net/ipv6/addrconf.c, ipv6_add_dev.
    interface.had_address = False
    interface.index = number
    interface.network = network
    interface.settings = interface.first_settings()
    interface.name = chosen
    interface.was_up = interface.has_left_groups = False
    network.add_interface(interface)
    old.topology_changed()
    network.device_event(interface, b"add")
    network.link_changed(interface, change=ALL_FLAGS)
    if interface.peer is not None:
        interface.peer.network.link_changed(interface.peer)
