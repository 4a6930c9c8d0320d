"""Random calls on pseudo-terminals and job control: sessions, groups, modes, typing and printing."""

from __future__ import annotations

import struct

from tests.differential.maker import Maker, go_on
from tests.differential.process_calls import await_process, end_process, show_action
from tests.differential.script import (
    SLURP,
    Argument,
    At,
    Naming,
    Pid,
    Result,
    Show,
    Symbol,
)

MOST_ACTORS, BLOCKER = 6, 3
O_RDWR, O_NOCTTY, O_NONBLOCK, O_CLOEXEC = 2, 0o400, 0o4000, 0o2000000
TCGETS, TCSETS, TCSETSW, TCSETSF, TCSBRK, TCXONC, TCFLSH = (
    0x5401,
    0x5402,
    0x5403,
    0x5404,
    0x5409,
    0x540A,
    0x540B,
)
TIOCEXCL, TIOCNXCL, TIOCSCTTY, TIOCGPGRP, TIOCSPGRP, TIOCOUTQ, TIOCSTI = range(0x540C, 0x5413)
TIOCGWINSZ, TIOCSWINSZ, FIONREAD, TIOCPKT, FIONBIO, TIOCNOTTY = 0x5413, 0x5414, 0x541B, 0x5420, 0x5421, 0x5422
TIOCSETD, TIOCGETD, TCSBRKP, TIOCGSID, TCGETS2, FIOASYNC = 0x5423, 0x5424, 0x5425, 0x5429, 0x802C542A, 0x5452
TIOCGPTN, TIOCSPTLCK, TIOCGDEV, TIOCSIG, TIOCVHANGUP = 0x80045430, 0x40045431, 0x80045432, 0x40045436, 0x5437
TIOCGPKT, TIOCGPTLCK, TIOCGEXCL, TIOCGPTPEER = 0x80045438, 0x80045439, 0x80045440, 0x5441
TIOCGLCKTRMIOS, TIOCSLCKTRMIOS = 0x5456, 0x5457
TCGETA, TCSETA, TCSETAW, TCSETAF = 0x5405, 0x5406, 0x5407, 0x5408
TCSETS2, TCSETSW2, TCSETSF2 = 0x402C542B, 0x402C542C, 0x402C542D
F_GETFL, F_SETFL, O_ASYNC, O_DIRECT, O_PATH = 3, 4, 0o20000, 0o40000, 0o10000000
SIGHUP, SIGINT, SIGQUIT, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH = 1, 2, 3, 18, 20, 21, 22, 28
SIGNALS = (SIGHUP, SIGHUP, SIGINT, SIGQUIT, SIGCONT, SIGCONT, SIGTSTP, SIGTTIN, SIGTTOU, SIGTTOU, SIGWINCH)
INPUT_MODES = (1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800, 0x1000, 0x2000, 0x4000)
OUTPUT_MODES = (1, 2, 4, 8, 0x10, 0x20, 0x40, 0x1800)
LOCAL_MODES = (1, 2, 8, 0x10, 0x20, 0x40, 0x80, 0x100, 0x200, 0x400, 0x800, 0x8000, 0x10000)
USUAL_MODES = (0x500, 5, 0xBF, 0x8A3B)
CHARACTERS = bytes((3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0))
VTIME, VMIN, VEOL, VEOL2 = 5, 6, 11, 16
TERMIOS_BYTES, PATH_BYTES = 36, 32
KEYS = b"ab \t\n\r\x03\x04\x7f\x08\x15\x17\x12\x16\x11\x13\x1a\x1c\x0f\xff\x00A_\x1b\xc3\xa9xy\n\n"
FLUSHING = b"\x03\x1a\x1c"
STAT = b"/proc/self/stat".ljust(PATH_BYTES + 600, b"\0")


def begin(make: Maker) -> None:
    """A terminal with both its ends open, and company."""
    make.descriptors = []
    master = make.opened(make.call("open", At(0), O_RDWR | O_NOCTTY | O_NONBLOCK, data=b"/dev/ptmx\0"))
    make.call("ioctl", Result(master), TIOCSPTLCK, At(0), data=bytes(4))
    make.opened(make.call("ioctl", Result(master), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK))
    for _ in range(3):
        make.spawn("fork")
    # The last has an end of its own that waits; of several, luck would decide who is next.
    make.actor = BLOCKER
    make.call("ioctl", Result(master), TIOCGPTPEER, O_RDWR | O_NOCTTY)
    make.actor = 0


def waiting_end(make: Maker) -> Argument:
    """The descriptor by which the one who may wait reads and writes."""
    return Result(next(operation for operation in make.operations if operation.actor == BLOCKER))


def wait_at_end(make: Maker) -> None:
    """read, write and drain, waiting: for what is typed, for output to go on, for the foreground."""
    make.actor = BLOCKER
    kind = make.random.randrange(10)
    if kind < 5:
        make.call("read", waiting_end(make), At(0), make.one(1, 5, 64), data=bytes(64))
    elif kind < 7:
        data = keys(make, make.one(3, 12))
        make.call("write", waiting_end(make), At(0), len(data), data=data)
    elif kind == 7:
        make.call("ioctl", waiting_end(make), make.one(TCSBRK, TCSBRKP), 1)
    elif kind == 8:
        make.call("ioctl", waiting_end(make), TIOCSCTTY, 0)
    else:
        data = struct.pack("<ihh", 0, make.one(1, 4, 5), 0)
        make.call("poll", At(0), 1, -1, data=data, fixups=((0, 4, waiting_end(make)),), show=show_one_polled)
    pause(make)


def show_one_polled(data: bytes, result: int, naming: Naming) -> str:
    """What is ready."""
    return f"{int.from_bytes(data[6:8], 'little'):x}"


def move_through(make: Maker) -> None:
    """splice, sendfile, readv and writev, pread, lseek, fstat and the like of a terminal."""
    one, other = terminal(make), make.descriptor()
    kind = make.random.randrange(8)
    if kind == 0:
        make.call("lseek", one, make.one(0, 1), make.one(0, 1, 2))
    elif kind == 1:
        make.call(make.random.choice(("pread64", "pwrite64")), one, At(0), 8, 0, data=bytes(8))
    elif kind < 4:
        data = struct.pack("<QQQQ", 0, 4, 0, make.one(4, 0, 8)) + keys(make, 16).ljust(16, b"z")
        fixups: tuple[tuple[int, int, Argument], ...] = ((0, 8, At(32)), (16, 8, At(40)))
        call = make.random.choice(("readv", "writev"))
        make.call(call, one, At(0), 2, data=data, fixups=fixups, show=lambda data, *_: data[32:].hex())
    elif kind == 4:
        make.call("sendfile", one, other, 0, 8)
    elif kind == 5:
        make.call(make.random.choice(("fsync", "fdatasync", "syncfs")), one)
    elif kind == 6:
        make.call("ftruncate", one, 0)
    else:
        path = f"/proc/self/fdinfo/{make.random.randrange(4)}\0".encode()
        make.operation(SLURP, data=path.ljust(PATH_BYTES + 600, b"\0"), show=show_descriptor, result="none")
    pause(make)


def show_descriptor(data: bytes, result: int, naming: Naming) -> str:
    """The place and the flags, and which terminal."""
    lines = data[PATH_BYTES : max(result, PATH_BYTES)].decode("latin-1").split("\n")
    return " ".join(line.replace("\t", "") for line in lines if not line.startswith(("mnt_id", "ino")))


def terminal(make: Maker) -> Argument:
    """One of the ends, most often."""
    return make.random.choice(make.descriptors[:2]) if make.odds(75) else make.descriptor()


def pause(make: Maker) -> None:
    """Linux hands on what is written to one end by a worker of its own."""
    make.operations[-1].is_slow = True


def open_more(make: Maker) -> None:
    """open, dup, TIOCGPTPEER, close."""
    kind = make.random.randrange(8)
    flags = O_RDWR | make.one(0, O_NOCTTY, O_NOCTTY | O_NONBLOCK, O_NONBLOCK, O_CLOEXEC | O_NONBLOCK)
    if kind < 2:
        make.opened(make.call("open", At(0), flags, data=b"/dev/tty\0"))
    elif kind == 2:
        make.opened(make.call("open", At(0), flags, data=b"/dev/ptmx\0"))
    elif kind == 3:
        path = make.random.choice((b"/dev/pts/0\0", b"/dev/pts/1\0"))
        make.opened(make.call("open", At(0), flags, data=path))
    elif kind == 4:
        make.opened(make.call("dup", terminal(make)))
    elif kind == 5:
        flags |= make.one(0, 0, 0, O_CLOEXEC, O_DIRECT, O_PATH)
        make.opened(make.call("ioctl", terminal(make), TIOCGPTPEER, flags))
    else:
        make.call("close", terminal(make) if make.odds(25) else make.descriptor())
        pause(make)


def control_jobs(make: Maker) -> None:
    """setsid, setpgid, TIOCSCTTY, TIOCNOTTY, TIOCSPGRP, TIOCGPGRP, TIOCGSID."""
    kind = make.random.randrange(12)
    if kind == 0:
        make.call("setsid", result="pid")
    elif kind < 4:
        make.call("setpgid", make.pid(), make.pid())
    elif kind < 6:
        make.call("ioctl", terminal(make), TIOCSCTTY, make.one(0, 0, 0, 1))
    elif kind == 6:
        make.call("ioctl", terminal(make), TIOCNOTTY, 0)
    elif kind < 10:
        group: Argument = (
            Pid(make.random.choice(make.actors)) if make.odds(85) else make.one(0, -1, 1, 1 << 30)
        )
        make.call(
            "ioctl", terminal(make), TIOCSPGRP, At(0), data=bytes(8), fixups=((0, 4, group),), show=nothing
        )
    else:
        make.call("ioctl", terminal(make), make.one(TIOCGPGRP, TIOCGSID), At(0), data=bytes(4), show=show_pid)
    if make.odds(40):
        make.operation(SLURP, data=STAT, show=show_stat, result="none")


def nothing(data: bytes, result: int, naming: Naming) -> str:
    """Show nothing."""
    return ""


def show_pid(data: bytes, result: int, naming: Naming) -> str:
    """The id of a group or session."""
    return naming.group(int.from_bytes(data[:4], "little", signed=True))


def show_stat(data: bytes, result: int, naming: Naming) -> str:
    """Group, session, terminal and its foreground group, of /proc/self/stat."""
    words = data[PATH_BYTES : max(result, PATH_BYTES)].rpartition(b")")[2].split()
    if len(words) < 6:
        return "gone"
    group, session, number, foreground = map(int, words[2:6])
    return f"{naming.pid(group)} {naming.pid(session)} {number:x} {naming.group(foreground)}"


def change_modes(make: Maker) -> None:
    """TCSETS and its kin, TCGETS."""
    if make.odds(30):
        make.call("ioctl", terminal(make), make.one(TCGETS, TCGETS, TCGETS2, TCGETA), At(0), data=bytes(44))
        return
    modes = [*USUAL_MODES]
    for place, usual in ((0, INPUT_MODES), (1, OUTPUT_MODES), (3, LOCAL_MODES)):
        for mode in usual:
            if make.odds(15):
                modes[place] ^= mode
    characters = bytearray(CHARACTERS)
    characters[VMIN] = make.one(1, 1, 0, 3)
    # Longer than scripts take.
    characters[VTIME] = make.one(0, 0, 0, 250)
    characters[VEOL], characters[VEOL2] = make.one(0, ord("x")), make.one(0, 0, ord("y"))
    data = struct.pack("<4IB19s", *modes, make.one(0, 0, 0, 1), bytes(characters))
    command = make.one(TCSETS, TCSETS, TCSETS, TCSETSW, TCSETSF)
    if make.odds(12):
        command = make.one(TCSETA, TCSETAW, TCSETAF)
        data = struct.pack("<4HB8s", *(mode & 0xFFFF for mode in modes), 0, bytes(characters[:8])) + b"\0"
    elif make.odds(12):
        command = make.one(TCSETS2, TCSETSW2, TCSETSF2)
        speeds = make.one(9600, 38400, 1234, 0), make.one(9600, 38400, 0)
        data += struct.pack("<II", *speeds)
    make.call("ioctl", terminal(make), command, At(0) if make.odds(97) else 8, data=data)
    pause(make)


def keys(make: Maker, most: int) -> bytes:
    """Something typed or printed. What flushes comes first: a line before it may be read meanwhile or not."""
    first, *rest = (make.random.choice(KEYS) for _ in range(1 + make.random.randrange(most)))
    return bytes((first, *(character for character in rest if character not in FLUSHING)))


def write_some(make: Maker) -> None:
    """write, at either end."""
    data = keys(make, make.one(3, 12, 40))
    make.call("write", terminal(make), At(0) if make.odds(97) else 8, len(data), data=data)
    pause(make)


def read_some(make: Maker) -> None:
    """read, at either end."""
    count = make.one(0, 1, 5, 64, 64)
    make.call("read", terminal(make), At(0), count, data=bytes(64))
    pause(make)


def ask(make: Maker) -> None:
    """The other requests of terminals."""
    show: Show | None = None
    data = bytes(16)
    argument: Argument = At(0)
    request = make.one(
        *(TIOCGWINSZ, TIOCSWINSZ, TIOCSWINSZ, FIONREAD, FIONREAD, TIOCOUTQ, TIOCPKT, TIOCPKT, TIOCGPKT),
        *(TIOCEXCL, TIOCNXCL, TIOCGEXCL, TIOCSPTLCK, TIOCGPTLCK, TIOCGPTN, TIOCGDEV, TIOCSIG, TIOCSIG),
        *(TIOCSTI, TIOCSTI, TCSBRK, TCSBRKP, TCXONC, TCXONC, TCFLSH, TCFLSH, TIOCGETD, TIOCSETD, FIONBIO),
        *(TIOCVHANGUP, FIOASYNC, TIOCGLCKTRMIOS, TIOCSLCKTRMIOS, 0x5418, 0x5427, 0x5415, 0x541D9),
    )
    if request == TIOCSWINSZ:
        data = struct.pack("<4H", make.one(24, 25), make.one(80, 90), 0, 0)
    elif request in {TIOCPKT, TIOCSPTLCK, FIONBIO, FIOASYNC}:
        # Who would wait for good is of no use any more.
        data = struct.pack("<i", 1 if request == FIONBIO else make.one(0, 1, 1, 2))
    elif request in {TIOCSIG, TCXONC, TCFLSH}:
        argument = make.one(*SIGNALS, 0, 65) if request == TIOCSIG else make.one(0, 1, 2, 3, 4)
    elif request in {TCSBRK, TCSBRKP}:
        argument = 1
    elif request == TIOCSTI:
        data = keys(make, 1)
    elif request == TIOCSETD:
        data = struct.pack("<i", make.one(0, 30, -1))
    elif request == TIOCSLCKTRMIOS:
        data = struct.pack("<4I", *(make.one(0, 0, 1, -1) & 0xFFFFFFFF for _ in range(4))).ljust(36, b"\0")
    elif request == TIOCGLCKTRMIOS:
        data = bytes(36)
    make.call("ioctl", terminal(make), request, argument if make.odds(97) else 8, data=data, show=show)
    pause(make)


def set_flags(make: Maker) -> None:
    """fcntl, of O_ASYNC above all; those who would wait for good aren't made to."""
    if make.odds(40):
        make.call("fcntl", terminal(make), F_GETFL, 0)
    else:
        make.call("fcntl", terminal(make), F_SETFL, O_NONBLOCK | make.one(0, 0, O_ASYNC, O_ASYNC, O_DIRECT))


def wait_for_ends(make: Maker) -> None:
    """poll."""
    events = make.one(1, 4, 5, 0xFFFF, 0x3C7)
    data = struct.pack("<ihhihh", 0, events - (events >> 15 << 16), 0, 0, events - (events >> 15 << 16), 0)
    one, other = terminal(make), terminal(make)
    make.call("poll", At(0), 2, 0, data=data, fixups=((0, 4, one), (8, 4, other)), show=show_polled)


def show_polled(data: bytes, result: int, naming: Naming) -> str:
    """What is ready."""
    return f"{int.from_bytes(data[6:8], 'little'):x} {int.from_bytes(data[14:16], 'little'):x}"


def dispose(make: Maker) -> None:
    """rt_sigaction, rt_sigprocmask."""
    if make.odds(25):
        mask = sum(1 << make.random.choice(SIGNALS) - 1 for _ in range(2)) & (1 << 64) - 1
        make.call("rt_sigprocmask", make.one(0, 1, 2), At(0), 0, 8, data=struct.pack("<Q", mask))
        return
    flags = 0x04000004 | make.bits((0x10000000,))
    action = struct.pack("<QQQQ", make.one(0, 1, 2, 2), flags, 0, 0) + bytes(32)
    fixups: tuple[tuple[int, int, Argument], ...] = ((16, 8, Symbol(True)),)
    if action[0] == 2:
        fixups = ((0, 8, Symbol()), *fixups)
    make.call(
        "rt_sigaction", make.random.choice(SIGNALS), At(0), 0, 8, data=action, fixups=fixups, show=show_action
    )


def send_signal(make: Maker) -> None:
    """kill: to go on, above all."""
    number = make.one(SIGCONT, SIGCONT, SIGCONT, SIGTSTP, SIGTTIN, SIGHUP)
    make.call("kill", Pid(make.random.choice(make.actors), make.odds(20)), number)


def make_process(make: Maker) -> None:
    """fork."""
    if len(make.actors) < MOST_ACTORS:
        make.spawn("fork")


FAMILIES = (
    *(open_more,) * 3,
    *(control_jobs,) * 7,
    *(change_modes,) * 2,
    *(write_some,) * 4,
    *(read_some,) * 4,
    *(ask,) * 4,
    set_flags,
    *(wait_at_end,) * 5,
    *(move_through,) * 2,
    *(wait_for_ends,) * 2,
    *(dispose,) * 3,
    *(send_signal,) * 2,
    make_process,
    go_on,
    end_process,
    await_process,
)
