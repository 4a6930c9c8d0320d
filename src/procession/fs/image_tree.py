"""A container image's files: an index of names over the archives that its layers are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from procession.abi.errno import EINVAL, EIO, ENOENT, ENOTDIR
from procession.abi.file_mode import S_IFMT
from procession.fs.host_source import HostDescriptor, MetNames
from procession.fs.host_status import HostStatus
from procession.fs.inode import S_IFDIR, S_IFREG

Extent = tuple[int, int, int]
"""Where in the file, where in the archive, how many bytes."""


class ImageNode:
    """One file of an image; several names may lead to it.

    `layer` is the archive that holds the contents of a regular file: `extents`, in ascending order, with
    zeros between them. `entries` is a directory's. `number` is its own among the image's nodes.
    """

    __slots__ = (
        "entries",
        "extents",
        "gid",
        "layer",
        "link_count",
        "mode",
        "mtime_ns",
        "number",
        "rdev",
        "size",
        "target",
        "uid",
        "xattrs",
    )

    def __init__(self, number: int, mode: int, uid: int = 0, gid: int = 0, mtime_ns: int = 0) -> None:
        self.number = number
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.rdev = 0
        self.size = 0
        self.link_count = 0
        self.layer = 0
        self.extents: tuple[Extent, ...] = ()
        self.target = b""
        self.xattrs: dict[bytes, bytes] | None = None
        self.entries: dict[bytes, ImageNode] = {}

    @property
    def is_directory(self) -> bool:
        """Whether it's a directory."""
        return self.mode & S_IFMT == S_IFDIR


class ImageTree:
    """The files of an image whose layers have been laid over each other, as a `HostSource`.

    Nothing of the image is unpacked: owners, modes, devices and attributes are those that the archives
    give, whatever the host's user may do, and no name in an archive is ever one on the host.

    `digest` stands for the contents of all layers.
    """

    __slots__ = ("digest", "layers", "met", "root")

    def __init__(self, digest: bytes, root: ImageNode, layers: list[HostDescriptor]) -> None:
        self.digest = digest
        self.root = root
        self.layers = layers
        self.met = MetNames()

    def _node(self, path: bytes) -> ImageNode:
        node = self.root
        if path:
            for name in path.split(b"/"):
                found = node.entries.get(name)
                if found is None:
                    raise ENOENT
                node = found
        return node

    @property
    def opened(self) -> Iterable[bytes]:
        """See `HostSource`. An image's digest says what they hold."""
        return ()

    def status(self, path: bytes) -> HostStatus:
        """See `HostSource`."""
        node = self._node(path)
        return HostStatus(
            node.mode, node.uid, node.gid, node.rdev, node.size, node.link_count, node.mtime_ns, False
        )

    def exists(self, path: bytes) -> bool:
        """See `HostSource`."""
        try:
            self._node(path)
        except ENOENT:
            return False
        return True

    def is_same_file(self, path: bytes, other: bytes) -> bool:
        """See `HostSource`."""
        try:
            return self._node(path) is self._node(other)
        except ENOENT:
            return False

    def forget(self) -> None:
        """See `HostSource`. Nobody changes an image."""

    def names(self, path: bytes) -> list[bytes]:
        """See `HostSource`."""
        node = self._node(path)
        if not node.is_directory:
            raise ENOTDIR
        return sorted(node.entries)

    def link_target(self, path: bytes) -> bytes:
        """See `HostSource`."""
        return self._node(path).target

    def check(self, path: bytes) -> None:
        """See `HostSource`."""
        self._node(path)

    def read(self, path: bytes, offset: int, length: int) -> bytes:
        """See `HostSource`."""
        node = self._node(path)
        if node.mode & S_IFMT != S_IFREG:
            raise EINVAL
        end = min(offset + length, node.size)
        pieces: list[bytes] = []
        position = offset
        for start, place, count in node.extents:
            if start + count <= position:
                continue
            if start >= end:
                break
            if start > position:
                pieces.append(bytes(start - position))
                position = start
            wanted = min(start + count, end) - position
            pieces.append(self._pread(node.layer, place + position - start, wanted))
            position += wanted
        if position < end:
            pieces.append(bytes(end - position))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _pread(self, layer: int, place: int, count: int) -> bytes:
        try:
            data = os.pread(self.layers[layer].number, count, place)
        except OSError as error:
            raise EIO(f"the image's layer can't be read: {error}") from None
        if len(data) < count:
            raise EIO("the image's layer is shorter than it was")
        return data

    def xattrs(self, path: bytes) -> dict[bytes, bytes]:
        """See `HostSource`."""
        return dict(self._node(path).xattrs or {})

    def linked_path(self, path: bytes, others: Mapping[bytes, object]) -> bytes | None:
        """See `HostSource`."""
        return self.met.first(path, others, self._number_of)

    def _number_of(self, path: bytes) -> int:
        return self._node(path).number
