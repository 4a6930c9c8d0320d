"""Random calls of System V's queues, semaphores and shared memory, and of POSIX message queues."""

from __future__ import annotations

import struct

from tests.differential.maker import BAD_ADDRESS, Maker, go_on
from tests.differential.process_calls import dispose, end_process, identify, send_signal
from tests.differential.script import (
    ARENA,
    LOAD,
    PAGE,
    SLURP,
    STORE,
    Argument,
    At,
    Naming,
    Result,
    Show,
    Symbol,
    number_of,
)

CLONE_NEWIPC, CLONE_SYSVSEM, CLONE_NEWNS, CLONE_NEWUSER = 0x8000000, 0x40000, 0x20000, 0x10000000
MS_REC, MS_PRIVATE = 16384, 1 << 18
PATH_BYTES, MAPS_BYTES = 32, 16384
RLIMIT_MSGQUEUE = 12
IPC_PRIVATE, IPC_CREAT, IPC_EXCL, IPC_NOWAIT, MSG_NOERROR, MSG_EXCEPT, MSG_COPY = (
    *(0, 0o1000, 0o2000, 0o4000, 0o10000, 0o20000, 0o40000),
)
IPC_RMID, IPC_SET, IPC_STAT, IPC_INFO = 0, 1, 2, 3
MSG_STAT, MSG_INFO, MSG_STAT_ANY = 11, 12, 13
SEM_STAT, SEM_INFO, SEM_STAT_ANY = 18, 19, 20
GETPID, GETVAL, GETALL, GETNCNT, GETZCNT, SETVAL, SETALL = 11, 12, 13, 14, 15, 16, 17
SHM_LOCK, SHM_UNLOCK, SHM_STAT, SHM_INFO, SHM_STAT_ANY = 11, 12, 13, 14, 15
SHM_RDONLY, SHM_RND, SHM_REMAP, SHM_EXEC, SHM_NORESERVE = 0o10000, 0o20000, 0o40000, 0o100000, 0o10000
SEM_UNDO = 0x1000
O_NONBLOCK, O_CREAT, O_EXCL, O_CLOEXEC = 0o4000, 0o100, 0o200, 0o2000000
KEYS = (IPC_PRIVATE, 1, 1, 2, 2, 3)
MODES = (0o600, 0o600, 0o666, 0, 0o400, 0o200, 0o644)
ODD_IDS = (0, 1, 2, -1, 32768, 32769, 65536, 1 << 31)
MOST_ACTORS = 5
QUEUES = ("q", "q", "r", "s")


def begin(make: Maker) -> None:
    """A namespace without anything whose queues are files too, and one more who is in it."""
    make.call("unshare", CLONE_NEWIPC | CLONE_NEWNS)
    make.call("mount", 0, At(0), 0, MS_REC | MS_PRIVATE, 0, data=b"/\0")
    make.call("mkdir", At(0), 0o755, data=b"m\0")
    make.call("mount", At(2), At(0), At(2), 0, 0, data=b"m\0mqueue\0")
    make.spawn("fork")


def get_flags(make: Maker) -> int:
    """Flags of the calls that make something, or find it."""
    return make.one(0, IPC_CREAT, IPC_CREAT, IPC_CREAT, IPC_CREAT | IPC_EXCL) | make.random.choice(MODES)


def identifier(make: Maker, kind: str) -> Argument:
    """A queue, a set of semaphores or a segment that was made, seldom another one."""
    made: list[Argument] = [
        Result(operation) for operation in make.operations if operation.call == number_of(kind + "get")
    ]
    if made and make.odds(94):
        return made[-1 - make.random.randrange(min(3, len(made)))]
    return make.random.choice(ODD_IDS)


def permission(make: Maker) -> bytes:
    """A struct ipc64_perm, of which IPC_SET takes owner, group and mode."""
    uid, gid = make.one(0, 0, 1000, -1), make.one(0, 0, 1000)
    return struct.pack("<iIIIIIHHQQ", 9, uid & 0xFFFFFFFF, gid, 8, 8, make.random.choice(MODES), 7, 7, 0, 0)


def show_permission(data: bytes, naming: Naming) -> str:
    """Who may do what."""
    key, uid, gid, cuid, cgid, mode, sequence = struct.unpack_from("<iIIIIIH", data)
    return f"key={key} {uid}:{gid} {cuid}:{cgid} {mode:o} seq={sequence}"


# Message queues of System V


def get_queue(make: Maker) -> None:
    """msgget."""
    make.call("msgget", make.random.choice(KEYS), get_flags(make))


def send_message(make: Maker) -> None:
    """msgsnd."""
    length = make.one(0, 1, 4, 10, 100, 100)
    content = struct.pack("<q", make.one(1, 1, 2, 3, 3, 0, -1, 1 << 40)) + bytes(range(1, length + 1))
    size: int = length if make.odds(95) else make.one(-1, 8193, 1 << 31, 1 << 63)
    flags = IPC_NOWAIT if make.odds(85) else make.one(0, MSG_NOERROR)
    where: Argument = At(0) if make.odds(97) else BAD_ADDRESS
    make.call("msgsnd", identifier(make, "msg"), where, size, flags, data=content)


def receive_message(make: Maker) -> None:
    """msgrcv."""
    kind = make.one(0, 0, 0, 1, 2, 3, -2, -3, -1, 1 << 40, -(1 << 63))
    flags = make.bits((MSG_NOERROR,), (MSG_EXCEPT, MSG_EXCEPT, MSG_COPY, 1), 25)
    if make.odds(80) or flags & MSG_COPY:
        flags |= IPC_NOWAIT if make.odds(95) else 0
    size = make.one(0, 1, 4, 10, 100, 100, 100, 200, -1)
    make.call("msgrcv", identifier(make, "msg"), At(0), size, kind, flags, data=bytes(220))


def show_queue(data: bytes, result: int, naming: Naming) -> str:
    """A struct msqid64_ds."""
    if result < 0:
        return ""
    sent, received, changed, bytes_now, count, most = struct.unpack_from("<QQQQQQ", data, 48)
    sender, receiver = struct.unpack_from("<ii", data, 96)
    times = "".join("x" if time else "-" for time in (sent, received, changed))
    pids = " ".join(naming.pid(pid) if pid else "0" for pid in (sender, receiver))
    return f"{show_permission(data, naming)} {times} {bytes_now} {count} {most} {pids}"


def control_queue(make: Maker) -> None:
    """msgctl."""
    command = make.one(*(IPC_STAT,) * 5, IPC_SET, IPC_SET, IPC_RMID, MSG_STAT, MSG_STAT_ANY, 99, -1, GETALL)
    if command == IPC_STAT and make.odds(10):
        # Since it is the index of the last one that is returned, everything is asked for here.
        make.call("msgctl", 0, make.one(IPC_INFO, MSG_INFO), At(0), data=bytes(120), show=show_words(0, 8))
        return
    data = permission(make) + struct.pack(
        "<QQQQQQ", 1, 1, 1, 1, 1, make.one(0, 5, 100, 16384, 16385, 1 << 40)
    )
    which: Argument = identifier(make, "msg")
    if command in {MSG_STAT, MSG_STAT_ANY}:
        which = make.one(0, 0, 1, 2, 3, -1)
    where: Argument = At(0) if make.odds(96) else BAD_ADDRESS
    make.call("msgctl", which, command, where, data=data.ljust(120, b"\0"), show=show_queue)


def show_words(start: int, count: int) -> Show:
    """Some 32-bit numbers."""

    def show(data: bytes, result: int, naming: Naming) -> str:
        return " ".join(map(str, struct.unpack_from(f"<{count}i", data, start))) if result >= 0 else ""

    return show


# Semaphores


def get_set(make: Maker) -> None:
    """semget."""
    make.call(
        "semget", make.random.choice(KEYS), make.one(1, 2, 3, 3, 3, 0, -1, 32000, 32001), get_flags(make)
    )


def operate(make: Maker) -> None:
    """semop, semtimedop."""
    count = make.one(1, 1, 1, 2, 2, 3, 4)
    parts = b""
    for _ in range(count):
        flags = (IPC_NOWAIT if make.odds(80) else 0) | (SEM_UNDO if make.odds(30) else 0)
        number = make.one(0, 0, 1, 1, 2, 2, 3, -1) & 0xFFFF
        parts += struct.pack("<Hhh", number, make.one(0, 0, 1, 1, 1, 2, -1, -1, -2, 32767, -32768), flags)
    size = count if make.odds(95) else make.one(0, 501, -1)
    if make.odds(60):
        where: Argument = At(0) if make.odds(97) else BAD_ADDRESS
        make.call("semop", identifier(make, "sem"), where, size, data=parts)
        return
    parts = parts.ljust(32, b"\0")
    time = struct.pack("<qq", make.one(0, 0, 0, -1), make.one(0, 0, 1, -1, 1000000000))
    timeout: Argument = At(32) if make.odds(80) else 0
    make.call("semtimedop", identifier(make, "sem"), At(0), size, timeout, data=parts + time)


def show_set(data: bytes, result: int, naming: Naming) -> str:
    """A struct semid64_ds."""
    if result < 0:
        return ""
    operated, _, changed, _, count = struct.unpack_from("<QQQQQ", data, 48)
    return f"{show_permission(data, naming)} {bool(operated)} {bool(changed)} {count}"


def control_set(make: Maker) -> None:
    """semctl."""
    which, number = identifier(make, "sem"), make.one(0, 0, 1, 2, 3, -1)
    kind = make.random.randrange(16)
    if kind < 3:
        make.call("semctl", which, number, make.one(GETVAL, GETVAL, GETNCNT, GETZCNT), 0)
    elif kind == 3:
        make.call("semctl", which, number, GETPID, 0, result="pid")
    elif kind < 6:
        make.call("semctl", which, number, SETVAL, make.one(0, 0, 1, 2, 32767, 32768, -1))
    elif kind < 8:
        values = struct.pack("<4H", make.one(0, 1, 32767, 32768), make.one(0, 1, 2), make.one(0, 3), 0)
        where: Argument = At(0) if make.odds(95) else BAD_ADDRESS
        make.call("semctl", which, make.one(0, 9), SETALL, where, data=values.ljust(64000, b"\0"))
    elif kind == 8:
        make.call("semctl", which, make.one(0, 9), GETALL, At(0), data=bytes(64000), show=show_words(0, 2))
    elif kind < 12:
        make.call("semctl", which, make.one(0, 9), IPC_STAT, At(0), data=bytes(104), show=show_set)
    elif kind == 12:
        make.call("semctl", which, 0, IPC_SET, At(0), data=permission(make).ljust(104, b"\0"))
    elif kind == 13:
        make.call("semctl", which, make.one(0, 9), IPC_RMID, 0)
    elif kind == 14:
        index = make.one(0, 0, 1, 2, -1)
        make.call("semctl", index, 0, make.one(SEM_STAT, SEM_STAT_ANY), At(0), data=bytes(104), show=show_set)
    else:
        command = make.one(IPC_INFO, SEM_INFO, 99, -1, 21)
        make.call("semctl", 0, 0, command, At(0), data=bytes(104), show=show_words(0, 10))


# Shared memory


def get_segment(make: Maker) -> None:
    """shmget."""
    flags = get_flags(make) | make.bits((), (SHM_NORESERVE,), 6)
    make.call(
        "shmget", make.random.choice(KEYS), make.one(1, PAGE, PAGE, 5000, 2 * PAGE, 0, -1, 1 << 62), flags
    )


def attach_segment(make: Maker) -> None:
    """shmat, shmdt, and what is in the memory."""
    kind = make.random.randrange(10)
    place = ARENA + PAGE * make.random.randrange(6) + (make.one(0, 1, 100) if make.odds(15) else 0)
    if kind < 5:
        flags = make.bits((SHM_RDONLY, SHM_RND), (SHM_REMAP, SHM_REMAP, SHM_EXEC, 1), 25)
        where = place if make.odds(95) else make.one(0, 0, -PAGE, 1 << 47)
        make.call("shmat", identifier(make, "shm"), where, flags, result="address")
    elif kind < 7:
        make.call("shmdt", place if make.odds(95) else 0)
    elif kind == 7:
        make.operation(STORE, place & -PAGE, make.one(1, 2, 3))
    elif kind == 8:
        make.operation(LOAD, place & -PAGE)
    else:
        make.call("mremap", place & -PAGE, PAGE, make.one(PAGE, 0), 0, 0, result="address")


def show_segment(data: bytes, result: int, naming: Naming) -> str:
    """A struct shmid64_ds."""
    if result < 0:
        return ""
    size, attached, detached, changed, maker, last, count = struct.unpack_from("<QQQQiiQ", data, 48)
    times = "".join("x" if time else "-" for time in (attached, detached, changed))
    pids = " ".join(naming.pid(pid) if pid else "0" for pid in (maker, last))
    return f"{show_permission(data, naming)} {size} {times} {count} {pids}"


def control_segment(make: Maker) -> None:
    """shmctl."""
    command = make.one(
        *(IPC_STAT,) * 5, IPC_SET, IPC_RMID, SHM_LOCK, SHM_UNLOCK, SHM_STAT, SHM_STAT_ANY, 99, -1
    )
    which: Argument = identifier(make, "shm")
    if command in {SHM_STAT, SHM_STAT_ANY}:
        which = make.one(0, 0, 1, 2, -1)
    data = permission(make).ljust(112, b"\0")
    where: Argument = At(0) if make.odds(96) else BAD_ADDRESS
    if make.odds(6):
        make.call("shmctl", 0, make.one(IPC_INFO, SHM_INFO), At(0), data=bytes(112), show=show_words(0, 2))
    else:
        make.call("shmctl", which, command, where, data=data, show=show_segment)


# Message queues of POSIX


def open_queue(make: Maker) -> None:
    """mq_open, mq_unlink, close."""
    name = make.text(
        make.random.choice(QUEUES) if make.odds(90) else make.random.choice(("", "/q", "a/b", ".", "n" * 256))
    )
    kind = make.random.randrange(9)
    if kind < 6:
        flags = make.one(0, 1, 2, 2, 2, 3) | make.bits((O_CLOEXEC,), (0o1000, 0o2000, 0o200000), 6)
        flags |= O_NONBLOCK if make.odds(85) else 0
        flags |= make.one(0, O_CREAT, O_CREAT, O_CREAT, O_CREAT | O_EXCL)
        attributes = struct.pack("<qqqq", 0, make.one(1, 2, 3, 0, -1, 11), make.one(10, 20, 0, 8193, -1), 0)
        data = attributes.ljust(64, b"\0") + name
        where: Argument = At(0) if make.odds(80) else 0
        make.opened(make.call("mq_open", At(64), flags, make.random.choice(MODES), where, data=data))
    elif kind < 8:
        make.call("mq_unlink", At(0), data=name)
    else:
        make.call("close", make.opened_descriptor())


def use_queue(make: Maker) -> None:
    """mq_timedsend, mq_timedreceive, mq_getsetattr, mq_notify, and what else files are for."""
    kind, descriptor = make.random.randrange(14), make.opened_descriptor()
    # A time that is past, or far away; never one that comes.
    time = struct.pack("<qq", make.one(0, 0, 1, -1), make.one(0, 0, -1, 1000000000))
    timeout: Argument = At(0) if make.odds(25) else 0
    if kind < 4:
        priority = make.one(0, 0, 1, 2, 32767, 32768, -1)
        length = make.one(0, 1, 5, 10, 10, 11, 20, 1 << 63)
        make.call(
            "mq_timedsend", descriptor, At(16), length, priority, timeout, data=time + bytes(range(1, 33))
        )
    elif kind < 8:
        length = make.one(10, 20, 20, 100, 8192, 9, 0, -1)
        data = time + bytes(16) + bytes(100)
        make.call("mq_timedreceive", descriptor, At(32), length, At(16), timeout, data=data)
    elif kind < 10:
        data = struct.pack("<qqqq", make.one(0, O_NONBLOCK, 1), 5, 5, 5).ljust(64, b"\0") + bytes(64)
        new: Argument = At(0) if make.odds(30) else 0
        make.call("mq_getsetattr", descriptor, new, At(64), data=data)
    elif kind < 12:
        event = struct.pack("<Qii", 7, make.one(10, 10, 12, 0, 65), make.one(0, 0, 1, 1, 3)).ljust(64, b"\0")
        make.call("mq_notify", descriptor, At(0) if make.odds(75) else 0, data=event)
    elif kind == 12:
        data = struct.pack("<ihh", 0, make.one(0x7FF, 1, 4), 0)
        make.call("poll", At(0), 1, 0, data=data, fixups=((0, 4, descriptor),), show=show_poll)
    else:
        make.call("read", descriptor, At(0), make.one(0, 10, 200), data=bytes(200), show=show_status)


def show_poll(data: bytes, result: int, naming: Naming) -> str:
    """The events."""
    return hex(struct.unpack_from("<H", data, 6)[0])


def show_status(data: bytes, result: int, naming: Naming) -> str:
    """What reading a queue tells of it."""
    text = data[: max(result, 0)].decode("latin-1").replace("\n", "")
    head, mark, pid = text.partition("NOTIFY_PID:")
    return head + mark + (naming.pid(int(pid)) if pid.strip().isdigit() and int(pid) else pid.strip())


def catch(make: Maker) -> None:
    """A handler for what queues tell by signals, or for what interrupts who waits."""
    number, flags = make.one(10, 10, 12), 0x04000004 | make.bits((0x10000000,))
    action = struct.pack("<QQQQ", 2, flags, 0, 0) + bytes(32)
    fixups: tuple[tuple[int, int, Argument], ...] = ((0, 8, Symbol()), (16, 8, Symbol(True)))
    make.call("rt_sigaction", number, At(0), 0, 8, data=action, fixups=fixups, show=lambda *_: "")


# What namespaces set, and show of all that is in them


def set_limit(make: Maker) -> None:
    """The sysctls of a namespace."""
    name, values = make.random.choice(
        (
            ("kernel/msgmnb", (b"50", b"200", b"16384")),
            ("kernel/msgmni", (b"2", b"32000", b"0")),
            ("kernel/msgmax", (b"5", b"8192")),
            (
                "kernel/sem",
                (b"2 32000 500 32000", b"250 3 500 32000", b"250 32000 2 3", b"250 32000 500 128"),
            ),
            ("kernel/shmmax", (b"4096", b"18446744073692774399")),
            ("kernel/shmmni", (b"2", b"4096", b"40000")),
            ("kernel/shmall", (b"2", b"18446744073692774399")),
            ("kernel/shm_rmid_forced", (b"1", b"0", b"2")),
            ("kernel/sem_next_id", (b"7", b"-1")),
            ("kernel/msg_next_id", (b"5", b"-1")),
            ("kernel/shm_next_id", (b"9", b"-1")),
            ("fs/mqueue/queues_max", (b"1", b"256")),
            ("fs/mqueue/msg_max", (b"2", b"10", b"0")),
            ("fs/mqueue/msgsize_max", (b"128", b"8192", b"100")),
            ("fs/mqueue/msg_default", (b"2", b"10")),
        )
    )
    opened = make.call("open", At(0), make.one(1, 1, 1, 2), data=make.text(f"/proc/sys/{name}"))
    value = make.random.choice(values)
    make.call("write", Result(opened), At(0), len(value), data=value)
    make.call("close", Result(opened))


def list_all(make: Maker) -> None:
    """/proc/sysvipc."""
    kind = make.random.choice(("msg", "sem", "shm"))
    path = f"/proc/sysvipc/{kind}\0".encode().ljust(PATH_BYTES + 4000, b"\0")
    make.operation(SLURP, data=path, show=show_list, result="none")


def show_list(data: bytes, result: int, naming: Naming) -> str:
    """All but the times, and what memory there is."""
    text = data[PATH_BYTES : max(result, PATH_BYTES)].decode("latin-1")
    if len(data) <= result:
        # A line may be cut off.
        text = text[: text.rfind("\n")]
    head, *lines = text.splitlines()
    names = head.split()
    shown = []
    for line in lines:
        told = dict(zip(names, line.split(), strict=False))
        for name in ("cpid", "lpid", "lspid", "lrpid"):
            if told.get(name, "0") != "0":
                told[name] = naming.pid(int(told[name]))
        shown.append(" ".join(value for name, value in told.items() if name not in _UNTOLD))
    return "; ".join(shown)


_UNTOLD = ("rss", "swap", "stime", "rtime", "ctime", "otime", "atime", "dtime")


def leave_others(make: Maker) -> None:
    """unshare: what is to be undone is no longer shared, or all that there is isn't."""
    make.call("unshare", make.one(CLONE_SYSVSEM, CLONE_SYSVSEM, CLONE_NEWIPC))


def fork(make: Maker) -> None:
    """One more."""
    if len(make.actors) < MOST_ACTORS:
        make.spawn("clone", 17 | make.one(0, 0, 0x400, 0x40000), 0, 0, 0, 0)


def enter_another(make: Maker) -> None:
    """setns, clone and user namespaces: what is in another namespace, and whose it is."""
    kind = make.random.randrange(6)
    if kind < 2:
        make.opened(make.call("open", At(0), 0, data=b"/proc/self/ns/ipc\0"))
    elif kind < 4:
        made: list[Argument] = [
            Result(operation)
            for operation in make.operations
            if operation.data == b"/proc/self/ns/ipc\0" and operation.call == number_of("open")
        ]
        descriptor = make.random.choice(made) if made else make.opened_descriptor()
        make.call("setns", descriptor, make.one(0, CLONE_NEWIPC, CLONE_NEWIPC, CLONE_NEWNS))
    elif kind == 4 and len(make.actors) < MOST_ACTORS:
        make.spawn(
            "clone",
            17 | 0x400 | make.one(CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWUSER | CLONE_NEWIPC),
            0,
            0,
            0,
            0,
        )
    else:
        make.call("unshare", make.one(CLONE_NEWUSER, CLONE_NEWUSER | CLONE_NEWIPC))


def handle_files(make: Maker) -> None:
    """Queues by their names in the file system that shows them."""
    name = make.random.choice(("m/q", "m/q", "m/r", "m/s", "m", "m/d", "m/q/x", "m/" + "n" * 256))
    path = make.text(name).ljust(320, b"\0")
    kind = make.random.randrange(14)
    if kind < 3:
        make.call("stat", At(0), At(320), data=path + bytes(144), show=show_file)
    elif kind < 5:
        flags = make.one(0, 1, 2, 2, O_CREAT, O_CREAT | O_EXCL | 2, 0o1002, 0o200000) | O_NONBLOCK
        make.opened(make.call("open", At(0), flags, make.one(0o600, 0o644), data=path))
    elif kind == 5:
        make.call("unlink", At(0), data=path)
    elif kind == 6:
        make.call("chmod", At(0), make.one(0o600, 0o644, 0), data=path)
    elif kind == 7:
        make.call("chown", At(0), make.one(-1, 0, 1000), make.one(-1, 0, 1000), data=path)
    elif kind == 8:
        make.call("mknod", At(0), make.one(0o100600, 0o100644, 0o10600), 0, data=path)
    elif kind == 9:
        other = make.text(make.random.choice(("m/r", "m/d", "m/s", "q")))
        call = make.random.choice(("rename", "link", "symlink"))
        make.call(call, At(0), At(320), data=path + other)
    elif kind == 10:
        make.call(make.random.choice(("mkdir", "rmdir")), At(0), 0o755, data=path)
    elif kind == 11:
        make.call("truncate", At(0), make.one(0, 5), data=path)
    elif kind == 12:
        opened = make.call("open", At(0), 0o200000, data=b"m\0")
        make.call(
            "getdents64", Result(opened), At(0), 2048, data=bytes(2048), show=show_names, result="hidden"
        )
        make.call("close", Result(opened))
    else:
        make.call("statfs", At(0), At(320), data=path + bytes(120), show=show_type)


def show_file(data: bytes, result: int, naming: Naming) -> str:
    """Mode, owners, links and size."""
    links, mode, uid, gid = struct.unpack_from("<QIII", data, 320 + 16)
    size = struct.unpack_from("<q", data, 320 + 48)[0]
    return f"{mode:o} {uid} {gid} {links if mode & 0o40000 == 0 else ''} {size}" if result == 0 else ""


def show_names(data: bytes, result: int, naming: Naming) -> str:
    """The entries of a directory."""
    found, at = [], 0
    while at < result:
        length = struct.unpack_from("<H", data, at + 16)[0]
        found.append(data[at + 19 : at + length].partition(b"\0")[0].decode("latin-1"))
        at += length
    return " ".join(sorted(found))


def show_type(data: bytes, result: int, naming: Naming) -> str:
    """Type and block size of a file system."""
    kind, block = struct.unpack_from("<QQ", data, 320)
    return f"{kind:x} {block}" if result == 0 else ""


def treat_queue_as_file(make: Maker) -> None:
    """fstat, fcntl, dup, lseek, write, ftruncate, ioctl, pread and mmap of a queue."""
    descriptor = make.opened_descriptor()
    kind = make.random.randrange(10)
    if kind < 3:
        make.call("fstat", descriptor, At(320), data=bytes(320 + 144), show=show_file)
    elif kind == 3:
        # Without O_NONBLOCK others may sleep there.
        command, value = make.random.choice(((3, 0), (1, 0), (4, O_NONBLOCK), (4, O_NONBLOCK | 0o2000)))
        make.call("fcntl", descriptor, command, value)
    elif kind == 4:
        make.opened(make.call("dup", descriptor))
    elif kind == 5:
        make.call("lseek", descriptor, make.one(0, 5, -1), make.one(0, 1, 2))
    elif kind == 6:
        make.call("write", descriptor, At(0), make.one(0, 5), data=b"hello")
    elif kind == 7:
        make.call(make.random.choice(("ftruncate", "fchmod")), descriptor, make.one(0, 0o600))
    elif kind == 8:
        make.call(
            "pread64", descriptor, At(0), 200, make.one(0, 0, 3, 100), data=bytes(200), show=show_status
        )
    else:
        make.call("mmap", 0, PAGE, 1, 2, descriptor, 0, result="address")


def limit_bytes(make: Maker) -> None:
    """RLIMIT_MSGQUEUE: what all queues of a user may take."""
    value = make.one(0, 100, 1000, 10000, 819200)
    make.call("prlimit64", 0, RLIMIT_MSGQUEUE, At(0), 0, data=struct.pack("<QQ", value, 819200))


def change_memory(make: Maker) -> None:
    """mprotect, munmap, mremap, madvise and mlock of segments or parts of them."""
    place, length = ARENA + PAGE * make.random.randrange(6), make.one(PAGE, PAGE, 2 * PAGE)
    kind = make.random.randrange(8)
    if kind < 2:
        make.call("mprotect", place, length, make.one(0, 1, 3, 5))
    elif kind < 4:
        make.call("munmap", place, length)
    elif kind == 4:
        target = ARENA + PAGE * make.random.randrange(6)
        make.call("mremap", place, length, make.one(PAGE, 2 * PAGE, 3 * PAGE), 3, target, result="address")
    elif kind == 5:
        make.call("madvise", place, length, make.one(4, 9, 10, 11))
    elif kind == 6:
        make.call(make.random.choice(("mlock", "munlock", "msync")), place, length, make.one(0, 4))
    else:
        make.operation(STORE, place, make.one(1, 2, 3))


def look_at_memory(make: Maker) -> None:
    """The segments in /proc/self/maps."""
    path = b"/proc/self/maps\0".ljust(PATH_BYTES + MAPS_BYTES, b"\0")
    make.operation(SLURP, data=path, show=show_segments, result="none")


def show_segments(data: bytes, result: int, naming: Naming) -> str:
    """Where they are, what may be done there, from where on, and their names and numbers."""
    shown = []
    for line in data[PATH_BYTES : max(result, PATH_BYTES)].decode("latin-1").splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and "SYSV" in fields[5]:
            start, end = (naming.address(int(place, 16)) for place in fields[0].split("-"))
            shown.append(f"{start} {end} {fields[1]} {fields[2]} {fields[4]} {fields[5]}")
    return "; ".join(shown)


FAMILIES = (
    *(get_queue, send_message, send_message, receive_message, receive_message, control_queue) * 2,
    *(get_set, operate, operate, operate, control_set, control_set) * 2,
    *(get_segment, attach_segment, attach_segment, control_segment) * 2,
    *(open_queue, open_queue, use_queue, use_queue, use_queue) * 2,
    *(catch, fork, identify, end_process, send_signal, dispose),
    go_on,
    *(set_limit, set_limit, list_all, list_all, leave_others),
    *(enter_another, enter_another, handle_files, handle_files, handle_files, treat_queue_as_file),
    *(treat_queue_as_file, limit_bytes, change_memory, change_memory, look_at_memory),
)
