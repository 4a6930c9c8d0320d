"""The parameters of System V objects and POSIX message queues: kernel.shmmax and its kin, fs.mqueue."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ERANGE
from procession.kernel.ipc import seen_namespace
from procession.kernel.ipc.object import MAXIMUM_OBJECTS
from procession.kernel.ipc.shm import destroy_orphans
from procession.procfs.parameter_kind import INTEGER, UNSIGNED_LONG, ParameterKind
from procession.procfs.parse_integer import parse_integer
from procession.procfs.system_directory import SystemFile, SystemTree

if TYPE_CHECKING:
    from procession.kernel.ipc.namespace import IpcNamespace
    from procession.kernel.ipc.object import IdTable, IpcObject
    from procession.kernel.kernel import Kernel

_INT_MAX = (1 << 31) - 1
_ULONG_MAX = (1 << 64) - 1
_SET_NUMBERS = ("set_size", "most_semaphores", "most_operations")


def _show(attribute: str, kernel: Kernel) -> bytes:
    return b"%d\n" % getattr(seen_namespace(kernel), attribute)


def _store(attribute: str, least: int, most: int, kernel: Kernel, data: bytes) -> None:
    setattr(seen_namespace(kernel), attribute, _number(data, least, most))


def _number(data: bytes, least: int, most: int) -> int:
    """Raises EINVAL. Linux: kernel/sysctl.c, proc_dointvec_minmax."""
    value = parse_integer(data)
    if not least <= value <= most:
        raise EINVAL(f"outside {least} to {most}")
    return value


def _parameter(attribute: str, least: int, most: int, kind: ParameterKind = INTEGER) -> SystemFile:
    """A number of the namespace that can be set."""
    return SystemFile(0o644, partial(_show, attribute), partial(_store, attribute, least, most), kind=kind)


def _table(namespace: IpcNamespace, name: str) -> IdTable[IpcObject]:
    table: IdTable[IpcObject] = getattr(namespace, name)
    return table


def _show_limit(table: str, kernel: Kernel) -> bytes:
    return b"%d\n" % _table(seen_namespace(kernel), table).limit


def _store_limit(table: str, kernel: Kernel, data: bytes) -> None:
    _table(seen_namespace(kernel), table).limit = _number(data, 0, MAXIMUM_OBJECTS)


def _show_next(table: str, kernel: Kernel) -> bytes:
    return b"%d\n" % _table(seen_namespace(kernel), table).next_id


def _store_next(table: str, kernel: Kernel, data: bytes) -> None:
    _table(seen_namespace(kernel), table).next_id = _number(data, 0, _INT_MAX)


def _next_id(table: str) -> SystemFile:
    """Which id the next object gets; who restores processes may set it, whatever the mode says.

    Linux: ipc/ipc_sysctl.c, ipc_permissions.
    """
    return SystemFile(0o444, partial(_show_next, table), partial(_store_next, table))


def show_forced_removal(kernel: Kernel) -> bytes:
    """kernel.shm_rmid_forced: whether segments go with the process that made them."""
    return b"%d\n" % seen_namespace(kernel).forces_removal


def store_forced_removal(kernel: Kernel, data: bytes) -> None:
    """Set kernel.shm_rmid_forced. Linux: ipc/ipc_sysctl.c, proc_ipc_dointvec_minmax_orphans."""
    namespace = seen_namespace(kernel)
    namespace.forces_removal = bool(_number(data, 0, 1))
    if namespace.forces_removal:
        destroy_orphans(namespace)


def show_semaphore_limits(kernel: Kernel) -> bytes:
    """kernel.sem: semaphores in a set, semaphores, operations at once, sets."""
    namespace = seen_namespace(kernel)
    numbers = [*(getattr(namespace, name) for name in _SET_NUMBERS), namespace.semaphores.limit]
    return b"\t".join(b"%d" % number for number in numbers) + b"\n"


def store_semaphore_limits(kernel: Kernel, data: bytes) -> None:
    """Set the first numbers of kernel.sem. Linux: ipc/ipc_sysctl.c, proc_ipc_sem_dointvec."""
    namespace = seen_namespace(kernel)
    for position, word in enumerate(data.split()):
        number = _number(word, -_INT_MAX - 1, _INT_MAX)
        if position < len(_SET_NUMBERS):
            setattr(namespace, _SET_NUMBERS[position], number)
        elif 0 <= number <= MAXIMUM_OBJECTS:
            namespace.semaphores.limit = number
        else:
            raise ERANGE(f"{number} sets")


def show_zero(kernel: Kernel) -> bytes:
    """kernel.auto_msgmni, which has no effect any more."""
    return b"0\n"


def check_auto_limit(kernel: Kernel, data: bytes) -> None:
    """What is written to kernel.auto_msgmni must be 0 or 1, and changes nothing.

    Linux: ipc/ipc_sysctl.c, proc_ipc_auto_msgmni.
    """
    _number(data, 0, 1)


NEXT_IDS = frozenset({b"msg_next_id", b"sem_next_id", b"shm_next_id"})
"""Those that who restores a process may set."""

IPC_SYSCTLS: SystemTree = {
    b"auto_msgmni": SystemFile(0o644, show_zero, check_auto_limit),
    b"msg_next_id": _next_id("messages"),
    b"msgmax": _parameter("largest_message", 0, _INT_MAX),
    b"msgmnb": _parameter("queue_bytes", 0, _INT_MAX),
    b"msgmni": SystemFile(0o644, partial(_show_limit, "messages"), partial(_store_limit, "messages")),
    b"sem": SystemFile(
        0o644, show_semaphore_limits, store_semaphore_limits, kind=ParameterKind(number_count=4)
    ),
    b"sem_next_id": _next_id("semaphores"),
    b"shm_next_id": _next_id("segments"),
    b"shm_rmid_forced": SystemFile(0o644, show_forced_removal, store_forced_removal),
    b"shmall": _parameter("most_pages", 0, _ULONG_MAX, UNSIGNED_LONG),
    b"shmmax": _parameter("largest_segment", 0, _ULONG_MAX, UNSIGNED_LONG),
    b"shmmni": SystemFile(0o644, partial(_show_limit, "segments"), partial(_store_limit, "segments")),
}
"""What is added to /proc/sys/kernel."""

MQUEUE_SYSCTLS: SystemTree = {
    b"msg_default": _parameter("default_messages", 1, 65536),
    b"msg_max": _parameter("most_messages", 1, 65536),
    b"msgsize_default": _parameter("default_length", 128, 16 << 20),
    b"msgsize_max": _parameter("longest_message", 128, 16 << 20),
    b"queues_max": _parameter("most_queues", -_INT_MAX - 1, _INT_MAX),
}
"""/proc/sys/fs/mqueue."""
