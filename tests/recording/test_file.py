"""Files of recordings: what is written is read again, and nothing else is believed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from procession.inlet import InletAction
from procession.recording.file import (
    HostFile,
    Mark,
    RecordedImage,
    RecordedVolume,
    Recording,
    RecordingError,
    read_recording,
    write_recording,
)
from tests.of_a_kind import examples

SETTINGS: dict[str, Any] = {
    "seed": 1,
    "rootfs": "/",
    "memory": 1 << 26,
    "environment": {"PATH": "/bin"},
    "cwd": None,
    "engine": "scripted",
    "epoch_ns": 0,
    "cpus": 1,
    "user": None,
    "hostname": "h",
    "pids_max": None,
}
# Any that there are would first be listed, which takes longer than the rest of the tests here.
LETTERS = "\0 09aZ\x7f\xe9\u03c0\ud800\udcff\uffff\U0001f600"
RECORDING = Recording(
    "0.1.0",
    SETTINGS,
    ("sh", "-c", "\udcff"),
    True,
    "terminal",
    (
        InletAction(0, "resize", (24, 80)),
        InletAction(3, "type", b"\0\xff"),
        InletAction(4, "hang_up", None),
        InletAction(4, "signal", "SIGTERM"),
        InletAction(5, "pass_to", 10**15),
    ),
    (Mark(16, 5, "ab"),),
    {"bin/sh": HostFile(1, 2, "cd")},
    {("status", "bin"): [(0, [1, 2]), (7, {"error": 2})], ("exists", "x"): [(3, True)]},
    {"bin/sh": b"\x7fELF"},
    {"slices": 5, "status": 0},
    None,
    (),
    RecordedImage("/image", "sha256:ab", 1 << 20, None, 7),
    (RecordedVolume("/host", "/mnt", True, {("exists", "y"): [(0, False)]}, {"z": b"\xff"}),),
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_recording(RECORDING, path)
    assert read_recording(path) == RECORDING


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(200))
@given(data=st.data())
def test_any_bytes_are_a_recording_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "file"
    write_recording(RECORDING, path)
    lines = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read().splitlines()
    position = data.draw(st.integers(0, len(lines) - 1))
    value = json.loads(lines[position])
    name = data.draw(st.sampled_from(sorted(value)))
    text = st.lists(st.sampled_from(LETTERS), max_size=5).map("".join)
    junk = st.none() | st.booleans() | st.integers() | text
    value[name] = data.draw(junk | st.lists(junk, max_size=3) | st.dictionaries(text, junk))
    lines[position] = json.dumps(value).encode()
    path.write_bytes(zstandard.compress(b"\n".join(lines)))
    try:
        recording = read_recording(path)
    except RecordingError:
        return
    for text in (*recording.command, *recording.settings["environment"], *recording.files):
        os.fsencode(text)


@pytest.mark.parametrize("text", [rb"\ud800", rb"\uDBFFx", b"\xed\xa0\x80"])
def test_half_a_pair_of_utf_16_is_no_text(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "file"
    write_recording(RECORDING, path)
    data = zstandard.ZstdDecompressor().stream_reader(path.read_bytes()).read()
    for name in (b'"-c"', b'"PATH"', b'"/image"', b'"SIGTERM"', b'"y"'):
        assert name in data
        path.write_bytes(zstandard.compress(data.replace(name, b'"' + text + b'"')))
        with pytest.raises(RecordingError, match="a text in it isn't readable"):
            read_recording(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_other_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    for contents in (data, zstandard.compress(data)):
        path.write_bytes(contents)
        with pytest.raises(RecordingError):
            read_recording(path)


@pytest.mark.heavy
def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    compressor = zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as file:
        for _ in range(70):
            file.write(compressor.compress(bytes(1 << 24)))
        file.write(compressor.flush())
    with pytest.raises(RecordingError, match="unpacks to more"):
        read_recording(path)


def test_a_later_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(zstandard.compress(b'{"format": "procession-recording", "version": 99}'))
    with pytest.raises(RecordingError, match="is version 99, this Procession reads 2"):
        read_recording(path)
