"""Tests of single values as strace writes them."""

from __future__ import annotations

import pytest

from procession.abi.clone_flags import CloneFlag
from procession.abi.mmap_flags import Protection
from procession.abi.open_flags import OpenFlag
from procession.abi.sched import SchedAttr
from procession.abi.sigaction import Sigaction
from procession.abi.time import Timespec
from procession.trace.values import (
    flags_text,
    mode_text,
    quoted,
    signal_code_text,
    signal_name,
    signal_set_text,
    structure_text,
    wait_status_text,
)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"hello\n", '"hello\\n"'),
        (b'say "x\\"', '"say \\"x\\\\\\""'),
        (b"\0a", '"\\0a"'),
        (b"\x001", '"\\0001"'),
        (b"\x7fELF\2\1", '"\\177ELF\\2\\1"'),
        (b"\xff", '"\\377"'),
        (b"x" * 32, '"' + "x" * 32 + '"'),
        (b"x" * 33, '"' + "x" * 32 + '"...'),
        (b"", '""'),
    ],
)
def test_strings_are_quoted_and_cut_at_32_bytes(data: bytes, text: str) -> None:
    assert quoted(data) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "O_RDONLY"),
        (0o2000000, "O_RDONLY|O_CLOEXEC"),
        (0o1101, "O_WRONLY|O_CREAT|O_TRUNC"),
        (0o4010000, "O_RDONLY|O_SYNC"),
        (1 << 30, "O_RDONLY|0x40000000"),
    ],
)
def test_open_flags_show_the_access_mode_that_is_zero(value: int, text: str) -> None:
    assert flags_text(OpenFlag, value) == text


def test_zero_is_named_only_when_nothing_is_set() -> None:
    assert flags_text(Protection, 0) == "PROT_NONE"
    assert flags_text(Protection, 4) == "PROT_EXEC"
    assert flags_text(CloneFlag, 0) == "0"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (3 << 8, "{WIFEXITED(s) && WEXITSTATUS(s) == 3}"),
        (15, "{WIFSIGNALED(s) && WTERMSIG(s) == SIGTERM}"),
        (11 | 0x80, "{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)}"),
        (19 << 8 | 0x7F, "{WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP}"),
        (0xFFFF, "{WIFCONTINUED(s)}"),
    ],
)
def test_wait_statuses_are_taken_apart(status: int, text: str) -> None:
    assert wait_status_text(status) == text


def test_signals_have_names() -> None:
    assert [signal_name(number) for number in (6, 29, 32, 34, 99)] == [
        "SIGABRT",
        "SIGIO",
        "SIGRTMIN",
        "SIGRT_2",
        "99",
    ]
    assert signal_set_text(0x10002) == "[INT CHLD]"
    assert signal_set_text((1 << 64) - 1 - (1 << 8) - (1 << 18)) == "~[KILL STOP]"
    assert signal_code_text(17, 1) == "CLD_EXITED"
    assert signal_code_text(15, 0) == "SI_USER"
    assert signal_code_text(11, 1) == "SEGV_MAPERR"
    assert signal_code_text(11, 0x80) == "SI_KERNEL"


def test_modes_and_structures() -> None:
    assert mode_text(0o644) == "0644"
    assert mode_text(0) == "000"
    assert mode_text(0o100755) == "S_IFREG|0755"
    assert structure_text(Timespec(tv_sec=1, tv_nsec=5)) == "{tv_sec=1, tv_nsec=5}"
    action = Sigaction(sa_handler=0x1000, sa_flags=0x14000000, sa_mask=1 << 16)
    assert structure_text(action) == (
        "{sa_handler=0x1000, sa_mask=[CHLD], sa_flags=SA_RESTORER|SA_RESTART, sa_restorer=0x0}"
    )
    scheduling = structure_text(SchedAttr(size=56, sched_policy=6, sched_flags=0x81))
    assert scheduling.startswith(
        "{size=56, sched_policy=SCHED_DEADLINE, sched_flags=SCHED_FLAG_RESET_ON_FORK|0x80, "
    )
    assert "sched_policy=SCHED_OTHER, sched_flags=0, " in structure_text(SchedAttr(size=56))
