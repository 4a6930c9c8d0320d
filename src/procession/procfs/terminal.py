"""What proc tells of terminals: /proc/tty, kernel.pty and dev.tty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.fs.terminal.devpts import terminal_driver
from procession.procfs.parse_integer import parse_integer

if TYPE_CHECKING:
    from procession.kernel.kernel import Kernel

MOST_PTYS = 1 << 20
"""What kernel.pty.max can't be over (Linux: include/linux/tty.h, NR_UNIX98_PTY_MAX)."""
_DRIVERS = (
    (b"/dev/tty", b"tty", 5, b"0", b"system:/dev/tty"),
    (b"/dev/console", b"console", 5, b"1", b"system:console"),
    (b"/dev/ptmx", b"ptmx", 5, b"2", b"system"),
    (b"pty_slave", b"pts", 136, b"0-1048575", b"pty:slave"),
    (b"pty_master", b"ptm", 128, b"0-1048575", b"pty:master"),
)


def show_drivers(kernel: Kernel) -> bytes:
    """/proc/tty/drivers. Linux: fs/proc/proc_tty.c, show_tty_driver."""
    return b"".join(b"%-20s /dev/%-8s %3d %7s %s\n" % row for row in _DRIVERS)


def show_disciplines(kernel: Kernel) -> bytes:
    """/proc/tty/ldiscs. Linux: drivers/tty/tty_ldisc.c, tty_ldiscs_seq_show."""
    return b"n_tty       0\nn_null     27\n"


def show_pty_count(kernel: Kernel) -> bytes:
    """kernel.pty.nr: how many pseudo-terminals there are."""
    return b"%d\n" % terminal_driver(kernel.vfs).accounts.count


def show_pty_maximum(kernel: Kernel) -> bytes:
    """kernel.pty.max: how many there may be."""
    return b"%d\n" % terminal_driver(kernel.vfs).accounts.maximum


def store_pty_maximum(kernel: Kernel, data: bytes) -> None:
    """Set kernel.pty.max. Raises EINVAL outside 0 to 1048576."""
    value = parse_integer(data)
    if not 0 <= value <= MOST_PTYS:
        raise EINVAL("outside 0 to 1048576")
    terminal_driver(kernel.vfs).accounts.maximum = value


def show_legacy_typing(kernel: Kernel) -> bytes:
    """dev.tty.legacy_tiocsti: whether a process without privilege may type into its own terminal."""
    return b"%d\n" % terminal_driver(kernel.vfs).allows_typing


def store_legacy_typing(kernel: Kernel, data: bytes) -> None:
    """Set dev.tty.legacy_tiocsti. Raises EINVAL unless it's 0 or 1."""
    value = parse_integer(data)
    if value not in (0, 1):
        raise EINVAL("neither 0 nor 1")
    terminal_driver(kernel.vfs).allows_typing = bool(value)
