"""Random calls on processes: making, ending, awaiting, signalling and grouping them, and what they carry."""

from __future__ import annotations

import struct

from tests.differential.descriptor_calls import lock, make_descriptor
from tests.differential.maker import Maker, go_on
from tests.differential.memory_calls import PATH_BYTES
from tests.differential.script import (
    SLURP,
    STACK_BYTES,
    STACKS_BASE,
    Argument,
    At,
    Naming,
    Pid,
    Result,
    Symbol,
)

MOST_ACTORS = 6
SET_TIMERSLACK = 29
RLIMIT_SIGPENDING = 11
SIGNALS = (1, 2, 10, 10, 12, 12, 15, 17, 18, 19, 20, 23, 28, 34, 35, 64)
CLONE_VM, CLONE_FS, CLONE_FILES, CLONE_SIGHAND = 0x100, 0x200, 0x400, 0x800
CLONE_PIDFD, CLONE_PTRACE, CLONE_VFORK, CLONE_PARENT = 0x1000, 0x2000, 0x4000, 0x8000
CLONE_THREAD, CLONE_SYSVSEM, CLONE_SETTLS = 0x10000, 0x40000, 0x80000
CLONE_PARENT_SETTID, CLONE_CHILD_CLEARTID, CLONE_DETACHED = 0x100000, 0x200000, 0x400000
CLONE_UNTRACED, CLONE_CHILD_SETTID, CLONE_IO = 0x800000, 0x1000000, 0x80000000
THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM
ODD_CLONES = (
    CLONE_SIGHAND,
    CLONE_THREAD,
    CLONE_THREAD | CLONE_SIGHAND,
    CLONE_SIGHAND | 1 << 32,
    CLONE_PIDFD | CLONE_DETACHED,
    CLONE_PIDFD | CLONE_PARENT_SETTID,
    CLONE_FS | 0x20000,
    0x20000 | CLONE_FS,
)
CLONE3_FLAGS = (
    CLONE_DETACHED,
    255,
    1,
    1 << 32 | CLONE_SIGHAND,
    1 << 34,
    1 << 40,
    CLONE_THREAD,
    CLONE_SIGHAND,
)


def choose_actor(make: Maker) -> None:
    """The next operation is made by anybody."""
    make.actor = make.random.choice(make.actors)


def signal(make: Maker) -> int:
    """The number of a signal."""
    return make.random.choice(SIGNALS) if make.odds(92) else make.one(0, 0, 65, -1, 9, 32, 33, 1 << 31)


def make_process(make: Maker) -> None:
    """fork, clone, clone3; with flags that fail above all."""
    kind = make.random.randrange(10)
    if len(make.actors) >= MOST_ACTORS or kind >= 8:
        make_no_process(make)
        return
    stack = STACKS_BASE + STACK_BYTES * (make.next_actor + 1) - 256
    if kind < 3:
        make.spawn("fork")
    elif kind < 6:
        flags = make.one(0, 17, 17, 17, 10, 64) | make.bits(
            (CLONE_FILES, CLONE_FS, CLONE_PARENT),
            (CLONE_UNTRACED, CLONE_PTRACE, CLONE_DETACHED, CLONE_IO, CLONE_SYSVSEM),
            20,
        )
        own_stack = 0
        if make.odds(15):
            flags |= (
                CLONE_VM | (CLONE_SIGHAND if make.odds(50) else 0) | (CLONE_VFORK if make.odds(20) else 0)
            )
            own_stack = stack
        elif make.odds(8):
            flags |= CLONE_VFORK
        pointers = make.bits((CLONE_PARENT_SETTID, CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID))
        make.spawn("clone", flags | pointers, own_stack, At(0), At(4), 0, data=bytes(8), show=show_ids)
    elif kind == 6:
        flags = THREAD | make.bits(
            (CLONE_PARENT_SETTID, CLONE_CHILD_CLEARTID, CLONE_CHILD_SETTID, CLONE_PARENT)
        )
        make.spawn("clone", flags, stack, At(0), At(4), 0, data=bytes(8), show=show_ids)
    else:
        flags = make.bits((CLONE_FILES, CLONE_FS, CLONE_PARENT_SETTID, CLONE_CHILD_SETTID, 1 << 32))
        exit_signal = make.one(17, 17, 0, 10)
        data = struct.pack("<11Q", flags, 0, 0, 0, exit_signal, 0, 0, 0, 0, 0, 0) + bytes(8)
        make.spawn(
            "clone3",
            At(0),
            make.one(64, 80, 88),
            data=data,
            fixups=((16, 8, At(92)), (24, 8, At(88))),
            show=show_clone3,
        )


def make_no_process(make: Maker) -> None:
    """clone and clone3 that can't succeed."""
    if make.odds(50):
        flags = make.random.choice(ODD_CLONES)
        if flags == CLONE_FS | 0x20000:
            flags |= make.bits((CLONE_FILES, CLONE_PARENT))
        make.spawn("clone", flags | make.one(0, 17), 0, 0, 0, 0, is_hopeless=True)
        return
    flags = make.random.choice(CLONE3_FLAGS)
    stack, size = make.random.choice(((0, 0), (0, 4096), (4096, 0)))
    exit_signal = make.one(17, 65, 0, 1 << 40, 255)
    data = struct.pack("<11Q", flags, 0, 0, 0, exit_signal, stack, size, 0, 0, 0, 0) + bytes(16)
    length = make.one(64, 80, 88, 88, 0, 63, 72, 96, 104, 4097)
    make.spawn("clone3", At(0), length, data=data, is_hopeless=True)


def show_ids(data: bytes, result: int, naming: Naming) -> str:
    """What CLONE_PARENT_SETTID has stored."""
    first = int.from_bytes(data[:4], "little")
    return naming.pid(first) if first else "0"


def show_clone3(data: bytes, result: int, naming: Naming) -> str:
    """What CLONE_PARENT_SETTID has stored."""
    first = int.from_bytes(data[88:92], "little")
    return naming.pid(first) if first else "0"


def end_process(make: Maker) -> None:
    """exit, exit_group."""
    if len(make.actors) > 1 and make.odds(60):
        make.call(make.random.choice(("exit", "exit_group")), make.one(0, 1, 7, 255, 256, -1))


def await_process(make: Maker) -> None:
    """wait4, waitid."""
    options = make.bits((2, 8), (0x20000000, 0x40000000, 0x80000000, 0x10, -1), 8) | (
        1 if make.odds(80) else 0
    )
    if make.odds(55):
        pid: Argument = make.random.choice(
            (-1, -1, -1, make.pid(), Pid(make.random.choice(make.actors), True))
        )
        options &= ~0x1000004
        if not isinstance(pid, Pid) or pid.is_negative:
            # Procession wakes who awaits a group when a child that has left it ends: ECHILD. Linux doesn't.
            options |= 0 if pid == -1 else 1
        make.call("wait4", pid, At(0), options, 0, data=bytes(8), result="pid")
        return
    options |= make.bits((4, 4, 0x1000000), (), 0) | (4 if make.odds(70) else 0)
    kind = make.one(0, 0, 1, 2, 2, 4, -1)
    where: Argument = At(0) if make.odds(95) else 0
    options |= 1 if kind == 2 else 0
    make.call(
        "waitid", kind, make.pid() if kind else 0, where, options, 0, data=b"\x55" * 32, show=show_waitid
    )


def show_waitid(data: bytes, result: int, naming: Naming) -> str:
    """The siginfo of waitid."""
    signo, error, code, _, pid, uid, status = struct.unpack_from("<iiiiiIi", data)
    return f"{signo} {error} {code} {naming.pid(pid) if pid else 0} {uid} {status:x}"


def send_signal(make: Maker) -> None:
    """kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal."""
    number = signal(make)
    kind = make.random.randrange(9)
    if kind < 4:
        pid: Argument = make.pid()
        if make.odds(15):
            pid = Pid(make.random.choice(make.actors), True)
        make.call("kill", pid, number)
    elif kind == 4:
        make.call("tkill", make.pid(), number)
    elif kind == 5:
        make.call("tgkill", make.pid(), make.pid(), number)
    elif kind == 6:
        info = struct.pack(
            "<iiiiiIi", make.one(0, number & 0x7F), 0, make.one(-1, -1, -2, 0, -6, 1, 0x80), 0, 5, 6, 7
        ) + bytes(100)
        if make.odds(50):
            make.call("rt_sigqueueinfo", make.pid(), number, At(0), data=info)
        else:
            make.call("rt_tgsigqueueinfo", make.pid(), make.pid(), number, At(0), data=info)
    elif kind == 7:
        # Not one of the descriptors: since Linux 6.9 it can be sought in and mapped like a file.
        descriptor = make.call("pidfd_open", make.pid(), make.one(0, 0, 0x800, 1), result="pidfd")
        make.call("pidfd_send_signal", Result(descriptor), number, 0, make.one(0, 0, 0, 8, 64))
    else:
        make.call(
            "rt_sigtimedwait",
            At(0),
            0,
            At(8),
            8,
            data=struct.pack(
                "<Qqq", make.one(0x80A00, 1 << 9, 0xFFFF_FFFF_0000_0000, 0), 0, make.one(0, 0, 0, -1)
            ),
        )


def somebody_else(make: Maker) -> bool:
    """Let one who isn't the first make the next call, which may take for ever; false if there is none."""
    if len(make.actors) > 1:
        make.actor = make.random.choice(make.actors[1:])
    return len(make.actors) > 1


def await_signal(make: Maker) -> None:
    """pause, rt_sigsuspend, ppoll: until a signal comes."""
    if not somebody_else(make):
        return
    kind = make.random.randrange(5)
    mask = struct.pack("<Q", make.one(0, 0, 0x200, 0xA00, 0x10000, 0xFFFF_FFFF_FFFF_FFFF))
    if kind < 2:
        make.call("pause")
    elif kind < 4:
        make.call("rt_sigsuspend", At(0), make.one(8, 8, 8, 8, 4, 16), data=mask)
    else:
        make.call("ppoll", 0, 0, 0, At(0), 8, data=mask)


def execute(make: Maker) -> None:
    """execve of a program that ends at once: nothing else of the process is left before."""
    if not somebody_else(make):
        return
    data = bytes(32) + b"r\0" + b"/proc/self/exe\0"
    arguments: tuple[tuple[int, int, Argument], ...] = ((0, 8, At(34)), (8, 8, At(32)))
    make.call("execve", At(34), At(0), At(24), data=data, fixups=arguments).is_slow = True


def dispose(make: Maker) -> None:
    """rt_sigaction, rt_sigprocmask, rt_sigpending, sigaltstack."""
    number = signal(make)
    kind = make.random.randrange(8)
    if kind < 4:
        flags = 0x04000004 | make.bits((0x10000000, 0x40000000, 1, 2, 0x80000000), (0x400, 0x800), 10)
        mask = make.one(0, 0, 0x800, 0xFFFF_FFFF_FFFF_FFFF)
        action = struct.pack("<QQQQ", make.one(0, 1, 2), flags, 0, mask) + bytes(32)
        fixups: tuple[tuple[int, int, Argument], ...] = ((16, 8, Symbol(True)),)
        if action[0] == 2:
            fixups = ((0, 8, Symbol()), *fixups)
        new: Argument = At(0) if make.odds(85) else 0
        old: Argument = At(32) if make.odds(60) else 0
        size = make.one(8, 8, 8, 8, 8, 4, 16)
        make.call("rt_sigaction", number, new, old, size, data=action, fixups=fixups, show=show_action)
    elif kind < 6:
        mask = make.one(0x200, 0x800, 0xA00, 1 << 33, 0xFFFF_FFFF_FFFF_FFFF, 0)
        data = struct.pack("<QQ", mask, 0)
        make.call(
            "rt_sigprocmask",
            make.one(0, 0, 1, 2, 3),
            At(0) if make.odds(85) else 0,
            At(8),
            make.one(8, 8, 8, 8, 4),
            data=data,
        )
    elif kind == 6:
        make.call("rt_sigpending", At(0), make.one(8, 8, 4, 9), data=bytes(8))
    else:
        stack = struct.pack(
            "<QIiQ",
            STACKS_BASE,
            make.one(0, 2, 1, 4, 1 << 31, (1 << 31) - 1),
            0,
            make.one(0, 2047, 2048, 8192),
        )
        make.call(
            "sigaltstack",
            At(0) if make.odds(70) else 0,
            At(24) if make.odds(50) else 0,
            data=stack + bytes(24),
        )


def show_action(data: bytes, result: int, naming: Naming) -> str:
    """The old struct sigaction."""
    handler, flags, restorer, mask = struct.unpack_from("<QQQQ", data, 32)
    return f"{naming.address(handler)} {flags:x} {naming.address(restorer)} {mask:x}"


def group(make: Maker) -> None:
    """setpgid, setsid and what asks for them; ids of processes."""
    kind = make.random.randrange(12)
    if kind < 5:
        make.call("setpgid", make.pid(), make.pid())
    elif kind == 5:
        make.call("setsid", result="pid")
    elif kind < 8:
        make.call("getpgid", make.pid(), result="pid")
    elif kind == 8:
        make.call("getsid", make.pid(), result="pid")
    else:
        make.call(make.random.choice(("getppid", "getpid", "gettid", "getpgrp")), result="pid")


def control_process(make: Maker) -> None:
    """prctl, personality, unshare, set_tid_address, get_robust_list."""
    kind = make.random.randrange(10)
    if kind < 7:
        option = make.one(
            1,
            1,
            2,
            2,
            3,
            4,
            7,
            8,
            15,
            16,
            27,
            28,
            SET_TIMERSLACK,
            30,
            36,
            36,
            37,
            38,
            39,
            23,
            24,
            47,
            33,
            34,
            5,
            6,
            9,
            10,
            11,
            12,
            25,
            100,
            -1,
            13,
            19,
            65,
            66,
        )
        if option in {2, 37, 16, 25, 5, 9, 11, 19}:
            make.call("prctl", option, At(0), make.one(0, 0, 1), 0, 0, data=bytes(16))
        elif option == 15:
            make.call(
                "prctl", option, At(0), 0, 0, 0, data=make.text(make.random.choice(("name", "", "x" * 30)))
            )
        else:
            values = [make.one(0, 0, 0, 0, 1, 2) for _ in range(3)]
            value = make.one(0, 1, 1, 2, 3, 10, 21, 40, 41, 64, 65, -1)
            if option == SET_TIMERSLACK and value == -1:
                # Whoever sleeps then may sleep for ever, or until another's timer.
                value = 1
            make.call("prctl", option, value, *values)
    elif kind == 7:
        make.call("personality", make.one(0xFFFFFFFF, 0, 0x0040000, 8, 0x1000000))
    elif kind == 8:
        make.call(
            "unshare",
            make.one(
                0,
                CLONE_FILES,
                CLONE_FS,
                CLONE_SYSVSEM,
                1,
                CLONE_PARENT,
                255,
                1 << 31,
                CLONE_VM,
                CLONE_SIGHAND,
                CLONE_THREAD,
            ),
        )
    else:
        make.call(
            "get_robust_list",
            make.one(0, 0x3FFFFFFF),
            At(0),
            At(8),
            data=bytes(16),
            show=lambda data, result, naming: "",
        )


def limit(make: Maker) -> None:
    """prlimit64, getrlimit, setrlimit, priorities, scheduling."""
    kind = make.random.randrange(14)
    pid = make.pid()
    if kind < 3:
        resource = make.one(1, 4, 6, 7, 8, 11, 12, 13, 14, 15, 16, -1)
        soft, hard = make.one(0, 1, 20, 63, 64, 65, -1), make.one(64, 64, 100, -1)
        if resource == RLIMIT_SIGPENDING and soft == 1:
            # Others of the same user on the host have some signals queued, or none.
            soft = 0
        new: Argument = At(0) if make.odds(40) else 0
        old: Argument = At(16) if make.odds(70) and resource in {4, 7} else 0
        make.call(
            "prlimit64",
            pid if make.odds(70) else 0,
            resource,
            new,
            old,
            data=struct.pack("<QQ", soft & (1 << 64) - 1, hard & (1 << 64) - 1) + bytes(16),
        )
    elif kind == 3:
        make.call("getpriority", make.one(0, 0, 1, 3, -1), pid)
    elif kind < 6:
        make.call("setpriority", make.one(0, 0, 1, 3), pid, make.one(0, 5, 10, 19, 20, 100, -1, -100))
    elif kind == 6:
        make.call("sched_getscheduler", pid)
    elif kind < 9:
        policy = make.one(0, 0, 3, 3, 5, 4, 6, 7, 0x40000000, 0x40000003, -1, 1, 2)
        make.call(
            "sched_setscheduler",
            pid,
            policy,
            At(0) if make.odds(95) else 0,
            data=struct.pack("<i", make.one(0, 0, 0, 0, 1, -1, 100)),
        )
    elif kind == 9:
        make.call("sched_getparam", pid, At(0), data=bytes(4))
    elif kind == 10:
        make.call("sched_setparam", pid, At(0), data=struct.pack("<i", make.one(0, 0, 1, -1)))
    elif kind == 11:
        make.call(
            make.random.choice(("sched_get_priority_max", "sched_get_priority_min")),
            make.one(0, 1, 2, 3, 4, 5, 6, 7, 8, -1),
        )
    elif kind == 12:
        policy, flags = make.one(0, 3, 5, 4, 9), make.one(0, 1, 0, 8, 16, 128)
        data = struct.pack(
            "<IIQiIQQQII",
            make.one(48, 48, 56, 0, 47, 60),
            policy,
            flags,
            make.one(0, 5, 19, 20),
            0,
            0,
            0,
            0,
            0,
            0,
        ) + bytes(8)
        make.call(
            "sched_setattr", pid, At(0), make.one(0, 0, 1), data=data, show=lambda data, result, naming: ""
        )
    else:
        make.call("ioprio_get", make.one(1, 1, 2, 3, 0), pid)


def identify(make: Maker) -> None:
    """The calls on user and group ids, and capabilities."""
    kind = make.random.randrange(10)
    one, two, three = (make.one(-1, 0, 0, 1000, 12345) for _ in range(3))
    if kind < 2:
        make.call(make.random.choice(("setresuid", "setresgid")), one, two, three)
    elif kind < 4:
        make.call(make.random.choice(("setreuid", "setregid")), one, two)
    elif kind == 4:
        make.call(make.random.choice(("setuid", "setgid", "setfsuid", "setfsgid")), one)
    elif kind < 7:
        make.call(make.random.choice(("getresuid", "getresgid")), At(0), At(4), At(8), data=bytes(12))
    elif kind == 7:
        count = make.one(0, 1, 2, 3, -1, 65537)
        make.call("setgroups", count, At(0), data=struct.pack("<iii", make.one(5, -1, 1000), 3, 1))
    elif kind == 8:
        make.call(
            "capget",
            At(0),
            At(8),
            data=struct.pack(
                "<Ii", make.one(0x20080522, 0x20080522, 0x19980330, 0x20071026, 0), make.one(0, 0, -1)
            )
            + bytes(24),
        )
    else:
        data = struct.pack(
            "<Ii6I",
            0x20080522,
            make.one(0, 0, 0x3FFFFFFF),
            *(make.one(0, 0x3FFF, 0xFFFFFFFF, 0x100) for _ in range(6)),
        )
        make.call("capset", At(0), At(8), data=data)


STATUS_FIELDS = (
    b"State",
    b"SigPnd",
    b"ShdPnd",
    b"SigBlk",
    b"SigIgn",
    b"SigCgt",
    b"Threads",
    b"Uid",
    b"Gid",
    b"CapEff",
    b"CapPrm",
    b"NoNewPrivs",
    b"Umask",
    b"Name",
)


def show_status(data: bytes, result: int, naming: Naming) -> str:
    """Some fields of /proc/self/status."""
    lines = data[PATH_BYTES : max(result, PATH_BYTES)].splitlines()
    return " ".join(
        b" ".join(line.split()).decode() for line in lines if line.partition(b":")[0] in STATUS_FIELDS
    )


def look_at_process(make: Maker) -> None:
    """/proc/thread-self/status."""
    make.operation(SLURP, data=STATUS_PATH, show=show_status, result="none")


def read_or_write_plainly(make: Maker) -> None:
    """read, write: what others say of pidfds, whose numbers these may be too, depends on Linux's version."""
    many = make.one(0, 1, 8, 100)
    make.call(make.random.choice(("read", "write")), make.descriptor(), At(0), many, data=b"w" * many)


STATUS_PATH = b"/proc/thread-self/status".ljust(2048, b"\0")

FAMILIES = (
    *(make_process,) * 6,
    *(end_process,) * 3,
    *(await_process,) * 6,
    *(send_signal,) * 6,
    *(dispose,) * 6,
    *(group,) * 4,
    *(control_process,) * 3,
    *(limit,) * 3,
    identify,
    *(lock,) * 2,
    *(look_at_process,) * 2,
    *(await_signal,) * 2,
    *(execute, go_on),
    make_descriptor,
    read_or_write_plainly,
)
