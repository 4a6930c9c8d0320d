"""Our IntEnum and IntFlag against the standard library's, and where they differ on purpose."""

from __future__ import annotations

import copy
import enum
import pickle

import pytest

from procession.abi import signals
from procession.abi.enumeration import IntEnum, IntFlag
from procession.abi.open_flags import OpenFlag


class Letter(IntEnum):
    A = 1
    B = -2
    FIRST = 1


class Bit(IntFlag):
    NONE = 0
    X = 1
    Y = 4
    ALSO_Y = 4
    XY = 5


class StandardLetter(enum.IntEnum):
    A = 1
    B = -2
    FIRST = 1


def test_members_names_and_values_are_the_standard_librarys() -> None:
    assert [(letter.name, letter.value) for letter in Letter] == [
        (letter.name, letter.value) for letter in StandardLetter
    ]
    assert Letter.__members__.keys() == StandardLetter.__members__.keys()
    assert len(Letter) == len(StandardLetter)
    assert (str(Letter.B), f"{Letter.B:3}", repr(Letter.B)) == (
        str(StandardLetter.B),
        f"{StandardLetter.B:3}",
        "<Letter.B: -2>",
    )


def test_members_are_found_by_number_and_name() -> None:
    assert Letter(1) is Letter.A
    assert Letter["FIRST"] is Letter.A
    assert 1 in Letter  # type: ignore[operator]
    assert 7 not in Letter  # type: ignore[operator]
    with pytest.raises(ValueError, match="7 isn't a Letter"):
        Letter(7)
    with pytest.raises(KeyError):
        Letter["C"]


def test_members_are_ints() -> None:
    assert {1: "one"}[Letter.A] == "one"
    assert [Letter.A, Letter.B] == [1, -2]
    assert sorted([Letter.A, Letter.B]) == [-2, 1]
    assert type(Letter.A.value) is int


def test_members_survive_copies() -> None:
    assert copy.deepcopy(Letter.A) is Letter.A
    assert pickle.loads(pickle.dumps(signals.Signal.SIGKILL)) is signals.Signal.SIGKILL
    assert pickle.loads(pickle.dumps(OpenFlag(0o102))) == 0o102


def test_sets_of_flags_have_the_names_of_their_bits() -> None:
    assert Bit(4) is Bit.Y
    assert Bit(1 | 4 | 8).name == "X|Y|0x8"
    assert Bit(8).name == "0x8"
    assert Bit(0) is Bit.NONE
    assert [flag.name for flag in Bit(7)] == ["X", "Y"]
    assert Bit.X in Bit(5)
    assert Bit.XY not in Bit(4)


def test_a_flag_with_a_bit_that_has_no_name_stands_for_all_its_bits() -> None:
    assert OpenFlag(OpenFlag.O_RDWR | OpenFlag.O_TMPFILE).name == "O_RDWR|O_TMPFILE"
    assert OpenFlag(OpenFlag.O_DIRECTORY | OpenFlag.O_DSYNC).name == "O_DSYNC|O_DIRECTORY"
    assert OpenFlag(OpenFlag.O_SYNC | OpenFlag.O_APPEND).name == "O_APPEND|O_SYNC"


def test_operators_keep_the_bits_that_have_no_name() -> None:
    word = 0x80000000 | Bit.X | Bit.Y
    assert word & ~Bit.X == 0x80000004
    assert type(word & Bit.X) is int
