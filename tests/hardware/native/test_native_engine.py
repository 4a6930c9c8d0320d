"""The native engine: programs run in stub processes, of which none is left however the machine ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from procession import Machine
from procession.hardware.engines.native import engine as engine_module
from procession.hardware.engines.native import faults, stub
from procession.hardware.engines.native.availability import why_unavailable
from procession.hardware.engines.native.engine import NativeEngine
from procession.hardware.engines.native.single_step import ATTENDED_UNITS
from procession.hardware.engines.native.space import Space
from procession.hardware.engines.tiered import TieredEngine
from procession.hardware.registers import R8, RAX, RBX, RDX, RIP
from tests.conftest import PROJECT
from tests.guest.compile_c import FLAGS, Linkage, compile_program
from tests.hardware.processor_bench import CODE, DATA, processor_bench
from tests.of_a_kind import first_of, heavy

REASON = why_unavailable()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no native engine on this host: {REASON}")
ENDLESS = """
import sys
from procession import Machine
machine = Machine(engine="native")
machine.start(["/bin/sh", "-c", "while :; do :; done"])
print("running", flush=True)
while machine.step():
    pass
"""


HERE = Path(__file__).parent
KILLED = b"Segmentation fault\n"
FORKING = "for i in {1..100}; do for j in {1..20}; do :; done; (:); done; echo 20000"
QUICK_CASES = {0, 2, 5, 9, 10, 11, 13}
"""What is tried by default of a hostile program's: each at another place."""


def build(c_compiler: list[str], directory: Path, source: str) -> str:
    """The path of a program made from C."""
    (directory / "program.c").write_text(source)
    program = directory / "program"
    subprocess.run([*c_compiler, *FLAGS, "-o", program, directory / "program.c"], check=True)
    return str(program)


def stubs_of(pid: int) -> list[int]:
    """The host's pids of the stubs that a process has started."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def test_runs_programs(c_compiler: list[str], tmp_path: Path) -> None:
    """What a program prints and how it ends are the same as on the other engine."""
    program = build(
        c_compiler,
        tmp_path,
        """
        #include <stdio.h>
        int main(int argc, char **argv) {
            double sum = 0;
            for (int i = 1; i < 1000; i++)
                sum += 1.0 / i / argc;
            printf("%s %.12f\\n", argv[1], sum);
            return 7;
        }
        """,
    )
    results = [Machine(engine=engine).run([program, "x"]) for engine in ("unicorn", "native")]
    assert results[1].stdout == b"x 3.742235430275\n"
    assert results[1].status == 7
    assert results[0].stdout == results[1].stdout


def test_a_long_stack_grows_past_what_stubs_have(c_compiler: list[str], tmp_path: Path) -> None:
    """A program that is begun with a large limit has a stack of hundreds of MiB."""
    program = build(
        c_compiler,
        tmp_path,
        """
        #include <stdio.h>
        #include <sys/resource.h>
        #include <unistd.h>
        static int recurse(int depth) {
            volatile char frame[1 << 20];
            frame[0] = 1;
            return depth == 0 ? 0 : recurse(depth - 1) + frame[0];
        }
        int main(int argc, char **argv) {
            struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
            if (argc == 1) {
                setrlimit(RLIMIT_STACK, &limit);
                execl(argv[0], argv[0], "again", NULL);
            }
            printf("%d\\n", recurse(300));
            return 0;
        }
        """,
    )
    result = Machine(engine="native").run([program])
    assert (result.status, result.stdout) == (0, b"300\n")


def test_no_stub_outlives_its_machine() -> None:
    """Closed, it has no stubs any more."""
    before = set(stubs_of(os.getpid()))
    machine = Machine(engine="native")
    machine.start(["/bin/sh", "-c", "while :; do :; done"])
    for _ in range(20):
        machine.step()
    assert set(stubs_of(os.getpid())) - before
    machine.close()
    assert not set(stubs_of(os.getpid())) - before


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it's no zombie that an init doesn't reap."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_no_stub_outlives_its_machines_process() -> None:
    """Killed while its guest runs, the machine's process takes the stubs with it."""
    process = subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, cwd=PROJECT)
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    deadline = time.monotonic() + 30
    while not (stubs := stubs_of(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert stubs
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    while (left := [pid for pid in stubs if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def compiled(name: str) -> str:
    """The path of the program made of a file of this directory, once."""
    return str(compile_program(HERE / name, Linkage.DYNAMIC))


@pytest.mark.parametrize("case", [case if case in QUICK_CASES else heavy(case) for case in range(16)])
def test_a_hostile_program_harms_itself_alone(case: int) -> None:
    """Whatever it does to its stub, its parent goes on, and the machine does."""
    program = compiled("hostile.c")
    result = Machine(engine="native").run([program, str(case)])
    assert (result.status, result.stderr) == (0, b"")
    assert result.stdout in (KILLED, b"Illegal instruction\n", b"Alarm clock\n", b"exited\n")
    if case in {2, 3, 4, 5, 6}:
        assert result.stdout == KILLED


@pytest.mark.parametrize("seed", first_of(1, range(12)))
def test_a_spoilt_context_harms_its_program_alone(seed: int) -> None:
    """Any bytes anywhere in what the machine reads."""
    program = compiled("hostile.c")
    result = Machine(engine="native").run([program, "12", str(seed)])
    assert (result.status, result.stderr) == (0, b"")
    assert result.stdout


def test_who_does_away_with_its_counter_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that never comes back is ended."""
    monkeypatch.setattr(stub, "_STUCK_AFTER_MS", 300)
    machine = Machine(engine="native")
    result = machine.run([compiled("hostile.c"), "16"])
    assert result.stdout == KILLED
    assert isinstance(machine.engine, NativeEngine)
    assert machine.engine.last_failure == "the stub doesn't answer"


@pytest.mark.heavy
def test_returning_by_a_stack_in_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a program returns from, it comes to code of its own, or is told of a fault: no stub ends."""
    reasons: list[str] = []
    original = NativeEngine.stub_failed

    def stub_failed(engine: NativeEngine, reason: str) -> None:
        reasons.append(reason)
        original(engine, reason)

    monkeypatch.setattr(NativeEngine, "stub_failed", stub_failed)
    result = Machine(engine="native").run([compiled("hostile.c"), "17"])
    assert (result.status, result.stdout) == (0, b"exited\n")
    assert set(reasons) <= {"the counter was written to"}


COUNTED = bytes.fromhex(
    "e80a000000"  # call, to the end: 0
    "ffc0"  # inc eax
    "ffd3"  # call rbx, there too: 1
    "ffc0"  # inc eax
    "ebf3"  # jmp, to the beginning: 1
    "0f0b"
    "c3"  # ret: 1
)
STOPS = (0, 5, 15, 9)
"""Where it stops after how many units, modulo 4."""


@pytest.mark.parametrize("given", [(1, 1), (1 << 30, 1), (1, 1 << 30)])
def test_jumps_and_transfers_count_alike(given: tuple[int, int]) -> None:
    """However a budget is parted among them, each unit of it is used."""
    with processor_bench(NativeEngine) as bench:
        engine = bench.engine
        assert isinstance(engine, NativeEngine)
        for units in (*range(1, 40), 1000, 100_001, 2_000_002):
            bench.load(COUNTED, {RBX: CODE + 15})
            engine.counter[0], engine.transfers[0] = 1, 1
            engine.budget.given = given
            registers = bench.run(units)
            assert bench.engine.budget_left() == 0
            assert registers.general[RIP] == CODE + STOPS[units % 4]
            assert registers.general[RAX] == units // 4 * 2 + (units % 4 > 1)
        assert not bench.traps


@pytest.mark.parametrize("given", [(1, 1), (1 << 30, 1), (1, 1 << 30)])
def test_what_counts_more_counts_the_same(given: tuple[int, int]) -> None:
    """A repeated instruction's units are those of the whole budget."""
    with processor_bench(NativeEngine) as bench:
        engine = bench.engine
        assert isinstance(engine, NativeEngine)
        # call, over a jump; rdi from r8; mov ecx, 4096; rep stosb; dec edx; jnz; ud2; ret
        code = "e802000000 eb01 c3 4c89c7 b900100000 f3aa ffca 75ea 0f0b"
        bench.load(bytes.fromhex(code), {R8: DATA, RDX: 1000})
        engine.counter[0], engine.transfers[0] = 1, 1
        engine.budget.given = given
        bench.run(1 << 20)
        assert bench.traps == [("exception", 6, 0)]
        # Of each turn: the call's return, the repetitions, and the jump but for the last; then ud2.
        assert (1 << 20) - engine.budget_left() == 1000 * (1 + 64 + 1) - 1 + ATTENDED_UNITS


def test_a_killed_stub_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two slices nothing is lost with it: what it held is in the machine."""
    killed: list[int] = []
    original = NativeEngine.run

    def run(engine: NativeEngine) -> None:
        if len(killed) < 5:
            for space in engine.store.spaces.values():
                killed.append(space.stub.pid)
                os.kill(space.stub.pid, signal.SIGKILL)
        original(engine)

    monkeypatch.setattr(NativeEngine, "run", run)
    loop = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo $i"
    result = Machine(engine="native").run(["/bin/sh", "-c", loop])
    assert result.stdout == b"20000\n"
    assert len(killed) >= 5


def test_code_that_rewrites_itself() -> None:
    """It runs as it was written last, in the same instant and by way of another mapping too."""
    result = Machine(engine="native").run([compiled("rewriting.c")])
    assert result.stdout == b"1234\n7\n10\n1 9\n345\n012\n"


@pytest.mark.heavy
def test_more_areas_than_the_host_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another stub takes over when one has no room for more mappings."""
    renewed: list[str] = []
    original = NativeEngine.replace_stub

    def replace(engine: NativeEngine, error: stub.StubError) -> Space:
        renewed.append(str(error))
        return original(engine, error)

    monkeypatch.setattr(NativeEngine, "replace_stub", replace)
    result = Machine(engine="native").run([compiled("scattered.c")])
    assert result.stdout == b"8916936\n"
    areas = int(Path("/proc/sys/vm/max_map_count").read_text())
    assert bool(renewed) == (areas < 70_000)


def test_unusual_instructions() -> None:
    """What the machine attends to, or rewrites, does what it does on Linux."""
    program = compiled("unusual.c")
    outside = subprocess.run([program], capture_output=True, check=True)
    result = Machine(engine="native").run([program])
    assert result.stdout == outside.stdout
    assert result.stdout.count(b"\n") > 20


@pytest.mark.parametrize(
    ("command", "is_hot"),
    [
        (["/bin/echo", "20000"], False),
        heavy((["/usr/bin/python3", "-S", "-c", "print(20000)"], True)),
        heavy((["/bin/bash", "-c", FORKING], False)),
        (["/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo $i"], True),
    ],
)
def test_who_is_promoted(command: list[str], is_hot: bool, guest_root: Path) -> None:
    """Not who has only begun, nor who forks all the time."""
    machine = Machine(engine="auto", rootfs=guest_root)
    assert machine.run(command).stdout == b"20000\n"
    assert isinstance(machine.engine, TieredEngine)
    assert (machine.engine.hot is not None) == is_hot


@pytest.mark.heavy
def test_kept_code_makes_no_difference_to_auto(
    guest_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is promoted, and what that counts, is the same with translated code and without."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found: list[object] = []
    for is_kept in (False, True):
        assert any(tmp_path.rglob("translations")) == is_kept
        machine = Machine(engine="auto", seed=3, rootfs=guest_root)
        result = machine.run(["/usr/bin/python3", "-S", "-c", "print(sum(i * i for i in range(40000)))"])
        engine = machine.engine
        assert isinstance(engine, TieredEngine)
        assert engine.hot is not None
        found.append((result.stdout, machine.kernel.clock.now_ns, machine.state_hash()))
        machine.close()
    assert found[0] == found[1]


def test_runs_are_the_same(guest_root: Path) -> None:
    """Two machines of the same seed are in the same state at the end."""
    command = ["/bin/sh", "-c", "for i in 1 2 3; do echo $i | cat & done; wait; echo $RANDOM $$"]
    digests: list[object] = []
    for _ in range(2):
        machine = Machine(engine="native", seed=3, cpus=2, rootfs=guest_root)
        result = machine.run(command)
        digests.append((result.stdout, machine.kernel.clock.now_ns, machine.state_hash()))
        machine.close()
    assert digests[0] == digests[1]


@pytest.mark.heavy
def test_a_table_of_returns_that_is_emptied_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is how stubs are kept from the host's memory: it makes programs slower, and no different."""
    command = ["/bin/sh", "-c", "f() { echo $1; [ $1 -lt 5 ] && f $(($1 + 1)); }; f 0"]
    # With kept code some returns come to nobody at first.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = Machine(engine="native")
    whole = first.run(command)
    first.close()
    emptied: list[stub.Stub] = []
    monkeypatch.setattr(stub, "_MOST_BYTES", 0)
    empty_returns = stub.Stub.empty_returns

    def empty(one: stub.Stub) -> None:
        empty_returns(one)
        emptied.append(one)

    monkeypatch.setattr(stub.Stub, "empty_returns", empty)
    result = Machine(engine="native").run(command)
    assert (result.status, result.stdout) == (whole.status, whole.stdout)
    assert len(emptied) > 20


def test_stubs_that_end_after_each_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each comes as far as the one before it: that is an error of its program, and no loop without an end."""
    killed: list[int] = []
    original = faults.faulted

    def faulted(engine: NativeEngine, space: Space) -> int:
        resume = original(engine, space)
        killed.append(space.stub.pid)
        os.kill(space.stub.pid, signal.SIGKILL)
        return resume

    monkeypatch.setattr(engine_module, "faulted", faulted)
    result = Machine(engine="native").run(["/bin/true"], wall_limit_s=60)
    assert result.status == 128 + signal.SIGSEGV
    assert 3 < len(killed) < 20
