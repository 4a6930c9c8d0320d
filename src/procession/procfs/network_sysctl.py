"""/proc/sys/net: the settings of a network, and the limits and defaults of its sockets."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.word import Words, pack_array
from procession.fs.user_namespace import NO_ID
from procession.net.internet.tcp import MOST_RECEIVE_ROOM, MOST_SEND_ROOM, RECEIVE_ROOM, UNSENT_ROOM
from procession.net.internet.tcp_connection import MOST_WAITING
from procession.net.internet.tcp_fastopen import KEY_BYTES, MOST_KEYS
from procession.net.internet.tcp_options import CONGESTION_CONTROLS
from procession.net.socket import DEFAULT_BUFFER_BYTES, MOST_BUFFER_BYTES
from procession.net.sysctls import FORWARDING, NO_GROUPS
from procession.procfs.interface_sysctl import set_for_all
from procession.procfs.system import InterfaceSettings, SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.net.sysctls import NetworkSysctls


_KEY = Words("<4I")
_LEAST_ROOM = 4096
"""What a connection may always have."""
_FINAL_WAIT_S, _RETRIES = 60, 6
"""net.ipv4.tcp_fin_timeout and tcp_syn_retries."""


def _sysctls(kernel: Kernel) -> NetworkSysctls:
    """Those of the running task's network."""
    return kernel.seen_namespaces.network.sysctls


def _numbers(data: bytes, least: int, most: int, count: int = 1) -> list[int]:
    """So many numbers. Raises EINVAL."""
    words = data.split()
    try:
        found = [int(word) for word in words]
    except ValueError:
        raise EINVAL("not a number") from None
    if len(found) != count or any(not least <= value <= most for value in found):
        raise EINVAL(f"not {count} numbers from {least} to {most}")
    return found


def _show_number(name: str, kernel: Kernel) -> bytes:
    return b"%d\n" % getattr(_sysctls(kernel), name)


def _store_number(name: str, least: int, most: int, kernel: Kernel, data: bytes) -> None:
    """Linux: kernel/sysctl.c, proc_dointvec_minmax."""
    (value,) = _numbers(data, least, most)
    setattr(_sysctls(kernel), name, value)


def _number(name: str, least: int, most: int) -> SystemFile:
    """A number of the network's `sysctls`, which can be set."""
    return SystemFile(0o644, partial(_show_number, name), partial(_store_number, name, least, most))


def _show_fixed(value: int, kernel: Kernel) -> bytes:
    return b"%d\n" % value


def _fixed(value: int) -> SystemFile:
    """A number that can't be set."""
    return SystemFile(0o444, partial(_show_fixed, value))


def _show_ports(kernel: Kernel) -> bytes:
    """net.ipv4.ip_local_port_range."""
    sysctls = _sysctls(kernel)
    return b"%d\t%d\n" % (sysctls.first_ephemeral, sysctls.last_ephemeral)


def _store_ports(kernel: Kernel, data: bytes) -> None:
    """Linux: net/ipv4/sysctl_net_ipv4.c, ipv4_local_port_range."""
    first, last = _numbers(data, 1, 65_535, 2)
    sysctls = _sysctls(kernel)
    if last < first or first < sysctls.first_free_port:
        raise EINVAL("no range of ports for all")
    sysctls.first_ephemeral, sysctls.last_ephemeral = first, last


def _store_first_free_port(kernel: Kernel, data: bytes) -> None:
    """Linux: net/ipv4/sysctl_net_ipv4.c, ipv4_privileged_ports."""
    (first,) = _numbers(data, 0, 65_535)
    sysctls = _sysctls(kernel)
    if first > sysctls.first_ephemeral:
        raise EINVAL("ports that anybody gets would need privilege")
    sysctls.first_free_port = first


def _show_ping_groups(kernel: Kernel) -> bytes:
    """net.ipv4.ping_group_range, as the reader's user namespace has the groups."""
    seen = kernel.seen_namespaces.network.owner
    first, last = _sysctls(kernel).ping_groups
    return b"%d\t%d\n" % (seen.from_kgid_munged(first), seen.from_kgid_munged(last))


def _store_ping_groups(kernel: Kernel, data: bytes) -> None:
    """Linux: net/ipv4/sysctl_net_ipv4.c, ipv4_ping_group_range."""
    network = kernel.seen_namespaces.network
    first, last = _numbers(data, 0, 2**31 - 1, 2)
    low, high = network.owner.make_kgid(first), network.owner.make_kgid(last)
    if NO_ID in (low, high):
        raise EINVAL("no such group")
    network.sysctls.ping_groups = (low, high) if first <= last else NO_GROUPS


def _store_forwarding(kernel: Kernel, data: bytes) -> None:
    """Linux: net/ipv4/devinet.c, devinet_sysctl_forward."""
    (value,) = _numbers(data, -(2**31), 2**31 - 1)
    set_for_all(kernel.seen_namespaces.network, FORWARDING[0], value)


def _show_send_room(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_wmem: least, at first, at most."""
    return b"%d\t%d\t%d\n" % (_LEAST_ROOM, UNSENT_ROOM, MOST_SEND_ROOM)


def _show_receive_room(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_rmem: least, at first, at most."""
    return b"%d\t%d\t%d\n" % (_LEAST_ROOM, RECEIVE_ROOM, MOST_RECEIVE_ROOM)


def _show_fast_open_keys(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_fastopen_key, in hexadecimal. Linux: net/ipv4/sysctl_net_ipv4.c, proc_tcp_fastopen_key."""
    keys = _sysctls(kernel).fast_open_keys or (bytes(KEY_BYTES),)
    return b",".join(b"%08x-%08x-%08x-%08x" % _KEY.unpack(key) for key in keys) + b"\n"


def _store_fast_open_keys(kernel: Kernel, data: bytes) -> None:
    texts = data.split(b"\0", 1)[0].strip().split(b",")
    if len(texts) > MOST_KEYS:
        raise EINVAL("more than two keys")
    keys: list[bytes] = []
    for text in texts:
        words = text.split(b"-")
        try:
            keys.append(pack_array("I", [int(word, 16) for word in words]))
        except ValueError:
            raise EINVAL("not in hexadecimal") from None
        if len(words) != KEY_BYTES // 4 or any(len(word) > 8 for word in words):
            raise EINVAL("not four words")
    _sysctls(kernel).fast_open_keys = tuple(keys)


def _show_congestion_controls(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_available_congestion_control."""
    return b" ".join(CONGESTION_CONTROLS) + b"\n"


def _show_queue_length(kernel: Kernel) -> bytes:
    """net.unix.max_dgram_qlen."""
    length = _sysctls(kernel).queue_length
    return b"%d\n" % (length - (length >> 31 << 32))


def _store_queue_length(kernel: Kernel, data: bytes) -> None:
    """A negative one is as long as can be. Linux: net/unix/sysctl_net_unix.c, unix_table."""
    (length,) = _numbers(data, -(2**31), 2**31 - 1)
    _sysctls(kernel).queue_length = length & 0xFFFF_FFFF


def _show_congestion_control(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_congestion_control."""
    return b"cubic\n"


NETWORK_SYSCTLS: SystemTree = {
    b"core": {
        b"rmem_default": _fixed(DEFAULT_BUFFER_BYTES),
        b"rmem_max": _fixed(MOST_BUFFER_BYTES),
        b"somaxconn": _number("most_backlog", 0, 2**31 - 1),
        b"tstamp_allow_data": _number("tells_data", 0, 1),
        b"wmem_default": _fixed(DEFAULT_BUFFER_BYTES),
        b"wmem_max": _fixed(MOST_BUFFER_BYTES),
    },
    b"ipv4": {
        b"conf": InterfaceSettings(b"ipv4"),
        b"icmp_echo_ignore_all": _number("ignores_echo", 0, 1),
        b"ip_default_ttl": _number("time_to_live", 1, 255),
        b"ip_forward": SystemFile(0o644, partial(_show_number, "forwards_4"), _store_forwarding),
        b"ip_local_port_range": SystemFile(0o644, _show_ports, _store_ports),
        b"ip_nonlocal_bind": _number("binds_anywhere", 0, 255),
        b"ip_unprivileged_port_start": SystemFile(
            0o644, partial(_show_number, "first_free_port"), _store_first_free_port
        ),
        b"ping_group_range": SystemFile(0o644, _show_ping_groups, _store_ping_groups),
        b"tcp_available_congestion_control": SystemFile(0o444, _show_congestion_controls),
        b"tcp_congestion_control": SystemFile(0o444, _show_congestion_control),
        b"tcp_fastopen": _number("fast_open", -(2**31), 2**31 - 1),
        b"tcp_fastopen_key": SystemFile(0o600, _show_fast_open_keys, _store_fast_open_keys, is_text=True),
        b"tcp_fin_timeout": _fixed(_FINAL_WAIT_S),
        b"tcp_max_tw_buckets": _fixed(MOST_WAITING),
        b"tcp_rmem": SystemFile(0o444, _show_receive_room),
        b"tcp_syn_retries": _fixed(_RETRIES),
        b"tcp_wmem": SystemFile(0o444, _show_send_room),
    },
    b"ipv6": {
        b"auto_flowlabels": _number("automatic_labels", 0, 3),
        b"bindv6only": _number("is_ipv6_only", 0, 255),
        b"conf": InterfaceSettings(b"ipv6"),
    },
    b"unix": {b"max_dgram_qlen": SystemFile(0o644, _show_queue_length, _store_queue_length)},
}
"""What is in /proc/sys/net."""
