"""Clocks and timers (time(7)): the machine's clock, and what fires by it."""
