"""System calls that their own process is asked to make: PR_SET_SYSCALL_USER_DISPATCH.

Who runs programs of another system in its own process keeps one range of addresses from which calls go to the
kernel; all others it gets as SIGSYS, unless a byte of its own lets them through. Or it's the calls
from the range that it gets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EFAULT, EINVAL
from procession.abi.prctl import SyscallUserDispatch
from procession.abi.seccomp import AUDIT_ARCH_X86_64
from procession.abi.signals import SysCode
from procession.fs.wait_queue import Sleep
from procession.hardware.page_table import USER_END
from procession.hardware.physical_memory import OutOfFrames
from procession.hardware.registers import RIP
from procession.kernel.signal.generation import force_signal
from procession.kernel.signal.info import SI_KERNEL, SigInfo
from procession.kernel.signal.set import SIGSEGV, SIGSYS
from procession.kernel.task import CALL_DISPATCHED

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_OFF, _ON = int(SyscallUserDispatch.PR_SYS_DISPATCH_OFF), int(SyscallUserDispatch.PR_SYS_DISPATCH_ON)
_INCLUSIVE_ON = int(SyscallUserDispatch.PR_SYS_DISPATCH_INCLUSIVE_ON)
_ALLOW, _BLOCK = 0, 1
_USER_DISPATCH = int(SysCode.SYS_USER_DISPATCH)
_UNSIGNED_64 = (1 << 64) - 1


class UserDispatch:
    """Which calls of a task are its own to make (Linux: include/linux/syscall_user_dispatch_types.h).

    Those from the `length` bytes from `first` on go to the kernel. The others do if the byte at `selector`
    says so; there's none if that is 0.
    """

    __slots__ = ("first", "length", "selector")

    def __init__(self, first: int, length: int, selector: int) -> None:
        self.first = first
        self.length = length
        self.selector = selector


def set_user_dispatch(kernel: Kernel, task: Task, mode: int, first: int, length: int, selector: int) -> None:
    """Switch it on or off for `task`. Raises EINVAL, EFAULT.

    Linux: kernel/entry/syscall_user_dispatch.c, task_set_syscall_user_dispatch.
    """
    if mode == _OFF:
        if first or length or selector:
            raise EINVAL("nothing is said of what is off")
        clear_user_dispatch(kernel, task)
        return
    if mode not in (_ON, _INCLUSIVE_ON):
        raise EINVAL(f"no mode {mode}")
    if (first or mode == _INCLUSIVE_ON) and (first + length & _UNSIGNED_64) <= first:
        raise EINVAL("an empty range, or one past the end of memory")
    if selector and selector >= USER_END:
        raise EFAULT("no user memory")
    if mode == _INCLUSIVE_ON:
        # The calls from this range are the task's: the kernel has those from its end around to its beginning.
        first, length = first + length, -length & _UNSIGNED_64
    task.user_dispatch = UserDispatch(first, length, selector)
    kernel.add_call_work(task, CALL_DISPATCHED)


def clear_user_dispatch(kernel: Kernel, task: Task) -> None:
    """Every call of `task` is the kernel's again, as after exec."""
    task.user_dispatch = None
    kernel.remove_call_work(task, CALL_DISPATCHED)


def dispatch_call(kernel: Kernel, task: Task, number: int) -> bool:
    """Whether call `number` of the running task is its own to make, which a signal then tells it.

    Linux: kernel/entry/syscall_user_dispatch.c, syscall_user_dispatch.
    """
    dispatch = task.user_dispatch
    if dispatch is None:
        return False
    address = kernel.registers_of(task).general[RIP]
    if (address - dispatch.first & _UNSIGNED_64) < dispatch.length:
        return False
    if dispatch.selector:
        try:
            state = task.mm.read(dispatch.selector, 1)[0]
        except (EFAULT, OutOfFrames, Sleep):
            force_signal(kernel, task, SigInfo(SIGSEGV, SI_KERNEL), is_immutable=True)
            return True
        if state == _ALLOW:
            return False
        if state != _BLOCK:
            force_signal(kernel, task, SigInfo(SIGSYS, SI_KERNEL), is_immutable=True)
            return True
    info = SigInfo(SIGSYS, _USER_DISPATCH, address=address, value=(number ^ 0x80000000) - 0x80000000)
    info.architecture = AUDIT_ARCH_X86_64
    force_signal(kernel, task, info)
    return True
