"""The function graph: system calls from user space down through the kernel, as trees of its functions."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from procession.abi.errno import Errno
from procession.kernel import signal_delivery as delivery
from procession.kernel.kernel import Kernel
from procession.kernel.signal import generation
from procession.kernel.task import Task
from procession.syscalls import load_all
from procession.syscalls.declaration import TABLE, SystemCall
from procession.syscalls.dispatch import Traps
from procession.trace.call_watch import FAILED, PACKAGE, CallWatch
from procession.trace.citation import Citation, citations_of
from procession.trace.graph_values import ObjectNames, is_kernel_object

if TYPE_CHECKING:
    from procession.kernel.task import ThreadGroup
    from procession.machine import Machine

FAMILIES: dict[str, tuple[str, ...]] = {
    "fork": ("fork", "vfork", "clone", "clone3"),
    "exec": ("execve", "execveat"),
    "exit": ("exit", "exit_group"),
    "wait": ("wait4", "waitid"),
}
"""Names for several system calls at once; any other system call is chosen by its own."""
MOMENTS: dict[str, tuple[Callable[..., Any], ...]] = {
    "signal": (
        generation.send_signal,
        generation.send_group_signal,
        generation.force_signal,
        delivery.deliver_signals,
    ),
    "fault": (Traps.page_fault,),
    "switch": (Kernel.switch_to,),
}
"""What the kernel does that no system call asks for, by the functions in which it begins."""
_LAYERS = tuple(f"{PACKAGE}{layer}/" for layer in ("kernel", "mm", "fs", "net", "procfs", "syscalls"))
_MOST_ARGUMENTS = 4
_UNSAID = frozenset(("self", "kernel", "cls", "memory"))
_MAKING, _SHARING, _DROPPING = "__init__", "acquire", "put"
EFFECTS = frozenset((_MAKING, _SHARING, _DROPPING))
"""Methods that are told as what they do to their object, not as calls."""


class GraphNode:
    """One call of a function of the kernel, or `count` like ones in a row.

    `places` are its counterparts in Linux; `effects` say which objects it made (+), shared (=) or dropped
    (-), but not those that functions which it called did; `frames` how many page frames it took, negative if
    it gave some back. `host_ns` includes what watching cost.
    """

    __slots__ = (
        "arguments",
        "children",
        "count",
        "effects",
        "frames",
        "host_ns",
        "is_failed",
        "name",
        "places",
        "result",
        "virtual_ns",
    )

    def __init__(self, name: str, places: list[Citation]) -> None:
        self.name = name
        self.places = places
        self.arguments = ""
        self.result = ""
        self.effects: list[str] = []
        self.children: list[GraphNode] = []
        self.count = 1
        self.is_failed = False
        self.frames = 0
        self.host_ns = 0
        self.virtual_ns = 0

    def shape(self) -> tuple[Any, ...]:
        """What makes two calls alike for a reader: everything but numbers and times."""
        return self.name, tuple(child.shape() for child in self.children)


class GraphTree:
    """One chosen call from its entry until it returned or went to sleep.

    `task` is who is in it and `call` the system call, None for a moment that none asked for. `outcome` is
    what user space was given, or "sleeps"; `is_resumed` says that it goes on with a call which slept.
    """

    __slots__ = ("call", "is_resumed", "outcome", "root", "start_ns", "task")

    def __init__(self, task: str, call: SystemCall | None, start_ns: int, *, is_resumed: bool) -> None:
        self.task = task
        self.call = call
        self.root = GraphNode("", [])
        self.start_ns = start_ns
        self.is_resumed = is_resumed
        self.outcome = ""


class _Open(NamedTuple):
    """A call that hasn't ended, and how things were when it began."""

    code: CodeType
    node: GraphNode
    effect: str
    host_ns: int
    virtual_ns: int
    free_frames: int


class FunctionGraph:
    """Collects the trees of the calls in `chosen` and gives each to `show` when it's complete.

    `chosen` are names of FAMILIES, of MOMENTS or of system calls; ValueError for any other. It is the
    machine's observer while it watches, and a context manager. Functions that cite no counterpart in Linux
    are left out, and those that they call shown in their place, unless `shows_all`. What the process
    `ignored` does isn't shown.

    It watches the functions' calls from outside. The alternative, calls of a tracer throughout the kernel,
    would cost every run something and could tell another story than the code does.
    """

    def __init__(
        self,
        machine: Machine,
        chosen: Iterable[str],
        show: Callable[[GraphTree], None],
        *,
        shows_all: bool = False,
        ignored: ThreadGroup | None = None,
    ) -> None:
        self.machine = machine
        self.kernel = machine.kernel
        self.show = show
        self.shows_all = shows_all
        self.ignored = ignored
        self.names = ObjectNames()
        self.roots = _roots(chosen)
        self.watch = CallWatch(self)
        self.infos: dict[CodeType, tuple[str, list[Citation], tuple[str, ...]]] = {}
        self.tree: GraphTree | None = None
        self.stack: list[_Open] = []
        # A system call's tree whose outcome isn't known yet.
        self.unfinished: GraphTree | None = None
        # The tasks whose call has gone to sleep, by their names in the graph.
        self.sleepers: set[str] = set()

    def __enter__(self) -> FunctionGraph:
        self.machine.observe(self)
        self.watch.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.watch.__exit__(*exception)
        self._flush()
        self.machine.unobserve(self)

    # The observer's part: what user space was told

    def system_call_entered(self, task: Task, call: SystemCall, arguments: tuple[Any, ...]) -> None:
        """Its handler is called next."""
        self._flush()

    def system_call_returned(
        self, task: Task, call: SystemCall, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """The handler is done, and this is what it gave; an error comes with its reason."""
        tree, self.unfinished = self.unfinished, None
        if tree is None or tree.call is not call:
            return
        self.sleepers.discard(tree.task)
        if task.is_exiting:
            tree.outcome = "doesn't return"
        elif isinstance(outcome, Errno):
            tree.outcome = f"-1 {outcome}"
        else:
            tree.outcome = self.names.text(outcome or 0)
        self.show(tree)

    def unknown_call(self, task: Task, number: int) -> None:
        """A call that isn't built has no functions."""

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """What happens to tasks is seen in the functions."""

    # The watcher's part

    def wants(self, code: CodeType) -> bool:
        """All functions of the kernel's layers, and the trap handlers."""
        return code in self.roots or code.co_filename.startswith(_LAYERS)

    def called(self, code: CodeType, frame: FrameType) -> None:
        """A function is entered: a root begins a tree, in a tree it becomes a node."""
        if self.tree is None and (code not in self.roots or not self._begin(self.roots[code], frame)):
            return
        name, places, parameters = self._info(code)
        node = GraphNode(name, places)
        effect = ""
        if code.co_name in EFFECTS and self.stack:
            effect = self._effect(code, frame)
        else:
            node.arguments = self._arguments(frame, parameters)
        kernel = self.kernel
        self.stack.append(
            _Open(code, node, effect, time.perf_counter_ns(), kernel.clock.now_ns, kernel.memory.free_frames)
        )

    def returned(self, code: CodeType, result: Any) -> None:
        """It has ended: its node is complete, and put in its place."""
        if not self.stack or self.stack[-1].code is not code:
            return
        call = self.stack.pop()
        node = call.node
        node.host_ns = time.perf_counter_ns() - call.host_ns
        node.virtual_ns = self.kernel.clock.now_ns - call.virtual_ns
        node.frames = call.free_frames - self.kernel.memory.free_frames
        if result is FAILED:
            node.is_failed = True
        elif result is not None:
            node.result = self.names.text(result)
        if not self.stack:
            self._end(node)
            return
        parent = self.stack[-1].node
        if call.effect:
            _join(parent.effects, [call.effect])
        if node.places or (self.shows_all and not call.effect):
            _append(parent.children, node)
        else:
            _join(parent.effects, node.effects)
            for child in node.children:
                _append(parent.children, child)

    def _begin(self, call: SystemCall | None, frame: FrameType) -> bool:
        """Begin a tree; False for what the ignored process does."""
        self._flush()
        task = frame.f_locals.get("task") if call is not None else self.kernel.current
        if isinstance(task, Task) and task.group is self.ignored:
            return False
        name = self.names.name(task) if isinstance(task, Task) else "idle"
        is_resumed = call is not None and name in self.sleepers
        self.tree = GraphTree(name, call, self.kernel.clock.now_ns, is_resumed=is_resumed)
        return True

    def _end(self, root: GraphNode) -> None:
        tree, self.tree = self.tree, None
        assert tree is not None
        tree.root = root
        if tree.call is None:
            self.show(tree)
        else:
            self.unfinished = tree

    def _flush(self) -> None:
        """Show the tree that waits for its outcome: there won't be one now, the call sleeps."""
        tree, self.unfinished = self.unfinished, None
        if tree is not None:
            tree.outcome = "sleeps"
            self.sleepers.add(tree.task)
            self.show(tree)

    def _info(self, code: CodeType) -> tuple[str, list[Citation], tuple[str, ...]]:
        info = self.infos.get(code)
        if info is None:
            count = code.co_argcount + code.co_kwonlyargcount
            info = self.infos[code] = (
                code.co_qualname.replace("._", ".").lstrip("_"),
                citations_of(code),
                code.co_varnames[:count],
            )
        return info

    def _arguments(self, frame: FrameType, parameters: tuple[str, ...]) -> str:
        values = frame.f_locals
        shown = [
            self.names.text(values[name])
            for name in parameters
            if name not in _UNSAID and name in values and not name.startswith("_")
        ]
        subject = values.get("self")
        if subject is not None and parameters[:1] == ("self",):
            shown.insert(0, self.names.text(subject))
        more = ", ..." if len(shown) > _MOST_ARGUMENTS else ""
        return ", ".join(shown[:_MOST_ARGUMENTS]) + more

    def _effect(self, code: CodeType, frame: FrameType) -> str:
        """What a call that makes, shares or drops an object does to it, "" if Linux has no such object."""
        subject = frame.f_locals.get("self")
        if not is_kernel_object(subject):
            return ""
        kind = code.co_name
        if isinstance(subject, Task):
            # It has no name yet.
            return "+task"
        users = getattr(subject, "reference_count", None)
        name = self.names.name(subject)
        if kind == _MAKING:
            return f"+{name}"
        if kind == _SHARING:
            return f"={name}" + (f" ({users + 1} users)" if isinstance(users, int) else "")
        if isinstance(users, int) and users > 1:
            return f"-{name} ({users - 1} left)"
        return f"-{name}"


def check_names(chosen: Iterable[str]) -> None:
    """Raise ValueError for a name that chooses nothing."""
    _roots(chosen)


def _roots(chosen: Iterable[str]) -> dict[CodeType, SystemCall | None]:
    load_all()
    by_name = {call.name: call for call in TABLE if call is not None}
    roots: dict[CodeType, SystemCall | None] = {}
    for name in chosen:
        if name in MOMENTS:
            roots.update((function.__code__, None) for function in MOMENTS[name])
            continue
        for call_name in FAMILIES.get(name, (name,)):
            call = by_name.get(call_name)
            if call is None:
                known = ", ".join((*FAMILIES, *MOMENTS))
                raise ValueError(f"'{name}' is no system call that is built, nor one of {known}")
            handler = inspect.unwrap(call.handler)
            if not hasattr(handler, "__code__"):
                raise ValueError("compiled code can't be watched: take the interpreted build")
            roots[handler.__code__] = call
    return roots


def _append(nodes: list[GraphNode], node: GraphNode) -> None:
    """Add `node` to its siblings; a like one right before it counts for both."""
    if nodes and nodes[-1].shape() == node.shape():
        last = nodes[-1]
        last.count += node.count
        last.host_ns += node.host_ns
        last.virtual_ns += node.virtual_ns
        last.frames += node.frames
        _join(last.effects, node.effects)
        return
    nodes.append(node)


def _join(effects: list[str], more: list[str]) -> None:
    """Add `more` to `effects`; of sharing or dropping one object again and again the last is told."""
    for effect in more:
        subject = effect.partition(" ")[0]
        for position, earlier in enumerate(effects):
            if earlier.partition(" ")[0] == subject:
                effects[position] = effect
                break
        else:
            effects.append(effect)
