"""Starting a machine's program: its streams, its directory, and the search along PATH."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, ENOENT, ENOEXEC, ENOTDIR, Errno
from procession.fs import namei
from procession.fs.file import O_NOCTTY, O_RDWR
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.program.exec import do_execve
from procession.kernel.task import SIGNAL_PENDING, Task
from procession.kernel.terminal import set_controlling_terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from procession.fs.dentry import Path
    from procession.fs.host_stream import HostInput, HostOutput
    from procession.fs.terminal.host import HostTerminal
    from procession.fs.vfs import Vfs
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.credentials import Credentials

STDOUT, STDERR = 1, 2
DEFAULT_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
}


class StartFailure(ValueError):
    """A program can't start, for another reason than that it can't be executed; its text says which."""


def give_terminal(task: Task, terminal: HostTerminal) -> None:
    """Let `terminal` be the standard streams of `task`, and what controls it."""
    file = terminal.open_slave(O_RDWR | O_NOCTTY, task.credentials)
    for _ in range(3):
        task.files.install(file, limit=3)
    set_controlling_terminal(task.group, terminal.slave_tty)


def give_streams(task: Task, vfs: Vfs, stdin: HostInput, output: HostOutput) -> None:
    """Give `task` its standard streams, which are its user's to open again by name."""
    credentials = task.credentials
    for file in (
        stdin.open(vfs, credentials),
        output.open(vfs, credentials, STDOUT),
        output.open(vfs, credentials, STDERR),
    ):
        file.inode.uid = credentials.uid
        task.files.install(file, limit=3)


def enter_directory(task: Task, name: str) -> None:
    """Let `task` start in the directory `name`, which it may search. Raises StartFailure."""
    try:
        task.fs.set_cwd(namei.lookup(task.fs, task.credentials, os.fsencode(name), must_be_directory=True))
    except Errno as error:
        raise StartFailure(f"the program can't start in the directory {name}: {error.text}") from None


def enter_callers_directory(task: Task, credentials: Credentials) -> str | None:
    """Let `task` start where the calling process is, as a child of that would; in / if it isn't to be seen.

    Gives the directory's name, or None if that was so.
    `credentials` are those of who may look it up: a program inherits its directory, whoever it runs as.
    """
    try:
        name = os.getcwd()
        task.fs.set_cwd(namei.lookup(task.fs, credentials, os.fsencode(name), must_be_directory=True))
    except (Errno, OSError):
        # It was removed, or lies where the machine has its own files.
        return None
    return name


def environment_in(
    image_environment: Mapping[str, str], host_name: str, given: Mapping[str, str] | None, *, is_root: bool
) -> dict[str, str]:
    """A program's variables in a container, as docker has them: `given` over the image's over a few more.

    HOME of another user than root is added by whoever knows it.
    """
    environment = {"PATH": DEFAULT_ENVIRONMENT["PATH"], "HOSTNAME": host_name}
    environment.update(image_environment)
    environment.update(given or {})
    if is_root:
        environment.setdefault("HOME", DEFAULT_ENVIRONMENT["HOME"])
    return environment


def execute(
    kernel: Kernel, task: Task, arguments: list[bytes], environment: list[bytes], search_path: str
) -> None:
    """execvpe(3): along PATH, a file without a format is a shell script. Raises what execve(2) does.

    A file that is there, but whose interpreter isn't, ends the search: the reason names the interpreter.
    """
    name = arguments[0]
    candidates = [name]
    if b"/" not in name:
        candidates = [(folder or b".") + b"/" + name for folder in os.fsencode(search_path).split(b":")]
    failure: Errno | None = None
    for candidate in candidates:
        try:
            place = namei.lookup(task.fs, task.credentials, candidate)
        except (ENOENT, ENOTDIR):
            continue
        except EACCES as error:
            failure = error
            continue
        try:
            _replace_program(kernel, task, place, candidate, arguments.copy(), environment)
        except EACCES as error:
            failure = error
            continue
        except ENOEXEC:
            shell = namei.lookup(task.fs, task.credentials, b"/bin/sh")
            script = [b"sh", candidate, *arguments[1:]]
            _replace_program(kernel, task, shell, b"/bin/sh", script, environment)
        return
    if failure is not None:
        raise failure
    raise ENOENT if b"/" in name else ENOENT(f"{os.fsdecode(name)} isn't on PATH")


def _replace_program(
    kernel: Kernel, task: Task, place: Path, name: bytes, arguments: list[bytes], environment: list[bytes]
) -> None:
    """execve(2). Past the point of no return a failure isn't one of the start: the task ends at once."""
    try:
        do_execve(kernel, task, place, name, arguments, environment)
    except (Errno, OutOfFrames):
        if not task.work & SIGNAL_PENDING:
            raise


def as_list(command: str | bytes) -> list[str]:
    """The words of a command line, for a message."""
    import shlex

    try:
        return shlex.split(os.fsdecode(command))
    except ValueError:
        return [os.fsdecode(command)]
