"""Random calls on mounts, in a mount namespace and below a root directory of the script's own."""

from __future__ import annotations

import struct

from tests.differential.maker import AT_FDCWD, Maker
from tests.differential.script import SLURP, Argument, At, Naming, Result, Stored

CLONE_NEWNS = 0x20000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOSYMFOLLOW, MS_NOATIME, MS_NODIRATIME = 256, 1024, 2048
MS_BIND, MS_MOVE, MS_REC, MS_SILENT = 4096, 8192, 16384, 32768
MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20
MS_RELATIME, MS_STRICTATIME = 1 << 21, 1 << 24
MNT_FORCE, MNT_DETACH, UMOUNT_NOFOLLOW = 1, 2, 8
AT_EMPTY_PATH, AT_RECURSIVE, OPEN_TREE_CLONE = 0x1000, 0x8000, 1
MOVE_F_EMPTY, MOVE_SET_GROUP, MOVE_BENEATH = 4, 0x100, 0x200
PATH_BYTES, INFO_BYTES = 32, 8192
PLACES = (
    *("a", "b", "c", "d") * 5,
    *("a/x", "b/x", "c/x", "d/x") * 4,
    *("a/x/y", "b/x/y", "a/y", "c/y", "a/x/x", "/", ".", "..", "f", "a/f", "l", "none", "a/x/..", "a/"),
)


def show_mounts(data: bytes, result: int, naming: Naming) -> str:
    """mountinfo with mounts called by their places in it, and devices and groups by when they appear."""
    if result <= PATH_BYTES:
        return str(result)
    lines = data[PATH_BYTES:result].decode().splitlines()
    is_ours = any(line.split()[4] == "/usr" for line in lines)
    if is_ours or " - tmpfs tmpfs " not in lines[0]:
        return "a root that the script hasn't made"
    numbers = {line.split()[0]: str(place) for place, line in enumerate(lines)}
    seen: dict[str, str] = {}
    shown = []
    for line in lines:
        words = line.split()
        words[0], words[1] = numbers[words[0]], numbers.get(words[1], "-")
        words[2] = seen.setdefault(words[2], f"device{len(seen)}")
        for at, word in enumerate(words):
            name, colon, number = word.partition(":")
            if colon and name in ("shared", "master", "propagate_from"):
                words[at] = f"{name}:{seen.setdefault('group' + number, f'group{len(seen)}')}"
        shown.append(" ".join(words))
    return "; ".join(shown)


def enter_namespace(make: Maker) -> None:
    """Give the first actor a namespace and a root directory of its own, with proc and some directories."""
    make.call("unshare", CLONE_NEWNS)
    make.call("mount", 0, At(0), 0, MS_REC | MS_PRIVATE, 0, data=b"/\0")
    make.call("mkdir", At(0), 0o755, data=b"t\0")
    make.call("mount", At(2), At(0), At(2), 0, 0, data=b"t\0tmpfs\0")
    make.call("chroot", At(0), data=b"t\0")
    make.call("chdir", At(0), data=b"/\0")
    for name in ("proc", "a", "b", "c", "d", "a/x", "b/x", "c/x", "d/x", "a/x/y"):
        make.call("mkdir", At(0), 0o755, data=make.text(name))
    make.call("creat", At(0), 0o644, data=b"f\0")
    make.call("close", 0)
    make.call("symlink", At(0), At(2), data=b"b\0l\0")
    make.call("mount", At(0), At(5), At(0), 0, 0, data=b"proc\0proc\0")
    look(make)


def look(make: Maker) -> None:
    """Read mountinfo."""
    data = b"/proc/self/mountinfo\0".ljust(PATH_BYTES + INFO_BYTES, b"\0")
    make.operation(SLURP, data=data, show=show_mounts, result="none")


def place(make: Maker) -> bytes:
    """Somewhere to mount or unmount."""
    return make.text(make.random.choice(PLACES))


def make_directory(make: Maker) -> None:
    """mkdir, rmdir, symlink, creat."""
    kind = make.one(0, 0, 0, 0, 1, 2)
    if kind == 0:
        make.call("mkdir", At(0), 0o755, data=place(make))
    elif kind == 1:
        make.call("rmdir", At(0), data=place(make))
    else:
        make.call("rename", At(0), At(16), data=place(make).ljust(16, b"\0") + place(make))


def mount_new(make: Maker) -> None:
    """A new tmpfs."""
    flags = make.bits((MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOATIME, MS_NODIRATIME), (1 << 31,))
    options = make.random.choice((b"", b"", b"size=64k", b"mode=700", b"mode=9", b"size=x", b"nr_inodes=9"))
    kind = make.random.choice((b"tmpfs", b"tmpfs", b"tmpfs", b"nosuchfs"))
    data = place(make).ljust(16, b"\0") + kind.ljust(16, b"\0") + options + b"\0"
    make.call("mount", At(16), At(0), At(16), flags if make.odds(40) else 0, At(32), data=data)


def bind(make: Maker) -> None:
    """Bind mounts."""
    flags = MS_BIND | (MS_REC if make.odds(50) else 0)
    if make.odds(10):
        flags |= make.one(MS_RDONLY, MS_PRIVATE, MS_MOVE, MS_SILENT)
    make.call("mount", At(0), At(16), 0, flags, 0, data=place(make).ljust(16, b"\0") + place(make))


def move(make: Maker) -> None:
    """mount --move."""
    make.call("mount", At(0), At(16), 0, MS_MOVE, 0, data=place(make).ljust(16, b"\0") + place(make))


def propagate(make: Maker) -> None:
    """Change how mounts spread."""
    flags = make.one(MS_SHARED, MS_SHARED, MS_SHARED, MS_SLAVE, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE)
    if make.odds(40):
        flags |= MS_REC
    if make.odds(6):
        flags |= make.one(MS_SHARED, MS_NOSUID, MS_SILENT)
    make.call("mount", 0, At(0), 0, flags, 0, data=place(make))


def remount(make: Maker) -> None:
    """Change flags."""
    flags = MS_REMOUNT | make.bits(
        (MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOSYMFOLLOW),
        (MS_NOATIME, MS_NODIRATIME, MS_STRICTATIME, MS_RELATIME),
        percent=40,
    )
    if make.odds(75):
        flags |= MS_BIND
    else:
        # A file system with a removed directory that somebody is in can't become read-only on Linux.
        flags &= ~MS_RDONLY
    make.call("mount", 0, At(0), 0, flags, 0, data=place(make))


def unmount(make: Maker) -> None:
    """umount2."""
    flags = make.one(0, 0, 0, MNT_DETACH, MNT_DETACH, MNT_FORCE, UMOUNT_NOFOLLOW, 0x100)
    where = place(make)
    if where in (b"/\0", b".\0", b"..\0"):
        # The root directory's own mount would become read-only: see `remount`.
        flags |= MNT_DETACH
    make.call("umount2", At(0), flags, data=where)


def go_elsewhere(make: Maker) -> None:
    """chdir, chroot, pivot_root, another namespace."""
    kind = make.one(0, 0, 0, 0, 1, 2, 3, 3)
    if kind == 0:
        make.call("chdir", At(0), data=place(make))
    elif kind == 1 and make.odds(30):
        make.call("chroot", At(0), data=place(make))
    elif kind == 2:
        make.call("pivot_root", At(0), At(16), data=place(make).ljust(16, b"\0") + place(make))
    elif kind == 3 and len(make.actors) < 3:
        make.spawn("fork")
        make.actor = make.actors[-1]
        if make.odds(80):
            make.call("unshare", CLONE_NEWNS)


def use_trees(make: Maker) -> None:
    """open_tree and move_mount."""
    kind = make.one(0, 0, 1, 1, 1, 2)
    if kind == 0:
        flags = OPEN_TREE_CLONE | (AT_RECURSIVE if make.odds(50) else 0)
        make.opened(make.call("open_tree", AT_FDCWD, At(0), flags, data=place(make)))
    elif kind == 1:
        flags = MOVE_F_EMPTY | make.bits((MOVE_BENEATH,), (MOVE_SET_GROUP, 0x1000))
        make.call("move_mount", make.descriptor(), At(0), AT_FDCWD, At(8), flags, data=bytes(8) + place(make))
    else:
        flags = make.one(0, MOVE_BENEATH, MOVE_SET_GROUP, MOVE_SET_GROUP)
        data = place(make).ljust(16, b"\0") + place(make)
        make.call("move_mount", AT_FDCWD, At(0), AT_FDCWD, At(16), flags, data=data)


def set_attributes(make: Maker) -> None:
    """mount_setattr, open_tree_attr."""
    on = make.bits((1, 2, 4, 8), (0x10, 0x20, 0x80, 0x200000, 1 << 40), percent=20)
    off = make.bits((1, 2, 4, 8), (0x70, 0x10, 0x100000), percent=30)
    kind = make.one(0, 0, 0, MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, MS_SHARED | MS_SLAVE)
    flags = make.one(0, 0, AT_RECURSIVE, 1)
    data = struct.pack("<QQQQ", on, off, kind, 0) + place(make)
    if make.odds(70):
        make.call("mount_setattr", AT_FDCWD, At(32), flags, At(0), 32, data=data)
    else:
        flags |= make.one(OPEN_TREE_CLONE, OPEN_TREE_CLONE, 0)
        size = make.one(32, 32, 32, 0, 31)
        make.opened(make.call("open_tree_attr", AT_FDCWD, At(32), flags, At(0), size, data=data))


def open_something(make: Maker) -> None:
    """Keep a mount busy, or no longer."""
    if make.odds(60):
        make.opened(
            make.call("open", At(0), make.one(0, 0o200000, 0o102, 0o10000000), 0o644, data=place(make))
        )
    else:
        make.call("close", make.opened_descriptor())


FSCONFIG_SET_FLAG, FSCONFIG_SET_STRING, FSCONFIG_CREATE, FSCONFIG_RECONFIGURE = 0, 1, 6, 7
SETTINGS = (
    *(("size", "64k"), ("size", "x"), ("mode", "700"), ("mode", "9"), ("nr_inodes", "9"), ("source", "here")),
    *(("none", "1"), ("uid", "5"), ("huge", "never"), ("size", "")),
)


def make_in_steps(make: Maker) -> None:
    """fsopen, fsconfig, fsmount, fspick, and what the context tells."""
    kind = make.random.randrange(12)
    # Descriptors are the script's own: nothing else has made a mount that could be changed.
    made = [Result(operation) for operation in make.operations if operation.result == "context"]
    if kind < 3 or not made:
        if kind == 0 and made:
            call = make.call("fspick", AT_FDCWD, At(0), make.one(1, 1, 0, 8), data=place(make))
        else:
            kind_of_files = make.random.choice(("tmpfs", "tmpfs", "tmpfs", "nosuchfs", ""))
            call = make.call("fsopen", At(0), make.one(1, 1, 0, 2), data=make.text(kind_of_files))
        call.result = "context"
        return
    context = make.random.choice(made[-2:])
    if kind < 7:
        key, value = make.random.choice(SETTINGS)
        command = make.one(FSCONFIG_SET_STRING, FSCONFIG_SET_STRING, FSCONFIG_SET_FLAG, 2, 9)
        where: Argument = At(16) if command != FSCONFIG_SET_FLAG else 0
        name = make.random.choice(("ro", "noswap", key)) if command == FSCONFIG_SET_FLAG else key
        data = make.text(name).ljust(16, b"\0") + make.text(value)
        # What a tmpfs without swapping is asked for can't be taken back.
        make.call("fsconfig", context, command, At(0), where, make.one(0, 0, 0, 1), data=data)
    elif kind < 9:
        command = make.one(FSCONFIG_CREATE, FSCONFIG_CREATE, FSCONFIG_RECONFIGURE, 8)
        make.call("fsconfig", context, command, 0, 0, make.one(0, 0, 0, 1))
    elif kind == 9:
        make.call("read", context, At(0), make.one(200, 200, 4), data=bytes(200))
    else:
        flags = make.bits((1, 2, 4, 8), (0x10, 0x20, 0x80, 1 << 30), 15)
        make.opened(make.call("fsmount", context, make.one(0, 1, 1, 2), flags))


STATMOUNT_MASKS = (1, 2, 4, 8, 0x10, 0x20, 0x80, 0x100, 0x200)


def tell_of_mounts(make: Maker) -> None:
    """statx for a mount's number, listmount, statmount."""
    asked = [operation for operation in make.operations if operation.result == "mount"]
    if not asked or make.odds(30):
        data = place(make).ljust(16, b"\0") + bytes(256)
        call = make.call("statx", AT_FDCWD, At(0), 0, 0x4000, At(16), data=data, show=nothing)
        call.result = "mount"
        return
    number: Argument = Stored(make.random.choice(asked[-3:]), 16 + 0x90, is_word=True)
    if make.odds(15):
        number = make.one(0, 1, -1)
    size = make.one(24, 24, 24, 32, 23, 40, 0)
    if make.odds(45):
        data = struct.pack("<IIQQQ", size, 0, 0, make.one(0, 0, 0, 1 << 40), 0) + bytes(160)
        if make.odds(50):
            number = -1
        count, flags = make.one(16, 16, 1, 0, 1 << 20), make.one(0, 0, 1, 2)
        fixups = ((8, 8, number),)
        make.call("listmount", At(0), At(32), count, flags, data=data, fixups=fixups, show=nothing)
        return
    mask = make.bits(STATMOUNT_MASKS, (1 << 50,), 5)
    data = struct.pack("<IIQQQ", size, 0, 0, mask, 0) + bytes(1024)
    room = make.one(1024, 1024, 512, 100, 520)
    flags, fixups = make.one(0, 0, 0, 1), ((8, 8, number),)
    make.call("statmount", At(0), At(32), room, flags, data=data, fixups=fixups, show=show_statmount)


def nothing(data: bytes, result: int, naming: Naming) -> str:
    """Show nothing."""
    return ""


def show_statmount(data: bytes, result: int, naming: Naming) -> str:
    """A struct statmount, but for numbers."""
    if result:
        return ""
    size = struct.unpack_from("<I", data, 32)[0]
    mask = struct.unpack_from("<Q", data, 40)[0]
    kind, flags = struct.unpack_from("<QI", data, 32 + 24)
    attributes, propagation = struct.unpack_from("<QQ", data, 32 + 72)
    texts = data[32 + 512 : 32 + size].replace(b"\0", b"|").decode("latin-1") if size > 512 else ""
    return f"{size} {mask:#x} {kind:#x} {flags:#x} {attributes:#x} {propagation:#x} {texts}"


FAMILIES = (
    *(make_in_steps, make_in_steps, tell_of_mounts, tell_of_mounts),
    *(make_directory, mount_new, bind, propagate, unmount, look) * 3,
    *(move, remount, go_elsewhere, use_trees, set_attributes, open_something) * 2,
)
