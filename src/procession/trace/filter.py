"""Chooses what of a trace is shown: by system call, family, process, path and outcome."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from procession.abi.errno import BY_NUMBER, Errno
from procession.abi.named_tuple import NamedTuple
from procession.fs.dentry import absolute_path
from procession.kernel.observer import EXEC, EXIT
from procession.syscalls import load_all
from procession.syscalls.declaration import TABLE, SystemCall

if TYPE_CHECKING:
    from procession.kernel.observer import Observer
    from procession.kernel.task import Task

SUCCESS, FAILURE = "ok", "failed"
"""Outcomes besides the names of errors."""
_BY_MODULE = {
    "%process": ("process",),
    "%signal": ("signal", "kill"),
    "%memory": ("memory", "memory_advice", "memory_lock", "memory_policy", "memory_remap"),
    "%network": ("socket", "socket_control", "socket_message", "socket_option"),
    "%ipc": ("ipc_msg", "ipc_sem", "ipc_shm"),
    "%creds": ("identity",),
    "%sched": ("sched",),
    "%time": ("time", "timers"),
    "%mount": ("mount",),
}
"""Families of calls, by the modules that declare them: strace(1)'s, and `%sched`, `%time` and `%mount`."""
_BY_PARAMETER = {"%file": "path", "%desc": "fd"}
"""Families by what their calls take; `%file` are those with a path."""
_ALSO = {
    "%process": (*("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"),),
    "%signal": ("pidfd_send_signal",),
    "%memory": ("shmat", "shmdt", "io_setup", "io_destroy", "pkey_mprotect"),
    "%network": ("sendfile",),
    "%creds": ("prctl",),
    "%file": ("fanotify_mark", "getcwd"),
    "%desc": (
        *("open", "creat", "pipe", "pipe2", "epoll_create", "epoll_create1", "eventfd", "eventfd2", "bpf"),
        *("fanotify_init", "inotify_init", "inotify_init1", "memfd_create", "timerfd_create", "mq_open"),
        *("fsopen", "landlock_create_ruleset", "pidfd_open", "poll", "ppoll", "select", "pselect6"),
        *("userfaultfd", "memfd_secret"),
    ),
}
_BUT_NOT = {
    "%process": ("getpid", "getppid", "gettid", "set_tid_address"),
    "%signal": ("restart_syscall",),
    "%file": ("fsopen", "mq_open", "mq_unlink"),
    "%desc": (
        *("accept", "accept4", "bind", "connect", "listen", "shutdown", "getpeername", "getsockname"),
        *("getsockopt", "setsockopt", "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg"),
    ),
}
"""Where strace(1) sees it otherwise, which a test asks."""


class TraceFilter(NamedTuple):
    """What is shown; an empty tuple or set chooses all.

    `calls` are names of system calls; `pids` ids of processes; `paths` beginnings of paths that a call names,
    or of what a descriptor that it uses has open; `outcomes` are SUCCESS, FAILURE and names of errors.
    """

    calls: frozenset[str] = frozenset()
    pids: frozenset[int] = frozenset()
    paths: tuple[bytes, ...] = ()
    outcomes: frozenset[str] = frozenset()

    @property
    def is_about_calls(self) -> bool:
        """Whether it chooses among calls, not only among processes."""
        return bool(self.calls or self.paths or self.outcomes)

    def wants_task(self, task: Task) -> bool:
        """Whether anything of `task` is shown."""
        return not self.pids or task.tgid in self.pids

    def wants_call(self, task: Task, call: SystemCall, arguments: tuple[Any, ...]) -> bool:
        """Whether a call may be shown, by all that is known when it begins."""
        if not self.wants_task(task) or (self.calls and call.name not in self.calls):
            return False
        return not self.paths or any(name.startswith(self.paths) for name in _paths_of(task, call, arguments))

    def wants_outcome(self, outcome: int | Errno | None) -> bool:
        """Whether a call that ended so is shown."""
        if not self.outcomes:
            return True
        if isinstance(outcome, Errno):
            return FAILURE in self.outcomes or outcome.name in self.outcomes
        return SUCCESS in self.outcomes


def calls_named(names: Iterable[str]) -> frozenset[str]:
    """The system calls that `names` choose: by name, by family as `%file`, or either after `!` to leave out.

    Raises ValueError for a name that no call bears.
    """
    load_all()
    chosen: set[str] = set()
    all_calls = [call for call in TABLE if call is not None]
    names = list(names)
    if names and all(name.startswith("!") for name in names):
        chosen.update(call.name for call in all_calls)
    for name in names:
        bare = name.removeprefix("!")
        found = {call.name for call in all_calls if bare in (call.name, *_families(call))}
        if not found:
            families = ", ".join((*_BY_MODULE, *_BY_PARAMETER))
            raise ValueError(f"'{bare}' is no system call that is built, nor one of {families}")
        if name is bare:
            chosen |= found
        else:
            chosen -= found
    return frozenset(chosen)


def outcomes_named(names: Iterable[str]) -> frozenset[str]:
    """Check the names of outcomes: `ok`, `failed`, or of errors. Raises ValueError."""
    known = {SUCCESS, FAILURE, *(kind.__name__ for kind in BY_NUMBER.values())}
    names = frozenset(names)
    for name in names - known:
        raise ValueError(f"'{name}' is no outcome: ok, failed, or an error such as ENOENT")
    return names


class FilteredObserver:
    """An observer that passes on to another one what a filter chooses.

    Where the outcome counts, a call is told when it has ended, as the filter can't know earlier; what points
    into memory is read then. With `execs_are_calls` new programs aren't told by themselves, for a trace that
    shows them as execve(2); but the first of all is, which no call has started, if execve(2) is chosen.
    """

    __slots__ = ("execs_are_calls", "filter", "has_begun", "held", "inner", "shown")

    def __init__(self, inner: Observer, chosen: TraceFilter, *, execs_are_calls: bool = False) -> None:
        self.inner = inner
        self.execs_are_calls = execs_are_calls and chosen.is_about_calls
        self.filter = chosen
        self.has_begun = False
        self.held: dict[Task, tuple[Any, ...]] = {}
        self.shown: set[Task] = set()

    def system_call_entered(self, task: Task, call: Any, arguments: tuple[Any, ...]) -> None:
        """See `Observer`."""
        self.has_begun = True
        if not self.filter.wants_call(task, call, arguments):
            return
        if self.filter.outcomes:
            self.held[task] = arguments
        else:
            self.shown.add(task)
            self.inner.system_call_entered(task, call, arguments)

    def system_call_returned(
        self, task: Task, call: Any, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """See `Observer`."""
        held = self.held.pop(task, None)
        is_shown = task in self.shown
        self.shown.discard(task)
        if held is not None and self.filter.wants_outcome(outcome):
            self.inner.system_call_entered(task, call, held)
            is_shown = True
        elif not arguments and not is_shown and held is None:
            # It wasn't entered, as its arguments couldn't be decoded.
            is_shown = self.filter.wants_call(task, call, ()) and self.filter.wants_outcome(outcome)
        if is_shown:
            self.inner.system_call_returned(task, call, arguments, outcome)

    def unknown_call(self, task: Task, number: int) -> None:
        """See `Observer`."""
        chosen = self.filter
        has_outcome = not chosen.outcomes or chosen.outcomes & {FAILURE, "ENOSYS"}
        if has_outcome and not chosen.calls and not chosen.paths and chosen.wants_task(task):
            self.inner.unknown_call(task, number)

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """See `Observer`."""
        if not self.filter.wants_task(task):
            return
        if kind == EXIT:
            # Its last call doesn't return.
            self.held.pop(task, None)
            self.shown.discard(task)
        if kind == EXEC and self.execs_are_calls and (self.has_begun or not self._wants_start()):
            return
        self.inner.task_event(task, kind, detail)

    def _wants_start(self) -> bool:
        chosen = self.filter
        return (
            (not chosen.calls or "execve" in chosen.calls)
            and not chosen.paths
            and self.filter.wants_outcome(0)
        )


def _families(call: SystemCall) -> list[str]:
    module = call.handler.__module__.rpartition(".")[2]
    families = [family for family, modules in _BY_MODULE.items() if module in modules]
    kinds = {parameter.kind.name for parameter in call.parameters if parameter.kind is not None}
    families += [family for family, part in _BY_PARAMETER.items() if any(part in kind for kind in kinds)]
    families += [family for family, names in _ALSO.items() if call.name in names]
    return [family for family in families if call.name not in _BUT_NOT.get(family, ())]


def _paths_of(task: Task, call: SystemCall, arguments: tuple[Any, ...]) -> list[bytes]:
    found = []
    for parameter, argument in zip(call.parameters, arguments, strict=False):
        kind = parameter.kind.name if parameter.kind is not None else ""
        if "path" in kind and isinstance(argument, bytes):
            found.append(argument)
        elif kind == "fd" and isinstance(argument, int):
            file = task.files.files.get(argument)
            if file is not None:
                found.append(absolute_path(file.path, task.fs.root))
    return found
