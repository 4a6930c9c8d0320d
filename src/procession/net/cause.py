"""Why a network changed: who asked for that, as those hear who listen to changes (rtnetlink(7))."""

from __future__ import annotations

from procession.abi.named_tuple import NamedTuple


class Cause(NamedTuple):
    """The request by which something changed: its socket's port and its number. `is_echoed` says that the
    asker hears of the change too, whatever it listens to (NLM_F_ECHO); `flags` are all of the request's.

    Linux: include/net/netlink.h, struct nl_info.
    """

    port_id: int = 0
    sequence: int = 0
    is_echoed: bool = False
    flags: int = 0


NO_REQUEST = Cause()
"""Of what the kernel does by itself, or for an ioctl."""
