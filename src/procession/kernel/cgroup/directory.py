"""The directory of a control group behind a descriptor, in which clone3(2) makes a child."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EBADF, ENOENT
from procession.fs.inode import Inode
from procession.kernel.cgroup.attach import Mover, check_attaching

if TYPE_CHECKING:
    from procession.fs.permission import Subject
    from procession.fs.superblock import Superblock
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.task import Task


class GroupDirectory(Inode):
    """What the kernel knows of a directory of cgroup2: which group it is."""

    __slots__ = ("group",)

    can_be_synced: ClassVar[bool] = False

    def __init__(self, superblock: Superblock, group: Cgroup, mode: int) -> None:
        super().__init__(superblock, mode)
        self.group = group

    def mover(self, subject: Subject) -> Mover:
        """The running task as one who moves tasks with the rights of `subject`."""
        raise NotImplementedError


def group_for_child(task: Task, fd: int, *, is_process: bool) -> Cgroup:
    """The group whose directory `fd` is, if `task` may make a child in it.

    Raises EBADF, ENOENT, EACCES and what moving the child there would.
    Linux: kernel/cgroup/cgroup.c, cgroup_css_set_fork.
    """
    directory = task.files.file(fd).path.inode
    if not isinstance(directory, GroupDirectory):
        raise EBADF("not the directory of a control group")
    group = directory.group
    if group.is_dead:
        raise ENOENT("the group has been removed")
    mover = directory.mover(task.credentials)
    mover.check_write(group)
    check_attaching(task.kernel, mover, task.cgroup, group, is_process=is_process)
    return group
