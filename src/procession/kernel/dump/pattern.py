"""Where cores go: kernel.core_pattern with its % specifiers, and the other settings of core dumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.named_tuple import NamedTuple
from procession.fs.dentry import absolute_path
from procession.kernel.program.exec import Program
from procession.kernel.rlimit import RLIMIT_CORE

if TYPE_CHECKING:
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task

PATTERN_MAXIMUM = 127
"""The longest kernel.core_pattern, in bytes (in Linux, CORENAME_MAX_SIZE with its NUL)."""
_SPACES = b" \t\n\v\f\r"


class CoreSettings:
    """What /proc/sys says of core dumps, for the whole machine (core(5), proc_sys_fs(5)).

    `suid_dumpable` is what becomes of `MemoryDescriptor.dumpable` when a process gains privilege.
    `pipe_limit` is how many cores may be piped to programs at once, which then are waited for; 0: any
    number, unawaited. `pipe_count` is how many are.
    """

    __slots__ = ("pattern", "pipe_count", "pipe_limit", "suid_dumpable", "uses_pid")

    def __init__(self) -> None:
        self.pattern = b"core"
        self.uses_pid = 0
        self.pipe_limit = 0
        self.pipe_count = 0
        self.suid_dumpable = 0

    @property
    def is_piped(self) -> bool:
        """Whether cores are handed to a program."""
        return self.pattern.startswith(b"|")


class CoreSubject(NamedTuple):
    """What a core's name tells of: the thread that got the signal, and as whom it dumps."""

    task: "Task"  # noqa: UP037
    credentials: "Credentials"  # noqa: UP037
    signo: int
    dumpable: int


def core_file_name(settings: CoreSettings, subject: CoreSubject) -> bytes:
    """The name of a core that goes to a file. Linux: fs/coredump.c, format_corename."""
    [name] = _expand(settings.pattern, subject, is_parted=False)
    if settings.uses_pid and b"%p" not in settings.pattern.replace(b"%%", b""):
        name += b".%d" % subject.task.group.pid.own_number
    return name


def core_program(settings: CoreSettings, subject: CoreSubject) -> list[bytes]:
    """The program, with its arguments, that a core is piped to. Linux: fs/coredump.c, format_corename."""
    return _expand(settings.pattern[1:], subject, is_parted=True)


def _expand(pattern: bytes, subject: CoreSubject, *, is_parted: bool) -> list[bytes]:
    """`pattern` with what its specifiers stand for; with `is_parted` cut at its own spaces."""
    words = [b""]
    was_space = False
    position = 0
    while position < len(pattern):
        character = pattern[position : position + 1]
        position += 1
        if is_parted and character in _SPACES:
            was_space = words[0] != b""
            continue
        if was_space:
            was_space = False
            words.append(b"")
        if character == b"%":
            # At the end, or before what is no specifier, it's dropped.
            character = _specifier(pattern[position : position + 1], subject)
            position += 1
        words[-1] += character
    return words


def _specifier(letter: bytes, subject: CoreSubject) -> bytes:
    """What %`letter` stands for; nothing for other letters."""
    task = subject.task
    kernel = task.kernel
    if letter == b"%":
        return b"%"
    # Small letters are as the process sees itself, capitals as the machine's first pid namespace does.
    if letter in (b"p", b"P"):
        pid = task.group.pid
        return b"%d" % (pid.own_number if letter == b"p" else pid.global_number)
    if letter in (b"i", b"I"):
        return b"%d" % (task.thread_pid.own_number if letter == b"i" else task.thread_pid.global_number)
    if letter == b"u":
        return b"%d" % subject.credentials.uid
    if letter == b"g":
        return b"%d" % subject.credentials.gid
    if letter == b"d":
        return b"%d" % subject.dumpable
    if letter == b"s":
        return b"%d" % subject.signo
    if letter == b"t":
        return b"%d" % (kernel.clock.realtime_ns // NS_PER_S)
    if letter == b"h":
        return _one_component(kernel.init_namespaces.uts.host_name)
    if letter == b"e":
        return _one_component(task.command_name)
    if letter in (b"f", b"E"):
        path = _executable_path(task)
        return _one_component(path.rpartition(b"/")[2] if letter == b"f" else path)
    if letter == b"c":
        return b"%d" % task.group.limits.soft[RLIMIT_CORE]
    if letter == b"C":
        return b"%d" % task.entity.processor
    return b""


def _executable_path(task: Task) -> bytes:
    program = task.mm.executable
    if not isinstance(program, Program):
        return task.command_name + b" (path unknown)"
    return absolute_path(program.path, task.fs.root)


def _one_component(name: bytes) -> bytes:
    """`name` such that it can't lead to another directory. Linux: fs/coredump.c, cn_esc_printf."""
    if name in (b".", b".."):
        name = b"!" + name[1:]
    return name.replace(b"/", b"!") or b"!"
