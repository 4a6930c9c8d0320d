"""What Linux permits a system call to answer and seldom does: short transfers, EINTR, a lack of things."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.errno import EAGAIN, EINTR, ENOMEM, Errno
from procession.abi.file_mode import S_IFMT
from procession.abi.limits import PIPE_BUF
from procession.abi.signals import SIG_DFL, SIG_IGN
from procession.fs.file import O_NONBLOCK
from procession.fs.inode import S_IFDIR, S_IFIFO, S_IFREG
from procession.kernel.signal.handlers import SA_RESTART

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task
    from procession.syscalls.declaration import SystemCall

FAULTS = "faults"
CHOSEN_TO_FAIL = "it was chosen to fail so"
"""The reason of such an error."""
_MAKING = frozenset(("fork", "vfork", "clone", "clone3"))
_MAPPING = frozenset(("mmap", "mremap"))
_READING, _WRITING = frozenset(("read", "recvfrom")), frozenset(("write", "sendto"))
# signal(7): what goes on after a handler with SA_RESTART, and what never does.
_RESTARTED = (
    _READING | _WRITING | frozenset(("wait4", "waitid", "accept", "accept4", "flock", "futex", "connect"))
)
_INTERRUPTED = frozenset(
    (
        *("nanosleep", "clock_nanosleep", "poll", "ppoll", "select", "pselect6", "epoll_wait", "epoll_pwait"),
        *("semop", "semtimedop", "msgrcv", "msgsnd", "rt_sigtimedwait"),
    )
)
_COUNT = 2
"""Where the number of bytes is among the arguments of what reads and writes."""


def with_permitted_outcome(
    kernel: Kernel, task: Task, call: SystemCall, arguments: tuple[Any, ...]
) -> tuple[Any, ...]:
    """The arguments with which `task` makes `call`, if it makes it: which of the permitted outcomes is
    chosen.

    The first is that nothing is out of the ordinary. Raises the errno otherwise.
    """
    if task.group is kernel.init and not task.has_executed:
        # The machine's own init.
        return arguments
    errors = _errors(task, call, arguments)
    has_short = _may_be_short(task, call, arguments)
    if not errors and not has_short:
        return arguments
    chosen = kernel.choose(FAULTS, 1 + len(errors) + has_short)
    if chosen > len(errors):
        return (*arguments[:_COUNT], arguments[_COUNT] // 2, *arguments[_COUNT + 1 :])
    if chosen:
        raise errors[chosen - 1](CHOSEN_TO_FAIL)
    return arguments


def _errors(task: Task, call: SystemCall, arguments: tuple[Any, ...]) -> list[type[Errno]]:
    name = call.name
    if name in _MAKING:
        return [EAGAIN, ENOMEM]
    if name in _MAPPING:
        return [ENOMEM]
    errors: list[type[Errno]] = []
    if name in _RESTARTED or name in _INTERRUPTED:
        file = _file(task, call, arguments)
        is_slow = file is None or not _is_data(file)
        if is_slow and _has_handler(task, is_any=name in _INTERRUPTED):
            errors.append(EINTR)
        if name in _WRITING and file is not None and is_slow and file.flags & O_NONBLOCK:
            errors.append(EAGAIN)
    return errors


def _may_be_short(task: Task, call: SystemCall, arguments: tuple[Any, ...]) -> bool:
    """Whether a transfer of a part is possible: of the half then, and of one byte at least."""
    if call.name not in _READING and call.name not in _WRITING:
        return False
    file = _file(task, call, arguments)
    if file is None or arguments[_COUNT] < 2:
        return False
    if call.name in _READING:
        return not _is_data(file)
    is_pipe = file.inode.mode & S_IFMT == S_IFIFO
    return not is_pipe or arguments[_COUNT] > PIPE_BUF


def _file(task: Task, call: SystemCall, arguments: tuple[Any, ...]) -> File | None:
    positions = call.fd_positions
    return task.files.files.get(arguments[positions[0]]) if positions else None


def _is_data(file: File) -> bool:
    return file.inode.mode & S_IFMT in (S_IFREG, S_IFDIR)


def _has_handler(task: Task, *, is_any: bool) -> bool:
    """Whether the process handles a signal after which such a call doesn't go on."""
    return any(
        action.handler not in (SIG_DFL, SIG_IGN) and (is_any or not action.flags & SA_RESTART)
        for action in task.group.handlers.actions
    )
