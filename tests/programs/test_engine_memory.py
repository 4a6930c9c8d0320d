"""What the engine remembers of code and translations makes no difference to a run but its speed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from procession import Machine
from procession.hardware.engines import unicorn
from tests.programs.conftest import TIME_LIMIT_S, MakeMachine
from tests.programs.program_script import SCRIPTS, ProgramScript, all_scripts

SCRIPT = ProgramScript(SCRIPTS / "process_substitution.bash")
OTHERS = [script for script in all_scripts() if script.path.name != "processor_time.bash"]
HEAVY_TIMEOUT_S = 600


def forget_after_every_trap(machine: Machine, *, calls_per_flush_of_code: int) -> None:
    """Make the engine drop its translations after every trap, and all code after some of them."""
    engine, kernel, traps = machine.engine, machine.kernel, machine.traps
    system_call, page_fault = traps.system_call, traps.page_fault
    trap_count = 0

    def forget() -> None:
        nonlocal trap_count
        trap_count += 1
        if kernel.address_space is not None:
            engine.flush_space(kernel.address_space.tables.root)
        if trap_count % calls_per_flush_of_code == 0:
            engine.forget_code(machine.memory.executable)

    def forgetful_system_call() -> None:
        system_call()
        forget()

    def forgetful_page_fault(address: int, error_code: int) -> None:
        page_fault(address, error_code)
        forget()

    traps.system_call = forgetful_system_call  # type: ignore[method-assign]
    traps.page_fault = forgetful_page_fault  # type: ignore[method-assign]


def run_twice(script: ProgramScript, make_machine: MakeMachine, prepare: Callable[[Machine], None]) -> None:
    """Run a script on a machine as it is and on one changed by `prepare`: the state must be the same."""
    outcomes = []
    for is_prepared in (False, True):
        machine = make_machine(seed=5)
        if is_prepared:
            prepare(machine)
        result = machine.run(script.argv, time_limit_s=TIME_LIMIT_S)
        outcomes.append((result, machine.state_hash()))
    assert outcomes[0] == outcomes[1]


@pytest.mark.heavy
def test_forgetful_engine(make_machine: MakeMachine) -> None:
    run_twice(
        SCRIPT, make_machine, lambda machine: forget_after_every_trap(machine, calls_per_flush_of_code=50)
    )


@pytest.mark.heavy
@pytest.mark.timeout(HEAVY_TIMEOUT_S)
@pytest.mark.parametrize("script", OTHERS, ids=lambda script: script.path.name)
def test_forgetful_engine_at_length(script: ProgramScript, make_machine: MakeMachine) -> None:
    run_twice(
        script, make_machine, lambda machine: forget_after_every_trap(machine, calls_per_flush_of_code=7)
    )


@pytest.mark.heavy
def test_little_room_for_code(make_machine: MakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffer of translated code fills up many times over."""
    roomy = make_machine(seed=5)
    expected = roomy.run(SCRIPT.argv, time_limit_s=TIME_LIMIT_S), roomy.state_hash()
    monkeypatch.setattr(unicorn, "_CODE_BUFFER_BYTES", 1 << 20)
    cramped = make_machine(seed=5)
    assert (cramped.run(SCRIPT.argv, time_limit_s=TIME_LIMIT_S), cramped.state_hash()) == expected
