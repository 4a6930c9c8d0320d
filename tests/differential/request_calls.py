"""Random requests of ioctl(2), those of every kind of file on files of every kind."""

from __future__ import annotations

import socket
import struct

from procession.abi.ioctls import (
    EpollIoctl,
    FileIoctl,
    InotifyIoctl,
    RandomIoctl,
    SocketIoctl,
    TerminalIoctl,
    TimerfdIoctl,
)
from procession.abi.nsfs import NamespaceIoctl
from procession.abi.pidfd import PidfdIoctl
from tests.differential.maker import AT_FDCWD, BAD_ADDRESS, Maker
from tests.differential.script import (
    ARENA,
    ARENA_PAGES,
    PAGE,
    Argument,
    At,
    Naming,
    Pid,
    Result,
    Show,
    Stored,
)

CLONE_NEWNET, NONBLOCK, O_PATH, O_DIRECTORY = 0x40000000, 0o4000, 0o10000000, 0o200000
SIOCSIFFLAGS, TIOCSPTLCK, TIOCGPTPEER = 0x8914, 0x40045431, 0x5441
# What would concern the host: its file systems stopped, its console redirected. And what asks for room on a
# disk, of which /usr may have any.
ELSEWHERE = {
    *(FileIoctl.FIFREEZE, FileIoctl.FITHAW, FileIoctl.FITRIM, FileIoctl.FS_IOC_FIEMAP),
    *(TerminalIoctl.TIOCCONS, TerminalIoctl.TIOCLINUX, TerminalIoctl.TIOCSTI),
    *(TerminalIoctl.TIOCSCTTY, TerminalIoctl.TIOCVHANGUP, TerminalIoctl.TIOCNOTTY),
    # Only in the first pid namespace are others' shown.
    *(NamespaceIoctl.NS_MNT_GET_NEXT, NamespaceIoctl.NS_MNT_GET_PREV),
    # These have a family, or a function here, of their own.
    *(FileIoctl.PAGEMAP_SCAN, FileIoctl.PROCMAP_QUERY),
}
HIDDEN = {
    *(SocketIoctl.SIOCGSTAMP_OLD, SocketIoctl.SIOCGSTAMPNS_OLD, SocketIoctl.SIOCGSTAMP_NEW),
    *(SocketIoctl.SIOCGSTAMPNS_NEW, FileIoctl.FS_IOC_GETFSUUID, FileIoctl.FS_IOC_GETVERSION),
    *(FileIoctl.FIBMAP, NamespaceIoctl.NS_GET_MNTNS_ID, NamespaceIoctl.NS_GET_ID),
}
"""What is told by these is the time's or the host's."""
PIDS = {
    *(NamespaceIoctl.NS_GET_PID_FROM_PIDNS, NamespaceIoctl.NS_GET_TGID_FROM_PIDNS),
    *(NamespaceIoctl.NS_GET_PID_IN_PIDNS, NamespaceIoctl.NS_GET_TGID_IN_PIDNS),
    *(TerminalIoctl.TIOCGPGRP, TerminalIoctl.TIOCGSID, SocketIoctl.FIOGETOWN, SocketIoctl.SIOCGPGRP),
}
OWNERS = (SocketIoctl.FIOSETOWN, SocketIoctl.SIOCSPGRP, TerminalIoctl.TIOCSPGRP)
INFORMATION = int(NamespaceIoctl.NS_MNT_GET_INFO) & 0xFFFF
OPENING = {
    *(NamespaceIoctl.NS_GET_USERNS, NamespaceIoctl.NS_GET_PARENT, *PidfdIoctl),
    *(SocketIoctl.SIOCGSKNS, SocketIoctl.SIOCUNIXFILE, TerminalIoctl.TIOCGPTPEER),
}
"""Those that return a descriptor."""
KINDS = (FileIoctl, TerminalIoctl, SocketIoctl, NamespaceIoctl, PidfdIoctl)
SMALL_KINDS = (RandomIoctl, InotifyIoctl, TimerfdIoctl, EpollIoctl)
REQUESTS = tuple(
    tuple(int(request) for request in kind if request not in ELSEWHERE)
    for kind in (*KINDS * 3, SocketIoctl, TerminalIoctl, *SMALL_KINDS)
)
PROC_FILES = ("maps", "pagemap", "stat", "ns/net", "ns/pid", "ns/user", "ns/mnt", "ns/uts", "ns", "fd")
FILES = (("a", 2), ("a", 0), ("a", 1), (".", 0), ("d", O_DIRECTORY), ("a", O_PATH))
SOCKETS = (
    *((1, 1, 0), (1, 2, 0), (2, 1, 0), (2, 2, 0), (10, 1, 0), (10, 2, 0)),
    *((2, 3, 1), (17, 3, 0x300), (16, 3, 0)),
)
DEVICES = ("null", "zero", "full", "tty")
QUERY = int(FileIoctl.PROCMAP_QUERY)
NAME_AT, ID_AT, ROOM = 128, 256, 1000
"""There is room for any path: where the scripts run has a longer one here, a shorter one there."""


def begin(make: Maker) -> None:
    """A network of its own with the loopback, some memory, and a few descriptors."""
    make.call("unshare", CLONE_NEWNET)
    control = make.call("socket", socket.AF_INET, socket.SOCK_DGRAM, 0)
    request = struct.pack("<16sH22x", b"lo", 0x41)
    make.call("ioctl", Result(control), SIOCSIFFLAGS, At(0), data=request)
    make.opened(control)
    for at, (protection, flags) in enumerate(((3, 0x32), (1, 0x32), (5, 0x32), (3, 0x31))):
        make.call("mmap", ARENA + 2 * at * PAGE, PAGE, protection, flags, -1, 0, result="address")
    opened = make.call("openat", AT_FDCWD, At(0), 0o102, 0o644, data=b"a\0")
    make.call("mkdir", At(0), 0o755, data=b"d\0")
    make.call("write", Result(opened), At(0), 100, data=bytes(range(100)))
    make.call("mmap", ARENA + 10 * PAGE, PAGE, 1, 0x12, Result(opened), 0, result="address")
    make.opened(opened)
    for _ in range(4):
        open_something(make)


def open_something(make: Maker) -> None:
    """A file, a directory, one of proc, a device, a terminal, a socket, or what has no name."""
    kind = make.random.randrange(16)
    if kind < 2:
        name, flags = make.random.choice(
            (("a", 2), ("a", 0), ("a", 1), (".", 0), ("d", O_DIRECTORY), ("a", O_PATH))
        )
        make.opened(make.call("openat", AT_FDCWD, At(0), flags, 0, data=make.text(name)))
    elif kind < 5:
        name = "/proc/self/" + make.random.choice(PROC_FILES)
        make.opened(make.call("openat", AT_FDCWD, At(0), 0, 0, data=make.text(name)))
    elif kind == 5:
        name = "/dev/" + make.random.choice(DEVICES)
        make.opened(make.call("openat", AT_FDCWD, At(0), make.one(0, 2), 0, data=make.text(name)))
    elif kind == 6:
        master = make.call("openat", AT_FDCWD, At(0), 2 | 0o400, 0, data=b"/dev/ptmx\0")
        make.call("ioctl", Result(master), TIOCSPTLCK, At(0), data=bytes(4))
        make.opened(master)
        make.opened(make.call("ioctl", Result(master), TIOCGPTPEER, 2 | 0o400))
    elif kind < 10:
        domain, how = make.random.choice(
            ((1, 1), (1, 2), (2, 1), (2, 2), (10, 1), (10, 2), (2, 3), (17, 3), (16, 3))
        )
        protocol = {(2, 3): 1, (17, 3): 0x300}.get((domain, how), 0)
        make.opened(make.call("socket", domain, how | NONBLOCK, protocol))
    elif kind == 10:
        pair = make.call("socketpair", 1, make.one(1, 2, 5), 0, At(0), data=bytes(8))
        make.call("write", Stored(pair, 4), At(0), 5, data=b"hello")
        make.descriptors += [Stored(pair, 0), Stored(pair, 4)]
    elif kind == 11:
        pipe = make.call("pipe2", At(0), NONBLOCK, data=bytes(8))
        make.call("write", Stored(pipe, 4), At(0), 7, data=b"a pipe.")
        make.descriptors += [Stored(pipe, 0), Stored(pipe, 4)]
    elif kind == 12:
        make.opened(make.call("pidfd_open", Pid(make.random.choice(make.actors)), 0))
    elif kind == 13:
        make.opened(make.call("memfd_create", At(0), make.one(0, 2), data=b"m\0"))
    elif kind == 14:
        make.opened(make.call("timerfd_create", make.one(0, 1), NONBLOCK))
    else:
        call = make.random.choice(("epoll_create1", "inotify_init1", "eventfd2", "signalfd4"))
        if call == "eventfd2":
            make.opened(make.call(call, 3, NONBLOCK))
        elif call == "signalfd4":
            make.opened(make.call(call, -1, At(0), 8, NONBLOCK, data=bytes(8)))
        else:
            make.opened(make.call(call, 0))


def content_for(make: Maker, request: int) -> bytes:
    """Something for a request to read: a number, an interface's name and a number, or several numbers."""
    number = make.one(0, 0, 1, 1, 2, 5, 0x40, -1, 1 << 31, 1000)
    kind = make.random.randrange(4)
    if SIOCSIFFLAGS - 8 <= request < 0x8A00 and make.odds(80):
        name = make.random.choice((b"lo", b"lo", b"lo", b"none", b"", b"lo:1")).ljust(16, b"\0")
        if make.odds(30):
            address = struct.pack(
                "<HH4s", 2, 0, socket.inet_aton(make.random.choice(("127.0.0.1", "255.0.0.0")))
            )
            return (name + address).ljust(128, b"\0")
        return (name + struct.pack("<q", number)).ljust(128, b"\0")
    if kind == 0:
        return struct.pack("<q", number).ljust(128, b"\0")
    if kind == 1:
        return struct.pack("<32i", *(make.one(0, 0, 0, 1, 2, 16, -1) for _ in range(32)))
    if kind == 2:
        return struct.pack("<16q", *(make.one(0, 0, 0, 1, 100, 4096, -1) for _ in range(16)))
    return bytes(128)


def ask(make: Maker) -> None:
    """Any request of any file."""
    request = make.random.choice(make.random.choice(REQUESTS))
    if make.odds(4):
        # The size, or the number, is another one.
        request ^= make.one(1 << 16, 4 << 16, 1 << 30, 1 << 31, 1, 0x80)
        if request in ELSEWHERE:
            return
    where: Argument = At(0) if make.odds(80) else make.one(0, 0, 1, 2, 5, BAD_ADDRESS, -1)
    if request in PIDS and request >> 8 & 0xFF == 0xB7:
        where = Pid(make.random.choice(make.actors))
    elif request in OPENING and make.odds(60):
        where = 0
    data, fixups = content_for(make, request), list[tuple[int, int, Argument]]()
    show: Show | None = nothing if request in HIDDEN or request & 0xFFFF == INFORMATION else None
    if request in OWNERS and where == At(0):
        # Which of the first numbers are somebody's isn't the same inside.
        fixups.append((0, 4, Pid(make.random.choice(make.actors))))
    asked = make.call(
        "ioctl", make.opened_descriptor(), request, where,
        data=data,
        fixups=tuple(fixups),
        show=show_pid if request in PIDS else show,
        result="pid" if request in PIDS else "int",
    )  # fmt: skip
    if request in OPENING:
        make.opened(asked)


def nothing(data: bytes, result: int, naming: Naming) -> str:
    """Show nothing of what there is."""
    return ""


def show_pid(data: bytes, result: int, naming: Naming) -> str:
    """Show an id that was left in memory."""
    return naming.pid(struct.unpack_from("<i", data)[0]) if result == 0 else ""


def ask_process(make: Maker) -> None:
    """PIDFD_GET_INFO, whose size is the caller's."""
    size = make.one(64, 64, 64, 80, 72, 60, 63, 16, 128)
    request = 0xC000FF0B | size << 16
    data = struct.pack("<Q", make.one(0, 1, 2, 3, 7, 8, 16, 31, -1) & (1 << 64) - 1).ljust(128, b"\xee")
    where: Argument = At(0) if make.odds(92) else make.one(0, BAD_ADDRESS)
    make.call("ioctl", make.opened_descriptor(), request, where, data=data, show=show_info)


def show_info(data: bytes, result: int, naming: Naming) -> str:
    """What is told of a process, but for its group."""
    mask, _, pid, tgid, _ = struct.unpack_from("<QQIII", data)
    return f"{mask:#x} {naming.pid(pid)} {naming.pid(tgid)} {data[28:].hex()}" if result == 0 else ""


def ask_maps(make: Maker) -> None:
    """PROCMAP_QUERY."""
    opened = make.call("openat", AT_FDCWD, At(0), 0, 0, data=b"/proc/self/maps\0")
    flags = (
        make.bits((1, 2, 4, 8), (16, 32, 64, 1 << 63), 15) if make.odds(60) else make.one(0, 0x10, 0x20, 0x30)
    )
    address = ARENA + make.random.randrange(14) * PAGE + make.one(0, 0, 1, 4095)
    if make.odds(6):
        address = make.one(-1, 1 << 63, (1 << 47) - PAGE, 1 << 47, 0xFFFFFFFFFF600000) & (1 << 64) - 1
    size = make.one(104, 104, 104, 104, 96, 80, 40, 24, 23, 0, 112, 200, 5000)
    name, identity = make.one(0, 0, ROOM, ROOM, 1, 3, 5000), make.one(0, 0, 0, 20, 64, 1)
    data = struct.pack("<QQQ", size, flags & (1 << 64) - 1, address) + bytes(56)
    fixups: list[tuple[int, int, Argument]] = []
    data += struct.pack("<IIQQ", name, identity, 0, 0)
    if name and make.odds(92):
        fixups.append((88, 8, At(NAME_AT)))
    if identity and make.odds(92):
        fixups.append((96, 8, At(ID_AT)))
    data = data.ljust(NAME_AT + 256, b"\0")
    make.call("ioctl", Result(opened), QUERY, At(0), data=data, fixups=tuple(fixups), show=show_query)
    make.call("close", Result(opened))


def show_query(data: bytes, result: int, naming: Naming) -> str:
    """An area of the arena, or only how much of an answer there was."""
    start, end, flags, page, offset, _, _, _, name, identity = struct.unpack_from("<6Q4I", data, 24)
    if result != 0 or not ARENA <= start < ARENA + PAGE * ARENA_PAGES:
        return ""
    path = data[NAME_AT : NAME_AT + max(name - 1, 0)].rstrip(b"\0")
    text = path.rpartition(b"/")[2].decode(errors="replace")
    return f"{start - ARENA:#x} {end - ARENA:#x} {flags:#x} {page} {offset} {text} {identity}"


def change(make: Maker) -> None:
    """Memory, files, descriptors, processes: what answers depend on."""
    kind = make.random.randrange(8)
    if kind == 0 and len(make.actors) < 3:
        make.spawn("fork")
    elif kind < 3:
        make.call("mprotect", ARENA + 2 * make.random.randrange(6) * PAGE, PAGE, make.one(0, 1, 3, 5))
    elif kind == 3:
        make.call("munmap", ARENA + 2 * make.random.randrange(6) * PAGE, PAGE)
    elif kind == 4:
        address = ARENA + make.random.randrange(12) * PAGE
        make.call("mmap", address, PAGE * make.one(1, 2), 3, make.one(0x32, 0x31), -1, 0, result="address")
    elif kind == 5:
        make.call("close", make.opened_descriptor())
    elif kind == 6:
        make.opened(make.call("dup", make.opened_descriptor()))
    else:
        make.call("fcntl", make.opened_descriptor(), make.one(8, 4), make.one(0, NONBLOCK, 0x2000))


FAMILIES = (
    *(ask,) * 12,
    *(open_something,) * 3,
    *(ask_process, change),
    *(ask_maps,) * 2,
)
