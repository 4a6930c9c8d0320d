"""System V's shared memory, semaphores and messages, and POSIX message queues: which of them a task sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.fs.file_system_type import FileSystemType

if TYPE_CHECKING:
    from procession.fs.mounts.context import MountContext
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


class MqueueType(FileSystemType):
    """The same queues at each place. Linux: ipc/mqueue.c, mqueue_fs_type."""

    __slots__ = ()

    name: ClassVar[bytes] = b"mqueue"

    def begin(self, context: MountContext) -> None:
        """Linux: ipc/mqueue.c, mqueue_init_fs_context."""
        context.show_namespace(namespace_of(context.task))

    def get_tree(self, context: MountContext) -> MqueueFileSystem:
        """Linux: ipc/mqueue.c, mqueue_get_tree."""
        from procession.kernel.ipc.posix_queue import queues_of

        return queues_of(context.kernel, context.namespace)
