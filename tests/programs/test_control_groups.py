"""Control groups as shells and scripts use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procession import Machine
from procession.hardware.kernel_memory import ABSENT_NAME
from procession.procfs.cgroup.file_system_type import cgroups_of

if TYPE_CHECKING:
    from pathlib import Path

    from procession.command_run import Result


def run(guest_root: Path, script: str, cpus: int = 1) -> Result:
    """What a shell script prints and returns."""
    machine = Machine(rootfs=guest_root, cwd="/sys/fs/cgroup", cpus=cpus)
    return machine.run(["sh", "-c", script], time_limit_s=120)


def printed(guest_root: Path, script: str, cpus: int = 1) -> list[str]:
    """The lines that a script prints, which ends well."""
    result = run(guest_root, script, cpus)
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


def test_what_sysfs_says_is_delegated_may_be_written_by_whom_it_was_delegated_to(guest_root: Path) -> None:
    result = run(
        guest_root,
        """
        echo +memory > cgroup.subtree_control
        mkdir own
        echo $$ > own/cgroup.procs
        unshare -C sh -c '
            while read file; do
                case $file in
                    cgroup.procs | cgroup.threads) what=$$ ;;
                    cgroup.subtree_control) what= ;;
                    *) what=0 ;;
                esac
                echo $what > own/$file && echo $file
            done < /sys/kernel/cgroup/delegate
            for file in memory.max memory.high cgroup.max.depth cgroup.freeze; do
                /bin/echo 0 > own/$file
            done
        ' 2>&1
        """,
    )
    written, refused = result.stdout.decode().splitlines()[:5], result.stdout.decode().splitlines()[5:]
    assert written == [
        *("cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "memory.oom.group", "memory.reclaim")
    ]
    assert len(refused) == 4
    assert all("not permitted" in line for line in refused), refused


FORK_BOMB = """
echo +pids > cgroup.subtree_control
mkdir bomb
echo 20 > bomb/pids.max
sh -c 'echo $$ > bomb/cgroup.procs; exec 2>/dev/null; bomb() { bomb | bomb & }; bomb' &
sleep 0.05
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
        mount -o remount,pids_localevents /sys/fs/cgroup
        grep -c ',pids_localevents$' /proc/self/mountinfo
        sh -c 'echo $$ > a/b/cgroup.procs; (true) || exit 0' 2>/dev/null
        cat a/pids.events a/b/pids.events a/b/pids.events.local a/pids.events.local
        """,
    )
    assert lines[:4] == ["2", "2", "max", "1"]
    assert lines[8] == "1"
    failures = [int(line.split()[1]) for line in lines[4:8]]
    assert failures[0] > 0
    assert failures == [failures[0], 0, 0, failures[0]]
    refused = [int(line.split()[1]) for line in lines[9:]]
    assert refused[1] > failures[0]
    assert refused == [0, refused[1], refused[1], 0]


def test_events_of_memory_are_told_above_unless_they_are_local(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        """
        echo +memory > cgroup.subtree_control; mkdir a a/b; echo +memory > a/cgroup.subtree_control
        exceed() {
            sh -c 'echo $$ > a/b/cgroup.procs; echo 4096 > a/b/memory.high; x=$(seq 20000)'
            echo max > a/b/memory.high
            for file in a/memory.events a/memory.events.local a/b/memory.events a/b/memory.events.local
            do sed -n 's/^high //p' $file; done
        }
        exceed
        mount -o remount,memory_localevents /sys/fs/cgroup
        exceed
        """,
    )
    above, at_above, below, at_below, *later = map(int, lines)
    assert above == below == at_below > at_above == 0
    assert later[2] == later[3] > below
    assert later[:2] == [above, 0]


@pytest.mark.heavy
def test_a_frozen_spinner_stands_still(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        """
        mkdir a
        sh -c 'while :; do :; done' & spinner=$!
        echo $spinner > a/cgroup.procs
        sleep 0.1
        echo 1 > a/cgroup.freeze
        # Whoever runs stops where it is next to run.
        until grep 'frozen 1' a/cgroup.events; do sleep 0.01; done
        cut -d' ' -f3,14 /proc/$spinner/stat > /tmp/before
        sleep 1
        cut -d' ' -f3,14 /proc/$spinner/stat | cmp /tmp/before - && cut -c1 /tmp/before
        echo 0 > a/cgroup.freeze; sleep 0.1
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


SPIN = "sh -c 'echo $$ > '$group/cgroup.procs'; while :; do :; done' &"


def used_us(line: str) -> int:
    """The figure of a line of cpu.stat."""
    return int(line.split()[1])


@pytest.mark.heavy
def test_weights_share_the_processor(guest_root: Path) -> None:
    """One task of weight 300 gets three times what two tasks of weight 100 get together."""
    lines = printed(
        guest_root,
        f"""
        echo +cpu > cgroup.subtree_control; mkdir a b; echo 300 > b/cpu.weight
        group=a; {SPIN}
        {SPIN}
        group=b; {SPIN}
        sleep 0.6
        head -n 1 a/cpu.stat; head -n 1 b/cpu.stat; cat a/cpu.weight b/cpu.weight.nice
        echo 1 > a/cgroup.kill; echo 1 > b/cgroup.kill; wait
        """,
    )
    assert 2.7 < used_us(lines[1]) / used_us(lines[0]) < 3.3
    assert lines[2:] == ["100", "-5"]


@pytest.mark.heavy
def test_sessions_share_the_processor(guest_root: Path) -> None:
    """With kernel.sched_autogroup_enabled two tasks of a session get as much as one of another together."""
    spin = "setsid sh -c '{} while :; do :; done' &"
    lines = printed(
        guest_root,
        f"""
        echo +cpu > cgroup.subtree_control; echo 1 > /proc/sys/kernel/sched_autogroup_enabled
        {spin.format("while :; do :; done &")} first=$!
        {spin.format("echo -5 > /proc/self/autogroup;")} second=$!
        sleep 0.8
        cat /proc/$first/schedstat /proc/$second/schedstat
        mkdir a; for task in $first $second; do echo $task > a/cgroup.procs; done
        echo 1 > a/cgroup.kill; pkill -KILL -s $first
        """,
    )
    first, second = (int(line.split()[0]) for line in lines[-2:])
    # 3121 for 1024, which two share.
    assert 5 < second / first < 7


@pytest.mark.heavy
def test_shares_are_shared_on_below(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        f"""
        echo +cpu > cgroup.subtree_control; mkdir a b; echo +cpu > a/cgroup.subtree_control
        mkdir a/c a/d; echo 50 > a/d/cpu.weight
        for group in b a/c a/d; do {SPIN} done
        sleep 0.6
        for group in b a a/c a/d; do head -n 1 $group/cpu.stat; done
        echo 1 > a/cgroup.kill; echo 1 > b/cgroup.kill; wait
        """,
    )
    other, upper, first, second = map(used_us, lines)
    assert 0.9 < upper / other < 1.1
    assert 1.7 < first / second < 2.3


@pytest.mark.heavy
def test_a_quota_throttles_a_spinner_to_its_share(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        f"""
        echo +cpu > cgroup.subtree_control; mkdir a
        echo '20000 100000' > a/cpu.max; cat a/cpu.max
        group=a; {SPIN}
        sleep 0.55
        cat a/cpu.stat
        echo max > a/cpu.max; cat a/cpu.max; sleep 0.1
        head -n 1 a/cpu.stat
        echo 1 > a/cgroup.kill; wait; rmdir a
        """,
    )
    assert lines[0] == "20000 100000"
    figures = {line.split()[0]: int(line.split()[1]) for line in lines[1:-2]}
    assert 100_000 <= figures["usage_usec"] <= 125_000
    assert figures["nr_periods"] == figures["nr_throttled"] == 5
    assert 380_000 <= figures["throttled_usec"] <= 450_000
    assert lines[-2] == "max 100000"
    assert used_us(lines[-1]) - figures["usage_usec"] > 75_000


@pytest.mark.heavy
def test_a_quota_counts_all_processors_together(guest_root: Path) -> None:
    machine = Machine(rootfs=guest_root, cwd="/sys/fs/cgroup", cpus=2)
    script = f"""
        echo +cpu > cgroup.subtree_control; mkdir a; echo '100000 100000' > a/cpu.max
        group=a; {SPIN}
        {SPIN}
        sleep 0.5
        head -n 1 a/cpu.stat; echo 1 > a/cgroup.kill; wait
    """
    result = machine.run(["sh", "-c", script])
    assert 450_000 <= used_us(result.stdout.decode()) <= 580_000


def test_what_can_t_be_said_of_processors(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        """
        echo +cpu > cgroup.subtree_control; mkdir a; cd a
        try() { (/bin/echo "$1" > $2) 2>&1 | sed 's/.*: //'; }
        for value in 0 10001 -1 x ' 100' '100 '; do try "$value" cpu.weight; done
        for value in 20 -21 ' 5'; do try "$value" cpu.weight.nice; done
        for value in 999 '1000 999' '1000 1000001' -1 x ''; do try "$value" cpu.max; done
        try 2000 cpu.max; try 2001 cpu.max.burst; try 1 cpu.idle; try 5 cpu.weight; cat cpu.weight cpu.max
        """,
    )
    too_much, invalid = "Numerical result out of range", "Invalid argument"
    expected = [too_much] * 2 + [invalid] * 4 + [too_much] * 2 + [invalid] * 7
    assert lines == [*expected, invalid, invalid, "0", "2000 100000"]


HOG = "sh -c 'echo $$ > a/cgroup.procs; exec tail /dev/zero'"


def test_out_of_memory_inside_a_group_kills_in_it_alone(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        f"""
        echo +memory > cgroup.subtree_control; mkdir a; echo 8M > a/memory.max; cat a/memory.max
        sleep 50 & other=$!
        {HOG}; echo $?
        cat a/memory.events
        read peak < a/memory.peak; test $peak -le 8388608 && test $peak -gt 8000000 && echo full
        kill -0 $other && echo spared; kill $other; grep -c . a/cgroup.procs; rmdir a
        """,
    )
    assert lines[:2] == ["8388608", "137"]
    events = dict(line.split() for line in lines[2:8])
    assert int(events.pop("max")) > 0
    assert events == {"low": "0", "high": "0", "oom": "1", "oom_kill": "1", "oom_group_kill": "0"}
    assert lines[8:] == ["full", "spared", "0"]


def test_a_limit_above_holds_below_and_a_group_is_killed_as_one(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        f"""
        echo +memory > cgroup.subtree_control; mkdir a b; echo +memory > b/cgroup.subtree_control
        rmdir a; mkdir b/a; cd b; echo 8M > memory.max; echo 1 > a/memory.oom.group
        sleep 50 & other=$!; echo $other > a/cgroup.procs
        {HOG}; echo $?; wait $other; echo $?
        tail -n 2 memory.events; tail -n 3 a/memory.events.local; tail -n 3 memory.events.local
        """,
    )
    # The victim is counted twice, as one of those too that are killed with it.
    assert lines[:4] == ["137", "137", "oom_kill 3", "oom_group_kill 1"]
    assert lines[4:7] == ["oom 0", "oom_kill 3", "oom_group_kill 1"]
    assert lines[7:] == ["oom 1", "oom_kill 0", "oom_group_kill 0"]


def test_who_is_over_memory_high_goes_on_slowly(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        f"""
        echo +memory > cgroup.subtree_control; mkdir a; echo 4M > a/memory.high
        {HOG} & sleep 5
        read usage < a/memory.current; test $usage -lt 40000000 && test $usage -gt 4194304 && echo slow
        grep -q 'high 0' a/memory.events || echo told; echo 1 > a/cgroup.kill; wait; cat a/memory.current
        """,
    )
    assert lines[:2] == ["slow", "told"]
    assert int(lines[2]) < 4 << 20


def test_what_ends_gives_its_memory_back(guest_root: Path) -> None:
    machine = Machine(rootfs=guest_root, cwd="/sys/fs/cgroup")
    script = """
        echo +memory > cgroup.subtree_control; mkdir a
        sh -c 'echo $$ > a/cgroup.procs; for i in 1 2 3 4 5 6; do ls -l / | sort > /dev/null; done'
    """
    assert machine.run(["sh", "-c", script], time_limit_s=60).status == 0
    counter = machine.kernel.cgroups.root.children[b"a"].memory
    assert counter is not None
    # Which names there aren't is remembered, until there is need.
    names = counter.kernel_kinds[ABSENT_NAME]
    assert 0 < counter.kernel_usage == names
    owned = sum(1 for owner in machine.memory.owners.values() if owner is counter)
    assert counter.usage == owned * 4096 + names


def test_a_set_of_processors_restricts_what_tasks_may_use(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        """
        allowed() { sed -n 's/^Cpus_allowed_list:.//p' /proc/$1/status; }
        echo +cpuset > cgroup.subtree_control; mkdir set set/inner 2>/dev/null
        cat cpuset.cpus.effective set/cpuset.cpus.effective; tr '\n' . < set/cpuset.cpus; echo
        sleep 1000 & echo $! > set/inner/cgroup.procs; cat /proc/$!/cgroup /proc/$!/cpuset
        echo $! > set/cgroup.procs; allowed $!
        echo 1-2 > set/cpuset.cpus; cat set/cpuset.cpus set/cpuset.mems.effective; allowed $!
        taskset -pc 2-3 $! >/dev/null; allowed $!; taskset -pc 3 $! 2>/dev/null >&2 || echo refused
        echo 0-1 > set/cpuset.cpus; allowed $!
        echo 0-3 > set/cpuset.cpus; allowed $!
        for wrong in 4 x 2-1 9999; do echo $wrong > set/cpuset.cpus || echo no; done 2>/dev/null
        sh -c 'echo $$ > set/cgroup.procs; sleep 0.1 & sed -n "s/^Cpus_allowed_list:.//p" /proc/$!/status'
        echo > set/cpuset.cpus; cat set/cpuset.cpus.effective
        echo 2 > set/cpuset.cpus; echo +cpuset > set/cgroup.subtree_control 2>/dev/null || echo busy
        echo $! > cgroup.procs; allowed $!
        echo +cpuset > set/cgroup.subtree_control; cat set/inner/cpuset.cpus.effective
        echo 3 > set/inner/cpuset.cpus; cat set/inner/cpuset.cpus.effective
        echo root > set/cpuset.cpus.partition || echo no partition
        """,
        cpus=4,
    )
    assert lines == [
        *("0-3", "0-3", "."),
        *("0::/set/inner", "/set"),
        "0-3",
        *("1-2", "0", "1-2"),
        *("2", "refused"),
        # What was asked for isn't among them, and is remembered.
        "0-1",
        "2-3",
        *("no", "no", "no", "no"),
        "0-3",
        "0-3",
        "2-3",
        *("2", "2"),
        "no partition",
    ]


def test_limits_of_devices_are_of_none(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        """
        exec 2>&1
        echo +io > cgroup.subtree_control; mkdir a; cat a/io.weight a/io.max a/io.stat
        reason() { cut -d: -f5; }
        for weight in 'default 200' 300; do echo "$weight" > a/io.weight && cat a/io.weight; done
        bash -c 'for weight in "default 0" 10001 default; do echo $weight > a/io.weight; done' 2>&1 | reason
        bash -c 'for limit in "8:0 rbps=1" 8:0 rbps=1; do echo $limit > a/io.max; done' 2>&1 | reason
        bash -c 'echo 8:0 50 > a/io.weight' 2>&1 | reason
        echo -io > cgroup.subtree_control; ls a/io.*; echo +io > cgroup.subtree_control; cat a/io.weight
        """,
    )
    invalid, no_device = " Invalid argument", " No such device"
    assert lines == [
        *("default 100", "default 200", "default 300"),
        *(invalid, invalid, invalid, no_device, no_device, invalid, no_device),
        *("a/io.pressure", "default 100"),
    ]


@pytest.mark.heavy
def test_pressure_of_a_group_grows_while_it_waits(guest_root: Path) -> None:
    lines = printed(
        guest_root,
        r"""
        echo "+cpu +memory" > cgroup.subtree_control; mkdir a b
        cat a/io.pressure /proc/pressure/memory; cat a/cpu.pressure b/cpu.pressure >/dev/null
        for group in a b; do sh -c "echo \$\$ > $group/cgroup.procs; while :; do :; done" & done
        sleep 2.1
        for group in a b; do
            awk '{ sub(/.*total=/, ""); print ($1 > 900000 && $1 < 1200000) }' $group/cpu.pressure
            awk '{ sub(/ avg60.*/, ""); print }' $group/cpu.pressure | grep -c 'avg10=[1-9]'
        done
        # One runs while the other waits: some of all are held up, but never all.
        cat /proc/pressure/cpu | grep -c 'full.*total=0$'
        echo 1 > a/cgroup.kill; echo 1 > b/cgroup.kill
        for text in 'some 1' 'none 500000 1000000' 'some 100 1' 'some 2000000 1000000' 'some x 1000000'; do
            echo $text > a/cpu.pressure || echo refused
        done 2>/dev/null
        """,
    )
    none = "avg10=0.00 avg60=0.00 avg300=0.00 total=0"
    assert lines == [f"some {none}", f"full {none}"] * 2 + ["1", "1", "2"] * 2 + ["1"] + ["refused"] * 5


@pytest.mark.heavy
def test_a_trigger_of_pressure_tells_who_polls(guest_root: Path) -> None:
    script = r"""
import os, select
os.makedirs("group")
fd = os.open("group/cpu.pressure", os.O_RDWR | os.O_NONBLOCK)
os.write(fd, b"some 50000 500000\0")
try:
    os.write(fd, b"some 50000 500000")
except OSError as error:
    print(error.errno)
poll = select.poll()
poll.register(fd, select.POLLPRI)
print(poll.poll(700))
for _ in range(2):
    if os.fork() == 0:
        with open("group/cgroup.procs", "w") as file:
            file.write("0")
        while True:
            pass
print(poll.poll(3000) == [(fd, select.POLLPRI)])
with open("group/cgroup.kill", "w") as file:
    file.write("1")
poll.poll(100)
print(poll.poll(700))
"""
    machine = Machine(rootfs=guest_root, cwd="/sys/fs/cgroup")
    result = machine.run(["python3", "-c", script], time_limit_s=60)
    assert result.stdout.decode().splitlines() == ["16", "[]", "True", "[]"], result.stderr
