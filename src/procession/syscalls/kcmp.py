"""kcmp: whether two tasks share a part of the kernel's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBADF, EINVAL, ENOENT, EPERM, ESRCH
from procession.abi.kcmp import KcmpEpollSlot, KcmpType
from procession.fs.epoll import EpollFile
from procession.kernel.pid import find_task
from procession.kernel.security.ptrace_access import may_access
from procession.kernel.task_state import ENDED
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import U64, Choice, Int

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.kernel.task import Task


@syscall(312)
def kcmp(task: Task, pid1: Int, pid2: Int, kind: Choice[KcmpType], first: U64, second: U64) -> int:
    """kcmp(2): 0 for the same, else 1 or 2, an order that lasts as long as who has them.

    Linux: kernel/kcmp.c, SYSCALL_DEFINE5(kcmp).
    """
    namespace = task.pid_namespace
    one, other = find_task(namespace, pid1), find_task(namespace, pid2)
    if one is None or other is None:
        raise ESRCH
    for target in (one, other):
        if not may_access(task, target, by_fs_ids=False):
            raise EPERM(f"task {target.tid} isn't the caller's to inspect")
    if kind == KcmpType.KCMP_FILE:
        return _compare_files(task, _file_of(one, first), _file_of(other, second))
    if kind == KcmpType.KCMP_EPOLL_TFD:
        slot = KcmpEpollSlot.unpack(task.mm.read(second, KcmpEpollSlot.SIZE))
        return _compare_files(task, _file_of(one, first), _watched_file(other, slot))
    if kind not in set(KcmpType):
        raise EINVAL(f"nothing {kind} to compare")
    mine, theirs = _part_of(one, kind), _part_of(other, kind)
    if mine is theirs:
        return 0
    for each in task.kernel.tasks:
        part = _part_of(each, kind)
        if part is mine:
            return 1
        if part is theirs:
            break
    return 2


def _part_of(task: Task, kind: int) -> object:
    """What of `task` is compared; None for what it hasn't got: who has ended has given all but one away."""
    if task.state in ENDED and kind != KcmpType.KCMP_SIGHAND:
        return None
    if kind == KcmpType.KCMP_VM:
        return task.mm
    if kind == KcmpType.KCMP_FILES:
        return task.files
    if kind == KcmpType.KCMP_FS:
        return task.fs
    if kind == KcmpType.KCMP_SIGHAND:
        return task.group.handlers
    if kind == KcmpType.KCMP_SYSVSEM:
        return task.semaphore_undo
    return task.io_context


def _file_of(task: Task, fd: int) -> File:
    """The file behind a descriptor of another task. Raises EBADF."""
    file = None if task.state in ENDED else task.files.files.get(fd & 0xFFFFFFFF)
    if file is None:
        raise EBADF(f"task {task.tid} has no descriptor {fd}")
    return file


def _watched_file(target: Task, slot: KcmpEpollSlot) -> File:
    """What an epoll instance of `target` watches. Raises EBADF, EINVAL, ENOENT.

    Linux: kernel/kcmp.c, kcmp_epoll_target.
    """
    instance = _file_of(target, slot.efd)
    if not isinstance(instance, EpollFile):
        raise EINVAL("no epoll instance")
    found = [item.file for item in instance.items.values() if item.fd == slot.tfd]
    if slot.toff >= len(found):
        raise ENOENT("it watches no such file")
    return found[slot.toff]


def _compare_files(task: Task, one: File, other: File) -> int:
    """Who has an open file first, by task and descriptor, decides the order."""
    if one is other:
        return 0
    for each in task.kernel.tasks:
        for _, file in each.files:
            if file is one:
                return 1
            if file is other:
                return 2
    return 2
