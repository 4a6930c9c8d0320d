"""SECCOMP_RET_USER_NOTIF: calls that wait for a supervisor's answer, and the file through which it gives it.

See seccomp_unotify(2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import E2BIG, EBADF, EINPROGRESS, EINVAL, ENOENT, Errno
from procession.abi.open_flags import OpenFlag
from procession.abi.seccomp import (
    SeccompAddfdFlag,
    SeccompData,
    SeccompIoctl,
    SeccompListenerFlag,
    SeccompNotif,
    SeccompNotifAddfd,
    SeccompNotifFlag,
    SeccompNotifResp,
)
from procession.fs.anonymous_inode import anonymous_path
from procession.fs.file import O_PATH, O_RDWR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM, File
from procession.fs.wait_queue import Abandonable, Sleep, WaitQueue
from procession.hardware.physical_memory import PAGE_SIZE, OutOfFrames
from procession.kernel.rlimit import RLIMIT_NOFILE

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.security.seccomp import SeccompFilter
    from procession.kernel.task import Task

_WORD_64 = 0xFFFF_FFFF_FFFF_FFFF
_ENOSYS = 38
_O_CLOEXEC = int(OpenFlag.O_CLOEXEC)
_CONTINUE = int(SeccompNotifFlag.SECCOMP_USER_NOTIF_FLAG_CONTINUE)
_SETFD, _SEND = int(SeccompAddfdFlag.SECCOMP_ADDFD_FLAG_SETFD), int(SeccompAddfdFlag.SECCOMP_ADDFD_FLAG_SEND)
_SYNC_WAKE_UP = int(SeccompListenerFlag.SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP)

_RECV = int(SeccompIoctl.SECCOMP_IOCTL_NOTIF_RECV)
_SEND_REPLY = int(SeccompIoctl.SECCOMP_IOCTL_NOTIF_SEND)
_ID_VALID = int(SeccompIoctl.SECCOMP_IOCTL_NOTIF_ID_VALID)
_SET_FLAGS = int(SeccompIoctl.SECCOMP_IOCTL_NOTIF_SET_FLAGS)
_SIZE_MASK, _DIRECTION_MASK = 0x3FFF0000, 0xC0000000
_ADDFD_MASK = ~(_SIZE_MASK | _DIRECTION_MASK)
"""Linux looks neither at its direction nor at its size (in kernel/seccomp.c, EA_IOCTL)."""
_ADDFD = int(SeccompIoctl.SECCOMP_IOCTL_NOTIF_ADDFD) & _ADDFD_MASK

# The states of a notification (Linux: kernel/seccomp.c, enum notify_state).
WAITING, TAKEN, REPLIED = range(3)


class Notification(Abandonable):
    """One call that waits for the supervisor (Linux: kernel/seccomp.c, struct seccomp_knotif).

    `state` is WAITING until the supervisor has received it, TAKEN until it has answered. The answer is
    `error`, a negative errno or 0, and `value`, a signed number of 64 bits; `goes_on` says that the call
    is to be made after all.
    """

    __slots__ = ("data", "error", "filter", "goes_on", "identifier", "queue", "state", "task", "value")

    def __init__(self, task: Task, source: SeccompFilter, identifier: int, data: SeccompData) -> None:
        self.task = task
        self.filter = source
        self.identifier = identifier
        self.data = data
        self.state = WAITING
        self.error = 0
        self.value = 0
        self.goes_on = False
        self.queue = WaitQueue()

    @property
    def number(self) -> int:
        """The call's, unsigned."""
        return self.data.nr & 0xFFFFFFFF

    def reply(self, error: int, value: int, *, goes_on: bool = False) -> None:
        """Give the answer, and wake the task."""
        self.state = REPLIED
        self.error, self.value, self.goes_on = error, value, goes_on
        self.queue.wake_all()

    def abandon(self) -> None:
        """The task waits no more."""
        notifications = self.filter.notifications
        if notifications is not None:
            notifications.waiting.pop(self.identifier, None)


class Notifications:
    """What a filter has for its listener (Linux: kernel/seccomp.c, struct notification).

    `waiting` has the calls by their identifiers, in the order in which they came. `unreceived` counts what
    the supervisor may receive without waiting; a call that was abandoned stays in it, as on Linux.
    """

    __slots__ = ("next_identifier", "unreceived", "waiting")

    def __init__(self, kernel: Kernel) -> None:
        self.next_identifier = int.from_bytes(kernel.random_bytes(8), "little")
        self.unreceived = 0
        self.waiting: dict[int, Notification] = {}


def notify_supervisor(kernel: Kernel, task: Task, source: SeccompFilter | None, data: SeccompData) -> int:
    """Tell the listener of the filter `source` of the running task's call, and sleep until it answers.

    Returns at once, with -ENOSYS, if nobody listens. Linux: kernel/seccomp.c, seccomp_do_user_notification.
    """
    notifications = None if source is None else source.notifications
    if source is None or notifications is None:
        return -_ENOSYS
    identifier = notifications.next_identifier
    notifications.next_identifier = identifier + 1 & _WORD_64
    notification = Notification(task, source, identifier, data)
    notifications.waiting[identifier] = notification
    notifications.unreceived += 1
    source.queue.wake_all()
    raise Sleep(notification.queue, progress=notification)


def reply_to(notification: Notification) -> int | None:
    """What the call that was woken returns, None if it is to be made. Raises Sleep if it must wait still."""
    if notification.state != REPLIED:
        is_killable = notification.filter.waits_killable and notification.state == TAKEN
        raise Sleep(notification.queue, progress=notification, is_interruptible=not is_killable)
    notification.abandon()
    if notification.goes_on:
        return None
    return notification.error or notification.value


class ListenerFile(File):
    """The supervisor's end of a filter. Linux: kernel/seccomp.c, seccomp_notify_ops."""

    __slots__ = ("filter",)

    has_read: ClassVar[bool] = False
    has_write: ClassVar[bool] = False

    def __init__(self, kernel: Kernel, source: SeccompFilter, opener: Task) -> None:
        super().__init__(anonymous_path(kernel.vfs, "seccomp notify"), O_RDWR, opener.credentials)
        self.filter = source
        source.notifications = Notifications(kernel)

    def release(self) -> None:
        """Calls that wait fail with ENOSYS, as those that come.

        Linux: kernel/seccomp.c, seccomp_notify_detach.
        """
        notifications, self.filter.notifications = self.filter.notifications, None
        assert notifications is not None
        for notification in list(notifications.waiting.values()):
            if notification.state != REPLIED:
                notification.reply(-_ENOSYS, 0)

    def poll_mask(self) -> int:
        """Linux: kernel/seccomp.c, seccomp_notify_poll."""
        mask = 0
        for notification in self.notifications.waiting.values():
            if notification.state == WAITING:
                mask |= POLLIN | POLLRDNORM
            elif notification.state == TAKEN:
                mask |= POLLOUT | POLLWRNORM
        return mask if self.filter.users else mask | POLLHUP

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.filter.queue,)

    @property
    def notifications(self) -> Notifications:
        """What there is for it: it is there as long as this file."""
        notifications = self.filter.notifications
        assert notifications is not None
        return notifications


def control_listener(task: Task, file: ListenerFile, request: int, argument: int) -> int:
    """ioctl(2) on a listener by the supervisor `task`. Linux: kernel/seccomp.c, seccomp_notify_ioctl."""
    if request == _RECV:
        return _receive(task, file, argument)
    if request == _SEND_REPLY:
        return _send(task, file, argument)
    if request == _ID_VALID:
        identifier = int.from_bytes(task.mm.read(argument, 8), "little")
        notification = file.notifications.waiting.get(identifier)
        if notification is None or notification.state != TAKEN:
            raise ENOENT("the call doesn't wait any more")
        return 0
    if request == _SET_FLAGS:
        if argument & ~_SYNC_WAKE_UP:
            raise EINVAL("unknown flags")
        # On which processor the two meet is all that it changes.
        return 0
    if request & _ADDFD_MASK == _ADDFD:
        return _add_descriptor(task, file, argument, (request & _SIZE_MASK) >> 16)
    raise EINVAL(f"no request {request:#x} of a listener")


def _receive(task: Task, file: ListenerFile, argument: int) -> int:
    """SECCOMP_IOCTL_NOTIF_RECV. Linux: kernel/seccomp.c, seccomp_notify_recv."""
    if any(task.mm.read(argument, SeccompNotif.SIZE)):
        raise EINVAL("the structure isn't zeroed")
    notifications = file.notifications
    if file.filter.users:
        if not notifications.unreceived:
            raise Sleep(file.filter.queue)
        notifications.unreceived -= 1
    found = next((each for each in notifications.waiting.values() if each.state == WAITING), None)
    if found is None:
        raise ENOENT("the call that there was waits no more")
    number = found.task.thread_pid.number_in(task.pid_namespace)
    notice = SeccompNotif(found.identifier, number, 0, found.data)
    try:
        task.mm.write(argument, notice.pack())
    except (Errno, OutOfFrames):
        notifications.unreceived += 1
        file.filter.queue.wake_all()
        raise
    found.state = TAKEN
    file.filter.queue.wake_all()
    return 0


def _taken(file: ListenerFile, identifier: int) -> Notification:
    """The call that the supervisor has received and not answered. Raises ENOENT, EINPROGRESS."""
    notification = file.notifications.waiting.get(identifier)
    if notification is None:
        raise ENOENT("the call doesn't wait any more")
    if notification.state != TAKEN:
        raise EINPROGRESS("the call wasn't received, or is answered")
    return notification


def _send(task: Task, file: ListenerFile, argument: int) -> int:
    """SECCOMP_IOCTL_NOTIF_SEND. Linux: kernel/seccomp.c, seccomp_notify_send."""
    response = SeccompNotifResp.unpack(task.mm.read(argument, SeccompNotifResp.SIZE))
    goes_on = bool(response.flags & _CONTINUE)
    if response.flags & ~_CONTINUE:
        raise EINVAL("unknown flags")
    if goes_on and (response.error or response.val):
        raise EINVAL("the call goes on and so has no result yet")
    _taken(file, response.id).reply(response.error, response.val, goes_on=goes_on)
    return 0


def _add_descriptor(task: Task, file: ListenerFile, argument: int, size: int) -> int:
    """SECCOMP_IOCTL_NOTIF_ADDFD: give a descriptor of the supervisor's to the waiting task; its number there.

    Linux: kernel/seccomp.c, seccomp_notify_addfd, seccomp_handle_addfd.
    """
    if not SeccompNotifAddfd.SIZE <= size < PAGE_SIZE:
        raise EINVAL("no size of struct seccomp_notif_addfd")
    data = task.mm.read(argument, size)
    if any(data[SeccompNotifAddfd.SIZE :]):
        raise E2BIG("fields that aren't known")
    wanted = SeccompNotifAddfd.unpack_from(data)
    if wanted.newfd_flags & ~_O_CLOEXEC or wanted.flags & ~(_SETFD | _SEND):
        raise EINVAL("unknown flags")
    if wanted.newfd and not wanted.flags & _SETFD:
        raise EINVAL("a number, and no SECCOMP_ADDFD_FLAG_SETFD")
    source = task.files.files.get(wanted.srcfd)
    if source is None or source.flags & O_PATH:
        raise EBADF(f"the supervisor has no descriptor {wanted.srcfd}")
    notification = _taken(file, wanted.id)
    target = notification.task
    limit = target.group.limits.soft[RLIMIT_NOFILE]
    close_on_exec = bool(wanted.newfd_flags & _O_CLOEXEC)
    if wanted.flags & _SETFD:
        fd = wanted.newfd
        if fd >= limit:
            raise EBADF(f"{fd} is above the task's limit")
        target.files.replace(fd, source, close_on_exec=close_on_exec)
    else:
        fd = target.files.install(source, close_on_exec=close_on_exec, limit=limit)
    if wanted.flags & _SEND:
        notification.reply(0, fd)
    return fd
