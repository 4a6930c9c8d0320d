"""The machine as a whole: its names, its memory, and calls about processors and personalities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.duration import NS_PER_S
from procession.abi.errno import EINVAL, EPERM
from procession.abi.membarrier import MembarrierCommand, MembarrierFlag
from procession.abi.personality import PersonalityFlag
from procession.abi.reboot import RebootCommand, RebootMagic, RebootSecondMagic
from procession.abi.rseq import RseqFlag
from procession.abi.structure import U64
from procession.abi.sysinfo import SI_LOAD_SHIFT, Sysinfo
from procession.abi.utsname import Utsname
from procession.hardware.physical_memory import PAGE_SIZE
from procession.kernel.namespaces.uts import check_name_change, set_domain_name, set_host_name
from procession.kernel.reboot import reboot as end_machine
from procession.kernel.rseq import register
from procession.kernel.sched.loadavg import LOAD_SHIFT
from procession.kernel.sched.priority import task_or_self
from procession.kernel.security.ptrace_access import may_access
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import (
    Address,
    Choice,
    Flags,
    InBuffer,
    Int,
    Out,
    Size,
    UInt,
    UnsignedChoice,
)

if TYPE_CHECKING:
    from procession.kernel.task import Task

_ROBUST_LIST_HEAD_SIZE = 24
_NO_PERSONALITY = 0xFFFFFFFF

_GLOBAL = int(MembarrierCommand.MEMBARRIER_CMD_GLOBAL)
_GLOBAL_EXPEDITED = int(MembarrierCommand.MEMBARRIER_CMD_GLOBAL_EXPEDITED)
_GET_REGISTRATIONS = int(MembarrierCommand.MEMBARRIER_CMD_GET_REGISTRATIONS)
_REGISTER_PRIVATE = int(MembarrierCommand.MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
_PRIVATE_RSEQ = int(MembarrierCommand.MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ)
_FLAG_CPU = int(MembarrierFlag.MEMBARRIER_CMD_FLAG_CPU)
_PRIVATE_BARRIERS = {
    int(MembarrierCommand.MEMBARRIER_CMD_PRIVATE_EXPEDITED): _REGISTER_PRIVATE,
    int(MembarrierCommand.MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE): int(
        MembarrierCommand.MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE
    ),
    _PRIVATE_RSEQ: int(MembarrierCommand.MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ),
}
"""The barriers of one process, and the command that registers for each."""
_REGISTRATIONS = frozenset(
    {int(MembarrierCommand.MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED), *_PRIVATE_BARRIERS.values()}
)
_MEMBARRIER_COMMANDS = sum(int(command) for command in MembarrierCommand)


@syscall(63)
def uname(task: Task, names: Out[Utsname]) -> None:
    """uname(2). Linux: kernel/sys.c, SYSCALL_DEFINE1(newuname)."""
    names.put(task.namespaces.uts.names_for(task.personality))


@syscall(170)
def sethostname(task: Task, name: InBuffer, length: Int) -> None:
    """sethostname(2). Linux: kernel/sys.c, SYSCALL_DEFINE2(sethostname)."""
    check_name_change(task, length)
    set_host_name(task, task.mm.read(name, length).partition(b"\0")[0])


@syscall(171)
def setdomainname(task: Task, name: InBuffer, length: Int) -> None:
    """setdomainname(2). Linux: kernel/sys.c, SYSCALL_DEFINE2(setdomainname)."""
    check_name_change(task, length)
    set_domain_name(task, task.mm.read(name, length).partition(b"\0")[0])


@syscall(99)
def sysinfo(task: Task, info: Out[Sysinfo]) -> None:
    """sysinfo(2). Linux: kernel/sys.c, do_sysinfo."""
    kernel = task.kernel
    memory = kernel.memory
    uptime_ns = kernel.clock.now_ns + task.namespaces.time.boottime_offset_ns
    info.put(
        Sysinfo(
            # Linux rounds the uptime up.
            uptime=-(-uptime_ns // NS_PER_S),
            loads=tuple(average << SI_LOAD_SHIFT - LOAD_SHIFT for average in kernel.load.averages),
            totalram=memory.frame_count * PAGE_SIZE,
            freeram=memory.free_frames * PAGE_SIZE,
            procs=min(len(kernel.tasks), 0xFFFF),
            mem_unit=1,
        )
    )


@syscall(169)
def reboot(
    task: Task,
    magic1: UnsignedChoice[RebootMagic],
    magic2: UnsignedChoice[RebootSecondMagic],
    command: UnsignedChoice[RebootCommand],
    argument: Address,
) -> int:
    """reboot(2). Linux: kernel/reboot.c, SYSCALL_DEFINE4(reboot)."""
    end_machine(task, magic1, magic2, command, argument)
    return 0


@syscall(135)
def personality(task: Task, persona: Flags[PersonalityFlag]) -> int:
    """personality(2). Linux: kernel/exec_domain.c, SYSCALL_DEFINE1(personality)."""
    old = task.personality
    if persona != _NO_PERSONALITY:
        task.personality = persona
    return old


@syscall(273)
def set_robust_list(task: Task, head: Address, length: Size) -> None:
    """set_robust_list(2). Linux: kernel/futex/syscalls.c."""
    if length != _ROBUST_LIST_HEAD_SIZE:
        raise EINVAL(f"a list head of {length} bytes")
    task.robust_list = (head, length)


@syscall(274)
def get_robust_list(task: Task, pid: Int, head: Out[U64], length: Out[U64]) -> None:
    """get_robust_list(2). Linux: kernel/futex/syscalls.c."""
    target = task_or_self(task, pid)
    if not may_access(task, target, by_fs_ids=False):
        raise EPERM(f"task {pid} can't be looked into")
    length.put(_ROBUST_LIST_HEAD_SIZE)
    head.put(target.robust_list[0])


@syscall(324)
def membarrier(task: Task, command: Choice[MembarrierCommand], flags: UInt, cpu: Int) -> int:
    """membarrier(2): with one processor every barrier is there already.

    Linux: kernel/sched/membarrier.c, SYSCALL_DEFINE3(membarrier).
    """
    del cpu
    if flags and not (command == _PRIVATE_RSEQ and flags == _FLAG_CPU):
        raise EINVAL(f"unknown flags {flags:#x}")
    mm = task.mm
    if command == 0:
        return _MEMBARRIER_COMMANDS
    if command == _GET_REGISTRATIONS:
        # Who registers for a special private barrier is told of the plain one too.
        is_private = mm.barrier_registrations & sum(_PRIVATE_BARRIERS.values())
        return mm.barrier_registrations | (_REGISTER_PRIVATE if is_private else 0)
    if command in _REGISTRATIONS:
        mm.barrier_registrations |= command
    elif command in _PRIVATE_BARRIERS:
        # Who isn't running has left its restartable sequence: it was preempted, or waits.
        if not mm.barrier_registrations & _PRIVATE_BARRIERS[command]:
            raise EPERM("the process hasn't registered for it")
    elif command not in (_GLOBAL, _GLOBAL_EXPEDITED):
        raise EINVAL(f"no command {command}")
    return 0


@syscall(334)
def rseq(task: Task, area: Address, length: UInt, flags: Flags[RseqFlag], signature: UInt) -> int:
    """rseq(2). Linux: kernel/rseq.c, SYSCALL_DEFINE4(rseq)."""
    register(task, area, length, flags, signature)
    return 0
