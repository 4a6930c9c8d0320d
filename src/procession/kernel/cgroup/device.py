"""Which devices the tasks of a control group may use: programs that are attached to it decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.bpf_attributes import BpfCgroupDevCtx
from procession.abi.device_numbers import device_major, device_minor
from procession.abi.ebpf import BpfAttachFlag, BpfDeviceAccess, BpfDeviceType
from procession.abi.errno import E2BIG, EINVAL, ENOENT, EPERM
from procession.abi.file_mode import S_IFMT, FileType
from procession.kernel.time.costs import EBPF_INSTRUCTION_NS

if TYPE_CHECKING:
    from procession.kernel.bpf.program import BpfProgram
    from procession.kernel.cgroup.group import Cgroup
    from procession.kernel.kernel import Kernel

OVERRIDE = int(BpfAttachFlag.BPF_F_ALLOW_OVERRIDE)
MULTI = int(BpfAttachFlag.BPF_F_ALLOW_MULTI)
REPLACE = int(BpfAttachFlag.BPF_F_REPLACE)
MOST_PROGRAMS = 64
"""Of one group. Linux: kernel/bpf/cgroup.c, BPF_CGROUP_MAX_PROGS."""

_S_IFBLK = int(FileType.S_IFBLK)
_BLOCK, _CHARACTER = int(BpfDeviceType.BPF_DEVCG_DEV_BLOCK), int(BpfDeviceType.BPF_DEVCG_DEV_CHAR)
MKNOD = int(BpfDeviceAccess.BPF_DEVCG_ACC_MKNOD)
READ = int(BpfDeviceAccess.BPF_DEVCG_ACC_READ)
WRITE = int(BpfDeviceAccess.BPF_DEVCG_ACC_WRITE)


class DevicePrograms:
    """The programs that are attached to one group, the oldest first, and the flags that they all have.

    Linux: include/linux/bpf-cgroup-defs.h, struct cgroup_bpf.
    """

    __slots__ = ("flags", "programs")

    def __init__(self) -> None:
        self.flags = 0
        self.programs: list[BpfProgram] = []


class DeviceGate:
    """Asks the programs before a device is used: a file system has it while any program is attached."""

    __slots__ = ("kernel",)

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def check(self, mode: int, device: int, access: int) -> None:
        """Raise EPERM unless the running task may use a device, whose inode's `mode` says of which kind.

        `access` is of MKNOD, READ and WRITE. Linux: kernel/bpf/cgroup.c, __cgroup_bpf_check_dev_permission.
        """
        from procession.kernel.bpf.interpreter import run

        task = self.kernel.current
        if task is None:
            return
        context = b""
        for program in effective_programs(task.cgroup):
            if not context:
                kind = _BLOCK if mode & S_IFMT == _S_IFBLK else _CHARACTER
                context = BpfCgroupDevCtx(
                    access << 16 | kind, device_major(device), device_minor(device)
                ).pack()
            answer, count = run(program.instructions, context)
            self.kernel.clock.spend(count * EBPF_INSTRUCTION_NS)
            if not answer:
                raise EPERM("a control group's program refuses the device")


def effective_programs(group: Cgroup) -> list[BpfProgram]:
    """What decides for the tasks of a group: its own programs, and those above as their flags say.

    Linux: kernel/bpf/cgroup.c, compute_effective_progs.
    """
    found: list[BpfProgram] = []
    for each in group.ancestors():
        attached = each.devices
        if attached is not None and (not found or attached.flags & MULTI):
            found += attached.programs
    return found


def attach(
    kernel: Kernel, group: Cgroup, program: BpfProgram, flags: int, replaced: BpfProgram | None
) -> None:
    """Let `program` decide for `group`. Raises EINVAL, EPERM, E2BIG, ENOENT.

    Linux: kernel/bpf/cgroup.c, __cgroup_bpf_attach.
    """
    if (flags & OVERRIDE and flags & MULTI) or (flags & REPLACE and not flags & MULTI):
        raise EINVAL("flags that exclude each other")
    if not _allows_attaching(group):
        raise EPERM("a group above has a program that can't be overridden")
    attached = group.devices
    kept = flags & (OVERRIDE | MULTI)
    if attached is None:
        attached = DevicePrograms()
    elif attached.flags != kept:
        raise EPERM("the programs that are attached have other flags")
    programs = attached.programs
    if len(programs) >= MOST_PROGRAMS:
        raise E2BIG(f"{MOST_PROGRAMS} programs are all that there may be")
    old = programs[0] if programs and not flags & MULTI else None
    if flags & MULTI:
        if program in programs and program is not replaced:
            raise EINVAL("the program is attached already")
        if replaced is not None and replaced not in programs:
            raise ENOENT("the program to replace isn't attached")
        old = replaced
    program.acquire()
    if old is None:
        programs.append(program)
    else:
        programs[programs.index(old)] = program
        old.put(kernel.memory.account)
    attached.flags = kept
    group.devices = attached
    if kernel.vfs.device_gate is None:
        kernel.vfs.device_gate = DeviceGate(kernel)


def _allows_attaching(group: Cgroup) -> bool:
    """Linux: kernel/bpf/cgroup.c, hierarchy_allows_attach."""
    above = group.parent
    while above is not None:
        attached = above.devices
        if attached is not None:
            return bool(attached.flags & (MULTI | OVERRIDE))
        above = above.parent
    return True


def detach(kernel: Kernel, group: Cgroup, program: BpfProgram | None) -> None:
    """`program` decides for `group` no longer. Raises ENOENT, EINVAL.

    Linux: kernel/bpf/cgroup.c, __cgroup_bpf_detach.
    """
    attached = group.devices
    if attached is None:
        raise ENOENT("no program is attached")
    if attached.flags & MULTI:
        if program is None:
            raise EINVAL("which of the programs?")
        if program not in attached.programs:
            raise ENOENT("the program isn't attached")
    else:
        # Whatever the descriptor is: there can be only one.
        program = attached.programs[0]
    attached.programs.remove(program)
    program.put(kernel.memory.account)
    if not attached.programs:
        group.devices = None
        _close_gate(kernel)


def detach_all(kernel: Kernel, group: Cgroup) -> None:
    """`group` is removed. Linux: kernel/bpf/cgroup.c, cgroup_bpf_release."""
    attached = group.devices
    if attached is not None:
        group.devices = None
        for program in attached.programs:
            program.put(kernel.memory.account)
        _close_gate(kernel)


def _close_gate(kernel: Kernel) -> None:
    if all(group.devices is None for group in kernel.cgroups.root.subtree()):
        kernel.vfs.device_gate = None
