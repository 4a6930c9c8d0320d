"""Whatever a guest does to a tree, its volume written back and the layer of its changes are the same."""

from __future__ import annotations

import random
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from procession import Machine
from procession.exchange.layer import OPAQUE, WHITEOUT, write_layer
from tests.of_a_kind import first_of

NAMES = ("a", "b", "c")
OPERATIONS = 60


def place(choice: random.Random) -> str:
    """A path of one to three names."""
    return "/".join(choice.choice(NAMES) for _ in range(choice.randint(1, 3)))


def operation(choice: random.Random) -> str:
    """A command that may fail."""
    one, other = place(choice), place(choice)
    return choice.choice(
        (
            f"mkdir -p {one}",
            f"mkdir {one}",
            f"echo {choice.randrange(1000)} >{one}",
            f"echo {choice.randrange(1000)} >>{one}",
            f"mv -T {one} {other}",
            f"mv {one} {other}",
            f"rm -r {one}",
            f"rm {one}",
            f"ln {one} {other}",
            f"ln -s {other} {one}",
            f"truncate -s {choice.randrange(20000)} {one}",
            f"cp -r {one} {other}",
            f"chmod {choice.choice(('700', '750', '755'))} {one}",
            f"cat {one}",
            f"ls -R {one}",
        )
    )


def make_tree(root: Path, choice: random.Random) -> None:
    """A random tree with files, hard and symbolic links."""
    root.mkdir()
    for _ in range(12):
        path = root / place(choice)
        if path.exists() or path.is_symlink():
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            files = [file for file in root.rglob("*") if file.is_file() and not file.is_symlink()]
            kind = choice.randrange(4)
            if kind == 0 and files:
                path.hardlink_to(choice.choice(files))
            elif kind == 1:
                path.symlink_to(choice.choice(NAMES))
            else:
                path.write_bytes(b"%d\n" % choice.randrange(1000) * choice.choice((1, 3000)))
        except OSError:
            continue


def shown(root: Path) -> dict[str, tuple[str, int, bytes]]:
    """All that is below `root`: kinds, permissions of what has them, contents."""
    found: dict[str, tuple[str, int, bytes]] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = ("link", 0, bytes(path.readlink()))
        elif path.is_dir():
            found[name] = ("directory", stat.S_IMODE(path.stat().st_mode), b"")
        else:
            found[name] = ("file", stat.S_IMODE(path.stat().st_mode), path.read_bytes())
    return found


def remove(path: Path) -> None:
    """Remove whatever is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def apply_layer(layer: Path, root: Path) -> None:
    """What an image's layer does to the tree below (OCI image specification, layer.md)."""
    with tarfile.open(layer) as archive:
        for member in archive:
            path = root / member.name
            name = path.name.encode()
            if name == OPAQUE:
                for below in list(path.parent.iterdir()):
                    remove(below)
            elif name.startswith(WHITEOUT):
                remove(path.with_name(name.removeprefix(WHITEOUT).decode()))
            elif member.isdir():
                if not path.is_dir() or path.is_symlink():
                    remove(path)
                    path.mkdir()
                path.chmod(member.mode)
            elif member.issym():
                remove(path)
                path.symlink_to(member.linkname)
            elif member.islnk():
                remove(path)
                path.hardlink_to(root / member.linkname)
            else:
                remove(path)
                file = archive.extractfile(member)
                assert file is not None
                path.write_bytes(file.read())
                path.chmod(member.mode)


def check(guest_root: Path, folder: Path, seed: int) -> None:
    """One random tree, and what a guest makes of it."""
    choice = random.Random(seed)
    host = folder / "host"
    make_tree(host, choice)
    subprocess.run(["cp", "-a", str(host), str(folder / "applied")], check=True)
    script = "\n".join(operation(choice) for _ in range(OPERATIONS))
    script = f"exec >/dev/null 2>&1; umask 022; cd /v; {script}\nexit 0"
    machine = Machine(seed=seed, rootfs=guest_root, memory=64 << 20)
    machine.add_volume(str(host), "/v")
    assert machine.run(["bash", "-c", script]).status == 0
    assert machine.copy_out("/v", str(folder / "inside")) == []
    expected = shown(folder / "inside")
    assert write_layer(machine.volumes[0].overlay, str(folder / "layer.tar")) == []
    assert machine.write_volumes() == []
    machine.close()
    assert shown(host) == expected, seed
    apply_layer(folder / "layer.tar", folder / "applied")
    assert shown(folder / "applied") == expected, seed


@pytest.mark.parametrize("seed", first_of(1, range(6)))
def test_random_changes(guest_root: Path, tmp_path: Path, seed: int) -> None:
    check(guest_root, tmp_path, seed)


@pytest.mark.heavy
@pytest.mark.timeout(1200)
def test_many_random_changes(guest_root: Path, tmp_path: Path) -> None:
    for seed in range(100, 160):
        folder = tmp_path / str(seed)
        folder.mkdir()
        check(guest_root, folder, seed)
        shutil.rmtree(folder)
