"""Checks random trees of processes in nested user namespaces against a small model of ids and rights."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from procession.abi.errno import EPERM
from procession.kernel.task import Task
from tests.kernel.conducted_machine import RESULTS, ConductedMachine

CLONE_NEWUSER, SIGCHLD, O_WRONLY = 0x1000_0000, 17, 1
OVERFLOW_UID = 65534
UIDS = (0, 1000, 1001, 5, OVERFLOW_UID)
Extent = tuple[int, int, int]


@dataclass(eq=False)
class Space:
    """A user namespace: who made it, and extents of ids, of the machine's ids on the right.

    Everybody's group is the machine's 0, which has an id there or not.
    """

    parent: Space | None
    owner: int
    extents: list[Extent] = field(default_factory=list)
    has_group: bool = False

    @property
    def level(self) -> int:
        return 0 if self.parent is None else self.parent.level + 1

    def outer(self, uid: int) -> int | None:
        """The machine's id."""
        return next(
            (low + uid - first for first, low, count in self.extents if 0 <= uid - first < count), None
        )

    def inner(self, kuid: int) -> int | None:
        """The id that is seen in it."""
        return next(
            (first + kuid - low for first, low, count in self.extents if 0 <= kuid - low < count), None
        )


@dataclass(eq=False)
class Process:
    """A process: its namespace, its user by the machine's id, and whether it has all capabilities there."""

    space: Space
    kuid: int
    is_capable: bool
    task: Task

    def has_rights_over(self, space: Space) -> bool:
        """As user_namespaces(7) says it."""
        place: Space | None = space
        while place is not None:
            if place is self.space:
                return self.is_capable
            if place.parent is self.space and place.owner == self.kuid:
                return True
            place = place.parent
        return False


class Scene:
    """A machine and its model."""

    def __init__(self) -> None:
        self.machine = ConductedMachine()
        self.first = Space(None, 0, [(0, 0, 1 << 32)], has_group=True)
        self.processes = [Process(self.first, 0, True, self.machine.process())]

    def clone(self, parent: Process, *, is_nested: bool) -> None:
        result = self.machine.call(parent.task, "clone", SIGCHLD | (CLONE_NEWUSER if is_nested else 0))
        if is_nested and (parent.space.inner(parent.kuid) is None or not parent.space.has_group):
            assert result == -EPERM.number
            return
        assert isinstance(result, int)
        space = Space(parent.space, parent.kuid) if is_nested else parent.space
        task = self.machine.task(result)
        self.processes.append(Process(space, parent.kuid, is_nested or parent.is_capable, task))

    def map(self, writer: Process, target: Process, first: int, outside: int, count: int) -> None:
        """Write uid_map, one line. It's done by somebody in the namespace itself or right outside."""
        space = target.space
        if space.parent is None or writer.task.mm is None:
            return
        text = b"%d %d %d\n" % (first, outside, count)
        result = self._write(writer, target, b"uid_map", text)
        if result is None:
            return
        if not space.has_group:
            space.has_group = (self._write(writer, target, b"gid_map", b"0 0 1\n") or -1) > 0
        may = self._may_map(writer, space, first, outside, count)
        assert (result == len(text)) == may, (result, may)
        if may:
            low = space.parent.outer(outside)
            assert low is not None
            space.extents = [(first, low, count)]

    def _write(self, writer: Process, target: Process, name: bytes, text: bytes) -> int | None:
        """What write(2) gives; None if the file can't be opened."""
        writer.task.mm.write(RESULTS, b"/proc/%d/%s\0" % (target.task.tid, name))
        fd = self.machine.call(writer.task, "open", RESULTS, O_WRONLY)
        if not isinstance(fd, int) or fd < 0:
            return None
        writer.task.mm.write(RESULTS, text)
        result = self.machine.call(writer.task, "write", fd, RESULTS, len(text))
        self.machine.call(writer.task, "close", fd)
        assert isinstance(result, int)
        return result

    def _may_map(self, writer: Process, space: Space, first: int, outside: int, count: int) -> bool:
        parent = space.parent
        assert parent is not None
        if space.extents or not writer.has_rights_over(space) or writer.space not in (space, parent):
            return False
        low, high = parent.outer(outside), parent.outer(outside + count - 1)
        if low is None or high is None or high - low != count - 1:
            return False
        # root outside may be mapped only by somebody who has rights outside: here by the same rule as others.
        if writer.has_rights_over(parent):
            return True
        return count == 1 and low == writer.kuid == space.owner

    def become(self, process: Process, uid: int) -> None:
        result = self.machine.call(process.task, "setresuid", uid, uid, uid)
        kuid = process.space.outer(uid)
        is_own = kuid == process.kuid
        if kuid is None or not (process.is_capable or is_own):
            assert isinstance(result, int)
            assert result < 0
            return
        assert result == 0
        was_root = process.kuid == process.space.outer(0)
        if process.is_capable and was_root and kuid != process.space.outer(0):
            process.is_capable = False
        process.kuid = kuid

    def check(self) -> None:
        """Ids are told, and signals allowed, as the model says."""
        for process in self.processes:
            seen = process.space.inner(process.kuid)
            uid = self.machine.call(process.task, "getuid")
            assert uid == (OVERFLOW_UID if seen is None else seen)
            for other in self.processes:
                outcome = self.machine.call(process.task, "kill", other.task.tid, 0)
                may = process.kuid == other.kuid or process.has_rights_over(other.space)
                # Whoever has a process's own user may signal it, in whichever namespace.
                assert outcome == (0 if may or process is other else -EPERM.number)


acts = st.lists(
    st.tuples(
        st.sampled_from(("clone", "nest", "nest", "map", "map", "map", "become", "become")),
        st.integers(0, 7),
        st.integers(0, 7),
        st.sampled_from((0, 0, 0, 1, 1000)),
        st.sampled_from(UIDS),
        st.sampled_from((1, 1, 1, 2, 10, 70000)),
    ),
    max_size=14,
)


@settings(deadline=None)
@given(acts)
def test_ids_and_rights_are_as_in_the_model(steps: list[tuple[str, int, int, int, int, int]]) -> None:
    scene = Scene()
    try:
        for act, one, other, first, uid, count in steps:
            process = scene.processes[one % len(scene.processes)]
            if act in ("clone", "nest") and len(scene.processes) < 8:
                scene.clone(process, is_nested=act == "nest")
            elif act == "map":
                scene.map(process, scene.processes[other % len(scene.processes)], first, uid, count)
            elif act == "become":
                scene.become(process, uid)
            scene.check()
    finally:
        scene.machine.close()
