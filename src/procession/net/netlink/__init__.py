"""Netlink sockets, and NETLINK_ROUTE's messages (netlink(7), rtnetlink(7))."""
