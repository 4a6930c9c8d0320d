"""memfd_create and memfd_secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EINVAL, ENOSYS
from procession.abi.mmap_flags import MemfdFlag
from procession.abi.open_flags import OpenFlag
from procession.fs.memfd import create_memfd
from procession.fs.secret_memory import create_secret_memory
from procession.kernel.namespaces.pid import NoexecScope
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Flags

if TYPE_CHECKING:
    from procession.kernel.task import Task

_O_CLOEXEC = int(OpenFlag.O_CLOEXEC)
_MFD_CLOEXEC = int(MemfdFlag.MFD_CLOEXEC)
_MFD_HUGETLB = int(MemfdFlag.MFD_HUGETLB)
_MFD_NOEXEC_SEAL = int(MemfdFlag.MFD_NOEXEC_SEAL)
_MFD_EXEC = int(MemfdFlag.MFD_EXEC)
_EXECUTION = _MFD_EXEC | _MFD_NOEXEC_SEAL
_FLAGS = _MFD_CLOEXEC | int(MemfdFlag.MFD_ALLOW_SEALING) | _EXECUTION
_HUGE_SIZES = 0x3F << 26
_NAME_SIZE = 250
"""What a name may take with its NUL: "memfd:" must fit before it."""


def _with_execution(task: Task, flags: int) -> int:
    """`flags` as vm.memfd_noexec has them. Raises EACCES. Linux: mm/memfd.c, check_sysctl_memfd_noexec."""
    scope = task.pid_namespace.effective_noexec
    if not flags & _EXECUTION:
        flags |= _MFD_NOEXEC_SEAL if scope >= NoexecScope.NOEXEC_SEAL else _MFD_EXEC
    if not flags & _MFD_NOEXEC_SEAL and scope == NoexecScope.NOEXEC_ENFORCED:
        raise EACCES("vm.memfd_noexec forbids files that can be executed")
    return flags


@syscall(319)
def memfd_create(task: Task, name: Address, flags: Flags[MemfdFlag]) -> int:
    """memfd_create(2). Linux: mm/memfd.c, SYSCALL_DEFINE2(memfd_create)."""
    allowed = _FLAGS | (_MFD_HUGETLB | _HUGE_SIZES if flags & _MFD_HUGETLB else 0)
    if flags & ~allowed or flags & _EXECUTION == _EXECUTION:
        raise EINVAL
    made = _with_execution(task, flags)
    text = task.mm.read_cstring(name, _NAME_SIZE)
    if text is None:
        raise EINVAL("the name is too long")
    if flags & _MFD_HUGETLB:
        raise ENOSYS("there are no huge pages")
    files, limit = task.files, task.group.limits.soft[RLIMIT_NOFILE]
    files.lowest_free(0, limit)
    file = create_memfd(task.kernel.vfs, text, made, task.credentials)
    return files.install(file, close_on_exec=bool(flags & _MFD_CLOEXEC), limit=limit)


@syscall(447)
def memfd_secret(task: Task, flags: Flags[OpenFlag]) -> int:
    """memfd_secret(2). Linux: mm/secretmem.c, SYSCALL_DEFINE1(memfd_secret)."""
    if flags & ~_O_CLOEXEC:
        raise EINVAL("unknown flags")
    files, limit = task.files, task.group.limits.soft[RLIMIT_NOFILE]
    files.lowest_free(0, limit)
    file = create_secret_memory(task.kernel.vfs, task.credentials)
    return files.install(file, close_on_exec=bool(flags & _O_CLOEXEC), limit=limit)
