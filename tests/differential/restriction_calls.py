"""Random calls with which a process restricts itself: seccomp(2) and Landlock, and what they keep from it."""

from __future__ import annotations

import struct

from procession.abi.syscall_numbers import NUMBERS
from tests.differential.file_calls import make_entry, open_file, remove_entry, rename_entry
from tests.differential.maker import AT_FDCWD, BAD_ADDRESS, Maker, go_on
from tests.differential.packet_calls import begin_network
from tests.differential.process_calls import dispose, end_process, look_at_process, send_signal
from tests.differential.script import Argument, At, Naming, Operation, Result, Stored, Symbol, number_of

MOST_ACTORS = 5
UNIX, INET, NONBLOCK = 1, 2, 0o4000
SET_MODE_STRICT, SET_MODE_FILTER, GET_ACTION_AVAIL, GET_NOTIF_SIZES = range(4)
TSYNC, LOG, SPEC_ALLOW, NEW_LISTENER, TSYNC_ESRCH, WAIT_KILLABLE = 1, 2, 4, 8, 16, 32
KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, USER_NOTIF, TRACE, LOGGED, ALLOW = (
    *(0x80000000, 0, 0x30000, 0x50000, 0x7FC00000, 0x7FF00000, 0x7FFC0000, 0x7FFF0000),
)
ACTIONS = (
    ERRNO | 5,
    ERRNO | 5,
    ERRNO,
    ERRNO | 4095,
    ERRNO | 0xFFFF,
    TRAP | 7,
    USER_NOTIF,
    TRACE | 3,
    LOGGED,
    ALLOW,
)
FILTERED = ("getpid", "getppid", "getpgrp", "mkdir", "unlink", "umask")
"""Calls that filters are about; all that the executor needs goes on."""
CLONE_FILES, CLONE_THREAD = 0x400, 0x10000
NOTIF_RECV, NOTIF_SEND, NOTIF_ID_VALID, NOTIF_ADDFD, NOTIF_SET_FLAGS = (
    *(0xC0502100, 0xC0182101, 0x40082102, 0x40182103, 0x40082104),
)
LD_ABS, JEQ, JGE, JSET, RET, RET_A, ALU_AND, LD_LEN, LDX_IMM, ST, LD_MEM = (
    *(0x20, 0x15, 0x35, 0x45, 0x06, 0x16, 0x54, 0x80, 0x01, 0x02, 0x60),
)
FS_ACCESS = tuple(1 << bit for bit in range(16))
RULE_PATH_BENEATH, RULE_NET_PORT = 1, 2


def begin(make: Maker) -> None:
    """A network, some files, somebody with the same descriptors, and no new privileges for most."""
    begin_network(make)
    for name in ("d", "e"):
        make.call("mkdir", At(0), 0o755, data=make.text(name))
    for name in ("a", "d/a"):
        opened = make.call("creat", At(0), 0o644, data=make.text(name))
        make.call("close", Result(opened))
    action = struct.pack("<QQQQ", 2, 0x14000004, 0, 0)
    fixups: tuple[tuple[int, int, Argument], ...] = ((0, 8, Symbol()), (16, 8, Symbol(True)))
    make.call("rt_sigaction", 31, At(0), 0, 8, data=action, fixups=fixups, show=nothing)
    make.spawn("clone", 17 | CLONE_FILES, 0, 0, 0, 0)


def nothing(data: bytes, result: int, naming: Naming) -> str:
    """Show nothing."""
    return ""


def instruction(code: int, value: int, jump: int = 0, other: int = 0) -> bytes:
    """A struct sock_filter."""
    return struct.pack("<HBBI", code, jump, other, value)


def program(make: Maker) -> bytes:
    """A filter for some calls, seldom one that can't be."""
    parts = [instruction(LD_ABS, 0)]
    for name in {make.random.choice(FILTERED): None for _ in range(make.one(1, 1, 2))}:
        parts.append(instruction(JEQ, NUMBERS[name], 0, 1))
        parts.append(instruction(RET, make.one(*ACTIONS)))
    parts.append(instruction(RET, ALLOW))
    if make.odds(12):
        odd = (
            instruction(LD_ABS, make.one(4, 8, 64, 1, 60)),
            instruction(JGE, 1, 200, 0),
            instruction(ALU_AND, 0xFF),
            instruction(LD_LEN, 0),
            instruction(ST, make.one(3, 16)),
            instruction(LD_MEM, make.one(3, 16)),
            instruction(0x28, 0),
            instruction(0xFFFF, 0),
            instruction(LDX_IMM, 5),
        )
        parts.insert(0, make.random.choice(odd))
    return b"".join(parts)


def install(make: Maker) -> None:
    """seccomp(SECCOMP_SET_MODE_FILTER), prctl(PR_SET_SECCOMP), and what there is to ask."""
    kind = make.random.randrange(14)
    if kind < 8:
        code = program(make)
        length = len(code) // 8 if make.odds(95) else make.one(0, 4097)
        data = struct.pack("<HxxxxxxQ", length, 0) + code
        flags = make.bits(
            (LOG,), (TSYNC, TSYNC, NEW_LISTENER, SPEC_ALLOW, TSYNC_ESRCH | TSYNC, WAIT_KILLABLE, 64), 40
        )
        if b"\x00\x00\xc0\x7f" in code and make.odds(75):
            flags |= NEW_LISTENER
        where: Argument = At(16) if make.odds(97) else BAD_ADDRESS
        if make.odds(12):
            make.call("prctl", 22, make.one(2, 2, 1 << 33, 0, 3), At(0), data=data, fixups=((8, 8, where),))
            return
        operation = make.call("seccomp", SET_MODE_FILTER, flags, At(0), data=data, fixups=((8, 8, where),))
        operation.show = nothing
        if flags & NEW_LISTENER:
            make.opened(operation)
    elif kind == 8:
        make.call("prctl", 38, make.one(1, 1, 1, 0), 0, 0, 0)
    elif kind == 9:
        data = struct.pack("<I", make.one(*ACTIONS, KILL_PROCESS, KILL_THREAD, 0x12345, 0x40000))
        make.call("seccomp", GET_ACTION_AVAIL, make.one(0, 0, 1), At(0), data=data)
    elif kind == 10:
        make.call("seccomp", GET_NOTIF_SIZES, make.one(0, 0, 1), At(0), data=bytes(6))
    elif kind == 11:
        make.call("seccomp", make.one(SET_MODE_STRICT, 4, -1), make.one(1, 8), make.one(0, 8))
    elif kind == 12:
        make.call("prctl", 21, 0, 0, 0, 0)
    else:
        make.call("prctl", 39, make.one(0, 1), 0, 0, 0)


def be_filtered(make: Maker) -> None:
    """A call that filters may be about."""
    name = make.random.choice(FILTERED)
    if name in {"mkdir", "unlink"}:
        make.call(name, At(0), 0o755, data=make.text(make.random.choice(("a", "x", "d/x", "x"))))
    elif name == "umask":
        make.call(name, make.one(0, 0o22, 0o77))
    else:
        make.call(name, result="pid")


def supervise(make: Maker) -> None:
    """What a supervisor does with its descriptor: SECCOMP_IOCTL_NOTIF_*."""
    listeners = [operation for operation in make.operations if is_listener(operation)]
    if not listeners:
        be_filtered(make)
        return
    listener: Argument = Result(make.random.choice(listeners)) if make.odds(93) else make.opened_descriptor()
    received = [operation for operation in make.operations if NOTIF_RECV in operation.arguments]
    kind = make.random.randrange(12)
    poll = struct.pack("<ihh", 0, 0x7FF, 0)
    if kind < 2:
        make.call("poll", At(0), 1, 0, data=poll, fixups=((0, 4, listener),), show=show_poll)
    elif kind < 6 or not received:
        data = bytes(80) if make.odds(95) else b"\1" * 80
        if received:
            # Of several who wait, luck decides who is told.
            make.actor = received[0].actor
        make.call("ioctl", listener, NOTIF_RECV, At(0), data=data, show=show_notification)
    else:
        # What it's about has a number by chance, which the call that told it has in its data.
        number = Stored(make.random.choice(received), 0, is_word=True)
        if kind < 9:
            error = make.one(0, 0, -1, -5, -4095, 5)
            flags = make.one(0, 0, 1, 2)
            data = struct.pack("<Qqii", 0, make.one(0, 7, 1 << 40) if not error else 0, error, flags)
            make.call("ioctl", listener, NOTIF_SEND, At(0), data=data, fixups=((0, 8, number),))
        elif kind == 9:
            make.call("ioctl", listener, NOTIF_ID_VALID, At(0), data=bytes(8), fixups=((0, 8, number),))
        elif kind == 10:
            flags, at = make.one(0, 0, 1, 2, 4), make.one(0, 0, 40)
            data = struct.pack("<QIIII", 0, flags, 0, at, make.one(0, 0o2000000, 1))
            fixups = ((0, 8, number), (12, 4, make.opened_descriptor()))
            make.call("ioctl", listener, NOTIF_ADDFD, At(0), data=data, fixups=fixups)
        else:
            make.call("ioctl", listener, make.one(NOTIF_SET_FLAGS, 0x2199, 0x541B), make.one(0, 1, 2))


def is_listener(operation: Operation) -> bool:
    """Whether a call returned a supervisor's descriptor."""
    if operation.call != number_of("seccomp") or len(operation.arguments) < 3:
        return False
    flags = operation.arguments[1]
    return operation.arguments[0] == SET_MODE_FILTER and isinstance(flags, int) and bool(flags & NEW_LISTENER)


def show_poll(data: bytes, result: int, naming: Naming) -> str:
    """The events."""
    return hex(struct.unpack_from("<H", data, 6)[0])


def show_notification(data: bytes, result: int, naming: Naming) -> str:
    """A struct seccomp_notif."""
    if result:
        return ""
    _, pid, flags, number, architecture = struct.unpack_from("<QIIiI", data)
    return f"{naming.pid(pid)} {flags} {number} {architecture:#x}"


# Landlock


def rulesets(make: Maker) -> list[Argument]:
    """What landlock_create_ruleset has returned."""
    number = number_of("landlock_create_ruleset")
    return [Result(operation) for operation in make.operations if operation.call == number]


def landlock(make: Maker) -> None:
    """landlock_create_ruleset, landlock_add_rule, landlock_restrict_self."""
    kind = make.random.randrange(10)
    known = rulesets(make)
    ruleset = known[-1] if known and make.odds(92) else make.opened_descriptor()
    if kind < 3 or not known:
        handled = make.bits(FS_ACCESS, (1 << 16, 1 << 40), 6) if make.odds(80) else 0
        data = struct.pack("<QQQ", handled, make.bits((1, 2), (4,), 5), make.bits((1, 2), (4,), 5))
        size = make.one(24, 24, 24, 16, 8, 7, 0, 32, 4097)
        if make.odds(8):
            make.call("landlock_create_ruleset", make.one(0, 8), make.one(0, 8), make.one(3, 4, 5, 8))
            return
        make.opened(make.call("landlock_create_ruleset", At(0), size, 0, data=data.ljust(64, b"\0")))
    elif kind < 7:
        if make.odds(80):
            flags = make.one(0o10000000, 0o10000000, 0)
            beneath = make.call(
                "open", At(0), flags, data=make.text(make.random.choice((".", "d", "e", "a")))
            )
            data = struct.pack("<Qi", make.bits(FS_ACCESS, (1 << 16,), 5), 0)
            fixups: tuple[tuple[int, int, Argument], ...] = ((8, 4, Result(beneath)),)
            kind_of_rule = make.one(1, 1, 1, 1, 1, 3)
            make.call(
                "landlock_add_rule",
                ruleset,
                kind_of_rule,
                At(0),
                make.one(0, 0, 0, 1),
                data=data,
                fixups=fixups,
            )
            make.call("close", Result(beneath))
        else:
            data = struct.pack("<QQ", make.one(0, 1, 2, 3, 4), make.one(0, 80, 65535, 65536))
            make.call("landlock_add_rule", ruleset, RULE_NET_PORT, At(0), 0, data=data)
    else:
        # What is logged (ABI 7) is no matter here.
        make.call("landlock_restrict_self", ruleset, make.one(0, 0, 0, 8))


def reach(make: Maker) -> None:
    """What Landlock may keep from a process: files, and who may be signalled or connected to."""
    kind = make.random.randrange(8)
    if kind < 2:
        open_file(make)
    elif kind == 2:
        make_entry(make)
    elif kind == 3:
        remove_entry(make)
    elif kind < 6:
        rename_entry(make)
    elif kind == 6:
        make.call("truncate", At(0), 5, data=make.text(make.random.choice(("a", "d/a"))))
    else:
        make.call(
            "openat",
            AT_FDCWD,
            At(0),
            make.one(0, 1, 2, 0o1001),
            0,
            data=make.text(make.random.choice(("a", "d/a", "d"))),
        )


def connect(make: Maker) -> None:
    """What Landlock may keep from sockets: ports of TCP, and abstract names of others."""
    kind = make.random.randrange(5)
    if kind < 2:
        family = make.one(INET, UNIX)
        make.opened(make.call("socket", family, make.one(1, 1, 2) | NONBLOCK, 0))
    else:
        if make.odds(60):
            # Not a port below 1024 but one, nor any that is chosen.
            name = struct.pack("<H", INET) + struct.pack(">HI8x", make.one(80, 1025, 2000), 0x7F000001)
        else:
            name = struct.pack("<H", UNIX) + b"\0" + make.random.choice((b"x", b"y"))
        call = make.random.choice(("bind", "bind", "connect"))
        make.call(call, make.opened_descriptor(), At(0), len(name), data=name)
        if make.odds(40):
            make.call("listen", make.opened_descriptor(), 5)


def fork(make: Maker) -> None:
    """One more process, or thread."""
    if len(make.actors) < MOST_ACTORS:
        make.spawn("clone", 17 | make.one(0, CLONE_FILES), 0, 0, 0, 0)


FAMILIES = (
    *(install,) * 6,
    *(be_filtered,) * 5,
    *(supervise,) * 5,
    *(landlock,) * 5,
    *(reach,) * 5,
    *(connect,) * 3,
    go_on,
    *(fork, fork, end_process, send_signal, dispose, look_at_process),
)
