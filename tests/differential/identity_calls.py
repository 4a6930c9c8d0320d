"""Random calls on credentials: ids, capabilities, secure bits, and what execve makes of them."""

from __future__ import annotations

import struct

from tests.differential.maker import AT_FDCWD, BAD_ADDRESS, Maker
from tests.differential.memory_calls import PATH_BYTES
from tests.differential.process_calls import await_process, identify
from tests.differential.script import SLURP, Argument, At, Naming, Pid, Result

MOST_ACTORS = 8
CLONE_NEWNS, CLONE_NEWUSER, MS_REC, MS_PRIVATE = 0x20000, 0x10000000, 16384, 1 << 18
MS_NOSUID, MS_NOEXEC, MS_REMOUNT, MS_BIND = 2, 8, 32, 4096
CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID, SETPCAP, NET_RAW = 0, 1, 5, 6, 7, 8, 13
ALL = 0x1FFFFFFFFFF & ~(1 << 23 | 1 << 24)
SETS = (0, 0, ALL, ALL, 1 << CHOWN, 1 << SETUID | 1 << SETGID, 1 << NET_RAW, 1 << SETPCAP | 1 << NET_RAW)
PR_GET_DUMPABLE, PR_SET_DUMPABLE, PR_GET_KEEPCAPS, PR_SET_KEEPCAPS = 3, 4, 7, 8
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_GET_SECUREBITS, PR_SET_SECUREBITS = 23, 24, 27, 28
PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 38, 39, 47
PR_SET_PDEATHSIG, PR_GET_PDEATHSIG = 1, 2
SECURE_BITS = (0, 1, 2, 3, 4, 8, 5, 0x10, 0x14, 0x30, 0x40, 0x80, 0x15, 0x100000)
VFS_CAP_REVISION_1, VFS_CAP_REVISION_2, VFS_CAP_REVISION_3, VFS_CAP_EFFECTIVE = (
    *(0x01000000, 0x02000000, 0x03000000, 1),
)
CAPABILITY_VERSIONS = (0x20080522, 0x20080522, 0x20080522, 0x20071026, 0x19980330, 0, -1)
MAPS = (
    b"0 0 1",
    b"0 1000 1",
    b"0 12345 1",
    b"1000 0 1",
    b"0 0 4294967295",
    b"0 0 2000\n5000 12345 1",
    b"7 x 1",
)
OWN_FILES = ("environ", "fd", "status", "uid_map", "ns/user", "task", "mem")
RLIMIT_CORE, RLIMIT_STACK, RLIMIT_NOFILE = 4, 3, 7
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
        make.random.choice((*(identify, change_capabilities, change_process) * 2, enter_user_namespace))(make)
    name = make.random.choice(PROGRAMS)
    data = bytes(32) + b"r\0" + make.text(name)
    arguments: tuple[tuple[int, int, Argument], ...] = ((0, 8, At(34)), (8, 8, At(32)))
    make.call("execve", At(34), At(0), At(24), data=data, fixups=arguments).is_slow = True
    make.actor = before
    make.operation(SLURP, data=b"r".ljust(PATH_BYTES + REPORT_BYTES, b"\0"), show=show_report, result="none")
    # Whatever comes next isn't mistaken for what this one has said.
    make.call("truncate", At(0), 0, data=b"r\0")


def go_on(make: Maker) -> None:
    """execve, after which the same actor goes on, with what rights it has then."""
    make.execute(make.random.choice(PROGRAMS))


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


def change_odd_capabilities(make: Maker) -> None:
    """capset and capget of other versions, of others, and to and from odd addresses."""
    pid: Argument = make.pid() if make.odds(70) else 0
    header = struct.pack("<Ii", make.random.choice(CAPABILITY_VERSIONS) & 0xFFFFFFFF, 0)
    fixups = ((4, 4, pid),)
    where: Argument = At(8) if make.odds(85) else make.one(0, BAD_ADDRESS)
    if make.odds(60):
        make.call(
            *("capget", At(0) if make.odds(95) else 0, where),
            data=header + b"\x55" * 24,
            fixups=fixups,
            show=show_sets,
        )
        return
    words = [make.one(0, 0xFFFFFFFF, 1 << SETUID, 1 << KILL | 1) for _ in range(6)]
    data = header + struct.pack("<6I", *words)
    make.call("capset", At(0), where, data=data, fixups=fixups, show=lambda *_: "")


def show_sets(data: bytes, result: int, naming: Naming) -> str:
    """The version, and the sets as they were told."""
    return data[:4].hex() + " " + data[8:].hex()


def change_odd_process(make: Maker) -> None:
    """prctl with more arguments than it has, and with values that aren't."""
    option = make.one(
        *(PR_SET_KEEPCAPS, PR_GET_KEEPCAPS, PR_SET_SECUREBITS, PR_GET_SECUREBITS, PR_CAPBSET_READ),
        *(PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT),
        *(PR_SET_DUMPABLE, PR_GET_DUMPABLE),
    )
    odd = (0, 0, 1, 2, 5, 41, 63, 64, -1, 1 << 32)
    make.call(
        "prctl", option, make.one(*odd), make.one(0, 0, *odd), make.one(0, 0, 0, 1), make.one(0, 0, 0, 1)
    )


def mind_parent(make: Maker) -> None:
    """PR_SET_PDEATHSIG, PR_GET_PDEATHSIG: what other ids and programs forget."""
    if make.odds(50):
        make.call("prctl", PR_SET_PDEATHSIG, make.one(0, 17, 18, 64, 65, -1), 0, 0, 0)
    else:
        make.call("prctl", PR_GET_PDEATHSIG, At(0) if make.odds(92) else BAD_ADDRESS, 0, 0, 0, data=bytes(8))


def group_list(make: Maker) -> None:
    """setgroups and getgroups, of lists that don't fit too."""
    if make.odds(50):
        count = make.one(0, 1, 2, 3, 5, -1)
        where: Argument = At(0) if make.odds(90) else make.one(0, BAD_ADDRESS)
        make.call("getgroups", count, where, data=b"\x55" * 20)
        return
    ids = [make.one(0, 3, 3, 1000, 12345, 99999, -1) & 0xFFFFFFFF for _ in range(5)]
    where = At(0) if make.odds(92) else make.one(0, BAD_ADDRESS)
    make.call("setgroups", make.one(0, 1, 3, 5, 5, 65537, -1), where, data=struct.pack("<5I", *ids))


def enter_user_namespace(make: Maker) -> None:
    """unshare(CLONE_NEWUSER), and what it maps."""
    if make.odds(60):
        make.call("unshare", CLONE_NEWUSER | make.one(0, 0, 0, CLONE_NEWNS, 0x100))
    for _ in range(make.one(1, 2, 3)):
        name, texts = make.random.choice(
            (("setgroups", (b"deny", b"allow", b"x", b"deny\n")), ("uid_map", MAPS), ("gid_map", MAPS))
        )
        text = make.random.choice(texts)
        opened = make.call("open", At(0), make.one(1, 1, 2), data=make.text(f"/proc/thread-self/{name}"))
        make.call("write", Result(opened), At(0), len(text), data=text)
        make.call("close", Result(opened))


def look_at_maps(make: Maker) -> None:
    """/proc/thread-self/uid_map and its kin."""
    name = make.random.choice(("uid_map", "gid_map", "setgroups", "projid_map"))
    path = f"/proc/thread-self/{name}\0".encode()
    make.operation(SLURP, data=path.ljust(PATH_BYTES + 256, b"\0"), show=show_report, result="none")


def look_at_owner(make: Maker) -> None:
    """Whose files in /proc are, and whether they may be read: who isn't to be dumped has none."""
    path = make.text(f"/proc/self/{make.random.choice(OWN_FILES)}")
    if make.odds(60):
        make.call("stat", At(0), At(32), data=path.ljust(176, b"\0"), show=show_owner)
    else:
        opened = make.call("open", At(0), make.one(0, 0, 1), data=path)
        make.call("close", Result(opened))


def show_owner(data: bytes, result: int, naming: Naming) -> str:
    """Mode and owners."""
    mode, uid, gid = struct.unpack_from("<III", data, 32 + 24)
    return f"{mode:o} {uid} {gid}" if result == 0 else ""


def reach_others(make: Maker) -> None:
    """What one may do to others: their limits, niceness, memory, descriptors."""
    pid = make.pid()
    kind = make.random.randrange(8)
    if kind < 2:
        limit = make.one(RLIMIT_CORE, RLIMIT_CORE, RLIMIT_STACK, RLIMIT_NOFILE)
        new: Argument = At(0) if make.odds(25) and limit == RLIMIT_CORE else 0
        data = struct.pack("<QQ", make.one(0, 0, 5), make.one(0, 5)) + bytes(16)
        make.call("prlimit64", pid, limit, new, At(16), data=data)
    elif kind == 2:
        make.call("setpriority", 0, pid, make.one(0, 0, 5, -5, 19))
    elif kind == 3:
        make.call(
            "sched_setscheduler", pid, make.one(0, 3, 5, 1), At(0), data=struct.pack("<i", make.one(0, 1))
        )
    elif kind == 4:
        make.call("kcmp", pid, make.pid(), make.one(1, 2, 3, 4, 5, 6), 0, 0, result="equal")
    elif kind == 5:
        make.call("ioprio_set", 1, pid, make.one(0, 2 << 13 | 4, 3 << 13, 1 << 13, 4 << 13))
    elif kind == 6:
        data = struct.pack("<QQQQ", 0, 4, 0, 4) + bytes(8)
        fixups: tuple[tuple[int, int, Argument], ...] = ((0, 8, At(32)), (16, 8, At(36)))
        make.call(
            *("process_vm_readv", pid, At(0), 1, At(16), 1, 0), data=data, fixups=fixups, show=lambda *_: ""
        )
    else:
        opened = make.call("pidfd_open", pid, 0, result="pidfd")
        if make.odds(50):
            make.call("pidfd_send_signal", Result(opened), make.one(0, 18), 0, 0)
        else:
            make.call("pidfd_getfd", Result(opened), make.one(0, 3, 63), 0)
        make.call("close", Result(opened), result="none")


def odd_file_capabilities(make: Maker) -> None:
    """security.capability set, read and removed: other revisions, sizes and namespaces."""
    name = make.text(make.random.choice(("x", "x", "c", "i", "r"))).ljust(8, b"\0")
    names = name + b"security.capability\0".ljust(24, b"\0")
    kind = make.random.randrange(8)
    if kind < 4:
        revision, size = make.random.choice(
            (
                *((VFS_CAP_REVISION_1, 12), (VFS_CAP_REVISION_2, 20), (VFS_CAP_REVISION_3, 24)),
                *((VFS_CAP_REVISION_3, 24), (VFS_CAP_REVISION_3, 20), (VFS_CAP_REVISION_2, 24)),
                *((VFS_CAP_REVISION_2, 19), (0x04000000, 20), (VFS_CAP_REVISION_2, 0)),
            )
        )
        words = [make.one(0, 1 << NET_RAW, 1 << CHOWN, 0xFFFFFFFF) for _ in range(4)]
        owner = make.one(0, 0, 1000, 7, -1) & 0xFFFFFFFF
        value = struct.pack("<6I", revision | make.one(0, 1, 1, 2), *words, owner)
        flags = make.one(0, 0, 0, 1, 2)
        make.call("setxattr", At(0), At(8), At(32), size, flags, data=names + value)
    elif kind < 7:
        make.call("getxattr", At(0), At(8), At(32), make.one(24, 24, 20, 12, 0, 64), data=names + bytes(64))
    else:
        make.call("removexattr", At(0), At(8), data=names)


def mount_again(make: Maker) -> None:
    """The programs' file system, where ids and capabilities of files may mean nothing or nothing is run."""
    flags = make.one(0, MS_NOSUID, MS_NOSUID, MS_NOEXEC) | MS_REMOUNT | MS_BIND
    make.call("mount", 0, At(0), 0, flags, 0, data=b".\0")


FAMILIES = (
    *(identify,) * 5,
    *(change_capabilities,) * 3,
    *(change_process,) * 5,
    *(look,) * 3,
    *(execute,) * 3,
    *(go_on, go_on),
    *(use_rights,) * 3,
    *(change_odd_capabilities, change_odd_process, mind_parent, group_list, group_list),
    *(enter_user_namespace, enter_user_namespace, look_at_maps, look_at_owner, reach_others, reach_others),
    *(odd_file_capabilities, odd_file_capabilities, mount_again),
    await_process,
)
