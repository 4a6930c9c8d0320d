"""Images made to harm: none leaves its root, exhausts the host or passes for what it isn't."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from procession.exchange.image import merge, opening, source
from procession.exchange.image.error import ImageError
from procession.exchange.image.opening import open_image
from procession.fs.image_tree import ImageTree
from tests.exchange.image_builder import (
    LAYER_TYPE,
    LayerBuilder,
    LayoutBuilder,
    config_of,
    digest_of,
    make_layout,
    make_saved_archive,
)

LayerAct = Callable[[LayerBuilder], LayerBuilder]


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "procession" / "layers"


def header(name: str, *, kind: bytes = tarfile.REGTYPE, **fields: tuple[int, bytes]) -> bytes:
    """A header with some fields as they never should be, each an offset and bytes."""
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    for offset, data in fields.values():
        block[offset : offset + len(data)] = data
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def base256(value: int) -> bytes:
    """A number as GNU tar writes what octal digits can't hold."""
    return bytes([0x80 if value >= 0 else 0xFF]) + value.to_bytes(11, "big", signed=True)


def pax(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header with these records."""
    size = b"%011o\0" % len(records)
    return header("pax", kind=kind, size=(124, size)) + records.ljust(
        -len(records) % 512 + len(records), b"\0"
    )


REFUSED: dict[str, tuple[LayerAct, str]] = {
    "climbs": (lambda layer: layer.add("../escaped", b"x"), "outside its root"),
    "climbs inside": (lambda layer: layer.add("a/../../escaped", b"x"), "outside its root"),
    "climbs absolutely": (lambda layer: layer.add("/../escaped", b"x"), "outside its root"),
    "whiteout climbs": (lambda layer: layer.add("../.wh.secret"), "outside its root"),
    "whiteout of ..": (lambda layer: layer.add("a/.wh..."), "is no file"),
    "whiteout of .": (lambda layer: layer.add("a/.wh.."), "is no file"),
    "whiteout of nothing": (lambda layer: layer.add("a/.wh."), "is no file"),
    "opaque above": (lambda layer: layer.add("../.wh..wh..opq"), "outside its root"),
    "hard link out": (lambda layer: layer.link("a", "../../../../etc/passwd"), "outside its root"),
    "hard link to the host's": (lambda layer: layer.link("a", "/etc/passwd"), "which a link leads to"),
    "hard link through a link": (
        lambda layer: layer.symlink("d", "/etc").link("a", "d/passwd"),
        "which a link leads to",
    ),
    "hard link to a directory": (lambda layer: layer.directory("d").link("a", "d"), "leads to no file"),
    "hard link to itself": (lambda layer: layer.link("a", "a"), "leads to no file"),
    "hard link to the root": (lambda layer: layer.link("a", "/"), "leads to no file"),
    "circle of links": (
        lambda layer: layer.symlink("a", "b").symlink("b", "a").add("a/x", b""),
        "circle of links",
    ),
    "link to itself": (lambda layer: layer.symlink("a", "a/a").add("a/x", b""), "circle of links"),
    "through a file": (lambda layer: layer.add("a", b"").add("a/b", b""), "goes through a file"),
    "file for the root": (
        lambda layer: layer.add("./", b"x", type=tarfile.SYMTYPE, linkname="/etc"),
        "root's",
    ),
    "name too long": (lambda layer: layer.add("a" * 256, b""), "name that no file can have"),
    "path too long": (lambda layer: layer.add("a/" * 2048 + "b", b""), "name that no file can have"),
    "link that leads nowhere": (lambda layer: layer.symlink("a", ""), "leads nowhere"),
    "link too long": (lambda layer: layer.symlink("a", "x" * 4096), "leads nowhere"),
    "device without a number": (
        lambda layer: layer.add("a", type=tarfile.CHRTYPE, devmajor=5000, devminor=1),
        "no number that devices have",
    ),
    "negative user": (lambda layer: layer.raw(header("a", uid=(108, b"\xff" * 8))), "can't be"),
    "user of 2^40": (lambda layer: layer.raw(header("a", uid=(108, b"\x80\0\x01\0\0\0\0\0"))), "can't be"),
    "negative size": (
        lambda layer: layer.raw(header("a", size=(124, base256(-1024)))),
        "leads back|broken",
    ),
    "negative size of an extended header": (
        lambda layer: layer.raw(header("a", kind=tarfile.XHDTYPE, size=(124, base256(-512)))),
        "headers of a file have more",
    ),
    "immense size": (lambda layer: layer.raw(header("a", size=(124, base256(1 << 62)))), "too large|broken"),
    "immense extended header": (
        lambda layer: layer.raw(header("a", kind=tarfile.XHDTYPE, size=(124, base256(1 << 40)))),
        "headers of a file have more",
    ),
    "immense name": (
        lambda layer: layer.raw(header("a", kind=tarfile.GNUTYPE_LONGNAME, size=(124, base256(1 << 33)))),
        "headers of a file have more",
    ),
    "truncated": (
        lambda layer: layer.raw(header("a", size=(124, b"%011o\0" % 50_000)) + b"x"),
        "broken|ends",
    ),
    "immense sparse file": (
        lambda layer: layer.raw(
            header("a", kind=tarfile.GNUTYPE_SPARSE, real=(483, base256(1 << 60)), map=(386, b"%011o\0" % 0))
        ),
        "too large",
    ),
    "sparse map beyond the file": (
        lambda layer: layer.raw(
            header(
                "a",
                kind=tarfile.GNUTYPE_SPARSE,
                real=(483, b"%011o\0" % 10),
                map=(386, b"%011o\0%011o\0" % (4, 500)),
            )
        ),
        "isn't one",
    ),
    "sparse map that goes back": (
        lambda layer: layer.raw(
            header(
                "a",
                kind=tarfile.GNUTYPE_SPARSE,
                real=(483, b"%011o\0" % 100),
                map=(386, b"%011o\0%011o\0%011o\0%011o\0" % (50, 10, 5, 10)),
            )
        ),
        "isn't one",
    ),
    "sparse data of the next file": (
        lambda layer: layer.raw(
            header(
                "a",
                kind=tarfile.GNUTYPE_SPARSE,
                real=(483, b"%011o\0" % (1 << 20)),
                map=(386, b"%011o\0%011o\0" % (0, 1 << 20)),
            )
        ),
        "ends within",
    ),
    "many headers in a row": (
        lambda layer: layer.raw(pax(b"11 path=abc\n") * 3000),
        "broken|headers of a file",
    ),
    "NUL in a name": (lambda layer: layer.raw(pax(b"11 path=a\0b\n") + header("a")), "no file can have"),
    "infinite time": (lambda layer: layer.raw(pax(b"13 mtime=inf\n") + header("a")), ""),
    "many global records": (
        lambda layer: layer.raw(pax(b"".join(b"11 k%04d=v\n" % n for n in range(1500)), tarfile.XGLTYPE)).add(
            "a", b""
        ),
        "too many records",
    ),
    "large attribute": (
        lambda layer: layer.add("a", pax_headers={"SCHILY.xattr.user.a": "x" * 70_000}),
        "attributes that no file",
    ),
    "unknown kind": (lambda layer: layer.raw(header("a", kind=b"Z")), "of a kind"),
    "no header": (lambda layer: layer.add("a", b"").raw(b"\xff" * 512), "header that is none"),
    "no archive": (lambda layer: layer.raw(b"#!/bin/sh\n" * 100), "no tar archive"),
}
MAY_PASS = ("infinite time",)
"""What is made sense of: as no time at all, or the latest."""


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_layer(name: str, tmp_path: Path, cache_home: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    act, reason = REFUSED[name]
    image = make_layout(tmp_path / "image" / "layout", [act(LayerBuilder()).finish()])
    before = sorted(path for path in tmp_path.rglob("*") if "cache" not in path.parts)
    if name in MAY_PASS:
        assert open_image(image).tree.names(b"") == [b"a"]
    else:
        with pytest.raises(ImageError, match=reason):
            open_image(image)
    assert sorted(path for path in tmp_path.rglob("*") if "cache" not in path.parts) == before
    assert (tmp_path / "secret").read_text() == "secret"
    assert not [path for path in cache_home.iterdir() if path.name.startswith(".")]


def tree_of(path: Path, *layers: LayerBuilder) -> ImageTree:
    return open_image(make_layout(path / "layout", [layer.finish() for layer in layers])).tree


def test_links_lead_on_inside_the_root(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    tree = tree_of(
        tmp_path,
        LayerBuilder().symlink("out", str(tmp_path / "secret")).symlink("up", "../../../../.."),
        LayerBuilder()
        .add("out/planted", b"1")
        .add("up/top", b"2")
        .add("/absolute", b"3")
        .add("a/../b", b"4"),
        LayerBuilder().add("out/.wh.planted").add("up/.wh.absolute"),
    )
    assert os.listdir(tmp_path / "secret") == []
    inside = os.fsencode(tmp_path / "secret").lstrip(b"/")
    assert tree.names(inside) == []
    assert tree.read(b"top", 0, 9) == b"2"
    assert tree.read(b"b", 0, 9) == b"4"
    assert not tree.exists(b"absolute")


def test_a_layer_that_isnt_what_its_digest_says(tmp_path: Path, cache_home: Path) -> None:
    honest = LayerBuilder().add("a", b"1").finish()
    forged = LayerBuilder().add("a", b"2").finish()
    layout = LayoutBuilder(tmp_path / "layout")
    stored = gzip.compress(honest, mtime=0)
    layout.finish(layout.image([stored], config_of([honest])))
    place = layout.path / "blobs" / digest_of(stored).replace(":", "/")
    place.write_bytes(gzip.compress(forged, mtime=0).ljust(len(stored), b"\0")[: len(stored)])
    with pytest.raises(ImageError, match=r"doesn't have the digest|don't have the digest|bytes, not|broken"):
        open_image(layout.path)
    # The stored form is what it should be, but not its contents.
    other = LayoutBuilder(tmp_path / "other")
    other.finish(other.image([gzip.compress(forged)], config_of([honest])))
    with pytest.raises(ImageError, match="contents don't have the digest"):
        open_image(other.path)
    assert list(cache_home.iterdir()) == []


@pytest.mark.parametrize("victim", ["manifest", "config"])
def test_a_document_that_isnt_what_its_digest_says(tmp_path: Path, victim: str) -> None:
    layer = LayerBuilder().add("a", b"1").finish()
    layout = LayoutBuilder(tmp_path / "layout")
    manifest = layout.image([layer], config_of([layer]))
    layout.finish(manifest)
    found = layout.path / "blobs" / manifest["digest"].replace(":", "/")
    if victim == "config":
        digest = json.loads(found.read_bytes())["config"]["digest"]
        found = layout.path / "blobs" / digest.replace(":", "/")
    found.write_bytes(found.read_bytes().replace(b'"', b" ", 1))
    with pytest.raises(ImageError, match="doesn't have the digest"):
        open_image(layout.path)


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (lzma.compress(b"x" * 100), "compressed by xz"),
        (b"BZh91AY" + bytes(100), "compressed by bzip2"),
        (b"\x04\x22\x4d\x18" + bytes(100), "compressed by lz4"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-4], "broken"),
        (zstandard.ZstdCompressor().compress(b"x" * 1000)[:-4] + b"\xff" * 20, "broken|digest"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 100, "broken"),
        (gzip.compress(b"x" * 1000, mtime=0)[:20] + b"garbage", "broken"),
        (b"\x1f\x8b\xff\xff" + bytes(100), "broken"),
        (b"", "don't have the digest"),
        (os.urandom(16) * 64, "don't have the digest"),
    ],
)
def test_compressions(tmp_path: Path, cache_home: Path, stored: bytes, reason: str) -> None:
    layout = LayoutBuilder(tmp_path / "layout")
    layout.finish(layout.image([stored], config_of([b"x" * 1000])))
    with pytest.raises(ImageError, match=reason):
        open_image(layout.path)
    assert list(cache_home.iterdir()) == []


def test_a_bomb_ends_at_the_limit(tmp_path: Path, cache_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "SIZE_LIMIT", 3 << 20)
    bomb = bytes(20 << 20)
    layout = LayoutBuilder(tmp_path / "layout")
    layout.finish(layout.image([gzip.compress(bomb)], config_of([bomb])))
    with pytest.raises(ImageError, match="more than 3145728 bytes when they are decompressed"):
        open_image(layout.path)
    archive = tmp_path / "archive.tar.gz"
    archive.write_bytes(gzip.compress(bomb))
    with pytest.raises(ImageError, match="more than 3145728 bytes when it's decompressed"):
        open_image(archive)
    layers = [LayerBuilder().add(f"{n}", os.urandom(1 << 20)).finish() for n in range(4)]
    with pytest.raises(ImageError, match="more than"):
        open_image(make_layout(tmp_path / "many", layers))
    assert not [path for path in cache_home.iterdir() if path.name.startswith(".")]


def test_files_without_number_end_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "FILES_LIMIT", 100)
    many = LayerBuilder()
    for number in range(100):
        many.add(f"{number}", b"")
    deep = LayerBuilder().add("a/" * 200 + "b", b"")
    removed = [LayerBuilder().add("a/b", b"").add("a/.wh..wh..opq") for _ in range(101)]
    for position, layers in enumerate(([many], [deep], removed)):
        with pytest.raises(ImageError, match="more than 100 files"):
            open_image(make_layout(tmp_path / str(position), [layer.finish() for layer in layers]))


@pytest.mark.heavy
def test_many_whiteouts_take_no_time_without_end(tmp_path: Path) -> None:
    layer = LayerBuilder()
    for number in range(3000):
        layer.add(f"d/{number}", b"")
    for _ in range(3000):
        layer.add("d/.wh..wh..opq")
        layer.add(".wh.d")
    assert len(tree_of(tmp_path, layer).names(b"d")) == 3000


def saved(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """An archive of `docker save` whose manifest was changed."""
    layer = LayerBuilder().add("a", b"1").finish()
    whole = make_saved_archive(path / "whole.tar", [layer])
    result = LayerBuilder()
    with tarfile.open(whole) as archive:
        for member in archive:
            file = archive.extractfile(member)
            data = b"" if file is None else file.read()
            if member.name == "manifest.json":
                (image,) = json.loads(data)
                change(image)
                data = json.dumps([image]).encode()
            if member.isfile():
                result.add(member.name, data)
    result.symlink("evil", "/etc/passwd").symlink("loop", "loop").link("up", "../../etc/passwd")
    (path / "saved.tar").write_bytes(result.finish())
    return path / "saved.tar"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Config": "/etc/passwd"}, "outside itself"),
        ({"Config": "../../etc/passwd"}, "outside itself"),
        ({"Config": "evil"}, "there is no file"),
        ({"Config": "loop"}, "there is no file"),
        ({"Layers": ["evil"]}, "there is no file"),
        ({"Layers": ["up"]}, "there is no file"),
        ({"Layers": ["/proc/self/mem"]}, "outside itself"),
        ({"Layers": ["a/../../x"]}, "outside itself"),
        ({"Layers": []}, "0 layers, but 1"),
        ({"Layers": ["manifest.json"]}, "contents don't have the digest"),
        ({"Layers": 3}, "isn't a list"),
        ({"Config": None}, "outside itself"),
        ({"RepoTags": "x"}, "isn't a list"),
    ],
)
def test_hostile_archives_of_docker_save(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        open_image(saved(tmp_path, lambda image: image.update(change)))


def test_a_layout_in_a_directory_doesnt_lead_out(tmp_path: Path) -> None:
    layer = LayerBuilder().add("a", b"1").finish()
    layout = LayoutBuilder(tmp_path / "layout")
    stored = layout.blob(layer, LAYER_TYPE)
    layout.finish(layout.image([layer], config_of([layer])))
    place = layout.path / "blobs" / stored["digest"].replace(":", "/")
    place.unlink()
    place.symlink_to("/dev/zero")
    with pytest.raises(ImageError, match="symbolic links"):
        open_image(layout.path)
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(ImageError, match="isn't a regular file"):
        open_image(layout.path)


def test_an_archive_with_files_without_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "ARCHIVE_ENTRIES_LIMIT", 10)
    archive = LayerBuilder()
    for number in range(11):
        archive.add(str(number), b"")
    path = tmp_path / "archive.tar"
    path.write_bytes(archive.finish())
    with pytest.raises(ImageError, match="more than 10 files"):
        open_image(path)


def test_any_bytes_are_refused_or_harmless(tmp_path: Path) -> None:
    """Layers with some bytes changed, which keep their digests."""
    import random

    chance = random.Random(1)
    layer = LayerBuilder().directory("d").add("d/a", b"1" * 600, pax_headers={"SCHILY.xattr.user.a": "b"})
    layer.symlink("d/s", "../d/a").link("h", "d/a").add("d/.wh.x").add("null", type=tarfile.CHRTYPE)
    whole = layer.finish()
    merged = refused = 0
    for _ in range(400):
        changed = bytearray(whole[: 512 * 12])
        for _ in range(chance.randint(1, 4)):
            block = chance.randrange(0, len(changed), 512)
            changed[block + chance.randrange(512)] = chance.randrange(256)
            changed[block + 148 : block + 156] = b" " * 8
            changed[block + 148 : block + 156] = b"%06o\0 " % sum(changed[block : block + 512])
        merger = merge.LayerMerger(1 << 20)
        try:
            merger.add_layer(MemoryFile(bytes(changed)), len(changed))
            merged += 1
        except ImageError:
            refused += 1
    assert merged > 20
    assert refused > 20


class MemoryFile(io.RawIOBase):
    """Bytes as an unbuffered file."""

    def __init__(self, data: bytes) -> None:
        self.inner = io.BytesIO(data)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        """See io."""
        return self.inner.seek(offset, whence)

    def tell(self) -> int:
        """See io."""
        return self.inner.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """See io."""
        return self.inner.readinto(buffer)
