"""What a machine calls itself: uname(2)'s names, and how a personality changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EINVAL, EPERM
from procession.abi.personality import PER_MASK, ExecutionDomain, PersonalityFlag
from procession.abi.utsname import Utsname
from procession.fs.namespace import CLONE_NEWUTS, Namespace, NamespaceTable
from procession.fs.wait_queue import WaitQueue
from procession.kernel.security.capability import CAP_SYS_ADMIN

if TYPE_CHECKING:
    from procession.abi.utsname import Utsname
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.task import Task

NAME_MAX = 64
"""The longest host name or domain name, in bytes (__NEW_UTS_LEN)."""
DEFAULT_HOST_NAME = "procession"
RELEASE = b"6.12.0"
"""What of later releases is there, programs find out by asking for it, not by this."""
HOST_NAME, DOMAIN_NAME = range(2)
"""Places in `kernel.name_changes`."""
_UNAME26 = int(PersonalityFlag.UNAME26)
_PER_LINUX32 = int(ExecutionDomain.PER_LINUX32)


class NameChanges:
    """How often a name has changed in any namespace, and who waits for that (in Linux, struct
    ctl_table_poll).
    """

    __slots__ = ("count", "queue")

    def __init__(self) -> None:
        self.count = 0
        self.queue = WaitQueue()

    def note(self) -> None:
        """It has. Linux: kernel/utsname_sysctl.c, uts_proc_notify."""
        self.count += 1
        self.queue.wake_all()


def set_host_name(task: Task, name: bytes) -> None:
    """Change what the task's machine calls itself."""
    task.namespaces.uts.host_name = name
    task.kernel.name_changes[HOST_NAME].note()


def set_domain_name(task: Task, name: bytes) -> None:
    """Change the task's machine's domain."""
    task.namespaces.uts.domain_name = name
    task.kernel.name_changes[DOMAIN_NAME].note()


class UtsNamespace(Namespace):
    """The names of a machine, as a group of tasks sees them (in Linux, struct uts_namespace): 64 bytes
    each.
    """

    __slots__ = ("domain_name", "host_name", "machine", "release", "system_name", "version")

    kind: ClassVar[int] = CLONE_NEWUTS
    type_name: ClassVar[str] = "uts"

    def __init__(
        self,
        table: NamespaceTable,
        owner: UserNamespace,
        number: int = 0,
        host_name: bytes = DEFAULT_HOST_NAME.encode(),
    ) -> None:
        super().__init__(table, owner, number)
        self.system_name = b"Linux"
        self.host_name = host_name[:NAME_MAX]
        self.release = RELEASE
        self.version = b"#1 SMP PREEMPT_DYNAMIC Procession"
        self.machine = b"x86_64"
        self.domain_name = b"(none)"

    def copy(self, owner: UserNamespace) -> UtsNamespace:
        """One with the same names. Linux: kernel/utsname.c, clone_uts_ns."""
        copy = UtsNamespace(self.table, owner, 0, self.host_name)
        copy.domain_name = self.domain_name
        return copy

    def names_for(self, personality: int) -> Utsname:
        """What a task of that personality is told. Linux: kernel/sys.c, override_release."""
        release, machine = self.release, self.machine
        if personality & _UNAME26:
            # Old programs took versions of two parts for broken: 6.12 is 2.6.(12 + 60).
            release = b"2.6.%d" % (int(release.split(b".")[1]) + 60)
        if personality & PER_MASK == _PER_LINUX32:
            machine = b"i686"
        return Utsname(self.system_name, self.host_name, release, self.version, machine, self.domain_name)


def check_name_change(task: Task, length: int) -> None:
    """Raise EPERM or EINVAL unless `task` may set a name of `length` bytes (sethostname(2))."""
    if not task.credentials.ns_capable(task.namespaces.uts.owner, CAP_SYS_ADMIN):
        raise EPERM("setting the machine's names takes CAP_SYS_ADMIN")
    if not 0 <= length <= NAME_MAX:
        raise EINVAL(f"a name of {length} bytes")
