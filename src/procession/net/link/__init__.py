"""Network interfaces, and what they are joined by (netdevice(7))."""
