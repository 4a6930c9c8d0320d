"""Runs this directory's C programs on the host's Linux and in Procession: the same assertions hold."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import astuple, dataclass
from pathlib import Path

import pytest

from procession.command_run import Result
from tests.guest.compile_c import Linkage, compile_program, is_static_to_be_had

SOURCES = sorted(Path(__file__).parent.glob("*.c"))
LEAST_ASSERTIONS = 8750
HOST_TIMEOUT_S = 300
# Programs that take several users' identities: the host lets only root do that.
NEEDS_ROOT = {
    "acl",
    "bpf",
    "bridge_ioctl",
    "capability",
    "cgroup",
    "directory_position",
    "conntrack",
    "descriptor_kinds",
    "escape",
    "fast_open",
    "group_report",
    "file_flags",
    "handle",
    "kept_sysctl",
    "kernel_log",
    "keys",
    "kernel_messages",
    "lease",
    "machine_files",
    "scoped_address",
    "sending_refusals",
    "superuser",
    "memory_files",
    "mount",
    "mount_ids",
    "mount_rights",
    "mount_tree",
    "mqueue",
    "namespace",
    "nat",
    "open_modes",
    "netlink",
    "network_namespace",
    "overlay",
    "overlay_notes",
    "policy_option",
    "packet_filter",
    "packet_ring",
    "packet_socket",
    "packet_transmit",
    "page_frame",
    "parameter_numbers",
    "ramfs",
    "raw_socket",
    "pid_namespace",
    "proc_files",
    "process_events",
    "process_files",
    "process_state",
    "acct",
    "reboot",
    "reservation",
    "set_user_id",
    "sock_destroy",
    "socket_filter",
    "socket_option",
    "sysctl",
    "sysv_shm",
    "taskstats",
    "tcp_repair",
    "tap_filter",
    "tun",
    "user_count",
    "user_namespace",
    "guard",
    "secret_memory",
    "link_queues",
    "network_changes",
    "network_sysctl",
    "userfault_pages",
    "userfaultfd",
    "user_namespace_entry",
}
# Programs that the kernel tells something only in the first pid namespace: who ends (kernel/taskstats.c).
NEEDS_FIRST_PID_NAMESPACE = {"process_events", "taskstats"}
# Programs that assert what only Intel's processors do, as the one inside.
OF_INTELS = {"exception", "instruction", "segments"}
# A user and group without any rights, and whose ids no program takes for its own use.
SOMEBODY = 4321
FIRST_PID_NAMESPACE = "pid:[4026531836]"
# The assertions are the same with either, and many other tests load shared libraries.
QUICK = Linkage.STATIC if is_static_to_be_had() else Linkage.DYNAMIC
LINKAGES = [
    pytest.param(linkage, id=linkage.name.lower(), marks=[] if linkage is QUICK else [pytest.mark.heavy])
    for linkage in Linkage
]
ASSERTION = re.compile(r"(ok|FAIL) \d+ (\w+\.c:\d+ .*)")
LAST_LINE = re.compile(r"(\d+) passed, (\d+) failed")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a program gave: its exit code (128 + n when killed by signal n) and what it printed."""

    status: int
    stdout: str
    stderr: str

    def assertions(self) -> Counter[str]:
        """How often each assertion held; a failed one counts under its own text."""
        lines = (ASSERTION.fullmatch(line) for line in self.stdout.splitlines())
        return Counter(line[2] for line in lines if line is not None)

    def failures(self) -> list[str]:
        """The lines that aren't an assertion that held."""
        return [line for line in self.stdout.splitlines()[:-1] if not line.startswith("ok ")]


def why_not_natively(source: Path) -> str:
    """What the program lacks here to run on the host's Linux; "" if it lacks nothing."""
    if source.stem in NEEDS_ROOT and os.geteuid() != 0:
        return "the program needs root"
    if source.stem in NEEDS_FIRST_PID_NAMESPACE and os.readlink("/proc/self/ns/pid") != FIRST_PID_NAMESPACE:
        return "the program needs the first pid namespace"
    return ""


class NativeRuns:
    """What programs gave on the host: each runs once, whichever of the session's processes wants it first.

    The host's schedule is its own. A run in which something failed is made once more, and the second is what
    counts: what is false of Linux fails in both, a deadline that the host's other work made a program miss
    doesn't. Inside there is no second run, as it would be the same one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)

    def outcome(self, source: Path, linkage: Linkage) -> Outcome:
        """What the program gives, or gave before. Others who want it wait meanwhile."""
        kept = self.directory / f"{source.stem}-{linkage.name.lower()}.json"
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                outcome = run_natively(source, linkage)
                if outcome.status != 0:
                    outcome = run_natively(source, linkage)
                kept.write_text(json.dumps(astuple(outcome)))
        return Outcome(*json.loads(kept.read_text()))


@pytest.fixture(scope="session")
def native_runs(tmp_path_factory: pytest.TempPathFactory) -> NativeRuns:
    """Those of this session."""
    directory = tmp_path_factory.getbasetemp()
    # A process of pytest-xdist has a directory of its own in the session's.
    return NativeRuns((directory.parent if "PYTEST_XDIST_WORKER" in os.environ else directory) / "native")


def run_natively(source: Path, linkage: Linkage) -> Outcome:
    """Runs the program on the host."""
    result = subprocess.run(
        [compile_program(source, linkage)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={"PATH": "/usr/bin:/bin"},
        timeout=HOST_TIMEOUT_S,
        check=False,
    )
    status = result.returncode if result.returncode >= 0 else 128 - result.returncode
    return Outcome(status, result.stdout.decode("utf-8", "replace"), result.stderr.decode("utf-8", "replace"))


def outcome_of(result: Result) -> Outcome:
    """What a run in a machine gave."""
    return Outcome(
        result.status, result.stdout.decode("utf-8", "replace"), result.stderr.decode("utf-8", "replace")
    )


def run_inside(source: Path, linkage: Linkage) -> Outcome:
    """Runs the program in a machine of its own."""
    from procession import Machine

    return outcome_of(Machine(seed=1).run([str(compile_program(source, linkage))]))


def expect_success(outcome: Outcome) -> None:
    """Says which assertions failed, or how the program ended when it printed no summary."""
    assert not outcome.failures(), "\n".join(outcome.failures())
    last = LAST_LINE.fullmatch(outcome.stdout.splitlines()[-1]) if outcome.stdout else None
    assert last is not None, f"no summary; status {outcome.status}; stderr: {outcome.stderr[-2000:]}"
    assert (int(last[1]), int(last[2])) == (outcome.assertions().total(), 0)
    assert outcome.status == 0


def expect_the_same(source: Path, inside: Outcome, outside: Outcome) -> None:
    """What is asserted natively is inside; what the host's make of processor does otherwise comes to that."""
    if source.stem in OF_INTELS and "GenuineIntel" not in Path("/proc/cpuinfo").read_text("utf-8", "replace"):
        assert outside.assertions() <= inside.assertions()
    else:
        assert inside.assertions() == outside.assertions()


@pytest.mark.timeout(HOST_TIMEOUT_S)
@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
class TestGuest:
    """One program, one linkage."""

    def test_native(self, source: Path, linkage: Linkage, native_runs: NativeRuns) -> None:
        """The assertions are true of Linux."""
        reason = why_not_natively(source)
        if reason:
            pytest.skip(reason)
        expect_success(native_runs.outcome(source, linkage))

    def test_procession(self, source: Path, linkage: Linkage, native_runs: NativeRuns) -> None:
        """The assertions are true of Procession, and they are the same ones."""
        inside = run_inside(source, linkage)
        expect_success(inside)
        if why_not_natively(source):
            return
        expect_the_same(source, inside, native_runs.outcome(source, linkage))


@pytest.mark.heavy
@pytest.mark.timeout(HOST_TIMEOUT_S)
@pytest.mark.parametrize(
    "source", [source for source in SOURCES if source.stem not in NEEDS_ROOT], ids=lambda source: source.stem
)
def test_somebody_without_rights(source: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Run by one who isn't root: the assertions are true of Linux and here, and they are the same ones."""
    if os.geteuid() != 0:
        pytest.skip("all of this suite runs so")
    if why_not_natively(source):
        pytest.skip(why_not_natively(source))
    from procession import Machine

    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        # Where anybody gets to, unlike the place that the compiler writes to.
        directory = Path(name)
        directory.chmod(0o755)
        program = directory / source.stem
        shutil.copy(compile_program(source, QUICK), program)
        native = subprocess.run(
            [program],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env={"PATH": "/usr/bin:/bin"},
            cwd="/",
            timeout=HOST_TIMEOUT_S,
            check=False,
            user=SOMEBODY,
            group=SOMEBODY,
            extra_groups=[],
        )
        outside = Outcome(native.returncode, native.stdout.decode(), native.stderr.decode())
        expect_success(outside)
        with closing(Machine(seed=1, user=f"{SOMEBODY}:{SOMEBODY}", cwd="/")) as machine:
            inside = outcome_of(machine.run([str(program)]))
    expect_success(inside)
    expect_the_same(source, inside, outside)


@pytest.mark.timeout(HOST_TIMEOUT_S)
def test_enough_is_asserted(native_runs: NativeRuns) -> None:
    """No part of the suite may go missing unnoticed."""
    distinct: set[str] = set()
    for source in SOURCES:
        if why_not_natively(source):
            continue
        assertions = native_runs.outcome(source, QUICK).assertions()
        assert assertions, f"{source.name} asserts nothing"
        distinct |= assertions.keys()
    assert len(distinct) >= LEAST_ASSERTIONS
