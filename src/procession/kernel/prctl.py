"""prctl(2): what a process says about itself, option by option."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from procession.abi.capability import CAP_LAST_CAP
from procession.abi.errno import EINVAL, ENODEV, ENXIO, EPERM, ERANGE
from procession.abi.prctl import (
    CapAmbientOperation,
    HugePagesFlag,
    MceKill,
    MceKillPolicy,
    PrctlOption,
    RestoreIds,
    SetVmaOperation,
    SpeculationControl,
    TscMode,
)
from procession.abi.seccomp import SeccompMode
from procession.abi.word import pack_u32, pack_u64
from procession.kernel.memory_layout import AUXV_BYTES, name_memory, set_memory_layout
from procession.kernel.process_flags import PF_IO_FLUSHER, PF_MCE_EARLY, PF_MCE_PROCESS, TIF_NOTSC
from procession.kernel.sched.priority import REAL_TIME
from procession.kernel.security.capability import CAP_SYS_RESOURCE, SECURE_KEEP_CAPS
from procession.kernel.security.commoncap import (
    drop_from_bounding_set,
    keep_capabilities,
    lower_ambient,
    raise_ambient,
    set_securebits,
)
from procession.kernel.security.credentials import commit_credentials
from procession.kernel.security.seccomp_mode import set_filter_mode, set_strict_mode
from procession.kernel.security.yama import permit_tracer
from procession.kernel.user_dispatch import set_user_dispatch
from procession.mm.address_space import (
    DENIAL_ENDS_HERE,
    DENIES_WRITE_EXECUTE,
    HUGE_PAGES_DISABLED,
    MERGES_ANY,
    ONLY_ADVISED_HUGE_PAGES,
)
from procession.mm.ksm import mark_all, unmark_all

if TYPE_CHECKING:
    from procession.kernel.task import Task

Arguments = tuple[int, int, int, int]
"""prctl's second to fifth argument, unsigned 64-bit."""
Option = Callable[["Task", Arguments], int]

NAME_LENGTH = 16
"""TASK_COMM_LEN: a name of 15 bytes and a NUL."""
_SIGNAL_COUNT = 64

_PR_SPEC_STORE_BYPASS, _PR_SPEC_INDIRECT_BRANCH, _PR_SPEC_L1D_FLUSH = range(3)
_PR_SPEC_ENABLE = int(SpeculationControl.PR_SPEC_ENABLE)
_PR_SPEC_DISABLE = int(SpeculationControl.PR_SPEC_DISABLE)
_PR_SPEC_FORCE_DISABLE = int(SpeculationControl.PR_SPEC_FORCE_DISABLE)


def _expect_no(*arguments: int) -> None:
    """Raise EINVAL unless the unused arguments are 0."""
    if any(arguments):
        raise EINVAL("an unused argument isn't 0")


def _put_int(task: Task, address: int, value: int) -> int:
    task.mm.write(address, pack_u32(value))
    return 0


def _set_parent_death_signal(task: Task, arguments: Arguments) -> int:
    if arguments[0] > _SIGNAL_COUNT:
        raise EINVAL(f"no signal {arguments[0]}")
    task.parent_death_signal = arguments[0]
    return 0


def _get_parent_death_signal(task: Task, arguments: Arguments) -> int:
    return _put_int(task, arguments[0], task.parent_death_signal)


def _get_dumpable(task: Task, arguments: Arguments) -> int:
    del arguments
    return task.mm.dumpable


def _set_dumpable(task: Task, arguments: Arguments) -> int:
    # 2, a core that only root may read, was allowed once: anybody could have root write a file anywhere.
    if arguments[0] > 1:
        raise EINVAL("neither 0 nor 1")
    task.mm.dumpable = arguments[0]
    return 0


def _get_keep_capabilities(task: Task, arguments: Arguments) -> int:
    del arguments
    return int(task.credentials.is_secure(SECURE_KEEP_CAPS))


def _set_keep_capabilities(task: Task, arguments: Arguments) -> int:
    if arguments[0] > 1:
        raise EINVAL("neither 0 nor 1")
    keep_capabilities(task, bool(arguments[0]))
    return 0


def _get_timing(task: Task, arguments: Arguments) -> int:
    # PR_TIMING_STATISTICAL: exact times were never built.
    del task, arguments
    return 0


def _set_timing(task: Task, arguments: Arguments) -> int:
    del task
    _expect_no(arguments[0])
    return 0


def _set_name(task: Task, arguments: Arguments) -> int:
    # A longer name is cut, and no error: programs pass whole paths.
    length = NAME_LENGTH - 1
    name = task.mm.read_cstring(arguments[0], length)
    task.command_name = name if name is not None else task.mm.read(arguments[0], length)
    if task.kernel.process_connector is not None:
        task.kernel.process_connector.tell_of_name(task)
    return 0


def _get_name(task: Task, arguments: Arguments) -> int:
    task.mm.write(arguments[0], task.command_name[: NAME_LENGTH - 1].ljust(NAME_LENGTH, b"\0"))
    return 0


def _read_bounding_set(task: Task, arguments: Arguments) -> int:
    if arguments[0] > CAP_LAST_CAP:
        raise EINVAL(f"no capability {arguments[0]}")
    return task.credentials.cap_bounding >> arguments[0] & 1


def _drop_from_bounding_set(task: Task, arguments: Arguments) -> int:
    drop_from_bounding_set(task, arguments[0])
    return 0


def _get_time_stamp_mode(task: Task, arguments: Arguments) -> int:
    faults = task.flags & TIF_NOTSC
    return _put_int(task, arguments[0], TscMode.PR_TSC_SIGSEGV if faults else TscMode.PR_TSC_ENABLE)


def _set_time_stamp_mode(task: Task, arguments: Arguments) -> int:
    if arguments[0] == TscMode.PR_TSC_SIGSEGV:
        task.flags |= TIF_NOTSC
    elif arguments[0] == TscMode.PR_TSC_ENABLE:
        task.flags &= ~TIF_NOTSC
    else:
        raise EINVAL(f"no mode {arguments[0]}")
    return 0


def _get_securebits(task: Task, arguments: Arguments) -> int:
    del arguments
    return task.credentials.securebits


def _set_securebits(task: Task, arguments: Arguments) -> int:
    set_securebits(task, arguments[0])
    return 0


def _set_timer_slack(task: Task, arguments: Arguments) -> int:
    # Real-time threads have no slack, and keep what they had for the time after.
    if task.policy not in REAL_TIME:
        task.timer_slack_ns = arguments[0] or task.default_timer_slack_ns
    return 0


def _get_timer_slack(task: Task, arguments: Arguments) -> int:
    del arguments
    return 0 if task.policy in REAL_TIME else task.timer_slack_ns


def _set_memory_failure_policy(task: Task, arguments: Arguments) -> int:
    operation, policy, *unused = arguments
    _expect_no(*unused)
    if operation == MceKill.PR_MCE_KILL_CLEAR:
        _expect_no(policy)
        task.flags &= ~PF_MCE_PROCESS
    elif operation == MceKill.PR_MCE_KILL_SET:
        if policy == MceKillPolicy.PR_MCE_KILL_DEFAULT:
            task.flags &= ~(PF_MCE_PROCESS | PF_MCE_EARLY)
        elif policy == MceKillPolicy.PR_MCE_KILL_EARLY:
            task.flags |= PF_MCE_PROCESS | PF_MCE_EARLY
        elif policy == MceKillPolicy.PR_MCE_KILL_LATE:
            task.flags = task.flags & ~PF_MCE_EARLY | PF_MCE_PROCESS
        else:
            raise EINVAL(f"no policy {policy}")
    else:
        raise EINVAL(f"no operation {operation}")
    return 0


def _get_memory_failure_policy(task: Task, arguments: Arguments) -> int:
    _expect_no(*arguments)
    if not task.flags & PF_MCE_PROCESS:
        return int(MceKillPolicy.PR_MCE_KILL_DEFAULT)
    early = task.flags & PF_MCE_EARLY
    return int(MceKillPolicy.PR_MCE_KILL_EARLY if early else MceKillPolicy.PR_MCE_KILL_LATE)


def _set_memory_layout(task: Task, arguments: Arguments) -> int:
    return set_memory_layout(task, *arguments)


def _name_memory(task: Task, arguments: Arguments) -> int:
    operation, start, length, name = arguments
    if operation != SetVmaOperation.PR_SET_VMA_ANON_NAME:
        raise EINVAL(f"no operation {operation}")
    return name_memory(task, start, length, name)


def _set_system_call_dispatch(task: Task, arguments: Arguments) -> int:
    set_user_dispatch(task.kernel, task, *arguments)
    return 0


def _get_seccomp_mode(task: Task, arguments: Arguments) -> int:
    del arguments
    return task.seccomp_mode


def _set_seccomp_mode(task: Task, arguments: Arguments) -> int:
    """Linux: kernel/seccomp.c, prctl_set_seccomp."""
    if arguments[0] == SeccompMode.SECCOMP_MODE_STRICT:
        set_strict_mode(task)
        return 0
    if arguments[0] == SeccompMode.SECCOMP_MODE_FILTER:
        return set_filter_mode(task, arguments[1], 0)
    raise EINVAL(f"no mode {arguments[0]}")


def _set_child_subreaper(task: Task, arguments: Arguments) -> int:
    task.group.is_child_subreaper = bool(arguments[0])
    return 0


def _get_child_subreaper(task: Task, arguments: Arguments) -> int:
    return _put_int(task, arguments[0], task.group.is_child_subreaper)


def _set_no_new_privs(task: Task, arguments: Arguments) -> int:
    if arguments != (1, 0, 0, 0):
        raise EINVAL("once and for all, without other arguments")
    commit_credentials(task, task.credentials.replace(no_new_privs=True))
    return 0


def _get_no_new_privs(task: Task, arguments: Arguments) -> int:
    _expect_no(*arguments)
    return int(task.credentials.no_new_privs)


def _get_tid_address(task: Task, arguments: Arguments) -> int:
    task.mm.write(arguments[0], pack_u64(task.clear_child_tid))
    return 0


_EXCEPT_ADVISED = int(HugePagesFlag.PR_THP_DISABLE_EXCEPT_ADVISED)


def _set_huge_pages_disabled(task: Task, arguments: Arguments) -> int:
    """Linux: kernel/sys.c, prctl_set_thp_disable."""
    is_disabled, flags, *unused = arguments
    _expect_no(*unused)
    if flags & ~_EXCEPT_ADVISED or (flags and not is_disabled):
        raise EINVAL("unknown flags, or those of nothing")
    mm = task.mm
    mm.inherited_flags &= ~(HUGE_PAGES_DISABLED | ONLY_ADVISED_HUGE_PAGES)
    if is_disabled:
        mm.inherited_flags |= ONLY_ADVISED_HUGE_PAGES if flags else HUGE_PAGES_DISABLED
    return 0


def _get_huge_pages_disabled(task: Task, arguments: Arguments) -> int:
    """Linux: kernel/sys.c, prctl_get_thp_disable."""
    _expect_no(*arguments)
    inherited = task.mm.inherited_flags
    if inherited & ONLY_ADVISED_HUGE_PAGES:
        return 1 | _EXCEPT_ADVISED
    return int(bool(inherited & HUGE_PAGES_DISABLED))


def _set_memory_merge(task: Task, arguments: Arguments) -> int:
    """Linux: mm/ksm.c, ksm_enable_merge_any, ksm_disable_merge_any."""
    is_wanted, *unused = arguments
    _expect_no(*unused)
    mm = task.mm
    if is_wanted and not mm.inherited_flags & MERGES_ANY:
        mark_all(mm)
        mm.inherited_flags |= MERGES_ANY
    elif not is_wanted and mm.inherited_flags & MERGES_ANY:
        unmark_all(mm)
        mm.inherited_flags &= ~MERGES_ANY
    return 0


def _get_memory_merge(task: Task, arguments: Arguments) -> int:
    _expect_no(*arguments)
    return int(bool(task.mm.inherited_flags & MERGES_ANY))


def _change_ambient_set(task: Task, arguments: Arguments) -> int:
    """Linux: security/commoncap.c, cap_task_prctl."""
    operation, capability, *unused = arguments
    if operation == CapAmbientOperation.PR_CAP_AMBIENT_CLEAR_ALL:
        _expect_no(capability, *unused)
        lower_ambient(task, task.credentials.cap_ambient)
        return 0
    _expect_no(*unused)
    if capability > CAP_LAST_CAP:
        raise EINVAL(f"no capability {capability}")
    if operation == CapAmbientOperation.PR_CAP_AMBIENT_IS_SET:
        return task.credentials.cap_ambient >> capability & 1
    if operation == CapAmbientOperation.PR_CAP_AMBIENT_RAISE:
        raise_ambient(task, capability)
    elif operation == CapAmbientOperation.PR_CAP_AMBIENT_LOWER:
        lower_ambient(task, 1 << capability)
    else:
        raise EINVAL(f"no operation {operation}")
    return 0


def _get_speculation(task: Task, arguments: Arguments) -> int:
    """The processor doesn't speculate. Linux: arch/x86/kernel/cpu/bugs.c, arch_prctl_spec_ctrl_get."""
    del task
    feature, *unused = arguments
    _expect_no(*unused)
    if feature in (_PR_SPEC_STORE_BYPASS, _PR_SPEC_INDIRECT_BRANCH):
        return 0
    if feature == _PR_SPEC_L1D_FLUSH:
        return _PR_SPEC_FORCE_DISABLE
    raise ENODEV(f"no feature {feature}")


def _set_speculation(task: Task, arguments: Arguments) -> int:
    """Linux: arch/x86/kernel/cpu/bugs.c, arch_prctl_spec_ctrl_set."""
    del task
    feature, control, *unused = arguments
    _expect_no(*unused)
    if feature == _PR_SPEC_STORE_BYPASS:
        raise ENXIO("stores aren't bypassed")
    if feature == _PR_SPEC_INDIRECT_BRANCH:
        if control == _PR_SPEC_ENABLE:
            return 0
        if control not in (_PR_SPEC_DISABLE, _PR_SPEC_FORCE_DISABLE):
            raise ERANGE(f"no control {control:#x}")
        raise EPERM("branches aren't predicted")
    if feature == _PR_SPEC_L1D_FLUSH:
        raise EPERM("there is no cache to flush")
    raise ENODEV(f"no feature {feature}")


def _set_io_flusher(task: Task, arguments: Arguments) -> int:
    if not task.credentials.capable(CAP_SYS_RESOURCE):
        raise EPERM("takes CAP_SYS_RESOURCE")
    is_flusher, *unused = arguments
    _expect_no(*unused)
    if is_flusher > 1:
        raise EINVAL("neither 0 nor 1")
    task.flags = task.flags | PF_IO_FLUSHER if is_flusher else task.flags & ~PF_IO_FLUSHER
    return 0


def _get_io_flusher(task: Task, arguments: Arguments) -> int:
    if not task.credentials.capable(CAP_SYS_RESOURCE):
        raise EPERM("takes CAP_SYS_RESOURCE")
    _expect_no(*arguments)
    return int(bool(task.flags & PF_IO_FLUSHER))


def _set_write_execute_denial(task: Task, arguments: Arguments) -> int:
    """Linux: kernel/sys.c, prctl_set_mdwe."""
    bits, *unused = arguments
    _expect_no(*unused)
    if bits & ~(DENIES_WRITE_EXECUTE | DENIAL_ENDS_HERE) or bits == DENIAL_ENDS_HERE:
        raise EINVAL(f"no such denial: {bits:#x}")
    present = _get_write_execute_denial(task, (0, 0, 0, 0))
    if present and present != bits:
        raise EPERM("what is denied stays denied")
    task.mm.inherited_flags |= bits
    return 0


def _get_write_execute_denial(task: Task, arguments: Arguments) -> int:
    _expect_no(*arguments)
    return task.mm.inherited_flags & (DENIES_WRITE_EXECUTE | DENIAL_ENDS_HERE)


def _choose_timer_ids(task: Task, arguments: Arguments) -> int:
    """Linux: kernel/time/posix-timers.c, posixtimer_create_prctl."""
    control, *unused = arguments
    _expect_no(*unused)
    if control == RestoreIds.PR_TIMER_CREATE_RESTORE_IDS_GET:
        return int(task.group.chooses_timer_ids)
    if control not in (RestoreIds.PR_TIMER_CREATE_RESTORE_IDS_OFF, RestoreIds.PR_TIMER_CREATE_RESTORE_IDS_ON):
        raise EINVAL(f"neither on nor off: {control}")
    task.group.chooses_timer_ids = bool(control)
    return 0


def _set_tracer(task: Task, arguments: Arguments) -> int:
    permit_tracer(task, arguments[0])
    return 0


def _get_auxiliary_vector(task: Task, arguments: Arguments) -> int:
    """Linux: kernel/sys.c, prctl_get_auxv."""
    address, length, *unused = arguments
    _expect_no(*unused)
    task.mm.write(address, task.mm.auxiliary_vector.ljust(AUXV_BYTES, b"\0")[:length])
    return AUXV_BYTES


_OPTIONS: dict[int, Option] = {
    int(option): handler
    for option, handler in (
        (PrctlOption.PR_SET_PDEATHSIG, _set_parent_death_signal),
        (PrctlOption.PR_GET_PDEATHSIG, _get_parent_death_signal),
        (PrctlOption.PR_GET_DUMPABLE, _get_dumpable),
        (PrctlOption.PR_SET_DUMPABLE, _set_dumpable),
        (PrctlOption.PR_GET_KEEPCAPS, _get_keep_capabilities),
        (PrctlOption.PR_SET_KEEPCAPS, _set_keep_capabilities),
        (PrctlOption.PR_GET_TIMING, _get_timing),
        (PrctlOption.PR_SET_TIMING, _set_timing),
        (PrctlOption.PR_SET_NAME, _set_name),
        (PrctlOption.PR_GET_NAME, _get_name),
        (PrctlOption.PR_CAPBSET_READ, _read_bounding_set),
        (PrctlOption.PR_CAPBSET_DROP, _drop_from_bounding_set),
        (PrctlOption.PR_GET_SECCOMP, _get_seccomp_mode),
        (PrctlOption.PR_SET_SECCOMP, _set_seccomp_mode),
        (PrctlOption.PR_GET_TSC, _get_time_stamp_mode),
        (PrctlOption.PR_SET_TSC, _set_time_stamp_mode),
        (PrctlOption.PR_GET_SECUREBITS, _get_securebits),
        (PrctlOption.PR_SET_SECUREBITS, _set_securebits),
        (PrctlOption.PR_SET_TIMERSLACK, _set_timer_slack),
        (PrctlOption.PR_GET_TIMERSLACK, _get_timer_slack),
        (PrctlOption.PR_MCE_KILL, _set_memory_failure_policy),
        (PrctlOption.PR_MCE_KILL_GET, _get_memory_failure_policy),
        (PrctlOption.PR_SET_MM, _set_memory_layout),
        (PrctlOption.PR_SET_CHILD_SUBREAPER, _set_child_subreaper),
        (PrctlOption.PR_GET_CHILD_SUBREAPER, _get_child_subreaper),
        (PrctlOption.PR_SET_NO_NEW_PRIVS, _set_no_new_privs),
        (PrctlOption.PR_GET_NO_NEW_PRIVS, _get_no_new_privs),
        (PrctlOption.PR_GET_TID_ADDRESS, _get_tid_address),
        (PrctlOption.PR_SET_THP_DISABLE, _set_huge_pages_disabled),
        (PrctlOption.PR_GET_THP_DISABLE, _get_huge_pages_disabled),
        (PrctlOption.PR_CAP_AMBIENT, _change_ambient_set),
        (PrctlOption.PR_GET_SPECULATION_CTRL, _get_speculation),
        (PrctlOption.PR_SET_SPECULATION_CTRL, _set_speculation),
        (PrctlOption.PR_SET_IO_FLUSHER, _set_io_flusher),
        (PrctlOption.PR_GET_IO_FLUSHER, _get_io_flusher),
        (PrctlOption.PR_SET_SYSCALL_USER_DISPATCH, _set_system_call_dispatch),
        (PrctlOption.PR_SET_MDWE, _set_write_execute_denial),
        (PrctlOption.PR_GET_MDWE, _get_write_execute_denial),
        (PrctlOption.PR_SET_MEMORY_MERGE, _set_memory_merge),
        (PrctlOption.PR_GET_MEMORY_MERGE, _get_memory_merge),
        (PrctlOption.PR_TIMER_CREATE_RESTORE_IDS, _choose_timer_ids),
        (PrctlOption.PR_GET_AUXV, _get_auxiliary_vector),
        (PrctlOption.PR_SET_PTRACER, _set_tracer),
        (PrctlOption.PR_SET_VMA, _name_memory),
    )
}


def control_process(task: Task, option: int, arguments: Arguments) -> int:
    """Do what `option` says; its result. Raises EINVAL for an option that there isn't, and the option's own.

    There aren't, as where they are configured out or for other processors: core scheduling, performance
    events. System calls can't be dispatched to user space. Linux: kernel/sys.c, SYSCALL_DEFINE5(prctl).
    """
    handler = _OPTIONS.get(option)
    if handler is None:
        raise EINVAL(f"no option {option}")
    return handler(task, arguments)
