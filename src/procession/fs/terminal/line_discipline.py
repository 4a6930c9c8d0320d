"""N_TTY, the line discipline: lines that are edited while they are typed, special characters, raw input."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from procession.abi.signals import Signal
from procession.abi.word import pack_u8
from procession.fs.terminal.echo import EchoQueue
from procession.fs.terminal.modes import (
    DISABLED,
    ECHO,
    ECHOCTL,
    ECHOE,
    ECHOK,
    ECHOKE,
    ECHONL,
    ECHOPRT,
    EXTPROC,
    ICANON,
    ICRNL,
    IEXTEN,
    IGNCR,
    INLCR,
    ISIG,
    ISTRIP,
    IUCLC,
    IUTF8,
    IXANY,
    IXON,
    NOFLSH,
    PARMRK,
    VEOF,
    VEOL,
    VEOL2,
    VERASE,
    VINTR,
    VKILL,
    VLNEXT,
    VMIN,
    VQUIT,
    VREPRINT,
    VSTART,
    VSTOP,
    VSUSP,
    VTIME,
    VWERASE,
    TerminalModes,
)
from procession.fs.terminal.output_processing import (
    NEWLINE,
    RETURN,
    TAB,
    OutputProcessing,
    is_control,
    to_lower,
)

if TYPE_CHECKING:
    from procession.fs.terminal.line_owner import LineOwner

_ECHOED_AT_ONCE = 256
BUFFER_SIZE = 4096
"""How much input is kept.

Linux: include/linux/tty.h, N_TTY_BUF_SIZE; a reader finds at most one byte less.
"""
UNTHROTTLE_THRESHOLD = 128
"""A writer is woken when its reader has no more than this left.

Linux: drivers/tty/n_tty.c, TTY_THRESHOLD_UNTHROTTLE.
"""
SIGINT, SIGQUIT, SIGTSTP = int(Signal.SIGINT), int(Signal.SIGQUIT), int(Signal.SIGTSTP)

_TRANSLATING = ISTRIP | IUCLC | IGNCR | ICRNL | INLCR | IXON | PARMRK
_MARKED = 0xFF
_PRINTABLE = bytes(range(32, 127)) + bytes(range(128, 255))


class LineDiscipline:
    """The input of one terminal, from the far end to read(2) (Linux: drivers/tty/n_tty.c).

    `buffer` holds what came and wasn't read yet; its first byte has the number `tail`, counted since the
    terminal was made. In canonical mode, bytes up to the number `line_head` are in finished lines, whose
    last bytes have the numbers `ends`. A line's end may be DISABLED, which isn't read: an end of file.
    `looked_count` is how often it has looked at a single character, to take it in or to echo it, for which no
    time has been spent yet.
    """

    __slots__ = (
        "buffer",
        "characters",
        "echo",
        "ends",
        "has_literal_next",
        "input",
        "is_canonical",
        "is_erasing",
        "is_raw",
        "line_head",
        "lacks_room",
        "looked_count",
        "local",
        "minimum",
        "ordinary",
        "output",
        "owner",
        "special",
        "tail",
        "tenths",
    )

    def __init__(self, owner: LineOwner, modes: TerminalModes) -> None:
        self.owner = owner
        self.output = OutputProcessing()
        self.echo = EchoQueue(self.output)
        self.buffer = bytearray()
        self.tail = 0
        self.line_head = 0
        self.ends: deque[int] = deque()
        self.is_erasing = False
        self.has_literal_next = False
        # What came is waiting elsewhere because the buffer is full.
        self.lacks_room = False
        self.looked_count = 0
        self.local = self.input = 0
        self.set_modes(modes)

    # Modes

    def set_modes(self, modes: TerminalModes) -> None:
        """Go on with other modes. Linux: drivers/tty/n_tty.c, n_tty_set_termios."""
        old_input, old_local = self.input, self.local
        self.input, self.local = modes.input, modes.local
        self.characters = modes.characters
        if (old_local ^ modes.local) & (ICANON | EXTPROC):
            self.ends.clear()
            self.line_head = self.tail
            if modes.local & ICANON and self.buffer:
                # What came before can be read as if it were a line.
                self.line_head = self.head
                self.ends.append(self.head - 1)
            self.is_erasing = self.has_literal_next = False
        self.is_canonical = bool(modes.local & ICANON) and not modes.local & EXTPROC
        self.minimum = modes.characters[VMIN]
        self.tenths = modes.characters[VTIME]
        self.output.set_modes(modes)
        self.echo.shows_control = bool(modes.local & ECHOCTL)
        self._choose_characters()
        if old_input & IXON and not modes.input & IXON and not self.owner.is_stopped_by_request:
            self.owner.start()
            self.show_echo()

    def _choose_characters(self) -> None:
        """Find out which characters are more than just input."""
        flags, local = self.input, self.local
        self.is_raw = not (flags & _TRANSLATING or local & (ICANON | ISIG | ECHO))
        special: set[int] = set()
        if flags & (IGNCR | ICRNL):
            special.add(RETURN)
        if flags & INLCR:
            special.add(NEWLINE)
        names: list[int] = []
        if local & ICANON:
            special.add(NEWLINE)
            names += (VERASE, VKILL, VEOF, VEOL)
            if local & IEXTEN:
                names += (VWERASE, VLNEXT, VEOL2)
                if local & ECHO:
                    names.append(VREPRINT)
        if flags & IXON:
            names += (VSTART, VSTOP)
        if local & ISIG:
            names += (VINTR, VQUIT, VSUSP)
        special.update(self.characters[name] for name in names)
        special.discard(DISABLED)
        self.special = bytes(sorted(special))
        self.ordinary = _PRINTABLE.translate(None, self.special)

    @property
    def head(self) -> int:
        """The number of the next byte that comes."""
        return self.tail + len(self.buffer)

    # Input

    def receive(self, data: bytes, *, can_wait: bool = True) -> int:
        """Take in what the far end sent; how much of it there was room for.

        With `can_wait` unset the rest is lost. Linux: drivers/tty/n_tty.c, n_tty_receive_buf_common.
        """
        taken = 0
        while True:
            room = BUFFER_SIZE - len(self.buffer)
            if self.input & PARMRK:
                room = -(-room // 3)
            room -= 1
            if room <= 0:
                # A line that is too long loses its last character for each that comes, so that it can end.
                overflows = bool(self.local & ICANON) and self.line_head == self.tail
                if overflows and room < 0:
                    if lost := self._lose_ordinary(data[taken : taken + _ECHOED_AT_ONCE]):
                        taken += lost
                        continue
                    self.buffer.pop()
                room = int(overflows)
                self.lacks_room = can_wait and not overflows
            part = data[taken : taken + room]
            if not part:
                return taken
            self._take_in(part)
            taken += len(part)

    def _lose_ordinary(self, data: bytes) -> int:
        """How many characters of `data`, ordinary ones, each took the last one's place in too long a line."""
        count = len(data) - len(data.lstrip(self.ordinary)) if self._is_plain else 0
        if count:
            self.buffer.pop()
            self._take_ordinary(data[:count])
            del self.buffer[-count:-1]
            if self.local & (ECHO | ECHONL):
                self.show_echo()
        return count

    @property
    def _is_plain(self) -> bool:
        """Whether ordinary characters are taken as they come."""
        changes = self.input & (ISTRIP | IUCLC | IXANY | PARMRK) or self.local & EXTPROC
        return not (self.has_literal_next or changes)

    def _take_in(self, data: bytes) -> None:
        """Linux: drivers/tty/n_tty.c, __receive_buf."""
        if self.is_raw:
            if self.has_literal_next:
                self.has_literal_next = False
            self.buffer += data
        elif self._is_plain and not data.translate(None, self.ordinary):
            self._take_ordinary(data)
        else:
            self.looked_count += len(data)
            for character in data:
                self._take_character(character)
        if self.local & ECHO:
            self.looked_count += len(data)
        if self.local & (ECHO | ECHONL):
            self.show_echo()
        if not self.is_canonical and self.buffer:
            self.owner.wake_readers()

    def _take_ordinary(self, data: bytes) -> None:
        """Characters that are shown as they are and mean nothing."""
        if self.local & ECHO:
            self._finish_erasing()
            if self.line_head == self.head:
                self.echo.begin_line()
            self.echo.add_printable(data)
        self.buffer += data

    def _take_character(self, character: int) -> None:
        """Linux: drivers/tty/n_tty.c, n_tty_receive_buf_standard."""
        if self.input & ISTRIP:
            character &= 0x7F
        if self.input & IUCLC and self.local & IEXTEN:
            character = to_lower(character)
        if self.has_literal_next:
            self.has_literal_next = False
            self._take_plain(character)
        elif self.local & EXTPROC:
            self.buffer.append(character)
        elif character in self.special:
            self._take_special(character)
        else:
            self._take_plain(character)

    def _take_plain(self, character: int) -> None:
        """Linux: drivers/tty/n_tty.c, n_tty_receive_char."""
        self._start_by_any()
        self._echo_plain(character)
        self._put(character)

    def _echo_plain(self, character: int) -> None:
        if self.local & ECHO:
            self._finish_erasing()
            if self.line_head == self.head:
                self.echo.begin_line()
            self.echo.add(character)

    def _put(self, character: int) -> None:
        if character == _MARKED and self.input & PARMRK:
            self.buffer.append(character)
        self.buffer.append(character)

    def _start_by_any(self) -> None:
        owner = self.owner
        if self.input & IXANY and self.input & IXON and owner.is_stopped and not owner.is_stopped_by_request:
            owner.start()
            self.show_echo()

    def _take_special(self, character: int) -> None:
        """Linux: drivers/tty/n_tty.c, n_tty_receive_char_special."""
        flags, local, characters, echo = self.input, self.local, self.characters, self.echo
        if flags & IXON:
            if character == characters[VSTART]:
                self.owner.start()
                self.show_echo()
                return
            if character == characters[VSTOP]:
                self.owner.stop()
                return
        if local & ISIG:
            for name, signo in ((VINTR, SIGINT), (VQUIT, SIGQUIT), (VSUSP, SIGTSTP)):
                if character == characters[name]:
                    self._signal(signo, character)
                    return
        self._start_by_any()
        if character == RETURN:
            if flags & IGNCR:
                return
            if flags & ICRNL:
                character = NEWLINE
        elif character == NEWLINE and flags & INLCR:
            character = RETURN
        if local & ICANON and self._edit(character):
            return
        if local & ECHO:
            if character == NEWLINE:
                self._finish_erasing()
                echo.add_raw(NEWLINE)
            else:
                self._echo_plain(character)
        self._put(character)

    def _edit(self, character: int) -> bool:
        """What a character does to the line that is being typed; False if it's only one more of it."""
        local, characters, echo = self.local, self.characters, self.echo
        is_extended = local & IEXTEN
        if character in (characters[VERASE], characters[VKILL]) or (
            is_extended and character == characters[VWERASE]
        ):
            self._erase(character)
        elif is_extended and character == characters[VLNEXT]:
            self.has_literal_next = True
            if local & ECHO:
                self._finish_erasing()
                if local & ECHOCTL:
                    echo.add_raw(0x5E, 8)
        elif is_extended and local & ECHO and character == characters[VREPRINT]:
            self._finish_erasing()
            echo.add(character)
            echo.add_raw(NEWLINE)
            for typed in bytes(self.buffer[self.line_head - self.tail :]):
                echo.add(typed)
        elif character == NEWLINE:
            if local & (ECHO | ECHONL):
                echo.add_raw(NEWLINE)
            self._end_line(character)
        elif character == characters[VEOF]:
            self._end_line(DISABLED)
        elif character == characters[VEOL] or (is_extended and character == characters[VEOL2]):
            if local & ECHO:
                if self.line_head == self.head:
                    echo.begin_line()
                echo.add(character)
            if character == _MARKED and self.input & PARMRK:
                self.buffer.append(character)
            self._end_line(character)
        else:
            return False
        return True

    def _end_line(self, character: int) -> None:
        self.ends.append(self.head)
        self.buffer.append(character)
        self.line_head = self.head
        self.owner.wake_readers()

    def _signal(self, signo: int, character: int) -> None:
        """Linux: drivers/tty/n_tty.c, n_tty_receive_signal_char, isig."""
        owner = self.owner
        owner.send_signal(signo)
        if not self.local & NOFLSH:
            self.echo.clear()
            owner.flush_output()
            self.flush()
        if self.input & IXON:
            owner.start()
        if self.local & ECHO:
            self.echo.add(character)
        else:
            self.show_echo()

    # Erasing

    def _erase(self, character: int) -> None:
        """Take back a character, a word or the line. Linux: drivers/tty/n_tty.c, eraser."""
        if self.head == self.line_head:
            return
        local, characters, echo = self.local, self.characters, self.echo
        is_one = character == characters[VERASE]
        is_word = not is_one and character == characters[VWERASE]
        start = self.line_head - self.tail
        buffer = self.buffer
        if not is_one and not is_word:
            if not local & ECHO:
                del buffer[start:]
                return
            if not (local & ECHOK and local & ECHOKE and local & ECHOE):
                del buffer[start:]
                self._finish_erasing()
                echo.add(characters[VKILL])
                # Without ECHOK the cursor stays behind the kill character.
                if local & ECHOK:
                    echo.add_raw(NEWLINE)
                return
        has_seen_word = False
        while len(buffer) > start:
            at = len(buffer) - 1
            while self._is_continuation(buffer[at]) and at > start:
                at -= 1
            first = buffer[at]
            if self._is_continuation(first):
                # Half a character isn't taken back.
                break
            if is_word:
                if _is_word_character(first):
                    has_seen_word = True
                elif has_seen_word:
                    break
            erased = bytes(buffer[at:])
            del buffer[at:]
            if local & ECHO:
                self._echo_erased(erased, start, is_one=is_one)
            if is_one:
                break
        if len(buffer) == start and local & ECHO:
            self._finish_erasing()

    def _echo_erased(self, erased: bytes, start: int, *, is_one: bool) -> None:
        """Show that one character, of perhaps several bytes, has gone."""
        local, echo = self.local, self.echo
        first = erased[0]
        if local & ECHOPRT:
            if not self.is_erasing:
                echo.add_raw(0x5C)
                self.is_erasing = True
            echo.add(first)
            for byte in erased[1:]:
                echo.add_raw(byte)
                echo.move_back()
        elif is_one and not local & ECHOE:
            echo.add(self.characters[VERASE])
        elif first == TAB:
            self._echo_erased_tab(start)
        else:
            if is_control(first) and local & ECHOCTL:
                echo.add_raw(8, 32, 8)
            if not is_control(first) or local & ECHOCTL:
                echo.add_raw(8, 32, 8)

    def _echo_erased_tab(self, start: int) -> None:
        """Go back over a tab: how far depends on what came before it, up to another tab or the begin."""
        width = 0
        for character in reversed(self.buffer[start:]):
            if character == TAB:
                self.echo.erase_tab(width, True)
                return
            if is_control(character):
                if self.local & ECHOCTL:
                    width += 2
            elif not self._is_continuation(character):
                width += 1
        self.echo.erase_tab(width, False)

    def _finish_erasing(self) -> None:
        """Close the list of erased characters that ECHOPRT shows."""
        if self.is_erasing:
            self.echo.add_raw(0x2F)
            self.is_erasing = False

    def _is_continuation(self, character: int) -> bool:
        """Whether it's inside a character of UTF-8."""
        return bool(self.input & IUTF8) and character & 0xC0 == 0x80

    # Output

    def show_echo(self) -> None:
        """Send what is to be echoed as far as there is room. Linux: drivers/tty/n_tty.c, process_echoes."""
        if self.echo.operations:
            shown = self.echo.show(self.owner.output_room())
            if shown:
                self.owner.put_output(shown)

    def write(self, data: bytes, *, goes_on: bool = False) -> int:
        """Show what a program writes; how much of it there was room for. `goes_on`: it was tried before.

        Linux: drivers/tty/n_tty.c, n_tty_write.
        """
        if not goes_on:
            self.show_echo()
        owner = self.owner
        if not self.output.is_on:
            return owner.put_output(data)
        shown, count = self.output.convert(data, owner.output_room())
        if shown:
            owner.put_output(shown)
        return count

    # Reading

    def has_input(self, least: int = 1) -> bool:
        """Whether there's a line, or outside canonical mode at least `least` bytes.

        Linux: drivers/tty/n_tty.c, input_available_p.
        """
        if self.is_canonical:
            return self.line_head != self.tail
        return len(self.buffer) >= least

    def poll_has_input(self) -> bool:
        """Whether poll(2) would say that a read won't wait."""
        return self.has_input(self.minimum if self.minimum and not self.tenths else 1)

    @property
    def wait_rule(self) -> tuple[int, int]:
        """For how many bytes a read outside lines waits, and how many tenths of a second (VMIN, VTIME)."""
        # Lines that the far end edits (EXTPROC) come as they are.
        return (1, 0) if self.local & ICANON else (self.minimum, self.tenths)

    def waiting_count(self) -> int:
        """How many bytes can be read (FIONREAD). Linux: drivers/tty/n_tty.c, n_tty_ioctl, inq_canon."""
        if not self.is_canonical:
            return len(self.buffer)
        count = self.line_head - self.tail
        return count - sum(1 for end in self.ends if self.buffer[end - self.tail] == DISABLED)

    def read(self, length: int) -> bytes:
        """Take up to `length` bytes, in canonical mode of one line; only if `has_input`."""
        if not self.is_canonical:
            data = bytes(self.buffer[:length])
            self._drop(len(data))
            if self.local & ICANON and not self.buffer and data == self.characters[VEOF : VEOF + 1]:
                # The far end does the editing (EXTPROC), and sends this alone for an end of file.
                return b""
            return data
        return self._read_line(length)

    def _read_line(self, length: int) -> bytes:
        """Linux: drivers/tty/n_tty.c, canon_copy_from_read_buf."""
        end = self.ends[0] - self.tail
        is_whole = end < length or (end == length and self.buffer[end] == DISABLED)
        if not is_whole:
            data = bytes(self.buffer[:length])
            self._drop(length)
            return data
        self.ends.popleft()
        data = bytes(self.buffer[:end] if self.buffer[end] == DISABLED else self.buffer[: end + 1])
        self._drop(end + 1)
        return data

    def _drop(self, count: int) -> None:
        del self.buffer[:count]
        self.tail += count
        if not self.is_canonical:
            self.line_head = max(self.line_head, self.tail)

    def flush(self) -> None:
        """Drop what waits to be read. Linux: drivers/tty/n_tty.c, n_tty_flush_buffer."""
        self.tail = self.head
        self.buffer.clear()
        self.ends.clear()
        self.line_head = self.tail
        self.is_erasing = False
        self.owner.input_flushed()


def _is_word_character(character: int) -> bool:
    """A letter, digit or underscore in Latin-1, as the kernel sees it (isalnum)."""
    if character < 128:
        return pack_u8(character).isalnum() or character == 0x5F
    return character >= 0xC0 and character not in (0xD7, 0xF7)
