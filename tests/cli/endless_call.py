"""The `procession` command in which the call that `busybox sync` makes keeps the kernel for ever.

Run as a program: it says `begun` on stdout when the call has begun. Each turn of the call's loop sleeps, so
that tests beside it have the processor.
"""

from __future__ import annotations

import os
import sys
import time

from procession.cli import main
from procession.syscalls import load_all
from procession.syscalls.declaration import TABLE

SYNC = 162
TURN_S = 0.001


def never_ends(task: object) -> int:
    """What stands in for the call's handler."""
    os.write(1, b"begun\n")
    while True:
        time.sleep(TURN_S)


if __name__ == "__main__":
    load_all()
    sync = TABLE[SYNC]
    assert sync is not None
    sync.handler = never_ends
    sys.argv[0] = "procession"
    main()
