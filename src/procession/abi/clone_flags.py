"""clone(2), clone3(2), unshare(2) and setns(2): what a new task shares."""

from __future__ import annotations

from procession.abi.enumeration import IntFlag
from procession.abi.structure import U64, Structure


class CloneFlag(IntFlag):
    """What the child shares with its parent, and which namespaces are new."""

    CLONE_NEWTIME = 0x80
    CLONE_VM = 0x100
    CLONE_FS = 0x200
    CLONE_FILES = 0x400
    CLONE_SIGHAND = 0x800
    CLONE_PIDFD = 0x1000
    CLONE_PTRACE = 0x2000
    CLONE_VFORK = 0x4000
    CLONE_PARENT = 0x8000
    CLONE_THREAD = 0x10000
    CLONE_NEWNS = 0x20000
    CLONE_SYSVSEM = 0x40000
    CLONE_SETTLS = 0x80000
    CLONE_PARENT_SETTID = 0x100000
    CLONE_CHILD_CLEARTID = 0x200000
    CLONE_DETACHED = 0x400000
    CLONE_UNTRACED = 0x800000
    CLONE_CHILD_SETTID = 0x1000000
    CLONE_NEWCGROUP = 0x2000000
    CLONE_NEWUTS = 0x4000000
    CLONE_NEWIPC = 0x8000000
    CLONE_NEWUSER = 0x10000000
    CLONE_NEWPID = 0x20000000
    CLONE_NEWNET = 0x40000000
    CLONE_IO = 0x80000000
    CLONE_CLEAR_SIGHAND = 0x100000000
    CLONE_INTO_CGROUP = 0x200000000


# The bits of clone(2)'s flags that are the signal sent to the parent at exit.
CSIGNAL = 0xFF

CLONE_ARGS_SIZE_VER0 = 64
CLONE_ARGS_SIZE_VER1 = 80
CLONE_ARGS_SIZE_VER2 = 88


class CloneArgs(Structure):
    """clone3(2)'s struct clone_args."""

    flags: U64 = 0
    pidfd: U64 = 0
    child_tid: U64 = 0
    parent_tid: U64 = 0
    exit_signal: U64 = 0
    stack: U64 = 0
    stack_size: U64 = 0
    tls: U64 = 0
    set_tid: U64 = 0
    set_tid_size: U64 = 0
    cgroup: U64 = 0
