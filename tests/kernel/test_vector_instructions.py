"""Checks that vector instructions of three operands are found, nothing else, and what is said of them."""

from __future__ import annotations

import ctypes
import mmap
import random
import subprocess
import sys
from pathlib import Path

import pytest

from procession.hardware.engines.unicorn_machine_code import Assembly
from procession.hardware.engines.unicorn_scan import look_through
from procession.hardware.instruction import (
    LENGTH_TABLES,
    find_unknown_instruction,
    instruction_length,
    is_transaction,
    is_vector_extension,
)
from tests.of_a_kind import first_of

FOREIGN = ("c5f1fec2", "c5f877", "c4e271b8c2", "62f17448584040", "8fe97880c0", "64c5f877", "66c5f877")
TRANSACTIONS = ("c7f800000000", "c6f812", "66c7f80000", "41c7f800000000")
KNOWN = (
    "4889c5 89c4 85c5 660fc5c5c4 660fc4c462 b8c4c5628f 48b8c4c5628fc4c5628f 83c462 81c5c4c4c4c4 c1e5c5",
    "8fc0 8f00 418fc7 c744c4c5c4c4c4c4 66c704c5c4c4c4c4c5c4 0fc6c0c4 6bc5c4 69c5c4c4c4c4 a0c4c4c4c4c4c4c4c4",
    "83c7f8 c7c0f8c7f8c6 c647c7f8 c6c6f8 b8c7f8c6f8 c7843dc7f8c6f8c7f8c6f8",
    "f6c4c5 f7c5c4c4c4c4 f7d4 f2480f38f1c4 660f3a0fc4c5 0f1f84c4c5c5c5c5 64488b04c5c4c4c4c4 66c7c5c4c4",
)

REFUSED = ("c4e071b8c2", "c4e471b8c2", "c4ff71b8c2", "62f17448584040")
"""What the library itself refuses: VEX with reserved tables of opcodes, and EVEX."""
SUSPICIOUS = b"\xc4\xc5\x8f\xd9\xc6\xc7\xf8"

TRACED = (sys.executable, "-m", "procession", "run", "--engine", "unicorn", "--trace")


@pytest.mark.parametrize("code", FOREIGN)
@pytest.mark.parametrize("before", ["", *KNOWN])
def test_one_is_found_behind_whatever_looks_like_it(before: str, code: str) -> None:
    assert find_unknown_instruction(bytes.fromhex(before + code)) == len(bytes.fromhex(before))
    assert is_vector_extension(bytes.fromhex(code))


@pytest.mark.parametrize("code", TRANSACTIONS)
@pytest.mark.parametrize("before", ["", *KNOWN])
@pytest.mark.parametrize("after", ["", "c5f877"])
def test_transactions_are_found_too(before: str, code: str, after: str) -> None:
    block = bytes.fromhex(before + code + after)
    assert find_unknown_instruction(block) == len(bytes.fromhex(before))
    assert MachineCode().asks(block)
    assert is_transaction(bytes.fromhex(code))
    assert not is_transaction(bytes.fromhex("83c7f8"))


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


class MachineCode:
    """What looks through blocks, as a function of a block's code."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 8192, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        code = Assembly()
        code.add("4989f8 4989f1")  # mov r8, rdi; mov r9, rsi
        look_through(code, start)
        code.label("ask")
        code.add("b801000000 c3")  # mov eax, 1; ret
        code.label("return")
        code.add("31c0 c3")  # xor eax, eax; ret
        image = LENGTH_TABLES + code.finish()
        self.memory[: len(image)] = image
        self.start = start + 4096
        self.call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(
            start + len(LENGTH_TABLES)
        )

    def asks(self, code: bytes) -> bool:
        """Whether Python is to look at a block."""
        self.memory[4096 : 4096 + len(code)] = code
        return bool(self.call(self.start, self.start + len(code)))


def is_refused(code: bytes) -> bool:
    """Whether the instruction at the start of `code` is one that the library itself refuses."""
    while code[:1] and (code[0] in b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3" or code[0] & 0xF0 == 0x40):
        code = code[1:]
    return code[:1] == b"\x62" or (code[:1] == b"\xc4" and code[1:2] != b"" and code[1] & 31 not in (1, 2, 3))


class TestMachineCodeThatLooksThroughBlocks:
    @pytest.mark.parametrize("code", [code for code in FOREIGN if code not in REFUSED])
    @pytest.mark.parametrize("before", ["", *KNOWN])
    def test_asks_for_each_that_is_sought(self, before: str, code: str) -> None:
        assert MachineCode().asks(bytes.fromhex(before + code))

    @pytest.mark.parametrize("code", ["d9fe", "4889c5d9fe", "0f1f84c4c5c5c5c5d9f0"])
    def test_asks_for_functions_of_the_x87(self, code: str) -> None:
        assert MachineCode().asks(bytes.fromhex(code))

    @pytest.mark.parametrize("code", ["66b8c4c5 90", "6681c5c4c4 90", "66c704c5c4c4c4c4c5c4", "660f8fc5c4"])
    def test_asks_where_a_prefix_may_have_made_an_operand_shorter(self, code: str) -> None:
        assert MachineCode().asks(bytes.fromhex(code))

    @pytest.mark.parametrize(
        "code",
        [
            *("4889c5 85c5", "89c4c3", "83c410 5b c3", "0f8fc5000000", "488d84c5c4c4c4c4", "b8c4c5628f 89c5"),
            *("4883c4c5", "f20f10c5 c3", "8fc0 8f00 418fc4 90", "410fb644c5c5", "e8c5c4c48f 31c0"),
            *("660fefc5", "66440f6fc5 90", "660f70c5c4 c3", "64488b0425c5000000", "66662e0f1f84c4c5000000"),
            *(
                "3effe5 83c4c5",
                "f3660fd6c5",
                "f6c5c4 c3",
                "40f6c5c4 89c5",
                "f7c5c4c4c4c4 83c4c5",
                "49f7fc f7d4 89c5",
            ),
        ],
    )
    def test_finds_out_by_itself_where_the_forms_are_simple(self, code: str) -> None:
        assert not MachineCode().asks(bytes.fromhex(code))

    @pytest.mark.heavy
    def test_never_misses_one(self) -> None:
        chance, machine_code, asked = random.Random(6), MachineCode(), 0
        for _ in range(200_000):
            code = bytearray(chance.randbytes(chance.randrange(1, 40)))
            for _ in range(chance.randrange(6)):
                code[chance.randrange(len(code))] = chance.choice(SUSPICIOUS)
            block = bytes(code)
            asks = machine_code.asks(block)
            asked += asks
            if not asks:
                found = find_unknown_instruction(block)
                assert found < 0 or is_refused(block[found:]) or block[found:] in (b"\xc5", b"\xd9")
        assert 20_000 < asked < 180_000


@pytest.mark.parametrize("code", first_of(1, REFUSED))
def test_what_the_library_refuses_is_an_invalid_opcode(
    c_compiler: list[str], tmp_path: Path, code: str
) -> None:
    source, program = tmp_path / "refused.c", tmp_path / "refused"
    listed = ", ".join(f"0x{byte:02x}" for byte in bytes.fromhex(code))
    source.write_text(f'int main(void) {{ __asm__ volatile(".byte {listed}"); return 0; }}\n')
    subprocess.run([*c_compiler, "-static", "-o", program, source], check=True)
    command = [sys.executable, "-m", "procession", "run", "--engine", "unicorn", "--rootfs", str(tmp_path)]
    run = subprocess.run([*command, "--", "/refused"], capture_output=True, check=False)
    assert run.returncode == 128 + 4
    assert subprocess.run([program], check=False).returncode in (-4, 0)


@pytest.mark.parametrize("code", first_of(1, FOREIGN))
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
