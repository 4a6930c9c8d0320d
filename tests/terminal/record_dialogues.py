"""Records what dialogues show on Linux: `python -m tests.terminal.record_dialogues [NAME...]`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.programs.native_linux import NativeLinux
from tests.terminal.dialogue import COLUMNS, ENVIRONMENT, ROWS, Dialogue, all_dialogues
from tests.terminal.keyboard import Keyboard

GUEST_ROOT = Path(__file__).resolve().parents[2] / "scripts" / "guest-root"


def hold_natively(dialogue: Dialogue, linux: NativeLinux) -> str:
    """Hold a dialogue on the host's Linux, in a terminal that script(1) makes there; what was shown."""
    inner = "exec " + " ".join(map(quoted, dialogue.argv))
    command = linux.command(["script", "-qec", inner, "/dev/null"], ENVIRONMENT, has_terminal=True)
    with Keyboard(command, os.environ, rows=ROWS, columns=COLUMNS, owns_terminal=False) as keyboard:
        return dialogue.hold(keyboard)


def quoted(word: str) -> str:
    """A word as a shell wants it."""
    return "'" + word.replace("'", "'\\''") + "'"


def main() -> int:
    """Hold the dialogues whose names are given, or all, and write what was shown."""
    tree = subprocess.run([sys.executable, str(GUEST_ROOT)], stdout=subprocess.PIPE, text=True, check=True)
    with tempfile.TemporaryDirectory() as place:
        linux = NativeLinux(Path(tree.stdout.strip()), Path(place))
        reason = linux.why_not()
        if reason:
            print(f"record_dialogues: this host can't run the programs: {reason}", file=sys.stderr)
            return 1
        for dialogue in all_dialogues():
            if not sys.argv[1:] or dialogue.path.stem in sys.argv[1:]:
                dialogue.recorded.write_text(hold_natively(dialogue, linux))
                print(dialogue.path.stem)
    return 0


if __name__ == "__main__":
    sys.exit(main())
