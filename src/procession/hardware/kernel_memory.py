"""What the kernel's own objects take of the machine's memory: one account for all kinds of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from procession.hardware.frame_owner import FrameOwner
    from procession.hardware.physical_memory import PhysicalMemory

# The kinds of objects, as /proc/slabinfo would name them. What each takes is below.
TASK: Final = 0
ADDRESS_SPACE: Final = 1
AREA: Final = 2
DESCRIPTOR: Final = 3
FILE: Final = 4
INODE: Final = 5
TEXT: Final = 6
SOCKET: Final = 7
SOCKET_BUFFER: Final = 8
PIPE: Final = 9
SIGNAL: Final = 10
TIMER: Final = 11
GROUPS: Final = 12
BINARY_FORMAT: Final = 13
WATCH: Final = 14
EVENT: Final = 15
LOCK: Final = 16
MOUNT: Final = 17
IPC: Final = 18
TERMINAL: Final = 19
SECCOMP: Final = 20
NAMESPACE: Final = 21
LANDLOCK: Final = 22
INTERFACE: Final = 23
WAIT: Final = 24
BPF: Final = 25
CGROUP: Final = 26
PACKET_FILTER: Final = 27
USER_FAULT: Final = 28
ABSENT_NAME: Final = 29
KEY: Final = 30
KIND_NAMES: Final = (
    "task",
    "address space",
    "area",
    "descriptor",
    "file",
    "inode",
    "text",
    "socket",
    "socket buffer",
    "pipe",
    "signal",
    "timer",
    "groups",
    "binary format",
    "watch",
    "event",
    "lock",
    "mount",
    "ipc",
    "terminal",
    "seccomp",
    "namespace",
    "landlock",
    "interface",
    "wait",
    "bpf",
    "control group",
    "packet filter",
    "user fault",
    "absent name",
    "key",
)
"""Names of the kinds, by their numbers."""

# What one object takes, in bytes: what it costs the host as an object of Python with all that hangs on it, as
# measured (tests/memory_bound), rounded up by a quarter or so; never less than Linux charges.
STACK_BYTES: Final = 16_384
"""A kernel stack: a part of what a task takes, until it has ended (THREAD_SIZE)."""
TASK_BYTES: Final = STACK_BYTES + 4_096
"""A thread: its stack, the task, registers, and the other structures that it doesn't share."""
GROUP_BYTES: Final = 4_096
"""A process beside its threads: the thread group, handlers, limits, a small table of descriptors, a process
group and a session."""
ADDRESS_SPACE_BYTES: Final = 2_048
"""An address space without its tables, which are frames, and areas."""
AREA_BYTES: Final = 384
DESCRIPTOR_BYTES: Final = 96
"""One place in a table of descriptors, which is a dict that grows by doubling."""
FILE_BYTES: Final = 1_536
"""An open file with what hangs on it: a nameless inode and its entry, an event or a timer."""
INODE_BYTES: Final = 2_048
"""An inode with its entry, or one more name of it, and an empty page cache."""
SOCKET_BYTES: Final = 4_096
"""A socket, open or not, without its file."""
PASSED_FILE_BYTES: Final = 32
"""One open file in a message."""
ABSENT_NAME_BYTES: Final = 256
"""A name that is known to be absent, and was looked up in a control group, without the name itself."""
PIPE_BYTES: Final = 2_048
SIGNAL_BYTES: Final = 512
POSIX_TIMER_BYTES: Final = 1_024
GROUP_ID_BYTES: Final = 48
"""One supplementary group: an int and its place in a tuple."""
BINARY_FORMAT_BYTES: Final = 4_096
WATCH_BYTES: Final = 768
"""What an epoll instance or inotify watches, and a trigger of pressure."""
EVENT_BYTES: Final = 256
"""An event of inotify, without its name."""
LOCK_BYTES: Final = 768
MOUNT_BYTES: Final = 4_096
SECCOMP_BYTES: Final = 2_048
"""A filter of system calls without its instructions."""
INSTRUCTION_BYTES: Final = 160
"""One instruction: a tuple of four ints."""
DECISION_BYTES: Final = 384
"""What is kept of a filter's answer to one call; as much again for each program that must go on."""
NAMESPACE_BYTES: Final = 8_192
"""A namespace of any kind but a user namespace, without what is in it."""
USER_NAMESPACE_BYTES: Final = 4_096
LANDLOCK_RULE_BYTES: Final = 128
"""One rule of Landlock's."""
EXTENT_BYTES: Final = 160
"""One line of a map of ids."""
INTERFACE_BYTES: Final = 4_096
"""A network interface."""
SETTING_BYTES: Final = 160
"""What is set of an interface and isn't what it was at first."""
NAME_BYTES: Final = 256
"""Another name of an interface."""
ROUTE_BYTES: Final = 768
"""A route, an address of an interface, or a neighbour, with their places in tables and their timers."""
WAIT_BYTES: Final = 256
"""One of many queues on which a task waits: its place there and in the call's own table."""
BPF_BYTES: Final = 4_096
"""A program of eBPF without its instructions; Linux takes a page at least."""
EBPF_INSTRUCTION_BYTES: Final = 256
"""An instruction of eBPF: a tuple of five ints."""
CONTROLLER_BYTES: Final = 1_024
"""What a controller counts of one control group, which itself is charged as its directory."""
PRESSURE_BYTES: Final = 2_048
"""The pressure on one control group: three pairs of lines with their averages."""
TERMINAL_BYTES: Final = 32_768
"""A pair of terminals with what is typed and not read: 4,096 bytes each way, kept as characters."""
USER_FAULT_BYTES: Final = 128
"""What is marked of one page for userfaultfd(2): its place in a table."""
USER_FAULT_EVENT_BYTES: Final = 512
"""A fault or another event of userfaultfd(2) that waits, beside the bytes that are to be written."""
KEY_BYTES: Final = 1_536
"""A key or keyring, beside its description and its data."""
KEY_LINK_BYTES: Final = 256
"""A key's place in a keyring."""

_BATCH: Final = 64
"""So many frames are held at a time, and kept to spare, in a machine of 64 MiB or more."""


class KernelMemory:
    """How much the kernel's objects take, in bytes (as memcg's kmem counts it).

    Objects of the kernel are the host's objects, outside of the machine's frames. So that both together stay
    within the machine's memory, frames are held, which means out of use, for whatever objects take: one pool
    serves both, and what is used up by the one kind makes the other fail, with the OOM killer for both.

    Whoever makes an object charges it before, and whoever forgets it gives the same number of bytes back.
    `used_bytes` is what objects take now, `kinds` the same by kind, `held_bytes` the size of the held frames.
    """

    __slots__ = ("batch", "held_bytes", "kinds", "memory", "slack_bytes", "used_bytes")

    def __init__(self, memory: PhysicalMemory) -> None:
        self.memory = memory
        self.used_bytes = 0
        self.held_bytes = 0
        self.kinds = [0] * len(KIND_NAMES)
        self.batch = min(max(memory.frame_count >> 8, 1), _BATCH)
        self.slack_bytes = 2 * self.batch << 12

    def charge(self, kind: int, size: int) -> None:
        """Objects of `kind` are to take `size` bytes more. Raises OutOfFrames, nothing changed."""
        payer = self.memory.payer
        if payer is not None:
            payer.charge_kernel(kind, size)
        used = self.used_bytes + size
        if used > self.held_bytes and not self._hold(used - self.held_bytes):
            if payer is not None:
                payer.uncharge_kernel(kind, size)
            self.memory.refuse()
        self.used_bytes = used
        self.kinds[kind] += size

    def charge_always(self, kind: int, size: int) -> None:
        """As `charge` for what can't fail; frames that aren't there are held as soon as there are some.

        Only for what is bounded otherwise. Like GFP_NOFAIL.
        """
        payer = self.memory.payer
        if payer is not None:
            payer.charge_kernel_always(kind, size)
        self.used_bytes += size
        self.kinds[kind] += size

    def can_charge(self, size: int) -> bool:
        """Whether `size` bytes could be charged now; nobody is killed if they can't.

        Like GFP_NOWAIT.
        """
        payer = self.memory.payer
        if payer is not None and not payer.can_charge(size):
            return False
        missing = self.used_bytes + size - self.held_bytes
        return missing <= 0 or self._hold(missing)

    def uncharge(self, kind: int, size: int) -> None:
        """Objects of `kind` take `size` bytes less."""
        payer = self.memory.payer
        if payer is not None:
            payer.uncharge_kernel(kind, size)
        self.used_bytes = used = self.used_bytes - size
        self.kinds[kind] -= size
        if self.held_bytes - used > self.slack_bytes:
            self._give(self.slack_bytes >> 1)

    def charge_for(self, payer: FrameOwner | None, kind: int, size: int, *, always: bool = False) -> None:
        """As `charge`, or `charge_always`, of what belongs to `payer` whoever runs."""
        memory = self.memory
        memory.payer, running = payer, memory.payer
        try:
            if always:
                self.charge_always(kind, size)
            else:
                self.charge(kind, size)
        finally:
            memory.payer = running

    def uncharge_for(self, payer: FrameOwner | None, kind: int, size: int) -> None:
        """As `uncharge` of what was charged for `payer`."""
        memory = self.memory
        memory.payer, running = payer, memory.payer
        self.uncharge(kind, size)
        memory.payer = running

    def _hold(self, missing: int) -> bool:
        """Hold frames for `missing` bytes, and some to spare; whether there were any."""
        memory = self.memory
        count = (missing + 4095) >> 12
        unheld = memory.unheld_frames
        if count + self.batch <= unheld:
            count += self.batch
        elif count > unheld + memory.spare_frames:
            return False
        if not memory.hold(count):
            return False
        self.held_bytes += count << 12
        return True

    @property
    def spare_frames(self) -> int:
        """How many of the held frames nothing needs."""
        return max(self.held_bytes - self.used_bytes, 0) >> 12

    def _give(self, left_bytes: int) -> int:
        """Put frames to spare into use again but for `left_bytes`; how many it were."""
        count = (self.held_bytes - self.used_bytes - left_bytes) >> 12
        if count <= 0:
            return 0
        self.held_bytes -= count << 12
        self.memory.give_held(count)
        return count

    def give_spare(self) -> int:
        """Put all frames to spare into use: there are no others. How many it were."""
        return self._give(0)
