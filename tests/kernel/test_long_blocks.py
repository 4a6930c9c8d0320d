"""Checks that code without a branch, however long and of whatever instructions, is only a program's code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from procession import Machine
from tests.of_a_kind import first_of, heavy

INSTRUCTIONS = (
    "fsin",
    "fcmove %%st(1), %%st",
    "pcmpestri $0, %%xmm0, %%xmm1",
    "lock; addl $1, %0",
    "rcl %%cl, %%edx",
    "fldz; fstp %%st(0)",
    "fadd %%st(1), %%st",
    "fcomi %%st(1), %%st",
    "crc32b %%al, %%edx",
    "addsd %%xmm0, %%xmm1",
)
REPEATED = 1500


@pytest.mark.parametrize("instruction", first_of(5, INSTRUCTIONS))
def test_a_long_block(c_compiler: list[str], tmp_path: Path, instruction: str) -> None:
    source, program = tmp_path / "long.c", tmp_path / "long"
    code = f"fninit; fld1; fld1; .rept {REPEATED}; {instruction}; .endr; fninit"
    source.write_text(
        f'int main(void) {{ int word = 0; __asm__ volatile("{code}" : "+m"(word) : : "rax", "rcx", "rdx",'
        ' "xmm0", "xmm1", "cc", "memory"); return 7; }\n'
    )
    subprocess.run([*c_compiler, "-static", "-o", program, source], check=True)
    machine = Machine(rootfs=tmp_path)
    assert machine.run(["/long"], time_limit_s=1).status == 7
    machine.close()


def test_functions_of_the_x87_take_their_time(c_compiler: list[str], tmp_path: Path) -> None:
    """Else a time limit would bound nothing: each is computed outside of the processor."""
    source, program = tmp_path / "cosine.c", tmp_path / "cosine"
    source.write_text(
        'int main(void) { for (int i = 0; i < 1000; i++) __asm__ volatile("fldz; fcos; fstp %st(0)"); }\n'
    )
    subprocess.run([*c_compiler, "-static", "-o", program, source], check=True)
    machine = Machine(rootfs=tmp_path)
    assert machine.run(["/cosine"]).status == 0
    machine.close()
    assert 10_000_000 <= machine.kernel.clock.run_ns <= 20_000_000


@pytest.mark.parametrize(
    ("instruction", "least_ns"),
    [
        ("fsqrt", 12),
        ("fdiv %%st(1), %%st", 8),
        ("fadd %%st(1), %%st", 4),
        ("fnsave (%%rsp); frstor (%%rsp)", 120),
    ],
)
def test_arithmetic_of_the_x87_takes_its_time(
    c_compiler: list[str], tmp_path: Path, instruction: str, least_ns: int
) -> None:
    """On the emulator each of these is the work of several blocks."""
    source, program = tmp_path / "many.c", tmp_path / "many"
    code = f"fninit; fldpi; fld1; sub $128, %%rsp; .rept 64; {instruction}; .endr; add $128, %%rsp; fninit"
    source.write_text(
        f'int main(void) {{ for (int i = 0; i < 1000; i++) __asm__ volatile("{code}" : : : "memory"); }}\n'
    )
    subprocess.run([*c_compiler, "-static", "-mno-red-zone", "-o", program, source], check=True)
    machine = Machine(rootfs=tmp_path, engine="unicorn")
    assert machine.run(["/many"]).status == 0
    machine.close()
    clock = machine.kernel.clock
    assert least_ns <= (clock.run_ns - clock.kernel_work_ns) / 64_000 <= 2 * least_ns + 4


@pytest.mark.parametrize(
    ("instruction", "more_ns"),
    [
        ("mov (%%rdi), %%rax", 12),
        heavy(("mov 2(%%rdi), %%eax", 12)),
        heavy(("mov 3(%%rdi), %%ax", 12)),
        heavy(("mov %%rax, (%%rdi)", 24)),
        ("mov %%ax, 3(%%rdi)", 24),
        ("movdqu %%xmm0, (%%rdi)", 24),
        heavy(("mov (%%rdi), %%eax", 0)),
        ("mov %%rax, 4(%%rdi)", 0),
        heavy(("mov %%al, 3(%%rdi)", 0)),
    ],
)
def test_accesses_across_the_edge_of_a_page_take_their_time(
    c_compiler: list[str], tmp_path: Path, instruction: str, more_ns: int
) -> None:
    """On the emulator: each four bytes before the edge, or elsewhere in the page."""
    source, program = tmp_path / "edge.c", tmp_path / "edge"
    code = f".rept 64; {instruction}; .endr"
    source.write_text(
        "static char memory[8192] __attribute__((aligned(4096)));\n"
        "int main(int count, char **arguments) {\n"
        "memory[0] = memory[4096] = 1; (void)arguments;\n"
        "for (int i = 0; i < 1000; i++)\n"
        f'__asm__ volatile("{code}" : : "D"(memory + (count == 2 ? 4092 : 2048)) : "rax", "memory"); }}\n'
    )
    subprocess.run([*c_compiler, "-O1", "-static", "-o", program, source], check=True)
    spent_ns: list[int] = []
    for where in ("edge", "-"):
        machine = Machine(rootfs=tmp_path, engine="unicorn")
        assert machine.run(["/edge", *([where] if where == "edge" else [where, where])]).status == 0
        spent_ns.append(machine.kernel.clock.now_ns)
        machine.close()
    assert (spent_ns[0] - spent_ns[1]) / 64_000 == pytest.approx(more_ns, abs=0.1)
