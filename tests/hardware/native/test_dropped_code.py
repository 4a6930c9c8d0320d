"""What leads to translated code is gone when that is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.engines.native.space import Space
from procession.hardware.physical_memory import PAGE_SIZE
from procession.hardware.registers import RAX, RCX, RDI
from procession.hardware.translation import layout
from tests.hardware.processor_bench import CODE, EXECUTE, READ, SOME_UNITS, Bench, processor_bench

REASON = why_unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no native engine on this host: {REASON}")
CALL = b"\x0f\x05"
NEXT = CODE + PAGE_SIZE


@pytest.fixture
def native() -> Iterator[Bench]:
    with processor_bench(NativeEngine) as bench:
        bench.space.map(NEXT, READ | EXECUTE, CALL)
        yield bench


def engine_of(bench: Bench) -> NativeEngine:
    assert isinstance(bench.engine, NativeEngine)
    return bench.engine


def space_of(bench: Bench) -> Space:
    return engine_of(bench).store.spaces[bench.space.root]


def jump(offset: int, target: int) -> bytes:
    return b"\xe9" + (target - CODE - offset - 5).to_bytes(4, "little", signed=True)


def test_a_link_that_is_resolved_as_the_cache_is_emptied(native: Bench) -> None:
    """Its number is nobody's then."""
    # dec rcx; jnz, to the beginning; jmp, to the next page
    native.load(b"\x48\xff\xc9\x75\xfb" + jump(5, NEXT), {RCX: 20, RAX: 7})
    native.run(5)
    cache, space = engine_of(native).store.cache, space_of(native)
    assert list(cache.links) == [NEXT]
    cache.position = layout.CACHE_BYTES - 1
    assert cache.is_full
    native.run()
    assert native.traps == [("call", 7, 0)]
    assert not cache.links
    assert not any(space.resolved_links.values())
    engine_of(native).forget_code([native.space.frame(NEXT)])
    assert not space.code_pages


def test_what_is_known_of_a_page_is_bounded(native: Bench) -> None:
    """However often the page behind it is another."""
    native.space.write(NEXT, b"\0\0" + CALL)
    start = native.load(b"\xff\xe7".ljust(PAGE_SIZE - 3, b"\x90") + b"\xb8\7\0", {RDI: NEXT - 3})
    for _ in range(20):
        native.engine.load(start)
        native.run()
        engine_of(native).forget_code([native.space.frame(NEXT)])
    assert native.traps == [("call", 7, 0)] * 20
    space = space_of(native)
    for known in (space.landings, space.resolved_links, space.entries_of):
        assert max((len(each) for each in known.values()), default=0) <= 2
        assert len(known) <= 2


def test_an_instruction_in_two_pages_is_forgotten_with_either(native: Bench) -> None:
    """Code of the second page counts as it's now, by whatever table one comes."""
    # mov eax, number, with its last two bytes in the next page
    native.space.write(NEXT, b"\0\0" + CALL)
    body = b"\x90" * (PAGE_SIZE - 3) + b"\xb8\x07\0"
    seen = []
    for number in range(3):
        for _ in range(3):
            native.traps.clear()
            native.load(b"\xff\xe7" + body[2:], {RDI: NEXT - 3})
            native.run()
            seen.append((number, native.traps[0][1]))
        native.space.write(NEXT, bytes((0, number + 1)) + CALL)
        engine_of(native).forget_code([native.space.frame(NEXT)])
    assert seen == [(number, number << 24 | 7) for number in range(3) for _ in range(3)]
    cache = engine_of(native).store.cache
    assert len(cache.straddlers) <= 1
    assert sum(len(keys) for keys in cache.straddlers_of.values()) <= 2


def units_of_calls(bench: Bench, start: int) -> list[int]:
    """What a loop of 50 calls counts that begins at `start`, the first time and the second."""
    code = bytearray(b"\xcc" * 2 * PAGE_SIZE)
    code[:5] = jump(0, CODE + start)
    code[16] = 0xC3  # ret
    loop = b"\xe8" + (16 - start - 5).to_bytes(4, "little", signed=True)  # call
    loop += (
        b"\x48\xff\xc9\x0f\x85" + (-14).to_bytes(4, "little", signed=True) + CALL
    )  # dec rcx; jnz, to the call
    code[start : start + len(loop)] = loop
    bench.space.write(NEXT, bytes(code[PAGE_SIZE:]))
    engine_of(bench).forget_code([bench.space.frame(NEXT)])
    beginning = bench.load(bytes(code[:PAGE_SIZE]), {RCX: 50, RAX: 7})
    counts = []
    for _ in range(2):
        bench.traps.clear()
        bench.engine.load(beginning)
        bench.run()
        assert bench.traps == [("call", 7, 0)]
        counts.append(SOME_UNITS - bench.engine.budget_left())
    return counts


def test_calls_count_the_same_wherever_they_lie(native: Bench) -> None:
    """What they return to may be another page's, or an instruction in two pages, as the call may be too."""
    inside = units_of_calls(native, 100)
    assert inside == [149, 149]
    for distance in range(1, 20):
        assert units_of_calls(native, PAGE_SIZE - distance) == inside, distance
