"""`procession run --image`: what is printed, and with which status it ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exchange.image_builder import LayerBuilder, make_layout, make_saved_archive


def run(cache: Path, *arguments: str) -> tuple[int, str, str]:
    """The status, stdout and stderr of the command."""
    result = subprocess.run(
        [sys.executable, "-m", "procession", "run", *arguments],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), "GIVEN": "from the host"},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


@pytest.mark.heavy
def test_an_image_runs(guest_root: Path, tmp_path: Path) -> None:
    layer = LayerBuilder().add("bin/busybox", (guest_root / "usr/bin/busybox").read_bytes(), mode=0o755)
    layer.link("bin/sh", "bin/busybox")
    settings = {"Entrypoint": ["/bin/sh"], "Cmd": ["-c", "echo $$ $A; exit 3"], "Env": ["A=image"]}
    image = str(make_saved_archive(tmp_path / "saved.tar", [layer.finish()], **settings))
    cases: tuple[tuple[tuple[str, ...], tuple[int, str]], ...] = (
        ((), (3, "1 image\n")),
        (("--no-pid1",), (3, "2 image\n")),
        (("--env", "A=given"), (3, "1 given\n")),
        (("--", "-c", "echo $A $GIVEN"), (0, "image\n")),
        (("--env", "GIVEN", "--", "-c", "echo $A $GIVEN"), (0, "image from the host\n")),
        (("--entrypoint", "/bin/busybox", "--", "echo", "x"), (0, "x\n")),
        (("--user", "7:8", "--cwd", "/bin", "--", "-c", "busybox id -u; busybox pwd"), (0, "7\n/bin\n")),
        (("--hostname", "h", "--", "-c", "echo $HOSTNAME"), (0, "h\n")),
    )
    for arguments, expected in cases:
        assert run(tmp_path, "--image", image, *arguments) == (*expected, ""), arguments
    assert run(tmp_path, "--image", f"{image}:latest") == (3, "1 image\n", "")
    status, _, message = run(tmp_path, "--image", image, "--entrypoint", "/nosuch/program")
    assert (status, message) == (127, "procession: /nosuch/program: No such file or directory\n")


LIMITS = """
cd /sys/fs/cgroup; cat memory.max cpu.max pids.max; cat /proc/self/cgroup
echo max 2>/dev/null >pids.max || echo kept; mkdir inner && echo made
"""
EATER = """
(for i in 1 2 3 4 5 6 7 8 9 10; do busybox sleep 1000 & done) 2>/dev/null
read name count </sys/fs/cgroup/pids.events; [ $count -gt 0 ] && echo bounded; kill -9 -1
"""
GLUTTON = """
grep -c . /sys/fs/cgroup/memory.events
busybox dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null; echo $?
grep oom_kill /sys/fs/cgroup/memory.events
"""


@pytest.mark.heavy
def test_limits_are_those_of_a_control_group(guest_root: Path, tmp_path: Path) -> None:
    layer = LayerBuilder().add("bin/busybox", (guest_root / "usr/bin/busybox").read_bytes(), mode=0o755)
    for name in ("sh", "cat", "grep", "mkdir"):
        layer.link(f"bin/{name}", "bin/busybox")
    image = str(make_saved_archive(tmp_path / "saved.tar", [layer.finish()], Entrypoint=["/bin/sh", "-c"]))

    def lines(script: str, *options: str) -> list[str]:
        return run(tmp_path, "--image", image, *options, "--", script)[1].splitlines()

    assert lines(LIMITS) == ["max", "max 100000", "max", "0::/", "kept", "made"]
    assert lines(LIMITS, "--memory", "64M", "--cpus", "2", "--pids-max", "9") == [
        *("67108864", "200000 100000", "9", "0::/", "kept", "made")
    ]
    assert lines(EATER, "--pids-max", "9") == ["bounded"]
    assert lines(GLUTTON, "--memory", "64M") == ["6", "137", "oom_kill 1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("--image", "{image}", "--rootfs", "/"),
            "--image and --rootfs: a machine has the files of one of them",
        ),
        (("--image", "", "true"), "--image '': name an OCI layout or an archive of docker save"),
        (("--image", "/nosuch/image", "true"), "/nosuch/image: No such file or directory"),
        (("--image", "/dev/null", "true"), "--image /dev/null: it's neither a directory nor a regular file"),
        (
            ("--image", "{image}:other", "true"),
            "--image {image}: there is no single image called 'other' in it",
        ),
        (("--image", "{image}"), "the image names no program: give a command"),
        (
            ("--image", "{image}", "--record", "/tmp/x", "--bundle", "true"),
            "--bundle doesn't go with --image",
        ),
        (("--entrypoint", "x", "true"), "--entrypoint is for --image"),
        ((), "missing argument"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    image = make_layout(tmp_path / "layout", [LayerBuilder().add("a", b"").finish()])
    given = [argument.format(image=image) for argument in arguments]
    status, output, error = run(tmp_path, *given)
    assert (status, output) == (2, "")
    assert error.startswith(f"procession: {message.format(image=image)}"), error
    assert error.count("\n") == 1
