"""Makes random operations: the parts that all families of calls share."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from procession.abi.syscall_numbers import NUMBERS
from tests.differential.script import (
    CALL,
    EXECUTE,
    SPAWN,
    Argument,
    At,
    Naming,
    Operation,
    Pid,
    Result,
    Show,
)

T = TypeVar("T")
ACTORS = 12
Values: TypeAlias = tuple[int, ...]
AT_FDCWD = -100
BAD_ADDRESS = 8
NAMES = (
    *("a", "b", "c", "d", "e") * 3,
    *("d/a", "d/b", "d/e", "e/a", "e/d", "d/e/a", "l", "m") * 2,
    *("a/", "d/", "d//a", "d/.", "d/..", "d/../a", ".", "..", "./a", "", "l/", "l/a", "m/..", "a/b", "a/."),
    *("n" * 255, "n" * 256, "d/" + "n" * 255, "./" * 2047 + "a", "./" * 2048, "d/" + "./" * 2046),
)
LINK_TARGETS = (
    "a",
    "b",
    "d",
    "d/a",
    "l",
    "m",
    "e",
    ".",
    "d/",
    "a/",
    "nothing",
    "d/e",
    "e/d",
    "n" * 256,
    "",
    "m/a",
)


class Chance:
    """Random numbers that are the same for a seed whatever the version of Python."""

    def __init__(self, seed: int) -> None:
        self.state = (seed * 0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D) % (1 << 64) or 1

    def randrange(self, end: int) -> int:
        """A number below `end`. Marsaglia's xorshift64*."""
        state = self.state
        state ^= state >> 12
        state = (state ^ state << 25) % (1 << 64)
        self.state = state = state ^ state >> 27
        return (state * 0x2545F4914F6CDD1D >> 32) % (1 << 32) % end

    def choice(self, values: Sequence[T]) -> T:
        """One of some values."""
        return values[self.randrange(len(values))]


class Maker:
    """Makes the operations of one script."""

    def __init__(self, random: Chance) -> None:
        self.random = random
        self.operations: list[Operation] = []
        self.descriptors: list[Argument] = []
        self.has_anonymous = False
        self.actors = [0]
        self.actor = 0
        self.next_actor = 1

    # Adding

    def call(
        self,
        name: str,
        *arguments: Argument,
        data: bytes = b"",
        fixups: tuple[tuple[int, int, Argument], ...] = (),
        show: Show | None = None,
        result: str = "int",
        kind: int = CALL,
        new_actor: int = 0,
    ) -> Operation:
        """Add one operation."""
        operation = Operation(
            NUMBERS[name], arguments, data, fixups, show, result, self.actor, kind, new_actor
        )
        self.operations.append(operation)
        return operation

    def operation(
        self,
        kind: int,
        *arguments: Argument,
        data: bytes = b"",
        show: Show | None = None,
        result: str = "int",
    ) -> None:
        """Add an operation that isn't a system call."""
        self.operations.append(Operation(0, arguments, data, (), show, result, self.actor, kind))

    def opened(self, operation: Operation) -> Operation:
        """Remember that an operation returns a descriptor."""
        self.descriptors.append(Result(operation))
        return operation

    # Choosing

    def one(self, *values: int) -> int:
        """One of some numbers."""
        return self.random.choice(values)

    def odds(self, percent: int) -> bool:
        """True so often."""
        return self.random.randrange(100) < percent

    def bits(self, usual: Values, unusual: Values = (), percent: int = 8) -> int:
        """Some flags of a set joined, and seldom one that is odd."""
        value = 0
        for flag in usual:
            if self.odds(30):
                value |= flag
        if unusual and self.odds(percent):
            value |= self.random.choice(unusual)
        return value

    def text(self, text: str) -> bytes:
        """A string as a system call wants it."""
        return text.encode() + b"\0"

    def name(self) -> str:
        """A path, more or less odd."""
        return self.random.choice(NAMES)

    def descriptor(self) -> Argument:
        """A descriptor, most often one that an earlier operation has opened."""
        if self.descriptors and self.odds(94):
            if self.odds(50):
                return self.descriptors[-1 - self.random.randrange(min(3, len(self.descriptors)))]
            return self.random.choice(self.descriptors)
        return self.one(-1, 0, 1, 3, 63, 64, 1 << 20, AT_FDCWD, 1 << 31, -(1 << 31))

    def opened_descriptor(self) -> Argument:
        """A descriptor, but not AT_FDCWD."""
        descriptor = self.descriptor()
        return -1 if descriptor == AT_FDCWD else descriptor

    def directory(self) -> Argument:
        """A directory's descriptor for an at-call."""
        return AT_FDCWD if self.odds(70) else self.descriptor()

    def pid(self) -> Argument:
        """A task's id."""
        if self.odds(85):
            return Pid(self.random.choice(self.actors))
        return self.one(0, 0, 0, 0x3FFFFFFF, -0x3FFFFFFF, -(1 << 31))

    def spawn(
        self,
        name: str,
        *arguments: Argument,
        data: bytes = b"",
        fixups: tuple[tuple[int, int, Argument], ...] = (),
        show: Show | None = None,
        is_hopeless: bool = False,
    ) -> None:
        """Add an operation that makes one more actor, unless it fails, as one that is hopeless must."""
        actor = ACTORS - 1 if is_hopeless else self.next_actor
        self.call(
            name, *arguments, data=data, fixups=fixups, result="pid", kind=SPAWN, new_actor=actor, show=show
        )
        if not is_hopeless:
            self.actors.append(actor)
            self.next_actor += 1

    def execute(self, name: str = "/proc/self/exe") -> None:
        """Add an execve of the executor, or a copy of it, which goes on as the same actor."""
        # Three arguments and no environment.
        data = bytes(40) + b"e\0" + b"actor\0" + b"%d\0" % self.actor
        fixups = ((0, 8, At(40)), (8, 8, At(42)), (16, 8, At(48)))
        self.call(
            "execve", At(len(data)), At(0), At(32),
            data=data + self.text(name), fixups=fixups, show=nothing, kind=EXECUTE,
        )  # fmt: skip


def go_on(make: Maker) -> None:
    """execve, after which the same actor goes on: what is left of a process."""
    make.execute()


def nothing(data: bytes, result: int, naming: Naming) -> str:
    """Show nothing of what there is."""
    return ""


def vector(parts: list[tuple[int, int]]) -> bytes:
    """An array of iovecs with absolute addresses."""
    return b"".join(
        struct.pack("<QQ", address & (1 << 64) - 1, length & (1 << 64) - 1) for address, length in parts
    )


Family: TypeAlias = Callable[[Maker], None]
__all__ = ["At", "Family", "Maker", "Pid", "Result", "vector"]
