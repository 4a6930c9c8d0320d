"""Settings of a network that are kept and that nothing comes of."""

from __future__ import annotations

from procession.net.sysctls import MOST_SECONDS, NO_BOUND

_ANY, _BYTE, _SWITCH, _LONG = (-NO_BOUND - 1, NO_BOUND), (0, 255), (0, 1), (0, 0xFFFF_FFFF_FFFF_FFFF)
_SECONDS = -MOST_SECONDS, MOST_SECONDS
_MOST_CHILD_SOCKETS, _MOST_CHILD_PORTS = 16 << 20, 1 << 16
KEPT = {
    b"ipv4/fib_notify_on_flag_change": (0, 0, 2),
    b"ipv4/icmp_ignore_bogus_error_responses": (1, *_SWITCH),
    b"ipv4/ip_dynaddr": (0, *_BYTE),
    b"ipv4/ip_early_demux": (1, *_BYTE),
    b"ipv4/ip_forward_update_priority": (1, *_SWITCH),
    b"ipv4/ip_forward_use_pmtu": (0, *_BYTE),
    b"ipv4/ipfrag_max_dist": (64, 0, NO_BOUND),
    b"ipv4/ipfrag_time": (30, *_SECONDS),
    b"ipv4/raw_l3mdev_accept": (1, *_SWITCH),
    b"ipv4/tcp_adv_win_scale": (1, -31, 31),
    b"ipv4/tcp_app_win": (31, 0, 31),
    b"ipv4/tcp_autocorking": (1, *_SWITCH),
    b"ipv4/tcp_backlog_ack_defer": (1, *_SWITCH),
    b"ipv4/tcp_base_mss": (1_024, *_ANY),
    b"ipv4/tcp_challenge_ack_limit": (NO_BOUND, *_ANY),
    b"ipv4/tcp_child_ehash_entries": (0, 0, _MOST_CHILD_SOCKETS),
    b"ipv4/tcp_comp_sack_delay_ns": (1_000_000, *_LONG),
    b"ipv4/tcp_comp_sack_nr": (44, *_BYTE),
    b"ipv4/tcp_comp_sack_slack_ns": (100_000, *_LONG),
    b"ipv4/tcp_dsack": (1, *_BYTE),
    b"ipv4/tcp_early_demux": (1, *_BYTE),
    b"ipv4/tcp_early_retrans": (3, 0, 4),
    b"ipv4/tcp_ecn_fallback": (1, *_SWITCH),
    b"ipv4/tcp_ecn_option": (2, 0, 2),
    b"ipv4/tcp_ecn_option_beacon": (3, 0, 3),
    b"ipv4/tcp_fack": (0, *_BYTE),
    b"ipv4/tcp_fastopen_blackhole_timeout_sec": (0, 0, NO_BOUND),
    b"ipv4/tcp_frto": (2, *_BYTE),
    b"ipv4/tcp_invalid_ratelimit": (500, 0, NO_BOUND),
    b"ipv4/tcp_l3mdev_accept": (0, *_SWITCH),
    b"ipv4/tcp_limit_output_bytes": (4 << 20, *_ANY),
    b"ipv4/tcp_max_reordering": (300, 1, NO_BOUND),
    b"ipv4/tcp_min_rtt_wlen": (300, 0, 86_400),
    b"ipv4/tcp_min_tso_segs": (2, 1, 255),
    b"ipv4/tcp_mtu_probe_floor": (48, 48, 65_535),
    b"ipv4/tcp_mtu_probing": (0, *_BYTE),
    b"ipv4/tcp_no_metrics_save": (0, *_BYTE),
    b"ipv4/tcp_no_ssthresh_metrics_save": (1, *_SWITCH),
    b"ipv4/tcp_pacing_ca_ratio": (120, 0, 1_000),
    b"ipv4/tcp_pacing_ss_ratio": (200, 0, 1_000),
    b"ipv4/tcp_plb_cong_thresh": (128, 0, 256),
    b"ipv4/tcp_plb_enabled": (0, *_SWITCH),
    b"ipv4/tcp_plb_idle_rehash_rounds": (3, 0, 31),
    b"ipv4/tcp_plb_rehash_rounds": (12, 0, 31),
    b"ipv4/tcp_plb_suspend_rto_sec": (60, *_BYTE),
    b"ipv4/tcp_probe_interval": (600, 0, 0xFFFF_FFFF // 250),
    b"ipv4/tcp_probe_threshold": (8, *_ANY),
    b"ipv4/tcp_recovery": (1, *_BYTE),
    b"ipv4/tcp_retrans_collapse": (1, *_BYTE),
    b"ipv4/tcp_retries1": (3, *_BYTE),
    b"ipv4/tcp_rfc1337": (0, *_BYTE),
    b"ipv4/tcp_shrink_window": (0, *_SWITCH),
    b"ipv4/tcp_slow_start_after_idle": (1, *_BYTE),
    b"ipv4/tcp_synack_retries": (5, *_BYTE),
    b"ipv4/tcp_thin_linear_timeouts": (0, *_BYTE),
    b"ipv4/tcp_tso_rtt_log": (9, *_BYTE),
    b"ipv4/tcp_tso_win_divisor": (3, *_BYTE),
    b"ipv4/tcp_workaround_signed_windows": (0, *_BYTE),
    b"ipv4/udp_child_hash_entries": (0, 0, _MOST_CHILD_PORTS),
    b"ipv4/udp_early_demux": (1, *_BYTE),
    b"ipv4/udp_l3mdev_accept": (0, *_SWITCH),
    b"ipv4/udp_rmem_min": (4_096, 1, NO_BOUND),
    b"ipv4/udp_wmem_min": (4_096, 1, NO_BOUND),
    b"ipv4/route/min_pmtu": (552, 68, NO_BOUND),
    b"ipv4/route/mtu_expires": (600, *_SECONDS),
    b"ipv6/fib_notify_on_flag_change": (0, 0, 2),
    b"ipv6/idgen_delay": (1, *_SECONDS),
    b"ipv6/idgen_retries": (3, *_ANY),
    b"ipv6/ip6frag_time": (60, *_SECONDS),
    b"ipv6/route/gc_elasticity": (9, *_ANY),
    b"ipv6/route/gc_interval": (30, *_SECONDS),
    b"ipv6/route/gc_thresh": (1_024, *_ANY),
    b"ipv6/route/gc_timeout": (60, *_SECONDS),
    b"ipv6/route/max_size": (NO_BOUND, *_ANY),
    b"ipv6/route/mtu_expires": (600, *_SECONDS),
    b"netfilter/nf_conntrack_checksum": (1, *_SWITCH),
    b"netfilter/nf_conntrack_frag6_timeout": (60, *_SECONDS),
    b"netfilter/nf_conntrack_log_invalid": (0, *_BYTE),
    b"netfilter/nf_conntrack_tcp_be_liberal": (0, *_SWITCH),
    b"netfilter/nf_conntrack_tcp_ignore_invalid_rst": (0, *_SWITCH),
    b"netfilter/nf_conntrack_tcp_max_retrans": (3, *_BYTE),
    b"netfilter/nf_conntrack_tcp_timeout_max_retrans": (300, *_SECONDS),
    b"netfilter/nf_conntrack_tcp_timeout_unacknowledged": (300, *_SECONDS),
}
"""Settings that are kept and that nothing comes of: nothing is lost on the way, comes out of order, is held
up or paced, and the answer to a SYN comes at once; there are no domains of routing, nor hardware that routes;
no packet waits for the rest of its pieces, no way's MTU is learnt, and of IPv6 no address is taken already
and no route is kept for a while; connections are tracked without their windows. What each is at first, at
least and at most.
"""
PIECES = (b"ipv4/ipfrag_", b"ipv6/ip6frag_", b"netfilter/nf_conntrack_frag6_")
"""The beginnings of two more each, low_thresh and high_thresh: what pieces of packets that wait for others
may take, and down to what they're dropped then."""
FIRST_PIECES = {b"low_thresh": 3 << 20, b"high_thresh": 4 << 20}
GC_PAUSE = b"ipv6/route/gc_min_interval"
"""In seconds, and in milliseconds with _ms behind it; kept in milliseconds."""
FIRST_GC_PAUSE_MS = 500
