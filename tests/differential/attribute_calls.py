"""Random calls on what files have beside their contents, by the newer calls; and on file systems."""

from __future__ import annotations

import struct

from tests.differential.file_calls import XATTR_NAMES, show_entries
from tests.differential.maker import AT_FDCWD, BAD_ADDRESS, Maker
from tests.differential.script import Argument, At, Naming, Result

AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_HANDLE_FID, AT_HANDLE_CONNECTABLE = 0x100, 0x1000, 0x200, 2
ST_NOSUID, ST_NODEV, ST_NOEXEC = 2, 4, 8
HANDLE_BYTES = 128
TEXT = 640
"""Where a path is behind what belongs to a call."""


def path(make: Maker) -> bytes:
    """A path that isn't too long for its place."""
    name = make.text(make.name())
    return name if len(name) < 300 else b"a\0"


def attributes_at(make: Maker) -> None:
    """setxattrat, getxattrat, listxattrat, removexattrat."""
    kind = make.random.randrange(10)
    name = make.random.choice(XATTR_NAMES[:9])
    flags = make.bits((AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH), (0x200, 1), 6)
    where = make.directory()
    if flags & AT_EMPTY_PATH and make.odds(60):
        where, text = make.opened_descriptor(), b"\0"
    else:
        text = path(make)
    size = make.one(0, 1, 5, 20, 45)
    content = struct.pack("<QII", 0, size, make.one(0, 0, 1, 2, 3)).ljust(64, b"\0") + b"value".ljust(
        64, b"\0"
    )
    content = (content + make.text(name)).ljust(TEXT, b"\0") + text
    fixups: tuple[tuple[int, int, Argument], ...] = ((0, 8, At(64)),)
    length = make.one(16, 16, 16, 16, 15, 24, 0, 4097)
    if kind < 4:
        make.call("setxattrat", where, At(TEXT), flags, At(128), At(0), length, data=content, fixups=fixups)
    elif kind < 7:
        make.call(
            *("getxattrat", where, At(TEXT), flags, At(128), At(0), length),
            data=content[:8] + content[8:12] + bytes(4) + content[16:], fixups=fixups, show=show_value,
        )  # fmt: skip
    elif kind < 9:
        make.call("listxattrat", where, At(TEXT), flags, At(64), size, data=content)
    else:
        make.call("removexattrat", where, At(TEXT), flags, At(128), data=content)


def show_value(data: bytes, result: int, naming: Naming) -> str:
    """The value of an attribute."""
    return data[64 : 64 + result].hex() if result > 0 else ""


def file_attributes(make: Maker) -> None:
    """file_getattr, file_setattr, and the ioctls that are older."""
    kind = make.random.randrange(8)
    flags = make.bits((AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH), (0x200, 1), 6)
    wanted = make.one(0, 0, 8, 0x10, 0x20, 0x40, 0x80, 1 << 31, 2)
    content = struct.pack("<QIIII", wanted, 0, 0, 0, 0).ljust(TEXT, b"\0") + path(make)
    size = make.one(24, 24, 24, 32, 20, 0, 4097)
    if kind < 3:
        make.call("file_getattr", make.directory(), At(TEXT), At(0), size, flags, data=content)
    elif kind < 5:
        if wanted & 0x30 and make.odds(80):
            # What can't be changed any more can't be removed afterwards.
            content = struct.pack("<Q", 0x40) + content[8:]
        make.call("file_setattr", make.directory(), At(TEXT), At(0), size, flags, data=content)
    elif kind == 5:
        make.call("ioctl", make.opened_descriptor(), 0x80086601, At(0), data=bytes(8), result="ioctl")
    elif kind == 6:
        data = struct.pack("<Q", make.one(0, 0x40, 0x80, 1 << 20))
        make.call("ioctl", make.opened_descriptor(), 0x40086602, At(0), data=data, result="ioctl")
    else:
        make.call("ioctl", make.opened_descriptor(), 0x801C581F, At(0), data=bytes(28), result="ioctl")


def change_mode(make: Maker) -> None:
    """fchmodat2."""
    flags = make.bits((AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH), (0x200, 1), 6)
    where, text = (make.directory(), path(make)) if make.odds(75) else (make.opened_descriptor(), b"\0")
    if make.has_anonymous and text == b"\0":
        where = AT_FDCWD
    make.call("fchmodat2", where, At(0), make.one(0o644, 0o755, 0o7777, 0, 0o1777), flags, data=text)


def show_handle(data: bytes, result: int, naming: Naming) -> str:
    """How long a handle is, and of what type; what is in it differs."""
    return " ".join(map(str, struct.unpack_from("<Ii", data)))


def handles(make: Maker) -> None:
    """name_to_handle_at, open_by_handle_at."""
    made = [operation for operation in make.operations if operation.result == "handle"]
    if made and make.odds(40):
        flags = make.one(0, 2, 0o10000000, 0o200000)
        # Not one that was made: what's in it differs.
        data = struct.pack("<Ii", make.one(8, 0, 200), make.one(0, 1, 2)) + bytes(HANDLE_BYTES)
        make.call("open_by_handle_at", AT_FDCWD, At(0), flags, data=data)
        return
    room = make.one(HANDLE_BYTES, HANDLE_BYTES, 0, 4, 8, 129)
    flags = make.bits((0x400, AT_EMPTY_PATH), (AT_HANDLE_FID, AT_HANDLE_CONNECTABLE, 1, 0x100), 20)
    data = (struct.pack("<Ii", room, 7) + bytes(HANDLE_BYTES)).ljust(TEXT, b"\0") + path(make)
    where: Argument = At(200) if make.odds(95) else BAD_ADDRESS
    operation = make.call(
        "name_to_handle_at", make.directory(), At(TEXT), At(0), where, flags, data=data, show=show_handle
    )
    operation.result = "handle"


def file_systems(make: Maker) -> None:
    """statfs, fstatfs, ustat, sysfs, cachestat, readahead."""
    kind = make.random.randrange(9)
    if kind < 2:
        make.call("statfs", At(TEXT), At(0), data=bytes(TEXT) + path(make), show=show_statfs)
    elif kind < 4:
        make.call("fstatfs", make.opened_descriptor(), At(0), data=bytes(120), show=show_statfs)
    elif kind == 4:
        make.call("ustat", make.one(0, 99999, -1), At(0), data=bytes(32))
    elif kind == 5:
        data = struct.pack("<QQ", make.one(0, 4096, 5), make.one(0, 0, 4096)) + bytes(40)
        make.call(
            "cachestat",
            make.opened_descriptor(),
            At(0),
            At(16),
            make.one(0, 0, 0, 1),
            data=data,
            show=show_cached,
        )
    elif kind == 6:
        make.call("readahead", make.opened_descriptor(), make.one(0, 4096, -1), make.one(0, 4096, 1 << 40))
    elif kind == 7:
        data = make.text(make.random.choice(("tmpfs", "proc", "none", "")))
        make.call("sysfs", make.one(1, 1, 4, 0, 9), At(0), data=data, result="hidden")
    else:
        make.call(
            "getdents", make.opened_descriptor(), At(0), make.one(2048, 10, 0), data=bytes(2048), show=nothing
        )


def nothing(data: bytes, result: int, naming: Naming) -> str:
    """Show nothing."""
    return ""


def show_statfs(data: bytes, result: int, naming: Naming) -> str:
    """Of which type a file system is, and what it was mounted with; sizes are the host's."""
    kind, block_size = struct.unpack_from("<qq", data)
    longest, fragment, flags = struct.unpack_from("<qqq", data, 64)
    # Devices may be on a file system of their own, and groups be mounted with other flags.
    flags &= ~(ST_NOSUID | ST_NODEV | ST_NOEXEC)
    return f"{kind:#x} {block_size} {longest} {fragment} {flags:#x}" if result == 0 else ""


def show_cached(data: bytes, result: int, naming: Naming) -> str:
    """How many pages are cached."""
    return str(struct.unpack_from("<Q", data, 16)[0]) if result == 0 else ""


def list_again(make: Maker) -> None:
    """getdents64 in small pieces, and from the start."""
    opened = make.call("open", At(0), 0o200000, data=make.text(make.random.choice((".", "d", "e", "d/e"))))
    for _ in range(2):
        make.call(
            "getdents64",
            Result(opened),
            At(0),
            make.one(24, 32, 48, 2048),
            data=bytes(2048),
            show=count_entries,
        )
    make.call("lseek", Result(opened), 0, 0)
    make.call("getdents64", Result(opened), At(0), 2048, data=bytes(2048), show=show_entries)
    make.call("close", Result(opened))


def count_entries(data: bytes, result: int, naming: Naming) -> str:
    """How many entries came."""
    place = count = 0
    while place < result:
        place += struct.unpack_from("<H", data, place + 16)[0]
        count += 1
    return str(count)


FAMILIES = (
    *(attributes_at,) * 3,
    *(file_attributes, change_mode, handles, file_systems, file_systems),
    list_again,
)
