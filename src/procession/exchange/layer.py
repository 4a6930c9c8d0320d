"""A guest's changes as a layer: a tar archive with whiteouts, as container images consist of."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.exchange.changes import changes_of, data_of

if TYPE_CHECKING:
    from procession.exchange.changes import Change
    from procession.fs.overlay import Overlay, OverlayInode

WHITEOUT, OPAQUE = b".wh.", b".wh..wh..opq"
HOLES_LIMIT = 1 << 30
"""How many bytes of zeros are written for holes in files, which take no room in the guest."""
_COPY_BYTES = 1 << 16


class LayerWriter:
    """Writes the changes of `overlay` to an archive (OCI image specification, layer.md).

    `left_out` says in words what isn't in it.
    """

    __slots__ = ("archive", "holes_left", "left_out", "overlay")

    def __init__(self, overlay: Overlay, archive: tarfile.TarFile) -> None:
        self.overlay = overlay
        self.archive = archive
        self.holes_left = HOLES_LIMIT
        self.left_out: list[str] = []

    def write(self) -> None:
        """Write them all. Raises OSError."""
        for change in changes_of(self.overlay):
            directory, _, name = change.path.rpartition(b"/")
            start = directory + b"/" if directory else b""
            if change.inode is None:
                self._add_empty(start + WHITEOUT + name)
            elif name.startswith(WHITEOUT):
                self._leave_out(change.path, "its name means something else in a layer")
            else:
                self._add(change, change.inode)

    def _leave_out(self, path: bytes, reason: str) -> None:
        self.left_out.append(f"/{os.fsdecode(path)}: {reason}")

    def _add_empty(self, path: bytes) -> None:
        self.archive.addfile(tarfile.TarInfo(os.fsdecode(path)))

    def _add(self, change: Change, inode: OverlayInode) -> None:
        info = tarfile.TarInfo(os.fsdecode(change.path))
        info.mode = stat.S_IMODE(inode.mode)
        info.uid, info.gid = inode.uid, inode.gid
        info.mtime = max(inode.mtime_ns // NS_PER_S, 0)
        kind = stat.S_IFMT(inode.mode)
        info.pax_headers = {
            "SCHILY.xattr." + os.fsdecode(name): value.decode("utf-8", "surrogateescape")
            for name, value in sorted(inode.read_xattrs().items())
        }
        if change.link_to:
            info.type, info.linkname = tarfile.LNKTYPE, os.fsdecode(change.link_to)
        elif kind == stat.S_IFDIR:
            info.type = tarfile.DIRTYPE
        elif kind == stat.S_IFLNK:
            info.type, info.linkname = tarfile.SYMTYPE, os.fsdecode(inode.readlink())
        elif kind == stat.S_IFIFO:
            info.type = tarfile.FIFOTYPE
        elif kind in (stat.S_IFCHR, stat.S_IFBLK):
            info.type = tarfile.CHRTYPE if kind == stat.S_IFCHR else tarfile.BLKTYPE
            info.devmajor, info.devminor = os.major(inode.rdev), os.minor(inode.rdev)
        elif kind != stat.S_IFREG:
            self._leave_out(change.path, "a socket")
            return
        else:
            self._add_file(change.path, info, inode)
            return
        self.archive.addfile(info)
        if kind == stat.S_IFDIR and change.is_new and not change.link_to and self._hides(change.path):
            self._add_empty(change.path + b"/" + OPAQUE)

    def _hides(self, path: bytes) -> bool:
        return self.overlay.tree.exists(path)

    def _add_file(self, path: bytes, info: tarfile.TarInfo, inode: OverlayInode) -> None:
        held = sum(len(data) for _, data in data_of(inode))
        if inode.size - held > self.holes_left:
            self._leave_out(path, f"{inode.size} bytes, most of them holes")
            return
        self.holes_left -= inode.size - held
        info.size = inode.size
        self.archive.addfile(info, io.BufferedReader(FileReader(inode), _COPY_BYTES))


class FileReader(io.RawIOBase):
    """Reads a guest's regular file from its beginning, as files of the host are read."""

    def __init__(self, inode: OverlayInode) -> None:
        self.inode = inode
        self.position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` as far as the file goes."""
        count = min(len(buffer), self.inode.size - self.position)
        if count <= 0:
            return 0
        pages = self.inode.pages
        assert pages is not None
        buffer[:count] = pages.read(self.position, count)
        self.position += count
        return count


def write_layer(overlay: Overlay, path: str) -> list[str]:
    """Write the changes to the archive `path`, compressed if its name ends in .gz; what was left out.

    Raises OSError; then there may be half an archive.
    """
    compression = "w:gz" if path.endswith(".gz") else "w"
    with tarfile.open(path, compression, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        writer = LayerWriter(overlay, archive)
        writer.write()
    return writer.left_out
