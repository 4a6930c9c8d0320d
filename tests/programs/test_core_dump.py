"""Cores of real programs: where kernel.core_pattern puts them, and what a debugger reads in them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from procession import Machine
from procession.abi.errno import ENOENT
from procession.kernel.time.clock import DEFAULT_EPOCH_NS
from tests.programs.conftest import MakeMachine

CRASH = Path(__file__).with_name("crash.c")
EPOCH_S = DEFAULT_EPOCH_NS // 10**9
ELF_CORE = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x04\0"


def set_pattern(pattern: str) -> str:
    """The command that sets kernel.core_pattern."""
    return f"echo '{pattern}' > /proc/sys/kernel/core_pattern"


CRASHING = "ulimit -c unlimited; bash -c 'cd /; echo $$; kill -SEGV $$'; echo $?"


def run(machine: Machine, *commands: str) -> list[str]:
    """The lines that the commands of one shell print."""
    result = machine.run(["bash", "-c", "\n".join(commands)], time_limit_s=1000)
    assert result.reason == ""
    return result.stdout.decode().splitlines()


class TestNames:
    """kernel.core_pattern without a program."""

    def test_specifiers(self, make_machine: MakeMachine) -> None:
        names = {
            "/tmp/core": "/tmp/core",
            "/tmp/%e.%p": "/tmp/bash.{pid}",
            "/tmp/%E-%f": "/tmp/!usr!bin!bash-bash",
            "/tmp/%P-%i-%I": "/tmp/{pid}-{pid}-{pid}",
            "/tmp/%s_%u_%g_%d_%%_%c": "/tmp/11_0_0_1_%_18446744073709551615",
            "/tmp/%h-%t-%C": f"/tmp/procession-{EPOCH_S}-0",
            "/tmp/%zlost%": "/tmp/lost",
            "core in place": "/core in place",
        }
        machine = make_machine()
        lines = run(machine, *(f"{set_pattern(pattern)}; {CRASHING}" for pattern in names))
        assert lines[1::2] == [str(128 + 11)] * len(names)
        for pid, name in zip(lines[::2], names.values(), strict=True):
            assert machine.read_file(name.format(pid=pid)).startswith(ELF_CORE)

    def test_pid_is_added_on_demand(self, make_machine: MakeMachine) -> None:
        machine = make_machine()
        names = {"core": "/core.{pid}", "/tmp/%p": "/tmp/{pid}", "/tmp/%%p": "/tmp/%p.{pid}"}
        crashes = (f"{set_pattern(pattern)}; {CRASHING}" for pattern in names)
        lines = run(
            machine,
            "cat /proc/sys/kernel/core_pattern; echo 1 > /proc/sys/kernel/core_uses_pid",
            *crashes,
        )
        assert lines[0] == "core"
        for pid, name in zip(lines[1::2], names.values(), strict=True):
            assert machine.read_file(name.format(pid=pid)).startswith(ELF_CORE)

    def test_a_command_name_cannot_lead_elsewhere(self, make_machine: MakeMachine) -> None:
        machine = make_machine()
        rename = "ulimit -c unlimited; perl -e '$0 = \"..\"; kill 11, $$'"
        run(machine, set_pattern("/tmp/%e/core"), "mkdir /tmp/!.", rename)
        assert machine.read_file("/tmp/!./core").startswith(ELF_CORE)

    def test_a_directory_that_is_missing(self, make_machine: MakeMachine) -> None:
        machine = make_machine()
        _, status = run(machine, set_pattern("/nowhere/core"), CRASHING)
        assert int(status) == 128 + 11
        with pytest.raises(ENOENT):
            machine.read_file("/nowhere/core")

    def test_settings_are_checked(self, make_machine: MakeMachine) -> None:
        lines = run(
            make_machine(),
            set_pattern("x" * 200) + "; wc -c < /proc/sys/kernel/core_pattern",
            "exec 2> /dev/null; cd /proc/sys/fs",
            "for value in 3 -1 x; do echo $value > suid_dumpable || echo refused; done",
            "echo -1 > /proc/sys/kernel/core_pipe_limit || echo refused",
        )
        assert lines == ["128", *["refused"] * 4]


class TestPrivilege:
    """fs.suid_dumpable: cores of programs that run with another user's rights."""

    def changed_user(self, machine: Machine, *settings: str) -> list[str]:
        """What cores a process leaves in /tmp that has become another user's."""
        command = "ulimit -c unlimited; cd /tmp; perl -e '($<, $>) = (1000, 1000); kill 11, $$'"
        return run(machine, *settings, command, "ls -ln /tmp | grep core | tr -s ' ' | cut -d' ' -f1,3,9")

    def test_none_by_default(self, make_machine: MakeMachine) -> None:
        assert self.changed_user(make_machine()) == []

    def test_as_any_other(self, make_machine: MakeMachine) -> None:
        lines = self.changed_user(make_machine(), "echo 1 > /proc/sys/fs/suid_dumpable")
        assert lines == ["-rw------- 1000 core"]

    @pytest.mark.heavy
    def test_by_root_to_absolute_paths_alone(self, make_machine: MakeMachine) -> None:
        by_root = "echo 2 > /proc/sys/fs/suid_dumpable"
        assert self.changed_user(make_machine(), by_root) == []
        lines = self.changed_user(make_machine(), by_root, set_pattern("/tmp/core.%d"))
        assert lines == ["-rw------- 0 core.2"]
        in_the_way = "touch /tmp/core.2; chmod 666 /tmp/core.2"
        lines = self.changed_user(make_machine(), by_root, in_the_way, set_pattern("/tmp/core.%d"))
        assert lines == ["-rw-rw-rw- 0 core.2"]


HANDLER = r"""
cat > /tmp/handler <<'END'
#!/bin/bash
{
    echo "$#: $*"
    grep -E 'PPid|CoreDumping' /proc/self/status
    grep CoreDumping /proc/$1/status
    tr '\0' ' ' < /proc/$1/cmdline; echo
    ls /proc/$$/fd | wc -l
    grep 'core file' /proc/self/limits | tr -s ' '
    pwd; id -u; env | grep -c HOME
} > /tmp/seen 2>&1
cat > /tmp/piped
echo complete > /tmp/complete
END
chmod +x /tmp/handler
"""


class TestPrograms:
    """kernel.core_pattern that begins with |."""

    def test_the_core_is_its_standard_input(self, make_machine: MakeMachine) -> None:
        machine = make_machine()
        lines = run(
            machine,
            HANDLER,
            set_pattern('|/tmp/handler %p  %s "two words" %e'),
            "echo 1 > /proc/sys/kernel/core_pipe_limit",
            "ulimit -c 0",
            "bash -c 'echo $$; kill -ABRT $$'; echo $?",
            "cat /tmp/complete /tmp/seen",
        )
        pid = lines[0]
        assert lines[1:] == [
            str(128 + 6),
            "complete",
            f'5: {pid} 6 "two words" bash',
            "PPid:\t" + re.sub(r"\D", "", lines[4]),
            "CoreDumping:\t0",
            "CoreDumping:\t1",
            "bash -c echo $$; kill -ABRT $$ ",
            *lines[8:9],
            "Max core file size 1 1 bytes ",
            "/",
            "0",
            "0",
        ]
        assert machine.read_file("/tmp/piped").startswith(ELF_CORE)

    def test_it_is_not_waited_for_without_a_limit(self, make_machine: MakeMachine) -> None:
        lines = run(
            make_machine(),
            "printf '#!/bin/bash\\ncat > /dev/null; sleep 5; touch /tmp/complete' > /tmp/handler",
            "chmod +x /tmp/handler",
            set_pattern("|/tmp/handler"),
            "bash -c 'kill -ABRT $$'; echo $?",
            "ls /tmp/complete 2> /dev/null; sleep 6; ls /tmp/complete",
        )
        assert lines == [str(128 + 6), "/tmp/complete"]

    def test_the_limit_of_programs(self, make_machine: MakeMachine) -> None:
        lines = run(
            make_machine(),
            "printf '#!/bin/bash\\necho >> /tmp/started; sleep 5' > /tmp/handler; chmod +x /tmp/handler",
            set_pattern("|/tmp/handler"),
            "echo 2 > /proc/sys/kernel/core_pipe_limit",
            "for n in 1 2 3 4; do bash -c 'kill -ABRT $$' & done; wait",
            "wc -l < /tmp/started",
        )
        assert lines == ["2"]

    def test_a_program_that_is_missing(self, make_machine: MakeMachine) -> None:
        lines = run(make_machine(), set_pattern("|/nowhere"), "bash -c 'kill -ABRT $$'; echo $?")
        assert lines == [str(128 + 6)]

    def test_a_program_that_makes_a_sibling(self, make_machine: MakeMachine) -> None:
        """Neither has a parent inside: the sibling is reaped as the program itself is."""
        handler = (
            "#!/usr/bin/perl\\n"
            'if (!syscall 56, 0x8000 | 17, 0, 0, 0, 0) { system "echo sibling > /tmp/sibling"; exit }'
            'sleep 1; system "ps -e | grep -c defunct > /tmp/zombies"'
        )
        lines = run(
            make_machine(),
            f"printf '{handler}' > /tmp/handler",
            "chmod +x /tmp/handler",
            set_pattern("|/tmp/handler"),
            "echo 1 > /proc/sys/kernel/core_pipe_limit",
            "bash -c 'kill -ABRT $$'; echo $?; cat /tmp/sibling /tmp/zombies",
        )
        assert lines == [str(128 + 6), "sibling", "0"]

    @pytest.mark.heavy
    def test_a_program_that_does_not_read(self, make_machine: MakeMachine) -> None:
        lines = run(
            make_machine(), set_pattern("|/usr/bin/true"), "bash -c 'kill -ABRT $$'; echo $?; echo on"
        )
        assert lines == [str(128 + 6), "on"]

    def test_a_program_that_crashes_too(self, make_machine: MakeMachine) -> None:
        lines = run(
            make_machine(),
            "printf '#!/bin/bash\\necho >> /tmp/started; kill -SEGV $$' > /tmp/handler",
            "chmod +x /tmp/handler",
            set_pattern("|/tmp/handler"),
            "bash -c 'kill -ABRT $$'; sleep 1; wc -l < /tmp/started",
        )
        assert lines == ["1"]

    def test_a_kill_ends_the_wait(self, make_machine: MakeMachine) -> None:
        lines = run(
            make_machine(),
            "printf '#!/bin/bash\\nsleep 1000' > /tmp/handler; chmod +x /tmp/handler",
            set_pattern("|/tmp/handler"),
            "bash -c 'kill -ABRT $$' & sleep 1; grep State /proc/$!/status; kill -TERM $!; sleep 1",
            "kill -KILL $!; wait $!; echo $?; echo $SECONDS",
        )
        assert lines == ["State:\tS (sleeping)", str(128 + 9), "2"]

    def test_who_waits_for_whom_is_explained(self, make_machine: MakeMachine) -> None:
        machine = make_machine()
        handler = "printf '#!/usr/bin/perl\\nsyscall 34' > /tmp/handler; chmod +x /tmp/handler"
        command = f"{handler}; {set_pattern('|/tmp/handler')}; bash -c 'kill -ABRT $$'"
        result = machine.run(["bash", "-c", command])
        assert result.status == 125
        assert "waits for the program that gets its core: " in result.reason
        assert len(machine.state_hash()) == 40


@pytest.fixture(scope="module")
def crashing_program(c_compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The crashing program, with what a debugger needs to know of it."""
    if shutil.which("gdb") is None:
        pytest.skip("there is no gdb to read the core")
    program = tmp_path_factory.mktemp("crash") / "crash"
    subprocess.run([*c_compiler, "-g", "-O0", "-pthread", "-o", program, CRASH], check=True)
    return program


def dump(program: Path, way: str, directory: Path, *preparation: str) -> tuple[Path, Path]:
    """Let the program crash in the guest; the program, and its core."""
    machine = Machine(environment={"PATH": "/usr/bin:/bin"})
    core = directory / "core"
    commands = [*preparation, "ulimit -c unlimited", "mkdir /tmp/cores", "cd /tmp/cores", f"{program} {way}"]
    try:
        result = machine.run(["/bin/sh", "-c", "; ".join(commands)])
        assert result.status == 128 + (6 if way == "abort" else 11)
        core.write_bytes(machine.read_file("/tmp/cores/core"))
    finally:
        machine.close()
    return program, core


@pytest.fixture(scope="module")
def debugged(crashing_program: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The crashing program and its core, which the guest wrote."""
    return dump(crashing_program, "", tmp_path_factory.mktemp("core"))


def frames(text: str) -> list[str]:
    """The functions of a backtrace, or of several, the innermost first."""
    return re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?(\w+) \(", text, re.MULTILINE)


IN_A_THREAD = ["third", "second", "first", "crashing_thread"]


class TestDebugger:
    """gdb, on the host, opens what the guest dumped."""

    def debug(self, debugged: tuple[Path, Path], *commands: str) -> str:
        """What gdb says to the commands."""
        arguments = [argument for command in commands for argument in ("-ex", command)]
        result = subprocess.run(
            ["gdb", "-nx", "-q", "-batch", *arguments, *debugged],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={"HOME": str(debugged[0].parent), "PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            timeout=120,
            check=False,
        )
        return result.stdout

    def test_backtrace(self, debugged: tuple[Path, Path]) -> None:
        text = self.debug(debugged, "bt")
        assert "Program terminated with signal SIGSEGV" in text
        called = re.findall(r"^#\d+ .*? (\w+) \((.*?)\)", text.partition("[Current thread")[2], re.MULTILINE)
        assert called[:3] == [
            ("third", "where=0x10, value=42"),
            ("second", "where=0x10, value=41"),
            ("first", "where=0x10, value=40"),
        ]
        assert [name for name, _ in called[3:]] == ["main"]

    def test_registers_and_signal(self, debugged: tuple[Path, Path]) -> None:
        text = self.debug(
            debugged, "p/x $r12", "p $_siginfo._sifields._sigfault.si_addr", "x/i $pc", "p at_work"
        )
        assert "$1 = 0x5eed" in text
        assert "$2 = (void *) 0x10" in text
        assert re.search(r"=> 0x[0-9a-f]+ <third\+\d+>:\s*mov", text)
        assert int(text.rpartition("$3 = ")[2]) >= 1000

    def test_threads(self, debugged: tuple[Path, Path]) -> None:
        text = self.debug(debugged, "info threads", "thread apply all bt")
        assert len(set(re.findall(r"LWP (\d+)\)", text))) == 3
        stacks = text.split("\nThread ")[1:]
        assert len(stacks) == 3
        assert sum("sleeping_thread" in stack and "pause" in stack for stack in stacks) == 1
        assert sum("working_thread" in stack for stack in stacks) == 1
        assert sum("third" in stack and "main" in stack for stack in stacks) == 1

    def test_files_and_vector(self, debugged: tuple[Path, Path]) -> None:
        text = self.debug(debugged, "info proc mappings", "info auxv")
        assert str(debugged[0]) in text
        assert re.search(r"/libc\.so\.6", text)
        assert re.search(r"AT_PAGESZ .* 4096", text)

    @pytest.mark.heavy
    def test_a_thread_that_crashes(self, crashing_program: Path, tmp_path: Path) -> None:
        debugged = dump(crashing_program, "thread", tmp_path)
        text = self.debug(debugged, "bt")
        assert frames(text.partition("[Current thread")[2])[:4] == IN_A_THREAD
        text = self.debug(debugged, "info threads", "thread apply all bt")
        marked = re.findall(r"^\* 1 .* (\w+) \(", text, re.MULTILINE)
        assert marked == ["third"]
        stacks = [frames(stack) for stack in text.split("\nThread ")[1:]]
        assert len(stacks) == 4
        assert sum(stack[:4] == IN_A_THREAD for stack in stacks) == 1
        assert sum("sleeping_thread" in stack for stack in stacks) == 1
        assert sum("working_thread" in stack for stack in stacks) == 1
        assert sum(stack[-1] == "main" for stack in stacks) == 1

    @pytest.mark.heavy
    def test_a_program_that_gives_up(self, crashing_program: Path, tmp_path: Path) -> None:
        text = self.debug(dump(crashing_program, "abort", tmp_path), "bt", "p $_siginfo.si_code")
        assert "Program terminated with signal SIGABRT" in text
        called = frames(text.partition("[Current thread")[2])
        assert called[-3:] in (["abort", "give_up", "main"], ["__GI_abort", "give_up", "main"])
        # What tgkill(2) says.
        assert "$1 = -6" in text

    @pytest.mark.heavy
    def test_a_core_that_a_program_took(self, crashing_program: Path, tmp_path: Path) -> None:
        handler = "printf '#!/bin/sh\\nexec cat > /tmp/cores/core\\n' > /tmp/handler; chmod +x /tmp/handler"
        wait = "echo 1 > /proc/sys/kernel/core_pipe_limit"
        debugged = dump(crashing_program, "thread", tmp_path, handler, wait, set_pattern("|/tmp/handler"))
        text = self.debug(debugged, "bt", "info threads")
        assert frames(text.partition("[Current thread")[2])[:4] == IN_A_THREAD
        assert len(set(re.findall(r"LWP (\d+)\)", text))) == 4
