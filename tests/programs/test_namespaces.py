"""Runs Debian's unshare, nsenter, lsns and ps in namespaces of their own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from procession.command_run import Result
from procession.kernel.rlimit import RLIMIT_NPROC
from procession.machine import Machine
from tests.of_a_kind import first_of

NESTED = """
unshare -p --fork --mount-proc sh -c '
    unshare -p --fork --mount-proc sh -c "
        unshare -p --fork --mount-proc sh -c \\"ps -e -o pid,ppid,comm; grep ^NSpid /proc/self/status\\"
        ps -e -o pid,ppid,comm"
    ps -e -o pid,ppid,comm'
grep ^NSpid /proc/self/status
:
"""
ENTERED = """
unshare -fpmuin --mount-proc sh -c 'hostname inner; exec sleep 1000' &
sleep 0.2
inside=$(pgrep -x sleep)
nsenter -t $inside -a sh -c 'hostname; ps -e -o pid,ppid,comm'
for kind in pid mnt uts ipc net user; do
    cmp -s <(readlink /proc/self/ns/$kind) <(readlink /proc/$inside/ns/$kind) &&
        echo same $kind || echo other $kind
done
kill -9 $inside
wait
"""


def run(guest_root: Path, script: str) -> Result:
    machine = Machine(rootfs=guest_root)
    result = machine.run(["bash", "-c", script], time_limit_s=100)
    machine.close()
    return result


def lines(result: Result) -> list[str]:
    assert (result.stderr, result.reason) == (b"", "")
    return [" ".join(line.split()) for line in result.stdout.decode().splitlines()]


def test_a_pid_namespace_has_an_init_of_its_own(guest_root: Path) -> None:
    shown = lines(
        run(guest_root, "unshare -p --fork --mount-proc ps -e -o pid,ppid,comm; ps -e -o pid,comm; :")
    )
    assert shown == ["PID PPID COMMAND", "1 0 ps", "PID COMMAND", "1 init", "2 bash", "5 ps"]


@pytest.mark.heavy
def test_three_levels(guest_root: Path) -> None:
    shown = lines(run(guest_root, NESTED))
    head = "PID PPID COMMAND"
    assert shown == [
        *(head, "1 0 sh", "2 1 ps", "NSpid: 3"),
        *(head, "1 0 sh", "6 1 ps"),
        *(head, "1 0 sh", "9 1 ps"),
        "NSpid: 13",
    ]


def test_numbers_of_all_levels(guest_root: Path) -> None:
    script = "unshare -fp unshare -fp sh -c 'grep -h ^NS /proc/[0-9]*/status'"
    shown = lines(run(guest_root, script))
    assert "NSpid: 4 2 1" in shown
    assert "NSpgid: 2 0 0" in shown
    assert "NSpid: 1" in shown


def test_entering_all_of_a_process(guest_root: Path) -> None:
    result = run(guest_root, ENTERED)
    shown = [" ".join(line.split()) for line in result.stdout.decode().splitlines()]
    assert shown[:5] == ["inner", "PID PPID COMMAND", "1 0 sleep", "3 0 sh", "5 3 ps"]
    assert shown[5:] == [*(f"other {kind}" for kind in ("pid", "mnt", "uts", "ipc", "net")), "same user"]
    assert b"Killed" in result.stderr


def test_lsns_lists_what_is_pinned(guest_root: Path) -> None:
    script = (
        "touch /tmp/pinned; unshare --uts=/tmp/pinned hostname inner; lsns -n -t uts -o NS,NPROCS;"
        "nsenter --uts=/tmp/pinned hostname; grep pinned /proc/self/mountinfo"
    )
    shown = lines(run(guest_root, script))
    assert [line.split()[1] for line in shown[:2]] == ["3", "0"]
    number = shown[1].split()[0]
    assert shown[2] == "inner"
    assert re.search(rf" uts:\[{number}\] /tmp/pinned .* - nsfs nsfs rw$", shown[3])


def test_clocks_and_names(guest_root: Path) -> None:
    script = (
        "unshare -T --boottime 172800 --monotonic 5 sh -c 'uptime -p; cat /proc/self/timens_offsets';"
        "unshare -u sh -c 'hostname inner; hostname'; hostname"
    )
    assert lines(run(guest_root, script)) == [
        "up 2 days, 0 minutes",
        "monotonic 5 0",
        "boottime 172800 0",
        "inner",
        "procession",
    ]


def test_a_limit_on_namespaces(guest_root: Path) -> None:
    script = (
        "echo 1 > /proc/sys/user/max_uts_namespaces; unshare -u true && echo one;"
        "unshare -u unshare -u true; echo $?; unshare -u true && echo again"
    )
    result = run(guest_root, script)
    assert result.stdout.split() == [b"one", b"1", b"again"]
    assert b"No space left on device" in result.stderr


@pytest.mark.parametrize("command", first_of(1, ["kill -9 $$; exit 3", "exit 3"]))
def test_the_end_of_an_init(guest_root: Path, command: str) -> None:
    script = f"""
unshare -p --fork sh -c '
    sleep 1000 & (setsid sleep 1000 &)
    trap "" TERM
    {command}'
echo $?
ps -e -o comm=
:
"""
    assert lines(run(guest_root, script)) == ["3", "init", "bash", "ps"]


def test_everything_is_given_back(guest_root: Path) -> None:
    machine = Machine(rootfs=guest_root)
    machine.run(["bash", "-c", "unshare -fpuimnCT --mount-proc unshare -fpuimnCT --mount-proc true"])
    kernel = machine.kernel
    assert {namespace.kind for namespace in kernel.vfs.namespaces.live.values() if namespace.account} == set()
    assert len(kernel.vfs.namespaces.live) == 8
    # The process 1 is left.
    assert kernel.vfs.init_user_namespace.counts == {(0, RLIMIT_NPROC): 1}
    assert set(kernel.init_pid_namespace.by_number) == {1}
    machine.close()


@pytest.mark.heavy
def test_an_init_that_waits_for_its_end(guest_root: Path) -> None:
    script = """
import os
os.unshare(os.CLONE_NEWPID)
init = os.fork()
if not init:
    os._exit(os.waitstatus_to_exitcode(0))
if not os.fork():
    os._exit(0)
os.waitpid(init, 0)
""".replace("os.unshare(os.CLONE_NEWPID)", "import ctypes; ctypes.CDLL(None).unshare(0x20000000)")
    machine = Machine(rootfs=guest_root)
    result = machine.run(["python3", "-S", "-c", script], time_limit_s=100)
    assert "every task sleeps" in result.reason
    assert (
        "process 3 (python3) in user mode waits for the end of all in its pid namespace: 4" in result.reason
    )
    machine.close()


def test_user_namespaces_can_be_forbidden(guest_root: Path) -> None:
    """As in Debian: to everybody but root."""
    script = """
        as_user() { setpriv --reuid 1000 --regid 1000 --clear-groups "$@"; }
        cat /proc/sys/kernel/unprivileged_userns_clone; as_user unshare -U true; echo $?
        echo 0 >/proc/sys/kernel/unprivileged_userns_clone; as_user unshare -U true 2>&1; echo $?
        unshare -U true; echo $?
    """
    assert lines(run(guest_root, script)) == [
        *("1", "0", "unshare: unshare failed: Operation not permitted", "1", "0"),
    ]
