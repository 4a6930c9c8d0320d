"""The kernel's log: its records, what reads and writes them as /dev/kmsg, and who may (syslog(2))."""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, ClassVar

from procession.abi.duration import NS_PER_S, NS_PER_US
from procession.abi.errno import EAGAIN, EINVAL, EIO, EPERM, EPIPE, ESPIPE
from procession.abi.named_tuple import NamedTuple
from procession.abi.open_flags import O_ACCMODE
from procession.abi.word import pack_u8
from procession.fs.file import (
    O_NONBLOCK,
    O_WRONLY,
    POLLERR,
    POLLIN,
    POLLPRI,
    POLLRDNORM,
    SEEK_DATA,
    SEEK_END,
    SEEK_SET,
    File,
    seek_sized,
)
from procession.fs.permission import CAP_SYS_ADMIN, CAP_SYSLOG
from procession.fs.wait_queue import Sleep, WaitQueue

if TYPE_CHECKING:
    from procession.fs.dentry import Path
    from procession.fs.permission import Subject
    from procession.fs.vfs import Clock
    from procession.mm.page_cache import PageCache

BUFFER_BYTES = 1 << 17
"""How much text the log keeps (Linux: kernel/printk/printk.c, __LOG_BUF_LEN)."""
LONGEST_RECORD = 1024
KERN_EMERG, KERN_ALERT, KERN_CRIT, KERN_ERR, KERN_WARNING, KERN_NOTICE, KERN_INFO, KERN_DEBUG = range(8)
LOG_USER = 1 << 3
"""The facility of what programs write."""
ALWAYS, NEVER, LIMITED = b"on", b"off", b"ratelimit"
"""What kernel.printk_devkmsg says of what programs write."""
_RECORD_COST = 64
_LEVELS = 7
_FACILITY_MASK = 0x7F8
"""Linux: kernel/printk/printk.c, LOG_FACILITY."""
_PREFIX = re.compile(rb"<(\d{1,10})>")


class LogRecord(NamedTuple):
    """One message: its number, its level and facility, its time since the start, and its text."""

    sequence: int
    priority: int
    time_ns: int
    text: bytes


class RateLimit:
    """At most `burst` times in `interval_s` seconds, which begin with the first (Linux: lib/ratelimit.c).

    Without an interval nothing is limited; `missed_count` is what hasn't been told since that was last said.
    """

    __slots__ = ("burst", "interval_s", "left", "missed_count", "start_ns")

    def __init__(self, interval_s: int = 5, burst: int = 10) -> None:
        self.interval_s = interval_s
        self.burst = burst
        self.start_ns: int | None = None
        self.left = self.missed_count = 0

    def lets(self, now_ns: int) -> bool:
        """Whether it may be told now. Linux: lib/ratelimit.c, ___ratelimit."""
        if self.interval_s <= 0 or self.burst <= 0:
            self.start_ns = None
            is_told = self.interval_s == 0 or self.burst > 0
        else:
            if self.has_passed(now_ns):
                self.start_ns, self.left = now_ns, self.burst
            is_told = self.left > 0
            self.left -= is_told
        self.missed_count += not is_told
        return is_told

    def has_passed(self, now_ns: int) -> bool:
        """Whether a new interval begins."""
        return self.start_ns is None or now_ns > self.start_ns + self.interval_s * NS_PER_S

    def take_missed(self) -> int:
        """How often it wasn't told; from now on that's counted anew."""
        missed, self.missed_count = self.missed_count, 0
        return missed


class KernelLog:
    """The records that there still are, oldest first (Linux: kernel/printk/printk.c).

    `clear_sequence` is where SYSLOG_ACTION_CLEAR was; `read_sequence` and `read_offset` how far
    SYSLOG_ACTION_READ has come. `is_restricted` is kernel.dmesg_restrict; `console_levels` are the numbers of
    kernel.printk, `saved_console_level` the first of them while the console is off.

    `taken_of_programs` is kernel.printk_devkmsg. `limit` is what holds the kernel's own messages back that a
    program can cause (kernel.printk_ratelimit and printk_ratelimit_burst); `tells_of_faults` is
    debug.exception-trace, and `tells_of_ends` kernel.print-fatal-signals.
    """

    __slots__ = (
        "bytes",
        "clear_sequence",
        "clock",
        "console_levels",
        "is_restricted",
        "limit",
        "next_sequence",
        "queue",
        "read_offset",
        "read_sequence",
        "records",
        "saved_console_level",
        "taken_of_programs",
        "tells_of_ends",
        "tells_of_faults",
    )

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.records: deque[LogRecord] = deque()
        self.bytes = 0
        self.next_sequence = 0
        self.clear_sequence = 0
        self.read_sequence = self.read_offset = 0
        # As Debian has it.
        self.is_restricted = 1
        self.console_levels = [7, 4, 1, 7]
        self.saved_console_level: int | None = None
        self.taken_of_programs = LIMITED
        self.limit = RateLimit()
        self.tells_of_faults, self.tells_of_ends = 1, 0
        self.queue = WaitQueue(POLLIN | POLLRDNORM)

    @property
    def first_sequence(self) -> int:
        """The number of the oldest record that is there."""
        return self.records[0].sequence if self.records else self.next_sequence

    def append(self, priority: int, text: bytes, time_ns: int | None = None) -> None:
        """One more message, of now unless it's said; the oldest ones go. In Linux, printk()."""
        record = LogRecord(
            self.next_sequence, priority, self.clock.now_ns if time_ns is None else time_ns, text
        )
        self.next_sequence += 1
        self.records.append(record)
        self.bytes += len(text) + _RECORD_COST
        while self.bytes > BUFFER_BYTES:
            self.bytes -= len(self.records.popleft().text) + _RECORD_COST
        self.queue.wake_all()

    def lets_tell(self, teller: bytes) -> bool:
        """Whether one more of the messages that are held back may come, from the function `teller`.

        Linux: kernel/printk/printk.c, __printk_ratelimit.
        """
        now_ns = self.clock.now_ns
        if self.limit.interval_s > 0 and self.limit.burst > 0 and self.limit.has_passed(now_ns):
            missed = self.limit.take_missed()
            if missed:
                self.append(KERN_WARNING, b"%s: %d callbacks suppressed" % (teller, missed))
        return self.limit.lets(now_ns)

    def record(self, sequence: int) -> LogRecord | None:
        """The record of that number; None if it has gone or hasn't come."""
        index = sequence - self.first_sequence
        return self.records[index] if 0 <= index < len(self.records) else None

    def check_access(self, subject: Subject, *, is_looking: bool) -> None:
        """Raise EPERM unless `subject` may use the log: anybody may look at it if it isn't restricted.

        Linux: kernel/printk/printk.c, check_syslog_permissions.
        """
        if is_looking and not self.is_restricted:
            return
        if not subject.capable(CAP_SYSLOG) and not subject.capable(CAP_SYS_ADMIN):
            raise EPERM("takes CAP_SYSLOG")

    # As lines of text, which syslog(2) and /proc/kmsg give

    def unread_bytes(self) -> int:
        """How much SYSLOG_ACTION_READ has still to give."""
        self._skip_lost()
        total = sum(len(line_of(record)) for record in self._from(self.read_sequence))
        return total - self.read_offset

    def read_lines(self, length: int) -> bytes:
        """What SYSLOG_ACTION_READ gives next, and so removes, up to `length` bytes; b"" for nothing."""
        self._skip_lost()
        parts: list[bytes] = []
        while length:
            record = self.record(self.read_sequence)
            if record is None:
                break
            line = line_of(record)[self.read_offset :]
            if len(line) <= length:
                self.read_sequence += 1
                self.read_offset = 0
            elif parts:
                break
            else:
                # A record that doesn't fit at all comes in pieces.
                line = line[:length]
                self.read_offset += length
            parts.append(line)
            length -= len(line)
        return b"".join(parts)

    def last_lines(self, length: int) -> bytes:
        """The last records since the last clearing that go into `length` bytes."""
        parts: list[bytes] = []
        for record in reversed(self._from(self.clear_sequence)):
            line = line_of(record)
            if len(line) > length:
                break
            length -= len(line)
            parts.append(line)
        return b"".join(reversed(parts))

    def clear(self) -> None:
        """SYSLOG_ACTION_CLEAR: who looks sees nothing of what came before."""
        self.clear_sequence = self.next_sequence

    def _from(self, sequence: int) -> list[LogRecord]:
        return [record for record in self.records if record.sequence >= sequence]

    def _skip_lost(self) -> None:
        if self.read_sequence < self.first_sequence:
            self.read_sequence, self.read_offset = self.first_sequence, 0


def open_log_file(path: Path, flags: int, subject: Subject) -> File:
    """Open /dev/kmsg. Raises EPERM: everybody whom its mode lets may write. Linux: kernel/printk/printk.c,
    devkmsg_open.
    """
    log = path.inode.superblock.vfs.log
    if log.taken_of_programs.startswith(NEVER):
        raise EPERM("nobody writes to it (kernel.printk_devkmsg)")
    if flags & O_ACCMODE != O_WRONLY:
        log.check_access(subject, is_looking=True)
    return LogFile(path, flags, subject, log)


def line_of(record: LogRecord) -> bytes:
    """A record as syslog(2) shows it. Linux: kernel/printk/printk.c, record_print_text."""
    seconds, rest_ns = divmod(record.time_ns, NS_PER_S)
    prefix = b"<%d>[%5d.%06d] " % (record.priority, seconds, rest_ns // NS_PER_US)
    return b"".join(prefix + line + b"\n" for line in record.text.split(b"\n"))


class LogFile(File):
    """/dev/kmsg, of which each open file has a place of its own. Linux: kernel/printk/printk.c, kmsg_fops."""

    __slots__ = ("limit", "log", "sequence")

    is_seekable = True
    takes_offset = True
    takes_read_flags: ClassVar[bool] = False
    has_splice_write: ClassVar[bool] = False

    def __init__(self, path: Path, flags: int, subject: Subject, log: KernelLog) -> None:
        super().__init__(path, flags, subject)
        self.log = log
        self.limit = RateLimit()
        self.sequence = log.first_sequence

    def release(self) -> None:
        """Say what was lost of too many messages. Linux: kernel/printk/printk.c, devkmsg_release."""
        missed = self.limit.take_missed()
        caller = self.inode.superblock.vfs.caller
        if missed and caller is not None:
            name = caller.acting_name
            text = b"%s: %d output lines suppressed due to ratelimiting" % (name, missed)
            self.log.append(KERN_WARNING, text)

    def read(self, length: int) -> bytes:
        """One record. Linux: kernel/printk/printk.c, devkmsg_read."""
        log = self.log
        if self.sequence < log.first_sequence:
            self.sequence = log.first_sequence
            raise EPIPE("records were lost")
        record = log.record(self.sequence)
        if record is None:
            if self.flags & O_NONBLOCK:
                raise EAGAIN
            raise Sleep(log.queue)
        text = b"%d,%d,%d,-;%s\n" % (
            record.priority,
            record.sequence,
            record.time_ns // NS_PER_US,
            _escaped(record.text),
        )
        self.sequence += 1
        if len(text) > length:
            raise EINVAL("no room for the record")
        return text

    def read_at(self, offset: int, length: int) -> bytes:
        return self.read(length)

    def put_back(self, data: bytes) -> None:
        """What couldn't be handed over is lost."""

    def write(self, data: bytes) -> int:
        """A message. Linux: kernel/printk/printk.c, devkmsg_write."""
        if len(data) > LONGEST_RECORD:
            raise EINVAL("too long a message")
        rule = self.log.taken_of_programs
        is_limited = rule.startswith(LIMITED)
        if rule.startswith(NEVER) or (is_limited and not self.limit.lets(self.log.clock.now_ns)):
            return len(data)
        priority, text = LOG_USER | self.log.console_levels[1], data
        prefix = _PREFIX.match(data)
        if prefix is not None:
            number = int(prefix[1])
            facility = number & _FACILITY_MASK
            priority = (facility or LOG_USER) | number & _LEVELS
            text = data[prefix.end() :]
        self.log.append(priority, text.split(b"\0", 1)[0].removesuffix(b"\n"))
        return len(data)

    def write_at(self, offset: int, data: bytes) -> int:
        return self.write(data)

    def seek(self, offset: int, whence: int) -> int:
        """Linux: kernel/printk/printk.c, devkmsg_llseek."""
        if offset:
            raise ESPIPE
        log = self.log
        if whence == SEEK_SET:
            self.sequence = log.first_sequence
        elif whence == SEEK_DATA:
            self.sequence = log.clear_sequence
        elif whence == SEEK_END:
            self.sequence = log.next_sequence
        else:
            raise EINVAL
        return 0

    def poll_mask(self) -> int:
        """Linux: kernel/printk/printk.c, devkmsg_poll."""
        log = self.log
        if self.sequence >= log.next_sequence:
            return 0
        return POLLIN | POLLRDNORM | (POLLERR | POLLPRI if self.sequence < log.first_sequence else 0)

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.log.queue,)


def _escaped(text: bytes) -> bytes:
    """A record's text on one line. Linux: kernel/printk/printk.c, append_char."""
    return b"".join(
        pack_u8(byte) if 32 <= byte < 127 and byte != 0x5C else b"\\x%02x" % byte for byte in text
    )


class LogLinesFile(File):
    """/proc/kmsg: reads as SYSLOG_ACTION_READ does. Linux: fs/proc/kmsg.c."""

    __slots__ = ("log",)

    is_seekable = True
    takes_offset = True
    takes_read_flags: ClassVar[bool] = False

    def __init__(self, path: Path, flags: int, subject: Subject, log: KernelLog) -> None:
        super().__init__(path, flags, subject)
        self.log = log

    def read(self, length: int) -> bytes:
        lines = self.log.read_lines(length)
        if not lines and length:
            if self.flags & O_NONBLOCK:
                raise EAGAIN
            raise Sleep(self.log.queue)
        return lines

    def read_at(self, offset: int, length: int) -> bytes:
        """Wherever one reads, it's what hasn't been read."""
        return self.read(length)

    def check_message(self, length: int) -> None:
        raise EIO

    def write(self, data: bytes) -> int:
        """Linux: fs/proc/inode.c, proc_reg_write."""
        raise EIO

    def write_at(self, offset: int, data: bytes) -> int:
        raise EIO

    def mappable(self) -> PageCache | None:
        """Linux: fs/proc/inode.c, proc_reg_mmap."""
        raise EIO

    def seek(self, offset: int, whence: int) -> int:
        """Linux: fs/read_write.c, generic_file_llseek."""
        return seek_sized(self, offset, whence, 0)

    def poll_mask(self) -> int:
        return POLLIN | POLLRDNORM if self.log.unread_bytes() else 0

    def wait_queues(self) -> tuple[WaitQueue, ...]:
        return (self.log.queue,)
