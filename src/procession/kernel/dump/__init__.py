"""Core dumps (core(5)): when one is written, where to, and what is in it."""
