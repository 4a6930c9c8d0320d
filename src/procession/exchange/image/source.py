"""Where an image's documents and layers lie: in a directory, or in an archive that is never unpacked."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from abc import abstractmethod

from procession.exchange.image.compression import decompressed
from procession.exchange.image.error import ImageError
from procession.exchange.image.headers import MALFORMED, HeaderReader, is_at_end
from procession.fs.host_source import HostDescriptor

DOCUMENT_LIMIT = 4 << 20
ARCHIVE_ENTRIES_LIMIT = 100_000
_LINKS_LIMIT = 8
_FILE_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class FileRegion(io.RawIOBase):
    """So many bytes of a host's file, from `start`, read as a file of their own."""

    def __init__(self, descriptor: HostDescriptor, start: int, length: int) -> None:
        self.descriptor = descriptor
        self.start = start
        self.length = length
        self.position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place in the region; beyond its end there is nothing."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.length}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning")
        self.position = base + offset
        return self.position

    def tell(self) -> int:
        """Where the next byte comes from."""
        return self.position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` as far as the region goes."""
        count = min(len(buffer), self.length - self.position)
        if count <= 0:
            return 0
        data = os.pread(self.descriptor.number, count, self.start + self.position)
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)


class ImageSource:
    """Files by their names in the image, such as `index.json` and `blobs/sha256/...`."""

    @abstractmethod
    def open(self, name: str) -> FileRegion:
        """The regular file called `name`. Raises ImageError."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    def read(self, name: str, limit: int = DOCUMENT_LIMIT) -> bytes:
        """All of a small file. Raises ImageError."""
        region = self.open(name)
        if region.length > limit:
            raise ImageError(f"{name} has more than {limit} bytes")
        return io.BufferedReader(region).read()


class DirectorySource(ImageSource):
    """An image in a directory; a file that is a link isn't opened."""

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def has(self, name: str) -> bool:
        return os.path.lexists(os.path.join(self.directory, name))

    def open(self, name: str) -> FileRegion:
        try:
            number = os.open(os.path.join(self.directory, name), _FILE_FLAGS | os.O_NOFOLLOW)
        except OSError as error:
            raise ImageError(f"{name}: {error.strerror}") from None
        descriptor = HostDescriptor(number)
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode):
            raise ImageError(f"{name} isn't a regular file")
        return FileRegion(descriptor, 0, found.st_size)


class ArchiveSource(ImageSource):
    """An image in an archive, which may be compressed: then it's decompressed to a file without a name."""

    def __init__(self, descriptor: HostDescriptor, length: int, scratch: str, limit: int) -> None:
        region = FileRegion(descriptor, 0, length)
        region = _plain(region, scratch, limit)
        self.descriptor = region.descriptor
        self.members: dict[str, tuple[int, int] | str] = {}
        self._list(region)

    def _list(self, region: FileRegion) -> None:
        reader = HeaderReader(region)
        try:
            archive = tarfile.TarFile(fileobj=reader, mode="r", errorlevel=1)  # type: ignore[arg-type]
            while True:
                member = archive.next()
                archive.members = []  # type: ignore[attr-defined]
                if member is None:
                    break
                reader.end_entry(archive.offset)
                if len(self.members) >= ARCHIVE_ENTRIES_LIMIT:
                    raise ImageError(f"the archive has more than {ARCHIVE_ENTRIES_LIMIT} files")
                self._add(member, region.length)
            if not is_at_end(region, archive.offset):
                raise ImageError("the archive has a header that is none")
        except MALFORMED as error:
            raise ImageError(f"it's no tar archive, or a broken one: {error}") from None

    def _add(self, member: tarfile.TarInfo, length: int) -> None:
        name = os.path.normpath(member.name)
        if member.isreg() and member.sparse is None:
            if member.size < 0 or member.offset_data + member.size > length:
                raise ImageError(f"the archive ends within {name!r}")
            self.members[name] = (member.offset_data, member.size)
        elif member.issym():
            # An archive of `docker save` has one layer once, and links to it.
            self.members[name] = os.path.normpath(os.path.join(os.path.dirname(name), member.linkname))
        elif member.islnk():
            self.members[name] = os.path.normpath(member.linkname)

    def has(self, name: str) -> bool:
        return os.path.normpath(name) in self.members

    def open(self, name: str) -> FileRegion:
        place: tuple[int, int] | str | None = os.path.normpath(name)
        for _ in range(_LINKS_LIMIT):
            if not isinstance(place, str):
                break
            place = self.members.get(place)
        if place is None or isinstance(place, str):
            raise ImageError(f"there is no file {name!r} in it")
        return FileRegion(self.descriptor, *place)


def _plain(region: FileRegion, scratch: str, limit: int) -> FileRegion:
    """The region as it is, or what it's the compressed form of. Raises ImageError, OSError."""
    import tempfile

    stream = decompressed(region, "the archive")
    if stream is None:
        return region
    length = 0
    with tempfile.TemporaryFile(dir=scratch) as file:
        while data := stream.read(1 << 20):
            length += len(data)
            if length > limit:
                raise ImageError(f"the archive has more than {limit} bytes when it's decompressed")
            file.write(data)
        file.flush()
        return FileRegion(HostDescriptor(os.dup(file.fileno())), 0, length)


def open_source(path: str, scratch: str, limit: int) -> ImageSource:
    """The directory or archive at `path`; `scratch` is where a compressed one may be decompressed.

    Raises ImageError, OSError.
    """
    if os.path.isdir(path):
        return DirectorySource(path)
    descriptor = HostDescriptor(os.open(path, _FILE_FLAGS))
    found = os.fstat(descriptor.number)
    if not stat.S_ISREG(found.st_mode):
        raise ImageError("it's neither a directory nor a regular file")
    return ArchiveSource(descriptor, found.st_size, scratch, limit)
