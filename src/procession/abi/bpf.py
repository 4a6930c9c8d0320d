"""Classic BPF: the instructions of seccomp and socket filters."""

from __future__ import annotations

from procession.abi.enumeration import IntEnum
from procession.abi.structure import U8, U16, U32, Pointer, Structure


class BpfClass(IntEnum):
    """Bits 0 to 2 of an instruction's code."""

    BPF_LD = 0
    BPF_LDX = 1
    BPF_ST = 2
    BPF_STX = 3
    BPF_ALU = 4
    BPF_JMP = 5
    BPF_RET = 6
    BPF_MISC = 7


class BpfSize(IntEnum):
    """Bits 3 and 4 of a load."""

    BPF_W = 0
    BPF_H = 8
    BPF_B = 0x10


class BpfMode(IntEnum):
    """Bits 5 to 7 of a load."""

    BPF_IMM = 0
    BPF_ABS = 0x20
    BPF_IND = 0x40
    BPF_MEM = 0x60
    BPF_LEN = 0x80
    BPF_MSH = 0xA0


class BpfAlu(IntEnum):
    """Bits 4 to 7 of an arithmetic instruction."""

    BPF_ADD = 0
    BPF_SUB = 0x10
    BPF_MUL = 0x20
    BPF_DIV = 0x30
    BPF_OR = 0x40
    BPF_AND = 0x50
    BPF_LSH = 0x60
    BPF_RSH = 0x70
    BPF_NEG = 0x80
    BPF_MOD = 0x90
    BPF_XOR = 0xA0


class BpfJump(IntEnum):
    """Bits 4 to 7 of a jump."""

    BPF_JA = 0
    BPF_JEQ = 0x10
    BPF_JGT = 0x20
    BPF_JGE = 0x30
    BPF_JSET = 0x40


class BpfSource(IntEnum):
    """Bit 3 of arithmetic and jumps: the operand."""

    BPF_K = 0
    BPF_X = 8


class BpfReturn(IntEnum):
    """Bits 3 and 4 of a return; BPF_K is the third."""

    BPF_A = 0x10


class BpfMisc(IntEnum):
    """Bits 3 to 7 of BPF_MISC."""

    BPF_TAX = 0
    BPF_TXA = 0x80


BPF_MAXINSNS = 4096
BPF_MEMWORDS = 16


class SockFilter(Structure):
    """struct sock_filter: one instruction."""

    code: U16 = 0
    jt: U8 = 0
    jf: U8 = 0
    k: U32 = 0


class SockFprog(Structure):
    """struct sock_fprog: a program."""

    len: U16 = 0
    filter: Pointer = 0
