"""The files of a process about who logged in: loginuid and sessionid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EPERM, ERANGE
from procession.fs.mounts.context import parse_number
from procession.fs.user_namespace import NO_ID
from procession.kernel.security.login import set_login_uid
from procession.procfs.inode import SingleBufferFile
from procession.procfs.parse_integer import INTEGER_SIZE

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem


class LoginFile(SingleBufferFile):
    """/proc/PID/loginuid, which is written from its beginning."""

    __slots__ = ()

    def write_at(self, offset: int, data: bytes) -> int:
        if offset:
            raise EINVAL("not from the beginning")
        return super().write_at(offset, data)


def show_login_uid(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/loginuid. Linux: fs/proc/base.c, proc_loginuid_read."""
    uid = task.login.uid
    return b"%d" % (uid if uid == NO_ID else subject.user_namespace.from_kuid(uid))


def store_login_uid(system: ProcFileSystem, task: Task, data: bytes, subject: Subject) -> None:
    """Begin a session of a user, or with 4294967295 leave it. Only a task itself does.

    Raises EINVAL, ERANGE, EPERM. Linux: fs/proc/base.c, proc_loginuid_write.
    """
    if system.kernel.current is not task:
        raise EPERM("another's")
    uid = parse_number(data[:INTEGER_SIZE].partition(b"\0")[0], 10)
    if uid is None:
        raise EINVAL("no number")
    if uid > NO_ID:
        raise ERANGE("no user id")
    kuid = uid
    if uid != NO_ID:
        kuid = subject.user_namespace.make_kuid(uid)
        if kuid == NO_ID:
            raise EINVAL("no user of this namespace")
    set_login_uid(task, kuid)


def show_session(system: ProcFileSystem, task: Task, subject: Subject) -> bytes:
    """/proc/PID/sessionid. Linux: fs/proc/base.c, proc_sessionid_read."""
    return b"%d" % task.login.session
