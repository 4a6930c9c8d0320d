"""How a user of the library drives a machine in steps, and looks at it between them."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from procession.abi.errno import EFBIG, EINVAL, EISDIR, ENOENT
from procession.abi.named_tuple import NamedTuple
from procession.attachment import CapturedOutput
from procession.fs import namei, opening
from procession.fs.file import O_CREAT, O_NOATIME, O_RDONLY, O_TRUNC, O_WRONLY
from procession.fs.fs_context import FsContext
from procession.fs.host_stream import CAPTURED_BYTES
from procession.fs.mounts.mount import MS_NODEV, MS_NOSUID, MS_RDONLY, MS_RELATIME
from procession.fs.overlay import Overlay
from procession.inspection.watchers import joined_observer
from procession.kernel.task_state import ENDED

if TYPE_CHECKING:
    from procession.exchange.volume import Volume
    from procession.fs.dentry import Path
    from procession.fs.host_source import HostSource
    from procession.fs.host_stream import HostInput, HostOutput
    from procession.fs.permission import Subject
    from procession.hardware.engine import Engine
    from procession.inlet import Inlet
    from procession.inspection.event import Event, Switched, SystemCallReturned
    from procession.inspection.process import Process, ProcessTree
    from procession.inspection.stop import Breakpoint, Condition
    from procession.kernel.kernel import Kernel
    from procession.kernel.observer import Observer
    from procession.kernel.task import Task, ThreadGroup
    from procession.kernel.waits.graph import IpcGraph

Kind = TypeVar("Kind", bound="Event")
_STDOUT, _STDERR = 1, 2
_READ_CHUNK = 1 << 20


class Output(NamedTuple):
    """What a program has written since it was last asked."""

    stdout: bytes
    stderr: bytes


class Steering:
    """What a `Machine` offers beside running a program to its end.

    A run stops at the end of the trap in which an event happened, never in the middle of the kernel's work:
    where several happen in one trap, the machine is past the last of them when the first is given out.
    """

    kernel: Kernel
    engine: Engine
    inlet: Inlet
    input: HostInput
    output: HostOutput
    command: Task | None
    init: Task

    def __init__(self) -> None:
        self.breakpoints: list[Breakpoint] = []
        self.shall_stop = False
        self.volumes: list[Volume] = []
        self.shown: list[Overlay] = []
        self._observers: list[Observer] = []
        self._traced: Observer | None = None
        self._pending: deque[Event] = deque()
        self._pending_ns = -1
        self._captured: CapturedOutput | None = None

    # Watching

    @property
    def on_system_call(self) -> Any:
        """Who is told of system calls and of what becomes of tasks; None for nobody."""
        return self._traced

    @on_system_call.setter
    def on_system_call(self, observer: Any) -> None:
        if self._traced is not None:
            self.unobserve(self._traced)
        self._traced = observer
        if observer is not None:
            self.observe(observer)

    def observe(self, observer: Observer) -> None:
        """Tell `observer` what happens from now on; it hears it after those who were there before."""
        self._observers.append(observer)
        self.kernel.observe(joined_observer(self._observers))

    def unobserve(self, observer: Observer) -> None:
        """Tell `observer` no more. Raises ValueError if it wasn't told."""
        position = next((at for at, known in enumerate(self._observers) if known is observer), None)
        if position is None:
            raise ValueError(f"{observer!r} doesn't watch this machine")
        del self._observers[position]
        self.kernel.observe(joined_observer(self._observers))

    # Steps

    def step(self) -> bool:
        """Run until the processor comes back, or let time jump to the next timer. False if neither helps."""
        raise NotImplementedError

    def step_system_call(self, tid: int | None = None) -> SystemCallReturned | None:
        """Run until a system call has ended, of task `tid` if given; None if the program has ended first."""
        from procession.inspection.event import SystemCallReturned

        return self._step_to(SystemCallReturned, tid)

    def step_switch(self) -> Switched | None:
        """Run until another task has the processor; None if the program has ended first."""
        from procession.inspection.event import Switched

        return self._step_to(Switched, None)

    def step_event(self) -> Event | None:
        """Run until the next event; None if the program has ended."""
        return self._run_to(frozenset(), _always)

    def _step_to(self, kind: type[Kind], tid: int | None) -> Kind | None:
        kinds = cast("frozenset[type[Event]]", frozenset((kind,)))
        found = self._run_to(kinds, lambda event: tid is None or event.tid == tid)
        assert found is None or isinstance(found, kind)
        return found

    def events(self, *kinds: type[Event]) -> Iterator[Event]:
        """Run the program, giving out each event of these classes, all without one, as it happens.

        The machine stands still while the caller has an event, and may be looked at. Nothing more comes when
        the program has ended, or when nobody in the machine can ever run again.
        """
        wanted = frozenset(kinds)
        while (event := self._run_to(wanted, _always)) is not None:
            yield event

    def stop_at(self, condition: Condition, *, tid: int | None = None) -> Breakpoint:
        """Let `run_to_stop` stop at `condition`, of task `tid` if given.

        That is the name of an event ("fork", "thread", "clone", "exec", "exit", "reap", "signal", "kill",
        "wake", "switch", "state", "fault", "oom", "call", "return"), of a system call that is entered
        ("openat"), of a signal that is taken ("SIGCHLD") or of an error with which a call ends ("ENOENT"); or
        a class of events, or a function of an event. Raises ValueError, TypeError for anything else.
        """
        from procession.inspection.stop import Breakpoint

        breakpoint_ = Breakpoint(condition, tid)
        self.breakpoints.append(breakpoint_)
        return breakpoint_

    def remove_stop(self, breakpoint_: Breakpoint) -> None:
        """Stop there no more. Raises ValueError if it isn't one of this machine's."""
        self.breakpoints.remove(breakpoint_)

    def run_to_stop(self) -> Event | None:
        """Run until an event at which the machine shall stop; None if the program has ended first."""
        kinds = {each.kind for each in self.breakpoints}
        wanted = frozenset(kind for kind in kinds if kind is not None)
        event = self._run_to(frozenset() if None in kinds else wanted, self._is_stop)
        if event is not None:
            for each in self.breakpoints:
                each.hits += each.matches(event)
        return event

    def _is_stop(self, event: Event) -> bool:
        return any(each.matches(event) for each in self.breakpoints)

    def _run_to(self, kinds: frozenset[type[Event]], fits: Callable[[Event], bool]) -> Event | None:
        """Run to the next event of `kinds`, all if there are none, that fits.

        Events that came later in the same trap are given out by the next call, if they're of its kinds too.
        """
        pending = self._pending
        if self._pending_ns != self.kernel.clock.now_ns:
            pending.clear()

        def take(event: Event) -> None:
            pending.append(event)
            if not self.shall_stop and fits(event):
                self.shall_stop = True
                self.engine.stop()

        def next_fitting() -> Event | None:
            while pending:
                event = pending.popleft()
                if (not kinds or type(event) in kinds) and fits(event):
                    return event
            return None

        from procession.inspection.recorder import EventRecorder

        found = next_fitting()
        recorder = EventRecorder(self.kernel, take, kinds or None)
        self.observe(recorder)
        try:
            while found is None and not self._command_has_ended() and self.step():
                self.shall_stop = False
                self.collect_output()
                found = next_fitting()
        finally:
            self.shall_stop = False
            self.unobserve(recorder)
            self._pending_ns = self.kernel.clock.now_ns
        self.collect_output()
        return found

    def _command_has_ended(self) -> bool:
        return self.command is not None and has_ended(self.command.group)

    # Bytes in and out

    def feed_input(self, data: bytes, *, is_last: bool = False) -> None:
        """Give a program that was started bytes to read from its stdin; with `is_last` no more will come."""
        self.inlet.feed(data)
        if is_last:
            self.inlet.end_input()

    def take_output(self) -> Output:
        """What the program has written since the last call, also while it runs in steps."""
        self.collect_output()
        written = self._captured_output().written
        output = Output(bytes(written[_STDOUT]), bytes(written[_STDERR]))
        self._captured_output().clear()
        return output

    def _captured_output(self) -> CapturedOutput:
        if self._captured is None:
            self._captured = CapturedOutput(self.inlet, CAPTURED_BYTES)
        return self._captured

    def collect_output(self) -> None:
        """Take what was written, so that writers go on, for `take_output`."""
        # What nobody takes holds up the writers in the end.
        if self.output.chunks and not self._captured_output().reason_to_end:
            self._captured_output().exchange()

    # Looking

    def processes(self) -> list[Process]:
        """All processes as they are now, zombies too, in the order of their ids."""
        from procession.inspection.process import processes_of

        return processes_of(self.kernel)

    def tree(self, pid: int = 1) -> ProcessTree:
        """The process `pid`, its children, theirs and so on. Raises KeyError if there is no such process."""
        from procession.inspection.process import tree_of

        return tree_of(self.processes(), pid)

    def process_table(self) -> str:
        """A line for each task, with what it waits for."""
        from procession.inspection.process import process_table

        return process_table(self.kernel)

    def ipc_graph(self) -> IpcGraph:
        """Who can talk to whom through what, what each sleeping task waits for, and who waits for ever."""
        from procession.kernel.waits.graph import ipc_graph

        return ipc_graph(self.kernel)

    # Files that go in and out

    def add_volume(
        self, host_path: str, guest_path: str, *, is_read_only: bool = False, source: HostSource | None = None
    ) -> None:
        """Show the host's directory `host_path` at `guest_path`, which is made if it isn't there.

        What the guest changes in it stays in the machine's memory until `write_volumes`. `source` says what
        is below it, if that isn't the host. Raises OSError,
        ValueError for a guest path that isn't absolute, and the errno that mkdir(2) or mount(2) gives.
        """
        from procession.exchange.volume import Volume

        if not guest_path.startswith("/"):
            raise ValueError(f"a volume's place in the guest is an absolute path, not {guest_path!r}")
        if not stat.S_ISDIR(os.stat(host_path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), host_path)
        overlay = self.show_directory(host_path, guest_path, is_read_only=is_read_only, source=source)
        self.volumes.append(Volume(overlay, host_path, guest_path, is_read_only=is_read_only))

    def show_directory(
        self, host_path: str, guest_path: str, *, is_read_only: bool, source: HostSource | None
    ) -> Overlay:
        """As `add_volume`, but that nothing can be written back; with a `source` it needn't be there."""
        mounts = self.kernel.init_namespaces.mounts
        context = FsContext(mounts.root_path)
        credentials = self.init.credentials.for_user(0, 0)
        try:
            place = _make_directories(context, credentials, os.fsencode(guest_path))
        finally:
            context.put()
        overlay = Overlay(self.kernel.vfs, host_path, source=source)
        flags = MS_NOSUID | MS_NODEV | MS_RELATIME | (MS_RDONLY if is_read_only else 0)
        mounts.mount(overlay, place, flags)
        self.shown.append(overlay)
        return overlay

    def write_volumes(self) -> list[str]:
        """Write what the guest has changed in its volumes to the host; what couldn't be, in words.

        This is the one way in which a guest's files get to the host, and it leads nowhere else than below the
        volumes' directories.
        """
        return [failure for volume in self.volumes for failure in volume.write_back()]

    def save_changes(self, path: str) -> list[str]:
        """Write what the guest has changed of its root to the tar archive `path`, as a layer with whiteouts.

        What was left out, in words. Other mounts, such as volumes, aren't in it. Raises OSError.
        """
        from procession.exchange.layer import write_layer

        overlay = self.kernel.init_namespaces.mounts.root_path.mount.superblock
        assert isinstance(overlay, Overlay)
        return write_layer(overlay, path)

    def copy_out(self, guest_path: str, host_path: str) -> list[str]:
        """Copy the guest's file or directory to `host_path`, or into it if that's a directory.

        What was left out, in words. Raises an errno of the guest (ENOENT ...), or OSError.
        """
        from procession.exchange.copy import copy_out

        root = self.kernel.init_namespaces.mounts.root_path
        return copy_out(root, self.init.credentials.for_user(0, 0), guest_path, host_path)

    def _looked_up(self, path: str | bytes, *, follow: bool) -> Path:
        context = FsContext(self.kernel.init_namespaces.mounts.root_path)
        try:
            user = self.init.credentials.for_user(0, 0)
            return namei.lookup(context, user, os.fsencode(path), follow=follow)
        finally:
            context.put()

    def read_link(self, path: str | bytes) -> bytes:
        """Where the guest's symbolic link at `path` leads, seen from its root directory by its root user.

        Raises the errno that readlink(2) gives: ENOENT, EINVAL for what isn't a link ...
        """
        inode = self._looked_up(path, follow=False).inode
        if not stat.S_ISLNK(inode.mode):
            raise EINVAL(f"{os.fsdecode(path)} isn't a link")
        return inode.readlink()

    def read_file(self, path: str | bytes, *, most_bytes: int | None = None) -> bytes:
        """What is in the guest's regular file at `path`, seen from its root directory by its root user.

        Raises the errno that open(2) or read(2) gives: ENOENT, ENOTDIR, ELOOP, EISDIR ..., EINVAL for what
        isn't a regular file, and EFBIG for more than `most_bytes`.
        """
        place = self._looked_up(path, follow=True)
        inode = place.inode
        if inode.is_directory:
            raise EISDIR(os.fsdecode(path))
        if not inode.is_regular:
            raise EINVAL(f"{os.fsdecode(path)} isn't a regular file")
        if most_bytes is not None and inode.size > most_bytes:
            raise EFBIG(os.fsdecode(path))
        if inode.pages is not None:
            return inode.pages.read(0, inode.size)
        file = inode.open(place, O_RDONLY | O_NOATIME, self.init.credentials)
        file.acquire()
        try:
            parts: list[bytes] = []
            total = 0
            while part := file.read(_READ_CHUNK):
                total += len(part)
                if most_bytes is not None and total > most_bytes:
                    raise EFBIG(os.fsdecode(path))
                parts.append(part)
            return b"".join(parts)
        finally:
            file.put()

    def write_file(self, path: str | bytes, data: bytes, *, mode: int = 0o644) -> None:
        """Make the guest's file at `path` hold `data`, as its root user would; a new one gets `mode`.

        Its directory must be there. The host's file of that name isn't touched, unless it's in a volume.
        Raises the errno that open(2) or write(2) gives: ENOENT, ENOTDIR, EISDIR, ETXTBSY, ENOSPC ...
        """
        context = FsContext(self.kernel.init_namespaces.mounts.root_path, umask=0)
        credentials = self.init.credentials.for_user(0, 0)
        try:
            file = opening.open(
                context, credentials, os.fsencode(path), None, O_WRONLY | O_CREAT | O_TRUNC, mode
            )
        finally:
            context.put()
        file.acquire()
        try:
            view = memoryview(data)
            while view:
                view = view[file.write(bytes(view)) :]
        finally:
            file.put()


def _make_directories(context: FsContext, subject: Subject, path: bytes) -> Path:
    """mkdir -p: the directory at `path`."""
    place = context.root
    names = [name for name in path.split(b"/") if name]
    for end in range(1, len(names) + 1):
        name = b"/" + b"/".join(names[:end])
        try:
            place = namei.lookup(context, subject, name, must_be_directory=True)
        except ENOENT:
            place.dentry.add(names[end - 1], place.dentry.inode.mkdir(names[end - 1], 0o755, subject))
            place = namei.lookup(context, subject, name, must_be_directory=True)
    return place


def _always(_event: Event) -> bool:
    return True


def has_ended(group: ThreadGroup) -> bool:
    """Whether every thread of a process has ended; its leader may be the first."""
    return len(group.threads) == 1 and group.leader.state in ENDED
