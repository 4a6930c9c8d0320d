"""Random calls on what waits for events, beside event_calls.py: select, signals of files, fdinfo."""

from __future__ import annotations

import struct

from tests.differential.event_calls import NAMES, SIGNALS, made_by, nothing, result_of
from tests.differential.maker import AT_FDCWD, BAD_ADDRESS, Maker
from tests.differential.script import SLURP, Argument, At, Naming, Pid, Result, Stored

PATH_BYTES, FILE_BYTES = 32, 1024
F_GETFL, F_SETFL, F_SETOWN, F_GETOWN, F_SETSIG, F_GETSIG, F_SETOWN_EX, F_GETOWN_EX = (
    3,
    4,
    8,
    9,
    10,
    11,
    15,
    16,
)
O_NONBLOCK, O_ASYNC = 0o4000, 0o20000
_UNTOLD = ("mnt_id:", "ino:", "eventfd-id:", "Pid:", "NSpid:", "aio-nr")


def select(make: Maker) -> None:
    """pselect6, with sets, times and masks that fit or don't."""
    sets = [make.one(0, 0, 1, 0xFF, 0xFFF, 0x5A, 1 << 63) for _ in range(3)]
    data = b"".join(struct.pack("<Q", bits & (1 << 64) - 1) for bits in sets)
    data += struct.pack("<qqQQQ", make.one(0, 0, 0, -1), make.one(0, 0, 1, 1_000_000_000), 0, 8, 0x200)
    places: list[Argument] = [At(8 * at) if make.odds(55) else 0 for at in range(3)]
    if make.odds(5):
        places[make.random.randrange(3)] = BAD_ADDRESS
    count = make.one(0, 1, 8, 12, 64, 64, -1)
    mask: Argument = At(40) if make.odds(25) else 0
    fixups: tuple[tuple[int, int, Argument], ...] = ((40, 8, At(56)),) if make.odds(80) else ()
    make.call("pselect6", count, *places, At(24), mask, data=data, fixups=fixups, show=show_sets)


def show_sets(data: bytes, result: int, naming: Naming) -> str:
    """What is left of the three sets."""
    return data[:24].hex()


def poll_masked(make: Maker) -> None:
    """ppoll of several, with a mask."""
    count = make.one(1, 2, 3)
    data = b"".join(struct.pack("<iHH", -1, make.one(1, 4, 5, 0x3FF), 0x55) for _ in range(3))
    data += struct.pack("<qqQ", make.one(0, 0, -1), make.one(0, 0, 1_000_000_000), make.one(0, 0x200))
    fixups = tuple((8 * at, 4, make.opened_descriptor()) for at in range(count))
    size = make.one(8, 8, 8, 4, 16)
    mask: Argument = At(40) if make.odds(40) else 0
    said = count if make.odds(95) else make.one(-1, 65, 0)
    make.call("ppoll", At(0), said, At(24), mask, size, data=data, fixups=fixups, show=show_events)


def show_events(data: bytes, result: int, naming: Naming) -> str:
    """What each is ready for."""
    return " ".join(f"{struct.unpack_from('<H', data, 8 * at + 6)[0]:x}" for at in range(3))


def be_told(make: Maker) -> None:
    """fcntl: whom a file signals, by which signal, and that it does."""
    kind = make.random.randrange(12)
    descriptor = result_of(make, "inotify_init1", "eventfd2", "signalfd4", "epoll_create1")
    if make.odds(35):
        descriptor = make.opened_descriptor()
    if kind < 3:
        make.call("fcntl", descriptor, F_SETOWN, Pid(make.random.choice(make.actors)))
    elif kind < 5:
        make.call("fcntl", descriptor, F_SETSIG, make.one(*SIGNALS, 0, 0, 29, 65, -1))
    elif kind < 9:
        make.call("fcntl", descriptor, F_SETFL, O_NONBLOCK | make.one(O_ASYNC, O_ASYNC, O_ASYNC, 0, 0o2000))
    elif kind == 9:
        make.call("fcntl", descriptor, F_GETOWN, 0, result="pid")
    elif kind == 10:
        make.call("fcntl", descriptor, make.one(F_GETSIG, F_GETFL), 0)
    else:
        data = struct.pack("<ii", make.one(0, 1, 1, 2, 3), 0)
        command = make.one(F_SETOWN_EX, F_SETOWN_EX, F_GETOWN_EX)
        owner = Pid(make.random.choice(make.actors))
        make.call("fcntl", descriptor, command, At(0), data=data, fixups=((4, 4, owner),), show=show_owner)


def show_owner(data: bytes, result: int, naming: Naming) -> str:
    """A struct f_owner_ex."""
    kind, pid = struct.unpack_from("<ii", data)
    return f"{kind} {naming.pid(pid) if pid else 0}" if result == 0 else ""


def look_at_descriptor(make: Maker) -> None:
    """/proc/self/fdinfo: what is watched, counted and waited for."""
    path = f"/proc/self/fdinfo/{make.random.randrange(10)}\0".encode()
    make.operation(
        SLURP, data=path.ljust(PATH_BYTES + FILE_BYTES, b"\0"), show=show_description, result="none"
    )


def show_description(data: bytes, result: int, naming: Naming) -> str:
    """All but what names a file of the host, or a task."""
    shown = []
    for line in data[PATH_BYTES : max(result, PATH_BYTES)].decode("latin-1").splitlines():
        if line.startswith(_UNTOLD):
            continue
        words = line.split()
        if words[0] == "tfd:":
            # Where there is no sleep of the whole machine, nothing keeps it from that (EPOLLWAKEUP).
            words[3] = f"{int(words[3], 16) & ~(1 << 29):x}"
        elif words[0] == "lock:":
            # The file's device and number.
            del words[6]
        # Of what is watched, the file's number and handle.
        hidden = ("ino:", "sdev:", "fhandle", "f_handle:")
        shown.append(" ".join(word for word in words if not word.startswith(hidden)))
    return "; ".join(sorted(shown))


def move_through(make: Maker) -> None:
    """splice, tee, sendfile, readv, pread and lseek of what has no place to be read from."""
    descriptor, other = make.opened_descriptor(), make.opened_descriptor()
    kind = make.random.randrange(8)
    if kind == 0:
        make.call("splice", descriptor, 0, other, 0, make.one(8, 1, 0), make.one(2, 2, 3))
    elif kind == 1:
        make.call("tee", descriptor, other, make.one(8, 1), 2)
    elif kind == 2:
        make.call("sendfile", descriptor, other, 0, make.one(8, 0))
    elif kind == 3:
        data = struct.pack("<QQQQ", 0, 4, 0, 4) + bytes(8)
        fixups: tuple[tuple[int, int, Argument], ...] = ((0, 8, At(32)), (16, 8, At(36)))
        call = make.random.choice(("readv", "writev"))
        make.call(call, descriptor, At(0), 2, data=data, fixups=fixups, show=nothing)
    elif kind == 4:
        make.call(make.random.choice(("pread64", "pwrite64")), descriptor, At(0), 8, 0, data=bytes(8))
    elif kind == 5:
        make.call("lseek", descriptor, make.one(0, 1), make.one(0, 1, 2))
    elif kind == 6:
        make.call("fstat", descriptor, At(0), data=bytes(144), show=show_kind)
    else:
        make.call(make.random.choice(("ftruncate", "fsync", "fdatasync")), descriptor, 0)


def show_kind(data: bytes, result: int, naming: Naming) -> str:
    """A mode."""
    return f"{struct.unpack_from('<I', data, 24)[0] & 0o170000:o}" if result == 0 else ""


def touch_otherwise(make: Maker) -> None:
    """Rarer ways to change, read and move files, of which those who watch are told."""
    kind = make.random.randrange(17)
    name, other = (make.text(make.random.choice(NAMES)) for _ in range(2))
    names = name.ljust(16, b"\0") + other
    descriptor, second = make.opened_descriptor(), make.opened_descriptor()
    if kind < 2:
        make.call("renameat2", AT_FDCWD, At(0), AT_FDCWD, At(16), make.one(0, 1, 2, 2, 4), data=names)
    elif kind == 2:
        make.call("symlink", At(16), At(0), data=names)
    elif kind == 3:
        make.call("mknod", At(0), make.one(0o10644, 0o100644, 0o140644), 0, data=name)
    elif kind == 4:
        make.call("fallocate", descriptor, make.one(0, 0, 1, 3, 16), make.one(0, 5), make.one(5, 5000))
    elif kind == 5:
        make.call("ftruncate", descriptor, make.one(0, 5, 5000))
    elif kind == 6:
        make.call("sendfile", descriptor, second, 0, make.one(5, 5, 0))
    elif kind == 7:
        make.call("copy_file_range", descriptor, 0, second, 0, make.one(5, 5, 0), 0)
    elif kind == 8:
        value = names.ljust(32, b"\0") + b"user.x\0".ljust(16, b"\0") + b"v"
        call = make.random.choice(("setxattr", "lsetxattr"))
        make.call(call, At(0), At(32), At(48), 1, make.one(0, 0, 1, 2), data=value)
    elif kind == 9:
        value = names.ljust(32, b"\0") + b"user.x\0".ljust(16, b"\0")
        make.call("removexattr", At(0), At(32), data=value)
    elif kind == 10:
        make.call(make.random.choice(("fchmod", "fchown")), descriptor, make.one(0, 0o644), 0)
    elif kind == 11:
        make.call("lchown", At(0), make.one(-1, 0), make.one(-1, 0), data=name)
    elif kind == 12:
        opened = make.call("open", At(0), 0o200000, data=name)
        make.call("getdents64", Result(opened), At(0), 1024, data=bytes(1024), show=nothing, result="hidden")
        make.call("close", Result(opened))
    elif kind == 13:
        opened = make.call("open", At(0), 0o20200002, 0o644, data=b".\0")
        make.call("write", Result(opened), At(0), 3, data=b"abc")
        make.call("linkat", Result(opened), At(16), AT_FDCWD, At(0), 0x1000, data=name.ljust(17, b"\0"))
        make.call("close", Result(opened))
    elif kind == 14:
        vectors = struct.pack("<QQQQ", 0, make.one(0, 3), 0, make.one(0, 3)) + bytes(8)
        fixups: tuple[tuple[int, int, Argument], ...] = ((0, 8, At(32)), (16, 8, At(36)))
        call = make.random.choice(("preadv", "pwritev"))
        make.call(call, descriptor, At(0), 2, make.one(0, 3), data=vectors, fixups=fixups, show=nothing)
    elif kind == 15:
        make.call("execve", At(0), 0, 0, data=name)
    else:
        make.call("readlink", At(0), At(16), 16, data=name.ljust(32, b"\0"), show=nothing)


def cancel_request(make: Maker) -> None:
    """io_cancel, io_getevents and io_destroy, of contexts and requests that aren't too."""
    made = made_by(make, "io_setup")
    context: Argument = (
        Stored(made[-1], 0, is_word=True) if made and make.odds(75) else make.one(0, 1, BAD_ADDRESS)
    )
    kind = make.random.randrange(4)
    submitted = made_by(make, "io_submit")
    if kind < 2:
        # Where a request is told of is in the list that was submitted.
        request: Argument = Stored(submitted[-1], 0, is_word=True) if submitted else make.one(0, BAD_ADDRESS)
        make.call("io_cancel", context, request, At(0), data=bytes(32), show=nothing)
    elif kind == 2:
        least, most = make.one(0, 1, -1), make.one(0, 1, 4, -1)
        data = bytes(128) + struct.pack("<qq", 0, make.one(0, -1))
        make.call("io_getevents", context, least, most, At(0), At(128), data=data, show=nothing)
    else:
        make.call("io_destroy", context)


def watch_oddly(make: Maker) -> None:
    """epoll of itself, of rings of them, of pidfds, and edges of what is written again."""
    made = [Result(operation) for operation in made_by(make, "epoll_create1")]
    if not made or make.odds(15):
        make.opened(make.call("epoll_create", make.one(1, 5, 0, -1)))
        return
    one, other = make.random.choice(made[-3:]), make.random.choice(made[-3:])
    event = struct.pack("<IQ", 1 | make.one(0, 1 << 31, 1 << 30, 1 << 28, 1 << 29), 5)
    target: Argument = other if make.odds(50) else result_of(make, "eventfd2", "inotify_init1", "pidfd_open")
    make.call("epoll_ctl", one, make.one(1, 1, 3, 2), target, At(0), data=event)
    count = result_of(make, "eventfd2")
    make.call("write", count, At(0), 8, data=struct.pack("<Q", 1))
    make.call("epoll_wait", one, At(0), 4, 0, data=bytes(48))


FAMILIES = (
    *(select,) * 4,
    *(touch_otherwise,) * 6,
    *(poll_masked,) * 2,
    *(be_told,) * 8,
    *(look_at_descriptor,) * 5,
    *(move_through,) * 4,
    *(cancel_request,) * 2,
    *(watch_oddly,) * 4,
)
