"""Debian's gdb, gdbserver, ltrace and strace, run inside, do what their manuals say."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from procession import Machine
from tests.programs.conftest import TIME_LIMIT_S
from tests.programs.program_script import ENVIRONMENT

pytestmark = pytest.mark.heavy

SOURCE = Path(__file__).with_name("debugged.c")
PROGRAM = "/tmp/debugged"

RunScript = Callable[[str], str]
RunGdb = Callable[..., str]


@pytest.fixture(scope="module")
def program(c_compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the compiled program, with what debuggers want to know."""
    path = tmp_path_factory.mktemp("debugged") / "debugged"
    subprocess.run([*c_compiler, "-g", "-O0", "-pthread", "-o", str(path), str(SOURCE)], check=True)
    return path.read_bytes()


@pytest.fixture
def run_script(tools_root: Path, program: bytes) -> Iterator[RunScript]:
    """Return a function that runs a script of bash where the program is, and gives what it printed."""
    machines: list[Machine] = []

    def run(script: str) -> str:
        machine = Machine(rootfs=tools_root, cwd="/tmp", environment={**ENVIRONMENT, "LC_ALL": "C.UTF-8"})
        machines.append(machine)
        machine.write_file(PROGRAM, program, mode=0o755)
        result = machine.run(["bash", "-c", script], time_limit_s=TIME_LIMIT_S)
        return (result.stdout + result.stderr).decode()

    yield run
    for machine in machines:
        machine.close()


@pytest.fixture
def run_gdb(run_script: RunScript) -> RunGdb:
    """Return a function that has gdb execute commands, and gives what it printed."""

    def run(*commands: str, before: str = "", arguments: str = f"--args {PROGRAM}") -> str:
        options = " ".join(f"-ex '{command}'" for command in ("set debuginfod enabled off", *commands))
        return run_script(f"{before} gdb -q -nx -batch {options} {arguments} 2>&1")

    return run


def in_order(text: str, *patterns: str) -> None:
    """Assert that the patterns are found one after the other."""
    for pattern in patterns:
        found = re.search(pattern, text)
        assert found is not None, f"no {pattern!r} in {text[-3000:]}"
        text = text[found.end() :]


class TestGdb:
    """gdb and gdbserver."""

    def test_reads_are_watched(self, run_gdb: RunGdb) -> None:
        """Each addition reads and writes: the processor tells of both, and gdb leaves the writes out."""
        quiet = "handle SIGUSR1 nostop noprint pass"
        text = run_gdb(quiet, "break add", "run", "rwatch counter", "delete 1", "continue", "continue")
        in_order(
            text,
            r"Hardware read watchpoint 2: counter",
            r"Hardware read watchpoint 2: counter\n\nValue = 0\n.*add \(left=1, right=2\)",
            r"Hardware read watchpoint 2: counter\n\nValue = 1\n.*add \(left=1, right=3\)",
        )

    def test_reads_and_writes_are_watched(self, run_gdb: RunGdb) -> None:
        quiet = "handle SIGUSR1 nostop noprint pass"
        text = run_gdb(quiet, "break add", "run", "awatch counter", "delete 1", *["continue"] * 3)
        in_order(
            text,
            r"Hardware access \(read/write\) watchpoint 2: counter",
            r"watchpoint 2: counter\n\nValue = 0\n.*add \(left=1, right=2\)",
            r"watchpoint 2: counter\n\nOld value = 0\nNew value = 1\nadd \(left=1, right=2\)",
            r"watchpoint 2: counter\n\nValue = 1\n.*add \(left=1, right=3\)",
        )

    def test_breakpoints(self, run_gdb: RunGdb) -> None:
        text = run_gdb(
            "break add", "run", "bt", "print left + right", "finish", "delete", "continue", "continue"
        )
        in_order(
            text,
            r"Breakpoint 1, add \(left=1, right=2\)",
            r"#0 +add .*\n#1 .* in main",
            r"\$1 = 3",
            r"Value returned is \$2 = 3",
            r"received signal SIGUSR1",
            r"done 10",
            r"exited normally",
        )

    def test_watchpoints(self, run_gdb: RunGdb) -> None:
        text = run_gdb("break main", "run", "watch watched", *["continue"] * 4)
        in_order(
            text,
            r"Hardware watchpoint 2: watched",
            r"Old value = 0\nNew value = 1",
            r"SIGUSR1",
            r"Old value = 1\nNew value = 10\nhandle \(signal=10\)",
            r"exited normally",
        )

    def test_following_the_child(self, run_gdb: RunGdb) -> None:
        text = run_gdb(
            "handle SIGUSR1 nostop noprint pass",
            "set follow-fork-mode child",
            "break work_of_child",
            "catch exec",
            "run",
            "bt 1",
            "continue",
            "continue",
        )
        in_order(
            text,
            r"Attaching after .* fork to child process",
            r"Breakpoint 1, work_of_child \(\)",
            r"executing new program: .*/true",
            r"Catchpoint 2 \(exec'd .*/true\)",
            r"exited normally",
        )

    def test_keeping_both(self, run_gdb: RunGdb) -> None:
        text = run_gdb(
            "handle SIGUSR1 nostop noprint pass",
            "set detach-on-fork off",
            "set schedule-multiple on",
            "catch fork",
            "run",
            "delete",
            "break work_of_child",
            "continue",
            "info inferiors",
            "continue",
            "continue",
        )
        in_order(
            text,
            r"Catchpoint 1 \(forked process \d+\)",
            r"New inferior 2 \(process \d+\)",
            r"hit Breakpoint .*work_of_child",
            r" +1 +process \d+",
            r"\* 2 +process \d+",
            r"executing new program: .*/true",
            r"exited normally",
        )

    def test_catching_calls_and_signals(self, run_gdb: RunGdb) -> None:
        text = run_gdb("catch syscall write", "catch signal SIGUSR1", "run", *["continue"] * 3)
        in_order(
            text,
            r"Catchpoint 2 \(signal SIGUSR1\)",
            r"Catchpoint 1 \(call to syscall write\)",
            r"done 10",
            r"Catchpoint 1 \(returned from syscall write\)",
            r"exited normally",
        )

    def test_threads(self, run_gdb: RunGdb) -> None:
        text = run_gdb(
            "handle SIGUSR1 nostop noprint pass",
            "break thread_body",
            "run",
            "info threads",
            "thread apply all bt 1",
            "delete",
            "continue",
        )
        in_order(
            text,
            r"New Thread .*\(LWP \d+\)",
            r"hit Breakpoint 1, thread_body",
            r"\n +1 +Thread .*\n\* 2 +Thread .* thread_body",
            r"Thread 2 .*\n#0 +thread_body",
            r"Thread 1 ",
            r"exited normally",
        )

    def test_attaching(self, run_gdb: RunGdb) -> None:
        text = run_gdb(
            "break add",
            "continue",
            "print counter > 0",
            "generate-core-file core",
            "kill",
            "file /tmp/debugged",
            "core-file core",
            "bt 2",
            before=f"{PROGRAM} for ever & sleep 0.1;",
            arguments="-p $!",
        )
        in_order(
            text,
            r"Breakpoint 1, add \(left=1, right=1\)",
            r"\$1 = 1",
            r"Saved corefile core",
            r"killed",
            r"Core was generated by .*debugged for ever",
            r"#0 +add .*\n#1 .* in main",
        )

    def test_recording(self, run_gdb: RunGdb) -> None:
        text = run_gdb(
            "break add", "run", "record full", "next", "next", "reverse-next", "reverse-next", "info record"
        )
        in_order(text, r"Breakpoint 1, add", r"Active record target: record-full", r"Replay mode")

    def test_server(self, run_script: RunScript) -> None:
        text = run_script(
            f"gdbserver --once 127.0.0.1:2345 {PROGRAM} > served 2>&1 & sleep 0.5; "
            f"gdb -q -nx -batch -ex 'set debuginfod enabled off' -ex 'target remote 127.0.0.1:2345' "
            f"-ex 'break add' -ex continue -ex bt -ex kill {PROGRAM} 2>&1; cat served"
        )
        in_order(text, r"Breakpoint 1, add \(left=1, right=2\)", r"killed", r"Process .*debugged created")


def test_ltrace(run_script: RunScript) -> None:
    text = run_script(f"ltrace -f -e raise+fork+printf {PROGRAM}")
    in_order(text, r"raise\(10", r"SIGUSR1", r"fork\(", r"\+\+\+ exited \(status 0\) \+\+\+")


OPTIONS = (
    *("-c", "-C", "-f", "-ff", "-i", "-n", "-q", "-qq", "-qqq", "-r", "-t", "-tt", "-ttt", "-T", "-v", "-x"),
    *("-w -c", "-xx", "-y", "-yy", "-z", "-Z", "-Y", "-k", "-D", "-DD", "-DDD", "-I 2", "-b execve", "-a 60"),
    *("-s 5", "-E A=b", "-u nobody", "-P /etc/passwd", "-X raw", "-X abbrev", "-X verbose", "--tips"),
    *("--relative-timestamps=ns", "--absolute-timestamps=unix,us", "--syscall-times=ns", "--decode-fds=all"),
    *("--decode-pids=comm,pidns", "--summary-only", "-S time -c", "-U name,calls,errors -c", "--argv0=zz"),
    *("--kill-on-exit", "--seccomp-bpf -f -e trace=openat", "-e signal=none", "-e status=failed"),
    *("-e verbose=none", "-e abbrev=none", "-e raw=all", "-e read=3", "-e write=1", "-e kvm=vcpu"),
    *("-e inject=close:delay_enter=100", "-e inject=getpid:retval=7", "-e trace=%file", "-e trace=/^op"),
    *("-e trace=!read", "-e inject=getuid:error=EPERM:when=1"),
)


@pytest.mark.parametrize("options", OPTIONS)
def test_strace_with(options: str, run_script: RunScript) -> None:
    text = run_script(
        f"strace -o out {options} sh -c 'cat /etc/passwd > copy; exec true'; echo status $?; cat out*"
    )
    assert "status 0\n" in text
    assert re.search(r"exited with 0|total$|^-E|openat|execve", text, re.MULTILINE), text[-500:]


FAULTS = {
    "openat:error=ENOSPC:when=5+": "No space left on device",
    "write:retval=3": "",
    "close:signal=USR1": "User defined signal 1",
    "openat:error=ENOENT:when=3+2": "cannot open shared object file",
    "read:poke_exit=@arg2=6161": "invalid ELF header",
}


@pytest.mark.parametrize(("fault", "message"), FAULTS.items())
def test_faults_by_strace(fault: str, message: str, run_script: RunScript) -> None:
    text = run_script(
        f"strace -o out -e inject={fault} cat /etc/passwd; echo faults: $(grep -c INJECTED out)"
    )
    assert message in text
    found = re.search(r"faults: (\d+)", text)
    assert found is not None
    assert int(found[1]) > 0 or "signal" in fault
