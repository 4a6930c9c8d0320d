"""Measures each engine's speed beside native and, where it's installed, qemu-user: `python -m
bench.engines`.

The figures of the first table are processor time, of `procession run` and all that it made, less that of a
run of /bin/true in the same way: what the guest's work took. A round runs, in each column, /bin/true and the
command one right after the other, and their difference is what counts. Printed is the median of all rounds,
half of what the middle half of them spans, and how many times native's median it is. (The least of each, less
the least of the other, follows the host's speed, which changes from one minute to the next by more than a
short command takes.) `cold` has no kept code, and a third of the rounds; `warm` has what runs before kept.
`translated` is the native engine alone, `auto` what `procession run` takes: a large program needs no emulator
there, while /bin/true, which is taken off, opens it. `compiled` is `translated` by the compiled build
(docs/compiled.md), where there is one in build/compiled. gcc is its compiler proper, as qemu-user leaves what
a program executes to the host.

Those of the second table are microseconds by the host's clock, of one of what a program asks of the kernel.
It's the median of rounds too, of which each is the difference of many and of few.
With `translated` each starts on the host's processor; with `auto` it gets there if the engine finds so.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.guest.compile_c import Linkage, compile_program

BENCH = Path(__file__).resolve().parent
COMPILED = BENCH.parent / "build" / "compiled"
SOURCE = "{source}"
"""The file that `write_source` has written."""
WORK: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("bash, 100,000 loops", ("/bin/bash", "-c", "for ((i = 0; i < 100000; i++)); do :; done")),
    ("integer arithmetic", ("integer.c", "100")),
    ("memory walk", ("memory_walk.c", "100")),
    ("calls of functions", ("calls.c", "400")),
    ("python3, a million squares", ("/usr/bin/python3", "-S", "-c", "sum(i * i for i in range(10**6))")),
    ("python3 -S -c 'print(1)'", ("/usr/bin/python3", "-S", "-c", "print(1)")),
    ("gcc -O2 of 2,000 lines", ("cc1", "-quiet", "-O2", SOURCE, "-o", "/dev/null")),
)
NOTHING = ("/bin/true",)
COLD_EACH = 3
"""Of how many rounds one is without kept code as well: those take longest."""
OPERATIONS: tuple[tuple[str, str, tuple[int, int], float | None], ...] = (
    ("system call", "getpid.c", (1_000, 101_000), 1.5),
    ("first touch of a page", "first_touch.c", (100, 10_100), 12),
    ("switch to another process", "sched_yield.c", (1_000, 11_000), 5),
    ("signal to oneself, with a handler", "kill_self.c", (1_000, 11_000), None),
    ("fork, _exit and wait", "fork_exit.c", (50, 1_050), None),
)
"""What a program asks of the kernel: a program, how often it does that, and how many microseconds one may
take on the host's processor, with two cores of the host.
"""
_RUN = """import sys
import time
from procession import Machine
machine = Machine(engine=sys.argv[1])
start_ns = time.perf_counter_ns()
machine.run(sys.argv[2:])
print(time.perf_counter_ns() - start_ns)
machine.close()
"""

Command = Callable[[Sequence[str]], list[str]]


def python(*, is_compiled: bool) -> tuple[str, ...]:
    """The command that is Python, with the compiled build or without."""
    return ("/usr/bin/env", f"PYTHONPATH={COMPILED}", sys.executable) if is_compiled else (sys.executable,)


def processor_seconds(command: Sequence[str], cache_home: str) -> float:
    """User and system time of a command that must succeed. Raises RuntimeError."""
    environment = {**os.environ, "XDG_CACHE_HOME": cache_home}
    null = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1)]
    pid = os.posix_spawn(command[0], list(command), environment, file_actions=actions)
    os.close(null)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with status {status:#x}")
    return usage.ru_utime + usage.ru_stime


def commands() -> dict[str, Command]:
    """How each column runs a command."""

    def on(engine: str, *, is_compiled: bool = False) -> Command:
        run = (*python(is_compiled=is_compiled), "-m", "procession", "run", "--engine", engine, "--")
        return lambda command: [*run, *command]

    found: dict[str, Command] = {
        "native": list,
        "unicorn": on("unicorn"),
        "translated, cold": on("native"),
        "translated, warm": on("native"),
        "auto, cold": on("auto"),
        "auto, warm": on("auto"),
    }
    if COMPILED.is_dir():
        found["compiled, cold"] = found["compiled, warm"] = on("native", is_compiled=True)
    qemu = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if qemu is not None:
        found["qemu-user"] = lambda command: [qemu, *command]
    return found


def write_source(path: Path) -> None:
    """A file of 2,000 lines for the compiler."""
    lines = ["/* What the compiler is given to do. */", "extern int table[1000];"]
    for number in range(222):
        lines += [
            f"int function{number}(const int *from, int count)",
            "{",
            f"    int sum = {number};",
            "    for (int at = 0; at < count; at++) {",
            f"        sum += from[at] * {number + 3} ^ sum >> {number % 7 + 1};",
            f"        table[(unsigned)sum % {number + 7}u] = sum % {number + 2};",
            "    }",
            f"    return sum{f' + function{number - 1}(from + 1, count - 1)' if number else ''};",
            "}",
        ]
    path.write_text("\n".join(lines) + "\n")


def command_of(words: Sequence[str], source: Path) -> tuple[str, ...]:
    """The command that `words` of WORK stand for, its program compiled or found."""
    program, *arguments = words
    if program.endswith(".c"):
        program = str(compile_program(BENCH / program, Linkage.STATIC))
    elif program == "cc1":
        named = subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, check=True, text=True)
        program = named.stdout.strip()
    return program, *(str(source) if word == SOURCE else word for word in arguments)


class Spread(NamedTuple):
    """What several rounds found, in one unit: their median, and half of what their middle half spans."""

    median: float
    deviation: float


def spread(rounds: Sequence[float]) -> Spread:
    """The Spread of one round or more."""
    if len(rounds) == 1:
        return Spread(rounds[0], 0.0)
    first, _, third = statistics.quantiles(rounds, n=4, method="inclusive")
    return Spread(statistics.median(rounds), (third - first) / 2)


def measure(command: Sequence[str], columns: dict[str, Command], repetitions: int) -> dict[str, Spread]:
    """The processor time of each column, in seconds, less /bin/true's."""
    taken: dict[str, list[float]] = {name: [] for name in columns}
    # Each build has a translator of its own, which throws away what another's has kept.
    with tempfile.TemporaryDirectory() as interpreted, tempfile.TemporaryDirectory() as compiled:
        kept = {name: compiled if name.startswith("compiled") else interpreted for name in columns}
        for name, wrap in columns.items():
            if name.endswith("warm"):
                for first in (NOTHING, command):
                    processor_seconds(wrap(first), kept[name])
        for round_number in range(repetitions):
            for name, wrap in columns.items():
                if name.endswith("cold") and round_number % COLD_EACH:
                    continue
                seconds = []
                for each in (NOTHING, command):
                    with tempfile.TemporaryDirectory() as empty:
                        home = empty if name.endswith("cold") else kept[name]
                        seconds.append(processor_seconds(wrap(each), home))
                taken[name].append(seconds[1] - seconds[0])
    return {name: spread(rounds) for name, rounds in taken.items()}


def microseconds(
    program: str, counts: tuple[int, int], engine: str | None, repetitions: int, *, is_compiled: bool = False
) -> Spread:
    """What one operation takes of the host's time, natively if `engine` is None."""
    path = str(compile_program(BENCH / program, Linkage.STATIC))

    def once(count: int) -> float:
        if engine is None:
            start_ns = time.perf_counter_ns()
            subprocess.run([path, str(count)], check=True)
            return time.perf_counter_ns() - start_ns
        command = [*python(is_compiled=is_compiled), "-c", _RUN, engine, path, str(count)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    few, many = counts
    return spread([(once(many) - once(few)) / (many - few) / 1000 for _ in range(repetitions)])


def print_operations(only: str, repetitions: int) -> None:
    """Print the second table."""
    engines = {"native": None, "unicorn": "unicorn", "translated": "native", "auto": "auto"}
    if COMPILED.is_dir():
        engines["compiled"] = "native"
    print(f"{'microseconds of one':36}" + "".join(f"{name:>17}" for name in engines) + f"{'at most':>12}")
    for name, program, counts, bound in OPERATIONS:
        if only in name:
            cells = ""
            for column, engine in engines.items():
                is_compiled = column == "compiled"
                taken = microseconds(program, counts, engine, repetitions, is_compiled=is_compiled)
                cells += f"{taken.median:10.2f} ±{taken.deviation:5.2f}"
            at_most = f"{'-' if bound is None else bound:>12}"
            print(f"{name:36}{cells}{at_most}", flush=True)


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="bench.engines", description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9, metavar="N", help="rounds of each row")
    parser.add_argument("--only", metavar="TEXT", default="", help="rows whose name has this in it")
    options = parser.parse_args()
    columns = commands()
    print(f"{'seconds, and ratio to native':30}" + "".join(f"{name:>27}" for name in columns))
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "source.c"
        write_source(source)
        for name, words in WORK:
            if options.only not in name:
                continue
            work = measure(command_of(words, source), columns, options.repetitions)
            native = max(work["native"].median, 1e-4)
            cells = (f"{took:10.3f} ±{apart:6.3f}{took / native:7.1f}x" for took, apart in work.values())
            print(f"{name:30}" + "".join(cells), flush=True)
    print_operations(options.only, options.repetitions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
