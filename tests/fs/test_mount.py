"""Mounts: bind, move, unmount, pivot_root, copies for namespaces, and shared subtrees."""

from __future__ import annotations

import pytest

from procession.abi.errno import EAGAIN, EBUSY, EINVAL, ELOOP, ENOENT, ENOSPC, ENOTDIR, EPERM
from procession.fs.dentry import Path
from procession.fs.file import O_CREAT, O_RDWR
from procession.fs.fs_context import FsContext
from procession.fs.mounts.attach import bind, move, pivot_root
from procession.fs.mounts.mount import MS_NOEXEC, MS_RDONLY
from procession.fs.mounts.namespace import MountNamespace, copy_mount_namespace
from procession.fs.mounts.peers import MS_PRIVATE, MS_SHARED, MS_SLAVE, MS_UNBINDABLE
from procession.fs.mounts.reconfigure import remount_bind, set_propagation
from procession.fs.mounts.unmount import MNT_DETACH, MNT_EXPIRE, unmount
from procession.fs.namei import lookup
from procession.fs.tmpfs import Tmpfs
from procession.fs.user_namespace import UserNamespace
from tests.fs.file_tree import FileTree, new_tmpfs_tree


@pytest.fixture
def tree() -> FileTree:
    """Directories /a, /a/b, /c and /new with a file in each, and a tmpfs on /mnt."""
    tree = new_tmpfs_tree()
    for name in ("/a", "/a/b", "/c", "/mnt", "/new"):
        tree.mkdir(name)
        tree.write(f"{name}/file", name.encode())
    tree.namespace.mount(Tmpfs(tree.vfs, mode=0o755), tree.path("/mnt"))
    tree.write("/mnt/file", b"mounted")
    tree.mkdir("/mnt/inner")
    return tree


def place_in(namespace: MountNamespace, tree: FileTree, name: bytes) -> Path:
    """Where `name` is in another namespace."""
    context = FsContext(namespace.root_path)
    try:
        return lookup(context, tree.user, name)
    finally:
        context.put()


def less_privileged(tree: FileTree) -> MountNamespace:
    """A copy of the namespace that belongs to another user namespace."""
    table = tree.vfs.namespaces
    return copy_mount_namespace(tree.namespace, None, UserNamespace(table, tree.vfs.init_user_namespace))


def names_in(namespace: MountNamespace, tree: FileTree, name: bytes) -> bytes:
    """What the file `name` holds in another namespace."""
    context = FsContext(namespace.root_path)
    try:
        path = lookup(context, tree.user, name)
        file = path.inode.open(path, 0, tree.user)
        data = file.read(100)
        file.release_if_unheld()
        return data
    finally:
        context.put()


def test_a_bind_mount_shows_the_same_files(tree: FileTree) -> None:
    bind(tree.namespace, tree.path("/a"), tree.path("/c"), is_recursive=False)
    assert tree.read("/c/file") == b"/a"
    tree.write("/c/b/new", b"both")
    assert tree.read("/a/b/new") == b"both"
    assert tree.full_name(tree.path("/c/b")) == b"/c/b"
    assert tree.full_name(tree.path("/c/..")) == b"/"
    with pytest.raises(EBUSY):
        tree.rmdir("/c")
    unmount(tree.namespace, tree.path("/c"))
    assert tree.read("/c/file") == b"/c"


def test_a_file_can_be_mounted_on_a_file(tree: FileTree) -> None:
    bind(tree.namespace, tree.path("/a/file"), tree.path("/c/file"), is_recursive=False)
    assert tree.read("/c/file") == b"/a"
    with pytest.raises(ENOTDIR):
        bind(tree.namespace, tree.path("/a/file"), tree.path("/c"), is_recursive=False)
    with pytest.raises(EBUSY):
        tree.unlink("/c/file")
    tree.unlink("/a/file")
    assert tree.read("/c/file") == b"/a"
    unmount(tree.namespace, tree.path("/c/file"))
    assert tree.read("/c/file") == b"/c"


def test_a_recursive_bind_takes_what_is_mounted_below(tree: FileTree) -> None:
    bind(tree.namespace, tree.path("/"), tree.path("/new"), is_recursive=False)
    assert tree.read("/new/mnt/file") == b"/mnt"
    unmount(tree.namespace, tree.path("/new"))
    bind(tree.namespace, tree.path("/"), tree.path("/new"), is_recursive=True)
    assert tree.read("/new/mnt/file") == b"mounted"
    with pytest.raises(EBUSY):
        unmount(tree.namespace, tree.path("/new"))
    unmount(tree.namespace, tree.path("/new"), MNT_DETACH)
    assert tree.read("/new/file") == b"/new"
    assert tree.read("/mnt/file") == b"mounted"


def test_unmounting_what_is_in_use(tree: FileTree) -> None:
    file = tree.open("/mnt/file")
    with pytest.raises(EBUSY):
        unmount(tree.namespace, tree.path("/mnt"))
    file.put()
    tree.change_directory("/mnt/inner")
    with pytest.raises(EBUSY):
        unmount(tree.namespace, tree.path("/mnt"))
    unmount(tree.namespace, tree.path("/mnt"), MNT_DETACH)
    assert tree.names("..") == [b"inner", b"file"]
    assert tree.full_name(tree.context.cwd) == b"/inner"
    assert tree.read("/mnt/file") == b"/mnt"
    for name in ("/mnt", "/a/b"):
        with pytest.raises(EINVAL):
            unmount(tree.namespace, tree.path(name))


def test_the_last_unmount_gives_the_memory_back(tree: FileTree) -> None:
    used = tree.vfs.memory.used_frames
    superblock = tree.path("/mnt").mount.superblock
    assert isinstance(superblock, Tmpfs)
    tree.write("/mnt/big", bytes(10 * 4096))
    bind(tree.namespace, tree.path("/mnt"), tree.path("/c"), is_recursive=False)
    file = tree.open("/c/big")
    unmount(tree.namespace, tree.path("/mnt"))
    unmount(tree.namespace, tree.path("/c"), MNT_DETACH)
    assert tree.vfs.memory.used_frames == used + 10
    file.put()
    assert tree.vfs.memory.used_frames == used - 1
    assert superblock.page_count == 0


def test_expiring(tree: FileTree) -> None:
    place = tree.path("/mnt")
    for _ in range(2):
        with pytest.raises(EAGAIN):
            unmount(tree.namespace, place, MNT_EXPIRE)
        # Whoever looks at it keeps it.
        assert tree.path("/mnt") == place
    with pytest.raises(EAGAIN):
        unmount(tree.namespace, place, MNT_EXPIRE)
    unmount(tree.namespace, place, MNT_EXPIRE)
    assert tree.read("/mnt/file") == b"/mnt"


def test_moving(tree: FileTree) -> None:
    move(tree.namespace, tree.path("/mnt"), tree.path("/c"))
    assert tree.read("/c/file") == b"mounted"
    assert tree.read("/mnt/file") == b"/mnt"
    with pytest.raises(ELOOP):
        move(tree.namespace, tree.path("/c"), tree.path("/c/inner"))
    with pytest.raises(EINVAL):
        move(tree.namespace, tree.path("/a"), tree.path("/mnt"))
    with pytest.raises(EINVAL):
        move(tree.namespace, tree.path("/c"), tree.path("/a/file"))


def test_remounting(tree: FileTree) -> None:
    writer = tree.open("/mnt/file", O_RDWR)
    with pytest.raises(EBUSY):
        remount_bind(tree.namespace, tree.path("/mnt"), MS_RDONLY)
    writer.put()
    remount_bind(tree.namespace, tree.path("/mnt"), MS_RDONLY | MS_NOEXEC)
    assert tree.path("/mnt").mount.flags == MS_RDONLY | MS_NOEXEC
    assert not tree.path("/mnt").mount.superblock.is_read_only
    with pytest.raises(EINVAL):
        remount_bind(tree.namespace, tree.path("/a"), 0)


def test_pivot_root(tree: FileTree) -> None:
    namespace = tree.namespace
    tree.namespace.mount(Tmpfs(tree.vfs, mode=0o755), tree.path("/new"))
    tree.mkdir("/new/old")
    tree.write("/new/file", b"new root")
    old_root, new_root = tree.context.root, tree.path("/new")
    for bad_root, put_old in (("/a", "/a/b"), ("/mnt", "/c"), ("/", "/new/old"), ("/new", "/a")):
        with pytest.raises((EINVAL, EBUSY)):
            pivot_root(namespace, old_root, tree.path(bad_root), tree.path(put_old))
    pivot_root(namespace, old_root, new_root, tree.path("/new/old"))
    tree.context.replace(old_root, new_root)
    assert tree.read("/file") == b"new root"
    assert tree.read("/old/a/file") == b"/a"
    assert tree.read("/old/mnt/file") == b"mounted"
    assert namespace.root_path == new_root
    unmount(namespace, tree.path("/old"), MNT_DETACH)
    assert tree.names("/old") == []


def test_a_copied_namespace_is_apart(tree: FileTree) -> None:
    copied = copy_mount_namespace(tree.namespace)
    assert names_in(copied, tree, b"/mnt/file") == b"mounted"
    unmount(copied, place_in(copied, tree, b"/mnt"))
    assert names_in(copied, tree, b"/mnt/file") == b"/mnt"
    assert tree.read("/mnt/file") == b"mounted"
    with pytest.raises(EINVAL):
        unmount(copied, tree.path("/mnt"))
    assert set(copied.mounts).isdisjoint(tree.namespace.mounts)


def test_a_name_that_another_namespace_mounts_on_can_be_removed(tree: FileTree) -> None:
    copied = copy_mount_namespace(tree.namespace)
    context = FsContext(copied.root_path)
    copied.mount(Tmpfs(tree.vfs), lookup(context, tree.user, b"/a/b"))
    tree.unlink("/a/b/file")
    tree.rmdir("/a/b")
    with pytest.raises(ENOENT):
        lookup(context, tree.user, b"/a/b")
    assert len(copied.mounts) == 3


def test_a_less_privileged_copy_cannot_be_taken_apart(tree: FileTree) -> None:
    remount_bind(tree.namespace, tree.path("/mnt"), MS_RDONLY)
    copied = less_privileged(tree)
    mount = place_in(copied, tree, b"/mnt").mount
    with pytest.raises(EINVAL):
        unmount(copied, mount.path)
    with pytest.raises(EPERM):
        remount_bind(copied, mount.path, 0)
    with pytest.raises(EINVAL):
        bind(copied, place_in(copied, tree, b"/"), mount.path, is_recursive=False)


@pytest.mark.parametrize(
    ("kind", "to_copy", "to_original"),
    [(MS_SHARED, True, True), (MS_SLAVE, True, False), (MS_PRIVATE, False, False)],
)
def test_mounts_spread_between_namespaces(
    tree: FileTree, kind: int, to_copy: bool, to_original: bool
) -> None:
    set_propagation(tree.path("/"), MS_SHARED, is_recursive=True)
    copied = copy_mount_namespace(tree.namespace)
    context = FsContext(copied.root_path)
    set_propagation(copied.root_path, kind, is_recursive=True)

    tree.namespace.mount(Tmpfs(tree.vfs, mode=0o755), tree.path("/a"))
    tree.write("/a/file", b"spread")
    assert (names_in(copied, tree, b"/a/file") == b"spread") == to_copy
    unmount(tree.namespace, tree.path("/a"))
    assert names_in(copied, tree, b"/a/file") == b"/a"

    copied.mount(Tmpfs(tree.vfs, mode=0o755), lookup(context, tree.user, b"/c"))
    file = lookup(context, tree.user, b"/c").inode.create(b"file", 0o644, tree.user)
    assert (tree.path("/c/file").inode is file) == to_original
    assert lookup(context, tree.user, b"/c/file").inode is file


def test_a_slave_that_is_shared_passes_on(tree: FileTree) -> None:
    set_propagation(tree.path("/"), MS_SHARED, is_recursive=True)
    middle = copy_mount_namespace(tree.namespace)
    set_propagation(middle.root_path, MS_SLAVE, is_recursive=True)
    set_propagation(middle.root_path, MS_SHARED, is_recursive=True)
    last = copy_mount_namespace(middle)
    tree.namespace.mount(Tmpfs(tree.vfs, mode=0o755), tree.path("/a"))
    tree.write("/a/file", b"far")
    assert names_in(middle, tree, b"/a/file") == b"far"
    assert names_in(last, tree, b"/a/file") == b"far"
    # What middle has mounted there is shared with last, and with nobody above.
    context = FsContext(middle.root_path)
    lookup(context, tree.user, b"/a").inode.mkdir(b"deep", 0o755, tree.user)
    middle.mount(Tmpfs(tree.vfs, mode=0o755), lookup(context, tree.user, b"/a/deep"))
    lookup(context, tree.user, b"/a/deep").inode.create(b"file", 0o644, tree.user)
    assert names_in(last, tree, b"/a/deep/file") == b""
    with pytest.raises(ENOENT):
        tree.path("/a/deep/file")


def test_unbindable(tree: FileTree) -> None:
    set_propagation(tree.path("/mnt"), MS_UNBINDABLE, is_recursive=False)
    with pytest.raises(EINVAL):
        bind(tree.namespace, tree.path("/mnt"), tree.path("/c"), is_recursive=False)
    bind(tree.namespace, tree.path("/"), tree.path("/c"), is_recursive=True)
    assert tree.read("/c/mnt/file") == b"/mnt"


def test_nothing_is_mounted_on_a_removed_directory(tree: FileTree) -> None:
    tree.mkdir("/gone")
    path = tree.path("/gone")
    tree.rmdir("/gone")
    with pytest.raises(ENOENT):
        tree.namespace.mount(Tmpfs(tree.vfs), path)
    tree.open("/c/new", O_CREAT | O_RDWR).put()


def test_a_namespace_has_room_for_so_many(tree: FileTree) -> None:
    tree.vfs.mount_table.maximum = 5
    set_propagation(tree.path("/"), MS_SHARED, is_recursive=False)
    bind(tree.namespace, tree.path("/"), tree.path("/c"), is_recursive=False)
    groups, numbers = tree.vfs.mount_table.group_numbers.next, len(tree.namespace.mounts)
    # It would spread to /c as well: 4 mounts and 2 more.
    with pytest.raises(ENOSPC):
        tree.namespace.mount(Tmpfs(tree.vfs), tree.path("/a"))
    assert len(tree.namespace.mounts) == numbers == 4
    assert tree.vfs.accounts.mount_count == 4
    tree.vfs.mount_table.maximum = 6
    tree.namespace.mount(Tmpfs(tree.vfs), tree.path("/a"))
    assert tree.path("/c/a").mount.group == tree.path("/a").mount.group == groups
    assert len(tree.namespace.mounts) == 6
    with pytest.raises(ENOSPC):
        bind(tree.namespace, tree.path("/a"), tree.path("/mnt"), is_recursive=False)
    unmount(tree.namespace, tree.path("/a"))
    assert tree.vfs.accounts.mount_count == 4
    assert tree.vfs.mount_table.group_numbers.take() == groups
