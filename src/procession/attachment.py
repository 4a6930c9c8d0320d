"""A machine's standard streams joined to the host process's own."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.fs.host_stream import HostInput, HostOutput

_CHUNK_BYTES = 65536
_WAIT_S = 0.1
_STDIN = 0


class HostStreams:
    """Moves bytes between a machine and descriptors 0, 1 and 2 of this process."""

    def __init__(self, machine_input: HostInput, machine_output: HostOutput) -> None:
        self.input = machine_input
        self.output = machine_output

    def drain(self) -> None:
        """Write out what the guest has written; a stream that nobody reads any more is broken inside too."""
        for number, data in self.output.take():
            if number in self.output.broken:
                continue
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(number, view) :]
            except OSError:
                self.output.break_stream(number)

    def fill(self) -> bool:
        """Wait a little for input that somebody in the machine waits for; False if nobody does."""
        if not self.input.is_wanted:
            return False
        try:
            ready, _, _ = select.select([_STDIN], [], [], _WAIT_S)
            if ready:
                data = os.read(_STDIN, _CHUNK_BYTES)
                if data:
                    self.input.feed(data)
                else:
                    self.input.end()
        except (OSError, ValueError):
            self.input.end()
        return True
