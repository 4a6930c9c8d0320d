"""N_NULL, the line discipline that lets nothing through, and the choice of one (TIOCSETD)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.errno import EINVAL
from procession.abi.ioctls import TerminalIoctl
from procession.fs.terminal.line_discipline import LineDiscipline
from procession.fs.terminal.modes import N_TTY, TerminalModes

if TYPE_CHECKING:
    from procession.fs.terminal.tty import Tty

N_NULL = 27
OF_LINES = frozenset(
    int(request)
    for request in (
        TerminalIoctl.TCGETS,
        TerminalIoctl.TCGETS2,
        TerminalIoctl.TCGETA,
        TerminalIoctl.TCSETS,
        TerminalIoctl.TCSETSW,
        TerminalIoctl.TCSETSF,
        TerminalIoctl.TCSETS2,
        TerminalIoctl.TCSETSW2,
        TerminalIoctl.TCSETSF2,
        TerminalIoctl.TCSETA,
        TerminalIoctl.TCSETAW,
        TerminalIoctl.TCSETAF,
        TerminalIoctl.TIOCGLCKTRMIOS,
        TerminalIoctl.TIOCSLCKTRMIOS,
        TerminalIoctl.TIOCGSOFTCAR,
        TerminalIoctl.TIOCSSOFTCAR,
        TerminalIoctl.TIOCINQ,
        TerminalIoctl.TIOCOUTQ,
        TerminalIoctl.TCXONC,
        TerminalIoctl.TCFLSH,
    )
)
"""What N_TTY does and N_NULL doesn't. Linux: drivers/tty/n_tty.c, n_tty_ioctl."""


def set_discipline(tty: Tty, number: int) -> None:
    """Give `tty` another line discipline, which begins anew. Raises EINVAL.

    Who waits to read or write is sent away (EAGAIN). What comes while there is N_NULL waits.
    Linux: drivers/tty/tty_ldisc.c, tty_set_ldisc.
    """
    if number not in (N_TTY, N_NULL):
        raise EINVAL("no such line discipline")
    # Even the same one: Linux: drivers/tty/tty_ldisc.c, tty_ldisc_lock.
    tty.era += 1
    tty.turn_queue.wake_all()
    tty.wake_all()
    if tty.is_null is (number == N_NULL):
        return
    old = tty.modes
    tty.modes = TerminalModes(
        old.input,
        old.output,
        old.control,
        old.local,
        old.characters,
        number,
        old.input_speed,
        old.output_speed,
    )
    if not tty.is_null:
        tty.input_flushed()
    tty.is_null = number == N_NULL
    tty.discipline = LineDiscipline(tty, tty.modes)
    tty.wake_all()
    tty.pull()
