"""What may be set of a network by sysctl(8), as /proc/sys/net."""

from __future__ import annotations

NO_GROUPS = (1, 0)
SOMAXCONN, DATAGRAM_QUEUE_LENGTH = 4_096, 10
FIRST_EPHEMERAL, LAST_EPHEMERAL = 32_768, 60_999
"""What ip_local_port_range is at first."""
ALL, DEFAULT = b"all", b"default"
"""What is set for all interfaces, and for those that are made from now on."""
ROUTE_LOCALNET, REVERSE_PATH = b"ipv4/route_localnet", b"ipv4/rp_filter"
ACCEPT_LOCAL, MARKED_SOURCES = b"ipv4/accept_local", b"ipv4/src_valid_mark"
FORWARDING = (b"ipv4/forwarding", b"ipv6/forwarding")
DISABLE_IPV6, HOP_LIMIT = b"ipv6/disable_ipv6", b"ipv6/hop_limit"
"""Whether an interface speaks no IPv6, and how far packets go out of it whose sender hasn't said it."""
PROMOTE_SECONDARIES = b"ipv4/promote_secondaries"
ARP_IGNORE, ARP_ANNOUNCE = b"ipv4/arp_ignore", b"ipv4/arp_announce"
"""To whom ARP answers, and as whom it asks."""
_NEIGHBOUR_SETTINGS = {
    b"base_reachable_time_ms": 30_000,
    b"delay_first_probe_time": 5,
    b"mcast_resolicit": 0,
    b"mcast_solicit": 3,
    b"retrans_time_ms": 1_000,
    b"ucast_solicit": 3,
    b"unres_qlen_bytes": 212_992,
}
"""How long a neighbour counts as confirmed; how many seconds one that is doubted is used; how often all are
asked for him, once nobody is known, and then yet again; how long an answer is waited for; how often he is
asked alone; and what packets that wait for him may take."""


class NeighbourKeys:
    """What the settings of one protocol's neighbours are called."""

    __slots__ = ("alone", "answer_ms", "confirmed_ms", "doubted_s", "known", "unknown", "waiting_bytes")

    def __init__(self, protocol: bytes) -> None:
        self.confirmed_ms, self.doubted_s = (
            protocol + b"base_reachable_time_ms",
            protocol + b"delay_first_probe_time",
        )
        self.known, self.unknown = protocol + b"mcast_resolicit", protocol + b"mcast_solicit"
        self.answer_ms, self.alone = protocol + b"retrans_time_ms", protocol + b"ucast_solicit"
        self.waiting_bytes = protocol + b"unres_qlen_bytes"


NEIGHBOURS_4, NEIGHBOURS_6 = NeighbourKeys(b"neigh4/"), NeighbourKeys(b"neigh6/")
INTERFACE_SETTINGS = {
    FORWARDING[0]: 0,
    ROUTE_LOCALNET: 0,
    REVERSE_PATH: 0,
    ACCEPT_LOCAL: 0,
    MARKED_SOURCES: 0,
    PROMOTE_SECONDARIES: 0,
    ARP_IGNORE: 0,
    ARP_ANNOUNCE: 0,
    b"ipv4/arp_notify": 0,
    b"ipv4/tag": 0,
    FORWARDING[1]: 0,
    b"ipv6/accept_dad": 1,
    b"ipv6/accept_ra": 1,
    b"ipv6/autoconf": 1,
    DISABLE_IPV6: 0,
    HOP_LIMIT: 64,
    **{b"neigh4/" + name: value for name, value in _NEIGHBOUR_SETTINGS.items()},
    **{b"neigh6/" + name: value for name, value in _NEIGHBOUR_SETTINGS.items()},
}
"""The settings of an interface and what they are at first. Of arp_notify and those about IPv6's addresses
nothing comes: nobody asks whether an address is taken, and no router advertises itself.
A tag means what programs want."""
PORT_COUNT = 65_536
SEND_ROOMS, RECEIVE_ROOMS = (4_096, 16_384, 4 << 20), (4_096, 131_072, 32 << 20)
"""What tcp_wmem and tcp_rmem are at first: a connection's least room, the room at first, and the most."""
CONGESTION_CONTROLS = (b"reno", b"cubic")
"""What tcp_available_congestion_control lists, by the number that is stored."""
CUBIC = 1
NO_LOW_WATER = 0xFFFF_FFFF
LEAST_FIELDS, MOST_FIELDS, FIRST_FIELDS = 0x001, 0xFFF, 0x007
"""What may be set of fib_multipath_hash_fields, and is at first: addresses and the protocol."""
NO_BOUND = 0x7FFF_FFFF
_REUSED_ON_LOOPBACK = 2
_ANY, _BYTE, _SWITCH, _LONG = (-NO_BOUND - 1, NO_BOUND), (0, 255), (0, 1), (0, 0xFFFF_FFFF_FFFF_FFFF)
KEPT = {
    b"fib_notify_on_flag_change": (0, 0, 2),
    b"ip_dynaddr": (0, *_BYTE),
    b"ip_early_demux": (1, *_BYTE),
    b"raw_l3mdev_accept": (1, *_SWITCH),
    b"tcp_adv_win_scale": (1, -31, 31),
    b"tcp_app_win": (31, 0, 31),
    b"tcp_autocorking": (1, *_SWITCH),
    b"tcp_backlog_ack_defer": (1, *_SWITCH),
    b"tcp_base_mss": (1_024, *_ANY),
    b"tcp_challenge_ack_limit": (NO_BOUND, *_ANY),
    b"tcp_comp_sack_delay_ns": (1_000_000, *_LONG),
    b"tcp_comp_sack_nr": (44, *_BYTE),
    b"tcp_comp_sack_slack_ns": (100_000, *_LONG),
    b"tcp_dsack": (1, *_BYTE),
    b"tcp_early_demux": (1, *_BYTE),
    b"tcp_early_retrans": (3, 0, 4),
    b"tcp_fack": (0, *_BYTE),
    b"tcp_fastopen_blackhole_timeout_sec": (0, 0, NO_BOUND),
    b"tcp_frto": (2, *_BYTE),
    b"tcp_l3mdev_accept": (0, *_SWITCH),
    b"tcp_limit_output_bytes": (4 << 20, *_ANY),
    b"tcp_max_reordering": (300, 1, NO_BOUND),
    b"tcp_min_rtt_wlen": (300, 0, 86_400),
    b"tcp_min_tso_segs": (2, 1, 255),
    b"tcp_moderate_rcvbuf": (1, *_BYTE),
    b"tcp_mtu_probe_floor": (48, 48, 65_535),
    b"tcp_mtu_probing": (0, *_BYTE),
    b"tcp_no_metrics_save": (0, *_BYTE),
    b"tcp_no_ssthresh_metrics_save": (1, *_SWITCH),
    b"tcp_pacing_ca_ratio": (120, 0, 1_000),
    b"tcp_pacing_ss_ratio": (200, 0, 1_000),
    b"tcp_pingpong_thresh": (1, 1, 255),
    b"tcp_plb_cong_thresh": (128, 0, 256),
    b"tcp_plb_enabled": (0, *_SWITCH),
    b"tcp_plb_idle_rehash_rounds": (3, 0, 31),
    b"tcp_plb_rehash_rounds": (12, 0, 31),
    b"tcp_plb_suspend_rto_sec": (60, *_BYTE),
    b"tcp_probe_interval": (600, 0, 0xFFFF_FFFF // 250),
    b"tcp_probe_threshold": (8, *_ANY),
    b"tcp_recovery": (1, *_BYTE),
    b"tcp_retrans_collapse": (1, *_BYTE),
    b"tcp_retries1": (3, *_BYTE),
    b"tcp_rfc1337": (0, *_BYTE),
    b"tcp_shrink_window": (0, *_SWITCH),
    b"tcp_slow_start_after_idle": (1, *_BYTE),
    b"tcp_synack_retries": (5, *_BYTE),
    b"tcp_thin_linear_timeouts": (0, *_BYTE),
    b"tcp_tso_rtt_log": (9, *_BYTE),
    b"tcp_tso_win_divisor": (3, *_BYTE),
    b"tcp_workaround_signed_windows": (0, *_BYTE),
    b"udp_early_demux": (1, *_BYTE),
    b"udp_l3mdev_accept": (0, *_SWITCH),
}
"""Settings that are kept and that nothing comes of: nothing is lost on the way, comes out of order, is held
up or paced, and the answer to a SYN comes at once; there are no domains of routing, nor hardware that routes.
What each is at first, at least and at most.
"""
BOUNDS = {
    HOP_LIMIT: (1, 255),
    **{
        protocol + name: (0, NO_BOUND)
        for protocol in (b"neigh4/", b"neigh6/")
        for name in _NEIGHBOUR_SETTINGS
    },
    b"neigh4/delay_first_probe_time": (-NO_BOUND, NO_BOUND),
    b"neigh6/delay_first_probe_time": (-NO_BOUND, NO_BOUND),
}
"""Between what the settings are that aren't just any number."""


class NetworkSysctls:
    """The settings of one network (in Linux, struct netns_ipv4 and netns_ipv6).

    `forwards_4` and `forwards_6` are ip_forward and conf/all/forwarding; `ping_groups` the first and last
    group that may send echo requests (ping_group_range); `first_free_port` ip_unprivileged_port_start;
    `first_ephemeral` and `last_ephemeral` ip_local_port_range; `binds_anywhere` ip_nonlocal_bind;
    `ignores_echo` icmp_echo_ignore_all; `time_to_live` ip_default_ttl; `tells_data` tstamp_allow_data;
    `automatic_labels` auto_flowlabels; `is_ipv6_only` bindv6only; `most_backlog` core/somaxconn, up to which
    connections wait to be accepted; `queue_length` unix/max_dgram_qlen, that of local sockets at first;
    `fast_open` tcp_fastopen, and `fast_open_keys` tcp_fastopen_key; `congestion_control` the number of
    tcp_congestion_control's; `final_wait_s` tcp_fin_timeout, `most_waiting` tcp_max_tw_buckets;
    `keepalive_s`, `keepalive_interval_s` and `keepalive_probes` the three of tcp_keepalive_*;
    `longest_retry_ms` and `shortest_retry_us` tcp_rto_max_ms and tcp_rto_min_us; `not_sent_low_water`
    tcp_notsent_lowat; `send_rooms` and `receive_rooms` tcp_wmem and tcp_rmem; `has_no_discovery`
    ip_no_pmtu_disc; `reserved_ports` a bit for each port of ip_local_reserved_ports, b"" for none;
    `has_tcp_timestamps`, `has_selective_acknowledgements` and `scales_windows` are tcp_timestamps, tcp_sack
    and tcp_window_scaling, what SYNs offer; `syn_retries` is tcp_syn_retries, `linear_syn_retries`
    tcp_syn_linear_timeouts; `most_groups` igmp_max_memberships and `most_sources` igmp_max_msf;
    `option_bytes` core/optmem_max; `binds_anywhere_6` and `ignores_echo_6` are IPv6's own.
    `aborts_on_overflow` is tcp_abort_on_overflow, `syn_cookies` tcp_syncookies and `most_requests`
    tcp_max_syn_backlog; `reordering` is tcp_reordering, `least_segment_bytes` tcp_min_snd_mss,
    `orphan_retries` tcp_orphan_retries; `reflects_service` is tcp_reflect_tos and `takes_marks`
    tcp_fwmark_accept, `reflects_marks` and `reflects_marks_6` are fwmark_reflect;
    `port_reuse` and `port_reuse_ms` are tcp_tw_reuse and tcp_tw_reuse_delay. `kept` are
    those of KEPT that were set.
    `ignores_echo_to_all` is icmp_echo_ignore_broadcasts and `ignores_echo_to_groups_6`
    icmp/echo_ignore_multicast, `retries` is tcp_retries2; `most_hop_options` and `most_end_options` are
    max_hbh_opts_number and max_dst_opts_number, and `most_hop_bytes` and `most_end_bytes` the lengths beside
    them. `multipath_policy` and `multipath_policy_6` are fib_multipath_hash_policy, `multipath_fields` and
    `multipath_fields_6` fib_multipath_hash_fields, `multipath_uses_neighbours` fib_multipath_use_neigh and
    `multipath_seed` fib_multipath_hash_seed; by `multipath_key` flows choose, which is made for the first
    route with several ways. `tells_next_hops` is nexthop_compat_mode.
    `of_every` are those of INTERFACE_SETTINGS that are set for all interfaces, `of_new` what a new one has.
    """

    __slots__ = (
        "aborts_on_overflow",
        "automatic_labels",
        "binds_anywhere",
        "binds_anywhere_6",
        "congestion_control",
        "fast_open",
        "fast_open_keys",
        "final_wait_s",
        "first_ephemeral",
        "first_free_port",
        "forwards_4",
        "forwards_6",
        "has_no_discovery",
        "has_selective_acknowledgements",
        "has_tcp_timestamps",
        "ignores_echo",
        "ignores_echo_6",
        "ignores_echo_to_all",
        "ignores_echo_to_groups_6",
        "is_ipv6_only",
        "keepalive_interval_s",
        "keepalive_probes",
        "keepalive_s",
        "kept",
        "least_segment_bytes",
        "linear_syn_retries",
        "last_ephemeral",
        "longest_retry_ms",
        "most_backlog",
        "most_end_bytes",
        "most_end_options",
        "most_groups",
        "most_hop_bytes",
        "most_hop_options",
        "most_requests",
        "most_sources",
        "most_waiting",
        "multipath_fields",
        "multipath_fields_6",
        "multipath_key",
        "multipath_policy",
        "multipath_policy_6",
        "multipath_seed",
        "multipath_uses_neighbours",
        "not_sent_low_water",
        "of_every",
        "of_new",
        "option_bytes",
        "orphan_retries",
        "ping_groups",
        "port_reuse",
        "port_reuse_ms",
        "queue_length",
        "receive_rooms",
        "reflects_marks",
        "reflects_marks_6",
        "reflects_service",
        "reordering",
        "reserved_ports",
        "retries",
        "scales_windows",
        "send_rooms",
        "shortest_retry_us",
        "syn_cookies",
        "syn_retries",
        "takes_marks",
        "tells_data",
        "tells_next_hops",
        "time_to_live",
    )

    def __init__(self) -> None:
        self.aborts_on_overflow = 0
        self.automatic_labels = 1
        self.binds_anywhere = self.binds_anywhere_6 = 0
        self.congestion_control = CUBIC
        self.final_wait_s = 60
        self.fast_open = 1
        self.fast_open_keys: tuple[bytes, ...] = ()
        self.first_ephemeral, self.last_ephemeral = FIRST_EPHEMERAL, LAST_EPHEMERAL
        self.first_free_port = 1_024
        self.forwards_4 = 0
        self.forwards_6 = 0
        self.has_no_discovery = 0
        self.has_selective_acknowledgements = self.has_tcp_timestamps = self.scales_windows = 1
        self.ignores_echo = self.ignores_echo_6 = self.ignores_echo_to_groups_6 = 0
        self.ignores_echo_to_all = 1
        self.is_ipv6_only = 0
        self.keepalive_s, self.keepalive_interval_s, self.keepalive_probes = 7_200, 75, 9
        self.longest_retry_ms, self.shortest_retry_us = 120_000, 200_000
        self.most_backlog = SOMAXCONN
        self.kept: dict[bytes, int] = {}
        self.least_segment_bytes, self.reordering = 48, 3
        self.most_groups, self.most_sources = 20, 10
        self.most_requests, self.syn_cookies = 256, 1
        self.orphan_retries = self.reflects_service = self.takes_marks = 0
        self.reflects_marks = self.reflects_marks_6 = 0
        self.port_reuse, self.port_reuse_ms = _REUSED_ON_LOOPBACK, 1_000
        self.most_hop_options = self.most_end_options = 8
        self.most_hop_bytes = self.most_end_bytes = NO_BOUND
        self.most_waiting = 16_384
        self.multipath_fields = self.multipath_fields_6 = FIRST_FIELDS
        self.multipath_policy = self.multipath_policy_6 = self.multipath_uses_neighbours = 0
        self.multipath_seed = 0
        self.multipath_key = b""
        self.not_sent_low_water = NO_LOW_WATER
        self.option_bytes = 131_072
        self.ping_groups = NO_GROUPS
        self.queue_length = DATAGRAM_QUEUE_LENGTH
        self.receive_rooms, self.send_rooms = RECEIVE_ROOMS, SEND_ROOMS
        self.reserved_ports = b""
        self.retries = 15
        self.syn_retries, self.linear_syn_retries = 6, 4
        self.tells_data = self.tells_next_hops = 1
        self.of_every = INTERFACE_SETTINGS.copy()
        self.of_new = INTERFACE_SETTINGS.copy()
        self.time_to_live = 64

    def of_all(self, key: bytes) -> int:
        """What conf/all says."""
        if key in FORWARDING:
            return self.forwards_4 if key == FORWARDING[0] else self.forwards_6
        return self.of_every[key]

    def set_all(self, key: bytes, value: int) -> None:
        """Set it; forwarding and the end of IPv6 are new interfaces' too.

        Linux: net/ipv4/devinet.c, inet_forward_change; net/ipv6/addrconf.c, addrconf_fixup_forwarding,
        addrconf_disable_ipv6.
        """
        if key == FORWARDING[0]:
            self.forwards_4 = self.of_new[key] = value
        elif key == FORWARDING[1]:
            self.forwards_6 = self.of_new[key] = value
        else:
            self.of_every[key] = value
            if key == DISABLE_IPV6:
                self.of_new[key] = value
