"""Somebody at a terminal: a process on a pseudo-terminal of the host, typed to and read as a person does."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from tests.quick_start import start_at_terminal

PATIENCE_S = 20.0
_CHUNK_BYTES = 65536


class Gave(Exception):
    """What was waited for didn't come; the message says what did."""


class Keyboard:
    """A process whose standard streams are a terminal of its own.

    `shown` is all that the terminal has shown. With `owns_terminal` unset it's nobody's controlling terminal
    at first.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        *,
        rows: int = 24,
        columns: int = 80,
        owns_terminal: bool = True,
    ) -> None:
        self.master, self.slave = os.openpty()
        self.resize(rows, columns)
        self.is_open = True
        self.modes = self.modes_now()
        self.shown = b""
        self.seen = 0
        self.status: int | None = None
        pid = start_at_terminal(argv, dict(environment), self.slave, owns_terminal=owns_terminal)
        self.pid = self._start(argv, environment, owns_terminal) if pid is None else pid

    def _start(self, argv: Sequence[str], environment: Mapping[str, str], owns_terminal: bool) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                if owns_terminal:
                    fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
                for descriptor in range(3):
                    os.dup2(self.slave, descriptor)
                os.closerange(3, 256)
                # Python ignores it, and a child would, too.
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                os.execvpe(argv[0], list(argv), dict(environment))
            finally:
                os._exit(127)
        return pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.close_window()

    def modes_now(self) -> list[object]:
        """The terminal's modes as tcgetattr(3) has them."""
        return termios.tcgetattr(self.slave)

    @property
    def is_raw(self) -> bool:
        """Whether keys come to the process as they are."""
        local = self.modes_now()[3]
        assert isinstance(local, int)
        return not local & (termios.ICANON | termios.ISIG | termios.ECHO)

    def resize(self, rows: int, columns: int) -> None:
        """Make the window this large."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def close_window(self) -> None:
        """Leave: the terminal is hung up."""
        if self.is_open:
            self.is_open = False
            os.close(self.master)
            os.close(self.slave)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.master, text.encode("latin-1"))

    def wait_for(self, pattern: str, patience_s: float = PATIENCE_S) -> str:
        """Wait until the terminal shows `pattern`, a regular expression, after what was waited for last.

        Returns what it has shown since then. Raises Gave.
        """
        wanted = re.compile(pattern.encode("latin-1"), re.DOTALL)
        end_s = time.monotonic() + patience_s
        while True:
            found = wanted.search(self.shown, self.seen)
            if found is not None:
                text = self.shown[self.seen : found.end()]
                self.seen = found.end()
                return text.decode("latin-1")
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not self._read(left_s):
                raise Gave(f"waited for {pattern!r}, got {self.shown[self.seen :]!r}")

    def _read(self, seconds: float) -> bool:
        """Take in what is shown; False if nothing came, and nothing will if the process has ended."""
        if not self.is_open:
            time.sleep(min(seconds, 0.1))
            return False
        if not select.select([self.master], [], [], min(seconds, 0.1))[0]:
            return not self.has_ended() or bool(select.select([self.master], [], [], 0.0)[0])
        data = os.read(self.master, _CHUNK_BYTES)
        self.shown += data
        return bool(data)

    def has_ended(self) -> bool:
        """Whether the process has ended; `status` is its exit status then, or minus the signal's number."""
        if self.status is None:
            pid, code = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(code)
        return self.status is not None

    def wait_until_it_ends(self, patience_s: float = PATIENCE_S) -> int:
        """The exit status of the process, minus the signal's number if one killed it. Raises Gave."""
        end_s = time.monotonic() + patience_s
        while not self.has_ended():
            if time.monotonic() > end_s:
                raise Gave(f"it hasn't ended; it has shown {self.shown[self.seen :]!r}")
            self._read(0.1)
        while self.is_open and select.select([self.master], [], [], 0.0)[0]:
            self._read(0.0)
        assert self.status is not None
        return self.status
