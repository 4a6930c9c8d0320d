"""Interpreters for kinds of programs that the kernel doesn't know: what binfmt_misc registers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.word import pack_u8
from procession.hardware.kernel_memory import BINARY_FORMAT, BINARY_FORMAT_BYTES, KernelMemory

if TYPE_CHECKING:
    from procession.fs.file import File
    from procession.fs.superblock import Superblock

HEAD_BYTES = 256
"""How much of a file can be matched (Linux: include/uapi/linux/binfmts.h, BINPRM_BUF_SIZE)."""
_SHORTEST_REGISTRATION, _LONGEST_REGISTRATION = 11, 1920
_DIGITS = re.compile(rb"[+-]?[0-9]+")
_ESCAPE = re.compile(rb"\\x([0-9A-Fa-f]{1,2})")
_BROKEN_ESCAPE = re.compile(rb"\\x(?![0-9A-Fa-f]{2})")


class BinaryFormat:
    """One registered format (in Linux, struct binfmt_misc's Node).

    A file matches by its `extension`, or by `magic` at `offset`, whose bits that `mask` has at 0 don't
    count. `flags` are the letters of "POCF" that were given. `interpreter_file` was opened at once for F.
    """

    __slots__ = (
        "extension",
        "flags",
        "interpreter",
        "interpreter_file",
        "is_enabled",
        "magic",
        "mask",
        "name",
        "offset",
    )

    def __init__(self, name: bytes, interpreter: bytes, flags: bytes) -> None:
        self.name = name
        self.interpreter = interpreter
        self.flags = flags
        self.is_enabled = True
        self.extension: bytes | None = None
        self.magic = b""
        self.mask: bytes | None = None
        self.offset = 0
        self.interpreter_file: File | None = None

    def matches(self, name: bytes, head: bytes) -> bool:
        """Whether the file called `name` that starts with `head` is of this format."""
        if not self.is_enabled:
            return False
        if self.extension is not None:
            _, dot, extension = name.rpartition(b".")
            return bool(dot) and extension == self.extension
        found = head[self.offset : self.offset + len(self.magic)].ljust(len(self.magic), b"\0")
        if self.mask is None:
            return found == self.magic
        return not any(
            (byte ^ wanted) & bits for byte, wanted, bits in zip(found, self.magic, self.mask, strict=True)
        )

    def describe(self) -> bytes:
        """What its file shows. Linux: fs/binfmt_misc.c, entry_status."""
        lines = [b"enabled" if self.is_enabled else b"disabled", b"interpreter " + self.interpreter]
        lines.append(b"flags: " + self.flags)
        if self.extension is not None:
            lines.append(b"extension ." + self.extension)
        else:
            lines += [b"offset %d" % self.offset, b"magic " + self.magic.hex().encode()]
            if self.mask is not None:
                lines.append(b"mask " + self.mask.hex().encode())
        return b"\n".join(lines) + b"\n"

    def put(self) -> None:
        """It isn't registered any more."""
        if self.interpreter_file is not None:
            self.interpreter_file.inode.allow_write_access()
            self.interpreter_file.put()
            self.interpreter_file = None


class BinaryFormats:
    """All registered formats, by name in the order of registration: the newest is tried first.

    `superblock` is the one file system that shows them, None while it's mounted nowhere.
    """

    __slots__ = ("account", "formats", "is_enabled", "superblock")

    def __init__(self, account: KernelMemory) -> None:
        self.account = account
        self.formats: dict[bytes, BinaryFormat] = {}
        self.is_enabled = True
        self.superblock: Superblock | None = None

    def find(self, name: bytes, head: bytes) -> BinaryFormat | None:
        """The format of the file called `name`, whose first bytes are `head`.

        Linux: fs/binfmt_misc.c, search_binfmt_handler.
        """
        if self.is_enabled:
            for found in reversed(self.formats.values()):
                if found.matches(name, head):
                    return found
        return None

    def remove(self, name: bytes) -> None:
        """Forget one."""
        found = self.formats.pop(name, None)
        if found is not None:
            self.account.uncharge(BINARY_FORMAT, BINARY_FORMAT_BYTES)
            found.put()

    def add(self, added: BinaryFormat) -> None:
        """Register one, whose name nobody has. Raises OutOfFrames."""
        self.account.charge(BINARY_FORMAT, BINARY_FORMAT_BYTES)
        self.formats[added.name] = added

    def clear(self) -> None:
        """Forget all."""
        for name in list(self.formats):
            self.remove(name)


def parse_registration(line: bytes) -> BinaryFormat:
    """The format that `:name:type:offset:magic:mask:interpreter:flags` describes, whatever the delimiter.

    Raises EINVAL. Linux: fs/binfmt_misc.c, create_entry.
    """
    if not _SHORTEST_REGISTRATION <= len(line) <= _LONGEST_REGISTRATION:
        raise EINVAL("too short or too long")
    delimiter = line[:1]
    padding = delimiter * 8
    text = line[1:] + padding
    name, text = _field(text, delimiter)
    if name in {b"", b".", b".."} or b"/" in name:
        raise EINVAL("no name of a file")
    kind, text = text[:1], text[1:]
    if kind not in {b"E", b"M"} or text[:1] != delimiter:
        raise EINVAL("the type is neither E nor M")
    offset, text = _field(text[1:], delimiter)
    extension: bytes | None = None
    magic, mask = b"", None
    if kind == b"E":
        extension, text = _field(text, delimiter)
        if not extension or b"/" in extension:
            raise EINVAL("no file name extension")
        _, text = _field(text, delimiter)
    else:
        magic, text = _bytes_field(text, delimiter)
        mask, text = _bytes_field(text, delimiter)
        if offset and not _DIGITS.fullmatch(offset):
            raise EINVAL("the offset isn't a number")
        if not 0 <= int(offset or b"0") <= HEAD_BYTES - len(magic) or not magic:
            raise EINVAL("no magic within the first 256 bytes")
        if mask and len(mask) != len(magic):
            raise EINVAL("magic and mask differ in length")
    interpreter, text = _field(text, delimiter)
    if not interpreter:
        raise EINVAL("no interpreter")
    given = text[: len(text) - len(text.lstrip(b"POCF"))]
    if text[len(given) :].removeprefix(b"\n") != padding:
        raise EINVAL("unknown flags, or no end")
    flags = bytes(flag for flag in b"POCF" if flag in given or (flag == ord("O") and ord("C") in given))
    found = BinaryFormat(name, interpreter, flags)
    if extension is not None:
        found.extension = extension
    else:
        found.magic, found.mask, found.offset = magic, mask or None, int(offset or b"0")
    return found


def _field(text: bytes, delimiter: bytes) -> tuple[bytes, bytes]:
    """What stands before the first delimiter, and the rest. Raises EINVAL if there is none."""
    field, found, rest = text.partition(delimiter)
    if not found:
        raise EINVAL("a field is missing")
    return field, rest


def _bytes_field(text: bytes, delimiter: bytes) -> tuple[bytes, bytes]:
    """A field whose `\\xHH` stand for bytes, and the rest. Raises EINVAL.

    Linux: fs/binfmt_misc.c, scanarg.
    """
    field, rest = _field(text, delimiter)
    if _BROKEN_ESCAPE.search(field):
        raise EINVAL("\\x without two digits")
    return _ESCAPE.sub(lambda match: pack_u8(int(match[1], 16)), field), rest
