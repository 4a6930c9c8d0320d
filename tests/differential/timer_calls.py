"""Random calls on timers and clocks, whose times are past, far away or none: nothing hangs on the present."""

from __future__ import annotations

import struct

from tests.differential.maker import BAD_ADDRESS, Maker, go_on
from tests.differential.process_calls import look_at_process, make_process, send_signal
from tests.differential.script import SLURP, Argument, At, Naming, Pid, Result, Show, Stored, Symbol

CLOCKS = (0, 1, 1, 4, 5, 6, 7, 11, 2, 3)
# Not the alarms' clocks, which a machine without a clock of its own that wakes it hasn't got.
ODD_CLOCKS = (10, 12, 16, 17, -1, -2, -6, -7, 1 << 31)
SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID = 0, 1, 2, 4
TIMER_ABSTIME, TFD_CANCEL_ON_SET = 1, 2
NONBLOCK, CLOEXEC = 0o4000, 0o2000000
FAR = 1_000_000
"""Seconds until something that isn't to happen."""
MOST_ACTORS = 3
NANOSECONDS = (0, 0, 0, 1, 999_999_999, 1_000_000_000, -1)
CAUGHT = (10, 12, 14, 26, 27, 34)
MASK = sum(1 << number - 1 for number in CAUGHT)
SINCE_START = (1, 4, 7)
"""Clocks that haven't come to FAR yet."""
RLIMIT_SIGPENDING, MANY = 11, 5000
PATH_BYTES, FILE_BYTES = 32, 2048


def begin(make: Maker) -> None:
    """Handlers for what timers send, which is blocked: just when it comes is a matter of time."""
    for number in CAUGHT:
        action = struct.pack("<QQQQ", 2, 0x14000004, 0, 0)
        fixups: tuple[tuple[int, int, Argument], ...] = ((0, 8, Symbol()), (16, 8, Symbol(True)))
        make.call("rt_sigaction", number, At(0), 0, 8, data=action, fixups=fixups, show=nothing)
    make.call("rt_sigprocmask", 0, At(0), 0, 8, data=struct.pack("<Q", MASK))


def clock(make: Maker) -> int:
    """A clock, seldom one that there isn't."""
    if make.odds(85):
        return make.random.choice(CLOCKS)
    return make.random.choice(ODD_CLOCKS)


def time(make: Maker) -> tuple[int, int]:
    """Seconds and nanoseconds, none of which will come."""
    return make.one(FAR, FAR, FAR, 0, 0, -1), make.random.choice(NANOSECONDS)


def far_time(make: Maker) -> tuple[int, int]:
    """A time that won't come, or one that can't be."""
    seconds, nanoseconds = time(make)
    return (seconds, nanoseconds) if seconds > 0 or nanoseconds not in {0, 1, 999_999_999} else (FAR, 0)


def approximately(seconds: int, nanoseconds: int) -> str:
    """A time that is left, which hangs on how long the machine has been running."""
    return "0" if seconds == nanoseconds == 0 else "some" if seconds >= 0 else "negative"


def show_setting(at: int) -> Show:
    """A struct itimerspec or itimerval: the interval, and about how much is left."""

    def show(data: bytes, result: int, naming: Naming) -> str:
        if result:
            return ""
        every, every_part, left, left_part = struct.unpack_from("<qqqq", data, at)
        return f"{every}.{every_part} {approximately(left, left_part)}"

    return show


def timer(make: Maker) -> Argument:
    """A timer that was made, or another number."""
    made = [Stored(operation, 64) for operation in make.operations if operation.result == "timer"]
    if made and make.odds(92):
        return make.random.choice(made[-3:])
    return make.one(0, 1, 2, 3, -1, 1 << 31)


def is_of_real_time(which: Argument) -> bool:
    """Whether a timer goes by a clock that doesn't stand still for who sleeps."""
    return isinstance(which, Stored) and which.operation.arguments[0] in {0, 1, 7, 11}


def is_since_start(which: Argument) -> bool:
    """Whether a timer goes by a clock that began with the machine."""
    operation = which.operation if isinstance(which, (Stored, Result)) else None
    return operation is not None and operation.arguments[0] in SINCE_START


def make_timer(make: Maker) -> None:
    """timer_create."""
    notify = make.one(*(SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD_ID) * 3, SIGEV_THREAD, 3, 5, 6, -1)
    number = make.random.choice(CAUGHT) if make.odds(93) else make.one(0, 65, -1, 64)
    event = struct.pack("<Qiii", make.one(0, 5, 1 << 40), number, notify, 0).ljust(64, b"\0")
    which: Argument = At(0) if make.odds(80) else 0
    where: Argument = At(64) if make.odds(97) else BAD_ADDRESS
    fixups = ((16, 4, make.pid()),)
    operation = make.call("timer_create", clock(make), which, where, data=event + b"\xff" * 8, fixups=fixups)
    operation.result = "timer"
    operation.show = lambda data, result, naming: str(struct.unpack_from("<i", data, 64)[0])


def use_timer(make: Maker) -> None:
    """timer_settime, timer_gettime, timer_getoverrun, timer_delete."""
    kind, which = make.random.randrange(10), timer(make)
    if kind < 5:
        every, value = time(make), far_time(make)
        if make.odds(35) and is_of_real_time(which):
            # One that comes at once, and not soon again.
            every, value = (make.one(0, 0, FAR), 0), (0, 1)
        if every == (0, 1) or (every[0] <= 0 and every[1] > 0):
            every = 0, make.one(0, -1, 1_000_000_000)
        flags = make.one(0, 0, 0, TIMER_ABSTIME, 2)
        if flags == TIMER_ABSTIME and every[0] > 0 and not is_since_start(which):
            # How often it has expired since the beginning of time depends on the day.
            every = 0, 0
        data = struct.pack("<qqqq", *every, *value).ljust(64, b"\0")
        old: Argument = At(32) if make.odds(50) else 0
        new: Argument = At(0) if make.odds(97) else make.one(0, BAD_ADDRESS)
        make.call("timer_settime", which, flags, new, old, data=data, show=show_setting(32))
        await_expiry(make)
    elif kind < 8:
        where: Argument = At(0) if make.odds(95) else BAD_ADDRESS
        make.call("timer_gettime", which, where, data=bytes(32), show=show_setting(0))
    elif kind == 8:
        make.call("timer_getoverrun", which)
    else:
        make.call("timer_delete", which)


def use_interval_timer(make: Maker) -> None:
    """setitimer, getitimer, alarm."""
    kind, which = make.random.randrange(8), make.one(0, 0, 1, 2, 3, -1)
    if kind < 4:
        seconds, part = (
            make.one(FAR, FAR, 0, -1, 1 << 60 if which else FAR),
            make.one(0, 0, 999_999, 1_000_000, -1),
        )
        every, every_part = make.one(FAR, 0, 0, -1), make.one(0, 0, 1_000_000, -1)
        if seconds == 0:
            part = make.one(0, 0, 1_000_000, -1)
        comes = which == 0 and make.odds(30)
        if comes:
            every, every_part, seconds, part = make.one(0, FAR), 0, 0, 1
        data = struct.pack("<qqqq", every, every_part, seconds, part) + bytes(32)
        new: Argument = At(0) if make.odds(92) else make.one(0, BAD_ADDRESS)
        old: Argument = At(32) if make.odds(60) else 0
        make.call("setitimer", which, new, old, data=data, show=show_setting(32))
        if comes:
            await_expiry(make)
    elif kind < 7:
        where: Argument = At(0) if make.odds(95) else BAD_ADDRESS
        make.call("getitimer", which, where, data=bytes(32), show=show_setting(0))
    else:
        # What is left of an earlier one is a second less at times.
        make.call("alarm", make.one(0, FAR, 1 << 31, 0xFFFFFFFF), result="hidden")


def use_descriptor(make: Maker) -> None:
    """timerfd_create, timerfd_settime, timerfd_gettime, read, poll, TFD_IOC_SET_TICKS."""
    kind, descriptor = make.random.randrange(14), make.opened_descriptor()
    if kind < 3:
        flags = NONBLOCK | make.bits((CLOEXEC,), (1, 2))
        make.opened(make.call("timerfd_create", clock(make), flags))
    elif kind < 7:
        every, value = time(make), far_time(make)
        flags = make.one(0, 0, 0, TIMER_ABSTIME, TFD_CANCEL_ON_SET, TIMER_ABSTIME | TFD_CANCEL_ON_SET, 4)
        if make.odds(35):
            every, value = (make.one(0, FAR) if is_since_start(descriptor) else 0, 0), (0, 1)
        if every[0] <= 0 and every[1] > 0:
            every = 0, make.one(0, -1, 1_000_000_000)
        if flags & TIMER_ABSTIME and every[0] > 0 and not is_since_start(descriptor):
            every = 0, 0
        data = struct.pack("<qqqq", *every, *value).ljust(64, b"\0")
        old: Argument = At(32) if make.odds(50) else 0
        new: Argument = At(0) if make.odds(97) else make.one(0, BAD_ADDRESS)
        make.call("timerfd_settime", descriptor, flags, new, old, data=data, show=show_setting(32))
        await_expiry(make)
    elif kind < 9:
        make.call("timerfd_gettime", descriptor, At(0), data=bytes(32), show=show_setting(0))
    elif kind < 11:
        make.call("read", descriptor, At(0), make.one(8, 8, 8, 7, 16, 0), data=bytes(16))
    elif kind == 11:
        data = struct.pack("<ihh", 0, make.one(0x7FF, 1, 4), 0)
        make.call("poll", At(0), 1, 0, data=data, fixups=((0, 4, descriptor),), show=show_poll)
    elif kind == 12:
        ticks = struct.pack("<Q", make.one(0, 1, 5, 1 << 63))
        make.call("ioctl", descriptor, 0x40085400, At(0), data=ticks)
    else:
        make.call("lseek", descriptor, 0, make.one(0, 1))


def show_poll(data: bytes, result: int, naming: Naming) -> str:
    """The events."""
    return hex(struct.unpack_from("<H", data, 6)[0])


def nothing(data: bytes, result: int, naming: Naming) -> str:
    """Show nothing."""
    return ""


def place(make: Maker, offset: int) -> Argument:
    """A place in the data, or one that there isn't."""
    return At(offset) if make.odds(60) else make.one(0, 0, BAD_ADDRESS)


def sleep(make: Maker) -> None:
    """nanosleep, clock_nanosleep, and what else waits for no longer than no time."""
    kind = make.random.randrange(8)
    seconds, nanoseconds = make.one(0, 0, 0, -1), make.one(0, 1, 1000, -1, 1_000_000_000)
    data = struct.pack("<qq", seconds, nanoseconds) + bytes(16)
    where: Argument = At(0) if make.odds(95) else BAD_ADDRESS
    if kind < 2:
        make.call("nanosleep", where, place(make, 16), data=data, show=nothing)
    elif kind < 6:
        chosen = clock(make)
        if chosen in {2, 3, -2, -6, -7}:
            # The clocks of processor time stand still for who sleeps.
            chosen = make.one(3, 1) if chosen == 3 else 1
        flags = make.one(0, 0, TIMER_ABSTIME, TIMER_ABSTIME, 2)
        make.call("clock_nanosleep", chosen, flags, where, place(make, 16), data=data, show=nothing)
    elif kind == 6:
        make.call("pselect6", 0, 0, 0, 0, where, 0, data=data, show=nothing)
    else:
        data = struct.pack("<Q", make.one(0x200, 0x2000, 0x6000000, MASK, MASK, 0)) + bytes(128)
        wait = struct.pack("<qq", 0, make.one(0, 1, -1, 1_000_000_000))
        make.call("rt_sigtimedwait", At(0), At(8), At(136), 8, data=data + wait, show=show_caught)


def show_caught(data: bytes, result: int, naming: Naming) -> str:
    """The siginfo of a signal that was awaited."""
    signo, _, code, _, first, overrun, value = struct.unpack_from("<iiiiiiQ", data, 8)
    if result <= 0:
        return ""
    return f"{signo} {code} {overrun} {value}" if code == -2 else f"{signo} {code} {naming.pid(first)}"


def ask_clock(make: Maker) -> None:
    """clock_gettime, clock_getres, clock_settime, clock_adjtime and their older kin."""
    kind, chosen = make.random.randrange(10), clock(make)
    where: Argument = At(0) if make.odds(93) else make.one(0, BAD_ADDRESS)
    if kind < 2:
        make.call("clock_gettime", chosen, where, data=bytes(16), show=nothing)
    elif kind == 2:
        # The number of another's clock is made of its id, which isn't known here: ask for one's own.
        make.call("clock_gettime", make.one(-2, -6, -1, -3), At(0), data=bytes(16), show=nothing)
    elif kind < 5:
        if chosen in {5, 6}:
            chosen = 1
        make.call("clock_getres", chosen, where, data=bytes(16))
    elif kind == 5:
        # Nothing that would be done.
        data = struct.pack("<qq", make.one(-1, 0), make.one(-1, 1_000_000_000))
        make.call("clock_settime", chosen, where, data=data)
    elif kind == 6:
        modes = make.one(0, 0, 0x8000, 0x2000 | 0x8000, 0xA001)
        data = struct.pack("<IIqqqqi", modes, 0, 0, 0, 0, 0, 0).ljust(208, b"\0")
        if modes:
            chosen = make.one(1, 2, 4, 7, 99, -1)
        make.call("clock_adjtime", chosen, where, data=data, show=nothing)
    elif kind == 7:
        make.call("gettimeofday", place(make, 0), 0, data=bytes(16), show=nothing)
    elif kind == 8:
        make.call("times", place(make, 0), data=bytes(32), result="none", show=nothing)
    else:
        make.call("getrusage", make.one(0, -1, 1, -2, 2), where, data=bytes(144), show=nothing)


def await_expiry(make: Maker) -> None:
    """Wait a moment for what comes at once."""
    make.call("nanosleep", At(0), 0, data=struct.pack("<qq", 0, 2_000_000))


def take_signals(make: Maker) -> None:
    """rt_sigpending, and handlers that run."""
    if make.odds(60):
        make.call("rt_sigpending", At(0), 8, data=bytes(8))
        return
    await_expiry(make)
    for how in (1, 0):
        make.call("rt_sigprocmask", how, At(0), 0, 8, data=struct.pack("<Q", MASK))


def ignore(make: Maker) -> None:
    """rt_sigaction: what comes of a timer whose signal is ignored, and no longer."""
    action = struct.pack("<QQQQ", make.one(1, 1, 2), 0x14000004, 0, 0)
    fixups: tuple[tuple[int, int, Argument], ...] = ((16, 8, Symbol(True)),)
    if action[0] == 2:
        fixups = ((0, 8, Symbol()), *fixups)
    number = make.random.choice(CAUGHT)
    make.call("rt_sigaction", number, At(0), 0, 8, data=action, fixups=fixups, show=nothing)


def sleep_long(make: Maker) -> None:
    """Somebody who sleeps until a signal comes, and then is told how much is left."""
    others = [actor for actor in make.actors if actor]
    if not others:
        return
    make.actor = make.random.choice(others)
    if make.odds(60):
        make.call("rt_sigprocmask", 1, At(0), 0, 8, data=struct.pack("<Q", MASK))
    data = struct.pack("<qqqq", FAR, 0, 0, 0) + struct.pack("<QQ", make.one(0x200, 0, MASK), 8)
    left: Argument = At(16) if make.odds(85) else make.one(0, BAD_ADDRESS)
    kind = make.random.randrange(6)
    if kind == 0:
        make.call("nanosleep", At(0), left, data=data, show=show_left)
    elif kind < 4:
        chosen, flags = make.random.choice(((0, 0), (1, 0), (7, 0), (1, TIMER_ABSTIME), (7, TIMER_ABSTIME)))
        make.call("clock_nanosleep", chosen, flags, At(0), left, data=data, show=show_left)
    elif kind == 4:
        make.call("ppoll", 0, 0, At(0), At(32) if make.odds(60) else 0, 8, data=data, show=nothing)
    else:
        make.call("pause")
    if make.odds(70):
        disturb(make)


def show_left(data: bytes, result: int, naming: Naming) -> str:
    """About how much is left of a sleep."""
    return approximately(*struct.unpack_from("<qq", data, 16))


def disturb(make: Maker) -> None:
    """A signal, or a stop and going on."""
    make.actor = 0
    who = Pid(make.random.choice(make.actors))
    number = make.one(*CAUGHT, 18, 18, 19)
    if number == 19:
        who = Pid(make.random.choice(make.actors[1:] or make.actors))
        if who.actor == 0:
            return
        make.call("kill", who, 19)
        number = 18
    make.call("kill", who, number)


def look_at_timers(make: Maker) -> None:
    """/proc/self/timers, and /proc/self/fdinfo of a timer's descriptor."""
    name = "timers" if make.odds(50) else f"fdinfo/{make.random.randrange(5)}"
    path = f"/proc/self/{name}\0".encode()
    make.operation(SLURP, data=path.ljust(PATH_BYTES + FILE_BYTES, b"\0"), show=show_timers, result="none")


def show_timers(data: bytes, result: int, naming: Naming) -> str:
    """Each line, but for what tells where something is, whose it is by number, and how much is left."""
    shown = []
    for line in data[PATH_BYTES : max(result, PATH_BYTES)].decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        value = value.strip()
        if name in {"mnt_id", "ino", "eventfd-id", "Pid", "NSpid"}:
            continue
        # Of what is watched, the file's number and handle.
        hidden = ("ino:", "sdev:", "fhandle", "f_handle:")
        value = " ".join(word for word in value.split() if not word.startswith(hidden))
        if name == "lock":
            # The file's device and number.
            value = " ".join(value.split()[:5] + value.split()[6:])
        elif name == "signal":
            value = value.partition("/")[0]
        elif name == "notify":
            kind, _, pid = value.rpartition(".")
            value = f"{kind}.{naming.pid(int(pid))}"
        elif name == "it_value":
            seconds, part = map(int, value.strip("()").split(","))
            value = approximately(seconds, part)
        shown.append(f"{name}={value}")
    return " ".join(shown)


def limit_signals(make: Maker) -> None:
    """RLIMIT_SIGPENDING: of none, or more than there are."""
    limits = struct.pack("<QQ", make.one(0, MANY, MANY), MANY)
    make.call("prlimit64", 0, RLIMIT_SIGPENDING, At(0), 0, data=limits)
    if make.odds(70):
        make_timer(make)
        make.call("prlimit64", 0, RLIMIT_SIGPENDING, At(0), 0, data=struct.pack("<QQ", MANY, MANY))


def fork(make: Maker) -> None:
    """Another one, or another thread."""
    if len(make.actors) < MOST_ACTORS:
        make_process(make)


FAMILIES = (
    *(make_timer,) * 3,
    *(use_timer,) * 6,
    *(use_interval_timer,) * 3,
    *(use_descriptor,) * 5,
    *(sleep,) * 3,
    *(ask_clock,) * 3,
    *(take_signals,) * 3,
    *(send_signal, fork, look_at_process),
    *(ignore,) * 2,
    *(sleep_long, sleep_long, disturb),
    *(look_at_timers,) * 3,
    limit_signals,
    go_on,
)
