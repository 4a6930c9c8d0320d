"""Random calls on control groups, below one of the script's own where no controller is given."""

from __future__ import annotations

import struct

from tests.differential.maker import Maker
from tests.differential.script import SLURP, Argument, At, Naming, Result

CLONE_INTO_CGROUP = 1 << 33
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


FAMILIES = (
    *(make_group, remove_group) * 2,
    *(write_file,) * 6,
    *(read_file,) * 5,
    *(write_again, where, spawn, delegate),
)
