"""Compiles a C program once for each content of it.

usage: python3 -m tests.guest.compile_c    all of this directory as the default check runs them
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from enum import Enum
from pathlib import Path

# Not optimised: the programs run for a moment, and to compile them takes twice as long otherwise.
FLAGS = ("-std=gnu17", "-O0", "-Wall", "-Wextra", "-Werror")
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "c"


class Linkage(Enum):
    """How a program gets the C library's code: from a shared library or within itself."""

    DYNAMIC = ()
    STATIC = ("-static",)


def is_static_to_be_had() -> bool:
    """Whether the compiler that `find_compiler` prefers has a static glibc."""
    return importlib.util.find_spec("ziglang") is None


@functools.cache
def find_compiler() -> tuple[str, ...]:
    """Return the command that compiles C, to which arguments like `-o FILE SOURCE` are added.

    `scripts/setup --compiler` installs the first one only where it can't have gcc. Raise
    FileNotFoundError when there is neither.
    """
    if not is_static_to_be_had():
        # By default it compiles for the host's processor, which has instructions that the guest's lacks,
        # and with a sanitizer that traps what C programs of the kernel's kind do.
        return (sys.executable, "-m", "ziglang", "cc", "-mcpu=x86_64", "-fno-sanitize=undefined")
    gcc = shutil.which("gcc")
    if gcc is None:
        raise FileNotFoundError("there is no C compiler: run scripts/setup --compiler")
    return (gcc,)


@functools.cache
def compiler_version() -> str:
    """Return what the compiler says of itself: another one makes other executables."""
    return subprocess.run([*find_compiler(), "--version"], check=True, capture_output=True, text=True).stdout


def compile_program(source: Path, linkage: Linkage) -> Path:
    """Compile and link `source`, unless that was done before, and return the executable's absolute path.

    Raise subprocess.CalledProcessError, after the compiler has printed why, for an error or a warning. Skip
    the test where the compiler can't link so.
    """
    if linkage is Linkage.STATIC and not is_static_to_be_had():
        import pytest

        pytest.skip("this compiler has no static glibc; gcc has")
    digest = digest_of(source)
    executable = CACHE / f"{source.stem}-{linkage.name.lower()}-{digest}"
    if not executable.exists():
        # The same object serves both linkages: what takes long is the compiler, not the linker.
        code = CACHE / f"{source.stem}-{digest}.o"
        if not code.exists():
            make(code, *FLAGS, "-fPIE", "-c", str(source))
        make(executable, *linkage.value, str(code))
    return executable


def digest_of(source: Path) -> str:
    """What an executable follows from: the compiler, its options, the source and all headers beside it."""
    content = hashlib.sha256(repr((compiler_version(), find_compiler(), FLAGS)).encode())
    for part in (source, *sorted(source.parent.glob("*.h"))):
        content.update(f"\0{part.name}\0".encode() + part.read_bytes())
    return content.hexdigest()[:16]


def make(target: Path, *arguments: str) -> None:
    """Run the compiler for `target`, which is there whole or not at all."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        unfinished = Path(scratch) / target.name
        subprocess.run([*find_compiler(), *arguments, "-o", str(unfinished)], check=True)
        unfinished.rename(target)


if __name__ == "__main__":
    for program in sorted(Path(__file__).parent.glob("*.c")):
        compile_program(program, Linkage.STATIC if is_static_to_be_had() else Linkage.DYNAMIC)
