"""Hundreds of programs in one machine, several at once, also where frames must be used again and again."""

from __future__ import annotations

import pytest

from tests.programs.conftest import TIME_LIMIT_S, MakeMachine
from tests.programs.memory_audit import audit
from tests.programs.program_script import SCRIPTS, Outcome, ProgramScript, all_scripts

SCRIPT = ProgramScript(SCRIPTS / "many_programs.bash")
MEGABYTE = 1 << 20
# What this script's programs need at least, with the files that they map.
TIGHT = 28 * MEGABYTE


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("memory", [TIGHT, 1024 * MEGABYTE])
def test_outputs_and_frames(memory: int, seed: int, make_machine: MakeMachine) -> None:
    machine = make_machine(memory=memory, seed=seed)
    result = machine.run(SCRIPT.argv, time_limit_s=TIME_LIMIT_S)
    assert str(Outcome(result.status, result.stdout, result.stderr)) == SCRIPT.recorded.read_text("latin-1")
    assert machine.kernel.oom_kill_count == 0
    assert machine.kernel.total_forks > 800
    assert audit(machine) == []


@pytest.mark.heavy
@pytest.mark.parametrize("script", all_scripts(), ids=lambda script: script.path.name)
def test_frames_are_counted_all_along(script: ProgramScript, make_machine: MakeMachine) -> None:
    """The books of the page frames are right in the middle of everything."""
    machine = make_machine(seed=1)
    traps = machine.traps
    system_call = traps.system_call
    call_count = 0

    def audited_system_call() -> None:
        nonlocal call_count
        system_call()
        call_count += 1
        if call_count % 499 == 0:
            assert audit(machine) == []

    traps.system_call = audited_system_call  # type: ignore[method-assign]
    machine.run(script.argv, time_limit_s=TIME_LIMIT_S)
    assert audit(machine) == []
