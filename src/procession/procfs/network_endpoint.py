"""How /proc/net writes an address of the internet with its port, and the headings of lists of sockets."""

from __future__ import annotations

from procession.abi.internet import ADDRESS_BYTES
from procession.net.internet.address import AF_INET6

HEADING = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
"""Over sockets of IPv4."""
HEADING6 = (
    b"  sl  local_address                         remote_address                        st tx_queue"
    b" rx_queue tr tm->when retrnsmt   uid  timeout inode"
)
"""Over those of IPv6."""
MORE_COLUMNS = b" ref pointer drops"
"""What is told of all but connections."""


def endpoint(address: bytes, port: int, family: int) -> bytes:
    """An address as words in the processor's order, and the port."""
    if family == AF_INET6 and len(address) == 4:
        address = bytes(10) + b"\xff\xff" + address
    words = (
        b"%08X" % int.from_bytes(address[start : start + 4], "little") for start in range(0, len(address), 4)
    )
    return b"%s:%04X" % (b"".join(words), port)


def any_address(family: int) -> bytes:
    """That of who has none."""
    return bytes(ADDRESS_BYTES[family])
