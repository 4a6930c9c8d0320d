"""The pytest plugin: three tests of container entrypoints, on a tree and on an image; and how tests fail."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from procession.explore.plugin import Guest
from procession.machine import Machine
from tests.exchange.image_builder import LayerBuilder, make_layout, make_saved_archive
from tests.explore.races import compiled
from tests.of_a_kind import heavy

pytestmark = pytest.mark.usefixtures("c_compiler")


@pytest.fixture(params=["tree", "saved archive", heavy("OCI archive")])
def entrypoint(
    request: pytest.FixtureRequest, guest: Callable[..., Guest], tmp_path: Path, guest_root: Path
) -> Callable[[str], Guest]:
    """Give a function that makes an entrypoint of a kind a guest."""
    executable = compiled("entrypoint")

    def on_tree(kind: str) -> Guest:
        return guest([executable, kind], is_pid1=True)

    def on_image(kind: str) -> Guest:
        archive, settings = tmp_path / f"{kind}.tar", {"Entrypoint": ["/entrypoint", kind]}
        if archive.exists():
            return guest(image=archive)
        layer = LayerBuilder().directory("bin").directory("tmp")
        layer.add("entrypoint", Path(executable).read_bytes(), mode=0o755)
        layer.add("bin/busybox", (guest_root / "bin/busybox").read_bytes(), mode=0o755)
        layer.symlink("bin/sh", "busybox").symlink("bin/sleep", "busybox")
        if request.param == "saved archive":
            return guest(image=make_saved_archive(archive, [layer.finish()], **settings))
        layout = make_layout(tmp_path / "layout", [layer.finish()], **settings)
        with tarfile.open(archive, "w") as packed:
            packed.add(layout, ".")
        return guest(image=archive)

    return on_tree if request.param == "tree" else on_image


# What everybody with a container wants to know.


def test_the_entrypoint_forwards_sigterm(entrypoint: Callable[[str], Guest]) -> None:
    entrypoint("good").assert_forwards("SIGTERM", "sleep", "60")
    assert entrypoint("good").assert_ends_on("SIGTERM", "sleep", "60", within=5) == 128 + 15


def test_the_entrypoint_reaps_orphans(entrypoint: Callable[[str], Guest]) -> None:
    entrypoint("good").assert_reaps_orphans()


def test_the_exit_status_is_the_childs(entrypoint: Callable[[str], Guest]) -> None:
    entrypoint("good").assert_exit_status_is_its_childs()


# That these fail where they should.


def test_a_deaf_entrypoint_is_told_of(guest: Callable[..., Guest]) -> None:
    deaf = guest([compiled("entrypoint"), "deaf"], is_pid1=True)
    with pytest.raises(pytest.fail.Exception, match="no child of it got SIGTERM"):
        deaf.assert_forwards("SIGTERM", "sleep", "60", within=2)
    with pytest.raises(pytest.fail.Exception, match="hasn't ended 2 s after SIGTERM"):
        deaf.assert_ends_on("SIGTERM", "sleep", "60", within=2)


def test_why_a_signal_did_nothing_is_told(guest: Callable[..., Guest]) -> None:
    dropped = "SIGTERM: it has no handler for it, and for process 1 the kernel drops such signals"
    with pytest.raises(pytest.fail.Exception, match=dropped):
        guest(["sleep", "60"], is_pid1=True).assert_ends_on("SIGTERM", within=2)
    with pytest.raises(pytest.fail.Exception, match="SIGTERM: it ignores it"):
        guest(["sh", "-c", "trap '' TERM; sleep 60"]).assert_forwards("SIGTERM", within=2)
    assert guest(["sleep", "60"]).assert_ends_on("SIGTERM", within=2) == 128 + 15


def test_what_cant_be_started_fails_with_a_line(guest: Callable[..., Guest]) -> None:
    absent = guest(["absent"], is_pid1=True)
    for assertion in (
        absent.run,
        absent.assert_no_schedule_fails,
        absent.assert_reaps_orphans,
        lambda: absent.assert_ends_on("SIGTERM"),
    ):
        with pytest.raises(pytest.fail.Exception, match="absent isn't on PATH"):
            assertion()


def test_a_careless_entrypoint_is_told_of(guest: Callable[..., Guest]) -> None:
    careless = guest([compiled("entrypoint"), "careless"], is_pid1=True)
    with pytest.raises(pytest.fail.Exception, match="it hasn't reaped"):
        careless.assert_reaps_orphans()


def test_a_forgetful_entrypoint_is_told_of(guest: Callable[..., Guest]) -> None:
    forgetful = guest([compiled("entrypoint"), "forgetful"], is_pid1=True)
    with pytest.raises(pytest.fail.Exception, match="its exit status is 0, its child's 42"):
        forgetful.assert_exit_status_is_its_childs()


def test_what_ends_by_itself_or_leaves_no_orphan_proves_nothing(guest: Callable[..., Guest]) -> None:
    good = guest([compiled("entrypoint"), "good"], is_pid1=True)
    with pytest.raises(pytest.fail.Exception, match="it has ended by itself, with status 3"):
        good.assert_ends_on("SIGTERM", "sh", "-c", "exit 3")
    with pytest.raises(pytest.fail.Exception, match="nobody was orphaned"):
        good.assert_reaps_orphans("sleep", "1")


def test_the_fixture_makes_machines(machines: Callable[..., Machine]) -> None:
    machine = machines(seed=1)
    assert machine.run(["sh", "-c", "echo $((1+1))"]).stdout == b"2\n"


def test_the_kernel_runs_as_it_was_written() -> None:
    """Pytest rewrites the assertions of a plugin's distribution: half a second's start becomes three."""
    assert "@pytest_ar" in globals(), "what it gives the modules that it rewrites"
    assert "@pytest_ar" not in vars(sys.modules["procession.machine"])


def run_pytest(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


@pytest.mark.heavy
def test_it_does_so_where_directories_are_named(tmp_path: Path) -> None:
    """Their own configurations import it before the plugin is configured."""
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "conftest.py").write_text("import procession.machine\n")
        (directory / f"test_{name}.py").write_text(
            "import sys\n\ndef test_it():\n"
            "    assert '@pytest_ar' not in vars(sys.modules['procession.machine'])\n"
        )
    result = run_pytest(tmp_path, "one", "two")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 passed" in result.stdout


@pytest.mark.explore(preemptions=1, oracles=["deadlock"])
def test_the_mark_says_how_schedules_are_searched(guest: Callable[..., Guest]) -> None:
    report = guest([compiled("shell_lab")]).assert_no_schedule_fails()
    assert [coverage.bound for coverage in report.coverages] == [0, 1]
    with pytest.raises(pytest.fail.Exception, match="every task sleeps"):
        guest([compiled("pause_after_check")]).assert_no_schedule_fails()


TEST_FILE = """
import pytest

@pytest.mark.explore(preemptions=1)
def test_output(guest):
    guest([{command!r}], cwd="/").assert_same_output_on_every_schedule()

def test_other(machines):
    assert machines().run(["true"]).status == 0
"""


@pytest.mark.parametrize("options", [(), pytest.param(("-n", "2"), marks=pytest.mark.heavy)])
def test_a_failure_shows_the_story_and_where_the_recording_is(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "test_race.py").write_text(TEST_FILE.format(command=compiled("appenders")))
    result = run_pytest(tmp_path, *options)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "1 failed, 1 passed" in result.stdout
    assert "goes on before" in result.stdout
    line = next(line for line in result.stdout.splitlines() if "procession replay" in line)
    path = line.partition("procession replay ")[2].partition("`")[0]
    assert Path(path).exists()
    assert Path(path).with_suffix(".json").exists()
