"""What is done when a timer of a connection or of a neighbour is due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from procession.net.internet.neighbour import NEIGHBOUR_TIMER
from procession.net.internet.output import neighbour_timed_out
from procession.net.internet.tcp_connection import CONNECT_TIMER
from procession.net.internet.tcp_handshake import connection_timed_out

ACTIONS: dict[str, Callable[[Any], None]] = {
    CONNECT_TIMER: connection_timed_out,
    NEIGHBOUR_TIMER: neighbour_timed_out,
}
"""By the timer's kind; each is called with its target."""
