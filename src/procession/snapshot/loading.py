"""Machines saved to files, and made of files that nobody vouches for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from procession.abi.errno import EIO, Errno
from procession.abi.word import PackError
from procession.fs.host_source import HostSource
from procession.fs.host_status import HostStatus
from procession.fs.host_stream import HostInput, HostOutput
from procession.fs.host_tree import HostTree
from procession.fs.overlay import Overlay
from procession.fs.terminal.host import HostTerminal
from procession.hardware.physical_memory import PAGE_SHIFT, PhysicalMemory
from procession.inlet import Inlet
from procession.kernel.decider import SeededDecider
from procession.kernel.kernel import Kernel
from procession.kernel.task import Task
from procession.snapshot.file import Head, LoadedState, SnapshotReader, write_snapshot
from procession.snapshot.frames import FrameKeeper
from procession.snapshot.keeper import Snapshot, load
from procession.snapshot.outside import join_engine
from procession.snapshot.shape import outside_of
from procession.snapshot.values import BadSnapshot
from procession.syscalls import load_all
from procession.syscalls.dispatch import Traps

if TYPE_CHECKING:
    from procession.hardware.engine import Engine

Made = TypeVar("Made")


class Saved(Protocol):
    """What is asked of a machine here."""

    settings: dict[str, Any]
    environment: dict[str, str]
    kernel: Kernel
    memory: PhysicalMemory
    engine: Engine
    traps: Traps
    source: object
    image: Any
    volumes: list[Any]
    init: Task
    inlet: Inlet
    input: HostInput
    output: HostOutput

    def snapshot(self) -> Snapshot:
        """The state as it is now."""


def save_machine(machine: Saved, path: str | os.PathLike[str]) -> None:
    """See `Machine.save`."""
    for own, what in (
        (machine.source is not None, "a source"),
        (machine.image is not None, "an image"),
        (bool(machine.volumes), "volumes"),
        (type(machine.kernel.decider) is not SeededDecider, "a decider of its own"),
    ):
        if own:
            raise ValueError(f"a machine with {what} can't be saved")
    settings = {**machine.settings, "environment": machine.environment}
    roots = tuple([getattr(machine, name) for name in _ROOTS])
    head = Head(settings, version("procession"))
    try:
        data = write_snapshot(machine.snapshot(), machine.engine, (*roots, machine.kernel.decider), head)
    except BadSnapshot as error:
        raise ValueError(f"this machine can't be saved: {error}") from None
    Path(path).write_bytes(data)


_ROOTS = ("init", "inlet", "input", "kernel", "memory", "output")
_KINDS = (Task, Inlet, HostInput, Kernel, PhysicalMemory, HostOutput, SeededDecider)
_IMPOSSIBLE = (AttributeError, TypeError, ValueError, IndexError, OverflowError, KeyError, PackError)
"""What a state raises that nobody can have had."""


class SavedMachine:
    """A file that `save_machine` wrote, or that somebody else did."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.reader = SnapshotReader(Path(path).read_bytes())
        self.beside: Any = None

    def base(self, make: Callable[..., Made], rootfs: str | os.PathLike[str] | None) -> Made:
        """A new machine with the settings that were saved. Raises BadSnapshot, OSError."""
        settings = dict(self.reader.head.settings)
        if rootfs is not None:
            settings["rootfs"] = os.fspath(rootfs)
        try:
            return make(**settings)
        except (Errno, TypeError, ValueError, OverflowError, MemoryError) as error:
            raise BadSnapshot(f"its settings aren't those of a machine: {error}") from None

    def give(self, base: Saved, other: Saved, names: Iterable[str]) -> None:
        """Give `other` the state, and what lies outside it from `base`, a new machine. Raises BadSnapshot."""
        assert tuple(names) == _ROOTS
        # What is done when a timer is due is declared beside the calls that set it.
        load_all()
        memory, engine = PhysicalMemory(base.memory.frame_count << PAGE_SHIFT), other.engine
        engine.attach(memory, base.traps)
        state = self.reader.read(memory, engine)
        roots = state.roots
        if not isinstance(roots, tuple) or tuple(map(type, roots)) != _KINDS:
            raise BadSnapshot("it doesn't lead to a machine's parts")
        state.fill()
        for name, value in zip(_ROOTS, roots, strict=False):
            setattr(other, name, value)
        self._join_outside(state, base, engine, roots[-1])
        try:
            self._start(state, other, memory)
        except _IMPOSSIBLE as error:
            raise BadSnapshot(f"what was running can't go on: {error}") from None
        self.beside = _checked_beside(state.beside)

    @staticmethod
    def _join_outside(state: LoadedState, base: Saved, engine: Engine, decider: SeededDecider) -> None:
        """Give objects what they refer to outside the state."""
        superblock = base.kernel.init_namespaces.mounts.root_path.mount.superblock
        assert isinstance(superblock, Overlay)
        tree = superblock.tree
        for value in state.objects:
            if join_engine(value, engine, decider):
                continue
            if isinstance(value, HostTree):
                if getattr(value, "is_image", None) is not False:
                    raise BadSnapshot("it has files of an image")
                value.root, value.source = tree.root, CheckedSource(tree.source)
            elif not isinstance(value, PhysicalMemory) and outside_of(type(value)):
                raise BadSnapshot(f"a {type(value).__qualname__} can't be had from a file")

    @staticmethod
    def _start(state: LoadedState, other: Saved, memory: PhysicalMemory) -> None:
        other.traps = Traps(other.kernel)
        other.engine.tell(other.traps)
        state.fill_memory()
        FrameKeeper(memory, compares=True).put_back(state.frames)
        other.engine.forget_code(None)
        load(other.kernel, state.engine, state.budget)


def _checked_beside(beside: Any) -> Any:
    """What the machine keeps of itself, if it's that: see `GoingBack._kept_beside`."""
    match beside:
        case (
            (
                tuple() as arguments,
                Task() | None,
                bool(),
                bool(),
                str(),
                str() | None,
                None,
                HostTerminal() | None,
            ),
            None | (int(), str(), (bytes(), bytes())),
            None,
            (int(), bool()),
        ) if all(isinstance(argument, bytes) for argument in arguments):
            return beside
    raise BadSnapshot("how far the run was isn't readable")


class CheckedSource:
    """Passes on what a source of files says, but of paths that lead elsewhere."""

    def __init__(self, source: HostSource) -> None:
        self.source = source

    @property
    def opened(self) -> Iterable[bytes]:
        """See `HostSource`."""
        return self.source.opened

    def status(self, path: bytes) -> HostStatus:
        """See `HostSource`."""
        return self.source.status(_checked(path))

    def exists(self, path: bytes) -> bool:
        """See `HostSource`."""
        return self.source.exists(_checked(path))

    def is_same_file(self, path: bytes, other: bytes) -> bool:
        """See `HostSource`."""
        return self.source.is_same_file(_checked(path), _checked(other))

    def forget(self) -> None:
        """See `HostSource`."""
        self.source.forget()

    def names(self, path: bytes) -> list[bytes]:
        """See `HostSource`."""
        return self.source.names(_checked(path))

    def link_target(self, path: bytes) -> bytes:
        """See `HostSource`."""
        return self.source.link_target(_checked(path))

    def check(self, path: bytes) -> None:
        """See `HostSource`."""
        self.source.check(_checked(path))

    def read(self, path: bytes, offset: int, length: int) -> bytes:
        """See `HostSource`."""
        return self.source.read(_checked(path), offset, length)

    def xattrs(self, path: bytes) -> dict[bytes, bytes]:
        """See `HostSource`."""
        return self.source.xattrs(_checked(path))

    def linked_path(self, path: bytes, others: Mapping[bytes, object]) -> bytes | None:
        """See `HostSource`."""
        return self.source.linked_path(_checked(path), others)


def _checked(path: bytes) -> bytes:
    """`path`, if each of its components is a name."""
    if b"\0" in path or (path and not all(name not in (b"", b".", b"..") for name in path.split(b"/"))):
        raise EIO("a path that leads elsewhere")
    return path
