"""What descriptors have open, as `strace -y` says it beside their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.open_flags import AT_FDCWD, FcntlCommand
from procession.fs.dentry import DELETED, absolute_path, is_unlinked
from procession.trace.values import escaped

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.syscalls.declaration import SystemCall

_OPENING = frozenset(
    (
        *("accept", "accept4", "creat", "dup", "dup2", "dup3"),
        *("epoll_create", "epoll_create1", "eventfd", "eventfd2", "fsmount", "fsopen"),
        *("fspick", "inotify_init", "inotify_init1", "memfd_create", "memfd_secret"),
        *("mq_open", "open"),
        *("open_by_handle_at", "open_tree", "openat", "openat2", "perf_event_open", "pidfd_getfd"),
        *("pidfd_open", "signalfd", "signalfd4", "socket", "timerfd_create", "userfaultfd"),
    )
)
"""Calls whose result is a descriptor."""
_BRACKETS = b"<>"
_DUPLICATING = (int(FcntlCommand.F_DUPFD), int(FcntlCommand.F_DUPFD_CLOEXEC))


def with_names(
    task: Task, call: SystemCall, texts: list[str | None], arguments: tuple[Any, ...]
) -> list[str | None]:
    """The texts of a call's arguments, descriptors followed by what they have open."""
    named = list(texts)
    for position, parameter in enumerate(call.parameters[: len(texts)]):
        text = texts[position]
        if text is not None and parameter.kind is not None and parameter.kind.name == "fd":
            named[position] = text + _name_text(task, arguments[position])
    return named


def name_of_result(task: Task, call: SystemCall, arguments: tuple[Any, ...], result: int) -> str:
    """What a descriptor that `call` returned has open; "" if it returned something else."""
    return _name_text(task, result) if returns_descriptor(call, arguments) else ""


def returns_descriptor(call: SystemCall, arguments: tuple[Any, ...]) -> bool:
    """Whether the result of a call that succeeds is a descriptor."""
    return call.name in _OPENING or (call.name == "fcntl" and arguments[1] in _DUPLICATING)


def _name_text(task: Task, number: int) -> str:
    if number == AT_FDCWD:
        # Only of what a number stands for strace sees that it was deleted.
        return f"<{escaped(absolute_path(task.fs.cwd, task.fs.root), _BRACKETS)}>"
    file = task.files.files.get(number)
    if file is None:
        return ""
    path = file.path
    name = absolute_path(path, task.fs.root)
    # Files without a name, those of memfd_create(2), are called so too.
    is_nameless = is_unlinked(path.dentry) or path.mount.superblock.is_internal
    if is_nameless and name.endswith(DELETED):
        return f"<{escaped(name.removesuffix(DELETED), _BRACKETS)}>(deleted)"
    return f"<{escaped(name, _BRACKETS)}>"
