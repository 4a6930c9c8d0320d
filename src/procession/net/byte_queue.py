"""Bytes in the order in which they came, kept in the pieces that they came in."""

from __future__ import annotations

from collections import deque

_SHORT = 2048


class ByteQueue:
    """A queue of bytes: `length` of them.

    The first `consumed` bytes of the first chunk have been taken. `largest` is how many have come at once.
    """

    __slots__ = ("chunks", "consumed", "largest", "length")

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.consumed = 0
        self.length = 0
        self.largest = 0

    def append(self, data: bytes) -> None:
        """Put `data`, which isn't empty, at the end; what is short becomes one chunk with what was before."""
        chunks = self.chunks
        size = len(data)
        if size < _SHORT and chunks and len(chunks[-1]) < _SHORT:
            chunks[-1] += data
        else:
            chunks.append(data)
        self.length += size
        if size > self.largest:
            self.largest = size

    def take(self, length: int) -> bytes:
        """Take up to `length` bytes out; there are some."""
        chunks, consumed = self.chunks, self.consumed
        first = chunks[0]
        left = len(first) - consumed
        if left > length:
            data = first[consumed : consumed + length]
            self.consumed = consumed + length
            if self.consumed << 2 > len(first) > _SHORT:
                # What has been taken mustn't take up memory that nobody accounts for.
                chunks[0] = first[self.consumed :]
                self.consumed = 0
        elif len(chunks) == 1 or left == length:
            data = first[consumed:] if consumed else first
            chunks.popleft()
            self.consumed = 0
        else:
            parts = [first[consumed:] if consumed else first]
            chunks.popleft()
            taken = left
            self.consumed = 0
            while chunks and taken < length:
                chunk = chunks[0]
                if len(chunk) > length - taken:
                    parts.append(chunk[: length - taken])
                    chunks[0] = chunk[length - taken :]
                    break
                parts.append(chunk)
                taken += len(chunk)
                chunks.popleft()
            data = b"".join(parts)
        self.length -= len(data)
        return data

    def peek(self, length: int, skipped: int = 0) -> bytes:
        """What `take` would give, past the first `skipped` bytes."""
        parts: list[bytes] = []
        taken = 0
        start = self.consumed + skipped
        for chunk in self.chunks:
            part = chunk[start : start + length - taken]
            start = max(start - len(chunk), 0)
            parts.append(part)
            taken += len(part)
            if taken >= length:
                break
        return b"".join(parts)

    def chunk_lengths(self) -> list[int]:
        """How long what waits is, piece by piece."""
        lengths = [len(chunk) for chunk in self.chunks]
        if lengths:
            lengths[0] -= self.consumed
        return lengths

    def put_back(self, data: bytes) -> None:
        """Undo the end of a `take`."""
        if self.consumed:
            self.chunks[0] = self.chunks[0][self.consumed :]
            self.consumed = 0
        self.chunks.appendleft(data)
        self.length += len(data)

    def clear(self) -> None:
        """Throw everything away."""
        self.chunks.clear()
        self.consumed = self.length = 0
