"""Writing a finding down: as a recording, which replay and inspect open, and as a small JSON file."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procession.explore.facts import FactWatcher
from procession.explore.oracle import DEADLOCK, ENDLESS, EXITED, Run
from procession.kernel.decider import ScheduledDecider
from procession.recording.file import write_recording
from procession.recording.host_files import RecordingSource
from procession.recording.recorder import Recorder

if TYPE_CHECKING:
    from procession.explore.explorer import Explorer
    from procession.explore.finding import Finding, Moment
    from procession.explore.program import Program, Schedule
    from procession.explore.story import Story
    from procession.recording.file import Recording
    from procession.trace.call_stack import CallStacks

_SCHEMA = "procession-finding"
_VERSION = 1


def record_schedule(
    program: Program, schedule: Schedule, time_limit_s: float | None, stacks: CallStacks | None = None
) -> tuple[Recording, Run]:
    """Run `schedule` on a machine of its own, as any program is run, and record that; the run for oracles.

    Raises OSError if more came from outside than is kept, so that the recording wouldn't repeat the run.
    """
    settings, source = dict(program.settings), None
    if settings.get("image") is None:
        source = RecordingSource(os.path.realpath(os.fsencode(settings.get("rootfs", "/"))))
        settings["source"] = source
    decider = ScheduledDecider(
        int(program.settings.get("seed", 0)), program.kinds, schedule.trimmed().choices
    )
    machine = program._replace(settings=settings).machine(decider)
    facts = FactWatcher(machine.kernel, stacks)
    machine.observe(facts)
    recorder = Recorder(machine, source)
    result = machine.run(
        program.command, stdin=program.stdin, pid1=program.is_pid1, time_limit_s=time_limit_s
    )
    machine.unobserve(facts)
    if not recorder.is_complete:
        machine.close()
        raise OSError(errno.EFBIG, "more came in than is kept, so that it can't be repeated", "the recording")
    recording = recorder.finish(result)
    ending = EXITED if not result.reason else ENDLESS if result.status == 124 else DEADLOCK
    status = result.status if ending == EXITED else -1
    return recording, Run(
        machine, ending, status, result.stdout, result.stderr, facts.facts, facts.happenings
    )


def save_finding(
    explorer: Explorer, finding: Finding, story: Story, moments: list[Moment], path: Path
) -> bool:
    """Write the recording to `path` and the JSON beside it; False if the recorded run doesn't fail alike.

    Raises OSError.
    """
    world = explorer.world
    world.begin()
    for option, inner in finding.steps:
        world.advance(option, inner)
    schedule = world.schedule
    limit_s = world.time_limit_ns / 1e9 if world.ending == ENDLESS else None
    recording, run = record_schedule(explorer.program, schedule, limit_s, world.stacks)
    is_same = any(
        oracle.name == finding.oracle and oracle.check(run, explorer.expected) for oracle in explorer.oracles
    )
    run.machine.close()
    write_recording(recording, path)
    path.with_suffix(".json").write_text(
        json.dumps(finding_as_json(explorer.program, finding, story, moments, path), indent=1) + "\n"
    )
    return is_same


def finding_as_json(
    program: Program, finding: Finding, story: Story, moments: list[Moment], path: Path
) -> dict[str, Any]:
    """All that is known of a finding, as plain values."""
    return {
        "format": _SCHEMA,
        "version": _VERSION,
        "command": list(program.command),
        "oracle": finding.oracle,
        "problem": finding.problem,
        "status": finding.status,
        "stdout": finding.stdout.decode(errors="replace"),
        "deviations": finding.deviations,
        "recording": path.name,
        "turns": [
            {
                "tid": turn.tid,
                "command": turn.command,
                "step": turn.step,
                "preempted": turn.preempted,
                "lines": list(turn.lines),
            }
            for turn in story.turns
        ],
        "failing": [
            {
                "step": moment.step,
                "failing": moment.failing,
                "tried": moment.tried,
                "all": moment.is_exact,
            }
            for moment in moments
        ],
    }
