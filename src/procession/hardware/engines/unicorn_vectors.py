"""SSE's arithmetic on the Unicorn engine: machine code in the place of the library's functions.

The library computes in software, keeps only note of exceptions, knows none of denormal operands, and of two
operands that are no numbers takes the one with the larger significand. The code here has the host's processor
do the operation under the guest's control bits, with all exceptions masked, and puts what that raised into
the guest's MXCSR.

As a rule those bits are the host's own. Then there's nothing to load: what the host's MXCSR has gathered is
compared with the guest's, and only if something is new there is the operation done again from a clear one.

What isn't masked is raised at the instruction, before anything is stored: where an exception of the operands
is, those of results aren't told. Whether a result that raises for being too large or tiny is inexact too is
told as if it weren't to raise: processors look at its digits alone then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from procession.hardware.engines.unicorn_machine_code import Assembly, d8, d32

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_state import StateLayout

_SIMD_ERROR: Final = 19
_USUAL: Final = 0x1F80
"""MXCSR with everything masked, and nothing raised: as the host's programs have it."""
_CONTROL, _RAISED, _OF_OPERANDS, _DENORMAL, _UNDERFLOW = 0xFFC0, 0x3F, 7, 2, 0x10
_UNDERFLOW_MASK, _FLUSH, _UNUSUAL = 0x800, 0x8000, 0xE040
_KINDS = (("ps", ""), ("pd", "66"), ("ss", "f3"), ("sd", "f2"))
_OPERATIONS = {"sqrt": 0x51, "add": 0x58, "mul": 0x59, "sub": 0x5C, "min": 0x5D, "div": 0x5E, "max": 0x5F}
_PREDICATES = ("eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord")

_OF_TWO = {
    **{
        name + kind: bytes.fromhex(f"{prefix}0f{opcode:02x}c1")
        for name, opcode in _OPERATIONS.items()
        for kind, prefix in _KINDS
    },
    **{
        f"cmp{name}{kind}": bytes.fromhex(f"{prefix}0fc2c1{number:02x}")
        for number, name in enumerate(_PREDICATES)
        for kind, prefix in _KINDS
    },
    "addsubpd": b"\x66\x0f\xd0\xc1",
    "addsubps": b"\xf2\x0f\xd0\xc1",
    "haddpd": b"\x66\x0f\x7c\xc1",
    "haddps": b"\xf2\x0f\x7c\xc1",
    "hsubpd": b"\x66\x0f\x7d\xc1",
    "hsubps": b"\xf2\x0f\x7d\xc1",
    "cvtps2pd": b"\x0f\x5a\xc1",
    "cvtpd2ps": b"\x66\x0f\x5a\xc1",
    "cvtss2sd": b"\xf3\x0f\x5a\xc1",
    "cvtsd2ss": b"\xf2\x0f\x5a\xc1",
    "cvtdq2ps": b"\x0f\x5b\xc1",
    "cvtps2dq": b"\x66\x0f\x5b\xc1",
    "cvttps2dq": b"\xf3\x0f\x5b\xc1",
    "cvtpd2dq": b"\xf2\x0f\xe6\xc1",
    "cvttpd2dq": b"\x66\x0f\xe6\xc1",
}
"""Of xmm0 and xmm1 to xmm0: called as (state, result and first operand, second)."""
_TO_FLAGS = {
    "ucomiss": b"\x0f\x2e\xc1",
    "comiss": b"\x0f\x2f\xc1",
    "ucomisd": b"\x66\x0f\x2e\xc1",
    "comisd": b"\x66\x0f\x2f\xc1",
}
"""Called as (state, first operand, second)."""
_TO_INTEGERS = {
    "cvtss2si": b"\xf3\x0f\x2d\xc1",
    "cvttss2si": b"\xf3\x0f\x2c\xc1",
    "cvtsd2si": b"\xf2\x0f\x2d\xc1",
    "cvttsd2si": b"\xf2\x0f\x2c\xc1",
    "cvtss2sq": b"\xf3\x48\x0f\x2d\xc1",
    "cvttss2sq": b"\xf3\x48\x0f\x2c\xc1",
    "cvtsd2sq": b"\xf2\x48\x0f\x2d\xc1",
    "cvttsd2sq": b"\xf2\x48\x0f\x2c\xc1",
}
"""Of xmm1 to rax: called as (state, operand)."""
_FROM_INTEGERS = {
    "cvtsi2ss": b"\xf3\x0f\x2a\xc2",
    "cvtsi2sd": b"\xf2\x0f\x2a\xc2",
    "cvtsq2ss": b"\xf3\x48\x0f\x2a\xc2",
    "cvtsq2sd": b"\xf2\x48\x0f\x2a\xc2",
}
"""Of rdx to xmm0: called as (state, result, number)."""
VECTORS: Final = (*_OF_TWO, *_TO_FLAGS, *_TO_INTEGERS, *_FROM_INTEGERS)
_TINY = {kind: bytes.fromhex(f"{prefix}0fc2d200") for kind, prefix in _KINDS}
"""xmm2 is compared with itself."""
_CAN_UNDERFLOW = ("add", "sub", "mul", "div", "hadd", "hsub", "cvtpd2ps", "cvtsd2ss")
VECTOR_BYTES: Final = 512
"""The most that the code for one has."""
_TAKE_FLAGS = bytes.fromhex("9f 0fb6c4 83e045")
"""lahf; movzx eax, ah; and eax, carry, parity and zero: the others are cleared."""
_LOAD_FIRST, _LOAD_SECOND, _LOAD_ONLY = b"\x0f\x10\x06", b"\x0f\x10\x0a", b"\x0f\x10\x0e"
"""movups xmm0, [rsi]; movups xmm1, [rdx]; movups xmm1, [rsi]"""
_STORE = b"\x0f\x11\x06"
"""movups [rsi], xmm0"""
_SET, _GET = "0fae5424f8", "0fae5c24f8 448b4c24f8"
"""ldmxcsr [rsp - 8]; stmxcsr [rsp - 8] and mov r9d, [rsp - 8]"""

_Template = tuple[bytes, list[int]]


class VectorCode:
    """Makes the code for processors whose state is laid out as `layout` says; rdi is where that is.

    `raising` is the library's function that leaves translated code.
    """

    __slots__ = ("mxcsr", "raising", "store_flags", "templates")

    def __init__(self, layout: StateLayout, raising: int) -> None:
        self.raising = raising
        self.mxcsr = d32(layout.mxcsr)
        self.store_flags = b"\x48\x89\x87" + d32(layout.flags_source)  # mov [rdi + ...], rax
        self.templates: dict[tuple[bytes, int, bytes], _Template] = {}

    def of(self, name: str) -> bytes:
        """The code for a function of VECTORS."""
        if name in _OF_TWO:
            load, operation, store = _LOAD_FIRST + _LOAD_SECOND, _OF_TWO[name], _STORE
        elif name in _TO_FLAGS:
            load, store = _LOAD_FIRST + _LOAD_SECOND, self.store_flags
            operation = _TO_FLAGS[name] + _TAKE_FLAGS
        elif name in _TO_INTEGERS:
            load, operation, store = _LOAD_ONLY, _TO_INTEGERS[name], b""
        else:
            load, operation, store = _LOAD_FIRST, _FROM_INTEGERS[name], _STORE
        tiny = _TINY[name[-2:]] if name.startswith(_CAN_UNDERFLOW) else b""
        key = load + store, len(operation), tiny
        template = self.templates.get(key)
        if template is None:
            template = self.templates[key] = self._template(load, len(operation), store, tiny)
        text, places = template
        code = bytearray(text)
        for place in places:
            code[place : place + len(operation)] = operation
        return bytes(code)

    def _template(self, load: bytes, length: int, store: bytes, tiny: bytes) -> _Template:
        """The code without the operation, which is to be put at each of the places.

        By `tiny` xmm2, the result, raises the exception of denormal operands if it's tiny: that is an
        underflow if this isn't masked, be it exact or not.
        """
        code, places = Assembly(), []

        def operate() -> None:
            code.add("", load)
            places.append(len(code.code))
            code.add("", bytes(length))

        code.add("448b87", self.mxcsr)  # mov r8d, [rdi + MXCSR]
        code.add("4589c1 4181e1", d32(_CONTROL), b"\x41\x81\xf9", d32(_USUAL))  # mov r9d, r8d; and ...; cmp
        code.jump("85", "other")  # jne other
        operate()
        # not r8d; and r9d, r8d; test r9d, ...: what is new, and bits of control that the host shouldn't have
        code.add(_GET + "41f7d0 4521c1 41f7c1", d32(_RAISED | _UNUSUAL))
        code.jump("85", "clear")  # jnz clear
        code.add("", store, b"\xc3")
        code.label("clear")
        code.add("c74424f8", d32(_USUAL), bytes.fromhex(_SET))  # mov dword [rsp - 8], _USUAL; ldmxcsr
        operate()
        code.add(_GET + "4183e1", d8(_RAISED), b"\x44\x09\x8f", self.mxcsr)  # and r9d, ...; or [...], r9d
        code.add("", store, b"\xc3")
        code.label("other")
        if tiny:
            code.add("41f7c0", d32(_UNDERFLOW_MASK))  # test r8d, ...
            code.jump("85", "flushing")  # jnz flushing
            code.add("4181e1", d32(~_FLUSH))  # and r9d, not ...: it counts only where underflow is masked
            code.label("flushing")
        code.add("4181c9", d32(_USUAL), bytes.fromhex("44894c24f8" + _SET))  # or r9d, ...; mov [rsp - 8], r9d
        operate()
        code.add(_GET + "4183e1", d8(_RAISED), b"\xc7\x44\x24\xf8", d32(_USUAL), bytes.fromhex(_SET))
        code.add("41f7d0 41c1e807 4183e0", d8(_RAISED))  # not r8d; shr r8d, 7; and r8d, _RAISED
        code.jump("85", "unmasked")  # jnz unmasked
        code.add("44098f", self.mxcsr, store, b"\xc3")  # or [rdi + MXCSR], r9d
        code.label("unmasked")
        code.add("4589c2 4521ca 41f6c2", d8(_OF_OPERANDS))  # mov r10d, r8d; and r10d, r9d; test r10b, ...
        code.jump("85", "raise")  # jnz raise
        if tiny:
            code.add("41f6c0", d8(_UNDERFLOW))  # test r8b, _UNDERFLOW
            code.jump("84", "told")  # jz told
            code.add(
                "0f28d0", tiny, bytes.fromhex("0fae5c24f8 f64424f8"), d8(_DENORMAL)
            )  # movaps xmm2, xmm0; ...
            code.jump("84", "told")  # jz told
            code.add("4183c9", d8(_UNDERFLOW), b"\x41\x83\xca" + d8(_UNDERFLOW))  # or r9d, ...; or r10d, ...
            code.label("told")
        code.add("44098f", self.mxcsr, b"\x45\x85\xd2")  # or [rdi + MXCSR], r9d; test r10d, r10d
        code.jump("85", "raised")  # jnz raised
        code.add("", store, b"\xc3")
        code.label("raise")
        code.add("4183e1", d8(_OF_OPERANDS), b"\x44\x09\x8f", self.mxcsr)
        code.label("raised")
        code.leave(_SIMD_ERROR, self.raising)
        return code.finish(), places
