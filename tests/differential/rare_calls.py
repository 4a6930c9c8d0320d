"""Random calls that no other family makes: quotas that nobody has, lremovexattr, select, ustat."""

from __future__ import annotations

import struct
from collections.abc import Callable

from procession.abi.quota import QuotaCommand
from tests.differential.maker import AT_FDCWD, BAD_ADDRESS, Maker
from tests.differential.script import Argument, At, Naming, Stored

O_RDWR, O_CREAT, O_PATH, O_NONBLOCK = 2, 0o100, 0o10000000, 0o4000
DEVICE = 63 << 8 | 7
"""Of a driver that isn't there."""
S_IFBLK, S_IFCHR = 0o60000, 0o20000

COMMANDS = tuple(map(int, QuotaCommand))
ODD_COMMANDS = (0, 1, 0x5801, 0x5802, 0x5804, 0x5806, 0x580A, 0x80000A, 0xFFFFFF)
SPECIALS = ("a", "a", "d", "l", "nothing", "block", "block", "character", "/dev/null", "", "a/b", "n" * 256)
NAMES = (
    "user.x",
    "trusted.x",
    "trusted.y",
    "security.x",
    "system.x",
    "user.",
    "trusted.",
    "x",
    "",
    "n" * 256,
)
PATHS = ("a", "d", "l", "l", "dangling", "block", "nothing", "", "d/", "l/")
SET_BYTES, MOST_WATCHED = 136, 1088
PATH_BYTES, NAME_BYTES = 320, 320
STAT_BYTES, USTAT_BYTES = 144, 32


def begin(make: Maker) -> None:
    """A file, a directory, links, devices, pipes, and a user."""
    make.opened(make.call("openat", AT_FDCWD, At(0), O_RDWR | O_CREAT, 0o644, data=b"a\0"))
    make.call("mkdir", At(0), 0o755, data=b"d\0")
    for target, name in ((b"a\0", b"l\0"), (b"nothing\0", b"dangling\0")):
        make.call("symlink", At(0), At(16), data=target.ljust(16, b"\0") + name)
    make.call("mknod", At(0), S_IFBLK | 0o666, DEVICE, data=b"block\0")
    make.call("mknod", At(0), S_IFCHR | 0o666, DEVICE, data=b"character\0")
    for _ in range(2):
        made = make.call("pipe2", At(0), O_NONBLOCK, data=bytes(8))
        make.descriptors += [Stored(made, 0), Stored(made, 4)]
    make.spawn("fork")
    make.actor = 1
    make.call("setresuid", 1000, 1000, 1000)
    make.actor = 0


def command(make: Maker) -> int:
    """What to do, and for which kind of quota."""
    wanted = make.one(*COMMANDS) if make.odds(85) else make.one(*ODD_COMMANDS)
    return wanted << 8 | make.one(0, 0, 1, 2, 2, 3, 255)


def quota(make: Maker) -> None:
    """quotactl."""
    special: Argument = At(0) if make.odds(85) else make.one(0, 0, BAD_ADDRESS)
    data = make.text(make.random.choice(SPECIALS)).ljust(PATH_BYTES, b"\0") + bytes(256)
    address: Argument = At(PATH_BYTES) if make.odds(80) else make.one(0, BAD_ADDRESS)
    make.call("quotactl", command(make), special, make.one(0, 1000, -1), address, data=data)


def quota_of_file(make: Maker) -> None:
    """quotactl_fd."""
    address: Argument = At(0) if make.odds(80) else make.one(0, BAD_ADDRESS)
    arguments = (make.descriptor(), command(make), make.one(0, 1000, -1), address)
    make.call("quotactl_fd", *arguments, data=bytes(256))


def open_file(make: Maker) -> None:
    """open and close."""
    if make.odds(70):
        name = make.random.choice((b"a\0", b"d\0", b"l\0", b".\0", b"/proc\0", b"/dev/null\0"))
        flags = make.one(0, O_PATH, O_NONBLOCK)
        make.opened(make.call("openat", AT_FDCWD, At(0), flags, 0, data=name))
    else:
        make.call("close", make.opened_descriptor())


def attribute_of_link(make: Maker) -> None:
    """lremovexattr, and what it needs: lsetxattr, llistxattr."""
    path = make.text(make.random.choice(PATHS)).ljust(PATH_BYTES, b"\0")
    data = path + make.text(make.random.choice(NAMES)).ljust(NAME_BYTES, b"\0") + b"value".ljust(64, b"\0")
    kind = make.random.randrange(5)
    name: Argument = At(PATH_BYTES) if make.odds(95) else make.one(0, BAD_ADDRESS)
    if kind < 2:
        make.call("lsetxattr", At(0), name, At(PATH_BYTES + NAME_BYTES), make.one(5, 0), 0, data=data)
    elif kind < 4:
        make.call("lremovexattr", At(0) if make.odds(95) else BAD_ADDRESS, name, data=data)
    else:
        place = PATH_BYTES + NAME_BYTES
        make.call("llistxattr", At(0), At(place), make.one(64, 0, 8, 9, 18), data=data, show=nothing)


def nothing(data: bytes, result: int, naming: Naming) -> str:
    """Show nothing: the host may have labels."""
    return ""


def select(make: Maker) -> None:
    """select of sets that are larger than the table of descriptors, with times that are no usual ones."""
    data = b"".join(
        make.one(0, 0x03, 0x7F, 0xF8, 0x3FF, 1 << 40, (1 << 64) - 1).to_bytes(SET_BYTES, "little")
        for _ in range(3)
    )
    seconds, microseconds = make.one(0, 0, 0, -1, 1 << 62), make.one(0, 0, 999_999, 1_000_000, -1, 5_000_000)
    data += struct.pack("<qq", seconds, microseconds)
    places: list[Argument] = [At(SET_BYTES * at) if make.odds(60) else 0 for at in range(3)]
    if make.odds(6):
        places[make.random.randrange(3)] = BAD_ADDRESS
    counts: tuple[int, ...] = (8, 9, 63, 64, 65, 256, 1024, MOST_WATCHED, -1, -(1 << 31))
    if min(seconds, microseconds) >= 0 and max(seconds, microseconds) > 0:
        # Of eight that are open one can be written to, so nobody waits.
        data = data[:SET_BYTES] + b"\xff" + data[SET_BYTES + 1 :]
        places[1] = At(SET_BYTES)
    else:
        counts = (*counts, 0, 1, 5)
    count = make.one(*counts)
    where: Argument = At(3 * SET_BYTES) if make.odds(95) else BAD_ADDRESS
    make.call("select", count, *places, where, data=data, show=show_sets)


def show_sets(data: bytes, result: int, naming: Naming) -> str:
    """What is left of the three sets; how much time is left is luck."""
    return " ".join(
        data[at : at + SET_BYTES].rstrip(b"\0").hex() for at in range(0, 3 * SET_BYTES, SET_BYTES)
    )


def move(make: Maker) -> None:
    """Something to be ready for: read and write."""
    if make.odds(60):
        make.call("write", make.opened_descriptor(), At(0), make.one(1, 5), data=b"bytes")
    else:
        make.call("read", make.opened_descriptor(), At(0), make.one(1, 64), data=bytes(64))


def old_statistics(make: Maker) -> None:
    """ustat of a file system that there is, or not."""
    made = make.call("stat", At(0), At(16), data=b"a".ljust(16, b"\0") + bytes(STAT_BYTES), show=nothing)
    device: Argument = Stored(made, 16) if make.odds(70) else make.one(0, 1, DEVICE, -1, 1 << 31)
    where: Argument = At(0) if make.odds(90) else make.one(0, BAD_ADDRESS)
    make.call("ustat", device, where, data=bytes(USTAT_BYTES), show=show_names)


def show_names(data: bytes, result: int, naming: Naming) -> str:
    """What follows the numbers of what is free, which are the machine's."""
    return data[16:].hex()


def file_system_kinds(make: Maker) -> None:
    """sysfs: whose numbers of file systems are the machine's."""
    data = make.text(make.random.choice(("tmpfs", "proc", "none", "", "n" * 256))).ljust(256, b"\0")
    option = make.one(1, 1, 2, 2, 3, 0, 4, -1)
    first: Argument = At(0) if option == 1 and make.odds(80) else make.one(0, BAD_ADDRESS, 1, 1 << 20, -1)
    second: Argument = At(0) if make.odds(80) else BAD_ADDRESS
    make.call("sysfs", option, first, second, data=data, result="hidden", show=nothing)


FAMILIES: tuple[Callable[[Maker], None], ...] = (
    *(quota,) * 5,
    *(quota_of_file,) * 4,
    *(attribute_of_link,) * 4,
    *(select,) * 6,
    *(move,) * 2,
    *(open_file,) * 2,
    *(old_statistics, file_system_kinds),
)
