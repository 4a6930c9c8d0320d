"""What PIDFD_GET_INFO tells of a pidfd's process or thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EREMOTE, ESRCH
from procession.abi.pidfd import PidfdCoredump, PidfdInfo, PidfdInfoFlag
from procession.kernel.task_state import ENDED

if TYPE_CHECKING:
    from procession.fs.file import UserMemory
    from procession.kernel.pidfd import PidFile
    from procession.kernel.task import Task

_PID, _CREDS = int(PidfdInfoFlag.PIDFD_INFO_PID), int(PidfdInfoFlag.PIDFD_INFO_CREDS)
_CGROUPID, _EXIT = int(PidfdInfoFlag.PIDFD_INFO_CGROUPID), int(PidfdInfoFlag.PIDFD_INFO_EXIT)
_COREDUMP = int(PidfdInfoFlag.PIDFD_INFO_COREDUMP)
_CORES = (
    int(PidfdCoredump.PIDFD_COREDUMP_SKIP),
    int(PidfdCoredump.PIDFD_COREDUMP_USER),
    int(PidfdCoredump.PIDFD_COREDUMP_ROOT),
)
"""By what /proc/sys/fs/suid_dumpable calls it."""


def tell_info(file: PidFile, asker: Task, argument: int, size: int, memory: UserMemory) -> None:
    """Fill the `size` bytes at `argument`: what isn't known of is 0. Raises EINVAL, EREMOTE, ESRCH,
    EFAULT.

    Linux: fs/pidfs.c, pidfd_info.
    """
    if not argument:
        raise EINVAL("a struct pidfd_info is needed")
    asked = int.from_bytes(memory.read(argument, 8), "little")
    if not file.pid.number_in(asker.pid_namespace):
        # Linux: fs/pidfs.c, pidfd_info.
        raise EREMOTE("it isn't seen in the caller's pid namespace")
    target = file.target
    if target is not None:
        told = _described(target, asker)
    elif asked & _EXIT:
        is_process = file.pid is file.group.pid
        bearer = file.group.leader if is_process else file.bearer
        told = PidfdInfo(_EXIT | _CGROUPID, bearer.cgroup.number, exit_code=_exit_status(bearer, is_process))
    else:
        raise ESRCH("the process is gone")
    if asked & _COREDUMP:
        told.mask |= _COREDUMP
        if target is not None and target.state not in ENDED:
            told.coredump_mask = _CORES[target.mm.dumpable]
    memory.write(argument, told.pack().ljust(size, b"\0")[:size])


def _exit_status(bearer: Task, is_process: bool) -> int:
    """As wait4(2) told it of a process; a thread's own of a thread. Linux: fs/pidfs.c, pidfs_exit."""
    group = bearer.group
    return group.exit_code if group.is_exiting and is_process else bearer.exit_code


def _described(target: Task, asker: Task) -> PidfdInfo:
    namespace, users = asker.pid_namespace, asker.credentials.user_namespace
    number, process = target.thread_pid.number_in(namespace), target.group.pid.number_in(namespace)
    parent = target.group.leader.parent
    owner = target.credentials
    ruid, euid, suid, fsuid = map(users.from_kuid_munged, (owner.uid, owner.euid, owner.suid, owner.fsuid))
    rgid, egid, sgid, fsgid = map(users.from_kgid_munged, (owner.gid, owner.egid, owner.sgid, owner.fsgid))
    return PidfdInfo(
        mask=_PID | _CREDS | _CGROUPID,
        cgroupid=target.cgroup.number,
        pid=number,
        tgid=process,
        ppid=parent.group.pid.number_in(namespace) if parent is not None else 0,
        ruid=ruid,
        rgid=rgid,
        euid=euid,
        egid=egid,
        suid=suid,
        sgid=sgid,
        fsuid=fsuid,
        fsgid=fsgid,
    )
