"""What the debugger watches of a process's memory."""

from __future__ import annotations


class Watchpoint:
    """A piece of a process's memory; `value` is what was there when it was looked at last."""

    def __init__(self, process: int, address: int, length: int) -> None:
        self.process = process
        self.address = address
        self.length = length
        self.value = b""

    @property
    def place(self) -> tuple[int, int, int]:
        """What tells it from others."""
        return self.process, self.address, self.length
