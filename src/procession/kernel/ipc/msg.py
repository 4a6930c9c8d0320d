"""System V messages: queues of typed messages (msgget(2), msgop(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import E2BIG, EAGAIN, EIDRM, ENOMSG, ENOSPC, EPERM, ERESTARTNOHAND, Errno
from procession.abi.ipc import MsgFlag, Msqid64Ds
from procession.fs.wait_queue import Abandonable, Sleep
from procession.kernel.ipc.object import IPC_NOWAIT, READ, WRITE, IpcObject, now_s
from procession.kernel.pid import number_of
from procession.kernel.security.capability import CAP_SYS_RESOURCE
from procession.kernel.time.costs import SEEN_MESSAGE_NS

if TYPE_CHECKING:
    from procession.kernel.ipc.namespace import IpcNamespace
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.pid import Pid
    from procession.kernel.task import Task

MSG_NOERROR = int(MsgFlag.MSG_NOERROR)
MSG_EXCEPT = int(MsgFlag.MSG_EXCEPT)
MSG_COPY = int(MsgFlag.MSG_COPY)
ANY, EQUAL, NOT_EQUAL, AT_MOST, BY_POSITION = range(5)
"""How msgrcv(2) searches (in Linux, SEARCH_*)."""
_LARGEST_TYPE = (1 << 63) - 1
_NO_LIMIT = 0x7FFFFFFF
_BYTES_FOR_ONE = 48
"""What a message is taken to cost beside its bytes (in Linux, sizeof(struct msg_msg))."""
_BYTES_FOR_QUEUE = 256


class Message:
    """One message: its type, above 0, and its bytes."""

    __slots__ = ("data", "type")

    def __init__(self, type: int, data: bytes) -> None:
        self.type = type
        self.data = data


class MessageWish:
    """Which message a receiver wants: `type` as `mode` takes it, ANY to BY_POSITION."""

    __slots__ = ("mode", "type")

    def __init__(self, type: int, flags: int) -> None:
        """From msgrcv(2)'s arguments. Linux: ipc/msg.c, convert_mode."""
        if flags & MSG_COPY:
            self.mode = BY_POSITION
        elif not type:
            self.mode = ANY
        elif type < 0:
            self.mode = AT_MOST
            type = min(-type, _LARGEST_TYPE)
        else:
            self.mode = NOT_EQUAL if flags & MSG_EXCEPT else EQUAL
        self.type = type

    def accepts(self, message: Message) -> bool:
        """Whether a message of that type will do. Linux: ipc/msg.c, testmsg."""
        mode = self.mode
        if mode == AT_MOST:
            return message.type <= self.type
        if mode == EQUAL:
            return message.type == self.type
        if mode == NOT_EQUAL:
            return message.type != self.type
        return True


class MessageReceiver(Abandonable):
    """A msgrcv(2) that waits: the progress of its sleep (Linux: ipc/msg.c, struct msg_receiver).

    `room` is how long a message may be. A sender hands its message over in `received`, or says in `failure`
    why there is none.
    """

    __slots__ = ("failure", "queue", "received", "room", "task", "wish")

    def __init__(self, task: Task, queue: MessageQueue, wish: MessageWish, room: int) -> None:
        self.task = task
        self.queue = queue
        self.wish = wish
        self.room = room
        self.received: Message | None = None
        self.failure: type[Errno] | None = None

    def abandon(self) -> None:
        """A signal has ended the wait."""
        if self in self.queue.receivers:
            self.queue.receivers.remove(self)


class MessageSender(Abandonable):
    """A msgsnd(2) that waits for room: the progress of its sleep (Linux: ipc/msg.c, struct msg_sender).

    Its message is charged until it looks again.
    """

    __slots__ = ("charged_bytes", "message", "queue", "task")

    def __init__(self, task: Task, queue: MessageQueue, message: Message) -> None:
        """Raises ENOMEM."""
        self.task = task
        self.queue = queue
        self.message = message
        self.charged_bytes = _BYTES_FOR_ONE + len(message.data)
        queue.namespace.charge(self.charged_bytes)

    def abandon(self) -> None:
        """A signal has ended the wait, or it's this sender's turn to look."""
        self.queue.namespace.charge(-self.charged_bytes)
        self.charged_bytes = 0
        if self in self.queue.senders:
            self.queue.senders.remove(self)


class MessageQueue(IpcObject):
    """One queue (Linux: ipc/msg.c, struct msg_queue).

    `byte_count` sums what `messages` hold; `byte_limit` (msg_qbytes) bounds it, and their number too.
    """

    __slots__ = (
        "byte_count",
        "byte_limit",
        "last_receiver",
        "last_sender",
        "messages",
        "namespace",
        "receivers",
        "rtime_s",
        "senders",
        "stime_s",
    )

    def __init__(self, task: Task, namespace: IpcNamespace, key: int, mode: int) -> None:
        super().__init__(task, key, mode)
        self.namespace = namespace
        self.messages: list[Message] = []
        self.byte_count = 0
        self.byte_limit = namespace.queue_bytes
        self.stime_s = self.rtime_s = 0
        self.last_sender: Pid | None = None
        self.last_receiver: Pid | None = None
        self.receivers: list[MessageReceiver] = []
        self.senders: list[MessageSender] = []

    # Sending

    def has_room(self, size: int) -> bool:
        """Whether a message of `size` bytes fits. Linux: ipc/msg.c, msg_fits_inqueue."""
        return self.byte_count + size <= self.byte_limit and len(self.messages) + 1 <= self.byte_limit

    def send(self, task: Task, message: Message, flags: int) -> int:
        """msgsnd(2) once its arguments are read. Raises EACCES, EAGAIN, ENOMEM, Sleep.

        Linux: ipc/msg.c, do_msgsnd.
        """
        self.check_access(task, WRITE)
        if not self.has_room(len(message.data)):
            if flags & IPC_NOWAIT:
                raise EAGAIN("the queue is full")
            sender = MessageSender(task, self, message)
            self.senders.append(sender)
            raise Sleep(progress=sender, interrupted=ERESTARTNOHAND)
        if not self._hand_over(task, message):
            self._count(message, 1)
            self.messages.append(message)
        self.last_sender = task.group.pid
        self.stime_s = now_s(task)
        return 0

    def _count(self, message: Message, sign: int) -> None:
        """A message has come, or gone. Raises ENOMEM."""
        namespace = self.namespace
        size = len(message.data)
        namespace.charge(sign * (_BYTES_FOR_ONE + size))
        self.byte_count += sign * size
        namespace.message_bytes += sign * size
        namespace.message_count += sign

    def _hand_over(self, task: Task, message: Message) -> bool:
        """Whether somebody who waits has taken the message. Linux: ipc/msg.c, pipelined_send."""
        for receiver in list(self.receivers):
            if not receiver.wish.accepts(message):
                continue
            self.receivers.remove(receiver)
            receiver.task.wake()
            if len(message.data) <= receiver.room:
                receiver.received = message
                # Linux notes the thread here, and not the process.
                self.last_receiver = receiver.task.thread_pid
                self.rtime_s = now_s(task)
                return True
            receiver.failure = E2BIG
        return False

    # Receiving

    def find(self, wish: MessageWish) -> Message | None:
        """The message that `wish` means, None if there is none. Linux: ipc/msg.c, find_msg."""
        if wish.mode == BY_POSITION:
            return self.messages[wish.type] if 0 <= wish.type < len(self.messages) else None
        if wish.mode == AT_MOST:
            lowest: Message | None = None
            for message in self.messages:
                if message.type <= wish.type and (lowest is None or message.type < lowest.type):
                    lowest = message
            return lowest
        return next((message for message in self.messages if wish.accepts(message)), None)

    def receive(self, task: Task, wish: MessageWish, room: int, flags: int) -> Message:
        """msgrcv(2): the message, taken out unless MSG_COPY is set.

        Raises EACCES, E2BIG, ENOMSG, Sleep. Linux: ipc/msg.c, do_msgrcv.
        """
        self.check_access(task, READ)
        message = self.find(wish)
        if len(self.messages) > 1 and wish.mode != BY_POSITION and message is not self.messages[0]:
            task.kernel.clock.spend(len(self.messages) * SEEN_MESSAGE_NS)
        if message is not None:
            if len(message.data) > room and not flags & MSG_NOERROR:
                raise E2BIG(f"the message has {len(message.data)} bytes")
            if not flags & MSG_COPY:
                self.messages.remove(message)
                self._count(message, -1)
                self.rtime_s = now_s(task)
                self.last_receiver = task.group.pid
                self.wake_senders()
            return message
        if flags & IPC_NOWAIT:
            raise ENOMSG("no such message is queued")
        receiver = MessageReceiver(task, self, wish, _NO_LIMIT if flags & MSG_NOERROR else room)
        self.receivers.append(receiver)
        raise Sleep(progress=receiver, interrupted=ERESTARTNOHAND)

    def wake_senders(self) -> None:
        """There is more room: wake those whose message fits; the others go behind.

        Linux: ipc/msg.c, ss_wakeup.
        """
        for sender in list(self.senders):
            self.senders.remove(sender)
            if self.has_room(len(sender.message.data)):
                sender.task.wake()
            else:
                self.senders.append(sender)

    # msgctl(2)

    def set_limit(self, byte_limit: int) -> None:
        """IPC_SET's msg_qbytes; everybody who waits looks again. Linux: ipc/msg.c, msgctl_down."""
        self.byte_limit = byte_limit
        receivers, self.receivers = self.receivers, []
        for receiver in receivers:
            receiver.task.wake()
        self.wake_senders()

    def check_limit(self, task: Task, byte_limit: int) -> None:
        """Raise EPERM unless `task` may make the limit that large."""
        if byte_limit > self.namespace.queue_bytes and not task.credentials.capable(CAP_SYS_RESOURCE):
            raise EPERM("a limit above kernel.msgmnb takes CAP_SYS_RESOURCE")

    def status(self, reader: PidNamespace) -> Msqid64Ds:
        """IPC_STAT. Linux: ipc/msg.c, msgctl_stat."""
        return Msqid64Ds(
            self.permissions(),
            self.stime_s,
            self.rtime_s,
            self.ctime_s,
            self.byte_count,
            len(self.messages),
            self.byte_limit,
            number_of(self.last_sender, reader),
            number_of(self.last_receiver, reader),
        )

    def remove(self) -> None:
        """IPC_RMID: who waits gets EIDRM. Linux: ipc/msg.c, freeque."""
        namespace = self.namespace
        namespace.messages.remove(self)
        namespace.charge(-_BYTES_FOR_QUEUE)
        for message in self.messages:
            self._count(message, -1)
        self.messages = []
        receivers, self.receivers = self.receivers, []
        for receiver in receivers:
            receiver.failure = EIDRM
            receiver.task.wake()
        senders, self.senders = self.senders, []
        for sender in senders:
            sender.task.wake()


def get_queue(task: Task, namespace: IpcNamespace, key: int, flags: int) -> int:
    """msgget(2): the id of the queue with that key, or of a new one.

    Raises ENOENT, EEXIST, EACCES, ENOSPC, ENOMEM. Linux: ipc/msg.c, ksys_msgget.
    """
    found = namespace.messages.find_key(key, flags)
    if found is not None:
        found.check_access(task, flags)
        return found.id
    namespace.charge(_BYTES_FOR_QUEUE)
    try:
        return namespace.messages.add(MessageQueue(task, namespace, key, flags))
    except ENOSPC:
        namespace.charge(-_BYTES_FOR_QUEUE)
        raise


def go_on_sending(task: Task, sender: MessageSender, flags: int) -> int:
    """The sleep of a msgsnd(2) is over: look again. Raises EIDRM, ERESTARTNOHAND, what `send` raises."""
    sender.abandon()
    if sender.queue.is_removed:
        raise EIDRM("the queue was removed")
    if task.has_pending_signal:
        raise ERESTARTNOHAND
    return sender.queue.send(task, sender.message, flags)


def go_on_receiving(task: Task, receiver: MessageReceiver, flags: int) -> Message:
    """The sleep of a msgrcv(2) is over: take what was handed over, or look again.

    Raises EIDRM, E2BIG, ERESTARTNOHAND, and what `receive` raises.
    """
    if receiver.failure is not None:
        raise receiver.failure
    if receiver.received is not None:
        return receiver.received
    receiver.abandon()
    if task.has_pending_signal:
        raise ERESTARTNOHAND
    return receiver.queue.receive(task, receiver.wish, receiver.room, flags)
