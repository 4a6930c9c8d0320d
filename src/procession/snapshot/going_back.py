"""How a user of the library keeps the state of a machine, goes back to it, and makes a second one of it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self, TypeGuard

from procession.fs.host_source import Rewindable
from procession.hardware.engines.choice import make_engine
from procession.hardware.engines.scripted import ScriptedEngine
from procession.inspection.steering import Steering
from procession.syscalls.dispatch import Traps

if TYPE_CHECKING:
    from procession.exchange.image.opening import Image
    from procession.fs.terminal.host import HostTerminal
    from procession.hardware.physical_memory import PhysicalMemory
    from procession.inspection.event import Event
    from procession.interrupt import InterruptGuard
    from procession.kernel.task import Task
    from procession.snapshot.history import Condition, History, StateCondition
    from procession.snapshot.keeper import Snapshot, StateKeeper
    from procession.snapshot.origin import Origin
    from procession.snapshot.twin import Twin

# The attributes of a machine that a fork of it has too, and those for which it has something of its own.
_SAME_IN_FORK = (
    "container",
    "cwd",
    "entrypoint",
    "environment",
    "fault_injector",
    "image",
    "login",
    "seed",
    "settings",
    "shows_host",
    "source",
)
_COPIED_BY_FORK = ("init", "inlet", "input", "kernel", "memory", "output")
# What a snapshot keeps of it beside the kernel.
_KEPT_BESIDE = (
    "arguments",
    "command",
    "is_in_slice",
    "is_pid1",
    "run_kind",
    "start_directory",
    "stream_failure",
    "terminal",
)


class GoingBack(Steering):
    """What a `Machine` offers besides going forward."""

    memory: PhysicalMemory
    traps: Traps
    terminal: HostTerminal | None
    source: object
    settings: dict[str, Any]
    environment: dict[str, str]
    image: Image | None
    is_in_slice: bool
    history: History | None
    _keeper: StateKeeper | None
    _interrupts: InterruptGuard

    def _begin_outside(self) -> None:
        """Make what is outside of the state."""
        raise NotImplementedError

    def _check_open(self) -> None:
        """Raise ValueError if the machine is closed."""
        raise NotImplementedError

    def run_on(self) -> bool:
        """Run on in the present slice, or in the next one."""
        raise NotImplementedError

    def close(self) -> None:
        """Give back what the machine holds of the host."""
        raise NotImplementedError

    def _current_task(self) -> Task:
        """Who runs, for an engine of scripts."""
        raise NotImplementedError

    def snapshot(self) -> Snapshot:
        """Keep the state as it is now, between two slices or steps, to go back to it by `restore`.

        What hasn't changed since the last snapshot is shared with it. Raises ValueError while a slice runs,
        as in an observer, and for a machine that is closed.
        """
        roots = self.input, self.output, self.inlet, self.init, self.command, self.terminal
        return self._state_keeper().keep(roots, self._kept_beside())

    def restore(self, snapshot: Snapshot) -> None:
        """Be as `snapshot` was taken, any number of times and in any order.

        Raises ValueError for another machine's, while a slice runs, and for a machine that is closed.
        """
        self._check_still()
        snapshot.keeper.check(self.kernel)
        snapshot.keeper.put_back(snapshot)
        self._put_back_beside(snapshot.beside)

    def fork(self) -> Self:
        """A second machine in the state of this one, which goes on by itself; nobody observes it.

        Volumes are the first one's alone: what the second changes in them is written nowhere. A decider or a
        source of the caller's own serves both. Raises what `snapshot` does.
        """
        from procession.snapshot.twin import Twin

        snapshot = self.snapshot()
        twin = Twin(snapshot)
        other = type(self).__new__(type(self))
        self._become(other)
        try:
            self._fill_twin(other, twin)
        except BaseException:
            other.engine.close()
            raise
        other._put_back_beside(twin.of(snapshot.beside))
        return other

    def _fill_twin(self, other: Self, twin: Twin) -> None:
        engine = other.engine
        for name in _COPIED_BY_FORK:
            setattr(other, name, twin.of(getattr(self, name)))
        twin.fill(engine)
        other.traps = Traps(other.kernel)
        if isinstance(engine, ScriptedEngine):
            assert isinstance(self.engine, ScriptedEngine)
            engine.current_task = other._current_task
            engine.scripts = self.engine.scripts.copy()
        engine.attach(other.memory, other.traps)
        twin.load(other.kernel)

    def keep_history(self) -> History:
        """Keep checkpoints from now on, so that the machine can go back to any moment: see `History`.

        Raises ValueError before a program was started: to start it isn't done again.
        """
        if self.command is None:
            raise ValueError("start a program first: its history begins where it is kept")
        if self.history is None:
            from procession.snapshot.history import History, Steps

            self.history = History(self, Steps(self))
        return self.history

    def step_back(self, kind: str = "event") -> Event | None:
        """Go back to the last event before the present one, or to the last "call", "switch" or "state".

        The event behind which it stands then; None if there is none. Raises ValueError if no history is kept.
        """
        return self._kept_history().back(kind)

    def back_to(self, condition: Condition | StateCondition | Origin) -> bool:
        """Go back to the last moment before at which `condition` was met; stay where it is if there is none.

        That is an event's name or class as in `stop_at`; a function of the machine, and then it's the moment
        where it has become true for the last time; or an `Origin` of `snapshot.origin`: where a file was
        opened, a page copied, a signal sent, a zombie born. A function has to name objects by their numbers:
        run again, they are new ones. Raises ValueError if no history is kept.
        """
        return self._kept_history().back_to(condition)

    def _kept_history(self) -> History:
        if self.history is None:
            raise ValueError("no history is kept: call keep_history() before it runs")
        return self.history

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state as it is now to the file `path`, for `load` in any process.

        Files of the host are named in it, not held. Raises OSError, and ValueError for a machine that has
        something of the caller's own: scripts, volumes, an image, a source, a decider.
        """
        from procession.snapshot.loading import save_machine

        save_machine(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, rootfs: str | os.PathLike[str] | None = None) -> Self:
        """The machine whose state was written to the file `path`; its files are below `rootfs` now.

        The file may be anybody's: what isn't a snapshot is refused with BadSnapshot (`snapshot.values`), and
        a state that was made up reaches nothing of the host but files below `rootfs`, to read them. Raises
        OSError.
        """
        from procession.snapshot.loading import SavedMachine

        saved = SavedMachine(path)
        base: Self = saved.base(cls, rootfs)
        other = cls.__new__(cls)
        try:
            base._become(other)
            saved.give(base, other, _COPIED_BY_FORK)
            other._put_back_beside(saved.beside)
        except BaseException:
            if hasattr(other, "engine"):
                other.engine.close()
            raise
        finally:
            base.close()
        return other

    def _become(self, other: Self) -> None:
        """Let `other` be a machine as this one is, that has no state yet."""
        Steering.__init__(other)
        for name in _SAME_IN_FORK:
            setattr(other, name, getattr(self, name))
        other._begin_outside()
        other.engine = make_engine(self.settings["engine"])

    def state_digest(self) -> bytes:
        """16 bytes that are equal for states whose `state_hash` is equal, and else differ.

        What hasn't changed since the last digest or snapshot costs next to nothing. Raises what `snapshot`
        does.
        """
        return self._state_keeper().digest()

    def objects_in_order(self) -> list[Any]:
        """All objects of the state, in an order that is the same for equal states: it tells which object of
        one stands for which of the other."""
        return self._state_keeper().in_order()

    def holding_interrupts(self) -> AbstractContextManager[None]:
        """For who goes forth and back very often: while this is open, Ctrl-C is noted until a slice ends."""
        return self._interrupts.held()

    def _state_keeper(self) -> StateKeeper:
        self._check_still()
        if self._keeper is None:
            from procession.snapshot.keeper import StateKeeper

            self._keeper = StateKeeper(self.kernel)
        return self._keeper

    def _check_still(self) -> None:
        self._check_open()
        if self._interrupts.is_open:
            raise ValueError("this machine is in the middle of a slice")

    def _kept_beside(self) -> tuple[Any, ...]:
        """What the machine holds of its run beside the kernel."""
        sources = tuple([source.keep() for source in self._rewindable])
        return (
            tuple([getattr(self, name) for name in _KEPT_BESIDE]),
            None if self._captured is None else self._captured.keep(),
            sources or None,
            (self.traps.return_at_ns, self.traps.has_returned),
        )

    @property
    def _rewindable(self) -> list[Rewindable]:
        """Those of the sources of files that can be put back to where they were."""
        found = self.source, *(overlay.tree.source for overlay in self.shown)
        return [source for source in found if _is_rewindable(source)]

    def _put_back_beside(self, kept: tuple[Any, ...]) -> None:
        values, captured, sources, slice_end = kept
        self.traps.return_at_ns, self.traps.has_returned = slice_end
        for name, value in zip(_KEPT_BESIDE, values, strict=True):
            setattr(self, name, value)
        if captured is None:
            self._captured = None
        else:
            self._captured_output().put_back(captured)
        for source, state in zip(self._rewindable, sources or (), strict=False):
            source.put_back(state)
        self.shall_stop = False
        self._pending.clear()


_REWINDABLE: dict[type, bool] = {}
"""The classes of sources that were met: to ask whether one is of a protocol takes long."""


def _is_rewindable(source: object) -> TypeGuard[Rewindable]:
    kind = type(source)
    if kind not in _REWINDABLE:
        _REWINDABLE[kind] = isinstance(source, Rewindable)
    return _REWINDABLE[kind]
