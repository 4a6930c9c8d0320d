"""Tests of volumes, layers and copies: what a guest has written gets out whole, and nowhere else."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from procession import Machine
from procession.abi.errno import ENOENT
from procession.exchange.host_directory import DEEPEST, HostDirectory, OutsideError


def run(machine: Machine, script: str) -> str:
    """What a script prints that must succeed."""
    result = machine.run(["bash", "-ec", script])
    assert (result.status, result.stderr) == (0, b""), result
    return result.stdout.decode()


def make_machine(root: Path) -> Machine:
    return Machine(rootfs=root, memory=64 << 20)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A directory of the host with a few files."""
    folder = tmp_path / "volume"
    (folder / "sub/deep").mkdir(parents=True)
    (folder / "old").write_text("old\n")
    (folder / "gone").write_text("gone\n")
    (folder / "sub/file").write_text("in sub\n")
    (folder / "sub/deep/file").write_text("deep\n")
    (folder / "link").symlink_to("old")
    return folder


def contents(folder: Path) -> dict[str, str]:
    """The files below `folder` and what they hold; of links where they lead."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        elif not path.is_dir():
            found[name] = path.read_text()
    return found


def test_a_volume_is_written_at_the_end(guest_root: Path, volume: Path) -> None:
    machine = make_machine(guest_root)
    machine.add_volume(str(volume), "/work/here")
    before = contents(volume)
    script = (
        "cd /work/here; echo more >>old; rm gone; mkdir new; echo made >new/file; chmod 750 new/file;"
        "mv sub moved; ln -s /etc/passwd out; cat old moved/deep/file"
    )
    assert run(machine, script) == "old\nmore\ndeep\n"
    assert contents(volume) == before
    assert machine.write_volumes() == []
    assert contents(volume) == {
        "old": "old\nmore\n",
        "new/file": "made\n",
        "moved/file": "in sub\n",
        "moved/deep/file": "deep\n",
        "link": "-> old",
        "out": "-> /etc/passwd",
    }
    assert stat.S_IMODE((volume / "new/file").stat().st_mode) == 0o750
    assert not [name for name in os.listdir(volume) if name.startswith(".procession")]
    # The same machine goes on with it.
    assert run(machine, "cd /work/here; cat old moved/file; echo x >moved/file") == "old\nmore\nin sub\n"
    assert machine.write_volumes() == []
    assert contents(volume)["moved/file"] == "x\n"


def test_names_that_change_places_keep_what_they_hold(guest_root: Path, volume: Path) -> None:
    machine = make_machine(guest_root)
    machine.add_volume(str(volume), "/v")
    run(machine, "cd /v; mv old t; mv gone old; mv t gone; mv sub/deep d; rm -r sub; mv d sub; echo 1 >sub/n")
    assert machine.write_volumes() == []
    assert contents(volume) == {
        "old": "gone\n",
        "gone": "old\n",
        "sub/file": "deep\n",
        "sub/n": "1\n",
        "link": "-> old",
    }


def test_kinds_that_change(guest_root: Path, volume: Path) -> None:
    machine = make_machine(guest_root)
    machine.add_volume(str(volume), "/v")
    run(
        machine,
        "cd /v; rm old link; mkdir old; echo 1 >old/f; rm -r sub; echo file >sub;mkdir link; ln -s sub gone2",
    )
    assert machine.write_volumes() == []
    assert contents(volume) == {"gone": "gone\n", "old/f": "1\n", "sub": "file\n", "gone2": "-> sub"}
    assert (volume / "link").is_dir()


def test_what_the_guest_only_reads_is_left_alone(guest_root: Path, volume: Path) -> None:
    machine = make_machine(guest_root)
    machine.add_volume(str(volume), "/v")
    times = {name: os.lstat(volume / name).st_ctime_ns for name in contents(volume)}
    run(machine, "find /v -type f | xargs cat; ls -lR /v; echo tmp >/v/tmp; rm /v/tmp")
    (volume / "of the host").write_text("made meanwhile\n")
    assert machine.write_volumes() == []
    assert {name: os.lstat(volume / name).st_ctime_ns for name in times} == times
    assert (volume / "of the host").exists()


def test_nothing_leads_out_of_a_volume(guest_root: Path, volume: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret\n")
    (volume / "to outside").symlink_to(outside)
    os.link(outside / "secret", volume / "hard")
    machine = make_machine(guest_root)
    machine.add_volume(str(volume), "/v")
    run(
        machine,
        "cd /v; echo changed >hard; chmod 777 hard; rm 'to outside'; mkdir 'to outside';"
        "echo x >'to outside/x';"
        "ln -s ../outside climb; ln -s ../../outside sub/climb; mkdir a; echo 1 >a/1; mv a/1 ../v/b;"
        "mknod device c 1 3; mkfifo fifo; cp /bin/true suid; chmod 6755 suid; chown 12:34 suid",
    )
    # Between the run and its end somebody swaps a directory for a link.
    (volume / "sub/deep/file").unlink()
    (volume / "sub/deep").rmdir()
    failures = machine.write_volumes()
    assert sorted(failure.split(":")[0] for failure in failures) == ["/v/device", "/v/fifo"]
    assert (outside / "secret").read_text() == "secret\n"
    assert stat.S_IMODE((outside / "secret").stat().st_mode) != 0o777
    assert sorted(os.listdir(outside)) == ["secret"]
    assert (volume / "hard").read_text() == "changed\n"
    assert (volume / "to outside/x").read_text() == "x\n"
    found = (volume / "suid").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o755, os.getuid(), os.getgid())
    assert not (volume / "device").exists()


def test_a_link_that_appears_on_the_host_is_not_followed(
    guest_root: Path, volume: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    machine = make_machine(guest_root)
    machine.add_volume(str(volume), "/v")
    run(machine, "echo new >/v/sub/deep/new; echo changed >/v/sub/file; rm /v/sub/deep/file")
    for name in ("sub/deep/file", "sub/file"):
        (volume / name).unlink()
    (volume / "sub/deep").rmdir()
    (volume / "sub").rmdir()
    (volume / "sub").symlink_to(outside)
    (outside / "deep").mkdir()
    (outside / "deep/file").write_text("kept\n")
    failures = machine.write_volumes()
    assert {failure.split(":")[0] for failure in failures} >= {"/v/sub/file", "/v/sub/deep/new"}
    assert (volume / "sub").is_symlink()
    assert contents(outside) == {"deep/file": "kept\n"}


@pytest.mark.parametrize(
    "path", [b"../x", b"a/../x", b"/etc/x", b"", b"a//b", b".", b"a\0b", b"d/" * DEEPEST + b"x"]
)
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, path: bytes) -> None:
    directory = HostDirectory(str(tmp_path))
    acts: list[Callable[[], object]] = [
        lambda: directory.make_file(path, 1, [(0, b"x")], 0o644),
        lambda: directory.make_directory(path, 0o755),
        lambda: directory.make_symbolic_link(path, b"x"),
        lambda: directory.remove(path),
    ]
    for act in acts:
        with pytest.raises(OutsideError):
            act()
    directory.close()
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_volume(guest_root: Path, volume: Path) -> None:
    machine = make_machine(guest_root)
    machine.add_volume(str(volume), "/v", is_read_only=True)
    result = machine.run(["sh", "-c", "cat /v/old; echo x >/v/new; rm /v/old"])
    assert result.stdout == b"old\n"
    assert result.stderr.count(b"Read-only file system") == 2
    assert machine.write_volumes() == []


def test_a_volume_that_cannot_be(guest_root: Path, tmp_path: Path) -> None:
    machine = make_machine(guest_root)
    with pytest.raises(FileNotFoundError):
        machine.add_volume(str(tmp_path / "none"), "/v")
    with pytest.raises(ValueError, match="an absolute path"):
        machine.add_volume(str(tmp_path), "v")


def test_changes_are_a_layer(guest_root: Path, tmp_path: Path) -> None:
    machine = make_machine(guest_root)
    script = (
        "mkdir -p /srv; cd /srv; echo new >file; ln file hard; ln -s file soft; mkdir d; chmod 700 d;"
        "rm /etc/passwd; echo name >/etc/hostname; rm -r /usr/share/doc; mkdir /usr/share/doc;"
        "chown 7:8 /srv/file;"
        "touch /srv/.wh.odd; mkfifo /srv/fifo; mknod /srv/null c 1 3; truncate -s 4T /srv/huge;"
        "echo x >/dev/shm/x"
    )
    if not (guest_root / "usr/share/doc").exists():
        script = script.replace("rm -r /usr/share/doc; mkdir /usr/share/doc;", "")
    run(machine, script)
    archive = tmp_path / "layer.tar.gz"
    left_out = machine.save_changes(str(archive))
    assert [text.split(":")[0] for text in left_out] == ["/srv/.wh.odd", "/srv/huge"]
    with tarfile.open(archive) as layer:
        members = {member.name: member for member in layer}
        file = layer.extractfile("srv/file")
        assert file is not None
        assert file.read() == b"new\n"
    assert (members["srv/file"].uid, members["srv/file"].gid) == (7, 8)
    assert (members["srv/hard"].islnk(), members["srv/hard"].linkname) == (True, "srv/file")
    assert members["srv/soft"].linkname == "file"
    assert stat.S_IMODE(members["srv/d"].mode) == 0o700
    assert members["etc/.wh.passwd"].size == 0
    assert members["etc/hostname"].size == 5
    assert members["srv/fifo"].isfifo()
    assert (members["srv/null"].devmajor, members["srv/null"].devminor) == (1, 3)
    assert not [name for name in members if name.startswith(("dev/shm", "bin", "lib"))]
    if (guest_root / "usr/share/doc").exists():
        assert "usr/share/doc/.wh..wh..opq" in members


@pytest.mark.heavy
def test_a_run_that_changes_nothing_is_an_empty_layer(guest_root: Path, tmp_path: Path) -> None:
    machine = make_machine(guest_root)
    run(machine, "ls -lR /etc >/dev/null; cat /etc/passwd >/dev/null")
    assert machine.save_changes(str(tmp_path / "layer.tar")) == []
    with tarfile.open(tmp_path / "layer.tar") as layer:
        assert layer.getnames() == []


@pytest.mark.heavy
def test_the_same_run_gives_the_same_layer(guest_root: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        machine = make_machine(guest_root)
        run(machine, "mkdir -p /srv/a/b; date >/srv/a/b/c; head -c 99999 /dev/urandom >/srv/r")
        machine.save_changes(str(tmp_path / name))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_files_and_directories_are_copied_out(guest_root: Path, tmp_path: Path) -> None:
    machine = make_machine(guest_root)
    run(machine, "mkdir -p /srv/a/b; cd /srv; echo 1 >a/b/c; ln -s /etc a/l; echo 2 >f; mkfifo a/p")
    assert machine.copy_out("/srv/f", str(tmp_path / "named")) == []
    assert machine.copy_out("/srv/f", str(tmp_path)) == []
    assert machine.copy_out("/proc/version", str(tmp_path / "version")) == []
    (left_out,) = machine.copy_out("/srv/a", str(tmp_path / "a"))
    assert left_out.startswith("a/p: ")
    found = contents(tmp_path)
    assert found.pop("version").startswith("Linux version")
    assert found == {"named": "2\n", "f": "2\n", "a/b/c": "1\n", "a/l": "-> /etc"}
    with pytest.raises(ENOENT):
        machine.copy_out("/no/such", str(tmp_path / "x"))
    with pytest.raises(FileNotFoundError):
        machine.copy_out("/srv/f", str(tmp_path / "no/such/place"))
