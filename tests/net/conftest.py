"""A task that makes system calls on sockets from Python, and what such calls need in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from struct import pack

import pytest

from procession.machine import Machine
from procession.net.network import Network
from procession.net.socket import Socket
from procession.net.socket_file import SocketFile, SocketFileSystem, socket_file_system
from tests.syscalls.conftest import Caller

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
STREAM, DATAGRAM, RAW, SEQUENCED = 1, 2, 3, 5
NON_BLOCKING = 0o4000
DONTWAIT = 0x40
SOL_SOCKET = 1


def inet(address: str, port: int) -> bytes:
    """A struct sockaddr_in."""
    parts = bytes(int(part) for part in address.split("."))
    return pack("<H", AF_INET) + port.to_bytes(2, "big") + parts + bytes(8)


def inet6(address: bytes, port: int) -> bytes:
    """A struct sockaddr_in6."""
    return pack("<H", AF_INET6) + port.to_bytes(2, "big") + bytes(4) + address.rjust(16, b"\0") + bytes(4)


def unix(name: bytes) -> bytes:
    """A struct sockaddr_un, as long as it is."""
    return pack("<H", AF_UNIX) + name


class SocketCaller(Caller):
    """A task that calls; addresses are bytes, and their lengths are passed by themselves."""

    def socket(self, family: int, kind: int, protocol: int = 0) -> int:
        return self("socket", family, kind, protocol)

    def pair(self, kind: int) -> tuple[int, int]:
        address = self.space(8)
        self("socketpair", AF_UNIX, kind, 0, address)
        return self.number(address), self.number(address + 4)

    def bind(self, fd: int, address: bytes) -> int:
        return self("bind", fd, address, len(address))

    def connect(self, fd: int, address: bytes) -> int:
        return self("connect", fd, address, len(address))

    def send(self, fd: int, data: bytes, flags: int = 0, address: bytes | None = None) -> int:
        if address is None:
            return self("sendto", fd, data, len(data), flags, 0, 0)
        return self("sendto", fd, data, len(data), flags, address, len(address))

    def receive(self, fd: int, length: int = 1000, flags: int = DONTWAIT) -> bytes:
        address = self.space(length)
        count = self("recvfrom", fd, address, length, flags, 0, 0)
        return self.read(address, min(count, length))

    def name(self, fd: int, call: str = "getsockname") -> bytes:
        """The address of this end; with "getpeername" of the other one."""
        address, length = self.space(128), self.put(pack("<i", 128))
        self(call, fd, address, length)
        return self.read(address, self.number(length))

    def port(self, fd: int) -> int:
        return int.from_bytes(self.name(fd)[2:4], "big")

    def option(self, fd: int, level: int, name: int) -> int:
        value, length = self.space(4), self.put(pack("<i", 4))
        self("getsockopt", fd, level, name, value, length)
        return self.number(value)

    def set_option(self, fd: int, level: int, name: int, value: int) -> int:
        return self("setsockopt", fd, level, name, pack("<i", value), 4)

    def listener(self, port: int = 0, backlog: int = 5, address: str = "127.0.0.1") -> int:
        fd = self.socket(AF_INET, STREAM)
        self.bind(fd, inet(address, port))
        self("listen", fd, backlog)
        return fd

    def connection(self) -> tuple[int, int]:
        """Both ends of a TCP connection: who connected, and who accepted."""
        listener = self.listener()
        client = self.socket(AF_INET, STREAM)
        self.connect(client, inet("127.0.0.1", self.port(listener)))
        server = self("accept", listener, 0, 0)
        self("close", listener)
        return client, server

    def object(self, fd: int) -> Socket:
        """The kernel's socket behind a descriptor."""
        file = self.task.files.files[fd]
        assert isinstance(file, SocketFile)
        return file.socket

    @property
    def system(self) -> SocketFileSystem:
        return socket_file_system(self.kernel.vfs)

    @property
    def network(self) -> Network:
        return self.kernel.init_namespaces.network


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    for name in ("proc", "sys", "dev", "tmp"):
        (tmp_path / name).mkdir()
    tmp_path.chmod(0o755)
    machine = Machine(rootfs=tmp_path, memory=32 << 20, engine="scripted")
    yield machine
    machine.close()


@pytest.fixture
def call(machine: Machine) -> SocketCaller:
    return SocketCaller(machine)
