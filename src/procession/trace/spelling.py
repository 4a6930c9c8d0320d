"""System calls that strace writes in ways of its own: what a declaration alone doesn't tell."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from procession.abi.capability import Capability
from procession.abi.clone_flags import CSIGNAL, CloneArgs, CloneFlag
from procession.abi.enumeration import IntEnum
from procession.abi.ioctls import FileIoctl, SocketIoctl, TerminalIoctl
from procession.abi.netlink import NetlinkProtocol
from procession.abi.open_flags import (
    AT_STATX_SYNC_TYPE,
    FcntlCommand,
    FdFlag,
    Flock,
    LockType,
    OpenFlag,
    Whence,
)
from procession.abi.poll import PollEvent, Pollfd
from procession.abi.prctl import PrctlOption
from procession.abi.socket import AddressFamily, IpProtocol
from procession.abi.termios import Winsize
from procession.abi.time import Timespec, Timeval
from procession.abi.tun import TunIoctl
from procession.abi.userfaultfd import UffdIoctl
from procession.mm.peek import peek, peek_cstring
from procession.trace.futex import futex_texts
from procession.trace.values import (
    DEVICE_TYPES,
    FILE_TYPE,
    LIST_LIMIT,
    STRING_LIMIT,
    address_text,
    choice_text,
    device_text,
    flags_text,
    hex_text,
    list_text,
    names_of,
    quoted,
    signal_name,
    signal_set_text,
    structure_text,
)

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.mm.address_space import MemoryDescriptor

Texts = list[str | None]
Arguments = tuple[Any, ...]

Spelling = Callable[["Task", Texts, Arguments], Texts]

_READ_LOCKS = (int(FcntlCommand.F_GETLK), int(FcntlCommand.F_OFD_GETLK))
_LOCKS = (
    *_READ_LOCKS,
    *(int(FcntlCommand.F_SETLK), int(FcntlCommand.F_SETLKW)),
    *(int(FcntlCommand.F_OFD_SETLK), int(FcntlCommand.F_OFD_SETLKW)),
)
_WITHOUT_ARGUMENT = frozenset(
    int(command)
    for command in (
        *(FcntlCommand.F_GETFD, FcntlCommand.F_GETFL, FcntlCommand.F_GETOWN, FcntlCommand.F_GETSIG),
        *(FcntlCommand.F_GETLEASE, FcntlCommand.F_GETPIPE_SZ, FcntlCommand.F_GET_SEALS),
    )
)
_IOCTLS: tuple[type[IntEnum], ...] = (FileIoctl, TerminalIoctl, SocketIoctl, TunIoctl, UffdIoctl)
_NUMBERS = frozenset(
    int(request)
    for request in (
        *(FileIoctl.FIONREAD, FileIoctl.FIONBIO, FileIoctl.FIOASYNC, TerminalIoctl.TIOCOUTQ),
        *(TerminalIoctl.TIOCGPGRP, TerminalIoctl.TIOCSPGRP, TerminalIoctl.TIOCGSID),
        *(TerminalIoctl.TIOCGPTN, TerminalIoctl.TIOCSPTLCK, SocketIoctl.SIOCATMARK),
    )
)
"""Requests whose argument points at an int."""
_WINDOW_SIZES = (int(TerminalIoctl.TIOCGWINSZ), int(TerminalIoctl.TIOCSWINSZ))
_ALONE = frozenset((int(FileIoctl.FIOCLEX), int(FileIoctl.FIONCLEX), int(TerminalIoctl.TIOCNOTTY)))
_PRCTL_STRINGS = (int(PrctlOption.PR_SET_NAME), int(PrctlOption.PR_GET_NAME))
_PRCTL_NONE = frozenset(
    int(option)
    for option in (
        *(PrctlOption.PR_GET_DUMPABLE, PrctlOption.PR_GET_KEEPCAPS, PrctlOption.PR_GET_TIMERSLACK),
        *(PrctlOption.PR_GET_SECCOMP, PrctlOption.PR_GET_TIMING, PrctlOption.PR_GET_SECUREBITS),
    )
)
_PRCTL_ONE = frozenset(
    int(option)
    for option in (
        *(PrctlOption.PR_SET_KEEPCAPS, PrctlOption.PR_SET_TIMERSLACK, PrctlOption.PR_SET_CHILD_SUBREAPER),
        PrctlOption.PR_SET_SECUREBITS,
    )
)
_DUMPABLE = ("SUID_DUMP_DISABLE", "SUID_DUMP_USER", "SUID_DUMP_ROOT")
_INTERNET = (int(AddressFamily.AF_INET), int(AddressFamily.AF_INET6))
_NETLINK = int(AddressFamily.AF_NETLINK)
_NAME_BYTES = 16
_MOST_STRINGS = 4096
_FD_SETSIZE = 1024
_NO_ACCESS_MODE = "O_RDONLY"


def _int_text(mm: MemoryDescriptor, address: int) -> str:
    data = peek(mm, address, 4)
    return f"[{int.from_bytes(data, 'little', signed=True)}]" if len(data) == 4 else address_text(address)


def _pair_text(mm: MemoryDescriptor, address: int) -> str:
    data = peek(mm, address, 8)
    if len(data) < 8:
        return address_text(address)
    return list_text(str(int.from_bytes(data[at : at + 4], "little", signed=True)) for at in (0, 4))


def _mmap(_task: Task, texts: Texts, arguments: Arguments) -> Texts:
    return [*texts[:5], f"{arguments[5]:#x}" if arguments[5] else "0"]


def _rseq(_task: Task, texts: Texts, arguments: Arguments) -> Texts:
    return [texts[0], f"{arguments[1]:#x}", texts[2], f"{arguments[3]:#x}"]


def _clone(_task: Task, _texts: Texts, arguments: Arguments) -> Texts:
    """clone(2) by names, and without what its flags don't use."""
    flags, stack, parent, child, tls = arguments
    bits = flags & ~CSIGNAL
    names = [flags_text(CloneFlag, bits)] if bits else []
    if flags & CSIGNAL:
        names.append(signal_name(flags & CSIGNAL))
    shown: Texts = [f"child_stack={address_text(stack)}", f"flags={'|'.join(names) or '0'}"]
    if flags & int(CloneFlag.CLONE_PARENT_SETTID):
        shown.append(f"parent_tid={address_text(parent)}")
    if flags & int(CloneFlag.CLONE_SETTLS):
        shown.append(f"tls={address_text(tls)}")
    if flags & int(CloneFlag.CLONE_CHILD_SETTID | CloneFlag.CLONE_CHILD_CLEARTID):
        shown.append(f"child_tidptr={address_text(child)}")
    return shown


def _clone3(task: Task, texts: Texts, arguments: Arguments) -> Texts:
    """The structure without what its flags don't use."""
    asked = _clone_args(task.mm, arguments)
    if asked is None:
        return texts
    flags = asked.flags
    fields = [f"flags={flags_text(CloneFlag, flags)}"]
    if flags & int(CloneFlag.CLONE_PIDFD):
        fields.append(f"pidfd={address_text(asked.pidfd)}")
    if flags & int(CloneFlag.CLONE_CHILD_SETTID | CloneFlag.CLONE_CHILD_CLEARTID):
        fields.append(f"child_tid={address_text(asked.child_tid)}")
    if flags & int(CloneFlag.CLONE_PARENT_SETTID):
        fields.append(f"parent_tid={address_text(asked.parent_tid)}")
    fields.append(f"exit_signal={signal_name(asked.exit_signal)}")
    fields.append(f"stack={address_text(asked.stack)}")
    fields.append(f"stack_size={hex_text(asked.stack_size)}")
    if flags & int(CloneFlag.CLONE_SETTLS):
        fields.append(f"tls={address_text(asked.tls)}")
    if asked.set_tid or asked.set_tid_size:
        fields.append(f"set_tid={address_text(asked.set_tid)}")
        fields.append(f"set_tid_size={asked.set_tid_size}")
    if flags & int(CloneFlag.CLONE_INTO_CGROUP):
        fields.append(f"cgroup={asked.cgroup}")
    return [f"{{{', '.join(fields)}}}", *texts[1:]]


def _clone_args(mm: MemoryDescriptor, arguments: Arguments) -> CloneArgs | None:
    size = min(max(arguments[1], 0), CloneArgs.SIZE)
    data = peek(mm, arguments[0].address, size)
    return CloneArgs.unpack(data.ljust(CloneArgs.SIZE, b"\0")) if data and len(data) == size else None


def changed_text(name: str, task: Task, arguments: Arguments, position: int, result: int) -> str | None:
    """What a call has written where its structure points, in front of whose end it's added; None for none."""
    if name != "clone3" or position or result <= 0:
        return None
    asked = _clone_args(task.mm, arguments)
    if asked is None:
        return None
    written: list[str] = []
    if asked.flags & int(CloneFlag.CLONE_PIDFD):
        written.append(f"pidfd={_int_text(task.mm, asked.pidfd)}")
    if asked.flags & int(CloneFlag.CLONE_PARENT_SETTID):
        written.append(f"parent_tid={_int_text(task.mm, asked.parent_tid)}")
    return f"}} => {{{', '.join(written)}}}" if written else None


def _wait4(_task: Task, texts: Texts, _arguments: Arguments) -> Texts:
    options = texts[2]
    # strace knows the number by the name that waitid(2) has for it.
    return [*texts[:2], options.replace("WUNTRACED", "WSTOPPED") if options else options, *texts[3:]]


def _socket(_task: Task, texts: Texts, arguments: Arguments) -> Texts:
    family, _, protocol = arguments[:3]
    names: type[IntEnum] | None = IpProtocol if family in _INTERNET else None
    if family == _NETLINK:
        names = NetlinkProtocol
    text = names_of(names).get(protocol) if names is not None else None
    return [*texts[:2], text or texts[2], *texts[3:]]


def _fcntl(task: Task, texts: Texts, arguments: Arguments) -> Texts:
    command, argument = arguments[1], arguments[2]
    if command in _WITHOUT_ARGUMENT:
        return texts[:2]
    if command == FcntlCommand.F_SETFL:
        return [*texts[:2], flags_text(OpenFlag, argument)]
    if command == FcntlCommand.F_SETFD:
        return [*texts[:2], flags_text(FdFlag, argument)]
    if command in _LOCKS:
        return [*texts[:2], None if command in _READ_LOCKS else _lock_text(task.mm, argument)]
    return texts


def _lock_text(mm: MemoryDescriptor, address: int) -> str:
    data = peek(mm, address, Flock.SIZE)
    if len(data) < Flock.SIZE:
        return address_text(address)
    lock = Flock.unpack(data)
    kind, whence = choice_text(LockType, lock.l_type), choice_text(Whence, lock.l_whence)
    pid = f", l_pid={lock.l_pid}" if lock.l_pid else ""
    return f"{{l_type={kind}, l_whence={whence}, l_start={lock.l_start}, l_len={lock.l_len}{pid}}}"


def _ioctl(_task: Task, texts: Texts, arguments: Arguments) -> Texts:
    request = arguments[1]
    name = next((names_of(names)[request] for names in _IOCTLS if request in names_of(names)), None)
    shown = name or f"{request:#x}"
    if request in _ALONE:
        return [texts[0], shown]
    if request == FileIoctl.FICLONE:
        return [texts[0], f"BTRFS_IOC_CLONE or {shown}", str(arguments[2])]
    return [texts[0], shown, None if request in _NUMBERS or request in _WINDOW_SIZES else texts[2]]


def _prctl(task: Task, texts: Texts, arguments: Arguments) -> Texts:
    option = arguments[0]
    if option in _PRCTL_STRINGS:
        if option == PrctlOption.PR_GET_NAME:
            return [texts[0], None]
        text = peek_cstring(task.mm, arguments[1], _NAME_BYTES)
        return [texts[0], address_text(arguments[1]) if text is None else quoted(text)]
    if option in _PRCTL_NONE:
        return texts[:1]
    if option == PrctlOption.PR_SET_PDEATHSIG:
        return [texts[0], signal_name(arguments[1])]
    if option == PrctlOption.PR_SET_DUMPABLE and arguments[1] < len(_DUMPABLE):
        return [texts[0], _DUMPABLE[arguments[1]]]
    if option in (PrctlOption.PR_CAPBSET_READ, PrctlOption.PR_CAPBSET_DROP):
        name = names_of(Capability).get(arguments[1])
        return [texts[0], name or f"{arguments[1]:#x} /* CAP_??? */"]
    if option in _PRCTL_ONE:
        return [texts[0], f"{arguments[1]:#x}" if arguments[1] > 9 else str(arguments[1])]
    return [texts[0], *(f"{each:#x}" if each else "0" for each in arguments[1:])]


def _select(task: Task, texts: Texts, arguments: Arguments) -> Texts:
    sets = [_descriptors_text(task.mm, arguments[0], address) for address in arguments[1:4]]
    return [texts[0], *sets, *texts[4:]]


def _members(mm: MemoryDescriptor, count: int, address: int) -> list[int] | None:
    """The descriptors in a set; None if it can't be read."""
    size = -(-min(max(count, 0), _FD_SETSIZE) // 64) * 8
    data = peek(mm, address, size)
    if len(data) < size:
        return None
    bits = int.from_bytes(data, "little")
    return [number for number in range(min(max(count, 0), 8 * size)) if bits >> number & 1]


def _descriptors_text(mm: MemoryDescriptor, count: int, address: int) -> str:
    found = _members(mm, count, address) if address else None
    if found is None:
        return address_text(address)
    return f"[{' '.join(map(str, found))}]"


def _poll(task: Task, texts: Texts, arguments: Arguments) -> Texts:
    polled = _polled(task.mm, arguments)
    if polled is None:
        return texts
    items = [f"{{fd={each.fd}, events={flags_text(PollEvent, each.events & 0xFFFF)}}}" for each in polled]
    return [list_text(items), *texts[1:]]


def _polled(mm: MemoryDescriptor, arguments: Arguments) -> list[Pollfd] | None:
    count = min(arguments[1], LIST_LIMIT)
    data = peek(mm, arguments[0].address, Pollfd.SIZE * count)
    return Pollfd.unpack_array(data) if len(data) == Pollfd.SIZE * count else None


def _futex(_task: Task, texts: Texts, arguments: Arguments) -> Texts:
    return futex_texts(texts, arguments)


def _without_access_mode(position: int) -> Spelling:
    """Flags of open(2) in a call that opens nothing: there's no O_RDONLY."""

    def form(_task: Task, texts: Texts, _arguments: Arguments) -> Texts:
        text = texts[position] or ""
        bare = text.removeprefix(_NO_ACCESS_MODE).removeprefix("|") or "0"
        return [*texts[:position], bare, *texts[position + 1 :]]

    return form


def _device(position: int) -> Spelling:
    """A device's number, which other files than devices don't have."""

    def form(_task: Task, texts: Texts, arguments: Arguments) -> Texts:
        if arguments[position - 1] & FILE_TYPE not in DEVICE_TYPES:
            return texts[:position]
        return [*texts[:position], device_text(arguments[position])]

    return form


def _memfd_create(task: Task, texts: Texts, arguments: Arguments) -> Texts:
    name = peek_cstring(task.mm, arguments[0], STRING_LIMIT + 1)
    return texts if name is None else [quoted(name), *texts[1:]]


def _access(position: int) -> Spelling:
    """R_OK comes first, whatever the bits are."""

    def form(_task: Task, texts: Texts, _arguments: Arguments) -> Texts:
        text = texts[position] or ""
        return [*texts[:position], "|".join(reversed(text.split("|"))), *texts[position + 1 :]]

    return form


def _known_later(position: int) -> Spelling:
    """An argument that the declaration calls an address, and that the call fills."""

    def form(_task: Task, texts: Texts, _arguments: Arguments) -> Texts:
        return [*texts[:position], None, *texts[position + 1 :]]

    return form


def _execve(position: int) -> Spelling:
    """The environment by its length."""

    def form(task: Task, texts: Texts, arguments: Arguments) -> Texts:
        count = _string_count(task.mm, arguments[position])
        text = texts[position] or ""
        if count is not None:
            text += f" {variables_text(count)}"
        return [*texts[:position], text, *texts[position + 1 :]]

    return form


def variables_text(count: int) -> str:
    """How many variables an environment has."""
    return f"/* {count} var{'s' if count != 1 else ''} */"


def _string_count(mm: MemoryDescriptor, address: int) -> int | None:
    if not address:
        return None
    for count in range(_MOST_STRINGS):
        word = peek(mm, address + 8 * count, 8)
        if len(word) < 8:
            return None
        if not any(word):
            return count
    return None


def _statx(_task: Task, texts: Texts, arguments: Arguments) -> Texts:
    flags = arguments[2]
    if flags & AT_STATX_SYNC_TYPE:
        return texts
    rest = f"|{texts[2]}" if flags else ""
    return [*texts[:2], f"AT_STATX_SYNC_AS_STAT{rest}", *texts[3:]]


SPELT_AT_ENTRY: dict[str, Spelling] = {
    "access": _access(1),
    "clone": _clone,
    "clone3": _clone3,
    "dup3": _without_access_mode(2),
    "faccessat": _access(2),
    "faccessat2": _access(2),
    "execve": _execve(2),
    "execveat": _execve(3),
    "fcntl": _fcntl,
    "futex": _futex,
    "getdents64": _known_later(1),
    "getgroups": _known_later(1),
    "ioctl": _ioctl,
    "memfd_create": _memfd_create,
    "mknod": _device(2),
    "mknodat": _device(3),
    "mmap": _mmap,
    "pipe2": _without_access_mode(1),
    "poll": _poll,
    "ppoll": _poll,
    "prctl": _prctl,
    "pselect6": _select,
    "rseq": _rseq,
    "sched_getaffinity": _known_later(2),
    "select": _select,
    "socket": _socket,
    "socketpair": _socket,
    "statx": _statx,
    "wait4": _wait4,
}


_WRITTEN_WHEN: dict[str, Callable[[int], bool]] = {
    "clock_nanosleep": lambda result: result < 0,
    "nanosleep": lambda result: result < 0,
    "wait4": lambda result: result > 0,
}
"""With what results these calls have written something."""


def _entry_count(data: bytes) -> int:
    """How many struct linux_dirent64 follow each other."""
    count = at = 0
    while at + 18 < len(data):
        at += int.from_bytes(data[at + 16 : at + 18], "little") or len(data)
        count += 1
    return count


def text_at_return(name: str, task: Task, arguments: Arguments, position: int, result: int) -> str | None:
    """What an argument that wasn't known at entry has become; None if the declaration tells."""
    mm = task.mm
    if name in ("pipe", "pipe2", "socketpair") and result >= 0:
        return _pair_text(mm, arguments[position].address)
    if name == "ioctl":
        address = arguments[2]
        if result < 0 or not address:
            return address_text(address)
        if arguments[1] in _WINDOW_SIZES:
            data = peek(mm, address, Winsize.SIZE)
            return (
                structure_text(Winsize.unpack(data)) if len(data) == Winsize.SIZE else address_text(address)
            )
        return _int_text(mm, address)
    if name == "fcntl":
        return address_text(arguments[2]) if result < 0 else _lock_text(mm, arguments[2])
    if name == "prctl":
        text = peek_cstring(mm, arguments[1], _NAME_BYTES) if result >= 0 else None
        return address_text(arguments[1]) if text is None else quoted(text)
    if name in _WRITTEN_WHEN and not _WRITTEN_WHEN[name](result):
        address = arguments[position]
        return address_text(address if isinstance(address, int) else address.address)
    if name == "getdents64":
        shown = address_text(arguments[1])
        if result < 0:
            return shown
        count = _entry_count(peek(mm, arguments[1], result))
        return f"{shown} /* {count} entr{'ies' if count != 1 else 'y'} */"
    if name == "getgroups":
        if result < 0 or (result and not arguments[0]):
            return address_text(arguments[1])
        data = peek(mm, arguments[1], 4 * result) if arguments[0] else b""
        return list_text(str(int.from_bytes(data[at : at + 4], "little")) for at in range(0, len(data), 4))
    if name == "sched_getaffinity":
        bits = int.from_bytes(peek(mm, arguments[2], result), "little") if result > 0 else 0
        numbers = (str(number) for number in range(8 * max(result, 0)) if bits >> number & 1)
        return f"[{' '.join(numbers)}]" if result > 0 else address_text(arguments[2])
    if name == "getcwd" and result > 0:
        data = peek(mm, arguments[0], result - 1)
        return quoted(data, len(data))
    if name == "getrandom" and result > 0:
        data = peek(mm, arguments[0], min(result, LIST_LIMIT))
        return '"' + "".join(f"\\x{byte:02x}" for byte in data) + '"' + ("..." if result > LIST_LIMIT else "")
    return None


EXPLAINED_RESULTS = frozenset(("fcntl", "poll", "ppoll", "prctl", "pselect6", "select", "umask"))
"""The calls for which there's a `result_text`."""


def result_text(name: str, task: Task, arguments: Arguments, result: int) -> str | None:
    """A result that strace explains, or writes otherwise; None for a plain number."""
    if name in ("poll", "ppoll"):
        if not result:
            return "0 (Timeout)"
        polled = _polled(task.mm, arguments)
        ready = [each for each in polled or [] if each.revents]
        items = (
            f"{{fd={each.fd}, revents={flags_text(PollEvent, each.revents & 0xFFFF)}}}" for each in ready
        )
        return f"{result} ({list_text(items)})"
    if name in ("select", "pselect6"):
        return _select_result(task.mm, name, arguments, result)
    if name == "fcntl" and arguments[1] == FcntlCommand.F_GETFL:
        return f"{f'{result:#x}' if result else '0'} (flags {flags_text(OpenFlag, result)})"
    if name == "fcntl" and arguments[1] == FcntlCommand.F_GETFD:
        return f"{result:#x} (flags {flags_text(FdFlag, result)})" if result else "0"
    if name == "umask":
        return f"0{result:o}".zfill(3)
    if name == "prctl" and arguments[0] == PrctlOption.PR_GET_DUMPABLE and result < len(_DUMPABLE):
        return f"{result} ({_DUMPABLE[result]})"
    return None


def _select_result(mm: MemoryDescriptor, name: str, arguments: Arguments, result: int) -> str:
    if not result:
        return "0 (Timeout)"
    parts: list[str] = []
    for what, address in zip(("in", "out", "except"), arguments[1:4], strict=True):
        found = _members(mm, arguments[0], address) if address else None
        if found:
            parts.append(f"{what} [{' '.join(map(str, found))}]")
    if arguments[4]:
        layout = Timespec if name == "pselect6" else Timeval
        data = peek(mm, arguments[4].address, layout.SIZE)
        if len(data) == layout.SIZE:
            parts.append(f"left {structure_text(layout.unpack(data))}")
    return f"{result} ({', '.join(parts)})"


def mask_text(mask: int) -> str:
    """What rt_sigreturn(2) puts back."""
    return f"{{mask={signal_set_text(mask)}}}"
