"""The scripted engine: tasks that are lists of system calls, and no processor at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from procession.hardware.engine import EngineCapabilities, TrapHandler
from procession.hardware.physical_memory import PhysicalMemory
from procession.hardware.processor_level import V2
from procession.hardware.registers import R12, R13, RAX, RIP, TRAP_FLAG, Registers

ARGUMENT_REGISTERS = (7, 6, 2, 10, 8, 9)
SCRATCH_ADDRESS = 0x10_0000
"""Where a scripted program's bytes lie: the caller maps it."""
SCRATCH_BYTES = 1 << 16
STEP_BYTES = 2
"""What a step adds to rip: as much as a `syscall` instruction, so that calls restart as on a processor."""
_WORD = (1 << 64) - 1
_SIGN = 1 << 63


class UserMemory(Protocol):
    """The address space of the task that runs."""

    def write(self, address: int, data: bytes, /) -> None:
        """Put `data` at `address`."""


class ScriptedTask(Protocol):
    """The task that runs, as its script sees it."""

    @property
    def tid(self) -> int:
        """Its id."""

    @property
    def mm(self) -> UserMemory:
        """Its memory."""


class Call:
    """One system call of a script: its number, and arguments that are ints, bytes or results by name.

    Bytes are put in the task's scratch memory and their address is passed. A string names the result of
    an earlier call with that `name`, of this task or else the latest of any, or a label of the scratch memory
    as `"@offset"`.
    """

    def __init__(self, number: int, *arguments: int | bytes | str, name: str = "") -> None:
        self.number = number
        self.arguments = arguments
        self.name = name


class Branch:
    """Go on at `label` if `condition` holds for the last result, a signed int."""

    def __init__(self, condition: Callable[[int], bool], label: str) -> None:
        self.condition = condition
        self.label = label


class Work:
    """Compute for `units` of the budget, as a loop would."""

    def __init__(self, units: int) -> None:
        self.units = units


class Spin:
    """Compute for ever: what is left of each turn, in one step."""


Step = Call | Branch | Work | Spin | str
"""A script's step; a string is a label."""


class Script:
    """A program for the scripted engine: steps, with the labels among them resolved."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = list(steps)
        self.labels: Mapping[str, int] = {
            step: index for index, step in enumerate(self.steps) if isinstance(step, str)
        }


class ScriptedEngine:
    """Runs scripts: rip counts steps, r12 names the script, and results are kept by task and name.

    There is no user code, so a handler of a signal can't run; and a task starts a script by having its
    number in r12, which fork copies. r13 says which step's result is still to be noted: a call may return
    long after it was made.

    `results` holds the latest result of any task by the call's name, `results_of` those of each task by tid.
    """

    capabilities = EngineCapabilities("scripted", unit_ns=4, level=V2)

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.general = Registers().general
        self.live = Registers()
        self.budget = 0
        self.is_stopping = False
        self.results: dict[str, int] = {}
        self.results_of: dict[int, dict[str, int]] = {}
        self.current_task: Callable[[], ScriptedTask]

    def attach(self, memory: PhysicalMemory, traps: TrapHandler) -> None:
        """Take the kernel's entries; the memory is reached through the kernel."""
        del memory
        self.traps = traps

    def add_script(self, steps: Sequence[Step]) -> int:
        """Register a script; the number that r12 shall hold."""
        self.scripts.append(Script(steps))
        return len(self.scripts) - 1

    def tell(self, traps: TrapHandler) -> None:
        """Take other entries."""
        self.traps = traps

    def run(self) -> None:
        """Do steps until stopped or out of budget."""
        self.is_stopping = False
        general = self.general
        while not self.is_stopping and self.budget > 0:
            script = self.scripts[general[R12]]
            if general[R13]:
                self._note_result(script)
            self._run_steps(script)

    def _run_steps(self, script: Script) -> None:
        """Do steps of `script`, one call at most: behind it, another may be current."""
        general, steps = self.general, script.steps
        position = general[RIP] // STEP_BYTES
        while self.budget > 0:
            self.budget -= 1
            if position >= len(steps):
                general[RIP] = position * STEP_BYTES
                self._call(Call(231, 0))
                return
            step = steps[position]
            position += 1
            if isinstance(step, Work):
                self.budget -= step.units
            elif isinstance(step, Spin):
                position -= 1
                self.budget = 0
            elif isinstance(step, Branch):
                general[RIP] = position * STEP_BYTES
                if step.condition((general[RAX] ^ _SIGN) - _SIGN):
                    position = script.labels[step.label]
                if self.is_stopping:
                    break
            elif isinstance(step, Call):
                general[RIP] = position * STEP_BYTES
                if step.name:
                    general[R13] = position
                self._call(step)
                return
        general[RIP] = position * STEP_BYTES

    def _note_result(self, script: Script) -> None:
        general = self.general
        step = script.steps[general[R13] - 1]
        assert isinstance(step, Call)
        general[R13] = 0
        result = (general[RAX] ^ _SIGN) - _SIGN
        self.results[step.name] = result
        self.results_of.setdefault(self.current_task().tid, {})[step.name] = result

    def _call(self, call: Call) -> None:
        general = self.general
        offset = 0
        for register, argument in zip(ARGUMENT_REGISTERS, call.arguments, strict=False):
            if isinstance(argument, bytes):
                self.current_task().mm.write(SCRATCH_ADDRESS + offset, argument)
                general[register] = SCRATCH_ADDRESS + offset
                offset += (len(argument) + 15) & ~15
            elif isinstance(argument, str):
                general[register] = self._value_of(argument) & _WORD
            else:
                general[register] = argument & _WORD
        general[RAX] = call.number
        self.traps.system_call()

    def _value_of(self, name: str) -> int:
        if name.startswith("@"):
            return SCRATCH_ADDRESS + int(name[1:], 0)
        own = self.results_of.get(self.current_task().tid, {})
        return own[name] if name in own else self.results[name]

    def stop(self) -> None:
        """Make `run` return after the present trap."""
        self.is_stopping = True

    def interrupt(self) -> None:
        """Make `run` return soon."""
        self.is_stopping = True

    def save(self, registers: Registers) -> None:
        """Copy the live registers into `registers`."""
        self.save_integers(registers)
        registers.floating = self.live.floating

    def save_integers(self, registers: Registers) -> None:
        """Copy them but for the floating-point state."""
        registers.general = self.general[:]
        registers.rflags = self.live.rflags
        registers.fs_base = self.live.fs_base
        registers.gs_base = self.live.gs_base
        registers.selectors = self.live.selectors

    @property
    def has_trap_flag(self) -> bool:
        """Whether the live rflags have TF, so that each instruction ends in a debug exception."""
        return self.live.rflags & TRAP_FLAG != 0

    def load(self, registers: Registers) -> None:
        """Make `registers` the live ones."""
        self.general[:] = registers.general
        self.live = registers.copy()

    def load_bases(self, registers: Registers) -> None:
        """Make the bases of fs and gs the live ones."""
        self.live.fs_base = registers.fs_base
        self.live.gs_base = registers.gs_base
        self.live.selectors = registers.selectors

    def use_address_space(self, root_frame: int, level: int) -> None:
        """Nothing is translated here but by the kernel itself."""

    def offers(self, level: int) -> bool:
        """Nothing beyond what every program finds."""
        return level <= self.capabilities.level

    def flush_space(self, root_frame: int) -> None:
        """Nothing is cached."""

    def flush_pages(self, root_frame: int, addresses: list[int]) -> None:
        """Nothing is cached."""

    def end_space(self, root_frame: int) -> None:
        """Nothing is kept of address spaces."""

    def begin_program(self, root_frame: int, code_bytes: int) -> None:
        """It makes no difference."""

    def begin_beside(self, root_frame: int, other: int) -> None:
        """It makes no difference."""

    def give_way(self, root_frame: int) -> None:
        """Nothing is reserved."""

    def flush_all(self) -> None:
        """Nothing is cached."""

    def forget_code(self, frames: Iterable[int] | None) -> None:
        """Nothing is translated."""

    def set_budget(self, units: int) -> None:
        """How many steps `run` may do."""
        self.budget = units

    def budget_left(self) -> int:
        """What is left."""
        return self.budget

    def keep(self) -> tuple[dict[str, int], dict[int, dict[str, int]]]:
        """The results so far."""
        return dict(self.results), {tid: dict(results) for tid, results in self.results_of.items()}

    def put_back(self, kept: object) -> None:
        """The results as they were."""
        assert isinstance(kept, tuple)
        results, results_of = kept
        self.results = dict(results)
        self.results_of = {tid: dict(of_task) for tid, of_task in results_of.items()}

    def write_kept(self, kept: object) -> object:
        """It can't be written to a file."""
        raise ValueError("a machine with the scripted engine can't be saved")

    def read_kept(self, value: object) -> object:
        """It can't be read from one."""
        raise ValueError("a machine with the scripted engine can't be loaded")

    def close(self) -> None:
        """Nothing is held."""
