"""How long the kernel's works last in virtual time: one table, by kind of work.

Two things bound each figure. It is of the order of what Linux takes on a machine of today, so that parent and
child, sender and receiver, a loop and its timer meet as they would there. And it is no less than a third of
what the work costs here: else a program that calls for a second of its clock would take a minute of its
caller's. Where these part the second wins, within ten times of the first. What a work costs here was measured
as processor time on two cores of an AMD EPYC, over many kinds of loops (`bench/loops.c` and
`bench/rare_loops.c`), and over calls that move much or mean many objects at once (`bench/large_*.c`).
"""

from __future__ import annotations

from typing import Final

from procession.abi.syscall_numbers import NUMBERS

COPIED_BYTES, COPY_NS = 32, 8
"""How many bytes are copied in how long: 4 GB a second."""

RANDOM_BYTES, RANDOM_NS = 32, 1_000
"""How many random bytes are made in how long."""

QUICK_NS: Final = 550
ORDINARY_NS: Final = 2_000
"""A call that only looks at the caller; one that finds a descriptor or an address and copies a structure."""
SWITCH_NS: Final = 15_000
"""Taking up another task, or one that slept: registers, address space, and what the caches lose by it."""
SIGNAL_NS: Final = 10_000
"""Entering a signal's handler: its frame is built on the stack."""
TIMER_NS: Final = 10_000
"""A timer that ends a sleep or sends a signal: it's set, and the processor is interrupted for it."""
PATH_COMPONENT_NS: Final = 400
"""One name of a path, found among the cached entries."""
FAULT_NS: Final = 2_000
"""A page fault: the area is found, a page taken and cleared or copied."""
AHEAD_PAGE_NS: Final = 500
"""A page that is had together with the one that faulted, as it will be touched next."""
EXCEPTION_NS: Final = 6_000
"""Any other trap: an exception that becomes a signal, an instruction that the kernel does itself."""
PROC_FILE_NS, SHOWN_BYTE_NS = 9_000, 36
"""A file of /proc, made when it's read, and each of its bytes."""
FILE_EVENT_NS, OFFERED_EVENT_NS = 2_000, 300
"""An event of a file that is told who watches it; one that another watch, one of several, is asked about."""
CHARACTER_NS: Final = 400
"""A character that a terminal looks at by itself, as it may mean something, or that it echoes."""
SEEN_FRAME_NS: Final = 100
"""One frame of all, looked at for whose it is."""
NETLINK_MESSAGE_NS: Final = 9_000
"""A request of netlink, or one object in its answer."""
INTERFACE_NS: Final = 60_000
"""An interface that is made, or taken away with its addresses and routes."""
FILTER_STEP_NS: Final = 400
"""One expression of a packet filter's rule, run or checked, and one element of its sets."""
FORK_NS, EXEC_NS, EXIT_NS = 75_000, 700_000, 40_000
"""Copying a task and its tables; replacing its program; giving everything back."""
POLLED_FILE_NS, READY_FILE_NS = 600, 500
"""One file of those that select(2) or poll(2) asks, and one more that epoll_wait(2) has events of."""
FILLED_PAGE_NS: Final = 1_500
CHANGED_PAGE_NS: Final = 250
"""A page that is there before the program touches it; one whose rights change, or that is given back.

What is done to areas, to parts of a vector of buffers and the like is counted in the latter too
(`PhysicalMemory.note_changed`), where no clock is at hand.
"""
LISTED_NAME_NS, NAMED_ENTRY_NS = 1_000, 1_100
"""A name that is told of a directory, and one found there when its list is made."""
FUTEX_WAITER_NS: Final = 500
"""One more who waits for a futex, woken or moved; one more futex that somebody waits for or leaves."""
SIGNAL_INFO_NS: Final = 700
"""One more of the queued signals that a call tells of."""
PASSED_SIGNAL_NS: Final = 5
"""One queued signal that is passed over in search of another."""
SEEN_THREAD_NS: Final = 160
"""One child of those that a wait is for, one thread of those whose times are added, one task of all that are
counted."""
SEEN_TASK_NS: Final = 1_500
"""One of the many that a call means: a group's processes, a user's."""
ARGUMENT_NS: Final = 1_500
"""An argument or a variable of a new program."""
LOCATED_PAGE_NS: Final = 1_000
"""Telling of one page where it is."""
SEEN_PAGE_NS: Final = 120
"""Looking at one page of an address space for whether it's there."""
SHOWN_PAGE_NS: Final = 300
"""One page, looked at for /proc/PID/smaps and pagemap."""
SHOWN_AREA_NS, SHOWN_MOUNT_NS = 3_000, 4_000
"""One area of an address space, counted for /proc, and one mount in a list of them, beside its bytes."""
USED_TABLES, USED_TABLE_NS = 64, 3_000
"""How many areas and tables a process has as a rule, whose pages are counted for /proc/PID/status in the time
that a file of /proc takes; and each one more."""
MOUNT_NS: Final = 4_000
"""One of the mounts that are copied, taken away or changed together."""
GROUP_NS: Final = 120
"""One supplementary group, mapped and put in order."""
MESSAGE_NS: Final = 3_500
"""One message of those that sendmmsg(2) or recvmmsg(2) moves: as a call for one."""
PASSED_FILE_NS: Final = 7_000
"""A file that goes with a message: held while it's on its way, and given a descriptor."""
NEW_FILE_NS: Final = 4_000
"""A file that is made: its inode, its times, and that it may be."""
LOCK_NS: Final = 3_000
"""Taking or giving back a lock of a file, among the others."""
AIO_REQUEST_NS: Final = 5_000
"""One more request of io_submit(2), beside what it moves."""
MAP_LINE_NS: Final = 3_000
"""A line of uid_map or gid_map, parsed and checked against the others."""
CONTROLLED_GROUP_NS: Final = 3_000
"""One control group that gets a controller or loses it."""
SEMAPHORE_OPERATION_NS, SEMAPHORE_NS, NEW_SEMAPHORE_NS = 600, 40, 1
"""One more operation of semop(2), or one more call of it that waits and is tried; a value of a whole set that
is read or written; and one of a set that is made."""
ATTRIBUTE_NS: Final = 60
"""One name in the list of a file's attributes."""
SEEN_MESSAGE_NS: Final = 60
"""One message of a queue that is passed over."""
CPU_CLOCK_NS: Final = 1_500
"""Working out the processor time of a process or thread that is running."""
DELIVERY_NS: Final = 8_000
"""A packet given to one more socket that hears all packets."""
SEEN_SOCKET_NS: Final = 120
"""One socket, looked at for whether it's meant or of what kind it is."""

BPF_STEP_NS, BPF_LOAD_NS, BPF_VERIFIED_NS = 80, 800, 800
"""Running an instruction of a filter of packets or system calls, one that loads something of a packet, and
checking or telling of one."""
EBPF_INSTRUCTION_NS, EBPF_VERIFIED_NS = 120, 1_800
"""Running an instruction of an eBPF program, and verifying one before the program is taken."""

_QUICK: Final = (
    "getpid gettid getppid getuid geteuid getgid getegid getpgrp getpgid getsid alarm umask "
    "set_tid_address set_robust_list sched_getscheduler restart_syscall"
)
_DEARER: Final = (
    # They look at a clock, on Linux without a call, or at what another task is.
    (
        1_200,
        "clock_gettime gettimeofday time getpriority getcpu",
    ),
    # They look at one word, or at what a descriptor leads to.
    (
        1_200,
        "write futex sched_yield close dup dup2 dup3 lseek "
        "rt_sigprocmask getcwd sched_getaffinity fcntl prctl membarrier",
    ),
    # They read or fill structures of some fields.
    (
        3_000,
        "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo rt_sigaction sigaltstack sched_setscheduler "
        "sched_getattr capget getsockopt "
        "setsockopt getsockname getpeername pread64 pwrite64 preadv pwritev ioctl",
    ),
    # They bring a message on its way, through addresses and filters.
    (
        3_500,
        "sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg",
    ),
    # They change objects that others wait for.
    (
        3_500,
        "epoll_ctl semop semtimedop msgsnd msgrcv mq_timedsend mq_timedreceive",
    ),
    # It has a stopped process's registers and memory at hand, or lets it go on.
    (
        5_000,
        "ptrace",
    ),
    # They fill large structures, or ask every thread of the process.
    (
        6_000,
        "sysinfo getrusage times prlimit64 select pselect6 setitimer getitimer timer_create "
        "timer_settime timer_delete waitid process_vm_readv "
        "process_vm_writev copy_file_range splice tee vmsplice",
    ),
    # They tell all about a file system, a file or the clock.
    (
        7_000,
        "statfs fstatfs statx adjtimex clock_adjtime",
    ),
    # It takes everything from the frame that entering the handler has built.
    (
        6_000,
        "rt_sigreturn",
    ),
    # They make a list.
    (
        9_000,
        "getdents getdents64",
    ),
    # They change the address space and its tables.
    (
        7_000,
        "mmap munmap mprotect mremap brk madvise msync mlock munlock",
    ),
    # They find a file, or make an open one.
    (
        3_500,
        "open openat openat2 creat stat lstat newfstatat access faccessat faccessat2 readlink "
        "readlinkat chdir",
    ),
    (
        5_000,
        "pipe pipe2 socket eventfd eventfd2 epoll_create epoll_create1 timerfd_create signalfd signalfd4 "
        "memfd_create inotify_init inotify_init1 inotify_add_watch pidfd_open",
    ),
    # They change directories, or what is known of a file.
    (
        7_000,
        "unlink unlinkat mkdir mkdirat rmdir rename renameat renameat2 link linkat symlink symlinkat mknod "
        "mknodat chmod fchmodat fchmodat2 chown lchown fchownat utimensat truncate ftruncate "
        "setxattr getxattr listxattr fsetxattr fgetxattr flistxattr",
    ),
    # They make, map and take away an object with an address space's tables.
    (
        8_000,
        "shmget shmat shmdt shmctl semget semctl",
    ),
    # It sets a timer that may be due at once.
    (
        14_000,
        "timerfd_settime",
    ),
    # The processor idles until a timer wakes it: on Linux not before the timer's slack of 50 us.
    (
        8_000,
        "nanosleep clock_nanosleep",
    ),
    # They make or join two ends.
    (
        10_000,
        "socketpair accept accept4 bind listen shutdown",
    ),
    # A handshake of TCP, with everything that its segments wake.
    (
        35_000,
        "connect",
    ),
    # They change the tree of mounts or what the whole machine sees.
    (
        25_000,
        "mount umount2 pivot_root unshare setns fsync fdatasync sync syncfs",
    ),
)


def _costs() -> dict[int, int]:
    costs = {NUMBERS[name]: QUICK_NS for name in _QUICK.split()}
    for cost_ns, names in _DEARER:
        for name in names.split():
            costs[NUMBERS[name]] = cost_ns
    return costs


_CALL_COSTS: Final = _costs()


def call_cost_ns(number: int) -> int:
    """What system call `number` is taken to last, without what its handler adds for its arguments."""
    return _CALL_COSTS.get(number, ORDINARY_NS)
