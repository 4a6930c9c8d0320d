"""POSIX message queues: mq_open, mq_unlink, mq_timedsend, mq_timedreceive, mq_notify, mq_getsetattr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN, EBADF, EINVAL, EMSGSIZE, ENAMETOOLONG, ENOENT, ENOTSOCK
from procession.abi.limits import PATH_MAX
from procession.abi.mqueue import MQ_PRIO_MAX, NOTIFY_COOKIE_LEN, MqAttr
from procession.abi.open_flags import OpenFlag
from procession.abi.structure import U32
from procession.abi.time import Sigevent, SigevNotify, Timespec
from procession.fs.file import O_DIRECT, O_NONBLOCK, O_PATH
from procession.fs.mqueue import QueuedMessage, QueueFile, open_queue, unlink_queue
from procession.kernel.ipc.posix_queue import (
    QueueNotification,
    QueueWait,
    ThreadNotification,
    queues_of,
    set_notification,
)
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.net.netlink.socket import NetlinkSocket
from procession.net.socket_file import SocketFile
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import (
    CreationMode,
    Fd,
    Flags,
    In,
    InBuffer,
    Out,
    OutBuffer,
    Size,
    Text,
    UInt,
)
from procession.syscalls.time import nanoseconds_of

if TYPE_CHECKING:
    from procession.fs.mqueue import QueueFile
    from procession.kernel.ipc.posix_queue import QueueNotification
    from procession.kernel.task import Task
    from procession.net.netlink.socket import NetlinkSocket

_SIGEV_SIGNAL = int(SigevNotify.SIGEV_SIGNAL)
_SIGEV_NONE = int(SigevNotify.SIGEV_NONE)
_SIGEV_THREAD = int(SigevNotify.SIGEV_THREAD)
_SIGNAL_COUNT = 64


def _check_text(name: bytes) -> None:
    """Raise ENOENT, ENAMETOOLONG, as for a path. Linux: fs/namei.c, getname_flags."""
    if not name:
        raise ENOENT("an empty name")
    if len(name) >= PATH_MAX:
        raise ENAMETOOLONG


@syscall(240)
def mq_open(
    task: Task, name: Text, flags: Flags[OpenFlag], mode: CreationMode, attributes: In[MqAttr]
) -> int:
    """mq_open(2); the descriptor is closed by exec whatever `flags` say. Linux: ipc/mqueue.c, do_mq_open."""
    wanted = attributes.get() if attributes else None
    _check_text(name)
    files, limit = task.files, task.group.limits.soft[RLIMIT_NOFILE]
    files.lowest_free(0, limit)
    file = open_queue(
        queues_of(task.kernel, task.namespaces.ipc),
        task.credentials,
        name,
        flags & ~O_PATH,
        mode & ~task.fs.umask,
        None if wanted is None else (wanted.mq_maxmsg, wanted.mq_msgsize),
    )
    if flags & O_DIRECT:
        # It's made all the same (Linux: fs/open.c, do_dentry_open).
        file.release_if_unheld()
        raise EINVAL("a queue isn't on a disk")
    return files.install(file, close_on_exec=True, limit=limit)


@syscall(241)
def mq_unlink(task: Task, name: Text) -> int:
    """mq_unlink(2). Linux: ipc/mqueue.c, SYSCALL_DEFINE1(mq_unlink)."""
    _check_text(name)
    unlink_queue(queues_of(task.kernel, task.namespaces.ipc), task.credentials, name)
    return 0


def _queue_file(task: Task, fd: int) -> QueueFile:
    """The open queue behind `fd`. Raises EBADF."""
    file = task.file_of_call(fd)
    if not isinstance(file, QueueFile):
        raise EBADF("no message queue")
    return file


def _deadline_ns(timeout: In[Timespec]) -> int | None:
    """An absolute time of CLOCK_REALTIME. Raises EFAULT, EINVAL. Linux: ipc/mqueue.c, prepare_timeout."""
    return nanoseconds_of(timeout.get()) if timeout else None


@syscall(242)
def mq_timedsend(
    task: Task, fd: Fd, message: InBuffer, length: Size, priority: UInt, timeout: In[Timespec]
) -> int:
    """mq_timedsend(2). Linux: ipc/mqueue.c, do_mq_timedsend."""
    frame = task.frame
    if frame is not None and isinstance(frame.progress, QueueWait):
        if frame.progress.is_done:
            return 0
        frame.progress.sleep()
    deadline_ns = _deadline_ns(timeout)
    if priority >= MQ_PRIO_MAX:
        raise EINVAL(f"priority {priority}")
    file = _queue_file(task, fd)
    if not file.is_writable:
        raise EBADF("not open for writing")
    queue = file.message_queue
    if length > queue.length_limit:
        raise EMSGSIZE(f"more than {queue.length_limit} bytes")
    queued = QueuedMessage(priority, task.mm.read(message, length))
    task.kernel.clock.spend_copying(length)
    if queue.is_full:
        if file.flags & O_NONBLOCK:
            raise EAGAIN("the queue is full")
        QueueWait(task, queue, queued, deadline_ns).sleep()
    queue.send(queued)
    return 0


@syscall(243)
def mq_timedreceive(
    task: Task, fd: Fd, buffer: OutBuffer, length: Size, priority: Out[U32], timeout: In[Timespec]
) -> int:
    """mq_timedreceive(2): the message's length. Linux: ipc/mqueue.c, do_mq_timedreceive."""
    frame = task.frame
    if frame is not None and isinstance(frame.progress, QueueWait):
        if not frame.progress.is_done:
            frame.progress.sleep()
        message = frame.progress.message
        assert message is not None
    else:
        deadline_ns = _deadline_ns(timeout)
        file = _queue_file(task, fd)
        if not file.is_readable:
            raise EBADF("not open for reading")
        queue = file.message_queue
        if length < queue.length_limit:
            raise EMSGSIZE(f"messages may have {queue.length_limit} bytes")
        if not queue.messages:
            if file.flags & O_NONBLOCK:
                raise EAGAIN("the queue is empty")
            QueueWait(task, queue, None, deadline_ns).sleep()
        message = queue.receive()
    # A message that can't be written there is lost, as on Linux.
    if priority:
        priority.put(message.priority)
    task.mm.write(buffer, message.data)
    task.kernel.clock.spend_copying(len(message.data))
    return len(message.data)


@syscall(244)
def mq_notify(task: Task, fd: Fd, notification: In[Sigevent]) -> int:
    """mq_notify(2). Linux: ipc/mqueue.c, do_mq_notify."""
    wanted = _wanted_notification(task, notification.get()) if notification else None
    set_notification(task, _queue_file(task, fd).message_queue, wanted)
    return 0


def _wanted_notification(task: Task, event: Sigevent) -> QueueNotification:
    """Raises EINVAL; for SIGEV_THREAD, by a netlink socket, EFAULT, EBADF, ENOTSOCK."""
    how, signo = event.sigev_notify, event.sigev_signo
    if how == _SIGEV_THREAD:
        cookie = task.mm.read(event.sigev_value, NOTIFY_COOKIE_LEN)
        return ThreadNotification(task, _netlink_socket(task, signo), cookie)
    if how not in (_SIGEV_SIGNAL, _SIGEV_NONE):
        raise EINVAL(f"no notification {how}")
    if how == _SIGEV_NONE:
        return QueueNotification(task, how)
    if not 0 <= signo <= _SIGNAL_COUNT:
        raise EINVAL(f"no signal {signo}")
    return QueueNotification(task, how, signo, event.sigev_value)


def _netlink_socket(task: Task, fd: int) -> NetlinkSocket:
    """Raises EBADF, ENOTSOCK, EINVAL. Linux: net/netlink/af_netlink.c, netlink_getsockbyfilp."""
    file = opened_file(task, fd)
    if not isinstance(file, SocketFile):
        raise ENOTSOCK
    if not isinstance(file.socket, NetlinkSocket):
        raise EINVAL("not a netlink socket")
    return file.socket


@syscall(245)
def mq_getsetattr(task: Task, fd: Fd, new: In[MqAttr], old: Out[MqAttr]) -> int:
    """mq_getsetattr(2): the flag O_NONBLOCK is all that can be set. Linux: ipc/mqueue.c, do_mq_getsetattr."""
    wanted = new.get() if new else None
    if wanted is not None and wanted.mq_flags & ~O_NONBLOCK:
        raise EINVAL("other flags than O_NONBLOCK")
    file = _queue_file(task, fd)
    queue = file.message_queue
    before = MqAttr(file.flags & O_NONBLOCK, queue.message_limit, queue.length_limit, len(queue.messages))
    if wanted is not None:
        file.flags = file.flags & ~O_NONBLOCK | wanted.mq_flags
        queue.touch_status()
    if old:
        old.put(before)
    return 0
