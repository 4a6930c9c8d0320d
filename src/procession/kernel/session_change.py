"""Another session keyring for the parent, which it has when it goes back to user mode (keyctl(2))."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from procession.abi.errno import EPERM
from procession.kernel.security.process_keys import keys_of
from procession.kernel.task import Unfinished
from procession.kernel.userfault.unfinished import finish_later

if TYPE_CHECKING:
    from procession.kernel.security.key import Key
    from procession.kernel.task import Task


class SessionChange(Unfinished):
    """A session keyring that a child has given. In Linux, a callback_head among the parent's task_works."""

    __slots__ = ("session", "task")

    def __init__(self, task: Task, session: Key) -> None:
        self.size = 0
        self.task = task
        self.session = session
        session.holders += 1

    def finish(self) -> None:
        """Linux: security/keys/process_keys.c, key_change_session_keyring."""
        keys = keys_of(self.task)
        self.session.holders += 1
        old, keys.session = keys.session, self.session
        if old is not None:
            self.task.kernel.keys.put(old)

    def end(self) -> None:
        self.task.kernel.keys.put(self.session)


def give_session_to_parent(task: Task, session: Key) -> None:
    """Let the parent of `task` have `session` from its way back to user mode on, in place of another.

    Raises EPERM. Linux: security/keys/keyctl.c, keyctl_session_to_parent.
    """
    parent = task.group.leader.parent
    if parent is None or parent.group.pid.own_number == 1 or len(parent.group.threads) != 1:
        raise EPERM("no parent, or one with threads")
    mine, its = task.credentials, parent.credentials
    present = None if parent.keys is None else parent.keys.session
    if present is session:
        return
    ids = {mine.euid, its.uid, its.euid, its.suid, session.uid}
    group_ids = {mine.egid, its.gid, its.egid, its.sgid}
    if len(ids) > 1 or len(group_ids) > 1 or (present is not None and present.uid != mine.euid):
        raise EPERM("the parent is somebody else")
    pending = parent.unfinished or deque()
    for work in tuple(pending):
        if isinstance(work, SessionChange):
            pending.remove(work)
            work.end()
    finish_later(parent, SessionChange(parent, session))
