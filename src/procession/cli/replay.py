"""`procession replay`: a recorded run again, which is checked against the recording as it goes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from procession.abi.errno import Errno
from procession.cli.run import CANNOT_WRITE, KERNEL_BUG, USE_ERROR, fail, finish_view, status_of
from procession.kernel.decider import ScheduleLeft
from procession.launch import StartFailure
from procession.recording.file import RecordingError, read_recording
from procession.recording.host_files import UnknownQuestion
from procession.recording.replay import (
    Divergence,
    ReplayedWorld,
    changed_files,
    check_end,
    machine_of,
)

if TYPE_CHECKING:
    from procession.cli.view import View
    from procession.machine import Machine
    from procession.recording.file import Recording

DIVERGED = 3
_MOST_NAMED = 10


def replay_file(name: str, rootfs: str | None, view: View | None, *, shows_output: bool) -> int:
    """Run the recording `name` again; the status with which to exit."""
    try:
        recording = read_recording(Path(name))
        machine = machine_of(recording, rootfs)
        if recording.kind == "terminal":
            machine.open_terminal()
        world = ReplayedWorld(machine, recording, shows_output=shows_output)
    except OSError as error:
        return fail(f"{error.filename or name}: {error.strerror}", USE_ERROR)
    except (Errno, RecordingError, UnknownQuestion, ValueError) as error:
        return fail(f"{name}: {error}", USE_ERROR)
    changed = changed_files(recording, machine, rootfs)
    try:
        if view is not None:
            view.open(is_terminal_raw=False)
            view.watch(machine, ignored=None if recording.is_pid1 else machine.init.group)
        status = replay(recording, machine, world, view)
        if not changed:
            return status
        tell_changed(changed)
        return fail("so this isn't the recorded run, though it ended alike", DIVERGED)
    except (StartFailure, Errno) as error:
        tell_changed(changed)
        return fail(f"{recording.command[0]}: {error}", DIVERGED)
    except RecordingError as error:
        return fail(f"{name}: {error}", USE_ERROR)
    except (Divergence, ScheduleLeft, UnknownQuestion) as error:
        tell_changed(changed)
        return fail(f"{error}", DIVERGED)
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}", USE_ERROR)
    except Exception as error:
        if "state" in recording.end:
            raise
        return fail(f"the recorded bug again: {type(error).__name__}: {error}", KERNEL_BUG)
    finally:
        if view is not None:
            view.close()


def replay(recording: Recording, machine: Machine, world: ReplayedWorld, view: View | None) -> int:
    """Run it, and check how it ends. Raises Divergence."""
    result = machine.run_again(world, recording.command, pid1=recording.is_pid1)
    is_complete = view is None or finish_view(view)
    check_end(recording, machine, result)
    return status_of(result) or (0 if is_complete else CANNOT_WRITE)


def tell_changed(changed: list[str]) -> None:
    """Name the host's files that aren't what they were."""
    for name in changed[:_MOST_NAMED]:
        fail(f"/{name} has changed since it was recorded", 0)
    if len(changed) > _MOST_NAMED:
        fail(f"and so have {len(changed) - _MOST_NAMED} more", 0)
