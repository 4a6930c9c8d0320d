"""pidfd: a file that stands for a process or thread, however often its id is given again (pidfd_open(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import EACCES, EBADF, EINVAL, ENOENT, ENOTTY, ESRCH, ESTALE
from procession.abi.file_mode import S_IFMT
from procession.abi.ioctls import FileIoctl
from procession.abi.pidfd import (
    PIDFD_GET_INFO,
    PIDFD_INFO_SIZE_VER0,
    PidfdFlag,
    PidfdIoctl,
    PidfdSelf,
)
from procession.abi.statfs import Magic
from procession.abi.word import pack_u32, pack_u64
from procession.fs.anonymous_inode import AnonymousInode
from procession.fs.file import O_NONBLOCK, O_PATH, O_RDWR, POLLHUP, POLLIN, POLLRDNORM, File
from procession.fs.handle import ExportOperations
from procession.fs.inode import S_IFDIR, S_IFREG, Inode
from procession.fs.mounts.mount import KernelMount
from procession.fs.superblock import Superblock
from procession.kernel.namespaces.nsfs import namespace_of_task, open_namespace
from procession.kernel.pid import find_pid_of_inode, find_task
from procession.kernel.pidfd_info import tell_info
from procession.kernel.security.ptrace_access import may_access
from procession.kernel.task_state import ENDED

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import UserMemory
    from procession.fs.permission import Subject
    from procession.fs.vfs import Vfs
    from procession.fs.wait_queue import WaitQueue
    from procession.kernel.pid import Pid
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task, ThreadGroup

PIDFD_THREAD = int(PidfdFlag.PIDFD_THREAD)
PIDFD_SELF_THREAD = int(PidfdSelf.PIDFD_SELF_THREAD)
_SELF = (PIDFD_SELF_THREAD, int(PidfdSelf.PIDFD_SELF_THREAD_GROUP))
_NAME = b"anon_inode:[pidfd]"
_FILE_SYSTEM = "pidfs"

_FILEID_KERNFS = 0xFE
"""The type of their handles (Linux: include/linux/exportfs.h)."""
_GET_VERSION = int(FileIoctl.FS_IOC_GETVERSION)
_SIZE_MASK = 0x3FFF
_GET_INFO = 3 << 30 | 0xFF << 8 | PIDFD_GET_INFO
"""_IOWR(PIDFS_IOCTL_MAGIC, 11, ...) but for the size."""
_PID_FOR_CHILDREN = int(PidfdIoctl.PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE)
_NAMESPACES = {
    int(PidfdIoctl.PIDFD_GET_CGROUP_NAMESPACE): b"cgroup",
    int(PidfdIoctl.PIDFD_GET_IPC_NAMESPACE): b"ipc",
    int(PidfdIoctl.PIDFD_GET_MNT_NAMESPACE): b"mnt",
    int(PidfdIoctl.PIDFD_GET_NET_NAMESPACE): b"net",
    int(PidfdIoctl.PIDFD_GET_PID_NAMESPACE): b"pid",
    int(PidfdIoctl.PIDFD_GET_PID_FOR_CHILDREN_NAMESPACE): b"pid_for_children",
    int(PidfdIoctl.PIDFD_GET_TIME_NAMESPACE): b"time",
    int(PidfdIoctl.PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE): b"time_for_children",
    int(PidfdIoctl.PIDFD_GET_USER_NAMESPACE): b"user",
    int(PidfdIoctl.PIDFD_GET_UTS_NAMESPACE): b"uts",
}


_HANDLE_BYTES = 8


class PidExportOperations(ExportOperations):
    """Handles of pidfds, which are the number of what they share. Linux: fs/pidfs.c, pidfs_encode_fh."""

    __slots__ = ()

    kind = _FILEID_KERNFS

    def encode(self, inode: Inode) -> bytes:
        return pack_u64(inode.number)

    def number_of(self, kind: int, handle: bytes) -> int:
        """Linux: fs/pidfs.c, pidfs_fh_to_dentry."""
        if kind != self.kind or len(handle) < _HANDLE_BYTES:
            raise ESTALE
        return int.from_bytes(handle[:_HANDLE_BYTES], "little")


class PidFileSystem(Superblock):
    """Where pidfds are: all that stand for the same show the same inode number, which no other has.

    Linux: fs/pidfs.c, pidfs_init_fs_context.
    """

    __slots__ = ("mount",)

    forbids_execution: ClassVar[bool] = True
    has_xattrs: ClassVar[bool] = True
    xattr_families: ClassVar[tuple[bytes, ...]] = (b"trusted",)
    exports: ClassVar[ExportOperations | None] = PidExportOperations()

    def __init__(self, vfs: Vfs) -> None:
        super().__init__(vfs, _FILE_SYSTEM, int(Magic.PID_FS_MAGIC))
        self.is_internal = True
        self.root = Inode(self, S_IFDIR | 0o555)
        self.mount = KernelMount(self)


class PidInode(AnonymousInode):
    """What all descriptors of one id share. It's a regular file that shows no type at all.

    `pid` and `bearer` are the id and who has it, or had it last. Linux: fs/pidfs.c, pidfs_init_inode.
    """

    __slots__ = ("bearer", "pid")

    def __init__(self, system: PidFileSystem) -> None:
        super().__init__(system, S_IFREG | 0o700)
        self.bearer: Task | None = None
        self.pid: Pid | None = None

    @property
    def shown_mode(self) -> int:
        """Linux: fs/anon_inodes.c, anon_inode_getattr."""
        return self.mode & ~S_IFMT

    def open(self, path: Path, flags: int, subject: Subject, progress: object = None) -> File:
        """Anew, by its name in /proc/PID/fd: whether the id is a thread's, that file doesn't say."""
        assert self.bearer is not None
        assert self.pid is not None
        return PidFile(path, flags, subject, self.bearer, self.pid)

    def truncate(self, size: int) -> None:
        self.set_attributes()

    # Nothing is set aside for attributes until one is changed. Until then there are all, and they are empty.
    # Linux: fs/pidfs.c, pidfs_xattr_get, pidfs_xattr_set.

    def read_xattr(self, name: bytes) -> bytes | None:
        return b"" if self.xattrs is None else self.xattrs.get(name)

    def read_xattrs(self) -> dict[bytes, bytes]:
        return {} if self.xattrs is None else self.xattrs

    def writable_xattrs(self) -> dict[bytes, bytes]:
        if self.xattrs is None:
            self.xattrs = {}
        return self.xattrs


def pid_file_system(vfs: Vfs) -> PidFileSystem:
    """The machine's pidfs, made at first use."""
    mount = vfs.pseudo_mounts.get(_FILE_SYSTEM)
    if mount is None:
        mount = vfs.pseudo_mounts[_FILE_SYSTEM] = PidFileSystem(vfs).mount
    system = mount.superblock
    assert isinstance(system, PidFileSystem)
    return system


def _pidfd_path(vfs: Vfs, pid: Pid | None) -> Path:
    """Where a new pidfd of `pid` is, or of what isn't there yet."""
    system = pid_file_system(vfs)
    inode = None if pid is None else pid.inode
    return vfs.pseudo_path(system.mount, _NAME, PidInode(system) if inode is None else inode)


class PidFile(File):
    """An open pidfd. It can be polled: what it stands for has ended when it's readable, and was reaped when
    it's hung up (Linux: fs/pidfs.c, pidfd_poll).

    It stands for what `pid` names: the process, whose threads are in `group`, or with PIDFD_THREAD the
    thread, which is `bearer`.
    """

    __slots__ = ("bearer", "group", "kernel", "pid")

    is_seekable = True
    takes_offset = True
    counts_as_writer: ClassVar[bool] = True
    has_read: ClassVar[bool] = False
    has_write: ClassVar[bool] = False

    def __init__(self, path: Path, flags: int, subject: Subject, bearer: Task, pid: Pid) -> None:
        super().__init__(path, flags, subject)
        self.kernel = bearer.kernel
        self.group = bearer.group
        self.bearer = bearer
        self.pid = pid

    def stand_for(self, child: Task) -> None:
        """For that thread or its process, from now on, of which there is no descriptor yet."""
        self.group = child.group
        self.bearer = child
        self.pid = child.thread_pid if self.is_thread else child.group.pid
        self.become_known()

    def become_known(self) -> None:
        """Say whose the inode is, so that others can be opened of it."""
        inode = self.inode
        assert isinstance(inode, PidInode)
        inode.bearer, inode.pid = self.bearer, self.pid
        self.pid.inode = inode

    @property
    def is_thread(self) -> bool:
        """Whether it's for a thread alone."""
        return bool(self.flags & PIDFD_THREAD)

    @property
    def target(self) -> Task | None:
        """The thread, or the leader of the process, that has the id; None if nobody has it any more."""
        return self.pid.task

    @property
    def has_ended(self) -> bool:
        """Whether the thread has, or every thread of the process."""
        target = self.target
        if target is None:
            return True
        return target.state in ENDED and (self.is_thread or len(target.group.threads) <= 1)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        """A descriptor for a namespace of the process, or what is told of it.

        Linux: fs/pidfs.c, pidfd_ioctl.
        """
        name = _NAMESPACES.get(request)
        task, target = self.kernel.current, self.target
        size = request >> 16 & _SIZE_MASK
        if request & ~(_SIZE_MASK << 16) == _GET_INFO and size >= PIDFD_INFO_SIZE_VER0 and task is not None:
            tell_info(self, task, argument, size, memory)
            return 0
        if request == _GET_VERSION:
            if not argument:
                raise EINVAL("nowhere to put it")
            # The inode's number has 64 bits: its generation is nothing beyond them.
            memory.write(argument, pack_u32(0))
            return 0
        if name is None:
            raise ENOTTY
        if target is None or task is None:
            raise ESRCH("the process is gone")
        if argument:
            raise EINVAL("the request has no argument")
        if target.state in ENDED:
            raise ESRCH("the process has left its namespaces")
        if not may_access(task, target, by_fs_ids=True):
            raise EACCES("the process may not be inspected by this one")
        if request == _PID_FOR_CHILDREN:
            # Here, unlike in /proc, even one in which nobody has been made yet.
            return open_namespace(task, target.namespaces.pid_for_children)
        return open_namespace(task, namespace_of_task(target, name))

    def truncate(self, size: int) -> None:
        self.inode.set_attributes()

    def poll_mask(self) -> int:
        if not self.has_ended:
            return 0
        return POLLIN | POLLRDNORM | (POLLHUP if self.target is None else 0)

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.group.exit_queue,)

    def show_details(self) -> bytes:
        """Linux: fs/pidfs.c, pidfd_show_fdinfo."""
        if self.target is None:
            return b"Pid:\t-1\nNSpid:\t-1\n"
        namespace = self.kernel.seen_pid_namespace
        inner = b"".join(b"\t%d" % number for number in self.pid.numbers_from(namespace)) or b"\t0"
        return b"Pid:\t%d\nNSpid:%s\n" % (self.pid.number_in(namespace), inner)


def signalled_by(task: Task, fd: int) -> tuple[ThreadGroup, PidFile | None]:
    """The process that a signal through descriptor `fd` of `task` goes to, and the pidfd. Raises EBADF.

    Linux: kernel/signal.c, pidfd_to_pid; fs/proc/base.c, tgid_pidfd_to_pid.
    """
    if fd in _SELF:
        return task.group, None
    file = task.files.file(fd)
    if isinstance(file, PidFile):
        return file.group, file
    # The directory /proc/PID, which is procfs's, does for a pidfd; a single thread's directory doesn't.
    group: ThreadGroup | None = getattr(file.inode, "shown_group", None)
    if group is None or file.flags & O_PATH:
        raise EBADF(f"descriptor {fd} is neither a pidfd nor a process's directory")
    return group, None


def process_behind(task: Task, fd: int) -> ThreadGroup:
    """The process of a pidfd of `task`, or its own for PIDFD_SELF_*. Raises EBADF, ESRCH if it has ended.

    Linux: kernel/pid.c, pidfd_get_task.
    """
    if fd in _SELF:
        return task.group
    file = pid_file_of(task, fd)
    if file.has_ended or file.pid is not file.group.pid:
        raise ESRCH("the process has ended, or it's the id of a thread")
    return file.group


def pid_file_of(task: Task, fd: int) -> PidFile:
    """The pidfd behind a descriptor of `task`. Raises EBADF."""
    file = task.file_of_call(fd)
    if file is None:
        raise EBADF
    if not isinstance(file, PidFile):
        raise EBADF(f"descriptor {fd} is no pidfd")
    return file


def task_for_pidfd(opener: Task, number: int, *, is_thread: bool) -> Task:
    """The thread `number`, or the leader of the process, for a new pidfd. Raises EINVAL, ENOENT, ESRCH."""
    if number <= 0:
        raise EINVAL("a process id is above 0")
    found = find_task(opener.pid_namespace, number)
    if found is None:
        raise ESRCH(f"no process {number}")
    if not found.is_leader and not is_thread:
        # Linux: kernel/fork.c, pidfd_prepare.
        raise ENOENT(f"{number} is a thread's id and not its process's")
    return found


def open_pidfd(target: Task, flags: int, opener: Credentials) -> PidFile:
    """A pidfd of a process, or with PIDFD_THREAD of a thread. Linux: kernel/fork.c, pidfd_prepare."""
    pid = target.thread_pid if flags & PIDFD_THREAD else target.group.pid
    path = _pidfd_path(target.kernel.vfs, pid)
    file = PidFile(path, O_RDWR | flags & O_NONBLOCK, opener, target, pid)
    file.flags |= flags & PIDFD_THREAD
    file.become_known()
    return file


def open_pidfd_of_child(parent: Task, flags: int) -> PidFile:
    """One of a child that isn't there yet: `stand_for` follows."""
    path = _pidfd_path(parent.kernel.vfs, None)
    file = PidFile(path, O_RDWR, parent.credentials, parent, parent.thread_pid)
    file.flags |= flags & PIDFD_THREAD
    return file


def open_pidfd_by_handle(
    opener: Task, system: PidFileSystem, kind: int, handle: bytes, flags: int
) -> PidFile:
    """A new pidfd of what `handle` names, if the opener's pid namespace knows it. Raises ESTALE.

    Linux: fs/pidfs.c, pidfs_fh_to_dentry, pidfs_export_open.
    """
    operations = system.exports
    assert operations is not None
    number = operations.number_of(kind, handle)
    pid = find_pid_of_inode(opener.pid_namespace, number, opener.kernel.clock)
    if pid is None or pid.task is None:
        raise ESTALE
    kept = flags & O_NONBLOCK | (0 if pid.task.is_leader else PIDFD_THREAD)
    return open_pidfd(pid.task, kept, opener.credentials)
