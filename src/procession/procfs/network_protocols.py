"""/proc/net/protocols: the protocols of sockets, how many use each, and what each can do."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from procession.abi.socket import SocketType
from procession.net.buffer_charge import stream_charge
from procession.net.internet.address import AF_INET, AF_INET6

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.net.network import Network

_STREAM = int(SocketType.SOCK_STREAM)
_PAGE = 4096
_NO_MEMORY = -1
"""Of protocols that don't account for their buffers."""
_HEADING = (
    b"protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re"
    b" bi br ha uh gp em\n"
)
_INTERNET, _PLAIN = b"y  y  y  n  y  y  y  n  y  y  y  y  n  n  y  y  y  n", b"n" + b"  n" * 17
_PROTOCOLS: Final = (
    # Name, bytes of a socket, whether it accounts for memory, the longest header, slab, what it can do.
    (b"PACKET", 1600, False, 0, b"no", _PLAIN),
    (b"PINGv6", 1344, False, 0, b"yes", b"y  y  y  n  n  y  n  n  y  y  y  y  y  y  n  y  y  n"),
    (b"RAWv6", 1344, False, 0, b"yes", b"y  y  y  n  y  y  y  n  y  y  y  y  y  y  y  y  n  n"),
    (b"UDPLITEv6", 1472, True, 0, b"yes", _INTERNET),
    (b"UDPv6", 1472, True, 0, b"yes", _INTERNET),
    (b"TCPv6", 2432, True, 192, b"yes", b"y  y  y  y  y  y  y  y  y  y  y  y  n  y  y  y  y  y"),
    (b"UNIX-STREAM", 1152, False, 0, b"yes", b"y" + b"  n" * 17),
    (b"UNIX", 1152, False, 0, b"yes", b"y" + b"  n" * 17),
    (b"UDP-Lite", 1344, True, 0, b"yes", _INTERNET),
    (b"PING", 1016, False, 0, b"yes", b"y  y  y  n  n  y  n  n  y  y  y  y  y  y  n  y  y  n"),
    (b"RAW", 1152, False, 0, b"yes", b"y  y  y  n  y  y  y  n  y  y  y  y  y  y  y  y  n  n"),
    (b"UDP", 1344, True, 0, b"yes", _INTERNET),
    (b"TCP", 2304, True, 192, b"yes", b"y  y  y  y  y  y  y  y  y  y  y  y  n  y  y  y  y  y"),
    (b"NETLINK", 1096, False, 0, b"no", _PLAIN),
)
"""In the order of Linux's list, where the last to register is first: modules and families before TCP."""
_PRESSED: Final = frozenset((b"TCP", b"TCPv6"))
"""Those that can be short of memory."""


def show_protocols(kernel: Kernel) -> bytes:
    """/proc/net/protocols. Linux: net/core/sock.c, proto_seq_printf."""
    network = kernel.seen_namespaces.network
    counts = _counts(network)
    pages = -(-network.system.buffered_bytes // stream_charge(_PAGE))
    lines = [_HEADING]
    for name, size, has_memory, header, slab, abilities in _PROTOCOLS:
        is_pressed = name in _PRESSED
        memory = (pages if is_pressed else 0) if has_memory else _NO_MEMORY
        lines.append(
            b"%-9s %4u %6d  %6d   %-3s %6u   %-3s  %-10s  %s\n"
            % (
                *(name, size, counts[name], memory, b"no" if is_pressed else b"NI", header, slab),
                *(b"kernel", abilities),
            )
        )
    return b"".join(lines)


def _counts(network: Network) -> Counter[bytes]:
    """How many sockets each protocol has: of the internet's those that have a port or a peer.

    Linux: include/net/sock.h, sock_prot_inuse_add.
    """
    counts: Counter[bytes] = Counter()
    for local in network.unix.sockets:
        name = b"UNIX-STREAM" if local.kind == _STREAM else b"UNIX"
        # One that is closed counts as long as its peer has it.
        counts[name] += 1 + (local.peer is not None and local.peer.is_dead)
    network.tcp.expire()
    ends = {*network.tcp.connections.values(), *network.tcp.ports.all_holders()}
    for names, sockets in (
        ({AF_INET: b"TCP", AF_INET6: b"TCPv6"}, ends),
        ({AF_INET: b"UDP", AF_INET6: b"UDPv6"}, network.udp_ports.all_holders()),
        ({AF_INET: b"UDP-Lite", AF_INET6: b"UDPLITEv6"}, network.udp_lite_ports.all_holders()),
        ({AF_INET: b"PING", AF_INET6: b"PINGv6"}, network.ping_sockets),
        ({AF_INET: b"RAW", AF_INET6: b"RAWv6"}, network.raw_sockets),
    ):
        for socket in sockets:
            counts[names[socket.family]] += 1
    counts[b"PACKET"] = len(network.packet_sockets)
    counts[b"NETLINK"] = len(network.netlink_sockets)
    return counts
