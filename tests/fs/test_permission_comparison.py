"""Several users on the host's file system and on ours may do the same things."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procession.abi.errno import Errno
from procession.fs.attributes import change_mode, change_owner, change_times, check_truncation, truncate
from procession.fs.file import O_APPEND, O_CREAT, O_DIRECTORY, O_NOATIME, O_RDWR, O_TRUNC, O_WRONLY
from tests.fs.file_tree import FileTree, User, new_tmpfs_tree
from tests.of_a_kind import examples

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not hasattr(ctypes.CDLL(None), "setfsuid"),
    reason="only root of a Linux host can be several users",
)

USERS = {0: User(0), 1000: User(1000, 100), 1001: User(1001, 100), 1002: User(1002, 200)}
NAMES = st.sampled_from(["a", "b", "d", "d/a", "d/b", "d/d", "d/d/a", "d/.", "d/d/.."])
MODES = st.sampled_from(
    [0o777, 0o755, 0o700, 0o1777, 0o2775, 0o4755, 0o6777, 0o750, 0o644, 0o600, 0o070, 0o007, 0o111, 0]
)
OPEN_FLAGS = st.sampled_from(
    [0, O_WRONLY, O_RDWR, O_CREAT | O_RDWR, O_TRUNC, O_TRUNC | O_WRONLY, O_APPEND | O_WRONLY, O_NOATIME]
)
IDS = st.sampled_from([0, 100, 200, 1000, 1001, -1])
TIMES = st.sampled_from([0, 1])
OPERATIONS = st.one_of(
    st.tuples(st.just("become"), st.sampled_from(sorted(USERS))),
    st.tuples(st.just("become"), st.sampled_from(sorted(USERS))),
    st.tuples(st.just("mkdir"), NAMES, MODES),
    st.tuples(st.just("open"), NAMES, OPEN_FLAGS, MODES),
    st.tuples(st.just("open"), NAMES, OPEN_FLAGS, MODES),
    st.tuples(st.just("unlink"), NAMES),
    st.tuples(st.just("rmdir"), NAMES),
    st.tuples(st.just("rename"), NAMES, NAMES),
    st.tuples(st.just("link"), NAMES, NAMES),
    st.tuples(st.just("symlink"), NAMES, NAMES),
    st.tuples(st.just("chmod"), NAMES, MODES),
    st.tuples(st.just("chmod"), NAMES, MODES),
    st.tuples(st.just("chown"), NAMES, IDS, IDS),
    st.tuples(st.just("utime"), NAMES, TIMES),
    st.tuples(st.just("truncate"), NAMES),
    st.tuples(st.just("list"), NAMES),
    st.tuples(st.just("stat"), NAMES),
)


# Somebody's sticky directory, others' files and directories in it, and a set-gid directory.
PRELUDE: list[tuple[str | int, ...]] = [
    ("become", 1000),
    ("mkdir", "d", 0o777),
    ("chmod", "d", 0o1777),
    ("open", "a", O_CREAT | O_RDWR, 0o664),
    ("become", 1001),
    ("open", "d/a", O_CREAT | O_RDWR, 0o660),
    ("mkdir", "d/d", 0o770),
    ("chmod", "d/d", 0o2775),
    ("become", 1002),
    ("open", "d/b", O_CREAT | O_RDWR, 0o600),
    ("symlink", "d/d/a", "b"),
]


class HostSide:
    """The operations by the host's kernel, with the file system ids of the current user."""

    def __init__(self, base: Path) -> None:
        self.base = os.open(base, os.O_PATH | os.O_DIRECTORY)

    def close(self) -> None:
        os.close(self.base)

    def become(self, uid: int) -> None:
        libc = ctypes.CDLL(None)
        libc.setfsgid(USERS[uid].fsgid)
        libc.setfsuid(uid)

    def mkdir(self, name: str, mode: int) -> None:
        os.mkdir(name, mode, dir_fd=self.base)

    def open(self, name: str, flags: int, mode: int) -> None:
        descriptor = os.open(name, flags, mode, dir_fd=self.base)
        try:
            if flags & (O_RDWR | O_WRONLY):
                os.write(descriptor, b"x")
        finally:
            os.close(descriptor)

    def unlink(self, name: str) -> None:
        os.unlink(name, dir_fd=self.base)

    def rmdir(self, name: str) -> None:
        os.rmdir(name, dir_fd=self.base)

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self.base, dst_dir_fd=self.base)

    def link(self, existing: str, name: str) -> None:
        os.link(existing, name, src_dir_fd=self.base, dst_dir_fd=self.base, follow_symlinks=False)

    def symlink(self, target: str, name: str) -> None:
        os.symlink(target, name, dir_fd=self.base)

    def chmod(self, name: str, mode: int) -> None:
        os.chmod(name, mode, dir_fd=self.base)

    def chown(self, name: str, uid: int, gid: int) -> None:
        os.chown(name, uid, gid, dir_fd=self.base)

    def utime(self, name: str, is_now: int) -> None:
        os.utime(name, None if is_now else (5, 5), dir_fd=self.base)

    def truncate(self, name: str) -> None:
        os.truncate(f"/proc/self/fd/{self.base}/{name}", 1)

    def list(self, name: str) -> list[str]:
        descriptor = os.open(name, os.O_DIRECTORY, dir_fd=self.base)
        try:
            return sorted(os.listdir(descriptor))
        finally:
            os.close(descriptor)

    def stat(self, name: str) -> tuple[int, ...]:
        found = os.stat(name, dir_fd=self.base)
        is_directory = found.st_mode & 0o170000 == 0o040000
        return found.st_mode, found.st_uid, found.st_gid, 0 if is_directory else found.st_size


class GuestSide:
    """The operations by our file system."""

    def __init__(self, tree: FileTree) -> None:
        self.tree = tree
        tree.change_directory("/base")

    def become(self, uid: int) -> None:
        self.tree.user = USERS[uid]

    def mkdir(self, name: str, mode: int) -> None:
        self.tree.mkdir(name, mode)

    def open(self, name: str, flags: int, mode: int) -> None:
        file = self.tree.open(name, flags, mode)
        if file.is_writable:
            file.write(b"x")
        file.put()

    def unlink(self, name: str) -> None:
        self.tree.unlink(name)

    def rmdir(self, name: str) -> None:
        self.tree.rmdir(name)

    def rename(self, old: str, new: str) -> None:
        self.tree.rename(old, new)

    def link(self, existing: str, name: str) -> None:
        self.tree.link(existing, name)

    def symlink(self, target: str, name: str) -> None:
        self.tree.symlink(target, name)

    def chmod(self, name: str, mode: int) -> None:
        change_mode(self.tree.path(name), self.tree.user, mode)

    def chown(self, name: str, uid: int, gid: int) -> None:
        change_owner(self.tree.path(name), self.tree.user, None if uid < 0 else uid, None if gid < 0 else gid)

    def utime(self, name: str, is_now: int) -> None:
        time_ns = -1 if is_now else 5
        change_times(self.tree.path(name), self.tree.user, time_ns, time_ns)

    def truncate(self, name: str) -> None:
        path = self.tree.path(name)
        check_truncation(path, self.tree.user)
        truncate(path, self.tree.user, 1)

    def list(self, name: str) -> list[str]:
        file = self.tree.open(name, O_DIRECTORY)
        entries = file.list_directory()[2:]
        file.put()
        return sorted(entry.name.decode() for entry in entries)

    def stat(self, name: str) -> tuple[int, ...]:
        inode = self.tree.path(name).inode
        return inode.mode, inode.uid, inode.gid, 0 if inode.is_directory else inode.size


def outcome(side: HostSide | GuestSide, operation: tuple[str | int, ...]) -> object:
    function: Callable[..., object] = getattr(side, str(operation[0]))
    try:
        return function(*operation[1:])
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except Errno as error:
        return error.name


@contextmanager
def root_again() -> Iterator[None]:
    """Be root again afterwards, with no supplementary groups in between."""
    groups, umask = os.getgroups(), os.umask(0o022)
    os.setgroups([])
    try:
        yield
    finally:
        libc = ctypes.CDLL(None)
        libc.setfsuid(0)
        libc.setfsgid(0)
        os.setgroups(groups)
        os.umask(umask)


def protection(name: str) -> int:
    return int(Path(f"/proc/sys/fs/protected_{name}").read_text())


@settings(max_examples=examples(300))
@given(st.lists(OPERATIONS, max_size=30))
def test_users_may_do_what_they_may_on_the_host(operations: list[tuple[str | int, ...]]) -> None:
    tree = new_tmpfs_tree()
    tree.mkdir("/base")
    tree.path("/base").inode.mode |= 0o777
    tree.vfs.protected_hardlinks = protection("hardlinks")
    tree.vfs.protected_symlinks = protection("symlinks")
    tree.vfs.protected_regular = protection("regular")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        base = Path(directory) / "base"
        base.mkdir()
        base.chmod(0o777)
        host, guest = HostSide(base), GuestSide(tree)
        with root_again():
            try:
                for position, operation in enumerate(PRELUDE + operations):
                    expected, found = outcome(host, operation), outcome(guest, operation)
                    before = operations[: max(position - len(PRELUDE), 0)]
                    assert found == expected, f"{operation} after {before}"
            finally:
                host.close()
