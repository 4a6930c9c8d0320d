"""Tools that people look at processes with: procps, psmisc, util-linux, lsof, htop and others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from procession import Machine
from tests.programs.conftest import TIME_LIMIT_S
from tests.programs.program_script import DIRECTORY, ENVIRONMENT

pytestmark = pytest.mark.heavy

SLEEPERS = "sleep 1000 & (sleep 1000 & sleep 1000) & sleep 0.1;"
"""A tree: the shell, two children, and two of the second's."""

RunTool = Callable[..., str]


@pytest.fixture
def run_tool(tools_root: Path) -> Iterator[RunTool]:
    """Return a function that runs a script of bash over the tree of tools, and gives what it printed."""
    machines: list[Machine] = []

    def run(script: str, *, status: int = 0, **settings: object) -> str:
        defaults: dict[str, object] = {"environment": {**ENVIRONMENT, "TERM": "xterm", "LC_ALL": "C.UTF-8"}}
        machine = Machine(rootfs=tools_root, cwd=DIRECTORY, **(defaults | settings))  # type: ignore[arg-type]
        machines.append(machine)
        result = machine.run(["bash", "-c", script], time_limit_s=TIME_LIMIT_S)
        assert result.status == status, result.stderr.decode()
        return (result.stdout + result.stderr).decode()

    yield run
    for machine in machines:
        machine.close()


def rows(text: str) -> list[list[str]]:
    """The words of each line."""
    return [line.split() for line in text.splitlines()]


class TestProcps:
    """procps: ps, top, pgrep and their relatives."""

    def test_ps_as_a_forest(self, run_tool: RunTool) -> None:
        lines = run_tool(f"{SLEEPERS} ps axjf").splitlines()
        assert lines[0].split() == [
            *("PPID", "PID", "PGID", "SID", "TTY", "TPGID", "STAT", "UID", "TIME", "COMMAND")
        ]
        assert [line.split("0:00 ")[1] for line in lines[1:]] == [
            "[init]",
            "ps axjf",
            " \\_ sleep 1000",
            f" \\_ bash -c {SLEEPERS} ps axjf",
            "     \\_ sleep 1000",
            "     \\_ sleep 1000",
        ]

    def test_ps_of_threads(self, run_tool: RunTool) -> None:
        threads = (
            "python3 -c 'import threading, time; [threading.Thread(target=time.sleep, args=(9,)).start() "
            "for _ in range(3)]' & sleep 1; ps -eLo pid,lwp,nlwp,stat,wchan:30,comm | grep python"
        )
        found = rows(run_tool(threads))
        assert len(found) == 4
        assert len({row[1] for row in found}) == 4
        assert {row[2] for row in found} == {"4"}
        assert {row[4] for row in found} <= {"hrtimer_nanosleep", "futex_do_wait"}

    def test_ps_with_every_column(self, run_tool: RunTool) -> None:
        script = (
            "ps L | while read name _; do ps -eo pid,$name > out 2> err || echo $name: $(cat err); "
            "[ $(wc -l < out) = $(wc -l < out) ] && echo tried; done"
        )
        assert set(run_tool(script).split("\n")) == {"tried", ""}

    def test_columns_that_cost_the_kernel_something(self, run_tool: RunTool) -> None:
        columns = (
            "pid,ppid,pri,ni,cls,rtprio,psr,min_flt,vsz,rss,nlwp,stat,tty,wchan:20,etimes,ignored,caught"
        )
        line = run_tool(f"nice -n 5 sleep 1000 & sleep 1; ps -o {columns} -p $! --no-headers").split()
        _, _, _, nice, policy, _, processor, faults, size, resident, threads, state, _, channel, age, *_ = (
            line
        )
        assert (nice, policy, processor, threads, state) == ("5", "TS", "0", "1", "SN")
        assert (channel, age) == ("hrtimer_nanosleep", "1")
        assert int(faults) > 0
        assert 1000 < int(resident) < int(size)

    def test_top(self, run_tool: RunTool) -> None:
        lines = run_tool("while :; do :; done & top -b -n 2 -d 1 | tail -n +8").splitlines()
        spinning = [line.split() for line in lines if line.split()[-1:] == ["bash"] and " R " in line]
        assert float(spinning[-1][8]) > 90

    def test_finding_and_killing(self, run_tool: RunTool) -> None:
        script = (
            f"{SLEEPERS} pgrep -c sleep; pgrep -P $$ -x sleep | wc -l; pkill -c sleep; sleep 0.1; pgrep sleep"
        )
        assert rows(run_tool(script, status=1))[:3] == [["3"], ["1"], ["3"]]

    def test_pidwait(self, run_tool: RunTool) -> None:
        text = run_tool("sleep 5 & pidwait -e sleep; jobs; wait; date +%S")
        assert text.startswith("waiting for sleep (pid 3)\n")
        assert text.endswith("05\n")

    def test_pmap(self, run_tool: RunTool) -> None:
        lines = rows(run_tool("pmap -XX $$; :"))
        heading = lines[1]
        for name in ("Address", "Perm", "Size", "Rss", "Pss", "Private_Dirty", "VmFlags", "Mapping"):
            assert name in heading
        assert any(row[-1] == "bash" for row in lines)
        total = rows(run_tool("pmap -x $$ | tail -1"))[0]
        assert total[:2] == ["total", "kB"]
        assert 0 < int(total[4]) <= int(total[3]) <= int(total[2])

    def test_what_the_machine_does(self, run_tool: RunTool) -> None:
        script = "vmstat 1 2 | tail -1; vmstat -s | grep forks; free -k | grep Mem; uptime; uptime -p; w -h"
        lines = rows(run_tool(script))
        assert len(lines[0]) == 18
        assert lines[1][1] == "forks"
        assert int(lines[2][1]) == 1 << 20
        assert "load" in lines[3]
        assert lines[4][0] == "up"

    def test_the_kernel_s_objects(self, run_tool: RunTool) -> None:
        of_vmstat, of_slabtop = run_tool("vmstat -m | grep ^area; slabtop -o | grep ' area'").splitlines()
        assert of_vmstat.split()[3:] == ["384", "10"]
        assert of_slabtop.split()[-1] == "area"
        assert int(of_slabtop.split()[1]) > 50

    def test_the_rest(self, run_tool: RunTool) -> None:
        script = "pwdx $$; skill -l > /dev/null; nice -n 3 nice; sysctl -n kernel.pid_max; kill -l 15"
        assert run_tool(script) == "2: /tmp\n3\n32768\nTERM\n"


class TestPsmisc:
    """psmisc: pstree, killall, fuser, prtstat."""

    def test_pstree(self, run_tool: RunTool) -> None:
        text = run_tool(f"{SLEEPERS} pstree -A; pstree -aps $! | head -3; pstree -Ap $$")
        assert text.startswith("init---bash-+-bash---2*[sleep]\n")
        assert "(init,1)" in text
        assert "sleep(3)" in text

    def test_killall(self, run_tool: RunTool) -> None:
        text = run_tool(f"{SLEEPERS} killall -v -w sleep; killall nosuch", status=1)
        assert len(re.findall(r"Killed sleep\(\d+\) with signal 15", text)) == 3
        assert "nosuch: no process found" in text

    def test_fuser(self, run_tool: RunTool) -> None:
        text = run_tool(
            "exec 5> file; sleep 1000 & fuser -v file; fuser -k -KILL file; sleep 0.1", status=137
        )
        assert re.match(r" +2 +3", text)
        assert re.search(r"root +F\.\.\.\. bash", text)
        assert re.search(r"root +F\.\.\.\. sleep", text)

    def test_prtstat(self, run_tool: RunTool) -> None:
        text = run_tool("prtstat $$; prtstat -r $$ | grep -E 'state|policy'")
        assert "Process: bash" in text
        assert "State: S (sleeping)" in text
        assert re.search(r"Threads: 1", text)


class TestUtilLinux:
    """util-linux: namespaces, limits, scheduling, mounts, locks."""

    def test_lsns(self, run_tool: RunTool) -> None:
        lines = rows(
            run_tool("unshare -n sleep 1000 & sleep 0.2; lsns -o TYPE,NPROCS,PID,COMMAND --noheadings")
        )
        assert ["net", "1", "3", "sleep", "1000"] in lines
        assert {row[0] for row in lines} == {"mnt", "net", "time", "cgroup", "pid", "user", "uts", "ipc"}

    def test_limits_and_scheduling(self, run_tool: RunTool) -> None:
        script = """
prlimit --nofile=100:200 --pid $$; prlimit --nofile --noheadings -o SOFT,HARD --pid $$
chrt -f 10 chrt -p 0 | head -2; chrt -b 0 chrt -p 0 | head -1
taskset -c 1 sh -c 'taskset -cp $$'; taskset -p $$
renice -n 5 $$; ionice -c 2 -n 3 ionice; ionice -c 3 ionice
uclampset -m 100 true
"""
        text = run_tool(script, cpus=2, status=1)
        assert rows(text)[0] == ["100", "200"]
        assert "scheduling policy: SCHED_FIFO" in text
        assert "scheduling priority: 10" in text
        assert "scheduling policy: SCHED_BATCH" in text
        assert "current affinity list: 1" in text
        assert "current affinity mask: 3" in text
        assert "old priority 0, new priority 5" in text
        assert "best-effort: prio 3\nidle\n" in text
        assert "uclampset: failed to set pid 0's uclamp values: Operation not supported" in text

    def test_lscpu(self, run_tool: RunTool) -> None:
        text = run_tool("lscpu; lscpu -p=CPU | tail -2", cpus=2)
        assert re.search(r"^CPU\(s\): +2$", text, re.MULTILINE)
        assert re.search(r"^Architecture: +x86_64$", text, re.MULTILINE)
        assert text.endswith("0\n1\n")

    def test_files(self, run_tool: RunTool) -> None:
        script = """
findmnt -n -o TARGET,FSTYPE /proc
exec 5> file
flock 5
lsfd -p $$ -n -o FD,TYPE,MODE,NAME | grep file
lslocks -n -o COMMAND,TYPE,MODE,PATH
choom -p $$ | head -1
"""
        lines = rows(run_tool(script))
        assert lines[0] == ["/proc", "proc"]
        assert lines[1] == ["5", "REG", "-w-", "/tmp/file"]
        assert lines[2][1:] == ["FLOCK", "WRITE", "/tmp/file"]
        assert lines[3][:5] == ["pid", "2's", "current", "OOM", "score:"]


class TestOthers:
    """lsof, htop, btop, psutil, acct, py-spy's kin."""

    def test_lsof(self, run_tool: RunTool) -> None:
        server = "python3 -m http.server 80 > /dev/null 2>&1 & sleep 1"
        text = run_tool(f"exec 5> file; lsof -p $$ -a -d 5; {server}; lsof -nP -i")
        assert re.search(r"^bash +2 root +5w +REG +0,1 +0 +\d+ /tmp/file$", text, re.MULTILINE)
        assert re.search(r"^python3 +\d+ root +3u +IPv4 .* TCP \*:80 \(LISTEN\)$", text, re.MULTILINE)

    def test_htop(self, run_tool: RunTool) -> None:
        script = (
            "(sleep 2; echo -n q) | script -qc 'stty rows 30 cols 100; htop' screen > /dev/null; cat screen"
        )
        text = run_tool(script)
        for word in ("PID", "USER", "Load average", "htop"):
            assert word in re.sub(r"\x1b[^a-zA-Z]*[a-zA-Z]", "", text)

    def test_btop(self, run_tool: RunTool) -> None:
        shown = "script -qc 'stty rows 30 cols 100; btop --utf-force' screen > /dev/null; cat screen"
        text = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", run_tool(f"(sleep 4; echo -n q) | {shown}"))
        for word in ("proc", "cpu", "btop"):
            assert word in text

    def test_accounting(self, run_tool: RunTool) -> None:
        script = """
touch records; accton records > /dev/null
bash -c 'kill -9 $$'
sleep 3
accton off > /dev/null
lastcomm -f records | awk '{print $1, $2}'
sa -a records | grep sleep; :
"""
        lines = rows(run_tool(script))
        assert [row[0] for row in lines[:4]] == ["accton", "sleep", "bash", "accton"]
        assert lines[2][1] == "X"
        assert lines[4][1] == "0.05re"

    def test_psutil(self, run_tool: RunTool) -> None:
        script = r"""
import os, psutil, subprocess
child = subprocess.Popen(["sleep", "1000"])
process = psutil.Process(child.pid)
print(process.name(), process.ppid() == os.getpid(), process.num_threads(), process.cmdline())
print(sorted(process.as_dict()) == sorted(psutil._as_dict_attrnames))
print(psutil.cpu_count(), psutil.virtual_memory().total >> 20, psutil.pid_exists(child.pid))
child.terminate()
print(process.wait())
"""
        text = run_tool(f"python3 -c '{script}'")
        lines = text.splitlines()
        assert lines[0] == "sleep True 1 ['sleep', '1000']"
        assert lines[1:] == ["True", "1 1024 True", "-15"]

    def test_valgrind_starts(self, run_tool: RunTool) -> None:
        assert "ERROR SUMMARY: 0 errors" in run_tool(
            "valgrind --tool=none true; valgrind --tool=memcheck true"
        )

    def test_rr_says_what_is_missing(self, run_tool: RunTool) -> None:
        text = run_tool("rr record true", status=134)
        assert "ENOSYS" in text
        assert "Failed to initialize counter" in text

    def test_criu_finds_what_it_needs(self, run_tool: RunTool) -> None:
        assert run_tool("criu check 2>&1").splitlines()[-1] == "Looks good."

    def test_criu_restores_what_it_has_dumped(self, run_tool: RunTool) -> None:
        script = """
mkdir images
cat > count.sh <<'END'
trap 'i=1000' USR1
for ((i = 0; ; i++)); do echo $i >> counted; sleep 0.1; done
END
setsid bash count.sh < /dev/null > /dev/null 2>&1 & pid=$!; disown
sleep 1
criu dump -t $pid -D images > /dev/null 2>&1; echo dumped $?
kill -0 $pid 2> /dev/null; echo is there $?
before=$(tail -n 1 counted); sleep 1; after=$(tail -n 1 counted); echo went on $((after - before))
criu restore -d -D images > /dev/null 2>&1; echo restored $?
sleep 1; test $(tail -n 1 counted) -gt $after; echo goes on $?
kill -USR1 $pid; sleep 0.5; test $(tail -n 1 counted) -gt 1000; echo has its handler $?
kill -KILL $pid
"""
        expected = "dumped 0, is there 1, went on 0, restored 0, goes on 0, has its handler 0"
        assert run_tool(script).splitlines() == expected.split(", ")

    def test_criu_gives_the_machines_streams_again(self, run_tool: RunTool) -> None:
        # The other end of such a pipe isn't in the images: it must be inherited, on Linux as here.
        script = """
mkdir images
cat > count.sh <<'END'
for ((i = 0; ; i++)); do echo count $i; echo $i >> counted; sleep 0.1; done
END
setsid bash count.sh < /dev/null & pid=$!; disown
sleep 1
pipes=$(readlink /proc/$pid/fd/1) errors=$(readlink /proc/$pid/fd/2)
criu dump -t $pid -D images --shell-job > /dev/null 2>&1; echo dumped $?
exec 7>&1 8>&2
criu restore -d -D images --shell-job --inherit-fd "fd[7]:$pipes" --inherit-fd "fd[8]:$errors" \
    > /dev/null 2>&1; echo restored $?
sleep 1; kill -KILL $pid; echo killed $?
"""
        lines = run_tool(script).splitlines()
        at = lines.index("dumped 0")
        counts = [int(line.split()[1]) for line in lines if line.startswith("count ")]
        assert lines[at + 1 : at + 2] == ["restored 0"]
        assert lines[-1] == "killed 0"
        assert counts == list(range(len(counts)))
        assert len(counts) > at + 5

    def test_criu_restores_segments_of_an_ipc_namespace(self, run_tool: RunTool) -> None:
        script = """
mkdir images
cat > segment.py <<'END'
import ctypes, signal, time
library = ctypes.CDLL(None)
library.shmat.restype = ctypes.c_void_p
memory = library.shmat(library.shmget(0x1234, 4096, 0o1600), None, 0)
ctypes.memmove(memory, b"kept\\0", 5)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
open("ready", "w").close()
signal.sigwait([signal.SIGUSR1])
again = library.shmat(library.shmget(0x1234, 0, 0), None, 0)
ctypes.memmove(memory + 4, b"!\\0", 2)
open("found", "w").write(repr(ctypes.string_at(again)))
END
setsid unshare --ipc python3 segment.py < /dev/null > /dev/null 2>&1 & pid=$!; disown
while [ ! -e ready ]; do sleep 0.1; done; sleep 0.5
criu dump -t $pid -D images > /dev/null 2>&1; echo dumped $?
criu restore -d -D images > /dev/null 2>&1; echo restored $?
kill -USR1 $pid; sleep 1; cat found
"""
        assert run_tool(script).splitlines() == ["dumped 0", "restored 0", "b'kept!'"]

    def test_criu_restores_what_is_open(self, run_tool: RunTool) -> None:
        program = """
import ctypes, fcntl, os, select, signal, socket, threading, time
library = ctypes.CDLL(None)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
reader, writer = os.pipe()
os.write(writer, b"in the pipe")
here, there = socket.socketpair()
there.send(b"in the socket")
listener = socket.socket(socket.AF_UNIX)
listener.bind("listener")
listener.listen()
event = os.eventfd(3)
gone = open("gone", "w+")
gone.write("in no directory")
gone.flush()
os.unlink("gone")
locked = open("locked", "w")
fcntl.lockf(locked, fcntl.LOCK_EX)
poll = select.epoll()
poll.register(reader, select.EPOLLIN)
context = ctypes.c_ulong()
library.syscall(206, 16, ctypes.byref(context))
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
if os.fork() == 0:
    time.sleep(1000)
open("ready", "w").close()
signal.sigwait([signal.SIGUSR1])
client = socket.socket(socket.AF_UNIX)
client.connect("listener")
gone.seek(0)
found = [
    poll.poll(0) == [(reader, select.EPOLLIN)], os.read(reader, 99), here.recv(99), os.eventfd_read(event),
    gone.read(), os.fork() == 0 or len(os.listdir("/proc/self/task")),
    library.syscall(208, context, 0, 1, ctypes.create_string_buffer(32), None),
]
if found[5] is True:
    try:
        fcntl.lockf(open("locked", "w"), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os._exit(0)
    os._exit(1)
found.append(os.wait()[1])
open("found", "w").write(repr(found))
"""
        script = f"""
mkdir images
cat > program.py <<'END'
{program}
END
setsid python3 program.py < /dev/null > /dev/null 2>&1 & pid=$!; disown
while [ ! -e ready ]; do sleep 0.1; done; sleep 0.5
criu dump -t $pid -D images --file-locks > /dev/null 2>&1; echo dumped $?
criu restore -d -D images --file-locks > /dev/null 2>&1; echo restored $?
kill -USR1 $pid; sleep 1; cat found
"""
        found = [True, b"in the pipe", b"in the socket", 3, "in no directory", 2, 0, 0]
        assert run_tool(script).splitlines() == ["dumped 0", "restored 0", repr(found)]
