"""Who logged in: the user and the session that audit(8) keeps with a task and hands on to its children."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.capability import Capability
from procession.abi.errno import EPERM
from procession.abi.named_tuple import NamedTuple
from procession.fs.user_namespace import NO_ID

if TYPE_CHECKING:
    from procession.kernel.task import Task

NO_SESSION = 0xFFFF_FFFF
"""AUDIT_SID_UNSET."""
_CAP_AUDIT_CONTROL = int(Capability.CAP_AUDIT_CONTROL)


class Login(NamedTuple):
    """The machine's id of the user, and the number of the session (in Linux, task_struct.loginuid and
    sessionid)."""

    uid: int
    session: int


NOBODY_LOGGED_IN = Login(NO_ID, NO_SESSION)


def set_login_uid(task: Task, uid: int) -> None:
    """The running `task` is of a new session of `uid`, or with NO_ID of none. Raises EPERM.

    Linux: kernel/audit.c, audit_set_loginuid.
    """
    if task.login.uid != NO_ID and not task.credentials.capable(_CAP_AUDIT_CONTROL):
        raise EPERM("it's of a session, and leaving it takes CAP_AUDIT_CONTROL")
    if uid == NO_ID:
        task.login = NOBODY_LOGGED_IN
        return
    kernel = task.kernel
    kernel.login_count += 1
    task.login = Login(uid, kernel.login_count % NO_SESSION)
