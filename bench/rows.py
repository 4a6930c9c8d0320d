"""What is measured: programs, how often each does its work, and the targets."""

from __future__ import annotations

from dataclasses import dataclass

BASH_TRUE = "for ((i = 0; i < {count}; i++)); do /bin/true; done"
BASH_LOOP = "for ((i = 0; i < {count}; i++)); do :; done"


@dataclass(frozen=True, slots=True)
class Target:
    """What Procession should reach: a time in seconds, or with `is_ratio` a multiple of the native time.

    `later` is what a later version should reach. For a throughput the time is that of one MiB.
    """

    limit: float
    later: float | None = None
    is_ratio: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    `command` is run with `{count}` replaced by each of two counts, and the time of the smaller run is
    subtracted; a first word that ends in `.c` is compiled, static unless `is_dynamic`. `native_counts` are
    for the host, `counts` for Procession. With a `baseline` that command's time is subtracted instead. The
    figure stands for `per` counts and is shown in `unit`, one of us, ms and s, or MiB/s where `per` counts
    move one MiB. Without a target nothing is judged. With `is_whole_command`
    nothing is subtracted and Procession's side is the command line tool. The command's root is the host's, or
    the `tree` of that name (`scripts/guest-root`), natively in namespaces over it.
    """

    name: str
    title: str
    command: tuple[str, ...]
    target: Target | None
    unit: str = "us"
    native_counts: tuple[int, int] = (0, 1)
    counts: tuple[int, int] = (0, 1)
    per: int = 1
    is_dynamic: bool = False
    baseline: tuple[str, ...] | None = None
    is_whole_command: bool = False
    tree: str | None = None

    @property
    def has_counts(self) -> bool:
        """Whether the command does its work a number of times."""
        return any("{count}" in word for word in self.command)


def microseconds(limit: float, later: float | None = None) -> Target:
    """Return a target that is a time, given in microseconds."""
    return Target(limit / 1e6, None if later is None else later / 1e6)


def mebibytes_per_second(least: float) -> Target:
    """Return a target that is a throughput, given in MiB/s: what one MiB may take."""
    return Target(1 / least)


def times_native(limit: float, later: float | None = None) -> Target:
    """Return a target that is a multiple of the native time."""
    return Target(limit, later, is_ratio=True)


ROWS = (
    Row(
        "getpid",
        "getpid, a system call that does nothing",
        ("getpid.c", "{count}"),
        microseconds(4, 2.5),
        native_counts=(20_000, 520_000),
        counts=(5_000, 105_000),
    ),
    Row(
        "fork-static",
        "fork, _exit and wait, static program",
        ("fork_exit.c", "{count}"),
        times_native(4, 2.5),
        native_counts=(50, 350),
        counts=(20, 220),
    ),
    Row(
        "fork-dynamic",
        "fork, _exit and wait, dynamic program",
        ("fork_exit.c", "{count}"),
        times_native(4, 2.5),
        native_counts=(50, 350),
        counts=(20, 220),
        is_dynamic=True,
    ),
    Row(
        "fork-exec",
        "fork, exec of /bin/true and wait",
        ("fork_exec.c", "{count}"),
        times_native(4, 2.5),
        native_counts=(20, 120),
        counts=(10, 60),
    ),
    Row(
        "spawn",
        "posix_spawn of /bin/true and wait",
        ("spawn.c", "{count}"),
        times_native(4, 2.5),
        native_counts=(20, 120),
        counts=(10, 60),
    ),
    Row(
        "first-touch",
        "first touch of a page",
        ("first_touch.c", "{count}"),
        microseconds(6),
        native_counts=(1_000, 33_000),
        counts=(1_000, 17_000),
    ),
    Row(
        "copy-on-write",
        "copy of a page after fork",
        ("copy_on_write.c", "{count}"),
        microseconds(6),
        native_counts=(0, 16_384),
        counts=(0, 16_384),
    ),
    Row(
        "unreaped",
        "one of 1,000 children that nobody waits for yet",
        ("unreaped.c", "{count}"),
        times_native(4),
        native_counts=(0, 1_000),
        counts=(0, 1_000),
    ),
    Row(
        "traced-call",
        "a system call that a tracer sees begin and end",
        ("traced_getpid.c", "{count}"),
        times_native(25),
        native_counts=(1_000, 21_000),
        counts=(200, 2_200),
    ),
    Row(
        "ps",
        "ps axf of 1,000 processes",
        ("ps_of_many.c", "{count}"),
        Target(1.0),
        unit="ms",
        native_counts=(0, 2),
        counts=(0, 2),
    ),
    Row(
        "command",
        "the whole command: procession run -- /bin/true",
        ("/bin/true",),
        Target(0.3),
        unit="ms",
        is_whole_command=True,
    ),
    Row(
        "bash-true",
        "bash, 200 times /bin/true",
        ("/bin/bash", "-c", BASH_TRUE),
        times_native(3),
        unit="ms",
        native_counts=(20, 120),
        counts=(10, 60),
        per=200,
    ),
    Row(
        "bash-loop",
        "bash, 20,000 iterations of an empty loop",
        ("/bin/bash", "-c", BASH_LOOP),
        times_native(40),
        unit="ms",
        native_counts=(2_000, 102_000),
        counts=(1_000, 21_000),
        per=20_000,
    ),
    Row(
        "integer",
        "a million steps of integer arithmetic",
        ("integer.c", "{count}"),
        times_native(4),
        unit="ms",
        native_counts=(2, 22),
        counts=(2, 22),
    ),
    Row(
        "memory-walk",
        "a million steps through a table in memory",
        ("memory_walk.c", "{count}"),
        times_native(6),
        unit="ms",
        native_counts=(5, 65),
        counts=(5, 35),
    ),
    Row(
        "python",
        "python3 -S -c 'print(1)' less /bin/true",
        ("/usr/bin/python3", "-S", "-c", "print(1)"),
        times_native(40),
        unit="ms",
        baseline=("/bin/true",),
    ),
    Row(
        "thread-create",
        "pthread_create of a thread that returns, and join",
        ("thread_create.c", "{count}"),
        microseconds(150),
        native_counts=(200, 10_200),
        counts=(100, 2_100),
    ),
    Row(
        "sched-yield",
        "sched_yield to another process",
        ("sched_yield.c", "{count}"),
        microseconds(20),
        native_counts=(2_000, 102_000),
        counts=(1_000, 21_000),
    ),
    Row(
        "kill-self",
        "signal to oneself, with a handler",
        ("kill_self.c", "{count}"),
        microseconds(25),
        native_counts=(1_000, 101_000),
        counts=(1_000, 21_000),
    ),
)
