"""Configuring a file system to be made or changed: at once by mount(2), by steps after fsopen(2)."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

from procession.abi.errno import EBUSY, EINVAL, EPERM, Errno
from procession.abi.mount_flags import MountFlag
from procession.fs.dentry import Path
from procession.fs.permission import CAP_SYS_ADMIN
from procession.fs.user_namespace import NO_ID

if TYPE_CHECKING:
    from procession.fs.dentry import Dentry
    from procession.fs.file import File
    from procession.fs.file_system_type import FileSystemType
    from procession.fs.namespace import Namespace
    from procession.fs.superblock import Superblock
    from procession.fs.user_namespace import UserNamespace

MS_RDONLY = int(MountFlag.MS_RDONLY)
MS_SYNCHRONOUS = int(MountFlag.MS_SYNCHRONOUS)
MS_MANDLOCK = int(MountFlag.MS_MANDLOCK)
MS_DIRSYNC = int(MountFlag.MS_DIRSYNC)
MS_LAZYTIME = int(MountFlag.MS_LAZYTIME)
SUPERBLOCK_FLAGS = MS_RDONLY | MS_SYNCHRONOUS | MS_MANDLOCK | MS_DIRSYNC | MS_LAZYTIME
"""The flags of mount(2) that are a file system's, not a mount's."""
REMOUNT_FLAGS = MS_RDONLY | MS_SYNCHRONOUS | MS_MANDLOCK | MS_LAZYTIME
"""Those that may change later (MS_RMT_MASK)."""

_SET_FLAGS = {
    b"dirsync": MS_DIRSYNC,
    b"lazytime": MS_LAZYTIME,
    b"mand": MS_MANDLOCK,
    b"ro": MS_RDONLY,
    b"sync": MS_SYNCHRONOUS,
}
_CLEAR_FLAGS = {
    b"async": MS_SYNCHRONOUS,
    b"nolazytime": MS_LAZYTIME,
    b"nomand": MS_MANDLOCK,
    b"rw": MS_RDONLY,
}
_MAXIMUM_MESSAGES = 8


class ParameterKind(IntEnum):
    """What a parameter's value is (Linux: include/linux/fs_context.h, enum fs_value_type)."""

    FLAG = 1
    STRING = 2
    BINARY = 3
    PATH = 4
    FILE = 6


class Parameter:
    """A named value for a file system (Linux: include/linux/fs_context.h, struct fs_parameter).

    `text` is a string or path as given.
    """

    __slots__ = ("file", "key", "kind", "start", "text")

    def __init__(
        self,
        key: bytes,
        kind: int,
        text: bytes = b"",
        *,
        start: Path | None = None,
        file: File | None = None,
    ) -> None:
        self.key = key
        self.kind = kind
        self.text = text
        self.start = start
        self.file = file


class Phase(IntEnum):
    """How far a context has come (Linux: include/linux/fs_context.h, enum fs_context_phase)."""

    CREATE_PARAMETERS = 0
    AWAITING_MOUNT = 2
    AWAITING_RECONFIGURATION = 3
    RECONFIGURATION_PARAMETERS = 4
    FAILED = 6


class MountContext:
    """A file system that is being configured (Linux: include/linux/fs_context.h, struct fs_context).

    `kernel` and `task` are the machine's kernel and who began it; `task` is None between its calls.
    `values` are the parameters that the type has understood, by name. `flags` are the MS_* of the file
    system, of which `flags_mask` were said at all. `owner` is the user namespace that the file system is to
    belong to. `superblock` is there once it's made, or from the start where one is changed; `root` is what
    of it is to be seen, None for all. `messages` are for whoever reads the file descriptor of fsopen(2), None
    for mount(2).
    """

    __slots__ = (
        "flags",
        "flags_mask",
        "is_exclusive",
        "is_for_mount",
        "is_old_call",
        "kernel",
        "messages",
        "namespace",
        "owner",
        "phase",
        "root",
        "source",
        "subject",
        "superblock",
        "task",
        "type",
        "values",
    )

    def __init__(self, kind: FileSystemType, task: Any, superblock: Superblock | None = None) -> None:
        self.type = kind
        self.kernel: Any = task.kernel
        self.task: Any = task
        self.subject: Any = task.credentials
        self.values: dict[str, Any] = {}
        # Which namespace the file system is to show, for a kind that shows one; it's held.
        self.namespace: Any = None
        self.flags = 0
        self.flags_mask = 0
        self.source: bytes | None = None
        self.owner: UserNamespace = task.credentials.user_namespace
        self.superblock = superblock
        self.root: Dentry | None = None
        self.is_for_mount = superblock is None
        self.is_exclusive = False
        self.is_old_call = False
        self.messages: list[bytes] | None = None
        self.phase: int = Phase.CREATE_PARAMETERS
        if superblock is not None:
            self.phase = Phase.RECONFIGURATION_PARAMETERS
            self.owner = superblock.owner
            superblock.mount_count += 1
        kind.begin(self)

    def show_namespace(self, namespace: Namespace) -> None:
        """The file system is to show `namespace`, and belongs to its owner."""
        if self.namespace is not None:
            self.namespace.put()
        namespace.acquire()
        self.namespace = namespace
        if self.superblock is None:
            self.owner = namespace.owner

    # What went wrong

    def note(self, message: str, *, names_type: bool = True) -> None:
        """Tell who configures it what is wrong. Linux: fs/fs_context.c, logfc."""
        messages = self.messages
        if messages is not None:
            prefix = self.type.name + b": " if names_type else b""
            messages.append(b"e " + prefix + message.encode(errors="surrogateescape") + b"\n")
            del messages[:-_MAXIMUM_MESSAGES]

    def refuse(self, message: str, *, names_type: bool = True) -> Errno:
        """EINVAL, with the reason for the trace and for who configures it. It's Linux's invalfc."""
        self.note(message, names_type=names_type)
        return EINVAL(message.strip())

    def bad_value(self, parameter: Parameter) -> Errno:
        """EINVAL for a value that doesn't fit. Linux: fs/fs_parser.c, fs_param_bad_value."""
        return self.refuse(f"Bad value for '{_text(parameter.key)}'")

    # Values of parameters. Linux: fs/fs_parser.c

    def check_flag(self, parameter: Parameter) -> None:
        """Raise EINVAL for a value where there is none to have. Linux: fs/fs_parser.c, __fs_parse."""
        if parameter.kind != ParameterKind.FLAG:
            raise self.refuse(f"Unexpected value for '{_text(parameter.key)}'")

    def string(self, parameter: Parameter) -> bytes:
        """A string that isn't empty. Raises EINVAL. Linux: fs/fs_parser.c, fs_param_is_string."""
        if parameter.kind != ParameterKind.STRING or not parameter.text:
            raise self.bad_value(parameter)
        return parameter.text

    def number(self, parameter: Parameter, base: int = 0) -> int:
        """A number of 32 bits. Raises EINVAL. Linux: fs/fs_parser.c, fs_param_is_u32."""
        number = parse_number(self.string(parameter), base)
        if number is None or number >= 1 << 32:
            raise self.bad_value(parameter)
        return number

    def signed_number(self, parameter: Parameter) -> int:
        """A number of 32 bits with a sign. Raises EINVAL. Linux: fs/fs_parser.c, fs_param_is_s32."""
        text = self.string(parameter)
        is_negative = text.startswith(b"-")
        number = parse_number(text.removeprefix(b"-")) if text[1:2] != b"+" or not is_negative else None
        if number is None or number >= (1 << 31) + is_negative:
            raise self.bad_value(parameter)
        return -number if is_negative else number

    def identity(self, parameter: Parameter, what: str) -> int:
        """A user or group id that the owner's user namespace knows. Raises EINVAL.

        Linux: fs/fs_parser.c, fs_param_is_uid.
        """
        try:
            number = self.number(parameter)
        except EINVAL:
            # Linux says it once as of any number and once more as of an id.
            raise self.bad_value(parameter) from None
        owner = self.owner
        kernel_id = owner.make_kuid(number) if what == "uid" else owner.make_kgid(number)
        if kernel_id == NO_ID:
            raise self.refuse(f"Invalid {what} '{_text(parameter.text)}'")
        return kernel_id

    # What whoever configures it does

    def add(self, parameter: Parameter) -> None:
        """Take a parameter. Raises EINVAL, EBUSY. Linux: fs/fs_context.c, vfs_parse_fs_param."""
        if self.phase == Phase.AWAITING_RECONFIGURATION:
            self._begin_reconfiguration()
        if self.phase not in (Phase.CREATE_PARAMETERS, Phase.RECONFIGURATION_PARAMETERS):
            raise EBUSY("nothing can be set now")
        key = parameter.key
        if not key:
            raise self.refuse("Unnamed parameter\n", names_type=False)
        if key in _SET_FLAGS:
            self.flags |= _SET_FLAGS[key]
            self.flags_mask |= _SET_FLAGS[key]
        elif key in _CLEAR_FLAGS:
            self.flags &= ~_CLEAR_FLAGS[key]
            self.flags_mask |= _CLEAR_FLAGS[key]
        elif not self.type.parse(self, parameter):
            if key != b"source":
                raise self.refuse(f"Unknown parameter '{_text(key)}'")
            if parameter.kind != ParameterKind.STRING:
                raise self.refuse("Non-string source", names_type=False)
            if self.source is not None:
                raise self.refuse("Multiple sources", names_type=False)
            self.source = parameter.text

    def add_options(self, options: bytes) -> None:
        """Take the comma-separated options of mount(2). Linux: fs/fs_context.c, generic_parse_monolithic."""
        for option in self.type.split_options(options):
            key, sign, value = option.partition(b"=")
            if sign and key:
                self.add(Parameter(key, ParameterKind.STRING, value))
            elif key:
                self.add(Parameter(key, ParameterKind.FLAG))

    def create(self) -> Superblock:
        """Make the file system, or find it where there is only one. Raises EBUSY, EPERM and others.

        Linux: fs/fsopen.c, vfs_cmd_create; fs/super.c, vfs_get_tree.
        """
        if self.phase != Phase.CREATE_PARAMETERS:
            raise EBUSY("already made")
        self.check_capability()
        self.phase = Phase.FAILED
        superblock = self.type.get_tree(self)
        is_new = not superblock.mount_count and not superblock.is_set_up
        if self.is_exclusive and not is_new:
            raise EBUSY("it's there already")
        if is_new:
            superblock.is_set_up = True
            superblock.owner = self.type.owner_of_tree(self)
            superblock.flags = self.flags & SUPERBLOCK_FLAGS
            superblock.is_read_only = bool(self.flags & MS_RDONLY)
            superblock.type = self.type
        self.superblock = superblock
        superblock.mount_count += 1
        self.phase = Phase.AWAITING_MOUNT
        return superblock

    def close(self) -> None:
        """Nobody configures it any more. Linux: fs/fs_context.c, put_fs_context."""
        namespace, self.namespace = self.namespace, None
        if namespace is not None:
            namespace.put()
        superblock, self.superblock = self.superblock, None
        if superblock is not None:
            superblock.drop_mount()

    def check_capability(self) -> None:
        """Raise EPERM unless the caller may mount this kind. Linux: fs/super.c, mount_capable."""
        owner = self.owner if self.type.is_for_users else self.kernel.vfs.init_user_namespace
        if not self.task.credentials.ns_capable(owner, CAP_SYS_ADMIN):
            raise EPERM(f"mounting {_text(self.type.name)} takes CAP_SYS_ADMIN")

    def reconfigure(self) -> None:
        """Change the file system as said. Raises EBUSY, EPERM, EINVAL.

        Linux: fs/fsopen.c, vfs_cmd_reconfigure.
        """
        if self.phase == Phase.AWAITING_RECONFIGURATION:
            self._begin_reconfiguration()
        superblock = self.superblock
        if self.phase != Phase.RECONFIGURATION_PARAMETERS or superblock is None:
            raise EBUSY("nothing to change now")
        self.phase = Phase.FAILED
        if not self.task.credentials.ns_capable(superblock.owner, CAP_SYS_ADMIN):
            raise EPERM("changing a file system takes CAP_SYS_ADMIN")
        if self.flags_mask & ~REMOUNT_FLAGS:
            # Linux: fs/super.c, reconfigure_super.
            raise EINVAL("it can't be changed any more")
        becomes_read_only = bool(self.flags & self.flags_mask & MS_RDONLY) and not superblock.is_read_only
        if becomes_read_only and superblock.writer_count:
            raise EBUSY("a file is open for writing")
        self.type.reconfigure(self, superblock)
        superblock.flags = superblock.flags & ~self.flags_mask | self.flags & self.flags_mask
        superblock.is_read_only = bool(superblock.flags & MS_RDONLY)
        self.finish()

    def finish(self) -> None:
        """It's mounted, or changed: what comes next changes it again.

        Linux: fs/fs_context.c, vfs_clean_context.
        """
        self.values = {}
        self.flags = 0
        self.source = None
        self.is_exclusive = False
        self.is_for_mount = False
        self.phase = Phase.AWAITING_RECONFIGURATION

    def _begin_reconfiguration(self) -> None:
        """Linux: fs/fs_context.c, finish_clean_context."""
        self.type.begin(self)
        self.phase = Phase.RECONFIGURATION_PARAMETERS


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


_TOO_MANY_DIGITS = 65


def parse_number(text: bytes, base: int = 0) -> int | None:
    """An unsigned number as the kernel reads it, None if it isn't one. Linux: lib/kstrtox.c, kstrtoull."""
    text = text.removesuffix(b"\n").removeprefix(b"+")
    if base == 0:
        base = 10
        if text[:1] == b"0" and len(text) > 1:
            base = 16 if text[1:2] in (b"x", b"X") and len(text) > 2 else 8
    if base == 16 and text[:2] in (b"0x", b"0X"):
        text = text[2:]
    if not text.isalnum():
        return None
    try:
        # As many digits are too large a number in any base.
        return int(text.lstrip(b"0")[:_TOO_MANY_DIGITS] or b"0", base)
    except ValueError:
        return None


_UNITS = {ord("k"): 10, ord("m"): 20, ord("g"): 30, ord("t"): 40, ord("p"): 50, ord("e"): 60}


def parse_size(text: bytes) -> tuple[int, bytes]:
    """A number with a unit, modulo 2**64, and what comes after it. Linux: lib/cmdline.c, memparse."""
    digits, base, at = b"0123456789", 10, 0
    if text[:2].lower() == b"0x" and text[2:3].lower() in [b"%c" % each for each in b"0123456789abcdef"]:
        digits, base, at = b"0123456789abcdefABCDEF", 16, 2
    elif text[:1] == b"0":
        digits, base = b"01234567", 8
    start = at
    while at < len(text) and text[at] in digits:
        at += 1
    number = int(text[start : min(at, start + 64)], base) if at > start else 0
    if at < len(text):
        shift = _UNITS.get(text[at] | 0x20)
        if shift is not None:
            return number << shift & 0xFFFF_FFFF_FFFF_FFFF, text[at + 1 :]
    return number & 0xFFFF_FFFF_FFFF_FFFF, text[at:]
