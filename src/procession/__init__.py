"""Linux's process subsystem as a Python program that runs real x86-64 programs."""
