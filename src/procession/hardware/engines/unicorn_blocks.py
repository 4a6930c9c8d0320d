"""What Unicorn's library is kept from when it translates: too many instructions, and what it gets wrong.

The library counts up to 512 instructions into a block, and for some of them (those of the x87, crc32,
pcmpestri) takes one or two of its 512 temporaries that it never gives back before the block ends. It doesn't
look whether there are any left: a few hundred such instructions in a row, and it writes past its table. So
the library's call of its own translator is led through code that asks for less. A block that can't take long
also lets the meter see what the program does.

It goes through a block instruction by instruction, by a table of functions. Ours has code in the place of one
of them, which looks at each instruction first:

- A lock prefix where there can be none is an invalid opcode. The library would overlook it, or take the
  address that there isn't and end the whole process.
- An operand in memory that must lie at a multiple of 16 isn't checked by the library. What it generates for
  an access looks in any case whether that is within a page and may demand alignment in the same comparison:
  so the first access of such an instruction is asked for aligned, which costs nothing. What isn't aligned
  then comes to `unicorn_edges.py`.
- rdpmc is privileged here, where the library doesn't know it. String instructions for ports would move
  something first, iretd would go to virtual-8086 mode, and pop fs and pop gs would take more from the stack
  than need be there: these are the kernel's.
- What is no instruction by the number in its ModRM byte or by a prefix, the library takes for one now and
  then.
- Prefixes that mean nothing make it count wrong, cut off branches or move another register: in front of such
  an instruction the engine is asked for, which goes on behind them.
- With a lock, the library's neg sets the flags by what it was. As there is one processor, the lock goes.

In all but the second case the translator is shown another byte, of the prefix or in the place of the first.

Translated code looks whether the processor has been stopped between blocks alone, as a rule. The library has
it look after each access to memory too, and before each instruction that is watched, for who stops the
processor there. Each look is a call of a function: bash takes a third longer for it. Without such a watcher
the library is told to leave that out, by a mark of its own that holds for what it translates then.
"""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING, Final

from procession.abi.word import Words, pack_array
from procession.hardware.engines.unicorn_library import UnicornError
from procession.hardware.engines.unicorn_machine_code import Assembly, d8, d32, q
from procession.hardware.instruction import LONGEST_INSTRUCTION
from procession.hardware.page_table import ADDRESS_MASK
from procession.hardware.physical_memory import PAGE_SIZE

if TYPE_CHECKING:
    from ctypes import c_void_p

    from procession.hardware.engines.unicorn_image import LibraryImage
    from procession.hardware.engines.unicorn_library import UnicornLibrary
    from procession.hardware.engines.unicorn_state import StateLayout

TRANSLATOR = "gen_intermediate_code_x86_64"
"""Called as (processor object, block, the most instructions)."""
_LOOP = "translator_loop_x86_64"
"""Called by that as (functions, its own object, processor object, block, the most instructions)."""
_ACCESSES = ("tcg_gen_qemu_ld_i64_x86_64", "tcg_gen_qemu_st_i64_x86_64")
"""They generate an access of 8 bytes or less, called as (translation object, value, address, index, kind)."""

_TRANSLATE_CHECK = "check_exit_request_x86_64"
"""The function that puts a look into the code that is being translated, unless the mark says not to."""
_BEGINNING = re.compile(rb"\x48\x8b\xb7(.{4})\x80\xbe(.{4})\x00\x74.\xc3", re.DOTALL)
"""mov rsi, [rdi + ...], the handle's object; cmp byte [rsi + the mark's place], 0; je ...; ret"""
_LOOKED_AT_BYTES = 17

_WORD, _INFO, _OFFSET = Words("<I"), Words("<Q"), Words("<i")
_FUNCTIONS, _TRANSLATE = 7, 4
"""How many functions the loop has, and which of them translates an instruction: (the loop's object,
processor object)."""
_NEXT_ADDRESS = 16
"""Where in the loop's object the instruction's address is."""
_ALIGNED_BY_16 = 0x40
"""The bit of an access' kind that demands it."""
_BUFFER_BYTES = 24
"""More than all prefixes, the longest opcode and a ModRM byte have."""
_REGISTER_FORM, _TWO_BYTES, _THREE_BYTES, _THREE_BYTES_AND_OPERAND = 0xC0, 0x0F, 0x38, 0x3A
_INVALID_OPCODE, _HALT, _NO_EFFECT = 0x06, 0xF4, 0xF3
_TRANSFER, _INTERRUPT_RETURN = 0x6C, 0xCF
"""The first of four string instructions for ports; iretq."""
INSTRUCTIONS_PER_BLOCK = 64
"""The most that a block has: 512 temporaries suffice with 8 for each."""
_MOST_BYTES = INSTRUCTIONS_PER_BLOCK * LONGEST_INSTRUCTION

# What has to be known of an instruction before it's translated: which may have a lock prefix, and which have
# an operand in memory that must be aligned to 16 bytes (Intel SDM volume 2, the tables of exceptions of
# classes 1, 2 and 4).
_OPERAND_SIZE: Final = 1
_REPEAT: Final = 2
_REPEAT_UNEQUAL: Final = 4
_LOCK: Final = 8
_OTHER: Final = 16
_REX_R: Final = 32
_REX_W: Final = 64
"""What each prefix is; of those of segments and the address' size nothing follows here."""
_PS, _PD, _SS, _SD = 1, 2, 4, 8
"""Bits of opcodes by the prefix in effect: none, 66, f3 and f2."""
_PRIVILEGED: Final = 0x80
"""In the place of these bits: the instruction is for the kernel."""

_PREFIX_BITS: Final = 0
_LOCKED_ONE: Final = 256
_LOCKED_TWO: Final = 512
_ALIGNED_TWO: Final = 768
_ALIGNED_38: Final = 1024
_ALIGNED_3A: Final = 1280
_SKIPPED_ONE: Final = 1536
_SKIPPED_TWO: Final = 1792
_WHICH: Final = 2048
_FORMS_ONE: Final = 2056
_FORMS_TWO: Final = 2568
"""Where in _TABLES they begin, by the opcode's last byte. Behind LOCKED_*, for opcodes of one byte and of
two, is a bit for each number in the ModRM byte's middle; behind ALIGNED_* the bits above, for opcodes of two
bytes and of three; behind SKIPPED_* which prefixes mean nothing where the library takes them for something.
FORMS_* have words with a bit for each number in the ModRM byte's middle, eight for memory and eight for
registers, that makes an instruction; of opcodes of two bytes four tables by the prefix in effect, which WHICH
tells from the three that may be."""


def _prefixes() -> bytes:
    bits = dict.fromkeys((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x67, *range(0x40, 0x50)), _OTHER)
    for rex in range(0x40, 0x50):
        bits[rex] |= (_REX_W if rex & 8 else 0) | (_REX_R if rex & 4 else 0)
    bits |= {0x66: _OPERAND_SIZE, 0xF3: _REPEAT, 0xF2: _REPEAT_UNEQUAL, 0xF0: _LOCK}
    return bytes(bits.get(byte, 0) for byte in range(256))


def _table(*rows: tuple[int, tuple[int | range, ...]]) -> bytes:
    """A table from (bits, opcodes) that have them."""
    table = bytearray(256)
    for bits, opcodes in rows:
        for opcode in opcodes:
            for byte in opcode if isinstance(opcode, range) else (opcode,):
                table[byte] |= bits
    return bytes(table)


_ALL: Final = 0xFF
_ANY: Final = _ALL & ~_LOCK
_UNCLEAR = 4
"""With both of F2 and F3, of which the last counts."""
_NOT_AND_NEG, _NEG = 0x0C, 3
"""The bits of no other opcodes, and neg's number."""
_ARITHMETIC = tuple(range(first, first + 2) for first in range(0, 0x38, 8))
"""add, or, adc, sbb, and, sub, xor with a destination in memory."""
_PACKED = (range(0x14, 0x16), 0x28, 0x29, 0x2B, 0x51, range(0x54, 0x5A), range(0x5B, 0x60), 0xC2, 0xC6)


def _forms(*rows: tuple[int, str]) -> bytes:
    """A table of words from (word, opcodes) whose other forms there aren't."""
    words = [0xFFFF] * 256
    for word, opcodes in rows:
        for opcode in bytes.fromhex(opcodes):
            words[opcode] = word
    return pack_array("H", words)


_NONE, _IN_MEMORY, _OF_REGISTERS = 0, 0x00FF, 0xFF00
_SYSTEM_FORMS = (
    (0x3F3F, "00"),
    (0xF0F0, "ba"),
    (0x1D1D, "20 22"),
    (0x0101, "24 26"),
    (_IN_MEMORY, "b2 b4 b5"),
)
"""Of moves of control and debug registers the second four stand for those with numbers above 7."""
_NOWHERE = "04 0a 0b 0c 0e 0f 25 27 36 37 39 3b 3c 3d 3e 3f 78 79 7a 7b a6 a7 aa b9 ff"
_VECTOR_SHIFTS = "71 72 73"
_SINGLE_ALONE = "13 14 15 17 28 29 2b 2e 2f 50 54 55 56 57 c3 c4 c5 c6"
_FORMS: Final = b"".join(
    (
        _forms((0x0101, "c6 c7"), (0x577F, "ff")),
        _forms(
            *_SYSTEM_FORMS,
            (_NONE, _NOWHERE + "6c 6d 7c 7d b8 d0 d6 e6 f0"),
            (_IN_MEMORY, "13 17 2b c3 e7"),
            (_OF_REGISTERS, "50 c5 d7 f7"),
            (0x5400, "71 72"),
            (0x4400, "73"),
        ),
        _forms(
            *_SYSTEM_FORMS,
            (_NONE, _NOWHERE + "52 53 77 ae b8 c3 f0"),
            (_IN_MEMORY, "12 13 16 17 2b e7"),
            (_OF_REGISTERS, "50 c5 d7 f7"),
            (0x5400, "71 72"),
            (0xCC00, "73"),
        ),
        _forms(
            *_SYSTEM_FORMS,
            (_NONE, _NOWHERE + _SINGLE_ALONE + _VECTOR_SHIFTS + "f7 e7"),
            (0x0F00, "ae"),
            (_OF_REGISTERS, "d6"),
        ),
        _forms(
            *_SYSTEM_FORMS,
            (_NONE, _NOWHERE + _SINGLE_ALONE + _VECTOR_SHIFTS + "16 52 53 5b ae b8 f7 e7"),
            (_IN_MEMORY, "f0"),
            (_OF_REGISTERS, "d6"),
        ),
    )
)

_TABLES: Final = b"".join(
    (
        _prefixes(),
        _table(
            (_ALL, (*_ARITHMETIC, 0x86, 0x87)),
            (0x7F, (0x80, 0x81, 0x83)),
            (_NOT_AND_NEG, (0xF6, 0xF7)),
            (0x03, (0xFE, 0xFF)),
        ),
        _table(
            (_ALL, (0xAB, 0xB0, 0xB1, 0xB3, 0xBB, 0xC0, 0xC1)),
            (0xE0, (0xBA,)),
            (0x02, (0xC7,)),
        ),
        _table(
            (_PS | _PD, _PACKED),
            (_PS, (0x52, 0x53)),
            (_PD, (0x2C, 0x2D, 0x5A, range(0x60, 0x6E), 0x6F, 0x70, range(0x74, 0x77), 0x7C, 0x7D, 0x7F)),
            (_PD, (range(0xD0, 0xD6), range(0xD8, 0xF0), range(0xF1, 0xF7), range(0xF8, 0xFF))),
            (_SS, (0x12, 0x16, 0x5B, 0x70)),
            (_SD, (0x70, 0x7C, 0x7D, 0xD0, 0xE6)),
            (_PRIVILEGED, (0x33, 0xA1, 0xA9)),
        ),
        _table(
            (_PD, (range(0x0C), 0x10, 0x14, 0x15, 0x17, range(0x1C, 0x1F))),
            (_PD, (range(0x28, 0x2C), range(0x37, 0x42))),
        ),
        _table((_PD, (0x08, 0x09, range(0x0C, 0x10), range(0x40, 0x43)))),
        _table(
            (_ANY, (0x9E, 0x9F, 0xCD)),
            (_OPERAND_SIZE, (range(0x70, 0x80), 0xC2, 0xC3, 0xE8, 0xE9, 0xEB)),
        ),
        _table((_ANY, (0x05,)), (_OPERAND_SIZE, (range(0x80, 0x90),))),
        bytes((0, 1, 2, 2, 3, 3, _UNCLEAR, _UNCLEAR)),
        _FORMS,
    )
)


def bound_blocks(library: UnicornLibrary, image: LibraryImage) -> None:
    """See to it that no block has more than INSTRUCTIONS_PER_BLOCK instructions. Raises UnicornError."""
    translator = library.address_of(TRANSLATOR)
    limit = _WORD.pack(INSTRUCTIONS_PER_BLOCK)
    code = (
        bytes.fromhex("81fa") + limit,  # cmp edx, the limit
        bytes.fromhex("7e05ba") + limit,  # jle +5; mov edx, the limit
        bytes.fromhex("48b8") + _INFO.pack(translator),  # mov rax, the translator
        bytes.fromhex("ffe0"),  # jmp rax
    )
    image.lead(translator, b"".join(code))


def look_at_instructions(
    library: UnicornLibrary, image: LibraryImage, layout: StateLayout, stops: StopChecks
) -> None:
    """From now on look at what is translated, as what a processor's objects are like is known.

    Raises UnicornError.
    """
    if not stops.holder_offset:
        raise UnicornError("the library's object of translations doesn't tell which processor it's for")
    loop = library.address_of(_LOOP)
    image.lead(loop, _loop_code(loop, layout))
    for name in _ACCESSES:
        function = library.address_of(name)
        image.lead(function, _access_code(function, layout, stops.holder_offset))


def _access_code(function: int, layout: StateLayout, holder_offset: int) -> bytes:
    """Code to call instead of one of _ACCESSES, which is at `function`.

    It demands alignment of the first access of an instruction for which that has been noted.
    """
    noted = d32(layout.aligned + layout.address - layout.holder)
    code = Assembly()
    code.add("488b87", d32(holder_offset))  # mov rax, [rdi + the handle's object]
    code.add("488b80", d32(layout.holder_offset))  # mov rax, [rax + the processor's object]
    code.add("80b8", noted, b"\0")  # cmp byte [rax + noted], 0
    code.jump("84", "go on")  # je go on
    code.add("c680", noted, b"\0")  # mov byte [rax + noted], 0
    code.add("4183c8", d8(_ALIGNED_BY_16))  # or r8d, ...
    code.label("go on")
    code.add("48b8", q(function), b"\xff\xe0")  # mov rax, the function; jmp rax
    return code.finish()


def _loop_code(loop: int, layout: StateLayout) -> bytes:
    """Code to call instead of the loop, which is at `loop`; then the tables.

    It notes where the block's code is in the host's memory, and calls with a table of functions in which one
    is replaced.
    """
    environment = layout.address - layout.holder
    code = Assembly()
    code.add("53 55 4154 4155 4156 4883ec40")  # push rbx, rbp, r12, r13, r14; sub rsp, 64
    code.add("4889d3 4989cc 4989f5 4589c6")  # mov rbx, rdx; mov r12, rcx; mov r13, rsi; mov r14d, r8d
    for place in range(0, 8 * _FUNCTIONS, 8):
        code.add(
            "488b47", d8(place), b"\x48\x89\x44\x24", d8(place)
        )  # mov rax, [rdi + ...]; mov [rsp + ...], rax
    code.add("488b44 24", d8(8 * _TRANSLATE))  # mov rax, [rsp + ...]
    code.add("488983", d32(environment + layout.translate))  # mov [rbx + ...], rax
    code.point("488d05", "translate one")  # lea rax, [rip + ...]
    code.add("48894424", d8(8 * _TRANSLATE))  # mov [rsp + ...], rax
    code.add("488b29 4889e8")  # mov rbp, [rcx]; mov rax, rbp
    _find_page(code, "first", environment, layout)
    code.add("482500f0ffff 488983", d32(environment + layout.code))  # and rax, -4096; mov [rbx + ...], rax
    code.add("4889e8 482500f0ffff")  # mov rax, rbp; and rax, -4096
    code.add("488983", d32(environment + layout.code_page))  # mov [rbx + ...], rax
    code.add("480500100000")  # add rax, 4096
    code.add("81e5ff0f0000 81fd", d32(PAGE_SIZE - _MOST_BYTES))  # and ebp, 4095; cmp ebp, ...
    code.jump("86", "one page")  # jbe one page
    _find_page(code, "second", environment, layout)
    code.jump("e9", "call")
    code.label("one page")
    code.add("31c0")  # xor eax, eax
    code.label("call")
    code.add("488983", d32(environment + layout.next_code))  # mov [rbx + ...], rax
    code.add("4889e7 4c89ee 4889da 4c89e1")  # mov rdi, rsp; mov rsi, r13; mov rdx, rbx; mov rcx, r12
    code.add("4589f0 48b8", q(loop), b"\xff\xd0")  # mov r8d, r14d; mov rax, the loop; call rax
    code.add("4883c440 415e 415d 415c 5d 5b c3")  # add rsp, 64; pop them; ret
    code.label("translate one")
    _translate_one(code, environment, layout)
    code.label("tables")
    code.code += _TABLES
    return code.finish()


def _find_page(code: Assembly, name: str, environment: int, layout: StateLayout) -> None:
    """rax, an address of the program's, becomes where that is in the host's memory, or 0 if nothing may be
    executed there.
    """
    code.add("4989c0 4c8b93", d32(environment + layout.memory))  # mov r8, rax; mov r10, [rbx + ...]
    code.add(
        "49bb", q(ADDRESS_MASK), b"\x48\x8b\x83", d32(environment + layout.cr3)
    )  # mov r11, ...; mov rax, ...
    for shift in (39, 30, 21, 12):
        code.add("4c21d8 4c89c1 48c1e9", d8(shift))  # and rax, r11; mov rcx, r8; shr rcx, shift
        code.add("81e1ff010000 4c01d0")  # and ecx, 511; add rax, r10
        code.add("488b04c8 a801")  # mov rax, [rax + rcx * 8]; test al, PRESENT
        code.jump("84", f"no {name}")  # jz
    code.add("4885c0")  # test rax, rax: NO_EXECUTE is its sign
    code.jump("88", f"no {name}")  # js
    code.add("4c21d8 4181e0ff0f0000 4c01c0 4c01d0")  # and rax, r11; and r8d, 4095; add rax, r8; add rax, r10
    code.jump("e9", f"{name} found")
    code.label(f"no {name}")
    code.add("31c0")  # xor eax, eax
    code.label(f"{name} found")


def _translate_one(code: Assembly, environment: int, layout: StateLayout) -> None:
    """The code in the place of the function that translates an instruction."""
    aligned, original = d32(environment + layout.aligned), d32(environment + layout.translate)
    code.add(
        "53 55 4154 4883ec20 4889fd 4889f3"
    )  # push rbx, rbp, r12; sub rsp, 32; mov rbp, rdi; mov rbx, rsi
    code.add("c683", aligned, b"\0")  # mov byte [rbx + aligned], 0
    code.add("488b47", d8(_NEXT_ADDRESS))  # mov rax, [rdi + ...]
    code.add("89c2 81e2ff0f0000 482500f0ffff")  # mov edx, eax; and edx, 4095; and rax, -4096
    code.add("4c8b8b", d32(environment + layout.code))  # mov r9, [rbx + code]
    code.add("4c8b93", d32(environment + layout.next_code))  # mov r10, [rbx + next_code]
    code.add("483b83", d32(environment + layout.code_page))  # cmp rax, [rbx + code_page]
    code.jump("84", "in first")  # je in first
    code.add("4d89d1 4531d2")  # mov r9, r10; xor r10d, r10d
    code.label("in first")
    code.add("4d85c9")  # test r9, r9
    code.jump("84", "translate")  # jz translate
    code.add("4901d1 81fa", d32(PAGE_SIZE - _BUFFER_BYTES))  # add r9, rdx; cmp edx, ...
    code.jump("87", "parted")  # ja parted
    code.add("4c89ca")  # mov rdx, r9
    code.label("look")
    code.add("31c9 41b80f000000")  # xor ecx, ecx; mov r8d, 15
    code.point("4c8d1d", "tables")  # lea r11, [rip + ...]
    code.label("prefix")
    code.add("0fb602 48ffc2")  # movzx eax, byte [rdx]; inc rdx
    code.add("410fb6b403", d32(_PREFIX_BITS), b"\x85\xf6")  # movzx esi, byte [r11 + rax + ...]; test esi, esi
    code.jump("84", "opcode")  # jz opcode
    code.add("09f1 41ffc8")  # or ecx, esi; dec r8d
    code.jump("85", "prefix")  # jnz prefix
    code.jump("e9", "translate")
    code.label("opcode")
    code.add("83f8", d8(_TWO_BYTES))  # cmp eax, 0x0f
    code.jump("84", "two")  # je two
    code.add("f6c1", d8(_LOCK))  # test cl, _LOCK
    code.jump("84", "one")  # jz one
    code.add("410fb6b403", d32(_LOCKED_ONE))  # movzx esi, byte [r11 + rax + ...]
    code.label("locked")
    code.add("0fb602 3d", d32(_REGISTER_FORM))  # movzx eax, byte [rdx]; cmp eax, 0xc0
    code.jump("83", "refuse")  # jae refuse
    code.add("c1e803 83e007 0fa3c6")  # shr eax, 3; and eax, 7; bt esi, eax
    code.jump("83", "refuse")  # jnc refuse
    code.add("83fe", d8(_NOT_AND_NEG))  # cmp esi, ...
    code.jump("85", "translate")  # jne translate
    code.add("83f8", d8(_NEG))  # cmp eax, ...
    code.jump("85", "translate")  # jne translate
    # The prefix is somewhere before the opcode, be it in the next page.
    code.label("seek")
    code.add("418039f0")  # cmp byte [r9], 0xf0
    code.jump("84", "unlock")  # je unlock
    code.add("49ffc1 41f7c1ff0f0000")  # inc r9; test r9d, 4095
    code.jump("85", "seek")  # jnz seek
    code.add("4c8b8b", d32(environment + layout.next_code))  # mov r9, [rbx + next_code]
    code.jump("e9", "seek")
    code.label("unlock")
    code.add("b8", d32(_NO_EFFECT))  # mov eax, ...
    code.jump("e9", "show")
    code.label("refuse")
    code.add("b8", d32(_INVALID_OPCODE))  # mov eax, ...
    code.label("show")
    # movzx ecx, byte [r9]; mov [rsp], ecx; mov r12, r9; mov [r9], al; mov rdi, rbp; mov rsi, rbx
    code.add("410fb609 890c24 4d89cc 418801 4889ef 4889de")
    code.add("ff93", original, bytes.fromhex("8b0424 41880424"))  # call [...]; mov eax, [rsp]; mov [r12], al
    code.jump("e9", "done")
    code.label("one")
    _see_prefixes(code, "one", _SKIPPED_ONE)
    code.add("410fb7b443", d32(_FORMS_ONE))  # movzx esi, word [r11 + rax * 2 + ...]
    _see_form(code)
    code.add("8d70", d8(-_TRANSFER), b"\x83\xfe\3")  # lea esi, [rax - _TRANSFER]; cmp esi, 3
    code.jump("86", "halt")  # jbe halt
    code.add("3d", d32(_INTERRUPT_RETURN))  # cmp eax, ...
    code.jump("85", "translate")  # jne translate
    code.label("halt")
    code.add("b8", d32(_HALT))  # mov eax, ...
    code.jump("e9", "show")
    code.label("two")
    code.add("0fb602 48ffc2")  # movzx eax, byte [rdx]; inc rdx
    for byte, label in ((_THREE_BYTES, "three"), (_THREE_BYTES_AND_OPERAND, "three and operand")):
        code.add("83f8", d8(byte))  # cmp eax, byte
        code.jump("84", label)  # je label
    _see_prefixes(code, "two", _SKIPPED_TWO)
    code.add("f6c1", d8(_REX_R))  # test cl, _REX_R
    code.jump("84", "which table")  # jz which table
    code.add("8d70e0 83fe03")  # lea esi, [rax - 0x20]; cmp esi, 3
    code.jump("87", "which table")  # ja which table
    code.add("83c804")  # or eax, 4
    code.label("which table")
    code.add(
        "89ce 83e607 410fb6b433", d32(_WHICH)
    )  # mov esi, ecx; and esi, 7; movzx esi, byte [r11 + rsi + ...]
    code.add("83fe", d8(_UNCLEAR))  # cmp esi, _UNCLEAR
    code.jump("84", "a form")  # je a form
    code.add("c1e608 01c6")  # shl esi, 8; add esi, eax
    code.add("410fb7b473", d32(_FORMS_TWO))  # movzx esi, word [r11 + rsi * 2 + ...]
    _see_form(code)
    code.label("a form")
    code.add("410fb6b403", d32(_LOCKED_TWO), b"\xf6\xc1" + d8(_LOCK))  # movzx esi, ...; test cl, _LOCK
    code.jump("85", "locked")  # jnz locked
    code.add("410fb6b403", d32(_ALIGNED_TWO))  # movzx esi, byte [r11 + rax + ...]
    code.add("b8", d32(_HALT), b"\x81\xfe" + d32(_PRIVILEGED))  # mov eax, ...; cmp esi, _PRIVILEGED
    code.jump("84", "show")  # je show
    code.jump("e9", "unlocked")
    for label, table in (("three", _ALIGNED_38), ("three and operand", _ALIGNED_3A)):
        code.label(label)
        code.add("0fb602 48ffc2")  # movzx eax, byte [rdx]; inc rdx
        code.add("410fb6b403", d32(table), b"\xf6\xc1" + d8(_LOCK))  # movzx esi, ...; test cl, _LOCK
        code.jump("85", "refuse")  # jnz refuse
        if label == "three":
            code.jump("e9", "unlocked")
    code.label("unlocked")
    # Of the prefixes that are part of an opcode, which is in effect.
    for bit in (_REPEAT_UNEQUAL, _REPEAT, _OPERAND_SIZE):
        code.add("b8", d32(2 * bit), b"\xf6\xc1" + d8(bit))  # mov eax, 2 * bit; test cl, bit
        code.jump("85", "which")  # jnz which
    code.add("b801000000")  # mov eax, 1
    code.label("which")
    code.add("85f0")  # test eax, esi
    code.jump("84", "translate")  # jz translate
    code.add("803a", bytes((_REGISTER_FORM,)))  # cmp byte [rdx], 0xc0
    code.jump("83", "translate")  # jae translate
    code.add("c683", aligned, b"\1")  # mov byte [rbx + aligned], 1
    code.label("translate")
    code.add("4889ef 4889de ff93", original)  # mov rdi, rbp; mov rsi, rbx; call [rbx + ...]
    code.label("done")
    code.add("c683", aligned, b"\0")  # mov byte [rbx + aligned], 0
    code.add("4883c420 415c 5d 5b c3")  # add rsp, 32; pop r12, rbp, rbx; ret
    code.label("parted")
    # mov rsi, r9; mov rdi, rsp; mov ecx, 4096; sub ecx, edx; mov edx, ecx; rep movsb
    code.add("4c89ce 4889e7 b900100000 29d1 89ca f3a4")
    code.add(
        "b9", d32(_BUFFER_BYTES), bytes.fromhex("29d1 4889e2 4d85d2")
    )  # mov ecx, ...; sub ecx, edx; mov rdx, rsp; test r10, r10
    code.jump("84", "zeros")  # jz zeros
    code.add("4c89d6 f3a4")  # mov rsi, r10; rep movsb
    code.jump("e9", "look")
    code.label("zeros")
    code.add("31c0 f3aa")  # xor eax, eax; rep stosb
    code.jump("e9", "look")


def _see_prefixes(code: Assembly, name: str, skipped: int) -> None:
    """Whether the opcode in eax has prefixes in front that the library must not see: then it's shown a halt,
    and the engine goes on behind them. REX.W undoes that of the operand's size.
    """
    code.add("410fb6b403", d32(skipped), b"\x41\x89\xc8")  # movzx esi, byte [r11 + rax + ...]; mov r8d, ecx
    code.add("f6c1", d8(_REX_W))  # test cl, _REX_W
    code.jump("84", f"narrow {name}")  # jz narrow
    code.add("4183e0", d8(~_OPERAND_SIZE))  # and r8d, ~_OPERAND_SIZE
    code.label(f"narrow {name}")
    code.add("4485c6")  # test esi, r8d
    code.jump("85", "halt")  # jnz halt


def _see_form(code: Assembly) -> None:
    """Whether the opcode's word of FORMS_*, in esi, has the bit for what follows it."""
    code.add("440fb602")  # movzx r8d, byte [rdx]
    code.add("4181f8", d32(_REGISTER_FORM), bytes.fromhex("4519d2"))  # cmp r8d, 0xc0; sbb r10d, r10d
    code.add("41f7d2 4183e208")  # not r10d; and r10d, 8
    code.add("41c1e803 4183e007 4509d0")  # shr r8d, 3; and r8d, 7; or r8d, r10d
    code.add("440fa3c6")  # bt esi, r8d
    code.jump("83", "refuse")  # jnc refuse


class StopChecks:
    """Whether code that is translated now looks after accesses and before instructions.

    It does while there are `watchers`: who becomes one has what was translated before forgotten. A library
    whose function begins otherwise always does. At `holder_offset` its object of translations tells of the
    handle's object; 0 if it isn't known where.
    """

    __slots__ = ("holder_offset", "mark", "watchers")

    def __init__(self, library: UnicornLibrary, handle: c_void_p) -> None:
        self.watchers = 0
        self.holder_offset = 0
        self.mark: ctypes.c_ubyte | None = None
        beginning = ctypes.string_at(library.address_of(_TRANSLATE_CHECK), _LOOKED_AT_BYTES)
        found = _BEGINNING.match(beginning)
        if found is not None and handle.value:
            [self.holder_offset] = _OFFSET.unpack(found[1])
            [offset] = _OFFSET.unpack(found[2])
            self.mark = ctypes.c_ubyte.from_address(handle.value + offset)
            self.mark.value = 1

    def watch(self) -> None:
        """There is one more who stops the processor at an instruction or an access."""
        self.watchers += 1
        if self.mark is not None:
            self.mark.value = 0

    def leave(self) -> None:
        """There is one less."""
        self.watchers -= 1
        if self.mark is not None and not self.watchers:
            self.mark.value = 1
