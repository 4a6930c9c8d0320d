"""The manual page and the shells' completions: true to the command, and in the wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SHARE = PROJECT / "share"
COMPLETIONS = {
    "bash": "bash-completion/completions/procession",
    "zsh": "zsh/site-functions/_procession",
    "fish": "fish/vendor_completions.d/procession.fish",
}
COMMAND = [sys.executable, "-m", "procession"]


def shown(*arguments: str, **variables: str) -> str:
    """What the command prints."""
    result = subprocess.run(
        [*COMMAND, *arguments], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    return result.stdout


def test_the_manual_page_is_what_the_options_say() -> None:
    page = (SHARE / "man/man1/procession.1").read_text()
    assert page == shown("manual"), "procession manual >share/man/man1/procession.1"
    for word in ("\\-\\-volume HOST:GUEST[:ro]", "\\-\\-env\\-file FILE", "EACCES", "SIGUSR1", ".B 125"):
        assert word in page


def test_the_manual_page_is_readable() -> None:
    if shutil.which("man") is None:
        pytest.skip("there is no man here")
    result = subprocess.run(
        ["man", "--warnings", "-l", str(SHARE / "man/man1/procession.1")],
        env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    assert "--save-changes FILE.tar" in result.stdout


@pytest.mark.parametrize("shell", COMPLETIONS)
def test_completions_are_the_commands(shell: str) -> None:
    text = (SHARE / COMPLETIONS[shell]).read_text()
    assert text == shown("manual", "--complete", shell), f"procession manual --complete {shell}"


def test_a_shell_completes_options_and_files() -> None:
    answer = shown(_PROCESSION_COMPLETE="bash_complete", COMP_WORDS="procession run --vol", COMP_CWORD="2")
    assert answer == "plain,--volume\n"
    answer = shown(_PROCESSION_COMPLETE="bash_complete", COMP_WORDS="procession run -- a", COMP_CWORD="3")
    assert answer == "file,a\n"
    answer = shown(_PROCESSION_COMPLETE="fish_complete", COMP_WORDS="procession ru", COMP_CWORD="ru")
    assert answer.startswith("plain,run")


@pytest.mark.heavy
def test_a_wheel_installs_them(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if name != "PROCESSION_COMPILE"},
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = {name.partition(".data/data/")[2] for name in ZipFile(wheel).namelist() if ".data/data/" in name}
    assert names == {"share/man/man1/procession.1", *(f"share/{path}" for path in COMPLETIONS.values())}
