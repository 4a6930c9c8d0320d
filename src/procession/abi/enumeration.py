"""IntEnum and IntFlag at the price of ints: made in a tenth of the time, and with an int's operators.

The type checker sees the standard library's classes. Those take some 7 us for each member, which would be
felt at every start, and 0.5 us for each `flags & O_CREAT`; and their `~` clears the bits that have no name.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self


class Enumeration(type):
    """The class of classes whose class attributes that are ints become members."""

    _members: dict[str, Member]
    _by_value: dict[int, Member]

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Enumeration:
        numbers = {
            key: value for key, value in namespace.items() if type(value) is int and not key.startswith("__")
        }
        new = super().__new__(mcls, name, bases, namespace)
        new._members, new._by_value = {}, {}
        for key, value in numbers.items():
            member: Any = new._by_value.get(value)
            if member is None:
                member = new._by_value[value] = int.__new__(new, value)  # type: ignore[arg-type]
                member.name = key
            new._members[key] = member
            setattr(new, key, member)
        return new

    @property
    def __members__(cls) -> dict[str, Member]:
        """All names, aliases too."""
        return cls._members

    def __iter__(cls) -> Iterator[Member]:
        return iter(cls._by_value.values())

    def __len__(cls) -> int:
        return len(cls._by_value)

    def __contains__(cls, value: object) -> bool:
        return value in cls._by_value

    def __getitem__(cls, name: str) -> Member:
        return cls._members[name]


class Member(int, metaclass=Enumeration):
    """A number with a name; None if it has none."""

    name: str | None

    def __new__(cls, value: int) -> Self:
        member = cls._by_value.get(value)
        if member is None:
            member = cls._missing(value)
        assert isinstance(member, cls)
        return member

    @classmethod
    def _missing(cls, value: int) -> Member:
        raise ValueError(f"{value} isn't a {cls.__name__}")

    @property
    def value(self) -> int:
        """The number as a plain int."""
        return int(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}.{self.name}: {int(self)}>"

    __str__ = int.__repr__

    def __reduce__(self) -> tuple[type[Self], tuple[int]]:
        return type(self), (int(self),)


class FlagMember(Member):
    """A set of bits; its name joins those of its bits: "O_APPEND|O_CLOEXEC|0x80000000"."""

    @classmethod
    def _missing(cls, value: int) -> Member:
        flags = int.__new__(cls, value)
        names = [str(member.name) for member in flags]
        for member in flags:
            value &= ~member
        if value:
            names.append(hex(value))
        flags.name = "|".join(names) or None
        return flags

    def __iter__(self) -> Iterator[Member]:
        """
        The members that are in it, in the order of the class.

        Those of one bit, and those that have a bit which has no name of its own, as O_SYNC: such a one stands
        for all its bits.
        """
        named = sum(member for member in type(self) if member.bit_count() == 1)
        wide = [member for member in type(self) if member & ~named and self & member == member]
        rest = self & ~sum(wide)
        return (
            member for member in type(self) if member in wide or (member.bit_count() == 1 and rest & member)
        )

    def __contains__(self, flags: int) -> bool:
        return self & flags == flags


if TYPE_CHECKING:
    IntEnum = enum.IntEnum

    class IntFlag(enum.IntFlag):
        """As the standard library's, but what the operators give is a plain int."""

        def __and__(self, other: int) -> int: ...  # type: ignore[override]
        def __or__(self, other: int) -> int: ...  # type: ignore[override]
        def __xor__(self, other: int) -> int: ...  # type: ignore[override]
        def __rand__(self, other: int) -> int: ...  # type: ignore[override]
        def __ror__(self, other: int) -> int: ...  # type: ignore[override]
        def __rxor__(self, other: int) -> int: ...  # type: ignore[override]
        def __invert__(self) -> int: ...  # type: ignore[override]

else:
    IntEnum = Member
    IntFlag = FlagMember
