"""Long lists of supplementary groups: which there are, and what memory they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.kernel_memory import GROUP_ID_BYTES, GROUPS
from procession.net.socket_file import SocketFile
from procession.net.unix.garbage import messages_of
from procession.net.unix.socket import UnixSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from procession.fs.fd_table import FdTable
    from procession.fs.file import File
    from procession.kernel.kernel import Kernel

_SHORT = 32
"""Lists up to this length are a part of what they belong to."""
_FEW = 16


class GroupLists:
    """The long lists that somebody has, each once, charged to the machine's memory.

    Credentials are shared by tasks, open files and the ends of connections, and nobody counts who has them.
    So a list is charged when it's set, and who has lists is looked for when there are twice as many as the
    last time, when memory has run out, and when a task that has one is gone. Linux: kernel/groups.c,
    groups_alloc.
    """

    __slots__ = ("look_at_count", "known")

    def __init__(self) -> None:
        self.known: dict[tuple[int, ...], tuple[int, ...]] = {}
        self.look_at_count = _FEW

    def share(self, kernel: Kernel, groups: tuple[int, ...]) -> tuple[int, ...]:
        """The one list that is equal to `groups`, charged if it's a new one. Raises OutOfFrames."""
        if len(groups) <= _SHORT:
            return groups
        known = self.known.get(groups)
        if known is not None:
            return known
        account = kernel.memory.account
        size = len(groups) * GROUP_ID_BYTES
        if len(self.known) >= self.look_at_count or not account.can_charge(size):
            self.forget_unused(kernel)
            self.look_at_count = max(2 * len(self.known), _FEW)
        account.charge(GROUPS, size)
        self.known[groups] = groups
        return groups

    def task_is_gone(self, kernel: Kernel, groups: tuple[int, ...]) -> None:
        """A task that had `groups` has been released."""
        if len(groups) > _SHORT and not any(task.credentials.groups is groups for task in kernel.tasks):
            self.forget_unused(kernel)

    def forget_unused(self, kernel: Kernel) -> None:
        """Forget the lists that nobody has."""
        used: dict[tuple[int, ...], None] = {}
        for groups in _lists_in_use(kernel):
            if len(groups) > _SHORT:
                used[groups] = None
        for groups in [groups for groups in self.known if groups not in used]:
            del self.known[groups]
            kernel.memory.account.uncharge(GROUPS, len(groups) * GROUP_ID_BYTES)


def _lists_in_use(kernel: Kernel) -> Iterator[tuple[int, ...]]:
    """The groups of all tasks, of who opened files, and of who is at the other ends of connections."""
    tables: dict[FdTable, None] = {}
    files: dict[File, None] = {}
    for task in kernel.tasks:
        yield task.credentials.groups
        tables[task.files] = None
        if task.frame is not None:
            files.update(dict.fromkeys(task.frame.files.values()))
    for table in tables:
        files.update(dict.fromkeys(table.files.values()))
    for space in kernel.memory.address_spaces:
        for area in getattr(space, "areas", ()):
            if area.file is not None:
                files[area.file] = None
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        yield getattr(file.subject, "groups", ())
        if isinstance(file, SocketFile) and isinstance(file.socket, UnixSocket):
            socket = file.socket
            for end in (socket, socket.peer, *socket.connections):
                if end is not None and end.peer_identity is not None:
                    yield end.peer_identity.groups
            for message in messages_of(socket):
                for passed in message.files.files if message.files is not None else ():
                    if passed not in files:
                        files[passed] = None
                        waiting.append(passed)
