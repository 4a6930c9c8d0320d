"""What sockets need of the kernel above them: who calls, the clock, timers, and chance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from procession.fs.fs_context import FsContext
    from procession.fs.inode import Inode
    from procession.fs.landlock import Domain
    from procession.fs.mounts.id_map import MountIdMap
    from procession.fs.process_id import ProcessId
    from procession.fs.user_namespace import UserNamespace


class Identity(Protocol):
    """The credentials of a task."""

    @property
    def uid(self) -> int:
        """The real user id."""

    @property
    def gid(self) -> int:
        """The real group id."""

    @property
    def euid(self) -> int:
        """The effective user id."""

    @property
    def egid(self) -> int:
        """The effective group id."""

    @property
    def fsuid(self) -> int:
        """The user whose files these are."""

    @property
    def fsgid(self) -> int:
        """The group that new files belong to."""

    @property
    def landlock(self) -> Domain:
        """The domain of Landlock, () for none."""

    @property
    def user_namespace(self) -> UserNamespace:
        """Where the ids and capabilities count."""

    @property
    def groups(self) -> tuple[int, ...]:
        """The supplementary groups."""

    @property
    def id_map(self) -> MountIdMap | None:
        """How it sees the ids of files, None for as they are."""

    def capable(self, capability: int) -> bool:
        """Whether capability number `capability` is effective over the whole machine; then it's used."""

    def has_capability(self, capability: int) -> bool:
        """Whether capability number `capability` is effective over the whole machine, of anybody."""

    def ns_capable(self, namespace: UserNamespace, capability: int) -> bool:
        """Whether it is effective over what `namespace` owns; then it's used."""

    def has_ns_capability(self, namespace: UserNamespace, capability: int) -> bool:
        """Whether it is effective over what `namespace` owns, of anybody."""

    def cap_raised(self, capability: int) -> bool:
        """Whether it is in the effective set."""

    def may_checkpoint(self, namespace: UserNamespace) -> bool:
        """Whether it may put back what was kept of a process, where `namespace` owns what that is in."""

    def capable_wrt_inode_uidgid(self, inode: Inode, capability: int) -> bool:
        """Whether it is effective over a file."""


class Frame(Protocol):
    """A system call that has slept."""

    @property
    def deadline_ns(self) -> int | None:
        """When its sleep was to end."""

    @property
    def progress(self) -> Any:
        """What it has done before it slept, None if nothing."""


class Process(Protocol):
    """A process; the kernel makes pidfds from it."""

    @property
    def pid(self) -> ProcessId:
        """Its id."""


class Caller(Protocol):
    """The task that makes a system call."""

    @property
    def group(self) -> Process:
        """Its process."""

    @property
    def command_name(self) -> bytes:
        """What its program is called (PR_SET_NAME)."""

    @property
    def pid_namespace(self) -> Any:
        """In which it's told process ids."""

    @property
    def fs(self) -> FsContext:
        """Where it is in the tree of files."""

    @property
    def credentials(self) -> Identity:
        """Who it is."""

    @property
    def has_pending_signal(self) -> bool:
        """Whether a call that sleeps is interrupted."""

    @property
    def frame(self) -> Frame | None:
        """The call in which it slept; None on a call's first run."""


class HostClock(Protocol):
    """The virtual clock."""

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the machine started."""

    @property
    def realtime_ns(self) -> int:
        """Nanoseconds since the epoch."""

    @property
    def kernel_work_ns(self) -> int:
        """How long the kernel has worked."""

    def spend_copying(self, byte_count: int) -> None:
        """So many bytes have been copied."""

    def spend_answering(self, message_count: int) -> None:
        """So many messages of netlink have been read or made."""

    def spend_stepping(self, step_count: int, load_count: int = 0) -> None:
        """So many instructions of a program have been run for a packet, so many of which looked at it."""

    def spend_checking(self, instruction_count: int) -> None:
        """So many instructions of a program have been checked, or told of."""

    def spend_delivering(self) -> None:
        """A packet has been given to one more who looks at all of them."""

    def spend_looking(self, object_count: int) -> None:
        """So many sockets have been looked at for whether they are meant."""

    def spend_linking(self) -> None:
        """An interface has been made, or taken away."""

    def spend_filtering(self, step_count: int) -> None:
        """So many expressions of rules have been run for a packet, or looked through."""


class HostTimers(Protocol):
    """The machine's timers."""

    def add(self, deadline_ns: int, kind: str, target: Any) -> Any:
        """Arm a timer."""

    def cancel(self, timer: Any) -> None:
        """Disarm it."""


class Host(Protocol):
    """The kernel."""

    @property
    def current(self) -> Caller | None:
        """The running task."""

    @property
    def clock(self) -> HostClock:
        """The virtual clock."""

    @property
    def timers(self) -> HostTimers:
        """The machine's timers."""

    @property
    def processor(self) -> int:
        """The number of the processor that runs the running task."""

    @property
    def processor_count(self) -> int:
        """How many processors the machine has."""

    def random_bytes(self, length: int) -> bytes:
        """The next bytes of the machine's random source."""

    def network_of_descriptor(self, fd: int) -> Any:
        """The network namespace that a descriptor of the running task stands for. Raises EBADF, EINVAL."""

    def generic_families(self, network: Any) -> dict[int, Any]:
        """The families of NETLINK_GENERIC that `network` has, by their ids."""

    def process_connector_of(self, network: Any) -> Any:
        """The process connector, None in other networks than the machine's first."""

    def open_network(self, network: Any) -> int:
        """A descriptor of the running task for a network namespace. Raises EMFILE, ENFILE."""

    def network_of_caller(self) -> Any:
        """The network of the running task."""

    def network_of_process(self, number: int) -> Any:
        """The network of a process, by its number in the running task's namespace. Raises ESRCH."""
