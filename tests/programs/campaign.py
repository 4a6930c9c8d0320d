"""A campaign of fuzzers: `python -m tests.programs.campaign KIND SEEDS FIRST_SEED [GUEST_ROOT]`.

KIND is calls, large, frames, code or files. Says for each seed how much was tried, prints what is raised with
its seed, and goes on; the last line is how much was tried in all, and how many seeds raised something.
"""

from __future__ import annotations

import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import procession
from tests.guest.compile_c import Linkage, compile_program
from tests.programs import test_fuzz_calls, test_fuzz_frames, test_malformed_elf, test_random_code
from tests.programs.elf_case import elf

FILES_AT_ONCE = 50
PATIENCE_S = 240
"""How long a seed may take, twice what its machine may: no call of a guest's takes the machine for good."""
PROGRAMS = ("true", "echo", "ldd", "../lib64/ld-linux-x86-64.so.2")


def try_calls(seed: int) -> int:
    program = compile_program(test_fuzz_calls.SOURCE, Linkage.DYNAMIC)
    return test_fuzz_calls.fuzz_calls(program, seed, 20, 2000)


def try_large(seed: int) -> int:
    program = compile_program(test_fuzz_calls.SOURCE, Linkage.DYNAMIC)
    return test_fuzz_calls.fuzz_calls(program, seed, 20, 600, is_large=True)


def try_frames(seed: int) -> int:
    program = compile_program(test_fuzz_frames.SOURCE, Linkage.DYNAMIC)
    return test_fuzz_frames.fuzz_frames(program, seed, 100, 200)


def try_code(seed: int) -> int:
    program = compile_program(test_random_code.SOURCE, Linkage.DYNAMIC)
    test_random_code.execute(program, seed, 2 * test_random_code.COUNT)
    return 2 * test_random_code.COUNT


def try_files(seed: int) -> int:
    """Mutated programs: mostly their headers."""
    choice = random.Random(seed)
    tree = Path(sys.argv[4])
    contents = (tree / "usr/bin" / choice.choice(PROGRAMS)).read_bytes() if seed % 3 else elf()
    cases: dict[str, bytes] = {}
    for index in range(FILES_AT_ONCE):
        changes = [
            (choice.randrange(64 + 56 * 3 if choice.random() < 0.7 else 1 << 16), choice.randrange(256))
            for _ in range(choice.randint(1, 4))
        ]
        cases[f"flip-{index:03}"] = test_malformed_elf.flipped(contents, changes)
    test_malformed_elf.run_all(tree, cases)
    return FILES_AT_ONCE


KINDS: dict[str, Callable[[int], int]] = {
    "calls": try_calls,
    "large": try_large,
    "frames": try_frames,
    "code": try_code,
    "files": try_files,
}


def interrupt(_number: int, _frame: object) -> None:
    raise TimeoutError(f"a seed takes more than {PATIENCE_S} s")


def main() -> int:
    """Try seed after seed."""
    attempt, count, first = KINDS[sys.argv[1]], int(sys.argv[2]), int(sys.argv[3])
    print(
        f"procession in {Path(procession.__file__).parent}, compiled: {procession.is_compiled()}", flush=True
    )
    tried, raised = 0, 0
    signal.signal(signal.SIGALRM, interrupt)
    for seed in range(first, first + count):
        start = time.monotonic()
        signal.alarm(PATIENCE_S)
        try:
            done = attempt(seed)
        except Exception:  # noqa: BLE001
            traceback.print_exc(file=sys.stdout)
            raised += 1
            done = 0
        tried += done
        print(f"seed {seed}: {done}, {time.monotonic() - start:.1f} s; {tried} in all", flush=True)
    print(f"{tried} tried with {count} seeds, {raised} of which raised something")
    return raised != 0


if __name__ == "__main__":
    sys.exit(main())
