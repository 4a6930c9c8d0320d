"""What may be set of a network by sysctl(8), as /proc/sys/net."""

from __future__ import annotations

NO_GROUPS = (1, 0)
SOMAXCONN, DATAGRAM_QUEUE_LENGTH = 4_096, 10
FIRST_EPHEMERAL, LAST_EPHEMERAL = 32_768, 60_999
"""What ip_local_port_range is at first."""
ALL, DEFAULT = b"all", b"default"
"""What is set for all interfaces, and for those that are made from now on."""
ROUTE_LOCALNET, REVERSE_PATH = b"ipv4/route_localnet", b"ipv4/rp_filter"
ACCEPT_LOCAL = b"ipv4/accept_local"
FORWARDING = (b"ipv4/forwarding", b"ipv6/forwarding")
INTERFACE_SETTINGS = {
    FORWARDING[0]: 0,
    ROUTE_LOCALNET: 0,
    REVERSE_PATH: 0,
    ACCEPT_LOCAL: 0,
    b"ipv4/arp_notify": 0,
    FORWARDING[1]: 0,
    b"ipv6/accept_dad": 1,
    b"ipv6/accept_ra": 1,
    b"ipv6/autoconf": 1,
    b"ipv6/disable_ipv6": 0,
}
"""The settings of an interface and what they are at first. Of those about ARP and IPv6's addresses nothing
comes: nobody asks whether an address is taken, and no router advertises itself."""
READ_ONLY = (b"ipv6/disable_ipv6",)
"""It's always on."""


class NetworkSysctls:
    """The settings of one network (in Linux, struct netns_ipv4 and netns_ipv6).

    `forwards_4` and `forwards_6` are ip_forward and conf/all/forwarding; `ping_groups` the first and last
    group that may send echo requests (ping_group_range); `first_free_port` ip_unprivileged_port_start;
    `first_ephemeral` and `last_ephemeral` ip_local_port_range; `binds_anywhere` ip_nonlocal_bind;
    `ignores_echo` icmp_echo_ignore_all; `time_to_live` ip_default_ttl; `tells_data` tstamp_allow_data;
    `automatic_labels` auto_flowlabels; `is_ipv6_only` bindv6only; `most_backlog` core/somaxconn, up to which
    connections wait to be accepted; `queue_length` unix/max_dgram_qlen, that of local sockets at first;
    `fast_open` tcp_fastopen, and `fast_open_keys` tcp_fastopen_key.
    `of_every` are those of INTERFACE_SETTINGS that are set for all interfaces, `of_new` what a new one has.
    """

    __slots__ = (
        "automatic_labels",
        "binds_anywhere",
        "fast_open",
        "fast_open_keys",
        "first_ephemeral",
        "first_free_port",
        "forwards_4",
        "forwards_6",
        "ignores_echo",
        "is_ipv6_only",
        "last_ephemeral",
        "most_backlog",
        "of_every",
        "of_new",
        "ping_groups",
        "queue_length",
        "tells_data",
        "time_to_live",
    )

    def __init__(self) -> None:
        self.automatic_labels = 1
        self.binds_anywhere = 0
        self.fast_open = 1
        self.fast_open_keys: tuple[bytes, ...] = ()
        self.first_ephemeral, self.last_ephemeral = FIRST_EPHEMERAL, LAST_EPHEMERAL
        self.first_free_port = 1_024
        self.forwards_4 = 0
        self.forwards_6 = 0
        self.ignores_echo = 0
        self.is_ipv6_only = 0
        self.most_backlog = SOMAXCONN
        self.ping_groups = NO_GROUPS
        self.queue_length = DATAGRAM_QUEUE_LENGTH
        self.tells_data = 1
        self.of_every = INTERFACE_SETTINGS.copy()
        self.of_new = INTERFACE_SETTINGS.copy()
        self.time_to_live = 64

    def of_all(self, key: bytes) -> int:
        """What conf/all says."""
        if key in FORWARDING:
            return self.forwards_4 if key == FORWARDING[0] else self.forwards_6
        return self.of_every[key]

    def set_all(self, key: bytes, value: int) -> None:
        """Set it; forwarding is new interfaces' too.

        Linux: net/ipv4/devinet.c, inet_forward_change; net/ipv6/addrconf.c, addrconf_fixup_forwarding.
        """
        if key == FORWARDING[0]:
            self.forwards_4 = self.of_new[key] = value
        elif key == FORWARDING[1]:
            self.forwards_6 = self.of_new[key] = value
        else:
            self.of_every[key] = value
