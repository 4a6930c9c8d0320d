"""System V shared memory: shmget, shmat, shmdt, shmctl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.ipc import (
    SHMMIN,
    ShmatFlag,
    ShmCommand,
    ShmgetFlag,
    Shmid64Ds,
    ShmInfo,
    Shminfo64,
)
from procession.kernel.ipc import namespace_of
from procession.kernel.ipc.object import show_owners
from procession.kernel.ipc.shm import attach, detach, get_segment
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Choice, Flags, Int, Size

if TYPE_CHECKING:
    from procession.kernel.ipc.namespace import IpcNamespace
    from procession.kernel.task import Task

_IPC_RMID, _IPC_SET, _IPC_STAT, _IPC_INFO = range(4)
_READ = 0o444
_SHM_LOCK, _SHM_UNLOCK, _SHM_STAT, _SHM_INFO, _SHM_STAT_ANY = range(11, 16)


@syscall(29)
def shmget(task: Task, key: Int, size: Size, flags: Flags[ShmgetFlag]) -> int:
    """shmget(2). Linux: ipc/shm.c, SYSCALL_DEFINE3(shmget)."""
    return get_segment(task, namespace_of(task), key, size, flags)


@syscall(30)
def shmat(task: Task, id: Int, address: Address, flags: Flags[ShmatFlag]) -> Address:
    """shmat(2). Linux: ipc/shm.c, SYSCALL_DEFINE3(shmat)."""
    return attach(task, namespace_of(task), id, address, flags)


@syscall(67)
def shmdt(task: Task, address: Address) -> int:
    """shmdt(2). Linux: ipc/shm.c, SYSCALL_DEFINE1(shmdt)."""
    detach(task, address)
    return 0


@syscall(31)
def shmctl(task: Task, id: Int, command: Choice[ShmCommand], buffer: Address) -> int:
    """shmctl(2). Linux: ipc/shm.c, ksys_shmctl."""
    if command < 0 or id < 0:
        raise EINVAL
    namespace = namespace_of(task)
    segments = namespace.segments
    if command == _IPC_INFO:
        task.mm.write(buffer, _limits(namespace).pack())
        return segments.largest_index
    if command == _SHM_INFO:
        task.mm.write(buffer, _use(namespace).pack())
        return segments.largest_index
    if command in (_IPC_STAT, _SHM_STAT, _SHM_STAT_ANY):
        segment = segments.find(id) if command == _IPC_STAT else segments.at(id)
        if command != _SHM_STAT_ANY:
            segment.check_access(task, _READ)
        status = segment.status(task.pid_namespace)
        show_owners(status.shm_perm, task.credentials.user_namespace)
        task.mm.write(buffer, status.pack())
        return 0 if command == _IPC_STAT else segment.id
    if command == _IPC_SET:
        new = Shmid64Ds.unpack(task.mm.read(buffer, Shmid64Ds.SIZE))
        segment = segments.find(id)
        segment.check_owner(task)
        segment.set_permissions(task, new.shm_perm)
        return 0
    if command == _IPC_RMID:
        segment = segments.find(id)
        segment.check_owner(task)
        segment.remove()
        return 0
    if command == _SHM_LOCK:
        segments.find(id).lock(task)
        return 0
    if command == _SHM_UNLOCK:
        segments.find(id).unlock_by(task)
        return 0
    raise EINVAL(f"no command {command}")


def _limits(namespace: IpcNamespace) -> Shminfo64:
    """IPC_INFO. Linux: ipc/shm.c, shmctl_ipc_info."""
    limit = namespace.segments.limit
    return Shminfo64(namespace.largest_segment, SHMMIN, limit, limit, namespace.most_pages)


def _use(namespace: IpcNamespace) -> ShmInfo:
    """SHM_INFO. Linux: ipc/shm.c, shmctl_shm_info."""
    segments = namespace.segments.objects
    resident = sum(segment.resident_pages for segment in segments.values())
    return ShmInfo(len(segments), namespace.used_pages, resident)
