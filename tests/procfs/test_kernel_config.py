"""/proc/config.gz says of Linux's options what holds."""

from __future__ import annotations

import gzip
import re

from procession.cli.coverage import coverage
from tests.procfs.conftest import Proc

CALLS = {
    "ADVISE_SYSCALLS": "fadvise64",
    "AIO": "io_setup",
    "BPF_SYSCALL": "bpf",
    "BSD_PROCESS_ACCT": "acct",
    "CACHESTAT_SYSCALL": "cachestat",
    "CROSS_MEMORY_ATTACH": "process_vm_readv",
    "EPOLL": "epoll_wait",
    "EVENTFD": "eventfd2",
    "FANOTIFY": "fanotify_init",
    "FHANDLE": "open_by_handle_at",
    "FILE_LOCKING": "flock",
    "FUTEX": "futex",
    "INOTIFY_USER": "inotify_init1",
    "IO_URING": "io_uring_setup",
    "KCMP": "kcmp",
    "KEXEC": "kexec_load",
    "KEXEC_FILE": "kexec_file_load",
    "KEYS": "keyctl",
    "MEMBARRIER": "membarrier",
    "MEMFD_CREATE": "memfd_create",
    "MODIFY_LDT_SYSCALL": "modify_ldt",
    "MODULES": "init_module",
    "NUMA": "mbind",
    "PERF_EVENTS": "perf_event_open",
    "POSIX_MQUEUE": "mq_open",
    "POSIX_TIMERS": "timer_create",
    "PRINTK": "syslog",
    "QUOTACTL": "quotactl",
    "RSEQ": "rseq",
    "SECCOMP": "seccomp",
    "SECRETMEM": "memfd_secret",
    "SECURITY_LANDLOCK": "landlock_create_ruleset",
    "SIGNALFD": "signalfd4",
    "SWAP": "swapon",
    "SYSFS_SYSCALL": "sysfs",
    "SYSVIPC": "semget",
    "TIMERFD": "timerfd_create",
    "USELIB": "uselib",
    "USERFAULTFD": "userfaultfd",
    "X86_INTEL_MEMORY_PROTECTION_KEYS": "pkey_alloc",
    "X86_IOPL_IOPERM": "ioperm",
    "X86_USER_SHADOW_STACK": "map_shadow_stack",
}
FILES = {
    "BINFMT_MISC": ("filesystems", b"\tbinfmt_misc\n"),
    "CGROUP_PIDS": ("cgroups", b"pids\t"),
    "CGROUP_FREEZER": ("cgroups", b"freezer\t"),
    "CGROUP_RDMA": ("cgroups", b"rdma\t"),
    "CPUSETS": ("cgroups", b"cpuset\t"),
    "DEVTMPFS": ("filesystems", b"\tdevtmpfs\n"),
    "FUSE_FS": ("filesystems", b"\tfuse\n"),
    "HUGETLBFS": ("filesystems", b"\thugetlbfs\n"),
    "MEMCG": ("cgroups", b"memory\t"),
    "OVERLAY_FS": ("filesystems", b"\toverlay\n"),
    "TMPFS": ("filesystems", b"\ttmpfs\n"),
}


def options(proc: Proc) -> dict[str, bool]:
    """Each option that is named, and whether it's built."""
    text = gzip.decompress(proc.read("config.gz")).decode()
    found: dict[str, bool] = {}
    for line in text.splitlines():
        match = re.fullmatch(r"CONFIG_(\w+)=(.+)|# CONFIG_(\w+) is not set", line)
        assert match or line.startswith("#"), line
        if match:
            name = match[1] or match[3]
            assert name not in found, name
            found[name] = match[1] is not None
    return found


def test_calls_are_there_as_it_says(proc: Proc) -> None:
    built = {call.name: call.is_built for call in coverage()}
    found = options(proc)
    assert {name: built[call] for name, call in CALLS.items()} == {name: found[name] for name in CALLS}


def test_files_show_the_same(proc: Proc) -> None:
    found = options(proc)
    shown = {name: sign in proc.read(path) for name, (path, sign) in FILES.items()}
    assert shown == {name: found[name] for name in FILES}


def test_the_file_is_one_of_gzip(proc: Proc) -> None:
    data = proc.read("config.gz")
    assert data[:3] == b"\x1f\x8b\x08"
    assert b"Linux/x86 6.12.0 Kernel Configuration" in data
    assert b"CONFIG_HZ=250\n" in gzip.decompress(data)
