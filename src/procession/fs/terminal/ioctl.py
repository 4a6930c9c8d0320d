"""The requests of ioctl(2) that terminals know (ioctl_tty(2))."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from procession.abi.device_numbers import encode_device
from procession.abi.errno import EBADF, EBUSY, EINTR, EINVAL, EIO, ENOTTY, EPERM
from procession.abi.ioctls import TerminalIoctl
from procession.abi.termios import FlowAction, FlushQueue, Termio, Termios, Termios2, Winsize
from procession.abi.word import pack_u8, pack_u32
from procession.fs.permission import CAP_CHECKPOINT_RESTORE, CAP_SYS_ADMIN
from procession.fs.terminal.devpts import terminal_driver
from procession.fs.terminal.modes import CLOCAL, DISABLED, N_TTY, VSTART, VSTOP, TerminalModes
from procession.fs.terminal.null_discipline import N_NULL, OF_LINES, set_discipline
from procession.fs.terminal.pty import PtyMaster
from procession.fs.terminal.tty import SIGTTOU, Tty, TtyFile
from procession.fs.wait_queue import Sleep

if TYPE_CHECKING:
    from procession.fs.file import UserMemory

_SIGNALS_OF_MASTERS = (2, 3, 20)
_SERIAL_SIZE = 72
"""Of a struct serial_struct."""
_TIOCSPGRP = int(TerminalIoctl.TIOCSPGRP)
_TCIFLUSH = int(FlushQueue.TCIFLUSH)
_TCOFLUSH = int(FlushQueue.TCOFLUSH)
_TCIOFLUSH = int(FlushQueue.TCIOFLUSH)


def control_terminal(file: TtyFile, request: int, argument: int, memory: UserMemory) -> int:
    """Do what `request` asks. Raises ENOTTY for one that terminals don't know, and what ioctl_tty(2) says.

    Linux: drivers/tty/tty_io.c, tty_ioctl.
    """
    if file.is_hung_up and not file.tty.jobs.has_slept:
        raise ENOTTY if request == _TIOCSPGRP else EIO
    is_null = file.tty.is_null
    do = _REQUESTS.get(request)
    if do is not None and not (is_null and request in OF_LINES):
        return do(file, argument, memory)
    result = None if do is not None else file.tty.jobs.control(file, request, argument, memory)
    if result is None:
        raise EINVAL("N_NULL knows no requests") if is_null else ENOTTY
    return result


def _set_serial(file: TtyFile, argument: int, memory: UserMemory) -> int:
    """Linux: drivers/tty/tty_io.c, tty_tiocsserial."""
    memory.read(argument, _SERIAL_SIZE)
    raise ENOTTY("it has no line of its own")


def _read_int(memory: UserMemory, address: int) -> int:
    return int.from_bytes(memory.read(address, 4), "little", signed=True)


def _write_int(memory: UserMemory, address: int, value: int) -> int:
    memory.write(address, pack_u32(value))
    return 0


# Modes. Linux: drivers/tty/tty_ioctl.c, tty_mode_ioctl


def _get_modes(file: TtyFile, argument: int, memory: UserMemory) -> int:
    memory.write(argument, file.tty.pair.modes.pack())
    return 0


def _get_modes_with_speeds(file: TtyFile, argument: int, memory: UserMemory) -> int:
    memory.write(argument, file.tty.pair.modes.pack_with_speeds())
    return 0


def _get_old_modes(file: TtyFile, argument: int, memory: UserMemory) -> int:
    memory.write(argument, file.tty.pair.modes.pack_old())
    return 0


def _set_modes(
    file: TtyFile,
    size: int,
    unpack: Callable[[TerminalModes, bytes], TerminalModes],
    argument: int,
    memory: UserMemory,
    *,
    waits: bool = False,
    flushes: bool = False,
) -> int:
    """What was written is on its way already: who waits does so for one who is in the middle of a write.

    Linux: drivers/tty/tty_ioctl.c, set_termios; drivers/tty/tty_io.c, tty_write_lock.
    """
    tty = file.tty.pair
    tty.jobs.check_change(tty, SIGTTOU)
    modes = unpack(tty.modes, memory.read(argument, size))
    if (waits or flushes) and not tty.jobs.may_write(tty):
        # A signal ends the sleep of Linux, which tries again at once for as long as it's pending: so not even
        # SIGKILL keeps it from setting the modes.
        is_interruptible = not tty.jobs.has_pending_signal
        raise Sleep(tty.write_queue, is_interruptible=is_interruptible, is_killable=is_interruptible)
    if flushes:
        tty.flush_input()
    tty.set_modes(modes)
    return 0


def _set_now(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _set_modes(file, Termios.SIZE, TerminalModes.unpack, argument, memory)


def _set_waiting(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _set_modes(file, Termios.SIZE, TerminalModes.unpack, argument, memory, waits=True)


def _set_flushing(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _set_modes(file, Termios.SIZE, TerminalModes.unpack, argument, memory, flushes=True)


def _set_with_speeds(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _set_modes(file, Termios2.SIZE, TerminalModes.unpack_with_speeds, argument, memory)


def _set_with_speeds_waiting(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _set_modes(file, Termios2.SIZE, TerminalModes.unpack_with_speeds, argument, memory, waits=True)


def _set_with_speeds_flushing(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _set_modes(file, Termios2.SIZE, TerminalModes.unpack_with_speeds, argument, memory, flushes=True)


def _set_old(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _set_modes(file, Termio.SIZE, TerminalModes.unpack_old, argument, memory)


def _set_old_waiting(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _set_modes(file, Termio.SIZE, TerminalModes.unpack_old, argument, memory, waits=True)


def _set_old_flushing(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _set_modes(file, Termio.SIZE, TerminalModes.unpack_old, argument, memory, flushes=True)


def _get_locked_modes(file: TtyFile, argument: int, memory: UserMemory) -> int:
    memory.write(argument, file.tty.pair.locked_modes.pack())
    return 0


def _set_locked_modes(file: TtyFile, argument: int, memory: UserMemory) -> int:
    tty = file.tty.pair
    if not (tty.jobs.capable(CAP_CHECKPOINT_RESTORE) or tty.jobs.capable(CAP_SYS_ADMIN)):
        raise EPERM
    tty.locked_modes = tty.locked_modes.unpack(memory.read(argument, Termios.SIZE))
    return 0


def _get_carrier_mode(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _write_int(memory, argument, int(bool(file.tty.pair.modes.control & CLOCAL)))


def _set_carrier_mode(file: TtyFile, argument: int, memory: UserMemory) -> int:
    tty = file.tty.pair
    is_on = _read_int(memory, argument)
    control = tty.modes.control
    tty.set_modes(tty.modes.with_control(control | CLOCAL if is_on else control & ~CLOCAL))
    return 0


# Window size


def _get_size(file: TtyFile, argument: int, memory: UserMemory) -> int:
    memory.write(argument, Winsize.STRUCT.pack(*file.tty.pair.size))
    return 0


def _set_size(file: TtyFile, argument: int, memory: UserMemory) -> int:
    size = Winsize.unpack_from(memory.read(argument, Winsize.SIZE))
    file.tty.pair.resize((size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel))
    return 0


# Queues and flow


def _count_input(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _write_int(memory, argument, file.tty.discipline.waiting_count())


def _count_output(file: TtyFile, argument: int, memory: UserMemory) -> int:
    """What was written has left: no pseudo-terminal keeps it."""
    return _write_int(memory, argument, 0)


def _flush(file: TtyFile, argument: int, memory: UserMemory) -> int:
    """TCFLSH. Linux: drivers/tty/tty_ioctl.c, __tty_perform_flush."""
    tty = file.tty
    if argument in (_TCIFLUSH, _TCIOFLUSH):
        tty.pending.clear()
    tty.jobs.check_change(tty, SIGTTOU)
    if argument not in (_TCIFLUSH, _TCOFLUSH, _TCIOFLUSH):
        raise EINVAL
    if argument != _TCOFLUSH:
        tty.flush_input()
    if argument != _TCIFLUSH:
        tty.flush_output()
        tty.write_queue.wake_all()
    return 0


def _control_flow(file: TtyFile, argument: int, memory: UserMemory) -> int:
    """TCXONC. Linux: drivers/tty/tty_ioctl.c, n_tty_ioctl_helper."""
    tty = file.tty
    tty.jobs.check_change(tty, SIGTTOU)
    if argument == FlowAction.TCOOFF:
        if not tty.is_stopped_by_request:
            tty.is_stopped_by_request = True
            tty.stop()
    elif argument == FlowAction.TCOON:
        if tty.is_stopped_by_request:
            tty.is_stopped_by_request = False
            tty.start()
    elif argument in (FlowAction.TCIOFF, FlowAction.TCION):
        character = tty.modes.characters[VSTOP if argument == FlowAction.TCIOFF else VSTART]
        if character != DISABLED:
            _send_at_once(tty, pack_u8(character))
    else:
        raise EINVAL
    return 0


def _send_at_once(tty: Tty, data: bytes) -> None:
    """Send a character though output stands still, but not if TCOOFF stopped it.

    Raises Sleep. Linux: drivers/tty/tty_io.c, tty_send_xchar.
    """
    if not tty.jobs.may_write(tty):
        raise Sleep(tty.write_queue)
    was_stopped = tty.is_stopped
    if was_stopped:
        tty.start()
    if not tty.is_stopped:
        tty.put_output(data)
    if was_stopped:
        tty.stop()


def _wait_for_output(file: TtyFile, argument: int, memory: UserMemory) -> int:
    """TCSBRK and its like: what was written has left, and a pseudo-terminal's line can't be broken."""
    file.tty.jobs.check_change(file.tty, SIGTTOU)
    if file.tty.jobs.has_pending_signal:
        raise EINTR
    return 0


def _end_break(file: TtyFile, argument: int, memory: UserMemory) -> int:
    file.tty.jobs.check_change(file.tty, SIGTTOU)
    return 0


def _type_in(file: TtyFile, argument: int, memory: UserMemory) -> int:
    """TIOCSTI: a byte as if it had been typed. Linux: drivers/tty/tty_io.c, tiocsti."""
    tty = file.tty
    if not tty.jobs.capable(CAP_SYS_ADMIN):
        if not terminal_driver(file.inode.superblock.vfs).allows_typing:
            raise EIO("dev.tty.legacy_tiocsti is 0")
        if tty.jobs.current_terminal() is not tty:
            raise EPERM
    byte = memory.read(argument, 1)
    if not tty.is_null:
        tty.discipline.receive(byte, can_wait=False)
    return 0


# Who may open it


def _make_exclusive(file: TtyFile, argument: int, memory: UserMemory) -> int:
    file.tty.is_exclusive = True
    return 0


def _end_exclusive(file: TtyFile, argument: int, memory: UserMemory) -> int:
    file.tty.is_exclusive = False
    return 0


def _is_exclusive(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _write_int(memory, argument, int(file.tty.is_exclusive))


def _hang_up(file: TtyFile, argument: int, memory: UserMemory) -> int:
    if not file.tty.jobs.capable(CAP_SYS_ADMIN):
        raise EPERM
    file.tty.hang_up()
    return 0


def _get_device(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _write_int(memory, argument, file.tty.pair.device)


def _get_discipline(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _write_int(memory, argument, N_NULL if file.tty.is_null else N_TTY)


def _set_discipline(file: TtyFile, argument: int, memory: UserMemory) -> int:
    """TIOCSETD. Linux: drivers/tty/tty_io.c, tiocsetd."""
    number = _read_int(memory, argument)
    file.tty.jobs.check_change(file.tty, SIGTTOU)
    set_discipline(file.tty, number)
    return 0


# Masters. Linux: drivers/tty/pty.c, pty_unix98_ioctl


def _master(file: TtyFile) -> PtyMaster:
    tty = file.tty
    if not isinstance(tty, PtyMaster):
        raise EINVAL if tty.is_null else ENOTTY
    return tty


def _set_lock(file: TtyFile, argument: int, memory: UserMemory) -> int:
    master = _master(file)
    master.is_locked = bool(_read_int(memory, argument))
    return 0


def _get_lock(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _write_int(memory, argument, int(_master(file).is_locked))


def _set_packet_mode(file: TtyFile, argument: int, memory: UserMemory) -> int:
    master = _master(file)
    master.set_packet_mode(bool(_read_int(memory, argument)))
    return 0


def _get_packet_mode(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _write_int(memory, argument, int(_master(file).is_packet))


def _get_number(file: TtyFile, argument: int, memory: UserMemory) -> int:
    return _write_int(memory, argument, _master(file).number)


def _signal(file: TtyFile, argument: int, memory: UserMemory) -> int:
    slave = _master(file).slave
    if argument & 0xFFFFFFFF not in _SIGNALS_OF_MASTERS:
        raise EINVAL
    slave.send_signal(argument & 0xFFFFFFFF)
    return 0


_CONSOLE_DEVICE = encode_device(5, 1)


def _redirect_console(file: TtyFile, argument: int, memory: UserMemory) -> int:
    """What is written to the console goes to this terminal from now on.

    Linux: drivers/tty/tty_io.c, tioccons.
    """
    if file.tty.pair is not file.tty:
        raise EINVAL("a master")
    if not file.tty.jobs.capable(CAP_SYS_ADMIN):
        raise EPERM
    vfs = file.inode.superblock.vfs
    if file.inode.rdev == _CONSOLE_DEVICE:
        vfs.redirect_console(None)
        return 0
    if not file.is_writable:
        raise EBADF
    if vfs.console_output() is not None:
        raise EBUSY("another terminal has it")
    vfs.redirect_console(file)
    return 0


_REQUESTS: dict[int, Callable[[TtyFile, int, UserMemory], int]] = {
    int(request): do
    for request, do in (
        (TerminalIoctl.TCGETS, _get_modes),
        (TerminalIoctl.TIOCSSERIAL, _set_serial),
        (TerminalIoctl.TCGETS2, _get_modes_with_speeds),
        (TerminalIoctl.TCGETA, _get_old_modes),
        (TerminalIoctl.TCSETS, _set_now),
        (TerminalIoctl.TCSETSW, _set_waiting),
        (TerminalIoctl.TCSETSF, _set_flushing),
        (TerminalIoctl.TCSETS2, _set_with_speeds),
        (TerminalIoctl.TCSETSW2, _set_with_speeds_waiting),
        (TerminalIoctl.TCSETSF2, _set_with_speeds_flushing),
        (TerminalIoctl.TCSETA, _set_old),
        (TerminalIoctl.TCSETAW, _set_old_waiting),
        (TerminalIoctl.TCSETAF, _set_old_flushing),
        (TerminalIoctl.TIOCGLCKTRMIOS, _get_locked_modes),
        (TerminalIoctl.TIOCSLCKTRMIOS, _set_locked_modes),
        (TerminalIoctl.TIOCGSOFTCAR, _get_carrier_mode),
        (TerminalIoctl.TIOCSSOFTCAR, _set_carrier_mode),
        (TerminalIoctl.TIOCGWINSZ, _get_size),
        (TerminalIoctl.TIOCSWINSZ, _set_size),
        (TerminalIoctl.TIOCINQ, _count_input),
        (TerminalIoctl.TIOCOUTQ, _count_output),
        (TerminalIoctl.TCFLSH, _flush),
        (TerminalIoctl.TCXONC, _control_flow),
        (TerminalIoctl.TCSBRK, _wait_for_output),
        (TerminalIoctl.TCSBRKP, _wait_for_output),
        (TerminalIoctl.TIOCSBRK, _wait_for_output),
        (TerminalIoctl.TIOCCBRK, _end_break),
        (TerminalIoctl.TIOCSTI, _type_in),
        (TerminalIoctl.TIOCEXCL, _make_exclusive),
        (TerminalIoctl.TIOCNXCL, _end_exclusive),
        (TerminalIoctl.TIOCGEXCL, _is_exclusive),
        (TerminalIoctl.TIOCVHANGUP, _hang_up),
        (TerminalIoctl.TIOCGDEV, _get_device),
        (TerminalIoctl.TIOCGETD, _get_discipline),
        (TerminalIoctl.TIOCSETD, _set_discipline),
        (TerminalIoctl.TIOCCONS, _redirect_console),
        (TerminalIoctl.TIOCSPTLCK, _set_lock),
        (TerminalIoctl.TIOCGPTLCK, _get_lock),
        (TerminalIoctl.TIOCPKT, _set_packet_mode),
        (TerminalIoctl.TIOCGPKT, _get_packet_mode),
        (TerminalIoctl.TIOCGPTN, _get_number),
        (TerminalIoctl.TIOCSIG, _signal),
    )
}
