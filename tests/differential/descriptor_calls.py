"""Random calls on descriptors: reading, writing, seeking, space, locks, pipes and the like."""

from __future__ import annotations

import re
import struct

from tests.differential.file_calls import O_APPEND, O_CLOEXEC, O_DIRECT, O_NONBLOCK, open_file, show_stat
from tests.differential.maker import AT_FDCWD, BAD_ADDRESS, Maker, go_on, vector
from tests.differential.script import Argument, At, Naming, Pid, Show, Stored, digest

RLIMIT_FSIZE = 8 << 20
OFFSETS = (
    0,
    0,
    1,
    5,
    100,
    4095,
    4096,
    4097,
    8192,
    10000,
    65536,
    1 << 20,
    RLIMIT_FSIZE - 1,
    RLIMIT_FSIZE,
    RLIMIT_FSIZE + 1,
)
ODD_OFFSETS = (-1, -4096, -(1 << 63), (1 << 63) - 1, (1 << 63) - 4096, 1 << 32, 1 << 44)
LENGTHS = (0, 1, 2, 10, 100, 4095, 4096, 4097)
ODD_LENGTHS = (-1, 1 << 31, 1 << 63, 0x7FFFF000)
OWNERS: tuple[Argument, ...] = (Pid(0), Pid(0, True), 0, 0x3FFFFFFF, -0x3FFFFFFF, -(1 << 31))
F_SETOWN, F_SETSIG, F_SETLEASE, F_NOTIFY = 8, 10, 1024, 1026


def offset(make: Maker) -> int:
    """A place in a file."""
    return make.random.choice(ODD_OFFSETS if make.odds(12) else OFFSETS)


def length(make: Maker) -> int:
    """A length of data, which an operation's data has room for."""
    return make.random.choice(LENGTHS)


def show_pair(data: bytes, result: int, naming: Naming) -> str:
    """Two descriptors."""
    return str(struct.unpack_from("<ii", data)) if result == 0 else ""


def make_descriptor(make: Maker) -> None:
    """pipe2, eventfd2, memfd_create, timerfd_create, epoll_create1, files."""
    kind = make.random.randrange(12)
    if kind < 5:
        names = ("a", "b", "c", "d/a")
        flags = (
            make.one(0, 1, 2, 2, 2) | 0o100 | make.bits((0o1000, O_APPEND, O_NONBLOCK), (O_DIRECT, 0o200), 10)
        )
        make.opened(
            make.call("openat", AT_FDCWD, At(0), flags, 0o644, data=make.text(make.random.choice(names)))
        )
    elif kind < 8:
        flags = make.bits((O_NONBLOCK, O_CLOEXEC), (O_DIRECT, O_DIRECT, 1)) | (
            O_NONBLOCK if make.odds(80) else 0
        )
        pipe = make.call("pipe2", At(0), flags, data=bytes(8), show=show_pair)
        make.descriptors += [Stored(pipe, 0), Stored(pipe, 4)]
    elif kind == 8:
        make.opened(
            make.call("eventfd2", make.one(0, 1, 5, -1), O_NONBLOCK | make.bits((1, O_CLOEXEC), (2, 0o200)))
        )
    elif kind == 9:
        name = make.text(make.random.choice(("m", "", "x" * 249, "x" * 250)))
        make.opened(make.call("memfd_create", At(0), make.bits((1, 2), (16, 1 << 31, 8 | 16)), data=name))
    elif kind == 10:
        make.has_anonymous = True
        make.opened(
            make.call(
                "timerfd_create",
                make.one(0, 1, 7, 8, 9, 11, 2, -1),
                O_NONBLOCK | make.bits((O_CLOEXEC,), (1,)),
            )
        )
    else:
        make.has_anonymous = True
        make.opened(make.call("epoll_create1", make.bits((O_CLOEXEC,), (1, O_NONBLOCK))))


def read_or_write(make: Maker) -> None:
    """read, pread64, readv, preadv2 and their counterparts."""
    kind = make.random.randrange(16)
    fd, many, place = make.descriptor(), length(make), offset(make)
    content = bytes((7 * at + kind + 1) % 255 + 1 for at in range(many))
    if kind < 3:
        make.call("write", fd, At(0), many, data=content)
    elif kind < 6:
        make.call("read", fd, At(0), many, data=bytes(many))
    elif kind == 6:
        make.call("pwrite64", fd, At(0), many, place, data=content)
    elif kind == 7:
        make.call("pread64", fd, At(0), many, place, data=bytes(many))
    elif kind == 8:
        make.call("read", fd, BAD_ADDRESS, make.random.choice((0, 1, 8, *ODD_LENGTHS)))
    elif kind == 9:
        make.call("pread64", fd, BAD_ADDRESS, make.random.choice((0, 8, *ODD_LENGTHS)), place)
    else:
        count = make.one(0, 1, 2, 3, 3, 5)
        parts = []
        data = b""
        fixups = []
        for part in range(count):
            size = make.one(0, 1, 10, 100, 4096)
            fixups.append((16 * part, 8, At(16 * count + len(data))))
            # What Linux's tmpfs makes of a write that faults has changed (6.16): its size may grow.
            bad = kind % 2 == 1 and make.odds(4)
            parts.append((BAD_ADDRESS, make.random.choice((1, *ODD_LENGTHS)) if bad else size))
            data += bytes(size) if kind % 2 else content[:size].ljust(size, b"v")
            if bad:
                fixups.pop()
        vectors = vector(parts)
        number = count if make.odds(92) else make.one(-1, 1025, 0)
        name = ("writev", "readv", "pwritev", "preadv", "pwritev2", "preadv2")[kind - 10]
        arguments = []
        if kind >= 12:
            position = place if kind < 14 or make.odds(60) else -1
            arguments = [position, 0]
        if kind >= 14:
            arguments.append(make.one(0, 0, 1, 2, 4, 8, 16, 32, 48, 64, 1 << 30))
        make.call(
            name,
            fd,
            At(0),
            number,
            *arguments,
            data=vectors + data,
            fixups=tuple(fixups),
            show=show_vectors(count),
        )


def show_vectors(count: int) -> Show:
    """What is in the buffers behind an array of iovecs."""
    return lambda data, result, naming: digest(data[16 * count :])


def seek(make: Maker) -> None:
    """lseek, and the position by fdinfo."""
    make.call("lseek", make.descriptor(), offset(make), make.one(0, 0, 1, 2, 3, 4, 3, 4, 5, -1))


def space(make: Maker) -> None:
    """truncate, fallocate, fsync, fadvise."""
    kind = make.random.randrange(10)
    fd = make.descriptor()
    if kind < 3:
        make.call("ftruncate", fd, offset(make))
    elif kind == 3:
        make.call("truncate", At(0), offset(make), data=make.text(make.name()))
    elif kind < 7:
        mode = make.one(0, 0, 1, 2, 3, 3, 3, 8, 16, 17, 32, 64, 0x11, 4)
        make.call(
            "fallocate", fd, mode, offset(make), make.one(0, 1, 4096, 4096, 5000, 65536, -1, (1 << 63) - 1)
        )
    elif kind == 7:
        make.call(make.random.choice(("fsync", "fdatasync", "syncfs")), fd)
    elif kind == 8:
        make.call("fadvise64", fd, offset(make), make.one(0, 1, 4096, -1), make.one(0, 1, 2, 3, 4, 5, 6, -1))
    else:
        make.call("sync_file_range", fd, offset(make), make.one(0, 4096, -1), make.one(0, 1, 2, 4, 7, 8))


def look(make: Maker) -> None:
    """fstat, FIONREAD, the status flags."""
    kind = make.random.randrange(5)
    fd = make.descriptor()
    if kind == 0:
        make.call("fstat", fd, At(0), data=bytes(144), show=show_size)
    elif kind == 1:
        make.call("ioctl", fd, 0x541B, At(0), data=bytes(8), result="ioctl")
    elif kind == 2:
        make.call("fcntl", fd, 3)
    elif kind == 3:
        make.call("lseek", fd, 0, 1)
    else:
        make.call(
            "readlink",
            At(0),
            At(20),
            60,
            data=b"/proc/self/fd/3".ljust(20, b"\0") + bytes(60),
            show=show_link,
            result="none",
        )


def show_link(data: bytes, result: int, naming: Naming) -> str:
    """Where a link of /proc/self/fd leads; numbers of inodes differ."""
    text = data[20 : 20 + max(result, 0)]
    return re.sub(rb"\[\d+\]", b"[N]", text.rpartition(b"/")[2]).decode(errors="replace")


def show_size(data: bytes, result: int, naming: Naming) -> str:
    """What fstat says, but for inode and owner."""
    text = show_stat(data, result, naming)
    return " ".join(text.split(" ")[1:])


def control(make: Maker) -> None:
    """fcntl, but for locks; ioctl."""
    kind = make.random.randrange(18)
    fd = make.descriptor()
    if kind < 3:
        make.opened(make.call("fcntl", fd, make.one(0, 1030), make.one(0, 3, 10, 30, 63, 64, -1, 1 << 31)))
    elif kind < 5:
        make.call("fcntl", fd, make.one(1, 2), make.one(0, 1, 2, -1))
    elif kind < 8:
        make.call(
            "fcntl",
            fd,
            make.one(3, 4),
            make.bits((O_APPEND, O_NONBLOCK), (O_DIRECT, 0o1000000, 0o20000, 1, 2, 3, -1), 30),
        )
    elif kind == 8:
        make.call("fcntl", fd, make.one(9, 11))
    elif kind == 9:
        make.call("fcntl", fd, F_SETSIG, make.one(0, 10, 34, 64, 65, -1))
    elif kind == 10:
        make.call(
            "fcntl",
            fd,
            F_SETOWN,
            make.random.choice(OWNERS),
        )
    elif kind == 11:
        make.call("fcntl", fd, make.one(1031, 1032), make.one(0, 1, 4096, 5000, 65536, 1 << 20, -1))
    elif kind == 12:
        make.call("fcntl", fd, make.one(1033, 1034), make.one(0, 1, 2, 4, 8, 16, 32, 64, 3, 15))
    elif kind == 13:
        # F_SETLEASE, F_GETLEASE, F_CREATED_QUERY; and F_NOTIFY, which nothing is told of here.
        command = make.one(1024, 1024, 1025, 1026, 1028)
        make.call("fcntl", fd, command, make.one(0, 1, 2, 2, 3) if command == 1024 else 0)
    elif kind == 14:
        make.call("fcntl", fd, make.one(15, 16), At(0), data=struct.pack("<iI", make.one(0, 1, 2, 3), 0))
    elif kind == 15:
        # All that is no file shares one inode of the host, which would keep a hint (F_SET_RW_HINT).
        command, hint = make.one(1035, 1036, 1036, 1037, 1038), make.one(0, 1, 5, 6, 1 << 40)
        hint = 0 if command == 1036 and hint in (1, 5) else hint
        make.call("fcntl", fd, command, At(0), data=struct.pack("<Q", hint))
    elif kind == 16:
        # F_DUPFD_QUERY among them, and F_CANCELLK, which nobody answers.
        command = make.one(1027, 1027, 1027, 1029, 17, 39, 100, -1)
        make.call("fcntl", fd, command, make.descriptor() if make.odds(80) else make.one(-1, 64))
    else:
        request = make.one(0x5421, 0x5452, 0x5450, 0x5451, 0x541B, 0x5413, 0x5401, 0, 0x5460, 0x2)
        make.call("ioctl", fd, request, At(0), data=struct.pack("<q", make.one(0, 1)), result="ioctl")


def duplicate(make: Maker) -> None:
    """dup, dup2, dup3, close, close_range."""
    kind = make.random.randrange(9)
    fd = make.descriptor()
    if kind == 0:
        make.opened(make.call("dup", fd))
    elif kind == 1:
        make.opened(make.call("dup2", fd, make.random.choice((fd, 5, 20, 63, 64, -1))))
    elif kind == 2:
        make.opened(
            make.call("dup3", fd, make.random.choice((fd, 5, 20, 63, 64, -1)), make.one(0, O_CLOEXEC, 1))
        )
    elif kind < 7:
        make.call("close", fd)
    else:
        first = make.one(10, 20, 50, 60, 5, -1)
        make.call("close_range", first, make.one(20, 25, 60, 63, 64, -1, 4), make.one(0, 4, 2, 6, 1, 8))


def transfer(make: Maker) -> None:
    """splice, tee, vmsplice, sendfile, copy_file_range."""
    kind = make.random.randrange(8)
    one, other = make.descriptor(), make.descriptor()
    many = make.one(0, 1, 10, 100, 4096, 5000, 65536, 1 << 20)
    flags = make.bits((1, 2, 4, 8), (16, -1)) | (2 if make.odds(90) else 0)
    places = struct.pack("<qq", make.random.choice((0, 5, 4096, -1)), make.random.choice((0, 5, 4096, -1)))
    first: Argument = At(0) if make.odds(40) else 0
    second: Argument = At(8) if make.odds(40) else 0
    if kind < 3:
        make.call("splice", one, first, other, second, many, flags, data=places)
    elif kind == 3:
        make.call("tee", one, other, many, flags)
    elif kind == 4:
        content = bytes(range(1, 200))
        make.call(
            "vmsplice",
            one,
            At(0),
            make.one(1, 1, 0),
            flags,
            data=bytes(8) + struct.pack("<Q", make.one(0, 10, 199)) + content,
            fixups=((0, 8, At(16)),),
            show=show_vectors(1),
        )
    elif kind < 7:
        make.call("sendfile", one, other, first, many, data=places)
    else:
        make.call("copy_file_range", one, first, other, second, many, make.one(0, 0, 0, 1), data=places)


def lock(make: Maker) -> None:
    """Locks of files: flock, of processes, of open file descriptions."""
    fd = make.descriptor()
    if make.odds(30):
        make.call("flock", fd, make.one(1, 2, 8, 5, 6, 12, 0, 3, 4, 32, 64))
        return
    command = make.one(5, 6, 6, 6, 36, 37, 37)
    pid = make.one(0, 0, 0, 0x3FFFFFFF)
    start, size = (
        make.one(0, 0, 1, 5, 10, 100, -1, (1 << 63) - 1),
        make.one(0, 0, 1, 5, 10, -1, -5, (1 << 63) - 1),
    )
    data = struct.pack(
        "<hhiqqii", make.one(0, 1, 2, 1, 2, 3, 4), make.one(0, 0, 0, 1, 2, 3), 0, start, size, pid, 0
    )
    make.call("fcntl", fd, command, At(0), data=data, show=show_lock)


def show_lock(data: bytes, result: int, naming: Naming) -> str:
    """A struct flock."""
    kind, whence, _, start, size, pid, _ = struct.unpack_from("<hhiqqii", data)
    return f"{kind} {whence} {start} {size} {pid if pid == -1 else naming.pid(pid)}" if result == 0 else ""


def watch(make: Maker) -> None:
    """poll, ppoll, select, epoll."""
    kind = make.random.randrange(9)
    if kind < 3:
        count = make.one(0, 1, 2, 3)
        data = b"".join(
            struct.pack("<iHH", -1, make.one(1, 4, 5, 0x2000, 0x3F, 0xFFFF, 0), 0x55) for _ in range(count)
        )
        fixups = tuple((8 * part, 4, make.descriptor()) for part in range(count))
        number = count if make.odds(95) else make.one(65, -1)
        if kind < 2:
            make.call("poll", At(0), number, make.one(0, 0, 0), data=data, fixups=fixups, show=show_poll)
        else:
            time = struct.pack("<qq", 0, make.one(0, 0, -1, 1000000000))
            make.call(
                "ppoll", At(0), number, At(len(data)), 0, 8, data=data + time, fixups=fixups, show=show_poll
            )
    elif kind == 3:
        sets = struct.pack("<qqq", make.one(0, 7, 0xFFFF, -1), make.one(0, 7, 0xFF), make.one(0, 7, 0xFF))
        time = struct.pack("<qq", make.one(0, 0, 0, -1), make.one(0, 0, 0, -1))
        count = make.one(0, 1, 3, 8, 16, 64, 64, -1)
        make.call("select", count, At(0), At(8), At(16), At(24), data=sets + time)
    elif kind < 7:
        event = struct.pack(
            "<IQ",
            make.one(1, 4, 5, 1 | 1 << 31, 1 | 1 << 30, 1 | 1 << 28, 0x1F, 1 | 1 << 28 | 1 << 29, 0xFFFFFFFF),
            77,
        )
        make.call(
            "epoll_ctl",
            make.descriptor(),
            make.one(1, 1, 1, 2, 3, 0, 4),
            make.descriptor(),
            At(0),
            data=event,
        )
    else:
        make.call(
            "epoll_wait", make.descriptor(), At(0), make.one(1, 4, 4, 4, 0, -1, 1 << 31), 0, data=bytes(48)
        )


def show_poll(data: bytes, result: int, naming: Naming) -> str:
    """The revents of an array of pollfds."""
    return " ".join(
        f"{revents:x}" for _, _, revents in struct.iter_unpack("<iHH", data[: len(data) // 8 * 8])
    )


def timer(make: Maker) -> None:
    """timerfd_settime, timerfd_gettime: far away, or long ago."""
    fd = make.descriptor()
    if make.odds(30):
        make.call("timerfd_gettime", fd, At(0), data=bytes(32), show=lambda data, result, naming: "")
    else:
        times = struct.pack(
            "<qqqq",
            make.one(0, 0, 10000, -1),
            make.one(0, 1000000000),
            # Later than the host has been running for, too.
            make.one(0, 1 << 33, -1),
            make.one(0, 5, -1, 999999999),
        )
        make.call("timerfd_settime", fd, make.one(0, 0, 1, 2, 3, 4), At(0), 0, data=times)


FAMILIES = (
    *(make_descriptor,) * 5,
    *(read_or_write,) * 8,
    *(seek,) * 2,
    *(space,) * 3,
    *(look,) * 3,
    *(control,) * 4,
    *(duplicate,) * 2,
    *(transfer,) * 3,
    *(lock,) * 3,
    *(watch,) * 4,
    timer,
    open_file,
    go_on,
)
