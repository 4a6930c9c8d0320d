"""Calls that move much let others run in the middle, and take the time that they take."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from procession import Machine
from procession.breaking_off import GRACE_S
from procession.inspection.event import Switched, SystemCallEntered, SystemCallReturned
from tests.of_a_kind import first_of, heavy

MEMORY_BYTES = 1 << 30
SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SIZE (160L << 20)
#define LONG_SIZE (2000L << 20)

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int count, char **arguments)
{
	char *bytes = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec whole = {bytes, SIZE};
	const char *call = arguments[count - 1];
	pid_t child = fork();
	int fd = memfd_create("long", 0);
	double start;
	long result = -1;

	while (!child)
		continue;
	if (!strcmp(call, "read") || !strcmp(call, "pread64") || !strcmp(call, "shared"))
		ftruncate(fd, SIZE);
	if (!strcmp(call, "shared") && dup(fd) < 0)
		return 1;
	if (strchr("ps", *call) && strcmp(call, "pread64"))
		memset(bytes, 1, SIZE);
	start = now();
	if (!strcmp(call, "read") || !strcmp(call, "shared"))
		result = read(fd, bytes, SIZE);
	else if (!strcmp(call, "pread64"))
		result = pread(fd, bytes, SIZE, 0);
	else if (!strcmp(call, "getrandom"))
		result = syscall(SYS_getrandom, bytes, 1 << 20, 0);
	else if (!strcmp(call, "write"))
		result = write(fd, bytes, SIZE);
	else if (!strcmp(call, "long"))
		result = write(fd, mmap(NULL, LONG_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), LONG_SIZE);
	else if (!strcmp(call, "fallocate"))
		result = fallocate(fd, 0, 0, SIZE);
	else if (!strcmp(call, "process_vm_readv"))
		result = process_vm_readv(getpid(), &whole, 1, &whole, 1, 0);
	else if (!strcmp(call, "pagemap"))
		/* Half of its entries twice: more aren't to be had at once. */
		for (fd = open("/proc/self/pagemap", O_RDONLY), result = 0; result < SIZE;)
			result += 512 * pread(fd, bytes, SIZE / 1024, (long)bytes / 512);
	else if (!strcmp(call, "smaps"))
		result = 0 * pread(open("/proc/self/smaps", O_RDONLY), whole.iov_base, 1, 0) + SIZE;
	printf("%ld %.6f\n", result, now() - start);
	fflush(stdout);
	kill(0, 9);
}
"""
PAGES = 160 << 8
WALL_LIMITS_S = 0.5, 1, 2, 4, 8
"""The first that is long enough to come to the call: the host may be busy."""


@pytest.fixture(scope="module")
def program(c_compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("long")
    source, program = directory / "long.c", directory / "long"
    source.write_text(SOURCE)
    subprocess.run([*c_compiler, "-w", "-static", "-include", "signal.h", "-o", program, source], check=True)
    return program


@pytest.mark.parametrize(
    ("call", "result"), [heavy(("read", 160 << 20)), heavy(("pread64", 160 << 20)), ("getrandom", 1 << 20)]
)
def test_others_run_in_the_middle(program: Path, call: str, result: int) -> None:
    machine = Machine(rootfs=program.parent, memory=MEMORY_BYTES)
    machine.start(["/long", call])
    switches: list[int] = []
    in_call = False
    for event in machine.events(SystemCallEntered, SystemCallReturned, Switched):
        if isinstance(event, SystemCallEntered) and event.name == call and event.tid == 2:
            in_call, switches = True, []
        elif isinstance(event, SystemCallReturned) and event.name == call and event.tid == 2 and in_call:
            if event.result == result:
                break
            in_call = False
        elif isinstance(event, Switched) and in_call:
            switches.append(event.tid)
    assert in_call
    assert switches.count(3) >= 1, switches
    machine.close()


def run(program: Path, call: str) -> tuple[int, float]:
    machine = Machine(rootfs=program.parent, memory=MEMORY_BYTES)
    result = machine.run(["/long", call], time_limit_s=20)
    machine.close()
    number, seconds = result.stdout.split()
    return int(number), float(seconds)


@pytest.mark.heavy
def test_nobody_else_moves_a_position_in_the_middle(program: Path) -> None:
    """On Linux they'd wait, so the read isn't cut."""
    assert run(program, "shared")[0] == 160 << 20


@pytest.mark.heavy
def test_a_long_write_is_broken_off(program: Path) -> None:
    """In compiled code too, which looks for that now and then only."""
    for wall_limit_s in WALL_LIMITS_S:
        machine = Machine(rootfs=program.parent, memory=4 * MEMORY_BYTES)
        start_s = time.process_time()
        result = machine.run(["/long", "long"], wall_limit_s=wall_limit_s)
        machine.close()
        assert time.process_time() - start_s < wall_limit_s + GRACE_S + 1
        if result.reason == f"the wall limit of {wall_limit_s} s has passed, in the middle of write(2)":
            break
    else:
        pytest.fail(result.reason)


@pytest.mark.parametrize(
    ("call", "page_ns"), [heavy(("process_vm_readv", 700)), heavy(("pagemap", 200)), ("smaps", 200)]
)
def test_looking_at_pages_takes_time(program: Path, call: str, page_ns: int) -> None:
    count, seconds = run(program, call)
    assert count == 160 << 20
    assert 0.9 * page_ns * PAGES < 1e9 * seconds < 10 * page_ns * PAGES


@pytest.mark.parametrize("call", first_of(1, ["fallocate", "write"]))
def test_pages_that_are_filled_take_time(program: Path, call: str) -> None:
    count, seconds = run(program, call)
    assert count in (0, 160 << 20)
    assert 1e-6 * PAGES < seconds < 10e-6 * PAGES
