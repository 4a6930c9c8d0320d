"""Container images: what a guest sees of their layers, and what their configuration does."""

from __future__ import annotations

import gzip
import json
import os
import re
import stat
import struct
import tarfile
import threading
from pathlib import Path

import pytest
import zstandard

from procession import Machine
from procession.exchange.image import cache as layer_cache
from procession.exchange.image.config import parse_config
from procession.exchange.image.error import ImageError
from procession.exchange.image.opening import open_image
from procession.fs.image_tree import ImageTree
from tests.exchange.image_builder import (
    INDEX_TYPE,
    LayerBuilder,
    LayoutBuilder,
    config_of,
    make_layout,
    make_saved_archive,
)

CAP_NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "procession" / "layers"


def files_of(tree: ImageTree, path: bytes = b"") -> dict[str, str]:
    """All files below `path` with their contents, targets or kinds."""
    found: dict[str, str] = {}
    for name in tree.names(path):
        place = path + b"/" + name if path else name
        status = tree.status(place)
        if stat.S_ISDIR(status.mode):
            found[os.fsdecode(place) + "/"] = ""
            found.update(files_of(tree, place))
        elif stat.S_ISLNK(status.mode):
            found[os.fsdecode(place)] = "-> " + os.fsdecode(tree.link_target(place))
        else:
            found[os.fsdecode(place)] = tree.read(place, 0, 1 << 20).decode()
    return found


def tree_of(path: Path, *layers: LayerBuilder) -> ImageTree:
    return open_image(make_layout(path / "layout", [layer.finish() for layer in layers])).tree


def test_later_layers_lie_over_earlier_ones(tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path,
        LayerBuilder()
        .directory("etc", mode=0o700)
        .add("etc/kept", b"1")
        .add("etc/replaced", b"2")
        .add("etc/removed", b"3")
        .directory("lib")
        .add("lib/old", b"4")
        .directory("usr/lib")
        .add("usr/lib/a", b"5")
        .directory("var/lost")
        .add("var/lost/x", b"6"),
        LayerBuilder()
        .directory("etc", mode=0o755, uid=5)
        .add("etc/.wh.removed")
        .add("etc/replaced", b"new")
        .add(".wh.var")
        .add("lib/new", b"7")
        .add("lib/.wh..wh..opq")
        .add(".wh..wh.plnk/1.2")
        .symlink("usr/lib64", "/usr/lib")
        .add("usr/lib64/b", b"8"),
    )
    assert files_of(tree) == {
        "etc/": "",
        "etc/kept": "1",
        "etc/replaced": "new",
        "lib/": "",
        "lib/new": "7",
        "usr/": "",
        "usr/lib/": "",
        "usr/lib/a": "5",
        "usr/lib/b": "8",
        "usr/lib64": "-> /usr/lib",
    }
    assert tree.status(b"etc")[:3] == (stat.S_IFDIR | 0o755, 5, 0)


def test_a_whiteout_spares_its_own_layer(tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path,
        LayerBuilder().add("d/lower", b"1").add("f", b"1").add("g", b"1"),
        LayerBuilder()
        .add("d/upper", b"2")
        .add(".wh.d")
        .add("f", b"2")
        .add(".wh.f")
        .add(".wh.g")
        .add("g", b"2"),
    )
    assert files_of(tree) == {"d/": "", "d/upper": "2", "f": "2", "g": "2"}


def test_kinds_replace_each_other(tmp_path: Path) -> None:
    tree = tree_of(
        tmp_path,
        LayerBuilder().add("a/b", b"1").add("c", b"2").symlink("e", "c").link("l", "c"),
        LayerBuilder().add("a", b"3").directory("c").directory("e").add("e/f", b"4"),
    )
    assert files_of(tree) == {"a": "3", "c/": "", "e/": "", "e/f": "4", "l": "2"}
    assert tree.status(b"l").link_count == 1


def test_metadata_are_those_of_the_archive(tmp_path: Path) -> None:
    capability = CAP_NET_RAW.decode("utf-8", "surrogateescape")
    tree = tree_of(
        tmp_path,
        LayerBuilder()
        .add("setuid", b"x", mode=0o4755, uid=0, gid=42, mtime=12.5)
        .add("ping", b"x", mode=0o755, pax_headers={"SCHILY.xattr.security.capability": capability})
        .add("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
        .add("disk", type=tarfile.BLKTYPE, devmajor=8, devminor=0x123)
        .add("fifo", type=tarfile.FIFOTYPE, mode=0o600, uid=4_294_967_294),
    )
    assert tree.status(b"setuid") == (stat.S_IFREG | 0o4755, 0, 42, 0, 1, 1, 12_500_000_000, False)
    assert tree.xattrs(b"ping") == {b"security.capability": CAP_NET_RAW}
    assert tree.status(b"null")[:4] == (stat.S_IFCHR | 0o666, 0, 0, os.makedev(1, 3))
    assert tree.status(b"disk").rdev == os.makedev(8, 0x123)
    assert tree.status(b"fifo")[:2] == (stat.S_IFIFO | 0o600, 4_294_967_294)


def test_a_sparse_file_reads_zeros_in_its_holes(tmp_path: Path) -> None:
    header = tarfile.TarInfo("sparse").tobuf(tarfile.GNU_FORMAT)
    block = bytearray(header)
    block[156:157] = tarfile.GNUTYPE_SPARSE
    block[124:136] = b"%011o\0" % 6
    block[386:410] = b"%011o\0%011o\0" % (2, 3)
    block[410:434] = b"%011o\0%011o\0" % (4096, 3)
    block[483:495] = b"%011o\0" % 5000
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    tree = tree_of(tmp_path, LayerBuilder().raw(bytes(block) + b"abcdef".ljust(512, b"\0")))
    assert tree.status(b"sparse").size == 5000
    assert tree.read(b"sparse", 0, 9000) == b"\0\0abc" + bytes(4091) + b"def" + bytes(901)
    assert tree.read(b"sparse", 3, 4) == b"bc\0\0"
    assert tree.read(b"sparse", 4097, 2) == b"ef"
    assert tree.read(b"sparse", 4999, 10) == b"\0"
    assert tree.read(b"sparse", 6000, 10) == b""


def test_forms_of_one_image_are_the_same_tree(tmp_path: Path) -> None:
    layers = [
        LayerBuilder().add("a", b"1").finish(),
        LayerBuilder().add("b", b"2").finish(),
        LayerBuilder().add("a", b"1").finish(),
    ]
    layout = make_layout(tmp_path / "layout", layers)
    saved = make_saved_archive(tmp_path / "saved.tar", layers)
    archived = tmp_path / "layout.tar"
    with tarfile.open(archived, "w") as archive:
        archive.add(layout, ".")
    compressed = tmp_path / "layout.tar.gz"
    compressed.write_bytes(gzip.compress(archived.read_bytes()))
    trees = [open_image(path).tree for path in (layout, saved, archived, compressed)]
    assert [files_of(tree) for tree in trees] == [{"a": "1", "b": "2"}] * 4
    assert len({tree.digest for tree in trees}) == 1


def test_layers_are_compressed_by_gzip_zstd_or_not(tmp_path: Path) -> None:
    layers = [LayerBuilder().add(name, b"1" * 5000).finish() for name in "abc"]
    half = len(layers[1]) // 2
    frames = [zstandard.ZstdCompressor().compress(part) for part in (layers[1][:half], layers[1][half:])]
    layout = LayoutBuilder(tmp_path / "layout")
    stored = [gzip.compress(layers[0]), b"".join(frames), layers[2]]
    layout.finish(layout.image(stored, config_of(layers)))
    assert sorted(files_of(open_image(layout.path).tree)) == ["a", "b", "c"]


def test_one_of_several_images_is_chosen_by_name_and_platform(tmp_path: Path) -> None:
    layout = LayoutBuilder(tmp_path / "layout")
    manifests = []
    for name in ("one", "two"):
        layer = LayerBuilder().add(name, b"").finish()
        manifests.append(layout.image([layer], config_of([layer]), name=f"box:{name}"))
    foreign = {"os": "linux", "architecture": "arm64"}
    layer = LayerBuilder().add("arm", b"").finish()
    arm = layout.image([layer], {**config_of([layer]), "architecture": "arm64"}, platform=foreign)
    inner = layout.document({"manifests": [arm, {**manifests[1], "annotations": {}}]}, INDEX_TYPE)
    path = layout.finish(manifests[0], {**inner, "annotations": manifests[1]["annotations"]})
    assert files_of(open_image(f"{path}:one").tree) == {"one": ""}
    assert files_of(open_image(f"{path}:box:two").tree) == {"two": ""}
    with pytest.raises(ImageError, match=r"several images in it, .*: box:one, box:two"):
        open_image(path)
    with pytest.raises(ImageError, match="no single image called 'three' in it: box:one, box:two"):
        open_image(f"{path}:three")
    with pytest.raises(ImageError, match="the image is for linux/arm64"):
        open_image(layout.finish({**arm, "platform": None}))


@pytest.mark.parametrize(
    ("command", "entrypoint", "expected"),
    [
        ((), None, ["/e", "x", "c"]),
        (("d", "e"), None, ["/e", "x", "d", "e"]),
        ((), "/f", ["/f"]),
        (("d",), "/f", ["/f", "d"]),
        (("d",), "", ["d"]),
    ],
)
def test_the_command_line_is_docker_s(
    command: tuple[str, ...], entrypoint: str | None, expected: list[str]
) -> None:
    config = parse_config(config_of([], Entrypoint=["/e", "x"], Cmd=["c"]))
    assert config.command_line(command, entrypoint) == expected


def test_an_image_without_a_program_needs_a_command() -> None:
    config = parse_config(config_of([], Entrypoint=None, Cmd=None))
    for entrypoint in (None, ""):
        with pytest.raises(ValueError, match="names no program"):
            config.command_line((), entrypoint)


def busybox_layer(guest_root: Path, *names: str) -> LayerBuilder:
    """A layer with busybox under several names."""
    layer = LayerBuilder().directory("bin")
    layer.add("bin/busybox", (guest_root / "usr/bin/busybox").read_bytes(), mode=0o755)
    for name in names:
        layer.link(f"bin/{name}", "bin/busybox")
    return layer


def test_a_program_runs_as_the_image_says(guest_root: Path, tmp_path: Path) -> None:
    layer = busybox_layer(guest_root, "sh", "id", "stat", "env", "cat").add(
        "etc/passwd", b"root:x:0:0::/root:/bin/sh\nann:x:1000:100::/home/ann:/bin/sh\n"
    )
    layer.add("bin/shown", b"x", mode=0o6750, uid=3, gid=1000).add(
        "null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666
    )
    image = make_layout(
        tmp_path / "layout",
        [layer.finish()],
        Entrypoint=["/bin/sh", "-c"],
        Cmd=[
            "echo $$ $A $HOME $HOSTNAME; id -u; id -g; pwd;stat -c '%a %u %g %F' /bin/shown /null; cat /null"
        ],
        Env=["A=b c", "PATH=/bin"],
        User="ann",
        WorkingDir="/srv/app",
    )
    result = Machine(image=image).run(pid1=True)
    assert result.stderr == b""
    assert result.stdout.decode().splitlines() == [
        "1 b c /home/ann procession",
        "1000",
        "100",
        "/srv/app",
        "6750 3 1000 regular file",
        "666 0 0 character special file",
    ]
    overridden = Machine(image=image, user="0", cwd="/bin", environment={"A": "d"}, hostname="h")
    assert (
        overridden.run(["echo $A $PATH $HOSTNAME $HOME; id -u; pwd"]).stdout == b"d /bin h /root\n0\n/bin\n"
    )
    other = Machine(image=image, entrypoint="/bin/env").run()
    assert b"A=b c\n" in other.stdout


def test_changes_are_told_from_the_image(guest_root: Path, tmp_path: Path) -> None:
    layer = busybox_layer(guest_root, "sh", "rm").add("etc/a", b"1").add("etc/b", b"2")
    image = make_layout(tmp_path / "layout", [layer.finish()], Cmd=["/bin/sh"])
    machine = Machine(image=image)
    assert machine.run(["/bin/sh", "-c", "rm /etc/a; echo 3 > /etc/b; echo 4 > /new"]).status == 0
    saved = tmp_path / "changes.tar"
    assert machine.save_changes(str(saved)) == []
    with tarfile.open(saved) as archive:
        names = {name for name in archive.getnames() if "dev" not in name}
    assert {"etc/.wh.a", "etc/b", "new"} <= names
    second = LayerBuilder().finish()
    merged = make_layout(tmp_path / "merged", [layer.finish(), saved.read_bytes(), second])
    tree = open_image(merged).tree
    assert tree.read(b"etc/b", 0, 10) == b"3\n"
    assert not tree.exists(b"etc/a")


def test_equal_images_make_equal_machines(tmp_path: Path) -> None:
    layer = LayerBuilder().add("a", b"1").finish()
    paths = make_layout(tmp_path / "layout", [layer]), make_saved_archive(tmp_path / "saved.tar", [layer])
    first, second = (Machine(image=path, engine="scripted").state_hash() for path in paths)
    assert first == second


def test_a_layer_is_kept_and_used_again(tmp_path: Path, cache_home: Path) -> None:
    layer = LayerBuilder().add("a", b"1").finish()
    image = make_layout(tmp_path / "layout", [layer])
    open_image(image)
    (kept,) = cache_home.iterdir()
    assert kept.read_bytes() == layer
    assert stat.S_IMODE(cache_home.stat().st_mode) == 0o700
    for blob in (image / "blobs/sha256").iterdir():
        if blob.read_bytes().startswith(b"\x1f\x8b"):
            blob.unlink()
    assert files_of(open_image(image).tree) == {"a": "1"}


def test_two_at_once_do_no_harm(tmp_path: Path, cache_home: Path) -> None:
    layers = [LayerBuilder().add("a", os.urandom(100_000)).finish() for _ in range(3)]
    image = make_layout(tmp_path / "layout", layers)
    found: list[int] = []

    def open_it() -> None:
        found.append(open_image(image).tree.status(b"a").size)

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [100_000] * 4
    assert sorted(path.read_bytes() for path in cache_home.iterdir()) == sorted(layers)


def test_the_cache_has_a_bound(tmp_path: Path, cache_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_cache, "CACHE_BYTES_LIMIT", 25_000)
    trees = []
    for position in range(4):
        layer = LayerBuilder().add("a", bytes([position]) * 1000).finish()
        trees.append(open_image(make_layout(tmp_path / str(position), [layer])).tree)
    assert len(list(cache_home.iterdir())) == 2
    # A layer that went is readable for those who have it.
    assert [tree.read(b"a", 999, 5) for tree in trees] == [b"\0", b"\1", b"\2", b"\3"]


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_cache_that_others_can_write_to_is_refused(tmp_path: Path, cache_home: Path, mode: int) -> None:
    image = make_layout(tmp_path / "layout", [LayerBuilder().add("a", b"1").finish()])
    cache_home.mkdir(parents=True)
    cache_home.chmod(mode)
    with pytest.raises(ImageError, match="must be yours, and writable by nobody else"):
        open_image(image)


def test_a_cache_that_is_a_link_is_refused(tmp_path: Path, cache_home: Path) -> None:
    image = make_layout(tmp_path / "layout", [LayerBuilder().add("a", b"1").finish()])
    cache_home.parent.mkdir(parents=True)
    cache_home.symlink_to(tmp_path)
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        open_image(image)


def test_json_of_the_layout_is_read_with_care(tmp_path: Path) -> None:
    for position, (document, reason) in enumerate(
        (
            ("[" * 100_000, "isn't JSON"),
            ("[]", "the index isn't an object"),
            ('{"manifests": {}}', "manifests isn't a list"),
            ('{"manifests": [3]}', "a manifest isn't an object"),
            ('{"manifests": []}', "no image for linux/amd64"),
            (json.dumps({"manifests": [{"digest": "sha256:" + "0" * 64}]}), "has no size"),
            (json.dumps({"manifests": [{"digest": "md5:0", "size": 1}]}), "isn't a digest"),
            (
                json.dumps({"manifests": [{"digest": "sha256:../../../secret", "size": 1}]}),
                "isn't a digest",
            ),
            (" " * (5 << 20), "has more than"),
        )
    ):
        layout = LayoutBuilder(tmp_path / str(position))
        (layout.path / "index.json").write_text(document)
        with pytest.raises(ImageError, match=re.escape(reason)):
            open_image(layout.path)
