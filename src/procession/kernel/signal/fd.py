"""signalfd(2): a file from which a process reads its own pending signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EAGAIN, EINVAL
from procession.abi.signalfd import SignalfdSiginfo
from procession.fs.anonymous_inode import anonymous_path
from procession.fs.file import O_NONBLOCK, O_RDWR, POLLIN, File
from procession.fs.wait_queue import Sleep, WaitQueue
from procession.kernel.signal.info import (
    LAYOUT_CHILD,
    LAYOUT_FAULT,
    LAYOUT_KILL,
    LAYOUT_POLL,
    LAYOUT_REAL_TIME,
    LAYOUT_SYSTEM_CALL,
    LAYOUT_TIMER,
    SigInfo,
)
from procession.kernel.signal.set import ALL_SIGNALS
from procession.kernel.signal_delivery import take_signal
from procession.kernel.time.costs import SIGNAL_INFO_NS

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.kernel import Kernel
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.task import Task

_SIZE = SignalfdSiginfo.SIZE
_U32 = 0xFFFFFFFF
_U64 = (1 << 64) - 1


class SignalFile(File):
    """A signalfd: `signals` is the mask of those that it gives (Linux: fs/signalfd.c, struct signalfd_ctx).

    Whoever reads or polls it finds its own signals, whoever made it.
    """

    __slots__ = ("kernel", "signals")

    has_write: ClassVar[bool] = False
    reads_whole: ClassVar[bool] = True

    def __init__(self, kernel: Kernel, signals: int, flags: int, subject: Subject) -> None:
        super().__init__(anonymous_path(kernel.vfs, "[signalfd]"), O_RDWR | flags, subject)
        self.kernel = kernel
        self.signals = signals

    def _reader(self) -> Task:
        task = self.kernel.current
        assert task is not None
        return task

    def change_signals(self, signals: int) -> None:
        """Give others from now on."""
        self.signals = signals
        self._reader().group.handlers.wait_queue.wake_all()

    def whole_length(self, length: int, room: int) -> int:
        """The first signal that finds no room is lost. Linux: fs/signalfd.c, signalfd_copyinfo."""
        return min(length, room - room % _SIZE + _SIZE)

    def counted_part(self, length: int) -> int | None:
        return length - length % _SIZE

    def read(self, length: int) -> bytes:
        """As many `struct signalfd_siginfo` of 128 bytes as there are signals and room for.

        Linux: fs/signalfd.c, signalfd_read_iter.
        """
        count = length // _SIZE
        if count == 0:
            raise EINVAL("signalfd: less than 128 bytes")
        task = self._reader()
        blocked = ALL_SIGNALS & ~self.signals
        parts: list[bytes] = []
        while len(parts) < count:
            info = take_signal(self.kernel, task, blocked)
            if info is None:
                break
            parts.append(_pack(info, task.pid_namespace))
        if parts:
            self.kernel.clock.spend((len(parts) - 1) * SIGNAL_INFO_NS)
            return b"".join(parts)
        if self.flags & O_NONBLOCK:
            raise EAGAIN
        raise Sleep(task.group.handlers.wait_queue)

    def seek(self, offset: int, whence: int) -> int:
        """Linux: fs/read_write.c, noop_llseek."""
        return 0

    def poll_mask(self) -> int:
        """Linux: fs/signalfd.c, signalfd_poll."""
        task = self._reader()
        pending = task.pending.mask | task.group.shared_pending.mask
        return POLLIN if pending & self.signals else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return self.queues_of(self._reader())

    def queues_of(self, task: Task) -> tuple[WaitQueue, ...]:
        """The queue that is woken when there's a signal for `task`."""
        return (task.group.handlers.wait_queue,)

    def show_details(self) -> bytes:
        """Linux: fs/signalfd.c, signalfd_show_fdinfo."""
        return b"sigmask:\t%016x\n" % self.signals


def _pack(info: SigInfo, namespace: PidNamespace) -> bytes:
    """Linux: fs/signalfd.c, signalfd_copyinfo."""
    info = info.seen_in(namespace)
    new = SignalfdSiginfo(info.signo, info.errno, info.code)
    layout = info.layout
    if layout in (LAYOUT_KILL, LAYOUT_REAL_TIME, LAYOUT_CHILD):
        new.ssi_pid = info.pid_in(namespace) & _U32
        new.ssi_uid = info.uid
    if layout in (LAYOUT_REAL_TIME, LAYOUT_TIMER):
        new.ssi_ptr = info.value
        new.ssi_int = _signed(info.value)
    if layout == LAYOUT_TIMER:
        new.ssi_tid = info.timer_id & _U32
        new.ssi_overrun = info.overrun & _U32
    elif layout == LAYOUT_CHILD:
        new.ssi_status = info.status
        new.ssi_utime = info.utime & _U64
        new.ssi_stime = info.stime & _U64
    elif layout == LAYOUT_POLL:
        new.ssi_band = info.band & _U32
        new.ssi_fd = info.fd
    elif layout == LAYOUT_FAULT:
        new.ssi_addr = info.address
    elif layout == LAYOUT_SYSTEM_CALL:
        new.ssi_call_addr = info.address
        new.ssi_syscall = info.value
        new.ssi_arch = info.architecture
    return new.pack()


def _signed(value: int) -> int:
    return (value & _U32 ^ 0x80000000) - 0x80000000
