"""Random calls on files of an overlay, and of ramfs; and looks at what lies below in the overlay's layers."""

from __future__ import annotations

from tests.differential import attribute_calls, file_calls
from tests.differential.file_calls import O_DIRECTORY, show_entries, show_stat
from tests.differential.maker import Maker
from tests.differential.mount_calls import CLONE_NEWNS, MS_PRIVATE, MS_RDONLY, MS_REC
from tests.differential.script import At, Naming, Result

OPTIONS = (*("", "", "", "redirect_dir=off", "redirect_dir=nofollow", "xino=off", "volatile", "userxattr"),)
UPPER, LOWER, BOTTOM = "upper", "lower", "bottom"
LOWER_NAMES = ((), ("a", "b", "d", "d/a", "d/b", "d/e"), ("d", "c", "!e", "l"))
UPPER_NAMES = ((), (), ("a", "d", "d/b"), ("!a", "e", "!d"), ("d", "=d", "d/a"))
LOOKS = ("a", "b", "c", "d", "d/a", "d/e", "e", "l", "d/b")
TRUSTED = ("trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.whiteout", "user.a")
PATH_BYTES = 32


def begin(make: Maker) -> None:
    """A tmpfs with layers, and what is mounted of them; or a ramfs."""
    make.call("unshare", CLONE_NEWNS)
    make.call("mount", 0, At(0), 0, MS_REC | MS_PRIVATE, 0, data=b"/\0")
    make.call("mkdir", At(0), 0o755, data=b"t\0")
    make.call("mount", At(2), At(0), At(2), 0, 0, data=b"t\0tmpfs\0")
    make.call("chdir", At(0), data=b"t\0")
    for name in (UPPER, LOWER, BOTTOM, "work", "m"):
        make.call("mkdir", At(0), 0o755, data=make.text(name))
    if make.odds(15):
        make.call("mount", At(2), At(0), At(2), 0, 0, data=b"m\0ramfs\0")
        populate(make, "m", make.random.choice((("a", "d", "d/a"), ("b", "e", "l"))))
        make.call("chdir", At(0), data=b"m\0")
        return
    populate(make, BOTTOM, ("a", "c", "d", "d/a", "e", "e/d", "l"))
    populate(make, LOWER, make.random.choice(LOWER_NAMES))
    populate(make, UPPER, make.random.choice(UPPER_NAMES))
    # What a second layer has on top of a first one that isn't opaque is seen through it.
    below = make.random.choice((f"{LOWER}:{BOTTOM}", f"{LOWER}:{BOTTOM}", BOTTOM, LOWER))
    text = f"lowerdir={below}"
    if make.odds(92):
        text += f",upperdir={UPPER},workdir=work"
    elif below in (LOWER, BOTTOM):
        text = f"lowerdir={LOWER}:{BOTTOM}"
    option = make.random.choice(OPTIONS)
    text += f",{option}" if option else ""
    flags = MS_RDONLY if make.odds(5) else 0
    data = b"m\0overlay\0".ljust(16, b"\0") + make.text(text)
    make.call("mount", At(2), At(0), At(2), flags, At(16), data=data)
    make.call("chdir", At(0), data=b"m\0")


def populate(make: Maker, layer: str, names: tuple[str, ...]) -> None:
    """Files, directories, a link, whiteouts (!) and opaque directories (=) in a layer."""
    for name in names:
        path = make.text(f"{layer}/{name.lstrip('!=')}")
        last = name.rpartition("/")[2]
        if name.startswith("!"):
            make.call("mknod", At(0), 0o20000, 0, data=path)
        elif name.startswith("="):
            data = path.ljust(PATH_BYTES, b"\0") + b"trusted.overlay.opaque\0".ljust(PATH_BYTES, b"\0") + b"y"
            make.call("setxattr", At(0), At(PATH_BYTES), At(2 * PATH_BYTES), 1, 0, data=data)
        elif last in ("d", "e"):
            make.call("mkdir", At(0), 0o755, data=path)
        elif last == "l":
            make.call("symlink", At(0), At(2), data=b"a\0" + path)
        else:
            opened = make.call("creat", At(0), 0o644, data=path)
            make.call("write", Result(opened), At(0), 5, data=b"hello")
            make.call("close", Result(opened))


def below(make: Maker) -> bytes:
    """A path in a layer, seen from the top of what is mounted."""
    layer = make.random.choice((UPPER, UPPER, UPPER, LOWER, BOTTOM))
    return make.text(f"../{layer}/{make.random.choice(LOOKS)}").ljust(PATH_BYTES, b"\0")


def look_below(make: Maker) -> None:
    """What is in the layers: their files, entries and marks."""
    kind = make.random.randrange(6)
    path = below(make)
    if kind < 3:
        make.call("lstat", At(0), At(PATH_BYTES), data=path + bytes(144), show=show_below)
    elif kind == 3:
        opened = make.call("open", At(0), O_DIRECTORY, data=path)
        make.call("getdents64", Result(opened), At(0), 2048, data=bytes(2048), show=show_entries)
        make.call("close", Result(opened))
    elif kind == 4:
        name = make.text(make.random.choice(TRUSTED)).ljust(PATH_BYTES, b"\0")
        data = path + name + bytes(64)
        make.call("lgetxattr", At(0), At(PATH_BYTES), At(2 * PATH_BYTES), 64, data=data)
    else:
        make.call("llistxattr", At(0), At(PATH_BYTES), 512, data=path + bytes(512), show=show_names)


def show_below(data: bytes, result: int, naming: Naming) -> str:
    """Without the number, which would name a file that's seen above too; and whiteouts without how many they
    are, as on Linux all are one file."""
    words = show_stat(data, result, naming).split()[1:]
    return " ".join(words if words[:1] != ["20000"] else words[:1])


def show_names(data: bytes, result: int, naming: Naming) -> str:
    """The names of attributes, whose order is the file system's."""
    return " ".join(sorted(data[PATH_BYTES : PATH_BYTES + max(result, 0)].decode().split("\0")))


def write_file(make: Maker) -> None:
    """Open a file that may be below, so that it's copied up, and write to it."""
    path = make.text(make.random.choice(LOOKS))
    opened = make.opened(make.call("open", At(0), make.one(0, 1, 2, 2, 0o2001, 0o1002), data=path))
    for _ in range(make.random.randrange(3)):
        kind = make.random.randrange(5)
        if kind < 2:
            make.call("pwrite64", Result(opened), At(0), 3, make.one(0, 5, 4096), data=b"new")
        elif kind < 4:
            make.call("pread64", Result(opened), At(0), 10, make.one(0, 2), data=bytes(10))
        else:
            make.call("ftruncate", Result(opened), make.one(0, 3, 10))


# Handles that only tell files of an overlay apart are longer on Linux, and entries come in another order.
DIFFERENT = (attribute_calls.handles, attribute_calls.list_again)
FAMILIES = (
    *file_calls.FAMILIES,
    *file_calls.FAMILIES,
    *(family for family in attribute_calls.FAMILIES if family not in DIFFERENT),
    *(look_below,) * 6,
    *(write_file,) * 4,
)
