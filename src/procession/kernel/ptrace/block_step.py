"""Steps from branch to branch: PTRACE_SINGLEBLOCK.

No engine traps at branches: such a task runs one instruction at a time, and before each the kernel looks
whether it's a branch, and where the program goes on if that isn't taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession.hardware.instruction import LONGEST_INSTRUCTION
from procession.hardware.registers import RIP
from procession.kernel.ptrace.tracing import BLOCK_STEP, Tracing
from procession.mm.peek import peek

if TYPE_CHECKING:
    from procession.hardware.registers import Registers
    from procession.kernel.task import Task


def look_for_branch(task: Task, tracing: Tracing, registers: Registers) -> None:
    """Note whether the instruction at rip is a branch, if `task` is to stop after one.

    Linux: arch/x86/kernel/step.c, set_task_blockstep.
    """
    if not tracing.mode & BLOCK_STEP:
        return
    # Few tracers want blocks: nobody else needs the tables of all instructions.
    from procession.hardware.translation.decode import decode
    from procession.hardware.translation.opcodes import (
        CALL,
        CALL_INDIRECT,
        CONDITIONAL,
        FAR,
        JUMP,
        JUMP_INDIRECT,
        LOOP,
        RETURN,
    )

    address = registers.general[RIP]
    instruction = decode(peek(task.mm, address, LONGEST_INSTRUCTION), 0)
    branches = (JUMP, CALL, CONDITIONAL, LOOP, JUMP_INDIRECT, CALL_INDIRECT, RETURN, FAR)
    tracing.behind_branch = address + instruction.length if instruction.kind in branches else None


def has_branched(tracing: Tracing, address: int) -> bool:
    """Whether the instruction that has led to `address` was a branch that was taken."""
    behind = tracing.behind_branch
    return behind is not None and behind != address
