"""`procession explore`: the schedules of a program searched, and what fails told."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from procession.abi.errno import Errno
from procession.cli import INTERRUPTED
from procession.cli.run import USE_ERROR, environment_of, fail, fail_to_execute
from procession.explore.crew import Alone, DaskCluster, Processes, WorkersDie
from procession.explore.explorer import INTERRUPTION, Explorer, Limits, Progress, Report
from procession.explore.ledger import IN_MEMORY, OtherSearch
from procession.explore.oracle import DEFAULT_ORACLES, ORACLES, Expectation
from procession.explore.program import DEFAULT_KINDS, Program
from procession.explore.save import save_finding
from procession.explore.search import Reduction
from procession.explore.statement import count, statement
from procession.explore.story import moments_text, story_text, tell_story
from procession.launch import StartFailure
from procession.recording.schedule import KINDS
from procession.syscalls.permitted import FAULTS

if TYPE_CHECKING:
    from procession.explore.crew import Crew
    from procession.explore.finding import Finding

FOUND, NOT_FOUND_ANY = 1, 0
_INTERVAL_S = 0.2
_ERASE_LINE = "\r\x1b[K"


class ExploreOptions:
    """What the command line asks for."""

    def __init__(self, command: tuple[str, ...], **values: Any) -> None:
        self.command = command
        self.rootfs: str | None = None
        self.image: str | None = None
        self.seed = 0
        self.environment: tuple[str, ...] = ()
        self.directory: str | None = None
        self.user: str | None = None
        self.is_pid1 = False
        self.memory_bytes = 1 << 28
        self.preemptions: str = "2"
        self.branches: tuple[str, ...] = ()
        self.has_faults = False
        self.oracles: tuple[str, ...] = ()
        self.expected_status: int | None = None
        self.expected_output: str | None = None
        self.strategy = "search"
        self.reduction = Reduction.STATES.value
        self.runs = 1000
        self.depth = 3
        self.schedule_limit: int | None = None
        self.wall_limit_s: float | None = None
        self.jobs = 1
        self.dask: str | None = None
        self.state_file: str | None = None
        self.finds_all = False
        self.file_name = ""
        self.shows_progress: bool | None = None
        for name, value in values.items():
            if name not in self.__dict__:
                raise TypeError(f"there is no option {name}")
            setattr(self, name, value)


class ProgressLine:
    """A line on stderr with how far the exploration is, rewritten a few times a second."""

    def __init__(self, is_shown: bool) -> None:
        self.is_shown = is_shown
        self.next_s = time.monotonic() + _INTERVAL_S
        self.has_line = False

    def tell(self, progress: Progress) -> None:
        """Show it, if it's time."""
        if not self.is_shown or time.monotonic() < self.next_s:
            return
        self.next_s = time.monotonic() + _INTERVAL_S
        self.has_line = True
        rate = progress.steps / max(progress.seconds, 1e-3)
        bound = "" if progress.bound is None else f"{count(progress.bound, 'preemption')}: "
        self._write(
            f"{_ERASE_LINE}procession: {bound}{count(progress.schedules, 'schedule')}, "
            f"{count(progress.steps, 'state')}, {rate:,.0f} a second, {progress.frontier:,} to try"
        )

    def end(self) -> None:
        """Nothing more will be told."""
        if self.has_line:
            self._write(_ERASE_LINE)
            self.has_line = False

    def _write(self, text: str) -> None:
        with suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()


def explore_program(options: ExploreOptions) -> int:
    """Explore, and tell; the status with which to exit."""
    try:
        explorer = make_explorer(options)
    except ValueError as error:
        return fail(str(error), USE_ERROR)
    is_shown = sys.stderr.isatty() if options.shows_progress is None else options.shows_progress
    line = ProgressLine(is_shown)
    explorer.tell = line.tell
    try:
        if options.strategy == "search":
            report = search(explorer, options)
        else:
            depth = options.depth if options.strategy == "pct" else None
            report = explorer.sample(options.runs, seed=options.seed, depth=depth)
        line.end()
        for number, finding in enumerate(report.findings, 1):
            show_finding(explorer, finding, number, options.file_name)
    except Errno as error:
        line.end()
        return fail_to_execute(options.command[0], error)
    except (OtherSearch, StartFailure, ValueError, WorkersDie) as error:
        line.end()
        return fail(str(error), USE_ERROR)
    except BrokenPipeError:
        raise
    except OSError as error:
        line.end()
        return fail(f"{error.filename}: {error.strerror}", USE_ERROR)
    finally:
        explorer.world.close()
    print(ending_text(report), end="")
    if report.findings:
        return FOUND
    return INTERRUPTED if report.reason_to_end == INTERRUPTION else NOT_FOUND_ANY


def search(explorer: Explorer, options: ExploreOptions) -> Report:
    """Search alone, or divided where that was asked for. Raises ValueError, OtherSearch, WorkersDie."""
    if options.jobs == 1 and options.dask is None and options.state_file is None:
        return explorer.run()
    import sqlite3

    crew: Crew
    if options.dask is not None:
        try:
            crew = DaskCluster(options.dask)
        except ImportError:
            raise ValueError(
                "--dask needs the package distributed: pip install 'procession[cluster]'"
            ) from None
        except OSError as error:
            raise ValueError(f"--dask {options.dask}: {error}") from None
    else:
        crew = Alone() if options.jobs == 1 else Processes(options.jobs)
    try:
        return explorer.run_divided(crew, options.state_file or IN_MEMORY)
    except sqlite3.Error as error:
        raise ValueError(f"--state {options.state_file}: {error}") from None
    finally:
        crew.close()


def make_explorer(options: ExploreOptions) -> Explorer:
    """An explorer for the options. Raises ValueError."""
    for name in options.branches:
        if name not in KINDS:
            raise ValueError(f"--branch {name}: there are {', '.join(KINDS)}")
    names = options.oracles or DEFAULT_ORACLES
    if names == ("all",):
        names = tuple(ORACLES)
    for name in names:
        if name not in ORACLES:
            raise ValueError(f"--oracle {name}: there are {', '.join(ORACLES)}")
    preemptions: int | None
    if options.preemptions == "all":
        preemptions = None
    elif options.preemptions.isascii() and options.preemptions.isdigit():
        preemptions = int(options.preemptions)
    else:
        raise ValueError(f"--preemptions {options.preemptions}: a number, or all")
    settings: dict[str, Any] = {
        "seed": options.seed,
        "memory": options.memory_bytes,
        "environment": environment_of(
            options.environment, is_root=options.user is None, is_added=options.image is not None
        ),
        "cwd": options.directory,
        "user": options.user,
    }
    if options.image is not None:
        settings["image"] = options.image
    else:
        settings["rootfs"] = options.rootfs or "/"
    kinds = options.branches or DEFAULT_KINDS
    if options.has_faults and FAULTS not in kinds:
        kinds = (*kinds, FAULTS)
    program = Program(
        options.command,
        settings,
        is_pid1=options.is_pid1 or options.image is not None,
        kinds=kinds,
    )
    output = None if options.expected_output is None else os.fsencode(options.expected_output)
    return Explorer(
        program,
        oracles=names,
        preemptions=preemptions,
        expected=Expectation(options.expected_status, output),
        reduction=Reduction(options.reduction),
        limits=Limits(options.schedule_limit, options.wall_limit_s),
        finds_all=options.finds_all,
    )


def show_finding(explorer: Explorer, found: Finding, number: int, file_name: str) -> None:
    """Print the story of a finding, and write it down. Raises OSError.

    Ctrl-C cuts short what takes long; what is known by then is printed.
    """
    finding = found
    interrupts = explorer.world.machine.holding_interrupts
    try:
        with interrupts():
            finding = explorer.minimised(found)
    except KeyboardInterrupt:
        print("Interrupted: this may not be the simplest schedule that fails so.\n")
    story = tell_story(explorer.world, finding)
    print(story_text(story), flush=True)
    try:
        with interrupts():
            moments = explorer.moments(finding)
    except KeyboardInterrupt:
        moments = []
        print("Interrupted: from which step on it fails wasn't worked out.")
    else:
        print(moments_text(moments, story), end="")
    print()
    path = Path(file_name or "finding.rec")
    if number > 1:
        path = path.with_stem(f"{path.stem}-{number}")
    if save_finding(explorer, finding, story, moments, path):
        print(
            f"`procession replay {path}` runs it again; {path.with_suffix('.json')} has the same for programs"
        )
    else:
        print(f"{path} was written, but the run recorded in it doesn't fail: a bug of Procession's")
    print()


def ending_text(report: Report) -> str:
    """The end of what is printed: whether anything was found, and the statement of coverage."""
    head = f"{count(len(report.findings), 'finding')}." if report.findings else "Nothing fails."
    if not report.findings and report.first_status:
        head += f" The exit status is {report.first_status} in the first run."
    rate = report.steps / max(report.seconds, 1e-3)
    return (
        f"{head} {statement(report)}\n"
        f"{count(report.steps, 'state')} in {report.seconds:.1f} s, {rate:,.0f} a second.\n"
    )
