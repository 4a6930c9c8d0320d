"""System V semaphores: semget, semop, semtimedop, semctl."""

from __future__ import annotations

from struct import unpack
from typing import TYPE_CHECKING, Annotated

from procession.abi.errno import E2BIG, EINVAL, ERANGE
from procession.abi.ipc import SEMAEM, SEMMNS, SEMOPM, SEMVMX, IpcFlag, Sembuf, SemCommand, Semid64Ds, Seminfo
from procession.abi.time import Timespec
from procession.abi.word import pack_array
from procession.kernel.ipc import namespace_of
from procession.kernel.ipc.object import show_owners
from procession.kernel.ipc.sem import (
    OPERATION_BYTES,
    SEM_UNDO,
    SemaphoreOperation,
    SemaphoreSet,
    SemaphoreWait,
    get_set,
)
from procession.kernel.ipc.sem_undo import undo_list_of
from procession.kernel.pid import number_of
from procession.kernel.time.costs import SEMAPHORE_NS
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import ARRAY, U64, Choice, Flags, In, Int, UInt
from procession.syscalls.time import nanoseconds_of

if TYPE_CHECKING:
    from procession.kernel.ipc.namespace import IpcNamespace
    from procession.kernel.task import Task

_IPC_RMID, _IPC_SET, _IPC_STAT, _IPC_INFO = range(4)
_GETPID, _GETVAL, _GETALL, _GETNCNT, _GETZCNT, _SETVAL, _SETALL = range(11, 18)
_SEM_STAT, _SEM_INFO, _SEM_STAT_ANY = range(18, 21)
_READ, _WRITE = 0o444, 0o222
_SEMUSZ = 20
"""What Linux says the size of an undo is."""
_FEW_OPERATIONS = 64
"""SEMOPM_FAST: so many need no memory beside the call's own."""


@syscall(64)
def semget(task: Task, key: Int, count: Int, flags: Flags[IpcFlag]) -> int:
    """semget(2). Linux: ipc/sem.c, SYSCALL_DEFINE3(semget)."""
    return get_set(task, namespace_of(task), key, count, flags)


@syscall(65)
def semop(task: Task, id: Int, operations: In[Annotated[Sembuf, ARRAY]], count: UInt) -> int:
    """semop(2). Linux: ipc/sem.c, SYSCALL_DEFINE3(semop)."""
    return _operate(task, id, operations.address, count, None)


@syscall(220)
def semtimedop(
    task: Task, id: Int, operations: In[Annotated[Sembuf, ARRAY]], count: UInt, timeout: In[Timespec]
) -> int:
    """semtimedop(2). Linux: ipc/sem.c, ksys_semtimedop."""
    time = timeout.get() if timeout and task.frame is None else None
    return _operate(task, id, operations.address, count, time)


def _operate(task: Task, id: int, address: int, count: int, timeout: Timespec | None) -> int:
    """Linux: ipc/sem.c, do_semtimedop."""
    frame = task.frame
    if frame is not None and isinstance(frame.progress, SemaphoreWait):
        return frame.progress.go_on()
    namespace = namespace_of(task)
    if count > namespace.most_operations:
        raise E2BIG(f"{count} operations")
    if not count:
        raise EINVAL("no operation")
    if count <= _FEW_OPERATIONS:
        return _begin(task, namespace, id, address, count, timeout)
    # All of them are at hand until the call is over or waits.
    namespace.charge(count * OPERATION_BYTES)
    try:
        return _begin(task, namespace, id, address, count, timeout)
    finally:
        namespace.charge(-count * OPERATION_BYTES)


def _begin(
    task: Task, namespace: IpcNamespace, id: int, address: int, count: int, timeout: Timespec | None
) -> int:
    """Linux: ipc/sem.c, __do_semtimedop."""
    data = task.mm.read(address, count * Sembuf.SIZE)
    operations = tuple(SemaphoreOperation(*fields) for fields in Sembuf.STRUCT.iter_unpack(data))
    if id < 0:
        raise EINVAL("a negative id")
    deadline_ns = None
    if timeout is not None:
        deadline_ns = task.kernel.clock.now_ns + nanoseconds_of(timeout)
    if any(operation.flags & SEM_UNDO for operation in operations):
        # Whether or not there is such a set. Linux: ipc/sem.c, find_alloc_undo.
        undo_list_of(task)
    return namespace.semaphores.find(id).operate(task, operations, deadline_ns)


@syscall(66)
def semctl(task: Task, id: Int, number: Int, command: Choice[SemCommand], argument: U64) -> int:
    """semctl(2). Linux: ipc/sem.c, ksys_semctl."""
    if id < 0:
        raise EINVAL("a negative id")
    namespace = namespace_of(task)
    sets = namespace.semaphores
    if command in (_IPC_INFO, _SEM_INFO):
        task.mm.write(argument, _information(namespace, in_use=command == _SEM_INFO).pack())
        return sets.largest_index
    if command in (_IPC_STAT, _SEM_STAT, _SEM_STAT_ANY):
        found = sets.find(id) if command == _IPC_STAT else sets.at(id)
        if command != _SEM_STAT_ANY:
            found.check_access(task, _READ)
        status = found.status()
        show_owners(status.sem_perm, task.credentials.user_namespace)
        task.mm.write(argument, status.pack())
        return 0 if command == _IPC_STAT else found.id
    if command == _SETVAL:
        value = (argument & 0xFFFFFFFF ^ 0x80000000) - 0x80000000
        if not 0 <= value <= SEMVMX:
            raise ERANGE(f"{value} is no value of a semaphore")
        sets.find(id).set_value(task, number, value)
        return 0
    if command in (_GETALL, _SETALL):
        return _copy_values(task, sets.find(id), argument, is_set=command == _SETALL)
    if command in (_GETPID, _GETVAL, _GETNCNT, _GETZCNT):
        return _read_one(task, sets.find(id), number, command)
    if command == _IPC_SET:
        new = Semid64Ds.unpack(task.mm.read(argument, Semid64Ds.SIZE))
        found = sets.find(id)
        found.check_owner(task)
        found.set_permissions(task, new.sem_perm)
        return 0
    if command == _IPC_RMID:
        found = sets.find(id)
        found.check_owner(task)
        found.remove()
        return 0
    raise EINVAL(f"no command {command}")


def _copy_values(task: Task, semaphores: SemaphoreSet, address: int, *, is_set: bool) -> int:
    """GETALL and SETALL: an array of `unsigned short`. Linux: ipc/sem.c, semctl_main."""
    semaphores.check_access(task, _WRITE if is_set else _READ)
    count = len(semaphores.values)
    task.kernel.clock.spend(count * SEMAPHORE_NS)
    if is_set:
        data = task.mm.read(address, 2 * count)
        semaphores.set_values(task, list(unpack(f"<{count}H", data)))
    else:
        task.mm.write(address, pack_array("H", semaphores.values))
    return 0


def _read_one(task: Task, semaphores: SemaphoreSet, number: int, command: int) -> int:
    semaphores.check_access(task, _READ)
    semaphores.check_number(number)
    if command == _GETVAL:
        return semaphores.values[number]
    if command == _GETPID:
        return number_of(semaphores.pids[number], task.pid_namespace)
    return semaphores.waiting_count(number, for_zero=command == _GETZCNT)


def _information(namespace: IpcNamespace, *, in_use: bool) -> Seminfo:
    """IPC_INFO, and with `in_use` SEM_INFO. Linux: ipc/sem.c, semctl_info."""
    sets = namespace.semaphores
    return Seminfo(
        SEMMNS,
        sets.limit,
        namespace.most_semaphores,
        SEMMNS,
        namespace.set_size,
        namespace.most_operations,
        SEMOPM,
        len(sets.objects) if in_use else _SEMUSZ,
        SEMVMX,
        namespace.used_semaphores if in_use else SEMAEM,
    )
