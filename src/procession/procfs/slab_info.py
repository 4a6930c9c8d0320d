"""/proc/slabinfo: what the kernel's own objects take, by their kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware import kernel_memory as sizes
from procession.hardware.kernel_memory import KIND_NAMES, STACK_BYTES, TASK
from procession.hardware.physical_memory import PAGE_SHIFT
from procession.kernel.task_state import ENDED

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_BYTES_TOGETHER = 64
"""Of what is bytes, so many count as an object."""
_OBJECT_BYTES = (
    *(sizes.TASK_BYTES - STACK_BYTES, sizes.ADDRESS_SPACE_BYTES, sizes.AREA_BYTES, sizes.DESCRIPTOR_BYTES),
    *(sizes.FILE_BYTES, sizes.INODE_BYTES, _BYTES_TOGETHER, sizes.SOCKET_BYTES, _BYTES_TOGETHER),
    *(sizes.PIPE_BYTES, sizes.SIGNAL_BYTES, sizes.POSIX_TIMER_BYTES, sizes.GROUP_ID_BYTES),
    *(sizes.BINARY_FORMAT_BYTES, sizes.WATCH_BYTES, sizes.EVENT_BYTES, sizes.LOCK_BYTES, sizes.MOUNT_BYTES),
    *(_BYTES_TOGETHER, sizes.TERMINAL_BYTES, sizes.SECCOMP_BYTES, sizes.NAMESPACE_BYTES),
    *(sizes.LANDLOCK_RULE_BYTES, sizes.INTERFACE_BYTES, sizes.WAIT_BYTES, sizes.BPF_BYTES),
    *(sizes.CONTROLLER_BYTES, _BYTES_TOGETHER, sizes.USER_FAULT_BYTES, sizes.ABSENT_NAME_BYTES),
    sizes.KEY_BYTES,
)
"""What most objects of each kind take."""
_HEADER = (
    b"slabinfo - version: 2.1\n"
    b"# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab>"
    b" : tunables <limit> <batchcount> <sharedfactor>"
    b" : slabdata <active_slabs> <num_slabs> <sharedavail>\n"
)


def show_slabs(kernel: Kernel) -> bytes:
    """A line for each kind of object, with as many of the usual size as its bytes make: some are larger.

    Without kernel stacks, as Slab in /proc/meminfo. Linux: mm/slab_common.c, slab_show.
    """
    stacks = sum(task.state not in ENDED for task in kernel.tasks)
    lines = [_HEADER]
    for kind, (name, size) in enumerate(zip(KIND_NAMES, _OBJECT_BYTES, strict=True)):
        used_bytes = kernel.memory.account.kinds[kind]
        if kind == TASK:
            used_bytes = max(used_bytes - stacks * STACK_BYTES, 0)
        active = -(-used_bytes // size)
        slab_pages = -(-size >> PAGE_SHIFT)
        per_slab = (slab_pages << PAGE_SHIFT) // size
        slabs = -(-active // per_slab)
        label = name.replace(" ", "_").encode()
        lines.append(
            b"%-17s %6d %6d %6d %4d %4d : tunables    0    0    0 : slabdata %6d %6d      0\n"
            % (label, active, slabs * per_slab, size, per_slab, slab_pages, slabs, slabs)
        )
    return b"".join(lines)
