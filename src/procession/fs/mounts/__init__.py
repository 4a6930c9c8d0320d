"""Which file system is seen where: mounts, their namespaces, and how they spread (mount_namespaces(7))."""
