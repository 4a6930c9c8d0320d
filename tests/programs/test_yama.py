"""kernel.yama.ptrace_scope and PR_SET_PTRACER: who may trace whom."""

from __future__ import annotations

import pytest

from tests.of_a_kind import heavy
from tests.programs.conftest import RunProgram

TRYING = """
import ctypes, os, signal, sys

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_TRACEME, PTRACE_SEIZE, PTRACE_DETACH = 0, 0x4206, 17
PR_SET_PTRACER = 0x59616D61
words = [ctypes.c_ulong(0)] * 2

def attempt(pid):
    failed = libc.ptrace(PTRACE_SEIZE, pid, *words)
    return ctypes.get_errno() if failed else 0

def in_child(body):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"%d" % body())
        os._exit(0)
    os.waitpid(child, 0)
    result = int(os.read(reader, 10))
    os.close(reader)
    os.close(writer)
    return result

def sleeper(permitted=None):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        if permitted is not None:
            result = libc.prctl(PR_SET_PTRACER, ctypes.c_ulong(permitted), 0, 0, 0)
        os.write(writer, b"x")
        while True:
            signal.pause()
    os.read(reader, 1)
    return child

def end(child):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

def open_memory(pid):
    try:
        os.close(os.open(f"/proc/{pid}/mem", os.O_RDONLY))
    except OSError as error:
        return error.errno
    return 0

def inspect(pid):
    try:
        os.readlink(f"/proc/{pid}/exe")
    except OSError as error:
        return error.errno
    return 0

open("/proc/sys/kernel/yama/ptrace_scope", "w").write(sys.argv[1])
if sys.argv[2] != "0":
    os.setresgid(*[int(sys.argv[2])] * 3)
    os.setresuid(*[int(sys.argv[2])] * 3)
    libc.prctl(4, 1, 0, 0, 0)
child = sleeper()
print("child", attempt(child)); end(child)
child = sleeper()
print("sibling", in_child(lambda: attempt(child)))
print("memory", in_child(lambda: open_memory(child)), "exe", in_child(lambda: inspect(child))); end(child)
child = sleeper(os.getpid())
print("permitted", in_child(lambda: attempt(child))); end(child)
child = sleeper((1 << 64) - 1)
print("anybody", in_child(lambda: attempt(child))); end(child)
child = sleeper((1 << 32) - 1)
print("as an int", in_child(lambda: attempt(child))); end(child)
gone = os.fork() or os._exit(0)
waiter = sleeper(gone)
os.waitpid(gone, 0)
print("the dead", in_child(lambda: attempt(waiter))); end(waiter)
child = sleeper(0)
print("nobody", in_child(lambda: attempt(child))); end(child)
print("parent", in_child(lambda: ctypes.get_errno() if libc.ptrace(PTRACE_TRACEME, 0, *words) else 0))
print("no such", -libc.prctl(PR_SET_PTRACER, ctypes.c_ulong(99999), 0, 0, 0) and ctypes.get_errno())
"""

ALLOWED = {
    "child": "0",
    "sibling": "0",
    "memory": "0 exe 0",
    "permitted": "0",
    "anybody": "0",
    "as an int": "0",
    "the dead": "0",
    "nobody": "0",
    "parent": "0",
    "no such": "22",
}


@pytest.mark.parametrize(
    ("scope", "user", "refused"),
    [
        heavy((0, 1000, {})),
        heavy((1, 0, {})),
        (1, 1000, {"sibling": "1", "memory": "13 exe 0", "the dead": "1", "nobody": "1"}),
        heavy((2, 0, {})),
        heavy(
            (
                2,
                1000,
                dict.fromkeys(ALLOWED.keys() - {"memory", "no such"}, "1") | {"memory": "13 exe 0"},
            )
        ),
        heavy(
            (
                3,
                0,
                dict.fromkeys(ALLOWED.keys() - {"memory", "no such"}, "1") | {"memory": "13 exe 0"},
            )
        ),
    ],
)
def test_scope(run_program: RunProgram, scope: int, user: int, refused: dict[str, str]) -> None:
    result = run_program(["python3", "-S", "-c", TRYING, str(scope), str(user)])
    assert result.stderr == b""
    lines = result.stdout.decode().splitlines()
    got = dict(line.rsplit(maxsplit=1) if "exe" not in line else line.split(maxsplit=1) for line in lines)
    assert got == ALLOWED | refused


def test_setting_the_scope(run_program: RunProgram) -> None:
    script = """
cd /proc/sys/kernel/yama
cat ptrace_scope
echo 4 > ptrace_scope 2> /dev/null || echo no such scope
perl -e '$> = 1000; open(my $f, q(>), q(ptrace_scope)) or print qq(not allowed\\n)'
echo 3 > ptrace_scope
echo 0 > ptrace_scope 2> /dev/null || cat ptrace_scope
"""
    result = run_program(["bash", "-c", script])
    assert result.stdout == b"0\nno such scope\nnot allowed\n3\n"
