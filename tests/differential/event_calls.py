"""Random calls on what waits for events: inotify, signalfd, epoll, eventfd, pidfds, futexes, and aio(7)."""

from __future__ import annotations

import struct

from tests.differential.descriptor_calls import duplicate, read_or_write, show_poll
from tests.differential.file_calls import O_CLOEXEC, O_NONBLOCK
from tests.differential.maker import AT_FDCWD, BAD_ADDRESS, Maker, go_on
from tests.differential.process_calls import end_process, show_waitid
from tests.differential.script import Argument, At, Naming, Operation, Pid, Result, Show, Stored, number_of

MOST_ACTORS, WAITER = 4, 1
IN_ACCESS, IN_MODIFY, IN_ATTRIB, IN_CLOSE_WRITE, IN_CLOSE_NOWRITE, IN_OPEN = 1, 2, 4, 8, 16, 32
IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MOVE_SELF = 64, 128, 256, 512, 1024, 2048
IN_ONLYDIR, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_MASK_CREATE, IN_MASK_ADD, IN_ONESHOT = (
    *(1 << 24, 1 << 25, 1 << 26, 1 << 28, 1 << 29, 1 << 31),
)
IN_ALL = 0xFFF
NAMES = ("a", "a", "b", "b", "d", "d", "d/a", "d/b", "l", "d/", ".", "none")
EVENTS_AT, EVENTS_BYTES = 8, 600
IOCB_BYTES, BUFFER_BYTES = 64, 64
PREAD, PWRITE, FSYNC, FDSYNC, POLL, NOOP, PREADV, PWRITEV = 0, 1, 2, 3, 5, 6, 7, 8
SIGNALS = (10, 10, 12, 17, 34)
P_PIDFD = 3
FUTEX_TID_MASK = 0x3FFFFFFF


def begin(make: Maker) -> None:
    """Some files, and company."""
    make.call("mkdir", At(0), 0o755, data=b"d\0")
    for name in ("a", "d/b"):
        opened = make.call("creat", At(0), 0o644, data=make.text(name))
        make.call("close", Result(opened))
    make.call("symlink", At(0), At(2), data=b"d\0l\0")
    mask = struct.pack("<Q", sum(1 << number - 1 for number in set(SIGNALS)))
    make.call("rt_sigprocmask", 0, At(0), 0, 8, data=mask)
    make.spawn("fork")


def made_by(make: Maker, *names: str) -> list[Operation]:
    """The operations that are such calls."""
    numbers = {number_of(name) for name in names}
    return [operation for operation in make.operations if operation.call in numbers]


def result_of(make: Maker, *names: str) -> Argument:
    """A descriptor that such a call has returned, seldom another."""
    found = made_by(make, *names)
    return Result(make.random.choice(found[-3:])) if found and make.odds(92) else make.opened_descriptor()


# inotify


def watch(make: Maker) -> None:
    """inotify_init1, inotify_add_watch, inotify_rm_watch."""
    kind = make.random.randrange(8)
    if kind < 2:
        flags = O_NONBLOCK | make.bits((O_CLOEXEC,), (1, 2))
        make.opened(make.call("inotify_init1", flags))
    elif kind < 7:
        mask = make.one(IN_ALL, IN_ALL, IN_OPEN | IN_CLOSE_NOWRITE, IN_CREATE | IN_DELETE, IN_MODIFY, 0)
        odd = (IN_ONLYDIR, IN_DONT_FOLLOW, IN_EXCL_UNLINK, IN_MASK_CREATE, IN_MASK_ADD, IN_ONESHOT, 1 << 27)
        mask |= make.bits((), odd, 30) | make.bits((), (IN_MASK_ADD | IN_MASK_CREATE, 1 << 14, 1 << 30), 6)
        name = make.text(make.random.choice(NAMES))
        make.call("inotify_add_watch", result_of(make, "inotify_init1"), At(0), mask, data=name)
    else:
        added = made_by(make, "inotify_add_watch")
        which: Argument = (
            Result(make.random.choice(added)) if added and make.odds(85) else make.one(0, 1, 99, -1)
        )
        make.call("inotify_rm_watch", result_of(make, "inotify_init1"), which)


def read_events(make: Maker) -> None:
    """read and FIONREAD of what was watched."""
    if make.odds(15):
        make.call("ioctl", result_of(make, "inotify_init1"), 0x541B, At(0), data=bytes(4))
        return
    length = make.one(EVENTS_BYTES, EVENTS_BYTES, EVENTS_BYTES, 16, 15, 32, 0)
    data = bytes(EVENTS_AT + EVENTS_BYTES)
    make.call("read", result_of(make, "inotify_init1"), At(EVENTS_AT), length, data=data, show=show_events)


def show_events(data: bytes, result: int, naming: Naming) -> str:
    """What has happened, with cookies called by when they appear."""
    at, shown, cookies = EVENTS_AT, [], dict[int, int]()
    while at + 16 <= EVENTS_AT + result:
        which, mask, cookie, length = struct.unpack_from("<iIII", data, at)
        name = data[at + 16 : at + 16 + length].rstrip(b"\0").decode("latin-1")
        number = cookies.setdefault(cookie, len(cookies) + 1) if cookie else 0
        shown.append(f"{which} {mask:x} {number} {length} {name}")
        at += 16 + length
    return "; ".join(shown)


def touch_files(make: Maker) -> None:
    """What those who watch are told of."""
    kind = make.random.randrange(14)
    name, other = (make.text(make.random.choice(NAMES)) for _ in range(2))
    if kind < 3:
        flags = make.one(0, 1, 2) | make.bits((0o100, 0o1000, 0o2000), (0o200000, 0o10000000))
        make.opened(make.call("openat", AT_FDCWD, At(0), flags, 0o644, data=name))
    elif kind < 5:
        make.call("rename", At(0), At(16), data=name.ljust(16, b"\0") + other)
    elif kind == 5:
        make.call("link", At(0), At(16), data=name.ljust(16, b"\0") + other)
    elif kind == 6:
        make.call("unlink", At(0), data=name)
    elif kind == 7:
        make.call(make.random.choice(("mkdir", "rmdir")), At(0), 0o755, data=name)
    elif kind == 8:
        make.call("chmod", At(0), make.one(0o644, 0o755), data=name)
    elif kind == 9:
        make.call("truncate", At(0), make.one(0, 5, 5000), data=name)
    elif kind == 10:
        times = struct.pack("<qqqq", 5, make.one(5, (1 << 30) - 2), 6, make.one(6, (1 << 30) - 2))
        make.call("utimensat", AT_FDCWD, At(0), At(16), 0, data=name.ljust(16, b"\0") + times)
    elif kind == 11:
        make.call("close", make.opened_descriptor())
    elif kind == 12:
        make.call("write", make.opened_descriptor(), At(0), make.one(0, 5), data=b"hello")
    else:
        make.call("read", make.opened_descriptor(), At(0), make.one(0, 5, 8), data=bytes(8))


# signalfd, eventfd


def take_signals(make: Maker) -> None:
    """signalfd4, and who signals."""
    kind = make.random.randrange(8)
    mask = struct.pack("<Q", make.one(0x200, 0xA00, 0x10A00, 0x200000A00, 0, 1 << 8 | 1 << 18))
    if kind < 2:
        flags = O_NONBLOCK | make.bits((O_CLOEXEC,), (1, 2))
        make.opened(make.call("signalfd4", -1, At(0), make.one(8, 8, 8, 4, 16), flags, data=mask))
    elif kind == 2:
        make.call("signalfd4", result_of(make, "signalfd4"), At(0), 8, make.one(O_NONBLOCK, 0), data=mask)
    elif kind < 5:
        length = make.one(128, 128, 256, 127, 0)
        make.call("read", result_of(make, "signalfd4"), At(0), length, data=bytes(256), show=show_signals)
    elif kind < 7:
        make.call("kill", Pid(make.random.choice(make.actors)), make.random.choice(SIGNALS))
    else:
        make.call("tkill", Pid(make.random.choice(make.actors)), make.random.choice(SIGNALS))


def show_signals(data: bytes, result: int, naming: Naming) -> str:
    """Each struct signalfd_siginfo that was read."""
    shown = []
    for at in range(0, max(result, 0), 128):
        number, _, code, pid, uid = struct.unpack_from("<IiiII", data, at)
        status = struct.unpack_from("<i", data, at + 40)[0]
        shown.append(f"{number} {code} {naming.pid(pid)} {uid} {status}")
    return "; ".join(shown)


def count(make: Maker) -> None:
    """eventfd2, and its counter."""
    kind = make.random.randrange(6)
    if kind < 2:
        flags = O_NONBLOCK | make.bits((1, O_CLOEXEC), (2, 0o200))
        make.opened(make.call("eventfd2", make.one(0, 1, 5, 0xFFFFFFFF), flags))
    elif kind < 4:
        value = struct.pack("<Q", make.one(0, 1, 1, 7, (1 << 64) - 2, (1 << 64) - 1))
        make.call(
            "write", result_of(make, "eventfd2"), At(0), make.one(8, 8, 8, 4, 16), data=value + bytes(8)
        )
    else:
        make.call("read", result_of(make, "eventfd2"), At(0), make.one(8, 8, 16, 7), data=bytes(16))


# epoll


def poll_events(make: Maker) -> None:
    """epoll_create1, epoll_ctl, epoll_pwait, epoll_pwait2, poll."""
    kind = make.random.randrange(12)
    if kind < 2:
        make.opened(make.call("epoll_create1", make.bits((O_CLOEXEC,), (1, O_NONBLOCK))))
    elif kind < 7:
        events = make.one(1, 4, 5, 0x2019, 0x1F) | make.bits((1 << 31, 1 << 30), (1 << 28, 1 << 29), 15)
        event = struct.pack("<IQ", events, make.one(7, 8, 9))
        where: Argument = At(0) if make.odds(95) else make.one(0, BAD_ADDRESS)
        target = make.opened_descriptor() if make.odds(80) else result_of(make, "epoll_create1")
        make.call(
            "epoll_ctl",
            result_of(make, "epoll_create1"),
            make.one(1, 1, 1, 2, 3, 4),
            target,
            where,
            data=event,
        )
    elif kind < 9:
        most = make.one(4, 4, 1, 0, -1)
        make.call(
            "epoll_pwait",
            result_of(make, "epoll_create1"),
            At(0),
            most,
            0,
            0,
            make.one(0, 8, 4),
            data=bytes(48),
        )
    elif kind == 9:
        time = struct.pack("<qq", make.one(0, 0, 0, -1), make.one(0, 0, 1_000_000_000))
        data = bytes(48) + time + struct.pack("<Q", 0)
        mask: Argument = At(64) if make.odds(20) else 0
        size = make.one(8, 8, 4)
        make.call("epoll_pwait2", result_of(make, "epoll_create1"), At(0), 4, At(48), mask, size, data=data)
    elif kind == 10:
        request = make.one(0x80088A02, 0x40088A01, 0x8A00)
        data = struct.pack("<IHBB", make.one(0, 100, 1 << 31), make.one(0, 8, 65), make.one(0, 1, 2), 0)
        make.call("ioctl", result_of(make, "epoll_create1"), request, At(0), data=data)
    else:
        data = struct.pack("<iHH", -1, make.one(1, 4, 5, 0x3F), 0x55)
        fixups = ((0, 4, make.opened_descriptor()),)
        make.call("poll", At(0), 1, 0, data=data, fixups=fixups, show=show_poll)


# pidfds


def use_pidfd(make: Maker) -> None:
    """pidfd_open, pidfd_getfd, pidfd_send_signal, waitid(P_PIDFD), kcmp, process_mrelease."""
    kind = make.random.randrange(10)
    if kind < 3:
        make.call("pidfd_open", make.pid(), make.one(0, 0, 0x800, 0x80, 1), result="pidfd")
        return
    descriptor = result_of(make, "pidfd_open")
    if kind < 5:
        make.opened(make.call("pidfd_getfd", descriptor, make.opened_descriptor(), make.one(0, 0, 0, 1)))
    elif kind == 5:
        make.call("pidfd_send_signal", descriptor, make.random.choice(SIGNALS), 0, make.one(0, 0, 1, 2, 4, 8))
    elif kind == 6:
        options = 1 | make.one(4, 4, 2, 8, 0)
        make.call("waitid", P_PIDFD, descriptor, At(0), options, 0, data=b"\x55" * 32, show=show_waitid)
    elif kind == 7:
        what = make.one(0, 0, 1, 2, 3, 4, 5, 6, 8, -1)
        places = (make.opened_descriptor(), make.opened_descriptor()) if what == 0 else (0, 0)
        # Only whether they're the same: which is greater is a matter of addresses.
        make.call("kcmp", make.pid(), make.pid(), what, *places, result="equal")
    elif kind == 8:
        make.call("process_mrelease", descriptor, make.one(0, 0, 1))
    else:
        data = struct.pack("<iHH", -1, 1, 0x55)
        make.call("poll", At(0), 1, 0, data=data, fixups=((0, 4, descriptor),), show=show_poll)


# Futexes


def use_futex(make: Maker) -> None:
    """futex(2) and its newer kin; whoever waits has a time that is over at once."""
    private = make.one(0, 0x80)
    kind = make.random.randrange(14)
    data = struct.pack("<IIIIqq", 0, 1, 2, 0, 0, make.one(0, 0, 1, -1))
    where: Argument = At(make.one(0, 4, 8, 12)) if make.odds(93) else make.one(0, 1, BAD_ADDRESS)
    if kind < 4:
        # With a time that is over at once.
        operation, mask = make.random.choice(((0, 0), (9, 1), (9, 0), (9, -1), (6, 0), (13, 0), (8, 0)))
        flags = make.one(0, 0, 0x100) if operation in {9, 13} else 0
        if operation in {6, 8, 13}:
            # Who has it is a task's id: nobody's.
            where = At(make.one(0, 12))
        make.call(
            "futex",
            where,
            operation | private | flags,
            make.one(0, 0, 1, 2),
            At(16),
            0,
            mask,
            data=data,
            show=show_owners if operation in {6, 8, 13} else None,
        )
    elif kind < 6:
        make.call(
            "futex",
            where,
            make.one(1, 10, 7) | private,
            make.one(0, 1, -1),
            0,
            0,
            make.one(0, 1, -1),
            data=data,
        )
    elif kind < 8:
        other: Argument = At(make.one(0, 4, 8, 13))
        make.call("futex", where, make.one(3, 4, 12) | private, make.one(0, 1, -1), make.one(0, 1, -1), other,
                  make.one(0, 1, 2), data=data)  # fmt: skip
    elif kind == 8:
        encoded = make.one(0, 0x1000000, 0x21002003, 0x80001001, 0x50000000, 0x06000000)
        make.call("futex", where, 5 | private, 1, 1, At(4), encoded, data=data)
    elif kind == 9:
        # Those of nodes (4) and their policies (8) are of Linux 6.16.
        flags = make.one(2, 2, 0x82, 0, 1, 3, 0x22, 0x12)
        time: Argument = At(16)
        make.call(
            "futex_wait",
            where,
            make.one(0, 0, 1),
            make.one(-1, 1, 0, 1 << 32),
            flags,
            time,
            make.one(1, 0, 11),
            data=data,
        )
    elif kind == 10:
        make.call("futex_wake", where, make.one(-1, 1, 0), make.one(0, 1, -1), make.one(2, 0x82, 3, 0))
    elif kind == 11:
        waits = struct.pack("<QQII", make.one(0, 1), 0, make.one(2, 0x82, 0), make.one(0, 0, 1)) * 2
        fixups: tuple[tuple[int, int, Argument], ...] = ((8, 8, At(64)), (32, 8, At(68)))
        content = waits.ljust(64, b"\0") + data
        size = make.one(1, 2, 0, 129)
        make.call(
            "futex_waitv",
            At(0),
            size,
            make.one(0, 0, 1),
            At(80),
            make.one(1, 0, 11),
            data=content,
            fixups=fixups,
            show=nothing,
        )
    elif kind == 12:
        waits = struct.pack("<QQII", make.one(0, 1), 0, make.one(2, 0x82, 0), make.one(0, 0, 1)) * 2
        fixups = ((8, 8, At(64)), (32, 8, At(68)))
        content = waits.ljust(64, b"\0") + data
        make.call(
            "futex_requeue",
            At(0),
            make.one(0, 0, 1),
            make.one(0, 1, -1),
            make.one(0, 1, -1),
            data=content,
            fixups=fixups,
            show=nothing,
        )
    else:
        make.call("futex", where, make.one(2, 11, 14, 15, 0x100, 6 | 0x100) | private, 0, 0, 0, 0, data=data)


def show_owners(data: bytes, result: int, naming: Naming) -> str:
    """Whose the four futexes are."""
    words = struct.unpack_from("<4I", data)
    return " ".join(f"{word >> 30}:{naming.group(word & FUTEX_TID_MASK)}" for word in words)


def nothing(data: bytes, result: int, naming: Naming) -> str:
    """Show nothing."""
    return ""


# Asynchronous I/O


def use_aio(make: Maker) -> None:
    """io_setup, io_submit, io_getevents, io_cancel, io_destroy."""
    kind = make.random.randrange(10)
    contexts: list[Argument] = [Result(operation) for operation in made_by(make, "io_setup")]
    if kind < 2 and len(contexts) < 3:
        data = struct.pack("<Q", make.one(0, 0, 0, 5)).ljust(16, b"\0")
        make.call("io_setup", make.one(1, 5, 5, 0, -1, 1 << 30), At(0), data=data, show=nothing)
        return
    if not made_by(make, "io_setup"):
        return
    # A context's number is an address, which is kept in the data of the call that made it.
    made = make.random.choice(made_by(make, "io_setup"))
    if kind < 6:
        submit(make, made)
    elif kind < 9:
        data = bytes(8) + bytes(128) + struct.pack("<qq", 0, 0)
        least, most = make.one(0, 0, 1, 2, -1), make.one(1, 4, 4, 0, -1)
        name = make.random.choice(("io_getevents", "io_pgetevents"))
        make_with_context(make, made, name, least, most, At(8), At(136), 0, data=data, show=show_completions)
    else:
        make_with_context(make, made, "io_destroy", data=bytes(8))


def make_with_context(
    make: Maker, made: Operation, name: str, *arguments: Argument, data: bytes, show: Show | None = None
) -> None:
    """A call on a context."""
    make.call(name, Stored(made, 0, is_word=True), *arguments, data=data, show=show)


def submit(make: Maker, made: Operation) -> None:
    """One or two requests."""
    number = make.one(1, 1, 2)
    data = bytearray(16 + number * (IOCB_BYTES + BUFFER_BYTES))
    fixups: list[tuple[int, int, Argument]] = []
    for at in range(number):
        place = 16 + at * (IOCB_BYTES + BUFFER_BYTES)
        buffer = place + IOCB_BYTES
        operation = make.one(PREAD, PREAD, PWRITE, PWRITE, FSYNC, POLL, NOOP, PREADV, 9, 4)
        length = make.one(0, 5, 20, -1) if operation in {PREAD, PWRITE} else make.one(0, 1)
        if operation == FSYNC:
            # When a disk has done its work is a matter of time.
            operation, length = PREAD, 5
        flags = make.one(0, 0, 0, 0, 1, 2)
        where, priority = make.one(0, 0, 3, -1), make.one(0, 0, 0, 1)
        fields = (5 + at, 0, 0, operation, 0, 0, 0, length & (1 << 64) - 1, where, priority, flags, 0)
        struct.pack_into("<QIIHhIQQqQII", data, place, *fields)
        data[buffer : buffer + 20] = bytes(range(1, 21))
        fixups += [
            (8 * at, 8, At(place)),
            (place + 20, 4, make.opened_descriptor()),
            (place + 24, 8, At(buffer)),
        ]
        if flags & 1:
            fixups.append((place + 60, 4, result_of(make, "eventfd2")))
    count_said = make.one(number, number, number, 0, -1)
    make.call(
        "io_submit",
        Stored(made, 0, is_word=True),
        count_said,
        At(0),
        data=bytes(data),
        fixups=tuple(fixups),
        show=nothing,
    )


def show_completions(data: bytes, result: int, naming: Naming) -> str:
    """Each struct io_event, sorted."""
    shown = [struct.unpack_from("<QQqq", data, 8 + 32 * at) for at in range(max(result, 0))]
    return "; ".join(sorted(f"{one} {value} {other}" for one, _, value, other in shown))


def wait_for_events(make: Maker) -> None:
    """One who waits without an end: epoll_pwait, poll, and reading what has nothing yet."""
    make.actor = WAITER
    kind = make.random.randrange(8)
    if kind < 4:
        epoll = result_of(make, "epoll_create1")
        make.call("epoll_pwait", epoll, At(0), make.one(4, 1), -1, 0, 8, data=bytes(48))
    elif kind < 6:
        data = struct.pack("<iHH", -1, make.one(1, 1, 4, 5), 0x55)
        make.call("poll", At(0), 1, -1, data=data, fixups=((0, 4, make.opened_descriptor()),), show=show_poll)
    else:
        flags = struct.pack("<i", make.one(0, 0, 1))
        descriptor = make.opened_descriptor()
        make.call("ioctl", descriptor, 0x5421, At(0), data=flags, result="ioctl")
        make.call("read", descriptor, At(8), 8, data=bytes(16))


def fork(make: Maker) -> None:
    """One more."""
    if len(make.actors) < MOST_ACTORS:
        make.spawn("clone", 17 | make.one(0, 0, 0x400), 0, 0, 0, 0)


def make_pipe(make: Maker) -> None:
    """A pipe."""
    made = make.call("pipe2", At(0), O_NONBLOCK, data=bytes(8), show=nothing)
    make.descriptors += [Stored(made, 0), Stored(made, 4)]


FAMILIES = (
    *(watch, watch, read_events, read_events, touch_files, touch_files, touch_files) * 3,
    *(take_signals, count, use_pidfd, use_futex) * 4,
    *(poll_events,) * 8,
    *(use_aio,) * 4,
    *(wait_for_events,) * 4,
    *(fork, make_pipe, make_pipe, end_process, read_or_write, duplicate),
    go_on,
)
