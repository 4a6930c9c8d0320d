"""System V semaphores: counters in sets; several operations are done at once or not at all (semop(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, EFBIG, EIDRM, EINTR, EINVAL, ENOSPC, ERANGE, Errno
from procession.abi.ipc import SEMAEM, SEMVMX, SemFlag, Semid64Ds
from procession.abi.named_tuple import NamedTuple
from procession.fs.wait_queue import Abandonable, Sleep
from procession.kernel.ipc.object import IPC_NOWAIT, READ, WRITE, IpcObject, now_s
from procession.kernel.ipc.sem_undo import UNDO_BYTES, SemaphoreUndo, undo_for
from procession.kernel.time.costs import NEW_SEMAPHORE_NS, SEMAPHORE_NS, SEMAPHORE_OPERATION_NS

if TYPE_CHECKING:
    from procession.kernel.ipc.namespace import IpcNamespace
    from procession.kernel.pid import Pid
    from procession.kernel.task import Task

SEM_UNDO = int(SemFlag.SEM_UNDO)
_BYTES_FOR_ONE = 64
"""What a semaphore is taken to cost (in Linux, sizeof(struct sem))."""
OPERATION_BYTES = 160
"""An operation of a call: a tuple of three ints."""


class SemaphoreOperation(NamedTuple):
    """A `struct sembuf`: what to do with one semaphore of a set.

    `change` is added; 0 waits until the value is 0. `flags` are IPC_NOWAIT and SEM_UNDO.
    """

    number: int
    change: int
    flags: int


class SemaphoreWait(Abandonable):
    """A semop(2) that waits: the progress of its sleep (Linux: ipc/sem.c, struct sem_queue).

    `blocking` is the operation that can't be done now. Once whoever changed the set has done everything, or
    found that it can't be, `is_done` is set, and `failure` if it has failed.
    """

    __slots__ = (
        "blocking",
        "deadline_ns",
        "failure",
        "is_done",
        "operations",
        "pid",
        "semaphores",
        "task",
        "undo",
    )

    def __init__(
        self,
        task: Task,
        semaphores: SemaphoreSet,
        operations: tuple[SemaphoreOperation, ...],
        undo: SemaphoreUndo | None,
    ) -> None:
        self.task = task
        self.pid: Pid = task.group.pid
        self.semaphores = semaphores
        self.operations = operations
        self.undo = undo
        self.deadline_ns: int | None = None
        self.blocking: SemaphoreOperation | None = None
        self.is_done = False
        self.failure: type[Errno] | None = None

    @property
    def alters(self) -> bool:
        """Whether it changes a value, and doesn't only wait for zeros."""
        return any(operation.change for operation in self.operations)

    def finish(self, failure: type[Errno] | None) -> None:
        """It's over: the sleeper only has to say so."""
        self.is_done = True
        self.failure = failure
        self.task.wake()

    def abandon(self) -> None:
        """A signal or the timeout has ended the wait."""
        self.semaphores.forget(self)

    def go_on(self) -> int:
        """Say how it ended, else sleep (on). Raises EAGAIN at the deadline, Sleep, what it failed with.

        Linux: ipc/sem.c, __do_semtimedop.
        """
        if self.is_done:
            if self.failure is not None:
                raise self.failure
            return 0
        if self.deadline_ns is not None and self.task.kernel.clock.now_ns >= self.deadline_ns:
            self.abandon()
            raise EAGAIN("the timeout has passed")
        raise Sleep(deadline_ns=self.deadline_ns, progress=self, interrupted=EINTR)


class SemaphoreSet(IpcObject):
    """A set of semaphores (Linux: ipc/sem.c, struct sem_array).

    `values` and `pids`, the processes that changed them last, are by number. `altering` are the calls that
    wait and will change values, `watching` those that wait for zeros only, each in the order in which they
    came. `otime_s` is when an operation was done last.
    """

    __slots__ = ("altering", "namespace", "otime_s", "pids", "undos", "values", "watching")

    def __init__(self, task: Task, namespace: IpcNamespace, key: int, count: int, mode: int) -> None:
        super().__init__(task, key, mode)
        task.kernel.clock.spend(count * NEW_SEMAPHORE_NS)
        self.namespace = namespace
        self.values = [0] * count
        self.pids: list[Pid | None] = [None] * count
        self.otime_s = 0
        self.altering: list[SemaphoreWait] = []
        self.watching: list[SemaphoreWait] = []
        self.undos: list[SemaphoreUndo] = []

    def charge(self, byte_count: int) -> None:
        """Count what this set costs the host. Raises ENOMEM."""
        self.namespace.charge(byte_count)

    # Operations

    def perform(self, wait: SemaphoreWait) -> bool:
        """Do all operations of `wait`, or none of them: whether they were done.

        If not, `wait.blocking` is the one that must wait. Raises EAGAIN if that mustn't, ERANGE.
        Linux: ipc/sem.c, perform_atomic_semop.
        """
        values, undo = self.values, wait.undo
        changed: dict[int, int] = {}
        adjusted: dict[int, int] = {}
        wait.task.kernel.clock.spend((len(wait.operations) - 1) * SEMAPHORE_OPERATION_NS)
        for operation in wait.operations:
            number, change, flags = operation
            value = changed.get(number, values[number])
            if (not change and value) or value + change < 0:
                wait.blocking = operation
                if flags & IPC_NOWAIT:
                    raise EAGAIN(f"semaphore {number} is {value}")
                return False
            if value + change > SEMVMX:
                raise ERANGE(f"semaphore {number} would be over {SEMVMX}")
            changed[number] = value + change
            if flags & SEM_UNDO:
                assert undo is not None
                adjustment = adjusted.get(number, undo.adjustments[number]) - change
                if not -SEMAEM - 1 <= adjustment <= SEMAEM:
                    raise ERANGE(f"more of semaphore {number} than can be undone")
                adjusted[number] = adjustment
        for number, value in changed.items():
            values[number] = value
            self.pids[number] = wait.pid
        for number, adjustment in adjusted.items():
            assert undo is not None
            undo.adjustments[number] = adjustment
        return True

    def operate(
        self, task: Task, operations: tuple[SemaphoreOperation, ...], deadline_ns: int | None = None
    ) -> int:
        """semtimedop(2). Raises EFBIG, EACCES, ENOMEM, EAGAIN, ERANGE, Sleep.

        Linux: ipc/sem.c, __do_semtimedop.
        """
        undo = None
        if any(operation.flags & SEM_UNDO for operation in operations):
            # Even if nothing comes of it: then the process's end counts as an operation.
            undo = undo_for(task, self)
        if max(operation.number for operation in operations) >= len(self.values):
            raise EFBIG(f"the set has {len(self.values)} semaphores")
        self.check_access(task, WRITE if any(operation.change for operation in operations) else READ)
        wait = SemaphoreWait(task, self, operations, undo)
        wait.deadline_ns = deadline_ns
        if self.perform(wait):
            self.otime_s = now_s(task)
            if wait.alters:
                self.complete_waits()
            return 0
        self.charge(len(operations) * OPERATION_BYTES)
        (self.altering if wait.alters else self.watching).append(wait)
        return wait.go_on()

    def _ended(self, wait: SemaphoreWait) -> None:
        """It isn't among those who wait any more."""
        self.charge(-len(wait.operations) * OPERATION_BYTES)

    def complete_waits(self) -> None:
        """Values have changed: do what can be done now for those who wait, the first who came first.

        Those who wait for zeros come before those who change values. Linux: ipc/sem.c, do_smart_update.
        """
        self._complete_watching()
        position = 0
        while position < len(self.altering):
            wait = self.altering[position]
            if not self._try(wait):
                position += 1
                continue
            del self.altering[position]
            self._ended(wait)
            if wait.failure is None:
                self._complete_watching()
                # What it has given may be what an earlier one waits for.
                position = 0

    def _complete_watching(self) -> None:
        for wait in list(self.watching):
            if self._try(wait):
                self.watching.remove(wait)
                self._ended(wait)

    def _try(self, wait: SemaphoreWait) -> bool:
        """Whether the sleeper's operations are done, or have failed; then it's told."""
        wait.task.kernel.clock.spend(SEMAPHORE_OPERATION_NS)
        try:
            if not self.perform(wait):
                return False
        except (EAGAIN, ERANGE) as failure:
            wait.finish(type(failure))
            return True
        self.otime_s = now_s(wait.task)
        wait.finish(None)
        return True

    def forget(self, wait: SemaphoreWait) -> None:
        """Somebody doesn't wait any more. Linux: ipc/sem.c, unlink_queue."""
        for waits in (self.altering, self.watching):
            if wait in waits:
                waits.remove(wait)
                self._ended(wait)

    def undo(self, task: Task, undo: SemaphoreUndo) -> None:
        """A process ends: add its adjustments, within 0 and SEMVMX. Linux: ipc/sem.c, exit_sem."""
        self.undos.remove(undo)
        self.charge(-UNDO_BYTES * len(self.values))
        task.kernel.clock.spend(len(self.values) * SEMAPHORE_NS)
        for number, adjustment in enumerate(undo.adjustments):
            if adjustment:
                self.values[number] = min(max(self.values[number] + adjustment, 0), SEMVMX)
                self.pids[number] = task.group.pid
        self.otime_s = now_s(task)
        self.complete_waits()

    # semctl(2)

    def check_number(self, number: int) -> None:
        """Raise EINVAL unless there is a semaphore with that number."""
        if not 0 <= number < len(self.values):
            raise EINVAL(f"the set has {len(self.values)} semaphores")

    def set_value(self, task: Task, number: int, value: int) -> None:
        """SETVAL. Raises EINVAL, EACCES. Linux: ipc/sem.c, semctl_setval."""
        self.check_number(number)
        self.check_access(task, WRITE)
        for undo in self.undos:
            undo.adjustments[number] = 0
        self.values[number] = value
        self._values_set(task, [number])

    def set_values(self, task: Task, values: list[int]) -> None:
        """SETALL. Raises ERANGE. Linux: ipc/sem.c, semctl_main."""
        if max(values) > SEMVMX:
            raise ERANGE(f"a value over {SEMVMX}")
        for undo in self.undos:
            undo.adjustments = [0] * len(values)
        self.values = values
        self._values_set(task, range(len(values)))

    def _values_set(self, task: Task, numbers: list[int] | range) -> None:
        for number in numbers:
            self.pids[number] = task.group.pid
        self.ctime_s = now_s(task)
        self.complete_waits()

    def waiting_count(self, number: int, *, for_zero: bool) -> int:
        """How many wait for a semaphore to grow, or to be 0 (GETNCNT, GETZCNT): the one operation that
        blocks each call counts. Linux: ipc/sem.c, count_semcnt."""
        return sum(
            wait.blocking is not None
            and wait.blocking.number == number
            and (not wait.blocking.change) == for_zero
            for waits in (self.altering, self.watching)
            for wait in waits
        )

    def status(self) -> Semid64Ds:
        """IPC_STAT. Linux: ipc/sem.c, semctl_stat."""
        return Semid64Ds(self.permissions(), self.otime_s, 0, self.ctime_s, 0, len(self.values))

    def remove(self) -> None:
        """IPC_RMID: who waits gets EIDRM. Linux: ipc/sem.c, freeary."""
        namespace = self.namespace
        for undo in self.undos:
            del undo.owner.undos[self]
        self.charge(-(_BYTES_FOR_ONE + UNDO_BYTES * len(self.undos)) * len(self.values))
        self.undos = []
        namespace.semaphores.remove(self)
        namespace.used_semaphores -= len(self.values)
        waits, self.watching, self.altering = [*self.watching, *self.altering], [], []
        for wait in waits:
            self._ended(wait)
            wait.undo = None
            wait.finish(EIDRM)


def get_set(task: Task, namespace: IpcNamespace, key: int, count: int, flags: int) -> int:
    """semget(2): the id of the set with that key, or of a new one of `count` semaphores.

    Raises ENOENT, EEXIST, EACCES, EINVAL, ENOSPC, ENOMEM. Linux: ipc/sem.c, ksys_semget.
    """
    if not 0 <= count <= namespace.set_size:
        raise EINVAL(f"a set of {count} semaphores")
    found = namespace.semaphores.find_key(key, flags)
    if found is not None:
        if count > len(found.values):
            raise EINVAL(f"it has {len(found.values)} semaphores only")
        found.check_access(task, flags)
        return found.id
    if not count:
        raise EINVAL("a new set without semaphores")
    if namespace.used_semaphores + count > namespace.most_semaphores:
        raise ENOSPC("kernel.sem, the second number")
    namespace.charge(_BYTES_FOR_ONE * count)
    try:
        id = namespace.semaphores.add(SemaphoreSet(task, namespace, key, count, flags))
    except ENOSPC:
        namespace.charge(-_BYTES_FOR_ONE * count)
        raise
    namespace.used_semaphores += count
    return id
