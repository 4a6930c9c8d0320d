"""What namespaces of every kind have in common: a number, an owner, and who holds them (namespaces(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, NewType

from procession.abi.clone_flags import CloneFlag
from procession.abi.errno import ENOSPC
from procession.hardware.kernel_memory import NAMESPACE, NAMESPACE_BYTES
from procession.hardware.physical_memory import OutOfFrames

if TYPE_CHECKING:
    from procession.fs.inode import Inode
    from procession.fs.user_namespace import UserNamespace
    from procession.hardware.kernel_memory import KernelMemory

FIRST_NUMBER: Final = 0xF000_0000
"""The inode number of the first namespace that a program makes.

Linux: fs/proc/generic.c, PROC_DYNAMIC_FIRST.
"""

# Those of the namespaces that a machine starts with (Linux: include/uapi/linux/nsfs.h, enum init_ns_ino).
MOUNT_NUMBER: Final = 0xEFFF_FFF8
NETWORK_NUMBER: Final = 0xEFFF_FFF9
TIME_NUMBER: Final = 0xEFFF_FFFA
CGROUP_NUMBER: Final = 0xEFFF_FFFB
PID_NUMBER: Final = 0xEFFF_FFFC
USER_NUMBER: Final = 0xEFFF_FFFD
UTS_NUMBER: Final = 0xEFFF_FFFE
IPC_NUMBER: Final = 0xEFFF_FFFF

CLONE_NEWTIME: Final = int(CloneFlag.CLONE_NEWTIME)
CLONE_NEWNS: Final = int(CloneFlag.CLONE_NEWNS)
CLONE_NEWCGROUP: Final = int(CloneFlag.CLONE_NEWCGROUP)
CLONE_NEWUTS: Final = int(CloneFlag.CLONE_NEWUTS)
CLONE_NEWIPC: Final = int(CloneFlag.CLONE_NEWIPC)
CLONE_NEWUSER: Final = int(CloneFlag.CLONE_NEWUSER)
CLONE_NEWPID: Final = int(CloneFlag.CLONE_NEWPID)
CLONE_NEWNET: Final = int(CloneFlag.CLONE_NEWNET)


NamespaceId = NewType("NamespaceId", int)


class NamespaceTable:
    """All namespaces of a machine by their inode numbers, in the order in which they were made."""

    __slots__ = ("live", "next_id", "next_number")

    def __init__(self) -> None:
        self.live: dict[int, Namespace] = {}
        self.next_id = 1
        self.next_number = FIRST_NUMBER

    def add(self, namespace: Namespace, number: int = 0) -> int:
        """`namespace` is alive from now on; the result is its number, the next free one without `number`."""
        if not number:
            number = self.next_number
            while number in self.live:
                number += 1
            self.next_number = number + 1 if number < 0xFFFF_FFFF else FIRST_NUMBER
        self.live[number] = namespace
        namespace.id = NamespaceId(self.next_id)
        self.next_id += 1
        return number


class Namespace:
    """What a group of tasks sees as its own (Linux: include/linux/ns_common.h, struct ns_common).

    `number` is its inode's in nsfs; `id` is nobody else's again, and tells which of two is older. `owner` is
    the user namespace relative to which rights over it are checked; the machine's first user namespace owns
    itself. `reference_count` counts who holds it: proxies of tasks, open files, bind mounts, namespaces
    below; it's born with one holder, and the last ends it. `inode` is its file's, once somebody has looked
    for it; open files and mounts of that hold it too. `account` is the user, of `owner`, that it counts
    against in max_*_namespaces, and `memory_account` what it takes memory of; None for the machine's first
    ones.
    """

    __slots__ = ("account", "id", "inode", "memory_account", "number", "owner", "reference_count", "table")

    kind: ClassVar[int] = 0
    """The CLONE_NEW* flag of this kind."""
    type_name: ClassVar[str] = ""
    """What /proc/PID/ns calls it."""

    def __init__(self, table: NamespaceTable, owner: UserNamespace, number: int = 0) -> None:
        self.id = NamespaceId(0)
        self.table = table
        self.owner = owner
        self.account: int | None = None
        self.inode: Inode | None = None
        self.memory_account: KernelMemory | None = None
        self.reference_count = 1
        self.number = table.add(self, number)
        if owner is not self:
            owner.acquire()

    def acquire(self) -> None:
        """One more holder."""
        self.reference_count += 1

    def put(self) -> None:
        """One holder less; the last one ends it."""
        self.reference_count -= 1
        if not self.reference_count:
            self.end_if_unused()

    def end_if_unused(self) -> None:
        """Its file was closed for good, or its last holder has gone: end it if both."""
        if self.reference_count or (self.inode is not None and self.inode.open_count):
            return
        self.inode = None
        self.end()
        del self.table.live[self.number]
        if self.account is not None:
            self.owner.uncharge(self.account, self.kind)
        if self.memory_account is not None:
            self.memory_account.uncharge(NAMESPACE, NAMESPACE_BYTES)
        self.owner.put()

    def end(self) -> None:
        """Nobody holds it any more: give back what is in it."""

    def charge_to(self, uid: int, memory: KernelMemory | None = None) -> None:
        """Count this against the namespaces that user `uid` of the owner may have, and what it takes.

        It's called before anything can see the namespace, which is gone if that fails. Raises ENOSPC,
        OutOfFrames. Linux: kernel/ucount.c, inc_ucount.
        """
        if not self.owner.charge(uid, self.kind):
            self.put()
            raise ENOSPC(f"user {uid} has all the {self.type_name} namespaces that it may have")
        self.account = uid
        if memory is not None:
            try:
                memory.charge(NAMESPACE, NAMESPACE_BYTES)
            except OutOfFrames:
                self.put()
                raise
            self.memory_account = memory

    def __repr__(self) -> str:
        return f"<{self.type_name}:[{self.number}]>"
