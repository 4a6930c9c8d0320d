"""Files of proc that follow what programs do: /proc/PID/io and /proc/locks."""

from __future__ import annotations

import re

import pytest

from tests.programs.conftest import RunProgram

COUNTING = """
import os

def counts():
    return {name: int(value) for name, value in (line.split(":") for line in open("/proc/self/io"))}

def growth(before):
    after = counts()
    return {name: after[name] - before[name] for name in after}

# What reading the file itself counts: two calls, and its length.
before = counts()
first = growth(before)
own = {name: first[name] for name in first}
print(first["syscr"], first["wchar"], first["syscw"])

def show(before):
    now = growth(before)
    print(now["rchar"] - own["rchar"], now["syscr"] - own["syscr"], now["wchar"], now["syscw"])

before = counts()
file = os.open("data", os.O_RDWR | os.O_CREAT)
os.write(file, b"x" * 1000)
os.pwrite(file, b"y" * 10, 5)
os.writev(file, [b"a" * 5, b"b" * 7])
show(before)

before = counts()
reader, writer = os.pipe()
os.write(writer, b"z" * 100)
os.read(reader, 1000)
os.pread(file, 500, 2)
os.sendfile(writer, file, 0, 600)
show(before)

before = counts()
try:
    os.read(os.open("/", os.O_RDONLY), 10)
except IsADirectoryError:
    pass
show(before)

before = counts()
child = os.fork()
if child == 0:
    os.write(os.open("/dev/null", os.O_WRONLY), b"q" * 12345)
    os._exit(0)
os.waitpid(child, 0)
print(growth(before)["wchar"], growth(before)["syscw"])
"""


@pytest.mark.heavy
def test_io(run_program: RunProgram) -> None:
    result = run_program(["python3", "-S", "-c", COUNTING])
    assert result.stderr == b""
    lines = [[int(word) for word in line.split()] for line in result.stdout.splitlines()]
    assert lines[0] == [2, 0, 0]
    # The length of the file's own text may grow by a digit.
    for line, expected in zip(lines[1:4], ([0, 0, 1022, 3], [1200, 3, 700, 2], [0, 1, 0, 0]), strict=True):
        assert abs(line[0] - expected[0]) < 10
        assert line[1:] == expected[1:]
    assert lines[4] == [12345, 1]


def test_io_of_others_is_private(run_program: RunProgram) -> None:
    as_user = "perl -e '$> = 1000; print open(my $f, q(<), q(/proc/1/io)) ? 1 : 0'"
    script = f"cat /proc/1/io > /dev/null && echo seen; {as_user}"
    assert run_program(["bash", "-c", script]).stdout == b"seen\n0"


LOCKING = """
import fcntl, os, struct, time

def start(body):
    child = os.fork()
    if child == 0:
        body()
        time.sleep(1000)
    time.sleep(1)
    return child

def whole(kind):
    return lambda: fcntl.flock(os.open("whole", os.O_RDWR | os.O_CREAT), kind)

def record(kind, start, length):
    return lambda: fcntl.lockf(os.open("records", os.O_RDWR | os.O_CREAT), kind, length, start)

def open_file():
    file = os.open("records", os.O_RDWR | os.O_CREAT)
    fcntl.fcntl(file, 37, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 100, 0, 0))

children = [
    start(whole(fcntl.LOCK_EX)),
    start(whole(fcntl.LOCK_SH)),
    start(record(fcntl.LOCK_EX, 5, 10)),
    start(record(fcntl.LOCK_SH, 0, 20)),
    start(open_file),
]
print(*children, os.stat("whole").st_ino, os.stat("records").st_ino)
print(open("/proc/locks").read(), end="")
os.kill(children[0], 9)
os.kill(children[2], 9)
os.kill(children[4], 9)
time.sleep(1)
print(open("/proc/locks").read(), end="")
for child in children:
    os.kill(child, 9)
time.sleep(1)
print(open("/proc/locks").read(), end="")
"""


@pytest.mark.heavy
def test_locks(run_program: RunProgram) -> None:
    result = run_program(["python3", "-S", "-c", LOCKING])
    assert result.stderr == b""
    first, *lines = result.stdout.decode().splitlines()
    one, two, three, four, _, whole, records = first.split()
    lines = [re.sub(r" \w\w:\w\w:", " ", line) for line in lines]
    assert lines[:5] == [
        f"1: OFDLCK ADVISORY  READ -1 {records} 100 EOF",
        f"2: POSIX  ADVISORY  WRITE {three} {records} 5 14",
        f"2: -> POSIX  ADVISORY  READ {four} {records} 0 19",
        f"3: FLOCK  ADVISORY  WRITE {one} {whole} 0 EOF",
        f"3: -> FLOCK  ADVISORY  READ {two} {whole} 0 EOF",
    ]
    # Those that waited have them now.
    assert sorted(line[3:] for line in lines[5:]) == [
        f"FLOCK  ADVISORY  READ {two} {whole} 0 EOF",
        f"POSIX  ADVISORY  READ {four} {records} 0 19",
    ]


NAMING = """
import ctypes, mmap

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_VMA = 0x53564D41
pages = mmap.mmap(-1, 3 * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
start = ctypes.addressof(ctypes.c_char.from_buffer(pages))

def name(address, length, text):
    text = None if text is None else ctypes.c_char_p(text)
    words = [ctypes.c_ulong(word) for word in (0, address, length)]
    return ctypes.get_errno() if libc.prctl(PR_SET_VMA, *words, text) else 0

def named():
    return [line.split()[-1] for line in open("/proc/self/maps") if "anon:" in line]

print(name(start, 3 * 4096, b"whole"), named())
print(name(start + 4096, 4096, b"middle"), named())
print(name(start, 3 * 4096, None), named())
print(name(start, 4096, b"bad]"), name(start, 4096, b"x" * 80), name(start + 1, 4096, b"x"))
print(name(1 << 40, 4096, b"x"), name(start, 4096, b"x" * 79))
"""


@pytest.mark.heavy
def test_names_of_memory(run_program: RunProgram) -> None:
    result = run_program(["python3", "-c", NAMING])
    assert result.stderr == b""
    assert result.stdout.decode().splitlines() == [
        "0 ['[anon:whole]']",
        "0 ['[anon:whole]', '[anon:middle]', '[anon:whole]']",
        "0 []",
        "22 22 22",
        "12 0",
    ]


DROPPED = """
python3 - <<'END'
import mmap
# Mapped and let go of: the pages are in memory, and nobody's.
with open("/usr/bin/bash", "rb") as file:
    data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    first = data[: 1 << 20]
    data.close()
    print(len(first))
END
free() { while read -r name count unit; do [ "$name" = MemFree: ] && echo $count; done < /proc/meminfo; }
before=$(free)
echo 4 > /proc/sys/vm/drop_caches
none=$(free)
ls /nowhere 2> /dev/null
echo 3 > /proc/sys/vm/drop_caches
after=$(free)
ls /nowhere 2> /dev/null || echo absent
[ $((none - before)) -lt 200 ] && [ $((after - before)) -gt 400 ] && echo dropped
cat /proc/sys/vm/drop_caches 2> /dev/null || echo unreadable
"""


@pytest.mark.heavy
def test_caches_are_dropped(run_program: RunProgram) -> None:
    result = run_program(["bash", "-c", DROPPED])
    assert result.stdout.decode().split() == ["1048576", "absent", "dropped", "unreadable"]


def test_ids_of_nobody(run_program: RunProgram) -> None:
    """What is shown of who has no id is the machine's to say; natively that's everybody's matter."""
    script = (
        "cd /proc/sys/kernel; echo 1234 > overflowuid; echo 70000 > overflowgid 2> /dev/null; echo $?;"
        "unshare --user stat -c '%u %g' /; cat ../fs/overflowuid"
    )
    result = run_program(["bash", "-c", script])
    assert result.stdout == b"1\n1234 65534\n65534\n"
