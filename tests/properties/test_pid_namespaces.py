"""Checks random trees of processes in nested pid namespaces against a small model of who sees whom."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from procession.abi.errno import ECHILD, ESRCH
from procession.kernel.rlimit import RLIMIT_NPROC, RLIMIT_SIGPENDING
from procession.kernel.task import Task
from tests.kernel.conducted_machine import ENDED, SLEEPS, ConductedMachine
from tests.of_a_kind import examples

CLONE_NEWPID, SIGCHLD, SIGKILL, WNOHANG = 0x2000_0000, 17, 9, 1
FIRST_SPACE = 0


class Model:
    """A process: its namespaces from the machine's first on, and its number in each."""

    def __init__(self, parent: Model | None, spaces: tuple[int, ...], numbers: tuple[int, ...]) -> None:
        self.parent = parent
        self.spaces = spaces
        self.numbers = numbers
        self.children: list[Model] = []
        self.is_zombie = False
        if parent is not None:
            parent.children.append(self)

    @property
    def space(self) -> int:
        return self.spaces[-1]

    @property
    def is_inner_init(self) -> bool:
        return self.numbers[-1] == 1 and len(self.spaces) > 1

    def number_for(self, reader: Model) -> int:
        """Its number as `reader` sees it, 0 if it doesn't."""
        level = len(reader.spaces) - 1
        return self.numbers[level] if self.spaces[level : level + 1] == (reader.space,) else 0


class Scene:
    """A machine and its model: `tasks` are the processes that live or wait to be reaped."""

    def __init__(self) -> None:
        self.machine = ConductedMachine()
        first = self.machine.process()
        self.counters = {FIRST_SPACE: first.tid}
        self.init = Model(None, (FIRST_SPACE,), (1,))
        self.first = Model(self.init, (FIRST_SPACE,), (first.tid,))
        self.tasks: dict[Model, Task] = {self.first: first}
        self.inits: dict[int, Model] = {FIRST_SPACE: self.init}

    @property
    def living(self) -> list[Model]:
        return [model for model in self.tasks if not model.is_zombie]

    def clone(self, parent: Model, *, is_nested: bool) -> None:
        flags = CLONE_NEWPID if is_nested else 0
        result = self.machine.call(self.tasks[parent], "clone", flags | SIGCHLD)
        spaces = parent.spaces
        if is_nested:
            space = max(self.counters) + 1
            self.counters[space] = 0
            spaces = (*spaces, space)
        for each in spaces:
            self.counters[each] += 1
        child = Model(parent, spaces, tuple(self.counters[each] for each in spaces))
        if is_nested:
            self.inits[child.space] = child
        assert result == child.number_for(parent)
        self.tasks[child] = self.machine.task(child.numbers[0])

    def exit(self, model: Model) -> None:
        assert self.machine.call(self.tasks[model], "exit_group", 0) == ENDED
        self.end(model)

    def end(self, model: Model) -> None:
        """`model` has ended, and with an init all of its namespace."""
        model.is_zombie = True
        if model.is_inner_init:
            for other in list(self.tasks):
                if model.space in other.spaces and other is not model:
                    self.forget(other)
            model.children = []
            return
        heir = self.inits[model.space]
        for child in model.children:
            child.parent = heir
            heir.children.append(child)
        model.children = []

    def forget(self, model: Model) -> None:
        del self.tasks[model]
        if model.parent is not None and model in model.parent.children:
            model.parent.children.remove(model)

    def kill(self, sender: Model, target: Model) -> None:
        number = target.number_for(sender)
        if not number:
            return
        outcome = self.machine.call(self.tasks[sender], "kill", number, SIGKILL)
        # An init is safe from those of its own namespace.
        is_safe = target.is_inner_init and sender.space == target.space
        if is_safe or target.is_zombie:
            assert outcome == 0
            return
        assert outcome == (ENDED if target is sender or self._goes_too(sender, target) else 0)
        self.end(target)

    @staticmethod
    def _goes_too(sender: Model, target: Model) -> bool:
        return target.is_inner_init and target.space in sender.spaces

    def reap(self, parent: Model) -> None:
        outcome = self.machine.call(self.tasks[parent], "wait4", -1, 0, WNOHANG, 0)
        zombies = [child for child in parent.children if child.is_zombie]
        if not parent.children:
            assert outcome == -ECHILD.number
        elif not zombies:
            assert outcome == 0
        else:
            reaped = next(child for child in zombies if child.number_for(parent) == outcome)
            self.forget(reaped)

    def check(self) -> None:
        """Everybody is seen as the model says, by number and by kill(2)."""
        for orphan in [child for child in self.init.children if child.is_zombie]:
            self.forget(orphan)
        self.machine.reap_orphans()
        kernel = self.machine.kernel
        assert {task.tid for task in kernel.tasks} == {1, *(model.numbers[0] for model in self.tasks)}
        for reader in self.living:
            task = self.tasks[reader]
            call = self.machine.call
            assert call(task, "getpid") == reader.numbers[-1]
            assert reader.parent is not None
            assert call(task, "getppid") == reader.parent.number_for(reader)
            for other, other_task in self.tasks.items():
                number = other.number_for(reader)
                assert other_task.thread_pid.number_in(task.pid_namespace) == number
                if number:
                    assert call(task, "kill", number, 0) == 0
            unknown = self.counters[reader.space] + 1
            assert call(task, "kill", unknown, 0) == -ESRCH.number

    def close(self) -> None:
        self.machine.call(self.machine.init, "kill", -1, SIGKILL)
        self.machine.settle()
        self.machine.reap_orphans()
        kernel = self.machine.kernel
        assert [task.tid for task in kernel.tasks] == [1]
        assert len([space for space in kernel.vfs.namespaces.live.values() if space.account is not None]) == 0
        # Process 1 is left, which hasn't taken the SIGCHLD of the first child.
        assert kernel.vfs.init_user_namespace.counts == {(0, RLIMIT_NPROC): 1, (0, RLIMIT_SIGPENDING): 1}
        self.machine.close()


steps = st.lists(
    st.tuples(
        st.sampled_from(["fork", "fork", "nest", "nest", "exit", "kill", "reap"]),
        st.integers(0, 30),
        st.integers(0, 30),
    ),
    max_size=25,
)


@settings(max_examples=examples(100), deadline=None)
@given(steps)
def test_everybody_is_seen_as_the_model_says(steps: list[tuple[str, int, int]]) -> None:
    scene = Scene()
    try:
        for what, a, b in steps:
            living = scene.living
            if not living:
                break
            who = living[a % len(living)]
            if what in ("fork", "nest"):
                scene.clone(who, is_nested=what == "nest")
            elif what == "exit":
                scene.exit(who)
            elif what == "kill":
                others = list(scene.tasks)
                scene.kill(who, others[b % len(others)])
            else:
                scene.reap(who)
            scene.check()
    finally:
        scene.close()


def test_a_sleeper_dies_with_its_init() -> None:
    scene = Scene()
    scene.clone(scene.first, is_nested=True)
    init = scene.living[-1]
    scene.clone(init, is_nested=False)
    assert scene.machine.call(scene.tasks[scene.living[-1]], "pause") == SLEEPS
    scene.exit(init)
    scene.check()
    scene.close()
