"""Debian's strace with each option of its manual, inside and natively: the same lines of the same program.

What differs from run to run, such as ids, times and addresses, is made neutral first.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from procession import Machine
from tests.programs.conftest import TIME_LIMIT_S
from tests.programs.native_linux import NativeLinux
from tests.programs.program_script import DIRECTORY, ENVIRONMENT

pytestmark = pytest.mark.heavy

SOURCE = Path(__file__).with_name("traced.c")

OPTIONS = (
    *("", "-y", "-yy", "--decode-fds=all", "-v", "-x", "-xx", "-X raw", "-X verbose", "-s 5", "-n", "-a 70"),
    *(
        "-k -e trace=getppid,timer_create",
        "-k --stack-trace-frame-limit=2 -e trace=getppid",
        "-z",
        "-Z",
        "-q",
    ),
    *("-f", "-I 1", "-I 4", "-qqq", "-Y", "--decode-pids=comm,pidns", "--seccomp-bpf -f -e trace=read,write"),
    *("-e trace=%file", "-e trace=%process", "-e trace=%net", "-e trace=%signal", "-e trace=%ipc,%memory"),
    *("-e trace=%desc", "-e trace=%creds,%clock,%pure", "-e trace=%%stat,%%statfs", "-e trace=!%file"),
    *("-e trace=/^get", "-e trace=none", "-e signal=USR1", "-e signal=!USR1", "-e status=successful"),
    *("-e status=failed", "-e status=unfinished,detached", "-P /etc/passwd", "-P /tmp -P /tmp/made"),
    *("-e trace-fds=3,4", "-e raw=read,write", "-e verbose=none", "-e read=3,5 -e write=4", "-e quiet=exit"),
    *("-c -S name -U calls,name,errors", "-C -S calls -U name,calls,errors", "-c -w -S name -U name,calls"),
    *("-e inject=getppid:retval=42", "-e fault=read:when=2", "-e inject=write:error=EIO:when=1..3+2"),
    *("-e inject=getcwd:signal=USR1", "-e inject=chdir:syscall=getpid", "-e inject=pipe2:retval=-1"),
    *("-e inject=umask:delay_enter=1000", "-e inject=getcwd:poke_enter=@arg1=414243", "--kill-on-exit"),
    *("-e inject=chdir:poke_enter=@arg1=2f00", "-e inject=%desc:error=EMFILE:when=9+7", "-D", "-DD", "-DDD"),
)

SCRIPT = r"""
cat > traced; chmod 755 traced
# With two digits: ids are told from small numbers by that.
for _ in 1 2 3 4 5 6 7 8 9; do /usr/bin/true; done
while read -r options; do
    echo "== $options"
    strace -o out $options ./traced < /dev/null
    echo "status $?"
    case $options in -D*) while ! grep -q exited out; do sleep 0.01; done ;; esac
    cat out
done <<'END'
%s
END
"""

NEUTRAL = (
    (re.compile(r"0x[0-9a-f]{5,}"), "ADDRESS"),
    (re.compile(r"socket:\[\d+\]"), "socket:[N]"),
    (re.compile(r"(pipe|TCP|UNIX(?:-STREAM)?):\[\d+"), r"\1:[N"),
    (re.compile(r"st_dev=makedev\([^)]*\)|(?:st_(?:ino|blocks|blksize)|si_[pu]id|eventfd-id)=[^,}]*"), "F"),
    (re.compile(r"st_[amc]time=\d+(?: /\*[^*]*\*/)?|st_[amc]time_nsec=\d+"), "F"),
    (re.compile(r"tv_n?sec=\d+"), "TIME"),
    (re.compile(r"\d+ vars"), "vars"),
    (re.compile(r"getppid\(\) += \d+$"), "getppid() = N"),
    (re.compile(r"^(?:\d+|\[[0-9a-f]+\])(?:<\w+>)? +"), "ID "),
    (re.compile(r"[0-9a-f]{8,}"), "N"),
    (re.compile(r"\d{2,}"), "N"),
    (re.compile(r" +"), " "),
)
"""What is replaced, one after the other."""

OF_THE_PROCESSOR = re.compile(
    r"glibc-hwcaps|\\x68\\x77\\x63\\x61\\x70\\x73|\bopenat\b.* \d|newfstatat|\btotal\b"
)
"""How often the loader looks for libraries depends on the processor."""


def neutral(text: str) -> dict[str, list[str]]:
    """The lines by the options that led to them."""
    sections: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("== "):
            lines = sections[line[3:]] = []
        elif not OF_THE_PROCESSOR.search(line):
            kept = line
            for pattern, replacement in NEUTRAL:
                kept = pattern.sub(replacement, kept)
            lines.append(kept)
    return sections


def test_the_same_lines(c_compiler: list[str], tools_root: Path, tmp_path: Path) -> None:
    (place := tmp_path / "place").mkdir()
    linux = NativeLinux(tools_root, place)
    reason = linux.why_not()
    if reason:
        pytest.skip(f"programs can't be run natively here: {reason}")
    program = tmp_path / "traced"
    flags = ["-g", "-O1", "-fno-omit-frame-pointer"]
    subprocess.run([*c_compiler, *flags, "-o", str(program), str(SOURCE)], check=True)
    command = ["bash", "-c", SCRIPT % "\n".join(OPTIONS)]
    native = neutral(linux.run(command, stdin=program.read_bytes()).stdout.decode("utf-8", "replace"))
    machine = Machine(rootfs=tools_root, cwd=DIRECTORY, environment=ENVIRONMENT)
    result = machine.run(command, stdin=program.read_bytes(), time_limit_s=TIME_LIMIT_S)
    machine.close()
    inside = neutral(result.stdout.decode("utf-8", "replace"))
    assert list(native) == list(OPTIONS)
    assert list(inside) == list(native)
    for options, lines in native.items():
        assert len(lines) > 1, options
        assert inside[options] == lines, options
