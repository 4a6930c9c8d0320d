"""Makes a recording of a machine's run, during it and at its end."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from importlib.metadata import version
from typing import TYPE_CHECKING

from procession.abi.errno import Errno
from procession.fs.overlay import Overlay
from procession.kernel.decider import NamedChoice, ScheduledDecider
from procession.recording.file import HostFile, Mark, RecordedImage, RecordedVolume, Recording
from procession.recording.host_files import Answers, RecordingSource

if TYPE_CHECKING:
    from procession.command_run import Result
    from procession.fs.host_tree import HostTree
    from procession.machine import Machine

MARKS_LIMIT = 4096
_SLICES_PER_MARK = 16
_CHUNK = 1 << 20


class Recorder:
    """Takes marks while a machine runs, as its `slice_watcher`; `finish` gives the recording.

    `source` is where the machine has its files from; without one, what it was told of them isn't known.
    Marks are few: when there are MARKS_LIMIT, every other one goes, and from then on half as many are taken.
    """

    def __init__(self, machine: Machine, source: RecordingSource | None = None) -> None:
        self.machine = machine
        self.source = source
        self.marks: list[Mark] = []
        self.interval = _SLICES_PER_MARK
        machine.slice_watcher = self.slice_ended

    def slice_ended(self, slice_count: int) -> None:
        """A slice has been run."""
        if slice_count % self.interval:
            return
        self.marks.append(mark_of(self.machine))
        if len(self.marks) >= MARKS_LIMIT:
            del self.marks[::2]
            self.interval *= 2

    @property
    def is_complete(self) -> bool:
        """Whether all was kept that came from outside."""
        sources = self.source, *(volume.overlay.tree.source for volume in self.machine.volumes)
        return self.machine.inlet.is_complete and all(
            source.is_complete for source in sources if isinstance(source, RecordingSource)
        )

    def finish(self, result: Result | None, *, is_bundle: bool = False) -> Recording:
        """The whole recording, after the run; `result` is None if it ended by an error of Procession's.

        A bundle has the contents of the files that were read. Raises OSError if they can't be read any more.
        """
        machine = self.machine
        settings = dict(machine.settings)
        settings["engine"] = machine.engine_of_run
        settings["environment"] = dict(machine.environment)
        if settings["cwd"] is None and machine.shows_host:
            settings["cwd"] = machine.start_directory or "/"
        end: dict[str, object] = {"slices": machine.inlet.slice_count}
        if result is not None:
            end.update(
                status=result.status,
                signal=result.signal,
                reason=result.reason,
                state=machine.state_hash(),
            )
        return Recording(
            version("procession"),
            settings,
            tuple(map(os.fsdecode, machine.arguments)),
            machine.is_pid1,
            machine.run_kind,
            tuple(machine.inlet.actions),
            tuple(self.marks),
            dict(files_read(machine)),
            {} if self.source is None else self.source.answers,
            dict(contents_read(host_tree(machine))) if is_bundle else None,
            end,
            *self._schedule(),
            _image_of(machine),
            tuple(_volumes_of(machine)),
        )

    def _schedule(self) -> tuple[tuple[str, ...] | None, tuple[NamedChoice, ...]]:
        decider = self.machine.kernel.decider
        if not isinstance(decider, ScheduledDecider):
            return None, ()
        return tuple(sorted(decider.kinds)), decider.choices


def _image_of(machine: Machine) -> RecordedImage | None:
    container, image = machine.container, machine.image
    if container is None or image is None:
        return None
    return RecordedImage(os.path.realpath(container.image), image.tree.digest.decode(), *container[1:])


def _volumes_of(machine: Machine) -> Iterator[RecordedVolume]:
    """The volumes with all that was read in them, which the run may change. Raises OSError."""
    for volume in machine.volumes:
        tree = volume.overlay.tree
        source = tree.source
        answers: Answers = {}
        contents: dict[str, bytes] = {}
        if isinstance(source, RecordingSource):
            # Without the answers a replay has no use for the contents.
            answers, contents = source.answers, dict(contents_read(tree))
        yield RecordedVolume(
            os.fsdecode(tree.root), volume.guest_path, volume.is_read_only, answers, contents
        )


def mark_of(machine: Machine) -> Mark:
    """Where `machine` is now."""
    kernel = machine.kernel
    task = kernel.live
    registers = [] if task is None else kernel.registers_of(task).general
    digest = hashlib.blake2b(repr(list(registers)).encode(), digest_size=8)
    return Mark(machine.inlet.slice_count, kernel.clock.work_ns, digest.hexdigest())


def host_tree(machine: Machine) -> HostTree:
    """The host's files that the machine's root shows."""
    superblock = machine.kernel.init_namespaces.mounts.root_path.mount.superblock
    assert isinstance(superblock, Overlay)
    return superblock.tree


def files_read(machine: Machine) -> Iterator[tuple[str, HostFile]]:
    """The host's files whose contents the run has read, as they are now."""
    tree = host_tree(machine)
    for path in sorted(tree.opened):
        found = file_now(tree.root, path)
        if found is not None:
            yield os.fsdecode(path), found


def contents_read(tree: HostTree) -> Iterator[tuple[str, bytes]]:
    """What is in the files of `tree` that the run has read. Raises OSError."""
    for path in sorted(tree.opened):
        contents = bytearray()
        try:
            while chunk := tree.read(path, len(contents), _CHUNK):
                contents += chunk
        except Errno as error:
            name = os.fsdecode(os.path.join(tree.root, path))
            raise OSError(error.number, str(error.reason), name) from None
        yield os.fsdecode(path), bytes(contents)


def file_now(root: bytes, path: bytes) -> HostFile | None:
    """What the file `path` below `root` is now; None if it can't be read."""
    digest = hashlib.sha256()
    try:
        with open(os.path.join(root, path), "rb") as file:
            status = os.fstat(file.fileno())
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError:
        return None
    return HostFile(status.st_size, status.st_mtime_ns, digest.hexdigest())
