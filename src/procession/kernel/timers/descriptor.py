"""timerfd_create(2): a timer that is a file; reading gives how often it has expired."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.duration import NS_PER_S
from procession.abi.errno import EAGAIN, ECANCELED, EINVAL, ENOTTY
from procession.abi.ioctls import TimerfdIoctl
from procession.abi.timerfd import TimerfdSettimeFlag
from procession.abi.word import pack_u64
from procession.fs.anonymous_inode import anonymous_path
from procession.fs.file import O_NONBLOCK, O_RDWR, POLLIN, File
from procession.fs.wait_queue import Sleep, WaitQueue
from procession.kernel.time.posix_clock import KTIME_MAX, WALL_CLOCKS
from procession.kernel.time.queue import TIMER_ACTIONS
from procession.kernel.timers.posix import TimerSetting

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.fs.permission import Subject
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Timer

TFD_TIMER_ABSTIME = int(TimerfdSettimeFlag.TFD_TIMER_ABSTIME)
TFD_TIMER_CANCEL_ON_SET = int(TimerfdSettimeFlag.TFD_TIMER_CANCEL_ON_SET)


class TimerFile(File):
    """A timerfd (Linux: fs/timerfd.c, struct timerfd_ctx).

    `expires_ns` is of CLOCK_REALTIME if `follows_realtime`, else of the monotonic clock. When it expires,
    `has_expired` is set and `ticks` grows by one; the further expiries of an interval timer are counted, and
    it is armed again, when it's read. `is_canceled` says that the clock was set under a timer that asked.
    """

    __slots__ = (
        "cancels_on_set",
        "clock_id",
        "expires_ns",
        "follows_realtime",
        "has_expired",
        "interval_ns",
        "is_canceled",
        "kernel",
        "queue",
        "set_flags",
        "ticks",
        "timer",
    )

    has_write: ClassVar[bool] = False

    def __init__(self, kernel: Kernel, clock_id: int, flags: int, subject: Subject) -> None:
        super().__init__(anonymous_path(kernel.vfs, "[timerfd]"), O_RDWR | flags, subject)
        self.kernel = kernel
        self.clock_id = clock_id
        self.expires_ns = 0
        self.interval_ns = 0
        self.follows_realtime = False
        self.cancels_on_set = False
        self.is_canceled = False
        self.has_expired = False
        self.ticks = 0
        self.set_flags = 0
        self.queue = WaitQueue(POLLIN)
        self.timer: Timer | None = None

    def counted_part(self, length: int) -> int | None:
        """Linux: fs/timerfd.c, timerfd_read_iter."""
        return length

    def release(self) -> None:
        self._disarm()

    def get(self) -> TimerSetting:
        """timerfd_gettime(2). Linux: fs/timerfd.c, do_timerfd_gettime."""
        self._forward()
        return TimerSetting(self.interval_ns, max(self.expires_ns - self._now_ns(), 0))

    def set(self, new: TimerSetting, flags: int) -> TimerSetting:
        """timerfd_settime(2): what it was. Linux: fs/timerfd.c, do_timerfd_settime."""
        old = self.get()
        self._disarm()
        is_wall_clock = self.clock_id in WALL_CLOCKS
        is_absolute = bool(flags & TFD_TIMER_ABSTIME)
        self.follows_realtime = is_wall_clock and is_absolute
        self.cancels_on_set = self.follows_realtime and bool(flags & TFD_TIMER_CANCEL_ON_SET)
        self.has_expired = False
        self.ticks = 0
        self.interval_ns = new.interval_ns
        self.expires_ns = 0
        if self.cancels_on_set:
            self.kernel.clock.set_queue.add(self)
        if new.value_ns:
            now_ns = self._now_ns()
            if is_absolute:
                self.expires_ns = self.kernel.seen_namespaces.time.to_machine_ns(self.clock_id, new.value_ns)
            else:
                self.expires_ns = min(now_ns + new.value_ns, KTIME_MAX)
            self._arm()
            if self._takes_cancellation():
                raise ECANCELED("the clock was set")
        self.set_flags = flags
        return old

    def _takes_cancellation(self) -> bool:
        """Whether the clock was set and nobody has heard of it. A setting that doesn't ask for that leaves it
        for one that does.

        Linux: fs/timerfd.c, timerfd_canceled.
        """
        if not (self.is_canceled and self.cancels_on_set):
            return False
        self.is_canceled = False
        return True

    def _now_ns(self) -> int:
        clock = self.kernel.clock
        return clock.realtime_ns if self.follows_realtime else clock.now_ns

    def _arm(self) -> None:
        clock = self.kernel.clock
        deadline_ns = self.expires_ns
        if self.follows_realtime:
            deadline_ns -= clock.realtime_offset_ns
            clock.set_queue.add(self)
        self.timer = self.kernel.timers.add(deadline_ns, "timerfd", self)

    def _disarm(self) -> None:
        if self.timer is not None:
            self.kernel.timers.cancel(self.timer)
            self.timer = None
        self.kernel.clock.set_queue.remove(self)

    def _forward(self) -> None:
        """Count the expiries since the first unread one, and arm the timer again."""
        if not self.has_expired or not self.interval_ns:
            return
        self.has_expired = False
        count = (self._now_ns() - self.expires_ns) // self.interval_ns + 1
        self.expires_ns += count * self.interval_ns
        self.ticks += count - 1
        self._arm()

    def wake(self) -> None:
        """CLOCK_REALTIME was set. Linux: fs/timerfd.c, timerfd_clock_was_set."""
        if self.timer is not None and self.timer.is_armed:
            self.kernel.timers.cancel(self.timer)
            self._arm()
        if self.cancels_on_set:
            self.is_canceled = True
            self.ticks += 1
            self.queue.wake_all()

    def expire(self) -> None:
        """Linux: fs/timerfd.c, timerfd_triggered."""
        self.timer = None
        self.has_expired = True
        self.ticks += 1
        self.queue.wake_all()

    def read(self, length: int) -> bytes:
        """Eight bytes: how often it has expired since it was set or read.

        Linux: fs/timerfd.c, timerfd_read_iter.
        """
        if length < 8:
            raise EINVAL("timerfd: less than 8 bytes")
        if not self.ticks:
            if self.flags & O_NONBLOCK:
                raise EAGAIN
            raise Sleep(self.queue)
        if self._takes_cancellation():
            self.ticks = 0
            self.has_expired = False
            raise ECANCELED("the clock was set")
        self._forward()
        ticks = self.ticks
        self.has_expired = False
        self.ticks = 0
        return pack_u64(ticks)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """Who restores a process says how often it had expired. Linux: fs/timerfd.c, timerfd_ioctl."""
        if request != TimerfdIoctl.TFD_IOC_SET_TICKS:
            raise ENOTTY
        ticks = int.from_bytes(memory.read(argument, 8), "little")
        if not ticks:
            raise EINVAL("not to be told from a timer that hasn't expired")
        if self._takes_cancellation():
            raise ECANCELED("the clock was set")
        self.ticks = ticks
        self.queue.wake_all()
        return 0

    def seek(self, offset: int, whence: int) -> int:
        """Linux: fs/read_write.c, noop_llseek."""
        return 0

    def poll_mask(self) -> int:
        """Linux: fs/timerfd.c, timerfd_poll."""
        return POLLIN if self.ticks else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.queue,)

    def show_details(self) -> bytes:
        """Linux: fs/timerfd.c, timerfd_show."""
        left_ns = max(self.expires_ns - self._now_ns(), 0)
        return (
            b"clockid: %d\nticks: %d\nsettime flags: 0%o\nit_value: (%d, %d)\nit_interval: (%d, %d)\n"
        ) % (
            self.clock_id,
            self.ticks,
            self.set_flags,
            *divmod(left_ns, NS_PER_S),
            *divmod(self.interval_ns, NS_PER_S),
        )


def _expire(kernel: Kernel, timer: Timer) -> None:
    timer.target.expire()


TIMER_ACTIONS["timerfd"] = _expire
