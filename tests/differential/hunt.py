"""Hunts for differences: `python -m tests.differential.hunt FAMILY[+FAMILY] SCRIPTS LENGTH SEED [MOST]`."""

from __future__ import annotations

import faulthandler
import sys

from tests.differential.comparison import differing, shrink, why_not_natively
from tests.differential.families import make_scripts

TIMEOUT_S = 900
MOST = 8


def main() -> int:
    """Compare scripts of a family, and show one small script for each way in which one differs."""
    reason = why_not_natively()
    if reason:
        print(reason, file=sys.stderr)
        return 1
    family, count, length, seed = sys.argv[1], *map(int, sys.argv[2:5])
    most = int(sys.argv[5]) if len(sys.argv) > 5 else MOST
    faulthandler.dump_traceback_later(TIMEOUT_S, exit=True)
    scripts = make_scripts(family, range(seed, seed + count), length)
    found = differing(scripts)
    # What came of two scripts once may have hung on the host's load.
    found = differing([difference.script for difference in found]) if found else []
    print(f"{len(found)} of {count} scripts differ", flush=True)
    seeds = {id(script): seed + number for number, script in enumerate(scripts)}
    for difference in found:
        print(f"seed {seeds[id(difference.script)]}: {difference.kind()}", flush=True)
    seen: set[tuple[str, str, str]] = set()
    for difference in found:
        kind = difference.kind()
        if kind not in seen and len(seen) < most:
            seen.add(kind)
            faulthandler.dump_traceback_later(TIMEOUT_S, exit=True)
            print(shrink(difference), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
