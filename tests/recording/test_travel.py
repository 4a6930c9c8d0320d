"""Going about in a recorded run leads nowhere but through that run."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from procession.recording.file import Recording, read_recording
from procession.recording.travel import ReplayedSteps, travel
from tests.of_a_kind import IS_FULL, first_of

SCRIPTS = {
    "input": "read a; echo got $a; (sleep 0.2; echo slept) & wait; cat | tr a-z A-Z; exit 3",
    "signals": "trap 'echo t' USR1; (kill -USR1 $$; kill -USR1 $$) & wait; wait; sleep 0.1",
}


def recorded(script: str, guest_root: Path, path: Path, *options: str) -> Recording:
    subprocess.run(
        [
            *(sys.executable, "-m", "procession", "run", "--rootfs", str(guest_root), *options),
            *("--record", str(path), "--", "bash", "-c", script),
        ],
        input=b"first\nsecond line\n" * 40,
        capture_output=True,
        check=False,
    )
    return read_recording(path)


@pytest.mark.parametrize("name", first_of(1, SCRIPTS))
@pytest.mark.parametrize(
    "options",
    [pytest.param((), id="one"), pytest.param(("--cpus", "2"), id="two", marks=pytest.mark.heavy)],
)
def test_the_end_is_the_recorded_one(
    name: str, options: tuple[str, ...], guest_root: Path, tmp_path: Path
) -> None:
    """However one has gone forward and back before, to the byte of the state."""
    recording = recorded(SCRIPTS[name], guest_root, tmp_path / "run", *options)
    chance = random.Random(name)
    history = travel(recording, interval=200)
    driver = history.driver
    assert isinstance(driver, ReplayedSteps)
    history.run_to_end()
    count = history.count
    for _ in range(8 if IS_FULL else 4):
        history.go_to(chance.randrange(count))
        for _ in range(chance.randrange(12)):
            history.step(chance.choice(("event", "call", "switch", "state")))
        history.back(chance.choice(("event", "call", "switch", "state")))
    history.run_to_end()
    assert history.count == count
    assert driver.machine.state_hash() == recording.end["state"]
    assert driver.machine.inlet.slice_count == recording.end["slices"]
    if name == "input":
        assert b"".join(data for _, data in driver.world.shown).endswith(b"SECOND LINE\n")
