"""The GDB remote serial protocol: a debugger outside holds a whole machine."""
