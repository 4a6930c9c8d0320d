"""/proc/sys/net: the settings of a network, and the limits and defaults of its sockets."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EINVAL, ENOENT, EPERM
from procession.abi.word import Words, pack_array, pack_bits
from procession.fs.user_namespace import NO_ID
from procession.net.internet.tcp_fastopen import KEY_BYTES, MOST_KEYS
from procession.net.socket_file import SocketFileSystem, socket_file_system
from procession.net.sysctls import (
    CONGESTION_CONTROLS,
    FORWARDING,
    LEAST_FIELDS,
    MOST_FIELDS,
    MOST_SECONDS,
    NO_GROUPS,
    PORT_COUNT,
    TIMEOUTS_S,
)
from procession.procfs.interface_sysctl import set_for_all
from procession.procfs.kept_sysctl import kept_in
from procession.procfs.number_ranges import bits_in, shown_ranges
from procession.procfs.parameter_kind import INTEGER, RANGES, TEXT, UNSIGNED, ParameterKind
from procession.procfs.parse_integer import parse_milliseconds, parse_parameter
from procession.procfs.system_directory import (
    InterfaceSettings,
    SystemFile,
    SystemTree,
    is_of_first_network,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from procession.kernel.kernel import Kernel
    from procession.net.sysctls import NetworkSysctls


_KEY = Words("<4I")
_KEY_TEXT = re.compile(rb"-".join([rb"\s*(?=[0-9a-f])(?:0x)?([0-9a-f]*)"] * 4), re.IGNORECASE)
_LINE_END = re.compile(rb"[\0\n]")
_MESSAGE_KINDS = 256
_INT_MIN, _INT_MAX, _UINT_MAX = -(2**31), 2**31 - 1, 2**32 - 1
_MOST_GROUP = NO_ID - 1
_PAIR = ParameterKind(number_count=2)
_LEAST_SEND_ROOM, _LEAST_RECEIVE_ROOM = 4_608, 2_304


def _sysctls(kernel: Kernel) -> NetworkSysctls:
    """Those of the running task's network."""
    return kernel.seen_namespaces.network.sysctls


def _pair(data: bytes, least: int, most: int, old: tuple[int, int]) -> tuple[int, int]:
    """Two numbers, of which the second may be missing, and stays as it was. Raises EINVAL."""
    first, second = [parse_parameter(word, least, most) for word in data.split()] + [old[1]] * (
        2 - len(data.split())
    )
    return first, second


def _show_number(name: str, kernel: Kernel) -> bytes:
    return b"%d\n" % getattr(_sysctls(kernel), name)


def _store_number(name: str, least: int, most: int, kernel: Kernel, data: bytes) -> None:
    """Linux: kernel/sysctl.c, proc_dointvec_minmax."""
    setattr(_sysctls(kernel), name, parse_parameter(data, least, most))


def _number(name: str, least: int, most: int, kind: ParameterKind = INTEGER) -> SystemFile:
    """A number of the network's `sysctls`, which can be set."""
    return SystemFile(
        0o644, partial(_show_number, name), partial(_store_number, name, least, most), kind=kind
    )


def _byte(name: str, least: int = 0, most: int = 255) -> SystemFile:
    """One of 8 bits. Linux: kernel/sysctl.c, proc_dou8vec_minmax."""
    return _number(name, least, most, UNSIGNED)


def _store_way(name: str, least: int, most: int, kernel: Kernel, data: bytes) -> None:
    _store_number(name, least, most, kernel, data)
    kernel.seen_namespaces.network.topology_changed()


def _way(name: str, least: int, most: int, kind: ParameterKind) -> SystemFile:
    """A number by which packets may go another way from now on."""
    return SystemFile(0o644, partial(_show_number, name), partial(_store_way, name, least, most), kind=kind)


def _show_ports(kernel: Kernel) -> bytes:
    """net.ipv4.ip_local_port_range."""
    sysctls = _sysctls(kernel)
    return b"%d\t%d\n" % (sysctls.first_ephemeral, sysctls.last_ephemeral)


def _store_ports(kernel: Kernel, data: bytes) -> None:
    """Linux: net/ipv4/sysctl_net_ipv4.c, ipv4_local_port_range."""
    sysctls = _sysctls(kernel)
    first, last = _pair(data, 1, 65_535, (sysctls.first_ephemeral, sysctls.last_ephemeral))
    if last < first or first < sysctls.first_free_port:
        raise EINVAL("no range of ports for all")
    sysctls.first_ephemeral, sysctls.last_ephemeral = first, last


def _store_first_free_port(kernel: Kernel, data: bytes) -> None:
    """Linux: net/ipv4/sysctl_net_ipv4.c, ipv4_privileged_ports."""
    first = parse_parameter(data, 0, 65_535)
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
    old_first, old_last = network.sysctls.ping_groups
    shown = (network.owner.from_kgid_munged(old_first), network.owner.from_kgid_munged(old_last))
    first, last = _pair(data, 0, _MOST_GROUP, shown)
    low, high = network.owner.make_kgid(first), network.owner.make_kgid(last)
    if NO_ID in (low, high):
        raise EINVAL("no such group")
    network.sysctls.ping_groups = (low, high) if first <= last else NO_GROUPS


def _store_forwarding(kernel: Kernel, data: bytes) -> None:
    """Linux: net/ipv4/devinet.c, devinet_sysctl_forward."""
    set_for_all(kernel.seen_namespaces.network, FORWARDING[0], parse_parameter(data))


def _show_rooms(name: str, kernel: Kernel) -> bytes:
    """net.ipv4.tcp_wmem and tcp_rmem: least, at first, at most."""
    return b"%d\t%d\t%d\n" % getattr(_sysctls(kernel), name)


def _store_rooms(name: str, kernel: Kernel, data: bytes) -> None:
    """Set as many of the three as are given, up to the first that is none. Raises EINVAL."""
    sysctls = _sysctls(kernel)
    rooms: list[int] = []
    try:
        for word in data.split():
            rooms.append(parse_parameter(word, 1))
    finally:
        setattr(sysctls, name, (*rooms, *getattr(sysctls, name)[len(rooms) :]))


def _rooms(name: str) -> SystemFile:
    return SystemFile(
        0o644, partial(_show_rooms, name), partial(_store_rooms, name), kind=ParameterKind(number_count=3)
    )


def _store_pause(name: str, kernel: Kernel, data: bytes) -> None:
    setattr(_sysctls(kernel), name, parse_milliseconds(data))


def _pause(name: str) -> SystemFile:
    return SystemFile(0o644, partial(_show_number, name), partial(_store_pause, name))


def _store_mask(kernel: Kernel, data: bytes) -> None:
    """net.ipv6.icmp.ratemask. Raises EINVAL."""
    _sysctls(kernel).icmp_mask_6 = bits_in(data, _MESSAGE_KINDS)


def _show_mask(kernel: Kernel) -> bytes:
    return shown_ranges(_sysctls(kernel).icmp_mask_6)


def _refuse_to_show(kernel: Kernel) -> bytes:
    """Linux: net/ipv4/route.c, ipv4_sysctl_rtcache_flush."""
    raise EINVAL("nothing can be read there")


def _store_flush(kernel: Kernel, data: bytes) -> None:
    """net.ipv4.route.flush: ways are looked for again, whatever is written."""
    kernel.seen_namespaces.network.topology_changed()


def _store_flush_6(kernel: Kernel, data: bytes) -> None:
    """net.ipv6.route.flush: the same, if it's a number.

    Linux: net/ipv6/route.c, ipv6_sysctl_rtcache_flush.
    """
    parse_parameter(data)
    _store_flush(kernel, data)


def _show_reserved_ports(kernel: Kernel) -> bytes:
    """net.ipv4.ip_local_reserved_ports. Linux: kernel/sysctl.c, proc_do_large_bitmap."""
    return shown_ranges(int.from_bytes(_sysctls(kernel).reserved_ports, "little"))


def _store_reserved_ports(kernel: Kernel, data: bytes) -> None:
    bits = bits_in(data, PORT_COUNT)
    _sysctls(kernel).reserved_ports = pack_bits(bits, PORT_COUNT >> 3) if bits else b""


def _show_fast_open_keys(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_fastopen_key, in hexadecimal. Linux: net/ipv4/sysctl_net_ipv4.c, proc_tcp_fastopen_key."""
    keys = _sysctls(kernel).fast_open_keys or (bytes(KEY_BYTES),)
    return b",".join(b"%08x-%08x-%08x-%08x" % _KEY.unpack(key) for key in keys) + b"\n"


def _store_fast_open_keys(kernel: Kernel, data: bytes) -> None:
    line = _LINE_END.split(data, 1)[0]
    keys = []
    for text in line.split(b",", MOST_KEYS - 1):
        # As scanf does, which doesn't look at what comes behind the four words.
        words = _KEY_TEXT.match(text)
        if words is None:
            raise EINVAL("not four words in hexadecimal")
        keys.append(pack_array("I", [int(word or b"0", 16) for word in words.groups()]))
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
    _sysctls(kernel).queue_length = parse_parameter(data) & 0xFFFF_FFFF


def _show_congestion_control(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_congestion_control, what new sockets have."""
    return CONGESTION_CONTROLS[_sysctls(kernel).congestion_control] + b"\n"


def _store_congestion_control(kernel: Kernel, data: bytes) -> None:
    """Raises ENOENT. Linux: net/ipv4/tcp_cong.c, tcp_set_default_congestion_control."""
    name = data.replace(b"\0", b"\n").split(b"\n", 1)[0]
    if name not in CONGESTION_CONTROLS:
        raise ENOENT("no such congestion control")
    if name in _system(kernel).restricted_congestion_controls:
        if not is_of_first_network(kernel):
            raise EPERM("not among net.ipv4.tcp_allowed_congestion_control")
        _allow(kernel, (*_allowed(kernel), name))
    _sysctls(kernel).congestion_control = CONGESTION_CONTROLS.index(name)


def _system(kernel: Kernel) -> SocketFileSystem:
    return socket_file_system(kernel.vfs)


def _allow(kernel: Kernel, names: Collection[bytes]) -> None:
    _system(kernel).restricted_congestion_controls = tuple(
        name for name in CONGESTION_CONTROLS if name not in names
    )


def _allowed(kernel: Kernel) -> list[bytes]:
    restricted = _system(kernel).restricted_congestion_controls
    return [name for name in CONGESTION_CONTROLS if name not in restricted]


def _show_allowed(kernel: Kernel) -> bytes:
    """net.ipv4.tcp_allowed_congestion_control."""
    return b" ".join(_allowed(kernel)) + b"\n"


def _store_allowed(kernel: Kernel, data: bytes) -> None:
    """Raises ENOENT. Linux: net/ipv4/tcp_cong.c, tcp_set_allowed_congestion_control."""
    names = _LINE_END.split(data, 1)[0].split(b" ")
    if any(name and name not in CONGESTION_CONTROLS for name in names):
        raise ENOENT("no such congestion control")
    _allow(kernel, names)


def _show_room(name: str, kernel: Kernel) -> bytes:
    return b"%d\n" % getattr(_system(kernel), name)


def _store_room(name: str, kernel: Kernel, data: bytes) -> None:
    """The machine's, which only its first network changes.

    Linux: net/core/sysctl_net_core.c, net_core_table.
    """
    if not is_of_first_network(kernel):
        raise EACCES("not the machine's first network")
    is_of_sending = "send" in name
    room = parse_parameter(data, _LEAST_SEND_ROOM if is_of_sending else _LEAST_RECEIVE_ROOM)
    setattr(_system(kernel), name, room)


def _room(name: str) -> SystemFile:
    """What sockets have for messages at first, or may ask for."""
    return SystemFile(0o644, partial(_show_room, name), partial(_store_room, name))


def _store_of_all(name: str, least: int, kernel: Kernel, data: bytes) -> None:
    """The machine's, which only its first network changes. Raises EACCES, EINVAL."""
    if not is_of_first_network(kernel):
        raise EACCES("not the machine's first network")
    setattr(_system(kernel), name, parse_parameter(data, least, _INT_MAX))


def _of_all(name: str, least: int) -> SystemFile:
    """A number of all networks. Linux: net/ipv6/sysctl_net_ipv6.c, ipv6_rotable."""
    return SystemFile(0o644, partial(_show_room, name), partial(_store_of_all, name, least))


def _show_timeout(name: bytes, kernel: Kernel) -> bytes:
    return b"%d\n" % _sysctls(kernel).timeout_s(name)


def _store_timeout(name: bytes, kernel: Kernel, data: bytes) -> None:
    """Raises EINVAL. Linux: net/netfilter/nf_conntrack_standalone.c, nf_ct_sysctl_table."""
    value = parse_parameter(data, -MOST_SECONDS, MOST_SECONDS)
    _sysctls(kernel).timeouts_s[name] = value


def _timeout(name: bytes) -> SystemFile:
    return SystemFile(0o644, partial(_show_timeout, name), partial(_store_timeout, name))


def _show_connection_count(kernel: Kernel) -> bytes:
    """net.netfilter.nf_conntrack_count."""
    tracker = kernel.seen_namespaces.network.tracker
    return b"%d\n" % (len(tracker.connections) // 2 if tracker is not None else 0)


NETWORK_SYSCTLS: SystemTree = {
    b"core": {
        b"optmem_max": _number("option_bytes", 0, _INT_MAX),
        b"rmem_default": _room("first_receive_room"),
        b"rmem_max": _room("most_receive_room"),
        b"somaxconn": _number("most_backlog", 0, 2**31 - 1),
        b"tstamp_allow_data": _byte("tells_data", 0, 1),
        b"wmem_default": _room("first_send_room"),
        b"wmem_max": _room("most_send_room"),
    },
    b"ipv4": {
        b"conf": InterfaceSettings(b"ipv4"),
        b"fib_multipath_hash_fields": _way("multipath_fields", LEAST_FIELDS, MOST_FIELDS, UNSIGNED),
        b"fib_multipath_hash_policy": _way("multipath_policy", 0, 3, UNSIGNED),
        b"fib_multipath_hash_seed": _way("multipath_seed", 0, _UINT_MAX, UNSIGNED),
        b"fib_multipath_use_neigh": _way("multipath_uses_neighbours", 0, 1, UNSIGNED),
        b"fwmark_reflect": _byte("reflects_marks"),
        b"neigh": InterfaceSettings(b"neigh4"),
        b"icmp_msgs_burst": _number("icmp_burst", 0, _INT_MAX),
        b"icmp_msgs_per_sec": _number("icmp_per_second", 0, _INT_MAX),
        b"icmp_ratelimit": _pause("icmp_pause_ms"),
        b"icmp_ratemask": _number("icmp_mask", _INT_MIN, _INT_MAX),
        b"icmp_echo_ignore_all": _byte("ignores_echo", 0, 1),
        b"icmp_echo_ignore_broadcasts": _byte("ignores_echo_to_all", 0, 1),
        b"ip_autobind_reuse": _byte("reuses_chosen_ports", 0, 1),
        b"ip_default_ttl": _byte("time_to_live", 1),
        b"ip_forward": SystemFile(0o644, partial(_show_number, "forwards_4"), _store_forwarding),
        b"igmp_link_local_mcast_reports": _byte("tells_local_groups"),
        b"igmp_max_memberships": _number("most_groups", _INT_MIN, _INT_MAX),
        b"igmp_max_msf": _number("most_sources", _INT_MIN, _INT_MAX),
        b"igmp_qrv": _number("igmp_robustness", 1, _INT_MAX),
        b"ip_local_port_range": SystemFile(0o644, _show_ports, _store_ports, kind=_PAIR),
        b"ip_local_reserved_ports": SystemFile(
            0o644, _show_reserved_ports, _store_reserved_ports, kind=RANGES
        ),
        b"ip_no_pmtu_disc": _byte("has_no_discovery"),
        b"ip_nonlocal_bind": _byte("binds_anywhere"),
        b"ip_unprivileged_port_start": SystemFile(
            0o644, partial(_show_number, "first_free_port"), _store_first_free_port
        ),
        b"nexthop_compat_mode": _byte("tells_next_hops", 0, 1),
        b"ping_group_range": SystemFile(0o644, _show_ping_groups, _store_ping_groups, kind=_PAIR),
        **kept_in(b"ipv4"),
        b"route": {
            b"flush": SystemFile(0o200, _refuse_to_show, _store_flush, kind=TEXT),
            **kept_in(b"ipv4/route"),
        },
        b"tcp_abort_on_overflow": _byte("aborts_on_overflow"),
        b"tcp_allowed_congestion_control": SystemFile(0o644, _show_allowed, _store_allowed, kind=TEXT),
        b"tcp_available_congestion_control": SystemFile(0o444, _show_congestion_controls, kind=TEXT),
        b"tcp_congestion_control": SystemFile(
            0o644, _show_congestion_control, _store_congestion_control, kind=TEXT
        ),
        b"tcp_ecn": _byte("congestion_news", 0, 2),
        b"tcp_fastopen": _number("fast_open", -(2**31), 2**31 - 1),
        b"tcp_fastopen_key": SystemFile(0o600, _show_fast_open_keys, _store_fast_open_keys, kind=TEXT),
        b"tcp_fin_timeout": _number("final_wait_s", -MOST_SECONDS, MOST_SECONDS),
        b"tcp_fwmark_accept": _byte("takes_marks"),
        b"tcp_keepalive_intvl": _number("keepalive_interval_s", -MOST_SECONDS, MOST_SECONDS),
        b"tcp_keepalive_probes": _byte("keepalive_probes"),
        b"tcp_keepalive_time": _number("keepalive_s", -MOST_SECONDS, MOST_SECONDS),
        b"tcp_max_syn_backlog": _number("most_requests", _INT_MIN, _INT_MAX),
        b"tcp_max_tw_buckets": _number("most_waiting", _INT_MIN, _INT_MAX),
        b"tcp_moderate_rcvbuf": _byte("moderates_room"),
        b"tcp_notsent_lowat": _number("not_sent_low_water", 0, _UINT_MAX, UNSIGNED),
        b"tcp_min_snd_mss": _number("least_segment_bytes", 48, 65_535),
        b"tcp_orphan_retries": _byte("orphan_retries"),
        b"tcp_pingpong_thresh": _byte("answers_needed", 1),
        b"tcp_reflect_tos": _byte("reflects_service", 0, 1),
        b"tcp_reordering": _number("reordering", 1, 300),
        b"tcp_retries2": _byte("retries"),
        b"tcp_rmem": _rooms("receive_rooms"),
        b"tcp_rto_max_ms": _number("longest_retry_ms", 1_000, 120_000),
        b"tcp_rto_min_us": _number("shortest_retry_us", 1, _INT_MAX),
        b"tcp_sack": _byte("has_selective_acknowledgements"),
        b"tcp_syn_linear_timeouts": _byte("linear_syn_retries", 0, 127),
        b"tcp_syn_retries": _byte("syn_retries", 1, 127),
        b"tcp_syncookies": _byte("syn_cookies"),
        b"tcp_timestamps": _byte("has_tcp_timestamps"),
        b"tcp_tw_reuse": _byte("port_reuse", 0, 2),
        b"tcp_tw_reuse_delay": _number("port_reuse_ms", 1, 60_000, UNSIGNED),
        b"tcp_window_scaling": _byte("scales_windows"),
        b"tcp_wmem": _rooms("send_rooms"),
    },
    b"ipv6": {
        b"anycast_src_echo_reply": _byte("answers_from_anycast"),
        b"auto_flowlabels": _byte("automatic_labels", 0, 3),
        b"bindv6only": _byte("is_ipv6_only"),
        b"conf": InterfaceSettings(b"ipv6"),
        b"fib_multipath_hash_fields": _way("multipath_fields_6", LEAST_FIELDS, MOST_FIELDS, UNSIGNED),
        b"fib_multipath_hash_policy": _way("multipath_policy_6", 0, 3, UNSIGNED),
        b"flowlabel_state_ranges": _byte("marks_automatic_labels"),
        b"fwmark_reflect": _byte("reflects_marks_6"),
        b"neigh": InterfaceSettings(b"neigh6"),
        b"icmp": {
            b"echo_ignore_all": _byte("ignores_echo_6"),
            b"echo_ignore_anycast": _byte("ignores_echo_to_anycast"),
            b"echo_ignore_multicast": _byte("ignores_echo_to_groups_6"),
            b"ratelimit": _pause("icmp_pause_ms_6"),
            b"ratemask": SystemFile(0o644, _show_mask, _store_mask, kind=RANGES),
        },
        **kept_in(b"ipv6"),
        b"ip_nonlocal_bind": _byte("binds_anywhere_6"),
        b"route": {
            b"flush": SystemFile(0o200, _refuse_to_show, _store_flush_6),
            **kept_in(b"ipv6/route"),
        },
        b"max_dst_opts_length": _number("most_end_bytes", _INT_MIN, _INT_MAX),
        b"max_dst_opts_number": _number("most_end_options", _INT_MIN, _INT_MAX),
        b"max_hbh_length": _number("most_hop_bytes", _INT_MIN, _INT_MAX),
        b"max_hbh_opts_number": _number("most_hop_options", _INT_MIN, _INT_MAX),
        b"mld_max_msf": _of_all("most_sources_6", _INT_MIN),
        b"mld_qrv": _of_all("mld_robustness", 1),
    },
    b"netfilter": {
        b"nf_conntrack_count": SystemFile(0o444, _show_connection_count),
        b"nf_conntrack_events": _byte("tells_connections", 0, 2),
        b"nf_conntrack_max": _of_all("most_connections", 0),
        b"nf_conntrack_tcp_loose": _byte("is_loose", 0, 1),
        **{b"nf_conntrack_" + name: _timeout(name) for name in TIMEOUTS_S},
        **kept_in(b"netfilter"),
    },
    b"unix": {b"max_dgram_qlen": SystemFile(0o644, _show_queue_length, _store_queue_length)},
}
"""What is in /proc/sys/net."""
