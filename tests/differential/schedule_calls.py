"""Random calls on scheduling: policies and their attributes, niceness, affinity, I/O priorities, limits."""

from __future__ import annotations

import struct

from tests.differential.maker import BAD_ADDRESS, Maker, go_on
from tests.differential.process_calls import await_process, end_process
from tests.differential.script import SLURP, STACK_BYTES, STACKS_BASE, Argument, At, Naming, Pid, Result

MOST_ACTORS = 6
RESET_ON_FORK = 0x40000000
POLICIES = (0, 0, 3, 3, 5, 1, 2, 6, 7, 4, 8, -1)
ATTRIBUTE_FLAGS = (0, 0, 0, 1, 2, 4, 8, 0x10, 0x18, 0x20, 0x40, 0x60, 0x80, 1 << 40)
RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME = 13, 14, 15
IOPRIO_WHO = (1, 1, 1, 2, 3, 0, 4)
PATH_BYTES, FILE_BYTES = 32, 600
PRIORITY, NICE, RT_PRIORITY, POLICY = 15, 16, 37, 38
"""Where /proc/PID/stat has them, after the name."""
USUAL_SLICES_NS = (700_000, 750_000, 1_400_000, 1_500_000, 2_100_000, 2_250_000, 2_800_000, 3_000_000)


def begin(make: Maker) -> None:
    """A thread, another process, and no wish to run elsewhere."""
    make.call("sched_setaffinity", 0, 8, At(0), data=struct.pack("<Q", 1))
    for resource, most in ((RLIMIT_NICE, 30), (RLIMIT_RTPRIO, 10)):
        make.call("prlimit64", 0, resource, At(0), 0, data=struct.pack("<QQ", most, most))
    make.spawn("fork")
    make_thread(make)


def make_thread(make: Maker) -> None:
    """clone."""
    stack = STACKS_BASE + STACK_BYTES * (make.next_actor + 1) - 256
    make.spawn("clone", 0x50F00, stack, 0, 0, 0)


def make_actor(make: Maker) -> None:
    """fork, and threads: what they inherit."""
    if len(make.actors) < MOST_ACTORS:
        if make.odds(50):
            make.spawn("fork")
        else:
            make_thread(make)


def attributes(make: Maker) -> None:
    """sched_setattr, sched_getattr."""
    pid = make.pid()
    if make.odds(45):
        size = make.one(48, 48, 56, 56, 64, 128, 47, 0, 4097)
        shown = b"\x55" * 128
        make.call(
            "sched_getattr",
            pid,
            At(0) if make.odds(96) else 0,
            size,
            make.one(0, 0, 0, 0, 1),
            data=shown,
            show=show_attributes,
        )
        return
    size = make.one(48, 48, 48, 56, 56, 0, 47, 60, 64)
    policy = make.random.choice(POLICIES)
    nice = make.one(0, 0, 5, 19, 20, -5, -10, -11, -20, -21)
    priority = make.one(0, 0, 0, 1, 5, 10, 11, 99, 100)
    if policy == 6:
        # Whether there is room for a deadline depends on the host.
        policy = 9
    runtime, deadline, period = (make.one(0, 0, 0, 100_000, 1_000_000, 1 << 63) for _ in range(3))
    low, high = make.one(0, 0, 100, 1024, 1025), make.one(1024, 1024, 50, 0, 2000)
    flags = make.random.choice(ATTRIBUTE_FLAGS)
    if flags & 0x60:
        # Whether there are clamps is a matter of how the host's Linux was built.
        flags = 0x80
    fields = (size, policy & 0xFFFFFFFF, flags, nice, priority, runtime, deadline, period, low, high)
    data = struct.pack("<IIQiIQQQII", *fields) + bytes(8)
    where: Argument = At(0) if make.odds(96) else make.one(0, BAD_ADDRESS)
    make.call("sched_setattr", pid, where, make.one(0, 0, 0, 0, 1), data=data, show=show_size)


def show_attributes(data: bytes, result: int, naming: Naming) -> str:
    """What sched_getattr has said; how long the usual slice is depends on the number of processors."""
    size, policy, flags, nice, priority, runtime, deadline, period, low, high = struct.unpack_from(
        "<IIQiIQQQII", data
    )
    slice_ns = "usual" if runtime in USUAL_SLICES_NS else str(runtime)
    rest = data[56:].rstrip(b"\x55").hex()
    return f"{rest} {size} {policy} {flags:x} {nice} {priority} {slice_ns} {deadline} {period} {low} {high}"


def show_size(data: bytes, result: int, naming: Naming) -> str:
    """What size was wanted (E2BIG)."""
    return str(int.from_bytes(data[:4], "little"))


def policies(make: Maker) -> None:
    """sched_setscheduler, sched_getscheduler, sched_setparam, sched_getparam, and the bounds."""
    kind = make.random.randrange(8)
    pid = make.pid()
    if kind < 3:
        policy = make.random.choice(POLICIES) | (RESET_ON_FORK if make.odds(25) else 0)
        data = struct.pack("<i", make.one(0, 0, 0, 1, 5, 10, 11, 99, 100, -1))
        make.call("sched_setscheduler", pid, policy, At(0) if make.odds(95) else 0, data=data)
    elif kind == 3:
        make.call("sched_getscheduler", pid)
    elif kind == 4:
        make.call("sched_setparam", pid, At(0), data=struct.pack("<i", make.one(0, 0, 1, 5, 11, -1)))
    elif kind == 5:
        make.call("sched_getparam", pid, At(0) if make.odds(95) else 0, data=bytes(4))
    elif kind == 6:
        call = make.random.choice(("sched_get_priority_max", "sched_get_priority_min"))
        make.call(call, make.one(*POLICIES))
    else:
        # How long it is depends on the host.
        make.call("sched_rr_get_interval", pid, At(0), data=bytes(16), show=show_nothing)


def show_nothing(data: bytes, result: int, naming: Naming) -> str:
    """Show nothing."""
    return ""


def niceness(make: Maker) -> None:
    """setpriority, getpriority."""
    who = make.one(0, 0, 0, 1, 2, 3, -1)
    # Of user 0 there are others on the host.
    pid: Argument = make.pid() if who != 2 else 54321
    if make.odds(55):
        make.call("setpriority", who, pid, make.one(0, 0, 5, 19, 100, -1, -5, -10, -11, -20, -100))
    else:
        make.call("getpriority", who, pid)


def affinity(make: Maker) -> None:
    """sched_setaffinity, sched_getaffinity."""
    size = make.one(8, 8, 8, 16, 128, 0, 1, 4, 7, 9)
    if make.odds(50):
        mask = make.one(1, 1, 1, 0, 1 << 63, 1 << 63 | 1, (1 << 64) - 1)
        if mask == (1 << 64) - 1:
            mask = 1
        where: Argument = At(0) if make.odds(95) else 0
        make.call("sched_setaffinity", make.pid(), size, where, data=struct.pack("<QQ", mask, 0) + bytes(112))
    else:
        # How many processors there may be differs, and so what is too short.
        make.call(
            "sched_getaffinity",
            make.pid(),
            make.one(8, 8, 128, 9, 0),
            At(0),
            data=bytes(128),
            show=show_mask,
            result="hidden",
        )


def show_mask(data: bytes, result: int, naming: Naming) -> str:
    """The first processors."""
    return data[:2].hex() if result > 0 else str(result)


def input_priority(make: Maker) -> None:
    """ioprio_set, ioprio_get."""
    who = make.random.choice(IOPRIO_WHO)
    pid: Argument = make.pid() if who != 3 else 54321
    if make.odds(60):
        kind, level = make.one(0, 1, 2, 2, 3, 4, 7), make.one(0, 0, 4, 7, 8, 0x1FFF)
        make.call("ioprio_set", who, pid, kind << 13 | level)
    else:
        make.call("ioprio_get", who, pid)


def limits(make: Maker) -> None:
    """prlimit64 of niceness and real-time priority."""
    resource = make.one(RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME)
    soft, hard = make.one(0, 5, 10, 20, 30, 40), make.one(10, 30, 30, 40)
    new: Argument = At(0) if make.odds(50) else 0
    make.call("prlimit64", make.pid(), resource, new, At(16), data=struct.pack("<QQ", soft, hard) + bytes(16))


def change_rights(make: Maker) -> None:
    """Become an ordinary user, or have a timer's slack."""
    kind = make.random.randrange(6)
    if kind == 0 and make.actor != 0:
        make.call("setresuid", *(make.one(-1, 1000, 0) for _ in range(3)))
    elif kind < 3:
        make.call("prctl", 29, make.one(0, 1, 50_000, 100_000), 0, 0, 0)
    elif kind < 5:
        make.call("prctl", 30, 0, 0, 0, 0)
    else:
        make.call("kill", Pid(make.random.choice(make.actors)), 0)


def look(make: Maker) -> None:
    """/proc/thread-self/stat, and the slack of timers there."""
    name = make.random.choice(("stat", "stat", "stat", "timerslack_ns"))
    which = "self" if name == "timerslack_ns" else "thread-self"
    path = f"/proc/{which}/{name}\0".encode()
    show = show_stat if name == "stat" else show_slack
    make.operation(SLURP, data=path.ljust(PATH_BYTES + FILE_BYTES, b"\0"), show=show, result="none")


def show_stat(data: bytes, result: int, naming: Naming) -> str:
    """Priority, niceness, real-time priority and policy."""
    words = data[PATH_BYTES : max(result, PATH_BYTES)].rpartition(b")")[2].split()
    return " ".join(words[at].decode() for at in (PRIORITY, NICE, RT_PRIORITY, POLICY) if at < len(words))


def show_slack(data: bytes, result: int, naming: Naming) -> str:
    """A number."""
    return data[PATH_BYTES : max(result, PATH_BYTES)].decode().strip()


def write_slack(make: Maker) -> None:
    """/proc/self/timerslack_ns, written."""
    text = make.random.choice((b"0", b"1", b"50000", b"x", b"-1", b"18446744073709551615", b"100\n"))
    opened = make.call("open", At(0), make.one(1, 2), data=b"/proc/self/timerslack_ns\0")
    make.call("write", Result(opened), At(0), len(text), data=text)
    make.call("close", Result(opened))


def group(make: Maker) -> None:
    """setpgid, setsid, for who is meant by a group; and giving way."""
    kind = make.random.randrange(6)
    if kind < 4:
        make.call("setpgid", make.pid(), make.pid())
    elif kind == 4:
        make.call("setsid", result="pid")
    else:
        make.call("sched_yield")


FAMILIES = (
    *(look,) * 4,
    *(write_slack, group, group),
    *(attributes,) * 5,
    *(policies,) * 4,
    *(niceness,) * 3,
    *(affinity,) * 2,
    *(input_priority,) * 2,
    *(limits,) * 2,
    *(make_actor,) * 2,
    *(change_rights,) * 2,
    end_process,
    await_process,
    go_on,
)
