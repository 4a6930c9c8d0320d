"""TCP and UDP over IPv4 and IPv6, on the machine's loopback (ip(7), tcp(7), udp(7))."""
