"""The path walk: symbolic links, dots, mounts, roots, and what openat2(2) forbids."""

from __future__ import annotations

import pytest

from procession.abi.errno import (
    EACCES,
    EINVAL,
    EISDIR,
    ELOOP,
    ENAMETOOLONG,
    ENOENT,
    ENOTDIR,
    EROFS,
    ETXTBSY,
    EXDEV,
)
from procession.fs import opening
from procession.fs.dentry import SMALLEST_SWEEP, Path
from procession.fs.file import (
    O_APPEND,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_NOFOLLOW,
    O_PATH,
    O_RDONLY,
    O_RDWR,
    O_TMPFILE,
    O_TRUNC,
    O_WRONLY,
    PathFile,
)
from procession.fs.fs_context import FsContext
from procession.fs.inode import S_IFDIR, S_IFLNK, S_IFREG, DirectoryEntry, Inode
from procession.fs.mounts.mount import MS_RDONLY
from procession.fs.namei import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    lookup,
)
from procession.fs.tmpfs import Tmpfs
from tests.fs.file_tree import FileTree, User, new_tmpfs_tree


@pytest.fixture
def tree() -> FileTree:
    """/dir/sub/file, /other, links among them, and a tmpfs with `inside` on /mnt."""
    tree = new_tmpfs_tree()
    for name in ("/dir", "/dir/sub", "/other", "/mnt"):
        tree.mkdir(name)
    tree.write("/dir/sub/file", b"contents")
    tree.symlink("dir/sub", "/relative")
    tree.symlink("/dir/sub", "/dir/absolute")
    tree.symlink("../../dir/sub/file", "/dir/sub/up")
    tree.symlink("loop", "/loop")
    tree.namespace.mount(Tmpfs(tree.vfs, mode=0o755), tree.path("/mnt"))
    tree.write("/mnt/inside", b"mounted")
    return tree


@pytest.mark.parametrize(
    "name",
    [
        "/dir/sub/file",
        "//dir///sub//file",
        "/./dir/./sub/./file",
        "/dir/../dir/sub/../sub/file",
        "/../../dir/sub/file",
        "/relative/file",
        "/dir/absolute/file",
        "/relative/../absolute/file",
        "/dir/sub/up",
        "/mnt/../dir/sub/file",
        "dir/sub/file",
    ],
)
def test_ways_to_the_same_file(tree: FileTree, name: str) -> None:
    found = tree.path(name)
    assert tree.full_name(found) == b"/dir/sub/file"
    assert tree.read(name) == b"contents"


def test_mounts_are_crossed_both_ways(tree: FileTree) -> None:
    inside = tree.path("/mnt/inside")
    assert inside.mount.superblock is not tree.superblock
    assert tree.full_name(inside) == b"/mnt/inside"
    assert tree.full_name(tree.path("/mnt/..")) == b"/"
    assert tree.path("/mnt").inode.superblock is inside.mount.superblock


def test_a_mount_on_a_mount_hides_it(tree: FileTree) -> None:
    tree.namespace.mount(Tmpfs(tree.vfs), tree.path("/mnt"))
    with pytest.raises(ENOENT):
        tree.path("/mnt/inside")
    assert tree.full_name(tree.path("/mnt")) == b"/mnt"
    assert tree.full_name(tree.path("/mnt/..")) == b"/"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", ENOENT),
        ("/missing", ENOENT),
        ("/missing/file", ENOENT),
        ("/dir/sub/file/more", ENOTDIR),
        ("/dir/sub/file/", ENOTDIR),
        ("/dir/sub/file/.", ENOTDIR),
        ("/dir/sub/file/..", ENOTDIR),
        ("/loop", ELOOP),
        ("/loop/file", ELOOP),
        ("/" + "n" * 256, ENAMETOOLONG),
        ("/" + "n" * 256 + "/..", ENAMETOOLONG),
        ("/" * 4096, ENAMETOOLONG),
        ("/dir/sub/file\0", ENOENT),
        (b"/\xff\xfe", ENOENT),
    ],
)
def test_names_that_lead_nowhere(tree: FileTree, name: str | bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        tree.path(name)


def test_forty_links_are_followed_and_one_more_is_not(tree: FileTree) -> None:
    tree.symlink("/dir", "/link1")
    for number in range(2, 42):
        tree.symlink(f"/link{number - 1}", f"/link{number}")
    assert tree.full_name(tree.path("/link40/sub")) == b"/dir/sub"
    with pytest.raises(ELOOP):
        tree.path("/link41/sub")


def test_absent_names_are_remembered_until_they_come_to_be(tree: FileTree) -> None:
    for _ in range(2):
        with pytest.raises(ENOENT):
            tree.path("/dir/new")
    tree.create("/dir/new")
    assert tree.path("/dir/new").inode.is_regular


def test_search_permission_is_needed_on_every_directory(tree: FileTree) -> None:
    tree.mkdir("/closed", 0o700)
    tree.mkdir("/closed/open")
    tree.create("/closed/open/file")
    tree.user = User(1000)
    for name in ("/closed/open", "/closed/open/file", "/closed/.", "/closed/..", "/closed/absent"):
        with pytest.raises(EACCES):
            tree.path(name)
    assert tree.path("/closed").inode.is_directory


def test_a_root_directory_cannot_be_left(tree: FileTree) -> None:
    tree.symlink("/file", "/dir/sub/to-root")
    inner = FsContext(tree.path("/dir/sub"))
    for name in (b"/../../../dir", b"../../dir", b"/..//../../mnt"):
        with pytest.raises(ENOENT):
            lookup(inner, tree.user, name)
    assert tree.full_name(lookup(inner, tree.user, b"/to-root")) == b"/dir/sub/file"
    assert tree.full_name(lookup(inner, tree.user, b"/../../../file")) == b"/dir/sub/file"


@pytest.mark.parametrize(
    ("name", "resolve", "error"),
    [
        (b"../other", RESOLVE_BENEATH, EXDEV),
        (b"/dir", RESOLVE_BENEATH, EXDEV),
        (b"absolute/file", RESOLVE_BENEATH, EXDEV),
        (b"sub/../../dir", RESOLVE_BENEATH, EXDEV),
        (b"sub/up", RESOLVE_BENEATH, EXDEV),
        (b"absolute/file", RESOLVE_NO_SYMLINKS, ELOOP),
        (b"absolute", RESOLVE_NO_SYMLINKS, ELOOP),
        (b"../mnt/inside", RESOLVE_NO_XDEV, EXDEV),
        (b"../mnt", RESOLVE_NO_XDEV, EXDEV),
        (b"absolute/file", RESOLVE_IN_ROOT, ENOENT),
    ],
)
def test_what_openat2_forbids(tree: FileTree, name: bytes, resolve: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        lookup(tree.context, tree.user, name, tree.path("/dir"), resolve=resolve)


@pytest.mark.parametrize(
    ("name", "resolve", "found"),
    [
        (b"sub/file", RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS, b"/dir/sub/file"),
        (b"sub/../sub/file", RESOLVE_BENEATH, b"/dir/sub/file"),
        (b"../other", RESOLVE_NO_XDEV, b"/other"),
        (b"/sub/file", RESOLVE_IN_ROOT, b"/dir/sub/file"),
        (b"../../sub/file", RESOLVE_IN_ROOT, b"/dir/sub/file"),
        (b"absolute", RESOLVE_NO_MAGICLINKS, b"/dir/sub"),
    ],
)
def test_what_openat2_lets_through(tree: FileTree, name: bytes, resolve: int, found: bytes) -> None:
    place = lookup(tree.context, tree.user, name, tree.path("/dir"), resolve=resolve)
    assert tree.full_name(place) == found


class MagicLink(Inode):
    """A link to a place that no name leads to."""

    __slots__ = ("destination",)
    destination: Path
    is_magic_link = True

    def readlink(self) -> bytes:
        return b"a name that isn't there"

    def follow_magic_link(self) -> Path | None:
        return self.destination


class ChangingDirectory(Inode):
    """A directory that has a link, `link`, and an entry `turn` that is another file at each look-up."""

    __slots__ = ("magic",)
    magic: MagicLink
    caches_lookups = False

    def lookup(self, name: bytes) -> Inode:
        if name == b"turn":
            return Inode(self.superblock, S_IFDIR | 0o755)
        if name == b"link":
            return self.magic
        raise ENOENT

    def list_entries(self) -> list[DirectoryEntry]:
        return []


class PassingDirectory(Inode):
    """A directory of files that come and go without a word."""

    __slots__ = ("files",)
    files: dict[bytes, Inode]
    caches_lookups = False

    def lookup(self, name: bytes) -> Inode:
        try:
            return self.files[name]
        except KeyError:
            raise ENOENT from None

    def list_entries(self) -> list[DirectoryEntry]:
        return []


def test_names_of_what_went_by_itself_are_not_kept_for_ever(tree: FileTree) -> None:
    superblock = Tmpfs(tree.vfs)
    superblock.root = root = PassingDirectory(superblock, S_IFDIR | 0o755)
    tree.namespace.mount(superblock, tree.path("/other"))
    kept = Inode(superblock, S_IFREG)
    root.files = {b"kept": kept, b"passing 0": Inode(superblock, S_IFREG)}
    directory = tree.path("/other").dentry
    before, passing = tree.path("/other/kept").dentry, tree.path("/other/passing 0").dentry
    for number in range(1000):
        root.files = {b"kept": kept, b"passing %d" % number: Inode(superblock, S_IFREG)}
        tree.path(f"/other/passing {number}")
        assert len(directory.volatile_children or {}) <= SMALLEST_SWEEP
    assert tree.path("/other/kept").dentry is before
    assert passing.is_deleted
    # Those that are there all stay, however many.
    root.files = {b"%d" % number: Inode(superblock, S_IFREG) for number in range(1000)}
    entries = [tree.path(f"/other/{number}").dentry for number in range(1000)]
    assert entries == [tree.path(f"/other/{number}").dentry for number in range(1000)]


@pytest.fixture
def changing(tree: FileTree) -> FileTree:
    """The tree with a ChangingDirectory on /other; its link leads to a file that has been removed."""
    superblock = Tmpfs(tree.vfs)
    superblock.root = root = ChangingDirectory(superblock, S_IFDIR | 0o755)
    root.magic = MagicLink(superblock, S_IFLNK | 0o777)
    tree.namespace.mount(superblock, tree.path("/other"))
    file = tree.open("/dir/sub/file")
    tree.unlink("/dir/sub/file")
    root.magic.destination = file.path
    return tree


def test_magic_links_lead_past_names(changing: FileTree) -> None:
    assert changing.full_name(changing.path("/other/link")) == b"/dir/sub/file (deleted)"
    assert changing.read("/other/link") == b"contents"
    assert changing.path("/other/link", follow=False).inode.is_symlink
    with pytest.raises(ELOOP):
        lookup(changing.context, changing.user, b"/other/link", resolve=RESOLVE_NO_MAGICLINKS)
    with pytest.raises(EXDEV):
        lookup(changing.context, changing.user, b"link", changing.path("/other"), resolve=RESOLVE_BENEATH)
    changing.write("/other/link", b"CON", O_CREAT | O_WRONLY)
    assert changing.read("/other/link") == b"CONtents"


def test_directories_that_change_are_asked_every_time(changing: FileTree) -> None:
    first, second = changing.path("/other/turn"), changing.path("/other/turn")
    assert first.inode is not second.inode
    link = changing.path("/other/link", follow=False)
    assert changing.path("/other/link", follow=False).dentry is link.dentry


def test_open_makes_the_file_that_a_dangling_link_names(tree: FileTree) -> None:
    tree.symlink("sub/made", "/dir/dangling")
    with pytest.raises(ENOENT):
        tree.open("/dir/dangling")
    tree.write("/dir/dangling", b"x")
    assert tree.read("/dir/sub/made") == b"x"


def test_opens_that_fail(tree: FileTree) -> None:
    cases: list[tuple[str, int, type[Exception]]] = [
        ("/relative", O_NOFOLLOW, ELOOP),
        ("/relative", O_NOFOLLOW | O_DIRECTORY, ENOTDIR),
        ("/dir", O_WRONLY, EISDIR),
        ("/dir", O_CREAT, EISDIR),
        ("/dir/sub/file", O_DIRECTORY, ENOTDIR),
        ("/new/", O_CREAT | O_WRONLY, EISDIR),
        ("/new", O_CREAT | O_DIRECTORY, EINVAL),
        ("/dir", O_TMPFILE, EINVAL),
        ("/dir/sub/file", O_TMPFILE | O_RDWR, ENOTDIR),
    ]
    for name, flags, error in cases:
        with pytest.raises(error):
            tree.open(name, flags)
    with pytest.raises(ENOENT):
        tree.path("/new")


def test_open_on_a_read_only_mount(tree: FileTree) -> None:
    tree.create("/mnt/program")
    tree.path("/mnt").mount.flags |= MS_RDONLY
    assert tree.read("/mnt/inside") == b"mounted"
    for name, flags in (
        ("/mnt/inside", O_WRONLY),
        ("/mnt/inside", O_TRUNC),
        ("/mnt/new", O_CREAT | O_WRONLY),
        ("/mnt", O_TMPFILE | O_RDWR),
    ):
        with pytest.raises(EROFS):
            tree.open(name, flags)
    tree.open("/mnt/inside", O_CREAT | O_RDONLY).put()
    for change in (tree.mkdir, tree.unlink, tree.rmdir):
        with pytest.raises(EROFS):
            change("/mnt/new")


def test_append_and_truncate(tree: FileTree) -> None:
    log = tree.open("/log", O_CREAT | O_RDWR | O_APPEND)
    log.write(b"one")
    other = tree.open("/log", O_WRONLY)
    other.write_at(10, b"far")
    log.write(b"two")
    assert log.read_at(0, 100) == b"one" + bytes(7) + b"fartwo"
    tree.open("/log", O_WRONLY | O_TRUNC).put()
    assert log.inode.size == 0
    assert log.read_at(0, 100) == b""
    log.write(b"again")
    assert tree.read("/log") == b"again"


def test_a_path_file_is_a_place_only(tree: FileTree) -> None:
    tree.create("/secret", 0o000)
    tree.user = User(1000)
    file = tree.open("/secret", O_PATH | O_WRONLY | O_TRUNC)
    assert isinstance(file, PathFile)
    assert not file.is_readable
    assert not file.is_writable
    link = tree.open("/relative", O_PATH | O_NOFOLLOW)
    assert link.inode.is_symlink
    with pytest.raises(EACCES):
        opening.open(tree.context, tree.user, b"", file.path, O_RDONLY, allow_empty=True)


def test_a_new_file_opens_whatever_its_mode(tree: FileTree) -> None:
    tree.mkdir("/home", 0o777)
    tree.path("/home").inode.mode |= 0o777
    tree.user = User(1000, 1000)
    file = tree.open("/home/locked", O_CREAT | O_EXCL | O_RDWR, 0o400)
    assert file.write(b"data") == 4
    assert (file.inode.uid, file.inode.gid, file.inode.mode & 0o7777) == (1000, 1000, 0o400)
    with pytest.raises(EACCES):
        tree.open("/home/locked", O_RDWR)


def test_a_temporary_file_has_no_name_until_it_gets_one(tree: FileTree) -> None:
    file = tree.open("/dir", O_TMPFILE | O_RDWR)
    file.write(b"hidden")
    assert tree.names("/dir") == [b"absolute", b"sub"]
    assert file.inode.link_count == 0
    from procession.fs.directory import make_link

    make_link(tree.context, tree.user, file.path, b"/dir/named")
    file.put()
    assert tree.read("/dir/named") == b"hidden"
    private = tree.open("/dir", O_TMPFILE | O_RDWR | O_EXCL)
    with pytest.raises(ENOENT):
        make_link(tree.context, tree.user, private.path, b"/dir/never")


def test_a_running_program_cannot_be_written(tree: FileTree) -> None:
    inode = tree.path("/dir/sub/file").inode
    inode.deny_write_access()
    with pytest.raises(ETXTBSY):
        tree.open("/dir/sub/file", O_WRONLY)
    inode.allow_write_access()
    writer = tree.open("/dir/sub/file", O_WRONLY)
    with pytest.raises(ETXTBSY):
        inode.deny_write_access()
    writer.put()
    inode.deny_write_access()
