"""What single instructions cost the Unicorn engine beyond their block, and the code that counts it.

A block costs one unit, which is a dozen nanoseconds of the host's. That is too little where the library
computes an instruction in a function: a square root on the x87 takes three times as long as a whole block, a
save of all registers forty times. So calls of such functions are led through code that takes the price from
the processor's budget first. Nothing else is slower for it, and what is counted depends on nothing but the
instructions executed.

The budget lies in the processor's own state, where a function finds it: in a register that programs can't
see, as only a kernel could use it and none runs on this processor. So do the flag that instructions are
watched (`unicorn_exceptions`) and what is noted for the translator (`unicorn_blocks`).
"""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING

from procession.abi.word import Words
from procession.hardware.engines.unicorn_arithmetic import (
    ARITHMETIC,
    CONSTANTS,
    SIMPLE,
    STACK_TURNS,
    ArithmeticCode,
)
from procession.hardware.engines.unicorn_environment import (
    LOAD_MXCSR,
    LOADS,
    STORE_ENVIRONMENT,
    masking_code,
    unmasking_code,
)
from procession.hardware.engines.unicorn_library import RAISE, UnicornError
from procession.hardware.engines.unicorn_state import DESCRIPTIONS, describing_code
from procession.hardware.engines.unicorn_vectors import VECTOR_BYTES, VECTORS, VectorCode

if TYPE_CHECKING:
    from ctypes import c_void_p

    from procession.hardware.engines.unicorn_image import LibraryImage
    from procession.hardware.engines.unicorn_library import UnicornLibrary
    from procession.hardware.engines.unicorn_state import StateLayout

_PRICES = {
    0: " ".join((*CONSTANTS, *SIMPLE, *STACK_TURNS)),
    1: "fpush fstt_ST0 fildl_FT0 fldl_FT0 flds_FT0 fist_ST0 fistl_ST0 fistll_ST0 fistt_ST0 fisttl_ST0"
    " fisttll_ST0 fstl_ST0 fsts_ST0 fxchg_ST0_STN fxam_ST0 ldmxcsr fcom_ST0_FT0 fcomi_ST0_FT0 fucom_ST0_FT0"
    " fucomi_ST0_FT0 frndint fadd_ST0_FT0 fadd_STN_ST0 fmul_ST0_FT0 fmul_STN_ST0"
    " fsub_ST0_FT0 fsub_STN_ST0 fsubr_ST0_FT0 fsubr_STN_ST0 addss addsd addpd subss subsd subpd mulss"
    " mulsd mulpd divss divsd divps divpd sqrtss sqrtsd sqrtps sqrtpd addsubpd haddpd hsubpd rcpps"
    " rsqrtps cvtpd2dq cvtpd2pi cvtpd2ps cvtps2pd cvtdq2pd cvtpi2ps cvtps2pi cvttpd2dq cvttpd2pi"
    " cvttps2pi cvtsd2si cvtsd2sq cvtss2si cvtss2sq cvttsd2si cvttsd2sq cvttss2si cvttss2sq cvtsd2ss"
    " cvtss2sd cvtsi2sd cvtsi2ss cvtsq2sd cvtsq2ss maxpd minpd cmpeqpd cmpltpd cmplepd cmpunordpd"
    " cmpneqpd cmpnltpd cmpnlepd cmpordpd roundss_xmm roundsd_xmm roundps_xmm roundpd_xmm packuswb_xmm"
    " packssdw_xmm packsswb_xmm packusdw_xmm mpsadbw_xmm pshufb_xmm psadbw_xmm pmulhrsw_xmm phaddw_xmm"
    " phaddd_xmm phaddsw_xmm phsubw_xmm phsubd_xmm phsubsw_xmm fldcw fninit fldl_ST0 flds_ST0 fildl_ST0"
    " fildll_ST0 cpuid load_seg lsl lar verr verw rclq rcrq rcll rcrl",
    2: "fldt_ST0 fdiv_ST0_FT0 fdiv_STN_ST0 fdivr_ST0_FT0 fdivr_STN_ST0 addps subps mulps addsubps haddps"
    " hsubps maxps minps cvtps2dq cvttps2dq cvtdq2ps cmpeqps cmpltps cmpleps cmpunordps cmpneqps"
    " cmpnltps cmpnleps cmpordps dppd_xmm divq_EAX idivq_EAX write_eflags",
    3: "fsqrt fldenv dpps_xmm cmpxchg16b cmpxchg16b_unlocked",
    4: "pause crc32",
    5: "fstenv",
    8: "fbst_ST0 pcmpestri_xmm pcmpestrm_xmm pcmpistri_xmm pcmpistrm_xmm",
    9: "fbld_ST0 maskmov_xmm",
    15: "fsave frstor",
    36: "fxsave",
    43: "fxrstor",
}
"""Units for a call of each function."""
_WITHOUT_STATE = frozenset(("helper_crc32_x86_64",))
"""Functions of numbers alone: the others get the processor's state in their first argument. While translated
code runs it's in a register of the host's too, rbp."""
CALL_PROBE = "f20f38f1c0"
"""crc32 eax, eax."""
_FROM_FIRST_ARGUMENT, _FROM_REGISTER = bytes.fromhex("4883af"), bytes.fromhex("4883ad")
_NOTE_REGISTER = bytes.fromhex("90 48892d")
_ENTRY_BYTES, _COUNT_BYTES, _AMENDING_BYTES = 20, 8, 1024
_LINE_BYTES = 64
"""Code begins where a line of the host's cache does."""
_ARITHMETIC = {f"helper_{name}_x86_64": name for name in ARITHMETIC}
_VECTORS = {f"helper_{name}_x86_64": name for name in VECTORS}
_DESCRIPTIONS = {f"helper_{name}_x86_64": name for name in DESCRIPTIONS}
_AMENDED = frozenset((STORE_ENVIRONMENT, LOAD_MXCSR, *LOADS, *_ARITHMETIC, *_DESCRIPTIONS))
"""Functions that don't do all that the processor does."""
_STORE_QUADWORD, _STORE_WORD = "cpu_stq_data_ra_x86_64", "cpu_stw_data_ra_x86_64"
_HIDDEN_REGISTERS = range(0x200, 0x209)
"""IA32_MTRR_PHYSBASE0, IA32_MTRR_PHYSMASK0 and so on, which the library keeps one behind the other."""
_PROBES = tuple(0x7E57_0000_1234_5000 + 0x1DEA_0000_1000 * index for index in range(len(_HIDDEN_REGISTERS)))
_SEARCHED_BYTES = 2048
_OFFSET, _ADDRESS = Words("<i"), Words("<Q")
_COST = Words("<ib")


class PricedCalls:
    """Code of the library's process that functions with a price are called through, each at its entry.

    Until `count` has said where the budget is, nothing is counted.
    """

    __slots__ = ("addresses", "amending", "code", "functions", "noted", "offset", "start")

    def __init__(self, library: UnicornLibrary, image: LibraryImage) -> None:
        """Lead the calls through the code, before a processor is opened. Raises UnicornError."""
        priced = {
            f"helper_{name}_x86_64": price for price, names in _PRICES.items() for name in names.split()
        }
        self.functions = functions = list((dict.fromkeys(_VECTORS, 0) | priced).items())
        length = _ENTRY_BYTES * len(functions) + _ADDRESS.size
        self.amending = length
        size = length + _AMENDING_BYTES * len(_AMENDED) + VECTOR_BYTES * len(_VECTORS)
        self.code = code = mmap.mmap(-1, size, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.noted = memoryview(code)[length - _ADDRESS.size : length]
        self.offset = 0
        self.start = ctypes.addressof(ctypes.c_char.from_buffer(code))
        self.addresses = [library.address_of(name) for name, _ in functions]
        replacements: dict[int, int] = {}
        for index, ((name, _), address) in enumerate(zip(functions, self.addresses, strict=True)):
            place = _ENTRY_BYTES * index
            self._set_count(index, b"\x90" * _COUNT_BYTES)
            self._set_function(index, address)
            if name in _WITHOUT_STATE:
                # nop; mov [noted], rbp
                distance = length - _ADDRESS.size - place - _COUNT_BYTES
                self._set_count(index, _NOTE_REGISTER + _OFFSET.pack(distance))
            replacements[address] = self.start + place
        image.replace(replacements)

    def _set_count(self, index: int, code: bytes) -> None:
        self.code[_ENTRY_BYTES * index : _ENTRY_BYTES * index + _COUNT_BYTES] = code

    def _set_function(self, index: int, address: int) -> None:
        # mov rax, the function; jmp rax
        start = _ENTRY_BYTES * index
        self.code[start + _COUNT_BYTES : start + _ENTRY_BYTES] = (
            b"\x48\xb8" + _ADDRESS.pack(address) + b"\xff\xe0"
        )

    def count(self, library: UnicornLibrary, layout: StateLayout) -> None:
        """Take prices from the budget of the processor that makes the call, after CALL_PROBE has run on one.

        Raises UnicornError.
        """
        if layout.budget == self.offset:
            return
        [processor] = _ADDRESS.unpack(self.noted)
        if self.offset or processor != layout.address:
            raise UnicornError("what translated code calls can't tell where the budget is")
        self.offset = layout.budget
        for index, (name, price) in enumerate(self.functions):
            # sub qword [the processor + offset], price
            subtract = _FROM_REGISTER if name in _WITHOUT_STATE else _FROM_FIRST_ARGUMENT
            self._set_count(index, subtract + _COST.pack(layout.budget, price))
        place = self.amending
        storing = library.address_of(_STORE_QUADWORD), library.address_of(_STORE_WORD)
        arithmetic = ArithmeticCode(layout, library.address_of(RAISE), storing)
        vectors = VectorCode(layout, library.address_of(RAISE))
        for index, ((name, _), address) in enumerate(zip(self.functions, self.addresses, strict=True)):
            if name in _AMENDED or name in _VECTORS:
                own = _ARITHMETIC.get(name)
                if name in _VECTORS:
                    amending = vectors.of(_VECTORS[name])
                elif own is not None:
                    amending = arithmetic.of(own, address)
                elif name in _DESCRIPTIONS:
                    amending = describing_code(_DESCRIPTIONS[name], address, layout)
                elif name == STORE_ENVIRONMENT:
                    amending = masking_code(address, layout)
                else:
                    amending = unmasking_code(name, address, layout, library)
                if len(amending) > (VECTOR_BYTES if name in _VECTORS else _AMENDING_BYTES):
                    raise UnicornError(f"the code for {name} is too long")
                self.code[place : place + len(amending)] = amending
                self._set_function(index, self.start + place)
                place += -(-len(amending) // _LINE_BYTES) * _LINE_BYTES


def price_calls(library: UnicornLibrary, image: LibraryImage) -> PricedCalls:
    """The code for the library that is loaded here, once. Raises UnicornError."""
    calls = _priced.get(image.base)
    if calls is None:
        calls = _priced[image.base] = PricedCalls(library, image)
    return calls


_priced: dict[int, PricedCalls] = {}
"""By where the library is: its code is called as long as that is there."""


def locate_hidden_registers(library: UnicornLibrary, handle: c_void_p, layout: StateLayout) -> None:
    """Find the registers that the budget, the watch's flag and the translator's notes have.

    They are in the state behind what is a task's. Raises UnicornError.
    """
    for register, probe in zip(_HIDDEN_REGISTERS, _PROBES, strict=True):
        library.write_msr(handle, register, probe)
    state = ctypes.string_at(layout.address + layout.size, _SEARCHED_BYTES)
    place = state.find(b"".join(map(_ADDRESS.pack, _PROBES)))
    if place < 0 or place % 8:
        raise UnicornError("no place for the budget was found")
    for register in _HIDDEN_REGISTERS:
        library.write_msr(handle, register, 0)
    places = range(layout.size + place, layout.size + place + 8 * len(_PROBES), 8)
    layout.budget, layout.watching, layout.memory, layout.code_page = places[:4]
    layout.code, layout.next_code, layout.aligned, layout.translate, layout.block = places[4:]
