"""PostgreSQL, redis, nginx, caddy, sshd, D-Bus and others serve each other as they do on Linux."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.programs.conftest import RunProgram
from tests.programs.native_linux import NativeLinux
from tests.programs.program_script import SERVER_SCRIPTS, Outcome, ProgramScript, all_scripts

pytestmark = pytest.mark.heavy

every_script = pytest.mark.parametrize(
    "script", [pytest.param(script, id=script.path.name) for script in all_scripts(SERVER_SCRIPTS)]
)

# Of Python's own test suite, what is about sockets.
PYTHON_TESTS = (
    "test_asyncio.test_server",
    "test_asyncio.test_sock_lowlevel",
    "test_asyncio.test_streams",
    "test_asyncio.test_unix_events",
    "test_epoll",
    "test_ftplib",
    "test_poll",
    "test_select",
    "test_selectors",
    "test_smtplib",
    "test_socket",
    "test_socketserver",
)


@pytest.mark.timeout(600)
@every_script
def test_script_in_procession(script: ProgramScript, run_program: RunProgram, servers_root: Path) -> None:
    result = run_program(script.argv, rootfs=servers_root)
    assert result.reason == ""
    outcome = Outcome(result.status, result.stdout, result.stderr)
    assert str(outcome) == script.recorded.read_text("latin-1")


@every_script
def test_script_on_linux(
    script: ProgramScript, native_linux: NativeLinux, servers_root: Path, tmp_path: Path
) -> None:
    assert str(NativeLinux(servers_root, tmp_path).run(script.argv)) == script.recorded.read_text("latin-1")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", PYTHON_TESTS)
def test_python_test_suite(name: str, run_program: RunProgram, development_root: Path) -> None:
    argv = ["/usr/bin/python3", "-m", "test", "-q", "-u", "network,-urlfetch", name]
    result = run_program(argv, rootfs=development_root)
    assert result.reason == ""
    assert result.status == 0, result.stdout.decode(errors="replace")[-4000:]
