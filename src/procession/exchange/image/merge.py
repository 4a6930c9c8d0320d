"""Laying an image's layers over each other: the index of the files that its root has in the end."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING, cast

from procession.abi.duration import NS_PER_S
from procession.abi.limits import NAME_MAX, PATH_MAX
from procession.abi.xattr import XATTR_NAME_MAX, XATTR_SIZE_MAX
from procession.exchange.image.error import ImageError
from procession.exchange.image.headers import (
    GLOBAL_RECORDS_LIMIT,
    MALFORMED,
    HeaderReader,
    is_at_end,
)
from procession.exchange.layer import OPAQUE, WHITEOUT
from procession.fs.image_tree import ImageNode
from procession.fs.inode import S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFREG
from procession.fs.superblock import Superblock

if TYPE_CHECKING:
    from procession.fs.image_tree import Extent

FILES_LIMIT = 500_000
"""How many files and directories all layers may make, those that later ones remove included."""
_LINKS_LIMIT = 40
_MAJORS, _MINORS = 1 << 12, 1 << 20
_LARGEST_ID = (1 << 32) - 2
_LATEST_S = 1 << 33
_AUFS = WHITEOUT + WHITEOUT
"""What aufs kept for itself; all but OPAQUE means nothing to others."""
_XATTR_PREFIX = "SCHILY.xattr."
_XATTR_FAMILIES = (b"user.", b"trusted.", b"security.")


class LayerMerger:
    """Builds the index of an image from its layers, the lowest first.

    Names are resolved within the index, where nothing is above the root: a link in a lower layer leads on
    inside, as for a process that has its root there, and no name of an archive is used on the host. Raises
    ImageError for what no honest archive has.

    `size_left` is what the regular files may have together, holes included. `fresh` are the entries, by the
    number of the directory, that the present layer has made or gone through: whiteouts spare them.
    """

    def __init__(self, size_limit: int) -> None:
        self.node_count = 0
        self.layer = -1
        self.size_left = size_limit
        self.fresh: set[tuple[int, bytes]] = set()
        self.cleared: set[int] = set()
        self.root = self._new_node(S_IFDIR | 0o755)
        self.root.link_count = 1

    def add_layer(self, file: io.RawIOBase, length: int) -> None:
        """Lay the archive `file`, of `length` bytes, over what there is."""
        self.layer += 1
        self.fresh = set()
        self.cleared = set()
        if length == 0:
            return
        reader = HeaderReader(file)
        try:
            archive = tarfile.TarFile(
                fileobj=reader,  # type: ignore[arg-type]
                mode="r",
                encoding="utf-8",
                errors="surrogateescape",
                errorlevel=1,
            )
            while True:
                member = archive.next()
                # It would keep them all.
                archive.members = []  # type: ignore[attr-defined]
                if member is None:
                    break
                reader.end_entry(archive.offset)
                if len(archive.pax_headers) > GLOBAL_RECORDS_LIMIT:
                    raise ImageError("a layer has too many records for all of its files")
                self._add(member, length)
            if not is_at_end(file, archive.offset):
                raise ImageError("a layer has a header that is none")
        except MALFORMED as error:
            if isinstance(error, ImageError):
                raise
            raise ImageError(f"a layer is no tar archive, or a broken one: {error}") from None

    def _add(self, member: tarfile.TarInfo, length: int) -> None:
        names = _components(_bytes_of(member.name))
        if not names:
            if not member.isdir():
                raise ImageError("a layer has a file in the root's place")
            self._set_metadata(self.root, member)
            return
        if names[0].startswith(_AUFS) and names[0] != OPAQUE:
            return
        last = names.pop()
        if last.startswith(WHITEOUT):
            self._white_out(names, last)
            return
        directory = self._directory(names)
        if member.islnk():
            self._put(directory, last, self._link_target(member))
            return
        existing = directory.entries.get(last)
        if member.isdir() and existing is not None and existing.is_directory:
            self._set_metadata(existing, member)
            self.fresh.add((directory.number, last))
            return
        self._put(directory, last, self._node_of(member, length))

    def _new_node(self, mode: int) -> ImageNode:
        self.node_count += 1
        if self.node_count > FILES_LIMIT:
            raise ImageError(f"the layers have more than {FILES_LIMIT} files")
        return ImageNode(self.node_count, mode)

    def _node_of(self, member: tarfile.TarInfo, length: int) -> ImageNode:
        node = self._new_node(_kind_of(member))
        self._set_metadata(node, member)
        node.layer = self.layer
        if member.issym():
            target = _bytes_of(member.linkname)
            if not 0 < len(target) < PATH_MAX or b"\0" in target:
                raise ImageError(f"the symbolic link {_shown(member.name)} leads nowhere")
            node.target, node.size = target, len(target)
        elif member.isreg():
            if not 0 <= member.size <= self.size_left:
                raise ImageError(f"the files of the layers are too large, at {_shown(member.name)}")
            self.size_left -= member.size
            node.size = member.size
            node.extents = _extents_of(member, length)
        elif member.ischr() or member.isblk():
            major, minor = member.devmajor, member.devminor
            if not (0 <= major < _MAJORS and 0 <= minor < _MINORS):
                raise ImageError(f"the device {_shown(member.name)} has no number that devices have")
            node.rdev = os.makedev(major, minor)
        return node

    def _set_metadata(self, node: ImageNode, member: tarfile.TarInfo) -> None:
        if not (0 <= member.uid <= _LARGEST_ID and 0 <= member.gid <= _LARGEST_ID):
            raise ImageError(f"{_shown(member.name)} belongs to a user or group that can't be")
        permissions = 0o777 if member.issym() else member.mode & 0o7777
        node.mode = node.mode & ~0o7777 | permissions
        node.uid, node.gid = member.uid, member.gid
        node.mtime_ns = int(min(max(member.mtime, 0), _LATEST_S) * NS_PER_S)
        node.xattrs = _xattrs_of(member)

    def _directory(self, names: list[bytes], *, is_made: bool = True) -> ImageNode:
        """The directory that `names` lead to, links followed; with `is_made` what is missing is made."""
        places = [self.root]
        waiting = names[::-1]
        link_count = 0
        while waiting:
            name = waiting.pop()
            directory = places[-1]
            if name in (b"", b"."):
                continue
            if name == b"..":
                if len(places) > 1:
                    places.pop()
                continue
            node = directory.entries.get(name)
            if node is None:
                if not is_made:
                    raise ImageError(f"there is no {_shown(b'/'.join(names))}, which a link leads to")
                node = self._new_node(S_IFDIR | 0o755)
                self._put(directory, name, node)
            self.fresh.add((directory.number, name))
            if node.is_directory:
                places.append(node)
            elif node.target:
                link_count += 1
                if link_count > _LINKS_LIMIT:
                    raise ImageError(f"{_shown(b'/'.join(names))} is a circle of links")
                if node.target.startswith(b"/"):
                    places = [self.root]
                waiting += node.target.split(b"/")[::-1]
            else:
                raise ImageError(f"{_shown(b'/'.join(names))} goes through a file")
        return places[-1]

    def _link_target(self, member: tarfile.TarInfo) -> ImageNode:
        names = _components(_bytes_of(member.linkname))
        node = None
        if names:
            node = self._directory(names[:-1], is_made=False).entries.get(names[-1])
        if node is None or node.is_directory:
            raise ImageError(
                f"the hard link {_shown(member.name)} leads to no file: {_shown(member.linkname)}"
            )
        return node

    def _put(self, directory: ImageNode, name: bytes, node: ImageNode) -> None:
        """Let `name` lead to `node`, whatever it led to before."""
        self.fresh.add((directory.number, name))
        if directory.entries.get(name) is node:
            return
        node.link_count += 1
        self._drop(directory, name)
        directory.entries[name] = node

    def _drop(self, directory: ImageNode, name: bytes) -> None:
        """Take a name away, and all that is below it."""
        found = directory.entries.pop(name, None)
        waiting = [] if found is None else [found]
        while waiting:
            node = waiting.pop()
            node.link_count -= 1
            if node.is_directory:
                waiting += node.entries.values()

    # Whiteouts

    def _white_out(self, names: list[bytes], last: bytes) -> None:
        """Remove what the lower layers have of a name, or with OPAQUE of a directory (layer.md)."""
        if last == OPAQUE:
            self._clear_lower(self._directory(names))
            return
        if last.startswith(_AUFS):
            return
        name = last[len(WHITEOUT) :]
        if name in (b"", b".", b".."):
            raise ImageError(f"a layer removes {_shown(name)}, which is no file")
        directory = self._directory(names)
        if (directory.number, name) not in self.fresh:
            self._drop(directory, name)
            return
        node = directory.entries.get(name)
        if node is not None and node.is_directory:
            self._clear_lower(node)

    def _clear_lower(self, directory: ImageNode) -> None:
        """Remove all that isn't of this layer from a directory."""
        waiting = [directory]
        while waiting:
            place = waiting.pop()
            if place.number in self.cleared:
                continue
            # What comes to it later is of this layer.
            self.cleared.add(place.number)
            for name, node in list(place.entries.items()):
                if (place.number, name) not in self.fresh:
                    self._drop(place, name)
                elif node.is_directory:
                    waiting.append(node)


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _shown(name: str | bytes) -> str:
    """A name for a message: an archive's may hold anything."""
    if isinstance(name, str):
        name = _bytes_of(name)
    return ascii(name[:200].decode("utf-8", "replace"))


def _components(path: bytes) -> list[bytes]:
    """The names of a path from the root. Raises ImageError for one that leads out of it."""
    if len(path) >= PATH_MAX or b"\0" in path:
        raise ImageError(f"a layer has a name that no file can have: {_shown(path)}")
    names: list[bytes] = []
    for name in path.split(b"/"):
        if name == b"..":
            if not names:
                raise ImageError(f"a layer has a file outside its root: {_shown(path)}")
            names.pop()
        elif name not in (b"", b"."):
            if len(name) > NAME_MAX:
                raise ImageError(f"a layer has a name that no file can have: {_shown(path)}")
            names.append(name)
    return names


def _kind_of(member: tarfile.TarInfo) -> int:
    if member.isreg():
        return S_IFREG
    kinds = {
        tarfile.DIRTYPE: S_IFDIR,
        tarfile.SYMTYPE: S_IFLNK,
        tarfile.CHRTYPE: S_IFCHR,
        tarfile.BLKTYPE: S_IFBLK,
        tarfile.FIFOTYPE: S_IFIFO,
    }
    kind = kinds.get(member.type)
    if kind is None:
        raise ImageError(f"{_shown(member.name)} is of a kind that layers don't have: {member.type!r}")
    return kind


def _extents_of(member: tarfile.TarInfo, length: int) -> tuple[Extent, ...]:
    """Where the contents lie in an archive of `length` bytes."""
    if member.sparse is None:
        if member.offset_data + member.size > length:
            raise ImageError(f"a layer ends within {_shown(member.name)}")
        return ((0, member.offset_data, member.size),) if member.size else ()
    # The standard library's stubs don't know its form.
    pieces = cast("list[tuple[int, int]]", member.sparse)
    place, position = member.offset_data, 0
    extents: list[Extent] = []
    for start, count in pieces:
        if count == 0:
            # The map is filled up with these.
            continue
        if start < position or count < 0 or start + count > member.size:
            raise ImageError(f"the map of the sparse file {_shown(member.name)} isn't one")
        position = start + count
        extents.append((start, place, count))
        place += count
    if place > length:
        raise ImageError(f"a layer ends within {_shown(member.name)}")
    return tuple(extents)


def _xattrs_of(member: tarfile.TarInfo) -> dict[bytes, bytes] | None:
    found: dict[bytes, bytes] = {}
    size = 0
    for key, text in member.pax_headers.items():
        if not key.startswith(_XATTR_PREFIX):
            continue
        name, value = _bytes_of(key[len(_XATTR_PREFIX) :]), _bytes_of(text)
        if not name.startswith(_XATTR_FAMILIES):
            continue
        size += len(name) + len(value)
        is_name = len(name) <= XATTR_NAME_MAX and b"\0" not in name
        if not is_name or len(value) > XATTR_SIZE_MAX or size > Superblock.attributes_limit:
            raise ImageError(f"{_shown(member.name)} has attributes that no file can have")
        found[name] = value
    return found or None
