"""Python's own tests of processes, threads, signals and files, as Debian packages them, pass inside."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.programs.conftest import RunProgram

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]

# Module of Python's test package -> the least number of tests in it.
SUITES = {
    "test_asyncio.test_events": 260,
    "test_asyncio.test_sendfile": 60,
    "test_asyncio.test_subprocess": 140,
    "test_asyncio.test_unix_events": 100,
    "test_concurrent_futures.test_deadlock": 48,
    "test_concurrent_futures.test_process_pool": 66,
    "test_concurrent_futures.test_shutdown": 47,
    "test_concurrent_futures.test_thread_pool": 17,
    "test_concurrent_futures.test_wait": 33,
    "test_epoll": 8,
    "test_fcntl": 8,
    "test_fork1": 3,
    "test_ioctl": 3,
    "test_mmap": 35,
    "test_multiprocessing_fork.test_manager": 77,
    "test_multiprocessing_fork.test_misc": 70,
    "test_multiprocessing_fork.test_processes": 150,
    "test_multiprocessing_fork.test_threads": 100,
    "test_openpty": 1,
    "test_os": 250,
    "test_poll": 6,
    "test_popen": 4,
    "test_posix": 120,
    "test_pty": 4,
    "test_queue": 160,
    "test_resource": 8,
    "test_select": 5,
    "test_selectors": 60,
    "test_signal": 45,
    "test_subprocess": 250,
    "test_thread": 35,
    "test_threading": 200,
    "test_threadsignals": 6,
    "test_wait3": 2,
    "test_wait4": 1,
}


@pytest.mark.parametrize(("name", "least"), SUITES.items())
def test_suite(run_program: RunProgram, development_root: Path, name: str, least: int) -> None:
    command = ["/usr/bin/python3", "-m", "unittest", f"test.{name}"]
    result = run_program(command, rootfs=development_root, memory=2 << 30)
    printed = result.stderr.decode("utf-8", "replace")
    assert result.reason == ""
    assert result.status == 0, printed[-8000:]
    ran = re.search(r"^Ran (\d+) tests? in ", printed, re.MULTILINE)
    assert ran is not None
    assert int(ran[1]) >= least
