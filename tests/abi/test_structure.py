"""Structures: layout, constructor, bytes, equality."""

from __future__ import annotations

import copy
import pickle
import struct
from typing import Annotated

import pytest

from procession.abi.structure import I32, I64, U8, U16, U32, U64, Structure, StructureType


class Inner(Structure):
    seconds: I64 = 0
    fraction: U32 = 7


class Outer(Structure):
    first: U8 = 1
    inner: Inner = Inner()
    name: Annotated[bytes, 5] = b""
    count: U16 = 0
    loads: Annotated[tuple[int, ...], U64, 2] = (0, 0)


class Packed(Structure, is_packed=True):
    events: U32 = 0
    data: U64 = 0


class Header(Structure, alignment=8):
    number: I32 = 0


class Variant(Header, size=32):
    pid: I32 = 0


def test_fields_are_aligned_and_padded() -> None:
    assert Outer.OFFSETS == {"first": 0, "inner": 8, "name": 24, "count": 30, "loads": 32}
    assert (Outer.SIZE, Outer.ALIGNMENT) == (48, 8)
    assert (Inner.SIZE, Packed.SIZE, Packed.ALIGNMENT) == (16, 12, 1)


def test_fields_of_a_base_come_first_with_their_padding() -> None:
    assert (Header.SIZE, Variant.SIZE, Variant.OFFSETS) == (8, 32, {"number": 0, "pid": 8})
    assert Variant(1, 2).pack() == struct.pack("<i4xi20x", 1, 2)


def test_constructor_takes_positions_names_and_defaults() -> None:
    assert Inner().fraction == 7
    assert Inner(3, fraction=4).pack() == struct.pack("<qI4x", 3, 4)
    with pytest.raises(TypeError):
        Inner(1, 2, 3)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        Inner(minutes=1)  # type: ignore[call-arg]


def test_every_instance_has_its_own_inner_structure() -> None:
    one, other = Outer(), Outer()
    one.inner.seconds = 5
    assert other.inner.seconds == 0
    assert Outer().inner == Inner()


def test_bytes_and_back() -> None:
    outer = Outer(9, Inner(-1, 2), b"abc", 0xFFFF, (3, 4))
    data = outer.pack()
    assert data == struct.pack("<B7xqI4x5sxHQQ", 9, -1, 2, b"abc", 0xFFFF, 3, 4)
    again = Outer.unpack(data)
    assert again == outer
    assert (again.name, again.loads, again.inner.seconds) == (b"abc\0\0", (3, 4), -1)
    assert Outer.unpack_from(b"xx" + data + b"x", 2) == outer
    assert Inner.unpack_array(Inner(1).pack() + Inner(2).pack()) == [Inner(1), Inner(2)]


def test_bytes_of_another_length_are_refused() -> None:
    with pytest.raises(struct.error):
        Inner.unpack(bytes(15))
    with pytest.raises(struct.error):
        Inner.unpack_from(bytes(16), 1)


def test_a_number_is_taken_modulo_its_fields_width() -> None:
    assert Inner(seconds=1 << 63, fraction=(1 << 32) + 5).pack() == Inner(-(1 << 63), 5).pack()
    assert Outer(first=-1, loads=(1 << 64, -1)).pack() == Outer(first=255, loads=(0, (1 << 64) - 1)).pack()
    with pytest.raises(struct.error):
        Inner.STRUCT.pack(1)


def test_equality_is_of_bytes_and_of_one_class() -> None:
    assert Outer(name=b"ab") == Outer(name=b"ab\0")
    assert Outer(first=2) != Outer(first=3)
    assert Header(1) != Variant(1)
    with pytest.raises(TypeError):
        hash(Inner())


def test_copies_are_separate() -> None:
    outer = Outer(inner=Inner(1))
    for other in (copy.deepcopy(outer), pickle.loads(pickle.dumps(outer))):
        other.inner.seconds = 2
        assert outer.inner.seconds == 1


def test_repr_is_the_constructor_call() -> None:
    outer = Outer(1, Inner(2), b"x", 3, (4, 5))
    assert eval(repr(outer)) == outer


def test_instances_have_no_room_for_more() -> None:
    assert not hasattr(Outer(), "__dict__")


def test_an_unknown_kind_of_field_is_refused() -> None:
    with pytest.raises(TypeError, match="float isn't a kind of field"):
        StructureType("Wrong", (Structure,), {"__annotations__": {"x": "float"}, "__module__": __name__})
