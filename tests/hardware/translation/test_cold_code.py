"""What is rarely executed has room beside each unit, however much of it there is, and jumps within a unit are
linked.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from procession.hardware.translation.code_cache import LINK, CodeCache
from procession.hardware.translation.translator import Translator

PAGE = 4096
CODE = 0x400000
REPEATED_MOVE = bytes.fromhex("f3a4")
"""rep movsb, behind which the machine may have to give out what is left of a budget."""


@pytest.fixture
def cache() -> Iterator[CodeCache]:
    made = CodeCache()
    yield made
    made.close()


def test_pages_full_of_repeated_instructions_have_room(cache: CodeCache) -> None:
    translator = Translator(cache)
    data = REPEATED_MOVE * (PAGE // 2)
    for frame, offset in ((1, 2000), (2, 0), (3, 0)):
        translator.translate(cache.page(frame, data), CODE + frame * PAGE + offset)
        assert cache.cold_position <= cache.cold_end
    assert cache.exit_count > 2 * 1500


def test_a_jump_over_code_of_its_unit_leaves_for_nobody(cache: CodeCache) -> None:
    # jz +2; jnz +0; and so on, then ret
    data = (bytes.fromhex("7402 7500") * 4 + b"\xc3").ljust(PAGE, b"\xcc")
    Translator(cache).translate(cache.page(1, data), CODE)
    assert [cache.exit_at(number).kind for number in range(cache.exit_count)].count(LINK) == 0


def test_where_a_jump_leads_first_is_translated_with_it(cache: CodeCache) -> None:
    # jz +0x10, and +0x30 behind that; ret
    data = bytearray(b"\xc3" * PAGE)
    data[:2], data[2:4] = bytes.fromhex("740e"), bytes.fromhex("752c")
    page = cache.page(1, bytes(data))
    Translator(cache).translate(page, CODE)
    assert CODE + 0x10 in page.entries
    assert CODE + 0x30 not in page.entries
    assert [cache.exit_at(number).kind for number in range(cache.exit_count)].count(LINK) == 1
