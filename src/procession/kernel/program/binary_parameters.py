"""What execve knows of a program on the way to running it, and the files that it opens for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, ELOOP
from procession.abi.file_mode import S_IFMT
from procession.abi.open_flags import OpenFlag
from procession.fs.inode import S_IFREG
from procession.fs.landlock import check_right, rights_to_open
from procession.fs.mounts.id_map import through
from procession.fs.permission import MAY_EXEC, MAY_READ
from procession.fs.user_namespace import NO_ID

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import File
    from procession.fs.inode import Inode
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.task import Task

_O_RDONLY = int(OpenFlag.O_RDONLY)


def _has_ids(namespace: UserNamespace, inode: Inode) -> bool:
    """Whether a file's owner and group have ids in `namespace`.

    Linux: kernel/capability.c, privileged_wrt_inode_uidgid.
    """
    return namespace.uid_map.up(inode.uid) != NO_ID and namespace.gid_map.up(inode.gid) != NO_ID


class BinaryParameters:
    """What is known of the program on the way to running it (Linux: include/linux/binfmts.h, struct
    linux_binprm).

    `name` is what AT_EXECFN shows, `interpreter_name` what the search for a handler is at: the same, or a
    script's interpreter. `arguments` and `environment` are the strings without their NULs. `held` are the
    files opened on the way, `file` the last one. `is_readable` says whether the caller may read the program
    and its dynamic loader, so that a core could tell nothing new; `owner` is the user namespace in which it's
    executed, or one around it in which the files' owners have ids. An interpreter of binfmt_misc may ask for
    `opened_program`, a descriptor of the program; for the rights of `privileged_program`; and for
    `vector_flags`, AT_FLAGS. With `is_path_inaccessible` no interpreter could open the program by its name,
    as exec closes the descriptor (Linux: include/linux/binfmts.h, BINPRM_FLAGS_PATH_INACCESSIBLE).
    """

    __slots__ = (
        "arguments",
        "environment",
        "file",
        "held",
        "interpreter_name",
        "is_path_inaccessible",
        "is_readable",
        "name",
        "opened_program",
        "owner",
        "privileged_program",
        "vector_flags",
    )
    file: File

    def __init__(self, name: bytes, arguments: list[bytes], environment: list[bytes]) -> None:
        self.name = name
        self.interpreter_name = name
        self.arguments = arguments
        self.environment = environment
        self.held: list[File] = []
        self.is_path_inaccessible = False
        self.is_readable = True
        self.opened_program: File | None = None
        self.owner: UserNamespace | None = None
        self.privileged_program: File | None = None
        self.vector_flags = 0

    def open(self, task: Task, path: Path) -> File:
        """Open what is at `path` for execution. Raises EACCES, ETXTBSY. Linux: fs/exec.c, do_open_execat."""
        inode = path.dentry.inode
        if inode.is_symlink:
            raise ELOOP("a link that isn't followed")
        if inode.mode & S_IFMT != S_IFREG:
            raise EACCES("not a regular file")
        if path.mount.is_noexec:
            raise EACCES("on a mount without execution")
        inode.check_permission(through(path.mount, task.credentials), MAY_EXEC)
        if task.credentials.landlock:
            check_right(
                task.credentials, path, rights_to_open(inode, reads=True, writes=False, executes=True)
            )
        inode.deny_write_access()
        inode.allow_write_access()
        file = inode.open(path, _O_RDONLY, task.credentials)
        events = inode.superblock.vfs.file_events
        if events is not None:
            events.opened(file)
            events.accessed(file)
        file.acquire()
        self.held.append(file)
        return file

    def open_again(self, task: Task, opened: File) -> File:
        """Open once more what is open already, wherever it is by now."""
        file = opened.inode.open(opened.path, _O_RDONLY, task.credentials)
        file.acquire()
        self.held.append(file)
        return file

    def note_reading(self, task: Task, file: File) -> None:
        """Take note if the caller may execute but not read `file`: then who looks into the program has to
        have rights where the file's owner has an id. Linux: fs/exec.c, would_dump.
        """
        inode = file.inode
        if self.owner is None:
            self.owner = task.credentials.user_namespace
        try:
            inode.check_permission(through(file.path.mount, task.credentials), MAY_READ)
        except EACCES:
            self.is_readable = False
            owner = self.owner
            while owner.parent is not None and not _has_ids(owner, inode):
                owner = owner.parent
            self.owner = owner

    def close(self) -> None:
        """Give back what was opened; the new address space has references of its own."""
        for file in self.held:
            file.put()
