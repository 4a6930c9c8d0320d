"""IPC namespaces: the objects that a group of tasks sees, and the limits on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import ENOMEM
from procession.abi.ipc import (
    MSGMAX,
    MSGMNB,
    MSGMNI,
    SEMMNI,
    SEMMNS,
    SEMMSL,
    SEMOPM,
    SHMALL,
    SHMMAX,
    SHMMNI,
)
from procession.fs.namespace import CLONE_NEWIPC, Namespace, NamespaceTable
from procession.hardware.kernel_memory import IPC
from procession.kernel.ipc.object import IdTable

if TYPE_CHECKING:
    from procession.fs.mqueue import MqueueFileSystem
    from procession.fs.user_namespace import UserNamespace
    from procession.hardware.kernel_memory import KernelMemory
    from procession.kernel.ipc.msg import MessageQueue
    from procession.kernel.ipc.sem import SemaphoreSet
    from procession.kernel.ipc.shm import SharedSegment


class IpcNamespace(Namespace):
    """The System V objects of a group of tasks (Linux: include/linux/ipc_namespace.h, struct ipc_namespace).

    `largest_segment` (shmmax, bytes) and `most_pages` (shmall) bound shared memory, `used_pages` counts it;
    `forces_removal` is kernel.shm_rmid_forced. `set_size`, `most_semaphores` and `most_operations` are three
    of the numbers of kernel.sem, whose fourth is the limit of `semaphores`. `largest_message` and
    `queue_bytes` are kernel.msgmax and msgmnb; `message_count` and `message_bytes` count what is queued.

    `most_queues`, `most_messages`, `longest_message`, `default_messages` and `default_length` are the numbers
    of fs.mqueue; `posix_queue_count` counts the POSIX message queues, which are in `posix_queues` once there
    was one.

    `charged_bytes` is what semaphores and messages cost the host, `maximum_bytes` where that ends; they
    are charged to the machine's `memory` too.
    """

    __slots__ = (
        "charged_bytes",
        "default_length",
        "default_messages",
        "forces_removal",
        "largest_message",
        "largest_segment",
        "longest_message",
        "maximum_bytes",
        "memory",
        "message_bytes",
        "message_count",
        "messages",
        "most_messages",
        "most_operations",
        "most_pages",
        "most_queues",
        "most_semaphores",
        "posix_queue_count",
        "posix_queues",
        "queue_bytes",
        "segments",
        "semaphores",
        "set_size",
        "used_pages",
        "used_semaphores",
    )

    kind: ClassVar[int] = CLONE_NEWIPC
    type_name: ClassVar[str] = "ipc"

    def __init__(
        self,
        table: NamespaceTable,
        owner: UserNamespace,
        maximum_bytes: int,
        memory: KernelMemory,
        number: int = 0,
    ) -> None:
        super().__init__(table, owner, number)
        self.memory = memory
        self.segments: IdTable[SharedSegment] = IdTable(SHMMNI)
        self.largest_segment = SHMMAX
        self.most_pages = SHMALL
        self.used_pages = 0
        self.forces_removal = False
        self.semaphores: IdTable[SemaphoreSet] = IdTable(SEMMNI)
        self.set_size = SEMMSL
        self.most_semaphores = SEMMNS
        self.most_operations = SEMOPM
        self.used_semaphores = 0
        self.messages: IdTable[MessageQueue] = IdTable(MSGMNI)
        self.largest_message = MSGMAX
        self.queue_bytes = MSGMNB
        self.message_count = 0
        self.message_bytes = 0
        self.most_queues = 256
        self.most_messages = self.default_messages = 10
        self.longest_message = self.default_length = 8192
        self.posix_queue_count = 0
        self.posix_queues: MqueueFileSystem | None = None
        self.charged_bytes = 0
        self.maximum_bytes = maximum_bytes

    def end(self) -> None:
        """Everything in it goes. Linux: ipc/namespace.c, free_ipc_ns."""
        for semaphores in self.semaphores.ordered():
            semaphores.remove()
        for queue in self.messages.ordered():
            queue.remove()
        for segment in self.segments.ordered():
            segment.remove()
        if self.posix_queues is not None:
            self.posix_queues.end()

    def charge(self, byte_count: int) -> None:
        """So many bytes more of the host's, or fewer. Raises ENOMEM, OutOfFrames."""
        if byte_count > 0 and self.charged_bytes + byte_count > self.maximum_bytes:
            raise ENOMEM("the machine's part for semaphores and messages is used up")
        if byte_count > 0:
            self.memory.charge(IPC, byte_count)
        else:
            self.memory.uncharge(IPC, -byte_count)
        self.charged_bytes += byte_count
