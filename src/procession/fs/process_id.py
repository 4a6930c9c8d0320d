"""What files and sockets know of a process id: that it has a number for each reader."""

from __future__ import annotations

from typing import Any, Protocol


class ProcessId(Protocol):
    """The kernel's `Pid`, which file systems and sockets note to say who did something."""

    @property
    def own_number(self) -> int:
        """The number that its bearer has for itself."""

    def number_in(self, namespace: Any, /) -> int:
        """Its number in a pid namespace, 0 if it isn't seen there."""
