"""What a running machine is joined to outside: the host process's own streams, or its terminal; and time."""

from __future__ import annotations

import os
import select
import signal
import stat
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from procession.abi.duration import NS_PER_S
from procession.abi.signals import Signal
from procession.fs.host_stream import OUTPUT_LIMIT_REASON

if TYPE_CHECKING:
    from procession.fs.terminal.host import HostTerminal
    from procession.inlet import Inlet

_CHUNK_BYTES = 65536
_TYPED_BYTES = 4096
_STDIN, _STDOUT = 0, 1
_NO_DESCRIPTOR = -1
GRACE_S = 3
"""How long, on the host's clock, a machine may go on when its terminal has gone."""
_TOLERATED_LEAD_NS = 2_000_000
"""How far the machine's clock may be ahead before it is held up: the host sleeps no shorter."""


class Attachment(Protocol):
    """What a machine exchanges bytes with while it runs."""

    def exchange(self) -> None:
        """After each slice: take what was written, hand over what has come. It doesn't wait."""

    def pass_time(self) -> bool:
        """Nobody in the machine can run: wait, or let the clock jump; False if that would change nothing."""

    def take_signal(self, name: str) -> bool:
        """The host process got the signal `name`; False if the command is to get it."""

    @property
    def reason_to_end(self) -> str:
        """Why the machine shall end now, whatever its command does; "" for no reason."""


class MachineHolder(Protocol):
    """Who may hold the machine before the processor runs on, as a debugger does."""

    def before_slice(self) -> None:
        """The processor is about to run; it does so when this returns."""

    def join(self, attachment: Attachment) -> Attachment:
        """What the machine shall exchange bytes with instead."""


class RunProgress(Protocol):
    """Who shows how far a run is, told between two slices of it."""

    wants_table: bool

    def before_output(self) -> None:
        """What the guest has written is about to be passed on."""

    def before_waiting(self) -> None:
        """Nobody in the machine can run now."""

    def after_slice(self) -> None:
        """A slice has been run."""


class HostPace:
    """Holds a machine's clock to the host's: it never runs faster, and doesn't stand still while all sleep.

    It may fall behind, as emulation is slow, and stays behind then: nobody's timeout passes while the
    host was busy.
    """

    def __init__(self, inlet: Inlet) -> None:
        self.inlet = inlet
        self.kernel = inlet.kernel
        self.offset_ns = 0
        self.restart()

    def restart(self) -> None:
        """From now on, count from what the machine's clock says."""
        self.offset_ns = time.monotonic_ns() - self.kernel.clock.now_ns

    @property
    def lead_ns(self) -> int:
        """How far the machine's clock is ahead of the host's, negative when it's behind."""
        return self.kernel.clock.now_ns - (time.monotonic_ns() - self.offset_ns)

    def seconds_until(self, deadline_ns: int | None) -> float | None:
        """How long it is, by the host's clock, until the machine's clock may say that."""
        if deadline_ns is None:
            return None
        return max(deadline_ns - time.monotonic_ns() + self.offset_ns, 0) / NS_PER_S

    def follow(self) -> None:
        """Nobody has run: let the machine's clock go on to what the host's says, but past no timer."""
        self.inlet.pass_to(time.monotonic_ns() - self.offset_ns)


class Doorbell:
    """A pipe to wait on beside other descriptors, which a handler of signals can make readable.

    Python calls a handler between two bytecodes. A signal that comes after the last one before a wait would
    be heard when that ends, so the interpreter itself rings too (`signal.set_wakeup_fd`), unless the program
    around has that for its own use.
    """

    def __init__(self) -> None:
        self.reading_end, self.writing_end = os.pipe()
        os.set_blocking(self.reading_end, False)
        os.set_blocking(self.writing_end, False)
        self.is_rung_by_signals = False

    def ring(self) -> None:
        """End a wait, or the next one."""
        try:
            os.write(self.writing_end, b"!")
        except BlockingIOError:
            return

    def wait(self, seconds: float | None, *descriptors: int) -> list[int]:
        """Wait for bytes to read on one of `descriptors`, or for `ring`; which descriptors have some."""
        ready, _, _ = select.select([self.reading_end, *descriptors], [], [], seconds)
        if self.reading_end in ready:
            ready.remove(self.reading_end)
            while len(os.read(self.reading_end, _CHUNK_BYTES)) == _CHUNK_BYTES:
                continue
        return ready

    def __enter__(self) -> Doorbell:
        if threading.current_thread() is threading.main_thread():
            before = signal.set_wakeup_fd(self.writing_end, warn_on_full_buffer=False)
            self.is_rung_by_signals = before == _NO_DESCRIPTOR
            if before != _NO_DESCRIPTOR:
                signal.set_wakeup_fd(before)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the descriptors back."""
        if self.is_rung_by_signals:
            signal.set_wakeup_fd(_NO_DESCRIPTOR)
        os.close(self.reading_end)
        os.close(self.writing_end)


class CapturedOutput:
    """Collects what a machine writes; nothing else comes or goes. `written` holds the bytes by stream.

    `left_bytes` is how much more it may write. Once it has written more, that is the reason to end.
    """

    def __init__(self, inlet: Inlet, limit_bytes: int) -> None:
        self.inlet = inlet
        self.output = inlet.output
        self.limit_bytes = self.left_bytes = limit_bytes
        self.reason_to_end = ""
        self.written: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}

    def exchange(self) -> None:
        """Take what was written."""
        for number, data in self.output.take():
            self.written[number] += data
            self.left_bytes -= len(data)
        if self.left_bytes < 0:
            self.reason_to_end = f"{OUTPUT_LIMIT_REASON} of {self.limit_bytes} bytes is reached"

    def keep(self) -> tuple[int, str, tuple[bytes, ...]]:
        """What was collected so far."""
        return self.left_bytes, self.reason_to_end, tuple(map(bytes, self.written.values()))

    def put_back(self, kept: tuple[int, str, tuple[bytes, ...]]) -> None:
        """Have what `keep` gave."""
        self.left_bytes, self.reason_to_end, written = kept
        self.written = {key: bytearray(data) for key, data in zip(self.written, written, strict=True)}

    def clear(self) -> None:
        """What was collected has been taken: there is room again."""
        for data in self.written.values():
            data.clear()
        self.left_bytes = self.limit_bytes
        self.reason_to_end = ""

    def pass_time(self) -> bool:
        """Let the clock jump to the next timer."""
        return self.inlet.jump_to_next()

    def take_signal(self, name: str) -> bool:
        """The command gets them all."""
        return False


class HostStreams:
    """Moves bytes between a machine and descriptors 0, 1 and 2 of this process.

    With a `pace`, time passes in the machine as it does outside; without, it jumps from timer to timer, but
    not while there is input that somebody waits for. `failure` is why output was lost, unless nobody reads it
    any more.
    """

    reason_to_end = ""

    def __init__(self, inlet: Inlet, doorbell: Doorbell, pace: HostPace | None = None) -> None:
        self.inlet = inlet
        self.kernel = inlet.kernel
        self.input = inlet.input
        self.output = inlet.output
        self.doorbell = doorbell
        self.pace = pace
        self.failure: OSError | None = None
        if _is_null(_STDIN):
            # A program that only looks, and doesn't wait, is to find the end too.
            inlet.end_input()

    def exchange(self) -> None:
        """Write out what the guest has written; a stream that nobody reads any more is broken inside too."""
        if self.output.chunks:
            for number, data in self.output.take():
                if number in self.output.broken:
                    continue
                try:
                    write_all(number, data)
                except OSError as error:
                    if not isinstance(error, BrokenPipeError):
                        self.failure = error
                    self.inlet.break_stream(number)
        if self.pace is not None and (lead_ns := self.pace.lead_ns) > _TOLERATED_LEAD_NS:
            self._wait(lead_ns / NS_PER_S)

    def pass_time(self) -> bool:
        """Wait for input that somebody in the machine waits for, or until the next timer is due."""
        if self.pace is None:
            # What is there already came before any timer: a timeout isn't to win over it.
            if self.input.is_wanted and self._take_ready():
                return True
            if self.inlet.jump_to_next():
                return True
            if not self.input.is_wanted:
                return False
            self._wait(None)
            return True
        deadline_ns = self.kernel.timers.next_deadline_ns()
        if deadline_ns is None and not self.input.is_wanted:
            return False
        if self.pace.lead_ns < 0:
            self.pace.restart()
        self._wait(self.pace.seconds_until(deadline_ns))
        self.pace.follow()
        return True

    def _wait(self, seconds: float | None) -> None:
        wanted = (_STDIN,) if self.input.is_wanted else ()
        try:
            if self.doorbell.wait(seconds, *wanted):
                self._take()
        except (OSError, ValueError):
            self.inlet.end_input()

    def _take_ready(self) -> bool:
        """Hand over what can be read at once, or that nothing more comes; whether there was either."""
        try:
            ready, _, _ = select.select([_STDIN], [], [], 0)
            if not ready:
                return False
            self._take()
        except (OSError, ValueError):
            self.inlet.end_input()
        return True

    def _take(self) -> None:
        """Hand over what has come. Raises OSError."""
        data = os.read(_STDIN, _CHUNK_BYTES)
        if data:
            self.inlet.feed(data)
        else:
            self.inlet.end_input()

    def take_signal(self, name: str) -> bool:
        """The command gets them all."""
        return False


def _is_null(descriptor: int) -> bool:
    """Whether it's /dev/null, whatever tree that was opened in."""
    try:
        status = os.fstat(descriptor)
        return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.stat(os.devnull).st_rdev
    except OSError:
        return False


def write_all(descriptor: int, data: bytes) -> None:
    """Write `data`, waiting where somebody has made the descriptor non-blocking. Raises OSError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def _read_if_ready(descriptor: int, most_bytes: int) -> bytes:
    """What can be read at once, b"" for nothing."""
    try:
        ready, _, _ = select.select([descriptor], [], [], 0)
        return os.read(descriptor, most_bytes) if ready else b""
    except (OSError, ValueError):
        return b""


class JoinedTerminal:
    """Moves bytes between a machine's terminal and the one of this process, in the host's time.

    With `has_keyboard` unset nothing is ever typed. A hang-up outside is one inside, and after it the
    machine has GRACE_S to end. `exchange_count` grows with each exchange; where two are far apart another
    thread may take what is typed in between (`type_meanwhile`).
    """

    def __init__(
        self, inlet: Inlet, terminal: HostTerminal, doorbell: Doorbell, *, has_keyboard: bool = True
    ) -> None:
        self.terminal = terminal
        self.inlet = inlet
        self.kernel = inlet.kernel
        self.doorbell = doorbell
        self.pace = HostPace(inlet)
        self.keyboard: tuple[int, ...] = (_STDIN,) if has_keyboard else ()
        self.typed = b""
        self.exchange_count = 0
        self._reading = threading.Lock()
        self.end_ns: int | None = None

    @property
    def reason_to_end(self) -> str:
        """The terminal has gone a while ago."""
        if self.end_ns is None or time.monotonic_ns() < self.end_ns:
            return ""
        return "the terminal was hung up"

    def hang_up(self) -> None:
        """Whoever sat at the terminal has gone."""
        if self.end_ns is None:
            self.end_ns = time.monotonic_ns() + GRACE_S * NS_PER_S
            self.inlet.hang_up()

    def exchange(self) -> None:
        """Show what was written, and hand over what was typed."""
        self.exchange_count += 1
        self._show()
        lead_ns = self.pace.lead_ns
        self._wait(lead_ns / NS_PER_S if lead_ns > _TOLERATED_LEAD_NS else 0)

    def pass_time(self) -> bool:
        """Wait until something is typed, or the next timer is due."""
        deadline_ns = self.kernel.timers.next_deadline_ns()
        if deadline_ns is None and (self.end_ns is not None or not self.keyboard):
            return False
        if self.pace.lead_ns < 0:
            self.pace.restart()
        self._wait(self.pace.seconds_until(deadline_ns))
        self.pace.follow()
        return True

    def _show(self) -> None:
        if self.terminal.has_output:
            shown = self.terminal.take()
            try:
                if self.end_ns is None:
                    write_all(_STDOUT, shown)
            except OSError:
                self.hang_up()

    def type_meanwhile(self) -> bytes:
        """Called by another thread: take what is typed before the next exchange, which hands it over."""
        with self._reading:
            typed = _read_if_ready(_STDIN, _TYPED_BYTES) if len(self.typed) < _TYPED_BYTES else b""
            self.typed += typed
        if typed:
            self.doorbell.ring()
        return typed

    def show(self, text: bytes) -> None:
        """Called by another thread: write a line of the machine's own to the terminal."""
        with suppress(OSError):
            write_all(_STDOUT, text)

    def _wait(self, seconds: float | None) -> None:
        terminal = self.terminal
        has_room = terminal.has_room
        if self.typed and has_room:
            self.typed = self.typed[self.inlet.type(self.typed) :]
            seconds = 0
        wanted = self.keyboard if has_room and not self.typed else ()
        try:
            if not self.doorbell.wait(seconds, *wanted):
                return
            with self._reading:
                if self.typed:
                    # Another thread has taken what was there, and the next exchange hands it over.
                    return
                self.typed = os.read(_STDIN, _TYPED_BYTES)
        except (OSError, ValueError):
            self.typed = b""
        if self.typed:
            self.typed = self.typed[self.inlet.type(self.typed) :]
        else:
            self.hang_up()

    def resize(self) -> None:
        """The window outside may have another size."""
        for descriptor in (*self.keyboard, _STDOUT):
            try:
                size = os.get_terminal_size(descriptor)
            except OSError:
                continue
            self.inlet.resize((size.lines, size.columns))
            return

    def take_signal(self, name: str) -> bool:
        """What a terminal does about a signal: it changes its size, passes it on, or is gone."""
        if name == "SIGWINCH":
            self.resize()
        elif name in ("SIGINT", "SIGQUIT"):
            self.inlet.signal_terminal(int(Signal[name]))
        elif name in ("SIGHUP", "SIGTERM"):
            self.hang_up()
        else:
            return False
        return True
