"""mount, umount2, pivot_root."""

from __future__ import annotations

import pytest

from procession.abi.errno import EBUSY, EINVAL, ENODEV, ENOENT, ENOTDIR, EPERM, EROFS
from procession.fs.file import O_CREAT, O_RDONLY, O_RDWR
from tests.syscalls.conftest import Caller

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE, MS_SHARED = (
    *(1, 32, 4096, 8192, 16384),
    1 << 18,
    1 << 20,
)
MGC = 0xC0ED0000


def create(call: Caller, path: bytes) -> None:
    call("close", call("open", path, O_CREAT | O_RDWR, 0o600))


def exists(call: Caller, path: bytes) -> bool:
    try:
        call("access", path, 0)
    except ENOENT:
        return False
    return True


def test_a_tmpfs_comes_and_goes(call: Caller) -> None:
    create(call, b"/mnt/below\0")
    assert call("mount", b"none\0", b"/mnt\0", b"tmpfs\0", MGC, b"size=64k,mode=700\0") == 0
    assert not exists(call, b"/mnt/below\0")
    create(call, b"/mnt/above\0")
    status = call.space(144)
    call("stat", b"/mnt\0", status)
    assert call.number(status + 24) == 0o40700
    figures = call.space(120)
    call("statfs", b"/mnt\0", figures)
    assert (call.number(figures, 8), call.number(figures + 16, 8)) == (0x1021994, 16)
    with pytest.raises(EBUSY):
        call("rmdir", b"/mnt\0")
    fd = call("open", b"/mnt/above\0", O_RDONLY)
    with pytest.raises(EBUSY):
        call("umount2", b"/mnt\0", 0)
    call("close", fd)
    assert call("umount2", b"/mnt\0", 0) == 0
    assert exists(call, b"/mnt/below\0")
    with pytest.raises(EINVAL):
        call("umount2", b"/mnt\0", 0)


def test_binding_moving_and_remounting(call: Caller) -> None:
    create(call, b"/tmp/file\0")
    assert call("mount", b"/tmp\0", b"/mnt\0", 0, MS_BIND, 0) == 0
    assert exists(call, b"/mnt/file\0")
    assert call("mount", 0, b"/mnt\0", 0, MS_REMOUNT | MS_BIND | MS_RDONLY, 0) == 0
    with pytest.raises(EROFS):
        create(call, b"/mnt/new\0")
    create(call, b"/tmp/new\0")
    call("mkdir", b"/other\0", 0o700)
    assert call("mount", b"/mnt\0", b"/other\0", 0, MS_MOVE, 0) == 0
    assert exists(call, b"/other/new\0")
    assert not exists(call, b"/mnt/new\0")
    assert call("mount", 0, b"/other\0", 0, MS_SHARED, 0) == 0
    with pytest.raises(EINVAL):
        call("mount", 0, b"/other\0", 0, MS_SHARED | MS_PRIVATE, 0)
    assert call("umount2", b"/other\0", 2) == 0


def test_what_mount_refuses(call: Caller) -> None:
    for source, target, kind, flags, options, error in (
        (b"a\0", b"/nope\0", b"tmpfs\0", 0, 0, ENOENT),
        (b"a\0", b"/mnt\0", b"nonefs\0", 0, 0, ENODEV),
        (b"a\0", b"/mnt\0", 0, 0, 0, EINVAL),
        (b"a\0", b"/mnt\0", b"tmpfs\0", 0, b"size=x\0", EINVAL),
        (b"a\0", b"/mnt\0", b"tmpfs\0", 0, b"colour=red\0", EINVAL),
        (b"a\0", b"/file\0", b"tmpfs\0", 0, 0, ENOTDIR),
        (0, b"/mnt\0", 0, MS_BIND, 0, EINVAL),
        (b"/nope\0", b"/mnt\0", 0, MS_BIND, 0, ENOENT),
        (b"a\0", b"/mnt\0", b"tmpfs\0", 1 << 31, 0, EINVAL),
    ):
        with pytest.raises(error):
            call("mount", source, target, kind, flags, options)
    with pytest.raises(EINVAL):
        call("umount2", b"/mnt\0", 0x100)
    call.task.credentials = call.task.credentials.for_user(1234, 1234)
    with pytest.raises(EPERM):
        call("mount", b"a\0", b"/mnt\0", b"tmpfs\0", 0, 0)
    with pytest.raises(EPERM):
        call("umount2", b"/mnt\0", 0)
    with pytest.raises(EPERM):
        call("pivot_root", b"/\0", b"/mnt\0")


def test_more_of_proc(call: Caller) -> None:
    assert call("mount", b"proc\0", b"/mnt\0", b"proc\0", 0, 0) == 0
    assert exists(call, b"/mnt/self/status\0")
    assert call("mount", b"proc\0", b"/mnt\0", b"proc\0", 0, b"hidepid=2,subset=pid\0") == 0
    assert not exists(call, b"/mnt/uptime\0")
    with pytest.raises(EINVAL):
        call("mount", b"proc\0", b"/mnt\0", b"proc\0", 0, b"hidepid=3\0")


def test_pivot_root(call: Caller) -> None:
    call("mount", b"none\0", b"/mnt\0", b"tmpfs\0", 0, 0)
    call("mkdir", b"/mnt/old\0", 0o700)
    for new_root, put_old in ((b"/mnt\0", b"/tmp\0"), (b"/\0", b"/mnt\0")):
        with pytest.raises(EBUSY):
            call("pivot_root", new_root, put_old)
    with pytest.raises(ENOTDIR):
        call("pivot_root", b"/mnt\0", b"/file\0")
    assert call("pivot_root", b"/mnt\0", b"/mnt/old\0") == 0
    assert exists(call, b"/old/file\0")
    assert not exists(call, b"/file\0")
    # Every task whose root it was has moved along.
    assert call.machine.init.fs.root == call.task.fs.root
    call("chdir", b"/\0")
    assert call("umount2", b"/old\0", 2) == 0
    assert not exists(call, b"/old/file\0")
