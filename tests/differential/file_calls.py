"""Random calls on files and directories by name."""

from __future__ import annotations

import struct

from tests.differential.maker import AT_FDCWD, BAD_ADDRESS, LINK_TARGETS, Maker
from tests.differential.script import Argument, At, Naming

O_ACCMODE, O_CREAT, O_EXCL, O_NOCTTY, O_TRUNC = 3, 0o100, 0o200, 0o400, 0o1000
O_APPEND, O_NONBLOCK, O_DSYNC, O_ASYNC, O_DIRECT = 0o2000, 0o4000, 0o10000, 0o20000, 0o40000
O_LARGEFILE, O_DIRECTORY, O_NOFOLLOW, O_NOATIME = 0o100000, 0o200000, 0o400000, 0o1000000
O_CLOEXEC, O_SYNC, O_PATH, O_TMPFILE = 0o2000000, 0o4010000, 0o10000000, 0o20200000
MODES = (
    0,
    0o444,
    0o600,
    0o644,
    0o666,
    0o700,
    0o755,
    0o777,
    0o1777,
    0o2755,
    0o4755,
    0o7777,
    0o100644,
    0o177777,
)
TIMES = (0, 1, 1000, 999999999, 1 << 20, (1 << 31) + 5)
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
_NOW = 1 << 30


def show_stat(data: bytes, result: int, naming: Naming) -> str:
    """The fields of struct stat, which is at the data's end."""
    if result:
        return ""
    device, inode, links, mode, uid, gid, _, rdev, size, block_size, blocks, at, atn, mt, mtn, _, _ = (
        struct.unpack_from("<QQQIIIIQqqqqqqqqq", data, len(data) - 144)
    )
    return (
        f"{naming.inode(device, inode)} {mode:o} links={links} owner={uid}:{gid} rdev={rdev:x} size={size}"
        f" {block_size} blocks={blocks} {show_time(at, atn)} {show_time(mt, mtn)}"
    )


def show_time(seconds: int, nanoseconds: int) -> str:
    """A time that a script has set, or that it is now."""
    return "now" if seconds > _NOW and seconds < 1 << 31 else f"{seconds}.{nanoseconds:09}"


def show_statx(data: bytes, result: int, naming: Naming) -> str:
    """The fields of struct statx, which is at the data's end."""
    if result:
        return ""
    at = len(data) - 256
    mask, block_size, attributes, links, uid, gid, mode, _, _, size, blocks, _ = struct.unpack_from(
        "<IIQIIIHHQQQQ", data, at
    )
    return (
        f"mask={mask & 0x7FF:x} {mode:o} links={links} owner={uid}:{gid} size={size} {block_size}"
        f" blocks={blocks} attributes={attributes:x}"
    )


def open_flags(make: Maker) -> int:
    """Flags of open(2)."""
    flags = make.one(0, 1, 2, 2, 2, 3)
    if make.odds(55):
        flags |= O_CREAT
    flags |= (
        make.bits(
            (O_EXCL, O_TRUNC, O_APPEND, O_NONBLOCK, O_DIRECTORY, O_NOFOLLOW, O_CLOEXEC, O_NOATIME),
            (
                O_DSYNC,
                O_SYNC,
                O_ASYNC,
                O_LARGEFILE,
                O_NOCTTY,
                O_PATH,
                O_TMPFILE,
                O_TMPFILE | 2,
                1 << 28,
                1 << 30,
                0x80000000,
            ),
            percent=30,
        )
        if make.odds(50)
        else 0
    )
    return flags


def open_file(make: Maker) -> None:
    """open, openat, creat."""
    path = make.text(make.name())
    mode = make.random.choice(MODES)
    kind = make.one(0, 1, 1, 1, 2, 3, 3)
    if kind == 0:
        make.opened(make.call("open", At(0), open_flags(make), mode, data=path))
    elif kind == 1:
        make.opened(make.call("openat", make.directory(), At(0), open_flags(make), mode, data=path))
    elif kind == 2:
        make.opened(make.call("creat", At(0), mode, data=path))
    else:
        resolve = make.bits((1, 2, 4, 8, 16), (64, 1 << 40)) if make.odds(60) else 0
        flags = (
            open_flags(make) & 0x1FFFFFF
            if make.odds(80)
            else open_flags(make) | make.one(0, 1 << 35, 1 << 62)
        )
        how = struct.pack("<QQQ", flags, mode if flags & O_CREAT or make.odds(20) else 0, resolve)
        size = 24
        if make.odds(10):
            size = make.one(0, 8, 23, 32, 40, 4096, 4097)
            how += bytes(16) if make.odds(50) else b"\1" + bytes(15)
        data = how + path
        make.opened(make.call("openat2", make.directory(), At(len(how)), At(0), size, data=data))


def stat_file(make: Maker) -> None:
    """The family of stat."""
    path = make.text(make.name())
    path += bytes(-len(path) % 8)
    data = path + bytes(144)
    out = At(len(path))
    kind = make.random.randrange(7)
    if kind == 0:
        make.call("stat", At(0), out, data=data, show=show_stat)
    elif kind == 1:
        make.call("lstat", At(0), out, data=data, show=show_stat)
    elif kind == 2:
        make.call("fstat", make.descriptor(), out, data=data, show=show_stat)
    elif kind == 3:
        flags = make.bits((0x100, 0x800, 0x1000), (0x6000, 0x200, 0x400, 0x2000, 1), 10)
        make.call("newfstatat", make.directory(), At(0), out, flags, data=data, show=show_stat)
    elif kind == 4:
        flags = make.bits((0x100, 0x800, 0x1000, 0x2000), (0x6000, 0x200, 0x400, 0x8000), percent=15)
        mask = make.one(0xC0, 0xC1, 0x7FF, 0xFFF, 0x80000000, 0, 1, 0x20)
        data = path + bytes(256)
        make.call("statx", make.directory(), At(0), flags, mask, out, data=data, show=show_statx)
    elif kind == 5:
        make.call("readlink", At(0), out, make.one(0, 1, 3, 100, 144, -1), data=data)
    else:
        make.call("readlinkat", make.directory(), At(0), out, make.one(0, 1, 100, 144), data=data)


def access_file(make: Maker) -> None:
    """access, faccessat, faccessat2."""
    path = make.text(make.name())
    mode = make.one(0, 1, 2, 4, 5, 6, 7, 7, 8, -1)
    kind = make.random.randrange(3)
    if kind == 0:
        make.call("access", At(0), mode, data=path)
    elif kind == 1:
        make.call("faccessat", make.directory(), At(0), mode, make.one(0, 0x200), data=path)
    else:
        flags = make.bits((0x200, 0x100, 0x1000), (1, 0x400, 0x800), percent=10)
        make.call("faccessat2", make.directory(), At(0), mode, flags, data=path)


def make_entry(make: Maker) -> None:
    """mkdir, mknod, symlink, link."""
    path = make.text(make.name())
    kind = make.random.randrange(9)
    mode = make.random.choice(MODES)
    if kind == 0:
        make.call("mkdir", At(0), mode, data=path)
    elif kind == 1:
        make.call("mkdirat", make.directory(), At(0), mode, data=path)
    elif kind in {2, 3}:
        kind_of_file = make.one(
            0, 0o100000, 0o010000, 0o140000, 0o040000, 0o120000, 0o020000, 0o060000, 0o150000
        )
        device = make.one(0, 0x103, 0x105, -1)
        if kind == 2:
            make.call("mknod", At(0), kind_of_file | mode & 0o7777, device, data=path)
        else:
            make.call("mknodat", make.directory(), At(0), kind_of_file | mode & 0o7777, device, data=path)
    elif kind in {4, 5}:
        target = make.text(make.random.choice(LINK_TARGETS))
        if kind == 4:
            make.call("symlink", At(len(path)), At(0), data=path + target)
        else:
            make.call("symlinkat", At(len(path)), make.directory(), At(0), data=path + target)
    else:
        other = make.text(make.name())
        if kind == 6:
            make.call("link", At(0), At(len(path)), data=path + other)
        else:
            flags = make.bits((0x400, 0x1000), (0x100, 1))
            make.call(
                "linkat", make.directory(), At(0), make.directory(), At(len(path)), flags, data=path + other
            )


def remove_entry(make: Maker) -> None:
    """unlink, rmdir."""
    path = make.text(make.name())
    kind = make.random.randrange(3)
    if kind == 0:
        make.call("unlink", At(0), data=path)
    elif kind == 1:
        make.call("rmdir", At(0), data=path)
    else:
        make.call("unlinkat", make.directory(), At(0), make.one(0, 0, 0x200, 0x200, 0x100, 0x201), data=path)


def rename_entry(make: Maker) -> None:
    """rename, renameat, renameat2."""
    path = make.text(make.name())
    data = path + make.text(make.name())
    new = At(len(path))
    kind = make.random.randrange(4)
    if kind == 0:
        make.call("rename", At(0), new, data=data)
    elif kind == 1:
        make.call("renameat", make.directory(), At(0), make.directory(), new, data=data)
    else:
        flags = make.one(0, 1, 1, 2, 2, 2, 3, 4, 5, 6, 8)
        make.call("renameat2", make.directory(), At(0), make.directory(), new, flags, data=data)


def change_attributes(make: Maker) -> None:
    """chmod, chown, utimensat and their kin."""
    path = make.text(make.name())
    path += bytes(-len(path) % 8)
    mode = make.random.choice(MODES)
    owner, group = make.one(-1, 0, 1000, 12345), make.one(-1, 0, 1000, 12345)
    kind = make.random.randrange(14)
    if kind == 0:
        make.call("chmod", At(0), mode, data=path)
    elif kind == 1:
        make.call("fchmod", make.descriptor(), mode)
    elif kind == 2:
        make.call("fchmodat", make.directory(), At(0), mode, make.one(0, 0x100), data=path)
    elif kind == 3:
        make.call("chown", At(0), owner, group, data=path)
    elif kind == 4:
        make.call("lchown", At(0), owner, group, data=path)
    elif kind == 5:
        make.call("fchown", make.descriptor(), owner, group)
    elif kind == 6:
        flags = make.bits((0x100, 0x1000), (0x400, 1))
        make.call("fchownat", make.directory(), At(0), owner, group, flags, data=path)
    elif kind == 7:
        make.call("umask", make.one(0, 0o22, 0o77, 0o777, 0o7777, -1))
    elif kind in {8, 9, 10}:
        nanoseconds = (0, 5, 999999999, 1000000000, UTIME_NOW, UTIME_OMIT, -1)
        times = struct.pack(
            "<qqqq",
            make.random.choice(TIMES),
            make.random.choice(nanoseconds),
            make.random.choice(TIMES),
            make.random.choice(nanoseconds),
        )
        flags = make.bits((0x100, 0x1000), (0x400, 1))
        places: tuple[Argument, ...] = (At(0), At(0), At(0), 0)
        place = make.random.choice(places)
        where = 0 if make.odds(10) else At(len(path))
        make.call("utimensat", make.directory(), place, where, flags, data=path + times)
    elif kind == 11:
        micro = make.one(0, 999999, 1000000, -1)
        times = struct.pack("<qqqq", 7, micro, make.random.choice(TIMES), 0)
        make.call("utimes", At(0), At(len(path)), data=path + times)
    elif kind == 12:
        make.call("utime", At(0), At(len(path)), data=path + struct.pack("<qq", 9, make.random.choice(TIMES)))
    else:
        times = struct.pack("<qqqq", 7, 5, 8, make.one(999999, 1000000))
        make.call("futimesat", make.directory(), At(0), At(len(path)), data=path + times)


def show_entries(data: bytes, result: int, naming: Naming) -> str:
    """The entries that getdents64 gave, sorted: the order is the file system's."""
    place, entries = 0, []
    while place < result:
        _, _, length, kind = struct.unpack_from("<QqHB", data, place)
        name = data[place + 19 : place + length].partition(b"\0")[0]
        entries.append(f"{name.decode()[:8]}:{kind}")
        place += length
    return " ".join(sorted(entries))


def list_directory(make: Maker) -> None:
    """getdents64, getcwd, chdir."""
    kind = make.random.randrange(5)
    if kind == 0:
        size = make.one(2048, 2048, 2048, 0, 10)
        make.call("getdents64", make.descriptor(), At(0), size, data=bytes(2048), show=show_entries)
    elif kind == 1:
        make.call("getcwd", At(0), make.one(0, 1, 5, 100, 4096), data=bytes(100))
    elif kind == 2:
        make.call(
            "chdir", At(0), data=make.text(make.random.choice(("d", "d", "e", "l", "a", ".", "", "n" * 256)))
        )
    elif kind == 3:
        make.call("fchdir", make.descriptor())
    else:
        path = make.text(make.name())
        path += bytes(-len(path) % 8)
        descriptor = make.opened(make.call("openat", make.directory(), At(0), O_DIRECTORY, data=path))
        from tests.differential.script import Result

        make.call("getdents64", Result(descriptor), At(0), 2048, data=bytes(2048), show=show_entries)


XATTR_NAMES = (
    "user.a",
    "user.b",
    "user.",
    "user",
    "",
    "trusted.a",
    "security.a",
    "system.a",
    "user." + "x" * 250,
    "user." + "x" * 251,
    "USER.a",
    "x.y",
)


def extended_attributes(make: Maker) -> None:
    """setxattr and its kin. user.* of a tmpfs came with Linux 6.6: only what older ones answer alike."""
    path = make.text(make.name())
    name = make.text(make.random.choice(XATTR_NAMES))
    data = path + name + b"value" + bytes(40)
    value = At(len(path) + len(name))
    kind = make.random.randrange(12)
    size = make.one(0, 1, 5, 20, 45)
    flags = make.one(0, 0, 1, 2, 3, 4)
    prefix = make.random.choice(("", "l"))
    if kind < 2:
        make.call(prefix + "setxattr", At(0), At(len(path)), value, size, flags, data=data)
    elif kind == 2:
        make.call("fsetxattr", make.opened_descriptor(), At(len(path)), value, size, flags, data=data)
    elif kind < 5:
        make.call(prefix + "getxattr", At(0), At(len(path)), value, size, data=data)
    elif kind == 5:
        make.call("fgetxattr", make.opened_descriptor(), At(len(path)), value, size, data=data)
    elif kind < 8:
        make.call(prefix + "listxattr", At(0), value, size, data=data)
    elif kind == 8:
        make.call("flistxattr", make.opened_descriptor(), value, size, data=data)
    elif kind < 11:
        make.call(prefix + "removexattr", At(0), At(len(path)), data=data)
    else:
        make.call("fremovexattr", make.opened_descriptor(), At(len(path)), data=data)


ACL_IDS = (0, 1000, 12345, 0xFFFFFFFF)


def access_list(make: Maker) -> bytes:
    """A list of access control, most often one that can be."""
    nobody = 0xFFFFFFFF
    entries = [(1, nobody)]
    names = make.odds(60)
    if names:
        entries += [(2, make.one(*ACL_IDS))] * make.one(0, 1, 1, 2)
    entries.append((4, nobody))
    if names:
        entries += [(8, make.one(*ACL_IDS))] * make.one(0, 1)
        entries.append((0x10, nobody))
    entries.append((0x20, nobody))
    if make.odds(8):
        entries.pop(make.random.randrange(len(entries)))
    if make.odds(4):
        entries.reverse()
    packed = b"".join(
        struct.pack("<HHI", tag, make.one(0, 4, 5, 6, 7) if make.odds(97) else 9, number)
        for tag, number in entries
    )
    return struct.pack("<I", 2 if make.odds(97) else 1) + packed


def show_list(data: bytes, result: int, naming: Naming) -> str:
    """The bytes of a list that was read."""
    return data[128 : 128 + result].hex() if result > 0 else ""


def access_lists(make: Maker) -> None:
    """Lists of access control, as extended attributes; and whom they let in."""
    path = make.text(make.name())
    if len(path) > 60:
        path = b"a\0"
    name = make.text(make.random.choice(("access", "access", "default"))).join((b"system.posix_acl_", b""))
    value = access_list(make)
    data = (path.ljust(64, b"\0") + name.ljust(64, b"\0") + value).ljust(256, b"\0")
    kind = make.random.randrange(8)
    prefix = make.random.choice(("", "", "l"))
    if kind < 3:
        size = len(value) if make.odds(95) else make.one(0, 4, len(value) - 1)
        make.call(prefix + "setxattr", At(0), At(64), At(128), size, make.one(0, 0, 0, 1, 2), data=data)
    elif kind < 5:
        make.call(
            prefix + "getxattr", At(0), At(64), At(128), make.one(128, 128, 0, 20), data=data, show=show_list
        )
    elif kind == 5:
        make.call(prefix + "removexattr", At(0), At(64), data=data)
    elif kind == 6:
        make.call("access", At(0), make.one(1, 2, 4, 6), data=data)
    else:
        make.call("chmod", At(0), make.one(*MODES) & 0o777, data=data)


def bad_addresses(make: Maker) -> None:
    """Calls whose pointers lead nowhere."""
    which = make.random.randrange(7)
    if which == 0:
        make.call("openat", AT_FDCWD, BAD_ADDRESS, 0, 0)
    elif which == 1:
        make.call("stat", At(0), BAD_ADDRESS, data=make.text("a"))
    elif which == 2:
        make.call("rename", At(0), BAD_ADDRESS, data=make.text("a"))
    elif which == 3:
        make.call("pipe2", BAD_ADDRESS, 0)
    elif which == 4:
        make.call("getdents64", make.descriptor(), BAD_ADDRESS, 2048)
    elif which == 5:
        make.call("statx", make.descriptor(), BAD_ADDRESS, 0x1000, 0x7FF, BAD_ADDRESS)
    else:
        make.call("getcwd", BAD_ADDRESS, 4096)


def execute(make: Maker) -> None:
    """execveat, of files that are no programs."""
    flags = make.bits((0x100, 0x1000, 0x10000), (0x800, 0x400, 1, 1 << 31))
    name = make.name() if make.odds(80) else ""
    where: Argument = At(0) if make.odds(97) else BAD_ADDRESS
    arguments: Argument = make.one(0, 0, 0, BAD_ADDRESS)
    make.call("execveat", make.directory(), where, arguments, 0, flags, data=make.text(name))


FAMILIES = (
    *(open_file,) * 5,
    *(stat_file,) * 3,
    access_file,
    *(make_entry,) * 4,
    *(remove_entry,) * 2,
    *(rename_entry,) * 3,
    *(change_attributes,) * 3,
    *(list_directory,) * 2,
    extended_attributes,
    access_lists,
    access_lists,
    bad_addresses,
    execute,
)
