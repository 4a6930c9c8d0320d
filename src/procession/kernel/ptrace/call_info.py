"""What a stop of a tracee says of its system call: PTRACE_GET_SYSCALL_INFO and its counterpart."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, ERANGE
from procession.abi.ptrace import (
    PtraceEventMessage,
    PtraceSyscallInfo,
    PtraceSyscallInfoEntry,
    PtraceSyscallInfoExit,
    PtraceSyscallInfoSeccomp,
    SyscallInfoOperation,
)
from procession.abi.seccomp import AUDIT_ARCH_X86_64
from procession.abi.word import wrap_signed
from procession.hardware.registers import ARGUMENT_REGISTERS, RAX, RIP, RSP, set_register
from procession.kernel.ptrace.tracing import EVENT_SECCOMP

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import Task

_ENTRY = int(PtraceEventMessage.PTRACE_EVENTMSG_SYSCALL_ENTRY)
_EXIT = int(PtraceEventMessage.PTRACE_EVENTMSG_SYSCALL_EXIT)
_NONE, _AT_ENTRY, _AT_EXIT, _AT_SECCOMP = (int(operation) for operation in SyscallInfoOperation)
_OF_MESSAGE = {_ENTRY: _AT_ENTRY, _EXIT: _AT_EXIT}
_CALL_STOP, _SECCOMP_STOP = 5 | 0x80, 5 | EVENT_SECCOMP << 8
_WORD = 1 << 64
_MAX_ERRNO = 4095
# How many bytes there are for each: up to the last member, without C's room after it.
_HEAD_BYTES, _ENTRY_BYTES, _EXIT_BYTES, _SECCOMP_BYTES = 24, 80, 33, 84
_arguments_of = itemgetter(*ARGUMENT_REGISTERS)


def call_operation(task: Task) -> int:
    """What kind of stop it is. Linux: kernel/ptrace.c, ptrace_get_syscall_info_op."""
    stop = task.trace_stop
    assert stop is not None
    code = 0 if stop.info is None else stop.info.code
    if code == _CALL_STOP:
        return _OF_MESSAGE.get(stop.message, _NONE)
    return _AT_SECCOMP if code == _SECCOMP_STOP else _NONE


def call_info(kernel: Kernel, task: Task) -> bytes:
    """As much of struct ptrace_syscall_info as there is. Linux: kernel/ptrace.c, ptrace_get_syscall_info."""
    general = kernel.registers_of(task).general
    operation = call_operation(task)
    instruction, stack = general[RIP], general[RSP]
    head = (operation, AUDIT_ARCH_X86_64, instruction, stack)
    if operation == _AT_ENTRY:
        number = task.call_number % _WORD
        return PtraceSyscallInfoEntry.STRUCT.pack(*head, number, *_arguments_of(general))[:_ENTRY_BYTES]
    if operation == _AT_EXIT:
        result = general[RAX]
        is_error = result >= _WORD - _MAX_ERRNO
        result = wrap_signed(result, 64)
        return PtraceSyscallInfoExit.STRUCT.pack(*head, result, is_error)[:_EXIT_BYTES]
    if operation == _AT_SECCOMP:
        stop = task.trace_stop
        assert stop is not None
        number = task.call_number % _WORD
        fields = (*head, number, *_arguments_of(general), stop.message)
        return PtraceSyscallInfoSeccomp.STRUCT.pack(*fields)[:_SECCOMP_BYTES]
    return PtraceSyscallInfo(*head).pack()[:_HEAD_BYTES]


def set_call_info(kernel: Kernel, task: Task, data: bytes) -> None:
    """Change the number and arguments, or the result, of the call at which `task` has stopped.

    `data` is as long as the structure. Raises EINVAL, ERANGE.

    Linux: kernel/ptrace.c, ptrace_set_syscall_info.
    """
    head = PtraceSyscallInfo.unpack(data[: PtraceSyscallInfo.SIZE])
    if head.op != call_operation(task):
        raise EINVAL("it isn't at such a stop")
    general = kernel.registers_of(task).general
    if head.op == _AT_EXIT:
        leaving = PtraceSyscallInfoExit.unpack(data[: PtraceSyscallInfoExit.SIZE])
        set_register(general, RAX, leaving.rval)
    elif head.op in (_AT_ENTRY, _AT_SECCOMP):
        entering = PtraceSyscallInfoEntry.unpack(data[: PtraceSyscallInfoEntry.SIZE])
        number = wrap_signed(entering.nr, 64)
        if not -(1 << 31) <= number < 1 << 31:
            raise ERANGE(f"no number of a call: {number}")
        task.call_number = number
        # A call that isn't made keeps its arguments. Linux: kernel/ptrace.c, ptrace_set_syscall_info_entry.
        if number != -1:
            for register, value in zip(ARGUMENT_REGISTERS, entering.args, strict=True):
                set_register(general, register, value)
    else:
        raise EINVAL("there is no call to change")
    kernel.registers_changed(task)
