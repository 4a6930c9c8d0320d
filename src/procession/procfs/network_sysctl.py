"""/proc/sys/net: the limits and defaults of sockets. None can be changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from procession.procfs.system import SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel


def _show_buffer(kernel: Kernel) -> bytes:
    """net.core.*mem_default and *mem_max, in bytes."""
    from procession.net.socket import DEFAULT_BUFFER_BYTES

    return b"%d\n" % DEFAULT_BUFFER_BYTES


def _show_ports(kernel: Kernel) -> bytes:
    """net.ipv4.ip_local_port_range."""
    from procession.net.internet.port_table import FIRST_EPHEMERAL, LAST_EPHEMERAL

    return b"%d\t%d\n" % (FIRST_EPHEMERAL, LAST_EPHEMERAL)


def _show_first_free_port(kernel: Kernel) -> bytes:
    """net.ipv4.ip_unprivileged_port_start."""
    from procession.net.internet.socket import FIRST_FREE_PORT

    return b"%d\n" % FIRST_FREE_PORT


def _show_send_room(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_wmem: least, at first, at most."""
    from procession.net.internet.tcp import SEND_ROOM, UNSENT_ROOM
    from procession.net.socket import MINIMUM_SEND_BUFFER

    return b"%d\t%d\t%d\n" % (MINIMUM_SEND_BUFFER, UNSENT_ROOM, SEND_ROOM)


def _show_receive_room(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_rmem: least, at first, at most."""
    from procession.net.internet.tcp import RECEIVE_ROOM
    from procession.net.socket import MINIMUM_RECEIVE_BUFFER

    return b"%d\t%d\t%d\n" % (MINIMUM_RECEIVE_BUFFER, RECEIVE_ROOM, RECEIVE_ROOM)


def _show_congestion_controls(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_available_congestion_control."""
    from procession.net.internet.options import CONGESTION_CONTROLS

    return b" ".join(CONGESTION_CONTROLS) + b"\n"


def _show_most_waiting(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_max_tw_buckets."""
    from procession.net.internet.tcp_connection import MOST_WAITING

    return b"%d\n" % MOST_WAITING


def _show_backlog(kernel: Kernel) -> bytes:
    """net.core.somaxconn."""
    from procession.abi.socket import SOMAXCONN

    return b"%d\n" % SOMAXCONN


def _show_queue_length(kernel: Kernel) -> bytes:
    """net.unix.max_dgram_qlen."""
    from procession.net.unix.socket import QUEUE_LENGTH

    return b"%d\n" % QUEUE_LENGTH


def _show_zero(kernel: Kernel) -> bytes:
    """What isn't on."""
    return b"0\n"


def _show_ping_groups(kernel: Kernel) -> bytes:
    """net.ipv4.ping_group_range: no group at all."""
    return b"1\t0\n"


def _show_congestion_control(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_congestion_control."""
    return b"cubic\n"


def _show_one_minute(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_fin_timeout, in seconds."""
    return b"60\n"


def _show_retries(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_syn_retries."""
    return b"6\n"


def _file(show: Callable[[Kernel], bytes]) -> SystemFile:
    return SystemFile(0o444, show)


_INTERFACE_SYSCTLS: SystemTree = {b"disable_ipv6": _file(_show_zero)}

NETWORK_SYSCTLS: SystemTree = {
    b"core": {
        b"rmem_default": _file(_show_buffer),
        b"rmem_max": _file(_show_buffer),
        b"somaxconn": _file(_show_backlog),
        b"wmem_default": _file(_show_buffer),
        b"wmem_max": _file(_show_buffer),
    },
    b"ipv4": {
        b"ip_forward": _file(_show_zero),
        b"ip_local_port_range": _file(_show_ports),
        b"ip_nonlocal_bind": _file(_show_zero),
        b"ip_unprivileged_port_start": _file(_show_first_free_port),
        b"ping_group_range": _file(_show_ping_groups),
        b"tcp_available_congestion_control": _file(_show_congestion_controls),
        b"tcp_congestion_control": _file(_show_congestion_control),
        b"tcp_fastopen": _file(_show_zero),
        b"tcp_fin_timeout": _file(_show_one_minute),
        b"tcp_max_tw_buckets": _file(_show_most_waiting),
        b"tcp_rmem": _file(_show_receive_room),
        b"tcp_syn_retries": _file(_show_retries),
        b"tcp_wmem": _file(_show_send_room),
    },
    b"ipv6": {
        b"bindv6only": _file(_show_zero),
        b"conf": {
            b"all": _INTERFACE_SYSCTLS,
            b"default": _INTERFACE_SYSCTLS,
            b"lo": _INTERFACE_SYSCTLS,
        },
    },
    b"unix": {b"max_dgram_qlen": _file(_show_queue_length)},
}
"""What is in /proc/sys/net."""
