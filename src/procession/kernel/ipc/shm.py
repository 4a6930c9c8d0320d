"""System V shared memory: segments that any process may attach, and that outlive all of them (shmget(2))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EACCES, EINVAL, ENOMEM, ENOSPC, EPERM
from procession.abi.ipc import SHM_DEST, SHM_LOCKED, SHMMIN, ShmatFlag, Shmid64Ds
from procession.fs.file import MAXIMUM_SIZE, O_RDONLY, O_RDWR
from procession.fs.inode import S_IFREG
from procession.fs.memfd import shared_memory_mount
from procession.fs.regular_file import RegularFile
from procession.fs.tmpfs import MemoryInode, Tmpfs
from procession.hardware import page_table as pte
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SHIFT
from procession.kernel.ipc.object import EXECUTE, READ, WRITE, IpcObject
from procession.kernel.pid import number_of
from procession.kernel.program.personality import effective_protection
from procession.kernel.rlimit import RLIM_INFINITY, RLIMIT_MEMLOCK
from procession.kernel.security.capability import CAP_IPC_LOCK
from procession.kernel.security.commoncap import check_mapping_address
from procession.mm.unmapped_area import unmapped_area
from procession.mm.vma import COUNTED, PROT_EXEC, PROT_READ, PROT_WRITE, VirtualMemoryArea

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.kernel.ipc.namespace import IpcNamespace
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.pid import Pid
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task

SHM_RDONLY = int(ShmatFlag.SHM_RDONLY)
SHM_RND = int(ShmatFlag.SHM_RND)
SHM_REMAP = int(ShmatFlag.SHM_REMAP)
SHM_EXEC = int(ShmatFlag.SHM_EXEC)
_HUGETLB = 0o4000
_NORESERVE = 0o10000


class SharedSegment(IpcObject):
    """One segment (Linux: ipc/shm.c, struct shmid_kernel).

    `size` is in bytes; the pages are those of the inode at `path`. `attach_count` counts the areas that map
    it, whatever the process; `creator` is the task that made it, as long as that lives. `locker` is the user
    against whose limit its size is charged while it's locked (SHM_LOCK).
    """

    __slots__ = (
        "atime_s",
        "attach_count",
        "creator",
        "creator_pid",
        "dtime_s",
        "kernel",
        "last_pid",
        "locker",
        "namespace",
        "path",
        "size",
    )

    def __init__(self, task: Task, namespace: IpcNamespace, key: int, size: int, mode: int) -> None:
        super().__init__(task, key, mode)
        self.kernel = task.kernel
        self.namespace = namespace
        self.size = size
        self.path: Path
        self.attach_count = 0
        self.atime_s = self.dtime_s = 0
        self.creator_pid: Pid = task.group.pid
        self.last_pid: Pid | None = None
        self.creator: Task | None = task
        self.locker: Credentials | None = None

    @property
    def page_count(self) -> int:
        """How many pages it has, whether or not they were touched."""
        return (self.size + PAGE_MASK) >> PAGE_SHIFT

    @property
    def resident_pages(self) -> int:
        """How many of its pages are in memory."""
        pages = self.path.inode.pages
        return 0 if pages is None else len(pages.frames)

    def area_added(self) -> None:
        """One more area maps this: attached, split, or copied by fork. Linux: ipc/shm.c, shm_open."""
        self.attach_count += 1
        self.atime_s = self._touch()

    def area_removed(self) -> None:
        """An area is gone; the last one takes a segment with it that was removed.

        Linux: ipc/shm.c, shm_close.
        """
        self.attach_count -= 1
        self.dtime_s = self._touch()
        if self.may_be_destroyed:
            self.destroy()

    def _touch(self) -> int:
        kernel = self.kernel
        if kernel.current is not None:
            self.last_pid = kernel.current.group.pid
        return kernel.clock.realtime_ns // 1_000_000_000

    @property
    def may_be_destroyed(self) -> bool:
        """Whether nobody can need it any more. Linux: ipc/shm.c, shm_may_destroy."""
        return (
            not self.attach_count
            and not self.is_removed
            and bool(self.mode & SHM_DEST or self.namespace.forces_removal)
        )

    def destroy(self) -> None:
        """Give the memory back. Linux: ipc/shm.c, shm_destroy."""
        namespace = self.namespace
        namespace.used_pages -= self.page_count
        namespace.segments.remove(self)
        self.unlock()
        inode = self.path.inode
        inode.link_count = 0
        inode.evict_if_unused()

    def remove(self) -> None:
        """IPC_RMID: at once, or when the last area is gone. Linux: ipc/shm.c, do_shm_rmid."""
        if self.attach_count:
            self.mode |= SHM_DEST
            self.namespace.segments.forget_key(self)
        else:
            self.destroy()

    def lock(self, task: Task) -> None:
        """SHM_LOCK: nothing is ever swapped here, but it counts. Raises EPERM, ENOMEM.

        Linux: ipc/shm.c, shmctl_do_lock; mm/mlock.c, user_shm_lock.
        """
        limit = task.group.limits.soft[RLIMIT_MEMLOCK]
        self._check_locking(task, is_allowed=bool(limit))
        if self.locker is not None:
            return
        # It's pages that are counted, but the maker of a user namespace leaves its limit in bytes.
        most = limit if limit == RLIM_INFINITY else limit >> PAGE_SHIFT
        credentials = task.credentials
        has_room = credentials.has_room(RLIMIT_MEMLOCK, self.page_count, most)
        if not has_room and not credentials.capable(CAP_IPC_LOCK):
            raise ENOMEM("RLIMIT_MEMLOCK")
        self.locker = credentials.counted
        self.locker.count(RLIMIT_MEMLOCK, self.page_count)
        self.mode |= SHM_LOCKED

    def unlock_by(self, task: Task) -> None:
        """SHM_UNLOCK. Raises EPERM."""
        self._check_locking(task, is_allowed=True)
        self.unlock()

    def unlock(self) -> None:
        """Charge it to nobody any more."""
        if self.locker is not None:
            self.locker.count(RLIMIT_MEMLOCK, -self.page_count)
            self.locker = None
            self.mode &= ~SHM_LOCKED

    def _check_locking(self, task: Task, *, is_allowed: bool) -> None:
        """Raise EPERM. `is_allowed`: RLIMIT_MEMLOCK isn't 0, or doesn't count."""
        credentials = task.credentials
        if credentials.ns_capable(task.namespaces.ipc.owner, CAP_IPC_LOCK):
            return
        if credentials.euid not in (self.uid, self.cuid):
            raise EPERM("neither the owner's nor the creator's process, and CAP_IPC_LOCK is missing")
        if not is_allowed:
            raise EPERM("RLIMIT_MEMLOCK is 0")

    def status(self, reader: PidNamespace) -> Shmid64Ds:
        """IPC_STAT. Linux: ipc/shm.c, shmctl_stat."""
        return Shmid64Ds(
            self.permissions(),
            self.size,
            self.atime_s,
            self.dtime_s,
            self.ctime_s,
            self.creator_pid.number_in(reader),
            number_of(self.last_pid, reader),
            self.attach_count,
        )


class Attachment(RegularFile):
    """What one shmat(2) maps: each area that holds it counts (Linux: ipc/shm.c, struct shm_file_data)."""

    __slots__ = ("segment",)

    def __init__(self, task: Task, segment: SharedSegment, flags: int) -> None:
        super().__init__(segment.path, flags, task.credentials)
        self.segment = segment

    def acquire(self) -> None:
        """Linux: ipc/shm.c, shm_mmap, __shm_open."""
        if self.segment.is_removed:
            raise EINVAL("the segment went with its last area")
        super().acquire()
        self.segment.area_added()

    def put(self) -> None:
        segment = self.segment
        super().put()
        segment.area_removed()

    def hold(self) -> None:
        """Keep the open file itself, which isn't one more area."""
        super().acquire()

    def let_go(self) -> None:
        """Give that up."""
        super().put()


def get_segment(task: Task, namespace: IpcNamespace, key: int, size: int, flags: int) -> int:
    """shmget(2): the id of the segment with that key, or of a new one.

    Raises ENOENT, EEXIST, EACCES, EINVAL, ENOSPC, ENOMEM. Linux: ipc/shm.c, ksys_shmget.
    """
    found = namespace.segments.find_key(key, flags)
    if found is not None:
        if found.size < size:
            raise EINVAL(f"it has {found.size} bytes only")
        found.check_access(task, flags)
        return found.id
    return create_segment(task, namespace, key, size, flags)


def create_segment(task: Task, namespace: IpcNamespace, key: int, size: int, flags: int) -> int:
    """A new segment of `size` bytes; its id. Raises EINVAL, ENOSPC, ENOMEM. Linux: ipc/shm.c, newseg."""
    if not SHMMIN <= size <= namespace.largest_segment:
        raise EINVAL(f"a segment of {size} bytes")
    segment = SharedSegment(task, namespace, key, size, flags)
    if namespace.used_pages + segment.page_count > namespace.most_pages:
        raise ENOSPC("kernel.shmall")
    if flags & _HUGETLB:
        raise EINVAL("there are no huge pages")
    if size > MAXIMUM_SIZE:
        raise EINVAL("longer than a file can be")
    memory = task.kernel.memory
    if segment.page_count > memory.frame_count and not flags & _NORESERVE:
        raise ENOMEM("more than the machine's memory")
    mount = shared_memory_mount(task.kernel.vfs)
    system = mount.superblock
    assert isinstance(system, Tmpfs)
    credentials = task.credentials
    system.count_inode()
    try:
        namespace.segments.add(segment)
    except ENOSPC:
        system.uncount_inode()
        raise
    inode = MemoryInode(system, S_IFREG | 0o777, credentials.fsuid, credentials.fsgid)
    # It's what /proc/PID/maps shows.
    inode.number = segment.id
    inode.size = size
    name = b"/SYSV%08x (deleted)" % (key & 0xFFFFFFFF)
    segment.path = task.kernel.vfs.pseudo_path(mount, name, inode)
    namespace.used_pages += segment.page_count
    return segment.id


def attach(task: Task, namespace: IpcNamespace, id: int, address: int, flags: int) -> int:
    """shmat(2): where the segment is mapped. Raises EINVAL, EACCES, ENOMEM. Linux: ipc/shm.c, do_shmat."""
    mm = task.mm
    if id < 0:
        raise EINVAL("a negative id")
    is_fixed = address != 0
    if address & PAGE_MASK:
        # Rounded down to 0 it's still an address that was asked for.
        address &= ~PAGE_MASK
        if not flags & SHM_RND or (not address and flags & SHM_REMAP):
            raise EINVAL("an address that isn't page-aligned")
    elif not address and flags & SHM_REMAP:
        raise EINVAL("nothing to map again")
    protection, wanted = PROT_READ, READ
    if not flags & SHM_RDONLY:
        protection |= PROT_WRITE
        wanted |= WRITE
    if flags & SHM_EXEC:
        protection |= PROT_EXEC
        wanted |= EXECUTE
    protection = effective_protection(task, protection)
    segment = namespace.segments.find(id)
    segment.check_access(task, wanted)
    length = segment.page_count << PAGE_SHIFT
    if address and not flags & SHM_REMAP:
        if address + segment.size >= 1 << 64:
            raise EINVAL("past the end of the address space")
        if mm.areas_in(address, min(address + segment.size, pte.USER_END)):
            raise EINVAL("something is mapped there")
    if is_fixed:
        check_mapping_address(task, address)
        mm.check_fixed(address, length)
    start = address if is_fixed else unmapped_area(mm, length)
    if mm.denies(protection, protection):
        raise EACCES("writable and executable at once (PR_SET_MDWE)")
    file = Attachment(task, segment, O_RDONLY if flags & SHM_RDONLY else O_RDWR)
    area = VirtualMemoryArea(
        start,
        start + length,
        protection,
        is_shared=True,
        pages=segment.path.inode.pages,
        file=file,
        flags=COUNTED,
        may_write=not flags & SHM_RDONLY,
    )
    try:
        mm.map(area)
    except ENOMEM:
        file.release_if_unheld()
        raise
    # A child's areas count from the beginning.
    mm.has_fork_advice = True
    return start


def detach(task: Task, address: int) -> None:
    """shmdt(2): unmap what is left of the segment that was attached at `address`. Raises EINVAL.

    Parts may have been unmapped or protected otherwise: those that lie where the segment was put are meant.
    Linux: ipc/shm.c, ksys_shmdt.
    """
    if address & PAGE_MASK:
        raise EINVAL("not page-aligned")
    mm = task.mm
    file: Attachment | None = None
    doomed: list[tuple[int, int]] = []
    length = 0
    for area in mm.areas.between(max(mm.areas.count_to(address) - 1, 0), len(mm.areas)):
        if file is not None and area.end - address > length:
            break
        mapped = area.file
        if not isinstance(mapped, Attachment) or area.start - address != area.page_offset << PAGE_SHIFT:
            continue
        if file is None:
            file = mapped
            length = mapped.segment.page_count << PAGE_SHIFT
        if mapped is file:
            doomed.append((area.start, area.end))
    if file is None:
        raise EINVAL("no segment is attached there")
    for start, end in doomed:
        mm.unmap(start, end)


def forget_creator(task: Task) -> None:
    """`task` ends: its segments stay, unless kernel.shm_rmid_forced is set. Linux: ipc/shm.c, exit_shm."""
    for segment in task.namespaces.ipc.segments.ordered():
        if segment.creator is task:
            segment.creator = None
            if segment.may_be_destroyed:
                segment.destroy()


def destroy_orphans(namespace: IpcNamespace) -> None:
    """kernel.shm_rmid_forced has been set. Linux: ipc/shm.c, shm_destroy_orphaned."""
    for segment in namespace.segments.ordered():
        if segment.creator is None and segment.may_be_destroyed:
            segment.destroy()
