"""The one way by which anything from outside reaches a running machine, so that it can be written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.abi.signals import Signal, SignalCode
from procession.kernel.signal.generation import send_group_signal
from procession.kernel.signal.info import SigInfo

if TYPE_CHECKING:
    from procession.fs.host_stream import HostInput, HostOutput
    from procession.fs.terminal.host import HostTerminal
    from procession.kernel.kernel import Kernel
    from procession.kernel.task import ThreadGroup

SI_KERNEL = int(SignalCode.SI_KERNEL)

Argument = bytes | int | str | tuple[int, int] | None


class InletAction(NamedTuple):
    """One thing that was done to the machine between two slices of its run.

    `slice_count` is how many slices had been run, `name` a method of `Inlet`, `argument` what it was given.
    """

    slice_count: int
    name: str
    argument: Argument


class Inlet:
    """Does to a machine what the world outside wants, and keeps what that was in `actions`.

    It acts between slices only, and slices end where the machine's own state says: so the same actions after
    the same numbers of slices give the same run. `slice_count` counts them. Bytes are kept as long as the run
    lasts: they're what was typed or piped in, and seldom many; past `kept_bytes` no more is kept, and
    `is_complete` is unset.
    """

    __slots__ = (
        "actions",
        "command",
        "input",
        "is_complete",
        "kept_bytes",
        "kernel",
        "output",
        "slice_count",
        "terminal",
    )

    def __init__(
        self, kernel: Kernel, machine_input: HostInput, machine_output: HostOutput, kept_bytes: int = 64 << 20
    ) -> None:
        self.kernel = kernel
        self.input = machine_input
        self.output = machine_output
        self.terminal: HostTerminal | None = None
        self.command: ThreadGroup | None = None
        self.kept_bytes = kept_bytes
        self.is_complete = True
        self.slice_count = 0
        self.actions: list[InletAction] = []

    def perform(self, name: str, argument: Argument) -> None:
        """Do again what is written down. Raises ValueError for what isn't an action with its argument."""
        kind = _ACTIONS.get(name)
        if kind is None or not isinstance(argument, kind):
            raise ValueError(f"{name!r} with {argument!r} is nothing that can be done to a machine")
        if kind is type(None):
            getattr(self, name)()
        else:
            getattr(self, name)(argument)

    def _note(self, name: str, argument: Argument = None) -> None:
        if isinstance(argument, bytes):
            self.kept_bytes -= len(argument)
            if self.kept_bytes < 0:
                self.is_complete = False
        if self.is_complete:
            self.actions.append(InletAction(self.slice_count, name, argument))

    # Streams

    def feed(self, data: bytes) -> None:
        """More has come on standard input."""
        self._note("feed", data)
        self.input.feed(data)

    def end_input(self) -> None:
        """Nothing more will come on standard input."""
        self._note("end_input")
        self.input.end()

    def break_stream(self, number: int) -> None:
        """The reader of output stream `number` has gone."""
        self._note("break_stream", number)
        self.output.break_stream(number)

    # A terminal

    def type(self, data: bytes) -> int:
        """Somebody types `data`; how much of it there was room for."""
        terminal = self._terminal
        taken = terminal.feed(data)
        if taken:
            self._note("type", data[:taken])
        return taken

    def resize(self, size: tuple[int, int]) -> None:
        """The window has so many rows and columns now."""
        self._note("resize", size)
        self._terminal.resize(*size)

    def signal_terminal(self, signo: int) -> None:
        """The terminal's foreground gets a signal."""
        self._note("signal_terminal", signo)
        self._terminal.send_signal(signo)

    def hang_up(self) -> None:
        """Whoever sat at the terminal has gone."""
        self._note("hang_up")
        self._terminal.hang_up()

    @property
    def _terminal(self) -> HostTerminal:
        if self.terminal is None:
            raise ValueError("the machine has no terminal")
        return self.terminal

    # Signals and time

    def signal(self, name: str) -> None:
        """The command's process group gets the signal `name`."""
        self._note("signal", name)
        if self.command is not None:
            info = SigInfo(int(Signal[name]), SI_KERNEL)
            for member in list(self.command.process_group.members):
                send_group_signal(self.kernel, member, info)

    def jump_to_next(self) -> bool:
        """Nobody can run: let the clock jump to the next timer. False if there is none."""
        if not self.kernel.timers.jump_to_next():
            return False
        self._note("jump_to_next")
        return True

    def pass_to(self, now_ns: int) -> None:
        """Nobody has run, and it is `now_ns` outside: so it is inside, if no timer is due before."""
        self._note("pass_to", now_ns)
        kernel = self.kernel
        deadline_ns = kernel.timers.next_deadline_ns()
        kernel.clock.jump_to(now_ns if deadline_ns is None else min(now_ns, deadline_ns))
        kernel.timers.run_due()


_ACTIONS: dict[str, type] = {
    "feed": bytes,
    "end_input": type(None),
    "break_stream": int,
    "type": bytes,
    "resize": tuple,
    "signal_terminal": int,
    "hang_up": type(None),
    "signal": str,
    "jump_to_next": type(None),
    "pass_to": int,
}
"""What can be done, and of which type its argument is."""
