"""What counts time down for a process: interval timers, POSIX timers and timer descriptors."""
