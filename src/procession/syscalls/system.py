"""The machine as a whole: its names, its memory, and calls about processors and personalities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ENOSYS, EPERM
from procession.abi.membarrier import MembarrierCommand
from procession.abi.personality import PersonalityFlag
from procession.abi.reboot import RebootCommand, RebootMagic, RebootSecondMagic
from procession.abi.structure import U64
from procession.abi.sysinfo import SI_LOAD_SHIFT, Sysinfo
from procession.abi.utsname import Utsname
from procession.hardware.physical_memory import PAGE_SIZE
from procession.kernel.namespaces.uts import check_name_change
from procession.kernel.reboot import reboot as end_machine
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
    OutBuffer,
    Size,
    UInt,
    UnsignedChoice,
)

if TYPE_CHECKING:
    from procession.kernel.task import Task

_NS_PER_S = 1_000_000_000
_ROBUST_LIST_HEAD_SIZE = 24
_NO_PERSONALITY = 0xFFFFFFFF

# Each expedited barrier, by the command that registers for it.
_REGISTRATIONS = {0x4: 0x2, 0x10: 0x8, 0x40: 0x20}
_MEMBARRIER_GLOBAL, _MEMBARRIER_GLOBAL_EXPEDITED, _MEMBARRIER_GET_REGISTRATIONS = 0x1, 0x2, 0x200
_PRIVATE_BARRIERS = (0x8, 0x20)
_MEMBARRIER_COMMANDS = 0x7F | _MEMBARRIER_GET_REGISTRATIONS


@syscall(63)
def uname(task: Task, names: Out[Utsname]) -> None:
    """uname(2). Linux: kernel/sys.c, SYSCALL_DEFINE1(newuname)."""
    names.put(task.namespaces.uts.names_for(task.personality))


@syscall(170)
def sethostname(task: Task, name: InBuffer, length: Int) -> None:
    """sethostname(2). Linux: kernel/sys.c, SYSCALL_DEFINE2(sethostname)."""
    check_name_change(task, length)
    task.namespaces.uts.host_name = task.mm.read(name, length).partition(b"\0")[0]


@syscall(171)
def setdomainname(task: Task, name: InBuffer, length: Int) -> None:
    """setdomainname(2). Linux: kernel/sys.c, SYSCALL_DEFINE2(setdomainname)."""
    check_name_change(task, length)
    task.namespaces.uts.domain_name = task.mm.read(name, length).partition(b"\0")[0]


@syscall(99)
def sysinfo(task: Task, info: Out[Sysinfo]) -> None:
    """sysinfo(2). Linux: kernel/sys.c, do_sysinfo."""
    kernel = task.kernel
    memory = kernel.memory
    uptime_ns = kernel.clock.now_ns + task.namespaces.time.boottime_offset_ns
    info.put(
        Sysinfo(
            # Linux rounds the uptime up.
            uptime=-(-uptime_ns // _NS_PER_S),
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
    if flags:
        raise EINVAL(f"unknown flags {flags:#x}")
    mm = task.mm
    if command == 0:
        return _MEMBARRIER_COMMANDS
    if command == _MEMBARRIER_GET_REGISTRATIONS:
        return mm.barrier_registrations
    if command in _REGISTRATIONS:
        mm.barrier_registrations |= command
    elif command in _PRIVATE_BARRIERS:
        if not any(
            barrier == command and mm.barrier_registrations & registration
            for registration, barrier in _REGISTRATIONS.items()
        ):
            raise EPERM("the process hasn't registered for it")
    elif command not in (_MEMBARRIER_GLOBAL, _MEMBARRIER_GLOBAL_EXPEDITED):
        raise EINVAL(f"no command {command}")
    return 0


@syscall(103)
def syslog(task: Task, action: Int, buffer: OutBuffer, length: Int) -> None:
    """syslog(2): there is no kernel log, as without CONFIG_PRINTK."""
    raise ENOSYS("no kernel log")


@syscall(334)
def rseq(task: Task, area: Address, length: UInt, flags: Int, signature: UInt) -> None:
    """rseq(2): not there, as without CONFIG_RSEQ."""
    raise ENOSYS("no restartable sequences")
