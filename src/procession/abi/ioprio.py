"""ioprio_get(2), ioprio_set(2)."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum


class IoprioClass(IntEnum):
    """The bits above IOPRIO_CLASS_SHIFT."""

    IOPRIO_CLASS_NONE = 0
    IOPRIO_CLASS_RT = 1
    IOPRIO_CLASS_BE = 2
    IOPRIO_CLASS_IDLE = 3


class IoprioWho(IntEnum):
    """ioprio_get(2)'s which."""

    IOPRIO_WHO_PROCESS = 1
    IOPRIO_WHO_PGRP = 2
    IOPRIO_WHO_USER = 3


IOPRIO_CLASS_SHIFT = 13
IOPRIO_NR_LEVELS = 8
IOPRIO_NORM = 4
