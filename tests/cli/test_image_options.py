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
        (("--image", "{image}", "--record", "/tmp/x", "true"), "--record doesn't go with --image"),
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
