"""Scripts of system calls for executor.c: how they are made, packed, and what the executor wrote read."""

from __future__ import annotations

import errno
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from procession.abi.syscall_numbers import NAMES, NUMBERS

SCRIPT_BASE, STACKS_BASE, STACK_BYTES = 0x1_0000_0000, 0x1_2000_0000, 0x1_0000
EXECUTOR_SHIFT, EXECUTOR_PREFIX = 44, 5
ARENA, ARENA_PAGES, PAGE = 0x2_0000_0000, 64, 4096
CALL, SPAWN, LOAD, STORE, SLURP, EXECUTE = range(6)
_NUMBER, _RESULT, _PID, _MINUS_PID, _HANDLER, _RESTORER, _STORED, _STORED_WORD = range(8)
_DONE, _ASLEEP, _ENDED, _BUSY, _SIGNALLED, _STOPPED = range(6)
_NESTED_PID, _ACTOR_PID, _END = 97, 98, 99
_OPERATION, _ARGUMENT, _FIXUP = struct.Struct("<IIq96sIIIIII"), struct.Struct("<IIq"), struct.Struct("<II16s")
_RECORD, _LOGGED = struct.Struct("<IIIIq"), struct.Struct("<iiiiq")
_NO_KEY = frozenset((errno.EACCES, errno.ENOKEY, errno.EKEYREVOKED))
NO_RESULT = -9999
MOST_PIDS = 1 << 22
FIRST_NUMBERS = 16
"""How many ids the executor uses up before it makes actors."""
_SI_TIMER = -2
_LARGEST_HEAP = 1 << 30
_SHORT = 32


@dataclass(frozen=True, slots=True)
class Pid:
    """The id of an actor's task, negated on demand."""

    actor: int
    is_negative: bool = False


@dataclass(frozen=True, slots=True)
class At:
    """The address of a place in an operation's data."""

    offset: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """The address of the executor's signal handler, or of what a handler returns to."""

    is_restorer: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What an earlier operation has returned, and something added to it."""

    operation: Operation
    added: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """A number, of 32 or 64 bits, that an earlier operation has left in its data."""

    operation: Operation
    offset: int
    is_word: bool = False


Argument: TypeAlias = int | Pid | At | Symbol | Result | Stored


@dataclass(eq=False, slots=True)
class Operation:
    """One operation: a system call with its arguments, the bytes they point at, and who makes it."""

    call: int
    arguments: tuple[Argument, ...]
    data: bytes = b""
    fixups: tuple[tuple[int, int, Argument], ...] = ()
    show: Show | None = None
    result: str = "int"
    actor: int = 0
    kind: int = CALL
    new_actor: int = 0
    is_kept: bool = False
    """Whether it's not to be left out, as what keeps the others away from the host."""
    is_slow: bool = False
    """Whether the kernel does by and by, in workers of its own, what comes of it."""

    def __str__(self) -> str:
        name = ("", "spawn ", "load ", "store ", "slurp ", "go on by ")[self.kind]
        if self.kind in {CALL, SPAWN, EXECUTE}:
            name += NAMES[self.call]
        return (
            f"[{self.actor}] {name}({', '.join(map(self._text, self.arguments))})"
            + (f" new={self.new_actor}" if self.kind == SPAWN else "")
            + "".join(f" [{offset}]={self._text(value)}" for offset, _, value in self.fixups)
        )

    def _text(self, argument: Argument) -> str:
        if isinstance(argument, int):
            return str(argument) if -4096 <= argument < 100000 else hex(argument)
        if isinstance(argument, At):
            data = self.data[argument.offset :]
            if data and (b"\0" in data and data.partition(b"\0")[0].isascii()) and data[0] >= 32:
                text = data.partition(b"\0")[0]
                return repr(text if len(text) < 60 else text[:20] + b"...%d" % len(text))
            return f"&{data[:96].hex()}"
        if isinstance(argument, Result):
            return f"<{id(argument.operation) % 100000}>" + (f"+{argument.added}" if argument.added else "")
        if isinstance(argument, Stored):
            return f"<{id(argument.operation) % 100000}>[{argument.offset}]"
        return str(argument)


@dataclass(slots=True)
class Naming:
    """Ids that differ from run to run, and what they are called: by order of appearance."""

    pids: dict[int, str] = field(default_factory=dict)
    inodes: dict[tuple[int, int], str] = field(default_factory=dict)
    serials: dict[int, str] = field(default_factory=dict)
    handler: int = 0
    restorer: int = 0
    nested: set[int] = field(default_factory=set)
    heaps: list[int] = field(default_factory=list)
    is_nested: bool = False
    """Whether who says an id is in a pid namespace that a script has made: there they begin at 1."""

    def pid(self, number: int) -> str:
        """Name a task's id, perhaps negated; what can't be one is a number."""
        if self.is_nested:
            return str(number)
        if -number in self.pids:
            return f"-{self.pids[-number]}"
        return self.pids.get(number, "somebody" if 2 < number < MOST_PIDS else str(number))

    def elsewhere(self, number: int) -> str:
        """Name a task by its id in some pid namespace, where those that a script has made have the first."""
        return str(number) if number < FIRST_NUMBERS else self.pid(number)

    def group(self, number: int) -> str:
        """Name what may be no group's number: the first processes are none that scripts make."""
        return str(number) if -2 <= number <= 2 else self.pid(number)

    def inode(self, device: int, number: int) -> str:
        """Name a file."""
        return self.inodes.setdefault((device, number), f"inode{len(self.inodes)}")

    def serial(self, number: int) -> str:
        """Name a key."""
        return self.serials.setdefault(number, f"key{len(self.serials)}")

    def heap(self, value: int) -> str:
        """Name the end of a heap by how far it is from where one was first."""
        for number, first in enumerate(self.heaps):
            if abs(value - first) < _LARGEST_HEAP:
                return f"heap{number}{value - first:+#x}"
        self.heaps.append(value)
        return f"heap{len(self.heaps) - 1}"

    def address(self, value: int) -> str:
        """Name an address that the kernel has chosen or that belongs to the executor."""
        if value == self.handler:
            return "handler"
        if value == self.restorer:
            return "restorer"
        if ARENA <= value <= ARENA + ARENA_PAGES * PAGE:
            return f"arena+{value - ARENA:#x}"
        if value >> EXECUTOR_SHIFT == EXECUTOR_PREFIX:
            # Where in it depends on the compiler.
            return "executor"
        return f"address...{value % PAGE:03x}" if value > 1 << 16 else hex(value)


Show: TypeAlias = Callable[[bytes, int, Naming], str]


def pack(operations: Sequence[Operation]) -> bytes:
    """Lay a script out as the executor reads it."""
    index = {operation: number for number, operation in enumerate(operations)}
    place = 8 + _OPERATION.size * len(operations)
    head, tail = [struct.pack("<II", len(operations), 0)], []
    for operation in operations:
        data = operation.data + bytes(-len(operation.data) % 16)
        base = SCRIPT_BASE + place

        def argument(value: Argument, base: int = base) -> bytes:
            match value:
                case int():
                    return _ARGUMENT.pack(_NUMBER, 0, _signed(value))
                case At():
                    return _ARGUMENT.pack(_NUMBER, 0, base + value.offset)
                case Pid(actor, is_negative):
                    return _ARGUMENT.pack(_MINUS_PID if is_negative else _PID, actor, 0)
                case Symbol(is_restorer):
                    return _ARGUMENT.pack(_RESTORER if is_restorer else _HANDLER, 0, 0)
                case Result(earlier, added):
                    if earlier in index:
                        return _ARGUMENT.pack(_RESULT, index[earlier], added)
                    return _ARGUMENT.pack(_NUMBER, 0, NO_RESULT)
                case Stored(earlier):
                    if earlier in index:
                        kind = _STORED_WORD if value.is_word else _STORED
                        return _ARGUMENT.pack(kind, index[earlier], value.offset)
                    return _ARGUMENT.pack(_NUMBER, 0, NO_RESULT)

        arguments = b"".join(map(argument, (*operation.arguments, *(0,) * (6 - len(operation.arguments)))))
        fixups = b"".join(
            _FIXUP.pack(offset, size, argument(value)) for offset, size, value in operation.fixups
        )
        head.append(
            _OPERATION.pack(
                operation.actor,
                operation.kind,
                operation.call,
                arguments,
                place,
                len(operation.data),
                place + len(data),
                len(operation.fixups),
                operation.new_actor,
                int(operation.is_slow),
            )
        )
        tail += [data, fixups]
        place += len(data) + len(fixups)
    return b"".join((*head, *tail))


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def pack_all(scripts: Sequence[Sequence[Operation]]) -> bytes:
    """Lay several scripts out, for one run of the executor."""
    return b"".join(struct.pack("<I", len(content)) + content for content in map(pack, scripts))


def read_outcomes(scripts: Sequence[Sequence[Operation]], output: bytes) -> list[list[str]]:
    """Read what the executor wrote: for each script that it finished, a line for each thing that happened.

    A line begins with the number of the operation and who made it; what was called is in the script.
    """
    if len(output) < 16:
        return []
    handler, restorer = struct.unpack_from("<qq", output)
    place = 16
    outcomes: list[list[str]] = []
    for script in scripts:
        records: list[tuple[int, int, int, int, bytes]] = []
        # Who executes the executor anew has them elsewhere.
        is_one_program = all(operation.kind != EXECUTE for operation in script)
        naming = Naming(handler=handler, restorer=restorer) if is_one_program else Naming()
        while True:
            if place + _RECORD.size > len(output):
                return outcomes
            event, number, actor, length, result = _RECORD.unpack_from(output, place)
            place += _RECORD.size + length
            if event == _END:
                naming.pids[result] = "coordinator"
                break
            if event in (_NESTED_PID, _ACTOR_PID):
                naming.pids[result] = f"actor{actor}"
                if event == _NESTED_PID:
                    naming.nested.add(actor)
            else:
                data = output[place - length : place]
                if event == _DONE:
                    # The zeros at the end are left out.
                    data = data.ljust(len(script[number].data), b"\0")
                records.append((event, number, actor, result, data))
        for event, number, actor, result, _ in records:
            # One that has stopped before it could say that it's there.
            if event == _DONE and actor not in naming.nested and script[number].kind == SPAWN and result > 0:
                naming.pids.setdefault(result, f"child{number}")
        outcomes.append([line for record in records for line in _lines(script, naming, *record)])
    return outcomes


def _lines(
    script: Sequence[Operation], naming: Naming, event: int, number: int, actor: int, result: int, data: bytes
) -> Iterator[str]:
    place = f"{number} [{actor}]"
    naming.is_nested = actor in naming.nested
    if event == _SIGNALLED:
        for signal, code, pid, status, value in _LOGGED.iter_unpack(data):
            # Of a timer it is the timer's number.
            named = naming.pid(pid) if pid and code != _SI_TIMER else pid
            yield f"{place} signal {signal} code={code} pid={named} status={status} value={value}"
    elif event == _DONE:
        yield f"{place} {show_result(script[number], result, data, naming)}".rstrip()
    else:
        what = {_ASLEEP: "sleeps", _ENDED: "is gone", _BUSY: "is busy or gone", _STOPPED: "is stopped"}[event]
        yield f"{place} {what}{' by its tracer' if event == _STOPPED and result else ''}"


def show_result(operation: Operation, result: int, data: bytes, naming: Naming) -> str:
    """What an operation returned, and what it left in its data."""
    if operation.result == "ioctl" and -result in {errno.EINVAL, errno.ENOTTY}:
        # Since Linux 6.9 an epoll instance has requests of its own, and doesn't know others: EINVAL.
        text = "ENOTTY"
    elif operation.result == "pidfd" and -result == errno.ENOENT:
        # Since Linux 6.15 a thread that isn't the first is no entry, and not invalid.
        text = "EINVAL"
    elif operation.result in {"serial", "key", "unlinked"} and -result in (
        _NO_KEY | {errno.ENOENT} if operation.result == "unlinked" else _NO_KEY
    ):
        # Linux lets go of a key some time after the last one who has it.
        text = "no such key"
    elif operation.result == "hidden":
        text = "something"
    elif -4096 < result < 0:
        text = errno.errorcode.get(-result, str(result))
    elif result <= -4096 and operation.kind in {LOAD, STORE}:
        text = f"signal {-result // 1000} code {-result % 1000}"
    elif operation.result == "elsewhere":
        text = naming.elsewhere(result)
    elif operation.result == "pid":
        text = naming.pid(result)
    elif operation.result == "address":
        text = naming.address(result)
    elif operation.result == "serial" and result > 0:
        text = naming.serial(result)
    elif operation.result == "equal" and result > 0:
        text = "different"
    elif operation.result == "none":
        text = "a number"
    else:
        text = str(result)
    if operation.show is not None:
        text += " " + operation.show(data, result, naming)
    elif operation.kind != SLURP and not operation.fixups and data != operation.data:
        text += " " + changed(operation.data, data)
    return text


def changed(before: bytes, after: bytes) -> str:
    """The bytes that a call wrote, from the first that differs to the last."""
    places = [at for at in range(len(after)) if before[at] != after[at]]
    written = after[places[0] : places[-1] + 1]
    return f"{places[0]}:{written.hex() if len(written) <= _SHORT else digest(written)}"


def digest(data: bytes) -> str:
    """A short name for some bytes."""
    return f"{len(data)}:{zlib.crc32(data):08x}"


def number_of(name: str) -> int:
    """Return the number of a system call."""
    return NUMBERS[name]
