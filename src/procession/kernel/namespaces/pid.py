"""Pid namespaces: which processes a task sees, and under which numbers (pid_namespaces(7))."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EAGAIN, EEXIST, EINVAL, ENOMEM, EPERM
from procession.fs.namespace import CLONE_NEWPID, Namespace, NamespaceTable
from procession.kernel.pid import Pid

if TYPE_CHECKING:
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.accounting import AccountingFile
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task, ThreadGroup

PID_MAX = 32768
"""kernel.pid_max as Linux sets it for a machine of up to 32 processors."""
RESERVED_PIDS = 300
"""After the first time round, ids below this are left alone (Linux: include/linux/pid.h, RESERVED_PIDS)."""
MAX_PID_NS_LEVEL = 32
"""How deep pid namespaces may be nested below the machine's first."""


class NoexecScope(IntEnum):
    """vm.memfd_noexec: what memfd_create(2) makes (Linux: include/linux/pid_namespace.h,
    MEMFD_NOEXEC_SCOPE_EXEC).
    """

    EXEC = 0
    NOEXEC_SEAL = 1
    """Files that can't be executed, unless the caller asks for one that can."""
    NOEXEC_ENFORCED = 2
    """None that can."""


class PidNamespace(Namespace):
    """A pid namespace (Linux: include/linux/pid_namespace.h, struct pid_namespace).

    `parent` is the one around it, `level` counts those, and `ancestry` has them all from the machine's first
    to this one. `by_number` are those that are seen in it; `last` is the number given last and `pid_max`
    the first that isn't given (kernel.pid_max).

    `child_reaper` is its init, the process with number 1 here, which gets the orphans; None until it's made.
    When that ends nobody can be made here any more (`is_closed`), and the last of its threads is `ending`
    while it waits for the others to be gone. `accounting` is where its processes are recorded (acct(2)),
    `memfd_noexec` what was said of files in memory here.
    """

    __slots__ = (
        "accounting",
        "ancestry",
        "by_number",
        "child_reaper",
        "ending",
        "is_closed",
        "last",
        "level",
        "memfd_noexec",
        "parent",
        "pid_max",
    )

    kind: ClassVar[int] = CLONE_NEWPID
    type_name: ClassVar[str] = "pid"

    def __init__(
        self, table: NamespaceTable, owner: UserNamespace, parent: PidNamespace | None, number: int = 0
    ) -> None:
        super().__init__(table, owner, number)
        self.parent = parent
        if parent is not None:
            parent.acquire()
        self.level: int = 0 if parent is None else parent.level + 1
        around: tuple[PidNamespace, ...] = () if parent is None else parent.ancestry
        self.ancestry: tuple[PidNamespace, ...] = (*around, self)
        self.by_number: dict[int, Pid] = {}
        self.last = 0
        self.child_reaper: ThreadGroup | None = None
        self.ending: Task | None = None
        self.is_closed = False
        self.accounting: AccountingFile | None = None
        # Linux: kernel/pid_namespace.c, create_pid_namespace.
        self.memfd_noexec: int = int(NoexecScope.EXEC) if parent is None else parent.effective_noexec
        self.pid_max: int = PID_MAX if parent is None else parent.pid_max

    @property
    def effective_noexec(self) -> int:
        """vm.memfd_noexec here: the strictest of this namespace and those around it.

        Linux: include/linux/pid_namespace.h, pidns_memfd_noexec_scope.
        """
        return max(namespace.memfd_noexec for namespace in self.ancestry)

    def end(self) -> None:
        """Linux: kernel/pid_namespace.c, put_pid_ns."""
        if self.parent is not None:
            self.parent.put()

    def allocate(self, wanted: tuple[int, ...] = (), credentials: Credentials | None = None) -> Pid:
        """A new id, in use at once in this namespace and all around it; it names nothing yet.

        `wanted` are the numbers asked for by who has `credentials`, this namespace's first and then those
        of the namespaces around (set_tid of clone3(2)). Raises EAGAIN when all numbers are in use, EINVAL
        for one out of range, EEXIST for one in use and EPERM. Linux: kernel/pid.c, alloc_pid.
        """
        ancestry = self.ancestry
        if not wanted and len(ancestry) == 1:
            numbers: tuple[int, ...] = (self.next_number(),)
        else:
            if len(wanted) > len(ancestry):
                raise EINVAL("more numbers than there are pid namespaces around")
            found: list[int] = []
            for position, namespace in enumerate(reversed(ancestry)):
                if position < len(wanted):
                    assert credentials is not None
                    found.append(namespace.check_wanted(wanted[position], credentials))
                else:
                    found.append(namespace.next_number())
            numbers = tuple(reversed(found))
        if self.is_closed:
            raise ENOMEM("the pid namespace's init has ended")
        pid = Pid(self, numbers)
        if len(numbers) == 1:
            self.by_number[numbers[0]] = pid
            return pid
        for namespace, number in zip(ancestry, numbers, strict=True):
            namespace.by_number[number] = pid
        self.acquire()
        return pid

    def next_number(self) -> int:
        """The next number that is free here, in a cycle. Raises EAGAIN."""
        pids = self.by_number
        number = self.last + 1
        for _ in range(self.pid_max):
            if number >= self.pid_max:
                number = RESERVED_PIDS
            if number not in pids:
                self.last = number
                return number
            number += 1
        raise EAGAIN("every process id is in use")

    def check_wanted(self, number: int, credentials: Credentials) -> int:
        """Raise EINVAL, EPERM or EEXIST unless `number` may be given here; the number."""
        if not 0 < number < self.pid_max:
            raise EINVAL(f"no process id {number}")
        if number != 1 and self.child_reaper is None:
            raise EINVAL("the first process of a pid namespace is number 1")
        if not credentials.may_checkpoint(self.owner):
            raise EPERM("choosing a process id takes CAP_CHECKPOINT_RESTORE")
        if number in self.by_number:
            raise EEXIST(f"{number} is in use")
        return number

    def tasks(self) -> list[Task]:
        """All that are seen here, zombies included."""
        return [pid.task for pid in self.by_number.values() if pid.task is not None]

    def pid_freed(self) -> None:
        """One number less is in use here, which the namespace's ending init may wait for."""
        ending = self.ending
        if ending is not None and self.has_only(ending.group):
            self.ending = None
            ending.wake()

    def has_only(self, group: ThreadGroup) -> bool:
        """Whether nobody but the threads of its init, `group`, is left."""
        return len(self.by_number) <= len(group.threads)
