"""Starts `python -m procession` as a fork of a process that has imported it: `quick_start.py` asks for it.

usage: command_server.py FD LISTENER    sockets of packets: one connected to the process that makes requests,
                                        and one to which what shells start connects

A request is the JSON object `Request`, with the files that the command gets. The answer at FD is the
command's pid: it is a child of the peer's process (CLONE_PARENT), which waits for it as for any other. At
LISTENER it is the status with which the command has ended, in decimal.
"""

from __future__ import annotations

import array
import atexit
import ctypes
import fcntl
import gc
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import termios
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from typing import Any, TypedDict

SYS_CLONE = 56
CLONE_PARENT = 0x8000
LONGEST_REQUEST = 200_000
MOST_FILES = 64
ABOVE_ALL_TARGETS = 500
"""Files are received below the numbers they're to have, or at them, and move out of the way first."""


class Request(TypedDict):
    """What a command is started with."""

    arguments: list[str]
    directory: str
    environment: dict[str, str]
    targets: list[int]
    """The numbers that the request's files are to have."""
    is_new_session: bool
    owns_terminal: bool
    """Whether standard input becomes the new session's terminal."""
    group: int
    """As `subprocess.Popen` takes it: -1 for none."""


class CalledAtEnd:
    """What modules register with `atexit` when they're imported, for commands to register as their second.

    A command registers first what ends it at once, and imports those modules later: what is registered last
    is called first.
    """

    def __init__(self) -> None:
        self.register = atexit.register
        self.kept: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        atexit.register = self.keep  # type: ignore[assignment]

    def keep(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Callable[..., Any]:
        """In place of `atexit.register` while modules are imported."""
        self.kept.append((function, arguments, named))
        return function

    def become(self) -> None:
        """This process is a command's now."""
        atexit.register = self.register_with_kept  # type: ignore[assignment]

    def register_with_kept(
        self, function: Callable[..., Any], *arguments: Any, **named: Any
    ) -> Callable[..., Any]:
        """In place of `atexit.register` for the first that a command registers."""
        atexit.register = self.register
        self.register(function, *arguments, **named)
        for kept, its_arguments, its_named in self.kept:
            self.register(kept, *its_arguments, **its_named)
        return function


def import_all() -> None:
    """Import every module of the package; what needs an extra that isn't installed is imported on need."""
    import procession

    for module in pkgutil.walk_packages(procession.__path__, "procession."):
        if not module.name.endswith(".__main__"):
            import_module(module.name)


def warm_up() -> None:
    """Run a program: forks then have what a process makes for its first machine, such as calls' decoders."""
    from procession import Machine

    with closing(Machine(engine="auto")) as machine:
        machine.run(["/bin/sh", "-c", "/bin/true | /bin/true; :"])
    # What is let go of in a command would close files of the command's, which have its files' numbers.
    del machine
    gc.collect()


def fork_sibling() -> int:
    """As `os.fork`, but the child is one of this process's parent."""
    libc = ctypes.PyDLL(None, use_errno=True)
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = libc.syscall(
        ctypes.c_long(56), ctypes.c_long(CLONE_PARENT | signal.SIGCHLD), None, None, None, None
    )
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    return pid


def become(request: Request, files: list[int]) -> None:
    """Make this process what a new one of the command is, but for its imports."""
    moved = [fcntl.fcntl(number, fcntl.F_DUPFD, ABOVE_ALL_TARGETS) for number in files]
    for number, target in zip(moved, request["targets"], strict=True):
        os.dup2(number, target)
    kept = -1
    for target in [*sorted(request["targets"]), os.sysconf("SC_OPEN_MAX")]:
        # Python closes all from 0 when it is told to close none of them.
        if kept + 1 < target:
            os.closerange(kept + 1, target)
        kept = target
    if request["is_new_session"]:
        os.setsid()
    if request["owns_terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if request["group"] >= 0:
        os.setpgid(0, request["group"])
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["-m", *request["arguments"]]
    sys.path[0] = request["directory"]
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        setattr(sys, name, standard_stream(number, mode, getattr(sys, f"__{name}__")))


def standard_stream(number: int, mode: str, like: io.TextIOWrapper) -> io.TextIOWrapper:
    """What Python makes of a file at its start."""
    newline = None if mode == "r" else "\n"
    stream = os.fdopen(
        number, mode, encoding=like.encoding, errors=like.errors, newline=newline, closefd=False
    )
    assert isinstance(stream, io.TextIOWrapper)
    if number == 2:
        stream.reconfigure(line_buffering=True)
    return stream


def serve(channel: socket.socket, listener: socket.socket) -> bool:
    """Answer requests until the peer is gone: then False. In the process of a command: True.

    What waits for a shell's command ends at once: taking Python down with all that is imported takes a fifth
    of a second, as each reference that goes away copies a page.
    """
    children: set[int] = set()
    while True:
        ready, _, _ = select.select([channel, listener], [], [])
        if listener in ready:
            connection, _ = listener.accept()
            with connection:
                child = os.fork()
                if child == 0:
                    if answer_shell(connection):
                        return True
                    os._exit(0)
            children.add(child)
        children = {child for child in children if os.waitpid(child, os.WNOHANG) == (0, 0)}
        if channel not in ready:
            continue
        data, files, _, _ = socket.recv_fds(channel, LONGEST_REQUEST, MOST_FILES)
        if not data:
            return False
        pid = fork_sibling()
        if pid == 0:
            become(json.loads(data), files)
            return True
        for number in files:
            os.close(number)
        channel.send(array.array("q", [pid]).tobytes())


def answer_shell(connection: socket.socket) -> bool:
    """Tell the peer with which status its command has ended: False. In the process of the command: True."""
    data, files, _, _ = socket.recv_fds(connection, LONGEST_REQUEST, MOST_FILES)
    pid = os.fork()
    if pid == 0:
        become(json.loads(data), files)
        connection.detach()
        return True
    for number in (0, 1, 2, *files):
        os.close(number)
    _, status = os.waitpid(pid, 0)
    connection.send(str(status).encode())
    return False


if __name__ == "__main__":
    called_at_end = CalledAtEnd()
    import_all()
    warm_up()
    channel, listener = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    if serve(channel, listener):
        # Their numbers are closed, or the command's.
        channel.detach()
        listener.detach()
        called_at_end.become()
        runpy.run_module("procession", run_name="__main__", alter_sys=True)
