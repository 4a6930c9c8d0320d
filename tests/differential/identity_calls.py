"""Random calls on credentials: ids, capabilities, secure bits, and what execve makes of them."""

from __future__ import annotations

import struct

from tests.differential.maker import AT_FDCWD, Maker
from tests.differential.memory_calls import PATH_BYTES
from tests.differential.process_calls import await_process, identify
from tests.differential.script import SLURP, Argument, At, Naming, Pid, Result

MOST_ACTORS = 8
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 16384, 1 << 18
CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID, SETPCAP, NET_RAW = 0, 1, 5, 6, 7, 8, 13
ALL = 0x1FFFFFFFFFF & ~(1 << 23 | 1 << 24)
SETS = (0, 0, ALL, ALL, 1 << CHOWN, 1 << SETUID | 1 << SETGID, 1 << NET_RAW, 1 << SETPCAP | 1 << NET_RAW)
PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_GET_KEEPCAPS, PR_SET_KEEPCAPS = 3, 4, 7, 8
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_GET_SECUREBITS, PR_SET_SECUREBITS = 23, 24, 27, 28
PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 38, 39, 47
SECURE_BITS = (0, 1, 2, 3, 4, 8, 5, 0x10, 0x14, 0x30, 0x40, 0x80, 0x15, 0x100000)
VFS_CAP_REVISION_2, VFS_CAP_EFFECTIVE = 0x02000000, 1
PROGRAMS = ("x", "x", "s", "s", "g", "u", "c", "c", "i", "b")
REPORT_BYTES = 1024
STATUS = b"/proc/thread-self/status".ljust(2048, b"\0")
STATUS_FIELDS = (
    b"Uid",
    b"Gid",
    b"Groups",
    b"NoNewPrivs",
    b"CapInh",
    b"CapPrm",
    b"CapEff",
    b"CapBnd",
    b"CapAmb",
)


def begin(make: Maker) -> None:
    """A file system of its own, with copies of the executor that have ids or capabilities of theirs."""
    make.call("unshare", CLONE_NEWNS)
    make.call("mount", 0, At(0), 0, MS_REC | MS_PRIVATE, 0, data=b"/\0")
    make.call("mkdir", At(0), 0o755, data=b"t\0")
    make.call("mount", At(2), At(0), At(2), 0, 0, data=b"t\0tmpfs\0")
    make.call("chdir", At(0), data=b"t\0")
    for name in dict.fromkeys(PROGRAMS):
        make_program(make, name)
    for name, uid, gid, mode in (
        ("s", 0, 0, 0o4755),
        ("g", 12345, 1000, 0o2755),
        ("u", 1000, 12345, 0o6755),
        ("b", 1000, 0, 0o4644),
        ("r", 0, 0, 0o666),
    ):
        if name == "r":
            make.call("close", Result(make.call("creat", At(0), 0o666, data=b"r\0")))
        make.call("chown", At(0), uid, gid, data=make.text(name))
        make.call("chmod", At(0), mode, data=make.text(name))
    set_file_capabilities(make, "c", 1 << NET_RAW | 1 << CHOWN, 0, VFS_CAP_EFFECTIVE)
    set_file_capabilities(make, "i", 1 << KILL, 1 << SETUID | 1 << NET_RAW, 0)
    make.spawn("fork")


def make_program(make: Maker, name: str) -> None:
    """Copy the executor."""
    source = make.call("open", At(0), 0, data=b"/proc/self/exe\0")
    copy = make.call("creat", At(0), 0o755, data=make.text(name))
    make.call("sendfile", Result(copy), Result(source), 0, 1 << 22, result="hidden")
    make.call("close", Result(copy))
    make.call("close", Result(source))


def set_file_capabilities(make: Maker, name: str, permitted: int, inheritable: int, flags: int) -> None:
    """setxattr of security.capability."""
    low, high = permitted & 0xFFFFFFFF, permitted >> 32
    value = struct.pack(
        "<5I", VFS_CAP_REVISION_2 | flags, low, inheritable & 0xFFFFFFFF, high, inheritable >> 32
    )
    names = make.text(name).ljust(8, b"\0") + b"security.capability\0".ljust(24, b"\0")
    make.call("setxattr", At(0), At(8), At(32), len(value), 0, data=names + value)


def change_capabilities(make: Maker) -> None:
    """capset, capget."""
    if make.odds(15):
        data = struct.pack("<Ii", 0x20080522, 0) + bytes(24)
        make.call("capget", At(0), At(8), data=data)
        return
    effective, permitted, inheritable = (make.random.choice(SETS) for _ in range(3))
    if make.odds(60):
        effective &= permitted
    words = [half >> shift & 0xFFFFFFFF for shift in (0, 32) for half in (effective, permitted, inheritable)]
    make.call("capset", At(0), At(8), data=struct.pack("<Ii6I", 0x20080522, 0, *words))


def change_process(make: Maker) -> None:
    """prctl."""
    capability = make.one(CHOWN, KILL, SETUID, SETPCAP, NET_RAW, 40, 41)
    option = make.one(
        *(PR_SET_KEEPCAPS, PR_SET_KEEPCAPS, PR_GET_KEEPCAPS, PR_SET_SECUREBITS, PR_SET_SECUREBITS),
        *(PR_GET_SECUREBITS, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS),
        *(PR_CAP_AMBIENT, PR_CAP_AMBIENT, PR_CAP_AMBIENT, PR_GET_DUMPABLE, PR_SET_DUMPABLE),
    )
    if option == PR_CAP_AMBIENT:
        request = make.one(1, 2, 2, 2, 3, 4)
        make.call("prctl", option, request, 0 if request == 4 else capability, 0, 0)
    elif option in {PR_CAPBSET_READ, PR_CAPBSET_DROP}:
        make.call("prctl", option, capability, 0, 0, 0)
    elif option == PR_SET_SECUREBITS:
        make.call("prctl", option, make.one(*SECURE_BITS), 0, 0, 0)
    else:
        make.call("prctl", option, make.one(0, 1, 1, 2), 0, 0, 0)


def look(make: Maker) -> None:
    """/proc/thread-self/status."""
    make.operation(SLURP, data=STATUS, show=show_status, result="none")


def show_status(data: bytes, result: int, naming: Naming) -> str:
    """What it says of rights."""
    lines = data[PATH_BYTES : max(result, PATH_BYTES)].splitlines()
    return " ".join(
        b" ".join(line.split()).decode() for line in lines if line.partition(b":")[0] in STATUS_FIELDS
    )


def execute(make: Maker) -> None:
    """A child that changes a little, executes a program, and has it report."""
    if len(make.actors) >= MOST_ACTORS:
        return
    make.spawn("fork")
    before, make.actor = make.actor, make.actors.pop()
    for _ in range(make.random.randrange(4)):
        make.random.choice((identify, change_capabilities, change_process))(make)
    name = make.random.choice(PROGRAMS)
    data = bytes(32) + b"r\0" + make.text(name)
    arguments: tuple[tuple[int, int, Argument], ...] = ((0, 8, At(34)), (8, 8, At(32)))
    make.call("execve", At(34), At(0), At(24), data=data, fixups=arguments).is_slow = True
    make.actor = before
    make.operation(SLURP, data=b"r".ljust(PATH_BYTES + REPORT_BYTES, b"\0"), show=show_report, result="none")
    # Whatever comes next isn't mistaken for what this one has said.
    make.call("truncate", At(0), 0, data=b"r\0")


def show_report(data: bytes, result: int, naming: Naming) -> str:
    """What the executor says of itself."""
    return " ".join(data[PATH_BYTES : max(result, PATH_BYTES)].decode(errors="replace").split())


def use_rights(make: Maker) -> None:
    """kill, access, chown, chmod, open: what ids and capabilities are for."""
    kind = make.random.randrange(7)
    path = make.text(make.random.choice(("r", "x", "s", "u", "b")))
    if kind < 2:
        make.call("kill", Pid(make.random.choice(make.actors)), make.one(0, 0, 18))
    elif kind == 2:
        make.call("faccessat2", AT_FDCWD, At(0), make.one(1, 2, 4, 7), make.one(0, 0x200), data=path)
    elif kind == 3:
        make.call("chown", At(0), make.one(-1, 0, 1000), make.one(-1, 0, 1000), data=path)
    elif kind == 4:
        make.call("chmod", At(0), make.one(0o755, 0o4755, 0o2755, 0o666), data=path)
    elif kind == 5:
        set_file_capabilities(
            make, make.random.choice(("x", "c", "i")), 1 << make.one(CHOWN, NET_RAW), 0, make.one(0, 1)
        )
    else:
        make.call(
            "stat",
            At(8),
            At(16),
            data=path.ljust(8, b"\0") + path.ljust(8, b"\0") + bytes(144),
            show=show_mode,
        )


def show_mode(data: bytes, result: int, naming: Naming) -> str:
    """Mode and owners."""
    mode, uid, gid = struct.unpack_from("<III", data, 16 + 24)
    return f"{mode:o} {uid} {gid}"


FAMILIES = (
    *(identify,) * 5,
    *(change_capabilities,) * 3,
    *(change_process,) * 5,
    *(look,) * 3,
    *(execute,) * 3,
    *(use_rights,) * 3,
    await_process,
)
