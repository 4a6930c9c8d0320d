"""What Unicorn's library is kept from when it translates: too many instructions, and what it aborts at.

The library counts up to 512 instructions into a block, and for some of them (those of the x87, crc32,
pcmpestri) takes one or two of its 512 temporaries that it never gives back before the block ends. It doesn't
look whether there are any left: a few hundred such instructions in a row, and it writes past its table. So
the library's call of its own translator is led through code that asks for less. A block that can't take long
also lets the meter see what the program does.

Of bit operations with a lock prefix that aren't of memory the translator takes the address that there isn't,
and ends the whole process. So what it is about to translate is looked through for the few bytes that such an
instruction has (bt, bts, btr and btc with a register, behind a lock prefix). Where they are found,
instructions are counted from the beginning of the block: it ends before such a one, and at a block's
beginning the translator is shown an invalid opcode.
"""

from __future__ import annotations

import ctypes
import re
from ctypes import c_int, c_uint64, c_void_p, string_at
from typing import TYPE_CHECKING

from procession.abi.word import Words
from procession.hardware.engines.unicorn_machine_code import Assembly, d8, d32, q
from procession.hardware.instruction import LONGEST_INSTRUCTION, PREFIXES, instruction_length
from procession.hardware.page_table import ADDRESS_MASK
from procession.hardware.physical_memory import PAGE_MASK, PAGE_SIZE

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_image import LibraryImage
    from procession.hardware.engines.unicorn_library import UnicornLibrary
    from procession.hardware.engines.unicorn_state import StateLayout

TRANSLATOR = "gen_intermediate_code_x86_64"
"""Called as (processor object, block, the most instructions)."""

_WORD, _INFO = Words("<I"), Words("<Q")
_CALLBACK = ctypes.CFUNCTYPE(c_int, c_void_p, c_uint64, c_void_p)
_TWO_BYTES, _REGISTER_FORM = 0x0F, 0xC0
_BIT_OPERATIONS = (0xA3, 0xAB, 0xB3, 0xBA, 0xBB)
_INVALID_OPCODE = 0x06
_PREFIX = b"[" + re.escape(bytes(sorted(PREFIXES))) + rb"\x40-\x4f]*"
_OPERATION = rb"\x0f[\xa3\xab\xb3\xba\xbb][\xc0-\xff]"
_REFUSED = re.compile(rb"\xf0" + _PREFIX + _OPERATION, re.DOTALL)
_REFUSED_HERE = re.compile(_PREFIX + rb"(?<=\xf0)" + _PREFIX + _OPERATION, re.DOTALL)
INSTRUCTIONS_PER_BLOCK = 64
"""The most that a block has: 512 temporaries suffice with 8 for each."""
_MOST_BYTES = INSTRUCTIONS_PER_BLOCK * LONGEST_INSTRUCTION


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


def refuse_locks(library: UnicornLibrary, image: LibraryImage, layout: StateLayout) -> None:
    """From now on look through what is translated too, as what a processor's objects are like is known."""
    environment = layout.address - layout.holder
    translator = library.address_of(TRANSLATOR)
    image.lead_again(
        translator,
        _looking_code(translator, environment, layout.cr3, layout.memory),
    )


def _looking_code(translator: int, environment: int, cr3: int, memory: int) -> bytes:
    """Code to call instead of the translator, (processor object, block, the most instructions), which is at
    `translator`. It takes no more than INSTRUCTIONS_PER_BLOCK.

    `environment` is where in the object the processor's state is, `cr3` and `memory` are offsets there of the
    page tables' root and of the address of the machine's memory.
    """
    code = Assembly()
    code.add("81fa", d32(INSTRUCTIONS_PER_BLOCK))  # cmp edx, the limit
    code.jump("8e", "bounded")  # jle bounded
    code.add("ba", d32(INSTRUCTIONS_PER_BLOCK))  # mov edx, the limit
    code.label("bounded")
    code.add("53 55 4154 4155 4156 4157 4883ec18")  # push rbx, rbp, r12, r13, r14, r15; sub rsp, 24
    code.add("4889fb 4889f5 4189d4 4c8b2e")  # mov rbx, rdi; mov rbp, rsi; mov r12d, edx; mov r13, [rsi]
    code.add("b8f0f0f0f0 660f6ec8 660f70c900")  # mov eax, 0xf0f0f0f0; movd xmm1, eax; pshufd xmm1, xmm1, 0
    code.add("4c89e8")  # mov rax, r13
    _find_page(code, "first", environment, cr3, memory)
    code.add("4989c6 48c7042400000000")  # mov r14, rax; mov qword [rsp], 0
    code.add("4885c0")  # test rax, rax
    code.jump("84", "translate")  # jz translate
    code.add("4489e9 81e1ff0f0000")  # mov ecx, r13d; and ecx, 4095
    code.add("ba00100000 29ca 4d8d3c16")  # mov edx, 4096; sub edx, ecx; lea r15, [r14 + rdx]
    code.add("81fa", d32(_MOST_BYTES))  # cmp edx, what all instructions may have
    code.jump("83", "all here")  # jae all here
    code.add("4c89e8 480dff0f0000 48ffc0")  # mov rax, r13; or rax, 4095; inc rax
    _find_page(code, "second", environment, cr3, memory)
    code.add("48890424")  # mov [rsp], rax
    code.jump("e9", "look")  # jmp look
    code.label("all here")
    code.add("4d8dbe", d32(_MOST_BYTES))  # lea r15, [r14 + what all instructions may have]
    code.label("look")
    code.add("4c89f7")  # mov rdi, r14
    _look(code, "first")
    code.add("488b3c24 4885ff")  # mov rdi, [rsp]; test rdi, rdi
    code.jump("84", "translate")  # jz translate
    code.add("4c8dbf", d32(_MOST_BYTES))  # lea r15, [rdi + what all instructions may have]
    _look(code, "second")
    code.jump("e9", "translate")
    code.label("found")
    code.add("4c89f7 4c89ee 488b1424")  # mov rdi, r14; mov rsi, r13; mov rdx, [rsp]
    code.add("48b8", q(_CALLBACK_ADDRESS), b"\xff\xd0\x85\xc0")  # mov rax, callback; call rax; test eax, eax
    code.jump("84", "refuse")  # jz refuse
    code.add("4439e0 440f4ce0")  # cmp eax, r12d; cmovl r12d, eax
    code.label("translate")
    code.add("4889df 4889ee 4489e2")  # mov rdi, rbx; mov rsi, rbp; mov edx, r12d
    code.add("48b8", q(translator), b"\xff\xd0")  # mov rax, the translator; call rax
    code.label("done")
    code.add("4883c418 415f 415e 415d 415c 5d 5b c3")  # add rsp, 24; pop them; ret
    code.label("refuse")
    code.add("458a3e 41c606", d8(_INVALID_OPCODE))  # mov r15b, [r14]; mov byte [r14], ...
    code.add("4889df 4889ee ba01000000")  # mov rdi, rbx; mov rsi, rbp; mov edx, 1
    code.add("48b8", q(translator), b"\xff\xd0")  # mov rax, the translator; call rax
    code.add("45883e")  # mov [r14], r15b
    code.jump("e9", "done")
    return code.finish()


def _find_page(code: Assembly, name: str, environment: int, cr3: int, memory: int) -> None:
    """rax, an address of the program's, becomes where that is in the host's memory, or 0."""
    code.add("4989c0 4c8b93", d32(environment + memory))  # mov r8, rax; mov r10, [rbx + the memory's address]
    code.add("49bb", q(ADDRESS_MASK), b"\x48\x8b\x83", d32(environment + cr3))  # mov r11, ...; mov rax, [cr3]
    for shift in (39, 30, 21, 12):
        code.add("4c21d8 4c89c1 48c1e9", d8(shift))  # and rax, r11; mov rcx, r8; shr rcx, shift
        code.add("81e1ff010000 4c01d0")  # and ecx, 511; add rax, r10
        code.add("488b04c8 a801")  # mov rax, [rax + rcx * 8]; test al, PRESENT
        code.jump("84", f"no {name}")  # jz
    code.add("4c21d8 4181e0ff0f0000 4c01c0 4c01d0")  # and rax, r11; and r8d, 4095; add rax, r8; add rax, r10
    code.jump("e9", f"{name} found")
    code.label(f"no {name}")
    code.add("31c0")  # xor eax, eax
    code.label(f"{name} found")


def _look(code: Assembly, name: str) -> None:
    """Go on at "found" if the bytes are between rdi and r15, or may go on behind."""

    def label(text: str) -> str:
        return f"{name} {text}"

    code.add("89f9 83e10f 4883e7f0")  # mov ecx, edi; and ecx, 15; and rdi, -16
    code.add("660f6f07 660f74c1 660fd7c0")  # movdqa xmm0, [rdi]; pcmpeqb xmm0, xmm1; pmovmskb eax, xmm0
    code.add("d3e8 d3e0")  # shr eax, cl; shl eax, cl
    code.jump("e9", label("test"))
    code.label(label("next"))
    code.add("4883c710 4c39ff")  # add rdi, 16; cmp rdi, r15
    code.jump("83", label("none"))  # jae none
    code.add("660f6f07 660f74c1 660fd7c0")  # as above
    code.label(label("test"))
    code.add("0fbcc8")  # bsf ecx, eax
    code.jump("84", label("next"))  # jz next
    code.add("0fb3c8 488d740f01")  # btr eax, ecx; lea rsi, [rdi + rcx + 1]
    code.label(label("prefixes"))
    _take(code)
    for prefix in sorted(PREFIXES):
        code.add("81f9", d32(prefix))  # cmp ecx, prefix
        code.jump("84", label("prefixes"))  # je prefixes
    code.add("89ca 81e2f0000000 83fa40")  # mov edx, ecx; and edx, 0xf0; cmp edx, 0x40
    code.jump("84", label("prefixes"))  # je prefixes
    code.add("83f9", d8(_TWO_BYTES))  # cmp ecx, 0x0f
    code.jump("85", label("test"))  # jne test
    _take(code)
    for opcode in _BIT_OPERATIONS:
        code.add("81f9", d32(opcode))  # cmp ecx, opcode
        code.jump("84", label("operation"))  # je operation
    code.jump("e9", label("test"))
    code.label(label("operation"))
    _take(code)
    code.add("81f9", d32(_REGISTER_FORM))  # cmp ecx, 0xc0
    code.jump("82", label("test"))  # jb test
    code.jump("e9", "found")
    code.label(label("none"))


def _take(code: Assembly) -> None:
    """ecx becomes the byte at rsi, which goes on."""
    code.add("4c39fe")  # cmp rsi, r15
    code.jump("83", "found")  # jae found
    code.add("0fb60e 48ffc6")  # movzx ecx, byte [rsi]; inc rsi


def _count(place: int, address: int, following: int | None) -> int:
    """How many instructions may be translated from `address` on, whose code is at `place` in the host's
    memory; `following` is where the next page is, if it's there.
    """
    code = string_at(place, min(PAGE_SIZE - (address & PAGE_MASK), _MOST_BYTES))
    if following and len(code) < _MOST_BYTES:
        code += string_at(following, _MOST_BYTES)
    if not _REFUSED.search(code):
        # What looked like a beginning was cut off.
        return INSTRUCTIONS_PER_BLOCK
    position = 0
    for count in range(INSTRUCTIONS_PER_BLOCK):
        if position >= len(code):
            return max(count, 1)
        if _REFUSED_HERE.match(code, position):
            return count
        length = instruction_length(code, position)
        if not length:
            return count + 1
        position += length
    return INSTRUCTIONS_PER_BLOCK


_COUNTING = _CALLBACK(_count)
_CALLBACK_ADDRESS = ctypes.cast(_COUNTING, c_void_p).value or 0
