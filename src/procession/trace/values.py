"""Single values as strace writes them: strings, flags, modes, signals, wait statuses, structures."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from inspect import get_annotations
from typing import Any

from procession.abi.clone_flags import CloneArgs, CloneFlag
from procession.abi.device_numbers import device_major, device_minor
from procession.abi.duration import NS_PER_S
from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.file_mode import FileType
from procession.abi.open_flags import AT_FDCWD, OpenFlag, OpenHow, ResolveFlag
from procession.abi.poll import EpollEvent, EpollEvents, PollEvent, Pollfd
from procession.abi.resource import Rlimit64
from procession.abi.sched import SchedAttr, SchedFlag, SchedPolicy
from procession.abi.sigaction import Sigaction, SignalStack
from procession.abi.signals import (
    BusCode,
    FpeCode,
    IllCode,
    PollCode,
    SegvCode,
    SigactionFlag,
    Signal,
    SignalCode,
    SignalStackFlag,
    SysCode,
    TrapCode,
)
from procession.abi.stat import Stat, Statx, StatxMask
from procession.abi.structure import Structure
from procession.abi.time import Sigevent, SigevNotify
from procession.abi.utsname import Utsname
from procession.abi.wait_options import CONTINUED, CORE_DUMPED, STOPPED, ChildCode

STRING_LIMIT = 32
LIST_LIMIT = 32
"""strace's -s and the same limit for lists."""
FIELD_LIMIT = 16
_SETS_KEPT = 4096
"""How many sets of flags, and of signals, are kept with their texts: a program may use any number."""

ESCAPES = {
    0x22: '\\"',
    0x5C: "\\\\",
    7: "\\a",
    8: "\\b",
    9: "\\t",
    10: "\\n",
    11: "\\v",
    12: "\\f",
    13: "\\r",
}
_PLAIN = re.compile(rb"[ !#-\[\]-~]*")
SIGNAL_SET_FIELDS = frozenset({"sa_mask"})
SIGNAL_FIELDS = frozenset({"exit_signal"})
FLAG_FIELDS: dict[tuple[type[Structure], str], type[IntFlag]] = {
    (CloneArgs, "flags"): CloneFlag,
    (EpollEvent, "events"): EpollEvents,
    (OpenHow, "flags"): OpenFlag,
    (OpenHow, "resolve"): ResolveFlag,
    (Pollfd, "events"): PollEvent,
    (Pollfd, "revents"): PollEvent,
    (SchedAttr, "sched_flags"): SchedFlag,
    (Sigaction, "sa_flags"): SigactionFlag,
    (SignalStack, "ss_flags"): SignalStackFlag,
}
"""Fields of structures that hold flags."""
CHOICE_FIELDS: dict[tuple[type[Structure], str], type[IntEnum]] = {(SchedAttr, "sched_policy"): SchedPolicy}
"""Fields of structures that hold one number out of several."""
ADDRESS_FIELDS = frozenset({"child_tid", "parent_tid", "pidfd", "set_tid", "stack", "tls"})
"""Fields that hold addresses and are declared as numbers."""
_LAST_FLAGS = {"O_DIRECTORY": 1, "SOCK_NONBLOCK": 1, "SA_SIGINFO": 1, "SA_NOCLDSTOP": 2, "SA_NOCLDWAIT": 2}
"""What strace writes after flags with higher bits."""
_HEX_FIELDS = frozenset({"data"})
FILE_TYPE, DEVICE_TYPES = 0o170000, (0o020000, 0o060000)
_HANDLERS = {0: "SIG_DFL", 1: "SIG_IGN"}
_NO_LIMIT = 0xFFFFFFFF_FFFFFFFF
OCTAL_DIGITS = b"01234567"

CODES: dict[int, type[IntEnum]] = {
    Signal.SIGILL: IllCode,
    Signal.SIGFPE: FpeCode,
    Signal.SIGSEGV: SegvCode,
    Signal.SIGBUS: BusCode,
    Signal.SIGTRAP: TrapCode,
    Signal.SIGCHLD: ChildCode,
    Signal.SIGPOLL: PollCode,
    Signal.SIGSYS: SysCode,
}


def quoted(data: bytes, limit: int = STRING_LIMIT) -> str:
    """`data` as a C string: `"a\\n"`; what is past `limit` bytes becomes three dots."""
    return f'"{escaped(data[:limit])}"' + ("..." if len(data) > limit else "")


def escaped(shown: bytes, others: bytes = b"") -> str:
    """`shown` as it stands in a C string, all of `others` in octal."""
    if not others and _PLAIN.fullmatch(shown):
        return shown.decode("ascii")
    parts: list[str] = []
    for position, byte in enumerate(shown):
        if escape := ESCAPES.get(byte):
            parts.append(escape)
        elif 32 <= byte < 127 and byte not in others:
            parts.append(chr(byte))
        elif shown[position + 1 : position + 2].strip(OCTAL_DIGITS) == b"" and position + 1 < len(shown):
            # A digit follows: the shortest octal escape would swallow it.
            parts.append(f"\\{byte:03o}")
        else:
            parts.append(f"\\{byte:o}")
    return "".join(parts)


@cache
def names_of(numbers: type[IntEnum] | type[IntFlag]) -> dict[int, str]:
    """The names of the members of `numbers`; of several for one number the first."""
    return {member.value: name for name, member in reversed(list(numbers.__members__.items()))}


def address_text(address: int) -> str:
    """An address: `NULL` or hexadecimal."""
    return f"{address:#x}" if address else "NULL"


def descriptor_text(number: int) -> str:
    """A file descriptor."""
    return "AT_FDCWD" if number == AT_FDCWD else str(number)


def seconds_text(duration_ns: int) -> str:
    """`0.000123`: a duration in seconds."""
    return f"{duration_ns // NS_PER_S}.{duration_ns % NS_PER_S // 1000:06}"


def time_of_day_text(realtime_ns: int) -> str:
    """`13:05:00.000123`, in the machine's time zone: UTC."""
    second = realtime_ns // NS_PER_S % 86400
    micro = realtime_ns % NS_PER_S // 1000
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{micro:06}"


def signal_name(number: int) -> str:
    """`SIGTERM`; `SIGRTMIN` and `SIGRT_2` for real-time signals, as strace counts them."""
    name = names_of(Signal).get(number)
    if name is not None:
        return name
    if 32 <= number <= 64:
        return f"SIGRT_{number - 32}" if number > 32 else "SIGRTMIN"
    return str(number)


@lru_cache(_SETS_KEPT)
def signal_set_text(mask: int) -> str:
    """A set of signals: `[INT CHLD]`, or by what it lacks when that is shorter: `~[KILL STOP]`."""
    members = [number for number in range(1, 65) if mask >> (number - 1) & 1]
    sign = ""
    if len(members) > 32:
        sign = "~"
        members = [number for number in range(1, 65) if not mask >> (number - 1) & 1]
    return f"{sign}[{' '.join(signal_name(number).removeprefix('SIG') for number in members)}]"


def mode_text(mode: int) -> str:
    """Permission bits in octal, after the file's type if there is one: `S_IFREG|0644`."""
    kind = mode & 0o170000
    permissions = f"0{mode & 0o7777:o}".zfill(3)
    if not kind:
        return permissions
    name = names_of(FileType).get(kind) or f"0{kind:o}"
    return f"{name}|{permissions}"


@cache
def flag_names(flags: type[IntFlag]) -> tuple[tuple[tuple[int, str], ...], str, int]:
    """For `flags`: its members, those with most bits first; the name of zero; the bits that zero is about.

    In open(2)'s flags zero is the access mode O_RDONLY, which is there whenever neither of the two lowest
    bits is: the bits that zero is about are the lowest ones that have names, without a gap.
    """
    members = names_of(flags).copy()
    zero_name = members.pop(0, "")
    low_bits = 0
    while low_bits + 1 in members:
        low_bits = low_bits << 1 | 1
    ordered = sorted(members.items(), key=lambda member: (-member[0].bit_count(), member[0]))
    return tuple(ordered), zero_name, low_bits


@lru_cache(_SETS_KEPT)
def flags_text(flags: type[IntFlag], value: int) -> str:
    """`O_RDWR|O_CLOEXEC`; bits without a name are added in hexadecimal."""
    members, zero_name, low_bits = flag_names(flags)
    found: list[tuple[int, str]] = []
    rest = value
    for bits, name in members:
        if rest & bits == bits:
            found.append((bits, name))
            rest &= ~bits
    names = [name for _, name in sorted(found, key=lambda each: (_LAST_FLAGS.get(each[1], 0), each))]
    if zero_name and not value & low_bits:
        names.insert(0, zero_name)
    if rest:
        names.append(f"{rest:#x}")
    return "|".join(names) or "0"


def choice_text(choices: type[IntEnum], value: int) -> str:
    """The name of one number out of `choices`."""
    return names_of(choices).get(value) or f"{value:#x}"


def wait_status_text(status: int) -> str:
    """A status of wait4(2), taken apart with the macros of wait(2)."""
    signal = status & 0x7F
    if status == CONTINUED:
        return "{WIFCONTINUED(s)}"
    if status & 0xFF == STOPPED:
        return f"{{WIFSTOPPED(s) && WSTOPSIG(s) == {signal_name(status >> 8 & 0xFF)}}}"
    if not signal:
        return f"{{WIFEXITED(s) && WEXITSTATUS(s) == {status >> 8 & 0xFF}}}"
    core = " && WCOREDUMP(s)" if status & CORE_DUMPED else ""
    return f"{{WIFSIGNALED(s) && WTERMSIG(s) == {signal_name(signal)}{core}}}"


@cache
def field_annotations(structure: type[Structure]) -> dict[str, str]:
    """The annotations of all fields of `structure`, as they are written."""
    annotations: dict[str, str] = {}
    for base in reversed(structure.__mro__):
        annotations |= get_annotations(base)
    return annotations


def field_text(structure: type[Structure], name: str, value: Any) -> str:
    """The value of one field of a structure."""
    if isinstance(value, Structure):
        return structure_text(value)
    if isinstance(value, bytes):
        return quoted(value.split(b"\0", 1)[0])
    if isinstance(value, tuple):
        return list_text(str(element) for element in value)
    if name in ADDRESS_FIELDS or field_annotations(structure)[name] == "Pointer":
        return address_text(value)
    if name.endswith("_mode"):
        return mode_text(value)
    if name in SIGNAL_FIELDS:
        return signal_name(value)
    if name in SIGNAL_SET_FIELDS:
        return signal_set_text(value)
    if flags := FLAG_FIELDS.get((structure, name)):
        # The 16 bits of struct pollfd are signed.
        return flags_text(flags, value & 0xFFFF if value < 0 else value)
    if choices := CHOICE_FIELDS.get((structure, name)):
        return choice_text(choices, value)
    return f"{value:#x}" if name in _HEX_FIELDS and value else str(value)


def device_text(device: int) -> str:
    """A device's number."""
    return f"makedev({hex_text(device_major(device))}, {hex_text(device_minor(device))})"


def _stat_text(status: Stat) -> str:
    kind = status.st_mode & FILE_TYPE
    what = f"st_size={status.st_size}"
    if kind in DEVICE_TYPES:
        what = f"st_rdev={device_text(status.st_rdev)}"
    return f"{{st_mode={mode_text(status.st_mode)}, {what}, ...}}"


def _statx_text(status: Statx) -> str:
    basic = int(StatxMask.STATX_BASIC_STATS)
    mask = status.stx_mask
    parts = ["STATX_BASIC_STATS"] if mask & basic == basic else []
    rest = mask & ~basic if parts else mask
    if rest or not parts:
        parts.append(flags_text(StatxMask, rest))
    kind = status.stx_mode & FILE_TYPE
    what = f"stx_size={status.stx_size}"
    if kind in DEVICE_TYPES:
        what = f"stx_rdev_major={status.stx_rdev_major}, stx_rdev_minor={status.stx_rdev_minor}"
    return (
        f"{{stx_mask={'|'.join(parts)}, stx_attributes={hex_text(status.stx_attributes)}, "
        f"stx_mode={mode_text(status.stx_mode)}, {what}, ...}}"
    )


def hex_text(value: int) -> str:
    """Hexadecimal, but for 0."""
    return f"{value:#x}" if value else "0"


def _event_text(event: Sigevent) -> str:
    fields = [f"sigev_value={event.sigev_value:#x}"] if event.sigev_value else []
    fields += [
        f"sigev_signo={signal_name(event.sigev_signo)}",
        f"sigev_notify={choice_text(SigevNotify, event.sigev_notify)}",
    ]
    if event.sigev_notify == SigevNotify.SIGEV_THREAD_ID:
        fields.append(f"sigev_notify_thread_id={event.sigev_notify_thread_id}")
    return f"{{{', '.join(fields)}}}"


def _action_text(action: Sigaction) -> str:
    handler = _HANDLERS.get(action.sa_handler) or f"{action.sa_handler:#x}"
    flags = flags_text(SigactionFlag, action.sa_flags)
    text = f"{{sa_handler={handler}, sa_mask={signal_set_text(action.sa_mask)}, sa_flags={flags}"
    if action.sa_flags & int(SigactionFlag.SA_RESTORER):
        text += f", sa_restorer={action.sa_restorer:#x}"
    return text + "}"


def _limit_text(limit: Rlimit64) -> str:
    return f"{{rlim_cur={_limit_value(limit.rlim_cur)}, rlim_max={_limit_value(limit.rlim_max)}}}"


def _limit_value(value: int) -> str:
    if value == _NO_LIMIT:
        return "RLIM64_INFINITY"
    return f"{value // 1024}*1024" if value > 1024 and not value % 1024 else str(value)


def structure_text(structure: Structure) -> str:
    """`{tv_sec=1, tv_nsec=0}`; long structures are cut."""
    if isinstance(structure, Stat):
        return _stat_text(structure)
    if isinstance(structure, Sigaction):
        return _action_text(structure)
    if isinstance(structure, Statx):
        return _statx_text(structure)
    if isinstance(structure, Sigevent):
        return _event_text(structure)
    if isinstance(structure, Utsname):
        return f"{{sysname={quoted(structure.sysname)}, nodename={quoted(structure.nodename)}, ...}}"
    if isinstance(structure, Rlimit64):
        return _limit_text(structure)
    fields = [
        f"{name}={field_text(type(structure), name, getattr(structure, name))}"
        for name in structure.FIELDS[:FIELD_LIMIT]
    ]
    if len(structure.FIELDS) > FIELD_LIMIT:
        fields.append("...")
    return f"{{{', '.join(fields)}}}"


def list_text(items: Iterable[str]) -> str:
    """`[3, 4]`; long lists are cut."""
    shown: list[str] = []
    for item in items:
        if len(shown) == LIST_LIMIT:
            shown.append("...")
            break
        shown.append(item)
    return f"[{', '.join(shown)}]"


def signal_code_text(signal: int, code: int) -> str:
    """si_code: `CLD_EXITED`, `SI_USER`."""
    specific = CODES.get(signal)
    if 0 < code < SignalCode.SI_KERNEL and specific is not None:
        return choice_text(specific, code)
    return choice_text(SignalCode, code)
