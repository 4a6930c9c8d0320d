"""Reading the headers of an archive that nobody vouches for: how much they may be, and where they end."""

from __future__ import annotations

import io
import tarfile

from procession.exchange.image.error import ImageError

HEADERS_LIMIT = 2 << 20
"""How many bytes of headers one file may have: attributes, a long name, the map of a sparse file."""
GLOBAL_RECORDS_LIMIT = 1000
MALFORMED = (
    tarfile.TarError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What `tarfile` raises when bytes aren't what they should be."""


class HeaderReader:
    """An archive's file as `tarfile` sees it: it reads headers alone, and not without end."""

    def __init__(self, file: io.RawIOBase) -> None:
        self.file = io.BufferedReader(file, 1 << 15)
        self.left = HEADERS_LIMIT
        self.offset = 0

    def end_entry(self, next_offset: int) -> None:
        """A file's headers have been read; the next file's begin at `next_offset`. Raises ImageError."""
        if next_offset <= self.offset:
            raise ImageError("a file's size leads back to where it begins")
        self.offset = next_offset
        self.left = HEADERS_LIMIT

    def read(self, count: int = -1) -> bytes:
        """See io. Raises ImageError for too much."""
        if not 0 <= count <= self.left:
            raise ImageError(f"the headers of a file have more than {HEADERS_LIMIT} bytes")
        self.left -= count
        return self.file.read(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        """See io."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """See io."""
        return self.file.tell()


def is_at_end(file: io.RawIOBase, offset: int) -> bool:
    """Whether an archive ends at `offset`: by a block of zeros, or with the file."""
    file.seek(offset)
    return not (file.read(tarfile.BLOCKSIZE) or b"").strip(b"\0")
