"""Constants of bridges' ioctls (linux/if_bridge.h)."""

from __future__ import annotations

from enum import IntEnum

BRCTL_VERSION = 1


class BridgeCommand(IntEnum):
    """The first word of what SIOCGIFBR and SIOCSIFBR are given."""

    BRCTL_GET_VERSION = 0
    BRCTL_GET_BRIDGES = 1
    BRCTL_ADD_BRIDGE = 2
    BRCTL_DEL_BRIDGE = 3
