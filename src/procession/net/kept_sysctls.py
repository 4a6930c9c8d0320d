"""Settings of a network that are kept and that nothing comes of."""

from __future__ import annotations

from procession.net.sysctls import NO_BOUND

_ANY, _BYTE, _SWITCH, _LONG = (-NO_BOUND - 1, NO_BOUND), (0, 255), (0, 1), (0, 0xFFFF_FFFF_FFFF_FFFF)
_MOST_SECONDS = NO_BOUND // 250
KEPT = {
    b"fib_notify_on_flag_change": (0, 0, 2),
    b"icmp_ignore_bogus_error_responses": (1, *_SWITCH),
    b"fib_notify_on_flag_change_6": (0, 0, 2),
    b"idgen_delay": (1, -_MOST_SECONDS, _MOST_SECONDS),
    b"idgen_retries": (3, *_ANY),
    b"ip_dynaddr": (0, *_BYTE),
    b"ip_early_demux": (1, *_BYTE),
    b"max_size": (NO_BOUND, *_ANY),
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
    b"tcp_ecn_fallback": (1, *_SWITCH),
    b"tcp_fack": (0, *_BYTE),
    b"tcp_fastopen_blackhole_timeout_sec": (0, 0, NO_BOUND),
    b"tcp_frto": (2, *_BYTE),
    b"tcp_invalid_ratelimit": (500, 0, NO_BOUND),
    b"tcp_l3mdev_accept": (0, *_SWITCH),
    b"tcp_limit_output_bytes": (4 << 20, *_ANY),
    b"tcp_max_reordering": (300, 1, NO_BOUND),
    b"tcp_min_rtt_wlen": (300, 0, 86_400),
    b"tcp_min_tso_segs": (2, 1, 255),
    b"tcp_mtu_probe_floor": (48, 48, 65_535),
    b"tcp_mtu_probing": (0, *_BYTE),
    b"tcp_no_metrics_save": (0, *_BYTE),
    b"tcp_no_ssthresh_metrics_save": (1, *_SWITCH),
    b"tcp_pacing_ca_ratio": (120, 0, 1_000),
    b"tcp_pacing_ss_ratio": (200, 0, 1_000),
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
    b"udp_rmem_min": (4_096, 1, NO_BOUND),
    b"udp_wmem_min": (4_096, 1, NO_BOUND),
}
"""Settings that are kept and that nothing comes of: nothing is lost on the way, comes out of order, is held
up or paced, and the answer to a SYN comes at once; there are no domains of routing, nor hardware that routes.
What each is at first, at least and at most.
"""
KEPT_6 = (b"fib_notify_on_flag_change_6", b"idgen_delay", b"idgen_retries", b"max_size")
"""Those of IPv6: of addresses none is taken already, and routes of IPv6 aren't counted."""
