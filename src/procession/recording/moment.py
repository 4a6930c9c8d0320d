"""One moment of a recorded run: the machine as it was then."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from procession.inspection.event import Event
from procession.inspection.recorder import EventRecorder
from procession.inspection.stop import Breakpoint
from procession.kernel.time.clock import BOOT_NS
from procession.recording.replay import ReplayedWorld, machine_of

if TYPE_CHECKING:
    from procession.machine import Machine
    from procession.recording.file import Recording

END = "end"
_REASON = "the moment has come"
_TIME = re.compile(r"(\d+(?:\.\d+)?)(s|ms|us|ns)")
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


class NotReached(Exception):
    """The run ended before that moment."""


class Moment:
    """When to look: `1.5s` of the run, `exec#3` for the third such event, or `end`.

    Raises ValueError for anything else. Names are those of `Machine.stop_at`.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.time_ns: int | None = None
        self.breakpoint: Breakpoint | None = None
        self.left = 1
        if text == END:
            return
        match = _TIME.fullmatch(text)
        if match is not None:
            self.time_ns = int(float(match[1]) * _UNITS[match[2]])
            return
        name, _, number = text.partition("#")
        if number and not (number.isascii() and number.isdigit() and 0 < int(number) < 1 << 32):
            raise ValueError(f"{text!r}: what follows # is a number from 1 on")
        self.left = int(number or 1)
        self.breakpoint = Breakpoint(name)

    def has_come(self, event: Event) -> bool:
        """Whether it's reached by `event`."""
        if self.time_ns is not None:
            return event.time_ns >= self.time_ns
        if self.breakpoint is not None and self.breakpoint.matches(event):
            self.left -= 1
        return self.left == 0


def machine_at(recording: Recording, moment: Moment, rootfs: str | None = None) -> Machine:
    """The machine of `recording` as it was at `moment`; it can be looked at, but not run on.

    Raises NotReached, and what a replay raises.
    """
    machine = machine_of(recording, rootfs)
    if recording.kind == "terminal":
        machine.open_terminal()
    world = _World(machine, recording, moment)
    if moment.text == END:
        machine.run_again(world, recording.command, pid1=recording.is_pid1)
        return machine

    def take(event: Event) -> None:
        # How the command is made isn't of the run: its own first fork is `fork`, as to Machine.stop_at.
        if machine.command is not None and not machine.shall_stop and moment.has_come(event):
            machine.shall_stop = True
            machine.engine.stop()

    recorder = EventRecorder(machine.kernel, take)
    machine.observe(recorder)
    machine.run_again(world, recording.command, pid1=recording.is_pid1)
    if not machine.shall_stop and not world.is_reached:
        raise NotReached(f"the run ended before {moment.text}")
    machine.unobserve(recorder)
    return machine


class _World(ReplayedWorld):
    """A recorded world that ends when its machine has stopped at the moment.

    It ends too where the clock would jump over a moment's time: `is_reached` is set then.
    """

    def __init__(self, machine: Machine, recording: Recording, moment: Moment) -> None:
        self.moment = moment
        self.is_reached = False
        super().__init__(machine, recording, shows_output=False)

    def act(self) -> None:
        """See `ReplayedWorld`."""
        run_ns, actions = self.moment.time_ns, self.actions
        if run_ns is not None and actions and actions[0].slice_count <= self.machine.inlet.slice_count:
            action, time_ns = actions[0], run_ns + BOOT_NS
            deadline_ns = self.machine.kernel.timers.next_deadline_ns()
            jumps = action.name == "jump_to_next" and deadline_ns is not None and deadline_ns > time_ns
            passes = (
                action.name == "pass_to" and isinstance(action.argument, int) and action.argument > time_ns
            )
            if jumps or passes:
                self.is_reached = True
                self.reason_to_end = _REASON
                return
        super().act()

    def exchange(self) -> None:
        """See `ReplayedWorld`; nothing more comes in once the moment is there."""
        if self.machine.shall_stop:
            self.reason_to_end = _REASON
        elif not self.is_reached:
            super().exchange()

    def pass_time(self) -> bool:
        """See `ReplayedWorld`."""
        return self.machine.shall_stop or self.is_reached or super().pass_time()
