"""Who called whom, by the tables that compilers leave for exceptions (.eh_frame; DWARF 4, 6.4).

The tables are the guest's: what makes no sense in them ends the stack.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from procession.abi.named_tuple import NamedTuple

_MASK = (1 << 64) - 1
RBP, RSP, RETURN_ADDRESS = 6, 7, 16
"""Registers as DWARF numbers them on x86-64."""
FRAME_ORDER = (
    *("rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp"),
    *("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip"),
)
"""All of them, in that order."""
_MOST_INSTRUCTIONS, _MOST_OPERATIONS, _DEEPEST = 4096, 128, 64
_MOST_KNOWN, _MOST_SCANNED = 1 << 14, 1 << 16
_LONGEST_ENTRY = 1 << 16
_TABLE_ENTRY = 8
_SORTED_TABLE = 0x3B
"""How the index's table is encoded: 32-bit offsets from the index."""
_INDIRECT = 0x80
_PC_RELATIVE = 0x10

_UNDEFINED, _SAME, _AT_OFFSET, _OFFSET, _REGISTER, _AT_EXPRESSION, _EXPRESSION = range(7)
Rule = tuple[int, "int | bytes"]


class BadTable(Exception):
    """What makes no sense."""


class FrameRules(NamedTuple):
    """How to come from a function's frame to its caller's, at one address.

    `base` is how its base is made: from a register and an offset, or with -1 for the register by an
    expression. `rules` tells where the registers are. `is_signal` is for the frame of a handler's return.
    """

    base_register: int
    base: int | bytes
    rules: dict[int, Rule]
    is_signal: bool


class Reader:
    """Takes values out of bytes. Raises BadTable at their end."""

    def __init__(self, data: bytes, position: int = 0, address: int = 0) -> None:
        self.data = data
        self.position = position
        self.address = address
        """Where the bytes lie, for what is relative to that."""

    def number(self, size: int, *, is_signed: bool = False) -> int:
        """A number of a fixed size."""
        return int.from_bytes(self.take(size), "little", signed=is_signed)

    def byte(self) -> int:
        """One byte."""
        return self.number(1)

    def uleb(self) -> int:
        """A number of any size, seven bits a byte."""
        value = shift = 0
        while shift < 70:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
        raise BadTable

    def sleb(self) -> int:
        """The same with a sign."""
        start = self.position
        value = self.uleb()
        bits = 7 * (self.position - start)
        return value - (1 << bits) if value >> (bits - 1) & 1 else value

    def take(self, length: int) -> bytes:
        """So many bytes."""
        data = self.data[self.position : self.position + length]
        if len(data) < length:
            raise BadTable
        self.position += length
        return data

    def pointer(self, encoding: int) -> int:
        """A pointer, encoded as DW_EH_PE_* say."""
        here = self.address + self.position
        form = encoding & 0x0F
        if form == 1:
            value = self.uleb()
        elif form == 9:
            value = self.sleb()
        else:
            known = _FORMS.get(form)
            if known is None:
                raise BadTable
            value = self.number(known[0], is_signed=known[1])
        if encoding & 0x70 == _PC_RELATIVE:
            value += here
        elif encoding & 0x70 or encoding & _INDIRECT:
            raise BadTable
        return value & _MASK


_FORMS = {
    **{0: (8, False), 2: (2, False), 3: (4, False), 4: (8, False)},
    **{10: (2, True), 11: (4, True), 12: (8, True)},
}
"""Sizes of pointers by their encoding, and whether they have a sign."""


class Common(NamedTuple):
    """What the entries of many functions share (a CIE)."""

    code_unit: int
    data_unit: int
    encoding: int
    has_length: bool
    is_signal: bool
    program: bytes


class FrameTable:
    """The tables of one file. `read(address, length)` gives its bytes, by the file's own addresses.

    `starts` are where functions begin, in order, and `entries` where their entries lie, both counted from
    `base`.
    """

    def __init__(
        self, read: Callable[[int, int], bytes], base: int, starts: Sequence[int], entries: Sequence[int]
    ) -> None:
        self.read = read
        self.base = base
        self.starts = starts
        self.entries = entries
        self.known: dict[int, FrameRules] = {}

    @classmethod
    def indexed(cls, read: Callable[[int, int], bytes], index_address: int) -> FrameTable:
        """The tables by the index that the linker has made (.eh_frame_hdr). Raises BadTable."""
        head = Reader(read(index_address, 12), 0, index_address)
        version, _, count_encoding, table_encoding = (head.byte() for _ in range(4))
        if version != 1 or count_encoding != 3 or table_encoding != _SORTED_TABLE:
            raise BadTable
        head.number(4)
        count = head.number(4)
        pairs = memoryview(read(index_address + 12, count * _TABLE_ENTRY)).cast("i")
        return cls(read, index_address, pairs[::2], pairs[1::2])

    @classmethod
    def scanned(cls, read: Callable[[int, int], bytes], address: int, size: int) -> FrameTable:
        """The tables where there's no index, from the entries themselves. Raises BadTable."""
        table = cls(read, 0, (), ())
        found: list[tuple[int, int]] = []
        encodings: dict[int, int] = {}
        place, end = address, address + size
        for _ in range(_MOST_SCANNED):
            if place + 4 >= end:
                break
            length = int.from_bytes(read(place, 4), "little")
            if not length:
                break
            entry, common = table.entry_at(place)
            if common:
                if common not in encodings:
                    encodings[common] = table.common_at(common).encoding
                found.append((entry.pointer(encodings[common]), place))
            place += 4 + length
        found.sort()
        table.starts = [start for start, _ in found]
        table.entries = [entry for _, entry in found]
        return table

    def rules_at(self, address: int) -> FrameRules:
        """The rules at an address. Raises BadTable if there are none."""
        found = self.known.get(address)
        if found is None:
            if len(self.known) >= _MOST_KNOWN:
                self.known.clear()
            found = self.known[address] = self._rules(address)
        return found

    def _rules(self, address: int) -> FrameRules:
        place = bisect_right(self.starts, address - self.base) - 1
        if not 0 <= place < len(self.entries):
            raise BadTable
        entry, common_address = self.entry_at(self.base + self.entries[place])
        common = self.common_at(common_address)
        start = entry.pointer(common.encoding)
        length = entry.pointer(common.encoding & 0x0F)
        if not start <= address < start + length:
            raise BadTable
        if common.has_length:
            entry.take(entry.uleb())
        return _run(common, entry.data[entry.position :], start, address)

    def entry_at(self, address: int) -> tuple[Reader, int]:
        """The bytes of an entry after its head, and where what it shares lies; 0 for what is shared."""
        length = int.from_bytes(self.read(address, 4), "little")
        if not 4 <= length <= _LONGEST_ENTRY:
            raise BadTable
        reader = Reader(self.read(address + 4, length), 0, address + 4)
        offset = reader.number(4)
        return reader, address + 4 - offset if offset else 0

    def common_at(self, address: int) -> Common:
        """What entries share that lies at `address`. Raises BadTable."""
        reader, other = self.entry_at(address)
        if other:
            raise BadTable
        version = reader.byte()
        end = reader.data.find(b"\0", reader.position)
        if end < 0:
            raise BadTable
        letters = reader.take(end - reader.position)
        reader.byte()
        code_unit, data_unit = reader.uleb(), reader.sleb()
        return_register = reader.byte() if version == 1 else reader.uleb()
        if return_register != RETURN_ADDRESS:
            raise BadTable
        encoding, is_signal = 0, False
        if letters[:1] == b"z":
            augmentation = Reader(reader.take(reader.uleb()))
            for letter in letters[1:]:
                if letter == ord("R"):
                    encoding = augmentation.byte()
                elif letter == ord("P"):
                    augmentation.take(_FORMS.get(augmentation.byte() & 0x0F, (0, False))[0])
                elif letter == ord("L"):
                    augmentation.byte()
                elif letter == ord("S"):
                    is_signal = True
        elif letters:
            raise BadTable
        program = reader.data[reader.position :]
        return Common(code_unit, data_unit, encoding, letters[:1] == b"z", is_signal, program)


class _State:
    """What a program of rules has made so far."""

    def __init__(self) -> None:
        self.base_register = RSP
        self.base: int | bytes = 8
        self.rules: dict[int, Rule] = {}


def _run(common: Common, program: bytes, start: int, address: int) -> FrameRules:
    state = _State()
    _execute(common, common.program, state, {}, start, address)
    initial = dict(state.rules)
    _execute(common, program, state, initial, start, address)
    # Of other registers nobody asks, and these are kept.
    rules = {register: rule for register, rule in state.rules.items() if register < len(FRAME_ORDER)}
    return FrameRules(state.base_register, state.base, rules, common.is_signal)


def _execute(
    common: Common, program: bytes, state: _State, initial: dict[int, Rule], place: int, address: int
) -> None:
    """Run a program up to the row for `address`."""
    reader = Reader(program)
    saved: list[tuple[int, int | bytes, dict[int, Rule]]] = []
    for _ in range(_MOST_INSTRUCTIONS):
        if reader.position >= len(program):
            return
        code = reader.byte()
        kind, operand = code >> 6, code & 0x3F
        if kind == 1 or code in _ADVANCES:
            step = operand if kind == 1 else reader.number(_ADVANCES[code])
            place += step * common.code_unit
            if place > address:
                return
        elif code == 0x01:
            place = reader.pointer(common.encoding)
            if place > address:
                return
        elif kind == 2:
            state.rules[operand] = _AT_OFFSET, reader.uleb() * common.data_unit
        elif kind == 3:
            _restore(state, initial, operand)
        elif code == 0x0A:
            if len(saved) >= _DEEPEST:
                raise BadTable
            saved.append((state.base_register, state.base, dict(state.rules)))
        elif code == 0x0B:
            if not saved:
                raise BadTable
            state.base_register, state.base, state.rules = saved.pop()
        elif not _set_base(common, code, reader, state):
            _set_rule(common, code, reader, state, initial)
    raise BadTable


_ADVANCES = {0x02: 1, 0x03: 2, 0x04: 4}


def _restore(state: _State, initial: dict[int, Rule], register: int) -> None:
    rule = initial.get(register)
    if rule is None:
        state.rules.pop(register, None)
    else:
        state.rules[register] = rule


def _set_base(common: Common, code: int, reader: Reader, state: _State) -> bool:
    """DW_CFA_def_cfa and its kin; whether it was one."""
    if code == 0x0C:
        state.base_register, state.base = reader.uleb(), reader.uleb()
    elif code == 0x12:
        state.base_register, state.base = reader.uleb(), reader.sleb() * common.data_unit
    elif code == 0x0D:
        state.base_register = reader.uleb()
    elif code == 0x0E:
        state.base = reader.uleb()
    elif code == 0x13:
        state.base = reader.sleb() * common.data_unit
    elif code == 0x0F:
        state.base_register, state.base = -1, reader.take(reader.uleb())
    else:
        return False
    return True


def _set_rule(common: Common, code: int, reader: Reader, state: _State, initial: dict[int, Rule]) -> None:
    """DW_CFA_offset_extended and its kin."""
    if code == 0x00:
        return
    if code == 0x2E:
        reader.uleb()
        return
    register = reader.uleb()
    if code == 0x05:
        state.rules[register] = _AT_OFFSET, reader.uleb() * common.data_unit
    elif code == 0x11:
        state.rules[register] = _AT_OFFSET, reader.sleb() * common.data_unit
    elif code == 0x2F:
        state.rules[register] = _AT_OFFSET, -reader.uleb() * common.data_unit
    elif code == 0x14:
        state.rules[register] = _OFFSET, reader.uleb() * common.data_unit
    elif code == 0x15:
        state.rules[register] = _OFFSET, reader.sleb() * common.data_unit
    elif code == 0x06:
        _restore(state, initial, register)
    elif code == 0x07:
        state.rules[register] = _UNDEFINED, 0
    elif code == 0x08:
        state.rules[register] = _SAME, 0
    elif code == 0x09:
        state.rules[register] = _REGISTER, reader.uleb()
    elif code == 0x10:
        state.rules[register] = _AT_EXPRESSION, reader.take(reader.uleb())
    elif code == 0x16:
        state.rules[register] = _EXPRESSION, reader.take(reader.uleb())
    else:
        raise BadTable


Memory = Callable[[int], int]
"""The word at an address. Raises BadTable if it can't be read."""


def caller_of(rules: FrameRules, registers: list[int], memory: Memory) -> list[int] | None:
    """The registers of the caller, in FRAME_ORDER; None if there is none. Raises BadTable."""
    base = rules.base
    if isinstance(base, bytes):
        base_address = _evaluate(base, registers, memory)
    else:
        base_address = (_register(registers, rules.base_register) + base) & _MASK
    found = registers.copy()
    found[RSP] = base_address
    if rules.rules.get(RETURN_ADDRESS, (_UNDEFINED, 0))[0] == _UNDEFINED:
        return None
    for register, (kind, operand) in rules.rules.items():
        if isinstance(operand, bytes):
            value = _evaluate(operand, registers, memory, base_address)
            found[register] = memory(value) if kind == _AT_EXPRESSION else value
        elif kind == _AT_OFFSET:
            found[register] = memory((base_address + operand) & _MASK)
        elif kind == _OFFSET:
            found[register] = (base_address + operand) & _MASK
        elif kind == _REGISTER:
            found[register] = _register(registers, operand)
    return found


def _register(registers: list[int], number: int) -> int:
    if not 0 <= number < len(registers):
        raise BadTable
    return registers[number]


def _evaluate(expression: bytes, registers: list[int], memory: Memory, first: int | None = None) -> int:
    """A DWARF expression, of those operations that occur in such tables."""
    reader = Reader(expression)
    stack = [] if first is None else [first]
    for _ in range(_MOST_OPERATIONS):
        if reader.position >= len(expression):
            if not stack:
                raise BadTable
            return stack[-1]
        code = reader.byte()
        if 0x30 <= code <= 0x4F:
            stack.append(code - 0x30)
        elif 0x70 <= code <= 0x8F:
            stack.append((_register(registers, code - 0x70) + reader.sleb()) & _MASK)
        elif code in _CONSTANTS:
            size, is_signed = _CONSTANTS[code]
            stack.append(reader.number(size, is_signed=is_signed) & _MASK)
        elif code == 0x10:
            stack.append(reader.uleb() & _MASK)
        elif code == 0x11:
            stack.append(reader.sleb() & _MASK)
        elif code == 0x23:
            stack.append((_pop(stack) + reader.uleb()) & _MASK)
        elif code == 0x06:
            stack.append(memory(_pop(stack)))
        elif code == 0x12:
            stack.append(_pop(stack[-1:]))
        elif code in _OPERATIONS:
            right, left = _pop(stack), _pop(stack)
            stack.append(_OPERATIONS[code](left, right) & _MASK)
        else:
            raise BadTable
    raise BadTable


_CONSTANTS = {
    **{0x03: (8, False), 0x08: (1, False), 0x0A: (2, False), 0x0C: (4, False), 0x0E: (8, False)},
    **{0x09: (1, True), 0x0B: (2, True), 0x0D: (4, True), 0x0F: (8, True)},
}


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


_OPERATIONS: dict[int, Callable[[int, int], int]] = {
    0x1A: lambda left, right: left & right,
    0x1C: lambda left, right: left - right,
    0x1E: lambda left, right: left * right,
    0x21: lambda left, right: left | right,
    0x22: lambda left, right: left + right,
    0x24: lambda left, right: left << right if right < 64 else 0,
    0x25: lambda left, right: left >> right,
    0x27: lambda left, right: left ^ right,
    0x29: lambda left, right: int(left == right),
    0x2A: lambda left, right: int(_signed(left) >= _signed(right)),
    0x2B: lambda left, right: int(_signed(left) > _signed(right)),
    0x2C: lambda left, right: int(_signed(left) <= _signed(right)),
    0x2D: lambda left, right: int(_signed(left) < _signed(right)),
    0x2E: lambda left, right: int(left != right),
}


def _pop(stack: list[int]) -> int:
    if not stack:
        raise BadTable
    return stack.pop()
