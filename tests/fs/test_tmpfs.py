"""tmpfs: what directories, links, special files and sizes do, and where memory ends."""

from __future__ import annotations

import pytest

from procession.abi.errno import (
    E2BIG,
    EACCES,
    EEXIST,
    EINVAL,
    EISDIR,
    ENODATA,
    ENOENT,
    ENOSPC,
    ENOTEMPTY,
    ENXIO,
    EOPNOTSUPP,
    EPERM,
    ERANGE,
)
from procession.abi.word import Words
from procession.fs.acl import ACL_GROUP_OBJ, ACL_MASK, ACL_OTHER, ACL_USER, ACL_USER_OBJ
from procession.fs.attributes import (
    NOW,
    OMIT,
    change_mode,
    change_owner,
    change_times,
    check_truncation,
    truncate,
)
from procession.fs.file import O_CREAT, O_RDWR, O_TRUNC, O_WRONLY, SEEK_DATA, SEEK_HOLE
from procession.fs.handle import FILEID_INO32_GEN, encode_handle, find_by_handle
from procession.fs.inode import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFSOCK
from procession.fs.mounts.mount import MS_NOATIME, MS_STRICTATIME
from procession.fs.tmpfs import RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT, Tmpfs
from procession.fs.xattr import get_xattr, list_xattrs, remove_xattr, set_xattr
from tests.fs.file_tree import SECOND_NS, FileTree, TestClock, User, new_tmpfs_tree

PAGE = 4096


@pytest.fixture
def tree() -> FileTree:
    return new_tmpfs_tree()


def link_count(tree: FileTree, name: str) -> int:
    return tree.path(name, follow=False).inode.link_count


def test_directories_count_their_subdirectories(tree: FileTree) -> None:
    tree.mkdir("/a")
    tree.mkdir("/a/b")
    tree.mkdir("/c")
    assert (link_count(tree, "/"), link_count(tree, "/a"), link_count(tree, "/a/b")) == (4, 3, 2)
    tree.rename("/a/b", "/c/b")
    assert (link_count(tree, "/a"), link_count(tree, "/c")) == (2, 3)
    tree.mkdir("/a/b")
    tree.rename("/a/b", "/c/b")
    assert (link_count(tree, "/a"), link_count(tree, "/c")) == (2, 3)
    tree.create("/file")
    tree.rename("/file", "/c/b", RENAME_EXCHANGE)
    assert (link_count(tree, "/"), link_count(tree, "/c")) == (5, 2)
    tree.rmdir("/file")
    assert link_count(tree, "/") == 4


def test_rename_flags(tree: FileTree) -> None:
    tree.write("/a", b"a")
    tree.write("/b", b"b")
    with pytest.raises(EEXIST):
        tree.rename("/a", "/b", RENAME_NOREPLACE)
    tree.rename("/a", "/b", RENAME_EXCHANGE)
    assert (tree.read("/a"), tree.read("/b")) == (b"b", b"a")
    with pytest.raises(ENOENT):
        tree.rename("/a", "/c", RENAME_EXCHANGE)
    tree.rename("/a", "/c", RENAME_NOREPLACE)
    assert tree.read("/c") == b"b"
    for flags in (RENAME_EXCHANGE | RENAME_NOREPLACE, RENAME_WHITEOUT | RENAME_EXCHANGE, 8):
        with pytest.raises(EINVAL):
            tree.rename("/c", "/d", flags)
    tree.mkdir("/d")
    tree.mkdir("/d/e")
    with pytest.raises(EINVAL):
        tree.rename("/d", "/d/e", RENAME_EXCHANGE)
    with pytest.raises(EINVAL):
        tree.rename("/d/e", "/d", RENAME_EXCHANGE)
    with pytest.raises(ENOTEMPTY):
        tree.rename("/d/e", "/d")


def test_names_follow_a_renamed_directory(tree: FileTree) -> None:
    tree.mkdir("/a")
    tree.mkdir("/a/b")
    file = tree.open("/a/b/file", O_CREAT | O_RDWR)
    tree.rename("/a", "/z")
    assert tree.full_name(file.path) == b"/z/b/file"
    tree.rename("/z/b", "/y")
    assert tree.full_name(file.path) == b"/y/file"
    tree.unlink("/y/file")
    assert tree.full_name(file.path) == b"/y/file (deleted)"


def test_a_removed_file_lives_while_it_is_open(tree: FileTree) -> None:
    superblock = tree.superblock
    assert isinstance(superblock, Tmpfs)
    file = tree.open("/file", O_CREAT | O_RDWR)
    file.write(bytes(10 * PAGE))
    assert superblock.page_count == 10
    tree.unlink("/file")
    tree.create("/file")
    assert file.read_at(0, 5) == bytes(5)
    assert superblock.page_count == 10
    inodes = superblock.inode_count
    file.put()
    assert superblock.page_count == 0
    assert superblock.inode_count == inodes - 1
    assert tree.vfs.memory.used_frames == 0


def test_a_replaced_or_linked_file_gives_its_memory_back_once(tree: FileTree) -> None:
    tree.write("/a", bytes(PAGE))
    tree.link("/a", "/b")
    tree.unlink("/a")
    assert tree.vfs.memory.used_frames == 1
    tree.write("/c", b"")
    tree.rename("/c", "/b")
    assert tree.vfs.memory.used_frames == 0


def test_renaming_onto_another_name_of_the_same_file_does_nothing(tree: FileTree) -> None:
    tree.write("/a", b"a")
    tree.link("/a", "/b")
    tree.rename("/a", "/b")
    assert tree.names("/") == [b"b", b"a"]


def test_a_removed_directory_takes_no_new_files(tree: FileTree) -> None:
    tree.mkdir("/gone")
    tree.change_directory("/gone")
    tree.rmdir("/gone")
    assert tree.full_name(tree.context.cwd) == b"/gone (deleted)"
    with pytest.raises(ENOENT):
        tree.create("new")
    with pytest.raises(ENOENT):
        tree.mkdir("new")
    with pytest.raises(ENOENT):
        tree.symlink("x", "new")
    directory = tree.open(".")
    with pytest.raises(ENOENT):
        directory.list_directory()
    directory.put()
    assert tree.full_name(tree.path("..")) == b"/"


def test_a_full_machine_is_enospc_and_a_short_write(tree: FileTree) -> None:
    memory = tree.vfs.memory
    superblock = tree.superblock
    assert isinstance(superblock, Tmpfs)
    superblock.maximum_pages = 1 << 20
    file = tree.open("/big", O_CREAT | O_RDWR)
    room = memory.free_frames * PAGE
    assert file.write(bytes(room - 2 * PAGE - 5)) == room - 2 * PAGE - 5
    assert file.write(bytes(10 * PAGE)) == 2 * PAGE + 5
    with pytest.raises(ENOSPC):
        file.write(b"x")
    assert file.inode.size == room
    file.truncate(room - PAGE)
    file.seek(0, 2)
    assert file.write(b"x") == 1


def test_a_size_limit_is_kept(tree: FileTree) -> None:
    tree.mkdir("/small")
    tree.namespace.mount(Tmpfs(tree.vfs, maximum_pages=2, maximum_inodes=3), tree.path("/small"))
    file = tree.open("/small/a", O_CREAT | O_RDWR)
    assert file.write(bytes(3 * PAGE)) == 2 * PAGE
    file.put()
    with pytest.raises(ENOSPC):
        tree.write("/small/b", b"x")
    with pytest.raises(ENOSPC):
        tree.create("/small/c")
    statistics = tree.path("/small").mount.superblock.statistics()
    assert (statistics.total_blocks, statistics.free_blocks, statistics.free_inodes) == (2, 0, 0)
    tree.unlink("/small/a")
    tree.write("/small/b", b"x")


def test_holes(tree: FileTree) -> None:
    file = tree.open("/sparse", O_CREAT | O_RDWR)
    file.write_at(5 * PAGE, b"x")
    file.truncate(1 << 40)
    assert (file.inode.size, file.inode.block_count) == (1 << 40, 8)
    assert file.seek(0, SEEK_DATA) == 5 * PAGE
    assert file.seek(5 * PAGE, SEEK_HOLE) == 6 * PAGE
    assert file.seek(0, SEEK_HOLE) == 0
    with pytest.raises(ENXIO):
        file.seek(6 * PAGE, SEEK_DATA)
    with pytest.raises(ENXIO):
        file.seek(1 << 40, SEEK_HOLE)
    assert file.read_at(5 * PAGE - 1, 3) == b"\0x\0"


def test_fallocate(tree: FileTree) -> None:
    file = tree.open("/file", O_CREAT | O_RDWR)
    file.allocate(0, 0, 2 * PAGE + 1)
    assert (file.inode.size, file.inode.block_count) == (2 * PAGE + 1, 24)
    file.allocate(1, 0, 4 * PAGE)
    assert (file.inode.size, file.inode.block_count) == (2 * PAGE + 1, 32)
    file.write(b"a" * (2 * PAGE + 1))
    file.allocate(3, 100, PAGE)
    assert file.read_at(0, 3 * PAGE) == b"a" * 100 + bytes(PAGE) + b"a" * (PAGE - 99)
    file.allocate(3, 0, 1 << 40)
    assert file.read_at(0, 3 * PAGE) == bytes(2 * PAGE + 1)
    with pytest.raises(ENOSPC):
        file.allocate(0, 0, 1 << 40)
    for mode in (2, 8, 0x10, 0x20):
        with pytest.raises(EOPNOTSUPP):
            file.allocate(mode, 0, 1)


def test_fallocate_of_many_pages(tree: FileTree) -> None:
    file = tree.open("/file", O_CREAT | O_RDWR)
    superblock = file.inode.superblock
    assert isinstance(superblock, Tmpfs)
    before = superblock.page_count
    file.write_at(7 * PAGE, b"there")
    superblock.maximum_pages = before + 60
    file.allocate(0, 0, 50 * PAGE)
    assert superblock.page_count == before + 50
    assert file.read_at(0, 50 * PAGE) == bytes(7 * PAGE) + b"there" + bytes(43 * PAGE - 5)
    with pytest.raises(ENOSPC):
        file.allocate(0, 50 * PAGE, 11 * PAGE)
    assert (superblock.page_count, file.inode.block_count) == (before + 50, 400)
    file.allocate(0, 50 * PAGE, 10 * PAGE)
    file.allocate(3, 0, 60 * PAGE)
    assert superblock.page_count == before


def test_new_files_in_a_set_gid_directory(tree: FileTree) -> None:
    tree.mkdir("/shared")
    change_owner(tree.path("/shared"), tree.user, None, 50)
    change_mode(tree.path("/shared"), tree.user, 0o2777)
    tree.user = User(1000, 1000)
    tree.create("/shared/file")
    tree.mkdir("/shared/directory")
    assert tree.path("/shared/file").inode.gid == 50
    directory = tree.path("/shared/directory").inode
    assert (directory.gid, directory.mode & 0o7777) == (50, 0o2755)


def test_the_sticky_bit(tree: FileTree) -> None:
    tree.mkdir("/tmp")
    change_mode(tree.path("/tmp"), tree.user, 0o1777)
    tree.user = User(1000, 1000)
    tree.create("/tmp/mine")
    tree.user = User(1001, 1001)
    tree.create("/tmp/other")
    with pytest.raises(EPERM):
        tree.unlink("/tmp/mine")
    with pytest.raises(EPERM):
        tree.rename("/tmp/mine", "/tmp/stolen")
    with pytest.raises(EPERM):
        tree.rename("/tmp/other", "/tmp/mine")
    tree.user = User(1000, 1000)
    tree.unlink("/tmp/mine")


def test_the_umask(tree: FileTree) -> None:
    tree.context.umask = 0o027
    tree.create("/file", 0o777)
    tree.mkdir("/directory", 0o7777)
    assert tree.path("/file").inode.mode & 0o7777 == 0o750
    assert tree.path("/directory").inode.mode & 0o7777 == 0o1750


def test_special_files(tree: FileTree) -> None:
    tree.mknod("/fifo", S_IFIFO | 0o666)
    tree.mknod("/socket", S_IFSOCK | 0o666)
    tree.mknod("/device", S_IFCHR | 0o666, 0x777)
    assert [tree.path(name).inode.mode >> 12 for name in ("/fifo", "/socket", "/device")] == [1, 12, 2]
    assert (tree.path("/device").inode.rdev, tree.path("/fifo").inode.rdev) == (0x777, 0)
    for name in ("/socket", "/device"):
        with pytest.raises(ENXIO):
            tree.open(name, O_RDWR)
    with pytest.raises(EPERM):
        tree.mknod("/directory", S_IFDIR | 0o755)
    with pytest.raises(EINVAL):
        tree.mknod("/strange", 0o150000)
    tree.mknod("/plain", 0o600)
    assert tree.path("/plain").inode.is_regular
    tree.path("/").inode.mode |= 0o777
    tree.user = User(1000)
    with pytest.raises(EPERM):
        tree.mknod("/mine", S_IFBLK | 0o600, 0x800)
    tree.mknod("/mine", S_IFIFO | 0o600)


def test_chmod_and_chown(tree: FileTree) -> None:
    tree.create("/file")
    path = tree.path("/file")
    change_mode(path, tree.user, 0o6755)
    change_owner(path, tree.user, 1000, None)
    assert path.inode.mode & 0o7777 == 0o755
    owner, other = User(1000, 1000, groups=[7]), User(1001, 1001)
    with pytest.raises(EPERM):
        change_mode(path, other, 0o777)
    for uid, gid in ((1001, None), (None, 8)):
        with pytest.raises(EPERM):
            change_owner(path, owner, uid, gid)
    change_owner(path, owner, 1000, 7)
    change_mode(path, owner, 0o2755)
    assert (path.inode.gid, path.inode.mode & 0o7777) == (7, 0o2755)
    change_owner(path, owner, None, 1000)
    path.inode.gid = 99
    change_mode(path, owner, 0o2755)
    assert path.inode.mode & 0o7777 == 0o755
    tree.symlink("file", "/link")
    with pytest.raises(EOPNOTSUPP):
        change_mode(tree.path("/link", follow=False), tree.user, 0o600)
    change_owner(tree.path("/link", follow=False), tree.user, 3, 4)
    assert tree.path("/link", follow=False).inode.uid == 3


def test_times(tree: FileTree) -> None:
    tree.create("/file", 0o666)
    path = tree.path("/file")
    path.inode.mode |= 0o666
    other = User(1001)
    change_times(path, other, NOW, NOW)
    for atime_ns, mtime_ns in ((5, OMIT), (NOW, OMIT), (1, 2)):
        with pytest.raises(EPERM):
            change_times(path, other, atime_ns, mtime_ns)
    change_times(path, other, OMIT, OMIT)
    path.inode.mode &= ~0o022
    with pytest.raises(EACCES):
        change_times(path, other, NOW, NOW)
    change_times(path, tree.user, -5, OMIT)
    assert path.inode.atime_ns == -5


def test_truncate_by_name(tree: FileTree) -> None:
    tree.write("/file", b"contents")
    truncate(tree.path("/file"), tree.user, 3)
    assert tree.read("/file") == b"con"
    truncate(tree.path("/file"), tree.user, 5)
    assert tree.read("/file") == b"con\0\0"
    with pytest.raises(EISDIR):
        check_truncation(tree.path("/"), tree.user)
    with pytest.raises(EACCES):
        check_truncation(tree.path("/file"), User(1000, 1000))


def test_extended_attributes(tree: FileTree) -> None:
    tree.create("/file")
    path, root, user = tree.path("/file"), tree.user, User(1000, 1000)
    set_xattr(path, root, b"user.b", b"2", 0)
    set_xattr(path, root, b"user.a", b"1", 1)
    set_xattr(path, root, b"trusted.t", b"", 0)
    assert list_xattrs(path.inode, root) == b"user.b\0user.a\0trusted.t\0"
    assert list_xattrs(path.inode, user) == b"user.b\0user.a\0"
    assert get_xattr(path, user, b"user.a") == b"1"
    with pytest.raises(EEXIST):
        set_xattr(path, root, b"user.a", b"", 1)
    with pytest.raises(ENODATA):
        set_xattr(path, root, b"user.c", b"", 2)
    with pytest.raises(EACCES):
        set_xattr(path, user, b"user.a", b"", 0)
    with pytest.raises(ENODATA):
        get_xattr(path, user, b"trusted.t")
    for name, error in ((b"strange.a", EOPNOTSUPP), (b"user.", EINVAL), (b"user." + b"x" * 300, ERANGE)):
        with pytest.raises(error):
            set_xattr(path, root, name, b"", 0)
    with pytest.raises(E2BIG):
        set_xattr(path, root, b"user.a", bytes(65537), 0)
    for number in range(15):
        set_xattr(path, root, b"user.big%d" % number, bytes(65536), 0)
    with pytest.raises(ENOSPC):
        set_xattr(path, root, b"user.bigger", bytes(65536), 0)
    remove_xattr(path, root, b"user.a")
    with pytest.raises(ENODATA):
        get_xattr(path, root, b"user.a")
    tree.symlink("file", "/link")
    with pytest.raises(EPERM):
        set_xattr(tree.path("/link", follow=False), root, b"user.a", b"", 0)
    tree.unlink("/file")
    tree.unlink("/link")
    assert tree.vfs.accounts.text_bytes == 0


def test_writing_takes_file_capabilities(tree: FileTree) -> None:
    tree.write("/program", b"x")
    path = tree.path("/program")
    set_xattr(path, tree.user, b"security.capability", b"\1\0\0\2" + bytes(16), 0)
    tree.open("/program", O_WRONLY | O_TRUNC).put()
    with pytest.raises(ENODATA):
        get_xattr(path, tree.user, b"security.capability")


def test_a_listing_stays_valid_while_entries_go(tree: FileTree) -> None:
    for number in range(5):
        tree.create(f"/{number}")
    directory = tree.open("/")
    first = directory.list_directory()
    assert [entry.name for entry in first[:3]] == [b".", b"..", b"4"]
    directory.position = directory.position_behind(2)
    tree.unlink("/4")
    tree.create("/5")
    assert [entry.name for entry in directory.list_directory()] == [b"3", b"2", b"1", b"0"]
    directory.seek(0, 0)
    assert [entry.name for entry in directory.list_directory()][2:] == [b"5", b"3", b"2", b"1", b"0"]


def test_access_times(tree: FileTree) -> None:
    clock = tree.vfs.clock
    assert isinstance(clock, TestClock)
    tree.write("/file", b"x")
    path = tree.path("/file")
    start_ns = clock.realtime_ns

    def read_later() -> int:
        clock.realtime_ns += SECOND_NS
        tree.read("/file")
        return (path.inode.atime_ns - start_ns) // SECOND_NS

    assert [read_later() for _ in range(3)] == [1, 1, 1]
    tree.write("/file", b"y")
    assert [read_later() for _ in range(2)] == [4, 4]
    path.mount.flags |= MS_STRICTATIME
    assert [read_later() for _ in range(2)] == [6, 7]
    path.mount.flags |= MS_NOATIME
    assert read_later() == 7
    path.mount.flags = 0
    clock.realtime_ns += 25 * 3600 * SECOND_NS
    assert read_later() > 25 * 3600


def test_writing_to_code_is_told(tree: FileTree) -> None:
    tree.write("/program", bytes(10))
    memory = tree.vfs.memory
    pages = tree.path("/program").inode.pages
    assert pages is not None
    tree.write("/program", b"a")
    assert not memory.stale
    memory.executable.add(pages.frame(0))
    tree.write("/program", b"b")
    assert memory.stale


ACCESS_LIST, DEFAULT_LIST = b"system.posix_acl_access", b"system.posix_acl_default"
ENTRY = Words("<HHI")
NO_ID = 0xFFFFFFFF
GROUP_WRITES = b"\2\0\0\0" + b"".join(
    ENTRY.pack(tag, permissions, 7 if tag == ACL_USER else NO_ID)
    for tag, permissions in (
        (ACL_USER_OBJ, 7),
        (ACL_USER, 7),
        (ACL_GROUP_OBJ, 7),
        (ACL_MASK, 7),
        (ACL_OTHER, 0),
    )
)


def test_nothing_is_made_without_room_for_the_lists_that_it_gets(tree: FileTree) -> None:
    tree.mkdir("/directory", 0o777)
    set_xattr(tree.path("/directory"), tree.user, DEFAULT_LIST, GROUP_WRITES, 0)
    accounts = tree.vfs.accounts
    accounts.maximum_text_bytes = accounts.text_bytes + 100
    before = accounts.text_bytes, accounts.inode_count
    with pytest.raises(ENOSPC):
        tree.create("/directory/file")
    with pytest.raises(ENOSPC):
        tree.mkdir("/directory/below")
    with pytest.raises(ENOSPC):
        tree.mknod("/directory/node", S_IFIFO | 0o666)
    assert tree.names("/directory") == []
    assert (accounts.text_bytes, accounts.inode_count) == before
    accounts.maximum_text_bytes += 1 << 20
    tree.mkdir("/directory/below", 0o777)
    tree.create("/directory/below/file", 0o600)
    below = tree.path("/directory/below")
    assert get_xattr(below, tree.user, DEFAULT_LIST) == GROUP_WRITES
    assert get_xattr(below, tree.user, ACCESS_LIST) == GROUP_WRITES
    tree.unlink("/directory/below/file")
    tree.rmdir("/directory/below")
    assert (accounts.text_bytes, accounts.inode_count) == before


def test_a_list_without_room_leaves_the_mode(tree: FileTree) -> None:
    tree.create("/file", 0o600)
    path = tree.path("/file")
    accounts = tree.vfs.accounts
    limit, accounts.maximum_text_bytes = accounts.maximum_text_bytes, accounts.text_bytes
    with pytest.raises(ENOSPC):
        set_xattr(path, tree.user, ACCESS_LIST, GROUP_WRITES, 0)
    assert path.inode.mode & 0o777 == 0o600
    accounts.maximum_text_bytes = limit
    set_xattr(path, tree.user, ACCESS_LIST, GROUP_WRITES, 0)
    assert path.inode.mode & 0o777 == 0o770


def test_a_handle_is_found_in_a_deep_tree(tree: FileTree) -> None:
    depth = 200
    for level in range(1, depth + 1):
        tree.mkdir("/d" * level)
        tree.create("/d" * level + "/file")
    deepest = tree.path("/d" * depth + "/file")
    clock = tree.vfs.clock
    assert isinstance(clock, TestClock)
    before = clock.walked_count
    found = find_by_handle(deepest.mount, FILEID_INO32_GEN, encode_handle(deepest.inode))
    assert found.dentry is deepest.dentry
    # Every entry that was looked at takes time.
    assert clock.walked_count - before == 2 * depth
    root = deepest.mount.root
    assert find_by_handle(deepest.mount, FILEID_INO32_GEN, encode_handle(root.inode)).dentry is root
