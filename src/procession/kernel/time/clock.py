"""Virtual time: it goes on with executed work and jumps when every task sleeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from procession.fs.wait_queue import WaitQueue
from procession.hardware.breath import take_breath
from procession.hardware.engine import EngineCapabilities
from procession.kernel.time.costs import (
    BPF_LOAD_NS,
    BPF_STEP_NS,
    BPF_VERIFIED_NS,
    CHARACTER_NS,
    COPIED_BYTES,
    COPY_NS,
    DELIVERY_NS,
    FILE_EVENT_NS,
    FILTER_STEP_NS,
    INTERFACE_NS,
    MOUNT_NS,
    NAMED_ENTRY_NS,
    NETLINK_MESSAGE_NS,
    NEW_FILE_NS,
    OFFERED_EVENT_NS,
    PATH_COMPONENT_NS,
    PROC_FILE_NS,
    RANDOM_BYTES,
    RANDOM_NS,
    SEEN_SOCKET_NS,
    SHOWN_BYTE_NS,
    SHOWN_MOUNT_NS,
)

if TYPE_CHECKING:
    from procession.kernel.time.steering import Steering

DEFAULT_EPOCH_NS: Final = 1_893_456_000 * 10**9
"""When a machine's life begins unless it's told otherwise: 2030-01-01, so that its files are of the past."""
BOOT_NS: Final = 8_000_000_000
"""How long the machine took to boot: what its clocks say when the first program begins.

On Linux no program ever sees the first moments of CLOCK_MONOTONIC, and some take it that nobody does: 0 is
"never" with them, and a few seconds ago is a time too. A virtual machine boots in about that long.
"""
_LEAST_CHECK_NS: Final = 400


class WorkMeter(Protocol):
    """What counts executed work: the engine."""

    capabilities: EngineCapabilities

    def set_budget(self, units: int) -> None:
        """Start counting down from `units`."""

    def budget_left(self) -> int:
        """What is left."""


class Clock:
    """CLOCK_MONOTONIC and CLOCK_REALTIME of a machine.

    `kernel_work_ns` sums what the kernel's works are taken to last (`costs`): the dispatcher adds to it for
    each call, and `spend` does. A slice starts with `start_slice`; until the next one, time is the slice's
    start, what was executed since, and the kernel's work since. The engine counts the program's work alone,
    in units of `unit_ns`: when `kernel_work_ns` reaches `check_at_work_ns`, it's told anew what is left of
    the slice. `slice_base_ns` is what the engine was given at the slice's start, less what the kernel had
    worked by then. `set_queue` is woken when CLOCK_REALTIME is set: whoever waits for a time of day looks
    again. `time_zone` is what settimeofday(2) was told: minutes west of Greenwich, and a type of daylight
    saving time. `steering` is what adjtimex(2) has asked for, None before.
    """

    __slots__ = (
        "busy_count",
        "check_at_work_ns",
        "kernel_work_ns",
        "meter",
        "realtime_offset_ns",
        "set_queue",
        "slice_base_ns",
        "slice_kernel_work_ns",
        "slice_start_ns",
        "steering",
        "time_zone",
        "unit_ns",
        "work_start_ns",
    )

    OUTSIDE_STATE: ClassVar = ("meter",)

    def __init__(self, meter: WorkMeter, epoch_ns: int = DEFAULT_EPOCH_NS) -> None:
        self.meter = meter
        self.unit_ns = meter.capabilities.unit_ns
        self.realtime_offset_ns = epoch_ns - BOOT_NS
        self.set_queue = WaitQueue()
        self.time_zone = (0, 0)
        self.steering: Steering | None = None
        self.kernel_work_ns = 0
        self.check_at_work_ns = 0
        self.slice_start_ns = BOOT_NS
        self.slice_base_ns = 0
        self.slice_kernel_work_ns = 0
        self.work_start_ns = 0
        self.busy_count = 1

    @property
    def slice_work_ns(self) -> int:
        """How long the present slice has lasted, in its processor's time."""
        return self.slice_base_ns + self.kernel_work_ns - self.meter.budget_left() * self.unit_ns

    @property
    def slice_left_ns(self) -> int:
        """What is left of the present slice, in its processor's time; below zero if it's overdrawn."""
        return self.meter.budget_left() * self.unit_ns - self.kernel_work_ns + self.slice_kernel_work_ns

    @property
    def work_ns(self) -> int:
        """What all processors together have done since the first program began."""
        return (
            self.work_start_ns
            + self.slice_base_ns
            + self.kernel_work_ns
            - self.meter.budget_left() * self.unit_ns
        )

    def __repr__(self) -> str:
        return f"<Clock, {self.run_ns / 10**9:.9f} s since the start>"

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the machine was turned on (CLOCK_MONOTONIC)."""
        if self.busy_count == 1:
            return (
                self.slice_start_ns
                + self.slice_base_ns
                + self.kernel_work_ns
                - self.meter.budget_left() * self.unit_ns
            )
        return self.slice_start_ns + self.slice_work_ns // self.busy_count

    @property
    def run_ns(self) -> int:
        """Nanoseconds since the first program began: what who watches the machine is told."""
        return self.now_ns - BOOT_NS

    @property
    def latest_realtime_ns(self) -> int:
        """What `realtime_ns` would be at the end of the present slice, which is known without a look at it.

        A slice may be overdrawn by less than a second.
        """
        return self.realtime_offset_ns + self.slice_start_ns + self.slice_base_ns + self.kernel_work_ns

    @property
    def realtime_ns(self) -> int:
        """Nanoseconds since the epoch (CLOCK_REALTIME)."""
        return self.realtime_offset_ns + self.now_ns

    def start_slice(self, length_ns: int, busy_count: int = 1) -> None:
        """Let the engine run for `length_ns` of a processor's time, from now.

        With `busy_count` processors at work, of which the engine is each in turn, time goes on by that
        fraction of what is executed.
        """
        meter, unit_ns, kernel_work_ns = self.meter, self.unit_ns, self.kernel_work_ns
        work_ns = self.slice_base_ns + kernel_work_ns - meter.budget_left() * unit_ns
        old_count = self.busy_count
        self.slice_start_ns += work_ns if old_count == 1 else work_ns // old_count
        self.work_start_ns += work_ns
        self.busy_count = busy_count
        self.slice_kernel_work_ns = kernel_work_ns
        units = length_ns // unit_ns
        if units < 1:
            units = 1
        self.slice_base_ns = units * unit_ns - kernel_work_ns
        meter.set_budget(units)
        if self.steering is not None and self.steering.is_due(self.slice_start_ns):
            self.steer()
        # When half of it may have gone on the kernel's work; then half of the rest, and so on.
        check_ns = length_ns // 2
        self.check_at_work_ns = kernel_work_ns + (check_ns if check_ns > _LEAST_CHECK_NS else _LEAST_CHECK_NS)

    def steer(self) -> None:
        """Let CLOCK_REALTIME have what it has gained or lost since the last time.

        Whoever waits for a time of day looks again.
        Linux: kernel/time/timekeeping.c, accumulate_nsecs_to_secs.
        """
        if self.steering is not None:
            now_ns = self.now_ns
            gained_ns = self.steering.fold(now_ns, self.realtime_offset_ns + self.steering.since_ns)
            if gained_ns:
                self.realtime_offset_ns += gained_ns
                self.set_queue.wake_all()

    def check_slice(self) -> None:
        """Let the kernel's work in this slice count: what is left of it is less than the engine knows."""
        self.start_slice(max(self.slice_left_ns, 0), self.busy_count)

    def shorten_slice(self, deadline_ns: int) -> None:
        """End the present slice at `deadline_ns` if that is earlier."""
        self.limit_slice((deadline_ns - self.now_ns) * self.busy_count)

    def limit_slice(self, work_ns: int) -> None:
        """End the present slice when its processor has worked for `work_ns` more, if that is earlier."""
        wanted_ns = max(work_ns, self.unit_ns)
        if wanted_ns < self.slice_left_ns:
            self.start_slice(wanted_ns, self.busy_count)

    def spend(self, work_ns: int) -> None:
        """The kernel has worked for `work_ns` on behalf of the running task, beyond what every call takes."""
        self.kernel_work_ns = spent_ns = self.kernel_work_ns + work_ns
        if spent_ns >= self.check_at_work_ns:
            self.check_slice()
            take_breath()

    def spend_copying(self, byte_count: int) -> None:
        """The running system call has moved `byte_count` bytes: that takes time, and of the slice.

        Without this, a program that copies without end would get through more of it in a virtual second
        than the host in a minute.
        """
        self.spend(byte_count // COPIED_BYTES * COPY_NS)

    def spend_walking(self, component_count: int) -> None:
        """A path of so many names has been walked along."""
        self.spend(component_count * PATH_COMPONENT_NS)

    def spend_making(self) -> None:
        """A file has been made."""
        self.spend(NEW_FILE_NS)

    def spend_answering(self, message_count: int) -> None:
        """So many messages of netlink have been read or made: one call may ask for a lot."""
        self.spend(message_count * NETLINK_MESSAGE_NS)

    def spend_stepping(self, step_count: int, load_count: int = 0) -> None:
        """So many instructions of a filter have been run, so many of which looked at a packet."""
        self.spend(step_count * BPF_STEP_NS + load_count * BPF_LOAD_NS)

    def spend_checking(self, instruction_count: int) -> None:
        """So many instructions of a filter have been checked, or told of."""
        self.spend(instruction_count * BPF_VERIFIED_NS)

    def spend_delivering(self) -> None:
        """A packet has been given to one more who looks at all of them."""
        self.spend(DELIVERY_NS)

    def spend_looking(self, object_count: int) -> None:
        """So many sockets, locks or areas have been looked at for whether they are meant."""
        self.spend(object_count * SEEN_SOCKET_NS)

    def spend_linking(self) -> None:
        """An interface has been made, or taken away."""
        self.spend(INTERFACE_NS)

    def spend_filtering(self, step_count: int) -> None:
        """So many expressions of rules have been run for a packet, or looked through."""
        self.spend(step_count * FILTER_STEP_NS)

    def spend_showing(self, byte_count: int) -> None:
        """A file of so many bytes that shows the kernel's state has been made."""
        self.spend(PROC_FILE_NS + byte_count * SHOWN_BYTE_NS)

    def spend_listing(self, entry_count: int) -> None:
        """The list of a directory of so many entries has been made."""
        self.spend(entry_count * NAMED_ENTRY_NS)

    def spend_mounts(self, mount_count: int) -> None:
        """So many mounts, of which the first is the call's, have been copied, changed or taken away."""
        if mount_count > 1:
            self.spend((mount_count - 1) * MOUNT_NS)

    def spend_showing_mounts(self, mount_count: int) -> None:
        """So many mounts have been told of in a list."""
        self.spend(mount_count * SHOWN_MOUNT_NS)

    def spend_offering(self, watch_count: int) -> None:
        """An event has been shown to so many who watch, whom it may concern."""
        if watch_count > 1:
            self.spend((watch_count - 1) * OFFERED_EVENT_NS)

    def spend_telling(self) -> None:
        """An event of a file has been told."""
        self.spend(FILE_EVENT_NS)

    def spend_random(self, byte_count: int) -> None:
        """So many random bytes have been made."""
        self.spend(byte_count // RANDOM_BYTES * RANDOM_NS)

    def spend_typing(self, character_count: int) -> None:
        """A terminal has looked at so many characters one by one."""
        self.spend(character_count * CHARACTER_NS)

    def jump_to(self, deadline_ns: int) -> None:
        """Nobody can run before `deadline_ns`: it is now."""
        self.slice_start_ns += max(deadline_ns - self.now_ns, 0)
