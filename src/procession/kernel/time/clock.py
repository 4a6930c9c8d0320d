"""Virtual time: it goes on with executed work and jumps when every task sleeps."""

from __future__ import annotations

from typing import Protocol

from procession.fs.wait_queue import WaitQueue

NS_PER_BLOCK = 4
"""What a block of code is taken to last: some four instructions and a branch."""
NS_PER_CALL = 400
"""What entering and leaving the kernel is taken to last, with the work inside."""
BYTES_PER_BLOCK = 32
"""How many bytes are copied in the time of a block of code: 8 GB a second."""
FORK_NS, EXEC_NS, EXIT_NS, FAULT_NS = 50_000, 200_000, 30_000, 500
"""What the dearer works of the kernel are taken to last: about what they do on Linux, so that parent and
child meet as they would there."""
DEFAULT_EPOCH_NS = 1_893_456_000 * 10**9
"""When a machine's life begins unless it's told otherwise: 2030-01-01, so that its files are of the past."""


class WorkMeter(Protocol):
    """What counts executed blocks: the engine."""

    def set_budget(self, units: int) -> None:
        """Start counting down from `units`."""

    def spend_budget(self, units: int) -> None:
        """Count down `units`."""

    def budget_left(self) -> int:
        """What is left."""


class Clock:
    """CLOCK_MONOTONIC and CLOCK_REALTIME of a machine.

    `call_count` counts system calls; the dispatcher adds to it. `kernel_work_ns` sums what `spend` was told.
    A slice starts with `start_slice`; until the next one, time is the slice's start and what was executed
    since. The engine counts blocks of code alone: when `call_count` reaches `check_at_call`, the dispatcher
    has the slice looked at. `set_queue` is woken when CLOCK_REALTIME is set: whoever waits for a time of day
    looks again. `time_zone` is what settimeofday(2) was told: minutes west of Greenwich, and a type of
    daylight saving time.
    """

    __slots__ = (
        "busy_count",
        "call_count",
        "check_at_call",
        "kernel_work_ns",
        "meter",
        "realtime_offset_ns",
        "set_queue",
        "slice_blocks",
        "slice_calls",
        "slice_start_ns",
        "time_zone",
        "work_start_ns",
    )

    def __init__(self, meter: WorkMeter, epoch_ns: int = DEFAULT_EPOCH_NS) -> None:
        self.meter = meter
        self.realtime_offset_ns = epoch_ns
        self.set_queue = WaitQueue()
        self.time_zone = (0, 0)
        self.call_count = 0
        self.check_at_call = 0
        self.kernel_work_ns = 0
        self.slice_start_ns = 0
        self.slice_blocks = 0
        self.slice_calls = 0
        self.work_start_ns = 0
        self.busy_count = 1

    @property
    def slice_work_ns(self) -> int:
        """How long the present slice has lasted, in its processor's time."""
        return (self.slice_blocks - self.meter.budget_left()) * NS_PER_BLOCK + (
            self.call_count - self.slice_calls
        ) * NS_PER_CALL

    @property
    def work_ns(self) -> int:
        """What all processors together have done since the machine started."""
        return self.work_start_ns + self.slice_work_ns

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the machine started (CLOCK_MONOTONIC)."""
        if self.busy_count == 1:
            return (
                self.slice_start_ns
                + (self.slice_blocks - self.meter.budget_left()) * NS_PER_BLOCK
                + (self.call_count - self.slice_calls) * NS_PER_CALL
            )
        return self.slice_start_ns + self.slice_work_ns // self.busy_count

    @property
    def realtime_ns(self) -> int:
        """Nanoseconds since the epoch (CLOCK_REALTIME)."""
        return self.realtime_offset_ns + self.now_ns

    def start_slice(self, length_ns: int, busy_count: int = 1) -> None:
        """Let the engine run for `length_ns` of a processor's time, from now.

        With `busy_count` processors at work, of which the engine is each in turn, time goes on by that
        fraction of what is executed.
        """
        work_ns = self.slice_work_ns
        self.slice_start_ns += work_ns // self.busy_count
        self.work_start_ns += work_ns
        self.busy_count = busy_count
        self.slice_calls = self.call_count
        self.slice_blocks = max(length_ns // NS_PER_BLOCK, 1)
        self.meter.set_budget(self.slice_blocks)
        # When half of it may have gone on calls; then half of the rest, and so on.
        self.check_at_call = self.call_count + max(length_ns // (2 * NS_PER_CALL), 1)

    def check_slice(self) -> None:
        """Let the calls made in this slice count: what is left of it is less than the engine knows."""
        left_ns = self.slice_blocks * NS_PER_BLOCK - self.slice_work_ns
        self.start_slice(max(left_ns, 0), self.busy_count)

    def shorten_slice(self, deadline_ns: int) -> None:
        """End the present slice at `deadline_ns` if that is earlier."""
        left_ns = self.meter.budget_left() * NS_PER_BLOCK
        wanted_ns = max((deadline_ns - self.now_ns) * self.busy_count, NS_PER_BLOCK)
        if wanted_ns < left_ns:
            self.start_slice(wanted_ns, self.busy_count)

    def spend_copying(self, byte_count: int) -> None:
        """The running system call has moved `byte_count` bytes: that takes time, and of the slice.

        Without this, a program that copies without end would get through more of it in a virtual second
        than the host in a minute.
        """
        self.spend(byte_count // BYTES_PER_BLOCK * NS_PER_BLOCK)

    def spend(self, work_ns: int) -> None:
        """The kernel has worked for `work_ns` on behalf of the running task, beyond what every call takes."""
        self.kernel_work_ns += work_ns
        self.meter.spend_budget(work_ns // NS_PER_BLOCK)

    def jump_to(self, deadline_ns: int) -> None:
        """Nobody can run before `deadline_ns`: it is now."""
        self.slice_start_ns += max(deadline_ns - self.now_ns, 0)
