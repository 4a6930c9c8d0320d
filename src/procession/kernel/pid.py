"""Process ids: an object for each, with a number in every pid namespace in which it's seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from procession.fs.inode import Inode
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.session import ProcessGroup, Session
    from procession.kernel.task import Task
    from procession.kernel.time.clock import Clock


class Pid:
    """What names a task, a thread group, a process group and a session.

    Linux: include/linux/pid.h, struct pid.

    `namespace` is the one that it was made in, which is its bearer's, and `own_number` the number there.
    `numbers` has all, from that in the machine's first namespace down to its own. `task` bears it, a zombie
    too; the thread group that it names is that of `task`, if that is the leader. The numbers are free again
    when the object names nothing any more. Descriptors of it share `inode`, None before the first one.

    A number is looked up by `find_pid` and said by `number_in`, and it's said only when it's given to
    somebody, in that reader's namespace.
    """

    __slots__ = ("inode", "namespace", "numbers", "own_number", "process_group", "session", "task")

    def __init__(self, namespace: PidNamespace, numbers: tuple[int, ...]) -> None:
        self.namespace = namespace
        self.numbers = numbers
        self.own_number: int = numbers[-1]
        self.inode: Inode | None = None
        self.task: Task | None = None
        self.process_group: ProcessGroup | None = None
        self.session: Session | None = None

    def number_in(self, namespace: PidNamespace) -> int:
        """Its number in `namespace`, 0 if it isn't seen there. Linux: kernel/pid.c, pid_nr_ns."""
        ancestry = self.namespace.ancestry
        level = namespace.level
        return self.numbers[level] if level < len(ancestry) and ancestry[level] is namespace else 0

    def numbers_from(self, namespace: PidNamespace) -> tuple[int, ...]:
        """Its numbers in `namespace` and in those below, down to its own; none if it isn't seen there."""
        return self.numbers[namespace.level :] if self.number_in(namespace) else ()

    @property
    def global_number(self) -> int:
        """Its number in the machine's first namespace, for who watches the machine from outside."""
        return self.numbers[0]

    @property
    def is_first(self) -> bool:
        """Whether this is the machine's init's (in Linux, is_global_init)."""
        return self.numbers[0] == 1

    def free_if_unused(self) -> None:
        """It names one thing less: after the last its numbers are free. Linux: kernel/pid.c, free_pid."""
        if self.task is None and self.process_group is None and self.session is None:
            numbers = self.numbers
            if len(numbers) == 1:
                del self.namespace.by_number[numbers[0]]
                return
            for namespace, number in zip(self.namespace.ancestry, numbers, strict=True):
                del namespace.by_number[number]
                namespace.pid_freed()
            self.namespace.put()

    def __repr__(self) -> str:
        return f"<Pid {'/'.join(map(str, self.numbers))}>"


def number_of(pid: Pid | None, namespace: PidNamespace) -> int:
    """The number of `pid` in `namespace`, 0 for none."""
    return 0 if pid is None else pid.number_in(namespace)


def find_pid(namespace: PidNamespace, number: int) -> Pid | None:
    """What has `number` in `namespace`; None if nothing has. Linux: kernel/pid.c, find_pid_ns."""
    return namespace.by_number.get(number)


def find_pid_of_inode(namespace: PidNamespace, number: int, clock: Clock) -> Pid | None:
    """What is seen in `namespace` and has descriptors that show inode `number`; None if nothing has."""
    known = namespace.by_number
    clock.spend_walking(len(known))
    return next((pid for pid in known.values() if pid.inode and pid.inode.number == number), None)


def find_task(namespace: PidNamespace, number: int) -> Task | None:
    """The task, zombies included, that has `number` in `namespace`.

    Linux: kernel/pid.c, find_task_by_pid_ns.
    """
    pid = namespace.by_number.get(number)
    return None if pid is None else pid.task
