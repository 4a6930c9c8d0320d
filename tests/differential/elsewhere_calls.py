"""Random calls on files elsewhere: of /proc, devices and groups, by links of /proc, and deleted ones.

Nothing there is given other rights or owners: some of what a mount of /proc shows is shared by all.
"""

from __future__ import annotations

import re
import struct

from tests.differential.file_calls import MODES, show_entries, show_stat, show_statx
from tests.differential.maker import AT_FDCWD, BAD_ADDRESS, Maker
from tests.differential.script import Argument, At, Naming, Result, number_of

AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH = 0x400, 0x100, 0x1000
O_PATH, O_DIRECTORY, O_NOFOLLOW, O_TMPFILE = 0o10000000, 0o200000, 0o400000, 0o20200000
PROC = (
    *("/proc/self/status", "/proc/self/maps", "/proc/self/comm", "/proc/self/environ", "/proc/self/mem"),
    *(
        "/proc/self",
        "/proc/self/",
        "/proc/thread-self",
        "/proc/self/task",
        "/proc/self/fd",
        "/proc/self/fdinfo",
    ),
    *("/proc/self/cwd", "/proc/self/cwd/", "/proc/self/cwd/d", "/proc/self/cwd/a"),
    *("/proc/self/none", "/proc/self/status/", "/proc/self/fd/x", "/proc/self/fd/99", "/proc/self/fd/00"),
    *(
        "/proc/self/fd/-1",
        "/proc/self/fd/4294967296",
        "/proc/self/fdinfo/0",
        "/proc/self/ns",
        "/proc/self/ns/uts",
    ),
)
LINKS = (
    *(f"/proc/self/fd/{number}" for number in (0, 0, 0, 1, 1, 2, 3)),
    "/proc/thread-self/fd/0",
    "/proc/self/fd/0/",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/pts", "/dev/tty", "/dev/null/", "/dev/pts/0")
GROUPS = ("/dev/shm/groups", "/dev/shm/groups/cgroup.type", "/dev/shm/groups/none")
ALL = (*PROC, *LINKS, *LINKS, *DEVICES, *GROUPS)
PATH_BYTES = 64


def place(make: Maker) -> bytes:
    """A path that leads elsewhere."""
    return make.text(make.random.choice(ALL))


def elsewhere(make: Maker) -> Argument:
    """A descriptor of a file that isn't the script's own."""
    found = [
        operation
        for operation in make.operations
        if operation.call == number_of("openat") and operation.data.startswith((b"/proc", b"/dev"))
    ]
    return Result(make.random.choice(found[-3:])) if found and make.odds(92) else make.opened_descriptor()


def open_elsewhere(make: Maker) -> None:
    """openat, of what is there; by a link of /proc one more time."""
    flags = make.one(0, 0, 0, 1, 2, 3) | make.bits(
        (0o4000, 0o2000000, O_NOFOLLOW),
        (O_PATH, O_PATH, O_DIRECTORY, 0o100, 0o300, 0o2000, O_TMPFILE, 0o40000),
        35,
    )
    opened = make.call("openat", AT_FDCWD, At(0), flags, 0o644, data=place(make))
    if opened.data.startswith((b"/proc/self/fd/", b"/proc/thread-self/fd/")):
        # Most often that is a file of the script.
        make.opened(opened)


def show_end(data: bytes, result: int, naming: Naming) -> str:
    """Where a link leads, without numbers of inodes and tasks."""
    text = data[PATH_BYTES : PATH_BYTES + max(result, 0)]
    text = re.sub(rb"\d{3,}", b"N", text)
    return text.rpartition(b"/differential/")[2].decode(errors="replace")


def look_elsewhere(make: Maker) -> None:
    """stat, statx, access, readlink, statfs, attributes and handles of what is there."""
    path = place(make).ljust(PATH_BYTES, b"\0")
    kind = make.random.randrange(11)
    if kind < 2:
        name = make.random.choice(("stat", "lstat"))
        make.call(name, At(0), At(PATH_BYTES), data=path + bytes(144), show=show_kind)
    elif kind == 2:
        flags = make.bits((0x100, 0x800, 0x1000))
        make.call(
            "newfstatat", AT_FDCWD, At(0), At(PATH_BYTES), flags, data=path + bytes(144), show=show_kind
        )
    elif kind == 3:
        make.call(
            "faccessat2",
            *(AT_FDCWD, At(0), make.one(0, 1, 2, 4, 7), make.bits((0x100, 0x200, 0x1000))),
            data=path,
        )
    elif kind < 7:
        size = make.one(100, 100, 100, 1, 0, 5)
        make.call(
            "readlink", At(0), At(PATH_BYTES), size, data=path + bytes(100), show=show_end, result="hidden"
        )
    elif kind == 7:
        name = make.random.choice(("user.a", "trusted.a", "security.a", "system.posix_acl_access"))
        call = make.random.choice(("getxattr", "lgetxattr", "setxattr", "lsetxattr", "removexattr"))
        if path.startswith(b"/dev") and not call.endswith("getxattr"):
            call = "getxattr"
        make.call(
            call,
            At(0),
            At(PATH_BYTES),
            At(96),
            make.one(5, 0),
            0,
            data=path + make.text(name).ljust(32, b"\0") + bytes(16),
        )
    elif kind == 8:
        make.call(
            "listxattr", At(0), At(PATH_BYTES), make.one(0, 16), data=path + bytes(16), show=lambda *_: ""
        )
    elif kind == 9:
        # Whether /dev is a file system of its own isn't the same everywhere.
        path = make.text(make.random.choice((*PROC, *LINKS))).ljust(PATH_BYTES, b"\0")
        how = struct.pack("<QQQ", make.one(0, 0, O_PATH, O_DIRECTORY), 0, make.bits((1, 2, 4, 8, 16)))
        make.opened(make.call("openat2", make.directory(), At(0), At(PATH_BYTES), 24, data=path + how))
        make.call("close", make.descriptors.pop())
    else:
        # Nobody goes there: what names that aren't absolute mean would be there, too.
        data = path + struct.pack("<Ii", 0, 0) + bytes(64)
        flags = make.one(0, 0, AT_SYMLINK_FOLLOW, 0x200)
        make.call(
            "name_to_handle_at",
            *(AT_FDCWD, At(0), At(PATH_BYTES), At(140), flags),
            data=data.ljust(160, b"\0"), show=lambda *_: "",
        )  # fmt: skip


def show_kind(data: bytes, result: int, naming: Naming) -> str:
    """What kind of file it is and who may do what; not how large a device or a directory is."""
    mode, uid, gid = struct.unpack_from("<III", data, len(data) - 144 + 24)
    return f"{mode:o} {uid}:{gid}" if result == 0 else ""


def change_elsewhere(make: Maker) -> None:
    """Entries made and removed where there are none to be made, and moved across file systems."""
    there = make.text(make.random.choice((*PROC, *LINKS, "/dev/pts/0", "/dev/pts/x")))
    own = make.text(make.random.choice(("a", "b", "d", "d/a", "e", "l")))
    pair = [there, own] if make.odds(50) else [own, there]
    data = pair[0].ljust(PATH_BYTES, b"\0") + pair[1].ljust(PATH_BYTES, b"\0")
    kind = make.random.randrange(10)
    if kind == 0:
        make.call("mkdir", At(0), 0o755, data=there)
    elif kind == 1:
        make.call(make.random.choice(("rmdir", "unlink")), At(0), data=there)
    elif kind < 4:
        make.call("rename", At(0), At(PATH_BYTES), data=data)
    elif kind == 4:
        make.call("renameat2", AT_FDCWD, At(0), AT_FDCWD, At(PATH_BYTES), make.one(0, 1, 2, 4), data=data)
    elif kind < 7:
        flags = make.one(0, AT_SYMLINK_FOLLOW, AT_SYMLINK_FOLLOW, AT_SYMLINK_FOLLOW, AT_EMPTY_PATH)
        source = make.text(make.random.choice((*LINKS, *PROC)))
        data = source.ljust(PATH_BYTES, b"\0") + own
        make.call("linkat", AT_FDCWD, At(0), make.directory(), At(PATH_BYTES), flags, data=data)
    elif kind == 7:
        make.call(
            "symlink",
            At(0),
            At(PATH_BYTES),
            data=data if there != pair[0] else own.ljust(PATH_BYTES, b"\0") + there,
        )
    elif kind == 8:
        make.call(
            "truncate",
            At(0),
            make.one(0, 5, 100, -1),
            data=make.text(make.random.choice((*LINKS, *PROC[:6]))),
        )
    else:
        kind_of_file = make.one(0o100600, 0o10600, 0o20600)
        make.call("mknod", At(0), kind_of_file, 0x103, data=there)


def change_by_link(make: Maker) -> None:
    """Rights, owner, times and attributes of what a link of /proc leads to, which is the script's own."""
    path = make.text(make.random.choice(LINKS[:7])).ljust(PATH_BYTES, b"\0")
    found = [operation for operation in make.operations if operation.call == number_of("openat")]
    if any(operation.data.startswith((b"/proc", b"/dev")) for operation in found):
        return
    kind = make.random.randrange(4)
    if kind == 0:
        make.call("chmod", At(0), make.random.choice(MODES), data=path)
    elif kind == 1:
        make.call("chown", At(0), make.one(-1, 0, 1000), make.one(-1, 0, 1000), data=path)
    elif kind == 2:
        times = struct.pack("<qqqq", 7, 5, 8, 6)
        make.call("utimensat", AT_FDCWD, At(0), At(PATH_BYTES), 0, data=path + times)
    else:
        data = path + b"user.a\0".ljust(16, b"\0") + b"value"
        make.call("setxattr", At(0), At(PATH_BYTES), At(80), 5, 0, data=data)


def use_elsewhere(make: Maker) -> None:
    """What a descriptor of such a file is for."""
    descriptor = elsewhere(make)
    kind = make.random.randrange(24)
    if kind < 3:
        make.call("fcntl", descriptor, make.one(3, 3, 1, 1034, 1025))
    elif kind < 5:
        make.call("fstat", descriptor, At(0), data=bytes(144), show=show_kind)
    elif kind == 5:
        make.call(
            "lseek", descriptor, make.one(0, 1, 100, -1, 1 << 62), make.one(0, 1, 3, 4, 5), show=lambda *_: ""
        )
    elif kind == 6:
        make.call(
            "pread64",
            descriptor,
            At(0),
            make.one(0, 0, 1),
            make.one(0, -1, 1 << 62),
            data=bytes(8),
            show=lambda *_: "",
        )
    elif kind == 7:
        make.call("read", descriptor, BAD_ADDRESS, make.one(1, 0, -1))
    elif kind == 8:
        make.call("write", descriptor, At(0), make.one(0, 0, 1), data=b"x")
    elif kind == 9:
        make.call("ftruncate", descriptor, make.one(0, 10, -1))
    elif kind == 10:
        make.call("fallocate", descriptor, make.one(0, 1, 3, 8), make.one(0, -1), make.one(1, 4096, 0))
    elif kind < 13:
        make.call("fsync", descriptor)
    elif kind == 13:
        make.call("fadvise64", descriptor, make.one(0, -1), make.one(0, 4096, -1), make.one(0, 1, 4, 9))
    elif kind == 14:
        make.call("flock", descriptor, make.one(5, 6, 8, 4))
    elif kind == 15:
        lock = struct.pack(
            "<hhiqqii", make.one(0, 1, 2, 3), make.one(0, 1, 2), 0, make.one(0, 5, -1), 0, 0, 0
        )
        make.call("fcntl", descriptor, make.one(5, 6, 36, 37), At(0), data=lock)
    elif kind == 16:
        make.call(
            "getdents64",
            descriptor,
            At(0),
            make.one(2048, 10, 0),
            data=bytes(2048),
            show=lambda *_: "",
            result="hidden",
        )
    elif kind == 17:
        request = make.one(0x541B, 0x5421, 2, 1, 0x80086601, 0x5401, 0x801C581F)
        make.call("ioctl", descriptor, request, At(0), data=bytes(64), show=lambda *_: "")
    elif kind == 18:
        data = struct.pack("<ihh", 0, make.one(0x7FF, 1, 4), 0)
        make.call("poll", At(0), 1, 0, data=data, fixups=((0, 4, descriptor),), show=show_poll)
    elif kind == 19:
        pair = [descriptor, make.descriptor()]
        if make.odds(50):
            pair.reverse()
        call = make.random.choice(("sendfile", "copy_file_range"))
        # Nothing is moved: what is in files of /proc differs.
        arguments = (0, 0) if call == "sendfile" else (0, 0, make.one(0, 0, 1))
        if call == "sendfile":
            make.call(call, *pair, *arguments)
        else:
            make.call(call, pair[0], 0, pair[1], *arguments)
    elif kind == 20:
        make.call(
            "mmap",
            0,
            4096,
            make.one(1, 3),
            make.one(1, 2),
            descriptor,
            make.one(0, 1, 4096),
            result="address",
        )
    elif kind == 21:
        make.call(
            "newfstatat",
            descriptor,
            At(0),
            At(8),
            make.one(0x1000, 0x1100, 0),
            data=b"".ljust(152, b"\0"),
            show=show_kind,
        )
    elif kind == 22:
        name = make.text(make.random.choice(("status", "0", "..", "a", "null", "cgroup.type")))
        make.call("openat", descriptor, At(0), O_PATH | make.bits((O_NOFOLLOW, O_DIRECTORY)), data=name)
    else:
        make.call("close", descriptor)


def show_poll(data: bytes, result: int, naming: Naming) -> str:
    """The events."""
    return hex(struct.unpack_from("<H", data, 6)[0])


def delete_and_use(make: Maker) -> None:
    """A file or a directory that is deleted while it's open, or that never had a name."""
    if make.odds(50):
        delete_directory(make)
    else:
        delete_file(make)


def delete_file(make: Maker) -> None:
    """What is left of a file without a name, and how it gets one again."""
    name = make.text(make.random.choice(("a", "b", "d/a", "e")))
    if make.odds(50):
        flags = O_TMPFILE | make.one(2, 2, 1) | make.bits((), (0o200, O_PATH), 20)
        where = make.text(make.random.choice((".", "d", "e")))
        made = make.call("openat", AT_FDCWD, At(0), flags, 0o644, data=where)
    else:
        made = make.call("openat", AT_FDCWD, At(0), make.one(0o102, 0o102, 2, O_PATH), 0o644, data=name)
        make.call("unlink", At(0), data=name)
    make.opened(made)
    for _ in range(make.random.randrange(4)):
        kind = make.random.randrange(7)
        other = make.text(make.random.choice(("b", "c", "d/c", "a")))
        if kind == 0:
            data = b"\0".ljust(8, b"\0") + other
            make.call("linkat", Result(made), At(0), AT_FDCWD, At(8), AT_EMPTY_PATH, data=data)
        elif kind == 1:
            make.call("fstat", Result(made), At(0), data=bytes(144), show=show_stat)
        elif kind == 2:
            data = b"/proc/self/fd/0".ljust(PATH_BYTES, b"\0") + other
            make.call("linkat", AT_FDCWD, At(0), AT_FDCWD, At(PATH_BYTES), AT_SYMLINK_FOLLOW, data=data)
        elif kind == 3:
            data = b"\0".ljust(8, b"\0") + bytes(256)
            make.call("statx", Result(made), At(0), AT_EMPTY_PATH, 0x7FF, At(8), data=data, show=show_statx)
        elif kind == 4:
            make.call("write", Result(made), At(0), 5, data=b"hello")
        elif kind == 5:
            make.call("fcntl", Result(made), 3)
        else:
            data = b"/proc/self/fd/0".ljust(PATH_BYTES, b"\0") + bytes(100)
            make.call("readlink", At(0), At(PATH_BYTES), 100, data=data, show=show_end, result="hidden")


def delete_directory(make: Maker) -> None:
    """A directory that is removed while somebody is in it, and what still works there."""
    name = make.text(make.random.choice(("x", "d", "e")))
    home = make.call("openat", AT_FDCWD, At(0), O_DIRECTORY | O_PATH, data=b".\0")
    make.call("mkdir", At(0), 0o755, data=name)
    opened = make.call("openat", AT_FDCWD, At(0), make.one(O_DIRECTORY, O_DIRECTORY | O_PATH), data=name)
    is_inside = make.odds(50)
    if is_inside:
        make.call("fchdir", Result(opened))
        data = b"../" + name
    else:
        data = name
    make.call("rmdir", At(0), data=data)
    for _ in range(1 + make.random.randrange(3)):
        kind = make.random.randrange(10)
        if kind == 0:
            make.call(
                "openat",
                Result(opened),
                At(0),
                make.one(0o102, 0, O_TMPFILE | 2),
                0o644,
                data=make.text(make.random.choice(("a", ".", ".."))),
            )
        elif kind == 1:
            make.call(
                "mkdirat", Result(opened), At(0), 0o755, data=make.text(make.random.choice(("a", ".", "..")))
            )
        elif kind == 2:
            make.call("getcwd", At(0), 100, data=bytes(100))
        elif kind == 3:
            make.call("getdents64", Result(opened), At(0), 2048, data=bytes(2048), show=show_entries)
        elif kind == 4:
            data = b"\0".ljust(8, b"\0") + bytes(144)
            make.call("newfstatat", Result(opened), At(0), At(8), 0x1000, data=data, show=show_stat)
        elif kind == 5:
            make.call("renameat", AT_FDCWD, At(0), Result(opened), At(8), data=b"a".ljust(8, b"\0") + b"a\0")
        elif kind == 6:
            make.call("linkat", AT_FDCWD, At(0), Result(opened), At(8), 0, data=b"a".ljust(8, b"\0") + b"a\0")
        elif kind == 7:
            make.call(
                "unlinkat",
                Result(opened),
                At(0),
                make.one(0, 0x200),
                data=make.text(make.random.choice(("a", ".", ".."))),
            )
        elif kind == 8:
            make.call("symlinkat", At(0), Result(opened), At(0), data=b"a\0")
        else:
            make.call(
                "faccessat", Result(opened), At(0), 2, data=make.text(make.random.choice((".", "..", "a")))
            )
    if is_inside:
        make.call("fchdir", Result(home))
    make.call("close", Result(opened))
    make.call("close", Result(home))


def use_own(make: Maker) -> None:
    """What descriptors are for, whatever they were opened for."""
    descriptor = make.opened_descriptor()
    kind = make.random.randrange(14)
    if kind < 3:
        make.call("fcntl", descriptor, make.one(3, 3, 1))
    elif kind == 3:
        # What is in others' files isn't the same everywhere.
        make.call("read", descriptor, At(0), make.one(0, 5), data=bytes(10), show=lambda *_: "")
    elif kind == 4:
        make.call("write", descriptor, At(0), make.one(0, 5), data=b"hello")
    elif kind == 5:
        make.call("ftruncate", descriptor, make.one(0, 10, 5000, -1))
    elif kind == 6:
        make.call("lseek", descriptor, make.one(0, 1, -1, 5000), make.one(0, 1, 2, 3, 4, 5))
    elif kind == 7:
        data = b"\0".ljust(8, b"\0") + bytes(100)
        make.call("readlinkat", descriptor, At(0), At(8), make.one(100, 0), data=data)
    elif kind == 8:
        flags = make.bits((0x1000, 0x100, 0x200))
        make.call("faccessat2", descriptor, At(0), make.one(0, 1, 2, 4), flags, data=b"\0")
    elif kind == 9:
        times = struct.pack("<qqqq", 7, make.one(5, (1 << 30) - 2), 8, make.one(6, (1 << 30) - 1))
        where: Argument = At(0) if make.odds(60) else 0
        flags = make.one(0x1000, 0x1000, 0x1100, 0)
        make.call("utimensat", descriptor, where, At(8), flags, data=b"\0".ljust(8, b"\0") + times)
    elif kind == 10:
        owner = make.one(-1, 0, 1000)
        make.call("fchownat", descriptor, At(0), owner, -1, make.one(0x1000, 0x1100, 0), data=b"\0")
    elif kind == 11:
        make.call("execveat", descriptor, At(0), 0, 0, make.one(0x1000, 0x1100, 0x11000, 0), data=b"\0")
    elif kind == 12:
        make.call("pread64", descriptor, At(0), 5, make.one(0, 3, -1), data=bytes(8), show=lambda *_: "")
    else:
        make.call("fallocate", descriptor, make.one(0, 1, 3), make.one(0, 100), make.one(10, 0, -1))


FAMILIES = (
    *(open_elsewhere,) * 3,
    *(look_elsewhere, use_elsewhere) * 3,
    *(change_elsewhere,) * 2,
    change_by_link,
    *(delete_and_use,) * 2,
    *(use_own,) * 5,
)
