"""The code that a stub runs beside the guest's: entering, leaving, faulting, and waiting for the machine.

It lies at the start of the code cache, and works at each address where that is mapped.
"""

from __future__ import annotations

from procession.abi.open_flags import FcntlCommand
from procession.hardware.translation import layout
from procession.hardware.translation.assembler import (
    CARRY,
    R8,
    R9,
    R10,
    RAX,
    RBP,
    RCX,
    RDI,
    RDX,
    RSI,
    RSP,
    ZERO,
    Assembler,
    fetch,
    signed_32,
    store,
    store_constant,
    unsigned_64,
)

_SCHED_YIELD, _FCNTL, _FUTEX = 24, 72, 202
_F_SETSIG = int(FcntlCommand.F_SETSIG)
_PATIENCE_SHIFT = 2
"""A stub that may be spoken to next looks for that 1 << this times as long, and lets others run meanwhile."""
_COMPONENTS = 7
"""x87, SSE and AVX: what of the extended state is the guest's."""

# Where a signal frame has what: offsets in its `struct ucontext`, as Linux lays it out.
_GENERAL, _FLOATING = 40, 224
_REGISTERS = (8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 3, 2, 0, 1, 4)
"""Which register each of its words holds; rip, flags and others come after them."""
_RIP, _FLAGS, _ERROR, _VECTOR, _ADDRESS = 16, 17, 19, 20, 22
_LEGACY_WORDS, _SOFTWARE_BYTES, _REST_WORDS = 58, 48, 40
"""What of an XSAVE area the processor writes: 464 bytes, then 48 left to software, then all of the rest."""


def assemble_runtime(return_bits: int) -> Assembler:
    """The code, for `return_bits`, which say which place a return has; with the labels `call`, `leave`,
    `return_bits`, `returned`, `missed`, `second_probe`, `third_probe`, `enter`, `answer` and `on_signal`.
    """
    code = Assembler()
    _call(code)
    _leave(code)
    _wait(code)
    _enter(code)
    _on_signal(code)
    _return(code, return_bits)
    _probes(code)
    return code


def _return(code: Assembler, bits: int) -> None:
    """A return to rcx came to who isn't meant, or to nobody: its target is looked for as an indirect jump's,
    which counts. [rsp - 8] becomes what it was.
    """
    code.label("return_bits")
    code.put(unsigned_64(bits))
    code.label("returned")
    code.put(fetch(RCX, layout.TARGET), "48 89 4c 24 f8")  # ...; mov [rsp - 8], rcx
    code.put("0f b7 c9")  # movzx ecx, cx
    code.put("65 ff 24 cd", signed_32(layout.FIRST_TABLE))  # jmp gs:[table + rcx * 8]


def _probes(code: Assembler) -> None:
    """An indirect jump to TARGET isn't meant for who was found; SAVED_RCX has what rcx was."""
    code.label("missed")
    code.put(fetch(RCX, layout.SAVED_RCX), store_constant(layout.EXIT, layout.MISSED))
    code.jump("leave")
    code.label("second_probe")
    _hash_target(code)
    code.put("0f b7 c9")  # movzx ecx, cx
    code.put("65 ff 24 cd", signed_32(layout.SECOND_TABLE))  # jmp gs:[table + rcx * 8]
    code.label("third_probe")
    _hash_target(code)
    code.put("c4 e3 7b f0 c9 10")  # rorx ecx, ecx, 16
    code.put("0f b7 c9", "65 ff 24 cd", signed_32(layout.THIRD_TABLE))


def _hash_target(code: Assembler) -> None:
    code.put("b9 00000000")  # mov ecx, 0
    code.put("65 f2 48 0f 38 f1 0c 25", signed_32(layout.TARGET))  # crc32 rcx, qword gs:[target]


def _take_stack(code: Assembler) -> None:
    code.put("f3 48 0f ae cc")  # rdgsbase rsp
    code.put("48 8d a4 24", signed_32(layout.STACK_TOP))  # lea rsp, [rsp + stack]


def _call(code: Assembler) -> None:
    """The guest makes a system call and goes on at rcx: set what the instruction sets, and leave."""
    code.label("call")
    code.put(store(RCX, layout.RIP), store_constant(layout.EXIT, layout.CALLED))
    code.put(store(RSP, layout.SCRATCH))
    _take_stack(code)
    code.put("9c", "41 5b")  # pushfq; pop r11
    code.put(fetch(RSP, layout.SCRATCH))


def _leave(code: Assembler) -> None:
    """From translated code, with its registers in place."""
    code.label("leave")
    for register in range(16):
        code.put(store(register, 8 * register))
    _take_stack(code)
    code.put("9c", "65 8f 04 25", signed_32(layout.FLAGS))  # pushfq; pop gs:[flags]
    code.put("f3 48 0f ae c0", store(RAX, layout.FS_BASE))  # rdfsbase rax
    code.put(b"\xb8%c\0\0\0\x31\xd2" % _COMPONENTS)  # mov eax, components; xor edx, edx
    code.put("65 48 0f ae 24 25", signed_32(layout.EXTENDED))  # xsave64 gs:[...]
    code.put("41 bd 01000000")  # mov r13d, 1: the processor has what was saved


def _wait(code: Assembler) -> None:
    """The state is saved: answer, and wait for the next request."""
    code.label("answer")
    code.put("65 8b 1c 25", signed_32(layout.REQUEST))  # mov ebx, gs:[request]
    code.put("65 8b 3c 25", signed_32(layout.BELL_DESCRIPTOR))  # mov edi, gs:[descriptor]
    code.put(b"\xbe%c\0\0\0" % _F_SETSIG)  # mov esi, F_SETSIG
    code.put("89 da", b"\x83\xe2%c" % layout.ANSWER_BITS)  # mov edx, ebx; and edx, ...
    code.put(b"\xb8%c\0\0\0" % _FCNTL, "0f 05")  # mov eax, fcntl; syscall
    code.put("0f ae f0")  # mfence: the machine says that it sleeps, and then looks whether this was said
    code.put("65 83 3c 25", signed_32(layout.WAITING), "00")  # cmp dword gs:[waiting], 0
    code.branch(ZERO, "answered")
    code.put("65 8b 3c 25", signed_32(layout.BELL_DESCRIPTOR))  # mov edi, gs:[descriptor]
    code.put("f3 48 0f ae ce", "48 8d b6", signed_32(layout.BELL_VALUE))  # lea rsi, the value
    code.put("ba 08000000", "b8 01000000", "0f 05")  # mov edx, 8; mov eax, write; syscall
    code.label("answered")
    code.put("0f 31", "41 89 c4")  # rdtsc; mov r12d, eax
    code.label("look")
    code.put("65 39 1c 25", signed_32(layout.REQUEST))  # cmp gs:[request], ebx
    code.branch(ZERO ^ 1, "obey")
    code.put("0f 31", "44 29 e0")  # rdtsc; sub eax, r12d
    code.put("65 83 3c 25", signed_32(layout.TURN), b"%c" % layout.ITS_TURN)  # cmp dword gs:[turn], ...
    code.branch(ZERO ^ 1, "another's turn")
    code.put("65 3b 04 25", signed_32(layout.LOOKING))  # cmp eax, gs:[looking]
    code.branch(CARRY ^ 1, "doze")
    code.put("f3 90")  # pause
    code.jump("look")
    code.label("another's turn")
    code.branch(CARRY, "doze")
    code.put(b"\xc1\xe8%c" % _PATIENCE_SHIFT, "65 3b 04 25", signed_32(layout.LOOKING))  # shr eax, ...
    code.branch(CARRY ^ 1, "doze")
    code.put(b"\xb8%c\0\0\0" % _SCHED_YIELD, "0f 05")  # mov eax, sched_yield; syscall
    code.jump("look")
    code.label("doze")
    code.put(fetch(RBP, layout.SLOT))
    code.put("65 c7 45 00 01000000")  # mov dword gs:[rbp], 1
    code.put("0f ae f0")  # mfence
    code.label("sleep")
    code.put("f3 48 0f ae cf", "48 8d bf", signed_32(layout.REQUEST))  # lea rdi, the request
    code.put("31 f6", "89 da", "4d 31 d2")  # xor esi, esi (FUTEX_WAIT); mov edx, ebx; xor r10, r10
    code.put(b"\xb8%c\0\0\0" % _FUTEX, "0f 05")  # mov eax, futex; syscall
    code.put("65 39 1c 25", signed_32(layout.REQUEST))
    code.branch(ZERO, "sleep")
    code.put("65 c7 45 00 00000000")
    code.label("obey")
    # What is written when the guest is left is in the machine's cache by now.
    for line in range(0, 0x140, 0x40):
        code.put("65 0f 0d 0c 25", signed_32(line))  # prefetchw gs:[...]
    code.put("65 8b 04 25", signed_32(layout.REQUEST), "65 89 04 25", signed_32(layout.TAKEN))
    code.put("65 8b 1c 25", signed_32(layout.COMMAND_COUNT))  # mov ebx, gs:[count]
    code.put("85 db")  # test ebx, ebx
    code.branch(ZERO, "obeyed")
    code.put("f3 48 0f ae cd")  # rdgsbase rbp
    code.put("48 8d ad", signed_32(layout.COMMANDS))  # lea rbp, [rbp + commands]
    code.label("command")
    for place, register in enumerate((RAX, RDI, RSI, RDX, R10, R8, R9)):
        # mov register, [rbp + 8 * place]
        code.put(b"%c\x8b%c%c" % (0x48 | register >> 3 << 2, 0x45 | (register & 7) << 3, 8 * place))
    code.put("0f 05")  # syscall
    code.put("48 3d", signed_32(-4095))  # cmp rax, -4095
    code.branch(CARRY ^ 1, "failed")
    code.put(b"\x48\x83\xc5%c" % layout.COMMAND_BYTES)  # add rbp, ...
    code.put("83 eb 01")  # sub ebx, 1
    code.branch(ZERO ^ 1, "command")
    code.label("obeyed")
    code.put("65 48 83 3c 25", signed_32(layout.RESUME), "00")  # cmp qword gs:[resume], 0
    code.branch(ZERO ^ 1, "enter")
    code.put(store_constant(layout.EXIT, layout.COMMANDS_DONE))
    code.jump("answer")
    code.label("failed")
    code.put(store(RAX, layout.COMMAND_RESULT), store_constant(layout.EXIT, layout.COMMAND_FAILED))
    code.jump("answer")


def _enter(code: Assembler) -> None:
    code.label("enter")
    code.put(fetch(RAX, layout.FS_BASE), "f3 48 0f ae d0")  # wrfsbase rax
    code.put(b"\xb8%c\0\0\0\x31\xd2" % _COMPONENTS)
    code.put("65 44 23 2c 25", signed_32(layout.KEPT))  # and r13d, gs:[kept]
    code.branch(ZERO ^ 1, "kept")
    code.put("65 48 0f ae 2c 25", signed_32(layout.EXTENDED))  # xrstor64 gs:[...]
    code.label("kept")
    _take_stack(code)
    code.put("65 ff 34 25", signed_32(layout.FLAGS), "9d")  # push gs:[flags]; popfq
    for register in range(16):
        code.put(fetch(register, 8 * register))
    code.put("65 ff 24 25", signed_32(layout.RESUME))  # jmp gs:[resume]


def _on_signal(code: Assembler) -> None:
    """The host's signal handler: rdx points to the frame's ucontext. It never returns to the frame."""
    code.label("on_signal")

    def copy(word: int, offset: int) -> None:
        code.put("48 8b 82", signed_32(_GENERAL + 8 * word), store(RAX, offset))  # mov rax, [rdx + ...]

    for word, register in enumerate(_REGISTERS):
        copy(word, 8 * register)
    copy(_RIP, layout.FAULT_RIP)
    copy(_FLAGS, layout.FLAGS)
    copy(_ERROR, layout.FAULT_ERROR)
    copy(_VECTOR, layout.FAULT_VECTOR)
    copy(_ADDRESS, layout.FAULT_ADDRESS)
    code.put("f3 48 0f ae c0", store(RAX, layout.FS_BASE))
    code.put("48 8b b2", signed_32(_FLOATING))  # mov rsi, [rdx + fpstate]
    code.put("f3 48 0f ae cf", "48 8d bf", signed_32(layout.EXTENDED))  # lea rdi, the XSAVE area
    code.put(b"\xb9%c\0\0\0\xf3\x48\xa5" % _LEGACY_WORDS)  # mov ecx, ...; rep movsq
    code.put(b"\x48\x83\xc6%c\x48\x83\xc7%c" % (_SOFTWARE_BYTES, _SOFTWARE_BYTES))
    code.put(b"\xb9%c\0\0\0\xf3\x48\xa5" % _REST_WORDS)
    code.put("65 48 83 24 25", signed_32(layout.EXTENDED + 512), b"%c" % _COMPONENTS)  # and qword [...], 7
    code.put("45 31 ed")  # xor r13d, r13d: a handler begins with another extended state
    code.put(store_constant(layout.EXIT, layout.FAULTED))
    code.jump("answer")
