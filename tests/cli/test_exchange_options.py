"""Tests of the options that carry files and variables in and out of a run."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest


def run(root: Path, *arguments: str) -> tuple[int, str, str]:
    """The status and output of `procession run`."""
    command = [sys.executable, "-m", "procession", "run", "--rootfs", str(root), *arguments]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return result.returncode, result.stdout, result.stderr


def test_variables_of_a_file(guest_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_THE_CALLER", "passed on")
    file = tmp_path / "variables"
    file.write_text('# a comment\n\nA=1\r\n  B="quoted" \nOF_THE_CALLER\nNOT_THERE\nC=lost\n')
    script = 'echo "$A|$B|$C|$OF_THE_CALLER|${NOT_THERE-unset}"'
    shown = run(guest_root, "--env-file", str(file), "--env", "C=later", "--", "sh", "-c", script)
    assert shown == (0, '1|"quoted" |later|passed on|unset\n', "")
    message = f"procession: {tmp_path}/none: No such file or directory\n"
    assert run(guest_root, "--env-file", f"{tmp_path}/none", "--", "true") == (2, "", message)


def test_files_go_in_and_out(guest_root: Path, tmp_path: Path) -> None:
    volume, kept = tmp_path / "volume", tmp_path / "kept"
    volume.mkdir()
    kept.mkdir()
    (volume / "in").write_text("in\n")
    (kept / "in").write_text("kept\n")
    options = [
        "--volume",
        f"{volume}:/v",
        "--volume",
        f"{kept}:/kept:ro",
        "--copy-out",
        f"/tmp/x:{tmp_path}/x",
    ]
    script = (
        "cat /v/in /kept/in; echo out >/v/out; echo 1 >/tmp/x; rm /etc/hostname;echo no >/kept/no; exit 3"
    )
    status, stdout, stderr = run(
        guest_root, *options, "--save-changes", f"{tmp_path}/l.tar", "--", "bash", "-c", script
    )
    assert (status, stdout) == (3, "in\nkept\n")
    assert stderr.endswith("/kept/no: Read-only file system\n")
    assert (volume / "out").read_text() == "out\n"
    assert (tmp_path / "x").read_text() == "1\n"
    assert [path.name for path in kept.iterdir()] == ["in"]
    with tarfile.open(tmp_path / "l.tar") as layer:
        assert {"tmp/x", "etc/.wh.hostname"} <= set(layer.getnames())


def test_a_volume_is_written_after_a_run_that_ends_badly(guest_root: Path, tmp_path: Path) -> None:
    script = "echo out >/v/out; kill -STOP $$"
    status, _, stderr = run(guest_root, "--volume", f"{tmp_path}:/v", "--", "sh", "-c", script)
    assert status == 125
    assert stderr.startswith("procession: every task sleeps")
    assert (tmp_path / "out").read_text() == "out\n"


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--volume", "x", "invalid value for '--volume': 'x' isn't HOST:GUEST or HOST:GUEST:ro"),
        ("--volume", "/tmp:v", "invalid value for '--volume'"),
        ("--volume", "/tmp:/v:rx", "invalid value for '--volume'"),
        ("--volume", "/nosuch:/v", "--volume /nosuch:/v: No such file or directory"),
        ("--volume", "/etc/passwd:/v", "--volume /etc/passwd:/v: Not a directory"),
        ("--volume", "/tmp:/etc/passwd", "--volume /tmp:/etc/passwd: Not a directory"),
        ("--copy-out", "x", "invalid value for '--copy-out': 'x' isn't GUEST:HOST"),
    ],
)
def test_a_mistake_is_one_line(guest_root: Path, option: str, value: str, message: str) -> None:
    status, stdout, stderr = run(guest_root, option, value, "--", "true")
    assert (status, stdout, stderr.count("\n")) == (2, "", 1)
    assert stderr.startswith(f"procession: {message}")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--copy-out", "/nosuch:/tmp/x", "--copy-out /nosuch:/tmp/x: No such file or directory"),
        ("--save-changes", "/nosuch/x.tar", "--save-changes: /nosuch/x.tar: No such file or directory"),
    ],
)
def test_what_cannot_be_taken_out_is_told(guest_root: Path, option: str, value: str, message: str) -> None:
    assert run(guest_root, option, value, "--", "echo", "hi") == (1, "hi\n", f"procession: {message}\n")
    assert run(guest_root, option, value, "--", "sh", "-c", "exit 4")[0] == 4
