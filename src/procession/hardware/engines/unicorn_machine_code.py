"""Machine code that the library calls before each block or instruction: Python would be too slow.

The library doesn't raise floating-point exceptions of what is left to it of SSE, and doesn't show in MXCSR
that they have occurred: it notes them in a byte of its own, called the mark here. So before each block the
code here copies new marks to where the program sees them. As soon as a program unmasks an exception, code is
called before each instruction too, which stops the processor when the last one of SSE raised what isn't
masked, and keeps the state from before the instruction so that it can be undone; and when an exception of the
x87 waits for the next of its instructions.

Nor does the library do all that `syscall` does: code here puts the next instruction's address into rcx and
the flags into r11 before the kernel hears of the call.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from struct import pack
from typing import TYPE_CHECKING, Final

from procession.hardware.engines.unicorn_library import REG_EFLAGS, UnicornError
from procession.hardware.registers import R11, RCX, RIP

if TYPE_CHECKING:
    from procession.hardware.engines.unicorn_state import StateLayout

EXCEPTIONS: Final = 0x3D
"""The bits that the mark and MXCSR share: invalid, divide, overflow, underflow, inexact."""
FLUSHED: Final = 0x80
"""The mark's for a tiny result that became zero, which is an underflow, and inexact."""
MASKS: Final = 0x3F
ERROR_SUMMARY: Final = 0x80
"""The bit of the x87 status that says that an unmasked exception waits for the next x87 instruction."""
BUSY: Final = 0x8000
"""The bit that goes with it, as it once said that the x87 was at work."""

# Why the processor was stopped, but for the budget.
UNMASKED, RAISED, PENDING = 1, 2, 3

ENDED: Final = 0x130
COMPARED: Final = 0x131
UNMASKING: Final = 0x132
MISALIGNED: Final = 0x133
"""By these vectors, which no processor has, code in the place of the library's functions leaves what was
translated: where nothing is left to do of the present instruction, where that is to set the flags noted,
where it has to be done again after watching has begun, and where it has an operand that should be aligned."""

# Offsets from where rcx, the hooks' last argument, points.
_SSE_KNOWN, _REASON, _SSE_UNMASKED, _SKIPS_CHECK, _DATA_BYTES = 0, 3, 4, 6, 8
_PAGE, _DATA, _WATCH_CODE, _CALL_CODE = 4096, 2048, 1024, 2560
_FLAGS_READ: Final = 16
_UNDERFLOW_AND_INEXACT: Final = 0x30


class Assembly:
    """Bytes with jumps to labels."""

    def __init__(self) -> None:
        self.code = bytearray()
        self.jumps: list[tuple[int, str]] = []
        self.labels: dict[str, int] = {}

    def add(self, text: str, *operands: bytes) -> None:
        """Append the bytes written in hexadecimal in `text`, then `operands`."""
        self.code += bytes.fromhex(text) + b"".join(operands)

    def jump(self, opcode: str, label: str) -> None:
        """A jump: `opcode` is jmp's (e9), or what follows the 0f of a conditional one."""
        self.add(opcode if opcode == "e9" else "0f" + opcode, bytes(4))
        self.jumps.append((len(self.code), label))

    def point(self, text: str, label: str) -> None:
        """The bytes in `text`, then how far it is from behind all that to `label`."""
        self.add(text, bytes(4))
        self.jumps.append((len(self.code), label))

    def label(self, name: str) -> None:
        """The target of jumps to `name`."""
        self.labels[name] = len(self.code)

    def leave(self, vector: int, raising: int) -> None:
        """Leave translated code that has called a function, whose frame is empty, and tell of `vector`.

        `raising` is the library's function RAISE.
        """
        # mov esi, vector; xor edx, edx; mov rcx, [rsp]; mov rax, ...; jmp rax
        self.add("be", d32(vector), bytes.fromhex("31d2 488b0c24 48b8"), q(raising), b"\xff\xe0")

    def finish(self) -> bytes:
        """The code."""
        for end, label in self.jumps:
            self.code[end - 4 : end] = d32(self.labels[label] - end)
        return bytes(self.code)


def d8(value: int) -> bytes:
    """A displacement of one byte."""
    return pack("b", value)


def d32(value: int) -> bytes:
    """A number or displacement of four bytes."""
    return pack("<i", value)


def q(value: int) -> bytes:
    """A quadword."""
    return pack("<Q", value)


class HookCode:
    """A page of code and data for one processor whose state `layout` describes.

    `budget`, in the state, holds how many blocks may still be begun, `block` where the last one begins.
    `snapshot` is the state before the last instruction, while `is_watching`. Raises UnicornError for a host
    whose instructions aren't these.
    """

    __slots__ = ("address", "block", "budget", "bytes", "data", "keeper", "snapshot", "watching")

    def __init__(self, layout: StateLayout, stop_address: int) -> None:
        if os.uname().machine.lower() not in ("x86_64", "amd64"):
            raise UnicornError(f"no code for hooks on a {os.uname().machine} host")
        kept = (layout.floating_end + 7) & ~7
        length = _PAGE + ((kept + _PAGE - 1) & -_PAGE)
        self.keeper = mmap.mmap(-1, length, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.keeper))
        block = _block_code(layout, stop_address)
        watch = _watch_code(layout, stop_address, self.address + _PAGE, kept)
        if len(block) > _WATCH_CODE or len(watch) > _DATA - _WATCH_CODE:
            raise UnicornError("the hooks' code is too long")
        self.keeper[: len(block)] = block
        self.keeper[_WATCH_CODE : _WATCH_CODE + len(watch)] = watch
        view = memoryview(self.keeper)
        cell = (ctypes.c_char * 8).from_address(layout.address + layout.budget)
        self.budget = memoryview(cell).cast("B").cast("q")
        self.block = ctypes.c_uint64.from_address(layout.address + layout.block)
        self.watching = ctypes.c_ubyte.from_address(layout.address + layout.watching)
        self.data = view[_DATA : _DATA + _DATA_BYTES]
        self.snapshot = view[_PAGE : _PAGE + layout.floating_end]

    @property
    def call_flags(self) -> memoryview:
        """One number: the flags when the system call was made that is being handled, see `_call_code`."""
        place = _DATA + _FLAGS_READ
        return memoryview(self.keeper)[place : place + 4].cast("I")

    def add_call(self, layout: StateLayout, read_address: int, callback_address: int) -> int:
        """The address of code to call at a system call, which then calls back, see `_call_code`."""
        code = _call_code(layout, read_address, self.address + _DATA + _FLAGS_READ, callback_address)
        if len(code) > _PAGE - _CALL_CODE:
            raise UnicornError("the hooks' code is too long")
        self.keeper[_CALL_CODE : _CALL_CODE + len(code)] = code
        return self.address + _CALL_CODE

    @property
    def block_hook(self) -> tuple[int, int]:
        """The addresses of the code to call before each block, and of its data."""
        return self.address, self.address + _DATA

    @property
    def watch_hook(self) -> tuple[int, int]:
        """The addresses of the code to call before each instruction, and of its data."""
        return self.address + _WATCH_CODE, self.address + _DATA

    @property
    def known(self) -> int:
        """The mark that has been copied to where the program sees it."""
        return self.data[_SSE_KNOWN]

    def has_watched(self, sse_unmasked: int) -> bool:
        """Whether the last instruction began with these exceptions of SSE unmasked, and is in `snapshot`."""
        return self.data[_SSE_UNMASKED] == sse_unmasked

    def take_reason(self) -> int:
        """Why the processor was stopped: UNMASKED, RAISED, PENDING, or 0. It's 0 afterwards."""
        reason = self.data[_REASON]
        if reason:
            self.data[_REASON] = 0
        return reason

    def set_watching(self, is_watching: bool) -> None:
        """Say whether the code is called before each instruction."""
        self.watching.value = is_watching

    def stop_for(self, reason: int) -> None:
        """The processor is being stopped for this."""
        self.data[_REASON] = reason

    @property
    def flags(self) -> memoryview:
        """All of the data, in a few bytes."""
        return self.data

    def skip_check(self) -> None:
        """Let the next instruction be executed whatever is pending."""
        self.data[_SKIPS_CHECK] = 1

    def know(self, sse_mark: int) -> None:
        """This mark of the state that is in the processor now has been copied."""
        data = self.data
        data[_SSE_KNOWN], data[_SSE_UNMASKED] = raised_by(sse_mark), 0


def raised_by(mark: int) -> int:
    """The exceptions of MXCSR that the mark says."""
    return mark & EXCEPTIONS | (_UNDERFLOW_AND_INEXACT if mark & FLUSHED else 0)


def block_price(size: int) -> int:
    """How much of the budget a block of `size` bytes costs: see `_block_code`."""
    return 1 + (size >> 6)


def _block_code(layout: StateLayout, stop_address: int) -> bytes:
    """Called as (uc, address, size, data); rdx is made to point at MXCSR.

    The block's address is noted. It costs a unit of the budget, and one more for each 64 bytes of code: what
    is unrolled isn't free.
    Instructions that are dear have prices of their own (`unicorn_meter`).
    """
    mxcsr = layout.mxcsr
    sse, control, watching = layout.sse_mark - mxcsr, layout.x87_control - mxcsr, layout.watching - mxcsr
    code = Assembly()
    code.add("c1ea06 ffc2")  # shr edx, 6; inc edx
    code.add("48b8", q(layout.address + layout.budget))  # mov rax, the budget's address
    code.add("488970", d8(layout.block - layout.budget))  # mov [rax + ...], rsi
    code.add("482910")  # sub [rax], rdx
    code.jump("8e", "stop")  # jle stop
    code.add("48ba", q(layout.address + mxcsr))  # mov rdx, MXCSR's address
    code.add("0fb682", d32(sse), b"\x25", d32(EXCEPTIONS | FLUSHED))  # movzx eax, byte [mark]; and eax, both
    code.jump("85", "marked")  # jnz marked
    code.label("masks")
    code.add("8b02 f7d0 a9801f0000")  # mov eax, [rdx]; not eax; test eax, 0x1f80
    code.jump("85", "unmasked")  # jnz unmasked
    code.add("8b82", d32(control), b"\xf7\xd0\xa8\x3f")  # mov eax, [control]; not eax; test al, 0x3f
    code.jump("85", "unmasked")  # jnz unmasked
    code.label("return")
    code.add("c3")  # ret
    code.label("unmasked")
    code.add("80ba", d32(watching), b"\0")  # cmp byte [watching], 0
    code.jump("85", "return")  # jne return
    code.add("c641", d8(_REASON), d8(UNMASKED))  # mov byte [reason], UNMASKED
    code.label("stop")
    code.add("48b8", q(stop_address), b"\xff\xe0")  # mov rax, uc_emu_stop; jmp rax, the handle still in rdi
    code.label("marked")
    code.add("a880")  # test al, FLUSHED
    code.jump("84", "not flushed")  # jz not flushed
    code.add("83e03d 83c830")  # and eax, EXCEPTIONS; or eax, underflow and inexact
    code.label("not flushed")
    code.add("3a41", d8(_SSE_KNOWN))  # cmp al, [known]
    code.jump("84", "known")  # je known
    code.add("8841", d8(_SSE_KNOWN), b"\x09\x02")  # mov [known], al; or [rdx], eax
    code.jump("e9", "masks")  # jmp masks
    code.label("known")
    # The program has cleared what was copied: then the mark is to be cleared too.
    code.add("448b02 4121c0 4139c0")  # mov r8d, [rdx]; and r8d, eax; cmp r8d, eax
    code.jump("84", "masks")  # je masks
    code.add("c682", d32(sse), b"\0")  # mov byte [the mark], 0
    code.add("c641", d8(_SSE_KNOWN), b"\0")  # mov byte [known], 0
    code.jump("e9", "masks")  # jmp masks
    return code.finish()


def _watch_code(layout: StateLayout, stop_address: int, snapshot: int, length: int) -> bytes:
    """Called as (uc, address, size, data); rdx is made to point at MXCSR."""
    mxcsr = layout.mxcsr
    sse, status, control = layout.sse_mark - mxcsr, layout.x87_status - mxcsr, layout.x87_control - mxcsr
    code = Assembly()
    code.add("48ba", q(layout.address + mxcsr))  # mov rdx, MXCSR's address
    code.add("8b02 f7d0 c1e807 83e03f")  # mov eax, [rdx]; not eax; shr eax, 7; and eax, MASKS
    code.add("448b82", d32(control), b"\x41\xf7\xd0\x41\x83\xe0\x3f")  # r8d: what x87 doesn't mask
    code.add("4189c1 4509c1")  # mov r9d, eax; or r9d, r8d
    code.jump("84", "masked")  # jz masked
    code.add("4189c1 3a41", d8(_SSE_UNMASKED))  # mov r9d, eax; cmp al, [unmasked]
    code.jump("84", "check")  # je check
    # What was noted while it was masked must not be taken for an exception.
    code.add("8841", d8(_SSE_UNMASKED))  # mov [unmasked], al
    code.add("0fb6b2", d32(sse), b"\x83\xe6\x3d\x09\x32")  # movzx esi, [mark]; and esi, 0x3d; or [rdx], esi
    code.add("c682", d32(sse), b"\0")  # mov byte [the mark], 0
    code.add("c641", d8(_SSE_KNOWN), b"\0")  # mov byte [known], 0
    code.label("check")
    code.add("8079", d8(_SKIPS_CHECK), b"\0")  # cmp byte [skips check], 0
    code.jump("85", "skip")  # jne skip
    code.add("2282", d32(sse), b"\xa8\x3d")  # and al, [the mark]; test al, EXCEPTIONS
    code.jump("85", "raised")  # jnz raised
    code.add("448482", d32(status))  # test [status], r8b
    code.jump("85", "pending")  # jnz pending
    code.label("keep")
    code.add("4585c9")  # test r9d, r9d
    code.jump("84", "return")  # jz return
    code.add("57 48be", q(layout.address))  # push rdi; mov rsi, the state
    code.add("48bf", q(snapshot))  # mov rdi, the snapshot
    code.add("b9", pack("<I", length // 8), b"\xf3\x48\xa5\x5f")  # mov ecx, length / 8; rep movsq; pop rdi
    code.label("return")
    code.add("c3")  # ret
    code.label("masked")
    code.add("c641", d8(_SSE_UNMASKED), b"\0\xc3")  # mov byte [unmasked], 0; ret
    code.label("skip")
    code.add("c641", d8(_SKIPS_CHECK), b"\0")  # mov byte [skips check], 0
    code.jump("e9", "keep")  # jmp keep
    code.label("pending")
    code.add("66818a", d32(status), pack("<H", ERROR_SUMMARY | BUSY))  # or word [status], summary and busy
    code.add("c641", d8(_REASON), d8(PENDING))  # mov byte [reason], PENDING
    code.jump("e9", "stop")  # jmp stop
    code.label("raised")
    code.add("c641", d8(_REASON), d8(RAISED))  # mov byte [reason], RAISED
    code.label("stop")
    code.add("48b8", q(stop_address), b"\xff\xe0")  # mov rax, uc_emu_stop; jmp rax, the handle still in rdi
    return code.finish()


def _call_code(layout: StateLayout, read_address: int, flags_address: int, callback_address: int) -> bytes:
    """Called as (uc, data) at `syscall`, two bytes long: does what the instruction does to rcx and r11.

    The library works the flags out only when they are asked for, as uc_reg_read at `read_address` does.
    """
    code = Assembly()
    code.add("57 56 50")  # push rdi; push rsi; push rax, which aligns the stack
    code.add("be", d32(REG_EFLAGS), b"\x48\xba", q(flags_address))  # mov esi, EFLAGS; mov rdx, where to
    code.add("48b8", q(read_address), b"\xff\xd0")  # mov rax, uc_reg_read; call rax
    code.add("48b8", q(flags_address), b"\x8b\x00")  # mov rax, where the flags are; mov eax, [rax]
    code.add("48ba", q(layout.address))  # mov rdx, the state
    code.add("488982", d32(8 * R11))  # mov [rdx + r11's place], rax
    code.add("488b82", d32(8 * RIP), b"\x48\x83\xc0\x02")  # mov rax, [rdx + rip's place]; add rax, 2
    code.add("488982", d32(8 * RCX))  # mov [rdx + rcx's place], rax
    code.add("58 5e 5f")  # pop rax; pop rsi; pop rdi
    code.add("48b8", q(callback_address), b"\xff\xe0")  # mov rax, callback; jmp rax
    return code.finish()
