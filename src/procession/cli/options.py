"""The options that commands of `procession` have, and what their values may be."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from procession.cli.values import parse_copy, parse_date, parse_volume
from procession.snapshot.settings import LARGEST_MEMORY

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

TRACE_TO_STDERR = "-"
SMALLEST_MEMORY = 16 << 20
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def memory_size(value: str) -> int:
    """The bytes that `value` stands for: `268435456`, `256M`, `1G`. Raises click.BadParameter."""
    digits = value.upper().removesuffix("IB").removesuffix("B")
    unit = digits[-1:] if digits[-1:] in UNITS else ""
    digits = digits.removesuffix(unit)
    if not (digits.isascii() and digits.isdigit()):
        raise click.BadParameter(f"'{value}' isn't a size such as 256M or 1G")
    size = int(digits) * UNITS[unit] if len(digits) < 20 else LARGEST_MEMORY + 1
    if not SMALLEST_MEMORY <= size <= LARGEST_MEMORY:
        raise click.BadParameter(f"'{value}' isn't between 16M and 1024G")
    return size


class Seconds(click.FloatRange):
    """A length of time: more than nothing, and not for ever."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Raises click.BadParameter."""
        try:
            float(value)
        except ValueError:
            raise click.BadParameter(f"'{value}' isn't a number of seconds", ctx, param) from None
        seconds: float = super().convert(value, param, ctx)
        if not 0 < seconds < float("inf"):
            raise click.BadParameter(f"'{value}' isn't a number of seconds", ctx, param)
        return seconds


class Parsed(click.ParamType[Any]):
    """A value that `parse` understands, or says why not."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self.parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """What `parse` makes of it. Raises click.BadParameter."""
        try:
            return self.parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None


def complete_files(_context: click.Context, _parameter: click.Parameter, start: str) -> list[CompletionItem]:
    """Let the shell complete a word as the name of a file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(start, type="file")]


def check_command(ctx: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """A command is needed unless there may be one in an image. Raises click.MissingParameter."""
    if not value and ctx.params.get("image") is None and not ctx.resilient_parsing:
        raise click.MissingParameter(ctx=ctx, param=parameter)
    return value


MACHINE_OPTIONS = (
    click.option(
        "--rootfs",
        metavar="DIR",
        shell_complete=complete_files,
        help="The tree that the program sees as /. [default: the host's /]",
    ),
    click.option(
        "--image",
        metavar="PATH[:NAME]",
        shell_complete=complete_files,
        help="Run a container image: an OCI layout or what `docker save` writes, with its own entrypoint, "
        "arguments, variables, user and directory; as PID 1 unless --no-pid1 is given.",
    ),
    click.option(
        "--entrypoint", metavar="CMD", help="With --image: instead of the image's entrypoint and arguments."
    ),
    click.option("--seed", type=int, default=0, metavar="N", help="Decides everything that chance decides."),
    click.option(
        "--engine",
        type=click.Choice(("auto", "unicorn", "native")),
        default="auto",
        help="What runs the programs' code: an emulator, the host's processor for code that was translated, "
        "or of these two the one that is faster for each program.",
    ),
    click.option(
        "-i", "--interactive", "has_keyboard", is_flag=True, help="With -t: type into the program's terminal."
    ),
    click.option(
        "-t", "--tty", "has_terminal", is_flag=True, help="Give the program a terminal, joined to this one."
    ),
    click.option(
        "--realtime",
        "is_paced",
        is_flag=True,
        help="Let time pass as it does outside. [default: only with -t]",
    ),
    click.option(
        "--pid1/--no-pid1",
        "is_pid1",
        default=None,
        help="Make the program PID 1, as a container's entrypoint is. [default: with --image]",
    ),
    click.option(
        "--env",
        "environment",
        multiple=True,
        metavar="K=V",
        help="Set a variable; `--env K` passes the host's on.",
    ),
    click.option(
        "--env-file",
        "environment_files",
        multiple=True,
        metavar="FILE",
        shell_complete=complete_files,
        help="Set the variables of a file's lines K=V.",
    ),
    click.option(
        "--cwd",
        "directory",
        metavar="DIR",
        shell_complete=complete_files,
        help="Where the program starts. [default: here, or the root of --rootfs]",
    ),
    click.option(
        "--volume",
        "volumes",
        multiple=True,
        type=Parsed("volume", parse_volume),
        metavar="HOST:GUEST[:ro]",
        help="Show a directory at GUEST; what the program changes there is written to it at the end.",
    ),
    click.option(
        "--copy-out",
        "copies",
        multiple=True,
        type=Parsed("copy", parse_copy),
        metavar="GUEST:HOST",
        help="Copy a file or directory of the guest out at the end.",
    ),
    click.option(
        "--save-changes",
        "layer_file",
        metavar="FILE.tar",
        shell_complete=complete_files,
        help="Write what the program changed in / as a layer with whiteouts.",
    ),
    click.option(
        "--user", metavar="USER[:GROUP]", help="Who the program runs as, by the guest's names or ids."
    ),
    click.option("--hostname", metavar="NAME", help="What the machine calls itself. [default: procession]"),
    click.option(
        "--cpus",
        "cpu_count",
        type=click.IntRange(1, 64),
        metavar="N",
        help="How many processors. [default: 1]",
    ),
    click.option(
        "--pids-max",
        "task_limit",
        type=click.IntRange(min=2),
        metavar="N",
        help="How many processes and threads there may be at once.",
    ),
    click.option(
        "--memory",
        "memory_bytes",
        type=memory_size,
        metavar="SIZE",
        help="The machine's memory. [default: 1G]",
    ),
    click.option(
        "--time-limit",
        "time_limit_s",
        type=Seconds(min=0, min_open=True),
        metavar="S",
        help="End the machine after S seconds of its virtual time.",
    ),
    click.option(
        "--wall-limit",
        "wall_limit_s",
        type=Seconds(min=0, min_open=True),
        metavar="S",
        help="End the machine after S seconds of your time.",
    ),
    click.option(
        "--date",
        "epoch_ns",
        type=Parsed("date", parse_date),
        metavar="DATE",
        help="When the machine's life begins: ISO 8601, @SECONDS or now. [default: 2030-01-01]",
    ),
    click.option(
        "--progress/--no-progress",
        "shows_progress",
        default=None,
        help="Show how far a long run is. [default: if stderr is a terminal]",
    ),
    click.option(
        "--record",
        "record_file",
        metavar="FILE",
        shell_complete=complete_files,
        help="Write the run to FILE, from which `procession replay` runs it again.",
    ),
    click.option(
        "--gdb",
        "debugger_port",
        type=click.IntRange(1, 65535),
        metavar="PORT",
        help="Wait for a debugger on the loopback, which can go back too: gdb's `target remote :PORT`.",
    ),
    click.option("--bundle", "is_bundle", is_flag=True, help="Put the files that were read into --record."),
    click.argument(
        "command",
        nargs=-1,
        callback=check_command,
        type=click.UNPROCESSED,
        metavar="-- CMD ARG...",
        shell_complete=complete_files,
    ),
)
"""What `run` and `trace` have in common, in the order of their help; each sets an attribute of RunOptions."""


def with_machine_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command MACHINE_OPTIONS."""
    for option in reversed(MACHINE_OPTIONS):
        function = option(function)
    return function


def comma_separated(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """What an option that may be given several times lists, separated by commas."""
    return tuple(name for value in values for name in value.split(",") if name)


def call_lists(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Names of calls and families as strace's -e takes them: `trace=` may stand in front, and a `!` there
    is for all that follow.
    """
    names: list[str] = []
    for value in values:
        text = value.removeprefix("trace=")
        mark = "!" if text.startswith("!") else ""
        names += [mark + name.removeprefix(mark) for name in text.split(",") if name]
    return tuple(names)


TRACE_OPTIONS = (
    click.option(
        "-o",
        "--output",
        "file_name",
        default=TRACE_TO_STDERR,
        metavar="FILE",
        shell_complete=complete_files,
        help="Where the trace goes. [default: stderr]",
    ),
    click.option(
        "-e",
        "--calls",
        multiple=True,
        callback=call_lists,
        metavar="[trace=]LIST",
        help="Only these system calls, or families such as %file; or, after a !, all but these.",
    ),
    click.option(
        "-f",
        "--follow",
        is_flag=True,
        expose_value=False,
        help="As strace's -f, which always holds: every process is traced.",
    ),
    click.option("--pid", "pids", multiple=True, type=int, metavar="N", help="Only what process N does."),
    click.option(
        "--path", "paths", multiple=True, metavar="PATH", help="Only calls about what is below PATH."
    ),
    click.option(
        "--outcome",
        "outcomes",
        multiple=True,
        callback=comma_separated,
        metavar="LIST",
        help="Only calls that ended so: ok, failed, or errors such as ENOENT.",
    ),
    click.option("--time", "shows_times", is_flag=True, help="Begin lines with the guest's time."),
    click.option("-T", "--durations", "shows_durations", is_flag=True, help="Say how long each call took."),
    click.option("-y", "--names", "shows_names", is_flag=True, help="Say what descriptors have open."),
    click.option(
        "-k",
        "--stack-traces",
        "shows_stacks",
        is_flag=True,
        help="Say after each call and signal in which functions it was.",
    ),
    click.option(
        "-c", "--summary", "is_summary", is_flag=True, help="Only count the calls: a table at the end."
    ),
    click.option(
        "--json",
        "is_json",
        is_flag=True,
        help="All events, or the chosen calls alone, as JSON, an object a line.",
    ),
    click.option(
        "--graph",
        multiple=True,
        callback=comma_separated,
        metavar="LIST",
        help="Show these as trees of the kernel's functions: fork, exec, exit, wait, signal, fault, "
        "switch, or any system call.",
    ),
    click.option("--depth", type=click.IntRange(min=1), metavar="N", help="With --graph: so many levels."),
    click.option(
        "--all-functions", is_flag=True, help="With --graph: those without a counterpart in Linux too."
    ),
    click.option(
        "--no-host-time", is_flag=True, help="With --graph: leave out the times that differ from run to run."
    ),
    click.option("--states", "shows_states", is_flag=True, help="Show the states of each task at the end."),
    click.option(
        "--export",
        "exports",
        multiple=True,
        metavar="WHAT=FILE",
        help="Write at the end: perfetto=FILE, events=FILE.csv or .sqlite, states=FILE or processes=FILE, in "
        ".mmd for Mermaid or .dot for Graphviz.",
    ),
)
"""What is shown of a run; each is a field of TraceOptions."""


def with_trace_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command TRACE_OPTIONS."""
    for option in reversed(TRACE_OPTIONS):
        function = option(function)
    return function


EXPLORE_OPTIONS = (
    click.option(
        "--preemptions",
        default="2",
        metavar="N",
        help="Up to how many times a schedule interrupts a task that could go on: first never, then once ... "
        "`all` for any number. [default: 2]",
    ),
    click.option(
        "--branch",
        "branches",
        multiple=True,
        callback=comma_separated,
        metavar="LIST",
        help="What is branched over: next-task, signal, wake-order, memory, timer, faults. "
        "[default: the first 3]",
    ),
    click.option(
        "--faults",
        "has_faults",
        is_flag=True,
        help="Branch over failures that Linux permits too: short transfers, EINTR, EAGAIN of fork, ENOMEM.",
    ),
    click.option(
        "--oracle",
        "oracles",
        multiple=True,
        callback=comma_separated,
        metavar="LIST",
        help="What counts as wrong: status, output, deadlock, endless, crash, lost-sigchld; and survivors, "
        "zombies, orphans, leak, stale-pid, stale-descriptor, data-race, unsafe-handler, or all. "
        "[default: the first six]",
    ),
    click.option(
        "--expect-status", "expected_status", type=int, metavar="N", help="Not the first run's status, but N."
    ),
    click.option(
        "--expect-output", "expected_output", metavar="TEXT", help="Not the first run's output, but TEXT."
    ),
    click.option(
        "--strategy",
        type=click.Choice(["search", "pct", "random"]),
        default="search",
        help="Search all, or make runs by chance: by priorities (PCT) or uniformly. [default: search]",
    ),
    click.option(
        "--reduction",
        type=click.Choice(["states", "partial-order", "none"]),
        default="states",
        help="Leave out schedules that differ in the order of independent steps alone, and with a bound "
        "those that come to a state from which all was tried; the former alone; or none. [default: states]",
    ),
    click.option(
        "--runs", type=click.IntRange(min=1), default=1000, metavar="N", help="So many runs by chance."
    ),
    click.option(
        "--depth",
        type=click.IntRange(min=1),
        default=3,
        metavar="D",
        help="With pct: bugs of D orders. [default: 3]",
    ),
    click.option("--schedule-limit", type=click.IntRange(min=1), metavar="N", help="End after N schedules."),
    click.option(
        "--wall-limit",
        "wall_limit_s",
        type=Seconds(min=0, min_open=True),
        metavar="S",
        help="End after S seconds.",
    ),
    click.option(
        "--jobs",
        type=click.IntRange(min=1),
        default=1,
        metavar="N",
        help="Search in N processes. [default: 1]",
    ),
    click.option("--dask", metavar="ADDRESS", help="Search on the workers of a Dask cluster."),
    click.option(
        "--state",
        "state_file",
        metavar="FILE",
        shell_complete=complete_files,
        help="Keep the state of the search in FILE (SQLite), and go on from what is there.",
    ),
    click.option("--all", "finds_all", is_flag=True, help="Go on after the first finding."),
    click.option(
        "-o",
        "--output",
        "file_name",
        metavar="FILE",
        shell_complete=complete_files,
        help="Where the recording of a finding goes. [default: finding.rec]",
    ),
)
"""What `explore` has beside some of the machine's options."""


def with_explore_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command EXPLORE_OPTIONS, and a program to run."""
    function = MACHINE_OPTIONS[-1](function)
    for option in reversed(EXPLORE_OPTIONS):
        function = option(function)
    return function
