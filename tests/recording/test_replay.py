"""Recorded runs run again, to the byte; or it's said where they don't."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from procession import Machine
from procession.recording.file import read_recording
from procession.recording.travel import ReplayedSteps, travel
from tests.exchange.image_builder import LayerBuilder, make_saved_archive
from tests.of_a_kind import first_of, heavy

COMMAND = [sys.executable, "-m", "procession"]
PIPELINE = "ls / | sort | head -2; (exit 3) & wait $!; echo $?; read line; echo got $line; sleep 100; exit 5"


def procession(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, *arguments], input=data, capture_output=True, check=False)


def record(path: Path, root: Path, command: Sequence[str], *options: str, data: bytes = b"") -> bytes:
    result = procession(
        "run", "--rootfs", str(root), "--record", str(path), *options, "--", *command, data=data
    )
    assert b"procession:" not in result.stderr
    return result.stdout


def test_a_run_is_repeated_with_its_input(guest_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    output = record(path, guest_root, ["bash", "-c", PIPELINE], "--cpus", "2", data=b"line\n")
    assert b"got line" in output
    again = procession("replay", str(path))
    assert (again.returncode, again.stdout, again.stderr) == (5, output, b"")
    assert procession("replay", "--quiet", str(path)).stdout == b""


def test_what_the_kernel_did_can_be_seen_later(guest_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    record(path, guest_root, ["bash", "-c", "(exit 3) & wait"])
    assert b"kernel/fork.c, copy_process" in procession("replay", "--graph", "fork", str(path)).stderr
    assert b"exited with 3" in procession("replay", "--trace", str(path)).stderr


CHANGES = (
    "cat f d/g; ls -l .; echo new > n; echo more >> f; rm d/g; mv d e; cat f; test -e g || echo none; exit 4"
)


@pytest.mark.parametrize("is_bundle", first_of(1, [True, False]))
def test_what_was_in_a_volume_is_in_the_recording(guest_root: Path, tmp_path: Path, is_bundle: bool) -> None:
    path, volume = tmp_path / "run", tmp_path / "volume"
    (volume / "d").mkdir(parents=True)
    (volume / "f").write_bytes(b"was\n")
    (volume / "d/g").write_bytes(b"too\n")
    read_only = tmp_path / "other"
    read_only.mkdir()
    (read_only / "x").write_bytes(b"other\n")
    options = (
        "--volume",
        f"{volume}:/mnt/work",
        "--volume",
        f"{read_only}:/mnt/other:ro",
        "--cwd",
        "/mnt/work",
    )
    script = f"cat ../other/x; {CHANGES}"
    output = record(path, guest_root, ["bash", "-c", script], *options, *["--bundle"] * is_bundle)
    assert output.startswith(b"other\nwas\ntoo\n")
    # The run has changed one itself, the other is gone.
    assert (volume / "f").read_bytes() == b"was\nmore\n"
    shutil.rmtree(read_only)
    again = procession("replay", str(path))
    assert (again.returncode, again.stdout, again.stderr) == (4, output, b"")
    assert (volume / "f").read_bytes() == b"was\nmore\n"
    history = travel(read_recording(path), interval=100)
    history.run_to_end()
    count = history.count
    for place in (count // 2, count // 3, count - 1):
        history.go_to(place)
        history.back("call")
    history.run_to_end()
    driver = history.driver
    assert isinstance(driver, ReplayedSteps)
    assert history.count == count
    assert driver.machine.state_hash() == read_recording(path).end["state"]


@pytest.mark.parametrize("limits", [heavy(((),)), ("--memory", "64M", "--cpus", "2", "--pids-max", "20")])
def test_a_run_of_an_image_is_repeated(guest_root: Path, tmp_path: Path, limits: tuple[str, ...]) -> None:
    path, image = tmp_path / "run", tmp_path / "saved.tar"
    layer = LayerBuilder().add("bin/busybox", (guest_root / "usr/bin/busybox").read_bytes(), mode=0o755)
    for name in ("sh", "cat"):
        layer.link(f"bin/{name}", "bin/busybox")
    make_saved_archive(image, [layer.finish()], Entrypoint=["/bin/sh", "-c"], Env=["A=image"])
    script = "echo $$ $A $B; cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max; (exit 3) & wait $!"
    run = procession(
        *("run", "--image", str(image), *limits, "--env", "B=given", "--record", str(path), "--", script)
    )
    assert run.stdout.startswith(b"1 image given\n")
    again = procession("replay", str(path))
    assert (again.returncode, again.stdout, again.stderr) == (3, run.stdout, b"")
    assert b"no other root" in procession("replay", "--rootfs", "/", str(path)).stderr
    make_saved_archive(
        image,
        [layer.finish(), LayerBuilder().add("new").finish()],
        Entrypoint=["/bin/sh", "-c"],
        Env=["A=image"],
    )
    again = procession("replay", str(path))
    assert again.returncode == 3
    assert f"{image} has changed since it was recorded".encode() in again.stderr


def test_changes_of_the_tree_that_do_not_matter_do_not_matter(guest_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("busybox",):
        shutil.copy(guest_root / "usr/bin" / name, root / name)
    path = tmp_path / "run"
    output = record(path, root, ["/busybox", "ls", "-l", "/"])
    os.utime(root)
    (root / "new").touch()
    again = procession("replay", str(path))
    assert (again.returncode, again.stdout, again.stderr) == (0, output, b"")


@pytest.mark.heavy
def test_a_changed_file_is_named_and_a_moved_tree_is_read(guest_root: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(guest_root / "usr/bin/busybox", root / "busybox")
    (root / "text").write_text("before")
    path, bundle = tmp_path / "run", tmp_path / "bundle"
    output = record(path, root, ["/busybox", "cat", "/text"])
    record(bundle, root, ["/busybox", "cat", "/text"], "--bundle")
    (root / "text").write_text("after!")
    again = procession("replay", str(path))
    assert again.returncode == 3
    assert b"/text has changed since it was recorded" in again.stderr
    (root / "text").write_text("before")
    elsewhere = tmp_path / "elsewhere"
    root.rename(elsewhere)
    from_elsewhere = procession("replay", "--rootfs", str(elsewhere), str(path))
    assert (from_elsewhere.returncode, from_elsewhere.stdout, from_elsewhere.stderr) == (0, output, b"")
    shutil.rmtree(elsewhere)
    elsewhere.mkdir()
    for options in ((), ("--rootfs", str(elsewhere))):
        from_bundle = procession("replay", *options, str(bundle))
        assert (from_bundle.returncode, from_bundle.stdout, from_bundle.stderr) == (0, output, b"")
    travelled = travel(read_recording(bundle), str(elsewhere))
    travelled.run_to_end()
    driver = travelled.driver
    assert isinstance(driver, ReplayedSteps)
    assert driver.machine.state_hash() == read_recording(bundle).end["state"]


@pytest.mark.heavy
def test_a_bug_of_the_kernel_leaves_a_recording_that_reproduces_it(guest_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "bug"
    code = (
        "import sys; from procession.syscalls import load_all; load_all();"
        "from procession.syscalls.declaration import TABLE;"
        "handler = lambda task, names: 1 // 0;"
        "handler.__module__ = TABLE[63].handler.__module__;"
        "TABLE[63].handler = handler;"
        "from procession.cli.command_line import run_command_line;"
        "sys.exit(run_command_line(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code]
    root = ["--rootfs", str(guest_root)]
    result = subprocess.run(
        [*command, "run", *root, "--record", str(path), "--", "uname"], capture_output=True, check=False
    )
    assert result.returncode == 70
    assert f"`procession replay {path}` reproduces it".encode() in result.stderr
    again = subprocess.run([*command, "replay", str(path)], capture_output=True, check=False)
    assert again.returncode == 70
    assert b"the recorded bug again: ZeroDivisionError" in again.stderr
    mended = procession("replay", str(path))
    assert mended.returncode == 3
    assert b"ended by an error of Procession's, this one didn't" in mended.stderr


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "nothing"
    path.write_bytes(b"nothing")
    result = procession("replay", str(path))
    assert result.returncode == 2
    assert b"not a recording of Procession's" in result.stderr


def test_recording_changes_nothing(guest_root: Path, tmp_path: Path) -> None:
    path = tmp_path / "run"
    record(path, guest_root, ["bash", "-c", "ls / | wc -l"], "--cwd", "/")
    recording = read_recording(path)
    machine = Machine(**recording.settings)
    machine.run_attached(recording.command)
    assert machine.state_hash() == recording.end["state"]


@pytest.mark.heavy
@pytest.mark.parametrize(
    "command",
    [
        ["python3", "-c", "import multiprocessing as m; print(m.Pool(3).map(abs, range(-9, 9)))"],
        [
            "bash",
            "-c",
            "for i in 1 2 3; do (sleep 0.$i; kill -USR1 $$) & done; trap 'echo t' USR1; wait; wait",
        ],
        ["bash", "-c", "yes | head -1000 | sort | uniq -c; ps -ef; cat /proc/self/stat"],
    ],
)
def test_larger_programs_are_repeated(guest_root: Path, tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "run"
    output = record(path, guest_root, command, "--cpus", "3", "--seed", "7")
    again = procession("replay", str(path))
    assert (again.returncode, again.stdout) == (read_recording(path).end["status"], output)
