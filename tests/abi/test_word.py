"""Tests of words as bytes: whatever number is packed gives as many bytes as its word has, as in C."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from procession.abi.word import (
    Words,
    pack_array,
    pack_bits,
    pack_port,
    pack_u8,
    pack_u16,
    pack_u32,
    pack_u64,
    wrap_signed,
)

numbers = st.one_of(
    st.integers(-(1 << 70), 1 << 70), st.sampled_from([-(1 << 63), 1 << 63, 1 << 64, 1 << 31])
)


@given(st.lists(numbers, min_size=6, max_size=6), st.binary(max_size=8))
def test_formats_wrap(values: list[int], data: bytes) -> None:
    form = Words("<bH4xi2Q5sq")
    b, h, i, q1, q2, q3 = values
    packed = form.pack(b, h, i, q1, q2, data, q3)
    assert packed == struct.pack(
        "<bH4xi2Q5sq",
        wrap_signed(b, 8),
        h % 2**16,
        wrap_signed(i, 32),
        q1 % 2**64,
        q2 % 2**64,
        data,
        wrap_signed(q3, 64),
    )
    buffer = bytearray(form.size + 2)
    form.pack_into(buffer, 1, b, h, i, q1, q2, data, q3)
    assert buffer == b"\0" + packed + b"\0"


@given(numbers)
def test_words_wrap(value: int) -> None:
    assert int.from_bytes(pack_u8(value), "little") == value % 2**8
    assert int.from_bytes(pack_u16(value), "little") == value % 2**16
    assert int.from_bytes(pack_u32(value), "little") == value % 2**32
    assert int.from_bytes(pack_u64(value), "little", signed=True) == wrap_signed(value, 64)
    assert int.from_bytes(pack_port(value), "big") == value % 2**16
    assert int.from_bytes(pack_bits(value, 5), "little") == value % 2**40
    assert pack_array("H", [value, 1]) == pack_u16(value) + b"\1\0"
    assert -(2**31) <= wrap_signed(value, 32) < 2**31
    assert (wrap_signed(value, 32) - value) % 2**32 == 0


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(struct.error):
        Words("<2I").pack(1)
    with pytest.raises(struct.error):
        Words("<I").pack(b"1")
