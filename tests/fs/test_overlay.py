"""The overlay: the host's tree is seen, never changed, and never left."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import socket
from pathlib import Path

import pytest

from procession.abi.errno import EACCES, EIO, ELOOP, ENOENT, ENOTDIR, ENOTEMPTY, ENXIO, EXDEV
from procession.fs.attributes import change_mode, change_owner, change_times
from procession.fs.file import O_CREAT, O_RDWR, O_TRUNC, O_WRONLY
from procession.fs.host_source import OPEN_DIRECTORIES_LIMIT, OPEN_FILES_LIMIT, HostDirectory
from procession.fs.overlay import OverlayInode
from procession.fs.tmpfs import Tmpfs
from procession.fs.xattr import get_xattr, set_xattr
from procession.hardware.physical_memory import PAGE_SHIFT
from tests.fs.file_tree import SECOND_NS, FileTree, User, new_overlay_tree


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host beside the guest's root, with something to steal."""
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root").mkdir()
    return tmp_path


@pytest.fixture
def root(outside: Path) -> Path:
    """The guest's root on the host."""
    root = outside / "root"
    (root / "etc").mkdir()
    (root / "etc" / "passwd").write_bytes(b"root:x:0:0\n")
    (root / "bin").mkdir()
    (root / "bin" / "tool").write_bytes(bytes(range(256)) * 64)
    (root / "bin" / "tool").chmod(0o4755)
    (root / "empty").mkdir()
    (root / "deep" / "er" / "est").mkdir(parents=True)
    (root / "deep" / "er" / "est" / "file").write_bytes(b"deepest")
    (root / "link").symlink_to("etc/passwd")
    return root


@pytest.fixture
def tree(root: Path) -> FileTree:
    return new_overlay_tree(root)


def test_another_tree_sees_what_was_replaced_on_the_host(root: Path) -> None:
    for directory, contents in (("one", b"first"), ("two", b"second")):
        (root / directory).mkdir()
        (root / directory / "file").write_bytes(contents)
    (root / "one").rename(root / "now")
    (root / "file").write_bytes(b"first")
    tree = new_overlay_tree(root)
    assert (tree.read("/file"), tree.read("/now/file")) == (b"first", b"first")
    (root / "file").unlink()
    (root / "file").write_bytes(b"second")
    (root / "now").rename(root / "then")
    (root / "two").rename(root / "now")
    again = new_overlay_tree(root)
    assert (again.read("/file"), again.read("/now/file")) == (b"second", b"second")
    assert (tree.read("/file"), tree.read("/now/file")) == (b"first", b"first")


def digest(root: Path) -> str:
    """What a host's tree holds: names, metadata and contents."""
    found = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        described = (path, status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns, status.st_nlink)
        found.update(repr(described).encode())
        if path.is_file() and not path.is_symlink():
            found.update(path.read_bytes())
    return found.hexdigest()


def test_the_lower_layer_is_seen(tree: FileTree, root: Path) -> None:
    assert tree.read("/etc/passwd") == b"root:x:0:0\n"
    assert tree.read("/link") == b"root:x:0:0\n"
    inode = tree.path("/bin/tool").inode
    assert inode.mode == 0o104755
    assert inode.size == 16384
    assert inode.mtime_ns == (root / "bin" / "tool").stat().st_mtime_ns
    assert tree.names("/") == [b"bin", b"deep", b"empty", b"etc", b"link"]


def test_everything_can_be_changed_and_the_host_stays(tree: FileTree, root: Path) -> None:
    before = digest(root)
    tree.write("/etc/passwd", b"evil", O_WRONLY | O_TRUNC)
    tree.write("/bin/tool", b"\x7fELF")
    tree.write("/etc/new", b"new")
    tree.unlink("/link")
    tree.rmdir("/empty")
    tree.rename("/deep/er", "/moved")
    tree.mkdir("/deep/er")
    change_mode(tree.path("/bin"), tree.user, 0o700)
    change_owner(tree.path("/bin/tool"), tree.user, 5, 6)
    change_times(tree.path("/etc"), tree.user, 1, 2)
    set_xattr(tree.path("/bin/tool"), tree.user, b"user.note", b"x", 0)
    tree.link("/bin/tool", "/bin/again")
    file = tree.open("/bin/tool", O_RDWR)
    file.truncate(10)
    pages = file.mappable()
    assert pages is not None
    frame = pages.frame(0)
    tree.vfs.memory.bytes[frame << 12] = 0x41
    assert digest(root) == before
    assert tree.read("/etc/passwd") == b"evil"
    assert tree.read("/bin/again") == b"AELF" + bytes(range(4, 10))
    assert tree.read("/moved/est/file") == b"deepest"
    assert tree.names("/deep/er") == []
    assert tree.names("/") == [b"bin", b"deep", b"etc", b"moved"]
    assert get_xattr(tree.path("/bin/again"), tree.user, b"user.note") == b"x"


def test_an_inode_stays_the_same_when_it_is_written(tree: FileTree) -> None:
    reader = tree.open("/etc/passwd")
    pages = reader.mappable()
    assert pages is not None
    frame = pages.frame(0)
    number = reader.inode.number
    tree.write("/etc/passwd", b"user")
    assert reader.inode is tree.path("/etc/passwd").inode
    assert reader.inode.number == number
    assert pages.frame(0) == frame
    assert reader.read(100) == b"user:x:0:0\n"
    assert tree.vfs.memory.bytes[frame << 12 : (frame << 12) + 4] == b"user"


def test_writing_takes_the_set_id_bits(tree: FileTree) -> None:
    tree.path("/bin/tool").inode.mode |= 0o002
    tree.user = User(1000, 1000)
    tree.write("/bin/tool", b"x", O_WRONLY)
    assert tree.path("/bin/tool").inode.mode & 0o7777 == 0o757


def test_a_cut_and_grown_file_does_not_show_old_bytes(tree: FileTree) -> None:
    file = tree.open("/bin/tool", O_RDWR)
    file.truncate(100)
    file.truncate(8192)
    assert file.read_at(0, 8192) == bytes(range(100)) + bytes(8092)
    file.truncate(16384)
    assert file.read_at(8192, 8192) == bytes(8192)


def test_removed_names_stay_away(tree: FileTree) -> None:
    tree.unlink("/etc/passwd")
    with pytest.raises(ENOENT):
        tree.path("/etc/passwd")
    assert tree.names("/etc") == []
    tree.write("/etc/passwd", b"other")
    assert tree.read("/etc/passwd") == b"other"
    tree.unlink("/etc/passwd")
    assert tree.names("/etc") == []
    tree.rmdir("/etc")
    tree.mkdir("/etc")
    assert tree.names("/etc") == []


def test_what_is_made_needs_no_list_of_the_host(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists: list[bytes] = []
    names = HostDirectory.names

    def counted(directory: HostDirectory, path: bytes) -> list[bytes]:
        lists.append(path)
        return names(directory, path)

    monkeypatch.setattr(HostDirectory, "names", counted)
    tree = new_overlay_tree(root)
    for _ in range(2):
        tree.write("/etc/lock", b"1")
        tree.rename("/etc/lock", "/etc/held")
        tree.unlink("/etc/held")
    assert lists == []
    tree.write("/etc/group", b"root")
    assert (tree.names("/etc"), lists) == ([b"group", b"passwd"], [b"etc"])


def test_a_directory_with_unseen_entries_is_not_empty(tree: FileTree) -> None:
    with pytest.raises(ENOTEMPTY):
        tree.rmdir("/deep")
    with pytest.raises(ENOTEMPTY):
        tree.rename("/empty", "/deep")
    tree.rename("/deep", "/empty")
    assert tree.read("/empty/er/est/file") == b"deepest"


def test_renames_and_swaps_between_layers(tree: FileTree) -> None:
    tree.write("/upper", b"upper")
    tree.rename("/upper", "/etc/passwd", 2)
    assert tree.read("/upper") == b"root:x:0:0\n"
    assert tree.read("/etc/passwd") == b"upper"
    tree.unlink("/etc/passwd")
    assert tree.names("/etc") == []
    tree.rename("/upper", "/bin/tool")
    assert tree.read("/bin/tool") == b"root:x:0:0\n"


def test_two_names_on_the_host_are_one_file(root: Path) -> None:
    os.link(root / "etc" / "passwd", root / "etc" / "shadow")
    tree = new_overlay_tree(root)
    assert tree.path("/etc/shadow").inode is tree.path("/etc/passwd").inode
    assert tree.path("/etc/shadow").inode.link_count == 2
    tree.write("/etc/shadow", b"both")
    assert tree.read("/etc/passwd")[:4] == b"both"
    tree.unlink("/etc/passwd")
    assert tree.path("/etc/shadow").inode.link_count == 1


def test_numbers_go_by_first_appearance(root: Path) -> None:
    names = ["/bin/tool", "/etc", "/deep/er", "/etc/passwd"]
    first, second = new_overlay_tree(root), new_overlay_tree(root)
    numbers = [first.path(name).inode.number for name in names]
    assert numbers == [second.path(name).inode.number for name in names]
    other = new_overlay_tree(root)
    assert [other.path(name).inode.number for name in reversed(names)] != numbers
    assert len(set(numbers)) == len(names)


def test_listings_and_look_ups_agree_on_numbers(tree: FileTree) -> None:
    before = tree.path("/etc").inode.number
    listed = {entry.name: entry for entry in tree.open("/").list_directory()}
    assert listed[b"etc"].number == before
    assert listed[b"etc"].type == 4
    assert listed[b"link"].type == 10
    for name in ("bin", "deep", "link"):
        assert tree.path("/" + name, follow=False).inode.number == listed[name.encode()].number


# What the host does meanwhile.


def test_what_was_seen_stays_as_it_was(tree: FileTree, root: Path) -> None:
    passwd = root / "etc" / "passwd"
    assert tree.path("/etc/passwd").inode.size == 11
    with pytest.raises(ENOENT):
        tree.path("/etc/later")
    passwd.write_bytes(b"much longer than it was before")
    (root / "etc" / "later").write_bytes(b"")
    os.utime(passwd, (1, 1))
    passwd.chmod(0o600)
    inode = tree.path("/etc/passwd").inode
    assert (inode.size, inode.mode & 0o777) == (11, 0o644)
    assert len(tree.read("/etc/passwd")) == 11
    with pytest.raises(ENOENT):
        tree.path("/etc/later")


def test_what_was_listed_stays_as_it_was(tree: FileTree, root: Path) -> None:
    numbers = {entry.name: entry.number for entry in tree.open("/etc").list_directory()}
    (root / "etc" / "passwd").write_bytes(b"much longer than it was before")
    inode = tree.path("/etc/passwd").inode
    assert (inode.size, inode.number) == (11, numbers[b"passwd"])
    assert tree.path("/etc").inode.list_entries()[0].number == inode.number


def test_a_listing_makes_inodes_of_what_has_several_names_alone(root: Path) -> None:
    os.link(root / "etc" / "passwd", root / "etc" / "shadow")
    tree = new_overlay_tree(root)
    etc, top = tree.path("/etc").inode, tree.path("/").inode
    assert isinstance(etc, OverlayInode)
    assert isinstance(top, OverlayInode)
    passwd, shadow = etc.list_entries()
    assert passwd.number == shadow.number
    assert list(etc.entries) == [b"passwd", b"shadow"]
    top.list_entries()
    assert list(top.entries) == [b"etc"]


def test_a_file_that_got_shorter_reads_as_zeros(tree: FileTree, root: Path) -> None:
    file = tree.open("/bin/tool")
    (root / "bin" / "tool").write_bytes(b"short")
    assert file.read(16384) == b"short" + bytes(16379)
    pages = file.mappable()
    assert pages is not None
    frame = pages.frame(0)
    assert tree.vfs.memory.bytes[frame << 12 : (frame << 12) + 6] == b"short\0"


def test_the_pages_of_two_files_are_not_mixed(root: Path) -> None:
    """A file whose place another one took is the old one while it's held, and an error afterwards."""
    old, new = b"old" * 8192, b"new" * 8192
    (root / "etc" / "replaced").write_bytes(old)
    for number in range(100):
        (root / "empty" / f"{number}").write_bytes(b"%d" % number)
    tree = new_overlay_tree(root)
    file = tree.open("/etc/replaced")
    assert file.read_at(0, 4096) == old[:4096]
    (root / "etc" / "other").write_bytes(new)
    (root / "etc" / "other").rename(root / "etc" / "replaced")
    assert file.read_at(4096, 4096) == old[4096:8192]
    for number in range(100):
        assert tree.open(f"/empty/{number}").read(10) == b"%d" % number
    with pytest.raises(EIO):
        file.read_at(8192, 4096)
    assert new_overlay_tree(root).open("/etc/replaced").read(len(new)) == new


def test_a_file_that_is_gone_is_an_io_error(tree: FileTree, root: Path) -> None:
    tree.path("/deep/er/est/file")
    tree.path("/bin/tool")
    shutil.rmtree(root / "deep")
    (root / "bin" / "tool").unlink()
    for name in ("/bin/tool", "/deep/er/est/file"):
        with pytest.raises(EIO):
            tree.open(name)
    assert tree.names("/") == [b"bin", b"deep", b"empty", b"etc", b"link"]


def test_a_listed_name_that_is_gone_is_left_out(tree: FileTree, root: Path) -> None:
    tree.create("/etc/made-so-that-the-host-is-listed")
    (root / "etc" / "passwd").unlink()
    assert tree.names("/etc") == [b"made-so-that-the-host-is-listed"]


# What a guest can't reach.


@pytest.mark.parametrize(
    "target", ["../secret", "/../secret", "../../../../../../secret", "/etc/../../secret"]
)
def test_links_of_the_host_lead_into_the_tree_only(root: Path, target: str) -> None:
    (root / "escape").symlink_to(target)
    (root / "up").symlink_to("../")
    tree = new_overlay_tree(root)
    with pytest.raises(ENOENT):
        tree.read("/escape")
    with pytest.raises(ENOENT):
        tree.read("/up/secret")
    assert tree.names("/up") == tree.names("/")


def test_absolute_links_of_the_host_are_the_guests(root: Path, outside: Path) -> None:
    (root / "absolute").symlink_to(outside / "secret")
    (root / "root-link").symlink_to("/etc/passwd")
    tree = new_overlay_tree(root)
    with pytest.raises(ENOENT):
        tree.read("/absolute")
    assert tree.read("/root-link") == b"root:x:0:0\n"


@pytest.mark.parametrize("swapped", ["etc", "etc/passwd", "deep", "deep/er"])
def test_a_link_put_there_by_the_host_is_not_followed(
    tree: FileTree, root: Path, outside: Path, swapped: str
) -> None:
    for name in ("/etc/passwd", "/deep/er/est/file"):
        tree.path(name)
    shutil.copytree(root, outside / "copy", symlinks=True)
    (outside / "copy" / "etc" / "passwd").write_bytes(b"stolen")
    (outside / "copy" / "deep" / "er" / "est" / "file").write_bytes(b"stolen")
    victim = root / swapped
    if victim.is_dir():
        shutil.rmtree(victim)
    else:
        victim.unlink()
    victim.symlink_to(outside / "copy" / swapped)
    name = "/etc/passwd" if swapped.startswith("etc") else "/deep/er/est/file"
    with pytest.raises((EIO, ELOOP, ENOTDIR, ENOENT)):
        tree.read(name)


def test_a_fifo_of_the_host_is_the_guests_own_inside(root: Path) -> None:
    os.mkfifo(root / "fifo", 0o666)
    tree = new_overlay_tree(root)
    both = tree.open("/fifo", O_RDWR)
    tree.write("/fifo", b"inside", O_WRONLY)
    assert both.read(100) == b"inside"
    both.put()
    reader = os.open(root / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    assert os.read(reader, 100) == b""
    os.close(reader)


def test_the_root_stays_the_directory_that_was_named(root: Path) -> None:
    tree = new_overlay_tree(root)
    for number in range(2 * OPEN_DIRECTORIES_LIMIT):
        (root / f"directory {number}").mkdir()
        (root / f"directory {number}" / "file").write_text(str(number))
    (root / "late").write_text("the tree's")
    other = root.parent / "other"
    root.rename(root.parent / "moved")
    other.mkdir()
    (other / "late").write_text("another's")
    root.symlink_to(other)
    for number in range(2 * OPEN_DIRECTORIES_LIMIT):
        assert tree.read(f"/directory {number}/file") == str(number).encode()
    assert tree.read("/late") == b"the tree's"


def test_special_files_of_the_host_are_seen_and_not_opened(root: Path) -> None:
    os.mkfifo(root / "fifo", 0o666)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket"))
    tree = new_overlay_tree(root)
    assert tree.path("/fifo").inode.mode == 0o010644
    assert tree.path("/socket").inode.mode & 0o170000 == 0o140000
    for flags in (0, O_RDWR, O_CREAT | O_WRONLY):
        with pytest.raises(ENXIO):
            tree.open("/socket", flags)


def test_the_hosts_own_file_systems_are_empty(root: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("the host isn't Linux")
    tree = new_overlay_tree(Path("/"))
    assert tree.names("/proc") == []
    with pytest.raises(ENOENT):
        tree.path("/proc/self/environ")
    direct = new_overlay_tree(Path("/proc"))
    assert direct.names("/") == []


@pytest.mark.parametrize(
    "name",
    [
        b"/\xff\xfe\x01",
        b"/etc/\xc3",
        b"/a\nb",
        b"/..\\..\\secret",
        b"/ ",
        b"/-rf",
        b"/%s%n",
        b"/" + b"\x7f" * 255,
    ],
)
def test_hostile_names(tree: FileTree, name: bytes) -> None:
    with pytest.raises(ENOENT):
        tree.path(name)
    tree.write(name, b"x")
    assert tree.read(name) == b"x"
    directory, _, last = name.rpartition(b"/")
    assert last in tree.names(directory or b"/")
    tree.unlink(name)


def test_names_with_a_nul_are_absent(tree: FileTree) -> None:
    with pytest.raises(ENOENT):
        tree.path(b"/etc/pass\0wd")


def test_hostile_names_on_the_host(root: Path) -> None:
    names = [b"\xff\xfe", b"new\nline", b"caf\xc3\xa9", b"\\", b"n" * 255]
    for name in names:
        (root / os.fsdecode(name)).write_bytes(name)
    tree = new_overlay_tree(root)
    assert sorted([*names, b"bin", b"deep", b"empty", b"etc", b"link"]) == tree.names("/")
    for name in names:
        assert tree.read(b"/" + name) == name


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_the_host_does_not_let_us_read(root: Path) -> None:
    (root / "etc" / "passwd").chmod(0)
    with pytest.raises(EACCES):
        new_overlay_tree(root).read("/etc/passwd")


def test_a_deep_tree_of_the_host(root: Path) -> None:
    depth = 600
    directory = os.open(root, os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir("d" * 20, dir_fd=directory)
        below = os.open("d" * 20, os.O_DIRECTORY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(directory)
    tree = new_overlay_tree(root)
    for _ in range(depth):
        tree.change_directory("d" * 20)
    assert tree.names(".") == []
    assert len(tree.full_name(tree.context.cwd)) == depth * 21


def test_more_files_than_descriptors(root: Path) -> None:
    for number in range(300):
        (root / "empty" / f"{number}").mkdir()
        (root / "empty" / f"{number}" / "file").write_bytes(b"%d" % number)
    tree = new_overlay_tree(root)
    before = open_descriptors()
    files = [tree.open(f"/empty/{number}/file") for number in range(300)]
    assert [file.read(10) for file in files] == [b"%d" % number for number in range(300)]
    assert open_descriptors() - before <= OPEN_DIRECTORIES_LIMIT + OPEN_FILES_LIMIT


def open_descriptors() -> int:
    """How many this process has."""
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


def test_links_do_not_cross_mounts(tree: FileTree) -> None:
    tree.namespace.mount(Tmpfs(tree.vfs), tree.path("/empty"))
    with pytest.raises(EXDEV):
        tree.link("/etc/passwd", "/empty/passwd")
    with pytest.raises(EXDEV):
        tree.rename("/etc/passwd", "/empty/passwd")


def test_time_stamps_of_changes(tree: FileTree) -> None:
    clock = tree.vfs.clock
    now_ns = clock.realtime_ns
    tree.create("/etc/new")
    assert tree.path("/etc").inode.mtime_ns == now_ns
    inode = tree.path("/etc/passwd").inode
    old_ns = inode.mtime_ns
    change_mode(tree.path("/etc/passwd"), tree.user, 0o600)
    assert (inode.mtime_ns, inode.ctime_ns) == (old_ns, now_ns)
    change_times(tree.path("/etc/passwd"), tree.user, 5 * SECOND_NS, -2)
    assert (inode.atime_ns, inode.mtime_ns) == (5 * SECOND_NS, old_ns)


def test_which_names_are_one_files_depends_on_what_the_asker_has_met(root: Path) -> None:
    (root / "a").write_bytes(b"one file")
    (root / "b").hardlink_to(root / "a")
    (root / "c").hardlink_to(root / "a")
    source = HostDirectory(os.fsencode(root))
    assert source.linked_path(b"a", {}) is None
    assert source.linked_path(b"b", {b"a": None}) == b"a"
    # Who asks has gone back to before it met a, or is another one.
    assert source.linked_path(b"b", {}) is None
    assert source.linked_path(b"a", {b"b": None}) == b"b"
    assert source.linked_path(b"c", {b"a": None}) == b"a"
    assert HostDirectory(os.fsencode(root)).linked_path(b"c", {b"b": None}) == b"b"


def test_what_another_machine_has_met_counts_however_few_it_is(root: Path) -> None:
    for name in ("a", "c", "e"):
        (root / name).write_bytes(name.encode())
        (root / (name + "2")).hardlink_to(root / name)
    source = HostDirectory(os.fsencode(root))
    mine: dict[bytes, object] = {}
    for met in (b"a", b"c"):
        assert source.linked_path(met, mine) is None
        mine[met] = None
    # The other was saved, with a name that was never asked for here.
    assert source.linked_path(b"e2", {b"e": None}) == b"e"
    assert source.linked_path(b"e", mine) is None


def test_an_error_of_the_host_isnt_an_answer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = HostDirectory(os.fsencode(root))
    assert source.exists(b"etc/passwd")
    assert not source.exists(b"etc/none")
    assert not source.exists(b"etc/passwd/none")
    assert not source.exists(b"n" * 300)

    def refuse(*_arguments: object, **_more: object) -> None:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(os, "listxattr", refuse)
    for ask in (
        lambda: source.exists(b"etc/passwd"),
        lambda: source.is_same_file(b"etc/passwd", b"bin/tool"),
        lambda: source.xattrs(b"etc/passwd"),
    ):
        with pytest.raises(EIO):
            ask()


def test_pages_read_in_one_go_are_as_on_the_host_and_then_zeros(root: Path, tree: FileTree) -> None:
    contents = bytes(range(256)) * 40
    (root / "big").write_bytes(contents)
    pages = tree.path("/big").inode.pages
    assert pages is not None
    memory = pages.memory
    before = memory.free_frames
    pages.bring_in(range(3))
    frames = [frame for _, frame in sorted(pages.frames.items())]
    found = b"".join(memory.bytes[frame << PAGE_SHIFT : (frame + 1) << PAGE_SHIFT] for frame in frames)
    assert found == contents.ljust(3 << PAGE_SHIFT, b"\0")
    assert memory.free_frames == before - 3


def test_pages_that_cannot_be_read_take_no_memory(root: Path, tree: FileTree) -> None:
    pages = tree.path("/bin/tool").inode.pages
    assert pages is not None
    before = pages.memory.free_frames
    (root / "bin" / "tool").unlink()
    with pytest.raises(EIO):
        pages.bring_in(range(3))
    assert (pages.memory.free_frames, pages.frames) == (before, {})
