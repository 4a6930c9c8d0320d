"""What iced-x86 says of an instruction, in the terms of the project's own decoder."""

from __future__ import annotations

from typing import NamedTuple

import iced_x86 as iced
from iced_x86 import Code, CpuidFeature, FlowControl, Mnemonic, Register

from procession.hardware.registers import NUMBERS
from procession.hardware.translation import opcodes
from procession.hardware.translation.decode import Instruction, decode

_FEATURES = frozenset(
    getattr(CpuidFeature, name)
    for name in (
        *("INTEL8086", "INTEL8086_ONLY", "INTEL186", "INTEL286", "INTEL386", "INTEL486", "INTEL286_ONLY"),
        *("CPUID", "TSC", "MSR", "CX8", "CMOV", "FPU", "FPU287", "FPU387", "MULTIBYTENOP"),
        *(
            "X64",
            "MMX",
            "FXSR",
            "SEP",
            "SYSCALL",
            "SSE",
            "SSE2",
            "SSE3",
            "SSSE3",
            "SSE4_1",
            "SSE4_2",
            "POPCNT",
        ),
        *("AES", "PCLMULQDQ", "AVX", "AVX2", "FMA", "F16C", "BMI1", "BMI2", "LZCNT", "MOVBE", "CMPXCHG16B"),
        *("RDRAND", "RDSEED", "FSGSBASE", "XSAVE", "RDTSCP", "RDPMC", "CLFSH", "PREFETCHW", "PAUSE", "MPX"),
        *("CET_IBT", "CLDEMOTE", "PREFETCHWT1", "FPU287XL_ONLY", "PREFETCHITI"),
    )
)
"""Of features that came later only the hints among the reserved no-operations."""

_GENERAL = {getattr(Register, name.upper()): number for name, number in NUMBERS.items() if name != "rip"}


def _mnemonics(*names: str) -> frozenset[int]:
    return frozenset(getattr(Mnemonic, name) for name in names)


_KINDS: tuple[tuple[int, frozenset[int]], ...] = (
    (opcodes.SYSCALL, _mnemonics("SYSCALL")),
    (opcodes.INTERRUPT, _mnemonics("INT", "INT1", "INT3")),
    (opcodes.CPUID, _mnemonics("CPUID")),
    (opcodes.TIMESTAMP, _mnemonics("RDTSC", "RDTSCP")),
    (opcodes.RANDOM, _mnemonics("RDRAND", "RDSEED")),
    (opcodes.EXTENDED_CONTROL, _mnemonics("XGETBV")),
    (opcodes.DESCRIPTOR, _mnemonics("SGDT", "SIDT", "SLDT", "STR", "SMSW", "LAR", "LSL", "VERR", "VERW")),
    (opcodes.BASE, _mnemonics("RDFSBASE", "RDGSBASE", "WRFSBASE", "WRGSBASE")),
    (opcodes.SEGMENT_LOAD, _mnemonics("LSS", "LFS", "LGS")),
    (
        opcodes.PRIVILEGED,
        _mnemonics(
            *("HLT", "IN", "OUT", "CLI", "STI", "INSB", "INSW", "INSD", "OUTSB", "OUTSW", "OUTSD", "CLTS"),
            *("INVD", "WBINVD", "WRMSR", "RDMSR", "RDPMC", "LGDT", "LIDT", "LLDT", "LTR", "LMSW", "INVLPG"),
            *("SWAPGS", "XSETBV", "SYSRET", "SYSRETQ"),
        ),
    ),
    (opcodes.INTERRUPT_RETURN, _mnemonics("IRET", "IRETD", "IRETQ")),
    (opcodes.FAR, _mnemonics("RETF")),
    (opcodes.PUSH_FLAGS, _mnemonics("PUSHF", "PUSHFD", "PUSHFQ")),
    (opcodes.POP_FLAGS, _mnemonics("POPF", "POPFD", "POPFQ")),
    (opcodes.FLOATING_STORE, _mnemonics("FNSTENV", "FNSAVE", "FXSAVE", "FXSAVE64")),
    (opcodes.EXTENDED_SAVE, _mnemonics("XSAVE", "XSAVE64")),
    (opcodes.EXTENDED_RESTORE, _mnemonics("XRSTOR", "XRSTOR64")),
    (
        opcodes.APPROXIMATION,
        _mnemonics(*(f"{v}{name}" for v in ("", "V") for name in ("RCPPS", "RCPSS", "RSQRTPS", "RSQRTSS"))),
    ),
    (opcodes.LOOP, _mnemonics("LOOP", "LOOPE", "LOOPNE", "JRCXZ", "JECXZ", "JCXZ")),
)
_KIND_OF_MNEMONIC = {mnemonic: kind for kind, mnemonics in _KINDS for mnemonic in mnemonics}
_KIND_OF_FLOW = {
    FlowControl.UNCONDITIONAL_BRANCH: opcodes.JUMP,
    FlowControl.CONDITIONAL_BRANCH: opcodes.CONDITIONAL,
    FlowControl.CALL: opcodes.CALL,
    FlowControl.INDIRECT_BRANCH: opcodes.JUMP_INDIRECT,
    FlowControl.INDIRECT_CALL: opcodes.CALL_INDIRECT,
    FlowControl.RETURN: opcodes.RETURN,
}
_INVALID_IN_USER_MODE = _mnemonics(
    "CLAC", "STAC", "RSM", "SYSENTER", "SYSEXIT", "SYSEXITQ", "UD0", "UD1", "UD2"
)
_HINTS = _mnemonics("RDSSPD", "RDSSPQ")
"""No operations as long as there are no shadow stacks."""
_NO_HINTS = frozenset(getattr(Code, f"RESERVEDNOP_RM{bits}_R{bits}_0F0D") for bits in (16, 32, 64))
"""Prefetches of a register, which are invalid on some processors and do nothing on others."""
_BY_OFFSET = frozenset(range(Code.MOV_AL_MOFFS8, Code.MOV_MOFFS64_RAX + 1)) | {Code.XLAT_M8}
_NO_OPERATIONS = _mnemonics("NOP", "RESERVEDNOP", "XCHG", "PAUSE", "ENDBR32", "ENDBR64")
_SHIFTS = _mnemonics("SHL", "SAL", "SHR", "SAR", "ROL", "ROR", "RCL", "RCR", "SHLD", "SHRD")
_FLAGS = (
    (iced.RflagsBits.CF, opcodes.CARRY),
    (iced.RflagsBits.PF, opcodes.PARITY),
    (iced.RflagsBits.AF, opcodes.ADJUST),
    (iced.RflagsBits.ZF, opcodes.ZERO),
    (iced.RflagsBits.SF, opcodes.SIGN),
    (iced.RflagsBits.DF, opcodes.DIRECTION),
    (iced.RflagsBits.OF, opcodes.OVERFLOW),
)
_FACTORY = iced.InstructionInfoFactory()


class Answer(NamedTuple):
    """What two decoders must agree on. `target` is 0 if there is none."""

    kind: int
    length: int
    displacement: int = 0
    target: int = 0
    has_memory: bool = False
    registers: int = 0
    read: int = 0
    written: int = 0
    undefined: int = 0


def _flags(bits: int) -> int:
    return sum(flag for theirs, flag in _FLAGS if bits & theirs)


_DATA_SEGMENTS = (Register.ES, Register.DS, Register.FS, Register.GS)
"""Those whose selectors the processor keeps for programs: the others' never change."""


def kind_of(instruction: iced.Instruction) -> int:
    """The project's kind of a valid instruction."""
    mnemonic = instruction.mnemonic
    features = instruction.cpuid_features()
    if mnemonic in _HINTS:
        return opcodes.PLAIN
    if not set(features) <= _FEATURES or mnemonic in _INVALID_IN_USER_MODE or instruction.code in _NO_HINTS:
        return opcodes.INVALID
    if mnemonic in _KIND_OF_MNEMONIC:
        return _KIND_OF_MNEMONIC[mnemonic]
    if instruction.is_string_instruction and (instruction.has_rep_prefix or instruction.has_repne_prefix):
        return opcodes.REPEATED_STRING
    if instruction.is_jmp_far_indirect or instruction.is_call_far_indirect:
        return opcodes.FAR
    if mnemonic in (Mnemonic.MOV, Mnemonic.POP, Mnemonic.PUSH):
        registers = [
            instruction.op_register(n)
            for n in range(instruction.op_count)
            if instruction.op_kind(n) == iced.OpKind.REGISTER
        ]
        if any(register in _DATA_SEGMENTS for register in registers):
            is_store = mnemonic == Mnemonic.PUSH or instruction.op0_register not in _DATA_SEGMENTS
            return opcodes.SEGMENT_STORE if is_store else opcodes.SEGMENT_LOAD
        if registers and iced.RegisterExt.is_segment_register(instruction.op0_register):
            return opcodes.SEGMENT_LOAD
        if any(Register.CR0 <= register <= Register.DR15 for register in registers):
            return opcodes.PRIVILEGED
    return _KIND_OF_FLOW.get(instruction.flow_control, opcodes.PLAIN)


def reference(code: bytes, start: int = 0) -> tuple[Answer, iced.Instruction]:
    """What iced-x86 makes of the instruction at `start`, and its own object, to be shown."""
    decoder = iced.Decoder(64, code[start : start + 16], ip=1 << 32)
    instruction = decoder.decode()
    if instruction.is_invalid:
        truncated = decoder.last_error == iced.DecoderError.NO_MORE_BYTES and len(code) - start <= 15
        return Answer(opcodes.TRUNCATED if truncated else opcodes.INVALID, 0), instruction
    kind = kind_of(instruction)
    if kind == opcodes.INVALID:
        return Answer(kind, 0), instruction
    offsets = decoder.get_constant_offsets(instruction)
    displacement = offsets.displacement_offset if instruction.is_ip_rel_memory_operand else 0
    target = 0
    if displacement:
        raw = code[start + displacement : start + displacement + 4]
        target = instruction.len + int.from_bytes(raw, "little", signed=True)
    elif kind in (opcodes.JUMP, opcodes.CALL, opcodes.CONDITIONAL, opcodes.LOOP):
        target = (instruction.near_branch_target - (1 << 32) + (1 << 63)) % (1 << 64) - (1 << 63)
    registers = 0
    for used in _FACTORY.info(instruction).used_registers():
        number = _GENERAL.get(iced.RegisterExt.full_register(used.register))
        if number is not None:
            registers |= 1 << number
    written = _flags(instruction.rflags_written | instruction.rflags_cleared | instruction.rflags_set)
    undefined = _flags(instruction.rflags_undefined)
    last = instruction.op_count - 1
    by_cl = (
        instruction.mnemonic in _SHIFTS
        and instruction.op_kind(last) == iced.OpKind.REGISTER
        and instruction.op_register(last) == Register.CL
    )
    if by_cl or kind in (opcodes.REPEATED_STRING, opcodes.SYSCALL):
        # A count of 0 leaves the flags; a system call's are put back.
        written = undefined = 0
    return (
        Answer(
            kind,
            instruction.len,
            displacement,
            target,
            instruction.code not in _BY_OFFSET
            and any(instruction.op_kind(n) == iced.OpKind.MEMORY for n in range(instruction.op_count)),
            registers,
            _flags(instruction.rflags_read),
            written,
            undefined,
        ),
        instruction,
    )


def own(instruction: Instruction) -> Answer:
    """The same of an instruction that the project decoded."""
    if instruction.kind in (opcodes.INVALID, opcodes.TRUNCATED):
        return Answer(instruction.kind, 0)
    return Answer(
        instruction.kind,
        instruction.length,
        instruction.displacement,
        instruction.target,
        instruction.has_memory,
        instruction.registers,
        instruction.flags_read,
        instruction.flags_written,
        instruction.flags_undefined,
    )


def difference(code: bytes, start: int = 0) -> str:
    """How the two differ on the instruction at `start`; empty if they agree."""
    ours = own(decode(code, start))
    theirs, instruction = reference(code, start)
    if ours == theirs:
        return ""
    if ours.kind == opcodes.PRIVILEGED and theirs.kind in (opcodes.PRIVILEGED, opcodes.INVALID):
        # It can't run either way, and iced-x86 knows registers that aren't there.
        return ""
    if instruction.mnemonic in _NO_OPERATIONS and theirs.registers & ~ours.registers == 0:
        ours = ours._replace(registers=theirs.registers)
    name = f"{code[start : start + 15].hex()} {instruction}"
    if (ours.kind, ours.length) != (theirs.kind, theirs.length):
        ours_name, theirs_name = opcodes.KIND_NAMES[ours.kind], opcodes.KIND_NAMES[theirs.kind]
        return f"{name}: {ours_name} of {ours.length}, not {theirs_name} of {theirs.length}"
    for field, mine, other in zip(Answer._fields, ours, theirs, strict=True):
        if mine != other:
            return f"{name}: {field} {mine:#x}, not {other:#x}"
    return ""
