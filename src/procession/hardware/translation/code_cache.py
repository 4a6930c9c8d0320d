"""The cache of translated code: one file in memory, written here and executed in stubs."""

from __future__ import annotations

import mmap
import os
from bisect import bisect_right

from procession.hardware.translation import layout
from procession.hardware.translation.assembler import signed_32
from procession.hardware.translation.runtime import assemble_runtime

_LEAST_ROOM = 1 << 20
_RUNTIME_BYTES = 0x1000

LINK, CROSS, CALL, BUDGET, ATTEND, STEP, STEP_INDIRECT = range(7)
"""Why code leaves: a jump within a page or beyond it that isn't linked yet, a system call, a budget that is
spent, an instruction that the machine attends to, an instruction that has been stepped over.
"""


class Exit:
    """One place where code leaves: `kind` as above, and the guest's `pc` there.

    LINK, CROSS, BUDGET, STEP: `pc` is where to go on; of LINK `place` is the jump's displacement in the
    cache, of CROSS the link's number. CALL: `pc` is behind the instruction. ATTEND: `pc` is the
    instruction.
    """

    __slots__ = ("kind", "pc", "place")

    def __init__(self, kind: int, pc: int, place: int = 0) -> None:
        self.kind = kind
        self.pc = pc
        self.place = place


class Block:
    """Code that was translated in a row. `marks` has three bytes for each instruction: its length, that of
    its translation, and which registers a fault in it must have restored (see `translator`).
    """

    __slots__ = ("counter_register", "marks", "pc", "start")

    def __init__(self, start: int, pc: int) -> None:
        self.start = start
        self.pc = pc
        self.marks = bytearray()
        self.counter_register = -1


class PageCode:
    """What is translated of one frame, whoever maps it. By the guest's address: where code begins
    (`entries`), where the tables of jumps lead to it (`stanzas`, `second_stanzas`), and whether flags are
    dead there.
    """

    __slots__ = ("data", "dead", "entries", "frame", "second_stanzas", "stanzas")

    def __init__(self, frame: int, data: bytes) -> None:
        self.frame = frame
        self.data = data
        self.entries: dict[int, int] = {}
        self.stanzas: dict[int, int] = {}
        self.second_stanzas: dict[int, int] = {}
        self.dead: dict[int, bool] = {}


class CodeCache:
    """`position` is where the next code goes. `generation` grows when all code is dropped.

    `pages` has the translated code by frame, `straddlers` the instructions that lie in two frames, by address
    and both. `links` numbers the targets of jumps that leave their page; `link_stubs` are where each leads
    as long as it isn't resolved; `new_links` are the targets that have none yet.
    """

    __slots__ = (
        "blocks",
        "descriptor",
        "exits",
        "generation",
        "labels",
        "link_stubs",
        "links",
        "memory",
        "new_links",
        "pages",
        "position",
        "starts",
        "straddlers",
        "view",
    )

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("procession-code")
        os.ftruncate(self.descriptor, layout.CACHE_BYTES)
        self.memory = mmap.mmap(self.descriptor, layout.CACHE_BYTES)
        self.view = memoryview(self.memory)
        runtime = assemble_runtime()
        code = runtime.finish()
        assert len(code) <= _RUNTIME_BYTES
        self.view[: len(code)] = code
        self.labels = runtime.labels
        self.generation = 0
        self.position = _RUNTIME_BYTES
        self.exits: list[Exit] = []
        self.blocks: list[Block] = []
        self.starts: list[int] = []
        self.pages: dict[int, PageCode] = {}
        self.straddlers: dict[tuple[int, int, int], int] = {}
        self.links: dict[int, int] = {}
        self.link_stubs: list[int] = []
        self.new_links: list[int] = []

    @property
    def is_full(self) -> bool:
        """Whether all code must go before there is more."""
        return (
            self.position > layout.CACHE_BYTES - _LEAST_ROOM
            or len(self.link_stubs) > layout.MAXIMUM_LINKS - 4096
        )

    def clear(self) -> None:
        """Drop all code but the runtime."""
        self.generation += 1
        self.position = _RUNTIME_BYTES
        self.exits.clear()
        self.blocks.clear()
        self.starts.clear()
        self.pages.clear()
        self.straddlers.clear()
        self.links.clear()
        self.link_stubs.clear()
        self.new_links.clear()

    def add(self, code: bytes | bytearray) -> int:
        """Put code into the cache; its offset."""
        start = self.position
        self.position = end = start + len(code)
        self.view[start:end] = code
        return start

    def add_exit(self, kind: int, pc: int, place: int = 0) -> int:
        """The number of a new place where code leaves."""
        self.exits.append(Exit(kind, pc, place))
        return len(self.exits) - 1 + layout.FIRST_EXIT

    def add_block(self, block: Block) -> None:
        """Take note of translated code, which lies behind all that there is."""
        self.blocks.append(block)
        self.starts.append(block.start)

    def block_at(self, offset: int) -> Block | None:
        """The last block that begins at or before `offset` in the cache."""
        index = bisect_right(self.starts, offset)
        return self.blocks[index - 1] if index else None

    def patch(self, place: int, target: int) -> None:
        """Make the jump whose displacement is at `place` lead to offset `target`."""
        self.view[place : place + 4] = signed_32(target - place - 4)

    def close(self) -> None:
        """Give the host its memory back."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
            self.view.release()
            self.memory.close()

    def __del__(self) -> None:
        self.close()
