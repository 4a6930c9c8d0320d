"""The x87's functions on the Unicorn engine: the library would compute them in 53 bits of 64."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware import x87
from procession.hardware.engines.unicorn_machine_code import BUSY, ERROR_SUMMARY
from procession.hardware.extended_state import Extended, pack_extended, unpack_extended
from procession.hardware.instruction import x87_function_at
from procession.hardware.registers import RIP, set_register

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_exceptions import FloatingExceptions

_MASKS = 0x3F
_EMPTY = 1
_STRIDE = 16
_PREVENTS_RESULT = x87.INVALID | x87.ZERO_DIVIDE | x87.DENORMAL
_ROUNDING_SHIFT = 10
F2XM1, FYL2X, FPTAN, FPATAN, FXTRACT, FPREM1, FPREM, FYL2XP1, FSINCOS, FSCALE, FSIN, FCOS = (
    *(0xF0, 0xF1, 0xF2, 0xF3, 0xF4, 0xF5),
    *(0xF8, 0xF9, 0xFB, 0xFD, 0xFE, 0xFF),
)
_TAKE_TWO = frozenset((FYL2X, FPATAN, FPREM1, FPREM, FYL2XP1, FSCALE))
_POP = frozenset((FYL2X, FPATAN, FYL2XP1))
_PUSH = frozenset((FPTAN, FXTRACT, FSINCOS))
_ALL_CONDITIONS = x87.C0 | x87.C1 | x87.C2 | x87.C3
_SETS_C2 = frozenset((FPTAN, FSINCOS, FSIN, FCOS))


class X87Functions:
    """Executes the function at the processor's instruction pointer; `exceptions` knows the processor."""

    __slots__ = ("exceptions",)

    def __init__(self, exceptions: FloatingExceptions) -> None:
        self.exceptions = exceptions

    def execute(self, code: bytes) -> int:
        """Execute the instruction at the start of `code`: the vector to raise, 0 for none.

        What is pending comes first, as with every x87 instruction that waits.
        """
        exceptions = self.exceptions
        layout = exceptions.layout
        status = exceptions.words16[layout.x87_status // 2]
        control = exceptions.words16[layout.x87_control // 2]
        if status & ~control & _MASKS:
            exceptions.words16[layout.x87_status // 2] = status | ERROR_SUMMARY | BUSY
            return _MATH_FAULT
        operation, length = x87_function_at(code)
        outcome = self._compute(operation, control >> _ROUNDING_SHIFT & 3)
        raised = outcome.exceptions
        affected = _ALL_CONDITIONS if operation in (FPREM, FPREM1) else x87.C1
        if operation in _SETS_C2:
            affected |= x87.C2
        status = status & ~affected | outcome.conditions & affected | raised
        unmasked = raised & ~control & _MASKS
        if unmasked:
            status |= ERROR_SUMMARY | BUSY
        exceptions.words16[layout.x87_status // 2] = status
        if not unmasked & _PREVENTS_RESULT:
            self._put(operation, outcome)
        set_register(exceptions.words64, RIP, exceptions.words64[RIP] + length)
        return 0

    def _compute(self, operation: int, rounding: int) -> x87.Outcome:
        top = self._top
        is_pushing = operation in _PUSH
        if self._is_empty(top) or (operation in _TAKE_TWO and self._is_empty(top + 1)):
            results = (x87.INDEFINITE,) * (2 if is_pushing else 1)
            return x87.Outcome(results, x87.INVALID | x87.STACK_FAULT)
        if is_pushing and not self._is_empty(top - 1):
            return x87.Outcome((x87.INDEFINITE,) * 2, x87.INVALID | x87.STACK_FAULT, x87.C1)
        first = self._register(top)
        if operation == FXTRACT:
            return x87.extracted(first)
        if operation in _TAKE_TWO:
            second = self._register(top + 1)
            if operation in (FPREM, FPREM1):
                return x87.remainder(first, second, is_nearest=operation == FPREM1)
            return _OF_TWO[operation](first, second, rounding)
        return _OF_ONE[operation](first, rounding)

    def _put(self, operation: int, outcome: x87.Outcome) -> None:
        """Put the results where the instruction does, with pops and pushes."""
        top = self._top
        if operation in _POP:
            self._set_empty(top)
            top += 1
        self._set_register(top, outcome.results[0])
        if operation in _PUSH and len(outcome.results) > 1:
            top -= 1
            self._set_register(top, outcome.results[1])
        self._top = top

    # The stack of registers, by their numbers modulo 8

    @property
    def _top(self) -> int:
        return self.exceptions.words32[self.exceptions.layout.x87_top // 4] & 7

    @_top.setter
    def _top(self, top: int) -> None:
        exceptions, layout = self.exceptions, self.exceptions.layout
        exceptions.words32[layout.x87_top // 4] = top & 7

    def _is_empty(self, number: int) -> bool:
        return self.exceptions.state[self.exceptions.layout.x87_tags + (number & 7)] == _EMPTY

    def _set_empty(self, number: int) -> None:
        self.exceptions.state[self.exceptions.layout.x87_tags + (number & 7)] = _EMPTY

    def _register(self, number: int) -> Extended:
        start = self.exceptions.layout.x87_registers + _STRIDE * (number & 7)
        return unpack_extended(bytes(self.exceptions.state[start : start + 10]))

    def _set_register(self, number: int, value: Extended) -> None:
        exceptions, layout = self.exceptions, self.exceptions.layout
        start = layout.x87_registers + _STRIDE * (number & 7)
        exceptions.state[start : start + 10] = pack_extended(value)
        exceptions.state[layout.x87_tags + (number & 7)] = 0


_MATH_FAULT = 16
_OF_ONE = {
    F2XM1: x87.exponential,
    FPTAN: x87.tangent,
    FSINCOS: x87.sine_and_cosine,
    FSIN: x87.sine,
    FCOS: x87.cosine,
}
_OF_TWO = {
    FYL2X: x87.logarithm,
    FYL2XP1: x87.logarithm_near_one,
    FPATAN: x87.arctangent,
    FSCALE: x87.scaled,
}
