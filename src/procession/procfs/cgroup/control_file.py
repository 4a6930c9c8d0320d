"""What a file of a control group is: who may use it, what it shows, and what is done with what is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ERANGE
from procession.abi.named_tuple import NamedTuple
from procession.fs.mounts.context import parse_number
from procession.kernel.cgroup.memory import PeakWatch

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.cgroup.event_file import EventFile
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task
    from procession.procfs.cgroup.file_system import CgroupFileSystem
    from procession.procfs.pressure import TriggerSlot


class Opener:
    """Who has opened a file of a control group: its rights then are what counts when it writes.

    `slot` is for what is written to a file of pressure, `peak` for what is to memory.peak.
    Linux: kernel/cgroup/cgroup-internal.h, struct cgroup_file_ctx.
    """

    __slots__ = ("file_system", "peak", "seen_root", "slot", "subject")

    def __init__(self, file_system: CgroupFileSystem, subject: Subject, seen_root: Cgroup) -> None:
        self.file_system = file_system
        self.subject = subject
        self.seen_root = seen_root
        self.slot: TriggerSlot | None = None
        self.peak = PeakWatch()

    @property
    def kernel(self) -> Kernel:
        """The machine's kernel."""
        return self.file_system.kernel

    @property
    def actor(self) -> Task:
        """The task that reads or writes now."""
        current = self.file_system.kernel.current
        assert current is not None
        return current

    def check_write(self, group: Cgroup) -> None:
        """Raise EACCES unless the opener may write to the cgroup.procs of `group`.

        Linux: kernel/cgroup/cgroup.c, cgroup_may_write.
        """
        self.file_system.check_write(group, self.subject)


Show = Callable[["Cgroup", Opener], bytes]
Store = Callable[["Cgroup", bytes, Opener], None]


class ControlFile(NamedTuple):
    """A file of each control group, or of all but the root, or of the root alone.

    `controller` is the bit of the one that it belongs to, 0 for none. `is_delegatable` files of the root of
    a cgroup namespace may be written from inside. `event` finds what tells of changes; a file
    of pressure `has_trigger`.
    Linux: include/linux/cgroup-defs.h, struct cftype.
    """

    show: Show | None
    store: Store | None = None
    controller: int = 0
    is_on_root: bool = False
    is_below_root: bool = True
    is_delegatable: bool = False
    event: Callable[[Cgroup], EventFile] | None = None
    has_trigger: bool = False

    @property
    def permissions(self) -> int:
        """The permission bits that it's made with."""
        return (0o444 if self.show is not None else 0) | (0o200 if self.store is not None else 0)


def parse_integer(data: bytes, *, strips: bool = True) -> int:
    """A number with a sign or without, and what isn't looked at by the file itself without spaces around it.

    Raises EINVAL, ERANGE. Linux: lib/kstrtox.c, kstrtoint; kernel/cgroup/cgroup.c, cgroup_file_write.
    """
    text = data.strip() if strips else data
    is_negative = text[:1] == b"-"
    number = parse_number(text[1:] if is_negative else text)
    if number is None or (is_negative and text[1:2] == b"+"):
        raise EINVAL("not a number")
    if number > 0x7FFF_FFFF + is_negative:
        raise ERANGE("too large a number")
    return -number if is_negative else number


def show_limit(value: int, no_limit: int) -> bytes:
    """A limit as it's shown: a number, or `max`."""
    return b"max\n" if value >= no_limit else b"%d\n" % value
