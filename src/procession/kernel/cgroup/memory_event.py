"""What is counted of a control group's trouble with memory, as memory.events has it."""

from __future__ import annotations

EVENT_NAMES = (b"low", b"high", b"max", b"oom", b"oom_kill", b"oom_group_kill")
"""In the order of memory.events (Linux: include/linux/memcontrol.h, enum memcg_memory_event)."""
LOW, HIGH, MAX, OOM, OOM_KILL, OOM_GROUP_KILL = range(len(EVENT_NAMES))
