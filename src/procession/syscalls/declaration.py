"""System calls are declared once: the decoder, the trace line and the coverage page come from here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, get_args, get_origin

from procession.hardware.registers import ARGUMENT_REGISTERS
from procession.syscalls.parameters import (
    POINTER_CLASSES,
    Kind,
    Layout,
    layout_of,
    read_optional_path,
    read_optional_text,
    read_path,
    read_text,
)

if TYPE_CHECKING:
    from procession.hardware.engine import GeneralRegisters
    from procession.kernel.task import Task

Handler = TypeVar("Handler", bound=Callable[..., int | None])
Entry = Callable[["Task", "GeneralRegisters"], int | None]
Decoder = Callable[["Task", "GeneralRegisters"], tuple[Any, ...]]

TABLE_SIZE: Final = 512


class Parameter:
    """One declared parameter: its name, kind, and for pointers and flags what they speak of."""

    __slots__ = ("annotation", "kind", "layout", "name", "pointer")

    def __init__(self, name: str, hint: Any) -> None:
        self.name = name
        self.annotation: Any = None
        self.layout: Layout | None = None
        self.pointer: type[Any] | None = None
        self.kind: Kind | None = None
        origin = get_origin(hint)
        if origin is Annotated:
            annotation, kind = get_args(hint)[:2]
            if not isinstance(kind, Kind):
                raise TypeError(f"parameter {name}: {hint!r} isn't a kind of argument")
            self.annotation, self.kind = annotation, kind
        elif origin in POINTER_CLASSES:
            self.pointer = origin
            self.annotation = get_args(hint)[0]
            self.layout = layout_of(self.annotation)
        else:
            raise TypeError(f"parameter {name}: {hint!r} isn't a kind of argument")


class SystemCall:
    """A declared system call.

    `entry(task, registers)` decodes and runs the handler; `decode(task, registers)` gives the arguments
    alone, for a call that blocks or is watched. Each is compiled at its first use: most programs use some
    forty calls.
    `annotations` are the text of the handler's, by name, in order, that of its result last.
    """

    __slots__ = (
        "_entry",
        "_fd_positions",
        "_parameters",
        "annotations",
        "decode",
        "handler",
        "name",
        "number",
    )

    def __init__(
        self,
        number: int,
        name: str,
        handler: Callable[..., int | None],
        annotations: dict[str, str] | None = None,
    ) -> None:
        self.number = number
        self.name = name
        self.handler = handler
        self.annotations = annotations or handler.__annotations__
        self._parameters: tuple[Parameter, ...] | None = None
        self._entry: Entry | None = None
        self.decode: Decoder = self._decode_first
        self._fd_positions: tuple[int, ...] | None = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The declared parameters, the task left out."""
        if self._parameters is None:
            names = [name for name in self.annotations if name != "return"]
            self._parameters = tuple(Parameter(name, self.hint(name)) for name in names[1:])
        return self._parameters

    def hint(self, name: str) -> Any:
        """The type of the parameter `name`, or of the result by the name "return"."""
        names = sys.modules[self.handler.__module__].__dict__
        annotation = self.annotations[name]
        # Most are a name, which is found sooner than it's compiled.
        found = names.get(annotation)
        return eval(annotation, names, _TASK_NAMES) if found is None else found

    @property
    def fd_positions(self) -> tuple[int, ...]:
        """Which of the arguments are file descriptors."""
        if self._fd_positions is None:
            self._fd_positions = tuple(
                position
                for position, parameter in enumerate(self.parameters)
                if parameter.kind is not None and parameter.kind.name == "fd"
            )
        return self._fd_positions

    @property
    def entry(self) -> Entry:
        """Decodes the arguments and runs the handler."""
        if self._entry is None:
            self._entry = self._compile("return handler(task, {})")
        return self._entry

    def _decode_first(self, task: Task, registers: GeneralRegisters) -> tuple[Any, ...]:
        """What `decode` is until its first use."""
        decode: Decoder = self._compile("return ({})")
        self.decode = decode
        return decode(task, registers)

    def _compile(self, body: str) -> Any:
        """A function made from the declaration. In its `body` the arguments, each with a comma, are {}."""
        scope: dict[str, Any] = {
            "handler": self.handler,
            "read_path": read_path,
            "read_optional_path": read_optional_path,
            "read_text": read_text,
            "read_optional_text": read_optional_text,
        }
        arguments = ""
        for position, parameter in enumerate(self.parameters):
            register = f"registers[{ARGUMENT_REGISTERS[position]}]"
            if parameter.pointer is not None:
                scope[f"pointer_{position}"] = parameter.pointer
                scope[f"layout_{position}"] = parameter.layout
                arguments += f"pointer_{position}(task.mm, {register}, layout_{position}), "
            else:
                assert parameter.kind is not None
                arguments += parameter.kind.expression.format(register=register) + ", "
        source = f"def {self.name}(task, registers): {body.format(arguments)}"
        exec(compile(source, f"<decoder of {self.name}>", "exec"), scope)
        return scope[self.name]


class CallTable:
    """The declared system calls by their numbers; `calls` are those of the families that are imported.

    One that isn't among them is looked for in the others: most programs make calls of few families.
    """

    __slots__ = ("calls", "is_complete")

    def __init__(self) -> None:
        self.calls: list[SystemCall | None] = [None] * TABLE_SIZE
        self.is_complete = False

    def __getitem__(self, number: int) -> SystemCall | None:
        call = self.calls[number]
        return call if call is not None or self.is_complete else self._look_for(number)

    def __iter__(self) -> Iterator[SystemCall | None]:
        if not self.is_complete:
            self._look_for(TABLE_SIZE)
        return iter(self.calls)

    def declare(self, call: SystemCall) -> None:
        """Put in a call. Raises ValueError if its number is taken by another."""
        other = self.calls[call.number]
        # Where a run was broken off while a family was imported, that is done once more.
        if other is not None and (
            other.name != call.name or other.handler.__module__ != call.handler.__module__
        ):
            raise ValueError(f"system call {call.number} is declared twice: {other.name} and {call.name}")
        self.calls[call.number] = call

    def _look_for(self, number: int) -> SystemCall | None:
        """Import families until one declares `number`, or all of them."""
        from procession.syscalls import load_by_turns

        for _ in load_by_turns():
            call = self.calls[number] if number < TABLE_SIZE else None
            if call is not None:
                return call
        self.is_complete = True
        return None


TABLE: Final = CallTable()
_TASK_NAMES: Final[dict[str, Any]] = {"Task": object}


def syscall(number: int, annotations: dict[str, str] | None = None) -> Callable[[Handler], Handler]:
    """Declare the decorated function the handler of system call `number`.

    Its first parameter is the calling task, the others are of the kinds of `syscalls.parameters`. It
    returns the result, raises an Errno, or raises Sleep to block. `annotations` are given for a compiled
    handler, which has none of its own.
    """

    def declare(handler: Handler) -> Handler:
        TABLE.declare(SystemCall(number, handler.__name__.rstrip("_"), handler, annotations))
        return handler

    return declare
