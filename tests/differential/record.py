"""Records what comes of scripts on this host's Linux: `python -m tests.differential.record [FAMILY ...]`."""

from __future__ import annotations

import sys

from tests.differential.comparison import RECORDED_PROTECTION, host_protection, run_natively, why_not_natively
from tests.differential.families import FAMILIES
from tests.differential.test_differential import recorded_file, recorded_scripts


def main() -> int:
    """Write the outcomes that test_differential.py expects, if they are the same each time."""
    reason = why_not_natively()
    if reason:
        print(reason, file=sys.stderr)
        return 1
    if host_protection() != RECORDED_PROTECTION:
        print(f"the host's sysctls aren't {RECORDED_PROTECTION}", file=sys.stderr)
        return 1
    for family in sys.argv[1:] or FAMILIES:
        scripts = recorded_scripts(family)
        outcomes = run_natively(scripts)
        for _ in range(3):
            for number, (one, other) in enumerate(zip(outcomes, run_natively(scripts), strict=True)):
                if one != other:
                    print(f"{family}: script {number} has more than one outcome", file=sys.stderr)
                    return 1
        text = "".join("\n".join(outcome) + "\n\n" for outcome in outcomes)
        recorded_file(family).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
