"""The connection to a debugger: a stream on the loopback, whose bytes may be anybody's."""

from __future__ import annotations

import select
import socket

from procession.gdbserver.packet import PacketReader, framed

_READ = 1 << 16
LOOPBACK = "127.0.0.1"


class ConnectionLost(Exception):
    """The debugger has gone, or what it sends is no debugger's."""


def listen(port: int) -> socket.socket:
    """Wait for a debugger at `port` of the loopback. Raises OSError."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(1)
    except OSError:
        listener.close()
        raise
    return listener


class Connection:
    """One debugger's."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = PacketReader()

    def send(self, body: bytes) -> None:
        """Send a packet. Raises ConnectionLost."""
        self._send(framed(body))

    def _send(self, data: bytes) -> None:
        try:
            self.client.sendall(data)
        except OSError as error:
            raise ConnectionLost(str(error)) from None

    def _receive(self) -> None:
        """Wait for bytes. Raises ConnectionLost."""
        try:
            data = self.client.recv(_READ)
        except OSError as error:
            raise ConnectionLost(str(error)) from None
        if not data:
            raise ConnectionLost("the debugger has closed its end")
        try:
            self.reader.feed(data)
        except ValueError as error:
            raise ConnectionLost(str(error)) from None

    def next_packet(self) -> bytes:
        """The body of the next packet, once there is one. Raises ConnectionLost."""
        while True:
            body = self.reader.next_packet()
            replies = self.reader.replies
            if replies:
                self._send(bytes(replies))
                replies.clear()
            if body is not None:
                return body
            self._receive()

    def take_interrupt(self) -> bool:
        """Whether a Ctrl-C has come, be it before the machine went on. Raises ConnectionLost."""
        if select.select([self.client], [], [], 0)[0]:
            self._receive()
        return self.reader.take_interrupt()

    def close(self) -> None:
        """The machine is done with this debugger."""
        self.client.close()
