"""How the machine hands over to a stub: machine code that this process calls, and its mailbox."""

from __future__ import annotations

import mmap
from typing import Final

from procession.abi.futex import FutexCommand
from procession.abi.open_flags import FcntlCommand
from procession.abi.word import pack_u32, pack_u64
from procession.hardware.engines.native.machine_code import map_code
from procession.hardware.translation import layout
from procession.hardware.translation.assembler import (
    CARRY,
    NOT_GREATER,
    R12,
    RAX,
    RDI,
    RDX,
    RSI,
    SIGN,
    ZERO,
    Assembler,
    set_register,
    signed_32,
)

NOT_ANSWERED, ANSWERED_LATE = -1, -2
"""What a hand-over returns that had to sleep: instead of why the stub has come back, and less that."""
UNPAID: Final = -1 << 31
"""What it returns if there's no budget, so that it wasn't one."""
_MOST_EXIT: Final = (1 << 30) - 1
ORDERS: Final = 0
NUMBER: Final = 1
LOOKS: Final = 2
SLEEPER: Final = 3
PLACE: Final = 4
STUB_LOOKS: Final = 5
_ANSWERED_AT: Final = 6
BELL: Final = 7
_RINGS: Final = 8
BEFORE: Final = 9
KEPT: Final = 11
"""The words of the mailbox: the address of the orders, the last request's number, how long to look for its
answer, the address of the stub's word in ASLEEP, where the stub is to go on, how long the stub looks for the
next request, when the last answer came (all in the processor's ticks), the `struct pollfd` of the bell, how
often that has rung, what the two counters were before, and whether the extended state is as the stub left it.
"""
LOOKING_TICKS: Final = 24_000
"""How long the machine looks for an answer before it sleeps, in the processor's ticks: 6 to 12 us."""
STUB_SHIFT: Final = 2
"""A stub looks 1 << this times as long, as Python takes its time."""
_WAKING_SHIFT: Final = 2
"""The machine looks 1 << this times as long for a stub that sleeps, as that has to be woken first."""
_POLL, _FCNTL, FUTEX, FUTEX_WAKE = 7, 72, 202, int(FutexCommand.FUTEX_WAKE)
_F_GETSIG: Final = int(FcntlCommand.F_GETSIG)
_NAP_MS: Final = 1
"""How long who waits sleeps with Python's lock: that costs less than to give it up."""
_SHORT_WORK_TICKS: Final = LOOKING_TICKS << STUB_SHIFT
"""If it works longer than that between an answer and a request, the stub may sleep."""
CODE_OFFSET: Final = 128
"""Where the code is, behind the mailbox."""
_RESUME, _LOOKING, _WAITING = (
    (offset - layout.ORDERS) >> 3 for offset in (layout.RESUME, layout.LOOKING, layout.WAITING)
)
"""Words of the orders."""


def map_hand_over(context: int, bell: int) -> tuple[mmap.mmap, memoryview[int], int]:
    """Code that makes a request and waits briefly for its answer; its mailbox; and where in the code to begin
    if there may be no budget. `context` is the address of the context, `bell` the descriptor of the eventfd
    whose signal is the answer.

    It returns why the stub has come back, CALLED only if the counters are as they may be; less than that if
    it has slept for a moment; UNPAID if there's none; or NOT_ANSWERED, and then the stub will ring the bell.
    It's called with Python's lock, as giving that up costs more than a system call of the guest's should.
    """
    code = Assembler()

    def read_ticks() -> None:
        code.put("0f 31", "48 c1 e2 20", "48 09 d0")  # rdtsc; shl rdx, 32; or rax, rdx

    def look_for_answer() -> None:
        code.put(set_register(RDI, bell), set_register(RSI, _F_GETSIG), set_register(RAX, _FCNTL), "0f 05")
        code.put("44 39 e8")  # cmp eax, r13d

    def enter() -> None:
        code.put("53", "41 54", "41 55")  # push rbx; push r12; push r13
        code.address(R12, "mailbox")
        code.put("48 bf", pack_u64(context))  # mov rdi, the context's address

    counters = layout.COUNTER, layout.TRANSFERS
    enter()
    code.label("go on")
    for word, offset in enumerate(counters, BEFORE):
        # mov rax, [rdi + ...]; mov [r12 + ...], rax
        code.put("48 8b 87", pack_u32(offset), b"\x49\x89\x44\x24%c" % (8 * word))
    # Whether the stub looks for the next request or sleeps, by how long this one took to be made.
    read_ticks()
    code.put("49 2b 44 24 30", "49 8b 1c 24", "31 d2")  # sub rax, [r12 + 48]; mov rbx, [r12]; xor edx, edx
    code.put("48 3d", pack_u32(_SHORT_WORK_TICKS), "41 0f 42 54 24 28")  # cmp rax, ...; cmovb edx, [r12 + 40]
    code.put(b"\x89\x53%c" % (8 * _LOOKING))  # mov [rbx + looking], edx
    code.put("41 8b 44 24 08", "ff c0", "41 89 44 24 08")  # mov eax, [r12 + 8]; inc eax; mov [r12 + 8], eax
    code.put("41 89 c5", b"\x41\x83\xe5%c" % layout.ANSWER_BITS)  # mov r13d, eax; and r13d, ...
    code.put("49 8b 74 24 20", b"\x48\x89\x73%c" % (8 * _RESUME))  # copy the place
    code.put(b"\x41\x8b\x4c\x24%c" % (8 * KEPT), b"\x89\x4b%c" % (layout.KEPT - layout.ORDERS))
    code.put("87 03")  # xchg [rbx], eax
    code.put(b"\x41\xc7\x44\x24%c\1\0\0\0" % (8 * KEPT))  # mov dword [r12 + kept], 1
    code.put("45 8b 4c 24 10", "49 8b 54 24 18")  # mov r9d, [r12 + 16]; mov rdx, [r12 + 24]
    code.put("83 3a 00")  # cmp dword [rdx], 0
    code.branch(ZERO, "requested")
    code.put("c7 02 00000000")  # mov dword [rdx], 0
    code.put("48 89 df")  # mov rdi, rbx
    code.put(set_register(RSI, FUTEX_WAKE), set_register(RDX, 1), set_register(RAX, FUTEX), "0f 05")
    code.put(b"\x41\xc1\xe1%c" % _WAKING_SHIFT)  # shl r9d, ...
    code.label("requested")
    code.put("0f 31", "41 89 c0")  # rdtsc; mov r8d, eax
    code.label("look")
    look_for_answer()
    code.branch(ZERO, "answered")
    code.put("f3 90", "0f 31", "44 29 c0")  # pause; rdtsc; sub eax, r8d
    code.put("44 39 c8")  # cmp eax, r9d
    code.branch(CARRY, "look")
    # The stub looks at this after it has answered: so one of the two sees what the other one did.
    code.put(set_register(RAX, 1), b"\x87\x43%c" % (8 * _WAITING))  # mov eax, 1; xchg [rbx + waiting], eax
    code.label("sleep")
    look_for_answer()
    code.branch(ZERO, "answered late")
    code.put("49 8d 7c 24 38")  # lea rdi, [r12 + 56]
    code.put(set_register(RSI, 1), set_register(RDX, _NAP_MS), set_register(RAX, _POLL), "0f 05")
    code.put("85 c0")  # test eax, eax
    code.branch(NOT_GREATER ^ 1, "rung")
    look_for_answer()
    code.branch(ZERO, "answered late")
    code.put("83 c8 ff")  # or eax, -1
    code.jump("return")
    code.label("rung")
    # It may have rung for an answer that was found without.
    code.put("41 8b 7c 24 38", "49 8d 74 24 40")  # mov edi, [r12 + 56]; lea rsi, [r12 + 64]
    code.put(set_register(RDX, 8), "31 c0", "0f 05")  # mov edx, 8; xor eax, eax (read); syscall
    code.jump("sleep")
    code.label("answered late")
    code.put(b"\xc7\x43%c\0\0\0\0" % (8 * _WAITING))  # mov dword [rbx + waiting], 0
    code.put("48 be", pack_u64(context), b"\xb9", signed_32(ANSWERED_LATE))  # mov rsi, ...; mov ecx, ...
    code.put("8b 86", pack_u32(layout.EXIT))  # mov eax, [rsi + exit]
    code.put("25", pack_u32(_MOST_EXIT), "29 c1")  # and eax, ...; sub ecx, eax
    code.jump("note the time")
    code.label("answered")
    code.put("48 be", pack_u64(context))  # mov rsi, the context's address
    code.put("0f 0d 0e", "0f 0d 4e 40")  # prefetchw [rsi]; prefetchw [rsi + 64]
    code.put("0f 0d 8e 80000000", "0f 0d 8e c0000000")  # prefetchw [rsi + 128]; prefetchw [rsi + 192]
    code.put("8b 8e", pack_u32(layout.EXIT))  # mov ecx, [rsi + exit]
    code.put("81 e1", pack_u32(_MOST_EXIT))  # and ecx, ...
    code.put(b"\x83\xf9%c" % layout.CALLED)  # cmp ecx, ...
    code.branch(ZERO ^ 1, "note the time")
    for word, offset in enumerate(counters, BEFORE):
        # mov rax, [rsi + ...]; cmp rax, [r12 + ...]; ...; test rax, rax
        code.put("48 8b 86", pack_u32(offset), b"\x49\x3b\x44\x24%c" % (8 * word))
        code.branch(NOT_GREATER ^ 1, "uncertain")
        code.put("48 85 c0")
        code.branch(SIGN, "uncertain")
    code.label("note the time")
    read_ticks()
    code.put("49 89 44 24 30", "89 c8")  # mov [r12 + 48], rax; mov eax, ecx
    code.label("return")
    code.put("41 5d", "41 5c", "5b", "c3")  # pop r13; pop r12; pop rbx; ret
    code.label("uncertain")
    code.put(b"\xb9%c\0\0\0" % layout.UNCERTAIN)  # mov ecx, ...
    code.jump("note the time")
    code.label("begin")
    enter()
    for offset in counters:
        code.put("48 83 bf", pack_u32(offset), "00")  # cmp qword [rdi + ...], 0
        code.branch(NOT_GREATER, "unpaid")
    code.jump("go on")
    code.label("unpaid")
    code.put(b"\xb8", signed_32(UNPAID))  # mov eax, ...
    code.jump("return")
    return *map_code(code, CODE_OFFSET), code.labels["begin"]
