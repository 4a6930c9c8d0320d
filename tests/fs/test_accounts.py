"""The bounds of what a guest may have, and that all of it is given back."""

from __future__ import annotations

import pytest

from procession.abi.errno import ENFILE, ENOENT, ENOLCK, ENOSPC
from procession.fs import accounts
from procession.fs.fd_table import FdTable
from procession.fs.file import O_CREAT, O_RDWR
from procession.fs.lock import F_RDLCK, F_UNLCK, RecordLock, locks_of, set_lock
from procession.fs.mounts.attach import bind
from procession.fs.mounts.namespace import copy_mount_namespace
from procession.fs.mounts.unmount import MNT_DETACH, unmount
from procession.fs.tmpfs import Tmpfs
from procession.fs.xattr import set_xattr
from procession.hardware.kernel_memory import LOCK, LOCK_BYTES
from tests.fs.file_tree import FileTree, new_tmpfs_tree
from tests.kernel.process_ids import pid_numbered


@pytest.fixture
def tree() -> FileTree:
    return new_tmpfs_tree()


def test_inodes_and_names(tree: FileTree) -> None:
    held = tree.vfs.accounts
    before = held.inode_count
    tree.create("/file")
    tree.link("/file", "/second")
    tree.mkdir("/directory")
    tree.namespace.mount(Tmpfs(tree.vfs), tree.path("/directory"))
    assert held.inode_count == before + 4
    held.maximum_inodes = held.inode_count
    for make in (tree.create, tree.mkdir):
        for name in ("/new", "/directory/new"):
            with pytest.raises(ENOSPC):
                make(name)
    with pytest.raises(ENOSPC):
        tree.link("/file", "/third")
    tree.unlink("/file")
    tree.unlink("/second")
    tree.create("/directory/new")
    unmount(tree.namespace, tree.path("/directory"), MNT_DETACH)
    tree.rmdir("/directory")
    assert held.inode_count == before


def test_links_and_attributes(tree: FileTree) -> None:
    held = tree.vfs.accounts
    held.maximum_text_bytes = 5000
    tree.symlink("x" * 4000, "/one")
    with pytest.raises(ENOSPC):
        tree.symlink("x" * 4000, "/two")
    tree.create("/file")
    with pytest.raises(ENOSPC):
        set_xattr(tree.path("/file"), tree.user, b"user.a", bytes(1000), 0)
    set_xattr(tree.path("/file"), tree.user, b"user.a", bytes(900), 0)
    tree.unlink("/file")
    tree.unlink("/one")
    assert held.text_bytes == 0
    tree.symlink("x" * 4000, "/two")


def test_open_files(tree: FileTree) -> None:
    held = tree.vfs.accounts
    before = held.file_count
    held.maximum_files = before + 2
    files = [tree.open("/file", O_CREAT | O_RDWR) for _ in range(2)]
    with pytest.raises(ENFILE):
        tree.open("/file")
    for file in files:
        file.put()
    assert held.file_count == before
    inode = tree.path("/file").inode
    assert (inode.open_count, inode.writer_count, tree.superblock.writer_count) == (0, 0, 0)


def test_record_locks(tree: FileTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "LOCKS_LIMIT", 3)
    table = FdTable()
    files = [tree.open(name, O_CREAT | O_RDWR) for name in ("/a", "/b")]
    for file in files:
        table.install(file, limit=10)
        file.put()

    def lock(position: int, kind: int, byte: int) -> None:
        set_lock(files[position], RecordLock(table, pid_numbered(1), kind, byte, byte), is_blocking=False)

    lock(0, F_RDLCK, 0)
    lock(0, F_RDLCK, 2)
    lock(1, F_RDLCK, 0)
    with pytest.raises(ENOLCK):
        lock(1, F_RDLCK, 2)
    table.close(0)
    lock(1, F_RDLCK, 2)
    lock(1, F_UNLCK, 0)
    table.release()
    assert tree.vfs.accounts.lock_count == 0


def test_mounts(tree: FileTree, monkeypatch: pytest.MonkeyPatch) -> None:
    held = tree.vfs.accounts
    before = held.mount_count
    monkeypatch.setattr(accounts, "MOUNTS_LIMIT", before + 3)
    tree.mkdir("/a")
    tree.namespace.mount(Tmpfs(tree.vfs), tree.path("/a"))
    with pytest.raises(ENOSPC):
        copy_mount_namespace(tree.namespace)
    bind(tree.namespace, tree.path("/a"), tree.path("/a"), is_recursive=False)
    with pytest.raises(ENOSPC):
        bind(tree.namespace, tree.path("/"), tree.path("/a"), is_recursive=True)
    for _ in range(2):
        unmount(tree.namespace, tree.path("/a"))
    assert held.mount_count == before
    copied = copy_mount_namespace(tree.namespace)
    copied.put()
    assert held.mount_count == before


def test_absent_names(tree: FileTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "ABSENT_NAMES_LIMIT", 100)
    tree.mkdir("/a")
    tree.create("/a/file")
    for number in range(250):
        for directory in ("/", "/a"):
            with pytest.raises(ENOENT):
                tree.path(f"{directory}/absent{number}")
    remembered = sum(len(tree.path(name).dentry.children) for name in ("/", "/a"))
    assert remembered <= 102
    assert tree.path("/a/file").inode.is_regular


def test_listings(tree: FileTree) -> None:
    tree.vfs.accounts.maximum_listed = 30
    for number in range(10):
        tree.create(f"/{number}")
    directories = [tree.open("/") for _ in range(4)]
    for directory in directories:
        assert len(directory.list_directory()) == 12
        directory.position = directory.position_behind(6)
    assert tree.vfs.accounts.listed_count == 30
    assert [entry.name for entry in directories[0].list_directory()] == [b"4", b"3", b"2", b"1", b"0"]
    for directory in directories:
        directory.put()
    assert tree.vfs.accounts.listed_count == 0


class NobodyToTell:
    """Holds a lease."""

    def lease_breaks(self) -> None:
        """It doesn't care."""

    def lease_ends(self) -> None:
        """Nor here."""


def test_leases(tree: FileTree) -> None:
    kinds = tree.vfs.accounts.account.kinds
    before = kinds[LOCK]
    tree.create("/file")
    files = [tree.open("/file") for _ in range(3)]
    leases = locks_of(tree.path("/file").inode).leases
    for number, file in enumerate(files, 1):
        leases.set(file, F_RDLCK, tree.user, pid_numbered(1), NobodyToTell())
        leases.set(file, F_RDLCK, tree.user, pid_numbered(1), NobodyToTell())
        assert kinds[LOCK] == before + number * LOCK_BYTES
    leases.set(files[0], F_UNLCK, tree.user, pid_numbered(1), NobodyToTell())
    assert kinds[LOCK] == before + 2 * LOCK_BYTES
    for file in files:
        file.put()
    assert kinds[LOCK] == before
