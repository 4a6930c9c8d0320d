"""What every engine does for the kernel: hardware/engine.py's contract, tried on each."""

from __future__ import annotations

import random
import struct
import threading
import time
from array import array

import pytest

from procession.hardware.engine import FAULT_FETCH, FAULT_PROTECTION, FAULT_USER, FAULT_WRITE
from procession.hardware.extended_state import canonical
from procession.hardware.physical_memory import PAGE_SIZE
from procession.hardware.processor_level import LEVELS, V3
from procession.hardware.registers import R8, R11, R15, RAX, RBX, RCX, RDI, RDX, RIP, RSI, RSP, Registers
from tests.hardware.processor_bench import ABSENT, CALL, CODE, DATA, EXECUTE, READ, STACK, WRITE, Bench, Trap
from tests.of_a_kind import first_of

TRAP_FLAG, DIRECTION_FLAG = 0x100, 0x400


# System calls


def test_a_call_traps_behind_its_instruction(bench: Bench) -> None:
    trap, registers = bench.run_code("b807000000" + CALL, rflags=0x202)
    assert trap == ("call", 7, 0)
    assert registers.general[RIP] == registers.general[RCX] == CODE + 7
    assert registers.general[R11] & 0xFD5 == 0x202 & 0xFD5


def test_a_result_is_put_into_rax_and_the_program_goes_on(bench: Bench) -> None:
    def answer(trap: Trap) -> bool:
        bench.engine.general[RAX] = 41
        return len(bench.traps) < 2

    bench.on_trap = answer
    # mov eax, 1; syscall; inc rax; mov rbx, rax; syscall
    bench.load(bytes.fromhex("b801000000" + CALL + "48ffc04889c3" + CALL))
    registers = bench.run()
    assert bench.traps == [("call", 1, 0), ("call", 42, 0)]
    assert registers.general[RBX] == 42


def test_another_task_can_go_on_after_a_trap(bench: Bench) -> None:
    first = bench.load(bytes.fromhex("b801000000" + CALL + "b803000000" + CALL), {RDX: 5})
    other = Registers()
    other.general[RIP], other.general[RAX] = CODE + 12, 9
    other.general[RDX] = 6
    kept = Registers()

    def switch(trap: Trap) -> bool:
        if trap[1] == 1:
            bench.engine.save(kept)
            bench.engine.load(other)
            return True
        return False

    bench.on_trap = switch
    registers = bench.run()
    assert bench.traps == [("call", 1, 0), ("call", 9, 0)]
    assert registers.general[RDX] == 6
    assert kept.general[RIP] == CODE + 7
    assert kept.general[RDX] == first.general[RDX] == 5


def test_stopping_leaves_all_as_it_is(bench: Bench) -> None:
    bench.load(bytes.fromhex(CALL + "48ffc3" + CALL), {RAX: 1, RBX: 1})
    assert bench.run().general[RBX] == 1
    assert bench.run().general[RBX] == 2
    assert [kind for kind, *_ in bench.traps] == ["call", "call"]


# Calls of functions

CALLED = "e804000000 ffc3 0f0b"
"""call, over what comes; inc ebx; ud2"""


def test_a_call_leaves_its_return_address_in_memory(bench: Bench) -> None:
    """Above the stack pointer and, after the return, below it, as anybody can see."""
    # mov eax, [rsp]; ret 0 by three ways: c3, f3 c3, pop rcx and jmp rcx
    for text in ("8b0424 c3", "8b0424 f3c3", "8b0424 59 ffe1"):
        trap, registers = bench.run_code(CALLED.replace(" 0f0b", "0f0b") + text)
        assert trap == ("exception", 6, 0)
        assert (registers.general[RAX], registers.general[RBX]) == (CODE + 5, 1)
        assert registers.general[RSP] == STACK + PAGE_SIZE // 2
        below = bench.space.read(STACK + PAGE_SIZE // 2 - 8, 8)
        assert below == struct.pack("<Q", CODE + 5)


def test_a_return_goes_where_its_stack_says(bench: Bench) -> None:
    """Not where the call came from, if the two aren't the same; the flags and registers stay as they are."""
    # call; inc ebx; ud2; add qword [rsp], 2; stc; ret
    code = "e804000000 ffc3 0f0b 4883042402 f9 c3"
    for _ in range(3):
        trap, registers = bench.run_code(code, {RCX: 1 << 63, R11: 7})
        assert trap == ("exception", 6, 0)
        assert (registers.general[RIP], registers.general[RBX]) == (CODE + 7, 0)
        assert (registers.general[RCX], registers.general[R11]) == (1 << 63, 7)
        assert registers.rflags & 1


def test_a_return_needs_no_right_to_write(bench: Bench) -> None:
    """What it only reads may be read-only, as after a fork."""
    frame = bench.space.frame(STACK)
    stack = STACK + PAGE_SIZE // 2
    for text, rights in (("c3", READ), ("f3c3", READ), ("c3", READ | WRITE)):
        bench.space.point(STACK, rights, frame)
        bench.engine.flush_space(bench.space.root)
        bench.space.write(stack, struct.pack("<Q", CODE + 16))
        trap, registers = bench.run_code(text.ljust(32, "c") + "ffc3 0f0b", {RCX: 5, R11: 6})
        assert trap == ("exception", 6, 0)
        assert (registers.general[RIP], registers.general[RSP]) == (CODE + 18, stack + 8)
        assert (registers.general[RBX], registers.general[RCX], registers.general[R11]) == (1, 5, 6)
        assert bench.space.read(stack, 8) == struct.pack("<Q", CODE + 16)


def test_returns_to_nowhere(bench: Bench) -> None:
    """To address 0 and others whose low bits are the same."""
    stack = STACK + PAGE_SIZE // 2
    for target in (0, 1, 7, 8, 1 << 19, (1 << 64) - 8, 1 << 63):
        bench.space.write(stack, struct.pack("<Q", target))
        trap, registers = bench.run_code("c3")
        if trap[0] == "fault":
            assert (trap[1], registers.general[RIP]) == (target, target)
        else:
            # What isn't canonical is a general protection fault.
            assert (trap[:2], target) == (("exception", 13), 1 << 63)


def test_a_pause_of_another_register_exchanges(bench: Bench) -> None:
    """Whatever the host's processor makes of `f3 41 90`."""
    for text, exchanged in (("f34190", True), ("f34990", True), ("f36690", False), ("f390", False)):
        _, registers = bench.run_code(text + "0f0b", {RAX: 1, R8: 2})
        assert (registers.general[RAX], registers.general[R8]) == ((2, 1) if exchanged else (1, 2))


# The budget

COUNTING_LOOP = "48ffc3 48ffc6 75f8" + CALL
"""inc rbx; inc rsi; jnz to the beginning"""


def test_the_budget_ends_a_loop(bench: Bench) -> None:
    bench.load(bytes.fromhex("48ffc3ebfb"))
    registers = bench.run(1000)
    assert bench.engine.budget_left() <= 0
    assert 0 < registers.general[RBX] <= 2000
    assert not bench.traps


def test_the_same_budget_goes_equally_far(bench: Bench) -> None:
    seen = []
    for _ in range(4):
        bench.load(bytes.fromhex(COUNTING_LOOP))
        seen.append(bench.run(12_345).general[RBX])
    # The first time it may have been promoted on the way.
    assert len(set(seen[1:])) == 1
    assert abs(seen[0] - seen[1]) <= 1


def test_many_small_budgets_go_about_as_far_as_one(bench: Bench) -> None:
    """Where a budget ends may cost a unit, and always the same."""
    runs = 300
    bench.load(bytes.fromhex(COUNTING_LOOP))
    whole = bench.run(10 * runs).general[RBX]
    seen = set()
    for _ in range(2):
        bench.load(bytes.fromhex(COUNTING_LOOP))
        for _ in range(runs):
            registers = bench.run(10)
        seen.add(registers.general[RBX])
    assert len(seen) == 1
    assert whole - runs <= seen.pop() <= whole + runs


def test_a_unit_lasts(bench: Bench) -> None:
    assert bench.engine.capabilities.unit_ns > 0
    assert bench.engine.capabilities.level in LEVELS


def test_another_thread_can_interrupt(bench: Bench) -> None:
    bench.on_trap = lambda trap: True
    bench.load(bytes.fromhex(CALL + "ebfc"))
    done = threading.Event()

    def interrupt() -> None:
        # Once may be before it runs.
        while not done.wait(0.02):
            bench.engine.interrupt()

    thread = threading.Thread(target=interrupt)
    thread.start()
    start = time.monotonic()
    try:
        bench.run(1 << 33)
    finally:
        done.set()
        thread.join()
    assert time.monotonic() - start < 30
    assert bench.engine.budget_left() > 0


# Faults

FAULTS = {
    "read of an absent page": ("8a03", {RBX: ABSENT}, ABSENT, FAULT_USER),
    "write to an absent page": ("8803", {RBX: ABSENT + 5}, ABSENT + 5, FAULT_USER | FAULT_WRITE),
    "write to a read-only page": (
        "8803",
        {RBX: CODE + 64},
        CODE + 64,
        FAULT_USER | FAULT_WRITE | FAULT_PROTECTION,
    ),
    "push to an absent page": ("50", {RSP: ABSENT + 16}, ABSENT + 8, FAULT_USER | FAULT_WRITE),
    "string store into an absent page": (
        "f3aa",
        {RDI: DATA + PAGE_SIZE - 3, RCX: 10},
        DATA + PAGE_SIZE,
        FAULT_USER | FAULT_WRITE,
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_with_what_it_was(bench: Bench, name: str) -> None:
    code, values, address, error = FAULTS[name]
    trap, registers = bench.run_code("4889c2" + code, values)
    assert trap == ("fault", address, error)
    assert registers.general[RIP] == CODE + 3


@pytest.mark.parametrize("target", [ABSENT, DATA])
def test_a_fetch_that_fails_is_told(bench: Bench, target: int) -> None:
    trap, registers = bench.run_code("ffe0", {RAX: target})
    protection = FAULT_PROTECTION if target == DATA else 0
    assert trap == ("fault", target, FAULT_USER | FAULT_FETCH | protection)
    assert registers.general[RIP] == target


def test_code_goes_on_in_a_page_that_comes_when_asked_for(bench: Bench) -> None:
    code = bytes.fromhex("b877665544" + CALL)

    def map_next(trap: Trap) -> bool:
        if trap[0] == "fault":
            bench.space.map(CODE + PAGE_SIZE, READ | EXECUTE, code[3:])
            return True
        return False

    bench.on_trap = map_next
    page = bytes([0x90]) * (PAGE_SIZE - 3) + code[:3]
    bench.load(page, {})
    bench.run()
    assert bench.traps == [
        ("fault", CODE + PAGE_SIZE, FAULT_USER | FAULT_FETCH),
        ("call", 0x44556677, 0),
    ]


def test_a_fault_that_the_kernel_mends_is_as_if_it_hadnt_been(bench: Bench) -> None:
    def mend(trap: Trap) -> bool:
        if trap[0] == "fault":
            bench.space.map(ABSENT, READ | WRITE, b"\x11\x22")
            return True
        return False

    bench.on_trap = mend
    # A loop of one block that reads, adds and writes: the fault comes in its middle.
    text = "31c9 ffc1 0fb703 01c8 668903 83f905 75f1" + CALL
    bench.load(bytes.fromhex(text), {RBX: ABSENT, RAX: 0})
    registers = bench.run()
    assert [trap[0] for trap in bench.traps] == ["fault", "call"]
    assert registers.general[RCX] == CODE + len(bytes.fromhex(text))
    assert struct.unpack("<H", bench.space.read(ABSENT, 2))[0] == registers.general[RAX] & 0xFFFF


def test_rights_that_come_by_a_fault_hold(bench: Bench) -> None:
    frame = bench.space.map(ABSENT, READ)

    def give(trap: Trap) -> bool:
        if trap[0] == "fault":
            bench.space.point(ABSENT, READ | WRITE, frame)
            return True
        return False

    bench.on_trap = give
    bench.load(bytes.fromhex("8a03ffc088038803" + CALL), {RBX: ABSENT})
    bench.run()
    assert bench.traps[0] == ("fault", ABSENT, FAULT_USER | FAULT_WRITE | FAULT_PROTECTION)
    assert [trap[0] for trap in bench.traps] == ["fault", "call"]
    assert bench.space.read(ABSENT, 1) == b"\1"


@pytest.mark.parametrize("order", ["upwards", "downwards", "at random"])
def test_pages_are_touched_in_any_order(bench: Bench, order: str) -> None:
    """Each that isn't there faults once, over the border of two tables too; others never do."""
    chance = random.Random(order)
    first = 0xA0_0000 - 40 * PAGE_SIZE
    pages = [first + number * PAGE_SIZE for number in range(80)]
    there = {page for page in pages if chance.random() < 0.4}
    for page in there:
        bench.space.map(page, READ | WRITE)
    if order == "at random":
        chance.shuffle(pages)
    elif order == "downwards":
        pages.reverse()

    def bring(trap: Trap) -> bool:
        if trap[0] == "fault":
            bench.space.map(trap[1] & -PAGE_SIZE, READ | WRITE)
            return True
        return False

    bench.on_trap = bring
    start = bench.load(bytes.fromhex("0003 4889da" + CALL), {RAX: 7})
    for _ in range(2):
        for page in pages:
            start.general[RBX] = page + 8
            bench.engine.load(start)
            bench.run()
    faults = [trap[1] for trap in bench.traps if trap[0] == "fault"]
    assert faults == [page + 8 for page in pages if page not in there]
    assert all(bench.space.read(page + 8, 1) == b"\x0e" for page in pages)


# Exceptions

EXCEPTIONS = {
    "a division by zero": ("31c9f7f1", 0, 0, 2),
    "int3": ("cc", 3, 0, 1),
    "int 3": ("cd03", 3, 0, 2),
    "an invalid opcode": ("0f0b", 6, 0, 0),
    "one that was valid once": ("06", 6, 0, 0),
    "hlt": ("f4", 13, 0, 0),
    "a port": ("e460", 13, 0, 0),
    "cli": ("fa", 13, 0, 0),
    "an interrupt that isn't for programs": ("cd21", 13, 0x21 * 8 + 2, 0),
    "rdtsc": ("0f31", 13, 0, 0),
    "a non-canonical address": ("48b800000000000080008a00", 13, 0, 10),
    "AVX-512": ("62f17c4858c1", 6, 0, 0),
}


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_is_told(bench: Bench, name: str) -> None:
    text, vector, error, offset = EXCEPTIONS[name]
    trap, registers = bench.run_code(text, {RDX: 0, RAX: 1})
    assert trap == ("exception", vector, error)
    assert registers.general[RIP] == CODE + offset


def test_what_was_done_before_an_exception_is_done(bench: Bench) -> None:
    _, registers = bench.run_code("48ffc3 48ffc3 f9 0f0b", {RBX: 5})
    assert registers.general[RBX] == 7
    assert registers.rflags & 1


def test_the_trap_flag_steps(bench: Bench) -> None:
    bench.on_trap = lambda trap: len(bench.traps) < 4
    places: list[int] = []

    def note(trap: Trap) -> bool:
        registers = Registers()
        bench.engine.save(registers)
        places.append(registers.general[RIP] - CODE)
        return len(places) < 4

    bench.on_trap = note
    # nop; jmp +1; int3; mov [rbx], al; inc eax
    bench.load(bytes.fromhex("90 eb01 cc 8803 ffc0"), {RBX: DATA}, rflags=0x202 | TRAP_FLAG)
    bench.run()
    assert places == [1, 4, 6, 8]
    assert bench.traps == [("exception", 1, 0)] * 4


# Registers


def test_what_is_loaded_is_saved(bench: Bench) -> None:
    chance = random.Random(1)
    for _ in range(20):
        registers = Registers()
        registers.general = array("Q", [chance.getrandbits(64) for _ in range(16)] + [CODE])
        registers.rflags = 0x202 | chance.getrandbits(12) & 0xCD5
        registers.fs_base, registers.gs_base = chance.getrandbits(46), chance.getrandbits(46)
        registers.selectors = 0x2B | 0x33 << 16 | 3 << 48 if chance.getrandbits(1) else 0
        image = bytearray(chance.randbytes(832))
        image[:32] = struct.pack("<HHBx18xII", 0x37F, 0, 0, 0x1F80 | chance.getrandbits(6), 0xFFFF)
        registers.floating = canonical(bytes(image))
        bench.engine.load(registers)
        saved = Registers()
        bench.engine.save(saved)
        assert saved.general == registers.general
        assert saved.rflags == registers.rflags
        assert (saved.fs_base, saved.gs_base) == (registers.fs_base, registers.gs_base)
        assert saved.selectors == registers.selectors
        assert saved.floating == registers.floating


def test_bases_count_for_addresses(bench: Bench) -> None:
    bench.space.write(DATA, struct.pack("<QQ", 7, 9))
    registers = bench.load(bytes.fromhex("64488b042500000000 65488b1c2500000000" + CALL))
    registers.fs_base, registers.gs_base = DATA, DATA + 8
    bench.engine.load(registers)
    after = bench.run()
    assert bench.traps == [("call", 7, 0)]
    assert after.general[RBX] == 9
    assert (after.fs_base, after.gs_base) == (DATA, DATA + 8)


def test_selectors_are_loaded_as_far_as_they_can_be(bench: Bench) -> None:
    # mov eax, ds; mov ecx, es; mov edx, fs; push gs; pop rsi; mov edi, cs; mov ebx, ss
    registers = bench.load(bytes.fromhex("8cd88cc18ce20fa85e8ccf8cd3" + CALL))
    for name, selector in (("ds", 0x2B), ("es", 0x53), ("fs", 0x7B), ("gs", 0x30)):
        registers.set_selector(name, selector)
    bench.engine.load(registers)
    after = bench.run()
    general = after.general
    assert bench.traps == [("call", 0x2B, 0)]
    assert [general[number] for number in (RDX, RSI, RDI, RBX)] == [0x7B, 0x30, 0x33, 0x2B]
    assert after.selector("es") == 0
    assert after.selector("gs") == 0x30
    registers.selectors = 0
    bench.engine.load(registers)
    assert bench.run().selectors == 0


def test_vectors_are_computed_with(bench: Bench) -> None:
    bench.space.write(DATA, struct.pack("<4f", 1, 2, 3, 4))
    # movups xmm0, [rbx]; addps xmm0, xmm0; movups [rbx+16], xmm0; fld1; fld1; faddp
    bench.load(bytes.fromhex("0f1003 0f58c0 0f114310 d9e8 d9e8 dec1" + CALL), {RBX: DATA})
    registers = bench.run()
    assert struct.unpack("<4f", bench.space.read(DATA + 16, 16)) == (2, 4, 6, 8)
    assert registers.floating[160:176] == bench.space.read(DATA + 16, 16)
    top = struct.unpack_from("<H", registers.floating, 2)[0] >> 11 & 7
    assert top == 7
    assert registers.floating[32:42] == bytes(7) + b"\x80\x00\x40"


def test_avx_is_there_or_an_invalid_opcode(bench: Bench) -> None:
    bench.space.write(DATA, struct.pack("<8f", *range(8)))
    # vmovups ymm1, [rbx]; vaddps ymm1, ymm1, ymm1; vmovups [rbx+32], ymm1
    trap, registers = bench.run_code("c5fc100b c5f458c9 c5fc114b20" + CALL, {RBX: DATA, RAX: 1})
    if bench.engine.capabilities.level >= V3:
        assert trap == ("call", 1, 0)
        assert struct.unpack("<8f", bench.space.read(DATA + 32, 32)) == tuple(range(0, 16, 2))
        assert registers.floating[592:608] == bench.space.read(DATA + 48, 16)
    else:
        assert trap == ("exception", 6, 0)
        assert registers.general[RIP] == CODE


def test_the_direction_flag_counts(bench: Bench) -> None:
    bench.space.write(DATA, b"abcd")
    bench.load(
        bytes.fromhex("f3a4" + CALL), {RSI: DATA + 3, RDI: DATA + 13, RCX: 4}, rflags=0x202 | DIRECTION_FLAG
    )
    bench.run()
    assert bench.space.read(DATA + 10, 4) == b"abcd"


def test_cpuid_tells_the_level(bench: Bench) -> None:
    # mov eax, 1; cpuid
    _, registers = bench.run_code("b801000000 0fa2" + CALL)
    has_avx = registers.general[RCX] >> 28 & 1
    # syscall puts rip into rcx: the second time it's kept.
    _, registers = bench.run_code("b801000000 0fa2 89cb" + CALL)
    has_avx = registers.general[RBX] >> 28 & 1
    assert has_avx == (bench.engine.capabilities.level >= V3)


NAMED_BITS = {
    (1, RDX): "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts "
    "acpi mmx fxsr sse sse2 ss ht tm ia64 pbe",
    (1, RCX): "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid "
    "dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c rdrand hypervisor",
    (7, RBX): "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm",
    (0x8000_0001, RCX): "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch",
    (0x8000_0001, RDX): "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb "
    "rdtscp - lm",
}
"""Linux's names of CPUID's bits, as /proc/cpuinfo shows them. Linux: arch/x86/include/asm/cpufeatures.h."""
NOT_OF_CPUID = {"rep_good", "nopl", "cpuid"}


def test_what_a_program_is_told_is_what_cpuid_says(bench: Bench) -> None:
    """/proc/cpuinfo and the auxiliary vector promise what CPUID does, and nothing else."""
    level = LEVELS[bench.engine.capabilities.level]
    said: set[str] = set()
    for (leaf, register), names in NAMED_BITS.items():
        # cpuid; mov esi, ecx; ud2
        _, registers = bench.run_code("0fa2 89ce 0f0b", {RAX: leaf, RCX: 0})
        value = registers.general[RSI if register == RCX else register]
        said |= {name for place, name in enumerate(names.split()) if value >> place & 1} - {"osxsave"}
        assert value >> len(names.split()) == 0
        if (leaf, register) == (1, RDX):
            assert value == level.capabilities
    assert said == set(level.flags.decode().split()) - NOT_OF_CPUID
    _, registers = bench.run_code("0fa2 0f0b", {RAX: 0})
    assert registers.general[RAX] == level.maximum_leaf


# Instructions that only some processors have, and what cpuinfo calls them.
INSTRUCTIONS = {
    "fsgsbase": "f3480faec0",
    "rdrand": "0fc7f0",
    "movbe": "0f38f003",
    "erms": "f3aa",
    "abm": "f30fbdc0",
    "bmi1": "c4e278f2c0",
    "bmi2": "c4e2fbf5c0",
    "popcnt": "f30fb8c0",
    "avx2": "c5fdfcc0",
    "fma": "c4e2f998c0",
    "f16c": "c4e27913c0",
    "aes": "660f38dcc0",
    "pclmulqdq": "660f3a44c000",
    "sse4_2": "f20f38f0c0",
}


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_what_is_promised_is_there(bench: Bench, name: str) -> None:
    """An instruction that a flag is for works, where programs find the flag."""
    values = {RAX: 1, RBX: DATA, RCX: 1, RDI: DATA}
    trap, _ = bench.run_code(INSTRUCTIONS[name] + "b807000000" + CALL, values)
    if name in LEVELS[bench.engine.capabilities.level].flags.decode().split():
        assert trap == ("call", 7, 0)
    elif name in {"fsgsbase", "rdrand"}:
        assert trap == ("exception", 6, 0)


# Whatever a program does


def random_state(chance: random.Random) -> dict[int, int]:
    values = {}
    for register in range(16):
        kind = chance.random()
        if kind < 0.5:
            values[register] = DATA + chance.randrange(PAGE_SIZE)
        elif kind < 0.7:
            values[register] = chance.getrandbits(64)
        else:
            values[register] = chance.getrandbits(8)
    values[RSP] = STACK + chance.randrange(64, PAGE_SIZE - 64)
    return values


# Not 3: there a locked instruction crosses cache lines, and some hosts hold up who does that for ever.
@pytest.mark.parametrize("seed", first_of(1, [0, 1, 2, 4]))
def test_any_bytes_end_in_a_trap(bench: Bench, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        bench.traps.clear()
        values = random_state(chance)
        bench.load(chance.randbytes(256), values)
        bench.run(2000)
        assert bench.traps or bench.engine.budget_left() <= 0
        for kind, *_ in bench.traps:
            assert kind in ("call", "fault", "exception")


@pytest.mark.parametrize(
    "code",
    # call *%rax; call *%r15; call *-8(%rsi, %rcx, 4); call *%fs:(%edi); call *0x1000(%rip)
    ["ffd0", "41ffd7", "ff548ef8", "6467ff17", "ff15fa0f0000"],
)
def test_a_call_to_where_nothing_can_be(bench: Bench, code: str) -> None:
    """It's the call that faults, with what it has pushed still in memory."""
    target, top = 0x1234_5678_9ABC_DEF0, STACK + PAGE_SIZE // 2
    values = {RAX: target, R15: target, RSI: DATA, RCX: 6, RDI: 0xFFFF_FFFF_0000_0000 | DATA + 16}
    bench.space.write(DATA + 16, target.to_bytes(8, "little"))
    bench.space.map(CODE + PAGE_SIZE, READ, target.to_bytes(8, "little"))
    _, after = bench.run_code(code, values)
    assert (after.general[RIP], after.general[RSP]) == (CODE, top)
    behind = CODE + len(code) // 2
    assert int.from_bytes(bench.space.read(top - 8, 8), "little") == behind


def test_what_is_written_at_gs_s_behest_is_seen(bench: Bench) -> None:
    """The page is copied at the write, after it was read."""
    page, registers = DATA + PAGE_SIZE, {RDI: DATA + PAGE_SIZE + 8, RSI: 8}
    bench.space.map(page, READ, b"o" * 16)
    bench.space.write(DATA, b"n" * 16)

    def copy(trap: Trap) -> bool:
        if trap[0] != "fault":
            return False
        bench.space.map(page, READ | WRITE, b"c" * 16)
        return True

    bench.on_trap = copy
    # mov al, [rdi]; movsb gs:[rsi]; mov dl, [rdi - 1]; mov bl, [rdi]
    loaded = bench.load(bytes.fromhex("8a07 65a4 8a57ff 8a1f"), registers)
    loaded.gs_base = DATA
    bench.engine.load(loaded)
    after = bench.run()
    assert [trap[0] for trap in bench.traps] == ["fault", "exception"]
    assert bytes(after.general[register] for register in (RAX, RDX, RBX)) == b"onc"
