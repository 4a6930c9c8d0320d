"""User and group ids, supplementary groups and capabilities."""

from __future__ import annotations

from struct import unpack
from typing import TYPE_CHECKING

from procession.abi.capability import CapUserData, CapUserHeader
from procession.abi.errno import EINVAL, EPERM, ESRCH
from procession.abi.limits import NGROUPS_MAX
from procession.abi.structure import U32
from procession.abi.word import pack_array, pack_u32
from procession.fs.user_namespace import NO_ID
from procession.kernel.namespaces.user import may_set_groups
from procession.kernel.pid import find_task
from procession.kernel.security.capability import CAP_FULL_SET, CAP_SETGID
from procession.kernel.security.commoncap import set_capabilities
from procession.kernel.security.credentials import (
    set_all_gids,
    set_all_uids,
    set_file_system_gid,
    set_file_system_uid,
    set_gid,
    set_groups,
    set_real_and_effective_gid,
    set_real_and_effective_uid,
    set_uid,
)
from procession.kernel.time.costs import GROUP_NS
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, InOut, Int, Out, UInt

if TYPE_CHECKING:
    from procession.kernel.task import Task

_CAPABILITY_VERSIONS = {0x19980330: 1, 0x20071026: 2, 0x20080522: 2}
"""How many `struct __user_cap_data_struct` each version has."""
_NEWEST_VERSION = 0x20080522


def _kuid(task: Task, uid: int) -> int:
    """The machine's id for a user id of the caller's namespace; -1 stays. Raises EINVAL if it has none."""
    kuid = task.credentials.user_namespace.make_kuid(uid)
    if kuid == NO_ID and uid != NO_ID:
        raise EINVAL(f"user id {uid} stands for nobody here")
    return kuid


def _kgid(task: Task, gid: int) -> int:
    """As `_kuid`, for a group."""
    kgid = task.credentials.user_namespace.make_kgid(gid)
    if kgid == NO_ID and gid != NO_ID:
        raise EINVAL(f"group id {gid} stands for nobody here")
    return kgid


@syscall(102)
def getuid(task: Task) -> int:
    """getuid(2)."""
    credentials = task.credentials
    return credentials.user_namespace.from_kuid_munged(credentials.uid)


@syscall(104)
def getgid(task: Task) -> int:
    """getgid(2)."""
    credentials = task.credentials
    return credentials.user_namespace.from_kgid_munged(credentials.gid)


@syscall(107)
def geteuid(task: Task) -> int:
    """geteuid(2)."""
    credentials = task.credentials
    return credentials.user_namespace.from_kuid_munged(credentials.euid)


@syscall(108)
def getegid(task: Task) -> int:
    """getegid(2)."""
    credentials = task.credentials
    return credentials.user_namespace.from_kgid_munged(credentials.egid)


@syscall(105)
def setuid(task: Task, uid: UInt) -> None:
    """setuid(2). Linux: kernel/sys.c, SYSCALL_DEFINE1(setuid)."""
    set_uid(task, _kuid(task, uid))


@syscall(106)
def setgid(task: Task, gid: UInt) -> None:
    """setgid(2). Linux: kernel/sys.c, SYSCALL_DEFINE1(setgid)."""
    set_gid(task, _kgid(task, gid))


@syscall(113)
def setreuid(task: Task, uid: UInt, euid: UInt) -> None:
    """setreuid(2). Linux: kernel/sys.c, SYSCALL_DEFINE2(setreuid)."""
    set_real_and_effective_uid(task, _kuid(task, uid), _kuid(task, euid))


@syscall(114)
def setregid(task: Task, gid: UInt, egid: UInt) -> None:
    """setregid(2). Linux: kernel/sys.c, SYSCALL_DEFINE2(setregid)."""
    set_real_and_effective_gid(task, _kgid(task, gid), _kgid(task, egid))


@syscall(117)
def setresuid(task: Task, uid: UInt, euid: UInt, suid: UInt) -> None:
    """setresuid(2). Linux: kernel/sys.c, SYSCALL_DEFINE3(setresuid)."""
    set_all_uids(task, _kuid(task, uid), _kuid(task, euid), _kuid(task, suid))


@syscall(118)
def getresuid(task: Task, uid: Out[U32], euid: Out[U32], suid: Out[U32]) -> None:
    """getresuid(2). Linux: kernel/sys.c, SYSCALL_DEFINE3(getresuid)."""
    credentials = task.credentials
    shown = credentials.user_namespace.from_kuid_munged
    uid.put(shown(credentials.uid))
    euid.put(shown(credentials.euid))
    suid.put(shown(credentials.suid))


@syscall(119)
def setresgid(task: Task, gid: UInt, egid: UInt, sgid: UInt) -> None:
    """setresgid(2). Linux: kernel/sys.c, SYSCALL_DEFINE3(setresgid)."""
    set_all_gids(task, _kgid(task, gid), _kgid(task, egid), _kgid(task, sgid))


@syscall(120)
def getresgid(task: Task, gid: Out[U32], egid: Out[U32], sgid: Out[U32]) -> None:
    """getresgid(2). Linux: kernel/sys.c, SYSCALL_DEFINE3(getresgid)."""
    credentials = task.credentials
    shown = credentials.user_namespace.from_kgid_munged
    gid.put(shown(credentials.gid))
    egid.put(shown(credentials.egid))
    sgid.put(shown(credentials.sgid))


@syscall(122)
def setfsuid(task: Task, uid: UInt) -> int:
    """setfsuid(2). Linux: kernel/sys.c, SYSCALL_DEFINE1(setfsuid)."""
    namespace = task.credentials.user_namespace
    return namespace.from_kuid_munged(set_file_system_uid(task, namespace.make_kuid(uid)))


@syscall(123)
def setfsgid(task: Task, gid: UInt) -> int:
    """setfsgid(2). Linux: kernel/sys.c, SYSCALL_DEFINE1(setfsgid)."""
    namespace = task.credentials.user_namespace
    return namespace.from_kgid_munged(set_file_system_gid(task, namespace.make_kgid(gid)))


@syscall(115)
def getgroups(task: Task, size: Int, groups: Address) -> int:
    """getgroups(2). Linux: kernel/groups.c, SYSCALL_DEFINE2(getgroups)."""
    if size < 0:
        raise EINVAL("a negative size")
    mine = task.credentials.groups
    if size:
        if len(mine) > size:
            raise EINVAL(f"{len(mine)} groups don't fit")
        shown = task.credentials.user_namespace.from_kgid_munged
        task.kernel.clock.spend(len(mine) * GROUP_NS)
        task.mm.write(groups, pack_array("I", tuple(map(shown, mine))))
    return len(mine)


@syscall(116)
def setgroups(task: Task, size: Int, groups: Address) -> None:
    """setgroups(2). Linux: kernel/groups.c, SYSCALL_DEFINE2(setgroups)."""
    namespace = task.credentials.user_namespace
    if not task.credentials.capable_in_own(CAP_SETGID):
        raise EPERM("changing the groups takes CAP_SETGID")
    if not may_set_groups(namespace):
        raise EPERM("the user namespace has no groups yet, or forbids it")
    if not 0 <= size <= NGROUPS_MAX:
        raise EINVAL(f"{size} groups")
    wanted = unpack(f"<{size}I", task.mm.read(groups, 4 * size))
    task.kernel.clock.spend(size * GROUP_NS)
    set_groups(task, tuple(map(namespace.make_kgid, wanted)))


def _check_version(header: InOut[CapUserHeader]) -> tuple[CapUserHeader, int]:
    """The header and how many data structures follow; EINVAL for an unknown version, having put the newest.

    Linux: kernel/capability.c, cap_validate_magic.
    """
    memory, address = header.memory, header.address
    (version,) = unpack("<I", memory.read(address, 4))
    count = _CAPABILITY_VERSIONS.get(version)
    if count is None:
        memory.write(address, pack_u32(_NEWEST_VERSION))
        raise EINVAL(f"unknown version {version:#x}")
    return header.get(), count


@syscall(125)
def capget(task: Task, header: InOut[CapUserHeader], data: Out[CapUserData]) -> None:
    """capget(2). Linux: kernel/capability.c, SYSCALL_DEFINE2(capget)."""
    if not data:
        # A program asks so for the newest version.
        try:
            _check_version(header)
        except EINVAL:
            return
        return
    asked, count = _check_version(header)
    if asked.pid < 0:
        raise EINVAL("a negative id")
    target = find_task(task.pid_namespace, asked.pid) if asked.pid else task
    if target is None:
        raise ESRCH(f"no task {asked.pid}")
    credentials = target.credentials
    sets = (credentials.cap_effective, credentials.cap_permitted, credentials.cap_inheritable)
    words = [word >> 32 * index & 0xFFFFFFFF for index in range(count) for word in sets]
    data.memory.write(data.address, pack_array("I", words))


@syscall(126)
def capset(task: Task, header: InOut[CapUserHeader], data: Address) -> None:
    """capset(2). Linux: kernel/capability.c, SYSCALL_DEFINE2(capset)."""
    asked, count = _check_version(header)
    if asked.pid not in {0, task.thread_pid.own_number}:
        raise EPERM("another task's capabilities")
    words = (*unpack(f"<{3 * count}I", task.mm.read(data, CapUserData.SIZE * count)), 0, 0, 0)
    effective, permitted, inheritable = (
        (words[index] | words[index + 3] << 32) & CAP_FULL_SET for index in range(3)
    )
    set_capabilities(task, effective, permitted, inheritable)
