"""Measures Procession beside the host's Linux and compares both with the targets."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parent
# For `python bench/run.py`, which doesn't look for packages in the project's directory.
sys.path.insert(0, str(BENCH.parent))

from bench.container_rows import CONTAINER_ROWS  # noqa: E402
from bench.ipc_rows import IPC_ROWS  # noqa: E402
from bench.rows import ROWS, Row, Target  # noqa: E402
from procession import is_compiled  # noqa: E402
from tests.guest.compile_c import Linkage, compile_program  # noqa: E402
from tests.programs.native_linux import NativeLinux  # noqa: E402

TIMEOUT_S = 120
DEFAULT_REPETITIONS = 5
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
UNITS = {"us": 1e6, "ms": 1e3, "s": 1.0}
THROUGHPUT = "MiB/s"
# Each table's name is that of all its rows for --only.
TABLES = {"kernel": ROWS, "ipc": IPC_ROWS, "containers": CONTAINER_ROWS}


class MeasurementError(Exception):
    """A program could not be measured; the message says why."""


@dataclass(slots=True)
class Outcome:
    """What was measured for one row: seconds for each repetition, and why there are none.

    With `is_judged` false the counts were too small for the figures to mean anything.
    """

    row: Row
    is_judged: bool = True
    native: list[float] = field(default_factory=list)
    procession: list[float] = field(default_factory=list)
    native_failure: str | None = None
    failure: str | None = None

    @property
    def native_s(self) -> float | None:
        """The median of the native times, in seconds."""
        return statistics.median(self.native) if self.native else None

    @property
    def procession_s(self) -> float | None:
        """The median of Procession's times, in seconds."""
        return statistics.median(self.procession) if self.procession else None

    @property
    def ratio(self) -> float | None:
        """How many times longer Procession takes."""
        if self.native_s is None or self.procession_s is None or min(self.native_s, self.procession_s) <= 0:
            return None
        return self.procession_s / self.native_s

    def reaches(self, limit: float | None) -> bool | None:
        """Whether a limit of the target's kind is met; None when that isn't known."""
        target = self.row.target
        if target is None or limit is None:
            return None
        value = self.ratio if target.is_ratio else self.procession_s
        if value is None or value <= 0 or not self.is_judged:
            return None
        return value <= limit

    def as_json(self) -> dict[str, Any]:
        """Return the row for the JSON file: times in seconds."""
        target = self.row.target
        return {
            "name": self.row.name,
            "title": self.row.title,
            "per": self.row.per,
            "native_s": self.native_s,
            "procession_s": self.procession_s,
            "ratio": self.ratio,
            "samples": {"native_s": self.native, "procession_s": self.procession},
            "target": None if target is None else asdict(target),
            "is_met": None if target is None else self.reaches(target.limit),
            "is_later_met": None if target is None else self.reaches(target.later),
            "native_failure": self.native_failure,
            "failure": self.failure,
        }


def last_line(text: str) -> str:
    """Return the last line that isn't empty, which of a traceback is the exception."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


def finished(command: list[str], environment: dict[str, str] | None) -> subprocess.CompletedProcess[str]:
    """Run a command of the host to its end. Raise MeasurementError when it takes too long or isn't there."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"took longer than {TIMEOUT_S} s") from None
    except OSError as error:
        raise MeasurementError(str(error)) from None


def host_seconds(command: list[str], environment: dict[str, str] | None) -> float:
    """Return how long a command of the host takes. Raise MeasurementError when it fails."""
    start_ns = time.perf_counter_ns()
    result = finished(command, environment)
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    if result.returncode != 0:
        raise MeasurementError(f"status {result.returncode}: {last_line(result.stderr)}")
    return seconds


def native_seconds(command: list[str]) -> float:
    """Return how long the command takes on the host's Linux."""
    return host_seconds(command, ENVIRONMENT)


def find_tree(name: str) -> Path:
    """Return the root of the tree that `scripts/guest-root` builds under this name.

    Raise MeasurementError.
    """
    command = [sys.executable, str(BENCH.parent / "scripts" / "guest-root"), "--tree", name]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise MeasurementError(last_line(result.stderr))
    return Path(result.stdout.strip())


def native_tree_seconds(tree: Path, command: list[str]) -> float:
    """Return how long the command takes on the host's Linux, in namespaces over the tree.

    Raise MeasurementError where the host lets nobody make them.
    """
    with tempfile.TemporaryDirectory() as place:
        linux = NativeLinux(tree, Path(place))
        reason = linux.why_not()
        if reason:
            raise MeasurementError(f"the host doesn't run programs of another tree: {reason}")
        return host_seconds(linux.command(command), ENVIRONMENT)


def machine_seconds(command: list[str], root: Path = Path("/")) -> float:
    """Return how long a machine takes that runs the command over `root`, by the host's clock.

    Each machine has a process of its own, in which only the machine's making and running is timed: so no
    measurement warms, fills or stops another.
    """
    result = finished([sys.executable, str(BENCH / "measure.py"), str(root), *command], None)
    if result.returncode != 0:
        raise MeasurementError(last_line(result.stderr))
    report = json.loads(result.stdout)
    if report["status"] != 0:
        raise MeasurementError(f"status {report['status']}: {last_line(report['errors'])}")
    return float(report["seconds"])


def tool_seconds(command: list[str]) -> float:
    """Return how long the command line tool takes to run the command, its own start included."""
    tool = Path(sys.executable).with_name("procession")
    start = [str(tool)] if tool.exists() else [sys.executable, "-m", "procession"]
    return host_seconds([*start, "run", "--", *command], None)


def command_of(row: Row, count: int) -> list[str]:
    """Return the command line that does the row's work `count` times, its program compiled."""
    first, *rest = (word.replace("{count}", str(count)) for word in row.command)
    if first.endswith(".c"):
        try:
            first = str(compile_program(BENCH / first, Linkage.DYNAMIC if row.is_dynamic else Linkage.STATIC))
        except (OSError, subprocess.CalledProcessError) as error:
            raise MeasurementError(f"cannot compile {first}: {error}") from None
    return [first, *rest]


def sample(row: Row, counts: tuple[int, int], seconds: Callable[[list[str]], float]) -> float:
    """Return the time of `per` counts in seconds, without what a program's start takes."""
    if row.is_whole_command:
        return seconds(command_of(row, 0))
    if row.baseline is not None:
        base_s = seconds(list(row.baseline))
        return seconds(command_of(row, 0)) - base_s
    small, large = counts
    small_s = seconds(command_of(row, small))
    return (seconds(command_of(row, large)) - small_s) / (large - small) * row.per


def measure(row: Row, repetitions: int, *, is_judged: bool = True) -> Outcome:
    """Measure a row natively and in Procession by turns, so that both meet the same noise."""
    outcome = Outcome(row, is_judged)
    natively: Callable[[list[str]], float] = native_seconds
    ours: Callable[[list[str]], float] = tool_seconds if row.is_whole_command else machine_seconds
    if row.tree is not None:
        try:
            tree = find_tree(row.tree)
        except MeasurementError as error:
            outcome.native_failure = outcome.failure = str(error)
            return outcome
        natively, ours = partial(native_tree_seconds, tree), partial(machine_seconds, root=tree)
    for _ in range(repetitions):
        if outcome.native_failure is None:
            try:
                outcome.native.append(sample(row, row.native_counts, natively))
            except MeasurementError as error:
                outcome.native_failure = str(error)
        if outcome.failure is None:
            try:
                outcome.procession.append(sample(row, row.counts, ours))
            except MeasurementError as error:
                outcome.failure = str(error)
    if outcome.native_failure is not None:
        outcome.native.clear()
    if outcome.failure is not None:
        outcome.procession.clear()
    return outcome


def quick(row: Row) -> Row:
    """Return the row with counts that only show that its program works."""
    return replace(row, native_counts=(2, 4), counts=(2, 4))


def cpu_model() -> str:
    """Return the processor's name as /proc/cpuinfo gives it, or as Python knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def version_of(distribution: str) -> str | None:
    """Return the installed version of a Python package, None if there is none."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def host_data() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "unicorn": version_of("unicorn"),
        "procession": f"{version_of('procession')}{' (compiled)' if is_compiled() else ''}",
    }


def show_time(seconds: float | None, unit: str) -> str:
    """Return a time for the table, or the throughput if the time is that of one MiB."""
    if seconds is None:
        return "failed"
    if unit == THROUGHPUT:
        return f"{1 / seconds:.0f} {unit}" if seconds > 0 else "-"
    return f"{seconds * UNITS[unit]:.2f} {unit}"


def show_target(target: Target | None, unit: str) -> str:
    """Return a target for the table: first this one, later that one."""
    if target is None:
        return "-"
    limits = [target.limit] if target.later is None else [target.limit, target.later]
    if target.is_ratio:
        return ", ".join(f"{limit:g}x" for limit in limits)
    if unit == THROUGHPUT:
        return ", ".join(f"{1 / limit:g} {unit}" for limit in limits)
    return ", ".join(f"{limit * UNITS[unit]:g} {unit}" for limit in limits)


def show_met(outcome: Outcome) -> str:
    """Return whether the target is met, for the table."""
    target = outcome.row.target
    is_met = None if target is None else outcome.reaches(target.limit)
    if target is None or is_met is None:
        return "-"
    if outcome.reaches(target.later):
        return "yes, both"
    return "yes" if is_met else "no"


def line_of(outcome: Outcome) -> str:
    """Return the table's line of a row, and why it failed below it."""
    row, ratio = outcome.row, outcome.ratio
    cells = (
        f"{row.title:<47}",
        f"{show_time(outcome.native_s, row.unit):>12}",
        f"{show_time(outcome.procession_s, row.unit):>14}",
        f"{'-' if ratio is None else f'{ratio:.2f}x':>9}",
        f"{show_target(row.target, row.unit):>14}",
        show_met(outcome),
    )
    reasons = {"natively": outcome.native_failure, "in Procession": outcome.failure}
    failures = [f"\n    failed {where}: {reason}" for where, reason in reasons.items() if reason is not None]
    return "  ".join(cells) + "".join(failures)


def heading_of(table: str) -> str:
    """Return the line above a table."""
    return f"{table:<47}  {'native':>12}  {'Procession':>14}  {'ratio':>9}  {'target':>14}  met"


def chosen(only: list[str] | None) -> dict[str, list[Row]]:
    """Return the tables with the rows that were asked for, by their names or their table's; None is all."""
    tables = {}
    for table, rows in TABLES.items():
        kept = [row for row in rows if only is None or table in only or row.name in only]
        if kept:
            tables[table] = kept
    return tables


def main() -> int:
    """Measure and print; return 1 when a row's program could not run."""
    names = [*TABLES, *(row.name for rows in TABLES.values() for row in rows)]
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--repetitions", type=int, default=DEFAULT_REPETITIONS, metavar="N")
    parser.add_argument("--quick", action="store_true", help="run every program once, without useful figures")
    options = parser.parse_args()
    repetitions = 1 if options.quick else max(1, options.repetitions)
    host = host_data()
    print(", ".join(f"{name} {value}" for name, value in host.items()))
    outcomes = []
    for table, rows in chosen(options.only).items():
        print(heading_of(table), flush=True)
        for row in rows:
            measured = quick(row) if options.quick else row
            outcomes.append(measure(measured, repetitions, is_judged=not options.quick))
            print(line_of(outcomes[-1]), flush=True)
    if options.json is not None:
        report = {
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "host": host,
            "repetitions": repetitions,
            "is_quick": options.quick,
            "rows": [outcome.as_json() for outcome in outcomes],
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    return int(any(outcome.failure or outcome.native_failure for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
