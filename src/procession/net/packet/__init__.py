"""Packet sockets: frames as they pass interfaces (packet(7))."""
