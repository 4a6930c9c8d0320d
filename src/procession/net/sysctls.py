"""What may be set of a network by sysctl(8), as /proc/sys/net."""

from __future__ import annotations

from procession.abi.duration import HZ

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
ARP_FILTER, ARP_ACCEPT, DROP_GRATUITOUS = (
    b"ipv4/arp_filter",
    b"ipv4/arp_accept",
    b"ipv4/drop_gratuitous_arp",
)
PROXY_ARP, PROXY_ARP_PVLAN, MEDIUM = b"ipv4/proxy_arp", b"ipv4/proxy_arp_pvlan", b"ipv4/medium_id"
PROXY_NDP = b"ipv6/proxy_ndp"
"""For whom ARP and its like answer though others are asked for."""
EVICT = (b"ipv4/arp_evict_nocarrier", b"ipv6/ndisc_evict_nocarrier")
"""Whether neighbours are forgotten with the wire."""
ONLY_TO_GROUPS = (b"ipv4/drop_unicast_in_l2_multicast", b"ipv6/drop_unicast_in_l2_multicast")
"""Whether frames for all bring no packets that are for one."""
IGNORE_LINKDOWN = (b"ipv4/ignore_routes_with_linkdown", b"ipv6/ignore_routes_with_linkdown")
_ASKS_FOR_OWN, _ACCEPT_REDIRECTS = b"ipv6/accept_dad", b"ipv4/accept_redirects"
_USES_TEMPORARY = b"ipv6/use_tempaddr"
_WITHOUT_POLICY, _WITHOUT_TRANSFORM = b"ipv4/disable_policy", b"ipv4/disable_xfrm"
ADDRESS_MODE, KEEP_ADDRESSES = b"ipv6/addr_gen_mode", b"ipv6/keep_addr_on_down"
ONLY_OUTGOING, MTU, FORCE_FORWARDING = b"ipv6/use_oif_addrs_only", b"ipv6/mtu", b"ipv6/force_forwarding"
GROUP_FORWARDING = (b"ipv4/mc_forwarding", b"ipv6/mc_forwarding")
"""What multicast routers set, of which there are none."""
EUI64, NO_ADDRESS, STABLE_PRIVACY, RANDOM = range(4)
"""ADDRESS_MODE: what the address on its link is that an interface gets by itself."""
GIVEN_TO_EACH_6 = (DISABLE_IPV6, ADDRESS_MODE, FORCE_FORWARDING, IGNORE_LINKDOWN[1])
"""What is set of all is set of each interface, and but for the last but one of new ones."""
LEAST_MTU = 1_280
FORCED_VERSION = (b"ipv4/force_igmp_version", b"ipv6/force_mld_version")
"""Which version of IGMP and MLD is spoken whatever routers speak, 0 for none."""
REPORT_INTERVALS = (
    b"ipv4/igmpv2_unsolicited_report_interval",
    b"ipv4/igmpv3_unsolicited_report_interval",
    b"ipv6/mldv1_unsolicited_report_interval",
    b"ipv6/mldv2_unsolicited_report_interval",
)
"""Within how many milliseconds routers are told again of groups, in the older versions and in the newest."""
_NEIGHBOUR_SETTINGS = {
    b"anycast_delay_ms": 1_000,
    b"app_solicit": 0,
    b"base_reachable_time_ms": 30_000,
    b"delay_first_probe_time": 5,
    b"gc_stale_time": 60,
    b"interval_probe_time_ms": 5_000,
    b"locktime_ms": 1_000,
    b"mcast_resolicit": 0,
    b"mcast_solicit": 3,
    b"proxy_delay_ms": 800,
    b"proxy_qlen": 64,
    b"retrans_time_ms": 1_000,
    b"ucast_solicit": 3,
    b"unres_qlen_bytes": 212_992,
}
"""How often programs are asked; how long a neighbour counts as confirmed; how many seconds one that is
doubted is used; how long nobody else is believed to have his address; how often all are asked for him, once
nobody is known, and then yet again; how long an answer is waited for; how often he is asked alone; and what
packets that wait for him may take. Answers for others are given at once, whatever
anycast_delay, proxy_delay and proxy_qlen say, who is known isn't asked at intervals, and who hasn't been
needed for gc_stale_time isn't forgotten."""


class NeighbourKeys:
    """What the settings of one protocol's neighbours are called."""

    __slots__ = (
        "alone",
        "answer_ms",
        "confirmed_ms",
        "doubted_s",
        "known",
        "locked_ms",
        "programs",
        "unknown",
        "waiting_bytes",
    )

    def __init__(self, protocol: bytes) -> None:
        self.confirmed_ms, self.doubted_s = (
            protocol + b"base_reachable_time_ms",
            protocol + b"delay_first_probe_time",
        )
        self.known, self.unknown = protocol + b"mcast_resolicit", protocol + b"mcast_solicit"
        self.answer_ms, self.alone = protocol + b"retrans_time_ms", protocol + b"ucast_solicit"
        self.waiting_bytes = protocol + b"unres_qlen_bytes"
        self.programs, self.locked_ms = protocol + b"app_solicit", protocol + b"locktime_ms"


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
    ARP_ACCEPT: 0,
    ARP_FILTER: 0,
    EVICT[0]: 1,
    DROP_GRATUITOUS: 0,
    ONLY_TO_GROUPS[0]: 0,
    IGNORE_LINKDOWN[0]: 0,
    GROUP_FORWARDING[0]: 0,
    MEDIUM: 0,
    PROXY_ARP: 0,
    PROXY_ARP_PVLAN: 0,
    _ACCEPT_REDIRECTS: 1,
    b"ipv4/arp_notify": 0,
    b"ipv4/bootp_relay": 0,
    _WITHOUT_POLICY: 0,
    _WITHOUT_TRANSFORM: 0,
    FORCED_VERSION[0]: 0,
    REPORT_INTERVALS[0]: 10_000,
    REPORT_INTERVALS[1]: 1_000,
    b"ipv4/secure_redirects": 1,
    b"ipv4/send_redirects": 1,
    b"ipv4/shared_media": 1,
    b"ipv4/tag": 0,
    FORWARDING[1]: 0,
    _ASKS_FOR_OWN: 1,
    b"ipv6/accept_ra": 1,
    b"ipv6/accept_redirects": 1,
    b"ipv6/accept_ra_defrtr": 1,
    b"ipv6/accept_ra_from_local": 0,
    b"ipv6/accept_ra_min_hop_limit": 1,
    b"ipv6/accept_ra_min_lft": 0,
    b"ipv6/accept_ra_mtu": 1,
    b"ipv6/accept_ra_pinfo": 1,
    b"ipv6/accept_ra_rt_info_max_plen": 0,
    b"ipv6/accept_ra_rt_info_min_plen": 0,
    b"ipv6/accept_ra_rtr_pref": 1,
    b"ipv6/accept_source_route": 0,
    b"ipv6/accept_untracked_na": 0,
    ADDRESS_MODE: EUI64,
    b"ipv6/autoconf": 1,
    b"ipv6/dad_transmits": 1,
    DISABLE_IPV6: 0,
    b"ipv6/disable_policy": 0,
    ONLY_TO_GROUPS[1]: 0,
    b"ipv6/drop_unsolicited_na": 0,
    b"ipv6/enhanced_dad": 1,
    FORCE_FORWARDING: 0,
    FORCED_VERSION[1]: 0,
    b"ipv6/force_tllao": 0,
    HOP_LIMIT: 64,
    IGNORE_LINKDOWN[1]: 0,
    KEEP_ADDRESSES: 0,
    b"ipv6/max_addresses": 16,
    b"ipv6/max_desync_factor": 600,
    GROUP_FORWARDING[1]: 0,
    REPORT_INTERVALS[2]: 10_000,
    REPORT_INTERVALS[3]: 1_000,
    MTU: LEAST_MTU,
    EVICT[1]: 1,
    b"ipv6/ndisc_notify": 0,
    b"ipv6/ndisc_tclass": 0,
    b"ipv6/optimistic_dad": 0,
    PROXY_NDP: 0,
    b"ipv6/ra_defrtr_metric": 1_024,
    b"ipv6/ra_honor_pio_life": 0,
    b"ipv6/ra_honor_pio_pflag": 0,
    b"ipv6/regen_max_retry": 3,
    b"ipv6/regen_min_advance": 2,
    b"ipv6/router_probe_interval": 60,
    b"ipv6/router_solicitation_delay": 1,
    b"ipv6/router_solicitation_interval": 4,
    b"ipv6/router_solicitation_max_interval": 3_600,
    b"ipv6/router_solicitations": -1,
    b"ipv6/suppress_frag_ndisc": 1,
    b"ipv6/temp_prefered_lft": 86_400,
    b"ipv6/temp_valid_lft": 604_800,
    ONLY_OUTGOING: 0,
    b"ipv6/use_optimistic": 0,
    _USES_TEMPORARY: 0,
    **{b"neigh4/" + name: value for name, value in _NEIGHBOUR_SETTINGS.items()},
    **{b"neigh6/" + name: value for name, value in _NEIGHBOUR_SETTINGS.items()},
    b"neigh6/locktime_ms": 0,
}
"""The settings of an interface and what they are at first. Of arp_notify and those about IPv6's addresses,
routers and messages to neighbours nothing comes: nobody asks whether an address is taken, no router
advertises itself, so that there are no temporary addresses, neighbours of IPv6 are found without messages,
and no packet of IPv6 says by which way it wants to go (accept_source_route). There are no policies of IPsec
(disable_policy, disable_xfrm), and Linux doesn't do anything by bootp_relay. A tag means what programs want.
Routers here tell nobody of a better way, and nobody listens to that (the four about redirects).
"""
_OF_EVERY = {_ASKS_FOR_OWN: 0}
"""What is set of all at first, where it's something else."""
WITH_ARP, WITHOUT_ARP, OF_LOOPBACK = range(3)
_FIRST_OF_KIND: tuple[dict[bytes, int], ...] = (
    {},
    {_ASKS_FOR_OWN: -1},
    {_ASKS_FOR_OWN: -1, _USES_TEMPORARY: -1, _WITHOUT_POLICY: 1, _WITHOUT_TRANSFORM: 1},
)
"""What those kinds of interfaces have at first, whatever is set for new ones.

Linux: net/ipv6/addrconf.c, ipv6_add_dev; net/ipv4/devinet.c, inetdev_event.
"""
NOT_TAKEN_OVER = (
    FORWARDING[0],
    ROUTE_LOCALNET,
    PROMOTE_SECONDARIES,
    ONLY_TO_GROUPS[0],
    _WITHOUT_POLICY,
    _WITHOUT_TRANSFORM,
)
"""What of IPv4 is set for new interfaces and isn't those's that are there.

Linux: net/ipv4/devinet.c, ipv4_doint_and_flush, devinet_sysctl_forward.
"""
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
_REUSED_ON_LOOPBACK = _WHERE_ASKED = 2
_LIMITED_MESSAGES, _LIMITED_MESSAGES_6 = 0x1818, ((1 << 128) - 1) & ~(1 << 2)
"""Unreachable, quenched, expired and bad; of ICMPv6 all errors but of packets that are too long."""
TIMEOUTS_S = {
    b"generic_timeout": 600,
    b"icmp_timeout": 30,
    b"icmpv6_timeout": 30,
    b"tcp_timeout_close": 10,
    b"tcp_timeout_close_wait": 60,
    b"tcp_timeout_established": 432_000,
    b"tcp_timeout_fin_wait": 120,
    b"tcp_timeout_last_ack": 30,
    b"tcp_timeout_syn_recv": 60,
    b"tcp_timeout_syn_sent": 120,
    b"tcp_timeout_time_wait": 120,
    b"udp_timeout": 30,
    b"udp_timeout_stream": 120,
}
"""net.netfilter.nf_conntrack_*: how long a tracked connection is remembered after a packet, by its state."""
MOST_SECONDS = NO_BOUND // HZ
"""What an int holds in ticks."""
BOUNDS = {
    HOP_LIMIT: (1, 255),
    b"ipv6/accept_untracked_na": (0, 2),
    ADDRESS_MODE: (EUI64, RANDOM),
    FORCE_FORWARDING: (0, 1),
    MTU: (LEAST_MTU, NO_BOUND),
    REPORT_INTERVALS[2]: (0, NO_BOUND),
    REPORT_INTERVALS[3]: (0, NO_BOUND),
    EVICT[1]: (0, 1),
    b"ipv6/ndisc_tclass": (0, 255),
    b"ipv6/ra_defrtr_metric": (1, 0xFFFF_FFFF),
    b"ipv6/ra_honor_pio_life": (0, 1),
    b"ipv6/ra_honor_pio_pflag": (0, 1),
    b"ipv6/router_probe_interval": (-MOST_SECONDS, MOST_SECONDS),
    b"ipv6/router_solicitation_delay": (-MOST_SECONDS, MOST_SECONDS),
    b"ipv6/router_solicitation_interval": (-MOST_SECONDS, MOST_SECONDS),
    b"ipv6/router_solicitation_max_interval": (-MOST_SECONDS, MOST_SECONDS),
    b"ipv6/router_solicitations": (-1, NO_BOUND),
    **{
        protocol + name: (0, NO_BOUND)
        for protocol in (b"neigh4/", b"neigh6/")
        for name in _NEIGHBOUR_SETTINGS
    },
    **{
        protocol + name: (-MOST_SECONDS, MOST_SECONDS)
        for protocol in (b"neigh4/", b"neigh6/")
        for name in (b"delay_first_probe_time", b"gc_stale_time")
    },
    b"neigh4/interval_probe_time_ms": (1, NO_BOUND),
    b"neigh6/interval_probe_time_ms": (1, NO_BOUND),
}
"""Between what the settings are that aren't just any number."""
TAKEN_WHOLE = (
    *(ADDRESS_MODE, FORCE_FORWARDING, EVICT[1]),
    *(b"ipv6/ra_defrtr_metric", b"ipv6/ra_honor_pio_life", b"ipv6/ra_honor_pio_pflag"),
)
"""Those that have no sign, so that whatever is behind the number is taken with it."""


class OwnSettings:
    """What INTERFACE_SETTINGS are for one interface, for all or for new ones: `changed` are those that differ
    or that were set, of which a program can choose those of an interface alone (`chosen`, a bit for each).
    `kind` is what kind of interface it is as to what it has at first."""

    __slots__ = ("changed", "chosen", "kind")

    def __init__(self, changed: dict[bytes, int], kind: int = WITH_ARP) -> None:
        self.changed = changed
        self.chosen = 0
        self.kind = kind

    def __getitem__(self, key: bytes) -> int:
        found = self.changed.get(key)
        if found is None:
            found = _FIRST_OF_KIND[self.kind].get(key)
        return INTERFACE_SETTINGS[key] if found is None else found

    def __setitem__(self, key: bytes, value: int) -> None:
        self.changed[key] = value

    def choose(self, key: bytes) -> None:
        """Somebody has set it of this interface."""
        self.chosen |= 1 << _PLACES[key]

    def is_chosen(self, key: bytes) -> bool:
        """Whether somebody has."""
        return bool(self.chosen >> _PLACES[key] & 1)

    @property
    def inherited_count(self) -> int:
        """How many a copy has."""
        return len(self.changed) - (MTU in self.changed)

    def copy(self, kind: int) -> OwnSettings:
        """Those of a new interface, of which nothing was chosen yet. Each has the MTU that it has, and what
        those of its kind have at first, whatever is set for new ones."""
        changed = self.changed.copy()
        changed.pop(MTU, None)
        for key, value in _FIRST_OF_KIND[kind].items():
            if key in changed:
                changed[key] = value
        return OwnSettings(changed, kind)


_PLACES = {key: place for place, key in enumerate(INTERFACE_SETTINGS)}


class NetworkSysctls:
    """The settings of one network (in Linux, struct netns_ipv4 and netns_ipv6).

    `forwards_4` and `forwards_6` are ip_forward and conf/all/forwarding; `ping_groups` the first and last
    group that may send echo requests (ping_group_range); `first_free_port` ip_unprivileged_port_start;
    `first_ephemeral` and `last_ephemeral` ip_local_port_range; `binds_anywhere` ip_nonlocal_bind;
    `ignores_echo` icmp_echo_ignore_all; `time_to_live` ip_default_ttl; `tells_data` tstamp_allow_data;
    `automatic_labels` auto_flowlabels; `is_ipv6_only` bindv6only; `most_backlog` core/somaxconn, up to which
    connections wait to be accepted; `queue_length` unix/max_dgram_qlen, that of local sockets at first;
    `fast_open` tcp_fastopen, and `fast_open_keys` tcp_fastopen_key; `congestion_control` the number of
    tcp_congestion_control's; `congestion_news` tcp_ecn;
    `final_wait_s` tcp_fin_timeout, `most_waiting` tcp_max_tw_buckets;
    `keepalive_s`, `keepalive_interval_s` and `keepalive_probes` the three of tcp_keepalive_*;
    `longest_retry_ms` and `shortest_retry_us` tcp_rto_max_ms and tcp_rto_min_us; `not_sent_low_water`
    tcp_notsent_lowat; `send_rooms` and `receive_rooms` tcp_wmem and tcp_rmem; `has_no_discovery`
    ip_no_pmtu_disc; `reserved_ports` a bit for each port of ip_local_reserved_ports, b"" for none;
    `has_tcp_timestamps`, `has_selective_acknowledgements` and `scales_windows` are tcp_timestamps, tcp_sack
    and tcp_window_scaling, what SYNs offer; `syn_retries` is tcp_syn_retries, `linear_syn_retries`
    tcp_syn_linear_timeouts; `most_groups` igmp_max_memberships and `most_sources` igmp_max_msf;
    `igmp_robustness` igmp_qrv and `tells_local_groups` igmp_link_local_mcast_reports;
    `option_bytes` core/optmem_max; `binds_anywhere_6` and `ignores_echo_6` are IPv6's own.
    `aborts_on_overflow` is tcp_abort_on_overflow, `syn_cookies` tcp_syncookies and `most_requests`
    tcp_max_syn_backlog; `reordering` is tcp_reordering, `least_segment_bytes` tcp_min_snd_mss,
    `orphan_retries` tcp_orphan_retries; `reflects_service` is tcp_reflect_tos and `takes_marks`
    tcp_fwmark_accept, `reflects_marks` and `reflects_marks_6` are fwmark_reflect;
    `port_reuse` and `port_reuse_ms` are tcp_tw_reuse and tcp_tw_reuse_delay; `moderates_room` is
    tcp_moderate_rcvbuf, `answers_needed` tcp_pingpong_thresh,
    `reuses_chosen_ports` ip_autobind_reuse. `kept` are
    those of KEPT that were set.
    `icmp_mask` and `icmp_mask_6` are ratemask, a bit for each type of ICMP's messages that are limited,
    `icmp_pause_ms` and `icmp_pause_ms_6` ratelimit, and `icmp_per_second` and `icmp_burst` icmp_msgs_per_sec
    and icmp_msgs_burst.
    `ignores_echo_to_all` is icmp_echo_ignore_broadcasts and `ignores_echo_to_groups_6`
    icmp/echo_ignore_multicast, `ignores_echo_to_anycast` icmp/echo_ignore_anycast and
    `answers_from_anycast` anycast_src_echo_reply, `marks_automatic_labels` flowlabel_state_ranges;
    `retries` is tcp_retries2; `most_hop_options` and `most_end_options` are
    max_hbh_opts_number and max_dst_opts_number, and `most_hop_bytes` and `most_end_bytes` the lengths beside
    them. `multipath_policy` and `multipath_policy_6` are fib_multipath_hash_policy, `multipath_fields` and
    `multipath_fields_6` fib_multipath_hash_fields, `multipath_uses_neighbours` fib_multipath_use_neigh and
    `multipath_seed` fib_multipath_hash_seed; by `multipath_key` flows choose, which is made for the first
    route with several ways. `tells_next_hops` is nexthop_compat_mode.
    `is_loose` is nf_conntrack_tcp_loose, whether connections are tracked from the middle on, and
    `tells_connections` nf_conntrack_events; `timeouts_s` are those of TIMEOUTS_S that were set.
    `of_every` are those of INTERFACE_SETTINGS that are set for all interfaces, `of_new` what a new one has.
    """

    __slots__ = (
        "aborts_on_overflow",
        "answers_from_anycast",
        "answers_needed",
        "automatic_labels",
        "binds_anywhere",
        "binds_anywhere_6",
        "congestion_control",
        "congestion_news",
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
        "icmp_burst",
        "icmp_mask",
        "icmp_mask_6",
        "icmp_pause_ms",
        "icmp_pause_ms_6",
        "icmp_per_second",
        "igmp_robustness",
        "ignores_echo",
        "ignores_echo_6",
        "ignores_echo_to_all",
        "ignores_echo_to_anycast",
        "ignores_echo_to_groups_6",
        "is_ipv6_only",
        "is_loose",
        "keepalive_interval_s",
        "keepalive_probes",
        "keepalive_s",
        "kept",
        "least_segment_bytes",
        "linear_syn_retries",
        "last_ephemeral",
        "longest_retry_ms",
        "marks_automatic_labels",
        "moderates_room",
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
        "reuses_chosen_ports",
        "scales_windows",
        "send_rooms",
        "shortest_retry_us",
        "syn_cookies",
        "syn_retries",
        "takes_marks",
        "tells_connections",
        "tells_data",
        "tells_local_groups",
        "tells_next_hops",
        "time_to_live",
        "timeouts_s",
    )

    def __init__(self) -> None:
        self.aborts_on_overflow = 0
        self.automatic_labels = 1
        self.binds_anywhere = self.binds_anywhere_6 = 0
        self.congestion_control = CUBIC
        self.congestion_news = _WHERE_ASKED
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
        self.ignores_echo_to_anycast = self.answers_from_anycast = 0
        self.marks_automatic_labels = self.reuses_chosen_ports = 0
        self.icmp_mask, self.icmp_mask_6 = _LIMITED_MESSAGES, _LIMITED_MESSAGES_6
        self.icmp_pause_ms, self.icmp_pause_ms_6 = 1_000, 100
        self.icmp_per_second, self.icmp_burst = 1_000, 50
        self.is_ipv6_only = 0
        self.is_loose = 1
        self.tells_connections = 2
        self.timeouts_s: dict[bytes, int] = {}
        self.keepalive_s, self.keepalive_interval_s, self.keepalive_probes = 7_200, 75, 9
        self.longest_retry_ms, self.shortest_retry_us = 120_000, 200_000
        self.most_backlog = SOMAXCONN
        self.kept: dict[bytes, int] = {}
        self.least_segment_bytes, self.reordering = 48, 3
        self.most_groups, self.most_sources = 20, 10
        self.igmp_robustness, self.tells_local_groups = 2, 1
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
        self.moderates_room = self.answers_needed = 1
        self.not_sent_low_water = NO_LOW_WATER
        self.option_bytes = 131_072
        self.ping_groups = NO_GROUPS
        self.queue_length = DATAGRAM_QUEUE_LENGTH
        self.receive_rooms, self.send_rooms = RECEIVE_ROOMS, SEND_ROOMS
        self.reserved_ports = b""
        self.retries = 15
        self.syn_retries, self.linear_syn_retries = 6, 4
        self.tells_data = self.tells_next_hops = 1
        self.of_every = OwnSettings(_OF_EVERY.copy())
        self.of_new = OwnSettings({})
        self.time_to_live = 64

    def inherit(self, first: NetworkSysctls) -> None:
        """Settings of IPv4, and of new interfaces' neighbours, are those of the machine's first network."""
        self.forwards_4 = first.forwards_4
        for own, its, parts in (
            (self.of_every, first.of_every, (b"ipv4",)),
            (self.of_new, first.of_new, (b"ipv4", b"neigh4", b"neigh6")),
        ):
            for key, value in its.changed.items():
                if key.partition(b"/")[0] in parts:
                    own[key] = value

    def timeout_s(self, name: bytes) -> int:
        """How long a connection of that state is remembered after a packet."""
        found = self.timeouts_s.get(name)
        return TIMEOUTS_S[name] if found is None else found

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
            if value != self.forwards_4:
                # Routers choose for themselves.
                self.of_every[_ACCEPT_REDIRECTS] = int(not value)
            self.forwards_4 = self.of_new[key] = value
        elif key == FORWARDING[1]:
            self.forwards_6 = self.of_new[key] = value
        else:
            self.of_every[key] = value
            if key in GIVEN_TO_EACH_6 and key != FORCE_FORWARDING:
                self.of_new[key] = value
