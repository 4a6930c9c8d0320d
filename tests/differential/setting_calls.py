"""Random calls on what a process sets for itself, and on small things that it asks for: rarer options of
prctl(2), barriers, restartable sequences, security modules, limits, names, older forms of calls."""

from __future__ import annotations

import struct

from procession.abi.prctl import PrctlOption
from tests.differential.maker import BAD_ADDRESS, Maker, go_on
from tests.differential.script import ARENA, PAGE, Argument, At, Naming, Show

GET_AUXV = int(PrctlOption.PR_GET_AUXV)
RESTORE_IDS = int(PrctlOption.PR_TIMER_CREATE_RESTORE_IDS)
SET_NAME, GET_NAME, SET_MM, TID_ADDRESS, SET_TSC = 15, 16, 35, 40, 26
# Filters have a family; who dispatches calls has the executor's own; processors differ in speculation. The
# configuration decides about counters of events, names of memory, Yama and a process's own futexes.
ELSEWHERE = (
    *(21, 22, 31, 32, 52, 53, 59, SET_TSC, GET_AUXV),
    *(int(PrctlOption.PR_SET_VMA), int(PrctlOption.PR_SET_PTRACER)),
)
OPTIONS = tuple(int(option) for option in PrctlOption if int(option) not in ELSEWHERE)
LATER_OPTIONS = (74, 75, 76, 79, 80, 999, 1 << 31)
BARRIERS = (0, 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 3, 0x400, -1)
RLIMIT_CPU = 0
RESOURCES = tuple(range(-1, 17))
VALUES = (0, 0, 1, 1, 2, 3, 4, 8, 64, 0x1000, -1, 1 << 31, 1 << 32)


def begin(make: Maker) -> None:
    """Memory at a known place, and another process."""
    make.call("mmap", ARENA, 8 * PAGE, 3, 0x32, -1, 0, result="address")
    for call in ("sethostname", "setdomainname"):
        make.call(call, At(0), 4, data=b"name")
    make.spawn("fork")


def place(make: Maker, offset: int = 0) -> Argument:
    """Where something is, seldom nowhere."""
    return At(offset) if make.odds(75) else make.one(0, BAD_ADDRESS)


def nothing(data: bytes, result: int, naming: Naming) -> str:
    """What is left in memory differs from host to host."""
    return ""


def process_control(make: Maker) -> None:
    """prctl(2)."""
    option = make.random.choice(OPTIONS) if make.odds(85) else make.random.choice(LATER_OPTIONS)
    rest = [make.one(0, 0, 0, 0, 1, 2, -1) for _ in range(3)]
    first: Argument = make.random.choice(VALUES)
    data, show = b"", None
    if make.odds(30) or option in {2, 5, 9, 11, GET_NAME, 19, 25, 37, TID_ADDRESS}:
        first, data = At(0), bytes(64)
        rest = rest if make.odds(30) else [0, 0, 0]
    if option == SET_NAME:
        first, data = At(0), make.text(make.random.choice(("a", "", "x" * 14, "y" * 15, "z" * 40, "\1\xff")))
    elif option == TID_ADDRESS:
        show = nothing
    elif option == SET_MM:
        rest = [make.one(0, 1, ARENA, ARENA + PAGE, -1, 1 << 47), make.one(0, 0, 8, 128), make.one(0, 0, 1)]
        first = make.random.choice((*range(17), -1))
    elif option in {33, 62} and make.odds(70):
        first, rest[0] = make.one(0, 1), make.one(0, 1, 2, 3)
    make.call("prctl", option, first, *rest, data=data, show=show)


def processor_control(make: Maker) -> None:
    """PR_GET_AUXV, PR_SET_TSC."""
    if make.odds(50):
        # How much there is depends on the host.
        rest = (make.one(0, 1), make.one(0, 0, 1), 0)
        make.call("prctl", GET_AUXV, At(0), *rest, data=bytes(256), show=nothing, result="none")
    else:
        make.call("prctl", SET_TSC, make.one(0, 1, 1, 3, -1), 0, 0, 0)


def barrier(make: Maker) -> None:
    """membarrier(2), rseq(2)."""
    if make.odds(60):
        command = make.random.choice(BARRIERS)
        make.call("membarrier", command, make.one(0, 0, 0, 0, 1, 2), make.one(0, 0, 1, -1))
        return
    where: Argument = make.random.choice(
        (ARENA, ARENA, ARENA, ARENA + 32, ARENA + 8, 0, BAD_ADDRESS, 1 << 63)
    )
    size = make.one(32, 32, 32, 32, 0, 16, 24, 33, 64)
    make.call("rseq", where, size, make.one(0, 0, 1, 1, 2), make.one(7, 7, 7, 8))


def security_modules(make: Maker) -> None:
    """lsm_get_self_attr, lsm_set_self_attr; which modules there are is up to the host."""
    attribute = make.one(0, 100, 101, 102, 103, 104, 105, 106, -1)
    size = struct.pack("<I", make.one(0, 32, 200, 4096))
    flags = make.one(0, 0, 1, 2, -1)
    if make.odds(60):
        where: Argument = place(make, 8)
        data = size.ljust(8, b"\0") + struct.pack("<QQQQ", make.one(0, 100, 105, 110, 7), 0, 0, 0).ljust(
            200, b"\0"
        )
        length: Argument = place(make)
        make.call("lsm_get_self_attr", attribute, where, length, flags, data=data)
    else:
        data = struct.pack(
            "<QQQQ", make.one(100, 105, 7), make.one(0, 1), make.one(32, 40, 0), make.one(0, 8)
        ) + bytes(8)
        make.call("lsm_set_self_attr", attribute, At(0), make.one(0, 31, 32, 40, 5000), flags, data=data)


def limits(make: Maker) -> None:
    """getrlimit, setrlimit, prlimit64."""
    resource = make.random.choice(RESOURCES)
    kind = make.random.randrange(6)
    numbers = (0, 1, 20, 64, 1 << 16, 1 << 23, -1)
    soft = make.random.choice(numbers)
    if soft == 0 and resource == RLIMIT_CPU:
        # Who is running at the next tick dies of it.
        soft = 20
    pair = struct.pack("<qq", soft, make.random.choice(numbers))
    if kind < 2 and resource in {0, 1, 4, 12, 13, 14, 15, 10}:
        make.call("setrlimit", resource, At(0), data=pair)
    elif kind == 2 and resource in {0, 1, 4, 12, 13, 14, 15, 10}:
        who = make.pid()
        make.call("prlimit64", who, resource, At(0), At(16), data=pair + bytes(16), show=nothing)
    else:
        # Those that scripts haven't set are the host's.
        show: Show | None = None if resource in {1, 4, 7} else nothing
        make.call(
            "getrlimit",
            resource,
            place(make),
            data=bytes(16),
            show=show,
        )


def names(make: Maker) -> None:
    """sethostname, setdomainname, uname, gethostname's other forms."""
    kind = make.random.randrange(4)
    length = make.one(0, 1, 5, 64, 65, -1, -(1 << 31))
    text = bytes(make.one(97, 98, 0, 255, 10) for _ in range(64))
    where: Argument = At(0) if make.odds(90) else make.one(0, BAD_ADDRESS)
    if kind == 0:
        make.call("sethostname", where, length, data=text)
    elif kind == 1:
        make.call("setdomainname", where, length, data=text)
    else:
        make.call("uname", where, data=bytes(390), show=show_names)


def show_names(data: bytes, result: int, naming: Naming) -> str:
    """The names of this host and domain."""
    if result < 0:
        return ""
    return f"{data[65:130].split(bytes(1))[0].hex()} {data[325:390].split(bytes(1))[0].hex()}"


def older_calls(make: Maker) -> None:
    """The first forms of calls: pipe, eventfd, signalfd, epoll_create, inotify_init, and small questions."""
    kind = make.random.randrange(12)
    if kind == 0:
        make.call("pipe", place(make), data=bytes(8))
    elif kind == 1:
        make.opened(make.call("eventfd", make.one(0, 1, -1)))
    elif kind == 2:
        make.opened(make.call("epoll_create", make.one(1, 1, 0, -1)))
    elif kind == 3:
        make.opened(make.call("inotify_init"))
    elif kind == 4:
        where = make.descriptor() if make.odds(50) else -1
        make.opened(make.call("signalfd", where, At(0), make.one(8, 8, 4, 16), data=struct.pack("<Q", 0x200)))
    elif kind == 5:
        make.call(
            "getrandom",
            At(0),
            make.one(0, 16, 300),
            make.one(0, 1, 2, 4, 6, 8),
            data=bytes(304),
            show=nothing,
        )
    elif kind == 6:
        make.call(
            "getcpu",
            place(make),
            make.one(0, BAD_ADDRESS),
            0,
            data=bytes(8),
            show=nothing,
        )
    elif kind == 7:
        make.call("set_tid_address", make.one(0, ARENA, BAD_ADDRESS), result="pid")
    elif kind == 8:
        make.call("restart_syscall")
    elif kind == 9:
        make.call("sysinfo", place(make), data=bytes(112), show=nothing)
    elif kind == 10:
        request = make.one(0x1001, 0x1004, 0x1022, 0x2001, 0x4001, 0x5001, 0)
        value: Argument = At(0) if make.odds(30) else make.one(0, 0, 1, 1 << 63)
        make.call("arch_prctl", request, value, data=bytes(16), show=nothing)
    else:
        make.call("close", make.descriptor())


def timers(make: Maker) -> None:
    """timer_create by numbers of one's own (PR_TIMER_CREATE_RESTORE_IDS), timer_delete."""
    kind = make.random.randrange(4)
    number = make.one(0, 1, 1, 2, 5, 0x7FFFFFFF, -1)
    if kind == 0:
        make.call("prctl", RESTORE_IDS, make.one(0, 1, 1, 2, 3), 0, 0, make.one(0, 0, 0, 1))
    elif kind < 3:
        make.call("timer_create", make.one(0, 1, 1, 7, 4, 99), 0, place(make), data=struct.pack("<i", number))
    else:
        make.call("timer_delete", number)


def groups(make: Maker) -> None:
    """getgroups, setgroups, getuid and its kin, getpriority, vhangup, sched_yield, sync."""
    kind = make.random.randrange(8)
    if kind < 2:
        listed = struct.pack("<4I", *(make.one(0, 5, 1000, 5, 0xFFFFFFFF) for _ in range(4)))
        make.call("setgroups", make.one(0, 1, 2, 3, 4, 65537, -1), At(0), data=listed)
    elif kind < 4:
        make.call(
            "getgroups",
            make.one(0, 1, 4, 8, -1),
            place(make),
            data=bytes(32),
        )
    elif kind == 4:
        make.call(make.random.choice(("getuid", "geteuid", "getgid", "getegid")))
    elif kind == 5:
        make.call("sched_yield")
    elif kind == 6:
        make.call("vhangup")
    else:
        make.call("getpgid", make.pid(), result="pid")


def administer(make: Maker) -> None:
    """What would change the whole machine, so asked that it can't be done; time, lsm_list_modules, sync."""
    kind = make.random.randrange(8)
    if kind == 0:
        make.call("reboot", make.one(0, -1, 0xFEE1DEAD), make.one(0, 1, 672274793 + 1), 0, 0)
    elif kind == 1:
        make.call("acct", place(make), data=make.text(make.random.choice(("none", ".", "/dev/null", ""))))
    elif kind == 2:
        times = struct.pack("<qq", make.one(0, -1), make.one(-1, 1_000_000))
        make.call("settimeofday", place(make), make.one(0, BAD_ADDRESS), data=times)
    elif kind == 3:
        make.call("adjtimex", place(make), data=bytes(208), result="hidden", show=nothing)
    elif kind == 4:
        make.call("time", place(make), data=bytes(8), result="none", show=nothing)
    elif kind == 5:
        size = struct.pack("<I", make.one(0, 4))
        make.call(
            "lsm_list_modules",
            At(8),
            place(make),
            make.one(0, 1, -1),
            data=size.ljust(16, b"\0"),
            show=nothing,
        )
    elif kind == 6:
        make.call("syslog", make.one(-1, 11, 99, 3, 2, 8), make.one(0, BAD_ADDRESS), make.one(-1, 0))
    else:
        make.call("sync")


FAMILIES = (
    *(process_control,) * 8,
    processor_control,
    *(barrier,) * 3,
    *(security_modules,) * 2,
    *(limits,) * 3,
    *(names,) * 2,
    *(older_calls,) * 3,
    *(timers,) * 3,
    *(groups, administer),
    go_on,
)
