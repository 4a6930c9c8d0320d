"""A network of sockets: the names and ports that are taken in it, and its counters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.fs.namespace import CLONE_NEWNET, Namespace

if TYPE_CHECKING:
    from procession.fs.inode import Superblock
    from procession.fs.user_namespace import UserNamespace
    from procession.net.host import Host
    from procession.net.internet.port_table import PortTable
    from procession.net.internet.tcp_connection import TcpConnections
    from procession.net.netlink import NetlinkSocket
    from procession.net.socket_file import SocketFileSystem
    from procession.net.unix.names import UnixNames


class Network(Namespace):
    """One network namespace (in Linux, struct net; network_namespaces(7)).

    `unix` has the local sockets and their abstract names, `tcp` the connections and `udp_ports` who holds
    UDP's ports. What isn't used is never made. `netlink_sockets` are by their port ids. `packet_count` and
    `byte_count` are what has gone over the loopback. `sysfs` is what shows it, None while it's nowhere.
    """

    __slots__ = (
        "_local",
        "_tcp",
        "_udp_lite_ports",
        "_udp_ports",
        "byte_count",
        "host",
        "netlink_sockets",
        "packet_count",
        "sysfs",
        "system",
    )

    kind: ClassVar[int] = CLONE_NEWNET
    type_name: ClassVar[str] = "net"

    def __init__(self, system: SocketFileSystem, host: Host, owner: UserNamespace, number: int = 0) -> None:
        super().__init__(system.vfs.namespaces, owner, number)
        self.system = system
        self.host = host
        self.sysfs: Superblock | None = None
        self.packet_count = 0
        self.byte_count = 0
        self.netlink_sockets: dict[int, NetlinkSocket] = {}
        self._local: UnixNames | None = None
        self._tcp: TcpConnections | None = None
        self._udp_ports: PortTable | None = None
        self._udp_lite_ports: PortTable | None = None

    @property
    def unix(self) -> UnixNames:
        """The local sockets."""
        if self._local is None:
            from procession.net.unix.names import UnixNames

            self._local = UnixNames()
        return self._local

    @property
    def tcp(self) -> TcpConnections:
        """TCP's connections and ports."""
        if self._tcp is None:
            from procession.net.internet.tcp_connection import TcpConnections

            self._tcp = TcpConnections(self.host)
        return self._tcp

    @property
    def udp_ports(self) -> PortTable:
        """UDP's ports."""
        if self._udp_ports is None:
            from procession.net.internet.port_table import PortTable

            self._udp_ports = PortTable(is_stream=False)
        return self._udp_ports

    @property
    def udp_lite_ports(self) -> PortTable:
        """UDP-Lite's ports."""
        if self._udp_lite_ports is None:
            from procession.net.internet.port_table import PortTable

            self._udp_lite_ports = PortTable(is_stream=False)
        return self._udp_lite_ports
