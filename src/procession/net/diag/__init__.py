"""Sockets as they are told to ss(8) over netlink (sock_diag(7))."""
