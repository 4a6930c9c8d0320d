"""The echo of what is typed: queued, and shown as soon as there is room at the far end."""

from __future__ import annotations

from collections import deque

from procession.abi.word import pack_u8
from procession.fs.terminal.output_processing import BACKSPACE, TAB, OutputProcessing, is_control

_LIMIT = 4096 - 64
"""What may wait to be shown; more drops the oldest (Linux: drivers/tty/n_tty.c, ECHO_DISCARD_WATERMARK)."""
_TAB_WIDTH = 8
_LITERAL_FF = 0xFF

# What is in the queue: characters as they are, characters of which 64 less is shown behind a ^, and what
# only moves the cursor that is kept count of.
_CARET = 0x100
_BEGIN_LINE = 0x200
_MOVE_BACK = 0x201
_ERASE_TAB = 0x400
_AFTER_TAB = 0x80


class EchoQueue:
    """What is still to be echoed (Linux: drivers/tty/n_tty.c, echo_buf).

    `shows_control` says whether control characters are shown as ^X (ECHOCTL).
    """

    __slots__ = ("operations", "output", "shows_control")

    def __init__(self, output: OutputProcessing) -> None:
        self.output = output
        self.operations: deque[int] = deque()
        self.shows_control = False

    def clear(self) -> None:
        """Forget what hasn't been shown."""
        self.operations.clear()

    def add_raw(self, *characters: int) -> None:
        """Echo characters as they are. Linux: drivers/tty/n_tty.c, echo_char_raw."""
        self.operations.extend(characters)

    def add(self, character: int) -> None:
        """Echo a character, a control character perhaps as ^X. Linux: drivers/tty/n_tty.c, echo_char."""
        if self.shows_control and is_control(character) and character != TAB:
            character |= _CARET
        self.operations.append(character)

    def add_printable(self, characters: bytes) -> None:
        """Echo characters none of which is a control character."""
        self.operations.extend(characters)

    def begin_line(self) -> None:
        """Remember that the line which is being typed begins here.

        Linux: drivers/tty/n_tty.c, echo_set_canon_col.
        """
        self.operations.append(_BEGIN_LINE)

    def move_back(self) -> None:
        """The cursor is a column further to the left than it seems.

        Linux: drivers/tty/n_tty.c, echo_move_back_col.
        """
        self.operations.append(_MOVE_BACK)

    def erase_tab(self, width_before: int, is_after_tab: bool) -> None:
        """Go back over a tab that came `width_before` columns after the line's begin or another tab.

        Linux: drivers/tty/n_tty.c, echo_erase_tab.
        """
        self.operations.append(_ERASE_TAB | width_before & 7 | (_AFTER_TAB if is_after_tab else 0))

    def show(self, room: int) -> bytes:
        """Take off the queue what fits into `room` bytes. Linux: drivers/tty/n_tty.c, __process_echoes."""
        operations = self.operations
        shown = bytearray()
        while operations:
            operation = operations[0]
            become = self._show_one(operation, room - len(shown))
            if become is None:
                break
            shown += become
            operations.popleft()
        while len(operations) > _LIMIT:
            operations.popleft()
        return bytes(shown)

    def _show_one(self, operation: int, room: int) -> bytes | None:
        output = self.output
        if operation < _CARET:
            if operation == _LITERAL_FF:
                if not room:
                    return None
                output.column += 1
                return b"\xff"
            if output.is_on:
                return output.convert_one(operation, room)
            return pack_u8(operation) if room else None
        if operation >= _ERASE_TAB:
            before = operation & 0xFF
            if not before & _AFTER_TAB:
                before += output.line_column
            width = _TAB_WIDTH - (before & 7)
            if room < width:
                return None
            output.column = max(output.column - width, 0)
            return bytes((BACKSPACE,)) * width
        if operation == _BEGIN_LINE:
            output.line_column = output.column
            return b""
        if operation == _MOVE_BACK:
            output.column = max(output.column - 1, 0)
            return b""
        if room < 2:
            return None
        output.column += 2
        return b"^" + pack_u8(operation ^ 0x40)
