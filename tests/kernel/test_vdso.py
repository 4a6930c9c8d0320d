"""The vDSO's code: what it says in assembly is what it is in bytes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from procession.kernel.program.vdso_random import assembly_of_getrandom, code_of_getrandom


def test_an_assembler_makes_the_bytes_of_getrandom(c_compiler: list[str], tmp_path: Path) -> None:
    source, made, raw = (tmp_path / name for name in ("getrandom.s", "getrandom.o", "getrandom.bin"))
    source.write_text(assembly_of_getrandom())
    subprocess.run([*c_compiler, "-c", "-o", made, source], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", made, raw], check=True)
    assert raw.read_bytes() == code_of_getrandom()
