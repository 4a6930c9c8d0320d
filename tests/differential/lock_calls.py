"""Random locks of files among processes, some waited for: of processes, of open file descriptions, flock."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.differential import lease_calls
from tests.differential.descriptor_calls import show_lock
from tests.differential.lease_calls import catch_notices
from tests.differential.maker import AT_FDCWD, Maker, go_on
from tests.differential.script import Argument, At, Pid, Result, Symbol

O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_NONBLOCK = 0, 1, 2, 0o100, 0o4000
F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 5, 6, 7, 36, 37, 38
F_RDLCK, F_WRLCK, F_UNLCK = 0, 1, 2
LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN = 1, 2, 4, 8
SIGUSR1, SA_SIGINFO_RESTORER, SA_RESTART, SIGKILL = 10, 0x04000004, 0x10000000, 9
MOST_ACTORS, SHARED_FILES, WAITER, SECOND_WAITER = 5, 0x400, 1, 3
FILES = (b"a\0", b"a\0", b"b\0")
ENDS = ((1 << 63) - 1, (1 << 63) - 2, -(1 << 63), 1 - (1 << 63), -1, 0, 1, 1 << 62)


def begin(make: Maker) -> None:
    """Two files, open here and there, and three more processes that have them open, two of which may wait."""
    catch_notices(make)
    for name, flags in ((b"a\0", O_RDWR | O_CREAT), (b"b\0", O_RDWR | O_CREAT), (b"a\0", O_RDWR)):
        make.opened(make.call("openat", AT_FDCWD, At(0), flags, 0o644, data=name))
    make.spawn("fork")
    make.spawn("clone", 17 | make.one(0, SHARED_FILES), 0, 0, 0, 0)
    make.spawn("fork")
    for make.actor in (WAITER, SECOND_WAITER):
        data = struct.pack("<QQQQ", 0, SA_SIGINFO_RESTORER | make.one(0, SA_RESTART), 0, 0)
        fixups: tuple[tuple[int, int, Argument], ...] = ((0, 8, Symbol()), (16, 8, Symbol(True)))
        make.call("rt_sigaction", SIGUSR1, At(0), 0, 8, data=data, fixups=fixups)
    make.actor = 0


def lock_range(make: Maker) -> None:
    """fcntl."""
    is_waiter = make.actor == WAITER and make.odds(50)
    if is_waiter:
        # Of several who wait, luck decides who is next.
        command = make.one(F_SETLKW, F_OFD_SETLKW)
    else:
        command = make.one(F_GETLK, F_SETLK, F_SETLK, F_SETLK, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLK)
    make.call("fcntl", make.descriptor(), command, At(0), data=a_range(make), show=show_lock)


def a_range(make: Maker) -> bytes:
    """A struct flock."""
    start, size = make.one(0, 0, 1, 5, 10, 15), make.one(0, 1, 5, 5, 10, -5)
    kind = make.one(F_RDLCK, F_WRLCK, F_WRLCK, F_UNLCK, F_UNLCK)
    whence, pid = make.one(0, 0, 0, 1, 2), 0
    if make.odds(6):
        start, size = make.one(*ENDS), make.one(*ENDS)
    elif make.odds(4):
        kind, whence, pid = make.one(0, 1, 3, -1), make.one(0, 3, -1), make.one(0, 0x3FFFFFFF)
    return struct.pack("<hhiqqii", kind, whence, 0, start, size, pid, 0)


def wait_crosswise(make: Maker) -> None:
    """Two who wait for what the other has: one of a file, the second of the other, so that none compete."""
    for make.actor, name, other in ((WAITER, b"a\0", b"b\0"), (SECOND_WAITER, b"b\0", b"a\0")):
        if make.odds(30):
            continue
        if make.odds(60):
            mine = make.call("openat", AT_FDCWD, At(0), O_RDWR, 0, data=other)
            data = struct.pack("<hhiqqii", make.one(F_RDLCK, F_WRLCK), 0, 0, make.one(0, 5), 5, 0, 0)
            make.call("fcntl", Result(mine), F_SETLK, At(0), data=data, show=show_lock)
        opened = make.call("openat", AT_FDCWD, At(0), O_RDWR, 0, data=name)
        command = make.one(F_SETLKW, F_SETLKW, F_OFD_SETLKW)
        make.call("fcntl", Result(opened), command, At(0), data=a_range(make), show=show_lock)


def lock_whole(make: Maker) -> None:
    """flock."""
    how = make.one(LOCK_SH, LOCK_EX, LOCK_EX, LOCK_UN, LOCK_UN)
    if make.actor != WAITER or make.odds(50):
        how |= LOCK_NB
    make.call("flock", make.descriptor(), how)


def open_file(make: Maker) -> None:
    """open, dup, dup2, close: which locks go with that."""
    kind = make.random.randrange(6)
    if kind < 2:
        flags = make.one(O_RDWR, O_RDWR, O_RDONLY, O_WRONLY) | O_NONBLOCK
        name = make.random.choice(FILES)
        make.opened(make.call("openat", AT_FDCWD, At(0), flags, 0o644, data=name))
    elif kind == 2:
        make.opened(make.call("dup", make.descriptor()))
    elif kind == 3:
        make.call("dup2", make.descriptor(), make.descriptor())
    else:
        make.call("close", make.opened_descriptor())


def move(make: Maker) -> None:
    """What SEEK_CUR and SEEK_END mean."""
    if make.odds(50):
        make.call("lseek", make.descriptor(), make.one(0, 5, 10), 0)
    else:
        make.call("ftruncate", make.descriptor(), make.one(0, 10, 20))


def disturb(make: Maker) -> None:
    """A signal to who waits; another process, or one less."""
    kind = make.random.randrange(12)
    if kind < 6:
        make.call("kill", Pid(make.one(WAITER, WAITER, SECOND_WAITER)), SIGUSR1)
    elif kind < 8 and len(make.actors) < MOST_ACTORS:
        make.spawn("fork")
    elif kind == 8:
        victim: Argument = Pid(make.random.choice(make.actors[1:]))
        make.call("kill", victim, SIGKILL)


FAMILIES: tuple[Callable[[Maker], None], ...] = (
    *(lock_range,) * 8,
    *(lock_whole,) * 4,
    *(open_file,) * 2,
    wait_crosswise,
    *lease_calls.FAMILIES,
    move,
    disturb,
    go_on,
)
