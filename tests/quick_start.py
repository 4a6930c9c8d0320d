"""Lets `subprocess` start `python -m procession` in a twentieth of a second instead of a sixth.

Most of a short command's time goes into imports, and the tests start some five hundred. So each process of
pytest has a server in which the package is imported, and what is started is a fork of that: with files, a
directory, environment, session and end of its own, and a child of the test's process as any other. What
Python looks at before it imports (PYTHON*, the locale) isn't to be had that way: such commands start anew. So
do all under `scripts/check --full`. What a shell starts is a small process that waits for such a fork
(`shell_command.py`), which is no child of the shell's, and has only its standard streams.
"""

from __future__ import annotations

import array
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.command_server import LONGEST_REQUEST, Request

START = [sys.executable, "-m", "procession"]
SERVER = Path(__file__).with_name("command_server.py")
SHELL_COMMAND = Path(__file__).with_name("shell_command.py")
EXECUTE = inspect.signature(subprocess.Popen._execute_child)  # type: ignore[attr-defined]
NOT_TAKEN = ("executable", "preexec_fn", "shell", "gid", "gids", "uid")
"""Arguments of `Popen` with which a command starts anew."""


class CommandServer:
    """The process that starts commands for this one, since its first command."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._address = ""

    @property
    def address(self) -> str:
        """Where `shell_command.py` finds the server."""
        with self._lock:
            if self._channel is None:
                self._channel = self._connect()
            return self._address

    def start(self, request: Request, files: list[int]) -> int:
        """The pid of a new command, a child of this process."""
        with self._lock:
            if self._channel is None:
                self._channel = self._connect()
            socket.send_fds(self._channel, [json.dumps(request).encode()], files)
            answer = array.array("q", self._channel.recv(8))
        if not answer:
            raise ChildProcessError("the server of commands is gone")
        return answer[0]

    def _connect(self) -> socket.socket:
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LONGEST_REQUEST)
            listener.bind("")
            listener.listen()
            self._address = listener.getsockname()[1:].decode()
            kept = (its.fileno(), listener.fileno())
            os.posix_spawn(
                sys.executable,
                [sys.executable, str(SERVER), *map(str, kept)],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, number, number) for number in kept],
            )
        return ours


SERVER_OF_COMMANDS = CommandServer()


def words_for_shells() -> list[str]:
    """What a script starts `procession` with, before the arguments."""
    if subprocess.Popen is not QuickPopen:
        return START
    return [sys.executable, "-I", "-S", str(SHELL_COMMAND), SERVER_OF_COMMANDS.address]


class QuickPopen(subprocess.Popen[Any]):
    """`subprocess.Popen`, but commands are forks."""

    def _execute_child(self, *arguments: Any) -> None:
        given = EXECUTE.bind(self, *arguments).arguments
        request = request_of(given)
        if request is None:
            super()._execute_child(*arguments)  # type: ignore[misc]
            return
        streams = [
            number if given[name] == -1 else given[name]
            for number, name in enumerate(("p2cread", "c2pwrite", "errwrite"))
        ]
        extra = sorted(given["pass_fds"])
        request["targets"] = [0, 1, 2, *extra]
        self.pid = SERVER_OF_COMMANDS.start(request, streams + extra)
        self._child_created = True
        names = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(given[name] for name in names))  # type: ignore[attr-defined]


def request_of(given: dict[str, Any]) -> Request | None:
    """What the server is asked for with these arguments of `_execute_child`; None where it can't be."""
    command, environment = given["args"], given["env"]
    if not isinstance(command, (list, tuple)) or list(command[:3]) != START:
        return None
    if any(given[name] not in (None, False, -1) for name in NOT_TAKEN) or given["umask"] != -1:
        return None
    wanted = dict(os.environ if environment is None else environment)
    if not all(isinstance(part, str) for part in (*command, *wanted, *wanted.values())):
        return None
    if early(wanted) != early(dict(os.environ)):
        return None
    directory = os.path.abspath(given["cwd"] or ".")
    if not os.access(directory, os.X_OK):
        return None
    return {
        "arguments": list(command[3:]),
        "directory": directory,
        "environment": wanted,
        "targets": [],
        "is_new_session": given["start_new_session"],
        "owns_terminal": False,
        "group": given["process_group"],
    }


def start_at_terminal(
    command: Sequence[str], environment: dict[str, str], terminal: int, *, owns_terminal: bool
) -> int | None:
    """The pid of a command in a session of its own, whose standard streams are `terminal`; None if it has to
    start anew."""
    given = dict.fromkeys(NOT_TAKEN) | {"args": list(command), "env": environment, "umask": -1, "cwd": None}
    request = request_of(given | {"start_new_session": True, "process_group": -1})
    if request is None or subprocess.Popen is not QuickPopen:
        return None
    request["targets"] = [0, 1, 2]
    request["owns_terminal"] = owns_terminal
    return SERVER_OF_COMMANDS.start(request, [terminal] * 3)


def early(environment: dict[str, str]) -> dict[str, str]:
    """The part of an environment at which Python looks before it imports anything."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(("PYTHON", "LC_")) or name == "LANG"
    }
