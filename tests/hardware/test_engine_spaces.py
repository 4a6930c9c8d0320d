"""What every engine knows of address spaces, and of code that changes in them, tried on each."""

from __future__ import annotations

import struct

import pytest

from procession.hardware.engine import FAULT_PROTECTION, FAULT_USER, FAULT_WRITE
from procession.hardware.physical_memory import PAGE_SIZE
from procession.hardware.registers import RBX, RCX, RDX, RIP, Registers
from tests.hardware.processor_bench import ABSENT, CALL, CODE, DATA, EXECUTE, READ, WRITE, Bench, Space

# Address spaces


def test_each_space_has_its_own_pages(bench: Bench) -> None:
    other = bench.new_space()
    code = bytes.fromhex("8b03" + CALL)
    for space, value in ((bench.space, 1), (other, 2)):
        space.write(DATA, struct.pack("<I", value))
        space.write(CODE, code)
    seen = []
    for space in (bench.space, other, bench.space, other):
        bench.use(space)
        registers = Registers()
        registers.general[RIP], registers.general[RBX] = CODE, DATA
        bench.engine.load(registers)
        bench.run()
        seen.append(bench.traps.pop()[1])
    assert seen == [1, 2, 1, 2]


def look(bench: Bench, space: Space) -> int:
    """What a program reads at the beginning of the page of data."""
    bench.use(space)
    registers = Registers()
    registers.general[RIP], registers.general[RBX] = CODE, DATA
    bench.engine.load(registers)
    bench.run()
    return bench.traps.pop()[1]


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize("is_whole", [True, False])
def test_a_mapping_that_changes_is_dropped(bench: Bench, is_live: bool, is_whole: bool) -> None:
    other = bench.new_space()
    for space in (bench.space, other):
        space.write(CODE, bytes.fromhex("8b03" + CALL))
    bench.engine.forget_code(None)
    bench.space.write(DATA, b"\1")
    other.write(DATA, b"\2")
    assert look(bench, bench.space) == 1
    assert look(bench, other) == 2
    changed = other if is_live else bench.space
    changed.map(DATA, READ | WRITE, b"\3")
    if is_whole:
        bench.engine.flush_space(changed.root)
    else:
        bench.engine.flush_pages(changed.root, [DATA])
    assert look(bench, other) == (3 if is_live else 2)
    assert look(bench, bench.space) == (1 if is_live else 3)


def test_rights_that_are_taken_away_are_gone(bench: Bench) -> None:
    bench.on_trap = lambda trap: False
    bench.load(bytes.fromhex("8803" + CALL + "8803" + CALL), {RBX: DATA})
    bench.run()
    bench.space.point(DATA, READ, bench.space.frame(DATA))
    bench.engine.flush_pages(bench.space.root, [DATA])
    bench.run()
    assert bench.traps[1] == ("fault", DATA, FAULT_USER | FAULT_WRITE | FAULT_PROTECTION)


def test_a_root_can_be_anothers(bench: Bench) -> None:
    bench.space.write(CODE, bytes.fromhex("8b03" + CALL))
    bench.space.write(DATA, b"\1")
    assert look(bench, bench.space) == 1
    bench.engine.end_space(bench.space.root)
    # The same frame at the root, and another page below it.
    bench.space.map(DATA, READ | WRITE, b"\2")
    assert look(bench, bench.space) == 2


def test_all_is_dropped_when_memory_is_replaced(bench: Bench) -> None:
    other = bench.new_space()
    for space in (bench.space, other):
        space.write(CODE, bytes.fromhex("8b03" + CALL))
        space.write(DATA, b"\1")
        assert look(bench, space) == 1
        space.map(DATA, READ | WRITE, b"\2")
    bench.engine.flush_all()
    assert [look(bench, space) for space in (bench.space, other)] == [2, 2]


# Code that changes


def test_code_that_the_kernel_writes_is_forgotten(bench: Bench) -> None:
    for value in (1, 2, 3):
        bench.space.write(CODE, bytes.fromhex(f"b8{value:02x}000000" + CALL))
        bench.engine.forget_code([bench.space.frame(CODE)])
        assert look(bench, bench.space) == value


def test_a_program_can_change_its_own_code(bench: Bench) -> None:
    page = ABSENT
    bench.space.map(page, READ | WRITE | EXECUTE, bytes.fromhex("b801000000c3"))
    # call rbx; add edx, eax; inc byte [rbx+1]; dec ecx; jnz to the beginning
    bench.load(bytes.fromhex("ffd3 01c2 fe4301 ffc9 75f5 89d0" + CALL), {RBX: page, RCX: 5, RDX: 0})
    bench.run()
    assert bench.traps == [("call", 1 + 2 + 3 + 4 + 5, 0)]


def test_an_instruction_can_change_the_next_one(bench: Bench) -> None:
    # mov byte [rip+1], 7; mov eax, 1
    code = bytes.fromhex("c6050100000007 b801000000" + CALL)
    bench.space.map(ABSENT, READ | WRITE | EXECUTE, code)
    bench.load(bytes.fromhex("ffe3"), {RBX: ABSENT})
    bench.run()
    assert bench.traps == [("call", 7, 0)]


def test_two_mappings_of_one_page_are_one(bench: Bench) -> None:
    frame = bench.space.map(ABSENT, READ | EXECUTE, bytes.fromhex("b801000000c3"))
    # The kernel maps executable what is writable elsewhere.
    bench.space.point(ABSENT + PAGE_SIZE, READ | WRITE | EXECUTE, frame)
    bench.load(bytes.fromhex("ffd3 01c2 fe8301100000 ffc9 75f2 89d0" + CALL), {RBX: ABSENT, RCX: 3, RDX: 0})
    bench.run()
    assert bench.traps == [("call", 1 + 2 + 3, 0)]
