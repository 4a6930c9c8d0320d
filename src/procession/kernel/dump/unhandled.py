"""What the kernel's log says of a program that ends by its own fault, or by a signal that leaves a core."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.fs.kernel_log import KERN_INFO, KERN_WARNING
from procession.hardware.registers import RIP, RSP
from procession.kernel.program.exec import Program
from procession.kernel.signal.set import SIGSEGV
from procession.kernel.taint import explain_taints, show_taints
from procession.kernel.user_registers import user_registers
from procession.mm.peek import peek

if TYPE_CHECKING:
    from procession.abi.ptrace import UserRegsStruct
    from procession.fs.file import File
    from procession.kernel.kernel import Kernel
    from procession.kernel.signal.info import SigInfo
    from procession.kernel.task import Task

_PAGE_FAULT = 14
_TRAPS = {0: b"divide error", 3: b"int3", 4: b"overflow", 6: b"invalid opcode", 16: b"fp error", 19: b"simd"}
_GENERAL_PROTECTION = 13
_CODE_BEFORE, _CODE_BYTES = 42, 64
"""How much code is shown, and how much of it lies in front of the instruction."""
_NO_CALL = (1 << 64) - 1
_ROWS = (
    *(("rax", "rbx", "rcx"), ("rdx", "rsi", "rdi"), ("rbp", "r8", "r9")),
    *(("r10", "r11", "r12"), ("r13", "r14", "r15")),
)


def log_unhandled_fault(kernel: Kernel, task: Task, info: SigInfo) -> None:
    """Note a fault for which there is no handler. Linux: arch/x86/mm/fault.c, show_signal_msg;
    arch/x86/kernel/traps.c, show_signal.
    """
    if info.code <= 0 or not kernel.vfs.log.tells_of_faults:
        return
    vector, error_code, address = task.last_trap
    general = kernel.registers_of(task).general
    who = (task.command_name, task.group.pid.number_in(kernel.init_pid_namespace))
    where = (general[RIP], general[RSP], error_code)
    teller = b"show_signal"
    if vector == _PAGE_FAULT and info.signo == SIGSEGV:
        teller = b"show_signal_msg"
        text = b"%s[%d]: segfault at %x ip %016x sp %016x error %x" % (*who, address, *where)
    elif vector == _GENERAL_PROTECTION:
        text = b"traps: %s[%d] general protection fault ip:%x sp:%x error:%x" % (*who, *where)
    elif vector in _TRAPS:
        text = b"traps: %s[%d] trap %s ip:%x sp:%x error:%x" % (*who, _TRAPS[vector], *where)
    else:
        return
    if kernel.vfs.log.lets_tell(teller):
        kernel.vfs.log.append(KERN_INFO, text + _place(task, general[RIP]))


def _place(task: Task, address: int) -> bytes:
    """The file that the code is of. Linux: mm/memory.c, print_vma_addr."""
    area = task.mm.find(address)
    if area is None or area.file is None:
        return b""
    file: File = area.file  # type: ignore[assignment]
    return b" in %s[%x+%x]" % (file.path.dentry.name, area.start, area.size)


def log_fatal_signal(kernel: Kernel, task: Task, signo: int) -> None:
    """Say which program ends by which signal, and its registers.

    Linux: kernel/signal.c, print_fatal_signal.
    """
    log = kernel.vfs.log
    program = task.mm.executable
    name = program.path.dentry.name + b": " if isinstance(program, Program) else b""
    command = task.command_name
    log.append(KERN_INFO, b"%s%s: potentially unexpected fatal signal %d." % (name, command, signo))
    for line in _register_lines(kernel, task):
        log.append(KERN_WARNING, line)


def _register_lines(kernel: Kernel, task: Task) -> list[bytes]:
    """Linux: arch/x86/kernel/dumpstack.c, show_regs; arch/x86/kernel/process_64.c, __show_regs."""
    registers = user_registers(task)
    uts = task.namespaces.uts
    call = b"" if registers.orig_rax == _NO_CALL else b" ORIG_RAX: %016x" % registers.orig_rax
    who = (
        kernel.processor,
        task.credentials.uid,
        task.thread_pid.number_in(kernel.init_pid_namespace),
        task.command_name[:20],
        show_taints(kernel.taints),
        uts.release,
        uts.version,
    )
    return [
        b"CPU: %d UID: %d PID: %d Comm: %s %s %s %s" % who,
        *([explain_taints(kernel.taints)] if kernel.taints else ()),
        b"RIP: %04x:0x%x" % (registers.cs, registers.rip),
        _code_line(task, registers),
        b"RSP: %04x:%016x EFLAGS: %08x%s" % (registers.ss, registers.rsp, registers.eflags, call),
        *(
            b" ".join(b"%s: %016x" % (_label(name), getattr(registers, name)) for name in row)
            for row in _ROWS
        ),
        b"FS:  %016x GS:  %016x" % (registers.fs_base, registers.gs_base),
    ]


def _label(name: str) -> bytes:
    return (f"R0{name[1]}" if len(name) == 2 else name.upper()).encode()


def _code_line(task: Task, registers: UserRegsStruct) -> bytes:
    """Linux: arch/x86/kernel/dumpstack.c, show_opcodes."""
    start = registers.rip - _CODE_BEFORE
    code = peek(task.mm, start, _CODE_BYTES) if start >= 0 else None
    if code is None or len(code) < _CODE_BYTES:
        return b"Code: Unable to access opcode bytes at 0x%x." % (start % (1 << 64))
    shown = [b"%02x" % byte for byte in code]
    shown[_CODE_BEFORE] = b"<%s>" % shown[_CODE_BEFORE]
    return b"Code: " + b" ".join(shown)
