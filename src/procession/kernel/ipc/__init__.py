"""System V's shared memory, semaphores and messages, and POSIX message queues: which of them a task sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.fs.file_system_type import FILE_SYSTEM_TYPES

if TYPE_CHECKING:
    from procession.fs.mqueue import MqueueFileSystem
    from procession.kernel.ipc.namespace import IpcNamespace
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task


def namespace_of(task: Task) -> IpcNamespace:
    """The namespace whose objects `task` sees."""
    return task.namespaces.ipc


def seen_namespace(kernel: Kernel) -> IpcNamespace:
    """The namespace whose objects the running task sees."""
    return kernel.seen_namespaces.ipc


def make_mqueue(kernel: Kernel, options: bytes) -> MqueueFileSystem:
    """What mount(2) shows: the same queues at each place. Raises EINVAL.

    Linux: ipc/mqueue.c, mqueue_get_tree.
    """
    from procession.kernel.ipc.posix_queue import queues_of

    if options:
        raise EINVAL("mqueue has no options")
    return queues_of(kernel, seen_namespace(kernel))


FILE_SYSTEM_TYPES[b"mqueue"] = make_mqueue
