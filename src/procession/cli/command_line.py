"""The `procession` command: what each of its commands is given, and who does it."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from procession.cli.options import (
    TRACE_TO_STDERR,
    complete_files,
    memory_size,
    with_explore_options,
    with_machine_options,
    with_trace_options,
)
from procession.cli.starting import starting

USE_ERROR = 2
COMPLETION_VARIABLE = "_PROCESSION_COMPLETE"


class RunCommand(click.Command):
    """`procession run`, whose `--trace` takes a file only after `=`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse `args`, having written a bare `--trace` out as `--trace=-`."""
        takes_value = {
            name: not (isinstance(param, click.Option) and param.is_flag)
            for param in self.params
            for name in param.opts
        }
        position = 0
        while position < len(args) and args[position].startswith("-") and args[position] != "--":
            if args[position] == "--trace":
                args[position] = f"--trace={TRACE_TO_STDERR}"
            # An option's value may look like an option.
            position += 2 if takes_value.get(args[position]) else 1
        return super().parse_args(ctx, args)


def show_version(ctx: click.Context, _param: click.Parameter, is_asked_for: bool) -> None:
    """Print the version and end, if `--version` was given."""
    if is_asked_for and not ctx.resilient_parsing:
        from importlib.metadata import version

        from procession import is_compiled

        click.echo(f"procession {version('procession')}{' (compiled)' if is_compiled() else ''}")
        ctx.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.option(
    "--version",
    is_flag=True,
    help="Show the version and exit.",
    is_eager=True,
    expose_value=False,
    callback=show_version,
)
@click.pass_context
def procession(context: click.Context) -> None:
    """Run Linux programs on a kernel that is a Python program."""
    if context.invoked_subcommand is None:
        context.fail("missing command: `procession --help` lists them, `procession run -- bash` runs a shell")


@procession.command(cls=RunCommand, context_settings={"allow_interspersed_args": False})
@with_machine_options
@click.option(
    "--trace",
    metavar="[=FILE]",
    help="Print system calls as strace does, to stderr or to FILE.",
)
def run(command: tuple[str, ...], trace: str | None, **values: Any) -> int:
    """Run a program on a new machine.

    Its streams are the caller's, and its exit status is this command's. SIGUSR1 prints a table of its
    processes with what each waits for; other signals reach the program.
    """
    from procession.cli.run import RunOptions, run_program

    if trace is None:
        return run_program(RunOptions(command, **values))
    from procession.cli.view import StraceView

    return run_program(RunOptions(command, **values), StraceView(trace))


@procession.command(context_settings={"allow_interspersed_args": False})
@with_machine_options
@with_trace_options
def trace(command: tuple[str, ...], **values: Any) -> int:
    """Run a program and show what the kernel does.

    Without --json, --graph, --states, --export or --summary that is every system call, as strace prints them.
    """
    from procession.cli.run import RunOptions, fail, run_program
    from procession.cli.view import make_view, taken_options

    try:
        view = make_view(taken_options(values))
    except ValueError as error:
        return fail(str(error), USE_ERROR)
    return run_program(RunOptions(command, **values), view)


@procession.command(context_settings={"allow_interspersed_args": False})
@with_explore_options
@click.option(
    "--rootfs",
    metavar="DIR",
    shell_complete=complete_files,
    help="The tree that the program sees as /. [default: the host's /]",
)
@click.option(
    "--image", metavar="PATH[:NAME]", shell_complete=complete_files, help="The files of a container image."
)
@click.option("--seed", type=int, default=0, metavar="N", help="Decides what chance decides.")
@click.option("--env", "environment", multiple=True, metavar="K=V", help="Set a variable.")
@click.option("--cwd", "directory", metavar="DIR", shell_complete=complete_files, help="Where it starts.")
@click.option("--user", metavar="USER[:GROUP]", help="Who the program runs as.")
@click.option("--pid1", "is_pid1", is_flag=True, help="Make the program PID 1.")
@click.option(
    "--memory", "memory_bytes", type=memory_size, default="256M", metavar="SIZE", help="[default: 256M]"
)
@click.option(
    "--progress/--no-progress", "shows_progress", default=None, help="[default: if stderr is a terminal]"
)
def explore(command: tuple[str, ...], **values: Any) -> int:
    """Run a program in every schedule, and tell of those that fail.

    A task may be interrupted in front of each system call. The exit status is 1 if a schedule fails, and its
    story is printed and recorded; 0 if none does, with a statement of what was tried.
    """
    with starting():
        from procession.cli.explore import ExploreOptions, explore_program

    return explore_program(ExploreOptions(command, **values))


@procession.command()
@click.option("--trace", "is_traced", is_flag=True, help="Show system calls as strace prints them.")
@click.option(
    "--rootfs", metavar="DIR", shell_complete=complete_files, help="Not the recorded tree, but DIR."
)
@click.option("--quiet", is_flag=True, help="Don't print what the program wrote.")
@with_trace_options
@click.argument("recording", type=click.Path(dir_okay=False), metavar="RECORDING")
def replay(recording: str, rootfs: str | None, quiet: bool, is_traced: bool, **values: Any) -> int:
    """Run a recording of `run --record` again, to the byte.

    The exit status is the recorded program's; it is 3 if this run isn't the recorded one, and stderr says
    where they part, and which of the host's files have changed. Options of `trace` show what the kernel does.
    """
    with starting():
        from procession.cli.replay import replay_file
    from procession.cli.run import fail
    from procession.cli.view import make_view, taken_options

    options = taken_options(values)
    try:
        view = make_view(options) if is_traced or options.is_asked_for else None
    except ValueError as error:
        return fail(str(error), USE_ERROR)
    return replay_file(recording, rootfs, view, shows_output=not quiet)


@procession.command()
@click.option(
    "--at",
    default="end",
    metavar="WHEN",
    help="A time such as 1.5s, 20ms or 300us; an event: fork, exec, exit, SIGCHLD, openat, ENOENT ..., the "
    "third of which is exec#3; or the end. [default: end]",
)
@click.option("--pid", type=int, metavar="N", help="Only the task N, in full. [default: an overview]")
@click.option("--diff", "other", metavar="WHEN", help="What is different in the task at WHEN.")
@click.option(
    "--rootfs", metavar="DIR", shell_complete=complete_files, help="Not the recorded tree, but DIR."
)
@click.option(
    "--as", "style", type=click.Choice(["linux", "nt"]), default="linux", help="Whose names fields bear."
)
@click.option(
    "--export",
    "exports",
    multiple=True,
    metavar="WHAT=FILE",
    help="Draw ipc or namespaces: FILE ends in .mmd for Mermaid or .dot for Graphviz.",
)
@click.argument("recording", type=click.Path(dir_okay=False), metavar="RECORDING")
def inspect(recording: str, at: str, pid: int | None, other: str | None, **values: Any) -> int:
    """Show the kernel's objects at one moment of a recorded run.

    Without --pid that is the tree of processes, the namespaces, and who can talk to whom through what. With
    it, all of a task as Linux's task_struct groups it: its areas with private, shared and copy-on-write
    frames, its descriptors with who shares them, signals, credentials, namespaces.
    """
    with starting():
        from procession.cli.inspect import inspect_recording

    return inspect_recording(recording, at, pid, other, **values)


@procession.command()
@click.option("--rootfs", type=click.Path(file_okay=False, exists=True), help="Where its files are now.")
@click.option("--script", type=click.Path(dir_okay=False), help="Read the commands from this file.")
@click.argument("recording", type=click.Path(dir_okay=False), metavar="RECORDING")
def debug(recording: str, rootfs: str | None, script: str | None) -> int:
    """Go forward and back in a recorded run.

    A command line, whose `help` lists the commands: step and back by event, system call, switch or change of
    state; until and back-to an event, or to where a file was opened, a page got its frame, a signal was
    sent, a zombie ended; print a task, the tree, the IPC graph, or the kernel's functions in the next system
    call. Without a terminal the commands are read from stdin.
    """
    with starting():
        from procession.cli.debug import debug_recording

    return debug_recording(recording, rootfs, script)


@procession.command()
@click.option("--json", "form", flag_value="json", help="As JSON.")
@click.option("--markdown", "form", flag_value="markdown", help="As the page docs/coverage.md.")
def syscalls(form: str | None) -> None:
    """List Linux's system calls and which are built."""
    from procession.cli.coverage import coverage_as_json, coverage_as_markdown, coverage_as_text

    writers = {"json": coverage_as_json, "markdown": coverage_as_markdown}
    click.echo(writers.get(form or "", coverage_as_text)(), nl=False)


@procession.command(hidden=True)
@click.option("--complete", "shell", type=click.Choice(["bash", "zsh", "fish"]), help="A shell's completion.")
def manual(shell: str | None) -> None:
    """Print what is installed beside the command: its manual page, or a shell's completion."""
    if shell is None:
        from procession.cli.man_page import man_page

        click.echo(man_page(), nl=False)
        return
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is not None:
        click.echo(kind(procession, {}, "procession", COMPLETION_VARIABLE).source(), nl=False)


def run_command_line(arguments: list[str]) -> int:
    """Run the command that `arguments` name; the status with which to exit.

    A mistake in their use is one line on stderr and status 2. With COMPLETION_VARIABLE in the environment, it
    answers a shell that wants to complete a line.
    """
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction is not None:
        from click.shell_completion import shell_complete

        return shell_complete(procession, {}, "procession", COMPLETION_VARIABLE, instruction)
    try:
        with procession.make_context("procession", arguments) as context:
            result = procession.invoke(context)
    except click.exceptions.Exit as exit:
        return exit.exit_code
    except click.ClickException as error:
        print(f"procession: {one_line(error)}", file=sys.stderr)
        return USE_ERROR
    return result if isinstance(result, int) else 0


def one_line(error: click.ClickException) -> str:
    """What `error` says, as one sentence that starts in lower case."""
    message = " ".join(error.format_message().split()).removesuffix(".")
    return message[:1].lower() + message[1:]
