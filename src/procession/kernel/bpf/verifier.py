"""The verifier of eBPF programs: they read only what is theirs, and answer what there are answers for.

As jumps only lead on, one pass sees each instruction with all that may be in the registers there: what is
known where ways meet is what both know. Linux follows each way by itself, so it takes some programs in which
what a register holds follows from another; compilers and runtimes don't make such.
"""

from __future__ import annotations

from typing import ClassVar

from procession.abi.errno import EACCES, EINVAL
from procession.kernel.bpf.arithmetic import (
    ADD,
    ALWAYS,
    CALL,
    DIVIDE,
    EXIT,
    MODULO,
    MOVE,
    NEGATE,
    SHIFT_ARITHMETIC,
    SHIFT_LEFT,
    SHIFT_RIGHT,
    SUBTRACT,
    SWAP,
    signed,
)
from procession.kernel.bpf.form import (
    ALU,
    ALU64,
    JMP,
    JMP32,
    LDX,
    LOAD_DOUBLE_WORD,
    MEMORY,
    SIZES,
    ST,
    STX,
    Instruction,
    Program,
    X,
    check_form,
    target_of,
)
from procession.kernel.bpf.value import (
    ANY_NUMBER,
    CONTEXT,
    KIND_NAMES,
    LOST,
    NOTHING,
    NUMBER,
    STACK,
    UNKNOWN,
    Value,
    bounds_of,
    branches,
    constant,
    merge,
    narrow,
    up_to,
)

REGISTER_COUNT = 11
FRAME_POINTER = 10
STACK_BYTES = 512
_SLOT = 8
_WORD_BYTES = 4
_WIDTHS = (16, 32, 64)
_SIGN_WIDTHS = {32: (0, 8, 16), 64: (0, 8, 16, 32)}


class State:
    """What is known before an instruction (Linux: include/linux/bpf_verifier.h, struct bpf_verifier_state).

    `slots` has what was stored in whole words of the stack, by how far below its end they begin; `written` is
    a bit for each byte of the stack that was stored to, from the lowest.
    """

    __slots__ = ("slots", "values", "written")

    def __init__(self, values: list[Value], slots: dict[int, Value], written: int) -> None:
        self.values = values
        self.slots = slots
        self.written = written

    def copy(self) -> State:
        """One that can go another way."""
        return State(self.values.copy(), self.slots.copy(), self.written)

    def meet(self, other: State) -> None:
        """Know only what `other` does too."""
        self.values = [merge(mine, yours) for mine, yours in zip(self.values, other.values, strict=True)]
        self.slots = {
            offset: merge(value, other.slots[offset])
            for offset, value in self.slots.items()
            if offset in other.slots
        }
        self.written &= other.written


def verify(program: Program, context_bytes: int, highest_answer: int, *, is_trusted: bool) -> int:
    """Raise EINVAL or EACCES unless the program is fit to run; how many instructions were looked at.

    Its context has `context_bytes`, in words of four, the first of which can be read in parts. Whoever may
    watch the kernel `is_trusted` to read what it never wrote, and to compare addresses.
    Linux: kernel/bpf/verifier.c, bpf_check.
    """
    check_form(program)
    return Verifier(program, context_bytes, highest_answer, is_trusted=is_trusted).check()


class Verifier:
    """One program's check: `waiting` has what is known before instructions that a way leads to."""

    __slots__ = (
        "context_bytes",
        "highest_answer",
        "is_trusted",
        "position",
        "program",
        "state",
        "waiting",
    )

    RESERVED: ClassVar[str] = "{} uses reserved fields"

    def __init__(
        self, program: Program, context_bytes: int, highest_answer: int, *, is_trusted: bool
    ) -> None:
        values = [NOTHING] * REGISTER_COUNT
        values[1] = Value(CONTEXT)
        values[FRAME_POINTER] = Value(STACK)
        self.program = program
        self.context_bytes = context_bytes
        self.highest_answer = highest_answer
        self.is_trusted = is_trusted
        self.position = 0
        self.state = State(values, {}, 0)
        self.waiting: dict[int, State] = {0: self.state}

    def check(self) -> int:
        """Look at each instruction that a way leads to; how many. Linux: kernel/bpf/verifier.c, do_check."""
        processed = 0
        for position, instruction in enumerate(self.program):
            state = self.waiting.pop(position, None)
            if state is None:
                continue
            processed += 1
            self.position = position
            self.state = state
            self._step(instruction)
        return processed

    def _go_on(self, position: int, state: State) -> None:
        known = self.waiting.get(position)
        if known is None:
            self.waiting[position] = state
        else:
            known.meet(state)

    def _step(self, instruction: Instruction) -> None:
        code = instruction.code
        kind = code & 7
        if instruction.destination >= REGISTER_COUNT or instruction.source >= REGISTER_COUNT:
            bad = instruction.destination if instruction.destination >= REGISTER_COUNT else instruction.source
            raise EINVAL(f"R{bad} is invalid")
        following = self.position + 1
        if kind in (ALU, ALU64):
            self._arithmetic(instruction, 32 if kind == ALU else 64)
        elif kind == LDX:
            self._load(instruction)
        elif kind in (ST, STX):
            self._store(instruction)
        elif code == LOAD_DOUBLE_WORD:
            self._write(instruction.destination, constant(instruction.immediate))
            following += 1
        elif code == JMP | EXIT:
            self._exit(instruction)
            return
        elif code == JMP | CALL:
            raise EINVAL(f"invalid func unknown#{instruction.immediate}")
        else:
            self._jump(instruction, 32 if kind == JMP32 else 64)
            return
        self._go_on(following, self.state)

    # Registers

    def _read(self, number: int) -> Value:
        value = self.state.values[number]
        if value.kind == UNKNOWN:
            raise EACCES(f"R{number} !read_ok")
        return value

    def _write(self, number: int, value: Value) -> None:
        self._check_writable(number)
        self.state.values[number] = value

    def _check_writable(self, number: int) -> None:
        if number == FRAME_POINTER:
            raise EACCES("frame pointer is read only")

    def _arithmetic(self, instruction: Instruction, bits: int) -> None:
        """Linux: kernel/bpf/verifier.c, check_alu_op."""
        code, target, source = instruction.code, instruction.destination, instruction.source
        operation = code & 0xF0
        if operation in (SWAP, NEGATE):
            self._change(instruction, bits)
            return
        offset = instruction.offset
        is_unfit = bool(instruction.immediate if code & X else source)
        if operation == MOVE:
            is_unfit |= offset not in (_SIGN_WIDTHS[bits] if code & X else (0,))
        else:
            is_unfit |= offset not in ((0, 1) if operation in (DIVIDE, MODULO) else (0,))
        if is_unfit:
            raise EINVAL(self.RESERVED.format("BPF_MOV" if operation == MOVE else "BPF_ALU"))
        right = self._read(source) if code & X else constant(instruction.immediate)
        left = NOTHING
        if operation != MOVE:
            left = self._read(target)
            if not code & X:
                self._check_operand(operation, instruction.immediate, bits)
        self._check_writable(target)
        if operation == MOVE:
            result = self._moved(source, right, bits, offset)
        elif left.kind != NUMBER or right.kind != NUMBER:
            result = self._pointer(instruction, left, right, bits)
        else:
            result = bounds_of(operation, left, right, bits, offset)
        self.state.values[target] = result

    def _check_operand(self, operation: int, operand: int, bits: int) -> None:
        if operation in (DIVIDE, MODULO) and not operand:
            raise EINVAL("div by zero")
        if operation in (SHIFT_LEFT, SHIFT_RIGHT, SHIFT_ARITHMETIC) and not 0 <= operand < bits:
            raise EINVAL(f"invalid shift {operand}")

    def _moved(self, source: int, value: Value, bits: int, offset: int) -> Value:
        if value.kind == NUMBER:
            return bounds_of(MOVE, constant(0), value, bits, offset)
        if bits == 64 and not offset:
            return value
        if not self.is_trusted:
            raise EACCES(f"R{source} partial copy of pointer")
        return up_to((1 << bits) - 1)

    def _change(self, instruction: Instruction, bits: int) -> None:
        """A negation, or an exchange of bytes."""
        code, target = instruction.code, instruction.destination
        if code & 0xF0 == NEGATE:
            is_unfit = bool(instruction.source or instruction.offset or instruction.immediate)
            name = "BPF_NEG"
        else:
            is_unfit = bool(instruction.source or instruction.offset) or instruction.immediate not in _WIDTHS
            name = "BPF_END"
        if is_unfit:
            raise EINVAL(self.RESERVED.format(name))
        value = self._read(target)
        if value.kind != NUMBER and not self.is_trusted:
            raise EACCES(f"R{target} pointer arithmetic prohibited")
        self._check_writable(target)
        if value.kind != NUMBER:
            self.state.values[target] = ANY_NUMBER
        elif code & 0xF0 == NEGATE:
            self.state.values[target] = bounds_of(NEGATE, value, value, bits, 0)
        else:
            self.state.values[target] = up_to((1 << instruction.immediate) - 1)

    def _pointer(self, instruction: Instruction, left: Value, right: Value, bits: int) -> Value:
        """A known number is added to a pointer, or taken from it.

        Linux: kernel/bpf/verifier.c, adjust_ptr_min_max_vals.
        """
        operation, target = instruction.code & 0xF0, instruction.destination
        if bits == 32:
            raise EACCES(f"R{target} 32-bit pointer arithmetic prohibited")
        if operation == ADD and left.kind == NUMBER:
            left, right = right, left
        if operation not in (ADD, SUBTRACT) or right.kind != NUMBER:
            raise EACCES(f"R{target} pointer arithmetic prohibited")
        if operation == SUBTRACT and left.kind == STACK:
            raise EACCES(f"R{target} subtraction from stack pointer prohibited")
        if right.low != right.high or left.kind == LOST:
            if left.kind == STACK:
                raise EACCES(f"R{target} variable stack pointer")
            return Value(LOST)
        distance = signed(right.low, 64)
        if not -(1 << 29) < distance < 1 << 29:
            raise EINVAL(f"math between {KIND_NAMES[left.kind]} pointer and {distance} is not allowed")
        offset = left.low + distance if operation == ADD else left.low - distance
        if not -(1 << 29) < offset < 1 << 29:
            raise EINVAL(f"{KIND_NAMES[left.kind]} pointer offset {offset} is not allowed")
        return Value(left.kind, offset)

    # Memory

    def _load(self, instruction: Instruction) -> None:
        """Linux: kernel/bpf/verifier.c, check_load_mem."""
        code = instruction.code
        size = SIZES[code & 0x18]
        pointer = self._read(instruction.source)
        self._check_writable(instruction.destination)
        if pointer.kind == STACK:
            value = self._load_stack(pointer.low + instruction.offset, size)
        elif pointer.kind == CONTEXT:
            self._check_context(instruction.source, pointer, instruction.offset, size)
            value = up_to((1 << size * 8) - 1)
        else:
            raise EACCES(f"R{instruction.source} invalid mem access 'scalar'")
        if code & 0xE0 != MEMORY:
            value = value if value.kind == NUMBER and not value.high >> size * 8 - 1 else ANY_NUMBER
        self.state.values[instruction.destination] = value

    def _check_context(self, register: int, pointer: Value, offset: int, size: int) -> None:
        """Linux: kernel/bpf/cgroup.c, cgroup_dev_is_valid_access."""
        if pointer.low:
            raise EACCES(f"dereference of modified ctx ptr R{register} off={pointer.low} disallowed")
        is_fit = (
            0 <= offset <= self.context_bytes - size
            and offset % size == 0
            and (size == _WORD_BYTES or (size < _WORD_BYTES and offset < _WORD_BYTES))
        )
        if not is_fit:
            raise EACCES(f"invalid bpf_context access off={offset} size={size}")

    def _check_stack(self, offset: int, size: int, act: str) -> None:
        """Linux: kernel/bpf/verifier.c, check_stack_access_within_bounds."""
        if offset % size:
            raise EACCES(f"misaligned stack access off {offset} size {size}")
        if not -STACK_BYTES <= offset <= -size:
            raise EACCES(f"invalid {act} stack off={offset} size={size}")

    def _load_stack(self, offset: int, size: int) -> Value:
        """Linux: kernel/bpf/verifier.c, check_stack_read_fixed_off."""
        self._check_stack(offset, size, "read from")
        state = self.state
        stored = state.slots.get(offset // _SLOT * _SLOT)
        if stored is not None and stored.kind != NUMBER:
            if size == _SLOT and stored.kind != UNKNOWN:
                return stored
            if stored.kind != UNKNOWN:
                raise EACCES(f"invalid size of register fill: {size}")
        mask = ((1 << size) - 1) << (offset + STACK_BYTES)
        if state.written & mask != mask and not self.is_trusted:
            raise EACCES(f"invalid read from stack off {offset}+0 size {size}")
        if stored is not None and stored.kind == NUMBER and offset % _SLOT == 0:
            return narrow(stored, size * 8)
        return up_to((1 << size * 8) - 1)

    def _store(self, instruction: Instruction) -> None:
        """Linux: kernel/bpf/verifier.c, check_store_reg."""
        size = SIZES[instruction.code & 0x18]
        if instruction.code & 7 == STX:
            if instruction.immediate:
                raise EINVAL(self.RESERVED.format("BPF_STX"))
            value = self._read(instruction.source)
        else:
            if instruction.source:
                raise EINVAL(self.RESERVED.format("BPF_ST"))
            value = constant(instruction.immediate)
        pointer = self._read(instruction.destination)
        if pointer.kind == CONTEXT:
            raise EACCES(f"invalid bpf_context access off={instruction.offset} size={size}")
        if pointer.kind != STACK:
            raise EACCES(f"R{instruction.destination} invalid mem access 'scalar'")
        offset = pointer.low + instruction.offset
        self._check_stack(offset, size, "write to")
        if value.kind != NUMBER and size != _SLOT:
            raise EACCES("invalid size of register spill")
        state = self.state
        state.written |= ((1 << size) - 1) << (offset + STACK_BYTES)
        slot = offset // _SLOT * _SLOT
        if size == _SLOT:
            state.slots[slot] = value
        else:
            # What was there, if it was an address, is none any more.
            state.slots[slot] = ANY_NUMBER

    # Ways

    def _jump(self, instruction: Instruction, bits: int) -> None:
        """Linux: kernel/bpf/verifier.c, check_cond_jmp_op."""
        code = instruction.code
        target = target_of(self.program, self.position)
        if code & 0xF0 == ALWAYS:
            fields = instruction.destination, instruction.source
            other = instruction.offset if code & 7 == JMP32 else instruction.immediate
            if any(fields) or other:
                raise EINVAL(self.RESERVED.format("BPF_JA"))
            self._go_on(target, self.state)
            return
        if instruction.immediate if code & X else instruction.source:
            raise EINVAL(self.RESERVED.format("BPF_JMP/JMP32"))
        right = self._read(instruction.source) if code & X else constant(instruction.immediate)
        left = self._read(instruction.destination)
        if left.kind != NUMBER and not self.is_trusted:
            raise EACCES(f"R{instruction.destination} pointer comparison prohibited")
        if right.kind == NUMBER and not code & X and bits == 32:
            right = narrow(constant(instruction.immediate & 0xFFFFFFFF), 32)
        made, passed = branches(code & 0xF0, left, right, bits)
        state = self.state
        if made is not None:
            other_way = state.copy()
            other_way.values[instruction.destination] = made
            self._go_on(target, other_way)
        if passed is not None:
            state.values[instruction.destination] = passed
            self._go_on(self.position + 1, state)

    def _exit(self, instruction: Instruction) -> None:
        """Linux: kernel/bpf/verifier.c, check_return_code."""
        if instruction.immediate or instruction.source or instruction.destination or instruction.offset:
            raise EINVAL(self.RESERVED.format("BPF_EXIT"))
        answer = self._read(0)
        if answer.kind != NUMBER:
            if not self.is_trusted:
                raise EACCES("R0 leaks addr as return value")
            raise EINVAL(f"At program exit the register R0 is not a known value ({KIND_NAMES[answer.kind]})")
        if answer.high > self.highest_answer:
            raise EINVAL(
                f"At program exit the register R0 has smin={answer.low} smax={answer.high} "
                f"should have been in [0, {self.highest_answer}]"
            )
