"""How long the kernel's works last in virtual time: one table, by kind of work.

Two things bound each figure. It is of the order of what Linux takes on a machine of today, so that parent and
child, sender and receiver, a loop and its timer meet as they would there. And it isn't much less than what
the work costs here, a third at the least: else a program that calls for a second of its clock would take a
minute of its caller's. Where these part the second wins, within ten times of the first. What a work costs
here was measured as processor time, over many kinds of loops (`bench/loops.c`).
"""

from __future__ import annotations

from procession.abi.syscall_numbers import NUMBERS

COPIED_BYTES, COPY_NS = 32, 4
"""How many bytes are copied in how long: 8 GB a second."""

RANDOM_BYTES, RANDOM_NS = 32, 500
"""How many random bytes are made in how long."""

QUICK_NS, ORDINARY_NS = 400, 1_400
"""A call that only looks at the caller; one that finds a descriptor or an address and copies a structure."""
SWITCH_NS = 6_000
"""Taking up another task, or one that slept: registers, address space, and what the caches lose by it."""
SIGNAL_NS = 5_000
"""Entering a signal's handler: its frame is built on the stack."""
PATH_COMPONENT_NS = 300
"""One name of a path, found among the cached entries."""
FAULT_NS = 1_000
"""A page fault: the area is found, a page taken and cleared or copied."""
EXCEPTION_NS = 3_000
"""Any other trap: an exception that becomes a signal, an instruction that the kernel does itself."""
PROC_FILE_NS, SHOWN_BYTE_NS = 6_000, 24
"""A file of /proc, made when it's read, and each of its bytes."""
FILE_EVENT_NS = 1_200
"""An event of a file that is told who watches it."""
SEEN_FRAME_NS = 100
"""One frame of all, looked at for whose it is."""
NETLINK_MESSAGE_NS = 5_000
"""A request of netlink, or one object in its answer."""
FILTER_STEP_NS = 400
"""One expression of a packet filter's rule, run or checked, and one element of its sets."""
FORK_NS, EXEC_NS, EXIT_NS = 50_000, 300_000, 30_000
"""Copying a task and its tables; replacing its program; giving everything back."""
POLLED_FILE_NS = 300
"""One file of those that select(2) or poll(2) asks."""
LOCATED_PAGE_NS = 1_000
"""Telling of one page where it is."""

EBPF_INSTRUCTION_NS, EBPF_VERIFIED_NS = 120, 600
"""Running an instruction of an eBPF program, and verifying one before the program is taken."""

_QUICK = (
    "getpid gettid getppid getuid geteuid getgid getegid getpgrp getpgid getsid alarm umask "
    "set_tid_address set_robust_list getpriority sched_getscheduler arch_prctl restart_syscall"
)
_DEARER = (
    # They look at a clock, on Linux without a call.
    (
        600,
        "clock_gettime gettimeofday time getcpu",
    ),
    # They look at one word, or at what a descriptor leads to.
    (
        800,
        "write clock_getres futex sched_yield close dup dup2 dup3 lseek "
        "rt_sigprocmask getcwd sched_getaffinity",
    ),
    # They bring a message on its way, through addresses and filters.
    (
        1_800,
        "sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg",
    ),
    # They change objects that others wait for.
    (
        2_000,
        "semop semtimedop msgsnd msgrcv",
    ),
    # It has a stopped process's registers and memory at hand, or lets it go on.
    (
        4_000,
        "ptrace",
    ),
    # They fill large structures, or ask every thread of the process.
    (
        3_000,
        "sysinfo getrusage times prlimit64 statfs fstatfs select pselect6 setitimer getitimer timer_create "
        "timer_settime timer_delete",
    ),
    # They make a list.
    (
        6_000,
        "getdents getdents64",
    ),
    # They change the address space and its tables.
    (
        3_000,
        "mmap munmap mprotect mremap brk madvise msync mlock munlock",
    ),
    # They find a file, or make an open one.
    (
        2_500,
        "open openat openat2 creat stat lstat newfstatat statx access faccessat faccessat2 readlink "
        "readlinkat chdir",
    ),
    (
        4_000,
        "pipe pipe2 socket eventfd eventfd2 epoll_create epoll_create1 timerfd_create signalfd signalfd4 "
        "memfd_create inotify_init inotify_init1 pidfd_open",
    ),
    # They change directories.
    (
        5_000,
        "unlink unlinkat mkdir mkdirat rmdir rename renameat renameat2 link linkat symlink symlinkat mknod "
        "mknodat chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utimensat truncate ftruncate "
        "setxattr getxattr listxattr",
    ),
    # It sets a timer that may be due at once.
    (
        9_000,
        "timerfd_settime",
    ),
    # The processor idles, and a timer wakes it: on Linux not before the timer's slack of 50 us.
    (
        12_000,
        "nanosleep clock_nanosleep",
    ),
    # They make or join two ends.
    (
        8_000,
        "socketpair accept accept4 bind listen shutdown",
    ),
    # A handshake of TCP, with everything that its segments wake.
    (
        30_000,
        "connect",
    ),
    # They change the tree of mounts or what the whole machine sees.
    (
        20_000,
        "mount umount2 pivot_root unshare setns fsync fdatasync sync syncfs",
    ),
)


def _costs() -> dict[int, int]:
    costs = {NUMBERS[name]: QUICK_NS for name in _QUICK.split()}
    for cost_ns, names in _DEARER:
        for name in names.split():
            costs[NUMBERS[name]] = cost_ns
    return costs


_CALL_COSTS = _costs()


def call_cost_ns(number: int) -> int:
    """What system call `number` is taken to last, without what its handler adds for its arguments."""
    return _CALL_COSTS.get(number, ORDINARY_NS)
