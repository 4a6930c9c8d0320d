"""getrandom(2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EFAULT, EINVAL
from procession.abi.random import GetrandomFlag
from procession.fs.giving_way import give_way
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Flags, OutBuffer, Size
from procession.syscalls.user_vector import MAX_RW_COUNT, check_user_range

if TYPE_CHECKING:
    from procession.kernel.task import Task

_RANDOM = int(GetrandomFlag.GRND_RANDOM)
_INSECURE = int(GetrandomFlag.GRND_INSECURE)
_KNOWN = int(GetrandomFlag.GRND_NONBLOCK) | _RANDOM | _INSECURE
_MAXIMUM = 33_554_431
"""As much as a read of /dev/urandom gives: a step of the kernel must not last for minutes."""
_PAGE_SIZE = 4096


@syscall(318)
def getrandom(task: Task, buffer: OutBuffer, length: Size, flags: Flags[GetrandomFlag]) -> int:
    """getrandom(2). Linux: drivers/char/random.c, SYSCALL_DEFINE3(getrandom)."""
    if flags & ~_KNOWN or flags & (_RANDOM | _INSECURE) == _RANDOM | _INSECURE:
        raise EINVAL(f"unknown flags {flags:#x}")
    check_user_range(buffer, min(length, MAX_RW_COUNT))
    length = min(length, _MAXIMUM)
    clock, frame = task.kernel.clock, task.frame
    done: int = 0 if frame is None or frame.progress is None else frame.progress
    began_ns = clock.kernel_work_ns
    while done < length:
        count = min(length - done, _PAGE_SIZE - (buffer + done) % _PAGE_SIZE)
        try:
            task.mm.probe_write(buffer + done, count)
        except EFAULT:
            if done == 0:
                raise
            break
        task.mm.write(buffer + done, task.kernel.random_bytes(count))
        clock.spend_random(count)
        done += count
        if done < length:
            if task.has_pending_signal:
                break
            give_way(task.kernel.clock, began_ns, done, interrupted=done)
    return done
