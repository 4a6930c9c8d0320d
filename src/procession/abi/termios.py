"""Terminals: the modes, control characters and size of termios(3), as the kernel lays them out."""

from __future__ import annotations

from typing import Annotated

from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.structure import U8, U16, U32, Structure


class InputMode(IntFlag):
    """c_iflag."""

    IGNBRK = 1
    BRKINT = 2
    IGNPAR = 4
    PARMRK = 0o10
    INPCK = 0o20
    ISTRIP = 0o40
    INLCR = 0o100
    IGNCR = 0o200
    ICRNL = 0o400
    IUCLC = 0o1000
    IXON = 0o2000
    IXANY = 0o4000
    IXOFF = 0o10000
    IMAXBEL = 0o20000
    IUTF8 = 0o40000


class OutputMode(IntFlag):
    """c_oflag."""

    OPOST = 1
    OLCUC = 2
    ONLCR = 4
    OCRNL = 0o10
    ONOCR = 0o20
    ONLRET = 0o40
    OFILL = 0o100
    OFDEL = 0o200
    NLDLY = 0o400
    CRDLY = 0o3000
    TABDLY = 0o14000
    XTABS = 0o14000
    BSDLY = 0o20000
    VTDLY = 0o40000
    FFDLY = 0o100000


class ControlMode(IntFlag):
    """c_cflag; the bits of CBAUD are a BaudRate, those of CSIZE a number of bits."""

    CSIZE = 0o60
    CS5 = 0
    CS6 = 0o20
    CS7 = 0o40
    CS8 = 0o60
    CSTOPB = 0o100
    CREAD = 0o200
    PARENB = 0o400
    PARODD = 0o1000
    HUPCL = 0o2000
    CLOCAL = 0o4000
    CBAUDEX = 0o10000
    CBAUD = 0o10017
    CIBAUD = 0o2003600000
    ADDRB = 0o4000000000
    CMSPAR = 0o10000000000
    CRTSCTS = 0o20000000000


class LocalMode(IntFlag):
    """c_lflag."""

    ISIG = 1
    ICANON = 2
    XCASE = 4
    ECHO = 0o10
    ECHOE = 0o20
    ECHOK = 0o40
    ECHONL = 0o100
    NOFLSH = 0o200
    TOSTOP = 0o400
    ECHOCTL = 0o1000
    ECHOPRT = 0o2000
    ECHOKE = 0o4000
    FLUSHO = 0o10000
    PENDIN = 0o40000
    IEXTEN = 0o100000
    EXTPROC = 0o200000


class BaudRate(IntEnum):
    """The bits of c_cflag under CBAUD."""

    B0 = 0
    B50 = 1
    B75 = 2
    B110 = 3
    B134 = 4
    B150 = 5
    B200 = 6
    B300 = 7
    B600 = 0o10
    B1200 = 0o11
    B1800 = 0o12
    B2400 = 0o13
    B4800 = 0o14
    B9600 = 0o15
    B19200 = 0o16
    B38400 = 0o17
    BOTHER = 0o10000
    B57600 = 0o10001
    B115200 = 0o10002
    B230400 = 0o10003
    B460800 = 0o10004
    B500000 = 0o10005
    B576000 = 0o10006
    B921600 = 0o10007
    B1000000 = 0o10010
    B1152000 = 0o10011
    B1500000 = 0o10012
    B2000000 = 0o10013
    B2500000 = 0o10014
    B3000000 = 0o10015
    B3500000 = 0o10016
    B4000000 = 0o10017


class ControlCharacter(IntEnum):
    """Indexes of c_cc."""

    VINTR = 0
    VQUIT = 1
    VERASE = 2
    VKILL = 3
    VEOF = 4
    VTIME = 5
    VMIN = 6
    VSWTC = 7
    VSTART = 8
    VSTOP = 9
    VSUSP = 10
    VEOL = 11
    VREPRINT = 12
    VDISCARD = 13
    VWERASE = 14
    VLNEXT = 15
    VEOL2 = 16


NCCS = 19


class FlushQueue(IntEnum):
    """TCFLSH."""

    TCIFLUSH = 0
    TCOFLUSH = 1
    TCIOFLUSH = 2


class FlowAction(IntEnum):
    """TCXONC."""

    TCOOFF = 0
    TCOON = 1
    TCIOFF = 2
    TCION = 3


class PacketFlag(IntFlag):
    """The control byte of a master in packet mode (TIOCPKT)."""

    TIOCPKT_DATA = 0
    TIOCPKT_FLUSHREAD = 1
    TIOCPKT_FLUSHWRITE = 2
    TIOCPKT_STOP = 4
    TIOCPKT_START = 8
    TIOCPKT_NOSTOP = 0x10
    TIOCPKT_DOSTOP = 0x20
    TIOCPKT_IOCTL = 0x40


class ModemLine(IntFlag):
    """TIOCMGET."""

    TIOCM_LE = 1
    TIOCM_DTR = 2
    TIOCM_RTS = 4
    TIOCM_ST = 8
    TIOCM_SR = 0x10
    TIOCM_CTS = 0x20
    TIOCM_CAR = 0x40
    TIOCM_RNG = 0x80
    TIOCM_DSR = 0x100


class Termios(Structure):
    """The kernel's struct termios, of TCGETS: unlike the C library's it ends after 19 control characters."""

    c_iflag: U32 = 0
    c_oflag: U32 = 0
    c_cflag: U32 = 0
    c_lflag: U32 = 0
    c_line: U8 = 0
    c_cc: Annotated[bytes, 19] = b""


class Termios2(Structure):
    """struct termios2, of TCGETS2: struct termios and the speeds in baud."""

    c_iflag: U32 = 0
    c_oflag: U32 = 0
    c_cflag: U32 = 0
    c_lflag: U32 = 0
    c_line: U8 = 0
    c_cc: Annotated[bytes, 19] = b""
    c_ispeed: U32 = 0
    c_ospeed: U32 = 0


class Termio(Structure):
    """struct termio, of TCGETA."""

    c_iflag: U16 = 0
    c_oflag: U16 = 0
    c_cflag: U16 = 0
    c_lflag: U16 = 0
    c_line: U8 = 0
    c_cc: Annotated[bytes, 8] = b""


class Winsize(Structure):
    """struct winsize."""

    ws_row: U16 = 0
    ws_col: U16 = 0
    ws_xpixel: U16 = 0
    ws_ypixel: U16 = 0
