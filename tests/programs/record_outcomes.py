"""Records what Linux prints for the scripts: `python -m tests.programs.record_outcomes [NAME...]`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.programs.native_linux import NativeLinux
from tests.programs.program_script import DEVELOPMENT_SCRIPTS, SCRIPTS, SERVER_SCRIPTS, all_scripts

GUEST_ROOT = Path(__file__).resolve().parents[2] / "scripts" / "guest-root"


def record(tree_name: str, directory: Path, names: list[str]) -> str:
    """Write the outcomes of a directory's scripts on that tree; say why not if that can't be done."""
    command = [sys.executable, str(GUEST_ROOT), "--tree", tree_name]
    tree = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as place:
        linux = NativeLinux(Path(tree), Path(place))
        reason = linux.why_not()
        if reason:
            return reason
        for script in all_scripts(directory):
            if names and script.path.name not in names:
                continue
            script.recorded.write_text(str(linux.run(script.argv)), "latin-1")
            print(script.path.name)
    return ""


def main() -> int:
    """Run the scripts whose file names are given, or all, and write their outcomes."""
    for tree_name, directory in (
        ("programs", SCRIPTS),
        ("development", DEVELOPMENT_SCRIPTS),
        ("servers", SERVER_SCRIPTS),
    ):
        reason = record(tree_name, directory, sys.argv[1:])
        if reason:
            print(f"record_outcomes: this host can't run the programs: {reason}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
