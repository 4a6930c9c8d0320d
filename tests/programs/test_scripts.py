"""Scripts over bash, dash, busybox, coreutils, Perl, Python and others give the output that Linux gives."""

from __future__ import annotations

import os

import pytest

from tests.programs.conftest import RunProgram
from tests.programs.native_linux import NativeLinux, shows_another_priority
from tests.programs.program_script import Outcome, ProgramScript, all_scripts

# What takes seconds of the host's processor, or much of one for what other scripts show as well.
HEAVY = {
    *("asyncio_servers.python", "many_programs.bash", "multiprocessing.python", "nested_shells.bash"),
    *("pipeline_counting.bash", "processor_time.bash", "subprocesses.python", "system_interface.python"),
    *("terminal_hang_up.python", "threaded_tools.bash", "archives_and_make.bash", "grep_sed_awk.bash"),
    *("signal_module.python", "socket_servers.python", "terminal_windows.python", "text_tools.bash"),
    *("xargs_and_find.bash", "locks.bash", "threads.python", "user_namespaces.bash", "mounts.bash"),
    *("system_interface.perl", "signals_and_options.bash", "ownership.bash", "command_substitution.bash"),
    *("loops_and_arithmetic.bash", "fork_and_wait.perl", "processes.bash", "files.bash", "read_loops.bash"),
    *("times_and_timeouts.bash", "here_documents.bash", "limits_and_umask.bash", "nice_nohup_env.bash"),
    *("system_v.perl", "trap_child.bash", "ipc_commands.bash", "applets.busybox", "packages.bash"),
}
# What needs more users than the one of an unprivileged user namespace.
NEEDS_USERS = {"ownership.bash"}

SHOWS_PRIORITY = {"processes.bash"}

# What a loaded host may run in another order than the one that was recorded.
LOAD_SENSITIVE = {"processes.bash"}


def scripts(heavy: set[str]) -> pytest.MarkDecorator:
    """Every script as a test's parameter; those named in `heavy` are for the heavy run."""
    return pytest.mark.parametrize(
        "script",
        [
            pytest.param(script, id=script.path.name, marks=[pytest.mark.heavy] * (script.path.name in heavy))
            for script in all_scripts()
        ],
    )


every_script = scripts(HEAVY)


@every_script
def test_script_in_procession(script: ProgramScript, run_program: RunProgram) -> None:
    result = run_program(script.argv)
    assert result.reason == ""
    outcome = Outcome(result.status, result.stdout, result.stderr)
    assert str(outcome) == script.recorded.read_text("latin-1")


@scripts(HEAVY | LOAD_SENSITIVE)
def test_script_on_linux(script: ProgramScript, native_linux: NativeLinux) -> None:
    if script.path.name in NEEDS_USERS and os.geteuid() != 0:
        pytest.skip("changing owners needs root")
    if script.path.name in SHOWS_PRIORITY and shows_another_priority():
        pytest.skip("programs show the priority that this process has")
    assert str(native_linux.run(script.argv)) == script.recorded.read_text("latin-1")
