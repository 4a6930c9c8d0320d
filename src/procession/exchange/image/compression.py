"""Compressed layers: gzip and zstd, told by their first bytes."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import TYPE_CHECKING, BinaryIO, cast

import zstandard

from procession.exchange.image.error import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_UNKNOWN = {b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x04\x22\x4d\x18": "lz4", b"LZIP": "lzip"}
_CHUNK_BYTES = 1 << 20
_LARGEST_WINDOW_BYTES = 128 << 20


def decompressed(file: io.RawIOBase, what: str) -> BinaryIO | None:
    """A stream of what `file`, called `what`, is the compressed form of; None if it isn't compressed.

    Raises ImageError for compressions that images don't have.
    """
    buffered = io.BufferedReader(file, _CHUNK_BYTES)
    start = buffered.peek(6)[:6]
    if start.startswith(_GZIP):
        return cast("BinaryIO", gzip.GzipFile(fileobj=buffered))
    if start.startswith(_ZSTD):
        decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW_BYTES)
        return cast("BinaryIO", decompressor.stream_reader(buffered, read_across_frames=True))
    for magic, name in _UNKNOWN.items():
        if start.startswith(magic):
            raise ImageError(f"{what} is compressed by {name}; images are by gzip or zstd")
    # A buffer that goes closes what it reads.
    buffered.detach()
    file.seek(0)
    return None


def chunks_of(file: io.RawIOBase, what: str) -> Iterator[bytes]:
    """The contents of `file`, decompressed if it's compressed. Raises ImageError, also when it's broken."""
    stream = decompressed(file, what)
    plain: io.RawIOBase | BinaryIO = file if stream is None else stream
    while True:
        try:
            data = plain.read(_CHUNK_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise ImageError(f"{what} is broken: {error}") from None
        if not data:
            return
        yield data
