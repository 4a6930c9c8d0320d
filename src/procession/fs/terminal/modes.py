"""A terminal's modes: flags, control characters and speeds (termios(3)), as ioctl(2) has them."""

from __future__ import annotations

from procession.abi.termios import (
    NCCS,
    BaudRate,
    ControlCharacter,
    ControlMode,
    InputMode,
    LocalMode,
    OutputMode,
    Termio,
    Termios,
    Termios2,
)

# Plain ints: the arithmetic of IntFlag is slow on the paths that use these.
N_TTY = 0
"""The number of the usual line discipline."""
ISTRIP = int(InputMode.ISTRIP)
INLCR = int(InputMode.INLCR)
IGNCR = int(InputMode.IGNCR)
ICRNL = int(InputMode.ICRNL)
IUCLC = int(InputMode.IUCLC)
IXON = int(InputMode.IXON)
IXANY = int(InputMode.IXANY)
IUTF8 = int(InputMode.IUTF8)
PARMRK = int(InputMode.PARMRK)

OPOST = int(OutputMode.OPOST)
OLCUC = int(OutputMode.OLCUC)
ONLCR = int(OutputMode.ONLCR)
OCRNL = int(OutputMode.OCRNL)
ONOCR = int(OutputMode.ONOCR)
ONLRET = int(OutputMode.ONLRET)
TABDLY = int(OutputMode.TABDLY)
XTABS = int(OutputMode.XTABS)

CSIZE = int(ControlMode.CSIZE)
CS8 = int(ControlMode.CS8)
CREAD = int(ControlMode.CREAD)
PARENB = int(ControlMode.PARENB)
CLOCAL = int(ControlMode.CLOCAL)
CBAUD = int(ControlMode.CBAUD)
_BOTHER = int(BaudRate.BOTHER)
_INPUT_BAUD_SHIFT = 16

ISIG = int(LocalMode.ISIG)
ICANON = int(LocalMode.ICANON)
ECHO = int(LocalMode.ECHO)
ECHOE = int(LocalMode.ECHOE)
ECHOK = int(LocalMode.ECHOK)
ECHONL = int(LocalMode.ECHONL)
NOFLSH = int(LocalMode.NOFLSH)
TOSTOP = int(LocalMode.TOSTOP)
ECHOCTL = int(LocalMode.ECHOCTL)
ECHOPRT = int(LocalMode.ECHOPRT)
ECHOKE = int(LocalMode.ECHOKE)
IEXTEN = int(LocalMode.IEXTEN)
EXTPROC = int(LocalMode.EXTPROC)

VINTR = int(ControlCharacter.VINTR)
VQUIT = int(ControlCharacter.VQUIT)
VERASE = int(ControlCharacter.VERASE)
VKILL = int(ControlCharacter.VKILL)
VEOF = int(ControlCharacter.VEOF)
VTIME = int(ControlCharacter.VTIME)
VMIN = int(ControlCharacter.VMIN)
VSTART = int(ControlCharacter.VSTART)
VSTOP = int(ControlCharacter.VSTOP)
VSUSP = int(ControlCharacter.VSUSP)
VEOL = int(ControlCharacter.VEOL)
VREPRINT = int(ControlCharacter.VREPRINT)
VWERASE = int(ControlCharacter.VWERASE)
VLNEXT = int(ControlCharacter.VLNEXT)
VEOL2 = int(ControlCharacter.VEOL2)

DISABLED = 0
"""The control character that stands for none (_POSIX_VDISABLE), and for the end of file in a line."""

USUAL_CHARACTERS = bytes((3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0, 0, 0))
USUAL_SPEED = 38400

_SPEEDS = {int(rate): int(rate.name[1:]) for rate in BaudRate if rate is not BaudRate.BOTHER}
"""Bits per second by what c_cflag says."""
_TERMIO_CHARACTERS = 8
_LOW_HALF = 0xFFFF


class TerminalModes:
    """How a terminal treats what goes through it (Linux: include/uapi/asm-generic/termbits.h, struct
    ktermios).

    `input`, `output`, `control` and `local` hold the flags of c_iflag and its like, `characters` the 19
    bytes of c_cc; the speeds are in bits per second. It's never changed: a terminal gets another.
    """

    __slots__ = ("characters", "control", "input", "input_speed", "line", "local", "output", "output_speed")

    def __init__(
        self,
        input: int,
        output: int,
        control: int,
        local: int,
        characters: bytes = USUAL_CHARACTERS,
        line: int = 0,
        input_speed: int = USUAL_SPEED,
        output_speed: int = USUAL_SPEED,
    ) -> None:
        self.input = input
        self.output = output
        self.control = control
        self.local = local
        self.characters = characters
        self.line = line
        self.input_speed = input_speed
        self.output_speed = output_speed

    def pack(self) -> bytes:
        """struct termios, as of TCGETS."""
        return Termios.STRUCT.pack(
            self.input, self.output, self.control, self.local, self.line, self.characters
        )

    def pack_with_speeds(self) -> bytes:
        """struct termios2, as of TCGETS2."""
        return Termios2.STRUCT.pack(
            self.input,
            self.output,
            self.control,
            self.local,
            self.line,
            self.characters,
            self.input_speed,
            self.output_speed,
        )

    def pack_old(self) -> bytes:
        """struct termio, as of TCGETA: the lower halves of the flags and 8 characters."""
        return Termio.STRUCT.pack(
            self.input & _LOW_HALF,
            self.output & _LOW_HALF,
            self.control & _LOW_HALF,
            self.local & _LOW_HALF,
            self.line,
            self.characters[:_TERMIO_CHARACTERS],
        )

    def unpack(self, data: bytes) -> TerminalModes:
        """These modes with what a struct termios says."""
        return self._unpack(Termios.unpack_from(data), self.input_speed, self.output_speed)

    def unpack_with_speeds(self, data: bytes) -> TerminalModes:
        """What a struct termios2 says."""
        flags = Termios2.unpack_from(data)
        return self._unpack(flags, flags.c_ispeed, flags.c_ospeed)

    @staticmethod
    def _unpack(flags: Termios | Termios2, input_speed: int, output_speed: int) -> TerminalModes:
        return TerminalModes(
            flags.c_iflag,
            flags.c_oflag,
            flags.c_cflag,
            flags.c_lflag,
            flags.c_cc,
            flags.c_line,
            input_speed,
            output_speed,
        ).with_speeds()

    def unpack_old(self, data: bytes) -> TerminalModes:
        """These modes with what a struct termio says: the upper halves of the flags stay."""
        flags = Termio.unpack_from(data)
        high = ~_LOW_HALF
        return TerminalModes(
            self.input & high | flags.c_iflag,
            self.output & high | flags.c_oflag,
            self.control & high | flags.c_cflag,
            self.local & high | flags.c_lflag,
            flags.c_cc + self.characters[_TERMIO_CHARACTERS:],
            flags.c_line,
            self.input_speed,
            self.output_speed,
        ).with_speeds()

    def with_speeds(self) -> TerminalModes:
        """The same, with speeds that agree with c_cflag.

        Linux: drivers/tty/tty_baudrate.c, tty_termios_baud_rate.
        """
        output_speed = _speed_of(self.control & CBAUD, self.output_speed)
        input_bits = self.control >> _INPUT_BAUD_SHIFT & CBAUD
        input_speed = _speed_of(input_bits, self.input_speed) if input_bits else output_speed
        return TerminalModes(
            self.input,
            self.output,
            self.control,
            self.local,
            self.characters,
            self.line,
            input_speed,
            output_speed,
        )

    def with_control(self, control: int) -> TerminalModes:
        """The same with other bits in c_cflag."""
        return TerminalModes(
            self.input,
            self.output,
            control,
            self.local,
            self.characters,
            self.line,
            self.input_speed,
            self.output_speed,
        )

    def keeping_locked(self, old: TerminalModes, locked: TerminalModes) -> TerminalModes:
        """The same, but as in `old` wherever `locked` isn't 0.

        Linux: drivers/tty/tty_ioctl.c, unset_locked_termios.
        """
        return TerminalModes(
            _keep(self.input, old.input, locked.input),
            _keep(self.output, old.output, locked.output),
            _keep(self.control, old.control, locked.control),
            _keep(self.local, old.local, locked.local),
            bytes(
                before if is_locked else now
                for now, before, is_locked in zip(
                    self.characters, old.characters, locked.characters, strict=True
                )
            ),
            old.line if locked.line else self.line,
            self.input_speed,
            self.output_speed,
        )


def _keep(new: int, old: int, locked: int) -> int:
    return new & ~locked | old & locked


def _speed_of(bits: int, other: int) -> int:
    """Bits per second for the bits of a BaudRate; `other` where they say BOTHER."""
    return other if bits == _BOTHER else _SPEEDS.get(bits, 0)


def cooked_modes() -> TerminalModes:
    """How a slave begins its life: lines, echo, signals. In Linux, tty_io.c, tty_std_termios; pty.c."""
    return TerminalModes(
        ICRNL | IXON,
        OPOST | ONLCR,
        int(BaudRate.B38400) | CS8 | CREAD,
        ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    )


def raw_modes() -> TerminalModes:
    """How a master begins its life: bytes as they come. Linux: drivers/tty/pty.c, unix98_pty_init."""
    return TerminalModes(0, 0, int(BaudRate.B38400) | CS8 | CREAD, 0)


def no_modes() -> TerminalModes:
    """Nothing set at all: what of a terminal's modes is locked at first."""
    return TerminalModes(0, 0, 0, 0, bytes(NCCS), 0, 0, 0)
