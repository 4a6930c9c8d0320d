"""The first process: built from nothing, and Procession's own small init that adopts and reaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EAGAIN
from procession.fs.fd_table import FdTable
from procession.fs.fs_context import FsContext
from procession.hardware.kernel_memory import GROUP_BYTES, TASK, TASK_BYTES
from procession.hardware.registers import RIP, Registers, set_register
from procession.kernel.rlimit import RLIMIT_NPROC, Limits
from procession.kernel.security.credentials import Credentials
from procession.kernel.session import create_session
from procession.kernel.signal.handlers import SignalHandlers
from procession.kernel.signal.pending import PendingSignals
from procession.kernel.task import SIGNAL_UNKILLABLE, Task, ThreadGroup
from procession.mm.address_space import MemoryDescriptor
from procession.mm.vma import PROT_EXEC, PROT_READ, PROT_WRITE, VirtualMemoryArea

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

CODE_ADDRESS = 0x40_0000
_REAPER = bytes.fromhex(
    "31d2"  # xor edx, edx              wait4(-1, NULL, 0, NULL)
    "4531d2"  # xor r10d, r10d
    "31f6"  # xor esi, esi
    "48c7c7ffffffff"  # mov rdi, -1
    "b83d000000"  # mov eax, 61
    "0f05"  # syscall
    "85c0"  # test eax, eax
    "79e7"  # jns start                 while somebody was reaped
    "488d3d13000000"  # lea rdi, [mask] rt_sigtimedwait(&mask, NULL, NULL, 8)
    "31f6"  # xor esi, esi
    "31d2"  # xor edx, edx
    "41ba08000000"  # mov r10d, 8
    "b880000000"  # mov eax, 128
    "0f05"  # syscall
    "ebcd"  # jmp start
    "0000010000000000"  # mask: SIGCHLD
)
MASK_ADDRESS = CODE_ADDRESS + len(_REAPER) - 8
"""Where init's code has the mask of the signal that it waits for when it has no children."""
_SIGCHLD_BIT = 1 << (17 - 1)


def create_init(kernel: Kernel) -> Task:
    """Make process 1, whole and published but not yet runnable: a program that reaps its children for ever.

    It is protected from signals that it doesn't handle, as a pid namespace's init is. It blocks SIGCHLD, so
    that it can wait for it: whoever makes a process from it unblocks that there.
    """
    user_namespace = kernel.vfs.init_user_namespace
    user_namespace.memory = kernel.memory.account
    task = make_process(kernel, Credentials.for_root(user_namespace))
    task.group.flags = SIGNAL_UNKILLABLE
    task.command_name = b"init"
    task.blocked = _SIGCHLD_BIT
    _fill_reaper_memory(task.mm)
    set_register(task.registers.general, RIP, CODE_ADDRESS)
    kernel.init = task.pid_namespace.child_reaper = task.group
    return task


def make_process(kernel: Kernel, credentials: Credentials) -> Task:
    """A process made from nothing, without a parent, published but not yet runnable; it has no memory mapped.

    It's in a session of its own and in the machine's root directory. Raises EAGAIN, OutOfFrames.
    """
    limits = Limits()
    mm = MemoryDescriptor(kernel.memory, limits)
    try:
        pid = kernel.init_pid_namespace.allocate()
    except EAGAIN:
        mm.put()
        raise
    task = Task(kernel, pid, Registers())
    group = ThreadGroup(pid)
    group.leader = task
    group.threads = [task]
    group.handlers = SignalHandlers()
    group.shared_pending = PendingSignals()
    group.limits = limits
    group.start_time_ns = task.start_time_ns = kernel.clock.now_ns
    task.group = group
    task.pending = PendingSignals()
    task.credentials = credentials
    credentials.count(RLIMIT_NPROC, 1)
    task.files = FdTable()
    task.namespaces = kernel.init_namespaces.acquire()
    task.fs = FsContext(task.namespaces.mounts.root_path)
    task.alternate_stack = (0, 0, 0)
    task.mm = mm
    create_session(group)
    # Nothing would be gained if the few that are made so could fail here.
    kernel.memory.account.charge_always(TASK, TASK_BYTES + GROUP_BYTES)
    task.cgroup.add(task)
    pid.task = task
    kernel.tasks[task] = None
    return task


def _fill_reaper_memory(mm: MemoryDescriptor) -> None:
    code = VirtualMemoryArea(CODE_ADDRESS, CODE_ADDRESS + 4096, PROT_READ | PROT_WRITE, name=b"[init]")
    mm.map(code)
    mm.write(CODE_ADDRESS, _REAPER)
    code.protection = PROT_READ | PROT_EXEC
    mm.tables.protect(code.start, code.end, code.entry_bits())
