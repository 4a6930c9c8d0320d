"""What shared memory, semaphore sets and message queues have in common: keys, ids, owners, permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from procession.abi.duration import NS_PER_S
from procession.abi.errno import EACCES, EEXIST, EINVAL, ENOENT, ENOSPC, EPERM
from procession.abi.ipc import IPC_PRIVATE, Ipc64Perm, IpcFlag
from procession.fs.user_namespace import NO_ID
from procession.kernel.security.capability import CAP_IPC_OWNER, CAP_SYS_ADMIN

if TYPE_CHECKING:
    from procession.fs.user_namespace import UserNamespace
    from procession.kernel.task import Task

IPC_CREAT = int(IpcFlag.IPC_CREAT)
IPC_EXCL = int(IpcFlag.IPC_EXCL)
IPC_NOWAIT = int(IpcFlag.IPC_NOWAIT)
PERMISSIONS = 0o777
READ = 0o444
WRITE = 0o222
EXECUTE = 0o111
INDEX_BITS = 15
MAXIMUM_OBJECTS = 1 << INDEX_BITS
"""No limit on the objects of a kind is above it (Linux: ipc/util.h, IPCMNI)."""
_LARGEST_SEQUENCE = 0x7FFFFFFF >> INDEX_BITS
_LEAST_CYCLE = 64


class IpcObject:
    """One object with a key and an id (Linux: include/linux/ipc.h, struct kern_ipc_perm).

    `uid` and `gid` are the owner's, `cuid` and `cgid` the creator's; `mode` are nine permission bits, and
    more for shared memory. `ctime_s` is when it was made or changed last, in seconds since the epoch.
    `is_removed` is set once there is no such object any more.
    """

    __slots__ = ("cgid", "ctime_s", "cuid", "gid", "id", "is_removed", "key", "mode", "sequence", "uid")

    def __init__(self, task: Task, key: int, mode: int) -> None:
        credentials = task.credentials
        self.key = key
        self.id = 0
        self.sequence = 0
        self.uid = self.cuid = credentials.euid
        self.gid = self.cgid = credentials.egid
        self.mode = mode & PERMISSIONS
        self.ctime_s = now_s(task)
        self.is_removed = False

    def check_access(self, task: Task, wanted: int) -> None:
        """Raise EACCES unless `task` has all rights in `wanted` (READ, WRITE, EXECUTE, or a mode).

        Linux: ipc/util.c, ipcperms.
        """
        credentials = task.credentials
        granted = self.mode
        if credentials.euid in (self.cuid, self.uid):
            granted >>= 6
        elif credentials.is_in_group(self.cgid) or credentials.is_in_group(self.gid):
            granted >>= 3
        wanted = (wanted >> 6 | wanted >> 3 | wanted) & 7
        if wanted & ~granted and not credentials.ns_capable(task.namespaces.ipc.owner, CAP_IPC_OWNER):
            raise EACCES(f"the mode {self.mode & PERMISSIONS:#o} doesn't allow that")

    def check_owner(self, task: Task) -> None:
        """Raise EPERM unless `task` may change and remove this. Linux: ipc/util.c, ipcctl_obtain_check."""
        credentials = task.credentials
        if credentials.euid not in (self.cuid, self.uid) and not credentials.ns_capable(
            task.namespaces.ipc.owner, CAP_SYS_ADMIN
        ):
            raise EPERM("neither the owner's nor the creator's process, and CAP_SYS_ADMIN is missing")

    def set_permissions(self, task: Task, new: Ipc64Perm) -> None:
        """IPC_SET's owner and permission bits. Raises EINVAL. Linux: ipc/util.c, ipc_update_perm."""
        namespace = task.credentials.user_namespace
        uid, gid = namespace.make_kuid(new.uid), namespace.make_kgid(new.gid)
        if NO_ID in (uid, gid):
            raise EINVAL("-1 is nobody's id, and one without a place in the machine neither")
        self.uid, self.gid = uid, gid
        self.mode = self.mode & ~PERMISSIONS | new.mode & PERMISSIONS
        self.ctime_s = now_s(task)

    def permissions(self) -> Ipc64Perm:
        """What IPC_STAT tells, its ids the machine's. Linux: ipc/util.c, kernel_to_ipc64_perm."""
        return Ipc64Perm(self.key, self.uid, self.gid, self.cuid, self.cgid, self.mode, self.sequence)


def show_owners(permissions: Ipc64Perm, reader: UserNamespace) -> None:
    """Make the ids in `permissions` those that `reader` has for them."""
    uid, gid = reader.from_kuid_munged, reader.from_kgid_munged
    permissions.uid, permissions.gid = uid(permissions.uid), gid(permissions.gid)
    permissions.cuid, permissions.cgid = uid(permissions.cuid), gid(permissions.cgid)


Kind = TypeVar("Kind", bound=IpcObject)


class IdTable(Generic[Kind]):
    """All objects of one kind (Linux: include/linux/ipc_namespace.h, struct ipc_ids).

    An id is a sequence number above an index: the index of a removed object is used again only after a
    cycle through `_LEAST_CYCLE` others, and then under another sequence number. `limit` is how many objects
    there may be; `next_id` what /proc/sys/kernel/*_next_id asks for, -1 for nothing.
    """

    __slots__ = ("_last_index", "_next_index", "_sequence", "by_key", "limit", "next_id", "objects")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.objects: dict[int, Kind] = {}
        self.by_key: dict[int, Kind] = {}
        self.next_id = -1
        self._sequence = 0
        self._last_index = -1
        self._next_index = 0

    def add(self, new: Kind) -> int:
        """Put in a new object; its id. Raises ENOSPC. Linux: ipc/util.c, ipc_addid."""
        objects = self.objects
        if len(objects) >= min(self.limit, MAXIMUM_OBJECTS):
            raise ENOSPC(f"there are {len(objects)} of them already")
        if self.next_id >= 0:
            index, sequence = self._wanted_index()
        else:
            index = self._free_index()
            if index <= self._last_index:
                self._sequence += 1
                if self._sequence >= _LARGEST_SEQUENCE:
                    self._sequence = 0
            self._last_index = index
            sequence = self._sequence
        new.sequence = sequence
        new.id = sequence << INDEX_BITS | index
        objects[index] = new
        if new.key != IPC_PRIVATE:
            self.by_key[new.key] = new
        return new.id

    def _wanted_index(self) -> tuple[int, int]:
        """The index and sequence number that `next_id` asks for, or the next free index."""
        wanted, self.next_id = self.next_id, -1
        index = wanted & (MAXIMUM_OBJECTS - 1)
        while index in self.objects:
            index += 1
        if index >= MAXIMUM_OBJECTS:
            raise ENOSPC("no index is free above the one that was asked for")
        return index, wanted >> INDEX_BITS

    def _free_index(self) -> int:
        """Linux: ipc/util.c, ipc_idr_alloc; lib/idr.c, idr_alloc_cyclic."""
        end = min(max(len(self.objects) * 3 // 2, _LEAST_CYCLE), MAXIMUM_OBJECTS)
        index = self._next_index
        while index < end and index in self.objects:
            index += 1
        if index >= end:
            index = 0
            while index in self.objects:
                index += 1
        self._next_index = index + 1
        return index

    def find(self, id: int) -> Kind:
        """The object with that id. Raises EINVAL. Linux: ipc/util.c, ipc_obtain_object_check."""
        found = self.at(id)
        if found.sequence != id >> INDEX_BITS:
            raise EINVAL(f"{id} is the id of something that was removed")
        return found

    def at(self, index: int) -> Kind:
        """The object with that index, whatever is above it. Raises EINVAL."""
        found = self.objects.get(index & (MAXIMUM_OBJECTS - 1)) if index >= 0 else None
        if found is None:
            raise EINVAL(f"nothing has the id {index}")
        return found

    def find_key(self, key: int, flags: int) -> Kind | None:
        """The object that a ...get() call with these arguments is about, None for a new one.

        Raises ENOENT, EEXIST. Linux: ipc/util.c, ipcget_public.
        """
        if key == IPC_PRIVATE:
            return None
        found = self.by_key.get(key)
        if found is None:
            if not flags & IPC_CREAT:
                raise ENOENT(f"nothing has the key {key:#x}")
        elif flags & IPC_CREAT and flags & IPC_EXCL:
            raise EEXIST(f"the key {key:#x} is in use")
        return found

    def forget_key(self, old: Kind) -> None:
        """Nobody finds `old` by its key any more. Linux: ipc/util.c, ipc_set_key_private."""
        if old.key != IPC_PRIVATE:
            del self.by_key[old.key]
            old.key = IPC_PRIVATE

    def remove(self, old: Kind) -> None:
        """Take an object away: whoever waits for it is to be told. Linux: ipc/util.c, ipc_rmid."""
        del self.objects[old.id & (MAXIMUM_OBJECTS - 1)]
        if old.key != IPC_PRIVATE:
            del self.by_key[old.key]
        old.is_removed = True

    @property
    def largest_index(self) -> int:
        """The largest index in use; 0 if there is none, as IPC_INFO says it."""
        return max(self.objects, default=0)

    def ordered(self) -> list[Kind]:
        """All objects in the order of their indices."""
        return [self.objects[index] for index in sorted(self.objects)]


def now_s(task: Task) -> int:
    """The time of day in seconds since the epoch."""
    return task.kernel.clock.realtime_ns // NS_PER_S
