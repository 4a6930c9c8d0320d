"""/proc/sys/net: the settings of a network, and the limits and defaults of its sockets."""

from __future__ import annotations

from collections.abc import Callable
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


def _show_buffer(kernel: Kernel) -> bytes:
    """net.core.*mem_default and *mem_max, in bytes."""
    return b"%d\n" % DEFAULT_BUFFER_BYTES


def _show_most_buffer(kernel: Kernel) -> bytes:
    """net.core.wmem_max and rmem_max, in bytes."""
    return b"%d\n" % MOST_BUFFER_BYTES


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


def _show_first_free_port(kernel: Kernel) -> bytes:
    """net.ipv4.ip_unprivileged_port_start."""
    return b"%d\n" % _sysctls(kernel).first_free_port


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


def _show_forwarding(kernel: Kernel) -> bytes:
    """net.ipv4.ip_forward."""
    return b"%d\n" % _sysctls(kernel).forwards_4


def _store_forwarding(kernel: Kernel, data: bytes) -> None:
    """Linux: net/ipv4/devinet.c, devinet_sysctl_forward."""
    (value,) = _numbers(data, -(2**31), 2**31 - 1)
    set_for_all(kernel.seen_namespaces.network, FORWARDING[0], value)


def _show_binds_anywhere(kernel: Kernel) -> bytes:
    """net.ipv4.ip_nonlocal_bind."""
    return b"%d\n" % _sysctls(kernel).binds_anywhere


def _store_binds_anywhere(kernel: Kernel, data: bytes) -> None:
    (_sysctls(kernel).binds_anywhere,) = _numbers(data, 0, 255)


def _show_ignores_echo(kernel: Kernel) -> bytes:
    """net.ipv4.icmp_echo_ignore_all."""
    return b"%d\n" % _sysctls(kernel).ignores_echo


def _store_ignores_echo(kernel: Kernel, data: bytes) -> None:
    (_sysctls(kernel).ignores_echo,) = _numbers(data, 0, 1)


def _show_time_to_live(kernel: Kernel) -> bytes:
    """net.ipv4.ip_default_ttl."""
    return b"%d\n" % _sysctls(kernel).time_to_live


def _store_time_to_live(kernel: Kernel, data: bytes) -> None:
    (_sysctls(kernel).time_to_live,) = _numbers(data, 1, 255)


def _show_send_room(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_wmem: least, at first, at most."""
    return b"%d\t%d\t%d\n" % (_LEAST_ROOM, UNSENT_ROOM, MOST_SEND_ROOM)


def _show_receive_room(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_rmem: least, at first, at most."""
    return b"%d\t%d\t%d\n" % (_LEAST_ROOM, RECEIVE_ROOM, MOST_RECEIVE_ROOM)


def _show_automatic_labels(kernel: Kernel) -> bytes:
    """net.ipv6.auto_flowlabels."""
    return b"%d\n" % _sysctls(kernel).automatic_labels


def _store_automatic_labels(kernel: Kernel, data: bytes) -> None:
    """Linux: net/ipv6/sysctl_net_ipv6.c, ipv6_table_template."""
    (_sysctls(kernel).automatic_labels,) = _numbers(data, 0, 3)


def _show_fast_open(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_fastopen."""
    return b"%d\n" % _sysctls(kernel).fast_open


def _store_fast_open(kernel: Kernel, data: bytes) -> None:
    (_sysctls(kernel).fast_open,) = _numbers(data, -(2**31), 2**31 - 1)


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


def _show_most_waiting(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_max_tw_buckets."""
    return b"%d\n" % MOST_WAITING


def _show_backlog(kernel: Kernel) -> bytes:
    """net.core.somaxconn."""
    return b"%d\n" % _sysctls(kernel).most_backlog


def _store_backlog(kernel: Kernel, data: bytes) -> None:
    """Linux: net/core/sysctl_net_core.c, netns_core_table."""
    (_sysctls(kernel).most_backlog,) = _numbers(data, 0, 2**31 - 1)


def _show_tells_data(kernel: Kernel) -> bytes:
    """net.core.tstamp_allow_data."""
    return b"%d\n" % _sysctls(kernel).tells_data


def _store_tells_data(kernel: Kernel, data: bytes) -> None:
    """Linux: net/core/sysctl_net_core.c, netns_core_table."""
    (_sysctls(kernel).tells_data,) = _numbers(data, 0, 1)


def _show_queue_length(kernel: Kernel) -> bytes:
    """net.unix.max_dgram_qlen."""
    length = _sysctls(kernel).queue_length
    return b"%d\n" % (length - (length >> 31 << 32))


def _store_queue_length(kernel: Kernel, data: bytes) -> None:
    """A negative one is as long as can be. Linux: net/unix/sysctl_net_unix.c, unix_table."""
    (length,) = _numbers(data, -(2**31), 2**31 - 1)
    _sysctls(kernel).queue_length = length & 0xFFFF_FFFF


def _show_ipv6_only(kernel: Kernel) -> bytes:
    """net.ipv6.bindv6only."""
    return b"%d\n" % _sysctls(kernel).is_ipv6_only


def _store_ipv6_only(kernel: Kernel, data: bytes) -> None:
    """What new sockets have as IPV6_V6ONLY. Linux: net/ipv6/sysctl_net_ipv6.c, ipv6_table_template."""
    (_sysctls(kernel).is_ipv6_only,) = _numbers(data, 0, 255)


def _show_congestion_control(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_congestion_control."""
    return b"cubic\n"


def _show_one_minute(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_fin_timeout, in seconds."""
    return b"60\n"


def _show_retries(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_syn_retries."""
    return b"6\n"


def _setting(show: Callable[[Kernel], bytes], store: Callable[[Kernel, bytes], None]) -> SystemFile:
    return SystemFile(0o644, show, store)


def _file(show: Callable[[Kernel], bytes]) -> SystemFile:
    return SystemFile(0o444, show)


NETWORK_SYSCTLS: SystemTree = {
    b"core": {
        b"rmem_default": _file(_show_buffer),
        b"rmem_max": _file(_show_most_buffer),
        b"somaxconn": _setting(_show_backlog, _store_backlog),
        b"tstamp_allow_data": _setting(_show_tells_data, _store_tells_data),
        b"wmem_default": _file(_show_buffer),
        b"wmem_max": _file(_show_most_buffer),
    },
    b"ipv4": {
        b"conf": InterfaceSettings(b"ipv4"),
        b"icmp_echo_ignore_all": _setting(_show_ignores_echo, _store_ignores_echo),
        b"ip_default_ttl": _setting(_show_time_to_live, _store_time_to_live),
        b"ip_forward": _setting(_show_forwarding, _store_forwarding),
        b"ip_local_port_range": _setting(_show_ports, _store_ports),
        b"ip_nonlocal_bind": _setting(_show_binds_anywhere, _store_binds_anywhere),
        b"ip_unprivileged_port_start": _setting(_show_first_free_port, _store_first_free_port),
        b"ping_group_range": _setting(_show_ping_groups, _store_ping_groups),
        b"tcp_available_congestion_control": _file(_show_congestion_controls),
        b"tcp_congestion_control": _file(_show_congestion_control),
        b"tcp_fastopen": _setting(_show_fast_open, _store_fast_open),
        b"tcp_fastopen_key": SystemFile(0o600, _show_fast_open_keys, _store_fast_open_keys, is_text=True),
        b"tcp_fin_timeout": _file(_show_one_minute),
        b"tcp_max_tw_buckets": _file(_show_most_waiting),
        b"tcp_rmem": _file(_show_receive_room),
        b"tcp_syn_retries": _file(_show_retries),
        b"tcp_wmem": _file(_show_send_room),
    },
    b"ipv6": {
        b"auto_flowlabels": _setting(_show_automatic_labels, _store_automatic_labels),
        b"bindv6only": _setting(_show_ipv6_only, _store_ipv6_only),
        b"conf": InterfaceSettings(b"ipv6"),
    },
    b"unix": {b"max_dgram_qlen": _setting(_show_queue_length, _store_queue_length)},
}
"""What is in /proc/sys/net."""
