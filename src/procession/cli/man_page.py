"""The manual page of the `procession` command, made from its options: what share/man/man1 holds."""

from __future__ import annotations

import click

from procession.cli.command_line import procession

STATUSES = (
    ("1", "The program's output, the trace, or what was to be taken out, couldn't be written."),
    ("2", "The command was used wrongly."),
    ("70", "A bug of Procession's kernel; a report says where."),
    ("124", "The time limit has passed."),
    ("125", "Every task in the machine sleeps, and nothing can wake any of them."),
    ("126, 127", "The program can't be executed, or wasn't found."),
    ("128 + n", "Signal n killed the program."),
)
FILES_TEXT = (
    "The program sees the host's files, or those below --rootfs, and may change them all: its changes stay "
    "in the machine. Only a --volume, --copy-out or --save-changes brings any of them to the host. What the "
    "caller may not read can't be read inside either: the program, though it is root there, gets EACCES for "
    "it."
)
EXAMPLES = (
    ("A shell with job control", "procession run -it -- bash"),
    ("Every system call, as strace prints them", "procession run --trace -- sh -c '(exit 3); echo done'"),
    ("A build whose results get out", "procession run --volume .:/work --cwd /work -- make"),
    ("What a command changes, as a layer", "procession run --save-changes layer.tar -- touch /etc/new"),
)


def man_page() -> str:
    """The page, in the man macros."""
    lines = [
        '.\\" Made by `procession manual`.',
        ".TH PROCESSION 1",
        ".SH NAME",
        "procession \\- run Linux programs on a kernel that is a Python program",
        ".SH SYNOPSIS",
    ]
    for name, command in visible_commands():
        pieces = command.collect_usage_pieces(click.Context(command, info_name=name))
        lines += [f".B procession {escaped(name)}", escaped(" ".join(pieces)), ".br"]
    lines += [".SH DESCRIPTION", escaped(" ".join((procession.help or "").split()))]
    for name, command in visible_commands():
        lines += [f".SS procession {escaped(name)}"]
        for paragraph in (command.help or "").split("\n\n"):
            lines += [escaped(" ".join(paragraph.split())), ".PP"]
        context = click.Context(command, info_name=name)
        for parameter in command.params:
            record = parameter.get_help_record(context)
            if record is not None:
                lines += [".TP", f"\\fB{escaped(record[0])}\\fR", escaped(record[1])]
    lines += [".SH FILES OF THE HOST", escaped(FILES_TEXT), ".SH EXIT STATUS"]
    lines += ["That of the program, or:"]
    for status, text in STATUSES:
        lines += [".TP", f".B {escaped(status)}", escaped(text)]
    lines += [".SH SIGNALS", "SIGUSR1 prints the machine's processes and what each waits for."]
    lines += ["Other signals reach the program.", ".SH EXAMPLES"]
    for text, example in EXAMPLES:
        lines += [f"{escaped(text)}:", ".PP", ".in +4n", ".nf", escaped(example), ".fi", ".in", ".PP"]
    return "\n".join(lines) + "\n"


def visible_commands() -> list[tuple[str, click.Command]]:
    """The commands that `procession --help` lists."""
    return [(name, command) for name, command in procession.commands.items() if not command.hidden]


def escaped(text: str) -> str:
    """`text` as roff prints it: a line may not begin with a dot, and hyphens are those of options."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text
