"""/proc/sys: the kernel's parameters, those that have an effect here."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from procession.abi.capability import CAP_LAST_CAP
from procession.abi.errno import EINVAL, EPERM
from procession.abi.limits import NGROUPS_MAX
from procession.fs.pipe import pipe_file_system
from procession.fs.uuid import random_uuid, uuid_text
from procession.hardware.physical_memory import PAGE_SIZE
from procession.kernel.dump.pattern import PATTERN_MAXIMUM
from procession.kernel.namespaces.uts import DOMAIN_NAME, HOST_NAME
from procession.mm.address_space import DUMPABLE, DUMPABLE_BY_ROOT, UNDUMPABLE
from procession.procfs.parameter_kind import TEXT, UNSIGNED, UNSIGNED_LONG, ParameterKind
from procession.procfs.parse_integer import INT_MAX, INT_MIN, parse_integer, parse_parameter
from procession.procfs.sysctl_files import FILES_SYSCTLS
from procession.procfs.sysctl_inotify import INOTIFY_SYSCTLS
from procession.procfs.sysctl_ipc import IPC_SYSCTLS, MQUEUE_SYSCTLS
from procession.procfs.sysctl_keys import KEY_SYSCTLS
from procession.procfs.sysctl_log import DEBUG_SYSCTLS, LOG_SYSCTLS
from procession.procfs.sysctl_machine import FILE_COUNT, PANIC, TAINTED
from procession.procfs.sysctl_mount import MOUNT_MAXIMUM
from procession.procfs.sysctl_poll import show_writes, store_writes
from procession.procfs.sysctl_protection import PROTECTION_SYSCTLS
from procession.procfs.sysctl_sched import SCHEDULER_SYSCTLS
from procession.procfs.sysctl_seccomp import SECCOMP_SYSCTLS
from procession.procfs.sysctl_user import (
    USER_SYSCTLS,
    show_unprivileged_user_namespaces,
    store_unprivileged_user_namespaces,
)
from procession.procfs.sysctl_yama import YAMA_SYSCTLS
from procession.procfs.system_directory import SystemFile, SystemTree
from procession.procfs.terminal import (
    show_legacy_typing,
    show_pty_count,
    show_pty_maximum,
    store_legacy_typing,
    store_pty_maximum,
)

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

_MAX_THREADS = (1 << 30) - 1
"""Ids of threads have 30 bits in futex words (Linux: kernel/fork.c, MAX_THREADS)."""
PID_MAX_LIMIT = 1 << 22
PID_MAX_MINIMUM = 301
"""Linux: kernel/pid.c, pid_max_min: RESERVED_PIDS + 1."""
_LARGEST_OLD_ID = 65535
UINT_MAX = 0xFFFFFFFF
ULONG_MAX = (1 << 64) - 1
_NR_OPEN_MINIMUM, _NR_OPEN_MAXIMUM = 64, 0x7FFF_FFC0
"""Linux: fs/file.c, sysctl_nr_open_min, sysctl_nr_open_max."""


def number_line(value: int) -> bytes:
    """A number as a file of /proc/sys holds it."""
    return b"%d\n" % value


def show_pid_max(kernel: Kernel) -> bytes:
    """kernel.pid_max: one more than the largest process id."""
    return number_line(kernel.seen_pid_namespace.pid_max)


def store_pid_max(kernel: Kernel, data: bytes) -> None:
    """Set kernel.pid_max. Raises EINVAL outside 301 to 4194304."""
    value = parse_integer(data)
    if not PID_MAX_MINIMUM <= value <= PID_MAX_LIMIT:
        raise EINVAL("outside 301 to 4194304")
    kernel.seen_pid_namespace.pid_max = value


def show_last_pid(kernel: Kernel) -> bytes:
    """kernel.ns_last_pid: the id given last."""
    return number_line(kernel.seen_pid_namespace.last)


def store_last_pid(kernel: Kernel, data: bytes) -> None:
    """Set kernel.ns_last_pid: the next process gets the id after it. Raises EPERM, EINVAL.

    Linux: kernel/pid_namespace.c, pid_ns_ctl_handler.
    """
    current = kernel.current
    if current is not None and not current.credentials.may_checkpoint(kernel.seen_pid_namespace.owner):
        raise EPERM("choosing a process id takes CAP_CHECKPOINT_RESTORE")
    value = parse_integer(data)
    if not 0 <= value < kernel.seen_pid_namespace.pid_max:
        raise EINVAL("not below kernel.pid_max")
    kernel.seen_pid_namespace.last = value


def show_hostname(kernel: Kernel) -> bytes:
    """kernel.hostname."""
    return kernel.seen_namespaces.uts.host_name + b"\n"


def store_hostname(kernel: Kernel, data: bytes) -> None:
    """Set kernel.hostname; what is too long is cut. Linux: kernel/utsname_sysctl.c, proc_do_uts_string."""
    kernel.seen_namespaces.uts.host_name = first_line(data)
    kernel.name_changes[HOST_NAME].note()


def show_domainname(kernel: Kernel) -> bytes:
    """kernel.domainname."""
    return kernel.seen_namespaces.uts.domain_name + b"\n"


def store_domainname(kernel: Kernel, data: bytes) -> None:
    """Set kernel.domainname."""
    kernel.seen_namespaces.uts.domain_name = first_line(data)
    kernel.name_changes[DOMAIN_NAME].note()


def first_line(data: bytes, maximum: int = 64) -> bytes:
    """At most `maximum` bytes, up to a newline or NUL (Linux: kernel/sysctl.c, _proc_do_string)."""
    return data.replace(b"\0", b"\n").split(b"\n", 1)[0][:maximum]


def show_ostype(kernel: Kernel) -> bytes:
    """kernel.ostype."""
    return kernel.seen_namespaces.uts.system_name + b"\n"


def show_osrelease(kernel: Kernel) -> bytes:
    """kernel.osrelease."""
    return kernel.seen_namespaces.uts.release + b"\n"


def show_arch(kernel: Kernel) -> bytes:
    """kernel.arch, which no namespace changes. Linux: kernel/utsname_sysctl.c, uts_kern_table."""
    return b"x86_64\n"


def show_version(kernel: Kernel) -> bytes:
    """kernel.version."""
    return kernel.seen_namespaces.uts.version + b"\n"


def show_threads_max(kernel: Kernel) -> bytes:
    """kernel.threads-max: how many tasks the machine may have."""
    return number_line(kernel.threads_max)


def store_threads_max(kernel: Kernel, data: bytes) -> None:
    """Set kernel.threads-max. Raises EINVAL for none, and for more than can be.

    Linux: kernel/fork.c, sysctl_max_threads.
    """
    value = parse_integer(data)
    if not 1 <= value <= _MAX_THREADS:
        raise EINVAL("none, or more than ids of threads")
    kernel.limit_tasks(threads_max=value)


def show_core_pattern(kernel: Kernel) -> bytes:
    """kernel.core_pattern."""
    return kernel.core.pattern + b"\n"


def store_core_pattern(kernel: Kernel, data: bytes) -> None:
    """Set kernel.core_pattern; what is too long is cut."""
    kernel.core.pattern = first_line(data, PATTERN_MAXIMUM)


def show_core_uses_pid(kernel: Kernel) -> bytes:
    """kernel.core_uses_pid."""
    return number_line(kernel.core.uses_pid)


def store_core_uses_pid(kernel: Kernel, data: bytes) -> None:
    """Set kernel.core_uses_pid."""
    value = parse_integer(data)
    if not INT_MIN <= value <= INT_MAX:
        raise EINVAL("no int")
    kernel.core.uses_pid = value


def show_core_pipe_limit(kernel: Kernel) -> bytes:
    """kernel.core_pipe_limit."""
    return number_line(kernel.core.pipe_limit)


def store_core_pipe_limit(kernel: Kernel, data: bytes) -> None:
    """Set kernel.core_pipe_limit. Raises EINVAL for a negative number."""
    value = parse_integer(data)
    if value < 0:
        raise EINVAL("a negative number of programs")
    kernel.core.pipe_limit = value


def show_suid_dumpable(kernel: Kernel) -> bytes:
    """fs.suid_dumpable."""
    return number_line(kernel.core.suid_dumpable)


def store_suid_dumpable(kernel: Kernel, data: bytes) -> None:
    """Set fs.suid_dumpable. Raises EINVAL outside 0 to 2."""
    value = parse_integer(data)
    if value not in (UNDUMPABLE, DUMPABLE, DUMPABLE_BY_ROOT):
        raise EINVAL("outside 0 to 2")
    kernel.core.suid_dumpable = value


def show_accounting(kernel: Kernel) -> bytes:
    """kernel.acct: the percentages of free room from which on records are written, and aren't; seconds."""
    return b"%d\t%d\t%d\n" % kernel.accounting_parameters


def store_accounting(kernel: Kernel, data: bytes) -> None:
    """Set as many of the three as are given. Raises EINVAL."""
    values = [parse_integer(word) for word in data.split()]
    if not all(-(1 << 31) <= value < 1 << 31 for value in values):
        raise EINVAL("out of range")
    resume, suspend, interval_s = (*values, *kernel.accounting_parameters[len(values) :])
    kernel.accounting_parameters = (resume, suspend, interval_s)


def show_cap_last_cap(kernel: Kernel) -> bytes:
    """kernel.cap_last_cap."""
    return number_line(CAP_LAST_CAP)


def show_ngroups_max(kernel: Kernel) -> bytes:
    """kernel.ngroups_max."""
    return number_line(NGROUPS_MAX)


def _show_overflow_id(name: str, kernel: Kernel) -> bytes:
    return number_line(getattr(kernel.vfs.init_user_namespace.overflow, name))


def _store_overflow_id(name: str, kernel: Kernel, data: bytes) -> None:
    """Raises EINVAL. Linux: kernel/sysctl.c, kern_table."""
    setattr(kernel.vfs.init_user_namespace.overflow, name, parse_parameter(data, 0, _LARGEST_OLD_ID))


def _overflow_id(name: str) -> SystemFile:
    """The id that stands for those that can't be mapped, or not be kept."""
    return SystemFile(0o644, partial(_show_overflow_id, name), partial(_store_overflow_id, name))


def show_zero(kernel: Kernel) -> bytes:
    """A parameter that is off."""
    return b"0\n"


def show_uuid(kernel: Kernel) -> bytes:
    """kernel.random.uuid: another one at each reading."""
    return uuid_text(random_uuid(kernel)) + b"\n"


def show_boot_id(kernel: Kernel) -> bytes:
    """kernel.random.boot_id: the same as long as the machine runs."""
    if not kernel.boot_id:
        kernel.boot_id = random_uuid(kernel)
    return uuid_text(kernel.boot_id) + b"\n"


def show_entropy(kernel: Kernel) -> bytes:
    """kernel.random.entropy_avail and poolsize (Linux: drivers/char/random.c, POOL_BITS)."""
    return b"256\n"


def show_nr_open(kernel: Kernel) -> bytes:
    """fs.nr_open: the largest limit on a process's descriptors."""
    return number_line(kernel.nr_open)


def store_nr_open(kernel: Kernel, data: bytes) -> None:
    """Set fs.nr_open. Raises EINVAL. Linux: fs/file_table.c, fs_stat_sysctls."""
    value = parse_integer(data)
    if not _NR_OPEN_MINIMUM <= value <= _NR_OPEN_MAXIMUM:
        raise EINVAL("no number of descriptors")
    kernel.nr_open = value


def show_aio_count(kernel: Kernel) -> bytes:
    """fs.aio-nr: how many requests the contexts of io_setup(2) were made for."""
    return number_line(kernel.vfs.accounts.aio_requests)


def show_aio_maximum(kernel: Kernel) -> bytes:
    """fs.aio-max-nr: how many they may be."""
    return number_line(kernel.vfs.accounts.maximum_aio_requests)


def store_aio_maximum(kernel: Kernel, data: bytes) -> None:
    """Set fs.aio-max-nr. Raises EINVAL."""
    value = parse_integer(data)
    if not 0 <= value <= UINT_MAX:
        raise EINVAL("no count")
    kernel.vfs.accounts.maximum_aio_requests = value


def show_pipe_max_size(kernel: Kernel) -> bytes:
    """fs.pipe-max-size: what an unprivileged user may make a pipe's size, in bytes."""
    return number_line(pipe_file_system(kernel.vfs).accounts.maximum_size)


def store_pipe_max_size(kernel: Kernel, data: bytes) -> None:
    """Set fs.pipe-max-size, rounded up to a power of two. Linux: fs/pipe.c, round_pipe_size."""
    value = parse_integer(data)
    if not 1 <= value <= 1 << 31:
        raise EINVAL("no size of a pipe")
    size = PAGE_SIZE
    while size < value:
        size *= 2
    pipe_file_system(kernel.vfs).accounts.maximum_size = size


def _show_pipe_pages(name: str, kernel: Kernel) -> bytes:
    return number_line(getattr(pipe_file_system(kernel.vfs).accounts, name))


def _store_pipe_pages(name: str, kernel: Kernel, data: bytes) -> None:
    """Raises EINVAL. Linux: fs/pipe.c, fs_pipe_sysctls."""
    value = parse_integer(data)
    if not 0 <= value <= ULONG_MAX:
        raise EINVAL("no count")
    setattr(pipe_file_system(kernel.vfs).accounts, name, value)


def _pipe_pages(name: str) -> SystemFile:
    """How many pages a user's pipes have before new ones are made small, or at most; 0 for no limit."""
    return SystemFile(
        0o644, partial(_show_pipe_pages, name), partial(_store_pipe_pages, name), kind=UNSIGNED_LONG
    )


SYSCTL_TREE: SystemTree = {
    b"debug": DEBUG_SYSCTLS,
    b"dev": {b"tty": {b"legacy_tiocsti": SystemFile(0o644, show_legacy_typing, store_legacy_typing)}},
    b"fs": {
        **PROTECTION_SYSCTLS,
        **FILES_SYSCTLS,
        b"aio-max-nr": SystemFile(0o644, show_aio_maximum, store_aio_maximum, kind=UNSIGNED_LONG),
        b"aio-nr": SystemFile(0o444, show_aio_count),
        b"binfmt_misc": {},
        b"file-nr": FILE_COUNT,
        b"inotify": INOTIFY_SYSCTLS,
        b"mqueue": MQUEUE_SYSCTLS,
        b"mount-max": MOUNT_MAXIMUM,
        b"nr_open": SystemFile(0o644, show_nr_open, store_nr_open),
        b"overflowgid": _overflow_id("file_gid"),
        b"overflowuid": _overflow_id("file_uid"),
        b"pipe-max-size": SystemFile(0o644, show_pipe_max_size, store_pipe_max_size, kind=UNSIGNED),
        b"pipe-user-pages-hard": _pipe_pages("hard_pages"),
        b"pipe-user-pages-soft": _pipe_pages("soft_pages"),
        b"suid_dumpable": SystemFile(0o644, show_suid_dumpable, store_suid_dumpable),
    },
    b"kernel": {
        **IPC_SYSCTLS,
        **LOG_SYSCTLS,
        **SCHEDULER_SYSCTLS,
        b"arch": SystemFile(0o444, show_arch, kind=TEXT),
        b"acct": SystemFile(0o644, show_accounting, store_accounting, kind=ParameterKind(number_count=3)),
        b"cap_last_cap": SystemFile(0o444, show_cap_last_cap),
        b"core_pattern": SystemFile(0o644, show_core_pattern, store_core_pattern, kind=TEXT),
        b"core_pipe_limit": SystemFile(0o644, show_core_pipe_limit, store_core_pipe_limit),
        b"core_uses_pid": SystemFile(0o644, show_core_uses_pid, store_core_uses_pid),
        b"domainname": SystemFile(0o644, show_domainname, store_domainname, kind=TEXT),
        b"hostname": SystemFile(0o644, show_hostname, store_hostname, kind=TEXT),
        b"keys": KEY_SYSCTLS,
        b"ngroups_max": SystemFile(0o444, show_ngroups_max),
        b"ns_last_pid": SystemFile(0o666, show_last_pid, store_last_pid),
        b"osrelease": SystemFile(0o444, show_osrelease, kind=TEXT),
        b"ostype": SystemFile(0o444, show_ostype, kind=TEXT),
        b"overflowgid": _overflow_id("gid"),
        b"overflowuid": _overflow_id("uid"),
        b"panic": PANIC,
        b"pid_max": SystemFile(0o644, show_pid_max, store_pid_max),
        b"pty": {
            b"max": SystemFile(0o644, show_pty_maximum, store_pty_maximum),
            b"nr": SystemFile(0o444, show_pty_count),
        },
        b"random": {
            b"boot_id": SystemFile(0o444, show_boot_id, kind=TEXT),
            b"entropy_avail": SystemFile(0o444, show_entropy),
            b"poolsize": SystemFile(0o444, show_entropy),
            b"uuid": SystemFile(0o444, show_uuid, kind=TEXT),
        },
        b"randomize_va_space": SystemFile(0o444, show_zero),
        b"seccomp": SECCOMP_SYSCTLS,
        b"sysctl_writes_strict": SystemFile(0o644, show_writes, store_writes),
        b"tainted": TAINTED,
        b"threads-max": SystemFile(0o644, show_threads_max, store_threads_max),
        b"unprivileged_userns_clone": SystemFile(
            0o644, show_unprivileged_user_namespaces, store_unprivileged_user_namespaces
        ),
        b"version": SystemFile(0o444, show_version, kind=TEXT),
        b"yama": YAMA_SYSCTLS,
    },
    # This and `vm` are in modules of their own, which are imported for those who look at them.
    b"net": {},
    b"user": USER_SYSCTLS,
    b"vm": {},
}
