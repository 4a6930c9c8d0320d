"""Builds wheels; with PROCESSION_COMPILE=1 in the environment the kernel's modules are compiled by mypyc."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import MethodType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PROJECT = Path(__file__).resolve().parent
FOLDER = PROJECT / "build" / "mypyc"
COMPILED_LAYERS = ("hardware", "mm", "fs", "net", "kernel", "procfs", "syscalls")
LEFT_INTERPRETED = frozenset(
    (
        # Structures of ctypes have a base class in C that mypyc can't name.
        "hardware/engines/unicorn_image.py",
        "hardware/engines/unicorn_library.py",
        # It's there to be interpreted.
        "hardware/breath.py",
        # No more than calls of `os`.
        "fs/host_source.py",
        # It asks classes for their attributes.
        "kernel/state_hash.py",
        # Decoders are made from annotations, by exec.
        "syscalls/__init__.py",
        "syscalls/declaration.py",
    )
)
_MAKERS_OF_VALUES = frozenset(("bytes", "frozenset", "int", "range", "tuple", "Words"))
_FUTURE = "from __future__ import annotations"
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*")


class CompiledBuild(BuildHookInterface[Any]):
    """Adds extension modules to a wheel when PROCESSION_COMPILE is 1; never to an editable installation."""

    def dependencies(self) -> list[str]:
        return ["mypy[mypyc]>=1.15", "setuptools"] if is_wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not is_wanted() or version == "editable":
            return
        # In a process of its own: setuptools changes how modules are found for good.
        subprocess.run([sys.executable, __file__, str(FOLDER)], check=True, stdin=subprocess.DEVNULL)
        libraries = FOLDER / "lib"
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for library in sorted(libraries.rglob("*.so")):
            build_data["force_include"][str(library)] = str(library.relative_to(libraries))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if is_wanted() and version != "editable":
            shutil.rmtree(FOLDER)


def is_wanted() -> bool:
    return os.environ.get("PROCESSION_COMPILE") == "1"


def modules_to_compile(source: Path) -> list[Path]:
    """The paths of the modules below `source`, relative to it."""
    package = source / "procession"
    found = [path for layer in COMPILED_LAYERS for path in sorted((package / layer).rglob("*.py"))]
    return [
        path.relative_to(source)
        for path in found
        if path.relative_to(package).as_posix() not in LEFT_INTERPRETED
    ]


def with_constants(text: str) -> str:
    """A module whose constants, which their names in capitals say they are, are declared Final, line by line.

    The compiler then puts their values where they're used, instead of a look-up in the module's dictionary.
    A name that is assigned twice is no constant.
    """
    tree = ast.parse(text)
    constants = constant_names(tree)
    lines = text.splitlines()
    has_constants = False
    for statement in tree.body:
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            continue
        target, value = statement.targets[0], statement.value
        first, end = statement.lineno - 1, statement.end_lineno or statement.lineno
        if isinstance(target, ast.Name) and target.id in constants and is_plain_value(value):
            lines[first] = lines[first].replace(target.id, f"{target.id}: Final", 1)
        elif (
            isinstance(target, ast.Tuple)
            and isinstance(value, ast.Tuple)
            and len(target.elts) == len(value.elts)
            and all(isinstance(name, ast.Name) and name.id in constants for name in target.elts)
        ):
            pairs = zip(target.elts, value.elts, strict=True)
            lines[first] = "; ".join(
                f"{ast.unparse(name)}: Final = {ast.unparse(item)}" for name, item in pairs
            )
            lines[first + 1 : end] = [""] * (end - first - 1)
        else:
            continue
        has_constants = True
    if has_constants and _FUTURE in lines:
        lines[lines.index(_FUTURE)] += "; from typing import Final"
    return "\n".join(lines) + "\n"


def with_annotations_told(text: str) -> str:
    """A module that declares its system calls at its end, with the annotations compiled handlers lack."""
    lines = text.splitlines()
    for function in ast.parse(text).body:
        if not isinstance(function, ast.FunctionDef):
            continue
        for decorator in function.decorator_list:
            if not (isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "syscall"):
                continue
            told = {
                argument.arg: ast.unparse(argument.annotation)
                for argument in function.args.args
                if argument.annotation is not None
            }
            if function.returns is not None:
                told["return"] = ast.unparse(function.returns)
            lines[decorator.lineno - 1] = ""
            lines.append(f"syscall({ast.unparse(decorator.args[0])}, {told!r})({function.name})")
    return "\n".join(lines) + "\n"


def constant_names(tree: ast.Module) -> set[str]:
    """The names in capitals that are assigned once in all of a module."""
    assigned: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            assigned.append(node.id)
        elif isinstance(node, ast.Global):
            assigned += node.names * 2
    return {name for name, count in Counter(assigned).items() if count == 1 and _CONSTANT.fullmatch(name)}


def is_plain_value(value: ast.expr) -> bool:
    """Whether an expression makes a value, not a type."""
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id in _MAKERS_OF_VALUES
    return isinstance(
        value, ast.Constant | ast.BinOp | ast.UnaryOp | ast.Tuple | ast.List | ast.Dict | ast.Set
    )


def prepare_sources(folder: Path) -> Path:
    """Copy the package below `folder` in the form in which it's compiled. The directory that it lies in."""
    source = folder / "src"
    original = PROJECT / "src"
    for path in sorted(original.rglob("*.py")):
        copy = source / path.relative_to(original)
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text()
        if path.parent.name == "syscalls":
            text = with_annotations_told(text)
        copy.write_text(with_constants(text))
    return source


def compile_modules(folder: Path) -> None:
    """Leave the extension modules below `folder`/lib."""
    shutil.rmtree(folder, ignore_errors=True)
    source = prepare_sources(folder)
    os.chdir(source)
    from multiprocessing.pool import ThreadPool

    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    def compile_at_once(
        self: Any,
        sources: list[str],
        output_dir: str | None = None,
        macros: Any = None,
        include_dirs: Any = None,
        debug: bool = False,
        extra_preargs: Any = None,
        extra_postargs: Any = None,
        depends: Any = None,
    ) -> list[str]:
        """As CCompiler.compile, with as many compilers as there are processors."""
        macros, objects, extra_postargs, options, build = self._setup_compile(
            output_dir, macros, include_dirs, sources, depends, extra_postargs
        )
        arguments = self._get_cc_args(options, debug, extra_preargs)

        def compile_one(name: str) -> None:
            self._compile(name, *build[name], arguments, extra_postargs, options)

        with ThreadPool(len(os.sched_getaffinity(0))) as pool:
            pool.map(compile_one, objects, chunksize=1)
        return list(objects)

    class BuildAtOnce(build_ext):  # type: ignore[misc]
        """What makes the compiler says of which class it is: there are two of the same name."""

        def build_extensions(self) -> None:
            self.compiler.compile = MethodType(compile_at_once, self.compiler)
            super().build_extensions()

    extensions = mypycify(
        ["--config-file=", "--python-version=3.11", *map(str, modules_to_compile(source))],
        opt_level="2",
        debug_level="0",
        multi_file=True,
        group_name="procession",
        target_dir=str(folder / "c"),
    )
    distribution = Distribution({"name": "procession", "ext_modules": extensions})
    command = BuildAtOnce(distribution)
    command.build_lib = str(folder / "lib")
    command.build_temp = str(folder / "objects")
    # Each module has an extension of its own as well, of one small file.
    command.parallel = len(os.sched_getaffinity(0))
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    compile_modules(Path(sys.argv[1]))
