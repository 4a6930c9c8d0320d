"""Files of control groups that tell who polls or watches them when what they say has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.fs.file_events import IN_MODIFY
from procession.fs.wait_queue import WaitQueue

if TYPE_CHECKING:
    from procession.fs.inode import Inode


class EventFile:
    """A file such as cgroup.events (in Linux, struct cgroup_file, and what kernfs keeps of an open file).

    `count` grows with each change; who has read the file at another count is to look again. `inode`, called
    `name` in `directory`, is there once somebody has looked the file up.
    """

    __slots__ = ("count", "directory", "inode", "name", "queue")

    def __init__(self) -> None:
        self.count = 0
        self.queue = WaitQueue()
        self.inode: Inode | None = None
        self.directory: Inode | None = None
        self.name = b""

    def notify(self) -> None:
        """What the file says has changed; Linux has kernfs_notify for that."""
        self.count += 1
        self.queue.wake_all()
        inode, directory = self.inode, self.directory
        if inode is None or directory is None:
            return
        for watch in list(directory.watches or ()):
            watch.happened(IN_MODIFY, self.name)
        for watch in list(inode.watches or ()):
            watch.happened(IN_MODIFY)
