"""System V messages: msgget, msgsnd, msgrcv, msgctl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.ipc import IpcFlag, MsgCommand, MsgFlag, Msginfo, Msqid64Ds
from procession.abi.word import pack_u64
from procession.kernel.ipc import namespace_of
from procession.kernel.ipc.msg import (
    Message,
    MessageReceiver,
    MessageSender,
    MessageWish,
    get_queue,
    go_on_receiving,
    go_on_sending,
)
from procession.kernel.ipc.object import show_owners
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Choice, Flags, Int, Long, Size

if TYPE_CHECKING:
    from procession.kernel.ipc.namespace import IpcNamespace
    from procession.kernel.task import Task

_IPC_RMID, _IPC_SET, _IPC_STAT, _IPC_INFO = range(4)
_MSG_STAT, _MSG_INFO, _MSG_STAT_ANY = range(11, 14)
_READ = 0o444
_NOWAIT = int(MsgFlag.IPC_NOWAIT)
_EXCEPT = int(MsgFlag.MSG_EXCEPT)
_COPY = int(MsgFlag.MSG_COPY)
_TYPE_BYTES = 8
_LARGEST_SIZE = (1 << 63) - 1
# What IPC_INFO tells and nothing means any more. Linux: include/uapi/linux/msg.h.
_MSGMAP = _MSGTQL = 16384
_MSGPOOL = 512_000
_MSGSSZ = 16
_MSGSEG = 0xFFFF


@syscall(68)
def msgget(task: Task, key: Int, flags: Flags[IpcFlag]) -> int:
    """msgget(2). Linux: ipc/msg.c, SYSCALL_DEFINE2(msgget)."""
    return get_queue(task, namespace_of(task), key, flags)


@syscall(69)
def msgsnd(task: Task, id: Int, message: Address, size: Size, flags: Flags[MsgFlag]) -> int:
    """msgsnd(2): a long with the type, then `size` bytes. Linux: ipc/msg.c, do_msgsnd."""
    frame = task.frame
    if frame is not None and isinstance(frame.progress, MessageSender):
        return go_on_sending(task, frame.progress, flags)
    type = int.from_bytes(task.mm.read(message, _TYPE_BYTES), "little", signed=True)
    namespace = namespace_of(task)
    if size > namespace.largest_message or id < 0:
        raise EINVAL(f"a message of {size} bytes")
    if type < 1:
        raise EINVAL(f"a message of type {type}")
    data = task.mm.read(message + _TYPE_BYTES, size)
    task.kernel.clock.spend_copying(size)
    return namespace.messages.find(id).send(task, Message(type, data), flags)


@syscall(70)
def msgrcv(task: Task, id: Int, buffer: Address, size: Size, type: Long, flags: Flags[MsgFlag]) -> int:
    """msgrcv(2): the number of bytes after the type. Linux: ipc/msg.c, do_msgrcv."""
    frame = task.frame
    if frame is not None and isinstance(frame.progress, MessageReceiver):
        return _deliver(task, go_on_receiving(task, frame.progress, flags), buffer, size)
    if id < 0 or size > _LARGEST_SIZE:
        raise EINVAL(f"room for {size} bytes")
    namespace = namespace_of(task)
    copied = 0
    if flags & _COPY:
        if flags & _EXCEPT or not flags & _NOWAIT:
            raise EINVAL("a copy is made at once, by position")
        # Linux reads what it is about to overwrite.
        copied = min(size, namespace.largest_message)
        task.mm.read(buffer, copied)
        task.kernel.clock.spend_copying(copied)
    wish = MessageWish(type, flags)
    message = namespace.messages.find(id).receive(task, wish, size, flags)
    if flags & _COPY and len(message.data) > copied:
        raise EINVAL("the message is longer than its copy may be")
    return _deliver(task, message, buffer, size)


def _deliver(task: Task, message: Message, buffer: int, size: int) -> int:
    """A message that can't be written there is lost, as on Linux. Raises EFAULT."""
    data = message.data[:size]
    task.mm.write(buffer, pack_u64(message.type) + data)
    task.kernel.clock.spend_copying(len(data))
    return len(data)


@syscall(71)
def msgctl(task: Task, id: Int, command: Choice[MsgCommand], buffer: Address) -> int:
    """msgctl(2). Linux: ipc/msg.c, ksys_msgctl."""
    if id < 0 or command < 0:
        raise EINVAL
    namespace = namespace_of(task)
    queues = namespace.messages
    if command in (_IPC_INFO, _MSG_INFO):
        task.mm.write(buffer, _information(namespace, in_use=command == _MSG_INFO).pack())
        return queues.largest_index
    if command in (_IPC_STAT, _MSG_STAT, _MSG_STAT_ANY):
        found = queues.find(id) if command == _IPC_STAT else queues.at(id)
        if command != _MSG_STAT_ANY:
            found.check_access(task, _READ)
        status = found.status(task.pid_namespace)
        show_owners(status.msg_perm, task.credentials.user_namespace)
        task.mm.write(buffer, status.pack())
        return 0 if command == _IPC_STAT else found.id
    if command == _IPC_SET:
        new = Msqid64Ds.unpack(task.mm.read(buffer, Msqid64Ds.SIZE))
        found = queues.find(id)
        found.check_owner(task)
        # Linux hands it on as an int, whose sign is then extended.
        low = new.msg_qbytes & 0xFFFFFFFF
        found.check_limit(task, low)
        found.set_permissions(task, new.msg_perm)
        found.set_limit(low if low >> 31 == 0 else low | 0xFFFFFFFF << 32)
        return 0
    if command == _IPC_RMID:
        found = queues.find(id)
        found.check_owner(task)
        found.remove()
        return 0
    raise EINVAL(f"no command {command}")


def _information(namespace: IpcNamespace, *, in_use: bool) -> Msginfo:
    """IPC_INFO, and with `in_use` MSG_INFO. Linux: ipc/msg.c, msgctl_info."""
    queues = namespace.messages
    return Msginfo(
        len(queues.objects) if in_use else _MSGPOOL,
        namespace.message_count if in_use else _MSGMAP,
        namespace.largest_message,
        namespace.queue_bytes,
        queues.limit,
        _MSGSSZ,
        namespace.message_bytes if in_use else _MSGTQL,
        _MSGSEG,
    )
