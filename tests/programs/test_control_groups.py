"""Control groups as shells and scripts use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from procession import Machine
from procession.procfs.cgroup.file_system_type import cgroups_of

if TYPE_CHECKING:
    from pathlib import Path

    from procession.machine import Result


def run(guest_root: Path, script: str) -> Result:
    """What a shell script prints and returns."""
    machine = Machine(rootfs=guest_root, cwd="/sys/fs/cgroup")
    return machine.run(["sh", "-c", script], time_limit_s=120)


def printed(guest_root: Path, script: str) -> list[str]:
    """The lines that a script prints, which ends well."""
    result = run(guest_root, script)
    assert result.status == 0, (result.status, result.stdout, result.stderr, result.reason)
    return result.stdout.decode().splitlines()


def test_a_machine_has_one_hierarchy(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        """
        grep -c ' /sys/fs/cgroup .* - cgroup2 cgroup2 rw,nsdelegate,memory' /proc/self/mountinfo
        cat /proc/self/cgroup
        grep cgroup2 /proc/filesystems
        mkdir /tmp/more && mount -t cgroup2 none /tmp/more && mkdir /tmp/more/a && ls -d a
        echo $$ > a/cgroup.procs && cat /proc/self/cgroup
        """,
    )
    assert lines == ["1", "0::/", "nodev\tcgroup2", "a", "0::/a"]


FORK_BOMB = """
echo +pids > cgroup.subtree_control
mkdir bomb
echo 20 > bomb/pids.max
sh -c 'echo $$ > bomb/cgroup.procs; exec 2>/dev/null; bomb() { bomb | bomb & }; bomb' &
sleep 1
cat bomb/pids.peak
# Outside, there is room as before.
for i in 1 2 3 4 5 6 7 8 9 10; do true & done
wait -n 2>/dev/null
echo usable
read what count < bomb/pids.events
test $count -gt 0 && echo refused
echo 1 > bomb/cgroup.kill
while ! grep -q 'populated 0' bomb/cgroup.events; do sleep 0.01; done
rmdir bomb && echo gone
"""


def test_a_fork_bomb_is_stopped_and_the_rest_is_usable(guest_root: Path) -> None:
    assert printed(guest_root, FORK_BOMB) == ["20", "usable", "refused", "gone"]


def test_a_limit_below_what_runs_refuses_only_forks(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        """
        echo +pids > cgroup.subtree_control; mkdir a a/b; echo +pids > a/cgroup.subtree_control
        echo 1 > a/pids.max
        sleep 9 & echo $! > a/b/cgroup.procs; sleep 9 & echo $! > a/b/cgroup.procs
        cat a/pids.current a/b/pids.current a/b/pids.max a/pids.max
        sh -c 'echo $$ > a/b/cgroup.procs; (true) || exit 0' 2>/dev/null
        cat a/pids.events a/b/pids.events a/b/pids.events.local a/pids.events.local
        """,
    )
    assert lines[:4] == ["2", "2", "max", "1"]
    failures = [int(line.split()[1]) for line in lines[4:]]
    assert failures[0] > 0
    assert failures == [failures[0], 0, failures[0], 0]


def test_a_frozen_spinner_stands_still(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        """
        mkdir a
        sh -c 'while :; do :; done' & spinner=$!
        echo $spinner > a/cgroup.procs
        sleep 0.1
        echo 1 > a/cgroup.freeze
        grep frozen a/cgroup.events
        cut -d' ' -f3,14 /proc/$spinner/stat > /tmp/before
        sleep 1
        cut -d' ' -f3,14 /proc/$spinner/stat | cmp /tmp/before - && cut -c1 /tmp/before
        echo 0 > a/cgroup.freeze; sleep 0.5
        cut -d' ' -f3,14 /proc/$spinner/stat | cmp -s /tmp/before - || echo goes on
        kill $spinner; wait $spinner; echo $?
        rmdir a
        """,
    )
    assert lines == ["frozen 1", "S", "goes on", "143"]


def test_groups_that_come_and_go_leave_nothing(guest_root: Path) -> None:
    machine = Machine(rootfs=guest_root)
    script = """
        cd /sys/fs/cgroup
        round() { mkdir $1; sleep 9 & echo $! > $1/cgroup.procs; cat $1/* > /dev/null 2>&1
                  echo 1 > $1/cgroup.kill; wait $!; rmdir $1; }
        for i in 1 2 3 4 5 6 7 8; do round g$i; done
    """
    assert machine.run(["sh", "-c", script]).status == 0
    system = cgroups_of(machine.kernel)
    assert machine.kernel.cgroups.count == 1
    assert [group.name for group in system.directories] == [b""]
