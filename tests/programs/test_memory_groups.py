"""Control groups that bound and count memory: what is charged to whom, what is let go, and who is spared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from procession import Machine

if TYPE_CHECKING:
    from pathlib import Path

SHELL = """
        cd /sys/fs/cgroup; echo +memory > cgroup.subtree_control
        inside() { sh -c 'echo $$ > $0/cgroup.procs; exec "$@"' "$@"; }
        value() { while read key number; do test $key != $1 || echo $number; done; }
        """

PYTHON = """
import os
os.chdir("/sys/fs/cgroup")
def put(name, text):
    with open(name, "w") as file:
        file.write(str(text))
def get(name):
    with open(name) as file:
        return file.read()
def stat(group):
    return {key: int(value) for key, value in map(str.split, get(group + "/memory.stat").splitlines())}
def events(group):
    return {key: int(value) for key, value in map(str.split, get(group + "/memory.events").splitlines())}
def current(group):
    return int(get(group + "/memory.current"))
def run(group, function, *arguments):
    child = os.fork()
    if not child:
        put(group + "/cgroup.procs", 0)
        function(*arguments)
        os._exit(0)
    return os.waitpid(child, 0)[1]
def read(name):
    with open(name, "rb", buffering=0) as file:
        while file.read(1 << 16):
            pass
def sparse(name, size):
    with open(name, "wb") as file:
        file.truncate(size)
put("cgroup.subtree_control", "+memory")
"""


def printed(guest_root: Path, command: list[str]) -> list[str]:
    """The lines that a command prints, which ends well."""
    result = Machine(rootfs=guest_root, cwd="/root").run(command, time_limit_s=120)
    assert result.status == 0, (result.status, result.stdout, result.stderr, result.reason)
    return result.stdout.decode().splitlines()


def shell(guest_root: Path, script: str) -> list[str]:
    return printed(guest_root, ["sh", "-c", SHELL + script])


def python(guest_root: Path, script: str) -> list[str]:
    return printed(guest_root, ["python3", "-S", "-c", PYTHON + script])


def test_files_that_are_read_are_charged_and_let_go(guest_root: Path) -> None:
    lines = shell(
        guest_root,
        """
        mkdir a; echo 8M > a/memory.max; truncate -s 20M /root/sparse
        inside a cat /root/sparse > /dev/null; echo $?
        value file < a/memory.stat; value inactive_file < a/memory.stat; cat a/memory.current
        value oom_kill < a/memory.events; value max < a/memory.events; value pgsteal < a/memory.stat
        stat -c %b /root/sparse; rm /root/sparse; value file < a/memory.stat
        """,
    )
    status, file, inactive, current, killed, refused, stolen, blocks, left = map(int, lines)
    assert (status, killed, blocks) == (0, 0, 0)
    assert 6 << 20 < file <= current <= 8 << 20
    assert inactive <= file
    assert refused > 0
    assert stolen >= 12 << 20 >> 12
    assert left < 1 << 20


@pytest.mark.heavy
def test_who_writes_more_than_fits_goes_on(guest_root: Path) -> None:
    lines = shell(
        guest_root,
        """
        mkdir a; echo 8M > a/memory.max
        inside a dd if=/dev/zero of=/root/large bs=64k count=320 2>/dev/null; echo $?
        stat -c '%s %b' /root/large; test $(cat a/memory.current) -le 8388608 && echo fits
        value oom_kill < a/memory.events; tr -d '\\0' < /root/large | wc -c
        """,
    )
    assert lines == ["0", f"{20 << 20} {40 << 10}", "fits", "0", "0"]


def test_files_in_memory_alone_can_t_be_let_go(guest_root: Path) -> None:
    lines = shell(
        guest_root,
        """
        mkdir a /mnt; mount -t tmpfs none /mnt
        inside a dd if=/dev/zero of=/mnt/file bs=64k count=32 2>/dev/null
        value shmem < a/memory.stat; value file < a/memory.stat
        (echo 4M > a/memory.reclaim) 2>/dev/null || echo kept; value shmem < a/memory.stat
        rm /mnt/file; value shmem < a/memory.stat
        """,
    )
    assert lines[0] == str(2 << 20)
    assert int(lines[1]) >= 2 << 20
    assert lines[2:] == ["kept", str(2 << 20), "0"]


@pytest.mark.heavy
def test_all_that_is_charged_is_told_by_kind(guest_root: Path) -> None:
    lines = python(
        guest_root,
        """
import mmap, socket
os.mkdir("a")
sparse("/root/sparse", 4 << 20)
def work():
    read("/root/sparse")
    area = mmap.mmap(-1, 2 << 20, flags=mmap.MAP_PRIVATE)
    shared = mmap.mmap(-1, 1 << 20)
    for place in range(0, 2 << 20, 4096):
        area[place] = 1
        shared[place >> 1] = 1
    # What the program itself does in between brings in pages of its own at first.
    for _ in range(2):
        found, now = stat("a"), current("a")
    total = found["anon"] + found["file"] + found["kernel"] + found["sock"]
    print(abs(now - total) < 64 << 10)
    print(found["anon"] >= 2 << 20, found["shmem"] == 1 << 20, found["file"] >= 5 << 20)
    print(found["kernel_stack"] == 16384, found["pagetables"] > 4096, found["pgfault"] > 700)
    print(found["slab"] > 0, found["kernel"] >= found["slab"] + found["kernel_stack"], flush=True)
faults = 700
run("a", work)
print(stat("a")["pgfault"] > 700, stat("a")["anon"] < 64 << 10)
""",
    )
    assert lines == ["True", "True True True", "True True True", "True True", "True True"]


@pytest.mark.heavy
def test_a_peak_can_be_counted_anew_for_each_open_file(guest_root: Path) -> None:
    lines = python(
        guest_root,
        """
os.mkdir("a")
sparse("/root/sparse", 6 << 20)
run("a", read, "/root/sparse")
first, second = (os.open("a/memory.peak", os.O_RDWR) for _ in range(2))
told = lambda fd: int(os.pread(fd, 100, 0))
print(told(first) == told(second) == int(get("a/memory.peak")) > 6 << 20)
put("a/memory.reclaim", "4M")
os.write(first, b"reset\\n")
print(told(first) == current("a") < 3 << 20, told(second) > 6 << 20, int(get("a/memory.peak")) > 6 << 20)
run("a", read, "/root/sparse")
print(told(first) > 6 << 20)
put("a/memory.reclaim", "4M")
os.write(second, b"x")
print(told(second) < 3 << 20, told(first) == told(second))
os.close(second)
os.write(first, b"x")
print(os.stat("a/memory.peak").st_mode & 0o777 == 0o644)
""",
    )
    assert lines == ["True", "True True True", "True", "True True", "True"]


PROTECTION = """
os.mkdir("a")
put("a/cgroup.subtree_control", "+memory")
for name in "bcd":
    os.mkdir("a/" + name)
    sparse("/root/" + name, 16 << 20)
    run("a/" + name, read, "/root/" + name)
put("a/b/memory.KIND", "12M")
put("a/c/memory.KIND", "6M")
left = lambda: [round(current("a/" + name) / (1 << 20)) for name in "bcd"]
print(left())
put("a/memory.reclaim", str(current("a") - (20 << 20)))
print(left())
print([events("a/" + name)["low"] for name in "bcd"])
try:
    put("a/memory.reclaim", "6M")
    print("more")
except BlockingIOError:
    print("no more")
print(sum(left()), [events("a/" + name)["low"] > 0 for name in "bc"])
# Who reclaims in the group itself doesn't ask what it's to keep.
put("a/b/memory.reclaim", "4M")
print(left()[0])
"""


@pytest.mark.heavy
def test_what_memory_min_keeps_isn_t_let_go(guest_root: Path) -> None:
    lines = python(guest_root, PROTECTION.replace("KIND", "min"))
    assert lines[0] == "[16, 16, 16]"
    b, c, d = map(int, lines[1].strip("[]").split(","))
    assert (11 <= b <= 14, 5 <= c <= 8, d <= 2) == (True, True, True)
    assert lines[2:4] == ["[0, 0, 0]", "no more"]
    assert 17 <= int(lines[4].split()[0]) <= 20
    assert lines[4].endswith("[False, False]")
    assert 7 <= int(lines[5]) <= 9


@pytest.mark.heavy
def test_what_memory_low_keeps_is_let_go_last(guest_root: Path) -> None:
    lines = python(guest_root, PROTECTION.replace("KIND", "low"))
    b, c, d = map(int, lines[1].strip("[]").split(","))
    assert (11 <= b <= 14, 5 <= c <= 8, d <= 2) == (True, True, True)
    assert lines[2:4] == ["[0, 0, 0]", "more"]
    assert 12 <= int(lines[4].split()[0]) <= 15
    assert lines[4].endswith("[True, True]")


@pytest.mark.heavy
def test_memory_reclaim_takes_a_size_and_an_option(guest_root: Path) -> None:
    lines = python(
        guest_root,
        """
import errno
os.mkdir("a")
sparse("/root/sparse", 4 << 20)
run("a", read, "/root/sparse")
for text in ("x", " ", "1M x", "1M swappiness=201", "1M swappiness=-1", "1M swappiness=x", "1Mx"):
    try:
        put("a/memory.reclaim", text)
        print(text)
    except OSError as error:
        print(errno.errorcode[error.errno])
for text in ("0", "4096 swappiness=60", " 1M "):
    before = current("a")
    put("a/memory.reclaim", text)
    print((before - current("a")) >> 12 >= 256 * (text == " 1M "))
""",
    )
    assert lines == ["EINVAL"] * 7 + ["True"] * 3


@pytest.mark.heavy
def test_what_waits_in_sockets_is_charged_to_who_accepted(guest_root: Path) -> None:
    lines = python(
        guest_root,
        """
import socket
os.mkdir("a")
server = socket.create_server(("127.0.0.1", 7000))
client = socket.create_connection(("127.0.0.1", 7000))
client.sendall(b"x" * 50000)
def work():
    end, _ = server.accept()
    print(stat("a")["sock"], end=" ")
    client.sendall(b"x" * 10000)
    print(stat("a")["sock"], end=" ")
    end.recv(20000, socket.MSG_WAITALL)
    print(stat("a")["sock"], flush=True)
run("a", work)
print(stat("a")["sock"])
""",
    )
    assert lines == ["50000 60000 40000", "0"]


@pytest.mark.heavy
def test_groups_are_charged_to_the_group_above(guest_root: Path) -> None:
    lines = python(
        guest_root,
        """
os.mkdir("a")
put("a/cgroup.subtree_control", "+memory")
for number in range(50):
    os.mkdir("a/%d" % number)
print(0 <= current("a") - stat("a")["percpu"] < 4096, stat("a")["percpu"] > 50 * 512)
for number in range(50):
    os.rmdir("a/%d" % number)
print(current("a"), stat("a")["percpu"])
""",
    )
    assert lines == ["True True", "0 0"]


@pytest.mark.heavy
def test_a_removed_group_is_dying_while_it_has_pages(guest_root: Path) -> None:
    lines = python(
        guest_root,
        """
os.mkdir("a")
put("a/cgroup.subtree_control", "+memory")
os.mkdir("a/b")
sparse("/root/sparse", 1 << 20)
run("a/b", read, "/root/sparse")
os.rmdir("a/b")
dying = lambda group: get(group + "/cgroup.stat").split()[3]
print(dying("a"), dying("."), stat("a")["file"] >> 20)
put("a/memory.reclaim", "1M")
os.unlink("/root/sparse")
print(dying("a"), stat("a")["file"] >> 20)
""",
    )
    assert lines == ["1 1 1", "0 0"]


@pytest.mark.heavy
def test_absent_names_are_charged_and_forgotten(guest_root: Path) -> None:
    lines = python(
        guest_root,
        """
os.mkdir("a")
def look(count):
    for number in range(count):
        os.access("/root/%0200d" % number, os.F_OK)
run("a", look, 3000)
before = stat("a")["slab_reclaimable"]
print(before, stat("a")["slab"] >= before)
put("a/memory.high", str(current("a") - (1 << 20)))
after = stat("a")["slab_reclaimable"]
print(after < before // 2, current("a") < 1 << 20)
run("a", look, 3000)
print(stat("a")["slab_reclaimable"] <= before)
os.rmdir("a")
print(stat(".")["slab_reclaimable"])
""",
    )
    assert int(lines[0].split()[0]) >= 3000 * 456
    assert lines[0].endswith("True")
    assert lines[1:] == ["True True", "True", "0"]


def test_who_may_not_be_killed_is_spared_with_its_group_killed(guest_root: Path) -> None:
    lines = shell(
        guest_root,
        """
        mkdir a; echo 8M > a/memory.max; echo 1 > a/memory.oom.group
        sleep 1000 & safe=$!; echo -1000 > /proc/$safe/oom_score_adj; echo $safe > a/cgroup.procs
        sleep 1000 & other=$!; echo $other > a/cgroup.procs
        inside a tail /dev/zero; echo $?; wait $other; echo $?
        kill -0 $safe && echo spared; kill $safe; value oom_kill < a/memory.events
        """,
    )
    assert lines == ["137", "137", "spared", "3"]


@pytest.mark.heavy
def test_who_locks_much_waits_at_memory_high_in_the_middle(guest_root: Path) -> None:
    lines = python(
        guest_root,
        """
import ctypes, mmap, signal, time
os.mkdir("a")
put("a/memory.high", "4M")
put("a/memory.max", "60M")
def work():
    area = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE)
    ctypes.CDLL(None).mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(area))), 64 << 20)
child = os.fork()
if not child:
    put("a/cgroup.procs", 0)
    work()
    os._exit(0)
time.sleep(3)
print(events("a")["high"] > 0, events("a")["max"], 4 << 20 < current("a") < 40 << 20)
os.kill(child, signal.SIGKILL)
print(os.waitpid(child, 0)[1])
""",
    )
    assert lines == ["True 0 True", "9"]


@pytest.mark.heavy
def test_page_frames_tell_their_group(guest_root: Path) -> None:
    lines = python(
        guest_root,
        """
import array
os.mkdir("a")
sparse("/root/sparse", 1 << 20)
run("a", read, "/root/sparse")
groups = array.array("Q")
file = os.open("/proc/kpagecgroup", os.O_RDONLY)
while data := os.read(file, 1 << 16):
    groups.frombytes(data)
print(groups.count(os.stat("a").st_ino) >= 256, groups.count(os.stat(".").st_ino) > 0, 0 in groups)
try:
    os.read(file, 7)
except OSError as error:
    print(error.strerror)
""",
    )
    assert lines == ["True True True", "Invalid argument"]
