"""Random calls of ptrace(2) among actors, of whom the first traces the others most often."""

from __future__ import annotations

import struct

from procession.abi.ptrace import PtraceOption, PtraceRequest, User, UserRegsStruct
from tests.differential.maker import BAD_ADDRESS, Maker, vector
from tests.differential.process_calls import CLONE_VFORK, THREAD, dispose, end_process, signal
from tests.differential.restriction_calls import instruction
from tests.differential.script import (
    ARENA,
    MOST_PIDS,
    PAGE,
    STACK_BYTES,
    STACKS_BASE,
    Argument,
    At,
    Naming,
    Pid,
    Result,
    Show,
)

MOST_ACTORS = 6
WNOHANG, WUNTRACED, WCONTINUED, WNOTHREAD, WALL, WCLONE = 1, 2, 8, 1 << 29, 1 << 30, 1 << 31
MAP_PRIVATE_ANONYMOUS, MAP_FIXED = 0x22, 0x10
NT_PRSTATUS, NT_PRFPREG = 1, 2
EVENT_FORK, EVENT_CLONE = 1, 3
REQUEST = PtraceRequest
OPTION = PtraceOption
OPTIONS = tuple(int(option) for option in PtraceOption)
PLACES = (ARENA, ARENA + 8, ARENA + PAGE, ARENA + 2 * PAGE - 4, ARENA + 2 * PAGE, ARENA + 3 * PAGE - 1)
ODD_PLACES = (0, BAD_ADDRESS, (1 << 47) - 4, 1 << 47, -8)
SYSGOOD = 0x80
FAULTS, SI_KERNEL = (4, 5, 7, 8, 11, 31), 0x80
"""Signals whose information has an address."""
SHOWN_REGISTERS = ("orig_rax", "rax", "rip", "rdi", "rsi", "rdx", "eflags", "cs", "ss")
DEBUG_OFFSET = User.OFFSETS["u_debugreg"]
SETTABLE = ("eflags", "fs_base", "gs_base", "cs", "ss", "ds", "gs", "orig_rax", "rdx")
CLONE_PARENT, CLONE_UNTRACED, CLONE_PTRACE, CLONE_FILES = 0x8000, 0x800000, 0x2000, 0x400
PROGRAM = b"x\0"
GETPID, CLONE, EXECVE, GETPPID, GETPGRP = 39, 56, 59, 110, 111
RET_TRAP, RET_ERRNO, RET_TRACE, RET_ALLOW = 0x30000, 0x50000, 0x7FF00000, 0x7FFF0000


def small_program() -> bytes:
    """An executable file without libraries: it asks for its id and ends with status 7."""
    code = bytes.fromhex("b827000000 0f05 bf07000000 b83c000000 0f05")
    entry = 0x400078
    header = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, entry, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    size = 120 + len(code)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, PAGE) + code


def begin(make: Maker) -> None:
    """A program; memory that all have: a page to write to, one to read, one of neither; and two children."""
    opened = make.call("creat", At(0), 0o755, data=PROGRAM)
    program = small_program()
    make.call("write", Result(opened), At(0), len(program), data=program)
    make.call("close", Result(opened))
    for page, protection in enumerate((3, 1, 0)):
        place = ARENA + page * PAGE
        make.call("mmap", place, PAGE, protection, MAP_PRIVATE_ANONYMOUS | MAP_FIXED, -1, 0, result="address")
    for _ in range(2):
        make.spawn("fork")


def tracer(make: Maker) -> None:
    """The next operation is made by who traces."""
    if make.odds(95):
        make.actor = 0


def tracee(make: Maker) -> Argument:
    """Who is traced, seldom oneself or nobody; never the first, who would stop at what the others do."""
    others: list[int] = [actor for actor in make.actors[1:] if actor != make.actor]
    if others and make.odds(95):
        return Pid(make.random.choice(others[:3] if make.odds(80) else others))
    return Pid(make.actor) if make.odds(30) else make.one(0, -1, 0x3FFFFFFF)


def ptrace(
    make: Maker,
    request: int,
    address: Argument,
    data: Argument,
    content: bytes = b"",
    fixups: tuple[tuple[int, int, Argument], ...] = (),
    show: Show | None = None,
) -> None:
    """One call of ptrace(2)."""
    make.call("ptrace", request, tracee(make), address, data, data=content, fixups=fixups, show=show)


def options(make: Maker) -> int:
    """PTRACE_O_*."""
    if make.odds(5):
        return make.one(1 << 8, 1 << 22, 1 << 40, -1)
    return make.bits(tuple(option for option in OPTIONS if option < 0x80), (0x80, 0x100000, 0x200000), 15)


def attach(make: Maker) -> None:
    """PTRACE_ATTACH, PTRACE_SEIZE, PTRACE_TRACEME, by one who isn't traced: else it's luck who is first."""
    kind = make.random.randrange(12)
    if kind < 11 or make.actor not in (1, 2):
        make.actor = 0
    if kind < 5:
        ptrace(make, REQUEST.PTRACE_ATTACH, make.one(0, 0, 1), make.one(0, 0, 1))
    elif kind < 11:
        ptrace(make, REQUEST.PTRACE_SEIZE, make.one(0, 0, 0, 0, 0, 0, 0, 8), options(make))
    elif make.actor:
        ptrace(make, REQUEST.PTRACE_TRACEME, 0, 0)


def go_on(make: Maker) -> None:
    """The requests after which a tracee runs, and those that stop it."""
    tracer(make)
    request = make.random.choice(
        (
            *(REQUEST.PTRACE_CONT,) * 4,
            *(REQUEST.PTRACE_SYSCALL,) * 5,
            *(REQUEST.PTRACE_SINGLESTEP, REQUEST.PTRACE_SYSEMU, REQUEST.PTRACE_SYSEMU_SINGLESTEP),
            *(REQUEST.PTRACE_INTERRUPT,) * 4,
            *(REQUEST.PTRACE_LISTEN,) * 2,
            *(REQUEST.PTRACE_DETACH, REQUEST.PTRACE_KILL),
        )
    )
    number = make.one(0, 0, 0, 0, 0, 5, 10, 12, 17, 18, 19, 20, 28, 34)
    if make.odds(4):
        number = make.one(64, 65, -1, 9, 1 << 32, 15)
    ptrace(make, request, make.one(0, 0, 0, 1), number)


def await_tracee(make: Maker) -> None:
    """wait4 and waitid, of whatever happened."""
    tracer(make)
    flags = (
        WNOHANG | make.bits((WUNTRACED, WCONTINUED), (WNOTHREAD, WCLONE), 5) | (WALL if make.odds(70) else 0)
    )
    who: Argument = tracee(make) if make.odds(33) else -1
    if make.odds(70):
        make.call("wait4", who, At(0), flags, 0, data=bytes(8), result="pid")
        return
    flags = WNOHANG | 4 | make.bits((2, 8, 0x1000000), ()) | (WALL if make.odds(70) else 0)
    make.call("waitid", 0, 0, At(0), flags, 0, data=b"\x55" * 32, show=show_waited)


def show_waited(data: bytes, result: int, naming: Naming) -> str:
    """The siginfo of waitid."""
    signo, error, code, _, pid, uid, status = struct.unpack_from("<iiiiiIi", data)
    if result == 0 and signo in FAULTS and 0 < code < SI_KERNEL:
        return f"{signo} {error} {code} {naming.address(int.from_bytes(data[16:24], 'little'))}"
    return f"{signo} {error} {code} {naming.pid(pid) if pid else 0} {uid} {status:x}"


def peek_or_poke(make: Maker) -> None:
    """The memory of a tracee, word by word."""
    tracer(make)
    place = make.random.choice(PLACES) if make.odds(88) else make.random.choice(ODD_PLACES)
    if make.odds(50):
        request = make.random.choice((REQUEST.PTRACE_PEEKDATA, REQUEST.PTRACE_PEEKTEXT))
        ptrace(make, request, place, At(0) if make.odds(95) else BAD_ADDRESS, bytes(8))
    else:
        request = make.random.choice((REQUEST.PTRACE_POKEDATA, REQUEST.PTRACE_POKETEXT))
        ptrace(make, request, place, make.one(0, 1, -1, 0x1122334455667788))


def show_word(data: bytes, result: int, naming: Naming) -> str:
    """A word that a register may hold: an id, a place, or a number."""
    return show_value(int.from_bytes(data[:8], "little"), naming) if result == 0 else ""


def show_value(value: int, naming: Naming) -> str:
    """A register; a small number may be an id, which isn't the same everywhere."""
    return "number" if 0 < value < MOST_PIDS else naming.address(value)


def user_area(make: Maker) -> None:
    """PTRACE_PEEKUSER and PTRACE_POKEUSER: registers and debug registers."""
    tracer(make)
    if make.odds(50):
        offset = UserRegsStruct.OFFSETS[make.random.choice(SHOWN_REGISTERS)]
        if make.odds(25):
            offset = DEBUG_OFFSET + 8 * make.one(0, 1, 2, 3, 4, 5, 6, 7, 8)
        elif make.odds(10):
            offset = make.one(1, 4, 215, 216, 224, User.SIZE, User.SIZE + 8, User.SIZE + 16, -8, 1 << 40)
        ptrace(make, REQUEST.PTRACE_PEEKUSR, offset, At(0), bytes(8), show=show_word)
        return
    name = make.random.choice(SETTABLE)
    values = {
        "eflags": (0x202, 0x246, 0x202, 0x300202),
        "fs_base": (1 << 47, -1),
        "gs_base": (0, 4096, 1 << 47, -1, (1 << 47) - 4096),
        # No segments that there are beside those that every program has.
        "cs": (0x33, 0, 0x30, 0x10033),
        "ss": (0x2B, 0, 0x28, 0x2A),
        "ds": (0, 1, 8),
        "gs": (0, 0x10, 0x10000),
        "orig_rax": (39, -1, 186, 9999),
        "rdx": (0, 7),
    }[name]
    offset = UserRegsStruct.OFFSETS[name]
    value = make.one(*values)
    if make.odds(35):
        number = make.one(0, 1, 2, 3, 4, 5, 6, 7)
        offset = DEBUG_OFFSET + 8 * number
        # Never one that is met: nobody goes by way of the page without rights.
        value = ARENA + 2 * PAGE + 8 * number
        if number > 3:
            value = make.one(
                0, 1, 4, 0x400, 0x10001, 0x20001, 0x30001, 0x70001, 0xD0001, 0x155, 0xFFFF0FF0, -1
            )
        elif make.odds(20):
            value = make.one(0, 1 << 47, -1, ARENA + 2 * PAGE + 1)
    elif make.odds(10):
        offset = make.one(1, 216, 224, User.SIZE, User.SIZE + 16)
    ptrace(make, REQUEST.PTRACE_POKEUSR, offset, value)


def show_registers(data: bytes, result: int, naming: Naming) -> str:
    """Those registers that are alike everywhere."""
    return registers_in(data, naming) if result == 0 else ""


def registers_in(data: bytes, naming: Naming) -> str:
    """The registers of a struct user_regs_struct, which may have been cut off."""
    shown = []
    for name in SHOWN_REGISTERS:
        at = UserRegsStruct.OFFSETS[name]
        if at + 8 <= len(data):
            value = int.from_bytes(data[at : at + 8], "little")
            if name == "eflags":
                # Without what comes of arithmetic on addresses.
                value &= ~0x8D5
            is_plain = name in {"orig_rax", "eflags", "cs", "ss"}
            shown.append(f"{name}={hex(value) if is_plain else show_value(value, naming)}")
    return " ".join(shown)


def show_set(data: bytes, result: int, naming: Naming) -> str:
    """How long the set of registers is."""
    _, length = struct.unpack_from("<QQ", data)
    return str(length) if result == 0 and length < 512 else ""


def register_sets(make: Maker) -> None:
    """PTRACE_GETREGS, PTRACE_GETREGSET and their counterparts."""
    tracer(make)
    kind = make.random.randrange(8)
    if kind < 3:
        ptrace(make, REQUEST.PTRACE_GETREGS, 0, At(0), bytes(UserRegsStruct.SIZE), show=show_registers)
    elif kind < 6:
        name = make.one(NT_PRSTATUS, NT_PRSTATUS, NT_PRFPREG, 0, 0x203, -1)
        length = make.one(216, 216, 224, 16, 8, 0, 7, 512, 520)
        content = struct.pack("<QQ", 0, length) + bytes(520)
        where: Argument = At(16) if make.odds(95) else BAD_ADDRESS
        request = REQUEST.PTRACE_GETREGSET
        if make.odds(20) and name not in {NT_PRSTATUS, NT_PRFPREG}:
            request = REQUEST.PTRACE_SETREGSET
        ptrace(make, request, name, At(0), content, ((0, 8, where),), show=show_set)
    elif kind == 6:
        ptrace(make, REQUEST.PTRACE_GETREGS, 0, BAD_ADDRESS)
    else:
        ptrace(make, make.random.choice((REQUEST.PTRACE_SETREGS, REQUEST.PTRACE_SETFPREGS)), 0, BAD_ADDRESS)


def show_message(data: bytes, result: int, naming: Naming) -> str:
    """A message of an event: an id, or a status."""
    value = int.from_bytes(data[:8], "little")
    is_status = value < 3 or (value not in naming.pids and (value < 64 or not value & 0xFF))
    return (hex(value) if is_status else naming.pid(value)) if result == 0 else ""


def show_information(data: bytes, result: int, naming: Naming) -> str:
    """A siginfo."""
    signo, error, code, _, pid, uid, status = struct.unpack_from("<iiiiiIi", data)
    if result == 0 and signo in FAULTS and 0 < code < SI_KERNEL:
        return f"{signo} {error} {code} {naming.address(int.from_bytes(data[16:24], 'little'))}"
    return f"{signo} {error} {code} {naming.pid(pid) if pid else 0} {uid} {status:x}" if result == 0 else ""


def show_call(data: bytes, result: int, naming: Naming) -> str:
    """A struct ptrace_syscall_info."""
    if result < 24:
        return ""
    operation, architecture, instruction, _, number, *arguments = struct.unpack_from("<B3xIQQq6Q", data)
    shown = [str(operation), hex(architecture), naming.address(instruction)]
    if operation == 2:
        shown += [show_value(number % (1 << 64), naming), str(data[32])]
    elif operation:
        shown += [str(number), *(show_value(argument, naming) for argument in arguments[:3])]
    return " ".join(shown)


def ask(make: Maker) -> None:
    """What a stop is: PTRACE_GETEVENTMSG, PTRACE_GETSIGINFO, PTRACE_GET_SYSCALL_INFO and others."""
    tracer(make)
    kind = make.random.randrange(16)
    if kind < 3:
        ptrace(make, REQUEST.PTRACE_GETEVENTMSG, 0, At(0), bytes(8), show=show_message)
    elif kind < 6:
        ptrace(make, REQUEST.PTRACE_GETSIGINFO, 0, At(0), bytes(128), show=show_information)
    elif kind == 6:
        content = struct.pack("<iiiiiIi", make.one(5, 10, 19), 0, make.one(0, -1, 5), 0, 0, 3, 4)
        ptrace(make, REQUEST.PTRACE_SETSIGINFO, 0, At(0), content.ljust(128, b"\0"))
    elif kind < 10:
        size = make.one(88, 88, 88, 24, 33, 80, 0, 200)
        ptrace(make, REQUEST.PTRACE_GET_SYSCALL_INFO, size, At(0), bytes(200), show=show_call)
    elif kind == 10:
        content = struct.pack(
            "<B3xIQQq6Q", make.one(0, 1, 2, 3), 0, 0, 0, make.one(39, -1, 1 << 40), *(0,) * 6
        )
        size = make.one(88, 88, 24, 23, 80, 200)
        content = content if make.odds(90) else content[:1] + b"\1" + content[2:]
        ptrace(make, REQUEST.PTRACE_SET_SYSCALL_INFO, size, At(0), content.ljust(200, b"\0"))
    elif kind < 13:
        content = struct.pack("<QIi", make.one(0, 0, 1, 5), make.one(0, 0, 1, 2), make.one(1, 2, 3, -1, 0))
        content = content.ljust(16 + 3 * 128, b"\0")
        ptrace(make, REQUEST.PTRACE_PEEKSIGINFO, At(0), At(16), content, show=show_waiting)
    elif kind == 13:
        ptrace(make, REQUEST.PTRACE_GETSIGMASK, make.one(8, 8, 4, 0), At(0), bytes(8))
    elif kind == 14:
        mask = make.one(0, 0x200, 0x800, 0xA00)
        ptrace(make, REQUEST.PTRACE_SETSIGMASK, make.one(8, 8, 4), At(0), struct.pack("<Q", mask))
    else:
        ask_seldom(make)


def show_waiting(data: bytes, result: int, naming: Naming) -> str:
    """The numbers of the signals that PTRACE_PEEKSIGINFO told of, and who sent them."""
    shown = []
    for number in range(max(0, min(result, 3))):
        signo, _, code, _, pid = struct.unpack_from("<iiiii", data, 16 + 128 * number)
        shown.append(f"{signo} {code} {naming.pid(pid) if pid else 0}")
    return "; ".join(shown)


def ask_seldom(make: Maker) -> None:
    """Requests that few make."""
    kind = make.random.randrange(8)
    content = bytes(64)
    if kind == 0:
        ptrace(make, REQUEST.PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, make.one(32, 24, 40), At(0), content)
    elif kind == 1:
        off = struct.pack("<QQQQ", make.one(0, 1, 2), make.one(0, 0, 1), 0, 0)
        size = make.one(32, 32, 24)
        ptrace(make, REQUEST.PTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG, size, At(0), off)
    elif kind == 2:
        ptrace(make, REQUEST.PTRACE_SECCOMP_GET_FILTER, make.one(0, 1), 0)
    elif kind == 3:
        ptrace(make, REQUEST.PTRACE_SECCOMP_GET_METADATA, make.one(16, 8, 0), At(0), content)
    elif kind == 4:
        ptrace(make, REQUEST.PTRACE_GETSIGINFO, 0, BAD_ADDRESS)
    elif kind == 5:
        ptrace(make, REQUEST.PTRACE_ARCH_PRCTL, make.one(0, 1 << 47), make.one(0x1001, 0x1002, 0x1005))
    elif kind == 6:
        ptrace(make, make.one(10, 11, 20, 22, 34, 99, 0x4213, -1, 0x4200 + 40), 0, 0)
    else:
        ptrace(make, REQUEST.PTRACE_OLDSETOPTIONS, 0, options(make))


def set_options(make: Maker) -> None:
    """PTRACE_SETOPTIONS."""
    tracer(make)
    ptrace(make, REQUEST.PTRACE_SETOPTIONS, 0, options(make))


def send(make: Maker) -> None:
    """kill and tgkill, of what a tracee stops for."""
    make.actor = 0 if make.odds(60) else make.actor
    number = make.one(10, 12, 18, 18, 19, 19, 20, 28, 34) if make.odds(85) else signal(make)
    others = [actor for actor in make.actors if actor]
    who = make.random.choice(others) if others and make.odds(92) else 0
    if not who and number in {19, 20}:
        # Who is stopped with nobody to let him go on ends the script.
        number = 18
    if make.odds(70):
        make.call("kill", Pid(who), number)
    else:
        make.call("tkill", Pid(who), number)


def make_process(make: Maker) -> None:
    """fork, clone and vfork's kin, by tracees most often."""
    if len(make.actors) >= MOST_ACTORS:
        return
    make.actor = make.random.choice(make.actors[1:] or make.actors)
    flags = make.one(17, 17, 17, 0, 10) | make.bits(
        (CLONE_UNTRACED, CLONE_PTRACE, CLONE_PARENT, CLONE_FILES), (CLONE_VFORK,), 15
    )
    kind = make.random.randrange(10)
    if kind < 3:
        make.spawn("fork")
    elif kind < 5 and not has_executed(make):
        stack = STACKS_BASE + STACK_BYTES * (make.next_actor + 1) - 256
        make.spawn("clone", THREAD | make.bits((CLONE_UNTRACED, CLONE_PTRACE)), stack, 0, 0, 0)
    else:
        make.spawn("clone", flags, 0, 0, 0, 0)


def make_some_call(make: Maker) -> None:
    """What a tracee may be made to stop at."""
    make.actor = make.random.choice(make.actors[1:] or make.actors)
    name = make.random.choice(("getpid", "getppid", "gettid", "getpgrp"))
    if make.odds(70):
        make.call(name, result="pid")
    elif make.odds(50):
        make.call("rt_sigprocmask", 0, At(0), 0, 8, data=struct.pack("<Q", make.one(0x200, 0x800)))
    else:
        make.call("nanosleep", At(0), 0, data=struct.pack("<qq", 0, make.one(0, -1)))


def has_executed(make: Maker) -> bool:
    """Whether somebody executes a program. What a tracer sees of an execve that other threads have to end for
    hangs on when each of them does.
    """
    return any(operation.call == EXECVE for operation in make.operations)


def has_threads(make: Maker) -> bool:
    """Whether somebody has made threads."""
    flags = [operation.arguments[0] for operation in make.operations if operation.call == CLONE]
    return any(isinstance(flag, int) and flag & THREAD == THREAD for flag in flags)


def execute(make: Maker) -> None:
    """execve by a tracee, of a program that ends soon, or of none."""
    if has_threads(make):
        return
    make.actor = make.random.choice(make.actors[1:] or make.actors)
    if not make.actor:
        return
    name = PROGRAM if make.odds(85) else make.text(make.random.choice(("none", ".", "x/")))
    data = bytes(16) + name
    fixups: tuple[tuple[int, int, Argument], ...] = ((0, 8, At(16)),)
    make.call("execve", At(16), At(0), At(8), data=data, fixups=fixups).is_slow = True


def be_filtered(make: Maker) -> None:
    """seccomp, by a tracee: some calls are told to the tracer, refused, or answered by a signal."""
    make.actor = make.random.choice(make.actors[1:] or make.actors)
    if not make.actor:
        return
    allow = instruction(0x06, RET_ALLOW)
    filters = instruction(0x20, 0)
    for call in (GETPID, GETPPID, GETPGRP):
        action = make.one(RET_TRACE | 9, RET_TRACE | 9, RET_TRACE, RET_ERRNO | 5, RET_TRAP, RET_ALLOW)
        filters += instruction(0x15, call, 0, 1) + instruction(0x06, action)
    filters += allow
    # The number of instructions, and where they are.
    data = struct.pack("<HxxxxxxQ", len(filters) // 8, 0) + filters
    flags = make.one(0, 0, 1, 2)
    make.call("seccomp", 1, flags, At(0), data=data, fixups=((8, 8, At(16)),), show=lambda *_: "")


def look_across(make: Maker) -> None:
    """process_vm_readv and process_vm_writev."""
    tracer(make)
    name = make.random.choice(("process_vm_readv", "process_vm_writev"))
    place = make.random.choice(PLACES)
    data = struct.pack("<QQ", 0, 16) + vector([(place, make.one(8, 16, PAGE))]) + bytes(16)
    make.call(
        name, tracee(make), At(0), 1, At(16), 1, make.one(0, 0, 0, 1), data=data, fixups=((0, 8, At(32)),)
    )


FAMILIES = (
    *(attach,) * 4,
    *(go_on,) * 9,
    *(await_tracee,) * 5,
    *(ask,) * 5,
    *(set_options,) * 2,
    *(register_sets,) * 2,
    *(peek_or_poke, user_area, make_process) * 2,
    *(send,) * 4,
    *(make_some_call,) * 5,
    *(dispose, end_process, look_across),
    *(execute, be_filtered) * 2,
)
