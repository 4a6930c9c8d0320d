"""Magic links of /proc/PID: they lead to something of a task, past all names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENAMETOOLONG
from procession.abi.limits import PATH_MAX
from procession.fs.dentry import absolute_path
from procession.procfs.access import reader_root, require_inspection
from procession.procfs.inode import ProcLink

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.kernel.task import Task
    from procession.procfs.file_system import ProcFileSystem


class MagicLink(ProcLink):
    """A link to something of `task`, for who may inspect it; subclasses say where it leads."""

    __slots__ = ("task",)

    is_magic_link = True
    needs_slow_walk = True

    def __init__(self, superblock: ProcFileSystem, number: int, task: Task, permissions: int = 0o777) -> None:
        super().__init__(superblock, number, permissions)
        self.task = task

    def target(self) -> Path:
        """Where it leads. Raises ENOENT when the task has no such thing any more."""
        raise NotImplementedError

    def follow_magic_link(self) -> Path:
        """Linux: fs/proc/base.c, proc_pid_get_link."""
        current = self.proc.kernel.current
        if current is not None:
            require_inspection(current.credentials, self.task)
        return self.target()

    def readlink(self) -> bytes:
        """Linux: fs/proc/base.c, proc_pid_readlink."""
        return name_to_read(self.follow_magic_link(), reader_root(self.proc, self.task))


def name_to_read(path: Path, root: Path) -> bytes:
    """The name of `path` as seen from `root`, as readlink(2) gives it. Raises ENAMETOOLONG.

    Linux: fs/proc/base.c, do_proc_readlink.
    """
    name = absolute_path(path, root)
    if len(name) >= PATH_MAX:
        raise ENAMETOOLONG("a name longer than PATH_MAX")
    return name
