"""The `procession` command."""

from __future__ import annotations

import atexit
import os
import sys

from procession.cli.starting import starting

INTERRUPTED = 130
BROKEN_PIPE = 141
CANNOT_WRITE = 1
USE_ERROR = 2


def main() -> None:
    """Run the command line that the process was given; doesn't return."""
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        check_streams()
    ending = Ending()
    # What is registered first is called last: threads have ended then, and others have cleared away.
    atexit.register(ending.leave)
    try:
        with starting():
            from procession.cli.command_line import run_command_line

        status = run_command_line(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        status = abandon_stdout(BROKEN_PIPE)
    except OSError as error:
        print(f"procession: can't write to standard output: {error.strerror or error}", file=sys.stderr)
        status = abandon_stdout(CANNOT_WRITE)
    ending.status = status
    sys.exit(status)


class Ending:
    """How the command's process ends: at once, where Python would first let go of each module and object.

    That is a fifteenth of what a short command takes, and all of it goes with the process anyway.
    """

    status: int | None = None
    """None if `main` was left by an exception: then Python tells of it in its own way."""

    def leave(self) -> None:
        """End the process; doesn't return if there is a status."""
        if self.status is not None:
            sys.stderr.flush()
            os._exit(self.status)


def check_streams() -> None:
    """A stream is closed: end if it's stdout, or the next file that is opened would get what is written.

    A closed stdin is at its end, and what is written to a closed stderr is lost.
    """
    is_stdout_closed = sys.stdout is None
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if is_stdout_closed:
        print("procession: standard output is closed", file=sys.stderr)
        sys.exit(USE_ERROR)


def abandon_stdout(status: int) -> int:
    """Nobody takes what is written to stdout: keep Python from trying again at its end; gives `status`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status
