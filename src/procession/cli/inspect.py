"""`procession inspect`: the kernel's objects at one moment of a recorded run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from procession.abi.errno import Errno
from procession.cli.replay import DIVERGED
from procession.cli.run import USE_ERROR, fail
from procession.export import diagram
from procession.inspection.namespaces import namespace_places, namespace_tree
from procession.inspection.nt_names import nt_name
from procession.inspection.report import (
    Field,
    report_difference,
    report_text,
    task_report,
)
from procession.recording.file import RecordingError, read_recording
from procession.recording.host_files import UnknownQuestion
from procession.recording.moment import Moment, NotReached, machine_at
from procession.recording.replay import Divergence

if TYPE_CHECKING:
    from procession.kernel.task import Task
    from procession.machine import Machine
    from procession.recording.file import Recording

_PICTURES = ("ipc", "namespaces")
_NAME_WIDTH = 24
_VALUE_WIDTH = 60


class NoSuchTask(Exception):
    """There is no task of that id at that moment."""


def inspect_recording(
    name: str,
    at: str,
    pid: int | None,
    other: str | None,
    rootfs: str | None,
    style: str,
    exports: tuple[str, ...] = (),
) -> int:
    """Print, or draw, what is asked for; the status with which to exit."""
    if other is not None and pid is None:
        return fail("--diff needs --pid", USE_ERROR)
    try:
        pictures = [picture_asked_for(text) for text in exports]
        moment, second = Moment(at), None if other is None else Moment(other)
        recording = read_recording(Path(name))
        machine = machine_at(recording, moment, rootfs)
        for what, path in pictures:
            path.write_text(picture(machine, what, path.suffix), "utf-8")
        if pictures and pid is None:
            return 0
        if pid is None:
            click.echo(overview(machine), nl=False)
        elif second is None:
            fields = task_report(machine.kernel, task_of(machine, pid, at))
            click.echo(beside_nt(fields) if style == "nt" else report_text(fields), nl=False)
        else:
            click.echo(difference(recording, machine, pid, moment, second, rootfs), nl=False)
    except BrokenPipeError:
        raise
    except OSError as error:
        return fail(f"{error.filename or name}: {error.strerror}", USE_ERROR)
    except (Errno, RecordingError, ValueError) as error:
        return fail(f"{name}: {error}", USE_ERROR)
    except (NotReached, NoSuchTask) as error:
        return fail(str(error), USE_ERROR)
    except (Divergence, UnknownQuestion) as error:
        return fail(str(error), DIVERGED)
    return 0


def picture_asked_for(text: str) -> tuple[str, Path]:
    """`WHAT=FILE` in its two parts. Raises ValueError."""
    what, _, name = text.partition("=")
    if what not in _PICTURES or not name.endswith((".mmd", ".dot")):
        raise ValueError(
            f"--export {text}: write {' or '.join(_PICTURES)}, =, and a file that ends in .mmd or .dot"
        )
    return what, Path(name)


def picture(machine: Machine, what: str, suffix: str) -> str:
    """The IPC graph or the namespaces for Mermaid (`.mmd`) or Graphviz (`.dot`)."""
    if what == "ipc":
        graph = machine.ipc_graph()
        return diagram.ipc_diagram(graph) if suffix == ".mmd" else diagram.ipc_dot(graph)
    places = namespace_places(machine.kernel)
    return diagram.namespace_diagram(places) if suffix == ".mmd" else diagram.namespace_dot(places)


def difference(
    recording: Recording, machine: Machine, pid: int, moment: Moment, second: Moment, rootfs: str | None
) -> str:
    """What is different in the task `pid` at the second moment."""
    before = task_report(machine.kernel, task_of(machine, pid, moment.text))
    later = machine_at(recording, second, rootfs)
    return report_difference(before, task_report(later.kernel, task_of(later, pid, second.text)))


def task_of(machine: Machine, pid: int, at: str) -> Task:
    """The task with the id `pid`. Raises NoSuchTask."""
    for task in machine.kernel.tasks:
        if task.tid == pid:
            return task
    raise NoSuchTask(f"there is no task {pid} at {at}")


def overview(machine: Machine) -> str:
    """The processes as a tree and as a table, the namespaces, and the IPC graph."""
    processes = machine.processes()
    numbers = {process.pid for process in processes}
    # At the end of a run of --pid1 there is no init any more, whose children all others would be.
    roots = [process.pid for process in processes if process.parent_pid not in numbers]
    parts = [
        f"at {machine.kernel.clock.run_ns / 10**9:.9f} s",
        "",
        "\n".join(str(machine.tree(root)) for root in roots) or "no process is left",
        "",
        machine.process_table(),
        "",
        namespace_tree(machine.kernel),
        str(machine.ipc_graph()),
    ]
    return "\n".join(parts).rstrip("\n") + "\n"


def beside_nt(fields: list[Field]) -> str:
    """A report with Windows NT's counterpart beside each field."""
    lines: list[str] = []
    section = ""
    for field in fields:
        if field.section != section:
            section = field.section
            lines.append(section)
        counterpart = nt_name(field.section, field.name)
        value = field.value if len(field.value) <= _VALUE_WIDTH else field.value[: _VALUE_WIDTH - 3] + "..."
        lines.append(f"    {field.name:<{_NAME_WIDTH}} {value:<{_VALUE_WIDTH}} {counterpart}".rstrip())
    return "\n".join(lines) + "\n"
