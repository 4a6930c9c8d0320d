"""Random leases of files, notices of directories, and looks at locks: with those of lock_calls.py."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.differential.maker import AT_FDCWD, Maker
from tests.differential.script import SLURP, Argument, At, Naming, Result, Symbol

F_SETSIG, F_SETLEASE, F_GETLEASE, F_NOTIFY = 10, 1024, 1025, 1026
F_RDLCK, F_WRLCK, F_UNLCK = 0, 1, 2
O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_NONBLOCK, O_PATH = 0, 1, 2, 0o100, 0o1000, 0o4000, 0o10000000
O_DIRECTORY = 0o200000
SIGIO, SIGRTMIN, SA_SIGINFO_RESTORER = 29, 34, 0x04000004
DN_EVENTS, DN_MULTISHOT = (1, 2, 4, 8, 0x10, 0x20), 1 << 31
PATH_BYTES, FILE_BYTES = 32, 1024
WAITER = 1
NAMES = (b"a\0", b"a\0", b"b\0", b"c\0", b"d/a\0")


def catch_notices(make: Maker) -> None:
    """Handlers for what leases and directories tell by, and a directory to watch."""
    for number in (SIGIO, SIGRTMIN):
        data = struct.pack("<QQQQ", 2, SA_SIGINFO_RESTORER, 0, 0)
        fixups: tuple[tuple[int, int, Argument], ...] = ((0, 8, Symbol()), (16, 8, Symbol(True)))
        make.call("rt_sigaction", number, At(0), 0, 8, data=data, fixups=fixups)
    make.call("mkdir", At(0), 0o755, data=b"d\0")


def lease(make: Maker) -> None:
    """F_SETLEASE, F_GETLEASE, on descriptors that there are or on one of the caller's own."""
    descriptor = make.descriptor()
    if make.odds(50):
        flags = make.one(O_RDONLY, O_RDONLY, O_RDONLY, O_WRONLY, O_RDWR) | O_NONBLOCK
        name = make.random.choice(NAMES)
        opened = make.call("openat", AT_FDCWD, At(0), flags, 0o644, data=name)
        make.opened(opened)
        descriptor = Result(opened)
        if make.odds(20):
            make.call("fcntl", descriptor, F_SETSIG, make.one(0, SIGRTMIN, SIGIO))
    if make.odds(75):
        kind = make.one(*(F_RDLCK, F_WRLCK) * 4, *(F_UNLCK,) * 3, 3, -1)
        make.call("fcntl", descriptor, F_SETLEASE, kind)
    if make.odds(40):
        make.call("fcntl", descriptor, F_GETLEASE, 0)


def break_lease(make: Maker) -> None:
    """Opening and shortening files, for which who has a lease is asked."""
    name = make.random.choice(NAMES)
    kind = make.random.randrange(8)
    if kind < 5:
        flags = make.one(O_RDONLY, O_WRONLY, O_RDWR) | make.bits((O_TRUNC, O_CREAT), (O_PATH,), 10)
        if make.actor != WAITER or make.odds(60):
            flags |= O_NONBLOCK
        make.opened(make.call("openat", AT_FDCWD, At(0), flags, 0o644, data=name))
    elif kind == 5:
        make.actor = WAITER
        make.call("truncate", At(0), make.one(0, 10), data=name)
    else:
        make.call("close", make.opened_descriptor())


def watch_directory(make: Maker) -> None:
    """F_NOTIFY."""
    flags = O_RDONLY | O_DIRECTORY
    if make.odds(40):
        opened = make.opened(
            make.call("openat", AT_FDCWD, At(0), flags, 0, data=make.random.choice((b".\0", b"d\0")))
        )
        descriptor: Argument = Result(opened)
        if make.odds(70):
            make.call("fcntl", descriptor, F_SETSIG, make.one(0, SIGRTMIN, SIGRTMIN))
    else:
        descriptor = make.descriptor()
    events = make.bits(DN_EVENTS, (0x40, 1 << 30)) | (DN_MULTISHOT if make.odds(60) else 0)
    make.call("fcntl", descriptor, F_NOTIFY, events)


def change_directory(make: Maker) -> None:
    """What a watched directory tells of."""
    name, other = (make.random.choice(NAMES) for _ in range(2))
    kind = make.random.randrange(9)
    if kind < 2:
        flags = O_CREAT | O_NONBLOCK | make.one(O_RDWR, O_WRONLY)
        make.opened(make.call("openat", AT_FDCWD, At(0), flags, 0o644, data=name))
    elif kind == 2:
        make.call("unlink", At(0), data=name)
    elif kind == 3:
        make.call("rename", At(0), At(8), data=name.ljust(8, b"\0") + other)
    elif kind == 4:
        make.call("chmod", At(0), make.one(0o644, 0o600), data=name)
    elif kind == 5:
        make.call("link", At(0), At(8), data=name.ljust(8, b"\0") + other)
    elif kind == 6:
        make.call("write", make.descriptor(), At(0), make.one(0, 3), data=b"abc")
    elif kind == 7:
        make.call("read", make.descriptor(), At(0), make.one(0, 3), data=bytes(3), result="int")
    else:
        below = make.random.choice((b"e\0", b"d/e\0"))
        make.call(make.random.choice(("mkdir", "rmdir")), At(0), 0o755, data=below)


def look_at_locks(make: Maker) -> None:
    """/proc/self/fdinfo: the locks and leases of a file that is open."""
    path = f"/proc/self/fdinfo/{make.random.randrange(8)}\0".encode()
    make.operation(SLURP, data=path.ljust(PATH_BYTES + FILE_BYTES, b"\0"), show=show_locks, result="none")


def show_locks(data: bytes, result: int, naming: Naming) -> str:
    """The place, the flags, and each lock without its file's number."""
    shown = []
    for line in data[PATH_BYTES : max(result, PATH_BYTES)].decode("latin-1").splitlines():
        words = line.split()
        if words[0] == "lock:":
            pid = int(words[5])
            words[5] = str(pid) if pid <= 0 else naming.pid(pid)
            shown.append(" ".join((*words[1:6], *words[7:])))
        elif words[0] in {"pos:", "flags:"}:
            shown.append(words[1])
    return "; ".join(shown)


FAMILIES: tuple[Callable[[Maker], None], ...] = (
    *(lease,) * 3,
    *(break_lease,) * 2,
    *(watch_directory,) * 2,
    *(change_directory,) * 3,
    *(look_at_locks,) * 3,
)
