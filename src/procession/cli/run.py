"""`procession run`: one program on a new machine, with the caller's streams and signals."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from procession.abi.errno import ENOENT, Errno
from procession.abi.signals import Signal
from procession.cli.host_signals import forward_host_signals, outlive_reports
from procession.cli.starting import starting
from procession.cli.values import VolumeOption, read_environment_file

if TYPE_CHECKING:
    from procession.cli.view import View
    from procession.command_run import Result
    from procession.gdbserver.debugger import Debugger
    from procession.machine import Machine
    from procession.recording.host_files import RecordingSource
    from procession.recording.recorder import Recorder

CANNOT_EXECUTE = 126
NOT_FOUND = 127
KERNEL_BUG = 70
USE_ERROR = 2
CANNOT_WRITE = 1
SIGPIPE = int(Signal.SIGPIPE)
STDIN = 0
USUAL_TERMINAL = "xterm"


class RunOptions:
    """What the command line asks for; None where it says nothing."""

    def __init__(self, command: tuple[str, ...], **values: Any) -> None:
        self.command = command
        self.rootfs: str | None = None
        self.image: str | None = None
        self.entrypoint: str | None = None
        self.seed = 0
        self.engine = "auto"
        self.is_pid1 = False
        self.has_keyboard = False
        self.has_terminal = False
        self.is_paced = False
        self.environment: tuple[str, ...] = ()
        self.environment_files: tuple[str, ...] = ()
        self.volumes: tuple[VolumeOption, ...] = ()
        self.copies: tuple[tuple[str, str], ...] = ()
        self.layer_file: str | None = None
        self.epoch_ns: int | None = None
        self.shows_progress: bool | None = None
        self.directory: str | None = None
        self.user: str | None = None
        self.hostname: str | None = None
        self.cpu_count: int | None = None
        self.task_limit: int | None = None
        self.memory_bytes: int | None = None
        self.time_limit_s: float | None = None
        self.debugger_port: int | None = None
        self.record_file: str | None = None
        self.is_bundle = False
        self.wall_limit_s: float | None = None
        for name, value in values.items():
            if name not in self.__dict__:
                raise TypeError(f"there is no option {name}")
            if name != "is_pid1" or value is not None:
                setattr(self, name, value)
        if values.get("is_pid1") is None:
            self.is_pid1 = self.image is not None

    @property
    def is_real_time(self) -> bool:
        """Whether the machine's clocks are the host's: that is what somebody at a terminal expects."""
        return self.is_paced or self.has_terminal


def run_program(options: RunOptions, view: View | None = None) -> int:
    """Run what `options` ask for, to its end, seen by `view`; the status with which to exit."""
    outlive_reports()
    if options.rootfs == "":
        # An unset variable, most of the time: the host's own tree is none that somebody asked for.
        return fail("--rootfs '': name a directory; without --rootfs it's the host's /", USE_ERROR)
    if options.image is not None and options.rootfs is not None:
        return fail("--image and --rootfs: a machine has the files of one of them", USE_ERROR)
    if options.image == "":
        return fail("--image '': name an OCI layout or an archive of docker save", USE_ERROR)
    if options.entrypoint is not None and options.image is None:
        return fail("--entrypoint is for --image", USE_ERROR)
    if options.has_terminal and options.has_keyboard and not os.isatty(STDIN):
        return fail("-i and -t together need a terminal as standard input", USE_ERROR)
    if options.debugger_port is not None:
        if options.engine == "native":
            return fail("--gdb doesn't go with --engine native, which can't stop at an address", USE_ERROR)
        if options.record_file is not None:
            return fail("--record doesn't go with --gdb: what a debugger changes isn't recorded", USE_ERROR)
    if view is None:
        return run_on_machine(options, None)
    try:
        view.open(is_terminal_raw=options.has_terminal)
    except OSError as error:
        return fail(f"can't write the trace to {view.file_name}: {error.strerror}", USE_ERROR)
    try:
        return run_on_machine(options, view)
    finally:
        view.close()


def run_on_machine(options: RunOptions, view: View | None) -> int:
    """Make the machine and run the program on it."""
    from procession.exchange.image.error import ImageError

    with starting():
        from procession.kernel.namespaces.uts import DEFAULT_HOST_NAME
        from procession.machine import Machine

    source = None
    if options.record_file is not None:
        if options.image is not None and options.is_bundle:
            return fail("--bundle doesn't go with --image: an image is one file already", USE_ERROR)
        if options.image is None:
            source = recording_source(options.rootfs or "/")
    try:
        from_files = [line for name in options.environment_files for line in read_environment_file(name)]
        environment = environment_of(
            (*from_files, *options.environment),
            is_root=options.user is None,
            is_added=options.image is not None,
            has_terminal=options.has_terminal,
        )
        with starting():
            machine = Machine(
                seed=options.seed,
                # The other engine shows the same processor, but can't be stopped at an instruction.
                engine=options.engine if options.debugger_port is None else "unicorn",
                rootfs=options.rootfs if options.rootfs is not None else "/",
                memory=options.memory_bytes,
                environment=environment,
                cwd=options.directory,
                epoch_ns=epoch_of(options),
                cpus=options.cpu_count,
                pids_max=options.task_limit,
                user=options.user,
                image=options.image,
                entrypoint=options.entrypoint,
                hostname=options.hostname if options.hostname is not None else DEFAULT_HOST_NAME,
                source=source,
            )
        if options.image is not None:
            # What is told of the command is about the image's.
            options.command = tuple(map(os.fsdecode, machine.command_line(options.command)))
            machine.entrypoint = ""
    except Errno as error:
        return fail(f"--rootfs {options.rootfs}: {error.text}", USE_ERROR)
    except ImageError as error:
        return fail(f"--image {error}", USE_ERROR)
    except FileNotFoundError as error:
        return fail(f"{error.filename}: {error.strerror}", USE_ERROR)
    except (OSError, ValueError) as error:
        return fail(str(error), USE_ERROR)
    try:
        return run_made(machine, options, view, source)
    finally:
        machine.close()


def run_made(machine: Machine, options: RunOptions, view: View | None, source: RecordingSource | None) -> int:
    """Run the program on a machine that has been made, and do what is to be done afterwards."""
    from procession.launch import StartFailure

    for volume in options.volumes:
        try:
            machine.add_volume(
                volume.host_path,
                volume.guest_path,
                is_read_only=volume.is_read_only,
                source=None if options.record_file is None else recording_source(volume.host_path),
            )
        except (Errno, OSError) as error:
            reason = error.text if isinstance(error, Errno) else error.strerror
            return fail(f"--volume {volume.host_path}:{volume.guest_path}: {reason}", USE_ERROR)
    if view is not None:
        view.watch(machine, ignored=None if options.is_pid1 else machine.init.group)
    recorder = None if options.record_file is None else make_recorder(machine, source)
    debugger = None
    if options.debugger_port is not None:
        try:
            # What is shown as it happens would be shown twice.
            debugger = wait_for_debugger(machine, options.debugger_port, keeps_past=view is None)
        except OSError as error:
            return fail(f"--gdb {options.debugger_port}: {error.strerror}", USE_ERROR)
    try:
        result = run_joined(machine, options)
    except StartFailure as error:
        return fail(str(error), USE_ERROR)
    except Errno as error:
        return fail_to_execute(options.command[0], error)
    except Exception as error:  # noqa: BLE001 - the one place where bugs of the kernel are reported
        return report_kernel_bug(machine, error, options)
    finally:
        if debugger is not None:
            debugger.close()
    if machine.is_broken_off:
        return tell_of_broken_off(machine, options, view, result)
    if (
        recorder is not None
        and options.record_file is not None
        and not save_recording(recorder, result, options.record_file, is_bundle=options.is_bundle)
    ):
        return CANNOT_WRITE
    if machine.why_slow:
        fail(f"programs run slowly here: {machine.why_slow}", 0)
    is_complete = view is None or finish_view(view)
    status = status_of(result)
    if not is_complete:
        status = status or CANNOT_WRITE
    if not take_out(machine, options):
        status = status or CANNOT_WRITE
    failure = machine.stream_failure
    if failure is not None:
        return fail(f"can't write the program's output: {failure.strerror}", status or CANNOT_WRITE)
    return status


def tell_of_broken_off(machine: Machine, options: RunOptions, view: View | None, result: Result) -> int:
    """The run has ended in the middle of the kernel's work: nothing can be said of the machine's state, nor
    taken out of it; the status.
    """
    status = status_of(result)
    if view is not None:
        finish_view(view)
    lost = [f"--record {options.record_file}"] if options.record_file is not None else []
    lost += [f"--volume {volume.host_path}:{volume.guest_path}" for volume in options.volumes]
    lost += [f"--copy-out {guest_path}:{host_path}" for guest_path, host_path in options.copies]
    if options.layer_file is not None:
        lost.append(f"--save-changes {options.layer_file}")
    for name in lost:
        fail(f"{name}: nothing was written, as the machine was in the middle of a change", 0)
    failure = machine.stream_failure
    if failure is not None:
        fail(f"can't write the program's output: {failure.strerror}", 0)
    return status


def finish_view(view: View) -> bool:
    """Let `view` write what is left, and tell what it couldn't write; whether that was nothing."""
    messages = view.finish()
    for message in messages:
        fail(message, 0)
    return not messages


def wait_for_debugger(machine: Machine, port: int, *, keeps_past: bool) -> Debugger:
    """Let a debugger at `port` of the loopback hold the machine from its first instruction on.

    With `keeps_past` it can go back.

    Raises OSError.
    """
    from procession.gdbserver.connection import listen
    from procession.gdbserver.debugger import Debugger

    listener = listen(port)
    fail(f"a debugger is awaited: gdb -ex 'target remote :{port}'", 0)
    machine.debugger = debugger = Debugger(machine, listener, keeps_past=keeps_past)
    return debugger


def epoch_of(options: RunOptions) -> int:
    """When the machine's life begins."""
    from procession.kernel.time.clock import DEFAULT_EPOCH_NS

    if options.epoch_ns is not None:
        return options.epoch_ns
    return time.time_ns() if options.is_real_time else DEFAULT_EPOCH_NS


def take_out(machine: Machine, options: RunOptions) -> bool:
    """Write to the host what the options say; False if something couldn't be, which has been told."""
    acts: list[tuple[str, Callable[[], list[str]]]] = []
    if options.volumes:
        acts.append(("--volume", machine.write_volumes))
    for guest_path, host_path in options.copies:
        acts.append(
            (f"--copy-out {guest_path}:{host_path}", partial(machine.copy_out, guest_path, host_path))
        )
    if options.layer_file is not None:
        acts.append(("--save-changes", partial(machine.save_changes, options.layer_file)))
    failures: list[str] = []
    for name, act in acts:
        try:
            failures += [f"{name}: {failure}" for failure in act()]
        except Errno as error:
            failures.append(f"{name}: {error.text}")
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            failures.append(f"{name}: {place}{error.strerror or error}")
    for failure in failures:
        fail(failure, 0)
    return not failures


def run_joined(machine: Machine, options: RunOptions) -> Result:
    """Run the program with this process's streams or terminal, and its signals."""
    from procession.cli.progress import make_progress

    machine.progress = progress = make_progress(
        machine, options.command, is_wanted=options.shows_progress, has_terminal=options.has_terminal
    )
    try:
        return run_with_signals(machine, options)
    finally:
        progress.close()


def run_with_signals(machine: Machine, options: RunOptions) -> Result:
    """Run the program with this process's signals passed on to it."""
    if not options.has_terminal:
        with forward_host_signals(machine):
            return machine.run_attached(
                options.command,
                pid1=options.is_pid1,
                time_limit_s=options.time_limit_s,
                wall_limit_s=options.wall_limit_s,
                is_paced=options.is_paced,
            )
    from procession.cli.host_terminal import raw_terminal

    with raw_terminal(options.has_keyboard, machine), forward_host_signals(machine):
        return machine.run_in_terminal(
            options.command,
            pid1=options.is_pid1,
            time_limit_s=options.time_limit_s,
            wall_limit_s=options.wall_limit_s,
            has_keyboard=options.has_keyboard,
        )


def environment_of(
    assignments: tuple[str, ...], *, is_root: bool, has_terminal: bool = False, is_added: bool = False
) -> dict[str, str]:
    """The program's environment: a fixed one, with `assignments` on top; `is_added` leaves out the fixed one.

    Raises ValueError.

    It isn't the caller's, so that a run is the same wherever it is started; but a terminal is of the kind
    that the caller's is. The machine knows the home of any other user than root.
    """
    from procession.launch import DEFAULT_ENVIRONMENT

    environment = {} if is_added else dict(DEFAULT_ENVIRONMENT)
    if not is_root:
        environment.pop("HOME", None)
    if has_terminal:
        environment["TERM"] = os.environ.get("TERM") or USUAL_TERMINAL
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not name:
            raise ValueError(f"--env {assignment}: a variable needs a name")
        if equals:
            environment[name] = value
        elif (host_value := os.environ.get(name)) is not None:
            environment[name] = host_value
    return environment


def status_of(result: Result) -> int:
    """The exit status for `result`: the program's own, or 128 and the signal that killed it."""
    if result.reason:
        return fail(result.reason, result.status)
    if not result.signal:
        return result.status
    from procession.trace.values import signal_name

    # As in a shell, the end of a pipeline's reader is nothing to talk about.
    if result.signal != SIGPIPE:
        note = f": {result.note}" if result.note else ""
        say(f"procession: killed by {signal_name(result.signal)}{note}")
    return 128 + result.signal


def fail(message: str, status: int) -> int:
    """Say `message` in one line on stderr; gives `status`."""
    say(f"procession: {message}")
    return status


def say(text: str) -> None:
    """Write lines to stderr, which may be a terminal that has gone: then nobody can be told."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def fail_to_execute(command: str, error: Errno) -> int:
    """Say why `command` can't be executed; the status that a shell gives for that."""
    if isinstance(error, ENOENT):
        if "/" not in command and "interpreter" not in error.reason:
            return fail(f"{command}: command not found", NOT_FOUND)
        return fail(f"{command}: {error}", NOT_FOUND)
    return fail(f"{command}: {error}", CANNOT_EXECUTE)


def recording_source(path: str) -> RecordingSource:
    """What keeps what a run is told of the directory `path` of the host."""
    from procession.recording.host_files import RecordingSource

    return RecordingSource(os.path.realpath(os.fsencode(path)))


def make_recorder(machine: Machine, source: RecordingSource | None) -> Recorder:
    """Who records the run of `machine`."""
    from procession.recording.recorder import Recorder

    return Recorder(machine, source)


def save_recording(recorder: Recorder, result: Result | None, name: str, *, is_bundle: bool = False) -> bool:
    """Write what was recorded; False if it couldn't be, which has been told."""
    from procession.recording.file import write_recording

    if not recorder.is_complete:
        fail(f"--record {name}: more came in than is kept, so that it can't be repeated", 0)
        return False
    try:
        write_recording(recorder.finish(result, is_bundle=is_bundle), name)
    except OSError as error:
        fail(f"--record {name}: {error.strerror}", 0)
        return False
    return True


def report_kernel_bug(machine: Machine, error: Exception, options: RunOptions) -> int:
    """Tell all that helps to mend a bug of the kernel, and leave a recording; gives the status for it."""
    import traceback

    from procession.breaking_off import call_in_traceback

    lines = ["procession: a bug in Procession's kernel; the program that it ran isn't to blame"]
    task = machine.kernel.current
    if task is not None:
        lines.append(f"  task:  {task.tid} ({task.command_name.decode(errors='replace')}), {task.state.name}")
        lines.append(f"  call:  {call_in_traceback(error) or task.call_name}")
    lines.append(f"  seed:  {machine.seed}")
    lines.append(f"  error: {type(error).__name__}: {error}")
    lines += ["  " + line for entry in traceback.format_exception(error) for line in entry.splitlines()]
    say("\n".join(lines))
    try:
        say(f"  {leave_recording(machine, options)}")
    except Exception as second:  # noqa: BLE001 - of a machine with a bug anything may be broken
        say(f"  it couldn't be recorded: {type(second).__name__}: {second}")
    return KERNEL_BUG


def leave_recording(machine: Machine, options: RunOptions) -> str:
    """Write a recording that reproduces a bug; says in words where it is, or why there is none."""
    from procession.recording.recorder import Recorder

    if options.debugger_port is not None:
        return "a machine that a debugger holds can't be recorded"
    name = options.record_file
    if name is None:
        import tempfile

        number, name = tempfile.mkstemp(prefix="procession-bug-", suffix=".recording")
        os.close(number)
    is_written = False
    try:
        is_written = save_recording(Recorder(machine), None, name)
    finally:
        if not is_written and name != options.record_file:
            os.unlink(name)
    return f"`procession replay {name}` reproduces it" if is_written else "it couldn't be recorded"
