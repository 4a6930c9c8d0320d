"""A network of sockets: the names and ports that are taken in it, and its counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.net.host import Host
    from procession.net.socket_file import SocketFileSystem
    from procession.net.unix_names import UnixNames


class Network:
    """One network namespace (Linux: struct net; network_namespaces(7)).

    `unix` has the local sockets and their abstract names. What isn't used is never made.
    """

    __slots__ = ("_unix", "host", "system")

    def __init__(self, system: SocketFileSystem, host: Host) -> None:
        self.system = system
        self.host = host
        self._unix: UnixNames | None = None

    def next_cookie(self) -> int:
        """The number of the next socket (SO_COOKIE)."""
        self.system.cookie_count = count = self.system.cookie_count + 1
        return count

    @property
    def unix(self) -> UnixNames:
        """The local sockets."""
        if self._unix is None:
            from procession.net.unix_names import UnixNames

            self._unix = UnixNames()
        return self._unix
