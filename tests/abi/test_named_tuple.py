"""Our NamedTuple against the standard library's."""

from __future__ import annotations

import pickle
import typing
from typing import Any, get_type_hints

import pytest

from procession.abi.named_tuple import NamedTuple


class Place(NamedTuple):
    """Where something is."""

    mount: int
    name: str = "."

    @property
    def is_here(self) -> bool:
        """Whether it's where one is."""
        return self.name == "."

    def moved(self, name: str) -> Place:
        return self._replace(name=name)


class StandardPlace(typing.NamedTuple):
    """Where something is."""

    mount: int
    name: str = "."


class Further(Place):
    """One more class below."""


def test_fields_and_defaults_are_the_standard_librarys() -> None:
    assert Place._fields == StandardPlace._fields
    assert Place._field_defaults == StandardPlace._field_defaults
    assert Place.__match_args__ == StandardPlace.__match_args__
    assert get_type_hints(Place) == get_type_hints(StandardPlace)
    assert (Place.__doc__, Place.__module__, Place.__qualname__) == ("Where something is.", __name__, "Place")
    assert Place.__mro__ == (Place, tuple, object)


def test_values_are_the_standard_librarys() -> None:
    place = Place(3, "a")
    assert tuple(place) == tuple(StandardPlace(3, "a")) == (3, "a")
    assert Place(4) == (4, ".")
    assert repr(place) == "Place(mount=3, name='a')"
    assert pickle.loads(pickle.dumps(place)) == place
    assert place._asdict() == {"mount": 3, "name": "a"}
    assert hash(place) == hash((3, "a"))


def test_methods_and_properties_are_the_classs_own() -> None:
    assert Place(1).is_here
    assert Place(1).moved("b") == Place(1, "b")
    assert isinstance(Further(1, "c").moved("d"), Further)


@pytest.mark.parametrize("arguments", [(), (1, "a", 2)])
def test_a_wrong_number_of_values_is_an_error(arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        Place(*arguments)
