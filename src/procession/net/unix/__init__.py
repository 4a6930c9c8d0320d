"""Local sockets (unix(7))."""
