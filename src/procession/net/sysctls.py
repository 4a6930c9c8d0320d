"""What may be set of a network by sysctl(8), as /proc/sys/net."""

from __future__ import annotations

NO_GROUPS = (1, 0)
FIRST_EPHEMERAL, LAST_EPHEMERAL = 32_768, 60_999
"""What ip_local_port_range is at first."""


class NetworkSysctls:
    """The settings of one network (in Linux, struct netns_ipv4 and netns_ipv6).

    `forwards_4` and `forwards_6` are ip_forward and conf/all/forwarding; `ping_groups` the first and last
    group that may send echo requests (ping_group_range); `first_free_port` ip_unprivileged_port_start;
    `first_ephemeral` and `last_ephemeral` ip_local_port_range; `binds_anywhere` ip_nonlocal_bind;
    `ignores_echo` icmp_echo_ignore_all; `time_to_live` ip_default_ttl; `tells_data` tstamp_allow_data;
    `routes_loopback` conf/all/route_localnet.
    """

    __slots__ = (
        "binds_anywhere",
        "first_ephemeral",
        "first_free_port",
        "forwards_4",
        "forwards_6",
        "ignores_echo",
        "last_ephemeral",
        "ping_groups",
        "routes_loopback",
        "tells_data",
        "time_to_live",
    )

    def __init__(self) -> None:
        self.binds_anywhere = 0
        self.first_ephemeral, self.last_ephemeral = FIRST_EPHEMERAL, LAST_EPHEMERAL
        self.first_free_port = 1_024
        self.forwards_4 = 0
        self.forwards_6 = 0
        self.ignores_echo = 0
        self.ping_groups = NO_GROUPS
        self.tells_data = 1
        self.routes_loopback = 0
        self.time_to_live = 64
