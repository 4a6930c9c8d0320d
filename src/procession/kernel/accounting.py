"""Process accounting: a record of each process that ends, written to a file; acct(2), acct(5)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

from procession.abi.acct import AHZ, AcctV3
from procession.abi.duration import NS_PER_S
from procession.abi.errno import EACCES, EINVAL, EPERM, Errno
from procession.abi.file_mode import S_IFMT
from procession.fs import opening
from procession.fs.file import O_APPEND, O_LARGEFILE, O_WRONLY
from procession.fs.file_system_type import type_of
from procession.fs.inode import S_IFREG
from procession.fs.pipe import FifoOpening
from procession.hardware.physical_memory import PAGE_SHIFT, OutOfFrames
from procession.kernel.process_flags import accounting_flags
from procession.kernel.security.capability import CAP_SYS_PACCT
from procession.kernel.task import CpuTimes

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.superblock import Superblock
    from procession.kernel.kernel import Kernel
    from procession.kernel.namespaces.pid import PidNamespace
    from procession.kernel.security.credentials import Credentials
    from procession.kernel.task import Task

_NS_PER_TICK = NS_PER_S // AHZ
_MANTISSA_BITS, _EXPONENT_BITS, _LARGEST_EXPONENT = 13, 3, 7
_LARGEST_MANTISSA = (1 << _MANTISSA_BITS) - 1
_U16_MAX, _U32_MAX = 0xFFFF, 0xFFFFFFFF


class AccountingFile:
    """Where the processes of a pid namespace are recorded (Linux: kernel/acct.c, struct bsd_acct_struct).

    `is_active` is false while its file system has too little room; `check_at_ns` is when that is looked at
    again. `kernel.accounting_parameters` are the percentages of free room from which on it goes on and stops,
    and the seconds from look to look. `init_record` is what was written of the namespace's init at its end.
    """

    __slots__ = ("check_at_ns", "file", "init_record", "is_active")

    def __init__(self, file: File) -> None:
        self.file = file
        self.is_active = True
        self.check_at_ns = 0
        self.init_record: AcctV3 | None = None


def start_accounting(kernel: Kernel, task: Task, name: bytes | None) -> None:
    """Record the processes of the caller's pid namespace in the file `name`, or with None no longer.

    Raises EPERM, EACCES, and what opening a file raises. Linux: kernel/acct.c, SYSCALL_DEFINE1(acct).
    """
    if not task.credentials.capable(CAP_SYS_PACCT):
        raise EPERM("it takes CAP_SYS_PACCT")
    namespace = task.pid_namespace
    if name is None:
        stop_accounting(kernel, task)
        return
    frame = task.frame
    file: File
    if frame is not None and isinstance(frame.progress, FifoOpening):
        file = frame.progress.go_on()
    else:
        file = opening.open(task.fs, task.credentials, name, None, O_WRONLY | O_APPEND | O_LARGEFILE, 0)
    file.acquire()
    if file.inode.mode & S_IFMT != S_IFREG:
        file.put()
        raise EACCES("not a regular file")
    superblock = file.inode.superblock
    if superblock.is_internal or not type_of(superblock).is_always_visible:
        file.put()
        raise EINVAL("a file that is made up")
    stop_accounting(kernel, task)
    namespace.accounting = AccountingFile(file)
    kernel.accounting_count += 1


def stop_accounting(kernel: Kernel, task: Task) -> None:
    """No more records of the pid namespace of `task`, but one of who ends it: `task`, or the ended init.

    Linux: kernel/acct.c, acct_pin_kill.
    """
    namespace = task.pid_namespace
    accounting = namespace.accounting
    if accounting is None:
        return
    record = accounting.init_record
    if record is None:
        record = _record_of_living(kernel, task, namespace, accounting.file)
    _write(kernel, accounting, record)
    namespace.accounting = None
    kernel.accounting_count -= 1
    accounting.file.put()


def record_end(kernel: Kernel, task: Task, code: int) -> None:
    """The last thread of a process ends with `code`: note it in each pid namespace that accounts.

    It still has its memory. Linux: kernel/acct.c, acct_process.
    """
    for namespace in reversed(task.pid_namespace.ancestry):
        accounting = namespace.accounting
        if accounting is not None:
            record = _record_of_ended(kernel, task, code, namespace, accounting.file)
            if namespace.child_reaper is task.group:
                accounting.init_record = record
            _write(kernel, accounting, record)


def _write(kernel: Kernel, accounting: AccountingFile, record: AcctV3) -> None:
    """Linux: kernel/acct.c, acct_write_process."""
    if _has_room(kernel, accounting):
        # A record that finds no room is lost.
        with suppress(Errno, OutOfFrames):
            accounting.file.write(record.pack())


def _record_of_ended(kernel: Kernel, task: Task, code: int, namespace: PidNamespace, file: File) -> AcctV3:
    """What is known of a process at its end. Linux: kernel/acct.c, acct_collect."""
    group = task.group
    times = CpuTimes()
    times.add(group.times)
    for thread in group.threads:
        times.add(thread.times)
    record = _record_of_living(kernel, task, namespace, file)
    record.ac_flag = accounting_flags(task)
    record.ac_exitcode = (code if task.is_leader else group.leader.exit_code) & _U32_MAX
    record.ac_utime = compressed(times.user_ns // _NS_PER_TICK)
    record.ac_stime = compressed(times.system_ns // _NS_PER_TICK)
    record.ac_mem = compressed((task.mm.total_pages << PAGE_SHIFT) >> 10)
    record.ac_minflt = compressed(times.minor_faults)
    record.ac_majflt = compressed(times.major_faults)
    return record


def _record_of_living(kernel: Kernel, task: Task, namespace: PidNamespace, file: File) -> AcctV3:
    """What doesn't take a process's end. Linux: kernel/acct.c, fill_ac."""
    group = task.group
    now_ns = kernel.clock.now_ns
    ticks = (now_ns - group.leader.start_time_ns) // _NS_PER_TICK
    # Who opens files has a task's credentials.
    reader = cast("Credentials", file.subject).user_namespace
    parent = task.parent
    terminal = 0 if group.terminal is None else group.terminal.device
    return AcctV3(
        ac_tty=terminal & _U16_MAX,
        ac_uid=reader.from_kuid_munged(task.credentials.uid) & _U32_MAX,
        ac_gid=reader.from_kgid_munged(task.credentials.gid) & _U32_MAX,
        ac_pid=group.pid.number_in(namespace),
        ac_ppid=0 if parent is None else parent.group.pid.number_in(namespace),
        ac_btime=(kernel.clock.realtime_ns // NS_PER_S - ticks // AHZ) & _U32_MAX,
        ac_etime=float_bits(ticks),
        ac_comm=task.command_name[:15],
    )


def _has_room(kernel: Kernel, accounting: AccountingFile) -> bool:
    """Whether its file system isn't too full. Linux: kernel/acct.c, check_free_space."""
    now_ns = kernel.clock.now_ns
    if now_ns >= accounting.check_at_ns:
        resume, suspend, interval_s = kernel.accounting_parameters
        accounting.check_at_ns = now_ns + interval_s * NS_PER_S
        total, free = blocks_of(accounting.file.inode.superblock)
        if accounting.is_active and free <= total * suspend // 100 and total:
            accounting.is_active = False
        elif not accounting.is_active and free >= total * resume // 100:
            accounting.is_active = True
    return accounting.is_active


def blocks_of(superblock: Superblock) -> tuple[int, int]:
    """How many blocks a file system has, and how many are free; 0, 0 where nobody counts."""
    figures = superblock.statistics()
    return figures.total_blocks, figures.free_blocks


def compressed(value: int) -> int:
    """`value` as a comp_t: 3 bits of an exponent of 8, and 13 bits. Linux: kernel/acct.c, encode_comp_t."""
    exponent = is_rounded = 0
    while value > _LARGEST_MANTISSA:
        is_rounded = value >> _EXPONENT_BITS - 1 & 1
        value >>= _EXPONENT_BITS
        exponent += 1
    if is_rounded:
        value += 1
        if value > _LARGEST_MANTISSA:
            value >>= _EXPONENT_BITS
            exponent += 1
    return _U16_MAX if exponent > _LARGEST_EXPONENT else exponent << _MANTISSA_BITS | value


def float_bits(value: int) -> int:
    """The bits of `value` as a float, cut and not rounded. Linux: kernel/acct.c, encode_float."""
    if value <= 0:
        return 0
    exponent = value.bit_length() - 1
    fraction = (value << 23 >> exponent) & 0x7FFFFF
    return 127 + exponent << 23 | fraction
