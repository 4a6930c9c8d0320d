"""Runs one command in a machine of its own and prints, as JSON, how long that took by the host's clock."""

from __future__ import annotations

import json
import sys
import time

from procession import Machine


def main() -> None:
    """Run the command that the arguments are behind its root; what the guest wrote isn't shown unless it
    failed."""
    root, *command = sys.argv[1:]
    start_ns = time.perf_counter_ns()
    result = Machine(seed=1, rootfs=root).run(command)
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    errors = result.stderr.decode("utf-8", "replace")
    print(json.dumps({"seconds": seconds, "status": result.status, "errors": errors}))


if __name__ == "__main__":
    main()
