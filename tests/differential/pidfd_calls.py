"""Random calls on pidfds: got of children, with clone and clone3, and asked for all that they know."""

from __future__ import annotations

import struct

from tests.differential.descriptor_calls import duplicate
from tests.differential.maker import AT_FDCWD, Maker, go_on
from tests.differential.memory_calls import PATH_BYTES
from tests.differential.process_calls import (
    dispose,
    end_process,
    group,
    identify,
    make_process,
    send_signal,
    show_waitid,
)
from tests.differential.script import (
    ARENA,
    SLURP,
    STACK_BYTES,
    STACKS_BASE,
    Argument,
    At,
    Naming,
    Pid,
    Result,
    Stored,
)

CLONE_PIDFD, THREAD, CLONE_PARENT_SETTID = 0x1000, 0x50F00, 0x100000
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWUSER = (
    *(0x20000, 0x4000000, 0x8000000, 0x20000000, 0x10000000),
)
P_PID, P_PIDFD, P_ALL, P_PGID = 1, 3, 0, 2
WNOHANG, WSTOPPED, WEXITED, WCONTINUED, WNOWAIT = 1, 2, 4, 8, 0x1000000
GET_INFO = 0xC000FF0B
INFO_BYTES = 96
INFO_MASKS = (7, 7, 8, 15, 31, 16, 24, 0, 32, 1 << 40)
NAMESPACES = tuple(range(0xFF01, 0xFF0B))
SELF_THREAD, SELF_PROCESS = -10000, -10001
AT_EMPTY_PATH, AT_HANDLE_FID = 0x1000, 0x200
SIGNALS = (0, 0, 10, 12, 17, 18, 34, 65)
"""Not SIGSTOP: whether a thread that stops its process hears before of how that went is a matter of luck."""
TRUSTED = b"trusted.a\0"


def begin(make: Maker) -> None:
    """Company, and pidfds of both."""
    make.spawn("fork")
    for actor in (0, 1):
        make.opened(make.call("pidfd_open", Pid(actor), 0, result="pidfd"))


def is_of_pidfd(made: Argument) -> bool:
    """Whether an operation has returned a pidfd, or left one in its data."""
    return isinstance(made, Stored) or (isinstance(made, Result) and made.operation.result == "pidfd")


def pidfd(make: Maker) -> Argument:
    """A pidfd, seldom another descriptor."""
    found = [made for made in make.descriptors if is_of_pidfd(made)]
    if found and make.odds(92):
        return make.random.choice(found[-4:])
    return make.one(SELF_THREAD, SELF_PROCESS) if make.odds(50) else make.opened_descriptor()


def open_pidfd(make: Maker) -> None:
    """pidfd_open."""
    flags = make.one(0, 0, 0o4000, 0o200, 0o200, 0o4200, 1)
    make.opened(make.call("pidfd_open", make.pid(), flags, result="pidfd"))


def make_with_pidfd(make: Maker) -> None:
    """clone and clone3 with CLONE_PIDFD."""
    if len(make.actors) >= 6:
        return
    is_thread = make.odds(30)
    stack = STACKS_BASE + STACK_BYTES * (make.next_actor + 1) - 256 if is_thread else 0
    flags = CLONE_PIDFD | (THREAD if is_thread else 0)
    before = len(make.operations)
    if make.odds(50):
        signal = 0 if is_thread else make.one(17, 17, 0, 10)
        make.spawn("clone", flags | signal, stack, At(0), 0, 0, data=b"\xff" * 8)
        place = 0
    else:
        low, size = (stack - 4096, 4096) if is_thread else (0, 0)
        signal = 0 if is_thread else make.one(17, 17, 0, 10)
        data = struct.pack("<11Q", flags, 0, 0, 0, signal, low, size, 0, 0, 0, 0) + b"\xff" * 8
        make.spawn(
            "clone3", At(0), make.one(64, 80, 88), data=data, fixups=((8, 8, At(88)),), show=show_descriptor
        )
        place = 88
    make.descriptors.append(Stored(make.operations[before], place))


def show_descriptor(data: bytes, result: int, naming: Naming) -> str:
    """The pidfd."""
    return str(struct.unpack_from("<i", data, 88)[0])


def await_by_pidfd(make: Maker) -> None:
    """waitid by pidfd, and by group, with what was used."""
    options = make.bits((WSTOPPED, WCONTINUED, WNOWAIT), (0x20000000, 0x40000000, 0x80000000), 15)
    options |= WEXITED if make.odds(85) else 0
    if make.odds(85):
        options |= WNOHANG
    usage: Argument = At(32) if make.odds(30) else 0
    if make.odds(75):
        kind, which = P_PIDFD, pidfd(make)
    elif make.odds(50):
        kind, which = P_PGID, make.one(0, 0, 0x3FFFFFFF)
    else:
        kind, which = P_PID, make.pid()
    data = b"\x55" * 32 + bytes(144)
    make.call("waitid", kind, which, At(0), options, usage, data=data, show=show_waitid)


def ask_for_info(make: Maker) -> None:
    """PIDFD_GET_INFO."""
    size = make.one(64, 64, 72, 72, 72, 80, 96, 63, 16, 0)
    where: Argument = At(0) if make.odds(95) else make.one(0, 8)
    data = struct.pack("<Q", make.one(*INFO_MASKS)).ljust(INFO_BYTES, b"\x33")
    make.call("ioctl", pidfd(make), GET_INFO | size << 16, where, data=data, show=show_info)


def show_info(data: bytes, result: int, naming: Naming) -> str:
    """A struct pidfd_info without the number of the control group."""
    if result:
        return ""
    mask, _, *words = struct.unpack_from("<QQ11IiII", data)
    pids = " ".join(map(naming.pid, words[:3]))
    rest = data[72:].hex()
    return f"{mask:x} {pids} {words[3:11]} {words[11]:x} {words[12]:x} {words[13]:x} {rest}"


def ask_for_namespace(make: Maker) -> None:
    """PIDFD_GET_..._NAMESPACE, and other requests."""
    request = make.one(*NAMESPACES) if make.odds(85) else make.one(0xFF00, 0xFF0C, 0x541B, 0x80087601, 0x5451)
    make.opened(make.call("ioctl", pidfd(make), request, make.one(0, 0, 0, 0, 1)))


def signal_by_pidfd(make: Maker) -> None:
    """pidfd_send_signal."""
    number, flags = make.one(*SIGNALS), make.one(0, 0, 0, 1, 2, 4, 3, 8)
    if make.odds(70):
        make.call("pidfd_send_signal", pidfd(make), number, 0, flags)
        return
    info = struct.pack("<iii", make.one(number, number, 5), 0, make.one(-1, -1, -6, 0, 5)) + bytes(116)
    make.call("pidfd_send_signal", pidfd(make), number, At(0), flags, data=info)


def take_from(make: Maker) -> None:
    """pidfd_getfd, setns, process_madvise, process_mrelease, kcmp by pidfd."""
    kind = make.random.randrange(8)
    if kind < 3:
        made = make.call("pidfd_getfd", pidfd(make), make.descriptor(), make.one(0, 0, 0, 1))
        make.opened(made)
    elif kind < 6:
        kinds = (CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWNS)
        flags = make.bits(kinds, (CLONE_NEWUSER, CLONE_NEWPID, 1, 0x200), 25)
        make.call("setns", pidfd(make), flags)
    elif kind == 6:
        make.call("process_mrelease", pidfd(make), make.one(0, 0, 1))
    else:
        data = struct.pack("<QQ", ARENA, 4096)
        make.call(
            "process_madvise", pidfd(make), At(0), 1, make.one(3, 4, 20, 21), make.one(0, 0, 1), data=data
        )


def use_as_file(make: Maker) -> None:
    """What files can do: poll, fcntl, attributes, handles, position, size; and its fdinfo."""
    kind = make.random.randrange(16)
    descriptor = pidfd(make)
    if kind < 3:
        data = struct.pack("<iHH", -1, make.one(1, 0x3F, 0x40), 0x55)
        make.call("poll", At(0), 1, 0, data=data, fixups=((0, 4, descriptor),), show=show_poll)
    elif kind < 5:
        command = make.one(1, 2, 3, 3, 4)
        make.call("fcntl", descriptor, command, make.one(0, 1, 0o4000, 0o2000, 0o40000, 0o200))
    elif kind == 5:
        make.call(make.random.choice(("fchmod", "fchown", "ftruncate")), descriptor, make.one(0, 0o700, 5), 0)
    elif kind < 8:
        name = make.random.choice((TRUSTED, TRUSTED, b"user.a\0", b"security.a\0", b"trusted.\0"))
        call = make.random.choice(("fsetxattr", "fgetxattr", "fremovexattr", "fsetxattr"))
        data = name.ljust(32, b"\0") + b"value".ljust(16, b"\0")
        make.call(call, descriptor, At(0), At(32), make.one(0, 5, 5, 16), make.one(0, 0, 1, 2), data=data)
    elif kind == 8:
        make.call("flistxattr", descriptor, At(0), make.one(0, 64, 5), data=bytes(64))
    elif kind < 11:
        data = struct.pack("<Ii", make.one(0, 8, 8, 128), 0) + bytes(128) + b"\0" * 8
        flags = make.one(AT_EMPTY_PATH, AT_EMPTY_PATH, AT_EMPTY_PATH | AT_HANDLE_FID, 0, AT_EMPTY_PATH | 1)
        make.call(
            "name_to_handle_at", descriptor, At(136), At(0), At(140), flags, data=data, show=show_handle
        )
    elif kind == 11:
        make.opened(
            make.call("openat", AT_FDCWD, At(0), make.one(0, 2, 0o10000000), data=b"/proc/self/fd/3\0")
        )
    elif kind == 12:
        make.call("mmap", 0, 4096, make.one(1, 3), make.one(1, 2), descriptor, 0, result="address")
    elif kind == 13:
        make.call("fstat", descriptor, At(0), data=bytes(144), show=show_stat)
    elif kind == 14:
        make.call("fstatfs", descriptor, At(0), data=bytes(120), show=show_statfs)
    else:
        path = f"/proc/self/fdinfo/{make.one(0, 1, 2, 3, 4)}\0".encode().ljust(PATH_BYTES + 400, b"\0")
        make.operation(SLURP, data=path, show=show_details, result="none")


def show_poll(data: bytes, result: int, naming: Naming) -> str:
    """The events."""
    return hex(struct.unpack_from("<H", data, 6)[0])


def show_handle(data: bytes, result: int, naming: Naming) -> str:
    """How long and of what type a handle is."""
    size, kind = struct.unpack_from("<Ii", data)
    return f"{size} {kind:x}"


def show_stat(data: bytes, result: int, naming: Naming) -> str:
    """Mode, owner, links and size."""
    links, mode, uid, gid = struct.unpack_from("<QIII", data, 16)
    size = struct.unpack_from("<q", data, 48)[0]
    return f"{mode:o} {uid} {gid} {links} {size}"


def show_statfs(data: bytes, result: int, naming: Naming) -> str:
    """What kind of file system it is."""
    return hex(struct.unpack_from("<Q", data)[0])


def show_details(data: bytes, result: int, naming: Naming) -> str:
    """The lines of a fdinfo that are the same everywhere, with ids by their names."""
    shown = []
    for line in data[PATH_BYTES : max(result, PATH_BYTES)].decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        if name in {"Pid", "NSpid"}:
            shown.append(f"{name} {' '.join(naming.group(int(pid)) for pid in value.split())}")
        elif name in {"flags", "pos"}:
            shown.append(f"{name} {value.strip()}")
    return "; ".join(shown)


FAMILIES = (
    *(open_pidfd,) * 2,
    *(make_with_pidfd,) * 3,
    *(await_by_pidfd,) * 5,
    *(ask_for_info,) * 5,
    *(ask_for_namespace,) * 2,
    *(signal_by_pidfd,) * 3,
    *(take_from,) * 3,
    *(use_as_file,) * 5,
    *(make_process,) * 2,
    *(end_process,) * 2,
    go_on,
    *(send_signal, dispose, group, identify, duplicate),
)
