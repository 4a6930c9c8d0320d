"""The `procession` command."""

from __future__ import annotations

import sys

INTERRUPTED = 130
BROKEN_PIPE = 141


def main() -> None:
    """Run the command line that the process was given; doesn't return."""
    try:
        from procession.cli.command_line import run_command_line

        status = run_command_line(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        status = abandon_stdout()
    sys.exit(status)


def abandon_stdout() -> int:
    """Nobody reads stdout any more: keep Python from trying again at its end; the status for that."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE
