"""Large programs begin on the native engine, small ones on the emulator."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from procession import Machine
from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.tiered import LARGE_PROGRAM_BYTES, TieredEngine
from tests.guest.compile_c import FLAGS

REASON = why_unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no native engine on this host: {REASON}")
SOURCE = """
#include <unistd.h>
#include <sys/wait.h>

__asm__(".text\\n .fill %d, 1, 0xCC");

int main(int argc, char **argv)
{
	int status = 0;

	if (argc == 1)
		return 0;
	for (int left = 40; left > 0 && status == 0; left--) {
		if (fork() == 0) {
			execv(argv[1], argv + 1);
			_exit(1);
		}
		wait(&status);
	}
	return status != 0;
}
"""


def built(code_bytes: int, directory: Path, c_compiler: list[str], *flags: str) -> str:
    source, program = directory / f"of_{code_bytes}.c", directory / f"of_{code_bytes}"
    source.write_text(SOURCE % code_bytes)
    subprocess.run([*c_compiler, *FLAGS, *flags, "-o", program, source], check=True)
    return str(program)


@pytest.mark.parametrize(
    ("code_bytes", "flags", "is_hot"),
    [
        (LARGE_PROGRAM_BYTES - 4096, (), False),
        (LARGE_PROGRAM_BYTES, (), True),
        (LARGE_PROGRAM_BYTES, ("-static",), False),
    ],
)
def test_where_a_program_begins(
    code_bytes: int,
    flags: tuple[str, ...],
    is_hot: bool,
    c_compiler: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    machine = Machine(engine="auto")
    result = machine.run([built(code_bytes, tmp_path, c_compiler, *flags)])
    assert (result.status, result.stderr) == (0, b"")
    assert isinstance(machine.engine, TieredEngine)
    assert (machine.engine.hot is not None) == is_hot
    # Init waits where the program runs.
    assert machine.engine.is_open == (not is_hot)


@pytest.mark.heavy
def test_a_large_program_that_only_forks(
    c_compiler: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes back to the emulator, and the large programs that it executes begin on the native engine."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    large = built(LARGE_PROGRAM_BYTES, tmp_path, c_compiler)
    machine = Machine(engine="auto")
    demoted: list[bool] = []
    executed: list[int] = []
    demote, begin = TieredEngine._demote, TieredEngine.begin_program

    def noted_demotion(self: TieredEngine, *arguments: object) -> None:
        demoted.append(True)
        demote(self, *arguments)  # type: ignore[arg-type]

    def noted_begin(self: TieredEngine, root_frame: int, code_bytes: int) -> None:
        begin(self, root_frame, code_bytes)
        executed.append(self.spaces[root_frame].is_hot)

    monkeypatch.setattr(TieredEngine, "_demote", noted_demotion)
    monkeypatch.setattr(TieredEngine, "begin_program", noted_begin)
    result = machine.run([large, large])
    assert (result.status, result.stderr) == (0, b"")
    assert executed == [True] * 41
    assert demoted
