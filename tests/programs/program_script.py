"""Scripts in the languages of Debian's programs, each with the output that Linux gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent / "scripts"
# Those that need the larger tree, and seconds each.
DEVELOPMENT_SCRIPTS = SCRIPTS.with_name("development")
# Those that need the tree with servers.
SERVER_SCRIPTS = SCRIPTS.with_name("servers")

ENVIRONMENT = {
    "HOME": "/root",
    "LC_ALL": "C",
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
}
DIRECTORY = "/tmp"

# Suffix -> the command that runs a script of that kind, given as its last argument.
INTERPRETERS = {
    ".bash": ("/usr/bin/bash", "-c"),
    ".busybox": ("/usr/bin/busybox", "sh", "-c"),
    ".dash": ("/usr/bin/dash", "-c"),
    ".perl": ("/usr/bin/perl", "-e"),
    ".python": ("/usr/bin/python3", "-c"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a script ended: its exit status, 128 + n when killed by signal n, and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes

    def __str__(self) -> str:
        """Return the text that is recorded."""
        text = self.stdout.decode("latin-1")
        if self.stderr:
            text += f"--- stderr\n{self.stderr.decode('latin-1')}"
        return f"{text}--- status {self.status}\n"


@dataclass(frozen=True, slots=True)
class ProgramScript:
    """A script, and the file that holds what Linux prints."""

    path: Path

    @property
    def argv(self) -> list[str]:
        """The command that runs it."""
        return [*INTERPRETERS[self.path.suffix], self.path.read_text()]

    @property
    def recorded(self) -> Path:
        """The outcome on Linux, as `record_outcomes.py` wrote it."""
        return self.path.with_name(self.path.name + ".out")


def all_scripts(directory: Path = SCRIPTS) -> list[ProgramScript]:
    """Return every script in the directory, sorted by name."""
    paths = sorted(path for path in directory.iterdir() if path.suffix in INTERPRETERS)
    return [ProgramScript(path) for path in paths]
