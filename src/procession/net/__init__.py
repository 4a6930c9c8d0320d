"""Sockets: the families of addresses, and the one network that a machine has, which ends at its loopback."""
