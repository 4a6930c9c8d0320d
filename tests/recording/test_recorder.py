"""What a recorder takes down of the host's files, and what it says when it can't."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from procession.explore.program import Program, Schedule
from procession.explore.save import record_schedule
from procession.machine import Machine
from procession.recording.host_files import RecordingSource
from procession.recording.recorder import Recorder


def recorded(root: Path, volume: Path, source: RecordingSource | None) -> tuple[Machine, Recorder]:
    """A machine that has read the one file of a volume, and its recorder."""
    volume.mkdir()
    (volume / "file").write_bytes(b"contents\n")
    machine = Machine(rootfs=root, memory=64 << 20)
    machine.add_volume(str(volume), "/mnt/volume", is_read_only=True, source=source)
    recorder = Recorder(machine)
    assert machine.run(["cat", "/mnt/volume/file"]).stdout == b"contents\n"
    return machine, recorder


def test_what_was_read_in_a_volume_is_kept_with_the_answers(guest_root: Path, tmp_path: Path) -> None:
    source = RecordingSource(os.fsencode(tmp_path / "volume"))
    _, recorder = recorded(guest_root, tmp_path / "volume", source)
    [volume] = recorder.finish(None).volumes
    assert ("status", "file") in volume.answers
    assert volume.contents == {"file": b"contents\n"}


def test_without_answers_there_are_no_contents(guest_root: Path, tmp_path: Path) -> None:
    _, recorder = recorded(guest_root, tmp_path / "volume", None)
    [volume] = recorder.finish(None).volumes
    assert (volume.answers, volume.contents) == ({}, {})


def test_a_file_that_cant_be_read_any_more_is_named(guest_root: Path, tmp_path: Path) -> None:
    source = RecordingSource(os.fsencode(tmp_path / "volume"))
    _, recorder = recorded(guest_root, tmp_path / "volume", source)
    (tmp_path / "volume/file").unlink()
    # As after many others: few files are held open.
    source.directory.files.descriptors.clear()
    with pytest.raises(OSError, match="can't be read") as caught:
        recorder.finish(None)
    assert caught.value.filename == str(tmp_path / "volume/file")


def test_a_schedule_that_cant_be_repeated_isnt_recorded(
    guest_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recorder, "is_complete", False)
    with pytest.raises(OSError, match="more came in than is kept"):
        record_schedule(Program(("true",), {"rootfs": str(guest_root)}), Schedule(()), None)
