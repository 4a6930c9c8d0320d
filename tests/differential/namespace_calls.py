"""Random calls on namespaces: making and entering them, their maps of ids, and what is in them."""

from __future__ import annotations

import struct

from tests.differential.maker import Maker, go_on
from tests.differential.process_calls import await_process, end_process, group, identify, send_signal
from tests.differential.script import SLURP, At, Naming, Result

CLONE_NEWTIME, CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x80, 0x20000, 0x2000000, 0x4000000
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x8000000, 0x10000000, 0x20000000, 0x40000000
KINDS = {
    "time": CLONE_NEWTIME,
    "time_for_children": CLONE_NEWTIME,
    "mnt": CLONE_NEWNS,
    "cgroup": CLONE_NEWCGROUP,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "user": CLONE_NEWUSER,
    "pid": CLONE_NEWPID,
    "pid_for_children": CLONE_NEWPID,
}
NS_GET_USERNS, NS_GET_PARENT, NS_GET_NSTYPE, NS_GET_OWNER_UID = 0xB701, 0xB702, 0xB703, 0xB704
NS_GET_PID_FROM_PIDNS, NS_GET_TGID_FROM_PIDNS, NS_GET_PID_IN_PIDNS, NS_GET_TGID_IN_PIDNS = (
    *(0x8004B706, 0x8004B707, 0x8004B708, 0x8004B709),
)
CLONE_FILES, CLONE_PARENT, CLONE_NEW = 0x400, 0x8000, tuple(KINDS.values())
MOST_ACTORS = 6
IPC_PRIVATE, IPC_CREAT, IPC_EXCL, IPC_RMID = 0, 0o1000, 0o2000, 0
PATH_BYTES, FILE_BYTES = 48, 512
MAPS = (
    *(b"0 0 1", b"0 0 1\n", b"0 1000 1", b"5 0 10", b"0 0 4294967295", b"0 0 10\n10 100 5") * 3,
    *(b"", b"\n", b"0 0", b"0 0 0", b"x 0 1", b"0 0 1 1", b"0 0 1\n0 5 1", b"0 0 4294967296", b"-1 0 1"),
    *(
        b"0 0 1\n1 0 1",
        b" 7  0\t1 ",
        b"0 0 1\n\n",
        b"4294967295 0 1",
        b"0 0 1\n1 1 1\n2 2 1\n3 3 1\n4 4 1\n5 5 1",
    ),
)
OFFSETS = (
    b"monotonic 10 0",
    b"boottime 7 0",
    b"1 5 0",
    b"7 5 999999999",
    b"realtime 1 0",
    b"monotonic 1",
    b"",
)
HOST_NAMES = (b"diff-a", b"diff-b", b"", b"diff-" + b"x" * 59, b"diff-" + b"x" * 60)


def begin(make: Maker) -> None:
    """Names and queues of its own to begin with. (The executor's aren't the host's in any case.)"""
    make.call("unshare", CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNS)
    make.call("sethostname", At(0), 6, data=b"diff-0")


def unshare(make: Maker) -> None:
    """unshare."""
    flags = make.one(*KINDS.values(), CLONE_NEWUSER, CLONE_NEWUSER)
    if make.odds(40):
        flags |= make.bits(tuple(KINDS.values()), (0x200, 0x400, 0x10000, 0x40000, 1, 255, 1 << 31), 20)
    make.call("unshare", flags)


def open_namespace(make: Maker) -> None:
    """A file of /proc/self/ns, and what there is to ask of it."""
    kind = make.random.choice((*KINDS, "none"))
    make.opened(
        make.call("open", At(0), make.one(0, 0, 0, 1, 0o10000000), data=make.text(f"/proc/self/ns/{kind}"))
    )


def enter(make: Maker) -> None:
    """setns."""
    flags = (
        make.one(0, 0, *KINDS.values()) if make.odds(85) else make.bits(tuple(KINDS.values()), (1, 255), 40)
    )
    make.call("setns", make.opened_descriptor(), flags)


def enter_that_of(make: Maker) -> None:
    """setns of a pidfd: several namespaces of somebody at once."""
    opened = make.call("pidfd_open", make.pid(), 0, result="pidfd")
    flags = make.one(*CLONE_NEW) | make.bits(CLONE_NEW, (0, 1, 255), 6)
    make.call("setns", Result(opened), flags)
    make.call("close", Result(opened), result="none")


def make_process(make: Maker) -> None:
    """fork, clone and clone3, most often with the same descriptors, so that others' files are at hand."""
    if len(make.actors) >= MOST_ACTORS:
        return
    flags = make.one(0, CLONE_FILES, CLONE_FILES) | make.bits((), (CLONE_PARENT,), 8)
    if make.odds(65):
        flags |= make.one(CLONE_NEWPID, CLONE_NEWUSER, CLONE_NEWUSER | CLONE_NEWPID, *CLONE_NEW)
        if make.odds(20):
            flags |= make.bits(CLONE_NEW)
    if make.odds(60) and not flags & CLONE_NEWTIME:
        make.spawn("clone", flags | make.one(17, 17, 17, 0), 0, 0, 0, 0)
    else:
        data = struct.pack("<11Q", flags, 0, 0, 0, make.one(17, 17, 0), 0, 0, 0, 0, 0, 0)
        make.spawn("clone3", At(0), 88, data=data)


def translate(make: Maker) -> None:
    """The numbers of tasks in other pid namespaces."""
    request = make.one(
        NS_GET_PID_FROM_PIDNS, NS_GET_TGID_FROM_PIDNS, NS_GET_PID_IN_PIDNS, NS_GET_TGID_IN_PIDNS
    )
    namespace = make.opened(make.call("open", At(0), 0, data=make.text("/proc/self/ns/pid")))
    descriptor = Result(namespace) if make.odds(50) else make.opened_descriptor()
    make.call("ioctl", descriptor, request, make.pid(), result="elsewhere")


def ask(make: Maker) -> None:
    """ioctl_ns(2)."""
    request = make.one(NS_GET_USERNS, NS_GET_PARENT, NS_GET_NSTYPE, NS_GET_NSTYPE, NS_GET_OWNER_UID, 0xB7FF)
    operation = make.call("ioctl", make.opened_descriptor(), request, At(0), data=bytes(8))
    if request in (NS_GET_USERNS, NS_GET_PARENT):
        make.opened(operation)


def write_file(make: Maker) -> None:
    """uid_map, gid_map, setgroups and timens_offsets."""
    name, texts = make.random.choice(
        (
            ("uid_map", MAPS),
            ("gid_map", MAPS),
            ("setgroups", (b"deny", b"allow", b"deny\n", b"x", b"")),
            ("timens_offsets", OFFSETS),
        )
    )
    opened = make.opened(make.call("open", At(0), make.one(1, 1, 1, 2), data=make.text(f"/proc/self/{name}")))
    del opened
    text = make.random.choice(texts)
    make.call("write", make.descriptors[-1], At(0), len(text), data=text + b"\0")
    if make.odds(80):
        make.call("close", make.descriptors.pop())


def show_file(data: bytes, result: int, naming: Naming) -> str:
    """A small file as it is."""
    return data[PATH_BYTES : max(result, PATH_BYTES)].decode("latin-1").replace("\n", "; ")


def read_file(make: Maker) -> None:
    """The same files, read."""
    name = make.random.choice(("uid_map", "gid_map", "setgroups", "timens_offsets"))
    path = f"/proc/self/{name}\0".encode().ljust(PATH_BYTES + FILE_BYTES, b"\0")
    make.operation(SLURP, data=path, show=show_file, result="none")


def show_name(data: bytes, result: int, naming: Naming) -> str:
    """What the machine is called."""
    name = data[65:130].partition(b"\0")[0].decode("latin-1")
    # What it was called before isn't the same on all hosts.
    return name if not name or name.startswith("diff-") else "?"


def use(make: Maker) -> None:
    """What is in namespaces: names, queues, and ids."""
    kind = make.one(0, 0, 1, 1, 2, 2, 3, 4)
    if kind == 0:
        name = make.random.choice(HOST_NAMES)
        make.call("sethostname", At(0), len(name), data=name + b"\0")
    elif kind == 1:
        make.call("uname", At(0), data=bytes(400), show=show_name)
    elif kind == 2:
        make.call(
            "msgget", make.one(IPC_PRIVATE, 5, 5, 6), make.one(0, IPC_CREAT, IPC_CREAT | IPC_EXCL) | 0o600
        )
    elif kind == 3:
        make.call("msgctl", make.one(0, 1, 32768), IPC_RMID, 0)
    else:
        make.call("mount", 0, At(0), 0, make.one(1 << 18, 1 << 19, 4128), 0, data=b"/\0")


def close(make: Maker) -> None:
    """close."""
    make.call("close", make.opened_descriptor())


def capabilities(make: Maker) -> None:
    """What it may do now."""
    data = struct.pack("<Ii", 0x20080522, 0) + bytes(24)
    make.call("capget", At(0), At(8), data=data)


FAMILIES = (
    *(unshare,) * 3,
    *(open_namespace, enter, ask, write_file, read_file, use) * 2,
    *(identify, capabilities, close),
    go_on,
    *(make_process,) * 3,
    *(enter_that_of, translate, await_process, end_process, send_signal, group),
)
