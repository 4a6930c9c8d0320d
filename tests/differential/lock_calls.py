"""Random locks of files among processes, some waited for: of processes, of open file descriptions, flock."""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.differential.descriptor_calls import show_lock
from tests.differential.maker import AT_FDCWD, Maker, go_on
from tests.differential.script import Argument, At, Pid, Symbol

O_RDONLY, O_WRONLY, O_RDWR, O_CREAT = 0, 1, 2, 0o100
F_GETLK, F_SETLK, F_SETLKW, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 5, 6, 7, 36, 37, 38
F_RDLCK, F_WRLCK, F_UNLCK = 0, 1, 2
LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN = 1, 2, 4, 8
SIGUSR1, SA_SIGINFO_RESTORER, SA_RESTART, SIGKILL = 10, 0x04000004, 0x10000000, 9
MOST_ACTORS, SHARED_FILES, WAITER = 4, 0x400, 1
FILES = (b"a\0", b"a\0", b"b\0")


def begin(make: Maker) -> None:
    """Two files, open here and there, and two more processes that have them open, one of which may wait."""
    for name, flags in ((b"a\0", O_RDWR | O_CREAT), (b"b\0", O_RDWR | O_CREAT), (b"a\0", O_RDWR)):
        make.opened(make.call("openat", AT_FDCWD, At(0), flags, 0o644, data=name))
    make.spawn("fork")
    make.spawn("clone", 17 | make.one(0, SHARED_FILES), 0, 0, 0, 0)
    data = struct.pack("<QQQQ", 0, SA_SIGINFO_RESTORER | make.one(0, SA_RESTART), 0, 0)
    make.actor = WAITER
    make.call(
        "rt_sigaction", SIGUSR1, At(0), 0, 8, data=data, fixups=((0, 8, Symbol()), (16, 8, Symbol(True)))
    )
    make.actor = 0


def lock_range(make: Maker) -> None:
    """fcntl."""
    is_waiter = make.actor == WAITER and make.odds(50)
    if is_waiter:
        # Of several who wait, luck decides who is next.
        command = make.one(F_SETLKW, F_OFD_SETLKW)
    else:
        command = make.one(F_GETLK, F_SETLK, F_SETLK, F_SETLK, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLK)
    start, size = make.one(0, 0, 1, 5, 10, 15), make.one(0, 1, 5, 5, 10, -5)
    kind = make.one(F_RDLCK, F_WRLCK, F_WRLCK, F_UNLCK, F_UNLCK)
    whence = make.one(0, 0, 0, 1, 2)
    data = struct.pack("<hhiqqii", kind, whence, 0, start, size, 0, 0)
    make.call("fcntl", make.descriptor(), command, At(0), data=data, show=show_lock)


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
        flags = make.one(O_RDWR, O_RDWR, O_RDONLY, O_WRONLY)
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
        make.call("kill", Pid(WAITER), SIGUSR1)
    elif kind < 8 and len(make.actors) < MOST_ACTORS:
        make.spawn("fork")
    elif kind == 8:
        victim: Argument = Pid(make.random.choice(make.actors[1:]))
        make.call("kill", victim, SIGKILL)


FAMILIES: tuple[Callable[[Maker], None], ...] = (
    *(lock_range,) * 8,
    *(lock_whole,) * 4,
    *(open_file,) * 2,
    move,
    disturb,
    go_on,
)
