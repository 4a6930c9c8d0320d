"""System calls on futexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import ENOSYS
from procession.abi.futex import FutexCommand, FutexFlag
from procession.abi.time import Timespec
from procession.kernel.futex import MATCH_ANY, Deadline, FutexWaiter, futex_wait, futex_wake
from procession.kernel.posix_clock import KTIME_MAX
from procession.kernel.task import RestartBlock
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, ChoiceAndFlags, In, UInt
from procession.syscalls.time import nanoseconds_of

if TYPE_CHECKING:
    from procession.kernel.task import Task

_FUTEX = 202
_PRIVATE = int(FutexFlag.FUTEX_PRIVATE_FLAG)
_REALTIME = int(FutexFlag.FUTEX_CLOCK_REALTIME)
_COMMAND = ~(_PRIVATE | _REALTIME)
_WAIT = int(FutexCommand.FUTEX_WAIT)
_WAKE = int(FutexCommand.FUTEX_WAKE)
_WAIT_BITSET = int(FutexCommand.FUTEX_WAIT_BITSET)
_WAKE_BITSET = int(FutexCommand.FUTEX_WAKE_BITSET)
_WAITS = (_WAIT, _WAIT_BITSET)


def _signed(value: int) -> int:
    """An unsigned 32-bit value as the int that it is in C."""
    return (value & 0xFFFF_FFFF ^ 0x8000_0000) - 0x8000_0000


@syscall(_FUTEX)
def futex(
    task: Task,
    address: Address,
    operation: ChoiceAndFlags[FutexCommand | FutexFlag],
    value: UInt,
    timeout: In[Timespec],
    address2: Address,
    value3: UInt,
) -> int:
    """futex(2). Linux: kernel/futex/syscalls.c, SYSCALL_DEFINE6(futex), do_futex."""
    command = operation & _COMMAND
    frame = task.frame
    if frame is not None and frame.progress is not None:
        waiter: FutexWaiter = frame.progress
        return waiter.go_on()
    is_private = bool(operation & _PRIVATE)
    if command == _WAKE:
        return futex_wake(task, address, _signed(value), is_private=is_private)
    if command == _WAKE_BITSET:
        return futex_wake(task, address, _signed(value), is_private=is_private, bitset=value3)
    deadline: Deadline | None = None
    restart: RestartBlock | None = None
    if command in _WAITS and timeout:
        is_wall_time = bool(operation & _REALTIME)
        if frame is not None and frame.deadline_ns is not None:
            time_ns = frame.deadline_ns
        else:
            time_ns = nanoseconds_of(timeout.get())
            if command == _WAIT:
                time_ns = min(task.kernel.clock.now_ns + time_ns, KTIME_MAX)
        deadline = Deadline(time_ns, is_wall_time=is_wall_time)
        arguments = (address, operation, value, timeout, address2, value3)
        restart = RestartBlock(_FUTEX, arguments, time_ns)
    if operation & _REALTIME and command != _WAIT_BITSET:
        raise ENOSYS(f"command {command} knows no FUTEX_CLOCK_REALTIME")
    if command in _WAITS:
        bitset = value3 if command == _WAIT_BITSET else MATCH_ANY
        return futex_wait(
            task, address, value, is_private=is_private, bitset=bitset, deadline=deadline, restart=restart
        )
    raise ENOSYS(f"no command {command}")
