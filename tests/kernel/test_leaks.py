"""Checks that programs, however they end, leave nothing of theirs in a machine but files."""

from __future__ import annotations

from pathlib import Path

import pytest

from procession.kernel.signal.generation import send_group_signal
from procession.kernel.signal.info import SigInfo
from procession.machine import Machine
from tests.kernel.leak_check import LeakCheck
from tests.of_a_kind import heavy

PROGRAMS = {
    "nothing": "true",
    "a pipeline": "seq 1000 | sort -r | tee /tmp/copy | wc -l",
    "many children": "for i in 1 2 3 4 5 6 7 8; do /bin/true & done; wait",
    "children killed": "for i in 1 2 3; do sleep 100 & done; kill %1 %2 %3; wait",
    "orphans": "(sleep 1 & sleep 2 &) ; true",
    "a stopped orphan": "set -m; sleep 100 & kill -STOP $!; true",
    "a fault": "(kill -SEGV $BASHPID); (kill -ABRT $BASHPID)",
    "files and locks": "exec 9>/tmp/l; flock 9; mkfifo /tmp/f; (echo x >/tmp/f &); cat /tmp/f; rm /tmp/f",
    "memory": "x=$(head -c 3000000 /dev/zero | tr '\\0' a); y=$x; (x=${x/a/b}; true); echo ${#y}",
    "failing execs": "/nothing; /etc/passwd; (ulimit -v 1000; /bin/true); exec /bin/true",
    "here-documents": "for i in 1 2 3; do cat <<< $i | cat; done; cat <(echo one) <(echo two)",
    "a trap": "trap 'echo term' TERM; kill -TERM $$; trap '' CHLD; /bin/true & wait",
    "user namespaces": "unshare -Ur unshare -Ur true; for i in 1 2 3; do unshare -U sleep 1 & done; wait %1",
    "settings of interfaces": """unshare -n sh -c '
        echo 1400 >/proc/sys/net/ipv6/conf/default/mtu; echo 1 >/proc/sys/net/ipv4/conf/default/proxy_arp
        ip link add v type veth peer w; ip link del v; ip link add v type veth peer w
        unshare -n sh -c "cd /proc/sys/net/ipv4/conf/default; echo 1 >arp_filter; echo 2 >arp_ignore
            sleep 2" &
        sleep 1; ip link set w netns $!; ip link show v; wait'""",
    "no more memory": "x=a; while :; do x=$x$x; done",
}
HEAVY = {
    *("memory", "no more memory", "a pipeline", "many children", "a trap", "here-documents"),
    "failing execs",
}


def leave_init_alone(machine: Machine) -> None:
    """Let the orphans end too, by SIGKILL if need be."""
    kernel = machine.kernel
    machine.run_until(lambda machine: machine.kernel.clock.now_ns > 60_000_000_000)
    for task in list(kernel.tasks):
        if task.is_leader and task.group is not kernel.init:
            send_group_signal(kernel, task.group, SigInfo(9, 0x80))
    machine.run_until(lambda machine: len(machine.kernel.tasks) == 1)


@pytest.mark.parametrize("name", [heavy(name) if name in HEAVY else name for name in PROGRAMS])
def test_nothing_is_left(guest_root: Path, name: str) -> None:
    machine = Machine(rootfs=guest_root, memory=48 << 20)
    check = LeakCheck(machine)
    result = machine.run(["/bin/bash", "-c", PROGRAMS[name]], time_limit_s=50)
    assert result.reason == ""
    leave_init_alone(machine)
    assert check.problems() == []
    machine.close()


def test_again_and_again_takes_no_more(guest_root: Path) -> None:
    machine = Machine(rootfs=guest_root, memory=64 << 20)
    check = LeakCheck(machine)
    used = []
    for _ in range(4):
        assert machine.run(["/bin/bash", "-c", "seq 100 | sort | wc -l"]).stdout == b"100\n"
        machine.run_until(lambda machine: len(machine.kernel.tasks) == 1)
        used.append(machine.memory.used_frames)
    assert used[1:] == used[:-1]
    assert check.problems() == []
    machine.close()


def test_a_leak_is_found(guest_root: Path) -> None:
    machine = Machine(rootfs=guest_root, memory=48 << 20)
    check = LeakCheck(machine)
    machine.run(["/bin/true"])
    machine.run_until(lambda machine: len(machine.kernel.tasks) == 1)
    assert check.problems() == []
    frame = machine.memory.allocate()
    assert any(f"frame {frame} has 0 holders" in problem for problem in check.problems())
    machine.close()
