"""System calls on futexes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from procession.abi.errno import EFAULT, EINVAL, ENOSYS
from procession.abi.futex import (
    FUTEX2_SIZE_MASK,
    FUTEX_NO_NODE,
    FUTEX_WAITV_MAX,
    Futex2Flag,
    FutexCommand,
    FutexFlag,
    FutexWaitv,
)
from procession.abi.time import Clock, Timespec
from procession.hardware.page_table import USER_END
from procession.kernel.futex.pi import lock_pi, requeue_pi, unlock_pi, wait_requeue_pi
from procession.kernel.futex.queue import (
    MATCH_ANY,
    WORD_BYTES,
    Deadline,
    FutexWait,
    futex_key,
    futex_wait,
    futex_wake,
    read_word,
    write_word,
)
from procession.kernel.futex.requeue import futex_requeue as requeue_waiters
from procession.kernel.futex.requeue import futex_wake_op
from procession.kernel.futex.vector import ExpectedWord, futex_wait_multiple
from procession.kernel.task import RestartBlock
from procession.kernel.time.posix_clock import CLOCK_MONOTONIC, CLOCK_REALTIME, KTIME_MAX
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import ARRAY, U64, Address, Choice, ChoiceAndFlags, Flags, In, Int, UInt
from procession.syscalls.time import nanoseconds_of

if TYPE_CHECKING:
    from procession.kernel.task import Task

_FUTEX = 202
_PRIVATE = int(FutexFlag.FUTEX_PRIVATE_FLAG)
_REALTIME = int(FutexFlag.FUTEX_CLOCK_REALTIME)
_COMMAND = ~(_PRIVATE | _REALTIME)
_WAIT = int(FutexCommand.FUTEX_WAIT)
_WAKE = int(FutexCommand.FUTEX_WAKE)
_REQUEUE = int(FutexCommand.FUTEX_REQUEUE)
_CMP_REQUEUE = int(FutexCommand.FUTEX_CMP_REQUEUE)
_WAKE_OP = int(FutexCommand.FUTEX_WAKE_OP)
_LOCK_PI = int(FutexCommand.FUTEX_LOCK_PI)
_UNLOCK_PI = int(FutexCommand.FUTEX_UNLOCK_PI)
_TRYLOCK_PI = int(FutexCommand.FUTEX_TRYLOCK_PI)
_WAIT_BITSET = int(FutexCommand.FUTEX_WAIT_BITSET)
_WAKE_BITSET = int(FutexCommand.FUTEX_WAKE_BITSET)
_WAIT_REQUEUE_PI = int(FutexCommand.FUTEX_WAIT_REQUEUE_PI)
_CMP_REQUEUE_PI = int(FutexCommand.FUTEX_CMP_REQUEUE_PI)
_LOCK_PI2 = int(FutexCommand.FUTEX_LOCK_PI2)
_WITH_TIMEOUT = (_WAIT, _WAIT_BITSET, _LOCK_PI, _LOCK_PI2, _WAIT_REQUEUE_PI)
_WITH_CLOCK = (_WAIT_BITSET, _LOCK_PI2, _WAIT_REQUEUE_PI)
_FUTEX2_PRIVATE = int(Futex2Flag.FUTEX2_PRIVATE)
_FUTEX2_SIZE_U32 = int(Futex2Flag.FUTEX2_SIZE_U32)
_FUTEX2_NUMA = int(Futex2Flag.FUTEX2_NUMA)
_FUTEX2_FLAGS = int(FUTEX2_SIZE_MASK | _FUTEX2_PRIVATE | _FUTEX2_NUMA | Futex2Flag.FUTEX2_MPOL)
_WORD = 0xFFFF_FFFF
_ONLY_NODE = 0


def _signed(value: int) -> int:
    """The lower 32 bits of a register as the int that they are in C."""
    return (value & _WORD ^ 0x8000_0000) - 0x8000_0000


def _went_to_sleep(task: Task) -> FutexWait | None:
    """The wait of a call that has slept; None when it begins."""
    frame = task.frame
    if frame is None:
        return None
    wait: FutexWait | None = frame.progress
    return wait


def _deadline(task: Task, operation: int, timeout: In[Timespec]) -> Deadline:
    """When a wait ends: FUTEX_WAIT's timeout is a duration, the others' are times.

    Raises EFAULT, EINVAL. Linux: kernel/futex/syscalls.c, futex_init_timeout.
    """
    command = operation & _COMMAND
    # A call that restart_syscall(2) goes on with has its deadline already.
    time_ns = task.frame.deadline_ns if task.frame is not None else None
    if time_ns is None:
        time_ns = nanoseconds_of(timeout.get())
        if command == _WAIT:
            time_ns = min(task.kernel.clock.now_ns + time_ns, KTIME_MAX)
        elif command != _LOCK_PI and not operation & _REALTIME:
            time_ns = task.namespaces.time.to_machine_ns(CLOCK_MONOTONIC, time_ns)
    return Deadline(time_ns, is_wall_time=command == _LOCK_PI or bool(operation & _REALTIME))


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
    is_private = bool(operation & _PRIVATE)
    if command == _WAKE and not operation & _REALTIME:
        return futex_wake(task, address, _signed(value), is_private=is_private)
    wait = _went_to_sleep(task)
    if wait is not None:
        return wait.go_on()
    deadline: Deadline | None = None
    if timeout and command in _WITH_TIMEOUT:
        deadline = _deadline(task, operation, timeout)
    if operation & _REALTIME and command not in _WITH_CLOCK:
        raise ENOSYS(f"command {command} doesn't know FUTEX_CLOCK_REALTIME")
    if command in (_WAIT, _WAIT_BITSET):
        restart: RestartBlock | None = None
        if deadline is not None:
            arguments = (address, operation, value, timeout, address2, value3)
            restart = RestartBlock(_FUTEX, arguments, deadline.time_ns)
        bitset = MATCH_ANY if command == _WAIT else value3
        return futex_wait(
            task, address, value, is_private=is_private, bitset=bitset, deadline=deadline, restart=restart
        )
    if command == _WAKE_BITSET:
        return futex_wake(task, address, _signed(value), is_private=is_private, bitset=value3)
    if command in (_LOCK_PI, _LOCK_PI2):
        return lock_pi(task, address, is_private=is_private, deadline=deadline)
    if command == _TRYLOCK_PI:
        return lock_pi(task, address, is_private=is_private, is_trial=True)
    if command == _UNLOCK_PI:
        return unlock_pi(task, address, is_private=is_private)
    if command == _WAIT_REQUEUE_PI:
        return wait_requeue_pi(task, address, value, address2, is_private=is_private, deadline=deadline)
    # The others have a second count where a timeout would be.
    counts = (_signed(value), _signed(timeout.address))
    if command == _WAKE_OP:
        return futex_wake_op(task, address, address2, counts, value3, is_private=is_private)
    if command in (_REQUEUE, _CMP_REQUEUE):
        expected = value3 if command == _CMP_REQUEUE else None
        return requeue_waiters(task, (address, is_private), (address2, is_private), *counts, expected)
    if command == _CMP_REQUEUE_PI:
        return requeue_pi(task, address, address2, *counts, value3, is_private=is_private)
    raise ENOSYS(f"no command {command}")


def _is_private(flags: int, *values: int) -> bool:
    """What the flags of the newer calls say. Raises EINVAL for what they or the values can't be.

    Linux: kernel/futex/futex.h, futex_flags_valid, futex_validate_input.
    """
    if flags & ~_FUTEX2_FLAGS or flags & FUTEX2_SIZE_MASK != _FUTEX2_SIZE_U32:
        raise EINVAL(f"unknown flags {flags:#x}, or another size than 32 bits")
    if any(value > _WORD for value in values):
        raise EINVAL("a value of more than 32 bits")
    return bool(flags & _FUTEX2_PRIVATE)


def _choose_node(task: Task, address: int, flags: int) -> None:
    """With FUTEX2_NUMA the word behind the futex says on which node the queue is, or is told.

    There is one, which FUTEX2_MPOL's policies name too, so that waiters and wakers always meet.
    Raises EINVAL, EFAULT. Linux: kernel/futex/core.c, get_futex_key.
    """
    if not flags & _FUTEX2_NUMA:
        return
    if address % (2 * WORD_BYTES):
        raise EINVAL("the futex and its node aren't aligned")
    if address >= USER_END:
        raise EFAULT("no user address")
    behind = address + WORD_BYTES
    node = read_word(task, behind)
    if node == FUTEX_NO_NODE:
        write_word(task, behind, _ONLY_NODE)
    elif node != _ONLY_NODE:
        raise EINVAL(f"there is no node {node}")


def _absolute_deadline(task: Task, timeout: In[Timespec], clock: int) -> Deadline | None:
    """Raises EINVAL, EFAULT. Linux: kernel/futex/syscalls.c, futex2_setup_timeout."""
    if not timeout:
        return None
    if clock not in (CLOCK_REALTIME, CLOCK_MONOTONIC):
        raise EINVAL(f"nobody waits by clock {clock}")
    time_ns = nanoseconds_of(timeout.get())
    if clock == CLOCK_MONOTONIC:
        time_ns = task.namespaces.time.to_machine_ns(clock, time_ns)
    return Deadline(time_ns, is_wall_time=clock == CLOCK_REALTIME)


def _parse_vector(task: Task, waiters: int, count: int) -> tuple[list[ExpectedWord], list[int]]:
    """The futexes, and the flags of each. Raises EFAULT, EINVAL.

    Linux: kernel/futex/syscalls.c, futex_parse_waitv.
    """
    words: list[ExpectedWord] = []
    flags: list[int] = []
    for index in range(count):
        data = task.mm.read(waiters + index * FutexWaitv.SIZE, FutexWaitv.SIZE)
        waiter = FutexWaitv.unpack(data)
        is_private = _is_private(waiter.flags, waiter.val)
        if waiter.reserved:
            raise EINVAL("a reserved field isn't 0")
        words.append(ExpectedWord(waiter.uaddr, waiter.val, is_private))
        flags.append(waiter.flags)
    return words, flags


@syscall(449)
def futex_waitv(
    task: Task,
    waiters: In[Annotated[FutexWaitv, ARRAY]],
    count: UInt,
    flags: UInt,
    timeout: In[Timespec],
    clock: Choice[Clock],
) -> int:
    """futex_waitv(2). Linux: kernel/futex/syscalls.c, SYSCALL_DEFINE5(futex_waitv)."""
    wait = _went_to_sleep(task)
    if wait is not None:
        return wait.go_on()
    if flags or not 0 < count <= FUTEX_WAITV_MAX or not waiters:
        raise EINVAL("unknown flags, or no futexes, or too many")
    deadline = _absolute_deadline(task, timeout, clock)
    words, flags_of_each = _parse_vector(task, waiters.address, count)
    for word, flags_of_one in zip(words, flags_of_each, strict=True):
        _choose_node(task, word.address, flags_of_one)
    return futex_wait_multiple(task, words, deadline)


@syscall(454)
def futex_wake_(task: Task, address: Address, mask: U64, count: Int, flags: Flags[Futex2Flag]) -> int:
    """futex_wake(2). Linux: kernel/futex/syscalls.c, SYSCALL_DEFINE4(futex_wake)."""
    is_private = _is_private(flags, mask)
    if mask:
        _choose_node(task, address, flags)
    if count == 0 and mask:
        # Other than FUTEX_WAKE this wakes nobody.
        futex_key(task, address, is_private=is_private)
        return 0
    return futex_wake(task, address, count, is_private=is_private, bitset=mask)


@syscall(455)
def futex_wait_(
    task: Task,
    address: Address,
    value: U64,
    mask: U64,
    flags: Flags[Futex2Flag],
    timeout: In[Timespec],
    clock: Choice[Clock],
) -> int:
    """futex_wait(2). Linux: kernel/futex/syscalls.c, SYSCALL_DEFINE6(futex_wait)."""
    wait = _went_to_sleep(task)
    if wait is not None:
        return wait.go_on()
    is_private = _is_private(flags, value, mask)
    deadline = _absolute_deadline(task, timeout, clock)
    if mask:
        _choose_node(task, address, flags)
    return futex_wait(task, address, value, is_private=is_private, bitset=mask, deadline=deadline)


@syscall(456)
def futex_requeue(task: Task, waiters: Address, flags: UInt, wake_count: Int, requeue_count: Int) -> int:
    """futex_requeue(2). Linux: kernel/futex/syscalls.c, SYSCALL_DEFINE4(futex_requeue)."""
    if flags or not waiters:
        raise EINVAL("unknown flags, or no futexes")
    (source, target), flags_of_each = _parse_vector(task, waiters, 2)
    if flags_of_each[0] != flags_of_each[1]:
        raise EINVAL("futexes of two kinds")
    for word in (source, target):
        _choose_node(task, word.address, flags_of_each[0])
    return requeue_waiters(
        task,
        (source.address, source.is_private),
        (target.address, target.is_private),
        wake_count,
        requeue_count,
        source.value,
    )
