"""Where in its source a task is, by the DWARF of its program; needs pyelftools, and says nothing without."""

from __future__ import annotations

from bisect import bisect_right
from io import BytesIO
from typing import TYPE_CHECKING, Any

from procession.abi.errno import Errno
from procession.fs.dentry import absolute_path
from procession.hardware.registers import RIP, RSP
from procession.kernel.program.exec import Program
from procession.mm.peek import peek
from procession.mm.vma import PROT_EXEC

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.machine import Machine

_STACK_BYTES = 4096
_CALL_BYTES = 7
_NEAR_CALL = 0xE8
_INDIRECT = 0xFF
_WORD_BYTES = 8


class SourceMap:
    """The lines of the programs of one machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.lines: dict[bytes, LineTable | None] = {}

    def place_of(self, task: Task) -> str:
        """`file.c:12 (function)` of the innermost function of the program's own that `task` is in, "" if
        unknown.

        The stack is looked through for addresses to which a call returns: those of the C library have no
        lines.
        """
        program = task.mm.executable
        if not isinstance(program, Program):
            return ""
        root = self.machine.kernel.init_namespaces.mounts.root_path
        path = absolute_path(program.path, root)
        if path not in self.lines:
            self.lines[path] = self._read(path)
        table = self.lines[path]
        if table is None:
            return ""
        areas = [
            area
            for area in task.mm.areas
            if area.protection & PROT_EXEC and area.file is not None and area.file.inode is program.path.inode
        ]
        if not areas:
            return ""
        bias = table.bias(areas[0].start, areas[0].page_offset)
        registers = self.machine.kernel.registers_of(task).general
        found = table.place(registers[RIP] - bias)
        if found:
            return found
        stack = peek(task.mm, registers[RSP], _STACK_BYTES)
        for position in range(0, len(stack) - _WORD_BYTES + 1, _WORD_BYTES):
            address = int.from_bytes(stack[position : position + _WORD_BYTES], "little")
            if not any(area.start < address < area.end for area in areas):
                continue
            before = peek(task.mm, address - _CALL_BYTES, _CALL_BYTES)
            if len(before) == _CALL_BYTES and (before[2] == _NEAR_CALL or _INDIRECT in before[:6]):
                found = table.place(address - 1 - bias)
                if found:
                    return found
        return ""

    def _read(self, path: bytes) -> LineTable | None:
        try:
            import elftools  # noqa: F401 - whether it's there
        except ImportError:
            return None
        try:
            data = self.machine.read_file(path)
        except Errno:
            return None
        try:
            return LineTable(data)
        except Exception:  # noqa: BLE001 - of a program that makes no sense pyelftools raises anything
            return None


class LineTable:
    """The lines and functions of one program, by address."""

    def __init__(self, data: bytes) -> None:
        from elftools.elf.elffile import ELFFile

        elf: Any = ELFFile(BytesIO(data))
        self.segments = [
            (segment["p_offset"], segment["p_vaddr"])
            for segment in elf.iter_segments()
            if segment["p_type"] == "PT_LOAD" and segment["p_flags"] & 1
        ]
        self.rows: list[tuple[int, str]] = []
        if elf.has_dwarf_info():
            information = elf.get_dwarf_info()
            for unit in information.iter_CUs():
                self._add_lines(information.line_program_for_CU(unit))
        self.rows.sort()
        self.starts = [address for address, _ in self.rows]
        symbols = elf.get_section_by_name(".symtab")
        self.functions = sorted(
            (symbol["st_value"], symbol["st_size"], symbol.name)
            for symbol in (symbols.iter_symbols() if symbols is not None else ())
            if symbol["st_info"]["type"] == "STT_FUNC"
        )

    def _add_lines(self, program: Any) -> None:
        if program is None:
            return
        files = program["file_entry"]
        base = 0 if program.header.version >= 5 else 1
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            if state.end_sequence:
                self.rows.append((state.address, ""))
                continue
            index = state.file - base
            name = files[index].name.decode(errors="replace") if 0 <= index < len(files) else "?"
            self.rows.append((state.address, f"{name.rpartition('/')[2]}:{state.line}"))

    def bias(self, start: int, page_offset: int) -> int:
        """How far the program's addresses are from those in its file, an executable area being at `start`."""
        offset = page_offset << 12
        for file_offset, address in self.segments:
            if file_offset & ~0xFFF == offset:
                bias: int = start - (address & ~0xFFF)
                return bias
        return 0

    def place(self, address: int) -> str:
        """`file.c:12 (function)`, "" where no line is known."""
        at = bisect_right(self.starts, address) - 1
        if at < 0 or not self.rows[at][1]:
            return ""
        name = next((name for start, size, name in self.functions if start <= address < start + size), "")
        return f"{self.rows[at][1]} ({name})" if name else self.rows[at][1]
