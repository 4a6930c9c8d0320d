"""Priority-inheriting futexes: locks whose owner the kernel knows, boosts, and hands them over from."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from procession.abi.errno import (
    EAGAIN,
    EDEADLK,
    EFAULT,
    EINVAL,
    EPERM,
    ERESTARTNOINTR,
    ESRCH,
    Errno,
)
from procession.abi.futex import FUTEX_TID_MASK, FutexWord
from procession.hardware.physical_memory import OutOfFrames
from procession.kernel.futex.queue import (
    FAIR_PRIORITY,
    Deadline,
    FutexKey,
    FutexTable,
    FutexWaiter,
    expect_value,
    futex_key,
    read_word,
    write_word,
)
from procession.kernel.futex.requeue import move_waiter
from procession.kernel.pid import find_task
from procession.kernel.sched.priority import LARGEST_REAL_TIME_PRIORITY
from procession.kernel.sched.run_queue import priority_of

if TYPE_CHECKING:
    from procession.kernel.task import Task

WAITERS = int(FutexWord.FUTEX_WAITERS)
OWNER_DIED = int(FutexWord.FUTEX_OWNER_DIED)
_LONGEST_CHAIN = 1024
"""kernel.max_lock_depth."""


class PiState:
    """A lock that threads wait for, and its `owner` (Linux: kernel/futex/futex.h, struct futex_pi_state)."""

    __slots__ = ("key", "owner")

    def __init__(self, key: FutexKey, owner: Task) -> None:
        self.key = key
        self.owner = owner


class PiWaiter(FutexWaiter):
    """A thread that waits for a lock at its own `address` of it.

    `state` is the lock; `failure` what the call ends with although the lock is the thread's.
    """

    __slots__ = ("address", "failure", "state")

    is_for_lock: ClassVar[bool] = True

    def __init__(self, task: Task, key: FutexKey, deadline: Deadline | None, address: int) -> None:
        super().__init__(task, key, deadline)
        self.priority = _lock_priority(task)
        self.address = address
        self.state: PiState | None = None
        self.failure: type[Errno] | None = None

    def abandon(self) -> None:
        super().abandon()
        self.leave_lock()

    def leave_lock(self) -> None:
        """Wait for the lock no more; the last waiter takes what the kernel knows of the lock with it."""
        state, self.state = self.state, None
        if state is None:
            return
        if next_owner(self.task.kernel.futexes, state) is None:
            del self.task.kernel.futexes.locks[state.key]
        if state.owner.entity.inherited_priority:
            adjust_priority(state.owner)

    def go_on(self) -> int:
        """Linux: kernel/futex/pi.c, futex_lock_pi."""
        if self.is_woken:
            return self.finish()
        return self.sleep(ERESTARTNOINTR)

    def finish(self) -> int:
        """The lock is the thread's."""
        if self.failure is not None:
            raise self.failure
        return 0


class RequeueWaiter(PiWaiter):
    """A thread in FUTEX_WAIT_REQUEUE_PI: it waits on a futex, then, once moved, for the lock `target_key`."""

    __slots__ = ("target_key",)

    def __init__(
        self, task: Task, key: FutexKey, deadline: Deadline | None, address: int, target_key: FutexKey
    ) -> None:
        super().__init__(task, key, deadline, address)
        self.target_key = target_key

    def go_on(self) -> int:
        """Linux: kernel/futex/requeue.c, futex_wait_requeue_pi."""
        if self.is_woken:
            return self.finish()
        # Once it has been moved the call can't start again: the futex's value is another one by now.
        return self.sleep(ERESTARTNOINTR if self.state is None else EAGAIN)


def next_owner(table: FutexTable, state: PiState) -> PiWaiter | None:
    """Who gets the lock next, None if nobody waits for it."""
    for waiter in table.waiters.get(state.key, ()):
        if isinstance(waiter, PiWaiter) and waiter.state is state:
            return waiter
    return None


def find_owner(task: Task, owner_id: int, key: FutexKey) -> Task:
    """The thread that a lock's word names. Raises ESRCH if it has ended, or isn't there, EPERM if a private
    lock's is of another process, whose thread can't have it.

    Linux: kernel/futex/pi.c, attach_to_pi_owner, handle_exit_race.
    """
    owner: Task | None = find_task(task.pid_namespace, owner_id)
    if owner is None or owner.is_exiting:
        raise ESRCH(f"the lock's owner, {owner_id}, isn't there")
    _, _, is_private = key
    if is_private and owner.mm is not task.mm:
        raise EPERM(f"the private lock's owner, {owner_id}, is in another process")
    return owner


def try_lock(
    task: Task, address: int, key: FutexKey, new_owner: Task, *, announces_waiters: bool = False
) -> PiState | None:
    """Take the lock at `address` of `task` for `new_owner` if it's free.

    Returns None then, else the lock's state, and its word says that somebody waits. Raises EFAULT, EDEADLK
    if it's the owner's already, ESRCH, EINVAL when its word contradicts what the kernel knows.
    Linux: kernel/futex/pi.c, futex_lock_pi_atomic, attach_to_pi_state.
    """
    word = read_word(task, address)
    owner_id = word & FUTEX_TID_MASK
    new_id = new_owner.thread_pid.number_in(task.pid_namespace)
    if owner_id == new_id:
        raise EDEADLK("the thread has the lock already")
    table = task.kernel.futexes
    waiters = table.waiters.get(key)
    if waiters:
        first = waiters[0]
        state = first.state if isinstance(first, PiWaiter) else None
        if state is None:
            raise EINVAL("somebody waits there, but not for a lock")
        known_id = state.owner.thread_pid.number_in(task.pid_namespace)
        if known_id != owner_id and not (word & OWNER_DIED and not owner_id):
            raise EINVAL(f"the word names {owner_id} as the owner, but it's {known_id}")
        return state
    if not owner_id:
        taken = word & OWNER_DIED | new_id
        write_word(task, address, taken | WAITERS if announces_waiters else taken)
        return None
    write_word(task, address, word | WAITERS)
    return PiState(key, find_owner(task, owner_id, key))


def _lock_priority(task: Task) -> int:
    """As wake_priority, with what the thread inherits."""
    priority = priority_of(task)
    return LARGEST_REAL_TIME_PRIORITY - priority if priority else FAIR_PRIORITY


def _lock_waited_for(task: Task) -> PiWaiter | None:
    """How the sleeping `task` waits for a lock, None if it doesn't."""
    waiter = task.frame.progress if task.frame is not None else None
    return waiter if isinstance(waiter, PiWaiter) and waiter.state is not None else None


def adjust_priority(task: Task) -> None:
    """Let `task` inherit from those who wait for its locks, the owner of the lock that it waits for from it,
    and so on. Linux: kernel/locking/rtmutex.c, rt_mutex_adjust_prio_chain.
    """
    table = task.kernel.futexes
    for _ in range(_LONGEST_CHAIN):
        heirs = [next_owner(table, state) for state in table.locks.values() if state.owner is task]
        inherited = max((priority_of(heir.task) for heir in heirs if heir is not None), default=0)
        if inherited == task.entity.inherited_priority:
            return
        task.entity.inherited_priority = inherited
        task.kernel.scheduler.change(task)
        waiter = _lock_waited_for(task)
        if waiter is None:
            return
        task = _reorder(waiter)


def _reorder(waiter: PiWaiter) -> Task:
    """Put a waiter whose priority has changed in its place; who owns the lock."""
    table = waiter.task.kernel.futexes
    table.remove(waiter)
    waiter.priority = _lock_priority(waiter.task)
    table.add(waiter)
    assert waiter.state is not None
    return waiter.state.owner


def waiter_changed(task: Task) -> None:
    """The policy of `task` has changed. Linux: kernel/locking/rtmutex_api.c, rt_mutex_adjust_pi."""
    waiter = _lock_waited_for(task)
    if waiter is not None:
        adjust_priority(_reorder(waiter))


def would_deadlock(task: Task, state: PiState) -> bool:
    """Whether the lock's owner waits, for one lock after another, for `task`.

    Linux: kernel/locking/rtmutex.c, rt_mutex_adjust_prio_chain.
    """
    for _ in range(_LONGEST_CHAIN):
        owner = state.owner
        if owner is task:
            return True
        waiter = _lock_waited_for(owner)
        if waiter is None or waiter.state is None:
            return False
        state = waiter.state
    # Linux doesn't follow longer chains either, and says the same of them.
    return True


def _queue_for(waiter: PiWaiter, state: PiState) -> None:
    """A waiter that is in its place in the table waits for the lock now."""
    waiter.state = state
    waiter.task.kernel.futexes.locks[state.key] = state
    if priority_of(waiter.task):
        adjust_priority(state.owner)


def lock_pi(
    task: Task, address: int, *, is_private: bool, deadline: Deadline | None = None, is_trial: bool = False
) -> int:
    """Take the lock at `address`, or wait for it; with `is_trial` raise EAGAIN instead.

    Raises EINVAL, EFAULT, EDEADLK, ESRCH, ETIMEDOUT, Sleep. Linux: kernel/futex/pi.c, futex_lock_pi.
    """
    key = futex_key(task, address, is_private=is_private, is_written=True)
    state = try_lock(task, address, key, task)
    if state is None:
        return 0
    if is_trial:
        raise EAGAIN(f"the lock is {state.owner.tid}'s")
    if would_deadlock(task, state):
        raise EDEADLK("the lock's owner waits for this thread")
    waiter = PiWaiter(task, key, deadline, address)
    task.kernel.futexes.add(waiter)
    _queue_for(waiter, state)
    return waiter.go_on()


def unlock_pi(task: Task, address: int, *, is_private: bool) -> int:
    """Give the lock at `address` to who waits for it first, or to nobody.

    Raises EFAULT, EPERM if it isn't the thread's, EINVAL. Linux: kernel/futex/pi.c, futex_unlock_pi.
    """
    word = read_word(task, address)
    if word & FUTEX_TID_MASK != task.thread_pid.own_number:
        raise EPERM("the thread doesn't have the lock")
    key = futex_key(task, address, is_private=is_private, is_written=True)
    table = task.kernel.futexes
    waiters = table.waiters.get(key)
    if not waiters:
        write_word(task, address, 0)
        return 0
    first = waiters[0]
    state = first.state if isinstance(first, PiWaiter) else None
    if state is None or state.owner is not task:
        raise EINVAL("the word contradicts what is known of the lock")
    heir = next_owner(table, state)
    assert heir is not None
    write_word(task, address, WAITERS | heir.task.thread_pid.number_in(task.pid_namespace))
    _hand_over(state, heir)
    return 0


def _hand_over(state: PiState, heir: PiWaiter) -> None:
    """Make a waiter the lock's owner and let its call return."""
    old_owner, state.owner = state.owner, heir.task
    if old_owner.entity.inherited_priority:
        adjust_priority(old_owner)
    heir.wake()
    heir.leave_lock()
    following = next_owner(heir.task.kernel.futexes, state)
    if following is not None and priority_of(following.task):
        adjust_priority(heir.task)


def release_locks(task: Task) -> None:
    """The thread ends, or executes a program: the locks that it has go to who waits for them.

    Linux: kernel/futex/core.c, exit_pi_state_list.
    """
    table = task.kernel.futexes
    for state in [state for state in table.locks.values() if state.owner is task]:
        heir = next_owner(table, state)
        assert heir is not None
        try:
            write_word(heir.task, heir.address, heir.task.thread_pid.own_number | WAITERS | OWNER_DIED)
        except (EFAULT, OutOfFrames):
            heir.failure = EFAULT
        _hand_over(state, heir)


def wait_requeue_pi(
    task: Task, address: int, value: int, target: int, *, is_private: bool, deadline: Deadline | None
) -> int:
    """Wait on the futex at `address` if it holds `value`, then for the lock at `target`.

    Raises EINVAL, EFAULT, EAGAIN, ETIMEDOUT, Sleep. Linux: kernel/futex/requeue.c, futex_wait_requeue_pi.
    """
    if address == target:
        raise EINVAL("the futex can't be its own lock")
    target_key = futex_key(task, target, is_private=is_private, is_written=True)
    key = futex_key(task, address, is_private=is_private)
    expect_value(task, address, value)
    if key == target_key:
        raise EINVAL("the futex can't be its own lock")
    waiter = RequeueWaiter(task, key, deadline, target, target_key)
    task.kernel.futexes.add(waiter)
    return waiter.go_on()


def requeue_pi(
    task: Task,
    address: int,
    target: int,
    wake_count: int,
    requeue_count: int,
    expected: int,
    *,
    is_private: bool,
) -> int:
    """Give the first waiter of the futex at `address` the lock at `target`, or let it and up to
    `requeue_count` more wait for that.

    Returns how many got it or wait for it. Raises EINVAL, EFAULT, EAGAIN, EDEADLK, ESRCH.
    Linux: kernel/futex/requeue.c, futex_requeue.
    """
    if wake_count < 0 or requeue_count < 0:
        raise EINVAL("a negative count")
    if address == target or wake_count != 1:
        raise EINVAL("one waiter can be woken, and the futex can't be its own lock")
    key = futex_key(task, address, is_private=is_private)
    target_key = futex_key(task, target, is_private=is_private, is_written=True)
    if key == target_key:
        raise EINVAL("the futex can't be its own lock")
    expect_value(task, address, expected)
    table = task.kernel.futexes
    read_word(task, target)
    waiters = table.waiters.get(key)
    if not waiters:
        return 0
    first = _check_requeued(waiters[0], target_key)
    state = try_lock(task, target, target_key, first.task, announces_waiters=requeue_count > 0)
    count = 0
    if state is None:
        state = PiState(target_key, first.task)
        first.wake()
        count = 1
    for waiter in table.waiters.get(key, []).copy():
        if count - wake_count >= requeue_count:
            break
        moved = _check_requeued(waiter, target_key)
        if would_deadlock(moved.task, state):
            raise EDEADLK("the lock's owner waits for the thread that should wait for it")
        move_waiter(table, moved, target_key)
        _queue_for(moved, state)
        count += 1
    return count


def _check_requeued(waiter: FutexWaiter, target_key: FutexKey) -> RequeueWaiter:
    """A waiter that may be moved to that lock. Raises EINVAL."""
    if not isinstance(waiter, RequeueWaiter) or waiter.state is not None or waiter.target_key != target_key:
        raise EINVAL("a waiter that doesn't wait for that lock")
    return waiter
