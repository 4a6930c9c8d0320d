"""Checks that vector instructions of three operands are found, nothing else, and what is said of them."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from procession.hardware.instruction import find_unknown_instruction, instruction_length, is_vector_extension

FOREIGN = ("c5f1fec2", "c5f877", "c4e271b8c2", "62f17448584040", "8fe97880c0", "64c5f877", "66c5f877")
KNOWN = (
    "4889c5 89c4 85c5 660fc5c5c4 660fc4c462 b8c4c5628f 48b8c4c5628fc4c5628f 83c462 81c5c4c4c4c4 c1e5c5",
    "8fc0 8f00 418fc7 c744c4c5c4c4c4c4 66c704c5c4c4c4c4c5c4 0fc6c0c4 6bc5c4 69c5c4c4c4c4 a0c4c4c4c4c4c4c4c4",
    "f6c4c5 f7c5c4c4c4c4 f7d4 f2480f38f1c4 660f3a0fc4c5 0f1f84c4c5c5c5c5 64488b04c5c4c4c4c4 66c7c5c4c4",
)

TRACED = (sys.executable, "-m", "procession", "run", "--engine", "unicorn", "--trace")


@pytest.mark.parametrize("code", FOREIGN)
@pytest.mark.parametrize("before", ["", *KNOWN])
def test_one_is_found_behind_whatever_looks_like_it(before: str, code: str) -> None:
    assert find_unknown_instruction(bytes.fromhex(before + code)) == len(bytes.fromhex(before))
    assert is_vector_extension(bytes.fromhex(code))


@pytest.mark.parametrize("code", KNOWN)
def test_nothing_else_is_taken_for_one(code: str) -> None:
    assert find_unknown_instruction(bytes.fromhex(code)) == -1
    position = 0
    for instruction in code.split():
        length = len(bytes.fromhex(instruction))
        assert instruction_length(bytes.fromhex(code), position) == length
        position += length


def test_the_quick_way_agrees_with_the_thorough_one() -> None:
    chance = random.Random(5)
    for _ in range(20_000):
        code = chance.randbytes(chance.randrange(40))
        position = 0
        while position < len(code) and instruction_length(code, position):
            position += instruction_length(code, position)
        assert find_unknown_instruction(code) == (position if position < len(code) else -1)


@pytest.mark.parametrize("code", FOREIGN)
def test_who_is_killed_for_one_is_told_why(c_compiler: list[str], tmp_path: Path, code: str) -> None:
    source, program = tmp_path / "avx.c", tmp_path / "avx"
    listed = ", ".join(f"0x{byte:02x}" for byte in bytes.fromhex(code))
    source.write_text(f'int main(void) {{ __asm__ volatile(".byte {listed}"); return 0; }}\n')
    subprocess.run([*c_compiler, "-static", "-o", program, source], check=True)
    command = [
        sys.executable,
        "-m",
        "procession",
        "run",
        "--engine",
        "unicorn",
        "--trace",
        "--rootfs",
        str(tmp_path),
        "--",
        "/avx",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 128 + 4
    lines = run.stderr.splitlines()
    assert lines[-1] == "procession: killed by SIGILL: AVX isn't emulated"
    [delivery] = [line for line in lines if "--- SIGILL" in line]
    assert delivery.endswith("--- (AVX isn't emulated)")


def test_another_invalid_opcode_is_not_blamed_on_avx(c_compiler: list[str], tmp_path: Path) -> None:
    source, program = tmp_path / "ud2.c", tmp_path / "ud2"
    source.write_text('int main(void) { __asm__ volatile("ud2"); return 0; }\n')
    subprocess.run([*c_compiler, "-static", "-o", program, source], check=True)
    command = [
        sys.executable,
        "-m",
        "procession",
        "run",
        "--engine",
        "unicorn",
        "--trace",
        "--rootfs",
        str(tmp_path),
        "--",
        "/ud2",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "AVX" not in run.stderr
    assert run.stderr.endswith("procession: killed by SIGILL\n")
