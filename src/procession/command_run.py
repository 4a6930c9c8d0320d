"""A command's run on a machine: slice after slice until it has ended, or something ends the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.abi.named_tuple import NamedTuple
from procession.abi.signals import Signal
from procession.breaking_off import BrokenOff, call_in_traceback
from procession.ending import reason_of_guest, status_for
from procession.hardware.instruction import AVX_ISNT_EMULATED
from procession.inspection.steering import has_ended

if TYPE_CHECKING:
    from procession.attachment import Attachment
    from procession.ending import RunLimits
    from procession.kernel.task import Task
    from procession.machine import Machine

_SIGILL = int(Signal.SIGILL)


class Result(NamedTuple):
    """How a run ended.

    `status` is the exit code, or 128+n if signal n ended the program, then `signal` is n. `stdout` and
    `stderr` are what it wrote, empty when they were attached to the host's. `reason` says in words why the
    machine ended the run itself: nobody could ever run again (status 125), a limit (124), or the guest
    turned it off (0) or told it to restart (133).
    `note` is what there is to say of the signal.
    """

    status: int
    stdout: bytes
    stderr: bytes
    signal: int = 0
    reason: str = ""
    note: str = ""


class CommandRun:
    """The run of the command that `machine` has started, in the world `attachment`, within `limits`."""

    __slots__ = ("attachment", "limits", "machine")

    def __init__(self, machine: Machine, attachment: Attachment, limits: RunLimits) -> None:
        self.machine = machine
        self.attachment = attachment if machine.debugger is None else machine.debugger.join(attachment)
        self.limits = limits

    def go(self) -> str:
        """Run until the command has ended; why the machine ended it otherwise, "" if it didn't."""
        machine, limits = self.machine, self.limits
        machine.limits = limits
        try:
            with limits:
                reason = self._run_slices()
        except BrokenOff as error:
            machine.is_broken_off = True
            reason = limits.why_broken_off(call_in_traceback(error))
        finally:
            machine.limits = None
        self.attachment.exchange()
        return reason

    def _run_slices(self) -> str:
        machine, attachment = self.machine, self.attachment
        kernel, command = machine.kernel, machine.command
        assert command is not None
        reason = ""
        while not reason and not has_ended(command.group):
            if machine.debugger is not None:
                machine.debugger.before_slice()
                can_go_on = machine.run_on()
                if machine.is_in_slice:
                    continue
            else:
                can_go_on = machine.run_slice()
            can_go_on = can_go_on or has_ended(command.group)
            machine.inlet.slice_count += 1
            if machine.slice_watcher is not None:
                machine.slice_watcher(machine.inlet.slice_count)
            progress = machine.progress
            if progress is not None and machine.output.chunks:
                progress.before_output()
            attachment.exchange()
            reason = reason_of_guest(kernel) or self.limits.reason
            if reason:
                break
            if progress is not None:
                progress.after_slice()
                if not can_go_on and not machine.forwarded and not kernel.scheduler.has_waiting:
                    progress.before_waiting()
            if machine.forwarded:
                self._deliver_forwarded()
            elif not can_go_on and not kernel.scheduler.has_waiting:
                if not attachment.pass_time():
                    reason = self._why_all_sleep()
                    break
                # Nothing is done at a time beyond the limit.
                reason = self.limits.reason
            reason = reason or attachment.reason_to_end
        return reason

    def _why_all_sleep(self) -> str:
        """Why the machine ends: a line for each task that sleeps for ever, and the circle that they make."""
        from procession.kernel.waits.graph import EVERY_TASK_SLEEPS

        return "\n".join(filter(None, (EVERY_TASK_SLEEPS, self.machine.ipc_graph().explain())))

    def _deliver_forwarded(self) -> None:
        machine = self.machine
        names, machine.forwarded = machine.forwarded, []
        for name in names:
            if not self.attachment.take_signal(name):
                machine.inlet.signal(name)


def result_of(command: Task, reason: str, stdout: bytes, stderr: bytes) -> Result:
    """How the run of `command` ended, which the machine ended for `reason`, or the command itself for ""."""
    if reason:
        return Result(status_for(reason), stdout, stderr, 0, reason)
    code = command.group.exit_code
    signal = code & 0x7F
    note = AVX_ISNT_EMULATED if signal == _SIGILL and command.group.has_met_avx else ""
    return Result(128 + signal if signal else code >> 8, stdout, stderr, signal, note=note)
