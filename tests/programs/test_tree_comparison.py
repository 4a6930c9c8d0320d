"""One tree of processes, looked at natively and inside: ps, pstree, files of proc and strace say the same.

What they say is made neutral first: ids, times, addresses and sizes are replaced.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from procession import Machine
from tests.programs.conftest import TIME_LIMIT_S
from tests.programs.native_linux import NativeLinux
from tests.programs.program_script import DIRECTORY, ENVIRONMENT

pytestmark = pytest.mark.heavy

SCRIPT = r"""
echo contents > file
exec 5< file
sleep 1000 & sleeper=$!
sleep 1001 & stopped=$!
(sleep 1002 & exec sleep 1003) & parent=$!
nice -n 7 sleep 1004 7>> file & nice=$!
bash -c 'trap "" HUP; trap : USR1; read < <(sleep 1005)' & trapping=$!
sleep 0.5
kill -STOP $stopped
sleep 0.2
echo "== ps"; ps -o stat,ni,cls,nlwp,tty,args --ppid $$ | grep -v 'ps -'
echo "== forest"; ps -H -o args --ppid $$,$parent | grep -v 'ps -'
echo "== pstree"; pstree -A $$ > forest; grep -o '[0-9]*\**\[*[a-z]*sleep' forest | sort
for name in sleeper stopped parent nice trapping; do
    pid=${!name}
    for file in stat status limits maps; do
        echo "== $file of $name"; cat /proc/$pid/$file
    done
    echo "== descriptors of $name"; ls /proc/$pid/fd
done
echo "== fdinfo"; cat /proc/$nice/fdinfo/7
echo "== wchan"; cat /proc/$sleeper/wchan; echo; cat /proc/$stopped/wchan; echo
echo "== strace"
strace -f -o trace -e trace=process,signal bash -c 'echo one | cat > /dev/null; exit 3'; cat trace
kill -KILL $sleeper $stopped $parent $nice $trapping
pkill -KILL sleep
:
"""

MOST_NATIVE_RUNS = 40
STAT_FIELDS = (3, 18, 19, 20, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 40, 41, 43, 44, 52)
"""Those of proc_pid_stat(5) that are no ids, times, sizes or addresses."""

NOT_COMPARED = re.compile(
    # Sizes, switches, and what the machine or its configuration has.
    r"(Vm|Rss|Cap|Cpus|Mems|Speculation|NS|Huge|THP|SigQ|untag|(non)?voluntary|Tgid|Pid|PPid|x86_Thread"
    r"|Max (processes|pending signals|open files|core|locked|realtime|nice|msgqueue|stack))"
)


def neutral_line(section: str, line: str) -> str | None:
    """`line` without what differs from run to run; None for one that says nothing else."""
    if section.startswith("stat of"):
        words = line[line.rindex(")") + 2 :].split()
        return " ".join(words[field - 3] for field in STAT_FIELDS)
    if section.startswith("maps"):
        words = line.split()
        name = " ".join(words[5:])
        # There is no page for calls of old here.
        return None if name in ("[vvar]", "[vvar_vclock]", "[heap]", "[vsyscall]") else f"{words[1]} {name}"
    if NOT_COMPARED.match(line):
        return None
    if section == "fdinfo":
        return re.sub(r"(ino|mnt_id):\t\d+", r"\1", line)
    if section == "strace":
        line = re.sub(r"^\d+ +", "", line)
        line = re.sub(r"0x[0-9a-f]+", "X", line)
        line = re.sub(r"si_(pid|uid|utime|stime)=\d+", r"si_\1", line)
        line = re.sub(r"\d+ vars", "vars", line)
        return re.sub(r"\b\d{2,}\b", "N", line) if re.search(r"clone|wait4|SIGCHLD|execve", line) else None
    return line


def neutral(text: str) -> dict[str, list[str]]:
    """The sections of what the script prints, made neutral; strace's lines are sorted, as processes race."""
    sections: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("== "):
            name = line[3:]
            sections[name] = []
            continue
        kept = neutral_line(name, line)
        # Linux doesn't join areas of a file of which one was writable once.
        is_joined = name.startswith("maps") and sections[name][-1:] == [kept]
        if kept is not None and not is_joined:
            sections[name].append(kept)
    # Who waits is interrupted sooner or later.
    split = re.compile("unfinished|resumed|wait4")
    sections["strace"] = sorted(line for line in sections["strace"] if not split.search(line))
    return sections


def test_the_same_tree(tools_root: Path, tmp_path: Path) -> None:
    linux = NativeLinux(tools_root, tmp_path)
    reason = linux.why_not()
    if reason:
        pytest.skip(f"programs can't be run natively here: {reason}")
    machine = Machine(rootfs=tools_root, cwd=DIRECTORY, environment=ENVIRONMENT)
    result = machine.run(["bash", "-c", SCRIPT], time_limit_s=TIME_LIMIT_S)
    machine.close()
    inside = neutral(result.stdout.decode())
    for _ in range(MOST_NATIVE_RUNS):
        native = neutral(linux.run(["bash", "-c", SCRIPT]).stdout.decode())
        # What bash does about SIGCHLD depends on which of two processes is quicker.
        if native["strace"] == inside["strace"]:
            break
    assert list(inside) == list(native)
    assert len(native) == 31
    assert all(native.values())
    for section, lines in native.items():
        assert inside[section] == lines, section
