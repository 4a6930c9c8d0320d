"""Shells and programs in a terminal, typed to as a person does: the terminal shows what it does on Linux."""

from __future__ import annotations

import pytest

from tests.programs.native_linux import NativeLinux, shows_another_priority
from tests.terminal.conftest import Sit
from tests.terminal.dialogue import Dialogue, all_dialogues
from tests.terminal.record_dialogues import hold_natively

# What shells do that others do in other dialogues.
HEAVY = {
    *("bash_background_terminal", "dash_jobs", "hang_ups", "nested_shells", "pipelines"),
    *("python_prompt", "scripts", "zsh_jobs", "zsh_waiting", "canonical_interrupted", "pagers"),
    *("quit_and_flow", "stty", "timeouts", "traps", "window_size", "stopped_jobs_at_exit", "bash_waiting"),
    "expect",
}

SHOWS_PRIORITY = {"sessions"}


def dialogues(heavy: set[str]) -> pytest.MarkDecorator:
    """Every dialogue as a test's parameter; those named in `heavy` are for the heavy run."""
    return pytest.mark.parametrize(
        "dialogue",
        [
            pytest.param(dialogue, id=name, marks=[pytest.mark.heavy] * (name in heavy))
            for dialogue in all_dialogues()
            for name in (dialogue.path.stem,)
        ],
    )


@dialogues(HEAVY)
def test_dialogue_in_procession(dialogue: Dialogue, sit_at_procession: Sit) -> None:
    assert dialogue.hold(sit_at_procession(*dialogue.argv)) == dialogue.recorded.read_text()


# What a native shell prints hangs on how quickly it is scheduled: a loaded host would fail this at random.
@pytest.mark.heavy
@dialogues(set())
def test_dialogue_on_linux(dialogue: Dialogue, native_terminal: NativeLinux) -> None:
    if dialogue.path.stem in SHOWS_PRIORITY and shows_another_priority():
        pytest.skip("programs show the priority that this process has")
    assert hold_natively(dialogue, native_terminal) == dialogue.recorded.read_text()
