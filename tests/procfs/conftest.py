"""A machine without a program whose proc is looked at from Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from procession.abi.errno import Errno
from procession.fs import namei, opening
from procession.fs.file import O_RDONLY, O_WRONLY, File
from procession.fs.inode import DirectoryEntry, Inode
from procession.kernel.clone import CloneArguments, copy_process
from procession.kernel.session import start_session
from procession.kernel.task import Task
from procession.machine import Machine


class Proc:
    """A machine with init and one child, which is the task that looks."""

    def __init__(self, rootfs: Path) -> None:
        self.machine = Machine(rootfs=rootfs, memory=16 << 20)
        self.kernel = self.machine.kernel
        self.init = self.machine.init
        self.task = self.child(self.init)
        start_session(self.task)
        self.kernel.current = self.task

    def child(self, parent: Task, flags: int = 0) -> Task:
        """A new child of `parent`; `flags` are CLONE_*."""
        return copy_process(self.kernel, parent, CloneArguments(flags, 17))

    def inode(self, name: str, *, follow: bool = True) -> Inode:
        """The inode at `name` below /proc, as the task finds it."""
        path = namei.lookup(
            self.task.fs, self.task.credentials, b"/proc/" + name.encode(), None, follow=follow
        )
        return path.dentry.inode

    def open(self, name: str, flags: int = O_RDONLY) -> File:
        """What is at `name` below /proc, opened by the task."""
        path = namei.lookup(self.task.fs, self.task.credentials, b"/proc/" + name.encode())
        return opening.open_path(path, self.task.credentials, flags)

    def read(self, name: str) -> bytes:
        """The contents of the file `name` below /proc."""
        file = self.open(name)
        parts = []
        while data := file.read(65536):
            parts.append(data)
        file.release_if_unheld()
        return b"".join(parts)

    def write(self, name: str, data: bytes) -> int:
        """Write to the file `name` below /proc."""
        file = self.open(name, O_WRONLY)
        try:
            return file.write(data)
        finally:
            file.release_if_unheld()

    def link(self, name: str) -> bytes:
        """Where the link `name` below /proc leads, as text."""
        return self.inode(name, follow=False).readlink()

    def names(self, name: str) -> list[bytes]:
        """What is in the directory `name` below /proc."""
        return [entry.name for entry in self.entries(name)]

    def entries(self, name: str) -> list[DirectoryEntry]:
        """The entries of the directory `name` below /proc."""
        return self.inode(name).list_entries()

    def error(self, name: str) -> str:
        """The error with which reading `name` below /proc fails, "" if it doesn't."""
        try:
            self.read(name)
        except Errno as error:
            return error.name
        return ""


@pytest.fixture
def proc(tmp_path: Path) -> Iterator[Proc]:
    for name in ("proc", "sys", "dev", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("hello")
    tmp_path.chmod(0o755)
    machine = Proc(tmp_path)
    yield machine
    machine.machine.close()
