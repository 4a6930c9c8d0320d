"""The calls by which a thread says what it does about signals, and waits for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.abi.duration import NS_PER_S
from procession.abi.errno import EAGAIN, EFAULT, EINTR, EINVAL, ERESTARTNOHAND
from procession.abi.sigaction import Sigaction, SignalStack
from procession.abi.siginfo import SiginfoRaw
from procession.abi.signalfd import SignalfdFlag
from procession.abi.signals import SIG_DFL, SIG_IGN, SigactionFlag, SigprocmaskHow
from procession.abi.time import Timespec
from procession.abi.word import pack_bits
from procession.fs.wait_queue import Sleep
from procession.hardware.registers import RAX, RIP, RSP
from procession.kernel.ptrace.debug_registers import arm
from procession.kernel.rlimit import RLIMIT_NOFILE
from procession.kernel.signal.alternate_stack import set_alternate_stack, stack_flags
from procession.kernel.signal.fd import SignalFile
from procession.kernel.signal.frame import is_canonical, leave_frame, read_frame
from procession.kernel.signal.generation import force_signal
from procession.kernel.signal.handlers import SA_IMMUTABLE, SignalAction
from procession.kernel.signal.info import SigInfo
from procession.kernel.signal.mask import set_blocked, set_temporary_mask
from procession.kernel.signal.set import (
    ALL_SIGNALS,
    IGNORED_BY_DEFAULT,
    SIGNAL_COUNT,
    SIGSEGV,
    UNBLOCKABLE,
)
from procession.kernel.signal_delivery import take_signal
from procession.kernel.task import CallFrame
from procession.kernel.timers.posix import signal_heeded
from procession.syscalls.attributes import opened_file
from procession.syscalls.declaration import TABLE, syscall
from procession.syscalls.parameters import Choice, Fd, Flags, In, Out, SignalNumber, SignalSet, Size

if TYPE_CHECKING:
    from procession.kernel.task import Task

_SET_SIZE: Final = 8
_SIG_BLOCK: Final = int(SigprocmaskHow.SIG_BLOCK)
_SIG_UNBLOCK: Final = int(SigprocmaskHow.SIG_UNBLOCK)
_SIG_SETMASK: Final = int(SigprocmaskHow.SIG_SETMASK)
_KNOWN_FLAGS: Final = sum(SigactionFlag) & ~int(SigactionFlag.SA_UNSUPPORTED)
_SFD_CLOEXEC: Final = int(SignalfdFlag.SFD_CLOEXEC)
_SFD_NONBLOCK: Final = int(SignalfdFlag.SFD_NONBLOCK)


def _check_size(size: int) -> None:
    if size != _SET_SIZE:
        raise EINVAL(f"a signal set has 8 bytes, not {size}")


@syscall(13)
def rt_sigaction(
    task: Task, signal: SignalNumber, action: In[Sigaction], old_action: Out[Sigaction], size: Size
) -> None:
    """sigaction(2). Linux: kernel/signal.c, do_sigaction."""
    _check_size(size)
    new = action.get() if action else None
    if not 1 <= signal <= SIGNAL_COUNT or (new is not None and UNBLOCKABLE >> (signal - 1) & 1):
        raise EINVAL(f"signal {signal} has no action that could be changed")
    group = task.group
    actions = group.handlers.actions
    old = actions[signal]
    if old.flags & SA_IMMUTABLE:
        raise EINVAL(f"signal {signal} kills the process already")
    if new is not None:
        handler = new.sa_handler
        actions[signal] = SignalAction(
            handler, new.sa_flags & _KNOWN_FLAGS, new.sa_restorer, new.sa_mask & ~UNBLOCKABLE
        )
        bit = 1 << (signal - 1)
        if handler == SIG_IGN or (handler == SIG_DFL and bit & IGNORED_BY_DEFAULT):
            group.shared_pending.discard(bit)
            for thread in group.threads:
                thread.pending.discard(bit)
        elif group.posix_timers:
            signal_heeded(group, signal)
    if old_action:
        old_action.put(Sigaction(old.handler, old.flags, old.restorer, old.mask))


@syscall(14)
def rt_sigprocmask(
    task: Task, how: Choice[SigprocmaskHow], new_set: In[SignalSet], old_set: Out[SignalSet], size: Size
) -> None:
    """sigprocmask(2). Linux: kernel/signal.c, SYSCALL_DEFINE4(rt_sigprocmask)."""
    _check_size(size)
    old = task.blocked
    if new_set:
        signals = new_set.get()
        if how == _SIG_BLOCK:
            set_blocked(task, old | signals)
        elif how == _SIG_UNBLOCK:
            set_blocked(task, old & ~signals)
        elif how == _SIG_SETMASK:
            set_blocked(task, signals)
        else:
            raise EINVAL(f"how is {how}")
    if old_set:
        old_set.put(old)


@syscall(127)
def rt_sigpending(task: Task, pending: Out[SignalSet], size: Size) -> None:
    """sigpending(2): as many of the set's bytes as `size` says. Linux: kernel/signal.c, do_sigpending."""
    if size > _SET_SIZE:
        raise EINVAL(f"a signal set has 8 bytes, not {size}")
    signals = (task.pending.mask | task.group.shared_pending.mask) & task.blocked
    task.mm.write(pending.address, pack_bits(signals, _SET_SIZE)[:size])


@syscall(130)
def rt_sigsuspend(task: Task, mask: In[SignalSet], size: Size) -> None:
    """sigsuspend(2). Linux: kernel/signal.c, sigsuspend."""
    if task.frame is None:
        _check_size(size)
        set_temporary_mask(task, mask.get())
    raise Sleep(interrupted=ERESTARTNOHAND)


@syscall(34)
def pause(task: Task) -> None:
    """pause(2). Linux: kernel/signal.c, SYSCALL_DEFINE0(pause)."""
    raise Sleep(interrupted=ERESTARTNOHAND)


@syscall(128)
def rt_sigtimedwait(
    task: Task, wanted: In[SignalSet], info: Out[SiginfoRaw], timeout: In[Timespec], size: Size
) -> int:
    """sigtimedwait(2). Linux: kernel/signal.c, do_sigtimedwait."""
    kernel = task.kernel
    frame = task.frame
    if frame is None:
        _check_size(size)
        signals = wanted.get() & ~UNBLOCKABLE
        deadline_ns = None
        if timeout:
            limit = timeout.get()
            if limit.tv_sec < 0 or not 0 <= limit.tv_nsec < NS_PER_S:
                raise EINVAL("the timeout is no time")
            deadline_ns = kernel.clock.now_ns + limit.tv_sec * NS_PER_S + limit.tv_nsec
    else:
        signals = frame.progress
        deadline_ns = frame.deadline_ns
    taken = take_signal(kernel, task, ALL_SIGNALS & ~signals)
    if taken is None:
        if deadline_ns is not None and kernel.clock.now_ns >= deadline_ns:
            raise EAGAIN("no such signal came in time")
        raise Sleep(deadline_ns=deadline_ns, progress=signals, interrupted=EINTR)
    if info:
        task.mm.write(info.address, taken.pack(task.pid_namespace))
    return taken.signo


@syscall(15)
def rt_sigreturn(task: Task) -> int:
    """sigreturn(2): go on where the signal came.

    Linux: arch/x86/kernel/signal_64.c, SYSCALL_DEFINE0(rt_sigreturn).
    """
    kernel = task.kernel
    # The rest is the frame's to say.
    registers = kernel.integers_of(task)
    task.call_number = -1
    try:
        fields = read_frame(task, registers.general[RSP])
    except EFAULT:
        force_signal(kernel, task, SigInfo(SIGSEGV))
        return 0
    try:
        leave_frame(kernel, task, registers, fields)
    except EFAULT:
        # The frame can't be believed: what was read of it before stays, as in Linux.
        kernel.registers_changed(task)
        force_signal(kernel, task, SigInfo(SIGSEGV))
        return 0
    if task.ptrace is not None or task.debug_registers is not None:
        arm(task, registers)
    kernel.registers_changed(task)
    if not is_canonical(registers.general[RIP]):
        force_signal(kernel, task, SigInfo(SIGSEGV))
    return registers.general[RAX]


@syscall(131)
def sigaltstack(task: Task, new_stack: In[SignalStack], old_stack: Out[SignalStack]) -> None:
    """sigaltstack(2). Linux: kernel/signal.c, SYSCALL_DEFINE2(sigaltstack)."""
    new = new_stack.get() if new_stack else None
    pointer = task.kernel.integers_of(task).general[RSP]
    base, old_size, _ = task.alternate_stack
    flags = stack_flags(task, pointer)
    if new is not None:
        set_alternate_stack(task, new.ss_sp, new.ss_flags, new.ss_size, pointer)
    if old_stack:
        old_stack.put(SignalStack(base, (flags ^ 0x80000000) - 0x80000000, old_size))


@syscall(219)
def restart_syscall(task: Task) -> int | None:
    """restart_syscall(2): go on with the call that a stop interrupted. Linux: kernel/signal.c."""
    block = task.restart_block
    if block is None:
        raise EINTR("there is no call to go on with")
    call = TABLE[block.number]
    assert call is not None
    if task.frame is not None:
        again: int | None = call.handler(task, *block.arguments)
        return again
    # The handler finds the deadline where it finds it after any sleep.
    frame = task.frame = CallFrame(block.number, block.arguments)
    frame.deadline_ns = block.deadline_ns
    try:
        result: int | None = call.handler(task, *block.arguments)
    finally:
        task.frame = None
    return result


@syscall(282)
def signalfd(task: Task, fd: Fd, mask: In[SignalSet], size: Size) -> int:
    """signalfd(2) without flags. Linux: fs/signalfd.c, SYSCALL_DEFINE3(signalfd)."""
    return _signalfd(task, fd, mask, size, 0)


@syscall(289)
def signalfd4(task: Task, fd: Fd, mask: In[SignalSet], size: Size, flags: Flags[SignalfdFlag]) -> int:
    """signalfd(2). Linux: fs/signalfd.c, SYSCALL_DEFINE4(signalfd4)."""
    return _signalfd(task, fd, mask, size, flags)


def _signalfd(task: Task, fd: int, mask: In[SignalSet], size: int, flags: int) -> int:
    """Linux: fs/signalfd.c, do_signalfd4."""
    _check_size(size)
    signals = mask.get() & ~UNBLOCKABLE
    if flags & ~(_SFD_CLOEXEC | _SFD_NONBLOCK):
        raise EINVAL(f"unknown flags {flags:#x}")
    if fd == -1:
        made = SignalFile(task.kernel, signals, flags & _SFD_NONBLOCK, task.credentials)
        return task.files.install(
            made, close_on_exec=bool(flags & _SFD_CLOEXEC), limit=task.group.limits.soft[RLIMIT_NOFILE]
        )
    file = opened_file(task, fd)
    if not isinstance(file, SignalFile):
        raise EINVAL(f"file {fd} is no signalfd")
    file.change_signals(signals)
    return fd
