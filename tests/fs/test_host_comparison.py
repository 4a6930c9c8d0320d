"""The same operations on the host's file system and on ours give the same answers."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procession.abi.errno import Errno
from procession.fs.file import O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDWR, O_TRUNC, O_WRONLY
from procession.fs.inode import Inode
from tests.fs.file_tree import FileTree, new_overlay_tree, new_tmpfs_tree
from tests.of_a_kind import examples

# Both sides work three directories below their root, and no name has more than three "..".
BASE = "one/two/three"

COMPONENTS = st.sampled_from(["a", "b", "c", "a", "b", ".", "..", "", "x" * 255, "x" * 256])
NAMES = (
    st.lists(COMPONENTS, min_size=1, max_size=4)
    .map("/".join)
    .filter(lambda name: not name.startswith("/") and name.count("..") <= 3)
)
SHORT_NAMES = st.sampled_from(["a", "b", "c", "a/b", "b/a", "a/b/c", "a/", "../three/a", "./b"])
ANY_NAME = SHORT_NAMES | NAMES
OPEN_FLAGS = st.sampled_from(
    [
        0,
        O_RDWR,
        O_CREAT | O_RDWR,
        O_CREAT | O_EXCL | O_WRONLY,
        O_CREAT | O_NOFOLLOW | O_WRONLY,
        O_DIRECTORY,
        O_DIRECTORY | O_NOFOLLOW,
        O_NOFOLLOW,
        O_TRUNC | O_WRONLY,
        O_CREAT | O_APPEND | O_WRONLY,
        O_CREAT | O_TRUNC | O_RDWR,
        O_CREAT | O_DIRECTORY,
    ]
)

OPERATIONS = st.one_of(
    st.tuples(st.just("mkdir"), ANY_NAME),
    st.tuples(st.just("open"), ANY_NAME, OPEN_FLAGS),
    st.tuples(st.just("open"), ANY_NAME, OPEN_FLAGS),
    st.tuples(st.just("symlink"), ANY_NAME, ANY_NAME),
    st.tuples(st.just("link"), ANY_NAME, ANY_NAME),
    st.tuples(st.just("unlink"), ANY_NAME),
    st.tuples(st.just("rmdir"), ANY_NAME),
    st.tuples(st.just("rename"), ANY_NAME, ANY_NAME),
    st.tuples(st.just("rename"), ANY_NAME, ANY_NAME),
    st.tuples(st.just("stat"), ANY_NAME),
    st.tuples(st.just("lstat"), ANY_NAME),
    st.tuples(st.just("list"), ANY_NAME),
    st.tuples(st.just("readlink"), ANY_NAME),
    st.tuples(st.just("getcwd"), ANY_NAME),
)


class HostSide:
    """The operations by the host's kernel, from a directory on."""

    def __init__(self, base: Path) -> None:
        self.base = os.open(base, os.O_PATH | os.O_DIRECTORY)
        self.root = str(base.parent.parent.parent)

    def close(self) -> None:
        os.close(self.base)

    def mkdir(self, name: str) -> None:
        os.mkdir(name, 0o755, dir_fd=self.base)

    def open(self, name: str, flags: int) -> bytes:
        descriptor = os.open(name, flags, 0o644, dir_fd=self.base)
        try:
            if flags & (O_RDWR | O_WRONLY):
                os.write(descriptor, name[:7].encode())
            if flags & O_WRONLY or os.path.isdir(descriptor):
                return b""
            os.lseek(descriptor, 0, os.SEEK_SET)
            return os.read(descriptor, 100)
        finally:
            os.close(descriptor)

    def symlink(self, target: str, name: str) -> None:
        os.symlink(target, name, dir_fd=self.base)

    def link(self, existing: str, name: str) -> None:
        os.link(existing, name, src_dir_fd=self.base, dst_dir_fd=self.base, follow_symlinks=False)

    def unlink(self, name: str) -> None:
        os.unlink(name, dir_fd=self.base)

    def rmdir(self, name: str) -> None:
        os.rmdir(name, dir_fd=self.base)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self.base, dst_dir_fd=self.base)

    def _describe(self, status: os.stat_result) -> tuple[int, int, int]:
        is_directory = status.st_mode & 0o170000 == 0o040000
        return status.st_mode, 0 if is_directory else status.st_nlink, 0 if is_directory else status.st_size

    def stat(self, name: str) -> tuple[int, int, int]:
        return self._describe(os.stat(name, dir_fd=self.base))

    def lstat(self, name: str) -> tuple[int, int, int]:
        return self._describe(os.stat(name, dir_fd=self.base, follow_symlinks=False))

    def list(self, name: str) -> list[str]:
        descriptor = os.open(name, os.O_DIRECTORY, dir_fd=self.base)
        try:
            return sorted(os.listdir(descriptor))
        finally:
            os.close(descriptor)

    def readlink(self, name: str) -> str:
        return os.readlink(name, dir_fd=self.base)

    def getcwd(self, name: str) -> str:
        descriptor = os.open(name, os.O_DIRECTORY, dir_fd=self.base)
        try:
            return os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(self.root)
        finally:
            os.close(descriptor)


class GuestSide:
    """The operations by our file systems."""

    def __init__(self, tree: FileTree) -> None:
        self.tree = tree
        tree.change_directory("/" + BASE)

    def mkdir(self, name: str) -> None:
        self.tree.mkdir(name, 0o755)

    def open(self, name: str, flags: int) -> bytes:
        file = self.tree.open(name, flags)
        try:
            if file.is_writable:
                file.write(name[:7].encode())
            if flags & O_WRONLY or file.inode.is_directory:
                return b""
            file.seek(0, 0)
            return file.read(100)
        finally:
            file.put()

    def symlink(self, target: str, name: str) -> None:
        self.tree.symlink(target, name)

    def link(self, existing: str, name: str) -> None:
        self.tree.link(existing, name)

    def unlink(self, name: str) -> None:
        self.tree.unlink(name)

    def rmdir(self, name: str) -> None:
        self.tree.rmdir(name)

    def rename(self, old: str, new: str) -> None:
        self.tree.rename(old, new)

    def _describe(self, inode: Inode) -> tuple[int, int, int]:
        if inode.is_directory:
            return inode.mode, 0, 0
        return inode.mode, inode.link_count, inode.size

    def stat(self, name: str) -> tuple[int, int, int]:
        return self._describe(self.tree.path(name).inode)

    def lstat(self, name: str) -> tuple[int, int, int]:
        return self._describe(self.tree.path(name, follow=False).inode)

    def list(self, name: str) -> list[str]:
        file = self.tree.open(name, O_DIRECTORY)
        file.put()
        return sorted(entry.decode() for entry in self.tree.names(name))

    def readlink(self, name: str) -> str:
        return self.tree.path(name, follow=False).inode.readlink().decode()

    def getcwd(self, name: str) -> str:
        file = self.tree.open(name, O_DIRECTORY)
        file.put()
        return self.tree.full_name(file.path).decode()


def outcome(side: HostSide | GuestSide, operation: tuple[str, ...]) -> object:
    function: Callable[..., object] = getattr(side, operation[0])
    try:
        return function(*operation[1:])
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except Errno as error:
        return error.name


def compare(host_root: Path, tree: FileTree, operations: list[tuple[str, ...]]) -> None:
    os.umask(0o022)
    host, guest = HostSide(host_root / BASE), GuestSide(tree)
    try:
        for position, operation in enumerate(operations):
            expected, found = outcome(host, operation), outcome(guest, operation)
            assert found == expected, f"{operation} after {operations[:position]}"
        if outcome(host, ("stat", "../../..")) != "ENOENT":
            assert tree_below(guest, "../../..") == tree_below(host, "../../..")
    finally:
        host.close()


def tree_below(side: HostSide | GuestSide, name: str) -> dict[str, object]:
    """Everything below a directory, without following links."""
    found: dict[str, object] = {}
    for entry in side.list(name):
        path = f"{name}/{entry}"
        found[path] = side.lstat(path)
        if side.lstat(path)[0] & 0o170000 == 0o040000:
            found.update(tree_below(side, path))
    return found


@settings(max_examples=examples(300))
@given(st.lists(OPERATIONS, max_size=20))
def test_tmpfs_answers_as_the_host(operations: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        (Path(directory) / BASE).mkdir(parents=True)
        tree = new_tmpfs_tree()
        for name in ("/one", "/one/two", "/one/two/three"):
            tree.mkdir(name)
        compare(Path(directory), tree, operations)


@pytest.fixture(scope="module")
def populated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree to begin with: directories, files with two names, links that lead and that don't."""
    root = tmp_path_factory.mktemp("lower")
    base = root / BASE
    (base / "a" / "b").mkdir(parents=True)
    (base / "a" / "b" / "c").write_bytes(b"deep")
    (base / "a" / "c").write_bytes(b"12345" * 2000)
    os.link(base / "a" / "c", base / "b")
    os.symlink("a/b", base / "c")
    os.symlink("nowhere", base / "a" / "a")
    os.symlink("../three/b", base.parent / "c")
    return root


@settings(max_examples=examples(300))
@given(operations=st.lists(OPERATIONS, max_size=20))
def test_overlay_answers_as_the_host(populated: Path, operations: list[tuple[str, ...]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "copy"
        shutil.copytree(populated, copy, symlinks=True)
        # copytree makes two files of one that has two names.
        (copy / BASE / "b").unlink()
        os.link(copy / BASE / "a" / "c", copy / BASE / "b")
        compare(copy, new_overlay_tree(populated), operations)
    assert (populated / BASE / "a" / "b" / "c").read_bytes() == b"deep"
    assert sorted(os.listdir(populated / BASE)) == ["a", "b", "c"]
