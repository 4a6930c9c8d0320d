"""Programs that want more than there is are killed or refused, and the machine goes on."""

from __future__ import annotations

import pytest

from procession import Machine
from tests.of_a_kind import first_of
from tests.programs.conftest import MakeMachine, RunProgram
from tests.programs.memory_audit import audit

MEGABYTE = 1 << 20
SMALL = 64 * MEGABYTE
SIGKILL_STATUS = 128 + 9

# Each takes memory in its own way until it's stopped.
HOGS = {
    "heap": ["perl", "-e", "$x .= 'y' x 1_000_000 while 1"],
    "variables": ["bash", "-c", "x=a; while :; do x=$x$x; done"],
    "shared memory": [
        "python3",
        "-S",
        "-c",
        "import mmap; m = mmap.mmap(-1, 300 << 20); [m.__setitem__(i, 1) for i in range(0, 300 << 20, 4096)]",
    ],
    "children": [
        "perl",
        "-e",
        "for (1 .. 9) { if (!fork) { my $x = 'y' x 20_000_000; sleep 1000; exit } } sleep 1; kill 9, $$;",
    ],
}


def run_shell(machine: Machine, script: str) -> tuple[int, str]:
    """Run a script of bash to its end; its status and what it wrote to stdout."""
    result = machine.run(["bash", "-c", script], time_limit_s=60)
    assert result.reason == ""
    return result.status, result.stdout.decode()


@pytest.mark.parametrize("command", first_of(1, HOGS.values()), ids=HOGS.keys())
def test_memory_hog_is_killed(command: list[str], make_machine: MakeMachine) -> None:
    machine = make_machine(memory=SMALL, environment={"PATH": "/usr/bin:/bin"})
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in command)
    status, output = run_shell(
        machine, f"{quoted} 2>/dev/null; echo $?; seq 1000 | sort -n | tail -n 1; ls / | wc -l"
    )
    assert status == 0
    assert output.splitlines()[:2] == [str(SIGKILL_STATUS), "1000"]
    assert machine.kernel.oom_kill_count >= 1
    assert audit(machine) == []


@pytest.mark.heavy
def test_hogs_side_by_side(make_machine: MakeMachine) -> None:
    machine = make_machine(memory=SMALL)
    hog = "perl -e '$x .= \"y\" x 1_000_000 while 1'"
    status, output = run_shell(
        machine,
        f"for i in 1 2 3 4; do {hog} & all+=($!); done; for i in ${{all[@]}}; do wait $i; echo $?; done",
    )
    assert (status, output) == (0, f"{SIGKILL_STATUS}\n" * 4)
    assert machine.kernel.oom_kill_count == 4
    assert audit(machine) == []


@pytest.mark.heavy
def test_an_innocent_program_lives_on(make_machine: MakeMachine) -> None:
    """Who is killed is who holds most, and oom_score_adj can change that."""
    machine = make_machine(memory=SMALL)
    script = """
    sleep 1000 & sleeper=$!
    perl -e '$x .= "y" x 1_000_000 while 1' & hog=$!
    wait $hog; echo $?
    kill -0 $sleeper && echo sleeps
    perl -e '$x = "y" x 20_000_000; $| = 1; print "ready\\n"; sleep 1000' > ready & chosen=$!
    echo 1000 > /proc/$chosen/oom_score_adj
    until [ -s ready ]; do sleep 0.01; done
    perl -e '$x .= "y" x 1_000_000 while length $x < 30_000_000; print length $x, "\\n"'
    wait $chosen; echo $?
    kill $sleeper
    """
    assert run_shell(machine, script) == (0, "137\nsleeps\n30000000\n137\n")


def test_signal_handler_without_memory(make_machine: MakeMachine) -> None:
    """A frame that finds no memory waits for the victim's end; no signal is lost."""
    machine = make_machine(memory=SMALL)
    script = """
    perl -e '$SIG{USR1} = sub { $n++ }; kill USR1 => $$ for 1 .. 300; print "$n\\n"' &
    perl -e '$x .= "y" x 500_000 while 1' &
    perl -e '$SIG{ALRM} = sub { $n++; alarm 1 if $n < 3 }; alarm 1; sleep 9 while $n < 3; print "$n\\n"' &
    wait
    """
    status, output = run_shell(machine, script)
    assert (status, sorted(output.split())) == (0, ["3", "300"])


@pytest.mark.heavy
def test_a_full_disk_kills_nobody(make_machine: MakeMachine) -> None:
    machine = make_machine(memory=SMALL)
    script = """
    error=$(head -c 200000000 /dev/zero 2>&1 > f); echo $?; echo "${error##*: }"
    [ $(stat -c %s f) -lt 67108864 ] && echo bounded
    echo more > g 2>/dev/null || echo refused
    seq 5000 | sort -n | tail -n 1; python3 -S -c 'print("still here")'
    rm f; echo room > g; cat g; dd if=/dev/zero of=sparse bs=1 seek=1T count=1 2>/dev/null; stat -c %s sparse
    """
    expected = "1\nNo space left on device\nbounded\nrefused\n5000\nstill here\nroom\n1099511627777\n"
    assert run_shell(machine, script) == (0, expected)
    assert machine.kernel.oom_kill_count == 0


@pytest.mark.heavy
def test_reading_more_than_fits(run_program: RunProgram) -> None:
    """One enormous read or mapping is refused at once."""
    script = """
import mmap
for take in (
    lambda: open("/dev/zero", "rb").read(300 << 20),
    lambda: bytearray(1 << 40),
    lambda: mmap.mmap(-1, 1 << 46, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS),
):
    try:
        take()
    except (MemoryError, OSError) as error:
        print(type(error).__name__)
"""
    result = run_program(["python3", "-S", "-c", script], memory=SMALL)
    assert result.stdout.splitlines() == [b"MemoryError", b"MemoryError", b"OSError"]


@pytest.mark.heavy
def test_fork_bomb_is_bounded(make_machine: MakeMachine) -> None:
    """It takes all memory and no more; the machine can be stopped at any time."""
    machine = make_machine(memory=16 * MEGABYTE)
    result = machine.run(["bash", "-c", ":(){ :|:& };:; sleep 1000"], time_limit_s=0.12)
    assert "limit" in result.reason
    assert machine.kernel.total_forks > 100
    assert len(machine.kernel.tasks) < 1000
    assert machine.memory.used_frames < machine.memory.frame_count
    assert audit(machine) == []


@pytest.mark.parametrize("limit", first_of(1, ["ulimit -u 40", "echo 400 > /proc/sys/kernel/pid_max"]))
def test_forks_are_limited(limit: str, run_program: RunProgram) -> None:
    """fork fails with EAGAIN at the limit, and works again when the children have ended."""
    program = """
$| = 1; $SIG{CHLD} = "DEFAULT"; my @children;
while (defined(my $pid = fork)) { if (!$pid) { sleep 1000; exit } push @children, $pid }
my $error = $! + 0; my $count = @children;
kill 9, @children; waitpid $_, 0 for @children;
defined(my $pid = fork) or die; if (!$pid) { exit 7 } waitpid $pid, 0;
print "$error ", ($count > 20 && $count < 500 ? "bounded" : $count), " ", $? >> 8, "\\n";
"""
    script = f"{limit} && exec setpriv --reuid 1000 --regid 1000 --clear-groups perl -e '{program}'"
    result = run_program(["bash", "-c", script])
    assert result.stdout == b"11 bounded 7\n", result


def test_descriptors_and_pipes_are_limited(run_program: RunProgram) -> None:
    program = """
my @kept; while (1) { my ($r, $w); pipe($r, $w) or last; push @kept, $r, $w }
print $! + 0, " ", scalar @kept, "\\n";
"""
    result = run_program(["perl", "-e", program])
    assert result.stdout == b"24 1020\n"


def test_endless_output_is_taken_in_pieces(make_machine: MakeMachine) -> None:
    """A program that writes for ever waits for who takes what it wrote."""
    machine = make_machine()
    machine.start(["yes"])
    for _ in range(200):
        machine.step()
    waiting = sum(len(data) for _, data in machine.output.chunks)
    assert 0 < waiting <= machine.output.limit
