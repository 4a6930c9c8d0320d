"""The host's files, seen from one directory down, or an image's; never changed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import ClassVar

from procession.fs.host_source import HostDirectory, HostSource
from procession.fs.host_status import HostStatus
from procession.fs.image_tree import ImageTree


class HostTree:
    """The directory tree of the host below `root`.

    Paths are relative to the root, without a slash at either end; the root itself is b"". They consist of
    names that this tree gave out: no component is "..". Only `root`, its name, is of the machine's state;
    what is there comes from `source`, by default the host's directory. An image's is named by its digest,
    and its devices are a guest's to open.
    """

    __slots__ = ("is_image", "root", "source")

    OUTSIDE_STATE: ClassVar = ("source",)

    def __init__(self, root: str | bytes | os.PathLike[str], source: HostSource | None = None) -> None:
        self.is_image = isinstance(source, ImageTree)
        self.root = source.digest if isinstance(source, ImageTree) else os.path.realpath(os.fsencode(root))
        self.source: HostSource = HostDirectory(self.root) if source is None else source

    @property
    def opened(self) -> Iterable[bytes]:
        """See `HostSource`."""
        return self.source.opened

    def status(self, path: bytes) -> HostStatus:
        """See `HostSource`."""
        return self.source.status(path)

    def exists(self, path: bytes) -> bool:
        """See `HostSource`."""
        return self.source.exists(path)

    def is_same_file(self, path: bytes, other: bytes) -> bool:
        """See `HostSource`."""
        return self.source.is_same_file(path, other)

    def forget(self) -> None:
        """See `HostSource`."""
        self.source.forget()

    def names(self, path: bytes) -> list[bytes]:
        """See `HostSource`."""
        return self.source.names(path)

    def link_target(self, path: bytes) -> bytes:
        """See `HostSource`."""
        return self.source.link_target(path)

    def check(self, path: bytes) -> None:
        """See `HostSource`."""
        self.source.check(path)

    def read(self, path: bytes, offset: int, length: int) -> bytes:
        """See `HostSource`."""
        return self.source.read(path, offset, length)

    def read_into(self, path: bytes, offset: int, place: memoryview[int]) -> int:
        """As `read`, to `place`; how many bytes there were. What tells of its answers is asked for bytes."""
        source = self.source
        if isinstance(source, HostDirectory):
            return source.read_into(path, offset, place)
        contents = source.read(path, offset, len(place))
        place[: len(contents)] = contents
        return len(contents)

    def xattrs(self, path: bytes) -> dict[bytes, bytes]:
        """See `HostSource`."""
        return self.source.xattrs(path)

    def linked_path(self, path: bytes, others: Mapping[bytes, object]) -> bytes | None:
        """See `HostSource`."""
        return self.source.linked_path(path, others)
