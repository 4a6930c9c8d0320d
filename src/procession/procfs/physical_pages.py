"""/proc/kpagecgroup: for each page frame of the machine the control group that it's charged to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.word import pack_array
from procession.fs.file import File, PositionedFile
from procession.kernel.cgroup.memory import MemoryCounter
from procession.kernel.time.costs import SHOWN_PAGE_NS
from procession.procfs.process_memory import seek_memory

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.kernel.kernel import Kernel

_ENTRY_BYTES = 8
_MOST_ENTRIES = 8192
"""So many frames are shown by one read: who asks for more gets these."""


def open_page_groups(kernel: Kernel, path: Path, flags: int, subject: Subject) -> File:
    """Open /proc/kpagecgroup."""
    return PageGroupFile(path, flags, subject, kernel)


class PageGroupFile(PositionedFile):
    """An open /proc/kpagecgroup: 64 bits for each frame, the number of the group's directory; 0 where the
    frame isn't in use. Linux: fs/proc/page.c, kpagecgroup_read.
    """

    __slots__ = ("kernel",)

    can_poll = False

    def __init__(self, path: Path, flags: int, subject: Subject, kernel: Kernel) -> None:
        super().__init__(path, flags, subject)
        self.kernel = kernel

    def read_at(self, offset: int, length: int) -> bytes:
        if offset % _ENTRY_BYTES or length % _ENTRY_BYTES:
            raise EINVAL("no whole entries")
        memory = self.kernel.memory
        first = offset // _ENTRY_BYTES
        count = min(length // _ENTRY_BYTES, _MOST_ENTRIES, max(memory.frame_count - first, 0))
        if not count:
            return b""
        self.kernel.clock.spend(count * SHOWN_PAGE_NS)
        return pack_array("Q", [self._number(frame) for frame in range(first, first + count)])

    def _number(self, frame: int) -> int:
        """Linux: mm/memcontrol.c, page_cgroup_ino."""
        memory = self.kernel.memory
        if not memory.references[frame]:
            return 0
        owner = memory.owners.get(frame)
        if not isinstance(owner, MemoryCounter):
            return self.kernel.cgroups.root.number
        for group in owner.group.ancestors():
            if not group.is_dead:
                return group.number
        return 0

    def seek(self, offset: int, whence: int) -> int:
        return seek_memory(self, offset, whence)
