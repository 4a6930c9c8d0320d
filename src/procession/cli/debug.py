"""`procession debug`: a command line over a recorded run, in which one goes forward and back."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from procession.abi.errno import Errno
from procession.abi.signals import Signal
from procession.abi.syscall_numbers import NUMBERS
from procession.cli.replay import DIVERGED
from procession.cli.run import USE_ERROR, fail
from procession.inspection.namespaces import namespace_tree
from procession.inspection.report import report_difference, report_text, task_report
from procession.inspection.stop import EVENTS
from procession.inspection.timeline import end_text, signal_text
from procession.launch import StartFailure
from procession.recording.file import RecordingError, read_recording
from procession.recording.host_files import UnknownQuestion
from procession.recording.replay import Divergence
from procession.recording.travel import ReplayedSteps, travel
from procession.snapshot import origin
from procession.snapshot.history import KINDS
from procession.syscalls.declaration import TABLE
from procession.trace.function_graph import FunctionGraph
from procession.trace.graph_text import tree_lines

if TYPE_CHECKING:
    from procession.inspection.event import Event
    from procession.kernel.task import Task
    from procession.machine import Machine
    from procession.snapshot.history import Checkpoint, History

PROMPT = "(procession) "
_FAILED = 1
_MOST_STEPS = 10**6
_MOST_CHECKPOINTS = 100
_LONGEST_HISTORY = 1000
_TIME = re.compile(r"(\d+(?:\.\d+)?)(s|ms|us|ns)")
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_NEVER_NS = 1 << 63
_ORIGINS = ("opened", "installed", "mapped", "sent", "ended", "made")
_EVENTS_OF_LIVES = {"ended": "exit", "made": "clone"}


class Mistake(Exception):
    """A command can't be done as it was given; the text says why."""


def debug_recording(name: str, rootfs: str | None, script: str | None) -> int:
    """Read commands and do them, from `script`, a terminal or stdin; the status with which to exit."""
    try:
        lines = None if script is None else Path(script).read_text().splitlines()
        recording = read_recording(Path(name))
        history = travel(recording, rootfs)
    except OSError as error:
        return fail(f"{error.filename or name}: {error.strerror}", USE_ERROR)
    except UnicodeDecodeError as error:
        return fail(f"{script}: {error}", USE_ERROR)
    except (Errno, RecordingError, StartFailure, UnknownQuestion, ValueError) as error:
        return fail(f"{name}: {error}", USE_ERROR)
    debugger = Debugger(history)
    is_terminal = lines is None and sys.stdin.isatty()
    try:
        if is_terminal:
            with LineEditing(debugger):
                return debugger.talk(_typed())
        return debugger.do_all(sys.stdin if lines is None else lines)
    except (Divergence, UnknownQuestion) as error:
        return fail(str(error), DIVERGED)


def _typed() -> Iterator[str]:
    """What is typed, line by line; Ctrl-C drops a line, Ctrl-D ends."""
    while True:
        try:
            yield input(PROMPT)
        except KeyboardInterrupt:
            click.echo()
        except EOFError:
            click.echo()
            return


class Debugger:
    """Does the commands: each is a method with its name and `do_` in front, described by the docstring."""

    def __init__(self, history: History) -> None:
        self.history = history
        driver = history.driver
        assert isinstance(driver, ReplayedSteps)
        self.machine: Machine = driver.machine
        self.world = driver.world
        self.checkpoints: dict[str, Checkpoint] = {}
        self.next_number = 1
        self.wants_end = False

    # Lines

    def talk(self, lines: Iterable[str]) -> int:
        """Do what somebody types. A mistake is told, and an empty line is the last one again."""
        self.do_where([])
        last = ""
        for typed in lines:
            line = last = typed.strip() or last
            try:
                self.do(line)
            except Mistake as mistake:
                click.echo(str(mistake))
            except KeyboardInterrupt:
                click.echo("interrupted")
            if self.wants_end:
                break
        return 0

    def do_all(self, lines: Iterable[str]) -> int:
        """Do the lines of a script, each shown before what it prints; a mistake ends it."""
        for number, line in enumerate(lines, 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            click.echo(f"{PROMPT}{line.strip()}")
            try:
                self.do(line)
            except Mistake as mistake:
                return fail(f"line {number}: {mistake}", _FAILED)
            if self.wants_end:
                break
        return 0

    def do(self, line: str) -> None:
        """Do one line. Raises Mistake."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise Mistake(str(error)) from None
        if not words:
            return
        command = self.command(words[0])
        try:
            command(words[1:])
        except (ValueError, TypeError) as error:
            raise Mistake(str(error)) from None

    def command(self, word: str) -> Callable[[list[str]], None]:
        """The command `word`, which may be shortened to what only one begins with. Raises Mistake."""
        names = [word] if word in COMMANDS else [name for name in COMMANDS if name.startswith(word)]
        if word in SHORT:
            names = [SHORT[word]]
        if len(names) != 1:
            hint = f"could be {', '.join(names)}" if names else "is no command; `help` lists them"
            raise Mistake(f"{word!r} {hint}")
        found: Callable[[list[str]], None] = getattr(self, f"do_{names[0].replace('-', '_')}")
        return found

    # Going about

    def do_step(self, words: list[str]) -> None:
        """step [N] [event|call|switch|state]: go forward by so many of a kind, one event without any."""
        count, kind = _count_and_kind(words)
        event = None
        for _ in range(count):
            event = self.history.step(kind)
            if event is None:
                click.echo("the run has ended")
                break
        self.tell(event)

    def do_back(self, words: list[str]) -> None:
        """back [N] [event|call|switch|state]: go back by so many of a kind."""
        count, kind = _count_and_kind(words)
        event = None
        for _ in range(count):
            event = self.history.back(kind)
            if event is None:
                click.echo("that is the beginning" if kind == "event" else f"there is no {kind} before")
                break
        self.tell(event)

    def do_until(self, words: list[str]) -> None:
        """until EVENT[#N] [PID], until TIME, until end: run to the Nth such event from here, or to 1.5s.

        EVENT is as for `Machine.stop_at`: fork, exec, exit, SIGCHLD, openat, ENOENT ...
        """
        text, tid = _what(words)
        event = None
        time = _TIME.fullmatch(text)
        if text == "end":
            self.history.run_to_end()
        elif time is not None:
            if not self.history.run_to_time(int(min(float(time[1]) * _UNITS[time[2]], _NEVER_NS))):
                click.echo("the run has ended before that time")
        else:
            name, _, number = text.partition("#")
            for _ in range(_number(number or "1")):
                event = self.history.run_to(name, tid)
                if event is None:
                    click.echo(f"the run has ended before {text}")
                    break
        self.tell(event)

    def do_back_to(self, words: list[str]) -> None:
        """back-to EVENT [PID], back-to ORIGIN PID WHAT: go back to the last such event, or to where it began.

        opened PID FD: where a descriptor's file was opened; installed PID FD: where it got this number
        mapped PID ADDRESS: where a page got its frame; sent PID SIGNAL: where a pending signal was sent
        ended PID: where a task ended; made PID: where it was made
        """
        if words and words[0] in _ORIGINS:
            found = self._back_to_origin(words[0], words[1:])
        else:
            text, tid = _what(words)
            found = self.history.back_to(text, tid)
        if not found:
            click.echo("there is no such moment before")
        self.do_where([])

    def _back_to_origin(self, name: str, words: list[str]) -> bool:
        if len(words) != (1 if name in _EVENTS_OF_LIVES else 2):
            raise Mistake(f"{name} takes a pid{'' if name in _EVENTS_OF_LIVES else ' and what of it'}")
        tid = _number(words[0])
        if name in _EVENTS_OF_LIVES and all(task.tid != tid for task in self.machine.kernel.tasks):
            # It has been reaped: its end and its beginning are events of the past.
            return self.history.back_to(_EVENTS_OF_LIVES[name], tid)
        return self.history.back_to(self._origin(name, words))

    def _origin(self, name: str, words: list[str]) -> origin.Origin:
        task = self.task(words[0])
        if name == "ended":
            return origin.ended(task)
        if name == "made":
            return origin.made(task)
        if name == "sent":
            return origin.sent(
                task, int(Signal[words[1]]) if words[1] in Signal.__members__ else _number(words[1])
            )
        of: Callable[[Task, int], origin.Origin] = getattr(origin, name)
        return of(task, _number(words[1]))

    def do_go(self, words: list[str]) -> None:
        """go N, go start, go end: be where N events are behind, at the beginning, or at the end."""
        if len(words) != 1:
            raise Mistake("go takes a number of events, start or end")
        if words[0] == "end":
            self.history.run_to_end()
        elif not self.history.go_to(0 if words[0] == "start" else _number(words[0])):
            click.echo("the run ends before")
        self.do_where([])

    # Checkpoints

    def do_checkpoint(self, words: list[str]) -> None:
        """checkpoint [NAME]: remember this place, by a number without a name; `restart` leads back to it."""
        if len(words) > 1:
            raise Mistake("checkpoint takes one name")
        name = words[0] if words else str(self.next_number)
        if name not in self.checkpoints and len(self.checkpoints) >= _MOST_CHECKPOINTS:
            raise Mistake(f"there are {_MOST_CHECKPOINTS} already: `delete` one")
        self.next_number += not words
        self.checkpoints[name] = here = self.history.here()
        self.tell_checkpoint(name, here)

    def do_checkpoints(self, words: list[str]) -> None:
        """checkpoints: those there are."""
        for name, checkpoint in self.checkpoints.items():
            self.tell_checkpoint(name, checkpoint)

    def do_restart(self, words: list[str]) -> None:
        """restart NAME: be where that checkpoint was made, earlier or later."""
        self.history.return_to(self.checkpoints[self.name_of_checkpoint(words)])
        self.do_where([])

    def do_delete(self, words: list[str]) -> None:
        """delete NAME: forget a checkpoint."""
        del self.checkpoints[self.name_of_checkpoint(words)]

    def name_of_checkpoint(self, words: list[str]) -> str:
        """The one name in `words`. Raises Mistake."""
        if len(words) != 1 or words[0] not in self.checkpoints:
            known = f"there are {', '.join(self.checkpoints)}" if self.checkpoints else "there is none"
            raise Mistake(f"it takes the name of a checkpoint: {known}")
        return words[0]

    def tell_checkpoint(self, name: str, checkpoint: Checkpoint) -> None:
        """Say where a checkpoint was made."""
        event = checkpoint.event
        click.echo(f"{name}: {checkpoint.count}, {'the beginning' if event is None else said(event)}")

    # Looking

    def do_where(self, words: list[str]) -> None:
        """where: how many events are behind, the time, and the last of them."""
        self.tell(self.history.event)

    def tell(self, event: Event | None) -> None:
        """Say where the machine is, by `event` or else the last one."""
        event = event or self.history.event
        time_s = self.machine.kernel.clock.run_ns / 10**9
        click.echo(
            f"{self.history.count} at {time_s:.9f} s: {'the beginning' if event is None else said(event)}"
        )

    def do_print(self, words: list[str]) -> None:
        """print [PID] [SECTION]: a task's task_struct, or a section of it (identity, memory, files ...).

        Without a PID it's the task of the last event.
        """
        if not words or not words[0].isdecimal():
            event = self.history.event
            if event is None:
                raise Mistake("nothing has happened yet: print takes a pid here")
            words = [str(event.tid), *words]
        if len(words) > 2:
            raise Mistake("print takes a pid, and a section if only that is wanted")
        fields = task_report(self.machine.kernel, self.task(words[0]))
        if len(words) == 2:
            sections = dict.fromkeys(field.section for field in fields)
            if words[1] not in sections:
                raise Mistake(f"a task has the sections {', '.join(sections)}")
            fields = [field for field in fields if field.section == words[1]]
        click.echo(report_text(fields), nl=False)

    def do_diff(self, words: list[str]) -> None:
        """diff PID N: what is different in a task, N events on from here, or back if N is negative."""
        if len(words) != 2:
            raise Mistake("diff takes a pid and a number of events")
        here, distance = self.history.count, _signed(words[1])
        fields = task_report(self.machine.kernel, self.task(words[0]))
        self.history.go_to(max(here + distance, 0))
        try:
            others = task_report(self.machine.kernel, self.task(words[0]))
        finally:
            self.history.go_to(here)
        first, second = (fields, others) if distance >= 0 else (others, fields)
        click.echo(report_difference(first, second), nl=False)

    def do_tree(self, words: list[str]) -> None:
        """tree [PID]: the processes below it, all without one."""
        try:
            click.echo(str(self.machine.tree(_number(words[0]) if words else 1)))
        except KeyError:
            raise Mistake(f"there is no process {words[0]}") from None

    def do_table(self, words: list[str]) -> None:
        """table: a line for each task, with what it waits for."""
        click.echo(self.machine.process_table())

    def do_namespaces(self, words: list[str]) -> None:
        """namespaces: which there are, and who is in them."""
        click.echo(namespace_tree(self.machine.kernel), nl=False)

    def do_ipc(self, words: list[str]) -> None:
        """ipc: who can talk to whom through what, and who waits for whom."""
        click.echo(str(self.machine.ipc_graph()))

    def do_graph(self, words: list[str]) -> None:
        """graph [CALL]: run to the end of the next system call, of a name if given; its functions."""
        if len(words) > 1:
            raise Mistake("graph takes the name of one system call")
        if words and words[0] not in NUMBERS:
            raise Mistake(f"{words[0]!r} is no system call")
        trees: list[str] = []
        chosen = words or [call.name for call in TABLE if call is not None]
        with FunctionGraph(self.machine, chosen, lambda tree: trees.extend(tree_lines(tree))):
            while not trees and self.history.step("call") is not None:
                pass
        click.echo("\n".join(trees) if trees else "the run has ended before")
        self.do_where([])

    def do_output(self, words: list[str]) -> None:
        """output: what the program has written so far."""
        written = b"".join(data for _, data in self.world.shown)
        text = written.decode("utf-8", "backslashreplace")
        click.echo(text, nl=not text.endswith("\n") and bool(text))

    def do_help(self, words: list[str]) -> None:
        """help [COMMAND]: what there is."""
        for name in [words[0]] if words else COMMANDS:
            if name not in COMMANDS:
                raise Mistake(f"{name!r} is no command")
            text = getattr(self, f"do_{name.replace('-', '_')}").__doc__ or ""
            lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
            click.echo("\n    ".join(lines if words else lines[:1]))

    def do_quit(self, words: list[str]) -> None:
        """quit: end."""
        self.wants_end = True

    def task(self, word: str) -> Task:
        """The task with the id `word`. Raises Mistake."""
        tid = _number(word)
        for task in self.machine.kernel.tasks:
            if task.tid == tid:
                return task
        raise Mistake(f"there is no task {tid} here")

    # Completion

    def completions(self, line: str, word: str) -> list[str]:
        """What `word`, the last of `line`, could become."""
        words = line.split()
        if len(words) < 1 or (len(words) == 1 and not line.endswith(" ")):
            return [f"{name} " for name in COMMANDS if name.startswith(word)]
        name = words[0]
        known: list[str] = []
        with suppress(Mistake):
            name = self.command(name).__name__.removeprefix("do_").replace("_", "-")
        if name in ("step", "back"):
            known = list(KINDS)
        elif name in ("until", "back-to"):
            known = [*EVENTS, "fork", "thread", *NUMBERS, *Signal.__members__]
            known += _ORIGINS if name == "back-to" else ["end"]
        elif name == "graph":
            known = list(NUMBERS)
        elif name == "go":
            known = ["start", "end"]
        elif name in ("restart", "delete"):
            known = list(self.checkpoints)
        elif name in ("print", "tree", "diff"):
            known = [str(task.tid) for task in self.machine.kernel.tasks]
        elif name == "help":
            known = list(COMMANDS)
        return sorted(f"{each} " for each in known if each.startswith(word))


COMMANDS = tuple(
    name.removeprefix("do_").replace("_", "-")
    for name in vars(Debugger)
    if name.startswith("do_") and name != "do_all"
)
SHORT = {"s": "step", "b": "back", "u": "until", "p": "print", "q": "quit", "w": "where"}
"""Letters for what is used most."""


def said(event: Event) -> str:
    """An event in words: its kind, whose it is, and the rest of it by name."""
    values = event._asdict()
    tid, pid = values.pop("tid"), values.pop("pid")
    values.pop("time_ns")
    if "name" in values:
        del values["number"]
    whose = f"task {tid}" if tid == pid else f"task {tid} of {pid}"
    # What is empty or isn't so says nothing.
    parts = [
        name
        if value is True
        else end_text(value)
        if name == "status"
        else f"{name} {_value_text(name, value)}"
        for name, value in values.items()
        if value is not False and value != ""
    ]
    return ", ".join([f"{type(event).__name__} of {whose}", *parts])


def _value_text(name: str, value: Any) -> str:
    """A field of an event as one reads it: a signal by its name, an address in hexadecimal."""
    if name == "signal":
        return signal_text(value)
    if name in ("address", "error_code", "handler"):
        return hex(value)
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    if isinstance(value, tuple):
        return "(" + ", ".join(_value_text("", each) for each in value) + ")"
    return str(getattr(value, "name", value))


def _count_and_kind(words: list[str]) -> tuple[int, str]:
    count, kind = 1, "event"
    for word in words:
        if word in KINDS:
            kind = word
        elif word.isascii() and word.isdigit() and 0 < int(word) <= _MOST_STEPS:
            count = int(word)
        else:
            others = "; to other events lead until and back-to"
            raise Mistake(f"{word!r} is neither a number nor one of {', '.join(KINDS)}{others}")
    return count, kind


def _what(words: list[str]) -> tuple[str, int | None]:
    if not 1 <= len(words) <= 2:
        raise Mistake("an event is needed, and a pid if it's to be of one task")
    return words[0], _number(words[1]) if len(words) == 2 else None


def _number(word: str) -> int:
    try:
        number = int(word, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 64:
        raise Mistake(f"{word!r} is no number")
    return number


def _signed(word: str) -> int:
    return -_number(word[1:]) if word.startswith("-") else _number(word.removeprefix("+"))


class LineEditing:
    """The line editor of whoever types: it keeps a history from session to session, and Tab completes."""

    def __init__(self, debugger: Debugger) -> None:
        self.debugger = debugger
        state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        self.path = Path(state) / "procession" / "debug_history"
        self.found: list[str] = []

    def __enter__(self) -> None:
        try:
            import readline
        except ImportError:
            return
        with suppress(OSError):
            readline.read_history_file(self.path)
        readline.set_history_length(_LONGEST_HISTORY)
        readline.set_completer(self.complete)
        readline.set_completer_delims(" ")
        is_libedit = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")

    def __exit__(self, *exception: object) -> None:
        try:
            import readline
        except ImportError:
            return
        readline.set_completer(None)
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(self.path)

    def complete(self, word: str, number: int) -> str | None:
        """The completion `number` of `word`, None after the last."""
        if number == 0:
            import readline

            self.found = self.debugger.completions(readline.get_line_buffer(), word)
        return self.found[number] if number < len(self.found) else None
