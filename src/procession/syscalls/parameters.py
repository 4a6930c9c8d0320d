"""The kinds of argument that a system call declares: how each is decoded from its register."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Protocol, TypeVar, get_args, get_origin

from procession.abi.errno import EFAULT
from procession.abi.limits import PATH_MAX
from procession.abi.structure import Structure
from procession.abi.word import Words
from procession.fs.namei import unreadable_name

T = TypeVar("T")


class UserMemory(Protocol):
    """What an argument needs of an address space."""

    def read(self, address: int, length: int, /) -> bytes:
        """`length` bytes at `address`. Raises EFAULT."""

    def write(self, address: int, data: bytes, /) -> None:
        """Put `data` at `address`. Raises EFAULT."""

    def read_cstring(self, address: int, limit: int, /) -> bytes | None:
        """The bytes before the NUL at `address`, None if there is none within `limit`. Raises EFAULT."""


class Kind:
    """A kind of scalar argument: its name for the trace and the expression that decodes it.

    `expression` is Python source in which `{register}` stands for the unsigned 64-bit register value; it
    may name `task` and the functions below that read strings.
    """

    __slots__ = ("expression", "name")

    def __init__(self, name: str, expression: str) -> None:
        self.name = name
        self.expression = expression


_SIGNED_32 = "(({register} & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000"

Int = Annotated[int, Kind("int", _SIGNED_32)]
UInt = Annotated[int, Kind("unsigned", "{register} & 0xFFFFFFFF")]
Long = Annotated[int, Kind("long", "({register} ^ 0x8000000000000000) - 0x8000000000000000")]
U64 = Annotated[int, Kind("u64", "{register}")]
Size = Annotated[int, Kind("size", "{register}")]
Address = Annotated[int, Kind("address", "{register}")]
InBuffer = Annotated[int, Kind("in_buffer", "{register}")]
"""Bytes that the call reads; the next `Size` says how many."""
OutBuffer = Annotated[int, Kind("out_buffer", "{register}")]
"""Where the call puts as many bytes as it returns."""
StringArray = Annotated[int, Kind("string_array", "{register}")]
"""A list of pointers to strings, up to a NULL: execve's argv."""
InVector = Annotated[int, Kind("in_vector", "{register}")]
"""An array of `struct iovec` whose bytes the call reads; the next argument says how many."""
OutVector = Annotated[int, Kind("out_vector", "{register}")]
"""An array of `struct iovec` where the call puts as many bytes as it returns."""
SocketAddress = Annotated[int, Kind("socket_address", "{register}")]
"""A sockaddr that the call reads; the next argument says how long it is."""
OutSocketAddress = Annotated[int, Kind("out_socket_address", "{register}")]
"""Where the call puts a sockaddr; the next argument points to its length."""
OptionName = Annotated[int, Kind("option_name", _SIGNED_32)]
"""An option of a socket; the argument before is its level."""
OptionValue = Annotated[int, Kind("option_value", "{register}")]
"""The value of an option that the call reads; the next argument says how long it is."""
OutOptionValue = Annotated[int, Kind("out_option_value", "{register}")]
"""Where the call puts the value of an option; the next argument points to its length."""
Mode = Annotated[int, Kind("mode", "{register} & 0xFFFF")]
CreationMode = Annotated[int, Kind("creation_mode", "{register} & 0xFFFF")]
"""A mode that counts only if the call creates something."""
Fd = Annotated[int, Kind("fd", _SIGNED_32)]
SignalNumber = Annotated[int, Kind("signal", _SIGNED_32)]
Path = Annotated[bytes, Kind("path", "read_path(task.mm, {register})")]
"""A name to walk along. That it can't be read is found out by the walk."""
OptionalPath = Annotated[bytes | None, Kind("path", "read_optional_path(task.mm, {register})")]
Text = Annotated[bytes, Kind("path", "read_text(task.mm, {register})")]
"""A string that is read before anything else is looked at."""
OptionalText = Annotated[bytes | None, Kind("path", "read_optional_text(task.mm, {register})")]
Flags = Annotated[T, Kind("flags", "{register} & 0xFFFFFFFF")]
"""A set of flags: `Flags[WaitOption]`. The class tells the trace their names; at run time it's a plain
int, since arithmetic on an IntFlag costs 20 times as much."""
LongFlags = Annotated[T, Kind("flags", "{register}")]
"""As Flags, of 64 bits."""
FlagsAndSignal = Annotated[T, Kind("flags_and_signal", "{register}")]
"""As LongFlags; the lowest 8 bits are a signal: clone(2)."""
Choice = Annotated[T, Kind("choice", _SIGNED_32)]
"""One of the numbers of an IntEnum: `Choice[SeekWhence]`; a plain int at run time."""
UnsignedChoice = Annotated[T, Kind("choice", "{register} & 0xFFFFFFFF")]
"""As Choice, of an unsigned number."""
LongChoice = Annotated[T, Kind("choice", "{register}")]
"""As UnsignedChoice, of 64 bits."""
ChoiceAndFlags = Annotated[T, Kind("choice_and_flags", "{register} & 0xFFFFFFFF")]
"""One of the numbers of an IntEnum with flags of an IntFlag: `ChoiceAndFlags[FutexCommand | FutexFlag]`."""

# For In and Out: integers that the trace shows as what they mean.
WaitStatus = Annotated[int, "i", "wait_status"]
SignalSet = Annotated[int, "Q", "signal_set"]
ARRAY = "array"
"""For In, InOut and Out: `InOut[Annotated[Pollfd, ARRAY]]`. The pointer reaches the first structure; the next
argument says how many there are."""


class Layout(Protocol):
    """How a value lies in user memory."""

    SIZE: int

    def pack(self, value: Any, /) -> bytes:
        """The bytes of `value`."""

    def unpack(self, data: bytes, /) -> Any:
        """The value in `data`."""


class IntegerLayout:
    """One integer in user memory."""

    __slots__ = ("SIZE", "structure")

    def __init__(self, code: str) -> None:
        self.structure = Words("<" + code)
        self.SIZE = self.structure.size

    def pack(self, value: int) -> bytes:
        """The bytes of `value`, cut to the integer's width."""
        return self.structure.pack(value)

    def unpack(self, data: bytes) -> int:
        """The integer in `data`."""
        value: int = self.structure.unpack(data)[0]
        return value


class StructureLayout:
    """One ABI structure in user memory."""

    __slots__ = ("SIZE", "structure")

    def __init__(self, structure: type[Structure]) -> None:
        self.structure = structure
        self.SIZE = structure.SIZE

    def pack(self, value: Structure) -> bytes:
        """The bytes of `value`."""
        return value.pack()

    def unpack(self, data: bytes) -> Structure:
        """The structure in `data`."""
        return self.structure.unpack(data)


class Pointer(Generic[T]):
    """A typed pointer argument: false when NULL."""

    __slots__ = ("address", "layout", "memory")

    def __init__(self, memory: UserMemory, address: int, layout: Layout) -> None:
        self.memory = memory
        self.address = address
        self.layout = layout

    def __bool__(self) -> bool:
        return self.address != 0


class In(Pointer[T]):
    """A pointer to a value that the call reads."""

    __slots__ = ()

    def get(self) -> T:
        """The value. Raises EFAULT."""
        value: T = self.layout.unpack(self.memory.read(self.address, self.layout.SIZE))
        return value


class Out(Pointer[T]):
    """A pointer to where the call puts a value."""

    __slots__ = ()

    def put(self, value: T) -> None:
        """Put `value` there. Raises EFAULT."""
        self.memory.write(self.address, self.layout.pack(value))


class InOut(In[T]):
    """A pointer to a value that the call reads and replaces."""

    __slots__ = ()

    def put(self, value: T) -> None:
        """Put `value` there. Raises EFAULT."""
        self.memory.write(self.address, self.layout.pack(value))


class SizedIn(Pointer[T]):
    """A pointer to a structure that may grow: the next argument says how many bytes of it there are."""

    __slots__ = ()


POINTER_CLASSES: tuple[type[Pointer[Any]], ...] = (In, Out, InOut, SizedIn)


def layout_of(annotation: Any) -> Layout:
    """The layout for the T of In[T], Out[T] or InOut[T]: a Structure or an integer alias of abi.structure."""
    if isinstance(annotation, type) and issubclass(annotation, Structure):
        return StructureLayout(annotation)
    if get_origin(annotation) is Annotated:
        inner, code = get_args(annotation)[:2]
        if code == ARRAY:
            return layout_of(inner)
        if isinstance(code, str) and len(code) == 1:
            return IntegerLayout(code)
    raise TypeError(f"{annotation!r} has no layout in user memory")


def read_text(memory: UserMemory, address: int) -> bytes:
    """A string. Raises EFAULT. One that is too long is read up to PATH_MAX."""
    text = memory.read_cstring(address, PATH_MAX)
    return memory.read(address, PATH_MAX) if text is None else text


def read_optional_text(memory: UserMemory, address: int) -> bytes | None:
    """A string that may be NULL. Raises EFAULT."""
    return read_text(memory, address) if address else None


def read_path(memory: UserMemory, address: int) -> bytes:
    """A path argument. Linux: fs/namei.c, getname.

    For one that is too long or can't be read it gives what a walk along it refuses (ENAMETOOLONG, EFAULT),
    after the checks that Linux makes before: it carries such an error along with the name.
    """
    try:
        return read_text(memory, address)
    except EFAULT:
        return unreadable_name(address)


def read_optional_path(memory: UserMemory, address: int) -> bytes | None:
    """A path argument that may be NULL."""
    return read_path(memory, address) if address else None
