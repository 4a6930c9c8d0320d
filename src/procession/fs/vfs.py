"""What all file systems of one machine share: memory, clock, device numbers, drivers of special files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from procession.abi.device_numbers import encode_device
from procession.fs.accounts import FileAccounts
from procession.fs.dentry import Dentry, Path
from procession.fs.inode import Inode
from procession.fs.kernel_log import KernelLog
from procession.fs.lock import LockRequests
from procession.fs.mounts.mount import Mount, MountTable
from procession.fs.namespace import NamespaceTable
from procession.fs.user_namespace import UserNamespace

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.file_events import FileEvents
    from procession.fs.mounts.namespace import MountNamespace
    from procession.fs.permission import Subject
    from procession.fs.terminal.tty import TtyFile
    from procession.hardware.physical_memory import PhysicalMemory


class Clock(Protocol):
    """The virtual clock."""

    @property
    def realtime_ns(self) -> int:
        """Nanoseconds since the epoch, as CLOCK_REALTIME says."""

    @property
    def latest_realtime_ns(self) -> int:
        """What `realtime_ns` can't be past by a second."""

    @property
    def now_ns(self) -> int:
        """Nanoseconds of the monotonic clock."""

    def spend_walking(self, component_count: int, /) -> None:
        """A path of so many names has been walked along: that takes time."""

    def spend_showing(self, byte_count: int, /) -> None:
        """A file of so many bytes that shows the kernel's state has been made."""

    def spend_making(self) -> None:
        """A file has been made."""

    def spend_listing(self, entry_count: int, /) -> None:
        """The list of a directory of so many entries has been made."""

    def spend_mounts(self, mount_count: int, /) -> None:
        """So many mounts, of which the first is the call's, have been copied, changed or taken away."""

    def spend_showing_mounts(self, mount_count: int, /) -> None:
        """So many mounts have been told of in a list."""

    def spend_offering(self, watch_count: int, /) -> None:
        """An event has been shown to so many who watch, whom it may concern."""

    def spend_telling(self) -> None:
        """An event of a file has been told."""

    def spend_random(self, byte_count: int, /) -> None:
        """So many random bytes have been made."""

    def spend_looking(self, object_count: int, /) -> None:
        """So many locks have been looked at for whether they are in the way."""

    def spend_typing(self, character_count: int, /) -> None:
        """A terminal has looked at so many characters one by one."""


class RandomSource(Protocol):
    """Where /dev/urandom's bytes come from: deterministic, recorded with the run."""

    def random_bytes(self, length: int) -> bytes:
        """The next `length` bytes."""


class Caller(Protocol):
    """Who makes the system call that is being made."""

    @property
    def acting_subject(self) -> Subject | None:
        """The running task's credentials; None while no task runs."""

    @property
    def acting_name(self) -> bytes:
        """The running task's name; b"" while no task runs."""

    @property
    def mount_namespace(self) -> MountNamespace:
        """That of the running task."""

    def note_privilege(self) -> None:
        """The running task has something done that takes a capability."""


class CharacterDriver(Protocol):
    """What opens the character devices of one major number."""

    def open(self, path: Path, flags: int, subject: Subject) -> File:
        """Open the device at `path` by its `inode.rdev`. Raises ENXIO if there is no such device."""


class DeviceGate(Protocol):
    """What decides which devices the running task may use."""

    def check(self, mode: int, device: int, access: int) -> None:
        """Raise EPERM unless it may make a node (1), read (2) or write (4), as the bits of `access` say."""


class Vfs:
    """The virtual file system of one machine.

    `character_drivers` maps a major number to what opens such devices. `namespaces` are all that there are
    of any kind, `init_user_namespace` is the first user namespace, which everything belongs to at the start.
    """

    __slots__ = (
        "accounts",
        "caller",
        "character_drivers",
        "clock",
        "console_target",
        "device_gate",
        "file_events",
        "has_directory_notification",
        "has_leases",
        "init_user_namespace",
        "lease_break_time_s",
        "lock_requests",
        "lock_number",
        "locked_inodes",
        "log",
        "memory",
        "mount_table",
        "namespaces",
        "next_minor",
        "protected_fifos",
        "protected_hardlinks",
        "protected_regular",
        "protected_symlinks",
        "pseudo_mounts",
        "random",
    )

    def __init__(self, memory: PhysicalMemory, clock: Clock, random: RandomSource) -> None:
        self.memory = memory
        self.accounts = FileAccounts(memory.account)
        self.clock = clock
        self.namespaces = NamespaceTable()
        self.init_user_namespace = UserNamespace(self.namespaces, None)
        self.random = random
        # None as long as there are no tasks.
        self.caller: Caller | None = None
        self.character_drivers: dict[int, CharacterDriver] = {}
        # Who is asked before a device is used; None while nobody restricts them.
        self.device_gate: DeviceGate | None = None
        # The terminal to which output of the console goes (in Linux, redirect).
        self.console_target: TtyFile | None = None
        self.next_minor = 1
        self.mount_table = MountTable()
        # The POSIX locks that tasks wait for, on whatever file: who waits for whom (in Linux, blocked_hash).
        self.lock_requests = LockRequests()
        # The files on which there are locks, in the order in which they were first locked.
        self.lock_number = 0
        self.locked_inodes: dict[Inode, None] = {}
        # proc_sys_fs(5): whether links, and O_CREAT in sticky directories, are kept from being abused.
        self.protected_symlinks = 0
        self.protected_hardlinks = 0
        self.protected_regular = 0
        self.protected_fifos = 0
        # proc_sys_fs(5): leases-enable, lease-break-time, dir-notify-enable.
        self.has_leases = self.has_directory_notification = 1
        self.lease_break_time_s = 45
        self.log = KernelLog(clock)
        self.pseudo_mounts: dict[str, Mount] = {}
        # Who is told what happens to files; None until somebody wants to know.
        self.file_events: FileEvents | None = None

    def allocate_device(self) -> int:
        """The next anonymous device number, 0:N (Linux: fs/super.c, get_anon_bdev)."""
        minor = self.next_minor
        self.next_minor = minor + 1
        return encode_device(0, minor)

    def acting_subject(self, opener: Subject) -> Subject:
        """Whose permissions count where a file is used that `opener` has opened: who uses it, as a rule.

        Linux: include/linux/cred.h, current_cred.
        """
        subject = None if self.caller is None else self.caller.acting_subject
        return opener if subject is None else subject

    def console_output(self) -> TtyFile | None:
        """The terminal to which output of the console goes, as long as nobody hangs it up.

        Linux: drivers/tty/tty_io.c, __tty_hangup.
        """
        if self.console_target is not None and self.console_target.is_hung_up:
            self.redirect_console(None)
        return self.console_target

    def redirect_console(self, target: TtyFile | None) -> None:
        """Let the output of the console go to `target`, which is held; None: to the console again."""
        old, self.console_target = self.console_target, target
        if target is not None:
            target.acquire()
        if old is not None:
            old.put()

    def pseudo_path(self, mount: Mount, name: bytes, inode: Inode) -> Path:
        """The path of a file on a pseudo mount: /proc/PID/fd shows `name`, as in `pipe:[7]`."""
        return Path(mount, Dentry(name, mount.root, inode))
