"""A machine's terminal as a library's user has it: typed into and looked at between two steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from procession import Machine
from procession.fs.terminal.host import HostTerminal
from tests.terminal.dialogue import ENVIRONMENT


class Desk:
    """A machine with a terminal in which bash runs."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        self.machine = Machine(rootfs=root, seed=seed, environment=ENVIRONMENT, cwd="/tmp")
        self.terminal: HostTerminal = self.machine.open_terminal()
        self.machine.start(["bash", "--norc"])
        self.shown = b""

    def wait_for(self, text: bytes) -> bytes:
        """Run until the terminal shows `text`; all that was shown until then since the last call."""

        def has_come(machine: Machine) -> bool:
            self.shown += self.terminal.take()
            return text in self.shown

        assert self.machine.run_until(has_come), self.shown
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def type(self, text: bytes) -> None:
        """Press keys."""
        assert self.terminal.feed(text) == len(text)


@pytest.fixture
def desk(guest_root: Path) -> Iterator[Desk]:
    desk = Desk(guest_root)
    yield desk
    desk.machine.close()


def work(desk: Desk) -> list[bytes]:
    """Do some things at a desk; what was shown."""
    shown = [desk.wait_for(b"$ ")]
    desk.type(b"sleep 100\r")
    shown.append(desk.wait_for(b"sleep 100\r\n"))
    desk.type(b"\x1a")
    shown.append(desk.wait_for(b"Stopped"))
    shown.append(desk.wait_for(b"$ "))
    desk.type(b"cat & jobs; echo unfinished\x17")
    shown.append(desk.wait_for(b"\x08\x1b[K" * 1))
    return shown


def test_jobs_are_seen_from_inside_the_kernel(desk: Desk) -> None:
    desk.wait_for(b"$ ")
    command = desk.machine.command
    assert command is not None
    tty = desk.terminal.slave_tty
    session = command.group.process_group.session
    assert (tty.session, command.group.terminal) == (session, tty)
    assert tty.foreground is command.group.pid
    desk.type(b"sh -c 'echo re''ady; exec sleep 100'\r")
    desk.wait_for(b"ready\r\n")
    group = tty.foreground.process_group
    assert group is not None
    assert [member.leader.command_name for member in group.members] in ([b"sh"], [b"sleep"])
    desk.type(b"\x03")
    desk.wait_for(b"$ ")
    assert tty.foreground is command.group.pid
    desk.terminal.resize(33, 99)
    desk.type(b"stty size\r")
    desk.wait_for(b"33 99\r\n")
    desk.terminal.hang_up()
    while desk.machine.step():
        continue
    assert command.group.terminal is None
    assert command.group.exit_code == 1


@pytest.mark.heavy
def test_the_same_keys_give_the_same_run(guest_root: Path) -> None:
    desks = [Desk(guest_root, seed=3) for _ in range(2)]
    first, second = (work(desk) for desk in desks)
    assert first == second
    assert desks[0].machine.state_hash() == desks[1].machine.state_hash()
    before = desks[0].machine.state_hash()
    desks[0].type(b"x")
    assert desks[0].machine.state_hash() != before
    for desk in desks:
        desk.machine.close()


def test_time_jumps_where_nobody_holds_it(desk: Desk) -> None:
    desk.wait_for(b"$ ")
    desk.type(b"sleep 100000; echo ov''er\r")
    desk.wait_for(b"over\r\n")
    assert desk.machine.kernel.clock.now_ns > 100_000 * 10**9
