"""What the kernel's log says of a program that ends by a fault of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.fs.kernel_log import KERN_INFO
from procession.hardware.registers import RIP, RSP
from procession.kernel.signal.set import SIGSEGV

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.kernel.kernel import Kernel
    from procession.kernel.signal.info import SigInfo
    from procession.kernel.task import Task

_PAGE_FAULT = 14
_TRAPS = {0: b"divide error", 3: b"int3", 4: b"overflow", 6: b"invalid opcode", 16: b"fp error", 19: b"simd"}
_GENERAL_PROTECTION = 13


def log_unhandled_fault(kernel: Kernel, task: Task, info: SigInfo) -> None:
    """Note a fault for which there is no handler. Linux: arch/x86/mm/fault.c, show_signal_msg;
    arch/x86/kernel/traps.c, show_signal.
    """
    if info.code <= 0:
        return
    vector, error_code, address = task.last_trap
    general = kernel.registers_of(task).general
    who = (task.command_name, task.group.pid.number_in(kernel.init_pid_namespace))
    where = (general[RIP], general[RSP], error_code)
    if vector == _PAGE_FAULT and info.signo == SIGSEGV:
        text = b"%s[%d]: segfault at %x ip %016x sp %016x error %x" % (*who, address, *where)
    elif vector == _GENERAL_PROTECTION:
        text = b"traps: %s[%d] general protection fault ip:%x sp:%x error:%x" % (*who, *where)
    elif vector in _TRAPS:
        text = b"traps: %s[%d] trap %s ip:%x sp:%x error:%x" % (*who, _TRAPS[vector], *where)
    else:
        return
    kernel.vfs.log.append(KERN_INFO, text + _place(task, general[RIP]))


def _place(task: Task, address: int) -> bytes:
    """The file that the code is of. Linux: mm/memory.c, print_vma_addr."""
    area = task.mm.find(address)
    if area is None or area.file is None:
        return b""
    file: File = area.file  # type: ignore[assignment]
    return b" in %s[%x+%x]" % (file.path.dentry.name, area.start, area.size)
