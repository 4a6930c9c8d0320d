"""Whatever a guest does to its files, the host's stay as they are, bit for bit."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from procession import Machine, Result
from tests.of_a_kind import heavy
from tests.programs.conftest import TIME_LIMIT_S
from tests.programs.program_script import ENVIRONMENT

# What each test has the guest do; the tree is /, a directory beside it on the host is out of reach.
DESTRUCTION = {
    "write": (
        "for f in $(busybox find / -xdev -type f); do echo spoilt > $f; echo more >> $f; done; "
        "cat /etc/passwd"
    ),
    "remove": "busybox rm -rf /etc /usr/share /data /links; busybox ls /; busybox test ! -e /etc/passwd",
    "remove everything": "busybox rm -rf /* 2>/dev/null; echo done",
    "overwrite": (
        "busybox dd if=/dev/zero of=/etc/passwd bs=10 count=3 conv=notrunc 2>/dev/null; "
        "busybox head -c 30 /etc/passwd"
    ),
    "truncate": "for f in /data/*; do busybox truncate -s 3 $f; echo -n > $f; done; busybox du -s /data",
    "grow": (
        "for f in /data/*; do busybox truncate -s 100000 $f; echo end >> $f; done; busybox wc -c /data/big"
    ),
    "modes": (
        "busybox chmod -R 000 /etc /data; busybox chown -R 5:6 /; busybox chmod u+s /usr/bin/busybox; "
        "busybox ls -ld /etc"
    ),
    "times": "busybox touch -d '2001-01-01' /etc/passwd /data/* /etc; busybox stat -c %Y /etc/passwd",
    "rename": (
        "busybox mv /etc /was; busybox mv /was/passwd /passwd; busybox mv /data/big /etc2; busybox ls /was"
    ),
    "links": (
        "busybox ln /etc/passwd /etc/hard; echo x >> /etc/hard; busybox ln -sf /nowhere /etc/passwd; "
        "busybox rm /links/*; busybox readlink /etc/passwd"
    ),
    "nodes": (
        "busybox mknod /null c 1 3; busybox mknod /disk b 8 0; busybox mkfifo /fifo; echo x > /null; "
        "busybox dd if=/disk count=1; busybox mknod /mem c 1 1; busybox cat /mem | busybox head -c 1; "
        "echo done"
    ),
    "directories": (
        "busybox mkdir -p /data/new/deep; busybox rmdir /empty; busybox touch /data/new/deep/f; "
        "busybox find /data"
    ),
    "run and change": (
        "busybox cp /usr/bin/busybox /usr/bin/busybox2; echo x >> /usr/bin/busybox; echo $?; "
        "busybox rm /usr/bin/busybox; /usr/bin/busybox2 ls -l /usr/bin"
    ),
    "attributes": (
        "busybox setfattr -n user.x -v y /etc/passwd; busybox chattr +i /etc/passwd; "
        "busybox mount -o remount,ro /; busybox umount /; echo done"
    ),
    "mapping": (
        "busybox sed -i s/root/toor/ /etc/passwd; busybox sort -o /etc/passwd /etc/passwd; "
        "busybox cat /etc/passwd"
    ),
}

# What others of them do as well.
HEAVY = {"remove", "truncate", "grow", "directories"}

ESCAPES = {
    "by a link": "busybox cat /links/outside /links/up /links/loop/secret",
    "by dots": (
        "busybox cat /../secret /../outside/secret ../../../secret /etc/../../outside/secret; cd ..; "
        "cd ../..; busybox cat secret outside/secret"
    ),
    "by a link of its own": (
        "busybox ln -s ../outside /l; busybox ln -s $OUTSIDE /m; busybox ln -s $OUTSIDE/secret /n; "
        "busybox cat /l/secret /m/secret /n; busybox ls /l /m"
    ),
    "by its name": (
        "busybox cat $OUTSIDE/secret; busybox ls $OUTSIDE; echo x > $OUTSIDE/new; "
        "busybox mkdir -p $OUTSIDE/d; busybox rm -rf $OUTSIDE"
    ),
    "by chroot": (
        "busybox mkdir /jail; busybox chroot /jail /usr/bin/busybox ls ..; "
        "busybox chroot .. /usr/bin/busybox cat /secret; busybox chroot / /usr/bin/busybox cat ../secret"
    ),
    "by /proc": (
        "busybox cat /proc/self/root/../secret /proc/1/root/../outside/secret /proc/self/cwd/../secret; "
        "for f in /proc/self/fd/*; do busybox readlink $f; done; busybox ls /proc/self/map_files"
    ),
    "by a rename": (
        "busybox mv /links/outside /x; busybox cat /x; busybox ln /links/up /y; busybox cat /y; "
        "busybox cp -a /links /z; busybox cat /z/*"
    ),
    "by a device": (
        "busybox mknod /d b $(busybox stat -c '%d 0' /); busybox dd if=/d bs=1 count=1; "
        "busybox mount -t ext4 /d /data; busybox mount --bind /.. /data; busybox ls /data; "
        "busybox cat /dev/mem /dev/sda"
    ),
}


@pytest.fixture
def tree(tmp_path: Path, guest_root: Path) -> Path:
    """Return a tree to spoil, with busybox and files of several kinds, beside a directory with a secret."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("the secret\n")
    (tmp_path / "secret").write_text("the secret\n")
    root = tmp_path / "root"
    for name in ("usr/bin", "usr/share", "etc", "data", "links", "empty", "dev", "proc", "tmp", "sys"):
        (root / name).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    busybox = root / "usr/bin/busybox"
    busybox.write_bytes((guest_root / "usr/bin/busybox").read_bytes())
    busybox.chmod(0o755)
    (root / "usr/bin/sh").symlink_to("busybox")
    (root / "usr/share/doc").write_text("documentation\n" * 1000)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/:/bin/sh\n")
    (root / "etc/private").write_text("for its owner\n")
    (root / "etc/private").chmod(0o600)
    (root / "data/big").write_bytes(bytes(range(256)) * 400)
    (root / "data/empty").touch()
    os.link(root / "data/big", root / "data/linked")
    (root / "links/outside").symlink_to(outside / "secret")
    (root / "links/up").symlink_to("../../outside/secret")
    (root / "links/loop").symlink_to("../../outside")
    (root / "links/inside").symlink_to("/etc/passwd")
    os.mkfifo(root / "data/fifo")
    return root


def fingerprint(directory: Path) -> dict[str, tuple[object, ...]]:
    """Return everything about each file below `directory` but the time of its last access."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted([directory, *directory.rglob("*")]):
        status = path.lstat()
        contents = ""
        if stat.S_ISREG(status.st_mode):
            contents = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(status.st_mode):
            contents = os.readlink(path)
        times = (status.st_mtime_ns, status.st_ctime_ns)
        identity = (status.st_ino, status.st_mode, status.st_nlink, status.st_uid, status.st_gid)
        found[str(path)] = (*identity, status.st_size, *times, contents)
    return found


def run_in(tree: Path, script: str) -> Result:
    """Run a script of busybox's shell in a machine whose root is `tree`."""
    environment = {**ENVIRONMENT, "OUTSIDE": str(tree.parent / "outside")}
    machine = Machine(rootfs=tree, environment=environment)
    try:
        return machine.run(["/usr/bin/busybox", "sh", "-c", script], time_limit_s=TIME_LIMIT_S)
    finally:
        machine.close()


@pytest.mark.parametrize(
    "script",
    [heavy(script) if name in HEAVY else script for name, script in DESTRUCTION.items()],
    ids=DESTRUCTION.keys(),
)
def test_host_stays_as_it_is(script: str, tree: Path) -> None:
    before = fingerprint(tree.parent)
    run_in(tree, script)
    assert fingerprint(tree.parent) == before
    again = run_in(tree, "busybox head -n 1 /etc/passwd")
    assert again.stdout == b"root:x:0:0:root:/root:/bin/sh\n"


@pytest.mark.parametrize("script", ESCAPES.values(), ids=ESCAPES.keys())
def test_host_is_out_of_reach(script: str, tree: Path) -> None:
    before = fingerprint(tree.parent)
    result = run_in(tree, script)
    assert b"the secret" not in result.stdout + result.stderr
    assert fingerprint(tree.parent) == before


def test_guest_sees_what_it_changed(tree: Path) -> None:
    result = run_in(
        tree,
        "echo changed > /etc/passwd; busybox rm /data/big; busybox mkdir /data/new; busybox chmod 700 /etc;"
        "busybox cat /etc/passwd; busybox ls /data; busybox stat -c %a /etc",
    )
    assert result == Result(0, b"changed\nempty\nfifo\nlinked\nnew\n700\n", b"")


def test_host_file_that_changes_meanwhile(tree: Path) -> None:
    """A file that the guest has open and that vanishes from the host gives an error, not an exception."""
    (tree / "data/vanishing").write_bytes(b"x" * 100_000)
    machine = Machine(rootfs=tree, environment=ENVIRONMENT)
    script = (
        "exec 3< /data/vanishing; busybox head -c 10 <&3; echo; read x; busybox cat /data/vanishing; echo $?"
    )
    machine.start(["/usr/bin/busybox", "sh", "-c", script])
    assert machine.run_until(lambda machine: machine.input.is_wanted)
    (tree / "data/vanishing").unlink()
    (tree / "data/vanishing").symlink_to(tree.parent / "secret")
    machine.input.feed(b"\n")
    machine.input.end()
    machine.run_until(lambda machine: False)
    output = b"".join(data for _, data in machine.output.take())
    machine.close()
    assert b"the secret" not in output
    assert output.startswith(b"x" * 10 + b"\n")
