"""The program that a stub starts as: an ELF file of one page, made for each stub.

It maps what a stub holds, gives up all else, and goes to the runtime in the code cache. If a system call of
these fails, it ends with the call's place among them as its status.
"""

from __future__ import annotations

from procession.abi.named_tuple import NamedTuple
from procession.abi.prctl import PrctlOption
from procession.abi.seccomp import SeccompOperation
from procession.abi.signals import SigactionFlag, Signal
from procession.abi.word import Words, pack_u32
from procession.hardware.engines.native.system_call_filter import (
    MAP_SHARED_FIXED,
    MMAP,
    MUNMAP,
    assemble_filter,
)
from procession.hardware.translation import layout
from procession.hardware.translation.assembler import (
    CARRY,
    R8,
    R9,
    R10,
    RAX,
    RDI,
    RDX,
    RSI,
    ZERO,
    Assembler,
    set_register,
    signed_32,
    unsigned_64,
)

BOOT = 0x20_0000
"""Where the page is, until the machine has it unmapped."""
BOOT_BYTES = 0x2000
_ELF = Words("<16sHHIQQQIHHHHHH")
_SEGMENT = Words("<IIQQQQQQ")
_HEADER_BYTES = _ELF.size + _SEGMENT.size
_READ, _WRITE, _EXECUTE = 1, 2, 4

_RT_SIGACTION, _GETPPID, _SIGALTSTACK, _PRCTL, _EXIT_GROUP, _SECCOMP, _CLOSE_RANGE = (
    *(13, 110, 131, 157, 231, 317, 436),
)
_SIGNALS = (4, 5, 7, 8, 11)
"""SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV: what an instruction may raise."""
_SA_SIGINFO = int(SigactionFlag.SA_SIGINFO)
_SA_ONSTACK = int(SigactionFlag.SA_ONSTACK)
_SA_RESTORER = int(SigactionFlag.SA_RESTORER)
_SA_NODEFER = int(SigactionFlag.SA_NODEFER)
_PR_SET_PDEATHSIG = int(PrctlOption.PR_SET_PDEATHSIG)
_PR_SET_DUMPABLE = int(PrctlOption.PR_SET_DUMPABLE)
_PR_SET_NAME = int(PrctlOption.PR_SET_NAME)
_PR_SET_NO_NEW_PRIVS = int(PrctlOption.PR_SET_NO_NEW_PRIVS)
_SIGKILL = int(Signal.SIGKILL)
_SECCOMP_SET_MODE_FILTER = int(SeccompOperation.SECCOMP_SET_MODE_FILTER)
_SET_SIZE = 8
_USER_END = 0x7FFF_FFFF_F000
_LAST_DESCRIPTOR = 0xFFFF_FFFF


class StubParts(NamedTuple):
    """What one stub is made of: descriptors in the stub, and where its orders are in the processor's file.

    `memory` and `bell`, in a row, are kept open; all others are closed.
    `answer` and `on_signal` are offsets in the code cache.
    """

    memory: int
    bell: int
    cache: int
    context: int
    orders: int
    orders_offset: int
    parent_pid: int
    answer: int
    on_signal: int


def make_image(parts: StubParts) -> tuple[bytes, list[int]]:
    """The ELF file, and the numbers of the system calls that it begins with, the status 1 being the first."""
    code = Assembler(BOOT + _HEADER_BYTES)
    steps = _Steps(code)
    for view in layout.VIEWS:
        steps.map(view, layout.CACHE_BYTES, _READ | _EXECUTE, parts.cache, 0)
    steps.map(layout.CONTEXT, layout.CONTEXT_BYTES, _READ | _WRITE, parts.context, 0)
    orders_at = layout.CONTEXT + layout.CONTEXT_BYTES
    steps.map(orders_at, layout.ORDERS_BYTES, _READ, parts.orders, parts.orders_offset)
    steps.call(_PRCTL, _PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    # The machine may have ended before that.
    steps.call(_GETPPID)
    code.put(b"\x3d", pack_u32(parts.parent_pid))  # cmp eax, the parent's pid
    code.branch(ZERO ^ 1, "fail")
    steps.call(_PRCTL, _PR_SET_DUMPABLE, 0, 0, 0, 0)
    steps.call(_PRCTL, _PR_SET_NAME, "name", 0, 0, 0)
    steps.call(_SIGALTSTACK, "signal stack", 0)
    for signal in _SIGNALS:
        steps.call(_RT_SIGACTION, signal, "signal action", 0, _SET_SIZE)
    steps.call(_CLOSE_RANGE, 0, parts.memory - 1, 0)
    steps.call(_CLOSE_RANGE, parts.bell + 1, _LAST_DESCRIPTOR, 0)
    kept = sorted([(BOOT, BOOT + BOOT_BYTES), *layout.RESERVED])
    start = 0
    for first, end in kept:
        steps.call(MUNMAP, start, first - start)
        start = end
    steps.call(MUNMAP, start, _USER_END - start)
    steps.call(_PRCTL, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    steps.call(_SECCOMP, _SECCOMP_SET_MODE_FILTER, 0, "filter program")
    code.put(set_register(RAX, layout.CONTEXT), "f3 48 0f ae d8")  # wrgsbase rax
    code.put(set_register(RAX, layout.HIGH_VIEW + parts.answer))
    code.put("45 31 ed", "ff e0")  # xor r13d, r13d; jmp rax
    code.label("fail")
    code.put("89 df", set_register(RAX, _EXIT_GROUP), "0f 05")  # mov edi, ebx; exit_group
    _put_data(code, parts)
    body = code.finish()
    size = _HEADER_BYTES + len(body)
    header = _ELF.pack(
        b"\x7fELF\2\1\1",
        *(2, 62, 1, BOOT + _HEADER_BYTES, _ELF.size, 0, 0, _ELF.size, _SEGMENT.size, 1, 0, 0, 0),
    )
    segment = _SEGMENT.pack(1, _READ | _EXECUTE, 0, BOOT, BOOT, size, size, 0x1000)
    return header + segment + body, steps.numbers


class _Steps:
    """System calls in a row; `ebx` counts them, `numbers` are theirs."""

    def __init__(self, code: Assembler) -> None:
        self.code = code
        self.numbers: list[int] = []
        code.put("31 db")  # xor ebx, ebx

    def map(self, address: int, size: int, protection: int, descriptor: int, offset: int) -> None:
        self.call(MMAP, address, size, protection, MAP_SHARED_FIXED, descriptor, offset)

    def call(self, number: int, *arguments: int | str) -> None:
        code = self.code
        self.numbers.append(number)
        code.put("ff c3")  # inc ebx
        for register, argument in zip((RDI, RSI, RDX, R10, R8, R9), arguments, strict=False):
            if isinstance(argument, str):
                code.address(register, argument)
            else:
                code.put(set_register(register, argument))
        code.put(set_register(RAX, number), "0f 05", "48 3d", signed_32(-4095))  # syscall; cmp rax, -4095
        code.branch(CARRY ^ 1, "fail")


def _put_data(code: Assembler, parts: StubParts) -> None:
    code.label("name")
    code.put(b"procession-stub\0")
    code.label("signal stack")
    code.put(
        unsigned_64(layout.CONTEXT + layout.SIGNAL_STACK), bytes(8), unsigned_64(layout.SIGNAL_STACK_BYTES)
    )
    code.label("signal action")
    handler = unsigned_64(layout.HIGH_VIEW + parts.on_signal)
    flags = _SA_SIGINFO | _SA_ONSTACK | _SA_RESTORER | _SA_NODEFER
    # It never returns, so that the restorer is never called.
    code.put(handler, unsigned_64(flags), handler, bytes(8))
    instructions = assemble_filter(parts.memory, parts.bell)
    code.label("filter program")
    at = code.base + len(code.code) + 16
    code.put(unsigned_64(len(instructions) // 8), unsigned_64(at), instructions)
