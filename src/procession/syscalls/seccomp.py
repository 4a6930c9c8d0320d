"""seccomp(2), and what prctl(2) has of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL, EOPNOTSUPP
from procession.abi.seccomp import (
    SeccompAction,
    SeccompData,
    SeccompFilterFlag,
    SeccompNotif,
    SeccompNotifResp,
    SeccompNotifSizes,
    SeccompOperation,
)
from procession.kernel.security.seccomp_mode import set_filter_mode, set_strict_mode
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Choice, Flags

if TYPE_CHECKING:
    from procession.kernel.task import Task

_ACTIONS = frozenset(map(int, SeccompAction))


@syscall(317)
def seccomp(
    task: Task, operation: Choice[SeccompOperation], flags: Flags[SeccompFilterFlag], argument: Address
) -> int:
    """seccomp(2). Linux: kernel/seccomp.c, do_seccomp."""
    if operation == SeccompOperation.SECCOMP_SET_MODE_FILTER:
        return set_filter_mode(task, argument, flags)
    if flags:
        raise EINVAL("flags that the operation doesn't have")
    if operation == SeccompOperation.SECCOMP_SET_MODE_STRICT:
        if argument:
            raise EINVAL("the strict mode takes no argument")
        set_strict_mode(task)
    elif operation == SeccompOperation.SECCOMP_GET_ACTION_AVAIL:
        action = int.from_bytes(task.mm.read(argument, 4), "little")
        if action not in _ACTIONS:
            raise EOPNOTSUPP(f"no action {action:#x}")
    elif operation == SeccompOperation.SECCOMP_GET_NOTIF_SIZES:
        sizes = SeccompNotifSizes(SeccompNotif.SIZE, SeccompNotifResp.SIZE, SeccompData.SIZE)
        task.mm.write(argument, sizes.pack())
    else:
        raise EINVAL(f"no operation {operation}")
    return 0
