"""Records what Linux prints for the scripts: `python -m tests.programs.record_outcomes [NAME...]`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.programs.native_linux import NativeLinux
from tests.programs.program_script import all_scripts

GUEST_ROOT = Path(__file__).resolve().parents[2] / "scripts" / "guest-root"


def main() -> int:
    """Run the scripts whose file names are given, or all, and write their outcomes."""
    tree = subprocess.run(
        [sys.executable, str(GUEST_ROOT)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()
    names = sys.argv[1:]
    with tempfile.TemporaryDirectory() as place:
        linux = NativeLinux(Path(tree), Path(place))
        reason = linux.why_not()
        if reason:
            print(f"record_outcomes: this host can't run the programs: {reason}", file=sys.stderr)
            return 1
        for script in all_scripts():
            if names and script.path.name not in names:
                continue
            script.recorded.write_text(str(linux.run(script.argv)), "latin-1")
            print(script.path.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
