"""Runs a recording again, and notices where the run isn't the same."""

from __future__ import annotations

import os
from collections import deque

from procession.attachment import write_all
from procession.command_run import Result
from procession.fs.host_source import HostDirectory
from procession.kernel.decider import ScheduledDecider
from procession.machine import Machine
from procession.recording.file import Recording, RecordingError
from procession.recording.host_files import RecordedSource
from procession.recording.recorder import file_now, mark_of
from procession.recording.schedule import explored_machine

_STDOUT = 1


class Divergence(Exception):
    """The run isn't the one that was recorded."""


class ReplayedWorld:
    """An attachment that does to a machine what was recorded, when it was; the output may be shown.

    Where there are marks the machine has to be where it was then, or Divergence is raised.
    """

    def __init__(self, machine: Machine, recording: Recording, *, shows_output: bool) -> None:
        self.machine = machine
        self.shows_output = shows_output
        self.actions = deque(recording.actions)
        self.marks = deque(recording.marks)
        self.end = recording.end
        self.reason_to_end = ""
        self.act()

    def act(self) -> None:
        """Do what is due after the slices that have been run. Raises RecordingError, Divergence."""
        inlet, actions = self.machine.inlet, self.actions
        while actions and actions[0].slice_count <= inlet.slice_count:
            action = actions.popleft()
            try:
                inlet.perform(action.name, action.argument)
            except (KeyError, ValueError) as error:
                raise RecordingError(f"something in it can't be done: {error}") from None

    def exchange(self) -> None:
        """After a slice: check that all is as it was, pass on what was written, and do what comes next."""
        self._check_mark()
        self._show()
        self.act()
        slices = self.end.get("slices")
        if isinstance(slices, int) and self.machine.inlet.slice_count >= slices:
            self.reason_to_end = str(self.end.get("reason", ""))

    def _check_mark(self) -> None:
        marks, count = self.marks, self.machine.inlet.slice_count
        while marks and marks[0].slice_count < count:
            marks.popleft()
        if marks and marks[0].slice_count == count:
            expected = marks.popleft()
            if mark_of(self.machine) != expected:
                raise Divergence(
                    f"after {count} slices, at {self.machine.kernel.clock.run_ns / 1e9:.6f} s, the run is "
                    "no longer the one that was recorded"
                )

    def _show(self) -> None:
        machine = self.machine
        if machine.terminal is not None:
            if machine.terminal.has_output:
                shown = machine.terminal.take()
                if self.shows_output:
                    write_all(_STDOUT, shown)
            return
        for number, data in machine.output.take():
            if self.shows_output and number not in machine.output.broken:
                write_all(number, data)

    def pass_time(self) -> bool:
        """It has passed as it was recorded."""
        return bool(self.actions) or self.machine.kernel.scheduler.has_waiting

    def take_signal(self, name: str) -> bool:
        """Nothing from outside gets in."""
        return True


def machine_of(recording: Recording, rootfs: str | None = None) -> Machine:
    """A machine with the settings of `recording`. Raises what `Machine` does.

    Its files are read below `rootfs`, if that is given. The recorded root's name stays: it's of the state.
    """
    settings = dict(recording.settings)
    if settings["engine"] == "auto":
        from procession.hardware.engines.native.availability import why_unavailable

        reason = why_unavailable()
        if reason is not None:
            raise ValueError(f"the run used the native engine, which can't be had: {reason}")
    image = recording.image
    if image is not None:
        if rootfs is not None:
            raise ValueError("the run's files were an image's: there is no other root for it")
        del settings["rootfs"]
        settings.update(zip(("image", "memory", "cpus", "pids_max"), (image.path, *image[2:]), strict=True))
        settings["entrypoint"] = ""
    elif recording.answers:
        settings["source"] = RecordedSource(
            _root_of(recording, rootfs), recording.answers, recording.contents
        )
    elif rootfs is not None:
        settings["source"] = HostDirectory(_root_of(recording, rootfs))
    if recording.kinds is not None:
        decider = ScheduledDecider(settings["seed"], recording.kinds, recording.choices)
        machine = explored_machine(settings, recording.kinds, decider)
    else:
        machine = Machine(**settings)
    for volume in recording.volumes:
        source = None
        if volume.answers:
            source = RecordedSource(os.fsencode(volume.path), volume.answers, volume.contents)
        machine.show_directory(volume.path, volume.place, is_read_only=volume.is_read_only, source=source)
    return machine


def _root_of(recording: Recording, rootfs: str | None) -> bytes:
    """The directory of the host that has the run's files."""
    return os.path.realpath(os.fsencode(rootfs or recording.settings["rootfs"]))


def changed_files(recording: Recording, machine: Machine, rootfs: str | None = None) -> list[str]:
    """Which of the host's files that the run read aren't as they were then, or the image that it had; none of
    a bundle's. `rootfs` is what `machine_of` was given."""
    if recording.image is not None and machine.image is not None:
        is_same = machine.image.tree.digest.decode() == recording.image.digest
        return [] if is_same else [recording.image.path.lstrip("/")]
    if recording.contents is not None:
        return []
    root = _root_of(recording, rootfs)
    return [
        name
        for name, expected in recording.files.items()
        if not _is_unchanged(root, os.fsencode(name), expected.size, expected.mtime_ns, expected.digest)
    ]


def _is_unchanged(root: bytes, path: bytes, size: int, mtime_ns: int, digest: str) -> bool:
    try:
        status = os.stat(os.path.join(root, path))
    except (OSError, ValueError):
        return False
    if (status.st_size, status.st_mtime_ns) == (size, mtime_ns):
        return True
    found = file_now(root, path)
    return found is not None and found.digest == digest


def check_end(recording: Recording, machine: Machine, result: Result) -> None:
    """Raise Divergence unless the run has ended as the recorded one did, to the byte of its state."""
    end = recording.end
    if "state" not in end:
        raise Divergence("the recorded run ended by an error of Procession's, this one didn't")
    if (result.status, result.signal) != (end.get("status"), end.get("signal")):
        raise Divergence(f"it ended with status {result.status}, the recorded run with {end.get('status')}")
    if machine.state_hash() != end["state"]:
        raise Divergence("it ended in another state than the recorded run")
