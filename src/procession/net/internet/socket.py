"""Sockets of IPv4 and IPv6: what TCP's and UDP's have in common; ip(7), ipv6(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import (
    EACCES,
    EADDRINUSE,
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EINVAL,
    ENETUNREACH,
    ENODEV,
    ENOTCONN,
)
from procession.abi.internet import IpOption, Ipv6Option
from procession.abi.socket import SocketLevel, SocketOption, SocketType
from procession.hardware.kernel_memory import SOCKET
from procession.net.internet.address import (
    AF_INET,
    AF_INET6,
    AF_UNSPEC,
    ANY_4,
    BROADCAST_4,
    LOOPBACK_4,
    LOOPBACK_6,
    any_of,
    family_of,
    format_sockaddr,
    is_any,
    is_multicast,
    needs_scope,
    parse,
    scope_of,
)
from procession.net.internet.device_address import has_address_6
from procession.net.internet.flow import find_flow
from procession.net.internet.flow_label import FlowLabel, release_labels
from procession.net.internet.routing_rule import ANY_TRAFFIC, OWN, Traffic
from procession.net.socket import CLOSED, PEER, SYN_SENT, Socket

if TYPE_CHECKING:
    from collections import deque

    from procession.net.internet.control import PacketChoice
    from procession.net.internet.error_queue import Queued
    from procession.net.internet.flow import Flow
    from procession.net.internet.group import Membership
    from procession.net.internet.port_table import PortTable
    from procession.net.link.interface import Interface
    from procession.net.network import Network

CAP_NET_BIND_SERVICE = int(Capability.CAP_NET_BIND_SERVICE)
CAP_NET_RAW = int(Capability.CAP_NET_RAW)
PORT_RANGE = (int(SocketLevel.SOL_IP), int(IpOption.IP_LOCAL_PORT_RANGE))
_ONLY_6 = (int(SocketLevel.SOL_IPV6), int(Ipv6Option.IPV6_V6ONLY))
_DISCOVERY = (int(SocketLevel.SOL_IP), int(IpOption.IP_MTU_DISCOVER))
_NO_DISCOVERY = 0
"""IP_PMTUDISC_DONT."""
_MULTICAST_ALL = (int(SocketLevel.SOL_IP), int(IpOption.IP_MULTICAST_ALL))
_SO_REUSEADDR = int(SocketOption.SO_REUSEADDR)
_SO_REUSEPORT = int(SocketOption.SO_REUSEPORT)
_STREAM = int(SocketType.SOCK_STREAM)
_RAW = int(SocketType.SOCK_RAW)
_SO_MARK = int(SocketOption.SO_MARK)
_IP_TOS = int(SocketLevel.SOL_IP), int(IpOption.IP_TOS)
_IPV6_TCLASS = int(SocketLevel.SOL_IPV6), int(Ipv6Option.IPV6_TCLASS)
_SO_BINDTOIFINDEX = int(SocketOption.SO_BINDTOIFINDEX)
FORCED_REUSE = 2
"""What SO_REUSEADDR tells of a socket that may have any address (SK_FORCE_REUSE)."""

_PORTS_PER_LOOK = 4
"""How many ports are looked at in the time that one socket takes."""


class InternetSocket(Socket):
    """A socket of IPv4 or IPv6 (Linux: include/net/inet_sock.h, struct inet_sock).

    Addresses are 4 or 16 bytes: of a socket of IPv6 that talks IPv4 they are 4. `local_port` is what
    getsockname(2) says, `has_port` whether it's held. `remote_address` is None unless there is a peer.
    `has_chosen_address` and `has_chosen_port` say that bind(2) named them. `protocol_options` are those
    beyond SOL_SOCKET, by level and name; `header_options` are what IP_OPTIONS sets,
    `extension_headers` what IPV6_HOPOPTS and its kin do. `memberships` are the groups that it listens to,
    `anycasts` the indices of interfaces and their addresses of IPv6 that it has others share.
    `flow_labels` are those of IPv6 that it has leased, `flow_info` that which goes to whom it's connected to
    (IPV6_FLOWINFO_SEND). `error_queue` is told by MSG_ERRQUEUE; what waits there, and of datagrams all that
    has arrived, takes `arrived_bytes`. `zero_copy_count` numbers the calls with MSG_ZEROCOPY.
    """

    __slots__ = (
        "arrived_bytes",
        "error_queue",
        "flow_info",
        "flow_labels",
        "has_chosen_address",
        "has_chosen_port",
        "has_port",
        "extension_headers",
        "header_options",
        "local_address",
        "local_port",
        "anycasts",
        "memberships",
        "protocol_options",
        "remote_address",
        "remote_port",
        "is_ipv6_only",
        "zero_copy_count",
    )

    def __init__(self, network: Network, family: int, kind: int, protocol: int, owner_uid: int) -> None:
        super().__init__(network, family, kind, protocol, owner_uid)
        self.local_address = any_of(family)
        self.local_port = 0
        self.remote_address: bytes | None = None
        self.remote_port = 0
        self.has_chosen_address = False
        self.has_chosen_port = False
        self.has_port = False
        self.header_options = b""
        self.extension_headers: dict[int, bytes] = {}
        self.is_ipv6_only = False
        self.protocol_options: dict[tuple[int, int], int] = {}
        if family == AF_INET6 and network.sysctls.is_ipv6_only & 1:
            self.is_ipv6_only = True
            self.protocol_options[_ONLY_6] = 1
        if network.sysctls.has_no_discovery:
            # Linux: net/ipv4/af_inet.c, inet_create.
            self.protocol_options[_DISCOVERY] = _NO_DISCOVERY
        if family == AF_INET6:
            # Linux: net/ipv6/af_inet6.c, inet6_create says nothing of mc_all.
            self.protocol_options[_MULTICAST_ALL] = 0
        self.memberships: tuple[Membership, ...] = ()
        self.anycasts: tuple[tuple[int, bytes], ...] = ()
        self.flow_info = 0
        self.flow_labels: tuple[FlowLabel, ...] = ()
        self.arrived_bytes = 0
        self.error_queue: deque[Queued] | None = None
        self.zero_copy_count = 0

    @property
    def mark(self) -> int:
        """What its packets are marked with (SO_MARK)."""
        return self.options.get(_SO_MARK, 0)

    @property
    def waiting_bytes(self) -> int:
        """What is taken of the room for receiving."""
        raise NotImplementedError

    @property
    def arrivals(self) -> tuple[int, int]:
        return self.waiting_bytes, 0

    def forget(self) -> None:
        if self.flow_labels:
            release_labels(self)
        super().forget()

    @property
    def ports(self) -> PortTable:
        """The ports of this protocol."""
        raise NotImplementedError

    @property
    def reuses_address(self) -> bool:
        """SO_REUSEADDR."""
        return bool(self.options.get(_SO_REUSEADDR))

    @property
    def reuses_port(self) -> bool:
        """SO_REUSEPORT."""
        return bool(self.options.get(_SO_REUSEPORT))

    @property
    def protocol_name(self) -> bytes:
        return self.prototype + (b"v6" if self.family == AF_INET6 else b"")

    # Names

    def bind(self, address: bytes) -> None:
        """Linux: net/ipv4/af_inet.c, __inet_bind; net/ipv6/af_inet6.c, __inet6_bind."""
        from procession.net.internet.options import NO_PORT_YET

        wanted, port = self.parse_for_bind(address)
        if self.family == AF_INET:
            self.check_bindable(wanted, scope_of(address))
        is_low = 0 < port < self.network.sysctls.first_free_port
        if is_low and not self.caller.credentials.ns_capable(self.network.owner, CAP_NET_BIND_SERVICE):
            raise EACCES("CAP_NET_BIND_SERVICE is needed")
        if self.state != CLOSED or self.has_port:
            raise EINVAL("the socket has an address")
        if self.family == AF_INET6:
            self.check_bindable(wanted, scope_of(address))
        ports = self.ports
        is_chosen = port != 0
        if not is_chosen and self.protocol_options.get(NO_PORT_YET):
            self.choose_address(wanted)
            return
        if is_chosen:
            if self.options.get(_SO_REUSEADDR) != FORCED_REUSE:
                self.network.host.clock.spend_looking(ports.count_at(port))
                ports.check_bind(self, wanted, port)
        else:
            port = self._find_port(wanted, for_connection=False)
        self.choose_address(wanted)
        self.local_port = port
        if len(wanted) == 16 and self.has_chosen_address:
            self.is_ipv6_only = True
            self.protocol_options[_ONLY_6] = 1
        self.has_chosen_port = is_chosen
        self.has_port = True
        ports.add(self)
        self.port_taken()

    def choose_address(self, wanted: bytes) -> None:
        """bind(2) has named it."""
        self.local_address = wanted
        # The wildcard of IPv4 in IPv6's form is a choice, too.
        self.has_chosen_address = wanted != any_of(self.family)

    def port_taken(self) -> None:
        """It has a port now."""

    def parse_for_bind(self, address: bytes) -> tuple[bytes, int]:
        if self.family == AF_INET and len(address) >= 16 and family_of(address) == AF_UNSPEC:
            # Old programs forget the family of the wildcard.
            if address[4:8] != ANY_4:
                raise EAFNOSUPPORT
            return ANY_4, int.from_bytes(address[2:4], "big")
        return parse(address, self.family)

    def check_bindable(self, address: bytes, scope: int) -> None:
        """Raise EADDRNOTAVAIL unless it's one of the network's; EINVAL for what no socket here can have.

        Who names an interface with the address is bound to that from now on, whatever comes of the call.
        Raises ENODEV if there is none.
        """
        routes = self.network.routes
        if len(address) == 4:
            if self.family == AF_INET6 and self.is_ipv6_only:
                raise EINVAL("an address of IPv4")
            is_good = (
                is_any(address)
                or routes.is_local(address)
                or is_multicast(address)
                or address == BROADCAST_4
                or routes.is_broadcast(address)
                or not routes.has_local_table
            )
        else:
            if is_multicast(address) and self.kind == _STREAM:
                raise EINVAL("a group")
            if needs_scope(address):
                self._bind_to_scope(scope)
            is_good = is_any(address) or routes.is_local(address) or is_multicast(address)
        if not is_good and not self._may_bind_anywhere:
            raise EADDRNOTAVAIL("no address of this network")

    def _bind_to_scope(self, index: int) -> None:
        """Linux: net/ipv6/af_inet6.c, __inet6_bind."""
        if index:
            self.bound_index = index
        if not self.bound_index:
            raise EINVAL("the address needs an interface")
        if self.bound_index not in self.network.interfaces:
            raise ENODEV("no such interface")

    @property
    def _may_bind_anywhere(self) -> bool:
        """IP_FREEBIND, IPV6_FREEBIND, ip_nonlocal_bind of net.ipv4 and net.ipv6."""
        from procession.net.internet.options import FREE_BIND

        sysctls = self.network.sysctls
        is_6 = self.family == AF_INET6
        return bool(sysctls.binds_anywhere_6 if is_6 else sysctls.binds_anywhere) or any(
            self.protocol_options.get(option) for option in FREE_BIND
        )

    def bind_automatically(self, *, for_connection: bool = False) -> None:
        """Get a port unless there is one (Linux: net/ipv4/af_inet.c, inet_autobind)."""
        if not self.has_port:
            self.local_port = self._find_port(self.local_address, for_connection=for_connection)
            self.has_port = True
            self.ports.add(self)
            self.port_taken()

    def _find_port(self, address: bytes, *, for_connection: bool) -> int:
        """A port that nobody has, or that may be shared by who has `address`. Raises EADDRINUSE,
        EADDRNOTAVAIL."""
        ports, wanted = self.ports, self.protocol_options.get(PORT_RANGE, 0)
        try:
            return ports.free_port(wanted, for_connection=for_connection)
        except EADDRINUSE:
            return ports.shared_port(self, address, wanted)
        finally:
            self.network.host.clock.spend_looking(ports.seen_ports // _PORTS_PER_LOOK)

    def give_up_port(self) -> None:
        """The port is free for others; getsockname(2) still shows it."""
        if self.has_port:
            self.has_port = False
            self.ports.remove(self)

    # Ways

    @property
    def bound_index(self) -> int:
        """The index of the interface to which the socket is bound, 0 for none (in Linux, sk_bound_dev_if)."""
        return self.options.get(_SO_BINDTOIFINDEX, 0)

    @bound_index.setter
    def bound_index(self, index: int) -> None:
        self.options[_SO_BINDTOIFINDEX] = index

    def hears(self, interface: Interface) -> bool:
        """Whether what arrives at `interface` may be for this socket."""
        index = self.bound_index
        return not index or index == interface.index

    def flow_to(
        self,
        target: bytes,
        local: bytes | None = None,
        scope: int = 0,
        out: int = 0,
        *,
        chosen: int = 0,
        traffic: Traffic = ANY_TRAFFIC,
    ) -> Flow:
        """Where packets to `target` go from `local`, or from the socket's own address.

        `scope` is the index of the interface that the address is meant at if it counts at one alone, `out`
        that of the one to go out of, unless the socket is bound to one or another is `chosen` for this
        packet. Raises
        ENETUNREACH, EHOSTUNREACH, EINVAL, ENODEV, and EAFNOSUPPORT where there is a way, but IPv6 has none
        from an address of IPv4.
        Linux: net/ipv6/ip6_output.c, ip6_dst_lookup_tail.
        """
        network = self.network
        if local is None:
            local = self.local_address
        source: bytes | None = None
        is_for_us = is_any(target)
        if is_for_us:
            # It stands for this machine.
            is_6 = len(target) == 16 and not (len(local) == 4 and self.family == AF_INET6)
            target = LOOPBACK_6 if is_6 else LOOPBACK_4
        is_impossible = len(local) < len(target)
        if not is_any(local) and not is_impossible:
            if len(local) > len(target):
                if self.has_chosen_address and self.kind != _RAW:
                    raise ENETUNREACH("the socket is bound to an address of the other protocol")
                # The address of a connection by IPv6 is none for a datagram that goes by IPv4.
            elif not is_multicast(local) and local != BROADCAST_4 and not network.routes.is_broadcast(local):
                source = local
                if is_for_us and len(local) == 4:
                    # Linux: net/ipv4/route.c, ip_route_output_key_hash_rcu.
                    target = local
        device = self.interface_out(target, chosen or scope or self.bound_index or out)
        if (
            is_for_us
            and device is None
            and len(target) == 4
            and not network.loopback.has_protocol(is_ipv6=False)
        ):
            # Linux: net/ipv4/route.c, __mkroute_output.
            raise EINVAL("the loopback interface is too small for IPv4")
        try:
            flow = find_flow(network, target, source, device, traffic)
        except ENETUNREACH:
            if source is None and not is_impossible and len(target) == 16 and not has_address_6(network):
                raise EADDRNOTAVAIL("no address of IPv6 to send from") from None
            raise
        if is_impossible:
            raise EAFNOSUPPORT("the socket is bound to an address of IPv4")
        return flow

    def traffic_to(self, target: bytes, port: int, choice: PacketChoice | None = None) -> Traffic:
        """What rules may look at of packets to `port`, or of the one for which there is a `choice`.

        Linux: include/net/flow.h, flowi4_init_output; net/ipv6/udp.c, udpv6_sendmsg.
        """
        if not self.network.system.aspects:
            return ANY_TRAFFIC
        tos = self.protocol_options.get(_IP_TOS if len(target) == 4 else _IPV6_TCLASS, 0)
        mark = self.mark
        if choice is not None:
            tos = tos if choice.tos is None else choice.tos
            mark = mark if choice.mark is None else choice.mark
        # Of what raw sockets write nothing is known.
        own_port, port = (0, 0) if self.kind == _RAW else (self.local_port, port)
        return Traffic(b"", OWN, b"", mark, tos, self.owner_uid, self.protocol, own_port, port)

    def way_to_peer(self) -> Flow:
        """Where packets go of a socket that is connected. Raises as `flow_to` does."""
        remote = self.remote_address
        assert remote is not None
        return self.flow_to(remote, traffic=self.traffic_to(remote, self.remote_port))

    def way_with_source(self, flow: Flow, port: int) -> Flow:
        """Where packets of a connection go whose source was chosen with `flow`: IPv4's rules are asked again,
        as they may look at it. Raises as `flow_to` does, and EINVAL for a source that can't send.
        Linux: include/net/route.h, ip_route_connect.
        """
        if len(flow.target) == 4 and (is_multicast(flow.source) or flow.source == BROADCAST_4):
            raise EINVAL("the address to send from is many machines'")
        rules = self.network.routes.rules[len(flow.target)]
        if len(flow.target) == 16 or not rules.looks_at_sources or is_multicast(flow.target):
            return flow
        return self.flow_to(flow.target, flow.source, traffic=self.traffic_to(flow.target, port))

    def interface_out(self, target: bytes, index: int) -> Interface | None:
        """The interface of that index, None for 0. Raises ENODEV, and ENETUNREACH as IPv6 finds no routes."""
        if not index:
            return None
        interface = self.network.interfaces.get(index)
        if interface is None:
            raise (ENODEV if len(target) == 4 else ENETUNREACH)("no such interface")
        return interface

    def take_scope(self, target: bytes, scope: int) -> None:
        """Bind to the interface that is named with an address to connect to, where that counts on one alone.

        Raises EINVAL if none is, or the socket is bound to another.
        Linux: net/ipv6/datagram.c, __ip6_datagram_connect; net/ipv6/tcp_ipv6.c, tcp_v6_connect.
        """
        if not needs_scope(target):
            return
        bound = self.bound_index
        if scope and bound not in (0, scope):
            raise EINVAL("the socket is bound to another interface")
        if scope:
            self.bound_index = scope
        elif not bound:
            raise EINVAL("the address needs an interface")

    def getname(self, peer: int) -> bytes:
        """Linux: net/ipv4/af_inet.c, inet_getname."""
        if not peer:
            return format_sockaddr(self.local_address, self.local_port, self.family, self.bound_index)
        # Port 0 is nobody.
        remote = self.remote_address
        if remote is None or not self.remote_port or (peer == PEER and self.state in (CLOSED, SYN_SENT)):
            raise ENOTCONN
        return format_sockaddr(remote, self.remote_port, self.family, self.bound_index)

    def may_choose_routes(self) -> bool:
        """Whether the caller may write what it likes into headers."""
        return self.caller.credentials.ns_capable(self.network.owner, CAP_NET_RAW)

    def leave_groups(self) -> None:
        """The socket is closed."""
        if self.memberships or self.anycasts:
            from procession.net.internet.group import leave_all

            leave_all(self)
        size = sum(map(len, self.extension_headers.values()))
        if size:
            self.network.system.account.uncharge(SOCKET, size)
            self.extension_headers = {}

    # Options

    def check_option(self, level: int, name: int, *, is_set: bool) -> None:
        from procession.net.internet.options import check_option

        check_option(self, level, name, is_set=is_set)

    def get_option(self, level: int, name: int, length: int) -> bytes:
        from procession.net.internet.options import get_internet_option

        return get_internet_option(self, level, name, length)

    def set_option(self, level: int, name: int, value: bytes) -> None:
        from procession.net.internet.options import set_internet_option

        set_internet_option(self, level, name, value)
