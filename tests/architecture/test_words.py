"""Checks that numbers become bytes in `abi.word` alone, and that registers are set modulo their width."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.sources import nodes, sources

UNPACKING = {"unpack", "unpack_from", "iter_unpack"}
# What knows of machine code and of the library's state, in which there are no numbers of a guest; and the
# state hash, which recognises formats.
MAY_USE_STRUCT = {
    "abi/word.py",
    "hardware/engines/unicorn_floating.py",
    "hardware/engines/unicorn_machine_code.py",
    "hardware/engines/unicorn_state.py",
    "hardware/extended_state.py",
    "kernel/program/vdso.py",
    "kernel/state_hash.py",
    "snapshot/shape.py",
}
MASKS = {"_MASK", "WORD_MASK"}
LARGEST_UNMASKED = "_LAST_USER_ADDRESS"
REGISTER_FILES = {"general", "registers"}


def packing(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a module makes bytes of numbers by itself: line and what is used."""
    for plain in nodes(tree, ast.Import):
        yield from ((plain.lineno, "import struct") for name in plain.names if name.name == "struct")
    for chosen in nodes(tree, ast.ImportFrom):
        if chosen.module == "struct":
            yield from ((chosen.lineno, name.name) for name in chosen.names if name.name not in UNPACKING)
    for call in nodes(tree, ast.Call):
        function = call.func
        if isinstance(function, ast.Attribute) and function.attr == "to_bytes":
            yield call.lineno, "to_bytes"
        elif isinstance(function, ast.Name) and function.id in ("bytes", "bytearray") and call.args:
            items = call.args[0]
            if isinstance(items, ast.Tuple | ast.List) and not all(map(is_constant, items.elts)):
                yield call.lineno, f"{function.id} of a computed number"


def is_constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) or (isinstance(node, ast.Name) and node.id.isupper())


def register_stores(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a register is set by itself, with a value that isn't masked."""
    for store in nodes(tree, ast.Assign):
        for target in store.targets:
            for part in ast.walk(target):
                if is_register(part) and not (part is target and is_masked(store.value)):
                    yield store.lineno, ast.unparse(store)
    for change in nodes(tree, ast.AugAssign):
        if any(map(is_register, ast.walk(change.target))):
            yield change.lineno, ast.unparse(change)


def is_register(node: ast.AST) -> bool:
    if not isinstance(node, ast.Subscript):
        return False
    base = node.value
    name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
    return name in REGISTER_FILES


def is_masked(value: ast.expr) -> bool:
    if isinstance(value, ast.IfExp):
        # What lies between zero and an address needs no mask.
        test = ast.unparse(value.test)
        return test == f"0 <= {ast.unparse(value.body)} <= {LARGEST_UNMASKED}" and is_masked(value.orelse)
    return (
        isinstance(value, ast.BinOp)
        and isinstance(value.op, ast.BitAnd)
        and isinstance(value.right, ast.Name)
        and value.right.id in MASKS
    )


def test_one_module_packs_numbers() -> None:
    found = [
        f"{name}:{line}: {what}"
        for name, _, tree in sources()
        if name not in MAY_USE_STRUCT
        for line, what in packing(tree)
    ]
    assert not found, "\n".join(found)


def test_registers_are_set_modulo_their_width() -> None:
    found = [
        f"{name}:{line}: {what}"
        for name, _, tree in sources()
        if not name.startswith("hardware/engines/")
        for line, what in register_stores(tree)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "from struct import pack",
        "from struct import Struct, unpack",
        "import struct",
        "data = number.to_bytes(4, 'little')",
        "data = bytes((number,))",
        "data = bytearray([FIRST, second])",
    ],
)
def test_packing_is_noticed(text: str) -> None:
    assert list(packing(ast.parse(text)))


@pytest.mark.parametrize(
    "text", ["from struct import unpack", "data = bytes((1, SECOND))", "data = bytes(4)"]
)
def test_other_things_may_be_done(text: str) -> None:
    assert not list(packing(ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        "general[RIP] -= 2",
        "registers[RAX] = result",
        "task.registers.general[RAX] = result",
        "general[RAX], general[RIP] = result, address",
        "registers[RAX] = result & mask",
        "registers[RAX] = result if 0 <= other <= _LAST_USER_ADDRESS else result & WORD_MASK",
        "registers[RAX] = result if 0 <= result else result & WORD_MASK",
        "registers[RAX] = result if 0 <= result <= _LAST_USER_ADDRESS else result",
    ],
)
def test_stores_are_noticed(text: str) -> None:
    assert list(register_stores(ast.parse(text)))
    assert not list(register_stores(ast.parse("registers[RAX] = result & _MASK")))
