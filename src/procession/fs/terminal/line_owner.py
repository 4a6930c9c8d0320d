"""What a line discipline asks of its terminal."""

from __future__ import annotations

from typing import Protocol


class LineOwner(Protocol):
    """The terminal as its line discipline sees it."""

    @property
    def is_stopped(self) -> bool:
        """Whether its output stands still, for whatever reason."""

    @property
    def is_stopped_by_request(self) -> bool:
        """Whether a program has stopped it by TCXONC: then no character starts it again."""

    def start(self) -> None:
        """Let output go on."""

    def stop(self) -> None:
        """Let output stand still."""

    def output_room(self) -> int:
        """How many bytes `put_output` takes now."""

    def put_output(self, data: bytes) -> int:
        """Send bytes to the far end; how many were taken."""

    def flush_output(self) -> None:
        """Drop what is still on its way to the far end."""

    def input_flushed(self) -> None:
        """What was waiting to be read has been dropped."""

    def send_signal(self, signo: int) -> None:
        """Send the foreground process group a signal."""

    def wake_readers(self) -> None:
        """There may be something to read."""
