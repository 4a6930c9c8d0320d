"""Terminals and the files that are open on them: reading, writing, waiting, hanging up (tty(4))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from procession.abi.device_numbers import encode_device
from procession.abi.duration import NS_PER_S
from procession.abi.errno import EAGAIN, EBUSY, EINVAL, EIO, EOPNOTSUPP, Errno
from procession.abi.signals import Signal
from procession.abi.word import pack_u8
from procession.fs.file import (
    FASYNC,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLPRI,
    POLLRDNORM,
    POLLWRNORM,
    File,
)
from procession.fs.permission import CAP_SYS_ADMIN
from procession.fs.terminal.line_discipline import UNTHROTTLE_THRESHOLD, LineDiscipline
from procession.fs.terminal.modes import N_TTY, TOSTOP, TerminalModes, no_modes
from procession.fs.wait_queue import Abandonable, Sleep, Turn, WaitQueue

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.file import UserMemory
    from procession.fs.permission import Subject
    from procession.fs.terminal.job_control import JobControl

SIGTTIN, SIGTTOU, SIGWINCH = int(Signal.SIGTTIN), int(Signal.SIGTTOU), int(Signal.SIGWINCH)
NS_PER_TENTH = 100_000_000
_WRITTEN_AT_ONCE = 2048
_READ_CHUNK = 64
"""In pieces of how many bytes Linux reads a terminal: a greater VMIN isn't waited for."""
_TIME_STAMP_MASK = ~7
"""Time stamps of terminals tell only every eighth second, so that nobody learns how fast one types."""
_HUNG_UP_EVENTS = POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM


class ReadProgress(Abandonable):
    """A read in the middle: what it has taken, the rule that it began with, and until when it waits.

    Nobody else reads meanwhile (Linux: drivers/tty/n_tty.c, n_tty_data).
    """

    __slots__ = ("deadline_ns", "era", "least", "taken", "tenths", "tty")

    def __init__(self, tty: Tty, least: int, tenths: int, deadline_ns: int | None) -> None:
        self.tty = tty
        self.era = tty.era
        self.least = least
        self.tenths = tenths
        self.deadline_ns = deadline_ns
        self.taken = b""

    def abandon(self) -> None:
        """Somebody else may read."""
        self.tty.reader = None
        self.tty.turn_queue.wake_all()


class Tty:
    """One terminal, or one end of a pseudo-terminal (Linux: include/linux/tty.h, struct tty_struct).

    `count` counts who holds it: open files, and for a pseudo-terminal's slave its master. `session` is the
    session whose controlling terminal this is, `foreground` the id of its foreground process group, None for
    none. `size` is rows, columns and their pixels.

    `pending` holds what has come and the line discipline had no room for yet. What becomes of output is up
    to the subclass. `era` counts how often a line discipline was chosen: who waits then is sent away, the
    `writer` too, who began in `writer_era` (Linux: include/linux/tty.h, TTY_LDISC_CHANGING).
    """

    __slots__ = (
        "count",
        "device",
        "discipline",
        "era",
        "files",
        "first_modes",
        "foreground",
        "has_io_error",
        "is_exclusive",
        "is_other_closed",
        "is_receiving",
        "is_idle",
        "is_null",
        "is_stopped",
        "is_stopped_by_request",
        "jobs",
        "locked_modes",
        "modes",
        "packet_status",
        "pending",
        "read_queue",
        "reader",
        "session",
        "size",
        "told_events",
        "turn_queue",
        "wants_room",
        "write_queue",
        "writer",
        "writer_era",
    )

    limit: ClassVar[int] = 8192
    """How many bytes may be pending."""

    def __init__(self, jobs: JobControl, modes: TerminalModes, major: int, minor: int) -> None:
        self.jobs = jobs
        self.device = encode_device(major, minor)
        self.modes = self.first_modes = modes
        self.locked_modes = no_modes()
        self.is_stopped = False
        self.is_stopped_by_request = False
        self.is_receiving = False
        # Whether it was hung up and not opened since: nothing is done with what arrives.
        self.is_idle = False
        # Whether its line discipline is N_NULL.
        self.is_null = False
        self.is_exclusive = False
        self.is_other_closed = False
        self.has_io_error = False
        self.packet_status = 0
        # Whether who gets signals had no room for output (Linux: include/linux/tty.h, TTY_DO_WRITE_WAKEUP),
        # and what is signalled by the wake that goes on.
        self.wants_room = False
        self.told_events = 0
        self.pending = bytearray()
        self.read_queue = WaitQueue(POLLIN | POLLRDNORM | POLLPRI | POLLHUP)
        self.write_queue = WaitQueue(POLLOUT | POLLWRNORM)
        self.count = 0
        self.files: dict[TtyFile, None] = {}
        self.session: Any = None
        self.foreground: Any = None
        self.size = (0, 0, 0, 0)
        # Who is in the middle of a read, and where others wait for their turn.
        self.reader: ReadProgress | None = None
        self.turn_queue = WaitQueue()
        # Who is in the middle of a write.
        self.writer: Any = None
        self.era = self.writer_era = 0
        self.discipline = LineDiscipline(self, modes)

    # The far end; a terminal that has none takes everything and says nothing.

    @property
    def pair(self) -> Tty:
        """The end of which ioctl(2) speaks: for a pseudo-terminal's master its slave, else this one."""
        return self

    def show_details(self) -> bytes:
        """What /proc/PID/fdinfo/N shows beside the usual."""
        return b""

    @property
    def is_packet_mode(self) -> bool:
        """Whether what is read begins with a byte of control information (TIOCPKT)."""
        return False

    def take_status(self) -> int:
        """What has happened at the far end, as PacketFlag, once; 0 for nothing."""
        return 0

    def has_status(self) -> bool:
        """Whether something has happened at the far end."""
        return False

    def output_room(self) -> int:
        """How many bytes `put_output` takes now."""
        return self.limit

    def put_output(self, data: bytes) -> int:
        """Send bytes to the far end; how many were taken."""
        return len(data)

    def flush_output(self) -> None:
        """Drop what is still on its way to the far end."""

    def input_flushed(self) -> None:
        """Tell a far end in packet mode."""

    def output_started(self) -> None:
        """Tell a far end in packet mode."""

    def output_stopped(self) -> None:
        """Tell a far end in packet mode."""

    def modes_chosen(self, modes: TerminalModes) -> TerminalModes:
        """The modes that the device gives when `modes` are asked for."""
        return modes

    def readers_are_done(self) -> None:
        """Little is left to be read: whoever sends may go on."""

    def check_open(self) -> None:
        """Raise EIO if it can't be opened now."""

    def opened(self) -> None:
        """One more file is open on it."""

    def closing(self) -> None:
        """A file is about to be closed; `count` counts it still."""

    # Input

    def take_looked_count(self) -> int:
        """How many characters were looked at one by one since the last call, here and at the far end."""
        count, self.discipline.looked_count = self.discipline.looked_count, 0
        return count

    def arrive(self, data: bytes) -> int:
        """Bytes from the far end; how many there was room for."""
        taken = data[: self.limit - len(self.pending)]
        self.pending += taken
        if not self.is_held_up:
            self.pull()
        return len(taken)

    @property
    def is_held_up(self) -> bool:
        """Whether what has arrived stays pending for now."""
        return False

    @property
    def arrival_room(self) -> int:
        """How many bytes `arrive` takes now."""
        return self.limit - len(self.pending)

    def pull(self) -> None:
        """Hand the line discipline what it has room for. Linux: drivers/tty/tty_buffer.c, flush_to_ldisc."""
        pending = self.pending
        if pending and not self.is_idle and not self.is_null:
            # Taken out first: a character among these may flush what is pending.
            data = bytes(pending)
            pending.clear()
            self.is_receiving = True
            count = self.discipline.receive(data)
            self.is_receiving = False
            if count < len(data):
                pending[:0] = data[count:]

    def take_input(self, length: int) -> bytes:
        """Up to `length` bytes of what can be read; only if the line discipline has any."""
        discipline = self.discipline
        data = discipline.read(length)
        if len(discipline.buffer) <= UNTHROTTLE_THRESHOLD:
            self.readers_are_done()
        if discipline.lacks_room:
            discipline.lacks_room = False
            self.pull()
        return data

    def wake_readers(self) -> None:
        """Input has come. Linux: drivers/tty/n_tty.c, __receive_buf."""
        self.told_events = POLLIN
        self.read_queue.wake_all()
        self.told_events = 0

    def wake_writers(self) -> None:
        """There may be room for output. Linux: drivers/tty/tty_io.c, tty_wakeup."""
        if self.wants_room:
            self.wants_room = False
            self.told_events = POLLOUT
        self.write_queue.wake_all()
        self.told_events = 0

    def wake_all(self) -> None:
        """Whoever waits looks again, but no signals are sent."""
        self.read_queue.wake_all()
        self.write_queue.wake_all()

    def flush_input(self) -> None:
        """Drop what has come and wasn't read.

        Linux: drivers/tty/tty_ioctl.c, tty_perform_flush; include/uapi/asm-generic/termbits-common.h,
        TCIFLUSH.
        """
        self.pending.clear()
        self.discipline.flush()
        self.readers_are_done()

    # Output

    def stop(self) -> None:
        """Let output stand still. Linux: drivers/tty/tty_io.c, __stop_tty."""
        if not self.is_stopped:
            self.is_stopped = True
            self.output_stopped()

    def start(self) -> None:
        """Let output go on, unless a program has stopped it. Linux: drivers/tty/tty_io.c, __start_tty."""
        if self.is_stopped and not self.is_stopped_by_request:
            self.is_stopped = False
            self.output_started()
            self.wake_writers()

    def send_signal(self, signo: int) -> None:
        """Send the foreground process group a signal."""
        self.jobs.signal_foreground(self, signo)

    # Modes

    def set_modes(self, modes: TerminalModes) -> None:
        """Go on with other modes. Linux: drivers/tty/tty_ioctl.c, tty_set_termios."""
        self.modes = self.modes_chosen(modes.keeping_locked(self.modes, self.locked_modes))
        self.discipline.set_modes(self.modes)
        self.wake_all()

    def resize(self, size: tuple[int, int, int, int]) -> None:
        """Another window size; the foreground process group hears of it.

        Linux: drivers/tty/pty.c, pty_resize.
        """
        if size != self.size:
            self.jobs.signal_foreground(self, SIGWINCH)
            self.size = size

    # Opening and closing

    def reopen(self) -> None:
        """Count one more file. Raises EIO, EBUSY, EINVAL. Linux: drivers/tty/tty_io.c, tty_reopen."""
        if self.is_exclusive and not self.jobs.capable(CAP_SYS_ADMIN):
            raise EBUSY
        self.check_open()
        if self.is_idle and self.modes.line != N_TTY:
            # Linux: drivers/tty/tty_ldisc.c, tty_ldisc_reinit.
            raise EINVAL("no such line discipline")
        self.is_idle = False
        self.count += 1

    def release(self, file: TtyFile) -> None:
        """An open file is gone. Linux: drivers/tty/tty_io.c, tty_release."""
        self.closing()
        self.count -= 1
        self.files.pop(file, None)

    def hang_up(self, *, is_session_ending: bool = False) -> None:
        """Nobody hears or says anything here any more, unless they open it anew.

        Linux: drivers/tty/tty_io.c, __tty_hangup.
        """
        for file in self.files:
            file.is_hung_up = True
            file.flags &= ~FASYNC
        self.jobs.hung_up(self, is_session_ending=is_session_ending)
        self.pending.clear()
        self.flush_output()
        self.session = None
        self.foreground = None
        self.packet_status = 0
        self.modes = self.first_modes
        self.discipline = LineDiscipline(self, self.modes)
        self.is_null = False
        # Linux: drivers/tty/tty_ldisc.c, tty_ldisc_hangup.
        self.is_idle = True
        self.wake_all()


class TtyFile(File):
    """An open terminal (in Linux, tty_fops; hung_up_tty_fops once `is_hung_up`)."""

    __slots__ = ("is_hung_up", "tty")

    knows_async: ClassVar[bool] = True
    knows_nowait: ClassVar[bool] = False

    reads_whole = True
    writes_whole = True
    gives_way = True

    def __init__(self, path: Path, flags: int, subject: Subject, tty: Tty) -> None:
        super().__init__(path, flags, subject)
        self.tty = tty
        self.is_hung_up = False
        tty.files[self] = None

    def release(self) -> None:
        self.tty.release(self)

    def show_details(self) -> bytes:
        """Linux: drivers/tty/tty_io.c, tty_show_fdinfo, hung_up_tty_fops."""
        return b"" if self.is_hung_up else self.tty.show_details()

    def whole_length(self, length: int, room: int) -> int:
        """Linux: drivers/tty/tty_io.c, iterate_tty_read."""
        return min(length, room - room % _READ_CHUNK + _READ_CHUNK)

    def counted_part(self, length: int) -> int | None:
        return length

    def whole_write(self, length: int, done: int, total: int) -> int:
        """Linux: drivers/tty/tty_io.c, iterate_tty_write."""
        return max(0, length - (done + length) % _WRITTEN_AT_ONCE)

    def read(self, length: int) -> bytes:
        """Linux: drivers/tty/n_tty.c, n_tty_read; drivers/tty/tty_io.c, tty_read."""
        tty = self.tty
        reading = tty.jobs.progress
        if isinstance(reading, ReadProgress):
            tty.reader = None
        else:
            if self.is_hung_up:
                return b""
            if tty.has_io_error:
                raise EIO
            if self._is_sent_away(reading) and not tty.discipline.has_input():
                raise EAGAIN
            if tty.is_null:
                raise EOPNOTSUPP("N_NULL")
            if not tty.jobs.has_slept:
                tty.jobs.check_change(tty, SIGTTIN)
            if tty.reader is not None:
                if not self.is_blocking:
                    raise EAGAIN
                raise Sleep(tty.turn_queue, progress=reading if isinstance(reading, Turn) else Turn(tty.era))
            if not length:
                return b""
            reading = self._begin_reading()
        try:
            self._take(reading, length)
        except Errno:
            if not reading.taken:
                tty.turn_queue.wake_all()
                raise
        tty.turn_queue.wake_all()
        if reading.taken:
            self.inode.atime_ns = self._time_stamp(self.inode.atime_ns)
        return reading.taken

    def _begin_reading(self) -> ReadProgress:
        tty = self.tty
        if tty.discipline.is_canonical:
            return ReadProgress(tty, 0, 0, None)
        least, tenths = tty.discipline.wait_rule
        if least:
            return ReadProgress(tty, least, tenths, None)
        return ReadProgress(tty, 1, 0, tty.jobs.now_ns + tenths * NS_PER_TENTH)

    def _take(self, reading: ReadProgress, length: int) -> None:
        """Take what comes until it's enough: a line, or as many bytes as VMIN and VTIME say.

        Raises Sleep, EAGAIN, EIO.
        """
        tty = self.tty
        if reading.least > _READ_CHUNK:
            length = min(length, _READ_CHUNK)
        while len(reading.taken) < length:
            if tty.is_packet_mode and not reading.taken:
                status = tty.take_status()
                if status:
                    reading.taken = pack_u8(status)
                    return
            if not tty.discipline.has_input():
                if self._await_input(reading):
                    return
                continue
            if tty.is_packet_mode and not reading.taken:
                reading.taken = b"\0"
            data = tty.take_input(length - len(reading.taken))
            reading.taken += data
            if not data or len(reading.taken) >= reading.least:
                return
            if reading.tenths:
                # Between two bytes no more than that may pass; for the first one there is time.
                reading.deadline_ns = tty.jobs.now_ns + reading.tenths * NS_PER_TENTH

    def _await_input(self, reading: ReadProgress) -> bool:
        """Sleep until there is something to read; whether it's no use to. Raises Sleep, EAGAIN, EIO."""
        tty = self.tty
        if tty.is_other_closed:
            raise EIO
        deadline_ns = reading.deadline_ns
        if self.is_hung_up or (deadline_ns is not None and tty.jobs.now_ns >= deadline_ns):
            return True
        if not self.is_blocking or reading.era != tty.era:
            raise EAGAIN
        if reading.taken and tty.jobs.has_pending_signal:
            return True
        tty.reader = reading
        raise Sleep(tty.read_queue, deadline_ns=deadline_ns, progress=reading)

    def write(self, data: bytes) -> int:
        """Linux: drivers/tty/n_tty.c, n_tty_write."""
        tty = self.tty
        if self.is_hung_up or tty.has_io_error:
            self._end_writing()
            raise EIO
        may_write = tty.jobs.may_write(tty)
        if not (may_write or self.is_blocking):
            # It's not in the middle of a write, and waits for no room. Linux: drivers/tty/tty_io.c,
            # tty_write_lock.
            raise EAGAIN
        turn = tty.jobs.progress
        is_sent_away = self._is_sent_away(turn)
        if tty.is_null:
            self._end_writing()
            raise EAGAIN if is_sent_away else EOPNOTSUPP("N_NULL")
        if tty.modes.local & TOSTOP and not tty.jobs.has_slept:
            tty.jobs.check_change(tty, SIGTTOU)
        if not data:
            return 0
        count = tty.discipline.write(data, goes_on=tty.jobs.has_slept) if may_write else 0
        looked_count = tty.take_looked_count()
        output = tty.discipline.output
        if output.is_on and (count < len(data) or not output.is_usual):
            # All at once is looked at only where all has room.
            looked_count += count
        if looked_count:
            self.inode.superblock.vfs.clock.spend_typing(looked_count)
        if (
            may_write
            and count < len(data)
            # Who waits for room is woken, and needs no signal.
            and (not self.is_blocking or is_sent_away or tty.jobs.has_pending_signal)
            and any(other.flags & FASYNC for other in tty.files)
        ):
            tty.wants_room = True
        if not count:
            if not self.is_blocking or is_sent_away:
                self._end_writing()
                raise EAGAIN
            if tty.jobs.has_pending_signal:
                # It ends the call.
                self._end_writing()
            else:
                tty.jobs.begin_writing(tty)
            raise Sleep(tty.write_queue, progress=turn if isinstance(turn, Turn) else Turn(tty.era))
        self._end_writing()
        self.inode.mtime_ns = self._time_stamp(self.inode.mtime_ns)
        return count

    def _is_sent_away(self, progress: object) -> bool:
        """Whether a line discipline was chosen since the caller waits. Linux: drivers/tty/n_tty.c,
        n_tty_read, n_tty_write.
        """
        tty = self.tty
        if isinstance(progress, Turn):
            return progress.era != tty.era
        return isinstance(progress, int) and tty.writer_era != tty.era

    def _end_writing(self) -> None:
        """Let others write, or wait no more for the caller, which was about to. Linux: drivers/tty/tty_io.c,
        tty_write_unlock.
        """
        tty = self.tty
        if tty.writer is not None and tty.jobs.may_write(tty):
            tty.writer = None
            tty.write_queue.wake_all()

    def check_message(self, length: int) -> None:
        """Linux: drivers/tty/tty_io.c, file_tty_write, hung_up_tty_write, tty_write_lock."""
        tty = self.tty
        if not (self.is_hung_up or tty.has_io_error or tty.jobs.may_write(tty)):
            if not self.is_blocking:
                raise EAGAIN
            turn = tty.jobs.progress
            raise Sleep(tty.write_queue, progress=turn if isinstance(turn, Turn) else Turn(tty.era))
        self._end_writing()
        if self.is_hung_up or tty.has_io_error:
            raise EIO

    def may_signal(self, events: int) -> bool:
        return bool(self.tty.told_events & events)

    def _time_stamp(self, before_ns: int) -> int:
        """Linux: drivers/tty/tty_io.c, tty_update_time."""
        now_s = self.inode.superblock.vfs.clock.realtime_ns // NS_PER_S
        before_s = before_ns // NS_PER_S
        return now_s * NS_PER_S if (now_s ^ before_s) & _TIME_STAMP_MASK else before_ns

    def poll_mask(self) -> int:
        """Linux: drivers/tty/n_tty.c, n_tty_poll; drivers/tty/tty_io.c, hung_up_tty_poll."""
        if self.is_hung_up:
            return _HUNG_UP_EVENTS
        tty = self.tty
        if tty.is_null:
            return 0
        mask = POLLIN | POLLRDNORM if tty.discipline.poll_has_input() else 0
        if tty.is_packet_mode and tty.has_status():
            mask |= POLLPRI | POLLIN | POLLRDNORM
        if tty.is_other_closed:
            mask |= POLLHUP
        if tty.output_room() > 0 and (tty.writer is None or tty.jobs.may_write(tty)):
            mask |= POLLOUT | POLLWRNORM
        return mask

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.tty.read_queue, self.tty.write_queue)

    def ioctl(self, request: int, argument: int, memory: UserMemory) -> int:
        from procession.fs.terminal.ioctl import control_terminal

        return control_terminal(self, request, argument, memory)
