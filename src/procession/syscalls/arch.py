"""arch_prctl(2): the segment bases, with which threads find their own data; and the vDSO once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.arch_prctl import ArchPrctlOption
from procession.abi.errno import EINVAL, ENODEV, EOPNOTSUPP, EPERM
from procession.abi.word import pack_u64
from procession.hardware.extended_state import SSE, X87
from procession.hardware.page_table import USER_END
from procession.hardware.processor_level import LEVELS
from procession.kernel.program.vdso import map_vdso_once
from procession.syscalls.declaration import syscall
from procession.syscalls.parameters import Address, Choice

if TYPE_CHECKING:
    from procession.kernel.task import Task

_ARCH_SET_GS = int(ArchPrctlOption.ARCH_SET_GS)
_ARCH_SET_FS = int(ArchPrctlOption.ARCH_SET_FS)
_ARCH_GET_FS = int(ArchPrctlOption.ARCH_GET_FS)
_ARCH_GET_GS = int(ArchPrctlOption.ARCH_GET_GS)
_ARCH_MAP_VDSO_64 = int(ArchPrctlOption.ARCH_MAP_VDSO_64)
_TOLD_COMPONENTS = (
    int(ArchPrctlOption.ARCH_GET_XCOMP_SUPP),
    int(ArchPrctlOption.ARCH_GET_XCOMP_PERM),
    int(ArchPrctlOption.ARCH_GET_XCOMP_GUEST_PERM),
)
_ASKS_FOR_COMPONENT = (
    int(ArchPrctlOption.ARCH_REQ_XCOMP_PERM),
    int(ArchPrctlOption.ARCH_REQ_XCOMP_GUEST_PERM),
)
_XFEATURE_MAX = 20
_ARCH_GET_CPUID, _ARCH_SET_CPUID = int(ArchPrctlOption.ARCH_GET_CPUID), int(ArchPrctlOption.ARCH_SET_CPUID)


@syscall(158)
def arch_prctl(task: Task, option: Choice[ArchPrctlOption], argument: Address) -> int:
    """arch_prctl(2). Linux: arch/x86/kernel/process_64.c, do_arch_prctl_64."""
    return arch_prctl_of(task, task, option, argument)


def arch_prctl_of(task: Task, target: Task, option: int, argument: int) -> int:
    """arch_prctl(2) of `task` for `target`, which is itself or its tracee: what is told it reads itself."""
    kernel = task.kernel
    if option in (_ARCH_SET_FS, _ARCH_SET_GS):
        if argument >= USER_END:
            raise EPERM("past user space")
        registers = kernel.integers_of(target)
        if option == _ARCH_SET_FS:
            registers.fs_base = argument
            registers.set_selector("fs", 0)
        else:
            registers.gs_base = argument
            registers.set_selector("gs", 0)
        kernel.bases_changed(target)
    elif option in (_ARCH_GET_FS, _ARCH_GET_GS):
        registers = kernel.integers_of(target)
        base = registers.fs_base if option == _ARCH_GET_FS else registers.gs_base
        task.mm.write(argument, pack_u64(base))
    elif option == _ARCH_MAP_VDSO_64:
        # Into the caller's address space, even if it's for its tracee.
        return map_vdso_once(kernel, task.mm, argument)
    elif option == _ARCH_GET_CPUID:
        return 1
    elif option == _ARCH_SET_CPUID:
        raise ENODEV("the processor can't make cpuid fault")
    elif option in _TOLD_COMPONENTS:
        components = LEVELS[target.mm.processor_level].components or X87 | SSE
        task.mm.write(argument, pack_u64(components))
    elif option in _ASKS_FOR_COMPONENT:
        # Linux: arch/x86/kernel/fpu/xstate.c, xstate_request_perm.
        if argument >= _XFEATURE_MAX:
            raise EINVAL("no component of the processor's state")
        raise EOPNOTSUPP("none that must be asked for, as AMX must be")
    else:
        raise EINVAL(f"no option {option:#x}")
    return 0
