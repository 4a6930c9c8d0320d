"""What options' values mean: dates, volumes, files of variables, pairs of paths."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime

from procession.abi.duration import NS_PER_S
from procession.abi.named_tuple import NamedTuple

_LATEST_S = 1 << 33
"""What 64 bits of nanoseconds hold, and programs too."""


class VolumeOption(NamedTuple):
    """`HOST:GUEST[:ro]`."""

    host_path: str
    guest_path: str
    is_read_only: bool


def parse_date(text: str) -> int:
    """Nanoseconds since the epoch of a date: ISO 8601, UTC where it names no zone; `@SECONDS`; or `now`.

    Raises ValueError.
    """
    if text == "now":
        return time.time_ns()
    try:
        if text.startswith("@"):
            epoch_ns = int(text[1:]) * NS_PER_S
        else:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            since = moment - datetime(1970, 1, 1, tzinfo=UTC)
            epoch_ns = (since.days * 86400 + since.seconds) * NS_PER_S + since.microseconds * 1000
    except (ValueError, OverflowError):
        raise ValueError(f"'{text}' isn't a date such as 2030-01-31, 2030-01-31T12:00:00Z or @0") from None
    if not 0 <= epoch_ns < _LATEST_S * NS_PER_S:
        raise ValueError(f"'{text}' isn't between 1970 and 2242")
    return epoch_ns


def parse_volume(text: str) -> VolumeOption:
    """`HOST:GUEST[:ro]`. Raises ValueError."""
    host_path, _, rest = text.partition(":")
    guest_path, _, mode = rest.partition(":")
    if not host_path or not guest_path.startswith("/") or mode not in ("", "ro", "rw"):
        raise ValueError(f"'{text}' isn't HOST:GUEST or HOST:GUEST:ro, with a GUEST that begins with /")
    return VolumeOption(host_path, guest_path, mode == "ro")


def parse_copy(text: str) -> tuple[str, str]:
    """`GUEST:HOST`. Raises ValueError."""
    guest_path, _, host_path = text.partition(":")
    if not guest_path or not host_path:
        raise ValueError(f"'{text}' isn't GUEST:HOST")
    return guest_path, host_path


def read_environment_file(path: str) -> list[str]:
    """The variables of a file with a `K=V` or `K` on each line; empty lines and those with # don't count.

    What follows the = is taken as it is, quotes too. Raises OSError, ValueError.
    """
    with open(path, "rb") as file:
        text = os.fsdecode(file.read())
    if "\0" in text:
        raise ValueError(f"{path} isn't a file of variables")
    lines = (line.rstrip("\r").lstrip() for line in text.split("\n"))
    return [line for line in lines if line and not line.startswith("#")]
