"""What a terminal does to the characters that it shows: newlines, tabs, columns (OPOST of termios(3))."""

from __future__ import annotations

from procession.abi.word import pack_u8
from procession.fs.terminal.modes import (
    IUTF8,
    OCRNL,
    OLCUC,
    ONLCR,
    ONLRET,
    ONOCR,
    OPOST,
    TABDLY,
    XTABS,
    TerminalModes,
    cooked_modes,
)

NEWLINE, RETURN, TAB, BACKSPACE = 10, 13, 9, 8
_TAB_WIDTH = 8
_UNUSUAL = ONLRET | ONOCR | OCRNL | OLCUC | TABDLY
_LATIN_LOWER = frozenset({*range(0xDF, 0x100)} - {0xF7})
_PRINTABLE = bytes(range(32, 127))


def is_control(character: int) -> bool:
    """Whether it has no picture of its own, as the kernel sees it: 0 to 31 and 127."""
    return character < 32 or character == 127


def to_upper(character: int) -> int:
    """In Latin-1, as the kernel does it. Linux: include/linux/ctype.h, __toupper."""
    if 97 <= character <= 122 or character in _LATIN_LOWER:
        return character - 32
    return character


def to_lower(character: int) -> int:
    """In Latin-1, as the kernel does it. Linux: include/linux/ctype.h, __tolower."""
    if 65 <= character <= 90 or (0xC0 <= character <= 0xDE and character != 0xD7):
        return character + 32
    return character


class OutputProcessing:
    """The way from a program's writes to the terminal's far end (Linux: drivers/tty/n_tty.c).

    `column` is where the cursor is taken to be, `line_column` where the line that is being typed began.
    """

    __slots__ = ("column", "is_usual", "is_utf8", "line_column", "output")

    def __init__(self) -> None:
        self.column = 0
        self.line_column = 0
        self.set_modes(cooked_modes())

    def set_modes(self, modes: TerminalModes) -> None:
        """Look up what the flags say."""
        self.output = modes.output
        self.is_utf8 = bool(modes.input & IUTF8)
        self.is_usual = modes.output & (_UNUSUAL | ONLCR | OPOST) == ONLCR | OPOST

    @property
    def is_on(self) -> bool:
        """Whether characters are touched at all."""
        return bool(self.output & OPOST)

    def convert(self, data: bytes, room: int) -> tuple[bytes, int]:
        """What `data` becomes, as far as that fits into `room` bytes, and how much of `data` that is.

        Linux: drivers/tty/n_tty.c, process_output_block, process_output.
        """
        if self.is_usual and len(data) + data.count(b"\n") <= room:
            end = max(data.rfind(b"\n"), data.rfind(b"\r"))
            if end >= 0:
                self.column = self.line_column = 0
            rest = data[end + 1 :]
            if not rest.translate(None, _PRINTABLE):
                self.column += len(rest)
            else:
                for character in rest:
                    self._move(character)
            return data.replace(b"\n", b"\r\n"), len(data)
        shown = bytearray()
        for count, character in enumerate(data):
            become = self.convert_one(character, room - len(shown))
            if become is None:
                return bytes(shown), count
            shown += become
        return bytes(shown), len(data)

    def convert_one(self, character: int, room: int) -> bytes | None:
        """What one character becomes; None if that doesn't fit into `room` bytes.

        Linux: drivers/tty/n_tty.c, do_output_char.
        """
        if room <= 0:
            return None
        output = self.output
        if character == NEWLINE:
            if output & ONLRET:
                self.column = 0
            if output & ONLCR:
                if room < 2:
                    return None
                self.line_column = self.column = 0
                return b"\r\n"
            self.line_column = self.column
        elif character == RETURN:
            if output & ONOCR and not self.column:
                return b""
            if output & OCRNL:
                if output & ONLRET:
                    self.line_column = self.column = 0
                return b"\n"
            self.line_column = self.column = 0
        elif character == TAB:
            width = _TAB_WIDTH - self.column % _TAB_WIDTH
            if output & TABDLY == XTABS:
                if room < width:
                    return None
                self.column += width
                return b" " * width
            self.column += width
        else:
            if output & OLCUC:
                character = to_upper(character)
            self._move(character)
        return pack_u8(character)

    def _move(self, character: int) -> None:
        """Where the cursor is after a character that is none of those that end a line."""
        if character == TAB:
            self.column += _TAB_WIDTH - self.column % _TAB_WIDTH
        elif character == BACKSPACE:
            self.column = max(self.column - 1, 0)
        elif not is_control(character) and not (self.is_utf8 and character & 0xC0 == 0x80):
            self.column += 1
