"""Open files of /proc/sys, which can be polled: those of the machine's names tell when they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, EPERM
from procession.fs.file import ALWAYS_READY, POLLERR, POLLIN, POLLPRI, POLLRDNORM, seek_by_default
from procession.fs.kernel_log import KERN_WARNING
from procession.fs.permission import CAP_SYS_ADMIN
from procession.procfs.inode import GeneratedFile, ProcFile
from procession.procfs.number_ranges import read_ranges
from procession.procfs.parameter_kind import INTEGER, ParameterKind
from procession.procfs.parse_integer import leading_words, parse_parameter

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.fs.wait_queue import WaitQueue
    from procession.kernel.kernel import Kernel
    from procession.kernel.namespaces.uts import NameChanges
    from procession.procfs.inode import Source

_PAGE_SIZE = 4096
_LEGACY, _WARNS, _STRICT = -1, 0, 1
_WARNING = (
    b"%s wrote to %s when file position was not 0!\nThis will not be supported in the future. To silence this"
    b"\nwarning, set kernel.sysctl_writes_strict = -1"
)


def show_writes(kernel: Kernel) -> bytes:
    """kernel.sysctl_writes_strict: what becomes of writes that don't start at a parameter's beginning."""
    return b"%d\n" % kernel.sysctl_writes_strict


def store_writes(kernel: Kernel, data: bytes) -> None:
    """Nothing, or of text that it goes on (1); they start at the beginning (-1), which is told once (0).

    Raises EINVAL. Linux: kernel/sysctl.c, kern_table.
    """
    kernel.sysctl_writes_strict = parse_parameter(data, _LEGACY, _STRICT)


class ParameterFile(GeneratedFile):
    """An open parameter of a kind.

    `seen_count` is how often it had changed when that was last told.
    """

    __slots__ = ("changes", "kind", "seen_count")

    can_poll: ClassVar[bool] = True
    is_copied_whole: ClassVar[bool] = True

    def __init__(
        self,
        path: Path,
        flags: int,
        subject: Subject,
        source: Source,
        changes: NameChanges | None,
        kind: ParameterKind = INTEGER,
    ) -> None:
        super().__init__(path, flags, subject, source)
        self.changes = changes
        self.kind = kind
        self.seen_count = changes.count if changes is not None else 0

    def read_at(self, offset: int, length: int) -> bytes:
        """Numbers are read in one go: whatever is wanted next, there is nothing.

        Linux: kernel/sysctl.c, do_proc_dointvec.
        """
        return b"" if offset and not self.kind.is_text else super().read_at(offset, length)

    def write_at(self, offset: int, data: bytes) -> int:
        """What follows the beginning of numbers is taken and ignored, text goes on.

        Linux: kernel/sysctl.c, proc_first_pos_non_zero_ignore, _proc_do_string.
        """
        if self.kind.is_administrators:
            current = self.kernel.current
            if current is not None and not current.credentials.capable(CAP_SYS_ADMIN):
                raise EPERM("takes CAP_SYS_ADMIN")
        if not data:
            return 0
        if self.kind.is_ranges:
            return self._write_ranges(offset, data)
        is_strict = self.kernel.sysctl_writes_strict == _STRICT
        if offset and not is_strict:
            self._warn()
        if not self.kind.is_text:
            return len(data) if offset and is_strict else self._write_numbers(data)
        if offset and is_strict:
            old = self.source.show(self.subject).rstrip(b"\n")
            if offset > len(old):
                return len(data)
            return super().write_at(0, old[:offset] + data) and len(data)
        return super().write_at(0, data)

    @property
    def kernel(self) -> Kernel:
        """Whose parameter it is."""
        inode = self.inode
        assert isinstance(inode, ProcFile)
        return inode.proc.kernel

    def _warn(self) -> None:
        """The beginning is written anew: once that's told. Linux: kernel/sysctl.c, warn_sysctl_write."""
        kernel = self.kernel
        if kernel.sysctl_writes_strict == _WARNS and not kernel.has_warned_of_writes:
            kernel.has_warned_of_writes = True
            text = _WARNING % (kernel.acting_name, self.path.dentry.name)
            kernel.vfs.log.append(KERN_WARNING, text)

    def _write_numbers(self, data: bytes) -> int:
        """The bytes that the numbers are. Those in front of what isn't one have their effect.

        Linux: kernel/sysctl.c, __do_proc_dointvec.
        """
        kind = self.kind
        words, length, is_broken = leading_words(
            data[: _PAGE_SIZE - 1], kind.number_count, is_signed=not kind.is_unsigned
        )
        if words:
            super().write_at(0, b" ".join(words))
        if is_broken:
            raise EINVAL("not a number")
        # What is beyond a page's end counts too, though nobody looks at it.
        return len(data) if kind.takes_all else length + max(len(data) - _PAGE_SIZE + 1, 0)

    def _write_ranges(self, offset: int, data: bytes) -> int:
        """The bytes of the ranges that are whole: those of a first write take the place of what was there.

        Linux: kernel/sysctl.c, proc_do_large_bitmap.
        """
        if len(data) >= _PAGE_SIZE:
            data = data[: read_ranges(data[: _PAGE_SIZE - 1], goes_on=True)[1]]
        old = self.source.show(self.subject).rstrip(b"\n") if offset else b""
        super().write_at(0, old + b"," + data if old else data)
        return len(data)

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
