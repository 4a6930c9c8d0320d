"""The control group behind a descriptor, for clone3(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EBADF, ENOENT
from procession.fs.permission import MAY_WRITE
from procession.kernel.cgroup.attach import check_attaching
from procession.procfs.cgroup.file_system import CgroupDirectory

if TYPE_CHECKING:
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.task import Task


def cgroup_for_child(task: Task, fd: int, *, is_process: bool) -> Cgroup:
    """The group whose directory `fd` is, if `task` may make a child in it.

    Raises EBADF, ENOENT, EACCES and what moving the child there would.
    Linux: kernel/cgroup/cgroup.c, cgroup_css_set_fork.
    """
    directory = task.files.file(fd).path.inode
    if not isinstance(directory, CgroupDirectory):
        raise EBADF("not the directory of a control group")
    group = directory.group
    if group.is_dead:
        raise ENOENT("the group has been removed")
    opener = directory.cgroupfs.opener(task.credentials)
    directory.lookup(b"cgroup.procs").check_permission(task.credentials, MAY_WRITE)
    check_attaching(task.kernel, opener, task.cgroup, group, is_process=is_process)
    return group
