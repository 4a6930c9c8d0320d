"""The function graph: system calls from user space down through the kernel, as trees of its functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter_ns
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from procession.abi.errno import Errno
from procession.abi.named_tuple import NamedTuple
from procession.kernel import signal_delivery as delivery
from procession.kernel.kernel import Kernel
from procession.kernel.observer import EXIT, STATE
from procession.kernel.pid import Pid
from procession.kernel.signal import generation
from procession.kernel.task import NOT_ENTERED, Task
from procession.kernel.task_state import TaskState
from procession.syscalls import load_all
from procession.syscalls.declaration import TABLE, SystemCall
from procession.syscalls.dispatch import Traps
from procession.trace.call_watch import FAILED, PACKAGE, CallWatch
from procession.trace.citation import Citation, citations_of
from procession.trace.graph_values import ObjectNames, is_kernel_object, pid_text, task_text

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
_UNSAID = frozenset(("self", "kernel", "cls", "memory"))
_MAKING, _SHARING, _DROPPING = "__init__", "acquire", "put"
EFFECTS = frozenset((_MAKING, _SHARING, _DROPPING))
"""Methods that are told as what they do to their object, not as calls."""


class GraphNode:
    """One call of a function of the kernel, or `count` like ones in a row.

    `places` are its counterparts in Linux, `places_text` all in one; `effects` say which objects it made (+),
    shared (=) or dropped (-), but not those that functions which it called did; `frames` how many page frames
    it took, negative if it gave some back. `virtual_ns` is the kernel's work by the virtual clock, and
    `host_ns` includes what watching cost.
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
        "places_text",
        "result",
        "virtual_ns",
    )

    def __init__(self, name: str, places: list[Citation], places_text: str, arguments: str) -> None:
        self.name = name
        self.places = places
        self.places_text = places_text
        self.arguments = arguments
        self.result = ""
        self.effects: list[str] = []
        self.children: list[GraphNode] = []
        self.count = 1
        self.is_failed = False
        self.frames = 0
        self.host_ns = 0
        self.virtual_ns = 0

    def is_like(self, other: GraphNode) -> bool:
        """Whether two calls are alike for a reader: in everything but numbers and times."""
        if self.name != other.name or len(self.children) != len(other.children):
            return False
        return all(map(GraphNode.is_like, self.children, other.children))


_NO_NODE = GraphNode("", [], "", "")
"""The root of a tree whose call hasn't ended."""


class GraphTree:
    """One chosen call from its entry until it returned or went to sleep.

    `task` is who is in it and `call` the system call, None for a moment that none asked for. `outcome` is
    what user space was given, or "sleeps"; `is_resumed` says that it goes on with a call which slept.
    """

    __slots__ = ("call", "is_resumed", "outcome", "root", "start_ns", "task")

    def __init__(self, task: str, call: SystemCall | None, start_ns: int, is_resumed: bool) -> None:
        self.task = task
        self.call = call
        self.root = _NO_NODE
        self.start_ns = start_ns
        self.is_resumed = is_resumed
        self.outcome = ""


class _Site(NamedTuple):
    """What there is to tell of a function at each of its calls.

    `name` and its `places` in Linux, which `places_text` has in one; the `parameters` that are shown, after
    the object whose method it is; which of EFFECTS it's told as, "" for none; whether a tree begins in it,
    and of which `call`.
    """

    name: str
    places: list[Citation]
    places_text: str
    parameters: tuple[str, ...]
    effect: str
    is_root: bool
    call: SystemCall | None


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
        self.memory = machine.kernel.memory
        self.clock = machine.kernel.clock
        self.show = show
        self.shows_all = shows_all
        self.ignored = ignored
        self.names = ObjectNames()
        self.roots = _roots(chosen)
        self.switch: CodeType = _code_of(Kernel.switch_to)
        self.calls = {call for call in self.roots.values() if call is not None}
        self.is_always_watching = None in self.roots.values()
        self.watch: CallWatch[_Site] = CallWatch(self)
        self.start = self.watch.start
        self.tree: GraphTree | None = None
        # The calls that haven't ended, each with what it does to its object.
        self.stack: list[tuple[_Site, GraphNode, str]] = []
        self.begun: Task | None = None
        # A system call's tree whose outcome isn't known yet, and the task that is in it.
        self.unfinished: GraphTree | None = None
        self.unfinished_task: Task | None = None
        # The tasks whose call has gone to sleep, by their names in the graph.
        self.sleepers: set[str] = set()
        # The tasks that are about to go on with a chosen call.
        self.awake: set[Task] = set()

    def __enter__(self) -> FunctionGraph:
        self.machine.observe(self)
        self.watch.__enter__()
        self.awake.update(task for task in self.kernel.tasks if self._goes_on(task))
        if self.is_always_watching or self.awake:
            self.watch.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.watch.__exit__(*exception)
        self._flush()
        self.machine.unobserve(self)

    # The observer's part: what user space was told, and when there's something to watch

    def system_call_entered(self, task: Task, call: SystemCall, arguments: tuple[Any, ...]) -> None:
        """Its handler is called next."""
        if self.unfinished is not None:
            self._flush()
        if call in self.calls and task.group is not self.ignored and not self.watch.is_on:
            # From its last line on calls are told of, and what comes of that is paid for.
            self.start()

    def system_call_returned(
        self, task: Task, call: SystemCall, arguments: tuple[Any, ...], outcome: int | Errno | None
    ) -> None:
        """The handler is done, and this is what it gave; an error comes with its reason."""
        if self.watch.is_on:
            self.awake.discard(task)
            self._rest()
        tree = self.unfinished
        if tree is None:
            return
        if self.unfinished_task is not task or tree.call is not call:
            # The task that is in it sleeps, and this one's call goes on without its handler.
            self._flush()
            return
        self.unfinished = None
        self.sleepers.discard(tree.task)
        if task.is_exiting:
            tree.outcome = "doesn't return"
        elif isinstance(outcome, Errno):
            tree.outcome = f"-1 {outcome}"
        else:
            tree.outcome = self.names.text(outcome or 0)
        self._show_unwatched(tree)

    def _show_unwatched(self, tree: GraphTree) -> None:
        """Show `tree`, which may take more calls than it has: to be told of these would cost for nothing."""
        watch = self.watch
        if not watch.is_on:
            self.show(tree)
            return
        watch.stop()
        try:
            self.show(tree)
        finally:
            watch.start()

    def unknown_call(self, task: Task, number: int) -> None:
        """A call that isn't built has no functions."""

    def task_event(self, task: Task, kind: str, detail: Any = None) -> None:
        """What happens to tasks is seen in the functions; but who slept in a chosen call goes on with it."""
        if kind == STATE:
            if self._goes_on(task):
                self.awake.add(task)
                self.watch.start()
        elif kind == EXIT and task in self.awake:
            self.awake.discard(task)
            self._rest()

    def _goes_on(self, task: Task) -> bool:
        """Whether `task` can run and is in the midst of a chosen call, or may be about to make one."""
        frame = task.frame
        if frame is None or task.state is not TaskState.RUNNING or task.group is self.ignored:
            return False
        return frame.number == NOT_ENTERED or TABLE[frame.number] in self.calls

    def _rest(self) -> None:
        """Watch no calls until there's something to see again: to be told of one costs much."""
        if not (self.is_always_watching or self.awake or self.stack):
            self.watch.stop()

    # The watcher's part

    def site_of(self, code: CodeType) -> _Site | None:
        """All functions of the kernel's layers, and the trap handlers."""
        is_root = code in self.roots
        if not is_root and not code.co_filename.startswith(_LAYERS):
            return None
        places = citations_of(code)
        effect = code.co_name if code.co_name in EFFECTS else ""
        if not (places or effect or is_root or self.shows_all):
            # It stands for nothing, and those that it calls are told by themselves.
            return None
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        shown = tuple(name for name in names if name not in _UNSAID and not name.startswith("_"))
        return _Site(
            code.co_qualname.replace("._", ".").lstrip("_"),
            places,
            "; ".join(map(str, places)),
            ("self", *shown) if names[:1] == ("self",) else shown,
            effect,
            is_root,
            self.roots.get(code),
        )

    def called(self, site: _Site, frame: FrameType) -> None:
        """A function is entered: a root begins a tree, in a tree it becomes a node."""
        stack = self.stack
        if not stack and not site.is_root:
            return
        # To make it costs the more the newer the interpreter.
        values = frame.f_locals
        if not stack and not self._begin(site.call, frame.f_code, values):
            return
        effect = arguments = ""
        if site.effect and stack:
            effect = self._effect(site.effect, values)
        else:
            arguments = self.names.texts(values, site.parameters)
        node = GraphNode(site.name, site.places, site.places_text, arguments)
        stack.append((site, node, effect))
        node.frames = -self.memory.used_frames
        node.virtual_ns = -self.clock.kernel_work_ns
        node.host_ns = -perf_counter_ns()

    def returned(self, site: _Site, result: Any) -> None:
        """It has ended: its node is complete, and put in its place."""
        now_ns = perf_counter_ns()
        stack = self.stack
        if not stack or stack[-1][0] is not site:
            return
        _, node, effect = stack.pop()
        node.host_ns += now_ns
        node.virtual_ns += self.clock.kernel_work_ns
        node.frames += self.memory.used_frames
        if result is FAILED:
            node.is_failed = True
        elif result is not None:
            node.result = self.names.text(result)
        if not stack:
            self._end(node)
            return
        parent = stack[-1][1]
        if effect:
            _join(parent.effects, [effect])
        if node.places or (self.shows_all and not effect):
            _append(parent.children, node)
        else:
            if node.effects:
                _join(parent.effects, node.effects)
            for child in node.children:
                _append(parent.children, child)

    def _begin(self, call: SystemCall | None, code: CodeType, values: Mapping[str, Any]) -> bool:
        """Begin a tree; False for what the ignored process does, and for a switch that is none."""
        task = values.get("task") if call is not None else self.kernel.current
        if isinstance(task, Task):
            if task.group is self.ignored:
                return False
            if code is self.switch and task is self.kernel.live:
                # It goes on.
                return False
            name = task_text(task)
            if call is not None:
                self.begun = task
                self.awake.discard(task)
        else:
            name = "idle"
        if self.unfinished is not None:
            self._flush()
        is_resumed = call is not None and name in self.sleepers
        self.tree = GraphTree(name, call, self.kernel.clock.run_ns, is_resumed)
        return True

    def _end(self, root: GraphNode) -> None:
        tree, self.tree = self.tree, None
        assert tree is not None
        tree.root = root
        self._rest()
        if tree.call is None:
            self.show(tree)
        else:
            self.unfinished, self.unfinished_task = tree, self.begun

    def _flush(self) -> None:
        """Show the tree that waits for its outcome: there won't be one now, the call sleeps."""
        tree, self.unfinished = self.unfinished, None
        if tree is not None:
            tree.outcome = "sleeps"
            self.sleepers.add(tree.task)
            self.show(tree)

    def _effect(self, kind: str, values: Mapping[str, Any]) -> str:
        """What a call that makes, shares or drops an object does to it, "" if Linux has no such object."""
        subject = values.get("self")
        if not is_kernel_object(subject):
            return ""
        # These have no name yet.
        if isinstance(subject, Task):
            return "+task"
        if isinstance(subject, Pid):
            return f"+{pid_text(values['numbers'])}"
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
            roots.update((_code_of(function), None) for function in MOMENTS[name])
            continue
        for call_name in FAMILIES.get(name, (name,)):
            call = by_name.get(call_name)
            if call is None:
                known = ", ".join((*FAMILIES, *MOMENTS))
                raise ValueError(f"'{name}' is no system call that is built, nor one of {known}")
            roots[_code_of(inspect.unwrap(call.handler))] = call
    return roots


def _code_of(function: Callable[..., Any]) -> CodeType:
    """Raises ValueError for a function that mypyc has compiled."""
    if not hasattr(function, "__code__"):
        raise ValueError("compiled code can't be watched: take the interpreted build")
    return function.__code__


def _append(nodes: list[GraphNode], node: GraphNode) -> None:
    """Add `node` to its siblings; a like one right before it counts for both."""
    if nodes and nodes[-1].is_like(node):
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
