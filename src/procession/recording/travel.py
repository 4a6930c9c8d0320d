"""A recorded run in which one can go forward and back."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from procession.abi.named_tuple import NamedTuple
from procession.ending import reason_of_guest
from procession.inspection.steering import has_ended
from procession.recording.replay import ReplayedWorld, machine_of
from procession.snapshot.history import EVENTS_PER_CHECKPOINT, History

if TYPE_CHECKING:
    from procession.inlet import InletAction
    from procession.machine import Machine
    from procession.recording.file import Mark, Recording

_STDOUT = 1


class _Written(NamedTuple):
    """Bytes that were written to a stream, and what had been `before`."""

    before: _Written | None
    stream: int
    data: bytes


class TravelledWorld(ReplayedWorld):
    """A recorded world that can be put back to where it was, or on to where it was later."""

    def __init__(self, machine: Machine, recording: Recording) -> None:
        # A chain: what is kept at one moment is shared with what is at a later one, and never changed.
        self._last: _Written | None = None
        super().__init__(machine, recording, shows_output=False)

    def _show(self) -> None:
        machine = self.machine
        if machine.terminal is not None:
            if machine.terminal.has_output:
                self._last = _Written(self._last, _STDOUT, machine.terminal.take())
        else:
            for stream, data in machine.output.take():
                self._last = _Written(self._last, stream, data)

    @property
    def shown(self) -> list[tuple[int, bytes]]:
        """What was written so far, with its streams."""
        found: list[tuple[int, bytes]] = []
        written = self._last
        while written is not None:
            found.append((written.stream, written.data))
            written = written.before
        return found[::-1]

    def keep(self) -> tuple[tuple[InletAction, ...], tuple[Mark, ...], str, _Written | None]:
        """What is still to come, and what was shown."""
        return tuple(self.actions), tuple(self.marks), self.reason_to_end, self._last

    def put_back(self, kept: tuple[tuple[InletAction, ...], tuple[Mark, ...], str, _Written | None]) -> None:
        """Be where `keep` gave that."""
        actions, marks, self.reason_to_end, self._last = kept
        self.actions, self.marks = deque(actions), deque(marks)


class ReplayedSteps:
    """Runs a machine as it was recorded, and may stop at any event: see `snapshot.history.Driver`.

    Raises what `ReplayedWorld` does.
    """

    def __init__(self, recording: Recording, rootfs: str | None = None) -> None:
        self.machine = machine = machine_of(recording, rootfs)
        if recording.kind == "terminal":
            machine.open_terminal()
        self.world = TravelledWorld(machine, recording)
        self.has_ended = False
        machine.start(recording.command, pid1=recording.is_pid1)

    def advance(self) -> bool:
        """See `Driver`."""
        machine, world = self.machine, self.world
        command = machine.command
        assert command is not None
        if self.has_ended:
            return False
        can_go_on = machine.run_on() or has_ended(command.group)
        if machine.is_in_slice:
            return True
        machine.inlet.slice_count += 1
        world.exchange()
        waits = can_go_on or machine.kernel.scheduler.has_waiting or world.pass_time()
        self.has_ended = bool(
            reason_of_guest(machine.kernel) or not waits or world.reason_to_end or has_ended(command.group)
        )
        return True

    def keep(self) -> Any:
        """See `Driver`."""
        return self.has_ended, self.world.keep()

    def put_back(self, kept: Any) -> None:
        """See `Driver`."""
        self.has_ended, world = kept
        self.world.put_back(world)


def travel(
    recording: Recording, rootfs: str | None = None, *, interval: int = EVENTS_PER_CHECKPOINT
) -> History:
    """The history of `recording`'s run, at its beginning. Its `driver` has the world with the output.

    Raises what a replay does: RecordingError, Divergence, the errno of a program that can't be executed.
    """
    steps = ReplayedSteps(recording, rootfs)
    steps.machine.history = history = History(steps.machine, steps, interval=interval)
    return history
