"""What happened in a run that oracles ask about: who was made by whom, what ended how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from procession.abi.errno import ESRCH, Errno
from procession.abi.named_tuple import NamedTuple
from procession.abi.signals import SIG_DFL, SIG_IGN
from procession.explore.data_race import Access
from procession.explore.signal_safety import above, unsafe_function
from procession.kernel import observer as told
from procession.trace.descriptors import returns_descriptor

if TYPE_CHECKING:
    from procession.explore.data_race import Happening
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task
    from procession.trace.call_stack import CallStacks

_LAST_STREAM = 2
_HANDLER, _HANDLER_END = "handler", "handler-end"
_TOLD = frozenset((told.ACCESS, told.SIGNAL, told.CLONE, told.EXIT, told.EXEC, told.REAP))


class Fact(NamedTuple):
    """One thing that happened to task `tid` of process `pid`.

    `name` is "clone" (`detail` is its maker's process, whether it's a thread, and its maker), "open" (a
    descriptor that a thread among others got), "use" (a descriptor that one is about to use, and the call),
    "leak" (a descriptor that a new program has, and the thread that opened it), "exit" (its wait status, and
    its parent's process by then), "reap" (nothing), "handler" (one begins in an unsafe function: the signal,
    the function and the stack), "handler-end" (nothing), "unsafe-handler" (the signal, the interrupted
    function, and the one that was called), or "stale-pid" (the id that it named and the call's name).
    """

    name: str
    tid: int
    pid: int
    command: str
    detail: tuple[Any, ...] = ()


class FactWatcher:
    """An observer that keeps the facts of a run in `facts`; it changes nothing.

    `happenings` are the accesses to memory that tasks share, where these are told, with what puts an order
    between them. With `stacks` it's looked at what signal handlers interrupt, and what they call: `handlers`
    are those that tasks are in now. Without `looks_at_descriptors` it's nobody's business which of these
    threads open and use.
    """

    __slots__ = ("facts", "handlers", "happenings", "kernel", "looks_at_descriptors", "stacks")

    def __init__(
        self, kernel: Kernel, stacks: CallStacks | None = None, *, looks_at_descriptors: bool = True
    ) -> None:
        self.kernel = kernel
        self.stacks = stacks
        self.looks_at_descriptors = looks_at_descriptors
        self.facts: list[Fact] = []
        self.happenings: list[Happening] = []
        self.handlers: dict[int, Fact] = {}

    def cut(self, fact_count: int, happening_count: int) -> None:
        """Forget what came later than so many facts and happenings."""
        del self.facts[fact_count:]
        del self.happenings[happening_count:]
        self.handlers.clear()
        if self.stacks is not None:
            for fact in self.facts:
                self._note_handler(fact)

    def _note_handler(self, fact: Fact) -> None:
        if fact.name == _HANDLER:
            self.handlers[fact.tid] = fact
        elif fact.name == _HANDLER_END:
            self.handlers.pop(fact.tid, None)

    def _pass_kernel(self, task: Task) -> None:
        """`task` is in the kernel: with those that do nothing but that there is no race."""
        if self.happenings and self.happenings[-1] != task.tid:
            self.happenings.append(task.tid)

    def _add(self, name: str, task: Task, *detail: Any) -> None:
        command = task.command_name.decode(errors="replace")
        fact = Fact(name, task.tid, task.tgid, command, detail)
        self.facts.append(fact)
        self._note_handler(fact)

    def system_call_entered(self, task: Task, call: Any, arguments: tuple[Any, ...]) -> None:
        """See `Observer`."""
        self._pass_kernel(task)
        if self.stacks is not None:
            self._look_at_handler(self.stacks, task, call.name)
        if self.looks_at_descriptors and len(task.group.threads) > 1:
            for argument, parameter in zip(arguments, call.parameters, strict=False):
                if (
                    parameter.kind is not None
                    and parameter.kind.name == "fd"
                    and argument in task.files.files
                ):
                    self._add("use", task, argument, call.name)

    def system_call_returned(
        self, task: Task, call: Any, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """See `Observer`."""
        self._pass_kernel(task)
        if (
            self.looks_at_descriptors
            and isinstance(outcome, int)
            and len(task.group.threads) > 1
            and outcome in task.files.files
            and returns_descriptor(call, arguments)
            # dup2(2) of a descriptor to itself does nothing.
            and not (call.name == "dup2" and outcome == arguments[0])
        ):
            self._add("open", task, outcome)
        elif isinstance(outcome, ESRCH) and arguments and isinstance(arguments[0], int):
            number = abs(arguments[0])
            if any(fact.name == "reap" and fact.tid == number for fact in self.facts):
                self._add("stale-pid", task, number, call.name)

    def _look_at_handler(self, stacks: CallStacks, task: Task, call: str) -> None:
        """What `task` calls in a handler that has interrupted a function, if both aren't safe for that."""
        last = self.handlers.get(task.tid)
        if last is None:
            return
        if call == "rt_sigreturn":
            self._add(_HANDLER_END, task)
            return
        signo, interrupted, stack = last.detail
        called = unsafe_function(above(stacks.lines_of(task), stack))
        if called:
            self._add("unsafe-handler", task, signo, interrupted, called)

    def _note_leaks(self, task: Task) -> None:
        """What the program that `task` executes has open that another thread than its maker had opened."""
        born = next((fact for fact in self.facts if fact.name == "clone" and fact.tid == task.tid), None)
        if born is None:
            return
        pid, _, tid = born.detail
        for fact in self.facts:
            if (
                fact.name == "open"
                and fact.pid == pid
                and fact.tid != tid
                and fact.detail[0] in task.files.files
                and fact.detail[0] > _LAST_STREAM
            ):
                self._add("leak", task, fact.detail[0], fact.tid)

    def unknown_call(self, task: Task, number: int) -> None:
        """See `Observer`."""

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """See `Observer`."""
        if kind not in _TOLD:
            return
        if kind == told.ACCESS:
            region, address, size, is_write, is_locked, instruction, library = detail
            if not self.happenings:
                # All that has been is before it.
                self.happenings += [each.tid for each in self.kernel.tasks]
            self.happenings.append(
                Access(task.tid, region, address, size, is_write, is_locked, instruction, library)
            )
            return
        if kind == told.SIGNAL and self.stacks is not None:
            handler = task.group.handlers.actions[detail.signo].handler
            if handler not in (SIG_DFL, SIG_IGN):
                stack = tuple(self.stacks.lines_of(task))
                interrupted = unsafe_function(stack)
                if interrupted:
                    self._add(_HANDLER, task, detail.signo, interrupted, stack)
        if kind in (told.CLONE, told.EXIT):
            if kind == told.CLONE and self.kernel.current is not None:
                self._pass_kernel(self.kernel.current)
            self._pass_kernel(task)
        if kind == told.CLONE:
            current = self.kernel.current
            pid, tid = (0, 0) if current is None else (current.tgid, current.tid)
            self._add("clone", task, pid, not task.is_leader, tid)
        elif kind == told.EXEC:
            self._note_leaks(task)
        elif kind == told.EXIT:
            parent = task.parent
            self._add("exit", task, task.exit_code, 0 if parent is None else parent.tgid)
        elif kind == told.REAP:
            self._add("reap", task)
