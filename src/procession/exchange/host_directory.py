"""The one place that writes to the host's files on a guest's behalf: below one directory, and nowhere else.

Every component of a path is opened by itself, relative to the one before, and never followed where it's a
symbolic link; ".." is no name. Files are made anew under another name and then moved into place, so that no
file that exists is written to: it might have other names elsewhere. Nothing gets an owner, a set-user-id bit
or a device number.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

DEEPEST = 200
"""How many directories may lie in each other."""
_DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PERMISSIONS = 0o777
_UNFINISHED = b".procession-unfinished-%d"


class OutsideError(OSError):
    """A path doesn't stay below the directory."""


class HostDirectory:
    """A directory of the host, held open from the start: what becomes of its name doesn't matter."""

    def __init__(self, path: str | bytes) -> None:
        self.number = os.open(path, _DIRECTORY_FLAGS & ~os.O_NOFOLLOW)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.number)

    @contextmanager
    def _parent(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """The directory that holds `path`, open, and the last name. Raises OSError, OutsideError."""
        names = path.split(b"/")
        if len(names) > DEEPEST:
            raise OutsideError("it lies too deep")
        if any(name in (b"", b".", b"..") or b"\0" in name for name in names):
            raise OutsideError("it's no path from here down")
        number = os.dup(self.number)
        try:
            for name in names[:-1]:
                below = os.open(name, _DIRECTORY_FLAGS, dir_fd=number)
                os.close(number)
                number = below
            yield number, names[-1]
        finally:
            os.close(number)

    def remove(self, path: bytes) -> None:
        """Remove what is at `path`, with all that is in it; nothing if it's gone already."""
        with suppress(FileNotFoundError), self._parent(path) as (directory, name):
            _remove(directory, name)

    def make_directory(self, path: bytes, mode: int) -> None:
        """Let there be a directory with these permissions; one that is there stays, anything else goes."""
        with self._parent(path) as (directory, name):
            try:
                found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                os.mkdir(name, 0o700, dir_fd=directory)
            else:
                if not stat.S_ISDIR(found.st_mode):
                    os.unlink(name, dir_fd=directory)
                    os.mkdir(name, 0o700, dir_fd=directory)
            number = os.open(name, _DIRECTORY_FLAGS, dir_fd=directory)
            try:
                # Who writes here still has to get in.
                os.fchmod(number, mode & _PERMISSIONS | 0o700)
            finally:
                os.close(number)

    def make_file(
        self, path: bytes, size: int | None, pieces: Iterable[tuple[int, bytes]], mode: int
    ) -> None:
        """Let there be a file that holds `pieces` at their offsets, instead of what is there.

        It's `size` bytes long, or with None as long as they make it.
        """
        with self._parent(path) as (directory, name):
            unfinished, number = _open_unfinished(directory)
            try:
                try:
                    for offset, data in pieces:
                        _write_all(number, offset, data)
                    if size is not None:
                        os.ftruncate(number, size)
                    os.fchmod(number, mode & _PERMISSIONS)
                finally:
                    os.close(number)
                try:
                    os.rename(unfinished, name, src_dir_fd=directory, dst_dir_fd=directory)
                except IsADirectoryError:
                    _remove(directory, name)
                    os.rename(unfinished, name, src_dir_fd=directory, dst_dir_fd=directory)
            except BaseException:
                with suppress(OSError):
                    os.unlink(unfinished, dir_fd=directory)
                raise

    def make_staging(self) -> bytes:
        """A new directory here, whose name nobody uses. Raises OSError."""
        attempt = 0
        while True:
            name = _UNFINISHED % attempt
            try:
                os.mkdir(name, 0o700, dir_fd=self.number)
            except FileExistsError:
                attempt += 1
            else:
                return name

    def move(self, path: bytes, new_path: bytes) -> None:
        """Move the file at `path` to `new_path`, instead of what is there."""
        with self._parent(path) as (old, old_name), self._parent(new_path) as (new, new_name):
            try:
                os.rename(old_name, new_name, src_dir_fd=old, dst_dir_fd=new)
            except IsADirectoryError:
                _remove(new, new_name)
                os.rename(old_name, new_name, src_dir_fd=old, dst_dir_fd=new)

    def make_symbolic_link(self, path: bytes, target: bytes) -> None:
        """Let there be a symbolic link, which is never followed here."""
        with self._parent(path) as (directory, name):
            with suppress(FileNotFoundError):
                _remove(directory, name)
            os.symlink(target, name, dir_fd=directory)


def _remove(directory: int, name: bytes) -> None:
    found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if stat.S_ISDIR(found.st_mode):
        # It opens each directory by its parent's descriptor, and follows no links.
        shutil.rmtree(name, dir_fd=directory)
    else:
        os.unlink(name, dir_fd=directory)


def _open_unfinished(directory: int) -> tuple[bytes, int]:
    attempt = 0
    while True:
        name = _UNFINISHED % attempt
        try:
            return name, os.open(name, _NEW_FILE_FLAGS, 0o600, dir_fd=directory)
        except FileExistsError:
            attempt += 1


def _write_all(number: int, offset: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(number, view, offset)
        view, offset = view[count:], offset + count
