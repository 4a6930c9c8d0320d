"""Open files of /proc/sys, which can be polled: those of the machine's names tell when they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.fs.file import ALWAYS_READY, POLLERR, POLLIN, POLLPRI, POLLRDNORM, seek_by_default
from procession.procfs.inode import GeneratedFile

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.fs.wait_queue import WaitQueue
    from procession.kernel.namespaces.uts import NameChanges
    from procession.procfs.inode import Source


class ParameterFile(GeneratedFile):
    """An open parameter: text, or else numbers.

    `seen_count` is how often it had changed when that was last told.
    """

    __slots__ = ("changes", "is_text", "seen_count")

    can_poll: ClassVar[bool] = True

    def __init__(
        self,
        path: Path,
        flags: int,
        subject: Subject,
        source: Source,
        changes: NameChanges | None,
        *,
        is_text: bool = False,
    ) -> None:
        super().__init__(path, flags, subject, source)
        self.changes = changes
        self.is_text = is_text
        self.seen_count = changes.count if changes is not None else 0

    def write_at(self, offset: int, data: bytes) -> int:
        """What follows the beginning of numbers is taken and ignored, text goes on.

        Linux: kernel/sysctl.c, proc_first_pos_non_zero_ignore, _proc_do_string.
        """
        if not data:
            return 0
        if offset:
            old = self.source.show(self.subject).rstrip(b"\n") if self.is_text else b""
            if offset > len(old):
                return len(data)
            return super().write_at(0, old[:offset] + data) and len(data)
        return super().write_at(0, data)

    def seek(self, offset: int, whence: int) -> int:
        return seek_by_default(self, offset, whence, 0)

    def poll_mask(self) -> int:
        """Linux: fs/proc/proc_sysctl.c, proc_sys_poll."""
        changes = self.changes
        if changes is None or changes.count == self.seen_count:
            return ALWAYS_READY
        self.seen_count = changes.count
        return POLLIN | POLLRDNORM | POLLERR | POLLPRI

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return () if self.changes is None else (self.changes.queue,)
