"""Families of system calls are imported when one of their calls is looked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from procession.syscalls import FIRST_FAMILIES, load_all
from procession.syscalls.declaration import TABLE, SystemCall

_LOOK = """
import sys
from procession.syscalls import load_first
from procession.syscalls.declaration import TABLE
load_first()
before = "procession.syscalls.landlock" in sys.modules
call = TABLE[444]
print(before, TABLE.calls[0].name, call.name, TABLE[511], len([each for each in TABLE if each]))
"""
_RUN = """
import sys
from procession import Machine
machine = Machine(rootfs=sys.argv[1])
status = machine.run(["/bin/true"]).status
print(status, *(name in sys.modules for name in ("procession.net.internet.tcp", "procession.procfs.system")))
"""


def printed(code: str, *arguments: str) -> list[str]:
    """The words that a new Python prints."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_a_call_is_found_in_a_family_that_is_not_imported_yet() -> None:
    """And all are there for who goes through the table."""
    load_all()
    declared = sum(call is not None for call in TABLE.calls)
    assert printed(_LOOK) == ["False", "read", "landlock_create_ruleset", "None", str(declared)]


def test_a_short_program_needs_neither_sockets_nor_proc(guest_root: Path) -> None:
    """They'd take an eighth of its time."""
    assert printed(_RUN, str(guest_root)) == ["0", "False", "False"]


def test_first_families_are_families() -> None:
    """Each declares calls."""
    load_all()
    found = {call.handler.__module__.rpartition(".")[2] for call in TABLE if call is not None}
    assert set(FIRST_FAMILIES) <= found


def test_a_number_is_declared_once() -> None:
    """A second declaration is a mistake of who writes it."""
    with pytest.raises(ValueError, match="system call 0 is declared twice: read and again"):
        TABLE.declare(SystemCall(0, "again", lambda task: None, {"return": "None"}))
