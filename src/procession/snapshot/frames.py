"""The contents of the page frames in use, shared between snapshots: only what has changed is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.physical_memory import PAGE_SHIFT, PAGE_SIZE

if TYPE_CHECKING:
    from procession.hardware.physical_memory import PhysicalMemory


class KeptFrames:
    """What the frames held at one moment: `contents` by frame, and the counts of references up to the last
    frame that had been handed out."""

    __slots__ = ("contents", "references")

    def __init__(self, contents: dict[int, bytes], references: bytes) -> None:
        self.contents = contents
        self.references = references


class FrameKeeper:
    """Keeps the frames of one memory. `known` is what they held when they were looked at last.

    `end` is the first frame that has never been handed out: what was beyond it is zero.
    """

    __slots__ = ("end", "known", "memory")

    def __init__(self, memory: PhysicalMemory) -> None:
        self.memory = memory
        self.known: dict[int, bytes] = {}
        self.end = memory.next_fresh

    def keep(self) -> KeptFrames:
        """The frames as they are now."""
        memory, data = self.memory, self.memory.bytes
        references = memory.references[: memory.next_fresh]
        self.end = max(self.end, memory.next_fresh)
        old, known = self.known, {}
        for frame, count in enumerate(references):
            if count:
                base = frame << PAGE_SHIFT
                now = data[base : base + PAGE_SIZE]
                known[frame] = now if old.get(frame) != now else old[frame]
        self.known = known
        return KeptFrames(known, references.tobytes())

    def put_back(self, kept: KeptFrames) -> bool:
        """Let the frames hold what they held then; whether any with code has changed."""
        memory, data = self.memory, self.memory.bytes
        self.end = max(self.end, memory.next_fresh)
        count = len(kept.references) // memory.references.itemsize
        memory.references[: self.end] = type(memory.references)(
            "l", kept.references + bytes((self.end - count) * memory.references.itemsize)
        )
        has_changed_code = False
        for frame, contents in kept.contents.items():
            base = frame << PAGE_SHIFT
            if data[base : base + PAGE_SIZE] != contents:
                data[base : base + PAGE_SIZE] = contents
                has_changed_code |= frame in memory.executable
        data[count << PAGE_SHIFT : self.end << PAGE_SHIFT] = bytes((self.end - count) << PAGE_SHIFT)
        self.known = kept.contents
        return has_changed_code
