"""Unicorn's C library, called directly: the binding's own wrappers cost several times as much a call."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint16, c_uint32, c_uint64, c_void_p
from typing import Final

ARCH_X86: Final = 4
MODE_64: Final = 8
PROT_ALL: Final = 7
CPU_NEHALEM: Final = 15
TLB_CPU: Final = 0
CTL_CPU_MODEL: Final = 7
CTL_TB_REQUEST_CACHE: Final = 8
CTL_TB_REMOVE_CACHE: Final = 9
CTL_TB_FLUSH: Final = 10
CTL_TLB_FLUSH: Final = 11
CTL_TLB_TYPE: Final = 12
CTL_CODE_BUFFER_SIZE: Final = 13
_CTL_WRITE, _CTL_READ = 1 << 30, 1 << 31
RAISE: Final = "raise_exception_err_ra_x86_64"
"""Raises an exception at the instruction whose translated code has called a function. Called as (the
processor's state, vector, error code, where translated code called from); it doesn't return."""
_FLUSH_PAGE: Final = "tlb_flush_page_x86_64"
"""What the library calls itself to drop one page's translation. It isn't published, so it may be missing."""

HOOK_INTR: Final = 1
HOOK_INSN: Final = 2
HOOK_CODE: Final = 4
HOOK_BLOCK: Final = 8
HOOK_MEMORY_READ, HOOK_MEMORY_WRITE = 1024, 2048
MEMORY_WRITE: Final = 17
"""What the callback of these two is told of a write."""
HOOK_INSN_INVALID: Final = 16384
HOOK_EDGE_GENERATED: Final = 32768
INSN_SYSCALL: Final = 699

REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI = 35, 38, 40, 37, 44, 36, 43, 39
REG_R8: Final = 106
REG_EFLAGS: Final = 25
REG_FPSW: Final = 31
REG_IDTR, REG_GDTR, REG_TR = 242, 243, 245
REG_CR0, REG_CR2, REG_CR3, REG_CR4 = 50, 52, 53, 54
REG_ST0: Final = 114
REG_XMM0: Final = 122
REG_FPCW, REG_FPTAG, REG_MSR, REG_MXCSR, REG_FS_BASE, REG_GS_BASE = 246, 247, 248, 249, 250, 251
GENERAL_REGISTERS: Final = (
    *(REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI),
    *range(REG_R8, REG_R8 + 8),
)

SYSCALL_CALLBACK: Final = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)
INTERRUPT_CALLBACK: Final = ctypes.CFUNCTYPE(None, c_void_p, c_uint32, c_void_p)


class TranslatedBlock(ctypes.Structure):
    """What the library tells of a block that it has just translated: where it begins, and its length."""

    _fields_ = (("address", c_uint64), ("instruction_count", c_uint16), ("size", c_uint16))


BLOCK_CALLBACK: Final = ctypes.CFUNCTYPE(None, c_void_p, POINTER(TranslatedBlock), c_void_p)
INVALID_CALLBACK: Final = ctypes.CFUNCTYPE(ctypes.c_bool, c_void_p, c_void_p)


class UnicornError(Exception):
    """The library refused a call that the engine takes for granted, or isn't there."""


class SystemTable(ctypes.Structure):
    """A register of system tables, as the library takes it."""

    _fields_ = (("selector", c_uint16), ("base", c_uint64), ("limit", c_uint32), ("flags", c_uint32))


class Msr(ctypes.Structure):
    """A model-specific register, as the library reads and writes it."""

    _fields_ = (("number", c_uint32), ("value", c_uint64))


class UnicornLibrary:
    """The loaded library with its prototypes. Raises UnicornError if it can't be found.

    `flush_page(processor object, address)` is None where the library doesn't export it.
    """

    def __init__(self) -> None:
        spec = importlib.util.find_spec("unicorn")
        if spec is None or not spec.submodule_search_locations:
            raise UnicornError("the unicorn package isn't installed")
        folder = os.path.join(next(iter(spec.submodule_search_locations)), "lib")
        names = ("libunicorn.so.2", "libunicorn.2.dylib", "unicorn.dll")
        found = next(filter(os.path.exists, [os.path.join(folder, name) for name in names]), None)
        if found is None:
            raise UnicornError(f"no Unicorn library in {folder}")
        self.library = library = ctypes.CDLL(found)
        self.open = library.uc_open
        self.open.argtypes = (c_int, c_int, POINTER(c_void_p))
        self.close = library.uc_close
        self.close.argtypes = (c_void_p,)
        self.error_text = library.uc_strerror
        self.error_text.argtypes = (c_int,)
        self.error_text.restype = c_char_p
        self.control = library.uc_ctl
        self.register_read = library.uc_reg_read
        self.register_read.argtypes = (c_void_p, c_int, c_void_p)
        self.register_write = library.uc_reg_write
        self.register_write.argtypes = (c_void_p, c_int, c_void_p)
        self.map_memory = library.uc_mem_map_ptr
        self.map_memory.argtypes = (c_void_p, c_uint64, c_size_t, c_uint32, c_void_p)
        self.hook_add = library.uc_hook_add
        self.hook_delete = library.uc_hook_del
        self.hook_delete.argtypes = (c_void_p, c_size_t)
        self.emulate = library.uc_emu_start
        self.emulate.argtypes = (c_void_p, c_uint64, c_uint64, c_uint64, c_size_t)
        self.context_size = library.uc_context_size
        self.context_size.argtypes = (c_void_p,)
        self.context_size.restype = c_size_t
        self.flush_page = getattr(library, _FLUSH_PAGE, None)
        if self.flush_page is not None:
            self.flush_page.argtypes = (c_void_p, c_uint64)
            self.flush_page.restype = None
        self.stop = library.uc_emu_stop
        self.stop.argtypes = (c_void_p,)
        self.stop_address = ctypes.cast(library.uc_emu_stop, c_void_p).value or 0

    def address_of(self, name: str) -> int:
        """Where the library's function `name` is. Raises UnicornError if it isn't published."""
        try:
            return ctypes.cast(getattr(self.library, name), c_void_p).value or 0
        except AttributeError:
            raise UnicornError(f"the library has no {name}") from None

    def check(self, error: int) -> None:
        """Raise UnicornError unless `error` is 0."""
        if error:
            raise UnicornError(self.error_text(error).decode())

    def write_register(self, handle: c_void_p, register: int, value: int) -> None:
        """Write a register of at most 64 bits."""
        self.check(self.register_write(handle, register, byref(c_uint64(value))))

    def write_msr(self, handle: c_void_p, number: int, value: int) -> None:
        """Write a model-specific register."""
        self.check(self.register_write(handle, REG_MSR, byref(Msr(number, value))))

    def set_control(self, handle: c_void_p, control: int, value: int) -> None:
        """uc_ctl with one int argument."""
        self.check(self.control(handle, c_uint32(control | 1 << 26 | _CTL_WRITE), c_int(value)))

    def forget_block(self, handle: c_void_p, start: int, end: int) -> None:
        """Drop what was translated from code at `start` up to `end`."""
        control = c_uint32(CTL_TB_REMOVE_CACHE | 2 << 26 | _CTL_WRITE)
        self.check(self.control(handle, control, c_uint64(start), c_uint64(end)))

    def block_size(self, handle: c_void_p, address: int) -> int:
        """How many bytes the block at `address` has; it's translated if it hasn't been."""
        block = TranslatedBlock()
        control = c_uint32(CTL_TB_REQUEST_CACHE | 2 << 26 | _CTL_WRITE | _CTL_READ)
        self.check(self.control(handle, control, c_uint64(address), byref(block)))
        size: int = block.size
        return size

    def add_hook(
        self, handle: c_void_p, kind: int, callback: object, instruction: int | None = None, data: int = 0
    ) -> c_size_t:
        """Add a hook for every address; `callback` (a CFUNCTYPE object or an address) must be kept alive."""
        hook = c_size_t()
        arguments = [handle, byref(hook), c_int(kind), callback, c_void_p(data), c_uint64(1), c_uint64(0)]
        if instruction is not None:
            arguments.append(c_int(instruction))
        self.check(self.hook_add(*arguments))
        return hook
