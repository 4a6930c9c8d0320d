"""Futexes (futex(7)): sleeping on a word of memory, and its owners' inheritance of priority."""
