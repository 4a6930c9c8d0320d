"""Random calls on control groups, below one of the script's own where no controller is given."""

from __future__ import annotations

import struct

from tests.differential.maker import AT_FDCWD, Maker
from tests.differential.process_calls import THREAD, await_process
from tests.differential.script import (
    SLURP,
    STACK_BYTES,
    STACKS_BASE,
    Argument,
    At,
    Naming,
    Operation,
    Result,
    Stored,
    number_of,
)

CLONE_INTO_CGROUP, CLONE_NEWCGROUP, CLONE_NEWUSER = 1 << 33, 0x2000000, 0x10000000
HANDLE_AT, HANDLE_BYTES, IN_MODIFY, IN_NONBLOCK = 320, 8, 2, 0o4000
O_WRONLY, O_RDWR, O_DIRECTORY = 1, 2, 0o200000
PATH_BYTES, FILE_BYTES = 32, 512
PLACE = "/dev/shm/groups"
"""Where the group in which everybody is at first is mounted."""
GROUPS = ("a", "b", "a/x", "a/y", "b/x", "a/x/z")
PLACES = (*("a", "b", "a/x") * 5, *GROUPS, "", "c", "b/x/z/z")
MAXIMA = (b"0", b"1", b"2", b"2", b"max", b"max", b"-1", b"x", b"", b"99999999999")
TEXTS: dict[str, tuple[bytes, ...]] = {
    "cgroup.procs": (b"0", b"0", b"0", b"0", b"0\n", b"-1", b"x", b"", b"99999999", b"0 0"),
    "cgroup.threads": (b"0", b"0", b"0", b"-1", b"99999999"),
    "cgroup.type": (b"threaded", b"threaded", b"threaded\n", b"domain", b"x"),
    "cgroup.freeze": (b"0", b"0", b"1", b"2", b"x", b"-1"),
    "cgroup.kill": (b"1", b"0", b"2"),
    "cgroup.subtree_control": (
        *(b"+memory", b"-memory", b"+pids +cpu", b"+cpu -cpu", b"-pids +memory", b""),
        *(b"+nosuch", b"memory", b"+", b"+memory nosuch", b"  -cpu  "),
    ),
    "cgroup.max.depth": MAXIMA,
    "cgroup.max.descendants": MAXIMA,
    "cgroup.controllers": (b"memory",),
    "cgroup.events": (b"1",),
    "cgroup.none": (b"1",),
}
FILES = (
    *("cgroup.procs", "cgroup.threads", "cgroup.type", "cgroup.events") * 3,
    *("cgroup.freeze", "cgroup.stat", "cgroup.max.depth", "cgroup.max.descendants"),
    *("cgroup.subtree_control", "cgroup.controllers", "cgroup.kill", "pids.max", "cgroup.none"),
)
_WRITTEN = (
    *("cgroup.procs",) * 6,
    *("cgroup.threads", "cgroup.type", "cgroup.freeze", "cgroup.subtree_control") * 2,
    *(name for name in TEXTS if name != "cgroup.procs"),
)
_FROZEN, _NEVER_FROZEN = ("a", "a", "a/x", "a/y"), ("b", "b", "b/x")
"""Who is made in a frozen group can't say that it's there, so that nobody would end it."""
_ABOUT_ALL = ("cgroup.freeze", "cgroup.kill", "cgroup.type")
"""Files that aren't written in the script's own group: whoever gives out operations is there."""


def begin(make: Maker) -> None:
    """Remove what an earlier script has left, and give the first actor some groups and some company."""
    make.call("chdir", At(0), data=make.text(PLACE))
    for name in sorted((*GROUPS, "c"), key=lambda name: -name.count("/")):
        make.call("rmdir", At(0), data=make.text(name), result="hidden")
    # What is left of a maximum would be in the way.
    for name in ("cgroup.max.depth", "cgroup.max.descendants"):
        opened = make.call("open", At(0), O_WRONLY, data=make.text(name))
        make.call("write", Result(opened), At(0), 3, data=b"max")
        make.call("close", Result(opened))
    for _ in range(2):
        make.spawn("fork")
    for name in ("a", "b", "a/x"):
        make.call("mkdir", At(0), 0o755, data=make.text(name))


def place(make: Maker) -> str:
    """A group."""
    return make.random.choice(PLACES)


def path(group: str, file: str) -> str:
    """A file of a group."""
    return f"{group}/{file}" if group else file


def make_group(make: Maker) -> None:
    """mkdir."""
    make.call("mkdir", At(0), make.one(0o755, 0o755, 0o700), data=make.text(place(make)))


def remove_group(make: Maker) -> None:
    """rmdir."""
    make.call("rmdir", At(0), data=make.text(place(make)))


def write_file(make: Maker) -> None:
    """A control file opened, written and, most often, closed."""
    name, group = make.random.choice(_WRITTEN), place(make)
    if (not group and name in _ABOUT_ALL) or name == "cgroup.freeze":
        group = make.random.choice(_FROZEN)
    flags = make.one(O_WRONLY, O_WRONLY, O_RDWR)
    make.opened(make.call("open", At(0), flags, data=make.text(path(group, name))))
    write_text(make, make.descriptors[-1], make.random.choice(TEXTS[name]))
    if make.odds(80):
        make.call("close", make.descriptors.pop())


def write_text(make: Maker, descriptor: Argument, text: bytes) -> None:
    """Write to a control file."""
    make.call("write", descriptor, At(0), len(text), data=text + b"\0")


def write_again(make: Maker) -> None:
    """One more write to a file that is open, whose group may be gone; no number that could be a task's id."""
    text = make.random.choice((b"0", b"0", b"-1", b"x", b"", b"max", b"threaded", b"+memory"))
    write_text(make, make.opened_descriptor(), text)


def show_file(data: bytes, result: int, naming: Naming) -> str:
    """A control file: tasks by their names, and without what comes a little later."""
    lines = data[PATH_BYTES : max(result, PATH_BYTES)].decode("latin-1").splitlines()
    if all(line.isdigit() for line in lines) and b"cgroup.max" not in data[:PATH_BYTES]:
        numbers = b"cgroup.procs" in data[:PATH_BYTES] or b"cgroup.threads" in data[:PATH_BYTES]
        return " ".join(sorted(naming.pid(int(line)) if numbers else line for line in lines))
    # Whoever is told to freeze does it when it comes to that; Linux has more in cgroup.stat.
    hidden = ("frozen ", "nr_dying", "nr_subsys")
    return "; ".join(line for line in lines if not line.startswith(hidden))


def read_file(make: Maker) -> None:
    """A control file, read."""
    file, group = make.random.choice(FILES), place(make)
    if not group and file == "cgroup.controllers":
        # What is given to everybody isn't the same on all hosts.
        group = "a"
    name = make.text(path(group, file))
    make.operation(SLURP, data=name.ljust(PATH_BYTES + FILE_BYTES, b"\0"), show=show_file, result="none")


def show_membership(data: bytes, result: int, naming: Naming) -> str:
    """Where a task is, below the group of its own."""
    text = data[PATH_BYTES : max(result, PATH_BYTES)].decode("latin-1")
    found = [line[4:].split("/", 1)[1:] for line in text.splitlines() if line.startswith("0::/")]
    return str(found)


def where(make: Maker) -> None:
    """/proc/self/cgroup."""
    data = b"/proc/self/cgroup\0".ljust(PATH_BYTES + FILE_BYTES, b"\0")
    make.operation(SLURP, data=data, show=show_membership, result="none")


def spawn(make: Maker) -> None:
    """One more actor, sometimes made in a group."""
    if len(make.actors) > 4:
        return
    # Linux 6.18 kills who is made in another group than its maker's if that was killed some time before.
    has_killed = any(operation.data.endswith(b"cgroup.kill\0") for operation in make.operations)
    if has_killed or make.odds(30):
        make.spawn("fork")
        return
    name = make.random.choice(_NEVER_FROZEN)
    group = make.call("open", At(0), make.one(0, O_DIRECTORY), data=make.text(name))
    data = struct.pack("<11Q", CLONE_INTO_CGROUP, *(0,) * 3, 17, *(0,) * 6)
    make.spawn("clone3", At(0), len(data), data=data, fixups=((80, 8, Result(group)),))
    make.call("close", Result(group))


def delegate(make: Maker) -> None:
    """Owners and rights."""
    kind = make.one(0, 0, 1, 2)
    if kind == 0:
        file = make.random.choice(("", "cgroup.procs", "cgroup.procs", "cgroup.threads", "cgroup.type"))
        group = make.random.choice(GROUPS)
        make.call("chown", At(0), 1000, 1000, data=make.text(path(group, file) if file else group))
    elif kind == 1:
        make.call("chmod", At(0), make.one(0o600, 0o444, 0o666), data=make.text(path("a", "cgroup.procs")))
    elif make.actor:
        make.call("setresuid", 1000, 1000, 1000)


ODD_NAMES = ("none", "a/", "a/.", "a/..", "n" * 255, "n" * 256, "a/" + "n" * 300)
ATTRIBUTES = ("user.a", "user.b", "trusted.a", "security.a", "user.", "x.y", "system.z")


def name(make: Maker) -> str:
    """A group or a file of one, more or less odd."""
    if make.odds(40):
        return make.random.choice((*PLACES, *ODD_NAMES))
    return path(place(make), make.random.choice((*FILES, "memory.current", "pids.current", "cpu.stat")))


def refuse(make: Maker) -> None:
    """What kernfs doesn't do: files, links and other names."""
    one, other = make.text(name(make)), make.text(name(make))
    data = one.ljust(320, b"\0") + other
    kind = make.random.randrange(9)
    if kind == 0:
        make.call("link", At(0), At(320), data=data)
    elif kind == 1:
        make.call("symlink", At(0), At(320), data=data)
    elif kind == 2:
        make.call("rename", At(0), At(320), data=data)
    elif kind == 3:
        flags = make.one(0, 1, 2, 4, 8, 3)
        make.call("renameat2", AT_FDCWD, At(0), AT_FDCWD, At(320), flags, data=data)
    elif kind == 4:
        make.call("unlink", At(0), data=data)
    elif kind == 5:
        make.call("mknod", At(0), make.one(0o100600, 0o10600, 0o140600), 0, data=data)
    elif kind == 6:
        flags = make.one(0o101, 0o301, 0o100, 0o1001, 0o20200002, 0o200000, 0o200002, 0o40000, 0o2001)
        make.opened(make.call("open", At(0), flags, 0o600, data=data))
    elif kind == 7:
        make.call("truncate", At(0), make.one(0, 5, -1), data=data)
    else:
        make.call("rmdir", At(0), data=data)


def use_attributes(make: Maker) -> None:
    """Extended attributes of groups and their files."""
    where = make.text(name(make))
    attribute = make.text(make.random.choice(ATTRIBUTES))
    data = where.ljust(320, b"\0") + attribute.ljust(32, b"\0") + b"value".ljust(64, b"\0")
    kind = make.random.randrange(8)
    if kind < 3:
        make.call(
            "setxattr", At(0), At(320), At(352), make.one(0, 5, 5, 64, 70000), make.one(0, 0, 1, 2), data=data
        )
    elif kind < 5:
        make.call("getxattr", At(0), At(320), At(352), make.one(0, 3, 64, 64), data=data)
    elif kind == 5:
        make.call("removexattr", At(0), At(320), data=data)
    else:
        make.call("listxattr", At(0), At(320), make.one(0, 5, 64), data=data)


def look_around(make: Maker) -> None:
    """getdents64, stat, statfs, access, handles, poll, and reading and writing at places."""
    where = make.text(name(make))
    kind = make.random.randrange(16)
    if kind < 2:
        opened = make.opened(make.call("open", At(0), O_DIRECTORY, data=where))
        make.call(
            "getdents64", Result(opened), At(0), 8192, data=bytes(8192), show=show_groups, result="hidden"
        )
    elif kind < 5:
        make.call("stat", At(0), At(320), data=where.ljust(320, b"\0") + bytes(144), show=show_stat)
    elif kind == 5:
        make.call("statfs", At(0), At(320), data=where.ljust(320, b"\0") + bytes(120), show=show_statfs)
    elif kind == 6:
        make.call("access", At(0), make.one(0, 1, 2, 4, 7), data=where)
    elif kind == 7:
        data = where.ljust(320, b"\0") + struct.pack("<Ii", make.one(0, 4, 8, 8, 64), 0) + bytes(72)
        flags = make.one(0, 0, 0x200, 0x1000, 2)
        make.call("name_to_handle_at", AT_FDCWD, At(0), At(320), At(392), flags, data=data, show=show_handle)
    elif kind < 10:
        opened = make.opened(make.call("open", At(0), make.one(0, 0, 1, 2, 0o4000, 0o2000000), data=where))
        data = struct.pack("<ihh", 0, make.one(1, 2, 5, 0x3F), 0)
        make.call("poll", At(0), 1, 0, data=data, fixups=((0, 4, Result(opened)),), show=show_poll)
    elif kind < 13:
        length, at = make.one(0, 1, 3, 64), make.one(0, 0, 1, 3, 100, -1)
        make.call("pread64", make.opened_descriptor(), At(0), length, at, data=bytes(64), show=show_nothing)
    elif kind == 13:
        make.call(
            "lseek", make.opened_descriptor(), make.one(0, 1, 100, -1, 1 << 62), make.one(0, 1, 2, 3, 4)
        )
    elif kind == 14:
        text = make.random.choice((b"0", b"max", b"x", b""))
        make.call(
            "pwrite64", make.opened_descriptor(), At(0), len(text), make.one(0, 1, 5), data=text + b"\0"
        )
    else:
        request = make.one(0x541B, 0x5451, 0x80086601, 0x5421, 0x80087601)
        make.call("ioctl", make.opened_descriptor(), request, At(0), data=bytes(8))


def show_nothing(data: bytes, result: int, naming: Naming) -> str:
    """Show nothing: what else a control file says hangs on the host."""
    return ""


def show_groups(data: bytes, result: int, naming: Naming) -> str:
    """The groups among a directory's entries."""
    found, at = [], 0
    while at < result:
        length, kind = struct.unpack_from("<HB", data, at + 16)
        if kind == 4:
            found.append(data[at + 19 : at + length].partition(b"\0")[0].decode("latin-1"))
        at += length
    return " ".join(sorted(found))


def show_stat(data: bytes, result: int, naming: Naming) -> str:
    """Mode, owners, links and size."""
    links, mode, uid, gid = struct.unpack_from("<QIII", data, 320 + 16)
    size, block, blocks = struct.unpack_from("<qqq", data, 320 + 48)
    return f"{mode:o} {uid} {gid} {links} {size} {block} {blocks}"


def show_statfs(data: bytes, result: int, naming: Naming) -> str:
    """Type, sizes and the longest name."""
    kind, block, blocks, free = struct.unpack_from("<QQQQ", data, 320)
    return f"{kind:x} {block} {blocks} {free} {struct.unpack_from('<Q', data, 320 + 64)[0]}"


def show_handle(data: bytes, result: int, naming: Naming) -> str:
    """How long and of what type a handle is."""
    size, kind = struct.unpack_from("<Ii", data, 320)
    return f"{size} {kind:x}"


def show_poll(data: bytes, result: int, naming: Naming) -> str:
    """The events."""
    return hex(struct.unpack_from("<H", data, 6)[0])


def make_thread(make: Maker) -> None:
    """A thread, which may be in another group of a threaded part than its process, or its end."""
    if len(make.actors) > 5:
        if make.actor and make.odds(30):
            make.call("exit", 0)
        return
    stack = STACKS_BASE + STACK_BYTES * (make.next_actor + 1) - 256
    make.spawn("clone", THREAD, stack, 0, 0, 0)
    if make.odds(60):
        make.actor = make.actors[-1]
        group = make.random.choice(("a", "b", "a/x", ""))
        opened = make.call("open", At(0), O_WRONLY, data=make.text(path(group, "cgroup.threads")))
        write_text(make, Result(opened), b"0")
        make.call("close", Result(opened))


def make_threaded(make: Maker) -> None:
    """A group and one below it become threaded, and somebody goes there."""
    for group in ("b", "b/x")[: make.one(1, 2, 2)]:
        make.call("mkdir", At(0), 0o755, data=make.text(group))
        opened = make.call("open", At(0), O_WRONLY, data=make.text(path(group, "cgroup.type")))
        write_text(make, Result(opened), b"threaded")
        make.call("close", Result(opened))
    file = make.random.choice(("cgroup.threads", "cgroup.threads", "cgroup.procs"))
    opened = make.call("open", At(0), O_WRONLY, data=make.text(path(make.random.choice(("b", "b/x")), file)))
    write_text(make, Result(opened), b"0")
    make.call("close", Result(opened))


def leave_others(make: Maker) -> None:
    """unshare and setns: whose groups' names begin where one is now."""
    kind = make.random.randrange(6)
    if kind < 2:
        make.call("unshare", CLONE_NEWCGROUP)
    elif kind == 2:
        make.call("unshare", CLONE_NEWUSER | make.one(0, CLONE_NEWCGROUP))
    elif kind < 5:
        opened = make.opened(make.call("open", At(0), 0, data=b"/proc/self/ns/cgroup\0"))
        make.call("fcntl", Result(opened), 1030, 0)
        make.descriptors.append(Result(make.operations[-1]))
    else:
        make.call("setns", make.opened_descriptor(), make.one(0, CLONE_NEWCGROUP))
    where(make)


def spawn_oddly(make: Maker) -> None:
    """clone3 into what is no group, or is none any more, or takes no processes."""
    data = struct.pack("<11Q", CLONE_INTO_CGROUP | make.one(0, 0, THREAD), *(0,) * 3, 17, *(0,) * 6)
    kind = make.random.randrange(4)
    if kind == 0:
        target: Argument = make.one(-1, 63, 1 << 20, 1 << 33)
        make.spawn("clone3", At(0), 88, data=data, fixups=((80, 8, target),), is_hopeless=True)
        return
    name = make.random.choice(("a/cgroup.procs", "/dev/shm", "/proc/self/exe", "none"))
    opened = make.call("open", At(0), make.one(0, 0o10000000), data=make.text(name))
    make.spawn(
        "clone3", At(0), make.one(88, 80, 64), data=data, fixups=((80, 8, Result(opened)),), is_hopeless=True
    )
    make.call("close", Result(opened))


def find_by_handle(make: Maker) -> None:
    """open_by_handle_at of groups that were there, and may have gone since."""
    asked = [
        operation
        for operation in make.operations
        if operation.call == number_of("name_to_handle_at")
        and operation.data[HANDLE_AT:].startswith(b"\10\0")
    ]
    if not asked or make.odds(40):
        data = (
            make.text(place(make)).ljust(HANDLE_AT, b"\0") + struct.pack("<Ii", HANDLE_BYTES, 0) + bytes(72)
        )
        make.call(
            *("name_to_handle_at", AT_FDCWD, At(0), At(HANDLE_AT), At(HANDLE_AT + 72), make.one(0, 0, 0x200)),
            data=data,
            show=show_handle,
        )
        return
    told: Operation = make.random.choice(asked)
    data = struct.pack("<IiQ", HANDLE_BYTES, make.one(0xFE, 0xFE, 0xFE, 1), 0)
    fixups = ((8, 8, Stored(told, HANDLE_AT + 8, is_word=True)),)
    base = make.call("open", At(0), O_DIRECTORY, data=make.text(make.random.choice(("a", "b", "."))))
    flags = make.one(0, O_DIRECTORY, 0o10000000)
    make.opened(
        make.call(
            "open_by_handle_at", Result(base), At(0), flags, data=data, fixups=fixups, show=show_nothing
        )
    )
    make.call("close", Result(base))


def watch_group(make: Maker) -> None:
    """inotify of a group, and of the file that tells whether anybody is in it."""
    made = make.opened(make.call("inotify_init1", IN_NONBLOCK))
    name = make.text(make.random.choice(("a/cgroup.events", "b", "a", "a/x/cgroup.events")))
    make.call("inotify_add_watch", Result(made), At(0), make.one(0xFFF, IN_MODIFY, 0x700), data=name)


def change_directory(make: Maker) -> None:
    """A group as the directory where one is, and back."""
    make.call("chdir", At(0), data=make.text(make.random.choice(("a", "b", "a/x"))))
    make.random.choice((look_around, read_file, refuse))(make)
    make.call("chdir", At(0), data=make.text(PLACE))


FAMILIES = (
    *(refuse,) * 3,
    *(use_attributes,) * 2,
    *(look_around,) * 4,
    *(make_group, remove_group) * 2,
    *(write_file,) * 6,
    *(read_file,) * 5,
    *(write_again, where, spawn, delegate),
    *(make_thread, make_thread, make_threaded, leave_others, spawn_oddly, find_by_handle),
    *(watch_group, change_directory, await_process),
)
