"""Terminals compared with the host's: any modes, any keys and writes, read in any pieces."""

from __future__ import annotations

import os
import select
import struct
import sys
import time
from fcntl import ioctl
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from procession.abi.errno import EAGAIN
from procession.abi.ioctls import TerminalIoctl
from procession.abi.termios import Termios
from procession.fs.terminal.tty import TtyFile
from tests.fs.terminal_tree import TerminalPair
from tests.of_a_kind import examples

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the host has no Linux terminals")

LARGEST = 5000
PAUSES_S = (0.001, 0.03, 0.3)
"""How long the host's kernel is given to hand on what was written; the second if the first was too short."""

INPUT_FLAGS = (0o40, 0o100, 0o200, 0o400, 0o1000, 0o2000, 0o4000, 0o40000, 0o10)
OUTPUT_FLAGS = (1, 2, 4, 0o10, 0o20, 0o40, 0o14000)
LOCAL_FLAGS = (1, 2, 0o10, 0o20, 0o40, 0o100, 0o200, 0o1000, 0o2000, 0o4000, 0o100000, 0o200000)
KEYS = b"\x03\x1c\x7f\x15\x04\x11\x13\x1a\x12\x17\x16\r\n\t\b !aB_9\x01\x00\xff\xc3\xa9\xe2\x82\xacZ?"


class Step(NamedTuple):
    """Something that is done: "type" or "write" `data`, "read" `length`, set "modes"."""

    kind: str
    data: bytes = b""
    length: int = 0
    modes: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)


def flags(choices: tuple[int, ...], usual: int) -> st.SearchStrategy[int]:
    """Some of the flags, often those that are usual, or almost."""
    some = st.lists(st.sampled_from(choices), unique=True).map(sum)
    few = st.lists(st.sampled_from(choices), unique=True, max_size=2).map(sum)
    return st.one_of(st.just(usual), few.map(lambda changed: usual ^ changed), some)


keys = st.lists(st.sampled_from(KEYS), min_size=1, max_size=40).map(bytes)
texts = st.one_of(keys, st.binary(max_size=20), st.just(b"x" * 300))
modes = st.tuples(
    flags(INPUT_FLAGS, 0o2400),
    flags(OUTPUT_FLAGS, 5),
    flags(LOCAL_FLAGS, 0o105073),
    st.sampled_from((0, 1, 3)),
    st.sampled_from((0, ord("!"))),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("type", "type", "write")), texts).map(lambda pair: Step(pair[0], pair[1])),
        st.sampled_from((1, 2, 5, 64, LARGEST)).map(lambda length: Step("read", length=length)),
        modes.map(lambda wanted: Step("modes", modes=wanted)),
    ),
    max_size=16,
)


def chosen(before: Termios, wanted: tuple[int, int, int, int, int]) -> Termios:
    """The modes with those flags, VMIN and VEOL."""
    characters = bytearray(before.c_cc)
    characters[6], characters[11] = wanted[3], wanted[4]
    return Termios(wanted[0], wanted[1], before.c_cflag, wanted[2], before.c_line, bytes(characters))


def on_host(todo: list[Step], pause_s: float) -> list[object]:
    """What the host's terminal gives."""
    master, slave = os.openpty()
    os.set_blocking(master, False)
    os.set_blocking(slave, False)
    seen: list[object] = []
    try:
        for step in todo:
            if step.kind == "modes":
                before = Termios.unpack_from(ioctl(slave, TerminalIoctl.TCGETS, bytes(Termios.SIZE)))
                ioctl(slave, TerminalIoctl.TCSETS, chosen(before, step.modes).pack())
            elif step.kind == "read":
                seen.append(host_read(slave, step.length))
            else:
                try:
                    seen.append(os.write(master if step.kind == "type" else slave, step.data))
                except BlockingIOError:
                    seen.append("EAGAIN")
            time.sleep(pause_s)
            while select.select([master], [], [], 0)[0] and len(seen) < LARGEST:
                seen.append(host_read(master, LARGEST))
                time.sleep(pause_s)
            seen.append(struct.unpack("i", ioctl(slave, TerminalIoctl.TIOCINQ, bytes(4)))[0])
            seen.append(bool(select.select([slave], [], [], 0)[0]))
    finally:
        os.close(master)
        os.close(slave)
    return joined(seen)


def host_read(descriptor: int, count: int) -> bytes | str:
    """What a read gives."""
    try:
        return os.read(descriptor, count)
    except BlockingIOError:
        return "EAGAIN"


def in_procession(todo: list[Step]) -> list[object]:
    """What Procession's terminal gives."""
    pair = TerminalPair()
    seen: list[object] = []
    for step in todo:
        if step.kind == "modes":
            pair.modes = chosen(pair.modes, step.modes)
        elif step.kind == "read":
            seen.append(read(pair.slave, step.length))
        else:
            try:
                seen.append((pair.master if step.kind == "type" else pair.slave).write(step.data))
            except EAGAIN:
                seen.append("EAGAIN")
        while pair.master.poll_mask() & select.POLLIN:
            seen.append(read(pair.master, LARGEST))
        seen.append(pair.waiting(pair.slave))
        seen.append(bool(pair.slave.poll_mask() & select.POLLIN))
    return joined(seen)


def read(file: TtyFile, count: int) -> bytes | str:
    """What a read gives."""
    try:
        return file.read(count)
    except EAGAIN:
        return "EAGAIN"


def joined(seen: list[object]) -> list[object]:
    """The same with what was shown in several pieces in one."""
    result: list[object] = []
    for item in seen:
        if isinstance(item, bytes) and result and isinstance(result[-1], bytes):
            result[-1] += item
        else:
            result.append(item)
    return result


@settings(max_examples=examples(150))
@given(steps)
def test_terminals_do_what_the_hosts_do(todo: list[Step]) -> None:
    ours = in_procession(todo)
    for pause_s in PAUSES_S:
        theirs = on_host(todo, pause_s)
        if ours == theirs:
            return
    assert ours == theirs
