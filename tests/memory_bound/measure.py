"""Runs one machine and prints how much memory its process had: `measure FILL WAY MEMORY [COUNT]`."""

from __future__ import annotations

import json
import sys
import time

from procession import Machine


def resident_bytes(name: str) -> int:
    """What the host's kernel says this process has now (VmRSS), or had at the most (VmHWM)."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name))


def main(program: str, way: str, memory: str, count: str = "") -> None:
    """Fill a machine that has so many MiB in one way, or in several after another, and print what that took.

    `way` is their names with commas between them; the report is JSON, and the last one's but for the peak.
    """
    machine = Machine(memory=int(memory) << 20)
    machine.run(["/bin/true"])
    before = resident_bytes("VmRSS:")
    start = time.monotonic()
    for each in way.split(","):
        result = machine.run([program, each, *([count] if count else [])])
    peak = resident_bytes("VmHWM:")
    report = {
        "before": before,
        "peak": peak,
        "kills": machine.kernel.oom_kill_count,
        "seconds": round(time.monotonic() - start, 1),
        "said": result.stderr.decode(errors="replace").strip(),
        "reason": result.reason,
        "status": result.status,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
