"""Files larger than the machine's memory are read and mapped; programs' own pages come and go."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from procession import Machine
from tests.guest.compile_c import find_compiler
from tests.of_a_kind import first_of
from tests.programs.memory_audit import audit

PROGRAM = Path(__file__).with_name("pressure.c")
PAGE = 4096
FILE_PAGES = 6000
SMALL = 8 << 20


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with the program, and with a file of 24 MB in which each word holds its own offset."""
    directory = tmp_path_factory.mktemp("pressure")
    subprocess.run([*find_compiler(), "-O1", "-static", "-o", directory / "pressure", PROGRAM], check=True)
    words = range(0, FILE_PAGES * PAGE, 8)
    (directory / "file").write_bytes(b"".join(word.to_bytes(8, "little") for word in words))
    (directory / "tmp").mkdir()
    return directory


@pytest.mark.heavy
@pytest.mark.parametrize("cpus", first_of(1, [2, 1]))
def test_mappings_larger_than_memory(tree: Path, cpus: int) -> None:
    machine = Machine(rootfs=tree, memory=SMALL, cpus=cpus)
    before = (tree / "file").read_bytes()
    result = machine.run(["/pressure", "/file"], time_limit_s=100)
    assert (result.stdout, result.status) == (b"0 failures, major faults: many\n", 0)
    assert audit(machine) == []
    assert machine.kernel.oom_kill_count == 0
    assert (tree / "file").read_bytes() == before
    assert machine.memory.reclaimer is not None
    assert machine.memory.reclaimer.reclaimed_count > 4 * FILE_PAGES
    machine.close()


def test_natively(tree: Path, tmp_path: Path) -> None:
    copy = tmp_path / "file"
    copy.write_bytes((tree / "file").read_bytes())
    run = subprocess.run([tree / "pressure", copy], capture_output=True, check=False)
    assert run.stdout.startswith(b"0 failures")
    assert run.returncode == 0


@pytest.mark.heavy
def test_reclaim_is_the_same_in_every_run(tree: Path) -> None:
    outcomes = []
    for _ in range(2):
        machine = Machine(rootfs=tree, memory=SMALL)
        machine.run(["/pressure", "/file"], time_limit_s=100)
        reclaimer = machine.memory.reclaimer
        assert reclaimer is not None
        outcomes.append(
            (
                reclaimer.scanned_count,
                reclaimer.reclaimed_count,
                machine.kernel.clock.now_ns,
                *machine.memory.free,
            )
        )
        machine.close()
    assert outcomes[0] == outcomes[1]


@pytest.mark.heavy
def test_programs_one_after_the_other(guest_root: Path) -> None:
    """More programs than fit into memory together are run, with a hog beside them that stays."""
    machine = Machine(rootfs=guest_root, memory=24 << 20)
    script = """
    perl -e '$x = "y" x 6_000_000; $| = 1; print "ready\\n"; sleep 1000' > /tmp/ready & hog=$!
    until [ -s /tmp/ready ]; do sleep 0.1; done
    for i in 1 2 3; do
        seq 300 | sort -rn | awk '{ n += $1 } END { print n }' | sed s/4/x/
        python3 -S -c 'print(sum(range(10)))'
        perl -e 'print "perl\\n"'
        tar cf - /etc/passwd /etc/group 2>/dev/null | gzip | gzip -d | tar tf -
        find /usr/bin -name 'z*' | wc -l > /dev/null
        zsh -c 'echo zsh'
    done
    kill $hog; wait $hog; echo $?
    """
    result = machine.run(["/bin/bash", "-c", script], time_limit_s=200)
    expected = b"x5150\n45\nperl\netc/passwd\netc/group\nzsh\n" * 3 + b"143\n"
    assert (result.stdout, result.reason) == (expected, "")
    assert machine.kernel.oom_kill_count == 0
    assert machine.memory.reclaimer is not None
    assert machine.memory.reclaimer.reclaimed_count > 0
    assert audit(machine) == []
    machine.close()
