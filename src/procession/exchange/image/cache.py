"""Decompressed layers, kept by digest in a directory of the user's own from run to run."""

from __future__ import annotations

import io
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from procession.exchange.image.compression import chunks_of
from procession.exchange.image.descriptor import new_hash
from procession.exchange.image.error import ImageError
from procession.fs.host_source import HostDescriptor

if TYPE_CHECKING:
    from procession.exchange.image.source import FileRegion

CACHE_BYTES_LIMIT = 16 << 30
_PARTIAL = ".partial-"
_PARTIAL_LIFE_S = 86_400
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def default_directory() -> str:
    """Where the user's layers are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "procession", "layers")


class HashedReader(io.RawIOBase):
    """A file that is hashed while it's read from its beginning to its end."""

    def __init__(self, region: FileRegion, digest: str) -> None:
        self.region = region
        self.hash = new_hash(digest)
        self.hashed = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is, but what was read isn't hashed again."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See io."""
        return self.region.seek(offset, whence)

    def tell(self) -> int:
        """See io."""
        return self.region.tell()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer` as far as the file goes."""
        start = self.region.tell()
        count = self.region.readinto(buffer)
        fresh = start + count - self.hashed
        if fresh > 0:
            self.hash.update(bytes(buffer[count - fresh : count]))
            self.hashed += fresh
        return count

    def finish(self) -> str:
        """Read what is left; the hexadecimal digest."""
        while self.read(1 << 20):
            pass
        return self.hash.hexdigest()


class LayerCache:
    """The layers in `path`, which nobody else may write to: what lies there is taken for what its name says.

    Raises OSError; ImageError if it isn't the user's own.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        os.makedirs(path, mode=0o700, exist_ok=True)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self.directory = HostDescriptor(os.open(path, flags))
        found = os.fstat(self.directory.number)
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise ImageError(f"{path} must be yours, and writable by nobody else")

    def find(self, diff_id: str) -> HostDescriptor | None:
        """The layer whose contents have the digest `diff_id`, if it's there."""
        name = _name_of(diff_id)
        try:
            number = os.open(name, _READ_FLAGS, dir_fd=self.directory.number)
        except FileNotFoundError:
            return None
        descriptor = HostDescriptor(number)
        found = os.fstat(number)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise ImageError(f"{os.path.join(self.path, name)} isn't what was put there")
        with suppress(OSError):
            os.utime(number)
        return descriptor

    def add(self, region: FileRegion, digest: str | None, diff_id: str, limit: int) -> HostDescriptor:
        """Keep the layer in `region`, whose compressed form has `digest` and whose contents have `diff_id`.

        Both are checked before anybody else sees it. Two who add the same do no harm: each has a file of its
        own until it's whole. Raises ImageError, OSError.
        """
        name = _partial_name()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = HostDescriptor(os.open(name, flags, 0o600, dir_fd=self.directory.number))
        try:
            _decompress(region, descriptor, digest, diff_id, limit)
            os.rename(
                name,
                _name_of(diff_id),
                src_dir_fd=self.directory.number,
                dst_dir_fd=self.directory.number,
            )
        except BaseException:
            with suppress(OSError):
                os.unlink(name, dir_fd=self.directory.number)
            raise
        self._bound(_name_of(diff_id))
        return self.find(diff_id) or descriptor

    def _bound(self, kept: str) -> None:
        """Remove what wasn't used for longest while there is too much, and what was never finished.

        A layer that is removed stays readable for the machines that have it open.
        """
        found: list[tuple[int, int, str]] = []
        newest_ns = 0
        for name in os.listdir(self.directory.number):
            with suppress(OSError):
                status = os.stat(name, dir_fd=self.directory.number, follow_symlinks=False)
                found.append((status.st_mtime_ns, status.st_size, name))
                newest_ns = max(newest_ns, status.st_mtime_ns)
        total = sum(size for _, size, _ in found)
        for mtime_ns, size, name in sorted(found):
            if name.startswith(_PARTIAL):
                # Somebody may be writing it now.
                is_superfluous = newest_ns - mtime_ns > _PARTIAL_LIFE_S * 10**9
            else:
                is_superfluous = name != kept and total > CACHE_BYTES_LIMIT
            if not is_superfluous:
                continue
            with suppress(OSError):
                os.unlink(name, dir_fd=self.directory.number)
                total -= size


def _name_of(diff_id: str) -> str:
    return diff_id.replace(":", "-") + ".tar"


def _partial_name() -> str:
    return _PARTIAL + secrets.token_hex(12)


def _decompress(
    region: FileRegion, descriptor: HostDescriptor, digest: str | None, diff_id: str, limit: int
) -> None:
    source = HashedReader(region, digest or diff_id)
    contents = new_hash(diff_id)
    length = 0
    for data in chunks_of(source, "a layer"):
        length += len(data)
        if length > limit:
            raise ImageError(f"the layers have more than {limit} bytes when they are decompressed")
        contents.update(data)
        _write_all(descriptor.number, data)
    if digest is not None and source.finish() != digest.partition(":")[2]:
        raise ImageError(f"a layer doesn't have the digest {digest}")
    if contents.hexdigest() != diff_id.partition(":")[2]:
        raise ImageError(f"a layer's contents don't have the digest {diff_id}")


def _write_all(number: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(number, view) :]
